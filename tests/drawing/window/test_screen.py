"""The window as a process of its own: a person at mouse and keyboard, screens of every kind, and none."""

from __future__ import annotations

import inspect
import itertools
import json
import signal
import sys
from collections.abc import Callable

import pytest

from mnist_lab.drawing.strokes import CANVAS
from mnist_lab.drawing.window.layout import LARGEST, plan_layout
from tests.windows import PATIENCE, Guest, cut_off, run_python, start_screen

pytest_plugins = ["tests.window_fixtures"]
pytestmark = pytest.mark.integration


def test_a_person_draws_and_the_prediction_changes_while_the_button_is_down(guest: Callable[..., Guest]) -> None:
    person = guest()
    left, top = person.find()
    canvas = plan_layout(1366, 768, 1.0, 1).canvas

    def at(x: float, y: float) -> list[str]:
        scale = canvas.width / CANVAS
        return ["mousemove", str(round(left + canvas.x + x * scale)), str(round(top + canvas.y + y * scale))]

    person.xdotool(*at(80, 60), "mousedown", "1")
    person.xdotool(*itertools.chain.from_iterable(at(80, y) for y in range(65, 230, 5)))
    person.wait(lambda: person.notes()[-1] == {"reads": 1})
    person.xdotool(*itertools.chain.from_iterable(at(x, 225) for x in range(85, 230, 5)))
    person.wait(lambda: person.notes()[-1] == {"reads": 7})
    person.xdotool("mouseup", "1", "key", "s")
    person.wait_for_note(saved=1)
    person.xdotool("key", "7")
    person.wait_for_note(kept=7)
    person.xdotool("key", "z", "key", "ctrl+y", *at(40, 40), "click", "1", "key", "s")
    person.wait_for_note(saved=2)
    person.xdotool("key", "c", "key", "s", "key", "z", "key", "z", "key", "s")
    person.wait(lambda: [note["saved"] for note in person.notes() if "saved" in note] == [1, 2, 1])
    person.xdotool("key", "Escape")
    assert person.process.wait(PATIENCE) == 0
    assert person.notes()[-1] == {"closed": 0, "threads": 1, "widgets": 0}
    assert person.err.read_text() == ""


def test_ten_openings_in_one_process(guest: Callable[..., Guest]) -> None:
    person = guest(rounds=10)
    for number in range(10):
        person.wait_for_note(opening=number)
        left, top = person.find()
        person.xdotool("mousemove", str(left + 100), str(top + 100), "click", "1", "key", "Escape")
    assert person.process.wait(PATIENCE) == 0
    closed = [note for note in person.notes() if "closed" in note]
    assert closed == [{"closed": number, "threads": 1, "widgets": 0} for number in range(10)]
    assert person.err.read_text() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
def test_ctrl_c_in_the_terminal_is_not_slept_through(guest: Callable[..., Guest]) -> None:
    person = guest()
    left, top = person.find()
    person.xdotool("mousemove", str(left + 100), str(top + 100), "click", "1")
    person.wait_for_note(reads=7)  # from here on no event comes
    person.process.send_signal(signal.SIGINT)
    assert person.process.wait(PATIENCE) != 0
    assert person.err.read_text().splitlines()[-1] == "KeyboardInterrupt"


OPEN = """
from mnist_lab.drawing.window.app import open_window
from mnist_lab.errors import LabError
try:
    open_window([], None)
except LabError as error:
    print(error)
"""


def refusal(code: str, **environment: str | None) -> str:
    """The one line that says why there is no window."""
    done = run_python(code, **environment)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    return done.stdout


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these always have a display")
@pytest.mark.parametrize("display", [None, ":4321"])
def test_no_display_is_reported_in_one_line(display: str | None) -> None:
    said = refusal(OPEN, DISPLAY=display)
    assert said.startswith("no window can be opened")
    assert "ssh -X" in said and "python main.py predict IMAGE" in said


def test_a_missing_tkinter_is_reported_in_one_line() -> None:
    said = refusal(f"import sys; sys.modules['tkinter'] = None\n{OPEN}")
    assert said.startswith("this Python has no tkinter")
    assert "install" in said and "python main.py predict IMAGE" in said


SHARP = """
from __future__ import annotations
import ctypes, json, os, _tkinter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
import numpy as np
from mnist_lab.drawing.window.answer import Predictor
from mnist_lab.drawing.window.app import Window
from mnist_lab.drawing.window.screen import new_root

x11 = ctypes.CDLL(_tkinter.__file__)
x11.XOpenDisplay.restype = x11.XDefaultRootWindow.restype = ctypes.c_void_p
display = ctypes.c_void_p(x11.XOpenDisplay(None))
root = ctypes.c_void_p(x11.XDefaultRootWindow(display))
resource_manager, string, replacing = ctypes.c_long(23), ctypes.c_long(31), 0  # Xatom.h, X.h
x11.XChangeProperty(display, root, resource_manager, string, 8, replacing, b"Xft.dpi:\\t192\\n", 13)
x11.XCloseDisplay(display)

root = new_root()
rest = [lambda picture, digit: picture, "map", *[None] * 5]
predictors = [Predictor("3-layer", lambda pictures: [np.full(10, 0.1)] * len(pictures), *rest)]
window = Window(root, predictors, SimpleNamespace(reject=lambda *seen: None))
root.update()
height = window.theme.text.metrics("linespace") / window.layout.px(13)
lost = cut_off(window)
window.buttons["xray"].invoke()
root.update()
side = window.xray.stages[0].image.width()
print(json.dumps([window.layout.scale, height, lost + cut_off(window), side]))
"""


def test_sharp_screens_get_a_sharp_window() -> None:
    """Where the desktop has chosen 192 dots per inch, as X11 desktops tell (``xrdb``)."""
    server, name = start_screen("3840x2160")
    try:
        code = SHARP.replace("root = new_root", f"{inspect.getsource(cut_off)}\n\nroot = new_root")
        done = run_python(code, DISPLAY=name)
    finally:
        server.terminate()
        server.wait()
    assert done.stderr == ""
    scale, height, lost, side = json.loads(done.stdout)
    assert (scale, lost) == (2 * LARGEST, [])
    assert side >= 2 * LARGEST * 84 - 28  # a picture of the X-ray has the pixels that the screen has for it
    assert height == pytest.approx(1.17, abs=0.1)  # of a line, for each pixel of its font


def test_a_display_that_vanishes_ends_the_program_after_what_was_kept(guest: Callable[..., Guest]) -> None:
    server, display = start_screen()
    try:
        person = guest(display)
        left, top = person.find()
        person.xdotool("mousemove", str(left + 100), str(top + 100), "click", "1", "key", "7")
        person.wait_for_note(kept=7)
        server.kill()
        assert person.process.wait(PATIENCE) != 0
    finally:
        server.kill()
        server.wait()

"""The display: missing, vanishing, or sharper than others."""

from __future__ import annotations

import inspect
import itertools
import json
import sys
from collections.abc import Callable

import pytest

from mnist_lab.drawing.window.display import tkinter_advice
from mnist_lab.drawing.window.layout import LARGEST
from tests.windows import OPEN, PATIENCE, Guest, cut_off, run_python, start_screen

pytest_plugins = ["tests.window_fixtures"]


@pytest.mark.parametrize(
    ("platform", "words"), [("linux", "apt install python3-tk"), ("darwin", "brew"), ("win32", "tcl/tk")]
)
def test_the_way_to_tkinter_is_that_of_the_system(platform: str, words: str) -> None:
    assert words in tkinter_advice(platform)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these always have a display")
@pytest.mark.parametrize("display", [None, ":4321"])
def test_no_display_is_told_in_one_line(display: str | None) -> None:
    done = run_python(f"{OPEN}\nattempt()", DISPLAY=display)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    for words in ("DisplayError: no window can be opened", "ssh -X", "python main.py predict IMAGE"):
        assert words in done.stdout


def test_a_missing_tkinter_is_told_in_one_line() -> None:
    done = run_python(f"import sys; sys.modules['tkinter'] = None\n{OPEN}\nattempt()")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    for words in ("DisplayError: this Python has no tkinter", "install", "python main.py predict IMAGE"):
        assert words in done.stdout


SHARP = """
from __future__ import annotations
import ctypes, json, os, _tkinter
from pathlib import Path
from typing import Any
import numpy as np
from mnist_lab.drawing.window.app import Voter, Window
from mnist_lab.drawing.window.display import CONNECTIONS, main_window

x11 = ctypes.CDLL(_tkinter.__file__)
x11.XOpenDisplay.restype = x11.XDefaultRootWindow.restype = ctypes.c_void_p
display = ctypes.c_void_p(x11.XOpenDisplay(None))
root = ctypes.c_void_p(x11.XDefaultRootWindow(display))
resource_manager, string, replacing = ctypes.c_long(23), ctypes.c_long(31), 0  # Xatom.h, X.h
x11.XChangeProperty(display, root, resource_manager, string, 8, replacing, b"Xft.dpi: 192", 12)
x11.XCloseDisplay(display)

with main_window() as root:
    voters = [Voter("3-layer", lambda picture: np.full(10, 0.1), lambda picture, digit: picture)]
    window = Window(root, voters, lambda snapshot: Path(), lambda drawing: "", None)
    root.update()
    chosen = CONNECTIONS[os.environ["DISPLAY"]].dots_per_inch()
    height = window.look.text.metrics("linespace") / window.layout.px(13)
    lost = cut_off(window)
    window.do("xray")
    root.update()
    side = window.xray.stages[0]._side
    print(json.dumps([chosen, window.layout.scale, height, lost + cut_off(window), side]))
"""


def test_sharp_screens_get_a_sharp_window() -> None:
    """Where the desktop has chosen 192 dots per inch, as X11 desktops tell (``xrdb``)."""
    server, name = start_screen("3840x2160")
    try:
        code = SHARP.replace("with main", f"{inspect.getsource(cut_off)}\n\nwith main")
        done = run_python(code, DISPLAY=name)
    finally:
        server.terminate()
        server.wait()
    assert done.stderr == ""
    chosen, scale, height, lost, side = json.loads(done.stdout)
    assert (chosen, scale, lost) == (192, 2 * LARGEST, [])
    assert side >= 2 * LARGEST * 84 - 28  # a picture of the X-ray has the pixels that the screen has for it
    assert height == pytest.approx(1.17, abs=0.1)  # of a line, for each pixel of its font


@pytest.mark.parametrize("drawing", [False, True], ids=["at rest", "while drawing"])
def test_a_vanishing_display_ends_in_one_line(guest: Callable[..., Guest], drawing: bool) -> None:
    server, display = start_screen()
    try:
        person = guest(display, rounds=2)
        left, top = person.find()
        person.xdotool("mousemove", str(left + 100), str(top + 100), "click" if not drawing else "mousedown", "1")
        person.wait_for_note(reads=7)
        if drawing:
            person.xdotool(*itertools.chain.from_iterable(("mousemove_relative", "3", "2") for _ in range(30)))
        server.kill()
        assert person.process.wait(PATIENCE) == 0
    finally:
        server.kill()
        server.wait()
    errors = [note for note in person.notes() if "error" in note]
    assert [note["error"] for note in errors] == ["DisplayError", "DisplayError"]  # the second finds it gone
    for note in errors:
        assert f"the display {display} has vanished" in note["message"]
        assert "python main.py predict IMAGE" in note["message"]
        assert "\n" not in note["message"]
        assert note["widgets"] == 0
    assert person.err.read_text() == ""

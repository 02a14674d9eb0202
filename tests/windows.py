"""Real windows for the tests: screens, a visitor inside the process, and a guest from outside."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.strokes import CANVAS, Drawing, Stroke
from mnist_lab.drawing.window.answer import Answer, Probabilities
from mnist_lab.drawing.window.app import TITLE, Window
from mnist_lab.drawing.window.widgets import DrawingCanvas
from mnist_lab.errors import RunError, StorageError
from mnist_lab.explain.film import DigitMap
from mnist_lab.explain.inside import Survey
from mnist_lab.explain.neighbours import Neighbours
from mnist_lab.networks.models import DigitNet
from tests.processes import unavailable

ROOT = Path(__file__).parents[1]
PATIENCE = 20  # seconds until something that should happen counts as missing


def run_python(code: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=changed_environment(**environment),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def changed_environment(**changes: str | None) -> dict[str, str]:
    """The process's environment with some variables set, or taken out where None."""
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


def start_screen(size: str = "1366x768") -> tuple[subprocess.Popen[bytes], str]:
    """An X server of our own on a free display, and the display's name."""
    if shutil.which("Xvfb") is None:
        unavailable("Xvfb")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-noreset", "-screen", "0", f"{size}x24"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    assert number, "Xvfb did not start"
    return server, f":{number}"


def width_reader(picture: Picture) -> Probabilities:
    """A network that calls everything narrow a 1 and everything wide a 7."""
    narrow = np.ptp(np.argwhere(picture > picture.max() / 2)[:, 1]) < 8
    probabilities = np.full(10, 0.02)
    probabilities[1 if narrow else 7] = 0.82
    return probabilities


def update_until(root: Any, condition: Callable[[], bool]) -> None:
    """Let a window work until something holds, which it must in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        root.update()
        time.sleep(0.002)


class Interior(NamedTuple):
    """What a predictor has to be looked into."""

    trained: DigitNet
    untrained: DigitNet
    survey: Callable[[DigitNet], Iterator[Survey | None]]
    neighbours: Callable[[Picture], Neighbours]


_NOTHING: Any = [None] * 4
UNSEEN = Interior(*_NOTHING)  # of a network that no test looks into


def no_film() -> DigitMap:
    raise RunError("there is no film", "train again")


class Visitor:
    """A real window, driven by Tk's own events, with everything that it asked for."""

    def __init__(self, window: Window, seen: list[Picture]) -> None:
        self.window, self.seen = window, seen
        self.root = window.root
        self.saved: list[Answer] = []
        self.kept: list[Drawing] = []
        self.refusal: StorageError | None = None

    @property
    def canvas(self) -> DrawingCanvas:
        """The one there is now: another size of the window has another."""
        return self.window.canvas

    def save(self, answer: Answer) -> Path:
        if self.refusal:
            raise self.refusal
        self.saved.append(answer)
        return Path("outputs/drawing-7")

    def keep(self, drawing: Drawing) -> str:
        if self.refusal:
            raise self.refusal
        self.kept.append(drawing)
        return f"kept as {drawing.label}"

    def take_back(self, drawing: Drawing) -> str:
        if self.refusal:
            raise self.refusal
        self.kept.remove(drawing)
        return "taken back"

    def pen(self, event: str, x: float, y: float) -> None:
        """Down, moved or up at a place of the 280x280 canvas."""
        scale = self.canvas.canvas.winfo_width() / CANVAS
        state = 0 if event == "<Button-1>" else 0x100
        self.canvas.canvas.event_generate(event, x=round(x * scale), y=round(y * scale), state=state)

    def draw(self, *points: tuple[float, float], lift: bool = True) -> None:
        self.pen("<Button-1>", *points[0])
        for point in points[1:]:
            self.pen("<Motion>", *point)
        if lift:
            self.pen("<ButtonRelease-1>", *points[-1])

    def key(self, *keys: str, state: int = 0) -> None:
        for key in keys:
            self.root.event_generate("<Key>", keysym=key, state=state)

    def wait(self, condition: Callable[[], bool]) -> None:
        update_until(self.root, condition)

    def settle(self) -> None:
        """Until no prediction and no map is to come, and all is in its place: only the heartbeat is left."""
        self.root.update()
        self.wait(lambda: len(self.root.tk.splitlist(self.root.tk.call("after", "info"))) <= 1)

    def resize(self, width: int, height: int) -> None:
        """As a person drags the window's corner; waits until all lies in its new place."""
        self.root.geometry(f"{width}x{height}")
        self.wait(lambda: self.window.layout.window[2:] == (width, height))
        self.settle()

    def ink_at(self, x: float, y: float) -> bool:
        """Whether a place of the 280x280 canvas is shown as ink."""
        scale = self.canvas.width / CANVAS
        return sum(self.canvas.image.get(round(x * scale), round(y * scale))) < 3 * 128

    @property
    def sketched(self) -> tuple[Stroke, ...]:
        return self.canvas.sketch.strokes

    @property
    def status(self) -> str:
        return str(self.window._status.cget("text"))

    @property
    def sentence(self) -> str:
        return option(self.window._verdict, "verdict", "text")


def option(surface: Any, item: int | str, name: str) -> str:
    """How something on a Tk canvas is configured."""
    return str(surface.itemcget(item, name))


def texts_on(surface: Any, tag: str = "all") -> list[str]:
    """The texts on a Tk canvas, or those that carry a tag."""
    return [option(surface, item, "text") for item in surface.find_withtag(tag) if str(surface.type(item)) == "text"]


def overlapping(surface: Any, free: int = 0) -> list[tuple[str, str]]:
    """The texts on a Tk canvas that lie over each other by more pixels than letters keep free around them."""
    items = [item for item in surface.find_all() if str(surface.type(item)) == "text" and option(surface, item, "text")]
    pairs = itertools.combinations([(option(surface, item, "text"), surface.bbox(item)) for item in items], 2)
    return [
        (one, other)
        for (one, a), (other, b) in pairs
        if min(a[2], b[2]) - max(a[0], b[0]) > free and min(a[3], b[3]) - max(a[1], b[1]) > free
    ]


Opener = Callable[..., Visitor]


LINE = ((140.0, 60.0), (140.0, 130.0), (140.0, 220.0))
CORNER = ((140.0, 60.0), (140.0, 220.0), (260.0, 220.0))


def uniform_map(picture: Picture, digit: int) -> Any:
    return np.ones((28, 28), dtype=np.float32)


def cut_off(window: Window, *, on_screen: bool = True) -> list[str]:
    """The widgets that have less room than they need or lie beyond the window's edge, and canvases too small."""
    root = window.root
    assert (root.winfo_width(), root.winfo_height()) == window.layout.window[2:]
    assert not on_screen or root.winfo_width() <= root.winfo_screenwidth()
    found = []
    todo: list[Any] = [root]
    while todo:
        widget = todo.pop()
        todo += widget.winfo_children()
        if widget.winfo_viewable() and widget.winfo_class() in ("TLabel", "TButton", "Label", "TScale"):
            # A slider asks for more than it needs.
            narrow = widget.winfo_reqwidth() > widget.winfo_width() and widget.winfo_class() != "TScale"
            low = widget.winfo_reqheight() > widget.winfo_height()
            right = widget.winfo_rootx() + widget.winfo_width() - root.winfo_rootx()
            bottom = widget.winfo_rooty() + widget.winfo_height() - root.winfo_rooty()
            if narrow or low or right > root.winfo_width() or bottom > root.winfo_height():
                found.append(f"{widget} {widget.winfo_class()}")
    canvases = [panel.canvas for panel in window.panels]
    for surface in [*canvases, window.views[window.view].canvas] if window.view else canvases:
        left, top, right, bottom = surface.bbox("all")
        if left < 0 or top < 0 or right > surface.winfo_width() or bottom > surface.winfo_height():
            found.append(str(surface))
    return found


HOST = """
from __future__ import annotations
import gc, json, sys, threading, tkinter
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from mnist_lab.drawing.window.answer import Predictor
from mnist_lab.drawing.window.app import open_window
from mnist_lab.errors import LabError

def note(**what):
    print(json.dumps(what), flush=True)

def widgets_left():
    return sum(issubclass(type(thing), tkinter.Misc) for thing in gc.get_objects())

def predict(pictures):
    answers = [width_reader(picture) for picture in pictures]
    for probabilities in answers:
        note(reads=int(probabilities.argmax()))
    return answers

def save(answer):
    note(saved=len(answer.question.drawing.strokes))
    return Path("somewhere")

def keep(drawing):
    note(kept=drawing.label)
    return "kept"

def take_back(drawing):
    note(taken_back=drawing.label)
    return "taken back"

for round in range(int(sys.argv[1])):
    note(opening=round)
    try:
        host = SimpleNamespace(save=save, keep=keep, take_back=take_back, reject=lambda *seen: None)
        open_window([Predictor("width", predict, lambda *asked: None, "map", *[None] * 5)], host)
        note(closed=round, threads=threading.active_count(), widgets=widgets_left())
    except LabError as error:
        note(error=type(error).__name__, message=str(error), widgets=widgets_left())
"""


class Guest:
    """A window in a process of its own, driven through the X server like a person would."""

    def __init__(self, display: str, folder: Path, rounds: int = 1) -> None:
        if shutil.which("xdotool") is None:
            unavailable("xdotool")
        self.environment = changed_environment(DISPLAY=display)
        code = HOST.replace("def predict", f"{inspect.getsource(width_reader)}\n\ndef predict")
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, str(rounds)], cwd=ROOT, env=self.environment, stdout=out, stderr=err
            )

    def xdotool(self, *words: str) -> str:
        done = subprocess.run(
            ["xdotool", *words], env=self.environment, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        return done.stdout

    def find(self) -> tuple[int, int]:
        """Wait for the window; where it is on the screen."""
        self.wait(lambda: bool(self.visible()))
        words = self.xdotool("getwindowgeometry", "--shell", self.visible()).split()
        place = dict(word.split("=") for word in words)
        return int(place["X"]), int(place["Y"])

    def visible(self) -> str:
        found = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", TITLE],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return found.stdout.strip()

    def notes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline, self.out.read_text()
            time.sleep(0.01)

    def wait_for_note(self, **what: Any) -> None:
        self.wait(lambda: any(what.items() <= note.items() for note in self.notes()))

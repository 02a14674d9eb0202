"""The window: its geometry, layout and words without a screen, then the real one with real mouse and key events."""

from __future__ import annotations

import gc
import inspect
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_lab.canvas import (
    LARGEST,
    TITLE,
    TKINTER_MISSING,
    Probabilities,
    Voter,
    Window,
    Wobble,
    coloured,
    command_for,
    disc,
    enlarged,
    main_window,
    open_window,
    percent,
    place_like_mnist,
    plan_layout,
    ppm,
    see,
    shortened,
    tkinter_advice,
    verdict,
    wobbled,
)
from mnist_lab.device import Compute
from mnist_lab.drawing import CANVAS, MAX_POINTS, PEN, Drawing, Picture, Stroke, invert, squeeze, to_mnist
from mnist_lab.drawing import ink as inked
from mnist_lab.errors import RequestError, StorageError
from mnist_lab.inference import predict_logits
from mnist_lab.models import build_model
from mnist_lab.saliency import attribute
from tests.test_drawing import by_hand

ROOT = Path(__file__).parents[1]
PATIENCE = 20  # seconds until something that should happen counts as missing

# --- geometry ----------------------------------------------------------------------------------------------------

SQUARE: tuple[Stroke, ...] = (((240.0, 140.0), (140.0, 40.0)), ((100.0, 150.0),))


@pytest.mark.parametrize(
    ("wobble", "expected"),
    [
        (Wobble(), SQUARE),
        (Wobble(right=2, down=-1.5), (((260, 125), (160, 25)), ((120, 135),))),
        (Wobble(turn=90), (((140, 240), (240, 140)), ((130, 100),))),
        (Wobble(turn=-90), (((140, 40), (40, 140)), ((150, 180),))),
        (Wobble(turn=30), (((140 + 50 * math.sqrt(3), 190), (190, 140 - 50 * math.sqrt(3))), ((100.359, 128.660),))),
        (Wobble(size=50), (((190, 140), (140, 90)), ((120, 145),))),
        (Wobble(stroke=250), SQUARE),
        (Wobble(right=1, turn=180, size=150), (((0, 140), (150, 290)), ((210, 125),))),
    ],
)
def test_wobbling_moves_points_as_computed_by_hand(wobble: Wobble, expected: tuple[Stroke, ...]) -> None:
    found = wobbled(SQUARE, wobble)
    assert [len(stroke) for stroke in found] == [2, 1]
    assert np.vstack(found) == pytest.approx(np.vstack(expected), abs=1e-3)


@pytest.mark.parametrize("digit", range(10))
def test_drawings_are_placed_where_mnists_makers_would(digit: int) -> None:
    drawing = by_hand(digit, 0.6, dx=-30, dy=20)
    placed, expected = place_like_mnist(drawing), to_mnist(drawing)
    assert placed is not None
    assert expected is not None
    found = squeeze(invert(inked(placed, PEN * 10)))
    assert np.abs(found.astype(int) - expected).mean() < 3.5  # of 255; fractions of a pixel fall differently
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_without_wobble_the_networks_see_what_they_are_scored_on() -> None:
    drawing = by_hand(4)
    seen, expected = see(drawing, Wobble()), to_mnist(drawing)
    assert seen is not None
    assert np.array_equal(seen, expected if expected is not None else ())


def test_each_wobble_does_what_it_says() -> None:
    drawing = by_hand(2)
    plain = seen(drawing, Wobble(stroke=100.001))
    assert np.array_equal(seen(drawing, Wobble(right=3)), np.roll(plain, 3, axis=1))
    assert np.array_equal(seen(drawing, Wobble(down=-2)), np.roll(plain, -2, axis=0))
    assert np.corrcoef(seen(drawing, Wobble(turn=180)).ravel(), plain[::-1, ::-1].ravel())[0, 1] > 0.5
    assert np.ptp(np.argwhere(seen(drawing, Wobble(size=50))), axis=0).max() < 13
    bold, fine = seen(drawing, Wobble(stroke=200)), seen(drawing, Wobble(stroke=50))
    assert bold.sum() > 1.7 * plain.sum() > 3 * fine.sum()


def seen(drawing: Drawing, wobble: Wobble) -> Picture:
    picture = see(drawing, wobble)
    assert picture is not None
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    return picture


def test_wobbles_start_from_where_the_digit_ends_up_not_from_where_it_was_drawn() -> None:
    wobble = Wobble(right=2, turn=20, size=80)
    here, there = seen(by_hand(5), wobble), seen(by_hand(5, 0.5, dx=50, dy=-40), wobble)
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("wobble", [Wobble(), Wobble(right=1), Wobble(stroke=50)])
def test_nothing_is_seen_of_nothing(wobble: Wobble) -> None:
    assert see(Drawing(), wobble) is None
    assert see(Drawing((((-60.0, -60.0), (-90.0, 500.0)),)), wobble) is None


def test_what_was_drawn_beyond_the_edge_stays_unseen() -> None:
    """A wobble must not bring back what the canvas cut off."""
    edge = Drawing((((140.0, 60.0), (140.0, 280.0)),))
    beyond = Drawing((((140.0, 60.0), (140.0, 900.0)),))
    wobble = Wobble(turn=1)
    assert np.abs(seen(edge, wobble).astype(int) - seen(beyond, wobble)).max() <= 2


# --- layout ------------------------------------------------------------------------------------------------------

SCREENS = [
    (1366, 768, 1.0),
    (1024, 600, 1.0),
    (1920, 1080, 1.0),
    (1920, 1080, 1.5),
    (3840, 2160, 2.0),
    (800, 1280, 1.0),
]


@pytest.mark.parametrize("voters", [1, 2, 3, 4])
@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_the_window_fits_on_the_screen(screen: tuple[int, int, float], voters: int) -> None:
    layout = plan_layout(*screen, voters)
    assert layout.window.width <= screen[0]
    assert layout.window.height <= screen[1] - 80 * screen[2] + 1
    parts = [layout.paper, layout.tools, layout.seen, layout.verdict, layout.wobble, layout.foot]
    parts += [layout.voter(index) for index in range(voters)]
    for part in parts:
        assert part.left >= 0
        assert part.top >= 0
        assert part.left + part.width <= layout.window.width
        assert part.top + part.height <= layout.window.height
    for one, other in itertools.combinations(parts, 2):
        beside = one.left + one.width <= other.left or other.left + other.width <= one.left
        assert beside or one.top + one.height <= other.top or other.top + other.height <= one.top
    assert layout.paper.width == layout.paper.height


def test_ordinary_screens_get_ordinary_sizes_and_sharp_ones_more_pixels() -> None:
    assert plan_layout(1366, 768, 1.0, 4).scale > 0.95
    assert plan_layout(2560, 1440, 1.0, 1).scale == LARGEST
    assert plan_layout(5120, 2880, 2.0, 1).scale == 2 * LARGEST
    assert plan_layout(3840, 2160, 2.0, 1).zoom(112) >= 8


# --- pictures and words ------------------------------------------------------------------------------------------


def test_maps_lie_over_the_picture_in_blue_and_vermilion() -> None:
    picture = np.zeros((28, 28), dtype=np.uint8)
    picture[10:20, 14] = 255
    plain = coloured(picture)
    assert plain.shape == (28, 28, 3)
    assert (plain == picture[..., np.newaxis]).all()
    saliency = np.zeros((28, 28), dtype=np.float32)
    saliency[0, :10], saliency[1, :10], saliency[2, 0] = 4.0, -4.0, np.nan
    covered = coloured(picture, saliency)
    assert covered[0, 0].tolist() == [0x56, 0xB4, 0xE9]
    assert covered[1, 0].tolist() == [0xD5, 0x5E, 0x00]
    assert covered[2, 0].tolist() == covered[27, 27].tolist() == [0, 0, 0]
    assert 100 < covered[15, 14, 0] < 255
    flat = coloured(picture, np.zeros((28, 28), dtype=np.float32))
    assert (flat[picture == 0] == 0).all()


def test_pictures_are_enlarged_without_blur() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(pixels, 3)
    assert large.shape == (6, 6, 3)
    assert np.array_equal(large[1::3, 1::3], pixels)
    assert np.array_equal(large[::3, ::3], large[2::3, 2::3])
    assert ppm(pixels) == b"P6 2 2 255 " + bytes(range(12))


def test_a_spot_is_round_and_smooth() -> None:
    spot = disc(20, 16, "#000000", "#FFFFFF").astype(float)
    assert (255 - spot[..., 0]).sum() / 255 == pytest.approx(math.pi * 8**2, rel=0.01)
    assert np.array_equal(spot, spot[::-1])
    assert len(np.unique(spot)) > 4


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (1.0, "> 99.9 %"),
        (0.9996, "> 99.9 %"),
        (0.9994, "99.9 %"),
        (0.123, "12.3 %"),
        (0.0006, "0.1 %"),
        (0.0, "< 0.1 %"),
    ],
)
def test_numbers_never_claim_certainty(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_the_verdict_is_one_sentence() -> None:
    assert verdict([3], [(8, 0.01)]) == "a 3"
    assert verdict([8], [(3, 0.3)]) == "an 8, or perhaps a 3"
    assert verdict([3, 3], [(8, 0.4), (8, 0.4)]) == "both say 3"
    assert verdict([3, 3, 3], [(8, 0.4)] * 3) == "all three say 3"
    assert verdict([3, 8, 3, 3], [(8, 0.4)] * 4) == "they disagree: 3, 8, 3, 3"


def test_long_names_keep_their_ends() -> None:
    assert shortened("3-layer", 7, len) == "3-layer"
    assert shortened("2026-11-22_3-layer-aug", 12, len) == "…3-layer-aug"
    assert shortened("anything", 0, len) == "…"


@pytest.mark.parametrize(
    ("key", "modified", "shifted", "command"),
    [
        ("z", False, False, "undo"),
        ("Z", False, False, "undo"),
        ("z", True, False, "undo"),
        ("Z", True, True, "redo"),
        ("y", True, False, "redo"),
        ("y", False, False, "redo"),
        ("c", False, False, "clear"),
        ("c", True, False, None),  # out of habit, to copy
        ("s", False, False, "save"),
        ("m", False, False, "map"),
        ("r", False, False, "reset"),
        ("Escape", False, False, "close"),
        ("7", False, False, "7"),
        ("KP_0", False, False, "0"),
        ("7", True, False, None),
        ("F7", False, False, None),
        ("KP_Enter", False, False, None),
        ("", False, False, None),
    ],
)
def test_keys(key: str, modified: bool, shifted: bool, command: str | None) -> None:
    assert command_for(key, modified=modified, shifted=shifted) == command


@pytest.mark.parametrize(
    ("platform", "words"), [("linux", "apt install python3-tk"), ("darwin", "brew"), ("win32", "tcl/tk")]
)
def test_the_way_to_tkinter_is_that_of_the_system(platform: str, words: str) -> None:
    assert words in tkinter_advice(platform)


# --- without a screen --------------------------------------------------------------------------------------------

OPEN = """
from pathlib import Path
import numpy as np
from mnist_lab.canvas import Voter, open_window
from mnist_lab.errors import LabError
voters = [Voter("uniform", lambda picture: np.full(10, 0.1))]
def attempt():
    try:
        open_window(voters, save=lambda *parts: Path("nowhere"), keep=lambda drawing: "kept")
        print("closed", flush=True)
    except LabError as error:
        print(type(error).__name__, error, sep=": ", flush=True)
"""


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


def test_torch_stays_out_of_the_window() -> None:
    done = run_python("import sys, mnist_lab.canvas; print('torch' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_only_voters_that_can_be_told_apart_are_taken() -> None:
    def unsure(picture: Picture) -> Probabilities:
        return np.full(10, 0.1)

    for names in ([], ["a", "b", "c", "d", "e"], ["a", "b", "a"]):
        with pytest.raises(RequestError):
            open_window([Voter(name, unsure) for name in names], save=lambda *parts: Path(), keep=lambda drawing: "")


# --- a screen ----------------------------------------------------------------------------------------------------


def unavailable(what: str) -> None:
    """On a desk, a missing tool skips the tests that need it; where everything is installed, it is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


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


@pytest.fixture(scope="session")
def own_screen() -> Iterator[str]:
    """The name of a display: an Xvfb of our own, or else the one that there is.

    It stays until the end, for Tk never closes its connection.
    """
    if TKINTER_MISSING:
        unavailable("tkinter")
    if shutil.which("Xvfb") is None and (os.environ.get("DISPLAY") or sys.platform in ("win32", "darwin")):
        yield os.environ.get("DISPLAY", "")
        return
    server, name = start_screen()
    yield name
    server.terminate()
    server.wait()


@pytest.fixture
def screen(own_screen: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, set in the environment."""
    monkeypatch.setenv("DISPLAY", own_screen)
    return own_screen


def width_reader(picture: Picture) -> Probabilities:
    """A network that calls everything narrow a 1 and everything wide a 7."""
    narrow = np.ptp(np.argwhere(picture > 60)[:, 1]) < 8
    probabilities = np.full(10, 0.02)
    probabilities[1 if narrow else 7] = 0.82
    return probabilities


class Visitor:
    """A real window, driven by Tk's own events, with everything that it asked for."""

    def __init__(self, window: Window, seen: list[Picture]) -> None:
        self.window, self.seen = window, seen
        self.root, self.paper = window.root, window.paper
        self.saved: list[tuple[Drawing, Picture, list[Probabilities]]] = []
        self.kept: list[Drawing] = []
        self.refusal: StorageError | None = None

    def save(self, drawing: Drawing, picture: Picture, probabilities: Any) -> Path:
        if self.refusal:
            raise self.refusal
        self.saved.append((drawing, picture, list(probabilities)))
        return Path("outputs/drawing-7")

    def keep(self, drawing: Drawing) -> str:
        if self.refusal:
            raise self.refusal
        self.kept.append(drawing)
        return f"kept as a {drawing.label}"

    def pen(self, event: str, x: float, y: float) -> None:
        """Down, moved or up at a place of the 280x280 canvas."""
        scale = self.paper.canvas.winfo_width() / CANVAS
        state = 0 if event == "<Button-1>" else 0x100
        self.paper.canvas.event_generate(event, x=round(x * scale), y=round(y * scale), state=state)

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
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            self.root.update()
            time.sleep(0.002)

    def settle(self) -> None:
        """Until no prediction and no map is to come: only the heartbeat is left."""
        self.wait(lambda: len(self.root.tk.splitlist(self.root.tk.call("after", "info"))) <= 1)

    @property
    def sketched(self) -> tuple[Stroke, ...]:
        return self.paper.sketch.strokes

    @property
    def status(self) -> str:
        return str(self.window._status.cget("text"))

    @property
    def sentence(self) -> str:
        return str(self.window._verdict.cget("text"))


def option(surface: Any, item: int, name: str) -> str:
    """How something on a Tk canvas is configured."""
    return str(surface.itemcget(item, name))


Opener = Callable[..., Visitor]


@pytest.fixture
def opened(screen: str) -> Iterator[Opener]:
    """Opens windows; closes them after the test."""
    windows = ExitStack()

    def open_one(
        *predictors: Callable[[Picture], Probabilities],
        explain: Callable[[Picture, int], Any] | None = None,
        judge: Any = None,
    ) -> Visitor:
        seen: list[Picture] = []

        def noting(predict: Callable[[Picture], Probabilities]) -> Callable[[Picture], Probabilities]:
            def predict_and_note(picture: Picture) -> Probabilities:
                seen.append(picture)
                return predict(picture)

            return predict_and_note

        voters = [
            Voter(f"2026-11-22_14-30-0{place}_3-layer-aug", noting(predict), explain)
            for place, predict in enumerate(predictors or (width_reader,))
        ]
        visitor: Visitor
        root = windows.enter_context(main_window())
        window = Window(
            root, voters, lambda *parts: visitor.save(*parts), lambda labelled: visitor.keep(labelled), judge
        )
        visitor = Visitor(window, seen)
        visitor.root.update()
        return visitor

    with windows:
        yield open_one
    gc.collect()


LINE = ((140.0, 60.0), (140.0, 130.0), (140.0, 220.0))
CORNER = ((140.0, 60.0), (140.0, 220.0), (260.0, 220.0))


def test_predictions_follow_while_the_button_is_down(opened: Opener) -> None:
    visitor = opened()
    assert visitor.sentence == "draw a digit with mouse or pen"
    visitor.draw(*LINE, lift=False)
    visitor.settle()
    assert visitor.sentence == "a 1"
    visitor.pen("<Motion>", 260, 220)
    visitor.settle()
    assert visitor.sentence == "a 7"
    assert visitor.window.paper.sketch.can_undo
    visitor.pen("<ButtonRelease-1>", 260, 220)
    drawing = visitor.paper.sketch.drawing()
    assert np.vstack(drawing.strokes) == pytest.approx(np.array([*LINE, CORNER[-1]]), abs=0.9)
    expected = to_mnist(drawing)
    assert expected is not None
    assert np.array_equal(visitor.seen[-1], expected)


def test_a_click_is_a_dot_and_is_read(opened: Opener) -> None:
    visitor = opened()
    visitor.draw((100.0, 100.0))
    visitor.settle()
    assert [len(stroke) for stroke in visitor.paper.sketch.strokes] == [1]
    assert len(visitor.seen) == 1
    assert len(visitor.paper.canvas.find_all()) == 1


def test_a_burst_of_motion_is_one_prediction_for_the_newest_strokes(opened: Opener) -> None:
    visitor = opened()
    points = [(20 + step / 2, 140 + 100 * math.sin(step / 40)) for step in range(400)]
    visitor.draw(*points, lift=False)
    assert visitor.seen == []  # the pen comes first
    assert len(visitor.paper.canvas.find_withtag("growing")) > 300
    visitor.settle()
    expected = to_mnist(visitor.paper.sketch.drawing())
    assert len(visitor.seen) == 1
    assert expected is not None
    assert np.array_equal(visitor.seen[0], expected)


def test_a_slow_voter_queues_nothing_and_is_asked_about_the_newest_strokes(opened: Opener) -> None:
    points_then: list[int] = []

    def slow(picture: Picture) -> Probabilities:
        points_then.append(len(visitor.paper.sketch.strokes[0]))
        expected = to_mnist(visitor.paper.sketch.drawing())
        assert expected is not None
        assert np.array_equal(picture, expected)
        time.sleep(0.1)
        return np.full(10, 0.1)

    visitor = opened(slow)
    visitor.draw((20.0, 140.0), lift=False)
    for step in range(60):
        visitor.pen("<Motion>", 30 + 4 * step, 100 + step)
        visitor.root.update()
        assert len(visitor.root.tk.splitlist(visitor.root.tk.call("after", "info"))) <= 2  # heartbeat and prediction
        assert visitor.window.error is None
    visitor.settle()
    assert 1 <= len(points_then) < 30
    assert points_then == sorted(points_then)
    assert points_then[-1] == 61


def test_undo_redo_and_clear_by_key(opened: Opener) -> None:
    control, shift = 4, 1
    visitor = opened()
    visitor.draw(*LINE)
    visitor.draw((180.0, 60.0), (260.0, 60.0))
    counts = []
    steps = [("z", 0), ("z", control), ("y", control), ("Z", control | shift), ("c", control), ("c", 0), ("z", 0)]
    for key, state in [*steps, ("z", 0), ("y", 0)]:
        visitor.key(key, state=state)
        visitor.settle()
        counts.append(len(visitor.sketched))
        blank = not visitor.sketched
        assert (visitor.window.picture is None) == blank
        assert len(visitor.paper.canvas.find_withtag("ink")) == counts[-1]
        assert len(visitor.paper.canvas.find_withtag("hint")) == int(blank)
        assert visitor.sentence.startswith("draw a digit") == blank
    assert counts == [1, 0, 1, 2, 2, 0, 2, 1, 2]
    assert visitor.window.buttons["undo"].instate(["!disabled"])
    assert visitor.window.buttons["redo"].instate(["!disabled"])  # the clearing that was undone
    visitor.draw((20.0, 20.0))
    assert visitor.window.buttons["redo"].instate(["disabled"])


def test_undo_ends_the_stroke_being_drawn(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE, lift=False)
    visitor.key("z")
    visitor.pen("<Motion>", 200, 200)
    visitor.pen("<ButtonRelease-1>", 200, 200)
    visitor.settle()
    assert visitor.paper.sketch.strokes == ()
    assert visitor.paper.canvas.find_withtag("growing") == ()


def test_a_digit_key_labels_the_drawing_once(opened: Opener) -> None:
    visitor = opened()
    visitor.key("3")
    assert "nothing to keep" in visitor.status
    visitor.draw(*LINE)
    drawing = visitor.paper.sketch.drawing()
    visitor.refusal = StorageError("the disk is full", "free some space")
    visitor.key("1")
    assert visitor.status == "! not kept: the disk is full; free some space"
    visitor.refusal = None
    visitor.key("1")
    assert visitor.status == "kept as a 1"
    visitor.key("2")
    assert "already kept as a 1" in visitor.status
    assert visitor.kept == [replace(drawing, label=1)]
    visitor.draw((200.0, 200.0))
    visitor.key("2")
    assert [kept.label for kept in visitor.kept] == [1, 2]


def test_saving_hands_out_what_is_seen_now(opened: Opener) -> None:
    visitor = opened()
    visitor.key("s")
    assert "nothing to save" in visitor.status
    visitor.draw(*CORNER)
    visitor.key("s")  # before the prediction's turn has come
    ((drawing, picture, (probabilities,)),) = visitor.saved
    expected = to_mnist(drawing)
    assert drawing == visitor.paper.sketch.drawing()
    assert expected is not None
    assert np.array_equal(picture, expected)
    assert np.array_equal(probabilities, width_reader(picture))
    assert visitor.status == "saved in outputs/drawing-7"
    visitor.refusal = StorageError("the disk is full", "free some space")
    visitor.window.buttons["save"].invoke()
    assert visitor.status == "! not saved: the disk is full; free some space"
    assert visitor.paper.sketch.drawing() == drawing
    assert visitor.window.error is None


def test_sliders_wobble_what_the_networks_see_and_r_resets_them(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.settle()
    assert visitor.sentence == "a 1"
    strokes = visitor.paper.sketch.strokes
    visitor.window.sliders["turn"].set(89.6)
    visitor.window.sliders["stroke"].set(151)
    visitor.settle()
    assert visitor.window.wobble == Wobble(turn=90, stroke=150)
    assert visitor.sentence == "a 7"
    assert visitor.paper.sketch.strokes == strokes
    assert np.array_equal(visitor.seen[-1], seen(Drawing(strokes), Wobble(turn=90, stroke=150)))
    visitor.key("r")
    visitor.settle()
    assert visitor.window.wobble == Wobble()
    assert visitor.sentence == "a 1"


def test_a_handle_can_be_dragged(opened: Opener) -> None:
    visitor = opened()
    scale = visitor.window.sliders["right"].scale
    x, y = (int(number) for number in scale.coords())
    scale.event_generate("<Enter>", x=x, y=y)
    scale.event_generate("<Button-1>", x=x, y=y)
    scale.event_generate("<Motion>", x=x + 30, y=y, state=0x100)
    scale.event_generate("<ButtonRelease-1>", x=x + 30, y=y)
    assert visitor.window.wobble.right > 0


def test_the_brush_changes_the_ink_that_is_there(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    (item,) = visitor.paper.canvas.find_withtag("ink")
    before = float(option(visitor.paper.canvas, item, "width"))
    visitor.window._set_brush(40.0)
    (item,) = visitor.paper.canvas.find_withtag("ink")
    assert float(option(visitor.paper.canvas, item, "width")) == pytest.approx(2 * before)


def test_maps_come_when_the_pen_rests_and_for_the_winning_digit(opened: Opener) -> None:
    asked: list[tuple[int, int]] = []

    def explain(picture: Picture, digit: int) -> Any:
        asked.append((digit, len(visitor.seen)))
        return np.ones((28, 28), dtype=np.float32)

    visitor = opened(width_reader, width_reader, explain=explain)
    visitor.draw(*CORNER)
    visitor.settle()
    assert asked == []
    visitor.key("m")
    visitor.settle()
    assert [digit for digit, _ in asked] == [7, 7]
    assert visitor.window.buttons["map"].instate(["selected"])
    tile = visitor.window.ballots[0].tile
    assert tile is not None
    assert tile._image.get(0, 0) == (0x56, 0xB4, 0xE9)
    visitor.draw((20.0, 20.0), (30.0, 40.0))
    visitor.draw((40.0, 20.0), (50.0, 40.0))
    visitor.settle()
    assert len(asked) == 4  # none for what was there only in passing
    assert asked[-1][1] == len(visitor.seen)
    visitor.key("m")
    visitor.draw((60.0, 20.0))
    visitor.settle()
    assert len(asked) == 4
    assert not visitor.window.buttons["map"].instate(["selected"])


def test_a_voter_without_maps_has_none(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.key("m")
    visitor.settle()
    assert visitor.window.ballots[0].tile is None
    assert "map" not in visitor.window.buttons
    assert visitor.window.error is None


def test_what_is_probably_no_digit_is_called_so(opened: Opener) -> None:
    def judge(picture: Picture, probabilities: Any) -> str | None:
        assert len(probabilities) == 2
        return "probably no digit" if probabilities[0][7] > 0.5 else None

    visitor = opened(width_reader, width_reader, judge=judge)
    visitor.draw(*LINE, lift=False)
    visitor.settle()
    assert visitor.sentence == "both say 1"
    visitor.pen("<Motion>", 260, 220)
    visitor.settle()
    assert visitor.sentence == "▲ probably no digit"


def test_bars_carry_their_numbers(opened: Opener) -> None:
    visitor = opened()
    ballot = visitor.window.ballots[0]
    visitor.draw(*LINE)
    visitor.settle()
    texts = [option(ballot.canvas, number, "text") for _, _, number, _ in ballot._rows]
    assert texts == ["2.0 %", "82.0 %", *["2.0 %"] * 8]
    widths = [np.ptp(ballot.canvas.coords(bar)[::2]) for _, bar, _, _ in ballot._rows]
    assert widths[1] == pytest.approx(41 * widths[0], rel=1e-3)
    assert option(ballot.canvas, ballot._mark, "state") == "normal"
    visitor.key("c")
    visitor.settle()
    assert [option(ballot.canvas, number, "text") for _, _, number, _ in ballot._rows] == [""] * 10
    assert option(ballot.canvas, ballot._digit, "text") == ""


def uniform_map(picture: Picture, digit: int) -> Any:
    return np.ones((28, 28), dtype=np.float32)


@pytest.mark.parametrize("voters", [1, 2, 3, 4])
def test_nothing_is_cut_off(opened: Opener, voters: int) -> None:
    visitor = opened(*[width_reader] * voters, explain=uniform_map)
    visitor.draw(*CORNER)
    visitor.settle()
    assert cut_off(visitor.window) == []


SHARP = """
from __future__ import annotations
import ctypes, json, os, _tkinter
from pathlib import Path
from typing import Any
import numpy as np
from mnist_lab.canvas import CONNECTIONS, Voter, Window, main_window

x11 = ctypes.CDLL(_tkinter.__file__)
x11.XOpenDisplay.restype = x11.XDefaultRootWindow.restype = ctypes.c_void_p
display = ctypes.c_void_p(x11.XOpenDisplay(None))
root = ctypes.c_void_p(x11.XDefaultRootWindow(display))
resource_manager, string, replacing = ctypes.c_long(23), ctypes.c_long(31), 0  # Xatom.h, X.h
x11.XChangeProperty(display, root, resource_manager, string, 8, replacing, b"Xft.dpi: 192", 12)
x11.XCloseDisplay(display)

with main_window() as root:
    voters = [Voter("3-layer", lambda picture: np.full(10, 0.1), lambda picture, digit: picture)]
    window = Window(root, voters, lambda *parts: Path(), lambda drawing: "", None)
    root.update()
    chosen = CONNECTIONS[os.environ["DISPLAY"]].dots_per_inch()
    height = window.look.text.metrics("linespace") / window.layout.px(13)
    print(json.dumps([chosen, window.layout.scale, height, cut_off(window)]))
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
    chosen, scale, height, lost = json.loads(done.stdout)
    assert (chosen, scale, lost) == (192, 2 * LARGEST, [])
    assert height == pytest.approx(1.17, abs=0.1)  # of a line, for each pixel of its font


def cut_off(window: Window) -> list[str]:
    """The widgets that have less room than they need or lie beyond the window's edge, and canvases too small."""
    root = window.root
    assert (root.winfo_width(), root.winfo_height()) == window.layout.window[2:]
    assert root.winfo_width() <= root.winfo_screenwidth()
    found = []
    todo: list[Any] = [root]
    while todo:
        widget = todo.pop()
        todo += widget.winfo_children()
        if widget.winfo_class() in ("TLabel", "TButton", "Label", "TScale"):
            # A slider asks for more than it needs.
            narrow = widget.winfo_reqwidth() > widget.winfo_width() and widget.winfo_class() != "TScale"
            low = widget.winfo_reqheight() > widget.winfo_height()
            right = widget.winfo_rootx() + widget.winfo_width() - root.winfo_rootx()
            bottom = widget.winfo_rooty() + widget.winfo_height() - root.winfo_rooty()
            if narrow or low or right > root.winfo_width() or bottom > root.winfo_height():
                found.append(f"{widget} {widget.winfo_class()}")
    for ballot in window.ballots:
        left, top, right, bottom = ballot.canvas.bbox("all")
        if left < 0 or top < 0 or right > ballot.canvas.winfo_width() or bottom > ballot.canvas.winfo_height():
            found.append(str(ballot.canvas))
    return found


def test_a_full_drawing_takes_no_more_and_says_so(opened: Opener) -> None:
    visitor = opened()
    sketch = visitor.paper.sketch
    sketch.begin(5, 5)
    for step in range(MAX_POINTS - 1):
        sketch._growing.append((5.0 + step % 7, 6.0))
    sketch.end()
    visitor.draw(*LINE)
    assert "as many points as it can hold" in visitor.status
    assert len(sketch.strokes) == 1
    assert visitor.window.error is None


def test_a_mistake_inside_closes_the_window_and_is_raised(opened: Opener, capfd: pytest.CaptureFixture[str]) -> None:
    def broken(picture: Picture) -> Probabilities:
        raise ZeroDivisionError("a mistake")

    visitor = opened(broken)
    visitor.root.after(1, lambda: visitor.draw(*LINE))
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        visitor.window.run()
    assert capfd.readouterr().err == ""


def test_a_real_network_answers_and_explains(opened: Opener, compute: Compute) -> None:
    torch.manual_seed(0)
    model = build_model("3-layer").to(compute.device)

    def predict(picture: Picture) -> Probabilities:
        logits = predict_logits(model, torch.from_numpy(picture)[None, None], compute)
        probabilities: Probabilities = logits.double().softmax(dim=1)[0].numpy()
        return probabilities

    def explain(picture: Picture, digit: int) -> Any:
        images = torch.from_numpy(picture)[None, None]
        return attribute(model, images, torch.tensor([digit]), "gradient", compute)[0]

    visitor = opened(predict, explain=explain)
    visitor.key("m")
    visitor.draw(*CORNER)
    visitor.settle()
    (shown,) = visitor.window.probabilities
    assert shown.sum() == pytest.approx(1)
    assert np.array_equal(shown, predict(seen(visitor.paper.sketch.drawing(), Wobble())))
    assert visitor.sentence.startswith(("a ", "an "))
    tile = visitor.window.ballots[0].tile
    assert tile is not None
    colours = {tile._image.get(x, y) for x in range(0, 100, 5) for y in range(0, 100, 5)}
    assert any(red != blue for red, _, blue in colours)


# --- from outside ------------------------------------------------------------------------------------------------

HOST = """
from __future__ import annotations
import gc, json, sys, threading, tkinter
from pathlib import Path
import numpy as np
from mnist_lab.canvas import Voter, open_window
from mnist_lab.errors import LabError

def note(**what):
    print(json.dumps(what), flush=True)

def widgets_left():
    return sum(issubclass(type(thing), tkinter.Misc) for thing in gc.get_objects())

def predict(picture):
    probabilities = width_reader(picture)
    note(reads=int(probabilities.argmax()))
    return probabilities

def save(drawing, picture, probabilities):
    note(saved=len(drawing.strokes))
    return Path("somewhere")

def keep(drawing):
    note(kept=drawing.label)
    return "kept"

for round in range(int(sys.argv[1])):
    note(opening=round)
    try:
        open_window([Voter("width", predict)], save=save, keep=keep)
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


@pytest.fixture
def guest(screen: str, tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Starts windows in processes of their own; sees to it that none stays."""
    if shutil.which("Xvfb") is None:
        unavailable("Xvfb")  # nobody's own screen is clicked on
    guests: list[Guest] = []

    def start(display: str = screen, rounds: int = 1) -> Guest:
        guests.append(Guest(display, tmp_path, rounds))
        return guests[-1]

    yield start
    for started in guests:
        started.process.kill()
        started.process.wait()


def test_a_person_draws_and_the_prediction_changes_while_the_button_is_down(guest: Callable[..., Guest]) -> None:
    person = guest()
    left, top = person.find()
    paper = plan_layout(1366, 768, 1.0, 1).paper

    def at(x: float, y: float) -> list[str]:
        scale = paper.width / CANVAS
        return ["mousemove", str(round(left + paper.left + x * scale)), str(round(top + paper.top + y * scale))]

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


def test_the_cross_closes_it(opened: Opener) -> None:
    visitor = opened()
    protocol = visitor.root.protocol("WM_DELETE_WINDOW")
    visitor.root.after(1, lambda: visitor.root.tk.call(protocol))
    visitor.window.run()
    assert visitor.window.error is None


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


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
def test_ctrl_c_in_the_terminal_is_not_slept_through(guest: Callable[..., Guest]) -> None:
    person = guest()
    left, top = person.find()
    person.xdotool("mousemove", str(left + 100), str(top + 100), "click", "1")
    person.wait_for_note(reads=7)  # from here on no event comes
    person.process.send_signal(signal.SIGINT)
    assert person.process.wait(PATIENCE) != 0
    assert person.err.read_text().splitlines()[-1] == "KeyboardInterrupt"


def test_no_threads_were_started(opened: Opener) -> None:
    before = threading.active_count()
    visitor = opened()
    visitor.draw(*LINE)
    visitor.settle()
    assert threading.active_count() == before

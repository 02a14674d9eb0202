"""The window to draw in: Tk around plain callables, with predictions that follow the pen.

Networks are handed in as functions of a 28x28 picture, so nothing here knows torch. Everything happens in the main
thread: the ink is drawn at once, and predictions are made between two events, never more often than a screen can show
and always for the newest strokes, so that a slow network makes the bars lag, not the pen.

The parts that need no screen (wobbling, layout, colours, words) are functions of plain values; the classes below them
hold the widgets.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_lab.drawing import (
    BOX,
    BRUSH,
    CANVAS,
    PEN,
    Drawing,
    Picture,
    Point,
    Sketch,
    Stroke,
    centre_of_mass,
    crop,
    ink,
    invert,
    pen_width,
    segments,
    squeeze,
    to_mnist,
    visible,
)
from mnist_lab.errors import LabError, RequestError
from mnist_lab.pixels import SIDE

# A Python built without Tk can still do everything else, so the lack is told when a window is asked for.
try:
    import tkinter as tk
    from tkinter import font as tkfont
    from tkinter import ttk
except ImportError as error:
    TKINTER_MISSING = str(error)
else:
    TKINTER_MISSING = ""

Probabilities: TypeAlias = NDArray[np.float64]
Pixels: TypeAlias = NDArray[np.uint8]

MOST_VOTERS = 4
"""Networks that fit beside each other on a screen of 1366 pixels."""

FRAME = 0.030
"""Shortest time between two predictions, in seconds: about thirty a second look like motion."""
REST = 2.0
"""How long the pen has the processor for itself after a prediction, as a multiple of what that one took."""
STILL_MS = 150
"""Milliseconds without a change after which the pen counts as resting, and saliency maps are made."""
HEARTBEAT_MS = 250
"""Milliseconds after which a Ctrl-C in the terminal is noticed at the latest: Tk sleeps until an event comes."""

# Okabe & Ito's colours, as in the figures: blue speaks for a digit, vermilion against it.
BLUE, SKY_BLUE, VERMILION = "#0072B2", "#56B4E9", "#D55E00"
INK, MUTED, FAINT_INK, LOSER = "#22262B", "#5C6570", "#B4BCC6", "#8FA3B5"
PAPER, GROUND, RULE, TRACK, HOVER, CHOSEN = "#FFFFFF", "#F2F4F7", "#D5DAE1", "#EEF1F4", "#E6EDF5", "#D6E8F5"

LATER = (INK, MUTED, LOSER, BLUE, VERMILION, HOVER, CHOSEN)

TITLE = "MNIST Lab: draw a digit"
STRONGEST = 99.0
"""Percentile of a map's pixels from which its colours are full, lest one pixel make all others pale."""
DIMMED = 0.55
"""Brightness of the digit under a map, so that the colours speak."""

ALTERNATIVE = "or recognise a picture from a file: python main.py predict IMAGE"


class DisplayError(LabError):
    """There is no tkinter, no display, or the display has vanished."""


# --- what is handed in and out -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Voter:
    """A network that takes part, as functions of a picture (28, 28) uint8, white on black.

    Attributes:
        name: its heading; different from the others'.
        predict: gives the probabilities of the ten digits, (10,) float64, 0..1.
        explain: which pixels mattered for a digit 0..9, (28, 28) float32, in any unit: above zero for the digit, below
            zero against it; None for a network that has no such map.
    """

    name: str
    predict: Callable[[Picture], Probabilities]
    explain: Callable[[Picture, int], NDArray[np.float32]] | None = None


@dataclass(frozen=True)
class Wobble:
    """How far the drawing is moved off MNIST's way of placing it; the defaults leave it there."""

    right: float = 0.0  # pixels of the 28x28 picture
    down: float = 0.0  # pixels of the 28x28 picture
    turn: float = 0.0  # degrees, clockwise, about the picture's middle
    size: float = 100.0  # percent of the size it would have, about the picture's middle
    stroke: float = 100.0  # percent of the width that MNIST's lines have


Save: TypeAlias = Callable[[Drawing, Picture, Sequence[Probabilities]], Path]
Keep: TypeAlias = Callable[[Drawing], str]
Judge: TypeAlias = Callable[[Picture, Sequence[Probabilities]], str | None]


def open_window(voters: Sequence[Voter], *, save: Save, keep: Keep, judge: Judge | None = None) -> None:
    """Open the window and come back when it is closed, by Esc or by its cross.

    Errors of the lab that ``save`` and ``keep`` raise are shown in the window and lose nothing; whatever else goes
    wrong inside closes it and is raised from here.

    Args:
        voters: one to four networks, side by side.
        save: called with the drawing (not wobbled, no label), the picture that the networks saw (wobbled) and each
            voter's probabilities when they are to be saved; gives the place, to be shown.
        keep: called with a labelled drawing when a digit key is pressed; gives a sentence to show.
        judge: called with the picture and each voter's probabilities, in their order; gives a sentence where the
            drawing is probably no digit, None where it may be one.

    Raises:
        DisplayError: there is no tkinter or no display, or the display vanished while the window was open.
        RequestError: there are no voters, more than four, or two of the same name.
    """
    check_voters(voters)
    check_display()
    try:
        run_window(voters, save, keep, judge)
    except LabError as error:
        raise error.with_traceback(None) from None  # its frames would keep the widgets
    finally:
        # The widgets hold each other in circles. If another thread came to collect them later, Tcl would abort.
        gc.collect()


def check_voters(voters: Sequence[Voter]) -> None:
    """Refuse what does not fit on a screen or could not be told apart."""
    names = [voter.name for voter in voters]
    if not 1 <= len(names) <= MOST_VOTERS:
        raise RequestError(f"{len(names)} runs can't vote side by side", f"name 1 to {MOST_VOTERS} runs")
    if len(set(names)) < len(names):
        raise RequestError(f"two of the runs have the same name ({', '.join(names)})", "name each run once")


# --- wobbling: geometry over points ------------------------------------------------------------------------------


def see(drawing: Drawing, wobble: Wobble) -> Picture | None:
    """What the networks see of a drawing.

    The steps from pen to 28x28 undo most of what a wobble does: wherever a digit was drawn and however large, it ends
    up centred and 20 pixels long. So it is first placed as those steps place it, and wobbled there.

    Returns:
        (28, 28) uint8, white on black; None if there is no ink to see.
    """
    if wobble == Wobble():
        return to_mnist(drawing)
    placed = place_like_mnist(drawing)
    if placed is None:
        return None
    moved = Drawing(wobbled(placed.strokes, wobble))
    picture = squeeze(invert(ink(moved, PEN * CANVAS / SIDE * wobble.stroke / 100)))
    return picture if picture.any() else None


def place_like_mnist(drawing: Drawing) -> Drawing | None:
    """Move and scale the strokes to where they lie in MNIST's picture, ten canvas pixels for each of its pixels.

    Returns:
        What can be seen of the drawing, as lines from point to point, so that squeezing its ink to 28x28 gives nearly
        what :func:`to_mnist` does (fractions of a pixel fall differently); None if there is no ink.
    """
    final = to_mnist(drawing)
    if final is None:
        return None
    light = invert(ink(drawing, pen_width(drawing)))
    scale = CANVAS / SIDE * BOX / max(crop(light).shape)
    # Resampling by area keeps the centre of mass, so the two centres tell how far the ink was moved.
    row, column = (middle + 0.5 for middle in centre_of_mass(light))
    final_row, final_column = ((middle + 0.5) * CANVAS / SIDE for middle in centre_of_mass(final))
    lines = [((x0, y0), (x1, y1)) for x0, y0, x1, y1 in visible(segments(drawing)).tolist()]
    return Drawing(
        tuple(
            tuple((final_column + scale * (x - column), final_row + scale * (y - row)) for x, y in line)
            for line in lines
        )
    )


def wobbled(strokes: Sequence[Stroke], wobble: Wobble) -> tuple[Stroke, ...]:
    """Resize and turn strokes about the canvas's middle, then shift them; the stroke width is not theirs to change.

    Args:
        strokes: in pixels of the 280x280 canvas, ten for each pixel of the picture, y downwards.
        wobble: its shifts are in pixels of the picture.
    """
    middle, unit = CANVAS / 2, CANVAS / SIDE
    angle, size = math.radians(wobble.turn), wobble.size / 100
    cosine, sine = size * math.cos(angle), size * math.sin(angle)

    def moved(point: Point) -> Point:
        x, y = point[0] - middle, point[1] - middle
        return (
            middle + cosine * x - sine * y + unit * wobble.right,
            middle + sine * x + cosine * y + unit * wobble.down,
        )

    return tuple(tuple(map(moved, stroke)) for stroke in strokes)


# --- layout ------------------------------------------------------------------------------------------------------


class Box(NamedTuple):
    """A rectangle, in pixels of the screen."""

    left: int
    top: int
    width: int
    height: int


MARGIN, GUTTER = 14, 12  # units, around and between the parts
SHEET = 364  # units, side of the paper: 1.3 for each canvas pixel
TOOLS_HEIGHT, LOWER_HEIGHT, VERDICT_HEIGHT, FOOT_HEIGHT = 68, 158, 38, 46
VOTER_WIDTHS = {1: 430, 2: 290, 3: 250, 4: 222}  # units for each, by how many there are
LARGEST = 1.25
"""Screen pixels per unit, on a screen of 96 dots per inch, however large the screen is."""
TASKBAR = 80
"""Pixels at 96 dots per inch for title bar and task bar, of which Tk knows nothing."""


@dataclass(frozen=True)
class Layout:
    """Where everything lies, for a number of voters.

    Attributes:
        voters: how many, 1 to 4.
        scale: pixels of the screen per unit. A unit is about a pixel of an ordinary small screen.
    """

    voters: int
    scale: float

    def px(self, units: float) -> int:
        """Whole pixels of the screen."""
        return round(units * self.scale)

    def box(self, left: float, top: float, width: float, height: float) -> Box:
        """A rectangle given in units; edges are rounded, so that neighbours neither gape nor overlap."""
        right, bottom = self.px(left + width), self.px(top + height)
        return Box(self.px(left), self.px(top), right - self.px(left), bottom - self.px(top))

    @property
    def right_edge(self) -> int:
        """Where the right half starts, in units."""
        return MARGIN + SHEET + GUTTER

    @property
    def right_width(self) -> int:
        """Width of the right half, in units."""
        return self.voters * VOTER_WIDTHS[self.voters] + (self.voters - 1) * GUTTER

    @property
    def lower_edge(self) -> int:
        """Where the lower part starts, in units."""
        return MARGIN + SHEET + GUTTER + TOOLS_HEIGHT + GUTTER

    @property
    def window(self) -> Box:
        """All of it; left and top are 0."""
        height = self.lower_edge + LOWER_HEIGHT + GUTTER + FOOT_HEIGHT + MARGIN
        return self.box(0, 0, self.right_edge + self.right_width + MARGIN, height)

    @property
    def paper(self) -> Box:
        """The sheet to draw on, a square."""
        side = self.px(SHEET)
        return Box(self.px(MARGIN), self.px(MARGIN), side, side)

    @property
    def tools(self) -> Box:
        """Brush and buttons, below the paper."""
        return self.box(MARGIN, MARGIN + SHEET + GUTTER, SHEET, TOOLS_HEIGHT)

    @property
    def seen(self) -> Box:
        """The picture that the networks see, below the tools."""
        return self.box(MARGIN, self.lower_edge, SHEET, LOWER_HEIGHT)

    @property
    def verdict(self) -> Box:
        """One sentence above the voters."""
        return self.box(self.right_edge, MARGIN, self.right_width, VERDICT_HEIGHT)

    def voter(self, index: int) -> Box:
        """The bars of one voter."""
        width, top = VOTER_WIDTHS[self.voters], MARGIN + VERDICT_HEIGHT + GUTTER / 2
        height = self.lower_edge - GUTTER - top
        return self.box(self.right_edge + index * (width + GUTTER), top, width, height)

    @property
    def wobble(self) -> Box:
        """The sliders, below the voters."""
        return self.box(self.right_edge, self.lower_edge, self.right_width, LOWER_HEIGHT)

    @property
    def foot(self) -> Box:
        """Messages and keys."""
        top = self.lower_edge + LOWER_HEIGHT + GUTTER
        return self.box(MARGIN, top, self.right_edge + self.right_width - MARGIN, FOOT_HEIGHT)

    def zoom(self, units: float) -> int:
        """How many whole screen pixels a pixel of the 28x28 picture gets where it should be so many units long."""
        return max(1, round(units * self.scale / SIDE))


def plan_layout(screen_width: int, screen_height: int, density: float, voters: int) -> Layout:
    """As large as the screen allows, but not larger than is comfortable to look at.

    Args:
        screen_width: in pixels.
        screen_height: in pixels.
        density: dots per inch, divided by 96.
        voters: how many, 1 to 4.
    """
    whole = Layout(voters, 1.0).window
    wide = 0.98 * screen_width / whole.width
    high = (screen_height - TASKBAR * density) / whole.height
    return Layout(voters, min(wide, high, LARGEST * density))


# --- pictures and words ------------------------------------------------------------------------------------------


def ppm(pixels: Pixels) -> bytes:
    """A picture (H, W, 3) uint8 in the simplest format that Tk reads."""
    height, width, _ = pixels.shape
    return b"P6 %d %d 255 " % (width, height) + pixels.tobytes()


def enlarged(pixels: Pixels, zoom: int) -> Pixels:
    """Every pixel (H, W, 3) as a square of zoom x zoom, without blur."""
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def coloured(picture: Picture, saliency: NDArray[np.float32] | None = None) -> Pixels:
    """A picture in grey, with a map over it if there is one.

    Args:
        picture: (28, 28) uint8, white on black.
        saliency: (28, 28); blue where it is above zero, vermilion where below, the stronger the further from zero.

    Returns:
        (28, 28, 3) uint8.
    """
    grey = np.repeat(picture[..., np.newaxis], 3, axis=2).astype(np.float64)  # (28, 28, 3)
    if saliency is not None:
        values = np.nan_to_num(saliency.astype(np.float64))[..., np.newaxis]  # (28, 28, 1)
        strongest = max(float(np.percentile(np.abs(values), STRONGEST)), 1e-12)
        strength = np.minimum(np.abs(values) / strongest, 1)
        tint = np.where(values > 0, rgb(SKY_BLUE), rgb(VERMILION))  # (28, 28, 3)
        grey = DIMMED * grey * (1 - strength) + tint * strength
    return np.rint(grey).astype(np.uint8)


def disc(side: int, diameter: float, colour: str, ground: str) -> Pixels:
    """A smooth round spot in the middle of (side, side, 3) uint8, which Tk can't draw itself."""
    middles = np.arange(side) + 0.5 - side / 2
    distance = np.hypot(middles, middles[:, np.newaxis])
    covered = np.clip(diameter / 2 + 0.5 - distance, 0, 1)[..., np.newaxis]
    pixels: NDArray[np.float64] = covered * rgb(colour) + (1 - covered) * rgb(ground)
    return np.rint(pixels).astype(np.uint8)


def rgb(colour: str) -> NDArray[np.float64]:
    """``#RRGGBB`` as three numbers 0..255."""
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], dtype=np.float64)


def percent(probability: float) -> str:
    """A probability in percent; what rounds to all or nothing says that it isn't quite."""
    if probability >= 0.9995:
        return "> 99.9 %"
    return "< 0.1 %" if probability < 0.0005 else f"{100 * probability:.1f} %"


def verdict(winners: Sequence[int], runners_up: Sequence[tuple[int, float]]) -> str:
    """What the voters say together, in one sentence.

    Args:
        winners: each voter's most probable digit; at least one.
        runners_up: each voter's second, with its probability 0..1.
    """
    first = winners[0]
    if len(set(winners)) > 1:
        return f"they disagree: {', '.join(map(str, winners))}"
    if len(winners) > 1:
        return f"{('both', 'all three', 'all four')[len(winners) - 2]} say {first}"
    second, probability = runners_up[0]
    return f"{with_article(first)}, or perhaps {with_article(second)}" if probability >= 0.1 else with_article(first)


def with_article(digit: int) -> str:
    """``a 7``, ``an 8``."""
    return f"{'an' if digit == 8 else 'a'} {digit}"


def shortened(text: str, width: int, measure: Callable[[str], int]) -> str:
    """The end of a text, after an ellipsis, where all of it would be wider than allowed.

    The ends are what differs between the names of runs, and between places on a disk.
    """
    if measure(text) <= width:
        return text
    while text and measure(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"


COMMANDS = {"z": "undo", "y": "redo", "c": "clear", "s": "save", "m": "map", "r": "reset", "escape": "close"}
"""What each key does; the digits label the drawing."""


def command_for(key: str, *, modified: bool, shifted: bool = False) -> str | None:
    """What a key asks for: a command by its name, a label "0" to "9", or None.

    Args:
        key: as Tk names it ("z", "Escape", "KP_7").
        modified: whether Control (Command on a Mac) or Alt is held.
        shifted: whether Shift is held as well.
    """
    key = key.lower()  # so that a caps lock does no harm
    if modified:
        return {"z": "redo" if shifted else "undo", "y": "redo"}.get(key)
    digit = key.removeprefix("kp_")
    return digit if digit in set("0123456789") else COMMANDS.get(key)


# --- timers ------------------------------------------------------------------------------------------------------


class Timer:
    """An action that happens later, at most once at a time."""

    def __init__(self, widget: tk.Misc, action: Callable[[], None]) -> None:
        self._widget, self._action = widget, action
        self._pending: str | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the action is still to come."""
        return self._pending is not None

    def start(self, milliseconds: int) -> None:
        """Let the action happen so much later, and not at the time named before."""
        self.stop()
        self._pending = self._widget.after(milliseconds, self._happen)

    def stop(self) -> None:
        """Let it not happen."""
        if self._pending is not None:
            self._widget.after_cancel(self._pending)
            self._pending = None

    def _happen(self) -> None:
        self._pending = None
        self._action()


class Pacer:
    """Does some work soon after it was asked for, however often that is, and leaves time for other things.

    Nothing queues: while a request is pending, others change nothing, and the work looks at the newest state.
    """

    def __init__(self, widget: tk.Misc, work: Callable[[], None]) -> None:
        self._timer = Timer(widget, self._run)
        self._work = work
        self._not_before = 0.0  # of time.perf_counter

    def request(self) -> None:
        """Have the work done, once, as soon as it may be."""
        if not self._timer.is_pending:
            self._timer.start(max(0, math.ceil(1000 * (self._not_before - time.perf_counter()))))

    def finish(self) -> None:
        """Do now what is pending."""
        if self._timer.is_pending:
            self._timer.stop()
            self._run()

    def _run(self) -> None:
        started = time.perf_counter()
        self._work()
        ended = time.perf_counter()
        self._not_before = max(started + FRAME, ended + REST * (ended - started))


# --- widgets -----------------------------------------------------------------------------------------------------


class Look:
    """Fonts, styles and small pictures of one window."""

    def __init__(self, root: tk.Tk, layout: Layout) -> None:
        self.layout = layout
        self._root = root
        self.family = str(tkfont.nametofont("TkDefaultFont", root=root).actual("family"))
        self.text = self.font(13)
        self.small = self.font(11.5)
        self.bold = self.font(13, "bold")
        self.heading = self.font(14, "bold")
        self.name = self.font(11, "bold") if layout.voters > 2 else self.bold
        self.digit = self.font(72, "bold")
        self.hint = self.font(22)
        # Images live as long as somebody refers to them.
        self._knobs = [self.knob(colour) for colour in (BLUE, "#005A8E", "#004A75")]
        self._trough = self.trough()
        root.configure(background=GROUND)
        # Colours that are first needed later: to ask a vanished display for one would abort the process.
        self._palette = [tk.Frame(root, background=colour) for colour in LATER]
        self._style(ttk.Style(root))

    def font(self, units: float, weight: str = "normal") -> tkfont.Font:
        """A font by its height in units; negative sizes are pixels to Tk."""
        size = -max(8, self.layout.px(units))
        return tkfont.Font(
            root=self._root, family=self.family, size=size, weight="bold" if weight == "bold" else "normal"
        )

    def image(self, pixels: Pixels) -> tk.PhotoImage:
        """A picture (H, W, 3) that Tk can show."""
        return tk.PhotoImage(master=self._root, data=ppm(pixels), format="PPM")

    def knob(self, colour: str) -> tk.PhotoImage:
        """The round handle of a slider."""
        side = self.layout.px(16)
        return self.image(disc(side, side - 2, colour, PAPER))

    def trough(self) -> tk.PhotoImage:
        """The line that a handle moves along: to be stretched, so its round ends are what matters."""
        side, thick = self.layout.px(16), max(3, self.layout.px(4))
        pixels = np.full((side, side, 3), rgb(PAPER), dtype=np.uint8)
        top = (side - thick) // 2
        pixels[top : top + thick] = disc(thick, thick, RULE, PAPER)[:, [thick // 2]]
        return self.image(pixels)

    def _style(self, style: ttk.Style) -> None:
        style.theme_use("clam")
        style.configure(
            ".", background=PAPER, foreground=INK, font=self.text, bordercolor=RULE, focuscolor=FAINT_INK, relief="flat"
        )
        style.configure("Muted.TLabel", foreground=MUTED, font=self.small)
        style.configure("Heading.TLabel", font=self.bold)
        style.configure("Ground.TLabel", background=GROUND, font=self.text)
        style.configure("Foot.TLabel", background=GROUND, foreground=MUTED, font=self.small)
        px = self.layout.px
        for name in ("TButton", "Toolbutton"):
            style.configure(
                name,
                background=PAPER,
                foreground=INK,
                bordercolor=RULE,
                lightcolor=PAPER,
                darkcolor=PAPER,
                borderwidth=1,
                relief="solid",
                padding=(px(6), px(3)),
                anchor="center",
                width=0,
            )
            style.map(
                name,
                background=[("disabled", GROUND), ("pressed", RULE), ("selected", CHOSEN), ("active", HOVER)],
                foreground=[("disabled", FAINT_INK)],
                bordercolor=[("disabled", RULE), ("selected", BLUE), ("focus", BLUE)],
                lightcolor=[("pressed", RULE), ("active", HOVER)],
                darkcolor=[("pressed", RULE), ("active", HOVER)],
                relief=[("pressed", "solid"), ("selected", "solid"), ("!disabled", "solid"), ("disabled", "solid")],
            )
        plain, active, pressed = self._knobs
        style.element_create("Lab.Scale.slider", "image", plain, ("pressed", pressed), ("active", active), sticky="")
        style.element_create("Lab.Scale.trough", "image", self._trough, border=px(6), padding=0, sticky="ew")
        handle: Any = ("Lab.Scale.slider", {"side": "left", "sticky": ""})
        style.layout("Lab.Horizontal.TScale", [("Lab.Scale.trough", {"sticky": "ew", "children": [handle]})])


def card(root: tk.Misc, box: Box, colour: str = PAPER, border: str = RULE) -> tk.Frame:
    """A part of the window: a white area with a thin line around it, whose size does not follow its content."""
    frame = tk.Frame(root, background=colour, highlightthickness=1, highlightbackground=border, highlightcolor=border)
    frame.place(x=box.left, y=box.top, width=box.width, height=box.height)
    frame.pack_propagate(False)
    frame.grid_propagate(False)
    return frame


class Dial(NamedTuple):
    """A slider: what it says, how far it goes, and in which steps."""

    label: str
    low: float
    high: float
    step: float
    unit: str

    def rounded(self, value: float) -> float:
        """The nearest step."""
        return self.step * round(value / self.step)

    def shown(self, value: float) -> str:
        """The value with its unit."""
        sign = "+" if self.low < 0 else ""
        digits = 0 if self.step >= 1 else 1
        return f"{value:{sign}.{digits}f}{self.unit}" if value or not sign else f"0{self.unit}"


BRUSH_DIAL = Dial("Brush", 6, 40, 1, " px")
DIALS = {
    "right": Dial("Shift →", -6, 6, 0.5, " px"),
    "down": Dial("Shift ↓", -6, 6, 0.5, " px"),
    "turn": Dial("Rotation", -90, 90, 1, "°"),
    "size": Dial("Size", 50, 150, 1, " %"),
    "stroke": Dial("Stroke", 30, 300, 5, " %"),
}
"""One slider for each field of a :class:`Wobble`. A picture is 28 pixels wide."""


class Slider:
    """A dial on the screen: its name, a handle to move, and its value."""

    def __init__(
        self, parent: tk.Misc, look: Look, dial: Dial, value: float, on_change: Callable[[float], None]
    ) -> None:
        self._dial, self._on_change = dial, on_change
        self.frame = tk.Frame(parent, background=PAPER)
        ttk.Label(self.frame, text=dial.label, width=8).pack(side="left")
        self._number = ttk.Label(self.frame, width=6, anchor="e")
        self._number.pack(side="right")
        self.scale = ttk.Scale(
            self.frame,
            from_=dial.low,
            to=dial.high,
            value=value,
            style="Lab.Horizontal.TScale",
            command=self._moved,
        )
        self.scale.pack(side="left", fill="x", expand=True, padx=look.layout.px(4))
        self._value = value
        self._show()

    def set(self, value: float) -> None:
        """Move the handle."""
        self.scale.set(value)

    def _moved(self, position: str) -> None:
        value = self._dial.rounded(float(position))
        if value != self._value:
            self._value = value
            self._show()
            self._on_change(value)

    def _show(self) -> None:
        self._number.configure(text=self._dial.shown(self._value))


class Paper:
    """The sheet to draw on: follows mouse or pen, keeps the sketch, and shows its ink."""

    def __init__(self, root: tk.Misc, look: Look, on_change: Callable[[], None], on_full: Callable[[], None]) -> None:
        box = look.layout.paper
        self._look, self._on_change, self._on_full = look, on_change, on_full
        self._scale = (box.width - 2) / CANVAS  # without the frame's line
        self.sketch = Sketch()
        self.brush = BRUSH
        self._tip: Point | None = None  # where the pen is, while it is down
        self.canvas = tk.Canvas(
            card(root, box), background=PAPER, highlightthickness=0, borderwidth=0, cursor="pencil", takefocus=False
        )
        self.canvas.pack(fill="both", expand=True)
        self.canvas.bind("<Button-1>", self._down)
        self.canvas.bind("<B1-Motion>", self._move)
        self.canvas.bind("<ButtonRelease-1>", self._up)
        self.redraw()

    def redraw(self) -> None:
        """Show the sketch as it is now: after undo, redo, clearing, and with another brush."""
        self.canvas.delete("all")
        if not self.sketch.strokes:
            middle = self._scale * CANVAS / 2
            self.canvas.create_text(
                middle, middle, text="draw a digit", font=self._look.hint, fill=FAINT_INK, tags="hint"
            )
        for stroke in self.sketch.strokes:
            self._ink(stroke, "ink")

    def _ink(self, stroke: Sequence[Point], tag: str) -> None:
        """One stroke, with round ends; a point is a dot."""
        points = [(self._scale * x, self._scale * y) for x, y in stroke]
        width = self._scale * self.brush
        if len(points) == 1:
            (x, y), reach = points[0], width / 2
            self.canvas.create_oval(x - reach, y - reach, x + reach, y + reach, fill=INK, outline="", tags=tag)
        else:
            self.canvas.create_line(points, width=width, fill=INK, capstyle="round", joinstyle="round", tags=tag)

    def _down(self, event: tk.Event[tk.Canvas]) -> None:
        self.canvas.focus_set()  # away from a slider, whose arrow keys would go on moving it
        if self.sketch.is_full:
            self._on_full()
            return
        self.canvas.delete("hint")
        self._tip = self._place(event)
        self.sketch.begin(*self._tip)
        self._ink([self._tip], "growing")
        self._on_change()

    def _move(self, event: tk.Event[tk.Canvas]) -> None:
        point = self._place(event)
        if self._tip is None or point == self._tip:
            return
        if self.sketch.is_full:
            self._on_full()
            return
        self.sketch.extend(*point)
        # Only the new piece, whatever the stroke's length: ink must never wait.
        self._ink([self._tip, point], "growing")
        self._tip = point
        self._on_change()

    def _up(self, event: tk.Event[tk.Canvas]) -> None:
        if self._tip is None:
            return
        self._tip = None
        self.sketch.end()
        self.canvas.delete("growing")
        self._ink(self.sketch.strokes[-1], "ink")
        self._on_change()

    def change(self, step: Callable[[], None]) -> None:
        """Undo, redo or clear; a stroke being drawn ends there."""
        self._tip = None
        step()
        self.redraw()
        self._on_change()

    def _place(self, event: tk.Event[tk.Canvas]) -> Point:
        """The middle of the screen's pixel under the pen, in canvas pixels."""
        return round((event.x + 0.5) / self._scale, 2), round((event.y + 0.5) / self._scale, 2)


class Tile:
    """A picture of 28x28, enlarged without blur, on a Tk canvas."""

    def __init__(self, canvas: tk.Canvas, look: Look, left: int, top: int, zoom: int) -> None:
        self._zoom = zoom
        side = zoom * SIDE
        canvas.create_rectangle(left, top, left + side - 1, top + side - 1, fill=TRACK, outline="")
        self._image = tk.PhotoImage(master=canvas, width=side, height=side)
        canvas.create_image(left, top, anchor="nw", image=self._image)

    def show(self, pixels: Pixels) -> None:
        """Show (28, 28, 3)."""
        self._image.configure(data=ppm(enlarged(pixels, self._zoom)), format="PPM")

    def clear(self) -> None:
        """Show the empty ground."""
        self._image.blank()


class Ballot:
    """What one voter says: the winning digit, ten bars with their numbers, and its saliency map."""

    def __init__(self, root: tk.Misc, look: Look, box: Box, voter: Voter) -> None:
        px = look.layout.px
        self._look = look
        self.canvas = tk.Canvas(card(root, box), background=PAPER, highlightthickness=0, borderwidth=0)
        self.canvas.pack(fill="both", expand=True)
        self._width, edge = box.width - 2, px(12)
        name = shortened(voter.name, self._width - 2 * edge, look.name.measure)
        self.canvas.create_text(edge, px(19), text=name, font=look.name, fill=INK, anchor="w")
        self.tile: Tile | None = None
        zoom = look.layout.zoom(112)
        left, top = self._width - edge - zoom * SIDE, px(34)
        if voter.explain is not None:
            self.tile = Tile(self.canvas, look, left, top, zoom)
            self._invitation = self.canvas.create_text(
                left + zoom * SIDE // 2,
                top + zoom * SIDE // 2,
                text="press m to see\nwhat mattered",
                justify="center",
                font=look.small,
                fill=MUTED,
            )
        centre = (left if self.tile else self._width) // 2 + edge // 3
        self._digit = self.canvas.create_text(centre, top + px(44), font=look.digit, fill=BLUE)
        self._certainty = self.canvas.create_text(centre, top + px(100), font=look.heading, fill=INK)
        self._rows = [self._row(digit, px(34 + 112 + 22 + 23.5 * digit)) for digit in range(10)]
        reach = px(4)
        self._mark = self.canvas.create_polygon(0, 0, 0, 0, 0, 0, fill=BLUE, state="hidden")
        self._mark_shape = ((-reach, -reach), (reach, 0), (-reach, reach))

    def _row(self, digit: int, middle: int) -> tuple[int, int, int, int]:
        """One digit: the items of its name, bar and number, and its height on the canvas."""
        px = self._look.layout.px
        self._bar_left, self._bar_right = px(38), self._width - px(74)
        name = self.canvas.create_text(px(26), middle, text=str(digit), font=self._look.text, fill=INK)
        half = px(7)
        self.canvas.create_rectangle(
            self._bar_left, middle - half, self._bar_right, middle + half, fill=TRACK, outline=""
        )
        bar = self.canvas.create_rectangle(
            self._bar_left, middle - half, self._bar_left, middle + half, fill=FAINT_INK, outline="", state="hidden"
        )
        number = self.canvas.create_text(
            self._width - px(12), middle, font=self._look.text, fill=MUTED, anchor="e", text=""
        )
        return name, bar, number, middle

    def show(self, probabilities: Probabilities) -> None:
        """Ten probabilities, 0..1."""
        winner = int(np.argmax(probabilities))
        self.canvas.itemconfigure(self._digit, text=str(winner))
        self.canvas.itemconfigure(self._certainty, text=percent(float(probabilities[winner])))
        for digit, (name, bar, number, middle) in enumerate(self._rows):
            won, probability = digit == winner, float(probabilities[digit])
            right = self._bar_left + probability * (self._bar_right - self._bar_left)
            half = self._look.layout.px(7)
            self.canvas.coords(bar, self._bar_left, middle - half, right, middle + half)
            visible_bar = right - self._bar_left >= 1
            colour = BLUE if won else LOSER
            self.canvas.itemconfigure(bar, fill=colour, state="normal" if visible_bar else "hidden")
            font = self._look.bold if won else self._look.text
            self.canvas.itemconfigure(name, font=font)
            self.canvas.itemconfigure(number, text=percent(probability), font=font, fill=INK if won else MUTED)
        middle = self._rows[winner][3]
        mark = [number for x, y in self._mark_shape for number in (self._look.layout.px(11) + x, middle + y)]
        self.canvas.coords(self._mark, *mark)
        self.canvas.itemconfigure(self._mark, state="normal")

    def clear(self) -> None:
        """No prediction."""
        for item in (self._digit, self._certainty):
            self.canvas.itemconfigure(item, text="")
        for name, bar, number, _ in self._rows:
            self.canvas.itemconfigure(name, font=self._look.text)
            self.canvas.itemconfigure(bar, state="hidden")
            self.canvas.itemconfigure(number, text="")
        self.canvas.itemconfigure(self._mark, state="hidden")

    def show_map(self, pixels: Pixels | None, *, invite: bool) -> None:
        """The picture with or without its map, (28, 28, 3), or none; then perhaps how to see one."""
        if self.tile is None:
            return
        if pixels is None:
            self.tile.clear()
        else:
            self.tile.show(pixels)
        self.canvas.itemconfigure(self._invitation, state="normal" if invite else "hidden")


class Window:
    """Everything in the window, and what happens when."""

    def __init__(self, root: tk.Tk, voters: Sequence[Voter], save: Save, keep: Keep, judge: Judge | None) -> None:
        self.root = root
        self.error: BaseException | None = None
        self._voters, self._save, self._keep, self._judge = voters, save, keep, judge
        self._windowing = str(root.tk.call("tk", "windowingsystem"))
        self.layout = plan_layout(root.winfo_screenwidth(), root.winfo_screenheight(), density(root), len(voters))
        self.look = Look(root, self.layout)
        self.wobble = Wobble()
        self.picture: Picture | None = None
        self.probabilities: list[Probabilities] = []
        self.shows_maps = False
        self._kept: Drawing | None = None  # what was labelled last
        self._unexplained: list[int] = []  # voters whose maps are still to be made
        self._pacer = Pacer(root, self._predict)
        self._still = Timer(root, self._explain)
        self._heartbeat = Timer(root, self._beat)

        root.report_callback_exception = self._fail
        self.paper = Paper(root, self.look, self._changed, self._tell_full)
        self.ballots = [Ballot(root, self.look, self.layout.voter(index), voter) for index, voter in enumerate(voters)]
        self.buttons: dict[str, ttk.Button] = {}
        self._build_tools()
        self._build_seen()
        self._build_wobble()
        self._build_words()
        self._changed()
        self._place_window()
        root.bind("<Key>", self._key)
        root.protocol("WM_DELETE_WINDOW", self.close)
        self._beat()

    # What there is

    def _build_tools(self) -> None:
        px, box = self.look.layout.px, self.layout.tools
        tools = card(self.root, box, GROUND, GROUND)
        brush_row = card(tools, Box(0, 0, box.width - 2, px(30)))
        brush = Slider(brush_row, self.look, BRUSH_DIAL, BRUSH, self._set_brush)
        brush.frame.pack(fill="both", expand=True, padx=px(8))
        row = tk.Frame(tools, background=GROUND)
        row.place(x=0, y=px(36), width=box.width - 2, height=px(31))
        for column, (command, text) in enumerate(
            [("undo", "Undo  z"), ("redo", "Redo  y"), ("clear", "Clear  c"), ("save", "Save  s")]
        ):
            row.columnconfigure(column, weight=1, uniform="buttons")
            self._button(row, command, text).grid(
                row=0, column=column, sticky="nsew", padx=(0 if column == 0 else px(6), 0)
            )
        row.rowconfigure(0, weight=1)

    def _button(self, parent: tk.Misc, command: str, text: str, style: str = "TButton") -> ttk.Button:
        button = ttk.Button(parent, text=text, style=style, command=lambda: self.do(command))
        self.buttons[command] = button
        return button

    def _build_seen(self) -> None:
        """The picture that the networks see, and the legend of the maps."""
        px, box = self.look.layout.px, self.layout.seen
        seen = card(self.root, box)
        zoom = self.layout.zoom(140)
        side = zoom * SIDE
        edge = (box.height - 2 - side) // 2
        canvas = tk.Canvas(seen, width=side, height=side, background=PAPER, highlightthickness=0, borderwidth=0)
        canvas.place(x=edge, y=edge)
        self.tile = Tile(canvas, self.look, 0, 0, zoom)
        words = tk.Frame(seen, background=PAPER)
        left = side + 2 * edge + px(4)
        words.place(x=left, y=edge, width=box.width - 2 - left - px(8), height=side)
        who = "network sees" if self.layout.voters == 1 else "networks see"
        ttk.Label(words, text=f"What the {who}", style="Heading.TLabel").pack(anchor="w")
        ttk.Label(words, text="28 × 28 pixels, white on black", style="Muted.TLabel").pack(anchor="w", pady=(px(2), 0))
        if any(voter.explain for voter in self._voters):
            self._button(words, "map", "Map  m", "Toolbutton").pack(side="bottom", anchor="w", ipadx=px(10))
            for colour, text in ((VERMILION, "speaks against"), (SKY_BLUE, "speaks for the digit")):
                line = tk.Frame(words, background=PAPER)
                line.pack(side="bottom", anchor="w", pady=(0, px(6) if colour == VERMILION else px(3)))
                tk.Frame(line, background=colour, width=px(11), height=px(11)).pack(side="left", padx=(0, px(6)))
                ttk.Label(line, text=text, style="Muted.TLabel").pack(side="left")

    def _build_wobble(self) -> None:
        px, box = self.look.layout.px, self.layout.wobble
        frame = card(self.root, box)
        head = tk.Frame(frame, background=PAPER)
        head.pack(fill="x", padx=px(10), pady=(px(7), px(3)))
        ttk.Label(head, text="Wobble", style="Heading.TLabel").pack(side="left")
        ttk.Label(head, text="until minds change", style="Muted.TLabel").pack(side="left", padx=px(8))
        self._button(head, "reset", "Reset  r").pack(side="right")
        body = tk.Frame(frame, background=PAPER)
        body.pack(fill="both", expand=True, padx=px(10), pady=(0, px(6)))
        columns = 1 if self.layout.voters == 1 else 2
        rows = math.ceil(len(DIALS) / columns)
        self.sliders: dict[str, Slider] = {}
        for place, (field, dial) in enumerate(DIALS.items()):
            slider = Slider(body, self.look, dial, getattr(Wobble(), field), self._setter(field))
            self.sliders[field] = slider
            row, column = place % rows, place // rows
            slider.frame.grid(row=row, column=column, sticky="nsew", padx=(px(24) if column else 0, 0))
            body.rowconfigure(row, weight=1)
            body.columnconfigure(column, weight=1, uniform="sliders")

    def _build_words(self) -> None:
        """The sentence above the voters, messages, and the keys that no button names."""
        px = self.look.layout.px
        box = self.layout.verdict
        self._verdict = tk.Label(
            card(self.root, box), background=PAPER, font=self.look.heading, wraplength=box.width - px(24)
        )
        self._verdict.pack(fill="both", expand=True)
        foot = card(self.root, self.layout.foot, GROUND, GROUND)
        self._status_width = self.layout.foot.width - px(120)
        self._button(foot, "close", "Close  Esc").pack(side="right", anchor="s")
        self._status = ttk.Label(foot, style="Ground.TLabel")
        self._status.pack(side="top", anchor="w", fill="x")
        keys = "Keys 0–9 keep the drawing as that digit  ·  Ctrl+Z, Ctrl+Y: undo, redo"
        ttk.Label(foot, text=keys, style="Foot.TLabel").pack(side="bottom", anchor="w")

    def _place_window(self) -> None:
        """In the middle of the screen, in front, ready for keys."""
        root, window = self.root, self.layout.window
        left = (root.winfo_screenwidth() - window.width) // 2
        top = max(0, (root.winfo_screenheight() - window.height) // 2 - self.layout.px(20))
        root.title(TITLE)
        root.geometry(f"{window.width}x{window.height}+{left}+{top}")
        root.resizable(False, False)
        root.deiconify()
        root.lift()
        root.focus_force()

    # What happens

    def run(self) -> None:
        """Until it is closed; then whatever went wrong inside is raised."""
        self.root.mainloop()
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Let :meth:`run` come to its end."""
        self.root.quit()

    def do(self, command: str) -> None:
        """A button or its key."""
        match command:
            case "undo":
                self.paper.change(self.paper.sketch.undo)
            case "redo":
                self.paper.change(self.paper.sketch.redo)
            case "clear":
                self.paper.change(self.paper.sketch.clear)
            case "save":
                self._save_now()
            case "map":
                self._toggle_maps()
            case "reset":
                for field, slider in self.sliders.items():
                    slider.set(getattr(Wobble(), field))
            case "close":
                self.close()
            case digit:
                self._keep_as(int(digit))

    def tell(self, message: str, *, trouble: bool = False) -> None:
        """A line at the foot of the window."""
        text = f"! {message}" if trouble else message
        text = shortened(" ".join(text.split()), self._status_width, self.look.text.measure)
        self._status.configure(text=text, foreground=VERMILION if trouble else INK)

    def _key(self, event: tk.Event[tk.Misc]) -> None:
        state = int(event.state)
        # Bit 2 is Control everywhere; bit 3 is Alt on X11 and Command on a Mac, but the number lock on Windows.
        modified = bool(state & (0x20004 if self._windowing == "win32" else 0xC))
        command = command_for(event.keysym, modified=modified, shifted=bool(state & 1))
        if command is not None:
            self.do(command)

    def _changed(self) -> None:
        """The strokes are others than before."""
        sketch = self.paper.sketch
        has_ink = bool(sketch.strokes)
        for command, possible in [
            ("undo", sketch.can_undo),
            ("redo", sketch.can_redo),
            ("clear", has_ink),
            ("save", has_ink),
        ]:
            self._enable(command, possible)
        self._request()

    def _enable(self, command: str, possible: bool) -> None:
        self.buttons[command].state(["!disabled" if possible else "disabled"])

    def _request(self) -> None:
        """The picture may have changed: predict soon, explain once nothing changes any more."""
        self._still.stop()
        self._pacer.request()

    def _set_brush(self, width: float) -> None:
        self.paper.brush = width
        self.paper.redraw()

    def _setter(self, field: str) -> Callable[[float], None]:
        def set_field(value: float) -> None:
            self.wobble = replace(self.wobble, **{field: value})
            self._request()

        return set_field

    def _predict(self) -> None:
        """Show what the voters say about the newest strokes."""
        picture = see(self.paper.sketch.drawing(), self.wobble)
        if picture is None:
            self._show_nothing()
            return
        self.picture = picture
        self.probabilities = [voter.predict(picture) for voter in self._voters]
        self.tile.show(coloured(picture))
        for ballot, probabilities in zip(self.ballots, self.probabilities, strict=True):
            ballot.show(probabilities)
            ballot.show_map(coloured(picture) if self.shows_maps else None, invite=not self.shows_maps)
        self._pronounce(picture)
        if self.shows_maps:
            self._unexplained = list(range(len(self._voters)))
            self._still.start(STILL_MS)

    def _pronounce(self, picture: Picture) -> None:
        """The sentence above the voters: what they say, or that it is probably no digit."""
        doubt = self._judge(picture, self.probabilities) if self._judge else None
        if doubt is not None:
            self._verdict.configure(text=f"▲ {doubt}", foreground=VERMILION)
            return
        order = [np.argsort(probabilities) for probabilities in self.probabilities]
        winners = [int(places[-1]) for places in order]
        seconds = [
            (int(places[-2]), float(probabilities[places[-2]]))
            for places, probabilities in zip(order, self.probabilities, strict=True)
        ]
        self._verdict.configure(text=verdict(winners, seconds), foreground=INK)

    def _show_nothing(self) -> None:
        self.picture, self.probabilities = None, []
        self._still.stop()
        self.tile.clear()
        for ballot in self.ballots:
            ballot.clear()
            ballot.show_map(None, invite=not self.shows_maps)
        self._verdict.configure(text="draw a digit with mouse or pen", foreground=MUTED)

    def _toggle_maps(self) -> None:
        self.shows_maps = not self.shows_maps
        if "map" in self.buttons:
            self.buttons["map"].state(["selected" if self.shows_maps else "!selected"])
        self._request()

    def _explain(self) -> None:
        """Make one voter's map; the next one only after whatever the pen has done meanwhile."""
        if self.picture is None or not self._unexplained:
            return
        index = self._unexplained.pop(0)
        explain, winner = self._voters[index].explain, int(np.argmax(self.probabilities[index]))
        if explain is not None:
            saliency = explain(self.picture, winner)
            self.ballots[index].show_map(coloured(self.picture, saliency), invite=False)
        self._still.start(1)

    def _save_now(self) -> None:
        self._pacer.finish()
        if self.picture is None:
            self.tell("there is nothing to save yet: draw a digit")
            return
        self.tell("saving ...")
        self.root.update_idletasks()
        try:
            place = self._save(self.paper.sketch.drawing(), self.picture, self.probabilities)
        except LabError as error:
            self.tell(f"not saved: {error}", trouble=True)
        else:
            self.tell(f"saved in {place}")

    def _keep_as(self, label: int) -> None:
        drawing = self.paper.sketch.drawing()
        self._pacer.finish()
        if self.picture is None:
            self.tell(f"there is nothing to keep as a {label} yet: draw it")
        elif self._kept is not None and self._kept.strokes == drawing.strokes:
            self.tell(f"this drawing is already kept as a {self._kept.label}: draw another")
        else:
            labelled = replace(drawing, label=label)
            try:
                self.tell(self._keep(labelled))
            except LabError as error:
                self.tell(f"not kept: {error}", trouble=True)
            else:
                self._kept = labelled

    def _tell_full(self) -> None:
        self.tell("the drawing has as many points as it can hold: undo or clear something", trouble=True)

    def _fail(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Something went wrong in an action: close, and raise it once Tk has come to its end."""
        self.error = self.error or error
        self.close()

    def _beat(self) -> None:
        self._heartbeat.start(HEARTBEAT_MS)


# --- the display -------------------------------------------------------------------------------------------------


def check_display() -> None:
    """Refuse where no window could be opened, before Tk is asked.

    Raises:
        DisplayError: there is no tkinter, or the display that an earlier window was on has vanished since.
    """
    if TKINTER_MISSING:
        raise DisplayError(
            f"this Python has no tkinter, which draws windows ({TKINTER_MISSING})",
            f"{tkinter_advice(sys.platform)}, {ALTERNATIVE}",
        )
    connection = CONNECTIONS.get(display_name())
    if connection is not None and not connection.is_alive():
        raise vanished()


def tkinter_advice(platform: str) -> str:
    """How to get tkinter, by ``sys.platform``."""
    if platform == "win32":
        return 'run the installer from python.org again, choose "Modify" and tick "tcl/tk"'
    if platform == "darwin":
        return "install it (Homebrew: brew install python-tk; the installer from python.org has it)"
    return "install it (apt install python3-tk, or dnf install python3-tkinter)"


def vanished() -> DisplayError:
    """The display is gone, and with it the window."""
    next_step = f"start the program again where there is a display, {ALTERNATIVE}"
    return DisplayError(f"the display {display_name()} has vanished".replace("  ", " "), next_step)


def display_name() -> str:
    """What Tk takes for the name of the display on X11."""
    return os.environ.get("DISPLAY", "")


def run_window(voters: Sequence[Voter], save: Save, keep: Keep, judge: Judge | None) -> None:
    """Open the window and wait until it is closed."""
    with main_window() as root:
        Window(root, voters, save, keep, judge).run()


@contextmanager
def main_window() -> Iterator[tk.Tk]:
    """A main window, still hidden; nothing of it is left afterwards.

    Raises:
        DisplayError: there is no display, or it has vanished meanwhile.
    """
    root = new_root()
    connection = watch_connection(root)
    try:
        yield root
    except tk.TclError:
        if connection is None or not connection.is_lost:
            raise
    finally:
        take_down(root)
        if connection is not None:
            connection.on_loss = nothing_to_do
    if connection is not None and connection.is_lost:
        raise vanished()


def new_root() -> tk.Tk:
    """The main window, still hidden.

    Raises:
        DisplayError: there is no display to show it on.
    """
    if sys.platform == "win32":
        be_sharp_on_windows()
    try:
        root = tk.Tk(className="MnistLab")
    except tk.TclError as error:
        advice = "work at a screen, or connect with ssh -X"
        raise DisplayError(f"no window can be opened ({error})", f"{advice}, {ALTERNATIVE}") from None
    root.withdraw()
    return root


def take_down(root: tk.Tk) -> None:
    """Destroy the window, with all that was still to happen in it."""
    for pending in root.tk.splitlist(root.tk.call("after", "info")):
        root.after_cancel(pending)
    root.destroy()


def be_sharp_on_windows() -> None:
    """Ask for real pixels; otherwise Windows enlarges the window like a photograph."""
    with suppress(AttributeError, OSError):  # before Windows 8.1, or already decided by somebody else
        ctypes.windll.shcore.SetProcessDpiAwareness(1)  # type: ignore[attr-defined, unused-ignore]


def density(root: tk.Tk) -> float:
    """Dots per inch of the screen, divided by 96; 1 to 4, whatever a screen or a setting claims."""
    if root.tk.call("tk", "windowingsystem") == "aqua":
        return 1.0  # a Mac counts in points and fills in the pixels itself
    connection = CONNECTIONS.get(display_name())
    chosen = connection.dots_per_inch() if connection is not None else None
    if chosen is not None:
        # Fonts follow the desktop's choice whether asked to or not; so Tk must reckon with the same inches.
        root.tk.call("tk", "scaling", chosen / 72)
    return max(1.0, min(4.0, root.winfo_fpixels("1i") / 96))


def nothing_to_do() -> None:
    """What follows from a lost display while no window is open."""


class Connection:
    """Tk's connection to an X server, which must not take the whole program with it when it breaks.

    By default Xlib ends the process then. libX11 1.7 (2020) and later can be told not to, per connection; Tk does not
    do so, and its connection has to be found through its own functions. Tk never closes it, but uses it again for
    every later window on the same display; when that is gone, the next window would abort the process.
    """

    def __init__(self, library: ctypes.CDLL, display: int) -> None:
        self._library, self._display = library, display
        self.is_lost = False
        self.on_loss: Callable[[], object] = nothing_to_do
        # Kept for as long as Xlib may call them, which is for ever.
        self._silence = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda display: 0)
        self._exit = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda display, data: self._lose())
        library.XSetIOErrorHandler(self._silence)  # its own would print
        library.XSetIOErrorExitHandler(ctypes.c_void_p(display), self._exit, None)

    def _lose(self) -> None:
        self.is_lost = True
        self.on_loss()

    def is_alive(self) -> bool:
        """Ask the server for a sign of life."""
        if not self.is_lost:
            self._library.XSync(ctypes.c_void_p(self._display), 0)
        return not self.is_lost

    def dots_per_inch(self) -> float | None:
        """What the user's desktop has chosen (``Xft.dpi``), which Tk 8.6 does not look at; None where it has not.

        Nobody's choice is below 50 or above 1,000.
        """
        read = self._library.XResourceManagerString
        read.restype = ctypes.c_char_p
        for line in (read(ctypes.c_void_p(self._display)) or b"").decode("latin-1").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "Xft.dpi":
                with suppress(ValueError):
                    chosen = float(value)
                    return chosen if 50 <= chosen <= 1000 else None
        return None


CONNECTIONS: dict[str, Connection] = {}
"""By display; Tk keeps such a list, too, and never takes anything off it."""


def watch_connection(root: tk.Tk) -> Connection | None:
    """See to it that a vanished display ends the window, not the process.

    Returns:
        The connection; None where there is none (Windows, macOS), or where it can't be had (an old libX11, or a
        Python with Tk built in): there, Xlib ends the process with a message of its own.
    """
    if root.tk.call("tk", "windowingsystem") != "x11":
        return None
    name = display_name()
    if name not in CONNECTIONS:
        display = tk_display(root)
        if display is None:
            return None
        CONNECTIONS[name] = Connection(*display)
    CONNECTIONS[name].on_loss = root.quit
    return CONNECTIONS[name]


def tk_display(root: tk.Tk) -> tuple[ctypes.CDLL, int] | None:
    """The library through which Tk and Xlib can be called, and the address of Xlib's ``Display``."""
    import _tkinter

    # Looking names up in tkinter's own module finds the very Tk and Xlib that it is linked to.
    library = ctypes.CDLL(getattr(_tkinter, "__file__", None))
    try:
        main_window = library.Tk_MainWindow
        _ = library.XSetIOErrorHandler, library.XSetIOErrorExitHandler, library.XSync, library.XResourceManagerString
    except AttributeError:
        return None
    main_window.restype = ctypes.POINTER(ctypes.c_void_p)
    window = main_window(ctypes.c_void_p(root.tk.interpaddr()))
    display = window[0] if window else None  # the first field of a Tk_Window (tk.h, Tk_FakeWin)
    return None if display is None else (library, display)

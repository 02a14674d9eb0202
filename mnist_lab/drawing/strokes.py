"""From pen to 28x28: strokes, undo, ink, and the steps that MNIST's makers took from a scan to a digit.

A drawing is kept as the pen's path, not as a screenshot. It is inked, inverted, cropped, fitted into a 20-pixel box
and moved so that its centre of mass lies in the middle of 28x28 pixels, each step a function of its own over plain
arrays. The steps after the ink know nothing of strokes, so that pictures from files can take the same way. The last
step, normalising, is the network's own doorstep: it changes the numbers and not the look.

Pictures are uint8. *Ink on paper* is black (0) on white (255), as the window shows it; everything after
:func:`invert` is *light on black*, as MNIST has it, so that 0 means "no ink" and sums of pixels are masses of ink.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_lab.data.pixels import SIDE, denormalise
from mnist_lab.errors import LabError
from mnist_lab.storage import open_file, reason

CANVAS = 280
"""Height and width of the canvas, in pixels: ten for each of the final picture."""
BRUSH = 20.0
"""Width of the pen on the canvas, in canvas pixels, unless the user chooses another."""
BOX = 20
"""MNIST's digits reach 20 pixels in their longer direction (LeCun et al. 1998, "Gradient-based learning")."""
MIDDLE = 14
"""Row and column of the pixel that holds a digit's centre of mass.

Measured on 5,000 training images: the centres lie evenly between 13.5 and 14.5 in both directions (0 is the first
pixel's middle), so the digits were moved by whole pixels, and to pixel 14 rather than to the geometric middle, 13.5.
"""
PEN = 2.45
"""Width of the pen that re-inks a drawing, in pixels of the 20-pixel box: that of MNIST's median digit.

Measured on 5,000 training images alone, enlarged 8 times (bilinear) and cut at half grey: inside a long line the mean
distance to its edge is a quarter of its width. Four times that mean is 2.49 at the median (1.78 to 3.54 from the
tenth to the ninetieth percentile). Known pens, drawn along the skeletons of 300 training images, tell what the
measure makes of bends and crossings (2.4: 2.42, 2.5: 2.56), which leaves 2.45.
"""
FINEST = 4.0
"""The finest pen to re-ink with, in canvas pixels: below it, round ends turn square on the canvas's own pixels."""
FAINT = 25
"""What counts as ink when looking for its edges: a tenth of the full 255. Less is the fringe of anti-aliasing."""

MAX_POINTS = 100_000
"""Points in one drawing: the fastest mice report 1,000 a second, so this is more than a minute without a pause."""
MAX_REACH = 10_000
"""How far from the canvas's origin a point may lie, in pixels: no screen reaches as far from a window."""
MAX_LENGTH = 20_000
"""Length of a drawing's lines on the canvas, in its pixels, so that inking takes moments.

The longest of 3,246 digits that several hundred people drew has 1,050 of them; 20,000 are half a minute of scribbling.
"""
LONGEST_LINE = math.sqrt(2) * CANVAS
"""From one corner of the canvas to the other."""
MAX_LINE_BYTES = 5_000_000
"""Longest line of a file of drawings: room for ``MAX_POINTS`` points written with 17 digits."""
MAX_FILE_BYTES = 100_000_000
"""Largest file of drawings: about 140,000 of them, which take some 1 GB of memory."""
MAX_DAMAGED = 1_000
"""Damaged lines that are skipped; a file that has more of them is no file of drawings."""
SPACING = 0.5
"""Points of a stroke nearer to the one before than this many canvas pixels change nothing that could be seen."""

Point: TypeAlias = tuple[float, float]
Stroke: TypeAlias = tuple[Point, ...]
Picture: TypeAlias = NDArray[np.uint8]


class DrawingError(LabError):
    """A drawing, or a file of drawings, that is not in the lab's format."""


# --- drawings and their format -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawing:
    """What a pen did.

    Attributes:
        strokes: the pen's paths from down to up, as (x, y) in pixels of a 280x280 canvas whose first pixel reaches
            from 0 to 1; x grows to the right, y downwards. One point makes a dot. Points may lie outside the
            canvas, where a pen that leaves the window goes; what lies there is not seen.
        label: the digit that was meant, 0 to 9, if anybody said so.
    """

    strokes: tuple[Stroke, ...] = ()
    label: int | None = None

    @classmethod
    def from_json(cls, text: str) -> Drawing:
        """Read ``{"label": 3, "strokes": [[[x, y], ...], ...]}``; other keys are ignored.

        The label may be null or left out. Strokes without points are dropped.

        Raises:
            DrawingError: the text is anything else, or a number is not finite, a point further away than
                ``MAX_REACH``, the points are more than ``MAX_POINTS``, or the lines longer than ``MAX_LENGTH``.
        """
        try:
            content = json.loads(text, parse_constant=refuse_constant)
        except json.JSONDecodeError as error:
            refuse(f"the text is not JSON ({error.msg} at character {error.pos + 1})")
        except ValueError as error:  # NaN, Infinity, a whole number of thousands of digits
            refuse(f"the text is not JSON ({error})")
        except RecursionError:
            refuse("the text is nested too deeply for a drawing")
        if not isinstance(content, dict):
            refuse(f'a drawing is an object with "strokes", not {shown(content)}')
        drawing = cls(strokes=checked_strokes(content.get("strokes")), label=checked_label(content.get("label")))
        check_length(drawing)
        return drawing

    def to_json(self) -> str:
        """The drawing as one line of JSON, without the line break; :meth:`from_json` gives it back exactly.

        Raises:
            DrawingError: its lines are longer than ``MAX_LENGTH``.
        """
        check_length(self)
        content = {"label": self.label, "strokes": self.strokes}
        return json.dumps(content, separators=(",", ":"), allow_nan=False)


class Drawings(NamedTuple):
    """What a file of drawings holds.

    Attributes:
        usable: the drawings, in their order.
        damaged: what is wrong with each line that is none, and where it is.
    """

    usable: list[Drawing]
    damaged: list[DrawingError]


def read_drawings(path: Path) -> Drawings:
    """All drawings of a JSON-lines file (one drawing a line, UTF-8; blank lines are skipped).

    Raises:
        DrawingError: as :func:`read_lines`; or the file holds no drawing; the message names its first damaged line.
    """
    found = read_lines(path)
    if not found.usable:
        raise found.damaged[0] if found.damaged else DrawingError(f"{path} holds no drawings", FORMAT)
    return found


def read_lines(path: Path) -> Drawings:
    """The same for a file that may hold no drawing.

    Raises:
        DrawingError: the file can't be read, is larger than ``MAX_FILE_BYTES``, or has more than ``MAX_DAMAGED``
            damaged lines.
    """
    found = Drawings([], [])
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                refuse(f"{path} has {size:,} bytes, more than {MAX_FILE_BYTES:,}", "split it into smaller files")
            for number, line in numbered_lines(file):
                try:
                    found.usable.append(parse_line(line))
                except DrawingError as error:
                    found.damaged.append(DrawingError(f"line {number} of {path}: {error.found}", error.next_step))
                if len(found.damaged) > MAX_DAMAGED:
                    refuse(f"{path} has more than {MAX_DAMAGED:,} damaged lines; {found.damaged[0].found}")
    except FileNotFoundError:
        refuse(f"there is no file {path}", "check the name")
    except OSError as error:
        refuse(f"{path} can't be read: {reason(error)}", "name a file of drawings")
    except ValueError as error:  # a name with a null character
        refuse(f"{path} can't be read: {error}", "name a file of drawings")
    return found


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that hold anything, with their numbers from 1; a line is cut off just past the longest allowed."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if line.strip():
            yield number, line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):  # what follows is no line of its own
            line = file.readline(MAX_LINE_BYTES + 1)


def parse_line(line: bytes) -> Drawing:
    """One line of a file."""
    if len(line) > MAX_LINE_BYTES:
        refuse(f"it has more than {MAX_LINE_BYTES:,} bytes, too many for a drawing")
    try:
        return Drawing.from_json(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        refuse("it is not UTF-8 text")


FORMAT = 'write each drawing as {"label": 3, "strokes": [[[x, y], ...], ...]}, one a line'


def refuse(found: str, next_step: str = FORMAT) -> NoReturn:
    """Raise the error that names what was found."""
    raise DrawingError(found, next_step) from None


def refuse_constant(name: str) -> NoReturn:
    """JSON has no NaN and no Infinity, though Python's reader would take them."""
    raise ValueError(f"{name} is not a number")


def shown(value: object) -> str:
    """A value from a file, as JSON and short enough for a message."""
    items = value if isinstance(value, list) else [value]
    is_flat = not any(isinstance(item, list | dict) for item in items)
    text = json.dumps(value) if is_flat else f"a {type(value).__name__} of lists or objects"
    return text if len(text) <= 40 else f"{text[:37]}..."


def checked_label(value: object) -> int | None:
    """None, or a whole number 0 to 9 (True and 3.0 are no digits)."""
    if value is None or (type(value) is int and 0 <= value <= 9):
        return value
    refuse(f"the label {shown(value)} is no digit from 0 to 9", "correct the label, or use null for none")


def checked_strokes(value: object) -> tuple[Stroke, ...]:
    """Strokes of finite points, those without a point left out."""
    if not isinstance(value, list) or not all(isinstance(stroke, list) for stroke in value):
        refuse('"strokes" is missing or not a list of lists of points')
    points = sum(len(stroke) for stroke in value)
    if points > MAX_POINTS:
        refuse(f"the drawing has {points:,} points, more than {MAX_POINTS:,}", "leave out points that hardly move")
    return tuple(tuple(checked_point(point) for point in stroke) for stroke in value if stroke)


def checked_point(value: Any) -> Point:
    """Two finite numbers within reach (True is no number)."""
    if not isinstance(value, list) or len(value) != 2 or not {type(number) for number in value} <= {int, float}:
        refuse(f"{shown(value)} is not a point of two numbers")
    if not all(-MAX_REACH <= number <= MAX_REACH for number in value):
        refuse(f"the point {shown(value)} is more than {MAX_REACH:,} pixels from the canvas", "remove the point")
    return float(value[0]), float(value[1])


def check_length(drawing: Drawing) -> None:
    """Refuse lines so long that inking them would take minutes."""
    if sum(map(len, drawing.strokes)) * LONGEST_LINE <= MAX_LENGTH:
        return  # however they lie
    lines = visible(segments(drawing))
    length = float(np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1]).sum(dtype=np.float64))
    if length > MAX_LENGTH:
        found = f"the drawing's lines are {length:,.0f} pixels long on the canvas, more than {MAX_LENGTH:,}"
        refuse(found, "draw with fewer lines")


# --- undo and redo -----------------------------------------------------------------------------------------------


class Sketch:
    """A drawing in the making: strokes that grow, and what was undone. Pure state, for a window to show.

    Undoing works by whole strokes; clearing counts as one step and can be undone as well.
    """

    def __init__(self, strokes: tuple[Stroke, ...] = ()) -> None:
        self._growing: list[Point] = []
        self._past: list[tuple[Stroke, ...]] = []
        self._future: list[tuple[Stroke, ...]] = []
        self._set(strokes)

    @property
    def strokes(self) -> tuple[Stroke, ...]:
        """All strokes, the one being drawn included."""
        return (*self._strokes, tuple(self._growing)) if self._growing else self._strokes

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to take back."""
        return bool(self._past or self._growing)

    @property
    def can_redo(self) -> bool:
        """Whether anything was taken back since the last stroke."""
        return bool(self._future)

    @property
    def is_full(self) -> bool:
        """Whether the drawing has as many points, or lines as long, as a file may hold; it takes no more."""
        points = sum(map(len, self._strokes)) + len(self._growing)
        return points >= MAX_POINTS or self._length > MAX_LENGTH - LONGEST_LINE

    def drawing(self, label: int | None = None) -> Drawing:
        """What is on the canvas now."""
        return Drawing(self.strokes, label)

    def begin(self, x: float, y: float) -> None:
        """The pen comes down."""
        self.end()
        if not self.is_full:
            self._growing = [(x, y)]

    def extend(self, x: float, y: float) -> None:
        """The pen moves; without a stroke begun (it came down outside the window) nothing happens."""
        if self._growing and self._growing[-1] != (x, y) and not self.is_full:
            self._length += math.dist(self._growing[-1], (x, y))
            self._growing.append((x, y))

    def end(self) -> None:
        """The pen goes up; the stroke becomes one step to undo."""
        if self._growing:
            strokes = self.strokes
            self._growing = []
            self._change(strokes)

    def clear(self) -> None:
        """Take all strokes away, as one step; a blank canvas is left alone."""
        self.end()
        if self._strokes:
            self._change(())

    def undo(self) -> None:
        """Take the last step back, if there is one; a stroke still being drawn is that step."""
        self.end()
        if self._past:
            self._future.append(self._strokes)
            self._set(self._past.pop())

    def redo(self) -> None:
        """Take the last undo back, if nothing was drawn since."""
        self.end()
        if self._future:
            self._past.append(self._strokes)
            self._set(self._future.pop())

    def _change(self, strokes: tuple[Stroke, ...]) -> None:
        self._past.append(self._strokes)
        self._future.clear()
        self._set(strokes)

    def _set(self, strokes: tuple[Stroke, ...]) -> None:
        self._strokes = strokes
        self._length = sum(math.dist(*ends) for stroke in strokes for ends in pairwise(stroke))


# --- ink ---------------------------------------------------------------------------------------------------------


def ink(drawing: Drawing, brush: float = BRUSH) -> Picture:
    """The drawing as a round pen leaves it on paper, anti-aliased.

    Points are joined by straight lines with round caps and joins; a stroke of one point is a dot. A pixel's grey
    follows from the distance of its middle to the nearest line: full ink until half a pixel inside the pen's edge,
    none from half a pixel outside.

    Args:
        drawing: in canvas pixels; what lies outside the canvas is cut off.
        brush: width of the pen, in canvas pixels; finer than one pixel, it is as wide as a pixel and paler.

    Returns:
        (280, 280) uint8, black (0) on white (255).
    """
    distance = nearest_line(segments(drawing), reach=brush / 2 + 0.5)
    coverage: NDArray[np.float32] = np.clip(brush / 2 + 0.5 - distance, 0, min(brush, 1))
    return np.rint(255 - 255 * coverage).astype(np.uint8)


def segments(drawing: Drawing) -> NDArray[np.float32]:
    """The straight lines of all strokes, (S, 4) float32 as x, y of the start and x, y of the end, in canvas pixels."""
    ends = [(*start, *end) for stroke in drawing.strokes for start, end in pairwise(joined(stroke))]
    return np.array(ends, dtype=np.float32).reshape(-1, 4)


def joined(stroke: Stroke) -> list[Point]:
    """The points of a stroke worth joining, at least two of them: a dot is a line that ends where it starts."""
    kept = [stroke[0]]
    for point in stroke[1:]:
        if math.dist(point, kept[-1]) >= SPACING:
            kept.append(point)
    return [*kept, stroke[-1]] if len(kept) == 1 or kept[-1] != stroke[-1] else kept


def nearest_line(lines: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """How far every pixel's middle is from the nearest line, as far as it matters.

    Args:
        lines: (S, 4), from :func:`segments`.
        reach: pixels further away from every line than this need no exact answer.

    Returns:
        (280, 280) float32, in canvas pixels; infinite or at least ``reach`` for those further away.
    """
    squared = np.full((CANVAS, CANVAS), np.inf, dtype=np.float32)
    middles = np.arange(CANVAS, dtype=np.float32) + 0.5
    windows = [pixel_range(lines[:, axis], lines[:, axis + 2], reach) for axis in (0, 1)]
    for (x0, y0, x1, y1), left, right, top, bottom in zip(
        lines.tolist(), *windows[0].tolist(), *windows[1].tolist(), strict=True
    ):
        # Only a window around the line can be nearer than reach: this is what makes a drawing a matter of milliseconds.
        x = middles[left:right] - x0  # (w,)
        y = (middles[top:bottom] - y0)[:, np.newaxis]  # (h, 1)
        along_x, along_y = x1 - x0, y1 - y0
        length = along_x**2 + along_y**2 or 1.0
        place = x * (along_x / length) + y * (along_y / length)  # (h, w): 0 beside the start, 1 beside the end
        np.maximum(place, 0, out=place)
        np.minimum(place, 1, out=place)
        away_x, away_y = x - along_x * place, y - along_y * place  # (h, w)
        away_x *= away_x
        away_y *= away_y
        away_x += away_y
        window = squared[top:bottom, left:right]
        np.minimum(window, away_x, out=window)
    distance: NDArray[np.float32] = np.sqrt(squared)
    return distance


def pixel_range(start: NDArray[np.float32], end: NDArray[np.float32], reach: float) -> NDArray[np.int64]:
    """For lines from start to end along one axis, (S,) each, the first pixel within reach and the one past the last.

    Returns:
        (2, S) int64, cut to the canvas; empty ranges for lines outside.
    """
    first = np.floor(np.minimum(start, end) - reach)
    past = np.ceil(np.maximum(start, end) + reach)
    cut: NDArray[np.float32] = np.clip(np.stack([first, past]), 0, CANVAS)
    return cut.astype(np.int64)


# --- the steps from ink to MNIST ---------------------------------------------------------------------------------


def pen_width(drawing: Drawing) -> float:
    """The width that a pen should have had, so that the lines come out as wide as MNIST's whatever the digit's size.

    Whoever draws a digit twice as large with the same brush has lines half as wide once both are 20 pixels tall. A
    pen of ``PEN`` twentieths of the inked digit makes them the same. Only what lies on the canvas counts.

    Returns:
        Canvas pixels, at least ``FINEST``: digits of less than 30 pixels, and dots, come out somewhat bold.
    """
    points = visible(segments(drawing)).reshape(-1, 2)  # (2 S, 2)
    longest = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    return max(PEN * longest / (BOX - PEN), FINEST)


def visible(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """The parts of lines that lie on the canvas (Liang and Barsky 1984): (S, 4) to (at most S, 4), canvas pixels."""
    start = lines[:, :2]  # (S, 2)
    step: NDArray[np.float32] = lines[:, 2:] - start
    safe_step = np.where(step == 0, np.float32(1e-6), step)  # a line along an edge never crosses it
    crossings = np.stack([-start / safe_step, (CANVAS - start) / safe_step])  # (2, S, 2), as fractions of the line
    enter = crossings.min(axis=0).max(axis=1, keepdims=True).clip(0, None)  # (S, 1)
    leave = crossings.max(axis=0).min(axis=1, keepdims=True).clip(None, 1)
    parts = np.concatenate([start + enter * step, start + leave * step], axis=1)
    seen: NDArray[np.float32] = parts[(enter <= leave)[:, 0]]
    return seen


def invert(picture: Picture) -> Picture:
    """Black on white to white on black, or back; any shape, uint8."""
    return 255 - picture


def crop(picture: Picture) -> Picture:
    """Cut a light-on-black picture down to its ink.

    Args:
        picture: (H, W) uint8, 0 is no ink.

    Returns:
        (h, w) uint8, the smallest rectangle that holds every pixel of more than ``FAINT``; (0, 0) if there is none.
    """
    inked = picture > FAINT
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    if not len(rows):
        return picture[:0, :0]
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def fit_box(picture: Picture) -> Picture:
    """Resample a picture so that its longer side has 20 pixels, keeping its proportions exactly.

    The shorter side lies in the middle, wherever that is between pixels. MNIST's did, too: most of its digits are an
    even number of pixels narrow, and their outermost columns are half as bright as their outermost rows.

    Args:
        picture: (H, W) uint8, 0 is no ink, at least 1x1.

    Returns:
        (20, 20) uint8.
    """
    height, width = picture.shape
    longer = max(height, width)
    square = np.zeros((longer, longer), dtype=np.uint8)
    top, left = (longer - height) // 2, (longer - width) // 2
    square[top : top + height, left : left + width] = picture
    return resample(square, BOX, BOX)


def squeeze(picture: Picture) -> Picture:
    """Resample a picture (H, W) of any proportions to (28, 28), uint8: not what MNIST's makers did."""
    return resample(picture, SIDE, SIDE)


def resample(picture: Picture, height: int, width: int) -> Picture:
    """Resample by area: every new pixel is the mean of the part of the old picture that it covers.

    This anti-aliases without ringing or blur, and keeps the mean grey exactly, whatever the ratio.

    Args:
        picture: (H, W) uint8, at least 1x1.
        height: rows of the result.
        width: columns of the result.

    Returns:
        (height, width) uint8.
    """
    rows, columns = overlap(picture.shape[0], height), overlap(picture.shape[1], width)
    means: NDArray[np.float32] = rows @ picture.astype(np.float32) @ columns.T  # (height, width)
    return np.rint(means).astype(np.uint8)


def overlap(old: int, new: int) -> NDArray[np.float32]:
    """How much of each new pixel each old one covers, along one axis; (new, old) float32, rows add up to 1."""
    edges = np.arange(new + 1) * (old / new)  # the new pixels' edges, measured in old pixels
    left, right = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    first = np.arange(old)
    covered: NDArray[np.float64] = np.clip(np.minimum(right, first + 1) - np.maximum(left, first), 0, None)
    return (covered * (new / old)).astype(np.float32)  # (new, old)


def centre_of_mass(picture: Picture) -> tuple[float, float]:
    """Row and column of the ink's centre of mass, the first pixel's middle being 0; (H, W) uint8 with some ink."""
    mass = picture.astype(np.float64)
    total = mass.sum()
    rows, columns = np.arange(picture.shape[0]), np.arange(picture.shape[1])
    return float(mass.sum(axis=1) @ rows / total), float(mass.sum(axis=0) @ columns / total)


def centre(picture: Picture) -> Picture:
    """Place a light-on-black picture in 28x28 so that its centre of mass lies on pixel (14, 14), as MNIST's do.

    Moved by whole pixels, so that nothing is blurred. A shape so lopsided that its ink would leave the picture is
    moved only as far as all of it stays inside.

    Args:
        picture: (H, W) uint8, 0 is no ink, at most 28x28, with some ink.

    Returns:
        (28, 28) uint8.
    """
    rows, columns = np.nonzero(picture)
    inked = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    row, column = centre_of_mass(inked)
    return place(inked, round(MIDDLE - row), round(MIDDLE - column))


def in_the_middle(picture: Picture) -> Picture:
    """Place a picture of at most 28x28 in the middle of (28, 28) by its sides, wherever its ink may be."""
    height, width = picture.shape
    return place(picture, (SIDE - height) // 2, (SIDE - width) // 2)


def place(picture: Picture, top: int, left: int) -> Picture:
    """Put a picture of at most 28x28 on (28, 28) black pixels, as near to (top, left) as it stays wholly inside."""
    height, width = picture.shape
    top, left = min(max(top, 0), SIDE - height), min(max(left, 0), SIDE - width)
    placed = np.zeros((SIDE, SIDE), dtype=np.uint8)
    placed[top : top + height, left : left + width] = picture
    return placed


def unnormalised(picture: Picture) -> Picture:
    """The picture to show a network for it to get 0 to 1, as if the normalisation were left out.

    Every network is asked about bytes, and normalises them at its door. So its mean and deviation are put on here, and
    the door takes them off again: what arrives is the picture's own 0 to 1, but for half a byte (0.0064).

    Args:
        picture: uint8 0..255, any shape.

    Returns:
        Greys from 33 to 112, uint8, the same shape: as pale as the picture is to a network that expects contrast.
    """
    unit: NDArray[np.float64] = picture / 255
    return np.rint(255 * denormalise(unit)).astype(np.uint8)


# --- all of it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Steps:
    """Which steps to take; all of them make a drawing like MNIST's."""

    pen: bool = True  # ink the strokes with a pen as wide as MNIST's lines (pictures without strokes keep theirs)
    invert: bool = True  # white ink on black
    crop: bool = True  # cut away the paper around the ink
    box: bool = True  # longer side to 20 pixels, proportions kept; otherwise squeezed to 28x28
    centre: bool = True  # centre of mass to the middle; otherwise the middle of the box
    normalise: bool = True  # values of mean 0 and deviation 1 over MNIST; otherwise 0 to 1

    def without(self, name: str) -> Steps:
        """The same steps, but for one named by its field."""
        return replace(self, **{name: False})


STEP_NAMES = tuple(field.name for field in fields(Steps))

MODES = {
    "raw": Steps(pen=False, invert=False, crop=False, box=False, centre=False),
    "inverted": Steps(pen=False, crop=False, box=False, centre=False),
    "mnist": Steps(),
}
"""The three ways to score drawings: the canvas squeezed as it is, inverted as well, and as MNIST's makers did."""


class Stage(NamedTuple):
    """A step taken, and its picture: (H, W) uint8, of whatever size the step left."""

    name: str
    picture: Picture


def prepare(source: Drawing | Picture, steps: Steps = MODES["mnist"], brush: float = BRUSH) -> list[Stage] | None:
    """Take a drawing, or ink on paper, the way to 28x28 and keep every picture on it.

    Args:
        source: strokes, or a picture (H, W) uint8 of black ink on a white (255) ground, of any size.
        steps: which steps to take. Without ``invert`` the others do the same, on black ink on white.
        brush: the pen that the user drew with, in canvas pixels; without meaning for a picture.

    Returns:
        The raw ink first, then one stage for every step taken, the last being (28, 28) uint8 as the network is shown
        it; None if there is no ink.
    """
    raw = ink(source, brush) if isinstance(source, Drawing) else source
    paper = [Stage("raw", raw)]
    if steps.pen and isinstance(source, Drawing):
        paper.append(Stage("pen", ink(source, pen_width(source))))
    taken = from_ink(paper[-1].picture, steps)
    return None if taken is None else [*paper, *taken]


def to_mnist(source: Drawing | Picture, steps: Steps = MODES["mnist"], brush: float = BRUSH) -> Picture | None:
    """What the network sees: the last picture of :func:`prepare`, without the work for the others.

    Returns:
        (28, 28) uint8, white on black (unless ``steps`` leaves the inversion out), to be normalised by whoever asks a
        network; None if there is no ink.
    """
    if isinstance(source, Drawing):
        source = ink(source, pen_width(source) if steps.pen else brush)
    taken = from_ink(source, steps)
    return None if taken is None else taken[-1].picture


def from_ink(paper: Picture, steps: Steps) -> list[Stage] | None:
    """The steps that follow the ink, each with its picture; None if there is no ink.

    Args:
        paper: (H, W) uint8, black ink on white (255).
        steps: which of them to take; ``pen`` is past.
    """
    light = invert(paper)
    if not crop(light).size:
        return None
    stages = [Stage("inverted", light)] if steps.invert else []
    if steps.crop:
        light = crop(light)
        stages.append(Stage("cropped", light))
    light = fit_box(light) if steps.box else squeeze(light)
    stages.append(Stage("20-pixel box" if steps.box else "squeezed", light))
    if steps.centre and light.any():
        stages.append(Stage("centred", centre(light)))
    elif steps.box:
        stages.append(Stage("in the middle", in_the_middle(light)))
    # The steps measure ink, so they work on light ink; who leaves the inversion out sees their negatives.
    if not steps.invert:
        stages = [Stage(name, invert(picture)) for name, picture in stages]
    final = stages[-1].picture
    # Normalising is what every network does to bytes anyway, so taking the step leaves the picture as it is.
    return [*stages, Stage("normalised", final) if steps.normalise else Stage("as 0 to 1", unnormalised(final))]

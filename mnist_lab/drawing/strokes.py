"""Drawings as a pen's path: the strokes, undo, and their files, where nothing is trusted and all is bounded."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_lab.errors import LabError
from mnist_lab.storage import open_file, reason

CANVAS = 280  # height and width of the canvas, in pixels: ten for each of the final picture
MAX_POINTS = 100_000  # in one drawing: the fastest mice report 1,000 a second, so this is more than a minute of them
_MAX_REACH = 10_000  # pixels from the canvas's origin to a point: no screen reaches as far from a window
# Length of a drawing's lines on the canvas, in its pixels, so that inking takes moments: half a minute of scribbling.
# The longest of 3,246 digits that several hundred people drew has 1,050.
_MAX_LENGTH = 20_000
_LONGEST_LINE = math.sqrt(2) * CANVAS  # from one corner of the canvas to the other
MAX_LINE_BYTES = 5_000_000  # of a line in a file of drawings: room for MAX_POINTS points written with 17 digits
MAX_FILE_BYTES = 100_000_000  # about 140,000 drawings, which take some 1 GB of memory
_MAX_DAMAGED = 1_000  # damaged lines that are skipped; a file that has more of them is not a file of drawings
_SPACING = 0.5  # canvas pixels: points of a stroke nearer to the one before change nothing that could be seen
_FORMAT = 'write each drawing as {"label": 3, "strokes": [[[x, y], ...], ...]}, one per line'

Point: TypeAlias = tuple[float, float]
Stroke: TypeAlias = tuple[Point, ...]


class DrawingError(LabError):
    """A drawing, or a file of drawings, that is not in the lab's format."""


@dataclass(frozen=True)
class Drawing:
    """What a pen did: its paths from down to up, on a 280x280 canvas whose first pixel reaches from 0 to 1.

    x grows to the right, y downwards. One point makes a dot. What lies outside the canvas is not seen.
    """

    strokes: tuple[Stroke, ...] = ()  # of (x, y) in canvas pixels
    label: int | None = None  # the digit that was meant, 0 to 9, if that is known

    @classmethod
    def from_json(cls, text: str) -> Drawing:
        """Read ``{"label": 3, "strokes": [[[x, y], ...], ...]}``; the label may be null or left out.

        A DrawingError says that the text is anything else, or that the drawing exceeds one of the limits above.
        """
        try:
            content = json.loads(text)
        except RecursionError:
            _refuse("the text is nested too deeply for a drawing")
        except ValueError as error:  # also a whole number of thousands of digits
            at = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
            _refuse(f"the text is not JSON ({at})")
        if not isinstance(content, dict):
            _refuse(f'a drawing is an object with "strokes", not {shortened(content)}')
        return cls(_checked_strokes(content.get("strokes")), _checked_label(content.get("label")))._of_bounded_length()

    def to_json(self) -> str:
        """The drawing as one line of JSON, which :meth:`from_json` gives back exactly, or refuses in the same way."""
        content = {"label": self.label, "strokes": self._of_bounded_length().strokes}
        return json.dumps(content, separators=(",", ":"), allow_nan=False)

    def _of_bounded_length(self) -> Drawing:
        """The drawing itself, unless its lines are too long; few points need no measuring, however they lie."""
        if sum(map(len, self.strokes)) * _LONGEST_LINE > _MAX_LENGTH:
            lines = visible(segments(self))
            length = float(np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1]).sum(dtype=np.float64))
            if length > _MAX_LENGTH:
                _refuse(f"the drawing's lines are {length:,.0f} pixels long on the canvas, more than {_MAX_LENGTH:,}")
        return self


class Drawings(NamedTuple):
    """What a file of drawings holds: those that can be used, in order, and what is wrong with each other line."""

    usable: list[Drawing]
    damaged: list[DrawingError]


def read_drawings(path: Path, *, may_be_empty: bool = False) -> Drawings:
    """All drawings of a JSON-lines file (one drawing per line, UTF-8; blank lines are skipped).

    A DrawingError says that it can't be read, is too large, too damaged, or holds no drawing, unless it may be empty.
    """
    found = Drawings([], [])
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                _refuse(f"{path} has {size:,} bytes, more than {MAX_FILE_BYTES:,}", "split it into smaller files")
            for number, line in enumerate(file, start=1):
                try:
                    if line.strip():
                        found.usable.append(parse_line(line))
                except DrawingError as error:
                    found.damaged.append(DrawingError(f"line {number} of {path}: {error.found}", error.next_step))
                if len(found.damaged) > _MAX_DAMAGED:
                    _refuse(f"{path} has more than {_MAX_DAMAGED:,} damaged lines; {found.damaged[0].found}")
    except FileNotFoundError:
        _refuse(f"there is no file {path}", "check the name")
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        why = reason(error) if isinstance(error, OSError) else error
        _refuse(f"{path} can't be read: {why}", "name a file of drawings")
    if not found.usable and not may_be_empty:
        raise found.damaged[0] if found.damaged else DrawingError(f"{path} holds no drawings", _FORMAT)
    return found


def parse_line(line: bytes) -> Drawing:
    """Read one line of a file of drawings; a DrawingError says that it does not hold one."""
    if len(line) > MAX_LINE_BYTES:
        _refuse(f"it has more than {MAX_LINE_BYTES:,} bytes, too many for a drawing")
    try:
        return Drawing.from_json(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        _refuse("it is not UTF-8 text")


def _refuse(found: str, next_step: str = _FORMAT) -> NoReturn:
    raise DrawingError(found, next_step) from None


def _checked_label(value: object) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= 9):  # True and 3.0 are not digits
        return value
    _refuse(f"the label {shortened(value)} is not a digit from 0 to 9", "correct the label, or use null for none")


def _checked_strokes(value: object) -> tuple[Stroke, ...]:
    if not isinstance(value, list) or not all(isinstance(stroke, list) for stroke in value):
        _refuse('"strokes" is missing or not a list of lists of points')
    points = sum(len(stroke) for stroke in value)
    if points > MAX_POINTS:
        _refuse(f"the drawing has {points:,} points, more than {MAX_POINTS:,}", "leave out points that hardly move")
    return tuple(tuple(_checked_point(point) for point in stroke) for stroke in value if stroke)


def _checked_point(value: Any) -> Point:
    if not isinstance(value, list) or len(value) != 2 or not {type(number) for number in value} <= {int, float}:
        _refuse(f"{shortened(value)} is not a point of two numbers")
    if not all(-_MAX_REACH <= number <= _MAX_REACH for number in value):
        _refuse(f"the point {shortened(value)} is more than {_MAX_REACH:,} pixels from the canvas", "remove the point")
    return float(value[0]), float(value[1])


def segments(drawing: Drawing) -> NDArray[np.float32]:
    """The straight lines of all strokes, (S, 4) float32 as x, y of the start and x, y of the end, in canvas pixels."""
    ends = [(*start, *end) for stroke in drawing.strokes for start, end in pairwise(_joined(stroke))]
    return np.array(ends, dtype=np.float32).reshape(-1, 4)


def _joined(stroke: Stroke) -> list[Point]:
    """The points of a stroke worth joining, at least two of them: a dot is a line that ends where it starts."""
    kept = [stroke[0]]
    for point in stroke[1:]:
        if math.dist(point, kept[-1]) >= _SPACING:
            kept.append(point)
    return [*kept, stroke[-1]] if len(kept) == 1 or kept[-1] != stroke[-1] else kept


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


class Sketch:
    """A drawing in the making; undoing works by whole strokes, and clearing is a step that can be undone as well."""

    def __init__(self) -> None:
        self._growing: list[Point] = []
        self._versions: list[tuple[Stroke, ...]] = [()]
        self._show(0)

    @property
    def strokes(self) -> tuple[Stroke, ...]:
        """All strokes, the one being drawn included."""
        finished = self._versions[self._shown]
        return (*finished, tuple(self._growing)) if self._growing else finished

    @property
    def can_undo(self) -> bool:
        return self._shown > 0 or bool(self._growing)

    @property
    def can_redo(self) -> bool:
        return self._shown < len(self._versions) - 1

    @property
    def is_full(self) -> bool:
        """Whether the drawing has as many points, or lines as long, as a file may hold; it takes no more."""
        return self._points >= MAX_POINTS or self._length > _MAX_LENGTH - _LONGEST_LINE

    def drawing(self) -> Drawing:
        return Drawing(self.strokes)

    def begin(self, x: float, y: float) -> None:
        self.end()
        if not self.is_full:
            self._growing = [(x, y)]
            self._points += 1

    def extend(self, x: float, y: float) -> None:
        """The pen moves; without a stroke begun (it came down outside the window) nothing happens."""
        if self._growing and self._growing[-1] != (x, y) and not self.is_full:
            self._length += math.dist(self._growing[-1], (x, y))
            self._points += 1
            self._growing.append((x, y))

    def end(self) -> None:
        """The pen goes up; the stroke becomes one step to undo."""
        if self._growing:
            self._add(self.strokes)

    def clear(self) -> None:
        self.end()
        if self.strokes:
            self._add(())

    def undo(self) -> None:
        """Undo the last step, if there is one; a stroke still being drawn is that step."""
        self.end()
        self._show(max(self._shown - 1, 0))

    def redo(self) -> None:
        self.end()
        self._show(min(self._shown + 1, len(self._versions) - 1))

    def _add(self, strokes: tuple[Stroke, ...]) -> None:
        self._growing = []
        self._versions[self._shown + 1 :] = [strokes]
        self._show(self._shown + 1)

    def _show(self, version: int) -> None:
        self._shown = version
        self._points = sum(map(len, self.strokes))
        self._length = sum(math.dist(*ends) for stroke in self.strokes for ends in pairwise(stroke))

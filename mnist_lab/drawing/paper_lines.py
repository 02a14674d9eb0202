"""The lines of ruled and squared paper, margins and boxes, found by a Hough transform and taken out of the ink."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Strength: TypeAlias = NDArray[np.float32]  # (H, W), how much a pixel differs from its paper in the ink's colour, 0 up

_HOUGH = 400  # pixels: longer side at which lines are looked for
_STEEPEST = 0.27  # of a line that counts as level, a tenth more than 15 degrees
_SLOPES = np.linspace(-_STEEPEST, _STEEPEST, 61)
_STRIPS, _NEXT = 40, np.arange(-3, 4)  # in which lines of a page that is not flat are followed; rows to the next
_STRAIGHTER = 1.2  # times as straight as on a flat page, from which lines are bent
_SHORTEST = 0.2  # of the picture's side
_COVERED, _COVERED_AGAIN = 0.7, 0.8  # of a line, that is inked, when it is followed for the first and the second time
_CLEAR = 3.0  # times as strong as the paper's grain, from which a line has hardly any gaps
_BENT = 0.02  # of its length, that a line bends at most: the sides of a round stroke bend more
_THICKEST = 1 / 50  # of the picture's shorter side; in a picture that a digit fills, strokes are thicker
_PALEST, _PALEST_LINE = 0.25, 0.05  # of what is strongest: a box, and a line, whose length tells it from grain
_SMALLEST_BOX, _RIM = 16, 2  # pixels: the shorter side of a box, and what is seen around it
_HIGHEST_BOX = 1.6  # heights of a box, in its widths; four straight sides that are higher may be a 0
_THICKER = 1.6  # times as thick as another line, and one pixel more: it is of another pen
_MOST_LINES = 120  # in each direction
_FINE_PARTS = 25  # percent of a line's length: where nothing else is inked, it shows its own thickness
_DARKER = 1.6  # times as strong as a line: something crosses it
_MUCH_DARKER = 2.5  # times as strong as most lines: it is none
_ALONG = 0.8  # of what is left of a line, that lies along it
_ROUNDS = 2
_BLOCKS = 8  # along each side, in which the grain is measured
_MOST_GRAIN = 4  # times as much as mostly
_AT_END, _AT_END_SHORTER = 0.04, 0.07  # of each side: how near to its edge, or to another line, a line must end


def noise(strength: Strength) -> tuple[float, float, float]:
    """What the paper itself shows: median, deviation, and the level that only ink exceeds."""
    middle = float(np.median(strength))
    deviation = 1.4826 * float(np.median(np.abs(strength - middle)))
    return middle, deviation, middle + 6 * deviation + 3


def roughness(strength: Strength) -> Strength:
    """How far every pixel (H, W) is off its neighbours, scaled so that the median is the grain's standard deviation.

    By second differences along both axes, which show neither light nor lines (Immerkaer 1996).
    """
    rough: Strength = np.abs(ndimage.convolve1d(ndimage.convolve1d(strength, (1, -2, 1), 0), (1, -2, 1), 1))
    return rough * np.float32(1.4826 / 6)


def local_grain(strength: Strength) -> Strength:
    """How much more grain (H, W) there is around each pixel than mostly: what is lit less shows more of it."""
    rough = roughness(strength)
    height, width = (max(1, length // _BLOCKS) for length in strength.shape)
    rows, columns = (length // side for length, side in zip(strength.shape, (height, width), strict=True))
    blocks = rough[: rows * height, : columns * width].reshape(rows, height, columns, width)
    grain = ndimage.median_filter(np.percentile(blocks, 70, axis=(1, 3)).astype(np.float32), 3)  # no digit's edges
    grain = ndimage.maximum_filter(grain / max(float(np.median(grain)), 1e-6), 3).clip(1, _MOST_GRAIN)
    return np.asarray(Image.fromarray(grain).resize(strength.shape[::-1], Image.Resampling.BILINEAR))


class _Pen(NamedTuple):
    """With what most lines of a page are drawn."""

    thickness: float  # pixels
    strength: float


class _Line(NamedTuple):
    """A straight or hardly bent, thin line, nearly level; for upright ones, x and y are exchanged."""

    columns: NDArray[np.int64]  # (n,) from its one end to the other
    rows: NDArray[np.int64]  # (n,) where its middle is
    first: NDArray[np.int64]  # (n,) where what is inked around it begins
    last: NDArray[np.int64]  # (n,) and ends
    darkest: Strength  # (n,) of what is inked there
    thickness: float  # pixels
    strength: float
    shade: int  # pixels on each side, up to which it is soft, as the fold of a notebook is


def remove_lines(strength: Strength) -> Strength:
    """Remove long straight lines that belong to the paper: those that end at its edge, or at another such line.

    They are found by a Hough transform (Duda and Hart 1972), also where the page bends. Where more is inked than the
    line is thick, or darker, a digit crosses it, and is kept. Once the fine lines are gone, thicker ones are found by a
    second round. The sides of small boxes are shorter than such lines, and are looked for in each box alone.
    """
    strength = _remove_boxes(strength)
    for _ in range(_ROUNDS):
        before, strength = strength, _remove_lines_of_a_pen(strength, _THICKEST * min(strength.shape))
        if strength is before:
            break
    return strength


def _remove_boxes(strength: Strength) -> Strength:
    """Remove the sides of boxes that lie whole in the picture, but not what is in them."""
    level = max(noise(strength)[2], _PALEST * float(np.percentile(strength, 99.9)))
    labels, _ = ndimage.label(strength > level, np.ones((3, 3)))
    strength = strength.copy()
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        is_whole = all(side.start and side.stop < end for side, end in zip(place, labels.shape, strict=True))
        thickness = _sides_of(labels[place] == number) if is_whole else 0.0
        if thickness > 0:
            rows, columns = (slice(max(0, side.start - _RIM), side.stop + _RIM) for side in place)
            box = strength[rows, columns]
            strength[rows, columns] = _remove_lines_of_a_pen(box, _THICKER * thickness + 1)
    return strength


def _sides_of(shape: NDArray[np.bool_]) -> float:
    """How thick the sides of a box are that fills its own window (h, w), in pixels; 0 for other shapes.

    A box has four straight sides, and is hardly higher than wide.
    """
    height, width = shape.shape
    if min(height, width) < _SMALLEST_BOX or height > _HIGHEST_BOX * width:
        return 0.0
    thickness = []
    for seen in (shape, shape[::-1], shape.T, shape.T[::-1]):
        outline, half = seen.argmax(axis=0), seen.shape[1] // 2  # how far it is to the shape
        slope = np.median(outline[half : 2 * half] - outline[:half]) / half
        away = outline - slope * np.arange(len(outline))
        is_side = np.abs(away - np.median(away)) <= 1 + _BENT * len(seen)
        if is_side.mean() < _COVERED or abs(slope) > _STEEPEST or np.median(outline) > len(seen) / 4:
            return 0.0
        is_inside = ~seen & (np.arange(len(seen))[:, np.newaxis] >= outline)
        thickness.append(np.median((is_inside.argmax(axis=0) - outline)[is_side]))
    return float(np.median(thickness))


def _remove_lines_of_a_pen(strength: Strength, thickest: float) -> Strength:
    given = strength
    middle, deviation, _ = noise(strength)
    strength = strength - middle
    level = max(3 * deviation + 2, _PALEST_LINE * float(np.percentile(strength, 99.9)))
    lines = [(False, line) for line in _level_lines(strength, level, thickest)]
    lines += [(True, line) for line in _level_lines(strength.T, level, thickest)]
    while True:
        kept = [one for one in lines if _ends_at_others(one, lines, strength.shape)]
        if len(kept) == len(lines):
            break
        lines = kept
    if not lines:
        return given
    pen = _Pen(*(float(np.median([getattr(line, name) for _, line in lines])) for name in _Pen._fields))
    erased = np.zeros(strength.shape, dtype=np.bool_)
    bands = np.zeros((2, *strength.shape), dtype=np.float32)  # how strong level and upright lines are
    for is_upright, line in lines:
        _erase(erased.T if is_upright else erased, line, pen)
        _mark(bands[1].T if is_upright else bands[0], line)
    bands = bands.sum(axis=0)  # where two cross, ink lies on ink
    left = np.where(erased, 0, strength) > level
    labels, count = ndimage.label(left, np.ones((3, 3)))
    if count:  # what is left of a line lies along it, and is no thicker, nor much darker
        shapes = np.arange(1, count + 1)
        thickness = 2 * ndimage.maximum(ndimage.distance_transform_edt(left), labels, shapes)
        is_left = ndimage.mean(bands > 0, labels, shapes) > _ALONG
        is_left &= thickness <= 2.5 * pen.thickness + 3
        most = np.maximum(_MUCH_DARKER * pen.strength, _DARKER * bands)
        is_left &= ndimage.maximum(strength - most, labels, shapes) <= 0
        erased |= np.concatenate([[False], is_left])[labels]
    return np.where(erased, np.median(strength[~erased]), strength) if not erased.all() else strength


def _level_lines(strength: Strength, level: float, thickest: float) -> list[_Line]:
    factor = max(1, -(-max(strength.shape) // _HOUGH))
    height, width = (length // factor for length in strength.shape)
    if min(height, width) < 16:
        return []
    blocks = strength[: height * factor, : width * factor].reshape(height, factor, width, factor)
    inked = blocks.max(axis=(1, 3)) > level
    y, x = np.nonzero(inked)
    course = _course_of(inked)
    votes = _votes(x, y - course[x], inked.shape)
    peaks = (votes == ndimage.maximum_filter(votes, (9, 3))) & (votes > 0.8 * _SHORTEST * width)
    places = np.argwhere(peaks)
    places = places[np.argsort(-votes[peaks])][:_MOST_LINES]
    traced = (
        _traced(strength, level, _SLOPES[slope], factor * (row - height + 0.5), course, factor)
        for slope, row in places.tolist()
    )
    return [line for line in traced if line is not None and line.thickness <= thickest]


def _votes(x: NDArray[np.int64], y: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """How many places (N,) lie on each line, (S, 3 * height): by its slope, and its row in the middle column."""
    height, width = shape
    rows = np.rint(y - _SLOPES[:, np.newaxis] * (x - width / 2)).astype(np.int64) + height  # (S, N), in 0..3 height
    rows = rows.clip(0, 3 * height - 1) + 3 * height * np.arange(len(_SLOPES))[:, np.newaxis]
    return np.bincount(rows.ravel(), minlength=len(_SLOPES) * 3 * height).reshape(-1, 3 * height)


def _course_of(inked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How many rows lower the page's lines are in each column, (width,), than in the middle: all bend as the page does.

    They are followed from strip to strip: what is inked there is moved by the rows that fit best to what came before.
    Zeros, as of a flat page, if that makes the lines hardly straighter.
    """
    height, width = inked.shape
    thickest = np.ones((2 + math.ceil(_THICKEST * min(inked.shape)), 1))
    y, x = np.nonzero(inked & ~ndimage.binary_opening(inked, thickest))  # no thick strokes, nor lines of the other way
    strip = x * _STRIPS // width
    counts = np.bincount(strip * 3 * height + y + height, minlength=_STRIPS * 3 * height).reshape(_STRIPS, 3 * height)
    profiles = ndimage.gaussian_filter1d(counts.astype(np.float64), 1)
    lower = np.zeros(_STRIPS)
    for way in (range(_STRIPS // 2 + 1, _STRIPS), range(_STRIPS // 2 - 1, -1, -1)):
        known, at, step = profiles[_STRIPS // 2], 0, 0.0
        for number in way:
            tried = at + round(step) + _NEXT
            alike = [np.roll(profiles[number], -by) @ known for by in tried] * (1 - 0.02 * np.abs(_NEXT))
            by = int(tried[np.argmax(alike) if max(alike) > 0 else len(_NEXT) // 2])
            known = 0.9 * known + np.roll(profiles[number], -by)
            at, step = by, 0.6 * step + 0.4 * (by - at)
            lower[number] = by
    middles = (np.arange(_STRIPS) + 0.5) * width / _STRIPS
    course = np.interp(np.arange(width), middles, ndimage.gaussian_filter1d(lower, 1, mode="nearest"))
    flat, bent = (_votes(x, y - rows[x], inked.shape) for rows in (0 * course, course))
    flat, bent = (np.maximum(votes - width / 2, 0).sum(axis=1) for votes in (flat, bent))  # not of digits
    return course if bent.max() > _STRAIGHTER * flat.max() else 0 * course


def _traced(
    strength: Strength, level: float, slope: float, middle: float, course: NDArray[np.float64], factor: int
) -> _Line | None:
    """Follow a line from column to column, and see how far it reaches and how thick it is.

    Then once more, along the curve that fits best to it, and with hardly any gaps if it stands out from the grain:
    digits below each other, or a way across a grid, may look like a line, but are neither as smooth nor as whole.
    """
    height, width = strength.shape
    reach = 2 * factor + 1  # rows that a line may bend
    room = reach + max(6, max(height, width) // 60)
    columns = np.arange(width)
    bent = factor * np.interp(columns / factor, np.arange(len(course)), course)
    bent = np.rint(middle + slope * (columns - width / 2) + bent).astype(np.int64)
    around = bent + np.arange(-room, room + 1)[:, np.newaxis]  # (R, W)
    is_there = (around >= 0) & (around < height)
    window = np.where(is_there, strength[around.clip(0, height - 1), columns], 0)
    rows, near = np.arange(2 * room + 1)[:, np.newaxis], slice(room - reach, room + reach + 1)
    gap, curve = max(3, width // 30), np.full(width, float(room))
    smooth = ndimage.uniform_filter1d(window[near], gap, axis=1)
    for away, least in ((reach, _COVERED), (reach / 2, _COVERED_AGAIN)):
        offset = np.where(np.abs(rows[near] - curve) <= away, smooth, -1).argmax(axis=0) + room - reach  # (W,) its row
        at_line = window[offset, columns]
        is_covered = np.maximum.reduce([window[(offset + by).clip(0, 2 * room), columns] for by in (-1, 0, 1)]) > level
        joined = ndimage.binary_closing(np.pad(is_covered, gap), np.ones(gap))[gap:-gap]
        labels, count = ndimage.label(joined)
        if not count:
            return None
        longest = labels == 1 + int(np.bincount(labels)[1:].argmax())
        if longest.sum() < _SHORTEST * width or is_covered[longest].mean() < least:
            return None
        typical = float(np.percentile(at_line[longest & is_covered], _FINE_PARTS))
        curve, bend = _curve_through(columns[longest], offset[longest], columns)
        gap = max(3, width // (30 if typical < _CLEAR * level else 100))
    if abs(bend) > _BENT * int(longest.sum()):
        return None
    is_inked = window > max(0.4 * typical, 0.5 * level)
    first = np.where(~is_inked & (rows <= offset), rows, -1).max(axis=0) + 1
    last = np.where(~is_inked & (rows >= offset), rows, 2 * room + 1).min(axis=0) - 1
    length = (last - first + 1).clip(1)
    thickness = float(np.percentile(length[longest & is_covered], _FINE_PARTS))
    across = (offset + np.arange(-room, room + 1)[:, np.newaxis]).clip(0, 2 * room)
    profile = np.median(window[across, columns][:, longest], axis=1)  # across the line, which is at ``room``
    shade = max(int((side <= level).argmax()) for side in (profile[room::-1], profile[room:]))  # 0: it does not end
    darkest = np.where((rows >= first) & (rows <= last), window, 0).max(axis=0)
    chosen, start = columns[longest], bent[longest] - room
    middle_row, first, last = (start + place[longest] for place in (offset, first, last))
    return _Line(chosen, middle_row, first, last, darkest[longest], thickness, typical, shade)


def _curve_through(
    x: NDArray[np.int64], y: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], float]:
    """The rows in all columns of a parabola that fits the nearer half of some places, and how far it bends at its ends.

    Where a digit crosses a line, the digit may have been followed instead.
    """
    middle, half = (x[0] + x[-1]) / 2, max(1.0, (x[-1] - x[0]) / 2)
    along = (x - middle) / half
    away = np.abs(y - np.polyval(np.polyfit(along, y, 2), along))
    is_near = away <= np.sort(away)[max(2, (len(x) - 1) // 2)]  # at least three: fewer determine no parabola
    fit = np.polyfit(along[is_near], y[is_near], 2)
    rows: NDArray[np.float64] = np.polyval(fit, (columns - middle) / half)
    return rows, float(fit[0])


def _ends_at_others(one: tuple[bool, _Line], lines: list[tuple[bool, _Line]], shape: tuple[int, ...]) -> bool:
    is_upright, line = one
    height, width = shape[::-1] if is_upright else shape
    near = min(_AT_END * max(shape), _AT_END_SHORTER * min(shape))
    for place, edge in ((0, 0), (-1, width - 1)):
        column, row = line.columns[place], line.rows[place]
        at_edge = abs(column - edge) <= near or row <= near / 2 or row >= height - near / 2
        others = (other for crosswise, other in lines if crosswise != is_upright)
        if not at_edge and not any(_touches(line, other, place, near) for other in others):
            return False
    return True


def _touches(line: _Line, other: _Line, place: int, near: float) -> bool:
    """Whether a line of the same pen, in the other direction, passes near an end of this one."""
    along, across = int(line.rows[place]), int(line.columns[place])
    at = int(np.clip(along - other.columns[0], 0, len(other.columns) - 1))
    is_near = abs(int(other.columns[at]) - along) <= near and abs(int(other.rows[at]) - across) <= near
    is_alike = line.thickness <= _THICKER * other.thickness + 1 and line.strength <= _DARKER * other.strength
    return is_near and is_alike


def _erase(erased: NDArray[np.bool_], line: _Line, pen: _Pen) -> None:
    """Mark a line, but neither what crosses it nor a stroke of a digit that runs along it."""
    is_line = (line.last - line.first + 1 <= 1.5 * line.thickness + 2) & (line.darkest <= _DARKER * line.strength)
    rim = max(1 + round(min(line.thickness, pen.thickness) / 2), line.shade - round(line.thickness / 2))
    runs = (line.columns[is_line], line.first[is_line] - rim, line.last[is_line] + rim + 1)
    for column, first, past in zip(*(values.tolist() for values in runs), strict=True):
        erased[max(0, first) : past, column] = True


def _mark(band: Strength, line: _Line) -> None:
    """Mark all of a line, and a rim, with how strong it is."""
    half = max(2 + round(line.thickness / 2), 1 + line.shade)
    rows = line.rows[:, np.newaxis] + np.arange(-half, half + 1)
    places = rows.clip(0, len(band) - 1), line.columns[:, np.newaxis]
    band[places] = np.maximum(band[places], line.strength)

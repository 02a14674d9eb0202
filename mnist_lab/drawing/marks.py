"""What is written with digits and is none: signs, hyphens, points, brackets, underlines, circles and boxes.

They are told by their shape and place alone. Distances are in sizes of what they are compared with, unless said.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mnist_lab.drawing.pieces import Group, Piece, box_of, distance
from mnist_lab.drawing.places import Box, shared

TOUCHING = 0.05  # strokes nearer to each other belong together
_MARK = 0.4  # of the height of its row, up to which ink is a hyphen, a point or a comma
_LEVEL = 0.3  # height of a level line, in its widths
_UNDER, _UNDER_SUM = 0.6, 1.5  # how far below a digit an underline, or the line of a sum, is at most, in its heights
_LONG = 1.3  # width of the line of a written sum, at least, in sizes of what is above and below it
_UNDER_DOUBLE = 0.3  # how far the second line is below the first, at most, in their widths
_UNDER_ALL = 0.8  # of the width of what is above, that an underline covers
_BENT, _THIN = 0.07, 0.12  # of the height: how far a bracket's line bends at least, and is off a parabola at most
_FRAMED = 0.3  # of the height of a circle or box, that the digits in it are at least high
_ROUND = 0.75  # width of a circle, in its heights, below which it may be a zero
_SECTORS = 12  # of which a circle may leave out one
_ALIKE = 0.5  # of the wider of an equals sign's lines, that the other is at least, and that they share
_STRAIGHT, _ARM = 0.09, 0.1  # how far a cross is off straight lines at most, and its arms stick out at least
_SMALLER = 0.8  # height of a cross, in those of high digits, from which it may be a 4
_TURNS, _LEANS = np.radians(range(0, 90, 10)), np.radians(range(-30, 31, 10))  # of a cross, and of its second line
_CROSSINGS = np.linspace(-0.2, 0.2, 5)  # how far off the middle it may be


def without_signs(groups: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """Ink that may be digits, and signs: plus, times, equals and divided by; without any digits, there are no signs."""
    boxes = {group: box_of(group) for group in groups}
    high = np.quantile([box.height for box in boxes.values()] or [0.0], 0.75)  # not of brackets
    signs = [group for group in groups if boxes[group].height < _SMALLER * high and _is_cross(group)]
    bars = [group for group in groups if _is_bar(group)]
    for bar in bars:
        box = boxes[bar]
        near = [
            group for group, there in boxes.items() if shared(box.left, box.right, there.left, there.right) > _ALIKE
        ]
        above, below = (
            [group for group in near if 0 < way * (boxes[group].middle_y - box.middle_y) < box.width] for way in (-1, 1)
        )
        signs += [bar + other for other in below if other in bars and _are_alike(box, boxes[other], _ALIKE)]
        dots = ([group for group in side if boxes[group].size < _ALIKE * box.width] for side in (above, below))
        signs += [bar + one + other for one, other in product(*dots)]
    taken = {piece for sign in signs for piece in sign}
    rest = [group for group in groups if not taken.intersection(group)]
    return (rest, signs) if rest else ([*groups], [])


def _is_cross(group: Group) -> bool:
    """Whether ink is two straight lines that cross in their middle: a plus, or an x."""
    box = box_of(group)
    if min(box.width, box.height) < _ALIKE * box.size:
        return False
    points = np.vstack([piece.points for piece in group]) - (box.middle, box.middle_y)
    ways = np.array([(turn, turn + np.pi / 2 + lean) for turn, lean in product(_TURNS, _LEANS)])  # (T, 2)
    off = (np.cos(ways)[..., None] * points[:, 1] - np.sin(ways)[..., None] * points[:, 0]) / box.size  # (T, 2, n)
    most = _STRAIGHT + max(piece.pen for piece in group) / 2 / box.size
    near = np.abs(off[:, :, None] - _CROSSINGS[:, None]) < most  # (T, 2, 5, n)
    fits = (near[:, 0, :, None] | near[:, 1, None, :]).all(axis=-1)  # (T, 5, 5)
    return any(_has_arms(off[at] - _CROSSINGS[list(crossing), None], most) for at, *crossing in np.argwhere(fits))


def _has_arms(off: NDArray[np.float64], most: float) -> bool:
    """Whether ink, (2, n) and at ``most`` so far off one of two lines that cross, goes both ways along each of them."""
    along = [off[1 - line, np.abs(off[line]) < most] for line in (0, 1)]
    return all(len(way) and min(-way.min(), way.max()) > most + _ARM for way in along)


def _is_bar(group: Group) -> bool:
    """Whether ink is a short, level line."""
    box = box_of(group)
    if box.height >= box.width:  # most are; to find the width of a picture's lines takes time
        return False
    pen = max(piece.pen for piece in group)
    length = box.width - pen
    return length > pen and box.height - pen < _LEVEL * length


def parts_of_row(row: Sequence[Group], signs: Sequence[Group]) -> list[list[Group]]:
    """What lies between the signs, hyphens and pairs of brackets of a row, from left to right."""
    apart = {place for place, group in enumerate(row) if group in signs} | _brackets(row)
    boxes = [box_of(group) for group in row]
    apart |= {
        place
        for place in range(len(row))
        if len(row) > 1 and _is_hyphen(row[place], boxes[max(place - 1, 0) : place] + boxes[place + 1 : place + 2])
    }
    parts: list[list[Group]] = [[]]
    for place, group in enumerate(row):
        if place in apart:
            parts.append([])
        else:
            parts[-1].append(group)
    return [part for part in parts if part]


def _is_hyphen(group: Group, beside: Sequence[Box]) -> bool:
    """Whether ink is a level line beside other boxes, low, and neither above nor below them."""
    box = box_of(group)
    return _is_bar(group) and all(
        is_low(box, other.height)
        and other.top < box.middle_y < other.bottom
        and shared(box.left, box.right, other.left, other.right) < 0
        for other in beside
    )


def _brackets(row: Sequence[Group]) -> set[int]:
    """The places of pairs of brackets, as they stand around the first digits of a telephone number."""
    opened, found = None, set[int]()
    for place, bend in enumerate(map(_bend_of, row)):
        if bend > _BENT:
            opened = place
        elif bend < -_BENT and opened is not None and place > opened + 1:
            found |= {opened, place}
            opened = None
    return found


def _bend_of(group: Group) -> float:
    """How far a narrow, upright line bends to the left (to the right: below 0), in its heights; 0 for other shapes."""
    box, (x, y) = box_of(group), np.vstack([piece.points for piece in group]).T
    if box.width >= box.height / 2:
        return 0.0
    down = 2 * (y - box.top) / box.height - 1  # from -1 to 1
    parabola = np.polyfit(down, x, 2)
    is_thin = np.abs(np.polyval(parabola, down) - x).max() < _THIN * box.height
    return float(parabola[0]) / box.height if is_thin else 0.0


def is_frame(piece: Piece, pieces: Sequence[Piece]) -> bool:
    """Whether a piece goes around others that may be digits: a circle or a box, but not a zero around its own slash."""
    inside = [other for other in pieces if other is not piece and other.box.is_inside(piece.box)]
    if not inside or box_of(inside).height < _FRAMED * piece.box.height:
        return False
    if piece.stroke and distance(inside, (piece,)) < TOUCHING:  # in a picture, they would be one piece
        return False
    points = np.vstack([other.points for other in inside])
    middle = points.mean(axis=0)
    length, breadth = np.linalg.svd(points - middle, compute_uv=False)
    if breadth < _THIN * length and piece.box.width < _ROUND * piece.box.height:
        return False
    around, within = (np.zeros(_SECTORS) for _ in range(2))  # how far ink reaches in each direction
    for reach, places in ((around, piece.points), (within, points)):
        x, y = (places - middle).T
        sectors = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
        np.maximum.at(reach, sectors, np.hypot(x, y))
    return bool((around > within).sum() >= _SECTORS - 1)


def underlined(piece: Piece, pieces: Sequence[Piece]) -> Group:
    """What a piece may underline: it is a level line below others, nearer than what is below, and hardly narrower.

    That of a written sum is longer than any digit is large, and may be nearer to the result below it.
    """
    line = piece.box
    if not is_level(line):
        return ()
    others = [one for one in pieces if not is_level(one.box)]
    largest = max((one.box.size for one in others), default=0.0)  # beside it, the dots of ÷ are none that it underlines
    near = [one for one in others if line.left < one.box.middle < line.right and one.box.size > _MARK * largest]
    least = TOUCHING if piece.stroke else -TOUCHING  # in a picture, what touches is one piece
    most, below = _UNDER, min((one.box.top - line.bottom for one in near if one.box.top > line.top), default=np.inf)
    if line.width > _LONG * max((one.box.size for one in near), default=np.inf):
        most, below = _UNDER_SUM, np.inf
    gaps = {one: (line.top - one.box.bottom) / max(one.box.height, 1.0) for one in near}
    above = tuple(one for one, gap in gaps.items() if least < gap < most)
    apart = min((line.top - one.box.bottom for one in above), default=np.inf)
    return above if apart < below and line.width > _UNDER_ALL * box_of(above).width else ()


def is_doubled(line: Box, boxes: Sequence[Box]) -> bool:
    """Whether a level line is the upper one of two that are alike: of a double underline, not the foot of a 1."""
    return any(
        is_level(other)
        and 0 < other.middle_y - line.middle_y < _UNDER_DOUBLE * line.width
        and _are_alike(line, other, _UNDER_ALL)
        for other in boxes
    )


def _are_alike(line: Box, other: Box, least: float) -> bool:
    """Whether so much of two level lines, one above the other, is side by side, and the shorter of the longer one."""
    side_by_side = shared(line.left, line.right, other.left, other.right)
    return side_by_side > least and least < other.width / line.width < 1 / least


def is_level(box: Box) -> bool:
    """Whether a box is that of a level line."""
    return box.height < _LEVEL * box.width


def is_low(box: Box, height: float) -> bool:
    """Whether a box is too low for a digit in a row that is so high: a hyphen, a point or a comma."""
    return max(1.0, box.height) <= _MARK * height


def is_comma(one: Box, other: Box) -> bool:
    """Whether one box is that of a comma or the like at the foot of the other, to its right."""
    across, down = one.left - other.right, one.top - other.bottom
    return one.size < _MARK * other.size and max(across, abs(down)) < _MARK * other.size

"""The pieces that ink comes in: the strokes of a drawing, the connected shapes of a picture, and parts of them.

Where digits touch, their ink is one shape. It is taken apart at the crossings of its skeleton: each branch is a piece,
inked again as wide as the lines are there (medial axis transform, Blum 1967). Ink at a crossing belongs to all branches
that meet there, as it does on paper, so that no half is left with a stub of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist

from mnist_lab.data.mnist import SIDE
from mnist_lab.data.pen_strokes import BOX
from mnist_lab.drawing.page import extents_of
from mnist_lab.drawing.places import Box
from mnist_lab.drawing.preprocess import PEN, Picture, Steps, invert, resample, to_mnist
from mnist_lab.drawing.strokes import Drawing, Stroke, segments, visible

_ROWS = 64  # of the raster in which ink is thinned
_INK = 100  # grey level of the raster, of 255, from which it is ink
_SPUR = 3  # pixels of a skeleton's branch, up to which it is none
_SLANTS = (0.0, -0.5, 0.5)  # columns for each row, of the lines between pieces on the left and on the right
_PARTS = 6  # of a single stroke, at whose ends it may be cut
_STRAIGHT = 1.2  # lengths of its box's diagonal, up to which a stroke is one line
_GAP = 0.8  # of the pen's width, up to which a rough stroke may be broken
_ROUGH = 0.5  # shapes beyond two in each group of near ones, and two in all, from which strokes are rough
DIRT = 1 / 20  # of the size of the largest piece, up to which a piece is dirt


@dataclass(frozen=True, eq=False)
class Piece:
    """Ink that belongs together: a stroke or a part of one, or connected ink or a part of that."""

    box: Box
    points: NDArray[np.float64]  # (n, 2) x and y of some places on it
    stroke: Stroke  # empty in a picture
    mask: NDArray[np.bool_]  # (h, w) which pixels of its box; empty in a drawing

    @cached_property
    def pen(self) -> float:
        """How wide its lines are, in pixels; 0 in a drawing."""
        return _pen(np.pad(self.mask, 1)) if self.mask.size else 0.0


Group: TypeAlias = tuple[Piece, ...]  # pieces that may be one digit


def box_of(group: Iterable[Piece]) -> Box:
    """The smallest box around all of them."""
    left, top, right, bottom = zip(*(piece.box for piece in group), strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


def distance(one: Iterable[Piece], other: Iterable[Piece]) -> float:
    """The distance between two groups, in sizes of the larger."""
    points, other_points = (np.vstack([piece.points for piece in group]) for group in (one, other))
    return float(cdist(points, other_points).min()) / max(box_of(one).size, box_of(other).size)


def stroke_piece(stroke: Stroke) -> Piece | None:
    """A stroke as a piece; None if none of it lies on the canvas."""
    lines = visible(segments(Drawing((stroke,)))).astype(np.float64)  # (S, 4)
    if not len(lines):
        return None
    way = np.vstack([lines[:1, :2], lines[:, 2:]])  # (S + 1, 2)
    (left, top), (right, bottom) = way.min(axis=0).tolist(), way.max(axis=0).tolist()
    along = np.concatenate([[0.0], np.hypot(*np.diff(way, axis=0).T).cumsum()])
    places = np.linspace(0, along[-1], 32)
    points = np.stack([np.interp(places, along, way[:, axis]) for axis in (0, 1)], axis=1)
    return Piece(Box(left, top, right, bottom), points, stroke, np.zeros((0, 0), dtype=bool))


def _mask_piece(mask: NDArray[np.bool_], left: int, top: int) -> Piece | None:
    """The pixels of a mask (h, w) as a piece; None if there are none."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found or found[0] is None:
        return None
    rows, columns = found[0]
    mask = mask[rows, columns]
    inside = mask.copy()  # not at an edge
    inside[1:-1, 1:-1] &= mask[2:, 1:-1] & mask[:-2, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2]
    inside[[0, -1]], inside[:, [0, -1]] = False, False
    y, x = np.nonzero(mask & ~inside)
    step = len(x) // 64 | 1  # odd: a ring has four such pixels in most of its rows
    left, top = left + columns.start, top + rows.start
    points = np.stack([x[::step] + left + 0.5, y[::step] + top + 0.5], axis=1)
    return Piece(Box(left, top, left + mask.shape[1], top + mask.shape[0]), points, (), mask)


def shapes(paper: Picture) -> list[Piece]:
    """The connected ink of a picture (H, W), each with its soft edge."""
    inked = paper < (255 + float(paper.min())) / 2  # half as dark as the darkest
    shapes = _unbroken(inked)
    sizes = extents_of(shapes)
    largest = int(sizes.max(initial=0))
    soft = 2 + largest // 30  # pixels around half-dark ink that may be its soft edge
    owner = np.where(shapes, shapes, ndimage.maximum_filter(shapes, 2 * soft + 1))
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(shapes), start=1):
        if sizes[number - 1] > DIRT * largest:
            top, left = max(rows.start - soft, 0), max(columns.start - soft, 0)
            here = slice(top, rows.stop + soft), slice(left, columns.stop + soft)
            found.append(_mask_piece((owner[here] == number) & (paper[here] < 255), left, top))
    return [piece for piece in found if piece is not None]


def _unbroken(inked: NDArray[np.bool_]) -> NDArray[np.signedinteger]:
    """Labels (h, w) of connected ink; narrow gaps, as a pencil or crayon leaves them, part nothing.

    Rough strokes are told by their many shapes: two or three that are so near may be digits that nearly touch.
    """
    labels, count = ndimage.label(inked, np.ones((3, 3)))
    sizes = extents_of(labels)
    is_large = sizes > DIRT * sizes.max(initial=0)
    if is_large.sum() < 2:
        return labels
    gap = 2 * ndimage.distance_transform_edt(~np.concatenate([[False], is_large])[labels]) - 1
    near, _ = ndimage.label(gap < _GAP * _pen(np.pad(inked, 1)), np.ones((3, 3)))
    groups = ndimage.maximum(near, labels, np.arange(1, count + 1))
    together = np.bincount(groups[is_large])
    more = together[together > 1] - 2
    if more.sum() < max(2, _ROUGH * len(more)):
        return labels
    _, groups = np.unique(np.where(is_large, groups, -np.arange(count)), return_inverse=True)
    return np.concatenate([[0], groups + 1])[labels]


def ink_of(group: Group, paper: Picture) -> Picture:
    """The ink of these pieces alone, as large as their box."""
    left, top, right, bottom = map(int, box_of(group))
    alone = np.full((bottom - top, right - left), 255, dtype=np.uint8)
    for piece in group:
        x0, y0, x1, y1 = map(int, piece.box)
        alone[y0 - top : y1 - top, x0 - left : x1 - left][piece.mask] = paper[y0:y1, x0:x1][piece.mask]
    return alone


def parts_of(group: Group) -> Sequence[Piece]:
    """The strokes of a group; of a single one that is wider than high, and not straight, parts of it."""
    box = box_of(group)
    if len(group) > 1 or box.width < box.height:
        return group
    points = np.array(group[0].stroke)
    along = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    if along[-1] < _STRAIGHT * np.hypot(box.width, box.height):
        return group
    places = np.linspace(0, along[-1], 1 + 8 * _PARTS)
    fine = np.stack([np.interp(places, along, points[:, axis]) for axis in (0, 1)], axis=1).tolist()
    parts = [fine[8 * part : 8 * part + 9] for part in range(_PARTS)]
    return [piece for piece in (stroke_piece(tuple((x, y) for x, y in part)) for part in parts) if piece is not None]


def parted(pieces: Sequence[Piece]) -> list[tuple[Group, Group]]:
    """Pieces left and right of upright and slanted lines."""
    middles = np.array([((piece.box.top + piece.box.bottom) / 2, piece.box.middle) for piece in pieces])
    found = dict[frozenset[int], tuple[Group, Group]]()
    for slant in _SLANTS if len(pieces) > 1 else ():
        order = np.argsort(middles @ np.array([slant, 1.0])).tolist()
        for place in range(1, len(order)):
            sides = tuple(tuple(pieces[at] for at in side) for side in (order[:place], order[place:]))
            found.setdefault(frozenset(order[:place]), (sides[0], sides[1]))
    return list(found.values())


def picture_of(source: Drawing | Picture, height: float) -> Picture:
    """A part of ink that is so high, (28, 28), as networks see it: coarser than ``to_mnist``, and ten times as fast."""
    if isinstance(source, Drawing):
        picture = to_mnist(source)
    else:
        size = (max(1, round(_ROWS * side / height)) for side in source.shape)
        inked = np.pad(resample(invert(source), *size) > _INK, _ROWS // 8)
        pen = _pen(inked)
        bolder = max(0.0, PEN * (_ROWS - pen) / (BOX - PEN) - pen) / 2
        again = np.clip(1 + bolder - ndimage.distance_transform_edt(~inked), 0, 1)
        picture = to_mnist(np.rint(255 - 255 * again).astype(np.uint8), Steps(pen=False))
    return np.zeros((SIDE, SIDE), dtype=np.uint8) if picture is None else picture


def _pen(inked: NDArray[np.bool_]) -> float:
    """The width of lines (h, w), as of ``PEN``, in pixels."""
    inside = ndimage.distance_transform_edt(inked)[inked] - 0.5
    return 4 * float(inside.mean()) if inside.size else 1.0


def branches(paper: Picture, box: Box) -> tuple[list[Piece], float]:
    """The ink (h, w) in a box by branches of its skeleton, fewer than two of which are none, and its lines' length.

    The length is in heights of the box.
    """
    inked = resample(invert(paper), _ROWS, max(8, round(_ROWS * paper.shape[1] / paper.shape[0]))) > _INK
    padded = np.pad(inked, 1)
    length = float(inked.sum()) / _pen(padded) / _ROWS
    radius = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    line = thinned(inked)
    crossings = line & (ndimage.convolve(line.astype(np.int64), np.ones((3, 3)), mode="constant") > 3)
    branch, count = ndimage.label(line & ~crossings, np.ones((3, 3)))
    long = np.flatnonzero(np.bincount(branch.ravel(), minlength=count + 1) > _SPUR)
    long = long[long > 0]
    if len(long) < 2:
        return [], length
    away = [ndimage.distance_transform_edt(branch != number, return_indices=True) for number in long]
    nearest = np.argmin([distance for distance, _ in away], axis=0)
    rows, columns = ((np.arange(n) + 0.5) * m / n for n, m in zip(paper.shape, inked.shape, strict=True))
    fine = np.ix_(rows.astype(int), columns.astype(int))  # of the raster, where each pixel of the paper is
    pieces = []
    for place, (distance, at) in enumerate(away):
        mask = (distance <= radius[tuple(at)] + 1) | (nearest == place)
        pieces.append(_mask_piece(mask[fine] & (paper < 255), int(box.left), int(box.top)))
    return [piece for piece in pieces if piece is not None], length


def thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skeleton of a mask (h, w), of lines one pixel wide (Zhang & Suen 1984)."""
    mask = np.pad(mask, 1)
    around = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]  # clockwise from above
    while True:
        before = mask
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            ring = np.stack([np.roll(mask, (-y, -x), (0, 1)) for y, x in around])  # (8, h + 2, w + 2)
            neighbours, starts = ring.sum(axis=0), (~ring & np.roll(ring, -1, axis=0)).sum(axis=0)
            is_edge = ~ring[list(first)].all(axis=0) & ~ring[list(second)].all(axis=0)
            mask = mask & ~((neighbours >= 2) & (neighbours <= 6) & (starts == 1) & is_edge)
        if (mask == before).all():
            return mask[1:-1, 1:-1]

"""Which digits a picture or a drawing shows, in reading order: rows from above, each from left to right.

Ink comes in pieces: the strokes of a drawing, the connected shapes of a picture. One digit may have several (the loose
bar of a 5), and several digits one (they touch). So neighbouring pieces are tried together, what looks like more than
one digit is cut where its ink is narrow, and of all partitions the one is taken that the networks are surest of. That
is heuristic over-segmentation, and the best path through it (LeCun et al. 1998, "Gradient-based learning applied to
document recognition", section V).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby, permutations
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from mnist_lab.drawing.places import Ask, Box, Place
from mnist_lab.data.pen_strokes import BOX
from mnist_lab.drawing.preprocess import PEN, Picture, Steps, invert, resample, to_mnist
from mnist_lab.drawing.strokes import Drawing, Stroke, segments, visible

# Distances are in sizes of the larger of two groups; what something costs is in logarithms of probability.
_TOUCHING = 0.05  # strokes nearer to each other belong together, unless they are cut apart
_MARGIN = 0.15  # up to which it costs something to take neighbours for two digits
_NEAR, _NEAR_TALL = 0.3, 0.12  # further apart, they are never one digit; the same if both are as high as digits
_APART = 1.5  # costs two digits where one would touch the other
_ABOVE = 1.0  # costs two digits in a row of which one lies above the other
_LOWEST, _LOW = 0.6, 6.0  # size of a digit, in heights of its row, and the cost of each height less
_HIGHEST, _HIGH = 1.85, 10.0  # height of a digit of two pieces, in those of the larger, and the cost of each more
_TALL = 0.8  # height of neighbours, in heights of the row, from which both are probably digits
_ALONE = 0.6  # speaks against several digits if all ink may be one, which is the usual case
_BROAD = 2.0  # cost of each height that neighbours together are wider than high
_WIDEST = 2.0  # width, in heights of the row, of neighbours that are tried as one digit
_LONGEST = 8.0  # width, in heights, of ink that is cut: what is longer is a line
_ROWS = 64  # of the raster in which ink is thinned
_SPUR = 3  # pixels of a skeleton's branch, up to which it is none
_SLANTS = (0.0, -0.5, 0.5)  # columns for each row, of the lines that part branches or strokes
_PARTS = 6  # of a single stroke, at whose ends it may be cut
_MOST_CUTS = 12  # that the networks are asked about
_MOST_PIECES = 400  # the largest of a source; the rest counts as dirt
_DIRT = 1 / 20  # of the size of the largest piece, up to which a piece is dirt


@dataclass(frozen=True, eq=False)
class Piece:
    """Ink that belongs together: a stroke or a part of one, or connected ink or a part of that."""

    box: Box
    points: NDArray[np.float64]  # (n, 2) x and y of some places on it
    stroke: Stroke  # empty in a picture
    mask: NDArray[np.bool_]  # (h, w) which pixels of its box; empty in a drawing


def find_digits(source: Drawing | Picture, ask: Ask) -> list[Place]:
    """The digits of a drawing, or of black ink on white paper (H, W) uint8, in reading order; none without ink."""
    search = _Search(source, ask)
    rows = _rows(search.stacked(_touching(search.pieces())))
    return [replace(place, row=number) for number, row in enumerate(rows) for place in search.read(row)]


Group: TypeAlias = tuple[Piece, ...]  # pieces that may be one digit


def _box(group: Iterable[Piece]) -> Box:
    left, top, right, bottom = zip(*(piece.box for piece in group), strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


def _stroke_piece(stroke: Stroke) -> Piece | None:
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
    step = max(1, len(x) // 64)
    left, top = left + columns.start, top + rows.start
    points = np.stack([x[::step] + left + 0.5, y[::step] + top + 0.5], axis=1)
    return Piece(Box(left, top, left + mask.shape[1], top + mask.shape[0]), points, (), mask)


def _gap(one: Iterable[Piece], other: Iterable[Piece]) -> float:
    """The distance between two groups, in sizes of the larger."""
    points, other_points = (np.vstack([piece.points for piece in group]) for group in (one, other))
    return float(cdist(points, other_points).min()) / max(_box(one).size, _box(other).size)


def _shared(low: float, high: float, other_low: float, other_high: float) -> float:
    """How much of the shorter of two intervals lies in the other, 0 to 1; below zero, how far they are apart."""
    return (min(high, other_high) - max(low, other_low)) / max(min(high - low, other_high - other_low), 1.0)


def _touching(pieces: Sequence[Piece]) -> list[Group]:
    """Pieces by what surely belongs together: strokes that meet, and what lies inside of another piece."""
    meets = np.zeros((len(pieces), len(pieces)), dtype=bool)
    for one, other in permutations(range(len(pieces)), 2):
        here, there = pieces[one].box, pieces[other].box
        is_inside = there.left <= here.left <= here.right <= there.right
        is_inside = is_inside and there.top <= here.top <= here.bottom <= there.bottom
        may_touch = bool(pieces[one].stroke) and _may_be_near(here, there)
        meets[one, other] = is_inside or (may_touch and _gap((pieces[one],), (pieces[other],)) < _TOUCHING)
    count, of = connected_components(meets, directed=False)
    return [
        tuple(piece for piece, at in zip(pieces, of.tolist(), strict=True) if at == group) for group in range(count)
    ]


def _may_be_near(one: Box, other: Box) -> bool:
    """Whether two boxes, and so what is in them, can be as near as ``_NEAR``."""
    apart = max(one.left - other.right, other.left - one.right, one.top - other.bottom, other.top - one.bottom)
    return apart <= _NEAR * max(one.size, other.size)


def _rows(groups: Sequence[Group]) -> list[list[Group]]:
    """Groups by rows, from above, and in each from left to right: each belongs to the row of its right neighbour.

    That is the nearest one to the right that is mostly at its height.
    """
    boxes = [_box(group) for group in groups]
    follows = np.zeros((len(groups), len(groups)), dtype=bool)
    for place, box in enumerate(boxes):
        right = [
            (other.middle - box.middle, there)
            for there, other in enumerate(boxes)
            if (other.middle, there) > (box.middle, place)
            and _shared(box.top, box.bottom, other.top, other.bottom) > 0.5
        ]
        if right:
            follows[place, min(right)[1]] = True
    count, of = connected_components(follows, directed=False)
    rows = [
        sorted((place for place in range(len(groups)) if of[place] == row), key=lambda place: boxes[place].middle)
        for row in range(count)
    ]
    rows.sort(key=lambda row: float(np.mean([boxes[place].top + boxes[place].bottom for place in row])))
    return [[groups[place] for place in row] for row in rows]


class _Search:
    """What the networks make of groups of pieces; they are asked about each group once."""

    def __init__(self, source: Drawing | Picture, ask: Ask) -> None:
        self._source, self._ask = source, ask
        self._known: dict[frozenset[Piece], Place | None] = {}
        self._whole = frozenset[Piece]()  # all pieces, with those that are dirt

    def pieces(self) -> list[Piece]:
        """The source's pieces, without dirt."""
        source = self._source
        pieces = [*filter(None, map(_stroke_piece, source.strokes))] if isinstance(source, Drawing) else _shapes(source)
        self._whole = frozenset(pieces)
        largest = sorted((piece.box.size for piece in pieces), reverse=True)[:_MOST_PIECES] or [0.0]
        least = max(largest[-1], _DIRT * largest[0])
        return [piece for piece in pieces if piece.box.size >= least][:_MOST_PIECES]

    def stacked(self, groups: list[Group]) -> list[Group]:
        """Join groups one above the other that are one digit: a 5 and its bar, an 8 of two rings, broken ink."""
        while True:
            pairs = [(_gap(*pair), *pair) for pair in permutations(groups, 2) if _is_above(*map(_box, pair))]
            pairs = [pair for pair in pairs if pair[0] < _NEAR]
            self.ask(group for _, one, other in pairs for group in (one, other, one + other))
            gains = []
            for gap, one, other in pairs:
                height = max(_box(one).height, _box(other).height, 1.0)
                boundary = _boundary(gap, _tall(_box(one), _box(other), height) / 2)
                apart = self.cost(one, height) + self.cost(other, height) + boundary
                both = one + other
                high = _box(both).height / max(piece.box.height for piece in both) - _HIGHEST
                high = 0.0 if frozenset(both) == self._whole else _HIGH * max(0.0, high)
                gains.append(apart - self.cost(both, height) - high)
            if max(gains, default=0) <= 0:
                return groups
            _, one, other = pairs[int(np.argmax(gains))]
            groups = [group for group in groups if group not in (one, other)] + [one + other]

    def read(self, row: Sequence[Group]) -> list[Place]:
        """The digits in a row, from left to right."""
        height = max(1.0, *(_box(group).height for group in row))
        found: list[Group] = []
        near, costs = [row[0]], list[float]()  # neighbours, and what it costs to take them for different digits
        for group in row[1:]:
            gap, one, other = _gap(near[-1], group), _box(near[-1]), _box(group)
            tall = _tall(one, other, height)
            if gap > _NEAR + (_NEAR_TALL - _NEAR) * tall:
                found += self._best(near, costs, height)
                near, costs = [], []
            else:
                above = max(0.0, _shared(one.left, one.right, other.left, other.right))
                costs.append(_boundary(gap, tall) + _ABOVE * above)
            near.append(group)
        found += self._best(near, costs, height)
        places = [self._known[frozenset(part)] for group in found for part in self._taken_apart(group)]
        return [place for place in places if place is not None and place.box.height > 0.3 * height]

    def _best(self, parts: Sequence[Group], boundaries: Sequence[float], height: float) -> list[Group]:
        """Join neighbouring parts to digits so that all together, with their boundaries, cost least (Viterbi)."""
        runs = {
            (start, end): tuple(piece for part in parts[start:end] for piece in part)
            for start, end in combinations(range(len(parts) + 1), 2)
        }
        runs = {ends: run for ends, run in runs.items() if ends[1] - ends[0] == 1 or _box(run).width < _WIDEST * height}
        self.ask(runs.values())
        costs = {ends: self.cost(run, height) for ends, run in runs.items()}
        for (start, end), run in runs.items():
            if end - start > 1:
                costs[start, end] += _BROAD * max(0.0, _box(run).width / max(_box(run).height, 1) - 1)
        best = [(0.0, 0)]  # of the first so many parts: the least cost, and where the last digit starts
        for end in range(1, len(parts) + 1):
            starts = [start for start in range(end) if (start, end) in costs]
            before = {start: best[start][0] + (boundaries[start - 1] if start else 0) for start in starts}
            best.append(min((before[start] + costs[start, end], start) for start in starts))
        digits: list[Group] = []
        end = len(parts)
        while end:
            start = best[end][1]
            digits.insert(0, runs[start, end])
            end = start
        return digits

    def cost(self, group: Group, height: float) -> float:
        """How little a group looks like one digit in a row that is so high."""
        place = self._known[frozenset(group)]
        if place is None:
            return np.inf
        alone = _ALONE if frozenset(group) == self._whole else 0.0
        return _LOW * max(0.0, _LOWEST - place.box.height / height) - float(np.log(place.certainty)) - alone

    def _taken_apart(self, group: Group) -> list[Group]:
        """A group as it is or, where that is likelier, cut in two, and each half likewise."""
        halves = self._cut(group)
        return [group] if halves is None else [part for half in halves for part in self._taken_apart(half)]

    def _cut(self, group: Group) -> tuple[Group, Group] | None:
        """The likeliest halves of a group; None if it is likelier to be one digit."""
        cuts = [cut for cut in self.cuts(group) if cut.odds(0.0) > 0]  # if the networks were certain of both halves
        cuts = sorted(cuts, key=lambda cut: -cut.odds(0.0))[:_MOST_CUTS]
        odds = [cut.odds(certainty) for cut, certainty in zip(cuts, self.certainties(group, cuts), strict=True)]
        if max(odds, default=0.0) <= 0:
            return None
        halves = cuts[int(np.argmax(odds))].halves
        self.ask(halves)
        return halves

    def cuts(self, group: Group) -> list[Cut]:
        """Ways to cut a group in two; none where it is no ink, or a long line."""
        place, box = self._known[frozenset(group)], _box(group)
        if place is None or box.width > _LONGEST * box.height:
            return []
        if isinstance(self._source, Drawing):
            pieces = _strokes_of(group)
            length = float(place.picture.sum()) / 255 / PEN / BOX * box.size / max(box.height, 1)
        else:
            pieces, length = _branches(self._ink_of(group), box)
        whole, cuts = (float(np.log(place.certainty)), float(np.log(max(length, 0.1)))), []
        for halves in _parted(pieces):
            one, other = map(_box, halves)
            smaller = min(one.height, other.height) / max(box.height, 1)
            overlap = (min(one.right, other.right) - max(one.left, other.left)) / max(box.height, 1)
            cuts.append(Cut(halves, (smaller, overlap, *whole, 1.0)))
        return cuts

    def certainties(self, group: Group, cuts: Sequence[Cut]) -> list[float]:
        """The logarithms of how sure the networks are of both halves of cuts."""
        if not cuts:
            return []
        height = _box(group).height
        pictures = [_quick(self.source_of(half), height) for cut in cuts for half in cut.halves]
        empty = np.zeros((28, 28), dtype=np.uint8)
        self.answers = [np.mean(each, axis=0) for each in self._ask([empty if one is None else one for one in pictures])]
        sure = np.log([each.max() for each in self.answers])
        return (sure[::2] + sure[1::2]).tolist()

    def source_of(self, group: Group) -> Drawing | Picture:
        """These pieces alone."""
        if frozenset(group) == self._whole:
            return self._source
        if isinstance(self._source, Drawing):
            return Drawing(tuple(piece.stroke for piece in group))
        return self._ink_of(group)

    def _ink_of(self, group: Group) -> Picture:
        left, top, right, bottom = map(int, _box(group))
        alone = np.full((bottom - top, right - left), 255, dtype=np.uint8)
        for piece in group:
            x0, y0, x1, y1 = map(int, piece.box)
            alone[y0 - top : y1 - top, x0 - left : x1 - left][piece.mask] = self._source[y0:y1, x0:x1][piece.mask]
        return alone

    def ask(self, groups: Iterable[Group]) -> None:
        """Let the networks see all these groups at once, but for those already known."""
        new = {key: group for group in groups if (key := frozenset(group)) not in self._known}
        sources = [self.source_of(group) for group in new.values()]
        pictures = [to_mnist(source) for source in sources]
        inked = [picture for picture in pictures if picture is not None]
        answers = iter(self._ask(inked) if inked else ())
        for (key, group), source, picture in zip(new.items(), sources, pictures, strict=True):
            self._known[key] = None if picture is None else Place(_box(group), source, picture, tuple(next(answers)))


class Cut(NamedTuple):
    """A way to cut a group in two."""

    halves: tuple[Group, Group]
    features: tuple[float, ...]

    def odds(self, certainty: float) -> float:
        """The logarithm of the odds that there are two digits, which the networks read so surely."""
        return float(np.dot(WEIGHTS, (certainty, *self.features)))


WEIGHTS = (4.5, 10.5, -3.4, -6.6, 5.7, -16.0)


def _is_above(one: Box, other: Box) -> bool:
    """Whether one box lies mostly above the other, and near it."""
    down = _shared(one.top, one.bottom, other.top, other.bottom)
    is_higher = one.top + one.bottom < other.top + other.bottom
    return is_higher and down < 0.5 and _may_be_near(one, other)


def _tall(one: Box, other: Box, height: float) -> float:
    """Whether both of two boxes are as high as digits in a row that is so high: from 0, no, to 1, yes."""
    return min(max((min(one.height, other.height) / height - _LOWEST) / (_TALL - _LOWEST), 0.0), 1.0)


def _boundary(gap: float, tall: float) -> float:
    """What it costs to take neighbours for two digits: less if they are far apart, and less if both are tall."""
    return _APART * (1 - gap / _MARGIN) - tall


def _shapes(paper: Picture) -> list[Piece]:
    """The connected ink of a picture (H, W), each with its soft edge."""
    shapes = ndimage.label(paper < (255 + float(paper.min())) / 2, np.ones((3, 3)))[0]  # half as dark as the darkest
    places = ndimage.find_objects(shapes)
    largest = max((side.stop - side.start for place in places for side in place), default=0)
    soft = 2 + largest // 30  # pixels around half-dark ink that may be its soft edge
    owner = np.where(shapes, shapes, ndimage.maximum_filter(shapes, 2 * soft + 1))
    found = []
    for number, (rows, columns) in enumerate(places, start=1):
        if max(rows.stop - rows.start, columns.stop - columns.start) > _DIRT * largest:
            top, left = max(rows.start - soft, 0), max(columns.start - soft, 0)
            here = slice(top, rows.stop + soft), slice(left, columns.stop + soft)
            found.append(_mask_piece((owner[here] == number) & (paper[here] < 255), left, top))
    return [piece for piece in found if piece is not None]


def _length(stroke: Stroke) -> float:
    return float(np.hypot(*np.diff(np.array(stroke), axis=0).T).sum())


def _strokes_of(group: Group) -> Sequence[Piece]:
    """The strokes of a group; of a single one, parts of it."""
    if len(group) > 1:
        return group
    points = np.array(group[0].stroke)
    along = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    places = np.linspace(0, along[-1], 1 + 8 * _PARTS)
    fine = np.stack([np.interp(places, along, points[:, axis]) for axis in (0, 1)], axis=1).tolist()
    parts = [fine[8 * part : 8 * part + 9] for part in range(_PARTS)]
    return [piece for piece in (_stroke_piece(tuple((x, y) for x, y in part)) for part in parts) if piece is not None]


def _parted(pieces: Sequence[Piece]) -> list[tuple[Group, Group]]:
    """Pieces left and right of upright and slanted lines."""
    middles = np.array([((piece.box.top + piece.box.bottom) / 2, piece.box.middle) for piece in pieces])
    found = dict[frozenset[int], tuple[Group, Group]]()
    for slant in _SLANTS if len(pieces) > 1 else ():
        order = np.argsort(middles @ np.array([slant, 1.0])).tolist()
        for place in range(1, len(order)):
            sides = tuple(tuple(pieces[at] for at in side) for side in (order[:place], order[place:]))
            found.setdefault(frozenset(order[:place]), (sides[0], sides[1]))
    return list(found.values())


def _quick(source: Drawing | Picture, height: float) -> Picture | None:
    """A digit of ink as networks see it."""
    if isinstance(source, Drawing):
        return to_mnist(source)
    scale = _ROWS / height
    small = resample(invert(source), *(max(1, round(scale * side)) for side in source.shape))
    mask = np.pad(small > 100, _ROWS // 8)
    if not mask.any():
        return None
    found = 4 * float((ndimage.distance_transform_edt(mask)[mask] - 0.5).mean())
    grow = max(0.0, PEN * (_ROWS - found) / (BOX - PEN) - found) / 2
    again = np.clip(1 + grow - ndimage.distance_transform_edt(~mask), 0, 1)
    return to_mnist(np.rint(255 - 255 * again).astype(np.uint8), Steps(pen=False))


def _branches(paper: Picture, box: Box) -> tuple[list[Piece], float]:
    """The ink (h, w) of each branch of its skeleton, with its lines' length, in heights."""
    columns = max(8, round(_ROWS * paper.shape[1] / paper.shape[0]))
    inked = resample(invert(paper), _ROWS, columns) > 100
    wide = ndimage.distance_transform_edt(np.pad(inked, 1))[1:-1, 1:-1]
    length = float(inked.sum() / (4 * (wide[inked] - 0.5).mean()) / _ROWS) if inked.any() else 0.0
    line = _thinned(inked)
    crossings = line & (ndimage.convolve(line.astype(np.int64), np.ones((3, 3)), mode="constant") > 3)
    branches, count = ndimage.label(line & ~crossings, np.ones((3, 3)))
    long = np.flatnonzero(np.bincount(branches.ravel(), minlength=count + 1) > _SPUR)[1:]
    if len(long) < 2:
        return [], length
    away = [ndimage.distance_transform_edt(branches != branch, return_indices=True) for branch in long]
    nearest = np.argmin([distance for distance, _ in away], axis=0)
    y, x = ((np.arange(n) + 0.5) * m / n for n, m in zip(paper.shape, inked.shape, strict=True))
    rows, columns_ = y.astype(int)[:, None], x.astype(int)
    pieces = []
    for place, (distance, at) in enumerate(away):
        mask = (distance <= wide[tuple(at)] + 1) | (nearest == place)
        piece = _mask_piece(mask[rows, columns_] & (paper < 255), int(box.left), int(box.top))
        if piece is not None:
            pieces.append(piece)
    return pieces, length


def _thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
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

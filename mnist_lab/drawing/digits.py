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
from mnist_lab.drawing.preprocess import FINEST, Picture, ink, invert, resample, to_mnist
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
_ALONE, _ALONE_CUT = 0.6, 0.1  # speak against several digits if all ink may be one, which is the usual case
_BROAD = 2.0  # cost of each height that neighbours together are wider than high
_LIFT = 0.75  # costs to take pieces that touch for two digits
_STUBS = 0.6  # halves of cut ink count less: they keep a stub of each other
_CUT = 0.7  # costs to cut a group, ...
_NECK = 0.5  # ... and each height of ink that is cut through
_WIDE = 0.5  # speaks for a cut: of each height that a group is wide
_SHORTEST, _SHORT = 0.8, 0.85  # size of both parts of a cut, in heights of the group, and the cost of each height less
_ROWS = 32  # of the raster in which ways through little ink are searched
_MOST_NECK = 0.4  # heights of ink that a way may cut through
_CROSSING = 0.12  # of a piece, up to which it stays whole where a way cuts through it
_WIDEST = 2.0  # width, in heights of the row, of neighbours that are tried as one digit
_FINE = 0.08  # width, in heights, of the pen with which strokes are inked to find ways
_LONGEST = 8.0  # width, in heights, of ink that is cut: what is longer is a line
_SLANTED = 10  # columns between the ends of a way, from which it counts as slanted
_MOST_WAYS = 4  # that are tried through a drawing, whose strokes tell more, and whose pen does not wait
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
        """A group as it is or, where that makes both halves surer, cut in two, and each half likewise."""
        place = self._known[frozenset(group)]
        if place is None or _doubt(place) < min(_CUT, _LIFT):
            return [group]
        alone = _ALONE_CUT if frozenset(group) == self._whole else 0.0
        most = list[tuple[float, _Cut]]()  # what is gained if the networks are certain of both halves
        for cut in self._cuts(group):
            smallest = min(_box(half).height for half in cut.halves) / place.box.height
            gain = _doubt(place) - cut.cost - alone - _SHORT * max(0.0, _SHORTEST - smallest)
            if gain > 0:
                most.append((gain, cut))
        self.ask(half for _, cut in most for half in cut.halves)
        gains = []
        for gain, cut in most:
            halves = [self._known[frozenset(half)] for half in cut.halves]
            costs = sum(np.inf if half is None else -np.log(half.certainty) for half in halves)
            gains.append(gain - cut.weight * costs)
        if max(gains, default=0) <= 0:
            return [group]
        return [part for half in most[int(np.argmax(gains))][1].halves for part in self._taken_apart(half)]

    def _cuts(self, group: Group) -> list[_Cut]:
        """Ways to cut a group in two: between pieces, from left to right, or through little ink."""
        order, box = sorted(group, key=lambda piece: piece.box.middle), _box(group)
        cuts = [_Cut(_LIFT, 1.0, (tuple(order[:place]), tuple(order[place:]))) for place in range(1, len(order))]
        is_drawn = isinstance(self._source, Drawing)
        if box.width < _LONGEST * box.height and (box.width > box.height or not is_drawn):
            source, corner = self.source_of(group), (0, 0)
            if isinstance(source, Drawing):
                corner = int(box.left), int(box.top)
                source = ink(source, max(_FINE * box.height, FINEST))[
                    corner[1] : int(box.bottom) + 1, corner[0] : int(box.right) + 1
                ]
            for neck, way in _ways_through(source)[: _MOST_WAYS if is_drawn else None]:
                halves = _cut(group, way, box)
                if all(halves):
                    cuts.append(_Cut(_CUT + _NECK * neck, _STUBS, halves))
        return cuts

    def source_of(self, group: Group) -> Drawing | Picture:
        """These pieces alone."""
        if frozenset(group) == self._whole:
            return self._source
        if isinstance(self._source, Drawing):
            return Drawing(tuple(piece.stroke for piece in group))
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


class _Cut(NamedTuple):
    cost: float
    weight: float  # of how sure the networks are of its halves
    halves: tuple[Group, Group]


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


def _doubt(place: Place) -> float:
    """How much speaks for several digits in a place: that it is wide, and that the networks are not sure."""
    return float(_WIDE * place.box.width / max(place.box.height, 1) - np.log(place.certainty))


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


def _ways_through(paper: Picture) -> list[tuple[float, NDArray[np.float64]]]:
    """Ways from the top of some ink (h, w) to its bottom, as different as can be, each through little ink.

    Of each, how much ink it cuts through, in heights, and x, 0 to 1, in each of ``_ROWS`` rows. They are found like the
    seams of Avidan & Shamir (2007), with one best way from every third column above to every column below.
    """
    columns = max(8, round(_ROWS * paper.shape[1] / paper.shape[0]))
    light = resample(invert(paper), _ROWS, columns) / 255 + 0.01  # the straightest of equal ways
    tops = np.arange(2, columns - 1, 3)
    total = np.full((len(tops), columns), np.inf)  # to each column, from each of the tops
    total[np.arange(len(tops)), tops] = light[0, tops]
    came = []
    for row in light[1:]:
        padded = np.pad(total, ((0, 0), (1, 1)), constant_values=np.inf)
        before = np.stack([padded[:, 1:-1], padded[:, :-2] + 0.01, padded[:, 2:] + 0.01])
        came.append(before.argmin(axis=0))
        total = row + before.min(axis=0)
    slant = np.arange(columns) - tops[:, None]  # (T, columns)
    kinds = [slant < -_SLANTED, np.abs(slant) <= _SLANTED, slant > _SLANTED]
    ends = [np.where(kind, total, np.inf).argmin(axis=1) for kind in kinds]  # (T,) of each kind, the best way's
    at, top = np.concatenate(ends), np.tile(np.arange(len(tops)), len(kinds))  # (3 T,)
    necks, path = total[top, at] / _ROWS, [at]
    for back in reversed(came):
        path.append(path[-1] + np.array([0, -1, 1])[back[top, path[-1]]])
    ways = np.stack(path[::-1], axis=1) + 0.5  # (3 T, _ROWS)
    middles, chosen = ways.mean(axis=1), dict[tuple[int, int], tuple[float, NDArray[np.float64]]]()
    for place in np.argsort(necks).tolist():
        if necks[place] <= _MOST_NECK and 4 < middles[place] < columns - 4:
            kind = int(middles[place] // 3), place // len(tops)
            chosen.setdefault(kind, (float(necks[place]), ways[place] / columns))
    return list(chosen.values())


def _cut(group: Group, way: NDArray[np.float64], box: Box) -> tuple[Group, Group]:
    """What lies left of a way, and what right; a piece of which little crosses over stays whole."""
    left: list[Piece] = []
    right: list[Piece] = []
    for piece in group:
        fraction = float(_is_left(piece.points, way, box).mean())
        if _CROSSING < fraction < 1 - _CROSSING:
            for is_left, part in _halves(piece, way, box):
                (left if is_left else right).append(part)
        else:
            (left if fraction > 0.5 else right).append(piece)
    return tuple(left), tuple(right)


def _is_left(points: NDArray[np.float64], way: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    rows = ((points[:, 1] - box.top) / max(box.height, 1) * _ROWS).astype(int).clip(0, _ROWS - 1)
    found: NDArray[np.bool_] = points[:, 0] < box.left + way[rows] * box.width
    return found


def _halves(piece: Piece, way: NDArray[np.float64], box: Box) -> list[tuple[bool, Piece]]:
    """The parts of a piece on both sides of a way, and whether each is on the left."""
    if piece.stroke:
        points = np.array(piece.stroke)
        along = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
        places = np.linspace(0, along[-1], 2 + int(along[-1] / 2))  # canvas pixels
        fine = np.stack([np.interp(places, along, points[:, axis]) for axis in (0, 1)], axis=1)
        runs = groupby(zip(_is_left(fine, way, box).tolist(), fine.tolist(), strict=True), key=lambda point: point[0])
        strokes = [(is_left, tuple((x, y) for _, (x, y) in run)) for is_left, run in runs]
        halves = [(is_left, _stroke_piece(stroke)) for is_left, stroke in strokes if len(stroke) > 2]
    else:
        left, top = int(piece.box.left), int(piece.box.top)
        y, x = (places.ravel() + 0.5 for places in np.indices(piece.mask.shape))
        side = _is_left(np.stack([x + left, y + top], axis=1), way, box).reshape(piece.mask.shape)
        halves = [
            (True, _mask_piece(piece.mask & side, left, top)),
            (False, _mask_piece(piece.mask & ~side, left, top)),
        ]
    return [(is_left, half) for is_left, half in halves if half is not None]

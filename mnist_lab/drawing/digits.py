"""Which digits a picture or a drawing shows, in reading order: rows from above, each from left to right.

Ink comes in pieces: the strokes of a drawing, the connected shapes of a picture. One digit may have several (the loose
bar of a 5), and several digits one (they touch). So neighbouring pieces are tried together, and of all partitions the
one is taken that the networks are surest of: heuristic over-segmentation, and the best path through it (LeCun et al.
1998, "Gradient-based learning applied to document recognition", section V). What is then likelier to be two digits is
cut in two, by a logistic regression on how sure the networks are of the whole and of both halves, and on their shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from mnist_lab.data.pen_strokes import BOX
from mnist_lab.drawing.marks import (
    TOUCHING,
    is_comma,
    is_doubled,
    is_frame,
    is_low,
    parts_of_row,
    underlined,
    without_signs,
)
from mnist_lab.drawing.pieces import (
    DIRT,
    Group,
    Piece,
    box_of,
    branches,
    distance,
    ink_of,
    parted,
    parts_of,
    picture_of,
    shapes,
    stroke_piece,
)
from mnist_lab.drawing.places import Ask, Box, Place, shared, vote
from mnist_lab.drawing.preprocess import PEN, Picture, to_mnist
from mnist_lab.drawing.strokes import Drawing

# Distances are in sizes of the larger of two groups; what something costs is in logarithms of probability.
_MARGIN = 0.15  # up to which it costs something to take neighbours for two digits
_NEAR, _NEAR_TALL = 0.3, 0.12  # further apart, they are never one digit; the same if both are as high as digits
_APART = 1.5  # costs two digits where one would touch the other
_ABOVE = 1.0  # costs two digits in a row of which one lies above the other
_LOWEST, _LOW = 0.6, 6.0  # size of a digit, in heights of its row, and the cost of each height less
_HIGHEST, _HIGH = 1.85, 10.0  # height of a digit of two pieces, in those of the larger, and the cost of each more
_HIGHEST_BESIDE = 1.5  # in heights of the highest other digit: in a column, two would be twice as high
_TALL = 0.8  # height of neighbours, in heights of the row, from which both are probably digits
_ALONE = 0.6  # speaks against several digits if all ink may be one, which is the usual case
_BROAD = 2.0  # cost of each height that neighbours together are wider than high
_WIDEST = 2.0  # width, in heights of the row, of neighbours that are tried as one digit
_LONGEST = 8.0  # width, in heights, of ink that is cut: what is longer is a line
_MOST_CUTS = 12  # that the networks are asked about
_LEFT_OUT = 1.0  # what it costs to take ink for a mark, which is left out
_FOOT = 0.07  # how far below a digit the foot of a 1 is at most, in its heights
_SPECK = 0.2  # of the height of the highest digit, below which ink is none
_MOST_PIECES = 400  # the largest of a source; the rest counts as dirt

FEATURES = (
    "certainties of both halves",
    "height of the lower half",
    "overlap of the halves",
    "certainty of the whole",
    "length",
    "length for such a digit",
    "one",
)
WEIGHTS = (7.5, 11.8, -3.7, -5.4, 2.3, 4.2, -27.3)
LENGTHS = (3.1, 1.1, 2.7, 2.5, 2.2, 2.6, 2.5, 1.9, 3.1, 2.3)
"""What each feature adds to the log odds of two digits; how long the lines of each single digit are, in its heights.
docs/many_fit.py finds both, with single digits ten times as frequent as two that touch."""
_HIGH_ENOUGH = 0.8  # height of a half, in those of the whole, from which it may be any digit


def find_digits(source: Drawing | Picture, ask: Ask) -> list[Place]:
    """The digits of a drawing, or of black ink on white paper (H, W) uint8, in reading order; none without ink."""
    search = Search(source, ask)
    groups, signs = without_signs(_touching(search.pieces()))
    read = [search.read(row, signs) for row in _rows([*search.stacked(groups), *signs])]
    least = _SPECK * max((place.box.height for row in read for place in row), default=0.0)
    read = [kept for row in read if (kept := [place for place in row if place.box.height >= least])]
    return [replace(place, row=number) for number, row in enumerate(read) for place in row]


def _touching(pieces: Sequence[Piece]) -> list[Group]:
    """Pieces by what surely belongs together: strokes that meet, and what lies inside of another piece."""
    meets = np.zeros((len(pieces), len(pieces)), dtype=bool)
    for one, other in permutations(range(len(pieces)), 2):
        here, there = pieces[one].box, pieces[other].box
        may_touch = bool(pieces[one].stroke) and _may_be_near(here, there)
        meets[one, other] = here.is_inside(there) or (
            may_touch and distance((pieces[one],), (pieces[other],)) < TOUCHING
        )
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
    boxes = [box_of(group) for group in groups]
    follows = np.zeros((len(groups), len(groups)), dtype=bool)
    for place, box in enumerate(boxes):
        right = [
            (other.middle - box.middle, there)
            for there, other in enumerate(boxes)
            if (other.middle, there) > (box.middle, place)
            and shared(box.top, box.bottom, other.top, other.bottom) > 0.5
        ]
        if right:
            follows[place, min(right)[1]] = True
        follows[place] |= [is_comma(other, box) for other in boxes]
    count, of = connected_components(follows, directed=False)
    rows = [
        sorted((place for place in range(len(groups)) if of[place] == row), key=lambda place: boxes[place].middle)
        for row in range(count)
    ]
    rows.sort(key=lambda row: float(np.mean([boxes[place].top + boxes[place].bottom for place in row])))
    return [[groups[place] for place in row] for row in rows]


class Cut(NamedTuple):
    """A way to cut a group in two."""

    halves: tuple[Group, Group]
    features: tuple[float, ...]  # but for the first, which the networks have to be asked for

    def odds(self, certainties: float) -> float:
        """The logarithm of the odds that there are two digits, by the sum of both certainties, at most 2."""
        return float(np.dot(WEIGHTS, (certainties, *self.features)))


class Search:
    """What the networks make of groups of pieces; they are asked about each group once."""

    def __init__(self, source: Drawing | Picture, ask: Ask) -> None:
        self._source, self._ask = source, ask
        self._known: dict[frozenset[Piece], Place | None] = {}
        self._whole = frozenset[Piece]()  # all pieces, with those that are dirt

    def pieces(self) -> list[Piece]:
        """The source's pieces, without dirt, underlines, and circles and boxes around others."""
        source = self._source
        pieces = [*filter(None, map(stroke_piece, source.strokes))] if isinstance(source, Drawing) else shapes(source)
        self._whole = frozenset(pieces)
        largest = sorted((piece.box.size for piece in pieces), reverse=True)[:_MOST_PIECES] or [0.0]
        least = max(largest[-1], DIRT * largest[0])
        pieces = [piece for piece in pieces if piece.box.size >= least][:_MOST_PIECES]
        return [piece for piece in pieces if not (is_frame(piece, pieces) or self._is_underline(piece, pieces))]

    def _is_underline(self, piece: Piece, pieces: Sequence[Piece]) -> bool:
        """Whether a piece is an underline, and not the foot of what the networks take for a 1 with it."""
        above = underlined(piece, pieces)
        if not above or is_doubled(piece.box, [other.box for other in pieces]):
            return bool(above)
        if piece.box.top - box_of(above).bottom > _FOOT * box_of(above).height:
            return True
        self.ask([above, (*above, piece)])
        alone, together = (self._known[frozenset(group)] for group in (above, (*above, piece)))
        return alone is None or together is None or together.digit != 1 or alone.digit not in (1, 7)

    def stacked(self, groups: list[Group]) -> list[Group]:
        """Join groups one above the other that are one digit: a 5 and its bar, an 8 of two rings, broken ink."""
        while True:
            pairs = [(distance(*pair), *pair) for pair in permutations(groups, 2) if _is_above(*map(box_of, pair))]
            pairs = [pair for pair in pairs if pair[0] < _NEAR]
            self.ask(group for _, one, other in pairs for group in (one, other, one + other))
            gains = []
            for gap, one, other in pairs:
                height = max(box_of(one).height, box_of(other).height, 1.0)
                boundary = _boundary(gap, _tall(box_of(one), box_of(other), height) / 2)
                apart = self.cost(one, height) + self.cost(other, height) + boundary
                both = one + other
                beside = max((box_of(group).height for group in groups if group not in (one, other)), default=np.inf)
                high = box_of(both).height / max(1.0, *(piece.box.height for piece in both)) - _HIGHEST
                high = max(high, box_of(both).height / max(1.0, beside) - _HIGHEST_BESIDE)
                high = 0.0 if frozenset(both) == self._whole else _HIGH * max(0.0, high)
                gains.append(apart - self.cost(both, height) - high)
            if max(gains, default=0) <= 0:
                return groups
            _, one, other = pairs[int(np.argmax(gains))]
            groups = [group for group in groups if group not in (one, other)] + [one + other]

    def read(self, row: Sequence[Group], signs: Sequence[Group]) -> list[Place]:
        """The digits in a row, from left to right."""
        parts = parts_of_row(row, signs)
        height = max((box_of(group).height for part in parts for group in part), default=0.0)
        return [
            replace(place, part=at) for at, part in enumerate(parts) for place in self._read(part, max(1.0, height))
        ]

    def _read(self, row: Sequence[Group], height: float) -> list[Place]:
        """The digits in a part of a row that is so high."""
        found: list[Group] = []
        near, costs = [row[0]], list[float]()  # neighbours, and what it costs to take them for different digits
        for group in row[1:]:
            gap, one, other = distance(near[-1], group), box_of(near[-1]), box_of(group)
            tall = _tall(one, other, height)
            if gap > _NEAR + (_NEAR_TALL - _NEAR) * tall:
                found += self._best(near, costs, height)
                near, costs = [], []
            else:
                above = max(0.0, shared(one.left, one.right, other.left, other.right))
                costs.append(_boundary(gap, tall) + _ABOVE * above)
            near.append(group)
        found += self._best(near, costs, height)
        places = [self._known[frozenset(part)] for group in found for part in self._taken_apart(group)]
        return [place for place in places if place is not None and not is_low(place.box, height)]

    def _best(self, parts: Sequence[Group], boundaries: Sequence[float], height: float) -> list[Group]:
        """Join neighbouring parts to digits so that all together, with their boundaries, cost least (Viterbi)."""
        runs = {
            (start, end): tuple(piece for part in parts[start:end] for piece in part)
            for start, end in combinations(range(len(parts) + 1), 2)
        }
        runs = {
            ends: run for ends, run in runs.items() if ends[1] - ends[0] == 1 or box_of(run).width < _WIDEST * height
        }
        self.ask(runs.values())
        costs = {ends: self.cost(run, height) for ends, run in runs.items()}
        for (start, end), run in runs.items():
            if end - start > 1:
                costs[start, end] += _BROAD * max(0.0, box_of(run).width / max(box_of(run).height, 1) - 1)
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
        if is_low(place.box, height):
            return _LEFT_OUT
        alone = _ALONE if frozenset(group) == self._whole else 0.0
        return _LOW * max(0.0, _LOWEST - place.box.height / height) - float(np.log(place.certainty)) - alone

    def _taken_apart(self, group: Group) -> list[Group]:
        """A group as it is or, where that is likelier, cut in two, and each half likewise."""
        halves = self._cut(group)
        return [group] if halves is None else [part for half in halves for part in self._taken_apart(half)]

    def _cut(self, group: Group) -> tuple[Group, Group] | None:
        """The likeliest halves of a group; None if it is likelier to be one digit."""
        cuts = [cut for cut in self.cuts(group) if cut.odds(2.0) > 0]  # if the networks were certain of both halves
        cuts = sorted(cuts, key=lambda cut: -cut.odds(2.0))[:_MOST_CUTS]
        certainties = self.answers(group, cuts).max(axis=2).sum(axis=1).tolist()
        odds = [cut.odds(certainty) for cut, certainty in zip(cuts, certainties, strict=True)]
        if max(odds, default=0.0) <= 0:
            return None
        halves = cuts[int(np.argmax(odds))].halves
        self.ask(halves)
        return halves

    def cuts(self, group: Group) -> list[Cut]:
        """Ways to cut a group in two, between strokes or branches; none of a long line, or without ink."""
        place, box = self._known[frozenset(group)], box_of(group)
        if place is None or box.width > _LONGEST * box.height:
            return []
        height = max(box.height, 1)
        if isinstance(self._source, Drawing):
            pieces = parts_of(group)
            length = place.picture.sum() / 255 / PEN / BOX * box.size / height  # what is drawn twice counts once
        else:
            pieces, length = branches(ink_of(group, self._source), box)
        length = max(length, 0.1)
        whole = (np.log(place.certainty), np.log(length), np.log(length / LENGTHS[place.digit]), 1.0)
        cuts = []
        for halves in parted(pieces):
            one, other = map(box_of, halves)
            lower = min(one.height / height, other.height / height, _HIGH_ENOUGH)
            overlap = (min(one.right, other.right) - max(one.left, other.left)) / height
            cuts.append(Cut(halves, (lower, overlap, *whole)))
        return cuts

    def answers(self, group: Group, cuts: Sequence[Cut]) -> NDArray[np.float64]:
        """What the networks make of the halves of a group's cuts, (C, 2, 10)."""
        height = box_of(group).height
        pictures = [picture_of(self.source_of(half), height) for cut in cuts for half in cut.halves]
        votes = [vote(each) for each in self._ask(pictures)] if pictures else []
        return np.array(votes).reshape(-1, 2, 10)

    def source_of(self, group: Group) -> Drawing | Picture:
        """These pieces alone."""
        if isinstance(self._source, Drawing):
            return Drawing(tuple(piece.stroke for piece in group))
        return ink_of(group, self._source)

    def ask(self, groups: Iterable[Group]) -> None:
        """Let the networks see all these groups at once, but for those already known."""
        new = {key: group for group in groups if (key := frozenset(group)) not in self._known}
        sources = [self.source_of(group) for group in new.values()]
        pictures = [to_mnist(source) for source in sources]
        inked = [picture for picture in pictures if picture is not None]
        answers = iter(self._ask(inked) if inked else ())
        for (key, group), source, picture in zip(new.items(), sources, pictures, strict=True):
            self._known[key] = None if picture is None else Place(box_of(group), source, picture, tuple(next(answers)))


def _is_above(one: Box, other: Box) -> bool:
    """Whether one box lies mostly above the other, and near it."""
    down = shared(one.top, one.bottom, other.top, other.bottom)
    is_higher = one.top + one.bottom < other.top + other.bottom
    return is_higher and down < 0.5 and _may_be_near(one, other)


def _tall(one: Box, other: Box, height: float) -> float:
    """Whether both of two boxes are as high as digits in a row that is so high: from 0, no, to 1, yes."""
    return min(max((min(one.height, other.height) / height - _LOWEST) / (_TALL - _LOWEST), 0.0), 1.0)


def _boundary(gap: float, tall: float) -> float:
    """What it costs to take neighbours for two digits: less if they are far apart, and less if both are tall."""
    return _APART * (1 - gap / _MARGIN) - tall

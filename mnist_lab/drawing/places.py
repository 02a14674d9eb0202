"""Digits that were found: where each one is, and what the networks make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.strokes import Drawing

Probabilities: TypeAlias = NDArray[np.float64]  # (10,), 0 to 1
Ask: TypeAlias = Callable[[Sequence[Picture]], Sequence[Sequence[Probabilities]]]  # each network's, for each picture


def vote(each: Sequence[Probabilities] | Sequence[Sequence[Probabilities]]) -> Probabilities:
    """The mean of several networks' probabilities, as of deep ensembles (Lakshminarayanan et al. 2017, 1612.01474)."""
    mean: Probabilities = np.mean(each, axis=0)
    return mean


def asking(networks: Iterable[Callable[[Sequence[Picture]], Sequence[Probabilities]]]) -> Ask:
    """How several networks, each of which predicts pictures, are asked at once."""
    together = tuple(networks)
    return lambda pictures: list(zip(*(predict(pictures) for predict in together), strict=True))


class Box(NamedTuple):
    """A rectangle, in pixels of the picture or the canvas."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def size(self) -> float:
        return max(self.width, self.height, 1.0)

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    @property
    def middle_y(self) -> float:
        return (self.top + self.bottom) / 2

    def is_inside(self, other: Box) -> bool:
        """Whether it lies in another box."""
        across = other.left <= self.left <= self.right <= other.right
        return across and other.top <= self.top <= self.bottom <= other.bottom


def shared(low: float, high: float, other_low: float, other_high: float) -> float:
    """How much of the shorter of two intervals lies in the other, 0 to 1; below zero, how far they are apart."""
    return (min(high, other_high) - max(low, other_low) + 1) / (min(high - low, other_high - other_low) + 1)


@dataclass(frozen=True)
class Place:
    """One digit: where it is, and what the networks see and make of it."""

    box: Box
    source: Drawing | Picture  # this digit alone: its strokes, where they are, or its ink on white paper (h, w)
    picture: Picture  # (28, 28), as networks see it
    each: tuple[Probabilities, ...]  # of each network
    row: int = 0  # from above
    part: int = 0  # of its row, from the left: signs, hyphens and brackets stand between

    @property
    def vote(self) -> Probabilities:
        """What the networks say together, (10,) 0..1."""
        return vote(self.each)

    @property
    def digit(self) -> int:
        return int(self.vote.argmax())

    @property
    def certainty(self) -> float:
        return float(self.vote.max())


def number_of(places: Sequence[Place]) -> str:
    """What is read: all digits, with a space between rows, and where a sign, hyphen or bracket stood."""
    parts = groupby(places, key=lambda place: (place.row, place.part))
    return " ".join("".join(str(place.digit) for place in part) for _, part in parts)

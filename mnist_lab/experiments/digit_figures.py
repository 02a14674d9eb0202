"""Galleries of single digits with what networks took them for: plain data in, ``Figure`` out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from mnist_lab.experiments.figures import WIDTH, Picture, as_ink
from mnist_lab.plotting import LABEL, SMALL, TEXT, counted, draw_digit, new_figure, styled
from mnist_lab.terminal.wording import format_probability

COLUMNS = 6
TILE_HEIGHT = 1.78  # inches, with its captions
ANSWERS_SHOWN = 2  # to one digit: the most common


@dataclass(frozen=True)
class _TestDigit:
    picture: Picture
    index: int  # in the MNIST test file
    label: int


@dataclass(frozen=True)
class ReadTwice(_TestDigit):
    """A test digit and the answers of two networks, A and B, with the probabilities (0..1) they gave to them."""

    answer_a: int
    probability_a: float
    answer_b: int
    probability_b: float

    def __str__(self) -> str:
        a, b = ("✓" if answer == self.label else "✗" for answer in (self.answer_a, self.answer_b))
        first = f"A {a} {self.answer_a}, {format_probability(self.probability_a)}"
        return f"{first}\nB {b} {self.answer_b}, {format_probability(self.probability_b)}"


@dataclass(frozen=True)
class Missed(_TestDigit):
    """A test digit that every run misses, and what each run took it for."""

    answers: Sequence[int]

    def __str__(self) -> str:
        counts = Counter(self.answers).most_common(ANSWERS_SHOWN)
        return "read as\n" + ", ".join(f"{answer} ({count})" for answer, count in counts)


@dataclass(frozen=True)
class Outvoted(_TestDigit):
    """A test digit that an ensemble misses, and how many of its networks classify it correctly nevertheless."""

    answer: int  # the ensemble's
    probability: float  # 0..1, the mean that it gave to its answer
    readers: int  # networks that are right
    members: int  # networks in all

    def __str__(self) -> str:
        return f"✗ {self.answer}, {format_probability(self.probability)}\n{self.readers} of {self.members} right"


@styled
def fixed_and_broken(
    fixed: Sequence[ReadTwice], broken: Sequence[ReadTwice], *, name_a: str, name_b: str, title: str
) -> Figure:
    """The test digits that network B reads and A misses (all, the most telling first), and the other way round."""
    note = "Below each digit: the answers of A and B, right ✓ or wrong ✗, with their probabilities."
    parts = [
        ("Fixed (A wrong, B right)", fixed, "B reads no digit that A misses."),
        ("Broken (A right, B wrong)", broken, "B misses no digit that A reads."),
    ]
    return _galleries(parts, title, note, most=12, names=f"A  {name_a}\nB  {name_b}")


@styled
def missed_by_all(missed: Sequence[Missed], *, runs: int, judged: int, title: str) -> Figure:
    """The digits, out of so many evaluated, that none of some runs reads; one answer per run and digit."""
    note = f"Read as: the {ANSWERS_SHOWN} most common answers. In brackets: how many runs gave it."
    heading = f"Missed by all {runs:,} runs" if runs > 1 else "Missed by the only run"
    none = f"Each of {counted(judged, 'digit')} is read by at least one of {counted(runs, 'run')}."
    return _galleries([(heading, missed, none)], title, note)


@styled
def committee_mistakes(mistakes: Sequence[Outvoted], *, judged: int, title: str) -> Figure:
    """The digits, out of so many evaluated, that an ensemble misses, the most telling first."""
    note = "Below each digit: the ensemble's answer ✗ with its mean probability, and how many networks alone are right."
    none = f"It reads each of {counted(judged, 'digit')}."
    return _galleries([("Missed by the ensemble", mistakes, none)], title, note)


def _galleries(
    parts: Sequence[tuple[str, Sequence[_TestDigit], str]], title: str, note: str, *, most: int = 24, names: str = ""
) -> Figure:
    """Digits under their headings, one group below the other; the text in third place stands where there are none."""
    rows = [math.ceil(min(len(digits), most) / COLUMNS) for _, digits, _ in parts]
    heights = [0.4 + (TILE_HEIGHT * count or 0.4) for count in rows]
    figure = new_figure(WIDTH, sum(heights) + (1.2 if names else 0.75), title, note if any(rows) else "")
    ratios = (0.45 if names else 0.01, *heights)
    key, *below = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    key.text(0.01, 0.5, names, ha="left", va="center", linespacing=1.4)
    for part, (heading, digits, none), count in zip(below, parts, rows, strict=True):
        more = f", the first {most} shown" if len(digits) > most else ""
        part.suptitle(f"{heading}: {counted(len(digits), 'digit')}{more}", x=0.01, ha="left", fontsize=LABEL)
        tiles = part.subplots(max(1, count), COLUMNS, squeeze=False).flat
        tiles[0].text(0, 0.6, "" if digits else none, va="center")
        for axes in tiles[min(len(digits), most) :]:
            axes.set_axis_off()
        for axes, digit in zip(tiles, digits[:most], strict=False):
            draw_digit(axes, as_ink(digit.picture))
            axes.set_anchor("N")  # under its title, whatever room is left
            axes.set_title(f"true {digit.label}", fontsize=TEXT)
            axes.set_xlabel(f"{digit}\ntest digit {digit.index}", fontsize=SMALL)
    return figure

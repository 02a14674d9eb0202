"""Galleries of single digits with what networks took them for: plain data in, ``Figure`` out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure, SubFigure

from mnist_lab.experiments.figures import WIDTH, Picture, as_ink
from mnist_lab.plotting import INK, LABEL, SMALL, TEXT, counted, draw_digit, new_figure, styled
from mnist_lab.terminal.wording import format_probability

DIGITS_SHOWN = 12
GALLERY_COLUMNS = 6
TILE_HEIGHT = 1.78  # inches, with its captions
KINDS_SHOWN = 3  # of wrong answers to one digit


@dataclass(frozen=True)
class ReadTwice:
    """A test digit and the answers of two networks, A and B, with the probabilities (0..1) they gave to them."""

    picture: Picture
    index: int  # in the MNIST test file
    label: int
    answer_a: int
    probability_a: float
    answer_b: int
    probability_b: float


@dataclass(frozen=True)
class Missed:
    """A test digit that every run misses, and what each run took it for."""

    picture: Picture
    index: int  # in the MNIST test file
    label: int
    answers: Sequence[int]


@dataclass(frozen=True)
class Outvoted:
    """A test digit that a committee misses, and how many of its networks read it nevertheless."""

    picture: Picture
    index: int  # in the MNIST test file
    label: int
    answer: int  # the committee's
    probability: float  # 0..1, the mean that it gave to its answer
    readers: int  # networks that read the digit rightly
    members: int  # networks in all


# --- single digits -----------------------------------------------------------------------------------------------


@styled
def fixed_and_broken(
    fixed: Sequence[ReadTwice],
    broken: Sequence[ReadTwice],
    *,
    name_a: str,
    name_b: str,
    title: str,
    most: int = DIGITS_SHOWN,
) -> Figure:
    """The test digits that network B reads and A misses, and those that A reads and B misses.

    Args:
        fixed: all that only B reads, the most telling first.
        broken: all that only A reads.
        name_a: the first network.
        name_b: the second.
        title: of the figure.
        most: how many of each are drawn.
    """
    heights = [0.45, *(gallery_height(min(len(group), most)) for group in (fixed, broken))]
    note = "Below each digit: the answers of A and B, right ✓ or wrong ✗, with their probabilities."
    figure = new_figure(WIDTH, sum(heights) + 0.7, title, note)
    key, above, below = figure.subfigures(3, 1, squeeze=False, height_ratios=heights)[:, 0]
    names = f"A  {name_a}\nB  {name_b}"
    key.text(0.01, 0.5, names, ha="left", va="center", fontsize=TEXT, color=INK, linespacing=1.4)
    draw_gallery(above, "Fixed (A wrong, B right)", fixed, most, "B reads no digit that A misses.")
    draw_gallery(below, "Broken (A right, B wrong)", broken, most, "B misses no digit that A reads.")
    return figure


@styled
def missed_by_all(missed: Sequence[Missed], *, runs: int, judged: int, title: str, most: int = 24) -> Figure:
    """The test digits that no run reads, each with what the runs took it for, the most common answer first.

    Args:
        missed: all of them, each with as many answers as there are runs.
        runs: how many there are.
        judged: how many digits were judged.
        title: of the figure.
        most: how many are drawn.
    """
    note = "In brackets: how many runs gave that answer." if runs > 1 else ""
    height = gallery_height(min(len(missed), most))
    figure = new_figure(WIDTH, height + 0.75, title, note if missed else "")
    heading = f"Missed by all {runs:,} runs" if runs > 1 else "Missed by the only run"
    none = f"Each of {counted(judged, 'digit')} is read by at least one of {counted(runs, 'run')}."
    part = figure.add_subfigure(figure.add_gridspec()[0])
    draw_gallery(part, heading, missed, most, none)
    return figure


@styled
def committee_mistakes(mistakes: Sequence[Outvoted], *, judged: int, title: str, most: int = 24) -> Figure:
    """The test digits that a committee misses, each with its answer and how many of its networks read it.

    Args:
        mistakes: all of them, the most telling first.
        judged: how many digits were judged.
        title: of the figure.
        most: how many are drawn.
    """
    note = (
        "Below each digit: the committee's answer ✗ with its mean probability, and how many networks alone are right."
    )
    height = gallery_height(min(len(mistakes), most))
    figure = new_figure(WIDTH, height + 0.75, title, note if mistakes else "")
    part = figure.add_subfigure(figure.add_gridspec()[0])
    draw_gallery(part, "Missed by the committee", mistakes, most, f"It reads each of {counted(judged, 'digit')}.")
    return figure


# --- galleries ---------------------------------------------------------------------------------------------------


def gallery_height(shown: int) -> float:
    """Inches for so many digits and the heading over them."""
    return 0.4 + (TILE_HEIGHT * math.ceil(shown / GALLERY_COLUMNS) if shown else 0.4)


def draw_gallery(
    part: SubFigure, heading: str, digits: Sequence[ReadTwice | Missed | Outvoted], most: int, none: str
) -> None:
    """Digits with their captions under a heading that says how many there are; a sentence if there are none."""
    shown = digits[:most]
    count = counted(len(digits), "digit") if digits else "none"
    if len(shown) < len(digits):
        count = f"{len(shown)} of {len(digits):,} shown"
    part.suptitle(f"{heading}: {count}", x=0.01, ha="left", fontsize=LABEL, fontweight="bold", color=INK)
    if not shown:
        axes = part.subplots()
        axes.set_axis_off()
        axes.text(0, 0.6, none, va="center", fontsize=TEXT, color=INK)
        return
    rows = math.ceil(len(shown) / GALLERY_COLUMNS)
    tiles = part.subplots(rows, GALLERY_COLUMNS, squeeze=False).flat
    for axes in tiles[len(shown) :]:
        axes.set_axis_off()
    for axes, digit in zip(tiles, shown, strict=False):
        draw_digit(axes, as_ink(digit.picture))
        axes.set_anchor("N")  # under its title, whatever room is left
        axes.set_title(f"true {digit.label}", fontsize=TEXT, color=INK)
        axes.set_xlabel(f"{answers_to(digit)}\ntest digit {digit.index}", fontsize=SMALL, color=INK)


def answers_to(digit: ReadTwice | Missed | Outvoted) -> str:
    """What networks took a digit for, in two lines."""
    match digit:
        case ReadTwice():
            return two_answers(digit)
        case Missed():
            return common_answers(digit)
        case Outvoted():
            right = f"{digit.readers} of {digit.members} right"
            return f"✗ {digit.answer}, {format_probability(digit.probability)}\n{right}"


def two_answers(digit: ReadTwice) -> str:
    """What A and B answered, right or wrong, and how sure they were."""
    answers = [("A", digit.answer_a, digit.probability_a), ("B", digit.answer_b, digit.probability_b)]
    return "\n".join(
        f"{name} {'✓' if answer == digit.label else '✗'} {answer}, {format_probability(probability)}"
        for name, answer, probability in answers
    )


def common_answers(digit: Missed) -> str:
    """What the runs took a digit for, the most common answer first: ``9 (3), 4 (2)``."""
    counts = Counter(digit.answers).most_common()
    if len(counts) == 1:
        return f"read as\n{counts[0][0]}" + (" by all" if len(digit.answers) > 1 else "")
    shown = [f"{answer} ({count})" for answer, count in counts]
    return "read as\n" + ", ".join(shown if len(shown) <= KINDS_SHOWN else [*shown[: KINDS_SHOWN - 1], "…"])

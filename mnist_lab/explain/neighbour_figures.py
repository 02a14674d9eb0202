"""The figure of digits beside the training digits nearest to them, and what is said about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab import plotting
from mnist_lab.data import doubt_mark, doubt_note
from mnist_lab.data.mnist import SIDE
from mnist_lab.explain.neighbours import Neighbours, neighbours_of, training_features
from mnist_lab.networks.compute import choose_compute
from mnist_lab.plotting import INK, LABEL, MUTED, RULE, SMALL, VERMILION, styled
from mnist_lab.report.document import Caption
from mnist_lab.training.figures import MISTAKES_SHOWN, RunData, RunFigure, mistakes

_SHOWN = 4  # of each digit's neighbours, in each space, beside a run's mistakes
_PITCH, _LINE = SIDE + 3, SIDE + 11  # pixels from one picture to the next, and from one line of pictures to the next
_APART = 10  # pixels between a digit, its neighbours in the hidden layer, and those in pixel space
_INCH = 75  # pixels of a digit in an inch of the page: two dots for each
_FOOT = "Framed, and followed by ≠: labels that disagree. Near is not cause: nothing shows that these made the answer."


class Neighboured(NamedTuple):
    """A digit, and the training digits nearest to it."""

    heading: str  # what it is, and what it was read as
    remark: str  # where it comes from
    picture: NDArray[np.uint8]  # (28, 28), white on black
    expected: int | None  # the label that others disagree with; None: the one that most of the hidden layer's have
    found: Neighbours


@styled
def neighbours_figure(rows: Sequence[Neighboured], title: str, note: str = "") -> Figure:
    """Digits (at least one), each beside its nearest training digits in the hidden layer and in pixel space.

    All have as many neighbours as the first. Labels that disagree with a digit's own are marked.
    """
    count = len(rows[0].found.hidden.labels)
    starts = (SIDE + _APART, SIDE + 2 * _APART + count * _PITCH)  # of the two spaces, in pixels
    width, height = starts[1] + count * _PITCH, len(rows) * _LINE
    figure = plotting.new_figure(width / _INCH + 2.2, height / _INCH + 1.1, title, f"{_FOOT} {note}".strip())
    axes, page = figure.subplots(), np.zeros((height, width))
    frames: list[tuple[tuple[int, int], str, float]] = []  # where, in which colour, and how wide

    def show(image: NDArray[np.uint8], left: int, top: int, colour: str, line: float) -> None:
        page[top : top + SIDE, left : left + SIDE] = image / 255
        frames.append(((left, top), colour, line))

    for top, row in zip(range(0, height, _LINE), rows, strict=True):
        expected, middle = row.found.hidden.majority if row.expected is None else row.expected, top + SIDE / 2
        show(row.picture, 0, top, INK, 0.8)
        axes.text(-4, middle, plotting.drawable(row.heading), ha="right", va="bottom", fontweight="bold")
        axes.text(-4, middle, plotting.drawable(row.remark), ha="right", va="top", color=MUTED)
        for start, nearest in zip(starts, row.found, strict=True):
            for left, image, label in zip(range(start, width, _PITCH), nearest.images, nearest.labels, strict=False):
                agrees = label == expected
                show(image, left, top, *((RULE, 0.6) if agrees else (VERMILION, 2.0)))
                under = axes.text(left + SIDE / 2, top + SIDE + 1, str(label), ha="center", va="top", in_layout=False)
                if not agrees:
                    under.set(text=f"{label} ≠ {expected}", color=VERMILION, fontweight="bold", fontsize=SMALL)
    for start, name in zip(starts, ("In the hidden layer", "In pixel space"), strict=True):
        axes.text(start, -3, name, fontsize=LABEL, fontweight="bold")
    places, colours, lines = zip(*frames, strict=True)
    plotting.draw_framed(axes, plotting.on_paper(page), places, SIDE, colours, lines)
    return figure


def sentence(found: Neighbours, label: int | None = None) -> str:
    """How a digit's neighbours are labelled, and whether that speaks against its own label, None if it has none."""
    hidden, pixels = (
        ", ".join(f"{other} ({times}x)" for other, times in Counter(nearest.labels.tolist()).most_common())
        for nearest in found
    )
    told = f"The training digits nearest to it are labelled {hidden} in the hidden layer, {pixels} in pixel space."
    if label is not None and all(nearest.majority != label for nearest in found):
        told += f" Neither speaks for its own label, {label}: look at that again."
    return f"{told} Near is not cause."


def _find_neighbours(run: RunData) -> tuple[RunData, list[Neighbours]]:
    compute = choose_compute()
    space, images = training_features(run.record, run.model, compute), run.shown(run.test.mistakes)[0][:MISTAKES_SHOWN]
    return run, neighbours_of(images, space, run.model, compute, _SHOWN) if len(images) else []


def _draw_mistakes(found: tuple[RunData, list[Neighbours]]) -> Figure:
    run, neighbours = found
    images, missed, indices = run.shown(run.test.mistakes)
    if not len(missed):
        return mistakes(images, missed, indices, evaluated=run.test.total, title=run.record.title)
    digits = zip(images, missed.labels, missed.predictions, indices.tolist(), neighbours, strict=False)
    rows = [
        Neighboured(f"true {true}, read as {read}", f"test digit {index}{doubt_mark(index)}", image, int(true), each)
        for image, true, read, index, each in digits
    ]
    title = f"{run.record.title}: its surest mistakes, and the training digits nearest to them"
    return neighbours_figure(rows, title, doubt_note(indices[: len(rows)]))


_CAUSE = """Near is not cause: whether these digits made the answer what it is would take a training without them
(inside --check-neighbours)."""
_SPACES = """Pixel space knows nothing of what the network learned; the hidden layer is what it makes of a picture."""
CAPTION = Caption(
    "The training digits nearest to it",
    "A digit beside the training digits nearest to it in the hidden layer and in pixel space, with their labels.",
    f"{_SPACES} {_CAUSE}",
)
RUN_FIGURE = RunFigure(
    _draw_mistakes,
    Caption(
        "Who taught it that?",
        "Misclassified digits, each beside the training digits nearest to it in the hidden layer and in pixel space.",
        f"{_SPACES} There, a mistake mostly lies among digits of the label that it was read as: it would hardly be a "
        "mistake otherwise. Where pixel space disagrees with its label as well, look at the label again: that is how "
        f"wrong labels are found. {_CAUSE}",
    ),
    _find_neighbours,
    prepare=lambda run: training_features(run.record, run.model, choose_compute()),
)

"""How well a network reads drawings that are not MNIST's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from torch import nn

from mnist_lab.drawing.my_digits import Count, Counts, model_key, save_counts
from mnist_lab.drawing.recognise import logits_of
from mnist_lab.drawing.strokes import MODES, Drawing, Picture, read_drawings, to_mnist
from mnist_lab.errors import LabError, RequestError, StorageError
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import Compute, choose_compute
from mnist_lab.terminal.console import Terminal
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.evaluation import Evaluation, evaluate, wilson_interval
from mnist_lab.training.runs import MY_DIGITS, Run
from mnist_lab.training.session import load_trained


@dataclass(frozen=True)
class Score:
    """The result of reading labelled drawings.

    Attributes:
        evaluation: of the drawings that show ink.
        pictures: (N, 28, 28) uint8, what the network saw of those.
        positions: (N,) each one's place among the labelled drawings, from 0.
        blanks: labelled drawings without ink on the canvas; each counts as missed.
        unlabelled: drawings without a label, which are left out.
    """

    evaluation: Evaluation
    pictures: NDArray[np.uint8]
    positions: NDArray[np.int64]
    blanks: int
    unlabelled: int

    @property
    def total(self) -> int:
        """All labelled drawings."""
        return self.evaluation.total + self.blanks

    @property
    def accuracy(self) -> float:
        """The fraction of labelled drawings that were read rightly."""
        return self.evaluation.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.evaluation.correct, self.total)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "correct": self.evaluation.correct,
            "total": self.total,
            "interval_95": list(self.interval),
            "blanks": self.blanks,
            "unlabelled": self.unlabelled,
            "with_ink": self.evaluation.to_dict(),
        }


@dataclass(frozen=True)
class Labelled:
    """Labelled drawings as a network sees them; made once, they can be read by many networks.

    Attributes:
        pictures: N > 0 of (28, 28) uint8, of those that show ink.
        labels: (N,) the digits that were meant.
        positions: (N,) each one's place among the labelled drawings, from 0.
        blanks: labelled drawings without ink on the canvas.
        unlabelled: drawings without a label, which are left out.
    """

    pictures: list[Picture]
    labels: NDArray[np.int64]
    positions: NDArray[np.int64]
    blanks: int
    unlabelled: int

    @property
    def total(self) -> int:
        """All labelled drawings."""
        return len(self.pictures) + self.blanks


def prepare_labelled(drawings: Sequence[Drawing], mode: str = "mnist") -> Labelled:
    """Make pictures of labelled drawings.

    Args:
        drawings: those without a label are left out.
        mode: one of :data:`mnist_lab.drawing.strokes.MODES`.

    Raises:
        RequestError: there is no such mode, or nothing to score.
    """
    if mode not in MODES:
        raise RequestError(f"there is no preprocessing {mode!r}", f"choose one of {', '.join(MODES)}")
    labelled = [drawing for drawing in drawings if drawing.label is not None]
    prepared = [to_mnist(drawing, MODES[mode]) for drawing in labelled]
    positions = np.array([place for place, picture in enumerate(prepared) if picture is not None], dtype=np.int64)
    pictures: list[Picture] = [picture for picture in prepared if picture is not None]
    if not pictures:
        raise RequestError("there is no labelled drawing with ink to score", "give drawings with labels")
    labels = np.array([labelled[place].label for place in positions], dtype=np.int64)
    return Labelled(
        pictures=pictures,
        labels=labels,
        positions=positions,
        blanks=len(labelled) - len(pictures),
        unlabelled=len(drawings) - len(labelled),
    )


def score_drawings(model: nn.Module, drawings: Sequence[Drawing], mode: str, compute: Compute) -> Score:
    """Read labelled drawings, in batches, and compare.

    Args:
        model: a trained network.
        drawings: those without a label are left out.
        mode: one of :data:`mnist_lab.drawing.strokes.MODES`.
        compute: where the model lives.

    Raises:
        RequestError: there is no such mode, or nothing to score.
    """
    prepared = prepare_labelled(drawings, mode)
    return Score(
        evaluation=evaluate(logits_of(model, prepared.pictures, compute), prepared.labels),
        pictures=np.stack(prepared.pictures),
        positions=prepared.positions,
        blanks=prepared.blanks,
        unlabelled=prepared.unlabelled,
    )


def count_correct(model: nn.Module, prepared: Labelled, compute: Compute) -> int:
    """How many labelled drawings a network reads rightly; those without ink count as missed."""
    return int((logits_of(model, prepared.pictures, compute).argmax(axis=1) == prepared.labels).sum())


def count_each(counts: Counts, drawings: Sequence[Drawing], runs: Sequence[Run]) -> Iterator[Counts]:
    """Let runs read the user's digits, one after the other.

    Args:
        counts: what is there already.
        drawings: the user's.
        runs: those to be asked.

    Yields:
        All counts so far: once the drawings are prepared, and after each run.

    Raises:
        RequestError: no drawing has both a label and ink.
    """
    prepared, compute = prepare_labelled(drawings), choose_compute()
    counts = replace(counts, total=prepared.total)
    yield counts
    for run in runs:
        key = model_key(run)
        if key is not None:  # the file may have gone since
            try:
                correct = count_correct(load_trained(run, compute), prepared, compute)
            except LabError:
                correct = None
            counts = replace(counts, by_run={**counts.by_run, run.name: Count(key, correct)})
        yield counts


def count_missing(lab: Lab, counts: Counts, missing: Sequence[Run]) -> Counts:
    """Let runs read the user's digits; Ctrl-C ends it, and what was counted is kept."""
    drawings, damaged = read_drawings(lab.outputs / MY_DIGITS)
    show_skipped(lab.terminal, damaged)
    compute_for(lab)
    with lab.terminal.busy("loading your drawings"):
        steps = count_each(counts, drawings, missing)
        counts = next(steps)
    bar = Bar(
        TextColumn("runs that have read your digits"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        console=lab.terminal.console,
        transient=True,
        disable=not lab.terminal.console.is_terminal,
    )
    try:
        with bar:
            for so_far in bar.track(steps, total=len(missing)):
                counts = so_far
    finally:
        keep_counts(lab, counts)
    return counts


def keep_counts(lab: Lab, counts: Counts) -> None:
    """Keep what was counted; a disk that refuses costs the keeping, not the table."""
    try:
        save_counts(lab.outputs, counts)
    except StorageError as error:
        lab.terminal.warn(str(error))


def show_skipped(terminal: Terminal, damaged: Sequence[LabError], limit: int = 5) -> None:
    """The lines of a file of drawings that are none, each in a line."""
    for error in damaged[:limit]:
        terminal.warn(f"skipped: {error.found}")
    if len(damaged) > limit:
        terminal.warn(f"... and {len(damaged) - limit:,} more damaged lines")

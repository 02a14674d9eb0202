"""How well a network reads drawings that are not MNIST's: a file of labelled ones, and the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import nn

from mnist_lab.drawing.own_digits import Count, Counts, model_key, save_counts
from mnist_lab.drawing.preprocess import MODES, to_mnist
from mnist_lab.drawing.strokes import Drawing, DrawingError, read_drawings
from mnist_lab.errors import LabError, RequestError, StorageError
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.terminal.console import Terminal
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.evaluation import Evaluation, evaluate, wilson_interval
from mnist_lab.training.runs import MY_DIGITS, Run
from mnist_lab.training.session import load_trained


@dataclass(frozen=True)
class Labelled:
    """Labelled drawings as a network sees them; prepared once, they can be classified by many networks."""

    pictures: NDArray[np.uint8]  # (N, 28, 28), N > 0, white on black: those that show ink
    labels: NDArray[np.int64]  # (N,) the digits that were meant
    positions: NDArray[np.int64]  # (N,) each one's place among the labelled drawings, from 0
    blanks: int  # labelled drawings without ink on the canvas
    unlabelled: int  # drawings without a label, which are left out

    @property
    def total(self) -> int:
        return len(self.pictures) + self.blanks


@dataclass(frozen=True)
class Score:
    """What a network made of labelled drawings; those without ink count as missed."""

    labelled: Labelled
    evaluation: Evaluation  # of the drawings that show ink

    @property
    def accuracy(self) -> float:
        """The fraction of labelled drawings that were classified correctly."""
        return self.evaluation.correct / self.labelled.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.evaluation.correct, self.labelled.total)

    def to_dict(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "correct": self.evaluation.correct,
            "total": self.labelled.total,
            "interval_95": list(self.interval),
            "blanks": self.labelled.blanks,
            "unlabelled": self.labelled.unlabelled,
            "with_ink": self.evaluation.to_dict(),
        }


def prepare_labelled(drawings: Sequence[Drawing], mode: str = "mnist") -> Labelled:
    """Make pictures in one of the ``MODES``; a RequestError says that no drawing has both a label and ink."""
    labels = np.array([drawing.label for drawing in drawings if drawing.label is not None], dtype=np.int64)
    prepared = [to_mnist(drawing, MODES[mode]) for drawing in drawings if drawing.label is not None]
    pictures = [picture for picture in prepared if picture is not None]
    if not pictures:
        raise RequestError("there is no labelled drawing with ink to score", "give drawings with labels")
    positions = np.array([place for place, picture in enumerate(prepared) if picture is not None], dtype=np.int64)
    return Labelled(
        pictures=np.stack(pictures),
        labels=labels[positions],
        positions=positions,
        blanks=len(prepared) - len(pictures),
        unlabelled=len(drawings) - len(prepared),
    )


def score_drawings(model: nn.Module, labelled: Labelled, compute: Compute) -> Score:
    """Classify labelled drawings, in batches, and compare with their labels."""
    return Score(labelled, evaluate(_logits_of(model, labelled, compute), labelled.labels))


def count_correct(model: nn.Module, labelled: Labelled, compute: Compute) -> int:
    """How many labelled drawings a network classifies correctly; those without ink count as missed."""
    return int((_logits_of(model, labelled, compute).argmax(axis=1) == labelled.labels).sum())


def _logits_of(model: nn.Module, labelled: Labelled, compute: Compute) -> NDArray[np.float32]:
    return predict_logits(model, torch.from_numpy(labelled.pictures).unsqueeze(1), compute).numpy()  # (N, 10)


def count_missing(lab: Lab, counts: Counts, missing: Sequence[Run]) -> Counts:
    """Let the missing runs classify the user's own digits; Ctrl-C ends it, and what was counted is kept."""
    drawings, damaged = read_drawings(lab.outputs / MY_DIGITS)
    show_skipped(lab.terminal, damaged)
    compute, console = compute_for(lab), lab.terminal.console
    with lab.terminal.busy("loading your drawings"):
        labelled = prepare_labelled(drawings)
    counts = replace(counts, total=labelled.total)
    try:
        what = "runs that have read your digits"
        for run in track(missing, what, console=console, transient=True, disable=not console.is_terminal):
            key = model_key(run)
            if key is None:  # the file has gone since
                continue
            try:
                correct = count_correct(load_trained(run, compute), labelled, compute)
            except LabError:
                correct = None
            counts = replace(counts, by_run={**counts.by_run, run.name: Count(key, correct)})
    finally:
        try:
            save_counts(lab.outputs, counts)
        except StorageError as error:  # the table is shown all the same
            lab.terminal.warn(str(error))
    return counts


def show_skipped(terminal: Terminal, damaged: Sequence[DrawingError], limit: int = 5) -> None:
    """The damaged lines of a file of drawings, each in a line."""
    for error in damaged[:limit]:
        terminal.warn(f"skipped: {error.found}")
    if len(damaged) > limit:
        terminal.warn(f"... and {len(damaged) - limit:,} more damaged lines")

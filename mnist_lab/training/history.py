"""What a training tells of each epoch: written as history.csv, and read back without trusting it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields

from mnist_lab.config import MOST_EPOCHS
from mnist_lab.errors import RunError
from mnist_lab.storage import read_text, reason
from mnist_lab.training.runs import HISTORY_FILE, JUDGED, Run

LARGEST_HISTORY = 256 * MOST_EPOCHS
"""Bytes; a line has about a hundred."""

LONGEST_EPOCH = 1e8
"""Seconds; some three years."""

LEAST_LOSS = -1e-5
"""The smallest loss is 0; rounding may leave less."""


@dataclass(frozen=True)
class EpochRecord:
    """One line of the history.

    Losses are values of the trainer's ``Criterion`` in nats per digit, accuracies are fractions. The training values
    are taken in passing, while the weights still move and with dropout and augmentation on: they may well be worse
    than the validation values.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float


def history_csv(history: Sequence[EpochRecord]) -> str:
    """The history as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=[field.name for field in fields(EpochRecord)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in history)
    return text.getvalue()


def read_history(run: Run) -> list[EpochRecord]:
    """The history that a run left, checked.

    Raises:
        RunError: it is missing, damaged, or not this run's.
    """
    try:
        text = read_text(run.folder / HISTORY_FILE, LARGEST_HISTORY)
        history = [
            EpochRecord(epoch=int(row.pop("epoch")), **{name: float(value) for name, value in row.items()})
            for row in csv.DictReader(io.StringIO(text, newline=""))
        ]
        check_history(history)
        if run.status in JUDGED and len(history) != run.epochs_run:
            raise ValueError(f"it has {len(history):,} epochs, the run {run.epochs_run:,}")
    except OSError as error:
        raise unreadable(run, reason(error)) from None
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise unreadable(run, str(error)[:100]) from None  # as much as one line takes of a value
    return history


def check_history(history: Sequence[EpochRecord]) -> None:
    """Refuse epochs that no training leaves.

    Raises:
        ValueError: they are not numbered from 1 on, or one holds a value that is out of its range.
    """
    if not history:
        raise ValueError("it holds no epoch")
    for number, record in enumerate(history, start=1):
        values = astuple(record)[1:]
        if type(record.epoch) is not int or record.epoch != number:
            raise ValueError(f"in place of epoch {number} it holds another")
        if not all(type(value) is float and math.isfinite(value) for value in values):
            raise ValueError(f"its epoch {number} holds what is not a finite number")
        if not (
            min(record.train_loss, record.val_loss) >= LEAST_LOSS
            and 0 <= record.train_accuracy <= 1
            and 0 <= record.val_accuracy <= 1
            and record.learning_rate >= 0
            and 0 < record.seconds <= LONGEST_EPOCH
        ):
            raise ValueError(f"its epoch {number} holds numbers that no training leaves")


def unreadable(run: Run, why: str) -> RunError:
    """The refusal of a history."""
    return RunError(f"the history of {run.name} can't be read ({why})", "restore it from a copy")

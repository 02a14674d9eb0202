"""The user's own labelled drawings as a test set that lasts: how many of them each saved run reads, counted once.

The counts are kept in a small file beside the drawings. They hold for these drawings and these model files alone:
another digit drawn, or a model file replaced, and they are counted again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mnist_lab import __version__
from mnist_lab.drawing.strokes import Drawing, read_lines
from mnist_lab.errors import LabError, RequestError
from mnist_lab.storage import append_line, is_file, locked, read_bytes, read_text, reason, write_json
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.runs import JUDGED, MY_DIGITS, Run
from mnist_lab.training.tables import Mark

COUNTS_FILE = "my_digits_scores.json"
"""What was counted already, in the output folder; it may be deleted at any time."""

KEEPING_PATIENCE = 10.0
"""Seconds to wait while other windows keep drawings, which takes each a moment."""


class Count(NamedTuple):
    """What is kept of one run."""

    model: str  # which model file was asked, as model_key names it
    correct: int | None  # None: the file was refused


@dataclass(frozen=True)
class Counts:
    """What is kept of one state of the user's drawings.

    Attributes:
        drawings: fingerprint of the file of drawings.
        total: labelled drawings; 0 until they were first read.
        by_run: what each run made of them, by the run's name.
    """

    drawings: str
    total: int
    by_run: Mapping[str, Count]

    def missing(self, runs: Sequence[Run]) -> list[Run]:
        """The judged runs whose model file is there, but was not asked yet."""
        return [run for run in runs if model_key(run) is not None and self.kept(run) is None]

    def kept(self, run: Run) -> Count | None:
        """What is kept of a run, if it still has the model file that was asked."""
        count = self.by_run.get(run.name)
        return count if count is not None and count.model == model_key(run) else None

    def mark(self, run: Run) -> Mark | None:
        """A run's mark; None where its model file is gone or refused, or was not asked."""
        count = self.kept(run)
        return None if count is None or count.correct is None else Mark(count.correct, self.total)

    def marks(self, runs: Sequence[Run]) -> dict[str, Mark | None]:
        """The marks of those runs that are judged, by name."""
        return {run.name: self.mark(run) for run in runs if run.status in JUDGED}


def model_key(run: Run) -> str | None:
    """What tells a judged run's model file from another: name, size and time; None where nobody could be asked."""
    name = run.content.get("model_file")
    if run.status not in JUDGED or not isinstance(name, str) or Path(name).name != name:
        return None
    try:
        run.config.to_dict()
        found = (run.folder / name).stat()
    except (LabError, OSError, ValueError):  # ValueError: a name with a null character
        return None
    return f"{name} {found.st_size} {found.st_mtime_ns}"


def load_counts(outputs: Path) -> Counts | None:
    """What is kept of the drawings as they are now; None if there are no drawings.

    Counts of other drawings, or in a damaged file, are ignored.

    Raises:
        RequestError: the drawings can't be read.
    """
    path = outputs / MY_DIGITS
    if not is_file(path):
        return None
    try:
        fingerprint = hashlib.sha256(read_bytes(path)).hexdigest()
    except OSError as error:
        raise RequestError(f"{path} can't be read ({reason(error)})", "check the file") from None
    try:
        content = json.loads(read_text(outputs / COUNTS_FILE))
        if (content["drawings"], content["lab"]) == (fingerprint, __version__):
            return parse_counts(content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass  # there is none yet, or it is damaged: counting again mends it
    return Counts(fingerprint, 0, {})


def parse_counts(content: dict[str, Any]) -> Counts:
    """Check the content of a file of counts, value by value.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is not as :func:`save_counts` leaves it.
    """
    total = content["total"]
    by_run = {name: Count(count["model"], count["correct"]) for name, count in content["runs"].items()}
    correct = [count.correct for count in by_run.values() if count.correct is not None]
    if type(total) is not int or total < 1:
        raise ValueError("not a file of counts")
    if not all(type(number) is int and 0 <= number <= total for number in correct):
        raise ValueError("not a file of counts")
    return Counts(content["drawings"], total, by_run)


def save_counts(outputs: Path, counts: Counts) -> None:
    """Keep what was counted.

    Raises:
        StorageError: the disk refuses.
    """
    runs = {name: count._asdict() for name, count in counts.by_run.items()}
    content = {"drawings": counts.drawings, "lab": __version__, "total": counts.total, "runs": runs}
    write_json(outputs / COUNTS_FILE, content)


def keep_drawing(outputs: Path, drawing: Drawing) -> int:
    """Add a drawing to the user's own, whatever other windows do meanwhile.

    Returns:
        How many drawings there are now.

    Raises:
        DrawingError: the drawing, or the file, is too large to be read again.
        StorageError: the disk refuses, or another program holds the file; nothing is changed.
    """
    path, line = outputs / MY_DIGITS, drawing.to_json()
    with locked(path.with_suffix(".lock"), KEEPING_PATIENCE):
        before = len(read_lines(path).usable) if is_file(path) else 0
        append_line(path, line)
    return before + 1


def marks_of(lab: Lab, listed: Sequence[Run]) -> dict[str, Mark | None]:
    """How many of the user's own digits each judged run reads, counted now where that was not done before.

    Empty if there are no such digits; drawings that can't be read are said in one line, and left out.
    """
    try:
        counts = load_counts(lab.outputs)
        if counts is None:
            return {}
        missing = counts.missing(listed)
        if missing:
            counts = lab.load("drawing.scoring").count_missing(lab, counts, missing)
    except LabError as error:
        lab.terminal.warn(f"without your own digits: {error}")
        return {}
    return counts.marks(listed)

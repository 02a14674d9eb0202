"""The user's own labelled drawings, a test set that grows: kept one by one, and counted once for each saved run.

Nothing here loads torch, so that the lists of runs are there at once where nothing is left to count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from mnist_lab import __version__
from mnist_lab.drawing.strokes import MAX_FILE_BYTES, Drawing, parse_line, read_drawings
from mnist_lab.errors import LabError, RequestError
from mnist_lab.storage import (
    append_line,
    is_file,
    locked,
    read_bytes,
    read_text,
    reason,
    storage_errors,
    write_bytes,
    write_json,
)
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.page import Mark
from mnist_lab.training.runs import MY_DIGITS, RunRecord

COUNTS_FILE = "my_digits_scores.json"  # in the output folder; it may be deleted at any time


@dataclass(frozen=True)
class Count:
    """What is kept about one run."""

    model: str  # which model file was asked, as model_key names it
    correct: int | None  # None: the file was refused


@dataclass(frozen=True)
class Counts:
    """What is kept about one state of the user's drawings."""

    drawings: str  # fingerprint of the file
    lab: str  # the version that counted
    total: int  # labelled drawings; 0 until they are first read
    runs: dict[str, Count]  # what each run made of them, by the run's name

    def of(self, run: RunRecord) -> Count | None:
        """What is kept about a run's model file as it is now."""
        count = self.runs.get(run.name)
        return count if count is not None and count.model == model_key(run) else None

    def mark(self, run: RunRecord) -> Mark | None:
        """How many of the digits a run got right; None where it learned them, or its model file is gone or refused."""
        count = None if run.parent else self.of(run)
        return None if count is None or count.correct is None else Mark(count.correct, self.total)


class OwnDigit(NamedTuple):
    """One of the user's own digits, as it stood in the file when that was read."""

    place: int  # of its line in the file, from 0
    line: bytes  # without the line end
    drawing: Drawing


def list_own_digits(outputs: Path) -> list[OwnDigit]:
    """The user's own digits in the order in which they were kept; a LabError says that the file can't be read."""
    digits = []
    for place, line in enumerate(_read_lines(outputs / MY_DIGITS)):
        with suppress(LabError):  # blank and damaged lines stay as they are
            digits.append(OwnDigit(place, line, parse_line(line)))
    return digits


def change_own_digit(outputs: Path, digit: OwnDigit, label: int | None) -> None:
    """Give one of the user's own digits another label, 0 to 9, or delete it (None); all else in the file stays.

    A LabError says that another program has changed its line meanwhile, or what the disk refuses; nothing is changed.
    """
    path = outputs / MY_DIGITS
    with _locked(path):
        lines = _read_lines(path)
        if lines[digit.place : digit.place + 1] != [digit.line]:
            raise RequestError(f"another program has changed {MY_DIGITS} meanwhile", "look at the digits again")
        if label is None:
            del lines[digit.place]
        else:
            content = json.loads(digit.line.decode("utf-8-sig")) | {"label": label}
            lines[digit.place] = json.dumps(content, separators=(",", ":")).encode()
        if any(line.strip() for line in lines):
            # What the name links to, say in a folder that is shared, is written, and the link stays.
            write_bytes(path.resolve(), b"\n".join(lines))
        else:
            with storage_errors(path):
                path.unlink()  # an empty file of drawings would be refused


def take_back(outputs: Path, drawing: Drawing) -> None:
    """Delete the last of the user's own digits that equals a drawing.

    A LabError says that there is none, or that the file can't be written; nothing is changed.
    """
    equal = [digit for digit in list_own_digits(outputs) if digit.drawing == drawing]
    if not equal:
        raise RequestError(f"{MY_DIGITS} does not hold this drawing any more", "nothing is left to take back")
    change_own_digit(outputs, equal[-1], None)


def _locked(path: Path) -> AbstractContextManager[None]:
    return locked(path.with_suffix(".lock"), patience=10.0)  # seconds; keeping takes other windows a moment


def _read_lines(path: Path) -> list[bytes]:
    try:
        return read_bytes(path, MAX_FILE_BYTES).split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RequestError(f"{path} can't be read ({reason(error)})", "check the file") from None


def keep_drawing(outputs: Path, drawing: Drawing) -> None:
    """Add a drawing to the user's own, whatever other windows do meanwhile.

    A LabError says that the file, or drawing, is too large to be read again, or can't be written; nothing is changed.
    """
    path, line = outputs / MY_DIGITS, drawing.to_json()
    with _locked(path):
        if is_file(path):
            read_drawings(path, may_be_empty=True)
        append_line(path, line)


def model_key(run: RunRecord) -> str | None:
    """What tells an evaluated run's model file from another: name, size and time; None where it can't be used."""
    name = run.model_file
    if not run.is_evaluated or name is None or Path(name).name != name:
        return None
    try:
        run.config.to_dict()  # a configuration that this version does not understand is refused
        found = (run.folder / name).stat()
    except (LabError, OSError, ValueError):  # ValueError: a name with a null character
        return None
    return f"{name} {found.st_size} {found.st_mtime_ns}"


def marks_of(lab: Lab, listed: Sequence[RunRecord]) -> dict[str, Mark | None]:
    """How many of the user's own digits each evaluated run classifies correctly, counted now where that is missing.

    Empty if there are no such digits; drawings that can't be read are reported in one line, and left out.
    """
    try:
        counts = _load_counts(lab.outputs)
        if counts is None:
            return {}
        missing = [run for run in listed if model_key(run) is not None and counts.of(run) is None]
        if missing:
            counts = lab.load("drawing.recognise").count_missing(lab, counts, missing)
    except LabError as error:
        lab.terminal.warn(f"without your own digits: {error}")
        return {}
    return {run.name: counts.mark(run) for run in listed if run.is_evaluated}


def _load_counts(outputs: Path) -> Counts | None:
    """What is kept about the drawings as they are now, None if there are none."""
    path = outputs / MY_DIGITS
    if not is_file(path):
        return None
    try:
        fresh = Counts(hashlib.sha256(read_bytes(path)).hexdigest(), __version__, 0, {})
    except OSError as error:
        raise RequestError(f"{path} can't be read ({reason(error)})", "check the file") from None
    try:
        content = json.loads(read_text(outputs / COUNTS_FILE))
        runs = {name: Count(**count) for name, count in content["runs"].items()}
        kept = Counts(**content | {"runs": runs})
        numbers = [kept.total, *(count.correct for count in runs.values() if count.correct is not None)]
        is_sound = kept.total > 0 and all(type(number) is int and 0 <= number <= kept.total for number in numbers)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return fresh  # there is none yet, or it is damaged
    return kept if is_sound and (kept.drawings, kept.lab) == (fresh.drawings, fresh.lab) else fresh


def save_counts(outputs: Path, counts: Counts) -> None:
    """Keep what was counted; a StorageError says that the disk refuses."""
    write_json(outputs / COUNTS_FILE, asdict(counts))

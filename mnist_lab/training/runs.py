"""Saved runs: one timestamped folder each, listed, and found by name, without trusting what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, Literal, TypeVar, get_args

from mnist_lab import storage
from mnist_lab.config import MOST_EPOCHS, MOST_SEED, TrainConfig
from mnist_lab.errors import LockedError, RunError
from mnist_lab.report.document import fraction, interval
from mnist_lab.storage import STAMP_FORMAT, is_folder, is_locked, read_text, remove_leftovers

RUN_FILE = "run.json"
HISTORY_FILE = "history.csv"
STATE_FILE = "training_state.pt"
LOCK_FILE = "training.lock"
MY_DIGITS = "my_digits.jsonl"
"""The user's own labelled drawings, in the output folder."""

UNFINISHED = "running"
JUDGED = ("finished", "interrupted")
STATUSES = (UNFINISHED, *JUDGED, "failed")

StopReason = Literal["last epoch", "patience", "interrupted"]
"""Why a training ended."""

LARGEST_RUN_FILE = 1 << 20
"""Bytes of a run.json; the lab's have some ten thousand."""

MOST_PARAMETERS, MOST_SECONDS = 10**9, 1e12
"""Larger ones no run can have; they keep every number that is shown within what a float can hold."""

USUAL_OUTPUTS = Path("outputs")
"""Where runs are kept unless --outputs says otherwise."""

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """What the list of runs shows of one folder; accuracies are fractions."""

    folder: Path
    model: str
    augmented: bool
    status: str
    created: datetime
    seed: int
    epochs_run: int
    parameters: int
    val_accuracy: float | None  # None until the run is judged
    test_accuracy: float | None
    test_interval: tuple[float, float] | None
    train_seconds: float | None
    content: dict[str, Any]  # all of run.json

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def config(self) -> TrainConfig:
        """The configuration that it was made with.

        Raises:
            RequestError: it can't be used.
        """
        return TrainConfig.from_dict(self.content.get("config"))

    @property
    def split_fingerprint(self) -> object:
        """What run.json says about the validation digits: equal for runs that may be compared."""
        split = self.content.get("split")
        return split.get("fingerprint") if isinstance(split, dict) else None


@dataclass(frozen=True)
class DamagedRun:
    """A folder that holds a run.json which can't be understood, and why."""

    folder: Path
    reason: str


def list_runs(outputs: Path) -> tuple[list[Run], list[DamagedRun]]:
    """All runs below ``outputs``, oldest first, and the damaged ones; a missing folder holds none."""
    runs: list[Run] = []
    damaged: list[DamagedRun] = []
    for folder in run_folders(outputs):
        try:
            runs.append(read_run(folder))
        except RunError as error:
            damaged.append(DamagedRun(folder, error.found))
    return sorted(runs, key=lambda run: (run.created, run.name)), damaged


def run_folders(outputs: Path) -> list[Path]:
    """The folders that hold a run.json, sorted by name."""
    try:
        return sorted(path.parent for path in outputs.glob(f"*/{RUN_FILE}"))
    except OSError:
        return []


def read_run(folder: Path) -> Run:
    """Read a run's run.json and check every value that the lab relies on.

    Raises:
        RunError: there is none, or it is damaged.
    """
    path = folder / RUN_FILE
    try:
        content = json.loads(read_text(path, LARGEST_RUN_FILE))
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # what can't be written the lab never wrote
    except FileNotFoundError:
        raise RunError(f"{folder} holds no {RUN_FILE}", "name a run's folder; python main.py runs lists them") from None
    except (OSError, ValueError, RecursionError) as error:
        why = storage.reason(error) if isinstance(error, OSError) else error
        raise damaged_run(folder, f"{RUN_FILE} can't be read ({why})") from None
    try:
        return parse_run(folder, content)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise damaged_run(folder, f"{RUN_FILE} is not a run's ({detail})") from None


def damaged_run(folder: Path, what: str) -> RunError:
    """The refusal of a run whose folder is not as the lab left it."""
    return RunError(f"the run {folder.name} is damaged: {what}", "delete its folder, or restore it from a copy")


def parse_run(folder: Path, content: Any) -> Run:
    """Check run.json's content, value by value.

    Raises:
        KeyError, TypeError, ValueError: a value is missing, of the wrong kind, or out of its range.
    """
    if not isinstance(content, dict):
        raise TypeError("not a JSON object")
    status = typed(content, "status", str)
    if status not in STATUSES:
        raise ValueError(f"unknown status {shortened(status)}")
    judged = status in JUDGED
    epochs_run = whole(content, "epochs_run", 1 if judged else 0, MOST_EPOCHS)
    if judged:
        whole(content, "best_epoch", 1, epochs_run)
        if content["stop_reason"] not in get_args(StopReason):
            raise ValueError(f"unknown stop reason {shortened(content['stop_reason'])}")
    return Run(
        folder=folder,
        model=typed(content, "model", str),
        augmented=typed(content, "augment", bool),
        status=status,
        created=datetime.fromisoformat(typed(content, "created", str)).astimezone(),
        seed=whole(content, "seed", 0, MOST_SEED),
        epochs_run=epochs_run,
        parameters=whole(content, "parameters", 0, MOST_PARAMETERS),
        val_accuracy=fraction(content["val_accuracy"]) if judged else None,
        test_accuracy=fraction(content["test_accuracy"]) if judged else None,
        test_interval=interval(content["test_interval"]) if judged else None,
        train_seconds=duration(content["train_seconds"]) if judged else None,
        content=content,
    )


def typed(content: dict[str, Any], key: str, kind: type[T]) -> T:
    """A value of exactly this kind."""
    value = content[key]
    if type(value) is not kind:  # bool is a subclass of int: a seed of true is no seed
        raise TypeError(f"{key} is {shortened(value)}")
    return value


def whole(content: dict[str, Any], key: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    value = typed(content, key, int)
    if not low <= value <= high:
        raise ValueError(f"{key} is {shortened(value)}")
    return value


def duration(value: Any) -> float:
    """A number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_SECONDS:
        raise ValueError(f"{shortened(value)} is not a duration")
    return float(value)


def command_line(words: str, outputs: Path) -> str:
    """A command for a hint to name; it says where the runs are kept unless that is the usual place."""
    if outputs == USUAL_OUTPUTS:
        return f"python main.py {words}"
    folder = f'"{outputs}"' if " " in str(outputs) else str(outputs)
    return f"python main.py {words} --outputs {folder}"


def name_some(folders: Sequence[Path], most: int = 3) -> str:
    """The names of some folders; of many the first few."""
    return ", ".join([folder.name for folder in folders[:most]] + ["..."] * (len(folders) > most))


def find_run(outputs: Path, name: str, statuses: tuple[str, ...] = JUDGED) -> Run:
    """The run that a user means.

    Args:
        outputs: where runs are kept.
        name: a folder (any path), a folder's name below ``outputs`` or a part of it that fits one run alone,
            ``latest`` (the newest), or ``best`` (the highest validation accuracy, never the test accuracy; of
            equals the newest).
        statuses: which runs ``latest`` and ``best`` choose from.

    Raises:
        RunError: there is no such run, or it is damaged.
    """
    if name in ("latest", "best"):
        candidates = [run for run in list_runs(outputs)[0] if run.status in statuses]
        if not candidates:
            kind = "unfinished" if statuses == (UNFINISHED,) else "finished"
            raise RunError(f"there is no {kind} run in {outputs}", f"train one with: {command_line('train', outputs)}")
        newest_first = candidates[::-1]
        return newest_first[0] if name == "latest" else max(newest_first, key=lambda run: run.val_accuracy or 0.0)
    for folder in (outputs / name, Path(name)):
        if name and is_folder(folder):
            return read_run(folder)
    fitting = [folder for folder in run_folders(outputs) if name and name in folder.name]
    if len(fitting) == 1:
        return read_run(fitting[0])
    if fitting:
        raise RunError(
            f"{len(fitting)} runs in {outputs} have {name!r} in their names ({name_some(fitting)})",
            "give more of the name",
        )
    raise RunError(f"there is no run {name!r} in {outputs}", f"list the runs with: {command_line('runs', outputs)}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run for this caller alone while it trains; what a killed program left half-written in it is removed.

    Raises:
        RunError: another program is training this run.
    """
    with ExitStack() as held:
        try:
            held.enter_context(storage.locked(folder / LOCK_FILE))
        except LockedError:
            raise RunError(
                f"the run {folder.name} is being trained by another program", "wait for it to end, or train a new run"
            ) from None
        remove_leftovers(folder)
        yield


def is_being_trained(run: Run) -> bool:
    """Whether a program is at work on an unfinished run; otherwise it was killed and can be resumed."""
    return run.status == UNFINISHED and is_locked(run.folder / LOCK_FILE)


def model_file_name(created: datetime, val_accuracy: float, test_accuracy: float) -> str:
    """For example ``model_2026-11-22_14-30-05_val99.52_test99.41.pt``; accuracies in percent, as in the tables."""
    stamp = created.strftime(STAMP_FORMAT)
    return f"model_{stamp}_val{100 * val_accuracy:.2f}_test{100 * test_accuracy:.2f}.pt"

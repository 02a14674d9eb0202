"""Saved runs: one timestamped folder each, listed, and found by name, without trusting what is in them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, Literal, TypeVar, get_args

from mnist_lab import storage
from mnist_lab.config import MOST_EPOCHS, MOST_SEED, TrainConfig
from mnist_lab.errors import LockedError, RequestError, RunError
from mnist_lab.report.document import fraction, interval
from mnist_lab.storage import STAMP_FORMAT, is_folder, is_locked, read_text, reason, remove_leftovers, write_json
from mnist_lab.terminal.wording import describe_recipe, letters

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
    """What run.json tells of a run, and its folder.

    What the lab relies on is checked when it is read; what is only shown may be missing, and is then None or empty.
    Accuracies and intervals are fractions.
    """

    folder: Path
    model: str
    augment: bool
    seed: int
    status: str  # one of STATUSES
    created: datetime
    command: str | None = None  # that repeats it
    device_asked: str | None = None
    saved_config: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)  # seed, sizes and fingerprint of the validation digits
    parameters: int = 0
    epochs_run: int = 0
    workers: int | None = None
    device: str | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    sessions: Sequence[Mapping[str, Any]] = ()  # its start, and each time it went on
    failure: str | None = None
    # From here on None until the run is evaluated.
    stop_reason: StopReason | None = None
    best_epoch: int | None = None
    stopped_early: bool | None = None
    val_accuracy: float | None = None
    val_loss: float | None = None
    test_accuracy: float | None = None
    test_interval: tuple[float, float] | None = None  # 95 %
    train_seconds: float | None = None
    images_per_second: float | None = None
    model_file: str | None = None
    results: Mapping[str, Any] = field(default_factory=dict)  # Evaluation.to_dict() of validation and test

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def title(self) -> str:
        """The network, as titles name it."""
        return f"{describe_recipe(self.model, augmented=self.augment)}, seed {self.seed}"

    @property
    def is_evaluated(self) -> bool:
        """Whether it came to an end, and was evaluated on the test digits."""
        return self.status in JUDGED

    @property
    def config(self) -> TrainConfig:
        """The configuration that it was made with.

        Raises:
            RequestError: it can't be used.
        """
        return TrainConfig.from_dict(self.saved_config)

    @property
    def split_fingerprint(self) -> object:
        """What run.json says about the validation digits: equal for runs that may be compared."""
        return self.split.get("fingerprint")

    def to_json(self) -> dict[str, Any]:
        """The content of run.json, without what is not known."""
        values = {part.name.removeprefix("saved_"): getattr(self, part.name) for part in fields(self)[1:]}
        values["created"] = self.created.isoformat(timespec="seconds")
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, folder: Path, content: Any) -> Run:
        """Check the content of run.json, value by value.

        Raises:
            KeyError, TypeError, ValueError: a value is missing, of the wrong kind, or out of its range.
        """
        if not isinstance(content, dict):
            raise TypeError("not a JSON object")
        status = _typed(content, "status", str)
        if status not in STATUSES:
            raise ValueError(f"unknown status {shortened(status)}")
        created = _typed(content, "created", str)
        moment = datetime.fromisoformat(created)
        values: dict[str, Any] = {
            "model": _typed(content, "model", str),
            "augment": _typed(content, "augment", bool),
            "seed": _whole(content, "seed", 0, MOST_SEED),
            "parameters": _whole(content, "parameters", 0, MOST_PARAMETERS),
            "epochs_run": _whole(content, "epochs_run", 1 if status in JUDGED else 0, MOST_EPOCHS),
        }
        values |= {name: content[name] for name, kind in SHOWN.items() if type(content.get(name)) is kind}
        if status in JUDGED:
            if content["stop_reason"] not in get_args(StopReason):
                raise ValueError(f"unknown stop reason {shortened(content['stop_reason'])}")
            values |= {
                "stop_reason": content["stop_reason"],
                "best_epoch": _whole(content, "best_epoch", 1, values["epochs_run"]),
                "stopped_early": content["stop_reason"] != "last epoch",
                "val_accuracy": fraction(content["val_accuracy"]),
                "test_accuracy": fraction(content["test_accuracy"]),
                "test_interval": interval(content["test_interval"]),
                "train_seconds": _duration(content["train_seconds"]),
            }
        # Earlier versions of the lab noted the first session only, outside of a list.
        first = {name: content.get(name) for name in ("workers", "device", "machine", "versions")}
        sessions = content.get("sessions", [{"started": created, "after_epoch": 0, **first}])
        return cls(
            folder=folder,
            status=status,
            created=moment if moment.tzinfo else moment.astimezone(),
            saved_config=content["config"] if isinstance(content.get("config"), dict) else {},
            sessions=[one for one in sessions if isinstance(one, dict)] if isinstance(sessions, list) else [],
            **values,
        )


SHOWN: dict[str, type] = {
    **dict.fromkeys(("command", "device", "device_asked", "failure", "model_file"), str),
    **dict.fromkeys(("split", "machine", "versions", "results"), dict),
    **dict.fromkeys(("val_loss", "images_per_second"), float),
    "workers": int,
}
"""What is only shown, or checked where it is used: whatever is of another kind counts as missing."""


def write_run(run: Run) -> None:
    """Write a run's run.json, atomically.

    Raises:
        StorageError: the disk refuses.
    """
    write_json(run.folder / RUN_FILE, run.to_json())


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
        return Run.from_json(folder, content)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise damaged_run(folder, f"{RUN_FILE} is not a run's ({detail})") from None


def damaged_run(folder: Path, what: str) -> RunError:
    """The refusal of a run whose folder is not as the lab left it."""
    return RunError(f"the run {folder.name} is damaged: {what}", "delete its folder, or restore it from a copy")


def _typed(content: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """A value of exactly this kind."""
    value = content[key]
    if type(value) is not kind:  # bool is a subclass of int: a seed of true is not a seed
        raise TypeError(f"{key} is {shortened(value)}")
    return value


def _whole(content: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    value = _typed(content, key, int)
    if not low <= value <= high:
        raise ValueError(f"{key} is {shortened(value)}")
    return value


def _duration(value: Any) -> float:
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
    return read_run(find_folder(outputs, name, run_folders(outputs), "run"))


def find_folder(outputs: Path, name: str, folders: Sequence[Path], kind: str) -> Path:
    """The folder that a user means.

    Args:
        outputs: where all results are kept.
        name: a folder (any path), a folder's name below ``outputs``, or a part of it that fits one alone.
        folders: those below ``outputs`` that a part of a name may fit.
        kind: "run" or "folder".

    Raises:
        RunError: there is no such folder, or several.
    """
    for folder in (outputs / name, Path(name)):
        if name and is_folder(folder):
            return folder
    fitting = [folder for folder in folders if name and name in folder.name]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RunError(
            f"{len(fitting)} {kind}s in {outputs} have {name!r} in their names ({name_some(fitting)})",
            "give more of the name",
        )
    lists = command_line("runs" if kind == "run" else "report", outputs)
    raise RunError(f"there is no {kind} {name!r} in {outputs}", f"list the {kind}s with: {lists}")


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


@dataclass(frozen=True)
class Recipe:
    """A recipe, and the runs that were made with it.

    Attributes:
        name: tells it from the others that it is compared with.
        config: of its first run.
        runs: by seed.
    """

    name: str
    config: TrainConfig
    runs: Mapping[int, Run]

    def network(self, seed: int) -> str:
        """What one of its networks is called."""
        return f"{self.name}, seed {seed}"


def recipes_of(runs: Sequence[Run]) -> list[Recipe]:
    """The recipes of some runs, in the order in which they first appear; equal names get a letter each.

    Raises:
        RequestError: a run's configuration can't be used.
    """
    groups = by_recipe(runs)
    configs = [next(iter(by_seed.values())).config.canonical for by_seed in groups]
    names = told_apart([describe_recipe(config.model, augmented=config.augment is not None) for config in configs])
    return [Recipe(*parts) for parts in zip(names, configs, groups, strict=True)]


def by_recipe(runs: Sequence[Run]) -> list[dict[int, Run]]:
    """The runs of each recipe by their seeds, in the order in which they first appear.

    Of several runs with one recipe and one seed a single one counts, a finished one if there is any, and of these the
    newest: they are the same training again, and would make the spread look smaller than it is.
    """
    groups: dict[object, dict[int, Run]] = {}
    for run in runs:
        by_seed = groups.setdefault(recipe_key(run), {})
        same = (by_seed.get(run.seed, run), run)
        by_seed[run.seed] = max(same, key=lambda run: (run.status == "finished", run.created, run.name))
    return list(groups.values())


def recipe_key(run: Run) -> object:
    """What runs of one recipe have in common: the same training, but for the seed, on the same split of the data."""
    try:
        return replace(run.config, seed=0).canonical, str(run.split_fingerprint)
    except RequestError:
        return run.folder  # nobody knows what it was made with


def told_apart(names: Sequence[str]) -> list[str]:
    """The names; those that occur more than once with the letters a, b, c ... after them."""
    total, seen, found = Counter(names), Counter[str](), []
    for name in names:
        found.append(f"{name} {letters(seen[name])}" if total[name] > 1 else name)
        seen[name] += 1
    return found

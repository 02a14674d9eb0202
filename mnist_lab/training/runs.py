"""Saved runs, one timestamped folder each: written, listed, found by name, and read without trusting what is in them.

Nothing heavy is loaded, so that lists of runs open at once.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, Literal, TypeVar, get_args

from mnist_lab import storage
from mnist_lab.config import MOST_EPOCHS, MOST_SEED, TrainConfig, changed_options
from mnist_lab.errors import LockedError, RequestError, RunError
from mnist_lab.report.document import fraction, interval, number, read_note
from mnist_lab.storage import is_folder, is_locked, read_text, reason, remove_leftovers, write_json
from mnist_lab.terminal.wording import describe_recipe, letters

RUN_FILE = "run.json"
HISTORY_FILE = "history.csv"
STATE_FILE = "training_state.pt"
LOCK_FILE = "training.lock"
MY_DIGITS = "my_digits.jsonl"  # the user's own labelled drawings, in the output folder

UNFINISHED, STOPPED = "running", "stopped"
_EVALUATED = ("finished", "interrupted")

StopReason = Literal["last epoch", "patience", "interrupted"]  # why a training ended

T = TypeVar("T")


@dataclass(frozen=True)
class RunRecord:
    """What run.json says about a run, and its folder.

    What the lab relies on is checked when it is read; what is only shown may be missing, and is then None or empty.
    Accuracies and intervals are fractions.
    """

    folder: Path
    model: str
    augment: bool
    seed: int
    status: str  # running, finished, interrupted or failed
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
    sessions: Sequence[Mapping[str, Any]] = ()  # its start, and each time it was resumed
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
    parent: str | None = None  # the run that it is a personalised copy of, by its folder's name
    personal: Mapping[str, Any] = field(default_factory=dict)  # what that changed, on whose digits
    note: str = ""  # the user's own sentence about it, kept beside run.json
    number: int = field(default=0, compare=False)  # its place among all runs: 1 is the newest, 0 unknown

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def title(self) -> str:
        how = ", personalised" * bool(self.parent)
        return f"{describe_recipe(self.model, augmented=self.augment)}, seed {self.seed}{how}"

    @property
    def is_evaluated(self) -> bool:
        """Whether it ended, and was evaluated on the test digits."""
        return self.status in _EVALUATED

    @property
    def config(self) -> TrainConfig:
        """The configuration that it was made with; raises ``RequestError`` if it can't be used."""
        return TrainConfig.from_dict(self.saved_config)

    @cached_property
    def changes(self) -> str:
        """The options by which it differs from its usual recipe; empty if there are none, or if that is unknown."""
        with suppress(RequestError):
            if self.parent:  # its settings are always the same
                return f"personalised from {self.parent}"
            config = replace(self.config.canonical, augment=self.config.augment)  # named even if nothing is left in it
            return " ".join(changed_options(config))
        return ""

    @property
    def split_fingerprint(self) -> object:
        """What run.json says about the validation digits: equal for runs that may be compared."""
        return self.split.get("fingerprint")

    def to_json(self) -> dict[str, Any]:
        """The content of run.json, without unknown values."""
        values = {part.name.removeprefix("saved_"): getattr(self, part.name) for part in fields(self)[1:]}
        del values["note"], values["number"]
        values["created"] = self.created.isoformat(timespec="seconds")
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, folder: Path, content: Any) -> RunRecord:
        """Check run.json's content; raises KeyError, TypeError, ValueError or OverflowError where it is wrong."""
        require(isinstance(content, dict), "not a JSON object")
        status = _checked(content, "status", str, (UNFINISHED, *_EVALUATED, "failed"))
        created = _checked(content, "created", str)
        moment = datetime.fromisoformat(created)
        epochs_run = _checked(content, "epochs_run", int, range(1 if status in _EVALUATED else 0, MOST_EPOCHS + 1))
        values: dict[str, Any] = {
            name: content[name] for name, kind in _SHOWN.items() if type(content.get(name)) is kind
        }
        if status in _EVALUATED:
            seconds = content["train_seconds"]  # the bound keeps what is shown within what a float can hold
            require(number(seconds) is not None and 0 <= seconds <= 1e12, f"{shortened(seconds)} is not a duration")
            stop_reason = _checked(content, "stop_reason", str, get_args(StopReason))
            values |= {
                "stop_reason": stop_reason,
                "best_epoch": _checked(content, "best_epoch", int, range(1, epochs_run + 1)),
                "stopped_early": stop_reason != "last epoch",
                "val_accuracy": fraction(content["val_accuracy"]),
                "test_accuracy": fraction(content["test_accuracy"]),
                "test_interval": interval(content["test_interval"]),
                "train_seconds": float(seconds),
            }
        # Earlier versions of the lab recorded only the first session, outside a list.
        first = {name: content.get(name) for name in ("workers", "device", "machine", "versions")}
        sessions = content.get("sessions", [{"started": created, "after_epoch": 0, **first}])
        return cls(
            folder=folder,
            model=_checked(content, "model", str),
            augment=_checked(content, "augment", bool),
            seed=_checked(content, "seed", int, range(MOST_SEED + 1)),
            status=status,
            created=moment if moment.tzinfo else moment.astimezone(),
            saved_config=content["config"] if isinstance(content.get("config"), dict) else {},
            parameters=_checked(content, "parameters", int, range(10**9 + 1)),
            epochs_run=epochs_run,
            sessions=[one for one in sessions if isinstance(one, dict)] if isinstance(sessions, list) else [],
            **values,
        )


# What is only shown, or checked where it is used: a value of another type counts as missing.
_SHOWN: dict[str, type] = {
    **dict.fromkeys(("command", "device", "device_asked", "failure", "model_file", "parent"), str),
    **dict.fromkeys(("split", "machine", "versions", "results", "personal"), dict),
    **dict.fromkeys(("val_loss", "images_per_second"), float),
    "workers": int,
}


def require(condition: bool, otherwise: str) -> None:
    """Raise a ``ValueError`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(otherwise)


def _checked(content: Mapping[str, Any], key: str, kind: type[T], allowed: Container[T] | None = None) -> T:
    value = content[key]
    is_kind = type(value) is kind  # bool is a subclass of int: a seed of true is not a seed
    require(is_kind and (allowed is None or value in allowed), f"{key} is {shortened(value)}")
    return value  # type: ignore[no-any-return]


def write_run(run: RunRecord) -> None:
    """Write a run's run.json, atomically; raises ``StorageError`` if it can't be written."""
    write_json(run.folder / RUN_FILE, run.to_json())


def read_run(folder: Path) -> RunRecord:
    """Read run.json and check every value that the lab relies on; raises ``RunError`` if it is missing or damaged."""
    try:
        content = json.loads(read_text(folder / RUN_FILE, 1 << 20))  # the lab's have about ten thousand bytes
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # the lab never wrote what can't be written
    except FileNotFoundError:
        raise RunError(f"{folder} holds no {RUN_FILE}", "name a run's folder; python main.py runs lists them") from None
    except (OSError, ValueError, RecursionError) as error:
        why = reason(error) if isinstance(error, OSError) else error
        raise damaged_run(folder, f"{RUN_FILE} can't be read ({why})") from None
    try:
        return replace(RunRecord.from_json(folder, content), note=read_note(folder))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        detail = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise damaged_run(folder, f"{RUN_FILE} does not describe a run ({detail})") from None


def damaged_run(folder: Path, what: str) -> RunError:
    """The error for a run whose folder is not as the lab left it."""
    return RunError(f"the run {folder.name} is damaged: {what}", "delete its folder, or restore it from a copy")


def not_finished(run: RunRecord) -> RunError:
    """The error for a run that has no trained network yet, and what can be done about it."""
    status = status_of(run)
    resume = command_line(f"resume --run {run.name}", run.folder.parent)
    advice = {UNFINISHED: "wait for it to end", STOPPED: f"finish it with: {resume}"}.get(status, "name another")
    return RunError(f"the run {run.name} is not finished (status {status})", advice)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run for this caller alone, and tidy up after a killed one; raises ``RunError`` if another holds it."""
    try:
        with storage.locked(folder / LOCK_FILE):
            remove_leftovers(folder)
            yield
    except LockedError:
        busy = f"the run {folder.name} is being trained by another program"
        raise RunError(busy, "wait for it to end, or train a new run") from None


def is_being_trained(run: RunRecord) -> bool:
    """Whether a program is at work on an unfinished run; otherwise it was killed and can be resumed."""
    return run.status == UNFINISHED and is_locked(run.folder / LOCK_FILE)


def status_of(run: RunRecord) -> str:
    """A run's status in a word; an unfinished run that no program trains was stopped or killed, and can be resumed."""
    return STOPPED if run.status == UNFINISHED and not is_being_trained(run) else run.status


def run_folders(outputs: Path) -> list[Path]:
    """The folders that hold a run.json, sorted by name; a folder that is missing or may not be read holds none."""
    with suppress(OSError):
        return sorted(path.parent for path in outputs.glob(f"*/{RUN_FILE}"))
    return []


def list_runs(outputs: Path) -> tuple[list[RunRecord], dict[Path, str]]:
    """All runs below ``outputs``, numbered, oldest first, and what is wrong with each damaged one, by its folder."""
    runs: list[RunRecord] = []
    damaged: dict[Path, str] = {}
    for folder in run_folders(outputs):
        try:
            runs.append(read_run(folder))
        except RunError as error:
            damaged[folder] = error.found
    runs.sort(key=lambda run: (run.created, run.name))
    return [replace(run, number=len(runs) - place) for place, run in enumerate(runs)], damaged


def find_run(outputs: Path, name: str, statuses: tuple[str, ...] = _EVALUATED) -> RunRecord:
    """The run that a user means: a path, a folder's name, its number, ``latest``, ``best``, or words that fit it alone.

    ``latest`` and ``best`` are sought among some statuses. ``best`` has the highest validation accuracy, never the test
    accuracy; among equals, the newest wins.

    Raises:
        RunError: there is no such run, or it is damaged, or several fit.
    """
    for folder in (outputs / name, Path(name)):
        if name and is_folder(folder):
            return read_run(folder)
    found, damaged = list_runs(outputs)
    if name in ("latest", "best"):
        newest_first = [run for run in reversed(found) if run.status in statuses]
        if not newest_first:
            kind = "unfinished" if statuses == (UNFINISHED,) else "finished"
            raise RunError(f"there is no {kind} run in {outputs}", f"train one with: {command_line('train', outputs)}")
        return newest_first[0] if name == "latest" else max(newest_first, key=lambda run: run.val_accuracy or 0.0)
    fitting = runs_numbered(name, found) or runs_that_fit(name, found[::-1])
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        found_them = f"{len(fitting)} runs fit {name!r} ({name_some([run.folder for run in fitting])})"
        raise RunError(found_them, f"give more words, or a number that this shows: {command_line('runs', outputs)}")
    for folder in damaged:
        if name and name in folder.name:
            return read_run(folder)  # which says what is wrong with it
    lists = f"list the runs with: {command_line('runs', outputs)}"
    raise RunError(f"there is no run {name!r} in {outputs}", words_meant(name, found, lists))


def words_meant(words: str, runs: Sequence[RunRecord], otherwise: str) -> str:
    """What to do next after words that fit none of some runs: the words nearest to them that do."""
    known = ["latest", "best", *dict.fromkeys(word for run in runs for word in _words_about(run).split())]
    meant = " ".join(
        word if runs_that_fit(word, runs) else "".join(get_close_matches(word.lower(), known, 1)) or word
        for word in words.split()
    )
    return f"did you mean {meant}?" if meant != words else otherwise


def runs_numbered(answer: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that numbers and ranges name, as in ``1 3``, ``1,3`` and ``2-5``; none if it is anything else.

    Raises:
        RunError: no run has a number; from four digits on, it is taken for a part of a name, as 2026 is.
    """
    parts = answer.replace(",", " ").split()
    ranges = [re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part) for part in parts]
    numbered: dict[int, RunRecord] = {}
    by_number = {run.number: run for run in runs}
    for part, ends in zip(parts, ranges, strict=True):
        if not all(ranges) or not ends:
            return []
        numbers = range(int(ends[1]), int(ends[2] or ends[1]) + 1)
        named = {number: by_number[number] for number in numbers if number in by_number}
        if not named and len(part) > 3 and "-" not in part:
            return []
        if not named:  # not a part of a name: "delete 2" must spare the only run, whose date has a 2 in it
            raise RunError(f"no run has the number {part}", "choose one that the list of runs shows")
        numbered |= named
    return list(numbered.values())


def runs_that_fit(words: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that have all of some words: parts of the folder's name, or beginnings of words about the run.

    A part of a name from its time on, ``14-30-05_3-layer``, beats longer names that go on after it.
    """
    terms, fitting = _tidy(words).split(), []
    for run in runs:
        about = _words_about(run)
        if terms and all(term in run.name.lower() or f" {term}" in about for term in terms):
            fitting.append(run)
    ending = [run for run in fitting if "_" in words and run.name.endswith(words)]
    return ending if len(ending) == 1 else fitting


def _words_about(run: RunRecord) -> str:
    """What a run can be found by, besides its name, each word after a space."""
    augmented = "" if run.augment else "unaugmented"
    return " " + _tidy(f"{run.title} {augmented} {run.epochs_run} epochs {run.changes} {status_of(run)} {run.note}")


def _tidy(words: str) -> str:
    """Small letters without commas; a seed is one word that begins no other: ``seed 1`` is not ``seed 12``."""
    return re.sub(r"seed\s*([0-9]+)", r"seed:\1;", words.lower().replace(",", " "))


def name_some(folders: Sequence[Path]) -> str:
    """The names of some folders; if there are many, the first few."""
    return ", ".join([folder.name for folder in folders[:3]] + ["..."] * (len(folders) > 3))


def command_line(words: str, outputs: Path) -> str:
    """A command for a hint to name; it says where the runs are kept unless that is the usual place."""
    if outputs == Path("outputs"):
        return f"python main.py {words}"
    folder = f'"{outputs}"' if " " in str(outputs) else str(outputs)
    return f"python main.py {words} --outputs {folder}"


# ---------------------------------------------------------------------------------------------------- histories


@dataclass(frozen=True)
class EpochRecord:
    """One line of the history: losses of the trainer's ``Criterion`` in nats per digit, accuracies as fractions.

    The training values are measured during the epoch, while the weights still change and with dropout and augmentation
    on: they may well be worse than the validation values. The last three are measured after the epoch, as validation
    is, where that costs little (see ``Trainer``); ``None`` otherwise, and in runs of earlier versions.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    fit_loss: float | None = None  # on the training digits, not augmented
    fit_right: float | None = None  # fraction of those labelled rightly that are answered with their label
    fit_wrong: float | None = None  # and of those labelled wrongly (``random_labels``), if there are any


def history_csv(history: Sequence[EpochRecord]) -> str:
    """The history as CSV, without columns that its first epoch has no value for."""
    text = io.StringIO()
    names = [name for name, value in asdict(history[0]).items() if value is not None]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, history))
    return text.getvalue()


def read_history(run: RunRecord) -> list[EpochRecord]:
    """The history that a run left; raises ``RunError`` if it is missing, damaged, or not this run's."""
    try:
        text = read_text(run.folder / HISTORY_FILE, 256 * MOST_EPOCHS)  # a line has about a hundred bytes
        history = [
            EpochRecord(epoch=int(row.pop("epoch")), **{name: float(value) for name, value in row.items()})
            for row in csv.DictReader(io.StringIO(text, newline=""))
        ]
        check_history(history)
        has_all = not run.is_evaluated or len(history) == run.epochs_run
        require(has_all, f"it has {len(history):,} epochs, the run {run.epochs_run:,}")
        return history
    except OSError as error:
        why = reason(error)
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        why = str(error)[:100]  # as much of a value as fits on one line
    raise RunError(f"the history of {run.name} can't be read ({why})", "restore it from a copy")


def epochs_done(run: RunRecord) -> int:
    """How many epochs a run has finished; run.json counts them only once it has ended."""
    with suppress(RunError):
        return run.epochs_run if run.is_evaluated else len(read_history(run))
    return run.epochs_run


def check_history(history: Sequence[EpochRecord]) -> None:
    """Raise ``ValueError`` unless the epochs are numbered from 1 on, and all values are within their ranges."""
    require(len(history) > 0, "it holds no epochs")
    for place, record in enumerate(history, start=1):
        epoch, *values = (value for value in astuple(record) if value is not None)
        require(type(epoch) is int and epoch == place, f"in place of epoch {place} it holds another")
        is_finite = all(type(value) is float and math.isfinite(value) for value in values)
        require(is_finite, f"its epoch {place} holds a value that is not a finite number")
        accuracies = record.train_accuracy, record.val_accuracy, record.fit_right or 0, record.fit_wrong or 0
        is_possible = (
            min(record.train_loss, record.val_loss, record.fit_loss or 0) >= -1e-5  # 0, but for rounding
            and min(*accuracies, record.learning_rate) >= 0
            and max(accuracies) <= 1
            and 0 < record.seconds <= 1e8  # about three years
        )
        require(is_possible, f"its epoch {place} holds numbers that no training produces")


# ------------------------------------------------------------------------------------------------------ recipes


@dataclass(frozen=True)
class Recipe:
    """A recipe, and the runs that were made with it."""

    name: str  # tells it from the others that it is compared with
    config: TrainConfig  # of its first run
    runs: Mapping[int, RunRecord]  # by seed

    def network(self, seed: int) -> str:
        """What one of its networks is called."""
        return f"{self.name}, seed {seed}"


def recipes_of(runs: Sequence[RunRecord]) -> list[Recipe]:
    """The recipes of some runs, in the order in which they first appear; equal names get a letter each.

    Raises:
        RequestError: a run's configuration can't be used.
    """
    groups = by_recipe(runs)
    configs = [next(iter(by_seed.values())).config.canonical for by_seed in groups]
    names = told_apart([describe_recipe(config.model, augmented=config.augment is not None) for config in configs])
    return [Recipe(*parts) for parts in zip(names, configs, groups, strict=True)]


def by_recipe(runs: Sequence[RunRecord]) -> list[dict[int, RunRecord]]:
    """The runs of each recipe by their seeds: the same training, but for the seed, on the same split of the data.

    Of several runs with one recipe and one seed a single one counts, a finished one if there is any, and of these the
    newest: they are the same training again, and would make the spread look smaller than it is.
    """
    groups: dict[object, dict[int, RunRecord]] = {}
    for run in runs:
        key: object = run.folder  # of a configuration that can't be used
        with suppress(RequestError):
            key = replace(run.config, seed=0).canonical, str(run.split_fingerprint), run.parent and run.name
        by_seed = groups.setdefault(key, {})
        same = (by_seed.get(run.seed, run), run)
        by_seed[run.seed] = max(same, key=lambda run: (run.status == "finished", run.created, run.name))
    return list(groups.values())


def told_apart(names: Sequence[str]) -> list[str]:
    """The names; those that occur more than once with the letters a, b, c ... after them."""
    return [
        f"{name} {letters(names[:place].count(name))}" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]

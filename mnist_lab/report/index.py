"""The index of all folders, a card each, and a plain report for those that are neither run nor experiment.

The index copies nothing: its pictures are the folders' own, loaded when they come into sight, so it is quick to write
and to open with a thousand folders.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from mnist_lab.errors import RequestError, RunError, StorageError
from mnist_lab.report.document import REPORT_FILE, RESULTS_FILE, Report, Section, day_of, environment
from mnist_lab.report.saved import (
    THUMBNAILS,
    checked_interval,
    file_title,
    inside,
    number,
    picture_title,
    read_object,
    read_picture,
    text,
    whole,
)
from mnist_lab.storage import STAMP_FORMAT, is_folder, open_file, remove_leftovers, storage_errors, write_text
from mnist_lab.terminal.wording import count_epochs, describe_run, format_duration, format_interval, format_percent
from mnist_lab.training.runs import JUDGED, RUN_FILE, read_run
from mnist_lab.training.tables import status_of

INDEX_FILE = "index.html"
SCORE_FILE = "score.json"
DATA_FILES = (RUN_FILE, RESULTS_FILE, SCORE_FILE, "drawing.json")

LEFTOVER_SECONDS = 3600.0
"""After which a half-written file is a killed program's: nothing takes nearly as long to be written."""

CARD_PICTURES = 8
"""Pictures of one folder that the index links to one by one."""


@dataclass(frozen=True)
class Kind:
    """A kind of folder: the word that its name begins with, after the time, and how to call one and several."""

    word: str
    singular: str
    plural: str


RUN_KIND = Kind("run", "Training run", "Runs")
OTHER_KIND = Kind("other", "Folder", "Others")
KINDS = (
    RUN_KIND,
    Kind("experiment", "Experiment", "Experiments"),
    Kind("compare", "Comparison", "Comparisons"),
    Kind("drawing", "Drawing", "Drawings"),
    Kind("score", "Score", "Scores"),
    Kind("xray", "X-ray", "X-rays"),
    Kind("saliency", "Saliency", "Saliency"),
    Kind("data", "Data view", "Data views"),
    OTHER_KIND,
)


@dataclass(frozen=True)
class Entry:
    """What the index shows of one folder.

    Attributes:
        name: the folder's.
        kind: see :data:`KINDS`.
        title: what it is about.
        when: local time; None if nobody knows.
        number: the one number that matters, with its meaning; both may be empty.
        sentences: what else there is to say.
        remark: what is wrong with it; may be empty.
        all_pictures: names of its PNG files.
        thumbnail: one of them, None if there is none.
        data_files: names of its files of numbers.
        has_report: whether it holds a report.
    """

    name: str
    kind: Kind
    title: str
    when: datetime | None
    number: str = ""
    number_meaning: str = ""
    sentences: Sequence[str] = ()
    remark: str = ""
    all_pictures: Sequence[str] = ()
    thumbnail: str | None = None
    data_files: Sequence[str] = ()
    has_report: bool = False

    @property
    def pictures(self) -> Sequence[str]:
        """Those that are linked to one by one."""
        return self.all_pictures[:CARD_PICTURES]

    @property
    def more_pictures(self) -> int:
        """How many there are besides."""
        return len(self.all_pictures) - len(self.pictures)

    def link(self, file: str) -> str:
        """The address of a file in the folder, or of the folder itself, as seen from the index."""
        return f"./{quote(os.fsencode(self.name))}/{quote(os.fsencode(file))}"


def write_index(outputs: Path, now: datetime) -> Path:
    """Write the index of all folders below ``outputs``, atomically; returns the file.

    What killed programs left half-written in any of them is removed.

    Args:
        outputs: made if it is missing.
        now: is named as the time of writing.

    Raises:
        StorageError: the disk refuses, or there is an index that the lab did not write. No folder, whatever it holds,
            makes it fail.
    """
    with storage_errors(outputs):
        outputs.mkdir(parents=True, exist_ok=True)
    path, folders = outputs / INDEX_FILE, folders_of(outputs)
    if is_foreign(path):
        raise StorageError(f"{path} is no page of the lab's", "move it away, or choose another folder with --outputs")
    for folder in (outputs, *folders):
        remove_leftovers(folder, LEFTOVER_SECONDS)
    write_text(path, render_index([entry_of(folder) for folder in folders], now))
    with storage_errors(path):
        os.utime(path)  # putting it in place changed its folder, than which it must not be older
    return path


def is_foreign(page: Path) -> bool:
    """Whether there is an index, but not one of the lab's: that of a website, say."""
    try:
        with open_file(page) as file:
            return b"MNIST Lab</title>" not in file.read(2000)
    except OSError:
        return False


def is_outdated(outputs: Path) -> bool:
    """Whether a folder below ``outputs`` was made, changed or deleted since the index was written.

    An index from the future, before the clock was set back, is outdated, too. Without folders, none is missed.
    """
    folders = folders_of(outputs)
    try:
        written = (outputs / INDEX_FILE).stat().st_mtime
        return written > time.time() or written < max(folder.stat().st_mtime for folder in (outputs, *folders))
    except OSError:
        return bool(folders)


def folders_of(outputs: Path) -> list[Path]:
    """All folders below ``outputs``, the newest by its name first; hidden ones are none of the lab's."""
    try:
        found = [path for path in outputs.iterdir() if not path.name.startswith(".") and is_folder(path)]
    except OSError:
        return []
    return sorted(found, key=lambda folder: (time_of(folder) or datetime.min, folder.name), reverse=True)


def render_index(entries: Sequence[Entry], now: datetime) -> str:
    """The index as one HTML text, the newest folder first; those without a time come last."""
    newest_first = sorted(entries, key=lambda entry: (entry.when or datetime.min, entry.name), reverse=True)
    counts = Counter(entry.kind for entry in entries)
    days = groupby(newest_first, key=lambda entry: day_of(entry.when) if entry.when else "Without a date")
    return (
        environment()
        .get_template("index.html")
        .render(
            entries=entries,
            kinds=[(kind, counts[kind]) for kind in KINDS if counts[kind]],
            days=[(day, list(members)) for day, members in days],
            now=now,
            picture_title=picture_title,
            file_title=file_title,
        )
    )


def entry_of(folder: Path) -> Entry:
    """What there is to say of a folder; one that can't be read says so."""
    try:
        files = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        found = Entry(folder.name, kind_of(folder), folder.name, time_of(folder))
        return replace(found, remark=f"can't be read: {(error.strerror or str(error)).lower()}")
    pictures = [name for name in files if name.lower().endswith(".png")]
    found = Entry(
        name=folder.name,
        kind=kind_of(folder),
        title=label_of(folder),
        when=time_of(folder),
        all_pictures=pictures,
        thumbnail=next((name for name in (*THUMBNAILS, *pictures) if name in pictures), None),
        data_files=[name for name in DATA_FILES if name in files],
        has_report=REPORT_FILE in files,
    )
    if RUN_FILE in files:
        return with_run(found, folder)
    if RESULTS_FILE in files:
        return with_results(found, folder)
    return with_score(found, folder) if SCORE_FILE in files else found


def with_run(found: Entry, folder: Path) -> Entry:
    """A run's entry; its run.json may be damaged."""
    found = replace(found, kind=RUN_KIND)
    try:
        run = read_run(folder)
    except RunError as error:
        return replace(found, title=folder.name, remark=error.found)
    lasted = f"{count_epochs(run.epochs_run)} in {format_duration(run.train_seconds)}"
    judged = run.status in JUDGED
    return replace(
        found,
        title=describe_run(run.model, augmented=run.augmented, seed=run.seed),
        when=found.when or local(run.created),
        number=format_percent(run.test_accuracy) if judged else "",
        number_meaning="of the test digits" if judged else "",
        sentences=[f"95 % interval {format_interval(run.test_interval)}; {lasted}"] if judged else [],
        remark="" if run.status == "finished" else status_of(run),
    )


def with_results(found: Entry, folder: Path) -> Entry:
    """An experiment's or comparison's entry, as far as its results.json is sane."""
    results = read_object(folder / RESULTS_FILE)
    verdicts = results.get("verdicts")
    first = text(verdicts[0], "") if isinstance(verdicts, list) and verdicts else ""
    sizes = ((name, text(inside(results, "facts", name), "")) for name in ("runs", "seeds", "epochs"))
    size = ", ".join(f"{name}: {value}" for name, value in sizes if value)  # tells repetitions apart
    thumbnail = results.get("thumbnail")
    return replace(
        found,
        title=text(results.get("title"), "") or found.title,
        sentences=[sentence for sentence in (text(results.get("question"), ""), first, size) if sentence],
        remark="" if results else f"its {RESULTS_FILE} can't be read",
        thumbnail=thumbnail if thumbnail in found.all_pictures else found.thumbnail,
    )


def with_score(found: Entry, folder: Path) -> Entry:
    """A score's entry, as far as its score.json is sane."""
    score = read_object(folder / SCORE_FILE)
    share, total = number(score.get("accuracy")), whole(score.get("total"))
    if share is None:
        return replace(found, remark=f"its {SCORE_FILE} can't be read")
    interval = checked_interval(score, "interval_95")
    return replace(
        found,
        number=format_percent(share),
        number_meaning="of the drawings" if total is None else f"of {total:,} drawings",
        sentences=[f"95 % interval {format_interval(interval)}; read by {text(inside(score, 'run'))}"],
    )


def kind_of(folder: Path) -> Kind:
    """The kind of a folder, by its name."""
    word = stamped(folder)[1].split("-")[0]
    return next((kind for kind in KINDS if kind.word == word), OTHER_KIND)


def label_of(folder: Path) -> str:
    """What a folder without a title of its own is called: ``X-ray: photo`` for ``..._xray-photo``."""
    kind, label = kind_of(folder), stamped(folder)[1]
    if kind is OTHER_KIND:
        return label
    about = label.removeprefix(kind.word).removeprefix("-")
    return f"{kind.singular}: {about}" if about else kind.singular


def time_of(folder: Path) -> datetime | None:
    """When a folder was made, by its name."""
    return stamped(folder)[0]


def stamped(folder: Path) -> tuple[datetime | None, str]:
    """A folder's name, taken apart into the time and the label; without a time, all of it is the label."""
    stamp, _, label = folder.name.partition("_")
    clock, _, label = label.partition("_")
    try:
        return datetime.strptime(f"{stamp}_{clock}", STAMP_FORMAT), label
    except ValueError:
        return None, folder.name


def local(moment: datetime) -> datetime:
    """A time with its zone as this machine's clock shows it."""
    return moment.astimezone().replace(tzinfo=None)


def folder_report(folder: Path) -> Report:
    """A plain report of any folder that holds pictures.

    Raises:
        RequestError: there is nothing to report on.
    """
    entry = entry_of(folder)
    pictures = [picture for name in entry.all_pictures if (picture := read_picture(folder, name))]
    if not pictures:
        raise RequestError(f"the folder {folder.name} holds no pictures to report on", "name another folder")
    summary = f"{entry.number} {entry.number_meaning}" if entry.number else ""
    return Report(
        title=entry.title,
        kind=entry.kind.singular,
        created=entry.when or datetime.fromtimestamp(folder.stat().st_mtime),
        verdicts=[sentence for sentence in (summary, *entry.sentences, entry.remark) if sentence],
        sections=[Section("Pictures", pictures=pictures)],
    )

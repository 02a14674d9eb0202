"""The index of all folders, a card each, from the ``summary.json`` that whoever fills a folder leaves in it.

The index copies nothing: its pictures are the folders' own, loaded when they come into sight, so it is quick to write
and to open with a thousand folders.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mnist_lab.errors import RequestError, StorageError
from mnist_lab.report.document import (
    REPORT_FILE,
    RESULTS_FILE,
    Caption,
    Report,
    Section,
    day_of,
    environment,
    inside,
    read_object,
    read_picture,
    text,
)
from mnist_lab.storage import (
    STAMP_FORMAT,
    is_folder,
    open_file,
    reason,
    remove_leftovers,
    storage_errors,
    write_json,
    write_text,
)

INDEX_FILE, SUMMARY_FILE, SCORE_FILE = "index.html", "summary.json", "score.json"
DATA_FILES = ("run.json", RESULTS_FILE, SCORE_FILE, "drawing.json")

LEFTOVER_SECONDS = 3600.0
"""After which a half-written file is a killed program's: nothing takes nearly as long to be written."""

KINDS = {
    "run": ("Training run", "Runs"),
    "experiment": ("Experiment", "Experiments"),
    "compare": ("Comparison", "Comparisons"),
    "drawing": ("Drawing", "Drawings"),
    "score": ("Score", "Scores"),
    "xray": ("X-ray", "X-rays"),
    "saliency": ("Saliency", "Saliency"),
    "data": ("Data view", "Data views"),
    "other": ("Folder", "Others"),
}
"""What one folder of each kind is called, and several; by the word that its name begins with, after the time."""

THUMBNAILS = ("history.png", "drawing.png", "xray.png", "saliency.png", "samples.png")
"""The picture that stands for a folder whose summary names none: the first of these, else the first by name."""


@dataclass(frozen=True)
class Summary:
    """What the index shows of a folder; whatever is empty is filled in from the folder's name and files."""

    kind: str = ""  # one of KINDS
    title: str = ""  # what it is about
    headline: str = ""  # the one number that matters
    headline_meaning: str = ""  # what that counts
    sentences: Sequence[str] = ()  # what else there is to say
    thumbnail: str = ""  # the name of the picture that stands for the folder
    remark: str = ""  # what is wrong with it
    created: str = ""  # ISO 8601, for folders whose name does not tell
    pictures: Mapping[str, Caption] = field(default_factory=dict)  # what is said of its pictures, by file name

    def to_json(self) -> dict[str, Any]:
        """What there is to say, as plain values ready for JSON."""
        pictures = {name: caption._asdict() for name, caption in self.pictures.items()}
        return {name: value for name, value in (asdict(self) | {"pictures": pictures}).items() if value}

    @classmethod
    def from_json(cls, content: Any) -> Summary:
        """The inverse of :meth:`to_json`, for a file that is not trusted: what is not text counts as empty."""
        names = ("kind", "title", "headline", "headline_meaning", "thumbnail", "remark", "created")
        sentences, pictures = inside(content, "sentences"), inside(content, "pictures")
        return cls(
            **{name: text(inside(content, name), "") for name in names},
            sentences=[text(one, "") for one in sentences] if isinstance(sentences, list) else [],
            pictures={
                name: Caption(*(text(inside(caption, part), "") for part in Caption._fields))
                for name, caption in (pictures.items() if isinstance(pictures, dict) else ())
            },
        )


Earlier = Callable[[Path], Summary | None]
"""What is known of a folder without a ``summary.json``: it was filled by an earlier version, or is not finished."""


def write_summary(folder: Path, summary: Summary) -> None:
    """Leave what the index shows of a folder in it; kind and title come from its name unless the summary has them.

    Raises:
        StorageError: the disk refuses.
    """
    kind, title = _named(folder)
    found = replace(summary, kind=summary.kind or kind, title=summary.title or title)
    write_json(folder / SUMMARY_FILE, found.to_json())


def read_summary(folder: Path) -> Summary | None:
    """What the index shows of a folder; None if nobody left it, or if it can't be read."""
    content = read_object(folder / SUMMARY_FILE)
    return Summary.from_json(content) if content else None


@dataclass(frozen=True)
class Card:
    """A folder in the index; of its summary, nothing is left open."""

    name: str
    when: datetime | None
    summary: Summary
    pictures: Sequence[str] = ()
    files: Sequence[str] = ()

    @property
    def kind(self) -> str:
        """What such a folder is called."""
        return KINDS[self.summary.kind][0]

    def link(self, file: str) -> str:
        """The address of a file in the folder, or of the folder itself, as seen from the index."""
        return f"./{quote(os.fsencode(self.name))}/{quote(os.fsencode(file))}"


def write_index(outputs: Path, now: datetime, earlier: Earlier) -> Path:
    """Write the index of all folders below ``outputs``, atomically; returns the file.

    What killed programs left half-written in any of them is removed.

    Args:
        outputs: made if it is missing.
        now: is named as the time of writing.
        earlier: tells what is known of folders without a ``summary.json``.

    Raises:
        StorageError: the disk refuses, or there is an index that the lab did not write. No folder, whatever it holds,
            makes it fail.
    """
    with storage_errors(outputs):
        outputs.mkdir(parents=True, exist_ok=True)
    path, folders = outputs / INDEX_FILE, folders_of(outputs)
    if _is_foreign(path):
        raise StorageError(f"{path} is no page of the lab's", "move it away, or choose another folder with --outputs")
    for folder in (outputs, *folders):
        remove_leftovers(folder, LEFTOVER_SECONDS)
    write_text(path, _render([card_of(folder, earlier) for folder in folders], now))
    with storage_errors(path):
        os.utime(path)  # putting it in place changed its folder, than which it must not be older
    return path


def _is_foreign(page: Path) -> bool:
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
    return sorted(found, key=lambda folder: (_stamped(folder)[0] or datetime.min, folder.name), reverse=True)


def _render(cards: Sequence[Card], now: datetime) -> str:
    """The index as one HTML text, the newest folder first; those without a time come last."""
    newest_first = sorted(cards, key=lambda card: (card.when or datetime.min, card.name), reverse=True)
    counts = Counter(card.summary.kind for card in cards)
    days = groupby(newest_first, key=lambda card: day_of(card.when) if card.when else "Without a date")
    return (
        environment()
        .get_template("index.html")
        .render(
            cards=cards,
            kinds=[(kind, plural, counts[kind]) for kind, (_, plural) in KINDS.items() if counts[kind]],
            days=[(day, list(members)) for day, members in days],
            now=now,
        )
    )


def card_of(folder: Path, earlier: Earlier) -> Card:
    """What there is to say of a folder; one that can't be read says so."""
    kind, title = _named(folder)
    try:
        files = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        return Card(
            folder.name, _stamped(folder)[0], Summary(kind, folder.name, remark=f"can't be read: {reason(error)}")
        )
    damage = f"its {SUMMARY_FILE} can't be read" if SUMMARY_FILE in files else ""
    summary = read_summary(folder) or earlier(folder) or Summary(remark=damage)
    kind = summary.kind if summary.kind in KINDS else kind
    pictures = [name for name in files if name.lower().endswith(".png")]
    thumbnails = (name for name in (summary.thumbnail, *THUMBNAILS, *pictures) if name in pictures)
    return Card(
        name=folder.name,
        when=_stamped(folder)[0] or _moment(summary.created),
        summary=replace(summary, kind=kind, title=summary.title or title, thumbnail=next(thumbnails, "")),
        pictures=pictures,
        files=[name for name in (REPORT_FILE, *DATA_FILES) if name in files],
    )


def _stamped(folder: Path) -> tuple[datetime | None, str]:
    """A folder's name, taken apart into the time and the label; without a time, all of it is the label."""
    stamp, _, label = folder.name.partition("_")
    clock, _, label = label.partition("_")
    try:
        return datetime.strptime(f"{stamp}_{clock}", STAMP_FORMAT), label
    except ValueError:
        return None, folder.name


def _named(folder: Path) -> tuple[str, str]:
    """The kind of a folder by its name, and a title: ``X-ray: photo`` for ``..._xray-photo``."""
    label = _stamped(folder)[1]
    kind, _, about = label.partition("-")
    if kind not in KINDS:
        return "other", label
    return kind, f"{KINDS[kind][0]}: {about}" if about else KINDS[kind][0]


def _moment(saved: str) -> datetime | None:
    """A saved time as this machine's clock shows it; None if it is none."""
    try:
        return datetime.fromisoformat(saved).astimezone().replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None


def folder_report(folder: Path, earlier: Earlier) -> Report:
    """A plain report of any folder that holds pictures.

    Raises:
        RequestError: there is nothing to report on.
    """
    card = card_of(folder, earlier)
    found = card.summary
    pictures = [picture for name in card.pictures if (picture := read_picture(folder, name, found.pictures.get(name)))]
    if not pictures:
        raise RequestError(f"the folder {folder.name} holds no pictures to report on", "name another folder")
    headline = f"{found.headline} {found.headline_meaning}".strip()
    return Report(
        title=found.title,
        kind=card.kind,
        created=card.when or datetime.fromtimestamp(folder.stat().st_mtime),
        verdicts=[sentence for sentence in (headline, *found.sentences, found.remark) if sentence],
        sections=[Section("Pictures", pictures=pictures)],
    )

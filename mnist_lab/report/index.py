"""The index of all folders, one card each, from the ``summary.json`` that is written when a folder is filled.

Its pictures are the folders' own, loaded when they come into view: it is quick even with a thousand folders.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from itertools import groupby, product
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from mnist_lab import storage
from mnist_lab.config import ARCHITECTURES
from mnist_lab.errors import RequestError, StorageError
from mnist_lab.report import document
from mnist_lab.report.document import Caption, Report, Section, inside, number, text

_INDEX_FILE, SUMMARY_FILE, SCORE_FILE = "index.html", "summary.json", "score.json"
_DATA_FILES = ("run.json", document.RESULTS_FILE, SCORE_FILE, "drawing.json")

KINDS = {
    "run": ("Training run", "Runs"),
    "experiment": ("Experiment", "Experiments"),
    "compare": ("Comparison", "Comparisons"),
    "curves": ("Curves", "Curves"),
    "drawing": ("Drawing", "Drawings"),
    "score": ("Score", "Scores"),
    "predict": ("Several digits", "Several digits"),
    "xray": ("X-ray", "X-rays"),
    "saliency": ("Saliency", "Saliency"),
    "inside": ("Inside", "Inside"),
    "data": ("Data view", "Data views"),
    "other": ("Folder", "Others"),
}
"""What one folder of each kind is called, and several; by the word that follows the time in its name."""

# The picture that stands for a folder whose summary names none: the first of these, else the first by name.
_THUMBNAILS = ("history.png", "drawing.png", "xray.png", "saliency.png", "samples.png")


@dataclass(frozen=True)
class Summary:
    """What the index shows of a folder; whatever is empty is filled in from the folder's name and files."""

    kind: str = ""  # one of KINDS
    title: str = ""  # what it is about
    headline: str = ""  # the one number that matters
    headline_meaning: str = ""  # what that counts
    sentences: Sequence[str] = ()  # what else there is to say
    runs: Sequence[str] = ()  # the names of the folders of the runs that it rests on
    traits: Sequence[str] = ()  # of a run: its network, and whether it was augmented; from _TRAITS
    validation: float | None = None  # accuracy of a run, a fraction: the best comes first, and the test decides nothing
    thumbnail: str = ""  # the name of the picture that stands for the folder
    remark: str = ""  # what is wrong with it
    created: str = ""  # ISO 8601, for folders whose name does not say
    pictures: Mapping[str, Caption] = field(default_factory=dict)  # what is said about its pictures, by file name


_AUGMENTATION = ("augmented", "unaugmented")
_TRAITS = {*ARCHITECTURES, *_AUGMENTATION}

Earlier = Callable[[Path], Summary | None]  # for folders of earlier versions, and unfinished ones


def write_summary(folder: Path, summary: Summary) -> None:
    """Write what the index shows of a folder into it; its name tells kind and title unless the summary does."""
    _, kind, title = _named(folder)
    found = replace(summary, kind=summary.kind or kind, title=summary.title or title)
    storage.write_json(folder / SUMMARY_FILE, {name: value for name, value in asdict(found).items() if value})


def read_summary(folder: Path) -> Summary | None:
    """What the index shows of a folder; None if it is missing or can't be read. What is not text counts as empty."""
    content = document.read_object(folder / SUMMARY_FILE)
    if not content:
        return None
    texts = {part.name: text(content.get(part.name), "") for part in fields(Summary) if part.default == ""}
    pictures = content.get("pictures")
    lists = (content.get(name) for name in ("sentences", "runs", "traits"))
    sentences, runs, traits = ([text(one, "") for one in found] if isinstance(found, list) else [] for found in lists)
    captions = {
        name: Caption(*(text(inside(caption, part), "") for part in ("title", "alt", "text")))
        for name, caption in (pictures.items() if isinstance(pictures, dict) else ())
    }
    validation = number(content.get("validation"))
    return Summary(
        **texts, sentences=sentences, runs=tuple(runs), traits=tuple(traits), validation=validation, pictures=captions
    )


@dataclass(frozen=True)
class Card:
    """A folder in the index, with a complete summary."""

    name: str
    when: datetime | None
    summary: Summary
    note: str = ""  # the user's own words
    pictures: Sequence[str] = ()
    files: Sequence[str] = ()

    @property
    def page(self) -> str:
        """The address of what its title links to."""
        return self.link(document.REPORT_FILE if document.REPORT_FILE in self.files else "")

    def link(self, file: str) -> str:
        """The address of a file in the folder, or of the folder itself, as seen from the index."""
        return f"./{quote(os.fsencode(self.name))}/{quote(os.fsencode(file))}"


def write_index(outputs: Path, now: datetime, earlier: Earlier) -> Path:
    """Write the index of all folders below ``outputs``, atomically, at the time ``now``; returns the file.

    Files that killed programs left half-written are removed. No folder, whatever it holds, makes it fail.

    Raises:
        StorageError: it can't be written, or there is an index that the lab did not write.
    """
    with storage.storage_errors(outputs):
        outputs.mkdir(parents=True, exist_ok=True)
    path, folders = outputs / _INDEX_FILE, folders_of(outputs)
    with suppress(OSError), storage.open_file(path) as page:
        if b"MNIST Lab</title>" not in page.read(2000):  # that of a website, say
            raise StorageError(f"{path} was not written by the lab", "move it, or choose another folder with --outputs")
    for folder in (outputs, *folders):
        storage.remove_leftovers(folder, older_than=3600)  # seconds; nothing takes nearly as long to write
    cards = [card_of(folder, earlier) for folder in folders]
    cards.sort(key=lambda card: (card.when or datetime.min, card.name), reverse=True)
    html = document.TEMPLATES.get_template("index.html").render(**_arranged(cards), kinds=KINDS, now=now)
    storage.write_text(path, html)
    with storage.storage_errors(path):
        os.utime(path)  # putting it in place changed its folder, and it must not be older than that
    return path


def _arranged(cards: Sequence[Card]) -> dict[str, Any]:
    """What the template shows of cards, the newest first: by day, with their place by accuracy, folded and filtered."""
    by_day = groupby(cards, key=lambda card: document.day_of(card.when) if card.when else "Without a date")
    by_name = {card.name: card for card in cards}
    rests_on = {card.name: [by_name[run] for run in card.summary.runs if run in by_name] for card in cards}
    about = {card.name: (card, *rests_on[card.name]) for card in cards}
    best = {name: max(one.summary.validation or 0 for one in found) for name, found in about.items()}
    traits = {name: {trait for one in found for trait in one.summary.traits} & _TRAITS for name, found in about.items()}
    filters = _filters(Counter(card.summary.kind for card in cards), set().union(*traits.values()))
    return {
        "days": [(day, list(group)) for day, group in by_day],
        "rests_on": rests_on,
        "folded": {one.name for card in cards if card.summary.kind == "experiment" for one in rests_on[card.name]},
        "traits": traits,
        "places": {name: place for place, name in enumerate(sorted(best, key=lambda name: -best[name]))},
        "filters": filters,
        "choices": [dict(zip(filters, options, strict=True)) for options in product(*filters.values())],
    }


class Option(NamedTuple):
    """One choice of a filter: of the cards, it leaves those that fit its part of a CSS selector."""

    name: str
    label: str
    selector: str
    size: int = 0  # how many there are, where that is shown


def _filters(counts: Counter[str], known: set[str]) -> dict[str, list[Option]]:
    """What cards can be filtered by; the runs of an experiment have no card beside it, unless runs are asked for."""
    kinds = [Option(kind, names[1], f".{kind}", counts[kind]) for kind, names in KINDS.items() if counts[kind]]
    filters = {"kind": [Option("all", "Everything", ":not(.folded)", counts.total()), *kinds]}
    for name, all_of_them, traits in (
        ("network", "Any network", ARCHITECTURES),
        ("augmentation", "Augmented or not", _AUGMENTATION),
    ):
        options = [Option(trait, trait, f".n{trait}") for trait in traits if trait in known]
        if len(options) > 1:
            filters[name] = [Option("any", all_of_them, ""), *options]
    return filters


def is_outdated(outputs: Path) -> bool:
    """Whether a folder below ``outputs`` was made, changed or deleted since the index was written."""
    folders = folders_of(outputs)
    try:
        written = (outputs / _INDEX_FILE).stat().st_mtime  # in the future, if the clock was set back since
        return written > time.time() or written < max(folder.stat().st_mtime for folder in (outputs, *folders))
    except OSError:
        return bool(folders)  # without any folder, no index is missed


def folders_of(outputs: Path) -> list[Path]:
    """All folders below ``outputs``, the newest by its name first; hidden ones are not the lab's."""
    try:
        found = [path for path in outputs.iterdir() if not path.name.startswith(".") and storage.is_folder(path)]
    except OSError:
        return []
    return sorted(found, key=lambda folder: (_named(folder)[0] or datetime.min, folder.name), reverse=True)


def card_of(folder: Path, earlier: Earlier) -> Card:
    """What there is to say about a folder; one that can't be read says so."""
    when, kind, title = _named(folder)
    try:
        files = sorted(path.name for path in folder.iterdir())
        damage = f"its {SUMMARY_FILE} can't be read" if SUMMARY_FILE in files else ""
    except OSError as error:
        files, damage = [], f"can't be read: {storage.reason(error)}"
    found = read_summary(folder) or earlier(folder) or Summary(remark=damage)
    if found.kind in ("run", "experiment", "compare") and not (found.traits or found.runs):  # of an earlier version
        known = earlier(folder) or found
        found = replace(known, pictures=found.pictures)
    pictures = [name for name in files if name.lower().endswith(document.PICTURE_FILES)]
    thumbnail = next((name for name in (found.thumbnail, *_THUMBNAILS, *pictures) if name in pictures), "")
    kind = found.kind if found.kind in KINDS else kind
    summary = replace(found, kind=kind, title=found.title or title, thumbnail=thumbnail)
    documents = [name for name in (document.REPORT_FILE, *_DATA_FILES) if name in files]
    note = document.read_note(folder) if document.NOTE_FILE in files else ""
    return Card(folder.name, when or _moment(found.created), summary, note, pictures, documents)


def _named(folder: Path) -> tuple[datetime | None, str, str]:
    """When a folder was made, its kind, and a title, all from its name: ``X-ray: photo`` for ``..._xray-photo``."""
    stamp, label = folder.name[:19], folder.name[20:]
    try:
        when = datetime.strptime(stamp, storage.STAMP_FORMAT)
    except ValueError:
        when, label = None, folder.name
    kind, _, about = label.partition("-")
    if kind not in KINDS:
        return when, "other", label
    return when, kind, f"{KINDS[kind][0]}: {about}" if about else KINDS[kind][0]


def _moment(saved: str) -> datetime | None:
    """A saved time as this machine's clock shows it; None if it is not a time."""
    try:
        return datetime.fromisoformat(saved).astimezone().replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None


def folder_report(folder: Path, earlier: Earlier) -> Report:
    """A plain report of any folder; raises ``RequestError`` where there is no picture to report on."""
    card = card_of(folder, earlier)
    found = card.summary
    read = (document.read_picture(folder, name, found.pictures.get(name)) for name in card.pictures)
    pictures = [picture for picture in read if picture]
    if not pictures:
        raise RequestError(f"the folder {folder.name} holds no pictures to report on", "name another folder")
    headline = f"{found.headline} {found.headline_meaning}".strip()
    return Report(
        title=found.title,
        kind=KINDS[found.kind][0],
        created=card.when or datetime.fromtimestamp(folder.stat().st_mtime),
        verdicts=[sentence for sentence in (headline, *found.sentences, found.remark) if sentence],
        sections=[Section("Pictures", pictures=pictures)],
    )

"""Report pages: plain values in, one HTML file out, pictures inside. A page needs no network and no script.

File names and values in JSON files are not trusted: whatever they hold comes out as text, and whatever is missing or of
the wrong type counts as nothing.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from rich.console import JustifyMethod, OverflowMethod
from rich.table import Table as ScreenTable
from rich.text import Text

from mnist_lab import __version__
from mnist_lab.storage import read_bytes, read_text, write_text
from mnist_lab.terminal.wording import printable

REPORT_FILE, RESULTS_FILE = "report.html", "results.json"  # the page, and the numbers beside it
NOTE_FILE = "note.txt"  # the user's own sentence about a run
PICTURE_FILES = (".png", ".webp")  # how their names end; WebP is for animations
_MOST = 50_000_000  # bytes, and pixels, of a picture; the lab draws none as large, and no browser would open the page


@dataclass(frozen=True)
class Caption:
    """What is said about a picture."""

    title: str
    alt: str  # what there is to see, for those who can't see it
    text: str = ""  # how to read it


@dataclass(frozen=True)
class Picture:
    """A figure, inside the page; ``ValueError`` if it is not a whole PNG or WebP file, or has far too many pixels."""

    title: str
    content: bytes  # of the file
    alt: str
    caption: str = ""
    name: str = ""  # of a file beside the page that holds it too, without its suffix
    numbers: Any = None  # what it was drawn from, ready for JSON, unless that is kept elsewhere

    def __post_init__(self) -> None:
        _ = self.size

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels, 96 per inch; a picture without a resolution is taken as it is."""
        try:
            with warnings.catch_warnings(action="error"), self._opened() as image:
                frames = getattr(image, "n_frames", 1)
                if image.width * image.height * frames > _MOST:  # Pillow's own bound is not as tight
                    raise ValueError(f"{frames} x {image.width} x {image.height} pixels")
                scale = 96 / (image.info.get("dpi", (96,))[0] or 96)
                image.seek(frames - 1)
                (image.load if image.format == "WEBP" else image.verify)()  # all frames of an animation
        except Exception as error:  # a damaged file can make a decoder raise anything
            raise ValueError(f"not a whole PNG or WebP picture that fits a page ({error})") from None
        return max(1, round(image.width * scale)), max(1, round(image.height * scale))

    def _opened(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content), formats=["PNG", "WEBP"])

    @property
    def suffix(self) -> str:
        """How the name of its file ends."""
        return ".webp" if self.content.startswith(b"RIFF") else ".png"

    @property
    def uri(self) -> str:
        return f"data:image/{self.suffix[1:]};base64,{base64.b64encode(self.content).decode('ascii')}"

    @property
    def still(self) -> str:
        """The last frame of an animation, for paper, and for readers who want no motion; empty for other pictures."""
        if self.suffix == ".png":
            return ""
        with self._opened() as image, io.BytesIO() as png:
            image.seek(getattr(image, "n_frames", 1) - 1)
            image.save(png, "PNG")
            return Picture(self.title, png.getvalue(), self.alt).uri


def read_picture(folder: Path, name: str, caption: Caption | None = None) -> Picture | None:
    """A picture of a folder; None if it is missing, damaged or far too large."""
    said = caption or Caption(_file_title(name).capitalize(), f"A picture: {_file_title(name)}.")
    try:
        return Picture(said.title, read_bytes(folder / name, _MOST), said.alt, said.text)
    except (OSError, ValueError):
        return None


def _file_title(name: str) -> str:
    """A file's name as words: ``confusion_counts.png`` is ``confusion counts``."""
    return Path(name).stem.replace("_", " ") or name


@dataclass(frozen=True)
class Table:
    """A table of text, for the page and for the terminal; the first cell of a row heads it."""

    title: str  # may be empty on the terminal
    headings: Sequence[str]
    rows: Sequence[Sequence[str | Text]]  # a cell may carry a terminal style
    numeric: Sequence[int] = ()  # indices of the columns that hold numbers and are right-aligned

    def on_screen(self, gap: int = 2, fold: Sequence[int] = ()) -> ScreenTable:
        """The table for the terminal: no lines, and ``gap`` spaces between columns.

        Where it is too wide, the columns in ``fold`` go on in another line; without any, all are cut off a little.
        """
        title = Text(printable(self.title))
        table = ScreenTable(title=title, title_justify="left", box=None, padding=(0, gap, 0, 0))
        for place, heading in enumerate(self.headings):
            justify: JustifyMethod = "right" if place in self.numeric else "left"
            overflow: OverflowMethod = "fold" if place in fold else "ellipsis"
            table.add_column(Text(printable(heading)), justify=justify, no_wrap=place not in fold, overflow=overflow)
        for row in self.rows:
            table.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in row))
        return table


@dataclass(frozen=True)
class Section:
    """A part of a report, under a heading of its own: text, then pictures, then tables."""

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


class Prediction(NamedTuple):
    """What the learner wrote down, how it turned out, and whether the answer may already have been known."""

    words: str
    outcome: str
    is_late: bool = False


@dataclass(frozen=True)
class Report:
    """Everything that a page says."""

    title: str
    kind: str  # what sort of thing it reports on, "Training run" for example
    created: datetime  # when that was made, local time
    question: str = ""  # what was to be found out
    note: str = ""  # the user's own words about it
    verdicts: Sequence[str] = ()  # what was found, the most important sentence first
    sections: Sequence[Section] = ()  # the evidence for it
    repeat: str = ""  # the command line that does it again
    facts: Mapping[str, str] = field(default_factory=dict)  # a few numbers worth seeing at once, by name
    prediction: Prediction | None = None


def _legible(text: str) -> str:
    if not text.isprintable():  # which few are not
        shown = (one if one.isprintable() or one == "\n" else " " if one.isspace() else "\ufffd" for one in text)
        text = "".join(shown)
    # "99 %" and "p = 0.01" stay on one line
    return re.sub(r" (?=%)|(?<=\bp) (?=[<=] )|(?<=\bp [<=]) (?=\d)", "\N{NO-BREAK SPACE}", text)


def _prose(text: str) -> str:  # for reading, not for copying
    return re.sub(r"\b(\d)-layer\b", "\\1\N{NON-BREAKING HYPHEN}layer", text)


def day_of(moment: datetime) -> str:
    """A day as people write it: ``22 November 2026``."""
    return f"{moment.day} {moment:%B %Y}"


# The templates of all pages; text is made harmless on its way out.
TEMPLATES = Environment(
    loader=PackageLoader("mnist_lab.report"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=lambda value: _legible(value) if type(value) is str else value,  # Markup has been through here
    trim_blocks=True,
)
TEMPLATES.filters.update(prose=_prose, day=day_of, file_title=_file_title)


def render(report: Report) -> str:
    """The whole page as one HTML text; its pictures are inside."""
    return TEMPLATES.get_template("report.html").render(report=report, version=__version__)


def write_report(folder: Path, report: Report) -> Path:
    """Write a report into its folder, atomically; returns the file. ``StorageError`` if it can't be written."""
    path = folder / REPORT_FILE
    write_text(path, render(report))
    return path


def read_note(folder: Path) -> str:
    """The user's own sentence about a folder; empty if there is none that can be read."""
    try:
        return " ".join(read_text(folder / NOTE_FILE, 4096).split())
    except (OSError, ValueError):
        return ""


def read_object(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty if there is none that can be read."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def inside(content: Any, *names: str) -> Any:
    """A value inside nested JSON objects; None if there is none."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def number(value: Any) -> float | None:
    """A finite number; None if it is something else."""
    return float(value) if type(value) in (int, float) and abs(value) <= sys.float_info.max else None


def text(value: Any, otherwise: str = "–") -> str:
    """Text or a number as text; ``otherwise`` if it is something else."""
    return str(value) if isinstance(value, str) or number(value) is not None else otherwise


def fraction(value: Any) -> float:
    """A number from 0 to 1; raises ``ValueError`` if it is something else."""
    if number(value) is None or not 0 <= value <= 1:
        raise ValueError(f"{shortened(value)} is not a fraction")
    return float(value)


def interval(value: Any) -> tuple[float, float]:
    """Two fractions, the lower one first; raises ``TypeError`` or ``ValueError`` if it is something else."""
    low, high = map(fraction, value)
    if low > high:
        raise ValueError(f"{shortened(value)} is not an interval")
    return low, high

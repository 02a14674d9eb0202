"""Pages to read: plain values in, one HTML file out, pictures inside.

A page needs no network and no script; its policy even forbids both. Names and labels are taken for what they may be, a
stranger's: whatever they hold, they come out as text.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.table import Table as ScreenTable
from rich.text import Text

from mnist_lab import __version__
from mnist_lab.storage import write_text
from mnist_lab.terminal.wording import printable

REPORT_FILE = "report.html"
RESULTS_FILE = "results.json"
"""The page, and the numbers beside it."""


@dataclass(frozen=True)
class Picture:
    """A figure, inside the page.

    Attributes:
        title: a few words.
        png: the file's content.
        alt: what there is to see, for those who can't see it.
        caption: how to read it; may be empty.
        name: of a file beside the page that holds it too, without its ending; empty for none.
        numbers: what it was drawn from, ready for JSON; None if that is kept elsewhere.

    Raises:
        ValueError: the content is no whole PNG file.
    """

    title: str
    png: bytes
    alt: str
    caption: str = ""
    name: str = ""
    numbers: Any = None

    def __post_init__(self) -> None:
        png_size(self.png)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as its maker meant them, in CSS pixels (96 per inch)."""
        return png_size(self.png)

    @property
    def uri(self) -> str:
        """The content as an address that holds it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Table:
    """A table of text, for the page and for the terminal.

    Attributes:
        title: its caption; may be empty on the terminal.
        headings: one per column.
        rows: as many cells each; the first one heads its row. A cell may carry a style of the terminal's.
        numeric: places, from 0, of the columns that hold numbers and are aligned right.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str | Text]]
    numeric: Sequence[int] = ()

    def on_screen(self, gap: int = 2) -> ScreenTable:
        """The table for the terminal: no lines, and ``gap`` blanks between columns."""
        table = ScreenTable(
            title=Text(printable(self.title)) if self.title else None,
            title_justify="left",
            box=None,
            padding=(0, gap, 0, 0),
        )
        for place, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if place in self.numeric else "left", no_wrap=True)
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


@dataclass(frozen=True)
class Prediction:
    """What the learner wrote down, and how it came out.

    Attributes:
        words: as they were written.
        outcome: what they were held against.
        is_late: whether all trainings were there already, so that the answer may have been known.
    """

    words: str
    outcome: str
    is_late: bool = False


@dataclass(frozen=True)
class Report:
    """Everything that a page says.

    Attributes:
        title: its main heading.
        kind: what sort of thing it reports on, "Training run" for example.
        created: when that was made, local time.
        question: what was to be found out; may be empty.
        verdicts: what was found, the most important sentence first.
        sections: the grounds for it.
        repeat: the command line that does it again; may be empty.
        facts: a few numbers worth seeing at once, by name.
        prediction: None if nobody made one.
    """

    title: str
    kind: str
    created: datetime
    question: str = ""
    verdicts: Sequence[str] = ()
    sections: Sequence[Section] = ()
    repeat: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    prediction: Prediction | None = None


def render(report: Report) -> str:
    """The whole page as one HTML text; its pictures are inside."""
    return environment().get_template("report.html").render(report=report, version=__version__)


def write_report(folder: Path, report: Report) -> Path:
    """Write a report into its folder, atomically; returns the file.

    Raises:
        StorageError: the disk refuses.
    """
    path = folder / REPORT_FILE
    write_text(path, render(report))
    return path


@cache
def environment() -> Environment:
    """The templates, with all text made harmless on its way out."""
    made = Environment(
        loader=PackageLoader("mnist_lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: legible(value) if type(value) is str else value,  # Markup has been through here
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["spoken"] = spoken
    made.filters["prose"] = prose
    return made


def legible(text: str) -> str:
    """Text without control characters, marks that reverse its direction, and halves of characters.

    A per cent sign stays on the line of its number.
    """
    return "".join(map(visible, text)).replace(" %", "\N{NO-BREAK SPACE}%")


def prose(text: str) -> str:
    """Text for reading, not for copying: the names of the networks are not broken at their hyphens."""
    return re.sub(r"\b(\d)-layer\b", "\\1\N{NON-BREAKING HYPHEN}layer", text)


def visible(character: str) -> str:
    """The character, or what stands for one that can't be shown."""
    if character.isprintable() or character == "\n":
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def spoken(moment: datetime) -> str:
    """A time as people write it: ``22 November 2026, 14:30``."""
    return f"{day_of(moment)}, {moment:%H:%M}"


def day_of(moment: datetime) -> str:
    """A day as people write it: ``22 November 2026``."""
    return f"{moment.day} {moment:%B %Y}"


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG picture in CSS pixels, 96 per inch; one that tells no resolution is taken as it is.

    https://www.w3.org/TR/png-3/: IHDR begins with width and height, pHYs holds the pixels per metre.

    Raises:
        ValueError: it is no PNG file, or not a whole one.
    """
    parts = dict(reversed(list(png_chunks(png))))  # of chunks of one name, the first counts
    if not {b"IHDR", b"IDAT", b"IEND"} <= parts.keys() or len(parts[b"IHDR"]) != 13:
        raise ValueError("a part of the picture is missing")
    width, height = (int.from_bytes(parts[b"IHDR"][start : start + 4]) for start in (0, 4))
    resolution = parts.get(b"pHYs", b"")
    per_metre = int.from_bytes(resolution[:4]) if len(resolution) == 9 and resolution[8] == 1 else 0
    scale = 96 / (per_metre * 0.0254) if per_metre else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk of a PNG file, their checksums verified.

    Raises:
        ValueError: it is no PNG file, cut off, or altered.
    """
    if not png.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("no PNG picture")
    place = 8
    while place < len(png):
        length = int.from_bytes(png[place : place + 4])
        end = place + 8 + length
        if zlib.crc32(png[place + 4 : end]) != int.from_bytes(png[end : end + 4]) or end + 4 > len(png):
            raise ValueError("the picture is damaged")
        yield png[place + 4 : place + 8], png[place + 8 : end]
        place = end + 4

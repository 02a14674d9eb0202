"""What networks make of a digit in a file: each one's probabilities, their vote, and whether it is one digit at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table as Grid
from rich.text import Text

from mnist_lab.drawing.images import Trouble, read_page
from mnist_lab.drawing.preprocess import Picture, count_side_by_side, to_mnist
from mnist_lab.drawing.recognise import show_skipped
from mnist_lab.drawing.strokes import Drawing, read_drawings
from mnist_lab.explain.commands import Reader, holds_drawings
from mnist_lab.explain.neighbours import Neighbours
from mnist_lab.report.document import Table
from mnist_lab.terminal.console import Terminal
from mnist_lab.terminal.wording import format_probability

DIGIT, BLANK, NO_DIGIT, SEVERAL = "digit", "blank", "probably not a digit", "several digits"  # what a file shows


class Source(NamedTuple):
    """One digit of a file."""

    file: Path
    number: int | None  # of a drawing in a file of several, from 1
    ink: Drawing | Picture
    trouble: Trouble | None = None  # why a picture has no ink

    @property
    def name(self) -> str:
        return self.file.name if self.number is None else f"{self.file.name}, drawing {self.number}"


def read_sources(terminal: Terminal, path: Path) -> list[Source]:
    """The digit in a picture, or all in a file of drawings; a LabError says that it can't be read."""
    if not holds_drawings(path):
        page = read_page(path)
        return [Source(path, None, page.ink, page.trouble)]
    drawings, damaged = read_drawings(path)
    show_skipped(terminal, damaged)
    is_one = len(drawings) == 1
    return [Source(path, None if is_one else number, drawing) for number, drawing in enumerate(drawings, start=1)]


def all_reject(readers: Sequence[Reader], each: Sequence[NDArray[np.float64]]) -> bool:
    """Whether every network, given its probabilities, rejects a picture as probably not a digit."""
    return all(reader.rejects(probabilities) for reader, probabilities in zip(readers, each, strict=True))


def vote(each: Sequence[NDArray[np.float64]] | Sequence[Sequence[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """The mean of several networks' probabilities, as of deep ensembles (Lakshminarayanan et al. 2017, 1612.01474)."""
    mean: NDArray[np.float64] = np.mean(each, axis=0)
    return mean


@dataclass(frozen=True)
class Prediction:
    """What some networks make of one digit."""

    source: Source
    found: str  # DIGIT, BLANK, NO_DIGIT, SEVERAL or the name of a Trouble
    picture: Picture | None = None  # (28, 28), as they see it; None: it is blank
    each: Sequence[NDArray[np.float64]] = ()  # (10,) 0..1, of each network; none if it is blank

    @property
    def vote(self) -> NDArray[np.float64]:
        """What they say together, (10,) 0..1, unless it is blank."""
        return vote(self.each)

    @property
    def remark(self) -> str:
        trouble = self.source.trouble
        if trouble is not None and trouble.name != BLANK:
            return f"{trouble.name}: {trouble.next_step}"
        return {DIGIT: "", SEVERAL: f"{SEVERAL}? they are read as one"}.get(self.found, self.found)

    def to_dict(self, readers: Sequence[Reader]) -> dict[str, Any]:
        """Plain values, ready for JSON; ``digits`` has room for files that show several."""
        digits = [int(self.vote.argmax())] if self.each else []
        by_run = [int(probabilities.argmax()) for probabilities in self.each]
        return {
            "file": str(self.source.file),
            "drawing": self.source.number,
            "digit": digits[0] if digits else None,
            "digits": digits,
            "probabilities": self.vote.tolist() if self.each else None,
            "doubtful": self.found != DIGIT,
            "found": self.found,
            "runs": {reader.run.name: by_run[place] if by_run else None for place, reader in enumerate(readers)},
            "neighbours": None if self.picture is None else _neighbours_in_json(readers, self.picture),
        }


def _neighbours_in_json(readers: Sequence[Reader], picture: Picture) -> dict[str, Any]:
    """The training digits nearest to a picture: in pixel space, and in each network's hidden layer."""
    hidden = {reader.run.name: reader.nearest_hidden(picture).to_dict() for reader in readers}
    return {"pixels": readers[0].neighbours(picture).pixels.to_dict(), "hidden": hidden}


def predict_all(readers: Sequence[Reader], sources: Sequence[Source]) -> list[Prediction]:
    """Ask every network about every digit."""
    pictures = [to_mnist(source.ink) for source in sources]
    inked = [picture for picture in pictures if picture is not None]
    by_picture = zip(*(reader.predict(inked) for reader in readers), strict=True)  # each network's probabilities
    predictions = []
    for source, picture in zip(sources, pictures, strict=True):
        found, each = BLANK if source.trouble is None else source.trouble.name, tuple[NDArray[np.float64], ...]()
        if picture is not None:
            each = next(by_picture)
            several = count_side_by_side(source.ink) > 1
            found = SEVERAL if several else NO_DIGIT if all_reject(readers, each) else DIGIT
        predictions.append(Prediction(source, found, picture, each))
    return predictions


def names_of(readers: Sequence[Reader]) -> list[str]:
    """What tells the networks apart; those that differ only in their recipe or length are called by their runs."""
    names = [reader.name for reader in readers]
    return names if len(set(names)) == len(names) else [reader.run.name for reader in readers]


def table_of(readers: Sequence[Reader], predictions: Sequence[Prediction]) -> Grid:
    """The two most probable digits of each picture; of several networks, those of their vote and then of each."""
    rows: list[list[str | Text]] = []
    for one in predictions:
        remark = Text(one.remark, "warning" if one.each else "")
        rows.append([one.source.name, *(_likeliest(one.vote) if one.each else ("–", "", "", "")), remark])
        if len(readers) > 1:
            networks = zip(names_of(readers), one.each, strict=False)  # there are no probabilities of a blank
            rows += [[f"  {name}", *_likeliest(probabilities), ""] for name, probabilities in networks]
    title = f"Read by {readers[0].name if len(readers) == 1 else f'{len(readers)} networks, together and each'}"
    headings = ("picture", "digit", "probability", "or", "probability", "")
    return Table(title, headings, rows, range(1, 5)).on_screen(fold=[0])  # long names, so that no digit is cut off


def _likeliest(probabilities: NDArray[np.float64]) -> tuple[str | Text, ...]:
    second, first = probabilities.argsort()[-2:]
    likely, less_likely = (format_probability(probabilities[digit]) for digit in (first, second))
    return Text(str(first), "best"), likely, str(second), less_likely


def labels_of(found: Neighbours, readers: Sequence[Reader], digit: int) -> Text:
    """The labels of a picture's neighbours, found by the first network; those that are not the digit stand out."""
    heading = "nearest training digits, labelled" if len(readers) == 1 else f"nearest, by {names_of(readers)[0]}"
    lines = [Text(heading, "hint")]
    for name, nearest in zip(("hidden layer", "pixel space "), found, strict=True):
        labels = [(f" {label}", "" if label == digit else "warning") for label in nearest.labels.tolist()]
        lines.append(Text.assemble((name, "hint"), " ", *labels))
    return Text("\n").join(lines)

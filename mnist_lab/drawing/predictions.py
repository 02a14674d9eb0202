"""What networks make of the digits in a file: their probabilities, their vote, and whether it is a digit at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table as Grid
from rich.text import Text

from mnist_lab.drawing.digits import find_digits
from mnist_lab.drawing.images import Trouble, read_page
from mnist_lab.drawing.places import Place, asking, number_of
from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.recognise import show_skipped
from mnist_lab.drawing.strokes import Drawing, read_drawings
from mnist_lab.explain.commands import Reader, holds_drawings
from mnist_lab.explain.neighbours import Neighbours
from mnist_lab.report.document import Table
from mnist_lab.terminal.console import Terminal
from mnist_lab.terminal.wording import format_probability

DIGIT, BLANK, NO_DIGIT, SEVERAL = "digit", "blank", "probably not a digit", "several digits"  # what a file shows


class Source(NamedTuple):
    """A picture, or one drawing of a file."""

    file: Path
    number: int | None  # of a drawing in a file of several, from 1
    ink: Drawing | Picture
    trouble: Trouble | None = None  # why a picture has no ink
    scale: float = 1.0  # pixels of the ink for each of the picture
    corner: tuple[int, int] = (0, 0)  # where the picture's upper left is in the ink, x and y
    is_cut: bool = False  # ink that the picture's edge cuts off was left out

    @property
    def name(self) -> str:
        return self.file.name if self.number is None else f"{self.file.name}, drawing {self.number}"

    def box_of(self, place: Place) -> list[float]:
        """Left, top, right and bottom of a digit, in the picture's own pixels."""
        return [(edge - start) / self.scale for edge, start in zip(place.box, 2 * self.corner, strict=True)]


def read_sources(terminal: Terminal, path: Path) -> list[Source]:
    """A picture, or all drawings of a file; a LabError says that it can't be read."""
    if not holds_drawings(path):
        page = read_page(path)
        return [Source(path, None, page.ink, page.trouble, page.scale, page.corner, page.is_cut)]
    drawings, damaged = read_drawings(path)
    show_skipped(terminal, damaged)
    is_one = len(drawings) == 1
    return [Source(path, None if is_one else number, drawing) for number, drawing in enumerate(drawings, start=1)]


def all_reject(readers: Sequence[Reader], picture: Picture, each: Sequence[NDArray[np.float64]]) -> bool:
    """Whether every network, given its probabilities, rejects a picture as probably not a digit."""
    return all(reader.rejects(picture, probabilities) for reader, probabilities in zip(readers, each, strict=True))


@dataclass(frozen=True)
class Prediction:
    """What some networks make of a picture or a drawing."""

    source: Source
    places: Sequence[Place]  # its digits in reading order; none if it is blank
    doubtful: Sequence[bool]  # which of them are probably no digits

    @property
    def found(self) -> str:
        """DIGIT, BLANK, NO_DIGIT, SEVERAL or the name of a Trouble."""
        if self.source.trouble is not None:
            return self.source.trouble.name
        if not self.places:
            return BLANK
        if sum(self.doubtful) > len(self.places) / 2:  # what noise or a scribble falls into is no number
            return NO_DIGIT
        return SEVERAL if len(self.places) > 1 else DIGIT

    @property
    def number(self) -> str:
        """All digits, with spaces as in ``number_of``; "" if several were found that are probably none."""
        return number_of(self.places) if self.found == SEVERAL or len(self.places) == 1 else ""

    @property
    def remark(self) -> str:
        trouble = self.source.trouble
        if trouble is not None and trouble.name != BLANK:
            return f"{trouble.name}: {trouble.next_step}"
        if self.found != SEVERAL:
            return "" if self.found == DIGIT else self.found
        unsure = sum(self.doubtful)
        return f"{len(self.places)} digits" + (f", {unsure} of them doubtful" if unsure else "")

    def to_dict(self, readers: Sequence[Reader], folder: Path | None = None) -> dict[str, Any]:
        """Plain values, ready for JSON; what is said of one digit alone is null where there are several."""
        one = self.places[0] if len(self.places) == 1 else None
        by_run = {
            reader.run.name: [int(place.each[at].argmax()) for place in self.places]
            for at, reader in enumerate(readers)
        }
        return {
            "file": str(self.source.file),
            "drawing": self.source.number,
            "digit": one.digit if one else None,
            "digits": [place.digit for place in self.places],
            "number": self.number,
            "probabilities": one.vote.tolist() if one else None,
            "doubtful": not self.places or any(self.doubtful),
            "found": self.found,
            "cut_off": self.source.is_cut,
            "runs": {name: digits[0] if one else digits or None for name, digits in by_run.items()},
            "neighbours": _neighbours_in_json(readers, one.picture) if one else None,
            "places": [
                {
                    "digit": place.digit,
                    "certainty": place.certainty,
                    "box": self.source.box_of(place),
                    "row": place.row,
                    "doubtful": is_doubtful,
                    "probabilities": place.vote.tolist(),
                }
                for place, is_doubtful in zip(self.places, self.doubtful, strict=True)
            ],
            "folder": None if folder is None else str(folder),
        }


def _neighbours_in_json(readers: Sequence[Reader], picture: Picture) -> dict[str, Any]:
    """The training digits nearest to a picture: in pixel space, and in each network's hidden layer."""
    found = {reader.run.name: reader.neighbours(picture) for reader in readers}
    hidden = {name: one.hidden.to_dict() for name, one in found.items()}
    return {"pixels": found[readers[0].run.name].pixels.to_dict(), "hidden": hidden}


def predict_all(readers: Sequence[Reader], sources: Sequence[Source]) -> list[Prediction]:
    """Find the digits of every source, and ask every network about each."""
    ask, predictions = asking(reader.predict for reader in readers), []
    for source in sources:
        places = find_digits(source.ink, ask)
        predictions.append(
            Prediction(source, places, [all_reject(readers, place.picture, place.each) for place in places])
        )
    return predictions


def names_of(readers: Sequence[Reader]) -> list[str]:
    """What tells the networks apart; those that differ only in their recipe or length are called by their runs."""
    names = [reader.name for reader in readers]
    return names if len(set(names)) == len(names) else [reader.run.name for reader in readers]


def table_of(readers: Sequence[Reader], predictions: Sequence[Prediction]) -> Grid:
    """The two most probable digits of each picture; of several networks, those of their vote and then of each.

    Of a picture with several digits, the number, and the box, the vote and the doubt of each digit.
    """
    rows: list[list[str | Text]] = []
    for one in predictions:
        remark = Text(one.remark, "warning" if any(one.doubtful) else "")
        if len(one.places) == 1:
            rows.append([one.source.name, *_likeliest(one.places[0].vote), remark])
        else:
            rows.append([one.source.name, Text(one.number or "–", "best" if one.number else ""), "", "", "", remark])
        for place, is_doubtful in zip(one.places, one.doubtful, strict=True) if one.found == SEVERAL else ():
            left, top, right, bottom = map(round, one.source.box_of(place))
            doubt = Text(NO_DIGIT if is_doubtful else "", "warning")
            rows.append([f"  x {left}–{right} y {top}–{bottom}", *_likeliest(place.vote), doubt])
        for at, name in enumerate(names_of(readers) if len(readers) > 1 and one.number else ()):
            said = [place.each[at] for place in one.places]
            numbers = [number_of([replace(place, each=(place.each[at],)) for place in one.places]), "", "", ""]
            rows.append([f"  {name}", *(_likeliest(said[0]) if len(said) == 1 else numbers), ""])
    title = f"Read by {readers[0].name if len(readers) == 1 else f'{len(readers)} networks, together and each'}"
    headings = ("picture", "digit", "probability", "or", "probability", "")
    return Table(title, headings, rows, range(1, 5)).on_screen(fold=[0, 1])  # no digit is cut off


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

"""What lies in the lab's folders, read without trusting it: values of JSON and CSV files, and pictures.

Whatever is missing, damaged or of the wrong kind comes out as nothing, never as an error: a page about a folder should
tell what is left of it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from mnist_lab.report.document import Picture
from mnist_lab.storage import read_bytes, read_text

LARGEST_PICTURE = 50_000_000
"""Bytes; whatever is larger was not drawn by the lab, and would make a page that no browser opens."""


# -------------------------------------------------------------------------------------------------- values


def inside(content: Any, *names: str) -> Any:
    """A value inside nested JSON objects; None if there is none."""
    for name in names:
        if not isinstance(content, dict):
            return None
        content = content.get(name)
    return content


def number(value: Any) -> float | None:
    """A finite number; None if it is something else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: Any) -> int | None:
    """A whole number; None if it is something else."""
    return value if type(value) is int else None


def text(value: Any, otherwise: str = "–") -> str:
    """Text or a number as text; ``otherwise`` if it is something else."""
    return str(value) if isinstance(value, str) or number(value) is not None else otherwise


def checked_interval(content: Any, *names: str) -> tuple[float, float] | None:
    """A saved interval of fractions; None if it is none."""
    try:
        return interval(inside(content, *names))
    except (TypeError, ValueError):
        return None


def fraction(value: Any) -> float:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{shortened(value)} is not a fraction")
    return float(value)


def interval(value: Any) -> tuple[float, float]:
    """Two fractions, the lower one first."""
    low, high = map(fraction, value)
    if low > high:
        raise ValueError(f"{shortened(value)} is not an interval")
    return low, high


def pairs_of(content: Any) -> list[str]:
    """A flat JSON object as ``name value`` pairs."""
    return [f"{name} {text(value)}" for name, value in content.items()] if isinstance(content, dict) else []


def read_object(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty if there is none that can be read."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


# ------------------------------------------------------------------------------------------------ pictures


@dataclass(frozen=True)
class Known:
    """What can be said of a picture that the lab draws, without looking at it."""

    title: str
    alt: str
    caption: str = ""


KNOWN_PICTURES = {
    "history.png": Known(
        "Loss and accuracy over the epochs",
        "Two charts side by side, loss and accuracy over the epochs, each with a curve for training and one for "
        "validation; the kept epoch is marked. The table below holds the same numbers.",
        "The distance between the curves shows how much better the network knows the digits that it trained on. "
        "Training values are taken in passing, with dropout and augmentation where there are any, so they may be the "
        "worse ones.",
    ),
    "confusion_counts.png": Known(
        "Which digit was taken for which",
        "A table of ten rows, the true digits, and ten columns, the predicted ones, with the number of digits in "
        "each cell; mistakes are coloured, the frequent ones more strongly.",
        "What is right lies on the grey diagonal. The other cells are mistakes: the row is what was written, the "
        "column what was read.",
    ),
    "confusion_percent.png": Known(
        "The same in percent of each digit",
        "The same table of true and predicted digits with percentages; each row adds up to 100 %.",
        "Each row adds up to 100 %, so that digits of which there are few can be compared with those of which there "
        "are many.",
    ),
    "mistakes.png": Known(
        "The surest mistakes",
        "Digits that were misread, most confidently wrong first, each with its true digit, the predicted one and "
        "their probabilities.",
        "Would you have read them rightly? Some have a label that a person may doubt too.",
    ),
    "saliency.png": Known(
        "Which pixels mattered",
        "Digits and, over or beside each, a map of the pixels that the network's answer depended on.",
        "A map shows what the answer depends on, which is not always what a person would look at.",
    ),
    "methods.png": Known(
        "The same question, asked by every method",
        "Maps of one digit by several methods, side by side.",
        "Where the methods disagree, none of them should be believed alone.",
    ),
    "runs.png": Known("The same digit in several networks", "Maps of one digit for several networks, side by side."),
    "xray.png": Known(
        "From ink to 28x28",
        "The steps that turn a picture into what the network sees, and its answers with each step left out.",
        "Above: the steps in order. Below: what the network reads with all steps, and without each of them.",
    ),
    "drawing.png": Known("The drawing", "The drawn digit, dark on white."),
    "prediction.png": Known(
        "What the network made of it", "The drawing as the network sees it, its ten probabilities, and a map."
    ),
    "samples.png": Known("Samples of each digit", "Rows of handwritten digits, some of each class."),
    "class_counts.png": Known("How many of each digit", "Bars: the number of each digit in every part of the data."),
    "mean_digits.png": Known("Mean digits", "Ten blurred digits, each the mean of all training digits of its class."),
    "augmentation.png": Known(
        "Before and after each augmentation", "Digits as they are, and turned, shifted, scaled, slanted or erased."
    ),
}

RUN_PICTURES = ("history.png", "confusion_counts.png", "confusion_percent.png", "mistakes.png", "saliency.png")
"""What every judged run leaves."""

THUMBNAILS = ("history.png", "drawing.png", "xray.png", "saliency.png", "samples.png")
"""The picture that stands for its folder: the first of these that is there, else the first by name."""


def read_picture(folder: Path, name: str) -> Picture | None:
    """A picture of a folder, with what is known of it; None if it is missing, damaged or far too large."""
    path = folder / name
    try:
        known = KNOWN_PICTURES.get(name, Known(picture_title(name), f"A picture: {picture_title(name)}."))
        return Picture(known.title, read_bytes(path, LARGEST_PICTURE), known.alt, known.caption)
    except (OSError, ValueError):
        return None


def picture_title(name: str) -> str:
    """What a picture shows, by its file name."""
    return KNOWN_PICTURES[name].title if name in KNOWN_PICTURES else file_title(name)


def file_title(name: str) -> str:
    """A file's name as words: ``confusion_counts.png`` is ``confusion counts``."""
    return Path(name).stem.replace("_", " ") or name

"""How well a network reads drawings that are not MNIST's: labelled ones, the user's own, and what is not a digit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track
from torch import nn

from mnist_lab.data.mnist import Digits, stratified_subset
from mnist_lab.drawing.own_digits import Count, Counts, model_key, save_counts
from mnist_lab.drawing.preprocess import MODES, Picture, to_mnist
from mnist_lab.drawing.strokes import CANVAS, Drawing, DrawingError, Stroke, read_drawings
from mnist_lab.errors import LabError, RequestError, StorageError
from mnist_lab.explain.likeness import find_limit, likeness_of
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.terminal.console import Terminal
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.evaluation import Evaluation, evaluate, wilson_interval
from mnist_lab.training.runs import MY_DIGITS, RunRecord
from mnist_lab.training.session import load_trained

_LETTERS = "ACEFGHKLMNPQRTUVWXYacdefhkmnprtuvwxy"  # that nobody takes for a digit: no O, I, l, S, Z, B, b, g, q
_TYPEFACES = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10")
_FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")  # part of matplotlib: always there


@dataclass(frozen=True)
class Labelled:
    """Labelled drawings as a network sees them; prepared once, they can be classified by many networks."""

    pictures: NDArray[np.uint8]  # (N, 28, 28), N > 0, white on black: those that show ink
    labels: NDArray[np.int64]  # (N,) the digits that were meant
    positions: NDArray[np.int64]  # (N,) each one's place among the labelled drawings, from 0
    blanks: int  # labelled drawings without ink on the canvas
    unlabelled: int  # drawings without a label, which are left out

    @property
    def total(self) -> int:
        return len(self.pictures) + self.blanks


@dataclass(frozen=True)
class Score:
    """What a network made of labelled drawings; those without ink count as missed."""

    labelled: Labelled
    evaluation: Evaluation  # of the drawings that show ink

    @property
    def accuracy(self) -> float:
        return self.evaluation.correct / self.labelled.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson_interval(self.evaluation.correct, self.labelled.total)

    def to_dict(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "correct": self.evaluation.correct,
            "total": self.labelled.total,
            "interval_95": list(self.interval),
            "blanks": self.labelled.blanks,
            "unlabelled": self.labelled.unlabelled,
            "with_ink": self.evaluation.to_dict(),
        }


def prepare_labelled(drawings: Sequence[Drawing], mode: str = "mnist") -> Labelled:
    """Make pictures in one of the ``MODES``; a RequestError says that no drawing has both a label and ink."""
    labelled = [drawing for drawing in drawings if drawing.label is not None]
    prepared = enumerate(to_mnist(drawing, MODES[mode]) for drawing in labelled)
    pictures = {place: picture for place, picture in prepared if picture is not None}
    if not pictures:
        raise RequestError("there is no labelled drawing with ink to score", "give drawings with labels")
    labels = np.array([labelled[place].label for place in pictures], dtype=np.int64)
    positions = np.array([*pictures], dtype=np.int64)
    blanks, unlabelled = len(labelled) - len(pictures), len(drawings) - len(labelled)
    return Labelled(np.stack([*pictures.values()]), labels, positions, blanks, unlabelled)


def score_drawings(model: nn.Module, labelled: Labelled, compute: Compute) -> Score:
    """Classify labelled drawings, in batches, and compare with their labels."""
    return Score(labelled, evaluate(_logits(model, labelled.pictures, compute).numpy(), labelled.labels))


def count_correct(model: nn.Module, labelled: Labelled, compute: Compute) -> int:
    """How many labelled drawings a network classifies correctly; those without ink count as missed."""
    return int((_logits(model, labelled.pictures, compute).numpy().argmax(axis=1) == labelled.labels).sum())


def _logits(model: nn.Module, pictures: NDArray[np.uint8], compute: Compute) -> torch.Tensor:
    return predict_logits(model, torch.from_numpy(pictures).unsqueeze(1), compute)  # (N, 28, 28) to (N, 10)


def count_missing(lab: Lab, counts: Counts, missing: Sequence[RunRecord]) -> Counts:
    """Let the missing runs classify the user's own digits; Ctrl-C ends it, and what was counted is kept."""
    drawings, damaged = read_drawings(lab.outputs / MY_DIGITS)
    show_skipped(lab.terminal, damaged)
    compute, console = compute_for(lab), lab.terminal.console
    with lab.terminal.busy("loading your drawings"):
        labelled = prepare_labelled(drawings)
    counts = replace(counts, total=labelled.total, runs=dict(counts.runs))
    what = "reading your digits"
    try:
        for run in track(missing, what, console=console, transient=True, disable=not console.is_terminal):
            if key := model_key(run):  # else the file has gone since
                try:
                    correct = count_correct(load_trained(run, compute), labelled, compute)
                except LabError:
                    correct = None
                counts.runs[run.name] = Count(key, correct)
    finally:
        try:
            save_counts(lab.outputs, counts)
        except StorageError as error:  # the table is shown all the same
            lab.terminal.warn(str(error))
    return counts


def show_skipped(terminal: Terminal, damaged: Sequence[DrawingError], limit: int = 5) -> None:
    """Report the damaged lines of a file of drawings, one line each."""
    for error in damaged[:limit]:
        terminal.warn(f"skipped: {error.found}")
    if len(damaged) > limit:
        terminal.warn(f"... and {len(damaged) - limit:,} more damaged lines")


def _ellipse(x: float, y: float, wide: float, high: float, start: float, end: float, points: int) -> Stroke:
    """A part of an ellipse about (x, y); angles in radians, clockwise from the right."""
    angles = np.linspace(start, end, points).tolist()
    return tuple((x + wide * math.cos(angle), y + high * math.sin(angle)) for angle in angles)


_STAR = (_ellipse(140, 140, 110, 110, -math.pi / 2, -math.pi * 4.5, 6),)
_BOX = (((50, 50), (230, 50), (230, 230), (50, 230), (50, 50)), ((50, 50), (230, 230)), ((230, 50), (50, 230)))
_WALLS, _ROOF = ((60, 130), (60, 240), (220, 240), (220, 130), (60, 130)), ((60, 130), (140, 40), (220, 130))
_HOUSE = (_WALLS, _ROOF, ((120, 240), (120, 180), (160, 180), (160, 240)))
_GRID = (((100, 40), (100, 240)), ((180, 40), (180, 240)), ((40, 100), (240, 100)), ((40, 180), (240, 180)))
_EYES = tuple(_ellipse(x, 110, 8, 8, 0, 2 * math.pi, 24) for x in (105, 175))
_MOUTH = _ellipse(140, 150, 50, 45, 0.3, math.pi - 0.3, 12)
_FACE = (_ellipse(140, 140, 105, 105, 0, 2 * math.pi, 24), *_EYES, _MOUTH)
_SHAPES: tuple[tuple[Stroke, ...], ...] = (_STAR, _BOX, _HOUSE, _GRID, _FACE)


def _prepared(source: Drawing | Picture) -> Picture:
    picture = to_mnist(source)
    assert picture is not None
    return picture


def _drawing(lines: Iterable[NDArray[np.float64]]) -> Drawing:
    """Joined points (N, 2) for each line, in canvas pixels."""
    return Drawing(tuple(tuple((x, y) for x, y in line.tolist()) for line in lines))


def _lines(random: np.random.Generator) -> Drawing:
    return _drawing(random.uniform(30, CANVAS - 30, (int(random.integers(3, 6)), 2, 2)))


def _scribble(random: np.random.Generator) -> Drawing:
    """One long stroke that wanders aimlessly."""
    heading, place = random.uniform(0, 2 * math.pi), np.full(2, CANVAS / 2)
    points: list[NDArray[np.float64]] = []
    for _ in range(int(random.integers(80, 160))):
        heading += random.normal(0, 0.7)
        place = np.clip(place + 14 * np.array([math.cos(heading), math.sin(heading)]), 20, CANVAS - 20)
        points.append(place)
    return _drawing([np.stack(points)])


def _shape(random: np.random.Generator) -> Drawing:
    """One of the shapes, smaller or larger, turned a little, drawn with a trembling hand."""
    strokes = _SHAPES[int(random.integers(len(_SHAPES)))]
    turn, scale = random.uniform(-0.2, 0.2), random.uniform(0.6, 1.0)
    turned = scale * np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    placed = [CANVAS / 2 + (np.array(stroke) - CANVAS / 2) @ turned for stroke in strokes]
    return _drawing(points + random.normal(0, 3, points.shape) for points in placed)


def _letter(random: np.random.Generator) -> Picture:
    text, typeface = random.choice(list(_LETTERS)), random.choice(_TYPEFACES)
    image, font = Image.new("L", (CANVAS, CANVAS), 255), ImageFont.truetype(_FONTS / f"{typeface}.ttf", 200)
    ImageDraw.Draw(image).text((CANVAS / 2, CANVAS / 2), text, fill=0, font=font, anchor="mm")
    return np.asarray(image)


_KINDS: dict[str, Callable[[np.random.Generator], Drawing | Picture]]
_KINDS = {"lines": _lines, "scribbles": _scribble, "shapes": _shape, "letters": _letter}


def examples(count: int, digits: NDArray[np.uint8], seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """Non-digits by kind, each (count, 28, 28) uint8, white on black, one made by shuffling ``digits`` (N, 28, 28)."""
    random = np.random.default_rng(seed)
    made = {name: np.stack([_prepared(draw(random)) for _ in range(count)]) for name, draw in _KINDS.items()}
    shuffled = [random.permutation(digit.ravel()).reshape(digit.shape) for digit in digits[:count]]
    return made | {"shuffled pixels": np.stack(shuffled)}


def rejected_fractions(
    run: RunRecord, model: DigitNet, digits: Digits, compute: Compute, count: int = 200
) -> tuple[float, dict[str, float]]:
    """The least likeness that a run accepts, and the fractions that it rejects as "probably not a digit".

    They are of real digits, wrongly, and of ``count`` of each other kind, as in ``Likeness.rejects``; a run's folder
    that does not keep the limit keeps it from now on. The real digits must not be validation digits.
    """
    likeness = likeness_of(run, model, compute)
    limit = find_limit(run, likeness)
    real = stratified_subset(digits, 10 * count).images.squeeze(1).numpy()  # (N, 28, 28); all would take long
    found = {}
    for name, pictures in ({"real digits": real} | examples(count, real)).items():
        probabilities = _logits(model, pictures, compute).double().softmax(dim=1).numpy()
        found[name] = float(likeness.rejects(pictures, probabilities, limit).mean())
    return limit, found

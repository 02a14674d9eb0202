"""What is asked of the networks, what they answer, and the one sentence that says it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_lab.drawing.predictions import vote
from mnist_lab.drawing.preprocess import STEP_NAMES, Picture, Steps, Wobble, Xray, count_side_by_side, see, take_apart
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.explain.film import DigitMap
from mnist_lab.terminal.wording import format_probability

Probabilities: TypeAlias = NDArray[np.float64]
Reject: TypeAlias = Callable[[Picture, Sequence[Probabilities]], str | None]  # why it is probably not a digit

STEP_TEXTS = {  # the name of a step, what it does, and what happens instead where it is switched off
    "pen": ("MNIST's pen", "lines as wide as in MNIST", "off: lines as your brush left them"),
    "invert": ("Invert", "white on black, as in MNIST", "off: black on white, as on paper"),
    "crop": ("Crop", "empty paper is cut away", "off: all the paper stays"),
    "box": ("20-pixel box", "longer side to 20 pixels", "off: all squeezed to 28 × 28"),
    "centre": ("Centre", "centre of mass to the middle", "off: left where it is"),
    "normalise": ("Normalise", "same look, values\n−0.42 to 2.82", "off: values 0 to 1,\nas pale as this"),
}


@dataclass(frozen=True)
class Predictor:
    """A network, as functions of pictures (28, 28) uint8, white on black."""

    name: str  # its heading; different from the others'
    predict: Callable[[Sequence[Picture]], Sequence[Probabilities]]  # (10,), 0 to 1, for each of several pictures
    explain: Callable[[Picture, int], NDArray[np.float32]]  # (28, 28): above zero what speaks for a digit
    method: str = "map"  # by which it explains
    film: DigitMap | None = None  # of its training


@dataclass(frozen=True)
class Question:
    """Everything that an answer depends on, as it was at one moment."""

    drawing: Drawing
    brush: float  # width of the pen, in pixels of the 280x280 canvas
    wobble: Wobble = field(default_factory=Wobble)
    steps: Steps | None = None  # those of the X-ray, which shows the drawing before any wobble; None: it is closed

    @property
    def condition(self) -> str:
        """Under which the networks see something else than the drawing as MNIST has it; "" is none."""
        is_wobbled = self.wobble != Wobble()
        if self.steps is None:
            return "as wobbled" if is_wobbled else ""
        parts = ["before the wobble"] if is_wobbled else []
        return ", ".join(parts if self.steps == Steps() else [*parts, left_out(self.steps)])


@dataclass(frozen=True)
class Answer:
    """One question with all that is shown of it: header, bars and X-ray come from here, so that they say the same."""

    question: Question
    picture: Picture | None = None  # what the networks saw, (28, 28) uint8, white on black; None: no ink
    probabilities: tuple[Probabilities, ...] = ()  # each predictor's, (10,)
    rejection: str | None = None
    blobs: int = 1  # shapes as high as digits, side by side
    xray: Xray | None = None  # while it is open
    # What the first predictor makes of the X-ray's pictures: of "whole", "result", and what one step's name leaves out.
    variants: dict[str, Probabilities] = field(default_factory=dict)

    @property
    def digit(self) -> int | None:
        """What the networks say together, by the mean of their probabilities."""
        return int(vote(self.probabilities).argmax()) if self.probabilities else None


def ask(question: Question, predictors: Sequence[Predictor], reject: Reject) -> Answer:
    """Make the picture, once, and ask each predictor about it; the first also about an open X-ray's other pictures."""
    if question.steps is None:
        xray, picture = None, see(question.drawing, question.wobble)
    else:
        xray = take_apart(question.drawing, question.steps, question.brush)
        picture = None if xray is None else xray.chosen
    variants: dict[str, Probabilities] = {}
    if xray is not None:
        pictures = {"whole": xray.whole, "result": xray.chosen, **xray.without}
        inked = {name: shown for name, shown in pictures.items() if shown is not None}
        variants = dict(zip(inked, predictors[0].predict(list(inked.values())), strict=True))
    if picture is None:
        return Answer(question, xray=xray, variants=variants)
    first = variants["result"] if variants else predictors[0].predict([picture])[0]
    probabilities = (first, *(other.predict([picture])[0] for other in predictors[1:]))
    rejection, blobs = reject(picture, probabilities), count_side_by_side(question.drawing)
    return Answer(question, picture, probabilities, rejection, blobs, xray, variants)


def left_out(steps: Steps) -> str:
    """The steps that are switched off, at least one, in words."""
    names = [STEP_TEXTS[name][0] for name in STEP_NAMES if not getattr(steps, name)]
    return f"without {names[0]}" if len(names) == 1 else f"without {len(names)} steps"


def sentence(answer: Answer) -> str:
    """What the networks make of a drawing, and under which condition."""
    question, condition = answer.question, answer.question.condition
    if answer.picture is None:
        is_lost = bool(question.drawing.strokes) and condition
        return f"{condition}: no ink is left to see" if is_lost else "draw a digit with mouse or pen"
    if answer.blobs > 1 and not condition:
        return f"▲ several digits? I see {answer.blobs} blobs side by side, and read them as one"
    if question.steps not in (None, Steps()):
        expected, digit = (int(answer.variants[name].argmax()) for name in ("whole", "result"))
        said = f"{'still' if digit == expected else 'now'} read as {digit}"
        said = f"{said}, but {answer.rejection}" if answer.rejection else said
    elif answer.rejection:
        said = answer.rejection
    elif question.steps is not None:
        said = _summary(answer.probabilities[:1])
    else:
        said = _summary(answer.probabilities)
    if question.steps is not None and len(answer.probabilities) > 1:
        condition = f"first network, {condition}" if condition else "first network"
    said = f"{condition}: {said}" if condition else said
    return f"▲ {said}" if answer.rejection else said


def _summary(probabilities: Sequence[Probabilities]) -> str:
    if len(probabilities) > 1:
        mean, winners = vote(probabilities), [int(row.argmax()) for row in probabilities]
        together = f"together: {mean.argmax()} ({format_probability(float(mean.max()))})"
        if len(set(winners)) > 1:
            return f"{together}; they disagree: {', '.join(map(str, winners))}"
        return f"{together}; {('both', 'all three', 'all four')[len(winners) - 2]} say {winners[0]}"
    first, second = (f"{'an' if digit == 8 else 'a'} {digit}" for digit in np.argsort(probabilities[0])[:-3:-1])
    return f"{first}, or perhaps {second}" if np.sort(probabilities[0])[-2] >= 0.1 else first

"""What is asked of the networks, what they answer, and the one sentence that says it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from mnist_lab.drawing.digits import find_digits
from mnist_lab.drawing.places import Place, asking, number_of, vote
from mnist_lab.drawing.preprocess import STEP_NAMES, Picture, Steps, Wobble, Xray, see, take_apart
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.explain.film import DigitMap
from mnist_lab.explain.inside import Inside, Survey, look_inside
from mnist_lab.explain.neighbours import Neighbours
from mnist_lab.networks.models import DigitNet
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
    method: str  # by which it explains
    trained: DigitNet  # both as inside.opened gives them
    untrained: DigitNet  # as it was before the first step
    survey: Callable[[DigitNet], Iterator[Survey | None]]  # what its filters and units answer to; in short steps
    neighbours: Callable[[Picture], Neighbours]  # the training digits nearest to a picture, as the trained one has it
    film: Callable[[], DigitMap]  # of its training; RunError if there is none; takes a moment


@dataclass(frozen=True)
class Look:
    """Which network is looked into: the one in a place, and whether as it was before its training."""

    place: int = 0
    untrained: bool = False

    def into(self, predictors: Sequence[Predictor]) -> DigitNet:
        return predictors[self.place].untrained if self.untrained else predictors[self.place].trained


@dataclass(frozen=True)
class Question:
    """Everything that an answer depends on, as it was at one moment."""

    drawing: Drawing
    brush: float  # width of the pen, in pixels of the 280x280 canvas
    wobble: Wobble = field(default_factory=Wobble)
    steps: Steps | None = None  # those of the X-ray, which shows the drawing before any wobble; None: it is closed
    look: Look | None = None  # into the network that then answers in its place; None: that view is closed

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
    """One question with all that is shown of it: header, bars and X-ray come from here, so that they say the same.

    Of several digits, all but the number is about the one where the pen was last.
    """

    question: Question
    picture: Picture | None = None  # what the networks saw, (28, 28) uint8, white on black; None: no ink
    probabilities: tuple[Probabilities, ...] = ()  # each predictor's, (10,)
    rejection: str | None = None
    places: tuple[Place, ...] = ()  # the drawing's digits in reading order, before any wobble
    chosen: int = 0  # the place of the digit where the pen was last
    xray: Xray | None = None  # while it is open
    inside: Inside | None = None  # of the network that is looked into
    # What the first predictor makes of the X-ray's pictures: of "whole", "result", and what one step's name leaves out.
    variants: dict[str, Probabilities] = field(default_factory=dict)

    @property
    def number(self) -> str:
        """All digits that were drawn, with a space between rows, and around signs."""
        return number_of(self.places)

    @property
    def digit(self) -> int | None:
        """What the networks say together, by the mean of their probabilities."""
        return int(vote(self.probabilities).argmax()) if self.probabilities else None


def ask(question: Question, predictors: Sequence[Predictor], reject: Reject) -> Answer:
    """Find the digits, and ask each predictor about the one where the pen was last; the first also about its X-ray.

    A network that is looked into is asked by that alone, so that no two numbers differ.
    """
    places = tuple(find_digits(question.drawing, asking(one.predict for one in predictors)))
    chosen = _where_the_pen_was(question.drawing, places)
    drawing = places[chosen].source if places else question.drawing
    assert isinstance(drawing, Drawing)
    xray: Xray | None = None
    known: dict[int, Probabilities] = {}
    if question.steps is not None:
        xray = take_apart(drawing, question.steps, question.brush)
        picture = None if xray is None else xray.chosen
    elif places and question.wobble == Wobble():
        picture, known = places[chosen].picture, dict(enumerate(places[chosen].each))
    else:
        picture = see(drawing, question.wobble)
    variants: dict[str, Probabilities] = {}
    if xray is not None:
        pictures = {"whole": xray.whole, "result": xray.chosen, **xray.without}
        inked = {name: shown for name, shown in pictures.items() if shown is not None}
        variants = dict(zip(inked, predictors[0].predict(list(inked.values())), strict=True))
    if picture is None:
        return Answer(question, xray=xray, variants=variants, places=places, chosen=chosen)
    look, inside = question.look, None
    if variants:
        known = {0: variants["result"]}
    if look is not None:
        inside = look_inside(look.into(predictors), picture)
        known |= {look.place: softmax(inside.logits.astype(np.float64))}
    probabilities = tuple(
        known[place] if place in known else one.predict([picture])[0] for place, one in enumerate(predictors)
    )
    is_trained = look is None or not look.untrained  # an untrained one is never certain
    rejection = reject(picture, probabilities) if is_trained else None
    return Answer(question, picture, probabilities, rejection, places, chosen, xray, inside, variants)


def _where_the_pen_was(drawing: Drawing, places: Sequence[Place]) -> int:
    """Which of the digits is nearest to the end of the drawing."""
    if len(places) < 2:
        return 0
    end, sources = drawing.strokes[-1][-1], [cast(Drawing, place.source) for place in places]
    away = [min(math.dist(point, end) for stroke in source.strokes for point in stroke) for source in sources]
    return away.index(min(away))


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
    if len(answer.places) > 1 and not condition and question.look is None and question.steps is None:
        least = min(answer.places, key=lambda place: place.certainty)
        return f"{answer.number}  (least sure of the {least.digit}: {format_probability(least.certainty)})"
    if question.steps not in (None, Steps()):
        expected, digit = (int(answer.variants[name].argmax()) for name in ("whole", "result"))
        said = f"{'still' if digit == expected else 'now'} read as {digit}"
        said = f"{said}, but {answer.rejection}" if answer.rejection else said
    elif answer.rejection:
        said = answer.rejection
    elif question.steps is not None or question.look is not None:
        place = 0 if question.look is None else question.look.place
        said = _summary(answer.probabilities[place : place + 1])
    else:
        said = _summary(answer.probabilities)
    which = f"digit {answer.chosen + 1} of {len(answer.places)}" if len(answer.places) > 1 else ""
    condition = ", ".join(filter(None, (_asked(question, len(answer.probabilities)), which, condition)))
    said = f"{condition}: {said}" if condition else said
    return f"▲ {said}" if answer.rejection else said


def _asked(question: Question, networks: int) -> str:
    """Which network the sentence is about, unless it is about all."""
    look = question.look if question.steps is None else Look()
    if look is None:
        return ""
    which = f"{('first', 'second', 'third', 'fourth')[look.place]} network" if networks > 1 else ""
    if look.untrained:
        return f"{which}, untrained" if which else "untrained network"
    return which


def _summary(probabilities: Sequence[Probabilities]) -> str:
    if len(probabilities) > 1:
        mean, winners = vote(probabilities), [int(row.argmax()) for row in probabilities]
        together = f"together: {mean.argmax()} ({format_probability(float(mean.max()))})"
        if len(set(winners)) > 1:
            return f"{together}; they disagree: {', '.join(map(str, winners))}"
        return f"{together}; {('both', 'all three', 'all four')[len(winners) - 2]} say {winners[0]}"
    first, second = (f"{'an' if digit == 8 else 'a'} {digit}" for digit in np.argsort(probabilities[0])[:-3:-1])
    return f"{first}, or perhaps {second}" if np.sort(probabilities[0])[-2] >= 0.1 else first

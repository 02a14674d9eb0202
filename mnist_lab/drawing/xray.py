"""The X-ray: a drawing's way from pen to network step by step, any step left out, in one pass fit to follow a pen."""

from __future__ import annotations

from typing import NamedTuple

from mnist_lab.drawing.strokes import BRUSH, STEP_NAMES, Drawing, Picture, Steps, from_ink, ink, pen_width


class StepText(NamedTuple):
    """The name of a step, what it does, and what happens instead where it is switched off."""

    title: str
    taken: str
    left_out: str


STEP_TEXTS = {
    "pen": StepText("MNIST's pen", "lines as wide as in MNIST", "off: lines as your brush left them"),
    "invert": StepText("Invert", "white on black, as in MNIST", "off: black on white, as on paper"),
    "crop": StepText("Crop", "empty paper is cut away", "off: all the paper stays"),
    "box": StepText("20-pixel box", "longer side to 20 pixels", "off: all squeezed to 28 × 28"),
    "centre": StepText("Centre", "centre of mass to the middle", "off: left where it is"),
    "normalise": StepText("Normalise", "same look, values\n−0.42 to 2.82", "off: values 0 to 1,\nas pale as this"),
}
"""One for each field of :class:`~mnist_lab.drawing.strokes.Steps`, in the order in which the steps are taken."""


class Xray(NamedTuple):
    """A drawing taken apart, in pictures of uint8; None stands where the brush left no ink on the canvas."""

    # The ink as drawn, then what each of the six steps made of it, (H, W). A step that is switched off passes on what
    # it was given; but from the last but one on it is 28x28 in any case, and the last is what a network is shown.
    stages: tuple[Picture, ...]
    chosen: Picture | None  # what comes out of the chosen steps, (28, 28)
    whole: Picture  # what comes out of all steps, as to_mnist has it
    without: dict[str, Picture | None]  # what comes out if one step of all is left out, by the step's name


def take_apart(drawing: Drawing, steps: Steps, brush: float = BRUSH) -> Xray | None:
    """Take a drawing the way to 28x28, with the chosen steps, with all of them, and with each one left out.

    Inking is nearly all of the work, so both inks are made once and shared.

    Args:
        drawing: as drawn; its label does not matter.
        steps: those that are switched on.
        brush: the pen that the user draws with, in canvas pixels.

    Returns:
        None if there is no ink to see.
    """
    drawn, inked_again = ink(drawing, brush), ink(drawing, pen_width(drawing))

    def outcome(chosen: Steps) -> Picture | None:
        taken = from_ink(inked_again if chosen.pen else drawn, chosen)
        return None if taken is None else taken[-1].picture

    whole = outcome(Steps())
    if whole is None:
        return None
    paper = inked_again if steps.pen else drawn
    taken = dict(from_ink(paper, steps) or [])
    stages = [drawn, paper]
    for names in (("inverted",), ("cropped",), ("20-pixel box", "squeezed"), ("centred", "in the middle")):
        stages.append(next((taken[name] for name in names if name in taken), stages[-1]))
    stages.append(taken.get("normalised", taken.get("as 0 to 1", stages[-1])))
    return Xray(
        stages=tuple(stages),
        chosen=outcome(steps),
        whole=whole,
        without={name: outcome(Steps().without(name)) for name in STEP_NAMES},
    )


def name_steps(steps: Steps) -> str:
    """Which steps are taken, in few words: "All steps", "Without crop", "Without MNIST's pen, invert"."""
    left_out = [STEP_TEXTS[name].title for name in STEP_NAMES if not getattr(steps, name)]
    if not left_out:
        return "All steps"
    if len(left_out) == len(STEP_NAMES):
        return "No step at all"
    return f"Without {', '.join(title if title.startswith('MNIST') else title.lower() for title in left_out)}"

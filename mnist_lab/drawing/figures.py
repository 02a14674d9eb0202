"""The X-ray as a figure: each step from ink to 28x28, and what a network predicts without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mnist_lab.data.mnist import normalise
from mnist_lab.drawing.places import Place
from mnist_lab.drawing.preprocess import Picture
from mnist_lab.plotting import BLUE, INK, MUTED, RULE, SMALL, TEXT, VERMILION, new_figure, styled
from mnist_lab.report.document import Caption
from mnist_lab.terminal.wording import format_probability

CAPTIONS = {
    "xray.png": Caption(
        "From ink to 28x28",
        "The steps that turn a picture into what the network sees, and its answers with each step left out.",
        "Above: the steps in order. Below: what the network answers with all steps, and without each of them "
        "(if several digits are found then, the largest).",
    ),
    "digits.png": Caption(
        "Several digits", "The ink with a box around each digit and its answer.", "Red boxes are probably no digits."
    ),
    "drawing.png": Caption("The drawing", "The drawn digit, dark on white."),
    "prediction.png": Caption(
        "What the network made of it", "The drawing as the network sees it, its ten probabilities, and a map."
    ),
}
_FEW = 8  # digits, up to which there is room for their probabilities
_DONE = {
    "photo": "the picture",
    "paper": "page found",
    "light": "light evened",
    "lines": "lines removed",
    "ink": "ink found",
    "pen": "inked again",
    "crop": "cropped",
    "invert": "inverted",
    "box": "20-pixel box",
    "centre": "centred",
    "normalise": "normalised",
}


class Variant(NamedTuple):
    """One way of preparing a drawing, and the network's answer to it."""

    name: str
    picture: Picture  # (28, 28), as the network is shown it
    probabilities: NDArray[np.float64]  # (10,) 0..1


@styled
def xray(stages: Mapping[str, Picture], variants: Sequence[Variant], *, title: str) -> Figure:
    """The stages of a drawing by their names, black on white until the inversion; of the variants, all steps first."""
    note = (
        "MNIST is white on black: without the inversion, the network meets something it has never seen. Normalising "
        "changes the numbers, not the look; without it, the network sees the digit as pale as shown."
    )
    columns = max(len(stages), len(variants))
    figure = new_figure(1.6 * columns + 0.6, 5.2, title, note)
    above, below = figure.subplots(2, columns, squeeze=False)
    for axes in (*above[len(stages) :], *below[len(variants) :]):
        axes.set_axis_off()
    for place, (axes, (name, picture)) in enumerate(zip(above, stages.items(), strict=False), start=1):
        remark = f"{picture.shape[0]} x {picture.shape[1]} pixels"
        if name == "normalise":
            values = normalise(picture.astype(np.float64) / 255)
            remark = f"values {values.min():.2f} to {values.max():.2f}".replace("-", "−")
        _draw_as_it_is(axes, picture, f"{place}. {_DONE.get(name, name)}", remark)
    for axes, (name, picture, probabilities) in zip(below, variants, strict=False):
        digit = int(probabilities.argmax())
        _draw_as_it_is(axes, picture, name, f"predicts {digit}, {format_probability(float(probabilities[digit]))}")
        axes.xaxis.label.set(color=INK, fontsize=TEXT)
    below[0].xaxis.label.set(fontweight="bold")
    return figure


def _draw_as_it_is(axes: Axes, picture: Picture, name: str, remark: str) -> None:
    """A picture in the middle of a square, so that all names in a row are at the same height."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    height, width = picture.shape[:2]
    axes.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=RULE, linewidth=0.8, clip_on=False))
    x, y, reach = (width - 1) / 2, (height - 1) / 2, max(height, width) / 2  # a pixel's middle is a whole number
    axes.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(name, fontsize=TEXT, color=INK)
    axes.set_xlabel(remark, fontsize=SMALL, color=MUTED)


@styled
def digits(paper: Picture, places: Sequence[Place], doubtful: Sequence[bool], *, title: str) -> Figure:
    """Ink on paper (H, W) with a box around each digit, and above it the digit and how sure the networks are of it."""
    height, width = paper.shape
    longest = max(height, width)
    figure = new_figure(1.2 + 7 * width / longest, 1.2 + 7 * height / longest, title)
    axes = figure.subplots()
    _draw_as_it_is(axes, paper, "", "")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))  # not the square around it
    for place, is_doubtful in zip(places, doubtful, strict=True):
        colour, box = VERMILION if is_doubtful else BLUE, place.box
        axes.add_patch(Rectangle((box.left, box.top), box.width, box.height, fill=False, edgecolor=colour))
        said = f"{place.digit}  {format_probability(place.certainty)}" if len(places) <= _FEW else str(place.digit)
        label = axes.text(
            box.left, box.top - longest / 200, said, color=colour, fontsize=TEXT, va="bottom", clip_on=False
        )
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})  # ink may be above
    return figure

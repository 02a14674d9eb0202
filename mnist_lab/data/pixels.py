"""How pixels become network input: one place, shared by training, drawing and saliency, so they can't drift apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Values = TypeVar("Values", "Tensor", "NDArray[np.float64]")
"""Pictures of floats, as either torch or numpy has them."""

SIDE = 28
"""Height and width of a digit, in pixels."""

MEAN = 0.1307
"""Mean of all pixels of the 60,000 training images, on the scale 0 (black background) to 1 (white ink)."""

STD = 0.3081
"""Standard deviation of the same pixels."""


def to_unit(images: Tensor) -> Tensor:
    """Bytes 0..255 (uint8) to floats 0..1 (float32), any shape."""
    return images.float() / 255


def normalise(images: Values) -> Values:
    """Floats 0..1 to zero mean and unit variance over the training set, any shape."""
    return (images - MEAN) / STD


def denormalise(images: Values) -> Values:
    """The inverse of :func:`normalise`, any shape."""
    return images * STD + MEAN

"""The MNIST files, and how pixels become network input wherever they come from. Nothing here loads numpy or torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Values = TypeVar("Values", "Tensor", "NDArray[np.float64]")  # images of floats

SIDE = 28  # height and width of a digit, in pixels
MEAN, STD = 0.1307, 0.3081  # of all pixels of the 60,000 training images, 0 (black background) to 1 (white ink)

MNIST_FOLDER = Path(__file__).parent / "idx"


class IdxFile(NamedTuple):
    """One file of the data set: its name, the canonical MD5 of its unzipped content, and what it must hold."""

    name: str
    md5: str
    header: int  # bytes before the values
    shape: tuple[int, ...]


MNIST_FILES = (
    IdxFile("train-images-idx3-ubyte.gz", "6bbc9ace898e44ae57da46a324031adb", 16, (60_000, SIDE, SIDE)),
    IdxFile("train-labels-idx1-ubyte.gz", "a25bea736e30d166cdddb491f175f624", 8, (60_000,)),
    IdxFile("t10k-images-idx3-ubyte.gz", "2646ac647ad5339dbf082846283269ea", 16, (10_000, SIDE, SIDE)),
    IdxFile("t10k-labels-idx1-ubyte.gz", "27ae3e4e09519cfbb04c329615203637", 8, (10_000,)),
)
"""Images and labels to train on, images and labels to test with."""


def mnist_is_there(folder: Path = MNIST_FOLDER) -> bool:
    """Whether all four files exist."""
    return all((folder / file.name).is_file() for file in MNIST_FILES)


def to_unit(images: Tensor) -> Tensor:
    """Bytes 0..255 (uint8) to floats 0..1 (float32), any shape."""
    return images.float() / 255


def normalise(images: Values) -> Values:
    """Floats 0..1 to zero mean and unit variance over the training set, any shape."""
    return (images - MEAN) / STD


def denormalise(images: Values) -> Values:
    """The inverse of :func:`normalise`, any shape."""
    return images * STD + MEAN

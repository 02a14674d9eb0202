"""The four MNIST files that come with the package: their names, their checksums, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnist_lab.data.pixels import SIDE

MNIST_FOLDER = Path(__file__).parent / "idx"


@dataclass(frozen=True)
class IdxFile:
    """One file of the data set: its name, the canonical MD5 of its unzipped content, and what it must hold."""

    name: str
    md5: str
    header: int  # bytes before the values
    shape: tuple[int, ...]


TRAIN_IMAGES = IdxFile("train-images-idx3-ubyte.gz", "6bbc9ace898e44ae57da46a324031adb", 16, (60_000, SIDE, SIDE))
TRAIN_LABELS = IdxFile("train-labels-idx1-ubyte.gz", "a25bea736e30d166cdddb491f175f624", 8, (60_000,))
TEST_IMAGES = IdxFile("t10k-images-idx3-ubyte.gz", "2646ac647ad5339dbf082846283269ea", 16, (10_000, SIDE, SIDE))
TEST_LABELS = IdxFile("t10k-labels-idx1-ubyte.gz", "27ae3e4e09519cfbb04c329615203637", 8, (10_000,))
MNIST_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


def mnist_is_there(folder: Path = MNIST_FOLDER) -> bool:
    """Whether all four files exist; their content is checked when they are loaded."""
    return all((folder / file.name).is_file() for file in MNIST_FILES)

"""MNIST from the package's own files: checked, and split into digits for training, validation and testing."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab.config import CLASSES
from mnist_lab.data import MNIST_FOLDER
from mnist_lab.errors import DataError

SIDE = 28  # height and width of a digit, in pixels
MEAN, STD = 0.1307, 0.3081  # of all pixels of the 60,000 training images, 0 (black background) to 1 (white ink)
SPLIT_SEED = 20_260_101  # whatever a run's seed, every run is evaluated on the same 6,000 validation digits

_Values = TypeVar("_Values", Tensor, NDArray[np.float64])


class IdxFile(NamedTuple):
    """One file of the data set: its name, the canonical MD5 of its unzipped content, and the shape of its values."""

    name: str
    md5: str
    shape: tuple[int, ...]


MNIST_FILES = (
    IdxFile("train-images-idx3-ubyte.gz", "6bbc9ace898e44ae57da46a324031adb", (60_000, SIDE, SIDE)),
    IdxFile("train-labels-idx1-ubyte.gz", "a25bea736e30d166cdddb491f175f624", (60_000,)),
    IdxFile("t10k-images-idx3-ubyte.gz", "2646ac647ad5339dbf082846283269ea", (10_000, SIDE, SIDE)),
    IdxFile("t10k-labels-idx1-ubyte.gz", "27ae3e4e09519cfbb04c329615203637", (10_000,)),
)


def to_unit(images: Tensor) -> Tensor:
    """Bytes 0..255 (uint8) to floats 0..1 (float32), any shape; floats are in that range already."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def normalise(images: _Values) -> _Values:
    """Floats 0..1 to zero mean and unit variance over the training set, any shape."""
    return (images - MEAN) / STD


def denormalise(images: _Values) -> _Values:
    """The inverse of :func:`normalise`, any shape."""
    return images * STD + MEAN


@dataclass(frozen=True)
class Digits:
    """Labelled digits, kept in memory as bytes."""

    images: Tensor  # (N, 1, 28, 28) uint8, white ink (255) on black (0)
    labels: Tensor  # (N,) int64, 0 to 9
    indices: Tensor  # (N,) int64, each digit's position in its MNIST file

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, positions: Tensor) -> Digits:
        """The digits at these positions, (M,) int64, in that order."""
        return Digits(self.images[positions], self.labels[positions], self.indices[positions])

    def followed_by(self, others: Digits) -> Digits:
        """These digits, followed by others."""
        return Digits(*(torch.cat(pair) for pair in zip(vars(self).values(), vars(others).values(), strict=True)))

    def to(self, device: torch.device) -> Digits:
        """The same digits on a device."""
        return Digits(*(part.to(device) for part in vars(self).values()))

    def class_counts(self) -> list[int]:
        """How many of each digit, 0 to 9."""
        return [int(count) for count in torch.bincount(self.labels, minlength=CLASSES)]


@dataclass(frozen=True)
class Mnist:
    """The three parts of the data."""

    train: Digits  # 54,000
    validation: Digits  # 6,000
    test: Digits  # the official 10,000


@cache
def load_mnist(folder: Path = MNIST_FOLDER) -> Mnist:
    """Read, check and split the four embedded files, once; ``DataError`` if one is missing, truncated or altered."""
    train_images, train_labels, test_images, test_labels = (_read_idx(folder, file) for file in MNIST_FILES)
    official_train = _as_digits(train_images, train_labels)
    train, validation = (official_train.subset(positions) for positions in stratified_split(train_labels))
    return Mnist(train, validation, _as_digits(test_images, test_labels))


def _read_idx(folder: Path, file: IdxFile) -> NDArray[np.uint8]:
    path, remedy = folder / file.name, "reinstall MNIST Lab, or copy the file again from its source"
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"the MNIST file {path} is missing", remedy) from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"the MNIST file {path} can't be read ({error})", remedy) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != file.md5:
        raise DataError(f"the MNIST file {path} is not the original (MD5 {found}, expected {file.md5})", remedy)
    header = 4 + 4 * len(file.shape)  # bytes: a magic number, and the size of each dimension
    # torch wants arrays that may be written to, and bytes may not.
    return np.frombuffer(bytearray(content), dtype=np.uint8, offset=header).reshape(file.shape)


def _as_digits(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Digits:
    inked = torch.from_numpy(images).unsqueeze(1)  # (N, 1, 28, 28), not copied
    return Digits(inked, torch.from_numpy(labels).long(), torch.arange(len(labels)))


def stratified_split(labels: NDArray[np.integer[Any]], fraction: float = 0.1) -> tuple[Tensor, Tensor]:
    """Set aside a fraction of each digit of labels (N,): the positions that stay and those set aside, ascending, int64.

    The quotas of the ten digits are rounded so that they add up exactly (largest remainder), and the draw uses
    numpy's ``RandomState``, the one generator whose stream is guaranteed never to change between versions.
    """
    quotas = np.bincount(labels, minlength=CLASSES) * fraction
    taken = np.floor(quotas).astype(int)
    missing = round(len(labels) * fraction) - int(taken.sum())
    taken[np.argsort(taken - quotas, kind="stable")[:missing]] += 1  # where rounding down took away most
    random = np.random.RandomState(SPLIT_SEED)
    is_apart = np.zeros(len(labels), dtype=bool)
    for digit, count in enumerate(taken):
        is_apart[random.permutation(np.flatnonzero(labels == digit))[:count]] = True
    return torch.from_numpy(np.flatnonzero(~is_apart)), torch.from_numpy(np.flatnonzero(is_apart))


def stratified_subset(digits: Digits, size: int) -> Digits:
    """A sample with the same mix of classes; smaller samples are contained in larger ones."""
    if size >= len(digits):
        return digits
    _, chosen = stratified_split(digits.labels.numpy(), size / len(digits))
    return digits.subset(chosen)


def split_fingerprint(validation: Digits) -> str:
    """A short name for which digits were set aside; two runs may be compared only if theirs agree."""
    return hashlib.md5(validation.indices.numpy().astype("<i8").tobytes(), usedforsecurity=False).hexdigest()[:12]

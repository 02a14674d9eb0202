"""Who taught it that? The training digits nearest to a picture, in the space of the hidden layer and in pixel space.

Nearest is meant in the hidden layer as in Papernot & McDaniel 2018 (arXiv:1803.04765), by Euclidean distance. Near is
not cause: ``inside --check-neighbours`` puts to the test whether the nearest digits matter more than others.
"""

from __future__ import annotations

import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab.data.mnist import SIDE, Digits, load_mnist, split_fingerprint
from mnist_lab.errors import StorageError
from mnist_lab.networks.compute import Compute, predict_hidden
from mnist_lab.networks.models import DigitNet
from mnist_lab.storage import read_bytes, write_atomically
from mnist_lab.training.checkpoints import digest_of
from mnist_lab.training.runs import RunRecord, require

FEATURES_FILE = "training_features.z"  # in the run's folder
NEIGHBOURS = 8  # that are shown of a picture, unless there is less room
_ROWS = 2048  # training digits that are turned from bytes into floats at once, so that they stay in the cache


@dataclass(frozen=True)
class Nearest:
    """The K training digits nearest to a picture in one space, the nearest first."""

    indices: NDArray[np.int64]  # (K,) positions in the MNIST training file, 0 to 59,999
    labels: NDArray[np.int64]  # (K,)
    distances: NDArray[np.float32]  # (K,) Euclidean; in pixel space of ink from 0 to 1
    images: NDArray[np.uint8]  # (K, 28, 28), white on black

    @property
    def majority(self) -> int:
        """The most frequent label; of several, the one that comes first."""
        return Counter(self.labels.tolist()).most_common(1)[0][0]


@dataclass(frozen=True)
class Neighbours:
    """The training digits nearest to a picture in both spaces; the picture itself is left out."""

    hidden: Nearest
    pixels: Nearest


@dataclass(frozen=True)
class Space:
    """The N training digits as points of D coordinates: a byte each, times the coordinate's step."""

    digits: Digits
    values: Tensor  # (N, D) uint8
    steps: Tensor  # (D,) float32

    @cached_property
    def squares(self) -> Tensor:
        """The squared length of each point, (N,)."""
        return torch.cat([(rows * self.steps).square().sum(dim=1) for rows in self.values.split(_ROWS)])

    def distances(self, point: Tensor) -> Tensor:
        """The Euclidean distances of all training digits, (N,), from a point (D,)."""
        products = torch.cat([rows.float() @ (self.steps * point) for rows in self.values.split(_ROWS)])
        return (self.squares - 2 * products + point @ point).clamp(min=0).sqrt()  # |a - b|² = |a|² - 2 ab + |b|²

    def nearest(self, picture: NDArray[np.uint8], point: Tensor, count: int) -> Nearest:
        """The training digits nearest to a picture (28, 28), which is the ``point`` (D,); itself is not among them."""
        distances, places = self.distances(point).topk(count + 1, largest=False)
        images = self.digits.images[places, 0].numpy()
        others = np.flatnonzero((images != picture).any(axis=(1, 2)))[:count]
        labels, indices = (each[places].numpy()[others] for each in (self.digits.labels, self.digits.indices))
        return Nearest(indices, labels, distances.numpy()[others], images[others])


@cache
def pixel_space() -> Space:
    """The 54,000 training digits by their pixels, ink from 0 to 1."""
    train = load_mnist().train
    return Space(train, train.images.flatten(1), torch.full((SIDE * SIDE,), 1 / 255))


def training_features(run: RunRecord, model: DigitNet, compute: Compute) -> Space:
    """The 54,000 training digits by the activations of a run's hidden units, a byte for each.

    These are all training digits of the split, even if the run was trained on fewer. They are computed once, which
    takes 1 to 2 s, and kept in the run's folder (4 to 6 MB), unless it can't be written to. A file that is damaged, or
    was made with other weights, counts as none.

    A unit's step is its largest activation / 255. Of the 8 nearest digits of exact activations, 99 % stay among them.
    """
    mnist = load_mnist()
    made_of = bytes.fromhex(digest_of({"weights": model.state_dict(), "split": split_fingerprint(mnist.validation)}))
    shape, path = (len(mnist.train), run.config.architecture.hidden), run.folder / FEATURES_FILE
    with suppress(OSError, ValueError, zlib.error):
        steps, values = _read(read_bytes(path, 2 * shape[0] * shape[1]), made_of, shape)
        return Space(mnist.train, values, steps)
    exact = predict_hidden(model, mnist.train.images, compute)  # (N, H)
    steps = exact.max(dim=0).values / 255
    values = (exact / steps.clamp(min=torch.finfo().tiny)).round().to(torch.uint8)  # a silent unit's step is 0
    content = zlib.compress(made_of + steps.numpy().astype("<f4").tobytes() + values.numpy().tobytes(), level=1)
    with suppress(StorageError):
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return Space(mnist.train, values, steps)


def _read(content: bytes, made_of: bytes, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Steps (H,) and values (N, H) of a kept file; ``ValueError`` unless they are whole and of these very weights."""
    numbers, units = shape
    size, unpacking = len(made_of) + 4 * units + numbers * units, zlib.decompressobj()
    plain = bytearray(unpacking.decompress(content, size + 1))
    require(unpacking.eof and len(plain) == size and plain.startswith(made_of), "another file")
    steps = np.frombuffer(plain, "<f4", units, len(made_of)).astype(np.float32)
    require(bool(np.isfinite(steps).all() and (steps >= 0).all()), "impossible steps")
    values = np.frombuffer(plain, np.uint8, offset=len(made_of) + 4 * units).reshape(shape)
    return torch.from_numpy(steps), torch.from_numpy(values)

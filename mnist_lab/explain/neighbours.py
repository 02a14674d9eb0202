"""Who taught it that? The training digits nearest to a picture, in the space of the hidden layer and in pixel space.

Nearest is meant in the hidden layer as in Papernot & McDaniel 2018 (arXiv:1803.04765), by Euclidean distance. Near is
not cause: ``inside --check-neighbours`` puts to the test whether the nearest digits matter more than others.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab.config import TrainConfig
from mnist_lab.data.loader import with_random_labels
from mnist_lab.data.mnist import SIDE, Digits, load_mnist, stratified_subset, to_unit
from mnist_lab.errors import StorageError
from mnist_lab.networks.compute import Compute, computing_with, predict_hidden
from mnist_lab.networks.models import DigitNet
from mnist_lab.storage import read_bytes, write_bytes
from mnist_lab.training.checkpoints import digest_of
from mnist_lab.training.runs import RunRecord, require

FEATURES_FILE = "training_features.z"  # in the run's folder
NEIGHBOURS = 8  # that are shown of a picture, unless there is less room
_ROWS = 2048  # training digits that are turned from bytes into floats at once, so that they stay in the cache


@dataclass(frozen=True)
class Nearest:
    """The K training digits nearest to a picture in one space, the nearest first."""

    indices: NDArray[np.int64]  # (K,) positions in the MNIST training file, 0 to 59,999
    labels: NDArray[np.int64]  # (K,) that the network was given
    distances: NDArray[np.float32]  # (K,) Euclidean; in pixel space of ink from 0 to 1
    images: NDArray[np.uint8]  # (K, 28, 28), white on black

    @property
    def majority(self) -> int:
        """The most frequent label; of several, the smallest."""
        return int(np.bincount(self.labels).argmax())

    def to_dict(self) -> dict[str, Any]:
        """What they are, ready for JSON; without the images."""
        return {name: getattr(self, name).tolist() for name in ("indices", "labels", "distances")}


class Neighbours(NamedTuple):
    """The training digits nearest to a picture in both spaces; the picture itself is left out."""

    hidden: Nearest
    pixels: Nearest


@dataclass(frozen=True)
class Space:
    """The N training digits as points of D coordinates: a byte each, times the coordinate's step."""

    digits: Digits
    values: Tensor  # (N, D) uint8
    steps: Tensor  # (D,) float32
    _parts: dict[tuple[int, bool], tuple[Space, Tensor]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def squares(self) -> Tensor:
        """The squared length of each point, (N,)."""
        return torch.cat([(rows * self.steps).square().sum(dim=1) for rows in torch.split(self.values, _ROWS)])

    @cached_property
    def by_pixels(self) -> Space:
        """The same digits by their pixels, ink from 0 to 1."""
        return Space(self.digits, self.digits.images.flatten(1), torch.full((SIDE * SIDE,), 1 / 255))

    def of_class(self, digit: int) -> tuple[Space, Tensor]:
        """The points of the training digits with this label, and their places (n,) among all."""
        return self._part(digit, is_it=True, every=1)

    def of_others(self, digit: int) -> tuple[Space, Tensor]:
        """The same of every fourth with another label."""
        return self._part(digit, is_it=False, every=4)

    def _part(self, digit: int, is_it: bool, every: int) -> tuple[Space, Tensor]:
        if (digit, is_it) not in self._parts:
            places = torch.nonzero((self.digits.labels == digit) == is_it).flatten()[::every]
            self._parts[digit, is_it] = Space(self.digits, self.values[places], self.steps), places
        return self._parts[digit, is_it]

    def with_more(self, digits: Digits, points: Tensor) -> Space:
        """The same with more digits, which are these points (K, D); beyond the largest value they are cut off."""
        values = torch.cat([self.values, _as_bytes(points, self.steps)])
        return Space(self.digits.followed_by(digits), values, self.steps)

    def distances(self, points: Tensor) -> Tensor:
        """The Euclidean distances (M, N) from some points (M, D) to all training digits."""
        scaled = (self.steps * points).T
        products = torch.cat([rows.float() @ scaled for rows in torch.split(self.values, _ROWS)])  # (N, M)
        lengths = points.square().sum(dim=1, keepdim=True)  # (M, 1)
        return (self.squares - 2 * products.T + lengths).clamp(min=0).sqrt()  # |a - b|² = |a|² - 2 ab + |b|²

    def nearest(self, pictures: NDArray[np.uint8], points: Tensor, count: int) -> list[Nearest]:
        """The training digits nearest to each picture (M, 28, 28), which are the ``points`` (M, D), without itself."""
        found = []
        nearest = self.distances(points).topk(count + 1, largest=False)  # (M, count + 1)
        for picture, distances, places in zip(pictures, *nearest, strict=True):
            digits = self.digits.subset(places)
            parts = digits.indices, digits.labels, distances, digits.images[:, 0]
            others = (parts[-1].numpy() != picture).any(axis=(1, 2))
            found.append(Nearest(*(part.numpy()[others][:count] for part in parts)))
        return found


def training_digits(config: TrainConfig) -> Digits:
    """The digits that a network was trained on, with the labels that it was given."""
    digits = stratified_subset(load_mnist().train, config.train_size)
    return with_random_labels(digits, config.random_labels, config.seed)


def training_features(run: RunRecord, model: DigitNet, compute: Compute) -> Space:
    """A run's training digits by the activations of its hidden units, a byte for each.

    Those of all 54,000 take 1 to 3 s. They are kept in the run's folder (3 to 7 MB), unless it can't be written to. A
    file that is damaged, or belongs to other weights or digits, counts as none.

    A unit's step is its largest activation / 255. Of the 8 digits nearest by exact activations, 99 % stay among them.
    """
    digits = training_digits(run.config)
    made_of = bytes.fromhex(digest_of({"weights": model.state_dict(), "digits": digits.indices}))
    shape, path = (len(digits), run.config.architecture.hidden), run.folder / FEATURES_FILE
    with suppress(OSError, ValueError, zlib.error):
        steps, values = _read(read_bytes(path, 2 * shape[0] * shape[1]), made_of, shape)
        return Space(digits, values, steps)
    exact = predict_hidden(model, digits.images, compute)  # (N, H)
    steps = exact.max(dim=0).values / 255
    values = _as_bytes(exact, steps)
    content = zlib.compress(made_of + steps.numpy().astype("<f4").tobytes() + values.numpy().tobytes(), level=1)
    with suppress(StorageError):
        write_bytes(path, content)
    return Space(digits, values, steps)


def _as_bytes(points: Tensor, steps: Tensor) -> Tensor:
    """Points (N, D) in steps (D,), uint8; a silent unit's step is 0."""
    return (points / steps.clamp(min=torch.finfo().tiny)).round().clamp(max=255).to(torch.uint8)


def _read(content: bytes, made_of: bytes, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Steps (H,) and values (N, H) of a kept file; ``ValueError`` unless they are whole and of these very weights."""
    numbers, units = shape
    size, unpacking = len(made_of) + 4 * units + numbers * units, zlib.decompressobj()
    plain = bytearray(unpacking.decompress(content, size + 1))
    require(unpacking.eof and plain.startswith(made_of), "another file")
    steps = np.frombuffer(plain, "<f4", units, len(made_of)).astype(np.float32)
    require(bool(np.isfinite(steps).all() and (steps >= 0).all()), "impossible steps")
    values = np.frombuffer(plain, np.uint8, offset=len(made_of) + 4 * units).reshape(shape)
    return torch.from_numpy(steps), torch.from_numpy(values)


def neighbours_of(
    pictures: NDArray[np.uint8], space: Space, model: DigitNet, compute: Compute, count: int = NEIGHBOURS
) -> list[Neighbours]:
    """The neighbours of each of a few pictures (M, 28, 28), given the network and its training features."""
    images = torch.from_numpy(pictures.copy()).unsqueeze(1)  # (M, 1, 28, 28)
    with computing_with(1):  # several threads would wait for each other: beside other programs, 40 times as long
        hidden = space.nearest(pictures, predict_hidden(model, images, compute), count)
        pixels = space.by_pixels.nearest(pictures, to_unit(images).flatten(1), count)
    return [Neighbours(*both) for both in zip(hidden, pixels, strict=True)]

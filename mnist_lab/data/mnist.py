"""MNIST from the package's own files: checked, split, and served in whole batches."""

from __future__ import annotations

import gzip
import hashlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mnist_lab.config import AugmentConfig
from mnist_lab.data.augment import augment
from mnist_lab.data.files import MNIST_FILES, MNIST_FOLDER, IdxFile
from mnist_lab.data.pixels import normalise, to_unit
from mnist_lab.data.randomness import derive_seed, seeded_generator
from mnist_lab.errors import DataError

SPLIT_SEED = 20_260_101
"""Seed of the 90/10 split alone: whatever a run's seed, every run is judged on the same 6,000 digits."""
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Digits:
    """Labelled digits, kept in memory as bytes.

    Attributes:
        images: (N, 1, 28, 28) uint8, white ink (255) on black (0).
        labels: (N,) int64, 0 to 9.
        indices: (N,) int64, each digit's position in its MNIST file.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, positions: Tensor) -> Digits:
        """The digits at these positions, (M,) int64, in that order."""
        return Digits(self.images[positions], self.labels[positions], self.indices[positions])

    def class_counts(self) -> list[int]:
        """How many of each digit, 0 to 9."""
        return [int(count) for count in torch.bincount(self.labels, minlength=10)]


@dataclass(frozen=True)
class Mnist:
    """The three parts of the data: 54,000 to train, 6,000 to validate, the official 10,000 to test."""

    train: Digits
    validation: Digits
    test: Digits


@cache
def load_mnist(folder: Path = MNIST_FOLDER) -> Mnist:
    """Read, check and split the four embedded files; kept in memory for the next caller.

    Raises:
        DataError: a file is missing, truncated or altered. Nothing is returned unless all four are right.
    """
    train_images, train_labels, test_images, test_labels = (read_idx(folder, file) for file in MNIST_FILES)
    official_train = as_digits(train_images, train_labels)
    train_positions, validation_positions = stratified_split(train_labels)
    return Mnist(
        train=official_train.subset(train_positions),
        validation=official_train.subset(validation_positions),
        test=as_digits(test_images, test_labels),
    )


def read_idx(folder: Path, file: IdxFile) -> NDArray[np.uint8]:
    """Unzip one IDX file and check its MD5; returns a writable array of ``file.shape``."""
    path = folder / file.name
    remedy = "reinstall MNIST Lab, or copy the file again from its source"
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"the MNIST file {path} is missing", remedy) from None
    except (OSError, EOFError, ValueError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"the MNIST file {path} can't be read ({error})", remedy) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != file.md5:
        raise DataError(f"the MNIST file {path} is not the original (MD5 {found}, expected {file.md5})", remedy)
    values = np.frombuffer(bytearray(content), dtype=np.uint8, offset=file.header)
    return values.reshape(file.shape)


def as_digits(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Digits:
    """Wrap (N, 28, 28) images and (N,) labels as tensors, without copying the images."""
    return Digits(
        images=torch.from_numpy(images).unsqueeze(1),  # (N, 1, 28, 28)
        labels=torch.from_numpy(labels).long(),
        indices=torch.arange(len(labels)),
    )


def stratified_split(
    labels: NDArray[np.integer[Any]], share: float = VALIDATION_SHARE, seed: int = SPLIT_SEED
) -> tuple[Tensor, Tensor]:
    """Set a share of each digit apart for validation.

    The shares of the ten digits are rounded so that they add up exactly (largest remainder), and the draw uses
    numpy's ``RandomState``, the one generator whose stream is promised never to change between versions.

    Args:
        labels: (N,) digits.
        share: fraction of N to set apart.
        seed: of this draw alone.

    Returns:
        The positions to train on and to validate on, each sorted ascending, int64.
    """
    counts = np.bincount(labels, minlength=10)
    quota = largest_remainder(counts * share, total=round(len(labels) * share))
    random = np.random.RandomState(seed)
    validation = np.concatenate(
        [random.permutation(np.flatnonzero(labels == digit))[:take] for digit, take in enumerate(quota)]
    )
    is_validation = np.zeros(len(labels), dtype=bool)
    is_validation[validation] = True
    return torch.from_numpy(np.flatnonzero(~is_validation)), torch.from_numpy(np.flatnonzero(is_validation))


def stratified_subset(digits: Digits, size: int) -> Digits:
    """A sample with the same mix of classes; smaller samples are contained in larger ones."""
    if size >= len(digits):
        return digits
    _, chosen = stratified_split(digits.labels.numpy(), size / len(digits))
    return digits.subset(chosen)


def largest_remainder(quotas: NDArray[np.floating[Any]], total: int) -> NDArray[np.int64]:
    """Round non-negative quotas to whole numbers that add up to ``total``, giving the rest to the largest fractions."""
    whole: NDArray[np.int64] = np.floor(quotas).astype(np.int64)
    missing = total - int(whole.sum())
    by_fraction = np.argsort(whole - quotas, kind="stable")
    whole[by_fraction[:missing]] += 1
    return whole


def split_fingerprint(validation: Digits) -> str:
    """A short name for which digits were set apart; two runs may be compared only if theirs agree."""
    return hashlib.md5(validation.indices.numpy().astype("<i8").tobytes(), usedforsecurity=False).hexdigest()[:12]


class Batch(NamedTuple):
    """What the network trains on: normalised images (B, 1, 28, 28) float32 and labels (B,) int64."""

    images: Tensor
    labels: Tensor


class BatchKey(NamedTuple):
    """Which digits make a batch, and with what seed they are augmented (None: not at all)."""

    positions: Tensor  # (B,) int64
    augment_seed: int | None


class BatchDataset(Dataset[Batch]):
    """Digits in memory, fetched and transformed a whole batch at a time.

    A key carries everything a batch depends on, so it comes out the same from the main process and from any worker.
    """

    def __init__(self, digits: Digits, augmentation: AugmentConfig | None) -> None:
        self.digits = digits
        self.augmentation = augmentation

    def __getitem__(self, key: BatchKey) -> Batch:
        images = to_unit(self.digits.images[key.positions])  # (B, 1, 28, 28)
        labels = self.digits.labels[key.positions]
        if self.augmentation is not None and key.augment_seed is not None:
            generator = torch.Generator().manual_seed(key.augment_seed)
            images = augment(images, labels, self.augmentation, generator)
        return Batch(normalise(images), labels)


class EpochSampler(Sampler[BatchKey]):
    """Deals one epoch's digits into batches, in an order that depends on (seed, epoch) alone."""

    def __init__(self, size: int, batch_size: int, seed: int, epoch_size: int = 0) -> None:
        self.size = size
        self.epoch_size = epoch_size or size
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 1
        self.augmented = True

    def start_epoch(self, epoch: int, *, augmented: bool) -> None:
        """Choose the epoch (from 1) to deal next, and whether its batches are augmented."""
        self.epoch = epoch
        self.augmented = augmented

    def __len__(self) -> int:
        return -(-self.epoch_size // self.batch_size)

    def __iter__(self) -> Iterator[BatchKey]:
        order = self.order()
        for number, positions in enumerate(torch.split(order, self.batch_size)):
            seed = derive_seed(self.seed, self.epoch, number, "augment") if self.augmented else None
            yield BatchKey(positions, seed)

    def order(self) -> Tensor:
        """The positions that this epoch deals, (epoch_size,): whole shuffled passes, the last one cut off."""
        generator = seeded_generator(self.seed, self.epoch, "order")
        passes = -(-self.epoch_size // self.size)
        return torch.cat([torch.randperm(self.size, generator=generator) for _ in range(passes)])[: self.epoch_size]


class TrainLoader:
    """The training digits as batches: a ``DataLoader`` that fetches whole batches, and its epochs."""

    def __init__(
        self,
        digits: Digits,
        augmentation: AugmentConfig | None,
        *,
        batch_size: int,
        seed: int,
        epoch_size: int = 0,
        workers: int = 0,
        start_method: str | None = None,
        pin_memory: bool = False,
    ) -> None:
        """Prepare the loader; worker processes start with the first epoch and stay for all of them.

        Args:
            digits: what to train on.
            augmentation: None for the digits as they are.
            batch_size: digits per batch; the last batch of an epoch holds the rest.
            seed: the run's seed.
            epoch_size: digits dealt in an epoch; 0 for every digit once.
            workers: loader processes; 0 fetches in this process.
            start_method: how workers start ("spawn", "fork", "forkserver"); None is the platform's own way.
            pin_memory: page-locked batches, which travel faster to a CUDA device.
        """
        self.sampler = EpochSampler(len(digits), batch_size, seed, epoch_size)
        self.loader = DataLoader(
            BatchDataset(digits, augmentation),
            batch_size=None,  # the sampler deals whole batches already
            sampler=self.sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context=start_method if workers > 0 else None,
            worker_init_fn=leave_interrupts_to_the_main_process if workers > 0 else None,
            pin_memory=pin_memory,
            generator=seeded_generator(seed, "workers"),
        )

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.sampler)

    def epoch(self, epoch: int, *, augmented: bool = True) -> Iterator[Batch]:
        """The batches of one epoch (from 1)."""
        self.sampler.start_epoch(epoch, augmented=augmented)
        return iter(self.loader)


def leave_interrupts_to_the_main_process(worker_id: int) -> None:
    """Ctrl-C reaches every process of a terminal; a worker that died of it would break the batch being finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

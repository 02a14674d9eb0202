"""Training batches, and the seeds that decide everything random in them.

Every random draw is a pure function of the run's seed, the epoch and a name, however many were made before: a run that
was killed resumes with the draws of the uninterrupted run, and workers draw what the main process would.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mnist_lab.config import CLASSES, AugmentConfig
from mnist_lab.data.augment import augment
from mnist_lab.data.mnist import Digits, normalise, to_unit


def derive_seed(*parts: int | str) -> int:
    """Hash the parts, ``(seed, epoch, "order")`` for example, into an independent seed in [0, 2**63)."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "little") >> 1


def seeded_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator with a derived seed."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def with_random_labels(digits: Digits, fraction: float, seed: int) -> Digits:
    """The same digits, a fraction of them with a label drawn at random, which in one of ten cases is the right one.

    A larger fraction of the same seed contains the smaller one, label by label (Zhang et al. 2017, arXiv:1611.03530).
    """
    generator = seeded_generator(seed, "random labels")
    drawn = torch.randint(CLASSES, digits.labels.shape, generator=generator)
    chosen = torch.randperm(len(digits), generator=generator)[: round(fraction * len(digits))]
    return replace(digits, labels=digits.labels.index_copy(0, chosen, drawn[chosen]))


_CPU = torch.device("cpu")


class Batch(NamedTuple):
    """What the network trains on."""

    images: Tensor  # (B, 1, 28, 28) float32, normalised
    labels: Tensor  # (B,) int64


class _BatchKey(NamedTuple):
    positions: Tensor  # (B,) int64, of its digits
    augment_seed: int | None  # None: not augmented


class _BatchDataset(Dataset[Batch]):
    """Digits in memory, a processor's or a graphics card's, fetched and transformed there a whole batch at a time."""

    def __init__(self, digits: Digits, augmentation: AugmentConfig | None) -> None:
        self.digits = digits
        self.augmentation = augmentation

    def __getitem__(self, key: _BatchKey) -> Batch:
        images = to_unit(self.digits.images[key.positions])  # (B, 1, 28, 28)
        labels = self.digits.labels[key.positions]  # (B,)
        if self.augmentation is not None and key.augment_seed is not None:
            generator = torch.Generator(images.device).manual_seed(key.augment_seed)
            images = augment(images, labels, self.augmentation, generator)
        return Batch(normalise(images), labels)


_AT_ONCE = 1 << 16  # digits that a graphics card augments together: launching its kernels takes longer than they do


class TrainLoader:
    """The training digits as batches; workers start with the first epoch and stay for all of them.

    Args:
        epoch_size: digits in an epoch; 0 for every digit once.
        workers: processes that load data; 0 fetches in this one.
        start_method: "spawn", "fork" or "forkserver"; None is the platform's default.
        device: where the digits lie and are augmented. On a CUDA device no worker is started.
    """

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
        device: torch.device = _CPU,
    ) -> None:
        on_card = device.type == "cuda"
        if on_card:
            digits, workers = digits.to(device), 0
        self.at_once = max(1, _AT_ONCE // batch_size) if on_card else 1  # batches
        self.size = len(digits)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch_size = epoch_size or self.size
        self.keys: list[_BatchKey] = []  # of the current epoch
        self.loader = DataLoader(
            _BatchDataset(digits, augmentation),
            batch_size=None,  # each key is a whole batch already
            sampler=self.keys,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context=start_method if workers > 0 else None,
            worker_init_fn=leave_interrupts_to_the_main_process if workers > 0 else None,
            generator=seeded_generator(seed, "workers"),
        )

    def __len__(self) -> int:
        return -(-self.epoch_size // self.batch_size)  # batches per epoch, the last one perhaps smaller

    def epoch(self, epoch: int, *, augmented: bool = True) -> Iterator[Batch]:
        """The batches of one epoch (from 1), in an order that depends on (seed, epoch) alone."""
        generator = seeded_generator(self.seed, epoch, "order")
        passes = -(-self.epoch_size // self.size)  # whole shuffled passes, the last one cut off
        order = torch.cat([torch.randperm(self.size, generator=generator) for _ in range(passes)])[: self.epoch_size]
        self.keys[:] = [
            _BatchKey(positions, derive_seed(self.seed, epoch, number, "augment") if augmented else None)
            for number, positions in enumerate(torch.split(order, self.at_once * self.batch_size))
        ]
        for together in self.loader:
            yield from map(Batch, *(part.split(self.batch_size) for part in together))


def leave_interrupts_to_the_main_process(worker_id: int) -> None:
    """Ctrl-C reaches every process of a terminal; a worker killed by it would break the batch being finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

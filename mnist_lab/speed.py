"""What the lab's way of training saves: one epoch of it, and one of the common recipe, timed in the same run.

The common recipe is the one of most tutorials: every image is turned into a PIL picture and transformed alone, in a
``DataLoader`` with two worker processes, in batches of 64, with Adam, in float32; validation and test digits go
through the same kind of loader after the epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mnist_lab.config import AugmentConfig, default_config
from mnist_lab.data import Digits, Mnist, leave_interrupts_to_the_main_process
from mnist_lab.device import Compute
from mnist_lab.models import build_model
from mnist_lab.pixels import MEAN, STD
from mnist_lab.trainer import Trainer

COMMON_BATCH_SIZE = 64
COMMON_WORKERS = 2


@dataclass(frozen=True)
class EpochTime:
    """Seconds of one epoch: training, and judging on held-out digits."""

    training: float
    judging: float
    images_trained: int

    @property
    def total(self) -> float:
        """Training and judging."""
        return self.training + self.judging

    @property
    def images_per_second(self) -> float:
        """Training images per second of training."""
        return self.images_trained / self.training


def time_common_epoch(mnist: Mnist, compute: Compute) -> EpochTime:
    """One augmented epoch of 3-layer the common way: training, then validation and test digits."""
    model = build_model("3-layer").to(compute.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    training = picture_loader(mnist.train, training_transforms(AugmentConfig()), shuffle=True)
    held_out = [picture_loader(part, plain_transforms(), shuffle=False) for part in (mnist.validation, mnist.test)]
    start = time.perf_counter()
    model.train()
    for images, labels in training:
        loss = F.cross_entropy(model(images.to(compute.device)), labels.to(compute.device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    trained = time.perf_counter()
    for loader in held_out:
        judge_pictures(model, loader, compute)
    return EpochTime(trained - start, time.perf_counter() - trained, len(mnist.train))


def time_lab_epoch(mnist: Mnist, compute: Compute) -> EpochTime:
    """One augmented epoch of 3-layer the lab's way: training and validation.

    A few steps are taken beforehand, as the first ones of a process also set up the processor's kernels.
    """
    config = replace(default_config("3-layer", augmented=True), epochs=1)
    some = mnist.train.subset(torch.arange(config.batch_size * 4))
    Trainer(compute.place(build_model("3-layer")), some, mnist.validation, config, compute).fit()
    trainer = Trainer(compute.place(build_model("3-layer")), mnist.train, mnist.validation, config, compute)
    start = time.perf_counter()
    trainer.train_epoch(1, lambda progress: None, lambda: False)
    trained = time.perf_counter()
    trainer.validate()
    return EpochTime(trained - start, time.perf_counter() - trained, len(mnist.train))


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """Digits as PIL pictures, one at a time."""

    def __init__(self, digits: Digits, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images = digits.images.squeeze(1).numpy()  # (N, 28, 28)
        self.labels = digits.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[position])), self.labels[position]


def training_transforms(strength: AugmentConfig) -> Callable[[Image.Image], Tensor]:
    """The common chain: two resamplings of the picture, then the tensor."""
    chain: Callable[[Image.Image], Tensor] = transforms.Compose(
        [
            transforms.RandomRotation(strength.rotation),
            transforms.RandomAffine(
                0,
                translate=(strength.shift, strength.shift),
                scale=(1 - strength.scale, 1 + strength.scale),
                shear=strength.shear,
            ),
            transforms.ToTensor(),
            transforms.Normalize([MEAN], [STD]),
            transforms.RandomErasing(p=strength.erasing, scale=strength.erase_area),
        ]
    )
    return chain


def plain_transforms() -> Callable[[Image.Image], Tensor]:
    """Picture to normalised tensor."""
    chain: Callable[[Image.Image], Tensor] = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([MEAN], [STD])]
    )
    return chain


def picture_loader(
    digits: Digits, transform: Callable[[Image.Image], Tensor], *, shuffle: bool
) -> DataLoader[tuple[Tensor, int]]:
    """The common loader: sample by sample, in two processes."""
    return DataLoader(
        PictureDataset(digits, transform),
        batch_size=COMMON_BATCH_SIZE,
        shuffle=shuffle,
        num_workers=COMMON_WORKERS,
        worker_init_fn=leave_interrupts_to_the_main_process,
    )


@torch.no_grad()
def judge_pictures(model: nn.Module, loader: DataLoader[tuple[Tensor, int]], compute: Compute) -> float:
    """Accuracy over a loader."""
    model.eval()
    correct, seen = 0, 0
    for images, labels in loader:
        predictions = model(images.to(compute.device)).argmax(dim=1).cpu()
        correct += int((predictions == labels).sum())
        seen += len(labels)
    return correct / seen

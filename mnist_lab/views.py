"""The data view: the digits themselves, their numbers, their means, and what augmentation does to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mnist_lab import plots
from mnist_lab.augment import augment
from mnist_lab.config import FULL_AUGMENTATION, NO_AUGMENTATION, AugmentConfig
from mnist_lab.data import Digits, Mnist
from mnist_lab.pixels import to_unit
from mnist_lab.randomness import seeded_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

SAMPLES_PER_CLASS = 12
SEED = 0
"""Of the samples shown: everybody sees the same."""


def data_pictures(mnist: Mnist) -> Iterator[tuple[str, Figure]]:
    """The four pictures of the data view, each with its file name. The test digits are counted, not shown."""
    sample = sample_by_class(mnist.train, SAMPLES_PER_CLASS)
    yield "samples.png", plots.sample_grid(sample.images.squeeze(1).numpy(), sample.labels.numpy())
    splits = {"train": mnist.train, "validation": mnist.validation, "test": mnist.test}
    counts = {name: digits.class_counts() for name, digits in splits.items()}
    yield "class_counts.png", plots.class_counts(counts)
    yield "mean_digits.png", plots.mean_digits(mean_digits(mnist.train).numpy(), counts["train"])
    original, variants = augmentation_examples(mnist.train)
    pictures = {name: images.squeeze(1).numpy() for name, images in variants.items()}
    yield "augmentation.png", plots.augmentation_gallery(original.squeeze(1).numpy(), pictures)


def sample_by_class(digits: Digits, per_class: int) -> Digits:
    """Some random digits of each class, class by class."""
    order = torch.randperm(len(digits), generator=seeded_generator(SEED, "samples"))
    labels = digits.labels[order]
    return digits.subset(torch.cat([order[labels == digit][:per_class] for digit in range(10)]))


def mean_digits(digits: Digits) -> Tensor:
    """The mean image of each class, (10, 28, 28), 0 to 1."""
    return torch.stack([to_unit(digits.images[digits.labels == d]).mean(dim=(0, 1)) for d in range(10)])


def augmentation_examples(digits: Digits) -> tuple[Tensor, dict[str, Tensor]]:
    """One digit of each class, and the same ten after each augmentation alone and after all together.

    Returns:
        Images (10, 1, 28, 28) from 0 to 1, and the same per augmentation, named with its strength.
    """
    sample = sample_by_class(digits, 1)
    original = to_unit(sample.images)
    full, none = FULL_AUGMENTATION, NO_AUGMENTATION
    steps = {
        f"rotation\n±{full.rotation:g}°": replace(none, rotation=full.rotation),
        f"shift\n±{100 * full.shift:g} %": replace(none, shift=full.shift),
        f"scale\n±{100 * full.scale:g} %": replace(none, scale=full.scale),
        f"shear\n±{full.shear:g}°": replace(none, shear=full.shear),
        f"elastic\n{100 * full.elastic:g} %": replace(none, elastic=full.elastic),
        f"thickness\n±{full.thickness:g} pixels": replace(none, thickness=full.thickness),
        "strokes\n(every 0, 1, 7)": replace(none, strokes=1.0),
        "erasing\n(every digit)": replace(none, erasing=1.0),
        "the usual mix": AugmentConfig(),
    }
    return original, {
        name: augment(original, sample.labels, config, seeded_generator(SEED, "augmentation", number))
        for number, (name, config) in enumerate(steps.items())
    }

"""The data view: the digits themselves, their numbers, their means, and what augmentation does to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mnist_lab.config import NO_AUGMENTATION, AugmentConfig
from mnist_lab.data.augment import augment
from mnist_lab.data.mnist import Digits, Mnist
from mnist_lab.data.pixels import to_unit
from mnist_lab.data.randomness import seeded_generator
from mnist_lab.training import figures as plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

SAMPLES_PER_CLASS = 12
DRAWS = 4
"""Of each augmentation, to show the strongest: a weak one would look like none at all."""

VISIBLE = 0.08
"""Ink, 0 to 1, by which a pixel changes on average where a digit has got strokes that nobody overlooks."""

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
    groups = augmentation_examples(mnist.train)
    pictures = [{name: images.squeeze(1).numpy() for name, images in group.items()} for group in groups]
    note = f"Orange: the outline before. Each digit as the strongest of {DRAWS} random draws leaves it."
    yield "augmentation.png", plots.augmentation_gallery(pictures, note)


def sample_by_class(digits: Digits, per_class: int) -> Digits:
    """Some random digits of each class, class by class."""
    order = torch.randperm(len(digits), generator=seeded_generator(SEED, "samples"))
    labels = digits.labels[order]
    return digits.subset(torch.cat([order[labels == digit][:per_class] for digit in range(10)]))


def mean_digits(digits: Digits) -> Tensor:
    """The mean image of each class, (10, 28, 28), 0 to 1."""
    return torch.stack([to_unit(digits.images[digits.labels == d]).mean(dim=(0, 1)) for d in range(10)])


def augmentation_examples(digits: Digits) -> list[dict[str, Tensor]]:
    """Ten digits, and the same after each augmentation alone and after all together; strokes have digits of their own.

    Returns:
        Groups of rows, each of images (10, 1, 28, 28) from 0 to 1, named with its strength. A group begins with its
        digits as they are.
    """
    sample = sample_by_class(digits, 1)
    usual, none = AugmentConfig(), NO_AUGMENTATION
    steps = {
        f"rotation\n±{usual.rotation:g}°": replace(none, rotation=usual.rotation),
        f"shift\n±{100 * usual.shift:g} %": replace(none, shift=usual.shift),
        f"scale\n±{100 * usual.scale:g} %": replace(none, scale=usual.scale),
        f"shear\n±{usual.shear:g}°": replace(none, shear=usual.shear),
        "elastic, 3 %\n(off in the recipe)": replace(none, elastic=0.03),
        "thickness, ±0.8 pixels\n(off in the recipe)": replace(none, thickness=0.8),
        "erasing, every digit\n(off in the recipe)": replace(none, erasing=1.0),
    }
    rows = {"original": to_unit(sample.images)}
    rows |= {name: most_changed(sample, config, DRAWS) for name, config in steps.items()}
    rows["the usual mix\n(a single draw)"] = most_changed(sample, usual, 1)
    return [rows, stroke_examples(digits)]


def stroke_examples(digits: Digits) -> dict[str, Tensor]:
    """Four zeros, three ones and three sevens, and the same with strokes: those that suit, as in training."""
    sample = sample_by_class(digits, 60)
    with_strokes = most_changed(sample, replace(NO_AUGMENTATION, strokes=1.0), DRAWS)
    suits = change_of(with_strokes, to_unit(sample.images)) > VISIBLE
    counts = {0: 4, 1: 3, 7: 3}
    found = [torch.nonzero(suits & (sample.labels == digit)).flatten()[:most] for digit, most in counts.items()]
    chosen = torch.cat(found)
    name = f"strokes\n(recipe: {100 * AugmentConfig().strokes:g} % of the zeros)"
    return {"original": to_unit(sample.images[chosen]), name: with_strokes[chosen]}


def most_changed(digits: Digits, config: AugmentConfig, draws: int) -> Tensor:
    """Each digit after the one of some random draws that changed it most, (N, 1, 28, 28)."""
    original, labels = to_unit(digits.images).repeat(draws, 1, 1, 1), digits.labels.repeat(draws)
    changed = augment(original, labels, config, seeded_generator(SEED, "augmentation", repr(config)))
    by_draw = change_of(changed, original).view(draws, -1)  # (D, N)
    strongest = by_draw.argmax(dim=0)
    return changed.view(draws, len(digits), *changed.shape[1:])[strongest, torch.arange(len(digits))]


def change_of(changed: Tensor, original: Tensor) -> Tensor:
    """How much ink each of some images (N, 1, 28, 28) differs by, on average, (N,)."""
    return (changed - original).abs().mean(dim=(1, 2, 3))

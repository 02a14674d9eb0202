"""Digits as people really deliver them: shifted, turned, too large, too bold, noisy, partly hidden.

Each disturbance takes a batch of digits and a strength, and does the same amount to every digit, in a random direction
or place where it has one. They measure networks; nothing is ever trained on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_lab.config import AugmentConfig
from mnist_lab.data.augment import AffineDraw, change_thickness, inverse_affine, warp
from mnist_lab.data.loader import seeded_generator

Disturb = Callable[[Tensor, float, torch.Generator], Tensor]


@dataclass(frozen=True)
class Disturbance:
    """One way to make digits harder.

    Attributes:
        name: for titles.
        unit: of the strength.
        strengths: to be tried, ascending; ``neutral`` is among them.
        neutral: the strength that leaves the digit as it is.
        apply: (B, 1, H, W) from 0 to 1, a strength and a source of random draws to the same shape and range.
        trained: the strengths, from..to, that an augmentation covers; None where it covers none.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    neutral: float
    apply: Disturb
    trained: Callable[[AugmentConfig], tuple[float, float] | None]


def disturb(images: Tensor, disturbance: Disturbance, strength: float) -> Tensor:
    """Disturb a batch, always with the same random draws for a batch of the same size, whatever the strength.

    Args:
        images: (B, 1, H, W), 0 (background) to 1 (ink).
        disturbance: which.
        strength: one of its strengths.

    Returns:
        The same shape and range; the images themselves where the strength changes nothing.
    """
    if strength == disturbance.neutral:
        return images
    return disturbance.apply(images, strength, seeded_generator("disturb", disturbance.name))


def pose(count: int, **changed: Tensor) -> AffineDraw:
    """A pose that leaves every digit as it is, but for what is given."""
    zero, one = torch.zeros(count), torch.ones(count)
    still = AffineDraw(angle=zero, shift_x=zero, shift_y=zero, scale=one, shear=zero, mirror=one)
    return still._replace(**changed)


def shift(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Move every digit by so many pixels, each in its own direction, between pixels if need be (bilinear)."""
    direction = 2 * torch.pi * torch.rand(len(images), generator=generator)
    height, width = images.shape[2:]
    x, y = pixels * torch.cos(direction) / width, pixels * torch.sin(direction) / height
    return warp(images, inverse_affine(pose(len(images), shift_x=x, shift_y=y)))


def rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Turn every digit by so many degrees, to the left or to the right."""
    return warp(images, inverse_affine(pose(len(images), angle=degrees * signs(len(images), generator))))


def scale(images: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    """Shrink or enlarge every digit around the middle."""
    return warp(images, inverse_affine(pose(len(images), scale=torch.full((len(images),), factor))))


def thicken(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Make every stroke bolder (or, below zero, finer) by so many pixels on either side.

    Whole pixels are steps of :func:`mnist_lab.data.augment.change_thickness`; a fraction
    is a fraction of one more step.
    """
    while abs(pixels) > 0:
        step = max(-1.0, min(1.0, pixels))
        images = change_thickness(images, torch.full((len(images),), step))
        pixels -= step
    return images


def add_noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Add independent Gaussian noise to every pixel; what leaves 0..1 is cut off."""
    return (images + deviation * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def hide(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Blacken a square of so many pixels a side (20 at most), somewhere over the 20x20 pixels that hold the digit."""
    count, _, height, width = images.shape
    side = round(pixels)
    margin_y, margin_x = (height - 20) // 2, (width - 20) // 2
    top, left = torch.rand(2, count, 1, generator=generator)
    top = (margin_y + top * (20 - side + 1)).floor()
    left = (margin_x + left * (20 - side + 1)).floor()
    y, x = torch.arange(height), torch.arange(width)
    rows, columns = (y >= top) & (y < top + side), (x >= left) & (x < left + side)  # (B, H), (B, W)
    return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), 0.0)


def signs(count: int, generator: torch.Generator) -> Tensor:
    """(count,) numbers, each -1 or 1."""
    return torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)


def up_to(limit: float) -> tuple[float, float] | None:
    """From nothing to a limit, if there is any."""
    return (0.0, limit) if limit > 0 else None


def hidden_in_training(augment: AugmentConfig) -> tuple[float, float] | None:
    """The sides of squares as large as the smallest and the largest rectangle that erasing takes away."""
    smallest, largest = augment.erase_area
    return (28 * smallest**0.5, 28 * largest**0.5) if augment.erasing > 0 else None


DISTURBANCES = (
    Disturbance("shifted", "pixels", (0, 1, 2, 3, 4, 5, 6), 0, shift, lambda a: up_to(28 * a.shift)),
    Disturbance("rotated", "degrees", (0, 10, 20, 30, 40, 50, 60), 0, rotate, lambda a: up_to(a.rotation)),
    Disturbance(
        "scaled", "times the size", (0.4, 0.6, 0.8, 1.0, 1.2, 1.4), 1.0, scale,
        lambda a: (1 - a.scale, 1 + a.scale) if a.scale > 0 else None,
    ),
    Disturbance(
        "thickened", "pixels a side, below 0: finer", (-0.75, -0.5, 0, 0.5, 1, 1.5, 2), 0, thicken,
        lambda a: (-a.thickness, a.thickness) if a.thickness > 0 else None,
    ),
    Disturbance(
        "noised", "standard deviation; full ink is 1", (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 0, add_noise, lambda a: None,
    ),
    Disturbance(
        "partly hidden", "side of the square in pixels", (0, 2, 4, 6, 8, 10, 12), 0, hide, hidden_in_training,
    ),
)  # fmt: skip
"""The six ways, in the order of the figure."""

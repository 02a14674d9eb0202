"""Random rotation, affine and erasing over a whole batch at once, each sample with its own draw.

The usual way transforms one image after the other, and rotates and shifts in two resamplings that each blur. Here
the rotation and the affine part of every sample are multiplied into one 2x3 matrix, and the whole batch is
resampled once. All of it works on ink between 0 (background) and 1, before normalisation: what enters from outside
the picture, and what is erased, is 0, so background stays background.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lab.config import AugmentConfig


class AffineDraw(NamedTuple):
    """One random pose per sample; each field has the shape (B,).

    The meaning of each is that of ``torchvision.transforms.functional.affine``: positive angles turn clockwise,
    positive shifts move right and down, a positive shear slants the top of the digit to the left.
    """

    angle: Tensor  # degrees
    shift_x: Tensor  # fractions of the width
    shift_y: Tensor  # fractions of the height
    scale: Tensor  # factor, 1 = unchanged
    shear: Tensor  # degrees


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Transform every image of a batch with its own random draw.

    Args:
        images: (B, 1, H, W), floats 0 (background) to 1 (ink).
        config: which transformations, and how strong; a strength of zero switches that one off.
        generator: source of all draws; the same state gives the same batch.

    Returns:
        A new tensor of the same shape and range.
    """
    if config.moves:
        images = warp(images, inverse_affine(draw_affine(len(images), config, generator)))
    if config.erases:
        images = erase(images, config, generator)
    return images


def draw_affine(count: int, config: AugmentConfig, generator: torch.Generator) -> AffineDraw:
    """Draw one pose per sample, every parameter uniform in its symmetric range."""

    def uniform(limit: float) -> Tensor:
        return (2 * torch.rand(count, generator=generator) - 1) * limit  # (B,)

    return AffineDraw(
        angle=uniform(config.rotation),
        shift_x=uniform(config.shift),
        shift_y=uniform(config.shift),
        scale=1 + uniform(config.scale),
        shear=uniform(config.shear),
    )


def inverse_affine(draw: AffineDraw) -> Tensor:
    """The map from each output pixel back to the input place it is taken from.

    Forwards, a point p (measured from the image's centre) goes to ``scale * R(angle) @ S(shear) @ p + shift``.
    Resampling asks the opposite question, so this is the inverse, in ``affine_grid``'s units, where the image
    reaches from -1 to 1 and a shift by the fraction f of the side is 2 f.

    Returns:
        (B, 2, 3) matrices for ``torch.nn.functional.affine_grid``.
    """
    angle, slant = torch.deg2rad(draw.angle), torch.tan(torch.deg2rad(draw.shear))
    cos, sin = torch.cos(angle), torch.sin(angle)
    # S(shear)^-1 @ R(angle)^-1 / scale, written out; the shear keeps y and moves x.
    rows = torch.stack([cos - slant * sin, sin + slant * cos, -sin, cos], dim=1).view(-1, 2, 2)  # (B, 2, 2)
    linear = rows / draw.scale.view(-1, 1, 1)  # (B, 2, 2)
    shift = 2 * torch.stack([draw.shift_x, draw.shift_y], dim=1).unsqueeze(2)  # (B, 2, 1)
    return torch.cat([linear, -linear @ shift], dim=2)  # (B, 2, 3)


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Resample a batch once, bilinearly, through its inverse maps; the outside is background (0).

    Args:
        images: (B, 1, H, W).
        inverse: (B, 2, 3), from :func:`inverse_affine`.
    """
    grid = F.affine_grid(inverse, list(images.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def erase(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Random erasing (Zhong et al. 2020, arXiv:1708.04896): black out one random rectangle in some of the images.

    A rectangle covers a fraction of the image drawn from ``erase_area``, with a height-to-width ratio between 1:3
    and 3:1 (log-uniform), and lies wholly inside.
    """
    count, _, height, width = images.shape
    chosen, area, ratio, top, left = torch.rand(5, count, 1, generator=generator)  # (B, 1) each
    smallest, largest = config.erase_area
    area = (smallest + (largest - smallest) * area) * height * width
    ratio = 3 ** (2 * ratio - 1)
    box_height = (area * ratio).sqrt().round().clamp(1, height)
    box_width = (area / ratio).sqrt().round().clamp(1, width)
    top = (top * (height - box_height + 1)).floor()
    left = (left * (width - box_width + 1)).floor()
    y, x = torch.arange(height), torch.arange(width)
    in_rows = (y >= top) & (y < top + box_height)  # (B, H)
    in_columns = (x >= left) & (x < left + box_width)  # (B, W)
    hit = (chosen < config.erasing) & in_rows  # (B, H)
    erased = hit.unsqueeze(2) & in_columns.unsqueeze(1)  # (B, H, W)
    return images.masked_fill(erased.unsqueeze(1), 0.0)

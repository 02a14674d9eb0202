"""Augmentation of a whole batch at once, each sample with its own draw.

The usual way rotates and shifts in two resamplings, each of which blurs. Here all that moves a sample is multiplied
into one 2x3 matrix, and the whole batch is resampled once. It works on ink between 0 (background) and 1, before
normalisation: what enters from outside the picture, and what is erased, is background.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lab.config import AugmentConfig
from mnist_lab.data.pen_strokes import Strokes, draw_strokes, draw_unit, fit_into_box, ink_of

_KNOTS = 7  # random numbers along each side that an elastic displacement is made of
_BEND_WIDTH = 0.14  # standard deviation of the Gaussian that smooths them, in sides: 4 pixels of 28, as in the paper


class AffineDraw(NamedTuple):
    """One random pose per sample; each field has the shape (B,), and torchvision's meaning.

    Positive angles turn clockwise, positive shifts move right and down, a positive shear slants the top to the left.
    """

    angle: Tensor  # degrees
    shift_x: Tensor  # fractions of the width
    shift_y: Tensor  # fractions of the height
    scale: Tensor  # factor, 1 = unchanged
    shear: Tensor  # degrees
    mirror: Tensor  # -1: left and right are swapped first; 1: they are not


def augment(images: Tensor, labels: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Transform every image of a batch with its own random draw, never in place; shape and range stay the same.

    The images are (B, 1, H, W), 0 (background) to 1 (ink); the labels, (B,), only decide which strokes are added. They
    and the generator are on one device, which does all the work.
    """
    if config.moves:
        images = _move(images, labels, config, generator)
    if config.thickness > 0:
        images = change_thickness(images, _draw_uniform(len(images), config.thickness, generator))
    if config.erases:
        images = _erase(images, config, generator)
    return images


def _move(images: Tensor, labels: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Add strokes, rotate, shift, scale, shear and bend: all that needs resampling, in one step."""
    inverse = inverse_affine(_draw_affine(len(images), config, generator))  # (B, 2, 3)
    bend = _draw_bend(images.shape, config.elastic, generator) if config.elastic > 0 else None
    strokes = draw_strokes(images, labels, config.strokes, generator) if config.strokes > 0 else None
    if strokes is None or not len(strokes.where):  # every other batch, at the usual strength
        return warp(images, inverse, bend)
    return _warp_with_strokes(images, strokes, inverse, bend)


def with_strokes(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Strokes added to all of a batch's digits that suit them, as often as ``FREQUENCIES`` says; nothing else changes.

    Returns which digits they are, (K,), and their images (K, 1, H, W).
    """
    strokes = draw_strokes(images, labels, 1.0, generator)
    which, all_of_them = strokes.where, torch.arange(len(strokes.where), device=images.device)
    if not len(which):  # of which no grid can be made
        return which, images[:0]
    still = torch.eye(2, 3, device=images.device).expand(len(which), 2, 3)
    return which, _warp_with_strokes(images[which], strokes._replace(where=all_of_them), still, bend=None)


def _warp_with_strokes(images: Tensor, strokes: Strokes, inverse: Tensor, bend: Tensor | None) -> Tensor:
    """Warp a batch with strokes added to some of its digits, which are fitted into MNIST's box again before their pose.

    A pose takes p to A p + t. Before it, the fitting takes p to s (p - c): the box's centre c goes to the middle, and
    what lies around it is scaled by s. So pixels are taken from A^-1 (q - t) / s + c, and lines go the other way.
    """
    height, width = images.shape[2:]
    scale, centre = fit_into_box(strokes, len(images))  # (B,), (B, 2)
    half = torch.tensor([width, height], device=images.device) / 2  # pixels; a pose's lengths are in halves
    linear = inverse[:, :, :2] / scale.view(-1, 1, 1)  # (B, 2, 2)
    offset = inverse[:, :, 2] / scale.unsqueeze(1) + centre / half  # (B, 2)
    warped = warp(images, torch.cat([linear, offset.unsqueeze(2)], dim=2), bend)
    shifted = strokes.lines / half - offset[strokes.where, None, None]  # (K, S, 2, 2)
    lines = torch.linalg.solve(linear[strokes.where, None, None], shifted.unsqueeze(-1)).squeeze(-1) * half
    drawn = ink_of(lines, strokes.width, height, width).unsqueeze(1)  # (K, 1, H, W)
    shrunk = (1 / scale[strokes.where] - 1).clamp(max=1)  # a pen is as wide for a small loop as for a large one
    warped[strokes.where] = torch.maximum(change_thickness(warped[strokes.where], shrunk), drawn)
    return warped


def _draw_affine(count: int, config: AugmentConfig, generator: torch.Generator) -> AffineDraw:
    limits = (config.rotation, config.shift, config.shift, config.scale, config.shear)
    angle, shift_x, shift_y, growth, shear = (_draw_uniform(count, limit, generator) for limit in limits)
    mirror = torch.ones_like(angle)
    if config.flip > 0:
        mirror = torch.where(draw_unit(generator, count) < config.flip, -1.0, 1.0)
    return AffineDraw(angle, shift_x, shift_y, 1 + growth, shear, mirror)


def _draw_uniform(count: int, limit: float, generator: torch.Generator) -> Tensor:
    return (2 * draw_unit(generator, count) - 1) * limit  # (count,), from -limit to limit


def inverse_affine(draw: AffineDraw) -> Tensor:
    """The maps (B, 2, 3) from each output pixel back to its place in the input, for ``affine_grid``.

    Forwards, a point p (from the image's centre, which reaches from -1 to 1) goes to
    ``scale * R(angle) @ S(shear) @ M @ p + 2 * shift``, where M is the mirror.
    """
    angle, slant = torch.deg2rad(draw.angle), torch.tan(torch.deg2rad(draw.shear))
    cos, sin = torch.cos(angle), torch.sin(angle)
    # M^-1 @ S(shear)^-1 @ R(angle)^-1 / scale, written out; the shear keeps y and moves x.
    to_x = torch.stack([cos - slant * sin, sin + slant * cos], dim=1) * draw.mirror.unsqueeze(1)  # (B, 2)
    to_y = torch.stack([-sin, cos], dim=1)
    linear = torch.stack([to_x, to_y], dim=1) / draw.scale.view(-1, 1, 1)  # (B, 2, 2)
    shift = 2 * torch.stack([draw.shift_x, draw.shift_y], dim=1).unsqueeze(2)  # (B, 2, 1)
    return torch.cat([linear, -linear @ shift], dim=2)  # (B, 2, 3)


def _draw_bend(shape: torch.Size, strength: float, generator: torch.Generator) -> Tensor:
    """Random smooth displacements (B, H, W, 2) of ``strength`` sides' standard deviation, in ``affine_grid``'s units.

    Elastic distortions after Simard et al. 2003, who blur one random number per pixel with a Gaussian; a coarse grid
    of them does the same for a thirtieth of the work. The separable blur's two passes are small matrix products.
    """
    count, _, height, width = shape
    noise = torch.randn(count, 2, _KNOTS, _KNOTS, generator=generator, device=generator.device)
    down, across = (_blur_matrix(side).to(noise.device) for side in (height, width))
    field = down @ noise @ across.T  # (B, 2, H, W)
    return 2 * strength * field.permute(0, 2, 3, 1)


@cache
def _blur_matrix(side: int) -> Tensor:
    """(side, _KNOTS): the weight of each knot for each pixel, on the CPU."""
    pixels = torch.arange(side).unsqueeze(1)
    knots = torch.linspace(-0.5, side - 0.5, _KNOTS)
    weights = torch.exp(-0.5 * ((pixels - knots) / (_BEND_WIDTH * side)) ** 2)
    return F.normalize(weights, dim=1)  # a row's squares add up to 1: blurred numbers of variance 1 keep it


def change_thickness(images: Tensor, change: Tensor) -> Tensor:
    """Make the strokes of images (B, 1, H, W) finer or bolder, as other pens do, by (B,) from -1 to 1.

    A pixel moves towards the brightest (bolder) or the darkest (finer) of itself and its four neighbours.
    """
    change = change.view(-1, 1, 1, 1)
    signed = torch.where(change < 0, -images, images)  # the darkest is the brightest of the negative
    padded = F.pad(signed, (1, 1, 1, 1))
    upright = torch.maximum(padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1])
    level = torch.maximum(padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:])
    extreme = torch.maximum(torch.maximum(upright, level), signed)
    return images + change.abs() * (torch.where(change < 0, -extreme, extreme) - images)


def warp(images: Tensor, inverse: Tensor, bend: Tensor | None = None) -> Tensor:
    """Resample a batch (B, 1, H, W) once, bilinearly, through inverse maps (B, 2, 3); the outside is background (0).

    ``bend``, (B, H, W, 2), is added to the places that the pixels are taken from, in the same units.
    """
    grid = F.affine_grid(inverse, list(images.shape), align_corners=False)  # (B, H, W, 2)
    if bend is not None:
        grid = grid + bend
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _erase(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Random erasing (Zhong et al. 2020, arXiv:1708.04896): black out one random rectangle in some of the images.

    Its fraction of the image is drawn from ``erase_area``, its height-to-width ratio from 1:3 to 3:1 (log-uniform).
    """
    count, _, height, width = images.shape
    chosen, area, ratio, top, left = draw_unit(generator, 5, count, 1)  # (B, 1) each
    smallest, largest = config.erase_area
    area = (smallest + (largest - smallest) * area) * height * width
    ratio = 3 ** (2 * ratio - 1)
    box_height = (area * ratio).sqrt().round().clamp(1, height)
    box_width = (area / ratio).sqrt().round().clamp(1, width)
    top = (top * (height - box_height + 1)).floor()
    left = (left * (width - box_width + 1)).floor()
    y, x = (torch.arange(side, device=images.device) for side in (height, width))
    in_rows = (y >= top) & (y < top + box_height)  # (B, H)
    in_columns = (x >= left) & (x < left + box_width)  # (B, W)
    hit = (chosen < config.erasing) & in_rows  # (B, H)
    erased = hit.unsqueeze(2) & in_columns.unsqueeze(1)  # (B, H, W)
    return images.masked_fill(erased.unsqueeze(1), 0.0)

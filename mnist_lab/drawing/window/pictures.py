"""The window's colours, and pictures as plain pixels in the one format that every Tk reads."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_lab.drawing.strokes import Drawing, Picture, ink, invert, resample

Pixels: TypeAlias = NDArray[np.uint8]

# Okabe & Ito's colours, as in the figures: blue speaks for a digit, vermilion against it.
BLUE, SKY_BLUE, VERMILION = "#0072B2", "#56B4E9", "#D55E00"
INK, MUTED, FAINT_INK, LOSER = "#22262B", "#5C6570", "#B4BCC6", "#8FA3B5"
PAPER, GROUND, RULE, TRACK, HOVER, CHOSEN = "#FFFFFF", "#F2F4F7", "#D5DAE1", "#EEF1F4", "#E6EDF5", "#D6E8F5"

LATER = (INK, MUTED, LOSER, BLUE, VERMILION, HOVER, CHOSEN)

STRONGEST = 99.0
"""Percentile of a map's pixels from which its colours are full, lest one pixel make all others pale."""
DIMMED = 0.55
"""Brightness of the digit under a map, so that the colours speak."""


def ppm(pixels: Pixels) -> bytes:
    """A picture (H, W, 3) uint8 in the simplest format that Tk reads."""
    height, width, _ = pixels.shape
    return b"P6 %d %d 255 " % (width, height) + pixels.tobytes()


def enlarged(pixels: Pixels, zoom: int) -> Pixels:
    """Every pixel (H, W, 3) as a square of zoom x zoom, without blur."""
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def coloured(picture: Picture, saliency: NDArray[np.float32] | None = None) -> Pixels:
    """A picture in grey, with a map over it if there is one.

    Args:
        picture: (28, 28) uint8, white on black.
        saliency: (28, 28); blue where it is above zero, vermilion where below, the stronger the further from zero.

    Returns:
        (28, 28, 3) uint8.
    """
    grey = np.repeat(picture[..., np.newaxis], 3, axis=2).astype(np.float64)  # (28, 28, 3)
    if saliency is not None:
        values = np.nan_to_num(saliency.astype(np.float64))[..., np.newaxis]  # (28, 28, 1)
        strongest = max(float(np.percentile(np.abs(values), STRONGEST)), 1e-12)
        strength = np.minimum(np.abs(values) / strongest, 1)
        tint = np.where(values > 0, rgb(SKY_BLUE), rgb(VERMILION))  # (28, 28, 3)
        grey = DIMMED * grey * (1 - strength) + tint * strength
    return np.rint(grey).astype(np.uint8)


def disc(side: int, diameter: float, colour: str, ground: str) -> Pixels:
    """A smooth round spot in the middle of (side, side, 3) uint8, which Tk can't draw itself."""
    middles = np.arange(side) + 0.5 - side / 2
    distance = np.hypot(middles, middles[:, np.newaxis])
    covered = np.clip(diameter / 2 + 0.5 - distance, 0, 1)[..., np.newaxis]
    pixels: NDArray[np.float64] = covered * rgb(colour) + (1 - covered) * rgb(ground)
    return np.rint(pixels).astype(np.uint8)


def tick_box(side: int, *, is_ticked: bool) -> Pixels:
    """A small box to tick, (side, side, 3) uint8: blue with a white tick, or an empty frame."""
    line = max(1, round(side / 12))
    pixels = np.full((side, side, 3), rgb(BLUE if is_ticked else MUTED), dtype=np.uint8)
    if is_ticked:
        tick = resample(invert(ink(Drawing((((65, 145), (120, 200), (215, 85)),)), brush=36)), side, side)
        share = tick[..., np.newaxis] / 255  # (side, side, 1)
        return np.rint(share * rgb(PAPER) + (1 - share) * pixels).astype(np.uint8)
    pixels[line:-line, line:-line] = rgb(PAPER)
    return pixels


def mounted(picture: Picture, side: int) -> Pixels:
    """A picture of any size in the middle of a square, as large as it fits, with a thin line around it.

    Small pictures are enlarged by a whole number, so that their pixels stay sharp; large ones are made smaller by area.

    Args:
        picture: (H, W) uint8.
        side: of the square, at least 30.

    Returns:
        (side, side, 3) uint8.
    """
    room, longer = side - 2, max(picture.shape)
    zoom = room // longer
    if zoom:
        fitted = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
    else:
        height, width = (max(1, round(length * room / longer)) for length in picture.shape)
        fitted = resample(picture, height, width)
    height, width = fitted.shape
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), rgb(PAPER), dtype=np.uint8)
    square[top - 1 : top + height + 1, left - 1 : left + width + 1] = rgb(RULE)
    square[top : top + height, left : left + width] = fitted[..., np.newaxis]
    return square


def rgb(colour: str) -> NDArray[np.float64]:
    """``#RRGGBB`` as three numbers 0..255."""
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], dtype=np.float64)

"""Wobbling: a drawing moved off MNIST's way of placing it, to see when a network changes its prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_lab.data.pixels import SIDE
from mnist_lab.drawing.strokes import (
    BOX,
    CANVAS,
    PEN,
    Drawing,
    Picture,
    centre_of_mass,
    crop,
    ink,
    invert,
    pen_width,
    segments,
    squeeze,
    to_mnist,
    visible,
)

UNIT = CANVAS / SIDE
"""Canvas pixels for each pixel of the 28x28 picture."""


@dataclass(frozen=True)
class Wobble:
    """How far the drawing is moved off MNIST's way of placing it; the defaults leave it there."""

    right: float = 0.0  # pixels of the 28x28 picture
    down: float = 0.0  # pixels of the 28x28 picture
    turn: float = 0.0  # degrees, clockwise, about the picture's middle
    size: float = 100.0  # percent of the size it would have, about the picture's middle
    stroke: float = 100.0  # percent of the width that MNIST's lines have


def see(drawing: Drawing, wobble: Wobble) -> Picture | None:
    """What the networks see of a drawing.

    The steps from pen to 28x28 undo most of what a wobble does: wherever a digit was drawn and however large, it ends
    up centred and 20 pixels long. So it is first placed as those steps place it, and wobbled there.

    Returns:
        (28, 28) uint8, white on black; None if there is no ink to see.
    """
    final = to_mnist(drawing)
    if final is None or wobble == Wobble():
        return final
    points = _wobbled(_placed_like_mnist(drawing, final), wobble)
    lines = points.reshape(-1, 2, 2).tolist()  # (S, 2, 2)
    moved = Drawing(tuple(((x0, y0), (x1, y1)) for (x0, y0), (x1, y1) in lines))
    picture = squeeze(invert(ink(moved, PEN * UNIT * wobble.stroke / 100)))
    return picture if picture.any() else None


def _placed_like_mnist(drawing: Drawing, final: Picture) -> NDArray[np.float64]:
    """Move and scale a drawing's lines to where they lie in MNIST's picture, ten canvas pixels for each of its pixels.

    Args:
        drawing: as drawn.
        final: what :func:`to_mnist` makes of it, (28, 28). Inking the result gives nearly the same (fractions of a
            pixel fall differently).

    Returns:
        (2 S, 2): x and y, in canvas pixels, of the start and the end of each of S visible lines in turn.
    """
    light = invert(ink(drawing, pen_width(drawing)))
    scale = UNIT * BOX / max(crop(light).shape)
    # Resampling by area keeps the centre of mass, so the two centres tell how far the ink was moved.
    centre = np.array(centre_of_mass(light)[::-1]) + 0.5  # (2,): x and y
    final_centre = UNIT * (np.array(centre_of_mass(final)[::-1]) + 0.5)
    points: NDArray[np.float64] = visible(segments(drawing)).reshape(-1, 2).astype(np.float64)  # (2 S, 2)
    return final_centre + scale * (points - centre)


def _wobbled(points: NDArray[np.float64], wobble: Wobble) -> NDArray[np.float64]:
    """Resize and turn points (N, 2) about the canvas's middle, then shift them; in canvas pixels, y downwards."""
    angle = math.radians(wobble.turn)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = wobble.size / 100 * np.array([[cosine, sine], [-sine, cosine]])
    return CANVAS / 2 + (points - CANVAS / 2) @ turn + UNIT * np.array([wobble.right, wobble.down])

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

UNIT = CANVAS / SIDE  # canvas pixels for each pixel of the 28x28 picture


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
    lines = _wobbled(_placed_like_mnist(drawing, final), wobble).reshape(-1, 2, 2)  # (S, 2, 2)
    moved = Drawing(tuple(((x0, y0), (x1, y1)) for (x0, y0), (x1, y1) in lines.tolist()))
    picture = squeeze(invert(ink(moved, PEN * UNIT * wobble.stroke / 100)))
    return picture if picture.any() else None


def _placed_like_mnist(drawing: Drawing, final: Picture) -> NDArray[np.float64]:
    """Move and scale a drawing's lines to where they lie in its final picture (28, 28), in canvas pixels.

    Inking them there gives nearly the final picture (fractions of a pixel fall differently).

    Returns:
        (2 S, 2): x and y, in canvas pixels, of the start and the end of each of S visible lines in turn.
    """
    light = invert(ink(drawing, pen_width(drawing)))
    scale = UNIT * BOX / max(crop(light).shape)
    points = visible(segments(drawing)).reshape(-1, 2)  # (2 S, 2)
    # Resampling by area keeps the centre of mass, so the two centres tell how far the ink was moved.
    row, column = centre_of_mass(light)
    final_row, final_column = centre_of_mass(final)
    from_centre = points - np.array([column + 0.5, row + 0.5])
    placed: NDArray[np.float64] = UNIT * np.array([final_column + 0.5, final_row + 0.5]) + scale * from_centre
    return placed


def _wobbled(points: NDArray[np.float64], wobble: Wobble) -> NDArray[np.float64]:
    """Resize and turn points (N, 2) about the canvas's middle, then shift them; in canvas pixels, y downwards."""
    angle = math.radians(wobble.turn)
    turn = wobble.size / 100 * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return CANVAS / 2 + (points - CANVAS / 2) @ turn + UNIT * np.array([wobble.right, wobble.down])

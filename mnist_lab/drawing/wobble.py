"""Wobbling: a drawing moved off MNIST's way of placing it, to see when a network changes its mind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mnist_lab.data.pixels import SIDE
from mnist_lab.drawing.strokes import (
    BOX,
    CANVAS,
    PEN,
    Drawing,
    Picture,
    Point,
    Stroke,
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
    if wobble == Wobble():
        return to_mnist(drawing)
    placed = place_like_mnist(drawing)
    if placed is None:
        return None
    moved = Drawing(wobbled(placed.strokes, wobble))
    picture = squeeze(invert(ink(moved, PEN * CANVAS / SIDE * wobble.stroke / 100)))
    return picture if picture.any() else None


def place_like_mnist(drawing: Drawing) -> Drawing | None:
    """Move and scale the strokes to where they lie in MNIST's picture, ten canvas pixels for each of its pixels.

    Returns:
        What can be seen of the drawing, as lines from point to point, so that squeezing its ink to 28x28 gives nearly
        what :func:`to_mnist` does (fractions of a pixel fall differently); None if there is no ink.
    """
    final = to_mnist(drawing)
    if final is None:
        return None
    light = invert(ink(drawing, pen_width(drawing)))
    scale = CANVAS / SIDE * BOX / max(crop(light).shape)
    # Resampling by area keeps the centre of mass, so the two centres tell how far the ink was moved.
    row, column = (middle + 0.5 for middle in centre_of_mass(light))
    final_row, final_column = ((middle + 0.5) * CANVAS / SIDE for middle in centre_of_mass(final))
    lines = [((x0, y0), (x1, y1)) for x0, y0, x1, y1 in visible(segments(drawing)).tolist()]
    return Drawing(
        tuple(
            tuple((final_column + scale * (x - column), final_row + scale * (y - row)) for x, y in line)
            for line in lines
        )
    )


def wobbled(strokes: Sequence[Stroke], wobble: Wobble) -> tuple[Stroke, ...]:
    """Resize and turn strokes about the canvas's middle, then shift them; the stroke width is not theirs to change.

    Args:
        strokes: in pixels of the 280x280 canvas, ten for each pixel of the picture, y downwards.
        wobble: its shifts are in pixels of the picture.
    """
    middle, unit = CANVAS / 2, CANVAS / SIDE
    angle, size = math.radians(wobble.turn), wobble.size / 100
    cosine, sine = size * math.cos(angle), size * math.sin(angle)

    def moved(point: Point) -> Point:
        x, y = point[0] - middle, point[1] - middle
        return (
            middle + cosine * x - sine * y + unit * wobble.right,
            middle + sine * x + cosine * y + unit * wobble.down,
        )

    return tuple(tuple(map(moved, stroke)) for stroke in strokes)

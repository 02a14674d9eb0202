"""Things that people draw and that are no digits: what the rule for "probably no digit" is chosen and measured on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from mnist_lab.data.mnist import Digits
from mnist_lab.data.pixels import SIDE
from mnist_lab.drawing.recognise import answers_to
from mnist_lab.drawing.strokes import CANVAS, Drawing, Picture, Point, Stroke, to_mnist
from mnist_lab.networks.compute import Compute

LETTERS = "AEFGHKMNPQRTUVWXYadefhkmnrtwxy"
"""Letters that nobody takes for a digit: no O, I, l, S, Z, B, b, g, q, s, z, and the like."""


def lines(random: np.random.Generator) -> Picture:
    """Three to five straight strokes, anywhere."""
    ends = random.uniform(30, CANVAS - 30, (int(random.integers(3, 6)), 2, 2))
    return prepared(*(tuple((float(x), float(y)) for x, y in line) for line in ends))


def scribble(random: np.random.Generator) -> Picture:
    """One long stroke that turns without aim."""
    heading, x, y = random.uniform(0, 2 * math.pi), CANVAS / 2, CANVAS / 2
    points: list[Point] = []
    for _ in range(int(random.integers(80, 160))):
        heading += random.normal(0, 0.7)
        x = float(np.clip(x + 14 * math.cos(heading), 20, CANVAS - 20))
        y = float(np.clip(y + 14 * math.sin(heading), 20, CANVAS - 20))
        points.append((x, y))
    return prepared(tuple(points))


def shapes(random: np.random.Generator) -> Picture:
    """A star, a crossed box, a house, a grid or a face."""
    kinds: tuple[Callable[[], tuple[Stroke, ...]], ...] = (star, crossed_box, house, grid, face)
    strokes = kinds[int(random.integers(len(kinds)))]()
    turn, scale = random.uniform(-0.2, 0.2), random.uniform(0.6, 1.0)
    middle = CANVAS / 2

    def moved(point: Point) -> Point:
        x, y = (point[0] - middle) * scale, (point[1] - middle) * scale
        jitter = random.normal(0, 3, 2)
        return (
            middle + x * math.cos(turn) - y * math.sin(turn) + float(jitter[0]),
            middle + x * math.sin(turn) + y * math.cos(turn) + float(jitter[1]),
        )

    return prepared(*(tuple(moved(point) for point in stroke) for stroke in strokes))


def letter(random: np.random.Generator) -> Picture:
    """A printed letter."""
    text = LETTERS[int(random.integers(len(LETTERS)))]
    image = Image.new("L", (CANVAS, CANVAS), 255)
    ImageDraw.Draw(image).text((CANVAS / 2, CANVAS / 2), text, fill=0, font=letter_font(), anchor="mm")
    picture = to_mnist(np.asarray(image))
    assert picture is not None
    return picture


def shuffled_pixels(random: np.random.Generator, digit: Picture) -> Picture:
    """A digit's pixels in random order, (28, 28) uint8."""
    return random.permutation(digit.ravel()).reshape(SIDE, SIDE)


def prepared(*strokes: Stroke) -> Picture:
    """Strokes as the network would see them."""
    picture = to_mnist(Drawing(tuple(strokes)))
    assert picture is not None
    return picture


def letter_font() -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, so that no system lacks it."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 200)


def circle(x: float, y: float, radius: float) -> Stroke:
    """A closed circle."""
    angles = np.linspace(0, 2 * math.pi, 24)
    return tuple((x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles)


def star() -> tuple[Stroke, ...]:
    """Five points in one stroke."""
    angles = [math.pi / 2 + 4 * math.pi * corner / 5 for corner in range(6)]
    return (tuple((140 + 110 * math.cos(angle), 140 - 110 * math.sin(angle)) for angle in angles),)


def crossed_box() -> tuple[Stroke, ...]:
    """A square with both diagonals."""
    corners = ((50.0, 50.0), (230.0, 50.0), (230.0, 230.0), (50.0, 230.0))
    return ((*corners, corners[0]), (corners[0], corners[2]), (corners[1], corners[3]))


def house() -> tuple[Stroke, ...]:
    """Walls, a roof and a door."""
    walls = ((60.0, 130.0), (60.0, 240.0), (220.0, 240.0), (220.0, 130.0), (60.0, 130.0))
    return (
        walls,
        ((60.0, 130.0), (140.0, 40.0), (220.0, 130.0)),
        ((120.0, 240.0), (120.0, 180.0), (160.0, 180.0), (160.0, 240.0)),
    )


def grid() -> tuple[Stroke, ...]:
    """Two lines across two lines."""
    return (
        ((100.0, 40.0), (100.0, 240.0)),
        ((180.0, 40.0), (180.0, 240.0)),
        ((40.0, 100.0), (240.0, 100.0)),
        ((40.0, 180.0), (240.0, 180.0)),
    )


def face() -> tuple[Stroke, ...]:
    """A circle with two eyes and a mouth."""
    mouth = tuple(
        (140 + 50 * math.cos(angle), 150 + 45 * math.sin(angle)) for angle in np.linspace(0.3, math.pi - 0.3, 12)
    )
    return (circle(140, 140, 105), circle(105, 110, 8), circle(175, 110, 8), mouth)


def examples(count: int, digits: NDArray[np.uint8], seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """So many of each kind.

    Args:
        count: of each kind.
        digits: (N, 28, 28) to shuffle the pixels of, N at least ``count``.
        seed: of all draws.

    Returns:
        Kind to (count, 28, 28) uint8, white on black.
    """
    random = np.random.default_rng(seed)
    kinds = {"lines": lines, "scribbles": scribble, "shapes": shapes, "letters": letter}
    made = {name: np.stack([make(random) for _ in range(count)]) for name, make in kinds.items()}
    return made | {"shuffled pixels": np.stack([shuffled_pixels(random, digit) for digit in digits[:count]])}


def rejected_fractions(
    model: nn.Module, digits: Digits, level: float, compute: Compute, count: int = 200
) -> dict[str, float]:
    """How often the rule for "probably no digit" speaks up: for real digits, wrongly, and for each kind of others.

    Args:
        model: a trained network.
        digits: real ones that the level was not chosen on.
        level: certainty below which a picture is doubted.
        compute: where the model lives.
        count: of each kind that is no digit.
    """
    real = digits.images.squeeze(1).numpy()  # (N, 28, 28)
    pictures = {"real digits": real} | examples(count, real)
    answers = {name: answers_to(model, list(shown), compute) for name, shown in pictures.items()}
    return {name: sum(a.is_doubtful(level) for a in given) / len(given) for name, given in answers.items()}

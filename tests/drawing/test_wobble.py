"""Wobbling: held against scipy's affine transforms of the picture itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from mnist_lab.drawing.strokes import Drawing, Picture, to_mnist
from mnist_lab.drawing.wobble import Wobble, see
from tests.drawing.test_strokes import by_hand

HARDLY = 100.001
"""A stroke width that changes nothing to be seen, but takes the way through placing and wobbling."""


def seen(drawing: Drawing, wobble: Wobble) -> Picture:
    picture = see(drawing, wobble)
    assert picture is not None
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    return picture


def correlation(one: Picture, other: Picture) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize(
    "wobble",
    [
        Wobble(right=2, down=-1.5, stroke=HARDLY),
        Wobble(turn=90, stroke=HARDLY),
        Wobble(turn=-30, stroke=HARDLY),
        Wobble(size=60, stroke=60),
        Wobble(right=3, down=2, turn=40, size=80, stroke=80),
    ],
)
def test_a_wobble_transforms_the_picture(wobble: Wobble) -> None:
    drawing = by_hand(2)
    angle, middle = math.radians(wobble.turn), np.full(2, 13.5)
    sine, cosine = math.sin(angle), math.cos(angle)
    forward = wobble.size / 100 * np.array([[cosine, sine], [-sine, cosine]])  # of row and column
    back = np.linalg.inv(forward)
    offset = middle - back @ (middle + np.array([wobble.down, wobble.right]))
    expected = affine_transform(seen(drawing, Wobble(stroke=HARDLY)).astype(float), back, offset, order=1)
    assert correlation(seen(drawing, wobble), expected) > 0.96


@pytest.mark.parametrize("digit", range(10))
def test_drawings_are_placed_where_mnists_makers_would(digit: int) -> None:
    drawing = by_hand(digit, 0.6, dx=-30, dy=20)
    found, expected = seen(drawing, Wobble(stroke=HARDLY)), to_mnist(drawing)
    assert expected is not None
    assert np.abs(found.astype(int) - expected).mean() < 3.5  # of 255; fractions of a pixel fall differently
    assert correlation(found, expected) > 0.98


def test_without_wobble_the_networks_see_what_they_are_scored_on() -> None:
    assert np.array_equal(seen(by_hand(4), Wobble()), np.asarray(to_mnist(by_hand(4))))


def test_shifts_of_whole_pixels_are_exact_and_strokes_change_their_width_alone() -> None:
    drawing = by_hand(2)
    plain = seen(drawing, Wobble(stroke=HARDLY))
    assert np.array_equal(seen(drawing, Wobble(right=3)), np.roll(plain, 3, axis=1))
    assert np.array_equal(seen(drawing, Wobble(down=-2)), np.roll(plain, -2, axis=0))
    bold, fine = seen(drawing, Wobble(stroke=200)), seen(drawing, Wobble(stroke=50))
    assert bold.sum() > 1.7 * plain.sum() > 3 * fine.sum()


def test_wobbles_start_from_where_the_digit_ends_up_not_from_where_it_was_drawn() -> None:
    wobble = Wobble(right=2, turn=20, size=80)
    assert correlation(seen(by_hand(5), wobble), seen(by_hand(5, 0.5, dx=50, dy=-40), wobble)) > 0.98


@pytest.mark.parametrize("wobble", [Wobble(), Wobble(right=1), Wobble(stroke=50)])
def test_nothing_is_seen_of_nothing(wobble: Wobble) -> None:
    assert see(Drawing(), wobble) is None
    assert see(Drawing((((-60.0, -60.0), (-90.0, 500.0)),)), wobble) is None


def test_what_was_drawn_beyond_the_edge_stays_unseen() -> None:
    """A wobble must not bring back what the canvas cut off."""
    edge = Drawing((((140.0, 60.0), (140.0, 280.0)),))
    beyond = Drawing((((140.0, 60.0), (140.0, 900.0)),))
    wobble = Wobble(turn=1)
    assert np.abs(seen(edge, wobble).astype(int) - seen(beyond, wobble)).max() <= 2

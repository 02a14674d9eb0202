"""Wobbling: geometry computed by hand, and pictures that must come out the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mnist_lab.drawing.strokes import PEN, Drawing, Picture, Stroke, invert, squeeze, to_mnist
from mnist_lab.drawing.strokes import ink as inked
from mnist_lab.drawing.wobble import Wobble, place_like_mnist, see, wobbled
from tests.drawing.test_strokes import by_hand

SQUARE: tuple[Stroke, ...] = (((240.0, 140.0), (140.0, 40.0)), ((100.0, 150.0),))


@pytest.mark.parametrize(
    ("wobble", "expected"),
    [
        (Wobble(), SQUARE),
        (Wobble(right=2, down=-1.5), (((260, 125), (160, 25)), ((120, 135),))),
        (Wobble(turn=90), (((140, 240), (240, 140)), ((130, 100),))),
        (Wobble(turn=-90), (((140, 40), (40, 140)), ((150, 180),))),
        (Wobble(turn=30), (((140 + 50 * math.sqrt(3), 190), (190, 140 - 50 * math.sqrt(3))), ((100.359, 128.660),))),
        (Wobble(size=50), (((190, 140), (140, 90)), ((120, 145),))),
        (Wobble(stroke=250), SQUARE),
        (Wobble(right=1, turn=180, size=150), (((0, 140), (150, 290)), ((210, 125),))),
    ],
)
def test_wobbling_moves_points_as_computed_by_hand(wobble: Wobble, expected: tuple[Stroke, ...]) -> None:
    found = wobbled(SQUARE, wobble)
    assert [len(stroke) for stroke in found] == [2, 1]
    assert np.vstack(found) == pytest.approx(np.vstack(expected), abs=1e-3)


@pytest.mark.parametrize("digit", range(10))
def test_drawings_are_placed_where_mnists_makers_would(digit: int) -> None:
    drawing = by_hand(digit, 0.6, dx=-30, dy=20)
    placed, expected = place_like_mnist(drawing), to_mnist(drawing)
    assert placed is not None
    assert expected is not None
    found = squeeze(invert(inked(placed, PEN * 10)))
    assert np.abs(found.astype(int) - expected).mean() < 3.5  # of 255; fractions of a pixel fall differently
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_without_wobble_the_networks_see_what_they_are_scored_on() -> None:
    drawing = by_hand(4)
    seen, expected = see(drawing, Wobble()), to_mnist(drawing)
    assert seen is not None
    assert np.array_equal(seen, expected if expected is not None else ())


def test_each_wobble_does_what_it_says() -> None:
    drawing = by_hand(2)
    plain = seen(drawing, Wobble(stroke=100.001))
    assert np.array_equal(seen(drawing, Wobble(right=3)), np.roll(plain, 3, axis=1))
    assert np.array_equal(seen(drawing, Wobble(down=-2)), np.roll(plain, -2, axis=0))
    assert np.corrcoef(seen(drawing, Wobble(turn=180)).ravel(), plain[::-1, ::-1].ravel())[0, 1] > 0.5
    assert np.ptp(np.argwhere(seen(drawing, Wobble(size=50))), axis=0).max() < 13
    bold, fine = seen(drawing, Wobble(stroke=200)), seen(drawing, Wobble(stroke=50))
    assert bold.sum() > 1.7 * plain.sum() > 3 * fine.sum()


def seen(drawing: Drawing, wobble: Wobble) -> Picture:
    picture = see(drawing, wobble)
    assert picture is not None
    assert picture.shape == (28, 28)
    assert picture.dtype == np.uint8
    return picture


def test_wobbles_start_from_where_the_digit_ends_up_not_from_where_it_was_drawn() -> None:
    wobble = Wobble(right=2, turn=20, size=80)
    here, there = seen(by_hand(5), wobble), seen(by_hand(5, 0.5, dx=50, dy=-40), wobble)
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.98


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

"""Smooth ink, against the ink that networks see and without a screen."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops

from mnist_lab.drawing import preprocess
from mnist_lab.drawing.strokes import CANVAS, Drawing, Stroke
from mnist_lab.drawing.window.ink import Ink, curves

DENSE: Stroke = tuple((140 + 80 * math.cos(step / 40), 140 + 90 * math.sin(step / 40)) for step in range(200))
FAST = DENSE[::25]  # 50 canvas pixels apart


def followed(stroke: Stroke, side: int, brush: float = 20.0) -> tuple[Ink, Image.Image]:
    """A picture that grew point by point, as the window shows it."""
    ink, shown = Ink(side), Image.new("L", (side, side))
    for point in stroke:
        region, part = ink.follow(point, brush)
        assert part.size == (region[2] - region[0], region[3] - region[1])
        shown.paste(part, region[:2])
    ink.lift(brush)
    return ink, shown


def pixels(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


@pytest.mark.parametrize("stroke", [DENSE, FAST, DENSE[:1], DENSE[:2], ((10.0, 10.0), (10.0, 10.5), (12.0, 10.5))])
@pytest.mark.parametrize("side", [270, 750])
def test_what_grew_point_by_point_is_what_is_drawn_at_once(stroke: Stroke, side: int) -> None:
    ink, shown = followed(stroke, side)
    whole = Ink(side).redraw([stroke], 20.0)
    assert np.abs(pixels(shown) - pixels(whole)).mean() < 0.05
    assert ImageChops.difference(shown, ink._final).getbbox() is None  # and stays, when the pen goes up


def test_what_the_end_of_a_stroke_covered_in_passing_is_paper_again() -> None:
    trembling: Stroke = ((20.0, 100.0), (100.0, 100.0), (107.0, 100.0), (100.0, 106.0), (60.0, 140.0), (60.0, 200.0))
    _, shown = followed(trembling, 280, brush=4.0)
    whole = Ink(280).redraw([trembling], 4.0)
    assert np.abs(pixels(shown) - pixels(whole)).max() < 128


def test_a_stroke_looks_as_the_networks_see_it_only_smoother() -> None:
    shown = pixels(Ink(CANVAS).redraw([DENSE], 20.0))
    seen = 255 - preprocess.ink(Drawing((DENSE,)), 20.0).astype(np.int64)
    assert ((shown > 127) != (seen > 127)).mean() < 0.002
    assert len(np.unique(shown)) > 10  # its edges are grey


def test_a_fast_stroke_is_a_curve_through_its_points() -> None:
    pieces, ends = curves(FAST), list(itertools.pairwise(FAST))
    assert np.array([(piece[0], piece[-1]) for piece in pieces]) == pytest.approx(np.array(ends))
    middles = np.array([piece[len(piece) // 2] for piece in pieces[1:-1]])
    chords = np.array(ends[1:-1]).mean(axis=1)
    off_the_bend, cut_off = (np.abs(np.hypot(*((places - 140) / (80, 90)).T) - 1).max() for places in (middles, chords))
    assert off_the_bend < cut_off / 3


@pytest.mark.parametrize("slope", [0.2, 0.23, 0.37, 0.45])
def test_a_mouse_that_moves_by_whole_pixels_leaves_a_straight_line(slope: float) -> None:
    slanting = tuple((float(round(60 + step * slope)), float(40 + step)) for step in range(200))
    rows = pixels(Ink(CANVAS).redraw([slanting], 20.0))[60:220]
    middle = rows @ np.arange(CANVAS) / rows.sum(axis=1)  # of the line, row by row
    straight = np.polyval(np.polyfit(np.arange(len(rows)), middle, 1), np.arange(len(rows)))
    assert np.abs(middle - straight).max() < 0.25


def test_a_dot_is_round_and_as_wide_as_the_brush() -> None:
    shown = pixels(Ink(560).redraw([((140.0, 140.0),)], 30.0))
    assert shown.sum() / 255 == pytest.approx(math.pi * 30**2, rel=0.03)  # a radius of 30 pixels of the screen


def test_pens_outside_the_canvas_leave_nothing() -> None:
    ink, _ = followed(((-500.0, 140.0), (-400.0, 150.0), (900.0, -300.0)), 280)
    assert ink.redraw([((-500.0, 140.0), (-400.0, 150.0))], 20.0).getbbox() is None

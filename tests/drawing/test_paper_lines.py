"""The lines of ruled and squared paper, margins and boxes: none is left of them, and the digits stay whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from mnist_lab.drawing.images import BLANK, clean_page
from mnist_lab.drawing.preprocess import Picture
from tests.drawing.test_images import WRITTEN, Levels, alike, as_colours, seen


def ruled(levels: Levels, *, upright: bool, slope: float = 0.0, grey: float = 150, spacing: float = 37) -> Levels:
    """Lines two pixels wide on a page, level ones and maybe upright ones, falling by ``slope``."""
    y, x = np.mgrid[: levels.shape[0], : levels.shape[1]]
    is_line = (y - slope * x) % spacing < 2
    if upright:
        is_line |= (x + slope * y) % spacing < 2
    return np.where(is_line, np.minimum(levels, grey), levels)


@pytest.mark.parametrize("slope", [0.0, 0.07])
@pytest.mark.parametrize("upright", [False, True])
def test_lines_of_the_paper_are_no_ink_and_the_digit_stays_whole(upright: bool, slope: float) -> None:
    page = ruled(WRITTEN, upright=upright, slope=slope)
    assert alike(page) > 0.96
    assert alike(page, without="lines") < 0.9
    assert clean_page(as_colours(ruled(np.full((400, 300), 240.0), upright=upright, slope=slope))).trouble is BLANK


@pytest.mark.parametrize("bend", ["bowed", "tilted", "curled", "curled steeply"])
@pytest.mark.parametrize("is_turned", [False, True])
def test_lines_of_a_page_that_is_not_flat_are_no_ink(bend: str, is_turned: bool) -> None:
    across = np.linspace(-1, 1, WRITTEN.shape[1])
    near = np.exp(-(1 - across) / (0.2 if bend == "curled steeply" else 0.5))  # to the spine of a book
    lower = {"bowed": 24 * across**2, "tilted": 20 * across - 12 * across**2}.get(bend, 40 * near)
    is_line = (np.arange(WRITTEN.shape[0])[:, np.newaxis] - lower) % 37 < 2
    empty, page = (np.where(is_line, np.minimum(paper, 150), paper) for paper in (np.full_like(WRITTEN, 240), WRITTEN))
    if is_turned:  # the same page from its side
        assert np.corrcoef(seen(page.T).ravel(), seen(WRITTEN.T).ravel())[0, 1] > 0.95
        assert clean_page(as_colours(empty.T)).trouble is BLANK
    else:
        assert alike(page) > 0.96
        assert clean_page(as_colours(empty)).trouble is BLANK


def test_the_sides_of_a_round_stroke_are_no_box() -> None:
    """An unsteady loop of a 9, above an underline."""
    loop = [(370, 132), (358, 108), (310, 75), (255, 62), (210, 72), (184, 100), (177, 130), (184, 165), (205, 184)]
    way = [*loop, (255, 190), (305, 180), (345, 142), (335, 230), (310, 330)]
    image = Image.new("L", (480, 480), 248)
    for line in (way, [(124, 364), (420, 364)]):
        ImageDraw.Draw(image).line(line, fill=30, width=9, joint="curve")
    drawn = np.asarray(image) < 128
    found = clean_page(as_colours(np.asarray(image).astype(np.float64))).ink < 128
    assert (found & drawn).sum() > 0.95 * drawn.sum()


def test_graph_paper_with_thicker_tenth_lines_leaves_only_the_digit() -> None:
    page = ruled(ruled(WRITTEN, upright=True, grey=222, spacing=12), upright=True, grey=140, spacing=60)
    assert alike(page) > 0.97


def test_lines_that_cross_darker_leave_nothing_behind() -> None:
    """Ink lies on ink there, much darker than most of the page's lines."""
    y, x = np.mgrid[:1000, :800]
    page = np.full(y.shape, 235.0)
    for step, width, share in ((40, 2, 0.88), (200, 5, 0.5)):
        for across in (y - 0.05 * x, x + 0.05 * y):
            page *= np.where(across % step < width, share, 1)
    assert clean_page(as_colours(page)).trouble is BLANK


def test_a_box_around_a_digit_is_no_ink() -> None:
    image = Image.fromarray(WRITTEN.astype(np.uint8))
    ImageDraw.Draw(image).rectangle((25, 30, 275, 370), outline=60, width=3)
    assert alike(np.asarray(image).astype(np.float64)) > 0.97


@pytest.mark.parametrize("digit", [((150, 50), (150, 360)), ((90, 40), (80, 200), (230, 200), (180, 60), (170, 370))])
def test_straight_strokes_are_not_lines_of_the_paper(digit: tuple[tuple[int, int], ...]) -> None:
    """A 1 that is as long as the page is high, and a 4 whose bar is level; on squared paper as well."""
    image = Image.new("L", (300, 400), 240)
    ImageDraw.Draw(image).line(digit, fill=60, width=9, joint="curve")
    plain = np.asarray(image).astype(np.float64)
    assert clean_page(as_colours(plain)).ink.min() == 0
    squared = seen(ruled(plain, upright=True, grey=190))
    assert np.corrcoef(squared.ravel(), seen(plain).ravel())[0, 1] > 0.95


def test_a_narrow_strip_with_lines_is_blank_without_a_warning() -> None:
    """Of a line that crosses it, so few places are known that half of them determine no curve."""
    strip = np.full((200, 20), 240.0)
    strip[:, 19] = 137
    strip[[77, 84, 186]] = 120
    for row, left, right in ((137, 11, 17), (169, 10, 15), (177, 10, 13), (50, 8, 12)):
        strip[row, left:right] = 90
    assert clean_page(as_colours(strip)).trouble is BLANK


def test_ones_below_each_other_on_a_ruled_page_are_no_margin() -> None:
    """Each begins and ends at a line; in pencil, they are as pale, and stand hardly less straight than a line would."""
    image = Image.fromarray(ruled(np.full((600, 800), 240.0), upright=False, grey=175).astype(np.uint8))
    drawn = Image.new("L", image.size)
    for row, aside in enumerate((0, 7, -1, 6)):
        ones = [(500 + aside, 110 + 74 * row), (498 + aside, 172 + 74 * row)]
        for draw, grey in ((ImageDraw.Draw(image), 150), (ImageDraw.Draw(drawn), 255)):
            draw.line(ones, fill=grey, width=3)
    found = clean_page(as_colours(np.asarray(image).astype(np.float64))).ink < 128
    assert found[np.asarray(drawn) > 0].mean() > 0.9


def boxes(*, gap: int, filled: Sequence[int], frame: int = 90) -> tuple[Picture, Picture]:
    """Five printed boxes in a row, aslant, with sevens in some; and the same without the boxes."""
    with_boxes, without = (Image.new("L", (600, 220), 245) for _ in range(2))
    for place in range(5):
        left = 40 + place * (90 + gap)
        ImageDraw.Draw(with_boxes).rectangle((left, 60, left + 90, 160), outline=frame, width=3)
        for image in (with_boxes, without) if place in filled else ():
            way = [(left + 20, 82), (left + 70, 82), (left + 40, 145)]
            ImageDraw.Draw(image).line(way, fill=40, width=7, joint="curve")
    aslant = (image.rotate(-2, Image.Resampling.BICUBIC, fillcolor=245) for image in (with_boxes, without))
    drawn, written = (np.asarray(image) for image in aslant)
    return drawn, written


@pytest.mark.parametrize("gap", [0, 18])
@pytest.mark.parametrize("filled", [(), (0,), (1, 3), (0, 1, 2, 3, 4)])
def test_printed_boxes_are_no_ink_be_they_empty_or_not(gap: int, filled: tuple[int, ...]) -> None:
    drawn, written = boxes(gap=gap, filled=filled)
    page = clean_page(as_colours(drawn.astype(np.float64)))
    assert (page.trouble is BLANK) == (not filled)
    found, ink = page.ink < 128, written < 140
    assert (found & ink).sum() >= 0.95 * ink.sum()
    assert not (found & ~ndimage.binary_dilation(ink, iterations=3)).any()


def test_a_stroke_from_side_to_side_of_a_box_is_none_of_its_sides() -> None:
    """The long foot of a 2, in darker and thicker ink."""
    image = Image.new("L", (400, 300), 245)
    ImageDraw.Draw(image).rectangle((150, 100, 240, 200), outline=140, width=2)
    for way in ([(170, 125), (200, 115), (215, 130), (190, 165)], [(151, 168), (239, 162)]):
        ImageDraw.Draw(image).line(way, fill=50, width=6, joint="curve")
    drawn = np.asarray(image)
    found = clean_page(as_colours(drawn.astype(np.float64))).ink < 128
    assert (found & (drawn < 90)).sum() > 0.9 * (drawn < 90).sum()
    assert not (found & ~ndimage.binary_dilation(drawn < 90, iterations=4)).any()


def test_an_angular_zero_is_no_box() -> None:
    image = Image.new("L", (300, 400), 245)
    ImageDraw.Draw(image).rounded_rectangle((100, 100, 200, 300), radius=45, outline=40, width=12)
    drawn = np.asarray(image)
    page = clean_page(as_colours(drawn.astype(np.float64)))
    assert (page.ink < 128).sum() == pytest.approx((drawn < 140).sum(), rel=0.05)


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("aslant", [0, 14])
def test_the_soft_fold_of_a_ruled_notebook_leaves_nothing(upright: bool, aslant: int) -> None:
    down, across = np.mgrid[:400, :600]
    away = np.abs(across - 420 - aslant * down / 400)
    light = (1 - 0.35 * np.exp(-((away / 30) ** 2))) * (1 - 0.7 * np.exp(-((away / 3) ** 2)))
    paper = ruled(np.full(light.shape, 240.0), upright=upright, grey=180, spacing=31)
    assert clean_page(as_colours(paper * light)).trouble is BLANK
    paper[:, :300] = np.minimum(paper[:, :300], WRITTEN)
    assert alike(paper * light) > 0.95

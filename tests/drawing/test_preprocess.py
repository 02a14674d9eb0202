"""From pen to 28x28: the ink against brute force, steps and wobbles against scipy, Pillow and MNIST itself."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from mnist_lab.data.mnist import Digits, Mnist, normalise
from mnist_lab.drawing.preprocess import (
    FINEST,
    MODES,
    PEN,
    STEP_NAMES,
    Picture,
    Steps,
    Wobble,
    centre,
    crop,
    fit_box,
    from_ink,
    ink,
    ink_again,
    pen_width,
    resample,
    see,
    take_apart,
    to_mnist,
)
from mnist_lab.drawing.strokes import CANVAS, Drawing, segments
from tests.drawing.test_strokes import BY_HAND, by_hand


def line(*points: tuple[float, float]) -> Drawing:
    return Drawing((points,))


def light(drawing: Drawing, brush: float) -> NDArray[np.float64]:
    """How much of each pixel is inked, 0 to 1."""
    return (255 - ink(drawing, brush).astype(np.float64)) / 255


def mnist_like(source: Drawing | Picture, steps: Steps = MODES["mnist"]) -> Picture:
    picture = to_mnist(source, steps)
    assert picture is not None
    return picture


# --- ink ---------------------------------------------------------------------------------------------------------


def side_by_side(left: int, right: int, gap: float = 30) -> Drawing:
    """Two digits, each half as wide as it was, so many canvas pixels apart."""
    strokes: list[tuple[tuple[float, float], ...]] = []
    edge = 20.0
    for digit in (left, right):
        points = [point for stroke in BY_HAND[digit] for point in stroke]
        first = min(x for x, _ in points)
        strokes += [tuple((edge + (x - first) / 1.6, y) for x, y in stroke) for stroke in BY_HAND[digit]]
        edge = max(x for stroke in strokes for x, _ in stroke) + gap
    return Drawing(tuple(strokes))


def supersampled(drawing: Drawing, brush: float, fine: int = 6) -> NDArray[np.float64]:
    """The oracle: of fine x fine points in each pixel, the fraction that lies within half a brush of a line."""
    middles = (np.arange(CANVAS * fine) + 0.5) / fine
    x, y = np.meshgrid(middles, middles)
    inside = np.zeros_like(x, dtype=bool)
    for points in drawing.strokes:
        for start, end in zip(points, points[1:] or points, strict=False):
            a, b = complex(*start), complex(*end)
            along = (x + 1j * y - a) * (b - a).conjugate()
            place = np.clip(along.real / (abs(b - a) ** 2 or 1), 0, 1)
            inside |= np.abs(x + 1j * y - a - place * (b - a)) <= brush / 2
    fractions: NDArray[np.float64] = inside.reshape(CANVAS, fine, CANVAS, fine).mean(axis=(1, 3))
    return fractions


@pytest.mark.parametrize("brush", [2.5, 20.0])
def test_ink_agrees_with_supersampling(brush: float) -> None:
    drawing = Drawing((((40.3, 40.7), (200.2, 90.1), (60.6, 250.9)), ((230.25, 230.5),), ((270, 5), (300, 30))))
    found, expected = light(drawing, brush), supersampled(drawing, brush)
    assert found.shape == (280, 280)
    assert found.sum() == pytest.approx(expected.sum(), rel=0.005)
    assert np.abs(found - expected).max() < 0.25  # at corners of two edges; a distance knows only one of them
    assert np.abs(found - expected)[expected > 0].mean() < 0.03


def test_a_fine_pen_is_paler_but_not_lost() -> None:
    for x in (50, 50.5):  # between two columns of pixels, and within one
        assert light(line((x, 50), (x, 150)), 0.5).sum() == pytest.approx(0.5 * 100, rel=0.05)


def test_ink_follows_the_pen_by_fractions_of_a_pixel() -> None:
    here = ndimage.center_of_mass(light(by_hand(3), 16))
    there = ndimage.center_of_mass(light(by_hand(3, dx=0.3, dy=-0.45), 16))
    assert np.subtract(there, here) == pytest.approx([-0.45, 0.3], abs=0.02)


def test_what_leaves_the_canvas_is_cut_off() -> None:
    far, near = ink(line((-9000, 140.5), (9000, 140.5))), ink(line((-30, 140.5), (310, 140.5)))
    assert np.array_equal(far, near)
    assert (ink(line((-5000, -5000), (-400, 9000))) == 255).all()


def test_repeated_points_change_nothing() -> None:
    (points,) = BY_HAND[0]
    slow = Drawing((tuple(point for point in points for _ in range(3)),))
    assert np.array_equal(ink(slow), ink(Drawing((points,))))


# --- the steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(280, 280), (37, 91), (7, 3), (1, 1)])
def test_resampling_is_by_area(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    parts = picture.astype(np.float64).repeat(20, axis=0).repeat(11, axis=1)
    exact = parts.reshape(20, size[0], 11, size[1]).mean(axis=(1, 3))
    assert np.abs(resample(picture, 20, 11) - exact).max() <= 0.51  # rounded to whole greys


def test_squeezing_is_what_pillow_calls_reducing() -> None:
    picture = ink(by_hand(8))
    expected = np.asarray(Image.fromarray(picture).reduce(10), dtype=int)
    assert np.abs(mnist_like(by_hand(8), MODES["raw"]).astype(int) - expected).max() <= 1
    assert np.abs(mnist_like(by_hand(8), MODES["inverted"]).astype(int) - (255 - expected)).max() <= 1


def test_crop_keeps_the_ink_and_drops_faint_fringes() -> None:
    picture = np.zeros((50, 60), dtype=np.uint8)
    picture[10:30, 5:15] = 200
    picture[30, 5] = 10
    assert np.array_equal(crop(picture), np.full((20, 10), 200))
    assert crop(np.zeros((5, 5), dtype=np.uint8)).size == 0
    parts = np.zeros((40, 40), dtype=np.uint8)
    parts[3, 7], parts[30, 35] = 255, 255  # in parts that do not touch
    assert np.array_equal(255 - crop(parts), 255 - parts[3:31, 7:36])


@pytest.mark.parametrize(
    ("size", "expected"),
    [((200, 100), (20, 10)), ((33, 99), (20 / 3, 20)), ((300, 2), (20, 2 / 15)), ((5, 5), (20, 20))],
)
def test_the_box_keeps_proportions(size: tuple[int, int], expected: tuple[float, float]) -> None:
    fitted = fit_box(np.full(size, 150, dtype=np.uint8)) / 150
    assert fitted.sum() == pytest.approx(expected[0] * expected[1], rel=0.01)  # partly covered pixels are partly grey
    rows, columns = fitted.any(axis=1).sum(), fitted.any(axis=0).sum()
    assert (rows, columns) == tuple(2 * math.ceil(side / 2) for side in expected)
    assert ndimage.center_of_mass(fitted) == pytest.approx([9.5, 9.5], abs=0.01)
    odd = fit_box(np.full((21, 2), 150, dtype=np.uint8)) / 150  # nineteen columns to add
    assert odd.sum() == pytest.approx(20 * 40 / 21, rel=0.01)


def test_box_and_centre_bring_mnists_digits_back(mnist: Mnist) -> None:
    """MNIST's makers fitted and centred every digit; who does as they did finds nothing to change.

    The digits are 20 pixels long, and an even number narrow unless an outer column was too faint to show.
    """
    even = 0
    for image in mnist.test.images[:300, 0].numpy():
        rows, columns = np.nonzero(image)
        inked = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert np.array_equal(centre(image[rows.min() :, columns.min() :]), image)  # from the top left corner
        height, width = inked.shape
        if height % 2 == width % 2 == 0:
            even += 1
            top, left = (20 - height) // 2, (20 - width) // 2
            assert np.array_equal(fit_box(inked)[top : 20 - top, left : 20 - left], inked)
    assert even > 200


def test_a_lopsided_shape_is_not_cut_off() -> None:
    picture = np.zeros((20, 20), dtype=np.uint8)
    picture[:, 0] = 255
    picture[19, :] = 60
    picture[0, 0:2] = 255
    centred = centre(picture)
    assert centred.sum() == picture.sum()
    assert centred[:, :8].sum() == 0  # moved right as far as its foot reaches the edge


@pytest.mark.parametrize("scale", [0.2, 1.0, 1.3])
def test_a_line_comes_out_as_wide_as_the_pen_at_any_size(scale: float) -> None:
    upright = line((140, 140 - 90 * scale), (140, 140 + 90 * scale))
    rows = mnist_like(upright).sum(axis=1) / 255  # the line's width in each row
    assert np.count_nonzero(rows) == 20
    assert rows[8:20] == pytest.approx(PEN, rel=0.06)
    assert pen_width(by_hand(3, 0.4)) == pytest.approx(0.4 * pen_width(by_hand(3)), rel=1e-5)


def stroke_width(picture: Picture) -> float:
    """Four times the mean distance to the edge, which is a quarter of a long line's width; in pixels."""
    enlarged = ndimage.zoom(picture.astype(np.float32), 8, order=1, grid_mode=True, mode="grid-constant")
    inside = enlarged >= 128
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(inside)
    return float(4 * (distance[inside] - 0.5).mean() / 8)


@pytest.mark.parametrize("scale", [0.3, 1.3])
def test_lines_are_as_wide_as_mnists(small: Digits, scale: float) -> None:
    thin, thick = np.percentile([stroke_width(image) for image in small.images[:100, 0].numpy()], [25, 75])
    drawings = [by_hand(digit, scale) for digit in range(10)]
    widths = [stroke_width(mnist_like(drawing)) for drawing in drawings]
    as_drawn = [stroke_width(mnist_like(drawing, Steps().without("pen"))) for drawing in drawings]
    assert thin < np.median(widths) < thick
    assert not thin < np.median(as_drawn) < thick  # one brush can't be right for small and large digits


def test_the_pen_is_chosen_by_what_can_be_seen() -> None:
    seen = line((40, 140), (140, 240), (280, 100))
    leaves = line((40, 140), (140, 240), (280, 100), (2000, -1620))
    assert pen_width(leaves) == pytest.approx(pen_width(seen), rel=1e-4)
    for nothing in (line((-50, 300), (300, 300)), Drawing(), line((140, 140))):
        assert pen_width(nothing) == FINEST


# --- all of it ---------------------------------------------------------------------------------------------------


def test_every_step_does_its_work() -> None:
    pen = ink(by_hand(2), pen_width(by_hand(2)))
    taken = from_ink(pen, Steps())
    assert taken is not None
    assert list(taken) == list(STEP_NAMES[1:])
    assert np.array_equal(taken["invert"], 255 - pen)
    assert taken["crop"].sum() == pytest.approx(taken["invert"].sum(), rel=0.01)
    assert taken["box"].shape == (20, 20)
    assert taken["centre"].shape == (28, 28)
    assert taken["centre"].sum() == taken["box"].sum()
    assert ndimage.center_of_mass(taken["centre"]) == pytest.approx([14, 14], abs=0.5)
    assert np.array_equal(taken["normalise"], taken["centre"])  # every network normalises by itself: the look stays
    assert all(picture.dtype == np.uint8 for picture in taken.values())
    assert np.array_equal(mnist_like(by_hand(2)), taken["centre"])


@pytest.mark.parametrize("name", STEP_NAMES)
def test_each_step_can_be_switched_off(name: str) -> None:
    drawing = by_hand(5, 0.5, dx=40)
    whole, without = mnist_like(drawing), mnist_like(drawing, Steps().without(name))
    assert without.shape == (28, 28)
    assert not np.array_equal(without, whole)
    match name:
        case "invert":
            assert np.array_equal(without, 255 - whole)
        case "centre":
            rows, columns = np.nonzero(without)
            assert (rows.min(), rows.max()) == (4, 23)  # the box in the middle, wherever its ink may be
            assert columns.min() + columns.max() == pytest.approx(27, abs=1)
        case "normalise":
            arrives = normalise(without / 255)  # what the network makes of it
            assert arrives == pytest.approx(whole / 255, abs=0.0064)


def test_what_is_outside_or_blank_gives_nothing() -> None:
    for strokes in ((), (((-50, -50), (-90, 400)),)):
        for steps in MODES.values():
            assert to_mnist(Drawing(strokes), steps) is None
            assert take_apart(Drawing(strokes), steps) is None
        for wobble in (Wobble(), Wobble(right=1), Wobble(stroke=50)):
            assert see(Drawing(strokes), wobble) is None
    for size in ((0, 0), (1, 1), (500, 300)):
        assert to_mnist(np.full(size, 255, dtype=np.uint8)) is None


def test_a_dot_becomes_a_spot_in_the_middle() -> None:
    spot = mnist_like(line((20, 250)))
    assert ndimage.center_of_mass(spot) == pytest.approx([14, 14], abs=0.5)
    assert spot.sum() / 255 == pytest.approx(math.pi * 10**2, rel=0.15)  # a disc of 20 pixels, not a square


def test_a_picture_of_ink_takes_the_same_steps() -> None:
    drawing = by_hand(9)
    picture = ink(drawing, pen_width(drawing))
    larger = np.pad(picture.repeat(3, axis=0).repeat(3, axis=1), ((100, 7), (0, 500)), constant_values=255)
    assert np.abs(mnist_like(larger).astype(int) - mnist_like(drawing)).max() <= 2


def test_thin_and_pale_lines_of_a_picture_are_inked_with_mnists_pen() -> None:
    """Whatever the pen, a picture comes out as the drawing itself does."""
    for digit, brush in itertools.product((2, 5, 8), (2.0, 5.0, 9.0)):
        drawn = ink(by_hand(digit), brush)
        picture, expected = mnist_like(drawn), mnist_like(by_hand(digit))
        assert picture.max() == 255
        assert correlation(picture, expected) > 0.97, (digit, brush)
        assert picture.sum() == pytest.approx(float(expected.sum()), rel=0.1), (digit, brush)
        assert mnist_like(drawn, Steps().without("pen")).sum() < 0.75 * float(expected.sum())


def test_a_hairline_of_a_large_picture_stays_whole() -> None:
    """One pixel wide, in a digit of 900, of which a reduced picture would show a fifth."""
    drawing = by_hand(3)
    xy = (segments(drawing) - segments(drawing).min()) * 4
    image = Image.new("L", (1200, 1200), 255)
    for line in xy.tolist():
        ImageDraw.Draw(image).line(line, fill=0, width=1)
    assert correlation(mnist_like(np.asarray(image)), mnist_like(drawing)) > 0.95


def test_lines_as_wide_as_mnists_stay_as_they_are() -> None:
    for width in (1.0, 1.5):
        drawing = by_hand(3)
        drawn = ink(drawing, width * pen_width(drawing))
        assert ink_again(drawn) is drawn


def nearest_digits(pictures: list[Picture], among: Digits) -> list[int]:
    """The labels of the most alike MNIST digits, by the cosine of their pixels: it was never trained."""
    theirs = among.images.flatten(1).numpy().astype(np.float32)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = np.stack(pictures).reshape(-1, 784).astype(np.float32)
    return [int(label) for label in among.labels.numpy()[(ours @ theirs.T).argmax(axis=1)]]


def test_prepared_digits_look_like_mnists_wherever_they_are_drawn(mnist: Mnist) -> None:
    for scale, dx, dy in ((1.0, 0, 0), (0.3, -90, 80), (1.3, 8, -5)):
        pictures = [mnist_like(by_hand(digit, scale, dx, dy)) for digit in range(10)]
        assert nearest_digits(pictures, mnist.validation) == list(range(10))
    for mode in ("raw", "inverted"):  # small ones in a corner need the steps
        pictures = [mnist_like(by_hand(digit, 0.3, -90, 80), MODES[mode]) for digit in range(10)]
        found = nearest_digits(pictures, mnist.validation)
        assert sum(label == digit for digit, label in enumerate(found)) <= 5


# --- taken apart -------------------------------------------------------------------------------------------------


def test_any_steps_left_out_come_out_as_if_taken_alone() -> None:
    """Each step that is taken stands in its place, and others pass on what they got."""
    drawing = by_hand(2, 0.7, dx=-20, dy=-25)
    drawn, inked_again = ink(drawing, 12.0), ink(drawing, pen_width(drawing))

    def alone(steps: Steps) -> dict[str, Picture]:
        taken = from_ink(inked_again if steps.pen else drawn, steps)
        assert taken is not None
        return taken

    for choice in list(itertools.product([True, False], repeat=len(STEP_NAMES)))[::5]:  # each step on and off
        steps = Steps(*choice)
        found, taken = take_apart(drawing, steps, brush=12.0), alone(steps)
        assert found is not None
        assert np.array_equal(found.stages[0], drawn)
        if steps.pen:
            assert np.array_equal(found.stages[1], inked_again)
        places = {name: place for place, name in enumerate(STEP_NAMES, start=1)}
        for name, place in places.items():
            assert not getattr(steps, name) or name == "pen" or name in taken, steps
            before = found.stages[place - 1]
            if name in taken:
                assert np.array_equal(found.stages[place], taken[name]), steps
            elif name != "pen" or not steps.pen:
                assert found.stages[place] is before, steps
        assert found.stages[-1].shape == (28, 28)
        assert found.chosen is not None
        assert np.array_equal(found.chosen, found.stages[-1])
    whole = take_apart(drawing, Steps(), brush=12.0)
    assert whole is not None
    for name, picture in whole.without.items():
        assert picture is not None
        assert np.array_equal(picture, alone(Steps().without(name))["normalise"])
    assert np.array_equal(whole.whole, mnist_like(drawing))


def test_a_brush_that_leaves_no_ink_leaves_nothing_to_choose() -> None:
    """A line just beyond the edge, within reach of MNIST's pen but not of a finer brush."""
    beyond = Drawing((((-1.2, 40.0), (-1.2, 200.0)),))
    found = take_apart(beyond, Steps().without("pen"), brush=1.0)
    assert found is not None
    assert found.chosen is None
    assert [name for name, picture in found.without.items() if picture is None] == ["pen"]
    assert found.whole.any()


# --- wobbling ----------------------------------------------------------------------------------------------------

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
    expected = ndimage.affine_transform(seen(drawing, Wobble(stroke=HARDLY)).astype(float), back, offset, order=1)
    assert correlation(seen(drawing, wobble), expected) > 0.96


def test_drawings_are_placed_where_mnists_makers_would() -> None:
    for digit in range(10):
        drawing = by_hand(digit, 0.6, dx=-30, dy=20)
        found, expected = seen(drawing, Wobble(stroke=HARDLY)), mnist_like(drawing)
        assert np.abs(found.astype(int) - expected).mean() < 3.5  # of 255; fractions of a pixel fall differently
        assert correlation(found, expected) > 0.98


def test_without_wobble_the_networks_see_what_they_are_scored_on() -> None:
    assert np.array_equal(seen(by_hand(4), Wobble()), mnist_like(by_hand(4)))


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


def test_what_was_drawn_beyond_the_edge_stays_unseen() -> None:
    """A wobble must not bring back what the canvas cut off."""
    edge = Drawing((((140.0, 60.0), (140.0, 280.0)),))
    beyond = Drawing((((140.0, 60.0), (140.0, 900.0)),))
    wobble = Wobble(turn=1)
    assert np.abs(seen(edge, wobble).astype(int) - seen(beyond, wobble)).max() <= 2

"""Several digits in a drawing or a picture: found, in reading order, each alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnist_lab.drawing.digits import Search, find_digits
from mnist_lab.drawing.marks import is_level
from mnist_lab.drawing.places import Ask, number_of
from mnist_lab.drawing.preprocess import Picture, ink, to_mnist
from mnist_lab.drawing.strokes import Drawing, Stroke
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import DigitNet
from tests.drawing.test_preprocess import side_by_side
from tests.drawing.test_strokes import BY_HAND, by_hand


@pytest.fixture
def ask(network: DigitNet, compute: Compute) -> Ask:
    def answer(pictures: Sequence[Picture]) -> list[list[NDArray[np.float64]]]:
        images = torch.from_numpy(np.array(pictures)).unsqueeze(1)
        return [[each] for each in predict_logits(network, images, compute).double().softmax(dim=1).numpy()]

    return answer


def shown(places: Sequence[tuple[int, float, float, float]]) -> Drawing:
    """Digits as drawn by hand, each at x, y, and so high."""
    strokes = []
    for digit, x, y, height in places:
        points = np.array([point for stroke in BY_HAND[digit] for point in stroke])
        low, scale = points.min(axis=0), height / np.ptp(points[:, 1])
        for stroke in BY_HAND[digit]:
            moved = (np.array(stroke) - low) * scale + (x, y)
            strokes.append(tuple((float(a), float(b)) for a, b in moved))
    return Drawing(tuple(strokes))


def test_one_digit_is_one_however_it_is_drawn(ask: Ask) -> None:
    apart_five = (((195, 40), (120, 40)), ((110, 60), (100, 130), *BY_HAND[5][0][3:]))  # the bar touches nothing
    open_four = (((90, 60), (80, 150), (160, 140)), ((172, 60), (165, 230)))
    dotted = (BY_HAND[1][0], ((200, 60),))  # the paper's dirt
    ring_and_dot = (BY_HAND[0][0], ((140, 100), (140, 180)))  # inside, not beside
    for drawing in (*map(by_hand, range(10)), *map(Drawing, (apart_five, open_four, dotted, ring_and_dot))):
        assert len(find_digits(drawing, ask)) == 1
        assert len(find_digits(ink(drawing, 14), ask)) == 1


def test_without_ink_there_are_no_digits(ask: Ask) -> None:
    for source in (Drawing(), Drawing((((-50.0, -50.0), (-60.0, -60.0)),)), np.full((90, 50), 255, dtype=np.uint8)):
        assert find_digits(source, ask) == []


@pytest.mark.parametrize("heights", [[140], [140, 152], [140, 150, 160], [60, 220]])
@pytest.mark.parametrize("width", [0, 160])
def test_level_lines_and_dots_are_ink(ask: Ask, heights: list[int], width: int) -> None:
    strokes = tuple(((60.0, float(height)), (60.0 + width, float(height))) for height in heights)
    assert 1 <= len(find_digits(Drawing(strokes), ask)) <= len(heights)


def test_digits_side_by_side_are_found_in_drawings_and_pictures(ask: Ask) -> None:
    for left, right in itertools.product(range(10), repeat=2):
        assert len(find_digits(side_by_side(left, right), ask)) == 2, (left, right)
    pair = ink(side_by_side(4, 2), 8)
    pale = (255 - (255 - pair.astype(np.float64)) * 0.3).astype(np.uint8)  # a pencil's, in no place half black
    slanted = Drawing((((100, 220), (160, 60)), ((150, 220), (210, 60))))  # with no gap between their columns
    found = [len(find_digits(source, ask)) for source in (pair, np.hstack([pair, pair]), pale, slanted)]
    assert found == [2, 4, 2, 2]


SHEET = [(digit, 15 + 52 * (digit % 5) + 3 * (digit % 2), 30 + 130 * (digit // 5) + digit, 60) for digit in range(10)]


@pytest.mark.parametrize("as_ink", [False, True])
def test_rows_are_read_from_above_and_each_from_left_to_right(ask: Ask, as_ink: bool) -> None:
    drawing = shown(SHEET[::-1])  # drawn in another order
    places = find_digits(ink(drawing, 6) if as_ink else drawing, ask)
    assert [place.row for place in places] == [0] * 5 + [1] * 5
    for (_, x, y, height), place in zip(SHEET, places, strict=True):
        assert (place.box.left, place.box.top) == pytest.approx((x, y), abs=5)
        assert place.box.height == pytest.approx(height, abs=8)
    number = number_of(places)
    assert number == f"{number[:5]} {number[6:]}"
    assert number.replace(" ", "") == "".join(str(place.digit) for place in places)


@pytest.mark.parametrize("as_ink", [False, True])
def test_a_speck_above_a_digit_is_none(ask: Ask, as_ink: bool) -> None:
    drawing = Drawing((((20, 10), (34, 16)), *shown([(7, 100, 60, 150)]).strokes))
    (place,) = find_digits(ink(drawing, 6) if as_ink else drawing, ask)
    assert place.row == 0
    assert place.box.height == pytest.approx(150, abs=8)


_ARC = [(9.0 * (step / 4) ** 2, 80.0 + 8 * step) for step in range(-4, 5)]  # bends to the left
MARKED = [(7, 24, 60, 40), (2, 62, 60, 40), (4, 150, 60, 40), (0, 196, 60, 40)]  # between the 2 and the 4
MARKS: dict[str, list[Stroke]] = {
    "hyphen": [((112.0, 81.0), (126.0, 81.0))],
    "point": [((105.0, 99.0), (106.0, 100.0))],
    "comma": [((107.0, 97.0), (104.0, 107.0))],
    "colon": [((110.0, 73.0), (111.0, 73.0)), ((110.0, 95.0), (111.0, 95.0))],
    "brackets": [tuple((6 + x, y) for x, y in _ARC), tuple((120 - x, y) for x, y in _ARC)],
    "plus": [((109.0, 80.0), (133.0, 82.0)), ((122.0, 68.0), (120.0, 94.0))],
    "times": [((111.0, 70.0), (132.0, 92.0)), ((131.0, 69.0), (110.0, 92.0))],
    "equals": [((109.0, 76.0), (133.0, 74.0)), ((110.0, 87.0), (134.0, 88.0))],
    "divided by": [((107.0, 81.0), (135.0, 81.0)), ((121.0, 71.0), (121.0, 72.0)), ((121.0, 90.0), (121.0, 91.0))],
}
APART = MARKS.keys() - {"point", "comma", "colon"}  # what stands between two numbers


@pytest.mark.parametrize("as_ink", [False, True])
@pytest.mark.parametrize("mark", MARKS)
def test_marks_between_digits_are_none_and_break_no_row(ask: Ask, mark: str, as_ink: bool) -> None:
    digits = shown(MARKED)
    sources = digits, Drawing((*digits.strokes, *MARKS[mark]))
    expected, places = (find_digits(ink(one, 6) if as_ink else one, ask) for one in sources)
    assert len(expected) == 4
    assert [(one.row, one.digit) for one in places] == [(one.row, one.digit) for one in expected]
    assert [one.box.left for one in places] == pytest.approx([one.box.left for one in expected], abs=1)
    number = number_of(expected)
    assert number_of(places) == (f"{number[:2]} {number[2:]}" if mark in APART else number)


@pytest.mark.parametrize("mark", ["plus", "times", "equals", "divided by"])
def test_a_sign_alone_is_ink_that_may_be_a_digit(ask: Ask, mark: str) -> None:
    for source in (Drawing(tuple(MARKS[mark])), ink(Drawing(tuple(MARKS[mark])), 4)):
        assert find_digits(source, ask)


@pytest.mark.parametrize("as_ink", [False, True])
def test_an_open_four_is_no_plus_and_a_crossed_seven_neither(ask: Ask, as_ink: bool) -> None:
    four = [((90.0, 60.0), (80.0, 150.0), (160.0, 140.0)), ((132.0, 65.0), (125.0, 230.0))]
    wide = [((90.0, 70.0), (70.0, 140.0), (180.0, 140.0)), ((130.0, 60.0), (130.0, 210.0))]
    seven = [((80.0, 60.0), (170.0, 60.0), (110.0, 230.0)), ((90.0, 140.0), (160.0, 140.0))]
    for strokes in (four, wide, seven):
        drawing = Drawing((*strokes, *shown([(2, 195.0, 70.0, 100.0)]).strokes))
        assert len(find_digits(ink(drawing, 10) if as_ink else drawing, ask)) == 2


def test_a_single_bracket_may_be_a_one(ask: Ask) -> None:
    for mark in MARKS["brackets"]:
        assert len(find_digits(Drawing((*shown(MARKED).strokes, mark)), ask)) == 5


def ring_around(x: float, y: float, wide: float, high: float, corners: int = 48) -> Stroke:
    turns = np.linspace(0.5, 0.5 + 2 * np.pi, corners + 1)
    return tuple((x + wide * float(np.cos(turn)), y + high * float(np.sin(turn))) for turn in turns)


@pytest.mark.parametrize("as_ink", [False, True])
@pytest.mark.parametrize("corners", [48, 4])
def test_a_circle_or_a_box_around_a_digit_is_none(ask: Ask, corners: int, as_ink: bool) -> None:
    for digit in range(10):
        alone = shown([(digit, 115, 90, 60)])
        framed = Drawing((*alone.strokes, ring_around(135, 120, 75 + 0.1 * digit, 80, corners)))
        expected, found = (find_digits(ink(one, 6) if as_ink else one, ask) for one in (alone, framed))
        assert [place.digit for place in found] == [place.digit for place in expected]
        assert found[0].box.top == pytest.approx(90, abs=4)


@pytest.mark.parametrize("as_ink", [False, True])
@pytest.mark.parametrize("lines", [[130], [132, 146], [140]])
def test_lines_under_digits_are_none(ask: Ask, lines: list[int], as_ink: bool) -> None:
    digits = shown([(7, 60, 60, 60), (4, 125, 60, 60), (2, 190, 60, 60)])
    for left, right in ((50.0, 245.0), (120.0, 178.0)):  # under all of them, and under one
        under = tuple(((left, float(y)), (right, y + 3.0)) for y in lines)
        sources = digits, Drawing((*digits.strokes, *under))
        expected, found = (find_digits(ink(one, 6) if as_ink else one, ask) for one in sources)
        assert [(one.row, one.digit) for one in found] == [(one.row, one.digit) for one in expected]


@pytest.mark.parametrize("as_ink", [False, True])
@pytest.mark.parametrize("above", [[25, 100], []])
def test_the_line_of_a_written_sum_is_nearer_to_the_result(ask: Ask, above: list[float], as_ink: bool) -> None:
    rows = [(digit, 90.0 + 50 * column, y, 45) for y in (*above, 200) for column, digit in enumerate((4, 0, 3))]
    digits, line = shown(rows), ((75.0, 188.0), (240.0, 191.0))
    sources = digits, Drawing((*digits.strokes, line))
    expected, found = (find_digits(ink(one, 6) if as_ink else one, ask) for one in sources)
    assert len(expected) == len(rows)
    if above:
        assert [(one.row, one.digit) for one in found] == [(one.row, one.digit) for one in expected]


def test_specks_too_small_for_ink_are_not_shown_to_the_networks(ask: Ask) -> None:
    """Dots of the paper, or what is left of its lines where they cross."""
    clean = ink(shown([(7, 110, 100, 80)]), 8)
    specked = clean.copy()
    specked[8::40, 8::40] = 0
    (expected,), (found,) = find_digits(clean, ask), find_digits(specked, ask)
    assert np.abs(expected.picture.astype(int) - found.picture).max() < 60


def test_a_level_line_far_lower_than_the_digits_is_none(ask: Ask) -> None:
    """The edge of a page, in a corner of the picture."""
    page = ink(shown([(7, 60, 100, 120), (4, 170, 100, 120)]), 8)
    page[2:8, :40] = 0
    assert [place.row for place in find_digits(page, ask)] == [0, 0]


@pytest.mark.parametrize("as_ink", [False, True])
@pytest.mark.parametrize(
    ("digit", "lines", "left"), [(1, [126, 136], 0), (7, [126, 136], 0), (4, [126], 0), (1, [126], 1)]
)
def test_a_near_line_is_the_foot_only_of_a_one_and_if_it_is_alone(
    digit: int, lines: list[int], left: int, as_ink: bool
) -> None:
    """With a network that takes whatever ends in a level line for a 1, and all else for what it is."""
    alone = shown([(digit, 100, 20, 100)])
    drawing = Drawing((*alone.strokes, *(((80.0, float(y)), (160.0, float(y))) for y in lines)))

    def ask(pictures: Sequence[Picture]) -> list[list[NDArray[np.float64]]]:
        widths = [np.ptp(np.nonzero(picture[np.flatnonzero(picture.any(axis=1))[-2]])) for picture in pictures]
        return [[np.eye(10)[1 if width > 9 else digit]] for width in widths]

    pieces = Search(ink(drawing, 4) if as_ink else drawing, ask).pieces()
    assert sum(is_level(piece.box) for piece in pieces) == left


def test_the_loose_bar_of_a_five_underlines_nothing() -> None:
    five = shown([(5, 100, 160, 80)])
    bar = ((110.0, 148.0), (160.0, 146.0))  # above it, and below a 1
    for strokes, pieces in ((five.strokes, 2), ((*shown([(1, 125, 40, 80)]).strokes, *five.strokes), 3)):
        ones: list[int] = []

        def ask(pictures: Sequence[Picture], ones: list[int] = ones) -> list[list[NDArray[np.float64]]]:
            ones.append(len(pictures))
            return [[np.full(10, 0.1)] for _ in pictures]

        found = find_digits(Drawing((*strokes, bar)), ask)
        assert sum(len(place.source.strokes) for place in found if isinstance(place.source, Drawing)) >= pieces


@pytest.mark.parametrize("as_ink", [False, True])
def test_a_zero_is_no_circle_around_its_own_slash_or_dot(as_ink: bool) -> None:
    zero = ring_around(135, 120, 45, 80)
    for inside in (((125.0, 160.0), (145.0, 80.0)), ((134.0, 112.0), (136.0, 128.0))):
        drawing = Drawing((zero, inside))
        assert len(Search(ink(drawing, 6) if as_ink else drawing, lambda pictures: []).pieces()) == 2


def test_a_column_is_read_from_the_top(ask: Ask) -> None:
    column = [(digit, 120 + 4 * digit, 10 + 66 * at, 52) for at, digit in enumerate((2, 7, 0, 3))]
    places = find_digits(shown(column), ask)
    assert [round(place.box.top) for place in places] == pytest.approx([10, 76, 142, 208], abs=2)
    assert [place.row for place in places] == [0, 1, 2, 3]


def test_in_a_column_no_two_digits_are_one_twice_as_high() -> None:
    def ask(pictures: Sequence[Picture]) -> list[list[NDArray[np.float64]]]:
        """Surer of what is narrow, as two above each other are."""
        widths = [np.ptp(np.nonzero(picture.any(axis=0))) for picture in pictures]
        return [[np.eye(10)[3] if width < 15 else np.full(10, 0.1)] for width in widths]

    places = find_digits(shown([(0, 100, 10, 60), (0, 100, 76, 60), (0, 100, 142, 60)]), ask)
    assert [round(place.box.top) for place in places] == pytest.approx([10, 76, 142], abs=2)


@pytest.mark.parametrize("as_ink", [False, True])
def test_each_digit_is_seen_as_if_it_were_alone(ask: Ask, as_ink: bool) -> None:
    alone = [shown([one]) for one in ((7, 20.0, 60.0, 120.0), (2, 150.0, 70.0, 120.0))]
    both = Drawing(alone[0].strokes + alone[1].strokes)
    sources = [ink(drawing, 14) if as_ink else drawing for drawing in (both, *alone)]
    for place, single in zip(find_digits(sources[0], ask), sources[1:], strict=True):
        expected = to_mnist(single)
        assert expected is not None
        assert np.abs(place.picture.astype(int) - expected).max() <= 2
        again = to_mnist(place.source)
        assert again is not None
        assert np.array_equal(place.picture, again)
        assert np.array_equal(place.vote, ask([place.picture])[0][0])


@pytest.mark.parametrize("as_ink", [False, True])
def test_digits_that_touch_are_cut_where_that_makes_both_surer(ask: Ask, as_ink: bool) -> None:
    seven, two = shown([(7, 30, 60, 120)]), shown([(2, 110, 60, 120)])
    right = max(x for stroke in seven.strokes for x, _ in stroke)
    left = min(x for stroke in two.strokes for x, _ in stroke)
    drawing = Drawing((*seven.strokes, *two.strokes, ((right, 62.0), (left, 100.0))))
    places = find_digits(ink(drawing, 8) if as_ink else drawing, ask)
    assert (len(places), places[0].digit) == (2, 7)


def test_a_straight_line_is_not_cut_however_sure_of_its_parts_a_network_is() -> None:
    asked: list[int] = []

    def ask(pictures: Sequence[Picture]) -> list[list[NDArray[np.float64]]]:
        asked.append(len(pictures))
        return [[np.eye(10)[1]] for _ in pictures]

    for end in ((180, 110), (180, 150), (220, 120)):
        assert len(find_digits(Drawing((((100.0, 100.0), end),)), ask)) == 1
    assert sum(asked) == 3


@pytest.mark.parametrize(("read_as", "is_two"), [(1, True), (8, False)])
def test_lines_too_long_for_the_digit_that_is_read_are_two(read_as: int, is_two: bool) -> None:
    search = Search(side_by_side(7, 7), lambda pictures: [[np.eye(10)[read_as]] for _ in pictures])
    group = tuple(search.pieces())
    search.ask([group])
    assert (max(cut.odds(2.0) for cut in search.cuts(group)) > 0) == is_two

"""The X-ray taken in one pass, held against the steps taken one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mnist_lab.drawing.strokes import STEP_NAMES, Drawing, Steps, prepare, to_mnist
from mnist_lab.drawing.xray import STEP_TEXTS, name_steps, take_apart
from tests.drawing.test_strokes import by_hand

EVERY_CHOICE = [Steps(*choice) for choice in itertools.product([True, False], repeat=len(STEP_NAMES))]


def test_with_all_steps_it_shows_what_preparing_shows() -> None:
    drawing = by_hand(3, 0.6, dx=30)
    found, expected = take_apart(drawing, Steps(), brush=31.0), prepare(drawing, brush=31.0)
    assert found is not None
    assert expected is not None
    names = ["raw", "pen", "inverted", "cropped", "20-pixel box", "centred", "normalised"]
    assert [stage.name for stage in expected] == names
    for picture, stage in zip(found.stages, expected, strict=True):
        assert np.array_equal(picture, stage.picture)


@pytest.mark.parametrize("steps", EVERY_CHOICE, ids=str)
def test_what_comes_out_is_what_the_steps_alone_would_make(steps: Steps) -> None:
    drawing = by_hand(7, 0.5, dx=-40, dy=30)
    found = take_apart(drawing, steps, brush=12.0)
    assert found is not None
    for picture, chosen in [
        (found.chosen, steps),
        (found.whole, Steps()),
        *((found.without[name], Steps().without(name)) for name in STEP_NAMES),
    ]:
        expected = to_mnist(drawing, chosen, brush=12.0)
        assert picture is not None
        assert expected is not None
        assert np.array_equal(picture, expected)


@pytest.mark.parametrize("steps", EVERY_CHOICE, ids=str)
def test_every_step_taken_is_shown_in_its_place_and_others_pass_on_what_they_got(steps: Steps) -> None:
    drawing = by_hand(2, 0.7, dy=-25)
    found, expected = take_apart(drawing, steps, brush=12.0), prepare(drawing, steps, brush=12.0)
    assert found is not None
    assert expected is not None
    taken = {stage.name: stage.picture for stage in expected}
    places = {"raw": 0, "pen": 1, "inverted": 2, "cropped": 3, "20-pixel box": 4, "squeezed": 4}
    places |= {"centred": 5, "in the middle": 5, "normalised": 6, "as 0 to 1": 6}
    assert len(found.stages) == 7
    for name, picture in taken.items():
        assert np.array_equal(found.stages[places[name]], picture)
    for place in set(range(1, 7)) - {places[name] for name in taken}:
        assert found.stages[place] is found.stages[place - 1]
    assert found.stages[-1].shape == (28, 28)


def test_nothing_comes_of_nothing() -> None:
    assert take_apart(Drawing(), Steps()) is None
    assert take_apart(Drawing((((-60.0, -60.0), (-90.0, 500.0)),)), Steps()) is None


def test_a_brush_that_leaves_no_ink_leaves_nothing_to_choose() -> None:
    """A line just beyond the edge, within reach of MNIST's pen but not of a finer brush."""
    beyond = Drawing((((-1.2, 40.0), (-1.2, 200.0)),))
    found = take_apart(beyond, Steps().without("pen"), brush=1.0)
    assert found is not None
    assert found.chosen is None
    assert [name for name, picture in found.without.items() if picture is None] == ["pen"]
    assert found.whole.any()


def test_steps_are_named_in_few_words() -> None:
    assert tuple(STEP_TEXTS) == STEP_NAMES
    assert name_steps(Steps()) == "All steps"
    assert name_steps(Steps().without("invert")) == "Without invert"
    assert name_steps(Steps().without("pen").without("box")) == "Without MNIST's pen, 20-pixel box"
    assert name_steps(Steps(*[False] * len(STEP_NAMES))) == "No step at all"

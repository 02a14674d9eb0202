"""What a learner expects, in words: understood, and graded against numbers worked by hand."""

from __future__ import annotations

import pytest

from mnist_lab.experiments.predictions import Prediction, grade_prediction, parse_prediction
from mnist_lab.experiments.statistics import PairedDifference, verdict
from tests.experiments.test_statistics import difference_of

NETWORKS = ("1-layer", "2-layer", "3-layer")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3-layer wins by 0.5", Prediction("3-layer", 0.5)),
        ("3-layer by 0.5", Prediction("3-layer", 0.5)),
        ("  3-Layer  will win by about .5 percentage points. ", Prediction("3-layer", 0.5)),
        ("3-layer: 0,5 %", Prediction("3-layer", 0.5)),
        ("3-layer +0.5", Prediction("3-layer", 0.5)),
        ("0.5 for 3-layer", Prediction("3-layer", 0.5)),
        ("~2 points for 1-layer", Prediction("1-layer", 2.0)),
        ("2-layer", Prediction("2-layer", None)),
        ("2-layer is better!", Prediction("2-layer", None)),
        ("3-layer beats 2-layer by 0.1 points", Prediction("3-layer", 0.1, "2-layer")),
        ("3-layer is better than 1-layer", Prediction("3-layer", None, "1-layer")),
        ("3-layer>1-layer", Prediction("3-layer", None, "1-layer")),
        ("No difference", Prediction(None, 0.0)),
        ("the same.", Prediction(None, 0.0)),
        ("0", Prediction(None, 0.0)),
        ("3-layer by 0.0", Prediction("3-layer", 0.0)),
        ("I think that 3-layer will be 0.2 points better than 2-layer", Prediction("3-layer", 0.2, "2-layer")),
        ("1-layer loses by 0.5", Prediction(None, 0.5, "1-layer")),
        ("1-layer will lose 0.5 points.", Prediction(None, 0.5, "1-layer")),
        ("1-layer is slightly worse", Prediction(None, None, "1-layer")),
        ("1-layer worse than 3-layer", Prediction("3-layer", None, "1-layer")),
        ("1-layer is clearly worse than 3-layer by 0.4", Prediction("3-layer", 0.4, "1-layer")),
        ("1-layer loses to 2-layer", Prediction("2-layer", None, "1-layer")),
        ("1-layer < 2-layer", Prediction("2-layer", None, "1-layer")),
        ("1-layer is 0.3 points worse than 2-layer", Prediction("2-layer", 0.3, "1-layer")),
        ("2-layer and 3-layer are equal", Prediction("2-layer", 0.0, "3-layer")),
        ("I expect no difference between 2-layer and 3-layer", Prediction("2-layer", 0.0, "3-layer")),
        ("2-layer = 3-layer", Prediction("2-layer", 0.0, "3-layer")),
        ("2-layer is as good as 3-layer", Prediction("2-layer", 0.0, "3-layer")),
    ],
)
def test_predictions_that_are_understood(text: str, expected: Prediction) -> None:
    assert parse_prediction(text, NETWORKS) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4-layer by 0.5",
        "0.5",
        "3-layer loses by -0.5",
        "3-layer: 99.5",
        "3-layer helps",  # over which?
        "3-layer = 3-layer",
        "3-layer by -0.5",
        "3-layer by 1,000",
        "3-layer by 101",
        "3-layer by nan",
        "3-layer by 1e3",
        "3-layer beats 3-layer",
        "I think that 3-layer wins, because it sees more",
        "3-layer or 2-layer",
        "no difference between 2-layer and 3-layer except at the 9",
        "3-layer by 0.5 (or not",
    ],
)
def test_anything_else_is_free_text(text: str) -> None:
    assert parse_prediction(text, NETWORKS) is None


def test_names_are_taken_whole() -> None:
    names = ("aug", "aug (strong)", "no aug", "none", "dropout 0.5")
    assert parse_prediction("aug (strong) by 0.2", names) == Prediction("aug (strong)", 0.2)
    assert parse_prediction("no aug by 0.2", names) == Prediction("no aug", 0.2)
    assert parse_prediction("none", names) == Prediction("none", None)
    assert parse_prediction("dropout 0.5 by 0.1", names) == Prediction("dropout 0.5", 0.1)
    assert parse_prediction("none > aug", names) == Prediction("none", None, "aug")
    assert parse_prediction("by 0.5", ()) is None
    assert parse_prediction("no difference", ()) == Prediction(None, 0.0)


def test_a_denial_is_not_taken_for_a_recipe_of_that_name() -> None:
    names = ("neither", "dropout", "both")
    for text in (
        "neither helps",
        "neither wins",
        "neither is better by 0.1",
        "neither loses 0.1",
        "both win",
        "both are worse",
    ):
        assert parse_prediction(text, names) is None
    assert parse_prediction("both wins by 0.3", names) == Prediction("both", 0.3)
    assert parse_prediction("neither by 0.1", names) == Prediction("neither", 0.1)
    assert parse_prediction("dropout is worse than neither", names) == Prediction("neither", None, "dropout")


def grade(prediction: Prediction | None, name_a: str, name_b: str, difference: PairedDifference) -> str:
    """The grade beside the verdict of a lone comparison."""
    assert prediction is not None
    found = verdict(name_a, name_b, difference)
    return grade_prediction(prediction, name_a, name_b, difference, found.is_different)


CLEAR = (0.14, 0.10, 0.18, 0.15, 0.13)  # interval 0.10 to 0.18
NOISE = (0.08, 0.05, -0.02)  # interval −0.09 to +0.16


@pytest.mark.parametrize(
    ("text", "points", "expected"),
    [
        ("3-layer by 0.15", CLEAR, "well predicted, it lies inside the interval"),
        ("3-layer by 0.5", CLEAR, "the right direction, but too large"),
        ("3-layer by 0.02", CLEAR, "the right direction, but too small"),
        ("2-layer by 0.15", CLEAR, "it came out the other way round"),
        ("no difference", CLEAR, "there is one"),
        ("3-layer", CLEAR, "right"),
        ("2-layer", CLEAR, "it came out the other way round"),
        ("3-layer by 0.1", NOISE, "it may be so, but there may as well be no difference at all"),
        ("2-layer by 0.05", NOISE, "it may be so, but there may as well be no difference at all"),
        ("no difference", NOISE, "nothing speaks against it, though that is no proof"),
        ("3-layer by 0.5", NOISE, "too large, and which of the two is ahead is not decided"),
        ("2-layer by 0.5", NOISE, "too large, and which of the two is ahead is not decided"),
        ("3-layer", NOISE, "not decided yet, 3 seeds can't tell the two apart"),
        ("2-layer loses by 0.15", CLEAR, "well predicted, it lies inside the interval"),
        ("3-layer loses by 0.15", CLEAR, "it came out the other way round"),
        ("2-layer is worse than 3-layer", CLEAR, "right"),
        ("2-layer and 3-layer are equal", CLEAR, "there is one"),
        ("3-layer and 2-layer are equal", NOISE, "nothing speaks against it, though that is no proof"),
    ],
)
def test_grades(text: str, points: tuple[float, ...], expected: str) -> None:
    prediction = parse_prediction(text, NETWORKS)
    found = grade(prediction, "2-layer", "3-layer", difference_of(*points))
    assert found.startswith("predicted ")
    assert found.endswith(f"): {expected}")
    turned = grade(prediction, "3-layer", "2-layer", difference_of(*(-lead for lead in points)))
    assert turned.endswith(f"): {expected}")


def test_a_grade_names_both_numbers() -> None:
    prediction = Prediction("3-layer", 0.5)
    assert grade(prediction, "2-layer", "3-layer", difference_of(*CLEAR)) == (
        "predicted 3-layer by 0.5 points, found 3-layer by 0.14 points (95 % interval 0.10 to 0.18): "
        "the right direction, but too large"
    )
    assert grade(prediction, "2-layer", "3-layer", difference_of(*NOISE)) == (
        "predicted 3-layer by 0.5 points, found 3-layer minus 2-layer +0.04 points (95 % interval −0.09 to +0.16): "
        "too large, and which of the two is ahead is not decided"
    )
    # Seen from the one that was expected to win.
    assert grade(Prediction(None, 0.5, "3-layer"), "2-layer", "3-layer", difference_of(*NOISE)) == (
        "predicted 3-layer to be worse by 0.5 points, found 2-layer minus 3-layer −0.04 points (95 % interval −0.16 to "
        "+0.09): too large, and which of the two is ahead is not decided"
    )
    # The interval begins at 0.1038: what lies outside must look as if it did.
    near, turned = Prediction("3-layer", 0.1), difference_of(*(-lead for lead in CLEAR))
    for found in (
        grade(near, "2-layer", "3-layer", difference_of(*CLEAR)),
        grade(near, "3-layer", "2-layer", turned),
    ):
        assert found.endswith("by 0.140 points (95 % interval 0.104 to 0.176): the right direction, but too small")


def test_what_cannot_be_graded() -> None:
    prediction = Prediction("3-layer", 0.5, "2-layer")
    for points, why in (
        ((0.1,), "with one seed"),
        ((0.1, 0.1), "without any spread"),
        ((0.0,) * 6, "without any spread"),
    ):
        found = grade(prediction, "2-layer", "3-layer", difference_of(*points))
        assert found.endswith(f"can't be judged, as {why} no interval can be given")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3-layer", "right"),
        ("2-layer", "it came out the other way round"),
        ("no difference", "there is one"),
        (
            "3-layer by 0.1",
            "the right direction; how large it is can't be judged, as without any spread no interval can be",
        ),
    ],
)
def test_what_every_seed_agrees_on_is_graded_without_an_interval(text: str, expected: str) -> None:
    found = grade(parse_prediction(text, NETWORKS), "2-layer", "3-layer", difference_of(*(0.1,) * 6))
    assert f"found 3-layer by 0.10 points with each of 6 seeds: {expected}" in found


def test_all_comparisons_are_counted_in_a_grade() -> None:
    """One that would be found alone: its interval, 0.10 to 0.18, leaves out 0, and the verdict finds nothing."""
    for text, expected in (
        ("3-layer", "not decided yet, 5 seeds can't tell the two apart"),
        ("2-layer", "not decided yet, 5 seeds can't tell the two apart"),
        ("no difference", "nothing speaks against it, though that is no proof"),
        ("3-layer by 0.15", "it may be so, but there may as well be no difference at all"),
        ("3-layer by 0.02", "it may be so, but there may as well be no difference at all"),
        ("3-layer by 0.5", "too large, and which of the two is ahead is not decided"),
    ):
        prediction = parse_prediction(text, NETWORKS)
        assert prediction is not None
        found = grade_prediction(prediction, "2-layer", "3-layer", difference_of(*CLEAR), is_different=False)
        assert "found " in found
        assert found.endswith(expected)

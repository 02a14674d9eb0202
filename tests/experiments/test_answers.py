"""Several networks on the same digits: who errs where, what they know together, and what choosing costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from mnist_lab.data.mnist import Digits
from mnist_lab.experiments.answers import (
    Answers,
    ask,
    changes_section,
    ensemble,
    ensembles_of,
    evaluate_answers,
    fixed_and_broken,
    missed_by_all,
    mistakes_of_ensemble,
    selection_bias,
    together_section,
)
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model
from mnist_lab.training.session import evaluate_on

LABELS = np.array([3, 1, 4, 1, 5, 9])
DIGITS = Digits(torch.zeros(6, 1, 28, 28, dtype=torch.uint8), torch.from_numpy(LABELS), torch.arange(6))


def sure(*digits: int, how: float = 0.9) -> Answers:
    """Answers that give one probability to the named digits, and the rest evenly to the others."""
    probabilities = np.full((len(digits), 10), (1 - how) / 9)
    probabilities[np.arange(len(digits)), digits] = how
    return Answers(probabilities)


A = sure(3, 7, 4, 7, 5, 4)  # misses 1, 3, 5
B = sure(3, 1, 9, 7, 5, 4, how=0.8)  # misses 2, 3, 5
C = sure(3, 1, 4, 7, 6, 9, how=0.6)  # misses 3, 4


def test_fixed_and_broken_by_hand() -> None:
    (fixed,), (broken,) = fixed_and_broken(A, B, DIGITS)
    assert fixed.numbers == {"index": 1, "label": 1, "a": 7, "probability_a": 0.9, "b": 1, "probability_b": 0.8}
    assert fixed.caption == "A ✗ 7, 90.0 %\nB ✓ 1, 80.0 %"
    assert broken.numbers == {"index": 2, "label": 4, "a": 4, "probability_a": 0.9, "b": 9, "probability_b": 0.8}
    assert broken.caption == "A ✓ 4, 90.0 %\nB ✗ 9, 80.0 %"


def test_a_caption_never_rounds_to_certainty() -> None:
    (fixed,), _ = fixed_and_broken(sure(3, 7, 4, 1, 5, 9, how=0.9999999), sure(*LABELS, how=0.9999999), DIGITS)
    assert fixed.caption == "A ✗ 7, > 99.9 %\nB ✓ 1, > 99.9 %"


def test_the_surest_changes_come_first() -> None:
    after = A.probabilities.copy()
    for position, how in ((1, 0.5), (3, 0.99), (5, 0.7)):
        after[position] = sure(int(LABELS[position]), how=how).probabilities[0]
    fixed, broken = fixed_and_broken(A, Answers(after), DIGITS)
    assert [digit.numbers["index"] for digit in fixed] == [3, 5, 1]
    assert broken == []


def test_what_all_networks_miss() -> None:
    (missed,) = missed_by_all([A, B, C], DIGITS)
    assert missed.numbers == {"index": 3, "label": 1, "answers": [7] * 3}
    assert missed.picture.tolist() == (DIGITS.images[3, 0] / 255).tolist()
    assert [digit.numbers["index"] for digit in missed_by_all([A, B], DIGITS)] == [3, 5]
    assert missed_by_all([sure(*LABELS)], DIGITS) == []
    members = [sure(*[answer] * 6) for answer in (5, 3, 3, 0, 3, 0)]
    (common,) = [digit for digit in missed_by_all(members, DIGITS) if digit.numbers["index"] == 1]
    assert common.caption == "read as\n3 (3), 0 (2)"


def test_an_ensemble_is_the_mean_of_the_probabilities() -> None:
    together = ensemble([A, B, C])
    assert together.probabilities == pytest.approx((A.probabilities + B.probabilities + C.probabilities) / 3)
    mistakes = mistakes_of_ensemble([A, B, C], DIGITS)
    assert [{**digit.numbers, "probability": 0} for digit in mistakes] == [
        {"index": 5, "label": 9, "answer": 4, "probability": 0, "answers": [4, 4, 9]},  # one of three is outvoted
        {"index": 3, "label": 1, "answer": 7, "probability": 0, "answers": [7, 7, 7]},
    ]
    assert mistakes[1].numbers["probability"] == pytest.approx((0.9 + 0.8 + 0.6) / 3, abs=1e-5)
    assert [digit.caption.split("\n")[1] for digit in mistakes] == ["1 of 3 right", "0 of 3 right"]
    assert ensembles_of({"alone": {0: A}, "three": {0: A, 1: B, 2: C}}, LABELS).keys() == {"three"}


def test_the_numbers_of_given_answers_are_those_of_scikit_learn() -> None:
    for answers in (A, B, C, ensemble([A, B, C]), Answers(np.eye(10)[LABELS])):  # a probability of zero does no harm
        assert evaluate_answers(answers, LABELS).accuracy == pytest.approx(accuracy_score(LABELS, answers.predictions))


def test_the_sections_say_what_the_answers_do() -> None:
    changes = changes_section({"first": A, "second": B}, DIGITS, note="A note.")
    assert changes.paragraphs[0].startswith("first and second can't be told apart on the test digits. second gets 1")
    assert changes.paragraphs[-1] == "A note."
    numbers = changes.pictures[0].numbers
    assert (numbers["both_right"], numbers["both_wrong"]) == (2, 2)
    assert [digit["index"] for digit in numbers["fixed"] + numbers["broken"]] == [1, 2]
    together, evaluation = together_section({"a": A, "b": B, "c": C}, DIGITS)
    assert evaluation.correct == 4
    assert [row[0::3] for row in together.tables[0].rows] == [
        ("a", "3"),
        ("b", "3"),
        ("c", "2"),
        ("ensemble of all", "2"),
    ]
    assert "It misses 2 of 6 digits; alone, they miss 2 to 3, 2.7 on average." in together.paragraphs[0]
    missed, mistakes = (picture.numbers["digits"] for picture in together.pictures)
    assert missed == [{"index": 3, "label": 1, "answers": [7, 7, 7]}]
    assert [digit["answers"] for digit in mistakes] == [[4, 4, 9], [7, 7, 7]]


def test_asking_is_evaluating(small: Digits, compute: Compute) -> None:
    model = compute.place(build_model("2-layer", seed=1))
    answers = ask(model, small, compute)
    assert answers.probabilities.sum(axis=1) == pytest.approx(1)
    evaluated = evaluate_answers(answers, small.labels.numpy())
    assert evaluated.confusion.tolist() == evaluate_on(model, small, compute).confusion.tolist()


# ---------------------------------------------------------------------------------------------------- choosing


def coins(networks: int, digits: int, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Networks that are all equally good, and differ by luck alone."""
    return np.random.default_rng(seed).random((networks, digits)) < fraction


def test_choosing_among_equals_looks_better_than_it_is() -> None:
    right = coins(10, 20_000, 0.95, seed=1)
    found = selection_bias(right, 1_000, 400)
    # The largest of ten normal numbers lies 1.54 deviations above their mean (Harter 1961).
    expected = 1.54 * np.sqrt(0.95 * 0.05 / 1_000)
    assert found.chosen - found.fresh == pytest.approx(expected, rel=0.15)
    assert found.mean == pytest.approx(right.mean())
    assert found.fresh == pytest.approx(found.mean, abs=0.001)


def test_choosing_what_is_really_better_is_no_illusion() -> None:
    right = np.vstack([coins(1, 20_000, 0.99, seed=2), coins(3, 20_000, 0.90, seed=3)])
    found = selection_bias(right, 1_000, 200)
    assert found.chosen == pytest.approx(found.fresh, abs=0.002)
    assert found.fresh > found.mean + 0.05


def test_how_difficult_the_digits_of_a_try_are_makes_no_difference() -> None:
    """Of networks that miss the very same digits, the chosen one is as good as all of them, on whatever digits."""
    right = np.repeat(coins(1, 1_000, 0.9, seed=4), 3, axis=0)
    found = selection_bias(right, 100, 1)
    assert (found.chosen, found.fresh) == pytest.approx((right.mean(), right.mean()))


@pytest.mark.parametrize("digits", [0, 51, -1])
def test_two_parts_must_fit(digits: int) -> None:
    with pytest.raises(ValueError, match="do not make two parts"):
        selection_bias(coins(2, 100, 0.9, seed=0), digits, 10)

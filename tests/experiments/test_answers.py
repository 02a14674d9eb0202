"""Several networks on the same digits: who errs where, what they know together, and what choosing costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from mnist_lab.data.mnist import Digits, Mnist, stratified_subset
from mnist_lab.data.pixels import to_unit
from mnist_lab.experiments.answers import (
    ROBUSTNESS_DIGITS,
    Answers,
    ask,
    committee,
    committees_of,
    fixed_and_broken,
    judge_answers,
    missed_by_all,
    mistakes_of_committee,
    robustness,
    selection_bias,
    shown_as,
)
from mnist_lab.experiments.disturbances import DISTURBANCES, disturb
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model
from mnist_lab.training.session import evaluate_on

LABELS = np.array([3, 1, 4, 1, 5, 9])


def sure(*digits: int, how: float = 0.9) -> Answers:
    """Answers that give one probability to the named digits, and the rest evenly to the others."""
    probabilities = np.full((len(digits), 10), (1 - how) / 9)
    probabilities[np.arange(len(digits)), digits] = how
    return Answers(probabilities)


A = sure(3, 7, 4, 7, 5, 4)  # misses 1, 3, 5
B = sure(3, 1, 9, 7, 5, 4, how=0.8)  # misses 2, 3, 5
C = sure(3, 1, 4, 7, 6, 9, how=0.6)  # misses 3, 4


def test_fixed_and_broken_by_hand() -> None:
    fixed, broken = fixed_and_broken(A, B, LABELS)
    assert fixed.positions.tolist() == [1]
    assert broken.positions.tolist() == [2]
    assert (fixed.before.tolist(), fixed.after.tolist(), fixed.labels.tolist()) == ([7], [1], [1])
    assert (fixed.before_probability[0], fixed.after_probability[0]) == pytest.approx((0.9, 0.8))


def test_the_surest_changes_come_first() -> None:
    after = A.probabilities.copy()
    for position, how in ((1, 0.5), (3, 0.99), (5, 0.7)):
        after[position] = sure(int(LABELS[position]), how=how).probabilities[0]
    fixed, broken = fixed_and_broken(A, Answers(after), LABELS)
    assert fixed.positions.tolist() == [3, 5, 1]
    assert len(broken) == 0


def test_what_everybody_misses() -> None:
    assert missed_by_all([A, B, C], LABELS).tolist() == [3]
    assert missed_by_all([A, B], LABELS).tolist() == [3, 5]
    assert missed_by_all([sure(*LABELS)], LABELS).tolist() == []


def test_a_committee_is_the_mean_of_the_probabilities() -> None:
    together = committee([A, B, C])
    assert together.probabilities == pytest.approx((A.probabilities + B.probabilities + C.probabilities) / 3)
    assert together.probabilities.sum(axis=1) == pytest.approx(1)
    lost = mistakes_of_committee([A, B, C], LABELS)
    assert [(digit.position, digit.label, digit.answer, digit.members) for digit in lost] == [
        (5, 9, 4, (4, 4, 9)),  # one of three reads it, and is outvoted
        (3, 1, 7, (7, 7, 7)),
    ]
    assert [digit.readers for digit in lost] == [1, 0]


def test_a_committee_of_one_is_that_one() -> None:
    assert committee([A]).predictions.tolist() == A.predictions.tolist()
    assert committees_of({"alone": {0: A}, "three": {0: A, 1: B, 2: C}}, LABELS).keys() == {"three"}


def test_judged_answers_are_those_of_scikit_learn() -> None:
    for answers in (A, B, C, committee([A, B, C])):
        assert judge_answers(answers, LABELS).accuracy == pytest.approx(accuracy_score(LABELS, answers.predictions))


def test_a_probability_of_zero_does_no_harm() -> None:
    certain = Answers(np.eye(10)[LABELS])
    assert judge_answers(certain, LABELS).accuracy == 1.0


def test_asking_is_evaluating(small: Digits, compute: Compute) -> None:
    model = compute.place(build_model("2-layer", seed=1))
    answers = ask(model, small, compute)
    assert answers.probabilities.sum(axis=1) == pytest.approx(1)
    judged = judge_answers(answers, small.labels.numpy())
    assert judged.confusion.tolist() == evaluate_on(model, small, compute).confusion.tolist()


# ---------------------------------------------------------------------------------------------------- choosing


def coins(networks: int, digits: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Networks that are all equally good, and differ by luck alone."""
    return np.random.default_rng(seed).random((networks, digits)) < share


def test_choosing_among_equals_looks_better_than_it_is() -> None:
    right = coins(10, 20_000, 0.95, seed=1)
    found = selection_bias(right, 1_000, 400)
    # The largest of ten normal numbers lies 1.54 deviations above their mean (Harter 1961).
    expected = 1.54 * np.sqrt(0.95 * 0.05 / 1_000)
    assert found.bias == pytest.approx(expected, rel=0.15)
    assert found.mean == pytest.approx(right.mean())
    assert found.fresh == pytest.approx(found.mean, abs=0.001)


def test_choosing_what_is_really_better_is_no_illusion() -> None:
    right = np.vstack([coins(1, 20_000, 0.99, seed=2), coins(3, 20_000, 0.90, seed=3)])
    found = selection_bias(right, 1_000, 200)
    assert found.chosen == pytest.approx(found.fresh, abs=0.002)
    assert found.fresh > found.mean + 0.05


@pytest.mark.parametrize("digits", [0, 51, -1])
def test_two_parts_must_fit(digits: int) -> None:
    with pytest.raises(ValueError, match="do not make two parts"):
        selection_bias(coins(2, 100, 0.9, seed=0), digits, 10)


# ------------------------------------------------------------------------------------------ other test digits


def test_robustness_asks_every_network_about_the_same_disturbed_digits(mnist: Mnist, compute: Compute) -> None:
    models = {"a": [compute.place(build_model("1-layer", seed=seed)) for seed in (0, 1)]}
    models["b"] = [compute.place(build_model("2-layer", seed=0))]
    disturbance = DISTURBANCES[1]
    found = robustness(models, mnist.test, disturbance, compute)
    assert {name: values.shape for name, values in found.items()} == {"a": (2, 7), "b": (1, 7)}
    sample = stratified_subset(mnist.test, ROBUSTNESS_DIGITS)
    turned = disturb(to_unit(sample.images), disturbance, disturbance.strengths[3])
    models["a"][1].eval()
    shown = Digits((turned * 255).round().to(torch.uint8), sample.labels, sample.indices)
    expected = ask(models["a"][1], shown, compute).right(sample.labels.numpy()).mean()
    assert found["a"][1, 3] == pytest.approx(expected, abs=0.003)  # bytes against floats


def test_digits_are_shown_in_three_ways(small: Digits) -> None:
    ways = shown_as(small)
    assert torch.equal(ways["black on white"], 255 - ways["inverted"])
    assert torch.equal(ways["inverted"], small.images)
    assert ways["MNIST-like"].shape == small.images.shape
    # MNIST's digits have been prepared this way already: hardly anything is left to do.
    change = (ways["MNIST-like"].float() - small.images.float()).abs().mean(dim=(1, 2, 3))
    assert float(change.median()) < 8


def test_a_digit_without_ink_stays_as_it_is(small: Digits) -> None:
    blank = Digits(torch.zeros(1, 1, 28, 28, dtype=torch.uint8), small.labels[:1], small.indices[:1])
    assert shown_as(blank)["MNIST-like"].sum() == 0

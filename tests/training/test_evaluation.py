"""Numbers from logits and labels, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnist_lab.training.evaluation import Confusion, evaluate, wilson_interval

Answers = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Logits (N, 10) and labels (N,)."""


@pytest.fixture(scope="module")
def answers() -> Answers:
    """Logits that are right about four times in five."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 3000)
    logits = random.normal(size=(3000, 10))
    logits[np.arange(3000), labels] += 2.5
    return logits.astype(np.float32), labels


def test_scores_by_counting(answers: Answers) -> None:
    logits, labels = answers
    found, pairs = evaluate(logits, labels), list(zip(labels.tolist(), logits.argmax(axis=1).tolist(), strict=True))
    assert (found.correct, found.total) == (sum(true == predicted for true, predicted in pairs), 3000)
    assert found.accuracy == found.correct / 3000
    for true in range(10):
        assert found.confusion[true].tolist() == [pairs.count((true, predicted)) for predicted in range(10)]
        hits, scores = pairs.count((true, true)), found.classes[true]
        assert scores.support == sum(pair[0] == true for pair in pairs)
        assert scores.recall == pytest.approx(hits / scores.support, rel=1e-12)
        called = sum(predicted == true for _, predicted in pairs)
        assert scores.precision == pytest.approx(hits / called, rel=1e-12)
        assert scores.f1 == pytest.approx(2 * hits / (called + scores.support), rel=1e-12)
        assert scores.digit == true


def test_classes_that_never_occur_score_zero() -> None:
    found = evaluate(np.eye(10, dtype=np.float32)[[1, 1]], np.array([1, 2]))
    assert (found.classes[2].precision, found.classes[2].recall, found.classes[2].f1) == (0, 0, 0)
    assert found.classes[1].precision == 0.5
    assert found.classes[7].support == 0


def test_wilson_interval_by_hand() -> None:
    z, n, p = 1.959963984540054, 10_000, 0.9964
    centre, half = p + z**2 / (2 * n), z * ((p * (1 - p) + z**2 / (4 * n)) / n) ** 0.5
    expected = [(centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)]
    assert wilson_interval(9964, 10_000) == pytest.approx(expected)
    assert wilson_interval(10, 10)[1] == 1.0
    assert wilson_interval(10, 10)[0] > 0.7
    assert wilson_interval(0, 10)[0] == 0.0


def test_most_confused_pairs_come_first() -> None:
    labels = np.array([4] * 5 + [7] * 3 + [9])
    predictions = np.array([9] * 5 + [1] * 3 + [9])
    found = evaluate(np.eye(10, dtype=np.float32)[predictions], labels)
    assert found.most_confused() == [Confusion(4, 9, 5), Confusion(7, 1, 3)]
    assert (found.confusion[4, 9], found.confusion[7, 1], found.confusion[9, 9], found.confusion.sum()) == (5, 3, 1, 9)


def test_ties_go_by_digit() -> None:
    labels, predictions = np.array([8, 2, 2, 5]), np.array([1, 7, 3, 5])
    found = evaluate(np.eye(10, dtype=np.float32)[predictions], labels)
    assert found.most_confused() == [Confusion(2, 3, 1), Confusion(2, 7, 1), Confusion(8, 1, 1)]


def calibration_error(confidence: NDArray[np.float64], is_correct: NDArray[np.bool_]) -> float:
    """Of predictions with such probabilities, the other nine digits being equally probable."""
    logits = np.zeros((len(confidence), 10), dtype=np.float32)
    logits[:, 0] = np.log(9 * confidence / np.maximum(1 - confidence, 1e-30))
    return evaluate(logits, np.where(is_correct, 0, 1)).calibration_error


def test_calibration_by_hand() -> None:
    confidence = np.array([0.9] * 10 + [0.5] * 4 + [1.0])
    is_correct = np.array([True] * 7 + [False] * 3 + [True] * 4 + [True])
    expected = (10 * 0.2 + 4 * 0.5) / 15  # 70 % right where 90 % sure, 100 % right where 50 % sure
    assert calibration_error(confidence, is_correct) == pytest.approx(expected)


def test_errors_in_one_bin_cancel_and_those_in_others_do_not() -> None:
    half = np.full(2, 0.5)
    assert calibration_error(half, np.array([True, False])) == pytest.approx(0.0, abs=1e-6)
    apart = np.array([0.49, 0.51])  # on both sides of no bin's end: 15 bins of one fifteenth
    assert calibration_error(apart, np.array([True, False])) == pytest.approx(0.0, abs=1e-6)
    assert calibration_error(np.array([0.4, 0.6]), np.array([True, False])) == pytest.approx(0.6)


def test_certainty_belongs_to_the_last_bin() -> None:
    """A wrong answer that is certain, and a right one that is 96 % sure: together 98 % sure, and half of them right."""
    logits = np.zeros((2, 10), dtype=np.float32)
    logits[0, 3] = 1000.0
    logits[1, 4] = np.log(9 * 0.96 / 0.04)
    assert evaluate(logits, np.array([7, 4])).calibration_error == pytest.approx(0.98 - 0.5)


def test_honest_probabilities_are_calibrated() -> None:
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.full(10, 0.3), size=40_000)
    labels = (random.random((40_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 9)
    honest, sure = (evaluate(factor * np.log(probabilities + 1e-30), labels) for factor in (1, 3))
    assert honest.calibration_error < 0.01
    assert sure.calibration_error > 0.1


def test_mistakes_come_surest_first(answers: Answers) -> None:
    logits, labels = answers
    probabilities = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    found = evaluate(logits, labels).mistakes
    assert sorted(found.positions) == np.flatnonzero(logits.argmax(axis=1) != labels).tolist()
    assert (np.diff(found.probabilities) <= 0).all()
    assert np.array_equal(found.predictions, logits.argmax(axis=1)[found.positions])
    assert np.array_equal(found.labels, labels[found.positions])
    assert np.allclose(found.probabilities, probabilities.max(axis=1)[found.positions])
    assert np.allclose(found.true_probabilities, probabilities[found.positions, found.labels])


def test_no_mistakes() -> None:
    found = evaluate(10 * np.eye(10, dtype=np.float32), np.arange(10))
    assert (found.accuracy, len(found.mistakes), found.most_confused()) == (1.0, 0, [])


def test_right_but_unsure_are_the_least_probable_of_the_right_ones(answers: Answers) -> None:
    logits, labels = answers
    probabilities = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    right = [place for place in range(3000) if probabilities[place].argmax() == labels[place]]
    expected = sorted(right, key=lambda place: float(probabilities[place].max()))[:10]
    found = evaluate(logits, labels).unsure
    assert found.positions.tolist() == expected
    assert found.true_probabilities.tolist() == pytest.approx([probabilities[place].max() for place in expected])
    assert found.predictions.tolist() == [probabilities[place].argsort()[-2] for place in expected]
    assert found.probabilities.tolist() == pytest.approx([np.sort(probabilities[place])[-2] for place in expected])


def test_bins_and_groups_hold_all_digits_and_what_the_error_is_made_of(answers: Answers) -> None:
    logits, labels = answers
    confidence = torch.from_numpy(logits).double().softmax(dim=1).amax(dim=1).numpy()
    found = evaluate(logits, labels)
    assert [group.count for group in found.groups] == [300] * 10
    least = np.sort(confidence)[:300]
    assert found.groups[0].confidence == pytest.approx(least.mean())
    assert found.groups[0].accuracy == pytest.approx((logits.argmax(axis=1) == labels)[confidence <= least[-1]].mean())
    for bins in (found.bins, found.groups):
        assert sum(one.count * one.accuracy for one in bins) == pytest.approx(found.correct)
    content = found.to_dict()
    gaps = [one["count"] * abs(one["confidence"] - one["accuracy"]) for one in content["confidence_bins"]]
    assert content["expected_calibration_error"] == pytest.approx(sum(gaps) / 3000)
    assert content["confidence_groups"][0] == vars(found.groups[0])

"""Numbers from logits and labels, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics

from mnist_lab.training.evaluation import (
    Confusion,
    confusion_matrix,
    evaluate,
    expected_calibration_error,
    find_mistakes,
    wilson_interval,
)


@pytest.fixture(scope="module")
def answers() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits that are right about four times in five."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 3000)
    logits = random.normal(size=(3000, 10))
    logits[np.arange(3000), labels] += 2.5
    return logits.astype(np.float32), labels


def test_scores_are_those_of_scikit_learn(answers: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    logits, labels = answers
    found, predictions = evaluate(logits, labels), logits.argmax(axis=1)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predictions))
    assert np.array_equal(found.confusion, metrics.confusion_matrix(labels, predictions))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predictions)
    assert [scores.precision for scores in found.classes] == pytest.approx(list(precision))
    assert [scores.recall for scores in found.classes] == pytest.approx(list(recall))
    assert [scores.f1 for scores in found.classes] == pytest.approx(list(f1))
    assert [scores.support for scores in found.classes] == list(support)


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
    assert found.most_confused(1) == [Confusion(4, 9, 5)]
    assert np.array_equal(found.confusion, confusion_matrix(labels, predictions))


def test_calibration_by_hand() -> None:
    sure, half = [0.9, *[0.1 / 9] * 9], [0.5, *[0.5 / 9] * 9]
    probabilities = np.array([sure] * 10 + [half] * 4)
    labels = np.array([0] * 7 + [1] * 3 + [0] * 4)  # 70 % right where 90 % sure, 100 % right where 50 % sure
    assert expected_calibration_error(probabilities, labels) == pytest.approx((10 * 0.2 + 4 * 0.5) / 14)


def test_honest_probabilities_are_calibrated() -> None:
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.full(10, 0.3), size=40_000)
    labels = (random.random((40_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 9)
    assert expected_calibration_error(probabilities, labels) < 0.01


def test_mistakes_come_surest_first(answers: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    logits, labels = answers
    probabilities = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    found = find_mistakes(probabilities, labels)
    assert len(found) == int((logits.argmax(axis=1) != labels).sum())
    assert (np.diff(found.probabilities) <= 0).all()
    assert (found.predictions != found.labels).all()
    assert np.array_equal(labels[found.positions], found.labels)
    assert np.array_equal(probabilities[found.positions, found.labels], found.true_probabilities)


def test_no_mistakes() -> None:
    found = evaluate(10 * np.eye(10, dtype=np.float32), np.arange(10))
    assert (found.accuracy, len(found.mistakes), found.most_confused()) == (1.0, 0, [])

"""From logits and labels: accuracy with its interval, scores of each digit, confusion, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from mnist_lab.config import CLASSES

BINS = 15  # of equal width, for the calibration error
_GROUPS = 10  # of equally many digits
_UNSURE_KEPT = 10


@dataclass(frozen=True)
class ClassScores:
    """Scores of one digit, as fractions; 0 where there is nothing to divide by."""

    digit: int
    precision: float  # of the images predicted to be this digit, how many are
    recall: float  # of the images of this digit, how many were predicted as it
    f1: float  # the harmonic mean of the two
    support: int  # how many images of it there are


@dataclass(frozen=True)
class Confusion:
    """One kind of mistake."""

    true: int
    predicted: int
    count: int


@dataclass(frozen=True)
class Mistakes:
    """M digits with the wrong one that each was taken for, or nearly, the worst first; every array is (M,)."""

    positions: NDArray[np.int64]  # among the evaluated digits
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]  # the most probable of the wrong digits
    probabilities: NDArray[np.float64]  # of the prediction
    true_probabilities: NDArray[np.float64]  # of the true digit

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class ConfidenceBin:
    """Predictions of similar confidence, taken together."""

    count: int
    confidence: float  # the mean probability of the predictions
    accuracy: float  # how many of them are right, as a fraction


@dataclass(frozen=True)
class Evaluation:
    """A network's results on one set of digits."""

    correct: int
    total: int
    interval: tuple[float, float]  # 95 % Wilson interval of the accuracy
    confusion: NDArray[np.int64]  # (10, 10), rows true, columns predicted
    classes: tuple[ClassScores, ...]
    bins: Sequence[ConfidenceBin]  # of equal width, without the empty ones
    groups: Sequence[ConfidenceBin]  # of equally many digits
    mistakes: Mistakes  # all misclassified digits, the most confidently wrong first
    unsure: Mistakes  # the correctly classified ones with the lowest probabilities

    @property
    def calibration_error(self) -> float:
        """The expected calibration error, a fraction (Guo et al. 2017, arXiv:1706.04599).

        How far apart accuracy and confidence are: the mean over the bins, weighted by their sizes.
        """
        return sum(one.count * abs(one.confidence - one.accuracy) for one in self.bins) / self.total

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    def most_confused(self) -> list[Confusion]:
        """The most frequent kinds of mistake, five at most; ties by digit."""
        cells = np.ndenumerate(self.confusion)
        pairs = [Confusion(true, predicted, int(n)) for (true, predicted), n in cells if n and true != predicted]
        return sorted(pairs, key=lambda pair: -pair.count)[:5]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "correct": self.correct,
            "total": self.total,
            "accuracy": self.accuracy,
            "interval_95": list(self.interval),
            "expected_calibration_error": self.calibration_error,
            "confidence_bins": [vars(one) for one in self.bins],
            "confidence_groups": [vars(one) for one in self.groups],
            "per_digit": [vars(scores) for scores in self.classes],
            "most_confused": [vars(pair) for pair in self.most_confused()],
            "confusion": self.confusion.tolist(),
        }


def evaluate(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Evaluation:
    """Evaluate a network's logits (N, 10), N > 0, for images with labels (N,)."""
    probabilities = softmax(logits.astype(np.float64), axis=1)  # (N, 10)
    predictions, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    is_correct = predictions == labels
    correct, total, digits = int(is_correct.sum()), len(labels), range(CLASSES)
    scores = precision_recall_fscore_support(labels, predictions, labels=digits, zero_division=0)
    wrong = np.where(np.arange(CLASSES) == labels[:, None], -1, probabilities)  # (N, 10), without the true digit
    others, doubts = wrong.argmax(axis=1), wrong.max(axis=1)

    def chosen(found: NDArray[np.bool_], key: NDArray[np.float64], most: int = total) -> Mistakes:
        places = np.flatnonzero(found)
        places = places[np.argsort(key[places], kind="stable")][:most]
        true = probabilities[places, labels[places]]
        return Mistakes(places, labels[places], others[places], doubts[places], true)

    return Evaluation(
        correct=correct,
        total=total,
        interval=wilson_interval(correct, total),
        confusion=confusion_matrix(labels, predictions, labels=digits),
        classes=tuple(ClassScores(*values) for values in zip(digits, *(part.tolist() for part in scores), strict=True)),
        bins=_bins(confidence, is_correct, np.minimum((confidence * BINS).astype(int), BINS - 1)),
        groups=_bins(confidence, is_correct, _GROUPS * confidence.argsort().argsort() // total),
        mistakes=chosen(~is_correct, -confidence),
        unsure=chosen(is_correct, confidence, _UNSURE_KEPT),
    )


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which stays within 0..1 even near 100 %."""
    interval = binomtest(correct, total).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _bins(
    confidence: NDArray[np.float64], is_correct: NDArray[np.bool_], bins: NDArray[np.int64]
) -> list[ConfidenceBin]:
    """Predictions with the same number in ``bins`` (N,), taken together."""
    members = [bins == number for number in np.unique(bins)]
    return [ConfidenceBin(int(m.sum()), float(confidence[m].mean()), float(is_correct[m].mean())) for m in members]

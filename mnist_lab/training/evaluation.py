"""From logits and labels: accuracy with its interval, scores of each digit, confusion, calibration, mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from mnist_lab.config import CLASSES

_REJECTED_FRACTION = 0.02  # of real digits, by the rule for "probably not a digit"


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
    """The M misclassified digits, the most confidently wrong first; every array is (M,)."""

    positions: NDArray[np.int64]  # among the evaluated digits
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    probabilities: NDArray[np.float64]  # of the prediction
    true_probabilities: NDArray[np.float64]  # of the true digit

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class Evaluation:
    """A network's results on one set of digits."""

    correct: int
    total: int
    interval: tuple[float, float]  # 95 % Wilson interval of the accuracy
    confusion: NDArray[np.int64]  # (10, 10), rows true, columns predicted
    classes: tuple[ClassScores, ...]
    calibration_error: float  # expected calibration error, a fraction
    rejection_threshold: float  # the probability that all but _REJECTED_FRACTION of the predictions reach
    mistakes: Mistakes

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    def most_confused(self, count: int = 5) -> list[Confusion]:
        """The most frequent kinds of mistake, at most ``count``; ties by digit."""
        cells = np.ndenumerate(self.confusion)
        pairs = [Confusion(true, predicted, int(n)) for (true, predicted), n in cells if n and true != predicted]
        return sorted(pairs, key=lambda pair: -pair.count)[:count]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "correct": self.correct,
            "total": self.total,
            "accuracy": self.accuracy,
            "interval_95": list(self.interval),
            "expected_calibration_error": self.calibration_error,
            "doubt_level": self.rejection_threshold,  # its original name, as in all saved runs
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
    missed = np.flatnonzero(~is_correct)
    missed = missed[np.argsort(-confidence[missed], kind="stable")]
    return Evaluation(
        correct=correct,
        total=total,
        interval=wilson_interval(correct, total),
        confusion=confusion_matrix(labels, predictions, labels=digits),
        classes=tuple(ClassScores(*values) for values in zip(digits, *(part.tolist() for part in scores), strict=True)),
        calibration_error=expected_calibration_error(confidence, is_correct),
        rejection_threshold=float(np.quantile(confidence, _REJECTED_FRACTION)),
        mistakes=Mistakes(
            missed, labels[missed], predictions[missed], confidence[missed], probabilities[missed, labels[missed]]
        ),
    )


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which stays within 0..1 even near 100 %."""
    interval = binomtest(correct, total).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def expected_calibration_error(confidence: NDArray[np.float64], is_correct: NDArray[np.bool_]) -> float:
    """How far apart accuracy and confidence, the probability (N,) of the prediction, are.

    Predictions are sorted by confidence into 15 equal bins; the distances between each bin's mean confidence and its
    accuracy are averaged, weighted by the bin's size (Guo et al. 2017, arXiv:1706.04599).
    """
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = np.bincount(bins, weights=confidence - is_correct)  # sum of (confidence - is_correct) in each bin
    return float(np.abs(gaps).sum() / len(confidence))

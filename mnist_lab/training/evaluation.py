"""Numbers from logits and labels: accuracy with its interval, per digit, confusion, calibration, mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binomtest

from mnist_lab.config import CLASSES

CALIBRATION_BINS = 15

DOUBTED_SHARE = 0.02
"""The share of real digits that the rule for "probably no digit" may doubt."""


@dataclass(frozen=True)
class ClassScores:
    """How one digit fares. Precision: of those called this digit, how many are; recall: of those that are, how many
    were called so; F1: their harmonic mean. All fractions; 0 where there is nothing to divide by."""

    digit: int
    precision: float
    recall: float
    f1: float
    support: int  # how many there are


@dataclass(frozen=True)
class Confusion:
    """One kind of mistake: ``count`` digits that are ``true`` were taken for ``predicted``."""

    true: int
    predicted: int
    count: int


@dataclass(frozen=True)
class Mistakes:
    """The digits that were missed, the most confidently wrong first. All arrays have the length M."""

    positions: NDArray[np.int64]  # which of the judged digits
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    probabilities: NDArray[np.float64]  # that the network gave to its prediction
    true_probabilities: NDArray[np.float64]  # that it gave to the true digit

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
    doubt_level: float  # the probability that all but DOUBTED_SHARE of the predictions reach
    mistakes: Mistakes

    @property
    def accuracy(self) -> float:
        """The fraction of digits named correctly."""
        return self.correct / self.total

    def most_confused(self, count: int = 5) -> list[Confusion]:
        """The most frequent kinds of mistake, at most ``count``; ties by digit."""
        off_diagonal = self.confusion - np.diag(np.diag(self.confusion))
        ranked = np.argsort(-off_diagonal, axis=None, kind="stable")[:count]
        pairs = (divmod(int(flat), CLASSES) for flat in ranked)
        return [Confusion(t, p, int(off_diagonal[t, p])) for t, p in pairs if off_diagonal[t, p] > 0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "correct": self.correct,
            "total": self.total,
            "accuracy": self.accuracy,
            "interval_95": list(self.interval),
            "expected_calibration_error": self.calibration_error,
            "doubt_level": self.doubt_level,
            "per_digit": [vars(scores) for scores in self.classes],
            "most_confused": [vars(pair) for pair in self.most_confused()],
            "confusion": self.confusion.tolist(),
        }


def evaluate(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Evaluation:
    """Judge a network's answers.

    Args:
        logits: (N, 10), N > 0.
        labels: (N,) the true digits.
    """
    probabilities = softmax(logits.astype(np.float64), axis=1)  # (N, 10)
    predictions = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predictions)
    correct, total = int(np.trace(confusion)), len(labels)
    return Evaluation(
        correct=correct,
        total=total,
        interval=wilson_interval(correct, total),
        confusion=confusion,
        classes=per_class_scores(confusion),
        calibration_error=expected_calibration_error(probabilities, labels),
        doubt_level=float(np.quantile(probabilities.max(axis=1), DOUBTED_SHARE)),
        mistakes=find_mistakes(probabilities, labels),
    )


def confusion_matrix(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> NDArray[np.int64]:
    """(10, 10) counts, rows true, columns predicted."""
    return np.bincount(labels * CLASSES + predictions, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def per_class_scores(confusion: NDArray[np.int64]) -> tuple[ClassScores, ...]:
    """Precision, recall and F1 of every digit."""
    hits = np.diag(confusion)
    called, there = confusion.sum(axis=0), confusion.sum(axis=1)
    precision, recall = ratio(hits, called), ratio(hits, there)
    f1 = ratio(2 * hits, called + there)
    return tuple(
        ClassScores(digit, float(precision[digit]), float(recall[digit]), float(f1[digit]), int(there[digit]))
        for digit in range(CLASSES)
    )


def ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Element-wise quotient, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which stays inside 0..1 also near 100 %."""
    interval = binomtest(correct, total).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def expected_calibration_error(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = CALIBRATION_BINS
) -> float:
    """How far confidence and accuracy lie apart (Guo et al. 2017, arXiv:1706.04599).

    The predictions are sorted into equal bins by the probability of the predicted digit; the distances between each
    bin's mean probability and its accuracy are averaged, weighted by the bin's size. 0 is perfect.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(bin_of, weights=confidence - right, minlength=bins)  # sum of (confidence - right) per bin
    return float(np.abs(gap).sum() / len(labels))


def find_mistakes(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Mistakes:
    """All missed digits, those with the surest wrong answer first."""
    predictions = probabilities.argmax(axis=1)
    missed = np.flatnonzero(predictions != labels)
    worst_first = missed[np.argsort(-probabilities[missed, predictions[missed]], kind="stable")]
    return Mistakes(
        positions=worst_first,
        labels=labels[worst_first],
        predictions=predictions[worst_first],
        probabilities=probabilities[worst_first, predictions[worst_first]],
        true_probabilities=probabilities[worst_first, labels[worst_first]],
    )

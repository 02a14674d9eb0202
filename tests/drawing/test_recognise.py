"""Labelled drawings as a test set, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mnist_lab.drawing.preprocess import MODES, to_mnist
from mnist_lab.drawing.recognise import count_correct, prepare_labelled, score_drawings
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.errors import RequestError
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet
from tests.drawing.conftest import BLANK, ONE, SEVEN, UNLABELLED, ZERO


def shrunk(drawing: Drawing) -> Drawing:
    """The same at a quarter of its size, in a corner of the canvas."""
    return Drawing(tuple(tuple((x / 4 + 5, y / 4 + 200) for x, y in s) for s in drawing.strokes), drawing.label)


def test_blanks_count_as_missed_and_what_has_no_label_is_left_out(network: DigitNet, compute: Compute) -> None:
    wrong = Drawing(ZERO.strokes, 5)
    labelled = prepare_labelled([UNLABELLED, ONE, BLANK, SEVEN, UNLABELLED, wrong, BLANK, ZERO])
    assert labelled.labels.tolist() == [1, 7, 5, 0]
    assert labelled.positions.tolist() == [0, 2, 3, 5]  # among the labelled ones
    assert (labelled.total, labelled.blanks, labelled.unlabelled) == (6, 2, 2)
    for picture, drawing in zip(labelled.pictures, (ONE, SEVEN, wrong, ZERO), strict=True):
        assert np.array_equal(picture, np.asarray(to_mnist(drawing)))
    score = score_drawings(network, labelled, compute)
    assert count_correct(network, labelled, compute) == score.evaluation.correct == 3
    assert score.accuracy == 3 / 6
    assert score.evaluation.mistakes.positions.tolist() == [2]
    assert score.to_dict()["total"] == 6
    assert score.interval == pytest.approx((0.1876, 0.8124), abs=1e-4)  # Wilson's formula by hand


def test_preprocessing_decides(network: DigitNet, compute: Compute) -> None:
    small = [shrunk(drawing) for drawing in (ONE, SEVEN, ZERO)]
    accuracy = {mode: score_drawings(network, prepare_labelled(small, mode), compute).accuracy for mode in MODES}
    assert accuracy["mnist"] == 1.0
    assert accuracy["raw"] < 1.0


def test_nothing_to_score_is_refused() -> None:
    for drawings in ([], [BLANK], [UNLABELLED]):
        with pytest.raises(RequestError, match="no labelled drawing with ink"):
            prepare_labelled(drawings)

"""Labelled drawings against counts by hand, and how often what is not a digit is rejected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_lab.data.mnist import Mnist
from mnist_lab.drawing.preprocess import MODES, to_mnist
from mnist_lab.drawing.recognise import count_correct, examples, prepare_labelled, rejected_fractions, score_drawings
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.errors import RequestError
from mnist_lab.explain.likeness import LIMIT_FILE
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet
from mnist_lab.training.runs import read_run
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


KINDS = {"lines", "scribbles", "shapes", "letters", "shuffled pixels"}


def test_every_kind_is_made_and_each_example_is_its_own(mnist: Mnist) -> None:
    digits = mnist.validation.images[:20].squeeze(1).numpy()
    made, again = examples(20, digits), examples(20, digits)
    assert made.keys() == KINDS
    for name, pictures in made.items():
        assert pictures.shape == (20, 28, 28)
        assert pictures.dtype == np.uint8
        assert (pictures.reshape(20, -1).max(axis=1) > 128).all()
        assert len({picture.tobytes() for picture in pictures}) > 15
        assert np.array_equal(pictures, again[name])
    shuffled = np.sort(made["shuffled pixels"].reshape(20, -1), axis=1)
    assert np.array_equal(shuffled, np.sort(digits.reshape(20, -1), axis=1))


def test_the_limit_is_found_once_and_rejects_two_in_a_hundred_digits(
    outputs: Path, network: DigitNet, compute: Compute, mnist: Mnist
) -> None:
    run, digits = read_run(outputs / "run"), mnist.test.subset(torch.arange(300))
    kept = run.folder / LIMIT_FILE
    kept.unlink()
    limit, found = rejected_fractions(run, network, digits, compute, count=30)
    assert found.keys() == {"real digits", *KINDS}
    assert 0 < found["real digits"] < 0.1
    assert found["shuffled pixels"] > 0.9
    content = json.loads(kept.read_text(encoding="utf-8"))
    assert content["least_likeness"] == limit
    kept.write_text(json.dumps(content | {"least_likeness": 1e9}), encoding="utf-8")
    few = digits.subset(torch.arange(20))
    assert set(rejected_fractions(run, network, few, compute, count=5)[1].values()) == {1.0}, "what is kept is used"

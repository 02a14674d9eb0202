"""The rule for "probably no digit", and what it is measured on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnist_lab.data.mnist import Digits, Mnist
from mnist_lab.drawing.nondigits import examples, rejected_fractions
from mnist_lab.drawing.recognise import Answer
from mnist_lab.networks.compute import Compute
from mnist_lab.training.evaluation import evaluate

KINDS = {"lines", "scribbles", "shapes", "letters", "shuffled pixels"}


def test_every_kind_is_made_and_each_example_is_its_own(mnist: Mnist) -> None:
    digits = mnist.validation.images.squeeze(1).numpy()
    made = examples(20, digits)
    assert made.keys() == KINDS
    for name, pictures in made.items():
        assert pictures.shape == (20, 28, 28)
        assert pictures.dtype == np.uint8
        assert (pictures.reshape(20, -1).max(axis=1) > 128).all()
        assert len({picture.tobytes() for picture in pictures}) > (15 if name != "letters" else 8)
    again = examples(20, digits)
    assert all(np.array_equal(made[name], again[name]) for name in KINDS)
    shuffled = np.sort(made["shuffled pixels"].reshape(20, -1), axis=1)
    assert np.array_equal(shuffled, np.sort(digits[:20].reshape(20, -1), axis=1))


def test_an_answer_below_the_level_is_doubted() -> None:
    answer = Answer(np.array([0.6, 0.4, *[0.0] * 8]))
    assert (answer.digit, answer.runner_up, answer.certainty) == (0, 1, 0.6)
    assert answer.is_doubtful(0.7)
    assert not answer.is_doubtful(0.6)


def test_the_level_doubts_two_in_a_hundred_of_what_it_is_taken_from() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(5000, 10)).astype(np.float32) * 3
    level = evaluate(logits, random.integers(0, 10, 5000)).rejection_threshold
    certainty = torch.from_numpy(logits).double().softmax(dim=1).max(dim=1).values.numpy()
    assert float((certainty < level).mean()) == pytest.approx(0.02, abs=0.001)


class SureOfTheBright(nn.Module):
    """Certain of a picture as far as its ink is bright."""

    def forward(self, x: Tensor) -> Tensor:
        bright = (x > 2.5).float().mean(dim=(1, 2, 3), keepdim=False) * 100
        return torch.stack([bright, *[torch.zeros_like(bright)] * 9], dim=1)


def test_shares_are_those_of_the_answers(compute: Compute) -> None:
    white = Digits(torch.full((50, 1, 28, 28), 255, dtype=torch.uint8), torch.zeros(50).long(), torch.arange(50))
    shares = rejected_fractions(SureOfTheBright().to(compute.device), white, 0.99999, compute, count=10)
    assert shares.keys() == {"real digits", *KINDS}
    assert shares["real digits"] == 0.0
    assert shares["shuffled pixels"] == 0.0
    assert shares["lines"] > 0.0

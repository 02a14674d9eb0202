"""Pictures that are not digits, and how often the rule for "probably not a digit" catches them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnist_lab.data.mnist import Digits, Mnist
from mnist_lab.drawing.recognise import examples, rejected_fractions
from mnist_lab.networks.compute import Compute

KINDS = {"lines", "scribbles", "shapes", "letters", "shuffled pixels"}


def test_every_kind_is_made_and_each_example_is_its_own(mnist: Mnist) -> None:
    digits = mnist.validation.images[:20].squeeze(1).numpy()
    made, again = examples(20, digits), examples(20, digits)
    assert made.keys() == KINDS
    for name, pictures in made.items():
        assert pictures.shape == (20, 28, 28)
        assert pictures.dtype == np.uint8
        assert (pictures.reshape(20, -1).max(axis=1) > 128).all()
        assert len({picture.tobytes() for picture in pictures}) > (15 if name != "letters" else 8)
        assert np.array_equal(pictures, again[name])
    shuffled = np.sort(made["shuffled pixels"].reshape(20, -1), axis=1)
    assert np.array_equal(shuffled, np.sort(digits.reshape(20, -1), axis=1))


class SureOfTheBright(nn.Module):
    """Certain of a picture as far as its ink is bright."""

    def forward(self, x: Tensor) -> Tensor:
        bright = (x > 2.5).float().mean(dim=(1, 2, 3)) * 100
        return torch.stack([bright, *[torch.zeros_like(bright)] * 9], dim=1)


def test_what_is_below_the_threshold_is_rejected(compute: Compute) -> None:
    """Real digits of which every fifth is white and the rest black, which is exactly 1 in 10 sure."""
    images = torch.zeros((50, 1, 28, 28), dtype=torch.uint8)
    images[::5] = 255
    digits = Digits(images, torch.zeros(50).long(), torch.arange(50))
    network = SureOfTheBright().to(compute.device)
    found = rejected_fractions(network, digits, 0.99999, compute, count=10)
    assert found.keys() == {"real digits", *KINDS}
    assert found["real digits"] == pytest.approx(0.8)
    assert found["shuffled pixels"] == pytest.approx(0.8)
    assert found["lines"] > 0.0
    assert set(rejected_fractions(network, digits, 0.1, compute, count=10).values()) == {0.0}

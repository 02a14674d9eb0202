"""A tiny trained network, some digits, and a network whose every map can be written down."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mnist_lab.config import Architecture
from mnist_lab.data.mnist import Mnist, normalise, to_unit
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet, build_model

TINY = Architecture(filters=(8, 16), dropout=0.2, hidden=32)
CPU = Compute(torch.device("cpu"), None, "CPU")
TARGETS = torch.tensor([7, 2, 8, 0])  # the third is another digit than the picture's: "why not an 8?"


@pytest.fixture(scope="session")
def trained(mnist: Mnist) -> DigitNet:
    """A tiny network that reads nine digits in ten."""
    model = build_model(TINY)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    order = torch.randperm(len(mnist.train), generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of dropout
        for batch in torch.split(order[:6_000], 64):
            logits = model(normalise(to_unit(mnist.train.images[batch])))
            optimiser.zero_grad()
            nn.functional.cross_entropy(logits, mnist.train.labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    model.zero_grad()
    return model.eval()


@pytest.fixture(scope="session")
def ink(mnist: Mnist) -> Tensor:
    """Four test digits (4, 1, 28, 28) with ink from 0 to 1."""
    return to_unit(mnist.test.images[:4])


class Linear(nn.Module):
    """Ten linear scores of the normalised pixels: every method's answer can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.scores(x.flatten(1))
        return out

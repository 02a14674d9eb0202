"""A tiny trained network, runs of untrained ones, and a network whose every map can be written down."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import main
from mnist_lab.config import Architecture
from mnist_lab.data.mnist import Digits, Mnist, normalise, to_unit
from mnist_lab.explain.commands import Reader, load_reader
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet, build_model
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.checkpoints import save_tensors
from tests.training.test_runs import make_run

TINY = Architecture(filters=(8, 16), dropout=0.2, hidden=32)
CPU = Compute(torch.device("cpu"), None, "CPU")
TARGETS = torch.tensor([7, 2, 8, 0])  # the third is another digit than the picture's: "why not an 8?"


def teach(model: DigitNet, digits: Digits, count: int, rate: float) -> DigitNet:
    """Train a network where it is on so many digits, each once."""
    device = next(model.parameters()).device
    optimiser = torch.optim.AdamW(model.parameters(), rate)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of dropout
        for batch in torch.split(order[:count], 64):
            logits = model(normalise(to_unit(digits.images[batch])).to(device))
            loss = nn.functional.cross_entropy(logits, digits.labels[batch].to(device))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    model.zero_grad()
    return model.eval()


@pytest.fixture(scope="session")
def trained(mnist: Mnist) -> DigitNet:
    """A tiny network that reads nine digits in ten."""
    return teach(build_model(TINY), mnist.train, 6_000, 3e-3)


@pytest.fixture(scope="session")
def ink(mnist: Mnist) -> Tensor:
    """Four test digits (4, 1, 28, 28) with ink from 0 to 1."""
    return to_unit(mnist.test.images[:4])


def lay_run(outputs: Path, name: str, model: DigitNet | None = None, **changes: Any) -> Path:
    """The folder of a run with a network, 1-layer and untrained unless another is given."""
    folder = make_run(outputs, name, **changes)
    save_tensors(folder / "model.pt", (model or build_model("1-layer", changes.get("seed", 0))).state_dict())
    return folder


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """An output folder with two untrained networks: random filters tell digits apart well enough."""
    for seed, name in enumerate(("first", "second")):
        lay_run(tmp_path / "outputs", name, seed=seed)
    return tmp_path / "outputs"


def lab_of(outputs: Path, *answers: str) -> tuple[Lab, io.StringIO]:
    """A lab whose user gives these answers, and what it shows."""
    shown, given = io.StringIO(), iter(answers)
    return Lab(Terminal(make_console(file=shown, width=100), lambda: next(given)), outputs, main.load), shown


def reader_of(outputs: Path, name: str = "first") -> Reader:
    return load_reader(lab_of(outputs)[0], name)


class Linear(nn.Module):
    """Ten linear scores of the normalised pixels: every method's answer can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.scores(x.flatten(1))
        return out

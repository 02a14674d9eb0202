"""The lab's own experiments with a thousand digits and the smallest network: real trainings, in seconds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import main
from mnist_lab.config import TrainConfig
from mnist_lab.experiments.commands import Request
from mnist_lab.experiments.questions import EXPERIMENTS, Variant
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import Lab

NOW = datetime(2026, 11, 22, 14, 30, 5)
DIGITS = 1_000


def shrunk(config: TrainConfig) -> TrainConfig:
    """The same comparison on fewer digits, with the network that trains fastest."""
    return replace(config, model="1-layer", train_size=min(config.train_size, DIGITS), epoch_size=DIGITS, batch_size=50)


def small_request(name: str, *, seeds: int = 2, epochs: int = 1, jobs: int = 2, prediction: str = "") -> Request:
    """One of the lab's experiments, shrunk."""
    usual = EXPERIMENTS[name]

    def variants(epochs: int) -> tuple[Variant, ...]:
        return tuple(Variant(variant.name, shrunk(variant.config)) for variant in usual.variants(epochs))

    return Request(replace(usual, variants=variants), epochs, seeds, jobs, prediction=prediction)


def make_lab(outputs: Path, answers: Sequence[str] = (), width: int = 80) -> tuple[Lab, io.StringIO]:
    """A lab that is answered from a list, and what it showed."""
    screen, left = io.StringIO(), list(answers)

    def read_line() -> str:
        if not left:
            raise EOFError
        return left.pop(0)

    return Lab(Terminal(make_console(file=screen, width=width), read_line), outputs, main.load, lambda: NOW), screen

"""What a trained network says of pictures that are not MNIST's: probabilities, and whether there is a digit at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnist_lab.data.pixels import SIDE
from mnist_lab.drawing.strokes import Picture
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.inference import predict_logits


@dataclass(frozen=True)
class Answer:
    """What a network says of one picture.

    Attributes:
        probabilities: (10,) of the digits 0 to 9.
    """

    probabilities: NDArray[np.float64]

    @property
    def digit(self) -> int:
        """The most probable digit."""
        return int(self.probabilities.argmax())

    @property
    def certainty(self) -> float:
        """The probability of the most probable digit."""
        return float(self.probabilities.max())

    def is_doubtful(self, level: float) -> bool:
        """Whether the picture is probably no digit: the network is less sure than it is of nearly all real digits.

        The maximum probability is the usual baseline for this (Hendrycks & Gimpel 2017, arXiv:1610.02136). The level
        is taken from a network's validation digits, so that two in a hundred real digits are doubted; how many
        lines, scribbles, shapes, letters and shuffled pixels are, ``python main.py evaluate`` tells for each run.

        Args:
            level: :attr:`mnist_lab.training.evaluation.Evaluation.rejection_threshold` of the validation digits.
        """
        return self.certainty < level

    @property
    def runner_up(self) -> int:
        """The second most probable digit."""
        return int(np.argsort(self.probabilities)[-2])


def recognise(model: nn.Module, pictures: Sequence[Picture | None], compute: Compute) -> list[Answer | None]:
    """Ask a network about many pictures in batches.

    Args:
        model: a trained network.
        pictures: (28, 28) uint8 each, white on black; None, where there is no ink, gets no answer.
        compute: where the model lives.
    """
    answers = iter(answers_to(model, [picture for picture in pictures if picture is not None], compute))
    return [None if picture is None else next(answers) for picture in pictures]


def answers_to(model: nn.Module, pictures: Sequence[Picture], compute: Compute) -> list[Answer]:
    """What a network says of pictures (28, 28) uint8 that all show ink."""
    logits = torch.from_numpy(logits_of(model, pictures, compute))
    return [Answer(row) for row in logits.double().softmax(dim=1).numpy()]


def logits_of(model: nn.Module, pictures: Sequence[Picture], compute: Compute) -> NDArray[np.float32]:
    """Logits (N, 10) of N pictures (28, 28) uint8."""
    stacked = np.stack(pictures) if pictures else np.empty((0, SIDE, SIDE), dtype=np.uint8)
    return predict_logits(model, torch.from_numpy(stacked).unsqueeze(1), compute).numpy()

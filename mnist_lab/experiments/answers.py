"""What several trained networks make of the same digits: which of them err where, and what they know together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_lab.data.mnist import Digits, stratified_subset
from mnist_lab.data.pixels import to_unit
from mnist_lab.drawing.preprocess import MODES, to_mnist
from mnist_lab.experiments.disturbances import Disturbance, disturb
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.inference import predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.training.evaluation import Evaluation, evaluate
from mnist_lab.training.runs import Run
from mnist_lab.training.session import load_trained

ROBUSTNESS_DIGITS = 2_000
"""Test digits, equally many of each kind as in the whole, that every disturbance is tried on."""


@dataclass(frozen=True)
class Answers:
    """What one network says about every one of N digits."""

    probabilities: NDArray[np.float64]  # (N, 10)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable digit, (N,)."""
        found: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return found

    def right(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which digits it reads rightly, (N,)."""
        found: NDArray[np.bool_] = self.predictions == labels
        return found


def ask(model: DigitNet, digits: Digits, compute: Compute) -> Answers:
    """One network's answers to some digits."""
    logits = predict_logits(model, digits.images, compute)  # (N, 10)
    return Answers(torch.softmax(logits.double(), dim=1).numpy())


def ask_run(run: Run, digits: Digits, compute: Compute) -> Answers:
    """A saved run's answers to some digits.

    Raises:
        RunError, CheckpointError: the run has no usable model.
    """
    return ask(load_trained(run, compute), digits, compute)


def committee(members: Sequence[Answers]) -> Answers:
    """Several networks' common answer: the mean of their probabilities, one voice each.

    Args:
        members: at least one, about the same digits.
    """
    return Answers(np.mean([member.probabilities for member in members], axis=0))


def judge_answers(answers: Answers, labels: NDArray[np.int64]) -> Evaluation:
    """The usual numbers for given answers."""
    # In double precision: rounded to single, two nearly equal probabilities could change places.
    logits: NDArray[Any] = np.log(np.maximum(answers.probabilities, 1e-300))
    return evaluate(logits, labels)


def committees_of(answers: Mapping[str, Mapping[int, Answers]], labels: NDArray[np.int64]) -> dict[str, Evaluation]:
    """What the networks of each variant, one for each seed, reach together, where there are several."""
    return {
        name: judge_answers(committee(list(by_seed.values())), labels)
        for name, by_seed in answers.items()
        if len(by_seed) > 1
    }


@dataclass(frozen=True)
class Changed:
    """Digits that two networks read differently; every field has the length M."""

    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    before: NDArray[np.int64]  # the first network's prediction
    before_probability: NDArray[np.float64]  # that it gave to its prediction
    after: NDArray[np.int64]
    after_probability: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.positions)


def fixed_and_broken(before: Answers, after: Answers, labels: NDArray[np.int64]) -> tuple[Changed, Changed]:
    """The digits that only the second network reads, and those that only the first does; the surest first."""
    right_before, right_after = before.right(labels), after.right(labels)
    return (
        changed(~right_before & right_after, before, after, labels),
        changed(right_before & ~right_after, before, after, labels),
    )


def changed(which: NDArray[np.bool_], before: Answers, after: Answers, labels: NDArray[np.int64]) -> Changed:
    """The digits chosen by a mask (N,), those first where both networks are surest of their answers."""
    at = np.flatnonzero(which)
    first, second = before.predictions[at], after.predictions[at]
    sure_first, sure_second = before.probabilities[at, first], after.probabilities[at, second]
    order = np.argsort(-(sure_first + sure_second), kind="stable")
    return Changed(at[order], labels[at][order], first[order], sure_first[order], second[order], sure_second[order])


def missed_by_all(members: Sequence[Answers], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the digits that no network reads: ambiguous, or wrongly labelled; the surest mistakes first."""
    missed = np.flatnonzero(~np.any([member.right(labels) for member in members], axis=0))
    together = committee(members)
    sure = together.probabilities[missed].max(axis=1)
    return missed[np.argsort(-sure, kind="stable")]


@dataclass(frozen=True)
class Lost:
    """A digit that a committee misses; there are as many entries in ``members`` as it has networks."""

    position: int
    label: int
    answer: int  # the committee's
    probability: float  # the mean that it gave to its answer
    members: tuple[int, ...]  # each network's own answer

    @property
    def readers(self) -> int:
        """How many of the networks read the digit rightly, and were outvoted."""
        return self.members.count(self.label)


def mistakes_of_committee(members: Sequence[Answers], labels: NDArray[np.int64]) -> list[Lost]:
    """What a committee misses: first the digits that most of its networks read, then the surest mistakes."""
    together = committee(members)
    answers = together.predictions
    lost = [
        Lost(
            position=int(position),
            label=int(labels[position]),
            answer=int(answers[position]),
            probability=float(together.probabilities[position].max()),
            members=tuple(int(member.predictions[position]) for member in members),
        )
        for position in np.flatnonzero(~together.right(labels))
    ]
    return sorted(lost, key=lambda digit: (-digit.readers, -digit.probability))


@dataclass(frozen=True)
class Selection:
    """Mean accuracies, fractions, of a network that was chosen as the best of several."""

    chosen: float  # on the digits that it was chosen by
    fresh: float  # on as many others
    mean: float  # of all networks, on all digits

    @property
    def bias(self) -> float:
        """How much too good the chosen one looks."""
        return self.chosen - self.fresh


def selection_bias(right: NDArray[np.bool_], digits: int, tries: int) -> Selection:
    """How much better the best of several networks looks on the digits that it was chosen by.

    What is averaged over the tries is the chosen network's lead over the mean of all: how difficult the digits of a
    try happen to be says nothing about choosing, and would be far larger than what is looked for.

    Args:
        right: (networks, N) whether each network reads each digit.
        digits: how many it is chosen by, and as many others; at most N / 2.
        tries: random choices of the digits, over which is averaged.

    Raises:
        ValueError: there are too few digits for two parts.
    """
    if not 0 < digits <= right.shape[1] // 2:
        raise ValueError(f"{right.shape[1]} digits do not make two parts of {digits}")
    generator = np.random.default_rng(0)
    chosen, fresh = np.empty(tries), np.empty(tries)
    for number in range(tries):
        drawn = generator.permutation(right.shape[1])[: 2 * digits]
        here, there = (right[:, part].mean(axis=1) for part in (drawn[:digits], drawn[digits:]))
        best = generator.choice(np.flatnonzero(here == here.max()))  # among equals, any
        chosen[number], fresh[number] = here[best] - here.mean(), there[best] - there.mean()
    mean = float(right.mean())
    return Selection(mean + float(chosen.mean()), mean + float(fresh.mean()), mean)


# ------------------------------------------------------------------------------------------ other test digits


def robustness(
    models: Mapping[str, Sequence[DigitNet]], test: Digits, disturbance: Disturbance, compute: Compute
) -> dict[str, NDArray[np.float64]]:
    """Accuracy of networks on disturbed test digits.

    Args:
        models: for each variant its networks, one for each seed.
        test: the test digits; a sample of ``ROBUSTNESS_DIGITS`` is used.
        disturbance: what is done to them.
        compute: where the networks live.

    Returns:
        For each variant (seeds, strengths), fractions; the seeds in the order of its networks.
    """
    sample = stratified_subset(test, ROBUSTNESS_DIGITS)
    images = to_unit(sample.images)
    columns: dict[str, list[list[float]]] = {name: [] for name in models}
    for strength in disturbance.strengths:
        disturbed = disturb(images, disturbance, strength)  # made once for all networks
        for name, seeds in models.items():
            columns[name].append([accuracy(model, disturbed, sample.labels, compute) for model in seeds])
    return {name: np.array(column).T for name, column in columns.items()}


def accuracy(model: DigitNet, images: torch.Tensor, labels: torch.Tensor, compute: Compute) -> float:
    """The fraction of images (N, 1, 28, 28) that a network reads rightly."""
    return float((predict_logits(model, images, compute).argmax(dim=1) == labels).double().mean())


def shown_as(test: Digits) -> dict[str, torch.Tensor]:
    """The test digits as ink on paper, as their negative, and as the lab prepares pictures of drawings.

    A digit without any ink stays as it is in the last.

    Returns:
        Way of showing to (N, 1, 28, 28) uint8.
    """
    paper = 255 - test.images
    prepared = [to_mnist(picture, MODES["mnist"]) for picture in paper[:, 0].numpy()]
    like_mnist = [
        image if made is None else made for image, made in zip(test.images[:, 0].numpy(), prepared, strict=True)
    ]
    return {
        "black on white": paper,
        "inverted": test.images,
        "MNIST-like": torch.from_numpy(np.stack(like_mnist)).unsqueeze(1),
    }

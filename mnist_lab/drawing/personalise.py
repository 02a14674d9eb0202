"""A copy of a trained network that learns one person's hand, from the digits that this person drew and kept.

Only its classifier is trained: what the convolutions see in digits is of use in every hand. Own digits and MNIST's are
mixed in every batch, so that nothing is forgotten, and the weights that are kept lie between those before and after:
that keeps most of what was learned, at a part of the price (Wortsman et al. 2022, arXiv:2109.01903). The fractions and
rates below were chosen on made-up hands: validation digits, bent, slanted, slashed and flagged alike within each hand.
docs/personalise.py measures the result with people's.
"""

from __future__ import annotations

import copy
import math
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from mnist_lab.config import CLASSES, Architecture, AugmentConfig, TrainConfig
from mnist_lab.data.loader import seeded_generator
from mnist_lab.data.mnist import Digits, Mnist, load_mnist
from mnist_lab.drawing.recognise import prepare_labelled
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.errors import RequestError, RunError
from mnist_lab.networks.compute import Compute, computing_with, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.storage import create_folder, is_file, write_text
from mnist_lab.training.evaluation import Evaluation, evaluate, wilson_interval
from mnist_lab.training.paired import LEVEL, mcnemar, mcnemar_verdict
from mnist_lab.training.runs import MY_DIGITS, RUN_FILE, RunRecord, command_line, find_run
from mnist_lab.training.session import Results, describe, load_trained, new_run, run_label, save_results
from mnist_lab.training.trainer import Trainer

FEWEST = 10  # own digits to learn from
FOLDS = 4  # parts of the own digits, each read by a network that learned from the others
_IMAGES = 12_800  # that each copy is trained on
_OWN = 0.25  # fraction of them that are own digits, over and over, each time augmented differently
_KEPT = 0.8  # how far the kept weights lie on the way from the parent's to the trained ones
_AUGMENT = AugmentConfig(rotation=15.0, shift=0.105, scale=0.15, shear=12.0, elastic=0.01, strokes=0.0)
_MOST_MORE = 100  # drawings that anybody is asked for

Step = Callable[[float], object]  # is told the fraction of the work that is done


class Learner(DigitNet):
    """A network whose convolutions stay as they are, with all statistics of their batch normalisation."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.blocks.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.blocks.eval()
        return self


class HandTrainer(Trainer):
    """The lab's training, begun with a parent's weights, on a mixture of own digits and MNIST's."""

    def __init__(
        self, parent: DigitNet, own: Digits, mnist: Mnist, validation: Digits, config: TrainConfig, compute: Compute
    ) -> None:
        learner = Learner(config.architecture)
        learner.load_state_dict(parent.state_dict())
        super().__init__(compute.place(learner), mixture(own, mnist.train, config), validation, config, compute)
        self.parent = parent

    @property
    def evaluated_model(self) -> DigitNet:
        """The network that is validated and kept: between the parent and the trained one."""
        between = copy.deepcopy(self.parent)
        with torch.no_grad():
            for weight, trained in zip(between.parameters(), self.model.parameters(), strict=True):
                weight.lerp_(trained, _KEPT)
        return between


def mixture(own: Digits, mnist: Digits, config: TrainConfig) -> Digits:
    """An epoch's digits: every own one equally often, or once more, and a random choice of MNIST's, each once."""
    count = round(_OWN * config.images_per_epoch)
    repeated = own.subset(torch.arange(count) % len(own))
    others = torch.randperm(len(mnist), generator=seeded_generator(config.seed, "mixture"))
    return repeated.followed_by(mnist.subset(others[: config.images_per_epoch - count]))


def config_for(parent: TrainConfig, seed: int) -> TrainConfig:
    """How a copy of a network is trained: one short epoch, with stronger augmentation than usual."""
    kept: dict[str, Any] = {name: getattr(parent, name) for name in ("model", "batch_norm", "dropout", "hidden")}
    return TrainConfig(
        **kept, augment=_AUGMENT, seed=seed, epochs=1, epoch_size=_IMAGES, learning_rate=2e-3, average_decay=0.0
    )


def own_digits(drawings: Sequence[Drawing]) -> Digits:
    """The labelled drawings as networks see them, each once; a RequestError says how many are missing."""
    drawings = list(dict.fromkeys(drawings))  # a drawing kept twice would be learned from, and asked about
    labelled = None
    with suppress(RequestError):  # none has both a label and ink
        labelled = prepare_labelled(drawings)
    count = 0 if labelled is None else len(labelled.pictures)
    if labelled is None or count < FEWEST:
        found = f"{count} of at least {FEWEST} digits are kept" if count else "no digits are kept"
        raise RequestError(found, f"draw {FEWEST - count} more in the window, and press each one's number")
    images = torch.from_numpy(labelled.pictures).unsqueeze(1)  # (N, 1, 28, 28)
    return Digits(images, torch.from_numpy(labelled.labels), torch.arange(count))


def deal_folds(labels: Tensor, seed: int) -> Tensor:
    """Which of the folds each of the labels (N,) belongs to, (N,): at random, but each digit is spread over all."""
    order = torch.randperm(len(labels), generator=seeded_generator(seed, "folds"))
    order = order[labels[order].argsort(stable=True)]
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(labels)) % FOLDS)


@dataclass(frozen=True)
class Change:
    """Which of some digits were classified correctly before and after, (N,) each."""

    digits: str
    noun: str
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: numbers, 95 % intervals, and the verdict of the paired test."""
        total, found = len(self.before), mcnemar(self.before, self.after)
        said = mcnemar_verdict("the original", "the copy", found, noun=self.noun)
        counts = {"before": int(self.before.sum()), "after": int(self.after.sum())}
        return {
            "digits": self.digits,
            "total": total,
            **counts,
            **{f"{name}_interval_95": list(wilson_interval(correct, total)) for name, correct in counts.items()},
            "only_before": found.only_a,
            "only_after": found.only_b,
            "p_value": found.p_value,
            "verdict": " ".join(part[0].upper() + part[1:] for part in (said.sentence, said.facts)),
        }


def advice(change: Change, labels: NDArray[np.int64]) -> str:
    """What to make of the change in the own digits with these labels (N,), and which of them more would help."""
    before, after = change.before, change.after
    found, total = mcnemar(before, after), len(before)
    if found.p_value < LEVEL:
        better = found.only_b > found.only_a
        return (
            "It has learned your hand." if better else "It reads your hand worse than before: draw with the original."
        )
    if not found.only_a + found.only_b and before.all():
        return f"No difference yet: the original reads all {total} of your digits already."
    missed = np.bincount(labels[~before | ~after], minlength=CLASSES)
    digit = int(missed.argmax())
    rate = missed[digit] / max(1, int((labels == digit).sum()))  # of its drawings, those that can make a difference
    for more in range(1, _MOST_MORE + 1):
        gained = found.only_b + math.floor(rate * more)
        if gained > found.only_a and binomtest(gained, gained + found.only_a).pvalue < LEVEL:
            return f"No difference yet: {more} more of your {digit}s would help."
    return f"No difference yet: more of your {digit}s would help, but more than {_MOST_MORE} of them."


def right(model: DigitNet, digits: Digits, compute: Compute) -> NDArray[np.bool_]:
    """Which digits a network classifies correctly, (N,)."""
    found: NDArray[np.bool_] = (predict_logits(model, digits.images, compute).argmax(dim=1) == digits.labels).numpy()
    return found


def cross_validate(
    parent: DigitNet, own: Digits, mnist: Mnist, config: TrainConfig, compute: Compute, on_step: Step
) -> NDArray[np.bool_]:
    """Which own digits are read correctly by a copy that learned from other folds than theirs, (N,)."""
    folds, answered = deal_folds(own.labels, config.seed), np.zeros(len(own), dtype=bool)
    for fold in range(FOLDS):
        unseen = torch.nonzero(folds == fold).flatten()
        held_out = own.subset(unseen)
        trainer = HandTrainer(
            parent, own.subset(torch.nonzero(folds != fold).flatten()), mnist, held_out, config, compute
        )
        trainer.on_batch = lambda seen, fold=fold: on_step(fold + seen / _IMAGES)  # type: ignore[misc]
        trainer.fit()
        answered[unseen.numpy()] = right(trainer.evaluated_model, held_out, compute)
    return answered


def original_of(run: RunRecord) -> RunRecord:
    """The run that a personalised one goes back to, which has not seen any own digit; RunError if it is gone."""
    while run.parent:
        try:
            run = find_run(run.folder.parent, run.parent)
        except RunError:
            gone = f"{run.name} is a personalised copy of {run.parent}, which is gone"
            raise RunError(gone, "name a run that is not personalised") from None
    return run


@computing_with(1)  # two threads took longer wherever another program kept a core busy: 80 s in place of 9
def personalise(
    parent: RunRecord,
    drawings: Sequence[Drawing],
    outputs: Path,
    now: datetime,
    compute: Compute,
    *,
    seed: int = 0,
    on_step: Step = lambda done: None,
) -> Path:
    """Fine-tune a copy of an evaluated run's network on someone's labelled drawings, and leave it as a run of its own.

    The folder keeps the drawings, and its run.json what changed on them, by cross-validation, and on MNIST's digits. It
    has no pictures yet. The same drawings and seed give the same bits.

    Raises:
        RequestError: there are too few drawings with a label and ink.
        RunError, CheckpointError, StorageError, TrainingError: see their docstrings.
    """
    parent, own, mnist = original_of(parent), own_digits(drawings), load_mnist()
    model, config = load_trained(parent, compute), config_for(parent.config, seed)

    def step(done: float) -> None:
        on_step(done / (FOLDS + 1))

    answered = cross_validate(model, own, mnist, config, compute, step)
    trainer = HandTrainer(model, own, mnist, mnist.validation, config, compute)
    trainer.on_batch = lambda seen: step(FOLDS + seen / _IMAGES)
    outcome = trainer.fit()
    copied = trainer.evaluated_model
    changes, evaluations = [Change("your own", "drawing", right(model, own, compute), answered)], list[Evaluation]()
    for name, digits in (("validation", mnist.validation), ("test", mnist.test)):
        logits, labels = predict_logits(copied, digits.images, compute).numpy(), digits.labels.numpy()
        before, after = right(model, digits, compute), logits.argmax(axis=1) == labels
        changes.append(Change(f"MNIST {name}", f"{name} digit", before, after))
        evaluations.append(evaluate(logits, labels))
    personal = {
        "digits": len(own),
        "folds": FOLDS,
        "advice": advice(changes[0], own.labels.numpy()),
        "changes": [change.to_dict() for change in changes],
    }
    (validation, test), seconds = evaluations, outcome.history[0].seconds
    results = Results(outcome, validation, test, seconds, outcome.images_seen / seconds, trainer.images_per_epoch)
    folder = create_folder(outputs, f"{run_label(config)}-personal", now)
    try:
        write_text(folder / MY_DIGITS, "".join(f"{drawing.to_json()}\n" for drawing in drawings))
        words = ["personalise", parent.name, "--digits", str(folder / MY_DIGITS), "--seed", str(config.seed)]
        run = new_run(folder, config, mnist, 0, now)
        run = replace(run, command=command_line(shlex.join(words), outputs), parent=parent.name, personal=personal)
        run = save_results(run, results, mnist, copied, lambda folder, outcome: None, {})
        describe(run, {})
    except BaseException:
        if not is_file(folder / RUN_FILE):  # the disk is full, say
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder

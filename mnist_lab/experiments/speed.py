"""What makes training fast: from the common recipe to the lab's in steps that change one thing each.

The common recipe is the one of most tutorials: every image is turned into a PIL picture and transformed alone, in a
``DataLoader`` with two workers, in batches of 64, with Adam at a constant rate, in float32; the validation digits go
through the same kind of loader after the epoch.

All steps train the same network from the same weights, with the same strengths of rotation, shift, scale and shear:
of the lab's augmentations these are the ones that the common recipe has too. All go through the one training loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision import transforms

from mnist_lab.config import MILD_AUGMENTATION, TRAIN_DIGITS, AugmentConfig, Recipe, TrainConfig, default_config
from mnist_lab.data.mnist import Batch, Digits, Mnist, TrainLoader, leave_interrupts_to_the_main_process
from mnist_lab.data.pixels import MEAN, STD
from mnist_lab.experiments import figures
from mnist_lab.experiments.study import Study
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.inference import BATCH_SIZE, predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.wording import count_epochs, describe_augmentation, format_duration, format_percent
from mnist_lab.training.runs import command_line
from mnist_lab.training.trainer import Progress, Trainer

MODEL = "3-layer"
SEED = 0
QUESTION = "What makes training fast?"

COMMON_BATCH_SIZE, COMMON_WORKERS = 64, 2

TARGET = 0.9933
"""Validation accuracy, a fraction, that the steps train up to."""

MOST_EPOCHS_TO_TARGET = 12
"""Epochs after which a step that has not reached the target gives up."""

ONE_CYCLE_EPOCHS = 4
"""The one-cycle recipe has to know its number of epochs beforehand."""

AUGMENTATION = replace(MILD_AUGMENTATION.without("pen", "erasing"), flip=0.0)
"""What all steps augment with: the lab's for short trainings, as far as PIL pictures can be transformed like that."""

WARM_UP, TIMED = 8, 24
"""Batches before and during an estimate: the first ones also set up the processor's kernels and fill the queue."""


# --- the steps ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One way of training; the defaults are the common recipe."""

    name: str
    change: str  # what is new against the step before, in words
    batched: bool = False  # whole batches are augmented in this process; otherwise PIL pictures one by one in workers
    evaluated_from_memory: bool = False  # the validation digits; otherwise through a loader of PIL pictures
    fused: bool = False  # one kernel updates all weights; otherwise one tensor after the other on a CPU
    channels_last: bool = False  # memory layout of the convolutions
    low_precision: bool = False  # 16 bits where the device has them natively; otherwise float32
    batch_size: int = COMMON_BATCH_SIZE
    recipe: Recipe = "plain"


class Change(NamedTuple):
    """What turns one step into the next."""

    name: str
    explanation: str
    values: Mapping[str, Any]  # fields of Step; one, so that one thing changes at a time
    is_possible: Callable[[Compute], bool] = lambda compute: True
    otherwise: str = ""  # what to say where it is not


COMMON = Step(
    "common recipe",
    f"PIL pictures transformed one by one in {COMMON_WORKERS} workers, batches of {COMMON_BATCH_SIZE}, "
    "Adam at a constant rate, float32",
)

CHANGES = (
    Change(
        "augmentation in batches",
        "a whole batch is turned, shifted and slanted at once; no pictures, no workers",
        {"batched": True},
    ),
    Change(
        "evaluation from memory",
        f"the validation digits are evaluated {BATCH_SIZE} at a time as they lie in memory, not as PIL pictures",
        {"evaluated_from_memory": True},
    ),
    Change(
        "Adam in one kernel",
        "one call updates all weights, not a dozen calls for each of the network's tensors",
        {"fused": True},
        lambda compute: compute.device.type != "mps",
        "Adam in one kernel is left out: not every release of torch has it for Apple's GPU.",
    ),
    Change(
        "channels last",
        "all channels of a pixel lie side by side in memory, as convolutions prefer",
        {"channels_last": True},
        lambda compute: compute.channels_last,
        "channels last is left out: with it, this release of torch computes wrong gradients on this device.",
    ),
    Change(
        "bfloat16",
        "convolutions and matrix products in 16 bits, which the processor has natively",
        {"low_precision": True},
        lambda compute: compute.low_precision is not None,
        "bfloat16 is left out: this processor does not have it natively.",
    ),
    Change(
        "batches of 128",
        "twice as many digits in each step, half as many steps",
        {"batch_size": TrainConfig.batch_size},
    ),
    Change(
        "the lab's recipe",
        "AdamW, a rate that rises and falls, smoothed labels, an EMA of the weights: a little more to do in each "
        "epoch, for fewer epochs",
        {"recipe": "one-cycle"},
    ),
)


def steps_on(compute: Compute) -> tuple[Step, ...]:
    """The steps that a device can take, from the common recipe to the lab's, each with one change more."""
    steps = [COMMON]
    for change in CHANGES:
        if change.is_possible(compute):
            steps.append(replace(steps[-1], name=change.name, change=change.explanation, **change.values))
    return tuple(steps)


def left_out_on(compute: Compute) -> tuple[str, ...]:
    """A sentence for each step that a device can't take."""
    return tuple(change.otherwise for change in CHANGES if not change.is_possible(compute))


# --- measuring ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """How long every step trains."""

    epochs: int = MOST_EPOCHS_TO_TARGET  # at most; the one-cycle recipe is planned for ONE_CYCLE_EPOCHS if that is less
    target: float | None = TARGET  # the validation accuracy that ends a training; None to train all epochs

    def epochs_of(self, step: Step) -> int:
        """How many epochs a step trains at most."""
        return min(self.epochs, ONE_CYCLE_EPOCHS) if step.recipe == "one-cycle" else self.epochs

    def is_reached(self, accuracy: float) -> bool:
        """Whether a validation accuracy ends the training."""
        return self.target is not None and accuracy >= self.target


@dataclass(frozen=True)
class EpochTime:
    """Seconds of one epoch, training and evaluating the validation digits, and the accuracy reached, a fraction."""

    training: float
    evaluation: float
    images_trained: int
    accuracy: float

    @property
    def total(self) -> float:
        """Training and evaluation."""
        return self.training + self.evaluation


@dataclass(frozen=True)
class Measured:
    """A step's epochs, at least one; the last one is the one that reached the target, if any did."""

    step: Step
    goal: Goal
    epochs: tuple[EpochTime, ...]

    @property
    def seconds_per_epoch(self) -> float:
        """Training and evaluation: the median, so that one disturbed epoch does not count."""
        return median(epoch.total for epoch in self.epochs)

    @property
    def images_per_second(self) -> float:
        """Training images per second of training, the median of the epochs."""
        return median(epoch.images_trained / epoch.training for epoch in self.epochs)

    @property
    def seconds(self) -> float:
        """All epochs together."""
        return sum(epoch.total for epoch in self.epochs)

    @property
    def reached(self) -> bool:
        """Whether the last epoch reached the target."""
        return self.goal.is_reached(self.epochs[-1].accuracy)


def measure(
    step: Step,
    mnist: Mnist,
    compute: Compute,
    goal: Goal,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Measured:
    """Train one step's way until the goal is reached; the test digits are left alone.

    Args:
        step, mnist, goal: the way, the data, and when to stop.
        compute: the device, with all that it can do; the step says what of it is used.
        on_progress: called every few batches.
        stop_requested: asked after every batch.

    Raises:
        KeyboardInterrupt: it was asked to stop, and the batch is done.
        TrainingError: the loss became infinite or not a number.
    """
    trainer = new_trainer(step, mnist, compute, goal.epochs_of(step))
    epochs: list[EpochTime] = []
    while len(epochs) < goal.epochs_of(step) and not (epochs and goal.is_reached(epochs[-1].accuracy)):
        start = time.perf_counter()
        _, _, seen = trainer.train_epoch(len(epochs) + 1, on_progress, stop_requested)
        trained = time.perf_counter()
        accuracy = 0.0 if stop_requested() else evaluate_step(step, trainer)
        if stop_requested():
            raise KeyboardInterrupt
        epochs.append(EpochTime(trained - start, time.perf_counter() - trained, seen, accuracy))
    return Measured(step, goal, tuple(epochs))


def estimate_epoch(step: Step, mnist: Mnist, compute: Compute) -> EpochTime:
    """About how long an epoch will take, by training a few batches; the network trained for it is thrown away."""
    digits = min(len(mnist.train), step.batch_size * (WARM_UP + TIMED))
    some = mnist.train.subset(torch.arange(digits))
    trainer = new_trainer(step, replace(mnist, train=some), compute, epochs=1)
    warm_up = min(WARM_UP, len(trainer.loader) // 2)
    start, timed = 0.0, 0
    trainer.model.train()
    for number, batch in enumerate(trainer.loader.epoch(1)):
        if number == warm_up:
            start = time.perf_counter()
        trainer.step(batch.images.to(trainer.compute.device), batch.labels.to(trainer.compute.device))
        timed += len(batch.labels) if number >= warm_up else 0
    trained = time.perf_counter()
    accuracy = evaluate_step(step, trainer)
    seconds = (trained - start) * len(mnist.train) / timed
    return EpochTime(seconds, time.perf_counter() - trained, len(mnist.train), accuracy)


def new_trainer(step: Step, mnist: Mnist, compute: Compute, epochs: int) -> Trainer:
    """A training that goes a step's way, before its first batch."""
    used = replace(
        compute,
        low_precision=compute.low_precision if step.low_precision else None,
        channels_last=step.channels_last,
    )
    config = config_of(step, epochs)
    trainer = Trainer(used.place(build_model(MODEL, config.seed)), mnist.train, mnist.validation, config, used)
    if not step.batched:
        trainer.loader = PictureLoader(mnist.train, config)
    if not step.fused:
        for group in trainer.optimizer.param_groups:
            group["fused"] = None  # the default of torch.optim.Adam
    return trainer


def config_of(step: Step, epochs: int) -> TrainConfig:
    """A step's training as a configuration, as far as one can describe it."""
    usual = default_config(MODEL, augmented=True, recipe=step.recipe, epochs=epochs)
    return replace(usual, augment=AUGMENTATION, batch_size=step.batch_size, seed=SEED)


@torch.no_grad()
def evaluate_step(step: Step, trainer: Trainer) -> float:
    """Accuracy on the validation digits, a fraction."""
    digits, network, compute = trainer.validation, trainer.judged_model, trainer.compute
    if step.evaluated_from_memory:
        predictions = predict_logits(network, digits.images, compute).argmax(dim=1)  # (N,)
        return int((predictions == digits.labels).sum()) / len(digits)
    network.eval()
    correct = 0
    for images, labels in picture_loader(digits, plain_transforms(), step.batch_size, shuffle=False):
        with compute.autocast():
            predictions = network(images.to(compute.device)).argmax(dim=1).cpu()
        correct += int((predictions == labels).sum())
    return correct / len(digits)


# --- the common recipe -------------------------------------------------------------------------------------------


class PictureLoader(TrainLoader):
    """The common loader in the place of the lab's: sample by sample, in two workers."""

    def __init__(self, digits: Digits, config: TrainConfig) -> None:
        super().__init__(digits, config.augment, batch_size=config.batch_size, seed=config.seed)
        transform = training_transforms(config.augment or AUGMENTATION)
        self.loader = picture_loader(digits, transform, config.batch_size, shuffle=True)


class _Pictures(Dataset[tuple[Tensor, int]]):
    def __init__(self, digits: Digits, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images = digits.images.squeeze(1).numpy()  # (N, 28, 28)
        self.labels = digits.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[position])), self.labels[position]


def training_transforms(strength: AugmentConfig) -> Callable[[Image.Image], Tensor]:
    """The common chain, with torchvision's defaults: two resamplings of the picture, then the tensor."""
    chain: Callable[[Image.Image], Tensor] = transforms.Compose(
        [
            transforms.RandomRotation(strength.rotation),
            transforms.RandomAffine(
                0,
                translate=(strength.shift, strength.shift),
                scale=(1 - strength.scale, 1 + strength.scale),
                shear=strength.shear,
            ),
            plain_transforms(),
        ]
    )
    return chain


def plain_transforms() -> Callable[[Image.Image], Tensor]:
    """Picture to normalised tensor."""
    chain: Callable[[Image.Image], Tensor] = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([MEAN], [STD])]
    )
    return chain


def picture_loader(
    digits: Digits, transform: Callable[[Image.Image], Tensor], batch_size: int, *, shuffle: bool
) -> DataLoader[Batch]:
    """Pictures one by one from two workers, put together to batches; the workers end with the loop over the loader."""
    pictures: Dataset[Any] = _Pictures(digits, transform)
    return DataLoader(
        pictures,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=COMMON_WORKERS,
        collate_fn=_as_batch,
        worker_init_fn=leave_interrupts_to_the_main_process,
    )


def _as_batch(samples: list[tuple[Tensor, int]]) -> Batch:
    """The usual way to put samples together, under the names that the training loop knows."""
    return Batch(*default_collate(samples))


# --- what came out -----------------------------------------------------------------------------------------------


def study_speed(steps: Sequence[Measured], mnist: Mnist, compute: Compute, outputs: Path, now: datetime) -> Study:
    """What was measured, as a study.

    Args:
        steps: the common recipe first and the lab's last; at least two.
        mnist, compute: what was trained and evaluated on, and where.
        outputs, now: where all results are kept, and when this happens.
    """
    goal, digits = steps[0].goal, len(mnist.train)
    command = f"experiment speed --epochs {goal.epochs}" + ("" if goal.target is not None else " --no-target")
    left_out = left_out_on(compute)
    return Study(
        label="experiment-speed",
        kind="Experiment",
        title="Experiment: speed",
        question=QUESTION,
        repeat=command_line(command + ("" if digits == TRAIN_DIGITS else f" --train-size {digits}"), outputs),
        created=now,
        facts={
            "device": compute.name,
            "network": MODEL,
            "training digits": f"{digits:,}",
            "validation digits": f"{len(mnist.validation):,}",
            "seed": str(SEED),
        },
        verdicts=[*verdicts(steps), *left_out],
        sections=[_steps_section(steps), _progress_section(steps), _reading_section(goal, mnist)],
        numbers={
            "experiment": "speed",
            "device": compute.name,
            "model": MODEL,
            "seed": SEED,
            "epochs": goal.epochs,
            "target": goal.target,
            "train_size": digits,
            "steps": [_numbers_of(measured) for measured in steps],
            "left_out": list(left_out),
        },
        tables=tables_of(steps),
    )


def _numbers_of(measured: Measured) -> dict[str, Any]:
    return {
        "name": measured.step.name,
        "change": measured.step.change,
        "seconds_per_epoch": round(measured.seconds_per_epoch, 3),
        "images_per_second": round(measured.images_per_second, 1),
        "reached": measured.reached,
        "seconds_to_target": round(measured.seconds, 3) if measured.reached else None,
        "epochs": [
            {
                "training_seconds": round(epoch.training, 3),
                "judging_seconds": round(epoch.evaluation, 3),
                "val_accuracy": epoch.accuracy,
            }
            for epoch in measured.epochs
        ],
    }


def verdicts(steps: Sequence[Measured]) -> list[str]:
    """What was found, in sentences: an epoch's time, the change that saved most of it, the time to the target."""
    first, last = steps[0], steps[-1]
    before, after = first.seconds_per_epoch, last.seconds_per_epoch
    times = f"{before / after:.{1 if before >= after else 2}f}"  # with more digits where it is slower
    found = [f"From the common recipe to the lab's: {before:.1f} s an epoch to {after:.1f} s, {times} times as fast."]
    saved = {step.step.name: previous.seconds_per_epoch - step.seconds_per_epoch for previous, step in pairwise(steps)}
    most = max(saved, key=lambda name: saved[name])
    if saved[most] > 0:
        found.append(f"The largest single saving is {most}: {saved[most]:.1f} s of each epoch.")
    if first.goal.target is not None:
        found.append(_target_sentence(first, last, first.goal.target))
    return found


def _target_sentence(first: Measured, last: Measured, target: float) -> str:
    goal = f"{format_percent(target)} of the validation digits"
    common, ours = (f"{format_duration(m.seconds)} ({count_epochs(len(m.epochs))})" for m in (first, last))
    if last.reached and first.reached:
        sooner = f"{first.seconds / last.seconds:.1f} times as soon" if last.seconds < first.seconds else "no sooner"
        return f"The lab's recipe reads {goal} after {ours} instead of {common}: {sooner}."
    if last.reached:
        return f"The lab's recipe reads {goal} after {ours}; the common recipe does not within {common}."
    if first.reached:
        return f"The common recipe reads {goal} after {common}; the lab's does not within {ours}."
    return f"Neither recipe reads {goal}: the common one not within {common}, the lab's not within {ours}."


def tables_of(steps: Sequence[Measured]) -> list[Table]:
    """How long an epoch of each step takes, compared with the first, and, if there is one, how long to the target."""
    first, target = steps[0].seconds_per_epoch, steps[0].goal.target
    rows = [
        (
            measured.step.name,
            f"{median(epoch.training for epoch in measured.epochs):.1f}",
            f"{median(epoch.evaluation for epoch in measured.epochs):.1f}",
            f"{measured.seconds_per_epoch:.1f}",
            f"{measured.images_per_second:,.0f}",
            f"{first / measured.seconds_per_epoch:.1f}",
        )
        for measured in steps
    ]
    headings = ("step", "training", "evaluation", "in all", "images/s", "times as fast")
    tables = [Table("Seconds of one epoch", headings, rows, numeric=range(1, len(headings)))]
    if target is not None:
        reached = [
            (m.step.name, format_duration(m.seconds), str(len(m.epochs)))
            if m.reached
            else (m.step.name, "not reached", f"> {len(m.epochs)}")
            for m in steps
        ]
        tables.append(Table(f"Until {format_percent(target)}", ("step", "time", "epochs"), reached, numeric=(1, 2)))
    return tables


def _steps_section(steps: Sequence[Measured]) -> Section:
    bars = {
        m.step.name: figures.Step(m.seconds_per_epoch, m.images_per_second, m.seconds if m.reached else None)
        for m in steps
    }
    target = steps[0].goal.target or TARGET
    figure = figures.speed_steps(bars, title="From the common recipe to the lab's", target=target)
    each = "; ".join(f"{name} {step.seconds_per_epoch:.1f} s" for name, step in bars.items())
    changes = [(measured.step.name, measured.step.change) for measured in steps]
    text = (
        "Each row keeps the changes of all rows above it and adds one; in another order, one and the same change may "
        "save more or less."
    )
    tables = [Table("One change at a time", ("step", "what is new"), changes), tables_of(steps)[0]]
    picture = Picture("Every step", png_of(figure), f"Bars, seconds an epoch: {each}", name="speed")
    return Section("Step by step", [text], tables, [picture])


def _progress_section(steps: Sequence[Measured]) -> Section:
    longest = max(len(measured.epochs) for measured in steps)
    rows = []
    for measured in steps:
        cells = [f"{100 * epoch.accuracy:.2f}" for epoch in measured.epochs]
        rows.append([measured.step.name, *cells, *[""] * (longest - len(cells))])
    headings = ("after epoch", *map(str, range(1, longest + 1)))
    accuracies = Table("Validation accuracy, %", headings, rows, numeric=range(1, longest + 1))
    return Section("How far each came", tables=[*tables_of(steps)[1:], accuracies])


def _reading_section(goal: Goal, mnist: Mnist) -> Section:
    augmentation = describe_augmentation(AUGMENTATION)
    paragraphs = [
        "An epoch is one pass over the training digits and the evaluation of the validation digits after it; given is "
        "the median over all epochs that a step trained. Images per second count the training alone.",
        f"All steps train the {MODEL} network from the same initial weights, {augmentation}. The lab's pen "
        "augmentations and erasing are off in all of them, as the common recipe has none. With PIL pictures shifts are "
        "whole pixels and the nearest pixel is taken, torchvision's defaults; the lab's batches are interpolated, so "
        "the second step changes what is seen a little, too.",
        "What helps all steps alike is not measured here: max pooling comes before batch normalisation and ReLU, and "
        "freed memory is kept for the next batch where the system can do so.",
        f"Every step was trained once, with seed {SEED}. The seconds an epoch hardly vary with the seed, but the "
        "number of epochs to an accuracy does, by one or several: read small differences there as chance.",
        f"The lab's recipe has to know its length beforehand: {count_epochs(min(goal.epochs, ONE_CYCLE_EPOCHS))}. The "
        "others keep a constant rate. Any other load on the machine makes a step look slower than it is.",
        f"Only the {len(mnist.validation):,} validation digits were evaluated; the test digits were not touched.",
    ]
    return Section("How to read this", paragraphs)

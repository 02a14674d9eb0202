"""What makes training fast: from the common recipe to the lab's in steps that change one thing each.

The common recipe is the one of most tutorials: every image is turned into a PIL picture and transformed alone, in a
``DataLoader`` with two workers, in batches of 64, with Adam at a constant rate, in float32; the validation digits go
through the same kind of loader after the epoch.

All steps train the same network from the same weights, with the same strengths of rotation, shift, scale and shear:
of the lab's augmentations these are the ones that the common recipe has too. All go through the one training loop.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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

from mnist_lab.config import (
    MILD_AUGMENTATION,
    MOST_EPOCHS,
    TRAIN_DIGITS,
    AugmentConfig,
    TrainConfig,
    check_whole,
    default_config,
)
from mnist_lab.data.loader import Batch, TrainLoader, leave_interrupts_to_the_main_process
from mnist_lab.data.mnist import MEAN, STD, Digits, Mnist, load_mnist, stratified_subset
from mnist_lab.experiments import figures
from mnist_lab.experiments.study import Study, tell_study
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import BATCH_SIZE, Compute, predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal import wording
from mnist_lab.terminal.console import Choice
from mnist_lab.terminal.lab import INTERRUPTED, OK, Lab, graceful_interrupts
from mnist_lab.terminal.wording import count_epochs, format_about, format_duration, format_percent
from mnist_lab.training.runs import command_line
from mnist_lab.training.trainer import Progress, Trainer

MODEL = "3-layer"
SEED = 0
COMMON_BATCH_SIZE, COMMON_WORKERS = 64, 2
TARGET = 0.9933  # validation accuracy, a fraction, that the steps train up to
MOST_EPOCHS_TO_TARGET = 12  # after which a step that has not reached the target gives up
ONE_CYCLE_EPOCHS = 4  # the one-cycle recipe has to know its number of epochs beforehand
WARM_UP, TIMED = 8, 24  # batches before and during an estimate: the first ones also set up kernels and fill the queue

AUGMENTATION = replace(MILD_AUGMENTATION.without("pen", "erasing"), flip=0.0)
"""What all steps augment with: the lab's for short trainings, as far as PIL pictures can be transformed like that."""


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
    recipe: str = "plain"


COMMON = Step(
    "common recipe",
    f"PIL pictures transformed one by one in {COMMON_WORKERS} workers, batches of {COMMON_BATCH_SIZE}, "
    "Adam at a constant rate, float32",
)


class Change(NamedTuple):
    """What turns one step into the next."""

    name: str
    explanation: str
    values: Mapping[str, Any]  # fields of Step; one, so that one thing changes at a time
    is_possible: Callable[[Compute], bool] = lambda compute: True
    otherwise: str = ""  # what to say where it is not


CHANGES = (
    Change("augmentation in batches", "a whole batch is turned, shifted and slanted at once; no pictures, no workers",
           {"batched": True}),
    Change("evaluation from memory",
           f"the validation digits are evaluated {BATCH_SIZE} at a time as they lie in memory, not as PIL pictures",
           {"evaluated_from_memory": True}),
    Change("Adam in one kernel", "one call updates all weights, not a dozen calls for each of the network's tensors",
           {"fused": True}, lambda compute: compute.device.type != "mps",
           "Adam in one kernel is left out: not every release of torch has it for Apple's GPU."),
    Change("channels last", "all channels of a pixel lie side by side in memory, as convolutions prefer",
           {"channels_last": True}, lambda compute: compute.channels_last,
           "channels last is left out: with it, this release of torch computes wrong gradients on this device."),
    Change("bfloat16", "convolutions and matrix products in 16 bits, which the processor has natively",
           {"low_precision": True}, lambda compute: compute.low_precision is not None,
           "bfloat16 is left out: this processor does not have it natively."),
    Change("batches of 128", "twice as many digits in each step, half as many steps",
           {"batch_size": TrainConfig.batch_size}),
    Change("the lab's recipe",
           "AdamW, a rate that rises and falls, smoothed labels, an EMA of the weights: a little more to do in each "
           "epoch, for fewer epochs", {"recipe": "one-cycle"}),
)  # fmt: skip


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

    def seconds(self, per_epoch: Mapping[Step, float]) -> float:
        """That some steps take at most, given the seconds of an epoch of each."""
        return sum(self.epochs_of(step) * seconds for step, seconds in per_epoch.items())

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

    Raises:
        KeyboardInterrupt: it was asked to stop (``stop_requested``, after every batch), and the batch is done.
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


def estimate_seconds(step: Step, mnist: Mnist, compute: Compute) -> float:
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
    evaluate_step(step, trainer)
    return (trained - start) * len(mnist.train) / timed + time.perf_counter() - trained


def new_trainer(step: Step, mnist: Mnist, compute: Compute, epochs: int) -> Trainer:
    """A training that goes a step's way, before its first batch."""
    precision = compute.low_precision if step.low_precision else None
    used = replace(compute, low_precision=precision, channels_last=step.channels_last)
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
    digits, network, compute = trainer.validation, trainer.evaluated_model, trainer.compute
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


def training_transforms(strength: AugmentConfig) -> transforms.Compose:
    """The common chain, with torchvision's defaults: two resamplings of the picture, then the tensor."""
    shift, scale = (strength.shift, strength.shift), (1 - strength.scale, 1 + strength.scale)
    affine = transforms.RandomAffine(0, translate=shift, scale=scale, shear=strength.shear)
    return transforms.Compose([transforms.RandomRotation(strength.rotation), affine, plain_transforms()])


def plain_transforms() -> transforms.Compose:
    """Picture to normalised tensor."""
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize([MEAN], [STD])])


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
    return Batch(*default_collate(samples))


QUESTION = "What makes training fast?"
ONE_EPOCH = Goal(epochs=1, target=None)


def time_one_epoch(lab: Lab) -> int:
    """Time one epoch of the common recipe and one of the lab's."""
    compute = compute_for(lab)
    with lab.terminal.busy("timing a few batches"):
        mnist = load_mnist()
        common, *_, ours = steps_on(compute)
        seconds = {step: estimate_seconds(step, mnist, compute) for step in (common, ours)}
    lab.terminal.hint(f"one augmented epoch of 3-layer in each recipe; {format_about(sum(seconds.values()))}")
    measured = []
    for step, about in seconds.items():
        with lab.terminal.busy(f"{step.name}: one epoch, {format_about(about)}"):
            measured.append(measure(step, mnist, compute, ONE_EPOCH))
    lab.terminal.show(tables_of(measured)[0].on_screen())
    lab.terminal.hint(f"on {compute.name}; common recipe: {common.change}; what each change saves: experiment speed")
    lab.terminal.line(f"{measured[0].seconds_per_epoch / measured[1].seconds_per_epoch:.1f} times as fast")
    return OK


def ask_speed(lab: Lab) -> int:
    """The menu's way to the experiment about speed: how far every step trains, with the time that it takes here."""
    mnist = load_mnist()
    seconds = _time_steps(lab, mnist)
    return measure_speed(lab, mnist, seconds, ask_goal(lab, seconds), offer_page=True)


def ask_goal(lab: Lab, seconds: Mapping[Step, float]) -> Goal:
    """Ask how far every step trains; ``seconds`` of an epoch of each."""
    goals = {"target": Goal(), "epoch": ONE_EPOCH}
    choices = [Choice(word, f"{_longest(seconds, goal)}; {_describe(goal)}") for word, goal in goals.items()]
    return goals[lab.terminal.choose("How thorough", choices, default="target")]


def _longest(seconds: Mapping[Step, float], goal: Goal) -> str:
    return format_about(goal.seconds(seconds)) + " at most" * (goal.target is not None)


def _describe(goal: Goal) -> str:
    if goal.target is None:
        return f"{count_epochs(goal.epochs)} in each way"
    return (
        f"until {format_percent(goal.target)} of the validation digits are classified correctly, in {goal.epochs} "
        f"epochs at most, the lab's recipe in {min(goal.epochs, ONE_CYCLE_EPOCHS)}"
    )


def speed_from_options(lab: Lab, options: Namespace) -> int:
    """The experiment about speed on the command line."""
    size = TRAIN_DIGITS if options.train_size is None else options.train_size
    check_whole("--train-size", size, 100, TRAIN_DIGITS)
    goal = ONE_EPOCH if options.no_target else Goal()
    if options.epochs is not None:
        check_whole("--epochs", options.epochs, 1, MOST_EPOCHS)
        goal = replace(goal, epochs=options.epochs)
    mnist = load_mnist()
    mnist = replace(mnist, train=stratified_subset(mnist.train, size))
    return measure_speed(lab, mnist, _time_steps(lab, mnist), goal)


def _time_steps(lab: Lab, mnist: Mnist) -> dict[Step, float]:
    compute = compute_for(lab)
    seconds, steps = {}, steps_on(compute)
    for number, step in enumerate(steps, start=1):
        with lab.terminal.busy(f"timing a few batches of each way to train, {number} of {len(steps)}"):
            seconds[step] = estimate_seconds(step, mnist, compute)
    return seconds


def measure_speed(
    lab: Lab, mnist: Mnist, seconds: Mapping[Step, float], goal: Goal, *, offer_page: bool = False
) -> int:
    """Say how long it will take, measure step by step, and leave a folder with a report.

    ``seconds`` are those that an epoch of each step takes, about.
    """
    terminal, compute = lab.terminal, compute_for(lab)
    terminal.show("", f"[title]{QUESTION}[/title]  [hint]one change at a time[/hint]")
    terminal.hint(f"training {_describe(goal)}")
    for sentence in left_out_on(compute):
        terminal.hint(sentence)
    terminal.line(f"{len(seconds)} trainings to do: {_longest(seconds, goal)}")
    terminal.hint("Ctrl-C stops after the current batch.")
    measured: list[Measured] = []
    waiting = dict(seconds)
    with (
        suppress(KeyboardInterrupt),
        graceful_interrupts(lambda: terminal.warn("Ctrl-C: ending after this batch ...")) as stop_requested,
        terminal.console.status("", refresh_per_second=4) as status,  # the measured training needs the processor
    ):

        def show_left(progress: Progress) -> None:
            step, *later = waiting
            epochs = progress.epochs - progress.epoch + 1 - progress.images_done / progress.images_per_epoch
            left = epochs * seconds[step] + goal.seconds({other: seconds[other] for other in later})
            at_most = "" if goal.target is None else "at most "
            where = f"epoch {progress.epoch}/{progress.epochs}, {at_most}{format_duration(left)} left"
            status.update(f"{wording.plain(step.name)}  [hint]{where}[/hint]")

        for number, step in enumerate(seconds, start=1):
            found = measure(step, mnist, compute, goal, on_progress=show_left, stop_requested=stop_requested)
            measured.append(found)
            del waiting[step]
            best = format_percent(max(epoch.accuracy for epoch in found.epochs))
            terminal.line(
                f"{number:>3}/{len(seconds)}  {step.name:<24}{found.seconds_per_epoch:>6.1f} s an epoch; "
                f"best {best} in {count_epochs(len(found.epochs))}"
            )
    if waiting:
        for table in tables_of(measured) if measured else ():
            terminal.show("", table.on_screen(gap=1))
        terminal.warn(f"stopped; {len(measured)} of {len(seconds)} steps were measured, nothing is saved")
        return INTERRUPTED
    tell_study(lab, study_speed(measured, mnist, compute, lab.outputs, lab.now()), offer_page=offer_page)
    return OK


# --- what came out -----------------------------------------------------------------------------------------------


def study_speed(steps: Sequence[Measured], mnist: Mnist, compute: Compute, outputs: Path, now: datetime) -> Study:
    """What was measured, the common recipe first and the lab's last, as a study."""
    goal, digits, left_out = steps[0].goal, len(mnist.train), left_out_on(compute)
    command = f"experiment speed --epochs {goal.epochs}" + " --no-target" * (goal.target is None)
    command += f" --train-size {digits}" * (digits != TRAIN_DIGITS)
    return Study(
        label="experiment-speed",
        kind="Experiment",
        title="Experiment: speed",
        question=QUESTION,
        repeat=command_line(command, outputs),
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
    epochs = [(round(one.training, 3), round(one.evaluation, 3), one.accuracy) for one in measured.epochs]
    return {
        "name": measured.step.name,
        "change": measured.step.change,
        "seconds_per_epoch": round(measured.seconds_per_epoch, 3),
        "images_per_second": round(measured.images_per_second, 1),
        "reached": measured.reached,
        "seconds_to_target": round(measured.seconds, 3) if measured.reached else None,
        "epochs": [
            dict(zip(("training_seconds", "judging_seconds", "val_accuracy"), one, strict=True)) for one in epochs
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
    rows, reached = [], []
    for step in steps:
        parts = (median(one.training for one in step.epochs), median(one.evaluation for one in step.epochs))
        seconds = [f"{number:.1f}" for number in (*parts, step.seconds_per_epoch)]
        times = f"{first / step.seconds_per_epoch:.1f}"
        rows.append((step.step.name, *seconds, f"{step.images_per_second:,.0f}", times))
        epochs = len(step.epochs)
        until = (format_duration(step.seconds), str(epochs)) if step.reached else ("not reached", f"> {epochs}")
        reached.append((step.step.name, *until))
    headings = ("step", "training", "evaluation", "in all", "images/s", "times as fast")
    tables = [Table("Seconds of one epoch", headings, rows, numeric=range(1, len(headings)))]
    if target is not None:
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
    paragraphs = [
        "An epoch is one pass over the training digits and the evaluation of the validation digits after it; given is "
        "the median over all epochs that a step trained. Images per second count the training alone.",
        f"All steps train the {MODEL} network from the same initial weights, "
        f"{wording.describe_augmentation(AUGMENTATION)}. PIL pictures are shifted by whole pixels, batches "
        "are interpolated: the second step changes what is seen a little, too.",
        f"Every step was trained once, with seed {SEED}. The seconds an epoch hardly vary with the seed, but the "
        "number of epochs to an accuracy does, by one or several: read small differences there as chance.",
        "The lab's recipe has to know its length beforehand: "
        f"{count_epochs(min(goal.epochs, ONE_CYCLE_EPOCHS))}. The others keep a constant rate. Any other "
        "load on the machine makes a step look slower than it is.",
        f"Only the {len(mnist.validation):,} validation digits were evaluated; the test digits were not touched.",
    ]
    return Section("How to read this", paragraphs)

"""What makes training fast: from the common recipe to the lab's in steps that change one thing each.

The common recipe is that of most tutorials: a ``DataLoader`` with two workers transforms PIL pictures one by one, in
batches of 64; Adam at a constant rate; float32. All steps train the same network from the same weights through the one
training loop, with those of the lab's augmentations that the common recipe has too.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

from mnist_lab import config
from mnist_lab.data.loader import Batch, leave_interrupts_to_the_main_process
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
from mnist_lab.terminal.wording import counted, format_about, format_duration, format_percent
from mnist_lab.training.runs import command_line
from mnist_lab.training.trainer import Progress, Trainer

QUESTION = "What makes training fast?"
MODEL = "3-layer"
_SEED = 0
_WORKERS = 2  # of the common recipe
_SHORT = 60  # seconds that the menu begins without asking
_ONE_CYCLE_EPOCHS = 4  # the one-cycle recipe has to know its number of epochs beforehand; the last steps have one

AUGMENTATION = replace(config.MILD_AUGMENTATION.without("pen", "erasing"), flip=0.0)
"""What the steps augment with: the lab's for short trainings, as far as PIL pictures can be transformed like that."""

_QUICK = config.default_config(MODEL, augmented=True, epochs=1)  # the last steps lead to it


@dataclass(frozen=True)
class Step:
    """One way of training, and what is new compared with the step before; the defaults are the common recipe."""

    name: str = "common recipe"
    change: str = f"PIL pictures one by one in {_WORKERS} workers, batches of 64, Adam at a constant rate, float32"
    batched: bool = False  # whole batches are augmented in this process; otherwise PIL pictures one by one in workers
    from_memory: bool = False  # evaluation of the validation digits; otherwise through a loader of PIL pictures
    fused: bool = False  # one kernel updates all weights; otherwise one tensor after the other on a CPU
    channels_last: bool = False  # memory layout of the convolutions
    low_precision: bool = False  # 16 bits where the device has them natively; otherwise float32
    batch_size: int = 64
    recipe: str = "plain"  # or "one-cycle"
    one_epoch: bool = False  # the one-cycle rate rises and falls within a single epoch; otherwise within four
    augmentation: config.AugmentConfig = AUGMENTATION
    changed: tuple[tuple[str, float], ...] = ()  # settings, by name, that are not the recipe's own


def steps_on(compute: Compute) -> list[Step]:
    """The steps that a device can take, from the common recipe to the lab's, each with one change more."""
    steps = [Step()]

    def add(name: str, change: str, **values: Any) -> None:
        steps.append(replace(steps[-1], name=name, change=change, **values))

    add("augmentation in batches", "whole batches are transformed at once: no pictures, no workers", batched=True)
    add("evaluation from memory", f"digits straight from memory, {BATCH_SIZE} at a time: no pictures", from_memory=True)
    if compute.device.type != "mps":
        add("Adam in one kernel", "one call updates all weights, not a dozen calls for each tensor", fused=True)
    if compute.channels_last:
        add("channels last", "all channels of a pixel side by side, as convolutions prefer", channels_last=True)
    if compute.low_precision is not None:
        add("bfloat16", "convolutions and matrix products in 16 bits, which the processor supports", low_precision=True)
    add("batches of 128", "twice as many digits in each step, half as many steps", batch_size=128)
    add(
        "the lab's recipe", "AdamW, a rate that rises and falls, smoothed labels, EMA: fewer epochs", recipe="one-cycle"
    )
    add("a single epoch", "the rate has fallen to almost zero after one epoch", one_epoch=True)
    add("gentler augmentation", "digits are moved 0.7 times as far", augmentation=config.GENTLE_AUGMENTATION)
    for name, setting, change in (
        ("twice the rate", "learning_rate", "the learning rate rises twice as high"),
        ("less dropout", "dropout", "a tenth of the hidden activations is dropped, no longer three tenths"),
        ("smoother labels", "label_smoothing", "a tenth of the target is spread over all digits, not a twentieth"),
    ):
        add(name, change, changed=(*steps[-1].changed, (setting, getattr(_QUICK, setting))))
    return steps


def left_out_on(compute: Compute) -> list[str]:
    """A sentence for each step that a device can't take."""
    why_not = {
        "Adam in one kernel": "not every release of torch has it for Apple's GPU",
        "channels last": "with it, this release of torch computes wrong gradients on this device",
        "bfloat16": "this processor does not have it natively",
    }
    taken = {step.name for step in steps_on(compute)}
    return [f"{name} is left out: {why}." for name, why in why_not.items() if name not in taken]


@dataclass(frozen=True)
class Goal:
    """How long every step trains."""

    epochs: int = 12  # at most; the one-cycle recipe is planned for _ONE_CYCLE_EPOCHS if that is less
    target: float | None = 0.9933  # the validation accuracy that ends a training; None to train all epochs

    def epochs_of(self, step: Step) -> int:
        if step.recipe == "plain":
            return self.epochs
        return 1 if step.one_epoch else min(self.epochs, _ONE_CYCLE_EPOCHS)

    def seconds(self, per_epoch: Mapping[Step, float]) -> float:
        """The most that some steps can take, given the seconds per epoch of each."""
        return sum(self.epochs_of(step) * seconds for step, seconds in per_epoch.items())

    def is_reached(self, accuracy: float) -> bool:
        return self.target is not None and accuracy >= self.target


ONE_EPOCH = Goal(epochs=1, target=None)


class Epoch(NamedTuple):
    """What one epoch took, and how far it got; the names are those of results.json."""

    training_seconds: float
    judging_seconds: float  # of the evaluation of the validation digits
    val_accuracy: float  # a fraction


@dataclass(frozen=True)
class StepResult:
    """What a step took; the names are those of results.json."""

    name: str
    change: str
    seconds_per_epoch: float  # the median, so that one disturbed epoch does not count
    images_per_second: float
    reached: bool  # the target, in the last epoch
    seconds_to_target: float | None
    epochs: Sequence[Epoch]


def measure(
    step: Step,
    mnist: Mnist,
    compute: Compute,
    goal: Goal,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> StepResult:
    """Train as a step says until the goal is reached; the test digits are not used.

    Raises:
        KeyboardInterrupt: it was asked to stop (``stop_requested``, after every batch), and the batch is done.
        TrainingError: the loss became infinite or not a number.
    """
    trainer = new_trainer(step, mnist, compute, goal.epochs_of(step))
    epochs: list[Epoch] = []
    while len(epochs) < goal.epochs_of(step) and not (epochs and goal.is_reached(epochs[-1].val_accuracy)):
        start = time.perf_counter()
        trainer.train_epoch(len(epochs) + 1, on_progress, stop_requested)
        trained = time.perf_counter()
        accuracy = 0.0 if stop_requested() else evaluate_step(step, trainer)
        if stop_requested():
            raise KeyboardInterrupt
        epochs.append(Epoch(round(trained - start, 3), round(time.perf_counter() - trained, 3), accuracy))
    return summarise_step(step, goal, len(mnist.train), epochs)


def summarise_step(step: Step, goal: Goal, images: int, epochs: Sequence[Epoch]) -> StepResult:
    """What a step took, from its epochs of so many images."""
    training, evaluation, accuracies = zip(*epochs, strict=True)
    seconds = [sum(parts) for parts in zip(training, evaluation, strict=True)]
    reached = goal.is_reached(accuracies[-1])
    to_target = round(sum(seconds), 3) if reached else None
    per_epoch, per_second = round(median(seconds), 3), round(images / median(training), 1)
    return StepResult(step.name, step.change, per_epoch, per_second, reached, to_target, epochs)


def estimate_seconds(step: Step, mnist: Mnist, compute: Compute) -> float:
    """About how long an epoch will take, by training a few batches; the network trained for it is thrown away."""
    trainer = new_trainer(step, mnist, compute, epochs=1)
    times = [time.perf_counter()]

    def is_enough() -> bool:  # asked after every batch
        times.append(time.perf_counter())
        return len(times) > 32

    trainer.train_epoch(1, lambda progress: None, is_enough)
    timed = times[len(times) // 4 :]  # the first batches also set up kernels and start the workers
    start = time.perf_counter()
    evaluate_step(step, trainer)
    return (timed[-1] - timed[0]) / (len(timed) - 1) * len(trainer.loader) + time.perf_counter() - start


def new_trainer(step: Step, mnist: Mnist, compute: Compute, epochs: int) -> Trainer:
    """A trainer set up as a step says, before its first batch."""
    precision = compute.low_precision if step.low_precision else None
    used = replace(compute, low_precision=precision, channels_last=step.channels_last)
    usual = config.default_config(MODEL, augmented=True, recipe=step.recipe, epochs=_ONE_CYCLE_EPOCHS)
    same = replace(usual, epochs=epochs, augment=step.augmentation, batch_size=step.batch_size, seed=_SEED)
    settings = replace(same, **dict[str, Any](step.changed))
    model = used.place(build_model(settings.architecture, _SEED))
    trainer = Trainer(model, mnist.train, mnist.validation, settings, used)
    if not step.batched:
        trainer.loader.loader = picture_loader(mnist.train, step.batch_size, training=True)
    if not step.fused:
        trainer.optimizer.fused = None  # the default of torch.optim.Adam
    return trainer


@torch.no_grad()
def evaluate_step(step: Step, trainer: Trainer) -> float:
    """Accuracy on the validation digits, a fraction."""
    digits, network, compute = trainer.validation, trainer.evaluated_model, trainer.compute
    if step.from_memory:
        predictions = predict_logits(network, digits.images, compute).argmax(dim=1)  # (N,)
    else:
        network.eval()
        loader = picture_loader(digits, step.batch_size, training=False)
        with compute.autocast():
            predictions = torch.cat([network(images.to(compute.device)).argmax(dim=1).cpu() for images, _ in loader])
    return int((predictions == digits.labels).sum()) / len(digits)


def picture_loader(digits: Digits, batch_size: int, *, training: bool) -> DataLoader[Any]:
    """The common recipe's: PIL pictures one by one in two workers, which end with the loop over the loader."""
    return DataLoader(
        TensorDataset(digits.images, digits.labels),
        batch_size=batch_size,
        shuffle=training,
        num_workers=_WORKERS,
        collate_fn=partial(_as_batch, transform_of_pictures(augmented=training)),
        worker_init_fn=leave_interrupts_to_the_main_process,
    )


def _as_batch(transform: transforms.Compose, samples: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    images = [transform(Image.fromarray(image[0].numpy())) for image, _ in samples]
    return Batch(torch.stack(images), torch.stack([label for _, label in samples]))


def transform_of_pictures(*, augmented: bool) -> transforms.Compose:
    """The common chain, with torchvision's defaults: two resamplings of the picture, then the normalised tensor."""
    chain = [transforms.ToTensor(), transforms.Normalize([MEAN], [STD])]
    if augmented:
        shift, scale = AUGMENTATION.shift, AUGMENTATION.scale
        affine = transforms.RandomAffine(0, (shift, shift), (1 - scale, 1 + scale), AUGMENTATION.shear)
        chain = [transforms.RandomRotation(AUGMENTATION.rotation), affine, *chain]
    return transforms.Compose(chain)


# --- the rows of the menu ----------------------------------------------------------------------------------------


def time_one_epoch(lab: Lab, *, from_menu: bool = False) -> int:
    """Time one epoch of the common recipe and one of the lab's; the menu asks before it takes over a minute."""
    compute, mnist = compute_for(lab), load_mnist()
    common, *others = steps_on(compute)
    ours = next(step for step in others if step.recipe == "one-cycle")
    seconds = _estimate(lab, mnist, [common, ours])
    lab.terminal.hint(f"one augmented epoch of {MODEL} with each recipe; {format_about(sum(seconds.values()))}")
    if from_menu and sum(seconds.values()) > _SHORT and not lab.terminal.ask_yes_no("Start", default=True):
        return OK
    measured = _measure_each(lab, mnist, seconds, ONE_EPOCH)
    if len(measured) < len(seconds):
        return INTERRUPTED
    lab.terminal.show(table_of(measured).on_screen())
    lab.terminal.hint(f"on {compute.name}; common recipe: {common.change}; what each change saves: experiment speed")
    lab.terminal.line(f"{measured[0].seconds_per_epoch / measured[1].seconds_per_epoch:.1f} times as fast")
    return OK


def speed_from_options(lab: Lab, options: Namespace) -> int:
    """The experiment about speed on the command line."""
    size = config.TRAIN_DIGITS if options.train_size is None else options.train_size
    config.check_whole("--train-size", size, 100, config.TRAIN_DIGITS)
    goal = ONE_EPOCH if options.no_target else Goal()
    if options.epochs is not None:
        config.check_whole("--epochs", options.epochs, 1, config.MOST_EPOCHS)
        goal = replace(goal, epochs=options.epochs)
    mnist = load_mnist()
    return experiment_speed(lab, replace(mnist, train=stratified_subset(mnist.train, size)), goal)


def experiment_speed(lab: Lab, mnist: Mnist, goal: Goal | None = None) -> int:
    """Say how long it takes, measure step by step, and leave a folder with a report; without a goal, ask for it."""
    terminal, compute, from_menu = lab.terminal, compute_for(lab), goal is None
    seconds = _estimate(lab, mnist, steps_on(compute))
    if goal is None:
        goals = {"target": Goal(), "epoch": ONE_EPOCH}
        choices = [Choice(word, _describe(one, seconds)) for word, one in goals.items()]
        goal = goals[terminal.choose("How thorough", choices, default="target")]
    terminal.show("", f"[title]{QUESTION}[/title]  [hint]one change at a time[/hint]")
    for sentence in left_out_on(compute):
        terminal.hint(sentence)
    terminal.show(f"{len(seconds)} training runs to do: {_describe(goal, seconds)}")
    if from_menu and not terminal.ask_yes_no("Start", default=True):
        return OK
    terminal.hint("Ctrl-C stops after the current batch.")
    measured = _measure_each(lab, mnist, seconds, goal)
    if len(measured) < len(seconds):
        if measured:
            terminal.show("", table_of(measured, goal.target).on_screen(gap=1))
        terminal.warn(f"stopped; {len(measured)} of {len(seconds)} steps were measured, nothing is saved")
        return INTERRUPTED
    tell_study(lab, _study_speed(lab, measured, goal, len(mnist.train), compute), offer_page=from_menu)
    return OK


def _estimate(lab: Lab, mnist: Mnist, steps: Sequence[Step]) -> dict[Step, float]:
    seconds = {}
    for number, step in enumerate(steps, start=1):
        with lab.terminal.busy(f"timing a few batches of each way of training, {number} of {len(steps)}"):
            seconds[step] = estimate_seconds(step, mnist, compute_for(lab))
    return seconds


def _describe(goal: Goal, seconds: Mapping[Step, float]) -> str:
    about = format_about(goal.seconds(seconds))
    if goal.target is None:
        return f"{about}; {counted(goal.epochs, 'epoch')} each"
    return (
        f"{about} at most; until {format_percent(goal.target)} of the validation digits are classified correctly, in "
        f"{goal.epochs} epochs at most, the lab's recipes in {min(goal.epochs, _ONE_CYCLE_EPOCHS)} or in 1"
    )


def _measure_each(lab: Lab, mnist: Mnist, seconds: Mapping[Step, float], goal: Goal) -> list[StepResult]:
    """Measure step by step, given the estimated seconds per epoch; fewer than all if the user stops it."""
    terminal, compute, waiting = lab.terminal, compute_for(lab), dict(seconds)
    measured: list[StepResult] = []
    with (
        suppress(KeyboardInterrupt),
        graceful_interrupts(lambda: terminal.warn("Ctrl-C: ending after this batch ...")) as stop_requested,
        terminal.console.status("", refresh_per_second=4) as status,  # the measured training needs the processor
    ):

        def show_left(progress: Progress) -> None:
            done = progress.epoch - 1 + progress.images_done / progress.images_per_epoch
            left = format_duration(goal.seconds(waiting) - done * seconds[step])
            where = f"epoch {progress.epoch}/{progress.epochs}, {'at most ' * (goal.target is not None)}{left} left"
            status.update(f"{wording.plain(step.name)}  [hint]{where}[/hint]")

        for number, step in enumerate(seconds, start=1):
            found = measure(step, mnist, compute, goal, show_left, stop_requested)
            measured.append(found)
            del waiting[step]
            best = max(epoch.val_accuracy for epoch in found.epochs)
            reached = f"best {format_percent(best)} in {counted(len(found.epochs), 'epoch')}"
            times = f"{found.seconds_per_epoch:>6.1f} s per epoch"
            terminal.line(f"{number:>3}/{len(seconds)}  {step.name:<24}{times}; {reached}")
    return measured


# --- what came out -----------------------------------------------------------------------------------------------


def _study_speed(lab: Lab, steps: Sequence[StepResult], goal: Goal, digits: int, compute: Compute) -> Study:
    """What was measured with so many training digits, the common recipe first and the lab's last, as a study."""
    left_out = left_out_on(compute)
    command = f"experiment speed --epochs {goal.epochs}" + " --no-target" * (goal.target is None)
    command += f" --train-size {digits}" * (digits != config.TRAIN_DIGITS)
    measured = [{**vars(step), "epochs": [epoch._asdict() for epoch in step.epochs]} for step in steps]
    numbers = {"experiment": "speed", "device": compute.name, "model": MODEL, "seed": _SEED, **vars(goal)}
    return Study(
        label="experiment-speed",
        kind="Experiment",
        title="Experiment: speed",
        question=QUESTION,
        repeat=command_line(command, lab.outputs),
        created=lab.now(),
        facts={"device": compute.name, "network": MODEL, "training digits": f"{digits:,}", "seed": str(_SEED)},
        verdicts=[*verdicts(steps, goal.target), *left_out],
        sections=[_results_section(steps, goal.target), Section("How to read this", _reading(goal))],
        numbers={**numbers, "train_size": digits, "steps": measured, "left_out": left_out},
        tables=[table_of(steps, goal.target)],
    )


def verdicts(steps: Sequence[StepResult], target: float | None) -> list[str]:
    """What was found, in sentences: an epoch's time, the change that saved most of it, the time to the target."""
    before, after = steps[0].seconds_per_epoch, steps[-1].seconds_per_epoch
    found = [f"The lab's recipe trains {before / after:.2f} times as fast as the common one."]
    found.append(f"An epoch takes {after:.1f} s instead of {before:.1f} s.")
    saved, most = max((one.seconds_per_epoch - two.seconds_per_epoch, two.name) for one, two in pairwise(steps))
    if saved > 0:
        found.append(f"The largest single saving is {most}: {saved:.1f} s of each epoch.")
    if target is not None:
        common, ours = (
            f"not within {counted(len(one.epochs), 'epoch')}"
            if one.seconds_to_target is None
            else f"after {format_duration(one.seconds_to_target)} ({counted(len(one.epochs), 'epoch')})"
            for one in (steps[0], steps[-1])
        )
        goal = f"{format_percent(target)} of the validation digits"
        found.append(f"{goal} are classified correctly: by the common recipe {common}, by the lab's {ours}.")
    return found


def table_of(steps: Sequence[StepResult], target: float | None = None) -> Table:
    """How long an epoch of each step takes, compared with the first, and all of them if they reached the target."""
    headings = ["step", "training", "evaluation", "total", "images/s", "speed-up", "to target"]
    title, rows = "Seconds per epoch", []
    for one in steps:
        training, evaluation, _ = map(median, zip(*one.epochs, strict=True))
        seconds = [f"{number:.1f}" for number in (training, evaluation, one.seconds_per_epoch)]
        speed_up = steps[0].seconds_per_epoch / one.seconds_per_epoch
        to_target = "missed" if one.seconds_to_target is None else f"{one.seconds_to_target:.1f}"
        rows.append([one.name, *seconds, f"{one.images_per_second:,.0f}", f"{speed_up:.1f}", to_target])
    if target is None:
        return Table(title, headings[:-1], [row[:-1] for row in rows], numeric=range(1, 6))
    return Table(f"{title}, and to {format_percent(target)} validation accuracy", headings, rows, numeric=range(1, 7))


def _results_section(steps: Sequence[StepResult], target: float | None) -> Section:
    bars = {m.name: figures.SpeedBar(m.seconds_per_epoch, m.images_per_second, m.seconds_to_target) for m in steps}
    figure = figures.speed_steps(bars, target, title="From the common recipe to the lab's")
    each = "; ".join(f"{name} {step.seconds_per_epoch:.1f} s" for name, step in bars.items())
    picture = Picture("Every step", png_of(figure), f"Bars, seconds per epoch: {each}", figures.SPEED, "speed")
    accuracies = [(m.name, ", ".join(f"{100 * epoch.val_accuracy:.2f}" for epoch in m.epochs)) for m in steps]
    tables = [
        Table("One change at a time", ("step", "what is new"), [(m.name, m.change) for m in steps]),
        table_of(steps, target),
        Table("How far each got", ("step", "validation accuracy after every epoch, %"), accuracies),
    ]
    text = "Each row keeps the changes of all rows above it; in another order, the same change may save more or less."
    return Section("Step by step", [text], tables, [picture])


def _reading(goal: Goal) -> list[str]:
    length = counted(min(goal.epochs, _ONE_CYCLE_EPOCHS), "epoch")
    return [
        "An epoch is one pass over the training digits, then the evaluation on the validation digits; the median of "
        "all epochs of a step is given. Images per second cover training alone. The test digits were not touched.",
        f"All steps train the {MODEL} network from the same weights, {wording.describe_augmentation(AUGMENTATION)}. "
        "PIL pictures are shifted by whole pixels, batches are interpolated: the second step sees different digits.",
        f"Every step was trained once, with seed {_SEED}. The seconds per epoch hardly vary with the seed, but the "
        "number of epochs to an accuracy does, by one or several: take small differences there for chance. Any other "
        "load on the machine makes a step look slower than it is.",
        f"The lab's recipe has to know its length beforehand, {length}, or one in the last rows; the others keep a "
        "constant rate.",
    ]

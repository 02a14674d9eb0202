"""From measured ways of training to a folder: what each change saved, a figure, the numbers, a report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from mnist_lab.config import TRAIN_DIGITS
from mnist_lab.data.mnist import Mnist
from mnist_lab.experiments import figures as plots
from mnist_lab.experiments.speed import AUGMENTATION, MODEL, ONE_CYCLE_EPOCHS, SEED, TARGET, Goal, Measured, left_out_on
from mnist_lab.experiments.study import Heading, Pages, finish
from mnist_lab.networks.compute import Compute
from mnist_lab.report.document import Section, Table
from mnist_lab.storage import new_folder
from mnist_lab.terminal.wording import count_epochs, describe_augmentation, format_duration, format_percent

QUESTION = "What makes training fast?"


def report_speed(
    steps: Sequence[Measured], mnist: Mnist, compute: Compute, outputs: Path, now: datetime
) -> tuple[Path, list[str]]:
    """Leave a folder with the figure, the numbers and the report.

    Args:
        steps: all that were measured, the common recipe first and the lab's last; at least two.
        mnist: what was trained and judged on.
        compute: where.
        outputs: where the folder is made.
        now: its time stamp.

    Returns:
        The folder, and what to say on the screen.

    Raises:
        StorageError: the disk refuses.
    """
    sentences = [*verdicts(steps), *left_out_on(compute)]
    with new_folder(outputs, "experiment-speed", now) as folder:
        pages = Pages(folder)
        pages.sections.append(steps_section(pages, steps))
        pages.sections.append(progress_section(steps))
        pages.sections.append(reading_section(steps[0].goal, mnist))
        heading = Heading(
            title="Experiment: speed",
            kind="Experiment",
            question=QUESTION,
            command=command_of(steps[0].goal, len(mnist.train)),
            created=now,
            facts={
                "device": compute.name,
                "network": MODEL,
                "training digits": f"{len(mnist.train):,}",
                "validation digits": f"{len(mnist.validation):,}",
                "seed": str(SEED),
            },
        )
        finish(pages, heading, sentences, content_of(steps, mnist, compute))
    return pages.folder, sentences


def command_of(goal: Goal, train_size: int) -> str:
    """The command that measures again."""
    command = f"python main.py experiment speed --epochs {goal.epochs}"
    command += "" if goal.target is not None else " --no-target"
    return command if train_size == TRAIN_DIGITS else f"{command} --train-size {train_size}"


# -------------------------------------------------------------------------------------------- what came out


def verdicts(steps: Sequence[Measured]) -> list[str]:
    """What was found, in sentences: an epoch's time, the change that saved most of it, the time to the target."""
    first, last = steps[0], steps[-1]
    before, after = first.seconds_per_epoch, last.seconds_per_epoch
    found = [
        f"From the common recipe to the lab's: {before:.1f} s an epoch to {after:.1f} s, {as_fast(before, after)}."
    ]
    saved = {step.step.name: previous.seconds_per_epoch - step.seconds_per_epoch for previous, step in pairwise(steps)}
    most = max(saved, key=lambda name: saved[name])
    if saved[most] > 0:
        found.append(f"The largest single saving is {most}: {saved[most]:.1f} s of each epoch.")
    if first.goal.target is not None:
        found.append(target_sentence(first, last, first.goal.target))
    return found


def as_fast(before: float, after: float) -> str:
    """``4.9 times as fast``; with more digits where it is slower."""
    ratio = before / after
    return f"{ratio:.1f} times as fast" if ratio >= 1 else f"{ratio:.2f} times as fast"


def target_sentence(first: Measured, last: Measured, target: float) -> str:
    """How long the common recipe and the lab's take to reach the target."""
    goal = f"{format_percent(target)} of the validation digits"
    if last.reached and first.reached:
        sooner = f"{first.seconds / last.seconds:.1f} times as soon" if last.seconds < first.seconds else "no sooner"
        return f"The lab's recipe reads {goal} after {effort(last)} instead of {effort(first)}: {sooner}."
    if last.reached:
        return f"The lab's recipe reads {goal} after {effort(last)}; the common recipe does not within {effort(first)}."
    if first.reached:
        return f"The common recipe reads {goal} after {effort(first)}; the lab's does not within {effort(last)}."
    return (
        f"Neither recipe reads {goal}: the common one not within {effort(first)}, the lab's not within {effort(last)}."
    )


def effort(measured: Measured) -> str:
    """``22.0 s (3 epochs)``."""
    return f"{format_duration(measured.seconds)} ({count_epochs(len(measured.epochs))})"


# ------------------------------------------------------------------------------------------------ the report


def steps_section(pages: Pages, steps: Sequence[Measured]) -> Section:
    """Every step as bars and as a table."""
    goal = steps[0].goal
    bars = {
        measured.step.name: plots.Step(
            measured.seconds_per_epoch, measured.images_per_second, measured.seconds_to_target
        )
        for measured in steps
    }
    title = "From the common recipe to the lab's"
    figure = plots.speed_steps(bars, title=title, target=goal.target or TARGET)
    alt = "Bars, seconds an epoch: " + "; ".join(
        f"{name} {step.seconds_per_epoch:.1f} s" for name, step in bars.items()
    )
    text = (
        "Each row keeps the changes of all rows above it and adds one; in another order, one and the same change may "
        "save more or less."
    )
    picture = pages.picture("speed", figure, alt, title="Every step")
    return Section("Step by step", [text], [changes_table(steps), times_table(steps)], [picture])


def changes_table(steps: Sequence[Measured]) -> Table:
    """What each step changes."""
    rows = [(measured.step.name, measured.step.change) for measured in steps]
    return Table("One change at a time", ("step", "what is new"), rows)


def times_table(steps: Sequence[Measured]) -> Table:
    """How long an epoch of each step takes."""
    first = steps[0].seconds_per_epoch
    rows = [
        (
            measured.step.name,
            f"{median(epoch.training for epoch in measured.epochs):.1f}",
            f"{median(epoch.judging for epoch in measured.epochs):.1f}",
            f"{measured.seconds_per_epoch:.1f}",
            f"{measured.images_per_second:,.0f}",
            f"{first / measured.seconds_per_epoch:.1f}",
        )
        for measured in steps
    ]
    headings = ("step", "training, s", "judging, s", "an epoch, s", "images/s", "times as fast")
    return Table("One epoch", headings, rows, numeric=range(1, len(headings)))


def progress_section(steps: Sequence[Measured]) -> Section:
    """The accuracy after every epoch, and the time to the target."""
    target = steps[0].goal.target
    tables = [accuracies_table(steps)]
    if target is not None:
        rows = [(measured.step.name, *target_cells(measured)) for measured in steps]
        tables.insert(0, Table(f"Until {format_percent(target)}", ("step", "time", "epochs"), rows, numeric=(1, 2)))
    return Section("How far each came", tables=tables)


def accuracies_table(steps: Sequence[Measured]) -> Table:
    """The accuracy after every epoch."""
    longest = max(len(measured.epochs) for measured in steps)
    rows = []
    for measured in steps:
        cells = [f"{100 * epoch.accuracy:.2f}" for epoch in measured.epochs]
        rows.append([measured.step.name, *cells, *[""] * (longest - len(cells))])
    headings = ("after epoch", *map(str, range(1, longest + 1)))
    return Table("Validation accuracy, %", headings, rows, numeric=range(1, longest + 1))


def reading_section(goal: Goal, mnist: Mnist) -> Section:
    """How to read all this."""
    augmentation = describe_augmentation(AUGMENTATION)
    paragraphs = [
        "An epoch is one pass over the training digits and the judging of the validation digits after it; given is "
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
        f"Judged were the {len(mnist.validation):,} validation digits only; the test digits were not touched.",
    ]
    return Section("How to read this", paragraphs)


def content_of(steps: Sequence[Measured], mnist: Mnist, compute: Compute) -> dict[str, Any]:
    """What results.json holds besides the heading."""
    goal = steps[0].goal
    return {
        "experiment": "speed",
        "device": compute.name,
        "model": MODEL,
        "seed": SEED,
        "epochs": goal.epochs,
        "target": goal.target,
        "train_size": len(mnist.train),
        "steps": [
            {
                "name": measured.step.name,
                "change": measured.step.change,
                "seconds_per_epoch": round(measured.seconds_per_epoch, 3),
                "images_per_second": round(measured.images_per_second, 1),
                "reached": measured.reached,
                "seconds_to_target": None if measured.seconds_to_target is None else round(measured.seconds, 3),
                "epochs": [
                    {
                        "training_seconds": round(epoch.training, 3),
                        "judging_seconds": round(epoch.judging, 3),
                        "val_accuracy": epoch.accuracy,
                    }
                    for epoch in measured.epochs
                ],
            }
            for measured in steps
        ],
        "left_out": list(left_out_on(compute)),
    }


def target_cells(measured: Measured) -> tuple[str, str]:
    """The time until the target was reached, and in how many epochs."""
    if measured.seconds_to_target is None:
        return "not reached", f"> {len(measured.epochs)}"
    return format_duration(measured.seconds_to_target), str(len(measured.epochs))

"""The row of the menu and the experiment about speed: what each change on the way to the lab's recipe saves."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from mnist_lab.config import MOST_EPOCHS, TRAIN_DIGITS, check_whole
from mnist_lab.data.mnist import Mnist, load_mnist, stratified_subset
from mnist_lab.experiments import figures, speed
from mnist_lab.experiments.study import Study, tell_study
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import Compute
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal import wording
from mnist_lab.terminal.console import Choice
from mnist_lab.terminal.lab import INTERRUPTED, OK, Lab, graceful_interrupts
from mnist_lab.terminal.wording import count_epochs, format_about, format_duration, format_percent
from mnist_lab.training.runs import command_line
from mnist_lab.training.trainer import Progress

QUESTION = "What makes training fast?"
ONE_EPOCH = speed.Goal(epochs=1, target=None)


def time_one_epoch(lab: Lab) -> int:
    """Time one epoch of the common recipe and one of the lab's."""
    compute = compute_for(lab)
    with lab.terminal.busy("timing a few batches"):
        mnist = load_mnist()
        common, *_, ours = speed.steps_on(compute)
        seconds = {step: speed.estimate_seconds(step, mnist, compute) for step in (common, ours)}
    lab.terminal.hint(f"one augmented epoch of 3-layer in each recipe; {format_about(sum(seconds.values()))}")
    measured = []
    for step, about in seconds.items():
        with lab.terminal.busy(f"{step.name}: one epoch, {format_about(about)}"):
            measured.append(speed.measure(step, mnist, compute, ONE_EPOCH))
    lab.terminal.show(tables_of(measured)[0].on_screen())
    lab.terminal.hint(f"on {compute.name}; common recipe: {common.change}; what each change saves: experiment speed")
    lab.terminal.line(f"{measured[0].seconds_per_epoch / measured[1].seconds_per_epoch:.1f} times as fast")
    return OK


def ask_speed(lab: Lab) -> int:
    """The menu's way to the experiment about speed: how far every step trains, with the time that it takes here."""
    mnist = load_mnist()
    seconds = _time_steps(lab, mnist)
    return measure_speed(lab, mnist, seconds, ask_goal(lab, seconds), offer_page=True)


def ask_goal(lab: Lab, seconds: Mapping[speed.Step, float]) -> speed.Goal:
    """Ask how far every step trains; ``seconds`` of an epoch of each."""
    goals = {"target": speed.Goal(), "epoch": ONE_EPOCH}
    choices = [Choice(word, f"{_longest(seconds, goal)}; {_describe(goal)}") for word, goal in goals.items()]
    return goals[lab.terminal.choose("How thorough", choices, default="target")]


def _longest(seconds: Mapping[speed.Step, float], goal: speed.Goal) -> str:
    return format_about(goal.seconds(seconds)) + " at most" * (goal.target is not None)


def _describe(goal: speed.Goal) -> str:
    if goal.target is None:
        return f"{count_epochs(goal.epochs)} in each way"
    return (
        f"until {format_percent(goal.target)} of the validation digits are classified correctly, in {goal.epochs} "
        f"epochs at most, the lab's recipe in {min(goal.epochs, speed.ONE_CYCLE_EPOCHS)}"
    )


def speed_from_options(lab: Lab, options: Namespace) -> int:
    """The experiment about speed on the command line."""
    size = TRAIN_DIGITS if options.train_size is None else options.train_size
    check_whole("--train-size", size, 100, TRAIN_DIGITS)
    goal = ONE_EPOCH if options.no_target else speed.Goal()
    if options.epochs is not None:
        check_whole("--epochs", options.epochs, 1, MOST_EPOCHS)
        goal = replace(goal, epochs=options.epochs)
    mnist = load_mnist()
    mnist = replace(mnist, train=stratified_subset(mnist.train, size))
    return measure_speed(lab, mnist, _time_steps(lab, mnist), goal)


def _time_steps(lab: Lab, mnist: Mnist) -> dict[speed.Step, float]:
    compute = compute_for(lab)
    seconds, steps = {}, speed.steps_on(compute)
    for number, step in enumerate(steps, start=1):
        with lab.terminal.busy(f"timing a few batches of each way to train, {number} of {len(steps)}"):
            seconds[step] = speed.estimate_seconds(step, mnist, compute)
    return seconds


def measure_speed(
    lab: Lab, mnist: Mnist, seconds: Mapping[speed.Step, float], goal: speed.Goal, *, offer_page: bool = False
) -> int:
    """Say how long it will take, measure step by step, and leave a folder with a report.

    ``seconds`` are those that an epoch of each step takes, about.
    """
    terminal, compute = lab.terminal, compute_for(lab)
    terminal.show("", f"[title]{QUESTION}[/title]  [hint]one change at a time[/hint]")
    terminal.hint(f"training {_describe(goal)}")
    for sentence in speed.left_out_on(compute):
        terminal.hint(sentence)
    terminal.line(f"{len(seconds)} trainings to do: {_longest(seconds, goal)}")
    terminal.hint("Ctrl-C stops after the current batch.")
    measured: list[speed.Measured] = []
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
            found = speed.measure(step, mnist, compute, goal, on_progress=show_left, stop_requested=stop_requested)
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


def study_speed(steps: Sequence[speed.Measured], mnist: Mnist, compute: Compute, outputs: Path, now: datetime) -> Study:
    """What was measured, the common recipe first and the lab's last, as a study."""
    goal, digits, left_out = steps[0].goal, len(mnist.train), speed.left_out_on(compute)
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
            "network": speed.MODEL,
            "training digits": f"{digits:,}",
            "validation digits": f"{len(mnist.validation):,}",
            "seed": str(speed.SEED),
        },
        verdicts=[*verdicts(steps), *left_out],
        sections=[_steps_section(steps), _progress_section(steps), _reading_section(goal, mnist)],
        numbers={
            "experiment": "speed",
            "device": compute.name,
            "model": speed.MODEL,
            "seed": speed.SEED,
            "epochs": goal.epochs,
            "target": goal.target,
            "train_size": digits,
            "steps": [_numbers_of(measured) for measured in steps],
            "left_out": list(left_out),
        },
        tables=tables_of(steps),
    )


def _numbers_of(measured: speed.Measured) -> dict[str, Any]:
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


def verdicts(steps: Sequence[speed.Measured]) -> list[str]:
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


def _target_sentence(first: speed.Measured, last: speed.Measured, target: float) -> str:
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


def tables_of(steps: Sequence[speed.Measured]) -> list[Table]:
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


def _steps_section(steps: Sequence[speed.Measured]) -> Section:
    bars = {
        m.step.name: figures.Step(m.seconds_per_epoch, m.images_per_second, m.seconds if m.reached else None)
        for m in steps
    }
    target = steps[0].goal.target or speed.TARGET
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


def _progress_section(steps: Sequence[speed.Measured]) -> Section:
    longest = max(len(measured.epochs) for measured in steps)
    rows = []
    for measured in steps:
        cells = [f"{100 * epoch.accuracy:.2f}" for epoch in measured.epochs]
        rows.append([measured.step.name, *cells, *[""] * (longest - len(cells))])
    headings = ("after epoch", *map(str, range(1, longest + 1)))
    accuracies = Table("Validation accuracy, %", headings, rows, numeric=range(1, longest + 1))
    return Section("How far each came", tables=[*tables_of(steps)[1:], accuracies])


def _reading_section(goal: speed.Goal, mnist: Mnist) -> Section:
    paragraphs = [
        "An epoch is one pass over the training digits and the evaluation of the validation digits after it; given is "
        "the median over all epochs that a step trained. Images per second count the training alone.",
        f"All steps train the {speed.MODEL} network from the same initial weights, "
        f"{wording.describe_augmentation(speed.AUGMENTATION)}. PIL pictures are shifted by whole pixels, batches "
        "are interpolated: the second step changes what is seen a little, too.",
        f"Every step was trained once, with seed {speed.SEED}. The seconds an epoch hardly vary with the seed, but the "
        "number of epochs to an accuracy does, by one or several: read small differences there as chance.",
        "The lab's recipe has to know its length beforehand: "
        f"{count_epochs(min(goal.epochs, speed.ONE_CYCLE_EPOCHS))}. The others keep a constant rate. Any other "
        "load on the machine makes a step look slower than it is.",
        f"Only the {len(mnist.validation):,} validation digits were evaluated; the test digits were not touched.",
    ]
    return Section("How to read this", paragraphs)

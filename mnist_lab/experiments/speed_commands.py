"""The experiment about speed: what each change on the way from the common recipe to the lab's saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from mnist_lab.config import MOST_EPOCHS, TRAIN_DIGITS, check_whole
from mnist_lab.data.mnist import Mnist, load_mnist, stratified_subset
from mnist_lab.experiments.speed import (
    EpochTime,
    Goal,
    Measured,
    Pace,
    Step,
    estimate_pace,
    left_out_on,
    measure,
    seconds_left,
    steps_on,
)
from mnist_lab.experiments.speed_results import report_speed, target_cells
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import Compute
from mnist_lab.terminal.console import Choice, Terminal, borderless
from mnist_lab.terminal.interrupts import graceful_interrupts
from mnist_lab.terminal.lab import INTERRUPTED, OK, Command, Lab
from mnist_lab.terminal.wording import count_epochs, format_about, format_duration, format_percent, plain
from mnist_lab.training.folder_commands import tell_result
from mnist_lab.training.trainer import Progress


def speed(lab: Lab) -> int:
    """Time one epoch of the common recipe and one of the lab's."""
    compute = compute_for(lab)
    with lab.terminal.busy("timing a few batches"):
        mnist = load_mnist()
        common, *_, ours = steps_on(compute)
        seconds = {step: estimate_pace(step, mnist, compute).total for step in (common, ours)}
    lab.terminal.hint(f"one augmented epoch of 3-layer in each recipe; {format_about(sum(seconds.values()))}")
    times = {}
    for step, about in seconds.items():
        with lab.terminal.busy(f"{step.name}: one epoch, {format_about(about)}"):
            times[step.name] = measure(step, mnist, compute, Goal(epochs=1, target=None)).epochs[0]
    lab.terminal.show(speed_table(f"One epoch on {compute.name}", times))
    lab.terminal.hint(f"common recipe: {common.change}; what each change saves: python main.py experiment speed")
    lab.terminal.line(f"{times[common.name].total / times[ours.name].total:.1f} times as fast")
    return OK


def speed_table(title: str, times: Mapping[str, EpochTime]) -> Table:
    """Epochs side by side."""
    table = borderless(title, left=("",), right=("training", "judging", "in all", "images/s"))
    for name, taken in times.items():
        durations = (format_duration(seconds) for seconds in (taken.training, taken.judging, taken.total))
        table.add_row(name, *durations, f"{taken.images_per_second:,.0f}")
    return table


def speed_steps_table(steps: Sequence[Measured]) -> Table:
    """One row per step from the common recipe to the lab's; the first is what the others are compared with."""
    target = steps[0].goal.target
    to_target = () if target is None else (f"to {100 * target:g} %", "epochs")
    table = borderless(
        "", left=("step",), right=("an epoch", "images/s", "times as fast", *to_target), gap=1 if to_target else 2
    )
    for measured in steps:
        table.add_row(
            measured.step.name,
            f"{measured.seconds_per_epoch:.1f} s",
            f"{measured.images_per_second:,.0f}",
            f"{steps[0].seconds_per_epoch / measured.seconds_per_epoch:.1f}",
            *(target_cells(measured) if to_target else ()),
        )
    return table


def ask_speed(lab: Lab) -> int:
    """The menu's way to the experiment."""
    prepared = prepare(lab)
    return conduct(lab, prepared, ask_goal(lab.terminal, prepared), offer_page=True)


def ask_goal(terminal: Terminal, prepared: Prepared) -> Goal:
    """Ask how far every step trains, with the time that it takes on this machine."""
    to_target, one_epoch = usual_goal(to_target=True), usual_goal(to_target=False)
    choices = [
        Choice("target", f"{format_about(prepared.longest(to_target))} at most; {describe_goal(prepared, to_target)}"),
        Choice("epoch", f"{format_about(prepared.longest(one_epoch))}; {describe_goal(prepared, one_epoch)}"),
    ]
    word = terminal.choose("How thorough", choices, default="target")
    return to_target if word == "target" else one_epoch


def speed_experiment(
    lab: Lab, *, epochs: int | None = None, to_target: bool = True, train_size: int = TRAIN_DIGITS
) -> int:
    """Train in every way between the common recipe and the lab's, and leave a folder with a report.

    Args:
        lab: where to show, and where the folder is made.
        epochs: of each way at most; None for as many as the target usually takes, or one without a target.
        to_target: whether to train until the target accuracy is reached, or all epochs whatever is reached.
        train_size: use only so many training digits, stratified.

    Returns:
        The exit status.

    Raises:
        RequestError: a number makes no sense.
        DataError, TrainingError, StorageError: see there.
    """
    if epochs is not None:
        check_whole("--epochs", epochs, 1, MOST_EPOCHS)
    check_whole("--train-size", train_size, 100, TRAIN_DIGITS)
    prepared = prepare(lab, train_size)
    goal = usual_goal(to_target=to_target)
    return conduct(lab, prepared, goal if epochs is None else replace(goal, epochs=epochs))


def usual_goal(*, to_target: bool) -> Goal:
    """Up to the target in as many epochs as that may take, or a single epoch."""
    return Goal() if to_target else Goal(epochs=1, target=None)


@dataclass(frozen=True)
class Prepared:
    """The steps, and how long an epoch of each takes here."""

    mnist: Mnist
    compute: Compute
    paces: Mapping[Step, Pace]

    def longest(self, goal: Goal) -> float:
        """Seconds that all steps take at most."""
        return seconds_of(self.paces, goal)


def seconds_of(paces: Mapping[Step, Pace], goal: Goal) -> float:
    """Seconds that some steps take at most."""
    return sum(goal.epochs_of(step) * pace.total for step, pace in paces.items())


def prepare(lab: Lab, train_size: int = TRAIN_DIGITS) -> Prepared:
    """Load the data, and time a few batches of every step."""
    compute = compute_for(lab)
    with lab.terminal.busy("loading the digits"):
        mnist = load_mnist()
    return time_steps(lab, replace(mnist, train=stratified_subset(mnist.train, train_size)), compute)


def time_steps(lab: Lab, mnist: Mnist, compute: Compute) -> Prepared:
    """Find the pace of every step."""
    steps, paces = steps_on(compute), {}
    for number, step in enumerate(steps, start=1):
        with lab.terminal.busy(f"timing a few batches of each way to train, {number} of {len(steps)}"):
            paces[step] = estimate_pace(step, mnist, compute)
    return Prepared(mnist, compute, paces)


def describe_goal(prepared: Prepared, goal: Goal) -> str:
    """How far every step trains, in words."""
    if goal.target is None:
        return f"{count_epochs(goal.epochs)} in each of {len(prepared.paces)} ways"
    *_, ours = prepared.paces
    return (
        f"until {format_percent(goal.target)} of the validation digits are read rightly, in {goal.epochs} epochs at "
        f"most, the lab's recipe in {goal.epochs_of(ours)}"
    )


def conduct(lab: Lab, prepared: Prepared, goal: Goal, *, offer_page: bool = False) -> int:
    """Say how long it will take, measure step by step, and report; ``offer_page`` asks about opening the report."""
    show = lab.terminal.show
    show("", "[title]What makes training fast?[/title]  [hint]one change at a time[/hint]")
    lab.terminal.hint(f"training {describe_goal(prepared, goal)}")
    for sentence in left_out_on(prepared.compute):
        lab.terminal.hint(sentence)
    at_most = "" if goal.target is None else " at most"
    lab.terminal.line(f"{len(prepared.paces)} trainings to do: {format_about(prepared.longest(goal))}{at_most}")
    measured = measure_steps(lab, prepared, goal)
    if len(measured) < len(prepared.paces):
        if measured:
            show("", speed_steps_table(measured))
        lab.terminal.warn(f"stopped; {len(measured)} of {len(prepared.paces)} steps were measured, nothing is saved")
        return INTERRUPTED
    show("", speed_steps_table(measured), "")  # before a disk that refuses can take it along
    with lab.terminal.busy("drawing the figure"):
        folder, sentences = report_speed(measured, prepared.mnist, prepared.compute, lab.outputs, lab.now())
    tell_result(lab, folder, sentences, offer_page=offer_page)
    return OK


def measure_steps(lab: Lab, prepared: Prepared, goal: Goal) -> list[Measured]:
    """Measure every step, with a live bar; fewer of them if the user presses Ctrl-C."""
    found: list[Measured] = []
    display = StepsDisplay(lab.terminal, prepared.paces, goal)
    with suppress(KeyboardInterrupt), stoppable(lab.terminal) as stop_requested, display:
        for step in prepared.paces:
            display.begin(step)
            measured = measure(
                step,
                prepared.mnist,
                prepared.compute,
                goal,
                on_progress=display.on_progress,
                stop_requested=stop_requested,
            )
            found.append(measured)
            display.end(measured)
    return found


@contextmanager
def stoppable(terminal: Terminal) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C end the measuring after the current batch; the second one stops at once."""
    terminal.hint("Ctrl-C stops after the current batch.")
    with graceful_interrupts(lambda: terminal.warn("Ctrl-C: ending after this batch ...")) as stop_requested:
        yield stop_requested


class StepsDisplay:
    """A line per finished step, and on a terminal a live bar for the one under way, with the time left."""

    def __init__(self, terminal: Terminal, paces: Mapping[Step, Pace], goal: Goal) -> None:
        self.console = terminal.console
        self.goal = goal
        self.steps = len(paces)
        self.waiting = dict(paces)  # the step under way is taken out
        self.pace: Pace | None = None  # of the step under way
        self.bar = Bar(
            TextColumn("{task.description}"),
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[left]}"),
            console=terminal.console,
            transient=True,
            disable=not terminal.console.is_terminal,
            refresh_per_second=4,  # the measured training needs the processor
        )
        self.task = self.bar.add_task("", total=1, epoch="", left="")

    def __enter__(self) -> StepsDisplay:
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    @property
    def number(self) -> int:
        """Of the step under way, from 1."""
        return self.steps - len(self.waiting)

    def begin(self, step: Step) -> None:
        """The next step begins."""
        left = self.describe_left(seconds_of(self.waiting, self.goal))
        self.pace = self.waiting.pop(step)
        name = f"{self.number}/{self.steps} {plain(step.name)}"
        self.bar.update(self.task, description=name, completed=0, epoch="", left=left)

    def describe_left(self, seconds: float) -> str:
        """The time left in words; with a target it is a bound."""
        return f"{'' if self.goal.target is None else 'at most '}{format_duration(seconds)} left"

    def on_progress(self, progress: Progress) -> None:
        """Move the bar."""
        if self.pace is None:
            return
        left = seconds_left(progress, self.pace, later=seconds_of(self.waiting, self.goal))
        self.bar.update(
            self.task,
            total=progress.images_per_epoch,
            completed=progress.images_done,
            epoch=f"epoch {progress.epoch}/{progress.epochs}",
            left=self.describe_left(left),
        )

    def end(self, measured: Measured) -> None:
        """Print the step's line."""
        best = format_percent(max(epoch.accuracy for epoch in measured.epochs))
        self.console.print(
            f"[hint]{self.number:>2}/{self.steps}[/hint]  {plain(measured.step.name):<24}"
            f"{measured.seconds_per_epoch:>6.1f} s an epoch; best {best} in {count_epochs(len(measured.epochs))}",
            soft_wrap=True,
        )


COMMANDS = {"speed": Command(speed, lambda lab, options: speed(lab))}

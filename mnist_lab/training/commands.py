"""One function per row of the menu: it calls the rooms of the lab in order, and shows what they found.

Everything that takes long to load (torch, the plots) is imported inside the action that needs it, so that the menu
stands on the screen at once.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from mnist_lab.config import (
    ARCHITECTURES,
    MOST_EPOCHS,
    MOST_SEED,
    MOST_WORKERS,
    TRAIN_DIGITS,
    TrainConfig,
    as_recipe,
    check_config,
    check_model,
    default_config,
)
from mnist_lab.data.files import mnist_is_there
from mnist_lab.drawing.my_digits import MY_DIGITS, Counts, Mark, count_each, load_counts, save_counts
from mnist_lab.environment import DEVICES, asked_device, using_device
from mnist_lab.errors import LabError, RequestError, RunError, StorageError
from mnist_lab.storage import is_file, new_folder, write_atomically
from mnist_lab.terminal.console import Choice, Terminal, TrainingDisplay
from mnist_lab.terminal.interrupts import graceful_interrupts, held_back_interrupts
from mnist_lab.terminal.wording import (
    count_epochs,
    describe_architecture,
    describe_augmentation,
    describe_confused,
    format_about,
    format_duration,
    plain,
)
from mnist_lab.training.runs import (
    UNFINISHED,
    DamagedRun,
    Run,
    command_line,
    find_run,
    is_being_trained,
    list_runs,
    read_run,
    run_folders,
)
from mnist_lab.training.tables import (
    doubt_table,
    evaluation_table,
    leaderboard,
    ledger_table,
    per_digit_table,
    recipe_notes,
    recipe_table,
    results_table,
    run_facts,
    speed_table,
    split_table,
)

if TYPE_CHECKING:
    from mnist_lab.networks.compute import Compute
    from mnist_lab.training.evaluation import Evaluation
    from mnist_lab.training.history import EpochRecord
    from mnist_lab.training.session import Results
    from mnist_lab.training.trainer import Progress

OK, FAILED, INTERRUPTED = 0, 1, 130
"""Exit statuses of an action; refusals are raised."""

PRESETS = (("quick", 1), ("standard", 4))
"""Short trainings, by the number of epochs; the thorough one is the network's default, or longer."""

LEAST_THOROUGH = 8
"""Epochs that a training has to last to be called thorough."""

SORT_KEYS: dict[str, Callable[[Run], float]] = {
    "date": lambda run: run.created.timestamp(),
    "val": lambda run: run.val_accuracy or 0.0,
    "test": lambda run: run.test_accuracy or 0.0,
    "parameters": lambda run: run.parameters,
    "time": lambda run: run.train_seconds or 0.0,
    "epochs": lambda run: run.epochs_run,
}
"""What the leaderboard can be sorted by; the largest comes first."""


@dataclass
class Lab:
    """What every action works with."""

    terminal: Terminal
    outputs: Path
    now: Callable[[], datetime] = datetime.now
    remarks: set[str] = field(default_factory=set)  # that were made already


def load_compute(lab: Lab) -> Compute:
    """Load torch, and choose where to compute; what there is to say of the choice is said once.

    Raises:
        RequestError: a device was asked for that is not there, or does not work.
    """
    with lab.terminal.busy("loading torch"), held_back_interrupts():
        from mnist_lab.networks.compute import choose_compute

        compute = choose_compute()
    if compute.remark and compute.remark not in lab.remarks:
        lab.remarks.add(compute.remark)
        lab.terminal.warn(compute.remark)
    return compute


def head_line(lab: Lab) -> str:
    """What there is to work with: the data, the saved runs, and the device once torch is loaded anyway."""
    saved = len(run_folders(lab.outputs))
    parts = [
        "60,000 + 10,000 digits" if mnist_is_there() else "[warning]MNIST files missing[/warning]",
        f"{saved:,} saved {'run' if saved == 1 else 'runs'}",
    ]
    if "torch" in sys.modules:
        with suppress(LabError):
            parts.append(load_compute(lab).name)
    return f"[title]MNIST Lab[/title]  [hint]{' · '.join(parts)}[/hint]"


# ---------------------------------------------------------------------------------------------------- train


def ask_training(lab: Lab) -> int:
    """The menu's way to train: ask, offering lengths by the time they take on this machine."""
    terminal = lab.terminal
    choices = [Choice(name, describe_architecture(name)) for name in ARCHITECTURES]
    model = terminal.choose("Which network", choices, default="3-layer")
    augmented = terminal.ask_yes_no("Augment the training digits (turned, shifted, scaled, slanted)", default=True)
    epochs = ask_length(lab, default_config(model, augmented=augmented))
    config = default_config(model, augmented=augmented, epochs=epochs)
    if not terminal.ask_yes_no("Change anything else (seed, batch size, patience, ...)", default=False):
        return train(lab, config)
    config = ask_details(terminal, config)
    workers = terminal.ask_whole("Loader processes", default_workers(), 0, MOST_WORKERS)
    device = ask_device(terminal)
    outputs = terminal.ask("Output folder", str(lab.outputs), folder_named)
    with using_device(device):
        return train(replace(lab, outputs=outputs), config, workers)


def folder_named(answer: str) -> Path:
    """A folder as a user names it, with ~ as the home; it need not be there.

    Raises:
        ValueError: there can be none of that name.
    """
    try:
        folder = Path(answer).expanduser()
        with suppress(OSError):  # what it is, if it is anything, is found out when it is used
            folder.stat()
    except (RuntimeError, ValueError):  # an unknown user's home; a null character, or half a one
        raise ValueError(f"there can be no folder {answer!r}") from None
    return folder


def ask_device(terminal: Terminal) -> str | None:
    """Ask where to compute, of what there is; None for the lab's own choice."""
    from mnist_lab.networks.compute import devices_here

    choices = [Choice("auto", "the first of these that works"), *map(Choice, devices_here())]
    usual = asked_device() or "auto"
    word = terminal.choose("On which device", choices, default=usual)
    return None if word == usual else word


def ask_details(terminal: Terminal, config: TrainConfig) -> TrainConfig:
    """Ask for everything that a training can be given besides its network and length; Enter leaves it as it is."""
    recipes = [
        Choice("one-cycle", "AdamW, rate rising and falling, label smoothing, weight average"),
        Choice("plain", "Adam at a constant rate, nothing added"),
    ]
    word = terminal.choose("Which recipe", recipes, default=config.recipe)
    if word != config.recipe:
        config = default_config(
            config.model, augmented=config.augment is not None, recipe=as_recipe(word), epochs=config.epochs
        )
    if config.augment is not None:
        choices = [
            Choice("none"),
            Choice("rotation"),
            Choice("affine", "shift, scale and shear"),
            Choice("pen", "slashed zeros and the like (trainings of more than 4 epochs)"),
        ]
        off = terminal.choose("Switch off which augmentation", choices, default="none")
        augment = config.augment.without(off) if off != "none" else config.augment
        erasing = terminal.ask_whole("Erase a rectangle in how many percent of the digits", 0, 0, 100)
        config = replace(config, augment=replace(augment, erasing=erasing / 100))
    return replace(
        config,
        seed=terminal.ask_whole("Seed", config.seed, 0, MOST_SEED),
        batch_size=terminal.ask_whole("Batch size", config.batch_size, 1, TRAIN_DIGITS),
        patience=terminal.ask_whole("Patience (epochs)", config.patience, 1, MOST_EPOCHS),
    )


def ask_length(lab: Lab, config: TrainConfig) -> int:
    """Offer the presets, each with the time that it takes on this machine; returns the number of epochs."""
    compute = load_compute(lab)
    with lab.terminal.busy("timing a few batches"):
        from mnist_lab.data.mnist import load_mnist
        from mnist_lab.training.session import measure_pace

        pace = measure_pace(config, load_mnist(), compute)
    lab.terminal.hint(f"as measured on this machine ({compute.name}); judging and pictures add some seconds:")
    presets = dict(PRESETS) | {"thorough": max(config.epochs, LEAST_THOROUGH)}
    choices = [
        Choice(name, f"{format_about(epochs * pace)}, {count_epochs(epochs)}") for name, epochs in presets.items()
    ]
    choices.append(Choice("own", f"choose the number of epochs ({format_about(pace)} each)"))
    word = lab.terminal.choose("How long", choices, default="standard")
    return presets[word] if word in presets else lab.terminal.ask_whole("Epochs", config.epochs, 1, MOST_EPOCHS)


def default_workers() -> int:
    """Two loader processes where there are cores to spare; on small machines they would compete with training."""
    return 2 if (os.cpu_count() or 1) > 2 else 0


def train(lab: Lab, config: TrainConfig, workers: int | None = None, threads: int | None = None) -> int:
    """Train a network, judge it, and leave its folder; the folder is the last line.

    Args:
        lab: where to show, and where the folder is made.
        config: the recipe.
        workers: loader processes; None for the usual number.
        threads: of the processor; None for as many as torch takes by itself.
    """
    check_config(config)
    workers = default_workers() if workers is None else workers
    load_compute(lab)  # refused, if at all, before there is a folder
    from mnist_lab.training.session import train_new

    with training_observer(lab) as (observer, stop_requested):
        folder = train_new(
            config,
            lab.outputs,
            lab.now(),
            observer,
            workers=workers,
            threads=threads,
            stop_requested=stop_requested,
        )
    return show_finished(lab, folder)


def ask_resume(lab: Lab) -> int:
    """The menu's way to resume: offer the runs that were killed."""
    killed = [run for run in list_runs(lab.outputs)[0] if run.status == UNFINISHED and not is_being_trained(run)]
    if not killed:
        lab.terminal.hint(
            f"There is no unfinished run in {lab.outputs}: nothing to resume. (A training ended with Ctrl-C is "
            "finished: its best weights so far were kept, and judged.)"
        )
        return OK
    name = lab.terminal.choose("Resume which run", [Choice(run.name) for run in killed], default=killed[-1].name)
    return resume(lab, name)


def resume(lab: Lab, name: str, workers: int | None = None) -> int:
    """Go on with a run that was killed, from its last finished epoch, in its own folder.

    It computes on the device that it began with if that was asked for by name, unless another one is asked for now.
    """
    run = find_run(lab.outputs, name, statuses=(UNFINISHED,))
    saved = run.content.get("device_asked")
    with using_device(asked_device() or (saved if saved in DEVICES else None)):
        load_compute(lab)
        from mnist_lab.training import session as workflow

        with training_observer(lab) as (observer, stop_requested):
            folder = workflow.resume(run, observer, workers=workers, stop_requested=stop_requested)
    return show_finished(lab, folder)


def show_finished(lab: Lab, folder: Path) -> int:
    """Name the folder that a training left."""
    lab.terminal.line(str(folder))
    return INTERRUPTED if read_run(folder).status == "interrupted" else OK


class ScreenObserver:
    """Shows a training on the terminal as it goes."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.display: TrainingDisplay | None = None
        self.is_judged = False  # from then on the folder is completed: the test digits are read only once

    def on_start(self, folder: Path, config: TrainConfig, compute: Compute, parameters: int, epochs_done: int) -> None:
        verb = f"Resuming after epoch {epochs_done}:" if epochs_done else "Training"
        augmentation = describe_augmentation(config.augment)
        show = self.terminal.show
        show(f"\n[title]{verb} {plain(config.model)}[/title], {augmentation}")
        self.terminal.hint(
            f"{config.train_size:,} digits, at most {count_epochs(config.epochs)}, batch size {config.batch_size}, "
            f"{config.recipe} recipe, seed {config.seed}; {parameters:,} parameters; {compute.name}"
        )
        self.terminal.hint("Ctrl-C ends it after the current batch and keeps the best so far.")
        self.terminal.show("")
        self.display = TrainingDisplay(self.terminal.console, config.epochs)
        self.display.start()

    def on_progress(self, progress: Progress) -> None:
        if self.display is not None:
            self.display.on_progress(progress)

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        if self.display is not None:
            self.display.on_epoch(record, is_best)

    def on_warning(self, message: str) -> None:
        self.terminal.warn(message)

    def on_results(self, results: Results) -> None:
        self.is_judged = True
        self.stop()
        show_results(self.terminal, results)
        self.terminal.hint("drawing the pictures, some seconds ...")

    def stop(self) -> None:
        """Take the live bar away."""
        if self.display is not None:
            self.display.stop()


@contextmanager
def training_observer(lab: Lab) -> Iterator[tuple[ScreenObserver, Callable[[], bool]]]:
    """An observer on the screen, and the question whether Ctrl-C was pressed; the screen is tidied in the end."""
    observer = ScreenObserver(lab.terminal)

    def acknowledge() -> None:
        judged = "the run is judged; its folder is being completed"
        lab.terminal.warn(f"Ctrl-C: {judged if observer.is_judged else 'ending after this batch'} ...")

    with graceful_interrupts(acknowledge, lambda: observer.is_judged) as stop_requested:
        try:
            yield observer, stop_requested
        except KeyboardInterrupt:
            lab.terminal.warn("stopped at once; the run can go on with: python main.py resume")
            raise
        finally:
            observer.stop()


def show_results(terminal: Terminal, results: Results) -> None:
    """Why the training ended and how good the kept weights are."""
    outcome = results.outcome
    ended = {
        "last epoch": "The last epoch is done",
        "patience": "Stopped early: patience is at its end",
        "interrupted": "Interrupted by Ctrl-C",
    }[outcome.stop_reason]
    terminal.show(f"\n{ended}; kept: the weights of epoch {outcome.best_epoch} (lowest validation loss).")
    if outcome.images_seen < results.images_per_epoch:
        terminal.hint(f"its first epoch was cut short after {outcome.images_seen:,} digits")
    terminal.show(results_table(results.validation, results.test))
    terminal.hint(
        f"trained in {format_duration(results.train_seconds)}, {results.images_per_second:,.0f} images/s; "
        f"most confused: {describe_confused(results.test)}"
    )
    terminal.hint(
        f"calibration error {100 * results.test.calibration_error:.2f} points: how far its probabilities "
        "are, on average, from how often it is right"
    )
    if any(record.train_accuracy < record.val_accuracy for record in outcome.history):
        terminal.hint(
            "training values below those of validation are no mistake: they are taken while the weights still move, "
            "with dropout and augmentation where there are any"
        )


# ------------------------------------------------------------------------------------------------- explore


def data(lab: Lab) -> int:
    """Show the split, and leave pictures of the digits and of each augmentation in a folder."""
    with lab.terminal.busy("reading and checking MNIST"):
        from mnist_lab.data.figures import data_pictures
        from mnist_lab.data.mnist import load_mnist

        mnist = load_mnist()
    lab.terminal.show(split_table({"train": mnist.train, "validation": mnist.validation, "test": mnist.test}))
    with lab.terminal.busy("drawing the pictures"), new_folder(lab.outputs, "data", lab.now()) as folder:
        for name, figure in data_pictures(mnist):
            write_atomically(folder / name, figure.savefig)
    lab.terminal.hint(
        "sample grid, class counts, mean digits, and digits before and after each augmentation (trainings of up to 4 "
        "epochs use a milder one):"
    )
    lab.terminal.line(str(folder))
    return OK


def models(lab: Lab, name: str | None = None) -> int:
    """Show each network as a diagram with its capacity ledger."""
    with lab.terminal.busy("loading torch"), held_back_interrupts():
        from mnist_lab.networks.models import build_model, capacity_ledger

    for model in [name] if name else ARCHITECTURES:
        check_model(model)
        lab.terminal.show(ledger_table(model, capacity_ledger(build_model(model))), "")
    lab.terminal.hint(
        "output: channels x height x width. sees: the square of input pixels that one output depends on. "
        "The first convolution is unpadded (the border of a digit is black), so 28 becomes 26. Convolutions have no "
        "bias of their own: batch normalisation would take it away again. "
        "Most weights sit between the feature maps and the hidden layer: fewer poolings leave larger maps, so the "
        "shallow network holds the most."
    )
    return OK


def speed(lab: Lab) -> int:
    """Time one epoch of the common recipe and one of the lab's."""
    compute = load_compute(lab)
    with lab.terminal.busy("timing a few batches"):
        from mnist_lab.data.mnist import load_mnist
        from mnist_lab.experiments.speed import Goal, estimate_pace, measure, steps_on

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


RUNS_NAMED = 5
"""Runs that a question for one names."""


def ask_evaluate(lab: Lab) -> int:
    """The menu's way to evaluate."""
    return evaluate(lab, ask_run(lab, "Evaluate which run"))


def ask_run(lab: Lab, question: str) -> str:
    """Ask for a run by name; says first what can be answered."""
    find_run(lab.outputs, "latest")  # refuses at once where there is none
    found = list_runs(lab.outputs)[0]
    for run in found[-RUNS_NAMED:]:
        lab.terminal.hint(f"  {run.name}")
    older = f"{len(found) - RUNS_NAMED} older ones: see runs; " if len(found) > RUNS_NAMED else ""
    lab.terminal.hint(f"{older}a run's name or a part of it, latest, or best (highest validation accuracy)")
    return lab.terminal.ask(question, "latest", lambda answer: named_run(lab, answer))


def named_run(lab: Lab, answer: str) -> str:
    """An answer that names a run, as it is.

    Raises:
        ValueError: it means none, several, or a damaged one; the message says so.
    """
    try:
        find_run(lab.outputs, answer)
    except RunError as refusal:
        raise ValueError(str(refusal)) from None
    return answer


def evaluate(lab: Lab, name: str) -> int:
    """Judge a saved run again, from its model file, and restore pictures that are missing from its folder."""
    run = find_run(lab.outputs, name)
    compute = load_compute(lab)
    with lab.terminal.busy("loading the model"):
        from mnist_lab.data.mnist import load_mnist
        from mnist_lab.training.session import evaluate_on, load_trained, restore_pictures

        model = load_trained(run, compute)
        mnist = load_mnist()
    with lab.terminal.busy("evaluating"):
        validation = evaluate_on(model, mnist.validation, compute)
        test = evaluate_on(model, mnist.test, compute)
    show_evaluation(lab.terminal, run, validation, test)
    with lab.terminal.busy("drawing things that are no digits"):
        from mnist_lab.drawing.nondigits import doubted_shares

        lab.terminal.show(doubt_table(doubted_shares(model, mnist.test, validation.doubt_level, compute)))
    lab.terminal.hint("a picture is doubted if the network is less sure of it than of 98 % of the validation digits")
    with lab.terminal.busy("looking for missing pictures"):
        restored = restore_pictures(run, test, mnist.test, model, lab.terminal.warn)
    if restored:
        lab.terminal.hint(f"restored: {', '.join(restored)}")
    lab.terminal.line(str(run.folder))
    return OK


def show_evaluation(terminal: Terminal, run: Run, validation: Evaluation, test: Evaluation) -> None:
    """All numbers of an evaluation."""
    terminal.show(evaluation_table(run, validation, test), "")
    terminal.show(per_digit_table(test), "")
    terminal.show(f"most confused: {describe_confused(test)}")
    terminal.show(f"expected calibration error: {100 * test.calibration_error:.2f} points")


# ---------------------------------------------------------------------------------------------------- runs


def ask_runs(lab: Lab) -> int:
    """The menu's way to the leaderboard."""
    found = list_runs(lab.outputs)[0]
    if not found:
        return runs(lab)
    sort = lab.terminal.choose("Sort by", [Choice(key) for key in SORT_KEYS], default="val")
    rows = lab.terminal.console.height - 6  # what stays on the screen with the headings above and the menu's question
    return runs(lab, sort, limit=count_fitting(rank_runs(found, sort), rows))


def count_fitting(ranked: Sequence[Run], lines: int) -> int:
    """How many runs from the top, 20 at most, fit so many lines with what their letters stand for; at least five."""
    count = min(20, lines, len(ranked))
    while count > 5 and count + len(recipe_notes(ranked[:count])) > lines:
        count -= 1
    return max(5, count)


def rank_runs(found: Sequence[Run], sort: str) -> list[Run]:
    """Runs by one of :data:`SORT_KEYS`, the largest first, the newest first among equals, the unfinished last."""
    newest_first = reversed(found)
    return sorted(newest_first, key=lambda run: (run.val_accuracy is not None, SORT_KEYS[sort](run)), reverse=True)


def runs(lab: Lab, sort: str = "val", limit: int = 20) -> int:
    """The leaderboard of all saved runs, and the folders that are damaged."""
    if sort not in SORT_KEYS:
        raise RequestError(f"runs can't be sorted by {sort!r}", f"choose one of {', '.join(SORT_KEYS)}")
    if is_file(lab.outputs):
        raise RequestError(f"{lab.outputs} is a file, not a folder of runs", "name the folder with --outputs")
    found, damaged = list_runs(lab.outputs)
    if not found and not damaged:
        train_one = command_line("train --epochs 1", lab.outputs)
        lab.terminal.hint(f"There are no runs in {lab.outputs} yet. Train one: {train_one}")
        return OK
    ranked = rank_runs(found, sort)
    shown = ranked[:limit]
    if shown:
        marks = marks_of(lab, shown)
        lab.terminal.show(leaderboard(shown, sort, marks, wide=lab.terminal.console.width >= 112))
        show_notes(lab.terminal, shown)
        lab.terminal.hint("name a run by any part of its folder's name, as 11-22_14-30-05; *: interrupted")
    if len(ranked) > len(shown):
        lab.terminal.hint(f"{len(shown)} of {len(ranked):,} runs; see more with --limit {len(ranked)}")
    show_damaged(lab.terminal, damaged)
    return OK


def show_notes(terminal: Terminal, runs: Sequence[Run]) -> None:
    """What the letters in a table of some runs stand for."""
    for letter, changes in recipe_notes(runs).items():
        terminal.hint(f"{letter}: {changes}")


def runs_by_recipe(lab: Lab) -> int:
    """The saved runs with equal configurations taken together, whatever their seeds: mean, spread and number."""
    finished = [run for run in list_runs(lab.outputs)[0] if run.status == "finished"]
    if not finished:
        lab.terminal.hint(f"There are no finished runs in {lab.outputs} yet.")
        return OK
    marks = marks_of(lab, finished)
    lab.terminal.show(recipe_table(finished, marks))
    show_notes(lab.terminal, finished)
    lab.terminal.hint(
        "mean ± standard deviation over n seeds; with one seed there is no spread, and little to conclude"
    )
    if marks:
        lab.terminal.hint(f"my %: mean share of your own drawings ({MY_DIGITS}) read rightly")
    return OK


def marks_of(lab: Lab, listed: Sequence[Run]) -> dict[str, Mark | None]:
    """How many of the user's own digits each judged run reads, counted now where that was not done before.

    Empty if there are no such digits; drawings that can't be read are said in one line, and left out.
    """
    try:
        counts = load_counts(lab.outputs)
        if counts is None:
            return {}
        missing = counts.missing(listed)
        if missing:
            counts = count_missing(lab, counts, missing)
    except LabError as error:
        lab.terminal.warn(f"without your own digits: {error}")
        return {}
    return counts.marks(listed)


def count_missing(lab: Lab, counts: Counts, missing: Sequence[Run]) -> Counts:
    """Let runs read the user's digits; Ctrl-C ends it, and what was counted is kept."""
    with graceful_interrupts() as stop_requested:
        from mnist_lab.drawing.strokes import read_drawings

        drawings, damaged = read_drawings(lab.outputs / MY_DIGITS)  # refused, if at all, before torch is loaded
        show_skipped(lab.terminal, damaged)
        load_compute(lab)
        with lab.terminal.busy("loading your drawings"):
            steps = count_each(counts, drawings, missing)
            counts = next(steps)
    if stop_requested():  # only now: torch, once interrupted while it loads, can't be loaded again
        raise KeyboardInterrupt
    bar = Bar(
        TextColumn("runs that have read your digits"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        console=lab.terminal.console,
        transient=True,
        disable=not lab.terminal.console.is_terminal,
    )
    try:
        with bar:
            for so_far in bar.track(steps, total=len(missing)):
                counts = so_far
    finally:
        keep_counts(lab, counts)
    return counts


def keep_counts(lab: Lab, counts: Counts) -> None:
    """Keep what was counted; a disk that refuses costs the keeping, not the table."""
    try:
        save_counts(lab.outputs, counts)
    except StorageError as error:
        lab.terminal.warn(str(error))


def show_damaged(terminal: Terminal, damaged: Sequence[DamagedRun], limit: int = 5) -> None:
    """The folders that can't be read, each in a line."""
    for entry in damaged[:limit]:
        terminal.warn(entry.reason)
    if len(damaged) > limit:
        terminal.warn(f"... and {len(damaged) - limit:,} more damaged folders")


def show_skipped(terminal: Terminal, damaged: Sequence[LabError], limit: int = 5) -> None:
    """The lines of a file of drawings that are none, each in a line."""
    for error in damaged[:limit]:
        terminal.warn(f"skipped: {error.found}")
    if len(damaged) > limit:
        terminal.warn(f"... and {len(damaged) - limit:,} more damaged lines")


def ask_show(lab: Lab) -> int:
    """The menu's way to one run."""
    return show(lab, ask_run(lab, "Show which run"), offer_pictures=True)


def show(lab: Lab, name: str, *, open_pictures: bool = False, offer_pictures: bool = False) -> int:
    """One run: its numbers, how to repeat it, and where its pictures are."""
    run = find_run(lab.outputs, name)
    table = Table.grid(padding=(0, 2))
    for label, value in run_facts(run):
        table.add_row(f"[hint]{label}[/hint]", plain(value))
    lab.terminal.show(f"[title]{plain(run.name)}[/title]", table)
    pictures = sorted(filter(is_file, run.folder.glob("*.png")))
    for picture in pictures:
        lab.terminal.line(str(picture))
    viewer = picture_viewer()
    if viewer and pictures and offer_pictures:
        open_pictures = lab.terminal.ask_yes_no("Open the pictures", default=False)
    if open_pictures:
        if viewer is None:
            raise RequestError("this system has no picture viewer to open them with", "open the files named above")
        for picture in pictures:
            viewer(picture)
    return OK


def picture_viewer() -> Callable[[Path], object] | None:
    """How this system opens a picture, or None where it can't (no desktop, say)."""
    if platform.system() == "Windows":
        return lambda path: os.startfile(path)  # type: ignore[attr-defined]
    command = "open" if platform.system() == "Darwin" else "xdg-open"
    has_screen = platform.system() == "Darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not has_screen or shutil.which(command) is None:
        return None
    quiet = subprocess.DEVNULL
    return lambda path: subprocess.Popen([command, str(path)], stdin=quiet, stdout=quiet, stderr=quiet)

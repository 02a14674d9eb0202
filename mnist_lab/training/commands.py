"""The rows of the menu that train, and that evaluate what was trained."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from mnist_lab.config import (
    ARCHITECTURES,
    AUGMENTATIONS,
    MOST_THREADS,
    MOST_WORKERS,
    SHORT_TRAINING,
    AugmentConfig,
    Setting,
    TrainConfig,
    as_recipe,
    check_config,
    check_whole,
    default_config,
    settings_of,
)
from mnist_lab.data.mnist import load_mnist
from mnist_lab.environment import DEVICES, asked_device, using_device
from mnist_lab.errors import RequestError
from mnist_lab.networks.commands import ask_device, compute_for
from mnist_lab.networks.compute import Compute
from mnist_lab.terminal.console import Choice, Terminal, borderless
from mnist_lab.terminal.interrupts import graceful_interrupts
from mnist_lab.terminal.lab import INTERRUPTED, OK, Command, Lab, folder_named, refuse_given
from mnist_lab.terminal.wording import (
    count_epochs,
    describe_architecture,
    describe_augmentation,
    format_about,
    format_duration,
    format_loss,
    plain,
)
from mnist_lab.training import session
from mnist_lab.training.evaluation import Evaluation
from mnist_lab.training.folder_commands import add_run_option, ask_run
from mnist_lab.training.history import EpochRecord
from mnist_lab.training.runs import UNFINISHED, Run, find_run, is_being_trained, list_runs, read_run
from mnist_lab.training.session import Results, evaluate_on, load_trained, measure_pace, restore_pictures
from mnist_lab.training.tables import describe_confused, evaluation_table, per_digit_table, results_table
from mnist_lab.training.trainer import Progress

PRESETS = (("quick", 1), ("standard", 4))
"""Short trainings, by the number of epochs; the thorough one is the network's default, or longer."""

LEAST_THOROUGH = 8
"""Epochs that a training has to last to be called thorough."""


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
        seed=ask_number(terminal, "seed", config.seed),
        batch_size=ask_number(terminal, "batch_size", config.batch_size),
        patience=ask_number(terminal, "patience", config.patience),
    )


def ask_number(terminal: Terminal, name: str, default: int) -> int:
    """Ask for one of the whole numbers of a configuration."""
    found = settings_of(TrainConfig)[name]
    unit = f" ({found.unit})" if found.unit else ""
    return terminal.ask_whole(f"{found.label.capitalize()}{unit}", default, int(found.low), int(found.high))


def ask_length(lab: Lab, config: TrainConfig) -> int:
    """Offer the presets, each with the time that it takes on this machine; returns the number of epochs."""
    compute = compute_for(lab)
    with lab.terminal.busy("timing a few batches"):
        pace = measure_pace(config, load_mnist(), compute)
    lab.terminal.hint(f"as measured on this machine ({compute.name}); judging and pictures add some seconds:")
    presets = dict(PRESETS) | {"thorough": max(config.epochs, LEAST_THOROUGH)}
    choices = [
        Choice(name, f"{format_about(epochs * pace)}, {count_epochs(epochs)}") for name, epochs in presets.items()
    ]
    choices.append(Choice("own", f"choose the number of epochs ({format_about(pace)} each)"))
    word = lab.terminal.choose("How long", choices, default="standard")
    return presets[word] if word in presets else ask_number(lab.terminal, "epochs", config.epochs)


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
    compute_for(lab)  # refused, if at all, before there is a folder
    with training_observer(lab) as (observer, stop_requested):
        folder = session.train_new(
            config,
            lab.outputs,
            lab.now(),
            observer,
            workers=workers,
            threads=threads,
            stop_requested=stop_requested,
            figures=lab.load("explain.figures").RUN_FIGURES,
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
        compute_for(lab)
        with training_observer(lab) as (observer, stop_requested):
            folder = session.resume(
                run,
                observer,
                workers=workers,
                stop_requested=stop_requested,
                figures=lab.load("explain.figures").RUN_FIGURES,
            )
    return show_finished(lab, folder)


def show_finished(lab: Lab, folder: Path) -> int:
    """Name the folder that a training left."""
    lab.terminal.line(str(folder))
    return INTERRUPTED if read_run(folder).status == "interrupted" else OK


class TrainingDisplay:
    """A line per finished epoch, and on a terminal a live bar for the one under way."""

    def __init__(self, console: Console, epochs: int) -> None:
        self.epochs = epochs
        self.progress = Bar(
            TextColumn("epoch {task.fields[epoch]:>3}/{task.fields[epochs]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[pace]:>7} images/s"),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.console = console
        self.task: TaskID | None = None

    def start(self) -> None:
        """Show the column titles, and the bar where there is a terminal."""
        self.console.print(
            "[hint]  epoch  train loss  accuracy    val loss  accuracy     rate      time[/hint]",
            soft_wrap=True,
        )
        self.progress.start()

    def stop(self) -> None:
        """Take the bar away; the lines stay."""
        self.progress.stop()

    def on_progress(self, report: Progress) -> None:
        """Move the bar."""
        if self.task is None:
            self.task = self.progress.add_task("", epoch=0, epochs=self.epochs, pace="", left="")
        self.progress.update(
            self.task,
            total=report.images_per_epoch,
            completed=report.images_done,
            epoch=report.epoch,
            epochs=report.epochs,
            pace=f"{report.images_per_second:,.0f}",
            left=f"{format_duration(report.seconds_left)} left",
        )

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """Print the epoch's line."""
        mark = "[best]best[/best]" if is_best else ""
        self.console.print(
            f"{record.epoch:>4}/{self.epochs:<4}"
            f"{format_loss(record.train_loss):>9} {100 * record.train_accuracy:>8.2f} %"
            f"{format_loss(record.val_loss):>10} {100 * record.val_accuracy:>7.2f} %"
            f"{record.learning_rate:>9.1e}{format_duration(record.seconds):>9}  {mark}",
            soft_wrap=True,
        )


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
    terminal.show(results_table(results.validation, results.test).on_screen())
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


def _add_train_options(parser: ArgumentParser) -> None:
    """What is not given comes from the network's default recipe."""
    parser.add_argument("--augment", action="store_true", default=None, help="augment the training digits")
    parser.add_argument("--without", action="append", choices=AUGMENTATIONS, help="switch one augmentation off")
    for part in (TrainConfig, AugmentConfig):
        for setting in settings_of(part).values():
            about = "augmentation: " if part is AugmentConfig else ""
            if setting.kind is bool:
                option = f"--no-{setting.option[2:]}"
                parser.add_argument(option, action="store_true", default=None, help=f"leave out {setting.label}")
            else:
                parser.add_argument(setting.option, type=setting.kind, help=about + _help_with_default(setting))
    _add_workers_option(parser)
    parser.add_argument(
        "--threads", type=int, help="of the processor; another number, other last bits (default: as torch chooses)"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with a run that was killed: a folder, or latest")
    parser.epilog = (
        f"Defaults are those of one-cycle and the usual epochs. Trainings of at most {SHORT_TRAINING} epochs have a "
        "higher learning rate and milder augmentation; plain is Adam at 0.001 with nothing added."
    )


def _help_with_default(setting: Setting) -> str:
    """``digits per step (default: 128)``, ``... (default: 16; 1-layer 4)``."""
    if setting.choices:
        default = TrainConfig.__dataclass_fields__[setting.name].default
        return f"{', '.join(setting.choices)} (default: {default})"
    values = {model: f"{_usual_value(model, setting.name):g}" for model in ARCHITECTURES}
    *_, usual = values.values()
    differing = [f"{model} {value}" for model, value in values.items() if value != usual]
    unit = f", {setting.unit}" if setting.unit and setting.unit not in setting.help else ""
    return f"{setting.help}{unit} (default: {usual}{'; ' if differing else ''}{', '.join(differing)})"


def _usual_value(model: str, name: str) -> float:
    """What a number is for a network, unless something else is asked for."""
    config = default_config(model, augmented=True)
    part = next(part for part in (config.augment, config.architecture, config) if hasattr(part, name))
    value: float = getattr(part, name)
    return value


def _add_workers_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=int, help="processes that load data (default: 2 on more than two cores, else 0)"
    )


def _check_workers(count: int | None) -> None:
    if count is not None:
        check_whole("--workers", count, 0, MOST_WORKERS)


SETTLED = (
    *("augment", "without", "threads", "no_batch_norm"),
    *(name for part in (TrainConfig, AugmentConfig) for name in settings_of(part) if name != "batch_norm"),
)
"""The options of ``train`` that a run which goes on has settled already."""


def _train_from_options(lab: Lab, options: Namespace) -> int:
    _check_workers(options.workers)
    if options.resume is not None:
        refuse_given(options, SETTLED, "train --resume: a run goes on as it began")
        return resume(lab, options.resume, options.workers)
    if options.threads is not None:
        check_whole("--threads", options.threads, 1, MOST_THREADS)
    return train(lab, config_from_options(options), options.workers, options.threads)


def config_from_options(options: Namespace) -> TrainConfig:
    """The default recipe, with what was asked for put in.

    Raises:
        RequestError: options contradict each other, or have no effect.
    """
    given, strengths = (
        {name: value for name in settings_of(part) if (value := getattr(options, name, None)) is not None}
        for part in (TrainConfig, AugmentConfig)
    )
    config = default_config(
        given.pop("model", TrainConfig.model),
        augmented=bool(options.augment),
        recipe=as_recipe(given.pop("recipe", TrainConfig.recipe)),
        epochs=options.epochs,
    )
    without = options.without or []
    if config.augment is None:
        for name in ("without", *strengths, "plain_epochs"):
            if getattr(options, name) is not None:
                word = name.replace("_", "-")
                raise RequestError(f"--{word} needs --augment", f"add --augment, or omit --{word}")
    else:
        for kind in without:
            if strengths.keys() >= set(AUGMENTATIONS[kind]):
                raise RequestError(f"--without {kind} is undone by --{AUGMENTATIONS[kind][0]}", "omit one of them")
        config = replace(config, augment=replace(config.augment.without(*without), **strengths))
    if config.recipe == "plain":
        refuse_given(options, ["weight_decay"], "--recipe plain")
    config = replace(config, batch_norm=not options.no_batch_norm, **given)
    if config.augment is not None and config.canonical.augment is None:
        raise RequestError("nothing is left of the augmentation", "omit --augment, or switch less of it off")
    return config


def _resume_from_options(lab: Lab, options: Namespace) -> int:
    _check_workers(options.workers)
    return resume(lab, options.run, options.workers)


def _add_resume_options(parser: ArgumentParser) -> None:
    parser.add_argument("--run", default="latest", help="a killed run's folder, or latest (the default)")
    _add_workers_option(parser)


# ---------------------------------------------------------------------------------------------------- evaluate


def ask_evaluate(lab: Lab) -> int:
    """The menu's way to evaluate."""
    return evaluate(lab, ask_run(lab, "Evaluate which run"))


def evaluate(lab: Lab, name: str) -> int:
    """Judge a saved run again, from its model file, and restore pictures that are missing from its folder."""
    run = find_run(lab.outputs, name)
    compute = compute_for(lab)
    with lab.terminal.busy("loading the model"):
        model = load_trained(run, compute)
        mnist = load_mnist()
    with lab.terminal.busy("evaluating"):
        validation = evaluate_on(model, mnist.validation, compute)
        test = evaluate_on(model, mnist.test, compute)
    show_evaluation(lab.terminal, run, validation, test)
    with lab.terminal.busy("drawing things that are no digits"):
        doubted_shares = lab.load("drawing.nondigits").doubted_shares
        lab.terminal.show(doubt_table(doubted_shares(model, mnist.test, validation.doubt_level, compute)))
    lab.terminal.hint("a picture is doubted if the network is less sure of it than of 98 % of the validation digits")
    with lab.terminal.busy("looking for missing pictures"):
        restored = restore_pictures(
            run, test, mnist.test, model, lab.load("explain.figures").RUN_FIGURES, lab.terminal.warn
        )
    if restored:
        lab.terminal.hint(f"restored: {', '.join(restored)}")
    lab.terminal.line(str(run.folder))
    return OK


def doubt_table(shares: Mapping[str, float]) -> Table:
    """How often pictures of each kind are called "probably no digit"."""
    table = borderless("Called probably no digit", left=("pictures",), right=("share",))
    for name, share in shares.items():
        table.add_row(name, f"{100 * share:.1f} %")
    return table


def show_evaluation(terminal: Terminal, run: Run, validation: Evaluation, test: Evaluation) -> None:
    """All numbers of an evaluation."""
    terminal.show(evaluation_table(run, validation, test).on_screen(), "")
    terminal.show(per_digit_table(test).on_screen(), "")
    terminal.show(f"most confused: {describe_confused(test)}")
    terminal.show(f"expected calibration error: {100 * test.calibration_error:.2f} points")


COMMANDS = {
    "train": Command(ask_training, _train_from_options, _add_train_options),
    "resume": Command(ask_resume, _resume_from_options, _add_resume_options),
    "evaluate": Command(ask_evaluate, lambda lab, options: evaluate(lab, options.run), add_run_option),
}

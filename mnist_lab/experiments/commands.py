"""The row of the menu that conducts experiments: variants over seeds, or a question put to saved runs."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

from mnist_lab.config import MOST_EPOCHS, TRAIN_DIGITS, check_whole
from mnist_lab.data.mnist import load_mnist, split_fingerprint
from mnist_lab.environment import asked_device
from mnist_lab.errors import RequestError
from mnist_lab.experiments.comparison_commands import ask_runs, comparable_runs, judged_runs, show_recipes
from mnist_lab.experiments.experiment_results import report_experiment
from mnist_lab.experiments.predictions import parse_prediction
from mnist_lab.experiments.questions import (
    EXPERIMENTS,
    MOST_SEEDS,
    SEEDS,
    Experiment,
    Setting,
    Variant,
    checked_variants,
    factors_between,
    find_experiment,
)
from mnist_lab.experiments.speed_commands import ask_speed, speed_experiment
from mnist_lab.experiments.trainings import MOST_JOBS, Pool, Task, cluster, default_jobs, plan
from mnist_lab.networks.commands import compute_for
from mnist_lab.storage import storage_errors
from mnist_lab.terminal.console import BackToMenu, Choice, ManyDisplay, RunProgress, Terminal
from mnist_lab.terminal.lab import FAILED, INTERRUPTED, OK, Command, Lab, graceful_interrupts, refuse_given
from mnist_lab.terminal.wording import count_epochs, format_about, format_duration, format_percent, plain
from mnist_lab.training.folder_commands import tell_result
from mnist_lab.training.recipes import recipes_of
from mnist_lab.training.runs import Run, command_line, read_run


@dataclass(frozen=True)
class Request:
    """What the user wants done.

    Attributes:
        experiment: which.
        epochs: of every training.
        seeds: of every variant.
        jobs: trainings at once; None for as many as are fastest here.
        dask: a scheduler's address, to train on its workers; None for this machine.
        prediction: what the learner expects, in the learner's words; empty for nothing.
    """

    experiment: Experiment
    epochs: int
    seeds: int = SEEDS
    jobs: int | None = None
    dask: str | None = None
    prediction: str = ""

    @property
    def command(self) -> str:
        """The words that repeat it."""
        options = {"jobs": self.jobs, "dask": self.dask, "device": asked_device(), "predict": self.prediction or None}
        words = ["experiment", self.experiment.name, "--seeds", str(self.seeds), "--epochs", str(self.epochs)]
        for name, value in options.items():
            if value is not None:
                words += [f"--{name}", str(value)]
        return shlex.join(words)


def check_request(request: Request) -> None:
    """Refuse numbers that make no sense."""
    check_whole("--epochs", request.epochs, 1, MOST_EPOCHS)
    check_whole("--seeds", request.seeds, 1, MOST_SEEDS)
    if request.jobs is not None:
        check_whole("--jobs", request.jobs, 1, MOST_JOBS)
        if request.dask is not None:
            raise RequestError("--jobs is for this machine; a cluster trains one on each of its workers", "omit --jobs")


# ----------------------------------------------------------------------------------------------- the menu


def ask_experiment(lab: Lab) -> int:
    """The menu's way to an experiment: which, how thorough, and what the learner expects."""
    terminal = lab.terminal
    choices = [Choice(name, experiment.question) for name, experiment in EXPERIMENTS.items()]
    choices.append(Choice("speed", "What makes training fast?"))
    word = terminal.choose("Which question", choices, default="depth")
    if word == "speed":
        return ask_speed(lab)
    chosen = find_experiment(word)
    terminal.hint(f"{chosen.explanation} More seeds and more epochs make it surer, and slower.")
    if chosen.asks_only and judged_runs(lab) and terminal.choose("With which networks", NETWORKS, "new") == "saved":
        return ask_saved(lab, chosen)
    seeds = terminal.ask_whole("Seeds (trainings of every variant)", SEEDS, 1, MOST_SEEDS)
    epochs = terminal.ask_whole("Epochs of every training", chosen.epochs, 1, MOST_EPOCHS)
    request = Request(chosen, epochs, seeds)
    with prepared(lab, request) as ready:
        if not ready.is_controlled and not terminal.ask_yes_no("Go on all the same", default=False):
            return OK
        terminal.hint(f"What do you expect? {example_prediction(chosen)}; Enter for none.")
        prediction = terminal.ask("Prediction", "", str)
        if prediction and ready.variants and not can_be_graded(prediction, ready.variants):
            names = ", ".join(variant.name for variant in ready.variants)
            terminal.hint(f"not understood as one about {names}: it will be shown beside the result, for you to judge")
        if not terminal.ask_yes_no("Start", default=True):
            return OK
        return conduct(lab, replace(request, prediction=prediction), ready, offer_page=True)


NETWORKS = (
    Choice("new", "trained for it, several seeds of each: what may be concluded from"),
    Choice("saved", "runs of yours, at once"),
)
"""Which networks an experiment may ask."""


def ask_saved(lab: Lab, chosen: Experiment) -> int:
    """The menu's way to an experiment with saved runs."""
    names = ask_runs(lab, "Which runs (numbers, the first is compared with the others)", default="1")
    return experiment_on_saved(lab, chosen, names, from_menu=True)


def example_prediction(experiment: Experiment) -> str:
    """What a prediction may look like."""
    if not experiment.pairs:
        return "In your own words"
    before, after = experiment.pairs[-1]
    return f'For example "{after} wins by 0.3" (percentage points), "{before} beats {after}" or "no difference"'


def can_be_graded(prediction: str, variants: Sequence[Variant]) -> bool:
    """Whether a prediction says something of the variants that the result can be held against."""
    return parse_prediction(prediction, [variant.name for variant in variants]) is not None


def experiment(lab: Lab, request: Request) -> int:
    """Put a question to the networks: train what is missing, compare, and leave a folder with a report."""
    with prepared(lab, request) as ready:
        if not ready.is_controlled and not may_go_on(lab):
            return OK
        return conduct(lab, request, ready)


def experiment_on_saved(
    lab: Lab, chosen: Experiment, names: Sequence[str], prediction: str = "", *, from_menu: bool = False
) -> int:
    """Put a question to saved runs instead of training for it.

    Args:
        lab: where to look, and where to show.
        chosen: an experiment that only asks networks.
        names: of the runs; those that differ in their seeds only are taken together.
        prediction: what the learner expects.
        from_menu: whether to ask about opening the report.

    Raises:
        RequestError: the experiment compares ways to train, or the runs were made on different splits.
        RunError, CheckpointError: a run is missing, unfinished or damaged.
    """
    if not chosen.asks_only:
        possible = [name for name, other in EXPERIMENTS.items() if other.asks_only]
        raise RequestError(f"--run is not for the experiment {chosen.name}", f"it is for {' and '.join(possible)}")
    runs = comparable_runs(lab, names)
    recipes = recipes_of(runs)
    show_recipes(lab, recipes)
    pairs = tuple((recipes[0].name, recipe.name) for recipe in recipes[1:])
    words = ["experiment", chosen.name, *(word for run in runs for word in ("--run", name_below(lab.outputs, run)))]
    words += ["--predict", prediction] if prediction else []
    factor = "the recipe" if chosen.pairs else chosen.factor
    asked = replace(chosen, pairs=pairs, factor=factor)
    by_recipe = {recipe.name: dict(recipe.runs) for recipe in recipes}
    setting = Setting(asked, None, shlex.join(words), prediction, all_known=True)
    return tell(lab, setting, by_recipe, offer_page=from_menu)


def name_below(outputs: Path, run: Run) -> str:
    """What a run is called in a command: its whole name, or its path if it lies elsewhere."""
    return run.name if run.folder.resolve().parent == outputs.resolve() else str(run.folder)


def may_go_on(lab: Lab) -> bool:
    """Ask; where nobody can answer, the answer is no."""
    try:
        return lab.terminal.ask_yes_no("Go on all the same", default=False)
    except (EOFError, BackToMenu):
        return False


# ----------------------------------------------------------------------------------------------- what to do


@dataclass(frozen=True)
class Prepared:
    """An experiment, looked at before it starts."""

    variants: tuple[Variant, ...]
    tasks: list[Task]
    engine: Pool
    is_controlled: bool  # the pairs differ in one factor each
    seconds: float | None = None  # that the missing trainings will take

    @property
    def missing(self) -> list[Task]:
        """The trainings that no finished run answers yet."""
        return missing_of(self.tasks)


def missing_of(tasks: Sequence[Task]) -> list[Task]:
    """The trainings that no finished run answers yet."""
    return [task for task in tasks if task.run is None]


@contextmanager
def prepared(lab: Lab, request: Request) -> Iterator[Prepared]:
    """See what is there, and say what will be trained and how long that takes; what it needs is gone in the end."""
    check_request(request)
    chosen = request.experiment
    variants = checked_variants(chosen, request.epochs)
    check_writable(lab.outputs)
    compute_for(lab)
    with lab.terminal.busy("looking for finished trainings"):
        tasks = plan(variants, request.seeds, lab.outputs, split_fingerprint(load_mnist().validation))
    factors = factors_between(chosen.pairs, variants)
    introduce(lab.terminal, request, variants, factors)
    done = len(tasks) - len(missing_of(tasks))
    if done:
        are = "is there already and is" if done == 1 else "are there already and are"
        lab.terminal.hint(f"{done} of the {len(tasks)} trainings {are} used again")
    with engine_for(request, tasks) as engine:
        ready = Prepared(variants, tasks, engine, not factors)
        yield replace(ready, seconds=announce(lab.terminal, request, ready)) if ready.missing else ready


def check_writable(outputs: Path) -> None:
    """Refuse, before anything is trained, a folder that nothing can be kept in.

    Raises:
        StorageError: it can't be made, or not written to.
    """
    with storage_errors(outputs):
        outputs.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=outputs):
            pass


@contextmanager
def engine_for(request: Request, tasks: Sequence[Task]) -> Iterator[Pool]:
    """Where the missing trainings will run."""
    if request.dask is not None and missing_of(tasks):
        with cluster(request.dask, len(tasks)) as workers:
            yield workers
    else:
        with Pool(min(request.jobs or default_jobs(), len(tasks)), len(tasks)) as processes:
            yield processes


def introduce(terminal: Terminal, request: Request, variants: Sequence[Variant], factors: Sequence[str]) -> None:
    """Show the question, and how it is put."""
    chosen = request.experiment
    terminal.show("", f"[title]{plain(chosen.question)}[/title]")
    names = ", ".join(variant.name for variant in variants)
    terminal.hint(f"what differs: {chosen.factor}; variants: {names}")
    terminal.hint(f"each is trained with {count_seeds(request.seeds)}, for {count_epochs(request.epochs)}")
    if factors:
        terminal.warn(f"more than one factor differs ({', '.join(factors)}): whatever comes out may be due to any")
    if request.seeds == 1:
        terminal.warn("with one seed no interval can be given: a difference may be chance")


def announce(terminal: Terminal, request: Request, ready: Prepared) -> float | None:
    """Say how many trainings there are to do, where, and how long that takes; returns the seconds."""
    engine, count = ready.engine, len(ready.missing)
    with terminal.busy("timing a few batches, as many trainings at once as there will be"):
        seconds = engine.estimate(ready.missing)
    trainings = "1 training" if count == 1 else f"{count} trainings"
    if request.dask is not None:
        how = f" on {engine.at_once} Dask {'worker' if engine.at_once == 1 else 'workers'}"
    else:
        how = f", {engine.at_once} at a time" if engine.at_once > 1 and count > 1 else ""
    terminal.line(f"{trainings} to do{how}: {'time unknown' if seconds is None else format_about(seconds)}")
    if engine.advice:
        terminal.warn(engine.advice)
    return seconds


def count_seeds(seeds: int) -> str:
    """``1 seed``, ``5 seeds``."""
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


# ------------------------------------------------------------------------------------------------- to do it


def conduct(lab: Lab, request: Request, ready: Prepared, *, offer_page: bool = False) -> int:
    """Train what is missing, then compare; ``offer_page`` asks in the end about opening the report."""
    runs, failures = train_missing(lab, ready)
    for failure in failures:
        lab.terminal.warn(failure)
    if len(runs) + len(failures) < len(ready.tasks):
        lab.terminal.warn(
            f"stopped; {len(runs)} of {len(ready.tasks)} trainings are finished and kept; "
            f"go on with: {command_line(request.command, lab.outputs)}"
        )
        return INTERRUPTED
    by_variant = {
        variant.name: {task.config.seed: runs[task.number] for task in ready.tasks
                       if task.variant == variant.name and task.number in runs}
        for variant in ready.variants
    }  # fmt: skip
    if not any(by_variant.values()):
        raise RequestError("no training of the experiment came to its end", "see the lines above")
    setting = Setting(
        request.experiment,
        request.epochs,
        request.command,
        request.prediction,
        failures,
        all_known=not ready.missing,
    )
    return tell(lab, setting, by_variant, offer_page=offer_page)


LEGEND = "over the seeds: mean, sd (standard deviation) and 95 % interval of the mean (t)"
COMMITTEE_LEGEND = "committee: all seeds' networks answer together, with their mean probability"
"""What the columns of the table on screen mean; only some experiments have committees."""


def tell(lab: Lab, setting: Setting, by_variant: Mapping[str, Mapping[int, Run]], *, offer_page: bool) -> int:
    """Compare finished runs, show what came out, and leave a folder with a report."""
    compute_for(lab)
    with lab.terminal.busy("comparing, and drawing the figures"):
        folder, lines, table = report_experiment(setting, by_variant, lab.outputs, lab.now())
    lab.terminal.show("", table, "")
    has_committees = any(column.header == "committee %" for column in table.columns)
    lab.terminal.hint(f"{LEGEND}; {COMMITTEE_LEGEND}" if has_committees else LEGEND)
    tell_result(lab, folder, lines, offer_page=offer_page)
    return FAILED if setting.failures else OK


def train_missing(lab: Lab, ready: Prepared) -> tuple[dict[int, Run], list[str]]:
    """Train what no finished run answers yet, until it is done or the user stops it.

    Returns:
        The runs by the number of their task, and a sentence for each failure.
    """
    runs = {task.number: task.run for task in ready.tasks if task.run is not None}
    names = {task.number: f"{task.variant}, seed {task.config.seed}" for task in ready.tasks}
    failures: list[str] = []
    if not ready.missing:
        return runs, failures
    engine = ready.engine
    with suppress(KeyboardInterrupt), stoppable(lab, engine):
        waiting = {task.number: task for task in ready.missing}

        def under_way() -> list[RunProgress]:
            reports = ((number, engine.progress_of(task)) for number, task in list(waiting.items()))
            return [RunProgress(names[number], *report) for number, report in reports if report is not None]

        lab.terminal.hint("Ctrl-C stops after the current batches and keeps what is finished.")
        with (
            ManyDisplay(lab.terminal.console, len(waiting), under_way, ready.seconds) as display,
            closing(engine.train(ready.missing, lab.outputs)) as results,
        ):
            for finished in results:
                waiting.pop(finished.number, None)
                name = plain(names[finished.number])
                if finished.folder is not None:
                    runs[finished.number] = run = read_run(finished.folder)
                    display.end(f"{name}: {describe_result(run)}")
                elif finished.failure is not None:
                    failures.append(f"{names[finished.number]} failed: {finished.failure}")
                    display.end(f"{name}: [error]failed[/error]")
    return runs, failures


@contextmanager
def stoppable(lab: Lab, engine: Pool) -> Iterator[None]:
    """Let the first Ctrl-C stop all trainings after their batches; the second one stops at once."""

    def stop() -> None:
        engine.stop()
        lab.terminal.warn("Ctrl-C: ending after the current batches ... (a second one ends at once)")

    with graceful_interrupts(stop):
        yield


def describe_result(run: Run) -> str:
    """A finished training in a few words."""
    return (
        f"validation {format_percent(run.val_accuracy)}, test {format_percent(run.test_accuracy)}, "
        f"{format_duration(run.train_seconds)}"
    )


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=f"{', '.join([*EXPERIMENTS, 'speed'])}")
    parser.add_argument("--seeds", type=int, help=f"trainings of every variant (default: {SEEDS})")
    parser.add_argument("--epochs", type=int, help="of every training (default: the experiment's)")
    parser.add_argument("--jobs", type=int, help="trainings at once (default: as many as are fastest here)")
    parser.add_argument("--dask", metavar="ADDRESS", help="train on a Dask cluster, for example tcp://host:8786")
    parser.add_argument(
        "--no-target", action="store_true", default=None, help="speed: time one epoch only, whatever it reaches"
    )
    parser.add_argument("--train-size", type=int, help="speed: train on so many digits only")
    parser.add_argument("--run", action="append", help="robustness, inversion: ask this saved run instead of training")
    parser.add_argument("--predict", type=str.strip, metavar="TEXT", help='what you expect: "3-layer wins by 0.3"')


def _from_options(lab: Lab, options: Namespace) -> int:
    if options.name == "speed":
        refuse_given(options, ["seeds", "jobs", "dask", "run", "predict"], "the experiment speed")
        size = TRAIN_DIGITS if options.train_size is None else options.train_size
        return speed_experiment(lab, epochs=options.epochs, to_target=not options.no_target, train_size=size)
    chosen = find_experiment(options.name)
    refuse_given(options, ["no_target", "train_size"], f"the experiment {chosen.name}")
    prediction = options.predict or ""
    if options.run is not None:
        refuse_given(options, ["seeds", "epochs", "jobs", "dask"], "--run, which trains nothing")
        return experiment_on_saved(lab, chosen, options.run, prediction)
    epochs = chosen.epochs if options.epochs is None else options.epochs
    seeds = SEEDS if options.seeds is None else options.seeds
    request = Request(chosen, epochs, seeds, options.jobs, options.dask, prediction)
    return experiment(lab, request)


COMMANDS = {"experiment": Command(ask_experiment, _from_options, _add_options)}

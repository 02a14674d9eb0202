"""The rows of the menu that compare: experiments, saved runs side by side, and what makes training fast."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from tempfile import TemporaryFile

from mnist_lab.config import MOST_EPOCHS, check_config, check_whole
from mnist_lab.data.mnist import load_mnist
from mnist_lab.environment import asked_device
from mnist_lab.errors import RequestError, suggestion
from mnist_lab.experiments import questions
from mnist_lab.experiments.questions import EXPERIMENTS, MOST_SEEDS, SEEDS, Experiment, Variant
from mnist_lab.experiments.speed import QUESTION, experiment_speed, speed_from_options, time_one_epoch
from mnist_lab.experiments.statistics import MOST_POINTS, parse_prediction
from mnist_lab.experiments.study import differences_table, study_comparison, study_experiment, tell_study
from mnist_lab.experiments.trainings import Pool, Task, cluster, plan
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import MOST_JOBS, default_jobs
from mnist_lab.storage import storage_errors
from mnist_lab.terminal.console import Choice, ManyDisplay, RunProgress
from mnist_lab.terminal.lab import FAILED, INTERRUPTED, OK, Command, Lab, graceful_interrupts, refuse_given
from mnist_lab.terminal.wording import counted, format_about, format_duration, format_percent, letters, plain
from mnist_lab.training.picker import add_run_options, ask_runs, runs_named
from mnist_lab.training.runs import (
    Recipe,
    RunRecord,
    command_line,
    find_run,
    list_runs,
    name_some,
    not_finished,
    read_run,
    recipes_of,
)


@dataclass(frozen=True)
class Request:
    """What the user wants done; ``RequestError`` for numbers that make no sense."""

    experiment: Experiment
    epochs: int
    seeds: int = SEEDS
    jobs: int | None = None  # trainings at once; None for as many as are fastest here
    dask: str | None = None  # a scheduler's address, to train on its workers; None for this machine
    prediction: str = ""  # what the learner expects; empty for nothing

    @property
    def command(self) -> str:
        """The words that repeat it."""
        options = {"seeds": self.seeds, "epochs": self.epochs, "jobs": self.jobs, "dask": self.dask}
        options |= {"device": asked_device(), "predict": self.prediction or None}
        given = [(f"--{name}", str(value)) for name, value in options.items() if value is not None]
        return shlex.join(["experiment", self.experiment.name, *chain(*given)])

    def __post_init__(self) -> None:
        check_whole("--epochs", self.epochs, 1, MOST_EPOCHS)
        check_whole("--seeds", self.seeds, 1, MOST_SEEDS)
        if self.jobs is not None:
            check_whole("--jobs", self.jobs, 1, MOST_JOBS)
        if self.jobs is not None and self.dask is not None:
            raise RequestError("--jobs is for this machine; a cluster trains one on each of its workers", "omit --jobs")


def ask_experiment(lab: Lab) -> int:
    """Ask which experiment to do, how thorough, and what the learner expects."""
    terminal = lab.terminal
    choices = [Choice(name, experiment.question) for name, experiment in EXPERIMENTS.items()]
    word = terminal.choose("Which question", [*choices, Choice("speed", QUESTION)], default="depth")
    if word == "speed":
        return experiment_speed(lab, load_mnist())
    chosen = EXPERIMENTS[word]
    terminal.hint(f"{chosen.explanation} More seeds and epochs make the answer surer, but slower.")
    new = Choice("new", "trained for this, with several seeds each: allow conclusions")
    networks = (new, Choice("saved", "runs that you have already: no waiting"))
    if chosen.asks_only and _finished_runs(lab) and terminal.choose("With which networks", networks, "new") == "saved":
        return experiment_on_saved(
            lab, chosen, ask_runs(lab, "Which runs (the first is compared with the others)", "1"), from_menu=True
        )
    seeds = terminal.ask_whole("Seeds (training runs per variant)", SEEDS, 1, MOST_SEEDS)
    epochs = terminal.ask_whole("Epochs per training run", chosen.epochs, 1, MOST_EPOCHS)
    return experiment(lab, Request(chosen, epochs, seeds), from_menu=True)


def _ask_prediction(lab: Lab, pairs: Sequence[tuple[str, str]]) -> str:
    """Which variant wins, and by how much, in a form that can be graded; empty for no prediction."""
    expected = [f"{x} {sign} {y}" for a, b in pairs for x, sign, y in ((b, ">", a), (a, ">", b), (b, "=", a))]
    if not expected:
        return ""
    lab.terminal.hint("What do you expect? It is shown with the result and graded. >: more accurate; =: no difference")
    choices = [Choice("none", "no prediction"), *map(Choice, expected)]
    word = lab.terminal.choose("Prediction", choices, default="none")
    if ">" not in word:
        return "" if word == "none" else word

    def with_lead(answer: str) -> str:
        words = f"{word} by {answer}" if answer else word
        prediction = parse_prediction(words, list(chain(*pairs)))
        if prediction is None or prediction[2] == 0:
            raise ValueError(f"{answer!r} is not a number above 0 and up to {MOST_POINTS}")
        return words

    return lab.terminal.ask("By how many percentage points (Enter: no number)", "", with_lead)


def experiment(lab: Lab, request: Request, *, from_menu: bool = False) -> int:
    """Put a question to the networks: train what is missing, compare, and leave a folder with a report."""
    chosen, terminal = request.experiment, lab.terminal
    variants = chosen.variants(request.epochs)
    for variant in variants:
        check_config(variant.config)
    tasks = _find_tasks(lab, request, variants)
    missing = [task for task in tasks if task.run is None]
    on_cluster = cluster(request.dask, len(tasks)) if request.dask is not None and missing else None
    with on_cluster or closing(Pool(min(request.jobs or default_jobs(), len(tasks)), len(tasks))) as pool:
        seconds = None
        if missing:
            with terminal.busy("timing a few batches, with as many runs at once as there will be"):
                seconds = pool.estimate(missing)
            about = "time unknown" if seconds is None else format_about(seconds)
            terminal.line(f"{counted(len(missing), 'training run')} to do, {pool.where}: {about}")
        if from_menu:
            request = replace(request, prediction=_ask_prediction(lab, chosen.pairs))
            if not terminal.ask_yes_no("Start", default=True):
                return OK
        failures = _train(lab, pool, tasks, seconds) if missing else []
    for failure in failures:
        terminal.warn(failure)
    runs = [task.run for task in tasks if task.run is not None]
    if len(runs) + len(failures) < len(tasks):
        again = command_line(request.command, lab.outputs)
        terminal.warn(f"stopped; {len(runs)} of {len(tasks)} runs are finished and kept; continue with: {again}")
        return INTERRUPTED
    if not runs:
        raise RequestError("no training run of the experiment was finished", "see the lines above")
    by_variant = {
        variant.name: {task.run.seed: task.run for task in tasks if task.run and task.variant == variant.name}
        for variant in variants
    }
    compute_for(lab)
    with terminal.busy("comparing, and drawing the figures"):
        study = study_experiment(
            chosen, by_variant, lab.outputs, lab.now(), command=request.command, epochs=request.epochs,
            prediction=request.prediction, failures=failures, all_known=not missing,
        )  # fmt: skip
    tell_study(lab, study, offer_page=from_menu)
    return FAILED if failures else OK


def _find_tasks(lab: Lab, request: Request, variants: Sequence[Variant]) -> list[Task]:
    chosen, terminal = request.experiment, lab.terminal
    with storage_errors(lab.outputs):  # a folder that nothing can be kept in is refused before anything is trained
        lab.outputs.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=lab.outputs):
            pass
    compute_for(lab)
    with terminal.busy("looking for finished training runs"):
        tasks = plan(variants, request.seeds, lab.outputs)
    terminal.show("", f"[title]{plain(chosen.question)}[/title]")
    terminal.hint(f"what differs: {chosen.factor}; variants: {', '.join(variant.name for variant in variants)}")
    terminal.hint(f"each is trained with {counted(request.seeds, 'seed')}, for {counted(request.epochs, 'epoch')}")
    _warn_of_factors(lab, chosen.pairs, variants)
    if request.seeds == 1:
        terminal.warn("with one seed no interval can be given: a difference may be due to chance")
    if done := sum(task.run is not None for task in tasks):
        terminal.hint(f"already finished and reused: {done} of the {len(tasks)} training runs")
    return tasks


def _warn_of_factors(lab: Lab, pairs: Sequence[tuple[str, str]], variants: Sequence[Variant]) -> str:
    factors = ", ".join(questions.factors_between(pairs, variants))
    if factors:
        lab.terminal.warn(f"more than one factor differs ({factors}): the result may be due to any of them")
    return factors


def _train(lab: Lab, pool: Pool, tasks: list[Task], seconds: float | None) -> list[str]:
    """Train what has no run yet, until the user stops it; the tasks get their runs, each failure a sentence."""
    waiting = {task.number: task for task in tasks if task.run is None}
    failures: list[str] = []

    def stop() -> None:
        pool.stop()
        lab.terminal.warn("Ctrl-C: ending after the current batches ... (a second one ends at once)")

    def under_way() -> list[RunProgress]:
        reports = [(task.title, pool.progress_of(task)) for task in list(waiting.values())]
        return [RunProgress(title, *report) for title, report in reports if report is not None]

    lab.terminal.hint("Ctrl-C stops after the current batches and keeps what is finished.")
    with (
        suppress(KeyboardInterrupt),
        graceful_interrupts(stop),
        ManyDisplay(lab.terminal.console, len(waiting), under_way, seconds) as display,
        closing(pool.train(list(waiting.values()), lab.outputs)) as results,
    ):
        for finished in results:
            task = waiting.pop(finished.number)
            if finished.folder is not None:
                run = read_run(finished.folder)
                tasks[task.number] = replace(task, run=run)
                accuracies = f"validation {format_percent(run.val_accuracy)}, test {format_percent(run.test_accuracy)}"
                display.end(f"{plain(task.title)}: {accuracies}, {format_duration(run.train_seconds)}")
            elif finished.failure is not None:
                failures.append(f"{task.title} failed: {finished.failure}")
                display.end(f"{plain(task.title)}: [error]failed[/error]")
    return failures


def experiment_on_saved(
    lab: Lab, chosen: Experiment, names: Sequence[str], prediction: str = "", *, from_menu: bool = False
) -> int:
    """Put a question to saved runs instead of training for it; those that differ only in their seeds go together."""
    if not chosen.asks_only:
        possible = " and ".join(name for name, other in EXPERIMENTS.items() if other.asks_only)
        raise RequestError(f"--run is not for the experiment {chosen.name}", f"it is for {possible}")
    runs = _comparable_runs(lab, names)
    recipes = recipes_of(runs)
    _show_recipes(lab, recipes)
    words = ["experiment", chosen.name]
    for run in runs:
        is_below = run.folder.resolve().parent == lab.outputs.resolve()
        words += ["--run", run.name if is_below else str(run.folder)]
    words += ["--predict", prediction] if prediction else []
    pairs = tuple((recipes[0].name, recipe.name) for recipe in recipes[1:])
    asked = replace(chosen, pairs=pairs, factor="the recipe" if chosen.pairs else chosen.factor)
    by_recipe = {recipe.name: recipe.runs for recipe in recipes}
    compute_for(lab)
    with lab.terminal.busy("comparing, and drawing the figures"):
        study = study_experiment(
            asked, by_recipe, lab.outputs, lab.now(), command=shlex.join(words), prediction=prediction, all_known=True
        )
    tell_study(lab, study, offer_page=from_menu)
    return OK


# --- saved runs side by side -------------------------------------------------------------------------------------


def ask_compare(lab: Lab) -> int:
    """Ask which saved runs to compare."""
    if len(_finished_runs(lab)) < 2:
        lab.terminal.hint(f"There are fewer than two finished runs in {lab.outputs}: train some first.")
        return OK
    return compare(lab, ask_runs(lab, "Which runs (the first is compared with the others)", "1 2"), from_menu=True)


def _finished_runs(lab: Lab) -> list[RunRecord]:
    return [run for run in reversed(list_runs(lab.outputs)[0]) if run.is_evaluated]


def compare(lab: Lab, names: Sequence[str], *, from_menu: bool = False) -> int:
    """Compare saved runs on the same test digits, the first with each of the others, and leave a folder with a report.

    RequestError if there are fewer than two, or of different splits; RunError or CheckpointError if one can't be used.
    """
    recipes = recipes_of(_comparable_runs(lab, names))
    if sum(len(recipe.runs) for recipe in recipes) < 2:
        raise RequestError("fewer than two different training runs are named", "name two or more: compare RUN RUN")
    found, several_factors = _show_recipes(lab, recipes)
    if from_menu and several_factors and not lab.terminal.ask_yes_no("Compare all the same", default=True):
        return OK
    compute_for(lab)
    with lab.terminal.busy("asking the networks about the test digits"):
        study = study_comparison(recipes, found, lab.outputs, lab.now())
    tell_study(lab, study, offer_page=from_menu)
    return OK


def _comparable_runs(lab: Lab, names: Sequence[str]) -> list[RunRecord]:
    """Runs by their names, each once, in the order given; all evaluated, and made on the same split."""
    runs = list({run.folder.resolve(): run for run in (find_run(lab.outputs, name) for name in names)}.values())
    if len(runs) < len(names):
        lab.terminal.hint("a run that is named more than once counts once")
    if not runs:
        raise RequestError("no run is named", "name one or more; python main.py runs lists them")
    for run in runs:
        if not run.is_evaluated:
            raise not_finished(run)
    if len({str(run.split_fingerprint) for run in runs}) > 1:
        raise RequestError(
            "the runs were made on different splits of the data", "compare runs of one split: train one again"
        )
    return runs


def _show_recipes(lab: Lab, recipes: Sequence[Recipe]) -> tuple[dict[str, tuple[str, ...]], str]:
    """Show and return what some recipes differ in, and the factors of those that differ in more than one."""
    found = questions.differences([recipe.config for recipe in recipes])
    heads, table = [letters(place).upper() for place in range(len(recipes))], differences_table(recipes, found)
    console = lab.terminal.console
    is_wide = console.measure(table.on_screen(), options=console.options.update_width(1000)).maximum > console.width
    table = replace(table, headings=("factor", *heads)) if is_wide else table
    lab.terminal.show("", table.on_screen(fold=range(len(table.headings))))
    for head, recipe in zip(heads, recipes, strict=True):
        if found:  # the names alone do not tell which run is which
            name = f"{head}: {recipe.name}" if is_wide else recipe.name
            lab.terminal.hint(f"{name}: {name_some([run.folder for run in recipe.runs.values()])}")
    pairs = [(recipes[0].name, recipe.name) for recipe in recipes[1:]]
    return found, _warn_of_factors(lab, pairs, [Variant(recipe.name, recipe.config) for recipe in recipes])


def _runs_given(options: Namespace) -> list[str]:
    return [name for name in runs_named(options, "") if name]


def _add_experiment_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=f"{', '.join([*EXPERIMENTS, 'speed'])}")
    add_run_options(parser, "none; robustness and inversion ask saved runs instead of training")
    parser.add_argument("--seeds", type=int, help=f"training runs per variant (default: {SEEDS})")
    parser.add_argument("--epochs", type=int, help="epochs per training run (default: the experiment's)")
    parser.add_argument("--jobs", type=int, help="training runs at once (default: as many as are fastest here)")
    parser.add_argument("--dask", metavar="ADDRESS", help="train on a Dask cluster, for example tcp://host:8786")
    parser.add_argument(
        "--no-target", action="store_true", default=None, help="speed: time one epoch only, whatever it reaches"
    )
    parser.add_argument("--train-size", type=int, help="speed: train on only this many digits")
    parser.add_argument(
        "--predict", type=str.strip, metavar="TEXT",
        help='what you expect, to be graded: "3-layer > 2-layer by 0.3" (percentage points), "A > B" or "A = B"',
    )  # fmt: skip


def _experiment_from_options(lab: Lab, options: Namespace) -> int:
    options.run = _runs_given(options) or None
    if options.name == "speed":
        refuse_given(options, ["seeds", "jobs", "dask", "run", "predict"], "the experiment speed")
        return speed_from_options(lab, options)
    if options.name not in EXPERIMENTS:
        raise RequestError(
            f"there is no experiment {options.name!r}", suggestion(options.name, [*EXPERIMENTS, "speed"])
        )
    chosen = EXPERIMENTS[options.name]
    refuse_given(options, ["no_target", "train_size"], f"the experiment {chosen.name}")
    prediction = options.predict or ""
    if options.run is not None:
        refuse_given(options, ["seeds", "epochs", "jobs", "dask"], "--run, which trains nothing")
        return experiment_on_saved(lab, chosen, options.run, prediction)
    epochs = chosen.epochs if options.epochs is None else options.epochs
    seeds = SEEDS if options.seeds is None else options.seeds
    return experiment(lab, Request(chosen, epochs, seeds, options.jobs, options.dask, prediction))


COMMANDS = {
    "experiment": Command(ask_experiment, _experiment_from_options, _add_experiment_options),
    "compare": Command(
        ask_compare,
        lambda lab, options: compare(lab, _runs_given(options)),
        lambda parser: add_run_options(parser, "none: name two, or a range as 4-10"),
    ),
    "speed": Command(partial(time_one_epoch, from_menu=True), lambda lab, options: time_one_epoch(lab)),
}

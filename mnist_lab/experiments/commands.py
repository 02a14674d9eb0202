"""The rows of the menu that compare: experiments, saved runs side by side, and what makes training fast."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryFile

from rich.text import Text

from mnist_lab.config import MOST_EPOCHS, check_whole
from mnist_lab.data.mnist import load_mnist, split_fingerprint
from mnist_lab.environment import asked_device
from mnist_lab.errors import RequestError
from mnist_lab.experiments.questions import (
    EXPERIMENTS,
    MOST_SEEDS,
    SEEDS,
    Experiment,
    Variant,
    checked_variants,
    differences,
    factors_between,
    find_experiment,
)
from mnist_lab.experiments.speed import QUESTION, ask_speed, speed_from_options, time_one_epoch
from mnist_lab.experiments.statistics import MOST_POINTS
from mnist_lab.experiments.study import differences_table, study_comparison, study_experiment, tell_study
from mnist_lab.experiments.trainings import Pool, Task, cluster, plan
from mnist_lab.networks.commands import compute_for
from mnist_lab.networks.compute import MOST_JOBS, default_jobs
from mnist_lab.plotting import counted
from mnist_lab.report.document import Table
from mnist_lab.storage import storage_errors
from mnist_lab.terminal import wording
from mnist_lab.terminal.console import BackToMenu, Choice, ManyDisplay, RunProgress
from mnist_lab.terminal.lab import FAILED, INTERRUPTED, OK, Command, Lab, graceful_interrupts, refuse_given
from mnist_lab.terminal.wording import format_about, format_duration, format_percent, plain
from mnist_lab.training.folder_commands import named_run, show_notes
from mnist_lab.training.page import letterer
from mnist_lab.training.runs import (
    JUDGED,
    Recipe,
    Run,
    command_line,
    find_run,
    list_runs,
    name_some,
    read_run,
    recipes_of,
)

RUNS_OFFERED = 12  # the newest runs that the menu offers for comparing


@dataclass(frozen=True)
class Request:
    """What the user wants done."""

    experiment: Experiment
    epochs: int
    seeds: int = SEEDS
    jobs: int | None = None  # trainings at once; None for as many as are fastest here
    dask: str | None = None  # a scheduler's address, to train on its workers; None for this machine
    prediction: str = ""  # what the learner expects; empty for nothing

    @property
    def command(self) -> str:
        """The words that repeat it."""
        options = {"jobs": self.jobs, "dask": self.dask, "device": asked_device(), "predict": self.prediction or None}
        words = ["experiment", self.experiment.name, "--seeds", str(self.seeds), "--epochs", str(self.epochs)]
        for name, value in options.items():
            if value is not None:
                words += [f"--{name}", str(value)]
        return shlex.join(words)

    def check(self) -> None:
        """Refuse numbers that make no sense."""
        check_whole("--epochs", self.epochs, 1, MOST_EPOCHS)
        check_whole("--seeds", self.seeds, 1, MOST_SEEDS)
        if self.jobs is not None:
            check_whole("--jobs", self.jobs, 1, MOST_JOBS)
        if self.jobs is not None and self.dask is not None:
            raise RequestError("--jobs is for this machine; a cluster trains one on each of its workers", "omit --jobs")


# --- experiments: the menu ---------------------------------------------------------------------------------------


def ask_experiment(lab: Lab) -> int:
    """The menu's way to an experiment: which, how thorough, and what the learner expects."""
    terminal = lab.terminal
    choices = [Choice(name, experiment.question) for name, experiment in EXPERIMENTS.items()]
    word = terminal.choose("Which question", [*choices, Choice("speed", QUESTION)], default="depth")
    if word == "speed":
        return ask_speed(lab)
    chosen = find_experiment(word)
    terminal.hint(f"{chosen.explanation} More seeds and more epochs make it surer, and slower.")
    networks = (
        Choice("new", "trained for it, several seeds of each: what may be concluded from"),
        Choice("saved", "runs of yours, at once"),
    )
    if chosen.asks_only and _finished_runs(lab) and terminal.choose("With which networks", networks, "new") == "saved":
        names = _ask_runs(lab, default="1")
        return experiment_on_saved(lab, chosen, names, from_menu=True)
    seeds = terminal.ask_whole("Seeds (trainings of every variant)", SEEDS, 1, MOST_SEEDS)
    epochs = terminal.ask_whole("Epochs of every training", chosen.epochs, 1, MOST_EPOCHS)
    return experiment(lab, Request(chosen, epochs, seeds), from_menu=True)


def _ask_prediction(lab: Lab, chosen: Experiment) -> str:
    """Which variant wins, and by how much, as :func:`mnist_lab.experiments.statistics.parse_prediction` takes it."""
    terminal = lab.terminal
    expected = [f"{x} {sign} {y}" for a, b in chosen.pairs for x, sign, y in ((b, ">", a), (a, ">", b), (b, "=", a))]
    if not expected:
        return ""
    terminal.hint("What do you expect? It is shown beside the result, and graded. >: more accurate; =: no difference")
    choices = [Choice("none", "no prediction"), *map(Choice, expected)]
    word = terminal.choose("Prediction", choices, default="none")
    if word == "none" or ">" not in word:
        return "" if word == "none" else word

    def lead(answer: str) -> str:
        try:
            points = float(answer) if answer else None
        except ValueError:
            raise ValueError(f"{answer!r} is not a number") from None
        if points is not None and not 0 < points <= MOST_POINTS:
            raise ValueError(f"a lead is more than 0 and at most {MOST_POINTS} percentage points")
        return word if points is None else f"{word} by {points:g}"

    return terminal.ask("By how many percentage points (Enter: no number)", "", lead)


# --- experiments: what to do -------------------------------------------------------------------------------------


def experiment(lab: Lab, request: Request, *, from_menu: bool = False) -> int:
    """Put a question to the networks: train what is missing, compare, and leave a folder with a report."""
    with _prepared(lab, request) as ready:
        if not ready.is_controlled:
            try:
                if not lab.terminal.ask_yes_no("Go on all the same", default=False):
                    return OK
            except (EOFError, BackToMenu):  # where nobody can answer, the answer is no
                return OK
        if from_menu:
            request = replace(request, prediction=_ask_prediction(lab, request.experiment))
            if not lab.terminal.ask_yes_no("Start", default=True):
                return OK
        return _conduct(lab, request, ready, offer_page=from_menu)


def experiment_on_saved(
    lab: Lab, chosen: Experiment, names: Sequence[str], prediction: str = "", *, from_menu: bool = False
) -> int:
    """Put a question to saved runs instead of training for it; those that differ in their seeds only go together."""
    if not chosen.asks_only:
        possible = [name for name, other in EXPERIMENTS.items() if other.asks_only]
        raise RequestError(f"--run is not for the experiment {chosen.name}", f"it is for {' and '.join(possible)}")
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
    compute_for(lab)
    with lab.terminal.busy("comparing, and drawing the figures"):
        by_recipe = {recipe.name: recipe.runs for recipe in recipes}
        study = study_experiment(
            asked, by_recipe, lab.outputs, lab.now(), command=shlex.join(words), prediction=prediction, all_known=True
        )
    tell_study(lab, study, offer_page=from_menu)
    return OK


@dataclass(frozen=True)
class _Prepared:
    """An experiment, looked at before it starts."""

    variants: tuple[Variant, ...]
    tasks: list[Task]
    missing: list[Task]  # those that no finished run answers yet
    pool: Pool
    seconds: float | None  # that the missing trainings will take
    is_controlled: bool  # the pairs differ in one factor each


@contextmanager
def _prepared(lab: Lab, request: Request) -> Iterator[_Prepared]:
    """See what is there, and say what will be trained and how long that takes; what it needs is gone in the end."""
    request.check()
    chosen, terminal = request.experiment, lab.terminal
    variants = checked_variants(chosen, request.epochs)
    with storage_errors(lab.outputs):  # a folder that nothing can be kept in is refused before anything is trained
        lab.outputs.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=lab.outputs):
            pass
    compute_for(lab)
    with terminal.busy("looking for finished trainings"):
        tasks = plan(variants, request.seeds, lab.outputs, split_fingerprint(load_mnist().validation))
    missing = [task for task in tasks if task.run is None]
    terminal.show("", f"[title]{plain(chosen.question)}[/title]")
    terminal.hint(f"what differs: {chosen.factor}; variants: {', '.join(variant.name for variant in variants)}")
    terminal.hint(f"each is trained with {counted(request.seeds, 'seed')}, for {wording.count_epochs(request.epochs)}")
    is_controlled = _warn_of_factors(lab, chosen.pairs, variants)
    if request.seeds == 1:
        terminal.warn("with one seed no interval can be given: a difference may be chance")
    if done := len(tasks) - len(missing):
        are = "is there already and is" if done == 1 else "are there already and are"
        terminal.hint(f"{done} of the {len(tasks)} trainings {are} used again")
    on_cluster = cluster(request.dask, len(tasks)) if request.dask is not None and missing else None
    with on_cluster or Pool(min(request.jobs or default_jobs(), len(tasks)), len(tasks)) as pool:
        seconds = _announce(lab, request, pool, missing) if missing else None
        yield _Prepared(variants, tasks, missing, pool, seconds, is_controlled)


def _announce(lab: Lab, request: Request, pool: Pool, missing: Sequence[Task]) -> float | None:
    """Say how many trainings there are to do, where, and how long that takes; returns the seconds."""
    count = len(missing)
    with lab.terminal.busy("timing a few batches, as many trainings at once as there will be"):
        seconds = pool.estimate(missing)
    if request.dask is not None:
        how = f" on {pool.at_once} Dask {'worker' if pool.at_once == 1 else 'workers'}"
    else:
        how = f", {pool.at_once} at a time" if pool.at_once > 1 and count > 1 else ""
    about = "time unknown" if seconds is None else format_about(seconds)
    lab.terminal.line(f"{count} {'training' if count == 1 else 'trainings'} to do{how}: {about}")
    if pool.advice:
        lab.terminal.warn(pool.advice)
    return seconds


def _warn_of_factors(lab: Lab, pairs: Sequence[tuple[str, str]], variants: Sequence[Variant]) -> bool:
    """Warn if a pair differs in more than one factor; whether none does."""
    factors = factors_between(pairs, variants)
    if factors:
        several = ", ".join(factors)
        lab.terminal.warn(f"more than one factor differs ({several}): whatever comes out may be due to any of them")
    return not factors


def _conduct(lab: Lab, request: Request, ready: _Prepared, *, offer_page: bool) -> int:
    """Train what is missing, then compare."""
    runs, failures = _train_missing(lab, ready)
    for failure in failures:
        lab.terminal.warn(failure)
    if len(runs) + len(failures) < len(ready.tasks):
        lab.terminal.warn(
            f"stopped; {len(runs)} of {len(ready.tasks)} trainings are finished and kept; "
            f"go on with: {command_line(request.command, lab.outputs)}"
        )
        return INTERRUPTED
    if not runs:
        raise RequestError("no training of the experiment came to its end", "see the lines above")
    by_variant: dict[str, dict[int, Run]] = {variant.name: {} for variant in ready.variants}
    for task in ready.tasks:
        if task.number in runs:
            by_variant[task.variant][task.config.seed] = runs[task.number]
    compute_for(lab)
    with lab.terminal.busy("comparing, and drawing the figures"):
        study = study_experiment(
            request.experiment, by_variant, lab.outputs, lab.now(), command=request.command, epochs=request.epochs,
            prediction=request.prediction, failures=failures, all_known=not ready.missing,
        )  # fmt: skip
    tell_study(lab, study, offer_page=offer_page)
    return FAILED if failures else OK


def _train_missing(lab: Lab, ready: _Prepared) -> tuple[dict[int, Run], list[str]]:
    """Train what no finished run answers yet, until it is done or the user stops it.

    Returns:
        The runs by the number of their task, and a sentence for each failure.
    """
    runs = {task.number: task.run for task in ready.tasks if task.run is not None}
    names = {task.number: f"{task.variant}, seed {task.config.seed}" for task in ready.tasks}
    waiting = {task.number: task for task in ready.missing}
    failures: list[str] = []
    if not waiting:
        return runs, failures

    def stop() -> None:
        ready.pool.stop()
        lab.terminal.warn("Ctrl-C: ending after the current batches ... (a second one ends at once)")

    def under_way() -> list[RunProgress]:
        reports = ((number, ready.pool.progress_of(task)) for number, task in list(waiting.items()))
        return [RunProgress(names[number], *report) for number, report in reports if report is not None]

    lab.terminal.hint("Ctrl-C stops after the current batches and keeps what is finished.")
    with (
        suppress(KeyboardInterrupt),
        graceful_interrupts(stop),
        ManyDisplay(lab.terminal.console, len(waiting), under_way, ready.seconds) as display,
        closing(ready.pool.train(ready.missing, lab.outputs)) as results,
    ):
        for finished in results:
            waiting.pop(finished.number, None)
            name = names[finished.number]
            if finished.folder is not None:
                runs[finished.number] = run = read_run(finished.folder)
                accuracies = f"validation {format_percent(run.val_accuracy)}, test {format_percent(run.test_accuracy)}"
                display.end(f"{plain(name)}: {accuracies}, {format_duration(run.train_seconds)}")
            elif finished.failure is not None:
                failures.append(f"{name} failed: {finished.failure}")
                display.end(f"{plain(name)}: [error]failed[/error]")
    return runs, failures


# --- saved runs side by side -------------------------------------------------------------------------------------


def ask_compare(lab: Lab) -> int:
    """The menu's way to compare saved runs."""
    if len(_finished_runs(lab)) < 2:
        lab.terminal.hint(f"There are fewer than two finished runs in {lab.outputs}: train some first.")
        return OK
    return compare(lab, _ask_runs(lab, default="1 2", least=2), from_menu=True)


def _finished_runs(lab: Lab) -> list[Run]:
    """The saved runs that have been evaluated, the newest first."""
    return [run for run in reversed(list_runs(lab.outputs)[0]) if run.status in JUDGED]


def _ask_runs(lab: Lab, default: str, least: int = 1) -> list[str]:
    """Show the newest runs with numbers, and ask for some: by number, name, or part of a name."""
    newest = _finished_runs(lab)[:RUNS_OFFERED]
    model = letterer(newest, lambda run: wording.describe_recipe(run.model, augmented=run.augment))
    rows = [
        (Text(str(n), "key"), run.name, model(run), str(run.seed), format_percent(run.test_accuracy))
        for n, run in enumerate(newest, start=1)
    ]
    lab.terminal.show(Table("", ("", "run", "model", "seed", "test"), rows, numeric=(3, 4)).on_screen())
    show_notes(lab.terminal, newest)

    def named(answer: str) -> list[str]:
        numbers = {str(number): run.name for number, run in enumerate(newest, start=1)}
        names = [numbers.get(word) or named_run(lab, word) for word in answer.replace(",", " ").split()]
        if (found := len(set(names))) < least:
            raise ValueError(f"that names {found} of at least {least} different runs; give more numbers or names")
        return names

    return lab.terminal.ask("Which runs (numbers, the first is compared with the others)", default, named)


def compare(lab: Lab, names: Sequence[str], *, from_menu: bool = False) -> int:
    """Compare saved runs on the same test digits, the first with each of the others, and leave a folder with a report.

    From the menu it asks before runs are compared that differ in more than one factor, and about the report.

    Raises:
        RequestError: there are fewer than two, or they were made on different splits.
        RunError, CheckpointError: a run is missing, unfinished or damaged.
    """
    recipes = recipes_of(_comparable_runs(lab, names))
    if sum(len(recipe.runs) for recipe in recipes) < 2:
        raise RequestError("fewer than two different trainings are named", "name two or more: compare RUN RUN")
    found, is_controlled = _show_recipes(lab, recipes)
    if from_menu and not is_controlled and not lab.terminal.ask_yes_no("Compare all the same", default=True):
        return OK
    compute_for(lab)
    with lab.terminal.busy("asking the networks about the test digits"):
        study = study_comparison(recipes, found, lab.outputs, lab.now())
    tell_study(lab, study, offer_page=from_menu)
    return OK


def _show_recipes(lab: Lab, recipes: Sequence[Recipe]) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Show what some recipes differ in, and warn if it is more than one factor.

    Returns:
        The differences, and whether the first recipe differs from each of the others in one factor at most.
    """
    found = differences([recipe.config for recipe in recipes])
    table = differences_table(recipes, found).on_screen()
    for column in table.columns[1:]:  # augmentations are long
        column.no_wrap, column.overflow = False, "fold"
    lab.terminal.show("", table)
    if found:  # the names alone do not tell which run is which
        for recipe in recipes:
            lab.terminal.hint(f"{recipe.name}: {name_some([run.folder for run in recipe.runs.values()])}")
    pairs = [(recipes[0].name, recipe.name) for recipe in recipes[1:]]
    return found, _warn_of_factors(lab, pairs, [Variant(recipe.name, recipe.config) for recipe in recipes])


def _comparable_runs(lab: Lab, names: Sequence[str]) -> list[Run]:
    """Runs by their names, each once, in the order given; all finished, and made on the same split."""
    runs = list({run.folder.resolve(): run for run in (find_run(lab.outputs, name) for name in names)}.values())
    if len(runs) < len(names):
        lab.terminal.hint("a run that is named more than once counts once")
    if not runs:
        raise RequestError("no run is named", "name one or more; python main.py runs lists them")
    for run in runs:
        if run.status not in JUDGED:
            found = f"the run {run.name} is not finished (status {run.status})"
            raise RequestError(found, "finish it, or name another")
    splits = {str(run.split_fingerprint) for run in runs}
    if len(splits) > 1:
        raise RequestError(
            f"the runs were made on different splits of the data ({', '.join(sorted(splits))})",
            "compare runs of the same split: train one of them anew",
        )
    return runs


# --- the command line --------------------------------------------------------------------------------------------


def _add_experiment_options(parser: ArgumentParser) -> None:
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
    parser.add_argument(
        "--predict", type=str.strip, metavar="TEXT",
        help='what you expect, to be graded: "3-layer > 2-layer by 0.3" (percentage points), "A > B" or "A = B"',
    )  # fmt: skip


def _experiment_from_options(lab: Lab, options: Namespace) -> int:
    if options.name == "speed":
        refuse_given(options, ["seeds", "jobs", "dask", "run", "predict"], "the experiment speed")
        return speed_from_options(lab, options)
    chosen = find_experiment(options.name)
    refuse_given(options, ["no_target", "train_size"], f"the experiment {chosen.name}")
    prediction = options.predict or ""
    if options.run is not None:
        refuse_given(options, ["seeds", "epochs", "jobs", "dask"], "--run, which trains nothing")
        return experiment_on_saved(lab, chosen, options.run, prediction)
    epochs = chosen.epochs if options.epochs is None else options.epochs
    seeds = SEEDS if options.seeds is None else options.seeds
    return experiment(lab, Request(chosen, epochs, seeds, options.jobs, options.dask, prediction))


def _add_compare_options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders, or parts of their names; latest, best")


COMMANDS = {
    "experiment": Command(ask_experiment, _experiment_from_options, _add_experiment_options),
    "compare": Command(ask_compare, lambda lab, options: compare(lab, options.runs), _add_compare_options),
    "speed": Command(time_one_epoch, lambda lab, options: time_one_epoch(lab)),
}

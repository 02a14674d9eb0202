"""The row of the menu that puts saved runs side by side."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from rich.table import Table

from mnist_lab.errors import RequestError
from mnist_lab.experiments.comparison_results import report_comparison
from mnist_lab.experiments.questions import Difference, Variant, differences, factors_between
from mnist_lab.networks.commands import compute_for
from mnist_lab.terminal.console import borderless
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import describe_recipe, format_percent, plain
from mnist_lab.training.folder_commands import named_run, show_notes, tell_result
from mnist_lab.training.recipes import Recipe, recipes_of
from mnist_lab.training.runs import JUDGED, Run, find_run, list_runs, name_some
from mnist_lab.training.tables import letterer

RUNS_OFFERED = 12
"""The newest runs that the menu offers for comparing."""


def ask_compare(lab: Lab) -> int:
    """The menu's way to compare saved runs."""
    if len(judged_runs(lab)) < 2:
        lab.terminal.hint(f"There are fewer than two finished runs in {lab.outputs}: train some first.")
        return OK
    names = ask_runs(lab, "Which runs (numbers, the first is compared with the others)", default="1 2", least=2)
    return compare(lab, names, from_menu=True)


def judged_runs(lab: Lab) -> list[Run]:
    """The saved runs that have been judged, the newest first."""
    return [run for run in reversed(list_runs(lab.outputs)[0]) if run.status in JUDGED]


def ask_runs(lab: Lab, question: str, default: str, least: int = 1) -> list[str]:
    """Show the newest judged runs with numbers, and ask for some: by number, name, or part of a name.

    Args:
        lab: where to look, and where to ask.
        question: what for.
        default: the answer that Enter stands for.
        least: how many different runs it takes.
    """
    newest = judged_runs(lab)[:RUNS_OFFERED]
    table = borderless("", left=("", "run", "model"), right=("seed", "test"))
    model = letterer(newest, lambda run: describe_recipe(run.model, augmented=run.augmented))
    for number, run in enumerate(newest, start=1):
        accuracy = format_percent(run.test_accuracy)
        table.add_row(f"[key]{number}[/key]", plain(run.name), model(run), str(run.seed), accuracy)
    lab.terminal.show(table)
    show_notes(lab.terminal, newest)

    def named(answer: str) -> list[str]:
        words = answer.replace(",", " ").split()
        names = [newest[int(word) - 1].name if is_number_of(word, newest) else named_run(lab, word) for word in words]
        if len(set(names)) < least:
            raise ValueError(
                f"that names {len(set(names))} of at least {least} different runs; give more numbers or names"
            )
        return names

    return lab.terminal.ask(question, default, named)


def is_number_of(word: str, listed: Sequence[Run]) -> bool:
    """Whether a word is the number of a row in a list."""
    return word.isdecimal() and 1 <= int(word) <= len(listed)


def compare(lab: Lab, names: Sequence[str], *, from_menu: bool = False) -> int:
    """Compare saved runs on the same test digits, and leave a folder with a report.

    Args:
        lab: where to look, and where to show.
        names: of two runs or more; the first is compared with each of the others.
        from_menu: whether to ask before runs are compared that differ in more than one factor, and about the report.

    Raises:
        RequestError: there are fewer than two, or they were made on different splits.
        RunError, CheckpointError: a run is missing, unfinished or damaged.
    """
    recipes = recipes_of(comparable_runs(lab, names))
    if sum(len(recipe.runs) for recipe in recipes) < 2:
        raise RequestError("fewer than two different trainings are named", "name two or more: compare RUN RUN")
    found = show_recipes(lab, recipes)
    hesitates = from_menu and several_factors(recipes)
    if hesitates and not lab.terminal.ask_yes_no("Compare all the same", default=True):
        return OK
    compute_for(lab)
    with lab.terminal.busy("asking the networks about the test digits"):
        folder, lines, results = report_comparison(recipes, found, lab.outputs, lab.now())
    lab.terminal.show("", results, "")
    tell_result(lab, folder, lines, offer_page=from_menu)
    return OK


def show_recipes(lab: Lab, recipes: Sequence[Recipe]) -> list[Difference]:
    """Show what some recipes differ in, and warn if it is more than one factor; returns the differences."""
    found = differences([recipe.config for recipe in recipes])
    lab.terminal.show("", recipes_table(recipes, found))
    if found:  # the names alone do not tell which run is which
        for recipe in recipes:
            lab.terminal.hint(f"{recipe.name}: {name_some([run.folder for run in recipe.runs.values()])}")
    if factors := several_factors(recipes):
        lab.terminal.warn(
            f"more than one factor differs ({', '.join(factors)}): whatever comes out may be due to any of them"
        )
    return found


def several_factors(recipes: Sequence[Recipe]) -> list[str]:
    """The factors that the first recipe and some other one differ in, if these are more than one."""
    pairs = [(recipes[0].name, recipe.name) for recipe in recipes[1:]]
    return factors_between(pairs, [Variant(recipe.name, recipe.config) for recipe in recipes])


def recipes_table(recipes: Sequence[Recipe], found: Sequence[Difference]) -> Table:
    """The recipes with their seeds, and the factors that tell them apart."""
    table = borderless("What is compared", left=("recipe",))
    table.add_column("seeds")
    for difference in found:
        table.add_column(difference.factor, overflow="fold")
    for place, recipe in enumerate(recipes):
        values = (plain(difference.values[place]) for difference in found)
        table.add_row(plain(recipe.name), ", ".join(map(str, recipe.runs)), *values)
    return table


def comparable_runs(lab: Lab, names: Sequence[str]) -> list[Run]:
    """Runs by their names, each once, in the order given.

    Raises:
        RequestError: none is named, one is not finished, or they were made on different splits.
        RunError: one is missing or damaged.
    """
    runs = list({run.folder.resolve(): run for run in (find_run(lab.outputs, name) for name in names)}.values())
    if len(runs) < len(names):
        lab.terminal.hint("a run that is named more than once counts once")
    if not runs:
        raise RequestError("no run is named", "name one or more; python main.py runs lists them")
    for run in runs:
        if run.status not in JUDGED:
            raise RequestError(
                f"the run {run.name} is not finished (status {run.status})", "finish it, or name another"
            )
    splits = {str(run.split_fingerprint) for run in runs}
    if len(splits) > 1:
        raise RequestError(
            f"the runs were made on different splits of the data ({', '.join(sorted(splits))})",
            "compare runs of the same split: train one of them anew",
        )
    return runs


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders, or parts of their names; latest, best")


COMMANDS = {"compare": Command(ask_compare, lambda lab, options: compare(lab, options.runs), _add_options)}

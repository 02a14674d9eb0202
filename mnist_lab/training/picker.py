"""How a run is asked for: one picker for every question of the menu, and the same names on every command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rich.text import Text

from mnist_lab.errors import RequestError
from mnist_lab.report.document import Table
from mnist_lab.terminal import wording
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.wording import format_percent
from mnist_lab.training.page import recipe_notes, with_recipe_letter
from mnist_lab.training.runs import find_run, list_runs

_NAMES = "latest, best (validation accuracy), or words that only its name has"


def add_run_options(parser: ArgumentParser, default: str, *, positional: bool = True) -> None:
    """The ways to name runs: by position, where no file stands there, and by --run; read with the two below."""
    if positional:
        parser.add_argument("runs", nargs="*", metavar="RUN", help=f"{_NAMES} (default: {default})")
    about = "the same" if positional else f"{_NAMES} (default: {default})"
    parser.add_argument("--run", action="append", default=[], dest="more_runs", metavar="RUN", help=about)


def runs_named(options: Namespace, default: str) -> list[str]:
    """The names of the runs that a command line gives, or the default one."""
    return [*getattr(options, "runs", []), *options.more_runs] or [default]


def run_named(options: Namespace, default: str) -> str:
    """The same for a command that takes one run; several words by position are one name."""
    names: list[str] = [" ".join(getattr(options, "runs", [])), *options.more_runs]
    names = [name for name in names if name] or [default]
    if len(names) > 1:
        raise RequestError(f"{len(names)} runs are named ({', '.join(names)})", "name one")
    return names[0]


def ask_run(lab: Lab, question: str, default: str = "latest") -> str:
    """Ask for one evaluated run; returns its name. ``RunError`` where there is none."""
    return _ask(lab, question, default)[0]


def ask_runs(lab: Lab, question: str, default: str) -> list[str]:
    """Ask for one or several evaluated runs; returns their names. ``RunError`` where there is none."""
    return _ask(lab, question, default)


def _ask(lab: Lab, question: str, default: str) -> list[str]:
    find_run(lab.outputs, "latest")  # refuses at once where there is none
    newest = [run for run in reversed(list_runs(lab.outputs)[0]) if run.is_evaluated][:12]
    model = with_recipe_letter(newest, lambda run: wording.describe_recipe(run.model, augmented=run.augment))
    rows = [
        (Text(str(n), "key"), run.name, model(run), str(run.seed), format_percent(run.test_accuracy))
        for n, run in enumerate(newest, start=1)
    ]
    lab.terminal.show(Table("", ("", "run", "model", "seed", "test"), rows, numeric=(3, 4)).on_screen())
    for letter, changes in recipe_notes(newest).items():
        lab.terminal.hint(f"{letter}: {changes}")
    numbers = {str(number): run.name for number, run in enumerate(newest, start=1)}

    def named(answer: str) -> list[str]:
        words = answer.replace(",", " ").split()
        return [numbers.get(word) or find_run(lab.outputs, word).name for word in words]

    return lab.terminal.ask(question, default, named)

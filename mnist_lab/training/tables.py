"""Tables of the terminal: data in, table out; whoever asked for it shows it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.table import Table

from mnist_lab.config import changed_options
from mnist_lab.errors import RequestError
from mnist_lab.report.document import inside, text
from mnist_lab.terminal.console import borderless
from mnist_lab.terminal.wording import (
    describe_augmentation,
    format_duration,
    format_interval,
    format_percent,
    letters,
    mean_and_spread,
    percent_number,
    plain,
)
from mnist_lab.training.recipes import by_recipe
from mnist_lab.training.runs import UNFINISHED, Run, is_being_trained

if TYPE_CHECKING:
    from mnist_lab.training.evaluation import Evaluation


class Mark(NamedTuple):
    """What one run made of the user's digits."""

    correct: int
    total: int  # labelled drawings; those without ink count as missed


def results_table(validation: Evaluation, test: Evaluation) -> Table:
    """Both accuracies, their intervals, and the counts behind them."""
    table = borderless("", left=("",), right=("accuracy", "95 % interval", "right"))
    table.add_row("validation", *accuracy_cells(validation))
    table.add_row("test", *accuracy_cells(test))
    return table


def evaluation_table(run: Run, validation: Evaluation, test: Evaluation) -> Table:
    """The same beside what was saved with the run."""
    table = borderless(run.name, left=("",), right=("accuracy", "95 % interval", "right", "when saved"))
    table.add_row("validation", *accuracy_cells(validation), format_percent(run.val_accuracy))
    table.add_row("test", *accuracy_cells(test), format_percent(run.test_accuracy))
    return table


def recipe_table(runs: Sequence[Run], marks: Mapping[str, Mark | None]) -> Table:
    """Finished runs with equal configurations taken together, whatever their seeds: number, mean and spread.

    Args:
        runs: those that are finished.
        marks: what they made of the user's own digits, by name; a column only if there are any.
    """
    recipe = letterer(runs, lambda run: str(saved_config(run).get("recipe", "–")))
    right = ("epochs", "n", "validation %", "test %", *(("my %",) if marks else ()), "time")
    table = borderless("Runs that differ in their seed only", left=("model", "aug", "recipe"), right=right, gap=1)
    for by_seed in by_recipe(sorted(runs, key=recipe_order)):
        first, *_ = members = list(by_seed.values())
        table.add_row(
            plain(first.model),
            "yes" if first.augmented else "no",
            recipe(first),
            str(epochs_asked(first)),
            str(len(members)),
            mean_and_spread([run.val_accuracy or 0.0 for run in members]),
            mean_and_spread([run.test_accuracy or 0.0 for run in members]),
            *([mean_mark([marks.get(run.name) for run in members])] if marks else []),
            format_duration(statistics.mean(run.train_seconds or 0.0 for run in members)),
        )
    return table


def recipe_order(run: Run) -> tuple[str, bool, int]:
    """Where a run stands in a table of recipes."""
    return run.model, run.augmented, epochs_asked(run)


def recipe_notes(runs: Sequence[Run]) -> dict[str, str]:
    """For the recipes that differ from the usual ones a letter each, and the options that they differ by."""
    found = dict.fromkeys(changes_of(run) for run in sorted(runs, key=recipe_order))
    changed = [changes for changes in found if changes]
    return {letters(place): changes for place, changes in enumerate(changed)}


def changes_of(run: Run) -> str:
    """The options by which a run differs from its usual recipe; empty if by none, or if nobody knows."""
    try:
        config = run.config
    except RequestError:
        return ""
    # An augmentation with nothing left in it is named as well: the tables call such a run augmented.
    return " ".join(changed_options(replace(config.canonical, augment=config.augment)))


def per_digit_table(evaluation: Evaluation, title: str = "Test digits") -> Table:
    """Precision, recall and F1 of every digit."""
    table = borderless(title, right=("digit", "precision", "recall", "F1", "digits", "missed"))
    for scores in evaluation.classes:
        if not scores.support:
            continue
        missed = scores.support - int(evaluation.confusion[scores.digit, scores.digit])
        cells = (format_percent(value) for value in (scores.precision, scores.recall, scores.f1))
        table.add_row(str(scores.digit), *cells, f"{scores.support:,}", str(missed))
    return table


def leaderboard(shown: Sequence[Run], sort: str, marks: Mapping[str, Mark | None], *, wide: bool) -> Table:
    """The table of runs; a narrow terminal shows less, of a run's name the part that tells when it began.

    An asterisk at the epochs marks an interrupted run, a letter at the model one of :func:`recipe_notes`.

    Args:
        shown: a row each.
        sort: what they are sorted by.
        marks: what the judged ones made of the user's own digits, by name; a column only if there are any.
        wide: whether there is more room than 80 columns.
    """
    left: dict[str, Callable[[Run], str]] = {
        "run" if wide else "date": lambda run: plain(run.name if wide else run.name[5:19]),
        "model": letterer(shown, lambda run: run.model),
        "aug": lambda run: "yes" if run.augmented else "no",
    }
    right: dict[str, Callable[[Run], str]] = {
        "seed": lambda run: str(run.seed),
        "ep": lambda run: f"{run.epochs_run}*" if run.status == "interrupted" else str(run.epochs_run),
        "val %": lambda run: percent_number(run.val_accuracy),
        "test %": lambda run: status_of(run) if run.test_accuracy is None else percent_number(run.test_accuracy),
        "95 % interval": lambda run: "–".join(percent_number(end) for end in run.test_interval or (None, None)),
        "my digits": lambda run: mark_cell(marks[run.name]) if run.name in marks else "",
        "params": lambda run: f"{run.parameters / 1000:,.0f} k",
        "time": lambda run: format_duration(run.train_seconds),
    }
    for heading in left_out(sort, has_marks=bool(marks), wide=wide):
        del right[heading]
    title = f"Runs, by {sort}{'; my digits: your own drawings, read rightly' if marks else ''}"
    table = borderless(title, left=tuple(left), right=tuple(right), gap=1)
    for run in shown:
        table.add_row(*(cell(run) for cell in (left | right).values()))
    return table


def left_out(sort: str, *, has_marks: bool, wide: bool) -> set[str]:
    """The columns of the leaderboard that there is no room for, or nothing to show in."""
    if wide:
        return set() if has_marks else {"my digits"}
    out = {"95 % interval"} if sort == "parameters" else {"params"}
    return out | ({"95 % interval" if sort == "time" else "time"} if has_marks else {"my digits"})


def letterer(runs: Sequence[Run], cell: Callable[[Run], str]) -> Callable[[Run], str]:
    """A cell's text, with the letter of its run's recipe where :func:`recipe_notes` has one."""
    letter_of = {changes: letter for letter, changes in recipe_notes(runs).items()}

    def lettered(run: Run) -> str:
        letter = letter_of.get(changes_of(run))
        return plain(cell(run)) if letter is None else f"{plain(cell(run))} [hint]{letter}[/hint]"

    return lettered


def mark_cell(mark: Mark | None) -> str:
    """How many were right; of a hundred and more in percent, which is narrower. A dash where nobody could tell."""
    if mark is None:
        return "–"
    return f"{mark.correct} of {mark.total}" if mark.total < 100 else f"{100 * mark.correct / mark.total:.1f} %"


def mean_mark(marks: Sequence[Mark | None]) -> str:
    """The mean share of the user's digits that was right, in percent, over the runs that could be asked."""
    shares = [mark.correct / mark.total for mark in marks if mark is not None]
    return f"{100 * statistics.mean(shares):.1f}" if shares else "–"


def run_facts(run: Run) -> list[tuple[str, str]]:
    """What is worth knowing of a run, as label and value."""
    content = run.content
    status, how = status_of(run), content.get("failure") or content.get("stop_reason")
    ended = f"{status} ({how})" if how and how != status else status
    judged = run.test_accuracy is not None
    accuracy = f"{format_percent(run.test_accuracy)}, 95 % interval {format_interval(run.test_interval)}"
    return [
        ("trained", f"{run.created:%Y-%m-%d %H:%M:%S}, {ended}"),
        ("network", f"{run.model}, {run.parameters:,} parameters"),
        ("augmentation", described_strengths(run)),
        ("seed", str(run.seed)),
        ("epochs", f"{run.epochs_run}, best {content.get('best_epoch', '–')}"),
        ("validation", format_percent(run.val_accuracy)),
        ("test", accuracy if judged else "–"),
        ("time", format_duration(run.train_seconds)),
        ("device", str(content.get("device", "–"))),
        *(("resumed", words) for words in resumptions(run)),
        ("train it whole" if status == "interrupted" else "repeat with", str(content.get("command", "–"))),
        ("folder", str(run.folder)),
    ]


def described_strengths(run: Run) -> str:
    """Which augmentation a run was trained with; a damaged configuration costs the strengths only."""
    if not run.augmented:
        return "no"
    try:
        return describe_augmentation(run.config.augment)
    except RequestError:
        return "yes"


def status_of(run: Run) -> str:
    """A run's status; an unfinished run that nobody trains was stopped or killed, and can go on."""
    if run.status == UNFINISHED and not is_being_trained(run):
        return "stopped"
    return run.status


def epochs_asked(run: Run) -> int:
    """How many epochs a run was to have at most; it may have stopped earlier."""
    asked = saved_config(run).get("epochs")
    return asked if isinstance(asked, int) else run.epochs_run


def saved_config(run: Run) -> dict[str, object]:
    """The configuration in a run's run.json; nothing in it is relied upon."""
    config = run.content.get("config")
    return config if isinstance(config, dict) else {}


def accuracy_cells(evaluation: Evaluation) -> tuple[str, str, str]:
    """Accuracy, its interval, and the counts behind them."""
    return (
        format_percent(evaluation.accuracy),
        format_interval(evaluation.interval),
        f"{evaluation.correct:,} of {evaluation.total:,}",
    )


def describe_confused(evaluation: Evaluation) -> str:
    """The most frequent mistakes in one line."""
    pairs = evaluation.most_confused(3)
    return ", ".join(f"{pair.true} taken for {pair.predicted} ({pair.count}x)" for pair in pairs) or "none"


def resumptions(run: Run) -> list[str]:
    """When a run went on after it had been stopped, and what was no longer as at its start."""
    sessions = run.content.get("sessions")
    if not isinstance(sessions, list) or not sessions:
        return []
    first = place_of(sessions[0])
    told = []
    for session in sessions[1:]:
        started, epoch = (text(inside(session, name)) for name in ("started", "after_epoch"))
        changes = [
            f"{name} {value} (at first {first.get(name, '–')})"
            for name, value in place_of(session).items()
            if value != first.get(name)
        ]
        told.append("; ".join([f"{started[:19].replace('T', ' ')}, after epoch {epoch}", *changes]))
    return told


def place_of(session: Any) -> dict[str, str]:
    """What a session computed on and with, by name."""
    place = {"device": text(inside(session, "device"))}
    for part in ("machine", "versions"):
        values = inside(session, part)
        place |= {name: text(value) for name, value in values.items()} if isinstance(values, dict) else {}
    return place

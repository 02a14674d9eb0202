"""Tables of the terminal: data in, table out; whoever asked for it shows it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from mnist_lab.config import changed_options
from mnist_lab.errors import RequestError
from mnist_lab.report.document import Table, text
from mnist_lab.terminal.wording import (
    describe_augmentation,
    format_duration,
    format_interval,
    format_percent,
    letters,
    mean_and_spread,
    percent_number,
    printable,
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
    rows = [("validation", *_accuracy_cells(validation)), ("test", *_accuracy_cells(test))]
    return Table("", ("", "accuracy", "95 % interval", "correct"), rows, numeric=(1, 2, 3))


def evaluation_table(run: Run, validation: Evaluation, test: Evaluation) -> Table:
    """The same beside what was saved with the run."""
    table = results_table(validation, test)
    saved = (format_percent(run.val_accuracy), format_percent(run.test_accuracy))
    rows = [(*row, accuracy) for row, accuracy in zip(table.rows, saved, strict=True)]
    return Table(run.name, (*table.headings, "when saved"), rows, numeric=(1, 2, 3, 4))


def _accuracy_cells(evaluation: Evaluation) -> tuple[str, str, str]:
    correct = f"{evaluation.correct:,} of {evaluation.total:,}"
    return format_percent(evaluation.accuracy), format_interval(evaluation.interval), correct


def recipe_table(runs: Sequence[Run], marks: Mapping[str, Mark | None]) -> Table:
    """Finished runs with equal configurations taken together, whatever their seeds: number, mean and spread.

    Args:
        runs: those that are finished.
        marks: what they made of the user's own digits, by name; a column only if there are any.
    """
    recipe = letterer(runs, lambda run: str(run.saved_config.get("recipe", "–")))
    headings = ["model", "aug", "recipe", "epochs", "n", "validation %", "test %", *(["my %"] if marks else []), "time"]
    rows = []
    for by_seed in by_recipe(sorted(runs, key=_recipe_order)):
        first, *_ = members = list(by_seed.values())
        rows.append(
            [
                first.model,
                "yes" if first.augment else "no",
                recipe(first),
                str(_epochs_asked(first)),
                str(len(members)),
                mean_and_spread([run.val_accuracy or 0.0 for run in members]),
                mean_and_spread([run.test_accuracy or 0.0 for run in members]),
                *([_mean_mark([marks.get(run.name) for run in members])] if marks else []),
                format_duration(statistics.mean(run.train_seconds or 0.0 for run in members)),
            ]
        )
    return Table("Runs that differ in their seed only", headings, rows, numeric=range(3, len(headings)))


def _recipe_order(run: Run) -> tuple[str, bool, int]:
    return run.model, run.augment, _epochs_asked(run)


def recipe_notes(runs: Sequence[Run]) -> dict[str, str]:
    """For the recipes that differ from the usual ones a letter each, and the options that they differ by."""
    found = dict.fromkeys(_changes_of(run) for run in sorted(runs, key=_recipe_order))
    changed = [changes for changes in found if changes]
    return {letters(place): changes for place, changes in enumerate(changed)}


def _changes_of(run: Run) -> str:
    """The options by which a run differs from its usual recipe; empty if by none, or if nobody knows."""
    try:
        config = run.config
    except RequestError:
        return ""
    # An augmentation with nothing left in it is named as well: the tables call such a run augmented.
    return " ".join(changed_options(replace(config.canonical, augment=config.augment)))


def per_digit_table(evaluation: Evaluation, title: str = "Test digits") -> Table:
    """Precision, recall and F1 of every digit."""
    rows = []
    for scores in evaluation.classes:
        if scores.support:
            missed = scores.support - int(evaluation.confusion[scores.digit, scores.digit])
            cells = (format_percent(value) for value in (scores.precision, scores.recall, scores.f1))
            rows.append((str(scores.digit), *cells, f"{scores.support:,}", str(missed)))
    return Table(title, ("digit", "precision", "recall", "F1", "digits", "missed"), rows, numeric=range(6))


def leaderboard(shown: Sequence[Run], sort: str, marks: Mapping[str, Mark | None], *, wide: bool) -> Table:
    """The table of runs; a narrow terminal shows less, of a run's name the part that tells when it began.

    An asterisk at the epochs marks an interrupted run, a letter at the model one of :func:`recipe_notes`.

    Args:
        shown: a row each.
        sort: what they are sorted by.
        marks: what the evaluated ones made of the user's own digits, by name; a column only if there are any.
        wide: whether there is more room than 80 columns.
    """
    columns: dict[str, Callable[[Run], str | Text]] = {
        "run" if wide else "date": lambda run: run.name if wide else run.name[5:19],
        "model": letterer(shown, lambda run: run.model),
        "aug": lambda run: "yes" if run.augment else "no",
        "seed": lambda run: str(run.seed),
        "ep": lambda run: f"{run.epochs_run}*" if run.status == "interrupted" else str(run.epochs_run),
        "val %": lambda run: percent_number(run.val_accuracy),
        "test %": lambda run: status_of(run) if run.test_accuracy is None else percent_number(run.test_accuracy),
        "95 % interval": lambda run: "–".join(percent_number(end) for end in run.test_interval or (None, None)),
        "my digits": lambda run: _mark_cell(marks[run.name]) if run.name in marks else "",
        "params": lambda run: f"{run.parameters / 1000:,.0f} k",
        "time": lambda run: format_duration(run.train_seconds),
    }
    for heading in _left_out(sort, has_marks=bool(marks), wide=wide):
        del columns[heading]
    title = f"Runs, by {sort}{'; my digits: your own drawings, classified correctly' if marks else ''}"
    rows = [[cell(run) for cell in columns.values()] for run in shown]
    return Table(title, list(columns), rows, numeric=range(3, len(columns)))


def _left_out(sort: str, *, has_marks: bool, wide: bool) -> set[str]:
    """The columns of the leaderboard that there is no room for, or nothing to show in."""
    if wide:
        return set() if has_marks else {"my digits"}
    out = {"95 % interval"} if sort == "parameters" else {"params"}
    return out | ({"95 % interval" if sort == "time" else "time"} if has_marks else {"my digits"})


def letterer(runs: Sequence[Run], cell: Callable[[Run], str]) -> Callable[[Run], Text]:
    """A cell's text, with the letter of its run's recipe where :func:`recipe_notes` has one."""
    letter_of = {changes: letter for letter, changes in recipe_notes(runs).items()}

    def lettered(run: Run) -> Text:
        letter = letter_of.get(_changes_of(run))
        return Text.assemble(printable(cell(run)), *([] if letter is None else [(f" {letter}", "hint")]))

    return lettered


def _mark_cell(mark: Mark | None) -> str:
    """How many were right; of a hundred and more in percent, which is narrower. A dash where nobody could tell."""
    if mark is None:
        return "–"
    return f"{mark.correct} of {mark.total}" if mark.total < 100 else f"{100 * mark.correct / mark.total:.1f} %"


def _mean_mark(marks: Sequence[Mark | None]) -> str:
    """The mean share of the user's digits that was right, in percent, over the runs that could be asked."""
    shares = [mark.correct / mark.total for mark in marks if mark is not None]
    return f"{100 * statistics.mean(shares):.1f}" if shares else "–"


def run_facts(run: Run) -> list[tuple[str, str]]:
    """What is worth knowing of a run, as label and value."""
    status, how = status_of(run), run.failure or run.stop_reason
    accuracy = f"{format_percent(run.test_accuracy)}, 95 % interval {format_interval(run.test_interval)}"
    return [
        ("trained", f"{run.created:%Y-%m-%d %H:%M:%S}, {f'{status} ({how})' if how and how != status else status}"),
        ("network", f"{run.model}, {run.parameters:,} parameters"),
        ("augmentation", _described_strengths(run)),
        ("seed", str(run.seed)),
        ("epochs", f"{run.epochs_run}, best {run.best_epoch or '–'}"),
        ("validation", format_percent(run.val_accuracy)),
        ("test", accuracy if run.is_evaluated else "–"),
        ("time", format_duration(run.train_seconds)),
        ("device", run.device or "–"),
        *(("resumed", words) for words in resumptions(run)),
        ("train it whole" if status == "interrupted" else "repeat with", run.command or "–"),
        ("folder", str(run.folder)),
    ]


def _described_strengths(run: Run) -> str:
    """Which augmentation a run was trained with; a damaged configuration costs the strengths only."""
    if not run.augment:
        return "no"
    try:
        return describe_augmentation(run.config.augment)
    except RequestError:
        return "yes"


def status_of(run: Run) -> str:
    """A run's status; an unfinished run that nobody trains was stopped or killed, and can go on."""
    return "stopped" if run.status == UNFINISHED and not is_being_trained(run) else run.status


def _epochs_asked(run: Run) -> int:
    """How many epochs a run was to have at most; it may have stopped earlier."""
    asked = run.saved_config.get("epochs")
    return asked if isinstance(asked, int) else run.epochs_run


def describe_confused(evaluation: Evaluation) -> str:
    """The most frequent mistakes in one line."""
    pairs = evaluation.most_confused(3)
    return ", ".join(f"{pair.true} taken for {pair.predicted} ({pair.count}x)" for pair in pairs) or "none"


def resumptions(run: Run) -> list[str]:
    """When a run went on after it had been stopped, and what was no longer as at its start."""
    if not run.sessions:
        return []
    first, told = _place_of(run.sessions[0]), []
    for session in run.sessions[1:]:
        started, epoch = text(session.get("started")), text(session.get("after_epoch"))
        changes = [
            f"{name} {value} (at first {first.get(name, '–')})"
            for name, value in _place_of(session).items()
            if value != first.get(name)
        ]
        told.append("; ".join([f"{started[:19].replace('T', ' ')}, after epoch {epoch}", *changes]))
    return told


def _place_of(session: Mapping[str, Any]) -> dict[str, str]:
    """What a session computed on and with, by name."""
    place = {"device": text(session.get("device"))}
    for part in ("machine", "versions"):
        values = session.get(part)
        place |= {name: text(value) for name, value in values.items()} if isinstance(values, dict) else {}
    return place

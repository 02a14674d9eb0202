"""Tables of the terminal: data in, table out; whoever asked for it shows it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from mnist_lab.runs import UNFINISHED, Run, is_being_trained
from mnist_lab.wording import (
    accuracy_cells,
    describe_architecture,
    format_duration,
    format_interval,
    format_percent,
    mean_and_spread,
    percent_number,
    plain,
)

if TYPE_CHECKING:
    from mnist_lab.data import Digits
    from mnist_lab.evaluation import Evaluation
    from mnist_lab.models import LedgerRow
    from mnist_lab.speed import EpochTime


def borderless(title: str, *, left: Sequence[str] = (), right: Sequence[str] = (), gap: int = 2) -> Table:
    """An empty table without lines: first the columns that are aligned left, then those aligned right."""
    table = Table(title=title or None, title_justify="left", box=None, padding=(0, gap, 0, 0))
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def split_table(splits: Mapping[str, Digits]) -> Table:
    """How many of each digit every split holds."""
    table = borderless("How many of each digit", right=("digit", *splits))
    for digit, counts in enumerate(zip(*(digits.class_counts() for digits in splits.values()), strict=True)):
        table.add_row(str(digit), *(f"{count:,}" for count in counts))
    table.add_row("all", *(f"{len(digits):,}" for digits in splits.values()))
    return table


def ledger_table(name: str, rows: Sequence[LedgerRow]) -> Table:
    """A network's capacity ledger."""
    title = f"{name}: {describe_architecture(name)}"
    table = borderless(title, left=("layer",), right=("output", "parameters", "multiply-adds", "sees"))
    table.add_row("[hint]input[/hint]", "1 x 28 x 28", "", "", "1 x 1")
    for row in rows:
        shape = " x ".join(str(size) for size in row.output_shape)
        sees = f"{row.receptive_field} x {row.receptive_field}"
        table.add_row(row.layer, shape, blank_zero(row.parameters), blank_zero(row.multiply_adds), sees)
    parameters, multiply_adds = sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)
    table.add_row("[title]in all[/title]", "", f"{parameters:,}", f"{multiply_adds:,}", "")
    return table


def speed_table(title: str, times: Mapping[str, EpochTime]) -> Table:
    """Epochs side by side."""
    table = borderless(title, left=("",), right=("training", "judging", "in all", "images/s"))
    for name, taken in times.items():
        durations = (format_duration(seconds) for seconds in (taken.training, taken.judging, taken.total))
        table.add_row(name, *durations, f"{taken.images_per_second:,.0f}")
    return table


def results_table(validation: Evaluation, test: Evaluation) -> Table:
    """Both accuracies, their intervals, and the counts behind them."""
    table = borderless("", left=("",), right=("accuracy", "95 % interval", "right"))
    table.add_row("validation", *accuracy_cells(validation))
    table.add_row("test", *accuracy_cells(test))
    return table


def doubt_table(shares: Mapping[str, float]) -> Table:
    """How often pictures of each kind are called "probably no digit"."""
    table = borderless("Called probably no digit", left=("pictures",), right=("share",))
    for name, share in shares.items():
        table.add_row(name, f"{100 * share:.1f} %")
    return table


def evaluation_table(run: Run, validation: Evaluation, test: Evaluation) -> Table:
    """The same beside what was saved with the run."""
    table = borderless(plain(run.name), left=("",), right=("accuracy", "95 % interval", "right", "when saved"))
    table.add_row("validation", *accuracy_cells(validation), format_percent(run.val_accuracy))
    table.add_row("test", *accuracy_cells(test), format_percent(run.test_accuracy))
    return table


def recipe_table(runs: Sequence[Run]) -> Table:
    """Finished runs with equal configurations taken together, whatever their seeds: number, mean and spread."""
    groups: dict[str, dict[int, Run]] = {}
    for run in sorted(runs, key=lambda run: (run.model, run.augmented, epochs_asked(run))):
        same = {name: value for name, value in saved_config(run).items() if name != "seed"}
        # The same seed again is the same training again, and would make the spread look smaller than it is.
        groups.setdefault(json.dumps(same, sort_keys=True), {})[run.seed] = run
    title = "Runs that differ in their seed only"
    table = borderless(
        title, left=("model", "aug", "recipe"), right=("epochs", "n", "validation %", "test %", "time"), gap=1
    )
    for by_seed in groups.values():
        members = list(by_seed.values())
        first = members[0]
        table.add_row(
            plain(first.model),
            "yes" if first.augmented else "no",
            plain(str(saved_config(first).get("recipe", "–"))),
            str(epochs_asked(first)),
            str(len(members)),
            mean_and_spread([run.val_accuracy or 0.0 for run in members]),
            mean_and_spread([run.test_accuracy or 0.0 for run in members]),
            format_duration(statistics.mean(run.train_seconds or 0.0 for run in members)),
        )
    return table


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


def leaderboard(shown: Sequence[Run], sort: str, *, wide: bool) -> Table:
    """The table of runs; a narrow terminal shows the part of a run's name that tells when it began.

    An asterisk at the epochs marks an interrupted run.
    """
    left = ("run" if wide else "date", "model", "aug")
    right = ("ep", "val %", "test %", "95 % interval", "params", "time")
    table = borderless(f"Runs, by {sort}", left=left, right=right, gap=1)
    for run in shown:
        table.add_row(
            plain(run.name) if wide else run.name[5:19],
            plain(run.model),
            "yes" if run.augmented else "no",
            f"{run.epochs_run}*" if run.status == "interrupted" else str(run.epochs_run),
            percent_number(run.val_accuracy),
            percent_number(run.test_accuracy) if run.test_accuracy is not None else status_of(run),
            "–".join(percent_number(end) for end in run.test_interval or (None, None)),
            f"{run.parameters / 1000:,.0f} k",
            format_duration(run.train_seconds),
        )
    return table


def run_facts(run: Run) -> list[tuple[str, str]]:
    """What is worth knowing of a run, as label and value."""
    content = run.content
    how = content.get("failure") or content.get("stop_reason", "–")
    return [
        ("trained", f"{run.created:%Y-%m-%d %H:%M:%S}, {status_of(run)} ({how})"),
        ("network", f"{run.model}, {run.parameters:,} parameters"),
        ("augmentation", "yes" if run.augmented else "no"),
        ("epochs", f"{run.epochs_run}, best {content.get('best_epoch', '–')}"),
        ("validation", format_percent(run.val_accuracy)),
        ("test", f"{format_percent(run.test_accuracy)}, 95 % interval {format_interval(run.test_interval)}"),
        ("time", format_duration(run.train_seconds)),
        ("device", str(content.get("device", "–"))),
        ("repeat with", str(content.get("command", "–"))),
        ("folder", str(run.folder)),
    ]


def status_of(run: Run) -> str:
    """A run's status; an unfinished run that nobody trains was killed."""
    if run.status == UNFINISHED and not is_being_trained(run):
        return "killed"
    return run.status


def epochs_asked(run: Run) -> int:
    """How many epochs a run was to have at most; it may have stopped earlier."""
    asked = saved_config(run).get("epochs")
    return asked if isinstance(asked, int) else run.epochs_run


def saved_config(run: Run) -> dict[str, object]:
    """The configuration in a run's run.json; nothing in it is relied upon."""
    config = run.content.get("config")
    return config if isinstance(config, dict) else {}


def blank_zero(count: int) -> str:
    """A count, or nothing where there is none."""
    return f"{count:,}" if count else ""

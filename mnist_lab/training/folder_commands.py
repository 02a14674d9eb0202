"""The rows of the menu about what is in the output folder: lists of runs, one run, and pages; they never load torch."""

from __future__ import annotations

import csv
import os
import sys
import webbrowser
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.table import Table

from mnist_lab.config import check_whole
from mnist_lab.data import mnist_is_there
from mnist_lab.errors import RequestError, RunError, StorageError
from mnist_lab.report.document import PICTURE_FILES, REPORT_FILE, RESULTS_FILE, inside, number, write_report
from mnist_lab.report.index import SCORE_FILE, SUMMARY_FILE, folder_report, folders_of, is_outdated, write_index
from mnist_lab.storage import is_file, is_folder, reason
from mnist_lab.terminal.lab import OK, Command, Lab, add_json_option, refuse_given
from mnist_lab.terminal.wording import counted, plain
from mnist_lab.training import page
from mnist_lab.training import runs as saved
from mnist_lab.training.picker import SORT_KEYS, add_run_options, ask_run, marks_of, ranked, run_named, show_runs
from mnist_lab.training.runs import MY_DIGITS, RunRecord, find_run, list_runs

_MARKS = (saved.RUN_FILE, SUMMARY_FILE, RESULTS_FILE, SCORE_FILE)  # files that tell that a folder is the lab's


def head_line(lab: Lab) -> str:
    """What there is to work with: the data, and the saved runs."""
    folders = saved.run_folders(lab.outputs)
    stopped = 0
    for folder in folders:
        if not is_file(folder / SUMMARY_FILE):  # what has ended has one: reading every run would delay the menu
            with suppress(RunError):
                stopped += saved.status_of(saved.read_run(folder)) == saved.STOPPED
    data = "60,000 + 10,000 digits" if mnist_is_there() else "[warning]MNIST files missing[/warning]"
    resume = f"\n[warning]{counted(stopped, 'stopped run')}; to go on: resume[/warning]" if stopped else ""
    return f"[title]MNIST Lab[/title]  [hint]{data} · {counted(len(folders), 'saved run')}[/hint]{resume}"


def runs(lab: Lab, sort: str = "date", limit: int = 20) -> int:
    """The list of all saved runs, and the folders that are damaged."""
    found, damaged = _runs_of(lab)
    if not found and not damaged:
        command = saved.command_line("train --epochs 1", lab.outputs)
        lab.terminal.hint(f"There are no runs in {lab.outputs} yet. Train one: {command}")
        return OK
    if shown := ranked(found, sort)[:limit]:
        show_runs(lab, shown, counted(len(found), "run"), sort)
        lab.terminal.hint("name a run by its number, by words that only it has, latest or best")
    if len(found) > len(shown):
        lab.terminal.hint(f"{len(shown)} of {len(found):,} runs; see more with --limit {len(found)}")
    for what in damaged[:5]:
        lab.terminal.warn(what)
    if len(damaged) > 5:
        lab.terminal.warn(f"... and {len(damaged) - 5:,} more damaged folders")
    return OK


def _runs_of(lab: Lab) -> tuple[list[RunRecord], list[str]]:
    """All runs, the newest first, and what is wrong with damaged ones; ``RequestError`` if that is no folder."""
    try:
        next(lab.outputs.iterdir(), None)
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise RequestError(f"{lab.outputs} is no folder of runs: {reason(error)}", "name one with --outputs") from None
    found, damaged = list_runs(lab.outputs)
    return found[::-1], list(damaged.values())


_VALUES: dict[str, Callable[[RunRecord], Any]] = {
    "number": lambda run: run.number,
    "name": lambda run: run.name,
    "folder": lambda run: str(run.folder),
    "model": lambda run: run.model,
    "augment": lambda run: run.augment,
    "options": lambda run: run.changes,
    "seed": lambda run: run.seed,
    "status": saved.status_of,
    "created": lambda run: run.created.isoformat(timespec="seconds"),
    "epochs": saved.epochs_done,
    "best_epoch": lambda run: run.best_epoch,
    "val_accuracy": lambda run: run.val_accuracy,
    "test_accuracy": lambda run: run.test_accuracy,
    "test_low": lambda run: run.test_interval and run.test_interval[0],
    "test_high": lambda run: run.test_interval and run.test_interval[1],
    "train_seconds": lambda run: run.train_seconds,
    "parameters": lambda run: run.parameters,
    "device": lambda run: run.device,
    "note": lambda run: run.note,
}
"""What a script is told of a run; None where there is no value yet. Accuracies are fractions."""


def _values_of(run: RunRecord) -> dict[str, Any]:
    return {name: value(run) for name, value in _VALUES.items()}


def runs_by_recipe(lab: Lab) -> int:
    """The saved runs with equal configurations taken together, whatever their seeds: mean, spread and number."""
    finished = [run for run in list_runs(lab.outputs)[0] if run.status == "finished"]
    if not finished:
        lab.terminal.hint(f"There are no finished runs in {lab.outputs} yet.")
        return OK
    marks = marks_of(lab, finished)
    lab.terminal.show(page.recipe_table(finished, marks).on_screen(gap=1))
    for letter, changes in page.recipe_notes(finished).items():
        lab.terminal.hint(f"{letter}: {changes}")
    lab.terminal.hint("mean ± standard deviation over n seeds; one seed has no spread, and allows few conclusions")
    if marks:
        lab.terminal.hint(f"my %: mean fraction of your own drawings ({MY_DIGITS}) classified correctly")
    return OK


def add_runs_options(parser: ArgumentParser) -> None:
    """What ``runs`` can be given on the command line."""
    parser.add_argument("--sort", choices=SORT_KEYS, help="what by (default: date, newest first)")
    parser.add_argument("--limit", type=int, help="rows to show (default: 20; for scripts, all)")
    form = parser.add_mutually_exclusive_group()
    about = "mean and spread over runs that differ only in their seed"
    form.add_argument("--by-recipe", action="store_true", help=about)
    form.add_argument("--json", action="store_true", help="one JSON object for each run, and nothing else")
    form.add_argument("--csv", action="store_true", help="a heading and one line for each run, and nothing else")


def runs_from_options(lab: Lab, options: Namespace) -> int:
    """The list of runs, for people or for scripts."""
    if options.by_recipe:
        refuse_given(options, ["sort", "limit"], "--by-recipe")
        return runs_by_recipe(lab)
    sort = options.sort or "date"
    if options.limit is not None:
        check_whole("--limit", options.limit, 1, 1_000_000)
    if not (options.json or options.csv):
        return runs(lab, sort, options.limit or 20)
    found, damaged = _runs_of(lab)
    rows = [_values_of(run) for run in ranked(found, sort)[: options.limit]]
    for what in damaged:
        lab.terminal.warn(what)
    if options.csv:
        writer = csv.DictWriter(sys.stdout, _VALUES, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        for row in rows:
            lab.terminal.record(row)
    return OK


def show(lab: Lab, name: str) -> int:
    """One run: its numbers, how to repeat it, and which pictures its folder holds."""
    return _show(lab, find_run(lab.outputs, name))


def _show(lab: Lab, run: RunRecord) -> int:
    table = Table.grid(padding=(0, 2))
    error = number(inside(run.results, "test", "expected_calibration_error"))
    facts = [
        *page.run_facts(run),
        ("most confused", page.describe_confused(run.results.get("test")) or "–"),
        ("calibration error", "–" if error is None else f"{100 * error:.2f} points (ECE)"),
        *([("note", run.note)] if run.note else []),
        ("pictures", ", ".join(picture.stem for picture in pictures_of(run)) or "–"),
    ]
    for label, value in facts:
        table.add_row(f"[hint]{label}[/hint]", plain(value))
    lab.terminal.show(f"[title]{plain(run.name)}[/title]", table)
    if run.command:
        lab.terminal.hint("train it in full with:" if run.status == "interrupted" else "repeat with:")
        lab.terminal.line(run.command)
    lab.terminal.line(str(run.folder))
    return OK


def _show_from_options(lab: Lab, options: Namespace) -> int:
    run = find_run(lab.outputs, run_named(options, "latest"))
    if options.json:
        lab.terminal.record(run.to_json() | _values_of(run))
    else:
        _show(lab, run)
    if options.open:
        open_files(lab, pictures_of(run))
    return OK


def pictures_of(run: RunRecord) -> list[Path]:
    """The pictures in a run's folder."""
    return sorted(path for path in run.folder.glob("*.*") if path.suffix in PICTURE_FILES and is_file(path))


def has_desktop() -> bool:
    """Whether there is a desktop to show pages and pictures on."""
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def open_files(lab: Lab, paths: Sequence[Path]) -> None:
    """Open pages and pictures, which have been named on the terminal, with what this system has for them."""
    for path in paths:
        try:
            opened = webbrowser.open(path.resolve().as_uri())  # pictures, too: it hands them on to their viewer
        except (webbrowser.Error, OSError):
            opened = False
        if not opened:
            lab.terminal.hint("nothing could be opened here: open what is named above")
            return


def _add_show_options(parser: ArgumentParser) -> None:
    add_run_options(parser, "latest")
    parser.add_argument("--open", action="store_true", help="open its pictures")
    add_json_option(parser)


def _folder_of(lab: Lab, name: str) -> Path:
    """The folder that a user means: a path, part of the name of any folder, or a run, named as everywhere else."""
    for folder in (lab.outputs / name, Path(name)):
        if name and is_folder(folder):
            return folder
    fitting = [folder for folder in folders_of(lab.outputs) if name and name in folder.name]
    ending = [folder for folder in fitting if folder.name.endswith(name)]
    if not fitting or saved.runs_numbered(name, list_runs(lab.outputs)[0]):
        return find_run(lab.outputs, name).folder
    if len(fitting) == 1 or len(ending) == 1:
        return (ending or fitting)[0]
    found = f"{len(fitting)} folders in {lab.outputs} have {name!r} in their names ({saved.name_some(fitting)})"
    raise RunError(found, "give more of the name")


def tell_result(lab: Lab, folder: Path, sentences: Sequence[str], *, offer_page: bool) -> None:
    """Show what a study found, and the folder that holds its report; offer to open it."""
    lab.terminal.show(*map(plain, sentences))
    lab.terminal.hint(f"report: {folder / REPORT_FILE}")
    lab.terminal.line(str(folder))
    if offer_page:
        _offer(lab, folder / REPORT_FILE)


def report(lab: Lab, name: str | None = None, *, open_it: bool = False, offer_page: bool = False) -> int:
    """Write a folder's report, and rewrite the index of all folders; the page asked for is the last line printed.

    LabError if there is no such folder, if it is damaged or holds no picture, or if a page can't be written.
    """
    with lab.terminal.busy("writing the page"):
        asked = None if name is None else _write_page(lab, _folder_of(lab, name))
        index = write_index(lab.outputs, lab.now(), page.unsummarised)
    if asked is not None:
        lab.terminal.hint(f"all folders: {index}")
    lab.terminal.line(str(asked or index))
    if open_it:
        open_files(lab, [asked or index])
    elif offer_page:
        _offer(lab, asked or index)
    return OK


def _offer(lab: Lab, path: Path) -> None:
    if has_desktop() and lab.terminal.ask_yes_no("Open it in the browser", default=False):
        open_files(lab, [path])


def _write_page(lab: Lab, folder: Path) -> Path:
    """A folder's report: a run's is rewritten, an experiment wrote its own."""
    is_below = folder.resolve().parent == lab.outputs.resolve()
    if not is_below and not any(is_file(folder / name) for name in _MARKS):
        raise RequestError(f"{folder} is not a folder of the lab", f"name one in {lab.outputs}")
    if is_file(folder / saved.RUN_FILE):
        return page.write_run_page(saved.read_run(folder))
    own = folder / REPORT_FILE
    return own if is_file(own) else write_report(folder, folder_report(folder, page.unsummarised))


def refresh_index(lab: Lab) -> None:
    """Rewrite the page of all folders if it is outdated."""
    # Whatever went before has its folder: a mere convenience that can't be written is not worth a message.
    with suppress(StorageError):
        if is_outdated(lab.outputs):
            write_index(lab.outputs, lab.now(), page.unsummarised)


def _add_report_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="FOLDER", help="a run or another folder (default: the index)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


COMMANDS = {
    "show": Command(
        lambda lab: show(lab, ask_run(lab, "Show which run", wanted=lambda run: True)),
        _show_from_options,
        _add_show_options,
        computes=False,
    ),
    "report": Command(
        lambda lab: report(lab, offer_page=True),
        lambda lab, options: report(lab, options.name, open_it=options.open),
        _add_report_options,
        computes=False,
    ),
}

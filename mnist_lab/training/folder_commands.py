"""The rows of the menu about what is in the output folder: lists of runs, one run, and pages; they never load torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import webbrowser
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.table import Table

from mnist_lab.config import check_whole
from mnist_lab.data import mnist_is_there
from mnist_lab.errors import LabError, RequestError, StorageError
from mnist_lab.report.document import REPORT_FILE, write_report
from mnist_lab.report.index import folder_report, folders_of, is_outdated, write_index
from mnist_lab.storage import is_file
from mnist_lab.terminal.console import Choice, Terminal, pick
from mnist_lab.terminal.lab import OK, Command, Lab, refuse_given
from mnist_lab.terminal.wording import counted, plain
from mnist_lab.training import page
from mnist_lab.training import runs as saved
from mnist_lab.training.picker import add_run_options, ask_run, run_named
from mnist_lab.training.runs import MY_DIGITS, RunRecord, find_run, list_runs

_SORT_KEYS: dict[str, Callable[[RunRecord], float]] = {
    "date": lambda run: run.created.timestamp(),
    "val": lambda run: run.val_accuracy or 0.0,
    "test": lambda run: run.test_accuracy or 0.0,
    "parameters": lambda run: run.parameters,
    "time": lambda run: run.train_seconds or 0.0,
    "epochs": lambda run: run.epochs_run,
}
"""What the leaderboard can be sorted by; the largest comes first."""

_FOLDERS_OFFERED = 10  # where the user is asked for one


def head_line(lab: Lab) -> str:
    """What there is to work with: the data, the saved runs, and the device once torch is loaded anyway."""
    count = len(saved.run_folders(lab.outputs))
    parts = [
        "60,000 + 10,000 digits" if mnist_is_there() else "[warning]MNIST files missing[/warning]",
        counted(count, "saved run"),
    ]
    if "torch" in sys.modules:
        with suppress(LabError):
            parts.append(lab.load("networks.commands").compute_for(lab).name)
    return f"[title]MNIST Lab[/title]  [hint]{' · '.join(parts)}[/hint]"


def _ask_runs(lab: Lab) -> int:
    """Ask how to sort the leaderboard, and show it."""
    found = list_runs(lab.outputs)[0]
    if not found:
        return runs(lab)
    sort = lab.terminal.choose("Sort by", [Choice(key) for key in _SORT_KEYS], default="val")
    lines = lab.terminal.console.height - 6  # what the headings above and the menu's question leave of the screen
    ranked = _rank_runs(found, sort)
    count = min(20, lines, len(ranked))
    while count > 5 and count + len(page.recipe_notes(ranked[:count])) > lines:
        count -= 1
    return runs(lab, sort, max(5, count))


def _rank_runs(found: Sequence[RunRecord], sort: str) -> list[RunRecord]:
    """Runs by one of :data:`_SORT_KEYS`, the largest first, the newest first among equals, the unfinished last."""
    newest_first = found[::-1]
    return sorted(newest_first, key=lambda run: (run.val_accuracy is not None, _SORT_KEYS[sort](run)), reverse=True)


def runs(lab: Lab, sort: str = "val", limit: int = 20) -> int:
    """The leaderboard of all saved runs, and the folders that are damaged."""
    if sort not in _SORT_KEYS:
        raise RequestError(f"runs can't be sorted by {sort!r}", f"choose one of {', '.join(_SORT_KEYS)}")
    if is_file(lab.outputs):
        raise RequestError(f"{lab.outputs} is a file, not a folder of runs", "name the folder with --outputs")
    found, damaged = list_runs(lab.outputs)
    if not found and not damaged:
        command = saved.command_line("train --epochs 1", lab.outputs)
        lab.terminal.hint(f"There are no runs in {lab.outputs} yet. Train one: {command}")
        return OK
    shown = _rank_runs(found, sort)[:limit]
    if shown:
        wide = lab.terminal.console.width >= 112
        lab.terminal.show(page.leaderboard(shown, sort, _marks_of(lab, shown), wide=wide).on_screen(gap=1))
        show_notes(lab.terminal, shown)
        lab.terminal.hint("name a run by part of its folder's name, such as 11-22_14-30-05; *: interrupted")
    if len(found) > len(shown):
        lab.terminal.hint(f"{len(shown)} of {len(found):,} runs; see more with --limit {len(found)}")
    for entry in damaged[:5]:
        lab.terminal.warn(entry.reason)
    if len(damaged) > 5:
        lab.terminal.warn(f"... and {len(damaged) - 5:,} more damaged folders")
    return OK


def show_notes(terminal: Terminal, runs: Sequence[RunRecord]) -> None:
    """What the letters in a table of some runs stand for."""
    for letter, changes in page.recipe_notes(runs).items():
        terminal.hint(f"{letter}: {changes}")


def runs_by_recipe(lab: Lab) -> int:
    """The saved runs with equal configurations taken together, whatever their seeds: mean, spread and number."""
    finished = [run for run in list_runs(lab.outputs)[0] if run.status == "finished"]
    if not finished:
        lab.terminal.hint(f"There are no finished runs in {lab.outputs} yet.")
        return OK
    marks = _marks_of(lab, finished)
    lab.terminal.show(page.recipe_table(finished, marks).on_screen(gap=1))
    show_notes(lab.terminal, finished)
    lab.terminal.hint("mean ± standard deviation over n seeds; one seed has no spread, and allows few conclusions")
    if marks:
        lab.terminal.hint(f"my %: mean fraction of your own drawings ({MY_DIGITS}) classified correctly")
    return OK


def _marks_of(lab: Lab, listed: Sequence[RunRecord]) -> dict[str, page.Mark | None]:
    """How many of the user's own digits each evaluated run recognises; empty if there are no such digits."""
    return lab.load("drawing.own_digits").marks_of(lab, listed) if is_file(lab.outputs / MY_DIGITS) else {}


def _add_runs_options(parser: ArgumentParser) -> None:
    parser.add_argument("--sort", help=f"{', '.join(_SORT_KEYS)} (default: val)")
    parser.add_argument("--limit", type=int, help="rows to show (default: 20)")
    about = "mean and spread over runs that differ only in their seed"
    parser.add_argument("--by-recipe", action="store_true", help=about)


def _runs_from_options(lab: Lab, options: Namespace) -> int:
    if options.by_recipe:
        refuse_given(options, ["sort", "limit"], "--by-recipe")
        return runs_by_recipe(lab)
    limit = 20 if options.limit is None else options.limit
    check_whole("--limit", limit, 1, 1_000_000)
    return runs(lab, "val" if options.sort is None else options.sort, limit)


def show(lab: Lab, name: str, *, open_pictures: bool = False, offer_pictures: bool = False) -> int:
    """One run: its numbers, how to repeat it, and where its pictures are."""
    run = find_run(lab.outputs, name)
    table = Table.grid(padding=(0, 2))
    for label, value in [*page.run_facts(run), ("folder", str(run.folder))]:
        table.add_row(f"[hint]{label}[/hint]", plain(value))
    lab.terminal.show(f"[title]{plain(run.name)}[/title]", table)
    if run.command:
        lab.terminal.hint("train it in full with:" if run.status == "interrupted" else "repeat with:")
        lab.terminal.line(run.command)
    pictures = sorted(filter(is_file, run.folder.glob("*.png")))
    for picture in pictures:
        lab.terminal.line(str(picture))
    viewer = _picture_viewer()
    if viewer and pictures and offer_pictures:
        open_pictures = lab.terminal.ask_yes_no("Open the pictures", default=False)
    if open_pictures and viewer is None:
        raise RequestError("this system has no picture viewer to open them with", "open the files named above")
    if open_pictures and viewer:
        for picture in pictures:
            viewer(picture)
    return OK


def _picture_viewer() -> Callable[[Path], object] | None:
    """How this system opens a picture, or None where it can't (no desktop, say)."""
    if platform.system() == "Windows":
        return lambda path: os.startfile(path)  # type: ignore[attr-defined]
    command = "open" if platform.system() == "Darwin" else "xdg-open"
    has_screen = platform.system() == "Darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not has_screen or shutil.which(command) is None:
        return None
    quiet = subprocess.DEVNULL
    return lambda path: subprocess.Popen([command, str(path)], stdin=quiet, stdout=quiet, stderr=quiet)


def _add_show_options(parser: ArgumentParser) -> None:
    add_run_options(parser, "latest")
    parser.add_argument("--open", action="store_true", help="open the pictures with the system's viewer")


def ask_report(lab: Lab) -> int:
    """Ask what to report on, offering the index and the newest folders."""
    folders = folders_of(lab.outputs)
    words = ["index", *(folder.name for folder in folders[:_FOLDERS_OFFERED])]
    choices = [Choice("index", "all folders, each with a picture"), *map(Choice, words[1:])]
    hidden = len(folders) - len(words) + 1
    rest = f"and {counted(hidden, 'older folder')}; " if hidden else ""
    note = f"{rest}any folder's name or part of it will do, as will latest or best for a run"

    def named(answer: str) -> str | None:
        try:
            word = pick(answer, words)
        except ValueError:
            if answer.isdecimal() and not any(answer in folder.name for folder in folders):
                raise  # a number that is not in the list
            return str(_folder_of(lab, answer))
        return None if word == "index" else word

    name = lab.terminal.choose_or("Report on which", choices, "index", named, note)
    return report(lab, name, offer_page=True)


def _folder_of(lab: Lab, name: str) -> Path:
    """The folder that a user means: ``latest`` and ``best`` mean runs, as everywhere else."""
    if name in ("latest", "best"):
        return find_run(lab.outputs, name).folder
    return saved.find_folder(lab.outputs, name, folders_of(lab.outputs), "folder")


def tell_result(lab: Lab, folder: Path, sentences: Sequence[str], *, offer_page: bool) -> None:
    """Show what a study found, and the folder that holds its report; offer to open it."""
    lab.terminal.show(*map(plain, sentences))
    lab.terminal.hint(f"report: {folder / REPORT_FILE}")
    lab.terminal.line(str(folder))
    if offer_page:
        _open_page(lab, folder / REPORT_FILE, ask=True)


def report(lab: Lab, name: str | None = None, *, open_it: bool = False, offer_page: bool = False) -> int:
    """Write a folder's report, and rewrite the index of all folders; the page asked for is the last line printed.

    LabError if there is no such folder, if it is damaged or holds no picture, or if a page can't be written.
    """
    with lab.terminal.busy("writing the page"):
        asked = None if name is None else _write_page(_folder_of(lab, name))
        index = write_index(lab.outputs, lab.now(), page.unsummarised)
    if asked is not None:
        lab.terminal.hint(f"all folders: {index}")
    lab.terminal.line(str(asked or index))
    if open_it or offer_page:
        _open_page(lab, asked or index, ask=offer_page)
    return OK


def _write_page(folder: Path) -> Path:
    """A folder's report: a run's is rewritten, an experiment wrote its own."""
    if is_file(folder / saved.RUN_FILE):
        return page.write_run_page(saved.read_run(folder))
    own = folder / REPORT_FILE
    return own if is_file(own) else write_report(folder, folder_report(folder, page.unsummarised))


def _open_page(lab: Lab, path: Path, *, ask: bool) -> None:
    """Open a page in the browser; where there is no screen, there is nothing to ask."""
    if ask and not (_picture_viewer() and lab.terminal.ask_yes_no("Open it in the browser", default=False)):
        return
    try:
        opened = webbrowser.open(path.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        lab.terminal.hint("no browser could be opened here: open the file named above")


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
    "runs": Command(_ask_runs, _runs_from_options, _add_runs_options),
    "show": Command(
        lambda lab: show(lab, ask_run(lab, "Show which run"), offer_pictures=True),
        lambda lab, options: show(lab, run_named(options, "latest"), open_pictures=options.open),
        _add_show_options,
        computes=False,
    ),
    "report": Command(
        ask_report,
        lambda lab, options: report(lab, options.name, open_it=options.open),
        _add_report_options,
        computes=False,
    ),
}

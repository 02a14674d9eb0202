"""The row of the menu that browses the saved runs: pick some from the list, then say what to do with them."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from rich.columns import Columns
from rich.table import Table

from mnist_lab.errors import LabError, RequestError, RunError
from mnist_lab.report.document import NOTE_FILE, REPORT_FILE
from mnist_lab.report.index import Summary, write_summary
from mnist_lab.storage import is_file, is_locked, new_folder, storage_errors, write_text
from mnist_lab.terminal.chart import ACCURACY, COLOURS, LOGARITHMIC, MARKERS, Line, can_show_charts, line_chart
from mnist_lab.terminal.console import Choice, pick
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import counted, plain
from mnist_lab.training import folder_commands as folders
from mnist_lab.training.page import write_run_page
from mnist_lab.training.picker import NAMES, Picker, runs_named
from mnist_lab.training.runs import (
    LOCK_FILE,
    RUN_FILE,
    STOPPED,
    EpochRecord,
    RunRecord,
    command_line,
    epochs_done,
    find_run,
    is_being_trained,
    list_runs,
    read_history,
    status_of,
    told_apart,
)

_BIN = ".bin"  # beside the folders that are moved into it; hidden, so that nothing in it is listed
_LONGEST_NOTE = 200  # characters


class _Browser(Picker):
    def understand(self, answer: str) -> list[RunRecord] | None:
        if answer.lower() in ("i", "index"):
            folders.report(self.lab, open_it=folders.has_desktop())
            return None
        return [] if answer.lower() == "back" else super().understand(answer)


def browse(lab: Lab) -> int:
    """Show the runs page by page, and do with those that are picked what is asked for, until nothing is picked."""
    browser = _Browser(lab, [])
    while True:
        found, damaged = list_runs(lab.outputs)
        if not found:
            return folders.runs(lab)
        for folder in list(damaged)[:3]:
            away = command_line(f"delete {folder.name}", lab.outputs)
            lab.terminal.warn(f"{folder.name} is damaged; move it away with: {away}")
        browser.runs = found[::-1]
        picked = browser.ask("Which runs (1 3, 2-5, latest, best; i: page of all; Enter: back)")
        if not picked:
            return OK
        act_on(lab, picked)


def act_on(lab: Lab, picked: Sequence[RunRecord], *, briefly: bool = False) -> None:
    """Ask what to do with some runs, until they are gone or trained on, or nothing more is asked for.

    ``briefly``: without saying first which they are, and what each answer means.
    """
    terminal = lab.terminal
    actions = {
        word: action
        for word, action in _ACTIONS.items()
        if action.fewest <= len(picked) <= action.most and all(map(action.suits, picked))
    }
    words, names = [*actions, "back"], [run.name for run in picked]
    question = f"What to do with {'it' if len(picked) == 1 else f'these {len(picked)}'}"
    if not briefly:
        _introduce(lab, picked)
        terminal.show_choices([*(Choice(word, action.meaning) for word, action in actions.items()), Choice("back")])
    while True:
        if briefly:
            terminal.show(Columns([f"[key]{n}[/key] {word}" for n, word in enumerate(words, start=1)], padding=(0, 2)))
        word = terminal.ask(question, "back", lambda answer: pick(answer, words))
        if word == "back":
            return
        try:
            actions[word].act(lab, names)
        except LabError as error:
            terminal.error(str(error))
        if actions[word].changes:
            return
        terminal.show("")
        briefly = True


def _introduce(lab: Lab, picked: Sequence[RunRecord]) -> None:
    lab.terminal.show("")
    for run in picked[:3]:
        title = f"[key]{run.number:>4}[/key]  {plain(run.title)}, {status_of(run)}"
        lab.terminal.show(f"{title}: [hint]{plain(run.name)}[/hint]")
    if len(picked) > 3:
        lab.terminal.hint(f"      and {counted(len(picked) - 3, 'more run')}")
    if not all(run.is_evaluated for run in picked):
        lab.terminal.hint("What is not finished can't be compared, evaluated, explained or drawn with.")


class _Action(NamedTuple):
    """Something to do with runs, by their names; offered if every one of those picked ``suits``."""

    meaning: str
    act: Callable[[Lab, list[str]], object]
    suits: Callable[[RunRecord], bool] = lambda run: run.is_evaluated
    fewest: int = 1
    most: int = 1000
    changes: bool = False  # whether other actions may suit the runs afterwards, or none


def _each(act: Callable[[Lab, str], object]) -> Callable[[Lab, list[str]], None]:
    """Do it with one run after the other; what is refused for one is told, and the others still have their turn."""

    def act_on_all(lab: Lab, names: list[str]) -> None:
        for name in names:
            try:
                act(lab, name)
            except LabError as error:
                lab.terminal.error(str(error))

    return act_on_all


def _later(module: str, function: str, **options: Any) -> Callable[[Lab, Any], object]:
    """A function that takes runs by their names, in a module that is loaded once it is needed."""
    return lambda lab, named: getattr(lab.load(module), function)(lab, named, **options)


def _open_page(lab: Lab, name: str) -> None:
    folders.report(lab, name, open_it=folders.has_desktop())


def _open_pictures(lab: Lab, names: list[str]) -> None:
    pictures = [picture for name in names for picture in folders.pictures_of(find_run(lab.outputs, name))]
    for picture in pictures:
        lab.terminal.line(str(picture))
    folders.open_files(lab, pictures)


def _show_curves(lab: Lab, names: list[str]) -> None:
    """Loss and accuracy over the epochs, of a few runs at once on the terminal, and as a picture in a new folder."""
    runs = [find_run(lab.outputs, name) for name in names]
    histories = dict(zip(told_apart([run.title for run in runs]), map(read_history, runs), strict=True))
    if can_show_charts(lab.terminal.console) and len(runs) <= len(MARKERS):
        lab.terminal.show(_charts(lab, runs, list(histories.values())))
    with lab.terminal.busy("drawing the curves"), new_folder(lab.outputs, "curves", lab.now()) as folder:
        title, picture = f"How {counted(len(runs), 'run')} learned", folder / "curves.png"
        figure = lab.load("training.figures").learning_curves(histories, title=title)
        lab.load("plotting").save_figure(picture, figure)
        write_summary(folder, Summary(title=title, sentences=[", ".join(names)]))
    lab.terminal.line(str(picture))
    if folders.has_desktop():
        folders.open_files(lab, [picture])


def _charts(lab: Lab, runs: Sequence[RunRecord], histories: Sequence[Sequence[EpochRecord]]) -> Table:
    """Validation loss and accuracy side by side, a line for each run, named by its number in the list."""
    numbers = {run.name: run.number for run in list_runs(lab.outputs)[0]}
    charts, width = Table.grid(padding=(0, 2)), max(24, lab.terminal.console.width // 2 - 2)
    styles, end = list(zip(COLOURS, MARKERS, strict=True)), max(map(len, histories))
    panels = []
    for title, name, unit, scale in (
        ("validation loss", "val_loss", 1, LOGARITHMIC),
        ("validation accuracy (%)", "val_accuracy", 100, ACCURACY),
    ):
        points = [[(record.epoch, unit * getattr(record, name)) for record in history] for history in histories]
        lines = [
            Line(f"run {numbers.get(run.name)}", values, *style)
            for run, values, style in zip(runs, points, styles, strict=False)
        ]
        panels.append(line_chart(lines, title=title, x_label="epoch", width=width, height=14, x_end=end, scale=scale))
    charts.add_row(*panels)
    return charts


def _ask_note(lab: Lab, names: list[str]) -> None:
    runs = [find_run(lab.outputs, name) for name in names]
    for run in runs:
        if run.note:
            lab.terminal.hint(f"now: {run.note}")
    which = runs[0].title if len(runs) == 1 else f"these {len(runs)} runs"
    lab.terminal.ask(f"A note on {which} (Enter: none; q: as it is)", "", lambda words: write_note(runs, words))


def write_note(runs: Sequence[RunRecord], words: str) -> None:
    """Keep the user's own sentence beside the run.json of some runs; without words, there is none any more."""
    words = " ".join(words.split())
    if len(words) > _LONGEST_NOTE:
        raise RequestError(f"the note has {len(words):,} characters", f"write at most {_LONGEST_NOTE}")
    for run in runs:
        path = run.folder / NOTE_FILE
        if words:
            write_text(path, words + "\n")
        else:
            with storage_errors(path):
                path.unlink(missing_ok=True)
        if is_file(run.folder / REPORT_FILE):
            write_run_page(replace(run, note=words))


def _ask_delete(lab: Lab, names: list[str]) -> None:
    which = names[0] if len(names) == 1 else counted(len(names), "run")
    if lab.terminal.ask_yes_no(f"Move {which}, with all files, into the bin", default=False):
        _each(lambda lab, name: delete(lab, lab.outputs / name))(lab, names)


def delete(lab: Lab, folder: Path) -> None:
    """Move a run's folder, even a damaged one's, into the bin; RunError if it is gone, or being trained."""
    if not os.path.lexists(folder / RUN_FILE):
        raise RunError(f"the run {folder.name} is gone", "see which there are: python main.py runs")
    if is_locked(folder / LOCK_FILE):
        raise RunError(f"the run {folder.name} is being trained", "wait for it to end")
    bin_ = folder.parent / _BIN
    with storage_errors(bin_):
        bin_.mkdir(exist_ok=True)
        places = (bin_ / (f"{folder.name}-{attempt}" if attempt > 1 else folder.name) for attempt in count(1))
        place = next(place for place in places if not os.path.lexists(place))
        folder.rename(place)
    lab.terminal.hint(f"in the bin; to get it back, move it to {folder.parent}:")
    lab.terminal.line(str(place))


_ACTIONS = {
    "show": _Action("its numbers, and how to repeat it", _each(folders.show), lambda run: True),
    "pictures": _Action("open its pictures", _open_pictures, lambda run: bool(folders.pictures_of(run))),
    "page": _Action("write its page, and open it", _each(_open_page), lambda run: True),
    "curves": _Action("loss and accuracy over the epochs", _show_curves, lambda run: epochs_done(run) > 0, most=10),
    "compare": _Action(
        "side by side: how they differ, which digits only one gets right",
        _later("experiments.commands", "compare", from_menu=True),
        fewest=2,
    ),
    "evaluate": _Action("evaluate again, digit by digit", _each(_later("training.commands", "evaluate"))),
    "explain": _Action("which pixels mattered", _later("explain.commands", "ask_saliency")),
    "inside": _Action("what its filters make of a digit", _later("explain.inside_commands", "ask_inside")),
    "draw": _Action("draw digits, and see what is predicted", _later("drawing.commands", "draw")),
    "note": _Action("a sentence of your own, shown with it", _ask_note, lambda run: True),
    "resume": _Action(
        "go on training, from its last finished epoch",
        _each(_later("training.commands", "resume")),
        lambda run: status_of(run) == STOPPED,
        most=1,
        changes=True,
    ),
    "delete": _Action("move into the bin", _ask_delete, lambda run: not is_being_trained(run), changes=True),
}


def _add_note_options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs=1, metavar="RUN", help=f"{NAMES}, or a range as 4-10")
    parser.add_argument("text", nargs="+", metavar="TEXT", help='the sentence; "" for none')


def _note_from_options(lab: Lab, options: Namespace) -> int:
    runs = [find_run(lab.outputs, name) for name in runs_named(options, "")]
    words = " ".join(options.text)
    write_note(runs, words)
    lab.terminal.hint(f"{'noted with' if words.strip() else 'without a note now:'} {counted(len(runs), 'run')}")
    return OK


def _delete_from_options(lab: Lab, options: Namespace) -> int:
    for name in runs_named(options, ""):
        is_exact = os.path.lexists(lab.outputs / name / RUN_FILE)  # also of a run that is damaged
        delete(lab, lab.outputs / name if name and is_exact else find_run(lab.outputs, name).folder)
    return OK


COMMANDS = {
    "runs": Command(browse, folders.runs_from_options, folders.add_runs_options, computes=False),
    "note": Command(browse, _note_from_options, _add_note_options, computes=False),
    "delete": Command(
        browse,
        _delete_from_options,
        lambda parser: parser.add_argument("runs", nargs="+", metavar="RUN", help=f"{NAMES}, or a range as 4-10"),
        computes=False,
    ),
}

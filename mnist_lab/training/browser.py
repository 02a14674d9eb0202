"""The row of the menu that browses the saved runs: pick some from the list, then say what to do with them."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from mnist_lab.errors import LabError, RequestError, RunError
from mnist_lab.report.index import Summary, write_summary
from mnist_lab.storage import is_locked, new_folder, storage_errors, write_text
from mnist_lab.terminal.console import Choice, pick
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import counted, plain
from mnist_lab.training import folder_commands as folders
from mnist_lab.training.picker import NAMES, Picker, ask_run, runs_named
from mnist_lab.training.runs import (
    LOCK_FILE,
    NOTE_FILE,
    RUN_FILE,
    STOPPED,
    RunRecord,
    command_line,
    find_run,
    is_being_trained,
    list_runs,
    read_history,
    read_run,
    status_of,
    told_apart,
)

_BIN = ".bin"  # beside the folders that are moved into it; hidden, so that nothing in it is listed
_LONGEST_NOTE = 200  # characters


class _Browser(Picker):
    def understand(self, answer: str) -> list[RunRecord] | None:
        if answer.lower() in ("i", "index"):
            folders.report(self.lab, open_it=folders.can_open())
            return None
        return super().understand(answer)


def browse(lab: Lab) -> int:
    """Show the runs page by page, and do with those that are picked what is asked for, until nothing is picked."""
    browser = _Browser(lab, [])
    while True:
        found, damaged = list_runs(lab.outputs)
        if not found:
            return folders.runs(lab)
        for one in damaged[:3]:
            away = command_line(f"delete {one.folder.name}", lab.outputs)
            lab.terminal.warn(f"{one.folder.name} is damaged; move it away with: {away}")
        browser.runs = found[::-1]
        picked = browser.ask("Which runs (1 3, 2-5, latest, best; i: page of all; Enter: back)")
        if not picked:
            return OK
        _act_on(lab, picked)


def _act_on(lab: Lab, picked: Sequence[RunRecord]) -> None:
    """Ask what to do with some runs, until they have changed or the list is asked for."""
    terminal, is_one = lab.terminal, len(picked) == 1
    actions = {
        word: action
        for word, action in _ACTIONS.items()
        if action.fewest <= len(picked) <= action.most and all(map(action.suits, picked))
    }
    terminal.show("")
    for run in picked[:3]:
        terminal.show(
            f"[key]{run.number:>4}[/key]  {plain(run.title)}, {status_of(run)}: [hint]{plain(run.name)}[/hint]"
        )
    if len(picked) > 3:
        terminal.hint(f"      and {counted(len(picked) - 3, 'more run')}")
    if not all(run.is_evaluated for run in picked):
        terminal.hint("not finished: there is nothing to compare, evaluate, explain or draw with")
    words, question = [*actions, "list"], f"What to do with {'it' if is_one else f'these {len(picked)}'}"
    choices = [*(Choice(word, action.meaning) for word, action in actions.items()), Choice("list", "back to the runs")]
    word = terminal.choose(question, choices, default="list")
    while word != "list":
        try:
            actions[word].act(lab, picked)
        except LabError as error:
            terminal.error(str(error))
        if actions[word].changes:
            return
        terminal.show("")
        terminal.hint(" · ".join(f"{number} {word}" for number, word in enumerate(words, start=1)))
        word = terminal.ask(question, "list", lambda answer: pick(answer, words))


@dataclass(frozen=True)
class _Action:
    """Something to do with runs that are picked, offered if it ``suits`` every one of them."""

    meaning: str
    act: Callable[[Lab, Sequence[RunRecord]], object]
    suits: Callable[[RunRecord], bool] = lambda run: True
    fewest: int = 1
    most: int = 1000
    changes: bool = False  # whether the runs are others afterwards


def _each(act: Callable[[Lab, str], object]) -> Callable[[Lab, Sequence[RunRecord]], None]:
    """Do it with one run after the other; what is refused for one is told, and the others still have their turn."""

    def act_on_all(lab: Lab, runs: Sequence[RunRecord]) -> None:
        for run in runs:
            try:
                act(lab, run.name)
            except LabError as error:
                lab.terminal.error(str(error))

    return act_on_all


def _names(runs: Sequence[RunRecord]) -> list[str]:
    return [run.name for run in runs]


def _show_curves(lab: Lab, runs: Sequence[RunRecord]) -> None:
    """Loss and accuracy on the validation digits, a line for each run, as a picture in a folder of its own."""
    names = told_apart([run.title for run in runs])
    histories = {name: [read_history(run)] for name, run in zip(names, runs, strict=True)}
    lengths = [run.config.images_per_epoch for run in runs]
    with lab.terminal.busy("drawing the curves"), new_folder(lab.outputs, "curves", lab.now()) as folder:
        title = f"How {counted(len(runs), 'run')} learned"
        figure = lab.load("experiments.figures").curves_with_spread(histories, lengths, title=title)
        lab.load("plotting").save_figure(folder / "curves.png", figure)
        write_summary(folder, Summary(title=title, sentences=[", ".join(_names(runs))]))
    lab.terminal.line(str(folder / "curves.png"))
    folders.open_pictures([folder / "curves.png"], must=False)


def _has_pictures(run: RunRecord) -> bool:
    return bool(folders.pictures_of(run))


def _open_pictures(lab: Lab, runs: Sequence[RunRecord]) -> None:
    folders.open_pictures([picture for run in runs for picture in folders.pictures_of(run)])


def _ask_note(lab: Lab, runs: Sequence[RunRecord]) -> None:
    for note in dict.fromkeys(run.note for run in runs if run.note):
        lab.terminal.hint(f"now: {note}")

    def write(words: str) -> None:
        for run in runs:
            write_note(run, words)

    which = runs[0].title if len(runs) == 1 else f"these {len(runs)} runs"
    lab.terminal.ask(f"A note on {which} (Enter: none; q: as it is)", "", write)


def write_note(run: RunRecord, words: str) -> None:
    """Keep the user's own sentence about a run beside its run.json; without words, there is none any more."""
    words, path = " ".join(words.split()), run.folder / NOTE_FILE
    if len(words) > _LONGEST_NOTE:
        raise RequestError(f"the note has {len(words):,} characters", f"write at most {_LONGEST_NOTE}")
    if words:
        write_text(path, words + "\n")
    else:
        with storage_errors(path):
            path.unlink(missing_ok=True)


def _ask_delete(lab: Lab, runs: Sequence[RunRecord]) -> None:
    files = sum(len(list(run.folder.iterdir())) for run in runs)
    which = runs[0].name if len(runs) == 1 else counted(len(runs), "run")
    if lab.terminal.ask_yes_no(f"Delete {which} ({counted(files, 'file')}, into the bin)", default=False):
        _each(delete)(lab, runs)


def delete(lab: Lab, name: str) -> int:
    """Move a run, or a folder with a damaged one, into the bin; RunError if it is being trained."""
    folder = lab.outputs / name
    if not name or not os.path.lexists(folder / RUN_FILE):
        folder = find_run(lab.outputs, name).folder
    if is_locked(folder / LOCK_FILE):
        raise RunError(f"the run {folder.name} is being trained", "wait for it to end")
    place = folder.parent / _BIN
    with storage_errors(place):
        place.mkdir(exist_ok=True)
        names = (f"{folder.name}-{attempt}" if attempt > 1 else folder.name for attempt in count(1))
        target = next(place / one for one in names if not os.path.lexists(place / one))
        folder.rename(target)
    lab.terminal.hint(f"{folder.name} is in the bin; to get it back, move it to {place.parent} again:")
    lab.terminal.line(str(target))
    return OK


_ACTIONS = {
    "show": _Action("its numbers, and how to repeat it", _each(folders.show)),
    "pictures": _Action("open its pictures", _open_pictures, _has_pictures),
    "page": _Action(
        "write and open its page", _each(lambda lab, name: folders.report(lab, name, open_it=folders.can_open()))
    ),
    "curves": _Action("loss and accuracy over the epochs", _show_curves, lambda run: run.is_evaluated, most=16),
    "compare": _Action(
        "side by side: how they differ, which digits only one gets right",
        lambda lab, runs: lab.load("experiments.commands").compare(lab, _names(runs), from_menu=True),
        lambda run: run.is_evaluated,
        fewest=2,
    ),
    "evaluate": _Action(
        "evaluate again, digit by digit",
        _each(lambda lab, name: lab.load("training.commands").evaluate(lab, name)),
        lambda run: run.is_evaluated,
    ),
    "explain": _Action(
        "which pixels mattered",
        lambda lab, runs: lab.load("explain.commands").ask_saliency(lab, _names(runs)),
        lambda run: run.is_evaluated,
    ),
    "draw": _Action(
        "draw digits, and see what is predicted",
        lambda lab, runs: lab.load("drawing.commands").draw(lab, _names(runs)),
        lambda run: run.is_evaluated,
    ),
    "note": _Action("a sentence of your own, shown with it", _ask_note, changes=True),
    "resume": _Action(
        "go on training, from its last finished epoch",
        lambda lab, runs: lab.load("training.commands").resume(lab, runs[0].name),
        lambda run: status_of(run) == STOPPED,
        most=1,
        changes=True,
    ),
    "delete": _Action("move into the bin", _ask_delete, lambda run: not is_being_trained(run), changes=True),
}


def _note_from_menu(lab: Lab) -> int:
    _ask_note(lab, [find_run(lab.outputs, ask_run(lab, "A note on which run", wanted=lambda run: True))])
    return OK


def _note_from_options(lab: Lab, options: Namespace) -> int:
    run = find_run(lab.outputs, options.name)
    write_note(run, " ".join(options.text))
    lab.terminal.line(f"{run.folder / NOTE_FILE}: {read_run(run.folder).note or 'none'}")
    return OK


def _add_note_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="RUN", help=NAMES)
    parser.add_argument("text", nargs="+", metavar="TEXT", help='the sentence; "" for none')


def _add_delete_options(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"{NAMES}, or a range as 4-10")


def _delete_from_options(lab: Lab, options: Namespace) -> int:
    for name in runs_named(options, ""):
        delete(lab, name)
    return OK


COMMANDS = {
    "runs": Command(browse, folders.runs_from_options, folders.add_runs_options, computes=False),
    "note": Command(
        _note_from_menu,
        _note_from_options,
        _add_note_options,
        computes=False,
    ),
    "delete": Command(
        lambda lab: delete(lab, ask_run(lab, "Delete which run", wanted=lambda run: not is_being_trained(run))),
        _delete_from_options,
        _add_delete_options,
        computes=False,
    ),
}

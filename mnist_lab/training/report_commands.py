"""The row of the menu that writes reports: one page per folder, and the index of all of them.

The pages and their templates are imported inside the actions: the menu does not wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mnist_lab.errors import LabError, RequestError, StorageError
from mnist_lab.report.document import REPORT_FILE
from mnist_lab.storage import is_file, is_folder
from mnist_lab.terminal.console import Choice, pick
from mnist_lab.terminal.wording import plain
from mnist_lab.training.commands import OK, Lab, picture_viewer
from mnist_lab.training.runs import RUN_FILE, command_line, find_run, name_some, read_run

INDEX = "index"
"""What the menu calls the page of all folders."""

FOLDERS_OFFERED = 10


def ask_report(lab: Lab) -> int:
    """The menu's way to a report: offers the index and the newest folders."""
    from mnist_lab.report.index import folders_of

    folders = folders_of(lab.outputs)
    offered = [folder.name for folder in folders[:FOLDERS_OFFERED]]
    choices = [Choice(INDEX, "all folders, with a picture each"), *map(Choice, offered)]
    hidden = len(folders) - len(offered)
    rest = f"and {hidden} older {'folder' if hidden == 1 else 'folders'}; " if hidden else ""
    note = f"{rest}any folder's name or a part of it will do, and latest or best for a run"

    def named(answer: str) -> str | None:
        try:
            word = pick(answer, [choice.word for choice in choices])
        except ValueError:
            if answer.isdecimal() and not any(answer in folder.name for folder in folders):
                raise  # a number that is not in the list
            return named_folder(lab.outputs, answer)
        return None if word == INDEX else word

    name = lab.terminal.choose_or("Report on which", choices, INDEX, named, note)
    return report(lab, name, open_it=wants_to_see(lab))


def named_folder(outputs: Path, answer: str) -> str:
    """An answer that names a folder, as its path.

    Raises:
        ValueError: it means none, or several; the message says so.
    """
    try:
        return str(find_folder(outputs, answer))
    except LabError as unknown:
        raise ValueError(str(unknown)) from None


def wants_to_see(lab: Lab) -> bool:
    """Ask whether to open a page in the browser; where there is no screen, there is nothing to ask."""
    return picture_viewer() is not None and lab.terminal.ask_yes_no("Open it in the browser", default=False)


def tell_result(lab: Lab, folder: Path, sentences: Sequence[str], *, offer_page: bool) -> None:
    """What an experiment or a comparison found, and where it is kept.

    Args:
        lab: where to show.
        folder: holds the report; its name is the last line.
        sentences: what was found.
        offer_page: whether to ask about opening the report.
    """
    for sentence in sentences:
        lab.terminal.show(plain(sentence))
    page = folder / REPORT_FILE
    lab.terminal.hint(f"report: {page}")
    lab.terminal.line(str(folder))
    if offer_page and wants_to_see(lab):
        open_page(lab, page)


def report(lab: Lab, name: str | None = None, *, open_it: bool = False) -> int:
    """Write a folder's report, and the index of all folders anew; the page asked for is the last line.

    Args:
        lab: where to look, and where to show.
        name: a run or any other folder of the outputs, as :func:`find_folder` takes it; None for the index alone.
        open_it: whether to open the page in the browser.

    Raises:
        RunError, RequestError: there is no such folder, it is damaged, or holds nothing to report on.
        StorageError: the disk refuses.
    """
    from mnist_lab.report.index import write_index

    with lab.terminal.busy("writing the page"):
        page = None if name is None else write_page(find_folder(lab.outputs, name))
        index = write_index(lab.outputs, lab.now())
    if page is not None:
        lab.terminal.hint(f"all folders: {index}")
    asked = page or index
    lab.terminal.line(str(asked))
    if open_it:
        open_page(lab, asked)
    return OK


def refresh_index(lab: Lab) -> None:
    """Write the page of all folders anew if it is outdated.

    It is a convenience: whatever went before has its folder, so a disk that refuses is not worth a word.
    """
    from mnist_lab.report.index import is_outdated, write_index

    with suppress(StorageError):
        if is_outdated(lab.outputs):
            write_index(lab.outputs, lab.now())


def write_page(folder: Path) -> Path:
    """A folder's report: a run's is written anew, an experiment wrote its own."""
    from mnist_lab.report.document import write_report
    from mnist_lab.report.index import folder_report
    from mnist_lab.training.page import run_report

    if is_file(folder / RUN_FILE):
        return write_report(folder, run_report(read_run(folder)))
    own = folder / REPORT_FILE
    return own if is_file(own) else write_report(folder, folder_report(folder))


def find_folder(outputs: Path, name: str) -> Path:
    """The folder that a user means.

    Args:
        outputs: where runs and all other results are kept.
        name: a folder (any path), a folder's name below ``outputs`` or a part of it that fits one alone, or
            ``latest`` or ``best``, which mean runs as everywhere else.

    Raises:
        RunError, RequestError: there is no such folder, or several.
    """
    from mnist_lab.report.index import folders_of

    if name in ("latest", "best"):
        return find_run(outputs, name).folder
    for folder in (outputs / name, Path(name)):
        if name and is_folder(folder):
            return folder
    fitting = [folder for folder in folders_of(outputs) if name and name in folder.name]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RequestError(
            f"{len(fitting)} folders in {outputs} have {name!r} in their names ({name_some(fitting)})",
            "give more of the name",
        )
    raise RequestError(
        f"there is no folder {name!r} in {outputs}", f"list all folders with: {command_line('report', outputs)}"
    )


def open_page(lab: Lab, page: Path) -> None:
    """Open a page in the browser; where there is none, the page's name on the screen has to do."""
    import webbrowser

    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        lab.terminal.hint("no browser could be opened here: open the file named above")

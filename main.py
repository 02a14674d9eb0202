"""MNIST Lab: the menu, and the same rows as commands for scripts (python main.py --help)."""

from __future__ import annotations

import gc
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends without a word while what follows is loaded

from importlib import import_module
from pathlib import Path

from rich.table import Table

from mnist_lab import __version__
from mnist_lab.environment import prepare_environment, using_device
from mnist_lab.errors import LabError, RequestError, suggestion
from mnist_lab.storage import refusal_of
from mnist_lab.terminal.console import BackToMenu, Terminal, discard_output, make_console, pick, prepare_streams
from mnist_lab.terminal.lab import FAILED, INTERRUPTED, OK, CommandParser, Lab, graceful_interrupts


@dataclass(frozen=True)
class Row:
    """A row of the menu, or one more command; its module, below ``mnist_lab``, holds it in ``COMMANDS``."""

    group: str  # empty: not listed in the menu, which understands the word all the same
    word: str
    meaning: str
    module: str

    def command(self) -> Any:
        return load(self.module).COMMANDS[self.word]


ROWS = (
    Row("Train", "train", "train a network; everything is kept in one folder", "training.commands"),
    Row("Train", "runs", "browse the saved runs: look, compare, note, delete", "training.browser"),
    Row("Draw", "draw", "a window to draw in; predictions follow the pen", "drawing.commands"),
    Row("Draw", "predict", "recognise a digit in a picture from a file", "drawing.commands"),
    Row("Draw", "xray", "from ink to 28x28, step by step", "drawing.commands"),
    Row("Draw", "personalise", "a copy of a network that learns your own hand", "drawing.personalise_commands"),
    Row("Understand", "saliency", "which pixels mattered, and whether to trust the map", "explain.commands"),
    Row("Understand", "inside", "what every filter makes of a digit, layer by layer", "explain.inside_commands"),
    Row("Understand", "data", "the digits, the split, and what augmentation does", "data.commands"),
    Row("Understand", "models", "the networks, layer by layer", "networks.commands"),
    Row("Understand", "experiment", "a question, answered over several seeds", "experiments.commands"),
    Row("", "resume", "continue a run that was killed", "training.commands"),
    Row("", "evaluate", "evaluate a saved run again, digit by digit", "training.commands"),
    Row("", "show", "one run: numbers, pictures, how to repeat it", "training.folder_commands"),
    Row("", "compare", "saved runs side by side: differences and mistakes", "experiments.commands"),
    Row("", "report", "a run, experiment or all folders as a page", "training.folder_commands"),
    Row("", "note", "a sentence of your own about a run", "training.browser"),
    Row("", "delete", "move runs into a bin", "training.browser"),
    Row("", "score", "score a file of labelled drawings", "drawing.commands"),
    Row("", "speed", "one epoch: the common recipe against the lab's", "experiments.commands"),
)
_LISTED = [row for row in ROWS if row.group]


def load(module: str) -> Any:
    """Import a module of a room: the one place that imports late, so that the menu appears at once."""
    name = f"mnist_lab.{module}"
    is_new = name not in sys.modules
    # Ctrl-C waits: torch, once interrupted while it loads, can't be loaded again.
    with graceful_interrupts(must_finish=lambda: True) as was_interrupted:
        gc.disable()
        try:
            loaded = import_module(name)
        except ImportError as error:
            raise LabError(f"a package can't be loaded: {error}", "install it: python -m pip install -e .") from error
        finally:
            if is_new:  # libraries stay: to look for garbage among them took 0.6 s here, and 0.8 s at the end
                gc.freeze()
            gc.enable()
    if was_interrupted():
        raise KeyboardInterrupt
    return loaded


def build_parser(outputs: Path = Path("outputs")) -> CommandParser:
    """The command line: one command per row."""
    parser = CommandParser(prog="python main.py", description="A laboratory for handwritten digits.")
    parser.add_argument("--version", action="version", version=f"MNIST Lab {__version__}")
    parser.add_outputs(outputs)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands (none: the menu)")
    for row in ROWS:
        commands.add_parser(row.word, find=row.command, help=row.meaning, description=row.meaning)
    return parser


def _show_menu(lab: Lab) -> None:
    """The menu, headed by what there is to work with."""
    table = Table.grid(padding=(0, 1))
    for number, row in enumerate(_LISTED, start=1):
        begins = number == 1 or row.group != _LISTED[number - 2].group
        group = f"[group]{row.group}[/group]" if begins else ""
        table.add_row(group, f"[key]{number:>2}[/key]", f" {row.word}", f"[hint]{row.meaning}[/hint]")
    table.add_row("[group]Leave[/group]", "[key] q[/key]", " quit", "")
    lab.terminal.show("", load("training.folder_commands").head_line(lab), "", table)
    lab.terminal.hint("Whole commands are understood, too: show latest, compare 1 2, --help")


def run_menu(lab: Lab) -> int:
    """Show the menu and act, until the user leaves; every refusal ends here, in one line and the menu again."""
    _show_menu(lab)
    while True:
        try:
            answer = lab.terminal.ask_line("\n[title]Choose[/title] (number or word; Enter shows the menu):")
        except (EOFError, KeyboardInterrupt):
            return OK
        if answer.lower() in ("q", "quit", "exit"):
            return OK
        if not answer:
            _show_menu(lab)
            continue
        try:
            _choose(lab, answer)
            load("training.folder_commands").refresh_index(lab)
        except EOFError:
            return OK
        except BackToMenu:
            lab.terminal.hint("back to the menu")
        except KeyboardInterrupt:
            lab.terminal.warn("Interrupted: back to the menu.")
        except LabError as error:
            lab.terminal.error(str(error))
        except OSError as error:
            lab.terminal.error(str(refusal_of(error)))  # raised again if this line can't be written


def _choose(lab: Lab, answer: str) -> None:
    """Do what was chosen in the menu: a row, which asks for the rest, or a whole command line."""
    if " " in answer or answer.startswith("-"):
        with suppress(SystemExit):  # which ends --help and --version
            _obey(lab, build_parser(lab.outputs).parse_args(_words_of(answer)))
        return
    words = [row.word for row in (_LISTED if answer.isdecimal() else ROWS)]
    try:
        row = next(row for row in ROWS if row.word == pick(answer, words))
    except ValueError:
        all_of_them = f"answer with a number from 1 to {len(_LISTED)} or a command: {', '.join(words)}; q leaves"
        raise RequestError(f"{answer!r} is not one of the choices", suggestion(answer, words, all_of_them)) from None
    with lab.terminal.busy("loading"):
        command = row.command()
    command.from_menu(lab)


def _words_of(line: str) -> list[str]:
    """The words of a command line, as a shell reads them; a backslash is a part of names, as on Windows."""
    reader = shlex.shlex(line, posix=True)
    reader.whitespace_split, reader.escape, reader.commenters = True, "", ""
    try:
        words = list(reader)
    except ValueError as error:
        raise RequestError(f"the line can't be read: {error}", "check its quotation marks") from None
    return words[2:] if words[:2] == ["python", "main.py"] else words


def _obey(lab: Lab, options: Namespace) -> int:
    if not hasattr(options, "command"):
        raise RequestError("no command is named", "begin the line with one: show latest")
    lab = replace(lab, outputs=options.outputs)
    with using_device(getattr(options, "device", None)):
        status: int = options.command.from_options(lab, options)
    return status


def _act(arguments: Sequence[str] | None) -> int:
    """Understand a command line and do what it says; returns the exit status."""
    terminal = Terminal(make_console())
    with terminal.busy("loading"):
        options = build_parser().parse_args(arguments)
    if getattr(options, "json", False) or getattr(options, "csv", False):
        terminal = Terminal(make_console(stderr=True))
    lab = Lab(terminal, options.outputs, load)
    if not hasattr(options, "command"):
        return run_menu(lab)
    status = _obey(lab, options)
    load("training.folder_commands").refresh_index(lab)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the menu or one command; returns 0, 1 for a refused request (one line on standard error), 130 for Ctrl-C."""
    prepare_environment()
    prepare_streams()
    try:
        try:
            return _act(arguments)
        finally:
            sys.stdout.flush()  # a failure to write is reported here, not by Python as it exits
    except LabError as error:
        return _end(str(error), FAILED)
    except KeyboardInterrupt:
        return _end("interrupted", INTERRUPTED)
    except OSError as error:  # the reader of our output, "head" say, has seen enough; or the disk is full
        discard_output()
        return OK if isinstance(error, BrokenPipeError) else _end(str(refusal_of(error)), FAILED)


def _end(line: str, status: int) -> int:
    Terminal(make_console(stderr=True)).error(line)
    return status


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())

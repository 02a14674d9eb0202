"""MNIST Lab: the menu, and the same rows as commands for scripts (python main.py --help)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(130)  # without a word, as nothing has begun yet


if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)  # while what follows is loaded

from importlib import import_module
from pathlib import Path

from rich.table import Table

from mnist_lab.environment import prepare_environment, using_device
from mnist_lab.errors import LabError
from mnist_lab.storage import refusal_of
from mnist_lab.terminal.console import BackToMenu, Terminal, discard_output, make_console, pick, prepare_streams
from mnist_lab.terminal.lab import FAILED, INTERRUPTED, OK, CommandParser, Lab, graceful_interrupts


@dataclass(frozen=True)
class Row:
    """One row of the menu; ``module``, below ``mnist_lab``, is the one whose ``COMMANDS`` hold it."""

    group: str
    word: str
    meaning: str
    module: str

    def command(self) -> Any:
        return load(self.module).COMMANDS[self.word]


ROWS = (
    Row("Train", "train", "train a network; everything is kept in one folder", "training.commands"),
    Row("Train", "resume", "continue a run that was killed", "training.commands"),
    Row("Explore", "data", "the digits, the split, and what augmentation does", "data.commands"),
    Row("Explore", "models", "the networks, layer by layer", "networks.commands"),
    Row("Explore", "evaluate", "evaluate a saved run again, digit by digit", "training.commands"),
    Row("Explore", "speed", "one epoch: the common recipe against the lab's", "experiments.commands"),
    Row("Draw", "draw", "a window to draw in; predictions follow the pen", "drawing.commands"),
    Row("Draw", "predict", "recognise a digit in a picture from a file", "drawing.commands"),
    Row("Draw", "xray", "from ink to 28x28, step by step", "drawing.commands"),
    Row("Draw", "saliency", "which pixels mattered, and whether to trust the map", "explain.commands"),
    Row("Draw", "score", "score a file of labelled drawings", "drawing.commands"),
    Row("Understand", "experiment", "a question, answered over several seeds", "experiments.commands"),
    Row("Understand", "compare", "saved runs side by side: differences and mistakes", "experiments.commands"),
    Row("Understand", "report", "a run, experiment or all folders as a page to read", "training.folder_commands"),
    Row("Runs", "runs", "leaderboard of all saved runs", "training.folder_commands"),
    Row("Runs", "show", "one run: numbers, pictures, how to repeat it", "training.folder_commands"),
)
_WORDS = [row.word for row in ROWS]


def load(module: str) -> Any:
    """Import a module of a room: the one place that imports late, so that the menu appears at once."""
    # Ctrl-C waits: torch, once interrupted while it loads, can't be loaded again.
    with graceful_interrupts(must_finish=lambda: True) as was_interrupted:
        try:
            loaded = import_module(f"mnist_lab.{module}")
        except ImportError as error:
            raise LabError(f"a package can't be loaded: {error}", "install it: python -m pip install -e .") from error
    if was_interrupted():
        raise KeyboardInterrupt
    return loaded


def build_parser() -> CommandParser:
    """The command line: one command per row of the menu."""
    parser = CommandParser(prog="python main.py", description="A laboratory for handwritten digits.")
    parser.add_outputs(Path("outputs"))
    commands = parser.add_subparsers(metavar="COMMAND", title="commands (none: the menu)")
    for row in ROWS:
        commands.add_parser(row.word, find=row.command, help=row.meaning, description=row.meaning)
    return parser


def _show_menu(lab: Lab) -> None:
    """The menu, headed by what there is to work with."""
    table = Table.grid(padding=(0, 1))
    for number, row in enumerate(ROWS, start=1):
        begins = number == 1 or row.group != ROWS[number - 2].group
        group = f"[group]{row.group}[/group]" if begins else ""
        table.add_row(group, f"[key]{number:>2}[/key]", f" {row.word}", f"[hint]{row.meaning}[/hint]")
    table.add_row("[group]Leave[/group]", "[key] q[/key]", " quit", "")
    lab.terminal.show("", load("training.folder_commands").head_line(lab), "", table)


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
            row = ROWS[_WORDS.index(pick(answer, _WORDS))]
        except ValueError as error:
            lab.terminal.warn(f"{error}; q leaves")
            continue
        try:
            with lab.terminal.busy("loading"):
                command = row.command()
            command.from_menu(lab)
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


def _act(arguments: Sequence[str] | None) -> int:
    """Understand a command line and do what it says; returns the exit status."""
    terminal = Terminal(make_console())
    with terminal.busy("loading"):
        options = build_parser().parse_args(arguments)
    if getattr(options, "json", False):
        terminal = Terminal(make_console(stderr=True))
    lab = Lab(terminal, options.outputs, load)
    if not hasattr(options, "command"):
        return run_menu(lab)
    with using_device(getattr(options, "device", None)):
        status: int = options.command.from_options(lab, options)
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
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())

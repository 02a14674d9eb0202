"""What every row of the menu works with: the lab at hand, what makes a row a command as well, and Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from argparse import SUPPRESS, Action, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from mnist_lab.environment import DEVICES
from mnist_lab.errors import RequestError, suggestion
from mnist_lab.terminal.console import Terminal

OK, FAILED, INTERRUPTED = 0, 1, 130  # exit statuses of a row; refusals are raised


@dataclass
class Lab:
    """What every row works with."""

    terminal: Terminal
    outputs: Path  # where runs and all other results are kept
    load: Callable[[str], Any]  # imports a module of a later room, "explain.figures" say, once it is needed
    now: Callable[[], datetime] = datetime.now
    remarks: set[str] = field(default_factory=set)  # those already made


@dataclass(frozen=True)
class Command:
    """A row of the menu, which is also a command; both ways return an exit status."""

    from_menu: Callable[[Lab], int]  # asks what it needs to know, then acts
    from_options: Callable[[Lab, Namespace], int]
    add_options: Callable[[ArgumentParser], object] = lambda parser: None
    computes: bool = True  # with networks, on a device that can be chosen


class CommandParser(ArgumentParser):
    """A parser that refuses in one line; given a command to find, it loads the command's room only when it is used."""

    def __init__(self, find: Callable[[], Command] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._find = find

    def error(self, message: str) -> NoReturn:
        raise RequestError(message, f"see {self.prog} --help")

    def _check_value(self, action: Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            what = "/".join(action.option_strings) or "command"
            raise RequestError(f"there is no {what} {value!r}", suggestion(value, action.choices))

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stderr).write(message)  # argparse itself ignores an output that can't be written

    def add_outputs(self, default: object) -> None:
        """Add the option that chooses the folder of all results."""
        shown = "where runs are kept (default: outputs)"
        self.add_argument("--outputs", type=folder_named, default=default, help=shown)

    def parse_known_args(self, *arguments: Any, **options: Any) -> Any:
        if self._find is None:
            return super().parse_known_args(*arguments, **options)
        command, self._find = self._find(), None
        self.add_outputs(SUPPRESS)
        command.add_options(self)
        if command.computes:
            where = "where to compute: cuda (NVIDIA), mps (Apple), cpu, or the first of these that works (auto)"
            self.add_argument("--device", choices=DEVICES, help=f"{where}; Dask workers choose for themselves")
        self.set_defaults(command=command)
        # Of what follows "--", parsing with options in between would take "-name" for an option.
        in_order = "--" in arguments[0]
        parse = super().parse_known_args if in_order else self.parse_known_intermixed_args  # which calls this again
        parsed, unknown = parse(*arguments, **options)
        if unknown:
            known = [name for action in self._actions for name in action.option_strings]
            remedy = suggestion(unknown[0].partition("=")[0], known, f"see {self.prog} --help")
            raise RequestError(f"unrecognized arguments: {' '.join(unknown)}", remedy)
        return parsed, []


def folder_named(answer: str) -> Path:
    """A folder as a user names it, ~ for home, whether it exists or not; ``ArgumentTypeError`` if it never can."""
    try:
        folder = Path(answer).expanduser()
        with suppress(OSError):  # what it is, if anything, is found out when it is used
            folder.stat()
    except (RuntimeError, ValueError):  # an unknown user's home; a null character, or a lone surrogate
        raise ArgumentTypeError(f"no folder can be called {answer!r}") from None
    return folder


def add_json_option(parser: ArgumentParser) -> None:
    """The option of commands that can answer a script, with ``Terminal.record``."""
    parser.add_argument("--json", action="store_true", help="one JSON object on each line, and nothing else")


def refuse_given(options: Namespace, names: Iterable[str], place: str) -> None:
    """Refuse, with a ``RequestError``, options that were given (are not None) where they would change nothing."""
    values = {name: getattr(options, name) for name in names}
    given = [
        f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
        for name, value in values.items()
        if value is not None
    ]
    if given:
        has, it = ("has", "it") if len(given) == 1 else ("have", "them")
        raise RequestError(f"{', '.join(given)} {has} no effect with {place}", f"omit {it}")


@contextmanager
def graceful_interrupts(
    on_request: Callable[[], None] = lambda: None, must_finish: Callable[[], bool] = lambda: False
) -> Iterator[Callable[[], bool]]:
    """Within this context the first Ctrl-C only sets a flag, which the yielded function returns; a second interrupts.

    Each that does not interrupt calls ``on_request``, in the signal handler. None interrupts while ``must_finish``.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set  # only the main thread may handle signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if requested.is_set() and not must_finish():
            raise KeyboardInterrupt
        requested.set()
        on_request()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield requested.is_set
    finally:
        signal.signal(signal.SIGINT, previous)

"""What the user sees and answers: theme, prompts, tables and progress, over a console and an input passed in."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from mnist_lab.errors import LabError, suggestion
from mnist_lab.terminal.keyboard import keyboard_ignored
from mnist_lab.terminal.wording import format_duration, plain, printable

_T = TypeVar("_T")

THEME = Theme(
    {
        "title": "bold cyan",
        "group": "bold",
        "key": "bold cyan",
        "hint": "dim",
        "best": "bold green",
        "warning": "yellow",
        "error": "bold red",
        "bar.complete": "cyan",
    }
)


class BackToMenu(Exception):  # noqa: N818 - a way out, not an error
    """The user left a question with q or Ctrl-C."""


class Choice(NamedTuple):
    """One answer to a question: the word that names it, and what it means."""

    word: str
    meaning: str = ""


class _LabConsole(Console):
    def render_str(self, text: str, **options: Any) -> Text:  # without control characters, whatever a name holds
        return super().render_str("\n".join(map(printable, text.split("\n"))), **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # for the caller to deal with; rich would end the program with status 1


def make_console(**options: Any) -> Console:
    """The lab's console. Numbers are not recoloured, as colour means something here; ``:bomb:`` stays as it is."""
    return _LabConsole(theme=THEME, highlight=False, emoji=False, **options)


class Terminal:
    """A console to show things on and a source of answers, which raises ``EOFError`` at its end."""

    def __init__(self, console: Console, read_line: Callable[[], str] = input) -> None:
        self.console = console
        self._read_line = read_line

    def show(self, *renderables: object) -> None:
        """Print markup or rich renderables, each below the last."""
        for renderable in renderables:
            self.console.print(renderable)

    def hint(self, text: str) -> None:
        self.console.print(Text(printable(text), "hint"))

    def line(self, text: str) -> None:
        """One plain line, never wrapped: a path to copy, or a result for a script."""
        self.console.print(Text(printable(text)), soft_wrap=True)

    def record(self, content: Mapping[str, object]) -> None:
        """One JSON object on a line of standard output, for a script; with --json all else goes to standard error."""
        sys.stdout.write(json.dumps(content) + "\n")

    def busy(self, what: str) -> AbstractContextManager[object, None]:
        """Say what is going on while something takes a moment; leaves no trace, and nothing in a pipe."""
        status = self.console.status(Text(f"{printable(what)} ...", "hint"))
        return status if self.console.is_terminal else nullcontext()

    def warn(self, text: str, style: str = "warning") -> None:
        """One line about something that went wrong without stopping the work."""
        self.console.print(Text(printable(text), style), soft_wrap=not self.console.is_terminal)

    def error(self, text: str) -> None:
        self.warn(text, "error")

    def ask_line(self, question: str) -> str:
        """Show a question (markup) and read one line, without surrounding spaces; ``EOFError`` if there is none."""
        self.console.print(question, end=" ")
        try:
            answer = self._read_line()
        except (EOFError, KeyboardInterrupt):
            self.console.print()
            raise
        if not self.console.is_terminal:
            self.console.print()  # a pipe does not echo the line end that the user would have typed
        return answer.strip()

    def ask(self, question: str, default: str, parse: Callable[[str], _T]) -> _T:
        """Ask until ``parse`` understands the answer or, after Enter, the default; its error says what is wrong.

        q and Ctrl-C raise ``BackToMenu``, the end of the input ``EOFError``.
        """
        shown = rf" [hint]\[{plain(default)}][/hint]" if default else ""
        while True:
            try:
                answer = self.ask_line(f"{plain(question)}{shown}:")
            except KeyboardInterrupt:
                raise BackToMenu from None
            if answer.lower() == "q":
                raise BackToMenu
            try:
                return parse(answer or default)
            except (ValueError, ArgumentTypeError, LabError) as error:
                self.warn(str(error))

    def choose(self, question: str, choices: Sequence[Choice], default: str) -> str:
        """Show a short list and ask for one of its rows, by number or by word."""
        self.show_choices(choices)
        words = [choice.word for choice in choices]
        return self.ask(question, default, lambda answer: pick(answer, words))

    def show_choices(self, choices: Sequence[Choice]) -> None:
        table = Table.grid(padding=(0, 2))
        for number, choice in enumerate(choices, start=1):
            table.add_row(f"  [key]{number}[/key]", plain(choice.word), f"[hint]{plain(choice.meaning)}[/hint]")
        self.show(table)

    def ask_whole(self, question: str, default: int, low: int, high: int) -> int:
        def parse(answer: str) -> int:
            with suppress(ValueError):
                if low <= int(answer) <= high:
                    return int(answer)
            raise ValueError(f"{answer!r} is not a whole number from {low:,} to {high:,}")

        return self.ask(question, str(default), parse)

    def ask_number(self, question: str, default: float, low: float, high: float) -> float:
        def parse(answer: str) -> float:
            with suppress(ValueError):
                if low <= float(answer) <= high:
                    return float(answer)
            raise ValueError(f"{answer!r} is not a number from {low:,.10g} to {high:,.10g}")

        return self.ask(question, f"{default:g}", parse)

    def ask_yes_no(self, question: str, *, default: bool) -> bool:
        answers = ("yes", "no")
        return self.ask(f"{question} (y/n)", "y" if default else "n", lambda answer: pick(answer, answers) == "yes")


def pick(answer: str, words: Sequence[str]) -> str:
    """The word that an answer names, by number, in full, or by a beginning that fits no other; else ``ValueError``."""
    if answer.isdecimal() and 1 <= int(answer) <= len(words):
        return words[int(answer) - 1]
    if answer in words:
        return answer
    for fits in (str.__eq__, str.startswith):
        fitting = [word for word in words if answer and fits(word.lower(), answer.lower())]
        if len(fitting) == 1:
            return fitting[0]
    all_of_them = f"answer with a number from 1 to {len(words)} or a word: {', '.join(words)}"
    remedy = suggestion(answer, words, all_of_them)
    raise ValueError(f"{answer!r} is not one of the choices; {remedy}")


class RunProgress(NamedTuple):
    """How far one of many trainings is, 0 to 1, and a few words about it."""

    name: str
    fraction: float
    note: str


@dataclass
class ManyDisplay:
    """One live display for many trainings, while what is typed is ignored; in a pipe, a line for each that ends."""

    console: Console
    total: int
    under_way: Callable[[], Sequence[RunProgress]]  # asked several times a second
    forecast: float | None = None  # seconds that all of it was expected to take
    clock: Callable[[], float] = time.monotonic  # counts seconds

    def __post_init__(self) -> None:
        self._started, self._ended = self.clock(), 0
        self._head_start: dict[str, float] = {}  # how far each was when first seen: work that took no time here
        self._live = Live(console=self.console, get_renderable=self.render, refresh_per_second=4, transient=True)
        self._open = ExitStack()

    def __enter__(self) -> ManyDisplay:
        self._open.enter_context(keyboard_ignored())
        if self.console.is_terminal:
            self._open.enter_context(self._live)
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def end(self, line: str) -> None:
        """One more training has ended; its line (markup) stays."""
        self._ended += 1
        self.console.print(f"[hint]{self._ended:>3}/{self.total}[/hint]  {line}", soft_wrap=True)

    def render(self) -> Table:
        """A bar for all, and one for each training under way."""
        running = self.under_way()
        done = min(self._ended + sum(one.fraction for one in running), self.total)
        table = Table.grid(padding=(0, 2))
        ended, left = f"{self._ended} of {self.total} done", self._time_left(running, done)
        table.add_row("[title]all[/title]", ProgressBar(self.total, done, width=24), ended, left)
        for one in running:
            table.add_row(plain(one.name), ProgressBar(1, one.fraction, width=24), plain(one.note), "")
        return table

    def _time_left(self, running: Sequence[RunProgress], done: float) -> str:
        """From the forecast at first, as the first epochs say little, and in the end from the time taken so far."""
        self._head_start = {one.name: one.fraction for one in running} | self._head_start
        if running and all(one.fraction == 1 for one in running) and self._ended + len(running) == self.total:
            return "a few seconds left"  # only pictures are still to be drawn
        worked, elapsed = done - sum(self._head_start.values()), self.clock() - self._started
        # A forecast counts all epochs, even those that a resumed training has already done.
        left = -elapsed if any(self._head_start.values()) else (self.forecast or 0.0) - elapsed
        if worked > 0.02:
            by_speed = elapsed * (self.total - done) / worked
            trust = worked / (worked + self.total - done)  # in the time taken: the fraction of the work done
            left = trust * by_speed + (1 - trust) * max(by_speed, left)
        return f"{format_duration(left)} left" if left > 0 else ""


def prepare_streams() -> None:
    """Let standard input and output take any text, and replace those that were closed before the start."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name) or open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115, PTH123 - to the end
        if isinstance(stream, io.TextIOWrapper):
            # Names of files need not be text; a console without "±" shows "?" instead of failing.
            stream.reconfigure(errors="surrogateescape" if mode == "r" else "replace")
        setattr(sys, name, stream)


def discard_output() -> None:
    """Discard what is still to be written to standard output: Python would fail on it again."""
    with suppress(OSError, ValueError):  # an output that is not a file can't fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

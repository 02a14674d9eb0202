"""What the user sees and answers: theme, prompts, tables and progress, over a console and an input handed in."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from mnist_lab.terminal.wording import format_duration, plain, printable

T = TypeVar("T")

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
        "bar.finished": "green",
    }
)


class BackToMenu(Exception):  # noqa: N818 - a way out, not an error
    """The user left a question with q or Ctrl-C."""


@dataclass(frozen=True)
class Choice:
    """One answer to a question: the word that names it, and what it means."""

    word: str
    meaning: str = ""


class LabConsole(Console):
    """A console on which whatever a name holds, no control character of it reaches the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str("\n".join(map(printable, text.split("\n"))), **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # for the caller to deal with; rich would end the program with status 1


def make_console(**options: Any) -> Console:
    """The lab's console. Numbers are not recoloured: colour means something here. ``:bomb:`` is a name, no emoji."""
    return LabConsole(theme=THEME, highlight=False, emoji=False, **options)


class Terminal:
    """A console to show things on and a source of answers.

    Args:
        console: where everything is shown.
        read_line: gives the next line of input; raises ``EOFError`` at its end. Tests hand in a list's ``pop``.
    """

    def __init__(self, console: Console, read_line: Callable[[], str] = input) -> None:
        self.console = console
        self.read_line = read_line

    def show(self, *renderables: object) -> None:
        """Print markup or rich renderables, each below the last."""
        for renderable in renderables:
            self.console.print(renderable)

    def hint(self, text: str) -> None:
        """A quiet remark."""
        self.console.print(Text(printable(text), "hint"))

    def line(self, text: str) -> None:
        """One plain line, never wrapped: a path to copy, or a result for a script."""
        self.console.print(Text(printable(text)), soft_wrap=True)

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Say what is going on while something takes a moment; leaves no trace, and nothing in a pipe."""
        if self.console.is_terminal:
            with self.console.status(Text(f"{printable(what)} ...", "hint")):
                yield
        else:
            yield

    def warn(self, text: str) -> None:
        """One line about something that went wrong without stopping the work."""
        self.console.print(Text(printable(text), "warning"), soft_wrap=not self.console.is_terminal)

    def error(self, text: str) -> None:
        """One line about a refused request."""
        self.console.print(Text(printable(text), "error"), soft_wrap=not self.console.is_terminal)

    def ask_line(self, question: str) -> str:
        """Show a question (markup) and read one line, without surrounding blanks.

        Raises:
            EOFError: the input has ended.
        """
        self.console.print(question, end=" ")
        try:
            answer = self.read_line()
        except (EOFError, KeyboardInterrupt):
            self.console.print()
            raise
        if not self.console.is_terminal:
            self.console.print()  # a pipe does not echo the line end that the user would have typed
        return answer.strip()

    def ask(self, question: str, default: str, parse: Callable[[str], T]) -> T:
        """Ask until the answer can be understood; Enter takes the default.

        Args:
            question: plain text.
            default: shown in brackets, and parsed when the user just presses Enter.
            parse: turns the answer into a value; a ``ValueError`` explains what is wrong with it.

        Raises:
            BackToMenu: the user answered q, or pressed Ctrl-C.
            EOFError: the input has ended.
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
            except ValueError as error:
                self.warn(str(error))

    def choose(self, question: str, choices: Sequence[Choice], default: str) -> str:
        """Show a short list and ask for one of its rows, by number or by word."""
        words = [choice.word for choice in choices]
        return self.choose_or(question, choices, default, lambda answer: pick(answer, words))

    def choose_or(
        self, question: str, choices: Sequence[Choice], default: str, understand: Callable[[str], T], note: str = ""
    ) -> T:
        """The same where other answers are possible too, which ``understand`` tells and ``note`` describes."""
        table = Table.grid(padding=(0, 2))
        for number, choice in enumerate(choices, start=1):
            table.add_row(f"  [key]{number}[/key]", plain(choice.word), f"[hint]{plain(choice.meaning)}[/hint]")
        self.show(table)
        if note:
            self.hint(note)
        return self.ask(question, default, understand)

    def ask_whole(self, question: str, default: int, low: int, high: int) -> int:
        """Ask for a whole number in a range."""
        return self.ask(question, str(default), lambda answer: parse_whole(answer, low, high))

    def ask_yes_no(self, question: str, *, default: bool) -> bool:
        """Ask for yes or no."""
        return self.ask(f"{question} (y/n)", "y" if default else "n", parse_yes_no)


def pick(answer: str, words: Sequence[str]) -> str:
    """The word that an answer means: its number in the list, the word itself, or a beginning that fits one alone.

    Raises:
        ValueError: none or several fit; the message says what can be answered.
    """
    if answer.isdecimal() and 1 <= int(answer) <= len(words):
        return words[int(answer) - 1]
    if answer in words:
        return answer
    for fits in (str.__eq__, str.startswith):
        fitting = [word for word in words if answer and fits(word.lower(), answer.lower())]
        if len(fitting) == 1:
            return fitting[0]
    raise ValueError(
        f"{answer!r} is no choice here; answer with a number from 1 to {len(words)} or a word: {', '.join(words)}"
    )


def parse_whole(answer: str, low: int, high: int) -> int:
    """A whole number in a range.

    Raises:
        ValueError: it is none; the message names the range.
    """
    try:
        value = int(answer)
    except ValueError:
        raise ValueError(f"{answer!r} is no whole number; give one from {low:,} to {high:,}") from None
    if not low <= value <= high:
        raise ValueError(f"{value} is out of range; give a whole number from {low:,} to {high:,}")
    return value


def parse_yes_no(answer: str) -> bool:
    """True for y or yes, False for n or no.

    Raises:
        ValueError: it is neither.
    """
    if answer.lower() in ("y", "yes"):
        return True
    if answer.lower() in ("n", "no"):
        return False
    raise ValueError(f"{answer!r} is neither y nor n")


@dataclass(frozen=True)
class Standing:
    """How far one of many trainings is: 0 to 1, and a few words."""

    name: str
    share: float
    note: str


class ManyDisplay:
    """One live display for many trainings at once; in a pipe, a line for each that ends.

    Args:
        console: where it is shown.
        total: trainings in all.
        standings: asked several times a second how far those under way are.
        forecast: seconds that all of it was expected to take, if anything was.
        clock: seconds, for the time left.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        standings: Callable[[], Sequence[Standing]],
        forecast: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console
        self.total = total
        self.standings = standings
        self.forecast = forecast
        self.clock = clock
        self.started = clock()
        self.ended = 0
        self.head_start: dict[str, float] = {}  # how far each was when first seen: done before, in no time
        self.live = Live(console=console, get_renderable=self.render, refresh_per_second=4, transient=True)

    def __enter__(self) -> ManyDisplay:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.stop()

    def end(self, line: str) -> None:
        """One more training has ended; its line (markup) stays."""
        self.ended += 1
        self.console.print(f"[hint]{self.ended:>3}/{self.total}[/hint]  {line}", soft_wrap=True)
        self.live.refresh()

    def render(self) -> Table:
        """A bar for all, and one for each training under way, as many as there is room for."""
        running = self.standings()
        done = min(self.ended + sum(standing.share for standing in running), self.total)
        table = Table.grid(padding=(0, 2))
        ended = f"{self.ended} of {self.total} done"
        table.add_row(
            "[title]all[/title]", ProgressBar(self.total, done, width=24), ended, self.time_left(running, done)
        )
        room = max(1, self.console.height - 4)
        for standing in running[:room]:
            table.add_row(plain(standing.name), ProgressBar(1, standing.share, width=24), plain(standing.note), "")
        if len(running) > room:
            table.add_row(f"[hint]and {len(running) - room} more[/hint]", "", "", "")
        return table

    def time_left(self, running: Sequence[Standing], done: float) -> str:
        """How long it will take: at first by the forecast, in the end by the pace so far; nothing if both are missing.

        The pace knows nothing yet of what comes after the epochs of the first trainings.
        """
        for standing in running:
            self.head_start.setdefault(standing.name, standing.share)
        if running and all(one.share == 1 for one in running) and self.ended + len(running) == self.total:
            return "a few seconds left"  # only pictures are still drawn
        worked, elapsed = done - sum(self.head_start.values()), self.clock() - self.started
        # A forecast counts all epochs, also those that a resumed training has behind it.
        forecast = None if any(self.head_start.values()) else self.forecast
        if worked <= 0.02:
            return "" if forecast is None or forecast < elapsed else f"{format_duration(forecast - elapsed)} left"
        left = elapsed * (self.total - done) / worked
        if forecast is not None:
            trust = worked / (worked + self.total - done)  # in the pace, as far as the work is done
            left = trust * left + (1 - trust) * max(left, forecast - elapsed)
        return f"{format_duration(left)} left"


def borderless(title: str, *, left: Sequence[str] = (), right: Sequence[str] = (), gap: int = 2) -> Table:
    """An empty table without lines: first the columns that are aligned left, then those aligned right."""
    table = Table(title=plain(title) or None, title_justify="left", box=None, padding=(0, gap, 0, 0))
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def prepare_streams() -> None:
    """Make standard input and output fit for anything, and replace those that were closed before the start."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that knows no "±" shows "?" instead of failing
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # as in names of files, which need not be text


def discard_output() -> None:
    """Let what is still to be written to standard output go nowhere, so that Python does not fail at it again."""
    with suppress(OSError, ValueError):  # an output that is no file can't fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

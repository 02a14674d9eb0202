"""What the user sees and answers: theme, prompts, tables and progress, over a console and an input handed in."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from mnist_lab.errors import LabError
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


class Choice(NamedTuple):
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
    """A console to show things on and a source of answers, which raises ``EOFError`` at its end."""

    def __init__(self, console: Console, read_line: Callable[[], str] = input) -> None:
        self.console = console
        self._read_line = read_line

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

    def warn(self, text: str, style: str = "warning") -> None:
        """One line about something that went wrong without stopping the work."""
        self.console.print(Text(printable(text), style), soft_wrap=not self.console.is_terminal)

    def error(self, text: str) -> None:
        """One line about a refused request."""
        self.warn(text, "error")

    def ask_line(self, question: str) -> str:
        """Show a question (markup) and read one line, without surrounding blanks.

        Raises:
            EOFError: the input has ended.
        """
        self.console.print(question, end=" ")
        try:
            answer = self._read_line()
        except (EOFError, KeyboardInterrupt):
            self.console.print()
            raise
        if not self.console.is_terminal:
            self.console.print()  # a pipe does not echo the line end that the user would have typed
        return answer.strip()

    def ask(self, question: str, default: str, parse: Callable[[str], T]) -> T:
        """Ask until ``parse`` understands the answer; its ``ValueError`` says what is wrong, Enter takes the default.

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
            except (ValueError, LabError) as error:
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
        return self.ask(question, str(default), lambda answer: _whole(answer, low, high))

    def ask_yes_no(self, question: str, *, default: bool) -> bool:
        """Ask for yes or no."""
        return self.ask(f"{question} (y/n)", "y" if default else "n", _yes_or_no)


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
        f"{answer!r} is not one of the choices; answer with a number from 1 to {len(words)} or a word: "
        f"{', '.join(words)}"
    )


def _whole(answer: str, low: int, high: int) -> int:
    try:
        value = int(answer)
    except ValueError:
        raise ValueError(f"{answer!r} is not a whole number; give one from {low:,} to {high:,}") from None
    if not low <= value <= high:
        raise ValueError(f"{value} is out of range; give a whole number from {low:,} to {high:,}")
    return value


def _yes_or_no(answer: str) -> bool:
    for word, value in (("yes", True), ("no", False)):
        if answer.lower() in (word, word[0]):
            return value
    raise ValueError(f"{answer!r} is neither y nor n")


class RunProgress(NamedTuple):
    """How far one of many trainings is, 0 to 1, and a few words about it."""

    name: str
    fraction: float
    note: str


class ManyDisplay:
    """One live display for so many trainings; in a pipe, a line for each that ends.

    How far those under way are is asked several times a second. The forecast is the seconds that all of it was expected
    to take, if anything was; the clock counts seconds.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        under_way: Callable[[], Sequence[RunProgress]],
        forecast: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console
        self._total = total
        self._under_way = under_way
        self._forecast = forecast
        self._clock = clock
        self._started = clock()
        self._ended = 0
        self._head_start: dict[str, float] = {}  # how far each was when first seen: done before, in no time
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=4, transient=True)

    def __enter__(self) -> ManyDisplay:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def end(self, line: str) -> None:
        """One more training has ended; its line (markup) stays."""
        self._ended += 1
        self.console.print(f"[hint]{self._ended:>3}/{self._total}[/hint]  {line}", soft_wrap=True)
        self._live.refresh()

    def render(self) -> Table:
        """A bar for all, and one for each training under way, as many as there is room for."""
        running = self._under_way()
        done = min(self._ended + sum(one.fraction for one in running), self._total)
        table = Table.grid(padding=(0, 2))
        ended = f"{self._ended} of {self._total} done"
        left = self._time_left(running, done)
        table.add_row("[title]all[/title]", ProgressBar(self._total, done, width=24), ended, left)
        room = max(1, self.console.height - 4)
        for one in running[:room]:
            table.add_row(plain(one.name), ProgressBar(1, one.fraction, width=24), plain(one.note), "")
        if len(running) > room:
            table.add_row(f"[hint]and {len(running) - room} more[/hint]", "", "", "")
        return table

    def _time_left(self, running: Sequence[RunProgress], done: float) -> str:
        """At first by the forecast, in the end by the time taken so far; nothing if both are missing.

        The first trainings' epochs tell nothing yet of what comes after them.
        """
        for one in running:
            self._head_start.setdefault(one.name, one.fraction)
        if running and all(one.fraction == 1 for one in running) and self._ended + len(running) == self._total:
            return "a few seconds left"  # only pictures are still drawn
        worked, elapsed = done - sum(self._head_start.values()), self._clock() - self._started
        # A forecast counts all epochs, also those that a resumed training has behind it.
        forecast = None if any(self._head_start.values()) else self._forecast
        if worked <= 0.02:
            return "" if forecast is None or forecast < elapsed else f"{format_duration(forecast - elapsed)} left"
        left = elapsed * (self._total - done) / worked
        if forecast is not None:
            trust = worked / (worked + self._total - done)  # in the time taken, as far as the work is done
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

"""What reaches the terminal, how it asks, and displays over a clock that the test moves."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mnist_lab.terminal.console import BackToMenu, Choice, ManyDisplay, RunProgress, Terminal, make_console, pick


def asked(
    answers: Sequence[str | type[BaseException]], ask: Callable[[Terminal], Any], **options: Any
) -> tuple[Any, str]:
    """What a question came to with these answers, all of which it takes, and what was shown."""
    left, shown = list(answers), io.StringIO()

    def read_line() -> str:
        answer = left.pop(0)
        if isinstance(answer, str):
            return answer
        raise answer

    value = ask(Terminal(make_console(file=shown, width=80, **options), read_line))
    assert not left
    return value, shown.getvalue()


CHOICES = [Choice("train", "a network"), Choice("resume"), Choice("runs")]


def test_enter_takes_the_default_and_questions_repeat_until_they_are_understood() -> None:
    assert asked([""], lambda terminal: terminal.ask_yes_no("Sure", default=True))[0] is True
    value, shown = asked(["maybe", "NO"], lambda terminal: terminal.ask_yes_no("Sure", default=True))
    assert value is False
    assert "'maybe' is not one of the choices; answer with a number from 1 to 2 or a word: yes, no" in shown
    value, shown = asked(["x", "2"], lambda terminal: terminal.choose("Which", CHOICES, default="train"))
    assert value == "resume"
    assert "'x' is not one of the choices" in shown
    value, shown = asked([" three", "0", "11", " 7 "], lambda terminal: terminal.ask_whole("How many", 5, 1, 10))
    assert value == 7
    for refused in ("three", "0", "11"):
        assert f"'{refused}' is not a whole number from 1 to 10" in shown


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("q", BackToMenu), ("Q", BackToMenu), (KeyboardInterrupt, BackToMenu), (EOFError, EOFError)],
)
def test_every_question_can_be_left(answer: str | type[BaseException], outcome: type[BaseException]) -> None:
    for ask in (
        lambda terminal: terminal.ask_yes_no("Sure", default=True),
        lambda terminal: terminal.ask_whole("How many", 5, 1, 10),
        lambda terminal: terminal.choose("Which", CHOICES, default="train"),
    ):
        with pytest.raises(outcome):
            asked([answer], ask)


def test_an_answer_is_a_number_a_word_or_a_beginning_that_fits_one_alone() -> None:
    words = [choice.word for choice in CHOICES]
    assert [pick(answer, words) for answer in ("1", "runs", "TRAIN", "t", "re")] == [
        "train", "runs", "train", "train", "resume",
    ]  # fmt: skip
    assert [pick(answer, ["Mine", "mine too", "7"]) for answer in ("mine", "3", "7")] == ["Mine", "7", "7"]
    for answer in ("r", "", "0", "4", "²"):
        with pytest.raises(ValueError, match="is not one of the choices; answer with a number from 1 to 3"):
            pick(answer, words)


def test_questions_and_choices_are_not_markup() -> None:
    hostile = "[bold]\x1b[2J[/x]"
    ask = lambda terminal: terminal.choose(hostile, [Choice(hostile, hostile)], hostile)  # noqa: E731
    value, shown = asked(["1"], ask)
    assert value == hostile
    assert shown.count("[bold]?[2J[/x]") == 4  # the choice, its meaning, the question, the default


def test_no_control_character_reaches_the_terminal_however_it_is_shown() -> None:
    shown = io.StringIO()
    terminal = Terminal(make_console(file=shown))
    for show in (terminal.show, terminal.line, terminal.hint, terminal.warn, terminal.error):
        show("a\x1b[2J\u202e\ud800b")
    assert shown.getvalue() == "a?[2J??b\n" * 5


def test_what_a_script_reads_is_never_wrapped() -> None:
    shown = io.StringIO()
    terminal = Terminal(make_console(file=shown, width=20))
    for show in (terminal.line, terminal.warn, terminal.error):
        show("word " * 20)
    assert len(shown.getvalue().splitlines()) == 3


def test_streams_take_names_that_are_not_text_and_signs_that_the_console_lacks() -> None:
    code = "from mnist_lab.terminal.console import prepare_streams; prepare_streams(); print(ascii(input()), chr(177))"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"\xff\n", capture_output=True, env=environment, check=True
    )
    assert done.stdout.split() == [rb"'\udcff'", b"?"]


# ------------------------------------------------------------------------------------------ many at once


class Screen:
    """A display of two trainings, whose progress and seconds the test sets."""

    def __init__(self, forecast: float | None, total: int = 2) -> None:
        self.now, self.running, self.file = 0.0, list[RunProgress](), io.StringIO()
        console = make_console(file=self.file, width=100)
        self.display = ManyDisplay(console, total, lambda: self.running, forecast, lambda: self.now)

    def shown(self, seconds: float, *fractions: float) -> list[str]:
        """The display's lines after so many seconds."""
        self.now = seconds
        self.running = [RunProgress(f"run {n}", fraction, "epoch 1") for n, fraction in enumerate(fractions)]
        console = make_console(file=io.StringIO(), width=100)
        with console.capture() as captured:
            console.print(self.display.render())
        return [" ".join(line.split()) for line in captured.get().splitlines()]


@pytest.mark.parametrize(
    ("forecast", "expected"),
    [
        (100.0, ["1 min 40 s left", "1 min 30 s left", "50.0 s left", "5.0 s left"]),
        (None, ["", "", "20.0 s left", "5.0 s left"]),
        (9.0, ["9.0 s left", "", "20.0 s left", "5.0 s left"]),  # a forecast that the time taken belies
    ],
)
def test_the_time_left_begins_with_the_forecast_and_ends_with_the_time_taken(
    forecast: float | None, expected: list[str]
) -> None:
    screen = Screen(forecast)
    screen.shown(0.0, 0.0, 0.0)
    for seconds, fractions, left in zip(
        (0.0, 10.0, 20.0, 95.0), ((0.0, 0.0), (0.01, 0.0), (0.5, 0.5), (1.0, 0.9)), expected, strict=True
    ):
        assert screen.shown(seconds, *fractions)[0].partition("done")[2].strip() == left


def test_what_was_done_before_the_display_began_says_nothing_about_the_speed() -> None:
    screen = Screen(100.0, total=1)
    assert screen.shown(0.0, 0.5)[0].endswith("0 of 1 done")
    assert screen.shown(10.0, 0.75)[0].endswith("10.0 s left")
    assert screen.shown(20.0, 1.0)[0].endswith("a few seconds left")


def test_each_training_that_ends_leaves_a_line() -> None:
    screen = Screen(None, total=8)
    with screen.display as display:
        display.end("3-layer, seed 0: [best]99.50 %[/best]")
    assert screen.file.getvalue() == "  1/8  3-layer, seed 0: 99.50 %\n"
    lines = screen.shown(1.0, *[0.5] * 5)
    assert "1 of 8 done" in lines[0]
    assert [line.split("━")[0].strip() for line in lines[1:]] == [f"run {number}" for number in range(5)]

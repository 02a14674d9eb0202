"""What reaches the terminal, and displays over a clock that the test moves."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mnist_lab.terminal.console import ManyDisplay, Standing, Terminal, make_console


class Clock:
    """Seconds, as the test sets them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("forecast", "expected"),
    [
        (100.0, ["1 min 40 s left", "1 min 30 s left", "50.0 s left", "5.0 s left"]),
        (None, ["", "", "20.0 s left", "5.0 s left"]),
        (9.0, ["9.0 s left", "", "20.0 s left", "5.0 s left"]),  # a forecast that the pace belies
    ],
)
def test_the_time_left_begins_with_the_forecast_and_ends_with_the_pace(
    forecast: float | None, expected: list[str]
) -> None:
    clock = Clock()
    display = ManyDisplay(Console(file=io.StringIO()), 2, list, forecast, clock)
    found = []
    for seconds, done in ((0.0, 0.0), (10.0, 0.01), (20.0, 1.0), (95.0, 1.9)):
        clock.now = seconds
        found.append(display.time_left([], done))
    assert found == expected


def test_what_was_done_before_the_display_began_says_nothing_about_the_pace() -> None:
    clock = Clock()
    display = ManyDisplay(Console(file=io.StringIO()), 1, list, 100.0, clock)
    assert display.time_left([Standing("resumed", 0.5, "")], 0.5) == ""
    clock.now = 10.0
    assert display.time_left([Standing("resumed", 0.75, "")], 0.75) == "10.0 s left"


def test_no_control_character_reaches_the_terminal_however_it_is_shown() -> None:
    shown = io.StringIO()
    terminal = Terminal(make_console(file=shown))
    for show in (terminal.show, terminal.line, terminal.hint, terminal.warn, terminal.error):
        show("a\x1b[2J\u202e\ud800b")
    assert shown.getvalue() == "a?[2J??b\n" * 5

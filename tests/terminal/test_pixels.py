"""Pictures in the terminal, on a recorded console."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from mnist_lab.terminal.console import make_console
from mnist_lab.terminal.pixels import beside_bars, half_blocks, probability_bars, shows_pixels

PICTURE = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)


class Stream(io.StringIO):
    """A terminal of an encoding."""

    def __init__(self, encoding: str, *, is_terminal: bool = True) -> None:
        super().__init__()
        self._encoding, self._is_terminal = encoding, is_terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._is_terminal


def terminal(encoding: str = "utf-8", *, width: int = 80, is_terminal: bool = True, **environment: str) -> Console:
    variables = {"TERM": "xterm-256color", **environment}
    console: Console = make_console(
        file=Stream(encoding, is_terminal=is_terminal), width=width, _environ=variables, legacy_windows=False
    )
    return console


def greys_of(text: Text) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """The picture that the colours of half-blocks show."""
    rows = []
    for line in text.split("\n"):
        styles = [line.get_style_at_offset(make_console(), place) for place in range(len(line))]
        assert all(style.color and style.bgcolor for style in styles)
        rows.append([style.color.triplet.red for style in styles if style.color and style.color.triplet])
        rows.append([style.bgcolor.triplet.red for style in styles if style.bgcolor and style.bgcolor.triplet])
    return np.array(rows, dtype=np.uint8)


@pytest.mark.parametrize("height", [28, 27, 1])
def test_two_pixels_stand_in_each_character(height: int) -> None:
    text = half_blocks(PICTURE[:height])
    assert text.plain == "\n".join(["▀" * 28] * ((height + 1) // 2))
    shown = greys_of(text)
    assert np.array_equal(shown[:height], PICTURE[:height])
    assert not shown[height:].any()


def test_the_likeliest_digit_is_marked_without_colour_and_the_bars_have_their_length() -> None:
    probabilities = [0.0, 0.25, 0.005, 0.74, 0.005, 0, 0, 0, 0, 0]
    lines = probability_bars(probabilities).plain.split("\n")
    assert [line[:3].strip() for line in lines] == ["0", "1", "2", "▸ 3", *"456789"]
    assert [line.count("█") for line in lines] == [0, 5, 0, 14, *[0] * 6]
    assert lines[3][4 + 14] == "▊"  # 14.8 characters
    assert lines[2][4] == "▏"
    assert [line.split()[-2] for line in lines[:4]] == ["0.0", "25.0", "0.5", "74.0"]
    assert {len(line) for line in lines} == {33}


def test_a_picture_and_its_bars_fit_80_columns() -> None:
    console = terminal()
    console.print(beside_bars(PICTURE, "long " * 9, [0.1] * 10, "with all steps", "several digits"))
    assert isinstance(console.file, io.StringIO)
    lines = Text.from_ansi(console.file.getvalue()).plain.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("▀" * 28 in line for line in lines) == 14
    assert "".join(line[:28].strip() for line in lines if "▀" not in line).replace(" ", "") == "long" * 9
    assert "▲ several digits" in lines[13]


@pytest.mark.parametrize(
    ("console", "expected"),
    [
        (terminal(), True),
        (terminal(COLORTERM="truecolor", TERM="xterm"), True),
        (terminal(width=63), False),
        (terminal(NO_COLOR="1"), False),
        (terminal(TERM="dumb"), False),
        (terminal(TERM="xterm"), False),  # sixteen colours have two greys
        (terminal("cp1252"), False),
        (terminal(is_terminal=False), False),
    ],
)
def test_pictures_are_shown_only_where_they_can_be_seen(console: Console, expected: bool) -> None:
    assert shows_pixels(console) == expected

"""Charts in the terminal, as their characters, colours and the values that their axes name."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.text import Text

from mnist_lab.terminal.chart import (
    ACCURACY,
    COLOURS,
    LOGARITHMIC,
    MARKERS,
    Line,
    Scale,
    can_show_charts,
    line_chart,
)
from mnist_lab.terminal.console import make_console

LINEAR = Scale(lambda value: value)


def chart(*lines: Line, scale: Scale = LINEAR, width: int = 39, height: int = 10) -> Text:
    return line_chart(lines, title="loss", x_label="epoch", width=width, height=height, x_end=4.0, scale=scale)


def line(points: list[tuple[float, float]], marker: str = "", colour: str = COLOURS[0]) -> Line:
    return Line("training", points, colour, marker)


def drawn_in(text: Text, colour: str) -> str:
    return "".join(text.plain[span.start : span.end] for span in text.spans if span.style == colour)


def ticks_of(text: Text) -> list[float]:
    """The values at the y axis, from the top."""
    rows = text.plain.split("\n")
    return [float(row.split("┤")[0].replace(",", "")) for row in rows if "┤" in row]


@pytest.mark.parametrize(("width", "height"), [(24, 6), (39, 10), (58, 18), (200, 60)])
@pytest.mark.parametrize("scale", [LINEAR, LOGARITHMIC, ACCURACY])
def test_a_chart_is_as_large_as_asked_for(width: int, height: int, scale: Scale) -> None:
    for points in ([], [(1.0, 0.3)], [(x / 10, 100 / (x + 1)) for x in range(41)]):
        rows = chart(line(points), line(points, MARKERS[0], COLOURS[1]), scale=scale, width=width, height=height)
        assert len(rows.plain.split("\n")) == height
        assert max(map(len, rows.plain.split("\n"))) <= width


def test_a_line_goes_where_its_values_are() -> None:
    rows = chart(line([(0, 0), (4, 8)], MARKERS[0])).plain.split("\n")
    marked = [(number, row.index("●")) for number, row in enumerate(rows[1:], 1) if "●" in row]
    (top, right), (bottom, left) = marked
    assert (top, bottom) == (1, len(rows) - 3)  # 8 on top, 0 at the bottom
    assert (left, right) == (rows[1].index("│") + 1, 38)
    between = [row[left:].strip() for row in rows[2:-3]]
    assert all(between)  # a line joins them, without a gap


def test_the_loss_falls_by_equal_factors_and_accuracies_near_100_are_spread() -> None:
    for scale, values in ((LOGARITHMIC, [1, 0.1, 0.01]), (ACCURACY, [90, 99, 99.9])):
        first, second, third = map(scale.height, map(float, values))
        assert second - first == pytest.approx(third - second, rel=0.2)
    assert LOGARITHMIC.height(0.0) == LOGARITHMIC.height(-1e-5) == -4  # at the bottom, not minus infinity
    assert math.isfinite(ACCURACY.height(100.0))


@pytest.mark.parametrize(
    ("scale", "values", "shown"),
    [
        (LINEAR, [0.485, 0.512], [0.51, 0.5, 0.49]),
        (LINEAR, [0, 54_000], [40_000, 20_000, 0]),
        (LOGARITHMIC, [2.3, 0.02], [1, 0.3, 0.1, 0.03]),
        (LOGARITHMIC, [0.0312, 0.0364], [0.036, 0.034, 0.032]),
        (LOGARITHMIC, [0.02, 0.95], [0.3, 0.1, 0.03]),
        (LOGARITHMIC, [2.3, 3e8], [1e8, 1e6, 1e4, 100]),
        (ACCURACY, [9.8, 99.4], [99, 90, 50]),
        (ACCURACY, [98.91, 99.29], [99.2, 99.1, 99.0]),
    ],
)
def test_axes_name_a_few_round_values(scale: Scale, values: list[float], shown: list[float]) -> None:
    assert ticks_of(chart(line([(1, values[0]), (2, values[1])]), scale=scale)) == pytest.approx(shown)


def test_lines_differ_in_colour_and_in_more_and_the_legend_names_them_in_theirs() -> None:
    text = chart(line([(0, 1), (4, 2)]), Line("validation", [(2, 1.2), (4, 1.4)], COLOURS[1], MARKERS[0]))
    assert text.plain.split("\n")[0] == "loss  ─ training  ● validation"
    first, second = (drawn_in(text, colour) for colour in COLOURS[:2])
    assert first.startswith("─ training")
    assert second.startswith("● validation")
    assert "●" not in first
    assert second.count("●") == 3  # one in the legend, one for each point
    narrow = chart(line([(0, 1)]), line([(0, 1)], MARKERS[0]), width=24).plain.split("\n")
    assert narrow[:2] == ["loss", "─ training  ● training"]


def test_a_marker_stays_where_a_later_line_crosses_it() -> None:
    text = chart(line([(0, 1), (2, 2), (4, 3)], MARKERS[0]), line([(0, 3), (2, 2), (4, 1)], colour=COLOURS[1]))
    assert text.plain.split("\n", 1)[1].count("●") == 3


def test_values_that_are_not_finite_interrupt_a_line() -> None:
    whole, broken = (chart(line([(0, 1), (2, middle), (4, 2)])) for middle in (1.5, math.nan))
    assert len(drawn_in(broken, COLOURS[0])) < len(drawn_in(whole, COLOURS[0]))
    assert ticks_of(broken) == ticks_of(whole)


def test_a_long_line_is_thinned_to_what_can_be_seen_and_keeps_its_end() -> None:
    points = [(x / 1000, float(x % 2)) for x in range(4001)]
    text = chart(line([*points[:-1], (4.0, 7.0)], MARKERS[0]))
    assert text.plain.split("\n")[1].endswith("●")
    assert text.plain.count("●") < 150


def test_charts_need_a_terminal_that_can_show_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert can_show_charts(make_console(file=io.StringIO(), force_terminal=True))
    assert not can_show_charts(make_console(file=io.StringIO()))
    for encoding, able in (("utf-8", True), ("ascii", False), ("cp1252", False), ("cp437", False)):
        with (tmp_path / "terminal").open("w", encoding=encoding) as file:
            assert can_show_charts(make_console(file=file, force_terminal=True)) == able
    monkeypatch.setenv("TERM", "dumb")
    assert not can_show_charts(make_console(file=io.StringIO(), force_terminal=True))

"""Charts of lines in the terminal: plain values in, coloured text out, drawn with the dots of Braille characters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

from plotille import Canvas
from rich.console import Console
from rich.text import Text

# Okabe & Ito's blue, vermilion, green and purple (https://jfly.uni-koeln.de/color/): told apart with every common kind
# of colour vision, and legible on black and on white, where thin dots need a lighter blue than theirs.
COLOURS = ("#2A8FD0", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("●", "■", "▲", "◆")

_NO_DOTS = "\u2800"  # as Braille; some fonts draw circles there, so that a space is shown


class Line(NamedTuple):
    """One line of a chart; where values are not finite it is interrupted."""

    name: str  # for the legend
    points: Sequence[tuple[float, float]]  # x and y, from left to right
    colour: str
    marker: str = ""  # one character on every point; the lines of a chart differ in more than their colour


class Scale(NamedTuple):
    """How values become heights, and the round values that name them: the finest set of those that fit is shown."""

    height: Callable[[float], float]  # increasing
    ticks: Sequence[Sequence[float]] = ()  # the finest first; without any, or where none fits, evenly spaced ones


_POWERS = [10.0**exponent for exponent in range(-4, 10)]
LOGARITHMIC = Scale(
    lambda value: math.log10(max(value, _POWERS[0])),  # what is smaller is drawn there
    [*([digit * power for power in _POWERS for digit in digits] for digits in ((1, 2, 5), (1, 3), (1,))), _POWERS[::2]],
)
ACCURACY = Scale(  # in percent: 90, 99 and 99.9 % lie about equally far apart
    lambda percent: -math.log10(100.05 - min(percent, 100.0)),
    [[0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 100], [0, 50, 90, 99, 99.8, 100], [0, 90, 99, 100]],
)


def can_show_charts(console: Console) -> bool:
    """Whether a console is a terminal that knows how to move its cursor, and whose encoding has all characters."""
    try:
        "".join((_NO_DOTS, "│┤└─┬", *MARKERS)).encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows


def line_chart(
    lines: Sequence[Line], *, title: str, x_label: str, width: int, height: int, x_end: float, scale: Scale
) -> Text:
    """A chart of ``width`` x ``height`` characters, at least 24 x 6, over 0 to ``x_end`` > 0.

    The title names the values and their unit; the legend follows it, on a line of its own if there is too little room.
    """
    legend = [Text(f"{line.marker or '─'} {line.name}", line.colour) for line in lines]
    head = Text("  ").join([Text(title, "bold"), *legend])
    if len(head) > width:
        head = Text("\n").join([Text(title, "bold"), Text("  ").join(legend)])
    rows = height - head.plain.count("\n") - 3
    low, high = _limits([y for line in lines for _, y in line.points if math.isfinite(y)], scale)
    ticks = _ticks(low, high, max(2, (rows + 1) // 2), scale.ticks)

    def row_of(value: float, parts: int) -> int:  # counted from the bottom
        top = scale.height(high) - scale.height(low)
        return round((scale.height(value) - scale.height(low)) / top * (rows * parts - 1))

    labels = {row_of(tick, 1): _label(tick) for tick in ticks}
    margin = max(map(len, labels.values()), default=0)
    columns = width - margin - 1
    cells = [[(" ", "")] * columns for _ in range(rows)]
    for line in lines:
        step = 1 + len(line.points) // (2 * columns)  # of a long line as many points as there are dots
        dots = [
            (min(round(x / x_end * (2 * columns - 1)), 2 * columns - 1), row_of(y, 4)) if math.isfinite(y) else None
            for x, y in line.points[::-step]
        ]
        _draw(cells, dots, line)
    text = Text(no_wrap=True, overflow="crop").append(head)
    for row in reversed(range(rows)):
        text.append(f"\n{labels.get(row, ''):>{margin}}{'┤' if row in labels else '│'}", "dim")
        for style, same in groupby(cells[row], key=lambda cell: cell[1]):
            text.append("".join(character for character, _ in same), style)
    return text.append(_x_axis(x_end, x_label, margin, columns), "dim")


def _limits(values: Sequence[float], scale: Scale) -> tuple[float, float]:
    """The lowest and the highest value; a little more where they lie at one height."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if scale.height(high) - scale.height(low) < 1e-9:
        return low - 0.05 * abs(low) - 1e-3, high + 0.05 * abs(high) + 1e-3
    return low, high


def _draw(cells: list[list[tuple[str, str]]], dots: Sequence[tuple[int, int] | None], line: Line) -> None:
    """Draw a line over those that are there already; where two meet, both keep their dots."""
    rows, columns = len(cells), len(cells[0])
    canvas = Canvas(columns, rows, xmax=2 * columns, ymax=4 * rows)  # whose unit is a dot
    for dot, after in zip_longest(dots, dots[1:]):
        if dot:
            canvas.line(*dot, *(after or dot))
    for row, drawn in zip(reversed(cells), canvas.plot("\n").split("\n"), strict=True):
        for column, character in enumerate(drawn):
            before = row[column][0]
            if character != _NO_DOTS and before not in MARKERS:
                row[column] = (character if before == " " else chr(ord(before) | ord(character)), line.colour)
    for dot in dots if line.marker else ():
        if dot:
            cells[dot[1] // 4][dot[0] // 2] = (line.marker, line.colour)


def _x_axis(end: float, label: str, margin: int, columns: int) -> str:
    """The axis from 0 to ``end`` with its ticks, and below it their values and what they count."""
    line, names = ["─"] * columns, [" "] * (columns - len(label)) + list(label)
    for tick in _ticks(0, end, max(2, columns // 6)):
        place, name = round(tick / end * (columns - 1)), _label(tick)
        start = max(0, place - len(name) // 2)
        line[place] = "┬"
        if all(character == " " for character in names[max(0, start - 1) : start + len(name) + 1]):
            names[start : start + len(name)] = name
    return f"\n{' ' * margin}└{''.join(line)}\n{' ' * margin} {''.join(names)}"


def _ticks(low: float, high: float, most: int, sets: Sequence[Sequence[float]] = ()) -> list[float]:
    """Round values from low to high: of the first set that has two to ``most`` of them, else evenly spaced ones."""
    for values in sets:
        inside = [value for value in values if low <= value <= high]
        if 2 <= len(inside) <= most:
            return inside
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(digit * power for digit in (1, 2, 5, 10, 20) if (high - low) / (digit * power) < most)
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _label(tick: float) -> str:
    return f"{tick:.0e}" if abs(tick) >= 1e6 else f"{tick:,.6g}"

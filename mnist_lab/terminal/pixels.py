"""Pictures in the terminal: two pixels in each character, and bars of probabilities beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.cells import set_cell_size
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from mnist_lab.terminal.wording import format_probability, printable

_UPPER_HALF = "▀"
_EIGHTHS = " ▏▎▍▌▋▊▉█"  # a bar's last character, by how many eighths of it are full
_NUMBER_WIDTH = 8  # of "> 99.9 %"
_BAR = 20  # characters of a bar that stands for 1
_GAP = 3  # characters between a picture and its bars
_NARROWEST = 28 + _GAP + len("▸ 7 ") + _BAR + 1 + _NUMBER_WIDTH  # a terminal that shows a digit and its bars


def shows_pixels(console: Console) -> bool:
    """Whether a digit can be shown: not in a pipe, with NO_COLOR, TERM=dumb or an old encoding, or without the room."""
    has_greys = console.color_system in ("256", "truecolor") and not console.no_color
    has_blocks = not console.options.ascii_only and not console.legacy_windows
    return console.is_terminal and has_greys and has_blocks and console.width >= _NARROWEST


def half_blocks(picture: NDArray[np.uint8]) -> Text:
    """A picture (H, W) of grey levels as ceil(H / 2) lines of W characters; an odd last row stands over black."""
    rows = np.pad(picture, ((0, len(picture) % 2), (0, 0))).tolist()
    lines = [
        Text.assemble(*((_UPPER_HALF, _greys(*pair)) for pair in zip(upper, lower, strict=True)))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]
    return Text("\n").join(lines)


def _greys(upper: int, lower: int) -> Style:
    return Style(color=f"rgb({upper},{upper},{upper})", bgcolor=f"rgb({lower},{lower},{lower})")


def probability_bars(probabilities: Sequence[float]) -> Text:
    """Ten probabilities, 0 to 1, as a line each: the digit, a bar, and the number.

    The most probable digit is marked by an arrow and bold, so that no colour is needed to see it.
    """
    best = int(np.argmax(probabilities))
    lines = []
    for digit, probability in enumerate(probabilities):
        full, eighths = divmod(round(8 * _BAR * probability), 8)
        bar = set_cell_size("█" * full + _EIGHTHS[eighths], _BAR)
        mark, style = ("▸", "best") if digit == best else (" ", "")
        lines.append(Text(f"{mark} {digit} {bar} {format_probability(probability):>{_NUMBER_WIDTH}}", style))
    return Text("\n").join(lines)


def beside_bars(
    picture: NDArray[np.uint8],
    name: str,
    probabilities: Sequence[float],
    heading: str,
    remark: str = "",
    foot: Text | str = "",
) -> Table:
    """A picture under its name, and to its right the ten probabilities under a heading, a warning, and a foot."""
    row = Table.grid(padding=(0, _GAP, 0, 0))
    row.add_column(width=picture.shape[1], overflow="fold")
    row.add_column(no_wrap=True)
    row.add_row(Text(printable(name), "title"), Text(printable(heading), "hint"))
    warning = Text(remark and f"▲ {remark}\n", "warning")
    below = Text.assemble(probability_bars(probabilities), "\n\n", warning, foot)
    row.add_row(half_blocks(picture), below)
    return row

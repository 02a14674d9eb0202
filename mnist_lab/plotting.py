"""What all figures share: one style, and the few helpers that more than one room draws with.

A figure is made from plain data as a ``matplotlib.figure.Figure``, without pyplot; the caller saves it. Digits are
drawn as dark ink on white paper, the way they were written, although MNIST stores them white on black.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageColor import getrgb

from mnist_lab.storage import write_bytes
from mnist_lab.terminal.wording import printable

# Okabe & Ito's palette, distinguishable with every common kind of colour vision (https://jfly.uni-koeln.de/color/).
BLUE, SKY_BLUE, ORANGE = "#0072B2", "#56B4E9", "#E69F00"
GREEN, VERMILION, _PURPLE = "#009E73", "#D55E00", "#CC79A7"
INK, MUTED, RULE, PAPER = "#222222", "#666666", "#DDDDDD", "#FFFFFF"
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, _PURPLE, SKY_BLUE, INK, "#7A5C00")  # brown: their yellow is too pale

# What has a sign is blue where it is positive, orange-red where it is negative, and white at 0.
_BLUES = [PAPER, "#97C3E2", BLUE, "#00304D"]
FOR = LinearSegmentedColormap.from_list("for", _BLUES)
AGAINST_AND_FOR = LinearSegmentedColormap.from_list("against and for", ["#7A2E00", VERMILION, "#F2BE9B", *_BLUES])

_DPI = 150  # dots per inch of a saved figure; the sizes below are points at that size
_TITLE, LABEL, TEXT, SMALL = 13, 10, 9, 8
DIGITS = range(10)

LOSS_TICKS_UP_TO = 13  # how many lines of text fit beside a panel
_MARGIN = 0.05  # of the y axis, beyond its outermost ticks, so that no marker is cut

# Losses and error rates 1, 2, 5, 10, ...: evenly spaced to the eye on a logarithmic axis.
LOSS_TICKS = [digit * 10.0**exponent for exponent in range(-7, 3) for digit in (1, 2, 5)]
_ACCURACY_TICKS = [0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 100]  # percent
_ACCURACY_RESOLUTION = 0.01  # percentage points; keeps 100 % at a finite place on the logarithmic axis

# How every figure looks, whatever the user's own matplotlibrc says.
_STYLE: dict[str, Any] = {
    "figure.dpi": _DPI,
    "savefig.dpi": _DPI,
    "figure.facecolor": PAPER,
    "figure.titlesize": _TITLE,
    "figure.titleweight": "bold",
    "figure.labelsize": SMALL,
    "font.size": TEXT,
    "text.color": INK,
    "axes.facecolor": PAPER,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.labelsize": LABEL,
    "axes.titlecolor": INK,
    "axes.titlesize": LABEL,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "errorbar.capsize": 4,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.fontsize": TEXT,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "image.cmap": "gray_r",
}
for _axis in ("xtick", "ytick"):
    _ticks = {"color": RULE, "labelcolor": INK, "labelsize": TEXT, "major.size": 3, "major.width": 0.8}
    _STYLE |= {f"{_axis}.{name}": value for name, value in _ticks.items()}

styled = style.context(_STYLE, after_reset=True)
"""Decorates each function that draws or saves: matplotlib looks its settings up while it draws."""


def save_figure(path: Path, figure: Figure | bytes) -> None:
    """Save a figure as a PNG file, or a picture's bytes, atomically; ``StorageError`` if the disk refuses."""
    write_bytes(path, figure if isinstance(figure, bytes) else png_of(figure))


@styled
def png_of(figure: Figure) -> bytes:
    """A figure as the content of a PNG file, in the 256 colours that suit it best: less than half of all the bytes."""
    canvas: Any = FigureCanvasAgg(figure)
    content = io.BytesIO()
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    drawn.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(content, "PNG", dpi=(_DPI, _DPI))
    return content.getvalue()


def new_figure(width: float, height: float, title: str, note: str = "") -> Figure:
    """A white page of width x height inches with its title on top and, small, a note at its foot."""
    figure = Figure((width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))  # inches
    figure.suptitle(drawable(title), wrap=True)
    if note:
        figure.supxlabel(wrapped(note, int(14.5 * width)), color=MUTED)
    return figure


def panel_area(figure: Figure) -> SubFigure:
    """A part for all panels and their key, which would otherwise overlap the note."""
    return figure.add_subfigure(figure.add_gridspec()[0])


def wrapped(text: str, width: int) -> str:
    """Text in lines of at most ``width`` characters; its own line breaks stay."""
    return "\n".join(fill(line, width, break_on_hyphens=False) for line in text.split("\n"))


def drawable(text: str) -> str:
    """Text from a file, or its name, to be drawn as it is: no formulas, no control characters."""
    return printable(text).replace("$", r"\$")


def style_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Axes of a chart: named, with a grid, open at the top and on the right."""
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True)


def style_colour_bar(axes: Axes, label: str) -> None:
    """A colour bar without a frame; its label carries the unit."""
    axes.set_ylabel(label, fontsize=TEXT)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.spines[:].set_visible(False)


def title_panel(axes: Axes, name: str, remark: str) -> None:
    """A panel's name on its left, a remark on its right."""
    axes.set_title(name, loc="left", fontweight="bold")
    axes.set_title(remark, loc="right", fontsize=TEXT, color=MUTED)


def epoch_ticks(last: int) -> list[int]:
    """Whole epochs from 1 on, as many as fit under a panel."""
    step = next(step for step in (1, 5, 10, 20, 50, 100, last) if last <= 16 * step)
    return sorted({1, *range(step, last + 1, step)})


def scale_loss(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic loss axis around these values; a loss of exactly zero falls off it."""
    positive = [value for value in values if 0 < value < np.inf] or [1.0]
    low, high = min(positive), max(positive)
    if high < 5 * low:  # room for two ticks at least
        low, high = low / 2, 2.5 * high
    margin = (high / low) ** _MARGIN
    axes.set_ylim(low / margin, high * margin)
    axes.set_yscale("log")
    ticks = [tick for tick in LOSS_TICKS if low / margin <= tick <= high * margin]
    _set_ticks(axes, ticks if len(ticks) <= LOSS_TICKS_UP_TO else [tick for tick in ticks if tick in LOSS_TICKS[::3]])
    style_axes(axes, "epoch", "loss (nats per digit, logarithmic)")


def scale_accuracy(axes: Axes, percents: Sequence[float]) -> None:
    """An accuracy axis around these values, logarithmic in the error: 90, 99 and 99.9 % lie equally far apart."""
    low, high = map(float, _accuracy_to_axis(np.array([min(percents), max(percents)])))
    margin = max(_MARGIN * (high - low), (0.2 - (high - low)) / 2)  # at least 0.2 decades of error in all
    # Limits before the scale: an automatic limit above 100 % would have no place on it.
    first, last = map(float, _axis_to_accuracy(np.array([low - margin, high + margin])))
    axes.set_ylim(first, last)
    axes.set_yscale("function", functions=(_accuracy_to_axis, _axis_to_accuracy))
    ticks = [tick for tick in _ACCURACY_TICKS if first <= tick <= last]
    if len(ticks) < 3:  # errors of about one size, where even steps look even
        steps = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(max(first, 0), min(last, 100))
        ticks = [round(float(tick), 6) for tick in steps if max(first, 0) <= tick <= min(last, 100)]
    _set_ticks(axes, ticks)
    style_axes(axes, "epoch", "accuracy (%, logarithmic in the error)")


def _accuracy_to_axis(percent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracies in percent to their height on the axis: the decades by which the error fell."""
    return -np.log10(np.maximum(100 + _ACCURACY_RESOLUTION - percent, 1e-9))


def _axis_to_accuracy(height: NDArray[np.float64]) -> NDArray[np.float64]:
    return 100 + _ACCURACY_RESOLUTION - 10.0**-height


def _set_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def row_percent(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts (R, C) to percent of their row; NaN throughout a row without any."""
    totals = matrix.sum(axis=1, keepdims=True)
    percent: NDArray[np.float64] = np.full(matrix.shape, np.nan)
    np.divide(100.0 * matrix, totals, where=totals > 0, out=percent)
    return percent


def tinted(values: NDArray[np.floating[Any]], strongest: float, negative: str = VERMILION) -> NDArray[np.uint8]:
    """Values (...) as colours (..., 3): white at zero, blue above it, another below; full from ``strongest`` on."""
    strength = np.minimum(np.abs(values) / max(strongest, 1e-12), 1)[..., np.newaxis]
    full = np.where(values[..., np.newaxis] > 0, getrgb(BLUE), getrgb(negative))
    colours: NDArray[np.uint8] = np.rint(255 + (full - 255) * strength).astype(np.uint8)
    return colours


def draw_digit(axes: Axes, ink: NDArray[np.floating[Any]]) -> AxesImage:
    """One image (28, 28), 0..1, dark on white in a plain frame without ticks."""
    axes.set(xticks=[], yticks=[])
    return axes.imshow(ink, vmin=0, vmax=1)


def draw_mosaic(axes: Axes, cells: NDArray[np.floating[Any]], row_names: Sequence[str]) -> None:
    """Square images (R, C, S, S), 0..1, edge to edge in R named rows: one picture instead of R x C small plots."""
    rows, columns, side = cells.shape[:3]
    axes.imshow(mosaic_of(cells), vmin=0, vmax=1, extent=(0, columns * side, rows * side, 0))
    frame: dict[str, Any] = {"color": RULE, "linewidth": 0.6, "clip_on": False}
    axes.vlines([side * column for column in range(columns + 1)], 0, rows * side, **frame)
    axes.hlines([side * row for row in range(rows + 1)], 0, columns * side, **frame)
    axes.set_anchor("N")  # under the title, whatever room the names leave
    axes.set_xticks([])
    axes.set_yticks([side * (row + 0.5) for row in range(rows)], row_names)
    axes.tick_params(labelsize=LABEL, length=0)
    axes.spines[:].set_visible(False)


def draw_framed(
    axes: Axes,
    page: NDArray[np.floating[Any]],
    places: Sequence[tuple[int, int]],
    side: int,
    colours: str | Sequence[str] = RULE,
    widths: float | Sequence[float] = 0.8,
) -> None:
    """A page (H, W, 3), 0..1, of square images in frames: (left, top) is where each begins, ``side`` in pixels.

    One picture, and one artist for all frames, take a third of the time of as many small plots.
    """
    frames = [Rectangle((left - 0.5, top - 0.5), side, side) for left, top in places]
    drawn = PatchCollection(frames, facecolor="none", edgecolor=colours, linewidth=widths, clip_on=False)
    axes.add_collection(drawn).set_in_layout(False)
    axes.imshow(np.rint(255 * page).astype(np.uint8), interpolation="nearest")
    axes.set_axis_off()


def on_paper(ink: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Ink (...), 0..1, as colours (..., 3): dark on white."""
    return np.repeat(1 - ink[..., np.newaxis], 3, axis=-1)


def mosaic_of(cells: NDArray[Any]) -> NDArray[Any]:
    """Images (R, C, H, W) as one picture (R * H, C * W); those in colour have one more dimension, (..., 3)."""
    rows, columns, height, width = cells.shape[:4]
    return cells.swapaxes(1, 2).reshape(rows * height, columns * width, *cells.shape[4:])

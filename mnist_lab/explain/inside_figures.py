"""Figures of the inside of a network: plain data in, ``matplotlib.figure.Figure`` out.

Blocks are counted from 1; filters, hidden units, rows and columns from 0, as torch does. What has a sign is blue where
it is positive, and orange-red where it is negative. None of these figures explains a prediction: they show what is
computed, not why the network decides so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mnist_lab import plotting
from mnist_lab.data.mnist import denormalise
from mnist_lab.explain.figures import name_image
from mnist_lab.explain.inside import Inside, LogitSum, PixelSum, Survey, Values, number
from mnist_lab.plotting import AGAINST_AND_FOR, BLUE, FOR, INK, MUTED, ORANGE, PAPER, SMALL, VERMILION, styled
from mnist_lab.report.document import Caption

_UNITS, _PICTURES = 8, 6  # hidden units whose contributions are shown one by one; digits that excite each most
_CHANNELS = 3  # of a sum, those whose patch, kernel and products are shown
_BARS = 12  # hidden units that are shown among the maps
_BETWEEN = "#EBEBEB"  # the paper between maps, darker than a map of zeros
_NOTE = (
    "Sorted by the mean answer, the strongest first. White: 0; darkest: the largest value in the block. "
    "○ silent: no answer anywhere in this digit. × dead: no answer to any of the 6,000 validation digits."
)


@styled
def maps(inside: Inside, dead: Sequence[NDArray[np.bool_]], sees: Sequence[int], title: str, note: str = "") -> Figure:
    """Everything that a digit causes, from left to right: the maps of each block, hidden units, logits.

    For each block, ``dead`` (C,) tells which filters never answer, and ``sees`` the side of the square of pixels that
    one value depends on.
    """
    figure = plotting.new_figure(3.4 + 3.1 * len(sees), 7.4, title, f"{_NOTE} {note}".strip())
    grid = figure.add_gridspec(2, len(sees) + 2, width_ratios=[1.2, *[2.9] * len(sees), 1.2])
    ink, *blocks = (figure.add_subplot(grid[:, column]) for column in range(len(sees) + 1))
    units, logits = (figure.add_subplot(grid[row, -1]) for row in range(2))
    plotting.draw_digit(ink, denormalise(inside.image[0].astype(np.float64)))
    name_image(ink, "Ink", "28 x 28 pixels")
    for block, (axes, found, side) in enumerate(zip(blocks, inside.maps, sees, strict=True)):
        order, largest = inside.by_strength(block), float(found.max())
        centres = _draw_cells(axes, found[order], order, FOR, (0, largest or 1))
        is_dead, is_silent = dead[block][order], inside.silent(block)[order]
        axes.plot(*centres[is_silent & ~is_dead].T, "o", color=MUTED, markerfacecolor="none")
        axes.plot(*centres[is_dead].T, "x", color=VERMILION, markeredgewidth=1.5)
        size = f"{found.shape[1]} x {found.shape[1]}, up to {largest:.1f}; each of {side} x {side} pixels"
        name_image(axes, f"→ Block {block + 1}: {len(found)} filters", size)
    strongest = inside.by_strength(len(blocks))[:_BARS]
    _draw_bars(units, inside.hidden[strongest].tolist(), [f"{unit}" for unit in strongest])
    units.set(xlabel="activation", ylabel="hidden unit, activation")
    name_image(units, "→ Hidden units", f"{np.count_nonzero(inside.hidden)} of {len(inside.hidden)} answer")
    _draw_bars(logits, inside.logits.tolist(), [f"{digit}" for digit in plotting.DIGITS])
    logits.set(xlabel="logit", ylabel="digit, logit")
    name_image(logits, "→ Logits", "the largest wins")
    return figure


def _draw_cells(
    axes: Axes, cells: Values, filters: NDArray[np.int64], colours: Colormap, limits: tuple[float, float]
) -> NDArray[np.float64]:
    """Small pictures (N, S, S), each below its filter's number, row by row; returns their centres, (N, 2), x and y.

    They are drawn as one picture, which is far quicker than N, and about twice as high as wide.
    """
    columns = max(1, round(math.sqrt(len(cells) / 2)))
    rows, scale = math.ceil(len(cells) / columns), round(36 / cells.shape[1])
    side = scale * cells.shape[1]
    gap = round(0.6 * side)
    pitch, left, top = side + gap, gap // 2, gap - gap // 6
    large = np.kron(cells, np.ones((scale, scale)))  # (N, side, side)
    around = ((0, rows * columns - len(cells)), (top, gap - top), (left, gap - left))
    framed = np.pad(large, around, constant_values=np.nan).reshape(rows, columns, pitch, pitch)
    paper = colours.with_extremes(bad=_BETWEEN)
    axes.imshow(plotting.mosaic_of(framed), cmap=paper, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set_visible(False)
    corners = pitch * np.indices((rows, columns))[::-1].reshape(2, -1).T[: len(cells)]  # x and y
    for (x, y), filter in zip(corners + np.array([left + side / 2, top - 3]), filters, strict=True):
        text = axes.text(x, y, f"{filter}", fontsize=SMALL, ha="center")
        text.set_in_layout(False)  # which would ask each of hundreds how large it is
    centres: NDArray[np.float64] = corners + np.array([left, top]) + (side - 1) / 2
    return centres


def _draw_bars(axes: Axes, values: Sequence[float], names: Sequence[str], decimals: int = 2) -> None:
    """Bars from top to bottom, blue where positive and orange-red where negative, by their names and numbers."""
    numbers = [f"{name}   {number(value, decimals)}" for name, value in zip(names, values, strict=True)]
    axes.barh(numbers, values, color=[BLUE if value >= 0 else VERMILION for value in values], height=0.75)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(values) - 0.5, -0.5)


@styled
def value_sum(
    image: Values, block: int, found: PixelSum, seen: tuple[int, int, int, int], title: str, note: str = ""
) -> Figure:
    """The sum behind one value of a block's maps: patch, kernel, products, maximum, scale and shift, ReLU.

    ``image`` holds the normalised pixels (28, 28), of which the value depends on those ``seen``: top, left, height and
    width. Of the filters before, those that matter most to the sum are shown one by one.
    """
    shown, products, steps = found.written(_CHANNELS)
    height = 1.5 * len(shown) + 1.7
    foot = "Rounded to three decimals so that all sums add up; each kind of square has its own scale of colours."
    figure = plotting.new_figure(12.6, height, title, f"{foot} {note}".strip())
    grid = figure.add_gridspec(len(shown), 6, width_ratios=(1.7, 1.4, 1.4, 1.4, 1.1, 3.2))
    where, window, words = (figure.add_subplot(grid[:, column]) for column in (0, 4, 5))
    plotting.draw_digit(where, denormalise(image.astype(np.float64)))
    top, left, high, wide = seen
    where.add_patch(Rectangle((left - 0.5, top - 0.5), wide, high, fill=False, color=ORANGE, linewidth=2))
    name_image(where, "Where", f"depends on {high} x {wide} pixels")
    names = [f"filter {channel} of block {block}" for channel in shown] if block else ["the ink"]
    for row, (name, total) in enumerate(zip(names, products.sum(axis=(1, 2)), strict=True)):
        for column, heading, remark, numbers in (
            (1, "Patch", f"of {name}", found.patch[shown]),
            (2, "× kernel", "its weights", found.kernel[shown]),
            (3, "= products", f"together {number(total)}", products),
        ):
            axes = figure.add_subplot(grid[row, column])
            _draw_numbers(axes, numbers[row], float(np.abs(numbers).max()))
            name_image(axes, heading, remark)
    _draw_numbers(window, found.convolved, float(np.abs(found.convolved).max()))
    y, x = divmod(int(found.convolved.argmax()), 2)
    window.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, linewidth=2, clip_on=False))
    name_image(window, "Window", "of four sums")
    lines = [(f"products with {name}", part) for name, part in zip(names, products.sum(axis=(1, 2)), strict=True)]
    lines += [(name, value) for name, value in steps if value is not None]  # the window has squares of its own
    middle = max(0, round(2.3 * height) - len(lines)) / 2  # lines above the steps and below
    words.set(xlim=(0, 1), ylim=(len(lines) + middle, -1 - middle))
    words.set_axis_off()
    for line, (name, value) in enumerate(lines):
        weight = "bold" if line == len(lines) - 1 else "normal"
        words.text(0.04, line, name, va="center", fontweight=weight)
        words.text(1, line, number(value), va="center", ha="right", fontweight=weight)
    return figure


def _draw_numbers(axes: Axes, values: Values, largest: float) -> None:
    """Numbers (R, C) on squares of their colours, which are at their deepest beyond the ``largest``."""
    limit = 1.5 * largest or 1.0
    axes.imshow(values, cmap=AGAINST_AND_FOR, vmin=-limit, vmax=limit)
    for (row, column), value in np.ndenumerate(values.astype(np.float64)):
        colour = PAPER if abs(value) > 0.55 * limit else INK
        axes.text(column, row, number(value), ha="center", va="center", color=colour, fontsize=SMALL)
    axes.set(xticks=[], yticks=[])


@styled
def logit_sums(sums: Mapping[int, LogitSum], survey: Survey, title: str, note: str = "") -> Figure:
    """What some digits' logits are made of: the largest contributions, with the digits that excite those units most."""
    foot = (
        "A contribution is a unit's activation times its weight for the digit; rounded so that all add up to the logit."
    )
    figure = plotting.new_figure(6.3 * len(sums), 5.2, title, f"{foot} {note}".strip())
    axes = figure.subplots(1, 2 * len(sums), width_ratios=[2.6, 2.9] * len(sums))
    for (digit, found), bars, pictures in zip(sums.items(), axes[::2], axes[1::2], strict=True):
        units, parts, rest, bias = found.written(_UNITS)
        names = [*(f"unit {unit}" for unit in units), f"the other {len(found.contributions) - len(units)}", "bias"]
        _draw_bars(bars, [*parts, rest, bias], names, 3)
        bars.set_xlabel("contribution to the logit")
        name_image(bars, f"Logit of {digit}: {number(found.value)}", "the sum of these")
        cells = np.zeros((len(units), _PICTURES, 28, 28))
        for row, unit in zip(cells, units, strict=True):
            images = survey.exciting(unit, _PICTURES)
            row[: len(images)] = images / 255
        extent = (0, _PICTURES, len(units) - 0.5, -0.5)
        pictures.imshow(plotting.mosaic_of(cells), vmin=0, vmax=1, extent=extent, interpolation="nearest")
        pictures.set(xticks=[], yticks=[], ylim=bars.get_ylim(), anchor="W")
        pictures.spines[:].set_visible(False)
        name_image(pictures, "Excited most by", "these validation digits")
    return figure


@styled
def kernels(trained: Values, untrained: Values, title: str) -> Figure:
    """The first block's kernels (F, 3, 3) after training, beside those that the same seed began with."""
    limit = float(np.abs([trained, untrained]).max()) or 1
    alike = float(np.corrcoef(trained.ravel(), untrained.ravel())[0, 1])
    note = f"Blue: positive weights, orange-red: negative, white: 0; one scale, up to ±{limit:.2f}."
    figure = plotting.new_figure(6.4, 5.4, title, note)
    sides = {
        "Trained": (trained, f"correlation with those before training {number(alike, 2)}"),
        "Before training": (untrained, "random numbers, drawn from the same seed"),
    }
    for axes, (name, (weights, remark)) in zip(figure.subplots(1, 2), sides.items(), strict=True):
        _draw_cells(axes, weights, np.arange(len(weights)), AGAINST_AND_FOR, (-limit, limit))
        name_image(axes, name, remark)
    return figure


CAPTIONS = {
    "maps": Caption(
        "From ink to ten logits",
        "From left to right: the digit, every filter's map, block by block, the strongest hidden units, the logits.",
        "A filter lays its kernel, a small square of weights, over every place of what comes before it, and answers "
        "with one number: the better ink and weights match there, the larger. All its answers are its map. The filters "
        "of block 2 look at the maps of block 1 in the same way, and so on: each value then depends on more of the "
        "picture, and its place is known less exactly. Filters of the same number in two networks have nothing in "
        "common, except in the first block of networks that began with the same seed. A map is no explanation: it "
        "shows where a filter answers, not why the network decides as it does. A strong filter may matter little, and "
        "a weak one much.",
    ),
    "sum": Caption(
        "One value, worked out",
        "A patch of numbers times a kernel of weights, the products, their sum, and what becomes of it.",
        "This is the largest value of the block's strongest filter. Each number of the patch is multiplied by the "
        "weight at its place, and the products are added up. The kernel is laid on four neighbouring places, which "
        "together see what is framed; of the four sums the largest stays (max pooling). It is scaled and shifted "
        "(batch normalisation), and what is negative becomes 0 (ReLU). Every other value of this map comes from the "
        "same weights at another place. Pixels are normalised: paper is −0.424, black ink 2.821. How a value comes "
        "about does not say what it is good for.",
    ),
    "logits": Caption(
        "What the two largest logits are made of",
        "Bars for the hidden units that contribute most to two logits, each beside six digits that excite it most.",
        "The digit with the largest logit is the answer. What excites a unit most hints at what it looks for, and is "
        "not all that it answers to: few units stand for one digit. Look at the bar of all the others as well: many "
        "small contributions may decide. The digits are of the 6,000 for validation, which no network is trained on. "
        "All of this is computed in float32; where predict computes with 16 bits, its last digits may differ.",
    ),
    "kernels": Caption(
        "The first block's kernels, and what they began as",
        "Squares of 3 x 3 coloured weights for each filter, trained on the left and untrained on the right.",
        "Blue weights want ink, orange-red ones want paper: blue beside orange-red answers to an edge. The nearer the "
        "correlation is to 1, the less training changed them: then what was learned lies in later layers. A kernel "
        "shows what its filter answers to, not whether anything depends on it.",
    ),
}
"""What is said about each figure, by what it shows."""

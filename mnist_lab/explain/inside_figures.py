"""Figures of the inside of a network: plain data in, ``matplotlib.figure.Figure`` out.

Filters and hidden units are numbered from 1. What has a sign is blue where it is positive, and orange-red where it is
negative. None of these figures explains a prediction: they show what is computed, not why the network decides so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mnist_lab import plotting
from mnist_lab.data.mnist import denormalise
from mnist_lab.explain.figures import draw_answer, name_image
from mnist_lab.explain.inside import Inside, LogitSum, PixelSum, add_up
from mnist_lab.plotting import AGAINST_AND_FOR, BLUE, FOR, INK, MUTED, ORANGE, PAPER, RULE, SMALL, VERMILION, styled
from mnist_lab.report.document import Caption

UNITS, PICTURES = 8, 6  # hidden units whose contributions are shown one by one; digits that excite each most
_CHANNELS = 3  # of a sum, those whose patch, kernel and products are shown
_BARS = 20  # hidden units that are shown among the maps
_SIDE_BY_SIDE = 8  # filters of each block, where several networks are compared
_BETWEEN = "#EBEBEB"  # the paper between maps, darker than a map of zeros
_MARKS = "○ silent: no answer anywhere in this digit. × dead: no answer to any of the 6,000 validation digits."
_SCALE = "White: 0; darkest: the largest value in the block."

Values = NDArray[np.floating[Any]]


class Opened(NamedTuple):
    """What a network makes of a digit, and what else there is to know about its filters."""

    inside: Inside
    dead: Sequence[NDArray[np.bool_]]  # of each block, (C,): which filters never answer
    sees: Sequence[int]  # of each block: the side of the square of pixels that one value depends on
    probabilities: Values  # (10,)


@styled
def maps(opened: Opened, title: str, note: str = "") -> Figure:
    """Everything that a digit causes, from left to right: the maps of each block, hidden units, logits."""
    inside, sees = opened.inside, opened.sees
    foot = f"Sorted by the mean answer, the strongest first. {_SCALE} {_MARKS} {note}".strip()
    figure = plotting.new_figure(5.2 + 3.0 * len(sees), 7.4, title, foot)
    ratios = [1.2, *[2.9] * len(sees), 1.2, 1.2]
    ink, *blocks, units, logits = figure.subplots(1, len(ratios), width_ratios=ratios)
    plotting.draw_digit(ink, denormalise(inside.image[0]))
    name_image(ink, "Ink", "28 x 28 pixels")
    for block, axes in enumerate(blocks):
        count, side, _ = inside.maps[block].shape
        _draw_block(axes, opened, block, count)
        size = f"{side} x {side}, up to {inside.maps[block].max():.1f}; each sees {sees[block]} x {sees[block]} pixels"
        name_image(axes, f"→ Block {block + 1}: {count} filters", size)
    strongest = np.argsort(-inside.hidden, kind="stable")[:_BARS]
    _draw_bars(units, inside.hidden[strongest], [f"{unit + 1}" for unit in strongest])
    units.set(xlabel="activation", ylabel="hidden unit, activation")
    name_image(units, "→ Hidden units", f"{np.count_nonzero(inside.hidden)} of {len(inside.hidden)} answer")
    _draw_bars(logits, inside.logits, [str(digit) for digit in plotting.DIGITS])
    logits.set(xlabel="logit", ylabel="digit, logit")
    name_image(logits, "→ Logits", "the largest wins")
    return figure


def _draw_block(axes: Axes, opened: Opened, block: int, count: int, columns: int = 0) -> None:
    """The maps of a block's strongest filters, on one scale; those that do not answer are marked."""
    maps, order = opened.inside.maps[block], opened.inside.by_strength(block)[:count]
    centres = _draw_cells(axes, maps[order], order, FOR, (0, float(maps.max()) or 1), columns)
    dead, silent = opened.dead[block][order], opened.inside.silent(block)[order]
    axes.plot(*centres[silent & ~dead].T, "o", color=MUTED, markerfacecolor="none")
    axes.plot(*centres[dead].T, "x", color=VERMILION, markeredgewidth=1.5)


def _draw_cells(
    axes: Axes, cells: Values, filters: NDArray[np.int64], colours: Colormap, limits: tuple[float, float], columns: int
) -> Values:
    """Small pictures (N, S, S), each below its filter's number, row by row; returns their centres, (N, 2), x and y.

    They are drawn as one picture, which is far quicker than N; without ``columns``, it is twice as high as wide.
    """
    columns = columns or max(1, round(math.sqrt(len(cells) / 2)))
    rows, scale = math.ceil(len(cells) / columns), round(36 / cells.shape[1])
    side = scale * cells.shape[1]
    gap = round(0.6 * side)
    large = np.kron(cells, np.ones((scale, scale)))  # (N, side, side)
    around = ((0, rows * columns - len(cells)), (gap - gap // 6, gap // 6), (gap // 2, gap - gap // 2))
    framed = np.pad(large, around, constant_values=np.nan).reshape(rows, columns, side + gap, side + gap)
    picture, (low, high) = plotting.mosaic_of(framed), limits
    axes.imshow(picture, cmap=colours.with_extremes(bad=_BETWEEN), vmin=low, vmax=high)
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set_visible(False)
    centres = [
        ((column + 0.5) * (side + gap), row * (side + gap) + gap - gap // 6 + side / 2)
        for row in range(rows)
        for column in range(columns)
    ][: len(cells)]
    for (x, y), number in zip(centres, filters, strict=True):
        text = axes.text(x, y - side / 2, str(number + 1), fontsize=SMALL, ha="center", va="bottom")
        text.set_in_layout(False)  # which would ask each of hundreds how large it is
    return np.array(centres) - 0.5


def _draw_bars(axes: Axes, values: Values, names: Sequence[str], decimals: int = 2) -> None:
    """Bars from top to bottom, blue where positive and orange-red where negative, by their names and numbers."""
    numbers = [f"{name}   {_number(value, decimals)}" for name, value in zip(names, values, strict=True)]
    axes.barh(numbers, values, color=[BLUE if value >= 0 else VERMILION for value in values], height=0.75)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(values) - 0.5, -0.5)


def _number(value: float, decimals: int = 3) -> str:
    return f"{value:z.{decimals}f}".replace("-", "−")  # z: no minus sign before a zero


class Example(NamedTuple):
    """One value of a map, whose sum is worked out."""

    block: int  # counts from 0, as the filter
    filter: int
    sum: PixelSum
    seen: tuple[int, int, int, int]  # the pixels that it depends on: top, left, height and width


@styled
def value_sum(image: Values, example: Example, title: str, note: str = "") -> Figure:
    """The sum behind one value of a map: patch, kernel, products, maximum, scale and shift, ReLU.

    ``image`` holds the normalised pixels (28, 28). Of many channels, those that add most or take most are shown.
    """
    found, totals = example.sum, example.sum.products.sum(axis=(1, 2))
    shown = np.argsort(-np.abs(totals), kind="stable")[:_CHANNELS]
    others, winner = np.delete(totals, shown), float(found.convolved[found.winner])
    *parts, rest, bias = add_up([*found.products[shown].ravel(), others.sum(), found.bias], winner, 3)
    products = np.array(parts).reshape(-1, 3, 3)
    height = 1.5 * len(shown) + 1.7
    foot = "Rounded to three decimals so that all sums add up; each kind of square has its own scale of colours."
    figure = plotting.new_figure(12.6, height, title, f"{foot} {note}".strip())
    rows = [
        ["where", *(f"{name}{row}" for name in ("patch", "kernel", "products")), "window", "steps"]
        for row in range(len(shown))
    ]
    places = figure.subplot_mosaic(rows, width_ratios=(1.7, 1.4, 1.4, 1.4, 1.1, 3.2))
    _draw_place(places["where"], image, example)
    names = [f"filter {channel + 1} of block {example.block}" for channel in shown] if example.block else ["the ink"]
    for row, name in enumerate(names):
        together = f"together {_number(products[row].sum())}"
        for kind, heading, remark, numbers in (
            ("patch", "Patch", f"of {name}", found.patch[[*shown]]),
            ("kernel", "× kernel", "its weights", found.kernel[[*shown]]),
            ("products", "= products", together, products),
        ):
            axes = places[f"{kind}{row}"]
            _draw_numbers(axes, numbers[row], float(np.abs(numbers).max()))
            name_image(axes, heading, remark)
    _draw_numbers(places["window"], found.convolved, float(np.abs(found.convolved).max()))
    row, column = found.winner
    places["window"].add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, linewidth=2, clip_on=False))
    name_image(places["window"], "Window", "of four sums")
    scaled, shift = add_up([found.scale * winner, found.shift], found.normalised, 3)
    steps = [(f"products with {name}", float(part.sum())) for name, part in zip(names, products, strict=True)]
    steps += [(f"with the other {len(others)} filters together", rest)] * bool(len(others))
    steps += [("bias", bias)] * bool(found.bias)
    steps += [("= sum, the largest of the window", winner), (f"times the scale {_number(found.scale)}", scaled)]
    steps += [("plus the shift", shift), ("= after batch normalisation", found.normalised)]
    _draw_steps(places["steps"], [*steps, ("= after ReLU (negative becomes 0)", found.value)], round(2.3 * height))
    return figure


def _draw_place(axes: Axes, image: Values, example: Example) -> None:
    plotting.draw_digit(axes, denormalise(image))
    top, left, height, width = example.seen
    axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, color=ORANGE, linewidth=2))
    name_image(axes, "Where", f"depends on {height} x {width} pixels")


def _draw_numbers(axes: Axes, values: Values, largest: float) -> None:
    """Numbers (R, C) on squares of their colours, which are at their deepest beyond the ``largest``."""
    limit = 1.5 * largest or 1.0
    axes.imshow(values, cmap=AGAINST_AND_FOR, vmin=-limit, vmax=limit)
    for (row, column), value in np.ndenumerate(values):
        colour = PAPER if abs(value) > 0.55 * limit else INK
        axes.text(column, row, _number(float(value)), ha="center", va="center", color=colour, fontsize=SMALL)
    axes.set(xticks=[], yticks=[])


def _draw_steps(axes: Axes, steps: Sequence[tuple[str, float]], lines: int) -> None:
    """A sum in words and numbers, a line each, in the middle of so many ``lines``; results are ruled off."""
    above = max(0, lines - len(steps)) / 2
    axes.set(xlim=(0, 1), ylim=(len(steps) - 0.5 + above, -0.5 - above))
    axes.set_axis_off()
    for line, (name, number) in enumerate(steps):
        weight = "bold" if name.startswith("=") else "normal"
        axes.text(0.04, line, name, va="center", fontweight=weight)
        axes.text(1, line, _number(number), va="center", ha="right", fontweight=weight)
        if weight == "bold":
            axes.axhline(line - 0.5, 0.04, color=RULE, linewidth=1)


class Weighed(NamedTuple):
    """What one digit's logit is made of, and what the units that contribute most answer to."""

    digit: int
    sum: LogitSum
    exciting: Sequence[NDArray[np.uint8]]  # pictures (K, 28, 28) for each of the first ``UNITS`` of ``sum.largest``


@styled
def logit_sums(weighed: Sequence[Weighed], title: str, note: str = "") -> Figure:
    """What some digits' logits are made of: the largest contributions, with the digits that excite those units most."""
    foot = (
        "A contribution is a unit's activation times its weight for the digit; with the bias, they add up to the logit."
    )
    figure = plotting.new_figure(6.3 * len(weighed), 5.2, title, f"{foot} {note}".strip())
    axes = figure.subplots(1, 2 * len(weighed), width_ratios=[2.6, 2.9] * len(weighed))
    for one, bars, pictures in zip(weighed, axes[::2], axes[1::2], strict=True):
        order = one.sum.largest(UNITS)
        others = np.delete(one.sum.contributions, order)
        parts = add_up([*one.sum.contributions[order], others.sum(), one.sum.bias], one.sum.value, 3)
        names = [*(f"unit {unit + 1}" for unit in order), f"the other {len(others)}", "bias"]
        _draw_bars(bars, np.array(parts), names, 3)
        bars.set_xlabel("contribution to the logit")
        name_image(bars, f"Logit of {one.digit}: {_number(one.sum.value)}", "the sum of these")
        cells = np.zeros((len(order), PICTURES, *one.exciting[0].shape[1:]))
        for row, found in zip(cells, one.exciting, strict=True):
            row[: len(found)] = found / 255
        pictures.imshow(plotting.mosaic_of(cells), vmin=0, vmax=1, extent=(0, PICTURES, len(order) - 0.5, -0.5))
        pictures.set(xticks=[], yticks=[], ylim=bars.get_ylim(), anchor="W")
        pictures.spines[:].set_visible(False)
        name_image(pictures, "excited most by", "these validation digits")
    return figure


@styled
def kernels(trained: Values, untrained: Values, title: str) -> Figure:
    """The first block's kernels (F, 3, 3) after training, beside those that the same seed began with."""
    limit = float(max(np.abs(trained).max(), np.abs(untrained).max())) or 1
    alike = np.corrcoef(trained.ravel(), untrained.ravel())[0, 1]
    note = f"Blue: positive weights, orange-red: negative, white: 0; one scale, up to ±{limit:.2f}."
    figure = plotting.new_figure(9.6, 3.7, title, note)
    now, before = figure.subplots(1, 2)
    for axes, weights, name, remark in (
        (now, trained, "Trained", f"correlation with those before training {_number(alike, 2)}"),
        (before, untrained, "Before training", "random numbers, drawn from the same seed"),
    ):
        _draw_cells(axes, weights, np.arange(len(weights)), AGAINST_AND_FOR, (-limit, limit), columns=8)
        name_image(axes, name, remark)
    return figure


@styled
def networks(opened: Mapping[str, Opened], title: str, note: str = "") -> Figure:
    """The same digit in several networks, by their names: the strongest filters of each block, and the answer."""
    most = max(len(one.sees) for one in opened.values())
    figure = plotting.new_figure(2.4 + 3 * most, 2.3 * len(opened) + 1, title, f"{_SCALE} {_MARKS} {note}".strip())
    rows = figure.subplots(len(opened), most + 1, squeeze=False, width_ratios=[3] * most + [2])
    for (*blocks, answer), (name, one) in zip(rows, opened.items(), strict=True):
        for block, axes in enumerate(blocks):
            if block >= len(one.sees):
                axes.set_axis_off()
                continue
            _draw_block(axes, one, block, _SIDE_BY_SIDE, columns=4)
            name_image(axes, f"Block {block + 1}", f"each value sees {one.sees[block]} x {one.sees[block]} pixels")
        blocks[0].set_ylabel(plotting.drawable(name))
        draw_answer(answer, one.probabilities, int(one.probabilities.argmax()))
    return figure


_MAPS = "No map explains the prediction: it shows where a filter answers, not why the network decides as it does."
CAPTIONS = {
    "networks": Caption(
        "The same digit in several networks",
        "A row for each network: the maps of its strongest filters, block by block, and its answer.",
        "The deeper the block, the more pixels a value depends on, and the coarser its map. Filters of the same number "
        "have nothing in common, except in the first block of networks that began with the same seed. One network of "
        "each kind does not show which kind is better.",
    ),
    "maps": Caption(
        "From ink to ten logits",
        "From left to right: the digit, every filter's map, block by block, the strongest hidden units, the logits.",
        "A filter lays its kernel, a small square of weights, over every place of what comes before it, and answers "
        "with one number: the better ink and weights match there, the larger. All its answers are its map. The filters "
        "of block 2 look at the maps of block 1 in the same way, and so on: each value then depends on more of the "
        f"picture, and its place is known less exactly. {_MAPS} A strong filter may matter little, and a weak one much.",
    ),
    "sum": Caption(
        "One value, worked out",
        "A patch of numbers times a kernel of weights, the products, their sum, and what becomes of it.",
        "This is the largest value of the block's strongest filter. Each number of the patch is multiplied by the "
        "weight at its place, and the products are added up. Of four neighbouring sums the largest stays (max pooling); "
        "it is scaled and shifted (batch normalisation), and what is negative becomes 0 (ReLU). Every other value of "
        "this map comes from the same weights at another place. Pixels are normalised: paper is −0.424, black ink "
        "2.821. How a value comes about does not say what it is good for.",
    ),
    "logits": Caption(
        "What the two largest logits are made of",
        "Bars for the hidden units that contribute most to two logits, each beside six digits that excite it most.",
        "The digit with the largest logit is the answer. What excites a unit most hints at what it looks for, and is "
        "not all that it answers to: few units stand for one digit. Look at the bar of all the others as well: many "
        "small contributions may decide. The digits are of the 6,000 for validation, which it was not trained on.",
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

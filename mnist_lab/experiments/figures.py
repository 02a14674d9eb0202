"""Figures that compare trained networks: plain data in, ``Figure`` out.

All are as wide as a page of a report, so that their text is as large as the text around them, and still legible on a
phone; what does not fit side by side stands below. Each variant has a colour and a marker of its own, the same in all
panels of a figure: colour is never the only cue. Accuracies and their differences come as fractions and are shown in
percent and percentage points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from textwrap import TextWrapper
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from mnist_lab.data.pixels import SIDE
from mnist_lab.experiments.statistics import decimals_needed, format_points, summarise
from mnist_lab.plotting import (
    ACCURACY_TICKS,
    BLUE,
    GREEN,
    INK,
    LABEL,
    MUTED,
    ORANGE,
    RULE,
    SKY_BLUE,
    SMALL,
    TEXT,
    accuracy_to_axis,
    axis_to_accuracy,
    counted,
    epoch_ticks,
    new_figure,
    scale_loss,
    set_ticks,
    style_axes,
    styled,
    title_panel,
)
from mnist_lab.training.history import EpochRecord

WIDTH = 7.2  # inches of every figure: at 900 pixels, 9 points are as large as a page's own text
NAME_WIDTH = 32  # characters, after which a name goes on in a second line
UNIT_WIDTH = 30  # characters under a small panel
NOTE_WIDTH = 105  # characters of a note at a figure's foot

VERMILION, PURPLE, BROWN = "#D55E00", "#CC79A7", "#7A5C00"  # Okabe & Ito's; brown for their yellow, too pale for lines
COLOURS = [BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY_BLUE, INK, BROWN]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
FRAME = "#BBBBBB"  # of small pictures
BAND_OPACITY = 0.16
KEY = (1.02, 1.045, 1.07)  # where beside a panel a label's piece of line lies, in widths of the panel
KEY_GAP = 0.09  # where its text begins, counted from the panel's right edge
MARKS_ON_A_LINE = 16  # about; more would run into one thick line

# Round errors on a logarithmic axis, from close together to far apart, as the accuracies that they leave.
ERROR_DIGITS = [(1, 1.5, 2, 3, 4, 5, 7), (1, 1.5, 2, 3, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1,)]
ERROR_TICKS = [
    [100 - digit * 10.0**power for power in (1, 0, -1, -2) for digit in digits[::-1]] for digits in ERROR_DIGITS
]
LEAST_HEIGHT = 0.2  # of an accuracy axis, in decades of error
TICKS_APART = 0.06  # of the panel's height, at least

DOTS_ACROSS = 45  # side by side in a row
DOT_STEP, DOTS_DEPTH = 0.08, 0.24  # of a row's height: from dot to dot, and all of them
WORDS_ACROSS = 0.36  # of a small panel's width: room for two words in small print
PICTURE_POINTS = 20.0  # side of a small picture below a panel
PICTURE_BESIDE = 27.0  # beside a bar
SMALL_PANEL = 1.75  # inches, about the width of one of three panels side by side

Band = Literal["range", "sd"]
BAND_WORDS: dict[Band, str] = {"range": "smallest to largest", "sd": "mean ± standard deviation"}

Picture = NDArray[np.uint8] | NDArray[np.floating[Any]]
"""(28, 28) ink: bytes 0..255 or floats 0..1, 0 where there is none."""


class Style(NamedTuple):
    """How one variant is told from the others."""

    colour: str
    marker: str


class VariantCurves(NamedTuple):
    """The validation results of one variant, epoch by epoch, one sequence per seed."""

    losses: Sequence[Sequence[float]]  # nats per digit
    accuracies: Sequence[Sequence[float]]  # fractions
    images_per_epoch: int | None = None


class Difference(NamedTuple):
    """A paired difference of two accuracies (fractions): the mean over seeds and its 95 % interval.

    ``distinguishable`` is what the test said, after all comparisons were counted; None if nothing may be concluded.
    """

    mean: float
    interval: tuple[float, float] | None
    distinguishable: bool | None
    seeds: int


class Robustness(NamedTuple):
    """What one kind of disturbance does to several variants.

    Attributes:
        unit: of the strengths: "pixels", "°".
        strengths: (K,) ascending, two at least.
        accuracies: variant to one sequence of K fractions per seed.
        trained: variant to the range of strengths that its own training digits were disturbed by.
        examples: some strengths to a digit disturbed that much; those that would overlap are left out.
    """

    unit: str
    strengths: Sequence[float]
    accuracies: Mapping[str, Sequence[Sequence[float]]]
    trained: Mapping[str, tuple[float, float]]
    examples: Mapping[float, Picture]


class Step(NamedTuple):
    """How fast one way of training is; ``seconds_to_target`` where it was measured."""

    seconds_per_epoch: float
    images_per_second: float
    seconds_to_target: float | None = None


class Showing(NamedTuple):
    """Digits shown in one way, and how well they are read: a fraction with its 95 % interval."""

    accuracy: float
    interval: tuple[float, float] | None
    digits: int
    picture: Picture  # one of them as the network sees it


# --- training curves ---------------------------------------------------------------------------------------------


@styled
def curves_with_spread(curves: Mapping[str, VariantCurves], *, title: str, band: Band = "range") -> Figure:
    """How several variants learn: validation loss and accuracy, the mean over seeds in a band.

    A line ends with the last epoch that all seeds of its variant reached. Variants with epochs of different lengths
    are drawn over the training digits that they have seen.

    Args:
        curves: at least one variant, each with at least one seed and one epoch.
        title: of the figure.
        band: "range" from the smallest to the largest seed, "sd" one standard deviation around the mean.
    """
    figure = new_figure(WIDTH, 7.4, title, spread_note(curves, band))
    loss, accuracy = figure.subplots(2, 1, sharex=True)
    names = names_with_seeds({name: {len(variant.losses)} for name, variant in curves.items()})
    places = {name: epoch_places(variant, by_images(curves)) for name, variant in curves.items()}
    losses = {name: spread_over_seeds(variant.losses, band) for name, variant in curves.items()}
    accuracies = {name: spread_over_seeds(variant.accuracies, band).scaled(100) for name, variant in curves.items()}
    scale_loss(loss, [value for value in all_values(losses.values()) if value > 0] or [1.0])
    scale_accuracy_closely(accuracy, all_values(accuracies.values()))
    scale_epochs(accuracy, list(places.values()), images=by_images(curves))
    for axes, spreads in ((loss, losses), (accuracy, accuracies)):
        for (name, spread), style in zip(spreads.items(), styles(len(spreads)), strict=True):
            draw_spread(axes, places[name], spread, style)
    title_panel(loss, "Validation loss", "lower is better")
    title_panel(accuracy, "Validation accuracy", "higher is better")
    loss.set_xlabel("")
    for axes, spreads in ((loss, losses), (accuracy, accuracies)):
        ends = [(places[name][len(spread.mean) - 1], spread.mean[-1]) for name, spread in spreads.items()]
        label_ends(axes, list(names.values()), ends)
    return figure


@styled
def run_curves(histories: Mapping[str, Sequence[EpochRecord]], *, title: str) -> Figure:
    """How some chosen runs learned: loss and accuracy, training dashed and validation solid.

    Args:
        histories: a run's name to its history of at least one epoch; losses in nats per digit, accuracies as
            fractions.
        title: of the figure.
    """
    note = (
        "Solid, filled: validation. Dashed, hollow: training, taken in passing, while the weights still move, with "
        "dropout\nand augmentation where there are any: it may well be worse than validation."
    )
    figure = new_figure(WIDTH, 7.6, title, note)
    loss, accuracy = figure.subplots(2, 1, sharex=True)
    records = [record for history in histories.values() for record in history]
    losses = [value for record in records for value in (record.train_loss, record.val_loss)]
    scale_loss(loss, [value for value in losses if value > 0] or [1.0])
    percents = [100 * value for record in records for value in (record.train_accuracy, record.val_accuracy)]
    scale_accuracy_closely(accuracy, percents)
    scale_epochs(accuracy, [[record.epoch for record in history] for history in histories.values()], images=False)
    for history, style in zip(histories.values(), styles(len(histories)), strict=True):
        epochs = [record.epoch for record in history]
        draw_line(loss, epochs, [record.train_loss for record in history], style, dashed=True)
        draw_line(loss, epochs, [record.val_loss for record in history], style)
        draw_line(accuracy, epochs, [100 * record.train_accuracy for record in history], style, dashed=True)
        draw_line(accuracy, epochs, [100 * record.val_accuracy for record in history], style)
    title_panel(loss, "Loss", "lower is better")
    title_panel(accuracy, "Accuracy", "higher is better")
    loss.set_xlabel("")
    names, last = list(histories), [history[-1] for history in histories.values()]
    label_ends(loss, names, [(record.epoch, record.val_loss) for record in last])
    label_ends(accuracy, names, [(record.epoch, 100 * record.val_accuracy) for record in last])
    return figure


# --- results over seeds ------------------------------------------------------------------------------------------


@styled
def dot_plot(rows: Mapping[str, Sequence[float]], *, title: str, digits: str = "test digits") -> Figure:
    """Every seed's accuracy, their mean and its 95 % t interval, one row per variant in the order given.

    Args:
        rows: variant to the accuracies of its seeds, fractions, at least one.
        title: of the figure.
        digits: what the accuracies were measured on.
    """
    figure = new_figure(WIDTH, row_figure_height(len(rows)), title)
    axes = figure.subplots()
    shown = [(*values, *(mean_interval(values) or ())) for values in rows.values()]
    low, high = zoomed([100 * value for values in shown for value in values])
    unit = (high - low) / DOTS_ACROSS
    for row, values in enumerate(rows.values()):
        style = styles(len(rows))[row]
        summary, interval = summarise(values), mean_interval(values)
        percents = sorted(100 * value for value in values)
        axes.plot(percents, stacked(percents, row + 0.2, unit), "o", color=MUTED, markersize=4, alpha=0.75, mew=0)
        if interval:
            axes.plot([100 * end for end in interval], [row - 0.1] * 2, color=style.colour, linewidth=2.4, marker="|")
        axes.plot([100 * summary.mean], [row - 0.1], style.marker, color=style.colour, markersize=9)
        ends = f"{100 * interval[0]:.3f} to {100 * interval[1]:.3f} %" if interval else "no interval"
        write_beside(axes, row, f"{100 * summary.mean:.3f} %, {counted(summary.n, 'seed')}", ends)
    style_axes(axes, f"accuracy on the {digits} (%)", "")
    axes.set_xlim(low, high)
    set_plain_ticks(axes)
    name_rows(axes, rows)
    figure.supxlabel(dot_note(rows, low), fontsize=SMALL, color=MUTED)
    return figure


@styled
def difference_plot(rows: Mapping[str, Difference], *, title: str) -> Figure:
    """Paired differences with their 95 % intervals against zero, and whether they are more than chance.

    Args:
        rows: what is compared, such as "augmented minus plain", to the difference; at least one. The second name
            begins a line of its own.
        title: of the figure.
    """
    note = (
        "Mean over seeds and 95 % interval. Filled: distinguishable from no difference, once all comparisons are "
        "counted.\nHollow: not distinguishable. Diamond: nothing can be concluded, for want of seeds or of spread."
    )
    figure = new_figure(WIDTH, row_figure_height(len(rows)) + 0.2, title, note)
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1)
    for row, difference in enumerate(rows.values()):
        draw_difference(axes, 100 * difference.mean, row, percent_of(difference.interval), difference, upright=False)
        write_beside(axes, row, difference_text(difference), verdict_words(difference))
    ends = [100 * end for row in rows.values() for end in (row.mean, *(row.interval or ()))]
    reach = 1.12 * max(0.05, *(abs(end) for end in ends))
    style_axes(axes, "difference of accuracy (percentage points)", "")
    axes.set_xlim(-reach if min(ends) < 0 else -0.3 * reach, reach if max(ends) > 0 else 0.3 * reach)
    set_plain_ticks(axes)
    name_rows(axes, [name.replace(" minus ", "\n− ") for name in rows])
    axes.set_title("← worse", loc="left", fontsize=TEXT, color=MUTED)
    axes.set_title("better →", loc="right", fontsize=TEXT, color=MUTED)
    return figure


# --- robustness --------------------------------------------------------------------------------------------------


@styled
def robustness_curves(panels: Mapping[str, Robustness], *, title: str) -> Figure:
    """Accuracy over the strength of each disturbance, the mean over seeds in a band from smallest to largest.

    Args:
        panels: disturbance to its results, at least one; variants may be missing in some.
        title: of the figure.
    """
    variants = list(dict.fromkeys(name for panel in panels.values() for name in panel.accuracies))
    style_of = dict(zip(variants, styles(len(variants)), strict=True))
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    note = in_lines(robustness_note(panels), NOTE_WIDTH)
    legend_columns = 2 if max(map(len, variants)) > 20 else 3
    height = 2.75 * rows + 0.22 * math.ceil(len(variants) / legend_columns) + 1.0
    figure = new_figure(WIDTH, height, title, note)
    part = figure.add_subfigure(figure.add_gridspec()[0])
    grid = part.subplots(rows, columns, squeeze=False, sharey=True)
    lowest = 100 * min(min(run) for panel in panels.values() for runs in panel.accuracies.values() for run in runs)
    for axes, (name, panel) in zip(grid.flat, panels.items(), strict=False):
        draw_robustness(axes, name, panel, style_of)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    floor = 10 * math.floor(lowest / 10)
    grid[0, 0].set_ylim(floor - 0.04 * (100 - floor), 100 + 0.04 * (100 - floor))
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)", fontsize=LABEL, color=INK)
    part.legend(
        [key_of(style_of[name]) for name in variants],
        [in_lines(name) for name in variants],
        loc="outside upper center",
        ncols=legend_columns,
        fontsize=TEXT,
        labelcolor=INK,
        frameon=False,
    )
    return figure


# --- the size of the data ----------------------------------------------------------------------------------------


@styled
def growth_curves(
    variants: Mapping[str, Mapping[int, Sequence[float]]],
    gains: Mapping[int, Difference],
    *,
    title: str,
    gain: str,
    digits: str = "test digits",
) -> Figure:
    """Accuracy over the number of training digits, and what one variant gains over the other at each number.

    Args:
        variants: name to number of training digits to the accuracies of the seeds, fractions.
        gains: number of training digits to the paired difference; may be empty.
        title: of the figure.
        gain: what the difference is: "augmented minus plain".
        digits: what the accuracies were measured on.
    """
    seeds = {name: {len(runs) for runs in sizes.values()} for name, sizes in variants.items()}
    names = names_with_seeds(seeds)
    note = growth_note(set().union(*seeds.values()))
    if gains:
        note += (
            "\nGain, filled: distinguishable from none. Hollow: not distinguishable. Diamond: nothing can be concluded."
        )
    figure = new_figure(WIDTH, 6.9 if gains else 4.2, title, note)
    grid = figure.subplots(2 if gains else 1, 1, squeeze=False, sharex=True, height_ratios=(1.5, 1)[: 1 + bool(gains)])
    axes = grid[0, 0]
    ends = []
    values = [
        100 * value
        for sizes in variants.values()
        for runs in sizes.values()
        for value in (summarise(runs).mean, *(mean_interval(runs) or ()))
    ]
    scale_accuracy_closely(axes, values)
    axes.set_ylabel(f"accuracy on {digits} (%,\nlogarithmic in the error)", fontsize=LABEL, color=INK)
    for sizes, style in zip(variants.values(), styles(len(variants)), strict=True):
        means = {size: 100 * summarise(runs).mean for size, runs in sorted(sizes.items())}
        draw_line(axes, list(means), list(means.values()), style)
        for size, runs in sizes.items():
            if interval := percent_of(mean_interval(runs)):
                axes.plot([size] * 2, interval, color=style.colour, linewidth=1.6, marker="_", markersize=8)
        ends.append(list(means.items())[-1])
    title_panel(axes, "Accuracy", "higher is better")
    if gains:
        axes.set_xlabel("")
        draw_gains(grid[1, 0], gains, gain)
    scale_sizes(grid[-1, 0], {size for sizes in variants.values() for size in sizes} | gains.keys())
    label_ends(axes, list(names.values()), ends)
    return figure


# --- speed -------------------------------------------------------------------------------------------------------


@styled
def speed_steps(rows: Mapping[str, Step], *, title: str, target: float = 0.9933) -> Figure:
    """What each step from the common recipe to the lab's saves, one bar per step.

    Args:
        rows: step to its times, the common recipe first; at least one.
        title: of the figure.
        target: the validation accuracy, a fraction, that ``seconds_to_target`` is about.
    """
    with_target = any(step.seconds_to_target is not None for step in rows.values())
    goal = f"to {100 * target:.2f} %"
    note = "Thick bar: one epoch; times as fast as in the first row."
    if with_target:
        note += f" Thin, hatched bar: training time {goal} validation accuracy, where measured."
    height = (0.72 if with_target else 0.55) * len(rows) + 1.5
    figure = new_figure(WIDTH, height, title, in_lines(note, NOTE_WIDTH))
    axes = figure.subplots()
    first = next(iter(rows.values())).seconds_per_epoch
    longest = max(value for step in rows.values() for value in (step.seconds_per_epoch, step.seconds_to_target or 0.0))
    for row, step in enumerate(rows.values()):
        has_target = step.seconds_to_target is not None
        place = row - 0.16 if has_target else row
        axes.barh(place, step.seconds_per_epoch, height=0.4, color=BLUE)
        times = "" if row == 0 else f", {first / step.seconds_per_epoch:.1f} times as fast"
        text = f"{step.seconds_per_epoch:.1f} s, {step.images_per_second:,.0f} images/s{times}"
        write_after_bar(axes, step.seconds_per_epoch, place, text, INK)
        if step.seconds_to_target is not None:
            thin: dict[str, Any] = {"height": 0.2, "facecolor": "#F8E3B5", "edgecolor": "#9A6A00", "hatch": "////"}
            axes.barh(row + 0.22, step.seconds_to_target, linewidth=0.8, **thin)
            write_after_bar(axes, step.seconds_to_target, row + 0.22, f"{step.seconds_to_target:.1f} s {goal}", MUTED)
    style_axes(axes, "time (s)", "")
    axes.set_xlim(0, 1.02 * longest)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    name_rows(axes, rows)
    return figure


# --- black on white ----------------------------------------------------------------------------------------------


@styled
def inversion_bars(rows: Mapping[str, Showing], *, title: str) -> Figure:
    """How well digits are read when they are shown in different ways, with a picture of what the network sees.

    Args:
        rows: way of showing to its result, at least one.
        title: of the figure.
    """
    note = "Pictures: one of the digits as the network sees it. Whiskers: 95 % intervals. Dotted: 10 %, by guessing."
    figure = new_figure(WIDTH, row_figure_height(len(rows)), title, note)
    axes = figure.subplots()
    for row, showing in enumerate(rows.values()):
        axes.barh(row, 100 * showing.accuracy, height=0.6, color=SKY_BLUE)
        if interval := percent_of(showing.interval):
            axes.plot(interval, [row] * 2, color=INK, linewidth=1.4, marker="|", markersize=8)
        places = 2 if showing.digits >= 1000 else 1
        ends = f"{interval[0]:.{places}f} to {interval[1]:.{places}f} %" if interval else "no interval"
        write_beside(axes, row, f"{100 * showing.accuracy:.{places}f} % of {showing.digits:,}", ends)
        put_picture(axes, showing.picture, row, below=False)
    axes.axvline(10, color=INK, linewidth=0.9, linestyle=":")
    style_axes(axes, "accuracy (%)", "")
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 20))
    name_rows(axes, rows)
    axes.tick_params(axis="y", pad=PICTURE_BESIDE + 12)
    return figure


# --- what a line is made of --------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """A mean over seeds, epoch by epoch (E,), and its band; a single seed has none."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None

    def scaled(self, factor: float) -> Spread:
        """In another unit, within 0 and that unit's whole."""
        low, high = (None if end is None else np.clip(factor * end, 0, factor) for end in (self.low, self.high))
        return Spread(factor * self.mean, low, high)


def variant_curves(histories: Sequence[Sequence[EpochRecord]], *, images_per_epoch: int | None = None) -> VariantCurves:
    """The validation curves of one variant from the histories of its seeds."""
    return VariantCurves(
        losses=[[record.val_loss for record in history] for history in histories],
        accuracies=[[record.val_accuracy for record in history] for history in histories],
        images_per_epoch=images_per_epoch,
    )


def spread_over_seeds(runs: Sequence[Sequence[float]], band: Band) -> Spread:
    """Mean and band over the seeds, up to the last epoch that all of them reached."""
    values = np.array([run[: min(map(len, runs))] for run in runs], dtype=np.float64)  # (seeds, epochs)
    mean = values.mean(axis=0)
    if len(values) == 1:
        return Spread(mean, None, None)
    if band == "range":
        return Spread(mean, values.min(axis=0), values.max(axis=0))
    sd = values.std(axis=0, ddof=1)
    return Spread(mean, mean - sd, mean + sd)


def all_values(spreads: Iterable[Spread]) -> list[float]:
    """Everything that an axis has to enclose."""
    parts = [part for spread in spreads for part in spread if part is not None]
    return [float(value) for part in parts for value in part]


def by_images(curves: Mapping[str, VariantCurves]) -> bool:
    """Whether the variants' epochs have different, known lengths."""
    lengths = {variant.images_per_epoch for variant in curves.values()}
    return len(lengths) > 1 and None not in lengths


def epoch_places(variant: VariantCurves, images: bool) -> list[int]:
    """Where the ends of a variant's epochs lie: 1, 2, 3, ... or the training digits seen until then."""
    length = variant.images_per_epoch if images and variant.images_per_epoch else 1
    return [length * epoch for epoch in range(1, max(map(len, variant.losses)) + 1)]


def spread_note(curves: Mapping[str, VariantCurves], band: Band) -> str:
    """What the lines and bands are."""
    counts = {len(variant.losses) for variant in curves.values()}
    if counts == {1}:
        note = "One seed each, so there is no band: how far other seeds lie is not known."
    else:
        seeds = f"{count_range(counts)} seeds" if len(counts) == 1 else "the seeds, n each"
        single = ", none for a single seed" if 1 in counts else ""
        note = f"Line: mean of {seeds}. Band: {BAND_WORDS[band]}{single}."
    if any(len(set(map(len, variant.losses))) > 1 for variant in curves.values()):
        note += "\nA line ends with the last epoch that all seeds of its variant reached."
    return note


def names_with_seeds(seeds: Mapping[str, set[int]]) -> dict[str, str]:
    """The variants' names as labels, with their numbers of seeds unless all have the same, which a note tells."""
    if len(set().union(*seeds.values())) == 1:
        return {name: name for name in seeds}
    return {name: f"{name} (n = {count_range(counts)})" for name, counts in seeds.items()}


def count_range(counts: set[int]) -> str:
    """``5``, or ``3 to 5``."""
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def styles(count: int) -> list[Style]:
    """As many ways to draw a line; beyond eight, colours return with other markers."""
    kinds = len(COLOURS)
    return [Style(COLOURS[place % kinds], MARKERS[(place + place // kinds) % kinds]) for place in range(count)]


def in_lines(text: str, width: int = NAME_WIDTH) -> str:
    """A text, broken into lines of about equal length if it is long; line breaks that it has are kept."""
    return "\n".join(in_even_lines(line, width) for line in text.split("\n"))


def in_even_lines(line: str, width: int) -> str:
    """As few lines as the width allows, all as short as that number of lines can be; only longer words are cut."""
    words = TextWrapper(width, break_on_hyphens=False)
    fewest = len(words.wrap(line))
    longest_word = max(map(len, line.split()), default=1)
    for words.width in range(min(width, longest_word), width + 1):
        lines = words.wrap(line)
        if len(lines) <= fewest:
            return "\n".join(lines)
    return line


def draw_line(
    axes: Axes, places: Sequence[float], values: Sequence[float], style: Style, *, dashed: bool = False
) -> None:
    """One curve; dashed ones are thinner and their markers hollow."""
    axes.plot(
        places,
        values,
        color=style.colour,
        linewidth=1.2 if dashed else 1.8,
        linestyle=(0, (4, 2)) if dashed else "-",
        marker=style.marker,
        markersize=4 if dashed else 5.5,
        markerfacecolor="none" if dashed else style.colour,
        markevery=math.ceil(len(places) / MARKS_ON_A_LINE),
    )


def draw_spread(axes: Axes, places: Sequence[float], spread: Spread, style: Style) -> None:
    """A mean with its band, if it has one."""
    reached = places[: len(spread.mean)]
    if spread.low is not None and spread.high is not None:
        axes.fill_between(reached, spread.low, spread.high, color=style.colour, alpha=BAND_OPACITY, linewidth=0)
    draw_line(axes, reached, [float(value) for value in spread.mean], style)


def key_of(style: Style) -> Line2D:
    """A piece of line, for legends."""
    return Line2D([], [], color=style.colour, marker=style.marker, markersize=5.5, linewidth=1.8)


def label_ends(axes: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]]) -> None:
    """The lines' names to the right of a panel, each as near to its line's end as the others allow.

    Each carries a piece of its line; where it had to move, a dotted line leads to it from an end at the panel's edge.
    """
    labels = [in_lines(name) for name in names]
    lines = max(label.count("\n") + 1 for label in labels)
    to_panel = axes.transData + axes.transAxes.inverted()
    # (N, 2) in widths and heights of the panel; a loss of zero has no place on its axis but the lower edge.
    at = np.clip(to_panel.transform(ends), 0, 1)
    rightmost = at[:, 0].max()
    texts = [
        axes.text(1 + KEY_GAP, 0.5, label, transform=axes.transAxes, va="center", fontsize=TEXT, color=INK)
        for label in labels
    ]
    gap = (lines * 1.25 * TEXT + 2) / 72 / panel_height(axes)
    heights = spread_apart([float(height) for height in at[:, 1]], gap)
    for text, height, end, style in zip(texts, heights, at, styles(len(names)), strict=True):
        text.set_y(height)
        key: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False, "color": style.colour}
        axes.plot(KEY, [height] * 3, marker=style.marker, markevery=[1], markersize=5.5, linewidth=1.8, **key)
        if end[0] == rightmost:
            leader = {**key, "color": MUTED, "linestyle": ":"}  # dotted: after a single epoch it is no curve
            axes.plot([end[0], KEY[0]], [end[1], height], **leader, linewidth=0.8, zorder=1)


def panel_height(axes: Axes) -> float:
    """How high a panel is, in inches, once its figure is laid out."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    return axes.get_window_extent().height / figure.dpi


def spread_apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Places as near to the wanted ones as possible (least squares), within 0..1 and ``gap`` apart.

    Too many for that start at 0 and go beyond 1.
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    lowest = isotonic_regression(np.asarray(wanted)[order] - steps).x
    places = np.empty(len(wanted))
    places[order] = np.clip(lowest, 0, max(0.0, 1 - steps[-1])) + steps
    return [float(place) for place in places]


# --- axes --------------------------------------------------------------------------------------------------------


def scale_accuracy_closely(axes: Axes, percents: Sequence[float]) -> None:
    """An accuracy axis, logarithmic in the error and no longer than the values (percent) need."""
    low, high = (float(height) for height in accuracy_to_axis(np.array([min(percents), max(percents)])))
    margin = max(0.06 * (high - low), (LEAST_HEIGHT - (high - low)) / 2)
    low, high = low - margin, high + margin
    # Limits before the scale: an automatic limit above 100 % would have no place on it.
    axes.set_ylim(*axis_to_accuracy(np.array([low, high])))
    axes.set_yscale("function", functions=(accuracy_to_axis, axis_to_accuracy))
    set_ticks(axes, accuracy_ticks(low, high))
    style_axes(axes, "epoch", "accuracy (%, logarithmic in the error)")


def accuracy_ticks(low: float, high: float) -> list[float]:
    """Round accuracies in percent between two heights on the axis: those that leave the smallest gaps, yet are apart.

    They come from several lists, evenly spaced or close together where networks are good.
    """
    first, last = (float(end) for end in axis_to_accuracy(np.array([low, high])))
    even = [round(float(tick), 6) for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(first, last)]
    inside = [
        [tick for tick in ticks if max(first, 0) <= tick <= min(last, 100)]
        for ticks in (even, *ERROR_TICKS, ACCURACY_TICKS)
    ]
    gaps = [np.diff(accuracy_to_axis(np.array([first, *ticks, last]))) for ticks in inside]
    least = TICKS_APART * (high - low)
    legible = [place for place, gap in enumerate(gaps) if gap[1:-1].min(initial=math.inf) >= least]
    return inside[min(legible, key=lambda place: float(gaps[place].max()), default=0)]


def scale_epochs(axes: Axes, places: Sequence[Sequence[int]], *, images: bool) -> None:
    """The common x axis of two panels: epochs, or training digits seen."""
    last = max(max(run) for run in places)
    if not images:
        axes.set_xlim(1 - max(0.25, 0.02 * last), last + max(0.25, 0.02 * last))
        axes.set_xticks(epoch_ticks(last))
        axes.set_xlabel("epoch", fontsize=LABEL, color=INK)
        return
    first = min(min(run) for run in places)
    axes.set_xscale("log")
    axes.set_xlim(first / 1.15, last * 1.15)
    ticks = [digit * 10**power for power in range(9) for digit in (1, 2, 5) if first <= digit * 10**power <= last]
    set_counts(axes, ticks if len(ticks) <= 7 else [tick for tick in ticks if str(tick)[0] == "1"])
    axes.set_xlabel("training digits seen (logarithmic)", fontsize=LABEL, color=INK)


def scale_sizes(axes: Axes, sizes: Iterable[int]) -> None:
    """An x axis of numbers of training digits, each named."""
    ordered = sorted(sizes)
    axes.set_xscale("log")
    axes.set_xlim(ordered[0] / 1.3, ordered[-1] * 1.8)
    set_counts(axes, ordered)
    axes.set_xlabel("training digits (logarithmic)", fontsize=LABEL, color=INK)


def set_counts(axes: Axes, ticks: Sequence[int]) -> None:
    """Exactly these counts on the x axis, in plain numbers."""
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])


def set_plain_ticks(axes: Axes) -> None:
    """Round numbers on the x axis, written out: no offset, and a true minus sign."""
    low, high = axes.get_xlim()
    values = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    ticks = [round(float(tick), 6) + 0.0 for tick in values if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticks(ticks, [number(tick) for tick in ticks])


def number(value: float) -> str:
    """As short as can be, with a true minus sign."""
    return f"{value:g}".replace("-", "−")


def zoomed(percents: Sequence[float]) -> tuple[float, float]:
    """Limits a little outside the values, and hardly beyond what is possible: a dot at 100 % is not cut."""
    low, high = min(percents), max(percents)
    margin = max(0.08 * (high - low), 0.02)
    return max(0.0, low - margin), min(100.02, high + margin)


# --- rows --------------------------------------------------------------------------------------------------------


def row_figure_height(rows: int) -> float:
    """Inches for so many rows, their axis, the title and a note."""
    return 0.56 * rows + 1.55


def name_rows(axes: Axes, names: Iterable[str]) -> None:
    """Names on the left, the first on top, and a quiet line between the rows."""
    labels = [in_lines(name) for name in names]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    for place in range(1, len(labels)):
        axes.axhline(place - 0.5, color=RULE, linewidth=0.6, zorder=0)


def write_beside(axes: Axes, row: float, first: str, second: str) -> None:
    """Two lines to the right of a row."""
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": TEXT}
    axes.text(1.03, row - 0.03, first, va="bottom", color=INK, **beside)
    axes.text(1.03, row + 0.03, second, va="top", color=MUTED, **beside)


def write_after_bar(axes: Axes, length: float, row: float, text: str, colour: str) -> None:
    """A remark behind the end of a horizontal bar, outside the panel if need be."""
    axes.annotate(text, (length, row), (4, 0), textcoords="offset points", va="center", fontsize=TEXT, color=colour)


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % t interval of a mean accuracy, without what lies outside 0..1; None where there is none."""
    interval = summarise(values).interval
    return None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1]))


def percent_of(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval of fractions in percent."""
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def stacked(values: Sequence[float], level: float, unit: float) -> list[float]:
    """Heights for ascending values on one level: those nearer than ``unit`` to the one before step downwards."""
    depths: list[int] = []
    for place, value in enumerate(values):
        near = place > 0 and value - values[place - 1] < unit
        depths.append(depths[-1] + 1 if near else 0)
    step = min(DOT_STEP, DOTS_DEPTH / max(1, *depths))
    return [level + step * depth for depth in depths]


def dot_note(rows: Mapping[str, Sequence[float]], start: float) -> str:
    """What the marks mean, and that the axis does not begin at zero."""
    note = "Small: each seed. Large: their mean, with its 95 % t interval over seeds, on the same digits."
    if any(mean_interval(values) is None for values in rows.values()):
        note += " A single seed, or seeds without any spread, have none."
    if start > 0:
        note += f" The axis begins at {start:.2f} %, not at 0: differences look larger than they are."
    return in_lines(note, NOTE_WIDTH)


# --- differences -------------------------------------------------------------------------------------------------


def draw_difference(
    axes: Axes,
    mean: float,
    place: float,
    interval: tuple[float, float] | None,
    difference: Difference,
    *,
    upright: bool,
) -> None:
    """A mean and its interval in points; filled if distinguishable, hollow if not, a diamond without a verdict."""
    found = difference.distinguishable
    colour = BLUE if found else MUTED

    def at(along: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
        across = [place] * len(along)
        return (across, along) if upright else (along, across)

    if interval:
        axes.plot(*at(interval), color=colour, linewidth=2, marker="_" if upright else "|", markersize=8)
    axes.plot(
        *at([mean]),
        marker="D" if found is None else "o",
        markersize=8,
        color=colour,
        markerfacecolor=colour if found else "white",
        markeredgewidth=1.6,
    )


def difference_text(difference: Difference) -> str:
    """The mean and its interval in points, with signs."""
    ends = difference.interval or ()
    decimals = decimals_needed(difference.mean, *ends)
    mean, *shown = (format_points(value, decimals, signed=True) for value in (difference.mean, *ends))
    return f"{mean} ({shown[0]} to {shown[1]})" if shown else f"{mean}, no interval"


def verdict_words(difference: Difference) -> str:
    """What was found, in words."""
    words = {True: "distinguishable", False: "not distinguishable", None: "no conclusion"}
    return f"{words[difference.distinguishable]}, {counted(difference.seeds, 'seed')}"


def growth_note(counts: set[int]) -> str:
    """What points and bars are, for these numbers of seeds."""
    if counts == {1}:
        return "One seed each, so there are no intervals."
    single = ", none for a single seed" if 1 in counts else ""
    return f"Means of {count_range(counts)} seeds with their 95 % t intervals{single}."


def draw_gains(axes: Axes, gains: Mapping[int, Difference], gain: str) -> None:
    """Differences over numbers of training digits, each with its number beside it."""
    axes.axhline(0, color=INK, linewidth=1.2, zorder=1)
    for size, difference in gains.items():
        mean, interval = 100 * difference.mean, percent_of(difference.interval)
        draw_difference(axes, mean, size, interval, difference, upright=True)
        text = format_points(difference.mean, decimals_needed(difference.mean), signed=True)
        axes.annotate(text, (size, mean), (8, 0), textcoords="offset points", va="center", fontsize=TEXT, color=INK)
    style_axes(axes, "", "gain (percentage points)")
    axes.margins(y=0.12)
    title_panel(axes, "Gain", gain)


# --- robustness, drawn -------------------------------------------------------------------------------------------


def robustness_note(panels: Mapping[str, Robustness]) -> str:
    """What lines, bands and shades are."""
    counts = {len(runs) for panel in panels.values() for runs in panel.accuracies.values()}
    seeds = f"Line: mean of {count_range(counts)} seeds. Band: smallest to largest."
    notes = ["One seed each." if counts == {1} else seeds]
    if any(panel.trained for panel in panels.values()):
        notes.append("Shaded: strengths that the variant of that colour met in training (grey: several variants).")
    return " ".join(notes)


def draw_robustness(axes: Axes, name: str, panel: Robustness, style_of: Mapping[str, Style]) -> None:
    """One disturbance: its curves, the ranges trained on, and some digits below."""
    low, high = panel.strengths[0], panel.strengths[-1]
    margin = 0.04 * (high - low)
    style_axes(axes, "", "")
    axes.set_xlim(low - margin, high + margin)
    shade_trained(axes, panel.trained, style_of)
    for variant, runs in panel.accuracies.items():
        draw_spread(axes, panel.strengths, spread_over_seeds(runs, "range").scaled(100), style_of[variant])
    title_panel(axes, name.capitalize(), "")
    width = (PICTURE_POINTS + 2) / 72 / SMALL_PANEL * (high - low + 2 * margin)
    shown = apart(sorted(panel.examples), width)
    for strength in shown:
        put_picture(axes, panel.examples[strength], strength, below=True)
    ticks = shown or list(panel.strengths)
    axes.set_xticks(ticks, [number(tick) for tick in ticks])
    label = in_lines(f"{name} ({panel.unit})", UNIT_WIDTH)
    axes.set_xlabel(label, fontsize=TEXT, color=INK, labelpad=PICTURE_POINTS + 8 if shown else 4)


def shade_trained(axes: Axes, trained: Mapping[str, tuple[float, float]], style_of: Mapping[str, Style]) -> None:
    """The strengths that occurred in training, in the colour of their variant; grey if several share them."""
    left, right = axes.get_xlim()
    for start, end in dict.fromkeys(trained.values()):
        owners = [name for name, range_ in trained.items() if range_ == (start, end)]
        colour = style_of[owners[0]].colour if len(owners) == 1 else MUTED
        start, end = max(start, left), min(end, right)
        axes.axvspan(start, end, color=colour, alpha=0.13, linewidth=0, zorder=0)
        across = end - start > WORDS_ACROSS * (right - left)
        place: dict[str, Any] = {"ha": "center", "va": "bottom", "rotation": 0 if across else 90}
        axes.text(
            (start + end) / 2,
            0.04,
            "trained on",
            transform=axes.get_xaxis_transform(),
            fontsize=SMALL,
            color=INK,
            **place,
        )


def apart(places: Sequence[float], width: float) -> list[float]:
    """Those of the ascending places at which things so wide do not overlap; the first and the last stay."""
    kept = list(places[:1])
    for place in places[1:]:
        is_last = place == places[-1]
        if place - kept[-1] >= width and (is_last or places[-1] - place >= width):
            kept.append(place)
    return kept


def put_picture(axes: Axes, picture: Picture, place: float, *, below: bool) -> None:
    """A small picture at a place on an axis: dark ink on white under the x axis, or as it is beside the y axis."""
    points = PICTURE_POINTS if below else PICTURE_BESIDE
    box = AnnotationBbox(
        OffsetImage(as_ink(picture), zoom=points / SIDE, cmap="gray_r" if below else "gray", norm=Normalize(0, 1)),
        (place, 0) if below else (0, place),
        (0, -18) if below else (-6, 0),
        axes.get_xaxis_transform() if below else axes.get_yaxis_transform(),
        "offset points",
        box_alignment=(0.5, 1) if below else (1, 0.5),
        pad=0,
        bboxprops={"edgecolor": FRAME, "linewidth": 0.6},
        annotation_clip=False,
    )
    axes.add_artist(box)


def as_ink(picture: Picture) -> NDArray[np.floating[Any]]:
    """A picture as floats 0..1."""
    return picture / 255 if np.issubdtype(picture.dtype, np.integer) else np.asarray(picture, dtype=np.float64)

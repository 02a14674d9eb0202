"""Figures: plain data in, ``matplotlib.figure.Figure`` out.

Nothing here touches pyplot's state, a file or the console: the caller saves with ``figure.savefig(path)``,
and the figure knows its own size and resolution. Digits are drawn as dark ink on white paper, the way they were
written and the way a page prints best, although MNIST stores them white on black.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from mnist_lab.data.pixels import SIDE
from mnist_lab.terminal.wording import format_probability, printable

if TYPE_CHECKING:
    from mnist_lab.training.history import EpochRecord

# Okabe & Ito's palette, told apart with every common kind of colour vision (https://jfly.uni-koeln.de/color/).
BLUE, SKY_BLUE, ORANGE, GREEN = "#0072B2", "#56B4E9", "#E69F00", "#009E73"
INK, MUTED, RULE, PAPER = "#222222", "#666666", "#DDDDDD", "#FFFFFF"
DIAGONAL = "#E4EAF0"  # what is right stays in the background, so that the rare mistakes stand out
# From a single mistake, unlike paper at a glance, to the darkest ground that ink is legible on.
MISTAKE_COLOURS = LinearSegmentedColormap.from_list("mistakes", ["#FBE0C8", "#F2A65E", "#DE6A12"])

DPI = 150  # dots per inch of a saved figure; the sizes below are points at that size
TITLE, LABEL, TEXT, SMALL = 13, 10, 9, 8

DIGITS = range(10)
MISTAKES_SHOWN = 25
MISTAKE_COLUMNS = 5

MARKERS_UP_TO = 30  # epochs; beyond, markers would run into one thick line
EPOCH_TICKS_UP_TO = 16  # how many epoch numbers fit under a panel
LOSS_TICKS_UP_TO = 13  # how many lines of text fit beside one
MARGIN = 0.05  # of the y axis, beyond its outermost ticks, so that no marker is cut

# Losses and error rates 1, 2, 5, 10, ...: evenly spaced to the eye on a logarithmic axis.
LOSS_TICKS = [digit * 10.0**exponent for exponent in range(-7, 3) for digit in (1, 2, 5)]
ACCURACY_TICKS = [0, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 100]  # percent
ACCURACY_RESOLUTION = 0.01  # percentage points; keeps 100 % at a finite place on the logarithmic axis


def training_history(history: Sequence[EpochRecord], *, best_epoch: int, stop_reason: str, title: str) -> Figure:
    """Loss and accuracy over the epochs, in training and in validation.

    Args:
        history: at least one epoch; losses in nats per digit, accuracies as fractions 0..1.
        best_epoch: the epoch of the history whose weights were kept.
        stop_reason: "last epoch", "patience" or "interrupted".
        title: of the whole figure.
    """
    note = (
        "Loss: cross-entropy, less the smallest value that smoothed labels allow. Training values are taken in "
        "passing, while the weights\nstill move, with dropout and augmentation where there are any: they may well be "
        "worse than validation."
    )
    figure = new_figure(10, 4.7, title, note)
    # A part of its own for the panels and their legend, which would otherwise lie on the note.
    panels = figure.add_subfigure(figure.add_gridspec()[0])
    loss, accuracy = panels.subplots(1, 2)
    epochs = [record.epoch for record in history]
    kept = epochs.index(best_epoch)

    train = [record.train_loss for record in history]
    validation = [record.val_loss for record in history]
    draw_curves(loss, epochs, train, validation, kept, stop_reason)
    scale_loss(loss, train + validation)
    title_panel(loss, "Loss", f"best epoch, validation: {validation[kept]:.4f}")

    train = [100 * record.train_accuracy for record in history]
    validation = [100 * record.val_accuracy for record in history]
    draw_curves(accuracy, epochs, train, validation, kept, stop_reason)
    scale_accuracy(accuracy, train + validation)
    title_panel(accuracy, "Accuracy", f"best epoch, validation: {validation[kept]:.2f} %")

    handles, labels = loss.get_legend_handles_labels()
    panels.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        fontsize=TEXT,
        labelcolor=INK,
        frameon=False,
    )
    return figure


def confusion_counts(matrix: NDArray[np.int64], *, title: str) -> Figure:
    """How many digits of each class were taken for which.

    Args:
        matrix: (10, 10) counts; rows are true digits, columns predicted ones.
        title: of the figure.
    """
    right, total = int(np.trace(matrix)), int(matrix.sum())
    share = f", accuracy {100 * right / total:.2f} %" if total else ""
    note = f"{counted(total - right, 'mistake')} in {counted(total, 'digit')}{share}. Dots: never happened."
    figure = new_figure(7.4, 6.6, title, note)
    texts = [[f"{count:,}" for count in row] for row in matrix]
    scale = LogNorm(1, max(10, highest_mistake(matrix)), clip=True)
    draw_confusion(figure, matrix.astype(float), texts, scale, "mistakes (digits, logarithmic)")
    return figure


def confusion_percent(matrix: NDArray[np.int64], *, title: str) -> Figure:
    """What share of each class was taken for which; a class without digits has none (n/a).

    Args:
        matrix: (10, 10) counts; rows are true digits, columns predicted ones. Every row is brought to 100 %.
        title: of the figure.
    """
    figure = new_figure(7.4, 6.6, title, "Each row adds up to 100 % of a true digit. Dots: never happened.")
    percent = row_percent(matrix)
    texts = [["n/a" if math.isnan(share) else percent_text(share) for share in row] for row in percent]
    scale = LogNorm(0.05, max(5, highest_mistake(percent)), clip=True)
    draw_confusion(figure, percent, texts, scale, "mistakes (% of the true digit, logarithmic)")
    return figure


def mistakes(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    probabilities: NDArray[np.floating[Any]],
    true_probabilities: NDArray[np.floating[Any]],
    indices: NDArray[np.int64],
    *,
    total: int,
    judged: int,
    title: str,
    noun: str = "test digit",
) -> Figure:
    """The worst mistakes, as they come, 25 at most.

    Args:
        images: (N, 28, 28), 0..255, worst mistake first.
        labels: (N,) true digits.
        predictions: (N,) predicted digits.
        probabilities: (N,) 0..1, which the network gave to its prediction.
        true_probabilities: (N,) 0..1, which it gave to the true digit.
        indices: (N,) positions in the MNIST test file.
        total: how many mistakes there were.
        judged: how many digits were judged.
        title: of the figure.
        noun: what the indices count.
    """
    shown = min(len(images), MISTAKES_SHOWN)
    if shown == 0:
        return no_mistakes(judged, title)
    columns = min(shown, MISTAKE_COLUMNS)
    rows = math.ceil(shown / columns)
    figure = new_figure(max(1.8 * columns, 5.4), 2.4 * rows + 0.9, title, mistakes_note(shown, total, judged))
    tiles = figure.subplots(rows, columns, squeeze=False).flat
    for place in range(shown):
        axes, true, predicted = tiles[place], labels[place], predictions[place]
        draw_digit(axes, images[place] / 255)
        axes.set_title(f"true {true}, predicted {predicted}", fontsize=TEXT, color=INK)
        certainty = format_probability(probabilities[place])
        doubt = format_probability(true_probabilities[place])
        caption = f"p({predicted}) {certainty}, p({true}) {doubt}\n{noun} {indices[place]}"
        axes.set_xlabel(caption, fontsize=SMALL, color=MUTED)
    for place in range(shown, rows * columns):
        tiles[place].set_axis_off()
    return figure


def sample_grid(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Figure:
    """Some digits of every class, one row per class.

    Args:
        images: (10 * K, 28, 28), 0..255, sorted by class.
        labels: (10 * K,) 0..9, ascending.
    """
    columns = len(images) // len(DIGITS)
    figure = new_figure(0.55 * columns + 1.2, 6.6, f"MNIST: {counted(columns, 'sample')} of each digit")
    axes = figure.subplots()
    cells = images.reshape(len(DIGITS), columns, SIDE, SIDE) / 255
    draw_mosaic(axes, cells, [str(label) for label in labels[::columns]])
    axes.set_ylabel("label", fontsize=LABEL, color=INK)
    axes.set_xlabel("samples", fontsize=LABEL, color=INK)
    return figure


def class_counts(counts: Mapping[str, Sequence[int]]) -> Figure:
    """How often each digit occurs in each split, on one scale of shares.

    Args:
        counts: split name to ten counts, digit 0 first. A split may be empty.
    """
    note = "Written on the bars: number of digits. Dotted: 10 %, as if all ten were equally frequent."
    figure = new_figure(3.3 * len(counts) + 0.4, 4.4, "Digits per class", note)
    panels = figure.subplots(1, len(counts), squeeze=False, sharey=True)[0]
    shares = {name: row_percent(np.array([split]))[0] for name, split in counts.items()}
    widest = max(10.0, max(float(np.nan_to_num(share).max()) for share in shares.values()))
    colours = [SKY_BLUE, ORANGE, GREEN]
    for place, (axes, name) in enumerate(zip(panels, counts, strict=True)):
        colour = colours[place % len(colours)]
        draw_class_bars(axes, counts[name], np.nan_to_num(shares[name]), colour, widest)
        title_panel(axes, name, counted(sum(counts[name]), "digit"))
    panels[0].set_ylabel("digit", fontsize=LABEL, color=INK)
    panels[0].invert_yaxis()  # shared: all panels read from 0 at the top
    return figure


def mean_digits(means: NDArray[np.floating[Any]], counts: Sequence[int]) -> Figure:
    """The average image of each class: sharp where all writers agree, grey where they differ.

    Args:
        means: (10, 28, 28) mean ink, 0..1.
        counts: ten numbers of digits averaged.
    """
    note = "Dark where nearly all writers put ink, grey where they differ."
    figure = new_figure(8.6, 4.7, "The mean of each digit", note)
    tiles = figure.subplots(2, 5)
    for digit, axes in zip(DIGITS, tiles.flat, strict=True):
        drawn = draw_digit(axes, means[digit])
        axes.set_title(f"{digit}", fontsize=LABEL, color=INK)
        axes.set_xlabel(f"mean of {counts[digit]:,}", fontsize=SMALL, color=MUTED)
    bar = figure.colorbar(drawn, ax=tiles, shrink=0.85, aspect=30)
    style_colour_bar(bar.ax, "mean ink (0 paper, 1 full ink)")
    return figure


def augmentation_gallery(groups: Sequence[Mapping[str, NDArray[np.floating[Any]]]], note: str) -> Figure:
    """Some digits, as they are and as each augmentation changes them, with their outlines before.

    Args:
        groups: row names to (K, 28, 28) ink, 0..1. Each group begins with its digits as they are; the same digits stand
            in the same columns below.
        note: at the foot of the figure.
    """
    names = [name for group in groups for name in group]
    cells = np.stack([images for group in groups for images in group.values()])  # (rows, K, 28, 28)
    before = np.stack([next(iter(group.values())) for group in groups for _ in group])
    rows, columns = cells.shape[:2]
    figure = new_figure(max(0.75 * columns + 2.9, 5.2), 0.75 * rows + 1.4, "What augmentation does to a digit", note)
    axes = figure.subplots()
    draw_mosaic(axes, cells, names)
    places = (np.arange(columns * SIDE) + 0.5, np.arange(rows * SIDE) + 0.5)  # middles of pixels
    firsts = np.cumsum([0, *(len(group) for group in groups)])
    outlines = before.copy()
    outlines[firsts[:-1]] = 0
    axes.contour(*places, mosaic_of(outlines), levels=[0.5], colors=[ORANGE], linewidths=0.9)
    for first in firsts[:-1]:
        axes.axhline(SIDE * (first + 1), color=INK, linewidth=1.2)
    for first in firsts[1:-1]:
        axes.axhline(SIDE * first, color=INK, linewidth=2.4)
    axes.set_xlabel("one digit per column", fontsize=LABEL, color=INK)
    axes.set_ylabel("augmentation", fontsize=LABEL, color=INK)
    return figure


def new_figure(width: float, height: float, title: str, note: str = "") -> Figure:
    """A white page of width x height inches with its title on top and, small, a note at its foot."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)  # inches
    figure = Figure((width, height), dpi=DPI, facecolor=PAPER, layout=layout)
    figure.suptitle(drawable(title), fontsize=TITLE, fontweight="bold", color=INK, wrap=True)
    if note:
        figure.supxlabel(note, fontsize=SMALL, color=MUTED, wrap=True)
    return figure


def drawable(text: str) -> str:
    """Text of a file or its name, to be drawn as it is: no formulas, no control characters, no halves of characters."""
    return printable(text).replace("$", r"\$")


def style_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Quiet frame, quiet grid, named axes: set by hand, so that no matplotlibrc can change the look."""
    axes.set_facecolor(PAPER)
    axes.set_xlabel(xlabel, fontsize=LABEL, color=INK)
    axes.set_ylabel(ylabel, fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=TEXT, labelcolor=INK, color=RULE, length=3, width=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.grid(True, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def style_colour_bar(axes: Axes, label: str) -> None:
    """The same hand for a colour bar, whose label carries the unit."""
    axes.set_ylabel(label, fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=TEXT, labelcolor=INK, color=RULE, length=3)
    axes.yaxis.set_minor_locator(NullLocator())
    for spine in axes.spines.values():
        spine.set_visible(False)


def title_panel(axes: Axes, name: str, remark: str) -> None:
    """A panel's name on its left, a remark on its right."""
    axes.set_title(name, loc="left", fontsize=LABEL, fontweight="bold", color=INK)
    axes.set_title(remark, loc="right", fontsize=TEXT, color=MUTED)


def draw_curves(
    axes: Axes,
    epochs: Sequence[int],
    train: Sequence[float],
    validation: Sequence[float],
    kept: int,
    stop_reason: str,
) -> None:
    """Both curves of one quantity, with the place of the epoch that was kept and the last one."""
    with_markers = len(epochs) <= MARKERS_UP_TO
    curves = [("training", train, ORANGE, "s"), ("validation", validation, BLUE, "o")]
    for name, values, colour, marker in curves:
        shape = marker if with_markers else "none"
        axes.plot(epochs, values, color=colour, linewidth=1.8, marker=shape, markersize=4.5, label=name)
    axes.plot(
        [epochs[kept]],
        [validation[kept]],
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=INK,
        markeredgewidth=1.4,
        label=f"best epoch: {epochs[kept]} (weights kept)",
    )
    axes.axvline(
        epochs[-1],
        color=MUTED,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        zorder=1,
        label=f"stopped after epoch {epochs[-1]} ({stop_reason})",
    )
    axes.set_xlim(0.5, epochs[-1] + max(0.5, 0.02 * epochs[-1]))
    axes.set_xticks(epoch_ticks(epochs[-1]))


def epoch_ticks(last: int) -> list[int]:
    """Whole epochs from 1 on, as many as fit."""
    step = next(step for step in (1, 5, 10, 20, 50, 100, last) if last / step <= EPOCH_TICKS_UP_TO)
    return sorted({1, *range(step, last + 1, step)})


def scale_loss(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic loss axis whose ticks enclose these values; a loss of exactly zero falls off it."""
    positive = [value for value in values if value > 0]
    ticks = enclosing_ticks(positive, LOSS_TICKS)
    if len(ticks) > LOSS_TICKS_UP_TO:
        ticks = enclosing_ticks(positive, LOSS_TICKS[::3])  # powers of ten
    margin = (ticks[-1] / ticks[0]) ** MARGIN
    axes.set_ylim(ticks[0] / margin, ticks[-1] * margin)
    axes.set_yscale("log")
    set_ticks(axes, ticks)
    style_axes(axes, "epoch", "loss (nats per digit, logarithmic)")


def scale_accuracy(axes: Axes, percents: Sequence[float]) -> None:
    """An accuracy axis, logarithmic in the error: 90, 99 and 99.9 % lie equally far apart."""
    ticks = enclosing_ticks(percents, ACCURACY_TICKS)
    low, high = accuracy_to_axis(np.array([ticks[0], ticks[-1]]))
    margin = MARGIN * (high - low)
    # Limits before the scale: an automatic limit above 100 % would have no place on it.
    axes.set_ylim(*axis_to_accuracy(np.array([low - margin, high + margin])))
    axes.set_yscale("function", functions=(accuracy_to_axis, axis_to_accuracy))
    set_ticks(axes, ticks)
    style_axes(axes, "epoch", "accuracy (%, logarithmic in the error)")


def accuracy_to_axis(percent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracies in percent to their height on the axis: the decades of error that were won."""
    return -np.log10(np.maximum(100 + ACCURACY_RESOLUTION - percent, 1e-9))


def axis_to_accuracy(height: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of :func:`accuracy_to_axis`."""
    percent: NDArray[np.float64] = 100 + ACCURACY_RESOLUTION - np.power(10.0, -height)
    return percent


def enclosing_ticks(values: Sequence[float], candidates: Sequence[float], at_least: int = 4) -> Sequence[float]:
    """The run of candidates (ascending) from just below to just above the values, widened if too short."""
    first = max(bisect_right(candidates, min(values)) - 1, 0)
    last = min(bisect_left(candidates, max(values)), len(candidates) - 1)
    while last - first + 1 < at_least:
        first, last = max(first - 1, 0), min(last + 1, len(candidates) - 1)
    return candidates[first : last + 1]


def set_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    """Exactly these ticks on the y axis, in plain numbers."""
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def row_percent(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts (R, C) to percent of their row; NaN all along a row without any."""
    totals = matrix.sum(axis=1, keepdims=True)
    percent = np.full(matrix.shape, np.nan)
    np.divide(100.0 * matrix, totals, where=totals > 0, out=percent)
    return percent


def highest_mistake(values: NDArray[Any]) -> float:
    """The largest off-diagonal value of (10, 10); 0 if there is none."""
    return float(np.nan_to_num(values)[~np.eye(len(values), dtype=bool)].max())


def draw_confusion(
    figure: Figure, values: NDArray[np.float64], texts: list[list[str]], scale: LogNorm, unit: str
) -> None:
    """A confusion matrix (10, 10) in three layers: what was right, what never happened, and the mistakes.

    Each layer has its own colours: on one common scale, 0.2 % of mistakes beside 99 % would look like none.
    """
    axes = figure.subplots()
    diagonal = np.eye(len(values), dtype=bool)
    mistaken = ~diagonal & (np.nan_to_num(values) > 0)
    never = ~diagonal & ~mistaken
    flat = Normalize(0, 1)
    draw_cells(axes, values, diagonal, np.array(texts), ListedColormap([DIAGONAL]), flat)
    draw_cells(axes, values, never, np.full(values.shape, "·"), ListedColormap([PAPER]), flat)
    draw_cells(axes, values, mistaken, np.array(texts), MISTAKE_COLOURS, scale)
    bar = figure.colorbar(axes.collections[-1], ax=axes, shrink=0.8, aspect=30)
    ticks = [tick for tick in LOSS_TICKS if (scale.vmin or 0) <= tick <= (scale.vmax or 0)]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    style_colour_bar(bar.ax, unit)
    axes.set_xlabel("predicted digit", fontsize=LABEL, color=INK)
    axes.set_ylabel("true digit", fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=LABEL, labelcolor=INK, labelrotation=0, length=0)


def draw_cells(
    axes: Axes,
    values: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    texts: NDArray[np.str_],
    colours: Colormap,
    scale: Normalize,
) -> None:
    """One layer of a heat map: the chosen cells alone, with their texts."""
    seaborn.heatmap(
        np.nan_to_num(values),
        mask=~chosen,
        annot=texts,
        fmt="",
        annot_kws={"fontsize": TEXT, "color": INK},
        cmap=colours,
        norm=scale,
        vmin=scale.vmin,  # said twice: seaborn would look for limits in the chosen cells, and there may be none
        vmax=scale.vmax,
        cbar=False,
        square=True,
        linewidths=0.6,
        linecolor=RULE,
        xticklabels=DIGITS,
        yticklabels=DIGITS,
        ax=axes,
    )


def draw_digit(axes: Axes, ink: NDArray[np.floating[Any]]) -> AxesImage:
    """One image (28, 28), 0..1, dark on white in a quiet frame without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(RULE)
    return axes.imshow(ink, cmap="gray_r", vmin=0, vmax=1)


def draw_mosaic(axes: Axes, cells: NDArray[np.floating[Any]], row_names: Sequence[str]) -> None:
    """Images (R, C, 28, 28), 0..1, edge to edge in R named rows: one picture instead of R x C small plots."""
    rows, columns = cells.shape[:2]
    axes.imshow(mosaic_of(cells), cmap="gray_r", vmin=0, vmax=1, extent=(0, columns * SIDE, rows * SIDE, 0))
    frame: dict[str, Any] = {"color": RULE, "linewidth": 0.6, "clip_on": False}
    axes.vlines([SIDE * column for column in range(columns + 1)], 0, rows * SIDE, **frame)
    axes.hlines([SIDE * row for row in range(rows + 1)], 0, columns * SIDE, **frame)
    axes.set_anchor("N")  # under the title, whatever room the names leave
    axes.set_xticks([])
    axes.set_yticks([SIDE * (row + 0.5) for row in range(rows)], row_names)
    axes.tick_params(labelsize=LABEL, labelcolor=INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def mosaic_of(cells: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Images (R, C, 28, 28) as one picture (R * 28, C * 28)."""
    rows, columns = cells.shape[:2]
    return cells.transpose(0, 2, 1, 3).reshape(rows * SIDE, columns * SIDE)


def draw_class_bars(axes: Axes, counts: Sequence[int], shares: NDArray[np.float64], colour: str, widest: float) -> None:
    """Ten bars as long as the shares in percent, with the counts written on them."""
    axes.barh(DIGITS, shares, color=colour, height=0.78)
    axes.axvline(100 / len(DIGITS), color=INK, linewidth=0.9, linestyle=":")
    for digit, count, share in zip(DIGITS, counts, shares, strict=True):
        axes.text(0.03 * widest, digit, f"{count:,}", va="center", fontsize=TEXT, color=INK)
        axes.text(1.25 * widest, digit, f"{share:.1f} %", va="center", ha="right", fontsize=TEXT, color=MUTED)
    style_axes(axes, "share of the split (%)", "")
    axes.set_xlim(0, 1.25 * widest)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= widest])  # no grid behind the column
    axes.grid(visible=False, axis="y")
    axes.set_yticks(DIGITS)


def no_mistakes(judged: int, title: str) -> Figure:
    """The gallery's best case: a sentence, in the place where the mistakes would be."""
    figure = new_figure(5.4, 1.7, title)
    axes = figure.subplots()
    axes.set_axis_off()
    sentence = f"No mistakes: all {judged:,} digits were read correctly."
    axes.text(0.5, 0.5, sentence, ha="center", va="center", fontsize=LABEL, color=INK)
    return figure


def mistakes_note(shown: int, total: int, judged: int) -> str:
    """Which of how many mistakes are shown."""
    among = f"in {counted(judged, 'digit')}"
    if shown < total:
        return f"{shown} worst of {counted(total, 'mistake')} {among}"
    return f"the only mistake {among}" if total == 1 else f"all {counted(total, 'mistake')} {among}, worst first"


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 digit", "10,000 digits"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent_text(percent: float) -> str:
    """A percentage for a narrow cell, without its sign: two decimals, or none where they say nothing."""
    return f"{percent:.0f}" if percent in (0, 100) else f"{percent:.2f}"

"""The figures of a run: loss and accuracy over the epochs, confusion matrices, and the surest mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab.data.mnist import Digits
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import (
    BLUE,
    DIGITS,
    INK,
    LABEL,
    LOSS_TICKS,
    MUTED,
    ORANGE,
    PAPER,
    RULE,
    SMALL,
    TEXT,
    counted,
    draw_digit,
    epoch_ticks,
    new_figure,
    row_percent,
    scale_accuracy,
    scale_loss,
    style_colour_bar,
    styled,
    title_panel,
)
from mnist_lab.terminal.wording import describe_run, format_probability
from mnist_lab.training.evaluation import Evaluation
from mnist_lab.training.history import EpochRecord

DIAGONAL = "#E4EAF0"  # what is right stays in the background, so that the rare mistakes stand out
# From a single mistake, unlike paper at a glance, to the darkest ground that ink is legible on.
MISTAKE_COLOURS = LinearSegmentedColormap.from_list("mistakes", ["#FBE0C8", "#F2A65E", "#DE6A12"])

MISTAKES_SHOWN = 25
MISTAKE_COLUMNS = 5
MARKERS_UP_TO = 30  # epochs; beyond, markers would run into one thick line


@styled
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


@styled
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


@styled
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


@styled
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
        axes.set_title(f"true {true}, predicted {predicted}", fontsize=TEXT)
        certainty = format_probability(probabilities[place])
        doubt = format_probability(true_probabilities[place])
        caption = f"p({predicted}) {certainty}, p({true}) {doubt}\n{noun} {indices[place]}"
        axes.set_xlabel(caption, fontsize=SMALL, color=MUTED)
    for place in range(shown, rows * columns):
        tiles[place].set_axis_off()
    return figure


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
    axes.set_xlabel("predicted digit")
    axes.set_ylabel("true digit")
    axes.tick_params(labelsize=LABEL, labelrotation=0, length=0)


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


def no_mistakes(judged: int, title: str) -> Figure:
    """The gallery's best case: a sentence, in the place where the mistakes would be."""
    figure = new_figure(5.4, 1.7, title)
    axes = figure.subplots()
    axes.set_axis_off()
    sentence = f"No mistakes: all {judged:,} digits were read correctly."
    axes.text(0.5, 0.5, sentence, ha="center", va="center")
    return figure


def mistakes_note(shown: int, total: int, judged: int) -> str:
    """Which of how many mistakes are shown."""
    among = f"in {counted(judged, 'digit')}"
    if shown < total:
        return f"{shown} worst of {counted(total, 'mistake')} {among}"
    return f"the only mistake {among}" if total == 1 else f"all {counted(total, 'mistake')} {among}, worst first"


def percent_text(percent: float) -> str:
    """A percentage for a narrow cell, without its sign: two decimals, or none where they say nothing."""
    return f"{percent:.0f}" if percent in (0, 100) else f"{percent:.2f}"


# ----------------------------------------------------------------------------------- what every run leaves


@dataclass(frozen=True)
class RunData:
    """What the figures of a run are drawn from."""

    content: dict[str, Any]  # of its run.json
    history: list[EpochRecord]  # of its training; may be empty if history.png is not asked for
    test: Evaluation  # of its model on the test digits
    digits: Digits  # the test digits
    model: DigitNet  # with its weights, on the device

    @property
    def title(self) -> str:
        """The network, for a figure's title."""
        content = self.content
        return describe_run(content["model"], augmented=content["augment"], seed=content["seed"])

    @property
    def evaluated_title(self) -> str:
        """The network and its accuracy, for a figure's title."""
        return f"{self.title}: {100 * self.test.accuracy:.2f} % of {self.test.total:,} test digits"


def _draw_history(run: RunData) -> Figure:
    best, reason = run.content["best_epoch"], run.content["stop_reason"]
    return training_history(run.history, best_epoch=best, stop_reason=reason, title=run.title)


def _draw_counts(run: RunData) -> Figure:
    return confusion_counts(run.test.confusion, title=run.evaluated_title)


def _draw_percent(run: RunData) -> Figure:
    return confusion_percent(run.test.confusion, title=run.evaluated_title)


def _draw_mistakes(run: RunData) -> Figure:
    missed, digits = run.test.mistakes, run.digits
    return mistakes(
        digits.images[missed.positions].squeeze(1).numpy(),
        missed.labels,
        missed.predictions,
        missed.probabilities,
        missed.true_probabilities,
        digits.indices[missed.positions].numpy(),
        total=len(missed),
        judged=len(digits),
        title=run.title,
    )


RUN_FIGURES: dict[str, Callable[[RunData], Figure]] = {
    "history.png": _draw_history,
    "confusion_counts.png": _draw_counts,
    "confusion_percent.png": _draw_percent,
    "mistakes.png": _draw_mistakes,
}
"""The figures that a run leaves, by file name, but for those that later rooms add."""

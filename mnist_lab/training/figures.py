"""The figures of a run: loss and accuracy over the epochs, confusion matrices, and the most confident mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import seaborn
import torch
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab import plotting
from mnist_lab.data import doubt_mark, doubt_note
from mnist_lab.data.mnist import SIDE, Digits
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import BLUE, INK, LABEL, MUTED, ORANGE, PAPER, RULE, SMALL, TEXT, drawable, new_figure, styled
from mnist_lab.report.document import Caption
from mnist_lab.terminal.wording import counted, format_probability
from mnist_lab.training.evaluation import BINS, Evaluation, Mistakes, wilson_interval
from mnist_lab.training.runs import EpochRecord, RunRecord

# From a single mistake, clearly unlike white, to the darkest colour that text is legible on. What never happened is
# white, and what is right stays in the background: on one scale, 0.2 % beside 99 % would look like none.
_MISTAKES = LinearSegmentedColormap.from_list("mistakes", ["#FBE0C8", "#F2A65E", "#DE6A12"])
_CONFUSION_COLOURS = _MISTAKES.with_extremes(bad=PAPER, under="#FBE0C8", over="#E4EAF0")

MISTAKES_SHOWN, _TILE_COLUMNS = 25, 5
_TILE_WIDTH, _TILE_HEIGHT = SIDE + 3, SIDE + 13  # pixels from one digit to the next; in between, it is named
_TEST_DIGIT = "test digit"  # what the digits of MNIST's test file are called, a few of which are marked as doubtful
_MARKERS_UP_TO = 30  # epochs; beyond, markers would run into one thick line


@styled
def training_history(history: Sequence[EpochRecord], *, best_epoch: int, stop_reason: str, title: str) -> Figure:
    """Loss and accuracy over the epochs (at least one), with the best, whose weights were kept, and why it stopped."""
    note = (
        "Loss: cross-entropy, less the smallest value that smoothed labels allow. Training values are measured "
        "during the\nepoch, while the weights still change, with any dropout and augmentation: they may well be worse "
        "than validation."
    )
    figure = new_figure(10, 4.7, title, note)
    panels = plotting.panel_area(figure)
    loss, accuracy = panels.subplots(1, 2)
    epochs = [record.epoch for record in history]
    last = epochs[-1]
    for axes, name, unit, form in ((loss, "loss", 1, "{:.4f}"), (accuracy, "accuracy", 100, "{:.2f} %")):
        train, validation = (
            [unit * getattr(record, f"{split}_{name}") for record in history] for split in ("train", "val")
        )
        kept = validation[epochs.index(best_epoch)]
        for split, values, colour, marker in (("training", train, ORANGE, "s"), ("validation", validation, BLUE, "o")):
            shape = marker if len(epochs) <= _MARKERS_UP_TO else "none"
            axes.plot(epochs, values, color=colour, linewidth=1.8, marker=shape, markersize=4.5, label=split)
            if len(epochs) == 1:
                side = "right" if split == "training" else "left"
                axes.text(1, values[0], f"   {split} {form.format(values[0])}   ", ha=side, va="center")
        ring = f"best epoch: {best_epoch} (weights kept)"
        axes.plot(best_epoch, kept, "o", ms=11, mfc="none", mec=INK, mew=1.4, label=ring)
        stopped = f"stopped after epoch {last} ({stop_reason})"
        axes.axvline(last, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1, label=stopped)
        axes.set_xlim(0.5, last + max(0.5, 0.02 * last))
        axes.set_xticks(plotting.epoch_ticks(last))
        scale = plotting.scale_loss if axes is loss else plotting.scale_accuracy
        scale(axes, train + validation)
        plotting.title_panel(axes, name.capitalize(), f"best epoch, validation: {form.format(kept)}")
    handles, labels = loss.get_legend_handles_labels()
    panels.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@styled
def learning_curves(histories: Mapping[str, Sequence[EpochRecord]], *, title: str) -> Figure:
    """Loss and accuracy of some runs (at least one) over the epochs: training dashed, validation solid."""
    note = "Solid: validation. Dashed: training, measured during the epoch with any dropout and augmentation."
    figure = new_figure(10, 4.7, title, note)
    panels = plotting.panel_area(figure)
    axes_of = dict(zip(("loss", "accuracy"), panels.subplots(1, 2), strict=True))
    for (name, history), colour in zip(histories.items(), cycle(seaborn.color_palette("colorblind")), strict=False):
        epochs = [record.epoch for record in history]
        for measure, axes in axes_of.items():
            unit = 100 if measure == "accuracy" else 1
            for split, line, shape, label in (("train", "--", "s", None), ("val", "-", "o", drawable(name))):
                values = [unit * getattr(record, f"{split}_{measure}") for record in history]
                shape = shape if len(epochs) <= _MARKERS_UP_TO else "none"
                axes.plot(epochs, values, line, color=colour, linewidth=1.8, marker=shape, markersize=4, label=label)
    last = max(map(len, histories.values()))
    for measure, scale in (("loss", plotting.scale_loss), ("accuracy", plotting.scale_accuracy)):
        axes_of[measure].set_xlim(0.5, last + max(0.5, 0.02 * last))
        axes_of[measure].set_xticks(plotting.epoch_ticks(last))
        scale(axes_of[measure], np.concatenate([line.get_ydata() for line in axes_of[measure].lines]).tolist())
        plotting.title_panel(axes_of[measure], measure.capitalize(), "")
    panels.legend(*axes_of["loss"].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def confusion_counts(matrix: NDArray[np.int64], *, title: str) -> Figure:
    """How many digits of each class were taken for which: (10, 10), rows true, columns predicted."""
    right, total = int(np.trace(matrix)), int(matrix.sum())
    accuracy = f", accuracy {100 * right / total:.2f} %" if total else ""
    note = f"{counted(total - right, 'mistake')} in {counted(total, 'digit')}{accuracy}. Dots: never happened."
    texts = np.array([[f"{count:,}" for count in row] for row in matrix])
    return _confusion(matrix.astype(float), texts, (1, 10), "mistakes (digits, logarithmic)", title, note)


@styled
def confusion_percent(matrix: NDArray[np.int64], *, title: str) -> Figure:
    """The same counts (10, 10), with every row scaled to 100 %; a class without digits has none (n/a)."""
    percent = plotting.row_percent(matrix)
    texts = np.array([[_percent_text(cell) for cell in row] for row in percent])
    note = "Each row adds up to 100 % of a true digit. Dots: never happened."
    unit = "mistakes (% of the true digit, logarithmic)"
    return _confusion(np.nan_to_num(percent), texts, (0.05, 5), unit, title, note)


def _percent_text(percent: float) -> str:
    """A percentage for a narrow cell, without its sign: two decimals, or none where they say nothing."""
    if math.isnan(percent):
        return "n/a"
    return f"{percent:.0f}" if percent in (0, 100) else f"{percent:.2f}"


def _confusion(
    values: NDArray[np.float64], texts: NDArray[np.str_], scale: tuple[float, float], unit: str, title: str, note: str
) -> Figure:
    """A confusion matrix (10, 10) on a logarithmic scale of mistakes, from the first to at least the second value."""
    diagonal = np.eye(len(values), dtype=bool)
    lowest, highest = scale[0], max(scale[1], values[~diagonal].max())
    figure = new_figure(7.4, 6.6, title, note)
    axes = figure.subplots()
    seaborn.heatmap(
        np.where(diagonal, 1e9, values),  # beyond the scale, so that it has a colour of its own
        annot=np.where(diagonal | (values > 0), texts, "·"),
        fmt="",
        annot_kws={"fontsize": TEXT, "color": INK},
        cmap=_CONFUSION_COLOURS,
        norm=LogNorm(lowest, highest),
        vmin=lowest,  # given twice: seaborn would look for limits in the cells
        vmax=highest,
        cbar=False,
        square=True,
        linewidths=0.6,
        linecolor=RULE,
        xticklabels=plotting.DIGITS,
        yticklabels=plotting.DIGITS,
        ax=axes,
    )
    bar = figure.colorbar(axes.collections[0], ax=axes, shrink=0.8, aspect=30)
    ticks = [tick for tick in plotting.LOSS_TICKS if lowest <= tick <= highest]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    plotting.style_colour_bar(bar.ax, unit)
    axes.set(xlabel="predicted digit", ylabel="true digit")
    axes.tick_params(labelsize=LABEL, labelrotation=0, length=0)
    return figure


@styled
def mistakes(
    images: NDArray[np.uint8],
    missed: Mistakes,
    indices: NDArray[np.int64],
    *,
    evaluated: int,
    title: str,
    noun: str = _TEST_DIGIT,
) -> Figure:
    """The worst of M mistakes, 25 at most, among the digits ``evaluated``; ``images`` are (M, 28, 28), 0..255.

    The captions name them by ``noun`` and ``indices`` (M,), the positions in the MNIST test file, say.
    """
    if not len(missed):
        sentence = f"No mistakes: all {evaluated:,} digits were classified correctly."
        figure = new_figure(5.4, 1.7, title)
        figure.text(0.5, 0.4, sentence, ha="center", va="center")
        return figure
    shown = min(len(missed), MISTAKES_SHOWN)
    which = f"the {shown} worst of " if shown < len(missed) else ""
    note = f"{which}{counted(len(missed), 'mistake')} in {counted(evaluated, 'digit')}"
    return _tiles(images[:shown], missed, indices[:shown], "true {true}, predicted {guess}", title, note, noun)


@styled
def unsure(images: NDArray[np.uint8], found: Mistakes, indices: NDArray[np.int64], *, title: str) -> Figure:
    """The M test digits that were classified correctly with the least probability; ``images`` (M, 28, 28), 0..255."""
    note = "classified correctly, but with the least probability; beside it, the digit that came second"
    return _tiles(images, found, indices, "{true}, or {guess}?", title, note)


def _tiles(
    images: NDArray[np.uint8],
    found: Mistakes,
    indices: NDArray[np.int64],
    heading: str,
    title: str,
    note: str,
    noun: str = _TEST_DIGIT,
) -> Figure:
    """Digits in rows of five, each under a heading, and over its probabilities and what it is called."""
    is_mnist = noun == _TEST_DIGIT
    columns = min(len(images), _TILE_COLUMNS)
    rows = math.ceil(len(images) / columns)
    note += f"\n{doubt_note(indices)}" if is_mnist else ""
    figure = new_figure(max(1.8 * columns, 5.4), 2.4 * rows + 0.9, title, note.strip())
    axes, ink = figure.subplots(), np.zeros((rows * columns, _TILE_HEIGHT, _TILE_WIDTH))
    ink[: len(images), :SIDE, :SIDE] = images / 255
    page = plotting.on_paper(plotting.mosaic_of(ink.reshape(rows, columns, _TILE_HEIGHT, _TILE_WIDTH)))
    places = [(_TILE_WIDTH * (n % columns), _TILE_HEIGHT * (n // columns)) for n in range(len(images))]
    for place, (left, top) in enumerate(places):
        true, guess, index = found.labels[place], found.predictions[place], int(indices[place])
        sure = sorted([(found.probabilities[place], guess), (found.true_probabilities[place], true)], reverse=True)
        chances = ", ".join(f"p({digit}) {format_probability(p)}" for p, digit in sure)
        caption = f"{chances}\n{noun} {index}{doubt_mark(index) if is_mnist else ''}"
        middle = left + SIDE / 2 - 0.5
        axes.text(middle, top - 1.5, heading.format(true=true, guess=guess), ha="center", va="bottom")
        axes.text(middle, top + SIDE, caption, ha="center", va="top", fontsize=SMALL, color=MUTED)
    plotting.draw_framed(axes, page[: SIDE - _TILE_HEIGHT, : SIDE - _TILE_WIDTH], places, SIDE)
    return figure


@styled
def reliability(test: Evaluation, *, title: str) -> Figure:
    """How often an evaluated network is right, beside how sure it says it is (Guo et al. 2017, arXiv:1706.04599).

    On the left the bins of the calibration error; on the right groups of equally many digits, since most digits share
    the last bin.
    """
    error = f"calibration error (ECE) {100 * test.calibration_error:.2f} points"
    note = (
        "ECE: the gap in each bin, averaged over all digits. Blue above orange, or above the dashed line: less sure "
        "than it could be; below: too sure.\nVertical lines: 95 % intervals of the accuracy (Wilson)."
    )
    figure = new_figure(10, 5.2, f"{title}: {error}", note)
    panels = plotting.panel_area(figure)
    bins, groups = panels.subplots(1, 2)
    for axes, found in ((bins, test.bins), (groups, test.groups)):
        sure, right = (100 * np.array([getattr(one, name) for one in found]) for name in ("confidence", "accuracy"))
        ends = 100 * np.array([wilson_interval(round(one.accuracy * one.count), one.count) for one in found])
        places = sure if axes is bins else np.arange(1, len(found) + 1)
        axes.vlines(places, sure, right, color=ORANGE, linewidth=6, alpha=0.4, label="gap")
        axes.errorbar(places, right, np.abs(ends.T - right), fmt="o", color=BLUE, elinewidth=1, label="accuracy")
        axes.plot(places, sure, "s", color=ORANGE, markersize=4.5, label="mean probability")
    bins.plot((0, 100), (0, 100), color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    for one in test.bins:  # in the middle of each bin, so that no two run into each other
        middle = 100 * (math.floor(BINS * one.confidence) + 0.5) / BINS
        bins.text(middle, -3, f"{one.count:,}", rotation=90, ha="center", va="top", fontsize=SMALL)
    plotting.title_panel(bins, "Bins of equal width", "at the foot: digits in each")
    plotting.style_axes(bins, "probability of the prediction (%)", "accuracy (%)")
    bins.set(xlim=(0, 104), ylim=(-20, 104), xticks=range(0, 101, 20), yticks=range(0, 101, 20))
    plotting.title_panel(groups, "Groups of equally many", f"{test.groups[-1].count:,} digits in each")
    plotting.scale_accuracy(groups, [100 * min(one.confidence, one.accuracy) for one in test.groups] + [100])
    plotting.style_axes(groups, "group, the least sure first", "accuracy, probability (%, logarithmic)")
    groups.set(xticks=range(1, len(test.groups) + 1))
    panels.legend(*groups.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@dataclass(frozen=True)
class RunData:
    """What the figures of a run are drawn from."""

    record: RunRecord
    history: list[EpochRecord]  # of its training; may be empty if history.png is not asked for
    test: Evaluation  # of its model on the test digits
    digits: Digits  # the test digits
    model: DigitNet  # with its weights, on the device

    def shown(self, found: Mistakes) -> tuple[NDArray[np.uint8], Mistakes, NDArray[np.int64]]:
        """Some test digits as the functions above want them: images (N, 28, 28), what was found, and their indices."""
        digits = self.digits.subset(torch.from_numpy(found.positions))
        return digits.images.squeeze(1).numpy(), found, digits.indices.numpy()

    @property
    def evaluated_title(self) -> str:
        return f"{self.record.title}: {100 * self.test.accuracy:.2f} % of {self.test.total:,} test digits"


def _draw_history(run: RunData) -> Figure:
    best, reason = run.record.best_epoch, run.record.stop_reason
    assert best and reason  # an evaluated run has both
    return training_history(run.history, best_epoch=best, stop_reason=reason, title=run.record.title)


class RunFigure(NamedTuple):
    """A figure of a run: what draws it, and what is said about it."""

    draw: Callable[[Any], Figure | bytes]  # from what is found; bytes are a picture file's own
    caption: Caption
    find: Callable[[RunData], Any] = lambda run: run  # which may ask networks, but draws nothing
    needs: str = ""  # what the recorder leaves in the folder for it; runs of earlier versions have none
    prepare: Callable[[RunData], object] = lambda run: None  # which occupies all cores; what it leaves saves find time

    def __call__(self, run: RunData) -> Figure | bytes:
        return self.draw(self.find(run))


RUN_FIGURES = {
    "history.png": RunFigure(
        _draw_history,
        Caption(
            "Loss and accuracy over the epochs",
            "Two charts with curves for training and validation; the kept epoch is marked. The numbers are below.",
            "While both curves improve, it learns what new digits have in common. Over-fitting looks like this: the "
            "training loss goes on falling while the validation loss rises, and the gap widens. The ring marks the "
            "epoch with the lowest validation loss, whose weights were kept.",
        ),
    ),
    "reliability.png": RunFigure(
        lambda run: reliability(run.test, title=run.record.title),
        Caption(
            "How far its probabilities can be trusted",
            "Two charts of accuracy and mean probability, for predictions sorted by how sure the network was.",
            "Of the predictions made with 80 %, four in five should be right: blue and orange then coincide. Blue over "
            "orange means less sure than it could be (label smoothing does that), blue under it too sure. A bin of few "
            "digits says little: look at its interval before its gap.",
        ),
    ),
    "confusion_counts.png": RunFigure(
        lambda run: confusion_counts(run.test.confusion, title=run.evaluated_title),
        Caption(
            "Which digit was taken for which",
            "A table of counts, with ten rows for the true digits and ten columns for the predicted ones.",
            "Read it row by row: of all the 4s, how many were taken for a 9? Correct predictions lie on the grey "
            "diagonal; elsewhere, a deeper colour means a more frequent mistake.",
        ),
    ),
    "confusion_percent.png": RunFigure(
        lambda run: confusion_percent(run.test.confusion, title=run.evaluated_title),
        Caption(
            "The same as percentages of each digit",
            "The same rows and columns with percentages; each row adds up to 100 %.",
            "This way, rare digits can be compared with frequent ones: the diagonal holds each digit's recall.",
        ),
    ),
    "mistakes.png": RunFigure(
        lambda run: mistakes(*run.shown(run.test.mistakes), evaluated=run.test.total, title=run.record.title),
        Caption(
            "The most confident mistakes",
            "Misclassified digits, each with its true digit, the predicted one and their probabilities.",
            "The surest mistake comes first. Would you have read them correctly? Where you would, ask what the network "
            "has not seen enough of.",
        ),
    ),
    "unsure.png": RunFigure(
        lambda run: unsure(*run.shown(run.test.unsure), title=run.record.title),
        Caption(
            "Right, but unsure",
            "Correctly classified digits with the lowest probabilities, each with the digit that came second.",
            "The least sure comes first. With another seed, the second digit might have won: accuracy includes luck.",
        ),
    ),
}
"""The figures of a run, by file name, except for those that other packages add."""

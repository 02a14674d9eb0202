"""The data view: the digits themselves, their counts, their means, and what augmentation does to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab import plotting
from mnist_lab.config import NO_AUGMENTATION, AugmentConfig
from mnist_lab.data.augment import augment
from mnist_lab.data.loader import seeded_generator
from mnist_lab.data.mnist import SIDE, Digits, Mnist, to_unit
from mnist_lab.plotting import DIGITS, GREEN, INK, MUTED, ORANGE, SKY_BLUE, SMALL, new_figure, styled
from mnist_lab.report.document import Caption
from mnist_lab.terminal.wording import counted

_DRAWS = 4  # of each augmentation, to show the strongest: a weak one would look like none at all
_SEED = 0  # of the samples shown: everybody sees the same

CAPTIONS = {
    "samples.png": Caption("Samples of each digit", "Rows of handwritten digits, some of each class."),
    "class_counts.png": Caption("How many of each digit", "Bars: the number of each digit in every part of the data."),
    "mean_digits.png": Caption("Mean digits", "Ten blurred digits, each the mean of all training digits of its class."),
    "augmentation.png": Caption("Before and after each augmentation", "Digits before and after each augmentation."),
}
"""The captions of these pictures, by file name."""


def data_pictures(mnist: Mnist) -> Iterator[tuple[str, Figure]]:
    """The four pictures of the data view, each with its file name. The test digits are counted, not shown."""
    train, counts = mnist.train, {name: digits.class_counts() for name, digits in vars(mnist).items()}
    yield "samples.png", sample_grid(_sample_by_class(train, 12).images.numpy())
    yield "class_counts.png", class_counts(counts)
    means = [to_unit(train.images[train.labels == digit]).mean(dim=(0, 1)) for digit in DIGITS]
    yield "mean_digits.png", mean_grid(torch.stack(means).numpy(), counts["train"])
    yield "augmentation.png", augmentation_gallery([_augmentation_examples(train), _stroke_examples(train)])


@styled
def sample_grid(images: NDArray[np.uint8]) -> Figure:
    """Some digits, (10 * K, 1, 28, 28), 0..255, one row of K per class, from 0 to 9."""
    columns = len(images) // len(DIGITS)
    figure = new_figure(0.55 * columns + 1.2, 6.6, f"MNIST: {counted(columns, 'sample')} of each digit")
    axes = figure.subplots()
    cells = images.reshape(len(DIGITS), columns, SIDE, SIDE) / 255
    plotting.draw_mosaic(axes, cells, [str(digit) for digit in DIGITS])
    axes.set(xlabel="samples", ylabel="label")
    return figure


@styled
def class_counts(counts: Mapping[str, Sequence[int]]) -> Figure:
    """How often each digit occurs in each split, by its name: ten counts, digit 0 first."""
    note = "On the bars: number of digits. Dotted: 10 %, as it would be if all ten were equally frequent."
    figure = new_figure(3.3 * len(counts) + 0.4, 4.4, "Digits per class", note)
    panels = figure.subplots(1, len(counts), squeeze=False, sharex=True, sharey=True)[0]
    percents = plotting.row_percent(np.array(list(counts.values())))  # (splits, 10)
    widest = float(percents.max())
    colours = (SKY_BLUE, ORANGE, GREEN)
    for axes, (name, split), percent, colour in zip(panels, counts.items(), percents, colours, strict=False):
        axes.barh(DIGITS, percent, color=colour, height=0.78)
        axes.axvline(10, color=INK, linewidth=0.9, linestyle=":")
        for digit, count in enumerate(split):
            axes.text(0.03 * widest, digit, f"{count:,}", va="center")
            axes.text(1.25 * widest, digit, f"{percent[digit]:.1f} %", va="center", ha="right", color=MUTED)
        plotting.style_axes(axes, "fraction of the split (%)", "")
        axes.grid(visible=False, axis="y")
        plotting.title_panel(axes, name, counted(sum(split), "digit"))
    panels[0].set(xlim=(0, 1.25 * widest), ylim=(9.5, -0.5), yticks=DIGITS, ylabel="digit")
    panels[0].set_xticks(range(0, int(widest) + 1, 2))  # no grid behind the percentages
    return figure


@styled
def mean_grid(means: NDArray[np.floating[Any]], counts: Sequence[int]) -> Figure:
    """The mean image of each class, (10, 28, 28) ink, 0..1, and of how many digits each is the mean."""
    note = "Dark where nearly all writers put ink, grey where they differ."
    figure = new_figure(8.6, 4.7, "The mean of each digit", note)
    tiles = figure.subplots(2, 5)
    for digit, axes in zip(DIGITS, tiles.flat, strict=True):
        drawn = plotting.draw_digit(axes, means[digit])
        axes.set_title(f"{digit}")
        axes.set_xlabel(f"mean of {counts[digit]:,}", fontsize=SMALL, color=MUTED)
    bar = figure.colorbar(drawn, ax=tiles, shrink=0.85, aspect=30)
    plotting.style_colour_bar(bar.ax, "mean ink (0 paper, 1 full ink)")
    return figure


@styled
def augmentation_gallery(groups: Sequence[Mapping[str, Tensor]]) -> Figure:
    """Some digits, as they are and as each augmentation changes them, with their original outlines.

    Groups hold row names and (K, 1, 28, 28) ink, 0..1: first the digits as they are, then the same digits, changed.
    """
    note = f"Orange: the original outline. Each digit is shown after the strongest of {_DRAWS} random draws."
    names = [name for group in groups for name in group]
    cells = torch.stack([images for group in groups for images in group.values()])[:, :, 0].numpy()  # (rows, K, 28, 28)
    rows, columns = cells.shape[:2]
    figure = new_figure(0.75 * columns + 2.9, 0.75 * rows + 1.4, "What augmentation does to a digit", note)
    axes = figure.subplots()
    plotting.draw_mosaic(axes, cells, names)
    outlines, first = np.zeros_like(cells), 0
    for group in groups:
        outlines[first + 1 : first + len(group)] = cells[first]
        axes.axhline(SIDE * (first + 1), color=INK, linewidth=1.2)
        if first:
            axes.axhline(SIDE * first, color=INK, linewidth=2.4)
        first += len(group)
    places = (np.arange(columns * SIDE) + 0.5, np.arange(rows * SIDE) + 0.5)  # middles of pixels
    axes.contour(*places, plotting.mosaic_of(outlines), levels=[0.5], colors=[ORANGE], linewidths=0.9)
    axes.set(xlabel="one digit per column", ylabel="augmentation")
    return figure


def _sample_by_class(digits: Digits, per_class: int) -> Digits:
    order = torch.randperm(len(digits), generator=seeded_generator(_SEED, "samples"))
    labels = digits.labels[order]
    return digits.subset(torch.cat([order[labels == digit][:per_class] for digit in DIGITS]))


def _augmentation_examples(digits: Digits) -> dict[str, Tensor]:
    """A digit of each class, and the same after each augmentation alone and after the usual mix, (10, 1, 28, 28)."""
    sample = _sample_by_class(digits, 1)
    usual, none = AugmentConfig(), NO_AUGMENTATION
    steps = {
        f"rotation\n±{usual.rotation:g}°": replace(none, rotation=usual.rotation),
        f"shift\n±{100 * usual.shift:g} %": replace(none, shift=usual.shift),
        f"scale\n±{100 * usual.scale:g} %": replace(none, scale=usual.scale),
        f"shear\n±{usual.shear:g}°": replace(none, shear=usual.shear),
        "elastic, 3 %\n(off in the recipe)": replace(none, elastic=0.03),
        "thickness, ±0.8 pixels\n(off in the recipe)": replace(none, thickness=0.8),
        "erasing, every digit\n(off in the recipe)": replace(none, erasing=1.0),
    }
    alone = {name: _most_changed(sample, config, _DRAWS) for name, config in steps.items()}
    mix = {"the usual mix\n(a single draw)": _most_changed(sample, usual, 1)}
    return {"original": to_unit(sample.images)} | alone | mix


def _stroke_examples(digits: Digits) -> dict[str, Tensor]:
    """Four zeros, three ones and three sevens, and the same with added strokes: digits that suit, as in training."""
    sample = _sample_by_class(digits, 60)
    original, changed = to_unit(sample.images), _most_changed(sample, replace(NO_AUGMENTATION, strokes=1.0), _DRAWS)
    suits = (changed - original).abs().mean(dim=(1, 2, 3)) > 0.08  # strokes that nobody would overlook
    counts = {0: 4, 1: 3, 7: 3}
    chosen = torch.cat([torch.nonzero(suits & (sample.labels == digit))[:most, 0] for digit, most in counts.items()])
    name = f"strokes\n(recipe: {100 * AugmentConfig().strokes:g} % of the zeros)"
    return {"original": original[chosen], name: changed[chosen]}


def _most_changed(digits: Digits, config: AugmentConfig, draws: int) -> Tensor:
    """Each digit after the one of some random draws that changed it most, (N, 1, 28, 28)."""
    original, labels = to_unit(digits.images).repeat(draws, 1, 1, 1), digits.labels.repeat(draws)
    changed = augment(original, labels, config, seeded_generator(_SEED, "augmentation", repr(config)))
    strongest = (changed - original).abs().mean(dim=(1, 2, 3)).view(draws, -1).argmax(dim=0)  # (N,)
    return changed.view(draws, len(digits), *changed.shape[1:])[strongest, torch.arange(len(digits))]

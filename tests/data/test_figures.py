"""The data view: what its pictures show, of the real digits and of made-up ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose
from torch import Tensor

from mnist_lab.data import figures
from mnist_lab.data.mnist import SIDE, Mnist
from tests.training.test_figures import assert_whole_and_legible, make_images, picture, render

pytestmark = pytest.mark.filterwarnings("error")

VISIBLE = 0.02
"""Mean change of a pixel, ink from 0 to 1, in a row whose augmentation can be seen."""


def test_every_augmentation_can_be_seen(mnist: Mnist) -> None:
    axes = dict(figures.data_pictures(mnist))["augmentation.png"].axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    mosaic = np.asarray(axes.images[0].get_array())
    rows = mosaic.reshape(len(names), SIDE, -1)
    before, changes = rows[0], {}
    for name, row in zip(names, rows, strict=True):
        if name == "original":
            before = row
        else:
            changes[name] = float(np.abs(row - before).mean())
    assert {name.split("\n")[0].split(",")[0] for name in changes} == {
        *("rotation", "shift", "scale", "shear", "elastic", "thickness", "erasing", "strokes", "the usual mix"),
    }
    assert min(changes.values()) > VISIBLE, changes


def split_counts() -> dict[str, list[int]]:
    """Three splits of MNIST's sizes, digit 1 the most frequent and 5 the rarest."""
    shape = [0, 700, 0, 100, 0, -500, 0, 300, -100, -500]
    return {
        name: [size // 10 + size * extra // 54_000 for extra in shape]
        for name, size in [("training", 54_000), ("validation", 6_000), ("test", 10_000)]
    }


def augmented(count: int) -> list[dict[str, Tensor]]:
    """Two groups of the first ``count`` images with named augmentations, told apart by their brightness."""
    first = torch.from_numpy(make_images(count)).unsqueeze(1) / 255
    other = first.flip(0)
    return [
        {"original": first, "shear ±8°": first / 2, "rotation ±10°": first / 4},
        {"original": other, "strokes": other / 8},
    ]


def bar_widths(axes: Axes) -> list[float]:
    """The lengths of the horizontal bars, top to bottom."""
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


FIGURES = {
    "samples": lambda: figures.sample_grid(make_images(120)),
    "samples-narrow": lambda: figures.sample_grid(make_images(10)),
    "class-counts": lambda: figures.class_counts(split_counts()),
    "means": lambda: figures.mean_grid(make_images(10) / 255, [5923, *range(1, 10)]),
    "augmentation": lambda: figures.augmentation_gallery(augmented(8)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_page_is_whole_and_its_words_are_legible_apart_from_each_other(name: str) -> None:
    page = render(FIGURES[name]())
    assert_whole_and_legible(page)
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in page.figure.axes if axes.axison and axes.has_data())


class TestDataViews:
    def test_samples_stand_in_the_row_of_their_label(self) -> None:
        images = make_images(30)
        axes = figures.sample_grid(images).axes[0]
        mosaic = picture(axes)
        assert mosaic.shape == (10 * 28, 3 * 28)
        for row, column in itertools.product(range(10), range(3)):
            tile = mosaic[28 * row : 28 * row + 28, 28 * column : 28 * column + 28]
            assert_allclose(tile, images[3 * row + column] / 255)
        assert [label.get_text() for label in axes.get_yticklabels()] == [str(digit) for digit in range(10)]
        assert list(axes.get_yticks()) == [28 * digit + 14 for digit in range(10)]

    def test_class_bars_are_fractions_with_their_counts(self) -> None:
        counts = split_counts()
        panels = figures.class_counts(counts).axes
        assert [axes.get_title(loc="left") for axes in panels] == list(counts)
        for axes, split in zip(panels, counts.values(), strict=True):
            percents = [100 * count / sum(split) for count in split]
            assert bar_widths(axes) == pytest.approx(percents)
            written = [text.get_text() for text in axes.texts]
            assert written[::2] == [f"{count:,}" for count in split]
            assert written[1::2] == [f"{percent:.1f} %" for percent in percents]
            assert axes.get_title(loc="right") == f"{sum(split):,} digits"

    def test_class_panels_share_their_scale(self) -> None:
        panels = figures.class_counts(split_counts()).axes
        assert len({axes.get_xlim() for axes in panels}) == 1
        assert len({axes.get_ylim() for axes in panels}) == 1
        bottom, top = panels[0].get_ylim()
        assert bottom > top, "digit 0 is on top"

    def test_means_are_drawn_on_the_full_ink_scale(self) -> None:
        means = make_images(10) / 512  # at most half ink: an automatic scale would stretch it to black
        *tiles, bar = figures.mean_grid(means, [5923] * 10).axes
        for digit, axes in enumerate(tiles):
            assert_allclose(picture(axes), means[digit])
            assert axes.images[0].get_clim() == (0, 1)
            assert axes.get_title() == str(digit)
            assert "5,923" in axes.get_xlabel()
        assert bar.get_ylim() == (0, 1)
        assert "ink" in bar.get_ylabel()

    def test_augmented_digits_stand_below_their_original(self) -> None:
        groups = augmented(4)
        axes = figures.augmentation_gallery(groups).axes[0]
        mosaic = picture(axes)
        rows = [(name, images) for group in groups for name, images in group.items()]
        assert [label.get_text() for label in axes.get_yticklabels()] == [name for name, _ in rows]
        for row, (_, images) in enumerate(rows):
            for column in range(4):
                tile = mosaic[28 * row : 28 * row + 28, 28 * column : 28 * column + 28]
                assert_allclose(tile, images[column, 0])

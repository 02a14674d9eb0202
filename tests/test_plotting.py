"""The helpers that all figures share: their scales enclose what is drawn, with legible, round ticks."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mnist_lab import plotting


@pytest.mark.parametrize(
    "ends", [(0, 0), (0, 30), (10, 99.9), (0, 100), (85, 99.5), (98, 99.7), (99.6, 99.66), (97, 97), (100, 100)]
)
def test_accuracy_ticks_are_legible_round_and_inside(ends: tuple[float, float]) -> None:
    axes = Figure().subplots()
    plotting.scale_accuracy(axes, ends)
    ticks = axes.get_yticks()
    low, high = axes.get_ylim()
    assert len(ticks) >= 2
    assert low <= min(*ends, *ticks) <= max(*ends, *ticks) <= high
    assert 0 <= ticks[0] < ticks[-1] <= 100
    heights = axes.transAxes.inverted().transform(axes.transData.transform([(1, tick) for tick in ticks]))[:, 1]
    assert np.diff(heights).min() > 0.04, "of the panel's height"
    assert [float(label.get_text()) for label in axes.get_yticklabels()] == pytest.approx(list(ticks), abs=1e-4)


@pytest.mark.parametrize("losses", [[0.02], [0.01, 0.3], [1e-9, 2.3], [0.0], [float("nan"), 0.1], [5.0, 900.0]])
def test_loss_ticks_lie_inside_and_are_neither_too_few_nor_too_many(losses: list[float]) -> None:
    axes = Figure().subplots()
    plotting.scale_loss(axes, losses)
    low, high = axes.get_ylim()
    assert 2 <= len(axes.get_yticks()) <= plotting.LOSS_TICKS_UP_TO
    assert all(low <= tick <= high for tick in axes.get_yticks())
    assert all(low < loss < high for loss in losses if loss > 0)


def test_the_accuracy_scale_spreads_the_nines_evenly_and_has_an_inverse() -> None:
    axes = Figure().subplots()
    plotting.scale_accuracy(axes, (90, 100))
    scale = axes.yaxis.get_transform()
    percents = np.array([0, 10, 90, 99, 99.9, 99.99, 100])
    heights = scale.transform(percents)
    assert (np.diff(heights) > 0).all()
    assert np.diff(heights[2:5]) == pytest.approx([1, 1], abs=0.05)  # decades of error
    assert scale.inverted().transform(heights) == pytest.approx(percents)
    assert math.isfinite(heights[-1])


@pytest.mark.parametrize("epochs", [1, 2, 3, 15, 16, 17, 30, 99, 100, 1000])
def test_epoch_ticks_are_whole_and_fit(epochs: int) -> None:
    ticks = plotting.epoch_ticks(epochs)
    assert ticks[0] == 1
    assert ticks == sorted(set(ticks))
    assert ticks[-1] <= epochs
    assert len(ticks) <= 17
    assert epochs == 1 or len(ticks) > 1


@pytest.mark.parametrize("text", ["x" * 70, "word " * 20, "2026-11-22_14-30-05_3-layer-aug and more\nof the same"])
def test_wrapped_text_keeps_its_words_within_the_width(text: str) -> None:
    lines = plotting.wrapped(text, 32).split("\n")
    assert max(map(len, lines)) <= 32
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")


@plotting.styled
def test_a_png_is_small_and_as_it_was_drawn() -> None:
    figure = plotting.new_figure(5, 3, "Colours from one end to the other")
    values = np.linspace(-1, 1, 30 * 50).reshape(30, 50)
    figure.subplots().imshow(values, cmap=plotting.AGAINST_AND_FOR)
    usual = io.BytesIO()
    figure.savefig(usual, format="png")
    content = plotting.png_of(figure)
    assert len(content) < 0.7 * len(usual.getvalue())
    drawn, saved = (np.asarray(Image.open(io.BytesIO(one)).convert("RGB"), int) for one in (usual.getvalue(), content))
    assert (saved[[0, -1]] == 255).all(), "paper stays white"
    assert np.abs(saved - drawn).mean() < 1.5
    assert np.percentile(np.abs(saved - drawn), 99) < 12, "no bands of colour"


def test_values_are_blue_above_zero_and_another_colour_below() -> None:
    colours = plotting.tinted(np.array([-2, -1, 0, 1, 2], dtype=np.float32), 2.0, plotting.ORANGE)
    assert tuple(colours[0]) == (0xE6, 0x9F, 0x00)
    assert tuple(colours[2]) == (255, 255, 255)
    assert tuple(colours[4]) == (0x00, 0x72, 0xB2)
    assert np.abs(colours[3] - (255.0 + colours[4]) / 2).max() <= 0.5

"""What the figures of the inside draw is what torch computes, and all their numbers add up."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_lab.config import ARCHITECTURES
from mnist_lab.data.mnist import Digits, Mnist, normalise, to_unit
from mnist_lab.explain import inside_figures as figures
from mnist_lab.explain.inside import Inside, first_kernels, logit_sum, look_inside, opened, pixel_sum, seen_by, survey
from mnist_lab.networks.models import ConvBlock, DigitNet, build_model
from tests.explain.test_inside import hooked, lively
from tests.training.test_figures import assert_whole_and_legible, render, words

DEAD, SILENT = 4, 7  # filters of the last block


@pytest.fixture(scope="module")
def picture(mnist: Mnist) -> NDArray[np.uint8]:
    return cast(NDArray[np.uint8], mnist.validation.images[7, 0].numpy())


@pytest.fixture(scope="module", params=["1-layer", "3-layer"])
def network(request: pytest.FixtureRequest) -> DigitNet:
    """A network, two of whose filters never answer."""
    model = opened(lively(build_model(request.param, seed=5)))
    norm = cast(nn.BatchNorm2d, cast(ConvBlock, model.blocks[-1]).norm)
    for filter in (DEAD, SILENT):
        norm.weight[filter], norm.bias[filter] = 0.0, -1.0
    return model


@pytest.fixture(scope="module")
def inside(network: DigitNet, picture: NDArray[np.uint8]) -> Inside:
    return look_inside(network, picture)


@pytest.fixture(scope="module")
def layers(network: DigitNet, picture: NDArray[np.uint8]) -> dict[str, Tensor]:
    return hooked(network, picture)


def drawn_maps(inside: Inside) -> Figure:
    dead = [np.zeros(len(maps), dtype=bool) for maps in inside.maps]
    dead[-1][DEAD] = True
    figure: Figure = figures.maps(inside, dead, [4, 10, 22][: len(dead)], "A digit")
    return figure


def panel(figure: Figure, beginning: str) -> Axes:
    (axes,) = [axes for axes in figure.axes if axes.get_title(loc="left").startswith(beginning)]
    return axes


def numbered(axes: Axes) -> dict[int, NDArray[Any]]:
    """The small picture below each number of a sheet, by that number, in the order in which they are drawn."""
    sheet: NDArray[Any] = np.ma.filled(np.ma.asarray(axes.images[0].get_array()), np.nan)
    found = {}
    for text in axes.texts[:-1]:  # the last is the remark
        x, y = (round(place) for place in text.get_position())
        column = y + 10 + np.flatnonzero(np.isnan(sheet[y + 10 :, x]))
        bottom = int(column[0]) if len(column) else len(sheet)
        top = 1 + int(np.flatnonzero(np.isnan(sheet[:bottom, x]))[-1])
        row = sheet[top]
        left = 1 + int(np.flatnonzero(np.isnan(row[:x]))[-1])
        right = x + int(np.flatnonzero(np.isnan(row[x:]))[0])
        found[int(text.get_text())] = sheet[top:bottom, left:right]
    return found


def shrunk(cell: NDArray[Any], side: int) -> NDArray[Any]:
    """A picture in its own size again, after it was drawn with larger pixels."""
    assert cell.shape[0] == cell.shape[1] and cell.shape[0] % side == 0
    scale = cell.shape[0] // side
    assert np.array_equal(cell, np.kron(cell[::scale, ::scale], np.ones((scale, scale))))
    return cell[::scale, ::scale]


def told(axes: Axes) -> list[str]:
    """The number at the end of the name of each bar."""
    return [label.get_text().split()[-1].replace("−", "-") for label in axes.get_yticklabels()]


def test_the_maps_of_every_filter_are_torchs_under_their_numbers(inside: Inside, layers: dict[str, Tensor]) -> None:
    figure = drawn_maps(inside)
    assert_whole_and_legible(render(figure))
    for block in range(len(inside.maps)):
        axes, maps = panel(figure, f"→ Block {block + 1}"), layers[f"blocks.{block}.relu"].numpy()
        found = numbered(axes)
        assert sorted(found) == list(range(len(maps)))
        for number, cell in found.items():
            assert np.array_equal(shrunk(cell, maps.shape[1]), maps[number])
        strengths = [maps[number].mean() for number in found]
        assert strengths == sorted(strengths, reverse=True)
        assert axes.images[0].get_clim() == pytest.approx((0, float(maps.max())))
    hidden, logits = panel(figure, "→ Hidden"), panel(figure, "→ Logits")
    strongest = np.sort(layers["classifier.2"].numpy())[::-1][:12]
    assert [float(number) for number in told(hidden)] == pytest.approx(strongest, abs=0.0051)
    assert [float(number) for number in told(logits)] == pytest.approx(layers["classifier.4"].tolist(), abs=0.0051)


def test_dead_and_silent_filters_are_marked_differently(inside: Inside) -> None:
    figure = drawn_maps(inside)
    axes = panel(figure, f"→ Block {len(inside.maps)}")
    places = {int(text.get_text()): np.array(text.get_position()) for text in axes.texts[:-1]}
    silent, dead = (np.asarray(line.get_xydata()) for line in axes.lines)
    below = {
        number: [kind for kind, marks in (("silent", silent), ("dead", dead)) if is_below(place, marks)]
        for number, place in places.items()
    }
    expected = {int(place): ["silent"] for place in np.flatnonzero(inside.silent(len(inside.maps) - 1))}
    assert {number: kinds for number, kinds in below.items() if kinds} == expected | {DEAD: ["dead"]}
    assert expected[SILENT] == ["silent"]
    assert "× dead: no answer to any of the 6,000 validation digits" in " ".join(words(figure).split())


def is_number(text: Text) -> bool:
    return re.fullmatch(r"−?\d+\.\d+", text.get_text()) is not None


def is_below(place: NDArray[Any], marks: NDArray[Any]) -> bool:
    return any(abs(x - place[0]) < 2 and 0 < y - place[1] < 30 for x, y in marks)


def test_a_sum_adds_up_to_torchs_own_value(network: DigitNet, inside: Inside, layers: dict[str, Tensor]) -> None:
    places = [(block, int(filter)) for block in range(len(inside.maps)) for filter in inside.by_strength(block)[:2]]
    for block, filter in places:
        row, column = divmod(int(inside.maps[block][filter].argmax()), inside.maps[block].shape[2])
        found, seen = pixel_sum(network, inside, block, filter, row, column), seen_by(network, block, row, column)
        figure = figures.value_sum(inside.image[0], block, found, seen, "A value")
        assert "products may differ" in words(figure)
        lines = [text.get_text() for text in figure.axes[2].texts]
        steps = dict(zip(lines[::2], [Decimal(line.replace("−", "-")) for line in lines[1::2]], strict=True))
        parts = [number for name, number in steps.items() if re.match(r"products|\+ the other|\+ bias", name)]
        total = steps["= sum (convolution)"]
        ((shift, after),) = [(name, number) for name, number in steps.items() if name.endswith("(shift)")]
        scaled = next(number for name, number in steps.items() if name.endswith("(scale)"))
        assert sum(parts) == total == steps["the largest (pooling)"]
        assert scaled + Decimal(shift.split(" (")[0].replace("− ", "-").replace("+ ", "")) == after
        pooled, normalised, value = (
            f"{float(layers[f'blocks.{block}.{name}'][filter, row, column]):.3f}" for name in ("pool", "norm", "relu")
        )
        assert (f"{total}", f"{after}") == (pooled, normalised)
        assert f"{steps['below 0 becomes 0 (ReLU)']}" == value
        _, window, _, *squares = [
            [Decimal(text.get_text().replace("−", "-")) for text in axes.texts if axes.images and is_number(text)]
            for axes in figure.axes
        ]
        assert f"{max(window)}" == pooled
        rows = zip(squares[::3], squares[1::3], squares[2::3], strict=True)
        for part, (patch, kernel, products) in zip(parts, rows, strict=False):
            assert len(products) == 9
            assert sum(products) == part
            for a, b, product in zip(patch, kernel, products, strict=True):
                assert float(a * b) == pytest.approx(float(product), abs=0.004)
        (box,) = figure.axes[0].patches
        assert (box.get_y() + 0.5, box.get_x() + 0.5, box.get_height(), box.get_width()) == seen  # type: ignore[attr-defined]
    assert_whole_and_legible(render(figure))


def test_contributions_add_up_to_each_logit_beside_what_excites_their_units(
    network: DigitNet, inside: Inside, layers: dict[str, Tensor], mnist: Mnist
) -> None:
    digits: Digits = mnist.validation.subset(torch.arange(60))
    found = survey(network, digits)
    images = digits.images[:, 0].numpy()
    figure = figures.logit_sums({digit: logit_sum(network, inside, digit) for digit in (3, 8)}, found, "A digit")
    assert_whole_and_legible(render(figure))
    last = cast(nn.Linear, network.classifier[-1])
    with torch.no_grad():
        by_picture = network.hidden(normalise(to_unit(digits.images)))  # (N, H)
    for digit, (bars, pictures) in zip((3, 8), (figure.axes[:2], figure.axes[2:]), strict=True):
        numbers = [Decimal(number) for number in told(bars)]
        logit = f"{float(layers['classifier.4'][digit]):.3f}"
        assert f"{sum(numbers)}" == logit
        assert bars.get_title(loc="left").replace("−", "-") == f"Logit of {digit}: {logit}"
        units = [int(label.get_text().split()[1]) for label in bars.get_yticklabels()[:8]]
        exact = (layers["classifier.2"] * last.weight[digit])[units].tolist()
        assert [float(number) for number in numbers[:8]] == pytest.approx(exact, abs=0.0011)
        drawn = np.asarray(pictures.images[0].get_array()).reshape(8, 28, 6, 28)
        for row, unit in enumerate(units):
            best = int(by_picture[:, unit].argmax())
            assert np.array_equal(
                drawn[row, :, 0] * 255, images[best] if by_picture[best, unit] > 0 else np.zeros((28, 28))
            )


def test_kernels_stand_beside_those_of_the_same_seed(network: DigitNet) -> None:
    trained, untrained = first_kernels(network), first_kernels(network) * 0.5
    figure = figures.kernels(trained, untrained, "A network")
    assert_whole_and_legible(render(figure))
    for name, weights in (("Trained", trained), ("Before", untrained)):
        found = numbered(panel(figure, name))
        assert [*found] == list(range(32))
        for number, cell in found.items():
            assert np.array_equal(shrunk(cell, 3), weights[number])
        largest = float(np.abs(trained).max())
        assert panel(figure, name).images[0].get_clim() == pytest.approx((-largest, largest))
    assert "correlation with those before training 1.00" in words(figure)


def test_a_network_that_answers_to_nothing_can_be_drawn(picture: NDArray[np.uint8], mnist: Mnist) -> None:
    model = opened(build_model(replace(ARCHITECTURES["2-layer"], batch_norm=False)))
    for parameter in model.parameters():
        parameter.zero_()
    inside = look_inside(model, picture)
    assert_whole_and_legible(render(drawn_maps(inside)))
    found = figures.value_sum(inside.image[0], 1, pixel_sum(model, inside, 1, 0, 0, 0), (0, 0, 4, 4), "Nothing")
    assert_whole_and_legible(render(found))
    assert "scale" not in words(found).replace("scale of colours", "")
    sums = {digit: logit_sum(model, inside, digit) for digit in (0, 1)}
    nothing = figures.logit_sums(sums, survey(model, mnist.validation.subset(torch.arange(9))), "Nothing")
    assert_whole_and_legible(render(nothing))

"""What is said about the inside of a network is what torch computes there."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_lab.config import ARCHITECTURES
from mnist_lab.data.mnist import Mnist, normalise, to_unit
from mnist_lab.errors import TrainingError
from mnist_lab.explain.inside import (
    add_up,
    first_kernels,
    logit_sum,
    look_inside,
    number,
    opened,
    pixel_sum,
    seen_by,
    survey,
)
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import ConvBlock, DigitNet, build_model


def lively(model: DigitNet) -> DigitNet:
    """A network whose batch normalisation does something: with scales of both signs, and shifts."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None and layer.running_var is not None
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))
                layer.running_mean.copy_(torch.randn(layer.bias.shape, generator=generator))
                layer.running_var.copy_(torch.rand(layer.bias.shape, generator=generator) + 0.5)
    return model.eval()


@pytest.fixture(params=[*ARCHITECTURES, "3-layer without batch norm"])
def network(request: pytest.FixtureRequest) -> DigitNet:
    name, _, rest = request.param.partition(" ")
    return lively(build_model(replace(ARCHITECTURES[name], batch_norm=not rest), seed=5))


@pytest.fixture
def picture(mnist: Mnist) -> NDArray[np.uint8]:
    return cast(NDArray[np.uint8], mnist.validation.images[7, 0].numpy())


def hooked(model: DigitNet, picture: NDArray[np.uint8]) -> dict[str, Tensor]:
    """What every layer puts out, by its name, as torch itself reports it."""
    found: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_hook(lambda layer, given, made, name=name: found.__setitem__(name, made[0].clone()))
        for name, layer in model.named_modules()
        if name
    ]
    with torch.no_grad():
        model(normalise(to_unit(torch.from_numpy(picture.copy()))).view(1, 1, 28, 28))
    for handle in handles:
        handle.remove()
    return found


def test_activations_are_those_of_every_layer(network: DigitNet, picture: NDArray[np.uint8]) -> None:
    layers, inside = hooked(network, picture), look_inside(network, picture)
    assert len(inside.maps) == len(network.blocks)
    for block, maps in enumerate(inside.maps):
        assert torch.equal(torch.from_numpy(maps), layers[f"blocks.{block}.relu"])
    assert torch.equal(torch.from_numpy(inside.hidden), layers["classifier.2"])
    assert len(inside.layers) == len(inside.maps) + 1
    assert np.array_equal(inside.layers[-1].ravel(), inside.hidden)
    assert np.array_equal(inside.silent(len(inside.maps)), inside.hidden == 0)
    assert inside.by_strength(len(inside.maps))[0] == inside.hidden.argmax()
    assert torch.equal(torch.from_numpy(inside.logits), layers["classifier.4"])


def test_the_sum_behind_any_value_is_torchs_own(network: DigitNet, picture: NDArray[np.uint8]) -> None:
    layers, inside, random = hooked(network, picture), look_inside(network, picture), np.random.default_rng(1)
    for block in range(len(network.blocks)):
        maps = inside.maps[block]
        corners = [(0, 0, 0), tuple(size - 1 for size in maps.shape)]
        for filter, row, column in [*corners, *(tuple(map(int, random.integers(maps.shape))) for _ in range(40))]:
            found = pixel_sum(network, inside, block, filter, row, column)
            at = (filter, row, column)
            window = layers[f"blocks.{block}.conv"][filter, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert np.array_equal(found.convolved, window.numpy())
            assert found.convolved.max() == float(layers[f"blocks.{block}.pool"][at])
            assert found.normalised == float(layers[f"blocks.{block}.norm"][at])
            assert found.value == float(layers[f"blocks.{block}.relu"][at]) == float(maps[at])
            # and the parts make the whole
            total = (found.patch * found.kernel).astype(np.float64).sum() + found.bias
            assert total == pytest.approx(float(found.convolved.max()), abs=2e-5)
            assert found.scale * found.convolved.max() + found.shift == pytest.approx(found.normalised, abs=2e-5)


def test_a_patch_lies_where_its_corner_says(network: DigitNet, picture: NDArray[np.uint8]) -> None:
    inside = look_inside(network, picture)
    for block, maps in enumerate(inside.maps):
        given, side = (inside.image, *inside.maps)[block], maps.shape[1]
        for row, column in [(0, 0), (side // 2, 1), (side - 1, side - 1)]:
            found = pixel_sum(network, inside, block, 3, row, column)
            top, left = found.corner
            for down in range(3):
                for right in range(3):
                    y, x = top + down, left + right
                    is_inside = 0 <= y < given.shape[1] and 0 <= x < given.shape[2]
                    expected = given[:, y, x] if is_inside else np.zeros(len(given))
                    assert np.array_equal(found.patch[:, down, right], expected)


def test_a_value_depends_on_the_pixels_it_is_said_to_see_and_no_others() -> None:
    model = build_model("3-layer", seed=2).double()
    for block in range(3):
        # Without maximum and ReLU, every pixel that can matter does.
        layers = [part for one in model.blocks[: block + 1] for part in (cast(ConvBlock, one).conv, nn.AvgPool2d(2))]
        for row, column in [(0, 0), (1, 2), (2, 1)]:
            image = torch.zeros(1, 1, 28, 28, dtype=torch.float64, requires_grad=True)
            nn.Sequential(*layers)(image)[0, :, row, column].sum().backward()
            assert image.grad is not None
            rows, columns = (np.unique(places) for places in np.nonzero(image.grad[0, 0].numpy()))
            top, left, height, width = seen_by(model, block, row, column)
            assert (top, left) == (rows[0], columns[0])
            assert (height, width) == (len(rows), len(columns))


def test_numbers_that_are_not_finite_are_refused_in_one_line(picture: NDArray[np.uint8]) -> None:
    model, blank = build_model("1-layer", seed=1).eval().requires_grad_(False), np.zeros((28, 28), np.uint8)
    cast(ConvBlock, model.blocks[0]).conv.weight[3] = 3e38
    inside = look_inside(model, blank)
    assert not inside.maps[0][3].any()  # minus infinity: ReLU hides it
    with pytest.raises(TrainingError, match="no longer finite"):
        pixel_sum(model, inside, 0, 3, 5, 5)
    with pytest.raises(TrainingError, match="no longer finite"):
        look_inside(model, picture)


def test_a_logit_is_what_its_units_contribute(network: DigitNet, picture: NDArray[np.uint8]) -> None:
    inside = look_inside(network, picture)
    for digit in range(10):
        found = logit_sum(network, inside, digit)
        assert found.contributions.sum() + found.bias == pytest.approx(found.value, abs=1e-5)
        assert found.value == inside.logits[digit]
        sizes = np.abs(found.contributions)
        units, parts, rest, bias = found.written(5)
        assert list(sizes[units]) == sorted(sizes, reverse=True)[:5]
        assert parts == pytest.approx(found.contributions[units].tolist(), abs=0.0011)
        assert thousandths(found.value) == sum(map(thousandths, [*parts, rest, bias]))


def test_rounded_parts_add_up_to_their_rounded_total() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        parts = random.normal(size=random.integers(1, 12)) * 10.0 ** random.integers(-3, 2)
        rounded = add_up(parts.tolist(), float(parts.sum()))
        assert sum(rounded) == pytest.approx(round(float(parts.sum()), 3), abs=1e-9)
        assert np.abs(np.array(rounded) - parts).max() <= 0.001 + 1e-9
    assert add_up([1 / 3, 1 / 3, 1 / 3], 1.0) == [0.334, 0.333, 0.333]
    assert add_up([0.5, 0.25], 0.75) == [0.5, 0.25]


def test_survey_finds_dead_filters_and_what_excites_a_unit(mnist: Mnist, picture: NDArray[np.uint8]) -> None:
    model, digits = lively(build_model("2-layer", seed=3)), mnist.validation.subset(torch.arange(300))
    with torch.no_grad():
        norm = cast(nn.BatchNorm2d, cast(ConvBlock, model.blocks[1]).norm)
        norm.weight[4], norm.bias[4] = 0.0, -1.0
    found = survey(model, digits)
    assert found.dead(1)[4]
    one_by_one = [look_inside(model, image[0].numpy()) for image in digits.images]
    for block in (0, 1):
        peaks = np.max([inside.maps[block].max(axis=(1, 2)) for inside in one_by_one], axis=0)
        assert np.allclose(found.peaks[block], peaks, rtol=1e-4, atol=1e-5)
        assert np.array_equal(found.dead(block), peaks == 0)
    hidden = np.array([inside.hidden for inside in one_by_one])
    assert np.array_equal(found.dead(2), hidden.max(axis=0) == 0)
    assert found.dead(2).any()
    for unit in (0, 17, 100):
        expected = [place for place in np.argsort(-hidden[:, unit], kind="stable")[:6] if hidden[place, unit] > 0]
        assert np.array_equal(found.exciting(unit, 6), digits.images[expected, 0].numpy())
    assert look_inside(model, picture).silent(1)[4]


def test_an_opened_network_is_a_copy(compute: Compute) -> None:
    model = compute.place(build_model("1-layer", seed=1)).train()
    inside = opened(model)
    assert not inside.training and model.training
    kernels = first_kernels(inside)
    assert kernels.shape == (32, 3, 3)
    assert np.array_equal(kernels[3], cast(ConvBlock, model.blocks[0]).conv.weight[3, 0].detach().cpu().numpy())


def thousandths(value: float) -> int:
    """A number as it is written, in thousandths."""
    return int(number(value).replace("−", "-").replace(".", ""))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_what_is_written_adds_up_and_ends_in_the_value(mnist: Mnist, batch_norm: bool) -> None:
    model = lively(build_model(replace(ARCHITECTURES["3-layer"], batch_norm=batch_norm), seed=4))
    inside, random = look_inside(model, mnist.validation.images[3, 0].numpy()), np.random.default_rng(0)
    for block, maps in enumerate(inside.maps):
        for _ in range(60):
            at = tuple(map(int, random.integers(maps.shape)))
            pixel = pixel_sum(model, inside, block, *at)
            shown, products, listed = pixel.written(3)
            exact = pixel.patch * pixel.kernel
            sums, steps = np.abs(exact.sum(axis=(1, 2), dtype=np.float64)), dict(listed)
            assert list(sums[shown]) == sorted(sums, reverse=True)[: len(shown)]
            assert len(shown) == len(products) == min(3, len(sums))
            assert np.abs(products - exact[shown]).max() < 0.0011
            parts = [*products.ravel(), steps.get(f"+ the other {len(sums) - 3} maps") or 0, steps.get("+ bias") or 0]
            assert sum(map(thousandths, parts)) == thousandths(float(pixel.convolved.max()))
            values = list(steps.values())
            assert values[-1] == pixel.value == maps[at]
            if batch_norm:
                scaled = next(value for name, value in steps.items() if name.startswith("×"))
                (shift,) = (name for name in steps if name.endswith("(shift)"))
                assert scaled is not None
                moved = int(shift.removesuffix(" (shift)").replace("− ", "-").replace("+ ", "").replace(".", ""))
                assert thousandths(scaled) + moved == thousandths(pixel.normalised)
                assert abs(scaled - pixel.scale * pixel.convolved.max()) < 0.0011
            else:
                assert ("+ bias" in steps) == (pixel.bias != 0)
                assert not any("scale" in name for name in steps)
            assert thousandths(pixel.value) == max(0, thousandths(pixel.normalised))


def test_numbers_are_written_with_a_real_minus_and_zero_is_never_negative() -> None:
    assert [number(value) for value in (-1.23449, -0.0001, 0.0, 2)] == ["−1.234", "0.000", "0.000", "2.000"]
    assert [number(value, 2, "+") for value in (0.5, -0.5, 0.001)] == ["+0.50", "−0.50", "+0.00"]

"""The numbers behind a value add up as they are written, without a screen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mnist_lab.config import ARCHITECTURES
from mnist_lab.data.mnist import Mnist
from mnist_lab.drawing.window.inside_detail import number, patch_parts, steps_of
from mnist_lab.explain.inside import look_inside, pixel_sum
from mnist_lab.networks.models import build_model
from tests.explain.test_inside import lively


def written(value: float) -> int:
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
            shown, parts, others, bias = patch_parts(pixel)
            sums = np.abs(pixel.products.sum(axis=(1, 2)))
            assert list(sums[shown]) == sorted(sums, reverse=True)[: len(shown)]
            assert len(shown) == min(3, len(sums))
            assert sum(map(written, parts)) + written(others) + written(bias) == written(float(pixel.convolved.max()))
            steps = dict(steps_of(pixel, others, bias))
            values = list(steps.values())
            assert values[-1] == pixel.value == maps[at]
            if batch_norm:
                scaled = next(value for name, value in steps.items() if name.startswith("×"))
                (shift,) = (name for name in steps if name.endswith("(shift)"))
                assert scaled is not None
                moved = int(shift.removesuffix(" (shift)").replace("− ", "-").replace("+ ", "").replace(".", ""))
                assert written(scaled) + moved == written(pixel.normalised)
                assert abs(scaled - pixel.scale * pixel.convolved.max()) < 0.0011
            else:
                assert ("+ bias" in steps) == (pixel.bias != 0)
                assert not any("scale" in name for name in steps)
            assert written(pixel.value) == max(0, written(pixel.normalised))


def test_numbers_are_written_with_a_real_minus_and_zero_is_never_negative() -> None:
    assert [number(value) for value in (-1.23449, -0.0001, 0.0, 2)] == ["−1.234", "0.000", "0.000", "2.000"]
    assert [number(value, 2, "+") for value in (0.5, -0.5, 0.001)] == ["+0.50", "−0.50", "+0.00"]

"""What the experiments measure: disturbed and inverted digits, checked by other means, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from mnist_lab.config import FULL_AUGMENTATION, MILD_AUGMENTATION
from mnist_lab.data.mnist import Digits, Mnist, stratified_subset, to_unit
from mnist_lab.experiments import measures
from mnist_lab.experiments.answers import ask
from mnist_lab.experiments.measures import DISTURBANCES, disturb, robustness, shown_as
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model

BY_NAME = {disturbance.name: disturbance for disturbance in DISTURBANCES}


@pytest.fixture(scope="module")
def images(small: Digits) -> Tensor:
    return to_unit(small.images[:100])


def disturbed(images: Tensor, name: str, strength: float) -> Tensor:
    return disturb(images, BY_NAME[name], strength)


@pytest.mark.parametrize("name", BY_NAME)
def test_shape_range_and_repeatability_at_every_strength(images: Tensor, name: str) -> None:
    disturbance, before = BY_NAME[name], images.clone()
    assert list(disturbance.strengths) == sorted(set(disturbance.strengths))
    assert disturbance.neutral in disturbance.strengths
    for strength in disturbance.strengths:
        found = disturb(images, disturbance, strength)
        assert found.shape == images.shape
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
        assert torch.equal(found, disturb(images, disturbance, strength))
        assert torch.equal(images, before)
        assert torch.equal(found, images) == (strength == disturbance.neutral)


def centres_of_mass(images: Tensor) -> Tensor:
    """(B, 2), y and x in pixels."""
    return torch.tensor(np.array([ndimage.center_of_mass(image[0].numpy()) for image in images]))


def test_every_digit_is_shifted_by_the_same_amount_in_its_own_direction(images: Tensor) -> None:
    edge = torch.ones(28, 28)
    edge[3:25, 3:25] = 0
    inner = images[(images * edge).amax(dim=(1, 2, 3)) == 0]  # these lose no ink at the edge
    moves = centres_of_mass(disturbed(inner, "shifted", 2)) - centres_of_mass(inner)
    assert len(inner) > 50
    assert torch.hypot(moves[:, 0], moves[:, 1]).numpy() == pytest.approx(2.0, abs=0.05)
    directions = torch.atan2(moves[:, 0], moves[:, 1])
    assert float(directions.std()) > 1.5  # all around: 1.8 for an even spread


def test_rotation_is_that_of_scipy_in_both_directions(images: Tensor) -> None:
    found = disturbed(images, "rotated", 30)
    turned = {
        sign: torch.from_numpy(
            np.stack(
                [ndimage.rotate(i[0].numpy(), sign * 30, reshape=False, order=1, mode="grid-constant") for i in images]
            )
        ).unsqueeze(1)
        for sign in (-1, 1)
    }
    errors = torch.stack([(found - other).abs().amax(dim=(1, 2, 3)) for other in turned.values()])  # (2, B)
    assert float(errors.amin(dim=0).max()) < 1e-4
    assert {0, 1} == set(errors.argmin(dim=0).tolist())


@pytest.mark.parametrize("factor", [0.6, 1.2])
def test_scaling_scales_the_distance_between_places(images: Tensor, factor: float) -> None:
    spot = torch.zeros(1, 1, 28, 28)
    spot[0, 0, 13:15, 18:20] = 1.0  # its middle lies 5 pixels right of the image's
    moved = centres_of_mass(disturbed(spot, "scaled", factor))[0]
    assert moved.numpy() == pytest.approx([13.5, 13.5 + 5 * factor], abs=0.05)


def test_a_whole_pixel_thicker_is_the_grey_dilation_of_scipy(images: Tensor) -> None:
    cross = ndimage.generate_binary_structure(2, 1)
    expected = np.stack([ndimage.grey_dilation(image[0].numpy(), footprint=cross) for image in images])
    assert disturbed(images, "thickened", 1)[:, 0].numpy() == pytest.approx(expected, abs=1e-6)
    twice = np.stack([ndimage.grey_dilation(image, footprint=cross) for image in expected])
    assert disturbed(images, "thickened", 2)[:, 0].numpy() == pytest.approx(twice, abs=1e-6)


def test_finer_takes_ink_away(images: Tensor) -> None:
    ink = [float(disturbed(images, "thickened", strength).sum()) for strength in BY_NAME["thickened"].strengths]
    assert ink == sorted(ink)


def test_noise_has_the_stated_deviation() -> None:
    grey = torch.full((50, 1, 28, 28), 0.5)
    noise = disturbed(grey, "noised", 0.1) - grey
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.002)


def test_a_square_is_hidden_wholly_over_the_digits_box() -> None:
    white = torch.ones(3000, 1, 28, 28)
    hidden = disturbed(white, "partly hidden", 8) == 0
    assert hidden.sum(dim=(1, 2, 3)).tolist() == [64] * 3000
    rows, columns = hidden[:, 0].any(dim=2), hidden[:, 0].any(dim=1)
    assert rows.sum(dim=1).tolist() == columns.sum(dim=1).tolist() == [8] * 3000
    reached = hidden[:, 0].any(dim=0)
    assert reached[4:24, 4:24].all()
    assert int(reached.sum()) == 400


def test_the_trained_range_is_that_of_the_augmentation() -> None:
    full = FULL_AUGMENTATION
    trained = {name: disturbance.trained(full) for name, disturbance in BY_NAME.items()}
    assert trained["shifted"] == pytest.approx((0, 28 * 0.07))
    assert trained["rotated"] == (0, 10)
    assert trained["scaled"] == pytest.approx((0.9, 1.1))
    assert trained["thickened"] == (-0.15, 0.15)
    assert trained["partly hidden"] == pytest.approx((28 * 0.02**0.5, 28 * 0.10**0.5))
    for disturbance, augment in (
        ("noised", full),
        ("thickened", MILD_AUGMENTATION),
        ("partly hidden", MILD_AUGMENTATION),
    ):
        low, high = BY_NAME[disturbance].trained(augment)
        assert low == high


def test_robustness_asks_every_network_about_the_same_disturbed_digits(
    mnist: Mnist, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "ROBUSTNESS_DIGITS", 300)
    models = {
        "a": {seed: compute.place(build_model("1-layer", seed=seed)) for seed in (0, 5)},
        "b": {0: compute.place(build_model("1-layer", seed=1))},
    }
    disturbance = DISTURBANCES[1]
    found = robustness(models, mnist.test, disturbance, compute)
    assert {name: list(by_seed) for name, by_seed in found.items()} == {"a": [0, 5], "b": [0]}
    sample = stratified_subset(mnist.test, 300)
    turned = disturb(to_unit(sample.images), disturbance, disturbance.strengths[3])
    models["a"][5].eval()
    shown = Digits((turned * 255).round().to(torch.uint8), sample.labels, sample.indices)
    expected = ask(models["a"][5], shown, compute).right(sample.labels.numpy()).mean()
    assert found["a"][5][3] == pytest.approx(expected, abs=0.005)  # bytes against floats


def test_digits_are_shown_in_three_ways(small: Digits) -> None:
    ways = shown_as(small)
    pictures = small.images[:, 0].numpy()
    assert np.array_equal(ways["black on white"], 255 - pictures)
    assert np.array_equal(ways["inverted"], pictures)
    assert ways["MNIST-like"].shape == pictures.shape
    # MNIST's digits have been prepared this way already: hardly anything is left to do.
    change = np.abs(ways["MNIST-like"].astype(float) - pictures).mean(axis=(1, 2))
    assert np.median(change) < 8


def test_fine_digits_keep_the_pen_that_they_were_written_with(mnist: Mnist) -> None:
    masses = mnist.test.images[:1000].float().sum(dim=(1, 2, 3))
    finest = mnist.test.subset(masses.argsort()[:50])
    change = shown_as(finest)["MNIST-like"].sum(axis=(1, 2)) / finest.images.sum(dim=(1, 2, 3)).numpy()
    assert np.abs(change - 1).max() < 0.1  # re-inked, they would have up to twice the ink


def test_a_digit_without_ink_stays_as_it_is(small: Digits) -> None:
    blank = Digits(torch.zeros(1, 1, 28, 28, dtype=torch.uint8), small.labels[:1], small.indices[:1])
    assert shown_as(blank)["MNIST-like"].sum() == 0

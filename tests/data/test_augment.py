"""The batched augmentation, against torchvision's per-image one and scipy's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import grey_dilation, grey_erosion
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from mnist_lab.config import AUGMENTATIONS, NO_AUGMENTATION, AugmentConfig
from mnist_lab.data.augment import AffineDraw, augment, change_thickness, inverse_affine, warp, with_strokes
from mnist_lab.data.loader import seeded_generator
from mnist_lab.data.mnist import Digits, to_unit
from mnist_lab.data.pen_strokes import draw_strokes

STRONG = replace(NO_AUGMENTATION, rotation=40, shift=0.2, scale=0.3, shear=25, erasing=0.5, erase_area=(0.05, 0.3))
ALL = replace(STRONG, flip=0.5, elastic=0.03, thickness=0.8, strokes=1.0)


@pytest.fixture(scope="module")
def images(small: Digits) -> Tensor:
    return to_unit(small.images[:100])


@pytest.fixture(scope="module")
def labels(small: Digits) -> Tensor:
    return small.labels[:100]


def drawn(config: AugmentConfig, count: int, seed: int) -> AffineDraw:
    """The poses that a batch gets: numbers from -1 to 1 times the strength, one parameter after the other."""
    generator = seeded_generator(seed)
    ranges = (config.rotation, config.shift, config.shift, config.scale, config.shear)
    angle, x, y, scale, shear = ((2 * torch.rand(count, generator=generator) - 1) * limit for limit in ranges)
    return AffineDraw(angle, x, y, 1 + scale, shear, torch.ones(count))


def by_torchvision(images: Tensor, draw: AffineDraw) -> Tensor:
    """Each image alone, with the same parameters."""
    side = images.shape[-1]
    return torch.stack(
        [
            affine(
                image,
                angle=float(draw.angle[i]),
                translate=[float(draw.shift_x[i]) * side, float(draw.shift_y[i]) * side],
                scale=float(draw.scale[i]),
                shear=[float(draw.shear[i]), 0.0],
                interpolation=InterpolationMode.BILINEAR,
            )
            for i, image in enumerate(images)
        ]
    )


@pytest.mark.parametrize("strengths", [["rotation"], ["shift"], ["scale"], ["shear"], ["rotation", "shift", "shear"]])
def test_a_batch_is_warped_as_torchvision_warps_each_image(
    images: Tensor, labels: Tensor, strengths: list[str]
) -> None:
    config = replace(NO_AUGMENTATION, **{name: getattr(STRONG, name) for name in strengths})
    found = augment(images, labels, config, seeded_generator(1))
    assert torch.allclose(found, by_torchvision(images, drawn(config, len(images), 1)), atol=2e-4)
    assert not torch.allclose(found, images, atol=0.1)


def test_whatever_moves_pixels_costs_one_resampling(
    images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    real = torch.nn.functional.grid_sample

    def count(*arguments: Any, **options: Any) -> Tensor:
        calls.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "grid_sample", count)
    augment(images, labels, ALL, seeded_generator(1))
    assert len(calls) == 1


def test_every_sample_has_its_own_draw(images: Tensor, labels: Tensor) -> None:
    out = augment(images[:1].expand(50, -1, -1, -1), labels[:1].expand(50), STRONG, seeded_generator(2))
    assert len({tuple(image.flatten().tolist()) for image in out}) == 50


def test_background_stays_background(images: Tensor, labels: Tensor) -> None:
    for config in (STRONG, ALL):
        out = augment(images, labels, config, seeded_generator(4))
        assert out.min() >= 0
        assert out.max() <= 1 + 1e-6
    nothing = augment(torch.zeros_like(images), labels, replace(ALL, strokes=0), seeded_generator(4))
    assert not nothing.any()
    mild = augment(images, labels, AugmentConfig(), seeded_generator(4))
    assert not mild[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].any()  # the corners


def test_the_same_generator_gives_the_same_batch_and_the_input_is_left_alone(images: Tensor, labels: Tensor) -> None:
    before = images.clone()
    first, second, other = (augment(images, labels, ALL, seeded_generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(images, before)


def test_it_works_where_its_images_are(images: Tensor, labels: Tensor) -> None:
    expected = augment(images, labels, ALL, seeded_generator(5))
    with torch.device("meta"):  # whatever is made elsewhere has no values
        assert torch.equal(augment(images, labels, ALL, seeded_generator(5)), expected)


def test_everything_switched_off_changes_nothing(images: Tensor, labels: Tensor) -> None:
    assert torch.equal(augment(images, labels, ALL.without(*AUGMENTATIONS), seeded_generator(6)), images)


def test_erasing_takes_one_rectangle_of_the_right_size_from_the_right_fraction() -> None:
    ones = torch.ones(4000, 1, 28, 28)
    erased = augment(ones, torch.zeros(4000).long(), STRONG.only("erasing"), seeded_generator(7))[:, 0] == 0
    hit = erased.flatten(1).any(dim=1)
    assert abs(float(hit.float().mean()) - 0.5) < 0.03
    rows, columns = erased[hit].any(dim=2), erased[hit].any(dim=1)  # (K, H), (K, W)
    assert torch.equal(erased[hit], rows.unsqueeze(2) & columns.unsqueeze(1))  # filled
    for sides in (rows, columns):  # in one piece
        assert ((sides[:, 1:] & ~sides[:, :-1]).sum(dim=1) + sides[:, 0] == 1).all()
    area = rows.sum(dim=1) * columns.sum(dim=1) / 784
    assert float(area.min()) >= 0.05 * 0.8  # sides are rounded to whole pixels
    assert float(area.max()) <= 0.3 * 1.2
    assert erased[hit].any(dim=0).all()  # every place of the image is erased now and then


def test_a_mirrored_digit_is_the_picture_from_behind(images: Tensor, labels: Tensor) -> None:
    half = augment(images, labels, replace(NO_AUGMENTATION, flip=0.5), seeded_generator(8))
    is_mirrored = (half - images.flip(3)).abs().flatten(1).amax(dim=1) < 1e-4
    is_kept = (half - images).abs().flatten(1).amax(dim=1) < 1e-4
    assert (is_mirrored | is_kept).all()
    assert 30 < int(is_mirrored.sum()) < 70


def test_bends_are_smooth_and_as_strong_as_asked() -> None:
    """Where a slope of ink is displaced, its new value tells the place that it was taken from."""
    strength, count = 0.02, 3000
    across = torch.linspace(0, 1, 28).expand(count, 1, 28, 28)  # brighter to the right, by 1/27 a pixel
    config = replace(NO_AUGMENTATION, elastic=strength)
    bent = [augment(picture, torch.zeros(count).long(), config, seeded_generator(9)) for picture in (across, across.mT)]
    x, y = (
        27 * (picture - before)[:, 0, 7:21, 7:21] for picture, before in zip(bent, (across, across.mT), strict=True)
    )
    for moved in (x, y):  # pixels
        assert torch.allclose(moved.std(dim=0), torch.full((14, 14), 28 * strength), rtol=0.08)
        assert moved.mean(dim=0).abs().max() < 0.06
        for neighbours in (moved[:, 1:] - moved[:, :-1], moved[:, :, 1:] - moved[:, :, :-1]):
            assert 0.1 < float(neighbours.std()) / (28 * strength) < 0.25  # they move together, but not as one
    assert abs(float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1])) < 0.03


def test_thickness_moves_towards_the_neighbours_extremes(images: Tensor) -> None:
    cross = np.array([[[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]], dtype=bool)
    bold, fine, half = (change_thickness(images, torch.full((len(images),), change)) for change in (1.0, -1.0, 0.5))
    assert np.allclose(bold, grey_dilation(images.numpy(), footprint=cross, mode="constant"))
    assert np.allclose(fine, grey_erosion(images.numpy(), footprint=cross, mode="constant"))
    assert torch.allclose(half, (images + bold) / 2, atol=1e-6)
    assert torch.equal(change_thickness(images, torch.zeros(len(images))), images)


def test_all_digits_that_suit_get_strokes_and_nothing_else_happens_to_them(small: Digits) -> None:
    images, labels = to_unit(small.images), small.labels
    which, changed = with_strokes(images, labels, seeded_generator(3))
    assert torch.equal(which, draw_strokes(images, labels, 1.0, seeded_generator(3)).where)
    centred = [(image > 0.3).nonzero()[:, 1:].float().mean(dim=0) - 13.5 for image in changed]
    assert torch.stack(centred).abs().max() < 5, "they lie where MNIST's lie"
    assert ((changed - images[which]).abs().flatten(1).amax(dim=1) > 0.2).all()
    assert set(labels[which].tolist()) == {0, 1, 7}
    nothing, none = with_strokes(images[labels == 4], labels[labels == 4], seeded_generator(3))
    assert (len(nothing), none.shape) == (0, (0, 1, 28, 28))


def test_strokes_move_with_the_digit_that_they_were_added_to() -> None:
    """Strokes and pose in one step leave what adding them first and warping the finished picture leaves."""
    y, x = torch.meshgrid(torch.arange(28) - 13.5, torch.arange(28) - 13.5, indexing="ij")
    zeros = (1.5 - (torch.hypot(x, 0.85 * y) - 6).abs()).clamp(0, 1).expand(60, 1, 28, 28)
    still = replace(NO_AUGMENTATION, strokes=1.0)
    posed = replace(still, rotation=30, shift=0.05, shear=10)
    first = augment(zeros, torch.zeros(60).long(), still, seeded_generator(11))
    assert (first - zeros).abs().flatten(1).amax(dim=1).min() > 0.3  # all of them are slashed
    found = augment(zeros, torch.zeros(60).long(), posed, seeded_generator(11))
    expected = warp(first, inverse_affine(drawn(posed, 60, 11)))
    coarse, expected_coarse = (F.avg_pool2d(images, 4) for images in (found, expected))  # the blur of warping twice
    distances = (coarse.unsqueeze(1) - expected_coarse).abs().mean(dim=(2, 3, 4))  # (60, 60), each from each
    assert torch.equal(distances.argmin(dim=1), torch.arange(60))
    assert distances.diagonal().max() < 0.02

"""The batched augmentation, against torchvision's per-image one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from mnist_lab.config import AUGMENTATIONS, AugmentConfig
from mnist_lab.data.augment import (
    AffineDraw,
    after_fitting,
    augment,
    blur_matrix,
    carry,
    change_thickness,
    draw_affine,
    draw_bend,
    erase,
    inverse_affine,
    warp,
)
from mnist_lab.data.mnist import Digits
from mnist_lab.data.pixels import to_unit
from mnist_lab.data.randomness import seeded_generator

NONE = AugmentConfig().without(*AUGMENTATIONS)
STRONG = replace(NONE, rotation=40, shift=0.2, scale=0.3, shear=25, erasing=0.5, erase_area=(0.05, 0.3))
PENS = replace(NONE, elastic=0.03, thickness=0.8, strokes=1.0)


@pytest.fixture
def images(small: Digits) -> Tensor:
    return to_unit(small.images[:200])


@pytest.fixture
def labels(small: Digits) -> Tensor:
    return small.labels[:200]


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


@pytest.mark.parametrize(
    "config",
    [
        STRONG.only("rotation"),
        STRONG.only("affine"),
        replace(NONE, shift=0.2),
        replace(NONE, scale=0.3),
        replace(NONE, shear=25),
        STRONG,
    ],
    ids=["rotation", "affine", "shift", "scale", "shear", "all"],
)
def test_a_batch_is_warped_as_torchvision_warps_each_image(images: Tensor, config: AugmentConfig) -> None:
    draw = draw_affine(len(images), config, seeded_generator(1))
    found = warp(images, inverse_affine(draw))
    assert torch.allclose(found, by_torchvision(images, draw), atol=2e-4)
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
    augment(images, labels, STRONG, seeded_generator(1))
    assert len(calls) == 1
    augment(images, labels, replace(STRONG, elastic=0.03, thickness=0.8, strokes=1.0, flip=0.5), seeded_generator(1))
    assert len(calls) == 2


def test_every_sample_has_its_own_draw(images: Tensor, labels: Tensor) -> None:
    same = images[:1].expand(50, -1, -1, -1)
    out = augment(same, labels[:1].expand(50), STRONG.without("erasing"), seeded_generator(2))
    assert len({tuple(image.flatten().tolist()) for image in out}) == 50


def test_draws_fill_their_ranges_and_stay_inside() -> None:
    draw = draw_affine(20_000, STRONG, seeded_generator(3))
    for values, centre, limit in [
        (draw.angle, 0, 40),
        (draw.shift_x, 0, 0.2),
        (draw.shift_y, 0, 0.2),
        (draw.scale, 1, 0.3),
        (draw.shear, 0, 25),
    ]:
        offset = (values - centre) / limit
        assert offset.abs().max() <= 1 + 1e-6
        assert offset.max() > 0.99
        assert offset.min() < -0.99
        assert abs(float(offset.mean())) < 0.03
        assert abs(float(offset.std()) - 3**-0.5) < 0.02  # of a uniform distribution from -1 to 1


def test_background_stays_background(images: Tensor, labels: Tensor) -> None:
    assert torch.equal(augment(torch.zeros_like(images), labels, STRONG, seeded_generator(4)), torch.zeros_like(images))
    out = augment(images, labels, STRONG, seeded_generator(4))
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6
    for config in (PENS, replace(STRONG, elastic=0.03, thickness=0.8, strokes=1.0, flip=0.5)):
        out = augment(images, labels, config, seeded_generator(4))
        assert out.min() >= 0
        assert out.max() <= 1 + 1e-6
    nothing = augment(torch.zeros_like(images), labels, replace(PENS, strokes=0), seeded_generator(4))
    assert not nothing.any()
    mild = augment(images, labels, AugmentConfig(), seeded_generator(4))
    corners = mild[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.equal(corners, torch.zeros_like(corners))


def test_the_same_generator_gives_the_same_batch_and_the_input_is_left_alone(images: Tensor, labels: Tensor) -> None:
    before = images.clone()
    first, second = (augment(images, labels, STRONG, seeded_generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(images, before)
    first, second = (augment(images, labels, PENS, seeded_generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(images, before)


def test_everything_switched_off_changes_nothing(images: Tensor, labels: Tensor) -> None:
    off = replace(STRONG, elastic=0.03, thickness=0.8, strokes=1.0, flip=0.5).without(*AUGMENTATIONS)
    assert torch.equal(augment(images, labels, off, seeded_generator(6)), images)


def test_each_can_be_switched_off_by_itself() -> None:
    all_on = replace(STRONG, flip=0.1, elastic=0.03, thickness=0.8, strokes=1.0)
    assert all_on.without("rotation") == replace(all_on, rotation=0)
    assert all_on.without("affine") == replace(all_on, shift=0, scale=0, shear=0, flip=0)
    assert all_on.without("pen") == replace(all_on, elastic=0, thickness=0, strokes=0)
    assert all_on.without("erasing") == replace(all_on, erasing=0)
    assert all_on.only("erasing") == replace(NONE, erasing=0.5, erase_area=(0.05, 0.3))


def test_erasing_takes_one_rectangle_of_the_right_size_from_the_right_share() -> None:
    ones = torch.ones(4000, 1, 28, 28)
    erased = erase(ones, STRONG, seeded_generator(7))[:, 0] == 0  # (B, H, W)
    hit = erased.flatten(1).any(dim=1)
    assert abs(float(hit.float().mean()) - 0.5) < 0.03
    for mask in erased[hit][:500]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        height, width = int(rows.sum()), int(columns.sum())
        assert torch.equal(mask, rows.unsqueeze(1) & columns.unsqueeze(0))  # one filled rectangle
        assert rows.nonzero().max() - rows.nonzero().min() == height - 1
        assert columns.nonzero().max() - columns.nonzero().min() == width - 1
        assert 0.05 * 784 * 0.8 <= height * width <= 0.3 * 784 * 1.2  # sides are rounded to whole pixels
    covered = erased[hit].float().mean(dim=0)
    assert covered.min() > 0  # every place of the image is erased now and then


def test_a_mirrored_digit_is_the_picture_from_behind(images: Tensor, labels: Tensor) -> None:
    assert torch.allclose(
        augment(images, labels, replace(NONE, flip=1.0), seeded_generator(8)), images.flip(3), atol=1e-4
    )
    half = augment(images, labels, replace(NONE, flip=0.5), seeded_generator(8))
    mirrored = [torch.allclose(half[i], images[i].flip(2), atol=1e-4) for i in range(200)]
    kept = [torch.allclose(half[i], images[i], atol=1e-4) for i in range(200)]
    assert all(a or b for a, b in zip(mirrored, kept, strict=True))
    assert 70 < sum(mirrored) < 130


def test_bends_are_smooth_and_as_strong_as_asked() -> None:
    bend = draw_bend(torch.Size([4000, 1, 28, 28]), 0.02, seeded_generator(9)) / 2 * 28  # pixels
    assert bend.shape == (4000, 28, 28, 2)
    assert torch.allclose(bend.std(dim=0), torch.full((28, 28, 2), 0.02 * 28), rtol=0.06)
    assert bend.mean(dim=0).abs().max() < 0.05
    step = (bend[:, 1:] - bend[:, :-1]).std()  # neighbours move together
    assert step < 0.25 * 0.02 * 28
    across = torch.stack([bend[..., 0].flatten(), bend[..., 1].flatten()])
    assert abs(float(torch.corrcoef(across)[0, 1])) < 0.02  # x and y bend independently


def test_the_blur_is_the_papers_gaussian_on_a_coarse_grid() -> None:
    weights = blur_matrix(28)
    assert torch.allclose((weights**2).sum(dim=1), torch.ones(28))
    middle = weights[:, 3]  # of the knot in the middle of the side
    relative = torch.log(middle[14] / middle[10]) * (weights[14].norm() / weights[10].norm())
    expected = ((10 - 13.5) ** 2 - (14 - 13.5) ** 2) / (2 * (0.14 * 28) ** 2)
    assert abs(float(relative) - expected) < 0.15


def test_thickness_moves_towards_the_neighbours_extremes(images: Tensor) -> None:
    import numpy as np
    from scipy.ndimage import grey_dilation, grey_erosion

    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
    bold = change_thickness(images, torch.ones(len(images)))
    fine = change_thickness(images, -torch.ones(len(images)))
    for i in range(20):
        picture = images[i, 0].numpy()
        assert np.allclose(bold[i, 0], grey_dilation(picture, footprint=cross, mode="constant"))
        assert np.allclose(fine[i, 0], grey_erosion(picture, footprint=cross, mode="constant"))
    half = change_thickness(images, torch.full((len(images),), 0.5))
    assert torch.allclose(half, (images + bold) / 2, atol=1e-6)
    assert torch.equal(change_thickness(images, torch.zeros(len(images))), images)


def test_points_go_where_the_picture_goes() -> None:
    """A dot drawn into the picture and warped lies where its place is carried to."""
    count = 50
    places = torch.randint(9, 19, (count, 2), generator=seeded_generator(10))  # column, row
    dots = torch.zeros(count, 1, 28, 28)
    dots[torch.arange(count), 0, places[:, 1], places[:, 0]] = 1.0
    pose = draw_affine(
        count, replace(NONE, rotation=40, shift=0.1, scale=0.2, shear=20, flip=0.5), seeded_generator(11)
    )
    scale = 0.6 + 0.4 * torch.rand(count, generator=seeded_generator(12))
    centre = 0.2 * torch.randn(count, 2, generator=seeded_generator(13))
    inverse = after_fitting(inverse_affine(pose), scale, centre)
    start = (places + 0.5) / 14 - 1
    expected = carry(start.view(count, 1, 1, 2), inverse).view(count, 2)
    # The dot's centre of mass, in the same units, from a resampling fine enough to hold it.
    fine = torch.nn.functional.interpolate(dots, scale_factor=1.0)
    grid_x = (torch.arange(280) + 0.5) / 140 - 1
    grid = torch.nn.functional.affine_grid(inverse, [count, 1, 280, 280], align_corners=False)
    large = torch.nn.functional.grid_sample(fine, grid, align_corners=False)[:, 0]
    mass = large.sum(dim=(1, 2))
    found = torch.stack([(large.sum(dim=1) * grid_x).sum(dim=1), (large.sum(dim=2) * grid_x).sum(dim=1)], dim=1)
    inside = (expected.abs() < 0.85).all(dim=1)
    assert inside.sum() > 25
    assert torch.allclose(found[inside] / mass[inside].unsqueeze(1), expected[inside], atol=0.01)

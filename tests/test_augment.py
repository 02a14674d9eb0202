"""The batched augmentation, against torchvision's per-image one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from mnist_lab.augment import AffineDraw, augment, draw_affine, erase, inverse_affine, warp
from mnist_lab.config import AugmentConfig
from mnist_lab.data import Digits
from mnist_lab.pixels import to_unit
from mnist_lab.randomness import seeded_generator

STRONG = AugmentConfig(rotation=40, shift=0.2, scale=0.3, shear=25, erasing=0.5, erase_area=(0.05, 0.3))


@pytest.fixture
def images(small: Digits) -> Tensor:
    return to_unit(small.images[:200])


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
        AugmentConfig(rotation=0, shift=0.2, scale=0, shear=0),
        AugmentConfig(rotation=0, shift=0, scale=0.3, shear=0),
        AugmentConfig(rotation=0, shift=0, scale=0, shear=25),
        STRONG,
    ],
    ids=["rotation", "affine", "shift", "scale", "shear", "all"],
)
def test_a_batch_is_warped_as_torchvision_warps_each_image(images: Tensor, config: AugmentConfig) -> None:
    draw = draw_affine(len(images), config, seeded_generator(1))
    found = warp(images, inverse_affine(draw))
    assert torch.allclose(found, by_torchvision(images, draw), atol=2e-4)
    assert not torch.allclose(found, images, atol=0.1)


def test_rotation_and_affine_cost_one_resampling(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    real = torch.nn.functional.grid_sample

    def count(*arguments: Any, **options: Any) -> Tensor:
        calls.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "grid_sample", count)
    augment(images, STRONG, seeded_generator(1))
    assert len(calls) == 1


def test_every_sample_has_its_own_draw(images: Tensor) -> None:
    same = images[:1].expand(50, -1, -1, -1)
    out = augment(same, STRONG.without("erasing"), seeded_generator(2))
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


def test_background_stays_background(images: Tensor) -> None:
    assert torch.equal(augment(torch.zeros_like(images), STRONG, seeded_generator(4)), torch.zeros_like(images))
    out = augment(images, STRONG, seeded_generator(4))
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6
    mild = augment(images, AugmentConfig(), seeded_generator(4))
    corners = mild[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.equal(corners, torch.zeros_like(corners))


def test_the_same_generator_gives_the_same_batch_and_the_input_is_left_alone(images: Tensor) -> None:
    before = images.clone()
    first, second = (augment(images, STRONG, seeded_generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(images, before)


def test_everything_switched_off_changes_nothing(images: Tensor) -> None:
    off = STRONG.without("rotation", "affine", "erasing")
    assert torch.equal(augment(images, off, seeded_generator(6)), images)


def test_each_can_be_switched_off_by_itself() -> None:
    assert STRONG.without("rotation") == AugmentConfig(0, 0.2, 0.3, 25, 0.5, (0.05, 0.3))
    assert STRONG.without("affine") == AugmentConfig(40, 0, 0, 0, 0.5, (0.05, 0.3))
    assert STRONG.without("erasing") == AugmentConfig(40, 0.2, 0.3, 25, 0, (0.05, 0.3))
    assert STRONG.only("erasing") == AugmentConfig(0, 0, 0, 0, 0.5, (0.05, 0.3))


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

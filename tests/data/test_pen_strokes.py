"""The strokes that people add to their digits, drawn into MNIST's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from torch import Tensor

from mnist_lab.config import NO_AUGMENTATION
from mnist_lab.data.augment import augment
from mnist_lab.data.loader import seeded_generator
from mnist_lab.data.mnist import Mnist, to_unit
from mnist_lab.data.pen_strokes import BOX, FREQUENCIES, NARROWEST, STYLES, draw_strokes, fit_into_box, ink_of

STROKES = replace(NO_AUGMENTATION, strokes=1.0)


def some(mnist: Mnist, digit: int, count: int = 300) -> tuple[Tensor, Tensor]:
    """Training digits of one class, 0 to 1, and their labels."""
    chosen = torch.nonzero(mnist.train.labels == digit).flatten()[:count]
    return to_unit(mnist.train.images[chosen]), mnist.train.labels[chosen]


def holes(image: Tensor) -> int:
    """Regions of background that ink encloses."""
    _, regions = label(image.numpy() < 0.4)
    return int(regions) - 1


def test_only_zeros_ones_and_sevens_get_strokes(mnist: Mnist) -> None:
    for digit in range(10):
        images, labels = some(mnist, digit)
        changed = (augment(images, labels, STROKES, seeded_generator(1)) - images).abs().flatten(1).amax(dim=1) > 0.3
        if digit in STYLES:
            ink = images[:, 0] > 0.3
            width, height = (ink.any(dim=side).sum(dim=1) - 1 for side in (1, 2))
            suits = (images.mean(dim=(1, 2, 3)) < 0.16) & ((labels != 0) | (width >= NARROWEST * height))
            assert float(changed[suits].float().mean()) == pytest.approx(0.97 * float(FREQUENCIES[digit]), abs=0.07)
            assert not changed[~suits].any()
        else:
            assert not changed.any()


def test_a_fraction_of_them_is_chosen(mnist: Mnist) -> None:
    images, labels = some(mnist, 1, 3000)
    strokes = draw_strokes(images, labels, 0.2, seeded_generator(2))
    assert len(strokes.where) / 3000 == pytest.approx(0.2 * float(FREQUENCIES[1]), abs=0.02)
    assert not len(draw_strokes(images, labels, 0.0, seeded_generator(2)).where)


def test_a_slash_cuts_the_hole_of_a_zero(mnist: Mnist) -> None:
    images, labels = some(mnist, 0, 600)
    open_zeros = [i for i in range(len(images)) if holes(images[i, 0]) == 1 and images[i].mean() < 0.13]
    images, labels = images[open_zeros], labels[open_zeros]
    strokes = draw_strokes(images, labels, 1.0, seeded_generator(3))
    drawn = torch.maximum(images[strokes.where, 0], ink_of(strokes.lines, strokes.width, 28, 28))
    assert len(drawn) > 40
    assert np.mean([holes(picture) > 1 for picture in drawn]) > 0.6  # one at the side of a narrow zero leaves one hole


def test_nine_in_ten_slashes_rise_to_the_right(mnist: Mnist) -> None:
    images, labels = some(mnist, 0, 1500)
    strokes = draw_strokes(images, labels, 1.0, seeded_generator(7))
    drawn = ink_of(strokes.lines, strokes.width, 28, 28)  # the slashes alone
    place = torch.arange(28) - 13.5
    x, y = ((drawn.sum(dim=side) * place).sum(dim=1) / drawn.sum(dim=(1, 2)) for side in (1, 2))
    covariance = torch.einsum("kyx,ky,kx->k", drawn, place - y.unsqueeze(1), place - x.unsqueeze(1))
    assert len(drawn) > 200
    assert float((covariance < 0).float().mean()) == pytest.approx(0.9, abs=0.05)  # y grows downwards


def test_no_one_gets_a_flag_that_makes_it_a_seven(mnist: Mnist) -> None:
    images, labels = some(mnist, 1, 3000)
    strokes = draw_strokes(images, labels, 10.0, seeded_generator(5))
    (flag_x, flag_y), (base_x, _) = (strokes.lines[:, which, 1].T - strokes.lines[:, which, 0].T for which in (0, 1))
    length = torch.hypot(flag_x, flag_y) / strokes.frame.size[:, 1]
    is_flagged, is_based = length > 0.01, base_x.abs() > 0.01
    assert (is_flagged | is_based).all()
    assert 0.6 < float(is_flagged.float().mean()) < 0.8
    steepness = torch.rad2deg(torch.atan2(flag_y, -flag_x))[is_flagged]
    assert 39.9 < float(steepness.min()) < 45
    assert 65 < float(steepness.max()) < 70.1
    assert float(length[~is_based].max()) < 0.201
    assert 0.3 < float(length[is_based].max()) < 0.351


def test_all_ink_lies_in_the_box_again(mnist: Mnist) -> None:
    for digit in STYLES:
        images, labels = some(mnist, digit, 800)
        strokes = draw_strokes(images, labels, 1.0, seeded_generator(4))
        scale, centre = fit_into_box(strokes, len(images))
        assert scale.max() <= 1
        ends = (strokes.lines.flatten(1, 2) - centre[strokes.where].unsqueeze(1)) * scale[strokes.where].view(-1, 1, 1)
        assert ends.abs().max() <= BOX / 2
        untouched = torch.ones(len(images), dtype=torch.bool).index_fill(0, strokes.where, False)
        assert (scale[untouched] == 1).all()
        assert not centre[untouched].any()
        out = augment(images, labels, STROKES, seeded_generator(4))
        changed = out[(out - images).abs().flatten(1).amax(dim=1) > 0.3]
        assert len(changed) > 20
        assert changed[:, :, [0, 1, -2, -1]].max() < 0.5  # nothing is cut off at the border
        assert changed[..., [0, 1, -2, -1]].max() < 0.5
        for side in (1, 2):  # and it lies in the middle
            seen = (changed[:, 0] > 0.3).any(dim=side)
            middles = [torch.nonzero(line).double().aminmax() for line in seen]
            assert max(abs(float(ends.min + ends.max) / 2 - 13.5) for ends in middles) < 1.2


def test_a_frame_is_where_the_ink_is() -> None:
    """A one with a tick at its top and a shorter one below; and a blank, whose frame is a point in the middle."""
    ones = torch.zeros(2, 1, 28, 28)
    ones[0, 0, 4:24, 10:13] = 1.0
    ones[0, 0, 4:6, 13:15] = 1.0
    ones[0, 0, 22:24, 13] = 1.0
    strokes = draw_strokes(ones, torch.ones(2).long(), 100.0, seeded_generator(6))
    assert strokes.where.tolist() == [0, 1]
    frame = strokes.frame
    assert [*frame.low[0].tolist(), *frame.high[0].tolist()] == [10 - 13.5, 4 - 13.5, 14 - 13.5, 23 - 13.5]
    assert float(frame.bottom_x[0]) == pytest.approx((3 * 11 + 8 * 11.5) / 11 - 13.5)
    assert float(frame.middle_x[0]) == pytest.approx(11 - 13.5)
    assert float(frame.top_x[0]) == pytest.approx((3 * 11 + 10 * 12) / 13 - 13.5)
    assert not any(value[1].any() for value in frame)


def test_lines_are_drawn_as_wide_as_asked() -> None:
    lines = torch.tensor([[[[-8.0, 0.0], [8.0, 0.0]]], [[[0.0, -8.0], [0.0, 8.0]]]])  # level, upright
    drawn = ink_of(lines, torch.tensor([2.0, 3.0]), 28, 28)
    assert drawn[0, :, 14].sum() == pytest.approx(2.0, abs=0.01)  # coverage across the line adds up to its width
    assert drawn[1, 14].sum() == pytest.approx(3.0, abs=0.01)
    assert drawn[0].sum() == pytest.approx(2.0 * 16 + torch.pi * 1.0**2, abs=0.5)  # with two half round ends
    assert drawn.min() == 0
    assert drawn.max() == 1

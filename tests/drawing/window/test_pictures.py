"""Pictures of the window as plain pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mnist_lab.drawing.window.pictures import coloured, disc, enlarged, mounted, ppm, rgb, tick_box


def test_maps_lie_over_the_picture_in_blue_and_vermilion() -> None:
    picture = np.zeros((28, 28), dtype=np.uint8)
    picture[10:20, 14] = 255
    plain = coloured(picture)
    assert plain.shape == (28, 28, 3)
    assert (plain == picture[..., np.newaxis]).all()
    saliency = np.zeros((28, 28), dtype=np.float32)
    saliency[0, :10], saliency[1, :10], saliency[2, 0] = 4.0, -4.0, np.nan
    covered = coloured(picture, saliency)
    assert covered[0, 0].tolist() == [0x56, 0xB4, 0xE9]
    assert covered[1, 0].tolist() == [0xD5, 0x5E, 0x00]
    assert covered[2, 0].tolist() == covered[27, 27].tolist() == [0, 0, 0]
    assert 100 < covered[15, 14, 0] < 255
    flat = coloured(picture, np.zeros((28, 28), dtype=np.float32))
    assert (flat[picture == 0] == 0).all()


def test_pictures_are_enlarged_without_blur() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(pixels, 3)
    assert large.shape == (6, 6, 3)
    assert np.array_equal(large[1::3, 1::3], pixels)
    assert np.array_equal(large[::3, ::3], large[2::3, 2::3])
    assert ppm(pixels) == b"P6 2 2 255 " + bytes(range(12))


def test_a_spot_is_round_and_smooth() -> None:
    spot = disc(20, 16, "#000000", "#FFFFFF").astype(float)
    assert (255 - spot[..., 0]).sum() / 255 == pytest.approx(math.pi * 8**2, rel=0.01)
    assert np.array_equal(spot, spot[::-1])
    assert len(np.unique(spot)) > 4


@pytest.mark.parametrize(("height", "width", "zoom"), [(28, 28, 3), (20, 20, 4), (40, 10, 2), (84, 84, 1), (1, 1, 84)])
def test_small_pictures_are_mounted_sharp(height: int, width: int, zoom: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    square = mounted(picture, 86)
    assert square.shape == (86, 86, 3)
    top, left = (86 - zoom * height) // 2, (86 - zoom * width) // 2
    inside = square[top : top + zoom * height, left : left + zoom * width]
    assert np.array_equal(inside, np.kron(picture, np.ones((zoom, zoom), np.uint8))[..., np.newaxis].repeat(3, axis=2))
    for line in (square[top - 1, left], square[top, left - 1], square[top + zoom * height, left]):
        assert line.tolist() == rgb("#D5DAE1").tolist()


@pytest.mark.parametrize(("height", "width"), [(280, 280), (200, 50), (87, 90)])
def test_large_pictures_are_mounted_whole(height: int, width: int) -> None:
    picture = np.zeros((height, width), dtype=np.uint8)
    picture[: height // 2] = 200
    square = mounted(picture, 86)
    shown = round(width * 84 / max(height, width))
    left = (86 - shown) // 2
    tall = round(height * 84 / max(height, width))
    top = (86 - tall) // 2
    assert (square[top + 1, left : left + shown] == 200).all()
    assert (square[top + tall - 2, left : left + shown] == 0).all()
    inside = square[top : top + tall, left : left + shown, 0]
    assert inside.mean() == pytest.approx(picture.mean(), abs=1)


@pytest.mark.parametrize("side", [10, 14, 35, 70])
def test_a_box_is_ticked_in_white_on_blue(side: int) -> None:
    empty, ticked = tick_box(side, is_ticked=False).astype(int), tick_box(side, is_ticked=True).astype(int)
    assert empty.shape == ticked.shape == (side, side, 3)
    assert (empty[side // 2, side // 2] == 255).all()
    assert ticked[0, 0].tolist() == rgb("#0072B2").tolist()
    assert ticked[round(0.68 * side), round(0.43 * side)].min() > 150  # where the tick turns
    assert 0.05 < (ticked[..., 0] > 128).mean() < 0.35

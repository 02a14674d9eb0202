"""From a picture of paper to its ink: whatever the paper, the pen and the light, and nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_lab.drawing.images import read_picture
from mnist_lab.drawing.preprocess import to_mnist


def seven(size: tuple[int, int] = (200, 300), ink: int = 0, paper: int = 255) -> Image.Image:
    """A picture of a seven."""
    image = Image.new("L", size, paper)
    width, height = size
    corners = [(0.25 * width, 0.2 * height), (0.75 * width, 0.2 * height), (0.4 * width, 0.8 * height)]
    ImageDraw.Draw(image).line(corners, fill=ink, width=width // 12, joint="curve")
    return image


INK = float((np.asarray(seven()) < 128).mean())
"""The fraction of a picture that the seven covers."""


def inked(path: Path) -> float:
    return float((read_picture(path) < 128).mean())


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 200), (130, 90)])
def test_dark_on_light_and_light_on_dark_come_out_alike(tmp_path: Path, ink: int, paper: int) -> None:
    seven(ink=ink, paper=paper).save(tmp_path / "x.png")
    picture = read_picture(tmp_path / "x.png")
    assert picture.dtype == np.uint8
    assert picture.shape == (300, 200)
    assert (picture[0, 0], picture.min(), picture.max()) == (255, 0, 255)
    assert inked(tmp_path / "x.png") == pytest.approx(INK, rel=0.03)


@pytest.mark.parametrize("ink", [0, 255])
def test_transparency_is_paper(tmp_path: Path, ink: int) -> None:
    mask = Image.eval(seven(), lambda level: 255 - level)
    image = Image.new("RGBA", mask.size, (ink, ink, ink, 0))
    image.putalpha(mask)
    image.save(tmp_path / "x.png")
    assert inked(tmp_path / "x.png") == pytest.approx(INK, rel=0.03)


def test_a_photograph_with_shadow_and_grain_keeps_its_ink_only(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    paper = np.linspace(150, 200, 300)[:, None] + random.normal(0, 4, (300, 200))
    ink = 1 - np.asarray(seven(), dtype=float) / 255
    Image.fromarray(np.clip(paper * (1 - 0.8 * ink), 0, 255).astype(np.uint8)).save(tmp_path / "x.jpg", quality=80)
    assert inked(tmp_path / "x.jpg") == pytest.approx(INK, rel=0.1)
    prepared = to_mnist(read_picture(tmp_path / "x.jpg"))
    assert prepared is not None
    assert prepared[:2].max() == 0  # nothing of the shadow is left to disturb the box


@pytest.mark.parametrize(("right", "down", "ink"), [(60, 0, 30), (-90, 30, 250), (40, -80, 30)])
def test_a_lamp_at_one_side_is_not_ink(tmp_path: Path, right: int, down: int, ink: int) -> None:
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 200), np.linspace(-0.5, 0.5, 300))
    paper = (150 if ink < 128 else 90) + right * x + down * y
    drawn = np.asarray(seven()) < 128
    Image.fromarray(np.where(drawn, ink, paper).astype(np.uint8)).save(tmp_path / "x.jpg", quality=90)
    picture = read_picture(tmp_path / "x.jpg")
    assert float((picture < 128).mean()) == pytest.approx(INK, rel=0.1)
    assert (picture[~drawn] < 128).mean() < 0.01


def test_ink_that_fills_the_picture_may_reach_its_edge(tmp_path: Path) -> None:
    image = seven().crop((30, 60, 170, 240))
    image.save(tmp_path / "x.png")
    assert ((read_picture(tmp_path / "x.png") < 128) != (np.asarray(image) < 128)).mean() < 0.01


def test_blank_and_tiny_pictures_are_blank(tmp_path: Path) -> None:
    for size in ((1, 1), (1, 50), (3, 2)):
        Image.new("L", size, 255).save(tmp_path / "x.png")
        assert to_mnist(read_picture(tmp_path / "x.png")) is None
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(230, 240, (100, 100), dtype=np.uint8)).save(tmp_path / "x.png")
    assert to_mnist(read_picture(tmp_path / "x.png")) is None

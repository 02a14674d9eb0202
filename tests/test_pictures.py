"""Pictures from files: any size and colours, and files that are none."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_lab.drawing import to_mnist
from mnist_lab.pictures import PictureError, read_picture, threshold


def seven(size: tuple[int, int] = (200, 300), ink: int = 0, paper: int = 255) -> Image.Image:
    """A picture of a seven."""
    image = Image.new("L", size, paper)
    width, height = size
    corners = [(0.25 * width, 0.2 * height), (0.75 * width, 0.2 * height), (0.4 * width, 0.8 * height)]
    ImageDraw.Draw(image).line(corners, fill=ink, width=width // 12, joint="curve")
    return image


def ink_share(path: Path) -> float:
    return float((read_picture(path) < 128).mean())


@pytest.fixture
def plain_share(tmp_path: Path) -> float:
    seven().save(tmp_path / "plain.png")
    return ink_share(tmp_path / "plain.png")


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 200), (200, 60), (90, 130)])
def test_dark_on_light_and_light_on_dark_come_out_alike(
    tmp_path: Path, plain_share: float, ink: int, paper: int
) -> None:
    seven(ink=ink, paper=paper).save(tmp_path / "x.png")
    picture = read_picture(tmp_path / "x.png")
    assert picture.dtype == np.uint8
    assert picture.shape == (300, 200)
    assert (picture[0, 0], picture.min(), picture.max()) == (255, 0, 255)
    assert ink_share(tmp_path / "x.png") == pytest.approx(plain_share, rel=0.03)


@pytest.mark.parametrize("ink", [0, 255])
def test_transparency_is_paper(tmp_path: Path, plain_share: float, ink: int) -> None:
    mask = Image.eval(seven(), lambda level: 255 - level)
    image = Image.new("RGBA", mask.size, (ink, ink, ink, 0))
    image.putalpha(mask)
    image.save(tmp_path / "x.png")
    assert ink_share(tmp_path / "x.png") == pytest.approx(plain_share, rel=0.03)


def test_a_photograph_with_shadow_and_grain_keeps_its_ink_only(tmp_path: Path, plain_share: float) -> None:
    random = np.random.default_rng(0)
    paper = np.linspace(150, 200, 300)[:, None] + random.normal(0, 4, (300, 200))
    ink = 1 - np.asarray(seven(), dtype=float) / 255
    Image.fromarray(np.clip(paper * (1 - 0.8 * ink), 0, 255).astype(np.uint8)).save(tmp_path / "x.jpg", quality=80)
    picture = read_picture(tmp_path / "x.jpg")
    assert float((picture < 128).mean()) == pytest.approx(plain_share, rel=0.1)
    prepared = to_mnist(picture)
    assert prepared is not None
    assert prepared[:2].max() == 0  # nothing of the shadow is left to disturb the box


@pytest.mark.parametrize(("right", "down"), [(60, 0), (-90, 30), (40, -80)])
@pytest.mark.parametrize("ink", [30, 250])
def test_a_lamp_at_one_side_is_no_ink(tmp_path: Path, plain_share: float, right: int, down: int, ink: int) -> None:
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 200), np.linspace(-0.5, 0.5, 300))
    paper = (150 if ink < 128 else 90) + right * x + down * y
    drawn = np.asarray(seven()) < 128
    Image.fromarray(np.where(drawn, ink, paper).astype(np.uint8)).save(tmp_path / "x.jpg", quality=90)
    picture = read_picture(tmp_path / "x.jpg")
    assert float((picture < 128).mean()) == pytest.approx(plain_share, rel=0.1)
    assert (picture[~drawn] < 128).mean() < 0.01


def test_ink_that_reaches_the_border_does_not_tilt_the_paper(tmp_path: Path) -> None:
    image = Image.new("L", (100, 100), 230)
    ImageDraw.Draw(image).rectangle((40, 0, 60, 99), fill=20)
    image.save(tmp_path / "x.png")
    picture = read_picture(tmp_path / "x.png")
    assert (picture[:, 45:55] == 0).all()
    assert (picture[:, :35] == 255).all()
    assert (picture[:, 65:] == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "I;16"])
def test_every_kind_of_pixel_is_understood(tmp_path: Path, plain_share: float, mode: str) -> None:
    name = tmp_path / ("x.tif" if mode in ("CMYK", "I;16") else "x.png")
    if mode == "I;16":
        Image.fromarray(np.asarray(seven(), dtype=np.uint16) * 257).save(name)
    else:
        seven().convert(mode).save(name)
    assert ink_share(name) == pytest.approx(plain_share, rel=0.05)


def test_one_pixel_wide_and_tiny_pictures_are_taken(tmp_path: Path) -> None:
    for size in ((1, 1), (1, 50), (3, 2)):
        Image.new("L", size, 255).save(tmp_path / "x.png")
        assert to_mnist(read_picture(tmp_path / "x.png")) is None


def test_blank_paper_is_blank(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(230, 240, (100, 100), dtype=np.uint8)).save(tmp_path / "x.png")
    assert to_mnist(read_picture(tmp_path / "x.png")) is None


def test_an_animation_gives_its_first_frame(tmp_path: Path, plain_share: float) -> None:
    frames = [seven(), Image.new("L", (200, 300), 255)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert ink_share(tmp_path / "x.gif") == pytest.approx(plain_share, rel=0.05)


def test_a_photograph_lying_on_its_side_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn clockwise
    seven().rotate(90, expand=True).save(tmp_path / "x.jpg", exif=exif, quality=95)
    seven().save(tmp_path / "upright.png")
    turned, upright = read_picture(tmp_path / "x.jpg"), read_picture(tmp_path / "upright.png")
    assert turned.shape == upright.shape
    assert float(np.abs(turned.astype(int) - upright).mean()) < 3


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG with nothing but a header."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = b""
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("text.png", b"this is no picture\n" * 10, "can't be read as a picture"),
        ("empty.png", b"", "can't be read as a picture"),
        ("huge.png", png_that_claims(30_000, 30_000), "more than 50,000,000 pixels"),
        ("large.png", png_that_claims(9_000, 9_000), "9,000 x 9,000, more than 50,000,000 pixels"),
        ("header.png", png_that_claims(100, 100), "can't be read as a picture"),
    ],
    ids=["text", "empty", "huge", "large", "header"],
)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / name)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_and_missing_files_are_refused(tmp_path: Path) -> None:
    seven((800, 800)).save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PictureError, match="can't be read as a picture"):
        read_picture(tmp_path / "x.png")
    with pytest.raises(PictureError, match="there is no file"):
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(PictureError):
        read_picture(tmp_path)


def test_the_threshold_parts_two_heaps() -> None:
    random = np.random.default_rng(0)
    ink = np.concatenate([random.normal(0.1, 0.03, 900), random.normal(0.8, 0.05, 100)]).clip(0, 1)
    assert 0.2 < threshold(ink) < 0.65

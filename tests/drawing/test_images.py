"""Pictures from files: any size and colours, and files that are none, or hostile."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_lab.drawing import images
from mnist_lab.drawing.images import PictureError, read_picture
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


# --- what is read ------------------------------------------------------------------------------------------------


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


def test_ink_that_reaches_the_border_does_not_tilt_the_paper(tmp_path: Path) -> None:
    image = Image.new("L", (100, 100), 230)
    ImageDraw.Draw(image).rectangle((75, 0, 99, 25), fill=20)  # a corner of the paper
    image.save(tmp_path / "x.png")
    assert np.array_equal(read_picture(tmp_path / "x.png"), np.where(np.asarray(image) < 128, 0, 255))


def test_every_kind_of_pixel_is_understood(tmp_path: Path) -> None:
    for mode in ("1", "L", "P", "RGB", "CMYK"):
        name = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
        seven().convert(mode).save(name)
        assert inked(name) == pytest.approx(INK, rel=0.05), mode
    frames = [seven(), Image.new("L", (200, 300), 255)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert inked(tmp_path / "x.gif") == pytest.approx(INK, rel=0.05)  # an animation gives its first frame


@pytest.mark.parametrize(
    ("name", "kind", "white"),
    [
        ("x.png", "uint16", 65_535),
        ("x.tif", "uint16", 65_535),
        ("x.tif", "int32", 1_000),
        ("x.tif", "int32", 2**31 - 1),
        ("x.tif", "float32", 1),
        ("x.tif", "float32", 1e30),
    ],
)
def test_pixels_of_many_bits_are_scaled(tmp_path: Path, name: str, kind: str, white: float) -> None:
    for ink, paper in ((40, 220), (220, 40)):
        grey = np.asarray(seven(ink=ink, paper=paper), dtype=np.float64) / 255
        Image.fromarray((white * grey).astype(kind)).save(tmp_path / name)
        assert inked(tmp_path / name) == pytest.approx(INK, rel=0.05)
    grain = np.random.default_rng(0).normal(0.9, 0.01, (100, 100))
    Image.fromarray((white * grain).astype(kind)).save(tmp_path / name)
    assert (read_picture(tmp_path / name) == 255).all()  # blank paper, however fine its steps are


def test_whole_numbers_without_a_sign_reach_further(tmp_path: Path) -> None:
    grey = np.asarray(seven(ink=40, paper=220), dtype=np.uint32) * 16_843_009
    Image.fromarray(grey.view(np.int32)).save(tmp_path / "x.tif", tiffinfo={339: 1})  # SampleFormat: unsigned
    assert inked(tmp_path / "x.tif") == pytest.approx(INK, rel=0.05)


def test_what_is_not_a_number_is_not_ink(tmp_path: Path) -> None:
    for value in (np.nan, np.inf, -np.inf):
        grey = np.asarray(seven(), dtype=np.float32) / 255
        grey[10:20] = value
        Image.fromarray(grey).save(tmp_path / "x.tif")
        assert inked(tmp_path / "x.tif") == pytest.approx(INK, rel=0.05)
        Image.fromarray(np.full_like(grey, value)).save(tmp_path / "x.tif")
        assert (read_picture(tmp_path / "x.tif") == 255).all()


@pytest.mark.parametrize(("name", "mode"), [("x.png", "L"), ("x.jpg", "RGB"), ("x.tif", "I;16")])
def test_a_large_picture_is_shrunk_strip_by_strip(
    tmp_path: Path, name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "STRIP", 500_000)
    large = seven((2_801, 4_202))
    image = Image.fromarray(np.asarray(large).astype(np.uint16) * 257) if mode == "I;16" else large.convert(mode)
    image.save(tmp_path / name)
    picture = read_picture(tmp_path / name)
    assert picture.shape == (1000, 667)
    expected = np.asarray(large.resize((667, 1000), Image.Resampling.BOX), dtype=float)
    assert np.abs(picture - expected).mean() < 3


def test_photographs_are_turned_as_the_camera_was_held(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    seven().rotate(90, expand=True).save(tmp_path / "x.jpg", exif=exif, quality=95)
    seven().save(tmp_path / "upright.png")
    turned, upright = read_picture(tmp_path / "x.jpg"), read_picture(tmp_path / "upright.png")
    assert turned.shape == upright.shape
    assert float(np.abs(turned.astype(int) - upright).mean()) < 3
    Image.new("RGB", (60_000, 3), "white").save(tmp_path / "x.png", exif=exif)
    assert read_picture(tmp_path / "x.png").shape == (1000, 1)


def test_blank_and_tiny_pictures_are_blank(tmp_path: Path) -> None:
    for size in ((1, 1), (1, 50), (3, 2)):
        Image.new("L", size, 255).save(tmp_path / "x.png")
        assert to_mnist(read_picture(tmp_path / "x.png")) is None
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(230, 240, (100, 100), dtype=np.uint8)).save(tmp_path / "x.png")
    assert to_mnist(read_picture(tmp_path / "x.png")) is None


# --- what is refused ---------------------------------------------------------------------------------------------


def png_that_claims(width: int, height: int, content: bytes = b"") -> bytes:
    """A PNG with hardly more than a header."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (b"IHDR" + header, b"IDAT" + content, b"IEND")
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiled_tiff(side: int, tile: int) -> bytes:
    """A TIFF of one small tile that claims to be large."""
    data = zlib.compress(b"\0" * 1000)
    tags = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 8, 325: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"this is no picture\n" * 10, "can't be read as a picture"),
        (b"", "x.png is empty"),
        (png_that_claims(20_001, 20_000), "more than 400,000,000 pixels"),
        (png_that_claims(30_000, 30_000), "more than 400,000,000 pixels"),
        (png_that_claims(1, 399_999_999), "a side is longer than 100,000 pixels"),
        (png_that_claims(9_000, 9_000, zlib.compress(b"")), "can't be read as a picture (image file is truncated"),
        (tiled_tiff(10, 46_000), "a tile has more than 400,000,000 pixels"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is an iPhone photo (HEIC), which can't be read; export"),
        (b"%PDF-1.7\n", "is a document, not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is a document, not a picture"),
    ],
    ids=["text", "empty", "large", "huge", "long", "header", "tile", "heic", "pdf", "eps"],
)
def test_what_is_not_a_picture_is_refused_in_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "x.png")
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
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(PictureError, match="is not a regular file"):  # instead of waiting for a writer
            read_picture(tmp_path / "pipe")


def test_a_jpeg_that_goes_over_its_pixels_again_and_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jpg"
    seven().save(path, progressive=True)
    read_picture(path)
    content = path.read_bytes()
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + 50 * last_scan + content[-2:])
    monkeypatch.setattr(images, "MOST_SCANNED", 50 * 200 * 300)
    with pytest.raises(PictureError, match=r"it goes over its pixels \d\d times"):
        read_picture(path)


def test_the_remarks_of_decoders_stay_off_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tif").write_bytes(tiled_tiff(10, 3000))
    with pytest.raises(PictureError, match="can't be read as a picture"):
        read_picture(tmp_path / "x.tif")
    assert capfd.readouterr().err == ""
    os.write(2, b"still heard")
    assert capfd.readouterr().err == "still heard"

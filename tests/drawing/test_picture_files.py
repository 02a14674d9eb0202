"""Pictures from files: any size and colours, and files that are none, or hostile."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_lab.drawing import picture_files
from mnist_lab.drawing.images import read_picture
from mnist_lab.drawing.picture_files import PictureError
from tests.drawing.test_images import INK, inked, seven

# --- what is read ------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(picture_files, "STRIP", 500_000)
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
    monkeypatch.setattr(picture_files, "MOST_SCANNED", 50 * 200 * 300)
    with pytest.raises(PictureError, match=r"it goes over its pixels \d\d times"):
        read_picture(path)


def test_the_remarks_of_decoders_stay_off_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tif").write_bytes(tiled_tiff(10, 3000))
    with pytest.raises(PictureError, match="can't be read as a picture"):
        read_picture(tmp_path / "x.tif")
    assert capfd.readouterr().err == ""
    os.write(2, b"still heard")
    assert capfd.readouterr().err == "still heard"

"""Pictures from files: any size and colours, and files that are none."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_lab.drawing import images as pictures
from mnist_lab.drawing.images import PictureError, read_picture, threshold
from mnist_lab.drawing.preprocess import to_mnist


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


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_every_kind_of_pixel_is_understood(tmp_path: Path, plain_share: float, mode: str) -> None:
    name = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    seven().convert(mode).save(name)
    assert ink_share(name) == pytest.approx(plain_share, rel=0.05)


@pytest.mark.parametrize(
    ("suffix", "kind", "white"),
    [
        ("png", "uint16", 65_535),
        ("tif", "uint16", 65_535),
        ("tif", "int32", 255),
        ("tif", "int32", 1_000),
        ("tif", "int32", 2**31 - 1),
        ("tif", "float32", 1),
        ("tif", "float32", 255),
        ("tif", "float32", 65_535),
        ("tif", "float32", 1e30),
    ],
)
def test_pixels_of_many_bits_are_scaled(
    tmp_path: Path, plain_share: float, suffix: str, kind: str, white: float
) -> None:
    name = tmp_path / f"x.{suffix}"
    for ink, paper in ((40, 220), (220, 40)):
        grey = np.asarray(seven(ink=ink, paper=paper), dtype=np.float64) / 255
        Image.fromarray((white * grey).astype(kind)).save(name)
        assert ink_share(name) == pytest.approx(plain_share, rel=0.05)
    grain = np.random.default_rng(0).normal(0.9, 0.01, (100, 100))
    Image.fromarray((white * grain).astype(kind)).save(name)
    assert (read_picture(name) == 255).all()  # blank paper, however fine its steps are


def test_whole_numbers_without_a_sign_reach_further(tmp_path: Path, plain_share: float) -> None:
    grey = np.asarray(seven(ink=40, paper=220), dtype=np.uint32) * 16_843_009
    Image.fromarray(grey.view(np.int32)).save(tmp_path / "x.tif", tiffinfo={339: 1})  # SampleFormat: unsigned
    assert ink_share(tmp_path / "x.tif") == pytest.approx(plain_share, rel=0.05)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_ink(tmp_path: Path, plain_share: float, value: float) -> None:
    grey = np.asarray(seven(), dtype=np.float32) / 255
    grey[10:20] = value
    Image.fromarray(grey).save(tmp_path / "x.tif")
    assert ink_share(tmp_path / "x.tif") == pytest.approx(plain_share, rel=0.05)
    Image.fromarray(np.full_like(grey, value)).save(tmp_path / "x.tif")
    assert (read_picture(tmp_path / "x.tif") == 255).all()


@pytest.mark.parametrize(("name", "mode"), [("x.png", "L"), ("x.jpg", "RGB"), ("x.tif", "I;16")])
def test_a_large_picture_is_shrunk_while_it_is_read(tmp_path: Path, plain_share: float, name: str, mode: str) -> None:
    large = seven((7_001, 10_502))  # more than 70 million pixels
    image = Image.fromarray(np.asarray(large).astype(np.uint16) * 257) if mode == "I;16" else large.convert(mode)
    image.save(tmp_path / name)
    picture = read_picture(tmp_path / name)
    assert picture.shape == (1000, 667)
    assert float((picture < 128).mean()) == pytest.approx(plain_share, rel=0.05)


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


def test_a_long_strip_is_shrunk_and_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60_000, 3), "white").save(tmp_path / "x.png", exif=exif)
    assert read_picture(tmp_path / "x.png").shape == (1000, 1)


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
        ("empty.png", b"", "empty.png is empty"),
        ("huge.png", png_that_claims(30_000, 30_000), "more than 400,000,000 pixels"),
        ("larger.png", png_that_claims(20_001, 20_000), "more than 400,000,000 pixels"),
        ("large.png", png_that_claims(9_000, 9_000), "can't be read as a picture (image file is truncated"),
        ("header.png", png_that_claims(100, 100), "can't be read as a picture"),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is an iPhone photo (HEIC), which can't be read; export"),
        ("page.png", b"%PDF-1.7\n", "is a PDF document, not a picture"),
        ("x.gif", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is a PostScript document, not a picture"),
    ],
    ids=["text", "empty", "huge", "larger", "large", "header", "heic", "pdf", "eps"],
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


def png_header(width: int, height: int) -> bytes:
    """A PNG file without any pixels that claims to have many."""
    parts = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT", b"IEND")
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiled_tiff(side: int, tile: int) -> bytes:
    """A TIFF file of one small tile that claims to be large."""
    data = zlib.compress(b"\0" * 1000)
    tags = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 8, 325: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png_header(1, 399_999_999), "a side is longer than 100,000 pixels"),
        (png_header(399_999_999, 1), "a side is longer than 100,000 pixels"),
        (tiled_tiff(10, 46_000), "a tile has more than 400,000,000 pixels"),
    ],
)
def test_what_takes_more_memory_than_its_pixels_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(PictureError, match=expected):
        read_picture(tmp_path / "x.png")


def test_a_jpeg_that_goes_over_its_pixels_again_and_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jpg"
    seven().save(path, progressive=True)
    read_picture(path)
    content = path.read_bytes()
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + 50 * last_scan + content[-2:])
    monkeypatch.setattr(pictures, "MOST_SCANNED", 50 * 200 * 300)
    with pytest.raises(PictureError, match=r"it goes \d\d times over its pixels"):
        read_picture(path)


def test_the_remarks_of_decoders_stay_off_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tif").write_bytes(tiled_tiff(10, 3000))
    with pytest.raises(PictureError, match="can't be read as a picture"):
        read_picture(tmp_path / "x.tif")
    assert capfd.readouterr().err == ""

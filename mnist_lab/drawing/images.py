"""Pictures from files, of whatever size and colours, as black ink on white.

The files are not trusted: only ``_FORMATS`` of bounded size are decoded, and whatever can't be read ends in one line.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_lab.drawing.preprocess import Picture
from mnist_lab.errors import LabError
from mnist_lab.storage import LARGEST_FILE, open_file, reason

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # Pillow knows more, but starts Ghostscript for some
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands that iPhones write after ftyp
_ORIENTATION, _BITS_PER_SAMPLE, _SAMPLE_FORMAT, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 258, 339, 322, 323  # TIFF/Exif tags
# The largest picture that is decoded; the largest cameras have 200 million pixels. With 20,000 x 20,000 pixels, at most
# 1.6 GB of memory (colour; 0.5 GB for greys of eight bits) and 6 seconds were measured.
_MOST_PIXELS = 400_000_000
Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
_LONGEST_SIDE = 100_000  # pixels; Pillow keeps an address for each row: for thin pictures, many times their size
_START_OF_SCAN = b"\xff\xda"  # nothing else in a JPEG: in its data, zero or a restart marker always follows a byte 0xff
MOST_SCANNED = 10_000_000_000  # pixels times scans of a JPEG: some seconds. Progressive ones have about ten scans
STRIP = 4_000_000  # pixels that are converted at a time
_ENOUGH = 1000  # pixels: longer side that a picture is reduced to before anything else; a digit's ink needs no more
_PLANE_STEPS = 20  # in which the paper's plane is found; after ten it hardly moves any more
_LEAST_CONTRAST = 24  # grey levels, of 255, between paper and ink, below which a picture counts as blank
_REMEDY = "give a picture of one digit: PNG, JPEG or another common format"


class PictureError(LabError):
    """A file that is not a picture, or one that can't be used."""


def read_picture(path: Path) -> Picture:
    """Read a picture of a digit: (H, W) uint8, ink 0 on paper 255, longer side at most ``_ENOUGH``, 255 if it is blank.

    Animations give their first frame, photographs are turned as their camera says, transparent places become paper,
    and light ink on dark is told from dark ink on light by the border, which is taken to be paper. A PictureError says
    that there is no such file, or that it is not a picture, broken, or too large.
    """
    return _clean(_luminance(_load(path)))


def _load(path: Path) -> Image.Image:
    """A file's first frame, upright, its longer side at most ``_ENOUGH``: as RGBA, or as F, grey levels 0 to 255."""
    try:
        with open_file(path) as file, _quiet_libraries(), warnings.catch_warnings():
            start = file.read(16)
            file.seek(0)
            warnings.simplefilter("ignore")  # Pillow warns of odd files
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                _check_bounds(image, file)
                image.draft("RGB", (2 * _ENOUGH, 2 * _ENOUGH))  # JPEG can be decoded at a fraction of its size
                image.load()
                small = _shrunk(image)
                small.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
                return ImageOps.exif_transpose(small)
    except FileNotFoundError:
        raise PictureError(f"there is no file {path}", "check the name") from None
    except UnidentifiedImageError:
        what, remedy = "can't be read as a picture (it has no known format)" if start else "is empty", _REMEDY
        if start[4:8] == b"ftyp" and start[8:12] in _HEIC:
            what, remedy = "is an iPhone photo (HEIC), which can't be read", "export it as JPEG"
        elif start.startswith((b"%PDF", b"%!PS")):
            what, remedy = "is a document, not a picture", "export the page as PNG"
        raise PictureError(f"the file {path} {what}", remedy) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(f"the picture {path} has more than {_MOST_PIXELS:,} pixels", "reduce it first") from None
    except Exception as error:  # a hostile or broken file can make a decoder raise anything
        why = (reason(error) if isinstance(error, OSError) else str(error)) or type(error).__name__
        raise PictureError(f"the file {path} can't be read as a picture ({why})", _REMEDY) from None


def _check_bounds(image: Image.Image, file: BinaryIO) -> None:
    """Refuse, before anything is decoded, what takes far more memory than its pixels, or minutes."""
    if max(image.size) > _LONGEST_SIDE:
        raise ValueError(f"a side is longer than {_LONGEST_SIDE:,} pixels")
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    if tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0) > _MOST_PIXELS:
        raise ValueError(f"a tile has more than {_MOST_PIXELS:,} pixels")
    if image.format == "JPEG":  # a progressive one may repeat its scans, each of which goes over all pixels
        place = file.tell()
        file.seek(0)
        scans = file.read(LARGEST_FILE).count(_START_OF_SCAN)
        file.seek(place)
        if image.width * image.height * scans > MOST_SCANNED:
            raise ValueError(f"it goes over its pixels {scans:,} times")


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep libtiff's and libjpeg's own remarks off the screen: they bypass Python's standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _shrunk(image: Image.Image) -> Image.Image:
    has_many_bits = image.mode in ("I", "F") or image.mode.startswith("I;16")
    convert = _to_grey(image) if has_many_bits else lambda strip: strip.convert("RGBA")
    factor = max(1, max(image.size) // (2 * _ENOUGH))
    small = Image.fromarray(np.vstack([np.asarray(convert(strip).reduce(factor)) for strip in _strips(image, factor)]))
    small.thumbnail((_ENOUGH, _ENOUGH), Image.Resampling.BOX)
    return small


def _strips(image: Image.Image, factor: int = 1) -> Iterator[Image.Image]:
    """A picture from top to bottom, in pieces of some ``STRIP`` pixels and a multiple of ``factor`` rows."""
    rows = factor * max(1, STRIP // (factor * image.width))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _to_grey(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """How to bring the pieces of a picture of more than eight bits for each pixel to grey levels from 0 to 255.

    16 bits are scaled by their format's range. 32 bits have no range that people keep to: theirs ends at 1 if no pixel
    (floating-point) is above 2, and otherwise at the first of 255, 511, 1,023 ... that no pixel is above. Negative
    values are black; what is not a number takes the median of its piece.
    """
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    is_unsigned = image.mode == "I" and tags.get(_SAMPLE_FORMAT, (2,))[0] == 1

    def values(strip: Image.Image) -> NDArray[np.float64]:
        numbers = np.asarray(strip)
        found = (numbers.view(np.uint32) if is_unsigned else numbers).astype(np.float64)
        finite = found[np.isfinite(found)]
        return np.where(np.isfinite(found), found, np.median(finite) if finite.size else 0.0)

    if image.mode in ("I", "F"):
        largest = max(0.0, *(float(values(strip).max()) for strip in _strips(image)))
        white = 1.0 if image.mode == "F" and largest <= 2 else max(255.0, 2.0 ** math.ceil(math.log2(largest + 1)) - 1)
    else:
        white = 2.0 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1
    return lambda strip: Image.fromarray((np.clip(values(strip) / white, 0, 1) * 255).astype(np.float32))


def _luminance(image: Image.Image) -> NDArray[np.float64]:
    """Grey levels 0 to 255 of an RGBA or F picture, (H, W); transparent places show paper unlike the ink."""
    values = np.asarray(image, dtype=np.float64)  # (H, W), or (H, W, 4)
    if image.mode == "F":
        return values
    grey = values[..., :3] @ (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's own conversion
    opacity = values[..., 3] / 255
    paper = 255.0 if not opacity.any() or np.average(grey, weights=opacity) < 128 else 0.0
    return grey * opacity + paper * (1 - opacity)


def _clean(grey: NDArray[np.float64]) -> Picture:
    """Stretch grey levels (H, W) to paper 255 and the darkest ink 0, and remove what the paper itself shows."""
    away = grey - _paper_under(grey)  # lighter or darker than the paper: whichever differs more is ink
    strength = away if abs(away.max()) > abs(away.min()) else -away
    contrast = float(np.percentile(strength, 99.9))
    if contrast < _LEAST_CONTRAST:
        return np.full(grey.shape, 255, dtype=np.uint8)
    ink = np.clip(strength / contrast, 0, 1)
    floor = 0.5 * _threshold(ink)  # shadows and grain of the paper lie below, the soft edge of ink above
    ink = np.clip((ink - floor) / (1 - floor), 0, 1)
    return np.rint(255 - 255 * ink).astype(np.uint8)


def _paper_under(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """How light the paper is at every place of a picture, (H, W): a lamp or a window lights one side more.

    The plane with the least absolute distances from the border's grey levels: like a median, it ignores the few places
    where ink reaches the border. Found by iteratively reweighted least squares (Schlossmacher 1973).
    """
    across, down = np.meshgrid(*(np.linspace(-1, 1, length) for length in grey.shape[::-1]))
    places = np.stack([np.ones_like(grey), across, down], axis=2)  # (H, W, 3)
    border, at = (np.concatenate([all_[0], all_[-1], all_[:, 0], all_[:, -1]]) for all_ in (grey, places))
    plane = np.array([np.median(border), 0.0, 0.0])
    for _ in range(_PLANE_STEPS):
        weight = 1 / np.sqrt(np.maximum(np.abs(border - at @ plane), 1.0))  # less than one grey level counts as one
        plane = np.linalg.lstsq(at * weight[:, None], border * weight)[0]
    paper: NDArray[np.float64] = places @ plane
    return paper


def _threshold(ink: NDArray[np.float64]) -> float:
    """The level 0 to 1 that best separates two kinds of pixels (Otsu 1979, "A threshold selection method")."""
    counts, edges = np.histogram(ink, bins=64, range=(0, 1))
    middles = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    above = total - below
    sum_below = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = sum_below / below - (sum_below[-1] - sum_below) / above
    between = np.nan_to_num(below * above * distance**2)
    return float(middles[np.isclose(between, between.max())].mean())  # a range of levels, where none lies in between

"""Pictures from files, of whatever size and colours, loaded safely.

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
LONGER_SIDE = 1000  # pixels: longer side that a picture is reduced to before anything else; a digit's ink needs no more
_REMEDY = "give a picture of digits: PNG, JPEG or another common format"


class PictureError(LabError):
    """A file that is not a picture, or one that can't be used."""


def load_picture(path: Path) -> Image.Image:
    """A file's first frame, upright, its longer side at most ``LONGER_SIDE``: RGBA, or F with grey levels 0 to 255.

    A PictureError says that there is no such file, or that it is not a picture, broken, or too large.
    """
    try:
        with open_file(path) as file, _quiet_libraries(), warnings.catch_warnings():
            start = file.read(16)
            file.seek(0)
            warnings.simplefilter("ignore")  # Pillow warns of odd files
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                _check_bounds(image, file)
                image.draft("RGB", (2 * LONGER_SIDE, 2 * LONGER_SIDE))  # JPEG can be decoded at a fraction of its size
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
    factor = max(1, max(image.size) // (2 * LONGER_SIDE))
    small = Image.fromarray(np.vstack([np.asarray(convert(strip).reduce(factor)) for strip in _strips(image, factor)]))
    small.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.BOX)
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

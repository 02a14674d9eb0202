"""Pictures from files, of whatever size and colours, as black ink on white: the way into :mod:`mnist_lab.drawing`.

The files are not trusted. Their size is read from their header before any pixel is decoded, and whatever can't be
read ends in one clear line.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mnist_lab.drawing import Picture
from mnist_lab.errors import LabError

MOST_PIXELS = 50_000_000
"""The largest picture that is decoded: what good cameras make, and 150 MB in memory."""

ENOUGH = 1000
"""Longer side that a picture is reduced to before anything else: ink of a digit needs no more."""

PLANE_STEPS = 20
"""Steps in which the paper's plane is found; after ten it hardly moves any more."""

LEAST_CONTRAST = 24
"""Grey levels between paper and ink, of 255, below which a picture counts as blank."""


class PictureError(LabError):
    """A file that is no picture, or one that can't be used."""


def read_picture(path: Path) -> Picture:
    """Read a picture of a digit as black ink on white.

    Animations give their first frame, photographs are turned as their camera says, transparent places become paper,
    and light ink on dark is told from dark ink on light by the border, which is taken to be paper.

    Args:
        path: PNG, JPEG, or anything else that Pillow reads.

    Returns:
        (H, W) uint8, ink 0 on paper 255, longer side at most ``ENOUGH``; all 255 where there is no contrast.

    Raises:
        PictureError: there is no such file, it is no picture, it is broken, or too large.
    """
    return clean(luminance(load(path)))


def load(path: Path) -> Image.Image:
    """Decode a file's first frame as RGBA, reduced to a sensible size."""
    remedy = "give a picture of one digit: PNG, JPEG or another common format"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large and odd files; both are dealt with here
            with Image.open(path) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise too_large(path, f"{width:,} x {height:,},")
                image.draft("RGB", (2 * ENOUGH, 2 * ENOUGH))  # JPEG can be decoded at a fraction of its size
                upright = ImageOps.exif_transpose(image).convert("RGBA")
    except FileNotFoundError:
        raise PictureError(f"there is no file {path}", "check the name") from None
    except Image.DecompressionBombError:
        raise too_large(path, "far") from None
    except PictureError:
        raise
    except Exception as error:  # a hostile or broken file can make a decoder raise anything
        raise PictureError(f"the file {path} can't be read as a picture ({error})", remedy) from None
    upright.thumbnail((ENOUGH, ENOUGH), Image.Resampling.BOX)
    return upright


def too_large(path: Path, extent: str) -> PictureError:
    """The refusal of a picture that is not worth decoding."""
    return PictureError(f"the picture {path} has {extent} more than {MOST_PIXELS:,} pixels", "reduce or crop it first")


def luminance(image: Image.Image) -> NDArray[np.float64]:
    """Grey levels 0 to 255 of an RGBA picture, (H, W); what is transparent becomes paper.

    Opaque ink on a transparent ground has no paper of its own: dark ink gets white paper, light ink black paper.
    """
    values = np.asarray(image, dtype=np.float64)  # (H, W, 4)
    grey = values[..., :3] @ (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's own conversion
    opacity = values[..., 3] / 255
    weight = opacity.sum()
    is_dark = weight == 0 or float((grey * opacity).sum() / weight) < 128
    paper = 255.0 if is_dark else 0.0
    return np.where(opacity == 1, grey, grey * opacity + paper * (1 - opacity))


def clean(grey: NDArray[np.float64]) -> Picture:
    """Stretch grey levels so that paper is 255 and the darkest ink 0, and remove what the paper itself shows.

    Args:
        grey: (H, W), 0 to 255, dark on light or light on dark.
    """
    away = grey - paper_under(grey)  # what differs from the paper, darker or lighter
    is_light_ink = abs(away.max()) > abs(away.min())
    strength = away if is_light_ink else -away
    contrast = float(np.percentile(strength, 99.9))
    if contrast < LEAST_CONTRAST:
        return np.full(grey.shape, 255, dtype=np.uint8)
    ink = np.clip(strength / contrast, 0, 1)
    floor = 0.5 * threshold(ink)  # shadows and grain of the paper lie below, the soft edge of ink above
    ink = np.clip((ink - floor) / (1 - floor), 0, 1)
    return np.rint(255 - 255 * ink).astype(np.uint8)


def paper_under(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """How light the paper is at every place of a picture, (H, W): a lamp or a window lights one side more.

    A plane through the border's grey levels, that with the least absolute distances: like a median, it does not care
    for the few places where ink reaches the border. Found by iteratively reweighted least squares (Schlossmacher 1973).
    """
    height, width = grey.shape
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    places = np.stack([np.ones_like(grey), across, down], axis=2)  # (H, W, 3)
    sides = (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1])
    border, at = (np.concatenate([values[side] for side in sides]) for values in (grey, places))
    plane = np.array([np.median(border), 0.0, 0.0])
    for _ in range(PLANE_STEPS):
        weight = 1 / np.sqrt(np.maximum(np.abs(border - at @ plane), 1.0))  # a grey level is as near as can be
        plane = np.linalg.lstsq(at * weight[:, None], border * weight)[0]
    paper: NDArray[np.float64] = places @ plane
    return paper


def threshold(ink: NDArray[np.float64]) -> float:
    """The level 0 to 1 that best parts two kinds of pixels (Otsu 1979, "A threshold selection method")."""
    counts, edges = np.histogram(ink, bins=64, range=(0, 1))
    middles = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    above = total - below
    sum_below = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = sum_below / below - (sum_below[-1] - sum_below) / above
    between = np.nan_to_num(below * above * distance**2)
    best = np.isclose(between, between.max())  # a whole range of levels, where there is nothing in between
    return float(middles[best].mean())

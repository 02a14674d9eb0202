"""From a picture of paper to clean ink, black on white, in steps that can each be left out.

A page in a photograph is found and seen from above; the light on it is evened, whatever the colours of paper and ink;
lines that belong to the paper are removed; and what is left and stands out from the paper's own grain is ink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnist_lab.drawing.page import Colours, extents_of, find_paper, from_sides, otsu, resized
from mnist_lab.drawing.paper_lines import Strength, local_grain, noise, remove_lines, roughness
from mnist_lab.drawing.picture_files import PictureError, load_picture
from mnist_lab.drawing.preprocess import Picture

__all__ = [
    "PAPER_STEPS",
    "Page",
    "PaperSteps",
    "PictureError",
    "clean_page",
    "read_colours",
    "read_page",
    "read_picture",
]


class Trouble(NamedTuple):
    """Why a picture shows no digit that could be read."""

    name: str
    found: str  # "the file " and this make a sentence
    next_step: str


BLANK = Trouble("blank", "shows no ink", "give a picture or a drawing of a digit")
TOO_FAINT = Trouble(
    "too faint",
    "shows hardly more ink than the paper's own grain",
    "use a darker pen, or take the picture in more light",
)
TOO_SMALL = Trouble(
    "too small", "shows ink of too few pixels for a digit", "take the picture from nearer, or cut out the digit"
)


@dataclass(frozen=True)
class PaperSteps:
    """Which steps to take from a picture to its ink."""

    paper: bool = True  # find the page on a table, and see it from above
    light: bool = True  # even the light by a closing; otherwise the paper is as light everywhere as it mostly is
    lines: bool = True  # remove the lines of ruled and squared paper, margins and boxes
    ink: bool = True  # leave only what stands out from the paper's grain; otherwise everything that differs from it

    def without(self, name: str) -> PaperSteps:
        return replace(self, **{name: False})


_LEAST_SIDE = 200  # pixels: of smaller pictures, structuring elements of several widths would be of equal ones

PAPER_STEPS = tuple(field.name for field in fields(PaperSteps))


class Page(NamedTuple):
    """A picture of paper, taken apart."""

    ink: Picture  # (H, W), black on white; all white if there is none to be read
    stages: dict[str, Picture]  # what each step left, "photo" first; (H, W) or (H, W, 3)
    trouble: Trouble | None = None  # BLANK, TOO_FAINT or TOO_SMALL; then the ink is all white
    scale: float = 1.0  # pixels of the ink for each of the picture: more in a small one
    corner: tuple[int, int] = (0, 0)  # where the picture's upper left is in the ink, x and y: outside, with a border
    is_cut: bool = False  # ink like the rest, and as large, was left out, because the picture's edge cuts it off


def read_picture(path: Path) -> Picture:
    """The ink of a picture, (H, W) uint8, black on white; a PictureError says that the file can't be used."""
    return read_page(path).ink


def read_page(path: Path, steps: PaperSteps = PaperSteps()) -> Page:
    """Read a picture of paper and find its ink; a PictureError says that the file can't be used."""
    return clean_page(read_colours(path), steps)


def read_colours(path: Path) -> Colours:
    """A picture's colours, (H, W, 3) from 0 to 255; a PictureError says that the file can't be used."""
    return _colours(load_picture(path))


def clean_page(colours: Colours, steps: PaperSteps = PaperSteps()) -> Page:
    """Take the steps from colours to ink; a small picture (longer side below 200 pixels) is enlarged to that first."""
    scale = max(1.0, _LEAST_SIDE / max(colours.shape))
    if scale > 1:
        colours = resized(colours, tuple(max(1, round(scale * side)) for side in colours.shape[:2]))
    stages, corner = {"photo": _shown(colours)}, (0, 0)
    if steps.paper:
        colours, corner = find_paper(colours)
    stages["paper"] = _shown(colours)
    strength, is_dark = even_light(colours) if steps.light else (_from_one_paper(colours), False)
    stages["light"] = _as_ink(strength)
    if steps.lines:
        strength = remove_lines(strength)
    stages["lines"] = _as_ink(strength)
    ink, trouble, is_cut = find_ink(strength, is_dark) if steps.ink else (_as_ink(strength), None, False)
    stages["ink"] = ink
    return Page(ink, stages, trouble, scale, corner, is_cut)


def _shown(colours: Colours) -> Picture:
    shown: Picture = np.rint(colours.clip(0, 255)).astype(np.uint8)
    return shown


def _as_ink(strength: Strength) -> Picture:
    """Stretched so that the strongest is black."""
    contrast = max(float(np.percentile(strength, 99.9)), 1.0)
    shown: Picture = np.rint(255 - 255 * np.clip(strength / contrast, 0, 1)).astype(np.uint8)
    return shown


def _colours(image: Image.Image) -> Colours:
    """Red, green and blue of an RGBA or F picture; transparent places show paper unlike the ink."""
    values = np.asarray(image, dtype=np.float32)  # (H, W), or (H, W, 4)
    if image.mode == "F":
        return np.repeat(values[..., np.newaxis], 3, axis=2)
    opacity = values[..., 3:] / 255
    grey = values[..., :3].mean(axis=2)
    paper = 255 if not opacity.any() or np.average(grey, weights=opacity[..., 0]) < 128 else 0
    return (values[..., :3] * opacity + paper * (1 - opacity)).astype(np.float32)


# --- light ---------------------------------------------------------------------------------------------------------

_SMALLEST_SIDE = 32  # pixels: longer side, or up to twice as many, at which the paper's colour is estimated
_CAUGHT = 0.85  # of the ink that a structuring element twice as wide catches
_TWO_LEVELS = 0.8  # of the variance that lies between ink and paper, in a picture of little else
_DARKEST = 35.0  # levels: paper is not taken to be darker, so that the grain of the darkest corner is not enlarged
_SMOOTHING = (0, 0.7, 1.4, 2.8)  # pixels: deviations of the Gaussian filters, tried from the smallest
_STRIPED, _STRIPES = 15.0, 30.0  # levels, and deviations of the grain, from which what covers the picture is no grain
_WIDTHS = (1 / 40, 1 / 20, 1 / 10, 1 / 5)  # of the longer side, tried from the smallest


def _from_one_paper(colours: Colours) -> Strength:
    """How far every pixel is from the picture's median colour, along the colours' main axis."""
    away = colours - np.median(colours, axis=(0, 1)).astype(np.float32)
    axis, sign = _ink_axis(away, colours)
    strength: Strength = np.maximum(sign * (away @ axis), 0)
    return strength


def even_light(colours: Colours) -> tuple[Strength, bool]:
    """How strong the ink is at every pixel, on paper that is lit evenly; and whether it is dark ink on light paper."""
    small = resized(colours, _SMALLEST_SIDE)
    paper = ndimage.median_filter(small, (*[max(3, int(0.4 * max(small.shape)))] * 2, 1))
    axis, sign = _ink_axis(colours - resized(paper, colours.shape), colours)
    lightness = -sign * (colours @ axis)  # the ink has less of it than the paper
    beyond = np.full_like(lightness, np.median(lightness)) if _is_cut_close(lightness) else lightness
    is_dark_on_light = bool((-sign * axis > 0.2).all())
    strength: Strength = _narrowest([_closed(lightness, width, beyond) - lightness for width in _WIDTHS])
    if is_dark_on_light:  # of twice the light, paper and ink throw back twice as much
        strength = (255 * strength / np.maximum(strength + lightness, _DARKEST)).astype(np.float32)
    return _without_grain(_without_stripes(strength)), is_dark_on_light


def _without_stripes(strength: Strength) -> Strength:
    """Only what is stronger than the stripes of a shadow, if they cover so much that no ink stands out from them.

    Then deviations are far larger than those of the paper's grain.
    """
    deviation = noise(strength)[1]
    if deviation < _STRIPED or deviation < _STRIPES * float(np.median(roughness(strength))):
        return strength
    striped = strength > otsu(strength)[0]
    if striped.mean() < _MUCH:
        return strength
    darker: Strength = np.maximum(strength - np.percentile(strength[striped], 75), 0)
    return darker


def _without_grain(strength: Strength) -> Strength:
    """Smoothed as little as lets the ink stand out from the paper's grain."""
    for radius in _SMOOTHING:
        smooth = ndimage.gaussian_filter(strength, radius)
        if contrast_of(smooth) > 10 * noise(smooth)[1]:
            break
    return smooth


def _narrowest(strengths: list[Strength]) -> Strength:
    """That of a structuring element twice as wide as catches the strokes, for places where they cross.

    It catches them if one twice as wide finds hardly more ink; far wider ones catch the stripes of a shadow as well,
    until nothing stands out any more.
    """
    found = [strength for strength in strengths if (strength > noise(strength)[2]).any()]
    for strength, wider in pairwise(found):
        is_ink = wider > max(noise(wider)[2], float(np.percentile(wider, 99.9)) / 2)  # not the paler stripes
        if strength[is_ink].sum() >= _CAUGHT * wider[is_ink].sum():
            return wider
    return found[-1] if found else strengths[0]


def _is_cut_close(lightness: Strength) -> bool:
    """Whether a picture shows little but ink and paper, so that lines of a digit may lie along its edges.

    It is of two levels, and the darker one is nowhere as broad as a shadow or a table.
    """
    level, separation = otsu(lightness)
    size = max(3, int(_WIDTHS[-1] * max(lightness.shape)))
    dark = (lightness <= level).astype(np.uint8)
    return separation > _TWO_LEVELS and not ndimage.minimum_filter(dark, size, mode="constant").any()


def _closed(values: Strength, width: float, beyond: Strength) -> Strength:
    """A closing, which fills what is dark and narrower than ``width``, and keeps a shadow's edge.

    Outside the picture, it goes on as ``beyond`` has it at its edges.
    """
    size = max(3, int(width * max(values.shape)) | 1)
    padded: Strength = np.pad(beyond, size, mode="edge")
    padded[size:-size, size:-size] = values
    return ndimage.grey_closing(padded, (size, size))[size:-size, size:-size]


def _ink_axis(away: NDArray[np.float32], colours: Colours) -> tuple[NDArray[np.float32], int]:
    """The colour in which ink differs from paper, as a unit vector, and whether ink has more of it (1) or less (-1)."""
    distance = np.abs(away).max(axis=2)
    far = distance > max(4 * float(np.median(distance)), 0.3 * float(np.percentile(distance, 99.5)), 6.0)
    found = away[far]
    if len(found) < 3:
        return np.full(3, 3**-0.5, dtype=np.float32), -1
    axis = np.linalg.eigh(found.T @ found)[1][:, -1].astype(np.float32)
    axis = axis if axis.sum() >= 0 else -axis
    along, values = away @ axis, colours @ axis
    grain = 5 * 1.4826 * float(np.median(np.abs(along)))  # outnumbers a small digit
    floor = max(0.5 * float(np.median(np.abs(along[far]))), min(grain, 0.5 * float(np.abs(along).max())))
    odds = 0.0  # logarithm of how much more is narrow and light than narrow and dark
    for width in (1 / 8, 1 / 20):
        dark, light = _closed(values, width, values) - values, _closed(-values, width, -values) + values
        darker, lighter = (  # squared, since a shadow's stripes are as light as they are dark
            float(np.square(ink[ink > floor]).sum()) for ink in (np.minimum(dark, -along), np.minimum(light, along))
        )
        odds = math.log1p(lighter) - math.log1p(darker)
        if abs(odds) > 1:  # else what lies between two shadows or reflections may be as large as the ink, but is wider
            break
    return axis, 1 if odds > 0 else -1


# --- ink -----------------------------------------------------------------------------------------------------------

_LEAST_CONTRAST = 45.0  # levels, of 255, between ink and paper: facets of crumpled paper reach about as many
_LEAST_INSIDE = 0.3  # of the ink: what reaches the edge is then a shadow, a finger or the table
_MUCH = 0.2  # of the picture, more than digits cover: of two levels that stand out, the paler one is then a pattern
_MOST_OF_IT = 0.6  # of what stands out, that a pale digit makes up
_BROADEST, _BROADEST_PALE = 0.4, 0.3  # of a shape's longer side: strokes are not as wide, nor pale ones
_PALE = 130.0  # levels: broad shapes that are paler than about this are light, not ink or a finger
_CREASE = 80.0  # levels: what is longer than half the picture, reaches its edge and is paler, is a crease
_SHADE, _SOFT = 118.0, 1 / 80  # levels, and part of the picture's side: what is paler, and as soft, is a twig's shadow
_ALONG_EDGE, _DEEPEST_STRIP = 0.5, 1 / 3  # of the picture's edge and side, that a strip covers: of a table, aslant
_WHOLE_EDGE = 0.9  # of each of two edges
_SLIM = 0.25  # of its length, that the box around a fold is wide
_BROADER = 2.0  # times as broad as the strokes
_SHINE = 0.1  # of the contrast: the least that is left of ink where a lamp shines on it
_FEW = 3  # shapes of a digit that is too small; more are grain, or the dots of dotted paper
_SMALLEST = 8  # pixels: a digit's longer side, below which it can't be read


def find_ink(strength: Strength, is_dark: bool) -> tuple[Picture, Trouble | None, bool]:
    """The ink, black on white, what keeps it from being read, and whether the picture's edge cuts some of it off.

    A lamp may shine on dark ink.
    """
    white = np.full(strength.shape, 255, dtype=np.uint8)
    strength = _without_strips(strength)
    middle, deviation, _ = noise(strength)
    strength, contrast = strength - middle, contrast_of(strength) - middle
    stands_out = strength > noise(strength)[2]
    if contrast < _LEAST_CONTRAST:
        return white, TOO_FAINT if _is_one_shape(stands_out) else BLANK, False
    grain = deviation * local_grain(strength)
    beside = ndimage.maximum_filter(strength, max(3, int(_WIDTHS[1] * max(strength.shape))))  # pale where ink shines
    low, high = 0.35 * beside.clip((_SHINE if is_dark else 1) * contrast, contrast), 0.55 * contrast
    low, high = np.maximum(3.5 * grain, low), np.maximum(6 * grain, high)
    level, separation = otsu(strength[stands_out]) if stands_out.mean() > _MUCH else (0.0, 0.0)
    if separation > _TWO_LEVELS:
        low, high = np.maximum(low, level), np.maximum(high, level)
    labels, _ = ndimage.label(strength > low, np.ones((3, 3)))  # hysteresis (Canny 1986): some of it must be strong
    shapes = np.arange(1, labels.max() + 1)
    areas = np.bincount(labels.ravel())[1:]
    is_ink = (ndimage.maximum(strength - high, labels, shapes) > 0) & (areas >= max(3, 0.01 * areas.max(initial=0)))
    extents = extents_of(labels)
    least = min(_SMALLEST, max(labels.shape) / 3)
    if extents[is_ink].max(initial=0) < least:
        return white, TOO_SMALL if 0 < is_ink.sum() <= _FEW and contrast > 2 * _LEAST_CONTRAST else BLANK, False
    is_ink, is_cut = _like_strokes(strength, labels, areas, extents, is_ink, least)
    if extents[is_ink].max(initial=0) < least:
        return white, BLANK, is_cut
    mask = np.concatenate([[False], is_ink])[labels]
    near = ndimage.binary_dilation(mask, iterations=1)
    ink = np.where(near, np.clip(strength / (2 * low), 0, 1), 0)
    return np.rint(255 - 255 * ink).astype(np.uint8), None, is_cut


def _like_strokes(
    strength: Strength,
    labels: NDArray[np.signedinteger],
    areas: NDArray[np.int64],
    extents: NDArray[np.int64],
    is_ink: NDArray[np.bool_],
    least: float,
) -> tuple[NDArray[np.bool_], bool]:
    """Which shapes (n,) of the labelled ink may belong to digits, not to a lamp, a crease or the edge.

    And whether one at the edge that was left out looks like the part of a digit. Shapes of fewer than ``least`` pixels,
    on their longer side, are none.
    """
    shapes = np.arange(1, len(areas) + 1)
    widths = 2 * ndimage.maximum(ndimage.distance_transform_edt(labels > 0), labels, shapes)
    peaks = ndimage.maximum(strength, labels, shapes)
    is_large = areas >= 0.1 * areas.max(initial=0)  # a speck says nothing of the light
    is_blot = is_ink & is_large & (widths > np.where(peaks < _PALE, _BROADEST_PALE, _BROADEST) * extents)
    edges = [np.isin(shapes, side[0]) for side in from_sides(labels)]
    at_edge = np.any(edges, axis=0)
    across = (edges[0] & edges[1]) ^ (edges[2] & edges[3])  # from edge to edge: the fold of a notebook, a crease
    is_ink = is_ink & ~(across & (extents_of(labels, min) < _SLIM * extents))
    if max(labels.shape) > _LEAST_SIDE:  # else it was enlarged, and all is soft
        steepest = ndimage.maximum(ndimage.gaussian_gradient_magnitude(strength, 1), labels, shapes)
        is_blot |= is_ink & is_large & (peaks < _SHADE) & (peaks > _SOFT * max(labels.shape) * steepest)
    is_blot |= is_ink & at_edge & (peaks < _CREASE) & (2 * extents > min(labels.shape))
    found: NDArray[np.bool_] = is_ink & ~is_blot
    if is_blot.any():  # pale ones are light or a crease, and so is whatever is as pale
        palest = 1.3 * peaks[is_blot].max()
        found &= (peaks > palest) | ((areas >= 0.1 * areas[is_blot].max()) & (palest > _PALE))
    pens = widths[found & ~at_edge & (extents > max(labels.shape) / 25) & (extents > 4 * widths)]
    if pens.size:  # what is far broader than the lines inside is no line of the same pen: it may be the pen itself
        found &= ~(at_edge & (widths > _BROADER * pens.max()))
    is_beside = areas[found & ~at_edge].sum() >= _LEAST_INSIDE * areas[found].sum()
    is_cut = False
    if is_beside or 2 * extents[found].max(initial=0) < min(labels.shape):  # else a digit fills the picture
        cut, found = found & at_edge, found & ~at_edge
        if extents[found].max(initial=0) >= least:  # like a digit is then what is like them
            size = extents / extents[found].max()
            cut &= (size > 0.5) & (size < 1.5) & (peaks > 0.7 * peaks[found].min())
        else:
            cut &= (extents > max(labels.shape) / 25) & (peaks > 1.3 * _PALE)
        is_cut = bool(cut.any())
    return found, is_cut


def _without_strips(strength: Strength) -> Strength:
    """Without what lies along an edge of the picture and near it, or along two: a table's strip, not the bar of a 7.

    Even if it is left out afterwards, ink that is paler than a strip would count as none.
    """
    labels, _ = ndimage.label(strength > noise(strength)[2], np.ones((3, 3)))
    strips, whole = set[int](), set[int]()
    for side in from_sides(labels):
        along = np.bincount(side[0])[1:] / len(side[0])  # how much of the edge each shape covers
        if along.max(initial=0) > _ALONG_EDGE:
            shape, is_whole = 1 + int(along.argmax()), along.max() > _WHOLE_EDGE
            reach = 1 + np.flatnonzero((side == shape).any(axis=1))[-1]
            if reach < _DEEPEST_STRIP * len(side) or (is_whole and shape in whole):
                strips.add(shape)
            if is_whole:
                whole.add(shape)
    return np.where(np.isin(labels, [*strips]), 0, strength) if strips else strength


def _is_one_shape(mask: NDArray[np.bool_]) -> bool:
    """Whether nearly all of it hangs together, away from the edges: a pale digit, unlike traces of paper and light."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    largest = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()) if mask.any() else mask
    rows, columns = (np.flatnonzero(largest.any(axis=axis)) for axis in (1, 0))
    if largest.sum() < _MOST_OF_IT * max(1, mask.sum()) or not (rows[0] and columns[0]):
        return False
    if 2 * ndimage.distance_transform_edt(largest).max() > _BROADEST_PALE * max(np.ptp(rows), np.ptp(columns)):
        return False
    is_inside = rows[-1] < len(mask) - 1 and columns[-1] < mask.shape[1] - 1
    return bool(is_inside and max(np.ptp(rows), np.ptp(columns)) > max(mask.shape) / 12)


def contrast_of(strength: Strength) -> float:
    """How strong the ink is, apart from its soft edges and from what is paler; 0 if nothing stands out."""
    standing_out = strength[strength > noise(strength)[2]]
    if not len(standing_out) or np.ptp(standing_out) < 1:
        return float(standing_out.max(initial=0))
    return float(standing_out[standing_out > otsu(standing_out)[0]].mean())

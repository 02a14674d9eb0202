"""From a picture of paper to clean ink, black on white, in steps that can each be left out.

A page in a photograph is found and seen from above; the light on it is evened, whatever the colours of paper and ink;
lines that belong to the paper are removed; and what is left and stands out from the paper's own grain is ink.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnist_lab.drawing.picture_files import PictureError, load_picture
from mnist_lab.drawing.preprocess import Picture

__all__ = ["PAPER_STEPS", "Page", "PaperSteps", "PictureError", "clean_page", "read_page", "read_picture"]

Colours: TypeAlias = NDArray[np.float32]  # (H, W, 3), 0 to 255
Strength: TypeAlias = NDArray[np.float32]  # (H, W), how much a pixel differs from its paper in the ink's colour, 0 up

BLANK = "blank"
TOO_FAINT = "too faint"
TOO_SMALL = "too small"


@dataclass(frozen=True)
class PaperSteps:
    """Which steps to take from a picture to its ink."""

    paper: bool = True  # find the page on a table, and see it from above
    light: bool = True  # even the light by a closing; otherwise the paper is as light everywhere as it mostly is
    lines: bool = True  # remove the lines of ruled and squared paper, margins and boxes
    ink: bool = True  # leave only what stands out from the paper's grain; otherwise everything that differs from it


PAPER_STEPS = tuple(field.name for field in fields(PaperSteps))


class Page(NamedTuple):
    """A picture of paper, taken apart."""

    ink: Picture  # (H, W), black on white; all white if there is none to be read
    stages: dict[str, Picture]  # what each step left, "photo" first; (H, W) or (H, W, 3)
    trouble: str | None = None  # BLANK, TOO_FAINT or TOO_SMALL


def read_picture(path: Path) -> Picture:
    """The ink of a picture, (H, W) uint8, black on white; a PictureError says that the file can't be used."""
    return read_page(path).ink


def read_page(path: Path, steps: PaperSteps = PaperSteps()) -> Page:
    """Read a picture of paper and find its ink; a PictureError says that the file can't be used."""
    return clean_page(_colours(load_picture(path)), steps)


def clean_page(colours: Colours, steps: PaperSteps = PaperSteps()) -> Page:
    """Take the steps from colours to ink."""
    stages = {"photo": _shown(colours)}
    if steps.paper:
        colours = find_paper(colours)
    stages["paper"] = _shown(colours)
    strength = even_light(colours) if steps.light else _from_one_paper(colours)
    stages["light"] = _as_ink(strength)
    if steps.lines:
        strength = remove_lines(strength)
    stages["lines"] = _as_ink(strength)
    ink, trouble = find_ink(strength) if steps.ink else (_as_ink(strength), None)
    stages["ink"] = ink
    return Page(ink, stages, trouble)


def _shown(colours: Colours) -> Picture:
    return np.rint(colours.clip(0, 255)).astype(np.uint8)


def _as_ink(strength: Strength) -> Picture:
    """Stretched so that the strongest is black."""
    contrast = max(float(np.percentile(strength, 99.9)), 1.0)
    return np.rint(255 - 255 * np.clip(strength / contrast, 0, 1)).astype(np.uint8)


def _colours(image: Image.Image) -> Colours:
    """Red, green and blue of an RGBA or F picture; transparent places show paper unlike the ink."""
    values = np.asarray(image, dtype=np.float32)  # (H, W), or (H, W, 4)
    if image.mode == "F":
        return np.repeat(values[..., np.newaxis], 3, axis=2)
    opacity = values[..., 3:] / 255
    grey = values[..., :3].mean(axis=2)
    paper = 255 if not opacity.any() or np.average(grey, weights=opacity[..., 0]) < 128 else 0
    return values[..., :3] * opacity + paper * (1 - opacity)


# --- paper ---------------------------------------------------------------------------------------------------------

_SMALL = 160  # pixels: longer side at which the page is looked for
_LEAST_PAGE, _MOST_ON_EDGE = 0.12, 0.1  # of the picture; of its edge, that the page may reach
_PAGE_CONTRAST = 30.0  # levels between page and table
_INSET = 0.012  # of the page's side, that its edge and the edge's shadow take


def find_paper(colours: Colours) -> Colours:
    """The page, seen straight from above, if one lies whole in the picture on something else; else all of it."""
    corners = _corners(colours)
    if corners is None:
        return colours
    across = [np.hypot(*(corners[a] - corners[b])) for a, b in ((1, 0), (2, 3))]
    down = [np.hypot(*(corners[a] - corners[b])) for a, b in ((3, 0), (2, 1))]
    width, height = (max(8, round(float(np.mean(sides)))) for sides in (across, down))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    target = (target - (width / 2, height / 2)) * (1 + 2 * _INSET) + (width / 2, height / 2)
    rows = [
        [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        for (x, y), (u, v) in zip(target.tolist(), corners.tolist(), strict=True)
    ]
    homography = np.linalg.solve(np.concatenate(rows), corners.ravel()).tolist()
    perspective, bilinear = Image.Transform.PERSPECTIVE, Image.Resampling.BILINEAR
    image = Image.fromarray(_shown(colours)).transform((width, height), perspective, homography, bilinear)
    return np.asarray(image, dtype=np.float32)


def _corners(colours: Colours) -> NDArray[np.float64] | None:
    """The page's corners (4, 2) as x, y, from the upper left clockwise; None if no page is surrounded by a table."""
    factor = max(1, max(colours.shape) // _SMALL)
    if min(colours.shape[:2]) < 16:
        return None
    small = _reduced(colours, factor)
    edge = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    unlike = np.abs(small - np.median(edge, axis=0)).max(axis=2)  # (h, w)
    side = max(unlike.shape)
    # Closing and opening remove the ink on the page, and whatever else is small.
    unlike = ndimage.grey_opening(ndimage.grey_closing(unlike, side // 10), side // 6)
    level = otsu(unlike)
    labels, count = ndimage.label(unlike > level)
    if not count:
        return None
    page = labels == 1 + int(np.argmax(ndimage.sum_labels(labels > 0, labels, range(1, count + 1))))
    page = ndimage.binary_fill_holes(page)
    on_edge = np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]]).mean()
    if page.mean() < _LEAST_PAGE or on_edge > _MOST_ON_EDGE:
        return None
    inside = page & ~ndimage.binary_erosion(page, iterations=5) & ndimage.binary_erosion(page, iterations=2)
    outside = ~page & ndimage.binary_dilation(page, iterations=5) & ~ndimage.binary_dilation(page, iterations=2)
    if not inside.any() or not outside.any():
        return None
    step = float(np.median(unlike[inside]) - np.median(unlike[outside]))
    if step < max(_PAGE_CONTRAST, 0.6 * float(np.ptp(unlike[page | outside]))):  # else it is light that fades
        return None
    y, x = np.nonzero(page)
    corners = np.stack([(x, y)], axis=0)[0].T[[(x + y).argmin(), (x - y).argmax(), (x + y).argmax(), (x - y).argmin()]]
    turned = np.roll(corners, -1, axis=0)
    area = abs(float((corners[:, 0] * turned[:, 1] - corners[:, 1] * turned[:, 0]).sum())) / 2
    if not 0.9 < area / page.sum() < 1.1:
        return None
    grown = corners + 0.5
    return grown * factor


def _reduced(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of factor x factor pixels."""
    height, width = (length // factor * factor for length in values.shape[:2])
    blocks = values[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return blocks.mean(axis=(1, 3)).squeeze()


def otsu(values: NDArray[np.float32]) -> float:
    """The level that best separates two kinds of values (Otsu 1979, "A threshold selection method")."""
    counts, edges = np.histogram(values, bins=128)
    middles = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * middles)
    above = counts.sum() - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    between = np.nan_to_num(below * above * apart**2)
    return float(edges[1:-1][np.isclose(between, between.max())].mean())


# --- light ---------------------------------------------------------------------------------------------------------

_WIDEST = 0.3  # of the longer side: no stroke is wider
_WIDTHS = (1 / 40, 1 / 20, 1 / 10, 1 / 5)  # of the longer side, tried from the smallest


def _from_one_paper(colours: Colours) -> Strength:
    """How far every pixel is from the picture's median colour, along the colours' main axis."""
    away = colours - np.median(colours, axis=(0, 1))
    axis, sign = _ink_axis(away, colours)
    return np.maximum(sign * (away @ axis), 0)


def even_light(colours: Colours) -> Strength:
    """How strong the ink is at every pixel, on paper that is lit evenly."""
    factor = max(1, max(colours.shape) // 96)
    small = _reduced(colours, factor).reshape(*(max(1, length // factor) for length in colours.shape[:2]), 3)
    window = max(3, int(0.4 * max(small.shape)))
    paper = np.stack([ndimage.median_filter(small[..., place], window) for place in range(3)], axis=2)
    axis, sign = _ink_axis(colours - _enlarged(paper, colours.shape), colours)
    lightness = -sign * (colours @ axis)  # the ink has less of it than the paper
    is_dark_on_light = bool((-sign * axis > 0.2).all())
    best: Strength | None = None
    strengths = []
    for width in _WIDTHS:
        ground = _closed(lightness, width)
        strengths.append(ground - lightness)
    best = _narrowest(strengths)
    if is_dark_on_light:
        ground = np.maximum(best + lightness, 20 * 1.73)
        best = best / ground * 255
    return best


def _narrowest(strengths: list[Strength]) -> Strength:
    """That of the smallest structuring element which catches the strokes."""
    energies = []
    for strength in strengths:
        low = max(noise(strength)[2], 0.3 * float(np.percentile(strengths[-1], 99.5)))
        energies.append(float(strength[strength > low].sum()))
    for strength, energy in zip(strengths, energies, strict=True):
        if energy >= 0.85 * energies[-1]:
            return strength
    return strengths[-1]


def noise(strength: Strength) -> tuple[float, float, float]:
    """What the paper itself shows: median, deviation, and the level that only ink exceeds."""
    middle = float(np.median(strength))
    deviation = 1.4826 * float(np.median(np.abs(strength - middle)))
    return middle, deviation, middle + 6 * deviation + 3


def _enlarged(small: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    height, width = shape[:2]
    planes = [
        np.asarray(Image.fromarray(small[..., place]).resize((width, height), Image.Resampling.BILINEAR))
        for place in range(3)
    ]
    return np.stack(planes, axis=2)


def _closed(values: Strength, width: float) -> Strength:
    """A closing, which fills what is dark and narrower, and keeps a shadow's edge; the picture goes on at its edges."""
    size = max(3, int(width * max(values.shape)) | 1)
    padded = np.pad(values, size, mode="edge")
    return ndimage.grey_closing(padded, size)[size:-size, size:-size]


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
    side = max(3, int(max(values.shape) / 8) | 1)
    padded = np.pad(values, side, mode="edge")
    dark = (ndimage.grey_closing(padded, side) - padded)[side:-side, side:-side]
    light = (padded - ndimage.grey_opening(padded, side))[side:-side, side:-side]
    floor = 0.5 * float(np.percentile(np.abs(along[far]), 50))
    darker = int((np.minimum(dark, -along) > floor).sum())
    lighter = int((np.minimum(light, along) > floor).sum())
    return axis, 1 if lighter > darker else -1


# --- lines ---------------------------------------------------------------------------------------------------------

_HOUGH = 400  # pixels: longer side at which lines are looked for
_STEEPEST = 0.27  # of a line that counts as level, a tenth more than 15 degrees
_SLOPES = 61
_SHORTEST = 0.2  # of the picture's side
_MOST_LINES = 120  # in each direction
_AT_END = 0.04  # of the picture's side: how near to its edge, or to another line, a line must end


class _Line(NamedTuple):
    """A straight, thin line, nearly level; for upright ones, x and y are exchanged."""

    columns: NDArray[np.int64]  # (n,) from its one end to the other
    rows: NDArray[np.int64]  # (n,) where its middle is
    first: NDArray[np.int64]  # (n,) where what is inked around it begins
    last: NDArray[np.int64]  # (n,) and ends
    thickness: float  # pixels
    strength: float


def remove_lines(strength: Strength) -> Strength:
    """Remove long straight lines that belong to the paper: those that end at its edge, or at another such line.

    They are found by a Hough transform (Duda and Hart 1972). Where more is inked than the line is thick, or darker, a
    digit crosses it, and is kept.
    """
    level = noise(strength)[2]
    lines = [(False, line) for line in _level_lines(strength, level)]
    lines += [(True, line) for line in _level_lines(strength.T, level)]
    while True:
        kept = [one for one in lines if _ends_at_others(one, lines, strength.shape)]
        if len(kept) == len(lines):
            break
        lines = kept
    cleaned = strength.copy()
    for is_upright, line in lines:
        _erase(cleaned.T if is_upright else cleaned, line, strength.T if is_upright else strength)
    return cleaned


def _level_lines(strength: Strength, level: float) -> list[_Line]:
    factor = max(1, -(-max(strength.shape) // _HOUGH))
    height, width = (length // factor for length in strength.shape)
    if min(height, width) < 16:
        return []
    blocks = strength[: height * factor, : width * factor].reshape(height, factor, width, factor)
    y, x = np.nonzero(blocks.max(axis=(1, 3)) > level)
    slopes = np.linspace(-_STEEPEST, _STEEPEST, _SLOPES)
    heights = np.rint(y - slopes[:, np.newaxis] * (x - width / 2)).astype(np.int64) + height  # (S, N), in 0..3 height
    heights = heights.clip(0, 3 * height - 1) + 3 * height * np.arange(_SLOPES)[:, np.newaxis]
    votes = np.bincount(heights.ravel(), minlength=_SLOPES * 3 * height).reshape(_SLOPES, 3 * height)
    peaks = (votes == ndimage.maximum_filter(votes, (9, 3))) & (votes > 0.8 * _SHORTEST * width)
    places = np.argwhere(peaks)
    places = places[np.argsort(-votes[peaks])][:_MOST_LINES]
    traced = (
        _traced(strength, level, slopes[slope], factor * (row - height + 0.5), factor)
        for slope, row in places.tolist()
    )
    return [line for line in traced if line is not None]


def _traced(strength: Strength, level: float, slope: float, middle: float, factor: int) -> _Line | None:
    """Follow a line from column to column, and see how far it reaches and how thick it is."""
    height, width = strength.shape
    reach = 2 * factor + 1  # rows that a line may bend
    room = reach + max(6, max(height, width) // 60)
    columns = np.arange(width)
    straight = np.rint(middle + slope * (columns - width / 2)).astype(np.int64)
    around = straight + np.arange(-room, room + 1)[:, np.newaxis]  # (R, W)
    is_there = (around >= 0) & (around < height)
    window = np.where(is_there, strength[around.clip(0, height - 1), columns], 0)
    near = ndimage.uniform_filter1d(window[room - reach : room + reach + 1], max(3, width // 30), axis=1)
    offset = near.argmax(axis=0) + room - reach  # (W,) the row of the window in which the line is
    at_line = window[offset, columns]
    is_covered = np.maximum.reduce([window[(offset + by).clip(0, 2 * room), columns] for by in (-1, 0, 1)]) > level
    gap = max(3, width // 30)
    joined = ndimage.binary_closing(np.pad(is_covered, gap), np.ones(gap))[gap:-gap]
    labels, count = ndimage.label(joined)
    if not count:
        return None
    longest = labels == 1 + int(np.bincount(labels)[1:].argmax())
    if longest.sum() < _SHORTEST * width or is_covered[longest].mean() < 0.7:
        return None
    typical = float(np.median(at_line[longest & is_covered]))
    is_inked = window > max(0.4 * typical, 0.5 * level)
    rows = np.arange(2 * room + 1)[:, np.newaxis]
    first = np.where(~is_inked & (rows <= offset), rows, -1).max(axis=0) + 1
    last = np.where(~is_inked & (rows >= offset), rows, 2 * room + 1).min(axis=0) - 1
    length = (last - first + 1).clip(1)
    thickness = float(np.median(length[longest & is_covered]))
    if thickness > longest.sum() / 30:
        return None
    chosen, start = columns[longest], straight[longest] - room
    return _Line(chosen, start + offset[longest], start + first[longest], start + last[longest], thickness, typical)


def _ends_at_others(one: tuple[bool, _Line], lines: list[tuple[bool, _Line]], shape: tuple[int, ...]) -> bool:
    is_upright, line = one
    height, width = shape[::-1] if is_upright else shape
    near = _AT_END * max(shape)
    for place, edge in ((0, 0), (-1, width - 1)):
        column, row = line.columns[place], line.rows[place]
        at_edge = abs(column - edge) <= near or row <= near / 2 or row >= height - near / 2
        others = (other for crosswise, other in lines if crosswise != is_upright)
        if not at_edge and not any(_touches(other, row, column, near) for other in others):
            return False
    return True


def _touches(other: _Line, along: int, across: int, near: float) -> bool:
    """Whether a line in the other direction passes near a point."""
    place = int(np.clip(along - other.columns[0], 0, len(other.columns) - 1))
    return abs(int(other.columns[place]) - along) <= near and abs(int(other.rows[place]) - across) <= near


def _erase(cleaned: Strength, line: _Line, strength: Strength) -> None:
    """Take a line out, but not what crosses it."""
    height = len(cleaned)
    peak = strength[line.rows.clip(0, height - 1), line.columns]
    is_line = (line.last - line.first + 1 <= 1.5 * line.thickness + 2) & (peak <= 1.6 * line.strength)
    rim = 1 + round(line.thickness / 2)
    for column, first, last in zip(
        line.columns[is_line].tolist(), line.first[is_line].tolist(), line.last[is_line].tolist(), strict=True
    ):
        cleaned[max(0, first - rim) : last + rim + 1, column] = 0


# --- ink -----------------------------------------------------------------------------------------------------------

_LEAST_CONTRAST = 12.0
_SMALLEST = 8  # pixels: a digit's longer side, below which it can't be read


def find_ink(strength: Strength) -> tuple[Picture, str | None]:
    """The ink, black on white, and what keeps it from being read."""
    white = np.full(strength.shape, 255, dtype=np.uint8)
    middle, deviation, level = noise(strength)
    # Grain is smoothed until the ink stands out.
    smooth = strength
    for radius in (0, 0.7, 1.4, 2.8):
        smooth = ndimage.gaussian_filter(strength, radius) if radius else strength
        middle, deviation, level = noise(smooth)
        contrast = _contrast(smooth, level)
        if contrast - middle > 10 * deviation:
            break
    if contrast - middle < _LEAST_CONTRAST:
        return white, BLANK
    strength = smooth - middle
    contrast -= middle
    low, high = max(3.5 * deviation, 0.35 * contrast), max(6 * deviation, 0.55 * contrast)
    labels, count = ndimage.label(strength > low, np.ones((3, 3)))
    if not count:
        return white, BLANK
    places = np.arange(1, count + 1)
    peaks = ndimage.maximum(strength, labels, places)
    areas = ndimage.sum_labels(labels > 0, labels, places)
    kept = (peaks > high) & (areas >= max(3, 0.01 * areas.max()))
    mask = np.concatenate([[False], kept])[labels]
    if not mask.any():
        return white, BLANK
    near = ndimage.binary_dilation(mask, np.ones((3, 3)))
    ink = np.where(near, np.clip(strength / (2 * low), 0, 1), 0)
    return np.rint(255 - 255 * ink).astype(np.uint8), None


def _contrast(strength: Strength, level: float) -> float:
    standing_out = strength[strength > level]
    return float(np.percentile(standing_out, 90)) if len(standing_out) else 0.0

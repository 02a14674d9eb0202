"""A page that lies on something else, found in a photograph and seen straight from above, without a border."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull

Colours: TypeAlias = NDArray[np.float32]  # (H, W, 3), 0 to 255

_T = TypeVar("_T", bound=np.generic)

_SMALL = 160  # pixels: longer side at which the page is looked for
_LEAST_PAGE, _MOST_ON_EDGE = 0.12, 0.1  # of the picture; of its edge, that the page may reach
_CONVEX, _QUADRILATERAL = 0.95, 0.8  # of its convex hull, that a page fills, and a quadrilateral in it
_MOST_UNLIKE = (255.0, 40.0)  # levels: ink and shadows may differ from a light table more than the page does
_LEAST_STEP = 8.0  # levels between page and table at the page's edge: a light table may be hardly darker
_DARKEST_SHADOW, _SAME = 0.3, 0.08  # of the light, that a shadow leaves, and by how much this differs between colours
_BORDER_CONTRAST = 30.0  # levels between paper and border
_INSET = 0.012  # of the page's side, that its edge and the edge's shadow take
_THINNEST_BORDER, _WIDEST_BORDER = 1 / 50, 0.2  # of the picture's side; what is thinner is a line
_WHOLE, _CLEAN = 0.9, 0.02  # of a row, that is unlike paper: in a border, and beside it
_WRITTEN = 0.005  # of a border, that differs from its colour: somebody has written on it
_SOFT = 0.03  # of the picture's longer side, that a border may be soft or aslant


def find_paper(colours: Colours) -> tuple[Colours, tuple[int, int]]:
    """The page, seen straight from above, if one lies whole in the picture on something else; else all but a border.

    And where the picture's upper left corner is in it, x and y: (0, 0) for a page seen from above, whose places are
    others than the picture's.
    """
    corners = _corners(colours)
    if corners is None:
        return _without_border(colours)
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
    photo = Image.fromarray(np.rint(colours.clip(0, 255)).astype(np.uint8))
    image = photo.transform((width, height), perspective, homography, bilinear)
    return np.asarray(image, dtype=np.float32), (0, 0)


def _without_border(colours: Colours) -> tuple[Colours, tuple[int, int]]:
    """Without strips along whole sides that are unlike the paper: a scanner's lid, a table, a screenshot's bars."""
    unlike = np.abs(colours - np.median(colours, axis=(0, 1))).max(axis=2) > _BORDER_CONTRAST  # (H, W)
    depths = [_depth(side) for side in from_sides(unlike)]
    inside = from_sides(_trimmed(unlike, *depths))
    top, bottom, left, right = map(_border, from_sides(colours), depths, inside)
    return _trimmed(colours, top, bottom, left, right), (-left, -top)


def from_sides(values: NDArray[_T]) -> list[NDArray[_T]]:
    """A picture as seen from above, from below, from its left and from its right: rows run along that side."""
    turned = values.swapaxes(0, 1)
    return [values, values[::-1], turned, turned[::-1]]


def extents_of(labels: NDArray[np.signedinteger], side: Callable[[Iterable[int]], int] = max) -> NDArray[np.int64]:
    """The longer sides (or ``min``: the shorter ones), (n,) in pixels, of the boxes around the n shapes of labels."""
    boxes = ndimage.find_objects(labels)
    return np.array([side(along.stop - along.start for along in box) for box in boxes], dtype=np.int64)


def _trimmed(values: NDArray[_T], top: int, bottom: int, left: int, right: int) -> NDArray[_T]:
    return values[top : len(values) - bottom, left : values.shape[1] - right]


def _depth(unlike: NDArray[np.bool_]) -> int:
    """How many rows (H, W) from the side on are all unlike paper: more than a line has, but not too many."""
    depth = int((unlike.mean(axis=1) < _WHOLE).argmax())
    return depth if _THINNEST_BORDER * min(unlike.shape) < depth <= _WIDEST_BORDER * len(unlike) else 0


def _border(colours: Colours, depth: int, beyond: NDArray[np.bool_]) -> int:
    """How many rows to cut: so many, and what is soft or aslant beyond.

    No row where light fades to its paper, where something is written on it, or where ink is joined to it, as the stem
    of a 7 is to its bar.
    """
    reach = 1 + int(_SOFT * max(beyond.shape))
    is_clean = beyond[:reach].mean(axis=1) < _CLEAN
    if not depth or not is_clean.any():
        return 0
    end = depth + int(is_clean.argmax())
    border, paper = (np.median(rows, axis=(0, 1)) for rows in (colours[:depth][-reach:], colours[end : end + reach]))
    is_empty = (np.abs(colours[:depth] - border).max(axis=2) > _BORDER_CONTRAST).mean() < _WRITTEN
    return end if is_empty and np.abs(border - paper).max() > _BORDER_CONTRAST else 0


def _corners(colours: Colours) -> NDArray[np.float64] | None:
    """The page's corners (4, 2) as x, y, from the upper left clockwise; None if no page is surrounded by a table."""
    small = resized(colours, _SMALL)
    if min(small.shape[:2]) < 16:
        return None
    unlike = np.abs(small - _table(small)).max(axis=2)  # (h, w)
    found = (_page_in(small, np.minimum(unlike, most)) for most in _MOST_UNLIKE)
    corners = next((corners for corners in found if corners is not None), None)
    return None if corners is None else (corners + 0.5) * (len(colours) / len(small))


def _table(small: Colours) -> Colours:
    """The table's colour everywhere, as its light falls off evenly: the plane that fits the nearer half of the edge."""
    height, width = small.shape[:2]
    down, across = np.indices((height, width))
    places = np.stack([np.ones_like(down), down, across], axis=2)  # (h, w, 3)
    is_edge = np.pad(np.zeros((height - 2, width - 2), dtype=np.bool_), 1, constant_values=True)
    at, edge = places[is_edge], small[is_edge]
    away = np.abs(edge - np.median(edge, axis=0)).max(axis=1)
    for _ in range(2):  # what the page, or something else, covers of the edge is left out
        is_near = away <= np.median(away)
        plane = np.linalg.lstsq(at[is_near], edge[is_near], rcond=None)[0]
        away = np.abs(edge - at @ plane).max(axis=1)
    table: Colours = (places @ plane).astype(np.float32)
    return table


def _page_in(small: Colours, unlike: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The corners of a page in a small picture, by how unlike its table each pixel (h, w) is."""
    level, _ = otsu(unlike)
    reach = max(unlike.shape) // 20
    page = _opened(~_opened(~np.pad(unlike > level, 2 * reach), reach), reach)  # without ink, and what else is small
    labels, count = ndimage.label(page[2 * reach : -2 * reach, 2 * reach : -2 * reach])
    if not count:
        return None
    page = ndimage.binary_fill_holes(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()))
    on_edge = np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]]).mean()
    if page.mean() < _LEAST_PAGE or on_edge > _MOST_ON_EDGE:
        return None
    inside = page & ~ndimage.binary_erosion(page, iterations=5) & ndimage.binary_erosion(page, iterations=2)
    outside = ~page & ndimage.binary_dilation(page, iterations=5) & ~ndimage.binary_dilation(page, iterations=2)
    if not inside.any() or not outside.any():
        return None
    if _step(small, inside, outside) < _LEAST_STEP:  # light that fades
        return None
    hull = ConvexHull(np.argwhere(page)[:, ::-1])
    corners, area = _largest_quadrilateral(hull.points[hull.vertices])
    if page.sum() < _CONVEX * hull.volume or area < _QUADRILATERAL * hull.volume:
        return None
    away = corners - corners.mean(axis=0)
    corners += (2**0.5 - 1) * reach * away / np.hypot(*away.T)[:, np.newaxis]  # what the disc cut away
    return corners


def _step(colours: Colours, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> float:
    """How many levels most places outside of an edge differ from the nearest ones inside, all in the same way.

    0 if all colours are darker inside by the same factor, as they are in a shadow.
    """
    rows, columns = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    inner, outer = colours[rows[outside], columns[outside]], colours[outside]  # (n, 3)
    light = np.median(inner, axis=0) / np.median(outer, axis=0).clip(1)
    if light.min() > _DARKEST_SHADOW and light.max() < min(1, light.min() + _SAME):
        return 0.0
    usual = np.median(inner - outer, axis=0)
    channel = int(np.abs(usual).argmax())
    return float(np.percentile((inner - outer)[:, channel] * np.sign(usual[channel]), 25))


def _opened(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """An opening by a disc, which cuts corners alike however the page is turned."""
    eroded = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1] > reach
    return ndimage.distance_transform_edt(~eroded) <= reach if eroded.any() else eroded


def _largest_quadrilateral(hull: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The four of a hull's corners (n, 2) that span the largest area, from the upper left clockwise, and that area."""
    from_first = hull - hull[:, np.newaxis]  # (n, n, 2)
    areas = from_first[:, :, np.newaxis, 0] * from_first[:, np.newaxis, :, 1]
    areas = (areas - areas.transpose(0, 2, 1)) / 2  # (n, n, n): of each diagonal and a third corner, by its side
    first, second = np.unravel_index((areas.max(axis=2) - areas.min(axis=2)).argmax(), areas.shape[:2])
    beside = areas[first, second]
    corners = hull[[first, beside.argmin(), second, beside.argmax()]]
    away = corners - corners.mean(axis=0)
    corners = corners[np.argsort(np.arctan2(away[:, 1], away[:, 0]))]
    return np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0), float(np.ptp(beside))


def resized(colours: Colours, longer: int | tuple[int, ...]) -> Colours:
    """Reduced by a whole factor, so that the longer side has about as many pixels, or brought to a shape (H, W)."""
    height, width = colours.shape[:2] if isinstance(longer, int) else longer[:2]
    if isinstance(longer, int):
        factor = max(1, max(height, width) // longer)
        height, width = max(1, height // factor), max(1, width // factor)
    how = Image.Resampling.BOX if height < len(colours) else Image.Resampling.BILINEAR
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), how)
        for plane in np.moveaxis(colours, 2, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def otsu(values: NDArray[np.float32]) -> tuple[float, float]:
    """The level that best separates two kinds of values, and how well: 0 to 1, of the variance (Otsu 1979).

    Values that are spread evenly reach 0.75; for those that differ only by rounding, 0.
    """
    if np.ptp(values) < 1e-3:
        return float(values.max()), 0.0
    counts, edges = np.histogram(values, bins=128)
    middles = (edges[:-1] + edges[1:]) / 2
    below, sums, total = np.cumsum(counts)[:-1], np.cumsum(counts * middles), counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = sums[:-1] / below - (sums[-1] - sums[:-1]) / (total - below)
    between = np.nan_to_num(below * (total - below) * apart**2) / total**2
    variance = float(np.average((middles - sums[-1] / total) ** 2, weights=counts))
    best = float(between.max())
    return float(edges[1:-1][np.isclose(between, best)].mean()), best / variance if variance else 0.0

"""From pen to 28x28: ink, and the steps that MNIST's makers took from a scan to a digit.

A drawing is inked, inverted, cropped, fitted into a 20-pixel box and moved so that its centre of mass lies in the
middle of 28x28 pixels, each step a function of its own over plain arrays. The steps after the ink know nothing of
strokes, so that pictures from files can take the same way. The last step, normalising, is the network's own: it changes
the numbers and not the look.

Pictures are uint8. *Ink on paper* is black (0) on white (255), as the window shows it; everything after
:func:`invert` is *light on black*, as MNIST has it, so that 0 means "no ink" and sums of pixels are masses of ink.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_lab.data.pixels import SIDE, denormalise
from mnist_lab.drawing.strokes import CANVAS, Drawing, segments, visible

BRUSH = 20.0
"""Width of the pen on the canvas, in canvas pixels, unless the user chooses another."""
BOX = 20
"""MNIST's digits reach 20 pixels in their longer direction (LeCun et al. 1998, "Gradient-based learning")."""
MIDDLE = 14
"""Row and column of the pixel that holds a digit's centre of mass.

Measured on 5,000 training images: the centres lie evenly between 13.5 and 14.5 in both directions (0 is the first
pixel's middle), so the digits were moved by whole pixels, and to pixel 14 rather than to the geometric middle, 13.5.
"""
PEN = 2.45
"""Width of the pen that re-inks a drawing, in pixels of the 20-pixel box: that of MNIST's median digit.

Measured on 5,000 training images alone, enlarged 8 times (bilinear) and cut at half grey: inside a long line the mean
distance to its edge is a quarter of its width. Four times that mean is 2.49 at the median (1.78 to 3.54 from the
tenth to the ninetieth percentile). Known pens, drawn along the skeletons of 300 training images, tell what the
measure makes of bends and crossings (2.4: 2.42, 2.5: 2.56), which leaves 2.45.
"""
FINEST = 4.0
"""The finest pen to re-ink with, in canvas pixels: below it, round ends turn square on the canvas's own pixels."""
FAINT = 25
"""What counts as ink when looking for its edges: a tenth of the full 255. Less is the fringe of anti-aliasing."""

Picture: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Steps:
    """Which steps to take; all of them make a drawing like MNIST's."""

    pen: bool = True  # ink the strokes with a pen as wide as MNIST's lines (pictures without strokes keep theirs)
    invert: bool = True  # white ink on black
    crop: bool = True  # cut away the paper around the ink
    box: bool = True  # longer side to 20 pixels, proportions kept; otherwise squeezed to 28x28
    centre: bool = True  # centre of mass to the middle; otherwise the middle of the box
    normalise: bool = True  # values of mean 0 and deviation 1 over MNIST; otherwise 0 to 1

    def without(self, name: str) -> Steps:
        """The same steps, but for one named by its field."""
        return replace(self, **{name: False})


STEP_NAMES = tuple(field.name for field in fields(Steps))

MODES = {
    "raw": Steps(pen=False, invert=False, crop=False, box=False, centre=False),
    "inverted": Steps(pen=False, crop=False, box=False, centre=False),
    "mnist": Steps(),
}
"""The three ways to score drawings: the canvas squeezed as it is, inverted as well, and as MNIST's makers did."""


class Stage(NamedTuple):
    """A step taken, and its picture: (H, W) uint8, of whatever size the step left."""

    name: str
    picture: Picture


def prepare(source: Drawing | Picture, steps: Steps = MODES["mnist"], brush: float = BRUSH) -> list[Stage] | None:
    """Take a drawing, or ink on paper, the way to 28x28 and keep every picture on it.

    Args:
        source: strokes, or a picture (H, W) uint8 of black ink on a white (255) ground, of any size.
        steps: which steps to take. Without ``invert`` the others do the same, on black ink on white.
        brush: the pen that the user drew with, in canvas pixels; without meaning for a picture.

    Returns:
        The raw ink first, then one stage for every step taken, the last being (28, 28) uint8 as the network is shown
        it; None if there is no ink.
    """
    paper = [Stage("raw", ink(source, brush) if isinstance(source, Drawing) else source)]
    if steps.pen and isinstance(source, Drawing):
        paper.append(Stage("pen", ink(source, pen_width(source))))
    taken = from_ink(paper[-1].picture, steps)
    return None if taken is None else [*paper, *taken]


def to_mnist(source: Drawing | Picture, steps: Steps = MODES["mnist"], brush: float = BRUSH) -> Picture | None:
    """What the network sees: the last picture of :func:`prepare`, without the work for the others.

    Returns:
        (28, 28) uint8, white on black (unless ``steps`` leaves the inversion out), to be normalised by whoever asks a
        network; None if there is no ink.
    """
    if isinstance(source, Drawing):
        source = ink(source, pen_width(source) if steps.pen else brush)
    taken = from_ink(source, steps)
    return None if taken is None else taken[-1].picture


def from_ink(paper: Picture, steps: Steps) -> list[Stage] | None:
    """The steps that follow the ink, each with its picture; None if there is no ink.

    Args:
        paper: (H, W) uint8, black ink on white (255).
        steps: which of them to take; ``pen`` is past.
    """
    light = invert(paper)
    if not crop(light).size:
        return None
    stages = [Stage("inverted", light)] if steps.invert else []
    if steps.crop:
        light = crop(light)
        stages.append(Stage("cropped", light))
    light = fit_box(light) if steps.box else resample(light, SIDE, SIDE)
    stages.append(Stage("20-pixel box" if steps.box else "squeezed", light))
    if steps.centre and light.any():
        stages.append(Stage("centred", centre(light)))
    elif steps.box:
        edge = (SIDE - BOX) // 2
        stages.append(Stage("in the middle", _place(light, edge, edge)))
    # The steps measure ink, so they work on light ink; who leaves the inversion out sees their negatives.
    if not steps.invert:
        stages = [Stage(name, invert(picture)) for name, picture in stages]
    final = stages[-1].picture
    # Normalising is what every network does to bytes anyway, so taking the step leaves the picture as it is.
    return [*stages, Stage("normalised", final) if steps.normalise else Stage("as 0 to 1", _unnormalised(final))]


# --- ink ---------------------------------------------------------------------------------------------------------


def ink(drawing: Drawing, brush: float = BRUSH) -> Picture:
    """The drawing as a round pen leaves it on paper, anti-aliased.

    Points are joined by straight lines with round caps and joins; a stroke of one point is a dot. A pixel's grey
    follows from the distance of its middle to the nearest line: full ink until half a pixel inside the pen's edge,
    none from half a pixel outside.

    Args:
        drawing: in canvas pixels; what lies outside the canvas is cut off.
        brush: width of the pen, in canvas pixels; finer than one pixel, it is as wide as a pixel and paler.

    Returns:
        (280, 280) uint8, black (0) on white (255).
    """
    distance = _nearest_line(segments(drawing), reach=brush / 2 + 0.5)
    coverage: NDArray[np.float32] = np.clip(brush / 2 + 0.5 - distance, 0, min(brush, 1))
    return np.rint(255 - 255 * coverage).astype(np.uint8)


def _nearest_line(lines: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """How far every pixel's middle is from the nearest of the lines (S, 4), in canvas pixels: (280, 280) float32.

    Pixels further away from every line than ``reach`` have that or more, up to infinity.
    """
    squared = np.full((CANVAS, CANVAS), np.inf, dtype=np.float32)
    middles = np.arange(CANVAS, dtype=np.float32) + 0.5
    # Only a window around a line can be nearer than reach: this is what makes a drawing a matter of milliseconds.
    first = np.floor(np.minimum(lines[:, :2], lines[:, 2:]) - reach)  # (S, 2)
    past = np.ceil(np.maximum(lines[:, :2], lines[:, 2:]) + reach)
    windows = np.hstack([first, past]).clip(0, CANVAS).astype(np.int64).tolist()
    for (x0, y0, x1, y1), (left, top, right, bottom) in zip(lines.tolist(), windows, strict=True):
        x = middles[left:right] - x0  # (w,)
        y = (middles[top:bottom] - y0)[:, np.newaxis]  # (h, 1)
        along_x, along_y = x1 - x0, y1 - y0
        length = along_x**2 + along_y**2 or 1.0
        place = x * (along_x / length) + y * (along_y / length)  # (h, w): 0 beside the start, 1 beside the end
        place = np.minimum(np.maximum(place, 0), 1)  # np.clip takes longer for arrays this small
        window = squared[top:bottom, left:right]
        np.minimum(window, (x - along_x * place) ** 2 + (y - along_y * place) ** 2, out=window)
    distance: NDArray[np.float32] = np.sqrt(squared)
    return distance


def pen_width(drawing: Drawing) -> float:
    """The width that a pen should have had, so that the lines come out as wide as MNIST's whatever the digit's size.

    Whoever draws a digit twice as large with the same brush has lines half as wide once both are 20 pixels tall. A
    pen of ``PEN`` twentieths of the inked digit makes them the same. Only what lies on the canvas counts.

    Returns:
        Canvas pixels, at least ``FINEST``: digits of less than 30 pixels, and dots, come out somewhat bold.
    """
    points = visible(segments(drawing)).reshape(-1, 2)  # (2 S, 2)
    longest = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    return max(PEN * longest / (BOX - PEN), FINEST)


# --- the steps from ink to MNIST ---------------------------------------------------------------------------------


def invert(picture: Picture) -> Picture:
    """Black on white to white on black, or back; any shape, uint8."""
    return 255 - picture


def crop(picture: Picture, faint: int = FAINT) -> Picture:
    """Cut a light-on-black picture down to its ink.

    Args:
        picture: (H, W) uint8, 0 is no ink.
        faint: levels up to this one are not looked at.

    Returns:
        (h, w) uint8, the smallest rectangle that holds every pixel of more than ``faint``; (0, 0) if there is none.
    """
    (box,) = ndimage.find_objects((picture > faint).astype(np.uint8), max_label=1)
    return picture[:0, :0] if box is None else picture[box]


def fit_box(picture: Picture) -> Picture:
    """Resample a picture (H, W), at least 1x1, to 20 pixels on its longer side, keeping its proportions exactly.

    The shorter side lies in the middle, wherever that is between pixels. MNIST's did, too: most of its digits are an
    even number of pixels narrow, and their outermost columns are half as bright as their outermost rows.

    Returns:
        (20, 20) uint8, 0 where there was no picture.
    """
    height, width = picture.shape
    longer = max(height, width)
    top, left = (longer - height) // 2, (longer - width) // 2
    square = np.pad(picture, ((top, longer - height - top), (left, longer - width - left)))
    return resample(square, BOX, BOX)


def resample(picture: Picture, height: int, width: int) -> Picture:
    """Resample by area: every new pixel is the mean of the part of the old picture that it covers.

    This anti-aliases without ringing or blur, and keeps the mean grey exactly, whatever the ratio.

    Args:
        picture: (H, W) uint8, at least 1x1.
        height: rows of the result.
        width: columns of the result.

    Returns:
        (height, width) uint8.
    """
    rows, columns = _overlap(picture.shape[0], height), _overlap(picture.shape[1], width)
    means: NDArray[np.float32] = rows @ picture.astype(np.float32) @ columns.T  # (height, width)
    return np.rint(means).astype(np.uint8)


def _overlap(old: int, new: int) -> NDArray[np.float32]:
    """How much of each new pixel each old one covers, along one axis; (new, old) float32, rows add up to 1."""
    edges = np.arange(new + 1) * (old / new)  # the new pixels' edges, measured in old pixels
    left, right = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    first = np.arange(old)
    covered: NDArray[np.float64] = np.clip(np.minimum(right, first + 1) - np.maximum(left, first), 0, None)
    return (covered * (new / old)).astype(np.float32)  # (new, old)


def centre(picture: Picture) -> Picture:
    """Place a light-on-black picture in 28x28 so that its centre of mass lies on pixel (14, 14), as MNIST's do.

    Moved by whole pixels, so that nothing is blurred. A shape so lopsided that its ink would leave the picture is
    moved only as far as all of it stays inside.

    Args:
        picture: (H, W) uint8, 0 is no ink, at most 28x28, with some ink.

    Returns:
        (28, 28) uint8.
    """
    inked = crop(picture, faint=0)
    row, column = ndimage.center_of_mass(inked)
    return _place(inked, round(MIDDLE - row), round(MIDDLE - column))


def _place(picture: Picture, top: int, left: int) -> Picture:
    """Put a picture of at most 28x28 on (28, 28) black pixels, as near to (top, left) as it stays wholly inside."""
    height, width = picture.shape
    top, left = min(max(top, 0), SIDE - height), min(max(left, 0), SIDE - width)
    placed = np.zeros((SIDE, SIDE), dtype=np.uint8)
    placed[top : top + height, left : left + width] = picture
    return placed


def _unnormalised(picture: Picture) -> Picture:
    """The picture to show a network for it to get 0 to 1, as if the normalisation were left out; any shape.

    Every network is asked about bytes, and normalises them. So its mean and deviation are put on here, for the network
    to take off again: what arrives is the picture's own 0 to 1, but for half a byte (0.0064). The greys go from 33 to
    112: as pale as the picture is to a network that expects contrast.
    """
    unit: NDArray[np.float64] = picture / 255
    return np.rint(255 * denormalise(unit)).astype(np.uint8)

"""From pen to 28x28: ink, the steps that MNIST's makers took from a scan to a digit, and wobbled drawings.

The steps after the ink know nothing of strokes, so that pictures from files can go the same way. Pictures are uint8.
*Ink on paper* is black (0) on white (255); everything after :func:`invert` is *light on black*, as MNIST has it, so
that 0 means "no ink" and sums of pixels are masses of ink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnist_lab.data.mnist import SIDE, denormalise
from mnist_lab.data.pen_strokes import BOX
from mnist_lab.drawing.strokes import CANVAS, Drawing, segments, visible

BRUSH = 20.0  # canvas pixels: width of the pen unless the user chooses another
_UNIT = CANVAS / SIDE  # canvas pixels for each pixel of the 28x28 picture
_MIDDLE = 14
"""Row and column of the pixel that holds a digit's centre of mass.

In 5,000 training images, the centres lie evenly between 13.5 and 14.5 (0 is the first pixel's middle), so the digits
were moved by whole pixels, and to pixel 14 rather than to the geometric middle, 13.5.
"""
PEN = 2.45
"""Width of the pen that re-inks a drawing, in pixels of the 20-pixel box: that of MNIST's median digit.

In 5,000 training images, enlarged 8 times (bilinear) and cut at half grey, four times the mean distance from inside a
line to its edge is 2.49 at the median (tenth to ninetieth percentile: 1.78 to 3.54). Pens of known width, drawn along
the skeletons of 300 of them, correct that for bends and crossings (2.4: 2.42, 2.5: 2.56).
"""
FINEST = 4.0  # canvas pixels: below it, a pen's round ends turn square on the canvas's own pixels
_FAINT = 25  # grey levels, of 255, up to which the edge of the ink is a fringe of anti-aliasing, not yet ink

Picture: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Steps:
    """Which steps to take; all of them make a drawing like MNIST's."""

    pen: bool = True  # ink the strokes, or the lines of a picture, with a pen as wide as MNIST's lines
    invert: bool = True  # white ink on black
    crop: bool = True  # cut away the paper around the ink
    box: bool = True  # longer side to 20 pixels, proportions kept; otherwise squeezed to 28x28
    centre: bool = True  # centre of mass to the middle; otherwise the middle of the box
    normalise: bool = True  # values of mean 0 and deviation 1 over MNIST; otherwise 0 to 1

    def without(self, name: str) -> Steps:
        return replace(self, **{name: False})


STEP_NAMES = tuple(field.name for field in fields(Steps))

MODES = {  # the ways to score drawings: the canvas squeezed as it is, inverted as well, and as MNIST's makers did
    "raw": Steps(pen=False, invert=False, crop=False, box=False, centre=False),
    "inverted": Steps(pen=False, crop=False, box=False, centre=False),
    "mnist": Steps(),
}


def to_mnist(source: Drawing | Picture, steps: Steps = MODES["mnist"]) -> Picture | None:
    """What the network sees of a drawing, or of black ink on a white (255) ground (H, W); None if there is no ink.

    (28, 28) uint8, white on black unless ``steps`` leaves the inversion out; networks normalise it themselves.
    """
    if isinstance(source, Drawing):
        source = ink(source, pen_width(source) if steps.pen else BRUSH)
    elif steps.pen:
        source = ink_again(source)
    taken = from_ink(source, steps)
    return None if taken is None else taken["normalise"]


def from_ink(paper: Picture, steps: Steps) -> dict[str, Picture] | None:
    """What each step after the ink (H, W) left, by its name, the last (28, 28) as networks see it; None without ink."""
    light = invert(paper)
    if not crop(light).size:
        return None
    taken = {"invert": light} if steps.invert else {}
    if steps.crop:
        taken["crop"] = light = crop(light)
    taken["box"] = light = fit_box(light) if steps.box else resample(light, SIDE, SIDE)
    if steps.centre and light.any():
        taken["centre"] = light = centre(light)
    elif steps.box:
        taken["centre"] = light = _place(light, (SIDE - BOX) // 2, (SIDE - BOX) // 2)
    # The steps measure ink, so they work on light ink; without the inversion, their negatives are shown.
    if not steps.invert:
        taken, light = {name: invert(picture) for name, picture in taken.items()}, invert(light)
    if not steps.normalise:
        # Every network normalises the bytes that it is asked about. So its mean and deviation are put on here, for the
        # network to take off again: what arrives is 0 to 1 (but for half a byte, 0.0064), in greys from 33 to 112.
        unit: NDArray[np.float64] = light / 255
        light = np.rint(255 * denormalise(unit)).astype(np.uint8)
    return taken | {"normalise": light}


class Xray(NamedTuple):
    """A drawing taken apart, in pictures of uint8; None stands where the brush left no ink on the canvas."""

    # The ink as drawn, then what each of the six steps made of it, (H, W); what is switched off passes on what it got.
    stages: tuple[Picture, ...]
    chosen: Picture | None  # what comes out of the chosen steps, (28, 28)
    whole: Picture  # what comes out of all steps, as to_mnist has it
    without: dict[str, Picture | None]  # what comes out if one step of all is left out, by the step's name


def take_apart(drawing: Drawing, steps: Steps, brush: float = BRUSH) -> Xray | None:
    """Prepare a drawing with the chosen steps, with all of them, and with each one left out; None if there is no ink.

    Inking with the user's ``brush`` (canvas pixels) and with MNIST's pen is nearly all of the work, so both inks are
    made once and shared, which is quick enough to follow a pen.
    """
    drawn, inked_again = ink(drawing, brush), ink(drawing, pen_width(drawing))

    def outcome(chosen: Steps) -> Picture | None:
        taken = from_ink(inked_again if chosen.pen else drawn, chosen)
        return None if taken is None else taken["normalise"]

    whole = outcome(Steps())
    if whole is None:
        return None
    stages = [drawn, inked_again if steps.pen else drawn]
    taken = from_ink(stages[1], steps) or {}
    for name in STEP_NAMES[1:]:
        stages.append(taken.get(name, stages[-1]))
    without = {name: outcome(Steps().without(name)) for name in STEP_NAMES}
    return Xray(tuple(stages), outcome(steps), whole, without)


def ink(drawing: Drawing, brush: float = BRUSH) -> Picture:
    """The drawing as a round pen leaves it on paper, anti-aliased: (280, 280) uint8, black (0) on white (255).

    A pixel's grey follows from the distance of its middle to the nearest line: full ink until half a pixel inside the
    pen's edge, none from half a pixel outside. A brush finer than one pixel is as wide as a pixel and paler.
    """
    distance = _nearest_line(segments(drawing), reach=brush / 2 + 0.5)
    coverage: NDArray[np.float32] = np.clip(brush / 2 + 0.5 - distance, 0, min(brush, 1))
    return np.rint(255 - 255 * coverage).astype(np.uint8)


def _nearest_line(lines: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """How far each pixel is from the nearest of the lines (S, 4), exact within reach; (280, 280), in canvas pixels."""
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
    """The pen's width, in canvas pixels, with which the lines come out as wide as MNIST's, whatever the digit's size.

    That is ``PEN`` twentieths of the inked digit, as far as it lies on the canvas, and at least ``FINEST``: digits of
    less than 30 pixels, and dots, come out somewhat bold.
    """
    points = visible(segments(drawing)).reshape(-1, 2)  # (2 S, 2)
    longest = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    return max(PEN * longest / (BOX - PEN), FINEST)


_FINE_PEN = 0.9  # of the width of MNIST's pen, above which a picture's lines are left as they are
_AGAIN = 200  # pixels: longer side at which a picture is inked again; a tenth of a pixel of the 20-pixel box


def ink_again(paper: Picture) -> Picture:
    """The ink of a picture (H, W), with lines as wide and black as MNIST's; other sizes, (h, w), at most 200 and a rim.

    Lines grow by the same amount on both sides (a threshold on the distance to the ink), so that a pen of two widths
    keeps both. Their width is four times the mean distance from inside the ink to its edge, as of ``PEN``.
    """
    light = crop(invert(paper), faint=127)
    if not light.size:
        return paper
    scale = _AGAIN / max(light.shape)
    height, width = (max(1, round(scale * length)) for length in light.shape)
    margin = _AGAIN // 8
    if scale < 1:  # hairlines would turn pale
        large = resample(ndimage.maximum_filter(light, round(1 / scale)), height, width)
    else:
        large = np.asarray(Image.fromarray(light).resize((width, height), Image.Resampling.BICUBIC))
    is_ink = np.pad(large > 127, margin)
    outside, inside = ndimage.distance_transform_edt(~is_ink), ndimage.distance_transform_edt(is_ink)
    away = np.where(is_ink, 0.5 - inside, outside - 0.5)  # from the ink's edge, negative inside
    found = 4 * float(-away[is_ink].mean())
    wanted = PEN * (_AGAIN - found) / (BOX - PEN)
    if found > _FINE_PEN * wanted:
        return paper
    again = np.clip(0.5 - (away - (wanted - found) / 2), 0, 1)
    return np.rint(255 - 255 * again).astype(np.uint8)


def invert(picture: Picture) -> Picture:
    """Black on white to white on black, or back; any shape, uint8."""
    return 255 - picture


def crop(picture: Picture, faint: int = _FAINT) -> Picture:
    """The smallest part (h, w) of a light-on-black picture that holds every pixel of more than ``faint``, or (0, 0)."""
    (box,) = ndimage.find_objects((picture > faint).astype(np.uint8), max_label=1)
    return picture[:0, :0] if box is None else picture[box]


def fit_box(picture: Picture) -> Picture:
    """Resample a picture (H, W), at least 1x1, to 20 pixels on its longer side, keeping its proportions exactly.

    The shorter side lies in the middle, wherever that is between pixels. MNIST's did, too: most of its digits are an
    even number of pixels wide, and their outermost columns are half as bright as their outermost rows.
    """
    spare = [max(picture.shape) - length for length in picture.shape]
    square = np.pad(picture, [(more // 2, more - more // 2) for more in spare])
    return resample(square, BOX, BOX)


def resample(picture: Picture, height: int, width: int) -> Picture:
    """Resample a picture, at least 1x1, by area: each new pixel is the mean of the part of the old that it covers."""
    rows, columns = _overlap(picture.shape[0], height), _overlap(picture.shape[1], width)
    means: NDArray[np.float32] = rows @ picture.astype(np.float32) @ columns.T  # (height, width)
    return np.rint(means).astype(np.uint8)


def _overlap(old: int, new: int) -> NDArray[np.float32]:
    """How much of each new pixel each old one covers, along one axis; (new, old) float32, rows add up to 1."""
    edges, first = np.arange(new + 1) * (old / new), np.arange(old)  # the new pixels' edges, measured in old pixels
    left, right = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    covered: NDArray[np.float64] = np.clip(np.minimum(right, first + 1) - np.maximum(left, first), 0, None)
    return (covered * (new / old)).astype(np.float32)  # (new, old)


def centre(picture: Picture) -> Picture:
    """Place a light-on-black picture in 28x28 so that its centre of mass lies on pixel (14, 14), as MNIST's do.

    Moved by whole pixels, so that nothing is blurred. A shape so lopsided that its ink would leave the picture is
    moved only as far as all of it stays inside. The picture is at most 28x28 and has some ink.
    """
    inked = crop(picture, faint=0)
    row, column = ndimage.center_of_mass(inked)
    return _place(inked, round(_MIDDLE - row), round(_MIDDLE - column))


def _place(picture: Picture, top: int, left: int) -> Picture:
    """A picture of at most 28x28 on (28, 28) black pixels, as near to (top, left) as keeps it wholly inside."""
    height, width = picture.shape
    top, left = min(max(top, 0), SIDE - height), min(max(left, 0), SIDE - width)
    placed = np.zeros((SIDE, SIDE), dtype=np.uint8)
    placed[top : top + height, left : left + width] = picture
    return placed


@dataclass(frozen=True)
class Wobble:
    """How far the drawing is moved off MNIST's way of placing it; the defaults leave it there."""

    right: float = 0.0  # pixels of the 28x28 picture
    down: float = 0.0  # pixels of the 28x28 picture
    turn: float = 0.0  # degrees, clockwise, about the picture's middle
    size: float = 100.0  # percent of the size it would have, about the picture's middle
    stroke: float = 100.0  # percent of the width that MNIST's lines have


def see(drawing: Drawing, wobble: Wobble) -> Picture | None:
    """What the networks see of a wobbled drawing, (28, 28) white on black; None if there is no ink to see.

    The steps from pen to 28x28 undo most of what a wobble does: wherever a digit was drawn and however large, it ends
    up centred and 20 pixels long. So its visible lines are first placed as those steps place it, and wobbled there.
    """
    final = to_mnist(drawing)
    if final is None or wobble == Wobble():
        return final
    light = invert(ink(drawing, pen_width(drawing)))
    scale = _UNIT * BOX / max(crop(light).shape)
    # Resampling by area keeps the centre of mass, so the two centres (x, y) tell how far the ink was moved.
    here, there = (np.array(ndimage.center_of_mass(picture)[::-1]) + 0.5 for picture in (light, final))
    placed = _UNIT * there + scale * (visible(segments(drawing)).reshape(-1, 2) - here)  # (2 S, 2), in canvas pixels
    angle = math.radians(wobble.turn)
    turn = wobble.size / 100 * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    moved = CANVAS / 2 + (placed - CANVAS / 2) @ turn + _UNIT * np.array([wobble.right, wobble.down])
    strokes = tuple(((x0, y0), (x1, y1)) for x0, y0, x1, y1 in moved.reshape(-1, 4).tolist())
    picture = resample(invert(ink(Drawing(strokes), PEN * _UNIT * wobble.stroke / 100)), SIDE, SIDE)
    return picture if picture.any() else None

"""Smooth ink for the screen: anti-aliased, and along curves through the points where the pen was.

Networks never see this picture: theirs is made of straight lines between the points (``preprocess.ink``), so that the
same strokes give the same bits on every screen. A pen's points lie so near to each other that the curve leaves those
lines by a fraction of the brush.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from mnist_lab.drawing.strokes import CANVAS, Point, Stroke

_FINE = 4  # pixels drawn, along each axis, for each one that is shown: their mean makes smooth edges
_SPACING = 8.0  # pixels of the screen: nearer points are averaged, lest the curve shows that a mouse moves by pixels
_STEP = 2.0  # canvas pixels between the points of a curve

Piece: TypeAlias = list[Point]  # of a line
Region: TypeAlias = tuple[int, int, int, int]  # left, top, right and bottom, in pixels of the screen


def curves(points: Sequence[Point]) -> list[Piece]:
    """A smooth way through points, in pieces: each from one point to the next, itself as points."""
    padded = np.array([points[0], *points, points[-1]])
    return [_curve(*padded[place : place + 4]) for place in range(len(points) - 1)]


def _curve(
    before: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64], after: NDArray[np.float64]
) -> Piece:
    """From start to end on a centripetal Catmull-Rom spline, which makes no loops (Yuksel et al. 2011); all (2,)."""
    step = end - start
    into, along, out = (math.sqrt(math.hypot(*way)) for way in (start - before, step, after - end))
    leave = step + along * ((start - before) / into - (end - before) / (into + along)) if into else step
    arrive = step + along * ((after - end) / out - (after - start) / (along + out)) if out else step
    t = np.linspace(0, 1, 1 + max(1, math.ceil(along**2 / _STEP)))[:, np.newaxis]  # (n, 1)
    places = start + t * (leave + t * (3 * step - 2 * leave - arrive + t * (leave + arrive - 2 * step)))
    return [(x, y) for x, y in places.tolist()]


class Ink:
    """How much ink lies on each pixel of the screen; what goes in are canvas pixels."""

    def __init__(self, side: int) -> None:
        self._side, self._scale = side, side / CANVAS
        self._final = Image.new("L", (side, side))  # 0: paper, 255: ink
        self._lift()

    def _lift(self) -> None:
        self._knots: list[Point] = []  # of the stroke that grows: the last points that its curve goes through
        self._near: list[Point] = []  # where the pen was after these
        self._shown: Region | None = None  # what the pen's last move has changed

    def redraw(self, strokes: Iterable[Stroke], brush: float) -> Image.Image:
        """The whole picture of these strokes, with a brush of so many canvas pixels; the next point begins another."""
        pieces: list[Piece] = []
        for stroke in strokes:
            self._lift()
            pieces += [piece for point in stroke for piece in self._extend(point)] + self._pending()
        self._lift()
        self._final = self._inked(pieces, brush, (0, 0, self._side, self._side))
        return self._final

    def follow(self, point: Point, brush: float) -> tuple[Region, Image.Image]:
        """The pen is down and has come to a point: where the picture changes, and to what; a moment's work."""
        final = self._extend(point)
        self._add(final, brush)
        pending = self._pending()
        before, self._shown = self._shown, self._around([*final, *pending], brush)
        region = self._shown if before is None else _union(before, self._shown)
        return region, ImageChops.lighter(self._final.crop(region), self._inked(pending, brush, region))

    def lift(self, brush: float) -> None:
        """The pen goes up: the end of its stroke stays as it is shown."""
        if self._knots:
            self._add(self._pending(), brush)
        self._lift()

    def _extend(self, point: Point) -> list[Piece]:
        """Let the stroke grow; gives the piece of its curve whose shape is final by that, if there is one."""
        if not self._knots:
            self._knots = [point]
            return []
        if not self._near or math.dist(point, self._near[0]) < _SPACING / self._scale:
            self._near.append(point)
            return []
        x, y = np.mean(self._near, axis=0).tolist()
        self._knots, self._near = [*self._knots, (x, y)][-4:], [point]
        return curves(self._knots)[-2:-1]

    def _pending(self) -> list[Piece]:
        """The end of the stroke, whose shape depends on where the pen goes next."""
        return curves([*self._knots[-3:], self._near[-1]])[-2:] if self._near else [self._knots]

    def _add(self, pieces: Sequence[Piece], brush: float) -> None:
        if pieces:
            region = self._around(pieces, brush)
            inked = ImageChops.lighter(self._final.crop(region), self._inked(pieces, brush, region))
            self._final.paste(inked, region[:2])

    def _inked(self, pieces: Sequence[Piece], brush: float, region: Region) -> Image.Image:
        """The part of the picture that only these pieces of line leave."""
        left, top, right, bottom = region
        large = Image.new("L", (_FINE * (right - left), _FINE * (bottom - top)))
        pen, width = ImageDraw.Draw(large), _FINE * max(1.0, self._scale * brush)
        for piece in pieces:
            way = [(_FINE * (self._scale * x - left), _FINE * (self._scale * y - top)) for x, y in piece]
            pen.line(way, fill=255, width=round(width))
            for x, y in way:  # round ends and bends
                pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
        return large.reduce(_FINE)

    def _around(self, pieces: Sequence[Piece], brush: float) -> Region:
        """The pixels that these pieces of line can reach."""
        places, reach = self._scale * np.vstack(pieces), self._scale * brush / 2 + 2
        left, top = np.floor(places.min(axis=0) - reach).clip(0, self._side - 1).astype(int).tolist()
        right, bottom = np.ceil(places.max(axis=0) + reach).clip(1, self._side).astype(int).tolist()
        return left, top, right, bottom


def _union(one: Region, other: Region) -> Region:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])

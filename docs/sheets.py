"""Pictures of digits on paper, in the making: pens, papers, light and cameras, for docs/paper.py to measure with."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from mnist_lab.drawing.pieces import thinned

Lines: TypeAlias = NDArray[np.float64]  # (S, 4) x, y of start and end; the longer side of all reaches from 0 to 1
Values: TypeAlias = NDArray[np.float64]  # (H, W, 3) 0 to 255, or (H, W) 0 to 1 for what is covered
Random: TypeAlias = np.random.Generator
Colour: TypeAlias = Sequence[float] | NDArray[np.float64]  # 0 to 255

WHITE, INK, PENCIL, BLUE = (250, 249, 246), (25, 25, 28), (120, 120, 122), (40, 60, 150)
_FINE = 3  # subpixels in which lines are drawn

# --- digits ------------------------------------------------------------------------------------------------------


def centre_lines(digit: NDArray[np.uint8]) -> Lines:
    """The lines that a pen would have drawn for a digit (28, 28), light on black."""
    large = ndimage.zoom(digit.astype(np.float64), 8, order=3)
    rows, columns = np.nonzero(thinned(ndimage.gaussian_filter(large, 3) > 100))
    points = np.stack([columns, rows], axis=1).astype(np.float64)  # (N, 2)
    away = np.abs(points[:, None] - points[None]).max(axis=2)
    near = away <= 1
    for _ in range(4):  # smooth the stairs of the pixels
        points = near @ points / near.sum(axis=1, keepdims=True)
    start, end = np.nonzero(np.triu(near))
    return unit(np.hstack([points[start], points[end]]))


def unit(lines: Lines) -> Lines:
    """Lines moved and scaled so that their longer side reaches from 0 to 1, the shorter one in the middle."""
    ends = lines.reshape(-1, 2)
    low, size = ends.min(axis=0), np.ptp(ends, axis=0)
    placed: Lines = (ends - low + (size.max() - size) / 2) / max(1e-6, float(size.max()))
    return placed.reshape(-1, 4)


def broad(lines: Lines, width: float) -> Lines:
    """The lines of a broad nib, held at 45 degrees: wide in one direction and fine in the other."""
    return np.concatenate([lines + width * place * np.array([1, -1, 1, -1]) for place in np.linspace(-0.5, 0.5, 7)])


def cover(lines: Lines, shape: tuple[int, int], at: tuple[float, float], scale: float, pen: float) -> Values:
    """How much of each pixel (H, W) a round pen, ``pen`` pixels wide, covers; the digit is ``scale`` pixels long."""
    left, top = (int(max(0, place - 2 * pen - 2)) for place in at)
    right, bottom = (int(min(side, place + scale + 2 * pen + 2)) for side, place in zip(shape[::-1], at, strict=True))
    image = Image.new("1", ((right - left) * _FINE, (bottom - top) * _FINE), 1)
    draw = ImageDraw.Draw(image)
    for x0, y0, x1, y1 in (_FINE * (lines * scale + np.array([*at, *at]) - (left, top, left, top))).tolist():
        draw.line((x0, y0, x1, y1), fill=0, width=1)
    away = ndimage.distance_transform_edt(np.asarray(image))
    fine = np.clip(_FINE * pen / 2 + 0.5 - away, 0, 1)
    if _FINE * pen < 1:
        fine *= _FINE * pen
    covered = np.zeros(shape)
    size = ((bottom - top), _FINE, (right - left), _FINE)
    covered[top:bottom, left:right] = fine.reshape(size).mean(axis=(1, 3))
    return covered


# --- paper, pens and light -----------------------------------------------------------------------------------------


class Sheet:
    """A picture in the making: a digit on paper, which is lit and photographed step by step."""

    def __init__(self, lines: Lines, random: Random, width: int = 480, height: int = 480) -> None:
        self.lines, self.random = lines, random
        self.values: Values = np.zeros((height, width, 3)) + WHITE
        self.at: NDArray[np.float64] | None = None  # the middle of what is written, from -0.5 to 0.5; None: anywhere

    def draw(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def colour(self, low: Sequence[float], high: Sequence[float]) -> NDArray[np.float64]:
        return self.random.uniform(low, high)

    def paper(self, colour: Colour) -> Sheet:
        self.values[:] = colour
        return self

    def ruled(
        self, spacing: float, colour: Colour = (170, 195, 225), width: float = 2, *, squares: bool = False
    ) -> Sheet:
        """Straight lines at equal distances, level or also upright, of this colour."""
        for axis in (0, 1) if squares else (0,):
            side = self.values.shape[axis]
            middles, start = np.arange(side) + 0.5, self.draw(0.2, 1.2) * spacing
            away = np.abs((middles - start + spacing / 2) % spacing - spacing / 2)
            away = np.where(middles < start - spacing / 2, np.inf, away)
            self._ink(np.clip(width / 2 + 0.5 - away, 0, 1).reshape((-1, 1) if axis == 0 else (1, -1)), colour)
        return self

    def dotted(self, spacing: float, colour: Colour = (150, 150, 160), radius: float = 1.5) -> Sheet:
        """A grid of dots."""
        height, breadth = self.values.shape[:2]
        y, x = np.mgrid[:height, :breadth] % spacing - spacing / 2
        return self._ink(np.clip(radius + 0.5 - np.hypot(x, y), 0, 1), colour)

    def stained(self, colour: Colour, count: int) -> Sheet:
        """Rings and pools of coffee, pale and with a darker rim."""
        x, y = self._places()
        for _ in range(count):
            size = self.draw(0.1, 0.3)
            away = (np.hypot(x - self.draw(-0.5, 0.5), y - self.draw(-0.5, 0.5)) - size) / size
            pool = 0.12 / (1 + np.exp(np.clip(away * 60, -50, 50))) + 0.18 * np.exp(-((away / 0.03) ** 2))
            self._ink(pool, colour)
        return self

    def striped(self, dark: float, count: float) -> Sheet:
        """The shadows of a blind or a fence."""
        x, y = self._places()
        turn = self.draw(0, np.pi)
        wave = np.sin(2 * np.pi * count * (x * np.cos(turn) + y * np.sin(turn)) + self.draw(0, 6))
        return self._lit(dark + (1 - dark) / (1 + np.exp(-wave * self.draw(4, 30))))

    def cast(self, colour: Colour) -> Sheet:
        """Light of a colour, by its factor for each channel."""
        self.values *= np.asarray(colour, dtype=np.float64)
        return self

    def shaken(self, length: float) -> Sheet:
        """Blurred along a line by a hand that moved."""
        turn, steps = self.draw(0, np.pi), np.linspace(-length / 2, length / 2, 9)
        shifted = (
            ndimage.shift(self.values, (a * np.sin(turn), a * np.cos(turn), 0), order=1, mode="nearest") for a in steps
        )
        self.values = np.mean(list(shifted), axis=0)
        return self

    def margin(self) -> Sheet:
        x = self.draw(0.04, 0.12) * self.values.shape[1]
        away = np.abs(np.arange(self.values.shape[1]) + 0.5 - x)
        return self._ink(np.clip(1.5 - away, 0, 1)[None], (220, 90, 90))

    def box(self, gap: tuple[float, float] = (0.02, 0.08), width: float = 3, colour: Colour = (40, 40, 40)) -> Sheet:
        height, breadth = self.values.shape[:2]
        left, top, right, bottom = (self.draw(*gap) * side for side in (breadth, height, breadth, height))
        y, x = np.mgrid[:height, :breadth] + 0.5
        across, down = np.abs(x - (left + breadth - right) / 2), np.abs(y - (top + height - bottom) / 2)
        away = np.maximum(across - (breadth - right - left) / 2, down - (height - bottom - top) / 2)
        return self._ink(np.clip(width / 2 + 0.5 - np.abs(away), 0, 1), colour)

    def boxes(self, count: int, width: float, colour: Colour, chosen: int) -> Sheet:
        """A row of printed boxes, apart or side by side; the digit that is written next goes into one of them."""
        height, breadth = self.values.shape[:2]
        side = self.draw(0.6, 0.85) * breadth / count
        step = side + self.random.choice([0, self.draw(0.1, 0.3) * side])
        y, x = np.mgrid[:height, :breadth] + 0.5
        left, middle = (breadth - (count - 1) * step) / 2, height * self.draw(0.4, 0.6)
        for place in range(count):
            away = np.maximum(np.abs(x - left - place * step), np.abs(y - middle)) - side / 2
            self._ink(np.clip(width / 2 + 0.5 - np.abs(away), 0, 1), colour)
        self.at = np.array([left + chosen * step, middle]) / (breadth, height) - 0.5
        return self

    def folded(self) -> Sheet:
        """An open notebook: a dark fold from above to below, with a shadow to both sides."""
        x, y = self._places()
        away = np.abs(x - self.draw(-0.1, 0.1) - self.draw(-0.05, 0.05) * y)
        near, dark = (np.exp(-((away / self.draw(*size)) ** 2)) for size in ((0.03, 0.08), (0.002, 0.006)))
        return self._lit((1 - self.draw(0.2, 0.5) * near) * (1 - self.draw(0.5, 0.9) * dark))

    def pen_lying(self) -> Sheet:
        """A pen or pencil along one side, its end beyond the picture's edge; it throws a thin shadow."""
        x, y = self._places()
        away = x - self.random.choice([-1, 1]) * self.draw(0.36, 0.44) - self.draw(-0.08, 0.08) * y
        reach, thick = y - self.draw(-0.2, 0.2), self.draw(0.01, 0.025)
        for shift, light in ((0.4 * thick, (0.7, 0.7, 0.7)), (0.0, self.draw(0.1, 0.5) * self.random.uniform(0, 1, 3))):
            covered = np.clip(300 * (thick * np.clip(4 * reach + 0.3, 0, 1) - np.abs(away - shift)), 0, 1) * (reach > 0)
            self.values *= 1 - covered[..., np.newaxis] * (1 - np.asarray(light))
        return self

    def edged(self, dark: float) -> Sheet:
        """The thin shadow that two edges of a page throw on what lies below it."""
        wide = 2 + int(self.draw(0, 0.006) * len(self.values))
        self.values[-wide:] *= dark
        self.values[:, :wide] *= dark
        return self

    def marked(self, colour: Colour) -> Sheet:
        """A stripe of highlighter across the middle, through which one sees the ink."""
        x, y = self._places()
        covered = np.clip(80 * (self.draw(0.04, 0.09) - np.abs(y - 0.02 * x)), 0, 1) * (
            np.abs(x) < self.draw(0.3, 0.45)
        )
        self.values *= 1 - covered[..., np.newaxis] * (1 - np.asarray(colour, dtype=np.float64) / 255)
        return self

    def circled(self) -> Sheet:
        """With a ring around the digit, drawn by hand: it may not quite close, or go on beyond its start."""
        low, high = self.lines.reshape(-1, 2).min(axis=0), self.lines.reshape(-1, 2).max(axis=0)
        turns = np.linspace(1, 1 + self.draw(0.97, 1.1) * 2 * np.pi, 61)
        reach = float(np.hypot(*(high - low))) / 2 + self.draw(0.05, 0.3)
        size = reach * self.random.uniform(0.95, 1.05, 2) * (1 + 0.03 * np.sin(2 * turns + self.draw(0, 6)))[:, None]
        ring = (low + high) / 2 + size * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        self.lines = unit(np.vstack([self.lines, np.hstack([ring[:-1], ring[1:]])]))
        return self

    def underlined(self) -> Sheet:
        """With one line or two below the digit, drawn by hand."""
        low, high = self.lines.reshape(-1, 2).min(axis=0), self.lines.reshape(-1, 2).max(axis=0)
        for number in range(self.random.integers(1, 3)):
            below, (left, right), tilt = self.draw(0.1, 0.2) + 0.15 * number, (low[0], high[0]), self.draw(-0.04, 0.04)
            line = [left - 0.2, high[1] + below + tilt, right + 0.2, high[1] + below - tilt]
            self.lines = np.vstack([self.lines, line])
        self.lines = unit(self.lines)
        return self

    def bowed(self, depth: float) -> Sheet:
        """Not flat: in the middle, or somewhere beside it, up to so much of its height nearer to the camera."""
        bends = [self.draw(-1, 1) * depth * (2 * place - self.draw(-0.3, 0.3)) ** 2 for place in self._places()]
        return self._warped(bends[1], bends[0])

    def bound(self, depth: float, dark: float) -> Sheet:
        """A page of a book that curls, and lies in shadow, towards its spine on one side."""
        away = np.abs(self._places()[0] - self.random.choice([-0.5, 0.5]))
        near = np.exp(-away / self.draw(0.1, 0.3))
        return self._warped(0 * near, self.random.choice([-1, 1]) * depth * near)._lit(1 - (1 - dark) * near**2)

    def _warped(self, across: Values, down: Values) -> Sheet:
        """With each place (H, W) taken from so much of the sides further to the right and downwards."""
        height, breadth = self.values.shape[:2]
        y, x = np.mgrid[:height, :breadth] + np.stack([down * height, across * breadth])
        channels = [
            ndimage.map_coordinates(self.values[..., channel], (y, x), order=1, mode="nearest") for channel in range(3)
        ]
        self.values = np.dstack(channels)
        return self

    def punched(self, count: int) -> Sheet:
        """With round holes along the left side, through which one sees a dark table."""
        x, y = self._places()
        across, size = self.draw(0.04, 0.09) - 0.5, self.draw(0.02, 0.04)
        for place in (np.arange(count) + 0.5) / count - 0.5:
            covered = (size - np.hypot(x - across, y - place)) * self.values.shape[1] + 0.5
            self._ink(np.clip(covered, 0, 1), self.colour((20, 20, 20), (90, 80, 70)))
        return self

    def write(
        self,
        colour: Colour = INK,
        pen: float = 1 / 18,
        size: float = 0.62,
        grain: float = 0,
        lines: Lines | None = None,
        strength: float = 1,
        where: float = 1,
        tooth: float = 0.8,
    ) -> Sheet:
        """The digit, ``size`` of the shorter side long, with a pen of ``pen`` of the digit.

        Graphite has grain, as the paper has teeth, which are so many pixels wide.
        """
        height, breadth = self.values.shape[:2]
        scale = size * min(height, breadth) * (1 if size < 0.5 else self.draw(0.85, 1.1))
        wide = max(pen * scale, 0.0)
        spare = np.array([breadth - scale, height - scale]) / 2
        at = (
            spare
            + self.random.uniform(-0.75, 0.75, 2) * np.maximum(spare - wide - 0.06 * min(height, breadth), 0) * where
        )
        if self.at is not None:
            at = (self.at + 0.5) * (breadth, height) - scale / 2
        lines = self.lines if lines is None else lines
        covered = strength * cover(lines, (height, breadth), (at[0], at[1]), scale, wide)
        if grain:
            teeth = ndimage.gaussian_filter(self.random.normal(0, 2, covered.shape), tooth) * (tooth / 0.8)
            covered *= np.clip(1 - grain * np.abs(teeth), 0, 1)
        return self._ink(covered, colour)

    def _ink(self, covered: Values, colour: Colour) -> Sheet:
        """Ink takes light away or, like chalk, covers."""
        self.values += covered[..., None] * (np.asarray(colour, dtype=np.float64) - self.values)
        return self

    def _lit(self, light: Values) -> Sheet:
        self.values *= light[..., None]
        return self

    def _places(self) -> tuple[Values, Values]:
        """x and y from -0.5 to 0.5."""
        height, breadth = self.values.shape[:2]
        x, y = np.meshgrid((np.arange(breadth) + 0.5) / breadth - 0.5, (np.arange(height) + 0.5) / height - 0.5)
        return x, y

    def grainy(self, deviation: float, *, colour: bool = False) -> Sheet:
        """The noise of a camera, grey or different in each channel."""
        height, breadth = self.values.shape[:2]
        self.values += self.random.normal(0, deviation, (height, breadth, 3 if colour else 1))
        return self

    def textured(self, deviation: float, size: float) -> Sheet:
        """Fibres and unevenness of the paper, some pixels long."""
        field = ndimage.gaussian_filter(self.random.normal(0, 1, self.values.shape[:2]), size)
        return self._lit(1 + deviation * field / field.std())

    def vignetted(self, strength: float = 1.1) -> Sheet:
        x, y = self._places()
        return self._lit(np.clip(1 - strength * (x**2 + y**2), 0.05, 1))

    def gradient(self, least: float = 0.5) -> Sheet:
        x, y = self._places()
        turn = self.draw(0, 2 * np.pi)
        along = x * np.cos(turn) + y * np.sin(turn)
        return self._lit(1 - (1 - least) * (along / np.ptp(along) + 0.5))

    def shadow(self, dark: float = 0.62, soft: float = 1 / 18, *, curved: bool = False) -> Sheet:
        """What something beside the paper keeps in the dark; ``soft`` is the width of the penumbra."""
        x, y = self._places()
        turn, place = self.draw(0, 2 * np.pi), self.draw(-0.3, 0.3)
        away = x * np.cos(turn) + y * np.sin(turn) - place
        if curved:
            away = np.hypot(x - 0.9 * np.cos(turn), y - 0.9 * np.sin(turn)) - 0.9 - place
        return self._lit(dark + (1 - dark) / (1 + np.exp(-np.clip(away / soft, -50, 50))))

    def lamp(self, strength: float = 0.8, size: float = 0.15) -> Sheet:
        """A bright spot, as of a lamp that is reflected."""
        x, y = self._places()
        away = np.hypot(x - self.draw(-0.5, 0.5), y - self.draw(-0.5, 0.5)) / size
        self.values += strength * np.exp(-(away**2))[..., None] * (255 - self.values)
        return self

    def creased(self, count: int = 3, depth: float = 0.12) -> Sheet:
        """Folds: straight, thin, dark on one side and light on the other."""
        x, y = self._places()
        for _ in range(count):
            turn, place = self.random.choice([0, np.pi / 2]) + self.random.normal(0, 0.04), self.draw(-0.4, 0.4)
            away = (x * np.cos(turn) + y * np.sin(turn) - place) / self.draw(0.004, 0.015)
            self._lit(1 - self.draw(0.4, 1) * depth * away * np.exp(0.5 - away**2 / 2))
        return self

    def wrinkled(self, depth: float = 0.08) -> Sheet:
        """Crumpled paper: facets that are lit differently."""
        x, y = self._places()
        seeds = self.random.uniform(-0.6, 0.6, (14, 2))
        facet = np.argmin([np.hypot(x - a, y - b) for a, b in seeds.tolist()], axis=0)
        slopes = self.random.normal(0, 1, (14, 3))
        light = 1 + depth * (slopes[facet, 0] * 0.5 + slopes[facet, 1] * x + slopes[facet, 2] * y)
        return self._lit(ndimage.gaussian_filter(light, self.draw(1, 5)))

    def table(
        self,
        colour: Colour = (70, 50, 40),
        turn: float = 0,
        bend: float = 0,
        wood: float = 0,
        margin: tuple[float, float] = (0.06, 0.14),
        planks: int = 0,
    ) -> Sheet:
        """The paper lies on a table, turned by degrees, and seen from a side (``bend``, of its own side)."""
        height, breadth = self.values.shape[:2]
        angle = np.radians(turn)
        ends = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
        shown = 1 - 2 * self.draw(*margin)
        ends = ends * shown / (abs(np.cos(angle)) + abs(np.sin(angle)))
        ends += bend * self.random.uniform(-1, 1, (4, 2))
        ends = ends @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        target = (ends + 0.5) * (breadth, height)
        source = np.array([(0, 0), (breadth, 0), (breadth, height), (0, height)], dtype=np.float64)
        rows = [
            [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
            for (x, y), (u, v) in zip(target, source, strict=True)
        ]
        factors = np.linalg.solve(np.concatenate(rows), source.ravel())
        rgba = np.dstack([self.values.clip(0, 255), np.full((height, breadth), 255.0)]).round().astype(np.uint8)
        image = Image.fromarray(rgba).transform(
            (breadth, height), Image.Transform.PERSPECTIVE, factors.tolist(), Image.Resampling.BICUBIC
        )
        top = np.asarray(image, dtype=np.float64)
        ground = np.zeros((height, breadth, 3)) + np.asarray(colour, dtype=np.float64)
        if wood:
            grain = ndimage.gaussian_filter(self.random.normal(0, 1, (height, breadth)), (0.8, 25))
            ground *= 1 + wood * (grain / grain.std())[..., None]
        if planks:  # each of its own shade, with dark joints
            along = np.arange(height) * planks / height + self.draw(0, 1)
            shades = 1 + self.random.normal(0, 0.15, planks + 2)
            joints = np.where(along % 1 < 0.04, 0.5, 1)
            ground *= (shades[along.astype(np.int64)] * joints)[:, None, None]
        opacity = top[..., 3:] / 255
        self.values = top[..., :3] * opacity + ground * (1 - opacity)
        return self

    def bordered(self, sides: str, colour: Colour, wide: float = 0.1, aslant: float = 0) -> Sheet:
        """Strips along these sides ("tblr"): a scanner's lid, the bars of a screen, a table.

        They are 0.01 to ``wide`` of the picture's height wide, and at their other end up to ``aslant`` more.
        """
        for side in sides:
            width = int(self.draw(0.01, wide) * len(self.values))
            seen = {"t": self.values, "b": self.values[::-1], "l": self.values.swapaxes(0, 1)}
            seen["r"] = seen["l"][::-1]
            rows, length = seen[side], seen[side].shape[1]
            more = np.linspace(0, self.draw(0, aslant) * len(self.values), length) if aslant else np.zeros(length)
            rows[np.arange(len(rows))[:, np.newaxis] < width + more] = colour
        return self

    def blurred(self, radius: float) -> Sheet:
        self.values = ndimage.gaussian_filter(self.values, (radius, radius, 0))
        return self

    def turned(self, degrees: float) -> Sheet:
        """The camera was held at an angle; nothing but paper is to be seen."""
        angle = np.radians(degrees)
        grow = abs(np.cos(angle)) + abs(np.sin(angle))
        height, breadth = self.values.shape[:2]
        image = self.image().rotate(degrees, Image.Resampling.BICUBIC)
        x, y = breadth / 2, height / 2
        cut = image.crop((x - x / grow, y - y / grow, x + x / grow, y + y / grow))
        self.values = np.asarray(cut, dtype=np.float64)
        return self

    def compressed(self, quality: int) -> Sheet:
        file = io.BytesIO()
        self.image().save(file, "JPEG", quality=quality)
        self.values = np.asarray(Image.open(file), dtype=np.float64)
        return self

    def reduced(self, side: int) -> Sheet:
        image = self.image()
        image.thumbnail((side, side), Image.Resampling.BOX)
        self.values = np.asarray(image, dtype=np.float64)
        return self

    def cropped(self, rim: int) -> Sheet:
        """Cut to what is unlike the paper, and some pixels more."""
        is_inked = np.abs(self.values - WHITE).max(axis=2) > 60
        rows, columns = np.flatnonzero(is_inked.any(axis=1)), np.flatnonzero(is_inked.any(axis=0))
        top, left = max(0, rows[0] - rim), max(0, columns[0] - rim)
        self.values = self.values[top : rows[-1] + rim + 1, left : columns[-1] + rim + 1]
        return self

    def negative(self) -> Sheet:
        self.values = 255 - self.values
        return self

    def image(self) -> Image.Image:
        return Image.fromarray(self.values.clip(0, 255).round().astype(np.uint8))

"""Measures how well pictures of paper are read: families of paper, light and pen, made from digits, read by a run.

usage: python docs/paper.py --run RUN [--strokes FILE.jsonl] [--each N] [--only WORD] [--without STEP] [--save FOLDER]

The digits are the centre lines of MNIST's validation digits (thinned), so that nothing of anybody else's hand is used;
--strokes takes a file of drawings instead. Every picture has parameters of its own, from a seed: a family is a range
of papers, not one. A family's row says how many of its pictures are read correctly, and how many are wrong and sure:
a wrong digit of at least 90 %, without any remark.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import main  # noqa: E402
from mnist_lab.data.loader import derive_seed  # noqa: E402
from mnist_lab.data.mnist import load_mnist  # noqa: E402
from mnist_lab.drawing import predictions  # noqa: E402
from mnist_lab.drawing.images import PAPER_STEPS, PaperSteps, read_page  # noqa: E402
from mnist_lab.drawing.strokes import read_drawings, segments  # noqa: E402
from mnist_lab.explain.commands import load_reader  # noqa: E402
from mnist_lab.terminal.console import Terminal, make_console  # noqa: E402
from mnist_lab.terminal.lab import Lab  # noqa: E402

Lines: TypeAlias = NDArray[np.float64]  # (S, 4) x, y of start and end; the longer side of all reaches from 0 to 1
Values: TypeAlias = NDArray[np.float64]  # (H, W, 3) 0 to 255, or (H, W) 0 to 1 for what is covered
Random: TypeAlias = np.random.Generator

WHITE, INK, PENCIL, BLUE = (250, 249, 246), (25, 25, 28), (120, 120, 122), (40, 60, 150)
_FINE = 3  # subpixels in which lines are drawn
_SURE = 0.9

# --- digits ------------------------------------------------------------------------------------------------------


def thinned(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The centre lines of shapes (Zhang and Suen 1984, "A fast parallel algorithm for thinning digital patterns")."""
    ink = np.pad(ink, 1)
    while True:
        before = ink
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            ring = [np.roll(ink, to, (0, 1)) for to in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))]
            count = np.sum(ring, axis=0)
            turns = np.sum([~ring[place] & ring[(place + 1) % 8] for place in range(8)], axis=0)
            both = [np.all([ring[place] for place in places], axis=0) for places in (first, second)]
            ink = ink & ~((count >= 2) & (count <= 6) & (turns == 1) & ~both[0] & ~both[1])
        if np.array_equal(ink, before):
            return ink[1:-1, 1:-1]


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
    ends = lines.reshape(-1, 2)
    low, size = ends.min(axis=0), np.ptp(ends, axis=0)
    return ((ends - low + (size.max() - size) / 2) / max(1e-6, size.max())).reshape(-1, 4)


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

    def draw(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def colour(self, low: Sequence[float], high: Sequence[float]) -> NDArray[np.float64]:
        return self.random.uniform(low, high)

    def paper(self, colour: Sequence[float] | NDArray[np.float64]) -> Sheet:
        self.values[:] = colour
        return self

    def ruled(self, spacing: float, colour: Sequence[float] = (170, 195, 225), width: float = 2, *, squares: bool = False) -> Sheet:
        """Straight lines at equal distances, level or also upright, of this colour."""
        for axis in (0, 1) if squares else (0,):
            side = self.values.shape[axis]
            middles, start = np.arange(side) + 0.5, self.draw(0.2, 1.2) * spacing
            away = np.abs((middles - start + spacing / 2) % spacing - spacing / 2)
            away = np.where(middles < start - spacing / 2, np.inf, away)
            self._ink(np.clip(width / 2 + 0.5 - away, 0, 1).reshape((-1, 1) if axis == 0 else (1, -1)), colour)
        return self

    def margin(self, colour: Sequence[float] = (220, 90, 90)) -> Sheet:
        x = self.draw(0.04, 0.12) * self.values.shape[1]
        away = np.abs(np.arange(self.values.shape[1]) + 0.5 - x)
        return self._ink(np.clip(1.5 - away, 0, 1)[None], colour)

    def box(self, gap: tuple[float, float] = (0.02, 0.08), width: float = 3, colour: Sequence[float] = (40, 40, 40)) -> Sheet:
        height, breadth = self.values.shape[:2]
        left, top, right, bottom = (self.draw(*gap) * side for side in (breadth, height, breadth, height))
        y, x = np.mgrid[:height, :breadth] + 0.5
        across, down = np.abs(x - (left + breadth - right) / 2), np.abs(y - (top + height - bottom) / 2)
        away = np.maximum(across - (breadth - right - left) / 2, down - (height - bottom - top) / 2)
        return self._ink(np.clip(width / 2 + 0.5 - np.abs(away), 0, 1), colour)

    def write(
        self, colour: Sequence[float] | NDArray[np.float64] = INK, pen: float = 1 / 18, size: float = 0.62,
        grain: float = 0, lines: Lines | None = None, strength: float = 1, where: float = 1,
    ) -> Sheet:
        """The digit, ``size`` of the shorter side long, with a pen of ``pen`` of the digit; graphite has grain."""
        height, breadth = self.values.shape[:2]
        scale = size * min(height, breadth) * (1 if size < 0.5 else self.draw(0.85, 1.1))
        wide = max(pen * scale, 0.0)
        spare = np.array([breadth - scale, height - scale]) / 2
        at = spare + self.random.uniform(-0.75, 0.75, 2) * np.maximum(spare - wide - 0.06 * min(height, breadth), 0) * where
        lines = self.lines if lines is None else lines
        covered = strength * cover(lines, (height, breadth), (at[0], at[1]), scale, wide)
        if grain:
            covered *= np.clip(1 - grain * np.abs(ndimage.gaussian_filter(self.random.normal(0, 2, covered.shape), 0.8)), 0, 1)
        return self._ink(covered, colour)

    def _ink(self, covered: Values, colour: Sequence[float] | NDArray[np.float64]) -> Sheet:
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
        self, colour: Sequence[float] | NDArray[np.float64] = (70, 50, 40), turn: float = 0, bend: float = 0, wood: float = 0,
        margin: tuple[float, float] = (0.06, 0.14),
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
        rows = [[(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
                for (x, y), (u, v) in zip(target, source, strict=True)]
        factors = np.linalg.solve(np.concatenate(rows), source.ravel())
        rgba = np.dstack([self.values.clip(0, 255), np.full((height, breadth), 255.0)]).round().astype(np.uint8)
        image = Image.fromarray(rgba).transform((breadth, height), Image.Transform.PERSPECTIVE, factors.tolist(), Image.Resampling.BICUBIC)
        top = np.asarray(image, dtype=np.float64)
        ground = np.zeros((height, breadth, 3)) + np.asarray(colour, dtype=np.float64)
        if wood:
            grain = ndimage.gaussian_filter(self.random.normal(0, 1, (height, breadth)), (0.8, 25))
            ground *= 1 + wood * (grain / grain.std())[..., None]
        opacity = top[..., 3:] / 255
        self.values = top[..., :3] * opacity + ground * (1 - opacity)
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
        cut = image.crop((breadth / 2 - breadth / 2 / grow, height / 2 - height / 2 / grow, breadth / 2 + breadth / 2 / grow, height / 2 + height / 2 / grow))
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

    def image(self) -> Image.Image:
        return Image.fromarray(self.values.clip(0, 255).round().astype(np.uint8))


Family: TypeAlias = Callable[[Sheet], Sheet | Image.Image]


def photo(sheet: Sheet) -> Sheet:
    """What any photograph by phone adds."""
    return sheet.blurred(sheet.draw(0.3, 0.9)).grainy(sheet.draw(1, 5), colour=True).compressed(int(sheet.draw(60, 92)))


def pencil(sheet: Sheet) -> NDArray[np.float64]:
    return np.full(3, sheet.draw(95, 145)) + sheet.random.normal(0, 2, 3)


def _transparent(sheet: Sheet) -> Image.Image:
    covered = 255 - np.asarray(sheet.paper((255, 255, 255)).write((0, 0, 0)).image().convert("L"))
    ink = int(sheet.random.choice([0, 255]))
    return Image.fromarray(np.dstack([np.full((*covered.shape, 3), ink, np.uint8), covered]))


def _sixteen(sheet: Sheet) -> Image.Image:
    return Image.fromarray(np.asarray(sheet.write(pen=sheet.draw(1 / 24, 1 / 12)).image().convert("L")).astype(np.uint16) * 257)


def _linear(sheet: Sheet) -> Sheet:
    sheet.write(pen=sheet.draw(1 / 24, 1 / 12))
    sheet.values = 255 * (sheet.values.clip(0, 255) / 255) ** 2.2
    return sheet


def _bleed(sheet: Sheet) -> Sheet:
    other = sheet.lines.copy()
    other[:, [0, 2]] = 1 - other[:, [0, 2]]
    size = sheet.draw(0.3, 0.6)
    sheet.write(BLUE, 1 / 20, size, lines=other, strength=sheet.draw(0.1, 0.22)).blurred(2.5)
    return sheet.write(BLUE, sheet.draw(1 / 30, 1 / 14)).grainy(3)


def _phone(sheet: Sheet) -> Sheet:
    sheet.ruled(sheet.draw(50, 90), sheet.colour((150, 170, 200), (190, 210, 235)), sheet.draw(1.5, 3))
    sheet.write(sheet.colour((20, 30, 110), (70, 90, 180)), sheet.draw(1 / 40, 1 / 16), sheet.draw(0.25, 0.6))
    return photo(sheet.turned(sheet.draw(-3, 3)).vignetted(sheet.draw(0.5, 1.3)))


_DARK = ((30, 20, 15), (100, 80, 70))

FAMILIES: dict[str, Family] = {
    # clean
    "clean ink": lambda s: s.write(pen=s.draw(1 / 20, 1 / 8), size=s.draw(0.4, 0.85)),
    "chalk on a blackboard": lambda s: s.paper(s.colour((25, 40, 30), (50, 75, 60))).write((235, 235, 225), s.draw(1 / 24, 1 / 10), grain=s.draw(0.1, 0.4)).grainy(3),
    "white on dark": lambda s: s.paper(s.colour((0, 0, 0), (60, 60, 80))).write((250, 250, 250), s.draw(1 / 24, 1 / 10)),
    "transparency": _transparent,
    "linear light": _linear,
    "16 bits": _sixteen,
    "fine felt pen, photo": lambda s: photo(s.write(pen=s.draw(1 / 30, 1 / 14))),
    # pens
    "hairline 1/96": lambda s: s.write(pen=1 / 96),
    "pen of 1 to 3 pixels": lambda s: s.write(pen=s.draw(1, 3) / 300),
    "ballpoint 1/48": lambda s: s.write(s.colour((20, 20, 20), (60, 60, 160)), pen=1 / 48),
    "marker": lambda s: s.write(s.colour((0, 0, 0), (200, 60, 60)), pen=s.draw(1 / 9, 1 / 6)),
    "fountain pen": lambda s: s.write(s.colour((20, 20, 60), (60, 60, 190)), s.draw(1 / 70, 1 / 40), lines=broad(s.lines, s.draw(0.01, 0.05)), strength=s.draw(0.6, 1)),
    "digit 1/16 of the page": lambda s: Sheet(s.lines, s.random, 1000, 1000).write(pen=s.draw(1 / 20, 1 / 10), size=1 / 16),
    "digit 1/25 of the page": lambda s: Sheet(s.lines, s.random, 1400, 1400).write(pen=s.draw(1 / 20, 1 / 10), size=1 / 25),
    "digit 1/25, photo": lambda s: photo(Sheet(s.lines, s.random, 1500, 1100).write(BLUE, pen=s.draw(1 / 16, 1 / 10), size=1500 / 1100 / 25).vignetted(s.draw(0.2, 0.8))),
    # pencil, grain
    "pencil": lambda s: s.write(pencil(s), s.draw(1 / 40, 1 / 18), grain=s.draw(0.1, 0.5)),
    "faint pencil, grain": lambda s: s.write(np.full(3, s.draw(165, 195)), s.draw(1 / 36, 1 / 20)).grainy(s.draw(6, 12)),
    "grain 20, pencil": lambda s: s.write(PENCIL, s.draw(1 / 36, 1 / 20)).grainy(s.draw(15, 22)),
    "low resolution": lambda s: s.write(pen=s.draw(1 / 24, 1 / 10)).reduced(int(s.draw(30, 80))),
    "blurred": lambda s: s.write(pen=s.draw(1 / 24, 1 / 10)).blurred(s.draw(3, 8)).grainy(3),
    "strong JPEG": lambda s: s.write(s.colour((20, 20, 20), (90, 90, 160)), s.draw(1 / 36, 1 / 12)).compressed(int(s.draw(8, 25))),
    # lines of the paper
    "ruled, pencil": lambda s: s.ruled(s.draw(50, 110), width=s.draw(1, 3)).write(pencil(s), s.draw(1 / 40, 1 / 20)),
    "ruled, ink, turned": lambda s: s.ruled(s.draw(40, 110), s.colour((140, 150, 170), (190, 200, 230)), s.draw(1, 3)).write(INK, s.draw(1 / 40, 1 / 14)).turned(s.draw(-8, 8)),
    "squared, pencil": lambda s: s.ruled(s.draw(20, 60), s.colour((160, 185, 205), (200, 215, 235)), s.draw(1, 2), squares=True).write(pencil(s), s.draw(1 / 36, 1 / 18)),
    "squared, ink, photo": lambda s: photo(s.ruled(s.draw(18, 60), s.colour((150, 160, 180), (200, 210, 235)), s.draw(1, 2), squares=True).write(BLUE, s.draw(1 / 36, 1 / 16)).turned(s.draw(-4, 4)).gradient(s.draw(0.5, 0.9))),
    "dark ruling": lambda s: s.ruled(s.draw(60, 120), (60, 60, 60), s.draw(1, 2.5)).write(INK, s.draw(1 / 24, 1 / 12)),
    "form box": lambda s: s.box(width=s.draw(1, 5), colour=np.full(3, s.draw(20, 150))).write(INK, s.draw(1 / 30, 1 / 12), 0.55),
    "small box": lambda s: s.box((0.15, 0.22), width=s.draw(1, 4), colour=s.colour((20, 20, 20), (220, 90, 90))).write(INK, s.draw(1 / 30, 1 / 12), 0.42, where=0),
    "margin, ruled": lambda s: s.ruled(s.draw(40, 100)).margin().write(BLUE, s.draw(1 / 36, 1 / 14)),
    # light
    "soft shadow, pencil": lambda s: s.write(pencil(s), s.draw(1 / 36, 1 / 18)).shadow(s.draw(0.5, 0.8), s.draw(0.03, 0.15)),
    "hard shadow": lambda s: s.write(pencil(s), s.draw(1 / 36, 1 / 18)).shadow(s.draw(0.35, 0.75), s.draw(0.001, 0.01)),
    "curved shadow, photo": lambda s: photo(s.write(BLUE, s.draw(1 / 36, 1 / 16)).shadow(s.draw(0.4, 0.75), s.draw(0.003, 0.03), curved=True)),
    "vignette, pencil": lambda s: s.write(pencil(s), s.draw(1 / 36, 1 / 18)).vignetted(s.draw(0.6, 1.4)),
    "lamp, ink": lambda s: s.paper(np.full(3, s.draw(150, 200))).write(INK, s.draw(1 / 30, 1 / 14)).lamp(s.draw(0.6, 1), s.draw(0.05, 0.25)).grainy(3),
    "lamp, chalk": lambda s: s.paper(s.colour((25, 40, 30), (60, 80, 70))).write((225, 225, 220), s.draw(1 / 24, 1 / 12)).lamp(s.draw(0.4, 0.9), s.draw(0.05, 0.2)).grainy(3),
    "dark picture": lambda s: s.write(pencil(s), s.draw(1 / 36, 1 / 16)).gradient(0.6)._lit(np.full((480, 480), s.draw(0.2, 0.4))).grainy(2),
    # papers
    "coloured paper": lambda s: s.paper(s.colour((140, 140, 90), (255, 230, 190))).write(s.colour((20, 20, 20), (70, 70, 120)), s.draw(1 / 30, 1 / 12)).textured(0.015, 1).grainy(3),
    "red on green": lambda s: s.paper((90, 160, 70)).write((230, 60, 60), s.draw(1 / 30, 1 / 12)).grainy(s.draw(0, 5)),
    "kraft paper, white pen": lambda s: s.paper(s.colour((140, 105, 70), (180, 140, 100))).write((245, 245, 240), s.draw(1 / 26, 1 / 12)).textured(0.03, 1.2),
    "creased": lambda s: photo(s.write(BLUE, s.draw(1 / 30, 1 / 14)).creased(depth=s.draw(0.05, 0.2))),
    "wrinkled": lambda s: photo(s.write(INK, s.draw(1 / 30, 1 / 14)).wrinkled(s.draw(0.04, 0.15))),
    "bleed-through": _bleed,
    # tables, photographs
    "paper on a dark table": lambda s: s.write(INK, s.draw(1 / 30, 1 / 12)).table(s.colour(*_DARK)),
    "table, turned, wood": lambda s: photo(s.write(BLUE, s.draw(1 / 24, 1 / 12)).table(s.colour(*_DARK), s.draw(-12, 12), wood=s.draw(0, 0.3))),
    "table, perspective, ruled": lambda s: photo(s.ruled(s.draw(40, 90)).write(INK, s.draw(1 / 24, 1 / 12)).table(s.colour((40, 30, 20), (130, 110, 90)), s.draw(-8, 8), 0.06, s.draw(0, 0.2))),
    "note on a light desk": lambda s: photo(s.paper(s.colour((225, 205, 80), (255, 235, 140))).write(INK, s.draw(1 / 24, 1 / 12)).table(s.colour((190, 190, 190), (240, 240, 240)), s.draw(-12, 12))),
    "phone, ruled, blue pen": lambda s: _phone(Sheet(s.lines, s.random, 1200, 900)),
    "phone, pencil, shadow": lambda s: photo(Sheet(s.lines, s.random, 1000, 750).write(pencil(s), s.draw(1 / 30, 1 / 16), s.draw(0.3, 0.6)).shadow(s.draw(0.5, 0.8), s.draw(0.01, 0.1)).vignetted(s.draw(0.2, 0.8))),
}

EMPTY: dict[str, Family] = {
    "empty: grain": lambda s: s.grainy(s.draw(0, 20)),
    "empty: shadow": lambda s: photo(s.shadow(s.draw(0.4, 0.8), s.draw(0.002, 0.1), curved=bool(s.random.integers(2)))),
    "empty: vignette, lamp": lambda s: photo(s.paper(np.full(3, s.draw(120, 230))).vignetted(s.draw(0.3, 1.3)).lamp(s.draw(0.2, 0.9), s.draw(0.1, 0.4))),
    "empty: ruled": lambda s: s.ruled(s.draw(30, 110), s.colour((90, 90, 90), (190, 200, 230)), s.draw(1, 3)).turned(s.draw(-5, 5)),
    "empty: squared, photo": lambda s: photo(s.ruled(s.draw(18, 60), s.colour((120, 130, 150), (200, 210, 235)), s.draw(1, 2), squares=True).turned(s.draw(-4, 4)).gradient()),
    "empty: creased, wrinkled": lambda s: photo(s.creased(depth=s.draw(0.05, 0.2)).wrinkled(s.draw(0.04, 0.12))),
    "empty: texture": lambda s: s.paper(s.colour((60, 60, 60), (250, 240, 230))).textured(s.draw(0.01, 0.05), s.draw(0.8, 6)),
    "empty: on a table": lambda s: photo(s.table(s.colour(*_DARK), s.draw(-12, 12), 0.03, s.draw(0, 0.2))),
}


# --- measuring -----------------------------------------------------------------------------------------------------


def shapes(strokes: Path | None, count: int) -> list[tuple[int, Lines]]:
    """Digits as lines, each with its label, in an order of their own."""
    if strokes is not None:
        drawings = [one for one in read_drawings(strokes).usable if one.label is not None and one.strokes]
        order = np.random.default_rng(derive_seed(0, "paper")).permutation(len(drawings))[:count]
        return [(drawings[place].label or 0, unit(segments(drawings[place]).astype(np.float64))) for place in order]
    digits = load_mnist().validation
    order = np.random.default_rng(derive_seed(0, "paper")).permutation(len(digits))[:count]
    return [(int(digits.labels[place]), centre_lines(digits.images[place, 0].numpy())) for place in order]


def measure(options: argparse.Namespace) -> None:
    terminal = Terminal(make_console())
    reader = load_reader(Lab(terminal, options.outputs, main.load), options.run)
    digits = shapes(options.strokes, options.each)
    steps = PaperSteps(**{name: name not in options.without for name in PAPER_STEPS})
    print(f"{'family':<28}{'right':>8}{'wrong and sure':>16}{'blank':>8}   of {options.each}", flush=True)
    rows = []
    for name, family in (FAMILIES | EMPTY).items():
        if not any(word in name for word in options.only.split(",")):
            continue
        right = sure = blank = 0
        for number in range(options.each):
            label, lines = digits[number % len(digits)]
            random = np.random.default_rng(derive_seed(number, name))
            made = family(Sheet(lines, random))
            image = made if isinstance(made, Image.Image) else made.image()
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "x.png")
                image.save(path)
                page = read_page(path, steps)
            (answer,) = predictions.predict_all([reader], [predictions.Source(path, None, page.ink)])
            blank += not answer.each
            is_right = name in EMPTY and not answer.each or bool(answer.each) and answer.vote.argmax() == label and name in FAMILIES
            is_sure = bool(answer.each) and not is_right and answer.found == predictions.DIGIT and answer.vote.max() >= _SURE
            right, sure = right + is_right, sure + is_sure
            if options.save and not is_right:
                options.save.mkdir(exist_ok=True)
                stem = f"{name} {number}".replace("/", "-").replace(" ", "_").replace(":", "")
                image.save(options.save / f"{stem}_is_{label}.png")
        rows.append((right, sure))
        print(f"{name:<28}{100 * right / options.each:>7.1f}%{sure:>16}{blank:>8}", flush=True)
    total = options.each * len(rows)
    print(f"{'all':<28}{100 * sum(r for r, _ in rows) / total:>7.1f}%{sum(s for _, s in rows):>16}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="best", help="the run that reads them (default: best)")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where runs are (default: outputs)")
    parser.add_argument("--strokes", type=Path, help="a file of labelled drawings")
    parser.add_argument("--each", type=int, default=150, help="pictures of each family (default: 150)")
    parser.add_argument("--only", default="", help="the families with one of these words in their names")
    parser.add_argument("--without", nargs="*", default=[], choices=PAPER_STEPS, help="steps to leave out")
    parser.add_argument("--save", type=Path, help="keep the pictures that are not read correctly here")
    measure(parser.parse_args())

"""Where every value of a network's layers lies in the one picture that shows them all, and that picture; without Tk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageColor import getrgb

from mnist_lab.drawing.preprocess import Picture
from mnist_lab.explain.inside import Values

SILENT, CROSS, PAPER = 253, 254, 255  # in the picture, instead of the greys 0 to 252; a silent map is no grey at all
SILENT_COLOUR, CROSS_COLOUR = "#174A73", "#FFFFFF"
_BLUE, _ORANGE = "#0072B2", "#E69F00"  # above and below zero
_PALETTE = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3, axis=1)
_PALETTE[[SILENT, CROSS]] = getrgb(SILENT_COLOUR), getrgb(CROSS_COLOUR)


def tinted(values: Values, strongest: float) -> Picture:
    """Signed values (...) as colours (..., 3): blue above zero, orange below, white at zero, full at the strongest."""
    strength = np.minimum(np.abs(values) / max(strongest, 1e-12), 1)[..., np.newaxis]
    full = np.where(values[..., np.newaxis] > 0, getrgb(_BLUE), getrgb(_ORANGE))
    colours: Picture = np.rint(255 + (full - 255) * strength).astype(np.uint8)
    return colours


@dataclass(frozen=True)
class Column:
    """The maps of one layer, below and beside each other; in pixels of the picture."""

    count: int  # maps
    side: int  # values along each side of a map
    left: int  # of the column in the picture
    height: int
    zoom: int = 1  # pixels for each value

    @property
    def pitch(self) -> int:
        """From a map to the next: its pixels and a line of paper."""
        return self.side * self.zoom + 1

    @property
    def abreast(self) -> int:
        """How many maps lie beside each other."""
        return math.ceil(self.count / max(1, self.height // self.pitch))

    @property
    def width(self) -> int:
        return self.abreast * self.pitch

    def corner(self, position: int, row: int = 0, column: int = 0) -> tuple[int, int]:
        """Left and top of a value of the map in a position, counted from 0, from left to right and downwards."""
        down, right = divmod(position, self.abreast)
        return self.left + right * self.pitch + column * self.zoom, down * self.pitch + row * self.zoom

    def at(self, x: int, y: int) -> tuple[int, int, int] | None:
        """Position, row and column of the value that lies there; None beside the column and on the lines in between."""
        (right, x_in), (down, y_in) = divmod(x - self.left, self.pitch), divmod(y, self.pitch)
        position, column, row = down * self.abreast + right, x_in // self.zoom, y_in // self.zoom
        is_inside = 0 <= right < self.abreast and 0 <= position < self.count and max(row, column) < self.side
        return (position, row, column) if is_inside else None


def plan_columns(shapes: Sequence[tuple[int, int]], width: int, height: int) -> list[Column]:
    """Columns for layers of so many maps (count, side), as large as fit, with what is left of the width between them.

    Maps with few values are enlarged more, so that all can be looked at.
    """
    columns = [Column(count, side, 0, height) for count, side in shapes]
    growing = set(range(len(columns)))
    while growing:
        place = min(growing, key=lambda one: columns[one].zoom * math.sqrt(columns[one].side))
        larger = replace(columns[place], zoom=columns[place].zoom + 1)
        others = sum(column.width for column in columns) - columns[place].width
        if others + larger.width <= width - 4 * len(columns) and larger.pitch <= height:
            columns[place] = larger
        else:
            growing.remove(place)
    gap = (width - sum(column.width for column in columns)) / max(1, len(columns) - 1)
    lefts = np.cumsum([0, *(column.width + gap for column in columns[:-1])])
    return [replace(column, left=int(left)) for column, left in zip(columns, lefts, strict=True)]


class MapPicture:
    """Draws the maps of all columns into one grey picture: one step for all, so that it keeps up with a pen."""

    def __init__(self, columns: Sequence[Column], width: int, height: int) -> None:
        self._columns = columns
        total = sum(column.count * column.side**2 for column in columns)
        self._source = np.full((height, width), total)  # which value a pixel shows; the last is paper
        first = 0
        for column in columns:
            shown = np.arange(first, first + column.side**2).reshape(column.side, column.side)
            enlarged = shown.repeat(column.zoom, axis=0).repeat(column.zoom, axis=1)
            for position in range(column.count):
                left, top = column.corner(position)
                span = column.pitch - 1
                self._source[top : top + span, left : left + span] = enlarged + position * column.side**2
            first += column.count * column.side**2

    def draw(
        self, maps: Sequence[Values], silent: Sequence[NDArray[np.bool_]], dead: Sequence[NDArray[np.bool_]]
    ) -> Image.Image:
        """Maps (C, S, S) >= 0 in the order to be shown, with marks (C,); white is the strongest of each column."""
        # Roots, so that weak answers can be seen as well.
        levels = [np.rint(252 * np.sqrt(layer / max(float(layer.max()), 1e-12))) for layer in maps]
        for layer, quiet in zip(levels, silent, strict=True):
            layer[quiet] = SILENT
        values = np.concatenate([layer.ravel() for layer in levels] + [[PAPER]]).astype(np.uint8)
        picture = values[self._source]
        for column, crossed in zip(self._columns, dead, strict=True):
            for position in np.flatnonzero(crossed):
                left, top = column.corner(int(position))
                cell = picture[top : top + column.pitch - 1, left : left + column.pitch - 1]
                np.fill_diagonal(cell, CROSS)
                np.fill_diagonal(cell[::-1], CROSS)
        image = Image.fromarray(picture)
        image.putpalette(_PALETTE.tobytes())
        return image.convert("RGB")

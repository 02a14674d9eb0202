"""Where every value of a network's layers lies in the one picture that shows them all, and that picture; without Tk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL.ImageColor import getrgb

from mnist_lab.drawing.preprocess import Picture
from mnist_lab.explain.inside import Values

_SILENT, _CROSS, _PAPER = 253, 254, 255  # in the picture, instead of the greys 0 to 252
SILENT_COLOUR, CROSS_COLOUR = "#174A73", "#FFFFFF"
_PALETTE = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3, axis=1)
_PALETTE[[_SILENT, _CROSS]] = getrgb(SILENT_COLOUR), getrgb(CROSS_COLOUR)


@dataclass(frozen=True)
class Column:
    """The maps of one layer, below and beside each other; in pixels of the picture."""

    count: int  # maps
    side: int  # values along each side of a map
    left: int  # of the column in the picture
    height: int
    least: int  # its width
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
        return max(self.least, self.abreast * self.pitch)

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


def plan_columns(layers: Sequence[tuple[int, int, int]], width: int, height: int) -> list[Column]:
    """Columns for layers of maps, as large as fit, with what is left of the width between them.

    Of each layer: how many maps, their side, and the column's least width. Maps with few values are enlarged more, so
    that all can be looked at.
    """
    for size in range(99, 0, -1):
        columns = [
            Column(count, side, 0, height, least, max(1, round(size / math.sqrt(side))))
            for count, side, least in layers
        ]
        rest = width - sum(column.width for column in columns)
        if rest >= 2 * len(columns) and all(column.pitch <= height for column in columns):
            break
    lefts = np.cumsum([0, *(column.width + rest / max(1, len(columns) - 1) for column in columns[:-1])])
    return [replace(column, left=int(left)) for column, left in zip(columns, lefts, strict=True)]


def draw_maps(
    columns: Sequence[Column], width: int, height: int, maps: Sequence[Values], marks: Sequence[NDArray[np.int64]]
) -> Picture:
    """Maps (C, S, S) >= 0 of each column in the order to be shown; white is the column's strongest value.

    Each map has a mark, (C,): 0; 1: it is silent, and blue; 2: it is dead, and has a cross as well.
    """
    picture = np.full((height, width), _PAPER, np.uint8)
    for column, layer, marked in zip(columns, maps, marks, strict=True):
        # Roots, so that weak answers can be seen as well.
        greys = np.rint(252 * np.sqrt(layer / max(float(layer.max()), 1e-12))).astype(np.uint8)
        greys[marked > 0] = _SILENT
        for position, cell in enumerate(greys.repeat(column.zoom, axis=1).repeat(column.zoom, axis=2)):
            if marked[position] == 2:
                np.fill_diagonal(cell, _CROSS)
                np.fill_diagonal(cell[::-1], _CROSS)
            left, top = column.corner(position)
            picture[top : top + len(cell), left : left + len(cell)] = cell
    return _PALETTE.take(picture, axis=0)  # many times as fast as by an index

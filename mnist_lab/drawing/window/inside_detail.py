"""The sum behind a value inside of a network, in numbers and small pictures, for the view of its maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_lab.data.mnist import SIDE
from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.layout import Box
from mnist_lab.explain.inside import RELU, LogitSum, PixelSum, Survey, Values, number
from mnist_lab.plotting import ORANGE, tinted

Numbers = NDArray[np.floating[Any]]

_LINE = 15.5  # units, between two lines of text
_INPUTS = 3  # maps before this one that are shown with their patch and kernel
_HINT = (
    "Each small picture is a filter's map: bright where the filter answers. Click a value in it, or come here with Tab "
    "and move with the arrow keys: you get the sum behind it.",
    "Convolution: a filter slides its kernel, 3 × 3 weights, over what comes before; each value is multiplied by the "
    "weight at its place, and the products are added. Where values and weights match, the sum is large.",
    "Pooling: of each 2 × 2 window of sums only the largest stays, so the maps become smaller.  "
    "Scale and shift (batch normalisation) bring the answers of all filters to a similar range.  "
    "ReLU: what is below zero becomes 0.",
    "A hidden unit weighs all values of the last maps; the score of a digit (its logit) weighs all hidden units. "
    "Click a unit, or a digit on the right.",
)
_FIRST = (
    "It sees your ink as numbers: black is −0.42, white 2.82. Each is multiplied by the weight at its place in the "
    "kernel, and the products are added."
)
_LATER = "A filter of this block has a kernel for each map before it. Here are the {count} that matter most to the sum."
_UNIT = "It multiplies each value of the last maps by a weight, and adds all; what is below zero becomes 0 (ReLU)."
_LOGIT = (
    "Hidden units that contribute most, for the {digit} (+) or against it (−), each with the validation digits that "
    "excite it most"
)


class Detail:
    """An area of a panel; what it draws carries the tag ``live``, which its owner deletes."""

    def __init__(self, panel: widgets.Panel, box: Box) -> None:
        self._panel, self._box, self._px = panel, box, panel.px
        measure = panel.theme.small.measure
        self._wide = measure("−0.000") + panel.px(4)  # of a number
        self._zoom = max(1, panel.px(38) // SIDE)  # screen pixels for each of a digit
        self._line = panel.theme.small.metrics("linespace")
        self._steps = measure(RELU) + panel.px(6) + self._wide  # of a step's name and number

    def _text(
        self, x: float, y: float, text: str, font: str = "small", colour: str = widgets.INK, **how: object
    ) -> None:
        """Text at a place of the area, in pixels from its corner."""
        how = {"anchor": "nw", "tags": "live"} | how
        self._panel.text(self._box.x + x, self._box.y + y, text, font, colour, **how)

    def _note(self, text: str, left: int, top: int) -> None:
        self._text(left, top, text, colour=widgets.MUTED, width=self._box.width - left)

    def _picture(self, left: int, top: int, pixels: Picture) -> None:
        self._panel.picture(self._box.x + left, self._box.y + top, pixels)

    def show_hint(self) -> None:
        """What can be clicked, and what the words mean."""
        top = 0
        for text in _HINT:
            self._text(0, top, text, width=self._box.width, tags="live hint")
            top = self._panel.canvas.bbox("hint")[3] - self._box.y + self._px(4)

    def show_pixel(self, pixel: PixelSum, title: str) -> list[int]:
        """A value of a map: the maps that contribute most, which it returns, with their products, and the steps."""
        px, wide, is_first = self._px, self._wide, len(pixel.patch) == 1
        shown, products, steps = pixel.written(_INPUTS)
        beside = 0 if is_first else wide + px(26) + self._steps  # what stands right of the products
        cell = wide if 9 * wide + px(28) + beside <= self._box.width else self._line  # else mere squares
        top, pitch, below = px(36), 3 * cell + px(14), 3 * self._line + px(5)
        self._text(0, 0, f"{title}:  {number(pixel.value)}", "bold", tags="live value")
        grids: dict[str, Numbers] = {"it sees": pixel.patch[shown], "kernel": pixel.kernel[shown], "products": products}
        for place, (name, values) in enumerate(grids.items()):
            left, strongest = place * pitch, float(np.abs(values).max())
            self._text(left, px(20), name)
            for row, grid in enumerate(values):
                tags = "live part" if is_first and place == 2 else "live"
                self._grid(left, top + row * below, grid, strongest, cell, tags)
                sign = "" if is_first and place == 2 else "×=="[place]
                self._text(left + 3 * cell + px(7), top + (row + 0.5) * below, sign, anchor="center")
        left, y = 3 * pitch + wide + px(12), px(20)
        if is_first:
            left, y = 0, top + below
            widest = max(self._steps, *(self._panel.theme.small.measure(name) for name, _ in steps))
            self._note(_FIRST, widest + px(12), y)
        else:
            self._note(_LATER.format(count=len(shown)), left, y + px(len(steps) * _LINE + 5))
            self._text(3 * pitch, px(20), "sum")
            for row, (index, part) in enumerate(zip(shown, products, strict=True)):
                self._text(3 * pitch, top + row * below + px(8), number(part.sum()), tags="live part")
                self._text(3 * pitch, top + row * below + px(22), f"map {index}", colour=widgets.MUTED)
        for place, (name, value) in enumerate(steps):
            self._text(left, y + px(place * _LINE), name)
            if value is not None:
                font, right = "bold" if place == len(steps) - 1 else "small", left + self._steps
                self._text(right, y + px(place * _LINE), number(value), font, anchor="ne", tags="live step")
        inputs: list[int] = shown.tolist()
        return inputs

    def _grid(self, left: int, top: int, values: Numbers, strongest: float, cell: int, tags: str) -> None:
        """A patch or kernel (3, 3): its colours and, where the cells are wide enough, a text for each column."""
        for column in range(3 if cell == self._wide else 0):
            numbers = "\n".join(number(value) for value in values[:, column].tolist())
            self._text(left + (column + 0.9) * cell, top, numbers, anchor="ne", justify="right", tags=tags)
        colours = tinted(values * 0.6, strongest, ORANGE)  # paler, so that the numbers can be read
        self._picture(left, top, colours.repeat(self._line, axis=0).repeat(cell, axis=1))

    def show_logit(self, digit: int, found: LogitSum, survey: Survey | None) -> None:
        """What the hidden units contribute to a digit's score, for and against, and what excites these units."""
        px, half = self._px, self._box.width // 2
        pitch = max(self._zoom * SIDE + px(2), px(31))
        rows = max(1, (self._box.height - px(70)) // pitch)
        units, parts, rest, bias = found.written(2 * rows)
        total = number(found.value)
        self._text(0, 0, f"Score (logit) of the {digit}:  {total}", "bold", tags="live value")
        self._note(_LOGIT.format(digit=digit), 0, px(18))
        for place, (unit, part) in enumerate(zip(units.tolist(), parts, strict=True)):
            left, top = place // rows * half, px(48) + place % rows * pitch
            self._text(left, top, f"unit {unit}")
            colour = widgets.BLUE if part > 0 else widgets.VERMILION
            self._text(left, top + px(14), number(part, sign="+"), "bold", colour, tags="live part")
            self._show_exciting(survey, unit, left + px(62), top, half - px(70))
        others = f"the other {len(found.contributions) - len(units)} units: {number(rest)}"
        sums = f"these {len(units)}: {number(sum(parts))}   + {others}   + bias: {number(bias)}   =  {total}"
        self._text(0, self._box.height - px(17), sums, tags="live rest")

    def show_unit(self, unit: int, value: float, weights: Values, survey: Survey | None) -> None:
        """What a hidden unit adds to the score of each digit, (10,) weights, and what excites it."""
        px = self._px
        self._text(0, 0, f"Hidden unit {unit}:  {number(value)}", "bold", tags="live value")
        self._note(_UNIT, 0, px(18))
        self._text(0, px(50), "To the score of each digit it contributes:")
        for digit, weight in enumerate(weights.tolist()):
            x = round((digit + 0.5) * self._box.width / len(weights))
            self._text(x, px(66), str(digit), "bold", anchor="n")
            self._text(x, px(82), number(value * weight, 2), anchor="n")
        self._text(0, px(104), "The validation digits that excite it most:")
        self._show_exciting(survey, unit, 0, px(122), self._box.width)

    def _show_exciting(self, survey: Survey | None, unit: int, left: int, top: int, width: int) -> None:
        """As many of the digits that excite a unit most as fit beside each other, dark on light."""
        if survey is None:
            self._text(left, top, "looking through the validation digits …", colour=widgets.MUTED, width=width)
            return
        found = survey.exciting(unit, max(1, width // (self._zoom * SIDE + self._px(2))))
        if not len(found):
            self._text(left, top, "none: a dead unit", colour=widgets.MUTED)
            return
        digits = np.pad(255 - found, ((0, 0), (0, 0), (0, 1)), constant_values=255)
        self._picture(left, top, np.concatenate(digits, axis=1).repeat(self._zoom, axis=0).repeat(self._zoom, axis=1))

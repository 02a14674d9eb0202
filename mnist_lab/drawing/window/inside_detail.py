"""The sum behind a value inside of a network, in numbers and small pictures, for the view of its maps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_lab.data.mnist import SIDE
from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.inside_maps import tinted
from mnist_lab.drawing.window.layout import Box
from mnist_lab.explain.inside import LogitSum, PixelSum, Survey, Values, add_up

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    import tkinter as tk

_Piece: TypeAlias = tuple[int, int, Picture]  # left, top, and a picture (H, W, 1 or 3)
DECIMALS = 3  # of every number that is part of a sum
_LINE = 15.5  # units, between two lines of text
_INPUTS = 3  # maps before this one that are shown with their patch and kernel
_LONGEST = "of black −0.42 and white 2.82"  # of the words about a step
_HINT = (
    "Click any square above, or come here with Tab and move with the arrow keys: you get the sum behind it.",
    "Convolution: a filter slides its kernel, 3 × 3 weights, over its input; each value is multiplied by its weight, "
    "and the products are added. Where the input looks like the kernel, the sum is large.",
    "Pooling: of each 2 × 2 window of sums only the largest stays, so the maps become smaller.  "
    "Scale and shift (batch normalisation) bring the answers of all filters to a similar range.  "
    "ReLU: what is below zero becomes 0.",
    "A hidden unit weighs all values of the last maps; the score of a digit (its logit) weighs all hidden units. "
    "Click a unit, or a digit on the right.",
)


def number(value: float, decimals: int = DECIMALS, sign: str = "-") -> str:
    """A number as it is written in sums; zero has no sign."""
    text = f"{value:{sign}.{decimals}f}"
    return text.lstrip("+-") if not text.strip("+-0.") else text.replace("-", "−")


def patch_parts(pixel: PixelSum) -> tuple[NDArray[np.int64], list[float], float, float]:
    """The input maps that contribute most, their sums of products, what the others add, and the bias.

    They are rounded, and add up to the largest of the window, rounded.
    """
    sums = pixel.products.sum(axis=(1, 2), dtype=np.float64)  # (C,)
    shown = np.argsort(-np.abs(sums), kind="stable")[:_INPUTS]
    others = float(sums.sum() - sums[shown].sum())
    *parts, others, bias = add_up([*sums[shown], others, pixel.bias], _rounded(pixel.convolved.max()), DECIMALS)
    return shown, parts, others, bias


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)


class Detail:
    """An area of a panel; what it draws carries the tag ``live``, which its owner deletes."""

    def __init__(self, panel: widgets.Panel, box: Box) -> None:
        self._panel, self._box, self._px = panel, box, panel.px
        measure = panel.theme.small.measure
        self._wide = measure("−0.000") + panel.px(5)  # of a number
        self._line = panel.theme.small.metrics("linespace")
        self._names = measure("below 0 becomes 0 (ReLU)") + panel.px(6)  # of the steps
        self._image = tk.PhotoImage(master=panel.canvas, width=box.width, height=box.height)  # all digits
        self._shown = b""  # in it
        panel.canvas.create_image(box.x, box.y, anchor="nw", image=self._image, tags="page")

    def _text(
        self, x: float, y: float, text: str, font: str = "small", colour: str = widgets.INK, **how: object
    ) -> None:
        """Text at a place of the area, in pixels from its corner."""
        how = {"anchor": "nw", "tags": "live"} | how
        self._panel.text(self._box.x + x, self._box.y + y, text, font, colour, **how)

    def _paste(self, pieces: Sequence[_Piece] = ()) -> None:
        """Show these pictures behind the texts, and no others."""
        area = np.full((self._box.height, self._box.width, 3), 255, dtype=np.uint8)
        for left, top, piece in pieces:
            area[top : top + len(piece), left : left + piece.shape[1]] = piece[: self._box.height - top]
        data = widgets.ppm(Image.fromarray(area))
        if data != self._shown:  # the costly part
            self._image.configure(data=data, format="PPM")
            self._shown = data

    def show_hint(self) -> None:
        """What can be clicked, and what the words mean."""
        self._paste()
        top = self._px(4)
        for text in _HINT:
            self._text(0, top, text, width=self._box.width, tags="live hint")
            top = self._panel.canvas.bbox("hint")[3] - self._box.y + self._px(7)

    def show_pixel(self, pixel: PixelSum, title: str) -> None:
        """A value of a map: the patches and kernels that contribute most, and each step from their sum to the value."""
        px, is_first, colours = self._px, len(pixel.patch) == 1, []
        shown, parts, others, bias = patch_parts(pixel)
        after = 3 * self._wide if is_first else self._wide + px(12) + self._names + self._wide
        has_room = 6 * self._wide + px(28) + after <= self._box.width
        cell = self._wide if has_room else self._line  # else mere squares
        second, third = 3 * cell + px(14), 6 * cell + px(28)  # left edges of the kernel, and of what comes after it
        top, pitch = px(36), 3 * self._line + px(5)
        self._text(0, 0, f"{title}:  {number(pixel.value)}", "bold", tags="live value")
        for left, name in ((0, "it sees"), (second, "kernel"), (third, "products" if is_first else "sum")):
            self._text(left, px(20), name)
        seen, strongest = (float(np.abs(values[shown]).max()) for values in (pixel.patch, pixel.kernel))
        for place, (index, part) in enumerate(zip(shown, parts, strict=True)):
            y, middle = top + place * pitch, top + place * pitch + 1.5 * self._line
            colours.append(self._grid(0, y, pixel.patch[index], seen, cell))
            self._text(second - px(7), middle, "×", anchor="center")
            colours.append(self._grid(second, y, pixel.kernel[index], strongest, cell))
            self._text(third - px(7), middle, "=", anchor="center")
            if not is_first:
                self._text(third, middle - px(14), number(part), tags="live part")
                self._text(third, middle, f"map {index}", colour=widgets.MUTED)
        if is_first:
            products = np.array(add_up(pixel.products.ravel(), parts[0], DECIMALS), dtype=np.float32).reshape(3, 3)
            largest = float(np.abs(products).max())
            colours.append(self._grid(third, top, products, largest, self._wide, "live part"))
            self._show_steps(_steps(pixel, others, bias), 0, top + pitch)
        else:
            self._show_steps(_steps(pixel, others, bias), third + self._wide + px(12), px(20))
        self._paste(colours)

    def _show_steps(self, steps: Sequence[tuple[str, float | None, str]], left: int, top: int) -> None:
        """A line for each step: its name, what it leaves, and where there is room a word about it."""
        px, right = self._px, left + self._names + self._wide
        for place, (name, value, because) in enumerate(steps):
            y = top + px(place * _LINE)
            self._text(left, y, name)
            if value is not None:
                font = "bold" if place == len(steps) - 1 else "small"
                self._text(right, y, number(value), font, anchor="ne", tags="live step")
            if right + px(10) + self._panel.theme.small.measure(_LONGEST) <= self._box.width:
                self._text(right + px(10), y, because, colour=widgets.MUTED)

    def _grid(self, left: int, top: int, values: Values, strongest: float, cell: int, tags: str = "live") -> _Piece:
        """A patch or kernel (3, 3): writes its numbers, a text for each column, and returns the colours behind them."""
        for column in range(3 if cell == self._wide else 0):
            numbers = "\n".join(number(value) for value in values[:, column].tolist())
            self._text(left + (column + 0.9) * cell, top, numbers, anchor="ne", justify="right", tags=tags)
        colours = tinted(values * 0.6, strongest)  # paler, so that the numbers can be read
        return left, top, colours.repeat(self._line, axis=0).repeat(cell, axis=1)

    def show_logit(self, digit: int, found: LogitSum, survey: Survey | None) -> None:
        """What the hidden units contribute to a digit's score, for and against, and what excites these units."""
        px, zoom = self._px, max(1, self._px(38) // SIDE)
        pitch, half = zoom * SIDE + px(2), self._box.width // 2
        rows = max(1, (self._box.height - px(70)) // pitch)
        units = found.largest(2 * rows).tolist()
        rest = float(found.contributions.sum(dtype=np.float64) - found.contributions[units].sum(dtype=np.float64))
        total = _rounded(found.value)
        *parts, rest, bias = add_up([*found.contributions[units], rest, found.bias], total, DECIMALS)
        self._text(0, 0, f"Score (logit) of the {digit}:  {number(total)}", "bold", tags="live value")
        what = (
            f"Hidden units that contribute most, for the {digit} (+) or against it (−), "
            "each with the validation digits that excite it most"
        )
        self._text(0, px(18), what, width=self._box.width)
        digits = []
        for place, (unit, part) in enumerate(zip(units, parts, strict=True)):
            left, top = place // rows * half, px(48) + place % rows * pitch
            self._text(left, top, f"unit {unit}")
            colour = widgets.BLUE if part > 0 else widgets.VERMILION
            self._text(left, top + px(14), number(part, sign="+"), "bold", colour, tags="live part")
            digits += self._exciting(survey, unit, left + px(62), top, half - px(70), zoom)
        self._paste(digits)
        others = f"+ the other {len(found.contributions) - len(units)} units: {number(rest)}   + bias: {number(bias)}"
        self._text(0, self._box.height - px(17), f"these   {others}   =  {number(total)}", tags="live rest")

    def _exciting(self, survey: Survey | None, unit: int, left: int, top: int, width: int, zoom: int) -> list[_Piece]:
        """As many digits as fit beside each other, with their places."""
        pitch = zoom * SIDE + self._px(2)
        if survey is None:
            self._text(left, top, "looking through the validation digits …", colour=widgets.MUTED, width=width)
            return []
        found = survey.exciting(unit, max(1, width // pitch))
        if not len(found):
            self._text(left, top, "none: a dead unit", colour=widgets.MUTED)
        digits = 255 - survey.digits.images[found, 0].numpy().repeat(zoom, axis=1).repeat(zoom, axis=2)  # dark on light
        return [(left + place * pitch, top, digit[..., np.newaxis]) for place, digit in enumerate(digits)]

    def show_unit(self, unit: int, value: float, weights: Values, survey: Survey | None) -> None:
        """What a hidden unit adds to the score of each digit, (10,) weights, and what excites it."""
        px, zoom = self._px, max(1, self._px(38) // SIDE)
        self._text(0, 0, f"Hidden unit {unit}:  {number(value)}", "bold", tags="live value")
        what = "It weighs all values of the last maps and adds; what is below zero becomes 0 (ReLU)."
        self._text(0, px(18), what, width=self._box.width)
        self._text(0, px(50), "To the score of each digit it contributes:")
        for digit, weight in enumerate(weights.tolist()):
            x = round((digit + 0.5) * self._box.width / len(weights))
            self._text(x, px(66), str(digit), "bold", anchor="n")
            self._text(x, px(82), number(value * weight, 2), anchor="n")
        self._text(0, px(104), "The validation digits that excite it most:")
        self._paste(self._exciting(survey, unit, 0, px(122), self._box.width, zoom))


def _steps(pixel: PixelSum, others: float, bias: float) -> list[tuple[str, float | None, str]]:
    """From the sums of products to a map's value: each step's name, what it leaves, and a word about it."""
    total, normalised = _rounded(pixel.convolved.max()), _rounded(pixel.normalised)
    steps: list[tuple[str, float | None, str]] = []
    if len(pixel.patch) > _INPUTS:
        steps.append((f"+ the other {len(pixel.patch) - _INPUTS} maps", others, "each with patch and kernel"))
    if pixel.bias:
        steps.append(("+ bias", bias, ""))
    steps.append(("= sum (convolution)", total, _LONGEST if len(pixel.patch) == 1 else "large where both agree"))
    window = " ".join(number(value) for value in pixel.convolved.ravel().tolist())
    steps.append((f"window: {window}", None, ""))
    steps.append(("the largest (pooling)", total, "of 2 × 2 sums one stays"))
    if (pixel.scale, pixel.shift) != (1.0, 0.0):
        scaled, shift = add_up([pixel.scale * float(pixel.convolved.max()), pixel.shift], normalised, DECIMALS)
        steps.append((f"× {number(pixel.scale)} (scale)", scaled, "batch normalisation: brings"))
        steps.append((f"+ {number(shift)} (shift)".replace("+ −", "− "), normalised, "all filters to one range"))
    steps.append(("below 0 becomes 0 (ReLU)", pixel.value, "what the map shows"))
    return steps

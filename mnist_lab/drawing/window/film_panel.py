"""The film of a training in the window: a slider over its moments, and one's own drawing on the map of each."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.answer import Answer
from mnist_lab.drawing.window.layout import Box
from mnist_lab.drawing.window.widgets import ImageTile, Slider, Theme
from mnist_lab.explain.film import DIGIT_COLOURS, NEAREST, DigitMap

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    import tkinter as tk

_EDGE, _HEAD, _FOOT, _CAPTION = 12, 70, 84, 38  # units, around all, above and below the map, and below a tile
_TILE, _MARK = 150, 10  # units, a tile's side, at most, and the circle's radius

_NUMERALS = "Each numeral is a validation digit, near others that excite the hidden units alike."
INVITATION = f"{_NUMERALS} Draw a digit to see it among them."
EXACT = f"{_NUMERALS} In the circle: your drawing."
ESTIMATE = (
    "In the dashed circle: your drawing, by an estimate (a rough one at first): between the "
    f"{NEAREST} digits that the finished network finds most like it."
)
_CAPTIONS = "kernels of block 1", "validation digits: rows true, columns predicted; blue: right"


class FilmPanel(widgets.Panel):
    """The panel, out of sight until it is opened, over the predictions and the wobble.

    Arrow keys on the ``drawing`` move its slider as well while it is open. Its texts carry tags: ``moment``, ``yours``
    (where the drawing is, and how far that is known), and ``mark``.
    """

    def __init__(self, theme: Theme, name: str, shown: DigitMap, moment: int, drawing: tk.Misc) -> None:
        super().__init__(theme, theme.layout.inside)
        self.map, self._film = shown, shown.film
        self._places: NDArray[np.float32] | None = None  # (M, 2) of the drawing
        self._digit = ""
        self.moment: int = range(len(self._film.seen))[moment]  # -1: the last
        px, film, edge, width = self.px, self._film, self.px(_EDGE), self.width - 2 * self.px(_EDGE)
        name = widgets.shortened(name, width - px(420), self.theme.bold.measure)
        self.text(edge, px(19), f"How {name} learned", "bold", anchor="w")
        self.text(edge + width, px(19), "", "text", anchor="e", tags="moment")
        self.slider = Slider(self.canvas, ("Moment", 0, len(film.seen) - 1, 1, ""), self.moment, self._move)
        self.slider.frame.place(x=edge, y=px(36), width=width, height=px(28))
        top, side = px(_HEAD), px(_TILE)
        left, pitch = edge + width - side, side + px(_CAPTION)
        self._tiles = [ImageTile(self, left, top + place * pitch, side) for place in range(len(_CAPTIONS))]
        for place, caption in enumerate(_CAPTIONS):
            self.text(left, top + place * pitch + side + px(3), caption, "small", anchor="nw", width=side)
        self._box = Box(edge, top, left - 2 * edge, self.height - top - px(_FOOT))  # the map
        below = top + self._box.height
        self.canvas.create_rectangle(edge, top, left - edge, below, outline=widgets.RULE)
        self._numerals = [self.text(0, 0, str(digit), "small", DIGIT_COLOURS[digit]) for digit in self.map.labels]
        self.text(edge, below + px(8), "", "text", anchor="nw", width=width, tags="yours")
        self.text(edge, self.height - px(6), film.remark, "small", anchor="sw", width=width)
        self._show_moment()
        for key, step in {"<Left>": "<<PrevChar>>", "<Right>": "<<NextChar>>"}.items():
            drawing.bind(key, partial(self._pass_on, step))
        self.set_open(False)

    def _pass_on(self, step: str, event: object) -> None:
        if self.canvas.winfo_viewable():
            self.slider.scale.event_generate(step)

    def show(self, answer: Answer) -> None:
        """Place the drawing that was asked about on the maps of all moments."""
        self._places = None if answer.picture is None else self.map.place(answer.picture)
        self._digit = str(answer.probabilities[0].argmax()) if answer.probabilities else ""
        self._show_mark()

    def _move(self, moment: float) -> None:
        self.moment = int(moment)
        self._show_moment()

    def _show_moment(self) -> None:
        film, moment = self._film, self.moment
        self.canvas.itemconfigure("moment", text=film.titles[moment])
        kernels, confusion = self._tiles
        kernels.show(film.kernel_pixels(moment, 6))
        confusion.show(film.confusion_pixels(moment))
        for item, place in zip(self._numerals, self._on_screen(film.places[moment]), strict=True):
            self.canvas.coords(item, *place)
        self._show_mark()

    def _show_mark(self) -> None:
        self.canvas.delete("mark")
        is_last, half = self.moment == len(self._film.seen) - 1, self.px(_MARK)
        told = INVITATION if self._places is None else EXACT if is_last else ESTIMATE
        self.canvas.itemconfigure("yours", text=told)
        if self._places is not None:
            ((x, y),) = self._on_screen(self._places[[self.moment]])
            corners, dash = (x - half, y - half, x + half, y + half), () if is_last else (3, 3)
            self.canvas.create_oval(*corners, fill=widgets.PAPER, outline=widgets.INK, width=2, dash=dash, tags="mark")
            self.text(x, y, self._digit, "bold", tags="mark")

    def _on_screen(self, places: NDArray[np.float32]) -> list[list[float]]:
        """Places (N, 2) of the map in pixels of the panel; what lies beyond its edge is shown at the edge."""
        box, edge, all_places = self._box, self.px(_MARK), self._film.places
        low, high = all_places.min(axis=(0, 1)), all_places.max(axis=(0, 1))
        parts = np.clip((places - low) / np.maximum(high - low, 1e-6), 0, 1) * (1, -1) + (0, 1)  # y upwards
        on_screen = (box.x + edge, box.y + edge) + parts * (box.width - 2 * edge, box.height - 2 * edge)
        return [list(place) for place in on_screen]

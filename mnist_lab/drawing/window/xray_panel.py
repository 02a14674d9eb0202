"""The X-ray in the window: each step from pen to network with its picture, and what is predicted without it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np

from mnist_lab.drawing.preprocess import STEP_NAMES, Steps, Xray
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.widgets import Action, ImageTile, Predictor, Probabilities, Theme
from mnist_lab.terminal.wording import format_probability

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    from tkinter import ttk

_EDGE, _GAP = 12, 14  # units, around the panel and between its pictures
_HEAD, _RESULT, _NAME, CAPTION = 36, 112, 22, 36  # units, heights of heading, result, a step's name and its caption
_LARGE, _SMALL = {4: 88, 7: 120}, 60  # units, a picture after a step (by how many lie side by side), and one without it

STEP_TEXTS = {  # the name of a step, what it does, and what happens instead where it is switched off
    "pen": ("MNIST's pen", "lines as wide as in MNIST", "off: lines as your brush left them"),
    "invert": ("Invert", "white on black, as in MNIST", "off: black on white, as on paper"),
    "crop": ("Crop", "empty paper is cut away", "off: all the paper stays"),
    "box": ("20-pixel box", "longer side to 20 pixels", "off: all squeezed to 28 × 28"),
    "centre": ("Centre", "centre of mass to the middle", "off: left where it is"),
    "normalise": ("Normalise", "same look, values\n−0.42 to 2.82", "off: values 0 to 1,\nas pale as this"),
}
HINT = "switch steps off to see what they are for"
BEFORE_WOBBLE = "the drawing before any wobble"


class XrayPanel(widgets.Panel):
    """The panel, out of sight until it is opened; it shows one network's predictions.

    Its texts carry tags: ``caption.STEP``, and ``digit.STEP`` and ``certainty.STEP`` for what is predicted without it.
    """

    def __init__(self, theme: Theme, predictor: Predictor, on_change: Action, on_reset: Action) -> None:
        super().__init__(theme, theme.layout.xray)
        self._predictor, self._on_change = predictor, on_change
        self.steps, self.is_open = Steps(), False
        self.buttons: dict[str, ttk.Button] = {}
        self.without: dict[str, ImageTile] = {}
        px = self.px
        self.text(px(_EDGE), px(19), "X-ray", "bold", anchor="w")
        self.text(px(_EDGE + 52), px(19), "", "small", anchor="w", tags="hint")
        reset = ttk.Button(self.canvas, text="Reset  r", command=on_reset)
        self.canvas.create_window(self.width - px(_EDGE - 2), px(19), window=reset, anchor="e")
        self.stages = [self._build_stage(*place) for place in enumerate(("ink", *STEP_NAMES))]
        self._build_result()
        self._show_steps()
        self.frame.place_forget()

    def _build_stage(self, place: int, name: str) -> ImageTile:
        """The ink as drawn (0) or a step (1 to 6): its name, its picture, what it does, and the outcome without it."""
        px, layout, columns = self.px, self.theme.layout, self.theme.layout.xray_columns
        room = _LARGE[columns]
        large, small = layout.tile(room), layout.tile(_SMALL)
        pitch = (self.width - 2 * px(_EDGE) + px(_GAP)) // columns
        left = px(_EDGE) + place % columns * pitch
        top = px(_HEAD) + place // columns * px(_NAME + room + CAPTION + _SMALL + 6)
        upper, below, title = top + px(_NAME), top + px(_NAME + CAPTION) + large, top + px(_NAME) // 2
        self.text(left, upper + large + px(3), "", "small", width=pitch - px(10), anchor="nw", tags=f"caption.{name}")
        if name == "ink":
            self.text(left, title, "Your ink", "bold", anchor="w")
            self.text(left, below, "Without one step,\nthis comes out  ▸", "small", anchor="nw")
        else:
            switch = partial(self._switch, name)
            self.buttons[name] = ttk.Button(self.canvas, text=STEP_TEXTS[name][0], style="Step.TButton", command=switch)
            self.canvas.create_window(left, title, window=self.buttons[name], anchor="w")
            self.text(left - px(_GAP) // 2, upper + large // 2, "▸", "small", widgets.LOSER)
            self.without[name] = ImageTile(self, left, below, small)
            right = left + small + px(6)
            self.text(right, below, "reads", "small", anchor="nw")
            self.text(right, below + px(16), "", "heading", anchor="nw", tags=f"digit.{name}")
            self.text(right, below + px(37), "", "small", anchor="nw", tags=f"certainty.{name}")
        return ImageTile(self, left, upper, large)

    def _build_result(self) -> None:
        px, right, top = self.px, self.width - self.px(_EDGE), self.height - self.px(_RESULT)
        self.rectangle(px(_EDGE), top, right, top + 1, widgets.RULE)
        side, height = self.theme.layout.tile(_LARGE[4]), px(_LARGE[4])  # the texts keep their room beside less picture
        upper, left = top + (px(_RESULT) - height) // 2, px(_EDGE) + side + px(12)
        self.result = ImageTile(self, px(_EDGE), top + (px(_RESULT) - side) // 2, side)
        self.text(left, upper, "", "bold", anchor="nw", tags="outcome")
        self.text(left + px(30), upper + px(44), "", "smaller_digit", tags="digit.result")
        self.text(left + px(30), upper + height, "", "bold", anchor="s", tags="certainty.result")
        name = widgets.shortened(self._predictor.name, right - left - px(160), self.theme.small.measure)
        self.text(right, upper + px(1), name, "small", anchor="ne")
        self._ceiling, self._floor = upper + px(24), upper + height - px(16)
        self._pitch = (right - left - px(84)) / 10
        self._bars = [round(left + px(84) + digit * self._pitch) for digit in range(10)]

    def set_open(self, is_open: bool) -> None:
        self.is_open = is_open
        if is_open:
            self.frame.place(**self.box._asdict())
            self.frame.tkraise()
        else:
            self.frame.place_forget()

    def _switch(self, name: str) -> None:
        self.choose(replace(self.steps, **{name: not getattr(self.steps, name)}))

    def choose(self, steps: Steps) -> None:
        if steps != self.steps:
            self.steps = steps
            self._show_steps()
            self._on_change()

    def _show_steps(self) -> None:
        for name, button in self.buttons.items():
            is_taken = getattr(self.steps, name)
            button.state(["selected" if is_taken else "!selected"])
            text, colour = STEP_TEXTS[name][1 if is_taken else 2], widgets.MUTED if is_taken else widgets.VERMILION
            self.canvas.itemconfigure(f"caption.{name}", text=text, fill=colour)
        left_out = [STEP_TEXTS[name][0] for name in STEP_NAMES if not getattr(self.steps, name)]
        outcome = f"Without {left_out[0]}" if len(left_out) == 1 else f"Without {len(left_out)} steps"
        self.canvas.itemconfigure("outcome", text=outcome if left_out else "All steps")

    def show(self, xray: Xray | None, brush: float, *, is_wobbled: bool) -> None:
        """Show a drawing taken apart with this panel's steps (None: nothing is drawn), and ask the network about it."""
        self.canvas.itemconfigure("hint", text=BEFORE_WOBBLE if is_wobbled else HINT)
        ink = "draw a digit" if xray is None else f"280 × 280 pixels, brush {brush:.0f} px"
        self.canvas.itemconfigure("caption.ink", text=ink)
        for place, tile in enumerate(self.stages):
            tile.show(None if xray is None else xray.stages[place])
        pictures = {} if xray is None else {"whole": xray.whole, "result": xray.chosen, **xray.without}
        inked = {name: picture for name, picture in pictures.items() if picture is not None}
        answers = dict(zip(inked, self._predictor.predict(list(inked.values())), strict=True)) if inked else {}
        expected = int(np.argmax(answers["whole"])) if inked else None
        for name, tile in {"result": self.result, **self.without}.items():
            tile.show(pictures.get(name))
            self._show_answer(name, answers.get(name), expected)
        self._show_bars(answers.get("result"), expected)

    def _show_answer(self, name: str, answer: Probabilities | None, expected: int | None) -> None:
        """One variant; if the prediction differs from that with all steps, a mark and a colour say so."""
        digit, certainty = "", "" if expected is None else "no ink"
        colour = widgets.BLUE if name == "result" else widgets.INK
        if answer is not None:
            winner = int(np.argmax(answer))
            digit, certainty = str(winner), format_probability(float(answer[winner]))
            if winner != expected:
                digit, colour = digit if name == "result" else f"≠ {digit}", widgets.VERMILION
        self.canvas.itemconfigure(f"digit.{name}", text=digit, fill=colour)
        self.canvas.itemconfigure(f"certainty.{name}", text=certainty)

    def _show_bars(self, answer: Probabilities | None, expected: int | None) -> None:
        self.canvas.delete("bars")
        winner = None if answer is None else int(np.argmax(answer))
        for digit, left in enumerate(self._bars):
            right = left + self._pitch - self.px(5)
            self.rectangle(left, self._ceiling, right, self._floor, widgets.TRACK, "bars")
            if answer is not None:
                top = self._floor - float(answer[digit]) * (self._floor - self._ceiling)
                colour = widgets.LOSER if digit != winner else widgets.BLUE if winner == expected else widgets.VERMILION
                self.rectangle(left, top, right, self._floor, colour, f"bars bar.{digit}")
            font, below = "bold" if digit == winner else "text", self._floor + self.px(16)
            self.text((left + right) // 2, below, str(digit), font, anchor="s", tags="bars")

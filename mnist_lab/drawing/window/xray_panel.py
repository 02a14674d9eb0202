"""The X-ray in the window: each step from pen to network with its picture, and what is predicted without it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from mnist_lab.drawing.preprocess import STEP_NAMES, Steps, Wobble
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.answer import STEP_TEXTS, Answer, Probabilities, left_out
from mnist_lab.drawing.window.widgets import Action, ImageTile, Theme
from mnist_lab.terminal.wording import format_probability

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    from tkinter import ttk

_EDGE, _GAP = 12, 14  # units, around the panel and between its pictures
_HEAD, _RESULT, _NAME, CAPTION = 36, 112, 22, 36  # units, heights of heading, result, a step's name and its caption
_LARGE, _SMALL = {4: 88, 7: 120}, 60  # units, a picture after a step (by how many lie side by side), and one without it

HINT = "switch steps off to see what they are for"
BEFORE_WOBBLE = "the drawing before any wobble"


class XrayPanel(widgets.Panel):
    """The panel, out of sight until it is opened; it shows one network's predictions.

    Its texts carry tags: ``caption.STEP``, and ``reads.STEP``, ``digit.STEP`` and ``certainty.STEP`` for what is
    predicted without it.
    """

    def __init__(self, theme: Theme, name: str, on_switch: Callable[[str], None], on_reset: Action) -> None:
        super().__init__(theme, theme.layout.xray)
        self._name, self._on_switch = name, on_switch
        self.buttons: dict[str, ttk.Button] = {}
        self.without: dict[str, ImageTile] = {}
        px = self.px
        self.text(px(_EDGE), px(19), "X-ray", "bold", anchor="w")
        self.text(px(_EDGE + 52), px(19), "", "small", anchor="w", tags="hint")
        reset = ttk.Button(self.canvas, text="Reset  r", command=on_reset)
        self.canvas.create_window(self.width - px(_EDGE - 2), px(19), window=reset, anchor="e")
        self.stages = [self._build_stage(*place) for place in enumerate(("ink", *STEP_NAMES))]
        self._build_result()
        self.set_open(False)

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
            switch = partial(self._on_switch, name)
            self.buttons[name] = ttk.Button(self.canvas, text=STEP_TEXTS[name][0], style="Step.TButton", command=switch)
            self.canvas.create_window(left, title, window=self.buttons[name], anchor="w")
            self.text(left - px(_GAP) // 2, upper + large // 2, "▸", "small", widgets.LOSER)
            self.without[name] = ImageTile(self, left, below, small)
            right = left + small + px(5)
            self.text(right, below, "", "small", anchor="nw", tags=f"reads.{name}")
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
        name = widgets.shortened(self._name, right - left - px(160), self.theme.small.measure)
        self.text(right, upper + px(1), name, "small", anchor="ne")
        self._ceiling, self._floor = upper + px(24), upper + height - px(16)
        self._pitch = (right - left - px(84)) / 10
        self._bars = [round(left + px(84) + digit * self._pitch) for digit in range(10)]

    def show(self, answer: Answer) -> None:
        """Show a drawing taken apart, the steps that were taken, and what the network says with and without them."""
        xray, question, steps = answer.xray, answer.question, answer.question.steps or Steps()
        self.canvas.itemconfigure("hint", text=HINT if question.wobble == Wobble() else BEFORE_WOBBLE)
        self._show_steps(steps)
        ink = "draw a digit" if xray is None else f"280 × 280 pixels, brush {question.brush:.0f} px"
        self.canvas.itemconfigure("caption.ink", text=ink)
        for place, tile in enumerate(self.stages):
            tile.show(None if xray is None else xray.stages[place])
        self.result.show(answer.picture)
        expected = None if xray is None else int(answer.variants["whole"].argmax())
        for name, tile in self.without.items():
            tile.show(None if xray is None else xray.without[name])
            self._show_answer(name, answer.variants.get(name), expected)
        self._show_result(answer, expected)

    def _show_steps(self, steps: Steps) -> None:
        for name, button in self.buttons.items():
            is_taken = getattr(steps, name)
            button.state(["selected" if is_taken else "!selected"])
            text, colour = STEP_TEXTS[name][1 if is_taken else 2], widgets.MUTED if is_taken else widgets.VERMILION
            self.canvas.itemconfigure(f"caption.{name}", text=text, fill=colour)
        outcome = "all steps" if steps == Steps() else left_out(steps)
        self.canvas.itemconfigure("outcome", text=f"{outcome[0].upper()}{outcome[1:]}")

    def _show_answer(self, name: str, answer: Probabilities | None, expected: int | None) -> None:
        """One variant; if the prediction differs from that with all steps, words and a colour say so."""
        reads, digit, certainty, colour = "", "", "" if expected is None else "no ink", widgets.INK
        if answer is not None:
            winner = int(answer.argmax())
            digit, certainty, reads = f"as {winner}", format_probability(float(answer[winner])), "still read"
            if winner != expected:
                reads, colour = "now read", widgets.VERMILION
        self.canvas.itemconfigure(f"reads.{name}", text=reads)
        self.canvas.itemconfigure(f"digit.{name}", text=digit, fill=colour)
        self.canvas.itemconfigure(f"certainty.{name}", text=certainty)

    def _show_result(self, answer: Answer, expected: int | None) -> None:
        """What comes out of the chosen steps; in pale colours, if it is probably not a digit."""
        self.canvas.delete("bars")
        probabilities = answer.variants.get("result")
        winner = None if probabilities is None else int(probabilities.argmax())
        is_pale = answer.rejection is not None
        colour = widgets.LOSER if is_pale else widgets.BLUE if winner == expected else widgets.VERMILION
        said, certainty = "", "" if expected is None else "no ink"
        if probabilities is not None:
            said, certainty = str(winner), format_probability(float(probabilities.max()))
        numeral = self.theme.pale_smaller_digit if is_pale else self.theme.smaller_digit
        self.canvas.itemconfigure("digit.result", text=said, fill=colour, font=numeral)
        weight = self.theme.text if is_pale else self.theme.bold
        self.canvas.itemconfigure("certainty.result", text=certainty, font=weight)
        for digit, left in enumerate(self._bars):
            right = left + self._pitch - self.px(5)
            self.rectangle(left, self._ceiling, right, self._floor, widgets.TRACK, "bars")
            if probabilities is not None:
                top = self._floor - float(probabilities[digit]) * (self._floor - self._ceiling)
                shade = colour if digit == winner else widgets.LOSER
                self.rectangle(left, top, right, self._floor, shade, f"bars bar.{digit}")
            font, below = "bold" if digit == winner and not is_pale else "text", self._floor + self.px(16)
            self.text((left + right) // 2, below, str(digit), font, anchor="s", tags="bars")

"""The X-ray in the window: each step from pen to network with its picture, and what is read without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeAlias

import numpy as np

from mnist_lab.data.pixels import SIDE
from mnist_lab.drawing.strokes import STEP_NAMES, Picture, Steps
from mnist_lab.drawing.window.pictures import (
    BLUE,
    FAINT_INK,
    INK,
    LOSER,
    MUTED,
    PAPER,
    RULE,
    TRACK,
    VERMILION,
    mounted,
    ppm,
)
from mnist_lab.drawing.window.widgets import Look, Probabilities, card
from mnist_lab.drawing.window.words import shortened
from mnist_lab.drawing.xray import WORDS, Xray, name_steps
from mnist_lab.terminal.wording import format_probability

with suppress(ImportError):  # display.py tells what is missing when a window is asked for
    import tkinter as tk
    from tkinter import ttk

PredictAll: TypeAlias = Callable[[Sequence[Picture]], Sequence[Probabilities]]

EDGE, GAP = 12, 14  # units, around the panel and between its pictures
HEAD, RESULT = 36, 112  # units, heights of the heading and of the result
NAME, CAPTION = 22, 36  # units, heights of a step's name and of the words below its picture
LARGE, SMALL = {4: 88, 7: 120}, 60  # units, a picture after a step (by how many lie side by side), and one without it

HINT = "switch steps off to see what they are for"
BEFORE_WOBBLE = "the drawing before any wobble"


class Plate:
    """A picture of any size in a square on a Tk canvas: enlarged without blur, or made smaller."""

    def __init__(self, canvas: tk.Canvas, left: int, top: int, side: int) -> None:
        self._side = side
        canvas.create_rectangle(left, top, left + side - 1, top + side - 1, fill=TRACK, outline="")
        self._image = tk.PhotoImage(master=canvas, width=side, height=side)
        canvas.create_image(left, top, anchor="nw", image=self._image)

    def show(self, picture: Picture | None) -> None:
        """Show (H, W) uint8, or the empty ground."""
        if picture is None:
            self._image.blank()
        else:
            self._image.configure(data=ppm(mounted(picture, self._side)), format="PPM")


class Reading(NamedTuple):
    """A final picture, and the canvas items that tell the digit that is read in it and how surely."""

    plate: Plate
    digit: int
    certainty: int


class XrayPanel:
    """The panel, out of sight until it is opened; the answers are one network's."""

    def __init__(
        self, root: tk.Misc, look: Look, voter: str, predict_all: PredictAll, on_change: Callable[[], None]
    ) -> None:
        """Build it, and leave it closed.

        Args:
            root: what it lies on.
            look: of the window.
            voter: the network's name.
            predict_all: its answers to pictures (28, 28), (10,) each.
            on_change: called when a step is switched on or off.
        """
        self._look, self._voter, self._predict_all, self._on_change = look, voter, predict_all, on_change
        self.steps = Steps()
        self.is_open = False
        self._frame = card(root, look.layout.xray)
        self.canvas = tk.Canvas(self._frame, background=PAPER, highlightthickness=0, borderwidth=0)
        self.canvas.pack(fill="both", expand=True)
        self._width, self._height = (length - 2 for length in look.layout.xray[2:])  # without the frame's line
        self.buttons: dict[str, ttk.Button] = {}
        self.captions: dict[str, int] = {}
        self.without: dict[str, Reading] = {}
        self._build_head()
        self.stages = [self._build_stage(place) for place in range(1 + len(STEP_NAMES))]
        self._build_result()
        self._show_steps()
        self._frame.place_forget()

    # What there is

    def _text(self, left: int, top: int, font: str = "small", colour: str = MUTED, anchor: str = "nw") -> int:
        """A text item without a text."""
        item: int = self.canvas.create_text(left, top, font=getattr(self._look, font), fill=colour, anchor="nw")
        self.canvas.itemconfigure(item, anchor=anchor)
        return item

    def _build_head(self) -> None:
        px = self._look.layout.px
        heading = self._text(px(EDGE), px(19), "bold", INK, "w")
        self.canvas.itemconfigure(heading, text="X-ray")
        self._hint = self._text(px(EDGE + 52), px(19), anchor="w")

    def add_button(self, button: ttk.Button) -> None:
        """Put a button at the right of the heading."""
        px = self._look.layout.px
        self.canvas.create_window(self._width - px(EDGE - 2), px(19), anchor="e", window=button)

    def _build_stage(self, place: int) -> Plate:
        """The ink as drawn (0) or a step (1 to 6): its name, its picture, what it does, and what is read without."""
        px, columns = self._look.layout.px, self._look.layout.xray_columns
        large, small = self._side(LARGE[columns]), self._side(SMALL)
        pitch = (self._width - 2 * px(EDGE) + px(GAP)) // columns
        row, column = divmod(place, columns)
        height = px(NAME + LARGE[columns] + CAPTION + SMALL + 6)
        left, top = px(EDGE) + column * pitch, px(HEAD) + row * height
        name = STEP_NAMES[place - 1] if place else "ink"
        self._build_name(name, left, top)
        plate = Plate(self.canvas, left, top + px(NAME), large)
        if place:
            self._arrow(left - px(GAP) // 2, top + px(NAME) + large // 2)
        below = top + px(NAME) + large + px(3)
        self.captions[name] = self._text(left, below)
        self.canvas.itemconfigure(self.captions[name], width=pitch - px(10))
        below = top + px(NAME + CAPTION) + large
        right = left + small + px(6) if place else left
        label = self._text(right, below)
        self.canvas.itemconfigure(label, text="reads" if place else "Without one step,\nthis comes out  ▸")
        if place:
            digit, certainty = self._text(right, below + px(16), "heading", INK), self._text(right, below + px(37))
            self.without[name] = Reading(Plate(self.canvas, left, below, small), digit, certainty)
        return plate

    def _side(self, units: float) -> int:
        """A plate's side in screen pixels: room for whole multiples of 28 and a line around them, but not more."""
        return max(1, (self._look.layout.px(units) - 2) // SIDE) * SIDE + 2

    def _build_name(self, name: str, left: int, top: int) -> None:
        """The button that switches a step; the ink's name is only a name."""
        if name not in WORDS:
            title = self._text(left, top + self._look.layout.px(NAME) // 2, "bold", INK, "w")
            self.canvas.itemconfigure(title, text="Your ink")
            return
        button = ttk.Button(
            self.canvas, text=WORDS[name].title, style="Step.TButton", command=lambda: self._switch(name)
        )
        self.canvas.create_window(left, top + self._look.layout.px(NAME) // 2, anchor="w", window=button)
        self.buttons[name] = button

    def _arrow(self, x: int, y: int) -> None:
        """From one picture to the next."""
        reach = self._look.layout.px(3.5)
        self.canvas.create_polygon(x - reach, y - reach, x + reach, y, x - reach, y + reach, fill=LOSER)

    def _build_result(self) -> None:
        """What comes out of the chosen steps, and what is read in it, at the foot of the panel."""
        px = self._look.layout.px
        top = self._height - px(RESULT)
        self.canvas.create_line(px(EDGE), top, self._width - px(EDGE), top, fill=RULE)
        side, height = self._side(LARGE[4]), px(LARGE[4])  # the words keep their room where the picture is smaller
        upper = top + (px(RESULT) - height) // 2
        plate = Plate(self.canvas, px(EDGE), top + (px(RESULT) - side) // 2, side)
        left = px(EDGE) + side + px(12)
        self._outcome = self._text(left, upper, "bold", INK)
        digit = self._text(left + px(30), upper + px(44), "smaller_digit", BLUE, "center")
        certainty = self._text(left + px(30), upper + height, "bold", INK, "s")
        self.result = Reading(plate, digit, certainty)
        self._asked = self._text(self._width - px(EDGE), upper + px(1), anchor="ne")
        self._room = self._width - px(EDGE) - left
        self._build_bars(left + px(84), upper + px(24), upper + height)

    def _build_bars(self, left: int, top: int, bottom: int) -> None:
        """Ten upright bars with their digits below."""
        px = self._look.layout.px
        self._ceiling, self._floor = top, bottom - px(16)
        pitch = (self._width - px(EDGE) - left) / 10
        self.bars: list[int] = []
        self._digits: list[int] = []
        for digit in range(10):
            x0, x1 = round(left + digit * pitch), round(left + (digit + 1) * pitch - px(5))
            self.canvas.create_rectangle(x0, self._ceiling, x1, self._floor, fill=TRACK, outline="")
            self.bars.append(
                self.canvas.create_rectangle(
                    x0, self._floor, x1, self._floor, fill=FAINT_INK, outline="", state="hidden"
                )
            )
            self._digits.append(self._text((x0 + x1) // 2, bottom, "text", INK, "s"))
            self.canvas.itemconfigure(self._digits[-1], text=str(digit))

    # What happens

    def open(self) -> None:
        """Come into sight, over whatever lies there."""
        box = self._look.layout.xray
        self._frame.place(x=box.left, y=box.top, width=box.width, height=box.height)
        self._frame.tkraise()
        self.is_open = True

    def close(self) -> None:
        """Go out of sight; the steps stay as they were chosen."""
        self._frame.place_forget()
        self.is_open = False

    def reset(self) -> None:
        """Switch all steps on."""
        self._choose(Steps())

    def _switch(self, name: str) -> None:
        self._choose(Steps(**{step: getattr(self.steps, step) != (step == name) for step in STEP_NAMES}))

    def _choose(self, steps: Steps) -> None:
        if steps != self.steps:
            self.steps = steps
            self._show_steps()
            self._on_change()

    def _show_steps(self) -> None:
        """Which steps are switched on, in ticks and words."""
        for name, button in self.buttons.items():
            is_taken = getattr(self.steps, name)
            button.state(["selected" if is_taken else "!selected"])
            words = WORDS[name].taken if is_taken else WORDS[name].left_out
            self.canvas.itemconfigure(self.captions[name], text=words, fill=MUTED if is_taken else VERMILION)
        outcome = shortened(name_steps(self.steps), self._room, self._look.bold.measure)
        self.canvas.itemconfigure(self._outcome, text=outcome)
        left = self._room - self._look.bold.measure(outcome) - self._look.layout.px(GAP)
        name = shortened(self._voter, left, self._look.small.measure)
        self.canvas.itemconfigure(self._asked, text=name if left > self._look.layout.px(60) else "")

    def show(self, xray: Xray, brush: float, *, is_wobbled: bool) -> None:
        """Show a drawing taken apart, and ask the network about all its variants at once.

        Args:
            xray: with the chosen steps of this panel.
            brush: the pen that the user draws with, in canvas pixels.
            is_wobbled: whether the networks beside see the drawing otherwise than this panel.
        """
        self.canvas.itemconfigure(self._hint, text=BEFORE_WOBBLE if is_wobbled else HINT)
        self.canvas.itemconfigure(self.captions["ink"], text=f"280 × 280 pixels, brush {brush:.0f} px")
        for plate, stage in zip(self.stages, xray.stages, strict=True):
            plate.show(stage)
        variants = [xray.whole, xray.chosen, *xray.without.values()]
        answers = iter(self._predict_all([picture for picture in variants if picture is not None]))
        whole, chosen, *without = [None if picture is None else next(answers) for picture in variants]
        self._show_reading(self.result, xray.chosen, chosen, whole)
        self._show_bars(chosen, whole)
        for reading, picture, answer in zip(self.without.values(), xray.without.values(), without, strict=True):
            self._show_reading(reading, picture, answer, whole)

    def _show_reading(
        self, reading: Reading, picture: Picture | None, answer: Probabilities | None, whole: Probabilities | None
    ) -> None:
        """One variant; where it is read otherwise than with all steps, a mark and a colour say so."""
        reading.plate.show(picture)
        if answer is None or whole is None:
            self.canvas.itemconfigure(reading.digit, text="")
            self.canvas.itemconfigure(reading.certainty, text="" if whole is None else "no ink")
            return
        digit, is_same = int(np.argmax(answer)), np.argmax(answer) == np.argmax(whole)
        mark = "" if is_same or reading is self.result else "≠ "
        plain = BLUE if reading is self.result else INK
        self.canvas.itemconfigure(reading.digit, text=f"{mark}{digit}", fill=plain if is_same else VERMILION)
        self.canvas.itemconfigure(reading.certainty, text=format_probability(float(answer[digit])))

    def _show_bars(self, answer: Probabilities | None, whole: Probabilities | None) -> None:
        winner = None if answer is None else int(np.argmax(answer))
        colour = BLUE if whole is None or np.argmax(whole) == winner else VERMILION
        for digit, bar in enumerate(self.bars):
            height = 0 if answer is None else float(answer[digit]) * (self._floor - self._ceiling)
            left, _, right, _ = self.canvas.coords(bar)
            self.canvas.coords(bar, left, self._floor - height, right, self._floor)
            state = "normal" if height >= 1 else "hidden"
            self.canvas.itemconfigure(bar, fill=colour if digit == winner else LOSER, state=state)
            font = self._look.bold if digit == winner else self._look.text
            self.canvas.itemconfigure(self._digits[digit], font=font)

    def clear(self) -> None:
        """Nothing is drawn."""
        self.canvas.itemconfigure(self._hint, text=HINT)
        self.canvas.itemconfigure(self.captions["ink"], text="draw a digit")
        for plate in self.stages:
            plate.show(None)
        for reading in (self.result, *self.without.values()):
            self._show_reading(reading, None, None, None)
        self._show_bars(None, None)

"""The parts of the window: its look, its timers, and the widgets that show a drawing and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_lab.data.pixels import SIDE
from mnist_lab.drawing.strokes import BRUSH, CANVAS, Point, Sketch
from mnist_lab.drawing.window.layout import Box, Layout
from mnist_lab.drawing.window.pictures import (
    BLUE,
    CHOSEN,
    FAINT_INK,
    GROUND,
    HOVER,
    INK,
    LATER,
    LOSER,
    MUTED,
    PAPER,
    RULE,
    TRACK,
    Pixels,
    disc,
    enlarged,
    ppm,
    rgb,
    tick_box,
)
from mnist_lab.drawing.window.words import shortened
from mnist_lab.terminal.wording import format_probability

with suppress(ImportError):  # display.py tells what is missing when a window is asked for
    import tkinter as tk
    from tkinter import font as tkfont
    from tkinter import ttk

Probabilities: TypeAlias = NDArray[np.float64]


class Look:
    """Fonts, styles and small pictures of one window."""

    def __init__(self, root: tk.Tk, layout: Layout) -> None:
        self.layout = layout
        self._root = root
        self.family = str(tkfont.nametofont("TkDefaultFont", root=root).actual("family"))
        self.text = self.font(13)
        self.small = self.font(11.5)
        self.bold = self.font(13, "bold")
        self.heading = self.font(14, "bold")
        self.name = self.font(11, "bold") if layout.voters > 2 else self.bold
        self.digit = self.font(72, "bold")
        self.smaller_digit = self.font(44, "bold")
        self.hint = self.font(22)
        # Images live as long as somebody refers to them.
        self._knobs = [self.knob(colour) for colour in (BLUE, "#005A8E", "#004A75")]
        self._trough = self.trough()
        self._boxes = [self.box(is_ticked=is_ticked) for is_ticked in (False, True)]
        root.configure(background=GROUND)
        # Colours that are first needed later: to ask a vanished display for one would abort the process.
        self._palette = [tk.Frame(root, background=colour) for colour in LATER]
        self._style(ttk.Style(root))

    def font(self, units: float, weight: str = "normal") -> tkfont.Font:
        """A font by its height in units; negative sizes are pixels to Tk."""
        size = -max(8, self.layout.px(units))
        return tkfont.Font(
            root=self._root, family=self.family, size=size, weight="bold" if weight == "bold" else "normal"
        )

    def image(self, pixels: Pixels) -> tk.PhotoImage:
        """A picture (H, W, 3) that Tk can show."""
        return tk.PhotoImage(master=self._root, data=ppm(pixels), format="PPM")

    def knob(self, colour: str) -> tk.PhotoImage:
        """The round handle of a slider."""
        side = self.layout.px(16)
        return self.image(disc(side, side - 2, colour, PAPER))

    def trough(self) -> tk.PhotoImage:
        """The line that a handle moves along: to be stretched, so its round ends are what matters."""
        side, thick = self.layout.px(16), max(3, self.layout.px(4))
        pixels = np.full((side, side, 3), rgb(PAPER), dtype=np.uint8)
        top = (side - thick) // 2
        pixels[top : top + thick] = disc(thick, thick, RULE, PAPER)[:, [thick // 2]]
        return self.image(pixels)

    def box(self, *, is_ticked: bool) -> tk.PhotoImage:
        """The box to tick beside a step; Tk draws a cross, of a size of its own, where others draw a tick."""
        ticked = tick_box(self.layout.px(14), is_ticked=is_ticked)
        return self.image(np.pad(ticked, ((0, 0), (0, self.layout.px(5)), (0, 0)), constant_values=255))

    def _style(self, style: ttk.Style) -> None:
        style.theme_use("clam")
        style.configure(
            ".", background=PAPER, foreground=INK, font=self.text, bordercolor=RULE, focuscolor=FAINT_INK, relief="flat"
        )
        style.configure("Muted.TLabel", foreground=MUTED, font=self.small)
        style.configure("Heading.TLabel", font=self.bold)
        style.configure("Ground.TLabel", background=GROUND, font=self.text)
        style.configure("Foot.TLabel", background=GROUND, foreground=MUTED, font=self.small)
        px = self.layout.px
        for name in ("TButton", "Toolbutton"):
            style.configure(
                name,
                background=PAPER,
                foreground=INK,
                bordercolor=RULE,
                lightcolor=PAPER,
                darkcolor=PAPER,
                borderwidth=1,
                relief="solid",
                padding=(px(6), px(3)),
                anchor="center",
                width=0,
            )
            style.map(
                name,
                background=[("disabled", GROUND), ("pressed", RULE), ("selected", CHOSEN), ("active", HOVER)],
                foreground=[("disabled", FAINT_INK)],
                bordercolor=[("disabled", RULE), ("selected", BLUE), ("focus", BLUE)],
                lightcolor=[("pressed", RULE), ("active", HOVER)],
                darkcolor=[("pressed", RULE), ("active", HOVER)],
                relief=[("pressed", "solid"), ("selected", "solid"), ("!disabled", "solid"), ("disabled", "solid")],
            )
        empty, ticked = self._boxes
        style.element_create("Lab.Step.box", "image", empty, ("selected", ticked), sticky="")
        label: Any = ("Button.label", {"side": "left", "sticky": ""})
        mark: Any = ("Lab.Step.box", {"side": "left", "sticky": ""})
        style.layout("Step.TButton", [("Button.focus", {"sticky": "nsew", "children": [mark, label]})])
        style.configure("Step.TButton", padding=(px(5), 0), font=self.bold)
        style.map("Step.TButton", background=[], foreground=[("!selected", MUTED), ("active", BLUE)])
        plain, active, pressed = self._knobs
        style.element_create("Lab.Scale.slider", "image", plain, ("pressed", pressed), ("active", active), sticky="")
        style.element_create("Lab.Scale.trough", "image", self._trough, border=px(6), padding=0, sticky="ew")
        handle: Any = ("Lab.Scale.slider", {"side": "left", "sticky": ""})
        style.layout("Lab.Horizontal.TScale", [("Lab.Scale.trough", {"sticky": "ew", "children": [handle]})])


def card(root: tk.Misc, box: Box, colour: str = PAPER, border: str = RULE) -> tk.Frame:
    """A part of the window: a white area with a thin line around it, whose size does not follow its content."""
    frame = tk.Frame(root, background=colour, highlightthickness=1, highlightbackground=border, highlightcolor=border)
    frame.place(x=box.left, y=box.top, width=box.width, height=box.height)
    frame.pack_propagate(False)
    frame.grid_propagate(False)
    return frame


class Dial(NamedTuple):
    """A slider: what it says, how far it goes, and in which steps."""

    label: str
    low: float
    high: float
    step: float
    unit: str

    def rounded(self, value: float) -> float:
        """The nearest step."""
        return self.step * round(value / self.step)

    def shown(self, value: float) -> str:
        """The value with its unit."""
        sign = "+" if self.low < 0 else ""
        digits = 0 if self.step >= 1 else 1
        return f"{value:{sign}.{digits}f}{self.unit}" if value or not sign else f"0{self.unit}"


class Slider:
    """A dial on the screen: its name, a handle to move, and its value."""

    def __init__(
        self, parent: tk.Misc, look: Look, dial: Dial, value: float, on_change: Callable[[float], None]
    ) -> None:
        self._dial, self._on_change = dial, on_change
        self.frame = tk.Frame(parent, background=PAPER)
        ttk.Label(self.frame, text=dial.label, width=8).pack(side="left")
        self._number = ttk.Label(self.frame, width=6, anchor="e")
        self._number.pack(side="right")
        self.scale = ttk.Scale(
            self.frame,
            from_=dial.low,
            to=dial.high,
            value=value,
            style="Lab.Horizontal.TScale",
            command=self._moved,
        )
        self.scale.pack(side="left", fill="x", expand=True, padx=look.layout.px(4))
        self._value = value
        self._show()

    def set(self, value: float) -> None:
        """Move the handle."""
        self.scale.set(value)

    def _moved(self, position: str) -> None:
        value = self._dial.rounded(float(position))
        if value != self._value:
            self._value = value
            self._show()
            self._on_change(value)

    def _show(self) -> None:
        self._number.configure(text=self._dial.shown(self._value))


class Paper:
    """The sheet to draw on: follows mouse or pen, keeps the sketch, and shows its ink."""

    def __init__(self, root: tk.Misc, look: Look, on_change: Callable[[], None], on_full: Callable[[], None]) -> None:
        box = look.layout.paper
        self._look, self._on_change, self._on_full = look, on_change, on_full
        self._scale = (box.width - 2) / CANVAS  # without the frame's line
        self.sketch = Sketch()
        self.brush = BRUSH
        self._tip: Point | None = None  # where the pen is, while it is down
        self.canvas = tk.Canvas(
            card(root, box), background=PAPER, highlightthickness=0, borderwidth=0, cursor="pencil", takefocus=False
        )
        self.canvas.pack(fill="both", expand=True)
        self.canvas.bind("<Button-1>", self._down)
        self.canvas.bind("<B1-Motion>", self._move)
        self.canvas.bind("<ButtonRelease-1>", self._up)
        self.redraw()

    def redraw(self) -> None:
        """Show the sketch as it is now: after undo, redo, clearing, and with another brush."""
        self.canvas.delete("all")
        if not self.sketch.strokes:
            middle = self._scale * CANVAS / 2
            self.canvas.create_text(
                middle, middle, text="draw a digit", font=self._look.hint, fill=FAINT_INK, tags="hint"
            )
        for stroke in self.sketch.strokes:
            self._ink(stroke, "ink")

    def _ink(self, stroke: Sequence[Point], tag: str) -> None:
        """One stroke, with round ends; a point is a dot."""
        points = [(self._scale * x, self._scale * y) for x, y in stroke]
        width = self._scale * self.brush
        if len(points) == 1:
            (x, y), reach = points[0], width / 2
            self.canvas.create_oval(x - reach, y - reach, x + reach, y + reach, fill=INK, outline="", tags=tag)
        else:
            self.canvas.create_line(points, width=width, fill=INK, capstyle="round", joinstyle="round", tags=tag)

    def _down(self, event: tk.Event[tk.Canvas]) -> None:
        self.canvas.focus_set()  # away from a slider, whose arrow keys would go on moving it
        if self.sketch.is_full:
            self._on_full()
            return
        self.canvas.delete("hint")
        self._tip = self._place(event)
        self.sketch.begin(*self._tip)
        self._ink([self._tip], "growing")
        self._on_change()

    def _move(self, event: tk.Event[tk.Canvas]) -> None:
        point = self._place(event)
        if self._tip is None or point == self._tip:
            return
        if self.sketch.is_full:
            self._on_full()
            return
        self.sketch.extend(*point)
        # Only the new piece, whatever the stroke's length: ink must never wait.
        self._ink([self._tip, point], "growing")
        self._tip = point
        self._on_change()

    def _up(self, event: tk.Event[tk.Canvas]) -> None:
        if self._tip is None:
            return
        self._tip = None
        self.sketch.end()
        self.canvas.delete("growing")
        self._ink(self.sketch.strokes[-1], "ink")
        self._on_change()

    def change(self, step: Callable[[], None]) -> None:
        """Undo, redo or clear; a stroke being drawn ends there."""
        self._tip = None
        step()
        self.redraw()
        self._on_change()

    def _place(self, event: tk.Event[tk.Canvas]) -> Point:
        """The middle of the screen's pixel under the pen, in canvas pixels."""
        return round((event.x + 0.5) / self._scale, 2), round((event.y + 0.5) / self._scale, 2)


class Tile:
    """A picture of 28x28, enlarged without blur, on a Tk canvas."""

    def __init__(self, canvas: tk.Canvas, look: Look, left: int, top: int, zoom: int) -> None:
        self._zoom = zoom
        side = zoom * SIDE
        canvas.create_rectangle(left, top, left + side - 1, top + side - 1, fill=TRACK, outline="")
        self._image = tk.PhotoImage(master=canvas, width=side, height=side)
        canvas.create_image(left, top, anchor="nw", image=self._image)

    def show(self, pixels: Pixels) -> None:
        """Show (28, 28, 3)."""
        self._image.configure(data=ppm(enlarged(pixels, self._zoom)), format="PPM")

    def clear(self) -> None:
        """Show the empty ground."""
        self._image.blank()


class Ballot:
    """What one voter says: the winning digit, ten bars with their numbers, and its saliency map."""

    def __init__(self, root: tk.Misc, look: Look, box: Box, name: str, *, has_map: bool) -> None:
        px = look.layout.px
        self._look = look
        self.canvas = tk.Canvas(card(root, box), background=PAPER, highlightthickness=0, borderwidth=0)
        self.canvas.pack(fill="both", expand=True)
        self._width, edge = box.width - 2, px(12)
        heading = shortened(name, self._width - 2 * edge, look.name.measure)
        self.canvas.create_text(edge, px(19), text=heading, font=look.name, fill=INK, anchor="w")
        self.tile: Tile | None = None
        zoom = look.layout.zoom(112)
        left, top = self._width - edge - zoom * SIDE, px(34)
        if has_map:
            self.tile = Tile(self.canvas, look, left, top, zoom)
            self._invitation = self.canvas.create_text(
                left + zoom * SIDE // 2,
                top + zoom * SIDE // 2,
                text="press m to see\nwhat mattered",
                justify="center",
                font=look.small,
                fill=MUTED,
            )
        centre = (left if self.tile else self._width) // 2 + edge // 3
        self._digit = self.canvas.create_text(centre, top + px(44), font=look.digit, fill=BLUE)
        self._certainty = self.canvas.create_text(centre, top + px(100), font=look.heading, fill=INK)
        self._rows = [self._row(digit, px(34 + 112 + 22 + 23.5 * digit)) for digit in range(10)]
        reach = px(4)
        self._mark = self.canvas.create_polygon(0, 0, 0, 0, 0, 0, fill=BLUE, state="hidden")
        self._mark_shape = ((-reach, -reach), (reach, 0), (-reach, reach))

    def _row(self, digit: int, middle: int) -> tuple[int, int, int, int]:
        """One digit: the items of its name, bar and number, and its height on the canvas."""
        px = self._look.layout.px
        self._bar_left, self._bar_right = px(38), self._width - px(88)
        name = self.canvas.create_text(px(26), middle, text=str(digit), font=self._look.text, fill=INK)
        half = px(7)
        self.canvas.create_rectangle(
            self._bar_left, middle - half, self._bar_right, middle + half, fill=TRACK, outline=""
        )
        bar = self.canvas.create_rectangle(
            self._bar_left, middle - half, self._bar_left, middle + half, fill=FAINT_INK, outline="", state="hidden"
        )
        number = self.canvas.create_text(
            self._width - px(12), middle, font=self._look.text, fill=MUTED, anchor="e", text=""
        )
        return name, bar, number, middle

    def show(self, probabilities: Probabilities) -> None:
        """Ten probabilities, 0..1."""
        winner = int(np.argmax(probabilities))
        self.canvas.itemconfigure(self._digit, text=str(winner))
        self.canvas.itemconfigure(self._certainty, text=format_probability(float(probabilities[winner])))
        for digit, (name, bar, number, middle) in enumerate(self._rows):
            won, probability = digit == winner, float(probabilities[digit])
            right = self._bar_left + probability * (self._bar_right - self._bar_left)
            half = self._look.layout.px(7)
            self.canvas.coords(bar, self._bar_left, middle - half, right, middle + half)
            visible_bar = right - self._bar_left >= 1
            colour = BLUE if won else LOSER
            self.canvas.itemconfigure(bar, fill=colour, state="normal" if visible_bar else "hidden")
            font = self._look.bold if won else self._look.text
            self.canvas.itemconfigure(name, font=font)
            self.canvas.itemconfigure(
                number, text=format_probability(probability), font=font, fill=INK if won else MUTED
            )
        middle = self._rows[winner][3]
        mark = [number for x, y in self._mark_shape for number in (self._look.layout.px(11) + x, middle + y)]
        self.canvas.coords(self._mark, *mark)
        self.canvas.itemconfigure(self._mark, state="normal")

    def clear(self) -> None:
        """No prediction."""
        for item in (self._digit, self._certainty):
            self.canvas.itemconfigure(item, text="")
        for name, bar, number, _ in self._rows:
            self.canvas.itemconfigure(name, font=self._look.text)
            self.canvas.itemconfigure(bar, state="hidden")
            self.canvas.itemconfigure(number, text="")
        self.canvas.itemconfigure(self._mark, state="hidden")

    def show_map(self, pixels: Pixels | None, *, invite: bool) -> None:
        """The picture with or without its map, (28, 28, 3), or none; then perhaps how to see one."""
        if self.tile is None:
            return
        if pixels is None:
            self.tile.clear()
        else:
            self.tile.show(pixels)
        self.canvas.itemconfigure(self._invitation, state="normal" if invite else "hidden")

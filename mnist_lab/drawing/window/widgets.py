"""The look of the window, and the widgets that show a drawing and predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ImageColor import getrgb

from mnist_lab.drawing.places import Place
from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.strokes import CANVAS, Sketch
from mnist_lab.drawing.window.answer import Answer
from mnist_lab.drawing.window.ink import Ink
from mnist_lab.drawing.window.layout import Box, Layout
from mnist_lab.terminal.wording import format_probability

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    import tkinter as tk
    from tkinter import font as tkfont
    from tkinter import ttk

Action: TypeAlias = Callable[[], None]
Scale: TypeAlias = tuple[str, float, float, float, str]  # a slider's label, lowest and highest value, step and unit

_STRONGEST = 99.0  # percentile of a map's pixels from which its colours are full, lest one pixel make all others pale
_DIMMED = 0.55  # brightness of the digit under a map, so that the colours stand out

# Okabe & Ito's colours, as in the figures: blue is evidence for a digit, vermilion against it.
BLUE, SKY_BLUE, VERMILION, _DARK_BLUE = "#0072B2", "#56B4E9", "#D55E00", "#005A8E"
INK, MUTED, _FAINT, LOSER = "#22262B", "#5C6570", "#B4BCC6", "#8FA3B5"
PAPER, GROUND, RULE, TRACK, _HOVER, _CHOSEN = "#FFFFFF", "#F2F4F7", "#D5DAE1", "#EEF1F4", "#E6EDF5", "#D6E8F5"


def coloured(picture: Picture, saliency: NDArray[np.float32]) -> Picture:
    """A grey picture with a saliency map over it, (28, 28) both: blue where it is above zero, vermilion where below."""
    values = np.nan_to_num(saliency.astype(np.float64))[..., np.newaxis]  # (28, 28, 1)
    strongest = max(float(np.percentile(np.abs(values), _STRONGEST)), 1e-12)
    strength = np.minimum(np.abs(values) / strongest, 1)
    tint = np.where(values > 0, getrgb(SKY_BLUE), getrgb(VERMILION))  # (28, 28, 3)
    blended: NDArray[np.float64] = _DIMMED * picture[..., np.newaxis] * (1 - strength) + tint * strength
    return np.rint(blended).astype(np.uint8)


def fitted(picture: Picture, side: int) -> Picture:
    """A picture (H, W), or (H, W, 3), in the middle of a square of RGB, as large as it fits, with a line around it.

    Small ones are enlarged by a whole number, so that their pixels stay sharp.
    """
    image, room = Image.fromarray(picture), side - 2
    if zoom := room // max(image.size):
        image = ImageOps.scale(image, zoom, Image.Resampling.NEAREST)
    else:
        image = ImageOps.contain(image, (room, room), Image.Resampling.BOX)
    framed = ImageOps.expand(image.convert("RGB"), 1, RULE)
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(framed, ((side - framed.width) // 2, (side - framed.height) // 2))
    return np.asarray(square)


def ppm(image: Image.Image) -> bytes:
    """A grey or RGB picture as Tk reads it quickest."""
    return b"P%d %d %d 255 " % (5 if image.mode == "L" else 6, *image.size) + image.tobytes()


def shortened(text: str, width: int, measure: Callable[[str], int], *, at_end: bool = False) -> str:
    """A text that is too wide, without its start, since names of runs and paths differ at their ends; or its end."""
    shown = text
    while text and measure(shown) > width:
        text = text[:-1] if at_end else text[1:]
        shown = f"{text}…" if at_end else f"…{text}"
    return shown


class Theme:
    """Fonts and styles of one window at one size, and the frame that holds what is made with them."""

    def __init__(self, root: tk.Tk, layout: Layout) -> None:
        self.layout, self.root = layout, root
        self.stage = tk.Frame(root, background=GROUND, width=layout.window.width, height=layout.window.height)
        self._family = str(tkfont.nametofont("TkDefaultFont", root=root).actual("family"))
        self.small, self.text, self.hint = self._font(11.5), self._font(13), self._font(22)
        self.bold, self.heading = self._font(13, "bold"), self._font(14, "bold")
        self.name = self._font(11, "bold") if len(layout.panels) > 2 else self.bold
        self.digit, self.pale_digit, self.smaller_digit = self._font(72, "bold"), self._font(72), self._font(44, "bold")
        self.pale_smaller_digit = self._font(44)
        root.configure(background=GROUND)
        style, px, edges = ttk.Style(root), layout.px, [("pressed", RULE), ("active", _HOVER)]
        style.theme_use("clam")
        style.configure(".", background=PAPER, foreground=INK, font=self.text, bordercolor=RULE, focuscolor=_FAINT)
        style.configure("TLabel", borderwidth=0)  # sliders are hardly higher than their texts
        style.configure("Ground.TLabel", background=GROUND)
        style.configure("Foot.TLabel", background=GROUND, foreground=MUTED, font=self.small)
        style.configure("TButton", relief="solid", borderwidth=1, padding=(px(6), px(3)), anchor="center", width=0)
        style.configure("TButton", lightcolor=PAPER, darkcolor=PAPER)
        style.configure("Step.TButton", padding=(px(4), 0), font=self.bold)
        ground = [("disabled", GROUND), ("pressed", RULE), ("selected", _CHOSEN), ("active", _HOVER)]
        style.map("TButton", background=ground, foreground=[("disabled", _FAINT)], lightcolor=edges, darkcolor=edges)
        style.map("TButton", bordercolor=[("disabled", RULE), ("selected", BLUE), ("focus", BLUE)])
        style.configure("TScale", background=BLUE, lightcolor=BLUE, darkcolor=BLUE, troughcolor=TRACK)
        style.configure("TScale", gripcount=0, sliderlength=px(14), arrowsize=px(14))
        style.map("TScale", background=[("active", _DARK_BLUE)])

    def _font(self, units: float, weight: Any = "normal") -> tkfont.Font:
        size = -max(8, self.layout.px(units))  # negative sizes are pixels to Tk
        return tkfont.Font(root=self.root, family=self._family, size=size, weight=weight)


def card(root: tk.Misc, box: Box, colour: str = PAPER, border: str = RULE) -> tk.Frame:
    """A part of the window: a white area with a thin line around it, whose size does not follow its content."""
    frame = tk.Frame(root, background=colour, highlightthickness=1, highlightbackground=border, highlightcolor=border)
    frame.place(**box._asdict())
    frame.pack_propagate(False)
    return frame


class Panel:
    """A card with a Tk canvas on it, and the canvas items that several panels are made of; in screen pixels."""

    def __init__(self, theme: Theme, box: Box, parent: tk.Misc | None = None) -> None:
        self.theme, self.px, self.box = theme, theme.layout.px, box
        self.width, self.height = box.width - 2, box.height - 2  # without the frame's line
        self.frame = card(parent or theme.stage, box)
        self.canvas = tk.Canvas(self.frame, background=PAPER, highlightthickness=0, borderwidth=0, takefocus=False)
        self.canvas.pack(fill="both", expand=True)
        self.pictures: list[tk.PhotoImage] = []  # Tk shows them as long as somebody keeps them

    def set_open(self, is_open: bool) -> None:
        """Show the panel, over all that is there, or take it out of sight and of the reach of Tab."""
        if is_open:
            self.frame.place(**self.box._asdict())
            self.frame.tkraise()
        else:
            self.frame.place_forget()

    def text(self, x: float, y: float, text: str, font: str, colour: str = "", **options: Any) -> int:
        fill = colour or {"small": MUTED, "hint": _FAINT, "digit": BLUE, "smaller_digit": BLUE}.get(font, INK)
        return self.canvas.create_text(x, y, text=text, font=getattr(self.theme, font), fill=fill, **options)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: str, tags: str = "") -> None:
        if right - left >= 1 and bottom - top >= 1:
            self.canvas.create_rectangle(left, top, right, bottom, fill=colour, outline="", tags=tags)

    def picture(self, left: float, top: float, pixels: Picture) -> None:
        """Put pixels, grey (H, W) or RGB (H, W, 3), behind all that is there, until :meth:`clear`."""
        self.pictures.append(tk.PhotoImage(master=self.canvas, data=ppm(Image.fromarray(pixels)), format="PPM"))
        options = {"anchor": "nw", "tags": "live"}
        self.canvas.tag_lower(self.canvas.create_image(left, top, image=self.pictures[-1], **options))

    def clear(self) -> None:
        """Take away what carries the tag ``live``, as all pictures do."""
        self.canvas.delete("live")
        self.pictures.clear()


class Slider:
    """A name, a handle to move in steps, and its value; the caller places its frame."""

    def __init__(self, parent: tk.Misc, scale: Scale, value: float, on_change: Callable[[float], None]) -> None:
        label, self._low, self._high, self._step, self._unit = scale
        self._on_change = on_change
        self.frame = tk.Frame(parent, background=PAPER, highlightthickness=1, highlightbackground=PAPER)
        self.frame.configure(highlightcolor=BLUE)  # while the keyboard's focus is inside
        ttk.Label(self.frame, text=label, width=8).pack(side="left")
        self._number = ttk.Label(self.frame, width=6, anchor="e")
        self._number.pack(side="right")
        self.scale = ttk.Scale(self.frame, from_=self._low, to=self._high, value=value, command=self._moved)
        self.scale.pack(side="left", fill="x", expand=True, padx=4)
        for event, steps in {"<<PrevChar>>": -1, "<<PrevLine>>": 1, "<<NextChar>>": 1, "<<NextLine>>": -1}.items():
            self.scale.bind(event, partial(self._arrow, steps))  # Tk's own move by 1, whatever the step
        self._show(value)

    def _arrow(self, steps: int, event: tk.Event[ttk.Scale]) -> str:
        self.scale.set(min(max(self._value + steps * self._step, self._low), self._high))
        return "break"

    def _moved(self, position: str) -> None:
        value = self._step * round(float(position) / self._step)
        if value != self._value:
            self._show(value)
            self._on_change(value)

    def _show(self, value: float) -> None:
        self._value = value
        sign = "+" if self._low < 0 and value else ""
        self._number.configure(text=f"{value:{sign}g}{self._unit}")


class DrawingCanvas(Panel):
    """The canvas to draw on: follows mouse or pen, adds to the sketch, and shows its ink."""

    def __init__(self, theme: Theme, sketch: Sketch, brush: float, on_change: Action) -> None:
        super().__init__(theme, theme.layout.canvas)
        self._on_change, self._scale = on_change, self.width / CANVAS
        self.sketch, self.brush = sketch, brush
        self._is_down = False
        self._ink = Ink(self.width)
        self.image = tk.PhotoImage(master=self.canvas, width=self.width, height=self.width)
        self.canvas.create_image(0, 0, anchor="nw", image=self.image)
        self.canvas.configure(cursor="pencil", takefocus=True)
        self.frame.configure(highlightcolor=BLUE)
        self.canvas.bind("<Button-1>", self._down)
        self.canvas.bind("<B1-Motion>", self._move)
        self.canvas.bind("<ButtonRelease-1>", self._up)
        self.redraw()

    def redraw(self) -> None:
        self.canvas.delete("hint")
        if not self.sketch.strokes:
            self.text(self.width / 2, self.width / 2, "draw a digit", "hint", tags="hint")
        self._show(self._ink.redraw(self.sketch.strokes, self.brush), 0, 0)
        if self._is_down:
            self._ink.follow(self.sketch.strokes[-1][-1], self.brush)  # the stroke goes on from here

    def show_places(self, places: Sequence[Place]) -> None:
        """Draw a box around each digit, with its answer, if there are several."""
        self.canvas.delete("place")
        for place in places if len(places) > 1 else ():
            left, top, right, bottom = (self._scale * edge for edge in place.box)
            edge = self._scale * self.brush / 2 + self.px(3)  # around the ink, of which the box has the middle
            corners = left - edge, top - edge, right + edge, bottom + edge
            self.canvas.create_rectangle(*corners, outline=BLUE, tags="place")
            above = top - edge > self.px(20)
            y, anchor = (top - edge, "s") if above else (bottom + edge, "n")
            self.text((left + right) / 2, y, str(place.digit), "bold", BLUE, anchor=anchor, tags="place")

    def _show(self, ink: Image.Image, left: int, top: int) -> None:
        pixels = ImageOps.colorize(ink, PAPER, INK)
        self.canvas.tk.call(self.image, "put", ppm(pixels), "-format", "PPM", "-to", left, top)

    def _down(self, event: tk.Event[tk.Canvas]) -> None:
        self.canvas.focus_set()  # away from a slider, whose arrow keys would go on moving it
        self.canvas.delete("hint")
        self.sketch.end()
        self._is_down = True
        self._follow(event, self.sketch.begin)

    def _move(self, event: tk.Event[tk.Canvas]) -> None:
        if self._is_down:
            self._follow(event, self.sketch.extend)

    def _follow(self, event: tk.Event[tk.Canvas], step: Callable[[float, float], None]) -> None:
        if not self.sketch.is_full:
            # The middle of the screen's pixel under the pen, in canvas pixels.
            point = round((event.x + 0.5) / self._scale, 2), round((event.y + 0.5) / self._scale, 2)
            step(*point)
            region, ink = self._ink.follow(point, self.brush)  # around the pen alone: ink must never wait
            self._show(ink, *region[:2])
        self._on_change()

    def _up(self, event: tk.Event[tk.Canvas]) -> None:
        if self._is_down:
            self._is_down = False
            self.sketch.end()
            self._ink.lift(self.brush)
            self._on_change()

    def change(self, step: Action) -> None:
        """Undo, redo or clear; a stroke being drawn ends there."""
        self._is_down = False
        step()
        self.redraw()
        self._on_change()


class ImageTile:
    """A picture of any size in a square on a panel."""

    def __init__(self, panel: Panel, left: int, top: int, side: int) -> None:
        self._side = side
        panel.rectangle(left, top, left + side, top + side, TRACK)
        self.image = tk.PhotoImage(master=panel.canvas, width=side, height=side)
        panel.canvas.create_image(left, top, anchor="nw", image=self.image)

    def show(self, picture: Picture | None) -> None:
        if picture is None:
            self.image.blank()
        else:
            self.image.configure(data=ppm(Image.fromarray(fitted(picture, self._side))), format="PPM")


class PredictionPanel(Panel):
    """What one network predicts: the most probable digit, ten bars with their numbers, and its saliency map."""

    def __init__(self, theme: Theme, box: Box, name: str, method: str) -> None:
        super().__init__(theme, box)
        self._method = method
        edge, side, top = self.px(12), theme.layout.tile(112, spare=16), self.px(34)
        left = self.width - edge - side
        self.text(edge, self.px(19), shortened(name, self.width - 2 * edge, theme.name.measure), "name", anchor="w")
        self.tile = ImageTile(self, left, top, side)
        self.text(left + side / 2, top + side / 2, "", "small", justify="center", tags="invitation")
        self._middle, self._legend_at = left / 2 + edge / 3, top + side + self.px(11)
        self.bar_left, self.bar_right = self.px(38), self.width - self.px(88)
        for digit in range(10):
            self._bar(digit, 1.0, TRACK, "track")

    def show(self, answer: Answer, place: int) -> None:
        """The answer of the network in this place; what is probably not a digit is shown in pale colours."""
        self.canvas.delete("answer")
        probabilities = answer.probabilities[place] if answer.probabilities else None
        winner = None if probabilities is None else int(np.argmax(probabilities))
        is_pale = answer.rejection is not None
        bold, colour = ("text", LOSER) if is_pale else ("bold", BLUE)
        for digit in range(10):
            font, y = bold if digit == winner else "text", self._row(digit)
            self.text(self.px(26), y, str(digit), font, tags="answer")
            if probabilities is not None:
                probability, right = float(probabilities[digit]), self.width - self.px(12)
                self._bar(digit, probability, colour if digit == winner else LOSER, f"answer bar.{digit}")
                shade, tags = INK if digit == winner and not is_pale else MUTED, f"answer number.{digit}"
                self.text(right, y, format_probability(probability), font, shade, anchor="e", tags=tags)
        if probabilities is not None and winner is not None:
            font, heading = ("pale_digit", "text") if is_pale else ("digit", "heading")
            self.text(self.px(11), self._row(winner), "▸", bold, colour, tags="answer")
            self.text(self._middle, self.px(78), str(winner), font, colour, tags="answer digit")
            self.text(self._middle, self.px(134), format_probability(probabilities[winner]), heading, tags="answer")

    def _row(self, digit: int) -> int:
        return self.px(191 + 21.2 * digit)

    def _bar(self, digit: int, probability: float, colour: str, tags: str) -> None:
        middle, half, length = self._row(digit), self.px(7), self.bar_right - self.bar_left
        right = self.bar_left + probability * length
        self.rectangle(self.bar_left, middle - half, right, middle + half, colour, tags)

    def show_map(self, pixels: Picture | None, *, digit: int | None = None, invite: bool = False) -> None:
        """The picture with the map for a digit, and its legend, or without; or none, then perhaps how to see one."""
        self.tile.show(pixels)
        self.canvas.itemconfigure("invitation", text="press m to see\nwhat mattered" if invite else "")
        self.canvas.delete("legend")
        right, y, half = self.width - self.px(12), self._legend_at, self.px(4.5)
        for text, colour in () if digit is None else (("against", VERMILION), (f"for {digit}", SKY_BLUE)):
            self.text(right, y, text, "small", anchor="e", tags="legend")
            right -= self.theme.small.measure(text) + self.px(5)
            self.rectangle(right - 2 * half, y - half, right, y + half, colour, "legend")
            right -= 2 * half + self.px(9)
        if digit is not None:
            self.text(right, y, f"{self._method}:", "small", anchor="e", tags="legend method")

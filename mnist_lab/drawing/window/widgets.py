"""The parts of the window: where they lie, their look, and the widgets that show a drawing and predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ImageColor import getrgb

from mnist_lab.data.mnist import SIDE
from mnist_lab.drawing.preprocess import BRUSH, Picture
from mnist_lab.drawing.strokes import CANVAS, Point, Sketch
from mnist_lab.terminal.wording import format_probability

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    import tkinter as tk
    from tkinter import font as tkfont
    from tkinter import ttk

Action: TypeAlias = Callable[[], None]
Probabilities: TypeAlias = NDArray[np.float64]
Scale: TypeAlias = tuple[str, float, float, float, str]  # a slider's label, lowest and highest value, step and unit

_STRONGEST = 99.0  # percentile of a map's pixels from which its colours are full, lest one pixel make all others pale
_DIMMED = 0.55  # brightness of the digit under a map, so that the colours stand out

# Okabe & Ito's colours, as in the figures: blue is evidence for a digit, vermilion against it.
BLUE, SKY_BLUE, VERMILION, _DARK_BLUE = "#0072B2", "#56B4E9", "#D55E00", "#005A8E"
INK, MUTED, _FAINT, LOSER = "#22262B", "#5C6570", "#B4BCC6", "#8FA3B5"
PAPER, GROUND, RULE, TRACK, _HOVER, _CHOSEN = "#FFFFFF", "#F2F4F7", "#D5DAE1", "#EEF1F4", "#E6EDF5", "#D6E8F5"

_MARGIN, _GUTTER = 14, 12  # units, around and between the parts
_SHEET = 364  # units, side of the drawing canvas: 1.3 for each of its pixels
_TOOLS_HEIGHT, _LOWER_HEIGHT, _VERDICT_HEIGHT, _FOOT_HEIGHT = 68, 158, 38, 46
PANEL_WIDTHS = {1: 500, 2: 290, 3: 290, 4: 222}  # units for each network, by how many there are
LARGEST = 1.25  # screen pixels per unit, on a screen of 96 dots per inch, however large the screen is
_TASKBAR = 80  # pixels at 96 dots per inch for title bar and task bar, of which Tk knows nothing


class Box(NamedTuple):
    """A rectangle, in pixels of the screen."""

    x: int
    y: int
    width: int
    height: int


class Layout:
    """Where everything lies for 1 to 4 networks, in pixels of the screen, ``scale`` of them for each unit."""

    def __init__(self, networks: int, scale: float) -> None:
        self.scale = scale  # pixels for each unit, which is about a pixel of an ordinary small screen
        tools = _MARGIN + _SHEET + _GUTTER
        lower = tools + _TOOLS_HEIGHT + _GUTTER
        foot = lower + _LOWER_HEIGHT + _GUTTER
        right, pitch = _MARGIN + _SHEET + _GUTTER, PANEL_WIDTHS[networks] + _GUTTER
        width = networks * pitch - _GUTTER
        upper = _MARGIN + _VERDICT_HEIGHT + _GUTTER / 2
        height = lower - _GUTTER - upper
        self.window = self._box(0, 0, right + width + _MARGIN, foot + _FOOT_HEIGHT + _MARGIN)
        self.canvas = self._box(_MARGIN, _MARGIN, _SHEET, _SHEET)  # to draw on, a square
        self.tools = self._box(_MARGIN, tools, _SHEET, _TOOLS_HEIGHT)  # brush and buttons
        self.seen = self._box(_MARGIN, lower, _SHEET, _LOWER_HEIGHT)  # the picture that the networks see
        self.verdict = self._box(right, _MARGIN, width, _VERDICT_HEIGHT)  # one sentence above the predictions
        self.panels = [self._box(right + i * pitch, upper, pitch - _GUTTER, height) for i in range(networks)]
        self.wobble = self._box(right, lower, width, _LOWER_HEIGHT)  # the sliders
        # The X-ray lies over the predictions and, where they are too narrow for it, over the sliders as well.
        self.xray = self._box(right, upper, width, height if networks > 2 else lower + _LOWER_HEIGHT - upper)
        self.xray_columns = 4 if networks <= 2 else 7  # of its seven pictures
        self.foot = self._box(_MARGIN, foot, right + width - _MARGIN, _FOOT_HEIGHT)  # messages and keys

    def _box(self, left: float, top: float, width: float, height: float) -> Box:
        # Edges are rounded, not sizes, so that neighbours leave no gap and don't overlap.
        x0, y0, x1, y1 = (self.px(edge) for edge in (left, top, left + width, top + height))
        return Box(x0, y0, x1 - x0, y1 - y0)

    def px(self, units: float) -> int:
        return round(units * self.scale)

    def tile(self, units: float, spare: int = 0) -> int:
        """Side of the largest picture of 28x28 whole pixels and a line around it, in so many units and some pixels."""
        return max(1, (self.px(units) + spare - 2) // SIDE) * SIDE + 2


def plan_layout(screen_width: int, screen_height: int, density: float, networks: int) -> Layout:
    """Lay everything out as large as is comfortable and a screen, in pixels and dots per inch / 96, allows."""
    whole = Layout(networks, 1.0).window
    wide, high = 0.98 * screen_width / whole.width, (screen_height - _TASKBAR * density) / whole.height
    return Layout(networks, min(wide, high, LARGEST * density))


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


def shortened(text: str, width: int, measure: Callable[[str], int]) -> str:
    """The end of a text that is too wide, after an ellipsis: names of runs, and paths, differ at their ends."""
    shown = text
    while text and measure(shown) > width:
        text = text[1:]
        shown = f"…{text}"
    return shown


@dataclass(frozen=True)
class Predictor:
    """A network, as functions of pictures (28, 28) uint8, white on black."""

    name: str  # its heading; different from the others'
    predict: Callable[[Sequence[Picture]], Sequence[Probabilities]]  # (10,), 0 to 1, for each of several pictures
    explain: Callable[[Picture, int], NDArray[np.float32]]  # (28, 28): above zero what speaks for a digit


class Theme:
    """Fonts and styles of one window."""

    def __init__(self, root: tk.Tk, layout: Layout) -> None:
        self.layout, self.root = layout, root
        self._family = str(tkfont.nametofont("TkDefaultFont", root=root).actual("family"))
        self.small, self.text, self.hint = self._font(11.5), self._font(13), self._font(22)
        self.bold, self.heading = self._font(13, "bold"), self._font(14, "bold")
        self.name = self._font(11, "bold") if len(layout.panels) > 2 else self.bold
        self.digit, self.smaller_digit = self._font(72, "bold"), self._font(44, "bold")
        root.configure(background=GROUND)
        style, px, edges = ttk.Style(root), layout.px, [("pressed", RULE), ("active", _HOVER)]
        style.theme_use("clam")
        style.configure(".", background=PAPER, foreground=INK, font=self.text, bordercolor=RULE, focuscolor=_FAINT)
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

    def __init__(self, theme: Theme, box: Box) -> None:
        self.theme, self.px, self.box = theme, theme.layout.px, box
        self.width, self.height = box.width - 2, box.height - 2  # without the frame's line
        self.frame = card(theme.root, box)
        self.canvas = tk.Canvas(self.frame, background=PAPER, highlightthickness=0, borderwidth=0, takefocus=False)
        self.canvas.pack(fill="both", expand=True)

    def text(self, x: float, y: float, text: str, font: str, colour: str = "", **options: Any) -> None:
        fill = colour or {"small": MUTED, "hint": _FAINT, "digit": BLUE, "smaller_digit": BLUE}.get(font, INK)
        self.canvas.create_text(x, y, text=text, font=getattr(self.theme, font), fill=fill, **options)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: str, tags: str = "") -> None:
        if right - left >= 1 and bottom - top >= 1:
            self.canvas.create_rectangle(left, top, right, bottom, fill=colour, outline="", tags=tags)


class Slider:
    """A name, a handle to move in steps, and its value; the caller places its frame."""

    def __init__(self, parent: tk.Misc, scale: Scale, value: float, on_change: Callable[[float], None]) -> None:
        label, self._low, high, self._step, self._unit = scale
        self._on_change = on_change
        self.frame = tk.Frame(parent, background=PAPER)
        ttk.Label(self.frame, text=label, width=8).pack(side="left")
        self._number = ttk.Label(self.frame, width=6, anchor="e")
        self._number.pack(side="right")
        self.scale = ttk.Scale(self.frame, from_=self._low, to=high, value=value, command=self._moved)
        self.scale.pack(side="left", fill="x", expand=True, padx=4)
        self._show(value)

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
    """The canvas to draw on: follows mouse or pen, keeps the sketch, and shows its ink."""

    def __init__(self, theme: Theme, on_change: Action) -> None:
        super().__init__(theme, theme.layout.canvas)
        self._on_change, self._scale = on_change, self.width / CANVAS
        self.sketch = Sketch()
        self.brush = BRUSH
        self._tip: Point | None = None  # where the pen is, while it is down
        self.canvas.configure(cursor="pencil")
        self.canvas.bind("<Button-1>", self._down)
        self.canvas.bind("<B1-Motion>", self._move)
        self.canvas.bind("<ButtonRelease-1>", self._up)
        self.redraw()

    def redraw(self) -> None:
        self.canvas.delete("all")
        if not self.sketch.strokes:
            self.text(self.width / 2, self.width / 2, "draw a digit", "hint", tags="hint")
        for stroke in self.sketch.strokes:
            self._ink(stroke)

    def _ink(self, stroke: Sequence[Point]) -> None:
        """Points joined by a line with round ends; one point is a dot, a line that ends where it starts."""
        points = [(self._scale * x, self._scale * y) for x, y in (stroke if len(stroke) > 1 else [*stroke, *stroke])]
        width = self._scale * self.brush
        self.canvas.create_line(points, width=width, fill=INK, capstyle="round", joinstyle="round", tags="ink")

    def _down(self, event: tk.Event[tk.Canvas]) -> None:
        self.canvas.focus_set()  # away from a slider, whose arrow keys would go on moving it
        self.canvas.delete("hint")
        self._tip = None
        self._follow(event)

    def _move(self, event: tk.Event[tk.Canvas]) -> None:
        if self._tip is not None:
            self._follow(event)

    def _follow(self, event: tk.Event[tk.Canvas]) -> None:
        if not self.sketch.is_full:
            # The middle of the screen's pixel under the pen, in canvas pixels.
            point = round((event.x + 0.5) / self._scale, 2), round((event.y + 0.5) / self._scale, 2)
            step = self.sketch.begin if self._tip is None else self.sketch.extend
            step(*point)
            self._ink([self._tip or point, point])  # the new piece alone: ink must never wait, however long the stroke
            self._tip = point
        self._on_change()

    def _up(self, event: tk.Event[tk.Canvas]) -> None:
        if self._tip is not None:
            self.change(self.sketch.end)

    def change(self, step: Action) -> None:
        """Undo, redo, clear or lift the pen; a stroke being drawn ends there."""
        self._tip = None
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
            header = b"P6 %d %d 255 " % (self._side, self._side)
            self.image.configure(data=header + fitted(picture, self._side).tobytes(), format="PPM")


class PredictionPanel(Panel):
    """What one network predicts: the most probable digit, ten bars with their numbers, and its saliency map."""

    def __init__(self, theme: Theme, box: Box, name: str) -> None:
        super().__init__(theme, box)
        edge, side, top = self.px(12), theme.layout.tile(112, spare=16), self.px(34)
        left = self.width - edge - side
        self.text(edge, self.px(19), shortened(name, self.width - 2 * edge, theme.name.measure), "name", anchor="w")
        self.tile = ImageTile(self, left, top, side)
        self.text(left + side / 2, top + side / 2, "", "small", justify="center", tags="invitation")
        self._middle = left / 2 + edge / 3
        self.bar_left, self.bar_right = self.px(38), self.width - self.px(88)
        for digit in range(10):
            self._bar(digit, 1.0, TRACK, "track")

    def show(self, probabilities: Probabilities | None) -> None:
        """Ten probabilities, 0..1, or no prediction."""
        self.canvas.delete("answer")
        winner = None if probabilities is None else int(np.argmax(probabilities))
        for digit in range(10):
            font, y = "bold" if digit == winner else "text", self._row(digit)
            self.text(self.px(26), y, str(digit), font, tags="answer")
            if probabilities is not None:
                probability, right = float(probabilities[digit]), self.width - self.px(12)
                self._bar(digit, probability, BLUE if digit == winner else LOSER, f"answer bar.{digit}")
                colour, tags = INK if digit == winner else MUTED, f"answer number.{digit}"
                self.text(right, y, format_probability(probability), font, colour, anchor="e", tags=tags)
        if probabilities is not None and winner is not None:
            self.text(self.px(11), self._row(winner), "▸", "bold", BLUE, tags="answer")
            self.text(self._middle, self.px(78), str(winner), "digit", tags="answer digit")
            self.text(self._middle, self.px(134), format_probability(probabilities[winner]), "heading", tags="answer")

    def _row(self, digit: int) -> int:
        return self.px(168 + 23.5 * digit)

    def _bar(self, digit: int, probability: float, colour: str, tags: str) -> None:
        middle, half, length = self._row(digit), self.px(7), self.bar_right - self.bar_left
        right = self.bar_left + probability * length
        self.rectangle(self.bar_left, middle - half, right, middle + half, colour, tags)

    def show_map(self, pixels: Picture | None, *, invite: bool) -> None:
        """The picture with or without its map, or none; then perhaps how to see one."""
        self.tile.show(pixels)
        self.canvas.itemconfigure("invitation", text="press m to see\nwhat mattered" if invite else "")

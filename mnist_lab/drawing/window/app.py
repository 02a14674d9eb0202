"""The window to draw in: Tk around plain callables, with predictions that follow the pen.

The ink is drawn at once; predictions are made between two events and always for the newest strokes, so that a slow
network makes the bars lag, not the pen.
"""

from __future__ import annotations

import ctypes
import gc
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from mnist_lab.drawing.preprocess import BRUSH, Picture, Steps, Wobble, see, take_apart
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.widgets import PANEL_WIDTHS, Box, Predictor, plan_layout
from mnist_lab.drawing.window.xray_panel import XrayPanel
from mnist_lab.errors import LabError, RequestError

TKINTER_MISSING = ""
try:
    import tkinter as tk
    from tkinter import ttk
except ImportError as error:  # such a Python can still do everything else, so it is reported when a window is asked for
    TKINTER_MISSING = str(error)

TITLE = "MNIST Lab: draw a digit"
_FRAME = 0.030  # seconds, at least, between the starts of two predictions: about thirty a second look like motion
_REST = 2.0  # how long the pen has the processor for itself after a prediction, as a multiple of what that one took
LIVE = 0.025  # seconds that an X-ray may take to follow the moving pen; otherwise it waits until the pen rests
STILL_MS = 100  # without a change, after which the pen counts as resting, and saliency maps are made
_HEARTBEAT_MS = 250  # within which a Ctrl-C in the terminal is noticed: Tk sleeps until an event comes

_BRUSH_SCALE: widgets.Scale = ("Brush", 6, 40, 1, " px")
_SCALES: dict[str, widgets.Scale] = {  # one slider for each field of a Wobble
    "right": ("Shift →", -6, 6, 0.5, " px"),
    "down": ("Shift ↓", -6, 6, 0.5, " px"),
    "turn": ("Rotation", -90, 90, 1, "°"),
    "size": ("Size", 50, 150, 1, " %"),
    "stroke": ("Stroke", 30, 300, 5, " %"),
}
_KEYS = {"z": "undo", "y": "redo", "c": "clear", "s": "save", "m": "map", "x": "xray", "r": "reset", "escape": "close"}


@dataclass(frozen=True)
class Snapshot:
    """A drawing at the moment when it is to be saved."""

    drawing: Drawing  # as drawn: not wobbled, without a label
    brush: float  # width of the pen, in pixels of the 280x280 canvas
    wobble: Wobble
    picture: Picture  # what the networks saw, wobbled, (28, 28) uint8, white on black
    probabilities: tuple[widgets.Probabilities, ...]  # each predictor's, (10,)


Save: TypeAlias = Callable[[Snapshot], Path]  # leaves a drawing in a place, which it returns
Keep: TypeAlias = Callable[[Drawing], str]  # keeps a labelled drawing, and says so
Reject: TypeAlias = Callable[[Picture, Sequence[widgets.Probabilities]], str | None]  # why it is probably not a digit


def open_window(
    predictors: Sequence[Predictor],
    *,
    save: Save,
    keep: Keep,
    take_back: Keep | None = None,
    reject: Reject,
    gallery: object = None,
) -> None:
    """Show one to four networks side by side until the window is closed.

    A LabError of ``save`` or ``keep`` is shown; whatever else goes wrong closes the window and is raised from here, as
    is a LabError if there is no tkinter or no display, or if the predictors are too many or not all of different names.
    """
    names = [predictor.name for predictor in predictors]
    if len(names) not in PANEL_WIDTHS:
        raise RequestError(f"{len(names)} runs can't be shown side by side", f"name 1 to {max(PANEL_WIDTHS)} runs")
    if len(set(names)) < len(names):
        raise RequestError(f"two of the runs have the same name ({', '.join(names)})", "name each run once")
    root = new_root()
    try:
        Window(root, predictors, save, keep, reject).run()
    except LabError as error:
        raise error.with_traceback(None) from None  # its frames would keep the widgets alive
    finally:
        take_down(root)
        del root
        # The widgets refer to each other in cycles. If another thread collected them later, Tcl would abort.
        gc.collect()


def new_root() -> tk.Tk:
    """The main window, still hidden; a LabError says that there is no tkinter, or no display."""
    alternative = "or recognise a picture from a file: python main.py predict IMAGE"
    if TKINTER_MISSING:
        advice = (
            "install it (Linux: apt install python3-tk, or dnf install python3-tkinter; Homebrew: brew install "
            'python-tk; Windows: run the installer from python.org again, choose "Modify" and tick "tcl/tk"), '
        )
        raise LabError(f"this Python has no tkinter, which draws windows ({TKINTER_MISSING})", advice + alternative)
    if sys.platform == "win32":  # ask for real pixels; otherwise Windows enlarges the window like a photograph
        with suppress(AttributeError, OSError):  # before Windows 8.1, or already decided by somebody else
            ctypes.windll.shcore.SetProcessDpiAwareness(1)
    try:
        root = tk.Tk(className="MnistLab")
    except tk.TclError as error:
        advice = f"work at a screen, or connect with ssh -X, {alternative}"
        raise LabError(f"no window can be opened ({error})", advice) from None
    root.withdraw()
    return root


def take_down(root: tk.Tk) -> None:
    """Destroy the window, with all that was still to happen in it."""
    for pending in root.tk.splitlist(root.tk.call("after", "info")):
        root.after_cancel(pending)
    root.destroy()


def _density(root: tk.Tk) -> float:
    """Dots per inch of the screen, divided by 96; 1 to 4, whatever a screen or a setting claims."""
    windowing = root.tk.call("tk", "windowingsystem")
    if windowing == "aqua":
        return 1.0  # a Mac counts in points and fills in the pixels itself
    if windowing == "x11":
        # Fonts follow the desktop's choice, Xft.dpi; Tk 8.6 must be told to use the same resolution. The X server's
        # settings are options of a program of the class that they begin with.
        probe = tk.Tk(className="Xft")
        chosen = str(probe.tk.call("option", "get", ".", "dpi", ""))
        probe.destroy()
        with suppress(ValueError):  # not set
            if 50 <= float(chosen) <= 1000:  # nobody's choice lies beyond
                root.tk.call("tk", "scaling", float(chosen) / 72)
    return max(1.0, min(4.0, root.winfo_fpixels("1i") / 96))


def _command_for(key: str, *, modified: bool, shifted: bool = False) -> str | None:
    """What a key as Tk names it ("z", "Escape", "KP_7") asks for: a command, a label "0" to "9", or None."""
    key = key.lower()  # so that Caps Lock does no harm
    if modified:
        return {"z": "redo" if shifted else "undo", "y": "redo"}.get(key)
    digit = key.removeprefix("kp_")
    return digit if digit in set("0123456789") else _KEYS.get(key)


def _summary(probabilities: Sequence[widgets.Probabilities]) -> str:
    winners = [int(np.argmax(row)) for row in probabilities]
    if len(set(winners)) > 1:
        return f"they disagree: {', '.join(map(str, winners))}"
    if len(winners) > 1:
        return f"{('both', 'all three', 'all four')[len(winners) - 2]} say {winners[0]}"
    first, second = (f"{'an' if digit == 8 else 'a'} {digit}" for digit in np.argsort(probabilities[0])[:-3:-1])
    return f"{first}, or perhaps {second}" if np.sort(probabilities[0])[-2] >= 0.1 else first


class Window:
    """Everything in the window, and what happens when."""

    def __init__(self, root: tk.Tk, predictors: Sequence[Predictor], save: Save, keep: Keep, reject: Reject) -> None:
        self.root, self._predictors = root, predictors
        self._save, self._keep, self._reject = save, keep, reject
        self.error: BaseException | None = None
        self.layout = plan_layout(root.winfo_screenwidth(), root.winfo_screenheight(), _density(root), len(predictors))
        self.theme = widgets.Theme(root, self.layout)
        self.wobble = Wobble()
        self.picture: Picture | None = None
        self.probabilities: list[widgets.Probabilities] = []
        self.shows_maps = False
        self._kept: Drawing | None = None  # what was labelled last
        self._unexplained: list[int] = []  # networks whose maps are still to be made
        self._pending: dict[widgets.Action, str] = {}  # actions that happen later, with Tk's names for them
        self._not_before = 0.0  # of time.perf_counter, for the next prediction
        self._xray_seconds = 0.0  # that the last X-ray took
        root.report_callback_exception = self._fail
        self.canvas = widgets.DrawingCanvas(self.theme, self._changed)
        boxes = zip(self.layout.panels, predictors, strict=True)
        self.panels = [widgets.PredictionPanel(self.theme, box, predictor.name) for box, predictor in boxes]
        self.xray = XrayPanel(self.theme, predictors[0], self._request, self._reset)
        sketch = self.canvas.sketch
        self._actions: dict[str, widgets.Action] = {
            "undo": partial(self.canvas.change, sketch.undo),
            "redo": partial(self.canvas.change, sketch.redo),
            "clear": partial(self.canvas.change, sketch.clear),
            "save": self._save_now,
            "map": lambda: self._choose_view(maps=self.xray.is_open or not self.shows_maps, xray=False),
            "xray": lambda: self._choose_view(maps=self.shows_maps, xray=not self.xray.is_open),
            "reset": self._reset,
            "close": root.quit,
        }
        self.buttons: dict[str, ttk.Button] = {}
        self._build_tools()
        self._build_seen()
        self._build_wobble()
        self._build_texts()
        self._changed()
        root.bind("<Key>", self._key)
        root.protocol("WM_DELETE_WINDOW", root.quit)
        window = self.layout.window
        left = (root.winfo_screenwidth() - window.width) // 2
        top = max(0, (root.winfo_screenheight() - window.height) // 2 - self.layout.px(20))
        root.title(TITLE)
        root.geometry(f"{window.width}x{window.height}+{left}+{top}")
        root.resizable(False, False)
        root.deiconify()
        root.lift()
        root.focus_force()
        self._beat()

    def _button(self, parent: tk.Misc, command: str, text: str) -> ttk.Button:
        self.buttons[command] = ttk.Button(parent, text=text, command=self._actions[command])
        return self.buttons[command]

    def _build_tools(self) -> None:
        px, width = self.layout.px, self.layout.tools.width - 2
        tools = widgets.card(self.root, self.layout.tools, widgets.GROUND, widgets.GROUND)
        row = widgets.card(tools, Box(0, 0, width, px(30)))
        brush = widgets.Slider(row, _BRUSH_SCALE, BRUSH, self._set_brush)
        brush.frame.pack(fill="both", expand=True, padx=px(8))
        pitch = (width + px(6)) / 4
        texts = {"undo": "Undo  z", "redo": "Redo  y", "clear": "Clear  c", "save": "Save  s"}
        for column, (command, text) in enumerate(texts.items()):
            button = self._button(tools, command, text)
            button.place(x=round(column * pitch), y=px(36), width=round(pitch - px(6)), height=px(31))

    def _build_seen(self) -> None:
        px, panel = self.layout.px, widgets.Panel(self.theme, self.layout.seen)
        side = self.layout.tile(140, spare=16)
        edge = (panel.height - side) // 2
        self.tile = widgets.ImageTile(panel, edge, edge, side)
        left, bottom = side + 2 * edge + px(4), panel.height - px(7)
        title = "What the network sees" if len(self._predictors) == 1 else "What the networks see"
        panel.text(left, px(8), title, "bold", anchor="nw")
        panel.text(left, px(30), "28 × 28 pixels, white on black", "small", anchor="nw")
        switches = tk.Frame(panel.canvas, background=widgets.PAPER)
        panel.canvas.create_window(left, bottom, window=switches, anchor="sw")
        legend = {"evidence for the digit": widgets.SKY_BLUE, "evidence against it": widgets.VERMILION}
        for row, (text, colour) in enumerate(legend.items()):
            y, half = bottom - px(63 - 21 * row), px(5.5)
            panel.rectangle(left, y - half, left + 2 * half, y + half, colour)
            panel.text(left + px(17), y, text, "small", anchor="w")
        self._button(switches, "map", "Map  m").pack(side="left", ipadx=px(6), padx=(0, px(6)))
        self._button(switches, "xray", "X-ray  x").pack(side="left", ipadx=px(6))

    def _build_wobble(self) -> None:
        px, panel = self.layout.px, widgets.Panel(self.theme, self.layout.wobble)
        panel.text(px(12), px(21), "Wobble", "bold", anchor="w")
        panel.text(px(78), px(21), "until the prediction changes", "small", anchor="w")
        reset = self._button(panel.canvas, "reset", "Reset  r")
        panel.canvas.create_window(panel.width - px(10), px(21), window=reset, anchor="e")
        rows, columns = (5, 1) if len(self._predictors) == 1 else (3, 2)
        pitch, height = panel.width // columns, (panel.height - px(44)) // rows
        self.sliders: dict[str, widgets.Slider] = {}
        for place, (field, scale) in enumerate(_SCALES.items()):
            slider = widgets.Slider(panel.canvas, scale, getattr(self.wobble, field), partial(self._set_wobble, field))
            x, y = px(12) + place // rows * pitch, px(38) + place % rows * height
            slider.frame.place(x=x, y=y, width=pitch - px(24), height=height)
            self.sliders[field] = slider

    def _build_texts(self) -> None:
        verdict = widgets.Panel(self.theme, self.layout.verdict)
        verdict.text(verdict.width / 2, verdict.height / 2, "", "heading", width=verdict.width, tags="verdict")
        self._verdict = verdict.canvas
        foot = widgets.card(self.root, self.layout.foot, widgets.GROUND, widgets.GROUND)
        self._button(foot, "close", "Close  Esc").pack(side="right", anchor="s")
        self._status = ttk.Label(foot, style="Ground.TLabel")
        self._status.pack(side="top", anchor="w", fill="x")
        keys = "Keys 0–9 keep the drawing as that digit  ·  Ctrl+Z, Ctrl+Y: undo, redo"
        ttk.Label(foot, text=keys, style="Foot.TLabel").pack(side="bottom", anchor="w")

    def run(self) -> None:
        self.root.mainloop()
        if self.error is not None:
            raise self.error

    def _fail(self, kind: type[BaseException], error: BaseException, trace: object) -> None:
        self.error = self.error or error
        self.root.quit()

    def _beat(self) -> None:
        self.root.after(_HEARTBEAT_MS, self._beat)

    def _key(self, event: tk.Event[tk.Misc]) -> None:
        state = int(event.state)
        # Bit 2 is Control everywhere; bit 3 is Alt on X11 and Command on a Mac, but the number lock on Windows.
        modified = bool(state & (0x20004 if sys.platform == "win32" else 0xC))
        command = _command_for(event.keysym, modified=modified, shifted=bool(state & 1))
        if command in self._actions:
            self._actions[command]()
        elif command is not None:
            self._keep_as(int(command))

    def _tell(self, message: str, *, trouble: bool = False) -> None:
        text = " ".join(f"! {message}".split() if trouble else message.split())
        text = widgets.shortened(text, self.layout.foot.width - self.layout.px(120), self.theme.text.measure)
        self._status.configure(text=text, foreground=widgets.VERMILION if trouble else widgets.INK)

    def _changed(self) -> None:
        sketch = self.canvas.sketch
        has_ink = bool(sketch.strokes)
        possible = {"undo": sketch.can_undo, "redo": sketch.can_redo, "clear": has_ink, "save": has_ink}
        for command, is_possible in possible.items():
            self.buttons[command].state(["!disabled" if is_possible else "disabled"])
        if sketch.is_full:
            self._tell("the drawing has as many lines as it can hold: undo or clear something", trouble=True)
        self._request()

    def _set_brush(self, width: float) -> None:
        self.canvas.brush = width
        self.canvas.redraw()
        if self.xray.is_open:
            self._request()

    def _set_wobble(self, field: str, value: float) -> None:
        self.wobble = replace(self.wobble, **{field: value})
        self._request()

    def _reset(self) -> None:
        for field, slider in self.sliders.items():
            slider.scale.set(getattr(Wobble(), field))
        self.xray.choose(Steps())

    def _later(self, milliseconds: int, action: widgets.Action) -> None:
        self._cancel(action)
        self._pending[action] = self.root.after(milliseconds, action)

    def _cancel(self, action: widgets.Action) -> None:
        if action in self._pending:
            self.root.after_cancel(self._pending.pop(action))

    def _request(self) -> None:
        self._cancel(self._rest)
        if self._predict not in self._pending:
            self._later(max(0, math.ceil(1000 * (self._not_before - time.perf_counter()))), self._predict)

    def _predict(self) -> None:
        started = time.perf_counter()
        self._cancel(self._predict)
        self.picture = picture = see(self.canvas.sketch.drawing(), self.wobble)
        self.probabilities = [] if picture is None else [one.predict([picture])[0] for one in self._predictors]
        self.tile.show(picture)
        if picture is None:
            text, colour = "draw a digit with mouse or pen", widgets.MUTED
            self.xray.show(None, self.canvas.brush, is_wobbled=self.wobble != Wobble())
        elif reason := self._reject(picture, self.probabilities):
            text, colour = f"▲ {reason}", widgets.VERMILION
        else:
            text, colour = _summary(self.probabilities), widgets.INK
        self._verdict.itemconfigure("verdict", text=text, fill=colour)
        for index, panel in enumerate(self.panels):
            panel.show(self.probabilities[index] if self.probabilities else None)
            panel.show_map(picture if self.shows_maps else None, invite=not self.shows_maps)
        self._unexplained = list(range(len(self.panels))) if self.shows_maps else []
        if picture is not None and self.xray.is_open and self._xray_seconds <= LIVE:
            self._rest()
        elif picture is not None and (self.xray.is_open or self.shows_maps):
            self._later(STILL_MS, self._rest)
        ended = time.perf_counter()
        self._not_before = max(started + _FRAME, ended + _REST * (ended - started))

    def _rest(self) -> None:
        """Show the X-ray, or make one map; the next map only after what the pen has done meanwhile."""
        self._cancel(self._rest)
        if self.xray.is_open:
            started, drawing, brush = time.perf_counter(), self.canvas.sketch.drawing(), self.canvas.brush
            self.xray.show(take_apart(drawing, self.xray.steps, brush), brush, is_wobbled=self.wobble != Wobble())
            self._xray_seconds = time.perf_counter() - started
        elif self.picture is not None and self._unexplained:
            index = self._unexplained.pop(0)
            saliency = self._predictors[index].explain(self.picture, int(np.argmax(self.probabilities[index])))
            self.panels[index].show_map(widgets.coloured(self.picture, saliency), invite=False)
            self._later(1, self._rest)

    def _choose_view(self, *, maps: bool, xray: bool) -> None:
        self.shows_maps = maps
        self.xray.set_open(xray)
        self.canvas.canvas.focus_set()  # away from a slider that may be covered now
        for command, is_on in (("map", maps and not xray), ("xray", xray)):
            self.buttons[command].state(["selected" if is_on else "!selected"])
        self._request()

    def _snapshot(self) -> Snapshot | None:
        if self._predict in self._pending:
            self._predict()
        if self.picture is None:
            return None
        drawing, brush = self.canvas.sketch.drawing(), self.canvas.brush
        return Snapshot(drawing, brush, self.wobble, self.picture, tuple(self.probabilities))

    def _save_now(self) -> None:
        snapshot = self._snapshot()
        if snapshot is None:
            self._tell("there is nothing to save yet: draw a digit")
            return
        self._tell("saving ...")
        self.root.update_idletasks()
        try:
            self._tell(f"saved in {self._save(snapshot)}")
        except LabError as error:
            self._tell(f"not saved: {error}", trouble=True)

    def _keep_as(self, label: int) -> None:
        snapshot = self._snapshot()
        if snapshot is None:
            self._tell(f"there is nothing to keep as a {label} yet: draw it")
        elif self._kept is not None and self._kept.strokes == snapshot.drawing.strokes:
            self._tell(f"this drawing is already kept as a {self._kept.label}: draw another")
        else:
            labelled = replace(snapshot.drawing, label=label)
            try:
                self._tell(self._keep(labelled))
                self._kept = labelled
            except LabError as error:
                self._tell(f"not kept: {error}", trouble=True)

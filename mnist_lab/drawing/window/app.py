"""The window to draw in: Tk around plain callables, with predictions that follow the pen.

The ink is drawn at once; predictions follow between two events, always for the newest strokes: bars lag, not the pen.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from mnist_lab.drawing.preprocess import BRUSH, Steps, Wobble
from mnist_lab.drawing.strokes import Drawing, Sketch, Stroke
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.answer import Answer, Predictor, Question, ask, sentence
from mnist_lab.drawing.window.film_panel import FilmPanel
from mnist_lab.drawing.window.help_page import HelpPage
from mnist_lab.drawing.window.host import Host
from mnist_lab.drawing.window.inside_panel import InsidePanel, Looking
from mnist_lab.drawing.window.keys import command_for
from mnist_lab.drawing.window.layout import Box, Layout, plan_layout, smallest_size
from mnist_lab.drawing.window.screen import density_of, new_root, take_down
from mnist_lab.drawing.window.xray_panel import XrayPanel
from mnist_lab.errors import LabError
from mnist_lab.explain.film import DigitMap

with suppress(ImportError):  # new_root says that it is missing
    import tkinter as tk
    from tkinter import ttk

TITLE = "MNIST Lab: draw a digit"
_FRAME = 0.030  # seconds, at least, between the starts of two predictions: about thirty a second look like motion
_REST = 2.0  # how long the pen has the processor for itself after a prediction, as a multiple of what that one took
STILL_MS = 100  # without a change, after which the pen counts as resting, and the window as having its new size
_HEARTBEAT_MS = 250  # within which a Ctrl-C in the terminal is noticed: Tk sleeps until an event comes

_BRUSH_SCALE: widgets.Scale = ("Brush", 6, 40, 1, " px")
_SCALES: dict[str, widgets.Scale] = {  # one slider for each field of a Wobble
    "right": ("Shift →", -6, 6, 0.5, " px"),
    "down": ("Shift ↓", -6, 6, 0.5, " px"),
    "turn": ("Rotation", -90, 90, 1, "°"),
    "size": ("Size", 50, 150, 1, " %"),
    "stroke": ("Stroke", 30, 300, 5, " %"),
}


def open_window(predictors: Sequence[Predictor], host: Host) -> None:
    """Show one to four networks, of different names, side by side until the window is closed.

    Whatever goes wrong closes the window and is raised from here, as is a LabError if there is no tkinter or display.
    """
    root = new_root()
    gc.freeze()  # what is there already: looking through all of torch would take 200 ms at each new size
    try:
        Window(root, predictors, host).run()
    except LabError as error:
        raise error.with_traceback(None) from None  # its frames would keep the widgets alive
    finally:
        take_down(root)
        del root
        gc.unfreeze()
        # The widgets refer to each other in cycles. If another thread collected them later, Tcl would abort.
        gc.collect()


class Window:
    """Everything in the window, and what happens when."""

    def __init__(self, root: tk.Tk, predictors: Sequence[Predictor], host: Host) -> None:
        self.root, self._predictors, self._host = root, predictors, host
        self.error: BaseException | None = None
        self.sketch, self.brush, self.wobble, self.steps = Sketch(), BRUSH, Wobble(), Steps()
        self.shows_maps, self.view = False, ""  # the view, one of self.views or none, lies over maps and predictions
        self.looking = Looking()  # into which network, and at what
        self.film: FilmPanel | None = None  # once it has been opened
        self.help: HelpPage | None = None  # while it is open
        self._kept: Drawing | None = None  # what was labelled last
        self._message = "", False  # what is told, and whether it is trouble
        self._told_of: tuple[Stroke, ...] = ()  # the strokes that the message belongs to
        self._unexplained: list[int] = []  # networks whose maps are still to be made
        self._is_learning = self._is_closing = False
        self._pending: dict[widgets.Action, str] = {}  # actions that happen later, with Tk's names for them
        self._not_before = 0.0  # of time.perf_counter, for the next prediction
        root.report_callback_exception = self._fail
        self._actions: dict[str, widgets.Action] = {
            "undo": lambda: self.canvas.change(self.sketch.undo),
            "redo": lambda: self.canvas.change(self.sketch.redo),
            "clear": lambda: self.canvas.change(self.sketch.clear),
            "save": self._save_now,
            "map": self._toggle_maps,
            "xray": partial(self._toggle_view, "xray"),
            "inside": partial(self._toggle_view, "inside"),
            "film": self._toggle_film,
            "reset": self._reset,
            "take back": self._take_kept_back,
            "help": self._toggle_help,
            "full screen": self._toggle_full_screen,
            "gallery": self._open_gallery,
            "personalise": self._personalise,
            "close": self._close,
        }
        density = density_of(root)
        first = plan_layout(root.winfo_screenwidth(), root.winfo_screenheight(), density, len(predictors))
        self._smallest = smallest_size(first, density)
        self._build(first)
        root.bind("<Key>", self._key)
        root.bind("<Configure>", self._resized)
        for key in ("<Return>", "<KP_Enter>"):  # Tk presses a button with the space bar only
            root.bind_class("TButton", key, lambda event: event.widget.invoke())
            root.bind_class("TScale", key, lambda event: self.canvas.canvas.focus_set())
        root.protocol("WM_DELETE_WINDOW", self._close)
        window = first.window
        left = (root.winfo_screenwidth() - window.width) // 2
        top = max(0, (root.winfo_screenheight() - window.height) // 2 - first.px(20))
        root.title(TITLE)
        root.geometry(f"{window.width}x{window.height}+{left}+{top}")
        root.minsize(*self._smallest)
        root.deiconify()
        root.lift()
        root.focus_force()
        self._beat()

    def _build(self, layout: Layout) -> None:
        """Make all parts for a size of the window, instead of those for another; what was drawn and set stays."""
        before, self.layout, self.theme = getattr(self, "theme", None), layout, widgets.Theme(self.root, layout)
        self.sketch.end()
        self.canvas = widgets.DrawingCanvas(self.theme, self.sketch, self.brush, self._changed)
        self.buttons: dict[str, ttk.Button] = {}
        self._build_tools()
        self._build_seen()
        boxes = zip(layout.panels, self._predictors, strict=True)
        self.panels = [widgets.PredictionPanel(self.theme, box, one.name, one.method) for box, one in boxes]
        self._build_wobble()
        self.xray = XrayPanel(self.theme, self._predictors[0].name, self._switch, self._reset)
        self.inside = InsidePanel(self.theme, self._predictors, self.looking, self._ask)
        for key in ("<Return>", "<KP_Enter>"):
            self.inside.canvas.bind(key, lambda event: self.canvas.canvas.focus_set())
        # At most one of them is open.
        self.views: dict[str, XrayPanel | FilmPanel | InsidePanel] = {"xray": self.xray, "inside": self.inside}
        if self.film is not None:
            self._build_film(self.film.map, self.film.moment)
        self._build_texts()
        self._arrange()
        self._tell(*self._message)
        self._changed()
        self._ask()
        self.theme.stage.place(x=0, y=0, relwidth=1, relheight=1)  # not before it is filled, lest it flickers
        if before is not None:
            before.stage.destroy()
            if self.help is not None:  # once more, in its new size
                self._toggle_help()
                self._toggle_help()
            gc.collect()  # as open_window does
        if self.root.focus_get() in (None, self.root):  # and not in a window of its own, the gallery's
            self.canvas.canvas.focus_set()

    def _button(self, parent: tk.Misc, command: str, text: str) -> ttk.Button:
        self.buttons[command] = ttk.Button(parent, text=text, command=self._actions[command])
        return self.buttons[command]

    def _build_tools(self) -> None:
        px, width = self.layout.px, self.layout.tools.width - 2
        tools = widgets.card(self.theme.stage, self.layout.tools, widgets.GROUND, widgets.GROUND)
        row = widgets.card(tools, Box(0, 0, width, px(30)))
        self.brush_slider = widgets.Slider(row, _BRUSH_SCALE, self.brush, self._set_brush)
        self.brush_slider.frame.pack(fill="both", expand=True, padx=px(8))
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
        left = side + 2 * edge + px(4)
        title = "What the network sees" if len(self._predictors) == 1 else "What the networks see"
        panel.text(left, px(8), title, "bold", anchor="nw")
        panel.text(left, px(30), "", "small", anchor="nw", tags="seen", width=panel.width - left - px(4))
        self._seen = panel.canvas
        switches = tk.Frame(panel.canvas, background=widgets.PAPER)
        panel.canvas.create_window(left, panel.height - px(7), window=switches, anchor="sw")
        texts = {"map": "Map  m", "xray": "X-ray  x", "inside": "Inside  i", "film": "Film  v"}
        for place, (command, text) in enumerate(texts.items()):
            button = self._button(switches, command, text)
            button.grid(row=place // 2, column=place % 2, sticky="ew", ipadx=px(6), padx=(0, px(6)), pady=(px(5), 0))

    def _build_wobble(self) -> None:
        self._wobble_panel = panel = widgets.Panel(self.theme, self.layout.wobble)
        px = self.layout.px
        panel.text(px(12), px(21), "Wobble", "bold", anchor="w")
        panel.text(px(78), px(21), "until the prediction changes", "small", anchor="w")
        reset = self._button(panel.canvas, "reset", "Reset  r")
        panel.canvas.create_window(panel.width - px(10), px(21), window=reset, anchor="e")
        rows, columns = (5, 1) if len(self._predictors) == 1 else (3, 2)
        pitch, height = panel.width // columns, (panel.height - px(42)) // rows
        self.sliders: dict[str, widgets.Slider] = {}
        for place, (field, scale) in enumerate(_SCALES.items()):
            slider = widgets.Slider(panel.canvas, scale, getattr(self.wobble, field), partial(self._set_wobble, field))
            x, y = px(12) + place // rows * pitch, px(37) + place % rows * height
            slider.frame.place(x=x, y=y, width=pitch - px(24), height=height)
            self.sliders[field] = slider

    def _build_texts(self) -> None:
        verdict = widgets.Panel(self.theme, self.layout.verdict)
        verdict.text(verdict.width / 2, verdict.height / 2, "", "heading", width=verdict.width, tags="verdict")
        self._verdict = verdict.canvas
        foot = widgets.card(self.theme.stage, self.layout.foot, widgets.GROUND, widgets.GROUND)
        self._buttons_below = tk.Frame(foot, background=widgets.GROUND)
        self._buttons_below.pack(side="right", anchor="s")
        texts = {"personalise": "Learn my hand  p", "gallery": "Gallery  g", "help": "Help  h", "close": "Close  Esc"}
        for command, text in texts.items():
            self._button(self._buttons_below, command, text).pack(side="left", padx=(self.layout.px(6), 0))
        self._status = ttk.Label(foot, style="Ground.TLabel")
        self._status.pack(side="top", anchor="w", fill="x")
        keys = "Keys 0–9 keep the drawing as that digit  ·  F11: full screen"
        ttk.Label(foot, text=keys, style="Foot.TLabel").pack(side="bottom", anchor="w")

    def run(self) -> None:
        self.root.mainloop()
        if self.error is not None:
            raise self.error

    def _fail(self, kind: type[BaseException], error: BaseException, trace: object) -> None:
        self.error = self.error or error
        self._close()

    def _beat(self) -> None:
        self.root.after(_HEARTBEAT_MS, self._beat)

    def _resized(self, event: tk.Event[tk.Misc]) -> None:
        if event.widget is self.root and (event.width, event.height) != self.layout.window[2:]:
            self._later(STILL_MS, self._fit)

    def _fit(self) -> None:
        self._cancel(self._fit)
        size = self.root.winfo_width(), self.root.winfo_height()
        width, height = (max(one, least) for one, least in zip(size, self._smallest, strict=True))
        if (width, height) != self.layout.window[2:]:
            self._build(Layout(len(self._predictors), width, height))

    def _key(self, event: tk.Event[tk.Misc]) -> None:
        state = int(event.state)
        # Bit 2 is Control everywhere; bit 3 is Alt on X11 and Command on a Mac, but the number lock on Windows.
        modified = bool(state & (0x20004 if sys.platform == "win32" else 0xC))
        command = command_for(event.keysym, modified=modified, shifted=bool(state & 1))
        if self.help is not None and command not in ("help", "full screen", "close"):
            return
        if command in self._actions:
            self._actions[command]()
        elif command is not None and command.isdigit():
            if self.root.focus_get() in [slider.scale for slider in (*self.sliders.values(), self.brush_slider)]:
                self._tell("a slider has the frame: press Enter first, then 0–9 keep the drawing")
            else:
                self._keep_as(int(command))

    def _tell(self, message: str, trouble: bool = False) -> None:
        self._message, self._told_of = (message, trouble), self.sketch.strokes
        text = " ".join(f"! {message}".split() if trouble else message.split())
        room = self.layout.foot.width - self._buttons_below.winfo_reqwidth() - self.layout.px(12)
        text = widgets.shortened(text, room, self.theme.text.measure, at_end=trouble)
        self._status.configure(text=text, foreground=widgets.VERMILION if trouble else widgets.INK)

    def _changed(self) -> None:
        sketch = self.sketch
        if self._message[0] and self._told_of != sketch.strokes:
            self._tell("")  # a message belongs to its drawing
        has_ink = bool(sketch.strokes)
        possible = {"undo": sketch.can_undo, "redo": sketch.can_redo, "clear": has_ink, "save": has_ink}
        for command, is_possible in possible.items():
            self.buttons[command].state(["!disabled" if is_possible else "disabled"])
        if sketch.is_full:
            self._tell("the drawing has as many lines as it can hold: undo or clear something", trouble=True)
        self._request()

    def _set_brush(self, width: float) -> None:
        self.brush = self.canvas.brush = width
        self.canvas.redraw()
        if self.view == "xray":
            self._request()

    def _set_wobble(self, field: str, value: float) -> None:
        self.wobble = replace(self.wobble, **{field: value})
        self._request()

    def _switch(self, name: str) -> None:
        self.steps = replace(self.steps, **{name: not getattr(self.steps, name)})
        self._request()

    def _reset(self) -> None:
        for field, slider in self.sliders.items():
            slider.scale.set(getattr(Wobble(), field))
        self.steps = Steps()
        self._request()

    def _later(self, milliseconds: int, action: widgets.Action) -> None:
        self._cancel(action)
        self._pending[action] = self.root.after(milliseconds, action)

    def _cancel(self, action: widgets.Action) -> None:
        if action in self._pending:
            self.root.after_cancel(self._pending.pop(action))

    def _question(self) -> Question:
        steps = self.steps if self.view == "xray" else None
        look = self.looking.look if self.view == "inside" else None
        return Question(self.sketch.drawing(), self.brush, self.wobble, steps, look)

    def _request(self) -> None:
        self._cancel(self._explain)
        if self._ask not in self._pending:
            self._later(max(0, math.ceil(1000 * (self._not_before - time.perf_counter()))), self._ask)

    def _ask(self) -> None:
        """Ask about the drawing as it is now, and show the answer in all places at once."""
        started = time.perf_counter()
        self._cancel(self._ask)
        self._cancel(self._explain)
        self.answer = answer = ask(self._question(), self._predictors, self._host.reject)
        self.canvas.show_places(answer.places)
        self.tile.show(answer.picture)
        condition = answer.question.condition or "white on black"
        which = f"digit {answer.chosen + 1} of {len(answer.places)}, " if len(answer.places) > 1 else ""
        self._seen.itemconfigure("seen", text=f"{which}28 × 28 pixels, {condition}")
        text, colour = sentence(answer), widgets.MUTED if answer.picture is None else widgets.INK
        self._verdict.itemconfigure("verdict", text=text, fill=widgets.VERMILION if text[0] == "▲" else colour)
        for place, panel in enumerate(self.panels if self.view != "inside" else ()):  # which covers them
            panel.show(answer, place)
            panel.show_map(answer.picture if self.shows_maps else None, invite=not self.shows_maps)
        self._unexplained = []
        if self.view:
            self.views[self.view].show(answer)
        elif self.shows_maps and answer.picture is not None:
            self._unexplained = list(range(len(self.panels)))
        if self._unexplained or self.view == "inside":
            self._later(STILL_MS, self._explain)
        ended = time.perf_counter()
        self._not_before = max(started + _FRAME, ended + _REST * (ended - started))

    def _explain(self) -> None:
        """Make one map; the next only after what the pen has done meanwhile."""
        self._cancel(self._explain)
        if self.view == "inside":
            if self.inside.rest():
                self._later(1, self._explain)
        elif self.answer.picture is not None and self._unexplained:
            place = self._unexplained.pop(0)
            digit = int(self.answer.probabilities[place].argmax())
            saliency = self._predictors[place].explain(self.answer.picture, digit)
            self.panels[place].show_map(widgets.coloured(self.answer.picture, saliency), digit=digit)
            self._later(1, self._explain)

    def _toggle_maps(self) -> None:
        self.shows_maps = bool(self.view) or not self.shows_maps
        self._choose_view("")

    def _toggle_view(self, name: str) -> None:
        self._choose_view("" if self.view == name else name)

    def _toggle_film(self) -> None:
        if self.film is None:
            try:
                self._build_film(self._predictors[0].film())
            except LabError:
                self._tell("no film was kept of this network's training")
                return
        self._toggle_view("film")

    def _build_film(self, shown: DigitMap, moment: int = -1) -> None:
        name = "it" if len(self._predictors) == 1 else self._predictors[0].name
        self.views["film"] = self.film = FilmPanel(self.theme, name, shown, moment, self.canvas.canvas)

    def _choose_view(self, view: str) -> None:
        self.view = view
        self._arrange()
        self._ask()

    def _arrange(self) -> None:
        for name, panel in self.views.items():
            panel.set_open(name == self.view)
        for command, button in self.buttons.items():
            is_on = command == (self.view or ("map" if self.shows_maps else ""))
            button.state(["selected" if is_on else "!selected"])
        bottom = sum(self.views[self.view].box[1::2]) if self.view else 0  # y and height
        self._wobble_panel.set_open(bottom <= self.layout.wobble.y)
        focus = self.root.focus_get()
        if focus is None or not focus.winfo_viewable():
            self.canvas.canvas.focus_set()

    def _toggle_help(self) -> None:
        """The help takes the place of all else, so that neither Tab nor a key does something out of sight."""
        if self.help is None:
            self.theme.stage.place_forget()
            self.help = HelpPage(self.theme, self._toggle_help)
            self.help.button.focus_set()
        else:
            self.help.frame.destroy()
            self.help = None
            self.theme.stage.place(x=0, y=0, relwidth=1, relheight=1)
            self.canvas.canvas.focus_set()

    def _open_gallery(self) -> None:
        self._kept = None  # there it may get another label, or be deleted
        self._tell("")
        self._host.gallery(self.theme)

    def _personalise(self) -> None:
        """Learn the drawings that were kept, while the pen still works, and go on with the new network."""
        if self._is_learning:
            return

        def show(done: float) -> None:
            if self._is_closing:
                raise LabError("the window was closed", "learn again when there is time")
            self._tell(f"learning your hand: {100 * done:.0f} %")
            self.root.update()

        self._is_learning = True
        gc.disable()  # as a thread of the learning might collect widgets
        try:
            self._predictors, said = self._host.personalise(show)
            self.film, self.view = None, "" if self.view == "film" else self.view  # nobody filmed the copy's training
            self._build(self.layout)
            self.root.after_idle(self._tell, said)  # when the room for it is known
        except LabError as error:
            self._tell(f"not learned: {error}", trouble=True)
        finally:
            gc.enable()
            self._is_learning = False

    def _close(self) -> None:
        self._is_closing = True
        self.root.quit()

    def _toggle_full_screen(self) -> None:
        self.root.attributes("-fullscreen", not self.root.attributes("-fullscreen"))

    def _answer_to(self, question: Question) -> Answer:
        return self.answer if question == self.answer.question else ask(question, self._predictors, self._host.reject)

    def _save_now(self) -> None:
        question = replace(self._question(), steps=None, look=None)
        answer = self._answer_to(question)
        if answer.picture is None:
            self._tell("there is nothing to save yet: draw a digit")
            return
        self._tell("saving ...")
        self.root.update_idletasks()
        try:
            self._tell(f"saved in {self._host.save(answer)}")
        except LabError as error:
            self._tell(f"not saved: {error}", trouble=True)

    def _keep_as(self, label: int) -> None:
        """Keep the drawing, which no wobble and no X-ray changes; it is on disk when the message appears."""
        answer = self._answer_to(Question(self.sketch.drawing(), self.brush))
        if answer.digit is None:
            self._tell(f"there is nothing to keep as a {label} yet: draw it")
        elif self._kept is not None and self._kept.strokes == answer.question.drawing.strokes:
            self._tell(f"this drawing is already kept as {self._kept.label}; Backspace takes it back")
        else:
            labelled = replace(answer.question.drawing, label=label)
            networks = "the network says" if len(self._predictors) == 1 else "the networks say"
            but = "" if answer.digit == label else f" ({networks} {answer.digit})"
            but = but if len(answer.places) == 1 else f", though {len(answer.places)} digits are seen"
            try:
                self._tell(f"{self._host.keep(labelled)}{but}; Backspace takes it back")
                self._kept = labelled
            except LabError as error:
                self._tell(f"not kept: {error}", trouble=True)

    def _take_kept_back(self) -> None:
        if self._kept is None or self._kept.strokes != self.sketch.strokes:
            return  # it is out of sight
        try:
            self._tell(self._host.take_back(self._kept))
            self._kept = None
        except LabError as error:
            self._tell(f"not taken back: {error}", trouble=True)

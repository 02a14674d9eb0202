"""The window to draw in: Tk around plain callables, with predictions that follow the pen.

Networks are handed in as functions of a 28x28 picture, so nothing here knows torch. Everything happens in the main
thread: the ink is drawn at once, and predictions are made between two events, never more often than a screen can show
and always for the newest strokes, so that a slow network makes the bars lag, not the pen.
"""

from __future__ import annotations

import gc
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnist_lab.data.pixels import SIDE
from mnist_lab.drawing.strokes import BRUSH, Drawing, Picture
from mnist_lab.drawing.window.display import check_display, density, main_window
from mnist_lab.drawing.window.layout import Box, plan_layout
from mnist_lab.drawing.window.pacing import Pacer, Timer
from mnist_lab.drawing.window.pictures import GROUND, INK, MUTED, PAPER, SKY_BLUE, VERMILION, coloured
from mnist_lab.drawing.window.widgets import Ballot, Dial, Look, Paper, Probabilities, Slider, Tile, card
from mnist_lab.drawing.window.words import command_for, shortened, verdict
from mnist_lab.drawing.window.xray_panel import XrayPanel
from mnist_lab.drawing.wobble import Wobble, see
from mnist_lab.drawing.xray import take_apart
from mnist_lab.errors import LabError, RequestError

with suppress(ImportError):  # display.py tells what is missing when a window is asked for
    import tkinter as tk
    from tkinter import ttk

MOST_VOTERS = 4
"""Networks that fit beside each other on a screen of 1366 pixels."""

STILL_MS = 150
"""Milliseconds without a change after which the pen counts as resting, and saliency maps are made."""
LIVE = 0.025
"""Longest update, in seconds, with which the X-ray follows the pen; where they take longer it waits for a rest."""
HEARTBEAT_MS = 250
"""Milliseconds after which a Ctrl-C in the terminal is noticed at the latest: Tk sleeps until an event comes."""

TITLE = "MNIST Lab: draw a digit"

BRUSH_DIAL = Dial("Brush", 6, 40, 1, " px")
DIALS = {
    "right": Dial("Shift →", -6, 6, 0.5, " px"),
    "down": Dial("Shift ↓", -6, 6, 0.5, " px"),
    "turn": Dial("Rotation", -90, 90, 1, "°"),
    "size": Dial("Size", 50, 150, 1, " %"),
    "stroke": Dial("Stroke", 30, 300, 5, " %"),
}
"""One slider for each field of a :class:`Wobble`. A picture is 28 pixels wide."""


@dataclass(frozen=True)
class Voter:
    """A network that takes part, as functions of a picture (28, 28) uint8, white on black.

    Attributes:
        name: its heading; different from the others'.
        predict: gives the probabilities of the ten digits, (10,) float64, 0..1.
        explain: which pixels mattered for a digit 0..9, (28, 28) float32, in any unit: above zero for the digit, below
            zero against it; None for a network that has no such map.
        predict_many: the same as ``predict`` for several pictures at once, where that is quicker than one by one.
    """

    name: str
    predict: Callable[[Picture], Probabilities]
    explain: Callable[[Picture, int], NDArray[np.float32]] | None = None
    predict_many: Callable[[Sequence[Picture]], Sequence[Probabilities]] | None = None

    def predict_all(self, pictures: Sequence[Picture]) -> Sequence[Probabilities]:
        """The answers to several pictures, in their order."""
        return self.predict_many(pictures) if self.predict_many else [self.predict(picture) for picture in pictures]


@dataclass(frozen=True)
class Snapshot:
    """Everything about a drawing at the moment when it is to be saved.

    Attributes:
        drawing: as drawn: not wobbled, without a label.
        brush: width of the pen that the user chose, in pixels of the 280x280 canvas.
        wobble: where the sliders stand.
        picture: what the networks saw, wobbled, (28, 28) uint8, white on black.
        probabilities: each voter's answer to it, (10,) each, in their order.
    """

    drawing: Drawing
    brush: float
    wobble: Wobble
    picture: Picture
    probabilities: tuple[Probabilities, ...]


Save: TypeAlias = Callable[[Snapshot], Path]
Keep: TypeAlias = Callable[[Drawing], str]
Judge: TypeAlias = Callable[[Picture, Sequence[Probabilities]], str | None]


def open_window(voters: Sequence[Voter], *, save: Save, keep: Keep, judge: Judge | None = None) -> None:
    """Open the window and come back when it is closed, by Esc or by its cross.

    Errors of the lab that ``save`` and ``keep`` raise are shown in the window and lose nothing; whatever else goes
    wrong inside closes it and is raised from here.

    Args:
        voters: one to four networks, side by side.
        save: called with all there is to a drawing when it is to be saved; gives the place, to be shown.
        keep: called with a labelled drawing when a digit key is pressed; gives a sentence to show.
        judge: called with the picture and each voter's probabilities, in their order; gives a sentence where the
            drawing is probably no digit, None where it may be one.

    Raises:
        DisplayError: there is no tkinter or no display, or the display vanished while the window was open.
        RequestError: there are no voters, more than four, or two of the same name.
    """
    check_voters(voters)
    check_display()
    try:
        run_window(voters, save, keep, judge)
    except LabError as error:
        raise error.with_traceback(None) from None  # its frames would keep the widgets
    finally:
        # The widgets hold each other in circles. If another thread came to collect them later, Tcl would abort.
        gc.collect()


def check_voters(voters: Sequence[Voter]) -> None:
    """Refuse what does not fit on a screen or could not be told apart."""
    names = [voter.name for voter in voters]
    if not 1 <= len(names) <= MOST_VOTERS:
        raise RequestError(f"{len(names)} runs can't vote side by side", f"name 1 to {MOST_VOTERS} runs")
    if len(set(names)) < len(names):
        raise RequestError(f"two of the runs have the same name ({', '.join(names)})", "name each run once")


def run_window(voters: Sequence[Voter], save: Save, keep: Keep, judge: Judge | None) -> None:
    """Open the window and wait until it is closed."""
    with main_window() as root:
        Window(root, voters, save, keep, judge).run()


class Window:
    """Everything in the window, and what happens when."""

    def __init__(self, root: tk.Tk, voters: Sequence[Voter], save: Save, keep: Keep, judge: Judge | None) -> None:
        self.root = root
        self.error: BaseException | None = None
        self._voters, self._save, self._keep, self._judge = voters, save, keep, judge
        self._windowing = str(root.tk.call("tk", "windowingsystem"))
        self.layout = plan_layout(root.winfo_screenwidth(), root.winfo_screenheight(), density(root), len(voters))
        self.look = Look(root, self.layout)
        self.wobble = Wobble()
        self.picture: Picture | None = None
        self.probabilities: list[Probabilities] = []
        self.shows_maps = False
        self._kept: Drawing | None = None  # what was labelled last
        self._unexplained: list[int] = []  # voters whose maps are still to be made
        self._pacer = Pacer(root, self._predict)
        self._still = Timer(root, self._rest)
        self._durations = deque([0.0, 0.0], maxlen=2)  # of the last updates with the X-ray, in seconds
        self._heartbeat = Timer(root, self._beat)

        root.report_callback_exception = self._fail
        self.paper = Paper(root, self.look, self._changed, self._tell_full)
        self.ballots = [
            Ballot(root, self.look, self.layout.voter(index), voter.name, has_map=voter.explain is not None)
            for index, voter in enumerate(voters)
        ]
        self.buttons: dict[str, ttk.Button] = {}
        self._build_tools()
        self._build_seen()
        self._build_wobble()
        self._build_words()
        self._build_xray()
        self._changed()
        self._place_window()
        root.bind("<Key>", self._key)
        root.protocol("WM_DELETE_WINDOW", self.close)
        self._beat()

    # What there is

    def _build_tools(self) -> None:
        px, box = self.look.layout.px, self.layout.tools
        tools = card(self.root, box, GROUND, GROUND)
        brush_row = card(tools, Box(0, 0, box.width - 2, px(30)))
        brush = Slider(brush_row, self.look, BRUSH_DIAL, BRUSH, self._set_brush)
        brush.frame.pack(fill="both", expand=True, padx=px(8))
        row = tk.Frame(tools, background=GROUND)
        row.place(x=0, y=px(36), width=box.width - 2, height=px(31))
        for column, (command, text) in enumerate(
            [("undo", "Undo  z"), ("redo", "Redo  y"), ("clear", "Clear  c"), ("save", "Save  s")]
        ):
            row.columnconfigure(column, weight=1, uniform="buttons")
            self._button(row, command, text).grid(
                row=0, column=column, sticky="nsew", padx=(0 if column == 0 else px(6), 0)
            )
        row.rowconfigure(0, weight=1)

    def _button(self, parent: tk.Misc, command: str, text: str, style: str = "TButton") -> ttk.Button:
        button = ttk.Button(parent, text=text, style=style, command=lambda: self.do(command))
        self.buttons[command] = button
        return button

    def _build_seen(self) -> None:
        """The picture that the networks see, and the legend of the maps."""
        px, box = self.look.layout.px, self.layout.seen
        seen = card(self.root, box)
        zoom = self.layout.zoom(140)
        side = zoom * SIDE
        edge = (box.height - 2 - side) // 2
        canvas = tk.Canvas(seen, width=side, height=side, background=PAPER, highlightthickness=0, borderwidth=0)
        canvas.place(x=edge, y=edge)
        self.tile = Tile(canvas, self.look, 0, 0, zoom)
        words = tk.Frame(seen, background=PAPER)
        left = side + 2 * edge + px(4)
        words.place(x=left, y=edge, width=box.width - 2 - left - px(8), height=side)
        who = "network sees" if self.layout.voters == 1 else "networks see"
        ttk.Label(words, text=f"What the {who}", style="Heading.TLabel").pack(anchor="w")
        ttk.Label(words, text="28 × 28 pixels, white on black", style="Muted.TLabel").pack(anchor="w", pady=(px(2), 0))
        switches = tk.Frame(words, background=PAPER)
        switches.pack(side="bottom", anchor="w")
        if any(voter.explain for voter in self._voters):
            self._button(switches, "map", "Map  m", "Toolbutton").pack(side="left", ipadx=px(6), padx=(0, px(6)))
            for colour, text in ((VERMILION, "speaks against"), (SKY_BLUE, "speaks for the digit")):
                line = tk.Frame(words, background=PAPER)
                line.pack(side="bottom", anchor="w", pady=(0, px(6) if colour == VERMILION else px(3)))
                tk.Frame(line, background=colour, width=px(11), height=px(11)).pack(side="left", padx=(0, px(6)))
                ttk.Label(line, text=text, style="Muted.TLabel").pack(side="left")
        self._button(switches, "xray", "X-ray  x", "Toolbutton").pack(side="left", ipadx=px(6))

    def _build_wobble(self) -> None:
        px, box = self.look.layout.px, self.layout.wobble
        frame = card(self.root, box)
        head = tk.Frame(frame, background=PAPER)
        head.pack(fill="x", padx=px(10), pady=(px(7), px(3)))
        ttk.Label(head, text="Wobble", style="Heading.TLabel").pack(side="left")
        ttk.Label(head, text="until minds change", style="Muted.TLabel").pack(side="left", padx=px(8))
        self._button(head, "reset", "Reset  r").pack(side="right")
        body = tk.Frame(frame, background=PAPER)
        body.pack(fill="both", expand=True, padx=px(10), pady=(0, px(6)))
        columns = 1 if self.layout.voters == 1 else 2
        rows = math.ceil(len(DIALS) / columns)
        self.sliders: dict[str, Slider] = {}
        for place, (field, dial) in enumerate(DIALS.items()):
            slider = Slider(body, self.look, dial, getattr(Wobble(), field), self._setter(field))
            self.sliders[field] = slider
            row, column = place % rows, place // rows
            slider.frame.grid(row=row, column=column, sticky="nsew", padx=(px(24) if column else 0, 0))
            body.rowconfigure(row, weight=1)
            body.columnconfigure(column, weight=1, uniform="sliders")

    def _build_words(self) -> None:
        """The sentence above the voters, messages, and the keys that no button names."""
        px = self.look.layout.px
        box = self.layout.verdict
        self._verdict = tk.Label(
            card(self.root, box), background=PAPER, font=self.look.heading, wraplength=box.width - px(24)
        )
        self._verdict.pack(fill="both", expand=True)
        foot = card(self.root, self.layout.foot, GROUND, GROUND)
        self._status_width = self.layout.foot.width - px(120)
        self._button(foot, "close", "Close  Esc").pack(side="right", anchor="s")
        self._status = ttk.Label(foot, style="Ground.TLabel")
        self._status.pack(side="top", anchor="w", fill="x")
        keys = "Keys 0–9 keep the drawing as that digit  ·  Ctrl+Z, Ctrl+Y: undo, redo"
        ttk.Label(foot, text=keys, style="Foot.TLabel").pack(side="bottom", anchor="w")

    def _build_xray(self) -> None:
        first = self._voters[0]
        self.xray = XrayPanel(self.root, self.look, first.name, first.predict_all, self._request)
        self.xray.add_button(ttk.Button(self.xray.canvas, text="Reset  r", command=lambda: self.do("reset")))

    def _place_window(self) -> None:
        """In the middle of the screen, in front, ready for keys."""
        root, window = self.root, self.layout.window
        left = (root.winfo_screenwidth() - window.width) // 2
        top = max(0, (root.winfo_screenheight() - window.height) // 2 - self.layout.px(20))
        root.title(TITLE)
        root.geometry(f"{window.width}x{window.height}+{left}+{top}")
        root.resizable(False, False)
        root.deiconify()
        root.lift()
        root.focus_force()

    # What happens

    def run(self) -> None:
        """Until it is closed; then whatever went wrong inside is raised."""
        self.root.mainloop()
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Let :meth:`run` come to its end."""
        self.root.quit()

    def do(self, command: str) -> None:
        """A button or its key."""
        match command:
            case "undo":
                self.paper.change(self.paper.sketch.undo)
            case "redo":
                self.paper.change(self.paper.sketch.redo)
            case "clear":
                self.paper.change(self.paper.sketch.clear)
            case "save":
                self._save_now()
            case "map":
                self._toggle_maps()
            case "reset":
                for field, slider in self.sliders.items():
                    slider.set(getattr(Wobble(), field))
                self.xray.reset()
            case "xray":
                self._toggle_xray()
            case "close":
                self.close()
            case digit:
                self._keep_as(int(digit))

    def tell(self, message: str, *, trouble: bool = False) -> None:
        """A line at the foot of the window."""
        text = f"! {message}" if trouble else message
        text = shortened(" ".join(text.split()), self._status_width, self.look.text.measure)
        self._status.configure(text=text, foreground=VERMILION if trouble else INK)

    def _key(self, event: tk.Event[tk.Misc]) -> None:
        state = int(event.state)
        # Bit 2 is Control everywhere; bit 3 is Alt on X11 and Command on a Mac, but the number lock on Windows.
        modified = bool(state & (0x20004 if self._windowing == "win32" else 0xC))
        command = command_for(event.keysym, modified=modified, shifted=bool(state & 1))
        if command is not None:
            self.do(command)

    def _changed(self) -> None:
        """The strokes are others than before."""
        sketch = self.paper.sketch
        has_ink = bool(sketch.strokes)
        for command, possible in [
            ("undo", sketch.can_undo),
            ("redo", sketch.can_redo),
            ("clear", has_ink),
            ("save", has_ink),
        ]:
            self._enable(command, possible)
        self._request()

    def _enable(self, command: str, possible: bool) -> None:
        self.buttons[command].state(["!disabled" if possible else "disabled"])

    def _request(self) -> None:
        """The picture may have changed: predict soon, explain once nothing changes any more."""
        self._still.stop()
        self._pacer.request()

    def _set_brush(self, width: float) -> None:
        self.paper.brush = width
        self.paper.redraw()
        if self.xray.is_open:
            self._request()

    def _setter(self, field: str) -> Callable[[float], None]:
        def set_field(value: float) -> None:
            self.wobble = replace(self.wobble, **{field: value})
            self._request()

        return set_field

    def _predict(self) -> None:
        """Show what the voters say about the newest strokes, and take them apart if that is quick enough."""
        self._update(with_xray=self.xray.is_open and min(self._durations) <= LIVE)

    def _rest(self) -> None:
        """The pen rests: now for what takes longer."""
        if self.xray.is_open:
            self._update(with_xray=True)
        else:
            self._explain()

    def _update(self, *, with_xray: bool) -> None:
        started = time.perf_counter()
        drawing, is_wobbled = self.paper.sketch.drawing(), self.wobble != Wobble()
        xray = take_apart(drawing, self.xray.steps, self.paper.brush) if with_xray else None
        # The X-ray has inked the drawing already, and that is most of the work.
        picture = see(drawing, self.wobble) if xray is None or is_wobbled else xray.whole
        if picture is None:
            self._show_nothing()
            return
        self.picture = picture
        self.probabilities = [voter.predict(picture) for voter in self._voters]
        self.tile.show(coloured(picture))
        self._pronounce(picture)
        if xray is not None:
            self.xray.show(xray, self.paper.brush, is_wobbled=is_wobbled)
            self._durations.append(time.perf_counter() - started)
        elif self.xray.is_open:
            self._still.start(STILL_MS)
        else:
            self._show_ballots(picture)

    def _show_ballots(self, picture: Picture) -> None:
        """What each voter says, which the X-ray would cover."""
        for ballot, probabilities in zip(self.ballots, self.probabilities, strict=True):
            ballot.show(probabilities)
            ballot.show_map(coloured(picture) if self.shows_maps else None, invite=not self.shows_maps)
        if self.shows_maps:
            self._unexplained = list(range(len(self._voters)))
            self._still.start(STILL_MS)

    def _pronounce(self, picture: Picture) -> None:
        """The sentence above the voters: what they say, or that it is probably no digit."""
        doubt = self._judge(picture, self.probabilities) if self._judge else None
        if doubt is not None:
            self._verdict.configure(text=f"▲ {doubt}", foreground=VERMILION)
            return
        order = [np.argsort(probabilities) for probabilities in self.probabilities]
        winners = [int(places[-1]) for places in order]
        seconds = [
            (int(places[-2]), float(probabilities[places[-2]]))
            for places, probabilities in zip(order, self.probabilities, strict=True)
        ]
        self._verdict.configure(text=verdict(winners, seconds), foreground=INK)

    def _show_nothing(self) -> None:
        self.picture, self.probabilities = None, []
        self._still.stop()
        self.tile.clear()
        self.xray.clear()
        for ballot in self.ballots:
            ballot.clear()
            ballot.show_map(None, invite=not self.shows_maps)
        self._verdict.configure(text="draw a digit with mouse or pen", foreground=MUTED)

    def _toggle_maps(self) -> None:
        """Show or hide the maps; the X-ray, which lies over them, goes out of the way."""
        self.shows_maps = self.xray.is_open or not self.shows_maps
        self.xray.close()
        self._show_switches()

    def _toggle_xray(self) -> None:
        if self.xray.is_open:
            self.xray.close()
        else:
            self.xray.open()
            self.paper.canvas.focus_set()  # away from a slider that may lie below it now
        self._show_switches()

    def _show_switches(self) -> None:
        """Mark the buttons of what is to be seen, and bring it up to date."""
        is_covered = self.xray.is_open
        for command, is_on in (("map", self.shows_maps and not is_covered), ("xray", is_covered)):
            if command in self.buttons:
                self.buttons[command].state(["selected" if is_on else "!selected"])
        self._request()

    def _explain(self) -> None:
        """Make one voter's map; the next one only after whatever the pen has done meanwhile."""
        if self.picture is None or not self._unexplained:
            return
        index = self._unexplained.pop(0)
        explain, winner = self._voters[index].explain, int(np.argmax(self.probabilities[index]))
        if explain is not None:
            saliency = explain(self.picture, winner)
            self.ballots[index].show_map(coloured(self.picture, saliency), invite=False)
        self._still.start(1)

    def _save_now(self) -> None:
        self._pacer.finish()
        if self.picture is None:
            self.tell("there is nothing to save yet: draw a digit")
            return
        self.tell("saving ...")
        self.root.update_idletasks()
        drawing = self.paper.sketch.drawing()
        snapshot = Snapshot(drawing, self.paper.brush, self.wobble, self.picture, tuple(self.probabilities))
        try:
            place = self._save(snapshot)
        except LabError as error:
            self.tell(f"not saved: {error}", trouble=True)
        else:
            self.tell(f"saved in {place}")

    def _keep_as(self, label: int) -> None:
        drawing = self.paper.sketch.drawing()
        self._pacer.finish()
        if self.picture is None:
            self.tell(f"there is nothing to keep as a {label} yet: draw it")
        elif self._kept is not None and self._kept.strokes == drawing.strokes:
            self.tell(f"this drawing is already kept as a {self._kept.label}: draw another")
        else:
            labelled = replace(drawing, label=label)
            try:
                self.tell(self._keep(labelled))
            except LabError as error:
                self.tell(f"not kept: {error}", trouble=True)
            else:
                self._kept = labelled

    def _tell_full(self) -> None:
        self.tell("the drawing has as many lines as it can hold: undo or clear something", trouble=True)

    def _fail(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Something went wrong in an action: close, and raise it once Tk has come to its end."""
        self.error = self.error or error
        self.close()

    def _beat(self) -> None:
        self._heartbeat.start(HEARTBEAT_MS)

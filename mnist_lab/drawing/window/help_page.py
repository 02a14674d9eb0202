"""The window's help: every key, and what the numbers and pictures mean."""

from __future__ import annotations

from contextlib import suppress

from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.layout import Box
from mnist_lab.drawing.window.widgets import Action, Theme

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    from tkinter import ttk

_KEYS = (
    ("z   y   c", "undo, redo, clear (Ctrl+Z and Ctrl+Y as well)"),
    ("0 – 9", "keep the drawing in your own test set"),
    ("Backspace", "take back what was just kept"),
    ("s", "save the drawing and its predictions in a folder"),
    ("m", "map: what mattered to each network"),
    ("x", "X-ray: each step from your ink to the network"),
    ("i", "inside: all maps, and the sum behind each value"),
    ("v", "film: how the network learned (arrow keys move)"),
    ("r", "reset the wobble and the X-ray's steps"),
    ("g", "gallery of the digits that you kept"),
    ("p", "personalise: learn the digits that you kept"),
    ("F11 or f", "full screen, and back"),
    ("Tab", "to the next control (with Shift: the one before)"),
    ("Space, Enter", "press the button with the frame"),
    ("arrow keys", "move a slider, or over the maps; Enter leaves"),
    ("h   ?   F1", "this page, and back"),
    ("Esc", "close the window at once; what was kept is on disk"),
)
_MEANINGS = (
    ("Bars", "The probability of each digit, as the network sees it; together they make 100 %."),
    ("Together", "Several networks vote: the mean of their probabilities decides."),
    (
        "Probably not a digit",
        "It is less like the training digits than MNIST's own digits almost ever are. Its digit turns grey.",
    ),
    ("Map", "Sky blue: more ink there would speak for the digit. Vermilion: it would speak against it."),
    ("X-ray", "MNIST's digits were cleaned, scaled and centred; your drawing, too. Switch a step off to see what for."),
    ("Inside", "Each square is a value of a filter's map. Click it for its sum, or a digit for what speaks for it."),
    ("Wobble", "Moves and turns what the network sees, not your drawing. How far until it changes its mind?"),
)


class HelpPage(widgets.Panel):
    """Fills the whole window; a click on it, or on its button, closes it."""

    def __init__(self, theme: Theme, on_close: Action) -> None:
        window, edge = theme.layout.window, theme.layout.px(14)
        super().__init__(theme, Box(edge, edge, window.width - 2 * edge, window.height - 2 * edge), theme.root)
        px = self.px
        left, top = (self.width - px(856)) // 2, (self.height - px(656)) // 2
        self.text(left, top + px(12), "Help", "heading", anchor="w")
        for place, (keys, meaning) in enumerate(_KEYS):
            y = top + px(60) + place * px(602 / len(_KEYS))
            self.text(left, y, keys, "bold", anchor="w")
            self.text(left + px(128), y, meaning, "text", widgets.MUTED, anchor="w")
        x, y = left + px(496), top + px(51)
        for place, (name, meaning) in enumerate(_MEANINGS):
            self.text(x, y, name, "bold", anchor="nw")
            self.text(
                x, y + px(21), meaning, "text", widgets.MUTED, anchor="nw", width=px(360), tags=f"meaning.{place}"
            )
            y = self.canvas.bbox(f"meaning.{place}")[3] + px(17)
        self.button = ttk.Button(self.canvas, text="Back  h", command=on_close)
        self.canvas.create_window(left + px(856), top + px(12), window=self.button, anchor="e")
        self.canvas.bind("<Button-1>", lambda event: on_close())

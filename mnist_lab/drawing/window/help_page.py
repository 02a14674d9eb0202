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
    ("0 – 9", "keep the drawing as that digit, for your own test set"),
    ("Backspace", "take back what was just kept"),
    ("s", "save the drawing, with what was predicted, in a folder"),
    ("[   ]", "finer or broader brush"),
    ("m", "map: what mattered to each network"),
    ("x", "X-ray: each step from your ink to the network"),
    ("r", "reset the wobble and the X-ray's steps"),
    ("g", "gallery of the digits that you kept"),
    ("F11 or f", "full screen, and back"),
    ("Tab   Shift+Tab", "to the next or previous control; a frame shows it"),
    ("Space or Enter", "press the button that has the frame"),
    ("arrow keys", "move the slider that has it; Enter leaves the slider"),
    ("h   ?   F1", "this page, and back"),
    ("Esc", "close the window at once; what was kept is on disk"),
)
_MEANINGS = (
    ("Bars", "The probability of each digit, as the network sees it; together they make 100 %."),
    ("Together", "Several networks vote: the mean of their probabilities decides."),
    (
        "Probably not a digit",
        "The highest probability is below the network's own rejection threshold: among the drawings that it was tested "
        "on, those were its least certain. Its digit turns grey.",
    ),
    (
        "Map",
        "Which pixels mattered. Sky blue: more ink there would speak for the digit. Vermilion: it would speak against "
        "it.",
    ),
    (
        "X-ray",
        "MNIST's digits were cleaned, scaled and centred. Your drawing goes the same way, step by step. Switch a step "
        "off to see what it is for.",
    ),
    (
        "Wobble",
        "Moves, turns and resizes what the network sees, but not your drawing. How far can you go until it changes its "
        "mind?",
    ),
)


class HelpPage(widgets.Panel):
    """Fills the whole window; a click on it, or on its button, closes it."""

    def __init__(self, theme: Theme, on_close: Action) -> None:
        window, edge = theme.layout.window, theme.layout.px(14)
        super().__init__(theme, Box(edge, edge, window.width - 2 * edge, window.height - 2 * edge), theme.root)
        px = self.px
        left, top, pitch = (self.width - px(852)) // 2, (self.height - px(652)) // 2, px(33)
        self.text(left, top + px(12), "Help", "bold", anchor="w")
        for place, (keys, meaning) in enumerate(_KEYS):
            y = top + px(52) + place * pitch
            self.text(left, y, keys, "bold", anchor="w")
            self.text(left + px(112), y, meaning, "small", anchor="w")
        x, y = left + px(452), top + px(44)
        for name, meaning in _MEANINGS:
            self.text(x, y, name, "bold", anchor="nw")
            self.text(x, y + px(20), meaning, "small", anchor="nw", width=px(400))
            y += px(34) + self.theme.small.metrics("linespace") * (1 + self.theme.small.measure(meaning) // px(385))
        self.button = ttk.Button(self.canvas, text="Back  h", command=on_close)
        self.canvas.create_window(left + px(852), top + px(12), window=self.button, anchor="e")
        self.canvas.bind("<Button-1>", lambda event: on_close())

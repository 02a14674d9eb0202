"""The gallery of the user's own digits, a window over the one to draw in: look at them, relabel and delete them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image

from mnist_lab.drawing.own_digits import OwnDigit, change_own_digit, list_own_digits
from mnist_lab.drawing.preprocess import Picture, to_mnist
from mnist_lab.drawing.window import widgets
from mnist_lab.errors import LabError
from mnist_lab.terminal.wording import counted

with suppress(ImportError):  # app.py says what is missing when a window is asked for
    import tkinter as tk
    from tkinter import ttk

_THUMBNAIL, _GAP, _CAPTION = 84, 18, 22  # units: a picture of 28x28, the room around it, and that of its label
_KEYS = "Arrows or mouse: choose  ·  0–9: relabel  ·  Delete: delete  ·  Page Up, Page Down: turn  ·  Esc or g: back"


class Gallery:
    """Pages of thumbnails with their labels, the newest first, and the networks' answer where it is another.

    ``vote`` gives the digit that the networks together say of each picture (28, 28).
    """

    def __init__(self, theme: widgets.Theme, outputs: Path, vote: Callable[[Sequence[Picture]], Sequence[int]]) -> None:
        self.theme, self._outputs, self._vote = theme, outputs, vote
        self.digits: list[OwnDigit] = []
        self.selected, self._columns, self._on_a_page = 0, 1, 1
        self._warning, self._asks = "", False  # what went wrong, or the question whether to delete the selected digit
        self._answers: dict[bytes, tuple[Picture | None, int | None]] = {}  # by their lines, as far as they were shown
        self._images: list[tk.PhotoImage] = []  # Tk does not keep them
        self.window = window = tk.Toplevel(theme.root, background=widgets.GROUND)
        window.title("Your own digits")
        window.transient(theme.root)
        window.geometry(theme.root.winfo_geometry())
        window.attributes("-fullscreen", theme.root.attributes("-fullscreen"))
        px = theme.layout.px
        self.title = ttk.Label(window, style="Ground.TLabel", font=theme.heading)
        self.title.pack(side="top", anchor="w", padx=px(14), pady=px(10))
        foot = tk.Frame(window, background=widgets.GROUND)
        foot.pack(side="bottom", fill="x", padx=px(14), pady=px(8))
        buttons: dict[str, widgets.Action] = {
            "Back  Esc": self.close,
            "Delete": self._delete,
            "▸": partial(self._turn, 1),
            "◂": partial(self._turn, -1),
        }
        for text, action in buttons.items():
            ttk.Button(foot, text=text, command=action, takefocus=False).pack(side="right", padx=(px(6), 0))
        self.status = ttk.Label(foot, style="Ground.TLabel")
        self.status.pack(side="top", anchor="w")
        ttk.Label(foot, text=_KEYS, style="Foot.TLabel").pack(side="bottom", anchor="w")
        self.canvas = tk.Canvas(
            window, background=widgets.PAPER, highlightthickness=1, highlightbackground=widgets.RULE
        )
        self.canvas.pack(fill="both", expand=True, padx=px(14))
        self.canvas.bind("<Configure>", lambda event: self._redraw())
        window.bind("<Key>", self._key)
        window.bind("<Map>", lambda event: self._hold())
        window.protocol("WM_DELETE_WINDOW", self.close)
        self._load()

    def _hold(self) -> None:
        """Keep mouse and keys from the window below."""
        with suppress(tk.TclError):  # it was closed at once
            self.window.grab_set()
            self.window.focus_force()

    def close(self) -> None:
        self.window.destroy()
        self.theme.root.focus_force()

    def _load(self, warning: str = "") -> None:
        try:
            self.digits = list_own_digits(self._outputs)[::-1]
        except LabError as error:
            self.digits, warning = [], f"! {error}"
        self.selected = max(0, min(self.selected, len(self.digits) - 1))
        self._show(warning)

    def _show(self, warning: str = "", *, asks: bool = False) -> None:
        self._warning, self._asks = warning, asks
        self._redraw()

    def _redraw(self) -> None:
        """Show the page of the selected digit, and the warning or a sentence about it."""
        self.canvas.delete("all")
        px, side = self.theme.layout.px, self.theme.layout.tile(_THUMBNAIL, spare=16)
        width, height = self.canvas.winfo_width() - px(_GAP), self.canvas.winfo_height() - px(_GAP)
        self._columns = max(1, width // (side + px(_GAP)))
        rows = max(1, height // (side + px(_GAP + _CAPTION)))
        self._on_a_page = self._columns * rows
        page, pages = self.selected // self._on_a_page, -(-len(self.digits) // self._on_a_page)
        shown = range(len(self.digits))[page * self._on_a_page : (page + 1) * self._on_a_page]
        self._read([self.digits[place] for place in shown])
        self._images = []
        for place in shown:
            row, column = divmod(place - shown[0], self._columns)
            left, top = px(_GAP) + column * (width // self._columns), px(_GAP) + row * (height // rows)
            self._images.append(self._thumbnail(place, left, top, side))
        turned = f", page {page + 1} of {pages}" if pages > 1 else ""
        self.title.configure(text=f"Your own digits: {counted(len(self.digits), 'drawing')}{turned}")
        colour = widgets.VERMILION if self._warning else widgets.INK
        self.status.configure(text=self._warning or self._about_selected(), foreground=colour)

    def _read(self, shown: Sequence[OwnDigit]) -> None:
        new = [digit for digit in shown if digit.line not in self._answers]
        pictures = [to_mnist(digit.drawing) for digit in new]
        inked = [picture for picture in pictures if picture is not None]
        votes = iter(self._vote(inked) if inked else ())
        for digit, picture in zip(new, pictures, strict=True):
            self._answers[digit.line] = picture, None if picture is None else next(votes)

    def _thumbnail(self, place: int, left: int, top: int, side: int) -> tk.PhotoImage:
        px, digit, canvas, theme = self.theme.layout.px, self.digits[place], self.canvas, self.theme
        picture, answer = self._answers[digit.line]
        image = tk.PhotoImage(master=canvas, width=side, height=side)
        if picture is not None:
            image.configure(data=widgets.ppm(Image.fromarray(widgets.fitted(picture, side))), format="PPM")
        item = canvas.create_image(left, top, anchor="nw", image=image)
        canvas.tag_bind(item, "<Button-1>", lambda event: self._select(place))
        edge, bottom = px(3), top + side + px(_CAPTION)
        if place == self.selected:
            canvas.create_rectangle(
                left - edge, top - edge, left + side + edge, bottom, outline=widgets.BLUE, width=edge
            )
        middle, label = bottom - px(_CAPTION) // 2, digit.drawing.label
        canvas.create_text(left + edge, middle, text="–" if label is None else label, font=theme.bold, anchor="w")
        if answer is not None and answer != label:
            said, fill = f"read as {answer}", widgets.VERMILION
            canvas.create_text(left + px(16), middle, text=said, font=theme.small, fill=fill, anchor="w")
        return image

    def _about_selected(self) -> str:
        if not self.digits:
            return "Nothing is kept yet: draw a digit, then press its number, 0 to 9."
        answer = self._answers[self.digits[self.selected].line][1]
        said = "it shows no ink" if answer is None else f"read as {answer}"
        return f"{len(self.digits) - self.selected:,} of {len(self.digits):,}, {self._label()}; {said}"

    def _label(self) -> str:
        label = self.digits[self.selected].drawing.label
        return "without a label" if label is None else f"kept as {label}"

    def _select(self, place: int) -> None:
        if 0 <= place < len(self.digits):
            self.selected = place
            self._show()

    def _turn(self, pages: int) -> None:
        self._select(max(0, min(self.selected + pages * self._on_a_page, len(self.digits) - 1)))

    def _key(self, event: tk.Event[tk.Misc]) -> None:
        key = event.keysym.lower().removeprefix("kp_")
        steps = {"left": -1, "right": 1, "up": -self._columns, "down": self._columns}
        if self._asks and key not in ("y", "delete", "backspace"):
            self._show()
        elif self._asks or key in ("delete", "backspace"):
            self._delete()
        elif key in steps:
            self._select(self.selected + steps[key])
        elif key in ("prior", "next"):
            self._turn(1 if key == "next" else -1)
        elif key in ("escape", "g"):
            self.close()
        elif key in set("0123456789"):
            self._change(int(key))

    def _delete(self) -> None:
        """Ask at first; the second time, delete the selected digit."""
        if self._asks:
            self._change(None)
        elif self.digits:
            self._show(f"Delete this digit, {self._label()}? y or Delete: yes; any other key: no", asks=True)

    def _change(self, label: int | None) -> None:
        """Give the selected digit another label, or delete it."""
        if self.digits:
            try:
                change_own_digit(self._outputs, self.digits[self.selected], label)
                self._load()
            except LabError as error:
                self._load(f"! {error}")

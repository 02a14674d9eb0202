"""The gallery of the user's own digits, a window over the one to draw in: look at them, relabel and delete them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

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
_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}  # columns and rows to go


class Gallery:
    """Pages of thumbnails with their labels, the newest first, and the networks' answer where it is another.

    ``vote`` gives the digit that the networks together say of each picture (28, 28).
    """

    def __init__(self, theme: widgets.Theme, outputs: Path, vote: Callable[[Sequence[Picture]], Sequence[int]]) -> None:
        self.theme, self._outputs, self._vote = theme, outputs, vote
        self.digits: list[OwnDigit] = []
        self.selected = 0  # of the digits
        self._asks = False  # whether the selected digit is to be deleted
        self._answers: dict[bytes, tuple[Picture | None, int | None]] = {}  # by their lines, as far as they were shown
        self._images: list[tk.PhotoImage] = []  # Tk does not keep them
        self.window = window = tk.Toplevel(theme.root, background=widgets.GROUND)
        window.title("Your own digits")
        window.transient(theme.root)
        window.geometry(theme.root.winfo_geometry())
        px = theme.layout.px
        self.title = ttk.Label(window, style="Ground.TLabel", font=theme.heading)
        self.title.pack(side="top", anchor="w", padx=px(14), pady=px(10))
        foot = tk.Frame(window, background=widgets.GROUND)
        foot.pack(side="bottom", fill="x", padx=px(14), pady=px(8))
        for text, action in (
            ("Back  Esc", self.close),
            ("Delete", self.delete),
            ("▸", self._turner(1)),
            ("◂", self._turner(-1)),
        ):
            button = ttk.Button(foot, text=text, command=action, takefocus=False)
            button.pack(side="right", padx=(px(6), 0))
        self.status = ttk.Label(foot, style="Ground.TLabel")
        self.status.pack(side="top", anchor="w")
        ttk.Label(foot, text=_KEYS, style="Foot.TLabel").pack(side="bottom", anchor="w")
        self.canvas = tk.Canvas(
            window, background=widgets.PAPER, highlightthickness=1, highlightbackground=widgets.RULE
        )
        self.canvas.pack(fill="both", expand=True, padx=px(14))
        self.canvas.bind("<Configure>", lambda event: self._show())
        self.canvas.bind("<Button-1>", self._click)
        window.bind("<Key>", self._key)
        window.bind("<Map>", lambda event: self._hold())
        window.protocol("WM_DELETE_WINDOW", self.close)
        self._load()

    def _hold(self) -> None:
        with suppress(tk.TclError):  # it was closed at once
            self.window.grab_set()
            self.window.focus_force()

    def close(self) -> None:
        self.window.destroy()
        self.theme.root.focus_force()

    def _load(self, message: str = "", *, trouble: bool = False) -> None:
        try:
            self.digits = list_own_digits(self._outputs)[::-1]
        except LabError as error:
            self.digits, message, trouble = [], str(error), True
        self.selected = max(0, min(self.selected, len(self.digits) - 1))
        self._show(message, trouble=trouble)

    @property
    def _pitch(self) -> tuple[int, int]:
        px, side = self.theme.layout.px, self.theme.layout.tile(_THUMBNAIL)
        return side + px(_GAP), side + px(_GAP + _CAPTION)

    @property
    def _columns(self) -> int:
        return max(1, (self.canvas.winfo_width() - self.theme.layout.px(_GAP)) // self._pitch[0])

    @property
    def _on_a_page(self) -> int:
        rows = (self.canvas.winfo_height() - self.theme.layout.px(_GAP)) // self._pitch[1]
        return self._columns * max(1, rows)

    def _show(self, message: str = "", *, trouble: bool = False) -> None:
        """The page with the selected digit; a message goes with the next one."""
        self._asks = False
        self.canvas.delete("all")
        first = self.selected // self._on_a_page * self._on_a_page
        shown = self.digits[first : first + self._on_a_page]
        self._read(shown)
        self._images = [
            self._show_one(place, digit, is_selected=first + place == self.selected)
            for place, digit in enumerate(shown)
        ]
        pages = -(-len(self.digits) // self._on_a_page)
        page = f", page {first // self._on_a_page + 1} of {pages}" if pages > 1 else ""
        self.title.configure(text=f"Your own digits: {counted(len(self.digits), 'drawing')}{page}")
        self._tell(message or self._about_selected(), trouble=trouble)

    def _read(self, shown: Sequence[OwnDigit]) -> None:
        new = [digit for digit in shown if digit.line not in self._answers]
        pictures = [to_mnist(digit.drawing) for digit in new]
        inked = [picture for picture in pictures if picture is not None]
        votes = iter(self._vote(inked) if inked else ())
        for digit, picture in zip(new, pictures, strict=True):
            self._answers[digit.line] = picture, None if picture is None else next(votes)

    def _show_one(self, place: int, digit: OwnDigit, *, is_selected: bool) -> tk.PhotoImage:
        px, side, (across, down) = self.theme.layout.px, self.theme.layout.tile(_THUMBNAIL), self._pitch
        left, top = px(_GAP) + place % self._columns * across, px(_GAP) + place // self._columns * down
        picture, answer = self._answers[digit.line]
        image = tk.PhotoImage(master=self.canvas, width=side, height=side)
        if picture is not None:
            image.configure(
                data=b"P6 %d %d 255 " % (side, side) + widgets.fitted(picture, side).tobytes(), format="PPM"
            )
        self.canvas.create_image(left, top, anchor="nw", image=image)
        if is_selected:
            edge = px(3)
            self.canvas.create_rectangle(
                left - edge, top - edge, left + side + edge, top + side + px(_CAPTION), outline=widgets.BLUE, width=edge
            )
        label, baseline = digit.drawing.label, top + side + px(_CAPTION) // 2
        text = "–" if label is None else str(label)
        self.canvas.create_text(left + px(2), baseline, text=text, font=self.theme.bold, fill=widgets.INK, anchor="w")
        if answer is not None and answer != label:
            remark, fill = f"read as {answer}", widgets.VERMILION
            self.canvas.create_text(left + side, baseline, text=remark, font=self.theme.small, fill=fill, anchor="e")
        return image

    def _about_selected(self) -> str:
        if not self.digits:
            return "Nothing is kept yet: draw a digit, then press its number, 0 to 9."
        digit = self.digits[self.selected]
        answer = self._answers[digit.line][1]
        said = "it shows no ink" if answer is None else f"the networks say {answer}"
        return f"{len(self.digits) - self.selected:,} of {len(self.digits):,}: {_kept_as(digit)}; {said}"

    def _tell(self, message: str, *, trouble: bool = False) -> None:
        self.status.configure(text=message, foreground=widgets.VERMILION if trouble else widgets.INK)

    def _click(self, event: tk.Event[tk.Canvas]) -> None:
        gap, (across, down) = self.theme.layout.px(_GAP), self._pitch
        column, row = (event.x - gap // 2) // across, (event.y - gap // 2) // down
        page = self.selected // self._on_a_page * self._on_a_page
        if 0 <= column < self._columns and 0 <= row < self._on_a_page // self._columns:
            self._select(page + row * self._columns + column)

    def _select(self, place: int) -> None:
        if 0 <= place < len(self.digits):
            self.selected = place
            self._show()

    def _turner(self, pages: int) -> widgets.Action:
        return lambda: self._select(min(max(self.selected + pages * self._on_a_page, 0), len(self.digits) - 1))

    def _key(self, event: tk.Event[tk.Misc]) -> None:
        key = event.keysym.lower().removeprefix("kp_")
        if self._asks and key in ("y", "delete", "backspace"):
            self._change(None)
        elif self._asks:
            self._show("nothing was deleted")
        elif key in _STEPS:
            columns, rows = _STEPS[key]
            self._select(self.selected + columns + rows * self._columns)
        elif key in ("prior", "next"):
            self._turner(1 if key == "next" else -1)()
        elif key in ("home", "end"):
            self._select(0 if key == "home" else len(self.digits) - 1)
        elif key in ("delete", "backspace"):
            self.delete()
        elif key in ("escape", "g"):
            self.close()
        elif key in set("0123456789") and self.digits:
            self._change(int(key))

    def delete(self) -> None:
        """Ask at first; the second time, delete the selected digit."""
        if self._asks:
            self._change(None)
        elif self.digits:
            digit = self.digits[self.selected]
            self._tell(f"Delete this digit, {_kept_as(digit)}? y or Delete: yes; any other key: no", trouble=True)
            self._asks = True

    def _change(self, label: int | None) -> None:
        """Give the selected digit another label, or delete it."""
        try:
            change_own_digit(self._outputs, self.digits[self.selected], label)
            self._load()
        except LabError as error:
            self._load(f"! {error}", trouble=True)


def _kept_as(digit: OwnDigit) -> str:
    return "without a label" if digit.drawing.label is None else f"kept as {digit.drawing.label}"

"""The gallery of the user's own digits, a real window on a screen of its own."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mnist_lab.drawing.own_digits import keep_drawing, list_own_digits
from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.drawing.window.gallery import Gallery
from mnist_lab.drawing.window.widgets import VERMILION
from mnist_lab.training.runs import MY_DIGITS
from tests.drawing.conftest import BLANK, ONE
from tests.drawing.test_strokes import by_hand
from tests.windows import Opener, option, update_until

pytest_plugins = ["tests.window_fixtures"]

pytestmark = pytest.mark.integration


class Visit:
    """A gallery over a window, whose networks take everything for a 7, driven by Tk's own events."""

    def __init__(self, opened: Opener, outputs: Path) -> None:
        self.outputs, self.asked = outputs, list[int]()
        window = opened().window
        self.gallery = Gallery(window.theme, outputs, self.vote)
        self.root, self.window = window.root, self.gallery.window
        self.wait(lambda: self.gallery._on_a_page > 1 and self.root.focus_get() is self.window)

    def vote(self, pictures: Sequence[Picture]) -> list[int]:
        self.asked.append(len(pictures))
        return [7] * len(pictures)

    def wait(self, condition: Callable[[], bool]) -> None:
        update_until(self.root, condition)

    def key(self, *keys: str) -> None:
        for key in keys:
            self.window.event_generate("<Key>", keysym=key)
            self.root.update()

    @property
    def chosen(self) -> Drawing:
        return self.gallery.digits[self.gallery.selected].drawing

    @property
    def labels(self) -> list[int | None]:
        """In the file."""
        return [digit.drawing.label for digit in list_own_digits(self.outputs)]

    def texts(self, colour: str = "") -> list[str]:
        """What stands on the page, in one colour or all."""
        canvas: Any = self.gallery.canvas
        items = [item for item in canvas.find_all() if canvas.type(item) == "text"]
        return [option(canvas, item, "text") for item in items if not colour or option(canvas, item, "fill") == colour]

    def says(self, text: str) -> bool:
        return text in str(self.gallery.status.cget("text"))


@pytest.fixture
def visit(opened: Opener, tmp_path: Path) -> Callable[[Sequence[Drawing]], Visit]:
    def with_digits(drawings: Sequence[Drawing]) -> Visit:
        text = "".join(drawing.to_json() + "\n" for drawing in drawings)
        (tmp_path / MY_DIGITS).write_text(text, encoding="utf-8")
        return Visit(opened, tmp_path)

    return with_digits


def test_digits_are_shown_newest_first_with_the_networks_answer_where_it_differs(visit: Any) -> None:
    visitor = visit([*map(by_hand, range(10)), BLANK, Drawing(ONE.strokes)])
    assert visitor.texts() == [
        "–",
        "read as 7",
        "3",
        "9",
        "read as 7",
        "8",
        "read as 7",
        "7",
        *[word for digit in (6, 5, 4, 3, 2, 1, 0) for word in (str(digit), "read as 7")],
    ]
    assert visitor.texts(VERMILION) == ["read as 7"] * 10
    assert str(visitor.gallery.title.cget("text")) == "Your own digits: 12 drawings"
    assert visitor.says("12 of 12, without a label; read as 7")
    visitor.key("Right")
    assert visitor.says("11 of 12, kept as 3; it shows no ink")


def test_keys_and_mouse_choose_among_pages_of_hundreds(visit: Any) -> None:
    visitor = visit([by_hand(place % 10, dx=place / 100) for place in range(350)])
    gallery = visitor.gallery
    on_a_page, columns = gallery._on_a_page, gallery._columns
    assert 10 < on_a_page < 100
    assert sum(visitor.asked) <= on_a_page + 12  # only what is shown is read
    visitor.key("Right", "Down", "Up", "Down", "Left", "Left")
    assert gallery.selected == columns - 1
    visitor.key("Next")
    assert gallery.selected == columns - 1 + on_a_page
    assert "page 2 of" in str(gallery.title.cget("text"))
    asked = sum(visitor.asked)
    visitor.key("Prior", "Up")  # there is nothing above, and nothing to read anew
    assert (gallery.selected, sum(visitor.asked)) == (columns - 1, asked)
    for _ in range(350 // on_a_page + 2):
        visitor.key("Next")
    assert gallery.selected == 349
    visitor.key("Prior")
    first = gallery.selected // on_a_page * on_a_page
    images = [item for item in gallery.canvas.find_all() if gallery.canvas.type(item) == "image"]
    x, y = map(int, gallery.canvas.coords(images[columns + 1]))
    gallery.canvas.event_generate("<Button-1>", x=x + 5, y=y + 5)
    visitor.root.update()
    assert gallery.selected == first + columns + 1


def test_a_digit_is_relabelled_and_deleted_after_a_question(visit: Any) -> None:
    visitor = visit([by_hand(digit) for digit in (1, 2, 3)])
    visitor.key("Right", "8")
    assert visitor.labels == [1, 8, 3]
    assert visitor.says("kept as 8")
    visitor.key("Delete")
    assert visitor.says("Delete this digit, kept as 8?")
    visitor.key("n")
    assert visitor.labels == [1, 8, 3]
    visitor.key("y")  # nothing was asked
    visitor.key("4", "Delete", "5")  # an answer, not a label
    assert visitor.labels == [1, 4, 3]
    visitor.key("Delete", "Escape")
    assert visitor.window.winfo_exists()
    visitor.key("Delete", "y", "BackSpace", "Delete")
    assert visitor.labels == [3]
    visitor.key("Delete", "Delete")
    assert not (visitor.outputs / MY_DIGITS).exists()
    assert visitor.says("Nothing is kept yet")
    visitor.key("Delete", "5", "Left", "Next")  # nothing is there to choose
    visitor.key("g")
    assert not visitor.window.winfo_exists()


def test_what_another_program_did_meanwhile_is_told_and_shown(visit: Any) -> None:
    visitor = visit([by_hand(digit) for digit in (1, 2, 3)])
    keep_drawing(visitor.outputs, by_hand(4))
    visitor.key("5")
    assert visitor.labels == [1, 2, 5, 4]  # behind it, nothing of it was changed
    path = visitor.outputs / MY_DIGITS
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    visitor.key("6")
    assert visitor.labels == [2, 5, 4]
    assert visitor.says("! another program has changed my_digits.jsonl meanwhile")
    assert [digit.drawing.label for digit in visitor.gallery.digits] == [4, 5, 2]
    path.unlink()
    path.mkdir()
    visitor.key("6")
    assert visitor.says("can't be read")
    visitor.key("Escape")
    assert not visitor.window.winfo_exists()


def test_no_caption_reaches_the_next_picture(opened: Opener, tmp_path: Path) -> None:
    for label in (1, 2, 3):
        keep_drawing(tmp_path, by_hand(label))
    canvas: Any = Visit(opened, tmp_path).gallery.canvas
    right = max(canvas.bbox(item)[2] for item in canvas.find_all() if canvas.type(item) == "image")
    assert max(canvas.bbox(item)[2] for item in canvas.find_all() if canvas.type(item) == "text") <= right


def test_over_a_full_screen_it_fills_the_screen_too(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, asked = opened().window, list[tuple[Any, ...]]()
    monkeypatch.setattr(window.root, "attributes", {"-fullscreen": 1}.get)  # no window manager is on the tests' screen
    monkeypatch.setattr(tk.Toplevel, "attributes", lambda self, *given: asked.append(given))
    Gallery(window.theme, tmp_path, lambda pictures: []).close()
    assert asked == [("-fullscreen", 1)]

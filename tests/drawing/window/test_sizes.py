"""The real window in every size: nothing is cut off, nothing is lost."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mnist_lab.drawing.window.answer import Predictor
from mnist_lab.drawing.window.app import Window, open_window
from mnist_lab.drawing.window.layout import plan_layout, smallest_size
from tests.windows import CORNER, LINE, UNSEEN, Opener, cut_off, no_film, uniform_map, width_reader

pytest_plugins = ["tests.window_fixtures"]
pytestmark = pytest.mark.integration


SIZES = [(1024, 600), (1366, 768), (2560, 1440), (1030, 1300), (2400, 560)]


@pytest.mark.parametrize("networks", [1, 2, 4])
def test_everything_grows_and_shrinks_with_the_window(opened: Opener, networks: int) -> None:
    visitor = opened(*[width_reader] * networks)
    visitor.draw(*CORNER)
    visitor.key("m", "3")
    fonts = {}
    for size in SIZES:
        visitor.resize(*size)
        assert cut_off(visitor.window, on_screen=False) == []
        assert visitor.canvas.canvas.winfo_width() == visitor.window.layout.canvas.width - 2
        fonts[size] = visitor.window.theme.text.metrics("linespace")
        assert visitor.ink_at(140, 140)
        assert visitor.window.panels[0].tile.image.get(3, 3) == (0x56, 0xB4, 0xE9)  # the map
        visitor.key("x")
        visitor.settle()
        assert cut_off(visitor.window, on_screen=False) == []
        visitor.key("x", "h")
        visitor.root.update()
        help_page = visitor.window.help
        assert help_page is not None
        left, top, right, bottom = help_page.canvas.bbox("all")
        assert left >= 0
        assert top >= 0
        assert right <= help_page.width
        assert bottom <= help_page.height
        visitor.key("h")
        visitor.settle()
    assert fonts[SIZES[2]] > 1.7 * fonts[SIZES[1]] > 1.7 * fonts[SIZES[0]] or networks == 4
    assert visitor.window.error is None


def test_another_size_keeps_what_was_drawn_and_set(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.draw(*CORNER)
    visitor.key("z")
    visitor.window.brush_slider.scale.set(31)
    visitor.window.sliders["turn"].scale.set(45)
    visitor.key("x", "1")
    visitor.window.xray.buttons["crop"].invoke()
    visitor.settle()
    before, asked, said = visitor.window.answer, len(visitor.seen), visitor.sentence
    visitor.resize(1300, 1000)
    assert visitor.window.answer.question == before.question
    assert len(visitor.seen) > asked
    assert (visitor.sentence, visitor.status) == (said, "kept as 1; Backspace takes it back")
    assert visitor.window.xray.canvas.winfo_viewable()
    assert not visitor.window.xray.buttons["crop"].instate(["selected"])
    assert visitor.window.sliders["turn"].scale.get() == 45
    assert visitor.window.brush_slider.scale.get() == 31
    visitor.key("BackSpace")
    assert (visitor.status, visitor.kept) == ("taken back", [])
    visitor.key("y")
    assert len(visitor.sketched) == 2
    asked = len(visitor.seen)
    visitor.settle()
    stage = visitor.window.theme.stage
    visitor.root.event_generate("<Configure>")  # moved, not resized
    visitor.settle()
    assert visitor.window.theme.stage is stage
    assert visitor.root.winfo_children() == [stage]


def test_a_new_size_looks_for_its_own_garbage_only(screen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[int] = []
    monkeypatch.setattr(Window, "run", lambda window: frozen.append(gc.get_freeze_count()))
    host: Any = SimpleNamespace(reject=lambda *seen: None)
    predictor = Predictor(
        "any", lambda pictures: [np.full(10, 0.1)] * len(pictures), uniform_map, "map", *UNSEEN, no_film
    )
    open_window([predictor], host)
    assert frozen[0] > 1000
    assert gc.get_freeze_count() == 0


def test_a_stroke_that_a_new_size_interrupts_is_kept(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE, lift=False)
    visitor.resize(1100, 800)
    visitor.pen("<Motion>", 200, 200)
    visitor.pen("<ButtonRelease-1>", 200, 200)
    assert len(visitor.sketched) == 1
    assert visitor.ink_at(140, 130)
    assert not visitor.ink_at(200, 200)


def test_the_window_cannot_be_made_illegible(opened: Opener) -> None:
    visitor = opened()
    width, height = visitor.root.minsize()
    density = visitor.root.winfo_fpixels("1i") / 96
    assert (width, height) == smallest_size(plan_layout(1366, 768, density, 1), density)
    assert visitor.root.resizable() == (True, True)
    visitor.resize(width, height)
    assert cut_off(visitor.window) == []


def test_f11_asks_for_the_full_screen_and_for_less(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = opened()
    asked: list[bool] = []
    state = {"-fullscreen": False}

    def attributes(name: str, value: bool | None = None) -> bool:  # no window manager runs on the tests' screen
        if value is not None:
            asked.append(value)
            state[name] = value
        return state[name]

    monkeypatch.setattr(visitor.root, "attributes", attributes)
    visitor.key("F11", "f", "h", "F11")
    assert asked == [True, False, True]

"""Which key does what, and a window that needs no mouse."""

from __future__ import annotations

from typing import Any

import pytest

from mnist_lab.drawing.preprocess import Wobble
from mnist_lab.drawing.window.keys import command_for
from tests.windows import LINE, Opener, texts_on

pytest_plugins = ["tests.window_fixtures"]


@pytest.mark.integration
@pytest.mark.parametrize("key", ["h", "question", "F1"])
def test_help_hides_all_else_until_it_is_closed(opened: Opener, key: str) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.settle()
    shift = int(key == "question")
    visitor.key(key, state=shift)
    visitor.root.update()
    page = visitor.window.help
    assert page is not None
    assert page.canvas.winfo_viewable()
    assert not visitor.canvas.canvas.winfo_viewable()
    assert visitor.root.focus_get() is page.button
    visitor.key("c", "3", "m", "x", "BackSpace")  # nothing happens out of sight
    assert (len(visitor.sketched), visitor.kept, visitor.window.shows_maps) == (1, [], False)
    assert {"Backspace", "F11 or f", "Tab", "Wobble", "Map", "X-ray", "Inside", "Bars"} <= set(texts_on(page.canvas))
    visitor.resize(1200, 900)
    assert visitor.window.help is not None  # it grows as well
    assert visitor.window.help.canvas.winfo_viewable()
    visitor.key(key, state=shift)
    visitor.root.update()
    assert visitor.window.help is None
    assert visitor.canvas.canvas.winfo_viewable()
    visitor.window.buttons["help"].invoke()
    visitor.window.help.canvas.event_generate("<Button-1>", x=5, y=5)
    assert visitor.window.help is None


@pytest.mark.integration
def test_tab_reaches_everything_that_is_in_sight(opened: Opener) -> None:
    visitor = opened(gallery=lambda theme: None)
    visitor.draw(*LINE)
    visitor.settle()

    def stops() -> list[Any]:
        found: list[Any] = []
        widget: Any = visitor.canvas.canvas.tk_focusNext()
        while widget is not None and widget not in found:
            found.append(widget)
            widget = widget.tk_focusNext()
        return found

    window = visitor.window
    scales = [slider.scale for slider in window.sliders.values()]
    buttons = [window.buttons[name] for name in window.buttons if name != "redo"]  # which has nothing to redo
    assert set(stops()) == {visitor.canvas.canvas, window.brush_slider.scale, *scales, *buttons}
    assert stops()[:4] == [window.brush_slider.scale, *(window.buttons[name] for name in ("undo", "clear", "save"))]
    visitor.key("x")
    visitor.settle()
    reached = stops()
    assert set(window.xray.buttons.values()) < set(reached)
    assert not set(scales) & set(reached)  # they are covered


@pytest.mark.integration
def test_a_button_is_pressed_by_enter_and_by_space(opened: Opener) -> None:
    visitor = opened()
    button = visitor.window.buttons["map"]
    button.focus_force()
    for key, is_on in (("Return", True), ("space", False), ("KP_Enter", True)):
        button.event_generate("<Key>", keysym=key)
        button.event_generate("<KeyRelease>", keysym=key)
        visitor.root.update()
        assert visitor.window.shows_maps == is_on


@pytest.mark.integration
def test_arrows_move_a_slider_by_its_step_and_digits_do_not_misfire(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    scale = visitor.window.sliders["stroke"].scale
    scale.focus_force()
    visitor.root.update()
    for key in ("Right", "Right", "Up", "Left", "Down", "Right"):
        scale.event_generate("<Key>", keysym=key)
    assert visitor.window.wobble == Wobble(stroke=110)
    scale.event_generate("<Key>", keysym="5")
    assert visitor.kept == []
    assert "press Enter first" in visitor.status
    scale.event_generate("<Key>", keysym="Return")
    assert visitor.root.focus_get() is visitor.canvas.canvas
    visitor.key("5")
    assert [drawing.label for drawing in visitor.kept] == [5]


@pytest.mark.parametrize(
    ("key", "modified", "shifted", "command"),
    [
        ("z", False, False, "undo"),
        ("Z", False, False, "undo"),
        ("z", True, False, "undo"),
        ("Z", True, True, "redo"),
        ("y", True, False, "redo"),
        ("c", True, False, None),  # out of habit, to copy
        ("x", True, False, None),  # out of habit, to cut
        ("Escape", False, False, "close"),
        ("7", False, False, "7"),
        ("KP_0", False, False, "0"),
        ("7", True, False, None),
        ("F7", False, False, None),
        ("question", False, True, "help"),
        ("H", False, False, "help"),
        ("BackSpace", True, False, None),
        ("KP_Enter", False, False, None),
        ("", False, False, None),
    ],
)
def test_keys(key: str, modified: bool, shifted: bool, command: str | None) -> None:
    assert command_for(key, modified=modified, shifted=shifted) == command

"""The X-ray in the real window, with real mouse and key events."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mnist_lab.drawing.preprocess import STEP_NAMES, Picture, Steps, Wobble, Xray, take_apart, to_mnist
from mnist_lab.drawing.strokes import CANVAS
from mnist_lab.drawing.window import app
from mnist_lab.drawing.window.answer import STEP_TEXTS, Probabilities
from mnist_lab.drawing.window.layout import Layout, plan_layout
from mnist_lab.drawing.window.xray_panel import BEFORE_WOBBLE, CAPTION, HINT, XrayPanel
from tests.drawing.test_preprocess import seen
from tests.windows import CORNER, LINE, Guest, Opener, Visitor, cut_off, option, overlapping, uniform_map, width_reader

pytest_plugins = ["tests.window_fixtures"]
pytestmark = pytest.mark.integration


def said(panel: XrayPanel, item: int | str) -> str:
    return option(panel.canvas, item, "text")


def said_below_the_canvas(visitor: Visitor) -> str:
    return option(visitor.window._seen, "seen", "text")


def click(visitor: Visitor, step: str) -> None:
    """Press and let go of the mouse on a step's name."""
    visitor.root.update()
    button = visitor.window.xray.buttons[step]
    for event in ("<Enter>", "<Button-1>", "<ButtonRelease-1>"):
        button.event_generate(event, x=8, y=8)


def variants(xray: Xray | None) -> list[Picture]:
    """The pictures that the network is asked about, in their order."""
    assert xray is not None
    found = [xray.whole, xray.chosen, *xray.without.values()]
    return [picture for picture in found if picture is not None]


def test_x_opens_it_over_the_networks_and_x_closes_it(opened: Opener) -> None:
    visitor = opened()
    panel, button = visitor.window.xray, visitor.window.buttons["xray"]
    assert "x" in str(button.cget("text")).split()
    for is_open in (True, False, True):
        visitor.window.sliders["turn"].scale.focus_force()
        visitor.key("x")
        visitor.root.update()
        assert (visitor.window.view == "xray") == is_open
        assert bool(panel.canvas.winfo_viewable()) == is_open
        assert button.instate(["selected" if is_open else "!selected"])
        if is_open:  # not a slider that is covered now
            assert visitor.root.focus_get() is visitor.canvas.canvas
        left, top = panel.canvas.winfo_rootx() + 20, panel.canvas.winfo_rooty() + 60
        assert (visitor.root.winfo_containing(left, top) is panel.canvas) == is_open
    button.invoke()
    assert not visitor.window.view
    assert "Toplevel" not in {child.winfo_class() for child in visitor.root.winfo_children()}  # all in one window


def test_it_shows_the_drawing_after_every_step(opened: Opener) -> None:
    visitor = opened()
    visitor.key("x")
    visitor.draw(*CORNER)
    visitor.settle()
    corners = [tile.image.get(2, tile.image.height() // 2) for tile in visitor.window.xray.stages[:3]]
    assert corners == [(255, 255, 255), (255, 255, 255), (0, 0, 0)]  # ink, MNIST's pen, inverted
    expected = take_apart(visitor.canvas.sketch.drawing(), Steps(), visitor.canvas.brush)
    assert all(map(np.array_equal, visitor.seen[-8:], variants(expected)))
    corners = [visitor.window.xray.without[name].image.get(3, 3) for name in ("crop", "invert")]
    assert corners == [(0, 0, 0), (255, 255, 255)]
    visitor.key("c")
    visitor.settle()
    assert said(visitor.window.xray, "digit.result") == ""
    assert visitor.window.xray.stages[0].image.transparency_get(20, 20)


def test_it_is_asked_once_about_the_newest_strokes(opened: Opener) -> None:
    batches: list[int] = []

    def predict_many(pictures: Sequence[Picture]) -> list[Probabilities]:
        batches.append(len(pictures))
        return [width_reader(picture) for picture in pictures]

    visitor = opened(predict_many=predict_many)
    panel = visitor.window.xray
    visitor.key("x")
    visitor.settle()
    visitor.draw(*[(140.0, 60.0 + step) for step in range(150)], lift=False)
    assert batches == []  # the pen comes first
    assert visitor.ink_at(140, 208)
    visitor.settle()
    assert batches == [8]
    assert said(panel, "digit.result") == "1"
    visitor.draw(*[(140.0 + step, 209.0) for step in range(100)], lift=False)
    visitor.settle()
    assert batches == [8, 8]
    assert said(panel, "digit.result") == "7"


def test_a_step_switched_off_changes_what_is_read_in_the_header_as_well(opened: Opener) -> None:
    visitor = opened()
    panel = visitor.window.xray
    visitor.draw(*LINE)
    visitor.key("x")
    visitor.settle()
    assert (said(panel, "digit.result"), said(panel, "outcome")) == ("1", "All steps")
    assert (said(panel, "reads.invert"), said(panel, "digit.invert")) == ("now read", "as 7")
    assert (said(panel, "reads.crop"), said(panel, "digit.crop")) == ("still read", "as 1")
    click(visitor, "invert")
    visitor.settle()
    assert visitor.window.steps == Steps().without("invert")
    assert panel.buttons["invert"].instate(["!selected"])
    assert (said(panel, "digit.result"), said(panel, "certainty.result")) == ("7", "82.0 %")
    assert said(panel, "outcome") == "Without Invert"
    assert said(panel, "caption.invert") == STEP_TEXTS["invert"][2]
    drawing = visitor.canvas.sketch.drawing()
    assert all(map(np.array_equal, visitor.seen[-8:], variants(take_apart(drawing, visitor.window.steps))))
    assert [digit for digit in range(10) if panel.canvas.find_withtag(f"bar.{digit}")] == [7]  # 2 % is below a pixel
    height = np.ptp(panel.canvas.coords("bar.7")[1::2])
    assert height == pytest.approx(0.82 * (panel._floor - panel._ceiling), abs=1)
    assert visitor.sentence == "without Invert: now read as 7"  # the header answers the same question
    assert said_below_the_canvas(visitor) == "28 × 28 pixels, without Invert"
    expected, answer = to_mnist(drawing, visitor.window.steps), visitor.window.answer
    assert answer.picture is not None
    assert expected is not None
    assert np.array_equal(answer.picture, expected)
    visitor.key("r")
    visitor.settle()
    assert visitor.window.steps == Steps()
    assert panel.buttons["invert"].instate(["selected"])
    assert said(panel, "digit.result") == "1"


def test_steps_stay_chosen_while_it_is_closed(opened: Opener) -> None:
    visitor = opened()
    visitor.key("x")
    click(visitor, "crop")
    click(visitor, "centre")
    click(visitor, "crop")
    visitor.key("x", "x")
    assert visitor.window.steps == Steps().without("centre")


def test_the_brush_is_part_of_it(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.key("x")
    visitor.settle()
    before = visitor.seen[-6]  # without MNIST's pen
    visitor.window._set_brush(40.0)
    visitor.settle()
    assert visitor.seen[-6].sum() > 1.5 * before.sum()
    assert "brush 40 px" in said(visitor.window.xray, "caption.ink")


def test_it_shows_the_drawing_before_any_wobble_and_says_so(opened: Opener) -> None:
    visitor = opened()
    panel = visitor.window.xray
    visitor.draw(*LINE)
    visitor.key("x")
    visitor.settle()
    assert said(panel, "hint") == HINT
    visitor.window.sliders["turn"].scale.set(90)
    visitor.settle()
    assert said(panel, "hint") == BEFORE_WOBBLE
    assert visitor.sentence == "before the wobble: a 1"
    assert said(panel, "digit.result") == "1"
    assert np.array_equal(visitor.seen[-7], seen(visitor.canvas.sketch.drawing(), Wobble()))
    visitor.key("x")
    visitor.settle()
    assert (
        visitor.sentence
        == said_below_the_canvas(visitor).replace("28 × 28 pixels, ", "") + ": a 7"
        == "as wobbled: a 7"
    )
    assert np.array_equal(visitor.seen[-1], seen(visitor.canvas.sketch.drawing(), Wobble(turn=90)))


def test_m_closes_it_and_shows_the_maps(opened: Opener) -> None:
    asked: list[int] = []

    def explain(picture: Picture, digit: int) -> Any:
        asked.append(digit)
        return uniform_map(picture, digit)

    visitor = opened(explain=explain)
    visitor.key("m", "x")
    visitor.draw(*CORNER)
    visitor.settle()
    assert asked == []  # they lie below it
    assert visitor.window.buttons["map"].instate(["!selected"])
    visitor.key("m")
    visitor.settle()
    assert asked == [7]
    assert not visitor.window.view
    assert visitor.window.buttons["map"].instate(["selected"])
    assert option(visitor.window.panels[0].canvas, "digit", "text") == "7"


@pytest.mark.parametrize(
    ("networks", "scale"), [(1, None), (2, None), (3, None), (4, None), (1, 0.9), (1, 1.0), (1, 1.17)]
)
def test_nothing_is_cut_off(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, networks: int, scale: float | None
) -> None:
    if scale is not None:  # as on another screen
        monkeypatch.setattr(
            app, "plan_layout", lambda *screen: Layout(networks, round(904 * scale), round(700 * scale))
        )
    visitor = opened(*[width_reader] * networks, explain=uniform_map)
    panel, px = visitor.window.xray, visitor.window.layout.px
    visitor.draw(*CORNER)
    visitor.settle()
    assert cut_off(visitor.window) == []
    visitor.key("x")
    visitor.settle()
    assert cut_off(visitor.window) == []
    assert overlapping(panel.canvas) == []
    for name in STEP_NAMES:
        click(visitor, name)
    visitor.settle()
    assert visitor.window.steps == Steps(*[False] * len(STEP_NAMES))
    assert cut_off(visitor.window) == []
    assert overlapping(panel.canvas) == []
    for name in ("ink", *STEP_NAMES):
        _, top, _, bottom = panel.canvas.bbox(f"caption.{name}")
        assert bottom - top <= px(CAPTION)


def test_a_person_clicks_a_step_away_with_the_mouse(opened: Opener, guest: Callable[..., Guest]) -> None:
    visitor = opened()
    visitor.key("x")
    visitor.root.update()
    button = visitor.window.xray.buttons["invert"]
    x, y = button.winfo_rootx() - visitor.root.winfo_rootx() + 8, button.winfo_rooty() - visitor.root.winfo_rooty() + 8
    visitor.root.withdraw()
    visitor.root.update()

    person = guest()
    left, top = person.find()
    canvas = plan_layout(1366, 768, 1.0, 1).canvas
    middle, step = left + canvas.x + canvas.width // 2, canvas.height / CANVAS
    places = [str(round(top + canvas.y + height * step)) for height in range(60, 220, 5)]
    person.xdotool("key", "x", "mousemove", str(middle), places[0], "mousedown", "1")
    person.xdotool(*itertools.chain.from_iterable(("mousemove", str(middle), place) for place in places))
    person.xdotool("mouseup", "1")
    person.wait(lambda: reads(person) == [1, 1, 1, 7, 1, 7, 1, 1])  # all steps, the chosen ones, each left out
    person.xdotool("mousemove", str(left + x), str(top + y), "click", "1")
    person.wait(lambda: reads(person) == [1, 7, 1, 7, 1, 7, 1, 1])
    person.xdotool("key", "Escape")
    assert person.process.wait(20) == 0
    assert person.notes()[-1] == {"closed": 0, "threads": 1, "widgets": 0}
    assert person.err.read_text() == ""


def reads(person: Guest) -> list[int]:
    """What was read at the last update."""
    return [note["reads"] for note in person.notes()[-8:] if "reads" in note]

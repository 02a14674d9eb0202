"""The real window, with real mouse and key events."""

from __future__ import annotations

import gc
import inspect
import itertools
import json
import math
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mnist_lab.drawing.preprocess import Picture, Wobble, to_mnist
from mnist_lab.drawing.strokes import CANVAS, Drawing
from mnist_lab.drawing.window.answer import Predictor, Probabilities, Question
from mnist_lab.drawing.window.app import Window, open_window
from mnist_lab.drawing.window.keys import command_for
from mnist_lab.drawing.window.layout import LARGEST, plan_layout, smallest_size
from mnist_lab.errors import StorageError
from mnist_lab.explain.saliency import attribute
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import build_model
from tests.drawing.test_preprocess import seen
from tests.windows import (
    CORNER,
    LINE,
    OPEN,
    PATIENCE,
    UNSEEN,
    Guest,
    Opener,
    cut_off,
    no_film,
    option,
    run_python,
    start_screen,
    uniform_map,
    update_until,
    width_reader,
)

pytest_plugins = ["tests.window_fixtures"]
pytestmark = pytest.mark.integration


def test_predictions_follow_while_the_button_is_down(opened: Opener) -> None:
    visitor = opened()
    assert visitor.sentence == "draw a digit with mouse or pen"
    visitor.draw(*LINE, lift=False)
    visitor.settle()
    assert visitor.sentence == "a 1"
    visitor.pen("<Motion>", 260, 220)
    visitor.settle()
    assert visitor.sentence == "a 7"
    assert visitor.canvas.sketch.can_undo
    visitor.pen("<ButtonRelease-1>", 260, 220)
    drawing = visitor.canvas.sketch.drawing()
    assert np.vstack(drawing.strokes) == pytest.approx(np.array([*LINE, CORNER[-1]]), abs=0.9)
    expected = to_mnist(drawing)
    assert expected is not None
    assert np.array_equal(visitor.seen[-1], expected)


def test_a_burst_of_motion_is_one_prediction_for_the_newest_strokes(opened: Opener) -> None:
    visitor = opened()
    points = [(20 + step / 2, 140 + 100 * math.sin(step / 40)) for step in range(400)]
    visitor.draw(*points, lift=False)
    assert visitor.seen == []  # the pen comes first
    assert all(visitor.ink_at(*point) for point in points)
    visitor.settle()
    expected = to_mnist(visitor.canvas.sketch.drawing())
    assert expected is not None
    assert np.array_equal(visitor.seen[0], expected)
    whole = [picture for picture in visitor.seen if np.array_equal(picture, expected)]  # the others are parts of it
    assert len(whole) == 1


def test_a_slow_network_queues_nothing_and_is_asked_about_the_newest_strokes(opened: Opener) -> None:
    points_then: list[int] = []

    def slow(picture: Picture) -> Probabilities:
        points_then.append(len(visitor.canvas.sketch.strokes[0]))
        expected = to_mnist(visitor.canvas.sketch.drawing())
        assert expected is not None
        assert np.array_equal(picture, expected)
        time.sleep(0.1)
        sure: Probabilities = np.eye(10)[1]  # so that no parts of the drawing are asked about
        return sure

    visitor = opened(slow)
    visitor.draw((140.0, 20.0), lift=False)
    for step in range(60):
        visitor.pen("<Motion>", 100 + step, 30 + 4 * step)
        visitor.root.update()
        assert len(visitor.root.tk.splitlist(visitor.root.tk.call("after", "info"))) <= 2  # heartbeat and prediction
        assert visitor.window.error is None
    visitor.settle()
    assert 1 <= len(points_then) < 30
    assert points_then == sorted(points_then)
    assert points_then[-1] == 61


def test_undo_redo_and_clear_by_key(opened: Opener) -> None:
    control, shift = 4, 1
    visitor = opened()
    visitor.draw(*LINE)
    visitor.draw((180.0, 60.0), (260.0, 60.0))
    counts = []
    steps = [("z", 0), ("z", control), ("y", control), ("Z", control | shift), ("c", control), ("c", 0), ("z", 0)]
    for key, state in [*steps, ("z", 0), ("y", 0)]:
        visitor.key(key, state=state)
        visitor.settle()
        counts.append(len(visitor.sketched))
        blank = not visitor.sketched
        assert (visitor.window.answer.picture is None) == blank
        assert visitor.ink_at(140, 130) == (not blank)
        assert visitor.ink_at(220, 60) == (counts[-1] == 2)
        assert len(visitor.canvas.canvas.find_withtag("hint")) == int(blank)
        assert visitor.sentence.startswith("draw a digit") == blank
    assert counts == [1, 0, 1, 2, 2, 0, 2, 1, 2]
    assert visitor.window.buttons["undo"].instate(["!disabled"])
    assert visitor.window.buttons["redo"].instate(["!disabled"])  # the clearing that was undone
    visitor.draw((20.0, 20.0))
    assert visitor.window.buttons["redo"].instate(["disabled"])


def test_undo_ends_the_stroke_being_drawn(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE, lift=False)
    visitor.key("z")
    visitor.pen("<Motion>", 200, 200)
    visitor.pen("<ButtonRelease-1>", 200, 200)
    visitor.settle()
    assert visitor.canvas.sketch.strokes == ()
    assert not visitor.ink_at(140, 130)


def test_a_digit_key_labels_the_drawing_once(opened: Opener) -> None:
    visitor = opened()
    visitor.key("3")
    assert "nothing to keep" in visitor.status
    visitor.draw(*LINE)
    drawing = visitor.canvas.sketch.drawing()
    visitor.refusal = StorageError("the disk is full", "free some space")
    visitor.key("1")
    assert visitor.status == "! not kept: the disk is full; free some space"
    visitor.refusal = None
    visitor.key("1")
    assert visitor.status == "kept as 1; Backspace takes it back"
    visitor.key("2")
    assert "already kept as 1" in visitor.status
    assert visitor.kept == [replace(drawing, label=1)]
    visitor.draw((200.0, 200.0))
    visitor.key("2")
    assert [kept.label for kept in visitor.kept] == [1, 2]


def test_saving_hands_out_what_is_seen_now(opened: Opener) -> None:
    visitor = opened()
    visitor.key("s")
    assert "nothing to save" in visitor.status
    visitor.window._set_brush(33.0)
    visitor.draw(*CORNER)
    visitor.window.sliders["right"].scale.set(2)
    visitor.key("s")  # before the prediction's turn has come
    (saved,) = visitor.saved
    drawing = saved.question.drawing
    assert drawing == visitor.canvas.sketch.drawing()
    assert saved.question == Question(drawing, 33.0, Wobble(right=2))
    assert saved.picture is not None
    assert np.array_equal(saved.picture, seen(drawing, Wobble(right=2)))
    assert np.array_equal(saved.probabilities[0], width_reader(saved.picture))
    assert visitor.status == "saved in outputs/drawing-7"
    visitor.refusal = StorageError("the disk is full", "free some space")
    visitor.window.buttons["save"].invoke()
    assert visitor.status == "! not saved: the disk is full; free some space"
    assert visitor.canvas.sketch.drawing() == drawing
    assert visitor.window.error is None


def test_sliders_wobble_what_the_networks_see_and_r_resets_them(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.settle()
    assert visitor.sentence == "a 1"
    strokes = visitor.canvas.sketch.strokes
    visitor.window.sliders["turn"].scale.set(89.6)
    visitor.window.sliders["stroke"].scale.set(151)
    visitor.settle()
    assert visitor.window.wobble == Wobble(turn=90, stroke=150)
    assert visitor.sentence == "as wobbled: a 7"
    assert visitor.canvas.sketch.strokes == strokes
    assert np.array_equal(visitor.seen[-1], seen(Drawing(strokes), Wobble(turn=90, stroke=150)))
    visitor.key("r")
    visitor.settle()
    assert visitor.window.wobble == Wobble()
    assert visitor.sentence == "a 1"


def test_maps_come_when_the_pen_rests_and_for_the_winning_digit(opened: Opener) -> None:
    asked: list[tuple[int, int]] = []

    def explain(picture: Picture, digit: int) -> Any:
        asked.append((digit, len(visitor.seen)))
        return np.ones((28, 28), dtype=np.float32)

    visitor = opened(width_reader, width_reader, explain=explain)
    visitor.draw(*CORNER)
    visitor.settle()
    assert asked == []
    visitor.key("m")
    visitor.settle()
    assert [digit for digit, _ in asked] == [7, 7]
    assert visitor.window.buttons["map"].instate(["selected"])
    tile = visitor.window.panels[0].tile
    assert tile.image.get(1, 1) == (0x56, 0xB4, 0xE9)
    visitor.draw((20.0, 20.0), (30.0, 40.0))
    visitor.draw((40.0, 20.0), (50.0, 40.0))
    visitor.settle()
    assert len(asked) == 4  # none for what was there only in passing
    assert asked[-1][1] == len(visitor.seen)
    visitor.key("m")
    visitor.draw((60.0, 20.0))
    visitor.settle()
    assert len(asked) == 4
    assert not visitor.window.buttons["map"].instate(["selected"])


def test_each_networks_map_is_for_its_own_winner(opened: Opener) -> None:
    asked: list[int] = []

    def explain(picture: Picture, digit: int) -> Any:
        asked.append(digit)
        return np.ones((28, 28), dtype=np.float32)

    def sure_of_a_three(picture: Picture) -> Probabilities:
        return np.array([0, 0, 0, 1.0, 0, 0, 0, 0, 0, 0])

    visitor = opened(width_reader, sure_of_a_three, explain=explain)
    visitor.draw(*CORNER)
    visitor.key("m")
    visitor.settle()
    assert asked == [7, 3]


def test_what_is_probably_not_a_digit_is_rejected(opened: Opener) -> None:
    def reject(picture: Picture, probabilities: Any) -> str | None:
        assert len(probabilities) == 2
        return "probably not a digit" if probabilities[0][7] > 0.5 else None

    visitor = opened(width_reader, width_reader, reject=reject)
    visitor.draw(*LINE, lift=False)
    visitor.settle()
    assert visitor.sentence == "together: 1 (82.0 %); both say 1"
    visitor.pen("<Motion>", 260, 220)
    visitor.settle()
    assert visitor.sentence == "▲ probably not a digit"


@pytest.mark.parametrize("networks", [1, 2, 3, 4])
def test_nothing_is_cut_off(opened: Opener, networks: int) -> None:
    visitor = opened(*[width_reader] * networks)
    visitor.draw(*CORNER)
    visitor.settle()
    assert cut_off(visitor.window) == []


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
    canvas = page.canvas
    texts = [option(canvas, item, "text") for item in canvas.find_all() if str(canvas.type(item)) == "text"]
    for word in ("Backspace", "F11 or f", "Tab", "Wobble", "Map", "X-ray", "Inside", "Bars"):
        assert word in texts
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


def test_a_button_is_pressed_by_enter_and_by_space(opened: Opener) -> None:
    visitor = opened()
    button = visitor.window.buttons["map"]
    button.focus_force()
    for key, is_on in (("Return", True), ("space", False), ("KP_Enter", True)):
        button.event_generate("<Key>", keysym=key)
        button.event_generate("<KeyRelease>", keysym=key)
        visitor.root.update()
        assert visitor.window.shows_maps == is_on


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


def test_a_brush_that_changes_under_the_pen_leaves_no_gap(opened: Opener) -> None:
    visitor = opened()
    visitor.draw((60.0, 140.0), (100.0, 140.0), lift=False)
    visitor.window.brush_slider.scale.set(22)
    visitor.pen("<Motion>", 180, 140)
    visitor.pen("<Motion>", 240, 140)
    assert all(visitor.ink_at(x, 140) for x in range(60, 240, 5))


@pytest.mark.parametrize("step", ["stroke", "clear", "undo"])
def test_a_message_goes_with_its_drawing(opened: Opener, step: str) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.settle()
    visitor.key("1")
    visitor.window.sliders["turn"].scale.set(45)
    visitor.settle()
    assert visitor.status.startswith("kept as 1")  # the drawing is the same
    if step == "stroke":
        visitor.pen("<Button-1>", 200, 200)
    else:
        visitor.key({"clear": "c", "undo": "z"}[step])
    assert visitor.status == ""
    visitor.key("BackSpace")  # it no longer says what would be taken back
    assert len(visitor.kept) == 1
    assert visitor.status == ""


def test_keeping_says_what_the_networks_say_and_backspace_takes_it_back(opened: Opener) -> None:
    visitor = opened(width_reader, width_reader)
    visitor.key("BackSpace")
    visitor.draw(*LINE)
    visitor.window.sliders["turn"].scale.set(90)  # a 7, as wobbled; but it is the drawing that is kept
    visitor.key("1")
    assert visitor.status == "kept as 1; Backspace takes it back"
    visitor.key("BackSpace")
    assert (visitor.status, visitor.kept) == ("taken back", [])
    visitor.key("BackSpace", "3")
    assert visitor.status == "kept as 3 (the networks say 1); Backspace takes it back"
    visitor.key("z", "y", "8")
    assert visitor.status == "this drawing is already kept as 3; Backspace takes it back"
    visitor.refusal = StorageError("the disk is full", "free some space")
    visitor.key("BackSpace")
    assert visitor.status == "! not taken back: the disk is full; free some space"
    assert [drawing.label for drawing in visitor.kept] == [3]


def test_a_drawing_is_kept_as_the_user_says_though_several_digits_are_seen(opened: Opener) -> None:
    visitor = opened(width_reader)
    visitor.draw((40.0, 40.0), (40.0, 240.0))
    visitor.draw((240.0, 40.0), (240.0, 240.0))
    visitor.key("7")
    assert visitor.status == "kept as 7, though 2 digits are seen; Backspace takes it back"
    assert [(drawing.label, len(drawing.strokes)) for drawing in visitor.kept] == [(7, 2)]


def test_the_gallery_opens_by_key_and_button(opened: Opener) -> None:
    shown: list[Any] = []
    visitor = opened(gallery=shown.append)
    visitor.key("g")
    visitor.window.buttons["gallery"].invoke()
    assert shown == [visitor.window.theme] * 2


def test_what_the_gallery_may_have_changed_is_not_said_to_be_kept(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.key("1", "g")
    assert visitor.status == ""
    visitor.key("BackSpace", "7")
    assert visitor.status == "kept as 7 (the network says 1); Backspace takes it back"
    assert [drawing.label for drawing in visitor.kept] == [1, 7]


def test_a_hand_is_learned_while_the_pen_works_and_the_new_network_goes_on(opened: Opener) -> None:
    told: list[str] = []
    visitor: Any

    def learn(on_step: Callable[[float], None]) -> Any:
        on_step(0.25)
        told.append(visitor.status)
        visitor.draw(*LINE)
        visitor.key("p")  # once is enough
        update_until(visitor.root, lambda: visitor.window.answer.digit == 1)
        on_step(0.5)
        told.append(visitor.status)
        (before,) = visitor.window._predictors
        return [replace(before, name="the copy", predict=lambda pictures: [np.eye(10)[4]] * len(pictures))], "learned"

    visitor = opened(personalise=learn)
    visitor.window.buttons["personalise"].invoke()
    assert told == ["learning your hand: 25 %", "learning your hand: 50 %"]
    update_until(visitor.root, lambda: visitor.status == "learned")
    assert visitor.window.answer.digit == 4
    assert len(visitor.window.sketch.strokes) == 1


def test_why_a_hand_is_not_learned_is_said(opened: Opener) -> None:
    def refuse(on_step: Callable[[float], None]) -> Any:
        raise StorageError("the disk is full", "free some space")

    visitor = opened(personalise=refuse)
    visitor.key("p")
    assert visitor.status == "! not learned: the disk is full; free some space"


def test_closing_the_window_ends_the_learning(opened: Opener) -> None:
    steps: list[float] = []

    def learn(on_step: Callable[[float], None]) -> Any:
        for step in range(100):
            if step == 3:
                visitor.key("Escape")
            on_step(step / 100)
            steps.append(step)
        return visitor.window._predictors, "learned"

    visitor = opened(personalise=learn)
    visitor.root.after(1, lambda: visitor.key("p"))
    visitor.window.run()
    assert len(steps) == 3


def test_escape_waits_for_nothing(opened: Opener) -> None:
    done: list[str] = []

    def slow_map(picture: Picture, digit: int) -> Any:
        done.append("map")
        return uniform_map(picture, digit)

    visitor = opened(*[width_reader] * 4, explain=slow_map)
    visitor.key("m")
    visitor.draw(*LINE)
    visitor.key("1")
    visitor.root.after(1, lambda: visitor.key("Escape"))
    visitor.window.run()
    assert done == []
    assert [drawing.label for drawing in visitor.kept] == [1]


def test_a_mistake_inside_closes_the_window_and_is_raised(opened: Opener, capfd: pytest.CaptureFixture[str]) -> None:
    def broken(picture: Picture) -> Probabilities:
        raise ZeroDivisionError("a mistake")

    visitor = opened(broken)
    visitor.root.after(1, lambda: visitor.draw(*LINE))
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        visitor.window.run()
    assert capfd.readouterr().err == ""


def test_a_real_network_answers_and_explains(opened: Opener, compute: Compute) -> None:
    torch.manual_seed(0)
    model = build_model("3-layer").to(compute.device)

    def predict(picture: Picture) -> Probabilities:
        logits = predict_logits(model, torch.from_numpy(picture)[None, None], compute)
        probabilities: Probabilities = logits.double().softmax(dim=1)[0].numpy()
        return probabilities

    def explain(picture: Picture, digit: int) -> Any:
        images = torch.from_numpy(picture)[None, None]
        return attribute(model, images, torch.tensor([digit]), "gradient", compute)[0]

    visitor = opened(predict, explain=explain)
    visitor.key("m")
    visitor.draw(*CORNER)
    visitor.settle()
    (shown,) = visitor.window.answer.probabilities
    assert shown.sum() == pytest.approx(1)
    assert np.array_equal(shown, predict(seen(visitor.canvas.sketch.drawing(), Wobble())))
    assert visitor.sentence.startswith(("a ", "an "))
    tile = visitor.window.panels[0].tile
    colours = {tile.image.get(x, y) for x in range(0, 100, 5) for y in range(0, 100, 5)}
    assert any(red != blue for red, _, blue in colours)


def test_a_person_draws_and_the_prediction_changes_while_the_button_is_down(guest: Callable[..., Guest]) -> None:
    person = guest()
    left, top = person.find()
    canvas = plan_layout(1366, 768, 1.0, 1).canvas

    def at(x: float, y: float) -> list[str]:
        scale = canvas.width / CANVAS
        return ["mousemove", str(round(left + canvas.x + x * scale)), str(round(top + canvas.y + y * scale))]

    person.xdotool(*at(80, 60), "mousedown", "1")
    person.xdotool(*itertools.chain.from_iterable(at(80, y) for y in range(65, 230, 5)))
    person.wait(lambda: person.notes()[-1] == {"reads": 1})
    person.xdotool(*itertools.chain.from_iterable(at(x, 225) for x in range(85, 230, 5)))
    person.wait(lambda: person.notes()[-1] == {"reads": 7})
    person.xdotool("mouseup", "1", "key", "s")
    person.wait_for_note(saved=1)
    person.xdotool("key", "7")
    person.wait_for_note(kept=7)
    person.xdotool("key", "z", "key", "ctrl+y", *at(40, 40), "click", "1", "key", "s")
    person.wait_for_note(saved=2)
    person.xdotool("key", "c", "key", "s", "key", "z", "key", "z", "key", "s")
    person.wait(lambda: [note["saved"] for note in person.notes() if "saved" in note] == [1, 2, 1])
    person.xdotool("key", "Escape")
    assert person.process.wait(PATIENCE) == 0
    assert person.notes()[-1] == {"closed": 0, "threads": 1, "widgets": 0}
    assert person.err.read_text() == ""


def test_ten_openings_in_one_process(guest: Callable[..., Guest]) -> None:
    person = guest(rounds=10)
    for number in range(10):
        person.wait_for_note(opening=number)
        left, top = person.find()
        person.xdotool("mousemove", str(left + 100), str(top + 100), "click", "1", "key", "Escape")
    assert person.process.wait(PATIENCE) == 0
    closed = [note for note in person.notes() if "closed" in note]
    assert closed == [{"closed": number, "threads": 1, "widgets": 0} for number in range(10)]
    assert person.err.read_text() == ""


def test_the_cross_closes_it(opened: Opener) -> None:
    visitor = opened()
    protocol = visitor.root.protocol("WM_DELETE_WINDOW")
    visitor.root.after(1, lambda: visitor.root.tk.call(protocol))
    visitor.window.run()
    assert visitor.window.error is None


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
def test_ctrl_c_in_the_terminal_is_not_slept_through(guest: Callable[..., Guest]) -> None:
    person = guest()
    left, top = person.find()
    person.xdotool("mousemove", str(left + 100), str(top + 100), "click", "1")
    person.wait_for_note(reads=7)  # from here on no event comes
    person.process.send_signal(signal.SIGINT)
    assert person.process.wait(PATIENCE) != 0
    assert person.err.read_text().splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these always have a display")
@pytest.mark.parametrize("display", [None, ":4321"])
def test_no_display_is_reported_in_one_line(display: str | None) -> None:
    done = run_python(f"{OPEN}\nattempt()", DISPLAY=display)
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    for words in ("LabError: no window can be opened", "ssh -X", "python main.py predict IMAGE"):
        assert words in done.stdout


def test_a_missing_tkinter_is_reported_in_one_line() -> None:
    done = run_python(f"import sys; sys.modules['tkinter'] = None\n{OPEN}\nattempt()")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    for words in ("LabError: this Python has no tkinter", "install", "python main.py predict IMAGE"):
        assert words in done.stdout


SHARP = """
from __future__ import annotations
import ctypes, json, os, _tkinter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from types import SimpleNamespace
import numpy as np
from mnist_lab.drawing.window.answer import Predictor
from mnist_lab.drawing.window.app import Window
from mnist_lab.drawing.window.screen import new_root

x11 = ctypes.CDLL(_tkinter.__file__)
x11.XOpenDisplay.restype = x11.XDefaultRootWindow.restype = ctypes.c_void_p
display = ctypes.c_void_p(x11.XOpenDisplay(None))
root = ctypes.c_void_p(x11.XDefaultRootWindow(display))
resource_manager, string, replacing = ctypes.c_long(23), ctypes.c_long(31), 0  # Xatom.h, X.h
x11.XChangeProperty(display, root, resource_manager, string, 8, replacing, b"Xft.dpi:\\t192\\n", 13)
x11.XCloseDisplay(display)

root = new_root()
rest = [lambda picture, digit: picture, "map", *[None] * 5]
predictors = [Predictor("3-layer", lambda pictures: [np.full(10, 0.1)] * len(pictures), *rest)]
window = Window(root, predictors, SimpleNamespace(reject=lambda *seen: None))
root.update()
height = window.theme.text.metrics("linespace") / window.layout.px(13)
lost = cut_off(window)
window.buttons["xray"].invoke()
root.update()
side = window.xray.stages[0].image.width()
print(json.dumps([window.layout.scale, height, lost + cut_off(window), side]))
"""


def test_sharp_screens_get_a_sharp_window() -> None:
    """Where the desktop has chosen 192 dots per inch, as X11 desktops tell (``xrdb``)."""
    server, name = start_screen("3840x2160")
    try:
        code = SHARP.replace("root = new_root", f"{inspect.getsource(cut_off)}\n\nroot = new_root")
        done = run_python(code, DISPLAY=name)
    finally:
        server.terminate()
        server.wait()
    assert done.stderr == ""
    scale, height, lost, side = json.loads(done.stdout)
    assert (scale, lost) == (2 * LARGEST, [])
    assert side >= 2 * LARGEST * 84 - 28  # a picture of the X-ray has the pixels that the screen has for it
    assert height == pytest.approx(1.17, abs=0.1)  # of a line, for each pixel of its font


@pytest.mark.parametrize(
    ("key", "modified", "shifted", "command"),
    [
        ("z", False, False, "undo"),
        ("Z", False, False, "undo"),
        ("z", True, False, "undo"),
        ("Z", True, True, "redo"),
        ("y", True, False, "redo"),
        ("y", False, False, "redo"),
        ("c", False, False, "clear"),
        ("c", True, False, None),  # out of habit, to copy
        ("s", False, False, "save"),
        ("m", False, False, "map"),
        ("x", False, False, "xray"),
        ("x", True, False, None),  # out of habit, to cut
        ("r", False, False, "reset"),
        ("Escape", False, False, "close"),
        ("7", False, False, "7"),
        ("KP_0", False, False, "0"),
        ("7", True, False, None),
        ("F7", False, False, None),
        ("question", False, True, "help"),
        ("F1", False, False, "help"),
        ("H", False, False, "help"),
        ("F11", False, False, "full screen"),
        ("BackSpace", False, False, "take back"),
        ("BackSpace", True, False, None),
        ("KP_Enter", False, False, None),
        ("", False, False, None),
    ],
)
def test_keys(key: str, modified: bool, shifted: bool, command: str | None) -> None:
    assert command_for(key, modified=modified, shifted=shifted) == command


def test_a_display_that_vanishes_ends_the_program_after_what_was_kept(guest: Callable[..., Guest]) -> None:
    server, display = start_screen()
    try:
        person = guest(display)
        left, top = person.find()
        person.xdotool("mousemove", str(left + 100), str(top + 100), "click", "1", "key", "7")
        person.wait_for_note(kept=7)
        server.kill()
        assert person.process.wait(PATIENCE) != 0
    finally:
        server.kill()
        server.wait()

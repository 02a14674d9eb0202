"""The real window, with real mouse and key events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mnist_lab.drawing.preprocess import Picture, Wobble, to_mnist
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.drawing.window.answer import Probabilities, Question
from mnist_lab.errors import StorageError
from mnist_lab.explain.saliency import attribute
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import build_model
from tests.drawing.test_preprocess import seen
from tests.windows import (
    CORNER,
    LINE,
    Opener,
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


def test_the_cross_closes_it(opened: Opener) -> None:
    visitor = opened()
    protocol = visitor.root.protocol("WM_DELETE_WINDOW")
    visitor.root.after(1, lambda: visitor.root.tk.call(protocol))
    visitor.window.run()
    assert visitor.window.error is None

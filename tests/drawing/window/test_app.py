"""The real window, with real mouse and key events."""

from __future__ import annotations

import itertools
import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_lab.drawing.strokes import CANVAS, MAX_POINTS, Drawing, Picture, to_mnist
from mnist_lab.drawing.window.app import Voter, open_window
from mnist_lab.drawing.window.layout import plan_layout
from mnist_lab.drawing.window.widgets import Probabilities
from mnist_lab.drawing.wobble import Wobble
from mnist_lab.errors import RequestError, StorageError
from mnist_lab.explain.saliency import attribute
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.inference import predict_logits
from mnist_lab.networks.models import build_model
from tests.drawing.test_wobble import seen
from tests.terminal.test_wording import PROBABILITIES
from tests.windows import (
    CORNER,
    LINE,
    PATIENCE,
    Guest,
    Opener,
    cut_off,
    option,
    run_python,
    uniform_map,
    width_reader,
)

pytest_plugins = ["tests.window_fixtures"]


def test_torch_stays_out_of_the_window() -> None:
    done = run_python("import sys, mnist_lab.drawing.window.app; print('torch' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_only_voters_that_can_be_told_apart_are_taken() -> None:
    def unsure(picture: Picture) -> Probabilities:
        return np.full(10, 0.1)

    for names in ([], ["a", "b", "c", "d", "e"], ["a", "b", "a"]):
        with pytest.raises(RequestError):
            open_window([Voter(name, unsure) for name in names], save=lambda snapshot: Path(), keep=lambda drawing: "")


def test_predictions_follow_while_the_button_is_down(opened: Opener) -> None:
    visitor = opened()
    assert visitor.sentence == "draw a digit with mouse or pen"
    visitor.draw(*LINE, lift=False)
    visitor.settle()
    assert visitor.sentence == "a 1"
    visitor.pen("<Motion>", 260, 220)
    visitor.settle()
    assert visitor.sentence == "a 7"
    assert visitor.window.paper.sketch.can_undo
    visitor.pen("<ButtonRelease-1>", 260, 220)
    drawing = visitor.paper.sketch.drawing()
    assert np.vstack(drawing.strokes) == pytest.approx(np.array([*LINE, CORNER[-1]]), abs=0.9)
    expected = to_mnist(drawing)
    assert expected is not None
    assert np.array_equal(visitor.seen[-1], expected)


def test_a_click_is_a_dot_and_is_read(opened: Opener) -> None:
    visitor = opened()
    visitor.draw((100.0, 100.0))
    visitor.settle()
    assert [len(stroke) for stroke in visitor.paper.sketch.strokes] == [1]
    assert len(visitor.seen) == 1
    assert len(visitor.paper.canvas.find_all()) == 1


def test_a_burst_of_motion_is_one_prediction_for_the_newest_strokes(opened: Opener) -> None:
    visitor = opened()
    points = [(20 + step / 2, 140 + 100 * math.sin(step / 40)) for step in range(400)]
    visitor.draw(*points, lift=False)
    assert visitor.seen == []  # the pen comes first
    assert len(visitor.paper.canvas.find_withtag("growing")) > 300
    visitor.settle()
    expected = to_mnist(visitor.paper.sketch.drawing())
    assert len(visitor.seen) == 1
    assert expected is not None
    assert np.array_equal(visitor.seen[0], expected)


def test_a_slow_voter_queues_nothing_and_is_asked_about_the_newest_strokes(opened: Opener) -> None:
    points_then: list[int] = []

    def slow(picture: Picture) -> Probabilities:
        points_then.append(len(visitor.paper.sketch.strokes[0]))
        expected = to_mnist(visitor.paper.sketch.drawing())
        assert expected is not None
        assert np.array_equal(picture, expected)
        time.sleep(0.1)
        return np.full(10, 0.1)

    visitor = opened(slow)
    visitor.draw((20.0, 140.0), lift=False)
    for step in range(60):
        visitor.pen("<Motion>", 30 + 4 * step, 100 + step)
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
        assert (visitor.window.picture is None) == blank
        assert len(visitor.paper.canvas.find_withtag("ink")) == counts[-1]
        assert len(visitor.paper.canvas.find_withtag("hint")) == int(blank)
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
    assert visitor.paper.sketch.strokes == ()
    assert visitor.paper.canvas.find_withtag("growing") == ()


def test_a_digit_key_labels_the_drawing_once(opened: Opener) -> None:
    visitor = opened()
    visitor.key("3")
    assert "nothing to keep" in visitor.status
    visitor.draw(*LINE)
    drawing = visitor.paper.sketch.drawing()
    visitor.refusal = StorageError("the disk is full", "free some space")
    visitor.key("1")
    assert visitor.status == "! not kept: the disk is full; free some space"
    visitor.refusal = None
    visitor.key("1")
    assert visitor.status == "kept as a 1"
    visitor.key("2")
    assert "already kept as a 1" in visitor.status
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
    visitor.window.sliders["right"].set(2)
    visitor.key("s")  # before the prediction's turn has come
    (snapshot,) = visitor.saved
    drawing = snapshot.drawing
    assert drawing == visitor.paper.sketch.drawing()
    assert (snapshot.brush, snapshot.wobble) == (33.0, Wobble(right=2))
    assert np.array_equal(snapshot.picture, seen(drawing, Wobble(right=2)))
    assert np.array_equal(snapshot.probabilities[0], width_reader(snapshot.picture))
    assert visitor.status == "saved in outputs/drawing-7"
    visitor.refusal = StorageError("the disk is full", "free some space")
    visitor.window.buttons["save"].invoke()
    assert visitor.status == "! not saved: the disk is full; free some space"
    assert visitor.paper.sketch.drawing() == drawing
    assert visitor.window.error is None


def test_sliders_wobble_what_the_networks_see_and_r_resets_them(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.settle()
    assert visitor.sentence == "a 1"
    strokes = visitor.paper.sketch.strokes
    visitor.window.sliders["turn"].set(89.6)
    visitor.window.sliders["stroke"].set(151)
    visitor.settle()
    assert visitor.window.wobble == Wobble(turn=90, stroke=150)
    assert visitor.sentence == "a 7"
    assert visitor.paper.sketch.strokes == strokes
    assert np.array_equal(visitor.seen[-1], seen(Drawing(strokes), Wobble(turn=90, stroke=150)))
    visitor.key("r")
    visitor.settle()
    assert visitor.window.wobble == Wobble()
    assert visitor.sentence == "a 1"


def test_a_handle_can_be_dragged(opened: Opener) -> None:
    visitor = opened()
    scale = visitor.window.sliders["right"].scale
    x, y = (int(number) for number in scale.coords())
    scale.event_generate("<Enter>", x=x, y=y)
    scale.event_generate("<Button-1>", x=x, y=y)
    scale.event_generate("<Motion>", x=x + 30, y=y, state=0x100)
    scale.event_generate("<ButtonRelease-1>", x=x + 30, y=y)
    assert visitor.window.wobble.right > 0


def test_the_brush_changes_the_ink_that_is_there(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    (item,) = visitor.paper.canvas.find_withtag("ink")
    before = float(option(visitor.paper.canvas, item, "width"))
    visitor.window._set_brush(40.0)
    (item,) = visitor.paper.canvas.find_withtag("ink")
    assert float(option(visitor.paper.canvas, item, "width")) == pytest.approx(2 * before)


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
    tile = visitor.window.ballots[0].tile
    assert tile is not None
    assert tile._image.get(0, 0) == (0x56, 0xB4, 0xE9)
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


def test_a_voter_without_maps_has_none(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    visitor.key("m")
    visitor.settle()
    assert visitor.window.ballots[0].tile is None
    assert "map" not in visitor.window.buttons
    assert visitor.window.error is None


def test_what_is_probably_no_digit_is_called_so(opened: Opener) -> None:
    def judge(picture: Picture, probabilities: Any) -> str | None:
        assert len(probabilities) == 2
        return "probably no digit" if probabilities[0][7] > 0.5 else None

    visitor = opened(width_reader, width_reader, judge=judge)
    visitor.draw(*LINE, lift=False)
    visitor.settle()
    assert visitor.sentence == "both say 1"
    visitor.pen("<Motion>", 260, 220)
    visitor.settle()
    assert visitor.sentence == "▲ probably no digit"


def test_bars_carry_their_numbers(opened: Opener) -> None:
    visitor = opened()
    ballot = visitor.window.ballots[0]
    visitor.draw(*LINE)
    visitor.settle()
    texts = [option(ballot.canvas, number, "text") for _, _, number, _ in ballot._rows]
    assert texts == ["2.0 %", "82.0 %", *["2.0 %"] * 8]
    widths = [np.ptp(ballot.canvas.coords(bar)[::2]) for _, bar, _, _ in ballot._rows]
    assert widths[1] == pytest.approx(41 * widths[0], rel=1e-3)
    assert option(ballot.canvas, ballot._mark, "state") == "normal"
    visitor.key("c")
    visitor.settle()
    assert [option(ballot.canvas, number, "text") for _, _, number, _ in ballot._rows] == [""] * 10
    assert option(ballot.canvas, ballot._digit, "text") == ""


def test_a_probability_reads_as_it_does_in_figures(opened: Opener) -> None:
    visitor = opened(lambda picture: np.array(list(PROBABILITIES)))
    visitor.draw(*LINE)
    visitor.settle()
    ballot = visitor.window.ballots[0]
    assert [option(ballot.canvas, number, "text") for _, _, number, _ in ballot._rows] == list(PROBABILITIES.values())
    visitor.key("x")
    visitor.settle()
    panel = visitor.window.xray
    assert option(panel.canvas, panel.result.certainty, "text") == "100.0 %"


def test_the_widest_number_stands_clear_of_its_bar(opened: Opener) -> None:
    visitor = opened(lambda picture: np.array([0.9996, *[0.0] * 9]))
    visitor.draw(*LINE)
    visitor.settle()
    ballot = visitor.window.ballots[0]
    number = ballot._rows[0][2]
    assert option(ballot.canvas, number, "text") == "> 99.9 %"
    assert ballot.canvas.bbox(number)[0] > ballot._bar_right


@pytest.mark.parametrize("voters", [1, 2, 3, 4])
def test_nothing_is_cut_off(opened: Opener, voters: int) -> None:
    visitor = opened(*[width_reader] * voters, explain=uniform_map)
    visitor.draw(*CORNER)
    visitor.settle()
    assert cut_off(visitor.window) == []


def test_a_full_drawing_takes_no_more_and_says_so(opened: Opener) -> None:
    visitor = opened()
    sketch = visitor.paper.sketch
    sketch.begin(5, 5)
    for step in range(MAX_POINTS - 1):
        sketch._growing.append((5.0 + step % 7, 6.0))
    sketch.end()
    visitor.draw(*LINE)
    assert "as many lines as it can hold" in visitor.status
    assert len(sketch.strokes) == 1
    assert visitor.window.error is None


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
    (shown,) = visitor.window.probabilities
    assert shown.sum() == pytest.approx(1)
    assert np.array_equal(shown, predict(seen(visitor.paper.sketch.drawing(), Wobble())))
    assert visitor.sentence.startswith(("a ", "an "))
    tile = visitor.window.ballots[0].tile
    assert tile is not None
    colours = {tile._image.get(x, y) for x in range(0, 100, 5) for y in range(0, 100, 5)}
    assert any(red != blue for red, _, blue in colours)


def test_a_person_draws_and_the_prediction_changes_while_the_button_is_down(guest: Callable[..., Guest]) -> None:
    person = guest()
    left, top = person.find()
    paper = plan_layout(1366, 768, 1.0, 1).paper

    def at(x: float, y: float) -> list[str]:
        scale = paper.width / CANVAS
        return ["mousemove", str(round(left + paper.left + x * scale)), str(round(top + paper.top + y * scale))]

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


def test_no_threads_were_started(opened: Opener) -> None:
    before = threading.active_count()
    visitor = opened()
    visitor.draw(*LINE)
    visitor.settle()
    assert threading.active_count() == before

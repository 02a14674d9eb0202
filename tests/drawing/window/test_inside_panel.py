"""The inside of a network in the real window: what it shows is what torch computes, whatever is clicked and pressed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL.ImageColor import getrgb
from torch import Tensor, nn

from mnist_lab.data.mnist import Mnist
from mnist_lab.drawing.preprocess import Picture, to_mnist
from mnist_lab.drawing.window import widgets
from mnist_lab.drawing.window.inside_maps import CROSS_COLOUR, SILENT_COLOUR
from mnist_lab.drawing.window.inside_panel import _LOGITS, PAGES, InsidePanel, Spot
from mnist_lab.errors import TrainingError
from mnist_lab.explain.inside import Survey, first_kernels, number, opened, surveying
from mnist_lab.explain.neighbours import Nearest, Neighbours
from mnist_lab.networks.models import ConvBlock, DigitNet, build_model
from mnist_lab.plotting import ORANGE, tinted
from mnist_lab.terminal.wording import format_probability
from tests.explain.test_inside import hooked, lively
from tests.windows import CORNER, LINE, Interior, Opener, Visitor, cut_off, option, overlapping, texts_on

pytest_plugins = ["tests.window_fixtures"]
pytestmark = pytest.mark.integration

Inner = Callable[..., Interior]


@pytest.fixture
def interior(mnist: Mnist) -> Inner:
    """A network to look into: its weights are random, and so is what batch normalisation makes of them."""
    digits = mnist.validation.subset(torch.arange(100))

    def make(name: str = "3-layer", change: Callable[[DigitNet], object] = lambda model: None) -> Interior:
        model = lively(build_model(name, seed=5))
        with torch.no_grad():
            change(model)

        def survey_of(model: DigitNet) -> Iterator[Survey | None]:
            return surveying(model, digits)

        def neighbours(picture: Picture) -> Neighbours:
            labels = np.full(8, 7)
            images = np.repeat(picture[np.newaxis], 8, axis=0)
            pixels = Nearest(np.arange(8), labels, np.zeros(8, np.float32), images)
            labels = np.array([7, 7, 1, 7, 7, 7, 9, 7])
            return Neighbours(Nearest(np.arange(8), labels, np.zeros(8, np.float32), images), pixels)

        return Interior(opened(model), opened(build_model(name, seed=5)), survey_of, neighbours)

    return make


def look_into(opened: Opener, *interiors: Interior) -> Visitor:
    """A window with a drawing, and the view of its networks' inside."""
    visitor = opened(interiors=interiors)
    visitor.draw(*CORNER)
    visitor.key("i")
    visitor.settle()
    return visitor


def panel_of(visitor: Visitor) -> InsidePanel:
    return cast(InsidePanel, visitor.window.views["inside"])


def texts(visitor: Visitor, tag: str) -> list[str]:
    return texts_on(panel_of(visitor).canvas, tag)


def click(visitor: Visitor, spot: Spot) -> None:
    """Press the mouse in the middle of a value."""
    panel = panel_of(visitor)
    left, top, right, bottom = panel._box_of(spot)
    panel.canvas.event_generate("<Button-1>", x=int((left + right) / 2), y=int((top + bottom) / 2))
    visitor.settle()


def layers_of(visitor: Visitor) -> tuple[list[Tensor], Tensor]:
    """By hooks: what all layers that can be clicked put out, (C, S, S), for the picture that is shown; the logits."""
    answer, looking = visitor.window.answer, visitor.window.looking
    assert answer.picture is not None
    assert answer.question.drawing == visitor.canvas.sketch.drawing()  # the newest strokes
    expected = to_mnist(answer.places[answer.chosen].source)  # scribbles may be taken for several digits
    assert expected is not None
    assert np.array_equal(answer.picture, expected)
    model = looking.look.into(visitor.window._predictors)
    found = hooked(model, answer.picture)
    maps = [found[f"blocks.{block}.relu"] for block in range(len(model.blocks))]
    return [*maps, found["classifier.2"].view(-1, 1, 1)], found["classifier.4"]


def agrees(visitor: Visitor) -> None:
    """All numbers that are shown are those of the hooks, and add up."""
    layers, logits = layers_of(visitor)
    winner, place = int(logits.argmax()), visitor.window.looking.look.place
    assert texts(visitor, "logit") == [number(float(logit), 2) for logit in logits]
    probability = float(logits.double().softmax(dim=0)[winner])
    assert texts(visitor, "probability") == [f"{winner}: {format_probability(probability)}"]
    assert int(visitor.window.answer.probabilities[place].argmax()) == winner
    assert re.search(rf"\ban? {winner}\b", visitor.sentence) or visitor.sentence.startswith("▲")
    silent = [f"{int((layer.amax(dim=(1, 2)) == 0).sum())} silent" for layer in layers]
    assert [text.split("\n")[1] for text in texts(visitor, "silent")] == silent
    spot = visitor.window.looking.spot
    if spot is None:
        assert texts(visitor, "hint")
        return
    (said,) = texts(visitor, "value")
    shown = said.rpartition("  ")[2]
    if spot.layer < len(layers):
        assert shown == number(float(layers[spot.layer][spot[1:]]))
    else:
        assert shown == number(float(logits[spot.filter]))
    adds_up(visitor, spot, shown, blocks=len(layers) - 1)


def adds_up(visitor: Visitor, spot: Spot, shown: str, blocks: int) -> None:
    def thousandths(text: str) -> int:
        return int(text.replace("−", "-").replace("+", "").replace(".", ""))

    parts = sum(map(thousandths, " ".join(texts(visitor, "part")).split()))
    if spot.layer < blocks:
        assert any("products may differ in the last digit" in text for text in texts(visitor, "live"))
        steps = texts(visitor, "step")
        assert steps[-1] == shown
        others = thousandths(steps[0]) if spot.layer else 0
        assert parts + others == thousandths(steps[1 if spot.layer else 0])
    elif spot.layer > blocks:
        (rest,) = texts(visitor, "rest")
        these, others, bias, total = map(thousandths, re.findall(r"[−+]?\d+\.\d{3}", rest))
        assert these == parts
        assert total == thousandths(shown) == parts + others + bias


@pytest.mark.parametrize("name", ["1-layer", "2-layer", "3-layer"])
def test_any_value_that_is_clicked_is_torchs_own(opened: Opener, interior: Inner, name: str) -> None:
    visitor, chance = look_into(opened, interior(name)), random.Random(name)
    agrees(visitor)
    layers, _ = layers_of(visitor)
    for layer, maps in enumerate([*layers, torch.zeros(10, 1, 1)]):
        for _ in range(8):
            spot = Spot(layer, *(chance.randrange(size) for size in maps.shape))
            click(visitor, spot)
            assert visitor.window.looking.spot == spot
            agrees(visitor)
    panel = panel_of(visitor)
    panel.canvas.event_generate("<Button-1>", x=3, y=3)
    visitor.settle()
    assert visitor.window.looking.spot is None


def test_whatever_happens_nothing_is_stale(opened: Opener, interior: Inner) -> None:
    visitor, chance = opened(interiors=[interior(), interior("1-layer")]), random.Random(7)
    visitor.key("i")
    visitor.draw(*LINE)
    visitor.settle()
    panel = panel_of(visitor)
    spots = [Spot(0, 3, 5, 5), Spot(1, 9, 2, 3), Spot(2, 4), Spot(2, 100, 2, 1)]
    events: list[Callable[[], object]] = [
        lambda: visitor.draw(*((chance.uniform(20, 260), chance.uniform(20, 260)) for _ in range(4))),
        lambda: visitor.draw((50.0, 50.0), (chance.uniform(20, 260), 200.0), lift=False),
        lambda: visitor.key("z"),
        lambda: visitor.key("y"),
        lambda: visitor.key("c"),
        lambda: visitor.key("i", "i"),
        lambda: visitor.key("x", "i"),
        panel.buttons["untrained"].invoke,
        panel.buttons["order"].invoke,
        panel.buttons["network"].invoke,
        lambda: click(visitor, chance.choice(spots[:2] if visitor.window.looking.look.place else spots)),
        lambda: panel._move(chance.choice((-1, 1)), 0),
        lambda: panel._move(0, chance.choice((-1, 1))),
    ]
    shown = 0
    for _ in range(50):
        chance.choice(events)()
        visitor.settle()
        assert visitor.window.answer.question == visitor.window._question()
        if visitor.window.answer.picture is not None:
            agrees(visitor)
            shown += 1
    assert shown > 15
    assert visitor.window.error is None


def test_it_follows_the_moving_pen_with_the_same_filter_and_place(opened: Opener, interior: Inner) -> None:
    visitor = opened(interiors=[interior()])
    visitor.draw(*LINE, lift=False)
    visitor.key("i")
    visitor.settle()
    click(visitor, Spot(1, 7, 3, 3))
    before = texts(visitor, "value")
    visitor.pen("<Motion>", 260, 220)
    visitor.settle()
    assert texts(visitor, "value") != before
    assert visitor.window.looking.spot == Spot(1, 7, 3, 3)
    agrees(visitor)


def test_frames_show_where_a_value_looks(opened: Opener, interior: Inner) -> None:
    visitor = look_into(opened, interior())
    panel = panel_of(visitor)
    click(visitor, Spot(0, 4, 6, 5))
    around, ink = (panel.canvas.coords(item) for item in panel.canvas.find_withtag("frame"))
    zoom = panel._columns[0].zoom
    assert (ink[2] - panel._left - 10 * zoom - 4 * zoom, ink[3] - panel._top - 12 * zoom - 4 * zoom) == (0, 0)
    assert around[2:] == list(panel._box_of(Spot(0, 4, 6, 5))[2:])
    click(visitor, Spot(1, 20, 2, 2))
    assert len(panel.canvas.find_withtag("frame")) == 1 + 1 + 3  # itself, the ink, and the three maps before it
    click(visitor, Spot(4, 3))
    assert len(panel.canvas.find_withtag("frame")) == 1


def test_silent_and_dead_filters_are_marked_differently(opened: Opener, interior: Inner) -> None:
    def kill(model: DigitNet) -> None:
        norm = cast(nn.BatchNorm2d, cast(ConvBlock, model.blocks[1]).norm)
        norm.weight[4], norm.bias[4] = 0.0, -1.0

    visitor = opened(interiors=[interior("3-layer", kill)])
    visitor.draw(*LINE)
    visitor.key("i")
    visitor.root.update()
    assert texts(visitor, "legend") == ["…"]
    visitor.settle()
    assert any("100 validation digits" in text for text in texts(visitor, "legend"))
    panel, answer = panel_of(visitor), visitor.window.answer
    assert answer.inside is not None
    picture = panel.pictures[0]
    found = visitor.window.looking.surveys[visitor.window.looking.look]
    counts = {"dead": 0, "silent": 0, "answers": 0}
    for layer, maps in enumerate(answer.inside.layers):
        for filter, values in enumerate(maps):
            left, top, _, _ = panel._box_of(Spot(layer, filter))
            span = panel._columns[layer + 1].pitch - 1
            x, y = int(left) - panel._left, int(top) - panel._top
            middle, edge = picture.get(x + 1, y + 1), picture.get(x + span // 2, y)
            is_dead = bool(found.dead(layer)[filter])
            if values.max() > 0:
                counts["answers"] += 1
                assert len(set(edge)) == len(set(middle)) == 1  # a grey
            else:
                counts["dead" if is_dead else "silent"] += 1
                assert (middle, edge) == (getrgb(CROSS_COLOUR if is_dead else SILENT_COLOUR), getrgb(SILENT_COLOUR))
    assert min(counts.values()) > 0
    assert found.dead(1)[4]


def test_the_untrained_network_takes_the_place_of_the_trained_one(opened: Opener, interior: Inner) -> None:
    visitor = look_into(opened, interior())
    click(visitor, Spot(1, 7, 3, 3))
    trained = texts(visitor, "value")
    panel_of(visitor).buttons["untrained"].invoke()
    visitor.settle()
    assert visitor.sentence.startswith("untrained network: ")
    assert panel_of(visitor).buttons["untrained"].instate(["selected"])
    assert texts(visitor, "value") != trained
    agrees(visitor)  # layers_of has the hooks on the untrained one
    untrained = hooked(build_model("3-layer", seed=5).eval(), cast(Picture, visitor.window.answer.picture))
    assert texts(visitor, "value")[0].endswith(number(float(untrained["blocks.1.relu"][7, 3, 3])))
    visitor.key("7")
    assert [kept.label for kept in visitor.kept] == [7]
    assert "the network says" not in visitor.status  # the trained one reads it as a 7
    visitor.key("i")
    visitor.settle()
    assert visitor.sentence == "a 7"


def test_sorted_by_strength_the_strongest_comes_first(opened: Opener, interior: Inner) -> None:
    visitor = look_into(opened, interior())
    panel = panel_of(visitor)
    panel.buttons["order"].invoke()
    visitor.settle()
    assert panel.buttons["order"].instate(["selected"])
    layers, _ = layers_of(visitor)
    for layer, maps in enumerate(layers):
        strongest = int(maps.mean(dim=(1, 2)).argmax())
        left, top = panel._columns[layer + 1].corner(0)
        spot = panel._spot_at(panel._left + left, panel._top + top)
        assert spot == Spot(layer, strongest)
    panel.buttons["order"].invoke()
    visitor.settle()
    assert panel._spot_at(panel._left + panel._columns[1].left, panel._top) == Spot(0, 0)


def test_everything_is_reached_by_keyboard(opened: Opener, interior: Inner) -> None:
    visitor = look_into(opened, interior())
    panel, reached = panel_of(visitor), set()
    widget: Any = visitor.canvas.canvas.tk_focusNext()
    while widget not in reached:
        reached.add(widget)
        widget = widget.tk_focusNext()
    assert {panel.canvas, *panel.buttons.values()} <= reached
    assert not {slider.scale for slider in visitor.window.sliders.values()} & reached  # covered
    panel.canvas.focus_force()
    steps = [("Right", Spot(0, 0)), ("Right", Spot(0, 0, 0, 1)), ("Down", Spot(0, 0, 1, 1)), ("Left", Spot(0, 0, 1, 0))]
    for key, expected in [*steps, ("Left", Spot(0, 0, 1, 0))]:  # nothing lies left of it
        panel.canvas.event_generate("<Key>", keysym=key)
        visitor.settle()
        assert visitor.window.looking.spot == expected
        agrees(visitor)
    layers = set()
    for _ in range(400):
        panel.canvas.event_generate("<Key>", keysym="Right")
        assert visitor.window.looking.spot is not None
        layers.add(visitor.window.looking.spot.layer)
    assert layers == {0, 1, 2, 3, 4}
    panel.canvas.event_generate("<Key>", keysym="Return")
    assert visitor.root.focus_get() is visitor.canvas.canvas
    panel.buttons["kernels"].focus_force()
    panel.buttons["kernels"].event_generate("<Key>", keysym="Return")
    assert visitor.window.looking.page == "kernels"


@pytest.mark.parametrize("networks", [1, 2, 4])
def test_nothing_is_cut_off_at_any_size(opened: Opener, interior: Inner, networks: int) -> None:
    visitor = look_into(opened, *[interior()] * networks)
    for size in [visitor.root.minsize(), (1024, 600), (1920, 1080), (1030, 1300), (2400, 560)]:
        visitor.resize(*size)
        panel = panel_of(visitor)
        for page in PAGES:
            panel.buttons[page].invoke()
            visitor.settle()
            spots = [None, Spot(0, 3, 6, 6), Spot(2, 5, 1, 1), Spot(3, 20), Spot(4, 7)] if page == "maps" else [None]
            for spot in spots:
                visitor.window.looking.spot = spot
                panel.show(visitor.window.answer)
                if page == "nearest":
                    panel.rest()
                visitor.root.update()
                assert cut_off(visitor.window, on_screen=False) == [], (size, page, spot)
                assert overlapping(panel.canvas, max(2, panel.px(2))) == [], (size, page, spot)
        heads = [button.winfo_x() + button.master.winfo_x() for button in panel.buttons.values()]
        ends = [x + button.winfo_width() for x, button in zip(heads, panel.buttons.values(), strict=True)]
        assert all(end <= start for end, start in zip(ends, heads[1:], strict=False)), (size, heads, ends)
        panel.buttons["maps"].invoke()


@pytest.mark.parametrize("size", [(1024, 600), (1920, 1080)], ids=str)
def test_what_is_shown_fills_its_room(opened: Opener, interior: Inner, size: tuple[int, int]) -> None:
    visitor = look_into(opened, interior())
    visitor.resize(*size)
    click(visitor, Spot(4, 7))
    assert len(texts(visitor, "part")) >= 8
    panel = panel_of(visitor)
    panel.buttons["kernels"].invoke()
    visitor.settle()
    assert min(picture.height() for picture in panel.pictures) > 0.55 * panel.height
    panel.buttons["nearest"].invoke()
    visitor.settle()
    assert sum(picture.width() for picture in panel.pictures) > 2 * 0.65 * panel.width


def test_the_survey_leaves_time_for_keys(opened: Opener, interior: Inner, mnist: Mnist) -> None:
    digits, done = mnist.validation.subset(torch.arange(2000)), list[int]()

    def survey_of(model: DigitNet) -> Iterator[Survey | None]:
        for found in surveying(model, digits):
            done.append(len(done))
            yield found

    visitor = opened(interiors=[interior("1-layer")._replace(survey=survey_of)])
    visitor.key("i")
    visitor.wait(lambda: bool(done))
    visitor.key("i")
    visitor.settle()
    assert len(done) < 9
    assert visitor.window.looking.surveys == {}
    visitor.key("i")
    visitor.settle()
    assert done == list(range(9))  # eight steps of 256 digits, and the survey
    assert any("2,000 validation digits" in text for text in texts(visitor, "legend"))


def test_bars_of_scores_near_zero_are_short(opened: Opener, interior: Inner) -> None:
    visitor = look_into(opened, interior())
    panel_of(visitor).buttons["untrained"].invoke()
    visitor.settle()
    panel, (_, logits) = panel_of(visitor), layers_of(visitor)
    assert 0 < float(logits.abs().max()) < 0.3
    canvas, fills = panel.canvas, (widgets.BLUE, widgets.LOSER)
    bars = [item for item in canvas.find_withtag("live") if str(canvas.type(item)) == "rectangle"]
    lengths = [canvas.coords(bar)[2] - canvas.coords(bar)[0] for bar in bars if option(canvas, bar, "fill") in fills]
    assert max(lengths) < panel.px(_LOGITS) / 4


def test_answers_that_are_not_finite_end_in_one_line(opened: Opener, interior: Inner) -> None:
    def overflow(model: DigitNet) -> None:
        cast(nn.Linear, model.classifier[-1]).bias[2] = torch.inf

    visitor = opened(interiors=[interior("1-layer", overflow)])
    visitor.draw(*CORNER)
    visitor.key("i")
    visitor.wait(lambda: visitor.window.error is not None)  # which open_window raises
    assert isinstance(visitor.window.error, TrainingError)


def test_kernels_stand_beside_those_of_the_untrained_network(opened: Opener, interior: Inner) -> None:
    inner = interior()
    visitor = opened(interiors=[inner])
    visitor.key("i")
    visitor.settle()
    panel = panel_of(visitor)
    panel.buttons["kernels"].invoke()
    visitor.settle()
    kernels = [first_kernels(model) for model in (inner.trained, inner.untrained)]
    for each, picture in zip(kernels, panel.pictures, strict=True):
        shown = {picture.get(x, y) for x in range(0, picture.width(), 3) for y in range(0, picture.height(), 3)}
        colours = tinted(each, float(np.abs(kernels).max()), ORANGE).reshape(-1, 3)
        assert {tuple(map(int, colour)) for colour in colours} <= shown
    assert texts(visitor, "foot") == [PAGES["kernels"][1]]


def test_the_nearest_digits_come_when_the_pen_rests_and_other_labels_stand_out(opened: Opener, interior: Inner) -> None:
    def seven(model: DigitNet) -> None:
        cast(nn.Linear, model.classifier[-1]).bias[7] = 1000

    visitor = opened(interiors=[interior("2-layer", seven)])
    visitor.key("i")
    panel_of(visitor).buttons["nearest"].invoke()
    visitor.settle()
    assert texts(visitor, "said") == ["draw a digit"]
    visitor.draw(*CORNER)
    visitor.settle()
    assert texts(visitor, "hidden") == ["7", "7", "▲ 1", "7", "7", "7", "▲ 9", "7"]
    assert texts(visitor, "pixels") == ["7"] * 8
    assert texts(visitor, "said")[0].endswith("the network's answer, 7: 2 of its 8 most alike.")
    visitor.pen("<Button-1>", 40, 40)
    visitor.pen("<Motion>", 60, 60)
    visitor.wait(lambda: not texts(visitor, "hidden"))  # cleared while the pen moves
    visitor.settle()
    assert len(texts(visitor, "hidden")) == 8
    panel_of(visitor).buttons["untrained"].invoke()
    visitor.settle()
    assert texts(visitor, "hidden") == []
    assert "no digit has taught it" in texts(visitor, "said")[0]


def test_the_views_exclude_each_other_and_another_network_is_a_click_away(opened: Opener, interior: Inner) -> None:
    visitor = opened(interiors=[interior(), interior("1-layer")])
    visitor.draw(*CORNER)
    for key, view in (("i", "inside"), ("x", "xray"), ("i", "inside"), ("m", ""), ("i", "inside")):
        visitor.key(key)
        visitor.settle()
        assert visitor.window.view == view
        for name, panel in visitor.window.views.items():
            assert bool(panel.canvas.winfo_viewable()) == (name == view)
            assert visitor.window.buttons[name].instate(["selected" if name == view else "!selected"])
    assert visitor.sentence.startswith("first network: ")
    click(visitor, Spot(2, 7))
    panel_of(visitor).buttons["network"].invoke()
    visitor.settle()
    assert visitor.sentence.startswith("second network: ")
    assert visitor.window.looking.spot is None
    assert visitor.window.answer.inside is not None
    assert len(visitor.window.answer.inside.maps) == 1
    agrees(visitor)
    visitor.resize(1300, 900)
    assert panel_of(visitor).canvas.winfo_viewable()
    agrees(visitor)

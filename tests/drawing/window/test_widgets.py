"""Pictures as plain pixels, and what real panels show."""

from __future__ import annotations

import numpy as np
import pytest

from mnist_lab.drawing.strokes import MAX_POINTS
from mnist_lab.drawing.window.widgets import BLUE, LOSER, PredictionPanel, coloured, fitted, shortened
from tests.terminal.test_wording import PROBABILITIES
from tests.windows import LINE, Opener, option, texts_on

pytest_plugins = ["tests.window_fixtures"]


def test_maps_lie_over_the_picture_in_blue_and_vermilion() -> None:
    picture = np.zeros((28, 28), dtype=np.uint8)
    picture[10:20, 14] = 255
    saliency = np.zeros((28, 28), dtype=np.float32)
    saliency[0, :10], saliency[1, :10], saliency[2, 0] = 4.0, -4.0, np.nan
    covered = coloured(picture, saliency)
    assert covered[0, 0].tolist() == [0x56, 0xB4, 0xE9]
    assert covered[1, 0].tolist() == [0xD5, 0x5E, 0x00]
    assert covered[2, 0].tolist() == covered[27, 27].tolist() == [0, 0, 0]
    assert 100 < covered[15, 14, 0] < 255
    flat = coloured(picture, np.zeros((28, 28), dtype=np.float32))
    assert (flat[picture == 0] == 0).all()


@pytest.mark.parametrize(("height", "width", "zoom"), [(28, 28, 3), (20, 20, 4), (40, 10, 2), (84, 84, 1), (1, 1, 84)])
def test_small_pictures_are_mounted_sharp(height: int, width: int, zoom: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    square = fitted(picture, 86)
    assert square.shape == (86, 86, 3)
    top, left = (86 - zoom * height) // 2, (86 - zoom * width) // 2
    inside = square[top : top + zoom * height, left : left + zoom * width]
    assert np.array_equal(inside, np.kron(picture, np.ones((zoom, zoom), np.uint8))[..., np.newaxis].repeat(3, axis=2))
    for line in (square[top - 1, left], square[top, left - 1], square[top + zoom * height, left]):
        assert line.tolist() == [0xD5, 0xDA, 0xE1]


@pytest.mark.parametrize(("height", "width"), [(280, 280), (200, 50), (87, 90)])
def test_large_pictures_are_mounted_whole(height: int, width: int) -> None:
    picture = np.zeros((height, width), dtype=np.uint8)
    picture[: height // 2] = 200
    square = fitted(picture, 86)
    shown = round(width * 84 / max(height, width))
    left = (86 - shown) // 2
    tall = round(height * 84 / max(height, width))
    top = (86 - tall) // 2
    assert (square[top + 1, left : left + shown] == 200).all()
    assert (square[top + tall - 2, left : left + shown] == 0).all()
    inside = square[top : top + tall, left : left + shown, 0]
    assert inside.mean() == pytest.approx(picture.mean(), abs=1)


def test_long_names_keep_their_ends() -> None:
    assert shortened("3-layer", 7, len) == "3-layer"
    assert shortened("2026-11-22_3-layer-aug", 12, len) == "…3-layer-aug"
    assert shortened("too few digits", 8, len, at_end=True) == "too few…"
    assert shortened("anything", 0, len) == "…"


def numbers(panel: PredictionPanel) -> list[str]:
    return [option(panel.canvas, f"number.{digit}", "text") for digit in range(10)]


@pytest.mark.integration
def test_bars_carry_their_numbers(opened: Opener) -> None:
    visitor = opened()
    panel = visitor.window.panels[0]
    visitor.draw(*LINE)
    visitor.settle()
    texts = numbers(panel)
    assert texts == ["2.0 %", "82.0 %", *["2.0 %"] * 8]
    widths = [np.ptp(panel.canvas.coords(f"bar.{digit}")[::2]) for digit in range(10)]
    assert widths[1] == pytest.approx(41 * widths[0], rel=1e-3)
    assert option(panel.canvas, "digit", "text") == "1"
    visitor.key("c")
    visitor.settle()
    assert numbers(panel) == [""] * 10
    assert option(panel.canvas, "digit", "text") == ""
    assert panel.canvas.find_withtag("bar.1") == ()


@pytest.mark.integration
def test_what_is_probably_not_a_digit_is_neither_bold_nor_blue(opened: Opener) -> None:
    rejection: list[str | None] = ["probably not a digit"]
    visitor = opened(reject=lambda picture, probabilities: rejection[0])
    visitor.draw(*LINE)
    visitor.settle()
    panel, theme = visitor.window.panels[0], visitor.window.theme

    def look() -> tuple[str, str, str]:
        canvas = panel.canvas
        return option(canvas, "digit", "fill"), option(canvas, "digit", "font"), option(canvas, "bar.1", "fill")

    assert look() == (LOSER, str(theme.pale_digit), LOSER)
    assert theme.pale_digit.actual("weight") == "normal"
    assert option(panel.canvas, "number.1", "font") == str(theme.text)
    visitor.key("x")
    visitor.settle()
    xray = visitor.window.xray.canvas
    assert option(xray, "digit.result", "fill") == option(xray, "bar.1", "fill") == LOSER
    assert option(xray, "digit.result", "font") == str(theme.pale_smaller_digit)
    rejection[0] = None
    visitor.key("x")
    visitor.settle()
    assert look() == (BLUE, str(theme.digit), BLUE)


@pytest.mark.integration
def test_the_legend_stands_at_the_map_only_while_it_is_on(opened: Opener) -> None:
    visitor = opened()
    panel = visitor.window.panels[0]
    visitor.key("m")
    visitor.settle()
    assert texts_on(panel.canvas, "legend") == []  # nothing is drawn
    visitor.draw(*LINE)
    visitor.settle()
    assert texts_on(panel.canvas, "legend") == ["against", "for 1", "Gradient:"]
    left, top, right, bottom = panel.canvas.bbox("legend")
    assert left > 0
    assert top >= panel.px(34) + panel.tile.image.height()  # below the picture
    assert right <= panel.width
    assert bottom < panel.canvas.bbox("track")[1]
    visitor.key("x")
    visitor.settle()
    assert texts_on(panel.canvas, "legend") == []
    visitor.key("x", "m")
    visitor.settle()
    assert texts_on(panel.canvas, "legend") == []


@pytest.mark.integration
def test_a_probability_reads_as_it_does_in_figures(opened: Opener) -> None:
    visitor = opened(lambda picture: np.array(list(PROBABILITIES)))
    visitor.draw(*LINE)
    visitor.settle()
    panel = visitor.window.panels[0]
    assert numbers(panel) == list(PROBABILITIES.values())
    visitor.key("x")
    visitor.settle()
    assert option(visitor.window.xray.canvas, "certainty.result", "text") == "100.0 %"


@pytest.mark.integration
def test_the_widest_number_stands_clear_of_its_bar(opened: Opener) -> None:
    visitor = opened(lambda picture: np.array([0.9996, *[0.0] * 9]))
    visitor.draw(*LINE)
    visitor.settle()
    panel = visitor.window.panels[0]
    assert numbers(panel)[0] == "> 99.9 %"
    assert panel.canvas.bbox("number.0")[0] > panel.bar_right


@pytest.mark.integration
def test_a_handle_can_be_dragged(opened: Opener) -> None:
    visitor = opened()
    scale = visitor.window.sliders["right"].scale
    x, y = (int(number) for number in scale.coords())
    scale.event_generate("<Enter>", x=x, y=y)
    scale.event_generate("<Button-1>", x=x, y=y)
    scale.event_generate("<Motion>", x=x + 30, y=y, state=0x100)
    scale.event_generate("<ButtonRelease-1>", x=x + 30, y=y)
    assert visitor.window.wobble.right > 0


@pytest.mark.integration
def test_the_brush_changes_the_ink_that_is_there(opened: Opener) -> None:
    visitor = opened()
    visitor.draw(*LINE)
    assert [visitor.ink_at(x, 130) for x in (135, 156)] == [True, False]
    visitor.window._set_brush(40.0)
    assert [visitor.ink_at(x, 130) for x in (135, 156)] == [True, True]


@pytest.mark.integration
def test_a_full_drawing_takes_no_more_and_says_so(opened: Opener) -> None:
    visitor = opened()
    sketch = visitor.canvas.sketch
    sketch.begin(5, 5)
    for step in range(MAX_POINTS - 1):
        sketch._growing.append((5.0 + step % 7, 6.0))
    sketch.end()
    visitor.draw(*LINE)
    assert "as many lines as it can hold" in visitor.status
    assert len(sketch.strokes) == 1
    assert not visitor.ink_at(140, 130)  # nothing is shown that is not kept
    assert visitor.window.error is None


@pytest.mark.integration
def test_a_click_is_a_dot_and_is_read(opened: Opener) -> None:
    visitor = opened()
    visitor.draw((100.0, 100.0))
    visitor.settle()
    assert [len(stroke) for stroke in visitor.canvas.sketch.strokes] == [1]
    assert visitor.seen
    assert visitor.ink_at(100, 100)

"""The film of a training in the real window, with real mouse and key events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mnist_lab.drawing.window.film_panel import ESTIMATE, EXACT, INVITATION, FilmPanel
from mnist_lab.explain.film import DigitMap, load_map
from mnist_lab.networks.compute import Compute
from mnist_lab.training.runs import read_run
from mnist_lab.training.session import load_trained
from tests.windows import CORNER, LINE, Opener, Visitor, cut_off, option, width_reader

pytest_plugins = ["tests.window_fixtures"]
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def film(trained_folder: Path, compute: Compute) -> DigitMap:
    run = read_run(trained_folder)
    return load_map(run, load_trained(run, compute), compute)


def panel_of(visitor: Visitor) -> FilmPanel:
    assert visitor.window.film is not None
    return visitor.window.film


def said(panel: FilmPanel, tag: str | int) -> str:
    return option(panel.canvas, tag, "text")


def mark_of(panel: FilmPanel) -> tuple[float, float]:
    """The middle of the circle around the drawing's digit."""
    (circle,) = [item for item in panel.canvas.find_withtag("mark") if str(panel.canvas.type(item)) == "oval"]
    left, top, right, bottom = panel.canvas.coords(circle)
    return (left + right) / 2, (top + bottom) / 2


def opened_with(opened: Opener, film: DigitMap, networks: int = 1) -> tuple[Visitor, FilmPanel]:
    visitor = opened(*[width_reader] * networks, film=lambda: film)
    visitor.key("v")
    visitor.settle()
    return visitor, panel_of(visitor)


def test_v_opens_it_on_the_last_moment_and_v_closes_it(opened: Opener, film: DigitMap) -> None:
    visitor, panel = opened_with(opened, film)
    button = visitor.window.buttons["film"]
    assert panel.canvas.winfo_viewable()
    assert button.instate(["selected"])
    assert panel.moment == len(film.film.seen) - 1
    assert said(panel, "moment") == film.film.titles[-1]
    assert said(panel, "yours") == INVITATION
    visitor.key("x")
    visitor.settle()
    assert visitor.window.view == "xray"
    assert not panel.canvas.winfo_viewable()
    button.invoke()
    visitor.key("v")
    visitor.settle()
    assert not panel.canvas.winfo_viewable()
    assert not visitor.window.view


def test_arrow_keys_and_the_slider_move_through_the_moments(opened: Opener, film: DigitMap) -> None:
    visitor, panel = opened_with(opened, film)
    last, places = panel.moment, [panel.canvas.coords(item) for item in panel._numerals]
    visitor.canvas.canvas.focus_force()
    visitor.root.update()
    for moment in (last - 1, last - 2):
        visitor.canvas.canvas.event_generate("<Left>")
        assert panel.moment == moment
        assert said(panel, "moment") == film.film.titles[moment]
    assert places != [panel.canvas.coords(item) for item in panel._numerals]
    visitor.canvas.canvas.event_generate("<Right>")
    assert panel.moment == last - 1
    panel.slider.scale.set(0)  # as Tk does while the handle is pulled
    assert panel.moment == 0
    assert said(panel, "moment").startswith("0 digits seen")
    visitor.key("v")
    visitor.canvas.canvas.event_generate("<Right>")
    assert panel.moment == 0, "closed, it leaves the arrow keys alone"


def test_the_drawing_is_on_the_map_of_every_moment_while_the_pen_moves(opened: Opener, film: DigitMap) -> None:
    visitor, panel = opened_with(opened, film)
    visitor.draw(*LINE, lift=False)
    visitor.wait(lambda: said(panel, "yours") == EXACT)
    visitor.settle()
    before = mark_of(panel)
    picture = visitor.window.answer.picture
    assert picture is not None
    places = film.place(picture)
    low, high = film.film.places.min(axis=(0, 1)), film.film.places.max(axis=(0, 1))
    for moment in range(panel.moment, -1, -1):
        box, (x, y) = panel._box, mark_of(panel)
        across, down = (x - box.x - panel.px(10)) / (box.width - 2 * panel.px(10)), (y - box.y - panel.px(10))
        expected = np.clip((places[moment] - low) / (high - low), 0, 1)
        assert across == pytest.approx(expected[0], abs=0.01)
        assert 1 - down / (box.height - 2 * panel.px(10)) == pytest.approx(expected[1], abs=0.01)
        assert said(panel, "yours") == (EXACT if moment == len(places) - 1 else ESTIMATE)
        visitor.canvas.canvas.event_generate("<Left>")
    for _ in places:
        visitor.canvas.canvas.event_generate("<Right>")
    assert mark_of(panel) == before
    visitor.draw(LINE[-1], (250.0, 220.0), lift=False)
    visitor.settle()
    assert mark_of(panel) != before
    assert said(panel, panel.canvas.find_withtag("mark")[-1]) == "7"
    visitor.key("c")
    visitor.settle()
    assert said(panel, "yours") == INVITATION
    assert not panel.canvas.find_withtag("mark")


def test_what_is_kept_and_saved_is_the_drawing(opened: Opener, film: DigitMap) -> None:
    visitor, _ = opened_with(opened, film)
    visitor.draw(*CORNER)
    visitor.settle()
    visitor.key("7", "s")
    assert [kept.label for kept in visitor.kept] == [7]
    assert visitor.saved[0].digit == 7


def test_it_is_read_once_when_it_is_first_opened(opened: Opener, film: DigitMap) -> None:
    asked: list[DigitMap] = []

    def read() -> DigitMap:
        asked.append(film)
        return film

    visitor = opened(film=read)
    visitor.settle()
    assert not asked
    visitor.key("v", "v", "v")
    visitor.resize(1100, 800)
    assert asked == [film]
    assert panel_of(visitor).canvas.winfo_viewable()


def test_without_a_film_it_says_so_and_stays_closed(opened: Opener) -> None:
    visitor = opened()
    visitor.key("v")
    visitor.settle()
    assert not visitor.window.view
    assert visitor.status.startswith("no film was kept of this")


@pytest.mark.parametrize("networks", [1, 2, 4])
def test_nothing_is_cut_off_and_another_size_keeps_the_moment(opened: Opener, film: DigitMap, networks: int) -> None:
    visitor, panel = opened_with(opened, film, networks)
    visitor.canvas.canvas.event_generate("<Left>")
    visitor.draw(*CORNER)
    visitor.settle()
    moment = panel.moment
    smallest = visitor.root.minsize()
    for size in (smallest, (max(1200, smallest[0]), 900)):
        visitor.resize(*size)
        panel = panel_of(visitor)
        assert panel.moment == moment
        assert said(panel, "moment") == film.film.titles[moment]
        assert panel.canvas.winfo_viewable()
        assert cut_off(visitor.window, on_screen=False) == []
        head, moment_box = (panel.canvas.bbox(tag) for tag in (panel.canvas.find_all()[0], "moment"))
        assert head[2] < moment_box[0]
        x, y, width, height = panel._box
        for item in panel._numerals:
            left, top = panel.canvas.coords(item)
            assert x <= left <= x + width
            assert y <= top <= y + height
        items = [item for item in panel.canvas.find_all() if str(panel.canvas.type(item)) == "text"]
        remark, caption = (
            next(item for item in items if said(panel, item).startswith(start))
            for start in ("The map holds", "validation digits: rows true")
        )
        for panel.moment in (0, len(film.film.seen) - 1, moment):
            panel._show_mark()
            assert panel.canvas.bbox(caption)[3] <= panel.canvas.bbox("yours")[1]
            assert panel.canvas.bbox("yours")[3] <= panel.canvas.bbox(remark)[1]

"""The window's layout: it fits on every screen, and nothing lies on anything else."""

from __future__ import annotations

import itertools

import pytest

from mnist_lab.drawing.window.layout import LARGEST, plan_layout

SCREENS = [
    (1366, 768, 1.0),
    (1024, 600, 1.0),
    (1920, 1080, 1.0),
    (1920, 1080, 1.5),
    (3840, 2160, 2.0),
    (800, 1280, 1.0),
]


@pytest.mark.parametrize("voters", [1, 2, 3, 4])
@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_the_window_fits_on_the_screen(screen: tuple[int, int, float], voters: int) -> None:
    layout = plan_layout(*screen, voters)
    assert layout.window.width <= screen[0]
    assert layout.window.height <= screen[1] - 80 * screen[2] + 1
    parts = [layout.paper, layout.tools, layout.seen, layout.verdict, layout.wobble, layout.foot]
    parts += [layout.voter(index) for index in range(voters)]
    for part in parts:
        assert part.left >= 0
        assert part.top >= 0
        assert part.left + part.width <= layout.window.width
        assert part.top + part.height <= layout.window.height
    for one, other in itertools.combinations(parts, 2):
        beside = one.left + one.width <= other.left or other.left + other.width <= one.left
        assert beside or one.top + one.height <= other.top or other.top + other.height <= one.top
    assert layout.paper.width == layout.paper.height


def test_ordinary_screens_get_ordinary_sizes_and_sharp_ones_more_pixels() -> None:
    assert plan_layout(1366, 768, 1.0, 4).scale > 0.95
    assert plan_layout(2560, 1440, 1.0, 1).scale == LARGEST
    assert plan_layout(5120, 2880, 2.0, 1).scale == 2 * LARGEST
    assert plan_layout(3840, 2160, 2.0, 1).zoom(112) >= 8


@pytest.mark.parametrize("voters", [1, 2, 3, 4])
@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_the_xray_lies_over_the_voters_and_nothing_else_but_the_sliders(
    screen: tuple[int, int, float], voters: int
) -> None:
    layout = plan_layout(*screen, voters)
    first, last = layout.voter(0), layout.voter(voters - 1)
    assert layout.xray[:2] == first[:2]
    assert layout.xray.width == pytest.approx(last.left + last.width - first.left, abs=1)
    below = first if layout.xray_columns == 7 else layout.wobble
    assert layout.xray.top + layout.xray.height == pytest.approx(below.top + below.height, abs=1)
    assert layout.xray.width >= layout.xray_columns * layout.px(120)

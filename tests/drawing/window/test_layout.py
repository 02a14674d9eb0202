"""The layout on every screen, and in a window of any size and shape."""

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


@pytest.mark.parametrize("networks", [1, 2, 3, 4])
@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_the_window_fits_on_the_screen(screen: tuple[int, int, float], networks: int) -> None:
    layout = plan_layout(*screen, networks)
    assert layout.window.width <= screen[0]
    assert layout.window.height <= screen[1] - 80 * screen[2] + 1
    parts = [layout.canvas, layout.tools, layout.seen, layout.verdict, layout.wobble, layout.foot]
    parts += layout.panels
    for part in parts:
        assert part.x >= 0
        assert part.y >= 0
        assert part.x + part.width <= layout.window.width
        assert part.y + part.height <= layout.window.height
    for one, other in itertools.combinations(parts, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y
    assert layout.canvas.width == layout.canvas.height


def test_ordinary_screens_get_ordinary_sizes_and_sharp_ones_more_pixels() -> None:
    assert plan_layout(1366, 768, 1.0, 4).scale > 0.95
    assert plan_layout(2560, 1440, 1.0, 1).scale == LARGEST
    assert plan_layout(5120, 2880, 2.0, 1).scale == 2 * LARGEST
    assert plan_layout(3840, 2160, 2.0, 1).tile(112) >= 8 * 28


@pytest.mark.parametrize("networks", [1, 2, 3, 4])
@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_the_xray_lies_over_the_networks_and_nothing_else_but_the_sliders(
    screen: tuple[int, int, float], networks: int
) -> None:
    layout = plan_layout(*screen, networks)
    first, last = layout.panels[0], layout.panels[-1]
    assert layout.xray[:2] == first[:2]
    assert layout.xray.width == pytest.approx(last.x + last.width - first.x, abs=1)
    below = first if layout.xray_columns == 7 else layout.wobble
    assert layout.xray.y + layout.xray.height == pytest.approx(below.y + below.height, abs=1)
    assert layout.xray.width >= layout.xray_columns * layout.px(120)

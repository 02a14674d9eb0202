"""The layout on every screen, and in a window of any size and shape."""

from __future__ import annotations

import itertools

import pytest

from mnist_lab.drawing.window.layout import LARGEST, SMALLEST, Layout, plan_layout, smallest_size

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


@pytest.mark.parametrize("networks", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "size",
    [(1024, 600), (1366, 768), (2560, 1440), (3840, 2160), (700, 1400), (3000, 520), (1000, 1000)],
    ids=str,
)
def test_everything_lies_side_by_side_in_a_window_of_any_shape(size: tuple[int, int], networks: int) -> None:
    layout = Layout(networks, *size)
    assert layout.window[2:] == size
    assert layout.canvas.width == layout.canvas.height
    parts = [layout.canvas, layout.tools, layout.seen, layout.verdict, layout.wobble, layout.foot, *layout.panels]
    for part in [*parts, layout.xray]:
        assert min(part) >= 0
        assert part.x + part.width <= size[0]
        assert part.y + part.height <= size[1]
    for one, other in itertools.combinations(parts, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y
    right = size[0] - (layout.foot.x + layout.foot.width)
    assert layout.canvas.x == pytest.approx(right, abs=2)  # in the middle
    below = size[1] - (layout.foot.y + layout.foot.height)
    assert layout.canvas.y == pytest.approx(below, abs=2)


def test_a_screen_of_16_to_9_is_filled_from_edge_to_edge() -> None:
    layout = Layout(1, 2560, 1440)
    assert layout.scale == pytest.approx(1440 / 700)
    assert layout.panels[0].width > 1.6 * layout.px(500)
    assert layout.canvas.x < 0.02 * 2560


def test_the_smallest_window_is_legible_and_fits_the_smallest_screens() -> None:
    first = plan_layout(1366, 768, 1.0, 4)
    smallest = Layout(4, *smallest_size(first, 1.0))
    assert smallest.scale == pytest.approx(SMALLEST, abs=0.01)
    assert smallest.px(11.5) >= 8  # pixels of the smallest letters
    assert smallest.window.width <= 1024
    tiny = plan_layout(800, 600, 1.0, 4)
    assert smallest_size(tiny, 1.0) <= tiny.window[2:]
    sharp = plan_layout(3840, 2160, 2.0, 1)
    assert smallest_size(sharp, 2.0) == (int(2 * SMALLEST * 904), int(2 * SMALLEST * 700))

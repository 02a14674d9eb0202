"""Where the parts of the window lie, whatever its size and shape."""

from __future__ import annotations

from typing import NamedTuple

from mnist_lab.data.mnist import SIDE

_MARGIN, _GUTTER = 14, 12  # units, around and between the parts
_SHEET = 364  # units, side of the drawing canvas: 1.3 for each of its pixels
_TOOLS_HEIGHT, _LOWER_HEIGHT, _VERDICT_HEIGHT, _FOOT_HEIGHT = 68, 158, 38, 46
PANEL_WIDTHS = {1: 500, 2: 290, 3: 290, 4: 222}  # units for each network, by how many there are
_WIDEST = 1.7  # times these, that a wide window gives them: so one network fills a screen of 16:9
LARGEST = 1.25  # screen pixels per unit at first, on a screen of 96 dots per inch, however large the screen is
SMALLEST = 0.74  # the same, below which texts would be hard to read
_TASKBAR = 80  # pixels at 96 dots per inch for title bar and task bar, of which Tk knows nothing


class Box(NamedTuple):
    """A rectangle, in pixels of the screen."""

    x: int
    y: int
    width: int
    height: int


def _whole(networks: int) -> tuple[int, int]:
    """Width and height that everything takes, in units."""
    right = _MARGIN + _SHEET + networks * (_GUTTER + PANEL_WIDTHS[networks])
    return right + _MARGIN, 2 * _MARGIN + _SHEET + _TOOLS_HEIGHT + _LOWER_HEIGHT + _FOOT_HEIGHT + 3 * _GUTTER


class Layout:
    """Where everything lies for 1 to 4 networks in a window of so many pixels.

    All is as large as fits. The panels take what is left beside the canvas; what they leave is a border.
    """

    def __init__(self, networks: int, width: int, height: int) -> None:
        whole_width, whole_height = _whole(networks)
        # Pixels for each unit, which is about a pixel of an ordinary small screen.
        self.scale = min(width / whole_width, height / whole_height)
        panel = PANEL_WIDTHS[networks] + (width / self.scale - whole_width) / networks
        panel = min(panel, _WIDEST * PANEL_WIDTHS[networks])
        pitch, beside = panel + _GUTTER, networks * (panel + _GUTTER) - _GUTTER
        left = (width / self.scale - (_SHEET + _GUTTER + beside)) / 2
        top = (height / self.scale - whole_height) / 2 + _MARGIN
        right, tools = left + _SHEET + _GUTTER, top + _SHEET + _GUTTER
        lower = tools + _TOOLS_HEIGHT + _GUTTER
        foot = lower + _LOWER_HEIGHT + _GUTTER
        upper = top + _VERDICT_HEIGHT + _GUTTER / 2
        above = lower - _GUTTER - upper
        self.window = Box(0, 0, width, height)
        self.canvas = Box(self.px(left), self.px(top), self.px(_SHEET), self.px(_SHEET))  # to draw on, a square
        self.tools = self._box(left, tools, _SHEET, _TOOLS_HEIGHT)  # brush and buttons
        self.seen = self._box(left, lower, _SHEET, _LOWER_HEIGHT)  # the picture that the networks see
        self.verdict = self._box(right, top, beside, _VERDICT_HEIGHT)  # one sentence above the predictions
        self.panels = [self._box(right + place * pitch, upper, panel, above) for place in range(networks)]
        self.wobble = self._box(right, lower, beside, _LOWER_HEIGHT)  # the sliders
        self.inside = self._box(right, upper, beside, lower + _LOWER_HEIGHT - upper)  # over predictions and sliders
        # The X-ray lies there as well where the predictions are too narrow for its seven pictures side by side.
        self.xray_columns = 4 if networks <= 2 else 7
        self.xray = self.inside if networks <= 2 else self._box(right, upper, beside, above)
        self.foot = self._box(left, foot, _SHEET + _GUTTER + beside, _FOOT_HEIGHT)  # messages and keys

    def _box(self, left: float, top: float, width: float, height: float) -> Box:
        # Edges are rounded, not sizes, so that neighbours leave no gap and don't overlap.
        x0, y0, x1, y1 = (self.px(edge) for edge in (left, top, left + width, top + height))
        return Box(x0, y0, x1 - x0, y1 - y0)

    def px(self, units: float) -> int:
        return round(units * self.scale)

    def tile(self, units: float, spare: int = 0) -> int:
        """Side of the largest picture of 28x28 whole pixels and a line around it, in so many units and some pixels."""
        return max(1, (self.px(units) + spare - 2) // SIDE) * SIDE + 2


def plan_layout(screen_width: int, screen_height: int, density: float, networks: int) -> Layout:
    """The window at first: as large as is comfortable and a screen, in pixels and dots per inch / 96, allows."""
    width, height = _whole(networks)
    wide, high = 0.98 * screen_width / width, (screen_height - _TASKBAR * density) / height
    scale = min(wide, high, LARGEST * density)
    return Layout(networks, int(scale * width), int(scale * height))


def smallest_size(first: Layout, density: float) -> tuple[int, int]:
    """Width and height, in pixels, below which the window should not get; never more than it has at first."""
    width, height = _whole(len(first.panels))
    scale = min(SMALLEST * density, first.scale)
    return int(scale * width), int(scale * height)

"""Where everything lies in the window to draw in: plain numbers, without a screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mnist_lab.data.pixels import SIDE

MARGIN, GUTTER = 14, 12  # units, around and between the parts
SHEET = 364  # units, side of the drawing canvas: 1.3 for each of its pixels
TOOLS_HEIGHT, LOWER_HEIGHT, VERDICT_HEIGHT, FOOT_HEIGHT = 68, 158, 38, 46
PANEL_WIDTHS = {1: 500, 2: 290, 3: 290, 4: 222}  # units for each network, by how many there are
LARGEST = 1.25  # screen pixels per unit, on a screen of 96 dots per inch, however large the screen is
TASKBAR = 80  # pixels at 96 dots per inch for title bar and task bar, of which Tk knows nothing


class Box(NamedTuple):
    """A rectangle, in pixels of the screen."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Layout:
    """Where everything lies, in pixels of the screen."""

    scale: float  # pixels per unit; a unit is about a pixel of an ordinary small screen
    window: Box  # all of it
    canvas: Box  # to draw on, a square
    tools: Box  # brush and buttons, below the canvas
    seen: Box  # the picture that the networks see, below the tools
    verdict: Box  # one sentence above the predictions
    panels: tuple[Box, ...]  # the predictions of each network
    wobble: Box  # the sliders, below the predictions
    xray: Box  # the X-ray, over the predictions and, where they are too narrow for it, over the sliders as well
    xray_columns: int  # how many of the X-ray's seven pictures lie side by side
    foot: Box  # messages and keys

    def px(self, units: float) -> int:
        return round(units * self.scale)

    def tile(self, units: float, spare: int = 0) -> int:
        """Side of the largest picture of 28x28 whole pixels and a line around it, in so many units and some pixels."""
        return max(1, (self.px(units) + spare - 2) // SIDE) * SIDE + 2


def arrange(networks: int, scale: float) -> Layout:
    """Lay everything out for 1 to 4 networks, at so many screen pixels per unit."""

    def box(left: float, top: float, width: float, height: float) -> Box:
        # Edges are rounded, not sizes, so that neighbours neither gape nor overlap.
        x0, y0, x1, y1 = (round(scale * edge) for edge in (left, top, left + width, top + height))
        return Box(x0, y0, x1 - x0, y1 - y0)

    tools = MARGIN + SHEET + GUTTER
    lower = tools + TOOLS_HEIGHT + GUTTER
    foot = lower + LOWER_HEIGHT + GUTTER
    right, width = MARGIN + SHEET + GUTTER, PANEL_WIDTHS[networks]
    right_width = networks * (width + GUTTER) - GUTTER
    upper = MARGIN + VERDICT_HEIGHT + GUTTER / 2
    panel_height = lower - GUTTER - upper
    return Layout(
        scale=scale,
        window=box(0, 0, right + right_width + MARGIN, foot + FOOT_HEIGHT + MARGIN),
        canvas=box(MARGIN, MARGIN, SHEET, SHEET),
        tools=box(MARGIN, tools, SHEET, TOOLS_HEIGHT),
        seen=box(MARGIN, lower, SHEET, LOWER_HEIGHT),
        verdict=box(right, MARGIN, right_width, VERDICT_HEIGHT),
        panels=tuple(box(right + i * (width + GUTTER), upper, width, panel_height) for i in range(networks)),
        wobble=box(right, lower, right_width, LOWER_HEIGHT),
        xray=box(right, upper, right_width, panel_height if networks > 2 else lower + LOWER_HEIGHT - upper),
        xray_columns=4 if networks <= 2 else 7,
        foot=box(MARGIN, foot, right + right_width - MARGIN, FOOT_HEIGHT),
    )


def plan_layout(screen_width: int, screen_height: int, density: float, networks: int) -> Layout:
    """Lay everything out as large as the screen (in pixels) allows, but not larger than is comfortable to look at.

    ``density`` is the screen's dots per inch, divided by 96; there are 1 to 4 networks.
    """
    whole = arrange(networks, 1.0).window
    wide = 0.98 * screen_width / whole.width
    high = (screen_height - TASKBAR * density) / whole.height
    return arrange(networks, min(wide, high, LARGEST * density))

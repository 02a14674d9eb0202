"""Where everything lies in the window to draw in: plain numbers, without a screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mnist_lab.data.pixels import SIDE


class Box(NamedTuple):
    """A rectangle, in pixels of the screen."""

    left: int
    top: int
    width: int
    height: int


MARGIN, GUTTER = 14, 12  # units, around and between the parts
SHEET = 364  # units, side of the paper: 1.3 for each canvas pixel
TOOLS_HEIGHT, LOWER_HEIGHT, VERDICT_HEIGHT, FOOT_HEIGHT = 68, 158, 38, 46
VOTER_WIDTHS = {1: 500, 2: 290, 3: 290, 4: 222}  # units for each, by how many there are
LARGEST = 1.25
"""Screen pixels per unit, on a screen of 96 dots per inch, however large the screen is."""
TASKBAR = 80
"""Pixels at 96 dots per inch for title bar and task bar, of which Tk knows nothing."""


@dataclass(frozen=True)
class Layout:
    """Where everything lies, for a number of voters.

    Attributes:
        voters: how many, 1 to 4.
        scale: pixels of the screen per unit. A unit is about a pixel of an ordinary small screen.
    """

    voters: int
    scale: float

    def px(self, units: float) -> int:
        """Whole pixels of the screen."""
        return round(units * self.scale)

    def box(self, left: float, top: float, width: float, height: float) -> Box:
        """A rectangle given in units; edges are rounded, so that neighbours neither gape nor overlap."""
        right, bottom = self.px(left + width), self.px(top + height)
        return Box(self.px(left), self.px(top), right - self.px(left), bottom - self.px(top))

    @property
    def right_edge(self) -> int:
        """Where the right half starts, in units."""
        return MARGIN + SHEET + GUTTER

    @property
    def right_width(self) -> int:
        """Width of the right half, in units."""
        return self.voters * VOTER_WIDTHS[self.voters] + (self.voters - 1) * GUTTER

    @property
    def lower_edge(self) -> int:
        """Where the lower part starts, in units."""
        return MARGIN + SHEET + GUTTER + TOOLS_HEIGHT + GUTTER

    @property
    def window(self) -> Box:
        """All of it; left and top are 0."""
        height = self.lower_edge + LOWER_HEIGHT + GUTTER + FOOT_HEIGHT + MARGIN
        return self.box(0, 0, self.right_edge + self.right_width + MARGIN, height)

    @property
    def paper(self) -> Box:
        """The sheet to draw on, a square."""
        side = self.px(SHEET)
        return Box(self.px(MARGIN), self.px(MARGIN), side, side)

    @property
    def tools(self) -> Box:
        """Brush and buttons, below the paper."""
        return self.box(MARGIN, MARGIN + SHEET + GUTTER, SHEET, TOOLS_HEIGHT)

    @property
    def seen(self) -> Box:
        """The picture that the networks see, below the tools."""
        return self.box(MARGIN, self.lower_edge, SHEET, LOWER_HEIGHT)

    @property
    def verdict(self) -> Box:
        """One sentence above the voters."""
        return self.box(self.right_edge, MARGIN, self.right_width, VERDICT_HEIGHT)

    def voter(self, index: int) -> Box:
        """The bars of one voter."""
        width, top = VOTER_WIDTHS[self.voters], MARGIN + VERDICT_HEIGHT + GUTTER / 2
        height = self.lower_edge - GUTTER - top
        return self.box(self.right_edge + index * (width + GUTTER), top, width, height)

    @property
    def wobble(self) -> Box:
        """The sliders, below the voters."""
        return self.box(self.right_edge, self.lower_edge, self.right_width, LOWER_HEIGHT)

    @property
    def xray(self) -> Box:
        """The X-ray, over the voters and, where they are too narrow for it, over the sliders as well."""
        top = MARGIN + VERDICT_HEIGHT + GUTTER / 2
        bottom = self.lower_edge - GUTTER if self.xray_columns > 4 else self.lower_edge + LOWER_HEIGHT
        return self.box(self.right_edge, top, self.right_width, bottom - top)

    @property
    def xray_columns(self) -> int:
        """How many of the X-ray's seven pictures lie side by side."""
        return 4 if self.voters <= 2 else 7

    @property
    def foot(self) -> Box:
        """Messages and keys."""
        top = self.lower_edge + LOWER_HEIGHT + GUTTER
        return self.box(MARGIN, top, self.right_edge + self.right_width - MARGIN, FOOT_HEIGHT)

    def zoom(self, units: float) -> int:
        """How many whole screen pixels a pixel of the 28x28 picture gets where it should be so many units long."""
        return max(1, round(units * self.scale / SIDE))


def plan_layout(screen_width: int, screen_height: int, density: float, voters: int) -> Layout:
    """As large as the screen allows, but not larger than is comfortable to look at.

    Args:
        screen_width: in pixels.
        screen_height: in pixels.
        density: dots per inch, divided by 96.
        voters: how many, 1 to 4.
    """
    whole = Layout(voters, 1.0).window
    wide = 0.98 * screen_width / whole.width
    high = (screen_height - TASKBAR * density) / whole.height
    return Layout(voters, min(wide, high, LARGEST * density))

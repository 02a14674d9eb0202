"""What people do with pens and MNIST's writers hardly did: strokes added to digits that lack them.

MNIST was written by Americans around 1990. Elsewhere people slash their zeros, give ones a flag and a base, and cross
their sevens; a network that never saw this reads a slashed zero as an 8. So some digits get such strokes, at places
found from their own ink, and are then fitted into MNIST's box again. All of it is made up: nobody's drawings are used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_FAINT = 0.3  # ink, 0 to 1, above which a pixel counts as part of the digit
_PEN_WIDTHS = (1.4, 2.8)  # of the added strokes, pixels; MNIST's own mostly lie between
_HEAVIEST = 0.16  # mean ink up to which a digit gets strokes: in a blob, no added stroke could be told from the rest
NARROWEST = 0.6  # least width of a zero that is slashed, in heights: a narrower one would become a line with a knot
BOX = 20  # pixels of the box that MNIST's makers fitted their digits into (LeCun et al. 1998)


class Frame(NamedTuple):
    """Where the ink of each digit lies, in pixels from the image's centre."""

    low: Tensor  # (K, 2) left and top
    high: Tensor  # (K, 2) right and bottom
    top_x: Tensor  # (K,) middle of the ink in the uppermost rows
    middle_x: Tensor  # (K,) in the rows half way down
    bottom_x: Tensor  # (K,) in the lowest rows

    @property
    def size(self) -> Tensor:
        return self.high - self.low  # (K, 2) width and height

    @property
    def centre(self) -> Tensor:
        return (self.low + self.high) / 2  # (K, 2)


class Strokes(NamedTuple):
    """Lines to add to some digits of a batch."""

    where: Tensor  # (K,) which digits
    frame: Frame  # of their own ink
    lines: Tensor  # (K, S, 2, 2) start and end, x and y, in pixels from the image's centre
    width: Tensor  # (K,) of the pen, pixels


_Draw = Callable[[float, float], Tensor]  # random numbers (K,), uniform between two limits


def draw_strokes(images: Tensor, labels: Tensor, chance: float, generator: torch.Generator) -> Strokes:
    """Choose some zeros, ones and sevens of a batch, and the lines to add to them.

    The images are (B, 1, H, W), 0 (background) to 1 (ink), their labels (B,); ``chance`` is the fraction of the zeros
    that are chosen, and of the others as ``FREQUENCIES`` says.
    """
    chosen = draw_unit(generator, len(images)) < chance * FREQUENCIES.to(labels.device)[labels]
    where = torch.nonzero(chosen & (images.mean(dim=(1, 2, 3)) < _HEAVIEST)).flatten()  # (K,)
    frame = _frame_of(images[where, 0])
    width, height = frame.size.unbind(dim=1)
    suits = (labels[where] != 0) | (width >= NARROWEST * height)
    where, frame = where[suits], Frame(*(field[suits] for field in frame))

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * draw_unit(generator, len(where))

    lines = torch.zeros(len(where), 2, 2, 2, device=images.device)
    for digit, style in STYLES.items():  # each style draws for all: two or three more digits cost nothing
        lines = torch.where((labels[where] == digit).view(-1, 1, 1, 1), style(frame, draw), lines)
    return Strokes(where, frame, lines, draw(*_PEN_WIDTHS))


def draw_unit(generator: torch.Generator, *shape: int) -> Tensor:
    """Random numbers of that shape, uniform from 0 to 1, on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)


def _frame_of(ink: Tensor) -> Frame:
    """Of digits (K, H, W); one without ink has its frame in the image's centre."""
    inked = ink > _FAINT
    (top, bottom), (left, right) = _ends(inked.any(dim=2)), _ends(inked.any(dim=1))
    y, x = (torch.arange(side, device=ink.device) - (side - 1) / 2 for side in ink.shape[1:])
    middles = []
    for row in (top + 1, (top + bottom) / 2, bottom - 1):  # the mean x of the ink in about three rows around each
        near = ((y - row.unsqueeze(1)).abs() <= 1.5).float()  # (K, H)
        mass = (ink * near.unsqueeze(2)).sum(dim=1)  # (K, W)
        middles.append((mass * x).sum(dim=1) / mass.sum(dim=1).clamp_min(1e-6))
    return Frame(torch.stack([left, top], dim=1), torch.stack([right, bottom], dim=1), *middles)


def _ends(seen: Tensor) -> tuple[Tensor, Tensor]:
    """Where (K, N) is true first and last, in pixels from the middle; 0 where it never is."""
    middle, never = (seen.shape[1] - 1) / 2, ~seen.any(dim=1)
    first, from_last = (ends.int().argmax(dim=1) for ends in (seen, seen.flip(1)))
    return (first - middle).masked_fill(never, 0), (middle - from_last).masked_fill(never, 0)


def _line(start_x: Tensor, start_y: Tensor, end_x: Tensor, end_y: Tensor) -> Tensor:
    return torch.stack([start_x, start_y, end_x, end_y], dim=1).view(-1, 2, 2)  # (K, 2, 2)


def _slashed(frame: Frame, draw: _Draw) -> Tensor:
    """A line through a zero and beyond it on both sides, rising to the right; now and then falling.

    Its ends lie outside the ellipse that the zero nearly is. Slashes that end inside would look like a 6, 8 or 9.
    """
    width, height = frame.size.unbind(dim=1)
    beyond, direction = draw(1.2, 2.0), draw(0.25, 0.9)  # radii from the middle; radians, 0 is upright
    across, up = beyond * width / 2 * torch.sin(direction), beyond * height / 2 * torch.cos(direction)
    across = torch.where(draw(0, 1) < 0.1, -across, across)
    x, y = (middle + draw(-0.5, 0.5) for middle in frame.centre.unbind(dim=1))
    slash = _line(x - across, y + up, x + across, y - up)
    return torch.stack([slash, slash], dim=1)  # (K, 2, 2, 2)


def _flagged_or_based(frame: Frame, draw: _Draw) -> Tensor:
    """A one's flag, falling to the left from its top, and its base, a line under it; one of them or both.

    No flag is nearly level, and none is long where there is no base: that would be a seven.
    """
    which = draw(0, 1)
    longest = torch.where(which > 0.4, 0.35, 0.2)  # heights
    angle, length = torch.deg2rad(draw(40, 70)), frame.size[:, 1] * (0.12 + (longest - 0.12) * draw(0, 1))
    length = torch.where(which < 0.7, length, 0.0)  # a line without length is a dot at the one's own end
    flag_x, flag_y = frame.top_x, frame.low[:, 1] + 1
    flag = _line(flag_x, flag_y, flag_x - length * torch.cos(angle), flag_y + length * torch.sin(angle))
    based = torch.where(which > 0.4, 1.0, 0.0)
    base_x, base_y, tilt = frame.bottom_x, frame.high[:, 1] - 1, based * draw(-1, 1)
    base = _line(base_x - based * draw(1.5, 10), base_y + tilt, base_x + based * draw(1.5, 10), base_y - tilt)
    return torch.stack([flag, base], dim=1)  # (K, 2, 2, 2)


def _crossed(frame: Frame, draw: _Draw) -> Tensor:
    """A short bar through a seven's stem."""
    reach, tilt = draw(2.5, 6), draw(-2.5, 1.5)
    x, y = frame.middle_x + draw(-1, 1), frame.centre[:, 1] + draw(-2, 2)
    bar = _line(x - reach, y - tilt, x + reach, y + tilt)
    return torch.stack([bar, bar], dim=1)  # (K, 2, 2, 2)


# For each digit the two lines, (K, 2, 2, 2), that people add to it; a single one is given twice.
STYLES: dict[int, Callable[[Frame, _Draw], Tensor]] = {0: _slashed, 1: _flagged_or_based, 7: _crossed}

FREQUENCIES = torch.tensor([1.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0])
"""How often each digit is chosen, compared with the zeros. Many flagged ones would blur the line between ones and
sevens, and some of both have these strokes already."""


def fit_into_box(strokes: Strokes, count: int) -> tuple[Tensor, Tensor]:
    """How each of a batch's ``count`` digits must shrink and move to lie in MNIST's box with its added strokes.

    Gives a scale (B,), at most 1, and the place (B, 2), in pixels from the image's centre, that moves to that centre.
    """
    where = strokes.where
    scale, centre = torch.ones(count, device=where.device), torch.zeros(count, 2, device=where.device)
    ends = strokes.lines.flatten(1, 2)  # (K, 4, 2)
    low = torch.minimum(strokes.frame.low, ends.amin(dim=1))  # (K, 2)
    high = torch.maximum(strokes.frame.high, ends.amax(dim=1))  # (K, 2)
    scale[where] = (BOX / ((high - low).amax(dim=1) + 2)).clamp(max=1)  # a pen's width wider than its path
    centre[where] = (low + high) / 2
    return scale, centre


def ink_of(lines: Tensor, width: Tensor, height: int, breadth: int) -> Tensor:
    """Draw straight, round-ended, anti-aliased lines into images of ``height`` x ``breadth`` pixels: (K, H, W), 0 to 1.

    The lines (K, S, 2, 2) are in pixels from the image's centre, the pen's width (K,) in pixels. The coverage of a
    pixel falls from 1 to 0 over its own size.
    """
    y, x = (torch.arange(side, device=lines.device) - (side - 1) / 2 for side in (height, breadth))
    start_x, start_y, end_x, end_y = lines.flatten(2)[..., None, None].unbind(dim=2)  # (K, S, 1, 1) each
    along_x, along_y = end_x - start_x, end_y - start_y
    away_x, away_y = x - start_x, y.unsqueeze(1) - start_y  # (K, S, 1, W) and (K, S, H, 1)
    length = (along_x**2 + along_y**2).clamp_min(1e-6)
    place = ((away_x * along_x + away_y * along_y) / length).clamp(0, 1)  # 0 beside the start, 1 beside the end
    distance = torch.hypot(away_x - place * along_x, away_y - place * along_y).amin(dim=1)  # (K, H, W)
    return (width.view(-1, 1, 1) / 2 + 0.5 - distance).clamp(0, 1)

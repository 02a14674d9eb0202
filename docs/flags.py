"""Made-up drawings of ones with flags, slashed zeros and sevens, to see what the strokes that training adds bring.

    python docs/flags.py 1 --flag 0.35 0.6 > ones.jsonl
    python main.py score ones.jsonl --run RUN

Each is a drawing of a hand that trembles a little: a one's stem with a flag and perhaps a base; a zero with a slash; or
a seven's bar, level or nearly so, with its stem and perhaps a short bar across it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence

import numpy as np

Random = np.random.Generator
Range = tuple[float, float]
Stroke = list[list[float]]  # points x, y, in pixels of a 280x280 canvas
BOTTOM = 245.0


def trembling(corners: Sequence[tuple[float, float]], random: Random) -> Stroke:
    """A line through some corners, slightly bent."""
    places = np.array(corners)
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(places, axis=0).T))])
    along = np.linspace(0, 1, 24)
    points = np.stack([np.interp(along * lengths[-1], lengths, each) for each in places.T], axis=1)
    for waves in (1, 2):
        points += np.sin(np.pi * waves * along)[:, None] * random.normal(0, 3 / waves, 2)
    return [[round(x, 1), round(y, 1)] for x, y in points.clip(2, 278).tolist()]


def one(random: Random, length: Range, angle: Range) -> list[Stroke]:
    """A stem with a flag so long, in heights, that falls by so many degrees; with a base in one of three."""
    height, lean = random.uniform(150, 210), math.tan(math.radians(random.uniform(-5, 28)))
    foot, top = (140 - height * lean / 2, BOTTOM), (140 + height * lean / 2, BOTTOM - height)
    fall, reach = math.radians(random.uniform(*angle)), random.uniform(*length) * height
    flag = (top[0] - reach * math.cos(fall), top[1] + reach * math.sin(fall))
    strokes = [trembling((flag, top, foot), random)]
    if random.random() < 0.35:
        reach = random.uniform(0.15, 0.4) * height
        strokes.append(trembling(((foot[0] - reach, BOTTOM), (foot[0] + reach, BOTTOM)), random))
    return strokes


def zero(random: Random, width: Range) -> list[Stroke]:
    """A ring so wide, in heights, with a slash that rises to the right, from inside its rim to well outside."""
    height = random.uniform(150, 210)
    half, turn = random.uniform(*width) * height / 2, random.uniform(-2.1, -1.1)
    ring = [
        (140 + half * math.cos(turn + way), 140 + height / 2 * math.sin(turn + way)) for way in np.linspace(0, 6.4, 40)
    ]
    beyond, direction = random.uniform(0.85, 1.35), random.uniform(0.25, 0.9)  # radii; radians, 0 is upright
    x, y = beyond * half * math.sin(direction), beyond * height / 2 * math.cos(direction)
    return [[list(point) for point in ring], trembling(((140 - x, 140 + y), (140 + x, 140 - y)), random)]


def seven(random: Random) -> list[Stroke]:
    """A bar that falls to the left by at most 13 degrees, or rises by 8, and a stem; crossed in one of four."""
    height = random.uniform(150, 210)
    width, tilt = random.uniform(0.4, 0.85) * height, math.radians(random.uniform(-8, 13))
    lean = math.tan(math.radians(random.uniform(8, 38)))
    right, foot = (140 + width / 2, BOTTOM - height), (140 + width / 2 - height * lean, BOTTOM)
    left = (right[0] - width * math.cos(tilt), right[1] + width * math.sin(tilt))
    strokes = [trembling((left, right, foot), random)]
    if random.random() < 0.25:
        (x, y), reach = ((right[0] + foot[0]) / 2, BOTTOM - height / 2), random.uniform(0.12, 0.3) * height
        strokes.append(trembling(((x - reach, y + 5), (x + reach, y - 5)), random))
    return strokes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("digit", type=int, choices=(0, 1, 7))
    parser.add_argument("--flag", type=float, nargs=2, default=(0.15, 0.6), help="of a one: shortest and longest")
    parser.add_argument("--angle", type=float, nargs=2, default=(20, 65), help="of a one's flag, degrees")
    parser.add_argument("--width", type=float, nargs=2, default=(0.35, 0.9), help="of a zero, in heights")
    parser.add_argument("--count", type=int, default=1000)
    options, random = parser.parse_args(), np.random.default_rng(0)
    for _ in range(options.count):
        if options.digit == 1:
            strokes = one(random, options.flag, options.angle)
        else:
            strokes = seven(random) if options.digit else zero(random, options.width)
        sys.stdout.write(json.dumps({"label": options.digit, "strokes": strokes}) + "\n")

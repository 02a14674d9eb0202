"""Measures how well several digits at once are read, on rows, columns and sheets composed from single drawn digits.

    python docs/many.py FILE.jsonl --run RUN [--outputs FOLDER] [--count N] [--seed SEED] [--layout NAME ...]

FILE holds labelled drawings, one per line. Each layout is composed N times as a picture, and N times as a drawing of
strokes. "Right" is one minus the mistakes for each digit, where a mistake is a digit that is wrong, missing or too many
(the edit distance between what is read and what was written, in reading order).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnist_lab.data.loader import derive_seed
from mnist_lab.drawing.digits import find_digits
from mnist_lab.drawing.images import clean_page
from mnist_lab.drawing.places import asking
from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.strokes import CANVAS, Drawing, read_drawings
from mnist_lab.explain.commands import Reader
from mnist_lab.networks.compute import choose_compute
from mnist_lab.training.runs import find_run
from mnist_lab.training.session import load_trained

Digit: TypeAlias = list[NDArray[np.float64]]  # strokes (n, 2), in heights of the digits of its row or sheet
Random: TypeAlias = np.random.Generator
PEN = 0.09  # its width on paper
_RIM = 0.4  # of white paper, in heights of digits
_FINE = 3  # pixels drawn, along each axis, for each one of a picture


def sized(strokes: Sequence[NDArray[np.float64]], random: Random) -> Digit:
    """Strokes (n, 2) as high as 1, give or take, and from (0, 0) to the right and downwards."""
    low, high = np.vstack(strokes).min(axis=0), np.vstack(strokes).max(axis=0)
    width, height = (high - low).clip(1)
    scale = random.uniform(0.85, 1.15) * min(1 / height, 1.4 / width)
    return [(stroke - low) * scale for stroke in strokes]


def moved(digit: Digit, x: float, y: float) -> Digit:
    """A digit, so far to the right and downwards."""
    return [stroke + np.array([x, y]) for stroke in digit]


def row(digits: Sequence[Digit], random: Random, raised: Sequence[float] = ()) -> list[Digit]:
    """In a row that may rise or fall, with uneven gaps, on an uneven line; some are ``raised`` so far above it."""
    slope, right, placed = math.tan(math.radians(random.uniform(-6, 6))), 0.0, []
    gap = random.uniform(0.15, 0.45)
    for digit, above in zip(digits, chain(raised, repeat(0.0)), strict=False):
        width, height = np.vstack(digit).max(axis=0)
        placed.append(moved(digit, right, slope * right - height - above + random.normal(0, 0.05)))
        right += width + gap * random.uniform(0.7, 1.3)
    return placed


def column(digits: Sequence[Digit], random: Random) -> list[Digit]:
    """One below the other, with uneven gaps, not quite in line."""
    below, placed, gap = 0.0, [], random.uniform(0.15, 0.5)
    for digit in digits:
        width, height = np.vstack(digit).max(axis=0)
        placed.append(moved(digit, random.normal(0, 0.12) - width / 2, below))
        below += height + gap * random.uniform(0.7, 1.3)
    return placed


def sheet(digits: Sequence[Digit], random: Random) -> list[Digit]:
    """Five in a row, each somewhere in its field."""
    across, down = random.uniform(1.4, 2.0), random.uniform(1.5, 2.0)
    placed = []
    for place, digit in enumerate(digits):
        middle = np.vstack(digit).max(axis=0) / 2
        x, y = np.array([place % 5 * across, place // 5 * down]) - middle + random.normal(0, 0.06, 2)
        placed.append(moved(digit, x, y))
    return placed


def touching(digits: Sequence[Digit], random: Random) -> list[Digit]:
    """Each so near to the one before that their ink meets, and overlaps by up to a thirtieth of their height."""
    placed, nearest = [digits[0]], PEN - random.uniform(0, 0.03)
    for digit in digits[1:]:
        drop = np.vstack(placed[-1]).max(axis=0)[1] - np.vstack(digit).max(axis=0)[1] + random.normal(0, 0.05)
        before = dense(placed[-1])
        x = before[:, 0].max() + 0.3
        while np.hypot(*(dense(moved(digit, x, drop))[:, None] - before).T).min() > nearest:
            x -= 0.02
            if x < before[:, 0].min():  # they pass each other by
                x = before[:, 0].max()
                break
        placed.append(moved(digit, x, drop))
    return placed


def dense(digit: Digit) -> NDArray[np.float64]:
    """Points (N, 2) along its lines, a twentieth of its height apart at most."""
    points = []
    for stroke in digit:
        points.append(stroke[:1])
        for start, end in pairwise(stroke):
            steps = max(1, math.ceil(math.dist(start, end) / 0.05))
            points.append(start + (end - start) * np.linspace(0, 1, steps + 1)[1:, None])
    return np.vstack(points)


def telephone(digits: Sequence[Digit], random: Random) -> list[Digit]:
    """As (123) 456-7890, whose brackets and hyphen are no digits."""
    along = np.linspace(-1, 1, 9)
    bend = random.uniform(0.12, 0.25) * np.stack([along**2, 0 * along], axis=1)
    line = np.stack([0 * along, 0.65 * (1 + along)], axis=1)
    hyphen = np.array([[0, 0], [random.uniform(0.25, 0.5), 0.0]])
    marked = [[line + bend], *digits[:3], [line + bend.max() - bend], *digits[3:6], [hyphen], *digits[6:]]
    return row(marked, random, [-0.15, 0, 0, 0, -0.15, 0, 0, 0, 0.5])


def price(digits: Sequence[Digit], random: Random) -> list[Digit]:
    """As 1.23 or 1,23: a point on the line, or a comma that reaches below it."""
    deep = random.choice([0.03, random.uniform(0.12, 0.3)])
    mark = np.array([[deep / 3, 0], [0, deep]])
    return row([digits[0], [mark], *digits[1:]], random, [0, 0.05 - deep])


def sum_of(digits: Sequence[Digit], random: Random) -> list[Digit]:
    """As 12 + 7 = 19, with any of the signs +, -, x, ÷ and =, which are no digits."""
    signs = [sign(random.choice(list(SIGNS)), random), sign("equals", random)]
    raised = [random.uniform(0.4, 0.6) - np.vstack(one).max(axis=0)[1] / 2 for one in signs]
    marked = [*digits[:2], signs[0], digits[2], signs[1], *digits[3:]]
    return row(marked, random, [0, 0, raised[0], 0, raised[1]])


def sign(name: str, random: Random) -> Digit:
    """A sign, 0.4 to 0.65 heights wide, by a trembling hand."""
    wide, high = random.uniform(0.4, 0.65) * np.array([1.0, random.uniform(0.75, 1.25)])
    lines = [np.array([[x0, y0], [x1, y1]]) * (wide, high) for x0, y0, x1, y1 in SIGNS[name]]
    lines = [line + random.normal(0, 0.03, line.shape) for line in lines]
    low = np.vstack(lines).min(axis=0)
    return [line - low for line in lines]


SIGNS: dict[str, list[tuple[float, float, float, float]]] = {
    "plus": [(0, 0.5, 1, 0.5), (0.5, 0, 0.5, 1)],
    "minus": [(0, 0.5, 1, 0.5)],
    "times": [(0, 0, 1, 1), (1, 0, 0, 1)],
    "equals": [(0, 0.25, 1, 0.25), (0, 0.75, 1, 0.75)],
    "divided by": [(0, 0.5, 1, 0.5), (0.5, 0, 0.5, 0.08), (0.5, 0.92, 0.5, 1)],
}
"""Each sign's lines, from x, y to x, y in its box."""


LAYOUTS: dict[str, tuple[int, Callable[[Sequence[Digit], Random], list[Digit]]]] = {
    "one digit": (1, row),
    "two in a row": (2, row),
    "three in a row": (3, row),
    "seven in a row": (7, row),
    "column of four": (4, column),
    "sheet of twenty": (20, sheet),
    "two that touch": (2, touching),
    "telephone": (10, telephone),
    "price": (3, price),
    "sum": (5, sum_of),
}
"""How many digits, and how they are placed."""


def in_picture(digits: Sequence[Digit], random: Random) -> tuple[list[Digit], float]:
    """The digits in pixels of a picture with a rim, and how many pixels, 40 to 200, a height is."""
    points = np.vstack([stroke for digit in digits for stroke in digit])
    scale = min(random.uniform(40, 200), 1000 / (np.ptp(points, axis=0) + 2 * _RIM).max())
    low = points.min(axis=0) - _RIM
    return [[(stroke - low) * scale for stroke in digit] for digit in digits], scale


def as_picture(digits: Sequence[Digit], scale: float, pen: float = PEN) -> Picture:
    """The ink that is read where a pen, so many heights wide, left these lines on white paper."""
    points = np.vstack([stroke for digit in digits for stroke in digit])
    size, width = np.ceil(points.max(axis=0) + _RIM * scale).astype(int), _FINE * scale * pen
    image = Image.new("L", tuple(_FINE * size), 255)
    draw = ImageDraw.Draw(image)
    for stroke in (stroke for digit in digits for stroke in digit):
        way = [(x, y) for x, y in (_FINE * stroke).tolist()]
        draw.line(way, fill=0, width=round(width))
        for x, y in way:
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=0)
    grey = np.asarray(image.reduce(_FINE), dtype=np.float32)
    return clean_page(np.repeat(grey[..., np.newaxis], 3, axis=2)).ink


def on_canvas(digits: Sequence[Digit], random: Random) -> list[Digit]:
    """The digits in pixels of the canvas, which they fill but for a margin."""
    points = np.vstack([stroke for digit in digits for stroke in digit])
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    scale = min((CANVAS - 30) / size.max(), random.uniform(60, 230))
    corner = random.uniform(10, CANVAS - 10 - size * scale)
    return [[corner + (stroke - low) * scale for stroke in digit] for digit in digits]


def as_drawing(digits: Sequence[Digit]) -> Drawing:
    """The strokes of digits on the canvas."""
    return Drawing(tuple(tuple((x, y) for x, y in stroke.tolist()) for digit in digits for stroke in digit))


def edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """The fewest digits to change, leave out or add that turn one sequence into the other (Levenshtein 1966)."""
    before = list(range(len(other) + 1))
    for place, digit in enumerate(one, start=1):
        now = [place]
        for column, wanted in enumerate(other, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (digit != wanted)))
        before = now
    return before[-1]


def reader_of(outputs: Path, name: str) -> Reader:
    """A run's network, ready to be asked."""
    run, compute = find_run(outputs, name), choose_compute()
    return Reader(run, load_trained(run, compute), compute)


def measure() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--run", default="best")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--count", type=int, default=200, help="compositions of each layout (sheets: a fifth)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layout", choices=LAYOUTS, nargs="+", default=list(LAYOUTS), help="which (default: all)")
    options = parser.parse_args()
    reader = reader_of(options.outputs, options.run)
    drawings = [one for one in read_drawings(options.file).usable if one.label is not None]
    print("| layout | pictures, % right | miscounted | drawings, % right | miscounted | n digits |")
    print("|---|---|---|---|---|---|")
    for name in options.layout:
        digits, place = LAYOUTS[name]
        random = np.random.default_rng(derive_seed(options.seed, name))
        count = math.ceil(options.count / 5) if digits == 20 else options.count
        mistakes, miscounted = np.zeros(2, dtype=int), np.zeros(2, dtype=int)
        for _ in range(count):
            chosen = [drawings[place] for place in random.choice(len(drawings), digits, replace=False)]
            labels = [int(drawing.label or 0) for drawing in chosen]
            strokes = [[np.array(stroke) for stroke in drawing.strokes] for drawing in chosen]
            placed = place([sized(digit, random) for digit in strokes], random)
            sources: list[Picture | Drawing] = [
                as_picture(*in_picture(placed, random)),
                as_drawing(on_canvas(placed, random)),
            ]
            for kind, source in enumerate(sources):
                places = find_digits(source, asking([reader.predict]))
                said = [place.digit for place in places]
                mistakes[kind] += edit_distance(said, labels)
                miscounted[kind] += len(said) != digits
        right, percent = 100 * (1 - mistakes / (digits * count)), 100 * miscounted / count
        cells = [f"{right[kind]:.2f} | {percent[kind]:.1f} %" for kind in (0, 1)]
        print(f"| {name} | {' | '.join(cells)} | {digits * count:,} |", flush=True)


if __name__ == "__main__":
    measure()

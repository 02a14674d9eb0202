"""Fits the numbers by which drawing/digits.py tells one digit from two that touch, and prints them.

    python docs/many_fit.py --run RUN [RUN ...] [--outputs FOLDER] [--count N] [--seed SEED]

MNIST's validation digits, half of them with slashes, flags and bars as in training, are traced along the middle of
their lines, bent, and composed as in docs/many.py: two that touch, and single ones, as pictures and as strokes. A first
logistic regression tells right cuts of two digits (both halves are read correctly) from wrong ones; a second one, two
digits from one by the score of the best cut and by the whole, with the LENGTHS as they stand in digits.py. Nobody's
drawings are used.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import many
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

from mnist_lab.config import AugmentConfig
from mnist_lab.data.augment import augment
from mnist_lab.data.mnist import load_mnist
from mnist_lab.drawing.digits import FEATURES, Search
from mnist_lab.drawing.pieces import thinned
from mnist_lab.drawing.places import asking
from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.strokes import Drawing

_HANDS = AugmentConfig(rotation=4, shift=0, scale=0, shear=0, strokes=1, elastic=0.007)
_PENS = (0.06, 0.09, 0.12)  # widths, in heights of digits, of which two that touch do overlap
_LOOSE = 0.15  # of the digits, whose strokes are each moved a little
_ENLARGED = 4  # pixels of a side, for each of MNIST's, when a digit is traced
_STEP = 2  # such pixels between the points of a stroke
_RARER = 10  # how many single digits people give for each two that touch; the examples are about as many


def traced(image: Picture) -> many.Digit:
    """Strokes along the middle of a digit's lines, from an end or from anywhere on a ring, straight over crossings."""
    size = _ENLARGED * image.shape[0]
    large = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    left = {(x, y) for y, x in np.argwhere(thinned(np.asarray(large) > 110)).tolist()}
    every, strokes = set(left), list[NDArray[np.float64]]()

    def beside(point: tuple[int, int], points: set[tuple[int, int]]) -> list[tuple[int, int]]:
        x, y = point
        return [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i or j) and (x + i, y + j) in points]

    while left:
        ends = [point for point in left if len(beside(point, left)) == 1] or list(left)
        way = [min(ends, key=lambda point: point[1])]
        left.discard(way[0])
        while ahead := beside(way[-1], left):
            heading = np.subtract(way[-1], way[max(0, len(way) - 8)])
            way.append(max(ahead, key=lambda point: float(np.dot(np.subtract(point, way[-1]), heading))))
            left.discard(way[-1])
        met = [beside(way[place], every - set(way))[:1] for place in (0, -1)]
        way = [*met[0], *way, *met[1]]  # on to the stroke that it meets
        if len(way) > _ENLARGED:
            strokes.append(np.array(way[::_STEP] + way[-1:], dtype=np.float64))
    return strokes


def length_of(strokes: many.Digit) -> float:
    """The length of all strokes, in heights of the digit."""
    length = sum(float(np.hypot(*np.diff(way, axis=0).T).sum()) for way in strokes)
    return length / float(np.ptp(np.vstack(strokes)[:, 1]))


def bent(strokes: many.Digit, random: many.Random) -> many.Digit:
    """As of another hand: wider or narrower, slanted, and some with loose strokes."""
    shape = np.array([[math.exp(random.normal(0, 0.18)), random.normal(0, 0.12)], [0, 1]])
    loose = 3.0 if random.random() < _LOOSE else 0.0
    return [stroke @ shape.T + random.normal(0, loose, 2) for stroke in strokes]


def fit() -> None:
    """Print the weights, and how often they are wrong about the examples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", default=["best"])
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--count", type=int, default=3000, help="compositions, half of them as pictures")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    readers = [many.reader_of(options.outputs, run) for run in options.run]
    validation = load_mnist().validation
    labels = validation.labels.numpy()
    inked = augment(validation.images / 255, validation.labels, _HANDS, torch.Generator().manual_seed(options.seed))
    hands = [validation.images[:, 0].numpy(), (255 * inked[:, 0]).byte().numpy()]
    each = [hands[0][labels == digit][:200] for digit in range(10)]
    lengths = [np.median([length_of(traced(image)) for image in images]) for images in each]
    print(f"LENGTHS = {tuple(np.round(lengths, 1).tolist())}")
    examples = list[tuple[bool, NDArray[np.float64], NDArray[np.bool_]]]()  # two or one, features, which cuts are right
    for number in range(options.count):
        name = ("two that touch", "one digit")[number // 2 % 2]
        count, place = many.LAYOUTS[name]
        chosen = random.choice(len(labels), count, replace=False)
        drawn = [traced(hands[random.integers(2)][at]) for at in chosen]
        placed = place([many.sized(bent(strokes, random), random) for strokes in drawn], random)
        source: Drawing | Picture = many.as_drawing(many.on_canvas(placed, random))
        if number % 2:
            source = many.as_picture(*many.in_picture(placed, random), pen=float(random.choice(_PENS)))
        search = Search(source, asking([readers[number % len(readers)].predict]))
        group = tuple(search.pieces())
        search.ask([group] if group else [])
        cuts = search.cuts(group) if group else []
        if cuts:
            answers = search.answers(group, cuts)  # (C, 2, 10)
            certainties = answers.max(axis=2).sum(axis=1)
            features = np.array([(sure, *cut.features) for sure, cut in zip(certainties, cuts, strict=True)])
            right = (answers.argmax(axis=2) == labels[chosen]).all(axis=1)  # of one digit, it is not looked at
            examples.append((count == 2, features, right))
    of_cuts, one = 3, len(FEATURES) - 1  # the features that differ between cuts; the last is the constant
    pairs = [(features[:, :of_cuts], right) for are_two, features, right in examples if are_two]
    cut = LogisticRegression(max_iter=3000).fit(*map(np.concatenate, zip(*pairs, strict=True)))
    scores = [cut.decision_function(features[:, :of_cuts]).max() for _, features, _ in examples]
    whole = [features[0, of_cuts:one] for _, features, _ in examples]
    are_two = np.array([example[0] for example in examples])
    two = LogisticRegression(max_iter=3000).fit(np.column_stack([scores, whole]), are_two)
    scale = two.coef_[0, 0]
    constant = two.intercept_ + scale * cut.intercept_ - math.log(_RARER)
    weights = np.concatenate([scale * cut.coef_[0], two.coef_[0, 1:], constant])
    print(f"WEIGHTS = {tuple(weights.round(1).tolist())}")
    odds = np.array([(features @ weights).max() for _, features, _ in examples])
    print(f"{(odds[are_two] > 0).mean():.1%} of two that touch are cut, and {(odds[~are_two] > 0).mean():.1%} of one")


if __name__ == "__main__":
    fit()

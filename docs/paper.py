"""Measures how well pictures of paper are read: families of paper, light and pen, made from digits, read by a run.

usage: python docs/paper.py --run RUN [--strokes FILE.jsonl] [--each N] [--only WORD ...] [--without STEP ...]

The digits are the centre lines of MNIST's validation digits (thinned), so that nothing of anybody else's hand is used;
--strokes takes a file of drawings instead. Every picture has parameters of its own, from a seed: a family is a range
of papers, not one. A family's row says how many of its pictures are read correctly, and how many are wrong and sure:
a wrong digit of at least 90 %, without any remark.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from families import EMPTY, FAMILIES
from many import reader_of
from PIL import Image
from sheets import Lines, Sheet, centre_lines, unit

from mnist_lab.data.loader import derive_seed
from mnist_lab.data.mnist import load_mnist
from mnist_lab.drawing import predictions, preprocess
from mnist_lab.drawing.images import PAPER_STEPS, PaperSteps, read_page
from mnist_lab.drawing.strokes import Drawing, read_drawings, segments

_SURE = 0.9


@cache
def _drawings(strokes: Path) -> list[Drawing]:
    return [one for one in read_drawings(strokes).usable if one.label is not None and one.strokes]


def shapes(strokes: Path | None, name: str, count: int) -> list[tuple[int, Lines]]:
    """Digits for a family as lines, each with its label, in an order of its own."""
    random = np.random.default_rng(derive_seed(0, name))
    if strokes is not None:
        drawings = _drawings(strokes)
        chosen = [drawings[place] for place in random.permutation(len(drawings))[:count]]
        return [(one.label or 0, unit(segments(one).astype(np.float64))) for one in chosen]
    digits = load_mnist().validation
    order = random.permutation(len(digits))[:count]
    return [(int(digits.labels[place]), centre_lines(digits.images[place, 0].numpy())) for place in order]


def measure(options: argparse.Namespace) -> None:
    """Make each family's pictures, read them, and print how many were read correctly."""
    reader = reader_of(options.outputs, options.run)
    steps = PaperSteps(**{name: name not in options.without for name in PAPER_STEPS})
    print(f"{'family':<28}{'right':>8}{'wrong and sure':>16}{'blank':>8}   of {options.each}", flush=True)
    if "pen" in options.without:
        preprocess.ink_again = lambda paper: paper
    rows = []
    for name, family in (FAMILIES | EMPTY).items():
        if not any(word in name for word in options.only):
            continue
        right = sure = blank = 0
        for number, (label, lines) in enumerate(shapes(options.strokes, name, options.each)):
            random = np.random.default_rng(derive_seed(number, name))
            made = family(Sheet(lines, random))
            image = made if isinstance(made, Image.Image) else made.image()
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "x.png")
                image.save(path)
                page = read_page(path, steps)
            (answer,) = predictions.predict_all([reader], [predictions.Source(path, None, page.ink, page.trouble)])
            blank += not answer.places
            is_right = answer.found == predictions.BLANK if name in EMPTY else answer.number == str(label)
            is_sure = not is_right and answer.found == predictions.DIGIT and answer.places[0].certainty >= _SURE
            right, sure = right + is_right, sure + is_sure
            if options.save and not is_right:
                options.save.mkdir(exist_ok=True)
                stem = f"{name} {number}".replace("/", "-").replace(" ", "_").replace(":", "")
                image.save(options.save / f"{stem}_is_{label}.png")
        rows.append((right, sure))
        print(f"{name:<28}{100 * right / options.each:>7.1f}%{sure:>16}{blank:>8}", flush=True)
    total = options.each * len(rows)
    print(f"{'all':<28}{100 * sum(r for r, _ in rows) / total:>7.1f}%{sum(s for _, s in rows):>16}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="best", help="the run that reads them (default: best)")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where runs are (default: outputs)")
    parser.add_argument("--strokes", type=Path, help="a file of labelled drawings")
    parser.add_argument("--each", type=int, default=150, help="pictures of each family (default: 150)")
    parser.add_argument("--only", nargs="*", default=[""], help="the families with one of these words in their names")
    parser.add_argument("--without", nargs="*", default=[], choices=[*PAPER_STEPS, "pen"], help="steps to leave out")
    parser.add_argument("--save", type=Path, help="keep the pictures that are not read correctly here")
    measure(parser.parse_args())

"""What each experiment measures: from its networks to accuracies that are compared, and a section about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab.config import TRAIN_DIGITS, AugmentConfig
from mnist_lab.data.augment import AffineDraw, change_thickness, inverse_affine, warp
from mnist_lab.data.loader import seeded_generator
from mnist_lab.data.mnist import SIDE, Digits, Mnist, stratified_subset, to_unit
from mnist_lab.data.pen_strokes import BOX
from mnist_lab.drawing.preprocess import MODES, to_mnist
from mnist_lab.drawing.recognise import Labelled, count_correct, prepare_labelled
from mnist_lab.drawing.strokes import read_drawings
from mnist_lab.errors import LabError
from mnist_lab.experiments import figures, statistics
from mnist_lab.experiments.answers import Answers, selection_bias
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.storage import is_file
from mnist_lab.terminal.wording import counted, format_percent
from mnist_lab.training.evaluation import wilson_interval
from mnist_lab.training.runs import MY_DIGITS, RunRecord

DATA_SIZES = (500, 2_000, 10_000, TRAIN_DIGITS)  # each set of training digits contains the smaller ones
ROBUSTNESS_DIGITS = 2_000  # test digits, stratified, that every disturbance is tried on
SELECTION_DIGITS, SELECTION_TRIES = 1_000, 1_000  # what the best network is chosen by, and how often that is tried
_WAYS = {"black on white": "raw", "inverted": "inverted", "MNIST-like": "mnist"}  # to show a digit, and its preparation
_ALL_KINDS = "all disturbed"

Runs = Mapping[str, Mapping[int, RunRecord]]
"""Finished runs by variant and seed."""


@dataclass(frozen=True)
class Networks:
    """The trained networks of an experiment, ready to be asked, by variant and seed."""

    pairs: Sequence[tuple[str, str]]  # which variants are compared: (before, after)
    runs: Runs
    models: Mapping[str, Mapping[int, DigitNet]]
    answers: Mapping[str, Mapping[int, Answers]]  # to the test digits
    mnist: Mnist
    compute: Compute  # where the networks are
    outputs: Path

    @property
    def tested(self) -> statistics.Accuracies:
        """The accuracies on the test digits that the runs were saved with."""
        return {name: {seed: tested_accuracy(run) for seed, run in m.items()} for name, m in self.runs.items()}


@dataclass(frozen=True)
class Measured:
    """What an experiment found."""

    conclusion: statistics.Conclusion
    digits: str = ""  # what the accuracies are measured on; empty for all test digits, variant by variant
    section: Section | None = None  # the first one of the report
    content: Mapping[str, Any] = field(default_factory=dict)  # more numbers for results.json
    sentences: Sequence[str] = ()  # what was found besides the comparisons, and matters more
    remarks: Sequence[str] = ()  # what else there is to say, after the comparisons
    predicted: tuple[str, str] = ("", "")  # on which digits a prediction is graded, also in words; empty for all


def tested_accuracy(run: RunRecord) -> float:
    """An evaluated run's accuracy on the test digits, a fraction."""
    assert run.test_accuracy is not None  # only finished runs are compared
    return run.test_accuracy


def of_variants(networks: Networks) -> Measured:
    """Accuracy on the test digits, for experiments that have no measure of their own."""
    return Measured(statistics.conclude(networks.tested, networks.pairs))


def of_regularisation(networks: Networks) -> Measured:
    """Accuracy on the test digits, and whether batch norm and dropout gain together what each gains alone."""
    tested, usual = networks.tested, of_variants(networks)
    neither, norm, dropout, both = (tested.get(name, {}) for name in ("neither", "batch norm", "dropout", "both"))
    seeds = sorted(neither.keys() & norm.keys() & dropout.keys() & both.keys())
    if not seeds:
        return usual
    added_up = {seed: norm[seed] + dropout[seed] - neither[seed] for seed in seeds}
    found = statistics.paired_difference(added_up, both)
    said = statistics.verdict("what the two single gains add up to", "both together", found)
    words = f"{said.sentence[0].upper()}{said.sentence[1:-1]}: {said.facts}"
    remark = f"Do they work together? {words}"
    return replace(usual, content={"interaction": vars(found)}, remarks=[remark])


def of_sizes(networks: Networks) -> Measured:
    """Accuracy by number of training digits."""
    names = {f"{size:,} {kind}": (kind, size) for kind in ("plain", "augmented") for size in DATA_SIZES}
    parts = {name: (kind, f"{size:,} training digits") for name, (kind, size) in names.items()}
    conclusion = statistics.conclude(networks.tested, networks.pairs, parts)
    curves: dict[str, dict[int, Sequence[float]]] = {}
    for name, by_seed in conclusion.accuracies.items():
        kind, size = names[name]
        curves.setdefault(kind, {})[size] = list(by_seed.values())
    figure = figures.growth_curves(curves, title="Accuracy by number of training digits")
    means = "; ".join(f"{name} {format_percent(one.mean)}" for name, one in conclusion.summaries.items())
    alt, title = f"Test accuracy against the number of training digits: {means}.", "By number of training digits"
    text = "Accuracy on the test digits is drawn so that halving the error is the same step everywhere."
    picture = Picture(title, png_of(figure), alt, figures.GROWTH, "growth")
    return Measured(conclusion, section=Section(title, [text], pictures=[picture]))


class Disturbance(NamedTuple):
    """One way to make digits harder, as people really write them; nothing is ever trained on it."""

    name: str
    unit: str  # of the strength
    strengths: tuple[float, ...]  # to be tried, ascending
    neutral: float  # the one of them that leaves the digit as it is
    apply: Callable[[Tensor, float, torch.Generator], Tensor]  # to (B, 1, H, W), 0 to 1, each digit by the same amount
    trained: Callable[[AugmentConfig], tuple[float, float]]  # the strengths, from..to, that it covers; equal for none

    def mean_of(self, accuracies: Sequence[float]) -> float:
        """The mean over all strengths but the neutral one."""
        return float(np.mean(np.delete(accuracies, self.strengths.index(self.neutral))))


def disturb(images: Tensor, disturbance: Disturbance, strength: float) -> Tensor:
    """Disturb a batch (B, 1, H, W), 0 to 1, with the same random draws at every strength."""
    if strength == disturbance.neutral:
        return images
    return disturbance.apply(images, strength, seeded_generator("disturb", disturbance.name))


def _moved(images: Tensor, **changed: Tensor) -> Tensor:
    """The digits in the same pose, except for what is given."""
    zero, one = torch.zeros(len(images)), torch.ones(len(images))
    still = AffineDraw(angle=zero, shift_x=zero, shift_y=zero, scale=one, shear=zero, mirror=one)
    return warp(images, inverse_affine(still._replace(**changed)))


def _shift(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Each in its own direction, between pixels if need be (bilinear)."""
    direction = 2 * torch.pi * torch.rand(len(images), generator=generator)
    height, width = images.shape[2:]
    x, y = pixels * torch.cos(direction) / width, pixels * torch.sin(direction) / height
    return _moved(images, shift_x=x, shift_y=y)


def _rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    signs = torch.where(torch.rand(len(images), generator=generator) < 0.5, -1.0, 1.0)
    return _moved(images, angle=degrees * signs)


def _scale(images: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    return _moved(images, scale=torch.full((len(images),), factor))


def _thicken(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Bolder or finer on either side; a fraction of a pixel is a fraction of one more step."""
    while pixels:
        step = max(-1.0, min(1.0, pixels))
        images = change_thickness(images, torch.full((len(images),), step))
        pixels -= step
    return images


def _add_noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return (images + deviation * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def _hide(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """Blacken a square (20 pixels a side at most) somewhere over the 20x20 pixels that hold the digit."""
    count, _, height, width = images.shape
    side = round(pixels)
    top, left = torch.rand(2, count, 1, generator=generator)
    top = (height - BOX) // 2 + (top * (BOX - side + 1)).floor()
    left = (width - BOX) // 2 + (left * (BOX - side + 1)).floor()
    y, x = torch.arange(height), torch.arange(width)
    rows, columns = (y >= top) & (y < top + side), (x >= left) & (x < left + side)  # (B, H), (B, W)
    return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), 0.0)


def _hidden_in_training(augment: AugmentConfig) -> tuple[float, float]:
    """The sides of squares as large as the smallest and the largest rectangle that erasing takes away."""
    smallest, largest = augment.erase_area if augment.erases else (0.0, 0.0)
    return SIDE * smallest**0.5, SIDE * largest**0.5


DISTURBANCES = (
    Disturbance("shifted", "pixels", (0, 1, 2, 3, 4, 5, 6), 0, _shift, lambda a: (0.0, SIDE * a.shift)),
    Disturbance("rotated", "degrees", (0, 10, 20, 30, 40, 50, 60), 0, _rotate, lambda a: (0.0, a.rotation)),
    Disturbance(
        "scaled", "times the size", (0.4, 0.6, 0.8, 1.0, 1.2, 1.4), 1.0, _scale, lambda a: (1 - a.scale, 1 + a.scale)
    ),
    Disturbance(
        "thickened", "pixels a side, below 0: finer", (-0.75, -0.5, 0, 0.5, 1, 1.5, 2), 0, _thicken,
        lambda a: (-a.thickness, a.thickness),
    ),
    Disturbance(
        "noised", "standard deviation; full ink is 1", (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 0, _add_noise,
        lambda a: (0.0, 0.0),
    ),
    Disturbance(
        "partly hidden", "side of the square in pixels", (0, 2, 4, 6, 8, 10, 12), 0, _hide, _hidden_in_training
    ),
)  # fmt: skip
"""The six ways, in the order of the figure."""


def robustness(
    models: Mapping[str, Mapping[int, DigitNet]], test: Digits, disturbance: Disturbance, compute: Compute
) -> dict[str, dict[int, list[float]]]:
    """Accuracies on a sample of test digits at each strength of a disturbance, fractions, by variant and seed."""
    sample = stratified_subset(test, ROBUSTNESS_DIGITS)
    images = to_unit(sample.images)
    found: dict[str, dict[int, list[float]]] = {name: {seed: [] for seed in m} for name, m in models.items()}
    for strength in disturbance.strengths:
        disturbed = disturb(images, disturbance, strength)  # made once for all networks
        for name, by_seed in models.items():
            for seed, model in by_seed.items():
                answers = predict_logits(model, disturbed, compute).argmax(dim=1)
                found[name][seed].append(float((answers == sample.labels).double().mean()))
    return found


def of_robustness(networks: Networks) -> Measured:
    """Accuracy by strength of six disturbances; the mean over each one's strengths is compared."""
    found = {d: robustness(networks.models, networks.mnist.test, d, networks.compute) for d in DISTURBANCES}
    by_kind = {"undisturbed": networks.tested} | {
        d.name: {name: {seed: d.mean_of(row) for seed, row in by_seed.items()} for name, by_seed in by_name.items()}
        for d, by_name in found.items()
    }
    by_kind[_ALL_KINDS] = {
        name: {seed: float(np.mean([by_kind[d.name][name][seed] for d in found])) for seed in by_seed}
        for name, by_seed in networks.models.items()
    }
    conclusion = statistics.conclude(
        {f"{name}, {kind}": by_seed for kind, by_name in by_kind.items() for name, by_seed in by_name.items()},
        [(f"{a}, {kind}", f"{b}, {kind}") for kind in by_kind for a, b in networks.pairs],
        {f"{name}, {kind}": (name, f"{kind} digits") for kind in by_kind for name in networks.models},
    )
    return Measured(
        conclusion,
        digits="undisturbed and disturbed test digits",
        section=_strengths_section(found, networks),
        remarks=["The mean accuracy over all strengths of a disturbance is compared; the report shows each of them."],
        predicted=(f"{_ALL_KINDS} digits", f"the mean over all {len(DISTURBANCES)} kinds of disturbance"),
    )


def _strengths_section(
    found: Mapping[Disturbance, Mapping[str, Mapping[int, Sequence[float]]]], networks: Networks
) -> Section:
    augments = {name: next(iter(by_seed.values())).config.augment for name, by_seed in networks.runs.items()}
    example = to_unit(networks.mnist.test.images[:1])
    panels, numbers, tables = {}, dict[str, dict[str, Any]](), []
    for d, accuracies in found.items():
        trained = {name: d.trained(augment) for name, augment in augments.items() if augment is not None}
        trained = {name: (low, high) for name, (low, high) in trained.items() if low < high}
        examples = [disturb(example, d, strength)[0, 0].numpy() for strength in d.strengths]
        panels[d.name] = figures.Robustness(d.unit, d.strengths, accuracies, trained, examples)
        numbers[d.name] = {"unit": d.unit, "strengths": d.strengths, "trained": trained}
        numbers[d.name]["accuracy_by_seed_and_strength"] = accuracies
        means = {name: np.mean(list(by_seed.values()), axis=0) for name, by_seed in accuracies.items()}
        headings = ("", *(f"{strength:g}".replace("-", "−") for strength in d.strengths))
        rows = [(name, *(f"{100 * mean:.2f}" for mean in row)) for name, row in means.items()]
        title = f"{d.name.capitalize()} ({d.unit}): mean accuracy, %"
        tables.append(Table(title, headings, rows, numeric=range(1, len(headings))))
    text = (
        f"{ROBUSTNESS_DIGITS:,} of the test digits, each disturbed by the same amount, in a random direction or at a "
        "random place; all networks see the same. A digit shifted by more than 4 pixels, or much enlarged, loses parts "
        "beyond the edge. The mean accuracy over all strengths except the undisturbed digit is compared, seed by seed; "
        f"{_ALL_KINDS} is the mean over all kinds. It depends on which strengths are tried, so look at the curves as "
        "well. The undisturbed accuracy is that on all 10,000 test digits."
    )
    title, alt = "By strength", "Accuracy against the strength of each disturbance; the tables hold the means."
    figure = figures.robustness_curves(panels, title="Accuracy on disturbed test digits")
    picture = Picture(title, png_of(figure), alt, figures.ROBUSTNESS, "robustness", numbers)
    return Section(title, [text], tables, [picture])


def shown_as(test: Digits) -> dict[str, NDArray[np.uint8]]:
    """The test digits as ink on paper, as their negative, and as the lab prepares pictures, (N, 28, 28).

    But they keep the pens that they were written with.
    """
    inverted = test.images[:, 0].numpy()
    paper, like_mnist, steps = 255 - inverted, inverted.copy(), MODES["mnist"].without("pen")
    for place, picture in enumerate(paper):
        if (prepared := to_mnist(picture, steps)) is not None:  # a digit without ink stays as it is
            like_mnist[place] = prepared
    return dict(zip(_WAYS, (paper, inverted, like_mnist), strict=True))


def of_inversion(networks: Networks) -> Measured:
    """Test digits shown in three ways, and the user's own in the same three, if there are any."""
    test, compute = networks.mnist.test, networks.compute
    models = {seed: model for by_seed in networks.models.values() for seed, model in by_seed.items()}
    labels, places = test.labels.numpy(), np.arange(len(test))
    own, trouble = _own_digits(networks.outputs / MY_DIGITS)
    drawn = own["inverted"].total if own else 0
    shown = {way: Labelled(images, labels, places, 0, 0) for way, images in shown_as(test).items()}
    parts = {way: (way, "") for way in shown}
    shown |= {f"own, {way}": drawings for way, drawings in own.items()}
    parts |= {f"own, {way}": (way, f"own digits (n = {drawn:,})") for way in own}
    accuracies = {
        name: {seed: count_correct(model, digits, compute) / digits.total for seed, model in models.items()}
        for name, digits in shown.items()
    }
    steps = [(a, b) for before in ("", "own, ") for a, b in pairwise(f"{before}{way}" for way in _WAYS)]
    conclusion = statistics.conclude(accuracies, steps, parts)
    rows = {}
    for name, digits in shown.items():
        mean, total = conclusion.summaries[name].mean, digits.total
        rows[name] = figures.Showing(mean, wilson_interval(round(mean * total), total), total, digits.pictures[0] / 255)
    title = "What the network sees"
    seen = "; ".join(f"{name} {format_percent(row.accuracy)} of {row.digits:,}" for name, row in rows.items())
    picture = Picture(
        title,
        png_of(figures.inversion_bars(rows, title="The same digits, shown in different ways")),
        f"Bars, accuracy of the same networks on the same digits: {seen}.",
        figures.INVERSION,
        "inversion",
        {n: {"accuracy": row.accuracy, "interval_95": row.interval, "digits": row.digits} for n, row in rows.items()},
    )
    text = (
        "Black on white is how ink looks on paper; inverted is how MNIST shows it. MNIST-like goes further: cropped, "
        "fitted into 20 pixels, and moved to the middle. MNIST's own digits are there already; the difference shows in "
        "digits that people draw: python main.py draw, then xray."
    )
    remark = f"You have {counted(drawn, 'drawing')} of your own: the fewer there are, the less they say about others."
    return Measured(
        conclusion,
        digits="digits shown in different ways",
        section=Section(title, [text, trouble] if trouble else [text], pictures=[picture]),
        remarks=[remark] if drawn else [],
    )


def _own_digits(path: Path) -> tuple[dict[str, Labelled], str]:
    """The user's own labelled digits, shown in three ways, and what to say if some or all can't be used."""
    if not is_file(path):
        return {}, ""
    try:
        drawings, damaged = read_drawings(path)
        skipped = f"Damaged lines of {MY_DIGITS} are left out: {len(damaged):,}." if damaged else ""
        return {way: prepare_labelled(drawings, mode) for way, mode in _WAYS.items()}, skipped
    except LabError as error:
        return {}, f"Your own digits are left out: {error.found}."


def of_selection(networks: Networks) -> Measured:
    """How much of its accuracy the best of several networks owes to the digits that it was chosen by."""
    labels, usual = networks.mnist.test.labels.numpy(), of_variants(networks)
    right = np.array([given.right(labels) for m in networks.answers.values() for given in m.values()])
    if len(right) < 2:
        alone = ["With one network there is nothing to choose from.", "It takes several seeds, 5 or so."]
        return replace(usual, sentences=alone)
    found = selection_bias(right, SELECTION_DIGITS, SELECTION_TRIES)
    bias = found.chosen - found.fresh
    looks = "looks better than it is" if bias > 0 else "does not look any better than it is here"
    where = f"On the {SELECTION_DIGITS:,} digits that chose it {100 * found.chosen:.2f} %, on as many others"
    facts = f"{where} {100 * found.fresh:.2f} %: {statistics.in_points(found.fresh - found.chosen)}."
    text = (
        f"The network most accurate on {SELECTION_DIGITS:,} test digits, drawn at random, is chosen, then evaluated "
        "on as many others. All have the same recipe: what tells them apart is mostly luck, and luck does not carry "
        f"over to other digits. The table holds the means of {SELECTION_TRIES:,} tries; no network is kept for it."
    )
    chosen = "the chosen network, on"
    names = (f"{chosen} the digits it was chosen by", f"{chosen} other digits", "all networks, on all test digits")
    rows = [(name, f"{100 * accuracy:.3f}") for name, accuracy in zip(names, found, strict=True)]
    table = Table("Mean accuracy", ("which, and where", "accuracy, %"), rows, numeric=(1,))
    return replace(
        usual,
        section=Section("Chosen on some digits, evaluated on others", [text], [table]),
        content={"selection": found._asdict() | {"digits": SELECTION_DIGITS, "tries": SELECTION_TRIES}},
        sentences=[f"The best of {len(right)} networks {looks}.", facts],
    )

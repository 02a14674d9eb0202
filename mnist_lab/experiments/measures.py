"""What each experiment measures: from its networks to accuracies that are compared, and a section about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_lab.config import AugmentConfig
from mnist_lab.data.mnist import Mnist
from mnist_lab.data.pixels import to_unit
from mnist_lab.drawing.scoring import Labelled, count_correct, prepare_labelled
from mnist_lab.drawing.strokes import read_drawings
from mnist_lab.errors import LabError
from mnist_lab.experiments import figures as plots
from mnist_lab.experiments.answers import (
    ROBUSTNESS_DIGITS,
    Answers,
    Selection,
    accuracy,
    robustness,
    selection_bias,
    shown_as,
)
from mnist_lab.experiments.conclusions import Accuracies, Conclusion, as_sentence
from mnist_lab.experiments.disturbances import DISTURBANCES, Disturbance, disturb
from mnist_lab.experiments.questions import DATA_SIZES, Experiment
from mnist_lab.experiments.statistics import decimals_needed, format_points, paired_difference, verdict
from mnist_lab.experiments.study import (
    Pages,
    Part,
    Parts,
    difference_of,
    tested_accuracy,
)
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet
from mnist_lab.report.document import Section
from mnist_lab.report.document import Table as ReportTable
from mnist_lab.storage import is_file
from mnist_lab.terminal.wording import format_percent
from mnist_lab.training.evaluation import wilson_interval
from mnist_lab.training.runs import MY_DIGITS, Run

SELECTION_DIGITS = 1_000
"""Digits that the best network is chosen by in the experiment about validation, and as many to judge it on."""

SELECTION_TRIES = 1_000

ALL_KINDS = "all disturbed"
"""What stands for all disturbances together in the experiment about robustness."""

Runs = Mapping[str, Mapping[int, Run]]
"""Finished runs by variant and seed."""

AllAnswers = Mapping[str, Mapping[int, Answers]]
"""The answers to the test digits by variant and seed."""


@dataclass(frozen=True)
class Networks:
    """The trained networks of an experiment, ready to be asked, what they answered, and the data."""

    experiment: Experiment
    runs: Runs
    models: Mapping[str, Mapping[int, DigitNet]]
    answers: AllAnswers
    mnist: Mnist
    compute: Compute
    outputs: Path

    @property
    def tested(self) -> Accuracies:
        """The accuracies on the test digits that the runs were saved with."""
        return {name: {seed: tested_accuracy(run) for seed, run in m.items()} for name, m in self.runs.items()}


@dataclass(frozen=True)
class Extra:
    """What an experiment measures and compares.

    Attributes:
        accuracies: what is compared.
        pairs: of them, which with which.
        digits: what the accuracies are measured on.
        section: makes the section of the report that comes first; None where there is none of its own.
        content: more numbers for results.json.
        sentences: what was found besides the comparisons, and matters more.
        remarks: what else there is to say, after the comparisons.
        parts: of the accuracies' names, where these join a variant and some digits.
        by_variant: whether the accuracies are those of the variants on the test digits.
        dots: whether every seed's accuracy is worth a figure besides that of the section.
        predicted: on which digits of ``parts`` a prediction is judged, and what these are in words; None where it is
            judged by all comparisons.
    """

    accuracies: Accuracies
    pairs: Sequence[tuple[str, str]]
    digits: str = "test digits"
    section: Callable[[Pages, Conclusion], Section] | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    sentences: Sequence[str] = ()
    remarks: Sequence[str] = ()
    parts: Parts = field(default_factory=dict)
    by_variant: bool = True
    dots: bool = True
    predicted: tuple[str, str] | None = None


def measure_variants(networks: Networks) -> Extra:
    """Accuracy on the test digits; where an experiment has no measure of its own, that is all."""
    return Extra(networks.tested, networks.experiment.pairs)


def measure_regularisation(networks: Networks) -> Extra:
    """Accuracy on the test digits, and whether batch norm and dropout gain together what each gains alone."""
    tested, names = networks.tested, ("neither", "batch norm", "dropout", "both")
    if not all(name in tested for name in names):
        return measure_variants(networks)
    neither, norm, dropout, both = (tested[name] for name in names)
    seeds = sorted(neither.keys() & norm.keys() & dropout.keys() & both.keys())
    if not seeds:
        return measure_variants(networks)
    added_up = {seed: norm[seed] + dropout[seed] - neither[seed] for seed in seeds}
    interaction = paired_difference(added_up, {seed: both[seed] for seed in seeds})
    words = verdict("what the two single gains add up to", "both together", interaction).sentence
    return Extra(
        tested,
        networks.experiment.pairs,
        content={"interaction": vars(interaction)},
        remarks=[as_sentence(f"Do they work together? {words[:1].upper()}{words[1:]}")],
    )


def measure_sizes(networks: Networks) -> Extra:
    """Accuracy over the number of training digits."""
    kinds = ("plain", "augmented")

    def section(pages: Pages, conclusion: Conclusion) -> Section:
        curves = {
            kind: {
                size: list(conclusion.accuracies[f"{size:,} {kind}"].values())
                for size in DATA_SIZES
                if f"{size:,} {kind}" in conclusion.accuracies
            }
            for kind in kinds
        }
        by_name = {pair.before: difference_of(pair) for pair in conclusion.compared}
        gains = {size: by_name[f"{size:,} plain"] for size in DATA_SIZES if f"{size:,} plain" in by_name}
        figure = plots.growth_curves(
            {kind: sizes for kind, sizes in curves.items() if sizes},
            gains,
            title="Accuracy by number of training digits",
            gain="augmented minus plain",
        )
        means = "; ".join(
            f"{size:,} digits {kind} {format_percent(float(np.mean(values)))}"
            for kind, sizes in curves.items()
            for size, values in sizes.items()
        )
        alt = f"Test accuracy over the number of training digits, and what augmentation gains at each: {means}."
        text = (
            "Above: the accuracy on the test digits, drawn so that halving the error is the same step everywhere. "
            "Below: what augmentation gains at each size, in percentage points."
        )
        picture = pages.picture("growth", figure, alt, title="By number of training digits")
        return Section("By number of training digits", [text], pictures=[picture])

    parts = {f"{size:,} {kind}": Part(kind, f"{size:,} training digits") for size in DATA_SIZES for kind in kinds}
    return Extra(networks.tested, networks.experiment.pairs, section=section, parts=parts)


def measure_robustness(networks: Networks) -> Extra:
    """Accuracy over the strength of six disturbances; compared is the mean over each one's strengths."""
    models = {name: list(by_seed.values()) for name, by_seed in networks.models.items()}
    seeds = {name: list(by_seed) for name, by_seed in networks.models.items()}
    found = {d.name: robustness(models, networks.mnist.test, d, networks.compute) for d in DISTURBANCES}
    by_kind = {"undisturbed": networks.tested} | {
        d.name: {name: mean_when_disturbed(d, values, seeds[name]) for name, values in found[d.name].items()}
        for d in DISTURBANCES
    }
    by_kind[ALL_KINDS] = {
        name: {seed: float(np.mean([by_kind[d.name][name][seed] for d in DISTURBANCES])) for seed in seeds[name]}
        for name in models
    }

    def section(pages: Pages, conclusion: Conclusion) -> Section:
        panels = {d.name: panel_of(d, found[d.name], networks) for d in DISTURBANCES}
        figure = plots.robustness_curves(panels, title="Accuracy on disturbed test digits")
        alt = "Six panels, accuracy over the strength of a disturbance. At the largest strength: " + "; ".join(
            f"{name} by {panel.strengths[-1]:g} ({panel.unit}): {last_means(panel)}" for name, panel in panels.items()
        )
        numbers = {
            name: {
                "unit": panel.unit,
                "strengths": list(panel.strengths),
                "trained": {variant: list(limits) for variant, limits in panel.trained.items()},
                "accuracy_by_seed_and_strength": {
                    variant: dict(zip(map(str, seeds[variant]), values, strict=True))
                    for variant, values in panel.accuracies.items()
                },
            }
            for name, panel in panels.items()
        }
        text = [
            f"{ROBUSTNESS_DIGITS:,} of the test digits, each disturbed by the same amount, in a direction or at a "
            "place drawn by chance; all networks see the same. Shifted by more than 4 pixels, or much enlarged, a "
            "digit loses parts over the edge of the picture: no network can read what is not there.",
            "What is compared, for each kind: the mean accuracy over all of its strengths but the undisturbed digit, "
            f"seed by seed; {ALL_KINDS} is the mean over all kinds. It depends on which strengths are tried, so look "
            "at the curves as well. For comparison there are the undisturbed test digits, all 10,000.",
        ]
        tables = [strengths_table(name, panel) for name, panel in panels.items()]
        caption = "Shaded is what the variant of that colour met in training: beyond it, nothing was trained."
        picture = pages.picture("robustness", figure, f"{alt}.", caption, title="Over the strength", numbers=numbers)
        return Section("Over the strength", text, tables, [picture])

    kinds = {f"{variant}, {kind}": Part(variant, f"{kind} digits") for kind in by_kind for variant in models}
    return Extra(
        accuracies={f"{name}, {kind}": values for kind, by_name in by_kind.items() for name, values in by_name.items()},
        pairs=[(f"{a}, {kind}", f"{b}, {kind}") for kind in by_kind for a, b in networks.experiment.pairs],
        digits="undisturbed and disturbed test digits",
        section=section,
        remarks=["Compared is the mean accuracy over all strengths of a disturbance; the report shows each of them."],
        parts=kinds,
        by_variant=False,
        dots=False,
        predicted=(f"{ALL_KINDS} digits", f"the mean over all {len(DISTURBANCES)} kinds of disturbance"),
    )


def mean_when_disturbed(
    disturbance: Disturbance, accuracies: NDArray[np.float64], seeds: Sequence[int]
) -> dict[int, float]:
    """Each seed's mean accuracy (seeds, strengths) over the strengths that change anything."""
    disturbed = [strength != disturbance.neutral for strength in disturbance.strengths]
    return dict(zip(seeds, accuracies[:, disturbed].mean(axis=1).tolist(), strict=True))


def panel_of(
    disturbance: Disturbance, accuracies: Mapping[str, NDArray[np.float64]], networks: Networks
) -> plots.Robustness:
    """One disturbance as the figure takes it."""
    trained = {}
    for variant, found in networks.runs.items():
        augment = augmentation_of(found)
        limits = None if augment is None else disturbance.trained(augment)
        if limits is not None:
            trained[variant] = limits
    example = to_unit(networks.mnist.test.images[:1])
    return plots.Robustness(
        unit=disturbance.unit,
        strengths=disturbance.strengths,
        accuracies={variant: values.tolist() for variant, values in accuracies.items()},
        trained=trained,
        examples={s: disturb(example, disturbance, s)[0, 0].numpy() for s in disturbance.strengths},
    )


def augmentation_of(found: Mapping[int, Run]) -> AugmentConfig | None:
    """What a variant's training digits were augmented with."""
    return next(iter(found.values())).config.augment


def last_means(panel: plots.Robustness) -> str:
    """``plain 31.05 %, augmented 40.10 %``: the means at the largest strength."""
    means = {name: float(np.mean([run[-1] for run in runs])) for name, runs in panel.accuracies.items()}
    return ", ".join(f"{name} {format_percent(mean)}" for name, mean in means.items())


def strengths_table(name: str, panel: plots.Robustness) -> ReportTable:
    """The curves of one panel in numbers."""
    rows = [
        (variant, *(f"{100 * mean:.2f}" for mean in np.mean(runs, axis=0)))
        for variant, runs in panel.accuracies.items()
    ]
    headings = ("", *(f"{strength:g}".replace("-", "−") for strength in panel.strengths))
    title = f"{name.capitalize()} ({panel.unit}): mean accuracy, %"
    return ReportTable(title, headings, rows, numeric=range(1, len(headings)))


def measure_inversion(networks: Networks) -> Extra:
    """Test digits shown in three ways, and the user's own in the same three, if there are any."""
    test, compute = networks.mnist.test, networks.compute
    models = {seed: model for by_seed in networks.models.values() for seed, model in by_seed.items()}
    ways = shown_as(test)
    accuracies = {
        name: {seed: accuracy(model, images, test.labels, compute) for seed, model in models.items()}
        for name, images in ways.items()
    }
    pictures = {name: images[0, 0].numpy() for name, images in ways.items()}
    counts = dict.fromkeys(ways, len(test))
    parts = {name: Part(name, "test digits") for name in ways}
    own, trouble = own_digits(networks.outputs / MY_DIGITS)
    for way, drawings in own.items():
        name = f"own, {way}"
        accuracies[name] = {seed: count_correct(m, drawings, compute) / drawings.total for seed, m in models.items()}
        pictures[name], counts[name], parts[name] = (
            drawings.pictures[0],
            drawings.total,
            Part(way, f"own digits (n = {drawings.total:,})"),
        )

    def section(pages: Pages, conclusion: Conclusion) -> Section:
        rows = {
            name: plots.Showing(mean, wilson_interval(round(mean * counts[name]), counts[name]), counts[name], picture)
            for name, picture in pictures.items()
            for mean in [conclusion.summaries[name].mean]
        }
        figure = plots.inversion_bars(rows, title="The same digits, shown in different ways")
        alt = "Bars, accuracy of the same networks on the same digits: " + "; ".join(
            f"{name} {format_percent(row.accuracy)} of {row.digits:,}" for name, row in rows.items()
        )
        numbers = {
            name: {"accuracy": row.accuracy, "interval_95": row.interval, "digits": row.digits}
            for name, row in rows.items()
        }
        text = [
            "Black on white is how ink looks on paper. Inverted is how MNIST shows it, and how the networks learned "
            "it. MNIST-like goes further: cropped, fitted into 20 pixels, and moved to the middle.",
            "MNIST's own digits lie in the middle already, so what is done beyond the inversion can hardly show in "
            "them; it shows in digits that people draw. Try it: python main.py draw, then python main.py xray.",
            trouble,
        ]
        caption = (
            "The whiskers are about the choice of digits (Wilson): how far the accuracy on other digits of the same "
            "kind may lie. The intervals in the table below are about other seeds."
        )
        picture = pages.picture("inversion", figure, f"{alt}.", caption, title="What the network sees", numbers=numbers)
        return Section("What the network sees", [line for line in text if line], pictures=[picture])

    return Extra(
        accuracies=accuracies,
        pairs=[
            pair
            for kind in ("", "own, ")
            for pair in ((f"{kind}black on white", f"{kind}inverted"), (f"{kind}inverted", f"{kind}MNIST-like"))
        ],
        digits="digits shown in different ways",
        section=section,
        remarks=[own_remark(next(iter(own.values())).total)] if own else [],
        parts=parts,
        by_variant=False,
        dots=False,
    )


def own_remark(count: int) -> str:
    """How much the user's own digits can tell."""
    drawings = "one drawing" if count == 1 else f"{count:,} drawings"
    return f"What is said of your own digits rests on {drawings}: the fewer, the less it tells about others."


def own_digits(path: Path) -> tuple[dict[str, Labelled], str]:
    """The user's own labelled digits, shown in three ways; none where nothing is drawn yet.

    Returns:
        The digits by way of showing, and what to say if they can't be used.
    """
    if not is_file(path):
        return {}, ""
    ways = {"black on white": "raw", "inverted": "inverted", "MNIST-like": "mnist"}
    try:
        drawings, damaged = read_drawings(path)
        skipped = f"Damaged lines of {MY_DIGITS} are left out: {len(damaged):,}." if damaged else ""
        return {name: prepare_labelled(drawings, mode) for name, mode in ways.items()}, skipped
    except LabError as error:
        return {}, f"Your own digits are left out: {error.found}."


def measure_selection(networks: Networks) -> Extra:
    """What the best of several networks owes to the digits that it was chosen by."""
    labels = networks.mnist.test.labels.numpy()
    right = np.array([given.right(labels) for m in networks.answers.values() for given in m.values()])
    if len(right) < 2:
        alone = "With one network there is nothing to choose from; it takes several seeds, 5 or so."
        return Extra(networks.tested, networks.experiment.pairs, sentences=[alone])
    found = selection_bias(right, SELECTION_DIGITS, SELECTION_TRIES)

    def section(pages: Pages, conclusion: Conclusion) -> Section:
        text = (
            f"{SELECTION_DIGITS:,} of the test digits are drawn at random. The network that reads most of them is "
            "chosen, as one would choose by a validation set, and then judged on as many others. All networks have the "
            "same recipe: what tells them apart is mostly luck, and luck does not carry over to other digits. This is "
            f"repeated {SELECTION_TRIES:,} times; the table holds the means. The test digits play both parts here only "
            "to show what would happen: no network is kept for it."
        )
        rows = [
            ("the chosen network, on the digits it was chosen by", f"{100 * found.chosen:.3f}"),
            ("the chosen network, on other digits", f"{100 * found.fresh:.3f}"),
            ("all networks, on all test digits", f"{100 * found.mean:.3f}"),
        ]
        table = ReportTable("Mean accuracy", ("which, and where", "accuracy, %"), rows, numeric=(1,))
        return Section("Chosen on some digits, judged on others", [text], [table])

    return Extra(
        networks.tested,
        networks.experiment.pairs,
        section=section,
        content={"selection": vars(found) | {"digits": SELECTION_DIGITS, "tries": SELECTION_TRIES}},
        sentences=[selection_sentence(found, len(right))],
    )


def selection_sentence(found: Selection, networks: int) -> str:
    """What choosing does, in words."""
    where = f"{100 * found.chosen:.2f} % on those, {100 * found.fresh:.2f} % on as many others"
    beginning = f"Choosing the best of {networks} networks by {SELECTION_DIGITS:,} digits"
    if found.bias <= 0:
        return f"{beginning} does not make it look better than it is here: {where}."
    points = format_points(found.bias, decimals_needed(found.bias))
    return f"{beginning} makes it look {points} points better than it is: {where}."


MEASURES: dict[str, Callable[[Networks], Extra]] = {
    "regularisation": measure_regularisation,
    "data-size": measure_sizes,
    "robustness": measure_robustness,
    "inversion": measure_inversion,
    "validation": measure_selection,
}
"""The experiments that measure more than the accuracy on the test digits."""

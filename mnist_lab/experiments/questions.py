"""The lab's experiments: questions, and the variants that answer them.

Each is a controlled comparison. Its variants differ in one factor, train with the same seeds through the one training
loop, and leave ordinary runs; what is compared is a list of pairs. Pure descriptions: nothing here trains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mnist_lab.config import (
    AUGMENTATIONS,
    FULL_AUGMENTATION,
    NO_AUGMENTATION,
    TRAIN_DIGITS,
    AugmentConfig,
    TrainConfig,
    check_config,
    default_config,
)
from mnist_lab.errors import RequestError

SEEDS = 5
"""Trainings of every variant, unless another number is asked for."""

MOST_SEEDS = 100

DATA_SIZES = (500, 2_000, 10_000, TRAIN_DIGITS)
"""Training digits in the experiment about them; each set contains the smaller ones."""


@dataclass(frozen=True)
class Variant:
    """One of the things compared: a name, and a configuration that gets every seed in turn."""

    name: str
    config: TrainConfig


@dataclass(frozen=True)
class Experiment:
    """A question, and how it is put to the networks.

    Attributes:
        name: what the user types.
        question: in plain words.
        factor: what the variants differ in.
        epochs: usual length of its trainings.
        variants: makes them, for a number of epochs.
        pairs: which are compared: (before, after), by name.
        explanation: what to look for, a sentence or two.
        asks_only: whether it asks networks about digits shown in some way, and so may ask saved runs as well.
    """

    name: str
    question: str
    factor: str
    epochs: int
    variants: Callable[[int], tuple[Variant, ...]]
    pairs: tuple[tuple[str, str], ...]
    explanation: str = ""
    asks_only: bool = False


@dataclass(frozen=True)
class Setting:
    """How an experiment was conducted.

    Attributes:
        experiment: the question.
        epochs: of every training; None for whatever saved runs had.
        command: the words that repeat it.
        prediction: what the learner expected; empty for nothing.
        failures: a sentence for each training that failed.
        all_known: whether all trainings were there already when it began.
    """

    experiment: Experiment
    epochs: int | None
    command: str
    prediction: str = ""
    failures: Sequence[str] = ()
    all_known: bool = False


def three_layers(epochs: int, augment: AugmentConfig | None = None, **changes: Any) -> TrainConfig:
    """The usual 3-layer recipe of a length, with an augmentation and other changes put in."""
    usual = default_config("3-layer", augmented=False, epochs=epochs)
    return replace(usual, augment=augment, **changes)


def usual_augmentation(epochs: int) -> AugmentConfig:
    """The augmentation that a training of this length gets by default."""
    return default_config("3-layer", augmented=True, epochs=epochs).augment or AugmentConfig()


def depth(epochs: int) -> tuple[Variant, ...]:
    """The three networks, with the dropout and hidden units of the deepest: they differ in their layers only."""
    usual = three_layers(epochs)
    deepest = usual.architecture
    stated = replace(usual, dropout=deepest.dropout, hidden=deepest.hidden)
    return (
        Variant("1-layer", replace(stated, model="1-layer")),
        Variant("2-layer", replace(stated, model="2-layer")),
        Variant("3-layer", usual),
    )


def augmentation(epochs: int) -> tuple[Variant, ...]:
    """None, all kinds together, and each kind alone; what is usually off is as strong as where it is shown."""
    usually_off = {
        name: getattr(FULL_AUGMENTATION, name) for kind in ("pen", "erasing") for name in AUGMENTATIONS[kind]
    }
    everything = replace(usual_augmentation(epochs), **usually_off)
    return (
        Variant("plain", three_layers(epochs)),
        Variant("all", three_layers(epochs, everything)),
        *(Variant(kind, three_layers(epochs, everything.only(kind))) for kind in AUGMENTATIONS),
    )


def regularisation(epochs: int) -> tuple[Variant, ...]:
    """Batch normalisation and dropout: neither, each, both."""
    return (
        Variant("neither", three_layers(epochs, batch_norm=False, dropout=0.0)),
        Variant("batch norm", three_layers(epochs, batch_norm=True, dropout=0.0)),
        Variant("dropout", three_layers(epochs, batch_norm=False)),
        Variant("both", three_layers(epochs)),
    )


def data_size(epochs: int) -> tuple[Variant, ...]:
    """Four sizes, each without and with augmentation, all with as many update steps as an epoch of all digits has."""
    usual = usual_augmentation(epochs)
    variants = []
    for size in DATA_SIZES:
        # Patience would end the small ones sooner, and the number of steps would be a second factor.
        plain = three_layers(epochs, train_size=size, epoch_size=TRAIN_DIGITS, patience=epochs)
        variants.append(Variant(f"{size:,} plain", plain))
        variants.append(Variant(f"{size:,} augmented", replace(plain, augment=usual)))
    return tuple(variants)


def bad_idea(epochs: int) -> tuple[Variant, ...]:
    """No augmentation, and two that turn digits into what they are not."""
    return (
        Variant("plain", three_layers(epochs)),
        Variant("mirrored", three_layers(epochs, replace(NO_AUGMENTATION, flip=0.5))),
        Variant("upside down", three_layers(epochs, replace(NO_AUGMENTATION, rotation=180.0))),
    )


def without_and_with(epochs: int) -> tuple[Variant, ...]:
    """The usual network without and with augmentation."""
    return (
        Variant("plain", three_layers(epochs)),
        Variant("augmented", three_layers(epochs, usual_augmentation(epochs))),
    )


def augmented_only(epochs: int) -> tuple[Variant, ...]:
    """The usual augmented network."""
    return (Variant("augmented", three_layers(epochs, usual_augmentation(epochs))),)


def lone_recipe(epochs: int) -> tuple[Variant, ...]:
    """The smallest network, without augmentation: its seeds are all that differs."""
    return (Variant("1-layer", default_config("1-layer", augmented=False, epochs=epochs)),)


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "depth", "Do more layers help?", "the number of convolution layers", 4, depth,
            (("1-layer", "2-layer"), ("2-layer", "3-layer")),
            "Each layer sees a larger part of the digit. Compared is what one more layer brings: watch whether the "
            "second step gains as much as the first.",
        ),
        Experiment(
            "augmentation", "Does augmentation help?", "the augmentation", 4, augmentation,
            tuple(("plain", kind) for kind in ("all", *AUGMENTATIONS)),
            "All is the four kinds together, each as strong as alone. MNIST's test digits are written like its "
            "training digits, so little is left to gain here. The experiment robustness shows what augmentation is "
            "really for.",
        ),
        Experiment(
            "regularisation", "Do batch norm and dropout help, alone and together?", "batch norm, dropout", 4,
            regularisation,
            (("neither", "batch norm"), ("neither", "dropout"), ("batch norm", "both"), ("dropout", "both")),
            "If both worked independently, dropout would gain the same with and without batch norm.",
        ),
        Experiment(
            "data-size", "When does augmentation matter most?", "the augmentation, at four sizes", 2, data_size,
            tuple((f"{size:,} plain", f"{size:,} augmented") for size in DATA_SIZES),
            "Every training takes the same number of update steps, however few digits it sees again and again.",
        ),
        Experiment(
            "inversion", "Why must a drawing be inverted?", "how the digits are shown", 4, augmented_only, (),
            "A network has learned white ink on black. It has no idea that ink may be dark.",
            asks_only=True,
        ),
        Experiment(
            "robustness", "Where does augmentation really show?", "the augmentation", 4, without_and_with,
            (("plain", "augmented"),),
            "Look beyond the shaded range: what was not trained is not learned.",
            asks_only=True,
        ),
        Experiment(
            "validation", "Why a validation set of its own?", "the seed", 1, lone_recipe, (),
            "The more is chosen by the test digits, the less they tell about digits that nobody has seen.",
        ),
        Experiment(
            "bad-idea", "Which augmentation hurts?", "the augmentation", 4, bad_idea,
            (("plain", "mirrored"), ("plain", "upside down")),
            "A mirrored 2 is no 2, and a 6 upside down is a 9: augmentation must keep what a digit means.",
        ),
    )
}  # fmt: skip
"""The experiments that train, by name."""


def find_experiment(name: str) -> Experiment:
    """An experiment by its name.

    Raises:
        RequestError: there is none of that name.
    """
    if name not in EXPERIMENTS:
        raise RequestError(f"there is no experiment {name!r}", f"choose one of {', '.join([*EXPERIMENTS, 'speed'])}")
    return EXPERIMENTS[name]


def checked_variants(experiment: Experiment, epochs: int) -> tuple[Variant, ...]:
    """The variants of an experiment for a number of epochs.

    Raises:
        RequestError: the number makes no sense.
    """
    variants = experiment.variants(epochs)
    for variant in variants:
        check_config(variant.config)
    return variants


# ------------------------------------------------------------------------------------------ what differs


FACTORS = {
    "model": "architecture",
    "augment": "augmentation",
    "batch_norm": "batch normalisation",
    "dropout": "dropout",
    "hidden": "hidden units",
    "train_size": "training digits",
    "epoch_size": "digits seen in an epoch",
    "recipe": "recipe",
    "epochs": "epochs",
    "batch_size": "batch size",
    "learning_rate": "learning rate",
    "weight_decay": "weight decay",
    "label_smoothing": "label smoothing",
    "average_decay": "weight average",
    "plain_epochs": "last epochs without augmentation",
    "patience": "patience",
}
"""What two configurations can differ in, in words; a field in the configuration each. The seed is no factor."""


@dataclass(frozen=True)
class Difference:
    """A factor, and its value in each of the configurations compared, as text."""

    factor: str
    values: tuple[str, ...]


def differences(configs: Sequence[TrainConfig]) -> list[Difference]:
    """What some configurations differ in, besides their seeds."""
    effective = [effective_values(config) for config in configs]
    found = []
    for name, factor in FACTORS.items():
        values = [values[name] for values in effective]
        if any(value != values[0] for value in values):
            found.append(Difference(factor, tuple(values)))
    return found


def effective_values(config: TrainConfig) -> dict[str, str]:
    """A configuration as its factors take effect, as text: unstated values are what they stand for."""
    config = config.canonical
    values = asdict(config) | {
        "dropout": config.architecture.dropout,
        "hidden": config.architecture.hidden,
        "epoch_size": config.images_per_epoch,
        "augment": "none" if config.augment is None else describe_strengths(config.augment),
    }
    return {name: value_in_words(values[name]) for name in FACTORS}


def value_in_words(value: object) -> str:
    """``yes``, ``54,000``, ``0.003``, ``3-layer``; different values look different."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def describe_strengths(augment: AugmentConfig) -> str:
    """The strengths that are not zero, by the names of their options."""
    strengths = {name: value for name, value in asdict(augment).items() if name != "erase_area" and value > 0}
    words = [f"{name} {value_in_words(value)}" for name, value in strengths.items()]
    if augment.erase_area != AugmentConfig.erase_area:
        words.append("of {} to {} of the area".format(*map(value_in_words, augment.erase_area)))
    return ", ".join(words)


def factors_between(pairs: Sequence[tuple[str, str]], variants: Sequence[Variant]) -> list[str]:
    """The factors of all pairs of variants that differ in more than one: empty for a controlled comparison."""
    by_name = {variant.name: variant.config for variant in variants}
    several: dict[str, None] = {}
    for before, after in pairs:
        found = [difference.factor for difference in differences([by_name[before], by_name[after]])]
        if len(found) > 1:
            several |= dict.fromkeys(found)
    return list(several)

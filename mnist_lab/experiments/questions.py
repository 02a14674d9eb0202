"""The lab's experiments: questions, and the variants that answer them.

Each is a controlled comparison. Its variants differ in one factor, train with the same seeds through the one training
loop, and leave ordinary runs; what is compared is a list of pairs. Nothing here trains.
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
    settings_of,
)
from mnist_lab.errors import RequestError
from mnist_lab.experiments import measures

SEEDS = 5
"""Trainings of every variant, unless another number is asked for."""

MOST_SEEDS = 100


@dataclass(frozen=True)
class Variant:
    """One of the things compared: a name, and a configuration that gets every seed in turn."""

    name: str
    config: TrainConfig


@dataclass(frozen=True)
class Experiment:
    """A question, and how it is put to the networks."""

    name: str
    question: str
    factor: str  # what the variants differ in
    epochs: int  # usual length of its trainings
    variants: Callable[[int], tuple[Variant, ...]]  # for a number of epochs
    pairs: tuple[tuple[str, str], ...]  # which are compared: (before, after)
    explanation: str  # what to look for
    measure: measures.Measure = measures.of_variants
    asks_only: bool = False  # it asks networks about digits shown in some way, and so may ask saved runs as well


# --- the variants ------------------------------------------------------------------------------------------------


def _three_layers(epochs: int, augment: AugmentConfig | None = None, **changes: Any) -> TrainConfig:
    usual = default_config("3-layer", augmented=False, epochs=epochs)
    return replace(usual, augment=augment, **changes)


def _usual_augmentation(epochs: int) -> AugmentConfig:
    return default_config("3-layer", augmented=True, epochs=epochs).augment or AugmentConfig()


def _depth(epochs: int) -> tuple[Variant, ...]:
    """The three networks, with the dropout and hidden units of the deepest: they differ in their layers only."""
    usual = _three_layers(epochs)
    deepest = usual.architecture
    stated = replace(usual, dropout=deepest.dropout, hidden=deepest.hidden)
    return (
        Variant("1-layer", replace(stated, model="1-layer")),
        Variant("2-layer", replace(stated, model="2-layer")),
        Variant("3-layer", usual),
    )


def _augmentation(epochs: int) -> tuple[Variant, ...]:
    """None, all kinds together, and each kind alone; what is usually off is as strong as where it is shown."""
    usually_off = {
        name: getattr(FULL_AUGMENTATION, name) for kind in ("pen", "erasing") for name in AUGMENTATIONS[kind]
    }
    everything = replace(_usual_augmentation(epochs), **usually_off)
    return (
        Variant("plain", _three_layers(epochs)),
        Variant("all", _three_layers(epochs, everything)),
        *(Variant(kind, _three_layers(epochs, everything.only(kind))) for kind in AUGMENTATIONS),
    )


def _regularisation(epochs: int) -> tuple[Variant, ...]:
    return (
        Variant("neither", _three_layers(epochs, batch_norm=False, dropout=0.0)),
        Variant("batch norm", _three_layers(epochs, batch_norm=True, dropout=0.0)),
        Variant("dropout", _three_layers(epochs, batch_norm=False)),
        Variant("both", _three_layers(epochs)),
    )


def _data_size(epochs: int) -> tuple[Variant, ...]:
    """Four sizes, each without and with augmentation, all with as many update steps as an epoch of all digits has."""
    variants = []
    for size in measures.DATA_SIZES:
        # Patience would end the small ones sooner, and the number of steps would be a second factor.
        plain = _three_layers(epochs, train_size=size, epoch_size=TRAIN_DIGITS, patience=epochs)
        variants.append(Variant(f"{size:,} plain", plain))
        variants.append(Variant(f"{size:,} augmented", replace(plain, augment=_usual_augmentation(epochs))))
    return tuple(variants)


def _bad_idea(epochs: int) -> tuple[Variant, ...]:
    """No augmentation, and two that turn digits into what they are not."""
    return (
        Variant("plain", _three_layers(epochs)),
        Variant("mirrored", _three_layers(epochs, replace(NO_AUGMENTATION, flip=0.5))),
        Variant("upside down", _three_layers(epochs, replace(NO_AUGMENTATION, rotation=180.0))),
    )


def _without_and_with(epochs: int) -> tuple[Variant, ...]:
    return Variant("plain", _three_layers(epochs)), *_augmented_only(epochs)


def _augmented_only(epochs: int) -> tuple[Variant, ...]:
    return (Variant("augmented", _three_layers(epochs, _usual_augmentation(epochs))),)


def _lone_recipe(epochs: int) -> tuple[Variant, ...]:
    """The smallest network, without augmentation: its seeds are all that differs."""
    return (Variant("1-layer", default_config("1-layer", augmented=False, epochs=epochs)),)


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "depth", "Do more layers help?", "the number of convolution layers", 4, _depth,
            (("1-layer", "2-layer"), ("2-layer", "3-layer")),
            "Each layer sees a larger part of the digit. Compared is what one more layer brings: watch whether the "
            "second step gains as much as the first.",
        ),
        Experiment(
            "augmentation", "Does augmentation help?", "the augmentation", 4, _augmentation,
            tuple(("plain", kind) for kind in ("all", *AUGMENTATIONS)),
            "All is the four kinds together, each as strong as alone. MNIST's test digits are written like its "
            "training digits, so little is left to gain here. The experiment robustness shows what augmentation is "
            "really for.",
        ),
        Experiment(
            "regularisation", "Do batch norm and dropout help, alone and together?", "batch norm, dropout", 4,
            _regularisation,
            (("neither", "batch norm"), ("neither", "dropout"), ("batch norm", "both"), ("dropout", "both")),
            "If both worked independently, dropout would gain the same with and without batch norm.",
            measures.of_regularisation,
        ),
        Experiment(
            "data-size", "When does augmentation matter most?", "the augmentation, at four sizes", 2, _data_size,
            tuple((f"{size:,} plain", f"{size:,} augmented") for size in measures.DATA_SIZES),
            "Every training takes the same number of update steps, however few digits it sees again and again.",
            measures.of_sizes,
        ),
        Experiment(
            "inversion", "Why must a drawing be inverted?", "how the digits are shown", 4, _augmented_only, (),
            "A network has learned white ink on black. It has no idea that ink may be dark.",
            measures.of_inversion, asks_only=True,
        ),
        Experiment(
            "robustness", "Where does augmentation really show?", "the augmentation", 4, _without_and_with,
            (("plain", "augmented"),),
            "Look beyond the shaded range: what was not trained is not learned.",
            measures.of_robustness, asks_only=True,
        ),
        Experiment(
            "validation", "Why a validation set of its own?", "the seed", 1, _lone_recipe, (),
            "The more is chosen by the test digits, the less they tell about digits that nobody has seen.",
            measures.of_selection,
        ),
        Experiment(
            "bad-idea", "Which augmentation hurts?", "the augmentation", 4, _bad_idea,
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


# --- what differs ------------------------------------------------------------------------------------------------


def differences(configs: Sequence[TrainConfig]) -> dict[str, tuple[str, ...]]:
    """The factors that some configurations differ in, besides their seeds, and each one's value, as text.

    Unstated values are what they stand for.
    """
    effective = [_effective_values(config) for config in configs]
    by_factor = {factor: tuple(values[factor] for values in effective) for factor in effective[0]}
    return {factor: values for factor, values in by_factor.items() if len(set(values)) > 1}


def _effective_values(config: TrainConfig) -> dict[str, str]:
    config = config.canonical
    augmentation = "none" if config.augment is None else _strengths_in_words(config.augment)
    effective = {
        "dropout": config.architecture.dropout,
        "hidden": config.architecture.hidden,
        "epoch_size": config.images_per_epoch,
    }
    values = {
        found.label: _in_words(effective.get(name, getattr(config, name)))
        for name, found in settings_of(TrainConfig).items()
        if name != "seed"
    }
    return {"architecture": config.model, "augmentation": augmentation} | values


def _in_words(value: object) -> str:
    """``yes``, ``54,000``, ``0.003``, ``3-layer``; different values look different."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def _strengths_in_words(augment: AugmentConfig) -> str:
    """The strengths that are not zero, by the names of their options."""
    strengths = {name: value for name, value in asdict(augment).items() if name != "erase_area" and value > 0}
    words = [f"{name} {_in_words(value)}" for name, value in strengths.items()]
    if augment.erase_area != AugmentConfig.erase_area:
        words.append("of {} to {} of the area".format(*map(_in_words, augment.erase_area)))
    return ", ".join(words)


def factors_between(pairs: Sequence[tuple[str, str]], variants: Sequence[Variant]) -> list[str]:
    """The factors of all pairs of variants that differ in more than one: empty for a controlled comparison."""
    by_name = {variant.name: variant.config for variant in variants}
    several: dict[str, None] = {}
    for before, after in pairs:
        found = differences([by_name[before], by_name[after]])
        if len(found) > 1:
            several |= dict.fromkeys(found)
    return list(several)

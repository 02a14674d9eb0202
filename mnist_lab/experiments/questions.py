"""The lab's experiments: questions, and the variants that answer them.

Each is a controlled comparison: its variants differ in one factor, train with the same seeds through the one training
loop, and leave ordinary runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

from mnist_lab import config as settings
from mnist_lab.config import AUGMENTATIONS, AugmentConfig, TrainConfig, default_config, settings_of
from mnist_lab.experiments import learning, measures
from mnist_lab.terminal.wording import describe_strength

_RANDOM = (0, 20, 50, 100)  # percent of the training digits whose labels are drawn at random
SEEDS, MOST_SEEDS = 5, 100  # trainings of every variant: the usual number, and the most that may be asked for


@dataclass(frozen=True)
class Variant:
    """One of the things compared."""

    name: str
    config: TrainConfig  # gets every seed in turn


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
    measure: Callable[[measures.Networks], measures.Measured] = measures.of_variants
    asks_only: bool = False  # it asks networks about digits shown in some way, and so may ask saved runs as well


def _variants(name: str, epochs: int) -> tuple[Variant, ...]:
    plain = default_config("3-layer", augmented=False, epochs=epochs)
    usual = default_config("3-layer", augmented=True, epochs=epochs).augment or AugmentConfig()
    augmented = replace(plain, augment=usual)
    deepest = plain.architecture  # its dropout and hidden units for all three: they differ in their layers only
    stated = replace(plain, dropout=deepest.dropout, hidden=deepest.hidden)
    usually_off = AUGMENTATIONS["pen"] + AUGMENTATIONS["erasing"]  # as strong as where they are shown
    everything: AugmentConfig = replace(
        usual, **{name: getattr(settings.FULL_AUGMENTATION, name) for name in usually_off}
    )
    alone = {kind: replace(plain, augment=everything.only(kind)) for kind in AUGMENTATIONS}
    sizes = {}
    for size in measures.DATA_SIZES:
        # As many steps as an epoch of all digits has; the usual patience would end the small ones sooner.
        changes: dict[str, Any] = {"train_size": size, "epoch_size": settings.TRAIN_DIGITS, "patience": epochs}
        sizes[f"{size:,} plain"] = replace(plain, **changes)
        sizes[f"{size:,} augmented"] = replace(augmented, **changes)
    # Nothing that would keep a network from learning its digits by heart, and no end before the last epoch.
    bare: dict[str, Any] = {"dropout": 0.0, "label_smoothing": 0.0, "average_decay": 0.0, "patience": epochs}
    simplest = replace(default_config("1-layer", augmented=False, recipe="plain", epochs=epochs), **bare)
    simplest = replace(simplest, train_size=2_000, batch_size=64)
    few = replace(default_config("2-layer", augmented=False, epochs=epochs), **bare, batch_norm=False, weight_decay=0.0)
    few = replace(few, train_size=300, epoch_size=1_500, batch_size=32, learning_rate=1e-3)
    quick = replace(default_config("3-layer", augmented=False, recipe="plain", epochs=epochs), train_size=10_000)
    configs = {
        "memorise": {f"{percent} % random": replace(simplest, random_labels=percent / 100) for percent in _RANDOM},
        "overfit": {
            "neither": few,
            "dropout": replace(few, dropout=0.5),
            "augmentation": replace(few, augment=AugmentConfig()),
            "weight decay": replace(few, weight_decay=1.0),
            "all three": replace(few, dropout=0.5, augment=AugmentConfig(), weight_decay=1.0),
        },
        "learning-rate": {f"{rate:g}": replace(quick, learning_rate=rate) for rate in learning.LEARNING_RATES},
        "depth": {**{model: replace(stated, model=model) for model in ("1-layer", "2-layer")}, "3-layer": plain},
        "augmentation": {"plain": plain, "all": replace(plain, augment=everything), **alone},
        "regularisation": {
            "neither": replace(plain, batch_norm=False, dropout=0.0),
            "batch norm": replace(plain, dropout=0.0),
            "dropout": replace(plain, batch_norm=False),
            "both": plain,
        },
        "data-size": sizes,
        "inversion": {"augmented": augmented},
        "robustness": {"plain": plain, "augmented": augmented},
        "validation": {"1-layer": default_config("1-layer", augmented=False, epochs=epochs)},
        "bad-idea": {
            "plain": plain,
            "mirrored": replace(plain, augment=replace(settings.NO_AUGMENTATION, flip=0.5)),
            "upside down": replace(plain, augment=replace(settings.NO_AUGMENTATION, rotation=180.0)),
        },
    }
    return tuple(Variant(*parts) for parts in configs[name].items())


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "depth", "Do more layers help?", "the number of convolution layers", 4, partial(_variants, "depth"),
            (("1-layer", "2-layer"), ("2-layer", "3-layer")),
            "Each layer sees a larger part of the digit. Watch whether the second step gains as much as the first.",
        ),
        Experiment(
            "augmentation", "Does augmentation help?", "the augmentation", 4, partial(_variants, "augmentation"),
            tuple(("plain", kind) for kind in ("all", *AUGMENTATIONS)),
            "All is the four kinds together, each as strong as alone. MNIST's test digits are written like its "
            "training digits, so little is left to gain: robustness shows what augmentation is really for.",
        ),
        Experiment(
            "regularisation", "Do batch norm and dropout help, alone and together?", "batch norm, dropout", 4,
            partial(_variants, "regularisation"),
            (("neither", "batch norm"), ("neither", "dropout"), ("batch norm", "both"), ("dropout", "both")),
            "If both worked independently, dropout would gain the same with and without batch norm.",
            measures.of_regularisation,
        ),
        Experiment(
            "data-size", "When does augmentation matter most?", "the augmentation, at four sizes", 2,
            partial(_variants, "data-size"),
            tuple((f"{size:,} plain", f"{size:,} augmented") for size in measures.DATA_SIZES),
            "Every training takes the same number of update steps, however few digits it sees again and again.",
            measures.of_sizes,
        ),
        Experiment(
            "inversion", "Why must a drawing be inverted?", "how the digits are shown", 4,
            partial(_variants, "inversion"), (),
            "A network has learned white ink on black. It has no idea that ink may be dark.",
            measures.of_inversion, asks_only=True,
        ),
        Experiment(
            "robustness", "Where does augmentation really show?", "the augmentation", 4,
            partial(_variants, "robustness"), (("plain", "augmented"),),
            "Look beyond the shaded range: what was not trained is not learned.",
            measures.of_robustness, asks_only=True,
        ),
        Experiment(
            "validation", "Why a separate validation set?", "the seed", 1, partial(_variants, "validation"), (),
            "The more is chosen by the test digits, the less they say about digits that nobody has seen.",
            measures.of_selection,
        ),
        Experiment(
            "bad-idea", "Which augmentation hurts?", "the augmentation", 4, partial(_variants, "bad-idea"),
            (("plain", "mirrored"), ("plain", "upside down")),
            "A mirrored 2 is not a 2, and a 6 upside down is a 9: augmentation must keep what a digit means.",
        ),
        Experiment(
            "memorise", "Can a network learn labels that mean nothing?", "the fraction of random labels", 30,
            partial(_variants, "memorise"), tuple(pairwise(f"{percent} % random" for percent in _RANDOM)),
            "What is right for many digits is learned first, and what is wrong digit by digit. Nothing here holds the "
            "network back: no dropout, no augmentation, no weight decay, a constant learning rate (Zhang et al. 2017, "
            "arXiv:1611.03530; Arpit et al. 2017, arXiv:1706.05394).",
            learning.of_memorising,
        ),
        Experiment(
            "overfit", "What closes the gap between training and validation?", "dropout, augmentation, weight decay",
            20, partial(_variants, "overfit"),
            tuple(("neither", name) for name in ("dropout", "augmentation", "weight decay", "all three")),
            "With 300 digits a network soon knows all of them by heart, and goes on growing surer, also where it is "
            "wrong. An epoch has each digit five times. Batch norm, which holds networks back as well, is off. All "
            "three together differ from neither in three factors: which of them does it, that pair can't tell.",
            learning.of_overfitting,
        ),
        Experiment(
            "learning-rate", "How large may the learning rate be?", "the learning rate", 1,
            partial(_variants, "learning-rate"), tuple(pairwise(f"{rate:g}" for rate in learning.LEARNING_RATES)),
            "Too low wastes the epoch, too high never settles, and a little more destroys what was learned (Smith "
            "2017, arXiv:1506.01186). The rate is constant here: a schedule that falls allows higher ones.",
            learning.of_rates,
        ),
    )
}  # fmt: skip
"""The experiments that train, by name."""


def differences(configs: Sequence[TrainConfig]) -> dict[str, tuple[str, ...]]:
    """The factors that some configurations differ in, besides their seeds, and each one's value as text."""
    effective = [_effective_values(replace(config, seed=0)) for config in configs]
    by_factor = {factor: tuple(values[factor] for values in effective) for factor in effective[0]}
    return {factor: values for factor, values in by_factor.items() if len(set(values)) > 1}


def _effective_values(config: TrainConfig) -> dict[str, str]:
    config = config.canonical
    stated = replace(config.spelt_out, epoch_size=config.images_per_epoch)
    augmentation = "none" if config.augment is None else _strengths_in_words(config.augment)
    values = {found.label: _in_words(getattr(stated, name)) for name, found in settings_of(TrainConfig).items()}
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


def strengths(configs: Sequence[TrainConfig]) -> dict[str, tuple[str, ...]]:
    """The strengths of augmentation that some configurations differ in, by name, and each one's value as text."""
    augments = [config.canonical.augment or settings.NO_AUGMENTATION for config in configs]
    values = {name: [getattr(augment, name) for augment in augments] for name in settings_of(AugmentConfig)}
    told = {name: tuple(describe_strength(name, one) for one in row) for name, row in values.items() if len({*row}) > 1}
    areas = [" to ".join(map(_in_words, augment.erase_area)) for augment in augments]
    return told | ({"erased area": tuple(areas)} if len({*areas}) > 1 else {})


def _strengths_in_words(augment: AugmentConfig) -> str:
    strengths = {name: getattr(augment, name) for name in settings_of(AugmentConfig)}
    words = [f"{name} {_in_words(value)}" for name, value in strengths.items() if value > 0]
    if augment.erase_area != AugmentConfig.erase_area:
        words.append("of {} to {} of the area".format(*map(_in_words, augment.erase_area)))
    return ", ".join(words)


def factors_between(pairs: Sequence[tuple[str, str]], variants: Sequence[Variant]) -> list[str]:
    """The factors of all pairs of variants that differ in more than one: empty for a controlled comparison."""
    by_name = {variant.name: variant.config for variant in variants}
    found = [differences([by_name[before], by_name[after]]) for before, after in pairs]
    return list(dict.fromkeys(factor for factors in found if len(factors) > 1 for factor in factors))

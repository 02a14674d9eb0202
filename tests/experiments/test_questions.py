"""The experiments as descriptions: controlled, complete, and honest about what differs."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, pairwise

import pytest

from mnist_lab.config import AUGMENTATIONS, TRAIN_DIGITS, AugmentConfig, check_config, default_config
from mnist_lab.data.loader import TrainLoader
from mnist_lab.data.mnist import Mnist, stratified_subset
from mnist_lab.experiments.measures import DATA_SIZES
from mnist_lab.experiments.questions import (
    EXPERIMENTS,
    Variant,
    differences,
    factors_between,
    strengths,
)
from mnist_lab.experiments.statistics import parse_prediction
from mnist_lab.training.trainer import EarlyStopping

USUAL = default_config("3-layer", augmented=True)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("epochs", [1, 4, 16])
def test_every_comparison_differs_in_one_factor(name: str, epochs: int) -> None:
    experiment = EXPERIMENTS[name]
    variants = experiment.variants(epochs)
    by_name = {variant.name: variant.config for variant in variants}
    assert len(by_name) == len(variants)
    for variant in variants:
        check_config(variant.config)
        assert variant.config.epochs == epochs
    controlled = [pair for pair in experiment.pairs if pair != ("neither", "all three")]  # which says so on its page
    for before, after in controlled:
        assert len(differences([by_name[before], by_name[after]])) == 1
    assert factors_between(controlled, variants) == []
    assert len(controlled) in (len(experiment.pairs), 3)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_comparison_can_be_predicted(name: str) -> None:
    """As the menu asks for it, and as --predict takes it."""
    pairs = EXPERIMENTS[name].pairs
    names = list(chain(*pairs))
    for before, after in pairs:
        assert parse_prediction(f"{after} > {before} by 0.3", names) == (after, before, 0.3)
        assert parse_prediction(f"{before} = {after}".upper(), names) == (before, after, 0)


@pytest.mark.parametrize("epochs", [2, 16, 30])
@pytest.mark.parametrize("name", ["memorise", "overfit", "data-size"])
def test_nothing_ends_a_training_before_its_last_epoch_where_its_length_matters(name: str, epochs: int) -> None:
    for variant in EXPERIMENTS[name].variants(epochs):
        stopping = EarlyStopping(variant.config.patience)
        for epoch in range(1, epochs):
            stopping.update(epoch, 0.1 * epoch)  # worse and worse
            assert not stopping.exhausted, variant.name


@pytest.mark.parametrize("name", ["memorise", "overfit"])
def test_the_network_that_learns_by_heart_is_the_one_that_is_measured(name: str) -> None:
    assert not any(variant.config.average_decay for variant in EXPERIMENTS[name].variants(2))


def test_the_rates_span_four_decades_evenly() -> None:
    rates = [variant.config.learning_rate for variant in EXPERIMENTS["learning-rate"].variants(1)]
    assert (len(rates), rates[0], rates[-1]) == (8, 1e-4, 1.0)
    assert [b / a for a, b in pairwise(rates)] == pytest.approx([10 ** (4 / 7)] * 7, rel=0.02)


@pytest.mark.parametrize("epochs", [4, 16])
def test_all_augmentation_is_the_kinds_that_are_compared_with_it(epochs: int) -> None:
    configs = {variant.name: variant.config.augment for variant in EXPERIMENTS["augmentation"].variants(epochs)}
    together = configs.pop("all")
    assert together is not None
    alone = {name: augment for name, augment in configs.items() if augment is not None}
    assert set(alone) == set(AUGMENTATIONS)
    for kind, augment in alone.items():
        assert augment == together.only(kind)
        assert any(getattr(augment, strength) > 0 for strength in AUGMENTATIONS[kind])


def test_all_sizes_take_equally_many_steps_on_nested_digits(mnist: Mnist) -> None:
    configs = [variant.config for variant in EXPERIMENTS["data-size"].variants(2)]
    steps = set()
    for config in configs:
        digits = stratified_subset(mnist.train, config.train_size)
        loader = TrainLoader(digits, None, batch_size=config.batch_size, seed=0, epoch_size=config.epoch_size)
        steps.add(len(loader))
    assert len(steps) == 1
    subsets = [set(stratified_subset(mnist.train, size).indices.tolist()) for size in DATA_SIZES]
    for smaller, larger in pairwise(subsets):
        assert smaller < larger
    assert [len(subset) for subset in subsets] == [500, 2_000, 10_000, TRAIN_DIGITS]


# ------------------------------------------------------------------------------------------------ what differs


def test_seeds_are_no_difference_and_an_unstated_dropout_is_the_usual_one() -> None:
    assert differences([USUAL, replace(USUAL, seed=7)]) == {}
    assert differences([USUAL, replace(USUAL, dropout=0.0)]) == {"dropout": ("0.3", "0")}


def test_a_different_depth_of_the_usual_networks_is_two_factors() -> None:
    one, three = (default_config(model, augmented=False, epochs=4) for model in ("1-layer", "3-layer"))
    assert list(differences([one, three])) == ["architecture", "dropout", "hidden units"]
    variants = [Variant("one", one), Variant("three", three)]
    assert factors_between([("one", "three")], variants) == ["architecture", "dropout", "hidden units"]


def test_augmentations_are_told_strength_by_strength() -> None:
    usual = AugmentConfig()
    recipes = [
        replace(USUAL, augment=augment)
        for augment in (None, usual, replace(usual, rotation=20.0, erasing=0.5, erase_area=(0.1, 0.2)))
    ]
    assert strengths(recipes) == {
        "rotation": ("–", "±10°", "±20°"),
        "shift": ("–", "±7 %", "±7 %"),
        "scale": ("–", "±10 %", "±10 %"),
        "shear": ("–", "±8°", "±8°"),
        "strokes": ("–", "in 2 %", "in 2 %"),
        "erasing": ("–", "–", "in 50 %"),
        "erased area": ("0.02 to 0.1", "0.02 to 0.1", "0.1 to 0.2"),
    }
    assert strengths(recipes[:1] * 2) == {}


def test_every_setting_that_two_trainings_can_differ_in_is_told() -> None:
    other = replace(
        USUAL, model="2-layer", augment=None, recipe="plain", epochs=3, batch_size=7, learning_rate=0.1, train_size=500,
        label_smoothing=0.2, average_decay=0.5, patience=1, epoch_size=900, batch_norm=False, dropout=0.9, hidden=9,
        random_labels=0.5,
    )  # fmt: skip
    told = differences([USUAL, other])
    never_alone = {"seed", "plain_epochs"}  # without augmentation, there are no final epochs without it
    assert len(told) == len(USUAL.to_dict().keys() - never_alone)
    assert told["augmentation"][1] == "none"
    assert told["digits in an epoch"] == ("54,000", "900")
    assert differences([USUAL, replace(USUAL, plain_epochs=2)]) == {"final epochs without augmentation": ("0", "2")}

"""Configurations: defaults, ranges, and the way to disk and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mnist_lab.config import ARCHITECTURES, Architecture, AugmentConfig, TrainConfig, check_config, default_config
from mnist_lab.errors import RequestError


@pytest.mark.parametrize("model", ARCHITECTURES)
@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("recipe", ["one-cycle", "plain"])
def test_defaults_are_in_range_and_survive_json(model: str, augmented: bool, recipe: Any) -> None:
    config = default_config(model, augmented=augmented, recipe=recipe)
    check_config(config)
    assert (config.augment is not None) == augmented
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_plain_recipe_is_plain() -> None:
    config = default_config("3-layer", augmented=True, recipe="plain")
    assert (config.weight_decay, config.label_smoothing, config.average_decay, config.plain_epochs) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": "9-layer"}, "there is no model '9-layer'; choose one of 1-layer, 2-layer, 3-layer"),
        ({"recipe": "secret"}, "there is no recipe 'secret'"),
        ({"epochs": 0}, "--epochs is 0; give a whole number from 1 to 10,000"),
        ({"epochs": -3}, "--epochs is -3"),
        ({"epochs": 1.5}, "--epochs is 1.5"),
        ({"seed": -1}, "--seed is -1"),
        ({"seed": "x"}, "--seed is x"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"patience": 0}, "--patience is 0"),
        ({"train_size": 60_000}, "--train-size is 60000"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"label_smoothing": 1.5}, "--label-smoothing is 1.5"),
        ({"average_decay": True}, "--average-decay is True"),
        ({"epoch_size": -1}, "--epoch-size is -1"),
        ({"dropout": 1.0}, "--dropout is 1.0; give a number from 0 to 0.95"),
        ({"hidden": 0}, "--hidden is 0; give a whole number from 1 to 4,096"),
        ({"batch_norm": "no"}, "batch_norm is 'no'"),
        ({"augment": AugmentConfig(elastic=0.5)}, "--elastic is 0.5; give a number from 0 to 0.2"),
        ({"augment": AugmentConfig(thickness=2)}, "--thickness is 2"),
        ({"augment": AugmentConfig(strokes=-0.1)}, "--strokes is -0.1"),
        ({"augment": AugmentConfig(flip=1.1)}, "--flip is 1.1"),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_config(replace(TrainConfig(), **changes))
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"augment": 3},
        TrainConfig().to_dict() | {"epochs": "many"},
        TrainConfig().to_dict() | {"new": 1},
        TrainConfig().to_dict() | {"augment": {"erase_area": [0, 1], "tilt": 3}},
    ],
)
def test_a_foreign_configuration_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        TrainConfig.from_dict(values)


def test_an_augmentation_knows_what_it_does() -> None:
    assert AugmentConfig(erasing=0.5).erases
    assert not AugmentConfig(erasing=0.5).only("erasing").moves
    assert AugmentConfig().only("affine").moves
    assert AugmentConfig().only("pen").moves
    assert not replace(AugmentConfig().only("pen"), elastic=0, strokes=0).moves  # another thickness moves nothing


def test_a_run_from_before_the_pens_is_read_as_it_was_made() -> None:
    values = json.loads(json.dumps(TrainConfig(augment=AugmentConfig(rotation=3)).to_dict()))
    for name in ("epoch_size", "batch_norm", "dropout", "hidden"):
        del values[name]
    for name in ("flip", "elastic", "thickness", "strokes"):
        del values["augment"][name]
    expected = AugmentConfig(rotation=3, elastic=0, thickness=0, strokes=0)
    assert TrainConfig.from_dict(values) == TrainConfig(augment=expected, hidden=128)  # as all networks had then


def test_a_configuration_decides_the_architecture() -> None:
    assert TrainConfig().architecture == ARCHITECTURES["3-layer"]
    changed = TrainConfig(model="2-layer", batch_norm=False, dropout=0.4, hidden=64).architecture
    assert changed == Architecture(filters=(32, 64), batch_norm=False, dropout=0.4, hidden=64)
    assert TrainConfig(train_size=500).images_per_epoch == 500
    assert TrainConfig(train_size=500, epoch_size=2000).images_per_epoch == 2000

"""Configurations: defaults, ranges, and the way to disk and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mnist_lab.config import ARCHITECTURES, AugmentConfig, TrainConfig, check_config, default_config
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

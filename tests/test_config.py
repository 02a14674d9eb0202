"""Configurations: defaults, ranges, and the way to disk and back."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import main
from mnist_lab.config import (
    ARCHITECTURES,
    Architecture,
    AugmentConfig,
    TrainConfig,
    changed_options,
    check_config,
    default_config,
)
from mnist_lab.errors import RequestError
from mnist_lab.training.session import repeat_command
from tests.training.test_runs import make_run


@pytest.mark.parametrize("model", ARCHITECTURES)
@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("recipe", ["one-cycle", "plain"])
def test_defaults_are_in_range_and_survive_json(model: str, augmented: bool, recipe: Any) -> None:
    config = default_config(model, augmented=augmented, recipe=recipe)
    check_config(config)
    assert (config.augment is not None) == augmented
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("wrong", [{"model": "9-layer"}, {"recipe": "secret"}])
def test_there_is_no_default_for_what_there_is_not(wrong: dict[str, str]) -> None:
    with pytest.raises(RequestError, match=r"there is no .* choose one of"):
        default_config(**{"model": "3-layer", "augmented": True} | wrong)  # type: ignore[arg-type]


def test_the_plain_recipe_is_plain() -> None:
    config = default_config("3-layer", augmented=True, recipe="plain")
    assert (config.weight_decay, config.label_smoothing, config.average_decay, config.plain_epochs) == (0, 0, 0, 0)


def test_short_trainings_learn_faster_with_milder_augmentation() -> None:
    short, longer, longest = (default_config("3-layer", augmented=True, epochs=epochs) for epochs in (4, 5, 16))
    assert short.learning_rate > longer.learning_rate == longest.learning_rate
    assert short.augment is not None
    assert longer.augment is not None
    assert short.augment.rotation < longer.augment.rotation
    assert default_config("1-layer", augmented=True) == default_config("1-layer", augmented=True, epochs=4)


@pytest.mark.parametrize(("model", "dropout"), [("1-layer", 0.0), ("2-layer", 0.1), ("3-layer", 0.1)])
def test_a_single_augmented_epoch_has_a_recipe_of_its_own(model: str, dropout: float) -> None:
    one, two = (default_config(model, augmented=True, epochs=epochs) for epochs in (1, 2))
    assert (one.learning_rate, one.label_smoothing, one.architecture.dropout) == (0.012, 0.1, dropout)
    assert (two.learning_rate, two.label_smoothing, two.dropout) == (0.006, 0.05, None)
    assert one.augment is not None
    assert two.augment is not None
    for name in ("rotation", "shift", "scale", "shear"):
        assert getattr(one.augment, name) == pytest.approx(0.7 * getattr(two.augment, name))
    for other in ({"augmented": False}, {"augmented": True, "recipe": "plain"}):
        one, two = (default_config(model, **other, epochs=epochs) for epochs in (1, 2))
        assert one == replace(two, epochs=1)


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


@pytest.mark.parametrize("area", [[], [0.1], [0.1, 0.2, 0.3], [0.2, 0.1], ["a", "b"], "ab", None])
def test_a_saved_rectangle_that_is_none_stops_no_training_half_way(
    area: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig(model="1-layer", augment=AugmentConfig(erasing=0.5)).to_dict()
    config["augment"]["erase_area"] = area
    folder = make_run(tmp_path, "stopped", status="running", augment=True, config=config)
    assert main.main(["resume", "--outputs", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("the saved configuration can't be used (")
    assert not list(folder.glob("*.pt"))


WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 2, 0.5, 10**400, 10**5000, -1e308, float("nan"), float("inf"), "", "1", "many" * 1000, "\ud800"),
    *([], [1], [0.3, 0.1], [0.1, 0.2, 0.3], [None, None], {}, {"a": 1}, json.loads("[" * 900 + "]" * 900), "plain"),
)


def test_no_saved_value_is_worse_than_refused() -> None:
    chance = random.Random(5)
    accepted = 0
    for _ in range(500):
        values = TrainConfig(augment=AugmentConfig()).to_dict()
        part = chance.choice([values, values["augment"]])
        for name in chance.choices([*part, "unknown"], k=chance.randint(1, 2)):
            part[name] = chance.choice(WRONG_VALUES)
        try:
            config = TrainConfig.from_dict(values)
        except RequestError as refusal:
            assert len(str(refusal)) < 300
        else:
            check_config(config)
            assert "python main.py train" in repeat_command(config)
            accepted += 1
    assert 0 < accepted < 250


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


def test_the_options_that_a_recipe_changes_leave_out_the_recipe_itself_and_the_seed() -> None:
    usual = default_config("2-layer", augmented=True, recipe="plain", epochs=3)
    assert changed_options(replace(usual, seed=7)) == []
    milder = replace(usual, batch_norm=False, hidden=64, augment=replace(usual.augment or AugmentConfig(), shear=1.5))
    assert changed_options(milder) == ["--no-batch-norm", "--hidden", "64", "--shear", "1.5"]


def test_an_earlier_run_of_one_epoch_is_repeated_with_the_values_that_it_had() -> None:
    """It left the dropout to the network; today's recipe for one epoch names another."""
    usual = replace(default_config("3-layer", augmented=True, epochs=4), epochs=1)
    assert usual.dropout is None
    words = changed_options(usual)
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert given["--dropout"] == "0.3"
    assert given["--learning-rate"] == "0.006"
    assert given["--label-smoothing"] == "0.05"
    assert given["--rotation"] == "7.0"
    assert changed_options(replace(default_config("3-layer", augmented=True, epochs=4), dropout=0.3)) == []


def test_a_configuration_decides_the_architecture() -> None:
    assert TrainConfig().architecture == ARCHITECTURES["3-layer"]
    changed = TrainConfig(model="2-layer", batch_norm=False, dropout=0.4, hidden=64).architecture
    assert changed == Architecture(filters=(32, 64), batch_norm=False, dropout=0.4, hidden=64)
    assert TrainConfig(train_size=500).images_per_epoch == 500
    assert TrainConfig(train_size=500, epoch_size=2000).images_per_epoch == 2000

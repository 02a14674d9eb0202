"""The command that a run's folder names trains the very same configuration again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import torch

import main
from mnist_lab.config import ARCHITECTURES, AugmentConfig, TrainConfig, default_config
from mnist_lab.experiments.questions import EXPERIMENTS
from mnist_lab.experiments.trainings import ReportingObserver
from mnist_lab.networks.models import build_model
from mnist_lab.training.checkpoints import load_weights
from mnist_lab.training.commands import config_from_options
from mnist_lab.training.runs import read_run
from mnist_lab.training.session import repeat_command, train_new

CHANGED = replace(
    default_config("2-layer", augmented=True, epochs=3),
    seed=7,
    batch_size=64,
    patience=9,
    train_size=2000,
    epoch_size=10_000,
    dropout=0.0,
    batch_norm=False,
    learning_rate=0.001,
    weight_decay=0.1,
    label_smoothing=0.0,
    average_decay=0.0,
    plain_epochs=1,
    augment=AugmentConfig(1.0, 0.01, 0.02, 3.0, flip=0.5, elastic=0.01, thickness=0.3, strokes=0.2, erasing=0.1),
)


def repeated(config: TrainConfig) -> TrainConfig:
    words = repeat_command(config).split()
    assert words[:2] == ["python", "main.py"]
    return config_from_options(main.build_parser().parse_args(words[2:]))


@pytest.mark.parametrize("model", ARCHITECTURES)
@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("epochs", [None, 1])
def test_the_usual_recipes(model: str, augmented: bool, epochs: int | None) -> None:
    config = default_config(model, augmented=augmented, epochs=epochs)
    assert repeated(config) == config


def test_the_threads_are_named_where_they_are_known() -> None:
    words = repeat_command(CHANGED, threads=3).split()
    assert words[-2:] == ["--threads", "3"]
    assert main.build_parser().parse_args(words[2:]).threads == 3
    assert "--threads" not in repeat_command(CHANGED)


def test_everything_changed_at_once() -> None:
    assert repeated(CHANGED) == CHANGED
    plain = replace(CHANGED, augment=None, plain_epochs=0)
    assert repeated(plain) == plain


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_variant_of_every_experiment(name: str) -> None:
    for epochs in (1, 16):
        for variant in EXPERIMENTS[name].variants(epochs):
            config = replace(variant.config, seed=3)
            assert repeated(config) == config


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_the_weights_that_a_training_begins_with(seed: int, tmp_path: Path) -> None:
    """They are those that it ends with, too, where nothing is learned."""
    config = TrainConfig(
        model="1-layer", recipe="plain", seed=seed, epochs=1, train_size=100, learning_rate=0.0, weight_decay=0.0,
        average_decay=0.0, batch_norm=False, hidden=16,
    )  # fmt: skip
    observer = ReportingObserver(lambda epochs: None)
    folder = train_new(config, tmp_path, datetime(2026, 11, 22, 14), observer, workers=0, figures={})
    found = load_weights(read_run(folder))
    first, other = (build_model(config.architecture, start).state_dict() for start in (seed, 1 - seed))
    assert all(torch.equal(found[name], weights) for name, weights in first.items())
    assert not torch.equal(found["classifier.4.weight"], other["classifier.4.weight"])

"""The accuracies that the README promises, by whole trainings: minutes, so not part of the default tests."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

import main
from mnist_lab.training.runs import list_runs

SEEDS = range(5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "floor"),
    [
        (["--model", "1-layer"], 0.9860),
        (["--model", "2-layer"], 0.9920),
        (["--model", "3-layer"], 0.9945),
        (["--model", "3-layer", "--augment"], 0.9960),
        (["--model", "3-layer", "--augment", "--epochs", "1"], 0.9925),
        (["--model", "3-layer", "--augment", "--epochs", "2"], 0.9940),
        (["--model", "3-layer", "--augment", "--epochs", "4"], 0.9950),
    ],
    ids=lambda value: "".join(value).replace("--", " ").strip() if isinstance(value, list) else "",
)
def test_the_mean_of_five_seeds_exceeds_its_floor(options: list[str], floor: float, tmp_path: Path) -> None:
    for seed in SEEDS:
        assert main.main(["train", *options, "--seed", str(seed), "--outputs", str(tmp_path)]) == 0
    runs, damaged = list_runs(tmp_path)
    accuracies = [run.test_accuracy for run in runs if run.test_accuracy is not None]
    assert not damaged
    assert len(accuracies) == len(SEEDS)
    assert statistics.mean(accuracies) > floor

"""Saved runs: listed, found, locked, and loaded without trust."""

from __future__ import annotations

import json
import pickle
import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from mnist_lab.config import TrainConfig
from mnist_lab.errors import CheckpointError, RunError
from mnist_lab.networks.compute import choose_compute
from mnist_lab.networks.models import build_model
from mnist_lab.training.checkpoints import load_tensors, save_tensors
from mnist_lab.training.folder_commands import COMMANDS
from mnist_lab.training.runs import (
    UNFINISHED,
    command_line,
    find_run,
    is_being_trained,
    list_runs,
    locked,
    model_file_name,
    read_run,
)
from mnist_lab.training.session import load_trained

LIMIT = 4 << 20
START = datetime(2026, 11, 22, 14, 0).astimezone()


def run_content(**changes: Any) -> dict[str, Any]:
    return {
        "model": "1-layer",
        "augment": False,
        "seed": 0,
        "status": "finished",
        "created": START.isoformat(),
        "config": TrainConfig(model="1-layer").to_dict(),
        "epochs_run": 3,
        "best_epoch": 2,
        "stopped_early": False,
        "stop_reason": "last epoch",
        "parameters": 693_994,
        "val_accuracy": 0.985,
        "test_accuracy": 0.99,
        "test_interval": [0.987, 0.992],
        "train_seconds": 12.5,
        "images_per_second": 9000.0,
        "model_file": "model.pt",
    } | changes


def make_run(outputs: Path, name: str, **changes: Any) -> Path:
    folder = outputs / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run_content(**changes)), encoding="utf-8")
    return folder


def test_runs_are_listed_oldest_first(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        make_run(tmp_path, f"run-{number}", created=(START + timedelta(minutes=number)).isoformat())
    (tmp_path / "compare-depth").mkdir()
    found, damaged = list_runs(tmp_path)
    assert [run.name for run in found] == ["run-0", "run-1", "run-2"]
    assert damaged == []
    assert found[0].test_interval == (0.987, 0.992)


def test_no_folder_means_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == ([], [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "can't be read"),
        ('{"model": "1-layer"', "can't be read"),
        ("[" * 100_000, "can't be read"),
        ("[1, 2]", "not a JSON object"),
        ("{}", "no 'status'"),
        (json.dumps(run_content(status="done")), "unknown status 'done'"),
        (json.dumps(run_content(val_accuracy=98.5)), "98.5 is not a fraction"),
        (json.dumps(run_content(val_accuracy=float("nan"))), "not JSON compliant"),
        (json.dumps(run_content(device="\ud800")), "surrogates not allowed"),
        (json.dumps(run_content(val_accuracy=True)), "True is not a fraction"),
        (json.dumps(run_content(test_interval=[0.9, 0.1])), "not an interval"),
        (json.dumps(run_content(parameters=10**400)), "parameters is 1000000000"),
        (json.dumps(run_content(seed=-1)), "seed is -1"),
        (json.dumps(run_content(epochs_run=0)), "epochs_run is 0"),
        (json.dumps(run_content(best_epoch=4)), "best_epoch is 4"),
        (json.dumps(run_content(best_epoch=2.0)), "best_epoch is 2.0"),
        (json.dumps(run_content(stop_reason="boredom")), "unknown stop reason 'boredom'"),
        (json.dumps(run_content(train_seconds=1e308)), "1e+308 is not a duration"),
        (json.dumps(run_content(device="x" * (1 << 20))), "is larger than"),
        (json.dumps(run_content(test_interval=[0.5])), "not enough values"),
        (json.dumps(run_content(epochs_run="3")), "epochs_run is '3'"),
        (json.dumps(run_content(seed=True)), "seed is True"),
        (json.dumps(run_content(created="yesterday")), "Invalid isoformat"),
        (json.dumps(run_content(train_seconds=-1)), "-1 is not a duration"),
    ],
)
def test_a_damaged_folder_is_listed_as_such(tmp_path: Path, text: str, expected: str) -> None:
    make_run(tmp_path, "good")
    (make_run(tmp_path, "bad") / "run.json").write_text(text, encoding="utf-8")
    found, (damaged,) = list_runs(tmp_path)
    assert [run.name for run in found] == ["good"]
    assert damaged.folder.name == "bad"
    assert expected in damaged.reason
    assert "\n" not in damaged.reason


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    (make_run(tmp_path, "bad") / "run.json").write_bytes(b"\xff\xfe\x00{")
    assert len(list_runs(tmp_path)[1]) == 1


def test_a_run_can_be_named_in_four_ways(tmp_path: Path) -> None:
    make_run(tmp_path, "old", val_accuracy=0.99, test_accuracy=0.5, created=START.isoformat())
    make_run(tmp_path, "new", val_accuracy=0.98, test_accuracy=0.9, created=(START + timedelta(days=1)).isoformat())
    later = (START + timedelta(days=2)).isoformat()
    make_run(tmp_path, "unfinished", status="running", created=later)
    assert find_run(tmp_path, "old").name == "old"
    assert find_run(tmp_path / "elsewhere", str(tmp_path / "new")).name == "new"
    assert find_run(tmp_path, "latest").name == "new"
    assert find_run(tmp_path, "ne").name == "new"
    with pytest.raises(RunError, match=r"2 runs in .* have 'n' in their names \(.*, .*\); give more"):
        find_run(tmp_path, "n")
    assert find_run(tmp_path, "best").name == "old"  # by validation, not by test
    assert find_run(tmp_path, "latest", statuses=(UNFINISHED,)).name == "unfinished"


def test_of_equally_good_runs_the_newest_is_the_best(tmp_path: Path) -> None:
    for number, accuracy in enumerate([0.99, 0.995, 0.995, 0.98]):
        created = (START + timedelta(minutes=number)).isoformat()
        make_run(tmp_path, f"run-{number}", val_accuracy=accuracy, test_accuracy=1 - number / 10, created=created)
    assert find_run(tmp_path, "best").name == "run-2"


def test_hints_name_the_output_folder_unless_it_is_the_usual_one(tmp_path: Path) -> None:
    assert command_line("runs", Path("outputs")) == "python main.py runs"
    unusual = tmp_path / "my runs"
    with pytest.raises(RunError) as caught:
        find_run(unusual, "nothing")
    command = caught.value.next_step.removeprefix("list the runs with: ")
    options = main.build_parser().parse_args(shlex.split(command.replace("\\", "\\\\"))[2:])
    assert (options.command, options.outputs) == (COMMANDS["runs"], unusual)


@pytest.mark.parametrize("name", ["nonsense", "", "latest", "best", "[red]x[/red]", "../.."])
def test_a_run_that_does_not_exist_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "outputs").mkdir()
    with pytest.raises(RunError, match=r"python main.py (runs|train)"):
        find_run(tmp_path / "outputs", name)


def test_only_one_program_trains_a_run(tmp_path: Path) -> None:
    make_run(tmp_path, "mine", status="running")
    run = read_run(tmp_path / "mine")
    assert not is_being_trained(run)
    with locked(run.folder):
        assert is_being_trained(run)
        with pytest.raises(RunError, match="being trained by another program"), locked(run.folder):
            pass
    assert sorted(path.name for path in run.folder.iterdir()) == ["run.json", "training.lock"]
    (run.folder / "training.lock").touch()  # left behind by a program that was killed
    assert not is_being_trained(run)


def test_the_model_file_names_both_accuracies() -> None:
    name = model_file_name(datetime(2026, 11, 22, 14, 30, 5), 0.99516, 0.9941)
    assert name == "model_2026-11-22_14-30-05_val99.52_test99.41.pt"


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "run")
    model = build_model("1-layer", seed=3)
    save_tensors(folder / "model.pt", model.state_dict())
    loaded = load_trained(read_run(folder), choose_compute())
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name].cpu(), value)
    assert not loaded.training


class Bomb:
    """A pickle that would run code when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_a_malicious_file_is_refused_and_nothing_in_it_runs(tmp_path: Path) -> None:
    target = tmp_path / "exploded"
    torch.save({"weight": Bomb(target)}, tmp_path / "zip.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Bomb(target)))
    for name in ("zip.pt", "raw.pt"):
        with pytest.raises(CheckpointError, match="is refused: it is no safe checkpoint"):
            load_tensors(tmp_path / name, LIMIT)
    assert not target.exists()
    torch.load(tmp_path / "zip.pt", weights_only=False)  # the bomb is live: only the safe reader stops it
    assert target.exists()


def test_foreign_truncated_and_missing_files_are_refused_in_one_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    save_tensors(whole, build_model("1-layer").state_dict())
    (tmp_path / "truncated.pt").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "foreign.pt").write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save(torch.ones(3), tmp_path / "tensor.pt")
    for name, expected in [
        ("truncated.pt", "is refused"),
        ("foreign.pt", "is refused"),
        ("empty.pt", "is refused"),
        ("tensor.pt", "holds no state dict"),
        ("nowhere.pt", "is missing"),
    ]:
        with pytest.raises(CheckpointError, match=expected) as caught:
            load_tensors(tmp_path / name, LIMIT)
        assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "run")
    for weights in (build_model("3-layer").state_dict(), {"weight": "text"}, {1: 2}):
        save_tensors(folder / "model.pt", weights)  # type: ignore[arg-type]
        with pytest.raises(CheckpointError, match="does not hold the weights of a 1-layer network"):
            load_trained(read_run(folder), choose_compute())


@pytest.mark.parametrize("name", ["../secret.pt", "/etc/passwd", 7, None])
def test_a_model_file_outside_the_folder_is_never_opened(tmp_path: Path, name: object) -> None:
    folder = make_run(tmp_path, "run", model_file=name)
    with pytest.raises(RunError, match="names no model file"):
        load_trained(read_run(folder), choose_compute())

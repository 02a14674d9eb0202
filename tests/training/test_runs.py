"""Saved runs: listed, found, locked, and read without trust, with their histories."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import main
from mnist_lab.config import TrainConfig
from mnist_lab.data.mnist import load_mnist, split_fingerprint
from mnist_lab.errors import RunError
from mnist_lab.explain.film_figures import RUN_EXTRAS
from mnist_lab.networks.models import build_model
from mnist_lab.training.browser import COMMANDS
from mnist_lab.training.checkpoints import save_tensors
from mnist_lab.training.runs import (
    UNFINISHED,
    EpochRecord,
    command_line,
    find_run,
    history_csv,
    is_being_trained,
    list_runs,
    locked,
    not_finished,
    read_history,
    read_run,
)

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 22, 14, 0).astimezone()
CONFIG = TrainConfig(model="1-layer", epochs=3)


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


def change_run(folder: Path, **changes: Any) -> None:
    """Write other values into a run's run.json."""
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps(content | changes), encoding="utf-8")


def test_runs_are_listed_oldest_first(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        make_run(tmp_path, f"run-{number}", created=(START + timedelta(minutes=number)).isoformat())
    (tmp_path / "compare-depth").mkdir()
    found, damaged = list_runs(tmp_path)
    assert [run.name for run in found] == ["run-0", "run-1", "run-2"]
    assert not damaged
    assert found[0].test_interval == (0.987, 0.992)


def test_no_folder_means_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == ([], {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "can't be read"),
        ('{"model": "1-layer"', "can't be read"),
        ("[" * 100_000, "can't be read"),
        ("[1, 2]", "not a JSON object"),
        ("{}", "no 'status'"),
        (json.dumps(run_content(status="done")), "status is 'done'"),
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
        (json.dumps(run_content(stop_reason="boredom")), "stop_reason is 'boredom'"),
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
    found, damaged = list_runs(tmp_path)
    ((folder, wrong),) = damaged.items()
    assert [run.name for run in found] == ["good"]
    assert folder.name == "bad"
    assert expected in wrong
    assert "\n" not in wrong


def test_bytes_that_are_not_text_are_damage(tmp_path: Path) -> None:
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
    with pytest.raises(RunError, match=r"3 runs fit '1-layer' \(unfinished, new, old\); give more words, or a number"):
        find_run(tmp_path, "1-layer")
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


def test_each_unfinished_run_is_told_what_can_be_done_about_it(tmp_path: Path) -> None:
    stopped = read_run(make_run(tmp_path, "stopped", status="running"))
    failed = read_run(make_run(tmp_path, "failed", status="failed"))
    assert f"resume --run stopped --outputs {tmp_path}" in not_finished(stopped).next_step
    assert not_finished(failed).next_step == "name another"
    with locked(stopped.folder):
        assert not_finished(stopped).next_step == "wait for it to end"


# -------------------------------------------------------------------------------------------------------- histories

HEAD = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds\n"
ROWS = [f"{epoch},0.5,0.9,0.4,0.95,0.001,1.5\n" for epoch in (1, 2, 3, 4)]

DAMAGES = {
    "empty": ("", "it holds no epochs"),
    "nothing but its head": (HEAD, "it holds no epochs"),
    "too short": (HEAD + "".join(ROWS[:2]), "it has 2 epochs, the run 3"),
    "too long": (HEAD + "".join(ROWS), "it has 4 epochs, the run 3"),
    "over-long": (HEAD + "1" * 200_000, "field larger than field limit"),
    "an epoch twice": (HEAD + ROWS[0] + ROWS[0] + ROWS[2], "in place of epoch 2"),
    "nan": (HEAD + ROWS[0] + ROWS[1].replace("0.4", "nan") + ROWS[2], "a value that is not a finite number"),
    "infinite": (HEAD + ROWS[0].replace("0.5", "1e999") + "".join(ROWS[1:3]), "that is not a finite number"),
    "a word": (HEAD + ROWS[0].replace("0.9", "much") + "".join(ROWS[1:3]), "could not convert string"),
    "an accuracy of 95": (HEAD + ROWS[0].replace("0.95", "95") + "".join(ROWS[1:3]), "no training produces"),
    "a negative loss": (HEAD + ROWS[0].replace("0.4", "-1") + "".join(ROWS[1:3]), "numbers that no training produces"),
    "an endless epoch": (
        HEAD + ROWS[0].replace("1.5", "1e300") + "".join(ROWS[1:3]),
        "numbers that no training produces",
    ),
    "a column too few": (HEAD.replace(",seconds", "") + "".join(ROWS[:3]), "can't be read"),
    "a column too many": (HEAD + "".join(row.strip() + ",7\n" for row in ROWS[:3]), "can't be read"),
    "huge": (HEAD + "".join(ROWS[:3]) + "\n" * 3_000_000, "is larger than"),
}


def make_whole_run(outputs: Path, name: str, config: TrainConfig = CONFIG, **changes: Any) -> Path:
    """A run's folder with everything that a comparison needs: a network of random weights, and a history."""
    split = {"fingerprint": split_fingerprint(load_mnist().validation)}
    folder = make_run(outputs, name, **{"config": config.to_dict(), "seed": config.seed, "split": split} | changes)
    save_tensors(folder / "model.pt", build_model("1-layer", config.seed).state_dict())
    (folder / "history.csv").write_text(HEAD + "".join(ROWS[:3]), encoding="utf-8")
    return folder


@pytest.mark.parametrize("fit", [(0.25, 0.99, 0.125), (0.25, 0.99, None)])
def test_what_was_written_is_read_and_how_well_training_digits_are_fitted_where_it_is_known(
    fit: Any, tmp_path: Path
) -> None:
    history = [EpochRecord(epoch, 0.1 / epoch, 0.9, 1 / 3, 0.95, 1e-5, 1.25, *fit) for epoch in (1, 2, 3)]
    folder = make_run(tmp_path, "run")
    (folder / "history.csv").write_text(history_csv(history), encoding="utf-8")
    assert read_history(read_run(folder)) == history
    resumed = [EpochRecord(1, 0.1, 0.9, 1 / 3, 0.95, 1e-5, 1.25), *history[1:]]  # begun by an earlier version
    assert history_csv(resumed).splitlines()[0] == HEAD.strip()
    text = history_csv(history)
    for wrong in ("2.5", "-1", "nan", ""):
        (folder / "history.csv").write_text(text.replace("0.99", wrong), encoding="utf-8")
        with pytest.raises(RunError, match="can't be read"):
            read_history(read_run(folder))


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_history_is_named_in_one_line(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = DAMAGES[kind]
    folder = make_whole_run(tmp_path, "run")
    (folder / "history.csv").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=expected) as caught:
        read_history(read_run(folder))
    assert len(str(caught.value)) < 300
    assert main.main(["report", "run", "--outputs", str(tmp_path)]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Without history.csv: the history of run" in page
    assert "Epoch by epoch" not in page


def test_evaluating_names_a_damaged_history_and_leaves_its_picture_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_whole_run(tmp_path, "run")
    for name in set(RUN_EXTRAS.figures) - {"history.png"}:
        (folder / name).touch()
    (folder / "history.csv").write_text(DAMAGES["nan"][0], encoding="utf-8")
    (folder / ".writing-old.png").touch()
    os.utime(folder / ".writing-old.png", (0, 0))
    (folder / ".writing-new.png").touch()
    assert main.main(["evaluate", "--run", "run", "--outputs", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "without history.png: the history of run can't be read" in shown
    assert not (folder / "history.png").exists()
    assert [path.name for path in folder.glob(".writing-*")] == [".writing-new.png"]


def test_evaluate_answers_a_script_in_one_object(trained_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = read_run(trained_folder)
    assert main.main(["evaluate", run.name, "--json", "--outputs", str(trained_folder.parent)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["run"] == run.name
    assert (told["validation"]["accuracy"], told["test"]["accuracy"]) == (run.val_accuracy, run.test_accuracy)
    assert tuple(told["test"]["interval_95"]) == run.test_interval
    assert [one["digit"] for one in told["test"]["per_digit"]] == list(range(10))
    assert 0 <= told["test"]["expected_calibration_error"] < 1
    assert told["rejection_threshold"] > 0
    assert told["rejected"]["real digits"] < 0.1
    assert len(told["rejected"]) > 1


def test_dollars_and_other_signs_in_a_run_file_are_drawn_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_whole_run(tmp_path, "run", model="$\\foo$ \x1b[31m")
    assert main.main(["evaluate", "--run", "run", "--outputs", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    assert all((folder / name).stat().st_size for name, figure in RUN_EXTRAS.figures.items() if not figure.needs)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps named pipes elsewhere")
def test_named_pipes_are_refused_instead_of_waited_for(tmp_path: Path) -> None:
    whole = make_whole_run(tmp_path, "whole")
    for name in ("run.json", "history.csv", "model.pt", "history.png", "training_state.pt"):
        folder = Path(shutil.copytree(whole, tmp_path / name))
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    change_run(tmp_path / "training_state.pt", status="running")
    commands = [
        ["runs"],
        ["report"],
        ["report", "history.csv"],
        ["report", "history.png"],
        ["show", "--run", "run.json"],
        ["evaluate", "--run", "model.pt"],
        ["resume", "--run", "training_state.pt"],
    ]
    code = f"import main; print([main.main([*words, '--outputs', {str(tmp_path)!r}]) for words in {commands!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0, 1, 1, 1]"
    assert "Traceback" not in done.stderr

"""What a run's history.csv holds is checked by whoever reads it; only regular files are ever opened."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import main
from mnist_lab.errors import RunError
from mnist_lab.explain.figures import RUN_FIGURES
from mnist_lab.training.runs import EpochRecord, history_csv, read_history, read_run
from tests.experiments.test_trainings import lay
from tests.training.test_runs import make_run

ROOT = Path(__file__).parents[2]
HEAD = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds\n"
ROWS = [f"{epoch},0.5,0.9,0.4,0.95,0.001,1.5\n" for epoch in (1, 2, 3, 4)]

DAMAGES = {
    "empty": ("", "it holds no epoch"),
    "nothing but its head": (HEAD, "it holds no epoch"),
    "too short": (HEAD + "".join(ROWS[:2]), "it has 2 epochs, the run 3"),
    "too long": (HEAD + "".join(ROWS), "it has 4 epochs, the run 3"),
    "over-long": (HEAD + "1" * 200_000, "field larger than field limit"),
    "an epoch twice": (HEAD + ROWS[0] + ROWS[0] + ROWS[2], "in place of epoch 2"),
    "nan": (HEAD + ROWS[0] + ROWS[1].replace("0.4", "nan") + ROWS[2], "its epoch 2 holds what is not a finite number"),
    "infinite": (HEAD + ROWS[0].replace("0.5", "1e999") + "".join(ROWS[1:3]), "what is not a finite number"),
    "a word": (HEAD + ROWS[0].replace("0.9", "much") + "".join(ROWS[1:3]), "could not convert string"),
    "an accuracy of 95": (HEAD + ROWS[0].replace("0.95", "95") + "".join(ROWS[1:3]), "numbers that no training leaves"),
    "a negative loss": (HEAD + ROWS[0].replace("0.4", "-1") + "".join(ROWS[1:3]), "numbers that no training leaves"),
    "an endless epoch": (
        HEAD + ROWS[0].replace("1.5", "1e300") + "".join(ROWS[1:3]),
        "numbers that no training leaves",
    ),
    "a column too few": (HEAD.replace(",seconds", "") + "".join(ROWS[:3]), "can't be read"),
    "a column too many": (HEAD + "".join(row.strip() + ",7\n" for row in ROWS[:3]), "can't be read"),
    "huge": (HEAD + "".join(ROWS[:3]) + "\n" * 3_000_000, "is larger than"),
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    history = [EpochRecord(epoch, 0.1 / epoch, 0.9, 1 / 3, 0.95, 1e-5, 1.25) for epoch in (1, 2, 3)]
    folder = make_run(tmp_path, "run")
    (folder / "history.csv").write_text(history_csv(history), encoding="utf-8")
    assert read_history(read_run(folder)) == history


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_history_is_named_in_one_line(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = DAMAGES[kind]
    folder = lay(tmp_path, "run")
    (folder / "history.csv").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=expected) as caught:
        read_history(read_run(folder))
    assert len(str(caught.value)) < 300
    assert main.main(["report", "run", "--outputs", str(tmp_path)]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Without history.csv: the history of run" in page
    assert "Epoch by epoch" not in page


@pytest.mark.parametrize("kind", ["empty", "nan", "too long"])
def test_evaluating_names_a_damaged_history_and_leaves_its_picture_out(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lay(tmp_path, "run")
    for name in set(RUN_FIGURES) - {"history.png"}:
        (folder / name).touch()
    (folder / "history.csv").write_text(DAMAGES[kind][0], encoding="utf-8")
    (folder / ".writing-old.png").touch()
    os.utime(folder / ".writing-old.png", (0, 0))
    (folder / ".writing-new.png").touch()
    assert main.main(["evaluate", "--run", "run", "--outputs", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "without history.png: the history of run can't be read" in shown
    assert not (folder / "history.png").exists()
    assert [path.name for path in folder.glob(".writing-*")] == [".writing-new.png"]


def test_dollars_and_other_signs_in_a_run_file_are_drawn_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lay(tmp_path, "run", model="$\\foo$ \x1b[31m")
    assert main.main(["evaluate", "--run", "run", "--outputs", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    assert all((folder / name).stat().st_size for name in RUN_FIGURES)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps named pipes elsewhere")
def test_named_pipes_are_refused_instead_of_waited_for(tmp_path: Path) -> None:
    whole = lay(tmp_path, "whole")
    for name in ("run.json", "history.csv", "model.pt", "history.png", "training_state.pt"):
        folder = Path(shutil.copytree(whole, tmp_path / name))
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    state = tmp_path / "training_state.pt" / "run.json"
    state.write_text(state.read_text(encoding="utf-8").replace('"finished"', '"running"'), encoding="utf-8")
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

"""The user's own digits in the leaderboard: counted once per network, whatever lies on the disk."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import main
from mnist_lab.drawing import scoring
from mnist_lab.drawing.my_digits import COUNTS_FILE, load_counts
from mnist_lab.drawing.recognise import recognise
from mnist_lab.drawing.strokes import Drawing, to_mnist
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model
from mnist_lab.terminal.console import THEME, Terminal
from mnist_lab.terminal.lab import Lab
from mnist_lab.training import folder_commands
from mnist_lab.training.checkpoints import save_tensors
from mnist_lab.training.runs import MY_DIGITS, Run, read_run
from mnist_lab.training.tables import Mark, leaderboard, recipe_table
from tests.training.test_runs import START, make_run, run_content

ROOT = Path(__file__).parents[2]
BLANK = Drawing((), 3)
UNLABELLED = Drawing((((140.0, 40.0), (140.0, 240.0)),), None)


@pytest.fixture(scope="module")
def drawings() -> list[Drawing]:
    """Five drawings, all labelled 0."""
    turns = np.linspace(0, 2 * np.pi, 30)
    sizes = ((30, 100), (100, 30), (70, 70), (5, 110), (90, 100))
    return [Drawing((tuple((140 + w * np.cos(t), 140 + h * np.sin(t)) for t in turns),), 0) for w, h in sizes]


def relabelled(drawings: list[Drawing], compute: Compute, missed: int) -> list[Drawing]:
    """The drawings with the labels that the network of :func:`lay_run` reads; the first so many labelled wrongly."""
    model = compute.place(build_model("1-layer", seed=3))
    answers = recognise(model, [to_mnist(drawing) for drawing in drawings], compute)
    digits = [answer.digit for answer in answers if answer is not None]
    return [
        replace(drawing, label=(digit + 1) % 10 if place < missed else digit)
        for place, (drawing, digit) in enumerate(zip(drawings, digits, strict=True))
    ]


def lay_run(outputs: Path, name: str) -> Path:
    """A run whose model file holds a network."""
    folder = make_run(outputs, name)
    save_tensors(folder / "model.pt", build_model("1-layer", seed=3).state_dict())
    return folder


def lay_drawings(outputs: Path, *drawings: Drawing) -> None:
    text = "".join(drawing.to_json() + "\n" for drawing in drawings)
    (outputs / MY_DIGITS).write_text(text, encoding="utf-8")


@pytest.fixture
def outputs(tmp_path: Path, drawings: list[Drawing], compute: Compute) -> Path:
    """Runs of all kinds, and drawings of which their network reads 3 of 6."""
    lay_run(tmp_path, "good")
    folder = lay_run(tmp_path, "cut")
    (folder / "model.pt").write_bytes((folder / "model.pt").read_bytes()[:1000])
    make_run(tmp_path, "gone")
    make_run(tmp_path, "outside", model_file="../good/model.pt")
    make_run(tmp_path, "foreign", model_file=7)
    (lay_run(tmp_path, "strange") / "run.json").write_text(json.dumps(run_content(config={})), encoding="utf-8")
    make_run(tmp_path, "unfinished", status="running")
    lay_drawings(tmp_path, *relabelled(drawings, compute, missed=2), BLANK, UNLABELLED)
    return tmp_path


def show_runs(outputs: Path) -> str:
    """What ``runs`` shows in a wide terminal."""
    shown = io.StringIO()
    lab = Lab(Terminal(Console(file=shown, theme=THEME, width=120, highlight=False)), outputs, main.load)
    assert folder_commands.runs(lab) == 0
    return shown.getvalue()


def marks_shown(text: str) -> dict[str, str]:
    """The column "my digits" of a shown leaderboard, by run; empty if there is none."""
    lines = text.splitlines()
    (top,) = [place for place, line in enumerate(lines) if line.startswith("run ")]
    end = lines[top].find("my digits") + len("my digits")
    if "my digits" not in lines[top]:
        return {}
    rows = lines[top + 1 : lines.index(next(line for line in lines if line.startswith("name a run")))]
    return {row.split()[0]: row[end - len("100 of 100") : end].strip() for row in rows}


def test_every_judged_run_is_shown_with_what_it_reads(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nobody_could_tell = dict.fromkeys(("cut", "gone", "outside", "foreign", "strange"), "–")
    assert marks_shown(show_runs(outputs)) == {"good": "3 of 6", "unfinished": ""} | nobody_could_tell
    assert main.main(["score", str(outputs / MY_DIGITS), "--run", "good", "--outputs", str(outputs)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "accuracy 50.00 % (3 of 6)"


def test_without_drawings_there_is_no_column_and_no_file(outputs: Path) -> None:
    (outputs / MY_DIGITS).unlink()
    assert marks_shown(show_runs(outputs)) == {}
    assert not (outputs / COUNTS_FILE).exists()


def test_nothing_is_counted_twice(outputs: Path) -> None:
    lines = show_runs(outputs)
    path = outputs / COUNTS_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["total"] == 6
    assert content["runs"]["good"]["correct"] == 3
    assert content["runs"]["cut"]["correct"] is None
    content["runs"]["good"]["correct"] = 5  # nobody asks the network again
    path.write_text(json.dumps(content), encoding="utf-8")
    assert show_runs(outputs) == lines.replace("3 of 6", "5 of 6")
    code = (
        "import sys, main; "
        f"status = main.main(['runs', '--outputs', {str(outputs)!r}]); "
        "print(status, {'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert "5 of 6" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 set()"


def test_another_drawing_or_another_model_is_counted_anew(
    outputs: Path, drawings: list[Drawing], compute: Compute
) -> None:
    show_runs(outputs)
    lay_drawings(outputs, *relabelled(drawings, compute, missed=1))
    assert marks_shown(show_runs(outputs))["good"] == "4 of 5"
    shutil.copy(outputs / "good" / "model.pt", outputs / "cut" / "model.pt")
    assert marks_shown(show_runs(outputs))["cut"] == "4 of 5"
    (outputs / "good" / "model.pt").unlink()
    assert marks_shown(show_runs(outputs))["good"] == "–"


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        "\x00",
        '{"runs": {}}',
        "total 0",
        "total -1",
        "correct 7",
        "correct true",
        "runs 1",
    ],
)
def test_a_damaged_file_of_counts_is_made_again(outputs: Path, damage: str) -> None:
    show_runs(outputs)
    path = outputs / COUNTS_FILE
    whole = json.loads(path.read_text(encoding="utf-8"))
    match damage.split():
        case ["total", number]:
            text = json.dumps(whole | {"total": int(number)})
        case ["correct", value]:
            whole["runs"]["good"]["correct"] = json.loads(value)
            text = json.dumps(whole)
        case ["runs", value]:
            text = json.dumps(whole | {"runs": json.loads(value)})
        case _:
            text = damage
    path.write_text(text, encoding="utf-8")
    assert marks_shown(show_runs(outputs))["good"] == "3 of 6"
    assert json.loads(path.read_text(encoding="utf-8"))["runs"]["good"]["correct"] == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nnonsense\n", "line 2 of"),
        ("", "holds no drawings"),
        (UNLABELLED.to_json() + "\n", "no labelled drawing with ink"),
    ],
)
def test_broken_drawings_take_one_line_and_the_table_stands(outputs: Path, text: str, expected: str) -> None:
    (outputs / MY_DIGITS).write_text(text, encoding="utf-8")
    shown = show_runs(outputs)
    assert marks_shown(shown) == {}
    (warning,) = [line for line in shown.splitlines() if line.startswith("without your own digits: ")]
    assert expected in warning
    assert not (outputs / COUNTS_FILE).exists()


def test_a_disk_that_refuses_costs_the_keeping_only(outputs: Path) -> None:
    (outputs / COUNTS_FILE).mkdir()
    shown = show_runs(outputs)
    assert marks_shown(shown)["good"] == "3 of 6"
    assert len([line for line in shown.splitlines() if "can't write" in line]) == 1


def test_only_the_runs_shown_are_asked(outputs: Path) -> None:
    for number in range(3):
        lay_run(outputs, f"zebra-{number}")
    lab = Lab(Terminal(Console(file=io.StringIO(), theme=THEME, width=120)), outputs, main.load)
    folder_commands.runs(lab, limit=2)
    counts = load_counts(outputs)
    assert counts is not None
    assert set(counts.by_run) == {"zebra-1", "zebra-2"}


def test_ctrl_c_leads_back_to_the_menu_and_keeps_what_was_counted(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        lay_run(outputs, f"more-{number}")
    real, asked = scoring.count_correct, []

    def count_correct(*arguments: Any) -> int:
        asked.append(arguments)
        if len(asked) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(scoring, "count_correct", count_correct)
    answers = ["runs", "val", "runs", "val", "q"]
    shown = io.StringIO()
    terminal = Terminal(Console(file=shown, theme=THEME, width=80, highlight=False), lambda: answers.pop(0))
    assert main.run_menu(Lab(terminal, outputs, main.load)) == 0
    first, second = shown.getvalue().split("Interrupted: back to the menu.")
    assert "my digits" not in first
    assert second.count("3 of 6") == 5
    assert len(asked) == 6  # five networks; only the one that was interrupted is asked again


def long_run(folder: Path, created: datetime, status: str = "finished") -> Run:
    """A run whose every cell is as wide as they come."""
    run = read_run(make_run(folder, f"{created:%Y-%m-%d_%H-%M-%S}_3-layer-aug"))
    return replace(
        run,
        model="3-layer",
        augmented=True,
        status=status,
        created=created,
        epochs_run=100,
        test_accuracy=None if status == "running" else 0.9968,
        train_seconds=59 * 60 + 59,
    )


def test_the_tables_fit_80_columns(tmp_path: Path) -> None:
    statuses = ("finished", "interrupted", "running")
    listed = [long_run(tmp_path, START + timedelta(days=day), status) for day, status in enumerate(statuses)]
    marks = {run.name: Mark(98, 99) for run in listed[:2]}
    config = {"recipe": "one-cycle", "epochs": 100}
    members = [
        replace(
            listed[0],
            folder=Path(f"seed-{seed}"),
            seed=seed,
            test_accuracy=0.9 + seed / 1000,
            content={"config": config},
        )
        for seed in range(99)
    ]
    for table in (
        *(leaderboard(listed, sort, shown, wide=False) for sort in ("val", "parameters") for shown in (marks, {})),
        recipe_table(members, {run.name: Mark(99, 99) for run in members}),
    ):
        console = Console(file=io.StringIO(), theme=THEME, width=80)
        assert console.measure(table, options=console.options.update(max_width=200)).maximum <= 80


def test_many_drawings_are_shown_in_percent_and_recipes_by_their_mean(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, "run"))
    twin = replace(run, folder=tmp_path / "twin", seed=1)
    lost = replace(run, folder=tmp_path / "lost", seed=2)
    marks = {"run": Mark(950, 1000), "twin": Mark(960, 1000), "lost": None}
    shown = io.StringIO()
    console = Console(file=shown, theme=THEME, width=80)
    console.print(leaderboard([run, twin, lost], "val", marks, wide=False), recipe_table([run, twin, lost], marks))
    lines = shown.getvalue().splitlines()
    assert [line.split()[-2:] for line in lines[2:4]] == [["95.0", "%"], ["96.0", "%"]]
    assert "95.5" in lines[-1]

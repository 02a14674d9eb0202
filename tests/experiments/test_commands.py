"""Experiments and comparisons as a user meets them: real trainings in real processes, stopped, failed and repeated."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from scipy import stats

import main
from mnist_lab.config import TrainConfig
from mnist_lab.errors import LabError, RequestError, RunError, StorageError
from mnist_lab.experiments import commands, measures, trainings
from mnist_lab.experiments.commands import (
    Request,
    ask_compare,
    ask_experiment,
    compare,
    experiment,
    experiment_on_saved,
)
from mnist_lab.experiments.questions import EXPERIMENTS, Experiment, Variant
from mnist_lab.experiments.study import differences_table
from mnist_lab.experiments.trainings import Pool, Stopped
from mnist_lab.terminal.console import Terminal
from mnist_lab.terminal.lab import FAILED, INTERRUPTED, OK
from mnist_lab.training.runs import RunRecord, list_runs, locked, read_run
from mnist_lab.training.session import Observer, RunExtras, resume, train_new
from tests.experiment_fixtures import NOW, make_lab, small_request
from tests.experiments.conftest import PREDICTION, blank_figures, in_this_process
from tests.processes import ROOT, wait_for
from tests.training.test_runs import change_run, make_run


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with blank_figures(), in_this_process():
        yield


def runs_of(outputs: Path) -> dict[tuple[bool, int], RunRecord]:
    """By whether it was augmented, and seed."""
    return {(run.augment, run.seed): run for run in list_runs(outputs)[0]}


def folder_of(outputs: Path, word: str) -> Path:
    return max(path for path in outputs.iterdir() if word in path.name)


def results_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return content


# ----------------------------------------------------------------------------------------------- an experiment


def test_the_screen_tells_what_happens_and_how_long_it_takes(conducted: tuple[Path, str]) -> None:
    outputs, shown = conducted
    lines = shown.splitlines()
    assert "Where does augmentation really show?" in lines
    assert "what differs: the augmentation; variants: plain, augmented" in lines
    assert any(line.startswith("4 training runs to do, 1 at a time: about ") for line in lines)
    for number, seed in ((4, 1), (1, 0)):
        assert f"{number}/4" in shown
        assert f"augmented, seed {seed}: validation " in shown
    assert lines[-1] == str(folder_of(outputs, "experiment-robustness"))
    assert f'your prediction: "{PREDICTION}". Graded by the mean over all 6 kinds' in " ".join(shown.split())
    assert all(len(line) <= 80 for line in lines if not line.startswith(("/", "report: ")) and "seed" not in line)


def test_started_again_it_trains_nothing_and_finds_the_same(outputs: Path) -> None:
    before = set(runs_of(outputs))
    lab, screen = make_lab(outputs)
    assert experiment(lab, replace(small_request("robustness"), prediction="augmented > plain")) == OK
    assert set(runs_of(outputs)) == before
    assert "already finished and reused: 4 of the 4 training runs" in screen.getvalue()
    first, second = sorted(outputs.glob("*_experiment-robustness*"))
    early, late = ((folder / "report.html").read_text(encoding="utf-8") for folder in (first, second))
    assert "Predicted beforehand" in early
    assert "Predicted when all networks were already trained" in late
    assert "Predicted augmented over plain" in late
    assert results_of(first)["conclusion"] == results_of(second)["conclusion"]
    assert results_of(first)["thumbnail"] == results_of(second)["thumbnail"] == "robustness.png"


def test_one_seed_says_that_nothing_can_be_concluded(outputs: Path) -> None:
    lab, screen = make_lab(outputs)
    assert experiment(lab, small_request("robustness", seeds=1)) == OK
    shown = " ".join(screen.getvalue().split())
    assert "with one seed no interval can be given: a difference may be due to chance" in shown
    assert "With one seed nothing can be concluded" in shown


def failing() -> Experiment:
    """One variant that learns, and one whose loss becomes infinite."""
    usual = TrainConfig(model="1-layer", train_size=500, epochs=1, batch_size=50)
    variants = (Variant("good", usual), Variant("bad", replace(usual, learning_rate=1e6, weight_decay=1e3)))
    return replace(EXPERIMENTS["depth"], variants=lambda epochs: variants, pairs=(("good", "bad"),))


def test_a_failed_training_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    lab, screen = make_lab(tmp_path)
    assert experiment(lab, Request(failing(), epochs=1, seeds=2, jobs=2)) == FAILED
    shown = " ".join(screen.getvalue().split())
    assert "more than one factor differs (learning rate, weight decay)" in shown
    assert "bad, seed 0 failed: the training loss became" in shown
    assert "bad, seed 1 failed" in shown
    page = (folder_of(tmp_path, "experiment-depth") / "report.html").read_text(encoding="utf-8")
    assert "What failed" in page
    assert results_of(folder_of(tmp_path, "experiment-depth"))["conclusion"]["variants"].keys() == {"good"}


def stopped_run(config: TrainConfig, outputs: Path) -> Path:
    """The folder of a training that was stopped in its first epoch."""

    def stop() -> bool:
        raise Stopped

    with pytest.raises(Stopped):
        train_new(config, outputs, NOW, Observer(), workers=0, stop_requested=stop, extras=RunExtras())
    return list_runs(outputs)[0][0].folder


@pytest.mark.parametrize("meanwhile", ["finished", "at work"])
def test_a_stopped_training_that_another_program_goes_on_with(meanwhile: str, tmp_path: Path) -> None:
    """The first of two trainings was stopped. While the user is asked whether to start, somebody else resumes it."""
    good = TrainConfig(model="1-layer", train_size=500, epochs=1, batch_size=50)
    variants = (Variant("good", good), Variant("other", replace(good, weight_decay=0.0)))
    chosen = replace(EXPERIMENTS["depth"], variants=lambda epochs: variants, pairs=(("good", "other"),))
    folder = stopped_run(good, tmp_path)
    before: dict[str, bytes] = {}
    held = ExitStack()
    answers = iter(["none", "y", "n"])  # no prediction; start; no report

    def answer() -> str:
        word = next(answers)
        if word == "y":
            if meanwhile == "finished":
                resume(read_run(folder), Observer(), extras=RunExtras())
            else:
                held.enter_context(locked(folder))
            before.update({path.name: path.read_bytes() for path in folder.iterdir()})
        return word

    lab, screen = make_lab(tmp_path)
    lab = replace(lab, terminal=Terminal(lab.terminal.console, answer))
    with held:
        assert experiment(lab, Request(chosen, epochs=1, seeds=1, jobs=1), from_menu=True) == OK
    assert "more than one factor" not in screen.getvalue()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    used = results_of(folder_of(tmp_path, "experiment-depth"))["runs"]["good"]["0"]
    assert (used == folder.name) == (meanwhile == "finished")
    assert len(list_runs(tmp_path)[0]) == (2 if meanwhile == "finished" else 3)


# -------------------------------------------------------------------------------------------- on saved runs


def test_saved_runs_can_be_asked_without_any_training(outputs: Path) -> None:
    runs = runs_of(outputs)
    names = [runs[aug, seed].name for aug in (False, True) for seed in (0, 1)]
    words = [word for name in names for word in ("--run", name)]
    assert main.main(["experiment", "robustness", *words, "--outputs", str(outputs)]) == OK
    folders = sorted(outputs.glob("*_experiment-robustness*"))
    found, trained = (results_of(folder) for folder in (max(folders, key=lambda f: f.stat().st_mtime), folders[0]))
    assert set(found["runs"]) == {"1-layer", "1-layer, augmented"}
    renamed = json.dumps(found["figures"]["robustness"]).replace('"1-layer, augmented"', '"augmented"')
    assert json.loads(renamed.replace('"1-layer"', '"plain"')) == trained["figures"]["robustness"]
    assert set(runs_of(outputs)) == set(runs)
    assert found["epochs"] is None
    assert f"--run {names[3]}" in found["command"]


def test_only_questions_to_networks_take_saved_runs(outputs: Path) -> None:
    with pytest.raises(RequestError, match="--run is not for the experiment depth; it is for inversion and robustness"):
        experiment_on_saved(make_lab(outputs)[0], EXPERIMENTS["depth"], ["latest"])


def test_the_menu_offers_saved_runs(outputs: Path) -> None:
    lab, screen = make_lab(outputs, ["inversion", "saved", "1"])
    assert ask_experiment(lab) == OK
    assert "What differs" in screen.getvalue()


# ------------------------------------------------------------------------------------------------- interrupted

SCRIPT = """
import sys
from pathlib import Path

import main
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.experiments.commands import experiment
from tests.experiment_fixtures import small_request

if __name__ == "__main__":
    lab = Lab(Terminal(make_console()), Path(sys.argv[1]), main.load)
    sys.exit(experiment(lab, small_request("validation", epochs=15, seeds=3)))
"""


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as Unix does it")
def test_ctrl_c_keeps_what_is_finished_and_the_next_start_goes_on(tmp_path: Path) -> None:
    script, outputs = tmp_path / "script.py", tmp_path / "outputs"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(outputs)]
    quiet = subprocess.PIPE
    first = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet, text=True, encoding="utf-8",
        start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: any(run.status == "finished" for run in list_runs(outputs)[0]), first)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to all of its processes
    shown, errors = first.communicate(timeout=60)
    assert first.returncode == INTERRUPTED
    assert errors == ""
    assert "runs are finished and kept; continue with: python main.py experiment validation" in shown
    kept = {run.name: run.status for run in list_runs(outputs)[0]}
    assert "finished" in kept.values()
    assert len(kept) < 3 or "running" in kept.values()
    lab, screen = make_lab(outputs)
    assert experiment(lab, small_request("validation", epochs=15, seeds=3)) == OK
    assert "already" in screen.getvalue()
    runs = list_runs(outputs)[0]
    assert len(runs) == 3  # whoever was stopped went on in its own folder
    assert {run.status for run in runs} == {"finished"}


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["deepth"], "there is no experiment 'deepth'; did you mean depth?"),
        (["__class__"], "there is no experiment '__class__'; choose one of depth"),
        (["depth", "--seeds", "0"], "--seeds is 0"),
        (["depth", "--epochs", "-1"], "--epochs is -1"),
        (["depth", "--jobs", "0"], "--jobs is 0"),
        (["depth", "--seeds", "two"], "invalid int value: 'two'"),
        (["depth", "--jobs", "2", "--dask", "tcp://127.0.0.1:1"], "--jobs is for this machine"),
        (["depth", "--dask", "localhost"], "'localhost' is not the address of a Dask scheduler"),
        (["depth", "--dask", "tcp://127.0.0.1:9"], "no scheduler answers at tcp://127.0.0.1:9"),
        (["depth", "--no-target"], "--no-target has no effect with the experiment depth; omit it"),
        (["inversion", "--run", "x", "--epochs", "4", "--jobs", "1"], "--epochs, --jobs have no effect with --run"),
        (["speed", "--seeds", "5"], "--seeds has no effect with the experiment speed; omit it"),
        (["speed", "--predict", "x"], "--predict has no effect with the experiment speed"),
        (["speed", "--epochs", "0"], "--epochs is 0"),
    ],
)
def test_what_makes_no_sense_takes_one_line(
    words: list[str],
    refusal: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainings, "PATIENCE", 1.0)
    assert main.main(["experiment", *words, "--outputs", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert refusal in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_are_a_file_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    lab, _ = make_lab(file)
    with pytest.raises(StorageError, match="file"):
        experiment(lab, small_request("robustness"))
    assert file.read_text(encoding="utf-8") == "mine"


# ---------------------------------------------------------------------------------------------------- the menu


def test_the_menu_shows_every_question_and_leads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "estimate", lambda pool, tasks: 60.0 * len(tasks))
    lab, screen = make_lab(tmp_path, ["nonsense", "depth", "0", "2", "1", "3-layer > 2-layer", "0", "half", "0.5", "n"])
    assert ask_experiment(lab) == OK
    shown = screen.getvalue()
    for name, known in EXPERIMENTS.items():
        assert name in shown
        assert known.question in shown
    assert "What makes training fast?" in shown
    assert "is not one of the choices" in " ".join(shown.split())
    assert "a whole number from 1 to 100" in " ".join(shown.split())
    assert "'0' is not a number above 0" in shown
    assert "'half' is not a number above 0" in shown
    assert "6 training runs to do, " in shown
    assert "about 6 min" in shown
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------- compare


def compared(outputs: Path, *names: str) -> tuple[Path, str]:
    lab, screen = make_lab(outputs)
    assert compare(lab, names) == OK
    return folder_of(outputs, "compare"), screen.getvalue()


def test_two_runs_digit_by_digit(outputs: Path) -> None:
    runs = runs_of(outputs)
    folder, shown = compared(outputs, runs[False, 0].name, runs[True, 0].name)
    results = results_of(folder)
    (pair,) = results["pairs"]
    assert (pair["before"], pair["after"]) == ("1-layer, seed 0", "1-layer, augmented, seed 0")
    assert pair["p_value"] == pytest.approx(stats.binomtest(pair["only_b"], pair["only_a"] + pair["only_b"]).pvalue)
    correct = [read_run(outputs / name).to_json()["results"]["test"]["correct"] for name in results["runs"].values()]
    assert [pair["both_right"] + pair["only_a"], pair["both_right"] + pair["only_b"]] == correct
    assert list(results["differences"]) == ["augmentation"]
    words = " ".join(shown.split())
    assert f"1-layer, augmented: {runs[True, 0].name}" in words
    assert "more than one factor" not in words
    assert "Nothing is said about the recipes themselves" in words
    changed = results["figures"]["changed"]
    assert len(changed["fixed"]) == pair["only_b"]
    assert len(changed["broken"]) == pair["only_a"]
    assert all(digit["b"] == digit["label"] != digit["a"] for digit in changed["fixed"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    for title in ("What differs", "Digit by digit", "Fixed and broken", "Together", "How they learned"):
        assert title in page
    assert f"compare {runs[False, 0].name} {runs[True, 0].name}" in page


def test_recipes_over_their_common_seeds(outputs: Path) -> None:
    runs = runs_of(outputs)
    folder, shown = compared(outputs, *(runs[aug, seed].name for aug in (False, True) for seed in (0, 1)))
    results = results_of(folder)
    assert [(pair["before"], pair["after"]) for pair in results["over_seeds"]["comparisons"]] == [
        ("1-layer", "1-layer, augmented")
    ]
    accuracies = [[measures.tested_accuracy(runs[aug, seed]) for seed in (0, 1)] for aug in (False, True)]
    expected = stats.ttest_rel(accuracies[1], accuracies[0]).pvalue
    assert results["over_seeds"]["comparisons"][0]["p_value"] == pytest.approx(expected)
    assert "ensemble of all" in shown
    assert (folder / "accuracies.png").exists()
    assert "Nothing is said about the recipes" not in shown


def test_recipes_are_the_same_wherever_runs_are_listed(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = runs_of(outputs)
    one, other = runs[False, 0], runs[False, 1]
    stated = other.to_json()["config"] | {"dropout": 0.0, "hidden": 128, "patience": 9}  # as a 1-layer network has it
    change_run(other.folder, config=stated)
    twin = Path(shutil.copytree(one.folder, outputs / f"{one.name}-twin"))
    change_run(twin, created="2030-01-01T00:00:00+00:00", test_accuracy=0.125)

    assert main.main(["runs", "--by-recipe", "--outputs", str(outputs)]) == OK
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line.startswith("1-layer")]
    assert [(row[1], row[5]) for row in rows] == [("no", "2"), ("yes", "2")]
    assert [row[3] for row in rows] == ["a", "b"]  # the usual recipe of a single epoch is another with augmentation
    assert f"{50 * (0.125 + other.to_json()['test_accuracy']):.3f} ±" in shown
    folder, told = compared(outputs, one.name, twin.name, other.name)
    results = results_of(folder)
    assert results["title"] == "Comparison: 2 runs of 1-layer"
    assert set(results["runs"].values()) == {twin.name, other.name}
    assert results["differences"] == {}
    assert main.main(["runs", "--outputs", str(outputs)]) == OK
    for words in (shown, told, capsys.readouterr().out):
        assert "--dropout" not in words
        assert "--hidden" not in words


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The first step of a study, which ends there: it gets the recipes, or the experiment and its runs."""
    first = Mock(side_effect=RequestError("asked", "enough"))
    for name in ("study_comparison", "study_experiment", "plan"):  # nothing is trained either
        monkeypatch.setattr(commands, name, first)
    return first


def test_what_six_recipes_differ_in_fits_into_80_columns(outputs: Path, asked: Mock) -> None:
    run = runs_of(outputs)[True, 0]
    config, names = run.to_json()["config"], [run.name]
    for number, dropout in enumerate((0.0, 0.1, 0.2, 0.3, 0.4)):
        names.append(f"{run.name}-twin-{number}")
        twin = Path(shutil.copytree(run.folder, outputs / names[-1]))
        strong = config["augment"] | {"rotation": 11.0 + number, "elastic": 0.003, "thickness": 0.25}
        change_run(twin, config=config | {"augment": strong, "dropout": dropout})
    lab, screen = make_lab(outputs)
    with pytest.raises(RequestError, match="asked"):
        compare(lab, names)
    lines = screen.getvalue().split("A: ")[0].splitlines()
    assert max(map(len, lines)) <= 80
    rows = {row[0]: row[1:] for row in (re.split(r"  +", line.strip()) for line in lines)}
    assert rows["factor"] == ["A", "B", "C", "D", "E", "F"]
    assert rows["rotation"] == ["±4.9°", "±11°", "±12°", "±13°", "±14°", "±15°"]
    assert rows["elastic"] == ["–", *["±0.3 %"] * 5]
    assert rows["dropout"] == ["0", "0", "0.1", "0.2", "0.3", "0.4"]
    assert "…" not in screen.getvalue()
    assert "shift" not in rows, "all have the same"
    assert f"F: 1-layer, augmented f: {names[-1]}" in " ".join(screen.getvalue().split())
    (recipes, found, *_), _ = asked.call_args
    assert "1-layer, augmented f" in differences_table(recipes, found).headings, "the page has room for names"


def test_runs_are_named_by_position(outputs: Path, asked: Mock, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (runs_of(outputs)[augmented, 0].name for augmented in (False, True))
    for words in (["compare", one, other], ["compare", "--run", one, "--run", other], ["compare", one, "--run", other]):
        assert main.main([*words, "--outputs", str(outputs)]) == FAILED
        assert [run.name for recipe in asked.call_args.args[0] for run in recipe.runs.values()] == [one, other]
    assert main.main(["experiment", "robustness", one, other, "--outputs", str(outputs)]) == FAILED
    assert asked.call_args.kwargs["command"] == f"experiment robustness --run {one} --run {other}"
    assert main.main(["compare", "--outputs", str(outputs)]) == FAILED
    assert "no run is named" in capsys.readouterr().err


def test_two_factors_are_warned_about(outputs: Path) -> None:
    runs = runs_of(outputs)
    other = runs[True, 0]
    change_run(other.folder, config=other.to_json()["config"] | {"weight_decay": 0.5})
    lab, screen = make_lab(outputs)
    assert compare(lab, [runs[False, 0].name, other.name]) == OK
    words = " ".join(screen.getvalue().split())
    assert re.search(r"more than one factor differs \([^)]*\bweight decay\b[^)]*\)", words)
    assert "the result may be due to any of them" in words


def test_runs_of_different_splits_are_refused(outputs: Path) -> None:
    runs = runs_of(outputs)
    change_run(runs[True, 0].folder, split={"fingerprint": "another"})
    with pytest.raises(RequestError, match="different splits of the data"):
        compare(make_lab(outputs)[0], [runs[False, 0].name, runs[True, 0].name])
    assert not list(outputs.glob("*compare*"))


@pytest.mark.parametrize("damage", ["no model", "no history", "no run.json"])
def test_a_run_half_deleted_is_refused_in_one_line(outputs: Path, damage: str) -> None:
    runs = runs_of(outputs)
    hurt = runs[True, 0]
    if damage == "no model":
        (hurt.folder / hurt.to_json()["model_file"]).unlink()
    elif damage == "no history":
        (hurt.folder / "history.csv").unlink()
    else:
        (hurt.folder / "run.json").unlink()
    with pytest.raises(LabError) as refusal:
        compare(make_lab(outputs)[0], [runs[False, 0].name, hurt.name])
    assert "\n" not in str(refusal.value)
    assert not list(outputs.glob("*compare*"))


def test_what_is_not_a_comparison_is_refused(outputs: Path) -> None:
    name = runs_of(outputs)[True, 0].name
    lab, _ = make_lab(outputs)
    for names in ([name], [name, name], [name, str(outputs / name)]):
        with pytest.raises(RequestError, match="fewer than two different"):
            compare(lab, names)
    with pytest.raises(RunError, match="there is no run 'nowhere'"):
        compare(lab, [name, "nowhere"])
    make_run(outputs, "unfinished", status="running")
    with pytest.raises(RunError, match="is not finished"):
        compare(lab, [name, "unfinished"])


def test_the_menu_compares_by_number(outputs: Path, tmp_path: Path) -> None:
    lab, screen = make_lab(outputs, ["1 2"])
    assert ask_compare(lab) == OK
    assert str(folder_of(outputs, "compare")) == screen.getvalue().splitlines()[-1]
    lab, screen = make_lab(tmp_path / "empty")
    assert ask_compare(lab) == OK
    assert "fewer than two finished runs" in " ".join(screen.getvalue().split())

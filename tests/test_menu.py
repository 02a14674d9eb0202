"""Whole menu sessions, played through injected input, with real trainings on the real data."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

import main
from mnist_lab.config import TrainConfig
from mnist_lab.data.mnist import Digits, Mnist, stratified_subset
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.folder_commands import runs_by_recipe
from mnist_lab.training.session import RunExtras
from tests.training.test_runs import make_run

NOW = datetime(2026, 11, 22, 14, 30, 5)


@dataclass
class Session:
    """What a played session showed, and its exit status."""

    text: str
    status: int


Play = Callable[[Sequence[str | type[BaseException]]], Session]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Plays answers to the menu, 80 columns wide; an exception class stands for Ctrl-C or the end of input."""

    def run(answers: Sequence[str | type[BaseException]]) -> Session:
        left = list(answers)
        shown = io.StringIO()

        def read_line() -> str:
            answer = left.pop(0) if left else EOFError
            if isinstance(answer, str):
                return answer
            raise answer

        terminal = Terminal(make_console(file=shown, width=80, height=25), read_line)
        status = main.run_menu(Lab(terminal, tmp_path / "outputs", main.load, now=lambda: NOW))
        assert not left
        return Session(shown.getvalue(), status)

    return run


@pytest.mark.parametrize("leave", ["q", "Q", "quit", KeyboardInterrupt, EOFError])
def test_leaving_is_always_clean(play: Play, leave: str | type[BaseException]) -> None:
    session = play([leave])
    assert session.status == 0
    for word in ("Train", "Understand", "train", "data", "models", "runs", "60,000 + 10,000", "0 saved"):
        assert word in session.text


def test_the_menu_is_short_and_its_head_tells_of_stopped_runs(play: Play, tmp_path: Path) -> None:
    make_run(tmp_path / "outputs", "killed", status="running")
    lines = play(["q"]).text.splitlines()
    assert 9 <= len([line for line in lines if re.search(r"^\w* +\d  \w", line)]) <= 11
    assert len(lines) <= 19  # which leaves room for a result
    assert lines[2] == "1 stopped run; to go on: resume"


def test_a_whole_command_can_be_typed_into_the_menu(
    play: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "outputs", "2026-11-22_one")
    (tmp_path / "my folder").mkdir()
    session = play([
        "show latest", 'python main.py runs --outputs "' + str(tmp_path / "my folder") + '"',
        "shwo latest", 'show "latest', "runs --help", "--version", "show -x", r"show C:\runs", "show", "q", "q",
    ])  # fmt: skip
    text = " ".join(session.text.split())
    assert "parameters 693,994" in text
    assert "There are no runs in" in text
    assert "there is no command 'shwo'; did you mean show?" in text
    assert "the line can't be read: No closing quotation" in text
    assert "unrecognized arguments: -x" in text
    assert f"there is no run {'C:' + chr(92) + 'runs'!r}" in text  # as Windows writes paths
    assert "Show which run [latest]:" in text  # a row that the menu does not list
    printed = capsys.readouterr().out
    assert "usage: python main.py runs" in printed
    assert "MNIST Lab 0" in printed
    assert session.status == 0


def test_the_menu_fits_a_small_terminal(play: Play) -> None:
    lines = play(["q"]).text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_a_wrong_answer_is_explained(play: Play) -> None:
    text = " ".join(play(["99", "dance", "0", "trian", "re", "q"]).text.split())
    assert "'99' is not one of the choices; answer with a number from 1 to 11 or a command: train, runs" in text
    assert "'dance' is not one of the choices; answer with" in text
    assert "'trian' is not one of the choices; did you mean train?" in text
    assert "'re' is not one of the choices" in text
    assert "q leaves" in text


@pytest.mark.parametrize("arguments", [["saliency"], ["saliency", "--help"]])
def test_a_missing_package_is_named_in_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def import_module(name: str) -> None:
        raise ModuleNotFoundError("No module named 'captum'")

    monkeypatch.setattr(main, "import_module", import_module)
    assert main.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "captum" in line
    assert "pip install" in line


def test_leaving_a_question_leads_back_to_the_menu(play: Play) -> None:
    session = play(["train", "q", "train", KeyboardInterrupt, "train", "1-layer", "n", EOFError])
    assert session.status == 0
    assert session.text.count("back to the menu") == 2


def test_a_network_is_trained_and_listed(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mnist: Mnist, small_validation: Digits
) -> None:
    few = Mnist(stratified_subset(mnist.train, 5000), small_validation, mnist.test)
    monkeypatch.setattr("mnist_lab.explain.film_figures.RUN_EXTRAS", RunExtras())  # which take longer than the training
    monkeypatch.setattr("mnist_lab.training.folder_commands.has_desktop", lambda: False)
    for module in ("commands", "session"):
        monkeypatch.setattr(f"mnist_lab.training.{module}.load_mnist", lambda: few)
    answers = [
        *("train", "1", "n", "own", "0", "three", "1", "y"),
        *("learning rate", "0.5", "recipe", "plain", "seed", "seven", "7", "batch", "512", "patience", "2"),
        *("2", "0.96", "nan", "0.25", "augmentation", "device", "cpu", "training", "4000", ""),
        *("show", "pictures", "now", "back", "q"),
    ]  # fmt: skip
    session = play(answers)
    assert "'three' is not a whole number" in session.text
    assert "'0' is not a whole number from" in session.text
    for answer in ("0.96", "nan"):
        assert f"'{answer}' is not a number from 0 to 0.95" in session.text
    assert "'augmentation' is not one of the choices" in session.text  # as there is none
    assert "about" in session.text
    folder = tmp_path / "outputs" / "2026-11-22_14-30-05_1-layer"
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert (content["model"], content["augment"], content["seed"], content["status"]) == (
        "1-layer",
        False,
        7,
        "finished",
    )
    assert (content["config"]["recipe"], content["config"]["batch_size"], content["config"]["patience"]) == (
        "plain",
        512,
        2,
    )
    assert (content["config"]["learning_rate"], content["config"]["average_decay"]) == (0.001, 0.0)  # as plain has them
    assert (content["config"]["dropout"], content["config"]["train_size"]) == (0.25, 4000)
    assert content["device_asked"] == "cpu"
    assert content["epochs_run"] == 1
    assert content["test_accuracy"] > 0.8
    trained, more = session.text.split("1 show ", 1)
    assert trained.splitlines()[-2].startswith(f"Test {100 * content['test_accuracy']:.2f} % (95 % interval ")
    assert trained.splitlines()[-1] == str(folder)
    assert "calibration error" in more
    assert "most confused" in more
    assert "'pictures' is not one of the choices" in more  # as there are none
    assert "'now' is not one of the choices" in more


@pytest.fixture
def quickly_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_lab.training.session.measure_seconds_per_epoch", lambda *values: 1.0)


@pytest.mark.usefixtures("quickly_timed")
def test_augmentations_are_changed_one_by_one(play: Play) -> None:
    settings = ["augmentation", "erasing", "1.5", "0.25", "rotation", "0", "", "patience", "0", "q", "q"]
    text = play(["train", "1", "y", "own", "5", "y", *settings]).text
    first, erased, still, done = (
        [line.split() for line in part.split("\n")] for part in text.split("Change which [done]:")
    )
    assert ["1", "rotation", "10.0"] in first
    assert "'1.5' is not a number from 0 to 1" in text
    assert ["9", "erasing", "0.25"] in erased
    assert ["1", "rotation", "0.0"] in still
    assert any("'0'" in line for line in done)  # refused: there is at least 1


@pytest.mark.usefixtures("quickly_timed")
def test_an_augmentation_that_is_switched_off_altogether_is_none(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TrainConfig] = []
    monkeypatch.setattr("mnist_lab.training.commands.train", lambda lab, config, *rest, **more: asked.append(config))
    off = [word for name in ("rotation", "shift", "scale", "shear") for word in (name, "0")]
    play(["train", "1", "y", "quick", "y", "augmentation", *off, "", "", "q"])
    assert asked[0].augment is None


def test_runs_that_differ_in_their_seed_only_are_taken_together(tmp_path: Path) -> None:
    for seed, accuracy in enumerate([0.990, 0.992, 0.994]):
        config = TrainConfig(model="1-layer", seed=seed).to_dict()
        make_run(tmp_path, f"run-{seed}", seed=seed, config=config, test_accuracy=accuracy)
    make_run(tmp_path, "other", config=TrainConfig(model="1-layer", epochs=2).to_dict(), test_accuracy=0.95)
    make_run(tmp_path, "foreign", config="none")
    make_run(tmp_path, "again", seed=2, config=TrainConfig(model="1-layer", seed=2).to_dict(), test_accuracy=0.994)
    shown = io.StringIO()
    runs_by_recipe(Lab(Terminal(make_console(file=shown, width=80)), tmp_path, main.load))
    (together,) = [line.split() for line in shown.getvalue().splitlines() if "0.200" in line]
    assert together[8:11] == ["99.200", "±", "0.200"]
    assert together[4] == "3"
    (alone,) = [line for line in shown.getvalue().splitlines() if "95.000" in line]
    assert "±" not in alone.split("98.500")[1]


def test_nothing_to_resume_or_evaluate_is_said(play: Play) -> None:
    text = " ".join(play(["resume", "evaluate", "show", "runs", "q"]).text.split())
    assert "nothing to resume" in text
    assert "there is no finished run" in text
    assert "there is no run to choose from" in text
    assert "There are no runs in" in text


def test_the_data_view_leaves_four_pictures(play: Play, tmp_path: Path) -> None:
    session = play(["data", "q"])
    folder = tmp_path / "outputs" / "2026-11-22_14-30-05_data"
    names = {path.name for path in folder.iterdir()}
    assert names == {"samples.png", "class_counts.png", "mean_digits.png", "augmentation.png", "summary.json"}
    for count in ("5,331", "674", "1,135", "54,000", "6,000", "10,000"):
        assert count in session.text


def test_the_models_are_shown_layer_by_layer(play: Play) -> None:
    session = play(["models", "q"])
    for shown in ("1-layer", "2-layer", "3-layer", "convolution 3x3, 128 filters", "22 x 22", "multiply-adds"):
        assert shown in session.text


HOSTILE_NAMES = {
    "2026-\x1b[2Jcleared": "2026-?[2Jcleared",
    "2026-[red]x[link=a]": "2026-[red]x[link=a]",
    "2026-:bomb:": "2026-:bomb:",
    "2026-\u202etxt.\udcff": "2026-?txt.?",
    "2026-\a\x9b31m-Upper": "2026-??31m-Upper",
}
"""Names of folders, and what a terminal is shown of them."""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
@pytest.mark.parametrize("status", ["running", "finished"])
def test_names_of_folders_can_neither_command_the_terminal_nor_format_it(
    play: Play, tmp_path: Path, status: str
) -> None:
    for name in HOSTILE_NAMES:
        make_run(tmp_path / "outputs", name, status=status, model="[/b]\x1b[0m")
    asked = {"running": ["resume", "q"], "finished": ["compare", "q"]}
    session = play(["runs", "2026", "1-3", "", "3-5", "q", *asked[status], "show [/b]", "q"])
    assert all(character.isprintable() or character == "\n" for character in session.text)
    assert len(re.findall(r"\[/b\]\?\[0m", session.text)) >= 3 * len(HOSTILE_NAMES)  # every list, what fits
    for name in HOSTILE_NAMES.values():
        assert name in session.text.replace("\n", "")
    assert session.status == 0


def test_an_output_folder_that_is_a_file_is_refused_and_the_menu_goes_on(play: Play, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("mine", encoding="utf-8")
    session = play(["data", "q"])
    assert "a file stands where a folder should be" in session.text.replace("\n", " ")
    assert session.status == 0
    assert (tmp_path / "outputs").read_text(encoding="utf-8") == "mine"

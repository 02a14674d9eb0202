"""Pictures and drawings read by one network or several, on every kind of terminal, in JSON, and from the menu."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from rich.text import Text
from torch import nn

import main
from mnist_lab.data.mnist import Mnist
from mnist_lab.drawing import commands
from mnist_lab.drawing.images import read_picture
from mnist_lab.drawing.preprocess import ink, to_mnist
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.explain.commands import DigitFile, load_reader, load_readers
from mnist_lab.networks.models import DigitNet
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.checkpoints import save_tensors
from tests.drawing.conftest import BLANK, ONE, SEVEN, ZERO, copy_run, write_limit
from tests.drawing.test_commands import probabilities_by_hand
from tests.drawing.test_preprocess import side_by_side
from tests.explain.conftest import lab_of


@pytest.fixture
def another(outputs: Path, network: DigitNet) -> DigitNet:
    """The network of the run "other", which takes every digit for the next."""
    changed = copy.deepcopy(network)
    last = [module for module in changed.modules() if isinstance(module, nn.Linear)][-1]
    last.load_state_dict({name: torch.roll(tensor, 1, dims=0) for name, tensor in last.state_dict().items()})
    save_tensors(copy_run(outputs, "other") / "model.pt", changed.state_dict())
    return changed


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was answered in JSON; anything else fails."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def read(outputs: Path, path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What is read in one picture or drawing, as JSON."""
    assert main.main(["predict", str(path), "--json", "--outputs", str(outputs)]) == 0
    (said,) = records(capsys)
    return said


def colour_lab(outputs: Path) -> tuple[Lab, io.StringIO]:
    """A lab on a terminal with all colours."""
    shown = io.StringIO()
    colours: dict[str, Any] = {"color_system": "truecolor", "legacy_windows": False, "_environ": {}}
    console = make_console(file=shown, width=80, force_terminal=True, **colours)
    return Lab(Terminal(console), outputs, main.load), shown


def test_several_networks_vote_by_the_mean_of_their_probabilities(
    outputs: Path,
    pictures: list[Path],
    network: DigitNet,
    another: DigitNet,
    mnist: Mnist,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(pictures[0]), "run", str(pictures[1]), "--run", "other"]
    assert main.main(["predict", *words, "--json", "--outputs", str(outputs)]) == 0
    said = records(capsys)
    assert [record["file"] for record in said] == [str(path) for path in pictures]
    for path, record in zip(pictures, said, strict=True):
        picture = to_mnist(read_picture(path))
        assert picture is not None
        each = [probabilities_by_hand(model, picture) for model in (network, another)]
        assert record["probabilities"] == pytest.approx(np.mean(each, axis=0), abs=0.01)
        assert record["digit"] == np.mean(each, axis=0).argmax()
        assert record["digits"] == [record["digit"]]
        assert record["runs"] == {"run": each[0].argmax(), "other": each[1].argmax()}
        assert len(set(record["runs"].values())) == 2
        (reader,) = load_readers(lab_of(outputs)[0], ["run"])  # in float32, as predict reads
        nearest, expected = record["neighbours"], reader.neighbours(picture)
        assert nearest["pixels"]["indices"] == expected.pixels.indices.tolist()
        assert nearest["hidden"]["run"]["indices"] == expected.hidden.indices.tolist()
        assert nearest["hidden"].keys() == {"run", "other"}
        assert nearest["hidden"]["run"] == nearest["hidden"]["other"], "they differ in their last layer only"
        for one in (nearest["pixels"], *nearest["hidden"].values()):
            assert [len(one[name]) for name in ("indices", "labels", "distances")] == [8, 8, 8]
            places = [int(np.searchsorted(mnist.train.indices.numpy(), index)) for index in one["indices"]]
            assert one["labels"] == mnist.train.labels[places].tolist()
            assert one["distances"] == sorted(one["distances"])
    assert main.main(["predict", *words, "--outputs", str(outputs)]) == 0
    shown = capsys.readouterr().out
    assert "Read by 2 networks, together and each" in shown
    rows = [line.split()[:2] for line in shown.splitlines() if line.strip().startswith(("seven.png", "run", "other"))]
    first = said[0]
    answers = {"seven.png": first["digit"], **first["runs"]}
    assert rows[:3] == [[name, str(digit)] for name, digit in answers.items()]


def test_json_says_of_every_file_what_was_found(
    outputs: Path, pictures: list[Path], drawings: Path, capsys: pytest.CaptureFixture[str], tangle: Image.Image
) -> None:
    folder = pictures[0].parent
    Image.new("L", (50, 50), 255).save(folder / "blank.png")
    tangle.save(folder / "tangle.png")
    (folder / "pair.json").write_text(side_by_side(4, 2).to_json(), encoding="utf-8")
    names = [str(folder / name) for name in ("gone.png", "blank.png", "tangle.png", "pair.json", drawings.name)]
    assert main.main(["predict", *names, str(pictures[0]), "--json", "--outputs", str(outputs)]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    said = [json.loads(line) for line in captured.out.splitlines()]
    found = [(Path(one["file"]).name, one["drawing"], one["found"], one["doubtful"]) for one in said[:-1]]
    assert found[:3] == [
        ("blank.png", None, "blank", True),
        ("tangle.png", None, "probably not a digit", True),
        ("pair.json", None, "several digits", any(place["doubtful"] for place in said[2]["places"])),
    ]
    assert [one[:2] for one in found[3:8]] == [(drawings.name, number) for number in range(1, 6)]
    assert found[-1] == ("seven.png", None, "digit", False)
    blank, seven = said[0], said[-2]
    assert (blank["digit"], blank["digits"], blank["probabilities"], blank["runs"]) == (None, [], None, {"run": None})
    assert (seven["digit"], len(seven["probabilities"])) == (7, 10)
    assert blank["neighbours"] is None
    assert sum(seven["probabilities"]) == pytest.approx(1)
    assert said[-1] == {"file": names[0], "error": f"there is no file {names[0]}; check the name"}


def test_a_file_goes_before_a_run_of_its_name(
    outputs: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures[1].rename(pictures[1].with_name("run"))
    monkeypatch.chdir(pictures[0].parent)
    assert main.main(["predict", "run", "--json", "--outputs", str(outputs)]) == 0
    assert [record["digit"] for record in records(capsys)] == [2]


def test_a_score_in_json(outputs: Path, drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_run(outputs, "twin")
    assert main.main(["score", str(drawings), "twin", "--json", "--outputs", str(outputs)]) == 0
    (said,) = records(capsys)
    assert (said["run"], said["file"], said["correct"], said["total"]) == ("twin", str(drawings), 3, 4)
    assert said["interval_95"][0] < said["accuracy"] == 0.75 < said["interval_95"][1]
    assert [one["support"] for one in said["per_digit"]] == [1, 1, 0, 0, 0, 0, 0, 1, 0, 0]
    assert (Path(said["folder"]) / "score.json").exists()


# --- the terminal ------------------------------------------------------------------------------------------------


def test_up_to_three_pictures_are_shown_with_their_bars(outputs: Path, pictures: list[Path], another: DigitNet) -> None:
    lab, shown = colour_lab(outputs)
    assert commands.predict(lab, pictures, ["run"]) == 0
    lines = Text.from_ansi(shown.getvalue()).plain.splitlines()
    assert sum("▀" * 28 in line for line in lines) == 28
    assert max(map(len, lines)) <= 80
    assert [line.split("▸")[1].split()[0] for line in lines if "▸" in line] == ["7", "2"]
    assert not any("probability" in line for line in lines)
    shown.truncate(shown.seek(0))
    assert commands.predict(lab, pictures[:1], ["run", "other"]) == 0
    text = Text.from_ansi(shown.getvalue()).plain
    assert text.count("▀" * 28) == 14
    assert "together and each" in text
    assert "nearest, by run" in text
    shown.truncate(shown.seek(0))
    assert commands.predict(lab, pictures * 2, ["run"]) == 0
    assert "▀" not in shown.getvalue()


def test_the_labels_of_the_nearest_training_digits_stand_below_the_bars(outputs: Path, pictures: list[Path]) -> None:
    lab, shown = colour_lab(outputs)
    picture = to_mnist(read_picture(pictures[0]))
    assert picture is not None
    expected = load_reader(lab, "run").neighbours(picture)
    assert commands.predict(lab, pictures[:1], ["run"]) == 0
    lines = Text.from_ansi(shown.getvalue()).plain.splitlines()
    for name, nearest in zip(("hidden layer", "pixel space"), expected, strict=True):
        (line,) = (line.split(name)[1] for line in lines if name in line and "nearest" not in line)
        assert line.split("▀")[0].split() == [str(label) for label in nearest.labels]


def test_without_pictures_a_sentence_says_how_the_nearest_training_digits_are_labelled(
    outputs: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for words, begins in (([pictures[0]], "The training digits"), (pictures, "seven.png: The"), ([*pictures] * 2, "")):
        assert main.main(["predict", *map(str, words), "--outputs", str(outputs)]) == 0
        told = [line for line in capsys.readouterr().out.splitlines() if "digits nearest" in line]
        assert len(told) == len(words) * bool(begins)
        assert not told or told[0].startswith(begins)


def test_what_is_doubtful_is_said_below_the_bars(outputs: Path, tmp_path: Path) -> None:
    pair, blank = tmp_path / "pair.json", tmp_path / "blank.json"
    pair.write_text(side_by_side(4, 2).to_json(), encoding="utf-8")
    blank.write_text(BLANK.to_json(), encoding="utf-8")
    lab, shown = colour_lab(outputs)
    assert commands.predict(lab, [pair, blank]) == 0
    text = Text.from_ansi(shown.getvalue()).plain
    assert "2 digits" in text
    assert any(line.split()[:2] == ["blank.json", "–"] for line in text.splitlines())


def test_the_xray_shows_what_the_network_sees_beside_its_bars(outputs: Path, drawings: Path) -> None:
    lab, shown = colour_lab(outputs)
    assert commands.xray(lab, DigitFile(drawings, is_drawing=True)) == 0
    lines = Text.from_ansi(shown.getvalue()).plain.splitlines()
    assert any("what the network sees" in line and "with all steps" in line for line in lines)
    assert max(len(line) for line in lines if "▀" in line) <= 80
    assert sum(line.count("▀") for line in lines) == 14 * 28
    assert any(line.startswith("without normalise") for line in lines)


# --- the menu ----------------------------------------------------------------------------------------------------


def test_the_menu_reads_a_picture_and_one_drawing_and_scores_several(
    outputs: Path, pictures: list[Path], drawings: Path, another: DigitNet
) -> None:
    one = drawings.with_name("one.json")
    one.write_text(SEVEN.to_json(), encoding="utf-8")
    (outputs / "my_digits.jsonl").write_text(f"{ONE.to_json()}\n{ZERO.to_json()}\n", encoding="utf-8")
    answers = ["predict", str(pictures[0]), "run other", "predict", str(one), "", "predict", "", "run", "q"]
    lab, shown = lab_of(outputs, *answers)
    assert main.run_menu(lab) == 0
    text = shown.getvalue()
    assert "Read by 2 networks" in text
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("one.json")] == [["one.json", "7"]]
    assert "accuracy 100.00 % (2 of 2)" in text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("run", [["1-layer, seed 0"]]), ("run other", [["run", "other"]]), ("run other run-b run-c run-d", [])],
)
def test_the_menu_asks_which_networks_are_to_read_what_is_drawn(
    outputs: Path, another: DigitNet, monkeypatch: pytest.MonkeyPatch, answer: str, expected: list[list[str]]
) -> None:
    for name in ("run-b", "run-c", "run-d"):
        copy_run(outputs, name)
    opened: list[list[str]] = []

    def open_window(predictors: Any, host: Any) -> None:
        opened.append([predictor.name for predictor in predictors])
        assert all("likeness" in vars(reader) for reader in host.readers)  # of each network, or a stroke would wait

    monkeypatch.setattr(commands, "open_window", open_window)
    lab, shown = lab_of(outputs, "draw", answer, "q")
    assert main.run_menu(lab) == 0
    refusal = "5 runs can't be shown side by side; name 1 to 4 runs"
    assert (opened, refusal in shown.getvalue()) == (expected, not expected)


# --- several digits ----------------------------------------------------------------------------------------------


def test_several_digits_are_read_in_order_and_left_in_a_folder_with_their_boxes(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pair.png"
    Image.fromarray(ink(side_by_side(7, 1), 12)).save(path)
    said = read(outputs, path, capsys)
    assert (said["found"], said["digit"], said["digits"], said["number"]) == ("several digits", None, [7, 1], "71")
    assert [place["digit"] for place in said["places"]] == [7, 1]
    (left, top, right, bottom), (next_left, *_) = (place["box"] for place in said["places"])
    assert left < right < next_left
    assert top < bottom
    folder = Path(said["folder"])
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["sentences"][0].startswith(
        "pair.png shows 71"
    )
    with Image.open(folder / "digits.png") as picture:
        assert picture.width > 200
    assert main.main(["predict", str(path), "--outputs", str(outputs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("pair.png")] == ["71"]
    assert f"  x {round(left)}–{round(right)} y {round(top)}–{round(bottom)}" in "\n".join(lines)
    with Image.open(path) as plain:
        ImageOps.expand(plain, (30, 20, 0, 0), fill=0).save(tmp_path / "bordered.png")  # no ink
    bordered = read(outputs, tmp_path / "bordered.png", capsys)
    assert bordered["places"][0]["box"] == pytest.approx([left + 30, top + 20, right + 30, bottom + 20], abs=1.5)
    with Image.open(path) as large:
        large.resize((large.width // 4, large.height // 4)).save(path)  # it is enlarged before it is read
    small = read(outputs, path, capsys)
    assert small["digits"] == [7, 1]
    assert small["places"][0]["box"] == pytest.approx([left / 4, top / 4, right / 4, bottom / 4], abs=1.5)


def test_what_the_edge_cuts_off_beside_a_digit_is_not_passed_over_in_silence(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, pair = tmp_path / "pair.png", Image.fromarray(ink(side_by_side(7, 1), 12))
    for left in (0, pair.width // 4):  # the whole picture; from the middle of the 7
        pair.crop((left, 0, *pair.size)).save(path)
        said = read(outputs, path, capsys)
        assert (said["cut_off"], said["digits"]) == ((True, [1]) if left else (False, [7, 1]))
        assert main.main(["predict", str(path), "--outputs", str(outputs)]) == 0
        assert ("pair.png: ink that the picture's edge cuts off was left out" in capsys.readouterr().out) == bool(left)
    page = Image.new("L", (3 * pair.width, 3 * pair.width), 255)
    page.paste(pair.crop((0, pair.height // 2, *pair.size)), (pair.width, 0))
    page.save(path)
    said = read(outputs, path, capsys)
    assert (said["found"], said["cut_off"]) == ("blank", True), "nothing whole is left, but the page is not empty"


@pytest.mark.parametrize("apart", [None, 12, 60])
def test_level_strokes_are_ink(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], apart: float | None
) -> None:
    """One alone, and two one above the other."""
    path, heights = tmp_path / "level.jsonl", [140.0] if apart is None else [140.0, 140.0 + apart]
    level = Drawing(tuple(((60.0, height), (220.0, height)) for height in heights), None)
    path.write_text(f"{level.to_json()}\n", encoding="utf-8")
    said = read(outputs, path, capsys)
    assert said["places"]


@pytest.mark.parametrize("as_pictures", [False, True])
def test_pieces_of_which_most_are_no_digits_are_no_number(
    outputs: Path, tmp_path: Path, network: DigitNet, capsys: pytest.CaptureFixture[str], as_pictures: bool
) -> None:
    path = tmp_path / "pair.json"
    path.write_text(side_by_side(7, 1).to_json(), encoding="utf-8")
    write_limit(outputs / "run", network, 1e9)  # which nothing reaches
    if as_pictures:
        lab, shown = colour_lab(outputs)
        assert commands.predict(lab, [path]) == 0
        assert "pair.json: probably not a digit" in Text.from_ansi(shown.getvalue()).plain.splitlines()
        return
    said = read(outputs, path, capsys)
    assert (said["found"], said["number"], said["doubtful"]) == ("probably not a digit", "", True)
    assert (len(said["places"]), said["folder"]) == (2, None)
    assert main.main(["predict", str(path), "--outputs", str(outputs)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "pair.json" in line]
    assert line.split() == ["pair.json", "–", "probably", "not", "a", "digit"]


@pytest.mark.parametrize("words", [["xray"], ["saliency"], ["inside"]])
def test_what_explains_one_digit_says_which_of_several(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    path = tmp_path / "pair.json"
    path.write_text(side_by_side(7, 1).to_json(), encoding="utf-8")
    assert main.main([*words, "--drawing", str(path), "--run", "run", "--outputs", str(outputs)]) == 0
    assert "pair.json shows 2 digits (71); what follows is about the first" in capsys.readouterr().out

"""The row that explains a prediction, and a trained network that is ready to be asked."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

import main
from mnist_lab.config import TrainConfig
from mnist_lab.data.mnist import Mnist
from mnist_lab.drawing.preprocess import to_mnist
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.explain import commands, figures, neighbour_figures
from mnist_lab.explain.commands import existing_file, load_readers
from mnist_lab.explain.inside import look_inside, opened
from mnist_lab.explain.saliency import attribute, explain
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model
from tests.explain.conftest import lab_of, lay_run, reader_of
from tests.training.test_figures import words

SEVEN = Drawing((((80.0, 50.0), (200.0, 50.0), (120.0, 240.0)),), 7)


# --- a network that is ready to be asked -------------------------------------------------------------------------


def test_a_reader_answers_many_pictures_as_one_by_one(outputs: Path, mnist: Mnist) -> None:
    reader = reader_of(outputs)
    pictures = list(mnist.test.images[:5].squeeze(1).numpy())
    together = reader.predict(pictures)
    for picture, answer in zip(pictures, together, strict=True):
        assert answer == pytest.approx(reader.predict([picture])[0], abs=2e-3)
        assert answer.sum() == pytest.approx(1)
    assert reader.predict([]) == []
    assert reader.name == "1-layer, seed 0"


def test_readers_of_single_digits_compute_in_float32(
    outputs: Path, mnist: Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the inside shows of a digit is float32, and everything else says the same of it."""
    low = Compute(torch.device("cpu"), torch.bfloat16, "CPU")
    monkeypatch.setattr(commands, "compute_for", lambda lab: low)
    (reader,) = load_readers(lab_of(outputs)[0], ["first"])
    picture = mnist.test.images[247, 0].numpy()
    exact = softmax(look_inside(opened(reader.model), picture).logits.astype(np.float64))
    assert reader.predict([picture])[0] == pytest.approx(exact, abs=1e-6)
    assert reader.explain(picture, "gradient").probabilities == pytest.approx(exact, abs=1e-6)
    in_16_bits = reader_of(outputs).predict([picture])[0]
    assert np.abs(in_16_bits - exact).max() > 1e-5  # so that the test can fail


# --- saliency ----------------------------------------------------------------------------------------------------


def test_the_random_networks_are_built_like_the_run(tmp_path: Path, mnist: Mnist, compute: Compute) -> None:
    """A map survives random weights or not: the network with those weights has as many units, and no batch norm."""
    changed = TrainConfig(model="1-layer", hidden=16, batch_norm=False)
    lay_run(tmp_path, "slim", build_model(changed.architecture), config=changed.to_dict())
    picture = mnist.test.images[3, 0].numpy()
    random_map = reader_of(tmp_path, "slim").explain(picture, "gradient").random_map
    expected = explain(
        build_model(changed.architecture), changed.architecture, mnist.test.images[3], "gradient", compute
    )
    assert np.array_equal(random_map, expected.random_map)


def test_saliency_of_a_test_digit_comes_with_its_controls(
    outputs: Path, mnist: Mnist, compute: Compute, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spy = Mock(wraps=figures.saliency_by_run)
    monkeypatch.setattr(figures, "saliency_by_run", spy)
    arguments = ["saliency", "--index", "3", "--method", "gradient", "--target", "9", "--run", "first"]
    assert main.main([*arguments, "--run", "second", "--run", "first", "--outputs", str(outputs)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "the map is for the target 9" in shown
    assert "random weights" in shown
    reader = reader_of(outputs)
    assert neighbour_figures.sentence(reader.neighbours(mnist.test.images[3, 0].numpy()), 0) in shown
    (folder,) = outputs.glob("*_saliency-test-3")
    assert {path.name for path in folder.glob("*.png")} == {"saliency.png", "methods.png", "runs.png", "neighbours.png"}
    explanation, maps, answers, _, true, _ = spy.call_args.args
    image = mnist.test.images[3:4]
    assert np.array_equal(explanation.image, image[0, 0].numpy() / np.float32(255))
    assert maps.keys() == answers.keys() == {"first", "second"}
    assert (explanation.target, true) == (9, int(mnist.test.labels[3]))
    for seed, name in enumerate(("first", "second")):
        model = compute.place(build_model("1-layer", seed=seed))
        expected = attribute(model, image, torch.tensor([9]), "gradient", compute)[0]
        assert maps[name] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_test_digit_whose_label_most_people_doubt_is_marked_with_the_source(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: dict[str, str] = {}
    monkeypatch.setattr(commands, "save_figure", lambda path, figure: drawn.update({path.name: words(figure)}))
    for index, mark in ((947, "†"), (948, "")):
        arguments = ["saliency", "--index", str(index), "--method", "gradient", "--run", "first", "--run", "second"]
        assert main.main([*arguments, "--outputs", str(outputs)]) == 0
        told = [" ".join(text.split()) for text in (capsys.readouterr().out, *drawn.values())]
        assert len(told) == 5
        assert all(("Northcutt" in text) == bool(mark) for text in told)
        assert all(f"test digit {index}{mark}" in text for text in told[1:])


def test_saliency_of_pictures_and_drawings_explains_what_the_network_sees(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Ünder mine.jsonl").write_text(f"nonsense\n{SEVEN.to_json()}\n", encoding="utf-8")
    Image.new("L", (60, 60), 255).save(tmp_path / "blank.png")
    spy = Mock(wraps=explain)
    monkeypatch.setattr(commands, "explain", spy)
    monkeypatch.setattr(commands, "_draw", lambda *_: {})
    words = ["saliency", "--outputs", str(outputs), "--run", "first", "--method", "gradient"]
    assert main.main([*words, "--drawing", str(tmp_path / "Ünder mine.jsonl")]) == 0
    assert np.array_equal(spy.call_args.args[2][0].numpy(), np.asarray(to_mnist(SEVEN)))
    assert "skipped: line 1 of" in capsys.readouterr().out
    assert len(list(outputs.glob("*_saliency-nder-mine"))) == 1
    assert main.main([*words, "--image", str(tmp_path / "blank.png")]) == 1
    assert "blank.png shows no ink" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "one of the arguments --index --image --drawing is required"),
        (["--index", "0", "--image", "x.png"], "not allowed with"),
        (["--index", "10000"], "--index is 10000; give a whole number from 0 to 9,999"),
        (["--index", "-1"], "--index is -1"),
        (["--index", "0", "--method", "magic"], "there is no --method 'magic'; choose one of gradient"),
        (["--index", "0", "--target", "10"], "there is no --target 10; choose one of 0, 1"),
        (["--index", "0", "--run", "nothing"], "there is no run 'nothing'"),
        (["--drawing", "nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["--image", "a\0b"], "can't be read"),
    ],
    ids=str,
)
def test_refusals_take_one_line(
    outputs: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(outputs.iterdir())
    assert main.main(["saliency", *arguments, "--outputs", str(outputs)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert set(outputs.iterdir()) == before


def test_the_menu_takes_a_digit_or_a_file(outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_draw", lambda *_: {})
    (tmp_path / "x.JSON").write_text(SEVEN.to_json(), encoding="utf-8")
    answers = ["saliency", "10000", "nowhere", "a\0b", "3", "gradient", "saliency", str(tmp_path / "x.JSON"), "1", "q"]
    lab, shown = lab_of(outputs, *answers)
    assert main.run_menu(lab) == 0
    refusal = "there is no file 'nowhere'; give a number from 0 to 9,999, a file's name, or q for the menu"
    assert refusal in " ".join(shown.getvalue().split())
    assert shown.getvalue().count("there is no file") == 2
    assert shown.getvalue().count("give a whole number from 0 to 9,999") == 1
    assert len(list(outputs.glob("*_saliency-test-3"))) == len(list(outputs.glob("*_saliency-x"))) == 1


def test_a_files_name_may_come_as_terminals_give_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a b.png"
    file.touch()
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for answer in (str(file), f"'{file}'", f'"{file}"', "~/a b.png", "a b.png"):
        assert existing_file(answer).resolve() == file.resolve()
    for answer in ("~/nowhere.png", "~nosuchuser/x", "", "'", "''", "x" * 300, "a\0b", "half \udcff", str(tmp_path)):
        with pytest.raises(ValueError, match="there is no file"):
            existing_file(answer)

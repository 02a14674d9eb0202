"""Whether the nearest training digits matter more than others: what is left out, and what is concluded."""

from __future__ import annotations

import io
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import main
from mnist_lab.config import CLASSES, TrainConfig, default_config
from mnist_lab.data.mnist import Digits, Mnist
from mnist_lab.errors import RequestError
from mnist_lab.experiments import neighbour_check
from mnist_lab.experiments.neighbour_check import (
    NEAREST,
    NOTHING,
    RANDOM,
    Check,
    check_neighbours,
    conclude,
    left_out,
    prepare,
)
from mnist_lab.explain.commands import load_reader
from mnist_lab.plotting import png_of
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import INTERRUPTED, OK, Lab
from mnist_lab.training.evaluation import Mistakes
from mnist_lab.training.trainer import Trainer
from tests.training.test_figures import assert_whole_and_legible, render


@pytest.fixture
def lab(
    trained_folder: Path, tmp_path: Path, mnist: Mnist, small_validation: Digits, monkeypatch: pytest.MonkeyPatch
) -> Lab:
    """A lab with one run, whose trainings see 600 digits an epoch."""
    shutil.copytree(trained_folder, tmp_path / trained_folder.name)

    def short(*arguments: Any, **options: Any) -> TrainConfig:
        return replace(default_config(*arguments, **options), epoch_size=600)

    monkeypatch.setattr(neighbour_check, "default_config", short)
    monkeypatch.setattr(neighbour_check, "load_mnist", lambda: replace(mnist, validation=small_validation))
    return Lab(Terminal(make_console(file=io.StringIO(), width=100)), tmp_path, main.load)


def shown(lab: Lab) -> str:
    stream = lab.terminal.console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_what_is_left_out_are_the_nearest_and_as_many_others_of_the_same_classes(lab: Lab, mnist: Mnist) -> None:
    reader = load_reader(lab, "latest")
    check = prepare(reader, mnist)
    test, labels, indices = mnist.test, mnist.train.labels.numpy(), mnist.train.indices.numpy()
    assert len(check.digits) == len(check.names) == 20
    probabilities = np.array(reader.predict(list(test.images[:, 0].numpy())))
    read, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    surest = np.sort(sure[read != test.labels.numpy()])[::-1][:20]
    chosen = check.digits.indices.numpy()
    assert sure[chosen] == pytest.approx(surest, abs=1e-6), "the surest mistakes first"
    names = [f"{index}: {test.labels[index]}, read as {read[index]}" for index in chosen]
    assert [name.replace("†", "") for name in check.names] == names
    assert np.array_equal(test.images[check.digits.indices], check.digits.images)
    nearest = {
        index for image in check.digits.images[:, 0].numpy() for index in reader.neighbours(image, 50).hidden.indices
    }
    assert set(indices[check.nearest]) == nearest
    drawn = []
    for seed in (0, 1):
        by_variant, stand_ins = left_out(mnist.train, check.nearest, seed)
        assert set(by_variant[NEAREST]) == set(check.nearest)
        groups = [by_variant[NEAREST], by_variant[RANDOM], stand_ins]
        together = np.concatenate(groups)
        assert len(np.unique(together)) == len(together) == 3 * len(nearest), "no digit is in two groups"
        assert all(np.array_equal(labels[group], labels[groups[0]]) for group in groups), "class by class"
        assert len(by_variant[NOTHING]) == 0
        drawn.append(by_variant[RANDOM])
    assert len(set(drawn[0]) & set(drawn[1])) < 0.2 * len(nearest), "others with every seed"
    assert np.array_equal(left_out(mnist.train, check.nearest, 1)[0][RANDOM], drawn[1]), "the same every time"


def test_each_training_sees_the_same_digits_but_for_those_left_out(
    lab: Lab, mnist: Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = load_reader(lab, "latest")
    check = prepare(reader, mnist)
    seen: dict[str, tuple[Digits, TrainConfig]] = {}

    class Spy(Trainer):
        def __init__(self, model: Any, digits: Digits, validation: Digits, config: TrainConfig, compute: Any) -> None:
            seen[variant] = digits, config
            super().__init__(model, digits, validation, config, compute)

    monkeypatch.setattr(neighbour_check, "Trainer", Spy)
    answers = {}
    for variant, gone in left_out(mnist.train, check.nearest, 3)[0].items():
        answers[variant] = neighbour_check.train_without(reader, check, 3, variant, lambda progress: None)
        digits, config = seen[variant]
        changed = np.flatnonzero((digits.indices != mnist.train.indices).numpy())
        assert np.array_equal(changed, np.sort(gone))
        assert np.array_equal(digits.labels, mnist.train.labels)
        assert not np.isin(mnist.train.indices[gone], digits.indices).any()
        assert (config.seed, config.model, config.epochs, config.augment) == (3, "1-layer", 1, None)
        assert answers[variant].sum(axis=1) == pytest.approx(np.ones(20))
    again = neighbour_check.train_without(reader, check, 3, NOTHING, lambda progress: None)
    assert np.array_equal(again, answers[NOTHING])
    assert not np.array_equal(answers[NEAREST], answers[RANDOM])


def test_the_check_leaves_a_folder_with_what_changed(lab: Lab) -> None:
    check_neighbours = lab.load("experiments.neighbour_check").check_neighbours  # as the command finds it
    assert check_neighbours(lab, "latest", 1) == OK
    (folder,) = lab.outputs.glob("*_check-neighbours")
    assert {path.name for path in folder.iterdir()} == {"changes.png", "report.html", "results.json", "summary.json"}
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert content["seeds"] == [0]
    assert 100 < len(set(content["nearest"])) == len(content["nearest"]) <= 1000
    assert all(len(ones) == 20 for m in content["changes"].values() for ones in m.values())
    assert content["run"] in content["command"]
    text = " ".join(shown(lab).split())
    assert text.index("3 training runs to do: about") < text.index("1/3 nothing left out, seed 0")
    assert content["verdicts"][0] in text
    for name, m in content["changes"].items():
        mean = f"{100 * np.mean(list(m.values())):.1f}"
        assert f"{name} {mean} {mean} " in text


def test_a_change_is_the_total_variation_distance_from_the_training_of_the_same_seed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = {NOTHING: 0.0, NEAREST: 1.0, RANDOM: 0.25}

    def train_without(reader: Any, check: Check, seed: int, variant: str, *_: Any) -> NDArray[np.float64]:
        """With seed 0 all say 3, with seed 1 all say 4; a part of that moves on to 7."""
        answers = np.zeros((len(check.digits), CLASSES))
        answers[:, 3 + seed], answers[:, 7] = 1 - moved[variant], moved[variant]
        return answers

    monkeypatch.setattr(neighbour_check, "train_without", train_without)
    assert check_neighbours(lab, "latest", 2) == OK
    (path,) = lab.outputs.glob("*_check-neighbours/results.json")
    found = json.loads(path.read_text(encoding="utf-8"))["changes"]
    assert found == {name: {"0": [moved[name]] * 20, "1": [moved[name]] * 20} for name in (NEAREST, RANDOM)}
    assert "the nearest 100.0 100.0 100.0 random ones 25.0 25.0 25.0 " in " ".join(shown(lab).split())


@pytest.mark.parametrize(
    ("nearest", "random", "expected"),
    [
        ([20, 22, 21.5, 23], [10, 11, 12, 10], "Yes: without the nearest training digits, the answers change more"),
        ([10, 11, 12, 10], [20, 22, 21.5, 23], "No: without the nearest training digits, the answers change less"),
        ([10, 12, 9, 11], [11, 9, 12, 10], "It can't be shown that the nearest training digits matter more"),
        ([30], [10], "With one seed nothing can be concluded."),
    ],
)
def test_the_first_sentence_says_whether_they_matter_more(
    nearest: list[float], random: list[float], expected: str
) -> None:
    by_seed = {name: np.array([points, points]).T / 100 for name, points in ((NEAREST, nearest), (RANDOM, random))}
    first, facts = conclude(by_seed)  # of two answers each
    assert first.startswith(expected)
    assert facts.startswith("The difference, the nearest minus random ones: ")


def test_a_network_without_mistakes_has_nothing_to_check(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    none = np.zeros(0, dtype=np.int64)

    class Flawless:
        mistakes = Mistakes(none, none, none, none.astype(float), none.astype(float))

    monkeypatch.setattr(neighbour_check, "evaluate_on", lambda *_: Flawless)
    assert check_neighbours(lab, "latest", 1) == OK
    assert "makes no mistake among the test digits" in shown(lab)
    assert not list(lab.outputs.glob("*_check-neighbours"))


def test_ctrl_c_saves_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    usual, before = neighbour_check.train_without, set(lab.outputs.iterdir())

    def interrupted(*arguments: Any) -> NDArray[np.float64]:
        if arguments[3] == RANDOM:
            signal.raise_signal(signal.SIGINT)
        return usual(*arguments)

    monkeypatch.setattr(neighbour_check, "train_without", interrupted)
    words = ["inside", "--check-neighbours", "latest", "--seeds", "1", "--outputs", str(lab.outputs)]
    assert main.main(words) == INTERRUPTED
    assert "2/3" in (shown := capsys.readouterr()).out
    assert shown.err.splitlines()[-1].endswith("interrupted")
    assert set(lab.outputs.iterdir()) == before


@pytest.mark.parametrize("seeds", [0, 101])
def test_an_impossible_number_of_seeds_is_refused(lab: Lab, seeds: int) -> None:
    with pytest.raises(RequestError, match=f"--seeds is {seeds}; give a whole number from 1 to 100"):
        check_neighbours(lab, "latest", seeds)


def test_the_figure_is_legible_and_whole() -> None:
    for count in (1, 20):
        names = [f"{9000 + place}†: 4, read as 9" for place in range(count)]
        moved = {name: np.linspace(0, level, count) for name, level in ((NEAREST, 0.9), (RANDOM, 0.5))}
        figure = neighbour_check.changes_figure(names, moved, note="† doubted")
        assert_whole_and_legible(render(figure))
        assert png_of(figure).startswith(b"\x89PNG")

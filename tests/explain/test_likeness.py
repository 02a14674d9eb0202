"""How like pictures are to training digits, against all pairs by hand, and the threshold that a run keeps."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import main
from mnist_lab.data.mnist import Mnist, normalise, stratified_subset, to_unit
from mnist_lab.explain import likeness
from mnist_lab.explain.commands import Reader, load_reader
from mnist_lab.explain.likeness import LIMITS_FILE, Limits, find_limits, read_limits
from mnist_lab.networks.models import build_model
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.terminal.lab import Lab
from mnist_lab.training.checkpoints import save_tensors
from tests.training.test_runs import make_run

FEW = 2000  # training digits that are tried: see conftest


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """An untrained network: random filters tell digits from noise well enough."""
    folder = make_run(tmp_path, "run", results={"validation": {"doubt_level": 0.5}})
    save_tensors(folder / "model.pt", build_model("1-layer").state_dict())
    return opened(tmp_path)


def opened(outputs: Path) -> Reader:
    return load_reader(Lab(Terminal(make_console(file=io.StringIO())), outputs, main.load), "run")


def found(reader: Reader, pictures: NDArray[np.uint8], predicted: NDArray[np.int64]) -> NDArray[np.float32]:
    return reader.likeness.of(pictures, predicted)


def parts(reader: Reader, images: torch.Tensor) -> NDArray[np.float64]:
    """The features of images as parts of 1, in full precision."""
    with torch.inference_mode():
        values = reader.model.blocks(normalise(to_unit(images)).to(reader.compute.device)).flatten(1).double().cpu()
    found: NDArray[np.float64] = (values / values.sum(dim=1, keepdim=True)).numpy()
    return found


def test_the_most_alike_of_its_class_counts(reader: Reader, mnist: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "_CANDIDATES", FEW)  # all of a class
    pictures, predicted = mnist.test.images[:6], np.array([7, 2, 1, 0, 4, 9])
    digits = reader.hidden_space.digits
    assert len(digits) == FEW
    pairs = np.sqrt(parts(reader, pictures))[:, None] * np.sqrt(parts(reader, digits.images))[None]
    coefficients = pairs.sum(axis=2)  # of Bhattacharyya, (6, 2000)
    own = [row[digits.labels.numpy() == digit].max() for row, digit in zip(coefficients, predicted, strict=True)]
    assert found(reader, pictures[:, 0].numpy(), predicted) == pytest.approx(np.array(own), abs=0.01)


def test_a_training_digit_is_fully_like_itself_and_noise_less_than_another_digit(reader: Reader) -> None:
    digits = reader.hidden_space.digits
    pictures, labels = digits.images[:100, 0].numpy(), digits.labels[:100].numpy()
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    assert found(reader, pictures, labels) == pytest.approx(1, abs=0.01)
    assert found(reader, pictures, (labels + 1) % 10).mean() < 0.95
    assert found(reader, noise, labels).mean() < found(reader, pictures, (labels + 1) % 10).mean() - 0.05
    assert found(reader, np.zeros((0, 28, 28), dtype=np.uint8), labels[:0]).shape == (0,)


def test_what_is_enough_spares_the_rest(reader: Reader, mnist: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact below, and not below above; what is remembered of training digits changes nothing."""
    pictures, predicted = mnist.test.images[:60, 0].numpy(), np.arange(60) % 10
    exact = found(reader, pictures, predicted)
    enough = float(np.median(exact))
    spared = reader.likeness.of(pictures, predicted, enough)
    low = exact < enough
    assert 10 < low.sum() < 50
    assert spared[low] == pytest.approx(exact[low], abs=1e-3)
    assert (spared[~low] >= enough - 1e-3).all()
    assert (spared < exact - 0.001).any(), "the rest was tried all the same"
    monkeypatch.setattr(likeness, "_REMEMBERED", 0)
    assert found(reader, pictures, predicted) == pytest.approx(exact, abs=1e-3)


def test_a_picture_is_rejected_for_either_doubt(reader: Reader, mnist: Mnist) -> None:
    pictures, sure, unsure = mnist.train.images[:1, 0].numpy(), np.eye(10)[:1], np.full((1, 10), 0.1)
    limits, low = Limits(probability=0.5, likeness=0.0), Limits(probability=0.0, likeness=1.01)
    rejects = reader.likeness.rejects
    assert [bool(rejects(pictures, each, limits)[0]) for each in (sure, unsure)] == [False, True]
    assert [bool(rejects(pictures, each, low)[0]) for each in (sure, unsure)] == [True, True]


def test_a_reader_rejects_by_the_limits_that_the_folder_keeps(reader: Reader, mnist: Mnist) -> None:
    limits = reader.limits
    assert opened(reader.run.folder.parent).limits == limits == read_limits(reader.run, reader.model)
    sure, digits = np.eye(10), mnist.validation
    rejected = [
        reader.rejects(image.numpy(), sure[label])
        for image, label in zip(digits.images[:100, 0], digits.labels[:100].tolist(), strict=True)
    ]
    assert sum(rejected) < 15
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    assert reader.rejects(noise, sure[3]), "however sure the network is"


def test_two_in_a_hundred_validation_digits_are_rejected(reader: Reader, mnist: Mnist) -> None:
    pictures = stratified_subset(mnist.validation, 500).images[:, 0].numpy()  # as many as in conftest
    probabilities, limits = np.stack(reader.predict(list(pictures))), reader.limits
    unsure = probabilities.max(axis=1) < limits.probability
    assert int(unsure.sum()) in (2, 3)
    assert int(reader.likeness.rejects(pictures, probabilities, limits).sum()) == 10


@pytest.mark.parametrize(
    "change", [{"likeness": 1.5}, {"probability": "0.5"}, {"likeness": None}, {"weights": "0" * 64}, {"weights": None}]
)
def test_damaged_limits_count_as_none(reader: Reader, change: dict[str, object]) -> None:
    limits = reader.limits
    path = reader.run.folder / LIMITS_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    earlier = json.dumps({"weights": content["weights"], "threshold": 0.75})
    path.write_text(json.dumps(content | change), encoding="utf-8")
    assert read_limits(reader.run, reader.model) is None
    for text in ("", "[]", "{}", "1", "[" * 1000, earlier):
        path.write_text(text, encoding="utf-8")
        assert read_limits(reader.run, reader.model) is None
    assert opened(reader.run.folder.parent).limits == limits, "found again"


def test_what_is_kept_is_not_looked_for_again(reader: Reader) -> None:
    path, other = reader.run.folder / LIMITS_FILE, Limits(0.25, 0.125)
    find_limits(reader.run, reader.model, reader.compute)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | other._asdict()), encoding="utf-8")
    assert find_limits(reader.run, reader.model, reader.compute) == other

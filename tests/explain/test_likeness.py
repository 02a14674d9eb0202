"""How like pictures are to training digits, against all pairs by hand, and the threshold that a run keeps."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import main
from mnist_lab.config import AugmentConfig
from mnist_lab.data.augment import with_strokes
from mnist_lab.data.mnist import Mnist, normalise, stratified_subset, to_unit
from mnist_lab.explain import likeness
from mnist_lab.explain.commands import Reader, load_reader
from mnist_lab.explain.likeness import LIMIT_FILE, Likeness, find_limit, likeness_of, read_limit
from mnist_lab.explain.neighbours import Space
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


def coefficients(reader: Reader, pictures: torch.Tensor, digits: torch.Tensor) -> NDArray[np.float64]:
    """Bhattacharyya's, (M, N), in full precision: the mean of those of the only block and of the hidden layer."""

    def parts(images: torch.Tensor) -> list[torch.Tensor]:
        with torch.inference_mode():
            maps = reader.model.blocks(normalise(to_unit(images)).to(reader.compute.device))
            layers = maps.flatten(1), reader.model.classifier[:-1](maps)
            return [(layer.double() / layer.double().sum(dim=1, keepdim=True)).sqrt().cpu() for layer in layers]

    pairs = zip(parts(pictures), parts(digits), strict=True)
    found: NDArray[np.float64] = torch.stack([one @ other.T for one, other in pairs]).mean(dim=0).numpy()
    return found


def test_near_its_class_and_far_from_others(reader: Reader, mnist: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CANDIDATES", "_FIRST"):
        monkeypatch.setattr(likeness, name, FEW)  # all of a class, and every fourth of the others
    pictures, predicted = mnist.test.images[:6], np.array([7, 2, 1, 0, 4, 9])
    digits = reader.hidden_space.digits
    assert len(digits) == FEW
    expected = []
    for row, digit in zip(coefficients(reader, pictures, digits.images), predicted, strict=True):
        is_own = digits.labels.numpy() == digit
        own, other = (1 - np.sort(each)[-2:].mean() for each in (row[is_own], row[~is_own][::4]))
        expected.append(np.sqrt(other) / own)
    assert found(reader, pictures[:, 0].numpy(), predicted) == pytest.approx(np.array(expected), rel=0.05)


def test_a_digit_is_more_like_its_class_than_like_another_and_noise_like_none(reader: Reader) -> None:
    digits = reader.hidden_space.digits
    pictures, labels = digits.images[:100, 0].numpy(), digits.labels[:100].numpy()
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    right, wrong, none = (
        found(reader, pictures, labels),
        found(reader, pictures, (labels + 1) % 10),
        found(reader, noise, labels),
    )
    assert (right > wrong).all()
    assert none.max() < right.min()
    assert found(reader, np.zeros((0, 28, 28), dtype=np.uint8), labels[:0]).shape == (0,)


def test_nothing_is_like_a_class_without_training_digits(reader: Reader) -> None:
    space = reader.hidden_space
    there = torch.nonzero(space.digits.labels != 3).flatten()
    few = Likeness(Space(space.digits.subset(there), space.values[there], space.steps), reader.model, reader.compute)
    assert (few.of(space.digits.images[:5, 0].numpy(), np.full(5, 3)) < 1).all()


def test_digits_with_added_strokes_are_like_digits_where_such_were_trained_on(reader: Reader, mnist: Mnist) -> None:
    config = replace(reader.run.config, augment=AugmentConfig(strokes=0.02)).to_dict()
    run, space = replace(reader.run, saved_config=config), reader.hidden_space
    likeness = likeness_of(run, reader.model, reader.compute, space)
    assert reader.likeness.space is space, "it had no strokes in training"
    added = likeness.space.digits.subset(torch.arange(len(space.digits), len(likeness.space.digits)))
    assert set(added.labels.tolist()) == {0, 1, 7}
    zeros = int((space.digits.labels == 0).sum())
    assert 0.1 * zeros < int((added.labels == 0).sum()) < 0.5 * zeros, "of every second one, those that suit"
    training = dict(zip(space.digits.indices.tolist(), space.digits.images, strict=True))
    pairs = zip(added.indices.tolist(), added.images, strict=True)
    assert not any(torch.equal(training[index], image) for index, image in pairs)
    again = likeness_of(run, reader.model, reader.compute, space)
    assert torch.equal(again.space.digits.images, likeness.space.digits.images)

    tested = mnist.test.subset(torch.nonzero(mnist.test.labels == 0).flatten()[:100])
    _, slashed = with_strokes(to_unit(tested.images), tested.labels, torch.Generator().manual_seed(5))
    pictures = (255 * slashed[:, 0]).round().to(torch.uint8).numpy()
    labels = np.zeros(len(pictures), dtype=np.int64)
    assert (likeness.of(pictures, labels) > 1.1 * reader.likeness.of(pictures, labels)).mean() > 0.75


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


def test_what_is_below_the_limit_of_the_predicted_class_is_rejected(reader: Reader, mnist: Mnist) -> None:
    pictures, each = mnist.train.images[:20, 0].numpy(), np.eye(10)[np.arange(20) % 10]
    exact = found(reader, pictures, each.argmax(axis=1))
    limit = float(np.median(exact))
    assert (reader.likeness.rejects(pictures, each, limit) == (exact < limit)).all()


def test_a_reader_rejects_by_the_limit_that_the_folder_keeps(reader: Reader, mnist: Mnist) -> None:
    limit = reader.limit
    assert opened(reader.run.folder.parent).limit == limit == read_limit(reader.run, reader.likeness)
    sure, digits = np.eye(10), mnist.validation
    rejected = [
        reader.rejects(image.numpy(), sure[label])
        for image, label in zip(digits.images[:100, 0], digits.labels[:100].tolist(), strict=True)
    ]
    assert sum(rejected) < 15


def test_two_in_a_hundred_validation_digits_are_rejected(reader: Reader, mnist: Mnist) -> None:
    pictures = stratified_subset(mnist.validation, 500).images[:, 0].numpy()  # as many as in conftest
    probabilities = np.stack(reader.predict(list(pictures)))
    assert int(reader.likeness.rejects(pictures, probabilities, reader.limit).sum()) == 10


@pytest.mark.parametrize("at_once", [3, 500])
def test_the_limit_is_as_if_all_were_compared_with_all(
    reader: Reader, mnist: Mnist, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    pictures = stratified_subset(mnist.validation, 500).images[:, 0].numpy()
    exact = found(reader, pictures, np.stack(reader.predict(list(pictures))).argmax(axis=1))
    monkeypatch.setattr(likeness, "_SUSPECTS", at_once)
    assert reader.limit == pytest.approx(np.quantile(exact, 0.02), abs=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"least_likeness": -1},
        {"least_likeness": "2"},
        {"least_likeness": None},
        {"weights": "0" * 64},
        {"weights": None},
        {"compared_with": 1},
    ],
)
def test_damaged_limits_count_as_none(reader: Reader, change: dict[str, object]) -> None:
    limit = reader.limit
    path = reader.run.folder / LIMIT_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    earlier = json.dumps({"weights": content["weights"], "probability": 0.5, "likeness": 0.75})
    path.write_text(json.dumps(content | change), encoding="utf-8")
    assert read_limit(reader.run, reader.likeness) is None
    for text in ("", "[]", "{}", "1", "[" * 1000, earlier):
        path.write_text(text, encoding="utf-8")
        assert read_limit(reader.run, reader.likeness) is None
    assert opened(reader.run.folder.parent).limit == limit, "found again"


def test_what_is_kept_is_not_looked_for_again(reader: Reader) -> None:
    path = reader.run.folder / LIMIT_FILE
    find_limit(reader.run, reader.likeness)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"least_likeness": 0.25}), encoding="utf-8")
    assert find_limit(reader.run, reader.likeness) == 0.25

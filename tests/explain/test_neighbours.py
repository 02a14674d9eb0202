"""The training digits nearest to a picture, and the file that keeps what it takes to find them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mnist_lab.config import TrainConfig
from mnist_lab.data.loader import with_random_labels
from mnist_lab.data.mnist import Mnist, stratified_subset, to_unit
from mnist_lab.explain import neighbours
from mnist_lab.explain.neighbours import FEATURES_FILE, Nearest, Space
from mnist_lab.networks.compute import Compute, computing_with, predict_hidden
from mnist_lab.networks.models import DigitNet, build_model
from mnist_lab.training.checkpoints import save_tensors
from tests.explain.conftest import lay_run, reader_of

FEW = 2000  # training digits that are searched, unless a test asks for all


def same(first: Nearest, second: Nearest) -> bool:
    return np.array_equal(first.indices, second.indices) and np.array_equal(first.distances, second.distances)


def by_hand(points: torch.Tensor, point: torch.Tensor) -> NDArray[np.float32]:
    """The distances of all points from one, as they are defined, from the differences."""
    found: NDArray[np.float32] = (points - point).norm(dim=1).numpy()
    return found


@pytest.mark.usefixtures("all_digits_to_compare")
def test_the_nearest_of_all_training_digits_are_found(outputs: Path, mnist: Mnist) -> None:
    reader, train = reader_of(outputs), mnist.train
    images = mnist.test.images[:2]
    pixels, hidden = to_unit(train.images).flatten(1), predict_hidden(reader.model, train.images, reader.compute)
    kept = []
    for image, activations in zip(images[:, 0], predict_hidden(reader.model, images, reader.compute), strict=True):
        found = reader.neighbours(image.numpy(), 20)
        distances = by_hand(pixels, to_unit(image).flatten())
        assert found.pixels.indices.tolist() == train.indices[distances.argsort()[:20].copy()].tolist()
        assert found.pixels.distances == pytest.approx(np.sort(distances)[:20], rel=1e-4)
        distances = by_hand(hidden, activations)
        kept.append(np.isin(found.hidden.indices, train.indices[distances.argsort()[:20].copy()].numpy()).mean())
        assert found.hidden.distances == pytest.approx(np.sort(distances)[:20], rel=0.02)
        for nearest in found:
            places = np.searchsorted(train.indices.numpy(), nearest.indices)
            assert np.array_equal(nearest.labels, train.labels[places].numpy())
            assert np.array_equal(nearest.images, train.images[places, 0].numpy())
    assert np.mean(kept) > 0.95, "one byte for each unit hardly changes who is near"


def test_a_training_digit_is_not_its_own_neighbour(outputs: Path) -> None:
    reader = reader_of(outputs)
    digits = neighbours.training_digits(reader.run.config)
    assert len(digits) == FEW
    for place in (0, 1, FEW - 1):
        found = reader.neighbours(digits.images[place, 0].numpy(), 8)
        for nearest in found:
            assert len(nearest.indices) == 8
            assert int(digits.indices[place]) not in nearest.indices
    picture = digits.images[0, 0].numpy().copy()
    picture[0, 0] += 1  # hardly changed, it is another digit
    assert reader.neighbours(picture).pixels.indices[0] == int(digits.indices[0])


def test_the_majority_is_the_most_frequent_label_and_of_two_the_smaller() -> None:
    empty = np.zeros(0)
    for labels, expected in (([4, 9, 9], 9), ([9, 4, 9, 4], 4), ([7], 7)):
        assert Nearest(empty, np.array(labels), empty, empty).majority == expected  # type: ignore[arg-type]


def test_features_are_computed_once_and_kept(outputs: Path, mnist: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = mnist.test.images[3, 0].numpy()
    reader = reader_of(outputs)
    found = reader.neighbours(picture)
    kept = outputs / "first" / FEATURES_FILE
    assert kept.stat().st_size < 128 * FEW, "at most a byte for each unit"
    asked: list[int] = []

    def spy(model: DigitNet, images: torch.Tensor, compute: Compute) -> torch.Tensor:
        asked.append(len(images))
        return predict_hidden(model, images, compute)

    monkeypatch.setattr(neighbours, "predict_hidden", spy)
    again = reader_of(outputs).neighbours(picture)
    assert asked == [1], "only the picture's own"
    assert all(same(*both) for both in zip(found, again, strict=True))


def with_step(step: float, content: bytes) -> bytes:
    plain = bytearray(zlib.decompress(content))
    plain[32:36] = np.array(step, "<f4").tobytes()
    return zlib.compress(plain)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "flipped": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "not finite": partial(with_step, np.nan),
    "negative": partial(with_step, -1.0),
    "longer": lambda content: zlib.compress(zlib.decompress(content) + b"\0"),
    "a bomb": lambda content: zlib.compress(zlib.decompress(content)[:32] + bytes(1 << 25), 9),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_counts_as_none(outputs: Path, mnist: Mnist, damage: Callable[[bytes], bytes]) -> None:
    picture, kept = mnist.test.images[3, 0].numpy(), outputs / "first" / FEATURES_FILE
    found, whole = reader_of(outputs).neighbours(picture), kept.read_bytes()
    kept.write_bytes(damage(whole))
    again = reader_of(outputs).neighbours(picture)
    assert all(same(*both) for both in zip(found, again, strict=True))
    assert kept.read_bytes() == whole, "written anew"


def test_features_of_other_weights_or_digits_are_not_used(outputs: Path, mnist: Mnist) -> None:
    picture = mnist.test.images[3, 0].numpy()
    first, second = (reader_of(outputs, name).neighbours(picture).hidden for name in ("first", "second"))
    assert not same(first, second)
    (outputs / "second" / FEATURES_FILE).write_bytes((outputs / "first" / FEATURES_FILE).read_bytes())
    assert same(reader_of(outputs, "second").neighbours(picture).hidden, second)
    save_tensors(outputs / "first" / "model.pt", build_model("1-layer", seed=1).state_dict())
    assert same(reader_of(outputs).neighbours(picture).hidden, second)


def test_a_folder_that_cant_be_written_to_costs_time_only(outputs: Path, mnist: Mnist) -> None:
    picture, kept = mnist.test.images[3, 0].numpy(), outputs / "first" / FEATURES_FILE
    found = reader_of(outputs).neighbours(picture).hidden
    kept.unlink()
    kept.mkdir()
    (kept / "in the way").touch()
    assert same(reader_of(outputs).neighbours(picture).hidden, found)


def test_a_silent_unit_is_no_obstacle(outputs: Path, mnist: Mnist) -> None:
    weights = build_model("1-layer").state_dict()
    weights["classifier.1.weight"][:5], weights["classifier.1.bias"][:5] = 0, -1
    save_tensors(outputs / "first" / "model.pt", weights)
    for _ in range(2):  # computed, and read again
        reader = reader_of(outputs)
        found = reader.neighbours(mnist.test.images[3, 0].numpy()).hidden
        assert np.isfinite(found.distances).all()
        assert (reader.hidden_space.steps[:5] == 0).all()


def test_one_thread_looks_for_them_whatever_the_number_elsewhere(
    outputs: Path, mnist: Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that wait for each other, on a busy machine, take 40 times as long."""
    reader, usual, threads = reader_of(outputs), Space.distances, []

    def spy(space: Space, points: torch.Tensor) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return usual(space, points)

    monkeypatch.setattr(Space, "distances", spy)
    with computing_with(2):
        reader.neighbours(mnist.test.images[3, 0].numpy())
        assert torch.get_num_threads() == 2
    assert threads == [1, 1]


@pytest.mark.usefixtures("all_digits_to_compare")
def test_those_that_a_network_was_trained_on_are_searched_under_the_labels_that_it_was_given(
    tmp_path: Path, mnist: Mnist
) -> None:
    config = TrainConfig(model="1-layer", train_size=600, random_labels=0.5, seed=7)
    lay_run(tmp_path, "few", config=config.to_dict())
    taught = with_random_labels(stratified_subset(mnist.train, 600), 0.5, 7)
    given, true = (
        dict(zip(each.indices.tolist(), each.labels.tolist(), strict=True)) for each in (taught, mnist.train)
    )
    for nearest in reader_of(tmp_path, "few").neighbours(mnist.test.images[3, 0].numpy(), 100):
        assert nearest.labels.tolist() == [given[index] for index in nearest.indices.tolist()]
        assert nearest.labels.tolist() != [true[index] for index in nearest.indices.tolist()]


def test_the_bytes_of_pixels_are_not_copied(outputs: Path) -> None:
    """As floats, all training digits would take 170 MB."""
    space = reader_of(outputs).hidden_space.by_pixels
    assert space.values.dtype == torch.uint8
    assert space.values.data_ptr() == space.digits.images.data_ptr()
    assert replace(space).squares.shape == (len(space.digits),)

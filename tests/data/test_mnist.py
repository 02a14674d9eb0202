"""The embedded files and the split."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from mnist_lab.data import MNIST_FOLDER, doubt_mark, doubt_note, mnist_is_there
from mnist_lab.data.mnist import (
    MEAN,
    MNIST_FILES,
    STD,
    Mnist,
    denormalise,
    load_mnist,
    normalise,
    split_fingerprint,
    stratified_split,
    stratified_subset,
    to_unit,
)
from mnist_lab.errors import DataError

OFFICIAL_TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
OFFICIAL_TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
IMAGES = MNIST_FILES[0].name


def test_the_data_are_mnist(mnist: Mnist) -> None:
    assert mnist.test.class_counts() == OFFICIAL_TEST_COUNTS
    both = np.add(mnist.train.class_counts(), mnist.validation.class_counts())
    assert both.tolist() == OFFICIAL_TRAIN_COUNTS
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert (mnist.train.images.shape, mnist.train.images.dtype) == ((54_000, 1, 28, 28), torch.uint8)


def test_the_normalisation_is_that_of_the_training_images(mnist: Mnist) -> None:
    pixels = torch.cat([mnist.train.images, mnist.validation.images]).numpy()
    assert round(pixels.mean(dtype=float) / 255, 4) == MEAN
    assert round(pixels.std(dtype=float) / 255, 4) == STD
    unit = to_unit(mnist.test.images[:5])
    assert (float(unit.min()), float(unit.max())) == (0, 1)
    assert torch.allclose(denormalise(normalise(unit)), unit, atol=1e-6)


def test_the_split_is_stratified_disjoint_complete_and_never_changes(mnist: Mnist) -> None:
    train, validation = set(mnist.train.indices.tolist()), set(mnist.validation.indices.tolist())
    assert (len(train), len(validation)) == (54_000, 6_000)
    assert train | validation == set(range(60_000))
    labels = torch.cat([mnist.train.labels, mnist.validation.labels]).numpy()
    _, by_sklearn = train_test_split(labels, test_size=6000, stratify=labels, random_state=0)
    assert np.abs(np.subtract(mnist.validation.class_counts(), np.bincount(by_sklearn))).max() <= 1
    assert split_fingerprint(mnist.validation) == "25b10d79a2d2"


def test_labels_stay_with_their_images(mnist: Mnist) -> None:
    content = gzip.decompress((MNIST_FOLDER / IMAGES).read_bytes())
    labels = gzip.decompress((MNIST_FOLDER / MNIST_FILES[1].name).read_bytes())
    for digits, position in ((mnist.validation, 1234), (mnist.train, 50_000)):
        index = int(digits.indices[position])
        expected = np.frombuffer(content[16 + 784 * index : 16 + 784 * (index + 1)], dtype=np.uint8)
        assert np.array_equal(digits.images[position].numpy().ravel(), expected)
        assert int(digits.labels[position]) == labels[8 + index]


@pytest.mark.parametrize("sizes", [[150, 130, 120], [7, 7, 6], [1, 99]])
def test_quotas_add_up_and_are_off_by_less_than_one(sizes: list[int]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rest, taken = stratified_split(labels, 0.1)
    assert sorted([*rest.tolist(), *taken.tolist()]) == list(range(len(labels)))
    assert len(taken) == round(len(labels) * 0.1)
    counts = np.bincount(labels[taken], minlength=len(sizes))
    assert np.abs(counts - 0.1 * np.array(sizes)).max() < 1


def test_smaller_samples_are_contained_in_larger_ones(mnist: Mnist) -> None:
    small, large = (stratified_subset(mnist.train, size) for size in (500, 2000))
    assert len(small) == 500
    assert set(small.indices.tolist()) < set(large.indices.tolist())
    assert np.abs(np.array(large.class_counts()) - np.array(mnist.train.class_counts()) / 27).max() < 1


@pytest.fixture
def copied_files(tmp_path: Path) -> Path:
    for file in MNIST_FILES:
        shutil.copy(MNIST_FOLDER / file.name, tmp_path)
    return tmp_path


def test_a_missing_file_is_named(copied_files: Path) -> None:
    assert mnist_is_there(copied_files)
    for file in reversed(MNIST_FILES):  # the first missing one is named
        (copied_files / file.name).unlink()
        assert not mnist_is_there(copied_files)
        with pytest.raises(DataError, match=f"{file.name} is missing"):
            load_mnist(copied_files)


def altered() -> bytes:
    content = bytearray(gzip.decompress((MNIST_FOLDER / IMAGES).read_bytes()))
    content[500_000] ^= 1
    return gzip.compress(bytes(content), compresslevel=1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: (MNIST_FOLDER / IMAGES).read_bytes()[:100_000], r"can't be read \(.*end-of-stream"),
        (lambda: b"hello\nworld", r"can't be read \("),
        (altered, r"is not the original \(MD5 .*expected 6bbc9ace"),
    ],
    ids=["truncated", "not gzip", "one pixel"],
)
def test_a_damaged_file_is_refused_in_one_line(copied_files: Path, make: object, why: str) -> None:
    assert callable(make)
    (copied_files / IMAGES).write_bytes(make())
    with pytest.raises(DataError, match=why) as caught:
        load_mnist(copied_files)
    assert "\n" not in str(caught.value)


def test_doubted_labels_are_marked_and_their_source_is_named() -> None:
    assert [doubt_mark(index) for index in (946, 947, 9729)] == ["", "†", "†"]
    assert doubt_note(np.array([0, 946])) == ""
    assert "Northcutt et al. 2021, labelerrors.com" in doubt_note(np.array([0, 947]))

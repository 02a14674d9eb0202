"""The embedded files, the split, and the batches."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from mnist_lab.config import AugmentConfig, TrainConfig
from mnist_lab.data.files import MNIST_FILES, MNIST_FOLDER, TRAIN_IMAGES, mnist_is_there
from mnist_lab.data.mnist import (
    Batch,
    Digits,
    Mnist,
    TrainLoader,
    largest_remainder,
    load_mnist,
    split_fingerprint,
    stratified_split,
    stratified_subset,
)
from mnist_lab.data.pixels import MEAN, STD, denormalise, normalise, to_unit
from mnist_lab.errors import DataError
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.inference import predict_logits
from mnist_lab.training.trainer import Trainer

OFFICIAL_TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
OFFICIAL_TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_data_are_mnist(mnist: Mnist) -> None:
    assert mnist.test.class_counts() == OFFICIAL_TEST_COUNTS
    both = np.add(mnist.train.class_counts(), mnist.validation.class_counts())
    assert both.tolist() == OFFICIAL_TRAIN_COUNTS
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert mnist.train.images.shape == (54_000, 1, 28, 28)
    assert mnist.train.images.dtype == torch.uint8


def test_the_normalisation_is_that_of_the_training_images(mnist: Mnist) -> None:
    pixels = torch.cat([mnist.train.images, mnist.validation.images]).numpy() / 255.0
    assert round(float(pixels.mean()), 4) == MEAN
    assert round(float(pixels.std()), 4) == STD
    unit = to_unit(mnist.test.images[:5])
    assert torch.allclose(denormalise(normalise(unit)), unit, atol=1e-6)


def test_the_split_is_stratified_disjoint_and_complete(mnist: Mnist) -> None:
    train, validation = set(mnist.train.indices.tolist()), set(mnist.validation.indices.tolist())
    assert len(train) == 54_000
    assert len(validation) == 6_000
    assert train | validation == set(range(60_000))
    labels = torch.cat([mnist.train.labels, mnist.validation.labels]).numpy()
    _, by_sklearn = train_test_split(labels, test_size=6000, stratify=labels, random_state=0)
    assert np.abs(np.subtract(mnist.validation.class_counts(), np.bincount(by_sklearn))).max() <= 1


def test_the_split_never_changes(mnist: Mnist) -> None:
    assert split_fingerprint(mnist.validation) == "25b10d79a2d2"


def test_another_seed_sets_other_digits_apart(mnist: Mnist) -> None:
    labels = mnist.test.labels.numpy()
    assert not torch.equal(stratified_split(labels, seed=1)[1], stratified_split(labels, seed=2)[1])


def test_labels_stay_with_their_images(mnist: Mnist) -> None:
    with gzip.open(MNIST_FOLDER / TRAIN_IMAGES.name) as file:
        content = file.read()
    position = 1234
    index = int(mnist.validation.indices[position])
    start = 16 + 784 * index
    expected = np.frombuffer(content[start : start + 784], dtype=np.uint8).reshape(1, 28, 28)
    assert np.array_equal(mnist.validation.images[position].numpy(), expected)


def test_quotas_are_rounded_to_the_total() -> None:
    assert largest_remainder(np.array([1.5, 1.3, 1.2]), total=4).tolist() == [2, 1, 1]
    assert largest_remainder(np.array([0.4, 0.4, 0.2]), total=1).sum() == 1


def test_smaller_samples_are_contained_in_larger_ones(mnist: Mnist) -> None:
    small, large = (set(stratified_subset(mnist.train, size).indices.tolist()) for size in (500, 2000))
    assert len(small) == 500
    assert small < large


@pytest.fixture
def copied_files(tmp_path: Path) -> Path:
    for file in MNIST_FILES:
        shutil.copy(MNIST_FOLDER / file.name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", MNIST_FILES, ids=lambda file: file.name)
def test_a_missing_file_is_named(copied_files: Path, file: object) -> None:
    name = getattr(file, "name")  # noqa: B009 - parametrised ids need the loose type
    (copied_files / name).unlink()
    assert not mnist_is_there(copied_files)
    with pytest.raises(DataError, match=f"{name} is missing"):
        load_mnist(copied_files)


def test_a_truncated_file_is_refused(copied_files: Path) -> None:
    path = copied_files / TRAIN_IMAGES.name
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"can't be read \(.*end-of-stream"):
        load_mnist(copied_files)


def test_a_file_with_one_altered_pixel_is_refused(copied_files: Path) -> None:
    path = copied_files / TRAIN_IMAGES.name
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[500_000] ^= 1
    path.write_bytes(gzip.compress(bytes(content), compresslevel=1))
    with pytest.raises(DataError, match=r"is not the original \(MD5 .*expected 6bbc9ace"):
        load_mnist(copied_files)


def test_a_file_that_is_no_gzip_is_refused_in_one_line(copied_files: Path) -> None:
    (copied_files / TRAIN_IMAGES.name).write_text("hello\nworld", encoding="utf-8")
    with pytest.raises(DataError, match="can't be read") as caught:
        load_mnist(copied_files)
    assert "\n" not in str(caught.value)


def loader(digits: Digits, workers: int = 0, start_method: str | None = None, seed: int = 5) -> TrainLoader:
    return TrainLoader(
        digits, AugmentConfig(erasing=0.5), batch_size=64, seed=seed, workers=workers, start_method=start_method
    )


def gather(batches: Iterator[Batch]) -> tuple[Tensor, Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_an_epoch_holds_every_digit_once_and_batches_are_whole(small: Digits) -> None:
    batches = list(loader(small).epoch(1, augmented=False))
    assert [len(batch.labels) for batch in batches] == [64] * 15 + [40]
    images = torch.cat([batch.images for batch in batches])
    seen = {tuple(image) for image in (denormalise(images) * 255).round().flatten(1).int().tolist()}
    assert seen == {tuple(image) for image in small.images.flatten(1).int().tolist()}


def test_a_longer_epoch_deals_whole_passes_and_part_of_one(small: Digits) -> None:
    loader = TrainLoader(small, None, batch_size=128, seed=3, epoch_size=2500)
    assert len(loader) == 20
    positions = loader.sampler.order()
    assert len(positions) == 2500
    for start in (0, 1000):
        assert torch.equal(positions[start : start + 1000].sort().values, torch.arange(1000))
    assert len(set(positions[2000:].tolist())) == 500
    assert sum(len(batch.labels) for batch in loader.epoch(1)) == 2500
    once = TrainLoader(small, None, batch_size=128, seed=3)
    assert torch.equal(once.sampler.order(), positions[:1000])  # the first pass is the usual epoch


def test_epochs_differ_and_each_can_be_repeated_alone(small: Digits) -> None:
    first, second = (gather(loader(small).epoch(epoch)) for epoch in (1, 2))
    again = loader(small)
    list(again.epoch(7))
    repeated = gather(again.epoch(2))
    assert torch.equal(repeated[0], second[0])
    assert torch.equal(repeated[1], second[1])
    assert not torch.equal(first[1], second[1])
    assert not torch.equal(gather(loader(small, seed=6).epoch(1))[0], first[0])


@pytest.mark.parametrize("start_method", ["spawn"])
def test_worker_processes_make_the_very_same_batches(small: Digits, start_method: str) -> None:
    alone, helped = loader(small), loader(small, workers=2, start_method=start_method)
    for epoch in (1, 2):  # the second epoch shows that persistent workers learn of the new epoch
        expected, found = gather(alone.epoch(epoch)), gather(helped.epoch(epoch))
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


class Recorder(nn.Module):
    """A network that keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x.detach().clone())
        return self.scale * x.flatten(1)[:, :10]


def test_validation_and_test_see_the_plain_images_bit_for_bit(mnist: Mnist, compute: Compute) -> None:
    recorder = Recorder().to(compute.device)
    config = TrainConfig(augment=AugmentConfig(erasing=1.0), average_decay=0.0)
    Trainer(recorder, mnist.train, mnist.validation, config, compute).validate()
    predict_logits(recorder, mnist.test.images, compute)
    plain = np.concatenate([mnist.validation.images.numpy(), mnist.test.images.numpy()])
    expected = (plain.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    assert np.array_equal(torch.cat(recorder.asked).cpu().numpy(), expected)

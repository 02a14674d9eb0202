"""Batches: each epoch deals what it should, the same from this process and from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from mnist_lab.config import AugmentConfig
from mnist_lab.data.augment import augment
from mnist_lab.data.loader import Batch, TrainLoader, derive_seed, with_random_labels
from mnist_lab.data.mnist import Digits, Mnist, denormalise, normalise, stratified_subset, to_unit


@pytest.fixture(scope="module")
def few(mnist: Mnist) -> Digits:
    """300 digits, each its own."""
    return stratified_subset(mnist.train, 300)


def loader(digits: Digits, seed: int = 5, workers: int = 0, epoch_size: int = 0) -> TrainLoader:
    method = "spawn" if workers else None
    strong = AugmentConfig(elastic=0.03, strokes=0.5, erasing=0.5)
    return TrainLoader(
        digits, strong, batch_size=64, seed=seed, workers=workers, start_method=method, epoch_size=epoch_size
    )


def gather(batches: Iterator[Batch]) -> tuple[Tensor, Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def dealt(batches: Iterator[Batch], digits: Digits) -> list[int]:
    """The positions of the digits that unaugmented batches hold, in their order."""
    position = {bytes(image.flatten().tolist()): place for place, image in enumerate(digits.images)}
    images, labels = gather(batches)
    places = [position[bytes(row)] for row in (denormalise(images) * 255).round().byte().flatten(1).tolist()]
    assert torch.equal(digits.labels[places], labels)
    assert torch.equal(normalise(to_unit(digits.images[places])), images)
    return places


def test_an_epoch_holds_every_digit_once_in_whole_batches(few: Digits) -> None:
    batches = list(loader(few).epoch(1, augmented=False))
    assert [len(batch.labels) for batch in batches] == [64] * 4 + [44]
    places = dealt(iter(batches), few)
    assert sorted(places) == list(range(300))
    assert places != sorted(places)


def test_a_graphics_card_augments_many_batches_together_and_deals_the_same(
    few: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Digits, "to", lambda digits, device: digits)  # pretended: there may be no card here
    monkeypatch.setattr("mnist_lab.data.loader._AT_ONCE", 256)
    card = TrainLoader(few, AugmentConfig(), batch_size=2, seed=5, workers=2, device=torch.device("cuda"))
    drawn = list[int]()
    real = augment

    def follow(images: Tensor, *others: Any) -> Tensor:
        drawn.append(len(images))
        return real(images, *others)

    monkeypatch.setattr("mnist_lab.data.loader.augment", follow)
    batches = list(card.epoch(1))
    assert drawn == [256, 44]
    assert [len(batch.labels) for batch in batches] == [2] * 150 == [2] * len(card)
    usual = TrainLoader(few, AugmentConfig(), batch_size=2, seed=5)
    assert dealt(card.epoch(1, augmented=False), few) == dealt(usual.epoch(1, augmented=False), few)
    first, again, other = (gather(card.epoch(epoch))[0] for epoch in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_longer_epoch_deals_whole_passes_and_part_of_one(few: Digits) -> None:
    longer = loader(few, epoch_size=700)
    assert len(longer) == 11
    places = dealt(longer.epoch(1, augmented=False), few)
    assert Counter(Counter(places).values()) == {3: 100, 2: 200}
    assert sorted(places[:300]) == sorted(places[300:600]) == list(range(300))
    assert places[:300] == dealt(loader(few).epoch(1, augmented=False), few)  # the first pass is the usual epoch


def test_epochs_and_seeds_differ_and_each_epoch_can_be_repeated_alone(few: Digits) -> None:
    again = loader(few)
    list(again.epoch(7))
    made = [gather(loader(few).epoch(1)), gather(loader(few).epoch(2)), gather(again.epoch(2))]
    other = gather(loader(few, seed=6).epoch(1))
    assert all(torch.equal(*pair) for pair in zip(made[1], made[2], strict=True))
    assert not torch.equal(made[0][1], made[1][1])
    assert not torch.equal(made[0][1], other[1])


def test_each_batch_and_epoch_is_augmented_anew(few: Digits) -> None:
    """The same digit twenty times over: no two pictures of it may be equal."""
    same = few.subset(torch.zeros(1, dtype=torch.int64))
    config = AugmentConfig(strokes=0.0)
    images = [
        image
        for epoch in (1, 2)
        for batch in TrainLoader(same, config, batch_size=2, seed=5, epoch_size=10).epoch(epoch)
        for image in batch.images
    ]
    assert len(images) == 20
    assert len({tuple(image.flatten().tolist()) for image in images}) == 20


def test_seeds_are_far_apart_and_never_change() -> None:
    assert derive_seed(0, 1, "order") == 2970216001742124781
    seeds = {derive_seed(a, b, name) for a in range(10) for b in range(10) for name in ("order", "augment")}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert min(b - a for a, b in pairwise(sorted(seeds))) > 2**40


def test_seeds_depend_on_where_one_part_ends_and_the_next_begins() -> None:
    assert derive_seed(1, 23, "order") != derive_seed(12, 3, "order")
    assert derive_seed(1, 2, 34, "augment") != derive_seed(1, 23, 4, "augment")


@pytest.mark.integration
def test_workers_make_the_very_same_batches(few: Digits) -> None:
    alone, helped = loader(few), loader(few, workers=2)
    for epoch in (1, 2):  # the second epoch shows that persistent workers learn of the new epoch
        expected, found = gather(alone.epoch(epoch)), gather(helped.epoch(epoch))
        assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))


def test_random_labels_are_a_fraction_of_all_and_one_in_ten_is_right(mnist: Mnist) -> None:
    digits = stratified_subset(mnist.train, 10_000)
    labels, images = digits.labels.clone(), digits.images.clone()
    previous = torch.zeros(len(digits), dtype=torch.bool)
    for fraction in (0.0, 0.2, 0.5, 1.0):
        given = with_random_labels(digits, fraction, seed=3)
        is_wrong = given.labels != labels
        assert int(is_wrong.sum()) == pytest.approx(0.9 * fraction * len(digits), abs=100)  # 3 standard deviations
        assert not (previous & ~is_wrong).any()  # a larger fraction keeps what a smaller one made wrong
        assert torch.equal(given.images, images)
        assert torch.equal(given.indices, digits.indices)
        assert torch.equal(given.labels, with_random_labels(digits, fraction, seed=3).labels)
        previous = is_wrong
    assert torch.bincount(given.labels, minlength=10).tolist() == pytest.approx([1000] * 10, abs=100)
    assert torch.equal(digits.labels, labels)  # the data that all trainings share
    assert not torch.equal(given.labels, with_random_labels(digits, 1.0, seed=4).labels)

"""Shared by all tests: the real data, loaded once, and small samples of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_lab.environment import prepare_environment


def share_the_cores() -> None:
    """Compute with this process's share of the cores, where pytest-xdist runs several test files side by side."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))


def hear_interrupts() -> None:
    """Let Ctrl-C be heard, which some tests send: a script that starts pytest with "&" makes it deaf to that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


prepare_environment()  # before torch is loaded, as main.py does
share_the_cores()
hear_interrupts()

import main  # noqa: E402
from mnist_lab.config import TrainConfig  # noqa: E402
from mnist_lab.data.mnist import Digits, Mnist, load_mnist, stratified_subset  # noqa: E402
from mnist_lab.explain import likeness, neighbour_figures, neighbours  # noqa: E402
from mnist_lab.networks.compute import Compute, choose_compute  # noqa: E402

LONGEST = ("test_command_line.py", "test_trainings.py", "test_cluster.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that in the end no process waits for another."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def mnist() -> Mnist:
    return load_mnist()


@pytest.fixture(scope="session")
def small(mnist: Mnist) -> Digits:
    """1,000 real training digits."""
    return stratified_subset(mnist.train, 1000)


@pytest.fixture(scope="session")
def small_validation(mnist: Mnist) -> Digits:
    """500 real validation digits."""
    return stratified_subset(mnist.validation, 500)


@pytest.fixture(scope="session")
def compute() -> Compute:
    return choose_compute()


_training_digits = neighbours.training_digits


@pytest.fixture(autouse=True, scope="session")
def few_digits_to_compare() -> Iterator[None]:
    """Five mistakes, neighbours among 2,000 digits, 500 that choose a threshold: all would cost each training 6 s."""

    def few(config: TrainConfig) -> Digits:
        return _training_digits(replace(config, train_size=min(2000, config.train_size)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbour_figures, "MISTAKES_SHOWN", 5)
        patch.setattr(neighbours, "training_digits", few)
        patch.setattr(likeness, "VALIDATION_DIGITS", 500)
        yield


@pytest.fixture
def all_digits_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for them among all training digits, as the lab does."""
    monkeypatch.setattr(neighbours, "training_digits", _training_digits)


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real run of some seconds, with all of its pictures; whoever damages it takes a copy."""
    outputs = tmp_path_factory.mktemp("trained")
    options = ["--model", "1-layer", "--train-size", "1000", "--epochs", "2", "--workers", "0"]
    assert main.main(["train", *options, "--outputs", str(outputs)]) == 0
    (folder,) = outputs.glob("*/")
    return folder

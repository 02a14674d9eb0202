"""Shared by all tests: the real data, loaded once, and small samples of it."""

from __future__ import annotations

import pytest

from mnist_lab.threads import wait_politely

wait_politely()  # before torch is loaded, as main.py does

from mnist_lab.data import Digits, Mnist, load_mnist, stratified_subset  # noqa: E402
from mnist_lab.device import Compute, choose_compute  # noqa: E402


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

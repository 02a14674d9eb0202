"""Shared by all tests: the real data, loaded once, and small samples of it."""

from __future__ import annotations

import pytest

from mnist_lab.data import Digits, Mnist, load_mnist, stratified_subset
from mnist_lab.device import Compute, choose_compute


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

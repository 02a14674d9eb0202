"""What the lab tells its libraries through the environment, which all processes that it starts inherit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

DEVICES = ("auto", "cpu", "cuda", "mps")  # auto: the fastest of them that is there and works
_DEVICE_VARIABLE = "MNIST_LAB_DEVICE"


def prepare_environment() -> None:
    """Settle how threads wait and how figures are drawn; to be called before torch and matplotlib are loaded.

    Left alone, the threads of GNU OpenMP (torch's on Linux) spin for milliseconds while they wait, on the very core
    that another thread needs as soon as anything else runs on the machine. On two cores, an epoch of 3-layer takes 6 s
    undisturbed; beside one other busy program it took 55 to 91 s, and takes 14 s with short spinning. Sleeping at once
    would take 8 s undisturbed. What the user has set is kept.

    Figures are saved, never shown, so a backend that is inherited from a notebook, say, would only do harm.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ["MPLBACKEND"] = "agg"


def asked_device() -> str | None:
    """The device that was asked for, one of :data:`DEVICES` unless the user's own environment says something else."""
    return os.environ.get(_DEVICE_VARIABLE) or None


@contextmanager
def using_device(name: str | None) -> Iterator[None]:
    """Within this context, networks compute on a device of :data:`DEVICES`; None leaves the choice as it is."""
    before = os.environ.get(_DEVICE_VARIABLE, "")
    os.environ[_DEVICE_VARIABLE] = name or before
    try:
        yield
    finally:
        os.environ[_DEVICE_VARIABLE] = before

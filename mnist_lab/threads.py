"""How torch's threads wait for each other; to be settled before torch is loaded."""

from __future__ import annotations

import os


def wait_politely() -> None:
    """Let idle threads spin for some microseconds only and then sleep, unless the environment says otherwise.

    Left alone, GNU OpenMP (torch's on Linux) spins for milliseconds, and burns the very core that the thread it waits
    for needs as soon as anything else runs on the machine. On two cores, an epoch of 3-layer took 7 s undisturbed and
    up to 70 s beside one other busy program; with short spinning it takes 7.5 s and 30 s. Sleeping at once would
    take 12 s and 22 s.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

"""Real trainings of some seconds, and what several test files want to know of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mnist_lab.config import TrainConfig
from mnist_lab.experiments.trainings import Finished
from mnist_lab.training.checkpoints import load_weights
from mnist_lab.training.runs import RunRecord, read_run

ROOT = Path(__file__).parents[1]
SMALL = TrainConfig(model="1-layer", train_size=1000, batch_size=100, epochs=1)
LONGER = replace(SMALL, epochs=8, patience=8)


def same_weights(first: RunRecord, second: RunRecord) -> bool:
    a, b = load_weights(first), load_weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def repeat(run: RunRecord, outputs: Path) -> RunRecord:
    """Train a run again with the command in its run.json, where torch would take other threads by itself."""
    words = run.to_json()["command"].split()
    assert words[:2] == ["python", "main.py"]
    environment = os.environ | {"OMP_NUM_THREADS": str(run.to_json()["machine"]["threads"] + 1)}
    command = [sys.executable, "main.py", *words[2:], "--outputs", str(outputs)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return read_run(next(path.parent for path in outputs.glob("*/run.json")))


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_background(action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def run_of(finished: Finished) -> RunRecord:
    assert finished.failure is None
    assert finished.folder is not None
    run = read_run(finished.folder)
    assert run.status == "finished"
    return run

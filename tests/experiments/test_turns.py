"""Only as many trainings at once as there may be, while pictures of others are drawn."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mnist_lab.experiments import trainings
from mnist_lab.experiments.trainings import Finished, Pool, Task
from mnist_lab.networks.compute import choose_compute
from tests.trainings import SMALL


@pytest.mark.integration
def test_beside_a_graphics_card_a_second_process_draws_but_only_one_trains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = replace(choose_compute(), device=torch.device("cuda"))
    monkeypatch.setattr(trainings, "choose_compute", lambda: card)  # here; the processes compute where they can
    tasks = [Task(seed, "", replace(SMALL, seed=seed)) for seed in range(3)]
    seen = list[list[float]]()
    with closing(Pool(1, 3)) as pool:
        assert pool.processes == 2
        watching = threading.Event()

        def watch() -> None:
            while not watching.wait(0.005):
                seen.append([*pool.epochs])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            done = list(pool.train(tasks, tmp_path))
        finally:
            watching.set()
            watcher.join()
    assert all(one.folder is not None for one in done)
    at_once = [sum(0 <= epochs < task.config.epochs for task, epochs in zip(tasks, now, strict=True)) for now in seen]
    assert max(at_once) == 1


def test_a_turn_to_train_ends_when_only_pictures_are_left_and_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(0, "", SMALL)
    turns, stopped = threading.Semaphore(1), SimpleNamespace(value=False)
    for name, value in {"_epochs": [-1.0], "_stopped": stopped, "_turns": turns, "_POLL_SECONDS": 0.01}.items():
        monkeypatch.setattr(trainings, name, value, raising=False)

    def is_free() -> bool:
        if free := turns.acquire(blocking=False):
            turns.release()
        return free

    def train(task: Task, outputs: Path, report: Callable[[float], None], is_stopped: Callable[[], bool]) -> Finished:
        report(0)
        assert not is_free()
        for done in ends:
            report(done)
            assert is_free()
        return Finished(task.number, failure="none")

    monkeypatch.setattr(trainings, "_train", train)
    ends = [math.inf]
    for _ in range(2):
        assert trainings._train_in_process(task, Path()).failure == "none"
        assert is_free()
        ends.clear()  # the second fails before its end
    stopped.value = turns.acquire()
    assert trainings._train_in_process(task, Path()) == Finished(task.number)

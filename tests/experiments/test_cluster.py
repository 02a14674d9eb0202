"""Trainings on a real Dask scheduler with real workers, some of which are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_lab.errors import RequestError
from mnist_lab.experiments import trainings
from mnist_lab.experiments.commands import experiment
from mnist_lab.experiments.trainings import WORKERS_GONE, Finished, Task, cluster
from mnist_lab.terminal.lab import OK
from mnist_lab.training.runs import list_runs
from tests.experiment_fixtures import make_lab, small_request
from tests.trainings import LONGER, ROOT, SMALL, in_background, repeat, run_of, same_weights, wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform == "win32", reason="processes are killed and counted as Unix does it"),
]


class RealCluster:
    """A Dask scheduler and its workers, as processes of their own."""

    def __init__(self, folder: Path, allowed_failures: int = 3) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        (folder / "tmp").mkdir()
        self.environment = os.environ | {
            "TMPDIR": str(folder / "tmp"),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
            "DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT": "None",
        }
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-jupyter")
        wait_for(lambda: answers(port))

    def start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, "--no-dashboard", *arguments]
        with (self.folder / f"{kind}-{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)

    def add_worker(self, threads: int = 1) -> None:
        words = ["--nthreads", str(threads), "--no-nanny", "--local-directory", str(self.folder)]
        self.workers.append(self.start("worker", self.address, *words))

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def workers_of(address: str) -> int:
    with cluster(address, tasks=0) as pool:
        return pool.at_once


@pytest.fixture
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    running = RealCluster(tmp_path_factory.mktemp("dask"))
    running.add_worker()
    running.add_worker()
    yield running
    running.close()


def test_an_experiment_on_a_cluster_ends_complete_though_a_worker_is_killed(dask: RealCluster, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"

    def kill_one() -> None:
        wait_for(lambda: list_runs(outputs)[0])  # the first has come back: each worker has begun with its next
        dask.workers[0].kill()

    killer = in_background(kill_one)
    lab, screen = make_lab(outputs)
    wait_for(lambda: workers_of(dask.address) == 2)
    assert experiment(lab, replace(small_request("validation", epochs=4, seeds=3), jobs=None, dask=dask.address)) == OK
    killer.join()
    assert dask.workers[0].wait() == -signal.SIGKILL
    assert "3 training runs to do, on 2 Dask workers" in screen.getvalue()
    runs = list_runs(outputs)[0]
    assert sorted(run.seed for run in runs) == [0, 1, 2]
    for run in runs:
        assert run_of(Finished(0, run.folder)).to_json()["machine"]["threads"] == 1
        assert {file.name for file in run.folder.iterdir()} >= {
            run.to_json()["model_file"],
            "history.csv",
            "saliency.png",
        }
        assert run.folder.name.startswith(run.to_json()["model_file"][6:25])
    (folder,) = outputs.glob("*_experiment-validation")
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert {name: len(seeds) for name, seeds in results["runs"].items()} == {"1-layer": 3}
    assert results["failures"] == []
    assert same_weights(runs[0], repeat(runs[0], tmp_path / "alone"))  # the same bits here and there


def test_a_single_worker_trains_and_one_with_several_threads_is_advised_against(tmp_path: Path) -> None:
    running = RealCluster(tmp_path)
    running.add_worker(threads=2)
    try:
        with cluster(running.address, tasks=1) as pool:
            (done,) = pool.train([Task(0, "one", SMALL)], tmp_path / "outputs")
            assert pool.at_once == 1
            assert "--nthreads 1" in pool.where
            assert pool.progress_of(Task(0, "one", SMALL)) == (1.0, "drawing its pictures")
    finally:
        running.close()
    assert run_of(done).to_json()["machine"]["threads"] == 1


def test_workers_end_the_trainings_of_an_experiment_that_was_killed(dask: RealCluster, tmp_path: Path) -> None:
    words = ["experiment", "validation", "--seeds", "4", "--epochs", "500", "--dask", dask.address]
    command = [sys.executable, "main.py", *words, "--outputs", str(tmp_path / "outputs")]
    client = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(trained_by(dask)) == 2)
    client.kill()
    client.wait()
    wait_for(lambda: not trained_by(dask), seconds=60)


def trained_by(dask: RealCluster) -> list[Path]:
    """What is being trained in the workers' temporary folders."""
    found = (Path(folder, "run.json") for folder, _, files in os.walk(dask.folder) if "run.json" in files)
    return [path for path in found if "mnist-lab-" in path.parts[-3]]  # unlike glob, walk lets folders disappear


def test_the_first_ctrl_c_stops_the_workers_too_and_keeps_what_is_finished(dask: RealCluster, tmp_path: Path) -> None:
    endless = replace(LONGER, epochs=400, patience=400)
    tasks = [Task(0, "short", SMALL), Task(1, "long", endless), Task(2, "late", replace(endless, seed=1))]
    with cluster(dask.address, tasks=3) as pool:
        assert pool.estimate(tasks) is not None
        results = pool.train(tasks, tmp_path)
        first = next(results)
        wait_for(lambda: pool.progress_of(tasks[1]))
        pool.stop()
        others = list(results)
        wait_for(lambda: not trained_by(dask), seconds=60)
    assert run_of(first).seed == 0
    assert sorted(others, key=lambda one: one.number) == [Finished(1), Finished(2)]


@pytest.mark.parametrize("lost", ["workers", "scheduler"])
def test_a_cluster_that_is_gone_ends_the_trainings_and_what_is_finished_is_kept(
    lost: str, dask: RealCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [Task(0, "short", SMALL), Task(1, "long", replace(LONGER, epochs=400, patience=400))]
    with cluster(dask.address, tasks=2) as pool:
        monkeypatch.setattr(trainings, "PATIENCE", 3.0)
        results = pool.train(tasks, tmp_path)
        first = next(results)
        for process in dask.workers if lost == "workers" else [dask.scheduler]:
            process.kill()
        (second,) = results
    assert run_of(first).seed == 0
    assert second.failure is not None
    if lost == "workers":
        assert second.failure == str(WORKERS_GONE)
    else:
        assert "the connection to its scheduler was lost" in second.failure


def test_a_scheduler_without_workers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "PATIENCE", 2.0)
    running = RealCluster(tmp_path)
    try:
        with (
            pytest.raises(RequestError, match=r"no Dask worker can train .*; start one for each core"),
            cluster(running.address, 1),
        ):
            pass
    finally:
        running.close()


def test_workers_with_another_version_are_refused(dask: RealCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "__version__", "99")
    with (
        pytest.raises(RequestError, match=r"has mnist-lab .*; start one .* with mnist-lab 99"),
        cluster(dask.address, 1),
    ):
        pass


def test_without_the_package_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RequestError, match="--dask needs the package distributed"), cluster("tcp://127.0.0.1:9", 1):
        pass

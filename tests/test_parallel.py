"""Many trainings at once: in processes of this machine and on a real Dask cluster, killed and stopped in the middle."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mnist_lab import parallel
from mnist_lab.actions import OK
from mnist_lab.config import TrainConfig
from mnist_lab.data import Mnist
from mnist_lab.errors import RequestError
from mnist_lab.experiment_actions import experiment
from mnist_lab.parallel import (
    Board,
    Finished,
    Job,
    ThisMachine,
    cluster,
    default_jobs,
    describe_failure,
    new_board,
    this_machine,
)
from mnist_lab.runs import Run, list_runs, load_weights, read_run
from tests.experiment_fixtures import make_lab, small_request

ROOT = Path(__file__).parents[1]
SMALL = TrainConfig(model="1-layer", train_size=1000, batch_size=100, epochs=1)
LONGER = replace(SMALL, epochs=8, patience=8)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed and counted as Unix does it")


def same_weights(first: Run, second: Run) -> bool:
    a, b = load_weights(first), load_weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def children(parent: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    listed = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in listed.split()]


def trainers() -> list[int]:
    """The processes of the pool."""
    return [pid for pid in children(os.getpid()) if b"popen_loky" in command_of(pid)]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_background(action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def by_number(finished: list[Finished]) -> dict[int, Finished]:
    assert len({one.number for one in finished}) == len(finished)
    return {one.number: one for one in finished}


def run_of(finished: Finished) -> Run:
    assert finished.failure is None
    assert finished.folder is not None
    run = read_run(finished.folder)
    assert run.status == "finished"
    return run


@pytest.fixture
def board() -> Iterator[Board]:
    with new_board() as board:
        yield board


# ------------------------------------------------------------------------------------------------ the board


def test_the_board_tells_and_stops(board: Board) -> None:
    assert board.read(3) is None
    board.report(3, 0.25, "epoch 1/4")
    board.report(3, 0.5, "epoch 2/4")
    assert board.read(3) == (0.5, "epoch 2/4")
    assert board.read(4) is None
    (board.folder / "4.json").write_text("[0.5", encoding="utf-8")
    assert board.read(4) is None
    board.forget(3)
    board.forget(3)
    assert board.read(3) is None
    assert not board.is_stopped
    board.stop()
    assert Board(board.folder).is_stopped


def test_a_board_that_is_gone_costs_no_training(tmp_path: Path) -> None:
    board = Board(tmp_path / "gone")
    board.report(0, 0.5, "epoch 1/2")
    board.forget(0)
    assert board.read(0) is None
    assert not board.is_stopped


# ------------------------------------------------------------------------------------------ on this machine


def test_as_many_at_once_as_there_are_cores() -> None:
    assert 1 <= default_jobs() <= (os.cpu_count() or 1)
    assert ThisMachine(1).threads is None  # the user's own process stays as it is
    threads = ThisMachine(2).threads
    assert threads is not None
    assert 1 <= threads <= max(1, (os.cpu_count() or 1) // 2)


def test_a_pool_trains_to_the_bits_of_one_process_reports_failures_and_leaves_nobody(
    tmp_path: Path, board: Board
) -> None:
    jobs = [Job(0, SMALL), Job(1, replace(SMALL, learning_rate=1e6, weight_decay=1e3)), Job(2, replace(SMALL, seed=1))]
    with this_machine(2) as machine:
        paces = machine.measure_paces([SMALL])
        done = by_number(list(machine.train(jobs, tmp_path, board)))
        assert trainers()
    assert not trainers()
    assert len(paces) == 1
    assert 0 < paces[0] < 60
    assert done[1].failure is not None
    assert "the training loss became" in done[1].failure
    alone = repeat(run_of(done[2]), tmp_path / "alone")
    assert same_weights(run_of(done[2]), alone)
    assert alone.content["machine"]["threads"] == run_of(done[2]).content["machine"]["threads"] == machine.threads
    assert board.read(2) == (1.0, "drawing its pictures")


def repeat(run: Run, outputs: Path) -> Run:
    """Train a run again with the command in its run.json, where torch would take other threads by itself."""
    words = run.content["command"].split()
    assert words[:2] == ["python", "main.py"]
    environment = os.environ | {"OMP_NUM_THREADS": str(run.content["machine"]["threads"] + 1)}
    command = [sys.executable, "main.py", *words[2:], "--outputs", str(outputs)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return read_run(next(path.parent for path in outputs.glob("*/run.json")))


def test_one_at_a_time_needs_no_pool(tmp_path: Path, board: Board) -> None:
    threads = torch.get_num_threads()
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    with this_machine(1) as machine:
        (done,) = machine.train([Job(7, SMALL)], tmp_path / "runs", board)
        assert not trainers()
        (refused,) = machine.train([Job(0, SMALL)], file, board)
        board.stop()
        (stopped,) = machine.train([Job(1, SMALL)], tmp_path / "runs", board)
    assert run_of(done).content["machine"]["threads"] == threads == torch.get_num_threads()
    assert refused.failure is not None
    assert "a file stands where a folder should be" in refused.failure
    assert stopped == Finished(1)
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_a_damaged_state_costs_the_resuming_not_the_training(tmp_path: Path, board: Board, mnist: Mnist) -> None:
    with this_machine(1) as machine:
        (done,) = machine.train([Job(0, SMALL)], tmp_path, board)
        folder = run_of(done).folder
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        (folder / "run.json").write_text(json.dumps(content | {"status": "running"}), encoding="utf-8")
        (folder / "training_state.pt").write_bytes(b"torn")
        (again,) = machine.train([Job(0, SMALL, unfinished=folder)], tmp_path, board)
    assert run_of(again).folder != folder


def test_a_killed_process_costs_time_only(tmp_path: Path, board: Board) -> None:
    jobs = [Job(0, LONGER), Job(1, replace(SMALL, seed=1)), Job(2, SMALL)]

    def kill_one() -> None:
        wait_for(lambda: list(tmp_path.glob("*/training_state.pt")))
        os.kill(trainers()[0], signal.SIGKILL)

    killer = in_background(kill_one)
    with this_machine(2) as machine:
        done = by_number(list(machine.train(jobs, tmp_path, board)))
    killer.join()
    assert sorted(done) == [0, 1, 2]
    assert [run_of(done[number]).seed for number in range(3)] == [0, 1, 0]
    assert len(list(tmp_path.glob("*/run.json"))) == 3  # whoever was killed went on in its own folder
    assert not trainers()


@pytest.mark.slow
def test_the_training_that_kills_its_process_is_blamed_and_the_others_go_on(tmp_path: Path, board: Board) -> None:
    jobs = [Job(0, LONGER), Job(1, replace(SMALL, seed=1)), Job(2, replace(SMALL, seed=2))]
    over = threading.Event()

    def kill_whoever_trains_the_first() -> None:
        while not over.wait(0.05):
            if (report := board.read(0)) is not None and report[1].startswith("epoch"):
                for pid in trainers():
                    os.kill(pid, signal.SIGKILL)

    killer = in_background(kill_whoever_trains_the_first)
    with this_machine(2) as machine:
        done = by_number(list(machine.train(jobs, tmp_path, board)))
    over.set()
    killer.join()
    assert done[0].failure is not None
    assert "killed again and again" in done[0].failure
    assert run_of(done[1]).seed == 1
    assert run_of(done[2]).seed == 2
    assert not trainers()


def test_a_caller_who_leaves_leaves_nobody_behind(tmp_path: Path, board: Board) -> None:
    jobs = [Job(0, SMALL), Job(1, replace(LONGER, epochs=50))]
    with this_machine(2) as machine:
        results = machine.train(jobs, tmp_path, board)
        assert run_of(next(results)).seed == 0
        results.close()
    assert not trainers()


def test_any_failure_takes_one_line() -> None:
    assert describe_failure(ValueError("two\nlines")) == "ValueError: two lines"
    assert describe_failure(RequestError("found", "next")) == "found; next"


# ---------------------------------------------------------------------------------------------- on a cluster


class RealCluster:
    """A Dask scheduler and its workers, as processes of their own."""

    def __init__(self, folder: Path, allowed_failures: int = 3) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.environment = os.environ | {
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
    with cluster(dask.address) as engine:
        wait_for(lambda: len(engine.threads()) == 2)
    assert experiment(lab, replace(small_request("validation", epochs=4, seeds=4), jobs=None, dask=dask.address)) == OK
    killer.join()
    assert dask.workers[0].wait() == -signal.SIGKILL
    assert "4 trainings to do on 2 Dask workers" in screen.getvalue()
    runs = list_runs(outputs)[0]
    assert sorted(run.seed for run in runs) == [0, 1, 2, 3]
    for run in runs:
        assert run_of(Finished(0, run.folder)).content["machine"]["threads"] == 1
        assert {file.name for file in run.folder.iterdir()} >= {
            run.content["model_file"],
            "history.csv",
            "saliency.png",
        }
        assert run.folder.name.startswith(run.content["model_file"][6:25])
    (folder,) = outputs.glob("*_experiment-validation")
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert {name: len(seeds) for name, seeds in results["runs"].items()} == {"1-layer": 4}
    assert results["failures"] == []
    assert same_weights(runs[0], repeat(runs[0], tmp_path / "alone"))  # the same bits here and there


def test_a_single_worker_trains_and_one_with_several_threads_is_advised_against(tmp_path: Path, board: Board) -> None:
    running = RealCluster(tmp_path)
    running.add_worker(threads=2)
    try:
        with cluster(running.address) as engine:
            (done,) = engine.train([Job(0, SMALL)], tmp_path / "outputs", board)
            assert engine.at_once == 1
            assert "--nthreads 1" in engine.advice
    finally:
        running.close()
    assert run_of(done).content["machine"]["threads"] == 1


@pytest.mark.slow
def test_when_all_workers_are_gone_what_is_finished_is_kept(
    dask: RealCluster, tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "PATIENCE", 3.0)
    jobs = [Job(0, SMALL), Job(1, replace(LONGER, epochs=200, patience=200))]
    with cluster(dask.address) as engine:
        results = engine.train(jobs, tmp_path, board)
        first = next(results)
        for worker in dask.workers:
            worker.kill()
        (second,) = results
    assert run_of(first).seed == 0
    assert second == Finished(1, failure="no worker of the cluster is left")

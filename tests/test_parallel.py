"""Many trainings at once in processes of this machine, some of which are killed or stopped in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mnist_lab.data import Mnist
from mnist_lab.errors import RequestError
from mnist_lab.parallel import (
    Board,
    Finished,
    Job,
    ThisMachine,
    default_jobs,
    describe_failure,
    this_machine,
)
from tests.trainings import LONGER, SMALL, in_background, repeat, run_of, same_weights, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed and counted as Unix does it")


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


def by_number(finished: list[Finished]) -> dict[int, Finished]:
    assert len({one.number for one in finished}) == len(finished)
    return {one.number: one for one in finished}


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

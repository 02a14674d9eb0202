"""Many trainings at once in processes of this machine, some of which are killed or stopped in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mnist_lab.errors import RequestError
from mnist_lab.experiments.trainings import (
    Board,
    Finished,
    Job,
    Pool,
    SharedBoard,
    default_jobs,
    describe_failure,
    this_machine,
)
from mnist_lab.storage import locked
from tests.trainings import LONGER, ROOT, SMALL, in_background, repeat, run_of, same_weights, wait_for

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


@pytest.mark.parametrize("shared", [False, True])
def test_the_board_tells_and_stops(shared: bool, tmp_path: Path) -> None:
    board = SharedBoard(tmp_path) if shared else Board()
    assert board.read(3) is None
    board.report(3, 0.25, "epoch 1/4")
    board.report(3, 0.5, "epoch 2/4")
    assert board.read(3) == (0.5, "epoch 2/4")
    assert board.read(4) is None
    (tmp_path / "4.json").write_text("[0.5", encoding="utf-8")
    assert board.read(4) is None
    board.forget(3)
    board.forget(3)
    assert board.read(3) is None
    assert not board.is_stopped
    board.stop()
    assert board.is_stopped
    assert SharedBoard(tmp_path).is_stopped == shared


def test_a_board_that_is_gone_costs_no_training(tmp_path: Path) -> None:
    board = SharedBoard(tmp_path / "gone")
    board.report(0, 0.5, "epoch 1/2")
    board.forget(0)
    board.stop()
    assert board.read(0) is None
    assert not board.is_stopped


# ------------------------------------------------------------------------------------------ on this machine


def test_as_many_at_once_as_there_are_cores() -> None:
    assert 1 <= default_jobs() <= (os.cpu_count() or 1)
    assert 1 <= Pool(2, Path()).threads <= max(1, (os.cpu_count() or 1) // 2)


def test_a_pool_trains_to_the_bits_of_one_process_reports_failures_and_leaves_nobody(
    tmp_path: Path,
) -> None:
    jobs = [Job(0, SMALL), Job(1, replace(SMALL, learning_rate=1e6, weight_decay=1e3)), Job(2, replace(SMALL, seed=1))]
    with this_machine(2) as machine:
        assert isinstance(machine, Pool)
        paces = machine.measure_paces([SMALL])
        done = by_number(list(machine.train(jobs, tmp_path)))
        assert trainers()
        last = machine.board.read(2)
    assert not trainers()
    assert len(paces) == 1
    assert 0 < paces[0] < 60
    assert done[1].failure is not None
    assert "the training loss became" in done[1].failure
    alone = repeat(run_of(done[2]), tmp_path / "alone")
    assert same_weights(run_of(done[2]), alone)
    assert alone.content["machine"]["threads"] == run_of(done[2]).content["machine"]["threads"] == machine.threads
    assert last == (1.0, "drawing its pictures")


def test_one_at_a_time_needs_no_pool(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    with this_machine(1) as machine:
        (done,) = machine.train([Job(7, SMALL)], tmp_path / "runs")
        assert not trainers()
        (refused,) = machine.train([Job(0, SMALL)], file)
        machine.board.stop()
        (stopped,) = machine.train([Job(1, SMALL)], tmp_path / "runs")
    assert run_of(done).content["machine"]["threads"] == threads == torch.get_num_threads()
    assert refused.failure is not None
    assert "a file stands where a folder should be" in refused.failure
    assert stopped == Finished(1)
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_a_damaged_state_costs_the_resuming_not_the_training(tmp_path: Path) -> None:
    with this_machine(1) as machine:
        (done,) = machine.train([Job(0, SMALL)], tmp_path)
        folder = run_of(done).folder
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        (folder / "run.json").write_text(json.dumps(content | {"status": "running"}), encoding="utf-8")
        (folder / "training_state.pt").write_bytes(b"torn")
        (again,) = machine.train([Job(0, SMALL, unfinished=folder)], tmp_path)
    assert run_of(again).folder != folder


def test_a_killed_process_costs_time_only(tmp_path: Path) -> None:
    jobs = [Job(0, LONGER), Job(1, replace(SMALL, seed=1)), Job(2, SMALL)]

    def kill_one() -> None:
        wait_for(lambda: list(tmp_path.glob("*/training_state.pt")))
        os.kill(trainers()[0], signal.SIGKILL)

    killer = in_background(kill_one)
    with this_machine(2) as machine:
        done = by_number(list(machine.train(jobs, tmp_path)))
    killer.join()
    assert sorted(done) == [0, 1, 2]
    assert [run_of(done[number]).seed for number in range(3)] == [0, 1, 0]
    assert len(list(tmp_path.glob("*/run.json"))) == 3  # whoever was killed went on in its own folder
    assert not trainers()


@pytest.mark.slow
def test_the_training_that_kills_its_process_is_blamed_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = [Job(0, LONGER), Job(1, replace(SMALL, seed=1)), Job(2, replace(SMALL, seed=2))]
    over = threading.Event()

    with this_machine(2) as machine:

        def kill_whoever_trains_the_first() -> None:
            while not over.wait(0.05):
                if (report := machine.board.read(0)) is not None and report[1].startswith("epoch"):
                    for pid in trainers():
                        os.kill(pid, signal.SIGKILL)

        killer = in_background(kill_whoever_trains_the_first)
        done = by_number(list(machine.train(jobs, tmp_path)))
    over.set()
    killer.join()
    assert done[0].failure is not None
    assert "killed again and again" in done[0].failure
    assert run_of(done[1]).seed == 1
    assert run_of(done[2]).seed == 2
    assert not trainers()


def test_a_caller_who_leaves_leaves_nobody_behind(tmp_path: Path) -> None:
    jobs = [Job(0, SMALL), Job(1, replace(LONGER, epochs=50))]
    with this_machine(2) as machine:
        results = machine.train(jobs, tmp_path)
        assert run_of(next(results)).seed == 0
        results.close()
    assert not trainers()


# ------------------------------------------------------------------------------------------ killed, interrupted


def alive(group: int) -> list[str]:
    """The commands of the processes of a group that are still there; one that only waits to be counted is not."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split(maxsplit=2) for line in listed.splitlines())
    return [row[-1] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


@contextmanager
def started_experiment(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """An experiment in a session and a temporary folder of its own; in the end nothing of it is left."""
    (folder / "tmp").mkdir(exist_ok=True)
    words = ["main.py", "experiment", "depth", "--epochs", "1", *options, "--outputs", str(folder / "outputs")]
    process = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=os.environ | {"TMPDIR": str(folder / "tmp")}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(
    ("jobs", "sent", "moment"),
    [("2", signal.SIGKILL, "timing"), ("2", signal.SIGTERM, "training"), ("1", signal.SIGKILL, "training")],
)
def test_nothing_outlives_a_killed_experiment(jobs: str, sent: int, moment: str, tmp_path: Path) -> None:
    with started_experiment(tmp_path, "--seeds", "5", "--jobs", jobs) as process:
        if moment == "timing":
            wait_for(lambda: any("popen_loky" in command for command in alive(process.pid)))
        else:
            wait_for(lambda: list(tmp_path.glob("outputs/*/run.json")))
        process.send_signal(sent)
        process.wait()
        wait_for(lambda: not alive(process.pid), seconds=30)
    assert not list(tmp_path.glob("tmp/mnist-lab-*"))
    assert len(list(tmp_path.glob("outputs/*/run.json"))) <= int(jobs)  # none began after the end


def test_temporary_folders_of_programs_that_are_gone_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folders = {name: tmp_path / f"mnist-lab-{name}" for name in ("gone", "held", "new")}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "lock").touch()
        if name != "new":
            os.utime(folder, (0, 0))
    (tmp_path / "mnist-lab-link").symlink_to(tmp_path)
    with locked(folders["held"] / "lock"), this_machine(2) as machine:
        assert isinstance(machine, Pool)
        assert machine.folder.parent == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"mnist-lab-held", "mnist-lab-new", "mnist-lab-link"}


@pytest.mark.parametrize("later", [0.0, 1.5])  # while the processes of the pool start, and while they are at work
def test_ctrl_c_while_the_first_batches_are_timed_takes_one_line(later: float, tmp_path: Path) -> None:
    with started_experiment(tmp_path, "--seeds", "1", "--jobs", "2") as process:
        wait_for(lambda: any("popen_loky" in command for command in alive(process.pid)))
        time.sleep(later)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends Ctrl-C to every process of the group
        _, errors = process.communicate(timeout=60)
        wait_for(lambda: not alive(process.pid), seconds=30)
    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert not list(tmp_path.glob("tmp/mnist-lab-*"))


def test_any_failure_takes_one_line() -> None:
    assert describe_failure(ValueError("two\nlines")) == "ValueError: two lines"
    assert describe_failure(RequestError("found", "next")) == "found; next"

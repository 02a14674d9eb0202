"""Many trainings at once: joblib on this machine (on a Dask cluster: :mod:`mnist_lab.cluster`).

Every training is an ordinary one (:mod:`mnist_lab.workflow`) with an ordinary folder. It works there from the
beginning, so a training that was stopped goes on from its last epoch next time.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mnist_lab.config import TrainConfig
from mnist_lab.errors import CheckpointError, LabError, one_line
from mnist_lab.runs import read_run
from mnist_lab.schedule import find_finished, find_stopped, known_runs

if TYPE_CHECKING:
    from mnist_lab.device import Compute
    from mnist_lab.trainer import EpochRecord, Progress
    from mnist_lab.workflow import Results

MOST_JOBS = 256
"""The largest number of trainings at once that may be asked for."""

MEMORY_EACH = 1 << 30
"""Bytes that one training in a process of its own is given room for; most need two thirds of that."""

TRUSTED = 2
"""How often a training may be there when a process is killed; after that it goes on alone, and is blamed."""

STOP_FILE = "stop"


@dataclass(frozen=True)
class Job:
    """One training to be done."""

    number: int  # its place in the experiment
    config: TrainConfig
    unfinished: Path | None = None  # the folder of one that was stopped, to go on with


@dataclass(frozen=True)
class Finished:
    """How a job ended: with a folder, with a failure (a sentence), or, with neither, stopped by the user."""

    number: int
    folder: Path | None = None
    failure: str | None = None


class Engine(Protocol):
    """Where the trainings of an experiment run."""

    at_once: int
    advice: str  # for the user; empty for none

    def measure_paces(self, configs: Sequence[TrainConfig]) -> list[float]:
        """Seconds that an epoch of each configuration takes while as many others train beside it; may be empty."""

    def train(self, jobs: Sequence[Job], outputs: Path, board: Board) -> Generator[Finished, None, None]:
        """Train; yields each job as it ends, however it ends."""


class Stopped(Exception):  # noqa: N818 - a way out, not an error
    """The user asked to stop; the training's folder stays as it is, to go on with later."""


class Board:
    """A folder through which processes tell how far they are, and are told to stop.

    Files work between processes that share nothing else, on every system, and survive the death of either side.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stop(self) -> None:
        """Ask every training to stop after its batch."""
        (self.folder / STOP_FILE).touch()

    @property
    def is_stopped(self) -> bool:
        """Whether they were asked to."""
        return (self.folder / STOP_FILE).exists()

    def report(self, number: int, share: float, note: str) -> None:
        """Put up how much of a job is done, 0 to 1, and a few words; a disk that refuses costs no training."""
        report = self.folder / f"{number}.json"
        with suppress(OSError):
            report.with_suffix(".new").write_text(json.dumps([share, note]), encoding="utf-8")
            report.with_suffix(".new").replace(report)  # in one step: a reader never finds half a report

    def read(self, number: int) -> tuple[float, str] | None:
        """The newest report of a job, None before its first."""
        try:
            share, note = json.loads((self.folder / f"{number}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return float(share), str(note)

    def forget(self, number: int) -> None:
        """Take a job's report down: it begins again."""
        with suppress(OSError):
            (self.folder / f"{number}.json").unlink(missing_ok=True)


@contextmanager
def new_board() -> Iterator[Board]:
    """A board in a temporary folder of its own."""
    with tempfile.TemporaryDirectory(prefix="mnist-lab-", ignore_cleanup_errors=True) as folder:
        yield Board(Path(folder))


class ReportingObserver:
    """Follows a training, and reports how much of it is done, 0 to 1, and a few words."""

    def __init__(self, report: Callable[[float, str], None]) -> None:
        self.report = report
        self.epochs = 1

    def on_start(self, folder: Path, config: TrainConfig, compute: Compute, parameters: int, epochs_done: int) -> None:
        self.epochs = config.epochs
        self.report(epochs_done / config.epochs, f"epoch {min(epochs_done + 1, config.epochs)}/{config.epochs}")

    def on_progress(self, progress: Progress) -> None:
        share = (progress.epoch - 1 + progress.images_done / progress.images_per_epoch) / self.epochs
        self.report(min(share, 1.0), f"epoch {progress.epoch}/{self.epochs}")

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        pass

    def on_warning(self, message: str) -> None:
        pass

    def on_results(self, results: Results) -> None:
        self.report(1.0, "drawing its pictures")


def describe_failure(error: Exception) -> str:
    """Why a training failed: one line, whatever the error."""
    return str(error) if isinstance(error, LabError) else one_line(f"{type(error).__name__}: {error}")


# ------------------------------------------------------------------------------------------ on this machine


def cores() -> int:
    """The cores that this program may use: fewer than there are where a container or an affinity limits it."""
    from joblib import cpu_count

    count: int = cpu_count()
    return count


def default_jobs() -> int:
    """How many trainings at once are fastest on this machine: one for every core, each with one thread.

    On two cores, two single-threaded trainings side by side took 0.93 of the time that one after the other takes with
    two threads each. A graphics card serves one training at a time. Little memory allows fewer.
    """
    from mnist_lab.device import choose_compute

    if choose_compute().device.type != "cpu":
        return 1
    return max(1, min(cores(), memory() // MEMORY_EACH, MOST_JOBS))


def memory() -> int:
    """Bytes of memory in this machine; where the system doesn't tell, as many as any number of trainings needs."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return MOST_JOBS * MEMORY_EACH


@contextmanager
def this_machine(at_once: int) -> Iterator[ThisMachine]:
    """Processes for trainings; gone at the end, however it comes about."""
    with warnings.catch_warnings():
        # A process that keeps its memory for the next batch looks to loky as if it leaked, and is started anew.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
        machine = ThisMachine(at_once)
        try:
            yield machine
        finally:
            if machine.has_pool:
                from joblib.externals.loky import get_reusable_executor

                get_reusable_executor().shutdown(wait=True, kill_workers=True)


class ThisMachine:
    """Trains in processes of this machine, which share its cores; one at a time trains in this very process.

    The number of threads depends on ``at_once`` alone, never on how many trainings are left, so that starting an
    experiment again gives the same bits. A training that goes on after a stop keeps the number it began with.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.threads = None if at_once == 1 else max(1, cores() // at_once)
        self.advice = ""
        self.has_pool = False

    def measure_paces(self, configs: Sequence[TrainConfig]) -> list[float]:
        """Measured in the very processes that will train: they are started now, and stay."""
        calls = [(measure_in_process, config, self.threads) for config in configs for _ in range(self.at_once)]
        try:
            paces: list[float] = list(self.results(calls, return_as="generator"))
        except BrokenExecutor:
            return []
        return [sum(paces[start : start + self.at_once]) / self.at_once for start in range(0, len(paces), self.at_once)]

    def train(self, jobs: Sequence[Job], outputs: Path, board: Board) -> Generator[Finished, None, None]:
        """Train; yields each job as it ends.

        Where a process is killed (by the user, or by a system short of memory), joblib gives up all of them. Those
        that were under way then go on from their last epochs; who is there too often goes on alone, to find out
        whether it is the cause, and the others are spared.
        """
        waiting = {job.number: job for job in jobs}
        killed: Counter[int] = Counter()
        while waiting:
            group = [number for number in waiting if killed[number] < TRUSTED] or [min(waiting)]
            for number in group:
                board.forget(number)
            calls = [(train_in_process, waiting[number], outputs, board.folder, self.threads) for number in group]
            try:
                with closing(self.results(calls)) as results:
                    for finished in results:
                        del waiting[finished.number]
                        yield finished
            except BrokenExecutor:
                left = [number for number in group if number in waiting]
                suspects = [number for number in left if board.read(number) is not None] or left
                killed.update(suspects)
                for number in suspects:
                    ended = look_again(waiting[number], outputs)
                    if isinstance(ended, Job) and killed[number] <= TRUSTED:
                        waiting[number] = ended
                        continue
                    del waiting[number]
                    board.forget(number)
                    yield ended if isinstance(ended, Finished) else Finished(number, failure=KILLED)

    def results(
        self, calls: Sequence[tuple[Any, ...]], return_as: str = "generator_unordered"
    ) -> Generator[Any, None, None]:
        """What some calls (function, argument, ...) return, as soon as it is there.

        Nothing is left running if the caller stops early.

        Raises:
            BrokenExecutor: a process was killed.
        """
        from joblib import Parallel, delayed, parallel_config

        # Even for a single call: trained in this very process, it would have other threads than its fellows.
        processes = 1 if self.at_once == 1 else max(2, min(self.at_once, len(calls)))
        todo = [delayed(call)(*arguments) for call, *arguments in calls]
        self.has_pool |= processes > 1
        with parallel_config("loky", n_jobs=processes, inner_max_num_threads=self.threads), deaf_to_interrupts():
            results = Parallel(return_as=return_as, batch_size=1, pre_dispatch="all")(todo)
        yield from until_left(results)


def until_left(results: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """joblib's results one by one; who stops early hears no remarks about those that nobody waits for any more."""
    try:
        for result in results:  # noqa: UP028 - "yield from" would close them by itself, remarks and all
            yield result
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.close()


KILLED = "its process was killed again and again, at last with no other beside it (is the memory too small?)"


def look_again(job: Job, outputs: Path) -> Job | Finished:
    """What a killed process left of its job: a finished folder, one to go on with, or nothing."""
    from mnist_lab.data import load_mnist, split_fingerprint

    same = known_runs(outputs, split_fingerprint(load_mnist().validation)).of(job.config)
    finished = find_finished(same)
    return Finished(job.number, finished.folder) if finished else replace(job, unfinished=find_stopped(same))


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started within never hear of Ctrl-C, which reaches all of a terminal, not even at their start.

    This process hears of it at the end. Where signals can't be held back, :func:`prepare_process` has to do.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_process(threads: int | None) -> None:
    """Make a process of the pool ready: deaf to Ctrl-C, and with its share of the cores.

    Args:
        threads: None for no pool: then it is the user's own process that trains, and it stays as it is.
    """
    if threads is None:
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(threads)


def measure_in_process(config: TrainConfig, threads: int | None) -> float:
    """The pace of one configuration, in a process of the pool."""
    prepare_process(threads)
    from mnist_lab.data import load_mnist
    from mnist_lab.device import choose_compute
    from mnist_lab.workflow import measure_pace

    return measure_pace(config, load_mnist(), choose_compute())


def train_in_process(job: Job, outputs: Path, board_folder: Path, threads: int | None) -> Finished:
    """One training, in a process of the pool; whatever goes wrong is told, never raised."""
    board = Board(board_folder)
    parent = os.getppid()
    if board.is_stopped:
        return Finished(job.number)
    board.report(job.number, 0.0, "starting")

    def stop_requested() -> bool:
        # Without its parent (killed, or its terminal closed) nobody waits for this process any more.
        if board.is_stopped or os.getppid() != parent:
            raise Stopped
        return False

    try:
        prepare_process(threads)
        observer = ReportingObserver(partial(board.report, job.number))
        return Finished(job.number, train_or_resume(job, outputs, observer, stop_requested))
    except Stopped:
        return Finished(job.number)
    except Exception as error:
        return Finished(job.number, failure=describe_failure(error))


def train_or_resume(job: Job, outputs: Path, observer: ReportingObserver, stop_requested: Callable[[], bool]) -> Path:
    """Go on with what was stopped; where its saved state is damaged, or there is none, train from the beginning."""
    from mnist_lab.workflow import resume, train_new

    if job.unfinished is not None:
        with suppress(CheckpointError):
            return resume(read_run(job.unfinished), observer, workers=0, stop_requested=stop_requested)
    now = datetime.now().astimezone()
    return train_new(job.config, outputs, now, observer, workers=0, stop_requested=stop_requested)

"""Many trainings at once: processes of this machine (on a Dask cluster: :mod:`mnist_lab.experiments.cluster`).

Every training is an ordinary one (:mod:`mnist_lab.training.session`) with an ordinary folder. It works there from the
beginning, so a training that was stopped goes on from its last epoch next time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mnist_lab.config import TrainConfig
from mnist_lab.errors import CheckpointError, LabError, RunError, StorageError, one_line
from mnist_lab.experiments.schedule import find_finished, find_stopped, known_runs
from mnist_lab.storage import is_locked, locked, reason
from mnist_lab.training.runs import read_run

if TYPE_CHECKING:
    from mnist_lab.networks.compute import Compute
    from mnist_lab.training.history import EpochRecord
    from mnist_lab.training.session import Results
    from mnist_lab.training.trainer import Progress

MOST_JOBS = 256
"""The largest number of trainings at once that may be asked for."""

MEMORY_EACH = 1 << 30
"""Bytes that one training in a process of its own is given room for; most need two thirds of that."""

TRUSTED = 2
"""How often a training may be there when a process is killed; after that it goes on alone, and is blamed."""

TEMPORARY = "mnist-lab-"
"""How the names of temporary folders begin."""

NEW = 60.0
"""Seconds for which a temporary folder counts as new."""

LOCK_FILE = "lock"
STOP_FILE = "stop"

LOOKS = 0.5
"""Seconds after which a process of the pool looks again whether the experiment is still there."""

IDLE = 300
"""Seconds after which a process that has nothing to do ends."""

THREADS_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""The environment's variables that decide how many threads numerical libraries compute with."""


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
    board: Board  # of its trainings

    def measure_paces(self, configs: Sequence[TrainConfig]) -> list[float]:
        """Seconds that an epoch of each configuration takes while as many others train beside it; may be empty."""

    def train(self, jobs: Sequence[Job], outputs: Path) -> Generator[Finished, None, None]:
        """Train; yields each job as it ends, however it ends."""


class Stopped(Exception):  # noqa: N818 - a way out, not an error
    """The user asked to stop; the training's folder stays as it is, to go on with later."""


class Board:
    """What trainings tell of how far they are, and whether they are to stop."""

    def __init__(self) -> None:
        self.reports: dict[int, tuple[float, str]] = {}
        self.stopped = False

    def stop(self) -> None:
        """Ask every training to stop after its batch."""
        self.stopped = True

    @property
    def is_stopped(self) -> bool:
        """Whether they were asked to."""
        return self.stopped

    def report(self, number: int, share: float, note: str) -> None:
        """Put up how much of a job is done, 0 to 1, and a few words."""
        self.reports[number] = (share, note)

    def read(self, number: int) -> tuple[float, str] | None:
        """The newest report of a job, None before its first."""
        return self.reports.get(number)

    def forget(self, number: int) -> None:
        """Take a job's report down: it begins again."""
        self.reports.pop(number, None)


class SharedBoard(Board):
    """A board in a folder, for several processes; a disk that refuses costs no training.

    Files work between processes that share nothing else, on every system, and survive the death of either side.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def stop(self) -> None:
        with suppress(OSError):
            (self.folder / STOP_FILE).touch()

    @property
    def is_stopped(self) -> bool:
        return (self.folder / STOP_FILE).exists()

    def report(self, number: int, share: float, note: str) -> None:
        report = self.folder / f"{number}.json"
        with suppress(OSError):
            report.with_suffix(".new").write_text(json.dumps([share, note]), encoding="utf-8")
            report.with_suffix(".new").replace(report)  # in one step: a reader never finds half a report

    def read(self, number: int) -> tuple[float, str] | None:
        try:
            share, note = json.loads((self.folder / f"{number}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return float(share), str(note)

    def forget(self, number: int) -> None:
        with suppress(OSError):
            (self.folder / f"{number}.json").unlink(missing_ok=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A temporary folder, whose lock tells whether this process is still there; what others left behind is removed.

    Raises:
        StorageError: the system has no room for it.
    """
    try:
        remove_abandoned()
        folder = tempfile.TemporaryDirectory(prefix=TEMPORARY, ignore_cleanup_errors=True)
    except OSError as error:
        remedy = "free some space, or name another folder with the variable TMPDIR"
        raise StorageError(f"can't make a temporary folder: {reason(error)}", remedy) from None
    with folder as name, locked(Path(name) / LOCK_FILE):
        yield Path(name)


def remove_abandoned() -> None:
    """Remove this user's temporary folders of programs that are no more, as when the machine was switched off."""
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        with suppress(OSError):  # somebody else was faster
            found = folder.lstat()
            is_mine = stat.S_ISDIR(found.st_mode) and found.st_uid == (os.getuid() if hasattr(os, "getuid") else 0)
            is_new = time.time() - found.st_mtime < NEW  # its program may be about to lock it
            if is_mine and not is_new and not is_locked(folder / LOCK_FILE):
                shutil.rmtree(folder, ignore_errors=True)


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
    from mnist_lab.networks.compute import choose_compute

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
def this_machine(at_once: int) -> Iterator[ThisProcess | Pool]:
    """What trains so many at a time here; gone at the end, however it comes about."""
    if at_once == 1:
        yield ThisProcess()
        return
    with warnings.catch_warnings(), temporary_folder() as folder:
        # A process that keeps its memory for the next batch looks to loky as if it leaked, and is started anew.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
        pool = Pool(at_once, folder)
        try:
            yield pool
        finally:
            if pool.has_begun:
                end_pool()


class ThisProcess:
    """Trains one after the other in this very process, which stays as it is."""

    at_once = 1
    advice = ""

    def __init__(self) -> None:
        self.board = Board()

    def measure_paces(self, configs: Sequence[TrainConfig]) -> list[float]:
        return [measure_here(config) for config in configs]

    def train(self, jobs: Sequence[Job], outputs: Path) -> Generator[Finished, None, None]:
        for job in jobs:
            yield train_here(job, outputs, self.board)


class Pool:
    """Trains in processes of this machine, which share its cores.

    The number of threads depends on ``at_once`` alone, never on how many trainings are left, so that starting an
    experiment again gives the same bits. A training that goes on after a stop keeps the number it began with.

    Args:
        at_once: how many processes.
        folder: temporary, and locked while this process is there.
    """

    def __init__(self, at_once: int, folder: Path) -> None:
        self.at_once = at_once
        self.folder = folder
        self.board: Board = SharedBoard(folder)
        self.threads = max(1, cores() // at_once)
        self.advice = ""
        self.has_begun = False

    def measure_paces(self, configs: Sequence[TrainConfig]) -> list[float]:
        """Measured in the very processes that will train: they are started now, and stay."""
        calls = [(measure_here, config) for config in configs for _ in range(self.at_once)]
        try:
            with self.submitted(calls) as futures:
                paces: list[float] = [future.result() for future in futures]
        except BrokenExecutor:
            return []
        return [sum(paces[start : start + self.at_once]) / self.at_once for start in range(0, len(paces), self.at_once)]

    def train(self, jobs: Sequence[Job], outputs: Path) -> Generator[Finished, None, None]:
        """Train; yields each job as it ends.

        Where a process is killed (by the user, or by a system short of memory), loky gives up all of them. Those
        that were under way then go on from their last epochs; who is there too often goes on alone, to find out
        whether it is the cause, and the others are spared.
        """
        waiting = {job.number: job for job in jobs}
        killed: Counter[int] = Counter()
        while waiting:
            group = [number for number in waiting if killed[number] < TRUSTED] or [min(waiting)]
            for number in group:
                self.board.forget(number)
            calls = [(train_here, waiting[number], outputs, self.board) for number in group]
            try:
                with self.submitted(calls) as futures:
                    for future in as_completed(futures):
                        finished: Finished = future.result()
                        del waiting[finished.number]
                        yield finished
            except BrokenExecutor:
                left = [number for number in group if number in waiting]
                suspects = [number for number in left if self.board.read(number) is not None] or left
                killed.update(suspects)
                for number in suspects:
                    ended = look_again(waiting[number], outputs)
                    if isinstance(ended, Job) and killed[number] <= TRUSTED:
                        waiting[number] = ended
                        continue
                    del waiting[number]
                    self.board.forget(number)
                    yield ended if isinstance(ended, Finished) else Finished(number, failure=KILLED)

    @contextmanager
    def submitted(self, calls: Sequence[tuple[Any, ...]]) -> Iterator[list[Future[Any]]]:
        """What some calls (function, argument, ...) will return; who leaves early, leaves nothing running.

        A result raises BrokenExecutor where a process was killed.
        """
        from joblib.externals.loky import get_reusable_executor

        self.has_begun = True
        try:
            executor = get_reusable_executor(
                max_workers=self.at_once,
                timeout=IDLE,
                initializer=begin_process,
                initargs=(self.folder,),
                env=dict.fromkeys(THREADS_VARIABLES, str(self.threads)),
            )
            with deaf_to_interrupts():
                futures: list[Future[Any]] = [executor.submit(*call) for call in calls]
            yield futures
        except BaseException:
            end_pool()
            raise


def end_pool() -> None:
    """End the processes of the pool, whatever they do.

    To shut loky down while there is work left may end in a traceback; processes that are killed it takes well.
    """
    from joblib.externals.loky import get_reusable_executor

    with deaf_to_interrupts():
        for process in multiprocessing.active_children():
            if process.name.startswith("LokyProcess"):
                process.terminate()
        get_reusable_executor(reuse=True).shutdown(wait=True)


KILLED = "its process was killed again and again, at last with no other beside it (is the memory too small?)"


def look_again(job: Job, outputs: Path) -> Job | Finished:
    """What a killed process left of its job: a finished folder, one to go on with, or nothing."""
    from mnist_lab.data.mnist import load_mnist, split_fingerprint

    same = known_runs(outputs, split_fingerprint(load_mnist().validation)).of(job.config)
    finished = find_finished(same)
    return Finished(job.number, finished.folder) if finished else replace(job, unfinished=find_stopped(same))


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started within never hear of Ctrl-C, which reaches all of a terminal, not even at their start.

    This process hears of it at the end. Where signals can't be held back, :func:`begin_process` has to do.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # on its own start it lets interrupts through, in some versions of Python
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_process(folder: Path) -> None:
    """Make a process of the pool ready: deaf to Ctrl-C, and gone when its experiment is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(folder,), daemon=True).start()


def end_with(folder: Path) -> None:
    """End this process, whatever it does, once nobody holds the lock of a temporary folder; that goes, too."""
    while is_locked(folder / LOCK_FILE):
        time.sleep(LOOKS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def measure_here(config: TrainConfig) -> float:
    """The pace of one configuration, in this process."""
    from mnist_lab.data.mnist import load_mnist
    from mnist_lab.networks.compute import choose_compute
    from mnist_lab.training.session import measure_pace

    return measure_pace(config, load_mnist(), choose_compute())


def train_here(job: Job, outputs: Path, board: Board) -> Finished:
    """One training, in this process; whatever goes wrong is told, never raised."""

    def stop_requested() -> bool:
        if board.is_stopped:
            raise Stopped
        return False

    try:
        stop_requested()
        board.report(job.number, 0.0, "starting")
        observer = ReportingObserver(partial(board.report, job.number))
        return Finished(job.number, train_or_resume(job, outputs, observer, stop_requested))
    except Stopped:
        return Finished(job.number)
    except Exception as error:
        return Finished(job.number, failure=describe_failure(error))


def train_or_resume(job: Job, outputs: Path, observer: ReportingObserver, stop_requested: Callable[[], bool]) -> Path:
    """Go on with what was stopped; where its saved state is damaged, or there is none, train from the beginning.

    Another program may have gone on with it meanwhile: if it has finished it, that is the very run that is wanted.
    """
    from mnist_lab.explain.figures import RUN_FIGURES
    from mnist_lab.training.session import resume, train_new

    if job.unfinished is not None:
        with suppress(CheckpointError, RunError):
            return resume(
                read_run(job.unfinished), observer, workers=0, stop_requested=stop_requested, figures=RUN_FIGURES
            )
        ended = look_again(job, outputs)
        if isinstance(ended, Finished) and ended.folder is not None:
            return ended.folder
    now = datetime.now().astimezone()
    return train_new(job.config, outputs, now, observer, workers=0, stop_requested=stop_requested, figures=RUN_FIGURES)

"""Many trainings at once: which ones an experiment needs, and where they run.

A :class:`Pool` trains in processes on this machine, in the runs' own folders, so that whatever is stopped resumes after
its last epoch next time; or on the workers of a Dask cluster, which shares no disk: they send the folder's files back.
"""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from importlib import import_module
from importlib.metadata import version
from itertools import product
from multiprocessing import resource_tracker
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mnist_lab import __version__
from mnist_lab.config import TRAIN_DIGITS, TrainConfig
from mnist_lab.data.mnist import load_mnist, split_fingerprint
from mnist_lab.environment import prepare_environment
from mnist_lab.errors import CheckpointError, LabError, RequestError, RunError, StorageError, one_line
from mnist_lab.experiments.questions import Variant
from mnist_lab.explain import film_figures
from mnist_lab.networks.compute import Compute, available_cores, choose_compute
from mnist_lab.storage import create_folder, write_bytes
from mnist_lab.terminal.wording import counted
from mnist_lab.training import trainer
from mnist_lab.training.checkpoints import load_weights
from mnist_lab.training.page import write_run_page
from mnist_lab.training.runs import (
    RUN_FILE,
    STOPPED,
    EpochRecord,
    RunRecord,
    list_runs,
    read_history,
    read_run,
    status_of,
)
from mnist_lab.training.session import Observer, Results, measure_seconds_per_epoch, resume, run_label, train_new

EVALUATION_SECONDS = 10.0  # of loading, evaluating and drawing the pictures of one training, about, with one thread
_POLL_SECONDS = 0.5  # between checks whether the user wants to stop, or all workers are gone
PATIENCE = 10.0  # seconds to wait for a scheduler, for its first worker, and for another once the last one has gone
KILLED = "its process was killed, twice (too little memory?); run the experiment again to go on, with fewer --jobs"
WORKERS_GONE = LabError("no worker of the cluster is left", "start some, then the experiment again")
_SPAWN = multiprocessing.get_context("spawn")

# The digits nearest to each mistake take 2 to 4 s and 3 to 7 MB a run: they are left to the command evaluate.
_FIGURES = {name: figure for name, figure in film_figures.RUN_EXTRAS.figures.items() if name != "neighbours.png"}
RUN_EXTRAS = replace(film_figures.RUN_EXTRAS, figures=_FIGURES)


@dataclass(frozen=True)
class Task:
    """One training that an experiment needs: a variant with a seed."""

    number: int  # its place in the plan
    variant: str
    config: TrainConfig  # with the seed
    run: RunRecord | None = None  # the finished one that already answers it
    unfinished: Path | None = None  # otherwise the folder of one that was stopped, to resume

    @property
    def title(self) -> str:
        return f"{self.variant}, seed {self.config.seed}"


def plan(variants: Sequence[Variant], seeds: int, outputs: Path) -> list[Task]:
    """Every variant with every seed, seed by seed, so that stopping early leaves whole comparisons."""
    known = _known_runs(outputs)
    tasks: list[Task] = []
    for seed, variant in product(range(seeds), variants):
        task = Task(len(tasks), variant.name, replace(variant.config, seed=seed))
        taken = [task.unfinished for task in tasks]  # two equal variants can't both resume in one folder
        tasks.append(_looked_up(task, known, taken))
    return tasks


def _known_runs(outputs: Path) -> dict[TrainConfig, list[RunRecord]]:
    """The runs on the present split by their configurations, the newest first."""
    fingerprint = split_fingerprint(load_mnist().validation)
    known: dict[TrainConfig, list[RunRecord]] = {}
    for run in reversed(list_runs(outputs)[0]):
        if run.split_fingerprint == fingerprint:
            with suppress(RequestError):  # a configuration that this version of the lab does not understand
                known.setdefault(run.config.canonical, []).append(run)
    return known


def _looked_up(task: Task, known: Mapping[TrainConfig, list[RunRecord]], taken: Collection[Path | None] = ()) -> Task:
    same = [run for run in known.get(task.config.canonical, []) if run.folder not in taken]
    finished = next((run for run in same if run.status == "finished" and _is_whole(run)), None)
    stopped = (run.folder for run in same if status_of(run) == STOPPED)
    return replace(task, run=finished, unfinished=None if finished else next(stopped, None))


def _is_whole(run: RunRecord) -> bool:
    with suppress(RunError, CheckpointError):
        load_weights(run)
        read_history(run)
        return True
    return False


@dataclass(frozen=True)
class Finished:
    """How a task ended: with a run, with a failure (a sentence), or, with neither, stopped by the user."""

    number: int
    folder: Path | None = None
    failure: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)  # of the folder, on its way from a cluster


class Stopped(Exception):  # noqa: N818 - control flow, not an error
    """The user asked to stop; the training's folder stays as it is, to be resumed later."""


class ReportingObserver(Observer):
    """Follows a training, and reports how many epochs of it are done; infinitely many when only pictures are left."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self.report = report

    def on_start(self, config: TrainConfig, compute: Compute, parameters: int, history: Sequence[EpochRecord]) -> None:
        self.report(len(history))

    def on_progress(self, progress: trainer.Progress) -> None:
        self.report(progress.epoch - 1 + progress.images_done / progress.images_per_epoch)

    def on_results(self, results: Results) -> None:
        self.report(math.inf)


def _train(task: Task, outputs: Path, report: Callable[[float], None], is_stopped: Callable[[], bool]) -> Finished:
    """One training, in this process; whatever goes wrong is reported, never raised."""

    def stop_requested() -> bool:
        if is_stopped():
            raise Stopped
        return False

    try:
        stop_requested()
        report(0)
        return Finished(task.number, _train_or_resume(task, outputs, ReportingObserver(report), stop_requested))
    except Stopped:
        return Finished(task.number)
    except Exception as error:
        return Finished(task.number, failure=describe_failure(error))


def _train_or_resume(task: Task, outputs: Path, observer: Observer, stop_requested: Callable[[], bool]) -> Path:
    """Resume what was stopped; where its saved state is damaged, or there is none, train from the beginning."""
    if task.unfinished is not None:
        with suppress(CheckpointError, RunError):
            run = read_run(task.unfinished)
            return resume(run, observer, workers=0, stop_requested=stop_requested, extras=RUN_EXTRAS)
        task = _looked_up(task, _known_runs(outputs))
    if task.run is not None:  # another program has finished it, or it was killed after its last file
        return task.run.folder
    now = datetime.now().astimezone()
    return train_new(task.config, outputs, now, observer, workers=0, stop_requested=stop_requested, extras=RUN_EXTRAS)


def describe_failure(error: BaseException) -> str:
    """Why a training failed: one line, whatever the error."""
    kind = type(error).__name__
    if isinstance(error, BrokenExecutor):
        return KILLED
    if "Cancelled" in kind:
        return "the cluster cancelled it, or the connection to its scheduler was lost"
    return str(error) if isinstance(error, LabError) else one_line(f"{kind}: {error}")


def _seconds_per_epoch(config: TrainConfig) -> float:
    return measure_seconds_per_epoch(config, load_mnist(), choose_compute())


# --- on this machine ---------------------------------------------------------------------------------------------


class Pool:
    """Carries out an experiment's trainings in processes on this machine, which share its cores.

    The number of threads depends on ``at_once`` alone, so that starting an experiment again gives the same bits.
    """

    def __init__(self, at_once: int, tasks: int) -> None:
        self.at_once = at_once
        self.where = f"{at_once} at a time"
        self.threads = None if at_once == 1 else max(1, available_cores() // at_once)
        # While a graphics card trains, another process draws the pictures of the training before. On a processor, which
        # both would need, training would only be disturbed.
        self.processes = at_once if choose_compute().device.type == "cpu" else min(at_once + 1, tasks)
        # In memory that processes share, and without locks, as a process may be killed while it holds one:
        self.epochs = _SPAWN.RawArray("d", [-1.0] * tasks)  # that are done of each task; -1: not started
        self.stopped = _SPAWN.RawValue("b", False)
        self._measure: Callable[[TrainConfig], float] = _seconds_per_epoch
        self._train: Callable[[Task, Path], Finished] = _train_in_process
        self._executor: Executor | None = None
        self._other_processes = set(multiprocessing.active_children())

    def stop(self) -> None:
        """Let every training end after its current batch."""
        self.stopped.value = True

    def progress_of(self, task: Task) -> tuple[float, str] | None:
        """The fraction of a task that is done, and what is being done; None before it begins."""
        done, epochs = self.epochs[task.number], task.config.epochs
        if done < 0:
            return None
        if done == math.inf:
            return 1.0, "drawing its pictures"
        return done / epochs, f"epoch {max(1, math.ceil(done))}/{epochs}"

    def estimate(self, tasks: Sequence[Task]) -> float | None:
        """Seconds that tasks will take, measured where they will run, with as many at once; None if that fails."""
        # Neither the seed nor how many different digits there are changes what an epoch of so many digits takes.
        alike = {
            task.number: replace(task.config, seed=0, train_size=TRAIN_DIGITS, epoch_size=task.config.images_per_epoch)
            for task in tasks
        }
        calls = {(config, copy): (config,) for config in alike.values() for copy in range(self.at_once)}
        measured = dict(self._results(self._measure, calls))
        if any(isinstance(seconds, Exception) for seconds in measured.values()):
            self.close()  # the trainings get new processes
            return None
        durations = []
        for task in tasks:
            per_epoch = fmean(measured[alike[task.number], copy] for copy in range(self.at_once))
            durations.append(task.config.epochs * per_epoch + EVALUATION_SECONDS)
        return max(sum(durations) / min(self.at_once, len(tasks)), *durations)  # a single training can't be divided

    def train(self, tasks: Sequence[Task], outputs: Path) -> Generator[Finished, None, None]:
        """Train; yields each task as it ends, however it ends.

        When a process is killed (by a system short of memory, say), Python gives up on all of them. They are restarted
        once; what was under way resumes after its last epoch.
        """
        waiting = {task.number: task for task in tasks}
        try:
            for is_last in (False, True):
                calls = {number: (task, outputs) for number, task in waiting.items()}
                for number, result in self._results(self._train, calls):
                    if isinstance(result, BrokenExecutor) and not is_last and not self.stopped.value:
                        continue
                    task = waiting.pop(number)
                    if isinstance(result, Finished):
                        yield _unpacked(result, task, outputs) if result.files else result
                    else:
                        yield Finished(number, failure=None if self.stopped.value else describe_failure(result))
                self.close()
                known = _known_runs(outputs) if waiting else {}
                for number, task in waiting.items():
                    self.epochs[number] = -1.0
                    waiting[number] = _looked_up(task, known)
        finally:
            self.close()

    def close(self) -> None:
        """End the calls under way, whatever they do."""
        executor, self._executor = self._executor, None
        if executor is not None:
            self._shut_down(executor)

    def _shut_down(self, executor: Executor) -> None:
        with _interrupts_held_back():
            for process in set(multiprocessing.active_children()) - self._other_processes:
                process.terminate()
            executor.shutdown(cancel_futures=True)

    def _results(self, function: Callable[..., Any], calls: Mapping[Any, Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
        """Call with each of some arguments, by key; yields the key and the result, or its error, as each ends."""
        futures: dict[Future[Any], Any] = {}
        try:
            with _interrupts_held_back():
                self._executor = self._executor or self._start()
                for key, arguments in calls.items():
                    futures[self._executor.submit(function, *arguments)] = key
                self._executor.submit(int)  # Python watches over its newest process only from the next call on
        except BrokenExecutor as error:  # a process was killed while it was idle
            yield from ((key, error) for key in list(calls)[len(futures) :])
        while futures:
            for future in wait(futures, _POLL_SECONDS, FIRST_COMPLETED).done:
                key = futures.pop(future)
                try:
                    result = future.result()
                except Exception as error:
                    result = error
                yield key, result
            if (trouble := self._trouble(futures)) is not None:
                yield from ((key, trouble) for key in futures.values())
                return

    def _start(self) -> Executor:
        shared = (self.epochs, self.stopped, _SPAWN.Semaphore(self.at_once))  # which is new wherever all start again
        return ProcessPoolExecutor(self.processes, _SPAWN, _begin_process, (*shared, self.threads))

    def _trouble(self, futures: Mapping[Future[Any], Any]) -> Exception | None:
        """Why calls that are under way will never end."""
        return None


_epochs: Any  # a pool's, set in each of its processes
_stopped: Any
_turns: Any  # to train


def _begin_process(epochs: Any, stopped: Any, turns: Any, threads: int | None) -> None:
    global _epochs, _stopped, _turns
    _epochs, _stopped, _turns = epochs, stopped, turns
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads is not None:
        torch.set_num_threads(threads)
    parent: Any = multiprocessing.parent_process()

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _train_in_process(task: Task, outputs: Path) -> Finished:
    """One training when it is its turn, which is over when only pictures are left to draw."""
    while not _turns.acquire(timeout=_POLL_SECONDS):
        if _stopped.value:
            return Finished(task.number)
    with ExitStack() as turn:
        turn.callback(_turns.release)

        def report(done: float) -> None:
            _epochs[task.number] = done
            if done == math.inf:
                turn.close()

        return _train(task, outputs, report, lambda: bool(_stopped.value))


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """This process gets Ctrl-C at the end; processes that start within never do, not even while they load."""
    if not hasattr(signal, "pthread_sigmask"):  # :func:`_begin_process` has to do
        yield
        return
    resource_tracker.ensure_running()  # when it starts, it unblocks interrupts in some versions of Python
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- on a Dask cluster -------------------------------------------------------------------------------------------


@contextmanager
def cluster(address: str, tasks: int) -> Iterator[Pool]:
    """The workers of the Dask scheduler at an address, ready for ``tasks``; ``RequestError`` if any part is missing."""
    if not re.fullmatch(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):\d{1,5}", address):
        raise RequestError(f"{address!r} is not the address of a Dask scheduler", "give it like this: tcp://host:8786")
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise RequestError("--dask needs the package distributed", 'pip install "mnist-lab[cluster]"') from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)  # what matters is said in the lab's own words
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        found = f"no scheduler answers at {address} ({type(error).__name__})"
        raise RequestError(found, "start one with: dask scheduler") from None
    start = f"start one for each core, with mnist-lab {__version__}: dask worker {address} --nthreads 1"
    try:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
            others = set(client.run(version, "mnist-lab").values()) - {__version__}
        except Exception as error:  # there is none, it lacks mnist-lab, or whatever another version of Dask makes of it
            raise RequestError(f"no Dask worker can train ({type(error).__name__}: {error})", start) from None
        if others:
            raise RequestError(f"a Dask worker has mnist-lab {', '.join(others)}", start)
        with closing(_Cluster(client, tasks)) as workers:
            yield workers
    finally:
        with suppress(Exception):  # Dask may fail to close a connection that is lost already
            client.close()


class _Cluster(Pool):
    """Trains on a Dask cluster, with one thread on each worker; a task whose worker dies starts again on another."""

    def __init__(self, client: Any, tasks: int) -> None:
        threads = client.nthreads()
        super().__init__(len(threads), tasks)
        topic = f"mnist-lab-{client.id}"
        self._client = client
        self._measure = partial(_with_one_thread, _seconds_per_epoch)
        self._train = partial(_with_one_thread, _train_on_worker, topic)
        self._seen = time.monotonic()  # when there last was a worker
        self.where = f"on {counted(len(threads), 'Dask worker')}"
        if max(threads.values(), default=1) > 1:
            self.where += " (some have several threads, but train one at a time: start them with --nthreads 1)"
        client.subscribe_topic(topic, lambda event: self.epochs.__setitem__(*event[1]))

    def _shut_down(self, executor: Executor) -> None:
        with suppress(Exception):  # the connection may be lost
            executor.shutdown(wait=False)  # which cancels whatever is under way

    def _start(self) -> Any:
        return self._client.get_executor(pure=False)

    def _trouble(self, futures: Mapping[Future[Any], Any]) -> Exception | None:
        if self.stopped.value:
            for future, number in futures.items():
                if self.epochs[number] != math.inf:  # one that only draws its pictures is kept
                    future.cancel()
        with suppress(Exception):  # a connection that breaks may fail in any way
            if self._client.nthreads():
                self._seen = time.monotonic()
        return None if time.monotonic() - self._seen < PATIENCE else WORKERS_GONE


_ONE_AT_A_TIME = threading.Lock()  # two trainings in one process would draw from the same random numbers


def _with_one_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    with _ONE_AT_A_TIME:
        prepare_environment()
        torch.set_num_threads(1)
        return function(*arguments)


def _train_on_worker(topic: str, task: Task, outputs: Path) -> Finished:
    """One training in a temporary folder, which Dask removes should the worker die; its files come back."""
    worker: Any = import_module("distributed").get_worker()
    key = worker.get_current_task()

    def is_cancelled() -> bool:  # by the user, or because the experiment's program is gone
        known = worker.state.tasks.get(key)
        return known is None or known.state == "cancelled"

    task = replace(task, unfinished=None)  # its folder is on another machine
    with TemporaryDirectory(prefix="mnist-lab-", dir=worker.local_directory, ignore_cleanup_errors=True) as folder:
        finished = _train(task, Path(folder), lambda done: worker.log_event(topic, [task.number, done]), is_cancelled)
        if finished.folder is None:
            return finished
        files = {path.name: path.read_bytes() for path in finished.folder.iterdir() if path.is_file()}
        return replace(finished, folder=None, files=files)


def _unpacked(finished: Finished, task: Task, outputs: Path) -> Finished:
    """Write what came back to a folder here; run.json comes last, so that no incomplete run is ever listed."""
    created = datetime.fromisoformat(json.loads(finished.files[RUN_FILE])["created"])
    folder = create_folder(outputs, run_label(task.config), created)
    for name in sorted(finished.files, key=RUN_FILE.__eq__):
        write_bytes(folder / Path(name).name, finished.files[name])
    with suppress(StorageError):
        write_run_page(read_run(folder))  # which names its folder
    return Finished(task.number, folder)

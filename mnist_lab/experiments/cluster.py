"""Many trainings at once on the workers of a Dask cluster, through joblib's backend for it.

A training works in a temporary folder on its worker, and all files come back as its result: no disk is shared.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mnist_lab.config import TrainConfig
from mnist_lab.errors import LabError, RequestError, one_line
from mnist_lab.experiments.trainings import (
    Board,
    Finished,
    Job,
    ReportingObserver,
    Stopped,
    describe_failure,
    measure_here,
    temporary_folder,
    train_or_resume,
)
from mnist_lab.storage import create_folder, write_atomically
from mnist_lab.training.runs import RUN_FILE

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 10.0
"""Seconds to wait for a scheduler, for its first worker, and for another worker once the last one has gone."""

SCHEDULER_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):\d{1,5}")


@dataclass(frozen=True)
class Parcel:
    """A run's folder as its files' contents, on its way back from another machine."""

    files: Mapping[str, bytes] = field(default_factory=dict)  # empty: it failed, or the user stopped it
    failure: str | None = None


@contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """The workers of the Dask scheduler at an address, ready to train.

    Raises:
        RequestError: that is no address, nobody answers there, there is no worker, or the workers can't train.
    """
    if not SCHEDULER_ADDRESS.fullmatch(address):
        raise RequestError(f"{address!r} is no address of a Dask scheduler", "give it like this: tcp://host:8786")
    try:
        from distributed import Client
    except ImportError:
        raise RequestError("--dask needs the package distributed", 'pip install "mnist-lab[cluster]"') from None
    with quiet_log():
        try:
            client = Client(address, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError, TimeoutError) as error:
            raise RequestError(
                f"nobody answers as a Dask scheduler at {address} ({type(error).__name__})",
                "start one with: dask scheduler",
            ) from None
        with client:
            check_workers(client, address)
            yield Cluster(client)


@contextmanager
def quiet_log() -> Iterator[None]:
    """Keep distributed's log off the screen: what matters of it is told in the lab's own words."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def check_workers(client: Client, address: str) -> None:
    """Refuse a cluster without workers, or whose workers can't train what is asked here."""
    from mnist_lab import __version__

    def installed() -> str | None:  # a function within a function travels as code: the workers may lack this module
        from importlib.util import find_spec

        if find_spec("mnist_lab") is None:
            return None
        import mnist_lab

        return mnist_lab.__version__

    start = f"dask worker {address} --nthreads 1"
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise RequestError(
            f"the Dask scheduler at {address} has no workers", f"start one for each core with: {start}"
        ) from None
    try:
        versions = client.run(installed)
    except Exception as error:  # whatever another version of Python or of Dask makes of it
        raise RequestError(
            f"the Dask workers can't be asked for their version ({type(error).__name__})",
            "start them with the same versions of Python and of the packages as here",
        ) from None
    for worker, version in versions.items():
        if version != __version__:
            found = "no mnist-lab" if version is None else f"mnist-lab {version}"
            raise RequestError(f"the Dask worker {worker} has {found}", f"install mnist-lab {__version__} there")


class Cluster:
    """Trains on the workers of a Dask cluster: one training with one thread on each.

    A job whose worker dies is given to another by the scheduler, from the beginning.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.board = Board()
        threads = self.threads()
        self.at_once = len(threads)
        self.advice = ""
        if max(threads.values(), default=1) > 1:
            self.advice = "some workers have several threads, but train one at a time: start them with --nthreads 1"

    def threads(self) -> Mapping[str, int]:
        """The workers that are there, and how many threads each has."""
        threads: Mapping[str, int] = self.client.nthreads()  # type: ignore[no-untyped-call]
        return threads

    def measure_paces(self, configs: Sequence[TrainConfig]) -> list[float]:
        """Measured on whichever workers are free; they may differ."""
        calls = [(number, measure_far_away, config) for number, config in enumerate(configs)]
        found = dict(self.results(calls, topic=uuid4().hex))
        return [found[number] for number in sorted(found) if isinstance(found[number], float)]

    def train(self, jobs: Sequence[Job], outputs: Path) -> Generator[Finished, None, None]:
        """Train; yields each job once its folder has arrived here."""
        board = self.board
        configs = {job.number: job.config for job in jobs}
        topic = f"mnist-lab-{uuid4().hex}"
        self.client.subscribe_topic(topic, lambda event: board.report(*event[1]))  # type: ignore[no-untyped-call]
        calls = [(number, train_far_away, number, config, topic) for number, config in configs.items()]
        with closing(self.results(calls, topic)) as results:
            for number, found in results:
                if isinstance(found, Parcel):
                    yield unpack(number, found, configs[number], outputs)
                else:
                    yield Finished(number, failure=None if board.is_stopped else found.reason)

    def results(self, calls: Sequence[tuple[Any, ...]], topic: str) -> Generator[tuple[int, Any], None, None]:
        """What some calls (number, function, argument, ...) return, by their numbers, as soon as it is there.

        Instead of the result of a call that the cluster could not do, there is a :class:`Lost`.

        Args:
            calls: what to do.
            topic: of these calls; when the user wants to stop, trainings that know it end.
        """
        from joblib import Parallel, delayed, parallel_config

        backend = watched_backend(self.client)
        todo = [delayed(numbered)(*call) for call in calls]
        with parallel_config(backend):
            results = Parallel(n_jobs=-1, return_as="generator_unordered", batch_size=1, pre_dispatch="all")(todo)
        ended = threading.Event()
        watch = threading.Thread(target=self.watch, args=(backend, topic, ended), daemon=True)
        watch.start()
        try:
            yield from until_left(results)
        finally:
            ended.set()
            watch.join(PATIENCE)

    def watch(self, backend: Any, topic: str, ended: threading.Event) -> None:
        """Tell the workers when the user wants to stop; give up once there is no worker any more."""
        told, seen = False, time.monotonic()
        while not ended.wait(0.5):
            try:
                if self.board.is_stopped and not told:
                    self.client.run(stop_trainings, topic)
                    told = True
                if self.threads():
                    seen = time.monotonic()
            except Exception as error:  # whatever a connection that breaks makes of it
                logging.getLogger(__name__).debug("the scheduler can't be asked: %s", error)
            if time.monotonic() - seen > PATIENCE:
                backend.give_up("no worker of the cluster is left")


def until_left(results: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """joblib's results one by one; who stops early hears no remarks about those that nobody waits for any more."""
    try:
        for result in results:  # noqa: UP028 - "yield from" would close them by itself, remarks and all
            yield result
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.close()


@dataclass(frozen=True)
class Lost:
    """Takes the place of a result that will never come."""

    reason: str


def watched_backend(client: Client) -> Any:
    """joblib's Dask backend, made to speak up about every call.

    As it is, it says nothing of a call that ends with an exception of Dask's own, as when its workers died again and
    again, and :class:`joblib.Parallel` would wait for ever. The first argument of every call is its number.
    """
    from joblib._dask import DaskDistributedBackend

    class WatchedBackend(DaskDistributedBackend):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.outstanding: dict[int, Callable[[Any], None]] = {}

        def effective_n_jobs(self, n_jobs: int) -> int:
            """At least 2: with a single worker, joblib would do all calls in this very process instead."""
            return max(2, int(super().effective_n_jobs(n_jobs)))

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            number = func.items[0][1][0]
            self.outstanding[number] = callback

            def deliver(outcome: Any) -> None:
                if isinstance(outcome, BaseException):
                    outcome = [(number, Lost(reason_of(outcome)))]
                if (waiting := self.outstanding.pop(number, None)) is not None:
                    waiting(outcome)

            submitted = super().submit(func, deliver)
            submitted.add_done_callback(lambda done: deliver(done.exception()) if done.exception() else None)
            return submitted

        def give_up(self, reason: str) -> None:
            """Stop waiting for whatever has not come."""
            for number in list(self.outstanding):
                if (waiting := self.outstanding.pop(number, None)) is not None:
                    waiting([(number, Lost(reason))])

    return WatchedBackend(client=client)


def reason_of(error: BaseException) -> str:
    """Why the cluster could not do a call, in words."""
    kind = type(error).__name__
    if kind == "KilledWorker":
        return "every worker that was given it died"
    if "Cancelled" in kind:
        return "the cluster cancelled it, or the connection to its scheduler was lost"
    return one_line(f"{kind}: {error}")


def numbered(number: int, call: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    """A call on a worker, its result beside its number."""
    return number, call(*arguments)


ONE_AT_A_TIME = threading.Lock()
"""Two trainings in one process would draw from the same random numbers: a worker with more threads does one still."""

STOPPED_TOPICS: set[str] = set()
"""On a worker: the experiments that the user wants to stop."""


def stop_trainings(topic: str) -> None:
    """On a worker: let the trainings of an experiment end after their batches."""
    STOPPED_TOPICS.add(topic)


def measure_far_away(config: TrainConfig) -> float:
    """The pace of one configuration on a worker of the cluster."""
    with ONE_AT_A_TIME:
        use_one_thread()
        return measure_here(config)


def use_one_thread() -> None:
    """Let a worker compute as every worker does."""
    from mnist_lab.environment import prepare_environment

    prepare_environment()
    import torch

    torch.set_num_threads(1)


def train_far_away(number: int, config: TrainConfig, topic: str) -> Parcel:
    """One training on a worker of the cluster: its folder, packed; whatever goes wrong is told, never raised."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def stop_requested() -> bool:
        task = worker.state.tasks.get(key)
        is_wanted = task is not None and task.state != "cancelled"  # as it is once the experiment's program is gone
        if topic in STOPPED_TOPICS or not is_wanted:
            raise Stopped
        return False

    observer = ReportingObserver(lambda share, note: worker.log_event(topic, [number, share, note]))
    try:
        with ONE_AT_A_TIME, temporary_folder() as outputs:
            stop_requested()
            use_one_thread()
            folder = train_or_resume(Job(number, config), outputs, observer, stop_requested)
            return Parcel({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    except Stopped:
        return Parcel()
    except Exception as error:
        return Parcel(failure=describe_failure(error))


def unpack(number: int, parcel: Parcel, config: TrainConfig, outputs: Path) -> Finished:
    """Make a folder here of what came back; run.json comes last, so that no half a run is ever listed."""
    from mnist_lab.training.session import run_label

    if not parcel.files:
        return Finished(number, failure=parcel.failure)
    try:
        folder = create_folder(outputs, run_label(config), created_of(parcel))
        for name in sorted(parcel.files, key=lambda name: name == RUN_FILE):
            write_atomically(folder / Path(name).name, partial(write_bytes, parcel.files[name]))
    except LabError as error:
        return Finished(number, failure=str(error))
    return Finished(number, folder)


def created_of(parcel: Parcel) -> datetime:
    """When a training began, as its files say, so that the folder's name agrees with them."""
    return datetime.fromisoformat(json.loads(parcel.files[RUN_FILE])["created"])


def write_bytes(content: bytes, path: Path) -> None:
    """Fill a file."""
    path.write_bytes(content)

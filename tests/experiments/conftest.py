"""Four small trained networks, made once by a whole experiment, for all tests of this room."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab import plotting
from mnist_lab.environment import using_device
from mnist_lab.experiments import measures, trainings
from mnist_lab.experiments.commands import experiment
from mnist_lab.experiments.trainings import Pool
from mnist_lab.explain.film import FilmRecorder
from mnist_lab.terminal.lab import OK
from mnist_lab.training.runs import RunRecord, list_runs
from mnist_lab.training.session import RunExtras
from tests.experiment_fixtures import make_lab, small_request

PREDICTION = "augmented > plain by 0.3"


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked whether to open a report."""
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)


class BlankCanvas:
    """Takes the place of the one that figures are rendered on."""

    def __init__(self, figure: Figure) -> None:
        pass

    def draw(self) -> None:
        pass

    def buffer_rgba(self) -> NDArray[np.uint8]:
        return np.zeros((8, 8, 4), dtype=np.uint8)


@contextmanager
def blank_figures() -> Iterator[None]:
    """Figures are put together, but come out blank: to render them takes most of the time, and is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plotting, "FigureCanvasAgg", BlankCanvas)
        patch.setattr(measures, "ROBUSTNESS_DIGITS", 300)
        yield


@contextmanager
def in_this_process(extras: RunExtras = RunExtras()) -> Iterator[None]:  # noqa: B008 - it is frozen
    """Trainings happen in a thread, and leave no figures and no film unless they are asked for.

    New processes take seconds to load torch, and what runs leave takes longer than such small trainings: both are
    tested in test_trainings.
    """

    def start(pool: Pool) -> ThreadPoolExecutor:
        trainings._epochs, trainings._stopped, trainings._turns = pool.epochs, pool.stopped, threading.Semaphore()
        return ThreadPoolExecutor(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "_start", start)
        patch.setattr(trainings, "RUN_EXTRAS", extras)
        yield


@pytest.fixture(scope="session")
def conducted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The outputs of a whole experiment, and what was shown while it ran."""
    outputs = tmp_path_factory.mktemp("conducted")
    lab, screen = make_lab(outputs)
    with using_device("cpu"), blank_figures(), in_this_process(RunExtras(record=FilmRecorder)):
        assert experiment(lab, small_request("robustness", jobs=1, prediction=PREDICTION)) == OK
    return outputs, screen.getvalue()


@pytest.fixture
def outputs(conducted: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy to work on."""
    return Path(shutil.copytree(conducted[0], tmp_path / "outputs"))


@pytest.fixture(scope="session")
def by_variant(conducted: tuple[Path, str]) -> dict[str, dict[int, RunRecord]]:
    """The networks by variant and seed."""
    found: dict[str, dict[int, RunRecord]] = {"plain": {}, "augmented": {}}
    for run in list_runs(conducted[0])[0]:
        found["augmented" if run.augment else "plain"][run.seed] = run
    return found

"""Four small trained networks, made once by a whole experiment, for all tests of this room."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from mnist_lab.environment import using_device
from mnist_lab.experiments import measures, trainings
from mnist_lab.experiments.commands import experiment
from mnist_lab.experiments.trainings import Pool
from mnist_lab.terminal.lab import OK
from mnist_lab.training.runs import RunRecord, list_runs
from tests.experiment_fixtures import make_lab, small_request

PREDICTION = "augmented > plain by 0.3"


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked whether to open a report."""
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)


def _save_blank(figure: Figure, target: Any, **options: Any) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (8, 8)).save(blank, "png")
    if isinstance(target, io.BytesIO):
        target.write(blank.getvalue())
    else:
        Path(target).write_bytes(blank.getvalue())


@contextmanager
def blank_figures() -> Iterator[None]:
    """Figures are put together, but come out blank: to render them takes most of the time, and is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _save_blank)
        patch.setattr(measures, "ROBUSTNESS_DIGITS", 300)
        yield


@contextmanager
def in_this_process() -> Iterator[None]:
    """Trainings happen in a thread: new processes take seconds to load torch, and are tested in test_trainings."""

    def start(pool: Pool) -> ThreadPoolExecutor:
        trainings._epochs, trainings._stopped = pool.epochs, pool.stopped
        return ThreadPoolExecutor(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "_start", start)
        yield


@pytest.fixture(scope="session")
def conducted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The outputs of a whole experiment, and what was shown while it ran."""
    outputs = tmp_path_factory.mktemp("conducted")
    lab, screen = make_lab(outputs)
    with using_device("cpu"), blank_figures(), in_this_process():
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

"""Stopped trainings: what they resume from is checked, what is finished stays; and the command that repeats a run."""

from __future__ import annotations

import copy
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

import main
from mnist_lab.config import ARCHITECTURES, AugmentConfig, TrainConfig, default_config
from mnist_lab.data.mnist import Mnist, load_mnist
from mnist_lab.experiments.questions import EXPERIMENTS
from mnist_lab.experiments.trainings import Stopped
from mnist_lab.explain.film import read_film
from mnist_lab.networks.models import build_model
from mnist_lab.report.document import Caption
from mnist_lab.terminal.lab import INTERRUPTED
from mnist_lab.training import session
from mnist_lab.training.checkpoints import load_weights
from mnist_lab.training.commands import config_from_options
from mnist_lab.training.figures import RunData, RunFigure
from mnist_lab.training.runs import UNFINISHED, EpochRecord, read_run
from mnist_lab.training.session import repeat_command
from tests.training.test_runs import change_run
from tests.trainings import LONGER

CONFIG = replace(LONGER, epochs=3, train_size=300)
State = dict[str, Any]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after its second epoch of three."""
    batches = iter(range(1, 100))

    def stop_requested() -> bool:
        if next(batches) == 7:  # three make an epoch
            raise Stopped
        return False

    outputs, observer = tmp_path_factory.mktemp("stopped"), session.Observer()
    now = datetime(2026, 11, 22, 14)
    with pytest.raises(Stopped):
        session.train_new(
            CONFIG,
            outputs,
            now,
            observer,
            workers=0,
            threads=1,
            stop_requested=stop_requested,
            extras=session.RunExtras(),
        )
    (folder,) = outputs.iterdir()
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "outputs" / stopped.name))


def resume(folder: Path) -> int:
    return main.main(["resume", "--run", folder.name, "--outputs", str(folder.parent)])


class Follower(session.Observer):
    """Reads the history, as others may, whenever an epoch is shown as done."""

    def __init__(self, outputs: Path) -> None:
        self.outputs, self.seen = outputs, list[list[str]]()

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        (path,) = self.outputs.glob("*/history.csv")
        self.seen.append([line.split(",")[0] for line in path.read_text(encoding="utf-8").splitlines()])


def test_the_history_grows_epoch_by_epoch(folder: Path, tmp_path: Path) -> None:
    new, resumed = Follower(tmp_path / "new"), Follower(folder.parent)
    session.train_new(CONFIG, new.outputs, datetime(2026, 11, 22, 14), new, workers=0, extras=session.RunExtras())
    assert new.seen == [["epoch", "1"], ["epoch", "1", "2"], ["epoch", "1", "2", "3"]]
    session.resume(read_run(folder), resumed, extras=session.RunExtras())
    assert resumed.seen == [["epoch", "1", "2", "3"]]


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_that_another_program_finishes_meanwhile_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished: dict[str, bytes] = {}

    def finish_first() -> Mnist:
        """Between reading run.json and locking the folder, another program ends what it had begun."""
        monkeypatch.setattr("mnist_lab.training.session.load_mnist", load_mnist)
        assert resume(folder) == 0
        finished.update(content_of(folder))
        capsys.readouterr()
        return load_mnist()

    monkeypatch.setattr("mnist_lab.training.session.load_mnist", finish_first)
    assert resume(folder) == 1
    error = capsys.readouterr().err
    assert "is finished and has been evaluated on the test digits" in error
    assert len(error.splitlines()) == 1
    assert content_of(folder) == finished


def test_a_page_that_cannot_be_written_costs_a_warning_and_not_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "report.html").mkdir()
    assert resume(folder) == 0
    told = " ".join(capsys.readouterr().out.split())
    later = f"python main.py report {folder.name} --outputs {folder.parent}"
    assert f"report.html: is a directory; the page can be written later: {later}" in told
    assert read_run(folder).status == "finished"


def test_a_second_ctrl_c_tells_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "resume", Mock(side_effect=KeyboardInterrupt))
    assert resume(folder) == INTERRUPTED
    assert f"resume the run with: python main.py resume --outputs {folder.parent}\n" in capsys.readouterr().out


def first_record(**values: Any) -> Callable[[State], object]:
    return lambda state: state["history"][0].update(values)


def first_moments(**values: Any) -> Callable[[State], object]:
    return lambda state: state["optimizer"]["state"][0].update(values)


def first_group(**values: Any) -> Callable[[State], object]:
    return lambda state: state["optimizer"]["param_groups"][0].update(values)


NAN = float("nan")
DAMAGES: dict[str, Callable[[State], object]] = {
    "no average": lambda state: state.pop("average"),
    "nan in the average": lambda state: state["average"]["classifier.4.bias"].fill_(NAN),
    "nan in the weights": lambda state: state["model"]["classifier.4.bias"].fill_(NAN),
    "int8 weights": lambda state: state["model"].update({"classifier.4.bias": torch.zeros(10, dtype=torch.int8)}),
    "nan in the best weights": lambda state: state["best_weights"]["classifier.4.bias"].fill_(NAN),
    "other best weights": lambda state: state["best_weights"]["classifier.4.weight"].neg_(),
    "no best weights": lambda state: state.update(best_weights={}),
    "nan in the history": first_record(val_loss=NAN),
    "a lower loss": first_record(val_loss=0.01),
    "an accuracy of 2": first_record(val_accuracy=2.0),
    "an epoch twice": first_record(epoch=2),
    "a word for an epoch": first_record(epoch="1"),
    "an epoch in no time": first_record(seconds=0.0),
    "another rate": first_record(learning_rate=0.1),
    "a column too many": first_record(more=1.0),
    "no history": lambda state: state.update(history=[]),
    "too long a history": lambda state: state["history"].extend(
        state["history"][1] | {"epoch": epoch} for epoch in (3, 4)
    ),
    "a group too few": lambda state: state["optimizer"]["param_groups"].pop(),
    "another decay": first_group(weight_decay=0.5),
    "other weights in a group": first_group(params=[0, 0]),
    "nan in the moments": first_moments(exp_avg=torch.full((32, 1, 3, 3), NAN)),
    "negative squares": first_moments(exp_avg_sq=torch.full((32, 1, 3, 3), -1.0)),
    "moments of another shape": first_moments(exp_avg=torch.zeros(3)),
    "moments of other steps": first_moments(step=torch.tensor(7.0)),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_state_is_refused_and_nothing_is_changed(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = copy.deepcopy(torch.load(folder / "training_state.pt", weights_only=True))
    del state["digest"]  # as in the files of earlier versions, and of those who know how to forge one
    DAMAGES[kind](state)
    torch.save(state, folder / "training_state.pt")
    before = content_of(folder)
    assert resume(folder) == 1
    error = capsys.readouterr().err
    assert "does not fit its configuration" in error or "is refused" in error
    assert len(error.splitlines()) == 1
    assert content_of(folder) == before


def test_a_state_of_another_configuration_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    of_another_length = [{"epochs": 4}, {"batch_size": 50}, {"hidden": 64}]
    of_the_same = [{"dropout": 0.5}, {"train_size": 290}, {"patience": 1}, {"average_decay": 0.9}, {"seed": 5}]
    for changes in (*of_another_length, {"weight_decay": 0.1}, {"model": "2-layer"}, *of_the_same):
        change_run(folder, config=content["config"] | changes)
        assert resume(folder) == 1
        error = capsys.readouterr().err
        assert "training_state.pt" in error or "its configuration" in error or "its own configuration" in error


@pytest.mark.parametrize("values", [{"seed": 5}, {"model": "3-layer"}, {"augment": True}])
def test_a_run_that_contradicts_itself_is_refused(
    values: State, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_run(folder, **values)
    before = content_of(folder)
    assert resume(folder) == 1
    assert "contradicts its own configuration" in capsys.readouterr().err
    assert content_of(folder) == before


SMALL_CHANGES: dict[str, Callable[[State], object]] = {
    "noise in the weights": lambda state: state["model"]["classifier.4.bias"].add_(1e-6),
    "a moment": first_moments(exp_avg=torch.zeros(32, 1, 3, 3)),
    "a nicer accuracy": first_record(val_accuracy=0.99),
    "another dropout": lambda state: state["config"].update(dropout=0.5),
}


@pytest.mark.parametrize("kind", SMALL_CHANGES)
def test_a_state_that_was_changed_is_refused(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = copy.deepcopy(torch.load(folder / "training_state.pt", weights_only=True))
    SMALL_CHANGES[kind](state)
    torch.save(state, folder / "training_state.pt")
    before = content_of(folder)
    assert resume(folder) == 1
    assert "does not fit its configuration (it was" in capsys.readouterr().err
    assert content_of(folder) == before


@pytest.mark.parametrize("version", ["now", "earlier"])
def test_each_session_is_noted_and_leftovers_go(version: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (first,) = content["sessions"]
    assert (first["after_epoch"], first["versions"]) == (0, content["versions"])
    where = first if version == "now" else content
    where["versions"]["torch"], where["device"] = "1.0", "an abacus"
    if version == "earlier":  # before sessions were noted
        del content["sessions"]
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / ".writing-abc.pt").touch()

    assert resume(folder) == 0
    assert not list(folder.glob(".writing-*"))
    ended = read_run(folder)
    assert read_film(ended).seen[0] == 600, "its film begins where it was resumed"
    assert ended.to_json()["versions"] == content["versions"]
    begun, resumed = ended.to_json()["sessions"]
    assert (begun["versions"]["torch"], begun["device"], begun["after_epoch"]) == ("1.0", "an abacus", 0)
    assert (resumed["versions"]["torch"], resumed["after_epoch"]) == (torch.__version__.split("+")[0], 2)

    capsys.readouterr()
    assert main.main(["show", "--run", folder.name, "--outputs", str(folder.parent)]) == 0
    assert main.main(["report", folder.name, "--outputs", str(folder.parent)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    page = " ".join((folder / "report.html").read_text(encoding="utf-8").split())
    for text in (shown, page):
        assert "after epoch 2; device CPU" in text
        assert "(at first an abacus); torch 2." in text
        assert "(at first 1.0)" in text


# ---------------------------------------------------------------------------------------------- repeating a run

CHANGED = replace(
    default_config("2-layer", augmented=True, epochs=3),
    seed=7,
    batch_size=64,
    patience=9,
    train_size=2000,
    epoch_size=10_000,
    dropout=0.0,
    batch_norm=False,
    learning_rate=0.001,
    weight_decay=0.1,
    label_smoothing=0.0,
    average_decay=0.0,
    plain_epochs=1,
    augment=AugmentConfig(1.0, 0.01, 0.02, 3.0, flip=0.5, elastic=0.01, thickness=0.3, strokes=0.2, erasing=0.1),
)


def repeated(config: TrainConfig) -> TrainConfig:
    words = repeat_command(config).split()
    assert words[:2] == ["python", "main.py"]
    return config_from_options(main.build_parser().parse_args(words[2:]))


@pytest.mark.parametrize("model", ARCHITECTURES)
@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("epochs", [None, 1])
def test_the_usual_recipes(model: str, augmented: bool, epochs: int | None) -> None:
    config = default_config(model, augmented=augmented, epochs=epochs)
    assert repeated(config) == config


def test_the_threads_are_named_where_they_are_known() -> None:
    words = repeat_command(CHANGED, threads=3).split()
    assert words[-2:] == ["--threads", "3"]
    assert main.build_parser().parse_args(words[2:]).threads == 3
    assert "--threads" not in repeat_command(CHANGED)


def test_everything_changed_at_once() -> None:
    assert repeated(CHANGED) == CHANGED
    plain = replace(CHANGED, augment=None, plain_epochs=0)
    assert repeated(plain) == plain


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_variant_of_every_experiment(name: str) -> None:
    for epochs in (1, 16):
        for variant in EXPERIMENTS[name].variants(epochs):
            config = replace(variant.config, seed=3)
            assert repeated(config).spelt_out == config.spelt_out


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_the_weights_that_a_training_begins_with(seed: int, tmp_path: Path) -> None:
    """They are those that it ends with, too, where nothing is learned."""
    config = TrainConfig(
        model="1-layer", recipe="plain", seed=seed, epochs=1, train_size=100, learning_rate=0.0, weight_decay=0.0,
        average_decay=0.0, batch_norm=False, hidden=16,
    )  # fmt: skip
    now = datetime(2026, 11, 22, 14)
    folder = session.train_new(config, tmp_path, now, session.Observer(), workers=0, extras=session.RunExtras())
    found = load_weights(read_run(folder))
    first, other = (build_model(config.architecture, start).state_dict() for start in (seed, 1 - seed))
    assert all(torch.equal(found[name], weights) for name, weights in first.items())
    assert not torch.equal(found["classifier.4.weight"], other["classifier.4.weight"])


def test_figures_are_drawn_by_one_thread_while_another_asks_the_network(tmp_path: Path) -> None:
    """Matplotlib's style is global; and a run counts as finished only once both are done."""
    did: list[tuple[str, bool, str]] = []  # what, whether in this thread, and how the run stood then

    def note(what: str, folder: Path) -> None:
        did.append((what, threading.current_thread() is threading.main_thread(), read_run(folder).status))

    def find(run: RunData) -> Path:
        note("found", run.record.folder)
        return run.record.folder

    def draw(folder: Path) -> bytes:
        note("drawn", folder)
        return b"picture"

    extras = session.RunExtras(
        {"one.png": RunFigure(draw, Caption("One", "A picture."), find)},
        lambda trainer: lambda folder, outcome: note("developed", folder),
    )
    config = replace(CONFIG, epochs=1, train_size=100)
    folder = session.train_new(
        config, tmp_path, datetime(2026, 11, 22, 14), session.Observer(), workers=0, extras=extras
    )
    assert sorted(did) == [
        ("developed", False, UNFINISHED),
        ("drawn", True, UNFINISHED),
        ("found", False, UNFINISHED),
    ]
    assert (folder / "one.png").read_bytes() == b"picture"
    assert read_run(folder).status == "finished"

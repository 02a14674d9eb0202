"""One training from its configuration to its finished folder: the rooms of the lab, called in order.

The menu, the command line and the experiments all train through here; nobody else writes run folders.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch

from mnist_lab import __version__
from mnist_lab.config import MOST_THREADS, MOST_WORKERS, TrainConfig, changed_options
from mnist_lab.data.mnist import SPLIT_SEED, Digits, Mnist, load_mnist, split_fingerprint, stratified_subset
from mnist_lab.environment import asked_device
from mnist_lab.errors import CheckpointError, RunError, StorageError, TrainingError
from mnist_lab.networks.compute import Compute, choose_compute, computing_with, predict_logits
from mnist_lab.networks.models import DigitNet, build_model, count_parameters
from mnist_lab.plotting import save_figure
from mnist_lab.report.index import write_summary
from mnist_lab.storage import create_folder, is_file, remove_leftovers, write_text
from mnist_lab.training.checkpoints import load_state, load_weights, save_tensors
from mnist_lab.training.evaluation import Evaluation, evaluate
from mnist_lab.training.figures import RunData, RunFigure
from mnist_lab.training.page import summary_of
from mnist_lab.training.runs import (
    HISTORY_FILE,
    RUN_FILE,
    STATE_FILE,
    UNFINISHED,
    EpochRecord,
    Run,
    damaged_run,
    history_csv,
    locked,
    model_file_name,
    read_history,
    read_run,
    write_run,
)
from mnist_lab.training.trainer import Outcome, Progress, Trainer

RunFigures = Mapping[str, RunFigure]
"""What draws the figures of a run, by file name."""


@dataclass(frozen=True)
class Results:
    """A finished training, evaluated on the validation digits it was chosen by, and once on the test digits."""

    outcome: Outcome
    validation: Evaluation
    test: Evaluation
    train_seconds: float
    images_per_second: float
    images_per_epoch: int


class Observer(Protocol):
    """Whoever wants to follow a training; every method may do nothing."""

    def on_start(self, folder: Path, config: TrainConfig, compute: Compute, parameters: int, epochs_done: int) -> None:
        """The training begins, or goes on after ``epochs_done`` epochs."""

    def on_progress(self, progress: Progress) -> None:
        """A few more batches are done."""

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """An epoch is done."""

    def on_warning(self, message: str) -> None:
        """Something went wrong that the training can do without."""

    def on_results(self, results: Results) -> None:
        """The training is over and evaluated; the folder is being completed."""


def train_new(
    config: TrainConfig,
    outputs: Path,
    now: datetime,
    observer: Observer,
    *,
    workers: int,
    threads: int | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    figures: RunFigures,
) -> Path:
    """Train a network and leave its folder.

    Args:
        config: checked already.
        outputs: where the folder is made.
        now: the folder's time stamp.
        observer: is told how it goes.
        workers: processes that load data.
        threads: of the processor to compute with; None for as many as torch takes by itself.
        stop_requested: asked after every batch whether to end early.
        figures: to leave in the folder.

    Returns:
        The run's folder.

    Raises:
        DataError, TrainingError, StorageError: see there. Results are shown before a failed write is raised.
    """
    mnist = load_mnist()
    folder = create_folder(outputs, run_label(config), now)
    try:
        with locked(folder), computing_with(threads):
            run = _new_run(folder, config, mnist, workers, now)
            return _complete(run, config, mnist, observer, workers, stop_requested, figures, state=None)
    except BaseException:
        if not is_file(folder / RUN_FILE):  # the disk was full from the beginning, say: nothing has come about
            shutil.rmtree(folder, ignore_errors=True)
        raise


def resume(
    run: Run,
    observer: Observer,
    *,
    workers: int | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    figures: RunFigures,
) -> Path:
    """Go on with a run that was killed, from its last finished epoch, in its own folder, with as many threads.

    Args:
        run: an unfinished one.
        observer: is told how it goes.
        workers: processes that load data, which never change the outcome; None for as many as the run began with.
        stop_requested: asked after every batch whether to end early.
        figures: to leave in the folder.

    Raises:
        RunError: the run is finished, in use, or was made on another split.
        CheckpointError: its saved state is damaged; nothing in the folder is changed.
    """
    _refuse_ended(run)
    mnist = load_mnist()
    with locked(run.folder):
        run = read_run(run.folder)  # whoever held the lock meanwhile may have finished it
        _refuse_ended(run)
        config = run.config
        if (run.model, run.augment, run.seed) != (config.model, config.augment is not None, config.seed):
            raise damaged_run(run.folder, f"{RUN_FILE} contradicts its own configuration")
        if run.split != _split_of(mnist):
            raise RunError(f"the run {run.name} was made on another split of the data", "train a new run")
        if workers is None:
            workers = run.workers if run.workers is not None and 0 <= run.workers <= MOST_WORKERS else 0
        threads = run.machine.get("threads")
        with computing_with(threads if type(threads) is int and 1 <= threads <= MOST_THREADS else None):
            state = load_state(run.folder, config)
            return _complete(run, config, mnist, observer, workers, stop_requested, figures, state)


def _refuse_ended(run: Run) -> None:
    if run.status == UNFINISHED:
        return
    end = "has failed" if run.status == "failed" else f"is {run.status} and has been evaluated on the test digits"
    raise RunError(f"the run {run.name} {end}; it can't go on", "train a new run")


def _complete(
    run: Run,
    config: TrainConfig,
    mnist: Mnist,
    observer: Observer,
    workers: int,
    stop_requested: Callable[[], bool],
    figures: RunFigures,
    state: dict[str, Any] | None,
) -> Path:
    """Train from the beginning or from a saved state, evaluate, and fill the folder."""
    compute = choose_compute()
    model = compute.place(build_model(config.architecture, config.seed))
    digits = stratified_subset(mnist.train, config.train_size)
    trainer = Trainer(model, digits, mnist.validation, config, compute, workers=workers)
    if state is not None:
        _restore(trainer, state, run.folder)
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    session = {"started": started, "after_epoch": len(trainer.history), **_place(workers)}
    run = replace(run, sessions=[*run.sessions, session])
    write_run(run)
    observer.on_start(run.folder, config, compute, run.parameters, len(trainer.history))
    is_saved = True

    def on_epoch(record: EpochRecord, is_best: bool) -> None:
        nonlocal is_saved
        observer.on_epoch(record, is_best)
        if not is_saved or not trainer.is_between_epochs:
            return
        try:
            save_tensors(run.folder / STATE_FILE, trainer.state())
            write_text(run.folder / HISTORY_FILE, history_csv(trainer.history))
        except StorageError as error:  # a disk that refuses costs the resuming, not the training
            is_saved = False
            observer.on_warning(f"{error.found}; the training goes on, but could not be resumed")

    try:
        outcome = trainer.fit(on_progress=observer.on_progress, on_epoch=on_epoch, stop_requested=stop_requested)
        results = _evaluate(model, outcome, mnist, compute, trainer.images_per_epoch)
    except TrainingError as error:
        run = replace(run, status="failed", failure=error.found)
        write_run(run)
        write_summary(run.folder, summary_of(run))
        (run.folder / STATE_FILE).unlink(missing_ok=True)
        raise
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"a worker died ({error})", f"go on without them: python main.py resume --run {run.name} --workers 0"
        ) from None
    observer.on_results(results)
    _save_results(run, results, mnist, model, figures)
    (run.folder / STATE_FILE).unlink(missing_ok=True)
    return run.folder


def _restore(trainer: Trainer, state: dict[str, Any], folder: Path) -> None:
    """Put a saved state back.

    Raises:
        CheckpointError: it is damaged, or belongs to another training.
    """
    try:
        trainer.restore(state)
    except Exception as error:  # the file is not trusted: whatever does not fit, however it fails, is refused
        why = str(error) if type(error) is ValueError else type(error).__name__
        raise CheckpointError(
            f"the saved state in {folder.name} does not fit its configuration ({why})", "train a new run"
        ) from None


def _evaluate(model: DigitNet, outcome: Outcome, mnist: Mnist, compute: Compute, images_per_epoch: int) -> Results:
    """Evaluate the best weights on the validation digits, and, for the only time, on the test digits."""
    model.load_state_dict(outcome.best_weights)
    seconds = sum(record.seconds for record in outcome.history)
    return Results(
        outcome=outcome,
        validation=evaluate_on(model, mnist.validation, compute),
        test=evaluate_on(model, mnist.test, compute),
        train_seconds=seconds,
        images_per_second=outcome.images_seen / seconds,
        images_per_epoch=images_per_epoch,
    )


def evaluate_on(model: DigitNet, digits: Digits, compute: Compute) -> Evaluation:
    """Evaluate a network on some digits."""
    logits = predict_logits(model, digits.images, compute)  # (N, 10)
    return evaluate(logits.numpy(), digits.labels.numpy())


def load_trained(run: Run, compute: Compute) -> DigitNet:
    """The trained network of an evaluated run, ready to be asked.

    Raises:
        RunError, CheckpointError: the run has no usable model, or its weights belong to another architecture.
    """
    weights = load_weights(run)
    model = build_model(run.config.architecture)
    model.load_state_dict(weights)
    placed = compute.place(model)
    placed.eval()
    return placed


def _save_results(run: Run, results: Results, mnist: Mnist, model: DigitNet, figures: RunFigures) -> None:
    """Fill the folder; run.json comes last, so that a run is marked as finished only when all of it is there."""
    outcome, folder = results.outcome, run.folder
    model_file = model_file_name(run.created, results.validation.accuracy, results.test.accuracy)
    save_tensors(folder / model_file, outcome.best_weights)
    write_text(folder / HISTORY_FILE, history_csv(outcome.history))
    run = replace(
        run,
        status="interrupted" if outcome.stop_reason == "interrupted" else "finished",
        stop_reason=outcome.stop_reason,
        epochs_run=len(outcome.history),
        best_epoch=outcome.best_epoch,
        stopped_early=outcome.stop_reason != "last epoch",
        val_accuracy=results.validation.accuracy,
        val_loss=outcome.history[outcome.best_epoch - 1].val_loss,
        test_accuracy=results.test.accuracy,
        test_interval=results.test.interval,
        train_seconds=results.train_seconds,
        images_per_second=results.images_per_second,
        model_file=model_file,
        results={"validation": results.validation.to_dict(), "test": results.test.to_dict()},
    )
    save_figures(folder, RunData(run, outcome.history, results.test, mnist.test, model), figures)
    write_run(run)
    captions = {name: figure.caption for name, figure in figures.items()}
    write_summary(folder, summary_of(run, captions))  # for a run without, the index looks at run.json
    for stray in set(folder.glob("model_*.pt")) - {folder / model_file}:  # of a run killed while its folder was filled
        stray.unlink()


def save_figures(folder: Path, run: RunData, figures: RunFigures) -> None:
    """Draw and save figures of a run, by file name."""
    for name, draw in figures.items():
        save_figure(folder / name, draw(run))


def restore_pictures(
    run: Run, test: Evaluation, digits: Digits, model: DigitNet, figures: RunFigures, warn: Callable[[str], None]
) -> list[str]:
    """Draw those figures of a run that are missing from its folder; returns their names.

    Args:
        run: an evaluated one.
        test: of its model.
        digits: the test digits.
        model: with its weights.
        figures: that should be there.
        warn: is told why a figure can't be drawn.
    """
    remove_leftovers(run.folder, older_than=3600)  # no figure takes so long to be written
    missing = {name: draw for name, draw in figures.items() if not is_file(run.folder / name)}
    history: list[EpochRecord] = []
    if "history.png" in missing:
        try:
            history = read_history(run)
        except RunError as error:
            del missing["history.png"]
            warn(f"without history.png: {error}")
    save_figures(run.folder, RunData(run, history, test, digits, model), missing)
    return list(missing)


def run_label(config: TrainConfig) -> str:
    """What a run's folder is called, after its time stamp."""
    return f"{config.model}-aug" if config.augment is not None else config.model


def _new_run(folder: Path, config: TrainConfig, mnist: Mnist, workers: int, now: datetime) -> Run:
    """A run as it is while it is under way: all that is needed to repeat it."""
    return Run(
        folder=folder,
        model=config.model,
        augment=config.augment is not None,
        seed=config.seed,
        status=UNFINISHED,
        created=now.astimezone().replace(microsecond=0),
        command=repeat_command(config, threads=_compute_threads(), device=asked_device()),
        device_asked=asked_device(),
        saved_config=config.to_dict(),
        split=_split_of(mnist),
        parameters=count_parameters(build_model(config.architecture)),
        **_place(workers),
    )


def _place(workers: int) -> dict[str, Any]:
    """Where and with what a training computes."""
    return {
        "workers": workers,
        "device": choose_compute().name,
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "versions": {"mnist_lab": __version__, "python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scipy", "matplotlib", "seaborn")},
    }


def _split_of(mnist: Mnist) -> dict[str, Any]:
    """How the data were split, with a fingerprint of the validation digits."""
    return {
        "seed": SPLIT_SEED,
        "train": len(mnist.train),
        "validation": len(mnist.validation),
        "test": len(mnist.test),
        "fingerprint": split_fingerprint(mnist.validation),
    }


def _compute_threads() -> int | None:
    """How many threads of the processor compute; None where a graphics card does."""
    return torch.get_num_threads() if choose_compute().device.type == "cpu" else None


def repeat_command(config: TrainConfig, threads: int | None = None, device: str | None = None) -> str:
    """The command that trains the same again, to the bit: every option that differs from its default.

    Args:
        config: of the training.
        threads: that it computes with, which the last bits depend on; None to leave them open.
        device: that was asked for; None to leave it open.
    """
    words = ["python", "main.py", "train", "--model", config.model, "--recipe", config.recipe]
    words += ["--seed", str(config.seed), "--epochs", str(config.epochs)]
    if config.augment is not None:
        words.append("--augment")
    words += changed_options(config)
    words += [] if threads is None else ["--threads", str(threads)]
    return shlex.join(words if device in (None, "auto") else [*words, "--device", str(device)])


def measure_pace(config: TrainConfig, mnist: Mnist, compute: Compute, batches: int = 12) -> float:
    """Seconds that an epoch of this configuration takes on this machine, found by training a few batches.

    The network trained for it is thrown away.
    """
    warm_up = 4
    size = min(len(mnist.train), config.batch_size * (batches + warm_up))
    some = mnist.train.subset(torch.arange(size))
    network = compute.place(build_model(config.architecture))
    trainer = Trainer(network, some, mnist.validation, replace(config, epoch_size=size), compute)
    steps = enumerate(trainer.loader.epoch(1))
    start, done = 0.0, 0
    trainer.model.train()
    for number, batch in steps:
        if number == warm_up:
            start = time.perf_counter()
        trainer.step(batch.images.to(compute.device), batch.labels.to(compute.device))
        done += len(batch.labels) if number >= warm_up else 0
    training = (time.perf_counter() - start) * config.images_per_epoch / max(done, 1)
    start = time.perf_counter()
    with suppress(TrainingError):  # it takes as long, whatever comes out
        predict_logits(trainer.evaluated_model, mnist.validation.images[:1000], compute)
    return training + (time.perf_counter() - start) * len(mnist.validation) / 1000

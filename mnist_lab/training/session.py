"""One training from its configuration to its finished folder: the parts of the lab, called in order.

The menu, the command line and the experiments all train through here; nothing else writes run folders.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mnist_lab import __version__
from mnist_lab.config import MOST_THREADS, MOST_WORKERS, TrainConfig, changed_options
from mnist_lab.data import DOUBTFUL_TEST_LABELS
from mnist_lab.data.mnist import SPLIT_SEED, Digits, Mnist, load_mnist, split_fingerprint, stratified_subset
from mnist_lab.environment import asked_device
from mnist_lab.errors import CheckpointError, RunError, StorageError, TrainingError
from mnist_lab.networks.compute import Compute, choose_compute, computing_with, predict_logits
from mnist_lab.networks.models import DigitNet, build_model, count_parameters
from mnist_lab.plotting import save_figure
from mnist_lab.report.document import REPORT_FILE
from mnist_lab.report.index import write_summary
from mnist_lab.storage import STAMP_FORMAT, create_folder, is_file, remove_leftovers, write_text
from mnist_lab.training import runs
from mnist_lab.training.checkpoints import PLAIN_BYTES, load_tensors, load_weights, save_tensors
from mnist_lab.training.evaluation import Evaluation, evaluate
from mnist_lab.training.figures import RunData, RunFigure
from mnist_lab.training.page import summary_of, write_run_page
from mnist_lab.training.runs import HISTORY_FILE, RUN_FILE, STATE_FILE, UNFINISHED, EpochRecord, RunRecord, write_run
from mnist_lab.training.trainer import Outcome, Progress, Trainer

RunFigures = Mapping[str, RunFigure]  # what draws the figures of a run, by file name
Develop = Callable[[Path, Outcome], object]  # leaves in a run's folder what was recorded of its training


@dataclass(frozen=True)
class RunExtras:
    """What rooms that come later add to a run."""

    figures: RunFigures = field(default_factory=dict)
    record: Callable[[Trainer], Develop] = lambda trainer: lambda folder, outcome: None  # follows it from its start


@dataclass(frozen=True)
class Results:
    """A finished training, evaluated on the validation digits it was chosen by, and once on the test digits."""

    outcome: Outcome
    validation: Evaluation
    test: Evaluation
    train_seconds: float
    images_per_second: float
    images_per_epoch: int


class Observer:
    """Follows a training; its own methods do nothing."""

    def on_start(self, config: TrainConfig, compute: Compute, parameters: int, history: Sequence[EpochRecord]) -> None:
        """The training begins, or goes on after the epochs in ``history``."""

    def on_progress(self, progress: Progress) -> None:
        """A few more batches are done."""

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        """An epoch is done."""

    def on_warning(self, message: str) -> None:
        """Something went wrong, but the training goes on."""

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
    extras: RunExtras,
) -> Path:
    """Train a network as a checked configuration says, and leave its folder, stamped with ``now``.

    ``workers`` processes load data; ``threads`` of None leaves their number to torch; ``stop_requested`` is asked after
    every batch whether to end early.

    Raises:
        DataError, TrainingError, StorageError: see their docstrings. Results are shown before a failed write is raised.
    """
    mnist = load_mnist()
    folder = create_folder(outputs, run_label(config), now)
    try:
        with runs.locked(folder), computing_with(threads):
            run = new_run(folder, config, mnist, workers, now)
            return _complete(run, mnist, observer, workers, stop_requested, extras)
    except BaseException:
        if not is_file(folder / RUN_FILE):  # the disk was full from the start, say: there is nothing to keep
            shutil.rmtree(folder, ignore_errors=True)
        raise


def resume(
    run: RunRecord,
    observer: Observer,
    *,
    workers: int | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    extras: RunExtras,
) -> Path:
    """Resume an unfinished run that was killed, from its last finished epoch, in its own folder.

    ``workers`` never change the outcome; None takes as many as the run started with. The number of threads is kept.

    Raises:
        RunError: the run is finished, in use, or was made on another split.
        CheckpointError: its saved state is damaged; nothing in the folder is changed.
    """
    _refuse_ended(run)
    mnist = load_mnist()
    with runs.locked(run.folder):
        run = runs.read_run(run.folder)  # whoever held the lock meanwhile may have finished it
        _refuse_ended(run)
        config = run.config
        if (run.model, run.augment, run.seed) != (config.model, config.augment is not None, config.seed):
            raise runs.damaged_run(run.folder, f"{RUN_FILE} contradicts its own configuration")
        if run.split != _split_of(mnist):
            raise RunError(f"the run {run.name} was made on another split of the data", "train a new run")
        if workers is None:
            workers = run.workers if run.workers is not None and 0 <= run.workers <= MOST_WORKERS else 0
        threads = run.machine.get("threads")
        with computing_with(threads if type(threads) is int and 1 <= threads <= MOST_THREADS else None):
            return _complete(run, mnist, observer, workers, stop_requested, extras)


def _refuse_ended(run: RunRecord) -> None:
    if run.status != UNFINISHED:
        end = "has failed" if run.status == "failed" else f"is {run.status} and has been evaluated on the test digits"
        raise RunError(f"the run {run.name} {end}; it can't be resumed", "train a new run")


def _complete(
    run: RunRecord,
    mnist: Mnist,
    observer: Observer,
    workers: int,
    stop_requested: Callable[[], bool],
    extras: RunExtras,
) -> Path:
    """Train from the beginning, or from the state that the folder holds, evaluate, and fill the folder."""
    config, compute, folder = run.config, choose_compute(), run.folder
    model = compute.place(build_model(config.architecture, config.seed))
    digits = stratified_subset(mnist.train, config.train_size)
    trainer = Trainer(model, digits, mnist.validation, config, compute, workers)
    _restore(trainer, folder)
    develop = extras.record(trainer)

    started = datetime.now().astimezone().isoformat(timespec="seconds")
    session = {"started": started, "after_epoch": len(trainer.history), **_place(workers)}
    run = replace(run, sessions=[*run.sessions, session])
    write_run(run)
    observer.on_start(config, compute, run.parameters, list(trainer.history))
    is_saved = True

    def on_epoch(record: EpochRecord, is_best: bool) -> None:
        nonlocal is_saved
        if is_saved and trainer.is_between_epochs:
            try:
                save_tensors(folder / STATE_FILE, trainer.state())
                write_text(folder / HISTORY_FILE, runs.history_csv(trainer.history))
            except StorageError as error:  # without a saved state the training can't be resumed, but it can go on
                is_saved = False
                observer.on_warning(f"{error.found}; training goes on, but can't be resumed if it is stopped")
        observer.on_epoch(record, is_best)  # what is shown as done is never trained again

    try:
        outcome = trainer.fit(on_progress=observer.on_progress, on_epoch=on_epoch, stop_requested=stop_requested)
        model.load_state_dict(outcome.best_weights)
        validation = evaluate(outcome.best_logits.numpy(), mnist.validation.labels.numpy())
        test = evaluate_on(model, mnist.test, compute)
    except TrainingError as error:
        run = replace(run, status="failed", failure=error.found)
        write_run(run)
        describe(run, {})
        (folder / STATE_FILE).unlink(missing_ok=True)
        raise
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        go_on = runs.command_line(f"resume {run.name} --workers 0", folder.parent)
        raise TrainingError(f"a worker died ({error})", f"go on without them: {go_on}") from None

    seconds = sum(record.seconds for record in outcome.history)
    results = Results(outcome, validation, test, seconds, outcome.images_seen / seconds, trainer.images_per_epoch)
    observer.on_results(results)
    run = save_results(run, results, mnist, model, develop, extras.figures)
    (folder / STATE_FILE).unlink(missing_ok=True)
    try:
        describe(run, extras.figures)
    except StorageError as error:  # what was trained is on disk
        later = runs.command_line(f"report {run.name}", folder.parent)
        observer.on_warning(f"{error.found}; the page can be written later: {later}")
    return folder


def _restore(trainer: Trainer, folder: Path) -> None:
    path, network_bytes = folder / STATE_FILE, sum(weight.nbytes for weight in trainer.model.state_dict().values())
    if not path.exists():  # a new run, or one that was killed in its first epoch
        return
    # Five networks: weights, EMA, best weights, and the optimiser's two moments. An epoch takes less than 256 bytes.
    state = load_tensors(path, 5 * network_bytes, PLAIN_BYTES + 256 * trainer.config.epochs)
    try:
        trainer.restore(state)
    except Exception as error:  # the file is not trusted: whatever does not fit, however it fails, is refused
        why = str(error) if type(error) is ValueError else type(error).__name__
        what = f"the saved state in {folder.name} does not fit its configuration ({why})"
        raise CheckpointError(what, "train a new run") from None


def save_results(
    run: RunRecord, results: Results, mnist: Mnist, model: DigitNet, develop: Develop, figures: RunFigures
) -> RunRecord:
    """Fill the folder; run.json comes last, so that a run is marked as finished only when all of it is there."""
    outcome, folder = results.outcome, run.folder
    accuracies = f"val{100 * results.validation.accuracy:.2f}_test{100 * results.test.accuracy:.2f}"
    model_file = f"model_{run.created.strftime(STAMP_FORMAT)}_{accuracies}.pt"
    save_tensors(folder / model_file, outcome.best_weights)
    write_text(folder / HISTORY_FILE, runs.history_csv(outcome.history))
    doubted = sorted(DOUBTFUL_TEST_LABELS.intersection(results.test.mistakes.positions.tolist()))
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
        results={
            "validation": results.validation.to_dict(),
            "test": results.test.to_dict() | {"doubted_mistakes": doubted},
        },
    )
    data = RunData(run, outcome.history, results.test, mnist.test, model)
    for figure in figures.values():
        figure.prepare(data)
    with ThreadPoolExecutor(1) as beside:  # drawing occupies only one core: the rest is computed meanwhile
        found = {name: beside.submit(figure.find, data) for name, figure in figures.items()}
        developed = beside.submit(develop, folder, outcome)
        for name, figure in figures.items():
            if figure.needs:
                developed.result()
            save_figure(folder / name, figure.draw(found[name].result()))
        developed.result()
    write_run(run)
    for stray in set(folder.glob("model_*.pt")) - {folder / model_file}:  # of a run killed while filling its folder
        stray.unlink()
    return run


def describe(run: RunRecord, figures: RunFigures) -> None:
    """Write what is derived from a run's folder: what the index shows of it, and its page, in that order."""
    captions = {name: figure.caption for name, figure in figures.items()}
    write_summary(run.folder, summary_of(run, captions))  # for a run without one, the index reads run.json
    write_run_page(run)


def new_run(folder: Path, config: TrainConfig, mnist: Mnist, workers: int, now: datetime) -> RunRecord:
    """A run as it begins: all that is needed to repeat it."""
    threads = torch.get_num_threads() if choose_compute().device.type == "cpu" else None
    return RunRecord(
        folder=folder,
        model=config.model,
        augment=config.augment is not None,
        seed=config.seed,
        status=UNFINISHED,
        created=now.astimezone().replace(microsecond=0),
        command=repeat_command(config, threads=threads, device=asked_device()),
        device_asked=asked_device(),
        saved_config=config.to_dict(),
        split=_split_of(mnist),
        parameters=count_parameters(build_model(config.architecture)),
        **_place(workers),
    )


def _place(workers: int) -> dict[str, Any]:
    """What a training computes on and with."""
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
    sizes = {name: len(getattr(mnist, name)) for name in ("train", "validation", "test")}
    return {"seed": SPLIT_SEED, **sizes, "fingerprint": split_fingerprint(mnist.validation)}


def run_label(config: TrainConfig) -> str:
    """What a run's folder is called, after its time stamp."""
    return f"{config.model}-aug" if config.augment is not None else config.model


def repeat_command(config: TrainConfig, threads: int | None = None, device: str | None = None) -> str:
    """The command that repeats a training to the bit: every option that differs from its default.

    ``threads``, which the last bits depend on, and the ``device`` that was asked for are left out if None.
    """
    words = ["python", "main.py", "train", "--model", config.model, "--recipe", config.recipe]
    words += ["--seed", str(config.seed), "--epochs", str(config.epochs)]
    words += [] if config.augment is None else ["--augment"]
    words += changed_options(config)
    words += [] if threads is None else ["--threads", str(threads)]
    return shlex.join(words if device in (None, "auto") else [*words, "--device", str(device)])


def evaluate_on(model: DigitNet, digits: Digits, compute: Compute) -> Evaluation:
    """Evaluate a network on some digits."""
    return evaluate(predict_logits(model, digits.images, compute).numpy(), digits.labels.numpy())


def load_trained(run: RunRecord, compute: Compute) -> DigitNet:
    """The trained network of an evaluated run, on ``compute``'s device and in evaluation mode.

    Raises:
        RunError, CheckpointError: as :func:`~mnist_lab.training.checkpoints.load_weights`.
    """
    weights = load_weights(run)
    model = build_model(run.config.architecture)
    model.load_state_dict(weights)
    return compute.place(model).eval()


def restore_pictures(
    run: RunRecord, test: Evaluation, digits: Digits, model: DigitNet, figures: RunFigures, warn: Callable[[str], None]
) -> list[str]:
    """Draw those figures that are missing from an evaluated run's folder, and its page; returns their names.

    ``test`` is the evaluation of its ``model`` on the test ``digits``; ``warn`` is told why a figure can't be drawn.
    """
    remove_leftovers(run.folder, older_than=3600)  # no figure takes so long to be written
    restored: list[str] = []
    for name, draw in figures.items():
        if is_file(run.folder / name) or not (run.folder / draw.needs).exists():
            continue
        try:
            history = runs.read_history(run) if name == "history.png" else []
            save_figure(run.folder / name, draw(RunData(run, history, test, digits, model)))
            restored.append(name)
        except RunError as error:
            warn(f"without {name}: {error}")
    if not restored and is_file(run.folder / REPORT_FILE):
        return []
    describe(run, figures)
    return [*restored, REPORT_FILE]


def measure_seconds_per_epoch(config: TrainConfig, mnist: Mnist, compute: Compute) -> float:
    """Seconds per epoch of this configuration on this machine, from training a network for a few batches."""
    size = min(len(mnist.train), 16 * config.batch_size)
    few = mnist.train.subset(torch.arange(size))
    network = compute.place(build_model(config.architecture))
    trainer = Trainer(network, few, mnist.validation, replace(config, epoch_size=size), compute)
    warm_up = min(4, len(trainer.loader) // 2)
    start = time.perf_counter()
    trainer.model.train()
    for number, batch in enumerate(trainer.loader.epoch(1)):
        if number == warm_up:
            compute.wait()
            start = time.perf_counter()
        trainer.step(batch.images.to(compute.device), batch.labels.to(compute.device))
    compute.wait()
    timed = size - warm_up * config.batch_size  # images
    training = (time.perf_counter() - start) * config.images_per_epoch / timed
    start = time.perf_counter()
    with suppress(TrainingError):  # it takes as long, whatever the result
        predict_logits(trainer.evaluated_model, mnist.validation.images[:1000], compute)
    return training + (time.perf_counter() - start) * len(mnist.validation) / 1000

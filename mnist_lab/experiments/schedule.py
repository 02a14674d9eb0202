"""An experiment's trainings: which of them are there already, which are to be done, and how long that will take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mnist_lab.config import NO_AUGMENTATION, TrainConfig
from mnist_lab.errors import CheckpointError, RequestError, RunError
from mnist_lab.experiments.questions import Variant
from mnist_lab.training.checkpoints import load_weights
from mnist_lab.training.history import read_history
from mnist_lab.training.runs import UNFINISHED, Run, is_being_trained, list_runs

JUDGING_SECONDS = 6.0
"""Of a training's time, what loading, judging and drawing its pictures take, about, with one thread."""


@dataclass(frozen=True)
class Task:
    """One training that an experiment needs: a variant with a seed.

    Attributes:
        number: its place.
        variant: the variant's name.
        config: with the seed.
        run: the finished run that already answers it, if there is one.
        unfinished: otherwise the folder of one that was stopped, to go on with.
    """

    number: int
    variant: str
    config: TrainConfig
    run: Run | None = None
    unfinished: Path | None = None


@dataclass(frozen=True)
class Known:
    """The runs that an outputs folder holds on the right split, newest first, by their configuration."""

    by_key: Mapping[TrainConfig, list[Run]]

    def of(self, config: TrainConfig) -> list[Run]:
        """Those of one configuration."""
        return self.by_key.get(config.canonical, [])


def plan(variants: Sequence[Variant], seeds: int, outputs: Path, fingerprint: str) -> list[Task]:
    """Every variant with every seed; seed by seed, so that whoever stops early has whole comparisons.

    Args:
        variants: of the experiment.
        seeds: how many, from 0 on.
        outputs: where finished runs are looked for.
        fingerprint: of the split; runs made on another are not comparable.
    """
    known = known_runs(outputs, fingerprint)
    tasks: list[Task] = []
    taken: set[Path] = set()
    for seed in range(seeds):
        for variant in variants:
            config = replace(variant.config, seed=seed)
            same = known.of(config)
            finished = find_finished(same)
            unfinished = None if finished else find_stopped([run for run in same if run.folder not in taken])
            if unfinished is not None:
                taken.add(unfinished)  # two variants with the same configuration can't both go on in one folder
            tasks.append(Task(len(tasks), variant.name, config, finished, unfinished))
    return tasks


def known_runs(outputs: Path, fingerprint: str) -> Known:
    """The runs made on a split, with configurations that the lab understands."""
    by_key: dict[TrainConfig, list[Run]] = {}
    for run in reversed(list_runs(outputs)[0]):
        if run.split_fingerprint == fingerprint:
            with suppress(RequestError):
                by_key.setdefault(run.config.canonical, []).append(run)
    return Known(by_key)


def find_finished(same: Sequence[Run]) -> Run | None:
    """The newest of some runs that came to its end and still has all that a comparison needs."""
    return next((run for run in same if run.status == "finished" and is_whole(run)), None)


def find_stopped(same: Sequence[Run]) -> Path | None:
    """The folder of the newest of some runs that was stopped and can go on."""
    return next((run.folder for run in same if run.status == UNFINISHED and not is_being_trained(run)), None)


def is_whole(run: Run) -> bool:
    """Whether a finished run still has its weights and its history, both sane."""
    try:
        load_weights(run)
        read_history(run)
    except (RunError, CheckpointError):
        return False
    return True


def pace_key(config: TrainConfig) -> tuple[object, ...]:
    """What the time of an epoch depends on, more or less: configurations with the same key are timed once."""
    augment = config.augment or NO_AUGMENTATION
    work = (augment.moves, augment.elastic > 0, augment.thickness > 0, augment.erases)
    network = config.architecture
    return (config.model, *work, network.batch_norm, network.hidden, config.batch_size, config.images_per_epoch)


def distinct_paces(tasks: Iterable[Task]) -> list[TrainConfig]:
    """One configuration of every pace among some tasks."""
    return list({pace_key(task.config): task.config for task in tasks}.values())


def seconds_of(config: TrainConfig, paces: Mapping[tuple[object, ...], float]) -> float:
    """How long a training will take: its epochs at the measured pace, and what comes before and after."""
    return config.epochs * paces[pace_key(config)] + JUDGING_SECONDS


def seconds_of_all(tasks: Sequence[Task], paces: Mapping[tuple[object, ...], float], at_once: int) -> float:
    """How long the trainings that are not there yet will take, so many at a time.

    The longest single one is a lower bound: it can't be divided.
    """
    durations = [seconds_of(task.config, paces) for task in tasks if task.run is None]
    return max(sum(durations) / max(1, min(at_once, len(durations))), max(durations)) if durations else 0.0

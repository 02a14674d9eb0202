"""Which trainings an experiment still needs: finished runs are used again if they are whole, stopped ones go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mnist_lab.config import NO_AUGMENTATION, AugmentConfig, TrainConfig
from mnist_lab.data.mnist import Mnist, stratified_subset
from mnist_lab.errors import RequestError
from mnist_lab.experiments.questions import EXPERIMENTS, Variant, differences
from mnist_lab.experiments.schedule import (
    JUDGING_SECONDS,
    Task,
    distinct_paces,
    pace_key,
    plan,
    seconds_of_all,
)
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model
from mnist_lab.training.checkpoints import save_tensors
from mnist_lab.training.recipes import recipes_of, told_apart
from mnist_lab.training.runs import list_runs, locked
from mnist_lab.training.trainer import Trainer
from tests.training.test_runs import make_run

SPLIT = {"fingerprint": "abc"}
SMALL = TrainConfig(model="1-layer", epochs=3)
VARIANTS = (Variant("one", SMALL), Variant("two", replace(SMALL, dropout=0.4)))


def lay(outputs: Path, name: str, config: TrainConfig = SMALL, **changes: object) -> Path:
    """A run's folder with everything that a comparison needs."""
    content = {"config": config.to_dict(), "seed": config.seed, "split": SPLIT} | changes
    folder = make_run(outputs, name, **content)
    save_tensors(folder / "model.pt", build_model("1-layer").state_dict())
    lines = ["epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds"]
    lines += [f"{epoch},0.5,0.9,0.4,0.95,0.001,1.5" for epoch in (1, 2, 3)]
    (folder / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def change(folder: Path, **changes: object) -> None:
    """Write other values into a run's run.json."""
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps(content | changes), encoding="utf-8")


def planned(outputs: Path, seeds: int = 1) -> list[Task]:
    return plan(VARIANTS, seeds, outputs, "abc")


def test_seed_by_seed_and_nothing_is_there(tmp_path: Path) -> None:
    tasks = planned(tmp_path / "nowhere", seeds=2)
    assert [(task.number, task.variant, task.config.seed) for task in tasks] == [
        (0, "one", 0),
        (1, "two", 0),
        (2, "one", 1),
        (3, "two", 1),
    ]
    assert all(task.run is None and task.unfinished is None for task in tasks)


def test_finished_runs_are_used_again(tmp_path: Path) -> None:
    lay(tmp_path, "a")
    lay(tmp_path, "b", replace(VARIANTS[1].config, seed=1))
    runs = [task.run.name if task.run else None for task in planned(tmp_path, seeds=2)]
    assert runs == ["a", None, None, "b"]


def test_the_newest_counts(tmp_path: Path) -> None:
    lay(tmp_path, "old", created="2026-11-22T10:00:00+00:00")
    lay(tmp_path, "new", created="2026-11-22T11:00:00+00:00")
    (task, _) = planned(tmp_path)
    assert task.run is not None
    assert task.run.name == "new"


@pytest.mark.parametrize("lost", ["model.pt", "history.csv"])
def test_a_folder_half_deleted_is_trained_anew(tmp_path: Path, lost: str) -> None:
    (lay(tmp_path, "a") / lost).unlink()
    assert planned(tmp_path)[0].run is None


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_model_is_trained_anew(tmp_path: Path, damage: str) -> None:
    model = lay(tmp_path, "a") / "model.pt"
    model.write_bytes(model.read_bytes()[:500] if damage == "cut" else b"not a model")
    assert planned(tmp_path)[0].run is None


def test_a_history_of_another_length_is_not_this_runs(tmp_path: Path) -> None:
    history = lay(tmp_path, "a") / "history.csv"
    history.write_text("\n".join(history.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    assert planned(tmp_path)[0].run is None


@pytest.mark.parametrize(
    "changes",
    [
        {"split": {"fingerprint": "other"}},
        {"split": None},
        {"status": "interrupted"},
        {"status": "failed"},
        {"config": {"model": "1-layer"}},
        {"config": None},
    ],
)
def test_what_does_not_answer_the_question_is_left_alone(tmp_path: Path, changes: dict[str, object]) -> None:
    change(lay(tmp_path, "a"), **changes)
    (task, _) = planned(tmp_path)
    assert task.run is None
    assert task.unfinished is None


def test_a_stopped_run_goes_on_unless_somebody_trains_it(tmp_path: Path) -> None:
    folder = lay(tmp_path, "a", status="running")
    assert planned(tmp_path)[0].unfinished == folder
    with locked(folder):
        assert planned(tmp_path)[0].unfinished is None


def test_two_variants_of_one_configuration_never_go_on_in_one_folder(tmp_path: Path) -> None:
    folder = lay(tmp_path, "a", status="running")
    twins = (Variant("one", SMALL), Variant("twin", SMALL))
    assert [task.unfinished for task in plan(twins, 1, tmp_path, "abc")] == [folder, None]


AUGMENTED = replace(SMALL, augment=AugmentConfig(), epochs=4)
PLAIN = replace(SMALL, recipe="plain")

WRITTEN_TWICE = [
    (SMALL, replace(SMALL, dropout=SMALL.architecture.dropout, hidden=SMALL.architecture.hidden)),
    (SMALL, replace(SMALL, epoch_size=SMALL.train_size)),
    (SMALL, replace(SMALL, plain_epochs=1)),
    (SMALL, replace(SMALL, patience=SMALL.epochs - 1)),
    (SMALL, replace(SMALL, augment=NO_AUGMENTATION)),
    (replace(AUGMENTED, augment=None), replace(AUGMENTED, plain_epochs=4)),
    (AUGMENTED, replace(AUGMENTED, augment=AugmentConfig(erase_area=(0.1, 0.2)))),
    (PLAIN, replace(PLAIN, weight_decay=0.5)),
]
TWO_RECIPES = [
    (SMALL, replace(SMALL, dropout=0.5)),
    (SMALL, replace(SMALL, epoch_size=SMALL.train_size + 1)),
    (SMALL, replace(SMALL, patience=SMALL.epochs - 2)),
    (SMALL, replace(SMALL, weight_decay=0.5)),
    (SMALL, replace(SMALL, learning_rate=SMALL.learning_rate + 1e-12)),
    (AUGMENTED, replace(AUGMENTED, plain_epochs=3)),
    (replace(AUGMENTED, augment=AugmentConfig(erasing=0.1)),
     replace(AUGMENTED, augment=AugmentConfig(erasing=0.1, erase_area=(0.1, 0.2)))),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), WRITTEN_TWICE)
def test_configurations_that_lead_to_the_same_network_are_equal(
    first: TrainConfig, second: TrainConfig, mnist: Mnist, compute: Compute
) -> None:
    assert first.canonical == second.canonical
    assert first.canonical.canonical == first.canonical
    assert differences([first, second]) == {}
    weights = []
    for config in (first, second):
        config = replace(config, train_size=300, epoch_size=config.epoch_size and 300)
        digits = stratified_subset(mnist.train, config.train_size)
        model = compute.place(build_model(config.architecture, config.seed))
        few = stratified_subset(mnist.validation, 100)
        weights.append(Trainer(model, digits, few, config, compute).fit().best_weights)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize(("first", "second"), TWO_RECIPES)
def test_configurations_that_differ_are_shown_to_differ(first: TrainConfig, second: TrainConfig) -> None:
    assert first.canonical != second.canonical
    ((before, after),) = differences([first, second]).values()
    assert before != after
    assert replace(first, seed=1).canonical != first.canonical


# -------------------------------------------------------------------------------------------------------- time


def test_the_time_is_that_of_the_missing_trainings() -> None:
    tasks = [Task(number, "one", replace(SMALL, seed=number)) for number in range(5)]
    paces = {pace_key(SMALL): 10.0}
    each = 3 * 10.0 + JUDGING_SECONDS
    assert seconds_of_all(tasks, paces, 1) == 5 * each
    assert seconds_of_all(tasks, paces, 2) == 5 * each / 2
    assert seconds_of_all(tasks, paces, 100) == each  # the longest can't be divided
    assert seconds_of_all([], paces, 2) == 0.0


def test_every_pace_is_measured_once() -> None:
    variants = EXPERIMENTS["depth"].variants(4)
    tasks = [Task(0, variant.name, replace(variant.config, seed=seed)) for variant in variants for seed in range(3)]
    assert [config.model for config in distinct_paces(tasks)] == ["1-layer", "2-layer", "3-layer"]


# ----------------------------------------------------------------------------------------------------- recipes


def test_runs_are_taken_together_by_recipe(tmp_path: Path) -> None:
    lay(tmp_path, "a", SMALL, created="2026-11-22T10:00:00+00:00")
    lay(tmp_path, "b", replace(SMALL, seed=1), created="2026-11-22T10:01:00+00:00")
    lay(tmp_path, "c", replace(SMALL, seed=5, learning_rate=0.1), created="2026-11-22T10:02:00+00:00")
    again = lay(tmp_path, "d", SMALL, created="2026-11-22T10:03:00+00:00")
    lay(tmp_path, "e", SMALL, created="2026-11-22T10:04:00+00:00", status="interrupted")
    recipes = recipes_of(list_runs(tmp_path)[0])
    assert [recipe.name for recipe in recipes] == ["1-layer a", "1-layer b"]
    assert [list(recipe.runs) for recipe in recipes] == [[0, 1], [5]]
    assert recipes[0].runs[0].folder == again  # the newest that is finished


def test_a_recipe_that_cannot_be_understood_is_refused(tmp_path: Path) -> None:
    change(lay(tmp_path, "a"), config={"model": "x"})
    with pytest.raises(RequestError, match="configuration can't be used"):
        recipes_of(list_runs(tmp_path)[0])


def test_only_equal_names_get_letters() -> None:
    assert told_apart(["x", "y", "x"]) == ["x a", "y", "x b"]
    assert told_apart([]) == []

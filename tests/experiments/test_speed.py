"""The steps from the common recipe to the lab's: one change each, really trained, and stopped without a trace."""

from __future__ import annotations

import io
import json
import multiprocessing
import signal
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from PIL import Image

from mnist_lab.config import default_config
from mnist_lab.data.mnist import Digits, Mnist, normalise, to_unit
from mnist_lab.experiments import speed
from mnist_lab.experiments.commands import COMMANDS
from mnist_lab.experiments.speed import (
    AUGMENTATION,
    MODEL,
    ONE_EPOCH,
    Epoch,
    Goal,
    Step,
    StepResult,
    estimate_seconds,
    evaluate_step,
    experiment_speed,
    left_out_on,
    measure,
    new_trainer,
    picture_loader,
    steps_on,
    summarise_step,
    table_of,
    time_one_epoch,
    transform_of_pictures,
    verdicts,
)
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet, build_model
from mnist_lab.terminal.console import make_console
from mnist_lab.terminal.lab import INTERRUPTED, OK
from mnist_lab.training.trainer import Progress
from tests.experiment_fixtures import make_lab

# From Python 3.12 on, starting the common recipe's loader processes beside torch's threads is remarked upon.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

CPU = torch.device("cpu")
WITH_BFLOAT16 = Compute(CPU, torch.bfloat16, "CPU with bfloat16")
FLOAT32_ONLY = Compute(CPU, None, "CPU without bfloat16")
COMMON = Step()
APPLE = Compute(torch.device("mps"), None, "Apple GPU (MPS)")


@pytest.fixture(scope="module")
def tiny(mnist: Mnist, small: Digits, small_validation: Digits) -> Mnist:
    """Some hundred digits, and no test digits at all: whoever looked at one would fail."""
    none = mnist.test.subset(torch.arange(0))
    return Mnist(small.subset(torch.arange(800)), small_validation.subset(torch.arange(200)), none)


def measured(step: Step, *epochs: tuple[float, float, float], images: int = 1000) -> StepResult:
    """From seconds of training and evaluation, and accuracies."""
    return summarise_step(step, Goal(12, 0.9933), images, [Epoch(*parts) for parts in epochs])


# ------------------------------------------------------------------------------------------------ the steps


@pytest.mark.parametrize("compute", [WITH_BFLOAT16, FLOAT32_ONLY, APPLE], ids=lambda compute: compute.name)
def test_every_step_changes_one_thing_and_keeps_the_rest(compute: Compute) -> None:
    steps = steps_on(compute)
    assert steps[0] == COMMON
    for before, after in pairwise(steps):
        changed = {part.name for part in fields(Step) if getattr(before, part.name) != getattr(after, part.name)}
        assert len(changed - {"name", "change"}) == 1
    assert len({step.name for step in steps}) == len(steps)
    assert all(step.change for step in steps)


def test_without_bfloat16_the_step_is_left_out_and_said_so() -> None:
    steps = steps_on(FLOAT32_ONLY)
    assert len(steps) == 12
    assert "bfloat16" not in {step.name for step in steps}
    assert not any(step.low_precision for step in steps)
    assert left_out_on(FLOAT32_ONLY) == ["bfloat16 is left out: this processor does not have it natively."]
    assert left_out_on(WITH_BFLOAT16) == []
    assert len(left_out_on(APPLE)) == 2


@pytest.mark.parametrize(("name", "epochs"), [("the lab's recipe", 4), ("smoother labels", 1)])
def test_the_labs_recipes_are_those_that_trainings_get(name: str, epochs: int, tiny: Mnist) -> None:
    step = {step.name: step for step in steps_on(WITH_BFLOAT16)}[name]
    usual = default_config(MODEL, augmented=True, epochs=epochs)
    assert usual.augment is not None
    assert new_trainer(step, tiny, WITH_BFLOAT16, epochs).config == replace(usual, augment=step.augmentation)
    for kind in ("rotation", "shift", "scale", "shear"):
        assert getattr(step.augmentation, kind) == getattr(usual.augment, kind) > 0
    assert not any(getattr(step.augmentation, kind) for kind in ("flip", "elastic", "thickness", "strokes", "erasing"))


def test_the_last_steps_change_one_setting_after_the_other(tiny: Mnist) -> None:
    steps = steps_on(WITH_BFLOAT16)[-6:]
    configs = [new_trainer(step, tiny, WITH_BFLOAT16, Goal().epochs_of(step)).config for step in steps]
    found = [{name for name in asdict(one) if asdict(one)[name] != asdict(two)[name]} for one, two in pairwise(configs)]
    assert found == [{"epochs"}, {"augment"}, {"learning_rate"}, {"dropout"}, {"label_smoothing"}]
    last = new_trainer(steps[-1], tiny, WITH_BFLOAT16, 1).model
    assert [layer.p for layer in last.modules() if isinstance(layer, torch.nn.Dropout)] == [0.1]


@pytest.mark.parametrize("step", steps_on(WITH_BFLOAT16), ids=lambda step: step.name)
def test_a_steps_training_is_what_the_step_says(step: Step, tiny: Mnist) -> None:
    trainer = new_trainer(step, tiny, WITH_BFLOAT16, epochs=2)
    assert (trainer.loader.loader.num_workers == 2) == (not step.batched)
    assert trainer.compute.low_precision == (torch.bfloat16 if step.low_precision else None)
    assert bool(trainer.optimizer.fused) == step.fused
    assert any(decay for _, decay in trainer.optimizer.groups) == (step.recipe == "one-cycle")
    assert isinstance(trainer.model, DigitNet)
    second = trainer.model.blocks[1].conv
    assert isinstance(second, torch.nn.Conv2d)
    assert second.weight.is_contiguous(memory_format=torch.channels_last) == step.channels_last
    assert second.weight.is_contiguous() == (not step.channels_last)
    batch = next(iter(trainer.loader.epoch(1)))
    assert batch.images.shape == (step.batch_size, 1, 28, 28)
    assert batch.labels.shape == (step.batch_size,)
    assert batch.labels.dtype == torch.int64


def test_all_steps_begin_with_the_same_weights(tiny: Mnist) -> None:
    expected = build_model(MODEL, 0).state_dict()
    for step in steps_on(WITH_BFLOAT16):
        found = new_trainer(step, tiny, WITH_BFLOAT16, epochs=1).model.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


# ------------------------------------------------------------------------------------------ the common loader


def test_plain_pictures_are_the_digits_as_the_networks_see_them(small_validation: Digits) -> None:
    digits = small_validation.subset(torch.arange(100))
    batches = list(picture_loader(digits, 64, training=False))
    assert [len(batch.labels) for batch in batches] == [64, 36]
    torch.testing.assert_close(
        torch.cat([batch.images for batch in batches]), normalise(to_unit(digits.images)), rtol=0, atol=1e-6
    )
    assert torch.equal(torch.cat([batch.labels for batch in batches]), digits.labels)


def test_the_common_chain_moves_digits_unless_all_strengths_are_zero(
    small_validation: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image.fromarray(small_validation.images[0, 0].numpy())
    plain = transform_of_pictures(augmented=False)(picture)
    moved = torch.stack([transform_of_pictures(augmented=True)(picture) for _ in range(5)])
    assert not torch.equal(moved, plain.expand_as(moved))
    monkeypatch.setattr(speed, "AUGMENTATION", AUGMENTATION.without("rotation", "affine"))
    assert torch.equal(transform_of_pictures(augmented=True)(picture), plain)


def test_evaluating_pictures_and_evaluating_from_memory_agree(tiny: Mnist) -> None:
    by_pictures = new_trainer(COMMON, tiny, FLOAT32_ONLY, epochs=1)
    from_memory = replace(COMMON, from_memory=True)
    by_pictures.train_epoch(1, lambda progress: None, lambda: False)
    assert evaluate_step(COMMON, by_pictures) == evaluate_step(from_memory, by_pictures) > 0.2
    assert evaluate_step(COMMON, by_pictures) == pytest.approx(by_pictures.validate()[1])


# ------------------------------------------------------------------------------------------------- measuring


def test_goal_limits_the_epochs_and_the_labs_recipes_to_four_or_one() -> None:
    ours, *_, last = steps_on(WITH_BFLOAT16)[-6:]
    assert [Goal(epochs).epochs_of(COMMON) for epochs in (1, 4, 12)] == [1, 4, 12]
    assert [Goal(epochs).epochs_of(ours) for epochs in (1, 4, 12)] == [1, 4, 4]
    assert [Goal(epochs).epochs_of(last) for epochs in (1, 4, 12)] == [1, 1, 1]
    assert Goal().is_reached(0.9933)
    assert not Goal().is_reached(0.99329)
    assert not ONE_EPOCH.is_reached(1.0)


def test_a_training_ends_with_the_epoch_that_reaches_the_target(tiny: Mnist) -> None:
    step = steps_on(FLOAT32_ONLY)[4]
    assert len(measure(step, tiny, FLOAT32_ONLY, Goal(epochs=3, target=0.01)).epochs) == 1
    unreachable = measure(step, tiny, FLOAT32_ONLY, Goal(epochs=2, target=1.1))
    assert len(unreachable.epochs) == 2
    assert not unreachable.reached


def test_measured_times_by_hand() -> None:
    step = measured(COMMON, (10, 2, 0.98), (5, 1, 0.99), (4, 1, 0.9933))
    assert step.seconds_per_epoch == 6
    assert step.images_per_second == 200
    assert step.reached
    assert step.seconds_to_target == 23
    missed = measured(COMMON, (10, 2, 0.98))
    assert (missed.reached, missed.seconds_to_target) == (False, None)
    seconds = {COMMON: 1.5, replace(COMMON, name="b", recipe="one-cycle"): 2.0}
    assert Goal(epochs=10).seconds(seconds) == 10 * 1.5 + 4 * 2


def test_seconds_are_estimated_even_from_fewer_digits_than_a_batch(tiny: Mnist) -> None:
    fewest = replace(tiny, train=tiny.train.subset(torch.arange(100)))
    for step in (COMMON, steps_on(FLOAT32_ONLY)[-1]):
        assert estimate_seconds(step, fewest, FLOAT32_ONLY) > 0


# ------------------------------------------------------------------------------------------------- stopping


def test_a_request_to_stop_ends_the_training_after_its_batch(mnist: Mnist, tiny: Mnist) -> None:
    many = replace(tiny, train=mnist.train.subset(torch.arange(2000)))
    reports: list[Progress] = []
    with pytest.raises(KeyboardInterrupt):
        measure(COMMON, many, FLOAT32_ONLY, ONE_EPOCH, reports.append, lambda: True)
    assert [report.images_done for report in reports] == [64]
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Every step can be taken, and an epoch of each is thought to take 11 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "compute_for", lambda lab: WITH_BFLOAT16)
        patch.setattr(speed, "estimate_seconds", lambda step, mnist, compute: 11.0)
        yield


def test_ctrl_c_ends_the_experiment_and_saves_nothing(
    tiny: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_before: list[Step] = []

    def measured_or_interrupted(step: Step, *arguments: Any) -> StepResult:
        if measured_before:
            signal.raise_signal(signal.SIGINT)
        measured_before.append(step)
        return measure(replace(step, from_memory=True, batched=True), *arguments)

    monkeypatch.setattr(speed, "measure", measured_or_interrupted)
    before = signal.getsignal(signal.SIGINT)
    lab, screen = make_lab(tmp_path)
    assert experiment_speed(lab, tiny, ONE_EPOCH) == INTERRUPTED
    shown = screen.getvalue()
    assert "Seconds per epoch" in shown
    assert "stopped; 1 of 13 steps were measured, nothing is saved" in shown
    assert signal.getsignal(signal.SIGINT) is before
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------ what is concluded


def test_verdicts_by_hand() -> None:
    steps = steps_on(FLOAT32_ONLY)
    common = measured(steps[0], (28, 2, 0.9), (28, 2, 0.9), (28, 2, 0.9933))
    middle = measured(steps[1], (13, 2, 0.95))
    ours = measured(steps[-1], (5.5, 0.5, 0.9), (5.5, 0.5, 0.9950))
    assert verdicts([common, middle, ours], 0.9933) == [
        "The lab's recipe trains 5.00 times as fast as the common one.",
        "An epoch takes 6.0 s instead of 30.0 s.",
        "The largest single saving is augmentation in batches: 15.0 s of each epoch.",
        "99.33 % of the validation digits are classified correctly: by the common recipe after 1 min 30 s (3 epochs), "
        "by the lab's after 12.0 s (2 epochs).",
    ]
    missed = verdicts([measured(COMMON, (9, 1, 0.98), (9, 1, 0.98)), ours], 0.9933)[-1]
    assert "by the common recipe not within 2 epochs, by the lab's after 12.0 s" in missed


def test_without_a_target_and_without_a_gain_only_the_times_are_told() -> None:
    pair = [measured(COMMON, (4, 1, 0.9)), measured(steps_on(FLOAT32_ONLY)[-1], (9, 1, 0.9))]
    assert verdicts(pair, None) == [
        "The lab's recipe trains 0.50 times as fast as the common one.",
        "An epoch takes 10.0 s instead of 5.0 s.",
    ]


def test_the_table_fits_into_80_columns_and_says_what_was_not_reached() -> None:
    steps = steps_on(WITH_BFLOAT16)
    slow = [(600.0, 60.0, 0.99)] * 12
    rows = [measured(step, (5, 1, 0.9933), images=54_000) for step in steps[1:]]
    rows = [measured(steps[0], *slow, images=54_000), *rows]
    console = make_console(file=io.StringIO(), width=80)
    with console.capture() as shown:
        console.print(table_of(rows, 0.9933).on_screen(gap=1))
    lines = [" ".join(line.split()) for line in shown.get().splitlines()]
    assert "common recipe 600.0 60.0 660.0 90 1.0 missed" in lines
    assert "augmentation in batches 5.0 1.0 6.0 10,800 110.0 6.0" in lines


# ------------------------------------------------------------------------------------------------- all of it


@pytest.mark.parametrize(("answer", "goal"), [("", Goal()), ("epoch", ONE_EPOCH)])
def test_the_menu_asks_how_thorough_with_the_time_it_takes(
    answer: str, goal: Goal, tiny: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Goal] = []

    def stopped(step: Step, mnist: Mnist, compute: Compute, goal: Goal, *others: Any) -> StepResult:
        asked.append(goal)
        raise KeyboardInterrupt

    monkeypatch.setattr(speed, "measure", stopped)
    lab, screen = make_lab(tmp_path, [answer, "n"])
    assert experiment_speed(lab, tiny) == OK
    assert asked == []
    shown = " ".join(screen.getvalue().split())
    assert "about 17 min at most" in shown  # 7 steps of 12 epochs, one of 4 and five of 1, 11 s each
    assert "about 2 min" in shown
    lab, _ = make_lab(tmp_path, [answer, "y"])
    assert experiment_speed(lab, tiny) == INTERRUPTED
    assert asked == [goal]


@pytest.mark.parametrize(("seconds", "answers"), [(29.0, []), (31.0, ["n"])])
def test_the_menu_times_an_epoch_without_asking_only_if_it_takes_less_than_a_minute(
    seconds: float, answers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(speed, "measure", asked)
    monkeypatch.setattr(speed, "estimate_seconds", lambda step, mnist, compute: seconds)
    row, (lab, screen) = COMMANDS["speed"], make_lab(tmp_path, answers)
    assert row.from_menu(lab) == (OK if answers else INTERRUPTED)
    assert asked.called != bool(answers)
    assert f"about {2 * seconds:.0f} s" in screen.getvalue()
    lab, screen = make_lab(tmp_path)
    assert row.from_options(lab, Namespace()) == INTERRUPTED  # a command never asks
    assert f"about {2 * seconds:.0f} s" in screen.getvalue()


@pytest.fixture(scope="module")
def conducted(tiny: Mnist, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The whole experiment with some hundred digits and one epoch: its folder, and what was shown."""
    outputs = tmp_path_factory.mktemp("outputs")
    lab, screen = make_lab(outputs)
    assert experiment_speed(lab, tiny, Goal(epochs=1, target=0.9933)) == OK
    return outputs / "2026-11-22_14-30-05_experiment-speed", screen.getvalue()


def test_every_step_really_trains(conducted: tuple[Path, str]) -> None:
    results = json.loads((conducted[0] / "results.json").read_text(encoding="utf-8"))
    steps = results["steps"]
    assert [step["name"] for step in steps] == [step.name for step in steps_on(WITH_BFLOAT16)]
    for step in steps:
        assert len(step["epochs"]) == 1
        assert step["epochs"][0]["val_accuracy"] > 0.2  # guessing gives 0.1
        assert step["seconds_per_epoch"] > 0
        assert step["reached"] is False
        assert step["seconds_to_target"] is None
    assert (results["train_size"], results["target"], results["seed"], results["left_out"]) == (800, 0.9933, 0, [])


def test_the_folder_holds_numbers_figure_and_report(conducted: tuple[Path, str]) -> None:
    folder, shown = conducted
    assert {file.name for file in folder.iterdir()} == {"results.json", "summary.json", "speed.png", "report.html"}
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["title"] == "Experiment: speed"
    assert results["question"] == "What makes training fast?"
    assert results["thumbnail"] == "speed.png"
    assert "experiment speed --epochs 1 --train-size 800 --outputs " in results["command"]
    with Image.open(folder / results["thumbnail"]) as picture:
        picture.verify()
    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in ("seed 0", "The test digits were not touched", "not within", "missed"):
        assert text in page
    assert shown.splitlines()[-1] == str(folder)
    for step in steps_on(WITH_BFLOAT16):
        assert shown.count(step.name) >= 2  # the line after its training, and the table
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_the_quick_check_times_both_recipes(tmp_path: Path) -> None:
    lab, screen = make_lab(tmp_path)
    assert time_one_epoch(lab) == OK
    shown = screen.getvalue()
    assert shown.index("common recipe") < shown.index("the lab's recipe") < shown.index("times as fast")
    assert list(tmp_path.iterdir()) == []

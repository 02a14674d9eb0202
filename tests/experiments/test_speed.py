"""The steps from the common recipe to the lab's: one change each, really trained, and stopped without a trace."""

from __future__ import annotations

import io
import json
import multiprocessing
import signal
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console

from mnist_lab.config import AugmentConfig, default_config
from mnist_lab.data.mnist import Digits, Mnist, normalise, to_unit
from mnist_lab.experiments import speed
from mnist_lab.experiments.speed import (
    AUGMENTATION,
    COMMON,
    MODEL,
    ONE_EPOCH,
    EpochTime,
    Goal,
    Measured,
    PictureLoader,
    Step,
    ask_goal,
    config_of,
    estimate_seconds,
    evaluate_step,
    left_out_on,
    measure,
    measure_speed,
    new_trainer,
    picture_loader,
    plain_transforms,
    steps_on,
    tables_of,
    time_one_epoch,
    training_transforms,
    verdicts,
)
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet, build_model
from mnist_lab.terminal.console import THEME
from mnist_lab.terminal.lab import INTERRUPTED, OK
from mnist_lab.training.trainer import Progress
from tests.experiment_fixtures import make_lab

# From Python 3.12 on, starting the common recipe's loader processes beside torch's threads is remarked upon.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

CPU = torch.device("cpu")
WITH_BFLOAT16 = Compute(CPU, torch.bfloat16, "CPU with bfloat16")
FLOAT32_ONLY = Compute(CPU, None, "CPU without bfloat16")
APPLE = Compute(torch.device("mps"), None, "Apple GPU (MPS)")


@pytest.fixture(scope="module")
def tiny(mnist: Mnist, small: Digits, small_validation: Digits) -> Mnist:
    """Some hundred digits, and no test digits at all: whoever looked at one would fail."""
    none = mnist.test.subset(torch.arange(0))
    return Mnist(small.subset(torch.arange(600)), small_validation.subset(torch.arange(200)), none)


def epoch(training: float, evaluation: float, accuracy: float = 0.9, images: int = 1000) -> EpochTime:
    return EpochTime(training, evaluation, images, accuracy)


def measured(step: Step, *epochs: EpochTime, target: float | None = 0.9933) -> Measured:
    return Measured(step, Goal(12, target), epochs)


# ------------------------------------------------------------------------------------------------ the steps


def fields_that_differ(before: Step, after: Step) -> set[str]:
    earlier, later = asdict(before), asdict(after)
    return {name for name in earlier if earlier[name] != later[name]} - {"name", "change"}


@pytest.mark.parametrize("compute", [WITH_BFLOAT16, FLOAT32_ONLY, APPLE], ids=lambda compute: compute.name)
def test_every_step_changes_one_thing_and_keeps_the_rest(compute: Compute) -> None:
    steps = steps_on(compute)
    assert steps[0] == COMMON
    for before, after in pairwise(steps):
        assert len(fields_that_differ(before, after)) == 1
    assert len({step.name for step in steps}) == len(steps)
    assert all(step.change for step in steps)


def test_without_bfloat16_the_step_is_left_out_and_said_so() -> None:
    steps = steps_on(FLOAT32_ONLY)
    assert len(steps) == 7
    assert "bfloat16" not in {step.name for step in steps}
    assert not any(step.low_precision for step in steps)
    assert left_out_on(FLOAT32_ONLY) == ("bfloat16 is left out: this processor does not have it natively.",)
    assert len(left_out_on(APPLE)) == 2


def test_the_last_step_is_the_labs_own_recipe() -> None:
    last = steps_on(WITH_BFLOAT16)[-1]
    usual = default_config(MODEL, augmented=True, epochs=4)
    assert config_of(last, 4) == replace(usual, augment=AUGMENTATION)
    assert usual.augment is not None
    for kind in ("rotation", "shift", "scale", "shear"):
        assert getattr(AUGMENTATION, kind) == getattr(usual.augment, kind) > 0
    assert not any(getattr(AUGMENTATION, kind) for kind in ("flip", "elastic", "thickness", "strokes", "erasing"))


@pytest.mark.parametrize("step", steps_on(WITH_BFLOAT16), ids=lambda step: step.name)
def test_a_steps_training_is_what_the_step_says(step: Step, tiny: Mnist) -> None:
    trainer = new_trainer(step, tiny, WITH_BFLOAT16, epochs=2)
    assert isinstance(trainer.loader, PictureLoader) == (not step.batched)
    assert trainer.compute.low_precision == (torch.bfloat16 if step.low_precision else None)
    assert all(bool(group["fused"]) == step.fused for group in trainer.optimizer.param_groups)
    assert type(trainer.optimizer).__name__ == ("AdamW" if step.recipe == "one-cycle" else "Adam")
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
    batches = list(picture_loader(digits, plain_transforms(), 64, shuffle=False))
    assert [len(batch.labels) for batch in batches] == [64, 36]
    torch.testing.assert_close(
        torch.cat([batch.images for batch in batches]), normalise(to_unit(digits.images)), rtol=0, atol=1e-6
    )
    assert torch.equal(torch.cat([batch.labels for batch in batches]), digits.labels)


def test_the_common_chain_moves_digits_unless_all_strengths_are_zero(small_validation: Digits) -> None:
    picture = Image.fromarray(small_validation.images[0, 0].numpy())
    still = AugmentConfig().without("rotation", "affine", "pen", "erasing")
    assert torch.equal(training_transforms(still)(picture), plain_transforms()(picture))
    assert not torch.equal(training_transforms(AUGMENTATION)(picture), plain_transforms()(picture))


def test_evaluating_pictures_and_evaluating_from_memory_agree(tiny: Mnist) -> None:
    by_pictures = new_trainer(COMMON, tiny, FLOAT32_ONLY, epochs=1)
    from_memory = replace(COMMON, evaluated_from_memory=True)
    by_pictures.train_epoch(1, lambda progress: None, lambda: False)
    assert evaluate_step(COMMON, by_pictures) == evaluate_step(from_memory, by_pictures) > 0.2
    assert evaluate_step(COMMON, by_pictures) == pytest.approx(by_pictures.validate()[1])


# ------------------------------------------------------------------------------------------------- measuring


def test_goal_limits_the_epochs_and_the_one_cycle_recipe_to_four() -> None:
    ours = steps_on(WITH_BFLOAT16)[-1]
    assert [Goal(epochs).epochs_of(COMMON) for epochs in (1, 4, 12)] == [1, 4, 12]
    assert [Goal(epochs).epochs_of(ours) for epochs in (1, 4, 12)] == [1, 4, 4]
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
    step = measured(COMMON, epoch(10, 2, 0.98), epoch(5, 1, 0.99), epoch(4, 1, 0.9933))
    assert step.seconds_per_epoch == 6
    assert step.images_per_second == 200
    assert step.reached
    assert step.seconds == 23
    assert not measured(COMMON, epoch(10, 2, 0.98)).reached
    assert not measured(COMMON, epoch(10, 2, 1.0), target=None).reached
    paces = {COMMON: 1.5, replace(COMMON, name="b", recipe="one-cycle"): 2.0}
    assert Goal(epochs=10).seconds(paces) == 10 * 1.5 + 4 * 2


def test_a_pace_is_estimated_even_from_fewer_digits_than_a_batch(tiny: Mnist) -> None:
    fewest = replace(tiny, train=tiny.train.subset(torch.arange(100)))
    for step in (COMMON, steps_on(FLOAT32_ONLY)[-1]):
        assert estimate_seconds(step, fewest, FLOAT32_ONLY) > 0


# ------------------------------------------------------------------------------------------------- stopping


def test_a_request_to_stop_ends_the_training_after_its_batch(mnist: Mnist, tiny: Mnist) -> None:
    many = replace(tiny, train=mnist.train.subset(torch.arange(2000)))
    reports: list[Progress] = []
    with pytest.raises(KeyboardInterrupt):
        measure(COMMON, many, FLOAT32_ONLY, ONE_EPOCH, on_progress=reports.append, stop_requested=lambda: True)
    assert [report.images_done for report in reports] == [64]
    assert multiprocessing.active_children() == []


SECONDS = dict.fromkeys(steps_on(WITH_BFLOAT16), 11.0)


@pytest.fixture
def with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "compute_for", lambda lab: WITH_BFLOAT16)


def test_ctrl_c_ends_the_experiment_and_saves_nothing(
    tiny: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_bfloat16: None
) -> None:
    measured_before: list[Step] = []

    def measured_or_interrupted(step: Step, *arguments: Any, **options: Any) -> Measured:
        if measured_before:
            signal.raise_signal(signal.SIGINT)
        measured_before.append(step)
        return measure(replace(step, evaluated_from_memory=True, batched=True), *arguments, **options)

    monkeypatch.setattr(speed, "measure", measured_or_interrupted)
    before = signal.getsignal(signal.SIGINT)
    lab, screen = make_lab(tmp_path)
    assert measure_speed(lab, tiny, SECONDS, ONE_EPOCH) == INTERRUPTED
    shown = screen.getvalue()
    assert "Seconds of one epoch" in shown
    assert "stopped; 1 of 8 steps were measured, nothing is saved" in shown
    assert signal.getsignal(signal.SIGINT) is before
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------ what is concluded


def test_verdicts_by_hand() -> None:
    steps = steps_on(FLOAT32_ONLY)
    common = measured(steps[0], epoch(28, 2), epoch(28, 2), epoch(28, 2, 0.9933))
    middle = measured(steps[1], epoch(13, 2, 0.95))
    ours = measured(steps[-1], epoch(5.5, 0.5), epoch(5.5, 0.5, 0.9950))
    assert verdicts([common, middle, ours]) == [
        "From the common recipe to the lab's: 30.0 s an epoch to 6.0 s, 5.0 times as fast.",
        "The largest single saving is augmentation in batches: 15.0 s of each epoch.",
        "The lab's recipe reads 99.33 % of the validation digits after 12.0 s (2 epochs) "
        "instead of 1 min 30 s (3 epochs): 7.5 times as soon.",
    ]


REACHED, MISSED = epoch(9, 1, 0.995), epoch(9, 1, 0.98)


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        ([REACHED], [REACHED], "after 10.0 s (1 epoch) instead of 10.0 s (1 epoch): no sooner."),
        ([MISSED, MISSED], [REACHED], "after 10.0 s (1 epoch); the common recipe does not within 20.0 s (2 epochs)."),
        ([REACHED], [MISSED], "after 10.0 s (1 epoch); the lab's does not within 10.0 s (1 epoch)."),
        ([MISSED], [MISSED], "the common one not within 10.0 s (1 epoch), the lab's not within 10.0 s (1 epoch)."),
    ],
)
def test_verdict_about_the_target(first: list[EpochTime], last: list[EpochTime], sentence: str) -> None:
    ours = steps_on(FLOAT32_ONLY)[-1]
    assert verdicts([measured(COMMON, *first), measured(ours, *last)])[-1].endswith(sentence)


def test_without_a_target_and_without_a_gain_only_the_times_are_told() -> None:
    ours = steps_on(FLOAT32_ONLY)[-1]
    pair = [measured(COMMON, epoch(4, 1), target=None), measured(ours, epoch(9, 1), target=None)]
    assert verdicts(pair) == ["From the common recipe to the lab's: 5.0 s an epoch to 10.0 s, 0.50 times as fast."]


def test_tables_fit_into_80_columns_and_say_what_was_not_reached() -> None:
    steps = steps_on(WITH_BFLOAT16)
    slow = [epoch(600, 60, 0.99, 54_000)] * 12
    rows = [measured(steps[0], *slow), *(measured(step, epoch(5, 1, 0.9933, 54_000)) for step in steps[1:])]
    console = Console(file=io.StringIO(), width=80, theme=THEME)
    with console.capture() as shown:
        console.print(*(table.on_screen(gap=1) for table in tables_of(rows)))
    lines = [" ".join(line.split()) for line in shown.get().splitlines()]
    assert "common recipe 600.0 60.0 660.0 90 1.0" in lines
    assert "augmentation in batches 5.0 1.0 6.0 10,800 110.0" in lines
    assert "common recipe not reached > 12" in lines
    assert "augmentation in batches 6.0 s 1" in lines


# ------------------------------------------------------------------------------------------------- all of it


@pytest.mark.parametrize("answer", [("", Goal()), ("epoch", ONE_EPOCH)])
def test_the_menu_asks_how_thorough_with_the_time_it_takes(answer: tuple[str, Goal], tmp_path: Path) -> None:
    lab, screen = make_lab(tmp_path, [answer[0]])
    assert ask_goal(lab, SECONDS) == answer[1]
    shown = screen.getvalue()
    assert "about 16 min at most" in shown  # 7 steps of 12 epochs and one of 4, 11 s each
    assert "about 88 s" in shown


@pytest.fixture(scope="module")
def conducted(tiny: Mnist, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The whole experiment with some hundred digits and one epoch: its folder, and what was shown."""
    outputs = tmp_path_factory.mktemp("outputs")
    lab, screen = make_lab(outputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "compute_for", lambda lab: WITH_BFLOAT16)
        assert measure_speed(lab, tiny, SECONDS, Goal(epochs=1, target=0.9933)) == OK
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
    assert (results["train_size"], results["target"], results["seed"], results["left_out"]) == (600, 0.9933, 0, [])


def test_the_folder_holds_numbers_figure_and_report(conducted: tuple[Path, str]) -> None:
    folder, shown = conducted
    assert {file.name for file in folder.iterdir()} == {"results.json", "summary.json", "speed.png", "report.html"}
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["title"] == "Experiment: speed"
    assert results["question"] == "What makes training fast?"
    assert results["thumbnail"] == "speed.png"
    assert "experiment speed --epochs 1 --train-size 600 --outputs " in results["command"]
    with Image.open(folder / results["thumbnail"]) as picture:
        picture.verify()
    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in ("seed 0", "the test digits were not touched", "not within", "not reached"):
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

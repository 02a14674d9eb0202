"""The training loop, by short real trainings on real digits."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from mnist_lab.config import Architecture, AugmentConfig, TrainConfig
from mnist_lab.data.mnist import Digits
from mnist_lab.errors import TrainingError
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.inference import predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.training.history import EpochRecord
from mnist_lab.training.trainer import (
    Criterion,
    EarlyStopping,
    Outcome,
    Progress,
    Trainer,
    WeightAverage,
    build_optimizer,
)

SHORT = TrainConfig(model="2-layer", augment=AugmentConfig(erasing=0.3), epochs=3, batch_size=64, seed=3)
FROZEN = TrainConfig(recipe="plain", learning_rate=0.0, label_smoothing=0.0, average_decay=0.0, epochs=10, patience=3)


def trainer_for(config: TrainConfig, small: Digits, validation: Digits, compute: Compute) -> Trainer:
    model = compute.place(build_model(config.model, config.seed))
    return Trainer(model, small, validation, config, compute)


def bare_trainer(config: TrainConfig, small: Digits, validation: Digits, compute: Compute) -> Trainer:
    """Of a network in which nothing moves but by gradient descent: no batch norm statistics, no dropout."""
    model = compute.place(build_model(Architecture(filters=(8,), dropout=0.0, batch_norm=False)))
    return Trainer(model, small, validation, config, compute)


def assert_same_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_it_learns(small: Digits, small_validation: Digits, compute: Compute) -> None:
    outcome = trainer_for(replace(SHORT, epochs=5), small, small_validation, compute).fit()
    assert len(outcome.history) == 5
    assert outcome.stop_reason == "last epoch"
    assert outcome.history[-1].val_accuracy > 0.9
    assert outcome.history[-1].train_loss < outcome.history[0].train_loss


def test_the_same_seed_gives_the_same_bits(small: Digits, small_validation: Digits, compute: Compute) -> None:
    first, again, other = (
        trainer_for(replace(SHORT, seed=seed), small, small_validation, compute).fit() for seed in (3, 3, 4)
    )
    assert_same_weights(first.best_weights, again.best_weights)
    timeless = [[replace(record, seconds=0.0) for record in outcome.history] for outcome in (first, again)]
    assert timeless[0] == timeless[1]
    assert not torch.equal(first.best_weights["classifier.4.weight"], other.best_weights["classifier.4.weight"])


def test_loader_processes_do_not_change_the_outcome(small: Digits, small_validation: Digits, compute: Compute) -> None:
    config = replace(SHORT, epochs=2)
    alone = trainer_for(config, small, small_validation, compute).fit()
    model = compute.place(build_model(config.model, config.seed))
    helped = Trainer(model, small, small_validation, config, compute, workers=2, start_method="spawn").fit()
    assert_same_weights(alone.best_weights, helped.best_weights)


@pytest.mark.parametrize("recipe", ["one-cycle", "plain"])
def test_a_restored_state_goes_on_to_the_same_bits(
    recipe: Any, small: Digits, small_validation: Digits, compute: Compute
) -> None:
    config = replace(SHORT, recipe=recipe, epochs=4)
    kept = io.BytesIO()
    whole = trainer_for(config, small, small_validation, compute)

    def keep(record: EpochRecord, is_best: bool) -> None:
        if record.epoch == 2:
            torch.save(whole.state(), kept)

    expected = whole.fit(on_epoch=keep)
    kept.seek(0)
    resumed = trainer_for(config, small, small_validation, compute)
    resumed.restore(torch.load(kept, weights_only=True))
    found = resumed.fit()
    assert_same_weights(found.best_weights, expected.best_weights)
    assert [replace(r, seconds=0.0) for r in found.history] == [replace(r, seconds=0.0) for r in expected.history]


def test_a_frozen_network_runs_out_of_patience(small: Digits, small_validation: Digits, compute: Compute) -> None:
    outcome = bare_trainer(FROZEN, small, small_validation, compute).fit()
    assert outcome.stop_reason == "patience"
    assert outcome.best_epoch == 1
    assert len(outcome.history) == 1 + FROZEN.patience
    assert len({record.val_loss for record in outcome.history}) == 1


def test_losses_are_weighted_by_batch_size(small: Digits, small_validation: Digits, compute: Compute) -> None:
    config = replace(FROZEN, epochs=1, batch_size=300)  # three batches of 300 and one of 100
    trainer = bare_trainer(config, small, small_validation, compute)
    (record,) = trainer.fit().history
    logits = predict_logits(trainer.model, small.images, compute)
    assert record.train_loss == pytest.approx(float(F.cross_entropy(logits, small.labels)), rel=2e-3)
    assert record.train_accuracy == pytest.approx(float((logits.argmax(1) == small.labels).float().mean()), abs=0.003)


def test_the_best_weights_are_a_copy_that_later_steps_leave_alone(
    small: Digits, small_validation: Digits, compute: Compute
) -> None:
    trainer = trainer_for(replace(SHORT, average_decay=0.0), small, small_validation, compute)
    after_first: dict[str, Tensor] = {}

    def remember(record: EpochRecord, is_best: bool) -> None:
        if record.epoch == 1:
            after_first.update({name: value.clone() for name, value in trainer.best_weights.items()})
            trainer.stopping.best_loss = -1.0  # nothing that follows can be better

    outcome = trainer.fit(on_epoch=remember)
    assert outcome.best_epoch == 1
    assert_same_weights(outcome.best_weights, after_first)
    assert not torch.equal(trainer.model.state_dict()["classifier.4.weight"], after_first["classifier.4.weight"])


def test_the_best_weights_are_those_of_the_lowest_validation_loss(
    small: Digits, small_validation: Digits, compute: Compute
) -> None:
    trainer = trainer_for(replace(SHORT, epochs=6, learning_rate=0.02), small, small_validation, compute)
    outcome = trainer.fit()
    best = min(outcome.history, key=lambda record: record.val_loss)
    assert outcome.best_epoch == best.epoch
    trainer.model.load_state_dict(outcome.best_weights)
    logits = predict_logits(trainer.model, small_validation.images, compute)
    smoothed = F.cross_entropy(logits, small_validation.labels, label_smoothing=trainer.config.label_smoothing)
    assert float(smoothed) - trainer.criterion.floor == pytest.approx(best.val_loss, rel=1e-5)


def fit_until(batches: int, trainer: Trainer) -> Outcome:
    asked = iter(range(1, 10_000))
    return trainer.fit(stop_requested=lambda: next(asked) >= batches)


def test_an_interruption_drops_the_unfinished_epoch(small: Digits, small_validation: Digits, compute: Compute) -> None:
    outcome = fit_until(20, trainer_for(SHORT, small, small_validation, compute))  # 16 batches make an epoch
    assert outcome.stop_reason == "interrupted"
    assert len(outcome.history) == 1
    whole = trainer_for(SHORT, small, small_validation, compute)
    first: dict[str, Tensor] = {}
    whole.fit(on_epoch=lambda record, best: first.update(whole.best_weights) if record.epoch == 1 else None)
    assert_same_weights(outcome.best_weights, first)


def test_an_interrupted_first_epoch_is_judged_as_far_as_it_came(
    small: Digits, small_validation: Digits, compute: Compute
) -> None:
    trainer = trainer_for(SHORT, small, small_validation, compute)
    outcome = fit_until(5, trainer)
    assert not trainer.is_between_epochs  # nobody may resume from here
    assert outcome.images_seen == 5 * SHORT.batch_size
    assert outcome.stop_reason == "interrupted"
    assert len(outcome.history) == 1
    assert outcome.best_weights


def test_an_exploding_loss_ends_in_one_clear_line(small: Digits, small_validation: Digits, compute: Compute) -> None:
    config = replace(SHORT, recipe="plain", learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"the training loss became (nan|inf) in epoch 1.*smaller --learning-rate"):
        trainer_for(config, small, small_validation, compute).fit()


def test_weights_that_are_no_numbers_are_never_kept(small: Digits, small_validation: Digits, compute: Compute) -> None:
    trainer = trainer_for(replace(SHORT, average_decay=0.0), small, small_validation, compute)

    def spoil(progress: Progress) -> None:
        """A variance that became infinite in passing: all answers stay finite."""
        if progress.images_done == len(small):
            trainer.model.get_buffer("blocks.0.norm.running_var").fill_(float("inf"))

    with pytest.raises(TrainingError, match="weights are no longer finite numbers in epoch 1"):
        trainer.fit(on_progress=spoil)


def test_progress_counts_up_to_the_whole_epoch(small: Digits, small_validation: Digits, compute: Compute) -> None:
    reports: list[Progress] = []
    trainer_for(replace(SHORT, batch_size=20), small, small_validation, compute).fit(on_progress=reports.append)
    assert [report.epoch for report in reports] == sorted(report.epoch for report in reports)
    assert reports[-1].images_done == reports[-1].images_per_epoch == 1000
    assert reports[-1].seconds_left == 0
    assert all(report.images_per_second > 0 for report in reports)
    assert all(report.seconds_left > 0 for report in reports[:-1])


def test_the_last_epochs_can_be_left_unaugmented(small: Digits, small_validation: Digits, compute: Compute) -> None:
    seen: list[Tensor] = []
    trainer = trainer_for(replace(SHORT, epochs=2, plain_epochs=1), small, small_validation, compute)
    trainer.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    trainer.fit()
    per_epoch = len(trainer.loader)
    plain = {tuple(row) for row in torch.cat(seen[per_epoch:]).flatten(1).tolist()}
    augmented = {tuple(row) for row in torch.cat(seen[:per_epoch]).flatten(1).tolist()}
    from mnist_lab.data.pixels import normalise, to_unit

    originals = {tuple(row) for row in normalise(to_unit(small.images)).flatten(1).tolist()}
    assert plain == originals
    assert not augmented & originals


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.3])
def test_the_criterion_is_zero_for_a_perfect_answer_and_has_the_gradient_of_cross_entropy(smoothing: float) -> None:
    criterion, labels = Criterion(smoothing), torch.arange(10)
    perfect = torch.full((10, 10), smoothing / 10 or 1e-30).fill_diagonal_(1 - 0.9 * smoothing).log()
    assert float(criterion(perfect, labels)) == pytest.approx(0.0, abs=1e-6)
    logits = torch.randn(10, 10, requires_grad=True)
    assert float(criterion(logits.detach(), labels)) > 0
    (found,) = torch.autograd.grad(criterion(logits, labels), logits)
    (expected,) = torch.autograd.grad(F.cross_entropy(logits, labels, label_smoothing=smoothing), logits)
    assert torch.equal(found, expected)


def test_early_stopping_is_pure_state() -> None:
    stopping = EarlyStopping(patience=2)
    answers = [stopping.update(epoch, loss) for epoch, loss in enumerate([1.0, 0.5, 0.5, 0.4, 0.6], start=1)]
    assert answers == [True, True, False, True, False]
    assert (stopping.best_epoch, stopping.best_loss, stopping.exhausted) == (4, 0.4, False)
    stopping.update(6, 0.41)
    assert stopping.exhausted


def test_the_weight_average_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, decay=0.25)
    expected, weight = 0.0, 0.0
    for step in range(1, 6):
        weight = float(step)
        with torch.no_grad():
            model.weight.fill_(weight)
        average.update()
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    assert average.model.state_dict()["weight"].item() == pytest.approx(expected)
    assert model.weight.item() == 5.0


def test_the_recipes_are_what_they_are_called(compute: Compute) -> None:
    model = build_model("1-layer")
    adamw, schedule = build_optimizer(model, TrainConfig(learning_rate=0.01), 100, compute)
    rates = []
    for _ in range(100):
        rates.append(adamw.param_groups[0]["lr"])
        adamw.step()
        schedule.step()
    assert isinstance(adamw, AdamW)
    assert max(rates) == pytest.approx(0.01)
    assert rates.index(max(rates)) == pytest.approx(30, abs=1)
    assert rates[0] < 0.001
    assert rates[-1] < 1e-4
    assert {p.ndim > 1 for p in adamw.param_groups[0]["params"]} == {True}
    assert adamw.param_groups[1]["weight_decay"] == 0.0

    plain, constant = build_optimizer(model, TrainConfig(recipe="plain", learning_rate=0.001), 100, compute)
    assert isinstance(plain, Adam)
    assert not isinstance(plain, AdamW)
    for _ in range(5):
        plain.step()
        constant.step()
        assert plain.param_groups[0]["lr"] == 0.001

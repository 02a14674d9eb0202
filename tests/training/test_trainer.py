"""The training loop, by short real trainings on real digits."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from mnist_lab.config import Architecture, AugmentConfig, TrainConfig
from mnist_lab.data.loader import with_random_labels
from mnist_lab.data.mnist import Digits, Mnist, normalise, stratified_subset, to_unit
from mnist_lab.errors import TrainingError
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.training import optimizer
from mnist_lab.training.checkpoints import agrees, digest_of
from mnist_lab.training.runs import EpochRecord
from mnist_lab.training.trainer import (
    EMA,
    Criterion,
    EarlyStopping,
    Outcome,
    Progress,
    Trainer,
    one_cycle,
)
from tests.processes import run_python

SHORT = TrainConfig(model="2-layer", hidden=32, augment=AugmentConfig(erasing=0.3), epochs=3, batch_size=50, seed=3)
FROZEN = TrainConfig(recipe="plain", learning_rate=0.0, label_smoothing=0.0, average_decay=0.0, epochs=10, patience=3)


@pytest.fixture(scope="module")
def few(mnist: Mnist) -> Digits:
    """500 digits: ten batches of 50."""
    return stratified_subset(mnist.train, 500)


@pytest.fixture(scope="module")
def validation(mnist: Mnist) -> Digits:
    return stratified_subset(mnist.validation, 300)


@pytest.fixture
def trainer(few: Digits, validation: Digits, compute: Compute) -> Trainer:
    return trainer_for(SHORT, few, validation, compute)


def trainer_for(config: TrainConfig, few: Digits, validation: Digits, compute: Compute, workers: int = 0) -> Trainer:
    model = compute.place(build_model(config.architecture, config.seed))
    return Trainer(model, few, validation, config, compute, workers)


def bare_trainer(config: TrainConfig, few: Digits, validation: Digits, compute: Compute) -> Trainer:
    """Of a network in which nothing moves but by gradient descent: no batch norm statistics, no dropout."""
    model = compute.place(build_model(Architecture(filters=(8,), dropout=0.0, batch_norm=False)))
    return Trainer(model, few, validation, config, compute)


def assert_same_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def timeless(outcome: Outcome) -> list[EpochRecord]:
    return [replace(record, seconds=0.0) for record in outcome.history]


def resumed_from(kept: io.BytesIO, trainer: Trainer, expected: Outcome) -> Outcome:
    """A training that goes on from a saved state to the same end as an uninterrupted one."""
    kept.seek(0)
    trainer.restore(torch.load(kept, weights_only=True))
    found = trainer.fit()
    assert_same_weights(found.best_weights, expected.best_weights)
    assert torch.equal(found.best_logits, expected.best_logits)
    assert timeless(found) == timeless(expected)
    return found


@pytest.mark.parametrize("recipe", ["one-cycle", "plain"])
def test_the_same_seed_gives_the_same_bits_also_after_a_stop(
    recipe: Any, few: Digits, validation: Digits, compute: Compute
) -> None:
    config = replace(SHORT, recipe=recipe, epochs=3)
    kept = io.BytesIO()
    whole = trainer_for(config, few, validation, compute)

    def keep(record: EpochRecord, is_best: bool) -> None:
        if record.epoch == 2:
            with torch.no_grad():  # so that the EMA and the best weights are not the same
                whole.evaluated_model.get_parameter("classifier.4.bias").add_(1.0)
            torch.save(whole.state(), kept)

    expected = whole.fit(on_epoch=keep)
    found = resumed_from(kept, trainer_for(config, few, validation, compute), expected)
    other = trainer_for(replace(config, seed=4, epochs=1), few, validation, compute).fit()
    assert not torch.equal(found.best_weights["classifier.4.weight"], other.best_weights["classifier.4.weight"])


def test_it_learns_and_keeps_the_weights_of_the_lowest_validation_loss(
    few: Digits, validation: Digits, compute: Compute
) -> None:
    trainer = trainer_for(replace(SHORT, epochs=6, learning_rate=0.01), few, validation, compute)
    outcome = trainer.fit()
    assert (len(outcome.history), outcome.stop_reason, outcome.images_seen) == (6, "last epoch", 3000)
    assert outcome.history[-1].val_accuracy > 0.9
    assert outcome.history[-1].train_loss < outcome.history[0].train_loss
    best = min(outcome.history, key=lambda record: record.val_loss)
    assert outcome.best_epoch == best.epoch
    trainer.model.load_state_dict(outcome.best_weights)
    logits = predict_logits(trainer.model, validation.images, compute)
    smoothed = F.cross_entropy(logits, validation.labels, label_smoothing=0.05)
    floor = -(0.955 * math.log(0.955) + 9 * 0.005 * math.log(0.005))
    assert float(smoothed) - floor == pytest.approx(best.val_loss, rel=1e-5)
    assert float((logits.argmax(1) == validation.labels).float().mean()) == pytest.approx(best.val_accuracy)


def test_training_digits_are_evaluated_where_they_are_few_and_no_weight_notices(
    mnist: Mnist, few: Digits, validation: Digits, compute: Compute
) -> None:
    larger = stratified_subset(mnist.validation, 600)  # the 500 training digits are no more than that
    last: list[dict[str, Tensor]] = []
    for held_out in (validation, larger):
        trainer = trainer_for(SHORT, few, held_out, compute)
        outcome = trainer.fit()
        last.append({name: value.clone() for name, value in trainer.evaluated_model.state_dict().items()})
    assert_same_weights(*last)
    assert outcome.history[-1].fit_loss is not None
    logits = predict_logits(trainer.evaluated_model, few.images, compute)  # plain, in evaluation mode
    assert outcome.history[-1].fit_right == pytest.approx(float((logits.argmax(1) == few.labels).float().mean()))
    assert outcome.history[-1].fit_wrong is None
    expected = F.cross_entropy(logits, few.labels, label_smoothing=0.05) + math.fsum(
        share * math.log(share) for share in [0.955] + [0.005] * 9
    )
    assert outcome.history[-1].fit_loss == pytest.approx(float(expected), rel=1e-5)
    assert trainer_for(SHORT, few, validation, compute)._fit() == ()


def test_random_labels_are_trained_on_and_go_on_after_a_stop(mnist: Mnist, few: Digits, compute: Compute) -> None:
    held_out, labels = stratified_subset(mnist.validation, 600), few.labels.clone()
    config = replace(SHORT, random_labels=0.5, augment=None, dropout=0.0, recipe="plain", epochs=12, patience=12)
    config = replace(config, average_decay=0.0, label_smoothing=0.0, learning_rate=2e-3)
    whole, kept = trainer_for(config, few, held_out, compute), io.BytesIO()

    def keep(record: EpochRecord, is_best: bool) -> None:
        if record.epoch == 6:
            torch.save(whole.state(), kept)

    expected, resumed = whole.fit(on_epoch=keep), trainer_for(config, few, held_out, compute)
    found = resumed_from(kept, resumed, expected)
    assert torch.equal(few.labels, labels)
    assert torch.equal(whole.validation.labels, held_out.labels)
    rights, wrongs = ([getattr(r, column) for r in found.history] for column in ("fit_right", "fit_wrong"))
    assert all(right > wrong for right, wrong in zip(rights[:4], wrongs[:4], strict=True))  # the right come first
    assert wrongs[-1] > 0.9  # then all are known by heart
    given = with_random_labels(few, 0.5, config.seed).labels
    answers = predict_logits(resumed.model, few.images, compute).argmax(1)
    is_wrong = given != labels
    assert float((answers == given)[is_wrong].float().mean()) == pytest.approx(wrongs[-1])
    assert float((answers == given)[~is_wrong].float().mean()) == pytest.approx(rights[-1])


@pytest.mark.integration
def test_workers_do_not_change_the_outcome(few: Digits, validation: Digits, compute: Compute) -> None:
    config = replace(SHORT, epochs=2)
    alone, helped = (trainer_for(config, few, validation, compute, workers).fit() for workers in (0, 2))
    assert_same_weights(alone.best_weights, helped.best_weights)
    assert timeless(alone) == timeless(helped)


def test_a_frozen_network_runs_out_of_patience(few: Digits, validation: Digits, compute: Compute) -> None:
    outcome = bare_trainer(FROZEN, few, validation, compute).fit()
    assert outcome.stop_reason == "patience"
    assert outcome.best_epoch == 1
    assert len(outcome.history) == 1 + FROZEN.patience
    assert len({record.val_loss for record in outcome.history}) == 1


def test_losses_are_weighted_by_batch_size(few: Digits, validation: Digits, compute: Compute) -> None:
    config = replace(FROZEN, epochs=1, batch_size=150)  # three batches of 150 and one of 50
    trainer = bare_trainer(config, few, validation, compute)
    (record,) = trainer.fit().history
    logits = predict_logits(trainer.model, few.images, compute)
    assert record.train_loss == pytest.approx(float(F.cross_entropy(logits, few.labels)), rel=2e-3)
    assert record.train_accuracy == pytest.approx(float((logits.argmax(1) == few.labels).float().mean()), abs=0.003)


def test_the_best_weights_are_a_copy_that_later_steps_leave_alone(
    few: Digits, validation: Digits, compute: Compute
) -> None:
    trainer = trainer_for(replace(SHORT, average_decay=0.0), few, validation, compute)
    after_first: dict[str, Tensor] = {}
    kept = io.BytesIO()

    def remember(record: EpochRecord, is_best: bool) -> None:
        if record.epoch == 1:
            torch.save(trainer.state(), kept)
            after_first.update({name: value.clone() for name, value in trainer.best_weights.items()})
            trainer.stopping.best_loss = -1.0  # nothing that follows can be better

    outcome = trainer.fit(on_epoch=remember)
    assert outcome.best_epoch == 1
    assert_same_weights(outcome.best_weights, after_first)
    best = build_model(trainer.config.architecture)
    best.load_state_dict(outcome.best_weights)
    theirs = predict_logits(compute.place(best), validation.images, compute)
    resumed = trainer_for(trainer.config, few, validation, compute)
    resumed.restore(torch.load(io.BytesIO(kept.getvalue()), weights_only=True))
    resumed.stopping.best_loss = -1.0
    assert torch.equal(outcome.best_logits, theirs)
    assert torch.equal(resumed.fit().best_logits, theirs)
    assert not torch.equal(trainer.model.state_dict()["classifier.4.weight"], after_first["classifier.4.weight"])


def fit_until(batches: int, trainer: Trainer) -> Outcome:
    asked = iter(range(1, 10_000))
    return trainer.fit(stop_requested=lambda: next(asked) >= batches)


def test_an_interruption_drops_the_unfinished_epoch(few: Digits, validation: Digits, compute: Compute) -> None:
    outcome = fit_until(15, trainer_for(SHORT, few, validation, compute))  # ten batches make an epoch
    assert (outcome.stop_reason, len(outcome.history), outcome.images_seen) == ("interrupted", 1, 500)
    whole = trainer_for(SHORT, few, validation, compute)
    first: dict[str, Tensor] = {}
    whole.fit(on_epoch=lambda record, best: first.update(whole.best_weights) if record.epoch == 1 else None)
    assert_same_weights(outcome.best_weights, first)


def test_an_interrupted_first_epoch_is_evaluated_as_far_as_it_came(trainer: Trainer) -> None:
    outcome = fit_until(5, trainer)
    assert not trainer.is_between_epochs  # nobody may resume from here
    assert (outcome.stop_reason, len(outcome.history), outcome.images_seen) == ("interrupted", 1, 250)
    assert outcome.best_weights


def test_an_exploding_loss_ends_in_one_clear_line(few: Digits, validation: Digits, compute: Compute) -> None:
    config = replace(SHORT, recipe="plain", learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"the training loss became (nan|inf) in epoch 1.*smaller --learning-rate"):
        trainer_for(config, few, validation, compute).fit()


def test_weights_that_are_not_numbers_are_never_kept(few: Digits, validation: Digits, compute: Compute) -> None:
    trainer = trainer_for(replace(SHORT, average_decay=0.0), few, validation, compute)

    def spoil(progress: Progress) -> None:
        """A variance that became infinite in passing: all answers stay finite."""
        if progress.images_done == len(few):
            trainer.model.get_buffer("blocks.0.norm.running_var").fill_(float("inf"))

    with pytest.raises(TrainingError, match="weights are no longer finite numbers in epoch 1"):
        trainer.fit(on_progress=spoil)


def test_progress_counts_up_to_the_whole_epoch(few: Digits, validation: Digits, compute: Compute) -> None:
    reports: list[Progress] = []
    trainer = trainer_for(replace(SHORT, batch_size=20, epochs=1), few, validation, compute)
    (record,) = trainer.fit(on_progress=reports.append).history
    assert (reports[-1].loss, reports[-1].accuracy) == (record.train_loss, record.train_accuracy)
    assert all(0 < report.loss < 5 and 0 <= report.accuracy <= 1 for report in reports)
    assert [report.epoch for report in reports] == sorted(report.epoch for report in reports)
    assert reports[-1].images_done == reports[-1].images_per_epoch == 500
    assert reports[-1].seconds_left == 0
    assert all(report.images_per_second > 0 for report in reports)
    assert all(report.seconds_left > 0 for report in reports[:-1])


def test_the_last_epochs_can_be_left_unaugmented(few: Digits, validation: Digits, compute: Compute) -> None:
    seen: list[Tensor] = []
    trainer = trainer_for(replace(SHORT, epochs=2, plain_epochs=1), few, validation, compute)
    trainer.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    trainer.fit()
    per_epoch = len(trainer.loader)
    plain = {tuple(row) for row in torch.cat(seen[per_epoch:]).flatten(1).tolist()}
    augmented = {tuple(row) for row in torch.cat(seen[:per_epoch]).flatten(1).tolist()}
    originals = {tuple(row) for row in normalise(to_unit(few.images)).flatten(1).tolist()}
    assert plain == originals
    assert not augmented & originals


def test_every_epoch_drops_other_activations(trainer: Trainer) -> None:
    seeds: dict[int, int] = {}
    trainer.fit(on_progress=lambda progress: seeds.update({progress.epoch: torch.initial_seed()}))
    assert len(set(seeds.values())) == len(seeds) == SHORT.epochs


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


@pytest.mark.parametrize(
    ("losses", "best", "stops_after"),
    [
        ([1.0, 0.5, 0.5, 0.4, 0.6, 0.41], 4, 6),  # an equal loss is no better
        ([1.0, 1.1, 0.9, 1.0, 0.95], 3, 5),
        ([0.3, 0.4, 0.5], 1, 3),
        ([0.5, 0.4, 0.3, 0.2], 4, None),
    ],
)
def test_early_stopping_ends_after_two_epochs_without_a_better_loss(
    losses: list[float], best: int, stops_after: int | None
) -> None:
    stopping = EarlyStopping(patience=2)
    stops: int | None = None
    for epoch, loss in enumerate(losses, start=1):
        assert stopping.update(epoch, loss) == (loss < min(losses[: epoch - 1], default=math.inf))
        if stopping.exhausted and stops is None:
            stops = epoch
    assert (stopping.best_epoch, stopping.best_loss, stops) == (best, min(losses), stops_after)


def test_the_ema_is_its_closed_form() -> None:
    """After n steps the trained weight of step k counts (1 - d_k) times all later d; the first weight, all of them."""
    model = nn.BatchNorm1d(1)
    values = [5.0, 1.0, -2.0, 3.0, 8.0, 0.5, 4.0]
    model.weight.data.fill_(values[0])
    ema = EMA(model, decay=0.3)
    for step, value in enumerate(values[1:]):
        ema.weigh(step)
        model.weight.data.fill_(value)
        model.get_buffer("running_var").fill_(value)
        model.get_buffer("num_batches_tracked").fill_(int(value))
        ema.update()
    decays = [min(0.3, (1 + step) / (10 + step)) for step in range(1, len(values))]
    assert decays[0] < decays[1] < 0.3 == decays[-1]
    parts = [1.0, *(1 - decay for decay in decays)]
    factors = [part * math.prod(decays[step:]) for step, part in enumerate(parts)]
    assert sum(factors) == pytest.approx(1)
    found = ema.model.state_dict()
    assert found["weight"].item() == pytest.approx(sum(f * v for f, v in zip(factors, values, strict=True)))
    assert found["running_var"].item() == pytest.approx(
        sum(f * v for f, v in zip(factors, [1, *values[1:]], strict=True))
    )
    assert found["num_batches_tracked"].item() == 4  # a counter is copied
    assert model.weight.item() == 4.0


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 100])
def test_one_cycle_is_that_of_torch(steps: int) -> None:
    optimizer = SGD([torch.zeros(1, requires_grad=True)])
    schedule, rates = OneCycleLR(optimizer, 0.01, total_steps=steps, cycle_momentum=False), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    rates.append(optimizer.param_groups[0]["lr"])
    assert [one_cycle(step, steps, 0.01) for step in range(steps + 1)] == pytest.approx(rates, rel=1e-12)


@pytest.mark.parametrize("recipe", ["one-cycle", "plain"])
def test_the_optimiser_is_that_of_torch_to_the_bit(recipe: Any, few: Digits, compute: Compute) -> None:
    own, usual = (compute.place(build_model("2-layer")) for _ in range(2))
    layers, others = ([each for each in usual.parameters() if (each.ndim > 1) == many] for many in (True, False))
    groups = [{"params": layers, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    theirs = AdamW(groups, fused=True) if recipe == "one-cycle" else Adam(usual.parameters(), fused=True)
    ours = optimizer.AdamW(own, 0.05 if recipe == "one-cycle" else None, compute.device)
    for rate in (0.001, 0.01, 0.004):
        ours.set_rate(rate)
        for group in theirs.param_groups:
            group["lr"] = rate
        for model, step in ((own, ours.step), (usual, theirs.step)):
            model.zero_grad()
            torch.manual_seed(0)  # of the dropout
            model(normalise(to_unit(few.images[:50]))).square().sum().backward()
            step()
    assert_same_weights(own.state_dict(), usual.state_dict())
    saved = theirs.state_dict()  # as earlier versions of the lab kept it
    assert digest_of(ours.state_dict()["state"]) == digest_of(saved["state"])
    assert agrees(saved["param_groups"], ours.state_dict()["param_groups"])
    again = optimizer.AdamW(own, 0.05 if recipe == "one-cycle" else None, compute.device)
    again.restore(saved, 3)
    assert digest_of(again.state_dict()) == digest_of(ours.state_dict())


def test_an_optimiser_does_not_load_the_compiler() -> None:
    lines = (
        "import sys, torch",
        "from mnist_lab.networks.models import build_model",
        "from mnist_lab.training.optimizer import AdamW",
        "model = build_model('1-layer')",
        "model(torch.ones(2, 1, 28, 28)).sum().backward()",
        "AdamW(model, 0.1, torch.device('cpu')).step()",
        "print('torch._dynamo' in sys.modules)",
    )
    assert run_python("\n".join(lines)) == "False\n"


def test_the_plain_recipe_is_adam_at_a_constant_rate(few: Digits, validation: Digits, compute: Compute) -> None:
    config = TrainConfig(recipe="plain", learning_rate=0.001)
    trainer = trainer_for(config, few, validation, compute)
    assert [decay for _, decay in trainer.optimizer.groups] == [0.0]
    assert [trainer.rate_of(step) for step in (0, 50, 10**6)] == [0.001] * 3

"""The one training loop: every network, recipe and experiment of the lab goes through it.

It knows neither the console nor the disk. Its state can be saved after any epoch, and restored later in another process
without changing the outcome by a bit.

Measured with ``python main.py train --model MODEL [--augment] --seed S``, seeds 0 to 4, and ``runs --by-recipe``, on
two cores of an AMD EPYC, 2.6 GHz, with Python 3.11.7 and torch 2.14.1 in bfloat16; mean and standard deviation, n = 5::

    network               epochs   10,000 test digits   training
    1-layer               4        99.044 ± 0.028 %     15 s
    2-layer               16       99.410 ± 0.031 %     103 s
    3-layer               16       99.544 ± 0.046 %     149 s
    3-layer, augmented    16       99.664 ± 0.038 %     160 s
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lab.config import CLASSES, TrainConfig
from mnist_lab.data.loader import TrainLoader, derive_seed, with_random_labels
from mnist_lab.data.mnist import Digits
from mnist_lab.errors import TrainingError
from mnist_lab.networks.compute import Compute, Replayed, predict_logits
from mnist_lab.training.checkpoints import agrees, checked_weights, digest_of
from mnist_lab.training.optimizer import AdamW
from mnist_lab.training.runs import EpochRecord, StopReason, check_history, require

_REPORT_EVERY = 16  # batches; each report waits for the device once, to read the loss


@dataclass(frozen=True)
class Progress:
    """Where the training stands, for a progress display; means and rates are of this epoch so far."""

    epoch: int
    epochs: int
    images_done: int  # in this epoch
    images_per_epoch: int
    images_per_second: float
    loss: float  # in nats per digit
    accuracy: float  # a fraction

    @property
    def seconds_left(self) -> float:
        """For the whole training, at this rate, if nothing stops it early."""
        return (self.images_per_epoch * (self.epochs - self.epoch + 1) - self.images_done) / self.images_per_second


@dataclass(frozen=True)
class Outcome:
    """What a training ends with."""

    history: list[EpochRecord]
    stop_reason: StopReason
    best_epoch: int
    best_weights: dict[str, Tensor]  # copies on the CPU
    best_logits: Tensor  # (N, 10) theirs, for the validation digits
    images_seen: int  # in training; an interrupted first epoch counts as far as it got


class Criterion:
    """The loss that training minimises, and by which the best epoch is chosen.

    Cross-entropy with smoothed labels (Szegedy et al. 2016, arXiv:1512.00567), less the smallest value that it can
    take: a perfect network scores 0 with and without smoothing, and the gradient stays the same.
    """

    def __init__(self, smoothing: float) -> None:
        self.smoothing, spread = smoothing, smoothing / CLASSES
        targets = [1 - smoothing + spread] + [spread] * (CLASSES - 1)
        self.floor = -sum(target * math.log(target) for target in targets if target > 0)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of logits (B, 10) for labels (B,), in nats per digit."""
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing) - self.floor


class EarlyStopping:
    """Remembers the best validation loss and tells when to stop: pure state."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best_loss, self.best_epoch, self.last_epoch = math.inf, 0, 0

    def update(self, epoch: int, loss: float) -> bool:
        """Take an epoch's validation loss; True if it is the best so far."""
        self.last_epoch = epoch
        is_best = loss < self.best_loss
        if is_best:
            self.best_loss, self.best_epoch = loss, epoch
        return is_best

    @property
    def exhausted(self) -> bool:
        """Whether none of the last ``patience`` epochs improved the loss."""
        return self.last_epoch - self.best_epoch >= self.patience


class EMA:
    """A second network that follows the trained one: the exponential moving average of its weights.

    It smooths out the last steps' noise (Polyak & Juditsky 1992). Its memory starts short and grows to ``decay``, so
    that the random initial weights are forgotten even within one epoch.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model)
        self.pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        self.weight = torch.ones((), device=self.pairs[0][0].device)  # of the trained network in the next update

    def weigh(self, step: int) -> None:
        """Set the weight for a step, from 0."""
        self.weight.fill_(1 - min(self.decay, (2 + step) / (11 + step)))

    @torch.no_grad()
    def update(self) -> None:
        """Move every averaged weight, and every batch norm statistic, a little towards the trained one's."""
        for average, current in self.pairs:
            if average.is_floating_point():
                average.lerp_(current, self.weight)
            else:  # batch norm's counter of batches
                average.copy_(current)


def one_cycle(step: int, steps: int, peak: float) -> float:
    """The learning rate of a step, from 0: it rises to its peak over the first 30 % of them, then falls to almost zero.

    Both along cosines (Smith & Topin 2018, arXiv:1708.07120), from a 25th of the peak to a 250,000th of it.
    """
    top, last = 0.3 * steps - 1, steps - 1
    if step <= top:
        start, end, place = peak / 25, peak, step / top
    else:
        start, end, place = peak, peak / 25e4, (step - top) / (last - top)
    return end + (start - end) / 2 * (1 + math.cos(math.pi * place))


class Trainer:
    """One training, from its first batch to its best weights, chosen on ``validation``, which is never augmented.

    The ``model`` is on ``compute``'s device already, and trained in place; ``workers`` processes load data. Where there
    are no more training digits than validation digits, those are evaluated after every epoch as well.
    """

    def __init__(
        self,
        model: nn.Module,
        train_digits: Digits,
        validation: Digits,
        config: TrainConfig,
        compute: Compute,
        workers: int = 0,
    ) -> None:
        self.model, self.validation, self.config, self.compute = model, validation, config, compute
        self.images_per_epoch = config.epoch_size or len(train_digits)
        self.digits = with_random_labels(train_digits, config.random_labels, config.seed)
        self.is_wrong = self.digits.labels != train_digits.labels  # (N,)
        self.loader = TrainLoader(
            self.digits,
            config.augment,
            batch_size=config.batch_size,
            seed=config.seed,
            epoch_size=config.epoch_size,
            workers=workers,
            device=compute.device,
        )
        decay = None if config.recipe == "plain" else config.weight_decay
        self.optimizer = AdamW(model, decay, compute.device)
        self.ema = EMA(model, config.average_decay)
        self.steps = 0  # that are done
        self.descend = Replayed(self._descend, compute.device) if compute.device.type == "cuda" else self._descend
        self.criterion = Criterion(config.label_smoothing)
        self.stopping = EarlyStopping(config.patience)
        self.history: list[EpochRecord] = []
        self.best_weights: dict[str, Tensor] = {}
        self.best_logits = torch.empty(0, CLASSES)
        self.images_seen = 0
        # Told after each batch, and with the validation digits' logits after each epoch: digits seen in all epochs.
        self.on_batch: Callable[[int], object] = lambda seen: None
        self.on_validated: Callable[[int, Tensor], object] = lambda seen, logits: None
        self.is_between_epochs = True  # only then does the state lead to the same end as an uninterrupted training

    def fit(
        self,
        *,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_epoch: Callable[[EpochRecord, bool], None] = lambda record, is_best: None,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Train until the last epoch, until patience runs out, or until asked to stop.

        ``on_progress`` is called every few batches, ``on_epoch`` after every epoch with its record and whether it is
        the best so far. ``stop_requested`` is asked after every batch; the epoch under way is then dropped, unless it
        is the first: that one is evaluated as far as it got.

        Raises:
            TrainingError: a loss or a weight became infinite or not a number.
        """
        while self.is_between_epochs and len(self.history) < self.config.epochs and not self.stopping.exhausted:
            epoch, start = len(self.history) + 1, time.perf_counter()
            train_loss, train_accuracy, seen = self.train_epoch(epoch, on_progress, stop_requested)
            self.is_between_epochs = seen == self.images_per_epoch
            if not self.is_between_epochs and self.history:
                break
            (val_loss, val_accuracy, logits), fit = self.validate(), self._fit()
            self._require_finite(math.isfinite(val_loss), f"validation loss became {val_loss}", epoch)
            rate, seconds = self.rate_of(self.steps), time.perf_counter() - start
            record = EpochRecord(epoch, train_loss, train_accuracy, val_loss, val_accuracy, rate, seconds, *fit)
            self.history.append(record)
            self.images_seen += seen
            self.on_validated(self.images_seen, logits)
            is_best = self.stopping.update(epoch, val_loss)
            if is_best:
                self.best_weights, self.best_logits = self.copy_weights(), logits
                is_finite = all(weight.isfinite().all() for weight in self.best_weights.values())
                self._require_finite(is_finite, "weights are no longer finite numbers", epoch)
            on_epoch(record, is_best)
        reason: StopReason = "patience" if len(self.history) < self.config.epochs else "last epoch"
        if not self.is_between_epochs:
            reason = "interrupted"
        best = self.stopping.best_epoch, self.best_weights, self.best_logits
        return Outcome(list(self.history), reason, *best, self.images_seen)

    def train_epoch(
        self, epoch: int, on_progress: Callable[[Progress], None], stop_requested: Callable[[], bool]
    ) -> tuple[float, float, int]:
        """Train for one epoch, or until asked to stop; returns mean loss, accuracy, and the number of digits seen."""
        torch.manual_seed(derive_seed(self.config.seed, epoch, "dropout"))
        augmented = epoch <= self.config.epochs - self.config.plain_epochs
        self.model.train()
        sums = torch.zeros(2, device=self.compute.device)
        loss_sum, correct = sums
        seen, start = 0, time.perf_counter()
        for number, batch in enumerate(self.loader.epoch(epoch, augmented=augmented), start=1):
            images = batch.images.to(self.compute.device, non_blocking=True)  # (B, 1, 28, 28)
            labels = batch.labels.to(self.compute.device, non_blocking=True)  # (B,)
            logits, loss = self.step(images, labels)  # (B, 10), ()
            loss_sum += loss * len(labels)
            correct += (logits.argmax(dim=1) == labels).sum()
            seen += len(labels)
            self.on_batch((epoch - 1) * self.images_per_epoch + seen)
            stop = stop_requested()
            if number % _REPORT_EVERY == 0 or number == len(self.loader) or stop:
                mean_loss, accuracy = (total / seen for total in sums.tolist())
                self._require_finite(math.isfinite(mean_loss), f"training loss became {mean_loss}", epoch)
                rate = seen / max(time.perf_counter() - start, 1e-9)
                on_progress(Progress(epoch, self.config.epochs, seen, self.images_per_epoch, rate, mean_loss, accuracy))
            if stop:
                break
        return mean_loss, accuracy, seen

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step of gradient descent; returns logits (B, 10) and mean loss, detached."""
        self.optimizer.set_rate(self.rate_of(self.steps))
        self.ema.weigh(self.steps)
        self.steps += 1
        return self.descend(images, labels)

    def rate_of(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        if self.config.recipe == "plain":
            return self.config.learning_rate
        return one_cycle(step, len(self.loader) * self.config.epochs, self.config.learning_rate)

    def _descend(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with self.compute.autocast():
            logits: Tensor = self.model(images)
        logits = logits.float()
        loss = self.criterion(logits, labels)
        self.model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.config.average_decay > 0:
            self.ema.update()
        return logits.detach(), loss.detach()

    @property
    def evaluated_model(self) -> nn.Module:
        """The network that is validated and kept: the EMA, or without one the trained network itself."""
        return self.ema.model if self.config.average_decay > 0 else self.model

    def copy_weights(self) -> dict[str, Tensor]:
        """The evaluated network's weights as they are now, on the CPU: a state_dict() would follow the later steps."""
        return {name: value.detach().cpu().clone() for name, value in self.evaluated_model.state_dict().items()}

    def validate(self) -> tuple[float, float, Tensor]:
        """Mean loss and accuracy of the evaluated network on the N validation digits, and its logits (N, 10)."""
        loss, logits = self._evaluate(self.validation)
        return loss, float((logits.argmax(dim=1) == self.validation.labels).float().mean()), logits

    def _evaluate(self, digits: Digits) -> tuple[float, Tensor]:
        """The mean loss on some digits, and their logits (N, 10)."""
        logits = predict_logits(self.evaluated_model, digits.images, self.compute)
        return float(self.criterion(logits, digits.labels)), logits

    def _fit(self) -> tuple[float | None, ...]:
        """The loss on the training digits, and how many of them, rightly and wrongly labelled, get their label."""
        if len(self.digits) > len(self.validation):  # it would take as long as a good part of the training
            return ()
        loss, logits = self._evaluate(self.digits)
        answered = logits.argmax(dim=1) == self.digits.labels
        parts = (answered[which] for which in (~self.is_wrong, self.is_wrong))
        return loss, *(float(part.float().mean()) if len(part) else None for part in parts)

    def _require_finite(self, is_finite: bool, otherwise: str, epoch: int) -> None:
        if not is_finite:
            where = f"in epoch {epoch} at a learning rate of {self.config.learning_rate:g}"
            raise TrainingError(f"the {otherwise} {where}", "train again with a smaller --learning-rate")

    def state(self) -> dict[str, Any]:
        """All that the rest of the training depends on, in tensors and plain values; taken between two epochs."""
        state = {
            "config": self.config.to_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.ema.model.state_dict(),
            "history": [asdict(record) for record in self.history],
            "best_weights": self.best_weights,
        }
        return state | {"digest": digest_of(state)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state taken by :meth:`state` from a training with the same configuration.

        The state is not trusted. Its tensors and its history are checked and taken over; all else follows from the
        configuration and has to agree with what was saved.

        Raises:
            Exception: the state is damaged, or belongs to another training; the trainer can't be used any more.
        """
        self.history = [EpochRecord(**record) for record in state["history"]]
        check_history(self.history)
        for record in self.history:
            require(not self.stopping.exhausted and record.epoch <= self.config.epochs, "it has too many epochs")
            self.stopping.update(record.epoch, record.val_loss)
            rate = self.rate_of(len(self.loader) * record.epoch)
            require(agrees(record.learning_rate, rate), "its learning rates are not those of its schedule")
        self.images_seen = self.images_per_epoch * len(self.history)
        self.steps = len(self.loader) * len(self.history)
        self.optimizer.restore(state["optimizer"], self.steps)
        self.best_weights = checked_weights(state["best_weights"], self.model.state_dict())
        self.evaluated_model.load_state_dict(self.best_weights)  # only to see whether they are as good as saved
        loss, _, self.best_logits = self.validate()
        # On another device the same weights give a slightly different loss.
        same = math.isclose(loss, self.stopping.best_loss, rel_tol=0.05, abs_tol=1e-3)
        require(same, "its best weights are not those of its best epoch")
        for model, name in ((self.model, "model"), (self.ema.model, "average")):
            model.load_state_dict(checked_weights(state[name], model.state_dict()))
        if "digest" in state:  # earlier versions of the lab saved none
            require(TrainConfig.from_dict(state["config"]) == self.config, "it was made with another configuration")
            saved = {name: value for name, value in state.items() if name != "digest"}
            require(state["digest"] == digest_of(saved), "it was changed after it was saved")

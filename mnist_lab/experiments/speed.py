"""What makes training fast: from the common recipe to the lab's in steps that change one thing each.

The common recipe is the one of most tutorials: every image is turned into a PIL picture and transformed alone, in a
``DataLoader`` with two workers, in batches of 64, with Adam at a constant rate, in float32; the validation digits go
through the same kind of loader after the epoch.

All steps train the same network from the same weights, with the same strengths of rotation, shift, scale and shear:
of the lab's augmentations these are the ones that the common recipe has too. All go through the one training loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision import transforms

from mnist_lab.config import MILD_AUGMENTATION, AugmentConfig, Recipe, TrainConfig, default_config
from mnist_lab.data.loader import Batch, TrainLoader, leave_interrupts_to_the_main_process
from mnist_lab.data.mnist import Digits, Mnist
from mnist_lab.data.pixels import MEAN, STD
from mnist_lab.networks.compute import BATCH_SIZE, Compute, predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.training.trainer import Progress, Trainer

MODEL = "3-layer"
SEED = 0
COMMON_BATCH_SIZE, COMMON_WORKERS = 64, 2
TARGET = 0.9933  # validation accuracy, a fraction, that the steps train up to
MOST_EPOCHS_TO_TARGET = 12  # after which a step that has not reached the target gives up
ONE_CYCLE_EPOCHS = 4  # the one-cycle recipe has to know its number of epochs beforehand
WARM_UP, TIMED = 8, 24  # batches before and during an estimate: the first ones also set up kernels and fill the queue

AUGMENTATION = replace(MILD_AUGMENTATION.without("pen", "erasing"), flip=0.0)
"""What all steps augment with: the lab's for short trainings, as far as PIL pictures can be transformed like that."""


# --- the steps ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One way of training; the defaults are the common recipe."""

    name: str
    change: str  # what is new against the step before, in words
    batched: bool = False  # whole batches are augmented in this process; otherwise PIL pictures one by one in workers
    evaluated_from_memory: bool = False  # the validation digits; otherwise through a loader of PIL pictures
    fused: bool = False  # one kernel updates all weights; otherwise one tensor after the other on a CPU
    channels_last: bool = False  # memory layout of the convolutions
    low_precision: bool = False  # 16 bits where the device has them natively; otherwise float32
    batch_size: int = COMMON_BATCH_SIZE
    recipe: Recipe = "plain"


COMMON = Step(
    "common recipe",
    f"PIL pictures transformed one by one in {COMMON_WORKERS} workers, batches of {COMMON_BATCH_SIZE}, "
    "Adam at a constant rate, float32",
)


class Change(NamedTuple):
    """What turns one step into the next."""

    name: str
    explanation: str
    values: Mapping[str, Any]  # fields of Step; one, so that one thing changes at a time
    is_possible: Callable[[Compute], bool] = lambda compute: True
    otherwise: str = ""  # what to say where it is not


CHANGES = (
    Change("augmentation in batches", "a whole batch is turned, shifted and slanted at once; no pictures, no workers",
           {"batched": True}),
    Change("evaluation from memory",
           f"the validation digits are evaluated {BATCH_SIZE} at a time as they lie in memory, not as PIL pictures",
           {"evaluated_from_memory": True}),
    Change("Adam in one kernel", "one call updates all weights, not a dozen calls for each of the network's tensors",
           {"fused": True}, lambda compute: compute.device.type != "mps",
           "Adam in one kernel is left out: not every release of torch has it for Apple's GPU."),
    Change("channels last", "all channels of a pixel lie side by side in memory, as convolutions prefer",
           {"channels_last": True}, lambda compute: compute.channels_last,
           "channels last is left out: with it, this release of torch computes wrong gradients on this device."),
    Change("bfloat16", "convolutions and matrix products in 16 bits, which the processor has natively",
           {"low_precision": True}, lambda compute: compute.low_precision is not None,
           "bfloat16 is left out: this processor does not have it natively."),
    Change("batches of 128", "twice as many digits in each step, half as many steps",
           {"batch_size": TrainConfig.batch_size}),
    Change("the lab's recipe",
           "AdamW, a rate that rises and falls, smoothed labels, an EMA of the weights: a little more to do in each "
           "epoch, for fewer epochs", {"recipe": "one-cycle"}),
)  # fmt: skip


def steps_on(compute: Compute) -> tuple[Step, ...]:
    """The steps that a device can take, from the common recipe to the lab's, each with one change more."""
    steps = [COMMON]
    for change in CHANGES:
        if change.is_possible(compute):
            steps.append(replace(steps[-1], name=change.name, change=change.explanation, **change.values))
    return tuple(steps)


def left_out_on(compute: Compute) -> tuple[str, ...]:
    """A sentence for each step that a device can't take."""
    return tuple(change.otherwise for change in CHANGES if not change.is_possible(compute))


# --- measuring ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """How long every step trains."""

    epochs: int = MOST_EPOCHS_TO_TARGET  # at most; the one-cycle recipe is planned for ONE_CYCLE_EPOCHS if that is less
    target: float | None = TARGET  # the validation accuracy that ends a training; None to train all epochs

    def epochs_of(self, step: Step) -> int:
        """How many epochs a step trains at most."""
        return min(self.epochs, ONE_CYCLE_EPOCHS) if step.recipe == "one-cycle" else self.epochs

    def seconds(self, per_epoch: Mapping[Step, float]) -> float:
        """That some steps take at most, given the seconds of an epoch of each."""
        return sum(self.epochs_of(step) * seconds for step, seconds in per_epoch.items())

    def is_reached(self, accuracy: float) -> bool:
        """Whether a validation accuracy ends the training."""
        return self.target is not None and accuracy >= self.target


@dataclass(frozen=True)
class EpochTime:
    """Seconds of one epoch, training and evaluating the validation digits, and the accuracy reached, a fraction."""

    training: float
    evaluation: float
    images_trained: int
    accuracy: float

    @property
    def total(self) -> float:
        """Training and evaluation."""
        return self.training + self.evaluation


@dataclass(frozen=True)
class Measured:
    """A step's epochs, at least one; the last one is the one that reached the target, if any did."""

    step: Step
    goal: Goal
    epochs: tuple[EpochTime, ...]

    @property
    def seconds_per_epoch(self) -> float:
        """Training and evaluation: the median, so that one disturbed epoch does not count."""
        return median(epoch.total for epoch in self.epochs)

    @property
    def images_per_second(self) -> float:
        """Training images per second of training, the median of the epochs."""
        return median(epoch.images_trained / epoch.training for epoch in self.epochs)

    @property
    def seconds(self) -> float:
        """All epochs together."""
        return sum(epoch.total for epoch in self.epochs)

    @property
    def reached(self) -> bool:
        """Whether the last epoch reached the target."""
        return self.goal.is_reached(self.epochs[-1].accuracy)


def measure(
    step: Step,
    mnist: Mnist,
    compute: Compute,
    goal: Goal,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Measured:
    """Train one step's way until the goal is reached; the test digits are left alone.

    Raises:
        KeyboardInterrupt: it was asked to stop (``stop_requested``, after every batch), and the batch is done.
        TrainingError: the loss became infinite or not a number.
    """
    trainer = new_trainer(step, mnist, compute, goal.epochs_of(step))
    epochs: list[EpochTime] = []
    while len(epochs) < goal.epochs_of(step) and not (epochs and goal.is_reached(epochs[-1].accuracy)):
        start = time.perf_counter()
        _, _, seen = trainer.train_epoch(len(epochs) + 1, on_progress, stop_requested)
        trained = time.perf_counter()
        accuracy = 0.0 if stop_requested() else evaluate_step(step, trainer)
        if stop_requested():
            raise KeyboardInterrupt
        epochs.append(EpochTime(trained - start, time.perf_counter() - trained, seen, accuracy))
    return Measured(step, goal, tuple(epochs))


def estimate_seconds(step: Step, mnist: Mnist, compute: Compute) -> float:
    """About how long an epoch will take, by training a few batches; the network trained for it is thrown away."""
    digits = min(len(mnist.train), step.batch_size * (WARM_UP + TIMED))
    some = mnist.train.subset(torch.arange(digits))
    trainer = new_trainer(step, replace(mnist, train=some), compute, epochs=1)
    warm_up = min(WARM_UP, len(trainer.loader) // 2)
    start, timed = 0.0, 0
    trainer.model.train()
    for number, batch in enumerate(trainer.loader.epoch(1)):
        if number == warm_up:
            start = time.perf_counter()
        trainer.step(batch.images.to(trainer.compute.device), batch.labels.to(trainer.compute.device))
        timed += len(batch.labels) if number >= warm_up else 0
    trained = time.perf_counter()
    evaluate_step(step, trainer)
    return (trained - start) * len(mnist.train) / timed + time.perf_counter() - trained


def new_trainer(step: Step, mnist: Mnist, compute: Compute, epochs: int) -> Trainer:
    """A training that goes a step's way, before its first batch."""
    precision = compute.low_precision if step.low_precision else None
    used = replace(compute, low_precision=precision, channels_last=step.channels_last)
    config = config_of(step, epochs)
    trainer = Trainer(used.place(build_model(MODEL, config.seed)), mnist.train, mnist.validation, config, used)
    if not step.batched:
        trainer.loader = PictureLoader(mnist.train, config)
    if not step.fused:
        for group in trainer.optimizer.param_groups:
            group["fused"] = None  # the default of torch.optim.Adam
    return trainer


def config_of(step: Step, epochs: int) -> TrainConfig:
    """A step's training as a configuration, as far as one can describe it."""
    usual = default_config(MODEL, augmented=True, recipe=step.recipe, epochs=epochs)
    return replace(usual, augment=AUGMENTATION, batch_size=step.batch_size, seed=SEED)


@torch.no_grad()
def evaluate_step(step: Step, trainer: Trainer) -> float:
    """Accuracy on the validation digits, a fraction."""
    digits, network, compute = trainer.validation, trainer.evaluated_model, trainer.compute
    if step.evaluated_from_memory:
        predictions = predict_logits(network, digits.images, compute).argmax(dim=1)  # (N,)
        return int((predictions == digits.labels).sum()) / len(digits)
    network.eval()
    correct = 0
    for images, labels in picture_loader(digits, plain_transforms(), step.batch_size, shuffle=False):
        with compute.autocast():
            predictions = network(images.to(compute.device)).argmax(dim=1).cpu()
        correct += int((predictions == labels).sum())
    return correct / len(digits)


# --- the common recipe -------------------------------------------------------------------------------------------


class PictureLoader(TrainLoader):
    """The common loader in the place of the lab's: sample by sample, in two workers."""

    def __init__(self, digits: Digits, config: TrainConfig) -> None:
        super().__init__(digits, config.augment, batch_size=config.batch_size, seed=config.seed)
        transform = training_transforms(config.augment or AUGMENTATION)
        self.loader = picture_loader(digits, transform, config.batch_size, shuffle=True)


class _Pictures(Dataset[tuple[Tensor, int]]):
    def __init__(self, digits: Digits, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images = digits.images.squeeze(1).numpy()  # (N, 28, 28)
        self.labels = digits.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[position])), self.labels[position]


def training_transforms(strength: AugmentConfig) -> transforms.Compose:
    """The common chain, with torchvision's defaults: two resamplings of the picture, then the tensor."""
    shift, scale = (strength.shift, strength.shift), (1 - strength.scale, 1 + strength.scale)
    affine = transforms.RandomAffine(0, translate=shift, scale=scale, shear=strength.shear)
    return transforms.Compose([transforms.RandomRotation(strength.rotation), affine, plain_transforms()])


def plain_transforms() -> transforms.Compose:
    """Picture to normalised tensor."""
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize([MEAN], [STD])])


def picture_loader(
    digits: Digits, transform: Callable[[Image.Image], Tensor], batch_size: int, *, shuffle: bool
) -> DataLoader[Batch]:
    """Pictures one by one from two workers, put together to batches; the workers end with the loop over the loader."""
    pictures: Dataset[Any] = _Pictures(digits, transform)
    return DataLoader(
        pictures,
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=COMMON_WORKERS,
        collate_fn=_as_batch,
        worker_init_fn=leave_interrupts_to_the_main_process,
    )


def _as_batch(samples: list[tuple[Tensor, int]]) -> Batch:
    return Batch(*default_collate(samples))

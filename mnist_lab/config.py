"""What a run is made with: frozen dataclasses, saved with the result, and enough to repeat it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from textwrap import shorten
from typing import Any, Literal

from mnist_lab.errors import RequestError

Recipe = Literal["one-cycle", "plain"]
RECIPES: tuple[Recipe, ...] = ("one-cycle", "plain")

CLASSES = 10
"""The digits 0 to 9."""

MOST_WORKERS, MOST_THREADS, MOST_EPOCHS, MOST_SEED, MOST_HIDDEN = 64, 1024, 10_000, 2**31 - 1, 4096
"""The largest values that may be asked for."""

TRAIN_DIGITS = 54_000
"""Digits to train on, once a tenth of MNIST's 60,000 is set apart for validation."""


@dataclass(frozen=True)
class Architecture:
    """One of the three networks: a 3x3 convolution per entry of ``filters``, then a classifier with a hidden layer."""

    filters: tuple[int, ...]  # output channels of each convolution
    dropout: float  # share of the hidden activations dropped in training
    batch_norm: bool = True
    hidden: int = 128  # units between the feature maps and the ten logits


ARCHITECTURES = {
    "1-layer": Architecture(filters=(32,), dropout=0.0),
    "2-layer": Architecture(filters=(32, 64), dropout=0.2),
    "3-layer": Architecture(filters=(32, 64, 128), dropout=0.3, hidden=256),
}


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths of the random transformations. Zero switches that one off.

    The defaults were chosen on the validation split (README, "How the recipes were chosen").
    """

    rotation: float = 10.0  # degrees, drawn from -rotation..+rotation; far beyond that, a 6 turns into a 9
    shift: float = 0.07  # fraction of the side, each axis; MNIST is centred by mass, so a little is plenty
    scale: float = 0.10  # fraction: sizes from 1 - scale to 1 + scale
    shear: float = 8.0  # degrees; people's handwriting differs in its slant more than in anything else
    flip: float = 0.0  # chance that a digit is mirrored; no digit but 0, 1 and 8 stays one, so only a bad idea needs it
    elastic: float = 0.0  # fraction of the side: standard deviation of smooth random bends
    thickness: float = 0.0  # 0 to 1: how far towards a pixel bolder or finer on each side a pen may be
    strokes: float = 0.02  # chance that a 0 is slashed; a 1 gets flag or base, a 7 is crossed more rarely
    erasing: float = 0.0  # chance that an image loses one rectangle
    erase_area: tuple[float, float] = (
        0.02,
        0.10,
    )  # fraction of the image that the rectangle covers, from..to

    @property
    def moves(self) -> bool:
        """Whether anything is on that needs resampling."""
        moving = (self.rotation, self.shift, self.scale, self.shear, self.flip, self.elastic, self.strokes)
        return any(strength > 0 for strength in moving)

    @property
    def erases(self) -> bool:
        """Whether erasing is on."""
        return self.erasing > 0

    def without(self, *names: str) -> AugmentConfig:
        """The same with some of :data:`AUGMENTATIONS` switched off."""
        off: dict[str, float] = {}
        for name in names:
            off |= dict.fromkeys(AUGMENTATIONS[name], 0.0)
        return replace(self, **off)  # type: ignore[arg-type]

    def only(self, name: str) -> AugmentConfig:
        """The same with all but one of them switched off."""
        return self.without(*(other for other in AUGMENTATIONS if other != name))


AUGMENTATIONS: dict[str, tuple[str, ...]] = {
    "rotation": ("rotation",),
    "affine": ("shift", "scale", "shear", "flip"),
    "pen": ("elastic", "thickness", "strokes"),
    "erasing": ("erasing",),
}
"""The augmentations that can be switched off, and the strengths that each consists of."""


NO_AUGMENTATION = AugmentConfig().without(*AUGMENTATIONS)
"""All of it switched off."""

FULL_AUGMENTATION = AugmentConfig(elastic=0.007, thickness=0.15, erasing=0.25)
"""All of it switched on, to be looked at one by one: with what the validation digits had no use for as well."""

MILD_AUGMENTATION = AugmentConfig(rotation=7.0, shift=0.05, scale=0.05, shear=5.0, strokes=0.0)
"""For short trainings, which have no time to profit from more variety."""

SHORT_TRAINING = 4
"""Epochs up to which a training counts as short."""

SHORT_LEARNING_RATE = 6e-3
"""Peak learning rate of a short training: with few steps, each has to go further."""

DEFAULT_EPOCHS = {"1-layer": 4, "2-layer": 16, "3-layer": 16}
"""The usual number of passes over the training digits."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training, besides the data, the machine and the versions."""

    model: str = "3-layer"
    augment: AugmentConfig | None = None  # None: the training digits as they are
    seed: int = 0  # initial weights, order of the digits, augmentation, dropout
    recipe: Recipe = "one-cycle"
    epochs: int = 16  # passes over the training digits, at most
    batch_size: int = 128  # digits per step
    learning_rate: float = 3e-3  # peak of the one-cycle schedule, or the constant rate of the plain recipe
    weight_decay: float = 0.05  # AdamW's decoupled decay; the plain recipe has none
    label_smoothing: float = 0.05  # share of the target spread evenly over all ten digits
    average_decay: float = 0.995  # memory of the weight average, per step; 0 turns averaging off
    plain_epochs: int = 0  # last epochs without augmentation, to end on real digits
    patience: int = 5  # epochs without a better validation loss before the run stops
    train_size: int = TRAIN_DIGITS  # use only so many training digits, stratified
    epoch_size: int = 0  # digits dealt in an epoch, from as many shuffled passes as it takes; 0: every digit once
    batch_norm: bool = True  # batch normalisation in every block
    dropout: float | None = None  # share of the hidden activations dropped in training; None: the network's usual one
    hidden: int | None = None  # units of the hidden layer; None: the network's usual number

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> TrainConfig:
        """The inverse of :meth:`to_dict`, for a file that is not trusted.

        Raises:
            RequestError: a value is missing, unknown, of the wrong kind or out of its range.
        """
        try:
            values = EARLIER_VALUES | dict(values)
            augment = values.pop("augment")
            if augment is not None:
                augment = EARLIER_STRENGTHS | augment
                augment = AugmentConfig(**(augment | {"erase_area": tuple(augment["erase_area"])}))
            config = cls(augment=augment, **values)
            missing = {field.name for field in fields(cls)} - values.keys() - {"augment"}
            if missing:
                raise ValueError(f"no {', '.join(sorted(missing))}")
            check_config(config)
        except (RequestError, TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
            found = error.found if isinstance(error, RequestError) else str(error)
            why = shorten(found, 200, placeholder=" ...")
            raise RequestError(f"the saved configuration can't be used ({why})", "train a new run") from None
        return config

    @property
    def images_per_epoch(self) -> int:
        """Digits that one epoch trains on."""
        return self.epoch_size or self.train_size

    @property
    def architecture(self) -> Architecture:
        """The network, with what this configuration changes about it."""
        usual = ARCHITECTURES[self.model]
        dropout = usual.dropout if self.dropout is None else self.dropout
        hidden = usual.hidden if self.hidden is None else self.hidden
        return replace(usual, batch_norm=self.batch_norm, dropout=dropout, hidden=hidden)

    @property
    def canonical(self) -> TrainConfig:
        """The same training in the one way to write it down: equal for all that lead to the same network."""
        usual, augment = ARCHITECTURES[self.model], self.augment
        if augment is not None and not augment.erases:
            augment = replace(augment, erase_area=AugmentConfig.erase_area)
        if augment == NO_AUGMENTATION or self.plain_epochs >= self.epochs:
            augment = None
        can_stop_early = self.patience < self.epochs - 1  # the first epoch is always the best so far
        return replace(
            self,
            augment=augment,
            plain_epochs=0 if augment is None else self.plain_epochs,
            patience=self.patience if can_stop_early else max(self.epochs, TrainConfig.patience),
            weight_decay=0.0 if self.recipe == "plain" else self.weight_decay,
            epoch_size=0 if self.epoch_size == self.train_size else self.epoch_size,
            dropout=None if self.dropout == usual.dropout else self.dropout,
            hidden=None if self.hidden == usual.hidden else self.hidden,
        )


EARLIER_VALUES: dict[str, Any] = {"epoch_size": 0, "batch_norm": True, "dropout": None, "hidden": 128}
"""What runs saved before these fields existed were made with."""

EARLIER_STRENGTHS = {"flip": 0.0, "elastic": 0.0, "thickness": 0.0, "strokes": 0.0}
"""The same for the augmentation."""

STRENGTH_FIELDS = ("rotation", "shift", "scale", "shear", "flip", "elastic", "thickness", "strokes", "erasing")
"""The strengths of the augmentation that have an option of their own on the command line."""

OPTION_FIELDS = (
    "epochs",
    "batch_size",
    "patience",
    "train_size",
    "epoch_size",
    "dropout",
    "hidden",
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "average_decay",
    "plain_epochs",
)
"""The numbers of a recipe that have an option of their own on the command line."""


def default_config(
    model: str, *, augmented: bool, recipe: Recipe = "one-cycle", epochs: int | None = None
) -> TrainConfig:
    """The recipe that a run gets where nothing else is asked for.

    The one-cycle values were tuned on the validation split; the plain recipe is the textbook's Adam at its usual rate,
    with nothing added, to compare with.

    Args:
        model: one of :data:`ARCHITECTURES`.
        augmented: whether to augment the training digits.
        recipe: which of the two.
        epochs: None for the network's usual number.

    Raises:
        RequestError: there is no such model.
    """
    check_model(model)
    epochs = DEFAULT_EPOCHS[model] if epochs is None else epochs
    is_short = epochs <= SHORT_TRAINING
    augment = (MILD_AUGMENTATION if is_short else AugmentConfig()) if augmented else None
    if recipe == "one-cycle":
        rate = SHORT_LEARNING_RATE if is_short else TrainConfig.learning_rate
        return TrainConfig(model=model, augment=augment, epochs=epochs, learning_rate=rate)
    return TrainConfig(
        model=model,
        augment=augment,
        recipe="plain",
        epochs=epochs,
        learning_rate=1e-3,
        weight_decay=0.0,
        label_smoothing=0.0,
        average_decay=0.0,
        plain_epochs=0,
    )


def changed_options(config: TrainConfig) -> list[str]:
    """The options of the command line, and their values, by which a configuration differs from its usual recipe.

    The recipe itself (network, recipe, length, whether augmented) and the seed are not among them.
    """
    usual = default_config(
        config.model, augmented=config.augment is not None, recipe=config.recipe, epochs=config.epochs
    )
    words: list[str] = []
    for name in OPTION_FIELDS:
        if getattr(config, name) != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    if not config.batch_norm:
        words.append("--no-batch-norm")
    if config.augment is not None:
        for name in STRENGTH_FIELDS:
            if getattr(config.augment, name) != getattr(usual.augment, name):
                words += [f"--{name}", str(getattr(config.augment, name))]
    return words


def as_recipe(word: str) -> Recipe:
    """A recipe by its name.

    Raises:
        RequestError: there is none of that name.
    """
    for recipe in RECIPES:
        if word == recipe:
            return recipe
    raise RequestError(f"there is no recipe {word!r}", f"choose one of {', '.join(RECIPES)}")


def check_model(name: str) -> None:
    """Refuse a name that is none of the three networks'."""
    if name not in ARCHITECTURES:
        raise RequestError(f"there is no model {name!r}", f"choose one of {', '.join(ARCHITECTURES)}")


def check_config(config: TrainConfig) -> None:
    """Refuse values that no training can be made with.

    Raises:
        RequestError: naming the value, its range, and the option that sets it.
    """
    check_model(config.model)
    as_recipe(config.recipe)
    check_whole("epochs", config.epochs, 1, MOST_EPOCHS)
    check_whole("seed", config.seed, 0, MOST_SEED)
    check_whole("batch-size", config.batch_size, 1, TRAIN_DIGITS)
    check_whole("patience", config.patience, 1, MOST_EPOCHS)
    check_whole("train-size", config.train_size, 100, TRAIN_DIGITS)
    check_whole("epoch-size", config.epoch_size, 0, 1_000_000)
    check_whole("plain-epochs", config.plain_epochs, 0, MOST_EPOCHS)
    if type(config.batch_norm) is not bool:
        raise RequestError(f"batch_norm is {config.batch_norm!r}", "it is true or false")
    if config.dropout is not None:
        check_number("dropout", config.dropout, 0, 0.95)
    if config.hidden is not None:
        check_whole("hidden", config.hidden, 1, MOST_HIDDEN)
    check_number("learning-rate", config.learning_rate, 0, 1e6)
    check_number("weight-decay", config.weight_decay, 0, 1e3)
    check_number("label-smoothing", config.label_smoothing, 0, 1)
    check_number("average-decay", config.average_decay, 0, 1)
    if config.augment is not None:
        check_augmentation(config.augment)


def check_augmentation(augment: AugmentConfig) -> None:
    """Refuse strengths that make no sense."""
    check_number("rotation", augment.rotation, 0, 180)
    check_number("shift", augment.shift, 0, 1)
    check_number("scale", augment.scale, 0, 0.9)
    check_number("shear", augment.shear, 0, 80)
    check_number("flip", augment.flip, 0, 1)
    check_number("elastic", augment.elastic, 0, 0.2)
    check_number("thickness", augment.thickness, 0, 1)
    check_number("strokes", augment.strokes, 0, 1)
    check_number("erasing", augment.erasing, 0, 1)
    if type(augment.erase_area) is not tuple or len(augment.erase_area) != 2:
        raise RequestError(f"erase_area is {augment.erase_area}", "it is two fractions of the image, from and to")
    smallest, largest = augment.erase_area
    check_number("erase-area", smallest, 0, 1)
    check_number("erase-area", largest, smallest, 1)


def check_whole(name: str, value: int, low: int, high: int) -> None:
    """Refuse a value that is no whole number from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise RequestError(f"--{name} is {value}", f"give a whole number from {low:,} to {high:,}")


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value that is no number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestError(f"--{name} is {value}", f"give a number from {low:g} to {high:g}")

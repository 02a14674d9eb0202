"""Every setting of a training, declared once: default, range, unit, help and label.

The command line, the menu's questions, the checks, run.json, the reports' "what differs" and the table in the
documentation all read them here. A new one takes one line in :class:`TrainConfig` (or :class:`AugmentConfig`) and its
use; runs that were saved before it existed are read with the value that it names as ``earlier``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from textwrap import shorten
from typing import Any

from mnist_lab.errors import RequestError, suggestion

CLASSES = 10  # the digits 0 to 9
TRAIN_DIGITS = 54_000  # to train on, once a tenth of MNIST's 60,000 is set aside for validation
MOST_WORKERS, MOST_THREADS, MOST_EPOCHS, MOST_SEED = 64, 1024, 10_000, 2**31 - 1  # that may be asked for
SHORT_TRAINING = 4  # epochs up to which a training counts as short

_REQUIRED = object()  # in place of a value for earlier runs: every run has one of its own


@dataclass(frozen=True)
class Setting:
    """What is known about one setting, wherever it is asked for, checked, saved or shown."""

    help: str  # what it does
    low: float  # lowest value of a number
    high: float
    unit: str  # of a number; may be empty
    kind: type  # int, float, bool or str
    may_be_none: bool  # None stands for the network's own value
    label: str = ""  # what reports call it
    choices: tuple[str, ...] = ()  # of a word
    earlier: object = _REQUIRED  # the value of runs that were saved before the setting existed
    name: str = ""  # of the field and, with hyphens, of the option

    @property
    def option(self) -> str:
        """On the command line; a setting that is on or off has one to switch it off."""
        return f"--{'no-' if self.kind is bool else ''}{self.name.replace('_', '-')}"

    def check(self, value: object) -> None:
        """Refuse a value of the wrong kind or out of range.

        Raises:
            RequestError: naming the option, the value and the range.
        """
        if self.may_be_none and value is None:
            return
        if self.kind is bool and type(value) is not bool:
            raise RequestError(f"{self.name} is {value!r}", "give true or false")
        if self.kind is str and value not in self.choices:
            raise RequestError(f"there is no {self.name} {value!r}", suggestion(value, self.choices))
        if self.kind is int:
            check_whole(self.option, value, int(self.low), int(self.high))
        if self.kind is float:
            _check_number(self.option, value, self.low, self.high)


def _setting(default: Any, help: str, low: float = 0, high: float = 0, unit: str = "", **more: Any) -> Any:
    """A dataclass field that is a :class:`Setting`; its ``kind`` has to be given where the default is None."""
    known: dict[str, Any] = {"kind": type(default), "may_be_none": default is None} | more
    return field(default=default, metadata={"setting": Setting(help, low, high, unit, **known)})


def settings_of(kind: type[TrainConfig] | type[AugmentConfig]) -> dict[str, Setting]:
    """The settings of :class:`TrainConfig` or :class:`AugmentConfig`, by name."""
    found = {part.name: part.metadata["setting"] for part in fields(kind) if "setting" in part.metadata}
    return {name: replace(one, name=name, label=one.label or name.replace("_", " ")) for name, one in found.items()}


def _earlier_values(kind: type[TrainConfig] | type[AugmentConfig]) -> dict[str, Any]:
    return {name: found.earlier for name, found in settings_of(kind).items() if found.earlier is not _REQUIRED}


@dataclass(frozen=True)
class Architecture:
    """One of the networks: a 3x3 convolution per entry of ``filters``, then a classifier with a hidden layer."""

    filters: tuple[int, ...]  # output channels of each convolution
    dropout: float  # fraction of the hidden activations dropped in training
    batch_norm: bool = True
    hidden: int = 128  # units between the feature maps and the ten logits
    epochs: int = 16  # that it is usually trained for


ARCHITECTURES = {
    "1-layer": Architecture(filters=(32,), dropout=0.0, epochs=4),
    "2-layer": Architecture(filters=(32, 64), dropout=0.2),
    "3-layer": Architecture(filters=(32, 64, 128), dropout=0.3, hidden=256),
}


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths of the random transformations. Zero switches that one off.

    The defaults were chosen on the validation split (docs/recipes.md).
    """

    # Far beyond 10 degrees, a 6 turns into a 9.
    rotation: float = _setting(10.0, "largest rotation, in degrees, either way", 0, 180, "degrees")
    # MNIST is centred by mass, so a little is plenty.
    shift: float = _setting(0.07, "largest shift along each axis, as a fraction of the side", 0, 1, "fraction")
    scale: float = _setting(0.10, "largest change of size, as a fraction of the size", 0, 0.9, "fraction")
    # People's handwriting differs in its slant more than in anything else.
    shear: float = _setting(8.0, "largest slant, in degrees, either way", 0, 80, "degrees")
    flip: float = _setting(
        0.0, "chance that a digit is mirrored; a bad idea, to be seen failing", 0, 1, "chance", earlier=0.0
    )
    elastic: float = _setting(
        0.0, "smooth random bends: standard deviation as a fraction of the side", 0, 0.2, "fraction", earlier=0.0
    )
    thickness: float = _setting(
        0.0, "how many pixels bolder or finer a stroke may become on each side", 0, 1, "pixels", earlier=0.0
    )
    strokes: float = _setting(
        0.02,
        "chance that a 0 is slashed; less often, a 1 gets a flag or base, a 7 a bar",
        0,
        1,
        "chance",
        label="strokes on a 0 (less often on a 1 or 7)",
        earlier=0.0,
    )
    erasing: float = _setting(0.0, "chance that a digit loses one rectangle; it did not help", 0, 1, "chance")
    erase_area: tuple[float, float] = (0.02, 0.10)  # fraction of the image that the rectangle covers, from..to

    @property
    def moves(self) -> bool:
        """Whether anything that needs resampling is on."""
        moving = (self.rotation, self.shift, self.scale, self.shear, self.flip, self.elastic, self.strokes)
        return any(strength > 0 for strength in moving)

    @property
    def erases(self) -> bool:
        """Whether erasing is on."""
        return self.erasing > 0

    def without(self, *names: str) -> AugmentConfig:
        """The same with some of :data:`AUGMENTATIONS` switched off."""
        off: dict[str, Any] = {strength: 0.0 for name in names for strength in AUGMENTATIONS[name]}
        return replace(self, **off)

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
# To be looked at one by one: even those that did not help on the validation digits.
FULL_AUGMENTATION = AugmentConfig(elastic=0.007, thickness=0.15, erasing=0.25)
# For short trainings, which have no time to profit from more variety.
MILD_AUGMENTATION = AugmentConfig(rotation=7.0, shift=0.05, scale=0.05, shear=5.0)
# For a single epoch, in which no digit is seen twice.
GENTLE_AUGMENTATION = AugmentConfig(rotation=4.9, shift=0.035, scale=0.035, shear=3.5, strokes=0.0)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a training, besides the data, the machine and the versions."""

    model: str = _setting("3-layer", "which of the networks", label="architecture", choices=tuple(ARCHITECTURES))
    augment: AugmentConfig | None = None  # None: the training digits as they are
    seed: int = _setting(0, "decides the initial weights, the order of the digits, augmentation, dropout", 0, MOST_SEED)
    recipe: str = _setting(
        "one-cycle",
        "one-cycle: AdamW, the learning rate rises, then falls; plain: Adam at a constant rate, nothing added",
        choices=("one-cycle", "plain"),
    )
    epochs: int = _setting(16, "largest number of passes over the training digits", 1, MOST_EPOCHS)
    batch_size: int = _setting(128, "digits per step", 1, TRAIN_DIGITS, "digits")
    learning_rate: float = _setting(3e-3, "peak (one-cycle) or constant (plain) learning rate", 0, 1e6)
    weight_decay: float = _setting(0.05, "how strongly AdamW pulls weights towards zero", 0, 1e3)
    label_smoothing: float = _setting(0.05, "fraction of the target spread over all ten digits", 0, 1, "fraction")
    average_decay: float = _setting(
        0.995, "decay of the EMA of the weights, per step; 0: no EMA", 0, 1, "per step", label="EMA decay"
    )
    plain_epochs: int = _setting(
        0, "final epochs without augmentation", 0, MOST_EPOCHS, "epochs", label="final epochs without augmentation"
    )
    patience: int = _setting(
        5, "epochs without a better validation loss before training stops", 1, MOST_EPOCHS, "epochs"
    )
    train_size: int = _setting(
        TRAIN_DIGITS, "number of digits to train on, stratified", 100, TRAIN_DIGITS, "digits", label="training digits"
    )
    epoch_size: int = _setting(
        0,
        "digits in an epoch, in as many passes as it takes; 0: every digit once",
        0,
        1_000_000,
        "digits",
        label="digits in an epoch",
        earlier=0,
    )
    random_labels: float = _setting(
        0.0, "fraction of the training digits whose label is drawn at random", 0, 1, "fraction", earlier=0.0
    )
    batch_norm: bool = _setting(True, "batch normalisation in every block", label="batch normalisation", earlier=True)
    dropout: float | None = _setting(
        None, "fraction of the hidden activations dropped in training", 0, 0.95, "fraction", kind=float, earlier=None
    )
    hidden: int | None = _setting(
        None,
        "units of the hidden layer, between the feature maps and the ten logits",
        1,
        4096,
        "units",
        label="hidden units",
        kind=int,
        earlier=128,
    )

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
            values = _earlier_values(cls) | dict(values)
            if missing := {part.name for part in fields(cls)} - values.keys():
                raise ValueError(f"no {', '.join(sorted(missing))}")
            if values["augment"] is not None:
                augment = _earlier_values(AugmentConfig) | values["augment"]
                values["augment"] = AugmentConfig(**(augment | {"erase_area": tuple(augment["erase_area"])}))
            config = cls(**values)
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
    def spelt_out(self) -> TrainConfig:
        """The same training with the network's own values in place of None."""
        return replace(self, dropout=self.architecture.dropout, hidden=self.architecture.hidden)

    @property
    def canonical(self) -> TrainConfig:
        """The same training in its canonical form: equal for all that lead to the same network."""
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


def default_config(model: str, *, augmented: bool, recipe: str = "one-cycle", epochs: int | None = None) -> TrainConfig:
    """The recipe that a run gets where nothing else is asked for; ``epochs`` None: the network's usual number.

    The one-cycle values were tuned on the validation split; the plain recipe is textbook Adam at its usual rate,
    with nothing added, to compare with.

    Raises:
        RequestError: there is no such model, or no such recipe.
    """
    check_model(model)
    settings_of(TrainConfig)["recipe"].check(recipe)
    epochs = ARCHITECTURES[model].epochs if epochs is None else epochs
    is_short = epochs <= SHORT_TRAINING
    augment = (MILD_AUGMENTATION if is_short else AugmentConfig()) if augmented else None
    usual = TrainConfig(model=model, augment=augment, recipe=recipe, epochs=epochs)
    if recipe == "plain":
        return replace(usual, learning_rate=1e-3, weight_decay=0.0, label_smoothing=0.0, average_decay=0.0)
    if epochs == 1 and augmented:
        dropout = min(0.1, usual.architecture.dropout)
        return replace(usual, augment=GENTLE_AUGMENTATION, learning_rate=0.012, label_smoothing=0.1, dropout=dropout)
    return replace(usual, learning_rate=6e-3) if is_short else usual  # with few steps, each has to go further


def changed_options(config: TrainConfig) -> list[str]:
    """The options of the command line, and their values, by which a configuration differs from its usual recipe.

    The recipe itself (network, recipe, length, whether augmented) and the seed are not among them.
    """
    augmented = config.augment is not None
    usual = default_config(config.model, augmented=augmented, recipe=config.recipe, epochs=config.epochs)
    words: list[str] = []
    for part, other in ((config.spelt_out, usual.spelt_out), (config.augment, usual.augment)):
        for name, found in settings_of(type(part)).items() if part else ():
            value = getattr(part, name)
            if name != "seed" and value != getattr(other, name):
                words += [found.option] if found.kind is bool else [found.option, str(value)]
    return words


def check_config(config: TrainConfig) -> None:
    """Refuse values that can't be trained with.

    Raises:
        RequestError: naming the value, its range, and the option that sets it.
    """
    for part in (config, config.augment):
        if part is not None:
            for name, found in settings_of(type(part)).items():
                found.check(getattr(part, name))
    if config.augment is None:
        return
    area = config.augment.erase_area
    if type(area) is not tuple or len(area) != 2:
        raise RequestError(f"erase_area is {area}", "give two fractions of the image, from and to")
    _check_number("--erase-area", area[0], 0, 1)
    _check_number("--erase-area", area[1], area[0], 1)


def check_model(name: str) -> None:
    """Refuse a name that is not one of the networks'."""
    settings_of(TrainConfig)["model"].check(name)


def check_whole(option: str, value: object, low: int, high: int) -> None:
    """Refuse a value that is not a whole number from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise RequestError(f"{option} is {value}", f"give a whole number from {low:,} to {high:,}")


def _check_number(option: str, value: object, low: float, high: float) -> None:
    """Refuse a value that is not a number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestError(f"{option} is {value}", f"give a number from {low:g} to {high:g}")

"""The film of a training: a network at its start, and at up to 24 moments on the way to the weights that are kept.

While it trains, its weights are only copied, which changes nothing. What the copies make of the validation digits is
found out afterwards: the first layer's kernels, the confusion matrix, and a map of 500 digits by two principal
components of the hidden units (Pearson 1901), always those of the kept network, so that the moments can be compared.
"""

from __future__ import annotations

import copy
import io
import math
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab.config import CLASSES, TrainConfig
from mnist_lab.data.mnist import SIDE, Digits, load_mnist, stratified_subset
from mnist_lab.errors import TrainingError
from mnist_lab.networks.compute import Compute, predict_hidden, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import COLOURS, mosaic_of, row_percent, tinted
from mnist_lab.storage import read_bytes, write_bytes
from mnist_lab.terminal.wording import format_percent
from mnist_lab.training.page import FILM_FILE
from mnist_lab.training.runs import RunRecord, damaged_run, require
from mnist_lab.training.trainer import Outcome, Trainer

MAPPED = 500  # validation digits on the map
DIGIT_COLOURS = (*COLOURS, "#999999", "#004D40")  # each digit is also drawn as a numeral
NEAREST = 5  # digits of the map between which another digit is estimated to lie
_MOMENTS = 24  # at most, besides the start
_ASKED = 1000  # validation digits, within an epoch
_LARGEST = 1 << 20  # bytes of a film's file

Pixels = NDArray[np.uint8]  # (H, W, 3)


def plan_moments(config: TrainConfig) -> list[int]:
    """After how many digits a moment is kept: the start, 1, 2, 4 ... batches of the first epoch, then ends of epochs.

    Of many epochs only the ends of every second, third ... fit; one place is left for the weights that are kept.
    """
    epoch = config.images_per_epoch
    first = [config.batch_size << power for power in range(_MOMENTS) if config.batch_size << power < epoch]
    step = math.ceil(config.epochs / (_MOMENTS - 1 - len(first)))
    return [0, *first, *(end * epoch for end in range(config.epochs, 0, -step))]


@dataclass(frozen=True)
class Film:
    """M moments of a training, of which the last is the kept network; ``ValueError`` if the arrays do not fit."""

    seen: NDArray[np.int64]  # (M,) digits trained on until then, ascending
    kernels: NDArray[np.float32]  # (M, F, 3, 3) of the first layer
    confusion: NDArray[np.int64]  # (M, 10, 10) of validation digits, rows true, columns predicted
    places: NDArray[np.float32]  # (M, 500, 2) of the mapped digits
    centre: NDArray[np.float32]  # (H,) the mapped digits' mean in the kept network's hidden layer
    axes: NDArray[np.float32]  # (2, H) their principal components
    variance: NDArray[np.float32]  # (2,) the fraction of the variance that each holds

    def __post_init__(self) -> None:
        (moments,), (_, filters, *_), (units,) = self.seen.shape, self.kernels.shape, self.centre.shape
        maps = (moments, filters, 3, 3), (moments, CLASSES, CLASSES), (moments, MAPPED, 2)
        shapes = (moments,), *maps, (units,), (2, units), (2,)
        for (name, array), shape in zip(vars(self).items(), shapes, strict=True):
            kind = np.int64 if name in ("seen", "confusion") else np.float32
            require(array.dtype == kind and array.shape == shape, f"{name} has another type or shape")
            require(bool((abs(array) < 1e12).all()), f"{name} holds values that no training produces")
        require(1 <= moments <= _MOMENTS + 1 and filters > 0, "it has too many moments, or none")
        require(self.seen[0] >= 0 and bool((np.diff(self.seen) > 0).all()), "its moments are not in order")
        are_counts = self.confusion.min() >= 0 and self.confusion.sum(axis=(1, 2)).min() > 0
        require(bool(are_counts), "its confusion matrices do not count")

    @property
    def titles(self) -> list[str]:
        """What each moment is called: the digits seen, and the accuracy on so many validation digits."""
        right, asked = self.confusion.trace(axis1=1, axis2=2), self.confusion.sum(axis=(1, 2))
        told = zip(self.seen.tolist(), (right / asked).tolist(), asked.tolist(), strict=True)
        return [f"{seen:,} digits seen, validation {format_percent(part)} of {n:,}" for seen, part, n in told]

    @property
    def remark(self) -> str:
        """What the map does not show, and where a film begins that has no start."""
        held = f"The map holds {100 * self.variance.sum():.0f} % of the variance of {len(self.centre)} hidden units"
        late = f" The film begins after {self.seen[0]:,} digits, where the training was resumed." * bool(self.seen[0])
        return f"{held}: digits that overlap on it may be far apart.{late}"

    def kernel_pixels(self, moment: int, columns: int) -> Pixels:
        """The kernels side by side: blue is above zero, vermilion below, on one scale for all moments."""
        filters = self.kernels.shape[1]
        cells = np.zeros((math.ceil(filters / columns) * columns, 4, 4))  # with a white gap of one pixel
        cells[:filters, :3, :3] = self.kernels[moment]
        return tinted(mosaic_of(cells.reshape(-1, columns, 4, 4))[:-1, :-1], float(abs(self.kernels).max()))

    def confusion_pixels(self, moment: int) -> Pixels:
        """Each cell's fraction of its row, on a logarithmic scale from 0.1 %: blue is right, vermilion wrong."""
        percent = np.nan_to_num(row_percent(self.confusion[moment]))
        return tinted(0.3 * np.log10(np.maximum(percent, 0.1) / 0.1) * np.where(np.eye(CLASSES), 1, -1), 1)


def mapped_digits() -> Digits:
    """The 500 validation digits of every film's map, with the same mix of classes as all."""
    return stratified_subset(load_mnist().validation, MAPPED)


class FilmRecorder:
    """Copies a training's weights at the planned moments, at most 25 times 3 MB, and makes a film of them.

    What all validation digits are taken for is known after each epoch; in between, 1,000 of them are asked.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._plan = trainer, set(plan_moments(trainer.config))
        model = copy.deepcopy(trainer.model)  # to put the copies into: that one is needed elsewhere
        assert isinstance(model, DigitNet)
        self._model, self._copies = model, {trainer.images_per_epoch * len(trainer.history): trainer.copy_weights()}
        self._predicted: dict[int, Tensor] = {}
        trainer.on_batch, trainer.on_validated = self._keep, self._remember

    def _keep(self, seen: int) -> None:
        if seen in self._plan:
            self._copies[seen] = self._trainer.copy_weights()

    def _remember(self, seen: int, logits: Tensor) -> None:
        self._predicted[seen] = logits.argmax(dim=1).to(torch.uint8)

    def __call__(self, folder: Path, outcome: Outcome) -> None:
        """Ask the copies about the validation digits, and write the film; it ends with the weights that are kept."""
        trainer, mapped, found = self._trainer, mapped_digits(), []
        few = stratified_subset(trainer.validation, _ASKED)
        kept = min(outcome.best_epoch * trainer.images_per_epoch, outcome.images_seen)
        copies = {seen: weights for seen, weights in self._copies.items() if seen < kept} | {kept: outcome.best_weights}
        for seen, weights in copies.items():
            self._model.load_state_dict(weights)
            with suppress(TrainingError):  # its numbers grew too large, before the training found its way back
                digits, predicted = trainer.validation, self._predicted.get(seen)
                if predicted is None:
                    digits, predicted = few, predict_logits(self._model, few.images, trainer.compute).argmax(dim=1)
                pairs = torch.bincount(CLASSES * digits.labels + predicted, minlength=CLASSES**2)
                hidden = predict_hidden(self._model, mapped.images, trainer.compute).numpy()
                first = next(iter(weights.values())).squeeze(1)  # (F, 1, 3, 3) to (F, 3, 3)
                found.append((seen, first.numpy(), pairs.view(CLASSES, CLASSES).numpy(), hidden))
        moments, kernels, counts, hidden = (np.stack(part) for part in zip(*found, strict=True))
        centre, axes, variance = principal_components(hidden[-1])
        film, buffer = Film(moments, kernels, counts, (hidden - centre) @ axes.T, centre, axes, variance), io.BytesIO()
        np.savez(buffer, **asdict(film))
        write_bytes(folder / FILM_FILE, buffer.getvalue())


def principal_components(hidden: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The centre (H,) of activations (N, H), their first two principal components (2, H), and the variance in each."""
    centre, axes, variance = hidden.mean(axis=0), np.zeros((2, hidden.shape[1])), np.zeros(2)
    _, sizes, found = np.linalg.svd(hidden.astype(np.float64) - centre, full_matrices=False)
    found *= np.where(found.sum(axis=1) < 0, -1, 1)[:, None]  # of either sign, the one that points to more activation
    axes[: len(found)], variance[: len(found)] = found[:2], sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-30)
    return centre, axes.astype(np.float32), variance.astype(np.float32)


def read_film(run: RunRecord) -> Film:
    """The film in a run's folder; RunError if there is none, as of runs of earlier versions, or it can't be used."""
    try:
        data = read_bytes(run.folder / FILM_FILE, _LARGEST)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            require(sum(entry.file_size for entry in archive.infolist()) <= len(data), "it is compressed")
        with np.load(io.BytesIO(data), allow_pickle=False) as content:
            return Film(**{part.name: content[part.name] for part in fields(Film)})
    except Exception as error:  # the file is not trusted: whatever does not fit, however it fails, is refused
        raise damaged_run(run.folder, f"{FILM_FILE} can't be used ({error})") from None


@dataclass(frozen=True)
class DigitMap:
    """A film with the network that it ends with, which places other digits on the map."""

    film: Film
    labels: NDArray[np.int64]  # (500,) of the mapped digits
    hidden: NDArray[np.float32]  # (500, H) of the mapped digits, in the kept network
    model: DigitNet
    compute: Compute

    def place(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Where a picture (28, 28), white on black, lies on the map of each moment, (M, 2).

        At the last moment, by its own activations. Those of earlier moments are not known: it is estimated to lie
        between the mapped digits that are nearest to it in the kept network's hidden layer, the nearer the closer.
        Measured on 500 other validation digits, 3-layer, this is off by 0.5 of the map's spread (root mean square
        distance from its centre) after 128 digits, 0.3 after 2,048, and 0.15 after 16,384; by median.
        """
        image = torch.from_numpy(picture.copy()).view(1, 1, SIDE, SIDE)
        hidden = predict_hidden(self.model, image, self.compute).numpy()
        distances = np.linalg.norm(self.hidden - hidden, axis=1)
        nearest = distances.argsort(kind="stable")[:NEAREST]
        weights = 1 / np.maximum(distances[nearest], 1e-6)
        places: NDArray[np.float32] = weights / weights.sum() @ self.film.places[:, nearest]
        places[-1] = (hidden - self.film.centre) @ self.film.axes.T
        return places


def load_map(run: RunRecord, model: DigitNet, compute: Compute) -> DigitMap:
    """The film of a run with its network; RunError if there is none, or it can't be used."""
    film, digits = read_film(run), mapped_digits()
    hidden = predict_hidden(model, digits.images, compute).numpy()
    if hidden.shape[1:] != film.centre.shape:
        raise damaged_run(run.folder, f"{FILM_FILE} belongs to another network")
    return DigitMap(film, digits.labels.numpy(), hidden, model, compute)

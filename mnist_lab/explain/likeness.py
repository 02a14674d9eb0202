"""Is it a digit at all? It may be unlike any digit, or between two.

What is between two digits, the network is not sure of: the largest probability is small (Hendrycks & Gimpel 2017,
arXiv:1610.02136). But it may be sure of what is no digit. Its convolutions then make features unlike those of every
digit that it was trained on, which the nearest of them tells (deep nearest neighbours, Sun et al. 2022,
arXiv:2204.06507). Likeness is the Bhattacharyya coefficient of the features, each picture's as parts of 1 (the cosine
of their square roots). Only the 64 training digits of the predicted class that are nearest in the hidden layer are
tried. ``docs/nondigits.py`` compares it with other scores.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab.data.mnist import load_mnist, stratified_subset
from mnist_lab.errors import StorageError
from mnist_lab.explain.neighbours import Space, training_features
from mnist_lab.networks.compute import Compute, computing_with, predict_features, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.report.document import number
from mnist_lab.storage import read_text, write_json
from mnist_lab.training.checkpoints import digest_of
from mnist_lab.training.runs import RunRecord

LIMITS_FILE = "rejection.json"  # in the run's folder
REJECTED_FRACTION = 0.02  # of the validation digits
UNSURE_FRACTION = 0.005  # of them, that are rejected because of the largest probability
VALIDATION_DIGITS = 2000  # on which the limits are found
_CANDIDATES = 64  # training digits that a picture is compared with; of 16, a letter more in ten passes for a digit
_FIRST = 4  # of them, the nearest, that are mostly enough to tell a digit
_AT_ONCE = 64  # pictures that are compared at once, which bounds the memory
_REMEMBERED = 40 << 20  # bytes of features of training digits that are kept for the next picture


class Limits(NamedTuple):
    """A picture that has less of either is probably not a digit."""

    probability: float  # of the predicted digit
    likeness: float  # to training digits of its class


@dataclass(frozen=True)
class Likeness:
    """How like pictures (M, 28, 28) uint8 are to training digits of the classes (M,) that they are taken for."""

    space: Space  # the training digits in the hidden layer
    model: DigitNet
    compute: Compute
    _known: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)  # features of training digits

    @computing_with(1)  # as in neighbours_of
    def of(
        self, pictures: NDArray[np.uint8], predicted: NDArray[np.int64], enough: float = math.inf
    ) -> NDArray[np.float32]:
        """Each picture's, (M,) from 0 to 1, to the most alike of the nearest training digits.

        Where the first few of these are alike ``enough``, the others, which may be more so, are left out.
        """
        images = torch.from_numpy(pictures.copy()).unsqueeze(1)  # (M, 1, 28, 28)
        features, hidden = self._features(images)
        found = np.zeros(len(pictures), dtype=np.float32)  # a class without training digits is like nothing
        for digit in np.unique(predicted).tolist():
            of_class, places = self.space.of_class(digit)
            if not len(places):
                continue
            chosen = np.flatnonzero(predicted == digit)
            ranked = of_class.distances(hidden[chosen]).topk(min(_CANDIDATES, len(places)), largest=False).indices
            nearest = places[ranked].numpy()  # (m, k)
            for candidates in np.split(nearest, [_FIRST], axis=1):
                less = found[chosen] < enough
                chosen, candidates = chosen[less], candidates[less]
                found[chosen] = np.maximum(found[chosen], self._alike(features[chosen], candidates))
        return found

    def rejects(
        self, pictures: NDArray[np.uint8], probabilities: NDArray[np.float64], limits: Limits
    ) -> NDArray[np.bool_]:
        """Which pictures are probably not digits, (M,), given the network's probabilities (M, 10)."""
        rejected: NDArray[np.bool_] = probabilities.max(axis=1) < limits.probability
        sure, predicted = np.flatnonzero(~rejected), probabilities.argmax(axis=1)
        rejected[sure] = self.of(pictures[sure], predicted[sure], limits.likeness) < limits.likeness
        return rejected

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, hidden = predict_features(self.model, images, self.compute)
        return F.normalize(features.sqrt()), hidden  # (m, D), (m, H)

    def _alike(self, features: Tensor, candidates: NDArray[np.int64]) -> NDArray[np.float32]:
        """How like features (m, D) are to those of the most alike of their candidates (m, k), (m,)."""
        if not candidates.size:
            return np.zeros(len(candidates), dtype=np.float32)
        once, which = np.unique(candidates, return_inverse=True)  # many share theirs
        theirs = self._of_training_digits(once.tolist())
        parts = (torch.split(part, _AT_ONCE) for part in (features, torch.from_numpy(which.reshape(candidates.shape))))
        cosines = [torch.einsum("md,mkd->mk", own, theirs[at]) for own, at in zip(*parts, strict=True)]
        alike: NDArray[np.float32] = torch.cat(cosines).amax(dim=1).numpy()
        return alike

    def _of_training_digits(self, places: list[int]) -> Tensor:
        """The features of training digits, (n, D); as a pen moves on, it mostly asks for the same."""
        known = self._known
        if known and len(known) * next(iter(known.values())).nbytes > _REMEMBERED:
            known.clear()
        if missing := [place for place in places if place not in known]:
            known.update(zip(missing, self._features(self.space.digits.images[missing])[0].half(), strict=True))
        return torch.stack([known[place] for place in places]).float()


def find_limits(run: RunRecord, model: DigitNet, compute: Compute) -> Limits:
    """The limits that all but 2 % of the validation digits keep: those of the run's folder, or found in about a second.

    They are then kept in the run's folder, if that can be written to.
    """
    known = read_limits(run, model)
    if known is not None:
        return known
    digits = stratified_subset(load_mnist().validation, VALIDATION_DIGITS)
    pictures, probabilities = digits.images[:, 0].numpy(), predict_logits(model, digits.images, compute).softmax(dim=1)
    largest, predicted = (part.numpy() for part in probabilities.max(dim=1))
    likeness = Likeness(training_features(run, model, compute), model, compute)
    found = likeness.of(pictures, predicted, enough=1e-6)  # the first few
    least = found.argsort()[: len(found) // 10]  # the others are more alike in any case
    found[least] = likeness.of(pictures[least], predicted[least])
    probability = float(np.quantile(largest, UNSURE_FRACTION))
    found[largest < probability] = 0  # rejected already
    limits = Limits(probability, float(np.quantile(found, REJECTED_FRACTION)))
    with suppress(StorageError):
        write_json(run.folder / LIMITS_FILE, {"weights": digest_of(model.state_dict())} | limits._asdict())
    return limits


def read_limits(run: RunRecord, model: DigitNet) -> Limits | None:
    """The limits that a run's folder keeps; None if it keeps none, or what is damaged or of other weights."""
    try:
        content = json.loads(read_text(run.folder / LIMITS_FILE, 1 << 10))
        found = [number(content[name]) for name in Limits._fields]
        if content["weights"] != digest_of(model.state_dict()):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    within = [value for value in found if value is not None and 0 <= value <= 1]
    return Limits(*within) if len(within) == len(found) else None

"""Is it a digit at all? It may be unlike any digit, or between two.

Both are asked at once, of the training digits: how near is the nearest of the class that a picture is taken for, and is
any other class as near? That is the nearest neighbours' measure of conformal prediction (Shafer & Vovk 2008,
arXiv:0706.3188; Papernot & McDaniel 2018, arXiv:1803.04765). Distance is that of Hellinger, between the features of a
layer, each picture's as parts of 1: its square is 1 - the Bhattacharyya coefficient, here the mean of the last two
blocks' and the hidden layer's. ``docs/nondigits.py`` compares it with other scores.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mnist_lab.data.augment import with_strokes
from mnist_lab.data.mnist import load_mnist, stratified_subset, to_unit
from mnist_lab.data.pen_strokes import STYLES
from mnist_lab.errors import StorageError
from mnist_lab.explain.neighbours import Space, training_features
from mnist_lab.networks.compute import Compute, computing_with, predict_features, predict_hidden, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.report.document import number
from mnist_lab.storage import read_text, write_json
from mnist_lab.training.checkpoints import digest_of
from mnist_lab.training.runs import RunRecord

LIMIT_FILE = "rejection.json"  # in the run's folder
REJECTED_FRACTION = 0.02  # of the validation digits
VALIDATION_DIGITS = 2000  # on which the limit is found
_CANDIDATES = 64  # training digits of its class, nearest in the hidden layer, that a picture is compared with
_FIRST = 4  # of them, that are mostly enough to tell a digit; and as many of the other classes
_AT_ONCE = 256  # pictures that are compared at once, which bounds the memory
_SUSPECTS = 100  # validation digits, the least alike, that are compared with all candidates: few more ever need it
_STROKED = 2  # every second training digit that can have added strokes is also tried with them
_REMEMBERED = 10_000  # training digits whose features, of 4 KB, are kept for the next picture


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
        """Their distance to other classes over that to their own, over the latter once more; (M,), high for a digit.

        So what is as far from its class as from others needs to be nearer to be as like a digit. Where the first few of
        its class are near ``enough``, the others, which may be nearer, are left out.
        """
        images, found = torch.from_numpy(pictures.copy()).unsqueeze(1), np.zeros(len(pictures), dtype=np.float32)
        for digit in np.unique(predicted).tolist():
            for chosen in torch.split(torch.from_numpy(np.flatnonzero(predicted == digit)), _AT_ONCE):
                found[chosen] = self._of(images[chosen], digit, enough)
        return found

    def rejects(
        self, pictures: NDArray[np.uint8], probabilities: NDArray[np.float64], limit: float
    ) -> NDArray[np.bool_]:
        """Which pictures are probably not digits, (M,), given the network's probabilities (M, 10)."""
        rejected: NDArray[np.bool_] = self.of(pictures, probabilities.argmax(axis=1), limit) < limit
        return rejected

    def _of(self, images: Tensor, digit: int, enough: float) -> Tensor:
        features, hidden = self._features(images)
        own = _nearest(*self.space.of_class(digit), hidden, _CANDIDATES)  # (m, k)
        others = _nearest(*self.space.of_others(digit), hidden, _FIRST)
        first = min(_FIRST, own.shape[1])
        alike = self._alike(features, torch.cat([own[:, :first], others], dim=1))
        found = _ratio(alike[:, :first], alike[:, first:])
        less = found < enough
        rest = self._alike(features[less], own[less, first:])
        found[less] = _ratio(torch.cat([alike[less, :first], rest], dim=1), alike[less, first:])
        return found

    def _alike(self, features: Tensor, places: Tensor) -> Tensor:
        """The Bhattacharyya coefficients, (m, k), of features (m, D) and those of training digits (m, k)."""
        if not places.numel():
            return torch.zeros(places.shape)
        once, which = np.unique(places.numpy(), return_inverse=True)  # many share theirs
        known = self._known
        if len(known) > _REMEMBERED:
            known.clear()
        if missing := [place for place in once.tolist() if place not in known]:
            known.update(zip(missing, self._features(self.space.digits.images[missing])[0].half(), strict=True))
        theirs = torch.stack([known[place] for place in once.tolist()]).float()
        return torch.einsum("md,mkd->mk", features, theirs[which.reshape(places.shape)])

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        layers = predict_features(self.model, images, self.compute)
        return F.normalize(torch.cat([F.normalize(layer.sqrt()) for layer in layers], dim=1)), layers[-1]


def _nearest(space: Space, places: Tensor, hidden: Tensor, count: int) -> Tensor:
    return places[space.distances(hidden).topk(min(count, len(places)), largest=False).indices]


def _ratio(own: Tensor, others: Tensor) -> Tensor:
    """From coefficients (m, k) and (m, l), of which the mean of the two largest counts, to likeness, (m,)."""
    near, apart = (1 - F.pad(each, (0, 2)).topk(2).values.mean(dim=1).clamp(max=1 - 1e-6) for each in (own, others))
    return apart.sqrt() / near


def likeness_of(run: RunRecord, model: DigitNet, compute: Compute, space: Space | None = None) -> Likeness:
    """Likeness to what a run was trained on: its training digits and, if it had any, digits with added strokes.

    Without those, nine of ten slashed zeros are found unlike any digit, although they are read correctly. ``space``:
    the training features, where at hand.
    """
    space = space or training_features(run, model, compute)
    if run.config.augment is None or not run.config.augment.strokes:
        return Likeness(space, model, compute)
    able = torch.nonzero(torch.isin(space.digits.labels, torch.tensor(list(STYLES)))).flatten()[::_STROKED]
    digits = space.digits.subset(able)
    which, images = with_strokes(to_unit(digits.images), digits.labels, torch.Generator().manual_seed(run.seed))
    stroked = replace(digits.subset(which), images=(255 * images).round().to(torch.uint8))
    return Likeness(space.with_more(stroked, predict_hidden(model, stroked.images, compute)), model, compute)


def find_limit(run: RunRecord, likeness: Likeness) -> float:
    """The likeness that all but 2 % of the validation digits have: the run's folder's, or found in two to four seconds.

    It is then kept in the run's folder, if that can be written to.
    """
    known, model = read_limit(run, likeness), likeness.model
    if known is not None:
        return known
    digits = stratified_subset(load_mnist().validation, VALIDATION_DIGITS)
    predicted = predict_logits(model, digits.images, likeness.compute).argmax(dim=1).numpy()
    pictures = digits.images[:, 0].numpy()
    found = likeness.of(pictures, predicted, enough=0)  # by the first few: at most as alike as by all
    order, below = found.argsort(), math.ceil(REJECTED_FRACTION * len(found))
    for start in range(0, len(order), _SUSPECTS):
        if (found[order[:start]] <= found[order[start]]).sum() > below:  # and so than all that follow
            break
        least = order[start : start + _SUSPECTS]
        found[least] = likeness.of(pictures[least], predicted[least])
    limit = float(np.quantile(found, REJECTED_FRACTION))
    with suppress(StorageError):
        write_json(run.folder / LIMIT_FILE, {**_identity(likeness), "least_likeness": limit})
    return limit


def read_limit(run: RunRecord, likeness: Likeness) -> float | None:
    """The limit that a run's folder keeps; None if it keeps none, or what is damaged or was found otherwise."""
    try:
        content = json.loads(read_text(run.folder / LIMIT_FILE, 1 << 10))
        found = number(content["least_likeness"])
        is_of_it = all(content[name] == value for name, value in _identity(likeness).items())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if is_of_it and found is not None and found >= 0 else None


def _identity(likeness: Likeness) -> dict[str, object]:
    """What a limit was found with."""
    return {"weights": digest_of(likeness.model.state_dict()), "compared_with": len(likeness.space.digits)}

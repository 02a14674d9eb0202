"""Is it a digit at all? How like a picture is to the training digits of the class that it is taken for.

A network may be sure of what is no digit. But its convolutions then make features unlike those of every digit that it
was trained on, which the nearest of them tells (deep nearest neighbours, Sun et al. 2022, arXiv:2204.06507). Likeness
is the Bhattacharyya coefficient of the features, each picture's as parts of 1 (the cosine of their square roots). Only
the 64 training digits of the predicted class that are nearest in the hidden layer are tried, so that it can follow a
pen. ``docs/nondigits.py`` compares it with other scores.
"""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mnist_lab.data.mnist import load_mnist, stratified_subset
from mnist_lab.errors import StorageError
from mnist_lab.explain.neighbours import Space, training_features
from mnist_lab.networks.compute import Compute, predict_features, predict_hidden, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.report.document import number
from mnist_lab.storage import read_text, write_json
from mnist_lab.training.checkpoints import digest_of
from mnist_lab.training.runs import RunRecord

THRESHOLD_FILE = "rejection.json"  # in the run's folder
REJECTED_FRACTION = 0.02  # of the validation digits
VALIDATION_DIGITS = 6000  # on which the threshold is chosen: all
_CANDIDATES = 64  # training digits that a picture is compared with; of 16, a letter more in ten passes for a digit
_AT_ONCE = 64  # pictures that are compared at once, which bounds the memory


def likenesses(
    pictures: NDArray[np.uint8], predicted: NDArray[np.int64], space: Space, model: DigitNet, compute: Compute
) -> NDArray[np.float32]:
    """How like pictures (M, 28, 28) are to training digits of their predicted classes (M,), each from 0 to 1."""
    images = torch.from_numpy(pictures.copy()).unsqueeze(1)  # (M, 1, 28, 28)
    found = np.zeros(len(pictures), dtype=np.float32)  # a class without training digits is like nothing
    for digit in np.unique(predicted).tolist():
        of_class, places = space.of_class(digit)
        chosen = np.flatnonzero(predicted == digit)
        count = min(_CANDIDATES, len(places))
        if not count:
            continue
        features = F.normalize(predict_features(model, images[chosen], compute).sqrt())  # (m, D)
        distances = of_class.distances(predict_hidden(model, images[chosen], compute))  # (m, of this class)
        nearest = places[distances.topk(count, largest=False).indices].numpy()  # (m, count)
        once, which = np.unique(nearest, return_inverse=True)  # many share their nearest
        theirs = F.normalize(predict_features(model, space.digits.images[once], compute).sqrt())
        parts = (torch.split(each, _AT_ONCE) for each in (features, torch.from_numpy(which.reshape(nearest.shape))))
        cosines = [torch.einsum("md,mkd->mk", own, theirs[at]) for own, at in zip(*parts, strict=True)]
        found[chosen] = torch.cat(cosines).amax(dim=1).numpy()
    return found


def find_threshold(run: RunRecord, model: DigitNet, compute: Compute) -> float:
    """The likeness that all but 2 % of the validation digits reach: the kept one, or else found in some seconds.

    It is then kept in the run's folder, if that can be written to.
    """
    known = read_threshold(run, model)
    if known is not None:
        return known
    digits = stratified_subset(load_mnist().validation, VALIDATION_DIGITS)
    predicted = predict_logits(model, digits.images, compute).argmax(dim=1).numpy()
    space = training_features(run, model, compute)
    found = likenesses(digits.images[:, 0].numpy(), predicted, space, model, compute)
    threshold = float(np.quantile(found, REJECTED_FRACTION))
    with suppress(StorageError):
        write_json(run.folder / THRESHOLD_FILE, {"weights": digest_of(model.state_dict()), "threshold": threshold})
    return threshold


def read_threshold(run: RunRecord, model: DigitNet) -> float | None:
    """The threshold that a run's folder keeps; None if it keeps none, or one that is damaged or of other weights."""
    try:
        content = json.loads(read_text(run.folder / THRESHOLD_FILE, 1 << 10))
        threshold = number(content["threshold"]) if content["weights"] == digest_of(model.state_dict()) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return threshold if threshold is not None and 0 <= threshold <= 1 else None

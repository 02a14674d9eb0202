"""How often what is not a digit is rejected: python docs/nondigits.py RUN ... [--outputs F] [--drawings F] [--compare]

As the lab rejects, by likeness and the limit that the run's folder keeps; with --compare also by other scores, each
with a threshold that lets 98 % of the validation digits pass, which takes some minutes for each run. The first kinds
are those that ``evaluate`` shows. Of drawn digits, it counts those that are read correctly and those that are misread.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.nn.functional import normalize

from mnist_lab.data.mnist import load_mnist
from mnist_lab.drawing.recognise import Labelled, examples, prepare_labelled
from mnist_lab.drawing.strokes import read_drawings
from mnist_lab.explain.likeness import REJECTED_FRACTION, find_limit, likeness_of
from mnist_lab.explain.neighbours import Space, training_features
from mnist_lab.networks.compute import choose_compute, predict_features, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.training.runs import RunRecord, find_run
from mnist_lab.training.session import load_trained

COUNT = 300  # of each kind
DRAWN, KEPT = "drawn digits", "likeness, limit of the run"
COMPUTE = choose_compute()
Pictures = NDArray[np.uint8]  # (N, 28, 28), white on black


def held_out(digits: Pictures) -> dict[str, Pictures]:
    """Kinds on which nothing was chosen."""
    random = np.random.default_rng(1)
    first, second = random.permutation(digits)[: 2 * COUNT].reshape(2, COUNT, 28, 28)
    blocks = first.reshape(COUNT, 4, 7, 4, 7).swapaxes(2, 3).reshape(COUNT, 16, 7, 7)
    blocks = np.stack([random.permutation(each) for each in blocks])
    clouds = gaussian_filter(random.normal(size=(COUNT, 28, 28)), (0, 3, 3))
    clouds *= np.hypot(*np.mgrid[-13.5:14, -13.5:14]) < 10  # within the box of MNIST's digits
    return {
        "noise": random.integers(0, 256, first.shape, dtype=np.uint8),
        "inverted digits": 255 - first,
        "blobs": np.where(clouds > 0.03, 255, 0).astype(np.uint8),
        "blocks of 7x7 shuffled": blocks.reshape(COUNT, 4, 4, 7, 7).swapaxes(2, 3).reshape(COUNT, 28, 28),
        "digits rotated by 90": np.rot90(first, axes=(1, 2)).copy(),
        "two digits overlaid": np.maximum(first, second),
    }


def mahalanobis(training: torch.Tensor, labels: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """The distance to the nearest class mean, by the covariance that the classes share (Lee et al. 2018)."""
    means = torch.stack([training[labels == digit].mean(dim=0) for digit in range(10)])
    apart = (training - means[labels]).double()
    covariance = apart.T @ apart / len(apart)
    covariance += 1e-3 * covariance.diagonal().mean() * torch.eye(len(covariance))
    whiten = torch.linalg.inv(torch.linalg.cholesky(covariance)).T.float()
    return torch.cdist(points @ whiten, means @ whiten).amin(dim=1)


def others(images: torch.Tensor, logits: torch.Tensor, space: Space, model: DigitNet) -> dict[str, torch.Tensor]:
    """Scores that were compared with likeness, high for a digit, each (N,)."""
    _, features, own = predict_features(model, images, COMPUTE)
    hidden, labels, features = space.values * space.steps, space.digits.labels, normalize(features)
    pixels = space.digits.images.flatten(1).float()[::5] / 255
    components = torch.linalg.eigh(torch.cov(pixels.T)).eigenvectors[:, -50:]
    centred = images.flatten(1) / 255 - pixels.mean(dim=0)
    convolved = normalize(predict_features(model, space.digits.images[::5], COMPUTE)[1])
    return {
        "maximum probability": logits.double().softmax(dim=1).amax(dim=1),
        "maximum logit": logits.amax(dim=1),
        "energy": logits.logsumexp(dim=1),
        "norm, hidden layer": own.norm(dim=1),
        "Mahalanobis, hidden layer": -mahalanobis(hidden, labels, own),
        "nearest, hidden layer": -torch.cat([space.distances(part).amin(dim=1) for part in torch.split(own, 500)]),
        "cosine, hidden layer": (normalize(own) @ normalize(hidden[::5]).T).amax(dim=1),
        "cosine, convolutions": torch.cat([(part @ convolved.T).amax(dim=1) for part in torch.split(features, 500)]),
        "pixels, rest of 50 components": -(centred - centred @ components @ components.T).norm(dim=1),
    }


def rejected(run: RunRecord, kinds: dict[str, Pictures], drawn: Labelled | None, compare: bool) -> None:
    """Print the fractions of each kind that a run rejects; of drawn digits, the misread ones apart."""
    model = load_trained(run, COMPUTE)
    space = training_features(run, model, COMPUTE)
    likeness = likeness_of(run, model, COMPUTE, space)
    limit = find_limit(run, likeness)
    limits = {KEPT: limit}
    print(f"{run.title}, {run.epochs_run} epochs")
    for kind, pictures in kinds.items():
        images = torch.from_numpy(pictures)[:, None]
        logits = predict_logits(model, images, COMPUTE)
        predicted = logits.argmax(dim=1).numpy()
        scores = {KEPT: likeness.of(pictures, predicted, math.inf if compare else limit)}
        if compare:
            scores |= {name: found.double().numpy() for name, found in others(images, logits, space, model).items()}
        for name, found in scores.items():
            limits.setdefault(name, float(np.quantile(found, REJECTED_FRACTION)))  # validation digits come first
        is_right = predicted == drawn.labels if drawn and kind == DRAWN else np.ones(len(pictures), dtype=bool)
        for which, name in ((is_right, kind), (~is_right, f"{kind}, misread")):
            if which.any():
                shown = [f"{100 * np.mean(score[which] < limits[by]):6.1f}" for by, score in scores.items()]
                print(f"{name:24} {which.sum():6,}", *shown, flush=True)
    print(*(f"{number}: {name}" for number, name in enumerate(limits, start=1)), sep="; ", flush=True)


def main() -> None:
    """Measure the runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--drawings", type=Path, help="labelled digits of other hands, to count false alarms on")
    parser.add_argument("--compare", action="store_true", help="with other scores")
    options = parser.parse_args()
    mnist = load_mnist()
    test = mnist.test.images[:, 0].numpy()
    kinds = {"validation digits": mnist.validation.images[:, 0].numpy(), "test digits": test}
    drawn = prepare_labelled(read_drawings(options.drawings)[0]) if options.drawings else None
    if drawn:
        kinds[DRAWN] = drawn.pictures
    kinds |= examples(COUNT, test) | held_out(test)
    for name in options.runs:
        rejected(find_run(options.outputs, name), kinds, drawn, options.compare)


if __name__ == "__main__":
    main()

"""How often each score finds what is not a digit: python docs/nondigits.py RUN ... [--outputs F] [--drawings F.jsonl]

Each score's threshold lets 98 % of the validation digits pass, and so do the two limits of the union. The first kinds
are those that ``evaluate`` shows, on which likeness and the union of ``mnist_lab/explain/likeness.py`` were chosen. The
others were printed beside them all the while: nothing was chosen on them, but they were not hidden either. Of drawn
digits, it also counts the misread ones. It takes about three minutes for each run on two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402
from torch.nn.functional import normalize  # noqa: E402

from mnist_lab.data.mnist import load_mnist  # noqa: E402
from mnist_lab.drawing.recognise import examples, prepare_labelled  # noqa: E402
from mnist_lab.drawing.strokes import read_drawings  # noqa: E402
from mnist_lab.explain.likeness import REJECTED_FRACTION, Likeness, find_limits  # noqa: E402
from mnist_lab.explain.neighbours import training_features  # noqa: E402
from mnist_lab.networks.compute import choose_compute, predict_features, predict_logits  # noqa: E402
from mnist_lab.training.runs import find_run  # noqa: E402
from mnist_lab.training.session import load_trained  # noqa: E402

COUNT = 300  # of each kind
DRAWN, UNION = "drawn digits", "union (chosen)"
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


def scores(
    run_name: str, outputs: Path, kinds: dict[str, Pictures], drawn: NDArray[np.int64] | None
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """By score and kind, high for a digit; given the labels of drawn digits, those of the misread ones as well."""
    run = find_run(outputs, run_name)
    model = load_trained(run, COMPUTE)
    print(f"{run.title}, {run.epochs_run} epochs")
    space, found = training_features(run, model, COMPUTE), dict[str, dict[str, NDArray[np.float64]]]()
    hidden, labels = space.values * space.steps, space.digits.labels
    pixels = space.digits.images.flatten(1).float()[::5] / 255
    components = torch.linalg.eigh(torch.cov(pixels.T)).eigenvectors[:, -50:]
    convolved = normalize(predict_features(model, space.digits.images[::5], COMPUTE)[0])
    likeness, limits = Likeness(space, model, COMPUTE), find_limits(run, model, COMPUTE)
    for kind, pictures in kinds.items():
        images = torch.from_numpy(pictures)[:, None]
        logits, (features, own) = predict_logits(model, images, COMPUTE), predict_features(model, images, COMPUTE)
        probabilities, features = logits.double().softmax(dim=1), normalize(features)
        centred = images.flatten(1) / 255 - pixels.mean(dim=0)
        by_score = {
            "maximum probability": probabilities.amax(dim=1),
            "maximum logit": logits.amax(dim=1),
            "energy": logits.logsumexp(dim=1),
            "norm, hidden layer": own.norm(dim=1),
            "Mahalanobis, hidden layer": -mahalanobis(hidden, labels, own),
            "nearest, hidden layer": -torch.cat([space.distances(part).amin(dim=1) for part in torch.split(own, 500)]),
            "cosine, hidden layer": (normalize(own) @ normalize(hidden[::5]).T).amax(dim=1),
            "cosine, convolutions": torch.cat(
                [(part @ convolved.T).amax(dim=1) for part in torch.split(features, 500)]
            ),
            "pixels, rest of 50 components": -(centred - centred @ components @ components.T).norm(dim=1),
            "likeness": torch.from_numpy(likeness.of(pictures, logits.argmax(dim=1).numpy())),
            UNION: torch.from_numpy(~likeness.rejects(pictures, probabilities.numpy(), limits)),
        }
        for name, values in by_score.items():
            found.setdefault(name, {})[kind] = values.double().numpy()
            if kind == DRAWN and drawn is not None:
                found[name]["misread drawn digits"] = values.double().numpy()[logits.argmax(dim=1).numpy() != drawn]
    return found


def main() -> None:
    """Measure the runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--drawings", type=Path, help="labelled digits of other hands, to count false alarms on")
    options = parser.parse_args()
    mnist = load_mnist()
    test = mnist.test.images[:, 0].numpy()
    kinds = {"validation digits": mnist.validation.images[:, 0].numpy(), "test digits": test}
    drawn = prepare_labelled(read_drawings(options.drawings)[0]) if options.drawings else None
    if drawn:
        kinds[DRAWN] = drawn.pictures
    kinds |= examples(COUNT, test) | held_out(test)
    for run in options.runs:
        found = scores(run, options.outputs, kinds, drawn.labels if drawn else None)
        limits = {
            name: float(np.quantile(each["validation digits"], REJECTED_FRACTION)) for name, each in found.items()
        }
        limits[UNION] = 1.0  # which rejects by its own limits
        print(f"{'rejected (%)':24}", *(f"{number:>6}" for number in range(1, len(found) + 1)))
        for kind in found[UNION]:
            rejected = [100 * np.mean(each[kind] < limits[name]) for name, each in found.items()]
            print(f"{kind:24}", *(f"{fraction:6.1f}" for fraction in rejected))
        print(*(f"{number}: {name}" for number, name in enumerate(found, start=1)), sep="; ", flush=True)


if __name__ == "__main__":
    main()

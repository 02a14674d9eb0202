"""The checks that can prove a saliency map wrong.

A map that follows the strokes looks convincing, whatever the network knows. Three controls tell whether it deserves
belief: the same method on the same network with random weights, a plain edge map, and curves of what happens to the
prediction when the pixels that the map ranks highest are taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr
from torch import Tensor, nn

from mnist_lab.config import Architecture
from mnist_lab.data.loader import derive_seed
from mnist_lab.data.pixels import SIDE
from mnist_lab.explain.saliency import BLACK, SEED, Map, attribute, ink_of
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import DigitNet, build_model

RANDOM_NETWORKS = 5
"""Networks with random weights to compare a map with; a single one may resemble it by chance."""

SURVIVAL_THRESHOLD = 0.6
"""Mean rank correlation with the maps of random networks from which a map counts as surviving them.

Chosen on the first 60 MNIST test digits, on trained 1-, 2- and 3-layer networks. Gradient, SmoothGrad and Grad-CAM
follow the weights: mean 0.05 to 0.45; two 3-layer networks trained apart agree in 0.58. Occlusion and integrated
gradients are (nearly) zero away from the ink whatever the weights: mean 0.87 and 0.99. On 40 other digits (3-layer),
the first three stayed below 0.6 (highest 0.51), the others above (lowest 0.69); of 2-layer's Grad-CAM, 17 % are above.
Within the strokes, sign included, no method's mean is beyond 0.11, while networks trained apart agree in 0.2 to 0.8.
"""

PORTIONS = np.linspace(0, 1, 25)
"""Fractions of the inked pixels that a curve has removed or inserted at its points."""
CURVE_MARGIN = 0.01
"""Areas nearer than this to a random order's count as equal; all are, for a target that is never probable."""
RANDOM_ORDERS = 19
"""Random orders to compare with: to beat all 19 has a chance of 1 in 20 for a map that knows nothing."""


@dataclass(frozen=True)
class Sanity:
    """How much of a map is left when the network forgets all that it has learned; rank correlations, -1..1."""

    places: float  # of absolute values over the picture, with random networks (mean): does it point at the same places?
    strokes: float  # of values, sign included, over the inked pixels, with random networks (mean): the same pattern?
    edges: float  # of absolute values over the picture, with the plain edge map


@dataclass(frozen=True)
class Curve:
    """The target's probability while inked pixels are removed, or put on black, portion by portion."""

    fractions: NDArray[np.float64]  # (S,) of the inked pixels, 0..1
    values: NDArray[np.float64]  # (S,) probability, in the map's order, the highest pixels first
    random: NDArray[np.float64]  # (R, S), one row per random order

    @property
    def area(self) -> float:
        """Under the curve, 0..1: the mean probability on the way."""
        return float(np.trapezoid(self.values, self.fractions))

    @property
    def random_areas(self) -> NDArray[np.float64]:
        """(R,) areas of the random orders."""
        return np.asarray(np.trapezoid(self.random, self.fractions, axis=1))


class Curves(NamedTuple):
    """What removing pixels in a map's order destroys, and what inserting them builds."""

    deletion: Curve
    insertion: Curve

    @property
    def beat_random(self) -> tuple[bool, bool]:
        """Whether the map's order destroys, and whether it builds the prediction faster than every random order."""
        falls = self.deletion.area < float(self.deletion.random_areas.min()) - CURVE_MARGIN
        return falls, self.insertion.area > float(self.insertion.random_areas.max()) + CURVE_MARGIN


@dataclass(frozen=True)
class Explanation:
    """One digit, one network, one method and one target: the map and all its controls."""

    method: str
    target: int  # the digit that the map explains
    image: NDArray[np.float32]  # (28, 28) ink, 0..1
    probabilities: NDArray[np.float64]  # (10,) the network's answer
    map: Map  # (28, 28)
    random_map: Map  # (28, 28), of the first network with random weights
    edges: NDArray[np.float64]  # (28, 28)
    sanity: Sanity
    curves: Curves

    @property
    def prediction(self) -> int:
        """The most probable digit."""
        return int(self.probabilities.argmax())


def explain(
    model: nn.Module, own: Architecture | str, image: Tensor, method: str, compute: Compute, target: int | None = None
) -> Explanation:
    """A map with everything that is needed to tell whether it deserves belief.

    Args:
        model: a trained network.
        own: the network's architecture, for its doubles with random weights.
        image: (1, 28, 28), white ink on black, uint8 0..255 or float 0..1.
        method: as :func:`~mnist_lab.explain.saliency.attribute` takes it, which also says what is refused.
        compute: where the model lives.
        target: the digit to explain ("why not a 9?"); None for the predicted one.
    """
    batch = image.unsqueeze(0)  # (1, 1, 28, 28)
    probabilities = predict_logits(model, batch, compute).double().softmax(dim=1)[0].numpy()
    target = int(probabilities.argmax()) if target is None else target
    seeds = [derive_seed(SEED, number) for number in range(RANDOM_NETWORKS)]
    networks = [model, *(randomised(own, compute, seed) for seed in seeds)]
    map_, *random = (attribute(each, batch, torch.tensor([target]), method, compute)[0] for each in networks)
    ink = ink_of(image).cpu().numpy()[0]  # (28, 28)
    return Explanation(
        method=method,
        target=target,
        image=ink,
        probabilities=probabilities,
        map=map_,
        random_map=random[0],
        edges=edge_map(ink),
        sanity=sanity(map_, np.stack(random), ink),
        curves=deletion_insertion(model, image, map_, target, compute),
    )


def randomised(architecture: Architecture | str, compute: Compute, seed: int) -> DigitNet:
    """The same network with random weights, in evaluation mode: what an untrained eye would point at.

    Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv:1810.03292: a map that looks the same on such a
    network can't show what the trained one has learned.
    """
    # Never the weights that a run with this seed began with: training moves away from them less than from any other.
    return compute.place(build_model(architecture, derive_seed(seed, "randomised"))).eval()


def edge_map(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """How steeply the ink (28, 28) changes at each pixel, in ink per pixel: a map that knows no network at all."""
    ink = image.astype(np.float64)
    return np.hypot(ndimage.sobel(ink, axis=0), ndimage.sobel(ink, axis=1)) / 8  # its weights add up to 8 per pixel


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Spearman's rank correlation, -1..1, of two maps' values, any one shape; ranks, because their scales differ.

    A map without values, or the same everywhere, points at nothing and resembles nothing: 0.
    """
    if one.size == 0 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def sanity(trained: NDArray[np.floating], random: NDArray[np.floating], ink: NDArray[np.floating]) -> Sanity:
    """Compare a map with those of networks with random weights (Adebayo et al. 2018) and with the edges.

    Two questions, for a map may owe its outline to the picture and its pattern to the training: integrated gradients
    are 0 wherever the picture is black, whatever the network.

    Args:
        trained: (28, 28) the map in question.
        random: (R, 28, 28) the same method's maps of the same digit and target on R random networks, R > 0.
        ink: (28, 28) the digit, 0..1.
    """
    inked = ink > BLACK
    return Sanity(
        places=float(np.mean([rank_correlation(np.abs(trained), np.abs(map_)) for map_ in random])),
        strokes=float(np.mean([rank_correlation(trained[inked], map_[inked]) for map_ in random])),
        edges=rank_correlation(np.abs(trained), edge_map(ink)),
    )


def deletion_insertion(
    model: nn.Module, image: Tensor, map_: NDArray[np.floating], target: int, compute: Compute
) -> Curves:
    """Test whether the pixels that a map calls important are.

    Petsiuk, Das & Saenko 2018, "RISE", arXiv:1806.07421, with one change: only inked pixels are removed (set to black)
    and inserted, in the map's order as well as in the random ones. Blackening black pixels does nothing, so among all
    784 every map that merely finds the strokes would beat random order.

    Args:
        model: takes normalised (B, 1, 28, 28), gives (B, 10).
        image: (1, 28, 28), white ink on black, uint8 0..255 or float 0..1.
        map_: (28, 28), the most important pixels highest. Values, not absolute ones, also for gradients: on 40 test
            digits they beat all random orders of deletion in 60 %, their absolute values in 3 %.
        target: the digit 0..9 whose probability to follow.
        compute: where the model lives.
    """
    ink = ink_of(image).cpu().numpy().ravel()  # (784,)
    inked = np.flatnonzero(ink > BLACK)
    random = np.random.RandomState(derive_seed(SEED, "orders") % 2**32)
    orders = [inked[np.argsort(-map_.ravel()[inked], kind="stable")]]
    orders += [random.permutation(inked) for _ in range(RANDOM_ORDERS)]
    series = np.array([_deleted_and_inserted(ink, order) for order in orders])  # (orders, 2, S, 784)
    batch = torch.from_numpy(series.reshape(-1, 1, SIDE, SIDE))
    probabilities = predict_logits(model, batch, compute).double().softmax(dim=1)[:, target]
    curves = probabilities.numpy().reshape(len(orders), 2, -1)  # (orders, deletion and insertion, S)
    deletion, insertion = (Curve(PORTIONS, curves[0, kind], curves[1:, kind]) for kind in (0, 1))
    return Curves(deletion, insertion)


def _deleted_and_inserted(ink: NDArray[np.float32], order: NDArray[np.intp]) -> tuple[Map, Map]:
    """The images (S, 784) of both curves for one order of the inked pixels (most important first)."""
    rank = np.full(ink.shape, len(order))  # uninked pixels stay black in both
    rank[order] = np.arange(len(order))
    taken = rank < np.round(PORTIONS * len(order))[:, np.newaxis]  # (S, 784)
    return np.where(taken, BLACK, ink).astype(np.float32), np.where(taken, ink, BLACK).astype(np.float32)

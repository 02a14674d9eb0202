"""Which pixels mattered: attribution maps through Captum, and the checks that can prove a map wrong.

A map that follows the strokes looks convincing, whatever the network knows. Three controls tell whether it deserves
belief: the same method on the same network with random weights, a plain edge map, and curves of what happens to the
prediction when the pixels that the map ranks highest are taken away.

Everything here is a function of the ink (0 black background, 1 full ink): images are normalised inside, so that
gradients are in logits per unit of ink and "black" is simply 0. Captum is loaded inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion, Saliency
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from mnist_lab.config import Architecture
from mnist_lab.data.loader import derive_seed, seeded_generator
from mnist_lab.data.mnist import Digits
from mnist_lab.data.pixels import SIDE, normalise, to_unit
from mnist_lab.errors import RequestError
from mnist_lab.explain.methods import DEFAULT_METHOD, check_method, check_target
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.inference import predict_logits
from mnist_lab.networks.models import ConvBlock, DigitNet, build_model

BLACK = 0.0
"""Ink of MNIST's background: the baseline that maps compare with. A network sees it as (0 - 0.1307) / 0.3081 = -0.424,
never as 0: a zero after normalising would be a grey page."""

BATCH_SIZE = 16
"""Digits per step; most methods make some fifty variants of each."""

SMOOTHGRAD_SAMPLES = 50
"""Noisy copies; beyond 50 the paper sees little gain."""
SMOOTHGRAD_NOISE = 0.15
"""Standard deviation of the noise, in ink; the paper recommends 10 to 20 % of the range."""

INTEGRATION_STEPS = 64
"""Points between black and the digit (Gauss-Legendre); the paper uses 20 to 300."""

OCCLUSION_SIDE = 5
"""Side of the covering square, in pixels: a little wider than a stroke, so that it interrupts one."""
OCCLUSION_AT_ONCE = 32
"""Positions of the square per forward pass."""

RANDOM_NETWORKS = 5
"""Networks with random weights to compare a map with; a single one may resemble it by chance."""

SURVIVAL_THRESHOLD = 0.6
"""Mean rank correlation with the maps of random networks from which a map counts as surviving them.

Chosen on the first 60 MNIST test digits, on trained 1-, 2- and 3-layer networks. Gradient and SmoothGrad follow the
weights: mean 0.13 to 0.45, at most 5 % of the digits above 0.56; two 3-layer networks trained apart agree in 0.58.
Occlusion and integrated gradients are (nearly) zero away from the ink whatever the weights: mean 0.87 and 0.99, at most
5 % below 0.70. A map that ignores the weights has 1. Grad-CAM: mean 0.05 to 0.31, above 0.6 only in 2-layer (17 %).
Within the strokes, sign included, no method's mean is beyond 0.11, while networks trained apart agree in 0.2 to 0.8.
On 40 other digits (3-layer), every gradient, SmoothGrad and Grad-CAM map fell below 0.6 (highest 0.51), every other one
above (lowest 0.69).
"""

CURVE_STEPS = 24
"""Equal portions in which a curve removes or inserts the inked pixels."""
CURVE_MARGIN = 0.01
"""Areas nearer than this to a random order's count as equal; all are, for a target that is never probable."""
RANDOM_ORDERS = 19
"""Random orders to compare with: to beat all 19 has a chance of 1 in 20 for a map that knows nothing."""

Map = NDArray[np.float32]
Forward = Callable[[Tensor], Tensor]


def attribute(model: nn.Module, images: Tensor, targets: Tensor, method: str, compute: Compute, seed: int = 0) -> Map:
    """Ask which pixels mattered for a digit, whether it is the true one, the predicted one or any other.

    Computed in float32 and evaluation mode; the network is left exactly as found, also when something fails. The map
    of a digit does not depend on the others in its batch.

    Args:
        model: takes normalised (B, 1, 28, 28), gives (B, 10); Grad-CAM needs a :class:`DigitNet`.
        images: (B, 1, 28, 28), white ink on black, uint8 0..255 or float 0..1.
        targets: (B,) the digit to explain for each image, 0..9.
        method: one of :data:`~mnist_lab.explain.methods.METHODS`, where the papers stand.
        compute: where the model lives.
        seed: of SmoothGrad's noise; the global random state is neither used nor changed.

    Returns:
        (B, 28, 28), in the method's unit. Grad-CAM's maps are never negative.

    Raises:
        RequestError: there is no such method or target, or Grad-CAM was asked of a network without blocks.
    """
    check_method(method)
    for target in targets.tolist():
        check_target(target)
    with undisturbed(model), full_precision_gradients(compute):
        ink = to_unit(images) if images.dtype == torch.uint8 else images.float()
        ink = ink.detach().clone().to(compute.device)  # a tensor of our own: the caller's may forbid gradients
        targets = targets.detach().clone().to(compute.device)
        batches = zip(torch.split(ink, BATCH_SIZE), torch.split(targets, BATCH_SIZE), strict=True)
        maps = [attribute_batch(model, *batch, method, seed).detach().cpu() for batch in batches]
    return torch.cat(maps).squeeze(1).numpy() if maps else np.empty((0, SIDE, SIDE), np.float32)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards each layer is in the mode that it was found in."""
    modes = [(layer, layer.training) for layer in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def full_precision_gradients(compute: Compute) -> Iterator[None]:
    """Gradients on and 16-bit arithmetic off, whatever the caller has set: bfloat16 keeps two to three digits only."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(compute.device.type, enabled=False))
        yield


def attribute_batch(model: nn.Module, ink: Tensor, targets: Tensor, method: str, seed: int) -> Tensor:
    """Maps (B, 1, 28, 28) of one batch of ink (B, 1, 28, 28) and targets (B,)."""
    match method:
        case "gradient":
            return gradient(model, ink, targets)
        case "smoothgrad":
            return smoothgrad(model, ink, targets, seed)
        case "integrated-gradients":
            return integrated_gradients(model, ink, targets)
        case "occlusion":
            return occlusion(model, ink, targets)
        case _:
            return grad_cam(model, ink, targets)


def logits_of(model: nn.Module) -> Forward:
    """The network as a function of ink (B, 1, 28, 28) instead of normalised pixels."""

    def forward(ink: Tensor) -> Tensor:
        logits: Tensor = model(normalise(ink))  # (B, 10)
        return logits

    return forward


def gradient(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    """The derivative of the target's logit by each pixel's ink.

    Simonyan, Vedaldi & Zisserman 2013, "Deep inside convolutional networks", arXiv:1312.6034. They show absolute
    values; the sign is kept here, for on MNIST it has a meaning (Smilkov et al. 2017, section 2): ink here would speak
    for the target, or against it.
    """
    maps: Tensor = Saliency(logits_of(model)).attribute(ink.requires_grad_(), target=targets, abs=False)
    return maps


def smoothgrad(model: nn.Module, ink: Tensor, targets: Tensor, seed: int) -> Tensor:
    """The mean gradient over noisy copies of the digit, which leaves what a small change of it would not undo.

    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise", arXiv:1706.03825. The noise comes from a
    generator of its own instead of Captum's NoiseTunnel, which draws from the global one, and is the same for every
    digit, so that a map does not depend on its batch.
    """
    noise = torch.randn(SMOOTHGRAD_SAMPLES, 1, SIDE, SIDE, generator=seeded_generator(seed, "smoothgrad"))
    copies = ink.unsqueeze(1) + SMOOTHGRAD_NOISE * noise.to(ink.device)  # (B, samples, 1, 28, 28)
    maps = gradient(model, copies.flatten(0, 1), targets.repeat_interleave(SMOOTHGRAD_SAMPLES))
    return maps.reshape(copies.shape).mean(dim=1)  # (B, 1, 28, 28)


def integrated_gradients(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    """Each pixel's share in the difference between the target's logit for the digit and for a black image.

    Sundararajan, Taly & Yan 2017, "Axiomatic attribution for deep networks", arXiv:1703.01365: the ink times the mean
    gradient on the straight way from the baseline, MNIST's black (ink 0), to the digit. The map's sum is that
    difference of logits, but for the error of the numerical integration. A black pixel always gets 0.
    """
    explainer = IntegratedGradients(logits_of(model))
    maps: Tensor = explainer.attribute(
        ink.requires_grad_(), baselines=BLACK, target=targets, n_steps=INTEGRATION_STEPS, method="gausslegendre"
    )
    return maps.float()


def occlusion(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    """What the target's logit loses when a black square covers the pixel, averaged over the squares that cover it.

    Zeiler & Fergus 2013, "Visualizing and understanding convolutional networks", arXiv:1311.2901. Their square is
    grey, the mean of photographs; MNIST's background is black, and grey would be ink.
    """
    maps: Tensor = Occlusion(logits_of(model)).attribute(
        ink,
        sliding_window_shapes=(1, OCCLUSION_SIDE, OCCLUSION_SIDE),
        baselines=BLACK,
        target=targets,
        perturbations_per_eval=OCCLUSION_AT_ONCE,
    )
    return maps


def grad_cam(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    """The last block's feature maps, weighted by their mean gradient, summed, and cut off below zero.

    Selvaraju et al. 2016, "Grad-CAM: visual explanations from deep networks", arXiv:1610.02391. The coarse map is
    interpolated between the true centres of its cells: stretched to 28x28 as usual, a 3x3 map would lie up to
    two pixels off, for unpadded convolutions and pooling lose the border.

    Raises:
        RequestError: the network has no blocks.
    """
    if not isinstance(model, DigitNet):
        raise RequestError("Grad-CAM needs a network with convolution blocks", "choose another saliency method")
    explainer = LayerGradCam(logits_of(model), model.blocks[-1])
    cells: Tensor = explainer.attribute(ink.requires_grad_(), target=targets, relu_attributions=True)  # (B, 1, S, S)
    weights = torch.from_numpy(interpolation(cell_centres(model))).to(cells)  # (28, S)
    return weights @ cells @ weights.T


def cell_centres(model: DigitNet) -> NDArray[np.float64]:
    """Where the cells of the last block's feature maps lie along one side of the image, (S,) in pixels.

    The start of the grid and its step grow as in the model summary: a 3x3 window begins 1 - padding steps
    further in, a 2x2 window half a step, and then the step doubles.
    """
    start, step, side = 0.0, 1, SIDE
    for block in model.blocks:
        assert isinstance(block, ConvBlock)
        padding = int(block.conv.padding[0])
        start += (1 - padding + 0.5) * step
        side, step = (side + 2 * padding - 2) // 2, 2 * step
    return start + step * np.arange(side, dtype=np.float64)


def interpolation(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (28, S) that take values at these places to all 28 pixels: linear between them, constant outside."""
    pixels = np.arange(SIDE)
    return np.stack([np.interp(pixels, centres, unit) for unit in np.eye(len(centres))], axis=1)


def randomised(architecture: Architecture | str, compute: Compute, seed: int = 0) -> DigitNet:
    """The same network with random weights, in evaluation mode: what an untrained eye would point at.

    Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv:1810.03292: a map that looks the same on such a
    network can't show what the trained one has learned.
    """
    # Never the weights that a run with this seed began with: training moves away from them less than from any other.
    model = compute.place(build_model(architecture, derive_seed(seed, "randomised")))
    model.eval()
    return model


def edge_map(images: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """How steeply the ink changes at each pixel (Sobel's operator): a map that knows no network at all.

    Args:
        images: (B, 28, 28) ink, 0..1.

    Returns:
        (B, 28, 28), in ink per pixel, from 0 on.
    """
    padded = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1)), mode="edge")
    smooth_rows = padded[:, :-2, :] + 2 * padded[:, 1:-1, :] + padded[:, 2:, :]
    smooth_columns = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    across = smooth_rows[:, :, 2:] - smooth_rows[:, :, :-2]
    down = smooth_columns[:, 2:, :] - smooth_columns[:, :-2, :]
    return np.hypot(across, down) / 8  # Sobel's weights add up to 8 per pixel of distance


def rank_correlation(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """Spearman's rank correlation, -1..1, of two maps' values, any one shape.

    Ranks, because networks and methods have different scales. A map that is the same everywhere points at nothing and
    resembles nothing: 0.
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


@dataclass(frozen=True)
class Sanity:
    """How much of a map is left when the network forgets all that it has learned; rank correlations, -1..1."""

    places: float  # of absolute values over the picture, with random networks (mean): does it point at the same places?
    strokes: float  # of values, sign included, over the inked pixels, with random networks (mean): the same pattern?
    edges: float  # of absolute values over the picture, with the plain edge map

    @property
    def survives(self) -> bool:
        """Whether the map points at the same places with random weights."""
        return self.places >= SURVIVAL_THRESHOLD

    @property
    def survives_in_strokes(self) -> bool:
        """Whether even its pattern within the strokes is the same with random weights."""
        return self.strokes >= SURVIVAL_THRESHOLD


def sanity(
    trained: NDArray[np.floating[Any]], random: NDArray[np.floating[Any]], ink: NDArray[np.floating[Any]]
) -> Sanity:
    """Compare a map with those of networks with random weights (Adebayo et al. 2018) and with the edges.

    Two questions, for a map may owe its outline to the picture and its pattern to the training: integrated gradients
    are 0 wherever the picture is black, whatever the network.

    Args:
        trained: (28, 28) the map in question.
        random: (R, 28, 28) the same method's maps of the same digit and target on R random networks, R > 0.
        ink: (28, 28) the digit, 0..1.
    """
    inked = ink > BLACK
    on_ink = [rank_correlation(trained[inked], map_[inked]) if inked.any() else 0.0 for map_ in random]
    return Sanity(
        places=float(np.mean([rank_correlation(np.abs(trained), np.abs(map_)) for map_ in random])),
        strokes=float(np.mean(on_ink)),
        edges=rank_correlation(np.abs(trained), edge_map(ink[np.newaxis])[0]),
    )


@dataclass(frozen=True)
class Curves:
    """The target's probability while inked pixels are removed, or put on black, portion by portion.

    Small areas speak for a map's order of deletion, large ones for its order of insertion.
    """

    shares: NDArray[np.float64]  # (S,) of the inked pixels, 0..1
    deletion: NDArray[np.float64]  # (S,) probability, those that the map ranks highest removed first
    insertion: NDArray[np.float64]  # (S,) probability, those inserted first
    random_deletion: NDArray[np.float64]  # (R, S), one row per random order
    random_insertion: NDArray[np.float64]  # (R, S)

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve, 0..1: the mean probability on the way."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve, 0..1."""
        return float(np.trapezoid(self.insertion, self.shares))

    @property
    def random_deletion_areas(self) -> NDArray[np.float64]:
        """(R,) areas of the random orders."""
        return np.asarray(np.trapezoid(self.random_deletion, self.shares, axis=1))

    @property
    def random_insertion_areas(self) -> NDArray[np.float64]:
        """(R,) areas of the random orders."""
        return np.asarray(np.trapezoid(self.random_insertion, self.shares, axis=1))

    @property
    def deletion_beats_random(self) -> bool:
        """Whether the map's order destroys the prediction faster than every random order."""
        return self.deletion_area < float(self.random_deletion_areas.min()) - CURVE_MARGIN

    @property
    def insertion_beats_random(self) -> bool:
        """Whether the map's order builds the prediction faster than every random order."""
        return self.insertion_area > float(self.random_insertion_areas.max()) + CURVE_MARGIN


def deletion_insertion(
    model: nn.Module, image: Tensor, map_: NDArray[np.floating[Any]], target: int, compute: Compute, seed: int = 0
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
        target: whose probability to follow.
        compute: where the model lives.
        seed: of the random orders.

    Raises:
        RequestError: the target is no digit.
    """
    check_target(target)
    ink = (to_unit(image) if image.dtype == torch.uint8 else image.float()).cpu().numpy().ravel()  # (784,)
    inked = np.flatnonzero(ink > BLACK)
    random = np.random.RandomState(derive_seed(seed, "orders") % 2**32)
    orders = [inked[np.argsort(-map_.ravel()[inked], kind="stable")]]
    orders += [random.permutation(inked) for _ in range(RANDOM_ORDERS)]
    series = np.stack([images for order in orders for images in deleted_and_inserted(ink, order)])  # (2 orders, S, 784)
    batch = torch.from_numpy(series.reshape(-1, 1, SIDE, SIDE))
    probabilities = predict_logits(model, batch, compute).double().softmax(dim=1)[:, target]
    curves = probabilities.numpy().reshape(len(orders), 2, -1)  # (orders, deletion and insertion, S)
    return Curves(portions(), curves[0, 0], curves[0, 1], curves[1:, 0], curves[1:, 1])


def portions() -> NDArray[np.float64]:
    """The places of a curve's points: shares of the inked pixels, from 0 to 1."""
    return np.linspace(0, 1, CURVE_STEPS + 1)


def deleted_and_inserted(ink: NDArray[np.float32], order: NDArray[np.intp]) -> tuple[Map, Map]:
    """The images (S, 784) of both curves for one order of the inked pixels (most important first)."""
    rank = np.full(ink.shape, len(order))  # uninked pixels stay black in both
    rank[order] = np.arange(len(order))
    taken = rank < np.round(portions() * len(order))[:, np.newaxis]  # (S, 784)
    return np.where(taken, BLACK, ink).astype(np.float32), np.where(taken, ink, BLACK).astype(np.float32)


@dataclass(frozen=True)
class Examples:
    """Some digits with their maps and the network's answers; N rows each."""

    images: NDArray[np.float32]  # (N, 28, 28) ink, 0..1
    maps: Map  # (N, 28, 28), each for the predicted digit
    labels: NDArray[np.int64]  # (N,) true digits
    predictions: NDArray[np.int64]  # (N,)
    probabilities: NDArray[np.float64]  # (N,) 0..1, of the prediction
    indices: NDArray[np.int64]  # (N,) positions in the MNIST file


def class_examples(
    model: nn.Module, digits: Digits, compute: Compute, method: str = DEFAULT_METHOD, seed: int = 0
) -> Examples:
    """The first digit of each class, rightly read or not, and what made the network read it so.

    Args:
        model: takes normalised (B, 1, 28, 28), gives (B, 10).
        digits: to choose from; a class without any is left out.
        compute: where the model lives.
        method: one of :data:`~mnist_lab.explain.methods.METHODS`.
        seed: of SmoothGrad's noise.

    Raises:
        RequestError: there is no such method, or it can't be used for this network.
    """
    _, first = np.unique(digits.labels.numpy(), return_index=True)
    chosen = digits.subset(torch.from_numpy(first))
    probabilities = predict_logits(model, chosen.images, compute).double().softmax(dim=1)  # (N, 10)
    confidence, predictions = probabilities.max(dim=1)
    return Examples(
        images=to_unit(chosen.images).squeeze(1).numpy(),
        maps=attribute(model, chosen.images, predictions, method, compute, seed),
        labels=chosen.labels.numpy(),
        predictions=predictions.numpy(),
        probabilities=confidence.numpy(),
        indices=chosen.indices.numpy(),
    )


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
    model: nn.Module,
    architecture: Architecture | str,
    image: Tensor,
    method: str,
    compute: Compute,
    target: int | None = None,
    seed: int = 0,
) -> Explanation:
    """A map with everything that is needed to judge it.

    Args:
        model: a trained network.
        architecture: its own, for its doubles with random weights.
        image: (1, 28, 28), white ink on black, uint8 0..255 or float 0..1.
        method: one of :data:`~mnist_lab.explain.methods.METHODS`.
        compute: where the model lives.
        target: the digit to explain ("why not a 9?"); None for the predicted one.
        seed: of noise, random weights and random orders.

    Raises:
        RequestError: there is no such method or target.
    """
    check_method(method)
    batch = image.unsqueeze(0)  # (1, 1, 28, 28)
    probabilities = predict_logits(model, batch, compute).double().softmax(dim=1)[0].numpy()
    target = int(probabilities.argmax()) if target is None else target
    ask = torch.tensor([target])
    map_ = attribute(model, batch, ask, method, compute, seed)[0]
    doubles = (randomised(architecture, compute, derive_seed(seed, number)) for number in range(RANDOM_NETWORKS))
    random = np.concatenate([attribute(double, batch, ask, method, compute, seed) for double in doubles])
    ink = (to_unit(image) if image.dtype == torch.uint8 else image.float()).cpu().numpy()  # (1, 28, 28)
    return Explanation(
        method=method,
        target=target,
        image=ink[0],
        probabilities=probabilities,
        map=map_,
        random_map=random[0],
        edges=edge_map(ink)[0],
        sanity=sanity(map_, random, ink[0]),
        curves=deletion_insertion(model, image, map_, target, compute, seed),
    )

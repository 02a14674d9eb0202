"""Which pixels mattered: attribution maps through Captum, and the controls that can prove a map wrong.

Everything here is a function of the ink (0 black background, 1 full ink): images are normalised inside, so that
gradients are in logits per unit of ink and "black" is simply 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion, Saliency
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr
from torch import Tensor, nn

from mnist_lab.config import CLASSES, Architecture
from mnist_lab.data.loader import derive_seed, seeded_generator
from mnist_lab.data.mnist import SIDE, Digits, normalise, to_unit
from mnist_lab.errors import RequestError
from mnist_lab.networks.compute import Compute, evaluating, predict_logits
from mnist_lab.networks.models import ConvBlock, DigitNet, build_model

DEFAULT_METHOD = "occlusion"
"""The easiest to read, and the one that independently trained networks agree on best: on 60 test digits, the maps of
two 3-layer networks had a rank correlation of 0.80 within the strokes, against 0.39 for integrated gradients."""

_BLACK = 0.0
"""Ink of MNIST's background: the baseline that maps compare with. A network sees it as (0 - 0.1307) / 0.3081 = -0.424,
never as 0: a zero after normalising would be a grey page."""

_BATCH_SIZE = 16  # digits per step; most methods make some fifty variants of each
_SMOOTHGRAD_SAMPLES = 50  # noisy copies; beyond 50 the paper sees little gain
_SMOOTHGRAD_NOISE = 0.15  # standard deviation in ink; the paper recommends 10 to 20 % of the range
_INTEGRATION_STEPS = 64  # points between black and the digit (Gauss-Legendre); the paper uses 20 to 300
OCCLUSION_SIDE = 5  # of the covering square, in pixels: a little wider than a stroke, so that it interrupts one
_SEED = 0  # of noise, random weights and random orders: everybody sees the same

Map = NDArray[np.float32]


def attribute(model: nn.Module, images: Tensor, targets: Tensor, method: str, compute: Compute) -> Map:
    """Ask which pixels mattered for a digit, whether it is the true one, the predicted one or any other.

    Computed in float32 and evaluation mode; the network and the global random state are left exactly as found, even
    on an error. The map of a digit is always the same, whatever else is in its batch.

    Args:
        model: takes normalised (B, 1, 28, 28), gives (B, 10); Grad-CAM needs a :class:`DigitNet`.
        images: (B, 1, 28, 28), white ink on black, uint8 0..255 or float 0..1.
        targets: (B,) the digit to explain for each image, 0..9.
        method: one of :data:`METHODS`.
        compute: where the model lives.

    Returns:
        (B, 28, 28), in the method's unit.

    Raises:
        RequestError: there is no such method or target, or Grad-CAM was asked of a network without blocks.
    """
    if method not in METHODS:
        raise RequestError(f"there is no saliency method {method!r}", f"choose one of {', '.join(METHODS)}")
    for target in targets.tolist():
        if not 0 <= target < CLASSES:
            raise RequestError(f"the target {target} is not a digit", "give a whole number from 0 to 9")
    # Gradients on and 16-bit arithmetic off, whatever the caller has set: bfloat16 keeps two to three digits only.
    in_full = torch.autocast(compute.device.type, enabled=False)
    with evaluating(model), torch.inference_mode(False), torch.enable_grad(), in_full:
        # Tensors of our own: the caller's may forbid gradients.
        ink, targets = to_unit(images).clone().to(compute.device), targets.clone().to(compute.device)
        batches = zip(torch.split(ink.detach(), _BATCH_SIZE), torch.split(targets, _BATCH_SIZE), strict=True)
        maps = [METHODS[method].ask(model, *batch).detach().cpu() for batch in batches]  # of (B, 1, 28, 28)
    return torch.cat(maps).squeeze(1).numpy()


def _logits_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network as a function of ink (B, 1, 28, 28) instead of normalised pixels."""
    return lambda ink: model(normalise(ink))  # (B, 10)


def _gradient(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    # The paper shows absolute values. On MNIST the sign has a meaning (Smilkov et al. 2017, section 2) and is kept: ink
    # here would speak for the target, or against it.
    maps: Tensor = Saliency(_logits_of(model)).attribute(ink.requires_grad_(), target=targets, abs=False)
    return maps  # (B, 1, 28, 28)


def _smoothgrad(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    # Captum's NoiseTunnel would draw from the global random state. This noise is the same for every digit, so that a
    # map does not depend on its batch.
    noise = torch.randn(_SMOOTHGRAD_SAMPLES, 1, SIDE, SIDE, generator=seeded_generator(_SEED, "smoothgrad"))
    copies = ink.unsqueeze(1) + _SMOOTHGRAD_NOISE * noise.to(ink.device)  # (B, samples, 1, 28, 28)
    maps = _gradient(model, copies.flatten(0, 1), targets.repeat_interleave(_SMOOTHGRAD_SAMPLES))
    return maps.reshape(copies.shape).mean(dim=1)  # (B, 1, 28, 28)


def _integrated_gradients(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    """The ink times the mean gradient on the straight line from MNIST's black (ink 0) to the digit.

    Up to the error of the numerical integration, the map adds up to the difference between the target's logits for the
    digit and for black. A black pixel always gets 0.
    """
    explainer = IntegratedGradients(_logits_of(model))
    maps: Tensor = explainer.attribute(
        ink.requires_grad_(), baselines=_BLACK, target=targets, n_steps=_INTEGRATION_STEPS, method="gausslegendre"
    )
    return maps.float()  # (B, 1, 28, 28)


def _occlusion(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    """What the target's logit loses when a black square covers the pixel, averaged over the squares that cover it.

    The paper's square is grey, the mean of photographs; MNIST's background is black, and grey would be ink.
    """
    window = (1, OCCLUSION_SIDE, OCCLUSION_SIDE)
    maps: Tensor = Occlusion(_logits_of(model)).attribute(
        ink, sliding_window_shapes=window, baselines=_BLACK, target=targets, perturbations_per_eval=32
    )
    return maps  # (B, 1, 28, 28)


def _grad_cam(model: nn.Module, ink: Tensor, targets: Tensor) -> Tensor:
    """The last block's feature maps, weighted by their mean gradient, summed, and cut off below zero.

    The coarse map is interpolated between the true centres of its cells: simply stretched to 28x28, a 3x3 map would lie
    up to two pixels off, because unpadded convolutions and pooling lose the border.
    """
    if not isinstance(model, DigitNet):
        raise RequestError("Grad-CAM needs a network with convolution blocks", "choose another saliency method")
    explainer = LayerGradCam(_logits_of(model), model.blocks[-1])
    cells: Tensor = explainer.attribute(ink.requires_grad_(), target=targets, relu_attributions=True)  # (B, 1, S, S)
    centres = _cell_centres(model)
    # Weights (28, S): linear between the cells' centres, constant outside.
    weights = np.stack([np.interp(np.arange(SIDE), centres, unit) for unit in np.eye(len(centres))], axis=1)
    across = torch.from_numpy(weights).to(cells)
    return across @ cells @ across.T  # (B, 1, 28, 28)


def _cell_centres(model: DigitNet) -> NDArray[np.float64]:
    """Where the cells of the last block's feature maps lie along one side of the image, (S,) in pixels.

    A 3x3 window begins 1 - padding steps further in, a 2x2 window half a step, and then the step doubles.
    """
    start, step, side = 0.0, 1, SIDE
    for block in model.blocks:
        assert isinstance(block, ConvBlock)
        padding = int(block.conv.padding[0])
        start += (1 - padding + 0.5) * step
        side, step = (side + 2 * padding - 2) // 2, 2 * step
    return start + step * np.arange(side, dtype=np.float64)


@dataclass(frozen=True)
class SaliencyMethod:
    """One way to ask a network which pixels mattered."""

    title: str  # as figures write it
    description: str  # what it answers, in one line
    paper: str
    unit: str  # of the map's values
    ask: Callable[[nn.Module, Tensor, Tensor], Tensor]  # network, ink and targets to maps (B, 1, 28, 28)
    signed: bool = True  # whether values below zero speak against the target


METHODS = {
    "gradient": SaliencyMethod(
        "Gradient",
        "how the target's score would change with a little more ink in a pixel",
        'Simonyan et al. 2013, "Deep inside convolutional networks", arXiv:1312.6034',
        "logits per unit of ink",
        _gradient,
    ),
    "smoothgrad": SaliencyMethod(
        "SmoothGrad",
        "the mean gradient over noisy copies of the digit",
        'Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise", arXiv:1706.03825',
        "logits per unit of ink",
        _smoothgrad,
    ),
    "integrated-gradients": SaliencyMethod(
        "Integrated gradients",
        "each pixel's contribution to the target's score, compared with a black image",
        'Sundararajan et al. 2017, "Axiomatic attribution for deep networks", arXiv:1703.01365',
        "logits",
        _integrated_gradients,
    ),
    "occlusion": SaliencyMethod(
        "Occlusion",
        "how much of the target's score is lost when a small square of background covers the pixel",
        'Zeiler & Fergus 2013, "Visualizing and understanding convolutional networks", arXiv:1311.2901',
        "logits",
        _occlusion,
    ),
    "grad-cam": SaliencyMethod(
        "Grad-CAM",
        "where the last convolution block found evidence for the target (coarse: 3x3 cells in 3-layer)",
        'Selvaraju et al. 2016, "Grad-CAM: visual explanations from deep networks", arXiv:1610.02391',
        "logits per cell",
        _grad_cam,
        signed=False,
    ),
}
"""By name, as typed on the command line."""


class Examples(NamedTuple):
    """N digits with their maps and the network's answers."""

    digits: Digits
    maps: Map  # (N, 28, 28), each for the predicted digit
    probabilities: NDArray[np.float64]  # (N, 10)


def class_examples(model: nn.Module, digits: Digits, compute: Compute) -> Examples:
    """The first digit of each class that occurs, with the map of its predicted digit by the default method."""
    _, first = np.unique(digits.labels.numpy(), return_index=True)
    chosen = digits.subset(torch.from_numpy(first))
    probabilities = predict_logits(model, chosen.images, compute).double().softmax(dim=1)
    maps = attribute(model, chosen.images, probabilities.argmax(dim=1), DEFAULT_METHOD, compute)
    return Examples(chosen, maps, probabilities.numpy())


_RANDOM_NETWORKS = 5  # with random weights, to compare a map with; a single one may resemble it by chance
_PORTIONS = np.linspace(0, 1, 25)  # fractions of the inked pixels that a curve's points have removed or inserted
_CURVE_MARGIN = 0.01  # areas nearer to a random order's count as equal; all do, for a target that is never probable
RANDOM_ORDERS = 19  # a map that knows nothing has a chance of 1 in 20 of beating them all

SURVIVAL_THRESHOLD = 0.6
"""Mean rank correlation with the maps of random networks from which a map counts as surviving them.

Chosen on the first 60 MNIST test digits, on trained 1-, 2- and 3-layer networks. Gradient, SmoothGrad and Grad-CAM
follow the weights: mean 0.05 to 0.45; two independently trained 3-layer networks: 0.58. Occlusion and integrated
gradients are (nearly) zero away from the ink whatever the weights: mean 0.87 and 0.99. On 40 other digits (3-layer),
the first three stayed below 0.6 (highest 0.51), the others above (lowest 0.69); of 2-layer's Grad-CAM, 17 % are above.
Within the strokes, sign included, no method's mean is beyond 0.11, while two trained networks agree at 0.2 to 0.8.
"""


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
        return np.asarray(np.trapezoid(self.random, self.fractions, axis=1))  # (R,)


class Curves(NamedTuple):
    """What removing pixels in a map's order destroys, and what inserting them builds up."""

    deletion: Curve
    insertion: Curve

    @property
    def beat_random(self) -> tuple[bool, bool]:
        """Whether the map's order destroys, and builds up, the prediction faster than every random order."""
        falls = self.deletion.area < float(self.deletion.random_areas.min()) - _CURVE_MARGIN
        return falls, self.insertion.area > float(self.insertion.random_areas.max()) + _CURVE_MARGIN


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
        return int(self.probabilities.argmax())


def explain(
    model: nn.Module, own: Architecture, image: Tensor, method: str, compute: Compute, target: int | None = None
) -> Explanation:
    """A map of an image, (1, 28, 28), with all that shows whether it can be trusted; otherwise as :func:`attribute`.

    ``own`` is the network's architecture, for the same network with random weights; ``target`` is the digit to explain
    ("why not a 9?"), None for the predicted one.
    """
    batch = image.unsqueeze(0)  # (1, 1, 28, 28)
    probabilities = predict_logits(model, batch, compute).double().softmax(dim=1)[0].numpy()
    target = int(probabilities.argmax()) if target is None else target
    networks = [model, *(_randomised(own, compute, derive_seed(_SEED, one)) for one in range(_RANDOM_NETWORKS))]
    map_, *random = (attribute(each, batch, torch.tensor([target]), method, compute)[0] for each in networks)
    ink = to_unit(image).cpu().numpy()[0]  # (28, 28)
    edges, compared = _edge_map(ink), sanity(map_, np.stack(random), ink)
    curves = deletion_insertion(model, image, map_, target, compute)
    return Explanation(method, target, ink, probabilities, map_, random[0], edges, compared, curves)


def _randomised(architecture: Architecture, compute: Compute, seed: int) -> DigitNet:
    # Never the weights that a run with this seed began with: training moves away from them less than from any other.
    return compute.place(build_model(architecture, derive_seed(seed, "randomised"))).eval()


def _edge_map(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """How steeply the ink (28, 28) changes at each pixel, in ink per pixel: a map that knows no network at all."""
    ink = image.astype(np.float64)
    return np.hypot(ndimage.sobel(ink, axis=0), ndimage.sobel(ink, axis=1)) / 8  # its weights add up to 8 per pixel


def _rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Spearman's rank correlation, -1..1, of two maps of the same shape; 0 if one is empty or the same everywhere."""
    if one.size == 0 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def sanity(trained: NDArray[np.floating], random: NDArray[np.floating], ink: NDArray[np.floating]) -> Sanity:
    """Compare a map with those of the same network with random weights, and with the edges.

    Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv:1810.03292: a map that looks the same on a network
    with random weights can't show what the trained one has learned. A map may owe its outline to the picture and only
    its pattern to the training, which is why places and strokes are compared separately: integrated gradients are 0
    wherever the picture is black, whatever the network.

    The map in question is (28, 28), those of the same method, digit and target on R > 0 random networks (R, 28, 28),
    the digit's ink (28, 28), 0..1.
    """
    inked = ink > _BLACK
    return Sanity(
        places=float(np.mean([_rank_correlation(np.abs(trained), np.abs(map_)) for map_ in random])),
        strokes=float(np.mean([_rank_correlation(trained[inked], map_[inked]) for map_ in random])),
        edges=_rank_correlation(np.abs(trained), _edge_map(ink)),
    )


def deletion_insertion(
    model: nn.Module, image: Tensor, map_: NDArray[np.floating], target: int, compute: Compute
) -> Curves:
    """Test whether the pixels that a map calls important really are.

    Petsiuk, Das & Saenko 2018, "RISE", arXiv:1806.07421, with one change: only inked pixels are removed (set to black)
    and inserted, in the map's order and in the random ones. Blackening black pixels does nothing, so among all 784
    pixels every map that merely finds the strokes would beat random order.

    The image is (1, 28, 28), uint8 0..255 or float 0..1. The map, (28, 28), is highest at the most important pixels:
    values, not absolute ones, also for gradients. On 40 test digits, those beat all random orders of deletion in 60 %,
    their absolute values in 3 %.
    """
    ink = to_unit(image).cpu().numpy().ravel()  # (784,)
    inked = np.flatnonzero(ink > _BLACK)
    random = np.random.RandomState(derive_seed(_SEED, "orders") % 2**32)
    orders = [inked[np.argsort(-map_.ravel()[inked], kind="stable")]]
    orders += [random.permutation(inked) for _ in range(RANDOM_ORDERS)]
    series = np.array([_deleted_and_inserted(ink, order) for order in orders])  # (orders, 2, S, 784)
    batch = torch.from_numpy(series.reshape(-1, 1, SIDE, SIDE))
    probabilities = predict_logits(model, batch, compute).double().softmax(dim=1)[:, target]
    curves = probabilities.numpy().reshape(len(orders), 2, -1)  # (orders, deletion and insertion, S)
    deletion, insertion = (Curve(_PORTIONS, curves[0, kind], curves[1:, kind]) for kind in (0, 1))
    return Curves(deletion, insertion)


def _deleted_and_inserted(ink: NDArray[np.float32], order: NDArray[np.intp]) -> tuple[Map, Map]:
    """The images (S, 784) of both curves for one order of the inked pixels (most important first)."""
    rank = np.full(ink.shape, len(order))  # uninked pixels stay black in both
    rank[order] = np.arange(len(order))
    taken = rank < np.round(_PORTIONS * len(order))[:, np.newaxis]  # (S, 784)
    return np.where(taken, _BLACK, ink).astype(np.float32), np.where(taken, ink, _BLACK).astype(np.float32)

"""The inside of a network: every activation that a digit causes, and the sum behind each of them.

Everything is computed on the CPU in float32 by the network's own layers, so that what is shown is what there is.
None of it explains a prediction: a map shows where its filter answers, not why the network decides as it does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_lab.data.mnist import SIDE, Digits, normalise, to_unit
from mnist_lab.networks.compute import BATCH_SIZE, require_finite
from mnist_lab.networks.models import ConvBlock, DigitNet

Values = NDArray[np.float32]
DECIMALS = 3  # of every number that is part of a sum
RELU = "below 0 becomes 0 (ReLU)"  # the last step of every sum, and the longest of their names


@dataclass(frozen=True)
class Inside:
    """All activations that one picture causes."""

    image: Values  # (1, 28, 28) normalised pixels
    maps: tuple[Values, ...]  # of each block, (C, S, S), after pooling, batch normalisation and ReLU
    hidden: Values  # (H,), after ReLU
    logits: Values  # (10,)

    @property
    def layers(self) -> tuple[Values, ...]:
        """The maps of each block, (C, S, S), and the hidden units as maps of one value, (H, 1, 1)."""
        return (*self.maps, self.hidden[:, np.newaxis, np.newaxis])

    def by_strength(self, layer: int) -> NDArray[np.int64]:
        """A layer's filters or units, (C,), the one that answers most on average first; among equals, the first."""
        return np.argsort(-self.layers[layer].mean(axis=(1, 2)), kind="stable")

    def silent(self, layer: int) -> NDArray[np.bool_]:
        """Which of a layer's filters or units, (C,), do not answer to this picture anywhere."""
        return np.asarray(self.layers[layer].max(axis=(1, 2)) == 0)


def opened(model: DigitNet) -> DigitNet:
    """A copy of a network to look into: on the CPU, in float32 and in evaluation mode."""
    return copy.deepcopy(model).cpu().float().eval().requires_grad_(False)


@torch.inference_mode()
def look_inside(model: DigitNet, picture: NDArray[np.uint8]) -> Inside:
    """What an opened network makes of a picture (28, 28), white on black; ``TrainingError`` unless it is finite."""
    image = normalise(to_unit(torch.from_numpy(picture.copy()))).view(1, 1, *picture.shape)
    maps = [image]
    for block in model.blocks:
        maps.append(block(maps[-1]))  # (1, C, S, S)
    hidden = model.classifier[:-1](maps[-1])  # (1, H)
    logits = model.classifier[-1](hidden)  # (1, 10)
    require_finite(logits)
    first, *rest = (part[0].numpy() for part in maps)
    return Inside(first, tuple(rest), hidden[0].numpy(), logits[0].numpy())


@dataclass(frozen=True)
class PixelSum:
    """The sum behind one value of a map: convolution, maximum over a 2x2 window, scale and shift, ReLU."""

    patch: Values  # (C, 3, 3) of the block's input, 0 beyond its border, where the convolution is largest
    corner: tuple[int, int]  # row and column of the patch's first value in the input; -1 is the border's padding
    kernel: Values  # (C, 3, 3)
    bias: float  # 0 in a network with batch normalisation
    convolved: Values  # (2, 2) of the window, each the sum of a patch times the kernel, plus the bias
    scale: float  # batch normalisation: its weight / sqrt(variance + eps); 1 without it
    shift: float  # its bias - mean * scale; 0 without it
    normalised: float  # the largest of the window, scaled and shifted
    value: float  # after ReLU: what the map shows

    def written(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.float64], list[tuple[str, float | None]]]:
        """The sum as it is written: rounded so that everything adds up.

        The K input maps, at most ``most``, that contribute most to it, for or against, the largest first; the products
        of their patch and kernel, (K, 3, 3); and the steps from there, each with a name and what it adds or leaves.
        """
        products = self.patch * self.kernel  # (C, 3, 3)
        sums = products.sum(axis=(1, 2), dtype=np.float64)  # (C,)
        shown = np.argsort(-np.abs(sums), kind="stable")[:most]
        others, largest = np.delete(sums, shown), float(self.convolved.max())
        *parts, rest, bias = add_up([*products[shown].ravel(), others.sum(), self.bias], largest)
        steps: list[tuple[str, float | None]] = [(f"+ the other {len(others)} maps", rest)] if len(others) else []
        if self.bias:
            steps.append(("+ bias", bias))
        window = " ".join(map(number, self.convolved.ravel().tolist()))
        steps += [("= sum (convolution)", largest), (f"window: {window}", None), ("the largest (pooling)", largest)]
        if (self.scale, self.shift) != (1.0, 0.0):
            scaled, shift = add_up([self.scale * largest, self.shift], self.normalised)
            steps.append((f"× {number(self.scale)} (scale)", scaled))
            steps.append((f"+ {number(shift)} (shift)".replace("+ −", "− "), self.normalised))
        return shown, np.reshape(parts, (-1, 3, 3)), [*steps, (RELU, self.value)]


@torch.inference_mode()
def pixel_sum(model: DigitNet, inside: Inside, block: int, filter: int, row: int, column: int) -> PixelSum:
    """How an opened network came to one value of ``inside.maps[block][filter, row, column]``; all count from 0."""
    layer = cast(ConvBlock, model.blocks[block])
    given = torch.from_numpy((inside.image, *inside.maps)[block])  # (C, S, S)
    convolved = layer.conv(given.unsqueeze(0))  # (1, F, S, S)
    normalised = layer.norm(layer.pool(convolved))
    window = convolved[0, filter, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
    require_finite(window)  # it may be minus infinity, of which ReLU makes 0
    down, right = divmod(int(window.argmax()), 2)
    top, left = 2 * row + down, 2 * column + right  # of the patch, in the padded input
    padding = int(layer.conv.padding[0])
    padded = nn.functional.pad(given, [padding] * 4)
    scale, shift, norm = 1.0, 0.0, layer.norm
    if isinstance(norm, nn.BatchNorm2d):  # in evaluation mode, one multiplication and one addition for each filter
        variance = cast(Tensor, norm.running_var)[filter].double()
        scale = float(norm.weight[filter].double() / (variance + norm.eps).sqrt())
        shift = float(norm.bias[filter].double() - cast(Tensor, norm.running_mean)[filter].double() * scale)
    return PixelSum(
        patch=padded[:, top : top + 3, left : left + 3].numpy(),
        corner=(top - padding, left - padding),
        kernel=layer.conv.weight[filter].numpy(),
        bias=0.0 if layer.conv.bias is None else float(layer.conv.bias[filter]),
        convolved=window.numpy(),
        scale=scale,
        shift=shift,
        normalised=float(normalised[0, filter, row, column]),
        value=float(layer.relu(normalised)[0, filter, row, column]),
    )


def seen_by(model: DigitNet, block: int, row: int, column: int) -> tuple[int, int, int, int]:
    """Which pixels of the picture one value of a block's maps depends on: top, left, height and width."""
    side = 1
    for layer in reversed(model.blocks[: block + 1]):
        padding = int(cast(ConvBlock, layer).conv.padding[0])
        row, column, side = 2 * row - padding, 2 * column - padding, 2 * side + 2  # 2x2 windows of 3x3 patches
    top, left, bottom, right = max(row, 0), max(column, 0), min(row + side, SIDE), min(column + side, SIDE)
    return top, left, bottom - top, right - left


@dataclass(frozen=True)
class LogitSum:
    """What one digit's logit is made of: the bias, and each hidden unit's activation times its weight."""

    contributions: Values  # (H,)
    bias: float
    value: float

    def written(self, count: int) -> tuple[NDArray[np.int64], list[float], float, float]:
        """The units that contribute most, for the digit or against it, the largest first; their parts, rest and bias.

        They are rounded so that they add up.
        """
        units = np.argsort(-np.abs(self.contributions), kind="stable")[:count]
        others = np.delete(self.contributions, units).sum()
        *parts, rest, bias = add_up([*self.contributions[units], others, self.bias], self.value)
        return units, parts, rest, bias


def logit_sum(model: DigitNet, inside: Inside, digit: int) -> LogitSum:
    """How an opened network came to ``inside.logits[digit]``."""
    last = cast(nn.Linear, model.classifier[-1])
    contributions: Values = inside.hidden * last.weight[digit].numpy(force=True)  # (H,)
    return LogitSum(contributions, last.bias[digit].item(), float(inside.logits[digit]))


def add_up(parts: Sequence[float], total: float) -> list[float]:
    """Round parts so that they add up to their rounded total: all down, then those with the largest remainders up."""
    unit = 10.0**-DECIMALS
    exact = np.asarray(parts, dtype=np.float64) / unit
    whole = np.floor(exact)
    missing = round(round(total, DECIMALS) / unit) - int(whole.sum())
    each, some = divmod(missing, len(whole))  # each: 0, or where float32 itself has rounded, perhaps -1
    whole[np.argsort(whole - exact, kind="stable")] += each + (np.arange(len(whole)) < some)
    return [float(round(count * unit, DECIMALS)) for count in whole]


def number(value: float, decimals: int = DECIMALS, sign: str = "-") -> str:
    """A number as it is written in sums; zero is never negative."""
    return f"{value:{sign}z.{decimals}f}".replace("-", "−")


def first_kernels(model: DigitNet) -> Values:
    """The kernels of the first block, (F, 3, 3): small pictures of what each filter multiplies the pixels with."""
    weights: Values = cast(ConvBlock, model.blocks[0]).conv.weight.detach()[:, 0].numpy()
    return weights


@dataclass(frozen=True)
class Survey:
    """What a network's filters and hidden units answer to, among N digits."""

    digits: Digits
    peaks: tuple[Values, ...]  # of each block, and of the hidden units, (C,): the strongest answers to any digit
    hidden: Values  # (N, H) activations

    def dead(self, layer: int) -> NDArray[np.bool_]:
        """Which of a block's filters, or after the blocks which hidden units, (C,), answer to none of the digits."""
        return np.asarray(self.peaks[layer] == 0)

    def exciting(self, unit: int, count: int) -> NDArray[np.uint8]:
        """The digits that excite a hidden unit most, (K, 28, 28), white on black; none that leave it silent."""
        activations = self.hidden[:, unit]
        strongest = np.argsort(-activations, kind="stable")[:count]
        images: NDArray[np.uint8] = self.digits.images[strongest[activations[strongest] > 0], 0].numpy()
        return images


def survey(model: DigitNet, digits: Digits) -> Survey:
    """Show an opened network some digits, N > 0, and keep how its filters and hidden units answer."""
    *_, found = surveying(model, digits)
    return cast(Survey, found)


@torch.inference_mode()
def surveying(model: DigitNet, digits: Digits) -> Iterator[Survey | None]:
    """The same in short steps, for a window that has other things to do: None until the last."""
    peaks, hidden = [np.zeros(1, np.float32)] * len(model.blocks), []
    for images in torch.split(digits.images, BATCH_SIZE):
        maps = normalise(to_unit(images))  # (B, 1, 28, 28)
        for place, block in enumerate(model.blocks):
            maps = block(maps)  # (B, C, S, S)
            peaks[place] = np.maximum(peaks[place], maps.amax(dim=(0, 2, 3)).numpy())
        hidden.append(model.classifier[:-1](maps))  # (B, H)
        yield None
    activations = torch.cat(hidden).numpy()
    yield Survey(digits, (*peaks, activations.max(axis=0)), activations)

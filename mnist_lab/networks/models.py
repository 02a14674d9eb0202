"""The networks, each readable as a diagram, and the summary of what every layer costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnist_lab.config import ARCHITECTURES, CLASSES, Architecture
from mnist_lab.data.loader import derive_seed
from mnist_lab.data.mnist import SIDE
from mnist_lab.networks.compute import evaluating


class ConvBlock(nn.Module):
    """3x3 convolution, 2x2 max pooling, batch normalisation, ReLU.

    Pooling comes first, so that the element-wise layers work on a quarter of the values. It picks the same winners:
    ReLU keeps the order of values, and so does batch normalisation while its scale is positive.
    """

    def __init__(self, channels_in: int, channels_out: int, *, padding: int, batch_norm: bool) -> None:
        super().__init__()
        # With batch normalisation a bias would be pointless: it is subtracted again with the mean.
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=padding, bias=not batch_norm)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.BatchNorm2d(channels_out) if batch_norm else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, S, S) to (B, channels_out, S // 2, S // 2); unpadded to (S - 2) // 2."""
        out: Tensor = self.relu(self.norm(self.pool(self.conv(x))))
        return out


class DigitNet(nn.Module):
    """Some convolution blocks, and a classifier.

    3-layer, for a batch of B digits::

        (B, 1, 28, 28)    normalised pixels
              |           block 1: 32 filters, unpadded (the border of a digit is black)
        (B, 32, 13, 13)
              |           block 2: 64 filters
        (B, 64, 6, 6)
              |           block 3: 128 filters
        (B, 128, 3, 3)
              |           flatten, 256 hidden units, ReLU, dropout
        (B, 10)           logits: one score per digit

    2-layer leaves out block 3 and flattens (B, 64, 6, 6); 1-layer flattens (B, 32, 13, 13). They have more to flatten,
    and 128 hidden units: 64 * 6 * 6 * 128 weights are as many as 128 * 3 * 3 * 256.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        side, channels = SIDE, 1
        self.blocks = nn.Sequential()
        for number, filters in enumerate(architecture.filters):
            padding = 0 if number == 0 else 1
            self.blocks.append(ConvBlock(channels, filters, padding=padding, batch_norm=architecture.batch_norm))
            side, channels = (side + 2 * padding - 2) // 2, filters
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * side * side, architecture.hidden),
            nn.ReLU(),
            nn.Dropout(architecture.dropout),
            nn.Linear(architecture.hidden, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pixels (B, 1, 28, 28) to logits (B, 10)."""
        logits: Tensor = self.classifier(self.blocks(x))  # (B, C, S, S), (B, 10)
        return logits

    def hidden(self, x: Tensor) -> Tensor:
        """Normalised pixels (B, 1, 28, 28) to the activations (B, H) of the hidden units, which the logits weigh."""
        activations: Tensor = self.classifier[:-1](self.blocks(x))  # all but the last linear layer
        return activations


def build_model(architecture: Architecture | str, seed: int = 0) -> DigitNet:
    """A new network, by name or of your own making; ``seed`` decides its weights, and the global random state stays."""
    if isinstance(architecture, str):
        architecture = ARCHITECTURES[architecture]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        return DigitNet(architecture)


def count_parameters(model: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True)
class LayerSummary:
    """What one layer makes of one image, and what it costs."""

    name: str
    output_shape: tuple[int, ...]  # (channels, height, width), or (features,)
    parameters: int
    multiply_adds: int  # of convolutions and linear layers; the others' are negligible
    receptive_field: int  # side of the square of input pixels that one output value depends on


@torch.no_grad()
def model_summary(model: DigitNet) -> list[LayerSummary]:
    """One entry per layer, found by sending one blank image through the network.

    The receptive field r grows with every window: r += (kernel - 1) * jump, where jump, the distance in input pixels
    between two neighbouring outputs, multiplies with every stride (Araujo et al. 2019, "Computing receptive fields").
    """
    found: list[LayerSummary] = []
    field, jump, value = 1, 1, torch.zeros(1, 1, SIDE, SIDE)
    with evaluating(model):
        for layer in model.modules():
            changes_nothing = isinstance(layer, nn.Identity) or (isinstance(layer, nn.Dropout) and layer.p == 0)
            if list(layer.children()) or changes_nothing:
                continue
            value = layer(value)
            kernel, stride, multiply_adds = 1, 1, 0
            match layer:
                case nn.Conv2d(kernel_size=(kernel, _)):
                    name = f"convolution {kernel}x{kernel}, {layer.out_channels} filters"
                    multiply_adds = value.numel() * layer.in_channels * kernel**2
                case nn.MaxPool2d(kernel_size=int(kernel), stride=int(stride)):
                    name = f"max pooling {kernel}x{kernel}"
                case nn.Linear():
                    name = f"linear, {layer.out_features} units"
                    multiply_adds = layer.in_features * layer.out_features
                    field = SIDE  # every unit is connected to all of the flattened picture
                case nn.Dropout():
                    name = f"dropout {layer.p:g}"
                case _:
                    name = {nn.BatchNorm2d: "batch normalisation", nn.ReLU: "ReLU", nn.Flatten: "flatten"}[type(layer)]
            field, jump = field + (kernel - 1) * jump, jump * stride
            found.append(LayerSummary(name, tuple(value.shape[1:]), count_parameters(layer), multiply_adds, field))
    return found

"""The three networks and their ledger."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mnist_lab.config import ARCHITECTURES, Architecture
from mnist_lab.networks.models import ConvBlock, DigitNet, build_model, capacity_ledger, count_parameters

TABLE = {"1-layer": ([32], 0.0), "2-layer": ([32, 64], 0.2), "3-layer": ([32, 64, 128], 0.3)}


@pytest.mark.parametrize("name", TABLE)
def test_the_networks_are_those_of_the_table(name: str) -> None:
    filters, dropout = TABLE[name]
    modules = list(build_model(name).modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    assert [convolution.out_channels for convolution in convolutions] == filters
    assert {convolution.kernel_size for convolution in convolutions} == {(3, 3)}
    assert len([module for module in modules if isinstance(module, nn.BatchNorm2d)]) == len(filters)
    assert len([module for module in modules if isinstance(module, nn.MaxPool2d)]) == len(filters)
    assert [module.p for module in modules if isinstance(module, nn.Dropout)] == [dropout]


@pytest.mark.parametrize("name", TABLE)
def test_ten_logits_per_digit(name: str) -> None:
    model = build_model(name).eval()
    assert model(torch.zeros(5, 1, 28, 28)).shape == (5, 10)
    assert model(torch.zeros(0, 1, 28, 28)).shape == (0, 10)


def test_the_seed_decides_the_weights_and_nothing_else() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, again, other = build_model("2-layer", 7), build_model("2-layer", 7), build_model("2-layer", 8)
    assert torch.equal(torch.rand(3), expected)
    for (name, a), b, c in zip(
        first.state_dict().items(), again.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
        assert not (name.endswith("conv.weight") and torch.equal(a, c))


def test_batch_norm_and_dropout_can_be_left_out() -> None:
    bare = DigitNet(Architecture(filters=(32, 64, 128), dropout=0.0, batch_norm=False))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in bare.modules())
    assert "blocks.0.conv.bias" in bare.state_dict()
    assert bare(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    layers = [row.layer for row in capacity_ledger(bare)]
    assert not any("dropout" in layer or "normalisation" in layer for layer in layers)


def test_the_shallow_network_holds_the_most_weights() -> None:
    counts = {name: count_parameters(build_model(name)) for name in ARCHITECTURES}
    assert counts["1-layer"] > counts["3-layer"] > counts["2-layer"]


def test_the_two_deeper_networks_flatten_into_as_many_weights() -> None:
    two, three = (build_model(name).state_dict()["classifier.1.weight"] for name in ("2-layer", "3-layer"))
    assert two.numel() == three.numel()


@pytest.mark.parametrize("name", TABLE)
def test_the_ledger_adds_up(name: str) -> None:
    model = build_model(name)
    rows = capacity_ledger(model)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    assert rows[-1].output_shape == (10,)
    assert model.training  # the ledger leaves the network as it was


def test_the_ledger_by_hand() -> None:
    rows = {row.layer: row for row in capacity_ledger(build_model("2-layer"))}
    second = rows["convolution 3x3, 64 filters"]
    assert second.output_shape == (64, 13, 13)
    assert second.parameters == 64 * 32 * 9
    assert second.multiply_adds == 64 * 13 * 13 * 32 * 9
    assert second.receptive_field == 8  # 3, then 4 after pooling, then two steps of two pixels more
    hidden = rows["linear, 128 units"]
    assert hidden.parameters == 64 * 6 * 6 * 128 + 128
    assert hidden.multiply_adds == 64 * 6 * 6 * 128


@pytest.mark.parametrize("name", TABLE)
def test_the_receptive_field_is_what_gradients_reach(name: str) -> None:
    model = build_model(name).eval()
    fields = [row.receptive_field for row in capacity_ledger(model) if row.layer == "max pooling 2x2"]
    image = torch.rand(1, 1, 28, 28, requires_grad=True)
    value = image
    for block, expected in zip(model.blocks, fields, strict=True):
        assert isinstance(block, ConvBlock)
        # Mean instead of maximum: every pixel that may matter then gets a gradient.
        value = nn.functional.avg_pool2d(block.conv(value), 2)
        middle = value.shape[-1] // 2
        (gradient,) = torch.autograd.grad(value[0, :, middle, middle].sum(), image, retain_graph=True)
        touched = gradient[0, 0].abs() > 0
        assert int(touched.any(dim=0).sum()) == min(expected, 28)

"""The three networks and their summary."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mnist_lab.config import ARCHITECTURES, Architecture
from mnist_lab.networks.models import DigitNet, build_model, count_parameters, model_summary

TABLE = {"1-layer": ([32], 0.0), "2-layer": ([32, 64], 0.2), "3-layer": ([32, 64, 128], 0.3)}
"""Filters and dropout, as the README and the assignment name them."""


@pytest.mark.parametrize("name", TABLE)
def test_the_networks_are_those_of_the_table(name: str) -> None:
    filters, dropout = TABLE[name]
    model = build_model(name)
    modules = list(model.modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    assert [convolution.out_channels for convolution in convolutions] == filters
    assert {convolution.kernel_size for convolution in convolutions} == {(3, 3)}
    for kind in (nn.BatchNorm2d, nn.MaxPool2d):
        assert len([module for module in modules if isinstance(module, kind)]) == len(filters)
    assert [module.p for module in modules if isinstance(module, nn.Dropout)] == [dropout]
    for count in (0, 5):
        assert model.eval()(torch.zeros(count, 1, 28, 28)).shape == (count, 10)


def test_the_seed_decides_the_weights_and_nothing_else() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, again, other = (build_model("2-layer", seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("conv.weight"))


def test_batch_norm_and_dropout_can_be_left_out() -> None:
    bare = DigitNet(Architecture(filters=(32, 64, 128), dropout=0.0, batch_norm=False))
    assert "blocks.0.conv.bias" in bare.state_dict()
    assert bare(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    layers = [layer.name for layer in model_summary(bare)]
    assert not any("dropout" in layer or "normalisation" in layer for layer in layers)


def test_the_shallow_network_holds_the_most_weights() -> None:
    counts = {name: count_parameters(build_model(name)) for name in ARCHITECTURES}
    assert counts["1-layer"] > counts["3-layer"] > counts["2-layer"]
    two, three = (build_model(name).state_dict()["classifier.1.weight"] for name in ("2-layer", "3-layer"))
    assert two.numel() == three.numel()


@pytest.mark.parametrize("name", TABLE)
def test_the_summary_adds_up(name: str) -> None:
    model = build_model(name)
    summary = model_summary(model)
    assert model.training  # it leaves the network as it was
    assert sum(layer.parameters for layer in summary) == sum(p.numel() for p in model.parameters())
    assert summary[-1].output_shape == (10,)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 1, 28, 28))
    assert sum(layer.multiply_adds for layer in summary) == counter.get_total_flops() // 2


def test_a_layers_summary_by_hand() -> None:
    summary = model_summary(build_model("2-layer"))
    layers = {layer.name: layer for layer in summary}
    second = layers["convolution 3x3, 64 filters"]
    assert second.output_shape == (64, 13, 13)
    assert second.parameters == 64 * 32 * 9
    assert second.multiply_adds == 64 * 13 * 13 * 32 * 9
    assert second.receptive_field == 8  # 3, then 4 after pooling, then two steps of two pixels more
    assert layers["linear, 128 units"].parameters == 64 * 6 * 6 * 128 + 128
    assert [layer.receptive_field for layer in summary][-4:] == [28] * 4


def test_the_receptive_field_is_what_gradients_reach() -> None:
    model = build_model("3-layer").eval()
    fields = [layer.receptive_field for layer in model_summary(model) if layer.name == "max pooling 2x2"]
    image = torch.rand(1, 1, 28, 28, requires_grad=True)
    value = image
    for block, expected in zip(model.blocks, fields, strict=True):
        # Mean instead of maximum: every pixel that may matter then gets a gradient.
        value = nn.functional.avg_pool2d(block.get_submodule("conv")(value), 2)
        middle = value.shape[-1] // 2
        (gradient,) = torch.autograd.grad(value[0, :, middle, middle].sum(), image, retain_graph=True)
        assert int((gradient[0, 0].abs() > 0).any(dim=0).sum()) == min(expected, 28)

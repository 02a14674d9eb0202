"""What a network is asked, and what becomes of its answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnist_lab.config import AugmentConfig, TrainConfig
from mnist_lab.data.mnist import MEAN, STD, Mnist, to_unit
from mnist_lab.errors import TrainingError
from mnist_lab.networks.compute import Compute, predict_hidden, predict_logits
from mnist_lab.networks.models import build_model
from mnist_lab.training.trainer import Trainer


class Recorder(nn.Module):
    """A network that keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x.detach().clone())
        return self.scale * x.flatten(1)[:, :10]


def test_validation_and_test_see_the_plain_images_bit_for_bit(mnist: Mnist, compute: Compute) -> None:
    recorder = Recorder().to(compute.device)
    config = TrainConfig(augment=AugmentConfig(erasing=1.0), average_decay=0.0)
    Trainer(recorder, mnist.train, mnist.validation, config, compute).validate()
    predict_logits(recorder, mnist.test.images, compute)
    plain = np.concatenate([mnist.validation.images.numpy(), mnist.test.images.numpy()])
    expected = (plain.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    assert np.array_equal(torch.cat(recorder.asked).cpu().numpy(), expected)


def test_answers_depend_on_neither_batch_nor_mode_nor_kind_of_pixels(mnist: Mnist, compute: Compute) -> None:
    model = compute.place(build_model("3-layer")).train()
    images = mnist.test.images[:70]
    expected = predict_logits(model, images, compute)
    assert model.training
    assert expected.shape == (70, 10)
    with torch.no_grad():
        by_hand = model.eval().cpu().float()((images.double().float() / 255 - MEAN) / STD)
    assert torch.allclose(expected, by_hand, atol=0.05)  # in 16 bits, perhaps
    for found in (
        torch.cat([predict_logits(model, few, compute) for few in torch.split(images, 7)]),
        predict_logits(model, to_unit(images), compute),
    ):
        assert torch.allclose(found, expected, atol=0.02)
    assert predict_logits(model, images[:0], compute).shape == (0, 10)


def test_answers_that_are_not_numbers_are_refused(mnist: Mnist, compute: Compute) -> None:
    model = compute.place(build_model("1-layer")).train()
    nn.init.constant_(model.classifier[-1].bias, float("inf"))  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="no longer finite"):
        predict_logits(model, mnist.test.images[:3], compute)
    assert model.training


def test_hidden_activations_are_what_the_logits_weigh(mnist: Mnist, compute: Compute) -> None:
    model = compute.place(build_model("3-layer")).train()
    images = mnist.test.images[:300]  # more than one batch
    hidden, last = predict_hidden(model, images, compute), model.classifier[-1]
    assert isinstance(last, nn.Linear)
    assert hidden.shape == (300, 256)
    assert hidden.min() == 0  # after ReLU
    by_hand = hidden @ last.weight.detach().cpu().T + last.bias.detach().cpu()
    assert torch.allclose(by_hand, predict_logits(model, images, compute), atol=0.02)

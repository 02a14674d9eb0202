"""Logits from images: the one place through which validation, testing, drawing and saliency ask a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mnist_lab.config import CLASSES
from mnist_lab.data.pixels import normalise, to_unit
from mnist_lab.errors import TrainingError
from mnist_lab.networks.compute import Compute

BATCH_SIZE = 256
"""Images per step: small enough that the activations stay in the processor's cache."""


@torch.inference_mode()
def predict_logits(model: nn.Module, images: Tensor, compute: Compute, batch_size: int = BATCH_SIZE) -> Tensor:
    """Ask a network about many images, in evaluation mode; its mode is put back afterwards.

    Args:
        model: takes normalised (B, 1, 28, 28), gives (B, 10).
        images: (N, 1, 28, 28), white ink on black, uint8 0..255 or float 0..1.
        compute: where the model lives.
        batch_size: images per step.

    Returns:
        (N, 10) float32 logits on the CPU.

    Raises:
        TrainingError: they are not all finite numbers; weights that are finite may still be far too large.
    """
    was_training = model.training
    model.eval()
    try:
        outputs = [_model_step(model, batch, compute) for batch in torch.split(images, batch_size)]
    finally:
        model.train(was_training)
    logits = torch.cat(outputs) if outputs else torch.empty(0, CLASSES)
    if not logits.isfinite().all():
        raise TrainingError(
            "the network's answers are no longer finite numbers", "train one with a smaller --learning-rate"
        )
    return logits


def _model_step(model: nn.Module, images: Tensor, compute: Compute) -> Tensor:
    unit = to_unit(images) if images.dtype == torch.uint8 else images  # (B, 1, 28, 28)
    with compute.autocast():
        logits: Tensor = model(normalise(unit).to(compute.device))  # (B, 10)
    return logits.float().cpu()

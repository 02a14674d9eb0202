"""The optimiser: AdamW, and Adam, which is AdamW without decay.

The arithmetic of a step is torch's; so is the form of the saved state. The classes of ``torch.optim`` are not used: the
first of them that a program makes loads torch's compiler, which takes as long as a sixth of an epoch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from mnist_lab.training.checkpoints import agrees, checked_weights
from mnist_lab.training.runs import require

_CONSTANTS: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False, "maximize": False}


class AdamW:
    """Follows the gradient's running mean, divided by the root of the running mean of its square.

    Adam: Kingma & Ba 2015 (arXiv:1412.6980). Decay, which AdamW keeps apart from the gradient (Loshchilov & Hutter
    2019, arXiv:1711.05101), pulls weights towards zero; on biases and batch norm it would only distort the scale of
    the activations, so they are spared.
    """

    def __init__(self, model: nn.Module, decay: float | None, device: torch.device) -> None:
        """Of a network on that device; a ``decay`` of None makes it Adam."""
        weights = list(model.parameters())
        layers, others = ([weight for weight in weights if (weight.ndim > 1) == many] for many in (True, False))
        self.groups = [(weights, 0.0)] if decay is None else [(layers, decay), (others, 0.0)]  # each with its decay
        self.fused = None if device.type == "mps" else True  # one kernel for all weights; not every MPS release has it
        self._is_replayed = device.type == "cuda"
        count = torch.zeros((), device=device if self._is_replayed else "cpu")
        self._rate: float | Tensor = count.clone() if self._is_replayed else 0.0
        self.state = {
            weight: {
                "step": count.clone(),  # how many were taken
                "exp_avg": torch.zeros_like(weight),  # the running mean of its gradient
                "exp_avg_sq": torch.zeros_like(weight),  # and of the gradient's square
            }
            for group, _ in self.groups
            for weight in group
        }

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next steps; a replayed one sees only what changes on the device."""
        if isinstance(self._rate, Tensor):
            self._rate.fill_(rate)
        else:
            self._rate = rate

    @torch.no_grad()
    def step(self) -> None:
        """Change every weight that has a gradient."""
        for group, decay in self.groups:
            gradients = {weight: weight.grad for weight in group if weight.grad is not None}
            found = [self.state[weight] for weight in gradients]
            steps, means, squares = ([each[name] for each in found] for name in ("step", "exp_avg", "exp_avg_sq"))
            adamw(
                list(gradients),
                list(gradients.values()),
                means,
                squares,
                [],
                steps,
                lr=self._rate,
                weight_decay=decay,
                **_CONSTANTS,
                fused=self.fused,
                capturable=self._is_replayed,
            )

    def state_dict(self) -> dict[str, Any]:
        """All that later steps depend on, but for the rate."""
        numbers, groups = iter(range(len(self.state))), []
        for weights, decay in self.groups:
            groups.append({"params": [next(numbers) for _ in weights], "weight_decay": decay})
        return {"state": dict(enumerate(self.state.values())), "param_groups": groups}

    def restore(self, saved: dict[str, Any], steps: int) -> None:
        """Take over a state, which is not trusted, after so many steps; ``ValueError`` unless it fits."""
        require(agrees(saved["param_groups"], self.state_dict()["param_groups"]), "it has another optimiser")
        require(set(saved["state"]) == set(range(len(self.state))), "its optimiser belongs to another network")
        for number, state in enumerate(self.state.values()):
            moments = checked_weights(saved["state"][number], state)
            require(moments["step"].item() == steps, "its optimiser has taken another number of steps")
            for name, value in moments.items():
                state[name].copy_(value)

"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from explorer.errors import TrainingError
from explorer.training.recipe import Recipe


class SGD:
    """Stochastic gradient descent with (Nesterov) momentum and weight decay (Sutskever et al. 2013).

    A step computes the same as ``torch.optim.SGD(fused=True)``, with the same function of torch. The class of torch
    imports the compiler of torch, which takes over a second of CPU time in every process that trains.

    Args:
        net: The network.
        recipe: Momentum, Nesterov and weight decay.
        without: Parameters of the network that another optimiser trains.

    Attributes:
        groups: The parameters that are trained, in lists with their weight decay.
        lr: The learning rate, a tensor of shape () in float32 on the weights' device, which each step sets; 0 at first.
        momentum: The momentum buffer of each parameter, zeros at first; empty if the recipe has no momentum.

    Raises:
        TrainingError: The network has no parameters.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, without: Set[Tensor] = frozenset()):
        parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        if not parameters:
            raise TrainingError("the network has no parameters to train")
        device = parameters[0].device
        parameters = [parameter for parameter in parameters if parameter not in without]
        self.groups = (
            (recipe.weight_decay, [p for p in parameters if not _is_vector(p)]),
            (recipe.weight_decay if recipe.decay_vectors else 0.0, [p for p in parameters if _is_vector(p)]),
        )
        self.lr = torch.zeros((), dtype=torch.float32, device=device)
        # Zeros are equivalent to torch's creation in the first step, and a checkpoint can restore them.
        self.momentum = {p: torch.zeros_like(p) for p in parameters} if recipe.momentum else {}
        self._momentum, self._nesterov = recipe.momentum, recipe.nesterov

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        for weight_decay, parameters in self.groups:
            updated = [parameter for parameter in parameters if parameter.grad is not None]
            gradients = [parameter.grad for parameter in updated if parameter.grad is not None]
            buffers: list[Tensor | None] = [self.momentum[p] for p in updated if p in self.momentum]
            sgd(
                list(updated),
                gradients,
                buffers,
                fused=True,
                lr=self.lr,  # type: ignore[arg-type]  # torch annotates no tensor
                momentum=self._momentum,
                nesterov=self._nesterov,
                weight_decay=weight_decay,
                dampening=0.0,
                maximize=False,
            )

    def zero_grad(self) -> None:
        """Remove the gradients."""
        for _, parameters in self.groups:
            for parameter in parameters:
                parameter.grad = None


def _is_vector(parameter: Tensor) -> bool:
    """Return whether a parameter has one value per channel, or one in all: those of norms, biases and learnt scales.

    The shape (C, 1, 1) of a layer scale counts, as for timm, where it is (C); torchvision has (C, 1, 1) and decays it.
    """
    return parameter.ndim <= 1 or (parameter.ndim == 3 and parameter.shape[1:] == (1, 1))

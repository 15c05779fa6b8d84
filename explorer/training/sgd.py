"""The optimisers: stochastic gradient descent with momentum, and Muon, whose steps of convolutions are orthogonal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from explorer.errors import TrainingError
from explorer.training.recipe import Recipe

# Jordan et al. 2024 (kellerjordan.github.io/posts/muon): five steps of this polynomial bring singular values to about
# 0.7..1.2, the large ones and those down to a hundredth of the norm alike.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
SMALLEST_NORM = 1e-20  # a gradient of zeros stays zeros


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


class Muon:
    """Muon for the weights of convolutions, and ``SGD`` for all other parameters (Jordan et al. 2024).

    A weight (out, in / groups, height, width) is one matrix (out / groups, in / groups * height * width) for each of
    its groups. With the momentum B = m B + G of its gradient G (Nesterov: G + m B in place of B), a step is
    ``-lr * sqrt(max(1, rows / columns)) * orthogonalised(B)``. The weights decay by ``lr * weight_decay`` before it,
    not through the gradient. ``torch.optim.Muon`` takes matrices only.

    Args:
        net: The network.
        recipe: Momentum, Nesterov and weight decay.

    Attributes:
        lr: The learning rate of all parameters, as in ``SGD``.
        momentum: The momentum buffer of each parameter, zeros at first.

    Raises:
        TrainingError: The network has no parameters.
    """

    def __init__(self, net: nn.Module, recipe: Recipe):
        groups = {conv.weight: conv.groups for conv in net.modules() if isinstance(conv, nn.Conv2d)}
        self._matrices: dict[tuple[int, int, int], list[Tensor]] = defaultdict(list)
        for weight in net.parameters():  # every weight once, also one that two convolutions share
            if weight.requires_grad and weight in groups:
                shape = groups[weight], len(weight) // groups[weight], weight[0].numel()
                self._matrices[shape].append(weight)
        trained = {weight for weights in self._matrices.values() for weight in weights}
        self._sgd = SGD(net, recipe, without=trained)
        self.lr = self._sgd.lr
        self.momentum = self._sgd.momentum | {weight: torch.zeros_like(weight) for weight in trained}
        self._recipe = recipe

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        self._sgd.step()
        momentum, lr = self._recipe.momentum, self.lr
        for shape, weights in self._matrices.items():
            updated = [weight for weight in weights if weight.grad is not None]
            if not updated:
                continue
            gradients = [weight.grad for weight in updated if weight.grad is not None]
            buffers = [self.momentum[weight] for weight in updated]
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, gradients)
            directions = torch._foreach_add(gradients, buffers, alpha=momentum) if self._recipe.nesterov else buffers
            matrices = torch.stack([direction.reshape(shape) for direction in directions])
            steps = orthogonalised(matrices.flatten(0, 1)) * (lr * max(1.0, shape[1] / shape[2]) ** 0.5)
            torch._foreach_mul_(updated, 1 - lr * self._recipe.weight_decay)
            moved = zip(steps.reshape(matrices.shape), updated, strict=True)
            torch._foreach_sub_(updated, [step.reshape(weight.shape) for step, weight in moved])

    def zero_grad(self) -> None:
        """Remove the gradients."""
        self._sgd.zero_grad()
        for weights in self._matrices.values():
            for weight in weights:
                weight.grad = None


def make_optimiser(net: nn.Module, recipe: Recipe) -> SGD | Muon:
    """Return the optimiser of a recipe. Raises TrainingError if the network has no parameters."""
    return Muon(net, recipe) if recipe.muon else SGD(net, recipe)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices with the same singular vectors and all singular values near 1, by a Newton-Schulz iteration.

    Args:
        matrices: float32, (N, rows, columns).

    Returns:
        The matrices, (N, rows, columns).
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalised(matrices.mT).mT
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp_min(SMALLEST_NORM)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x

"""The forward and backward passes of an untrained network that its zero-cost scores share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from explorer.data.dataset import Dataset
from explorer.data.splits import Split
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, build_network, module_class
from explorer.networks.ops import registry
from explorer.networks.ops.activation import Activation
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.norm import Norm
from explorer.training.convolutions import replace_faulty_convolutions


def _modules_of(kind: type[Op]) -> tuple[type[nn.Module], ...]:
    """Return the torch modules of all ops of a kind."""
    ops = (op for op in registry.by_spelling.values() if issubclass(op, kind) and not op.lacking(()))
    return tuple(module_class(op().module(TensorShape(1, 1, 1))) for op in ops)


NORMS: tuple[type[nn.Module], ...] = (_BatchNorm, *_modules_of(Norm))
ACTIVATIONS = _modules_of(Activation)


@dataclass(frozen=True)
class Batch:
    """The input of a score.

    Attributes:
        images: (N, C, H, W), float32.
        labels: (N,), the class of each image.
        seed: Seed of the random numbers that a score draws.
    """

    images: Tensor
    labels: Tensor
    seed: int = 0


class Passes:
    """The passes through one network that its scores share: each is computed once, when it is first used.

    A forward pass takes as long as the scores of it, so all of naswot, grad_norm, snip and jacob_cov use the same one.

    Args:
        architecture: The network.
        sample: The input.
        has_gradients: Whether gradients are wanted; without them the forward pass is cheaper.
    """

    def __init__(self, architecture: Architecture, sample: Batch, has_gradients: bool = True):
        self.sample = sample
        self._architecture, self._has_gradients = architecture, has_gradients
        self._kernel = torch.zeros(len(sample.images), len(sample.images), dtype=torch.float64)

    def network(self) -> Network:
        """Return a new initialised network, which the caller may change: batch norms use batch statistics."""
        return initialised(self._architecture, self.sample.seed)

    @cached_property
    def weights(self) -> list[Tensor]:
        """The weights of convolutions and linear layers of the network of the passes."""
        return weights_of(self._net)

    @cached_property
    def sign_kernel(self) -> Tensor | None:
        """The number of units before an activation with the same sign for images i and j, float64 (N, N).

        None for a network without activations.
        """
        _ = self._logits  # the forward pass counts them
        return self._kernel if any(isinstance(module, ACTIVATIONS) for module in self._net.modules()) else None

    @cached_property
    def loss_gradients(self) -> list[Tensor | None]:
        """The gradient of the mean cross-entropy with respect to each of ``weights``."""
        loss = F.cross_entropy(self._logits, self.sample.labels)
        return list(torch.autograd.grad(loss, self.weights, retain_graph=True, allow_unused=True))

    @cached_property
    def image_gradients(self) -> Tensor:
        """The gradients of the summed logits with respect to the images, (N, C, H, W)."""
        return torch.autograd.grad(self._logits.sum(), self._images, retain_graph=True)[0]

    @cached_property
    def _net(self) -> Network:
        return channels_last(self.network())

    @cached_property
    def _images(self) -> Tensor:
        return self.sample.images.clone().requires_grad_(self._has_gradients)

    @cached_property
    def _logits(self) -> Tensor:
        activations = [module for module in self._net.modules() if isinstance(module, ACTIVATIONS)]
        hooks = [module.register_forward_pre_hook(self._count) for module in activations]
        with torch.set_grad_enabled(self._has_gradients), replace_faulty_convolutions(self._net):
            logits: Tensor = self._net(self._images)
        for hook in hooks:
            hook.remove()
        return logits

    def _count(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add the units that have the same sign in both images: both positive, or neither."""
        positive = (inputs[0].detach() > 0).flatten(1).float()
        both, each = (positive @ positive.T).double(), positive.sum(1, dtype=torch.float64)
        self._kernel += 2 * both + positive.shape[1] - each[:, None] - each[None, :]


def draw_batch(architecture: Architecture, data: Dataset | None, size: int, seed: int) -> Batch:
    """Draw the images and labels of the scores; see ``score_architecture``."""
    if size < 2:
        raise ExplorerError(f"a batch of scores has at least 2 images, found {size}")
    random = torch.Generator().manual_seed(seed)
    if data is None:
        labels = torch.randint(architecture.classes, (size,), generator=random, device="cpu")
        noise = torch.randn(size, *architecture.input, generator=random, dtype=torch.float32, device="cpu")
        return Batch(noise.contiguous(memory_format=torch.channels_last), labels, seed)
    from explorer.training.batches import Images, resized, takes_images

    if not takes_images(architecture, data):
        raise ExplorerError(
            f"the network takes {architecture.input} images of {architecture.classes} classes, {data.name} has "
            f"{data.shape} and {data.classes}; derive the network with space.with_input(shape, classes)"
        )
    order = torch.randperm(len(data.train), generator=random, device="cpu")[:size]
    # Only these images are converted: the array of all is a file that torch would read and copy whole.
    chosen = data.train.take(order.numpy())
    images = Images(Split(np.asarray(chosen.images), chosen.labels), data, torch.device("cpu"))
    pixels, labels = next(images.in_order(size))
    return Batch(resized(pixels, architecture), labels, seed)


def initialised(architecture: Architecture, seed: int) -> Network:
    """Return the initialised network: batch norms use batch statistics, dropout and stochastic depth are off."""
    net = build_network(architecture, seed).eval()
    for module in net.modules():
        if hasattr(module, "running_var"):
            module.train()
    return net


def weights_of(net: nn.Module) -> list[Tensor]:
    """Return the weights of convolutions and linear layers, without norm scales and position tables."""
    return [module.weight for module in net.modules() if isinstance(module, (_ConvNd, nn.Linear))]


def channels_last(net: Network) -> Network:
    """Return the network with its weights in channels last, in which a CPU computes faster."""
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch annotates no memory_format

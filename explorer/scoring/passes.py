"""The forward and backward passes of an untrained network that its zero-cost scores share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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

    Attributes:
        sample: The input.
        network: The initialised network. A score that needs other weights replaces them while it computes.
        modules: All modules of the network, in the order of ``network.modules()``, which takes long to find them.
    """

    def __init__(self, architecture: Architecture, sample: Batch, has_gradients: bool = True):
        self.sample = sample
        self._has_gradients = has_gradients
        self.network = initialised(architecture, sample.seed)
        self.modules = tuple(self.network.modules())
        self._positive = torch.zeros(len(sample.images), len(sample.images), dtype=torch.float64)
        self._units = 0

    @cached_property
    def weighted(self) -> list[nn.Module]:
        """The convolutions and linear layers: ``weight`` is not that of a norm or a position table."""
        return [module for module in self.modules if isinstance(module, (_ConvNd, nn.Linear))]

    @property
    def weights(self) -> list[Tensor]:
        """The weights of convolutions and linear layers."""
        return [module.get_parameter("weight") for module in self.weighted]

    @cached_property
    def sign_kernel(self) -> Tensor | None:
        """The number of units before an activation with the same sign for images i and j, float64 (N, N).

        None for a network without activations.
        """
        _ = self._logits  # the forward pass counts them
        if not any(isinstance(module, ACTIVATIONS) for module in self.modules):
            return None
        each = self._positive.diag()
        return 2 * self._positive + self._units - each[:, None] - each[None, :]

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
    def _images(self) -> Tensor:
        return self.sample.images.clone().requires_grad_(self._has_gradients)

    @cached_property
    def _logits(self) -> Tensor:
        activations = [module for module in self.modules if isinstance(module, ACTIVATIONS)]
        hooks = [module.register_forward_pre_hook(self._count) for module in activations]
        with torch.set_grad_enabled(self._has_gradients):
            logits: Tensor = self.network(self._images)
        for hook in hooks:
            hook.remove()
        return logits

    def _count(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add the numbers of units that are positive in both images."""
        x = inputs[0].detach()
        if x.is_contiguous(memory_format=torch.channels_last):
            x = x.permute(0, 2, 3, 1)  # in the order of the memory, which is then not copied
        positive = (x > 0).flatten(1).float()
        self._positive += positive @ positive.T  # exact: a float32 holds every whole number up to 2^24
        self._units += positive.shape[1]


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
    """Return the initialised network in channels last, in which a CPU computes faster.

    Batch norms use batch statistics and keep those of the last batch; dropout and stochastic depth are off.
    """
    net = build_network(architecture, seed).eval()
    for module in net.modules():
        if hasattr(module, "running_var"):
            module.train()
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0  # the running variance is then that of the last batch
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch annotates no memory_format


@contextmanager
def replace_tensors(replaced: Iterable[tuple[nn.Module, str, Tensor]]) -> Iterator[None]:
    """Replace parameters and buffers of modules in the ``with`` block.

    Building a network again takes longer. The tensors themselves do not change, so that passes of before stay valid.

    Args:
        replaced: Module, name of its parameter or buffer, and the new value of each.
    """
    before = []
    for module, name, value in replaced:
        own = getattr(module, name)
        before.append((module, name, own))
        setattr(module, name, nn.Parameter(value) if isinstance(own, nn.Parameter) else value)
    try:
        yield
    finally:
        for module, name, own in before:
            setattr(module, name, own)

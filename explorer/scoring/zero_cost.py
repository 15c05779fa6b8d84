"""Zero-cost scores: one pass through an untrained network, hoped to rank networks as training would.

They rank networks of one space for one task; their sizes mean nothing by themselves, and mostly they measure how large
a network is again. Report them beside params, MACs and activations (``explorer scores --study``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from explorer.data.dataset import Dataset
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, ResidualBlock, build_network
from explorer.networks.ops import registry
from explorer.networks.ops.base import TensorShape
from explorer.scoring.names import NAMES, check_scores
from explorer.training.convolutions import sound_convolutions

BATCH = 32
DISTURBANCE = 0.01  # zen's alpha
GATES = (nn.Sigmoid, nn.Hardsigmoid)
RIDGE = 1e-5  # jacob_cov's k
NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
ACTIVATIONS = tuple(
    getattr(nn, str(op().module(TensorShape(1, 1, 1)).torch_class))
    for op in registry.by_spelling.values()
    if op.role == "activation"
)


@dataclass(frozen=True)
class Batch:
    """What scores look at: ``images`` (N, C, H, W), float32, and ``labels`` (N,). ``seed``: of what a score draws."""

    images: Tensor
    labels: Tensor
    seed: int = 0


def score_architecture(
    architecture: Architecture,
    names: Iterable[str] | None = None,
    *,
    data: Dataset | None = None,
    batch: int = BATCH,
    seed: int = 0,
) -> dict[str, float | None]:
    """The scores of those ``names`` (of NAMES; all when left out) of the network as it is initialised by ``seed``.

    ``data``: the first ``batch`` of its shuffled training images are looked at; without it, standard normal noise
    with random labels. Each score is finite, higher hoped to be better, or None where the network has none: naswot
    without an activation, zen with another norm than batch norm, or a number that is not finite. The same arguments
    give the same scores on the same machine; the global random state is left alone.

    Raises ExplorerError for an unknown score or a data set of another shape.
    """
    names = check_scores(NAMES if names is None else names)
    found: dict[str, float | None] = {}
    with torch.inference_mode(False), torch.enable_grad():
        seen = _batch(architecture, data, batch, seed)
        for name in names:
            net = _as_at_start(architecture, seed)
            with sound_convolutions(net):
                score = SCORES[name](net, seen)
            found[name] = score if score is not None and math.isfinite(score) else None
    return found


@dataclass(frozen=True)
class Scorer:
    """One score as a cost function of ``explorer.search``: ``costs={"naswot": Scorer("naswot")}``.

    So the sampler ``frontier`` takes it as a feature of its surrogate; it then scores some thousand networks
    before it proposes the first. Raises ExplorerError for a network that has no such score: it is not trained then.
    """

    name: str
    data: Dataset | None = None
    batch: int = BATCH
    seed: int = 0

    def __post_init__(self) -> None:
        check_scores([self.name])

    def __call__(self, architecture: Architecture, choices: Mapping[str, str]) -> float:
        found = score_architecture(architecture, [self.name], data=self.data, batch=self.batch, seed=self.seed)
        score = found[self.name]
        if score is None:
            raise ExplorerError(f"the network has no finite {self.name}")
        return score


def naswot(net: Network, seen: Batch) -> float | None:
    """log |det K|, K_ij the number of activations, over the whole network, that images i and j leave on the same
    side of 0 (Mellor et al. 2021, arXiv:2006.04647, eq. 2). It grows with the number of
    units, that is with the network's activations."""
    alike = torch.zeros(len(seen.images), len(seen.images), dtype=torch.float64)

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        side = (inputs[0] > 0).flatten(1).float()
        alike.add_((side @ side.T + (1 - side) @ (1 - side).T).double())

    activations = [module for module in net.modules() if isinstance(module, ACTIVATIONS)]
    hooks = [module.register_forward_pre_hook(count) for module in activations]
    with torch.no_grad():
        net(seen.images)
    for hook in hooks:
        hook.remove()
    return float(torch.linalg.slogdet(alike).logabsdet) if activations else None


def synflow(net: Network, seen: Batch) -> float:
    """log of the sum over weights of |w dR/dw|, R the sum of logits of an input of ones, with absolute parameters
    and no norms, in double precision (Tanaka et al. 2020, arXiv:2006.05467, eq. 2). It sees no data.

    Activations are left out as well: all that flows is positive, where the ReLU of the paper changes nothing, but one
    that is bounded, such as ReLU6, would stop all flow. The sigmoids of gates stay.
    """
    net = net.double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    left_out = (m for m in net.modules() if isinstance(m, (*NORMS, *ACTIVATIONS)) and not isinstance(m, GATES))
    with _replaced(left_out, lambda module, x: x):
        net(torch.ones_like(seen.images[:1], dtype=torch.float64)).sum().backward()
    return _log(sum(float((w.grad * w.detach()).abs().sum()) for w in _weights(net) if w.grad is not None))


def grad_norm(net: Network, seen: Batch) -> float:
    """The sum over layers of the Euclidean norm of the loss's gradient for their weights (Abdelfattah et al. 2021,
    arXiv:2101.08134, section 3.2). It grows with width and depth."""
    torch.autograd.backward(F.cross_entropy(net(seen.images), seen.labels))
    return sum(float(w.grad.norm()) for w in _weights(net) if w.grad is not None)


def snip(net: Network, seen: Batch) -> float:
    """The sum over weights of |w dL/dw| (Lee et al. 2019, arXiv:1810.02340, eq. 6, summed as by Abdelfattah et al.)."""
    torch.autograd.backward(F.cross_entropy(net(seen.images), seen.labels))
    return sum(float((w.grad * w.detach()).abs().sum()) for w in _weights(net) if w.grad is not None)


def jacob_cov(net: Network, seen: Batch) -> float:
    """Minus the sum of log(l + k) + 1 / (l + k) over the eigenvalues l of the correlation matrix of the images'
    input gradients of the summed logits, k = 1e-5 (the first version of Mellor et al., arXiv:2006.04647v1, eq. 3).
    No two images look alike to a network that scores high."""
    images = seen.images.clone().requires_grad_()
    net(images).sum().backward()
    assert images.grad is not None
    correlation = torch.corrcoef(images.grad.flatten(1).double())
    if not torch.isfinite(correlation).all():
        return math.nan  # an image that no logit depends on
    eigenvalues = torch.linalg.eigvalsh(correlation) + RIDGE
    return -float((eigenvalues.log() + 1 / eigenvalues).sum()) if eigenvalues.min() > 0 else math.nan


def zen(net: Network, seen: Batch) -> float | None:
    """log of the mean change of the last feature map when noise is added to a normal input, plus the sum over batch
    norms of log of the standard deviation that they divide by: standard normal weights, additions of a shortcut left
    out (Lin et al. 2021, arXiv:2102.01063, algorithm 1). It sees no data and rewards depth and width. None unless all
    norms are batch norms: others divide, too, by what is not put back."""
    norms = [module for module in net.modules() if isinstance(module, NORMS)]
    if not all(isinstance(norm, _BatchNorm) for norm in norms):
        return None
    random = torch.Generator().manual_seed(seen.seed)
    for weight in _weights(net):
        nn.init.normal_(weight, generator=random)
    spreads: list[float] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        spreads.append(0.5 * _log(float(inputs[0].double().var((0, 2, 3), correction=0).mean())))

    x = torch.empty_like(seen.images).normal_(generator=random)
    near = x + DISTURBANCE * torch.empty_like(x).normal_(generator=random)
    blocks = (m for m in net.modules() if isinstance(m, ResidualBlock) and m.merge is None and len(m.branch))
    with torch.no_grad(), _replaced(blocks, lambda block, x: block.after(block.branch(block.pre(x)))):
        hooks = [norm.register_forward_pre_hook(note) for norm in norms]
        before = _features(net, x)
        for hook in hooks:
            hook.remove()
        change = (before - _features(net, near)).flatten(1).norm(dim=1).mean()
    return _log(float(change)) + sum(spreads) if spreads else None


SCORES: dict[str, Callable[[Network, Batch], float | None]] = {
    "naswot": naswot, "synflow": synflow, "grad_norm": grad_norm, "snip": snip, "jacob_cov": jacob_cov, "zen": zen,
}  # fmt: skip


def _batch(architecture: Architecture, data: Dataset | None, size: int, seed: int) -> Batch:
    if size < 2:
        raise ExplorerError(f"a batch of scores has at least 2 images, found {size}")
    random = torch.Generator().manual_seed(seed)
    if data is None:
        labels = torch.randint(architecture.classes, (size,), generator=random, device="cpu")
        noise = torch.randn(size, *architecture.input, generator=random, dtype=torch.float32, device="cpu")
        return Batch(noise, labels, seed)
    if (data.shape, data.classes) != (architecture.input, architecture.classes):
        raise ExplorerError(
            f"the network takes {architecture.input} and tells {architecture.classes} classes apart, {data.name} has "
            f"{data.shape} and {data.classes}; derive it with space.with_input(shape, classes)"
        )
    from explorer.training.batches import Images

    images = Images(data.train, data, torch.device("cpu"))
    order = torch.randperm(len(images), generator=random, device="cpu")[:size]
    images.prefetch([order])
    return Batch(images.normalise(images.pixels[order]), images.labels[order], seed)


def _as_at_start(architecture: Architecture, seed: int) -> Network:
    """The network with the statistics of the batch in its norms, and all that drops at random kept."""
    net = build_network(architecture, seed).eval()
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return net


def _weights(net: nn.Module) -> list[Tensor]:
    """Those of convolutions and linear layers: no scales, no position tables."""
    return [module.weight for module in net.modules() if isinstance(module, (_ConvNd, nn.Linear))]


def _features(net: Network, x: Tensor) -> Tensor:
    """The last feature map before it is pooled."""
    x = net.stem(x)
    for stage in net.stages:
        x = stage(x)
    for module in net.head:
        if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
            break
        x = module(x)
    return x


@contextmanager
def _replaced(modules: Iterable[nn.Module], forward: Callable[[Any, Tensor], Tensor]) -> Iterator[None]:
    """Within the ``with`` block the modules compute ``forward(module, x)``."""
    changed = list(modules)
    for module in changed:
        module.forward = lambda x, module=module: forward(module, x)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _log(value: float) -> float:
    return math.log(value) if 0 < value < math.inf else math.nan

"""Zero-cost scores: proxies for trained accuracy, computed from one batch through an untrained network.

A score ranks networks of one space for one task; its value has no meaning by itself. Most scores correlate strongly
with the size of the network. Report them beside params, MACs and activations (``explorer scores --study``).
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
from explorer.networks.build import Network, ResidualBlock, build_network, module_class
from explorer.networks.ops import registry
from explorer.networks.ops.activation import Activation
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.norm import Norm
from explorer.scoring.names import NAMES, check_scores
from explorer.training.convolutions import replace_faulty_convolutions

BATCH = 32  # images per score by default
ZEN_ALPHA = 0.01  # scale of zen's input noise, alpha in the paper
GATES = (nn.Sigmoid, nn.Hardsigmoid)  # of squeeze-and-excitation
JACOB_COV_K = 1e-5  # added to each eigenvalue, k in the paper


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


def score_architecture(
    architecture: Architecture,
    names: Iterable[str] | None = None,
    *,
    data: Dataset | None = None,
    batch: int = BATCH,
    seed: int = 0,
) -> dict[str, float | None]:
    """Compute zero-cost scores of an untrained network.

    The same arguments give the same scores on the same machine. The global random state does not change.

    Args:
        architecture: The network.
        names: Scores to compute, of NAMES; all by default.
        data: Data set whose first ``batch`` shuffled training images are the input; by default standard normal noise
            with random labels.
        batch: Number of images, at least 2.
        seed: Seed of the initialisation, the shuffle and the noise.

    Returns:
        Score -> a finite number, expected to be higher for better networks. None if the score is undefined: naswot
        without activations, zen with a norm other than batch norm, or a value that is not finite.

    Raises:
        ExplorerError: A score is unknown, the batch is smaller than 2, or the data set has another number of
            channels or classes.
    """
    names = check_scores(NAMES if names is None else names)
    found: dict[str, float | None] = {}
    with torch.inference_mode(False), torch.enable_grad():
        sample = _batch(architecture, data, batch, seed)
        for name in names:
            net = _initialised(architecture, seed)
            with replace_faulty_convolutions(net):
                score = SCORES[name](net, sample)
            found[name] = score if score is not None and math.isfinite(score) else None
    return found


@dataclass(frozen=True)
class Scorer:
    """One score as a cost function of ``explorer.search``.

    The sampler ``frontier`` uses a cost function as a feature of its surrogate model. It scores some thousand
    candidates before it proposes the first network.

    Attributes:
        name: The score, one of NAMES.
        data: As in ``score_architecture``.
        batch: As in ``score_architecture``.
        seed: As in ``score_architecture``.

    Raises:
        ExplorerError: On construction, the score is unknown. On a call, the network has no finite score; the search
            does not train that network.

    Example:
        ``explorer.search(space, costs={"naswot": Scorer("naswot")})``
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


def naswot(net: Network, sample: Batch) -> float | None:
    """log |det K| (Mellor et al. 2021, arXiv:2006.04647, eq. 2).

    K_ij is the number of units before an activation, over the whole network, that have the same sign for images i
    and j. The score grows with the number of units, that is, with the network's activations.

    Args:
        net: The initialised network, which the score may change.
        sample: The input.

    Returns:
        The score; None for a network without activations.
    """
    kernel = torch.zeros(len(sample.images), len(sample.images), dtype=torch.float64)

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        side = (inputs[0] > 0).flatten(1).float()
        kernel.add_((side @ side.T + (1 - side) @ (1 - side).T).double())

    activations = [module for module in net.modules() if isinstance(module, ACTIVATIONS)]
    hooks = [module.register_forward_pre_hook(count) for module in activations]
    with torch.no_grad():
        net(sample.images)
    for hook in hooks:
        hook.remove()
    return float(torch.linalg.slogdet(kernel).logabsdet) if activations else None


def synflow(net: Network, sample: Batch) -> float:
    """log of the sum over weights of |w dR/dw| (Tanaka et al. 2020, arXiv:2006.05467, eq. 2).

    R is the sum of the logits for an input of ones. All parameters are replaced by their absolute values, norms and the
    standardisation of weights are removed, and the pass runs in double precision. The score does not depend on data.

    Activations are removed too. All values are positive, so the paper's ReLU changes nothing, but a bounded activation
    such as ReLU6 saturates and has gradient 0. The sigmoids of gates stay.

    Args:
        net: The initialised network, which the score may change.
        sample: The input.
    """
    net = net.double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    removed = (m for m in net.modules() if isinstance(m, (*NORMS, *ACTIVATIONS)) and not isinstance(m, GATES))
    plain = _replace_forward(_standardised(net), nn.Conv2d.forward)
    with plain, _replace_forward(removed, lambda module, x: x):
        net(torch.ones_like(sample.images[:1], dtype=torch.float64)).sum().backward()
    return _log(sum(float((w.grad * w.detach()).abs().sum()) for w in _weights(net) if w.grad is not None))


def grad_norm(net: Network, sample: Batch) -> float:
    """Sum over layers of the Euclidean norm of the loss gradient with respect to the layer's weights.

    Source: Abdelfattah et al. 2021, arXiv:2101.08134, section 3.2. The score grows with width and depth.

    Args:
        net: The initialised network, which the score may change.
        sample: The input.
    """
    torch.autograd.backward(F.cross_entropy(net(sample.images), sample.labels))
    return sum(float(w.grad.norm()) for w in _weights(net) if w.grad is not None)


def snip(net: Network, sample: Batch) -> float:
    """Sum over weights of |w dL/dw| (Lee et al. 2019, arXiv:1810.02340, eq. 6; the sum as in Abdelfattah et al.).

    Args:
        net: The initialised network, which the score may change.
        sample: The input.
    """
    torch.autograd.backward(F.cross_entropy(net(sample.images), sample.labels))
    return sum(float((w.grad * w.detach()).abs().sum()) for w in _weights(net) if w.grad is not None)


def jacob_cov(net: Network, sample: Batch) -> float:
    """Minus the sum of log(l + k) + 1 / (l + k) over the eigenvalues l of a correlation matrix, k = 1e-5.

    The matrix correlates, between images, the gradients of the summed logits with respect to the input (the first
    version of Mellor et al., arXiv:2006.04647v1, eq. 3). The score is high if these gradients differ between images.

    Args:
        net: The initialised network, which the score may change.
        sample: The input.
    """
    images = sample.images.clone().requires_grad_()
    net(images).sum().backward()
    assert images.grad is not None
    correlation = torch.corrcoef(images.grad.flatten(1).double())
    if not torch.isfinite(correlation).all():
        return math.nan  # no logit depends on one of the images: its correlation is undefined
    eigenvalues = torch.linalg.eigvalsh(correlation) + JACOB_COV_K
    return -float((eigenvalues.log() + 1 / eigenvalues).sum()) if eigenvalues.min() > 0 else math.nan


def zen(net: Network, sample: Batch) -> float | None:
    """log of the mean change of the last feature map under input noise, with the scaling of batch norm undone.

    Lin et al. 2021, arXiv:2102.01063, algorithm 1: weights and input are standard normal, and shortcuts are removed.
    Batch norm divides by a standard deviation; the score adds the log of each one. The score does not depend on data
    and grows with depth and width.

    Args:
        net: The initialised network, which the score may change.
        sample: The input.

    Returns:
        The score; None unless all norms are batch norms, because the scaling of other norms and of standardised weights
        is not undone.
    """
    norms = [module for module in net.modules() if isinstance(module, NORMS)]
    if _standardised(net) or not all(isinstance(norm, _BatchNorm) for norm in norms):
        return None
    random = torch.Generator().manual_seed(sample.seed)
    for weight in _weights(net):
        nn.init.normal_(weight, generator=random)
    spreads: list[float] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        spreads.append(0.5 * _log(float(inputs[0].double().var((0, 2, 3), correction=0).mean())))

    x = torch.empty_like(sample.images).normal_(generator=random)
    near = x + ZEN_ALPHA * torch.empty_like(x).normal_(generator=random)
    blocks = (m for m in net.modules() if isinstance(m, ResidualBlock) and m.merge is None and len(m.branch))
    with torch.no_grad(), _replace_forward(blocks, lambda block, x: block.after(block.branch(block.pre(x)))):
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
    """Draw the images and labels of the scores; see ``score_architecture``."""
    if size < 2:
        raise ExplorerError(f"a batch of scores has at least 2 images, found {size}")
    random = torch.Generator().manual_seed(seed)
    if data is None:
        labels = torch.randint(architecture.classes, (size,), generator=random, device="cpu")
        noise = torch.randn(size, *architecture.input, generator=random, dtype=torch.float32, device="cpu")
        return Batch(noise, labels, seed)
    from explorer.training.batches import Images, resized, takes_images

    if not takes_images(architecture, data):
        raise ExplorerError(
            f"the network takes {architecture.input} images of {architecture.classes} classes, {data.name} has "
            f"{data.shape} and {data.classes}; derive the network with space.with_input(shape, classes)"
        )
    images = Images(data.train, data, torch.device("cpu"))
    order = torch.randperm(len(images), generator=random, device="cpu")[:size]
    images.prefetch([order])
    chosen = resized(images.normalise(images.pixels[order]), architecture)
    return Batch(chosen, images.labels[order], seed)


def _initialised(architecture: Architecture, seed: int) -> Network:
    """Return the initialised network: batch norms use batch statistics, dropout and stochastic depth are off."""
    net = build_network(architecture, seed).eval()
    for module in net.modules():
        if hasattr(module, "running_var"):
            module.train()
    return net


def _standardised(net: nn.Module) -> list[nn.Module]:
    """Return the convolutions with standardised weights."""
    return [module for module in net.modules() if hasattr(module, "standardised_weight")]


def _weights(net: nn.Module) -> list[Tensor]:
    """Return the weights of convolutions and linear layers, without norm scales and position tables."""
    return [module.weight for module in net.modules() if isinstance(module, (_ConvNd, nn.Linear))]


def _features(net: Network, x: Tensor) -> Tensor:
    """Return the last feature map, before the pooling of the head."""
    x = net.stem(x)
    for stage in net.stages:
        x = stage(x)
    for module in net.head:
        if isinstance(module, (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
            break
        x = module(x)
    return x


@contextmanager
def _replace_forward(modules: Iterable[nn.Module], forward: Callable[[Any, Tensor], Tensor]) -> Iterator[None]:
    """Replace the forward methods of modules by ``forward(module, x)`` inside the ``with`` block."""
    changed = [(module, vars(module).get("forward")) for module in modules]
    for module, _ in changed:
        module.forward = lambda x, module=module: forward(module, x)
    try:
        yield
    finally:
        for module, replaced in changed:
            del module.forward
            if replaced is not None:  # the convolutions have a replacement already
                module.forward = replaced


def _log(value: float) -> float:
    """Return the logarithm, NaN unless the value is positive and finite."""
    return math.log(value) if 0 < value < math.inf else math.nan

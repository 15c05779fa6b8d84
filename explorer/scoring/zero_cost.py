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
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from explorer.data.dataset import Dataset
from explorer.errors import ExplorerError
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, ResidualBlock
from explorer.scoring.names import NAMES, check_scores
from explorer.scoring.passes import (
    ACTIVATIONS,
    NORMS,
    Passes,
    draw_batch,
    replace_tensors,
)
from explorer.training.convolutions import replace_faulty_convolutions

BATCH = 32  # images per score by default
ZEN_ALPHA = 0.01  # scale of zen's input noise, alpha in the paper
GATES = (nn.Sigmoid, nn.Hardsigmoid)  # of squeeze-and-excitation
JACOB_COV_K = 1e-5  # added to each eigenvalue, k in the paper


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
    with torch.inference_mode(False), torch.enable_grad():
        passes = Passes(architecture, draw_batch(architecture, data, batch, seed), has_gradients={*names} != {"naswot"})
        with replace_faulty_convolutions(passes.network):
            found = {name: SCORES[name](passes) for name in names}
    return {name: score if score is not None and math.isfinite(score) else None for name, score in found.items()}


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


def naswot(passes: Passes) -> float | None:
    """log |det K| (Mellor et al. 2021, arXiv:2006.04647, eq. 2).

    K_ij is the number of units before an activation, over the whole network, that have the same sign for images i
    and j. The score grows with the number of units, that is, with the network's activations.

    Args:
        passes: The passes through the network.

    Returns:
        The score; None for a network without activations.
    """
    return None if passes.sign_kernel is None else float(torch.linalg.slogdet(passes.sign_kernel).logabsdet)


def synflow(passes: Passes) -> float:
    """log of the sum over weights of |w dR/dw| (Tanaka et al. 2020, arXiv:2006.05467, eq. 2).

    R is the sum of the logits for an input of ones. All parameters are replaced by their absolute values, norms and the
    standardisation of weights are removed, and the pass runs in double precision. The score does not depend on data.

    Activations are removed too. All values are positive, so the paper's ReLU changes nothing, but a bounded activation
    such as ReLU6 saturates and has gradient 0. The sigmoids of gates stay.

    Args:
        passes: The passes through the network, of which this score uses only the network.
    """
    removed = [m for m in passes.modules if isinstance(m, (*NORMS, *ACTIVATIONS)) and not isinstance(m, GATES)]
    kept = set(passes.modules).difference(removed)
    plain = _replace_forward(_standardised(passes), nn.Conv2d.forward)
    without = _replace_forward(removed, lambda module, x: x)
    with replace_tensors(_absolute_doubles(kept)), plain, without:
        weights = passes.weights
        flow = passes.network(torch.ones_like(passes.sample.images[:1], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    return _log(_total_sensitivity(weights, gradients))


def grad_norm(passes: Passes) -> float:
    """Sum over layers of the Euclidean norm of the loss gradient with respect to the layer's weights.

    Source: Abdelfattah et al. 2021, arXiv:2101.08134, section 3.2. The score grows with width and depth.

    Args:
        passes: The passes through the network.
    """
    return sum(float(gradient.norm()) for gradient in passes.loss_gradients if gradient is not None)


def snip(passes: Passes) -> float:
    """Sum over weights of |w dL/dw| (Lee et al. 2019, arXiv:1810.02340, eq. 6; the sum as in Abdelfattah et al.).

    Args:
        passes: The passes through the network.
    """
    return _total_sensitivity(passes.weights, passes.loss_gradients)


def jacob_cov(passes: Passes) -> float:
    """Minus the sum of log(l + k) + 1 / (l + k) over the eigenvalues l of a correlation matrix, k = 1e-5.

    The matrix correlates, between images, the gradients of the summed logits with respect to the input (the first
    version of Mellor et al., arXiv:2006.04647v1, eq. 3). The score is high if these gradients differ between images.

    Args:
        passes: The passes through the network.
    """
    correlation = torch.corrcoef(passes.image_gradients.flatten(1).double())
    if not torch.isfinite(correlation).all():
        return math.nan  # no logit depends on one of the images: its correlation is undefined
    eigenvalues = torch.linalg.eigvalsh(correlation) + JACOB_COV_K
    return -float((eigenvalues.log() + 1 / eigenvalues).sum()) if eigenvalues.min() > 0 else math.nan


def zen(passes: Passes) -> float | None:
    """log of the mean change of the last feature map under input noise, with the scaling of batch norm undone.

    Lin et al. 2021, arXiv:2102.01063, algorithm 1: weights and input are standard normal, and shortcuts are removed.
    Batch norm divides by a standard deviation; the score adds the log of each one. The score does not depend on data
    and grows with depth and width.

    Args:
        passes: The passes through the network, of which this score uses only the network.

    Returns:
        The score; None unless all norms are batch norms, because the scaling of other norms and of standardised weights
        is not undone.
    """
    norms = [module for module in passes.modules if isinstance(module, NORMS)]
    if _standardised(passes) or not all(isinstance(norm, _BatchNorm) for norm in norms):
        return None
    random = torch.Generator().manual_seed(passes.sample.seed)
    drawn = [_normal_like(weight, random) for weight in passes.weights]
    weights = [(module, "weight", weight) for module, weight in zip(passes.weighted, drawn, strict=True)]
    spreads: list[float] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        values = inputs[0].numel() / inputs[0].shape[1]
        variance = module.running_var.double().mean() * (values - 1) / values  # type: ignore[operator]
        spreads.append(0.5 * _log(float(variance)))

    x = _normal_like(passes.sample.images, random)
    near = x + ZEN_ALPHA * _normal_like(x, random)
    blocks = (m for m in passes.modules if isinstance(m, ResidualBlock) and m.merge is None and len(m.branch))
    without_shortcuts = _replace_forward(blocks, lambda block, x: block.after(block.branch(block.pre(x))))
    with torch.no_grad(), replace_tensors(weights), without_shortcuts:
        hooks = [norm.register_forward_hook(note) for norm in norms]
        before = _features(passes.network, x)
        for hook in hooks:
            hook.remove()
        change = (before - _features(passes.network, near)).flatten(1).norm(dim=1).mean()
    return _log(float(change)) + sum(spreads) if spreads else None


SCORES: dict[str, Callable[[Passes], float | None]] = {
    "naswot": naswot, "synflow": synflow, "grad_norm": grad_norm, "snip": snip, "jacob_cov": jacob_cov, "zen": zen,
}  # fmt: skip


def _absolute_doubles(modules: Iterable[nn.Module]) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Yield all parameters, as absolute values, and buffers of real numbers in double precision."""
    for module in modules:
        for name, parameter in module.named_parameters(recurse=False):
            yield module, name, _contiguous_double(parameter.detach()).abs_()
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_floating_point():
                yield module, name, _contiguous_double(buffer)


def _contiguous_double(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float64, memory_format=torch.contiguous_format)


def _normal_like(tensor: Tensor, random: torch.Generator) -> Tensor:
    """Return standard normal numbers in the layout of a tensor.

    They are drawn in contiguous order, so that the layout does not change the values.
    """
    drawn = torch.empty_like(tensor, memory_format=torch.contiguous_format).normal_(generator=random)
    return torch.empty_like(tensor).copy_(drawn)


def _standardised(passes: Passes) -> list[nn.Module]:
    """Return the convolutions with standardised weights."""
    return [module for module in passes.modules if hasattr(module, "standardised_weight")]


def _total_sensitivity(weights: Iterable[Tensor], gradients: Iterable[Tensor | None]) -> float:
    """Return the sum over weights of |w dw|."""
    pairs = zip(weights, gradients, strict=True)
    return sum(float((gradient * weight.detach()).abs().sum()) for weight, gradient in pairs if gradient is not None)


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

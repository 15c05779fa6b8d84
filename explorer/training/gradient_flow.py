"""Gradient flow: how signal and gradient propagate through a network's residual blocks at initialisation.

E is the mean cross-entropy of a batch of N images, x_l the output of block l (N, C, H, W), g_l = dE/dx_l its gradient,
and L the last block of l's stage. Each block has these quantities:

- ``grad_norm``: ||g_l||, the Euclidean norm over all N*C*H*W entries. By He et al. 2016 (arXiv:1603.05027, eq. 5)
  dE/dx_l = dE/dx_L (1 + d/dx_l sum F): with identity shortcuts it does not vanish. In plain networks it shrinks or
  grows exponentially with depth (Hanin 2018, arXiv:1801.03744). It falls as 1/sqrt(N); compare it within a stage,
  where shapes are equal, and at the same N.
- ``cosine``: <g_l, g_L> / (||g_l|| ||g_L||), the cosine similarity of the gradients at this block and at the stage's
  last block: it compares the term 1 of that equation with the sum. Near 0 the gradients are uncorrelated, as shattered
  gradients are (Balduzzi et al. 2017, arXiv:1702.08591). None if the shapes differ (concatenation) or a norm is 0.
- ``shortcut_share``: ||s||^2 / (||s||^2 + ||f||^2), where s and f are the gradients with respect to the block's input
  through the shortcut and through the residual branch. It shows which paths of Veit et al. 2016
  (arXiv:1605.06431) carry the gradient. 0 without a shortcut.
- ``dead_share``: the share of the output channels of the block's activations that are 0 for every image at every
  position. A dead channel passes no gradient. 0 without activations.
- ``signal_var``: the variance of x_l over (N, H, W), averaged over the channels: the "average channel variance" of
  Brock et al. 2021 (arXiv:2101.08692, section 3). Its growth with depth shows how the shortcuts add up.

The network has its initial weights and computes in training mode (batch norm uses the batch's statistics, dropout is
active) in float32. A quantity that is not finite is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.data.dataset import Dataset, load_data
from explorer.data.splits import stratified_order
from explorer.errors import TrainingError
from explorer.networks.architecture import Architecture
from explorer.networks.build import Network, build_network
from explorer.networks.randomness import dropping_from
from explorer.networks.walk import PlacedBlock
from explorer.records import BlockFlow, GradientFlow
from explorer.training.batches import Images, resized, takes_images
from explorer.training.convolutions import replace_faulty_convolutions
from explorer.training.device import dropout_generator, process_settings

NOISE = "noise"
BATCH = 32
BATCHES = range(2, 4_097)  # batch norm needs two images; the upper limit bounds the memory
SEEDS = range(2**32)


def gradient_flow(
    architecture: Architecture,
    *,
    batch: int = BATCH,
    seed: int = 0,
    data: Dataset | str | None = None,
    data_dir: str | Path | None = None,
    zero_init_last_norm: bool = False,
    device: str = "cpu",
    threads: int | None = None,
) -> GradientFlow:
    """Measure the gradient flow through a newly initialised network.

    On a CPU the same arguments give the same numbers.

    Args:
        architecture: The network.
        batch: Number of images, 2..4096.
        seed: Seed of weights, images, classes and dropout, 0..2**32 - 1.
        data: A data set or its name; the images are the first training images in a stratified order, without
            augmentation. By default the images are standard normal noise and the classes are uniform.
        data_dir: Folder of the data set, as for ``load_data``.
        zero_init_last_norm: Whether to set the last norm of each residual branch to zero, as in a recipe.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: Number of computing threads; torch's present number by default.

    Returns:
        The quantities of each block, and the loss.

    Raises:
        DataError: The data are unknown, missing or damaged.
        TrainingError: The network does not fit the data, or an argument is out of range.
    """
    dataset = load_data(data, data_dir) if isinstance(data, str) else data
    for name, number, allowed in (("batch", batch, BATCHES), ("seed", seed, SEEDS)):
        if number not in allowed:
            raise TrainingError(f"{name} must be in {allowed[0]}..{allowed[-1]}, found {number}")
    if dataset is not None:
        if not takes_images(architecture, dataset):
            raise TrainingError(
                f"the network takes {architecture.input} and has {architecture.classes} classes, "
                f"but {dataset.name} has {dataset.shape} and {dataset.classes}"
            )
        if batch > len(dataset.train):
            raise TrainingError(f"batch: {dataset.name} has only {len(dataset.train)} training images, found {batch}")
    network = build_network(architecture, seed, zero_init_last_norm=zero_init_last_norm)
    with process_settings(device, threads or torch.get_num_threads()) as torch_device:
        images, labels = (
            _noise(architecture, batch, seed) if dataset is None else _images(dataset, batch, seed, torch_device)
        )
        images = resized(images, network)
        network.to(torch_device)
        dropout = dropout_generator(torch_device).manual_seed(seed)
        with replace_faulty_convolutions(network), dropping_from(network, dropout):
            loss, blocks = _flows(network, images.to(torch_device), labels.to(torch_device))
    source = NOISE if dataset is None else dataset.name
    return GradientFlow(architecture.digest, seed, batch, source, loss, blocks)


def _noise(architecture: Architecture, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return standard normal images (N, C, H, W) and uniform labels (N,)."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, *architecture.input, generator=random, dtype=torch.float32, device="cpu")
    return images, torch.randint(architecture.classes, (batch,), generator=random, device="cpu")


def _images(data: Dataset, batch: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return stratified training images (N, C, H, W), normalised, and their labels (N,)."""
    chosen = data.train.take(stratified_order(data.train.labels, seed)[:batch])
    return next(Images(chosen, data, device).in_order(batch))


class _Probe(NamedTuple):
    """The tensors of one block that the forward hooks record.

    Attributes:
        stage: Number of the stage, from 1.
        block: Number of the block in its stage, from 1.
        output: The block's output.
        branch_input: The input of the residual branch.
        shortcut_input: The input of the shortcut; empty without a shortcut.
        dead: For each activation, which of its channels are 0 everywhere, bool (C,).
    """

    stage: int
    block: int
    output: list[Tensor]
    branch_input: list[Tensor]
    shortcut_input: list[Tensor]
    dead: list[Tensor]


def _flows(network: Network, images: Tensor, labels: Tensor) -> tuple[float | None, tuple[BlockFlow, ...]]:
    """Run one forward and one backward pass; return the loss and the quantities of each block."""
    network.train().requires_grad_(False)  # only gradients of activations are needed, not of weights
    probes = [_attach(placed, network) for placed in network.architecture.blocks()]
    loss = F.cross_entropy(network(images.contiguous().requires_grad_()), labels)
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    last = {probe.stage: probe for probe in probes}
    return _finite(loss.item()), tuple(_flow(probe, last[probe.stage]) for probe in probes)


def _attach(placed: PlacedBlock, network: Network) -> _Probe:
    """Register the hooks that record one block, and return its probe."""
    probe, module = _Probe(placed.stage, placed.number, [], [], [], []), network.block(placed)

    def record_input(tensors: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
        def record(_: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
            tensors.append(arguments[0].view_as(arguments[0]))  # a separate view receives only this path's gradient
            tensors[-1].retain_grad()
            return tensors[-1]

        return record

    def output_hook(_: nn.Module, arguments: tuple[Tensor, ...], y: Tensor) -> Tensor:
        return record_output(_, (y,))

    def find_dead(_: nn.Module, arguments: tuple[Tensor, ...], y: Tensor) -> None:
        probe.dead.append((y == 0).transpose(0, 1).flatten(1).all(dim=1))

    record_output = record_input(probe.output)
    module.register_forward_hook(output_hook)
    module.branch.register_forward_pre_hook(record_input(probe.branch_input))
    if module.shortcut is not None:
        module.shortcut.register_forward_pre_hook(record_input(probe.shortcut_input))
    for layer in placed.layers():
        if layer.op.role == "activation":
            network.get_submodule(layer.module).register_forward_hook(find_dead)
    return probe


def _flow(probe: _Probe, last: _Probe) -> BlockFlow:
    """Compute the quantities of one block; ``last``: the probe of the stage's last block."""
    y = probe.output[0].detach()
    gradient, final = _gradient(probe.output), _gradient(last.output)
    norm, norm_last = gradient.norm(), final.norm()
    same = gradient.shape == final.shape and norm > 0 and norm_last > 0
    through_shortcut, through_branch = (
        _gradient(inputs).square().sum().item() if inputs else 0.0
        for inputs in (probe.shortcut_input, probe.branch_input)
    )
    total = through_shortcut + through_branch
    return BlockFlow(
        stage=probe.stage,
        block=probe.block,
        grad_norm=_finite(norm.item()),
        cosine=_finite(((gradient / norm) * (final / norm_last)).sum().clamp(-1, 1).item()) if same else None,
        shortcut_share=_finite(through_shortcut / total) if total else 0.0,
        dead_share=torch.cat(probe.dead).double().mean().item() if probe.dead else 0.0,
        signal_var=_finite(y.double().transpose(0, 1).flatten(1).var(dim=1, correction=0).mean().item()),
    )


def _gradient(tensors: list[Tensor]) -> Tensor:
    """Return the gradient as float64, where squares of small numbers do not underflow; 0 if there is none."""
    (tensor,) = tensors
    return torch.zeros_like(tensor, dtype=torch.float64) if tensor.grad is None else tensor.grad.double()


def _finite(value: float) -> float | None:
    """Return the value, or None if it is not finite."""
    return value if math.isfinite(value) else None

"""How signal and gradient pass through a network's residual blocks before it has learnt anything.

With E the mean cross-entropy of a batch of N images, x_l the output of block l (N, C, H, W), g_l = dE/dx_l its
gradient, and L the last block of l's stage, each block is told by

- ``grad_norm``: ||g_l||, the Euclidean norm over all N*C*H*W entries. By He et al. 2016 (arXiv:1603.05027, eq. 5)
  dE/dx_l = dE/dx_L (1 + d/dx_l sum F): with identity shortcuts it does not vanish, where in plain networks it shrinks
  or grows exponentially with depth (Hanin 2018, arXiv:1801.03744). It falls as 1/sqrt(N); compare it within a stage,
  where shapes are equal, and at one N.
- ``cosine``: <g_l, g_L> / (||g_l|| ||g_L||), how much of the stage's last gradient arrives unchanged: the 1 of the
  same equation against its sum. Near 0 what arrives has lost its direction, as gradients that shatter have
  (Balduzzi et al. 2017, arXiv:1702.08591). None where the shapes differ (concatenation) or a norm is 0.
- ``shortcut_share``: ||s||^2 / (||s||^2 + ||f||^2), s and f the gradients that reach the place where the block's
  shortcut and branch part, by the one and by the other: which of the paths of Veit et al. 2016 (arXiv:1605.06431)
  carry the gradient. 0 without a shortcut.
- ``dead_share``: of the channels that the block's activations put out, the share that is 0 for every image at every
  place, and so passes no gradient on. 0 without activations.
- ``signal_var``: the variance of x_l over (N, H, W), mean over the channels: the "average channel variance" of
  Brock et al. 2021 (arXiv:2101.08692, section 3), whose growth with depth says how the shortcuts add up.

The network stands as it is initialised, in training mode (batch norm takes the batch's own moments, dropout drops), in
float32. A figure that is not finite is None.
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
from explorer.training.batches import Images
from explorer.training.convolutions import sound_convolutions
from explorer.training.device import dropout_generator, process_settings

NOISE = "noise"
BATCH = 32
BATCHES = range(2, 4_097)  # of one image batch norm takes no moments
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
    """The flow through ``architecture`` as it is initialised from ``seed``, for ``batch`` images.

    ``data``: a data set or its name, of whose training images the first of a stratified order are taken, without
    augmentation; without one they are standard normal noise with uniformly drawn classes. ``seed`` fixes weights,
    images, classes and dropout: on a CPU the same arguments give the same figures. ``zero_init_last_norm``: as recipes
    ask for it. Raises DataError, or TrainingError when the network does not fit the data or a number is out of range.
    """
    dataset = load_data(data, data_dir) if isinstance(data, str) else data
    for name, number, allowed in (("batch", batch, BATCHES), ("seed", seed, SEEDS)):
        if number not in allowed:
            raise TrainingError(f"{name} must lie in {allowed[0]}..{allowed[-1]}, found {number}")
    if dataset is not None:
        if (architecture.input, architecture.classes) != (dataset.shape, dataset.classes):
            raise TrainingError(
                f"the network takes {architecture.input} and tells {architecture.classes} classes apart, "
                f"{dataset.name} has {dataset.shape} and {dataset.classes}"
            )
        if batch > len(dataset.train):
            raise TrainingError(f"batch: {dataset.name} has only {len(dataset.train)} training images, found {batch}")
    network = build_network(architecture, seed, zero_init_last_norm=zero_init_last_norm)
    with process_settings(device, threads or torch.get_num_threads()) as torch_device:
        images, labels = (
            _noise(architecture, batch, seed) if dataset is None else _images(dataset, batch, seed, torch_device)
        )
        network.to(torch_device)
        dropout = dropout_generator(torch_device).manual_seed(seed)
        with sound_convolutions(network), dropping_from(network, dropout):
            loss, blocks = _flows(network, images.to(torch_device), labels.to(torch_device))
    source = NOISE if dataset is None else dataset.name
    return GradientFlow(architecture.digest, seed, batch, source, loss, blocks)


def _noise(architecture: Architecture, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, *architecture.input, generator=random, dtype=torch.float32, device="cpu")
    return images, torch.randint(architecture.classes, (batch,), generator=random, device="cpu")


def _images(data: Dataset, batch: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    chosen = data.train.take(stratified_order(data.train.labels, seed)[:batch])
    return next(Images(chosen, data, device).in_order(batch))


class _Probe(NamedTuple):
    """What is overheard at one block while the network runs; lists, for hooks to fill."""

    stage: int
    block: int
    output: list[Tensor]
    by_branch: list[Tensor]
    by_shortcut: list[Tensor]
    dead: list[Tensor]  # of each activation: which channels, bool (C,)


def _flows(network: Network, images: Tensor, labels: Tensor) -> tuple[float | None, tuple[BlockFlow, ...]]:
    network.train().requires_grad_(False)  # the gradients wanted are those of what flows, not of weights
    probes = [_attach(placed, network) for placed in network.architecture.blocks()]
    loss = F.cross_entropy(network(images.contiguous().requires_grad_()), labels)
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    last = {probe.stage: probe for probe in probes}
    return _finite(loss.item()), tuple(_flow(probe, last[probe.stage]) for probe in probes)


def _attach(placed: PlacedBlock, network: Network) -> _Probe:
    probe, module = _Probe(placed.stage, placed.number, [], [], [], []), network.block(placed)

    def record_input(to: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
        def record(_: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
            to.append(arguments[0].view_as(arguments[0]))  # a tensor of its own collects this way's gradient alone
            to[-1].retain_grad()
            return to[-1]

        return record

    def output_hook(_: nn.Module, arguments: tuple[Tensor, ...], y: Tensor) -> Tensor:
        return record_output(_, (y,))

    def find_dead(_: nn.Module, arguments: tuple[Tensor, ...], y: Tensor) -> None:
        probe.dead.append((y == 0).transpose(0, 1).flatten(1).all(dim=1))

    record_output = record_input(probe.output)
    module.register_forward_hook(output_hook)
    module.branch.register_forward_pre_hook(record_input(probe.by_branch))
    if module.shortcut is not None:
        module.shortcut.register_forward_pre_hook(record_input(probe.by_shortcut))
    for layer in placed.layers():
        if layer.op.role == "activation":
            network.get_submodule(layer.module).register_forward_hook(find_dead)
    return probe


def _flow(probe: _Probe, last: _Probe) -> BlockFlow:
    y = probe.output[0].detach()
    gradient, final = _gradient(probe.output), _gradient(last.output)
    norm, norm_last = gradient.norm(), final.norm()
    same = gradient.shape == final.shape and norm > 0 and norm_last > 0
    direct, learnt = (
        _gradient(way).square().sum().item() if way else 0.0 for way in (probe.by_shortcut, probe.by_branch)
    )
    return BlockFlow(
        stage=probe.stage,
        block=probe.block,
        grad_norm=_finite(norm.item()),
        cosine=_finite(((gradient / norm) * (final / norm_last)).sum().clamp(-1, 1).item()) if same else None,
        shortcut_share=_finite(direct / (direct + learnt)) if direct + learnt else 0.0,
        dead_share=torch.cat(probe.dead).double().mean().item() if probe.dead else 0.0,
        signal_var=_finite(y.double().transpose(0, 1).flatten(1).var(dim=1, correction=0).mean().item()),
    )


def _gradient(tensors: list[Tensor]) -> Tensor:
    """What arrived there, in double precision: squares of small float32 numbers vanish. 0 where nothing did."""
    (tensor,) = tensors
    return torch.zeros_like(tensor, dtype=torch.float64) if tensor.grad is None else tensor.grad.double()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

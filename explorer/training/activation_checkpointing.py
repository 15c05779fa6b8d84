"""Activation checkpointing: the activations of a deep network are recomputed in the backward pass instead of stored.

Of each stage with n blocks, the input of every sqrt(n)-th block is stored; the activations in between are computed a
second time when the backward pass needs them (Chen et al. 2016, arXiv:1604.06174). The memory of a stage grows with
sqrt(n) instead of n, and a training step takes about a third longer, because the forward pass is a third of it.

The second computation has the random numbers of the first and updates copies of the running statistics of batch
norms, so that gradients and weights are bitwise those of a training without checkpointing, on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from explorer.networks.architecture import Architecture
from explorer.networks.build import Network
from explorer.networks.ops.regularisation import drop_path
from explorer.system.cores import usable_cores
from explorer.system.memory import available_memory

MEMORY_SHARE = 0.5  # of the memory for a training that activations may fill; weights, images and gradients need some


def activation_bytes(architecture: Architecture, batch_size: int, precision: str) -> int:
    """Estimate the memory of the activations that a training step stores for its backward pass, in bytes.

    The output of every op counts once, and that of a plain sum or another merge too. Ops that share their output with
    the next one (a ReLU keeps its output only, a batch norm its input only) make this an upper estimate.

    Args:
        architecture: The network.
        batch_size: Images of a training step.
        precision: ``float32`` or ``bfloat16``.
    """
    elements = sum(layer.y.elements for layer in architecture.layers())
    return batch_size * elements * (2 if precision == "bfloat16" else 4)


def needs_checkpointing(
    architecture: Architecture, batch_size: int, precision: str, device: torch.device, threads: int
) -> bool:
    """Return whether the activations of a training step would fill more than half of the memory for this training.

    On a GPU that is its free memory. On a CPU it is the free memory of the machine (or of its control group) times the
    share of the cores that this training uses: other trainings of a search use the other cores.

    Args:
        architecture: The network.
        batch_size: Images of a training step.
        precision: ``float32`` or ``bfloat16``.
        device: The device.
        threads: Number of computing threads on a CPU.
    """
    if device.type == "cuda":
        memory = float(torch.cuda.mem_get_info(device)[0])
    else:
        memory = available_memory() * min(1.0, threads / usable_cores())
    return activation_bytes(architecture, batch_size, precision) > MEMORY_SHARE * memory


@contextmanager
def checkpointed_stages(net: Network, dropout: torch.Generator) -> Iterator[None]:
    """Recompute the activations of the network's stages in the backward pass, within the ``with`` block.

    Evaluation and forward passes without gradients are not changed.

    Args:
        net: The network.
        dropout: The generator of dropout and stochastic depth.
    """
    stages = [stage for stage in net.stages if isinstance(stage, nn.Sequential)]
    for stage in stages:
        stage.forward = partial(_forward, stage, dropout)  # type: ignore[method-assign]  # restored below
    try:
        yield
    finally:
        for stage in stages:
            del stage.forward


def _forward(stage: nn.Sequential, dropout: torch.Generator, x: Tensor) -> Tensor:
    if not (stage.training and torch.is_grad_enabled()):
        return nn.Sequential.forward(stage, x)  # type: ignore[no-any-return, no-untyped-call]  # not annotated
    blocks = list(stage)
    length = math.isqrt(len(blocks))
    for start in range(0, len(blocks), length):
        segment = nn.Sequential(*blocks[start : start + length])
        x = checkpoint(
            segment,
            x,
            use_reentrant=False,
            preserve_rng_state=False,  # the random numbers come from ``dropout``
            context_fn=partial(_contexts, segment, dropout),
        )
    return x


def _contexts(
    segment: nn.Sequential, dropout: torch.Generator
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of the first and of the second computation of a segment."""
    is_random = any(isinstance(module, (nn.Dropout, drop_path())) for module in segment.modules())
    return nullcontext(), _recomputing(segment, dropout, dropout.get_state() if is_random else None)


@contextmanager
def _recomputing(segment: nn.Sequential, dropout: torch.Generator, state: Tensor | None) -> Iterator[None]:
    """Draw the random numbers again from ``state``, if any, and update copies of the running statistics."""
    kept = [(module, dict(module.named_buffers(recurse=False))) for module in segment.modules()]
    for module, buffers in kept:
        for name, buffer in buffers.items():
            setattr(module, name, buffer.clone())
    later = None if state is None else dropout.get_state()
    if state is not None:
        dropout.set_state(state)
    try:
        yield
    finally:
        if later is not None:
            dropout.set_state(later)
        for module, buffers in kept:
            for name, buffer in buffers.items():
                setattr(module, name, buffer)

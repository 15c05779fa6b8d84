"""The gradient ratio of a network at initialisation: how much the gradient grows through the blocks of stage 1."""

from __future__ import annotations

from explorer.networks.architecture import Architecture
from explorer.training.gradient_flow import gradient_flow


def gradient_ratio(architecture: Architecture, seed: int, device: str) -> float:
    """Return the norm of the gradient at the output of the first block of stage 1 over that at its last block.

    Args:
        architecture: The network.
        seed: Seed of the weights and of 32 noise images.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """
    flow = gradient_flow(architecture, seed=seed, device=device)
    stage = [block.grad_norm or 0.0 for block in flow.blocks if block.stage == 1]
    return stage[0] / stage[-1] if stage[-1] else float("inf")

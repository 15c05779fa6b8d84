"""Random images and weights for networks, from a seed."""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.networks.architecture import Architecture
from explorer.networks.build import Network


def images(architecture: Architecture, n: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(n, *architecture.input, generator=torch.Generator().manual_seed(seed))


def randomised(network: Network, seed: int = 1) -> Network:
    """Set every parameter and running statistic to random values, so that no norm is the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                positive = name.endswith("running_var") or tensor.dim() == 1
                tensor.copy_(
                    torch.rand(tensor.shape, generator=generator) + 0.5
                    if positive
                    else torch.randn(tensor.shape, generator=generator) / 10
                )
    return network.eval()

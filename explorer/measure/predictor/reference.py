"""The fixed network that is timed in turn with every other: what it shows is the device, for it never changes."""

from __future__ import annotations

from torch import nn

from explorer.networks.ops.base import TensorShape

SHAPE = TensorShape(32, 32, 32)
BATCH = 1


def reference_network() -> nn.Module:
    """Six 3x3 convolutions of 32 channels with ReLUs on a 32x32 map, (N, 32, 32, 32) to the same: 57 million
    multiply-accumulates an image, about what the networks of CIFAR spaces are made of."""
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers).eval()

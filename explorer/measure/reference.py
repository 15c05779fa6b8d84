"""The reference network, timed in turn with all others. It never changes, so its time shows the device's speed."""

from __future__ import annotations

from torch import nn

from explorer.networks.ops.base import TensorShape

SHAPE = TensorShape(32, 32, 32)  # of the reference network's input
BATCH = 1  # images per run of the reference network


def reference_network() -> nn.Module:
    """Return six 3x3 convolutions of 32 channels with ReLUs, (N, 32, 32, 32) to (N, 32, 32, 32).

    They have 57 million multiply-accumulates per image and the layer types of networks for CIFAR.
    """
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers).eval()

"""A residual network that trains within a test."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Norm, activation and 3x3 conv, twice, with a 1x1 projection of the input if the shape changes."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
        )
        same = channels == width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


def small_network(
    channels: int = 1, classes: int = 10, width: int = 8, seed: int = 0, dropout: float = 0.0
) -> nn.Module:
    """Return two stages of one pre-activation block with weights fixed by ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1, bias=False),
            Block(width, width, 1),
            Block(width, 2 * width, 2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, classes),
        )

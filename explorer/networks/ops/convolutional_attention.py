"""CBAM: channel attention, then spatial attention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from explorer.networks.ops.base import Argument, Call, Context, Op, OpCost, TensorShape
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size


def convolutional_attention() -> type:
    import torch
    from torch import Tensor, nn

    class ConvolutionalAttention(nn.Module):
        """Gate channels, then positions (CBAM, Woo et al. 2018, arXiv:1807.06521, eq. 2 and 3)."""

        def __init__(self, channels: int, squeeze: int):
            super().__init__()
            self.reduce = nn.Conv2d(channels, squeeze, 1, bias=False)
            self.act = nn.ReLU()
            self.expand = nn.Conv2d(squeeze, channels, 1, bias=False)
            self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            pooled = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
            x = x * sum(self.expand(self.act(self.reduce(p))) for p in pooled).sigmoid()
            maps = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
            return x * self.spatial(maps).sigmoid()

    return ConvolutionalAttention


@registry.add
@dataclass(frozen=True, slots=True)
class ConvolutionalAttention(Op):
    """CBAM (Woo et al. 2018, arXiv:1807.06521, eq. 2 and 3), without biases, as in the equations.

    The two layers of the channel gate process the average and the maximum, so their products count twice. The spatial
    gate is a 7x7 convolution of two maps to one.
    """

    spelling = "cbam"
    role = "attention"
    arguments = (
        Argument("r", "ratio", "ratio", "C / r channels in the gate; a constant below 1 is the share", 1e-3, 65_536),
    )

    cost_rule = {"params": "2*C*S + 98", "macs": "4*C*S + 98*H*W", "activations": "2*(C + S) + H*W"}

    squeeze: int

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> ConvolutionalAttention:
        ratio = Fraction(given.get("ratio", 16))
        return cls(max(1, math.floor(context.shape.channels / ratio)))

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low, 0.0), max(high, 0.0)  # both gates are in 0..1

    def cost(self, x: TensorShape) -> OpCost:
        channel = 2 * x.channels * self.squeeze
        spatial = 2 * 7 * 7
        outputs = 2 * (self.squeeze + x.channels) + x.positions
        return OpCost(channel + spatial, 2 * channel + spatial * x.positions, outputs)

    def module(self, x: TensorShape) -> Call:
        return Call(convolutional_attention, (x.channels, self.squeeze))

"""Attention by products of the map with a matrix on each side (BAT)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Context, Op, OpCost, TensorShape
from explorer.networks.ops.context_attention import MULTIPLE, RATIO, SQUEEZE, with_squeeze
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size


def bilinear_attention() -> type:
    import torch
    from torch import Tensor, nn

    class BilinearAttention(nn.Module):
        """Add a map, rows and columns mixed by two matrices (Chi et al. 2020, BA-Transform)."""

        def __init__(self, channels: int, squeeze: int, block: int, groups: int, drop: float = 0.0):
            super().__init__()
            self.block, self.groups = block, groups

            def product(inputs: int, outputs: int) -> nn.Sequential:
                conv = nn.Conv2d(inputs, outputs, 1, bias=False)
                return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

            self.reduce = product(channels, squeeze)
            self.attend = product(squeeze, groups)
            self.rows = nn.Conv2d(groups, block * block * groups, (block, 1))
            self.columns = nn.Conv2d(groups, block * block * groups, (1, block))
            self.mix = product(squeeze, squeeze)
            self.expand = product(squeeze, channels)
            self.drop = nn.Dropout2d(drop)

        def forward(self, x: Tensor) -> Tensor:
            squeezed = self.reduce(x)
            attended = self.attend(squeezed)
            side = self.block
            height, width = (length // side for length in x.shape[2:])
            rows = nn.functional.max_pool2d(attended, (height, width * side))
            columns = nn.functional.max_pool2d(attended, (height * side, width))
            left = self.rows(rows).unflatten(1, (self.groups, side, side))[..., 0, 0].sigmoid()
            right = self.columns(columns).unflatten(1, (self.groups, side, side))[..., 0, 0].sigmoid()
            left, right = left / left.sum(3, keepdim=True), right / right.sum(2, keepdim=True)
            share = squeezed.shape[1] // self.groups
            left, right = self.enlarged(left, height, share), self.enlarged(right, width, share)
            return x + self.drop(self.expand(self.mix(left @ squeezed @ right)))

        def enlarged(self, matrix: Tensor, times: int, share: int) -> Tensor:
            """Return the matrices with each number as that multiple of an identity matrix."""
            unit = torch.eye(times, dtype=matrix.dtype, device=matrix.device)
            large = matrix[:, :, :, None, :, None] * unit[:, None, :]
            return large.flatten(4, 5).flatten(2, 3).repeat_interleave(share, 1)

    return BilinearAttention


@registry.add
@dataclass(frozen=True, slots=True)
class BilinearAttention(Op):
    """Bilinear attentional transform (Chi et al. 2020, CVPR, "Non-local networks with grouped bilinear attentional
    transforms"), added to its input.

    A 1x1 conv squeezes the map to S channels. Two matrices of block x block numbers for each group mix blocks of rows
    and blocks of columns; they are made from the maxima of these blocks. A 1x1 conv follows, and one back to C
    channels. All 1x1 convs have bn and relu.
    """

    spelling = "bat"
    role = "attention"
    arguments = (
        RATIO,
        MULTIPLE,
        SQUEEZE,
        Argument("block", "block", "whole", "sides of both matrices; must divide height and width", 1, 64),
        Argument("g", "groups", "whole", "groups of channels with matrices of their own; must divide the squeeze"),
        Argument("drop", "drop", "number", "probability that a channel of the sum is dropped in training", 0.0, 0.99),
    )
    cost_rule = {
        "params": "2*C*S + S*S + S*g + 4*S + 2*C + 2*g + 2*(block**3*g*g + block**2*g)",
        "macs": "(2*C*S + S*S + S*g + S*(H + W))*H*W + 2*block**3*g*g",
        "activations": "(4*S + g + C)*H*W + 2*block**2*g",
    }

    squeeze: int
    block: int = 7
    groups: int = 2
    drop: float = 0.0

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> BilinearAttention:
        values = {name: float(value) if name == "drop" else value for name, value in given.items()}
        return cls(**with_squeeze(values, context.shape.channels, 4, 8))

    def output_shape(self, x: TensorShape) -> TensorShape:
        if self.squeeze % self.groups:
            raise ArchitectureError(
                f"{self.groups} groups do not divide the {self.squeeze} squeezed channels of {self}"
            )
        if x.height % self.block or x.width % self.block:
            raise ArchitectureError(f"the block {self.block} of {self} does not divide the map of {x.height}x{x.width}")
        return x

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, math.inf  # the sum of the input and of an output of ReLU

    def cost(self, x: TensorShape) -> OpCost:
        c, s, g, b = x.channels, self.squeeze, self.groups, self.block
        products, matrices = 2 * c * s + s * s + s * g, 2 * b**3 * g * g
        params = products + 4 * s + 2 * c + 2 * g + matrices + 2 * b * b * g
        macs = (products + s * (x.height + x.width)) * x.positions + matrices
        return OpCost(params, macs, (4 * s + g + c) * x.positions + 2 * b * b * g)

    def module(self, x: TensorShape) -> Call:
        options = {"drop": self.drop} if self.drop else {}
        return Call(bilinear_attention, (x.channels, self.squeeze, self.block, self.groups), options)

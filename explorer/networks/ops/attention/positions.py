"""Layers with weights for each position of the map: trained position embeddings, and linear layers over positions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

from explorer.networks.ops.activation import GELU
from explorer.networks.ops.base import MAX_CHANNELS, Argument, Call, Op, OpCost, TensorShape
from explorer.networks.ops.conv import BIAS
from explorer.networks.ops.registry import registry


def position_embedding() -> type:
    import torch
    from torch import Tensor, nn

    class PositionEmbedding(nn.Module):
        """x + p, one trained number for each channel and position (arXiv:2010.11929, section 3.1)."""

        def __init__(self, channels: int, height: int, width: int):
            super().__init__()
            self.embedding = nn.Parameter(torch.randn(1, channels, height, width) * 0.02)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.embedding

    return PositionEmbedding


@registry.add
@dataclass(frozen=True, slots=True)
class PositionEmbedding(Op):
    """x + p with one trained number for each channel and position (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

    spelling = "pos_embed"
    role = "scale"
    cost_rule = {"params": "C*H*W"}

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=x.elements)

    def module(self, x: TensorShape) -> Call:
        return Call(position_embedding, (x.channels, x.height, x.width))


def token_mixing() -> type:
    from torch import Tensor, nn

    class TokenMixing(nn.Module):
        """Linear layers over the positions of each channel."""

        def __init__(
            self, positions: int, hidden: int = 0, act: nn.Module | None = None, bias: bool = True
        ):  # fmt: skip
            super().__init__()
            self.expand = nn.Linear(positions, hidden or positions, bias=bias)
            self.act = act
            self.reduce = nn.Linear(hidden, positions, bias=bias) if hidden else None

        def forward(self, x: Tensor) -> Tensor:
            y = self.expand(x.flatten(2).contiguous())  # after a layer norm the channels are innermost
            y = y if self.act is None else self.act(y)
            y = y if self.reduce is None else self.reduce(y)
            return y.reshape(x.shape)

    return TokenMixing


@registry.add
@dataclass(frozen=True, slots=True)
class TokenMixing(Op):
    """A linear layer over the H*W positions, the same for each channel (Touvron et al. 2021, arXiv:2105.03404).

    With ``hidden`` it has two layers and an activation between them, as in MLP-Mixer (Tolstikhin et al. 2021,
    arXiv:2105.01601): N = H*W to ``hidden`` to N numbers for each channel. The weights belong to one size of the map.
    """

    spelling = "token_mix"
    role = "attention"
    arguments = (
        Argument("hidden", "hidden", "whole", "numbers between two linear layers; 0: one layer", 0, MAX_CHANNELS),
        Argument("act", "act", "activation", "between the two layers"),
        BIAS,
    )
    # With two layers.
    cost_rule = {
        "params": "2*H*W*hidden + bias*(hidden + H*W)",
        "macs": "2*C*H*W*hidden",
        "activations": "C*(hidden + H*W)",
    }

    hidden: int = 0
    act: Op = GELU()
    bias: int = 1

    def _widths(self, x: TensorShape) -> list[int]:
        """Return the numbers for each channel before and after each layer."""
        return [x.positions, self.hidden, x.positions] if self.hidden else [x.positions, x.positions]

    def cost(self, x: TensorShape) -> OpCost:
        widths = self._widths(x)
        weights, outputs = sum(map(math.prod, pairwise(widths))), sum(widths[1:])
        of_act = self.act.cost(x).params if self.hidden else 0
        return OpCost(weights + self.bias * outputs + of_act, x.channels * weights, x.channels * outputs)

    def canonical(self, x: TensorShape) -> Op:
        return self if self.hidden else replace(self, act=GELU())

    def module(self, x: TensorShape) -> Call:
        layers = (x.positions, self.hidden, self.act.module(x)) if self.hidden else (x.positions,)
        return Call(token_mixing, layers, {} if self.bias else {"bias": False})

"""Self-attention of blocks of positions to the larger windows around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import MAX_STRIDE, Argument, Call, Context, Op, OpCost, TensorShape, zero_or_any
from explorer.networks.ops.registry import registry
from explorer.networks.ops.self_attention import HEADS, MAX_PART
from explorer.networks.ops.window import Size


def halo_attention() -> type:
    import torch
    from torch import Tensor, nn

    class HaloAttention(nn.Module):
        """Attention of each block to the window around it (Vaswani et al. 2021, arXiv:2103.12731).

        Each query is also multiplied by a trained vector for every vertical and horizontal distance
        in the window.
        """

        def __init__(
            self,
            channels: int,
            heads: int,
            block: int,
            halo: int,
            queries: int,
            stride: int = 1,
        ):
            super().__init__()
            self.heads, self.block, self.halo = heads, block, halo
            self.side = block // stride  # queries of a block along a side
            self.window = block + 2 * halo
            self.size = queries // heads
            self.q = nn.Conv2d(channels, queries, 1, stride, bias=False)
            self.kv = nn.Conv2d(channels, queries + channels, 1, bias=False)
            distances = 2 * self.window - 1
            self.rows = nn.Parameter(torch.randn(distances, self.size) * self.size**-0.5)
            self.columns = nn.Parameter(torch.randn(distances, self.size) * self.size**-0.5)

        def forward(self, x: Tensor) -> Tensor:
            batch, channels, height, width = x.shape
            down, right, n = height // self.block, width // self.block, self.side
            q = self.q(x).reshape(batch, self.heads, self.size, down, n, right, n)
            q = q.permute(0, 1, 3, 5, 4, 6, 2)  # batch, heads, rows and columns of blocks, n, n, size
            kv = nn.functional.pad(self.kv(x), (self.halo,) * 4)
            kv = kv.unfold(2, self.window, self.block).unfold(3, self.window, self.block)
            kv = kv.reshape(batch, self.heads, -1, down, right, self.window**2)
            kv = kv.permute(0, 1, 3, 4, 5, 2)
            k, v = torch.split(kv, [self.size, channels // self.heads], -1)
            logits = q.flatten(4, 5) @ k.transpose(-1, -2) * self.size**-0.5 + self.distances(q)
            y = (logits.softmax(-1) @ v).unflatten(4, (n, n))
            return y.permute(0, 1, 6, 2, 4, 3, 5).reshape(batch, channels, down * n, right * n)

        def distances(self, q: Tensor) -> Tensor:
            """Return products of queries and distance vectors: (..., block, window)."""
            query = torch.arange(self.side, device=q.device)
            key = torch.arange(self.window, device=q.device)
            index = key[None, :] - query[:, None] + self.window - 1
            index = index.expand(*q.shape[:4], self.side, -1, -1)
            across = (q @ self.columns.T).gather(-1, index)
            down = (q.transpose(4, 5) @ self.rows.T).gather(-1, index).transpose(4, 5)
            return (down[..., :, None] + across[..., None, :]).flatten(-2).flatten(4, 5)

    return HaloAttention


@registry.add
@dataclass(frozen=True, slots=True)
class HaloAttention(Op):
    """Halo attention (Vaswani et al. 2021, arXiv:2103.12731): blocks attend to windows that overlap.

    The queries of each b x b block attend to the window of b + 2 halo positions a side around it; outside of the map
    are zeros. Each query is also multiplied by a trained vector for every vertical and horizontal distance. With a
    stride only every s-th query of a row and of a column exists, so the output is smaller. Q and K have ``qk``
    channels, V as many as the input. Products have no biases.
    """

    spelling = "halo"
    role = "attention"
    arguments = (
        HEADS._replace(about="attention heads; must divide the channels, and those of the queries"),
        Argument("block", "block", "whole", "side of a block of queries; must divide height and width", 1, MAX_PART),
        Argument("halo", "halo", "whole", "positions that a window has on each side of its block", 0, MAX_PART),
        Argument("qk", "queries", "whole", "channels of queries and of keys; by default the input channels"),
        Argument("s", "stride", "whole", "stride of the queries; must divide the side of a block", 1, MAX_STRIDE),
    )
    shape_rule = "C x H/s x W/s"
    cost_rule = {
        "params": "C*(2*qk + C) + 2*(2*(block + 2*halo) - 1)*qk/heads",
        "macs": "C*qk*Ho*Wo + C*(qk + C)*H*W + Ho*Wo*((block + 2*halo)**2*(qk + C) + 2*(2*(block + 2*halo) - 1)*qk)",
        "activations": "(qk + C)*(Ho*Wo + H*W) + heads*Ho*Wo*((block + 2*halo)**2 + 2*(2*(block + 2*halo) - 1))",
    }

    heads: int
    queries: int
    block: int = 8
    halo: int = 3
    stride: int = 1

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> HaloAttention:
        return cls(**{"heads": 8, "queries": context.shape.channels, **given})

    @property
    def _window(self) -> int:
        return self.block + 2 * self.halo

    def output_shape(self, x: TensorShape) -> TensorShape:
        for name, channels in (("input", x.channels), ("query", self.queries)):
            if channels % self.heads:
                raise ArchitectureError(f"{self.heads} heads of {self} do not divide the {channels} {name} channels")
        if x.height % self.block or x.width % self.block:
            raise ArchitectureError(f"the block {self.block} of {self} does not divide the map of {x.height}x{x.width}")
        if self.block % self.stride:
            raise ArchitectureError(f"the stride {self.stride} of {self} does not divide its block of {self.block}")
        return TensorShape(x.channels, x.height // self.stride, x.width // self.stride)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high)

    def cost(self, x: TensorShape) -> OpCost:
        y = self.output_shape(x)
        distances, window = 2 * (2 * self._window - 1), self._window**2
        wide = self.queries + x.channels
        params = x.channels * (self.queries + wide) + distances * (self.queries // self.heads)
        macs = x.channels * (self.queries * y.positions + wide * x.positions)
        macs += y.positions * (window * wide + distances * self.queries)
        outputs = wide * (y.positions + x.positions) + self.heads * y.positions * (window + distances)
        return OpCost(params, macs, outputs)

    def receptive(self) -> tuple[Size, Size]:
        return self._window, self.stride

    def module(self, x: TensorShape) -> Call:
        options = {"stride": self.stride} if self.stride != 1 else {}
        return Call(halo_attention, (x.channels, self.heads, self.block, self.halo, self.queries), options)

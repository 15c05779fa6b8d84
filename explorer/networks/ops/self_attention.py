"""Self-attention over the positions of a map, of its windows or of a grid, and linear attention."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import (
    MAX_KERNEL,
    Argument,
    Call,
    Op,
    OpCost,
    TensorShape,
    nearest_divisors,
    zero_or_any,
)
from explorer.networks.ops.conv import BIAS, Conv
from explorer.networks.ops.registry import registry

HEADS = Argument("heads", "heads", "whole", "attention heads; must divide the channels", 1, 1_024)
MAX_PART = 4_096  # the longest side of a map


def self_attention() -> type:
    import torch
    from torch import Tensor, nn

    class SelfAttention(nn.Module):
        """Attention between all positions of a map (Srinivas et al. 2021, arXiv:2101.11605, Fig. 4).

        Q, K, V by one 1x1 product each. With ``relative``, each query is also multiplied by a trained
        vector for every vertical and every horizontal distance; with ``table``, a trained number for
        every pair of distances is added. With ``window`` or ``grid``, positions attend within a square
        of neighbours, or within positions at equal steps (Tu et al. 2022, arXiv:2204.01697).
        """

        def __init__(
            self,
            channels: int,
            heads: int,
            height: int,
            width: int,
            relative: bool,
            table: bool = False,
            window: int = 0,
            grid: int = 0,
            bias: bool = False,
            proj: bool = False,
        ):
            super().__init__()
            self.heads, self.size = heads, channels // heads
            self.window, self.grid = window, grid
            self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=bias)
            self.relative = relative
            side = window or grid
            height, width = (side, side) if side else (height, width)
            if relative:
                scale = self.size**-0.5
                self.rows = nn.Parameter(torch.randn(2 * height - 1, self.size) * scale)
                self.columns = nn.Parameter(torch.randn(2 * width - 1, self.size) * scale)
            pairs = (2 * height - 1) * (2 * width - 1)
            self.table = nn.Parameter(torch.randn(pairs, heads) * 0.02) if table else None
            self.proj = nn.Conv2d(channels, channels, 1, bias=bias) if proj else None

        def forward(self, x: Tensor) -> Tensor:
            y = self.joined(self.attended(self.divided(self.qkv(x))), x)
            return y if self.proj is None else self.proj(y)

        def attended(self, qkv: Tensor) -> Tensor:
            batch, channels, height, width = qkv.shape
            shape = batch, 3, self.heads, self.size, height * width
            q, k, v = qkv.reshape(shape).transpose(-1, -2).unbind(1)
            logits = q @ k.transpose(-1, -2) * self.size**-0.5
            if self.relative:
                logits = logits + self.distances(q, height, width)
            if self.table is not None:
                logits = logits + self.biases(self.table, height, width)
            y = (logits.softmax(-1) @ v).transpose(-1, -2)
            return y.reshape(batch, channels // 3, height, width)

        def divided(self, x: Tensor) -> Tensor:
            """Return the windows, or the parts of a grid, as images of a larger batch."""
            batch, channels, height, width = x.shape
            if self.window:
                p = self.window
                x = x.reshape(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
                return x.reshape(-1, channels, p, p)
            if self.grid:
                p = self.grid
                x = x.reshape(batch, channels, p, height // p, p, width // p).permute(0, 3, 5, 1, 2, 4)
                return x.reshape(-1, channels, p, p)
            return x

        def joined(self, parts: Tensor, x: Tensor) -> Tensor:
            """Return the map of the shape of ``x`` that ``divided`` has divided."""
            batch, channels, height, width = x.shape
            p = self.window or self.grid
            if not p:
                return parts
            parts = parts.reshape(batch, height // p, width // p, channels, p, p)
            order = (0, 3, 1, 4, 2, 5) if self.window else (0, 3, 4, 1, 5, 2)
            return parts.permute(*order).reshape(batch, channels, height, width)

        def distances(self, q: Tensor, height: int, width: int) -> Tensor:
            """Return the products of queries and distance vectors: (N, heads, positions, positions)."""
            row = torch.arange(height, device=q.device)
            column = torch.arange(width, device=q.device)
            down = (row[None, :] - row[:, None] + height - 1).repeat_interleave(width, 0)
            right = (column[None, :] - column[:, None] + width - 1).repeat(height, 1)
            vertical = (q @ self.rows.T).gather(-1, down.expand(*q.shape[:2], -1, -1))
            horizontal = (q @ self.columns.T).gather(-1, right.expand(*q.shape[:2], -1, -1))
            return (vertical[..., :, None] + horizontal[..., None, :]).flatten(-2)

        def biases(self, table: Tensor, height: int, width: int) -> Tensor:
            """Return the entries of the table: (heads, positions, positions)."""
            position = torch.arange(height * width, device=table.device)
            row, column = position // width, position % width
            down = row[:, None] - row[None, :] + height - 1
            right = column[:, None] - column[None, :] + width - 1
            return table[down * (2 * width - 1) + right].permute(2, 0, 1)

    return SelfAttention


@registry.add
@dataclass(frozen=True, slots=True)
class SelfAttention(Op):
    """Multi-head self-attention over all positions (Srinivas et al. 2021, arXiv:2101.11605, Fig. 4).

    Q, K and V are one 1x1 product each. ``relative`` adds trained vectors for vertical and horizontal distances,
    ``position=bias`` a trained number for each head and pair of distances (Liu et al. 2021, arXiv:2103.14030).
    ``proj=1`` adds an output projection, ``bias=1`` biases to all 1x1 products.

    ``window=p`` divides the map into p x p windows of neighbours, and ``grid=p`` into parts of p x p positions at equal
    steps (MaxViT, Tu et al. 2022, arXiv:2204.01697); positions attend within their part.

    With C channels, N positions and parts of P = h w positions (without window and grid: the map) the MACs are 3 C^2 N
    for Q, K and V, 2 N P C for the two attention products, N C (2h - 1 + 2w - 1) for the distances and C^2 N for the
    projection. The outputs of every product count as activations: 3 N C; heads N P and N C;
    heads N (2h - 1 + 2w - 1); N C.
    """

    spelling = "mhsa"
    role = "attention"
    arguments = (
        HEADS,
        Argument(
            "position",
            "position",
            "word",
            "relative: with trained vectors for distances; bias: with a trained table of biases; none: without them",
            words=("relative", "none", "bias"),
        ),
        Argument("window", "window", "whole", "side of windows; must divide height and width; 0: none", 0, MAX_PART),
        Argument("grid", "grid", "whole", "side of a grid; must divide height and width; 0: none", 0, MAX_PART),
        BIAS,
        Argument("proj", "proj", "whole", "1: with an output projection", 0, 1),
    )

    # For position=relative without window and grid. The terms in (H + W - 1) are those of the distances.
    cost_rule = {
        "params": "3*C*C + 2*(H + W - 1)*C/heads + proj*C*C + bias*(3 + proj)*C",
        "macs": "3*C*C*H*W + 2*H*W*H*W*C + 2*(H + W - 1)*C*H*W + proj*C*C*H*W",
        "activations": "4*C*H*W + heads*H*W*H*W + 2*(H + W - 1)*heads*H*W + proj*C*H*W",
    }

    heads: int = 4
    position: str = "relative"
    window: int = 0
    grid: int = 0
    bias: int = 0
    proj: int = 0

    def output_shape(self, x: TensorShape) -> TensorShape:
        if x.channels % self.heads:
            fitting = nearest_divisors(x.channels, self.heads)
            raise ArchitectureError(
                f"{self.heads} heads of {self} do not divide the {x.channels} input channels{fitting}"
            )
        if self.window and self.grid:
            raise ArchitectureError(f"{self} does not fit: it has a window or a grid, not both")
        side = self.window or self.grid
        if side and (x.height % side or x.width % side):
            raise ArchitectureError(f"the side {side} of {self} does not divide the map of {x.height}x{x.width}")
        return x

    def canonical(self, x: TensorShape) -> Op:
        return replace(self, window=0, grid=0) if x.height == x.width == (self.window or self.grid) else self

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high) if not self.bias else (-math.inf, math.inf)

    def cost(self, x: TensorShape) -> OpCost:
        channels, positions = x.channels, x.positions
        side = self.window or self.grid
        height, width = (side, side) if side else (x.height, x.width)
        params = (3 + self.proj) * channels * channels
        macs = params * positions + 2 * positions * height * width * channels
        activations = (4 + self.proj) * x.elements + self.heads * positions * height * width
        params += self.bias * (3 + self.proj) * channels
        if self.position == "relative":
            distances = 2 * height - 1 + 2 * width - 1
            params += distances * (channels // self.heads)
            macs += positions * channels * distances
            activations += self.heads * positions * distances
        elif self.position == "bias":
            params += (2 * height - 1) * (2 * width - 1) * self.heads
        return OpCost(params, macs, activations)

    def module(self, x: TensorShape) -> Call:
        options = {"table": self.position == "bias", "window": self.window, "grid": self.grid}
        options |= {"bias": bool(self.bias), "proj": bool(self.proj)}
        shown = {name: value for name, value in options.items() if value}
        return Call(self_attention, (x.channels, self.heads, x.height, x.width, self.position == "relative"), shown)


def linear_attention() -> type:
    import torch
    from torch import Tensor, nn

    class LinearAttention(nn.Module):
        """Attention by products of relu(Q) and relu(K), linear in positions (arXiv:2205.14756).

        ``kernel`` adds Q, K, V of a larger scale: a depthwise conv, then a 1x1 conv grouped by heads.
        """

        def __init__(self, channels: int, heads: int, kernel: int):
            super().__init__()
            self.size = channels // heads
            wide = 3 * channels
            self.qkv = nn.Conv2d(channels, wide, 1, bias=False)
            self.aggregate = None
            if kernel:
                gather = nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide, bias=False)
                mix = nn.Conv2d(wide, wide, 1, groups=3 * heads, bias=False)
                self.aggregate = nn.Sequential(gather, mix)
            scales = 2 if kernel else 1
            self.proj = nn.Conv2d(scales * channels, channels, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            batch, _, height, width = x.shape
            qkv = self.qkv(x)
            if self.aggregate is not None:
                qkv = torch.cat((qkv, self.aggregate(qkv)), 1)
            shape = batch, -1, 3 * self.size, height * width
            q, k, v = qkv.reshape(shape).transpose(-1, -2).chunk(3, -1)
            v = nn.functional.pad(v, (0, 1), value=1.0)
            y = q.relu() @ (k.relu().transpose(-1, -2) @ v)
            y = y[..., :-1] / (y[..., -1:] + 1e-5)
            return self.proj(y.transpose(-1, -2).reshape(batch, -1, height, width))

    return LinearAttention


@registry.add
@dataclass(frozen=True, slots=True)
class LinearAttention(Op):
    """ReLU linear attention of EfficientViT with its output projection (Cai et al. 2022, arXiv:2205.14756).

    Q, K and V are one 1x1 product each without bias; ``scale=5`` adds those of a second scale, by a 5x5 depthwise conv
    and a 1x1 conv grouped by heads. With D = C / heads channels a head, T = heads (2 heads with a second scale) and N
    positions, the two products of attention have 2 N T D (D + 1) MACs.
    """

    spelling = "linear_attn"
    role = "attention"
    arguments = (
        HEADS,
        Argument("scale", "scale", "whole", "odd kernel of the second scale; 0: without it", 0, MAX_KERNEL),
    )
    # Without a second scale.
    cost_rule = {
        "params": "4*C*C",
        "macs": "4*C*C*H*W + 2*H*W*C*(C/heads + 1)",
        "activations": "4*C*H*W + C*(C/heads + 1) + (C + heads)*H*W",
    }

    heads: int = 4
    scale: int = 0

    def output_shape(self, x: TensorShape) -> TensorShape:
        if x.channels % self.heads:
            fitting = nearest_divisors(x.channels, self.heads)
            raise ArchitectureError(
                f"{self.heads} heads of {self} do not divide the {x.channels} input channels{fitting}"
            )
        if self.scale and self.scale % 2 == 0:
            raise ArchitectureError(f"the kernel {self.scale} of {self} does not fit: it is odd, or 0")
        return x

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high)

    def cost(self, x: TensorShape) -> OpCost:
        channels, size, scales = x.channels, x.channels // self.heads, 2 if self.scale else 1
        products = Conv(1, 3 * channels).cost(x)
        if self.scale:
            wide = x._replace(channels=3 * channels)
            products = products.plus(Conv(self.scale, 3 * channels, groups=3 * channels).cost(wide))
            products = products.plus(Conv(1, 3 * channels, groups=3 * self.heads).cost(wide))
        products = products.plus(Conv(1, channels).cost(x._replace(channels=scales * channels)))
        one = scales * channels * (size + 1)  # the product of K and V
        outputs = one + scales * self.heads * (size + 1) * x.positions
        return products.plus(OpCost(0, 2 * one * x.positions, outputs))

    def module(self, x: TensorShape) -> Call:
        return Call(linear_attention, (x.channels, self.heads, self.scale))

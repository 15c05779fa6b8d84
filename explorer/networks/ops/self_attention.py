"""Multi-head self-attention over positions, which bottleneck transformers use in place of a 3x3 convolution."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Op, OpCost, TensorShape, registry, zero_or_any


def self_attention() -> type:
    import torch
    from torch import Tensor, nn

    class SelfAttention(nn.Module):
        """Attention between all positions of a map (Srinivas et al. 2021, arXiv:2101.11605, Fig. 4).

        Q, K, V by one 1x1 product each, no output projection. With ``relative``, each query is also
        multiplied by a trained vector for every vertical and every horizontal distance.
        """

        def __init__(self, channels: int, heads: int, height: int, width: int, relative: bool):
            super().__init__()
            self.heads, self.size = heads, channels // heads
            self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
            self.relative = relative
            if relative:
                scale = self.size**-0.5
                self.rows = nn.Parameter(torch.randn(2 * height - 1, self.size) * scale)
                self.columns = nn.Parameter(torch.randn(2 * width - 1, self.size) * scale)

        def forward(self, x: Tensor) -> Tensor:
            batch, channels, height, width = x.shape
            shape = batch, 3, self.heads, self.size, height * width
            q, k, v = self.qkv(x).reshape(shape).transpose(-1, -2).unbind(1)
            logits = q @ k.transpose(-1, -2) * self.size**-0.5
            if self.relative:
                logits = logits + self.distances(q, height, width)
            return (logits.softmax(-1) @ v).transpose(-1, -2).reshape(batch, channels, height, width)

        def distances(self, q: Tensor, height: int, width: int) -> Tensor:
            """Return the products of queries and distance vectors: (N, heads, positions, positions)."""
            row = torch.arange(height, device=q.device)
            column = torch.arange(width, device=q.device)
            down = (row[None, :] - row[:, None] + height - 1).repeat_interleave(width, 0)
            right = (column[None, :] - column[:, None] + width - 1).repeat(height, 1)
            vertical = (q @ self.rows.T).gather(-1, down.expand(*q.shape[:2], -1, -1))
            horizontal = (q @ self.columns.T).gather(-1, right.expand(*q.shape[:2], -1, -1))
            return (vertical[..., :, None] + horizontal[..., None, :]).flatten(-2)

    return SelfAttention


@registry.add
@dataclass(frozen=True, slots=True)
class SelfAttention(Op):
    """Multi-head self-attention over all positions (Srinivas et al. 2021, arXiv:2101.11605, Fig. 4).

    Q, K and V are one 1x1 product each without bias. ``relative`` adds trained vectors for vertical and horizontal
    distances. There is no output projection. With C channels and N = H W positions the MACs are 3 C^2 N for Q, K and V,
    2 N^2 C for the two attention products and N C (2H - 1 + 2W - 1) for the distances. The outputs of every product
    count as activations: 3 N C; heads N^2 and N C; heads N (2H - 1 + 2W - 1).
    """

    spelling = "mhsa"
    role = "attention"
    arguments = (
        Argument("heads", "heads", "whole", "attention heads; must divide the channels", 1, 1_024),
        Argument(
            "position",
            "position",
            "word",
            "relative: with trained vectors for distances; none: without them",
            words=("relative", "none"),
        ),
    )

    # For position=relative. With position=none the terms in (H + W - 1), those of the distances, are absent.
    cost_rule = {
        "params": "3*C*C + 2*(H + W - 1)*C/heads",
        "macs": "3*C*C*H*W + 2*H*W*H*W*C + 2*(H + W - 1)*C*H*W",
        "activations": "4*C*H*W + heads*H*W*H*W + 2*(H + W - 1)*heads*H*W",
    }

    heads: int = 4
    position: str = "relative"

    def output_shape(self, x: TensorShape) -> TensorShape:
        if x.channels % self.heads:
            raise ArchitectureError(f"{self.heads} heads of {self} do not divide the {x.channels} input channels")
        return x

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high)

    def cost(self, x: TensorShape) -> OpCost:
        channels, positions = x.channels, x.positions
        params = 3 * channels * channels
        macs = params * positions + 2 * positions * positions * channels
        activations = 4 * x.elements + self.heads * positions * positions
        if self.position == "relative":
            distances = 2 * x.height - 1 + 2 * x.width - 1
            params += distances * (channels // self.heads)
            macs += positions * channels * distances
            activations += self.heads * positions * distances
        return OpCost(params, macs, activations)

    def module(self, x: TensorShape) -> Call:
        return Call(self_attention, (x.channels, self.heads, x.height, x.width, self.position == "relative"))

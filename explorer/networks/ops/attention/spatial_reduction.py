"""Self-attention whose keys and values are those of a smaller map."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Op, OpCost, TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.norm import LayerNorm
from explorer.networks.ops.registry import registry
from explorer.networks.ops.self_attention import HEADS

NORM = LayerNorm(eps=1e-5)


def spatial_reduction_attention() -> type:
    from torch import Tensor, nn

    class SpatialReductionAttention(nn.Module):
        """Attention of all positions to a map that a strided conv and a layer norm have made smaller.

        Wang et al. 2021, arXiv:2102.12122, section 3.2, with an output projection.
        """

        def __init__(self, channels: int, heads: int, bias: bool, reduce: nn.Module | None = None):
            super().__init__()
            self.heads, self.size = heads, channels // heads
            self.q = nn.Conv2d(channels, channels, 1, bias=bias)
            self.reduce = reduce
            self.kv = nn.Conv2d(channels, 2 * channels, 1, bias=bias)
            self.proj = nn.Conv2d(channels, channels, 1, bias=bias)

        def forward(self, x: Tensor) -> Tensor:
            q = self.q(x).flatten(2).unflatten(1, (self.heads, self.size)).transpose(-1, -2)
            kv = self.kv(x if self.reduce is None else self.reduce(x))
            k, v = kv.flatten(2).unflatten(1, (2, self.heads, self.size)).transpose(-1, -2).unbind(1)
            y = (q @ k.transpose(-1, -2) * self.size**-0.5).softmax(-1) @ v
            return self.proj(y.transpose(-1, -2).reshape(x.shape))

    return SpatialReductionAttention


@registry.add
@dataclass(frozen=True, slots=True)
class SpatialReductionAttention(Op):
    """Attention of all positions to a map of 1/r the height and width (PVT, Wang et al. 2021, arXiv:2102.12122).

    An r x r conv of stride r with bias and a layer norm, eps 1e-5, make the map of keys and values. Q, K and V and the
    output projection are 1x1 products. With N positions and M of the smaller map the two products of attention have
    2 N M C MACs. PVTv2 and Twins are written with it.
    """

    spelling = "sr_attn"
    role = "attention"
    arguments = (
        HEADS,
        Argument("r", "reduction", "whole", "height and width are divided by it for keys and values", 1, 63),
        Argument("bias", "bias", "whole", "0: without biases of the 1x1 products", 0, 1),
    )
    # For r above 1.
    cost_rule = {
        "params": "4*C*C + 4*bias*C + r*r*C*C + 3*C",
        "macs": "2*C*C*H*W + (H//r)*(W//r)*(r*r + 2)*C*C + 2*H*W*(H//r)*(W//r)*C",
        "activations": "3*C*H*W + 3*C*(H//r)*(W//r) + heads*H*W*(H//r)*(W//r)",
    }

    heads: int = 4
    reduction: int = 2
    bias: int = 1

    def output_shape(self, x: TensorShape) -> TensorShape:
        if x.channels % self.heads:
            raise ArchitectureError(f"{self.heads} heads of {self} do not divide the {x.channels} input channels")
        if self.reduction > min(x.height, x.width):
            raise ArchitectureError(f"{self} does not fit a map of {x.height}x{x.width}: r is at most its smaller side")
        return x

    def _convs(self, x: TensorShape) -> tuple[Conv, TensorShape]:
        """Return the conv that makes the map smaller, and the shape after it."""
        conv = Conv(self.reduction, x.channels, stride=self.reduction, bias=1, padding=0)
        return conv, x if self.reduction == 1 else conv.output_shape(x)

    def cost(self, x: TensorShape) -> OpCost:
        conv, small = self._convs(x)
        product = Conv(1, x.channels, bias=self.bias)
        total = product.cost(x).plus(product.cost(x)).plus(Conv(1, 2 * x.channels, bias=self.bias).cost(small))
        if self.reduction > 1:
            total = total.plus(conv.cost(x)).plus(NORM.cost(small))
        pairs = x.positions * small.positions
        return total.plus(OpCost(0, 2 * pairs * x.channels, self.heads * pairs + x.elements))

    def module(self, x: TensorShape) -> Call:
        conv, small = self._convs(x)
        reduce = Call("Sequential", (conv.module(x), NORM.module(small)))
        layers = (x.channels, self.heads, bool(self.bias))
        return Call(spatial_reduction_attention, (*layers, reduce) if self.reduction > 1 else layers)

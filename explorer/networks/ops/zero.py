"""Zeros: the zero op of architecture search spaces, and zeros around a map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from explorer.networks.ops.activation import Activation
from explorer.networks.ops.base import MAX_KERNEL, Argument, Call, Context, Op, TensorShape
from explorer.networks.ops.conv import STRIDE, Conv
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size, sides, size_of, spell_size


def zeros() -> type:
    from torch import Tensor, nn

    class Zero(nn.Module):
        """Zeros of a given shape; the gradient of the input is 0."""

        def __init__(self, channels: int, height: int, width: int):
            super().__init__()
            self.size = channels, height, width

        def forward(self, x: Tensor) -> Tensor:
            return (x.mean((1, 2, 3), keepdim=True) * 0).expand(-1, *self.size)

    return Zero


@registry.add
@dataclass(frozen=True, slots=True)
class Zero(Op):
    """Zeros: a block whose branch is `zero` is its shortcut alone ("zeroize" of NAS-Bench-201, arXiv:2001.00326).

    It has the stage's width, and the block's stride as a convolution would. Layers of the branch before it, and
    convolutions without a bias after it, cannot affect the network: they are left out and do not count.
    """

    spelling = "zero"
    role = "scale"
    takes_stride = "conv"
    arguments = (STRIDE, Argument("out", "channels", "whole", "channels; by default the stage's width"))
    positional = 0
    shape_rule = "out x ceil(H/s) x ceil(W/s)"

    stride: Size
    channels: int
    height: int
    width: int

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> Zero:
        x, stride = context.shape, given.get("stride", context.stride)
        channels = given.get("channels", x.channels if context.width is None else context.width)
        down, right = sides(stride)
        return cls(stride, channels, -(x.height // -down), -(x.width // -right))

    def __str__(self) -> str:
        return f"zero(s={spell_size(self.stride)}, out={self.channels})"

    def output_shape(self, x: TensorShape) -> TensorShape:
        return TensorShape(self.channels, self.height, self.width)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return 0.0, 0.0

    def receptive(self) -> tuple[Size, Size]:
        return 1, self.stride

    def module(self, x: TensorShape) -> Call:
        return Call(zeros, (self.channels, self.height, self.width))


@registry.add
@dataclass(frozen=True, slots=True)
class ZeroPadding(Op):
    """Zeros on each side of the map; with `maxpool3x3(s=2, pad=0)` the stem of BiT (arXiv:1912.11370).

    A max pooling pads with values below all others, so that its padding is never the maximum; zeros can be.
    """

    spelling = "zeropad"
    role = "pool"
    arguments = (Argument("pad", "padding", "size", "zeros on each side, `0x3`: of height and width", 0, MAX_KERNEL),)
    shape_rule = "C x H + 2*pad x W + 2*pad"

    padding: Size

    def output_shape(self, x: TensorShape) -> TensorShape:
        down, right = sides(self.padding)
        return TensorShape(x.channels, x.height + 2 * down, x.width + 2 * right)

    def canonical(self, x: TensorShape) -> Op | None:
        return None if sides(self.padding) == (0, 0) else self

    def then(self, op: Op, x: TensorShape) -> tuple[Op, ...] | None:
        if isinstance(op, Activation) and op.keeps_zero:
            return op, self
        if isinstance(op, ZeroPadding):
            own = op.padding
        elif isinstance(op, Conv) and not isinstance(op.padding, str):
            own = op.centred if op.padding is None else op.padding
        else:
            return None
        (down, right), (more_down, more_right) = sides(self.padding), sides(own)
        return (replace(op, padding=size_of(down + more_down, right + more_right)),)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low, 0.0), max(high, 0.0)

    def module(self, x: TensorShape) -> Call:
        down, right = sides(self.padding)
        return Call("ZeroPad2d", ((right, right, down, down),))

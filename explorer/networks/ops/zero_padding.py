"""Zeros around a map, as a layer of their own."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.networks.ops.base import MAX_KERNEL, Argument, Call, Op, TensorShape, registry
from explorer.networks.ops.window import Size, sides


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

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low, 0.0), max(high, 0.0)

    def module(self, x: TensorShape) -> Call:
        down, right = sides(self.padding)
        return Call("ZeroPad2d", ((right, right, down, down),))

"""Blocks of pixels as channels, and the reverse; and maps that are larger than their input."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Op, TensorShape
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size


@registry.add
@dataclass(frozen=True, slots=True)
class SpaceToDepth(Op):
    """Each r x r block of pixels becomes channels (the stem of TResNet, arXiv:2003.13630).

    The order is that of ``torch.nn.PixelUnshuffle``: the r*r pixels of a channel are neighbours. timm, TensorFlow and
    ONNX have the channels of a pixel as neighbours.
    """

    spelling = "space_to_depth"
    role = "pool"
    arguments = (Argument("r", "block", "whole", "side of a block; divides H and W", 2, 16),)
    shape_rule = "r*r*C x H/r x W/r"

    block: int = 2

    def output_shape(self, x: TensorShape) -> TensorShape:
        r = self.block
        if x.height % r or x.width % r:
            raise ArchitectureError(f"{self} does not fit an input of {x}: {r} must divide height and width")
        return TensorShape(x.channels * r * r, x.height // r, x.width // r)

    def rearranges(self, x: TensorShape) -> bool:
        return True

    def then(self, op: Op, x: TensorShape) -> tuple[Op, ...] | None:
        return () if isinstance(op, DepthToSpace) and op.block == self.block else None

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def receptive(self) -> tuple[Size, Size]:
        return self.block, self.block

    def module(self, x: TensorShape) -> Call:
        return Call("PixelUnshuffle", (self.block,))


@registry.add
@dataclass(frozen=True, slots=True)
class DepthToSpace(Op):
    """Groups of r*r channels become blocks of r x r pixels (``torch.nn.PixelShuffle``, arXiv:1609.05158).

    It is the inverse of ``space_to_depth``. The receptive field of later layers is an upper bound.
    """

    spelling = "depth_to_space"
    role = "pool"
    arguments = (Argument("r", "block", "whole", "side of a block; r*r divides C", 2, 16),)
    shape_rule = "C/(r*r) x r*H x r*W"

    block: int = 2

    def output_shape(self, x: TensorShape) -> TensorShape:
        r = self.block
        if x.channels % (r * r):
            raise ArchitectureError(f"{self} does not fit an input of {x}: {r * r} must divide the channels")
        return TensorShape(x.channels // (r * r), x.height * r, x.width * r)

    def rearranges(self, x: TensorShape) -> bool:
        return True

    def then(self, op: Op, x: TensorShape) -> tuple[Op, ...] | None:
        return () if isinstance(op, SpaceToDepth) and op.block == self.block else None

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def shrinks(self) -> tuple[int | Fraction, int | Fraction]:
        return Fraction(1, self.block), Fraction(1, self.block)

    def module(self, x: TensorShape) -> Call:
        return Call("PixelShuffle", (self.block,))


def upsample() -> type:
    from torch import Tensor, nn

    class Upsample(nn.Module):
        """A map of several times the height and width, by repeating pixels or by interpolation."""

        def __init__(self, factor: int, bilinear: bool = False):
            super().__init__()
            self.factor, self.bilinear = factor, bilinear

        def forward(self, x: Tensor) -> Tensor:
            mode = "bilinear" if self.bilinear else "nearest"
            return nn.functional.interpolate(x, scale_factor=self.factor, mode=mode)

    return Upsample


@registry.add
@dataclass(frozen=True, slots=True)
class Upsample(Op):
    """A map of r times the height and width, by repeating pixels or bilinear (HRNet, arXiv:1904.04514, Fig. 2).

    Bilinear interpolation has ``align_corners=False``. The receptive field of later layers is an upper bound.
    """

    spelling = "upsample"
    role = "pool"
    arguments = (
        Argument("r", "factor", "whole", "factor of height and width", 2, 64),
        Argument("mode", "mode", "word", "how values between pixels are found", words=("nearest", "bilinear")),
    )
    shape_rule = "C x r*H x r*W"

    factor: int = 2
    mode: str = "nearest"

    def output_shape(self, x: TensorShape) -> TensorShape:
        return x._replace(height=x.height * self.factor, width=x.width * self.factor)

    def rearranges(self, x: TensorShape) -> bool:
        return self.mode == "nearest"  # an activation can be before or after it

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def shrinks(self) -> tuple[int | Fraction, int | Fraction]:
        return Fraction(1, self.factor), Fraction(1, self.factor)

    def module(self, x: TensorShape) -> Call:
        return Call(upsample, (self.factor,), {"bilinear": True} if self.mode == "bilinear" else {})

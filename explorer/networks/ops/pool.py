"""Pooling and subsampling, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Context, Op, TensorShape, registry
from explorer.networks.ops.conv import STRIDE, convolved_side


def _pooled(op: Op, x: TensorShape, height: int, width: int, channels: int | None = None) -> TensorShape:
    if height < 1 or width < 1:
        raise ArchitectureError(f"{op} does not fit an input of {x}: the window is larger than the map")
    return TensorShape(x.channels if channels is None else channels, height, width)


@registry.add
@dataclass(frozen=True, slots=True)
class MaxPool(Op):
    """Max pooling, padded by (K-1)//2, sides rounded down; the default stride is 1."""

    spelling = "maxpool"
    role = "pool"
    sized = True
    arguments = (STRIDE,)
    selects = True
    shape_rule = "C x Ho x Wo, Ho = floor((H + 2p - K)/s) + 1, p = (K-1)//2"

    kernel: int
    stride: int = 1

    def output_shape(self, x: TensorShape) -> TensorShape:
        pad = (self.kernel - 1) // 2
        return _pooled(self, x, *(convolved_side(side, self.kernel, self.stride, pad) for side in x[1:]))

    def canonical(self, x: TensorShape) -> Op | None:
        if self.kernel == 1:
            return Subsample(self.stride, x.channels).canonical(x)
        return self

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def receptive(self) -> tuple[int, int]:
        return self.kernel, self.stride

    def module(self, x: TensorShape) -> Call:
        return Call("MaxPool2d", (self.kernel,), {"stride": self.stride, "padding": (self.kernel - 1) // 2})


@registry.add
@dataclass(frozen=True, slots=True)
class AvgPool(Op):
    """Average pooling, sides rounded up, padding not counted.

    ``avgpool`` without a size pools windows of the block's stride (the ResNet-D shortcut, He T. et al. 2019,
    arXiv:1812.01187) and is the identity at stride 1. ``avgpoolKxK`` pads by (K-1)//2; its default stride is 1.
    Without padding the last window may extend beyond the edge. With padding the output has the size of a convolution
    of the same kernel and stride, so that both can be merged.
    """

    spelling = "avgpool"
    role = "pool"
    sized = None
    takes_stride = "pool"
    arguments = (STRIDE,)
    shape_rule = "C x Ho x Wo, Ho = ceil(H/s) without a size; with one as a conv of that kernel, rounded up where K < 3"

    kernel: int
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        if 2 * self.padding > self.kernel:
            raise ArchitectureError(
                f"the padding of avgpool is at most half its window of {self.kernel}, found {self.padding}"
            )

    @classmethod
    def bind(cls, kernel: int | None, given: dict[str, Any], context: Context) -> AvgPool:
        if kernel is None:
            stride = given.get("stride", context.stride)
            return cls(stride, stride)
        return cls(kernel, given.get("stride", 1), (kernel - 1) // 2)

    def __str__(self) -> str:
        if self.padding == (self.kernel - 1) // 2:
            return f"avgpool{self.kernel}x{self.kernel}" + (f"(s={self.stride})" if self.stride > 1 else "")
        return f"avgpool(s={self.stride})" if (self.kernel, self.padding) == (self.stride, 0) else Op.__str__(self)

    @property
    def spelled_size(self) -> int | None:
        return None if self.kernel == self.stride > 1 and not self.padding else self.kernel

    def _side(self, side: int) -> int:
        if self.padding:
            return convolved_side(side, self.kernel, self.stride, self.padding)
        # Rounded up, but no window starts beyond the edge.
        out = -((side - self.kernel) // -self.stride) + 1
        return out - 1 if (out - 1) * self.stride >= side else out

    def output_shape(self, x: TensorShape) -> TensorShape:
        return _pooled(self, x, *(self._side(side) for side in x[1:]))

    def canonical(self, x: TensorShape) -> Op | None:
        if self.kernel == 1:
            return Subsample(self.stride, x.channels).canonical(x)
        if not self.padding and self.kernel >= max(x[1:]):
            return GlobalAveragePool().canonical(x)  # one window covers the whole map
        return self

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def receptive(self) -> tuple[int, int]:
        return self.kernel, self.stride

    def module(self, x: TensorShape) -> Call:
        edge = {"padding": self.padding, "count_include_pad": False} if self.padding else {"ceil_mode": True}
        return Call("AvgPool2d", (self.kernel,), {"stride": self.stride, **edge})


def blur_pool() -> type:
    from torch import Tensor, nn
    from torch.nn.functional import avg_pool2d, pad

    class BlurPool(nn.Module):
        """The binomial 3x3 filter, then every stride-th pixel (Zhang 2019, arXiv:1904.11486).

        Two 2x2 averages one after the other are that filter.
        """

        def __init__(self, stride: int):
            super().__init__()
            self.stride = stride

        def forward(self, x: Tensor) -> Tensor:
            return avg_pool2d(avg_pool2d(pad(x, (1, 1, 1, 1), mode="reflect"), 2, 1), 2, self.stride)

    return BlurPool


@registry.add
@dataclass(frozen=True, slots=True)
class BlurPool(Op):
    """Anti-aliased subsampling: a fixed binomial 3x3 filter, then every s-th pixel (Zhang 2019, arXiv:1904.11486).
    `blurpool` has the block's stride and is the identity at stride 1; `blurpool3x3` filters there too.

    Other sizes do not exist. Edges are reflected, so each side must be at least 2. The filter has no parameters
    and, like all pooling, counts no MACs.
    """

    spelling = "blurpool"
    role = "pool"
    sized = None
    takes_stride = "pool"
    arguments = (STRIDE,)
    shape_rule = "C x ceil(H/s) x ceil(W/s)"

    stride: int

    @classmethod
    def bind(cls, kernel: int | None, given: dict[str, Any], context: Context) -> BlurPool | Subsample:
        if kernel not in (None, 3):
            raise ArchitectureError(f"blurpool has the size 3x3, found {kernel}x{kernel}; write blurpool3x3")
        stride = given.get("stride", context.stride if kernel is None else 1)
        return Subsample(1, context.shape.channels) if kernel is None and stride == 1 else cls(stride)

    @property
    def spelled_size(self) -> int | None:
        return 3 if self.stride == 1 else None

    def __str__(self) -> str:
        return f"blurpool(s={self.stride})" if self.stride > 1 else "blurpool3x3"

    def output_shape(self, x: TensorShape) -> TensorShape:
        if min(x[1:]) < 2:
            raise ArchitectureError(f"{self} does not fit an input of {x}: it needs sides of at least 2")
        return _pooled(self, x, *(convolved_side(side, 3, self.stride, 1) for side in x[1:]))

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def receptive(self) -> tuple[int, int]:
        return 3, self.stride

    def module(self, x: TensorShape) -> Call:
        return Call(blur_pool, (self.stride,))


def subsample() -> type:
    from torch import Tensor, nn
    from torch.nn.functional import pad

    class Subsample(nn.Module):
        """Every stride-th pixel, missing channels filled with zeros (option A, He et al. 2015)."""

        def __init__(self, stride: int, extra_channels: int):
            super().__init__()
            self.stride, self.extra_channels = stride, extra_channels

        def forward(self, x: Tensor) -> Tensor:
            return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra_channels))

    return Subsample


@registry.add
@dataclass(frozen=True, slots=True)
class Subsample(Op):
    """Option A of He et al. 2015 (arXiv:1512.03385, section 3.3): stride and zero-padded channels, no weights."""

    spelling = "subsample"
    role = "pool"
    takes_stride = "pool"
    arguments = (STRIDE, Argument("out", "out", "whole", "channels after padding; by default the stage's width"))
    positional = 0
    moves = True
    shape_rule = "out x ceil(H/s) x ceil(W/s)"

    stride: int
    out: int

    @classmethod
    def bind(cls, kernel: int | None, given: dict[str, Any], context: Context) -> Subsample:
        return cls(**{"stride": context.stride, "out": context.width, **given})

    def output_shape(self, x: TensorShape) -> TensorShape:
        if self.out < x.channels:
            raise ArchitectureError(
                f"subsample only adds channels: found {x.channels} input and {self.out} output channels"
            )
        return _pooled(self, x, -(x.height // -self.stride), -(x.width // -self.stride), self.out)

    def canonical(self, x: TensorShape) -> Op | None:
        return None if self.stride == 1 and self.out == x.channels else self

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low, 0.0), max(high, 0.0)  # added channels are zeros

    def receptive(self) -> tuple[int, int]:
        return 1, self.stride

    def module(self, x: TensorShape) -> Call:
        return Call(subsample, (self.stride, self.out - x.channels))


@registry.add
@dataclass(frozen=True, slots=True)
class GlobalAveragePool(Op):
    """The average of each channel over the whole map, as a 1x1 map."""

    spelling = "gap"
    role = "pool"
    shape_rule = "C x 1 x 1"

    def output_shape(self, x: TensorShape) -> TensorShape:
        return TensorShape(x.channels, 1, 1)

    def canonical(self, x: TensorShape) -> Op | None:
        return None if x.positions == 1 else self

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def module(self, x: TensorShape) -> Call:
        return Call("AdaptiveAvgPool2d", (1,))

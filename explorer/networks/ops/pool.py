"""Pooling and subsampling, without weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Context, Op, TensorShape
from explorer.networks.ops.conv import PAD, STRIDE
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import (
    Axis,
    Padding,
    Size,
    axes,
    fixed_padding,
    half,
    mean_without_padding,
    require_half,
    same_pad,
    sides,
    size_of,
    spell_kernel,
    spell_size,
)


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
    arguments = (STRIDE, PAD, Argument("ceil", "ceil", "whole", "1: sides rounded up", 0, 1))
    selects = True
    shape_rule = "C x Ho x Wo, Ho = floor((H + 2p - K)/s) + 1, p = (K-1)//2; with `ceil` rounded up"

    kernel: Size
    stride: Size = 1
    padding: Padding = None
    ceil: int = 0

    def __post_init__(self) -> None:
        require_half(self.spelling, self.kernel, self.padding)

    def _axes(self, x: TensorShape) -> tuple[Axis, Axis]:
        padding = half(self.kernel) if self.padding is None else self.padding
        down, right = axes(x[1:], self.kernel, self.stride, padding, ceil=bool(self.ceil))
        return down, right

    def output_shape(self, x: TensorShape) -> TensorShape:
        return _pooled(self, x, *(axis.out for axis in self._axes(x)))

    def canonical(self, x: TensorShape) -> Op | None:
        if self.kernel == 1:
            return Subsample(self.stride, x.channels).canonical(x)
        square = isinstance(self.kernel, int) and isinstance(self.stride, int)
        if square and self.padding is None and not self.ceil:
            return self
        return GlobalMaxPool().canonical(x) if self.windows(x) == ((), ()) else _simplest(self, x, 0)

    def windows(self, x: TensorShape) -> Any:
        """Return a value that is equal for max pools that compute the same function of an input of shape ``x``."""
        return tuple(axis.pixels for axis in self._axes(x))

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def receptive(self) -> tuple[Size, Size]:
        return self.kernel, self.stride

    def module(self, x: TensorShape) -> Call:
        padding = fixed_padding(self.kernel, self.stride, half(self.kernel) if self.padding is None else self.padding)
        if padding is None:
            pad = Call(same_pad, (self.kernel, self.stride), {"lowest": True})
            return Call("Sequential", (pad, Call("MaxPool2d", (self.kernel, self.stride))))
        ceil = {"ceil_mode": True} if self.ceil else {}
        return Call("MaxPool2d", (self.kernel,), {"stride": self.stride, "padding": padding, **ceil})


@registry.add
@dataclass(frozen=True, slots=True)
class AvgPool(Op):
    """Average pooling, sides rounded up, padding not counted.

    ``avgpool`` without a size pools windows of the block's stride (the ResNet-D shortcut, He T. et al. 2019,
    arXiv:1812.01187) and is the identity at stride 1. ``avgpoolKxK`` pads by (K-1)//2; its default stride is 1.
    Without padding the last window may extend beyond the edge. With padding the output has the size of a convolution
    of the same kernel and stride, so that both can be merged. ``ceil`` rounds up or down whatever the padding.
    """

    spelling = "avgpool"
    role = "pool"
    sized = None
    takes_stride = "pool"
    arguments = (
        STRIDE,
        PAD._replace(about=f"{PAD.about}; by default (K-1)//2 with a size"),
        Argument("ceil", "ceil", "whole", "1: sides rounded up, 0: down; by default up without padding", 0, 1),
        Argument("count_pad", "count_pad", "whole", "1: the mean counts the zeros of the padding", 0, 1),
    )
    shape_rule = "C x Ho x Wo, Ho = ceil(H/s) without a size; with one as a conv of that kernel, rounded up where K < 3"

    kernel: Size
    stride: Size = 1
    padding: int | tuple[int, int] | str = 0
    ceil: int | None = None
    count_pad: int = 0

    def __post_init__(self) -> None:
        require_half(self.spelling, self.kernel, self.padding)

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> AvgPool:
        if kernel is None:
            stride = given.get("stride", context.stride)
            return cls(**{"kernel": stride, **given, "stride": stride})
        return cls(**{"kernel": kernel, "padding": half(kernel), **given})

    def __str__(self) -> str:
        size = self.kernel if self.padding == half(self.kernel) else self.spelled_size
        shown = [] if self.stride == 1 and size is not None else [f"s={spell_size(self.stride)}"]
        shown += [f"pad={spell_size(self.padding)}"] if self.padding != (0 if size is None else half(size)) else []
        shown += [] if self.ceil is None else [f"ceil={self.ceil}"]
        shown += ["count_pad=1"] if self.count_pad else []
        return f"avgpool{'' if size is None else spell_kernel(size)}" + (f"({', '.join(shown)})" if shown else "")

    @property
    def spelled_size(self) -> Size | None:
        return None if self.kernel == self.stride != 1 and not self.padding else self.kernel

    def _axes(self, x: TensorShape) -> tuple[Axis, Axis]:
        ceil = self.padding == 0 if self.ceil is None else bool(self.ceil)
        down, right = axes(x[1:], self.kernel, self.stride, self.padding, ceil=ceil)
        return down, right

    def output_shape(self, x: TensorShape) -> TensorShape:
        return _pooled(self, x, *(axis.out for axis in self._axes(x)))

    def canonical(self, x: TensorShape) -> Op | None:
        if self.kernel == 1:
            return Subsample(self.stride, x.channels).canonical(x)
        square = isinstance(self.kernel, int) and isinstance(self.stride, int)
        is_plain = square and self.padding in (0, half(self.kernel)) and self.ceil is None and not self.count_pad
        if not (is_plain and self.padding) and self.windows(x) == ((), ()):
            return GlobalAveragePool().canonical(x)  # one window covers the whole map
        return self if is_plain else _simplest(self, x, None)

    def windows(self, x: TensorShape) -> Any:
        """Return a value that is equal for average pools that compute the same function of an input of shape ``x``."""
        both = self._axes(x)
        counted = [max(0, min(axis.end, axis.side + axis.after) - axis.side) for axis in both]
        if not self.count_pad or not any(axis.before or pad for axis, pad in zip(both, counted)):
            return tuple(axis.pixels for axis in both)
        return tuple((axis.window, axis.stride, axis.before, axis.out, pad) for axis, pad in zip(both, counted))

    def values(self, low: float, high: float) -> tuple[float, float]:
        return (min(low, 0.0), max(high, 0.0)) if self.count_pad else (low, high)

    def receptive(self) -> tuple[Size, Size]:
        return self.kernel, self.stride

    def module(self, x: TensorShape) -> Call:
        padding = fixed_padding(self.kernel, self.stride, self.padding)
        if padding is None:
            pad, pool = Call(same_pad, (self.kernel, self.stride)), Call("AvgPool2d", (self.kernel, self.stride))
            return Call("Sequential" if self.count_pad else mean_without_padding, (pad, pool))
        options = {
            "padding": padding,
            "ceil_mode": padding == 0 if self.ceil is None else bool(self.ceil),
            "count_include_pad": bool(self.count_pad) or padding == 0,
        }
        defaults = {"padding": 0, "ceil_mode": False, "count_include_pad": True}
        edge = {key: value for key, value in options.items() if value != defaults[key]}
        return Call("AvgPool2d", (self.kernel,), {"stride": self.stride, **edge})


def _simplest(op: MaxPool | AvgPool, x: TensorShape, ceil: int | None) -> MaxPool | AvgPool:
    """Return the simplest pool with the windows of ``op``.

    A square one comes first (on a map of height 1 the height of a window has no effect), then one with the default
    padding and rounding.

    Args:
        op: The pool.
        x: The input shape.
        ceil: The default rounding.
    """
    before = size_of(*(axis.before for axis in op._axes(x)))
    windows = op.windows(x)
    default = None if isinstance(op, MaxPool) else 0
    for kernel, stride in dict.fromkeys([*zip(sides(op.kernel), sides(op.stride)), (op.kernel, op.stride)]):
        own = (kernel, stride) == (op.kernel, op.stride)
        paddings = [default, half(kernel), *([before] if own else [])]
        for padding, rounding in [*((pad, ceil) for pad in paddings), (before, 0), (before, 1)]:
            if not own and padding is before:
                continue
            changes: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding, "ceil": rounding}
            simple = replace(op, **changes)
            for each in ([replace(simple, count_pad=0)] if isinstance(simple, AvgPool) else []) + [simple]:
                if each.windows(x) == windows:
                    return each
    return op


def blur_pool() -> type:
    from torch import Tensor, nn
    from torch.nn.functional import avg_pool2d, pad

    class BlurPool(nn.Module):
        """The binomial 3x3 filter, then every stride-th pixel (Zhang 2019, arXiv:1904.11486).

        Two 2x2 averages one after the other are that filter.
        """

        def __init__(self, stride: int | tuple[int, int], reflect: bool = True):
            super().__init__()
            self.stride, self.mode = stride, "reflect" if reflect else "constant"

        def forward(self, x: Tensor) -> Tensor:
            return avg_pool2d(avg_pool2d(pad(x, (1, 1, 1, 1), mode=self.mode), 2, 1), 2, self.stride)

    return BlurPool


@registry.add
@dataclass(frozen=True, slots=True)
class BlurPool(Op):
    """Anti-aliased subsampling: a fixed binomial 3x3 filter, then every s-th pixel (Zhang 2019, arXiv:1904.11486).
    `blurpool` has the block's stride and is the identity at stride 1; `blurpool3x3` filters there too.

    Other sizes do not exist. Edges are reflected, so each side must be at least 2, or padded with zeros. The filter has
    no parameters and, like all pooling, counts no MACs.
    """

    spelling = "blurpool"
    role = "pool"
    sized = None
    takes_stride = "pool"
    arguments = (STRIDE, Argument("pad", "padding", "word", "padding", words=("reflect", "zero")))
    shape_rule = "C x ceil(H/s) x ceil(W/s)"

    stride: Size
    padding: str = "reflect"

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> BlurPool | Subsample:
        if kernel not in (None, 3):
            raise ArchitectureError(f"blurpool has the size 3x3, found {spell_kernel(kernel)}; write blurpool3x3")
        stride = given.get("stride", context.stride if kernel is None else 1)
        if kernel is None and stride == 1:
            return Subsample(1, context.shape.channels)
        return cls(**{**given, "stride": stride})

    @property
    def spelled_size(self) -> Size | None:
        return 3 if self.stride == 1 else None

    def __str__(self) -> str:
        shown = [f"s={spell_size(self.stride)}"] if self.stride != 1 else []
        shown += [f"pad={self.padding}"] if self.padding != "reflect" else []
        return f"blurpool{'' if self.stride != 1 else '3x3'}" + (f"({', '.join(shown)})" if shown else "")

    def output_shape(self, x: TensorShape) -> TensorShape:
        if min(x[1:]) < 2 and self.padding == "reflect":
            raise ArchitectureError(
                f"{self} does not fit an input of {x}: it needs sides of at least 2; pad=zero pads with zeros"
            )
        return _pooled(self, x, *(axis.out for axis in axes(x[1:], 3, self.stride, 1)))

    def values(self, low: float, high: float) -> tuple[float, float]:
        return (low, high) if self.padding == "reflect" else (min(low, 0.0), max(high, 0.0))

    def receptive(self) -> tuple[Size, Size]:
        return 3, self.stride

    def module(self, x: TensorShape) -> Call:
        return Call(blur_pool, (self.stride,), {} if self.padding == "reflect" else {"reflect": False})


def subsample() -> type:
    from torch import Tensor, nn
    from torch.nn.functional import pad

    class Subsample(nn.Module):
        """Every stride-th pixel, missing channels filled with zeros (option A, He et al. 2015)."""

        def __init__(self, stride: int | tuple[int, int], extra_channels: int):
            super().__init__()
            self.down, self.right = (stride, stride) if isinstance(stride, int) else stride
            self.extra_channels = extra_channels

        def forward(self, x: Tensor) -> Tensor:
            return pad(x[:, :, :: self.down, :: self.right], (0, 0, 0, 0, 0, self.extra_channels))

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
    shape_rule = "out x ceil(H/s) x ceil(W/s)"

    stride: Size
    out: int

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> Subsample:
        return cls(**{"stride": context.stride, "out": context.width, **given})

    def output_shape(self, x: TensorShape) -> TensorShape:
        if self.out < x.channels:
            raise ArchitectureError(
                f"subsample only adds channels: found {x.channels} input and {self.out} output channels"
            )
        down, right = sides(self.stride)
        return _pooled(self, x, -(x.height // -down), -(x.width // -right), self.out)

    def canonical(self, x: TensorShape) -> Op | None:
        down, right = sides(self.stride)
        if down != right and 1 in x[1:]:  # the stride of a side of one pixel has no effect
            return replace(self, stride=right if x.height == 1 else down).canonical(x)
        return None if self.stride == 1 and self.out == x.channels else self

    def rearranges(self, x: TensorShape) -> bool:
        return self.out == x.channels

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low, 0.0), max(high, 0.0)  # added channels are zeros

    def receptive(self) -> tuple[Size, Size]:
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


@registry.add
@dataclass(frozen=True, slots=True)
class GlobalMaxPool(Op):
    """The maximum of each channel over the whole map, as a 1x1 map."""

    spelling = "gmp"
    role = "pool"
    selects = True
    shape_rule = "C x 1 x 1"

    def output_shape(self, x: TensorShape) -> TensorShape:
        return TensorShape(x.channels, 1, 1)

    def canonical(self, x: TensorShape) -> Op | None:
        return None if x.positions == 1 else self

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def module(self, x: TensorShape) -> Call:
        return Call("AdaptiveMaxPool2d", (1,))


GLOBAL_POOLS = (GlobalAveragePool, GlobalMaxPool)

"""Convolutions whose paths are weighted by attention: selective kernels (SKNet) and split attention (ResNeSt)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Context, Op, OpCost, TensorShape
from explorer.networks.ops.context_attention import MULTIPLE, RATIO, SQUEEZE, with_squeeze
from explorer.networks.ops.conv import DILATION, STRIDE, Conv
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size, spell_size

OUT = Argument("out", "out", "whole", "output channels; by default the stage's width `w`")
GROUPS = Argument("g", "groups", "whole", "groups of each path; must divide the channels")
AS_CONV = "out x Ho x Wo, as a conv of that kernel"


class _WeightedConv(Op):
    """Base class of both: the geometry of a convolution with an odd kernel; the outputs are averages of ReLUs."""

    __slots__ = ()
    role = "conv"
    sized = True
    takes_stride = "conv"
    shape_rule = AS_CONV

    kernel: int
    out: int
    squeeze: int
    stride: Size
    dilation: int
    groups: int

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, int) or self.kernel % 2 == 0:
            kernel = spell_size(self.kernel)
            raise ArchitectureError(f"the kernel of {self.spelling} does not fit: it is square and odd, found {kernel}")

    def values(self, low: float, high: float) -> tuple[float, float]:
        return 0.0, math.inf

    def needs_several_images(self, x: TensorShape) -> bool:
        return True  # a batch norm of global averages

    def _call(self, torch_class: Callable[[], type], x: TensorShape, **own: Any) -> Call:
        """Return the torch module; ``own``: the arguments of this op alone."""
        options = {"stride": self.stride, "dilation": self.dilation, "groups": self.groups, **own}
        return Call(torch_class, (x.channels, self.out, self.kernel, self.squeeze), options)

    @staticmethod
    def _values(kernel: Size | None, given: dict[str, Any], context: Context) -> dict[str, Any]:
        """Return the fields of the geometry, by default those of the context, and the arguments that are written."""
        return {"kernel": kernel, "out": context.width, "stride": context.stride, **given}

    def require_divisible(self, **channels: int) -> None:
        """Raise ArchitectureError unless all numbers of channels are divisible by the groups."""
        for name, number in channels.items():
            if number % self.groups:
                raise ArchitectureError(f"{self.groups} groups do not divide the {number} {name} channels of {self}")


def selective_kernel() -> type:
    import torch
    from torch import Tensor, nn

    class SelectiveKernel(nn.Module):
        """Two convolutions, one dilated twice as much, weighted for each channel (arXiv:1903.06586)."""

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: int,
            squeeze: int,
            stride: int = 1,
            dilation: int = 1,
            groups: int = 1,
            split: bool = False,
        ):
            super().__init__()
            self.split = split
            width = in_channels // 2 if split else in_channels

            def path(dilation: int) -> nn.Sequential:
                padding = dilation * (kernel_size // 2)
                geometry = (kernel_size, stride, padding, dilation, groups)
                conv = nn.Conv2d(width, out_channels, *geometry, bias=False)
                return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())

            self.paths = nn.ModuleList([path(dilation), path(2 * dilation)])
            self.reduce = nn.Conv2d(out_channels, squeeze, 1, bias=False)
            self.norm = nn.BatchNorm2d(squeeze)
            self.act = nn.ReLU()
            self.select = nn.Conv2d(squeeze, 2 * out_channels, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            inputs = x.chunk(2, 1) if self.split else (x, x)
            maps = torch.stack([path(part) for path, part in zip(self.paths, inputs, strict=True)], 1)
            pooled = maps.sum(1).mean((2, 3), keepdim=True)
            weights = self.select(self.act(self.norm(self.reduce(pooled))))
            return (maps * weights.unflatten(1, (2, -1)).softmax(1)).sum(1)

    return SelectiveKernel


@registry.add
@dataclass(frozen=True, slots=True)
class SelectiveKernel(_WeightedConv):
    """Selective kernel unit of SKNet (Li et al. 2019, arXiv:1903.06586, section 3.1): two weighted convs in one op.

    The paths are conv, bn, relu; their dilations are d and 2 d, so the second stands for the larger kernel. A softmax
    over both paths, from the global average by 1x1 conv, bn, relu, 1x1 conv, weights each channel. ``split=1`` gives
    each path one half of the input channels, as in timm. The squeeze is out / r, rounded to a multiple of ``round``,
    and one multiple more where that is below nine tenths of out / r.
    """

    spelling = "sk"
    arguments = (
        OUT,
        STRIDE,
        DILATION,
        GROUPS,
        RATIO._replace(about="out / r channels in the squeeze; a constant below 1 is the share"),
        MULTIPLE,
        SQUEEZE,
        Argument("split", "split", "whole", "1: each path convolves one half of the input channels", 0, 1),
    )
    cost_rule = {
        "params": "2*K*K*C/(1 + split)/g*out + 4*out + 3*out*S + 2*S",
        "macs": "2*K*K*C/(1 + split)/g*out*Ho*Wo + 3*out*S",
        "activations": "2*out*Ho*Wo + S + 2*out",
    }

    kernel: int
    out: int
    squeeze: int
    stride: Size = 1
    dilation: int = 1
    groups: int = 1
    split: int = 0

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> SelectiveKernel:
        values = cls._values(kernel, given, context)
        return cls(**with_squeeze(values, values["out"], 16, 8, Fraction(9, 10)))

    def output_shape(self, x: TensorShape) -> TensorShape:
        if self.split and x.channels % 2:
            raise ArchitectureError(f"the 2 paths of {self} do not divide the {x.channels} input channels")
        self.require_divisible(input=x.channels // (1 + self.split), output=self.out)
        return self._path().output_shape(x._replace(channels=x.channels // (1 + self.split)))

    def _path(self) -> Conv:
        return Conv(self.kernel, self.out, self.stride, self.dilation, self.groups)

    def cost(self, x: TensorShape) -> OpCost:
        one = self._path().cost(x._replace(channels=x.channels // (1 + self.split)))
        gate = 3 * self.out * self.squeeze
        norms = 4 * self.out + 2 * self.squeeze
        return one.plus(one).plus(OpCost(gate + norms, gate, self.squeeze + 2 * self.out))

    def receptive(self) -> tuple[Size, Size]:
        return 2 * self.dilation * (self.kernel - 1) + 1, self.stride

    def module(self, x: TensorShape) -> Call:
        return self._call(selective_kernel, x, split=bool(self.split))


def split_attention() -> type:
    from torch import Tensor, nn

    class SplitAttention(nn.Module):
        """A grouped convolution to ``radix`` maps, weighted for each channel (arXiv:2004.08955)."""

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: int,
            squeeze: int,
            stride: int = 1,
            dilation: int = 1,
            groups: int = 1,
            radix: int = 2,
        ):
            super().__init__()
            self.groups, self.radix = groups, radix
            width = out_channels * radix
            padding = dilation * (kernel_size // 2)
            geometry = (kernel_size, stride, padding, dilation, groups * radix)
            self.conv = nn.Conv2d(in_channels, width, *geometry, bias=False)
            self.norm = nn.BatchNorm2d(width)
            self.act = nn.ReLU()
            self.reduce = nn.Conv2d(out_channels, squeeze, 1, groups=groups)
            self.squeeze_norm = nn.BatchNorm2d(squeeze)
            self.expand = nn.Conv2d(squeeze, width, 1, groups=groups)

        def forward(self, x: Tensor) -> Tensor:
            maps = self.act(self.norm(self.conv(x))).unflatten(1, (self.radix, -1))
            pooled = maps.sum(1).mean((2, 3), keepdim=True)
            weights = self.expand(self.act(self.squeeze_norm(self.reduce(pooled))))
            if self.radix == 1:
                return maps[:, 0] * weights.sigmoid()
            weights = weights.unflatten(1, (self.groups, self.radix, -1)).transpose(1, 2).softmax(1)
            return (maps * weights.flatten(2, 3)).sum(1)

    return SplitAttention


@registry.add
@dataclass(frozen=True, slots=True)
class SplitAttention(_WeightedConv):
    """Split attention of ResNeSt (Zhang et al. 2020, arXiv:2004.08955, section 3): a weighted grouped conv in one op.

    One conv of g * radix groups gives ``radix`` maps, then bn and relu. A softmax over the maps, from the average
    of their sum by grouped 1x1 conv, bn, relu, grouped 1x1 conv (with biases), weights each channel; with radix 1 it is
    a sigmoid. The squeeze is C * radix / r, a multiple of 8 and at least 32.
    """

    spelling = "splat"
    arguments = (
        OUT,
        STRIDE,
        DILATION,
        GROUPS,
        Argument("radix", "radix", "whole", "maps for each output channel", 1, 64),
        RATIO._replace(about="C * radix / r channels in the squeeze; a constant below 1 is the share"),
        SQUEEZE,
    )
    cost_rule = {
        "params": "K*K*C/g*out + 3*out*radix + out*S*(1 + radix)/g + 3*S",
        "macs": "K*K*C/g*out*Ho*Wo + out*S*(1 + radix)/g",
        "activations": "out*radix*Ho*Wo + S + out*radix",
    }

    kernel: int
    out: int
    squeeze: int
    stride: Size = 1
    dilation: int = 1
    groups: int = 1
    radix: int = 2

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> SplitAttention:
        values = cls._values(kernel, given, context)
        wide = context.shape.channels * values.get("radix", 2)
        bound = with_squeeze(values, wide, 4, 8, Fraction(9, 10))
        return cls(**bound if "squeeze" in given else {**bound, "squeeze": max(32, bound["squeeze"])})

    def output_shape(self, x: TensorShape) -> TensorShape:
        self.require_divisible(output=self.out, squeeze=self.squeeze)
        return self._conv().output_shape(x)._replace(channels=self.out)

    def _conv(self) -> Conv:
        return Conv(self.kernel, self.out * self.radix, self.stride, self.dilation, self.groups * self.radix)

    def cost(self, x: TensorShape) -> OpCost:
        gate = self.out * self.squeeze * (1 + self.radix) // self.groups
        width = self.out * self.radix
        return self._conv().cost(x).plus(OpCost(gate + 3 * width + 3 * self.squeeze, gate, self.squeeze + width))

    def receptive(self) -> tuple[Size, Size]:
        return self.dilation * (self.kernel - 1) + 1, self.stride

    def module(self, x: TensorShape) -> Call:
        return self._call(split_attention, x, radix=self.radix)

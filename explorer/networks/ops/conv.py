"""Convolutions: dense, grouped, depthwise, dilated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import (
    MAX_STRIDE,
    Argument,
    Call,
    Context,
    Op,
    OpCost,
    TensorShape,
    registry,
    zero_or_any,
)

STRIDE = Argument("s", "stride", "whole", "stride", 1, MAX_STRIDE)
DILATION = Argument("d", "dilation", "whole", "dilation", 1, 64)
BIAS = Argument("bias", "bias", "whole", "1: with a bias", 0, 1)


def convolved_side(side: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return the output side of a convolution or pooling, rounded down."""
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def is_depthwise(groups: int, channels: int) -> bool:
    """Return whether a convolution of ``channels`` input channels in ``groups`` convolves each channel separately."""
    return groups == channels > 1


@registry.add
@dataclass(frozen=True, slots=True)
class Conv(Op):
    """A square convolution, padded by ``dilation * (kernel - 1) / 2`` for odd kernels and by 0 for even ones.

    In the language ``out`` defaults to the stage's width ``w``.
    """

    spelling = "conv"
    role = "conv"
    sized = True
    takes_stride = "conv"
    arguments = (
        Argument("out", "out", "whole", "output channels; by default the stage's width `w`"),
        STRIDE,
        DILATION,
        Argument("g", "groups", "whole", "groups; must divide input and output channels"),
        BIAS,
    )
    shape_rule = "out x Ho x Wo, Ho = floor((H + 2p - d(K-1) - 1)/s) + 1, p = d(K-1)/2 for odd K, 0 for even"
    cost_rule = {
        "params": "K*K*C/g*out + bias*out",
        "macs": "K*K*C/g*out*Ho*Wo",
        "activations": "out*Ho*Wo",
    }

    kernel: int
    out: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    bias: int = 0

    @classmethod
    def bind(cls, kernel: int | None, given: dict[str, Any], context: Context) -> Conv:
        assert kernel is not None
        get: Callable[[str, Any], Any] = given.get
        out, stride = get("out", context.width), get("stride", context.stride)
        return cls(kernel, out, stride, get("dilation", 1), get("groups", 1), get("bias", 0))

    @property
    def padding(self) -> int:
        return self.dilation * (self.kernel - 1) // 2 if self.kernel % 2 else 0

    def output_shape(self, x: TensorShape) -> TensorShape:
        channels, height, width = x
        if self.groups != 1:
            self._check_groups(channels)
        stride = self.stride
        # The padding of an odd kernel preserves the size; without padding each side becomes shorter.
        reach = 0 if self.kernel % 2 else self.dilation * (self.kernel - 1)
        height, width = (height - reach - 1) // stride + 1, (width - reach - 1) // stride + 1
        if height < 1 or width < 1:
            raise ArchitectureError(f"{self} does not fit an input of {x}: the window is larger than the map")
        return TensorShape(self.out, height, width)

    def _check_groups(self, channels_in: int) -> None:
        for side, channels in (("input", channels_in), ("output", self.out)):
            if channels % self.groups:
                fitting = [g for g in range(1, channels + 1) if channels % g == 0]
                nearest = sorted(fitting, key=lambda g: abs(g - self.groups))[:2]
                raise ArchitectureError(
                    f"{self.groups} groups do not divide the {channels} {side} channels of {self};"
                    f" nearest that fit: {', '.join(map(str, sorted(nearest)))}"
                )

    def cost(self, x: TensorShape) -> OpCost:
        out, height, width = self.output_shape(x)
        weights = self.kernel * self.kernel * (x[0] // self.groups) * out
        positions = height * width
        return OpCost(weights + self.bias * out, weights * positions, out * positions)

    def canonical(self, x: TensorShape) -> Conv:
        dilation, stride = self.dilation, self.stride
        if self.kernel == 1:
            dilation = 1
        elif self.kernel % 2:  # at a larger dilation only the centre of the kernel is on the map
            dilation = min(dilation, max(x[1:]))
        if stride > 1 and self.output_shape(x) == replace(self, stride=1).output_shape(x):
            stride = 1  # a single window
        if (dilation, stride) == (self.dilation, self.stride):
            return self
        return replace(self, dilation=dilation, stride=stride)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high) if not self.bias else (-math.inf, math.inf)

    def is_depthwise(self, x: TensorShape) -> bool:
        return is_depthwise(self.groups, x.channels)

    def receptive(self) -> tuple[int, int]:
        return self.dilation * (self.kernel - 1) + 1, self.stride

    def module(self, x: TensorShape) -> Call:
        options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        kwargs = {key: value for key, value in options.items() if value != (0 if key == "padding" else 1)}
        return Call("Conv2d", (x.channels, self.out, self.kernel), {**kwargs, "bias": bool(self.bias)})


@registry.add
@dataclass(frozen=True, slots=True)
class DepthwiseConv(Op):
    """A convolution of each channel separately: a ``Conv`` with one group per channel."""

    spelling = "dwconv"
    role = "conv"
    sized = True
    takes_stride = "conv"
    arguments = (
        Argument("out", "out", "whole", "output channels, a multiple of the input channels, which is the default"),
        STRIDE,
        DILATION,
        BIAS,
    )
    shape_rule = "out x Ho x Wo, as a conv of that kernel"
    cost_rule = {"params": "K*K*out + bias*out", "macs": "K*K*out*Ho*Wo", "activations": "out*Ho*Wo"}

    @classmethod
    def bind(cls, kernel: int | None, given: dict[str, Any], context: Context) -> Conv:
        assert kernel is not None
        channels = context.shape.channels
        return Conv(kernel, **{"out": channels, "stride": context.stride, **given}, groups=channels)

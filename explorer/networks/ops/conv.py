"""Convolutions: dense, grouped, depthwise, dilated, of square and rectangular kernels, of standardised weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import (
    MAX_KERNEL,
    MAX_STRIDE,
    Argument,
    Call,
    Context,
    Op,
    OpCost,
    TensorShape,
    nearest_divisors,
    zero_or_any,
)
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import SAME, Axis, Padding, Size, axes, fixed_padding, same_pad, sides, size_of

STRIDE = Argument("s", "stride", "size", "stride; `2x1`: height and width", 1, MAX_STRIDE)
DILATION = Argument("d", "dilation", "whole", "dilation", 1, 64)
BIAS = Argument("bias", "bias", "whole", "1: with a bias", 0, 1)
PAD = Argument(
    "pad",
    "padding",
    "size",
    "padding of each side, `0x3`: of height and width; `same`: TensorFlow's SAME, output ceil(H/s)",
    0,
    MAX_KERNEL,
    (SAME,),
)


def standardised_conv() -> type:
    import torch
    from torch import Tensor, nn

    class StandardisedConv2d(nn.Conv2d):
        """A convolution with weights of mean 0 and variance 1 for each output (arXiv:1903.10520).

        With ``gain`` they are also multiplied by a trained gain / sqrt(fan-in) (arXiv:2101.08692).
        """

        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: int,
            stride: int = 1,
            padding: int = 0,
            dilation: int = 1,
            groups: int = 1,
            bias: bool = True,
            gain: bool = False,
            gamma: float = 1.0,
            eps: float = 1e-6,
        ):
            geometry = (kernel_size, stride, padding, dilation, groups)
            super().__init__(in_channels, out_channels, *geometry, bias)
            self.factor = gamma * self.weight[0].numel() ** -0.5 if gain else gamma
            self.gain = nn.Parameter(torch.ones(out_channels)) if gain else None
            self.eps = eps

        def standardised_weight(self) -> Tensor:
            variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
            scale = (variance + self.eps).rsqrt() * self.factor
            if self.gain is not None:
                scale = scale * self.gain.view(-1, 1, 1, 1)
            return (self.weight - mean) * scale

        def forward(self, x: Tensor) -> Tensor:
            return self._conv_forward(x, self.standardised_weight(), self.bias)

    return StandardisedConv2d


def is_depthwise(groups: int, channels: int) -> bool:
    """Return whether a convolution of ``channels`` input channels in ``groups`` convolves each channel separately."""
    return groups == channels > 1


@registry.add
@dataclass(frozen=True, slots=True)
class Conv(Op):
    """A convolution. By default a side K of the kernel is padded by d(K-1)/2 if K is odd and not padded if K is even.

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
        PAD,
    )
    shape_rule = "out x Ho x Wo, Ho = floor((H + 2p - d(K-1) - 1)/s) + 1, p = d(K-1)/2 for odd K, 0 for even"
    cost_rule = {
        "params": "K*K*C/g*out + bias*out",
        "macs": "K*K*C/g*out*Ho*Wo",
        "activations": "out*Ho*Wo",
    }

    kernel: Size
    out: int
    stride: Size = 1
    dilation: int = 1
    groups: int = 1
    bias: int = 0
    padding: Padding = None

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> Conv:
        assert kernel is not None
        get: Callable[[str, Any], Any] = given.get
        out, stride = get("out", context.width), get("stride", context.stride)
        return cls(kernel, out, stride, get("dilation", 1), get("groups", 1), get("bias", 0), get("padding", None))

    @property
    def centred(self) -> Size:
        """The default padding."""
        return size_of(*(self.dilation * (side - 1) // 2 if side % 2 else 0 for side in sides(self.kernel)))

    def _axes(self, x: TensorShape, stride: Size) -> tuple[Axis, Axis]:
        padding = self.centred if self.padding is None else self.padding
        down, right = axes(x[1:], self.kernel, stride, padding, self.dilation)
        return down, right

    def output_shape(self, x: TensorShape) -> TensorShape:
        channels, height, width = x
        if self.groups != 1:
            self._check_groups(channels)
        kernel, stride = self.kernel, self.stride
        if self.padding is None and isinstance(kernel, int) and isinstance(stride, int):  # most convolutions
            # The padding of an odd kernel preserves the size; without padding each side becomes shorter.
            reach = 0 if kernel % 2 else self.dilation * (kernel - 1)
            height, width = (height - reach - 1) // stride + 1, (width - reach - 1) // stride + 1
        else:
            height, width = (axis.out for axis in self._axes(x, stride))
        if height < 1 or width < 1:
            raise ArchitectureError(f"{self} does not fit an input of {x}: the window is larger than the map")
        return TensorShape(self.out, height, width)

    def _check_groups(self, channels_in: int) -> None:
        for side, channels in (("input", channels_in), ("output", self.out)):
            if channels % self.groups:
                raise ArchitectureError(
                    f"{self.groups} groups do not divide the {channels} {side} channels of {self}"
                    f"{nearest_divisors(channels, self.groups)}"
                    f"{'; a depthwise conv is dwconv' if self.groups in (self.out, channels_in) else ''}"
                )

    def cost(self, x: TensorShape) -> OpCost:
        return self.cost_between(x, self.output_shape(x))

    def cost_between(self, x: TensorShape, y: TensorShape) -> OpCost:
        """Return the cost for an input of shape ``x``, whose output shape ``y`` is known."""
        out, height, width = y
        kernel = self.kernel
        area = kernel * kernel if isinstance(kernel, int) else kernel[0] * kernel[1]
        weights = area * (x[0] // self.groups) * out
        positions = height * width
        return OpCost(weights + self.bias * out, weights * positions, out * positions)

    def canonical(self, x: TensorShape) -> Conv:
        dilation, stride, padding = self.dilation, self.stride, self._simple_padding(x)
        if self.kernel == 1:
            dilation = 1
        elif padding is None and all(side % 2 for side in sides(self.kernel)):
            dilation = min(dilation, max(x[1:]))  # at a larger dilation only the centre of the kernel is on the map
        if stride != 1 and padding != SAME:
            stride = replace(self, padding=padding)._simple_stride(x)
        if (dilation, stride, padding) == (self.dilation, self.stride, self.padding):
            return self
        return replace(self, dilation=dilation, stride=stride, padding=padding)

    def _simple_padding(self, x: TensorShape) -> Padding:
        """Return the padding, None if it is the default; ``same`` only if the two ends of a side differ."""
        padding = self.padding
        if padding == SAME:
            down, right = self._axes(x, self.stride)
            if down.before != down.after or right.before != right.after:
                return SAME
            padding = size_of(down.before, right.before)
        return None if padding == self.centred else padding

    def _simple_stride(self, x: TensorShape) -> Size:
        """Return the stride; along a side with a single window it has no effect, and is that of the other side."""
        down, right = sides(self.stride)
        one_down, one_right = (axis.out == 1 for axis in self._axes(x, 1))
        if one_down and one_right:
            return 1
        return right if one_down else down if one_right else self.stride

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high) if not self.bias else (-math.inf, math.inf)

    def is_depthwise(self, x: TensorShape) -> bool:
        return is_depthwise(self.groups, x.channels)

    def receptive(self) -> tuple[Size, Size]:
        kernel, dilation = self.kernel, self.dilation
        if isinstance(kernel, int):
            return dilation * (kernel - 1) + 1, self.stride
        return size_of(*(dilation * (side - 1) + 1 for side in kernel)), self.stride

    def module(self, x: TensorShape) -> Call:
        padding = fixed_padding(
            self.kernel, self.stride, self.centred if self.padding is None else self.padding, self.dilation
        )
        options = {"stride": self.stride, "padding": padding or 0, "dilation": self.dilation, "groups": self.groups}
        defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        kwargs: dict[str, Any] = {key: value for key, value in options.items() if value != defaults[key]}
        conv = self.layer((x.channels, self.out, self.kernel), {**kwargs, "bias": bool(self.bias)})
        if padding is not None:
            return conv
        window: dict[str, Any] = {key: kwargs[key] for key in ("stride", "dilation") if key in kwargs}
        return Call("Sequential", (Call(same_pad, (self.kernel,), window), conv))

    def layer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return the torch module without padding that depends on the input size, given the arguments of Conv2d."""
        return Call("Conv2d", args, kwargs)


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
        PAD,
    )
    shape_rule = "out x Ho x Wo, as a conv of that kernel"
    cost_rule = {"params": "K*K*out + bias*out", "macs": "K*K*out*Ho*Wo", "activations": "out*Ho*Wo"}

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> Conv:
        assert kernel is not None
        channels = context.shape.channels
        return Conv(kernel, **{"out": channels, "stride": context.stride, **given}, groups=channels)


@registry.add
@dataclass(frozen=True, slots=True)
class StandardisedConv(Conv):
    """A convolution with standardised weights (Qiao et al. 2019, arXiv:1903.10520), as in BiT.

    The weights of each output channel have mean 0 and variance 1. ``gain=1`` is the scaled weight standardisation of
    NFNet (Brock et al. 2021, arXiv:2101.08692): the weights are also multiplied by a trained gain / sqrt(fan-in).
    For inference the standardised weights are constants, so that the op is a plain convolution.
    """

    spelling = "wsconv"
    arguments = (  # type: ignore[assignment]  # mypy infers the number of Conv's
        *Conv.arguments,
        Argument("gain", "gain", "whole", "1: with a trained gain for each output channel / sqrt(fan-in)", 0, 1),
        Argument("gamma", "gamma", "number", "constant factor of the weights", 1e-3, 1e3),
        Argument("eps", "eps", "number", "added to the variance of the weights", 1e-12, 1.0),
    )
    cost_rule = {**Conv.cost_rule, "params": f"{Conv.cost_rule['params']} + gain*out"}

    gain: int = 0
    gamma: float = 1.0
    eps: float = 1e-6

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> StandardisedConv:
        plain = {field.name for field in fields(Conv)}
        conv = Conv.bind(kernel, {name: value for name, value in given.items() if name in plain}, context)
        own: dict[str, Any] = {name: value for name, value in given.items() if name not in plain}
        own |= {name: float(own[name]) for name in ("gamma", "eps") if name in own}
        return cls(**{name: getattr(conv, name) for name in plain}, **own)

    def output_shape(self, x: TensorShape) -> TensorShape:
        y = Conv.output_shape(self, x)
        if self.kernel == 1 and x.channels == self.groups:
            raise ArchitectureError(f"{self} on an input of {x} would standardise each weight by itself")
        return y

    def cost(self, x: TensorShape) -> OpCost:
        return Conv.cost(self, x).plus(OpCost(params=self.gain * self.out))

    def layer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        own = {"gain": bool(self.gain), "gamma": self.gamma, "eps": self.eps}
        return Call(standardised_conv, args, {**kwargs, **own})

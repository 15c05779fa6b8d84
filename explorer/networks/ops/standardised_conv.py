"""Convolutions with weight standardisation, which networks without batch norm use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Context, OpCost, TensorShape, registry
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.window import Size


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

"""Norms that are designed together with an activation: filter response normalisation and EvoNorm."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, OpCost, TensorShape, nearest_divisors
from explorer.networks.ops.norm import EPS, Norm, require_several_values
from explorer.networks.ops.registry import registry


def filter_response_norm() -> type:
    import torch
    from torch import Tensor, nn

    class FilterResponseNorm(nn.Module):
        """Division of each map by its root mean square (Singh and Krishnan 2020, eq. 1 and 2)."""

        def __init__(self, channels: int, eps: float):
            super().__init__()
            self.eps = eps
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))

        def forward(self, x: Tensor) -> Tensor:
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            scale = wide.square().mean((2, 3), keepdim=True).add(self.eps).rsqrt().to(x.dtype)
            weight, bias = self.weight.view(-1, 1, 1).to(x.dtype), self.bias.view(-1, 1, 1).to(x.dtype)
            return x * scale * weight + bias

    return FilterResponseNorm


@registry.add
@dataclass(frozen=True, slots=True)
class FilterResponseNorm(Norm):
    """Division of each map by its root mean square (Singh and Krishnan 2020, arXiv:1911.09737); ``tlu`` follows."""

    spelling = "frn"

    eps: float = 1e-6

    def output_shape(self, x: TensorShape) -> TensorShape:
        return require_several_values(self, x, x.positions)

    def module(self, x: TensorShape) -> Call:
        return Call(filter_response_norm, (x.channels, self.eps))


class _EvoNorm(Norm):
    """Base class of both: scale, shift and v per channel."""

    __slots__ = ()
    cost_rule = {"params": "3*C"}

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=3 * x.channels)


def evo_norm_b0() -> type:
    import torch
    from torch import Tensor, nn

    class EvoNormB0(nn.Module):
        """x / max(batch std, v * x + instance std) * weight + bias (arXiv:2004.02967)."""

        running_var: Tensor

        def __init__(self, channels: int, eps: float):
            super().__init__()
            self.eps, self.momentum = eps, 0.1
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
            self.v = nn.Parameter(torch.ones(channels))
            self.register_buffer("running_var", torch.ones(channels))

        def forward(self, x: Tensor) -> Tensor:
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            variance = self.running_var
            if self.training:
                variance = wide.var((0, 2, 3), correction=0)
                values = x.numel() // x.shape[1]
                unbiased = variance.detach() * (values / (values - 1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
            batch = (variance + self.eps).sqrt().view(-1, 1, 1).to(x.dtype)
            instance = wide.var((2, 3), correction=0, keepdim=True).add(self.eps).sqrt().to(x.dtype)
            weight, bias, v = (p.view(-1, 1, 1).to(x.dtype) for p in (self.weight, self.bias, self.v))
            return x / torch.maximum(batch, x * v + instance) * weight + bias

    return EvoNormB0


@registry.add
@dataclass(frozen=True, slots=True)
class EvoNormB0(_EvoNorm):
    """EvoNorm-B0, norm and activation in one, with batch statistics (Liu et al. 2020, arXiv:2004.02967, Table 1)."""

    spelling = "evonorm_b0"

    eps: float = 1e-3

    def needs_several_images(self, x: TensorShape) -> bool:
        return x.positions == 1

    def module(self, x: TensorShape) -> Call:
        return Call(evo_norm_b0, (x.channels, self.eps))


def evo_norm_s0() -> type:
    import torch
    from torch import Tensor, nn

    class EvoNormS0(nn.Module):
        """x * sigmoid(v * x) / group std * weight + bias (arXiv:2004.02967)."""

        def __init__(self, groups: int, channels: int, eps: float):
            super().__init__()
            self.groups, self.eps = groups, eps
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
            self.v = nn.Parameter(torch.ones(channels))

        def forward(self, x: Tensor) -> Tensor:
            batch, channels, height, width = x.shape
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            grouped = wide.reshape(batch, self.groups, channels // self.groups, height, width)
            scale = grouped.var((2, 3, 4), correction=0).add(self.eps).rsqrt().to(x.dtype)
            scale = scale.repeat_interleave(channels // self.groups, 1).view(batch, channels, 1, 1)
            weight, bias, v = (p.view(-1, 1, 1).to(x.dtype) for p in (self.weight, self.bias, self.v))
            return x * (x * v).sigmoid() * scale * weight + bias

    return EvoNormS0


@registry.add
@dataclass(frozen=True, slots=True)
class EvoNormS0(_EvoNorm):
    """EvoNorm-S0, norm and activation in one, with group statistics (Liu et al. 2020, arXiv:2004.02967, Table 1)."""

    spelling = "evonorm_s0"
    arguments = (Argument("g", "groups", "whole", "groups; must divide the channels"), EPS)
    positional = 1

    groups: int = 32
    eps: float = 1e-5

    def output_shape(self, x: TensorShape) -> TensorShape:
        if x.channels % self.groups:
            fitting = nearest_divisors(x.channels, self.groups)
            raise ArchitectureError(
                f"{self.groups} groups of {self} do not divide the {x.channels} input channels{fitting}"
            )
        return require_several_values(self, x, x.elements // self.groups)

    def module(self, x: TensorShape) -> Call:
        return Call(evo_norm_s0, (self.groups, x.channels, self.eps))

"""Normalisation layers: a trainable scale, and a shift where stated, per channel; they count no MACs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Op, OpCost, TensorShape, nearest_divisors, zero_or_any
from explorer.networks.ops.registry import registry

EPS = Argument("eps", "eps", "number", "added to the variance", 1e-12, 1.0)


class Norm(Op):
    """Base class of the norms: same shape, two parameters per channel."""

    __slots__ = ()
    role = "norm"
    arguments: ClassVar[tuple[Argument, ...]] = (EPS,)
    positional = 0
    cost_rule = {"params": "2*C"}

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(2 * x.channels)


def require_several_values(op: Op, x: TensorShape, values: int) -> TensorShape:
    """Return ``x``. Raises ArchitectureError if each value would be normalised by itself, which always gives 0."""
    if values == 1:
        raise ArchitectureError(f"{op} on an input of {x} would normalise each value by itself")
    return x


@registry.add
@dataclass(frozen=True, slots=True)
class BatchNorm(Norm):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167)."""

    spelling = "bn"

    eps: float = 1e-5

    def needs_several_images(self, x: TensorShape) -> bool:
        return x.positions == 1

    def module(self, x: TensorShape) -> Call:
        return Call("BatchNorm2d", (x.channels,), _other_than_torch(self.eps))


def _other_than_torch(eps: float) -> dict[str, float]:
    """Return the keyword argument for ``eps`` if it is not the default of torch's norms."""
    return {} if eps == 1e-5 else {"eps": eps}


@registry.add
@dataclass(frozen=True, slots=True)
class GroupNorm(Norm):
    """Group normalisation (Wu and He 2018, arXiv:1803.08494)."""

    spelling = "gn"
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

    def canonical(self, x: TensorShape) -> Op:
        return InstanceNorm(self.eps) if self.groups == x.channels else self

    def module(self, x: TensorShape) -> Call:
        return Call("GroupNorm", (self.groups, x.channels), _other_than_torch(self.eps))


@registry.add
@dataclass(frozen=True, slots=True)
class InstanceNorm(Norm):
    """Instance normalisation with scale and shift (Ulyanov et al. 2016, arXiv:1607.08022).

    Built as group normalisation with one group per channel, which is the same computation.
    """

    spelling = "in_"

    eps: float = 1e-5

    def output_shape(self, x: TensorShape) -> TensorShape:
        return require_several_values(self, x, x.positions)

    def module(self, x: TensorShape) -> Call:
        return Call("GroupNorm", (x.channels, x.channels), _other_than_torch(self.eps))


def layer_norm() -> type:
    from torch import Tensor, nn

    class LayerNorm(nn.LayerNorm):
        """Layer normalisation over channels at each position (Liu et al. 2022, arXiv:2201.03545)."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    return LayerNorm


@registry.add
@dataclass(frozen=True, slots=True)
class LayerNorm(Norm):
    """Layer normalisation over the channels at each position, eps 1e-6 (Liu et al. 2022, arXiv:2201.03545)."""

    spelling = "ln"

    eps: float = 1e-6

    def module(self, x: TensorShape) -> Call:
        return Call(layer_norm, (x.channels,), {"eps": self.eps})


def rms_norm() -> type:
    import torch
    from torch import Tensor, nn

    class RMSNorm(nn.Module):
        """Division by the root mean square of the channels at each position (arXiv:1910.07467)."""

        def __init__(self, channels: int, eps: float):
            super().__init__()
            self.eps = eps
            self.weight = nn.Parameter(torch.ones(channels))

        def forward(self, x: Tensor) -> Tensor:
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            scale = wide.square().mean(1, keepdim=True).add(self.eps).rsqrt()
            return x * scale.to(x.dtype) * self.weight.view(-1, 1, 1).to(x.dtype)

    return RMSNorm


@registry.add
@dataclass(frozen=True, slots=True)
class RMSNorm(Norm):
    """Division by the root mean square of the channels at each position, without shift (arXiv:1910.07467)."""

    spelling = "rmsnorm"
    cost_rule = {"params": "C"}

    eps: float = 1e-6

    def values(self, low: float, high: float) -> tuple[float, float]:
        return zero_or_any(low, high)

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=x.channels)

    def module(self, x: TensorShape) -> Call:
        return Call(rms_norm, (x.channels, self.eps))


def global_response_norm() -> type:
    import torch
    from torch import Tensor, nn

    class GlobalResponseNorm(nn.Module):
        """x + weight * x * n + bias, n: norm of a map / mean of these norms (Woo et al. 2023)."""

        def __init__(self, channels: int, eps: float):
            super().__init__()
            self.eps = eps
            self.weight = nn.Parameter(torch.zeros(channels))
            self.bias = nn.Parameter(torch.zeros(channels))

        def forward(self, x: Tensor) -> Tensor:
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            norms = wide.norm(dim=(2, 3), keepdim=True)
            response = (norms / (norms.mean(1, keepdim=True) + self.eps)).to(x.dtype)
            weight, bias = self.weight.view(-1, 1, 1).to(x.dtype), self.bias.view(-1, 1, 1).to(x.dtype)
            return x + (weight * (x * response) + bias)

    return GlobalResponseNorm


@registry.add
@dataclass(frozen=True, slots=True)
class GlobalResponseNorm(Norm):
    """Global response normalisation of ConvNeXt V2 (Woo et al. 2023, arXiv:2301.00808, section 4), initially identity.

    It adds to each channel a trained multiple of the channel times its norm / the mean norm of all channels. Because it
    does not normalise its output, ``pre``, ``post`` and ``zero_init_last_norm`` treat it as a scale, not as a norm.
    """

    spelling = "grn"
    role = "scale"

    eps: float = 1e-6

    def module(self, x: TensorShape) -> Call:
        return Call(global_response_norm, (x.channels, self.eps))

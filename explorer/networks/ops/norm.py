"""Normalisation layers. Each has a trainable scale and shift per channel and counts no MACs."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Call, Op, OpCost, TensorShape, registry


class _Norm(Op):
    """Base class of the norms: same shape, two parameters per channel."""

    __slots__ = ()
    role = "norm"
    cost_rule = {"params": "2*C"}

    def cost(self, x: TensorShape) -> OpCost:
        return OpCost(params=2 * x.channels)


def _several_values(op: Op, x: TensorShape, values: int) -> TensorShape:
    """Return ``x``. Raises ArchitectureError if each value would be normalised by itself, which always gives 0."""
    if values == 1:
        raise ArchitectureError(f"{op} on an input of {x} would normalise each value by itself")
    return x


@registry.add
@dataclass(frozen=True, slots=True)
class BatchNorm(_Norm):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167)."""

    spelling = "bn"

    def module(self, x: TensorShape) -> Call:
        return Call("BatchNorm2d", (x.channels,))


@registry.add
@dataclass(frozen=True, slots=True)
class GroupNorm(_Norm):
    """Group normalisation (Wu and He 2018, arXiv:1803.08494)."""

    spelling = "gn"
    arguments = (Argument("g", "groups", "whole", "groups; must divide the channels"),)

    groups: int = 32

    def output_shape(self, x: TensorShape) -> TensorShape:
        if x.channels % self.groups:
            raise ArchitectureError(f"{self.groups} groups of {self} do not divide the {x.channels} input channels")
        return _several_values(self, x, x.elements // self.groups)

    def canonical(self, x: TensorShape) -> Op:
        return InstanceNorm() if self.groups == x.channels else self

    def module(self, x: TensorShape) -> Call:
        return Call("GroupNorm", (self.groups, x.channels))


@registry.add
@dataclass(frozen=True, slots=True)
class InstanceNorm(_Norm):
    """Instance normalisation with scale and shift (Ulyanov et al. 2016, arXiv:1607.08022).

    Built as group normalisation with one group per channel, which is the same computation.
    """

    spelling = "in_"

    def output_shape(self, x: TensorShape) -> TensorShape:
        return _several_values(self, x, x.positions)

    def module(self, x: TensorShape) -> Call:
        return Call("GroupNorm", (x.channels, x.channels))


def layer_norm() -> type:
    from torch import Tensor, nn

    class LayerNorm(nn.LayerNorm):
        """Layer normalisation over channels at each position (Liu et al. 2022, arXiv:2201.03545)."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    return LayerNorm


@registry.add
@dataclass(frozen=True, slots=True)
class LayerNorm(_Norm):
    """Layer normalisation over the channels at each position, eps 1e-6 (Liu et al. 2022, arXiv:2201.03545)."""

    spelling = "ln"

    def module(self, x: TensorShape) -> Call:
        return Call(layer_norm, (x.channels,), {"eps": 1e-6})

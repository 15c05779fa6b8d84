"""Dropout and stochastic depth: active in training, the identity in evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from explorer.networks.ops.base import Argument, Call, Op, TensorShape
from explorer.networks.ops.registry import registry

PROBABILITY = Argument("p", "p", "number", "probability of dropping", 0.0, 0.999)


class _Dropping(Op):
    """Base class of both. With p = 0 the op is the identity; in training kept values are divided by 1 - p."""

    __slots__ = ()
    role = "regulariser"
    arguments = (PROBABILITY,)

    p: float

    def canonical(self, x: TensorShape) -> Op | None:
        return self if self.p else None

    def values(self, low: float, high: float) -> tuple[float, float]:
        return min(low / (1 - self.p), 0.0), max(high / (1 - self.p), 0.0)


@registry.add
@dataclass(frozen=True, slots=True)
class Dropout(_Dropping):
    """Elementwise dropout (Srivastava et al. 2014)."""

    spelling = "drop"

    p: float

    def module(self, x: TensorShape) -> Call:
        return Call("Dropout", (self.p,))


@cache
def drop_path() -> type:
    import torch
    from torch import Tensor, nn

    class DropPath(nn.Module):
        """Stochastic depth: drop a whole sample's branch (Huang et al. 2016, arXiv:1603.09382)."""

        def __init__(self, p: float):
            super().__init__()
            self.p = p

        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                return x
            keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.p
            return x * (keep / (1 - self.p)).to(x.dtype)

    return DropPath


@registry.add
@dataclass(frozen=True, slots=True)
class DropPath(_Dropping):
    """Stochastic depth per sample, rescaled in training (Huang et al. 2016, arXiv:1603.09382)."""

    spelling = "droppath"

    p: float

    def module(self, x: TensorShape) -> Call:
        return Call(drop_path, (self.p,))

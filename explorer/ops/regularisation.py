"""Dropout and stochastic depth: they act in training and are the identity afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.ops.base import Argument, Call, Op, TensorShape, registry

PROBABILITY = Argument("p", "p", "number", "probability of dropping", 0.0, 0.999)


@registry.add
@dataclass(frozen=True, slots=True)
class Dropout(Op):
    """Elementwise dropout (Srivastava et al. 2014)."""

    spelling = "drop"
    role = "regulariser"
    arguments = (PROBABILITY,)

    p: float

    def canonical(self, x: TensorShape) -> Op | None:
        return self if self.p else None

    def module(self, x: TensorShape) -> Call:
        return Call("Dropout", (self.p,))


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
class DropPath(Op):
    """Stochastic depth, a whole sample at a time, rescaled in training (Huang et al. 2016, arXiv:1603.09382)."""

    spelling = "droppath"
    role = "regulariser"
    arguments = (PROBABILITY,)

    p: float

    def canonical(self, x: TensorShape) -> Op | None:
        return self if self.p else None

    def module(self, x: TensorShape) -> Call:
        return Call(drop_path, (self.p,))

"""Channels by their numbers, as an op that paths of forks begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import MAX_CHANNELS, Argument, Call, Context, Op, TensorShape
from explorer.networks.ops.nested.fork import Part
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size


def channel_slice() -> type:
    from torch import Tensor, nn

    class Slice(nn.Module):
        """The channels from ``start`` to before ``stop``, from 0."""

        def __init__(self, start: int, stop: int):
            super().__init__()
            self.start, self.stop = start, stop

        def forward(self, x: Tensor) -> Tensor:
            return x[:, self.start : self.stop]

    return Slice


@registry.add
@dataclass(frozen=True, slots=True)
class Slice(Op):
    """The channels from number a, counted from 0, to before number b, as a slice of Python.

    Shares of unequal sizes are slices: those of partial convolution (Chen et al. 2023, arXiv:2303.03667) and of the two
    paths of DPN (Chen et al. 2017, arXiv:1707.01629).
    """

    spelling = "slice"
    role = "scale"
    arguments = (
        Argument("a", "start", "whole", "the first channel, from 0", 0, MAX_CHANNELS - 1),
        Argument("b", "stop", "whole", "the channel after the last one; by default all that follow"),
    )
    positional = 2
    shape_rule = "b - a x H x W"

    start: int
    stop: int

    @classmethod
    def bind(cls, kernel: Size | None, given: dict[str, Any], context: Context) -> Slice:
        if "start" not in given:
            raise ArchitectureError("slice needs a, the number of its first channel")
        return cls(given["start"], given.get("stop", context.shape.channels))

    def output_shape(self, x: TensorShape) -> TensorShape:
        if not self.start < self.stop <= x.channels:
            raise ArchitectureError(f"{self} does not fit an input of {x.channels} channels: 0 <= a < b <= channels")
        return TensorShape(self.stop - self.start, x.height, x.width)

    def canonical(self, x: TensorShape) -> Op | None:
        size = self.stop - self.start
        if size == x.channels:
            return None
        return Part(self.stop // size, x.channels // size) if x.channels % size == self.start % size == 0 else self

    def rearranges(self, x: TensorShape) -> bool:
        return True

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def module(self, x: TensorShape) -> Call:
        return Call(channel_slice, (self.start, self.stop))

    def __str__(self) -> str:
        return f"slice({self.start}, {self.stop})"


def channels_of(op: Op | None, x: TensorShape) -> tuple[int, int] | None:
    """Return the first channel of a slice or a share of ``x``, from 0, and that after its last; None for others."""
    if isinstance(op, Slice):
        return op.start, op.stop
    if not isinstance(op, Part):
        return None
    size, rest = divmod(x.channels, op.shares)
    return (rest + size * (op.number - 1) if op.number > 1 else 0), rest + size * op.number

"""Ops that hold other ops, and what is computed over all ops in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, TypeVar

from explorer.networks.ops.base import FREE, Call, Op, OpCost, TensorShape
from explorer.networks.ops.window import Size, sides, size_of

WEIGHT_LAYERS = ("conv", "linear")  # the roles of weight layers
T = TypeVar("T")
_Field = tuple[int, int, int, int]  # height and width of a window, strides of height and width
_Shrinks = tuple[int | Fraction, int | Fraction]
Follow = Callable[[Op, T], T]  # the value after an op that holds no others
Join = Callable[[Any, list[T]], T]  # the value after a fork, given those after its paths


class Nested(Op):
    """The base class of ops that hold others, and of taps."""

    __slots__ = ()

    def inner(self) -> tuple[tuple[Op, ...], ...]:
        """Return the sequences of ops that it holds."""
        return ()

    def folded(self, value: T, follow: Follow[T], join: Join[T], taps: dict[int, T]) -> T:
        """Return what the op makes of a value; see ``fold``."""
        raise NotImplementedError


def inner_of(op: Op) -> tuple[tuple[Op, ...], ...]:
    """Return the sequences of ops that an op holds; none for most ops."""
    return op.inner() if isinstance(op, Nested) else ()


def leaves(ops: Iterable[Op]) -> Iterator[Op]:
    """Yield the ops, for an op that holds others these instead."""
    for op in ops:
        inner = op.inner() if isinstance(op, Nested) else ()
        if not inner:
            yield op
        for path in inner:
            yield from leaves(path)


def op_count(ops: Iterable[Op]) -> int:
    """Return the number of ops, with those in others."""
    return sum([1 + sum(map(op_count, inner_of(op))) for op in ops])


def fold(ops: Iterable[Op], value: T, follow: Follow[T], join: Join[T], taps: dict[int, T] | None = None) -> T:
    """Return what a sequence of ops makes of a value.

    Args:
        ops: The ops in order.
        value: The value at its input.
        follow: Returns the value after an op that holds no others.
        join: Returns the value after a fork, given those after its paths.
        taps: Receives the values at taps.
    """
    taps = {} if taps is None else taps
    for op in ops:
        value = op.folded(value, follow, join, taps) if isinstance(op, Nested) else follow(op, value)
    return value


def shape_after(ops: Iterable[Op], x: TensorShape) -> TensorShape:
    """Return the output shape of ops. Raises ArchitectureError."""
    for op in ops:
        x = op.output_shape(x)
    return x


def cost_of(ops: Iterable[Op], x: TensorShape) -> OpCost:
    """Return the cost of ops."""
    total = FREE
    for op in ops:
        total = total.plus(op.cost(x))
        x = op.output_shape(x)
    return total


def modules_of(ops: Iterable[Op], x: TensorShape) -> Iterator[Call]:
    """Yield the torch modules of ops."""
    for op in ops:
        yield op.module(x)
        x = op.output_shape(x)


def receptive_of(ops: Iterable[Op]) -> tuple[Size, Size]:
    """Return (effective kernel, stride) of ops; of paths the largest."""

    def follow(op: Op, before: _Field) -> _Field:
        (high, wide, down, right), (window, stride) = before, map(sides, op.receptive())
        high, wide = high + (window[0] - 1) * down, wide + (window[1] - 1) * right
        return high, wide, down * stride[0], right * stride[1]

    def join(fork: Any, values: list[_Field]) -> _Field:
        high, wide, down, right = map(max, zip(*values))
        return high, wide, down, right

    high, wide, down, right = fold(ops, (1, 1, 1, 1), follow, join)
    return size_of(high, wide), size_of(down, right)


def shrinks_of(ops: Iterable[Op]) -> tuple[int | Fraction, int | Fraction]:
    """Return the numbers by which ops divide height and width, but for rounding; of paths the largest."""

    def follow(op: Op, before: _Shrinks) -> _Shrinks:
        down, right = op.shrinks()
        return before[0] * down, before[1] * right

    def join(fork: Any, values: list[_Shrinks]) -> _Shrinks:
        down, right = map(max, zip(*values))
        return down, right

    start: _Shrinks = (1, 1)
    return fold(ops, start, follow, join)


def values_of(ops: Iterable[Op], low: float, high: float) -> tuple[float, float]:
    """Return the bounds of the outputs of ops for inputs in low..high."""
    return fold(ops, (low, high), lambda op, bounds: op.values(*bounds), lambda fork, each: fork.joined_values(each))


def depth_of(op: Op) -> int:
    """Return the number of conv and linear layers on the longest path through an op."""
    return fold((op,), 0, lambda inner, count: count + (inner.role in WEIGHT_LAYERS), lambda fork, counts: max(counts))

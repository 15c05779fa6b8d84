"""Taps: tensors that later layers read, at any depth in forks."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import MAX_CHANNELS, Call, Op, OpCost, TensorShape
from explorer.networks.ops.nested.fork import JOINS, Fork, fork_from_json
from explorer.networks.ops.nested.nesting import (
    Follow,
    Join,
    Nested,
    T,
    cost_of,
    fold,
    leaves,
    modules_of,
    receptive_of,
    shape_after,
    shrinks_of,
    values_of,
)
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size


@dataclass(frozen=True, slots=True)
class Tap(Nested):
    """Keeps its input for ``From``; the output is the input.

    Attributes:
        number: The number of the tap in its ``Tapped``, from 1.
    """

    spelling = "tap"
    role = "tap"

    number: int

    def folded(self, value: T, follow: Follow[T], join: Join[T], taps: dict[int, T]) -> T:
        taps[self.number] = value
        return value

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def module(self, x: TensorShape) -> Call:
        return Call(saves_output, (self.number,))

    def __str__(self) -> str:
        return f"tap(t{self.number})"


def saves_output() -> type:
    from torch import nn

    class Tap(nn.Identity):
        """Marks the output that ``From`` of this number reads; ``Tapped`` keeps it."""

        def __init__(self, number: int):
            super().__init__()
            self.saved = number

    return Tap


@dataclass(frozen=True, slots=True)
class From(Nested):
    """The tensor of a tap in place of its own input.

    Attributes:
        number: The number of the tap.
        channels: The channels of its tensor, then the height and the width.
    """

    spelling = "from"
    role = "tap"

    number: int
    channels: int
    height: int
    width: int

    def folded(self, value: T, follow: Follow[T], join: Join[T], taps: dict[int, T]) -> T:
        return taps.get(self.number, value)

    def output_shape(self, x: TensorShape) -> TensorShape:
        return TensorShape(self.channels, self.height, self.width)

    def module(self, x: TensorShape) -> Call:
        return Call(reads_output, (self.number,))

    def __str__(self) -> str:
        return f"from(t{self.number})"


def reads_output() -> type:
    from torch import nn

    class From(nn.Module):
        """Marks a place where ``Tapped`` continues from the output of the tap of this number."""

        def __init__(self, number: int):
            super().__init__()
            self.read = number

    return From


def tapped() -> type:
    from torch import Tensor, nn

    class Tapped(nn.Sequential):
        """Layers that read outputs of earlier ones, at any depth, by ``Tap`` and ``From``."""

        def forward(self, x: Tensor) -> Tensor:
            return self.run(self, x, {})

        def run(self, layer: nn.Module, x: Tensor, taps: dict[object, Tensor]) -> Tensor:
            if isinstance(layer, nn.Sequential):
                for inner in layer:
                    x = self.run(inner, x, taps)
                return x
            if isinstance(layer, nn.ModuleList):  # a fork
                return layer.join([self.run(path, x, taps) for path in layer])
            if hasattr(layer, "read"):
                return taps[layer.read]
            if hasattr(layer, "saved"):
                taps[layer.saved] = x
            return layer(x)

    return Tapped


@dataclass(frozen=True, slots=True)
class Tapped(Nested):
    """Ops of which some read outputs of earlier ones, at any depth in forks (Gao et al. 2019, arXiv:1904.01169).

    Attributes:
        ops: The ops in order; each ``From`` follows its ``Tap``.
    """

    spelling = "tapped"
    role = "fork"

    ops: tuple[Op, ...]

    def __post_init__(self) -> None:
        known: set[int] = set()
        for op in leaves(self.ops):
            if isinstance(op, Tap):
                known.add(op.number)
            elif isinstance(op, From) and op.number not in known:
                raise ArchitectureError(f"{op} has no tap({op.number}) before it")

    def inner(self) -> tuple[tuple[Op, ...], ...]:
        return (self.ops,)

    def folded(self, value: T, follow: Follow[T], join: Join[T], taps: dict[int, T]) -> T:
        return fold(self.ops, value, follow, join)

    def _taps(self, x: TensorShape) -> dict[int, TensorShape]:
        """Return the shapes at the taps for an input of shape ``x``."""
        taps: dict[int, TensorShape] = {}
        fold(self.ops, x, lambda op, shape: op.output_shape(shape), lambda fork, shapes: fork.joined(shapes), taps)
        return taps

    def fitted(self, x: TensorShape) -> Tapped:
        """Return these ops for an input of another shape ``x``. Raises ArchitectureError."""
        return Tapped(_reshaped(self.ops, self._taps(x)))

    def output_shape(self, x: TensorShape) -> TensorShape:
        taps = self._taps(x)
        for op in leaves(self.ops):
            if isinstance(op, From) and op.output_shape(x) != taps[op.number]:
                raise ArchitectureError(f"{op} reads {taps[op.number]}, not {op.output_shape(x)}")
        return shape_after(self.ops, x)

    def cost(self, x: TensorShape) -> OpCost:
        return cost_of(self.ops, x)

    def receptive(self) -> tuple[Size, Size]:
        return receptive_of(self.ops)

    def shrinks(self) -> tuple[int | Fraction, int | Fraction]:
        return shrinks_of(self.ops)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return values_of(self.ops, low, high)

    def module(self, x: TensorShape) -> Call:
        return Call(tapped, tuple(modules_of(self.ops, x)))

    def to_json(self) -> dict[str, Any]:
        return {"op": "tapped", "ops": [op.to_json() for op in self.ops]}

    def __str__(self) -> str:
        return " ".join(map(str, self.ops))


def tapped_from_json(data: dict[str, Any], read: Callable[[Any], Op]) -> Tapped:
    """Return what ``to_json`` of ``Tapped`` wrote; ``read`` reads other ops. Raises ArchitectureError."""

    def read_inside(item: Any) -> Op:
        name = str(item.get("op")) if isinstance(item, dict) else ""
        kind: type[Tap] | type[From] | None = {"tap": Tap, "from": From}.get(name)
        if kind is None:
            return fork_from_json(item, read_inside) if name in JOINS else read(item)
        values = {key: value for key, value in item.items() if key != "op"}
        names = [field.name for field in fields(kind)]
        if set(values) != set(names) or not all(type(v) is int and 1 <= v <= MAX_CHANNELS for v in values.values()):
            raise ArchitectureError(f"{name!r} has the whole numbers {', '.join(names)}; found {str(item)[:80]!r}")
        return kind(**values)

    ops = data.get("ops")
    if set(data) != {"op", "ops"} or not isinstance(ops, list):
        raise ArchitectureError(f"'tapped' has the key \"ops\", a list of ops; found {str(data)[:80]!r}")
    return Tapped(tuple(map(read_inside, ops)))


registry.nested["tapped"] = tapped_from_json


def with_taps(ops: Sequence[Op]) -> tuple[Op, ...]:
    """Return a sequence with each part from a tap to its last use as one op, without taps that are not used.

    Args:
        ops: The ops, with ``Tap`` and ``From`` at any depth; their numbers are in the order of computation.
    """
    made = {tap.number: place for place, op in enumerate(ops) for tap in leaves((op,)) if isinstance(tap, Tap)}
    used = {tap.number: place for place, op in enumerate(ops) for tap in leaves((op,)) if isinstance(tap, From)}
    out: list[Op] = []
    place = 0
    while place < len(ops):
        end, last = place, -1  # the last op that reads a tap of the ops up to ``end``
        while end <= max(last, place):
            last = max([last, *(used.get(number, -1) for number, first in made.items() if first == end)])
            end += 1
        numbers: dict[int, int] = {}
        kept = _renumbered(ops[place:end], used, numbers)
        out += [Tapped(kept)] if last >= place else kept
        place = end
    return tuple(out)


def _renumbered(ops: Sequence[Op], used: Container[int], numbers: dict[int, int]) -> tuple[Op, ...]:
    """Return ops with taps numbered from 1, without those not in ``used``; ``numbers``: old -> new number so far."""
    out: list[Op] = []
    for op in ops:
        if isinstance(op, Tap):
            if op.number not in used:
                continue
            op = Tap(numbers.setdefault(op.number, len(numbers) + 1))
        elif isinstance(op, From):
            op = replace(op, number=numbers[op.number])
        elif isinstance(op, Fork):
            op = replace(op, paths=tuple(_renumbered(path, used, numbers) for path in op.paths))
        out.append(op)
    return tuple(out)


def _reshaped(ops: Sequence[Op], taps: Mapping[int, TensorShape]) -> tuple[Op, ...]:
    """Return ops whose reads of taps have these shapes."""
    out: list[Op] = []
    for op in ops:
        if isinstance(op, From):
            op = From(op.number, *taps[op.number])
        elif isinstance(op, Fork):
            op = replace(op, paths=tuple(_reshaped(path, taps) for path in op.paths))
        out.append(op)
    return tuple(out)

"""Taps: tensors that later layers read, at any depth in forks."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import partial
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
from explorer.networks.ops.zero import Zero


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
                if op.number in known:
                    raise ArchitectureError(f"{op} occurs twice")
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

    A ``From`` of the tensor that arrives anyway is left out, and so are ops that nothing reads: those before a ``From``
    in its row up to the last tap.

    Args:
        ops: The ops, with ``Tap`` and ``From`` at any depth; their numbers are in the order of computation.
    """
    ops = _read_ops(ops)
    made: dict[int, int] = {}
    used: dict[int, int] = {}
    for number, op in enumerate(ops):
        for tap in leaves((op,)) if isinstance(op, Nested) else ():
            if isinstance(tap, (Tap, From)):
                (made if isinstance(tap, Tap) else used)[tap.number] = number
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


def _read_ops(ops: Sequence[Op]) -> tuple[Op, ...]:
    """Return ops without those that nothing reads, and without each ``From`` of the tensor that arrives."""
    before: tuple[Op, ...] = ()
    left = tuple(ops)
    while left != before:
        before, left = left, _direct(left, None, {})
        left = _without_unread(left, set(_numbers(left, From)))
    return left


def _numbers(ops: Iterable[Op], kind: type[Tap] | type[From]) -> list[int]:
    """Return the numbers of all taps, or of all their reads, at any depth in ``ops``."""
    return [op.number for op in leaves(ops) if isinstance(op, kind)]


def _without_unread(ops: Sequence[Op], read: Container[int]) -> tuple[Op, ...]:
    """Return ops without taps that are not in ``read``, and without those that only ops without an input follow."""
    out: list[Op] = []
    for op in ops:
        if isinstance(op, Tap) and op.number not in read:
            continue
        if isinstance(op, Nested) and _ignores_input(op):
            while out and not any(number in read for number in _numbers(out[-1:], Tap)):
                out.pop()
        out.append(_with_paths(op, lambda path: _without_unread(path, read)))
    return tuple(out)


def _ignores_input(op: Op) -> bool:
    """Return whether an op reads nothing of what arrives: it is a ``From``, or a fork of such paths and of zeros."""
    if isinstance(op, Fork):
        return all(path and (isinstance(path[0], Zero) or _ignores_input(path[0])) for path in op.paths)
    return isinstance(op, From)


def _direct(ops: Sequence[Op], here: int | None, names: dict[int, int]) -> tuple[Op, ...]:
    """Return ops in which each tensor has one tap, without each ``From`` of the tensor that arrives.

    Args:
        ops: The ops.
        here: The tap of the tensor that arrives; None if it has none.
        names: Receives, for each other tap of the same tensor, its first one.
    """
    out: list[Op] = []
    for op in ops:
        if isinstance(op, (Tap, From)):
            number = names.get(op.number, op.number) if isinstance(op, From) else op.number
            if here is None or (isinstance(op, From) and number != here):
                out.append(_numbered(op, number))
                here = number
            else:
                names[op.number] = here
            continue
        out.append(_with_paths(op, partial(_direct, here=here, names=names)))
        here = None
    return tuple(out)


def _numbered(op: Tap | From, number: int) -> Tap | From:
    """Return a tap, or a read of one, with this number."""
    return op if op.number == number else replace(op, number=number)


def _with_paths(op: Op, change: Callable[[tuple[Op, ...]], tuple[Op, ...]]) -> Op:
    """Return an op with its paths changed, if it is a fork."""
    if not isinstance(op, Fork):
        return op
    paths = tuple(map(change, op.paths))
    return op if paths == op.paths else replace(op, paths=paths)


def as_forks(ops: Sequence[Op]) -> tuple[Op, ...]:
    """Return ops in which taps are forks where one fork is enough.

    ``tap(a) conv3x3 sum(bn, from(a))`` is ``sum(conv3x3 bn, identity)``: all paths but one begin with the tensor.

    Args:
        ops: The ops of a ``Tapped``.
    """
    return with_taps(_forked(_read_ops(ops), None))


def _forked(row: Sequence[Op], here: int | None) -> tuple[Op, ...]:
    """Return a row in which taps are forks; ``here``: the tap of the tensor that arrives, None if it has none."""
    out: list[Op] = []
    start = 0  # the place of the tensor ``here`` in ``out``
    for given in row:
        op = _with_paths(given, partial(_forked, here=here if start == len(out) else None))
        out.append(op)
        if isinstance(op, (Tap, From)):
            here, start = op.number, len(out)
            continue
        if isinstance(op, Fork) and here is not None:
            read = [_begins_with(path, here) for path in op.paths]
            if sum(read) == len(read) - 1:
                before = tuple(out[start:-1])
                paths = (path[1:] if is_read else before + path for path, is_read in zip(op.paths, read))
                out[start:] = [replace(op, paths=tuple(paths))]
        if isinstance(op, Fork) and any(isinstance(each, (Tap, From)) for each in leaves(out[-1:])):
            here = None
    return tuple(out)


def _begins_with(path: tuple[Op, ...], number: int) -> bool:
    """Return whether a path begins with the tensor of the tap of this number."""
    return bool(path) and isinstance(path[0], From) and path[0].number == number


def _renumbered(ops: Sequence[Op], used: Container[int], numbers: dict[int, int]) -> tuple[Op, ...]:
    """Return ops with taps numbered from 1, without those not in ``used``; ``numbers``: old -> new number so far."""
    out: list[Op] = []
    for op in ops:
        if isinstance(op, Tap):
            if op.number not in used:
                continue
            op = _numbered(op, numbers.setdefault(op.number, len(numbers) + 1))
        elif isinstance(op, From):
            op = _numbered(op, numbers[op.number])
        out.append(_with_paths(op, lambda path: _renumbered(path, used, numbers)))
    return tuple(out)


def _reshaped(ops: Sequence[Op], taps: Mapping[int, TensorShape]) -> tuple[Op, ...]:
    """Return ops whose reads of taps have these shapes."""
    out: list[Op] = []
    for op in ops:
        if isinstance(op, From):
            op = From(op.number, *taps[op.number])
        out.append(_with_paths(op, lambda path: _reshaped(path, taps)))
    return tuple(out)

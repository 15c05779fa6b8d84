"""Forks: parallel paths with one input, whose outputs are joined; and the shares of channels that paths can take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import FREE, MAX_CHANNELS, Argument, Call, Op, OpCost, TensorShape, registry

MAX_NESTED = 24  # forks in each other; the JSON text of an architecture has three levels for each
WEIGHT_LAYERS = ("conv", "linear")  # the roles of weight layers


def channel_part() -> type:
    from torch import Tensor, nn

    class Part(nn.Module):
        """The channels from ``start`` to ``stop``, which is excluded."""

        def __init__(self, start: int, stop: int):
            super().__init__()
            self.start, self.stop = start, stop

        def forward(self, x: Tensor) -> Tensor:
            return x[:, self.start : self.stop]

    return Part


@registry.add
@dataclass(frozen=True, slots=True)
class Part(Op):
    """The k-th of n equal shares of the channels (Gao et al. 2019, arXiv:1904.01169).

    Each share has C/n channels, rounded down; the first one also has the remainder (as MixConv of timm).
    """

    spelling = "part"
    role = "scale"
    moves = True
    arguments = (
        Argument("k", "number", "whole", "the number of the share, from 1 to n"),
        Argument("n", "shares", "whole", "the number of shares"),
    )
    positional = 2
    shape_rule = "floor(C/n) x H x W, for the first share with the remainder of C/n"

    number: int
    shares: int

    def __post_init__(self) -> None:
        if self.number > self.shares:
            raise ArchitectureError(f"part({self.number}, {self.shares}) has no share {self.number} of {self.shares}")

    def _ends(self, channels: int) -> tuple[int, int]:
        """Return the first channel of the share and the first one after it."""
        if channels < self.shares:
            raise ArchitectureError(f"{self} needs at least {self.shares} channels, its input has {channels}")
        size, rest = divmod(channels, self.shares)
        stop = rest + size * self.number
        return (stop - size if self.number > 1 else 0), stop

    def output_shape(self, x: TensorShape) -> TensorShape:
        start, stop = self._ends(x.channels)
        return x._replace(channels=stop - start)

    def canonical(self, x: TensorShape) -> Op | None:
        return None if self.shares == 1 else self

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def module(self, x: TensorShape) -> Call:
        return Call(channel_part, self._ends(x.channels))

    def __str__(self) -> str:
        return f"part({self.number}, {self.shares})"


@dataclass(frozen=True, slots=True)
class Fork(Op):
    """Paths with the same input, whose outputs are joined.

    Attributes:
        paths: The ops of each path in order; an empty path passes its input.
        broadcasts: Whether outputs of 1x1 pixels or of one channel are repeated to the shape of the others.
        commutes: Whether the order of the paths has no effect.
    """

    role = "fork"
    broadcasts: ClassVar[bool] = True
    commutes: ClassVar[bool] = True

    paths: tuple[tuple[Op, ...], ...]

    def __post_init__(self) -> None:
        if len(self.paths) < 2:
            raise ArchitectureError(f"{self.spelling} joins at least two paths, found {len(self.paths)}")
        if _depth(self) > MAX_NESTED:
            raise ArchitectureError(f"forks are nested deeper than {MAX_NESTED}")

    def outputs(self, x: TensorShape) -> list[TensorShape]:
        """Return the output shape of each path. Raises ArchitectureError."""
        made = []
        for number, path in enumerate(self.paths, 1):
            y = x
            for op in path:
                try:
                    y = op.output_shape(y)
                except ArchitectureError as error:
                    raise ArchitectureError(f"path {number} of {self.spelling}: {error}") from None
            made.append(y)
        return made

    def output_shape(self, x: TensorShape) -> TensorShape:
        return self.joined(self.outputs(x))

    def joined(self, shapes: list[TensorShape]) -> TensorShape:
        """Return the output shape for these outputs of the paths.

        Raises:
            ArchitectureError: They do not fit.
        """
        y = TensorShape(*map(max, zip(*shapes)))
        if all(shape == y for shape in shapes):
            return y
        if any(shape[0] not in (1, y[0]) or shape[1:] not in ((1, 1), y[1:]) for shape in shapes):
            raise self._unequal(shapes, "equal shapes, or 1x1 pixels or one channel in some")
        return y

    def _unequal(self, shapes: list[TensorShape], needed: str) -> ArchitectureError:
        found = ", ".join(f"path {number} {shape}" for number, shape in enumerate(shapes, 1))
        return ArchitectureError(f"the paths of {self.spelling} need {needed}; their outputs are {found}")

    def cost(self, x: TensorShape) -> OpCost:
        total = FREE
        for path in self.paths:
            y = x
            for op in path:
                total = total.plus(op.cost(y))
                y = op.output_shape(y)
        return total

    def weight_layers(self) -> int:
        """Return the number of conv and linear layers on the longest path."""
        return max(sum(_weight_layers(op) for op in path) for path in self.paths)

    def peak_elements(self, x: TensorShape, is_held: bool) -> int:
        """Return the largest number of elements in memory at once, with those of the input.

        The paths run one after the other. ``sum`` and ``product`` join each output with those before it, ``cat``
        joins all at the end. The input stays in memory until the last path has read it.

        Args:
            x: The input shape.
            is_held: Whether the input stays in memory after that too.
        """
        outputs = self.outputs(x)
        peak, held = x.elements, 0
        keeps_input = False  # whether the output of a finished path is the input itself
        for number, (path, y) in enumerate(zip(self.paths, outputs), 1):
            is_kept = is_held or keeps_input or number < len(outputs) or not path
            peak = max(peak, held + _peak_of(path, x, is_kept))
            own, start = (y.elements if path else 0), (x.elements if is_kept else 0)
            keeps_input |= not path
            if self.broadcasts and number > 1:
                joined = self.joined(outputs[:number]).elements
                peak = max(peak, held + own + start + joined)
                held, keeps_input = joined, False
            else:
                held += own
        if not self.broadcasts:
            start = x.elements if is_held or keeps_input else 0
            peak = max(peak, held + start + self.joined(outputs).elements)
        return peak

    def receptive(self) -> tuple[int, int]:
        windows, strides = zip(*map(_receptive, self.paths))
        return max(windows), max(strides)

    def values(self, low: float, high: float) -> tuple[float, float]:
        return self.joined_values([_values(path, low, high) for path in self.paths])

    def joined_values(self, values: list[tuple[float, float]]) -> tuple[float, float]:
        """Return the bounds of the joined values, given those of each path."""
        raise NotImplementedError

    def joint(self) -> Fork:
        """Return the fork without the ops of its paths: the join alone."""
        return replace(self, paths=((),) * len(self.paths))

    def module(self, x: TensorShape) -> Call:
        paths = []
        for path in self.paths:
            y, calls = x, []
            for op in path:
                calls.append(op.module(y))
                y = op.output_shape(y)
            paths.append(Call("Sequential", tuple(calls)))
        return Call(type(self).torch_class(), tuple(paths))

    @classmethod
    def torch_class(cls) -> Any:
        """Return the function that returns the class of its torch module."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        return {"op": self.spelling, "paths": [[op.to_json() for op in path] for path in self.paths]}

    def __str__(self) -> str:
        return f"{self.spelling}({', '.join(' '.join(map(str, path)) or 'identity' for path in self.paths)})"


def summed() -> type:
    from torch import Tensor, nn

    class Sum(nn.ModuleList):
        """The sum of the outputs of parallel paths."""

        def __init__(self, *paths: nn.Module):
            super().__init__(paths)

        def forward(self, x: Tensor) -> Tensor:
            first, *others = self
            y: Tensor = first(x)
            for path in others:
                y = y + path(x)
            return y

    return Sum


@dataclass(frozen=True, slots=True)
class Sum(Fork):
    """The sum of the outputs of parallel paths (Ding et al. 2021, arXiv:2101.03697)."""

    spelling = "sum"

    def joined_values(self, values: list[tuple[float, float]]) -> tuple[float, float]:
        return sum(low for low, _ in values), sum(high for _, high in values)

    @classmethod
    def torch_class(cls) -> Any:
        return summed


def multiplied() -> type:
    from torch import Tensor, nn

    class Product(nn.ModuleList):
        """The product of the outputs of parallel paths."""

        def __init__(self, *paths: nn.Module):
            super().__init__(paths)

        def forward(self, x: Tensor) -> Tensor:
            first, *others = self
            y: Tensor = first(x)
            for path in others:
                y = y * path(x)
            return y

    return Product


@dataclass(frozen=True, slots=True)
class Product(Fork):
    """The product of the outputs of parallel paths (Ma et al. 2024, arXiv:2403.19967)."""

    spelling = "product"

    def joined_values(self, values: list[tuple[float, float]]) -> tuple[float, float]:
        low, high = values[0]
        for other in values[1:]:
            ends = [0.0 if 0 in (a, b) else a * b for a, b in product((low, high), other)]
            low, high = min(ends), max(ends)
        return low, high

    @classmethod
    def torch_class(cls) -> Any:
        return multiplied


def concatenated() -> type:
    import torch
    from torch import Tensor, nn

    class Cat(nn.ModuleList):
        """The channels of the outputs of parallel paths, in order."""

        def __init__(self, *paths: nn.Module):
            super().__init__(paths)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([path(x) for path in self], 1)

    return Cat


@dataclass(frozen=True, slots=True)
class Cat(Fork):
    """The channels of the outputs of parallel paths, in order (Szegedy et al. 2015, arXiv:1409.4842)."""

    spelling = "cat"
    broadcasts = False
    commutes = False

    def joined(self, shapes: list[TensorShape]) -> TensorShape:
        if any(shape[1:] != shapes[0][1:] for shape in shapes):
            raise self._unequal(shapes, "equal height and width")
        channels = sum(shape.channels for shape in shapes)
        if channels > MAX_CHANNELS:
            raise ArchitectureError(f"'cat' gives {channels:,} channels; a layer has at most {MAX_CHANNELS:,}")
        return shapes[0]._replace(channels=channels)

    def joined_values(self, values: list[tuple[float, float]]) -> tuple[float, float]:
        return min(low for low, _ in values), max(high for _, high in values)

    @classmethod
    def torch_class(cls) -> Any:
        return concatenated


JOINS: dict[str, type[Fork]] = {join.spelling: join for join in (Sum, Cat, Product)}
registry.forks.update(JOINS)


def leaves(ops: Iterable[Op]) -> Iterator[Op]:
    """Yield the ops, for a fork those of its paths instead."""
    for op in ops:
        if isinstance(op, Fork):
            for path in op.paths:
                yield from leaves(path)
        else:
            yield op


def op_count(ops: Iterable[Op]) -> int:
    """Return the number of ops, with those in forks."""
    return sum(1 + sum(map(op_count, op.paths)) if isinstance(op, Fork) else 1 for op in ops)


def _depth(fork: Fork) -> int:
    inner = (op for path in fork.paths for op in path if isinstance(op, Fork))
    return 1 + max(map(_depth, inner), default=0)


def _weight_layers(op: Op) -> int:
    return op.weight_layers() if isinstance(op, Fork) else op.role in WEIGHT_LAYERS


def _receptive(path: Iterable[Op]) -> tuple[int, int]:
    window = jump = 1
    for op in path:
        own, stride = op.receptive()
        window += (own - 1) * jump
        jump *= stride
    return window, jump


def _values(path: Iterable[Op], low: float, high: float) -> tuple[float, float]:
    for op in path:
        low, high = op.values(low, high)
        if math.isnan(low) or math.isnan(high):
            low, high = -math.inf, math.inf
    return low, high


def _peak_of(path: Iterable[Op], x: TensorShape, is_held: bool) -> int:
    """Return the largest number of elements in memory while a path runs, with those of its input."""
    held = x.elements if is_held else 0
    live = peak = x.elements
    for op in path:
        y = op.output_shape(x)
        if isinstance(op, Fork):
            peak = max(peak, live - x.elements + op.peak_elements(x, live == held))
        else:
            peak = max(peak, live + y.elements)
        live, x = held + y.elements, y
    return peak

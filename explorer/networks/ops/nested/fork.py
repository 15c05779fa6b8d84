"""Forks: parallel paths with one input, whose outputs are joined; and the shares of channels that paths can take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any, ClassVar

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import FREE, MAX_CHANNELS, Argument, Call, Op, OpCost, TensorShape
from explorer.networks.ops.nested.nesting import (
    Follow,
    Join,
    Nested,
    T,
    cost_of,
    fold,
    modules_of,
    receptive_of,
    shape_after,
    shrinks_of,
    values_of,
)
from explorer.networks.ops.registry import registry
from explorer.networks.ops.window import Size

MAX_NESTED = 24  # forks in each other; the JSON text of an architecture has three levels for each


def channel_part() -> type:
    from torch import Tensor, nn

    class Part(nn.Module):
        """A share of the channels; the first one has the remainder."""

        def __init__(self, channels: int, number: int, shares: int):
            super().__init__()
            size, rest = divmod(channels, shares)
            self.stop = rest + size * number
            self.start = self.stop - size if number > 1 else 0

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

    def output_shape(self, x: TensorShape) -> TensorShape:
        size, rest = divmod(x.channels, self.shares)
        if not size:
            raise ArchitectureError(f"{self} needs at least {self.shares} channels, its input has {x.channels}")
        return TensorShape(size + rest if self.number == 1 else size, x.height, x.width)

    def canonical(self, x: TensorShape) -> Op | None:
        return None if self.shares == 1 else self

    def rearranges(self, x: TensorShape) -> bool:
        return True

    def values(self, low: float, high: float) -> tuple[float, float]:
        return low, high

    def module(self, x: TensorShape) -> Call:
        return Call(channel_part, (x.channels, self.number, self.shares))

    def __str__(self) -> str:
        return f"part({self.number}, {self.shares})"


@dataclass(frozen=True, slots=True)
class Fork(Nested):
    """Paths with the same input, whose outputs are joined.

    Attributes:
        paths: The ops of each path in order; an empty path passes its input.
        broadcasts: Whether outputs of 1x1 pixels or of one channel are repeated to the shape of the others.
    """

    role = "fork"
    broadcasts: ClassVar[bool] = True

    paths: tuple[tuple[Op, ...], ...]

    def __post_init__(self) -> None:
        if len(self.paths) < 2:
            raise ArchitectureError(f"{self.spelling} joins at least two paths, found {len(self.paths)}")
        if _depth(self) > MAX_NESTED:
            raise ArchitectureError(f"forks are nested deeper than {MAX_NESTED}")

    def inner(self) -> tuple[tuple[Op, ...], ...]:
        return self.paths

    def folded(self, value: T, follow: Follow[T], join: Join[T], taps: dict[int, T]) -> T:
        return join(self, [fold(path, value, follow, join, taps) for path in self.paths])

    def outputs(self, x: TensorShape) -> list[TensorShape]:
        """Return the output shape of each path. Raises ArchitectureError."""
        made = []
        for number, path in enumerate(self.paths, 1):
            try:
                made.append(shape_after(path, x))
            except ArchitectureError as error:
                raise ArchitectureError(f"path {number} of {self.spelling}: {error}") from None
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
        has_equal_sides = all(shape[1:] == shapes[0][1:] for shape in shapes)
        fix = "the same output channels" if has_equal_sides else "the same stride, and an odd kernel"
        message = f"the paths of {self.spelling} need {needed}; their outputs are {found}"
        return ArchitectureError(f"{message}; give the last conv of each path {fix}")

    def cost(self, x: TensorShape) -> OpCost:
        total = FREE
        for path in self.paths:
            total = total.plus(cost_of(path, x))
        return total

    def receptive(self) -> tuple[Size, Size]:
        return receptive_of((self,))

    def shrinks(self) -> tuple[int | Fraction, int | Fraction]:
        return shrinks_of((self,))

    def values(self, low: float, high: float) -> tuple[float, float]:
        return values_of((self,), low, high)

    def joined_values(self, values: list[tuple[float, float]]) -> tuple[float, float]:
        """Return the bounds of the joined values, given those of each path."""
        raise NotImplementedError

    @property
    def is_split(self) -> bool:
        """Whether it is ``split``: a ``cat`` whose paths begin with their shares of the channels."""
        shares = [path[0] if path else None for path in self.paths]
        return not self.broadcasts and shares == [Part(k, len(shares)) for k in range(1, len(shares) + 1)]

    def joint(self) -> Fork:
        """Return the fork without the ops of its paths: the join alone."""
        return replace(self, paths=((),) * len(self.paths))

    def module(self, x: TensorShape) -> Call:
        paths = (Call("Sequential", tuple(modules_of(path, x))) for path in self.paths)
        return Call(type(self).torch_class(), tuple(paths))

    @classmethod
    def torch_class(cls) -> Any:
        """Return the function that returns the class of its torch module."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        return {"op": self.spelling, "paths": [[op.to_json() for op in path] for path in self.paths]}

    def __str__(self) -> str:
        name, start = ("split", 1) if self.is_split else (self.spelling, 0)
        return f"{name}({', '.join(' '.join(map(str, path[start:])) or 'identity' for path in self.paths)})"


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

        def join(self, outputs: list[Tensor]) -> Tensor:
            y, *others = outputs
            for other in others:
                y = y + other
            return y

    return Sum


@dataclass(frozen=True, slots=True)
class Sum(Fork):
    """The sum of the outputs of parallel paths (Ding et al. 2021, arXiv:2101.03697)."""

    spelling = "sum"
    shape_rule = "that of the paths; a path of 1x1 pixels or of one channel is repeated"

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

        def join(self, outputs: list[Tensor]) -> Tensor:
            y, *others = outputs
            for other in others:
                y = y * other
            return y

    return Product


@dataclass(frozen=True, slots=True)
class Product(Fork):
    """The product of the outputs of parallel paths (Ma et al. 2024, arXiv:2403.19967)."""

    spelling = "product"
    shape_rule = "that of the paths; a path of 1x1 pixels or of one channel is repeated"

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
            return self.join([path(x) for path in self])

        def join(self, outputs: list[Tensor]) -> Tensor:
            return torch.cat(outputs, 1)

    return Cat


@dataclass(frozen=True, slots=True)
class Cat(Fork):
    """The channels of the outputs of parallel paths, in order (Szegedy et al. 2015, arXiv:1409.4842)."""

    spelling = "cat"
    shape_rule = "the channels of all paths x H x W"
    broadcasts = False

    def joined(self, shapes: list[TensorShape]) -> TensorShape:
        if any(shape[1:] != shapes[0][1:] for shape in shapes):
            raise self._unequal(shapes, "equal height and width")
        channels = sum(shape.channels for shape in shapes)
        if channels > MAX_CHANNELS:
            raise ArchitectureError(f"'cat' gives {channels:,} channels; a layer has at most {MAX_CHANNELS:,}")
        return TensorShape(channels, *shapes[0][1:])

    def joined_values(self, values: list[tuple[float, float]]) -> tuple[float, float]:
        return min(low for low, _ in values), max(high for _, high in values)

    @classmethod
    def torch_class(cls) -> Any:
        return concatenated


JOINS: dict[str, type[Fork]] = {join.spelling: join for join in (Sum, Cat, Product)}


def fork_from_json(data: dict[str, Any], read: Callable[[Any], Op]) -> Fork:
    """Return the fork that ``to_json`` wrote; ``read`` reads its ops. Raises ArchitectureError."""
    name, paths = data["op"], data.get("paths")
    if set(data) != {"op", "paths"} or not isinstance(paths, list) or not all(isinstance(p, list) for p in paths):
        raise ArchitectureError(f'{name!r} has the key "paths", a list of lists of ops; found {str(data)[:80]!r}')
    return JOINS[name](tuple(tuple(map(read, path)) for path in paths))


registry.nested.update(dict.fromkeys(JOINS, fork_from_json))


def _depth(fork: Fork) -> int:
    return 1 + max((_depth(op) for path in fork.paths for op in path if isinstance(op, Fork)), default=0)

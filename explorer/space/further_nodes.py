"""Further parts of an expression: forks, taps, ends of units, and sizes of unequal sides."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.space.grammar import Node, Place


@dataclass(eq=False, slots=True)
class ForkItem(Node):
    """Parallel paths. ``join``: ``sum``, ``cat``, ``product``, or ``split``: ``cat`` of paths with a share each."""

    join: str
    paths: tuple[Node, ...]
    place: Place

    @property
    def children(self) -> tuple[Node, ...]:
        return self.paths


@dataclass(eq=False, slots=True)
class TapItem(Node):
    """``tap(name)`` keeps a tensor, ``from(name)`` continues from it. ``kind``: ``tap`` or ``from``."""

    kind: str
    name: str
    place: Place


@dataclass(eq=False, slots=True)
class UnitEnd(Node):
    """``;``: the end of a residual unit, after which another one begins in the same block."""

    place: Place


@dataclass(eq=False, slots=True)
class Pair(Node):
    """A size of unequal sides, ``2x1``: height and width."""

    value: tuple[int, int]
    place: Place

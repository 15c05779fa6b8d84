"""Further parts of an expression: entries by place, forks, taps, ends of units, and sizes of unequal sides."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.space.grammar import Node, Place


@dataclass(eq=False, slots=True)
class ByPlace(Node):
    """``by_block(a, b)`` or ``by_stage(a, b)``: one of several layers or values, by the number of its place.

    Attributes:
        of: ``block``, the number of the block in its stage, or ``stage``, the number of the stage; both from 1.
        options: One for each place.
        place: Its place in the file.
        is_open: Whether it ends in ``...``: the last one holds for all further places.
    """

    of: str
    options: tuple[Node, ...]
    place: Place
    is_open: bool = False

    @property
    def children(self) -> tuple[Node, ...]:
        return self.options

    def children_at(self, stage: int) -> tuple[Node, ...]:
        return self.at(stage) if stage and self.of == "stage" else self.options

    def entry(self, number: int) -> int:
        """Return the index of the option for a place, from its number; none has it if it is beyond the options."""
        return min(number, len(self.options)) - 1 if self.is_open else number - 1

    def at(self, number: int) -> tuple[Node, ...]:
        """Return the option for a place; nothing beyond the options."""
        index = self.entry(number)
        return self.options[index : index + 1]


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

"""The parts of an expression that represent forks and taps."""

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

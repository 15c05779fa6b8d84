"""The steps of an expression, from which a ``Resolver`` reads layers."""

from __future__ import annotations

from typing import NamedTuple

from explorer.space.derive.layer import Layer
from explorer.space.further_nodes import ByPlace, UnitEnd
from explorer.space.grammar import Broken, MergeItem, OpItem, Place, Point


class Switch(NamedTuple):
    """A choice between layers: the steps of each option."""

    point: Point
    options: tuple[Steps, ...]


class ForkSteps(NamedTuple):
    """A fork: the steps of each path, and the join as in ``ForkItem``."""

    join: str
    paths: tuple[Steps, ...]
    place: Place


class ByNumber(NamedTuple):
    """The steps of each entry of ``by_block`` or ``by_stage``."""

    node: ByPlace
    options: tuple[Steps, ...]


class Named(NamedTuple):
    """The steps of a rule that has its own shortcuts."""

    name: str
    steps: Steps


class Span(NamedTuple):
    """A rule that was read, and the layers that it gave: from number ``start``, before number ``end``."""

    name: str
    start: int
    end: int


class Loop(NamedTuple):
    """Steps that are taken ``counts[option]`` times; without a choice, ``counts[0]`` times."""

    point: Point | None
    counts: tuple[int, ...]
    steps: Steps


class Steps(NamedTuple):
    """An expression as flat steps.

    Attributes:
        steps: Finished layers, ops and merges whose arguments depend on choices or variables, choices, forks, loops,
            the steps of a long rule or of one with its own shortcuts, ends of units, and errors.
        nodes: Number of nodes of the tree that they represent.
    """

    steps: tuple[
        Layer | OpItem | MergeItem | Switch | ForkSteps | ByNumber | Loop | Named | UnitEnd | Steps | Broken, ...
    ]
    nodes: int

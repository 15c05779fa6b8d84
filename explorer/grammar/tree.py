"""What an expression is once read: a tree of frozen shape whose nodes know where they stand.

``Item`` nodes are structure (layers), ``Value`` nodes numbers. Every place where something is left open is a ``Point``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from explorer.ops.base import Argument, Op
from explorer.ops.merge import Merge

Place = tuple[int, int]


@dataclass(eq=False, slots=True)
class Point:
    """A choice point: something the file leaves open. ``scope``: network, stage, block or use."""

    name: str
    options: tuple[str, ...]
    scope: str
    offset: int = 0


# Structural nodes. ``Group`` is a sequence; the others are items of one.


@dataclass(eq=False, slots=True)
class Group:
    items: tuple[Item, ...]


@dataclass(eq=False, slots=True)
class Alternatives:
    """One of several, in structure (options are groups) or in a value (options are values)."""

    point: Point
    options: tuple[Item, ...]


@dataclass(eq=False, slots=True)
class Repeat:
    """``item`` written ``counts[option]`` times; one count and no point when nothing is open."""

    item: Item
    counts: tuple[int, ...]
    point: Point | None


@dataclass(eq=False, slots=True)
class Reference:
    """Another rule by its name."""

    name: str
    place: Place


@dataclass(eq=False, slots=True)
class OpItem:
    """An op; ``arguments``: (what it is, the value that is given)."""

    op: type[Op]
    kernel: int | None
    arguments: tuple[tuple[Argument, Value], ...]
    place: Place


@dataclass(eq=False, slots=True)
class MergeItem:
    merge: type[Merge]
    arguments: tuple[tuple[Argument, Value], ...]
    place: Place


@dataclass(eq=False, slots=True)
class Copied:
    """``post`` in a stem or ``pre`` in a head: layers copied from the first or the last block."""

    which: str
    place: Place


@dataclass(eq=False, slots=True)
class Broken:
    """A part with a fault, reported when it was read: what depends on it comes to the same fault at the same place."""

    place: Place
    message: str


# Value nodes.


@dataclass(eq=False, slots=True)
class Number:
    value: Fraction


@dataclass(eq=False, slots=True)
class Variable:
    name: str
    place: Place


@dataclass(eq=False, slots=True)
class Word:
    text: str


@dataclass(eq=False, slots=True)
class Arithmetic:
    """``operator`` is one of + - * / and round (to the nearest multiple of ``right``, at least one)."""

    operator: str
    left: Value
    right: Value
    place: Place
    text: str = ""


Item = Group | Alternatives | Repeat | Reference | OpItem | MergeItem | Copied | Broken
Value = Number | Variable | Word | Arithmetic | Alternatives | Reference | Group | Broken


def walk(node) -> Iterator:
    """``node`` and all nodes in it, rules not followed."""
    yield node
    for child in children(node):
        yield from walk(child)


def reachable(rules: Mapping[str, Item | Value], roots: Iterable[Item | Value]) -> Iterator:
    """All nodes that expressions can come to, rules followed once."""
    seen: set[str] = set()
    pending = list(roots)
    while pending:
        for node in walk(pending.pop()):
            yield node
            if isinstance(node, Reference) and node.name not in seen:
                seen.add(node.name)
                pending.append(rules[node.name])


def children(node) -> tuple:
    """The nodes directly in ``node``, in the order they are read."""
    if isinstance(node, Group):
        return node.items
    if isinstance(node, Alternatives):
        return node.options
    if isinstance(node, Repeat):
        return (node.item,)
    if isinstance(node, (OpItem, MergeItem)):
        return tuple(value for _, value in node.arguments)
    if isinstance(node, Arithmetic):
        return node.left, node.right
    return ()

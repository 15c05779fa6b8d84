"""A search space as data: expressions as trees, the rules of the stages, and the ``Grammar`` that holds them.

Each node of a tree has its place in the file. Every open choice of the file is a ``Point``.
Nothing here reads text, counts or derives networks; everything that does imports this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from explorer.analysis.limits import Limit
from explorer.errors import Edit, Problem, SpaceError
from explorer.networks.ops.base import Argument, Op, TensorShape
from explorer.networks.ops.merge import Merge
from explorer.networks.ops.window import Size
from explorer.space.arithmetic import compute
from explorer.space.condition import Condition

Place = tuple[int, int]  # line and column in the space file, from 1
WHOLE: Place = (1, 1)  # an error of the whole file, or of what is asked of its space
SCOPES = ("network", "stage", "block", "use")  # scopes of a choice, from the largest to the smallest


class Fault(Exception):
    """An error at a place of the space file. The caller adds the file's name.

    Attributes:
        place: Line and column, from 1.
    """

    def __init__(self, place: Place, message: str):
        super().__init__(message)
        self.place = place


@dataclass(eq=False, slots=True)
class Point:
    """A choice point: one open choice of the file.

    Attributes:
        name: The rule or section that owns it, as in ``attn`` or ``block.1``. Set by the parser at the end.
        options: The texts of the alternatives, in the order of the file.
        scope: Its scope: one choice per ``network``, ``stage``, ``block`` or ``use``.
        offset: Its offset in the expression, in characters from 0.
    """

    name: str
    options: tuple[str, ...]
    scope: str
    offset: int = 0


class Node:
    """A part of an expression. Nodes are compared by identity."""

    __slots__ = ()

    @property
    def children(self) -> tuple[Node, ...]:
        """The child nodes, in reading order."""
        return ()

    def children_at(self, stage: int) -> tuple[Node, ...]:
        """Return the child nodes in a stage, from its number; all for 0."""
        return self.children

    def constant(self) -> Fraction | None:
        """The number that this node is without rules, variables and choices; None for any other node.

        Raises:
            ArithmeticError: If the number cannot be computed.
        """
        return None


# Structure: nodes that represent layers. ``Group`` and ``Alternatives`` occur in values too.


@dataclass(eq=False, slots=True)
class Group(Node):
    """A sequence of items; an empty one is ``none``."""

    items: tuple[Node, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return self.items


IDENTITY = Group(())  # the default of ``shortcut.same``: no other node is this object


@dataclass(eq=False, slots=True)
class Alternatives(Node):
    """One of several layers or one of several values."""

    point: Point
    options: tuple[Node, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return self.options


@dataclass(eq=False, slots=True)
class Repeat(Node):
    """``item``, ``counts[option]`` times. Without a choice there is one count, and ``point`` is None."""

    item: Node
    counts: tuple[int, ...]
    point: Point | None

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.item,)


@dataclass(eq=False, slots=True)
class Reference(Node):
    """Another rule by its name."""

    name: str
    place: Place


@dataclass(eq=False, slots=True)
class OpItem(Node):
    """An op. ``kernel``: its size, None for an op without one; ``arguments``: each with its value."""

    op: type[Op]
    kernel: Size | None
    arguments: tuple[tuple[Argument, Node], ...]
    place: Place

    @property
    def children(self) -> tuple[Node, ...]:
        return tuple(value for _, value in self.arguments)


@dataclass(eq=False, slots=True)
class MergeItem(Node):
    """A merge of branch and shortcut: ``+``, ``cat`` or ``gate``."""

    merge: type[Merge]
    arguments: tuple[tuple[Argument, Node], ...]
    place: Place

    @property
    def children(self) -> tuple[Node, ...]:
        return tuple(value for _, value in self.arguments)


@dataclass(eq=False, slots=True)
class Copied(Node):
    """``post`` in a stem or ``pre`` in a head: layers copied from the first or the last block."""

    which: str
    place: Place


@dataclass(eq=False, slots=True)
class Broken(Node):
    """A part with an error that is already reported. Parts that depend on it raise the same error.

    Attributes:
        place: Its place in the file.
        message: The error.
        edits: Edits of the expression that may fix it.
    """

    place: Place
    message: str
    edits: tuple[Edit, ...] = ()


# Values: nodes that represent numbers and words.


@dataclass(eq=False, slots=True)
class Number(Node):
    """A literal number. ``place``: in the file, None for a default."""

    value: Fraction
    place: Place | None = None

    def constant(self) -> Fraction | None:
        return self.value


DEFAULT_STRIDE = Number(Fraction(1))  # of a stage without a stride: no other node is this object


@dataclass(eq=False, slots=True)
class Variable(Node):
    """One of the variables ``w``, ``in``, ``c``, ``s``, ``d``, ``i``, ``n``, ``j``, ``m``."""

    name: str
    place: Place


@dataclass(eq=False, slots=True)
class Word(Node):
    """A word as an argument."""

    text: str


@dataclass(eq=False, slots=True)
class Arithmetic(Node):
    """An operation on two values.

    Attributes:
        operator: + - * / // **, ``max``, ``min``, ``ceil``, ``log2``, ``sqrt``, or ``round``: to the nearest multiple
            of ``right``, at least one.
        left: The first value.
        right: The second value; 1 for functions of one value.
        place: Its place in the file.
        text: The expression as the file spells it.
    """

    operator: str
    left: Node
    right: Node
    place: Place
    text: str = ""

    @property
    def children(self) -> tuple[Node, ...]:
        return self.left, self.right

    def constant(self) -> Fraction | None:
        if self.operator == "round" or (left := self.left.constant()) is None:
            return None
        right = self.right.constant()
        return None if right is None else compute(self.operator, left, right)


def walk(node: Node, stage: int = 0) -> Iterator[Node]:
    """Yield ``node`` and all nodes in it, without following references to rules.

    Args:
        node: The root.
        stage: The number of a stage, to skip what ``by_stage`` has for others; 0 for all.
    """
    yield node
    for child in node.children_at(stage):
        yield from walk(child, stage)


def reachable(rules: Mapping[str, Node], roots: Iterable[Node], stage: int = 0) -> Iterator[Node]:
    """Yield all nodes that can be reached from ``roots``, following each rule once. ``stage``: as in ``walk``."""
    seen: set[str] = set()
    pending = list(roots)
    while pending:
        for node in walk(pending.pop(), stage):
            yield node
            if isinstance(node, Reference) and node.name not in seen:
                seen.add(node.name)
                pending.append(rules[node.name])


def point_of(node: Node) -> Point | None:
    """Return the choice point of a node; None for a node without one."""
    return node.point if isinstance(node, (Alternatives, Repeat)) else None


@dataclass(frozen=True, slots=True)
class ShortcutRule:
    """The shortcuts of a block.

    Attributes:
        same: The shortcut of a block that keeps its shape; None for no shortcut.
        changed: The shortcut of a block that changes its shape; None for no shortcut.
        source: Where the shortcut starts: ``input``, or ``preact`` (after the branch's initial norms and activations).
    """

    same: Node | None
    changed: Node | None
    source: str

    @property
    def parts(self) -> tuple[Node, ...]:
        """The expressions of the shortcuts that exist."""
        return tuple(part for part in (self.same, self.changed) if part is not None)


@dataclass(frozen=True, slots=True)
class StageRule:
    """The expressions of one stage.

    Attributes:
        blocks: The number of blocks.
        width: The output channels.
        stride: The stride of the stage's first block or of its transition.
        dilation: The dilation, the variable ``d``.
        block: Every block but the first.
        first: The block that opens the stage.
        shortcuts: Rule name -> the shortcuts of blocks derived through that rule, for rules that the stage's blocks
            use; the general ones under "".
        place: The place of the stage in the file.
    """

    blocks: Node
    width: Node
    stride: Node
    dilation: Node
    block: Node
    first: Node
    shortcuts: Mapping[str, ShortcutRule]
    place: Place

    @property
    def numbers(self) -> tuple[Node, ...]:
        """The expressions of blocks, width, stride and dilation."""
        return self.blocks, self.width, self.stride, self.dilation

    @property
    def shortcut_parts(self) -> tuple[Node, ...]:
        """The expressions of all its shortcuts."""
        return tuple(part for shortcut in self.shortcuts.values() for part in shortcut.parts)

    @property
    def roots(self) -> tuple[Node, ...]:
        """All its expressions."""
        return (*self.numbers, self.block, self.first, *self.shortcut_parts)


@dataclass(frozen=True, eq=False)
class Grammar:
    """What a space file describes.

    Attributes:
        name: The space's name.
        about: Description of the space in one line.
        text: The file's text.
        source: The file's name, as errors print it.
        input: The shape of one image; with the first options, if ``sides`` has choices.
        classes: The number of classes.
        stem: The layers before the first stage.
        transition: The layers before every later stage; None for none.
        head: The layers after the last stage.
        stages: One rule for each stage.
        rules: Rule name -> expression.
        points: All choice points.
        limits: The bounds on costs in a search.
        where: The conditions that every network satisfies.
        sides: Height and width of the input as expressions, if the file names rules for them; else empty.
        places: The places of sections (``input``) and rules (``grammar.attn``) in the file.
        allowed: The names of the warnings that the file silences.
    """

    name: str
    about: str
    text: str
    source: str
    input: TensorShape
    classes: int
    stem: Node
    transition: Node | None
    head: Node
    stages: tuple[StageRule, ...]
    rules: Mapping[str, Node]
    points: tuple[Point, ...]
    limits: tuple[Limit, ...]
    places: Mapping[str, Place]
    allowed: frozenset[str]
    where: tuple[Condition, ...] = ()
    sides: tuple[Node, ...] = ()

    @property
    def roots(self) -> list[Node]:
        """The expressions that networks are made of."""
        between = [] if self.transition is None else [self.transition]
        return [*self.sides, self.stem, *between, *(root for stage in self.stages for root in stage.roots), self.head]

    def error(self, message: str, place: Place = WHOLE) -> SpaceError:
        """Return the error with this file's name and the place, by default that of the whole file."""
        lines = self.text.splitlines() if place != WHOLE else []
        excerpt = lines[place[0] - 1] if place[0] <= len(lines) else ""
        return SpaceError([Problem(self.source, *place, message, excerpt)])

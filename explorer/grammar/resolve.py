"""Rules and answers to literal layers: what an expression says once every choice in it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from explorer.errors import ArchitectureError
from explorer.grammar.expression import (
    Alternatives,
    Arithmetic,
    Copied,
    Group,
    Item,
    MergeItem,
    Number,
    OpItem,
    Place,
    Point,
    Reference,
    Repeat,
    Value,
    Variable,
    Word,
    compute,
)
from explorer.grammar.relevance import Relevance
from explorer.grammar.tree import Broken
from explorer.ops.base import Argument, Context, Op, TensorShape, check_argument
from explorer.ops.merge import Merge


class Fault(Exception):
    """Something that cannot be, at a place of the space file. The caller adds the file and the stage."""

    def __init__(self, place: Place, message: str):
        super().__init__(message)
        self.place = place


class Layer(NamedTuple):
    """An op (or merge, or ``Copied``) with its arguments' values, not yet bound to a shape; an op
    that was copied is bound already. ``uses_stride``: its stride is written with the variable ``s``.
    """

    what: type[Op] | Op | type[Merge] | Copied
    kernel: int | None
    given: dict[str, Any]
    uses_stride: bool
    place: Place


class Resolver:
    """Reads expressions with every choice made.

    ``lookup`` gives the chosen option of a point, ``variables`` the numbers of w, in, s, d, i, n
    (those that have a meaning here). ``through`` lists the rules that were read, outermost first,
    and ``taken`` the choices, as errors name them. ``only`` leaves out what does not matter to shapes;
    ``steps`` counts the nodes of layers that were read.
    """

    def __init__(
        self,
        rules: Mapping[str, Item | Value],
        lookup: Callable[[Point], int],
        variables: Mapping[str, Fraction | int],
        only: Relevance | None = None,
    ):
        self.only = only
        self.rules = rules
        self.lookup = lookup
        self.variables = variables
        self.through: list[str] = []
        self.taken: dict[str, str] = {}
        self.read: set[str] = set()
        self.steps = 0

    def choose(self, node: Alternatives | Repeat) -> int:
        option = self.lookup(node.point)
        self.taken[node.point.name] = node.point.options[option]
        return option

    def value(self, node: Value) -> Fraction:
        """The number that a value comes to. Raises Fault."""
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Variable):
            if node.name not in self.variables:
                raise Fault(node.place, f"the variable {node.name!r} has no meaning here")
            self.read.add(node.name)
            return Fraction(self.variables[node.name])
        if isinstance(node, Reference):
            return self.value(self.rules[node.name])
        if isinstance(node, Alternatives):
            return self.value(node.options[self.choose(node)])
        if isinstance(node, Broken):
            raise Fault(node.place, node.message)
        if isinstance(node, Arithmetic):
            try:
                return compute(node.operator, self.value(node.left), self.value(node.right))
            except ArithmeticError as error:
                raise Fault(node.place, f"{self.with_choices()}{node.text}: {error}") from None
        raise AssertionError(node)

    def whole(self, node: Value, what: str, of: str, low: int, high: int, place: Place) -> int:
        """A value that must be a whole number in low..high; ``what`` and ``of`` name it in the error, which stands
        at the value, or at ``place`` where that has none. Raises Fault."""
        value = self.value(node)
        place = getattr(node, "place", place)
        text = f"{node.text} = {value}" if isinstance(node, Arithmetic) else str(value)
        if value.denominator != 1:
            raise Fault(place, f"{self.with_choices()}the {what} {text} {of} is not a whole number")
        if not low <= value <= high:
            raise Fault(place, f"{self.with_choices()}the {what} {text} {of} is outside {low}..{high}")
        return int(value)

    def layers(self, node: Item) -> list[Layer]:
        """The layers of an expression in order. Raises Fault."""
        out: list[Layer] = []
        self._collect(node, out)
        return out

    def _collect(self, node: Item, out: list[Layer]) -> None:
        if self.only is not None and self.only.neutral(node):
            return
        self.steps += 1
        if isinstance(node, Group):
            for item in node.items:
                self._collect(item, out)
        elif isinstance(node, Alternatives):
            self._collect(node.options[self.choose(node)], out)
        elif isinstance(node, Repeat):
            count = node.counts[self.choose(node)] if node.point else node.counts[0]
            for _ in range(count):
                self._collect(node.item, out)
        elif isinstance(node, Reference):
            self.through.append(node.name)
            self._collect(self.rules[node.name], out)
        elif isinstance(node, Broken):
            raise Fault(node.place, node.message)
        elif isinstance(node, Copied):
            out.append(Layer(node, None, {}, False, node.place))
        else:
            out.append(self._layer(node))

    def _layer(self, node: OpItem | MergeItem) -> Layer:
        given, uses_stride = {}, False
        for argument, value in node.arguments:
            if self.only is not None and self.only.ignored(node, argument, value):
                continue
            self.read.discard("s")
            given[argument.field] = self._argument(node, argument, value)
            uses_stride |= argument.field == "stride" and "s" in self.read
        what = node.op if isinstance(node, OpItem) else node.merge
        kernel = node.kernel if isinstance(node, OpItem) else None
        return Layer(what, kernel, given, uses_stride, node.place)

    def _argument(self, node: OpItem | MergeItem, argument: Argument, value: Value | Item) -> Any:
        cls = node.op if isinstance(node, OpItem) else node.merge
        if isinstance(value, Word):
            return value.text
        try:
            if argument.kind == "activation":
                inner = self.layers(value)
                if len(inner) != 1 or not isinstance(inner[0].what, type) or not issubclass(inner[0].what, Op):
                    raise ArchitectureError(f"{argument.name} of {cls.spelling} must be one activation")
                one = Context(TensorShape(1, 1, 1), 1, 1, 1)
                return check_argument(cls.spelling, argument, inner[0].what.bind(inner[0].kernel, inner[0].given, one))
            number = self.value(value)
            if argument.kind == "whole" and number.denominator != 1:
                text = value.text if isinstance(value, Arithmetic) else ""
                shown = f"{argument.name} = {text} = {number}" if text else f"{argument.name} = {number}"
                raise ArchitectureError(f"{shown} of {cls.spelling} is not a whole number")
            return check_argument(cls.spelling, argument, number)
        except ArchitectureError as error:
            raise Fault(node.place, f"{self.with_choices()}{error}") from None

    def with_choices(self) -> str:
        return chosen(self.taken)


def chosen(choices: Mapping[str, str]) -> str:
    """``with ratio=1/3: ``, the beginning of an error that hangs on choices; of very many only some are named."""
    if not choices:
        return ""
    named = [f"{name}={text if len(text) <= 60 else text[:57] + '...'}" for name, text in list(choices.items())[:12]]
    return f"with {', '.join(named)}{', ...' if len(choices) > 12 else ''}: "

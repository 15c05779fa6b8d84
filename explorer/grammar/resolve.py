"""Rules and answers to literal layers: what an expression says once every choice in it is made."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from explorer.errors import ArchitectureError
from explorer.grammar.arithmetic import compute
from explorer.grammar.relevance import Relevance
from explorer.grammar.tree import (
    Alternatives,
    Arithmetic,
    Broken,
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
)
from explorer.ops.base import Argument, Context, Op, TensorShape, check_argument
from explorer.ops.merge import Merge

INLINE = 32  # a rule of more steps is referred to: rules that double each other would else grow without bound
EASY = 10**12  # whole numbers below it need no check for growing beyond all bounds


class Fault(Exception):
    """Something that cannot be, at a place of the space file. The caller adds the file and the stage."""

    def __init__(self, place: Place, message: str):
        super().__init__(message)
        self.place = place


class Layer(NamedTuple):
    """An op (or merge, or ``Copied``) with its arguments' values, not yet bound to a shape; an op
    that was copied, or that is the same wherever it stands, is bound already.

    ``uses_stride``: its stride is written with the variable ``s``. ``key``: equal for layers that are bound
    alike in one place. ``free``: bound, and neither shapes nor arriving channels matter to it; ``merges``: a merge;
    ``pools``: the block's stride reaches it by itself.
    """

    what: type[Op] | Op | type[Merge] | Copied
    kernel: int | None
    given: dict[str, Any]
    uses_stride: bool
    place: Place
    key: Hashable
    free: bool = False
    merges: bool = False
    pools: bool = False

    def bind(self, context: Context) -> Op:
        """The op in its place. Raises ArchitectureError when it does not fit there."""
        return self.what if isinstance(self.what, Op) else self.what.bind(self.kernel, self.given, context)


def bound_layer(op: Op, place: Place) -> Layer:
    """A layer that is an op already."""
    cls = type(op)
    free = cls.output_shape is Op.output_shape and cls.canonical is Op.canonical and cls.receptive is Op.receptive
    return Layer(op, None, {}, False, place, op, free)


class Fork(NamedTuple):
    """A choice in structure, with the steps of each option."""

    node: Alternatives
    options: tuple[Steps, ...]


class Loop(NamedTuple):
    """Steps that are taken as often as ``node`` says."""

    node: Repeat
    steps: Steps


class Steps(NamedTuple):
    """An expression laid out flat: layers that nothing can change, ops whose arguments are to be read, choices,
    and the names of the rules that matter to shortcuts. ``nodes``: how many nodes of the tree they stand for."""

    steps: tuple[Layer | OpItem | MergeItem | Fork | Loop | Steps | Broken | str, ...]
    nodes: int


class Program:
    """The expressions of a space, each laid out once as steps that derivations then follow.

    ``named``: the rules whose use is to be noted. ``only`` leaves out what does not matter to shapes.
    """

    def __init__(self, rules: Mapping[str, Item | Value], named: Iterable[str] = (), only: Relevance | None = None):
        self.rules = rules
        self.named = frozenset(named)
        self.only = only
        self._steps: dict[Item, Steps] = {}
        self._keys: dict[tuple, int] = {}

    def steps(self, node: Item) -> Steps:
        """The steps of an expression."""
        made = self._steps.get(node)
        if made is None:
            out: list = []
            nodes = self._lay(node, out)
            made = self._steps[node] = Steps(tuple(out), nodes)
        return made

    def _lay(self, node: Item, out: list) -> int:
        if self.only is not None and self.only.neutral(node):
            return 0
        if isinstance(node, Group):
            return 1 + sum([self._lay(item, out) for item in node.items])
        if isinstance(node, Reference):
            if node.name in self.named:
                out.append(node.name)
            inner = self.steps(self.rules[node.name])
            if len(inner.steps) > INLINE:
                out.append(inner)
                return 1
            out.extend(inner.steps)
            return 1 + inner.nodes
        if isinstance(node, Alternatives):
            out.append(Fork(node, tuple(self.steps(option) for option in node.options)))
        elif isinstance(node, Repeat):
            out.append(Loop(node, self.steps(node.item)))
        elif isinstance(node, Broken):
            out.append(node)  # to be raised where it is met
        elif isinstance(node, Copied):
            out.append(Layer(node, None, {}, False, node.place, None))
        else:
            out.append(self.settled(node) or node)
        return 1

    def settled(self, node: OpItem | MergeItem) -> Layer | None:
        """The layer of an op whose arguments are constants; None when they are not, or cannot be."""
        try:
            layer = Resolver(self, _no_answer, {}).layer(node)
        except Fault:
            return None
        if isinstance(node, OpItem) and not node.op.binds_itself() and not node.op.takes_stride:
            try:
                return bound_layer(node.op.bind(node.kernel, layer.given, ANYWHERE), node.place)
            except ArchitectureError:
                return None  # to be raised where it is used
        return layer._replace(key=self._keys.setdefault(layer.key, len(self._keys)))


def _no_answer(point: Point) -> int:
    raise Fault((1, 1), "a choice")


ANYWHERE = Context(TensorShape(1, 1, 1), 1, 1, 1)


class Resolver:
    """Reads expressions with every choice made.

    ``lookup`` gives the chosen option of a point, ``variables`` the numbers of w, in, s, d, i, n
    (those that have a meaning here). ``through`` lists the rules that were read and that the program notes,
    outermost first, and ``taken`` the choices, as errors name them; ``nodes`` counts the nodes that were read.
    """

    def __init__(self, program: Program, lookup: Callable[[Point], int], variables: Mapping[str, Fraction | int]):
        self.program = program
        self.lookup = lookup
        self.variables = variables
        self.through: list[str] = []
        self.taken: dict[Point, int] = {}
        self.read: set[str] = set()
        self.nodes = 0

    def choose(self, node: Alternatives | Repeat) -> int:
        point = node.point
        option = self.taken[point] = self.lookup(point)
        return option

    def value(self, node: Value) -> Fraction | int:
        """The number that a value comes to. Raises Fault."""
        kind = type(node)
        if kind is Number:
            number = node.value
            return number.numerator if number.denominator == 1 else number
        if kind is Variable:
            if node.name not in self.variables:
                raise Fault(node.place, f"the variable {node.name!r} has no meaning here")
            self.read.add(node.name)
            return self.variables[node.name]
        if kind is Reference:
            return self.value(self.program.rules[node.name])
        if kind is Alternatives:
            return self.value(node.options[self.choose(node)])
        if kind is Broken:
            raise Fault(node.place, node.message)
        if kind is Arithmetic:
            try:
                return _computed(node.operator, self.value(node.left), self.value(node.right))
            except ArithmeticError as error:
                raise Fault(node.place, f"{self.with_choices()}{node.text}: {error}") from None
        raise AssertionError(node)

    def whole(self, node: Value, what: str, of: str, low: int, high: int, place: Place) -> int:
        """A value that must be a whole number in low..high; ``what`` and ``of`` name it in the error, which stands
        at the value, or at ``place`` where that has none. Raises Fault."""
        value = self.value(node)
        if value.denominator == 1 and low <= value <= high:
            return int(value)
        place = getattr(node, "place", place)
        text = f"{node.text} = {value}" if isinstance(node, Arithmetic) else str(value)
        if value.denominator != 1:
            raise Fault(place, f"{self.with_choices()}the {what} {text} {of} is not a whole number")
        raise Fault(place, f"{self.with_choices()}the {what} {text} {of} is outside {low}..{high}")

    def layers(self, node: Item) -> list[Layer]:
        """The layers of an expression in order. Raises Fault."""
        out: list[Layer] = []
        self._follow(self.program.steps(node), out)
        return out

    def _follow(self, steps: Steps, out: list[Layer]) -> None:
        self.nodes += steps.nodes
        for step in steps.steps:
            kind = type(step)
            if kind is Layer:
                out.append(step)
            elif kind is Fork:
                self._follow(step.options[self.choose(step.node)], out)
            elif kind is Loop:
                node = step.node
                for _ in range(node.counts[self.choose(node)] if node.point else node.counts[0]):
                    self._follow(step.steps, out)
            elif kind is Steps:
                self._follow(step, out)
            elif kind is str:
                self.through.append(step)
            elif kind is Broken:
                raise Fault(step.place, step.message)
            else:
                out.append(self.layer(step))

    def layer(self, node: OpItem | MergeItem) -> Layer:
        """One op or merge with its arguments read. Raises Fault."""
        given, uses_stride = {}, False
        only = self.program.only
        for argument, value in node.arguments:
            if only is not None and only.ignored(node, argument, value):
                continue
            if argument.field == "stride":
                self.read.discard("s")
                given["stride"] = self._argument(node, argument, value)
                uses_stride = "s" in self.read
            else:
                given[argument.field] = self._argument(node, argument, value)
        if type(node) is MergeItem:
            return Layer(node.merge, None, given, False, node.place, node.merge, merges=True)
        op, kernel = node.op, node.kernel
        key = op, kernel, *given.items()
        return Layer(op, kernel, given, uses_stride, node.place, key, pools=op.pools(kernel))

    def _argument(self, node: OpItem | MergeItem, argument: Argument, value: Value | Item) -> Any:
        if isinstance(value, Word):
            return value.text
        cls = node.op if isinstance(node, OpItem) else node.merge
        try:
            if argument.kind == "activation":
                inner = self.layers(value)
                if len(inner) != 1 or not _is_op(inner[0].what):
                    raise ArchitectureError(f"{argument.name} of {cls.spelling} must be one activation")
                return check_argument(cls.spelling, argument, inner[0].bind(ANYWHERE))
            number = self.value(value)
            if argument.kind == "whole":
                if type(number) is int and argument.low <= number <= argument.high:
                    return number
                if number.denominator != 1:
                    text = value.text if isinstance(value, Arithmetic) else ""
                    shown = f"{argument.name} = {text} = {number}" if text else f"{argument.name} = {number}"
                    raise ArchitectureError(f"{shown} of {cls.spelling} is not a whole number")
            return check_argument(cls.spelling, argument, Fraction(number))
        except ArchitectureError as error:
            raise Fault(node.place, f"{self.with_choices()}{error}") from None

    def with_choices(self) -> str:
        return chosen({point.name: point.options[option] for point, option in self.taken.items()})


def _is_op(what: object) -> bool:
    return isinstance(what, Op) or (isinstance(what, type) and issubclass(what, Op))


def _computed(operator: str, left: Fraction | int, right: Fraction | int) -> Fraction | int:
    """One step of arithmetic, whole numbers kept as such. Raises ArithmeticError."""
    if operator in "*/":
        above, below = right.numerator, right.denominator
        if operator == "/":
            above, below = below, above
        above, below = left.numerator * above, left.denominator * below
        if below and -EASY < above < EASY and -EASY < below < EASY:
            return above // below if above % below == 0 else Fraction(above, below)
    elif type(left) is type(right) is int and -EASY < left < EASY and -EASY < right < EASY:
        if operator == "+":
            return left + right
        if operator == "-":
            return left - right
    value = compute(operator, Fraction(left), Fraction(right))
    return value.numerator if value.denominator == 1 else value


def chosen(choices: Mapping[str, str]) -> str:
    """``with ratio=1/3: ``, the beginning of an error that hangs on choices; of very many only some are named."""
    if not choices:
        return ""
    named = [f"{name}={text if len(text) <= 60 else text[:57] + '...'}" for name, text in list(choices.items())[:12]]
    return f"with {', '.join(named)}{', ...' if len(choices) > 12 else ''}: "

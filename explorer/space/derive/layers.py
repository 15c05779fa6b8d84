"""Conversion of expressions to layers, given the options of all choices.

A ``Program`` flattens each expression once to a list of steps. A ``Resolver`` evaluates them with the choices of one
unit of a network.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar, assert_never

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, check_argument
from explorer.networks.ops.window import Size, spell_size
from explorer.space.arithmetic import computed
from explorer.space.choices import Lookup, with_choices
from explorer.space.derive.layer import ANY_CONTEXT, Deferred, Formula, Layer, Paths, before_from, bound_layer, checked
from explorer.space.derive.relevance import Relevance, depends_on_block
from explorer.space.derive.steps import ByNumber, ForkSteps, Loop, Named, Span, Steps, Switch
from explorer.space.further_nodes import ByPlace, ForkItem, Pair, TapItem, UnitEnd
from explorer.space.grammar import (
    Alternatives,
    Arithmetic,
    Broken,
    Copied,
    Fault,
    Group,
    MergeItem,
    Node,
    Number,
    OpItem,
    Place,
    Point,
    Reference,
    Repeat,
    StageRule,
    Variable,
    Word,
    reachable,
)

MAX_INLINE_STEPS = 32  # larger rules are references: rules that use each other twice would grow without bound
Entry = TypeVar("Entry")


class Program:
    """The expressions of a space, each flattened once.

    Args:
        rules: Rule name -> expression.
        named: The rules whose use a ``Resolver`` notes.
        only: If given, only choices and ops that affect shapes are read.
    """

    def __init__(self, rules: Mapping[str, Node], named: Iterable[str] = (), only: Relevance | None = None):
        self.rules = rules
        self.named = frozenset(named)
        self.only = only
        self._steps: dict[Node, Steps] = {}
        self._keys: dict[Hashable, int] = {}
        self._deferred: dict[Node, bool] = {}
        self._differs: dict[int, bool] = {}  # by stage

    def steps(self, node: Node) -> Steps:
        """Return the steps of an expression."""
        made = self._steps.get(node)
        if made is None:
            out: list[Any] = []
            nodes = self._flatten(node, out)
            made = self._steps[node] = Steps(tuple(out), nodes)
        return made

    def differs_between_blocks(self, rule: StageRule, stage: int) -> bool:
        """Whether width or dilation of a stage read the number of the block."""
        known = self._differs.get(stage)
        if known is None:
            known = self._differs[stage] = depends_on_block(self.rules, (rule.width, rule.dilation), stage)
        return known

    def _flatten(self, node: Node, out: list[Any]) -> int:
        """Append the steps of a node; return the number of nodes that they represent."""
        if self.only is not None and self.only.is_neutral(node):
            return 0
        if isinstance(node, Group):
            return 1 + sum([self._flatten(item, out) for item in node.items])
        if isinstance(node, Reference):
            inner = self.steps(self.rules[node.name])
            if node.name in self.named:
                out.append(Named(node.name, inner))
                return 1
            if len(inner.steps) > MAX_INLINE_STEPS:
                out.append(inner)
                return 1
            out.extend(inner.steps)
            return 1 + inner.nodes
        if isinstance(node, Alternatives):
            out.append(Switch(node.point, tuple(self.steps(option) for option in node.options)))
        elif isinstance(node, ByPlace):
            out.append(ByNumber(node, tuple(self.steps(option) for option in node.options)))
        elif isinstance(node, Repeat):
            out.append(Loop(node.point, node.counts, self.steps(node.item)))
        elif isinstance(node, ForkItem):
            paths = ForkSteps(node.join, tuple(self.steps(path) for path in node.paths), node.place)
            is_settled = all(isinstance(step, Layer) for path in paths.paths for step in path.steps)
            out.append(self._interned(Resolver(self, _no_answer, {}).fork(paths)) if is_settled else paths)
        elif isinstance(node, (Copied, TapItem)):
            out.append(Layer(node, None, {}, False, node.place, None, has_taps=isinstance(node, TapItem)))
        elif isinstance(node, (OpItem, MergeItem)):
            out.append(self.settled(node) or node)
        else:
            assert isinstance(node, (Broken, UnitEnd))
            out.append(node)  # an error is raised where a network uses it
        return 1

    def settled(self, node: OpItem | MergeItem) -> Layer | None:
        """Return the layer of an op or merge whose arguments are constants; None if they are not, or not allowed."""
        try:
            layer = Resolver(self, _no_answer, {}).layer(node)
        except Fault:
            return None
        if isinstance(node, OpItem) and not node.op.binds_itself() and not node.op.takes_stride:
            try:
                return bound_layer(node.op.bind(node.kernel, layer.given, ANY_CONTEXT), node.place)
            except ArchitectureError:
                return None  # raised where a network uses it
        return self._interned(layer)

    def _interned(self, layer: Layer) -> Layer:
        """Return the layer with a short key."""
        return layer._replace(key=self._keys.setdefault(layer.key, len(self._keys)))

    def is_deferred(self, value: Node) -> bool:
        """Return whether a value contains the variable ``c``."""
        found = self._deferred.get(value)
        if found is None:
            nodes = reachable(self.rules, [value])
            found = any(isinstance(node, Variable) and node.name == "c" for node in nodes)
            self._deferred[value] = found
        return found


def _no_answer(point: Point) -> int:
    raise Fault((1, 1), "a choice")


class Resolver:
    """Evaluates expressions with given choices.

    Args:
        program: The flattened expressions.
        lookup: Returns the chosen option of a choice point.
        variables: The numbers of w, in, s (also a pair), d, i, n, j, m, as far as defined, and of the ``stage``.

    Attributes:
        through: The noted rules that were read, outermost first, with the layers that they gave.
        taken: The choices that were read: choice point -> option.
        nodes: Number of nodes that were read.
    """

    def __init__(self, program: Program, lookup: Lookup, variables: Mapping[str, Fraction | Size]):
        self.program = program
        self.lookup = lookup
        self.variables = variables
        self.through: list[Span] = []
        self.taken: dict[Point, int] = {}
        self.nodes = 0
        self._read: set[str] = set()  # variables

    def choose(self, point: Point) -> int:
        """Return the chosen option, and note it for error messages."""
        option = self.taken[point] = self.lookup(point)
        return option

    def value(self, node: Node) -> Fraction | int:
        """Return the number of a value.

        Raises:
            Fault: If it cannot be computed.
        """
        if isinstance(node, Number):
            number = node.value
            return number.numerator if number.denominator == 1 else number
        if isinstance(node, Variable):
            if node.name not in self.variables:
                others = ", ".join(sorted(self.variables.keys() - {"stage"})) or "none; write numbers or names of rules"
                if self.variables.keys() == {"stage"}:  # of the numbers of a stage, only these differ by block
                    others += ", or j, the number of the block in its stage, in width and dilation"
                raise Fault(node.place, f"the variable {node.name!r} is not defined here; known here: {others}")
            self._read.add(node.name)
            known = self.variables[node.name]
            if isinstance(known, tuple):
                raise Fault(node.place, f"{node.name} is the size {spell_size(known)} here, expected a number")
            return known
        if isinstance(node, Pair):
            raise Fault(node.place, f"found the size {spell_size(node.value)}, expected a number")
        if isinstance(node, Reference):
            return self.value(self.program.rules[node.name])
        if isinstance(node, Alternatives):
            return self.value(node.options[self.choose(node.point)])
        if isinstance(node, ByPlace):
            return self.value(self.here(node, node.options))
        if isinstance(node, Arithmetic):
            try:
                return computed(node.operator, self.value(node.left), self.value(node.right))
            except ArithmeticError as error:
                raise Fault(node.place, f"{self.with_choices()}{node.text}: {error}") from None
        if isinstance(node, Broken):
            raise Fault(node.place, node.message)
        raise AssertionError(node)

    def here(self, node: ByPlace, options: Sequence[Entry]) -> Entry:
        """Return the entry of ``by_block`` or ``by_stage`` that is for this place.

        Raises:
            Fault: If there is none.
        """
        number = self.variables.get("j" if node.of == "block" else "stage")
        if not isinstance(number, (int, Fraction)):
            raise Fault(node.place, f"by_{node.of} is not defined here")
        index = node.entry(int(number))
        if index >= len(options):
            message = f"by_{node.of} has {len(options)} entries, and none for {node.of} {number}"
            raise Fault(node.place, f"{self.with_choices()}{message}; write one for each {node.of}")
        return options[index]

    def size(self, node: Node) -> Fraction | Size:
        """Return the number of a value, or the pair that it is. Raises Fault as ``value``."""
        if isinstance(node, Pair):
            return node.value
        if isinstance(node, Variable) and isinstance(pair := self.variables.get(node.name), tuple):
            self._read.add(node.name)
            return pair
        if isinstance(node, Reference):
            return self.size(self.program.rules[node.name])
        if isinstance(node, Alternatives):
            return self.size(node.options[self.choose(node.point)])
        if isinstance(node, ByPlace):
            return self.size(self.here(node, node.options))
        return self.value(node)

    def stride(self, node: Node, of: str, high: int, place: Place) -> Size:
        """Return the stride of a stage. The arguments are those of ``whole``."""
        size = self.size(node)
        if not isinstance(size, tuple):
            return self.whole(node, "stride", of, 1, high, place)
        if not all(1 <= side <= high for side in size):
            text = f"{self.with_choices()}the stride {spell_size(size)} {of} is outside 1..{high}"
            raise Fault(getattr(node, "place", place), text)
        return size

    def whole(self, node: Node, what: str, of: str, low: int, high: int, place: Place) -> int:
        """Return a value that must be a whole number in low..high.

        Args:
            node: The value; of a choice, the option that is chosen.
            what, of: Its name and its owner, for the message: ``width``, ``of stage 2``.
            low, high: The smallest and the largest allowed number.
            place: The place of the error if the value has none.

        Raises:
            Fault: If it is not.
        """
        value = self.value(node)
        if value.denominator == 1 and low <= value <= high:
            return int(value)
        while isinstance(node, Alternatives):
            node = node.options[self.choose(node.point)]
        place = getattr(node, "place", None) or place
        formula = node.text if isinstance(node, Arithmetic) and node.text != str(value) else ""
        text = " = ".join(filter(None, (formula, str(value))))
        is_wrong = "is not a whole number" if value.denominator != 1 else f"is outside {low}..{high}"
        raise Fault(place, f"{self.with_choices()}the {what} {text} {of} {is_wrong}")

    def layers(self, node: Node) -> list[Layer]:
        """Return the layers of an expression in order.

        Raises:
            Fault: If one of them is invalid.
        """
        out: list[Layer] = []
        self._follow(self.program.steps(node), out)
        return out

    def _follow(self, steps: Steps, out: list[Layer]) -> None:
        self.nodes += steps.nodes
        for step in steps.steps:
            if isinstance(step, Layer):
                out.append(step)
            elif isinstance(step, Switch):
                self._follow(step.options[self.choose(step.point)], out)
            elif isinstance(step, (OpItem, MergeItem)):
                out.append(self.layer(step))
            elif isinstance(step, Loop):
                for _ in range(step.counts[self.choose(step.point) if step.point else 0]):
                    self._follow(step.steps, out)
            elif isinstance(step, ForkSteps):
                out.append(self.fork(step, len(out)))
            elif isinstance(step, Steps):
                self._follow(step, out)
            elif isinstance(step, ByNumber):
                self._follow(self.here(step.node, step.options), out)
            elif isinstance(step, Named):
                outer, start = len(self.through), len(out)
                self._follow(step.steps, out)
                self.through.insert(outer, Span(step.name, start, len(out)))
            elif isinstance(step, UnitEnd):
                out.append(Layer(step, None, {}, False, step.place, None))
                self.variables = {**self.variables, "s": 1}  # the stride is that of the first unit
            elif isinstance(step, Broken):
                raise Fault(step.place, step.message)
            else:
                assert_never(step)

    def fork(self, step: ForkSteps, number: int = 0) -> Layer:
        """Return a fork as a layer, before which ``number`` layers are. Raises Fault if one of its paths is invalid."""
        paths: list[tuple[Layer, ...]] = []
        outer = len(self.through)
        for path in step.paths:
            out: list[Layer] = []
            self._follow(path, out)
            paths.append(tuple(out))
        self.through[outer:] = [Span(span.name, number, number + 1) for span in self.through[outer:]]
        key = step.join, *(tuple((layer.key, layer.uses_stride) for layer in path) for path in paths)
        pools = any(layer.uses_stride or layer.pools for path in paths for layer in before_from(path))
        has_taps = any(layer.has_taps for path in paths for layer in path)
        return Layer(Paths(step.join, tuple(paths)), None, {}, False, step.place, key, pools=pools, has_taps=has_taps)

    def layer(self, node: OpItem | MergeItem) -> Layer:
        """Return an op or a merge with its arguments read.

        Raises:
            Fault: If an argument has an invalid value.
        """
        given: dict[str, Any] = {}
        uses_stride = is_deferred = False
        only = self.program.only
        for argument, value in node.arguments:
            if only is not None and only.is_ignored(node, argument, value):
                continue
            if argument.field == "stride":
                self._read.discard("s")
                given["stride"] = self._argument(node, argument, value)
                uses_stride = "s" in self._read
            elif isinstance(node, OpItem) and self.program.is_deferred(value):
                given[argument.field] = Deferred(argument, self._formula(value), getattr(value, "text", "c") or "c")
                is_deferred = True
            else:
                given[argument.field] = self._argument(node, argument, value)
        if isinstance(node, MergeItem):
            return Layer(node.merge, None, given, False, node.place, node.merge.spelling, is_merge=True)
        op, kernel = node.op, node.kernel
        key = op, kernel, *given.items()
        return Layer(op, kernel, given, uses_stride, node.place, key, pools=op.pools(kernel), is_deferred=is_deferred)

    def _formula(self, node: Node) -> Formula:
        """Return a value as a formula in the variable ``c``. Raises Fault as ``value`` does."""
        if not self.program.is_deferred(node):
            return self.value(node)
        if isinstance(node, Reference):
            return self._formula(self.program.rules[node.name])
        if isinstance(node, Alternatives):
            return self._formula(node.options[self.choose(node.point)])
        if isinstance(node, ByPlace):
            return self._formula(self.here(node, node.options))
        if isinstance(node, Arithmetic):
            return node.operator, self._formula(node.left), self._formula(node.right)
        return "c"

    def _argument(self, node: OpItem | MergeItem, argument: Argument, value: Node) -> Any:
        if isinstance(value, Word):
            return value.text
        spelling = node.op.spelling if isinstance(node, OpItem) else node.merge.spelling
        try:
            if argument.kind == "activation":
                inner = self.layers(value)
                if len(inner) != 1 or not inner[0].is_op:
                    raise ArchitectureError(f"{argument.name} of {spelling} must be one activation")
                return check_argument(spelling, argument, inner[0].bind(ANY_CONTEXT))
            if argument.kind == "size" and isinstance(size := self.size(value), tuple):
                return check_argument(spelling, argument, size)
            number = self._ratio(value) if argument.kind == "ratio" else self.value(value)
            if type(number) is int and argument.kind in ("whole", "size") and argument.low <= number <= argument.high:
                return number
            text = f"{value.text} = " if isinstance(value, Arithmetic) and value.text else ""
            return checked(spelling, argument, number, text)
        except ArchitectureError as error:
            raise Fault(node.place, f"{self.with_choices()}{error}") from None

    def _ratio(self, value: Node) -> Fraction | int:
        """Return a reduction ratio. A number below 1 is the share that is left, 1/ratio, unless it has variables."""
        before, self._read = self._read, set()
        number = self.value(value)
        is_share = 0 < number < 1 and not self._read
        self._read |= before
        return 1 / Fraction(number) if is_share else number

    def with_choices(self) -> str:
        """Return the beginning of an error message that names the choices read so far."""
        return with_choices({point.name: point.options[option] for point, option in self.taken.items()})

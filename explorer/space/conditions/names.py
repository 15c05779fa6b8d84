"""What the names in conditions mean: choices, rules of numbers, and the numbers of stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from explorer.networks.ops.window import spell_size
from explorer.space.derive.relevance import depends_on_block
from explorer.space.further_nodes import ByPlace, Pair, TapItem
from explorer.space.grammar import (
    SCOPES,
    Alternatives,
    Arithmetic,
    Grammar,
    Node,
    Number,
    Point,
    Reference,
    Repeat,
    StageRule,
    Variable,
    point_of,
    reachable,
)

STAGE_NUMBERS = {"w": "width", "s": "stride", "d": "dilation", "m": "blocks"}  # variable -> number of a stage
NUMBERS = ("blocks", "width", "stride", "dilation")
BLOCK_NUMBERS = ("in", "i", "j")  # variables that differ between the blocks of a stage
TAPPED = ".c"  # after the name of a tap: the channels of its tensor


class Meaning(NamedTuple):
    """What a name means.

    Attributes:
        kind: ``choice`` (one of several texts), ``number`` (of a rule or of a choice point), ``stage`` (a number of a
            stage), ``block`` (a variable of a block), ``tap`` (the channels of a tensor) or ``blocks`` (the number of
            blocks of the network).
        name: The name of the choice point, of the rule, of the number or the variable, or of the tap.
        scope: The smallest scope of the choices that it depends on.
        is_numbered: Whether it depends on the number of the block, or on the channels there.
    """

    kind: str
    name: str
    scope: str
    is_numbered: bool = False

    def stands_for_blocks(self, at: str) -> bool:
        """Whether it has a value for each block of the stage ``at``."""
        return self.scope == "block" and at.startswith("stage") and "." not in at


class Meanings:
    """The names of one space.

    Attributes:
        points: Name -> the choice points of that name: several if stages have their own.
        taps: The names of the taps outside of shortcuts.

    Args:
        grammar: The space.
    """

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        self.points: dict[str, list[Point]] = {}
        for point in grammar.points:
            self.points.setdefault(point.name, []).append(point)
        self._nodes = {point_of(node): node for node in reachable(grammar.rules, grammar.roots)}
        layers = [part for stage in grammar.stages for part in (stage.block, stage.first)]
        layers += [grammar.stem, grammar.head, *([] if grammar.transition is None else [grammar.transition])]
        nodes = reachable(grammar.rules, layers)
        self.taps = list(dict.fromkeys(node.name for node in nodes if isinstance(node, TapItem) and node.kind == "tap"))
        self._reached: dict[str, frozenset[Point | str]] = {}
        self._differ = {  # numbers that differ between the blocks of a stage
            number
            for k, stage in enumerate(grammar.stages, 1)
            for number in NUMBERS
            if depends_on_block(grammar.rules, [number_of(stage, number)], k)
        }

    def known(self) -> list[str]:
        """Return all names, for suggestions."""
        numeric = [name for name, node in self.grammar.rules.items() if self.is_number(node)]
        taps = [f"{name}{TAPPED}" for name in self.taps]
        return list(dict.fromkeys([*self.points, *numeric, *NUMBERS, *STAGE_NUMBERS, *BLOCK_NUMBERS, *taps]))

    def meaning(self, name: str) -> Meaning | None:
        """Return what a name means; None for an unknown name, a rule without alternatives, or one without use."""
        rule = self.grammar.rules.get(name)
        if rule is not None and self.is_number(rule):
            return Meaning("number", name, *self._scope([rule]))
        if name in self.points:
            node = self.node(self.points[name][0])
            scope = max((point.scope for point in self.points[name]), key=SCOPES.index)
            if name.removeprefix("stages.") in NUMBERS:
                return self._number_of_stages(name.removeprefix("stages."))
            if self.is_number(node) or isinstance(node, Repeat):
                is_count = isinstance(node, Repeat) and node.point is not None and node.point.options[0] != "none"
                if is_count or not isinstance(node, Repeat):
                    inner, is_numbered = self._scope([node])
                    return Meaning("number", name, max(scope, inner, key=SCOPES.index), is_numbered)
            return Meaning("choice", name, scope)
        if name == "n":
            return Meaning("blocks", name, "network")
        if rule is None and name in BLOCK_NUMBERS:
            return Meaning("block", name, "block", True)
        if name.endswith(TAPPED) and name.removesuffix(TAPPED) in self.taps:
            return Meaning("tap", name.removesuffix(TAPPED), "block", True)
        number = STAGE_NUMBERS.get(name, name.removeprefix("stages."))
        return self._number_of_stages(number) if number in NUMBERS and rule is None else None

    def _number_of_stages(self, number: str) -> Meaning:
        differs = number in self._differ
        return Meaning("stage", number, "block" if differs else "stage", differs)

    def node(self, point: Point) -> Node:
        """Return the node of a choice point."""
        return self._nodes[point]

    def is_number(self, node: Node) -> bool:
        """Whether a node is a value."""
        if isinstance(node, Reference):
            return self.is_number(self.grammar.rules[node.name])
        if isinstance(node, (Alternatives, ByPlace)):
            return all(map(self.is_number, node.options))
        return isinstance(node, (Number, Variable, Arithmetic))

    def lacking(self, name: str) -> str:
        """Return what a number reads that a condition does not know: ``c`` or a size of unequal sides; empty for
        nothing."""
        if name == "c" and name not in self.grammar.rules:
            return name
        roots = [self.grammar.rules[name]] if name in self.grammar.rules else []
        roots += [self.node(point) for point in self.points.get(name, ())]
        means = self.meaning(name)
        if means is not None and means.kind == "choice":
            return ""
        numbers = {means.name} if means is not None and means.kind == "stage" else set[str]()
        for node in reachable(self.grammar.rules, roots):
            if isinstance(node, Variable) and node.name in STAGE_NUMBERS:
                numbers.add(STAGE_NUMBERS[node.name])
        roots += [number_of(stage, number) for stage in self.grammar.stages for number in numbers]
        for node in reachable(self.grammar.rules, roots):
            if isinstance(node, Variable) and node.name == "c":
                return node.name
            if isinstance(node, Pair):
                return spell_size(node.value)
        return ""

    def is_used(self, name: str) -> bool:
        """Whether networks read the choice or the rule of this name, or it is a number of a stage."""
        return name in self.points or name not in self.grammar.rules or name in self._of("", self.grammar.roots)

    def point(self, name: str, unit: str) -> Point | None:
        """Return the choice point of a name in a unit, as in the names of choices; None if the unit cannot have it."""
        points = self.points[name]
        if points[0].scope == "network":
            return points[0]
        reached = self.reached(unit)
        return next((point for point in points if point in reached), None)

    def reached(self, unit: str) -> frozenset[Point | str]:
        """Return the choice points and the names of the rules that a unit can use.

        Args:
            unit: ``stem``, ``head``, ``stage2`` (all of its units), ``stage2.transition`` or ``stage2.block1``.
        """
        grammar = self.grammar
        stage, _, inner = unit.partition(".")
        if stage in ("stem", "head"):
            return self._of(stage, [grammar.stem if stage == "stem" else grammar.head])
        number = int(stage.removeprefix("stage"))
        rule = grammar.stages[number - 1]
        between = [] if grammar.transition is None or number == 1 else [grammar.transition]
        if inner == "transition":
            return self._of(unit, between, number)
        if inner:
            return self._of(f"{stage}.blocks", [rule.block, rule.first, *rule.shortcut_parts], number)
        return self._of(stage, [*between, *rule.roots], number)

    def _of(self, key: str, roots: Iterable[Node], stage: int = 0) -> frozenset[Point | str]:
        if key not in self._reached:
            nodes = list(reachable(self.grammar.rules, roots, stage))
            points = {point for point in map(point_of, nodes) if point is not None}
            names = {node.name for node in nodes if isinstance(node, Reference)}
            taps = {f"{node.name}{TAPPED}" for node in nodes if isinstance(node, TapItem)}
            self._reached[key] = frozenset({*points, *names, *taps})
        return self._reached[key]

    def _scope(self, roots: Iterable[Node]) -> tuple[str, bool]:
        """Return the smallest scope that a number depends on, and whether it differs between the blocks of a stage."""
        scopes, is_numbered = {"network"}, False
        for node in reachable(self.grammar.rules, roots):
            if (point := point_of(node)) is not None:
                scopes.add(point.scope)
            if isinstance(node, ByPlace) or (isinstance(node, Variable) and node.name in STAGE_NUMBERS):
                scopes.add("stage")
            if self._differs_between_blocks(node):
                scopes.add("block")
                is_numbered = True
        return max(scopes, key=SCOPES.index), is_numbered

    def _differs_between_blocks(self, node: Node) -> bool:
        if isinstance(node, ByPlace):
            return node.of == "block"
        return isinstance(node, Variable) and (
            node.name in BLOCK_NUMBERS or STAGE_NUMBERS.get(node.name) in self._differ
        )


def number_of(stage: StageRule, name: str) -> Node:
    """Return the expression of a number of a stage, one of ``NUMBERS``."""
    return dict(zip(NUMBERS, stage.numbers, strict=True))[name]

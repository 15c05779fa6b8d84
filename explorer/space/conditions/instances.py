"""Conditions at each place where they hold: names of the file become names of choices.

A condition over bare names that vary by stage or block holds in every stage or block that can use all of its names, or
in every one if none can. The blocks of a stage share one truth, in which ``stage2.*`` stands for the block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from explorer.space.choices import choice_name
from explorer.space.condition import (
    Compared,
    Computed,
    Constant,
    Joined,
    Named,
    Same,
    Value,
    names_in,
)
from explorer.space.condition import Truth as Tree
from explorer.space.conditions.names import STAGE_NUMBERS, Meaning, Meanings, number_of
from explorer.space.conditions.numbers import Sum
from explorer.space.conditions.truths import Open, Truths
from explorer.space.grammar import (
    SCOPES,
    Alternatives,
    Arithmetic,
    ByPlace,
    Grammar,
    Node,
    Number,
    Point,
    Reference,
    Repeat,
    Variable,
    point_of,
)

ANY_BLOCK = "*"


class _Absent(Exception):
    """A unit cannot have the choice."""


class Instances:
    """The truths of the conditions of one space.

    Attributes:
        points: Name of a choice in a truth -> its choice point.
        stages: Name of a choice in a truth -> its stage from 1, 0 in the stem, the number of stages + 1 in the head; -1
            for a choice of the network.

    Args:
        grammar: The space.
        truths: Makes the truths.
    """

    def __init__(self, grammar: Grammar, truths: Truths):
        self.points: dict[str, Point] = {}
        self.stages: dict[str, int] = {}
        self._grammar, self._truths, self._numbers = grammar, truths, truths.numbers
        self._meanings = Meanings(grammar)
        self._always = {"stem": self._asked([*grammar.sides, grammar.stem]), "head": self._asked([grammar.head])}
        for k, rule in enumerate(grammar.stages, 1):
            self._always[f"stage{k}"] = self._asked([*rule.numbers, rule.first], k)
        self._known: dict[tuple[Node, str], Sum] = {}

    def of(self, truth: Tree) -> Iterator[bool | Open]:
        """Yield what must hold, for every place; what is joined by ``and`` one by one."""
        if isinstance(truth, Joined) and truth.every:
            for part in truth.parts:
                yield from self.of(part)
            return
        for unit in self._units(truth):
            made = self._truth(truth, unit)
            names = made.names if isinstance(made, Open) else ()
            of_block = sorted(name for name in names if name.endswith(f".{ANY_BLOCK}"))
            if of_block:  # a block without any of the choices is left out
                made = self._truths.joined(
                    False, [made, self._truths.joined(True, [self._truths.among(name, ()) for name in of_block])]
                )
            yield made

    def _units(self, truth: Tree) -> list[str]:
        """Return the units in which a condition holds; "" for one that names no place."""
        names = [(named, self._meaning(named)) for named in names_in(truth)]
        bare = [(named, means) for named, means in names if not named.at or means.stands_for_blocks(named.at)]
        scope = max((means.scope for _, means in bare), default="network", key=SCOPES.index)
        if scope == "network":
            return [""]
        stages = range(1, len(self._grammar.stages) + 1)
        inside = [f"stage{k}" for k in stages]
        if scope == "block":
            inside = [f"stage{k}{part}" for k in stages for part in ("", ".transition", f".{ANY_BLOCK}")]
        outside = [] if any(means.kind == "stage" for _, means in bare) else ["stem", "head"]
        within = {named.at for named, _ in bare if named.at}
        units = [unit for unit in [*inside, *outside] if within <= {unit.split(".")[0]}]
        return [unit for unit in units if all(self._can_use(means, unit) for _, means in bare)] or units

    def _can_use(self, means: Meaning, unit: str) -> bool:
        if means.kind in ("stage", "blocks"):
            return True
        reached = self._meanings.reached(unit if means.scope == "block" else unit.split(".")[0])
        return means.name in reached or any(point in reached for point in self._meanings.points.get(means.name, ()))

    def _meaning(self, named: Named) -> Meaning:
        means = self._meanings.meaning(named.name)
        assert means is not None  # the parser checks names
        return means

    def _unit(self, named: Named, unit: str) -> str:
        return unit if not named.at or self._meaning(named).stands_for_blocks(named.at) else named.at

    # Truths

    def _truth(self, tree: Tree, unit: str) -> bool | Open:
        truths = self._truths
        try:
            if isinstance(tree, Joined):
                return truths.joined(tree.every, [self._truth(part, unit) for part in tree.parts])
            if isinstance(tree, Compared):
                return truths.compared(tree.relation, self._value(tree.left, unit), self._value(tree.right, unit))
            if isinstance(tree, Same):
                left, right = self._point(tree.left, unit), self._point(tree.right, unit)
                texts = left[1].options, right[1].options
                return truths.alike(left[0], right[0], texts, tree.negated)
            name, point = self._point(tree.choice, unit)
            return truths.among(
                name, [n for n, text in enumerate(point.options) if (text in tree.options) != tree.negated]
            )
        except _Absent:
            return True

    def _point(self, named: Named, unit: str) -> tuple[str, Point]:
        """Return the choice of a name, and its point. Raises _Absent."""
        place = self._unit(named, unit)
        point = self._meanings.point(named.name, place)
        if point is None:
            raise _Absent
        return self._choice(point, place), point

    def _choice(self, point: Point, unit: str) -> str:
        """Return the name of a choice, and note it."""
        name = choice_name(point, unit)
        stage = -1
        if point.scope != "network":
            stage = {"stem": 0, "head": len(self._grammar.stages) + 1}.get(unit, -1)
            if stage < 0:
                stage = int(unit.split(".")[0].removeprefix("stage"))
        self.points[name], self.stages[name] = point, stage
        self._truths.counts[name] = len(point.options)
        every = self._always.get(unit.split(".")[0], frozenset())
        if point.scope == "network":
            every = frozenset[Point]().union(*self._always.values())
        if point in every and point.scope in ("network", "stage"):
            self._truths.sure.add(name)
        return name

    def _asked(self, roots: Iterable[Node], stage: int = 0) -> frozenset[Point]:
        """Return the choice points that are asked whenever a stage, the stem or the head reads these expressions."""
        found, pending, seen = set[Point](), list(roots), set[str]()
        while pending:
            node = pending.pop()
            if (point := point_of(node)) is not None:
                found.add(point)
            elif isinstance(node, Reference):
                if node.name not in seen:
                    seen.add(node.name)
                    pending.append(self._grammar.rules[node.name])
            elif isinstance(node, ByPlace):
                pending.append(node.options[stage - 1 if node.of == "stage" else 0])  # every stage has a first block
            elif not isinstance(node, Repeat) or node.counts[0]:
                pending.extend(node.children)
        return frozenset(found)

    # Numbers

    def _value(self, value: Value, unit: str) -> Sum:
        if isinstance(value, Constant):
            return self._numbers.constant(value.value)
        if isinstance(value, Computed):
            return self._numbers.apply(value.operator, self._value(value.left, unit), self._value(value.right, unit))
        means, place = self._meaning(value), self._unit(value, unit)
        if means.kind == "blocks":
            return self._total()
        if means.kind == "stage":
            return self._of_stage(means.name, place)
        if means.name in self._grammar.rules:
            return self._number(self._grammar.rules[means.name], place)
        point = self._meanings.point(means.name, place)
        if point is None:
            raise _Absent
        return self._number(self._meanings.node(point), place)

    def _total(self) -> Sum:
        """Return the number of blocks of the network."""
        total = self._numbers.constant(0)
        for k in range(1, len(self._grammar.stages) + 1):
            total = self._numbers.added(total, self._of_stage("blocks", f"stage{k}"), 1)
        return total

    def _of_stage(self, name: str, unit: str) -> Sum:
        """Return a number of the stage of a unit. The stem has the first stage's width, the head the last one's."""
        stages = self._grammar.stages
        if unit in ("stem", "head") and name != "width":
            return self._numbers.constant(1)
        k = {"stem": 1, "head": len(stages)}.get(unit) or int(unit.split(".")[0].removeprefix("stage"))
        return self._number(number_of(stages[k - 1], name), f"stage{k}")

    def _number(self, node: Node, unit: str) -> Sum:
        key = node, unit
        if key not in self._known:
            self._known[key] = self._read(node, unit)
        return self._known[key]

    def _read(self, node: Node, unit: str) -> Sum:
        numbers = self._numbers
        if isinstance(node, Number):
            return numbers.constant(node.value)
        if isinstance(node, Reference):
            return self._number(self._grammar.rules[node.name], unit)
        if isinstance(node, ByPlace) and node.of == "stage" and unit.startswith("stage"):
            return self._number(node.options[int(unit.split(".")[0].removeprefix("stage")) - 1], unit)
        if isinstance(node, Arithmetic):
            return numbers.apply(node.operator, self._number(node.left, unit), self._number(node.right, unit))
        if isinstance(node, Alternatives):
            options = tuple(self._number(option, unit) for option in node.options)
            return numbers.pick(self._choice(node.point, unit), options)
        if isinstance(node, Repeat) and node.point is not None:
            counts = tuple(numbers.constant(Fraction(count)) for count in node.counts)
            return numbers.pick(self._choice(node.point, unit), counts)
        if isinstance(node, Variable) and node.name in STAGE_NUMBERS:
            return self._of_stage(STAGE_NUMBERS[node.name], unit)
        if isinstance(node, Variable) and node.name == "n":
            return self._total()
        return numbers.uncomputable

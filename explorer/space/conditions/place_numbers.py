"""The numbers of a file at each place of a network, as numbers that depend on choices."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from fractions import Fraction

from explorer.space.choices import choice_name
from explorer.space.conditions.names import STAGE_NUMBERS, number_of
from explorer.space.conditions.numbers import Sum
from explorer.space.conditions.truths import Truths
from explorer.space.derive.relevance import depends_on_block
from explorer.space.further_nodes import ByPlace
from explorer.space.grammar import (
    Alternatives,
    Arithmetic,
    Grammar,
    Node,
    Number,
    Point,
    Reference,
    Repeat,
    Variable,
    point_of,
)


class UnknownNumber(Exception):
    """A number that the choices that a condition can name do not determine."""


class PlaceNumbers(ABC):
    """The numbers of one space.

    A unit is named as in the names of choices: ``stem``, ``stage2``, ``stage2.transition``, ``stage2.block3``,
    ``head``. ``stage2.*`` stands for each block of the stage, and ``stage2.number3`` for its block 3 in numbers of the
    stage, whose choices are those of ``stage2``.

    Args:
        grammar: The space.
        truths: Makes numbers and truths.

    Attributes:
        points: Name of a choice that a number or a truth depends on -> its choice point.
        stages: Name of such a choice -> its stage from 1, 0 in the stem, the number of stages + 1 in the head; -1 for a
            choice of the network.
    """

    def __init__(self, grammar: Grammar, truths: Truths):
        self.points: dict[str, Point] = {}
        self.stages: dict[str, int] = {}
        self.grammar, self.truths, self.numbers = grammar, truths, truths.numbers
        self._always = {"stem": self._asked([*grammar.sides, grammar.stem]), "head": self._asked([grammar.head])}
        for k, rule in enumerate(grammar.stages, 1):
            self._always[f"stage{k}"] = self._asked([*rule.numbers, rule.first], k)
        self._known: dict[tuple[Node, str, Sum | None], Sum] = {}

    @abstractmethod
    def arriving(self, unit: str) -> Sum:
        """Return the channels that arrive at a unit, the variable ``in``."""

    def choice(self, point: Point, unit: str) -> str:
        """Return the name of a choice, and note it. Raises UnknownNumber for one that varies by use."""
        if point.scope == "use":
            raise UnknownNumber(f"it depends on {point.name!r}, which varies by use; vary it by block")
        unit = unit.partition(".number")[0]
        name = choice_name(point, unit)
        stage = -1
        if point.scope != "network":
            stage = {"stem": 0, "head": len(self.grammar.stages) + 1}.get(unit, -1)
            if stage < 0:
                stage = stage_of(unit)
        self.points[name], self.stages[name] = point, stage
        self.truths.counts[name] = len(point.options)
        every = self._always.get(unit.split(".")[0], frozenset())
        if point.scope == "network":
            every = frozenset[Point]().union(*self._always.values())
        if point in every and point.scope in ("network", "stage"):
            self.truths.sure.add(name)
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
                    pending.append(self.grammar.rules[node.name])
            elif isinstance(node, ByPlace):
                pending.extend(node.at(stage if node.of == "stage" else 1))  # every stage has a first block
            elif not isinstance(node, Repeat) or node.counts[0]:
                pending.extend(node.children)
        return frozenset(found)

    def cases(self, number: Sum, make: Callable[[int], Sum]) -> Sum:
        """Return what ``make`` returns for each whole number that a number can be, by the choices it depends on."""
        if number.constant is None or (not number.terms and Fraction(number.constant).denominator > 1):
            return self.numbers.uncomputable
        if not number.terms:
            return make(int(number.constant))
        name = min(number.names)
        options = range(self.truths.counts[name])
        return self.picked(name, [self.cases(self.numbers.put(number, name, option), make) for option in options])

    def picked(self, name: str, options: list[Sum]) -> Sum:
        """Return the number of a choice, given that of each alternative; one that does not depend on it is itself."""
        return options[0] if len(set(options)) == 1 else self.numbers.pick(name, tuple(options))

    def total(self) -> Sum:
        """Return the number of blocks of the network."""
        return self._blocks_before(len(self.grammar.stages) + 1)

    def _blocks_before(self, stage: int) -> Sum:
        total = self.numbers.constant(0)
        for k in range(1, stage):
            total = self.numbers.added(total, self.of_stage("blocks", f"stage{k}"), 1)
        return total

    def of_stage(self, name: str, unit: str) -> Sum:
        """Return a number of the stage of a unit. The stem has the first block's width, the head the last one's."""
        stages = self.grammar.stages
        if unit in ("stem", "head") and name != "width":
            return self.numbers.constant(1)
        k = {"stem": 1, "head": len(stages)}.get(unit) or stage_of(unit)
        node = number_of(stages[k - 1], name)
        if not depends_on_block(self.grammar.rules, [node], k):
            return self.number(node, f"stage{k}")
        if unit == "head":
            return self.cases(self.of_stage("blocks", f"stage{k}"), lambda j: self.number(node, f"stage{k}.number{j}"))
        return self.number(node, f"stage{k}.number{block_of(unit) or 1}")

    def number(self, node: Node, unit: str, row: Sum | None = None) -> Sum:
        """Return a value at a unit. ``row``: the channels that arrive at the row of layers, the variable ``c``."""
        key = node, unit, row
        if key not in self._known:
            self._known[key] = self._read(node, unit, row)
        return self._known[key]

    def _read(self, node: Node, unit: str, row: Sum | None) -> Sum:
        numbers = self.numbers
        if isinstance(node, Number):
            return numbers.constant(node.value)
        if isinstance(node, Reference):
            return self.number(self.grammar.rules[node.name], unit, row)
        if isinstance(node, ByPlace):
            at = block_of(unit) if node.of == "block" else stage_of(unit)
            return next((self.number(option, unit, row) for option in node.at(at)), numbers.uncomputable)
        if isinstance(node, Arithmetic):
            return numbers.apply(node.operator, self.number(node.left, unit, row), self.number(node.right, unit, row))
        if isinstance(node, Alternatives):
            options = tuple(self.number(option, unit, row) for option in node.options)
            return numbers.pick(self.choice(node.point, unit), options)
        if isinstance(node, Repeat) and node.point is not None:
            counts = tuple(numbers.constant(Fraction(count)) for count in node.counts)
            return numbers.pick(self.choice(node.point, unit), counts)
        return self.variable(node.name, unit, row) if isinstance(node, Variable) else numbers.uncomputable

    def variable(self, name: str, unit: str, row: Sum | None = None) -> Sum:
        """Return a variable of the language at a unit."""
        if name in STAGE_NUMBERS:
            return self.of_stage(STAGE_NUMBERS[name], unit)
        if name == "n":
            return self.total()
        if name == "in":
            return self.arriving(unit)
        if name == "c" and row is not None:
            return row
        if name in ("i", "j") and (j := block_of(unit)):
            number = self.numbers.constant(j)
            return number if name == "j" else self.numbers.added(self._blocks_before(stage_of(unit)), number, 1)
        return self.numbers.uncomputable


def stage_of(unit: str) -> int:
    """Return the number of a unit's stage, 0 outside of stages."""
    found = re.match(r"stage(\d+)", unit)
    return int(found[1]) if found else 0


def block_of(unit: str) -> int:
    """Return the number of a unit's block in its stage, 1 for a transition, 0 outside of blocks."""
    found = re.search(r"\.(?:block|number)(\d+)$", unit)
    return int(found[1]) if found else int(unit.endswith(".transition"))

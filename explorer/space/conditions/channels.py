"""The channels that arrive at a block, and those at a tap, as numbers that depend on choices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from explorer.networks.ops.conv import DepthwiseConv
from explorer.networks.ops.linear import Linear
from explorer.networks.ops.nested.fork import Part
from explorer.networks.ops.nested.slices import Slice
from explorer.networks.ops.space_to_depth import DepthToSpace, SpaceToDepth
from explorer.space.conditions.numbers import Sum
from explorer.space.conditions.place_numbers import PlaceNumbers, UnknownNumber, block_of, stage_of
from explorer.space.conditions.truths import Open, Truths
from explorer.space.constants import constants
from explorer.space.further_nodes import ByPlace, ForkItem, TapItem, UnitEnd
from explorer.space.grammar import (
    Alternatives,
    Broken,
    Grammar,
    Group,
    MergeItem,
    Node,
    OpItem,
    Point,
    Reference,
    Repeat,
    reachable,
)


class Tapped(NamedTuple):
    """A tensor that a tap keeps.

    Attributes:
        channels: Its channels.
        unless: Truths of which one holds if a network with the unit does not have the tap.
    """

    channels: Sum
    unless: tuple[bool | Open, ...]


@dataclass
class _Row:
    """What is known while the layers of a unit are read.

    Attributes:
        unit: The unit.
        entered: The channels that arrive at the residual unit.
        arriving: The channels that arrive at the row of layers, the variable ``c``.
        unless: As in ``Tapped``.
        kept: Name of a tap -> the channels of its tensor.
        found: Name of a tap -> its tensors.
    """

    unit: str
    entered: Sum
    arriving: Sum
    unless: tuple[bool | Open, ...] = ()
    kept: dict[str, Sum] = field(default_factory=dict)
    found: dict[str, list[Tapped]] = field(default_factory=dict)


class Channels(PlaceNumbers):
    """The channels of one space. The arguments are those of ``PlaceNumbers``."""

    def __init__(self, grammar: Grammar, truths: Truths):
        super().__init__(grammar, truths)
        self._units: dict[str, tuple[Sum, dict[str, list[Tapped]]]] = {}
        self._with_taps: dict[Node, bool] = {}

    def arriving(self, unit: str) -> Sum:
        """Return the channels that arrive at a unit.

        Raises:
            UnknownNumber: They depend on more than the choices.
        """
        k, j = stage_of(unit), block_of(unit)
        if unit == "stem":
            return self.numbers.constant(self.grammar.input.channels)
        if unit == "head":
            return self._after_stage(len(self.grammar.stages))
        if j > 1:
            for earlier in range(1, j):  # one by one, as a stage may have thousands of blocks
                self._after(f"stage{k}.block{earlier}")
            return self._after(f"stage{k}.block{j - 1}")
        if k > 1 and self.grammar.transition is not None and not unit.endswith(".transition"):
            return self._after(f"stage{k}.transition")
        return self._after_stage(k - 1)

    def tapped(self, name: str, unit: str) -> list[Tapped]:
        """Return the tensors that the taps of a name keep in a unit. Raises UnknownNumber."""
        return self._unit(unit)[1].get(name, [])

    def _after_stage(self, k: int) -> Sum:
        if k == 0:
            return self._after("stem")
        return self.cases(self.of_stage("blocks", f"stage{k}"), lambda j: self._after(f"stage{k}.block{j}"))

    def _after(self, unit: str) -> Sum:
        return self._unit(unit)[0]

    def _unit(self, unit: str) -> tuple[Sum, dict[str, list[Tapped]]]:
        """Return the output channels of a unit, and its taps."""
        if unit not in self._units:
            x = self.arriving(unit)
            row = _Row(unit, x, x)
            y = self._row(self._expression(unit), x, row)
            self._units[unit] = y, row.found
        return self._units[unit]

    def _expression(self, unit: str) -> Node:
        grammar = self.grammar
        if unit.endswith(".transition"):
            assert grammar.transition is not None
            return grammar.transition
        if unit in ("stem", "head"):
            return grammar.stem if unit == "stem" else grammar.head
        rule = grammar.stages[stage_of(unit) - 1]
        return rule.first if block_of(unit) == 1 else rule.block

    def _row(self, node: Node, x: Sum, row: _Row) -> Sum:
        """Return the channels after layers, given those before them."""
        if isinstance(node, Group):
            for item in node.items:
                x = self._row(item, x, row)
            return x
        if isinstance(node, Reference):
            return self._row(self.grammar.rules[node.name], x, row)
        if isinstance(node, ByPlace):
            options = node.at(block_of(row.unit) if node.of == "block" else stage_of(row.unit))
            return self._row(options[0], x, row) if options else self.numbers.uncomputable
        if isinstance(node, Alternatives):
            return self._alternatives(node, x, row)
        if isinstance(node, Repeat):
            return self._repeated(node, x, row)
        if isinstance(node, ForkItem):
            return self._fork(node, x, row)
        if isinstance(node, TapItem):
            if node.kind == "from":
                return row.kept.get(node.name, self.numbers.uncomputable)
            row.kept[node.name] = x
            row.found.setdefault(node.name, []).append(Tapped(x, row.unless))
        elif isinstance(node, UnitEnd):
            row.entered = row.arriving = x
        elif isinstance(node, MergeItem):
            if node.merge.spelling == "cat":
                x = self.numbers.added(self._shortcut(row), x, 1)
            row.arriving = x
        elif isinstance(node, OpItem):
            return self._op(node, x, row)
        elif isinstance(node, Broken):
            return self.numbers.uncomputable
        return x

    def _alternatives(self, node: Alternatives, x: Sum, row: _Row) -> Sum:
        found, kept, unless, before = [], [], row.unless, row.kept
        for number, option in enumerate(node.options):
            row.kept = dict(before)
            row.unless = (*unless, *self._unless(node.point, row, [number], option))
            found.append(self._row(option, x, row))
            kept.append(row.kept)
        row.unless = unless
        row.kept = self._joined(node.point, kept, row)
        return self._of_choice(node.point, found, row)

    def _repeated(self, node: Repeat, x: Sum, row: _Row) -> Sum:
        after, kept, unless = [x], [row.kept], row.unless
        for times in range(1, max(node.counts) + 1):
            row.kept = dict(row.kept)
            if node.point is not None:
                enough = [number for number, count in enumerate(node.counts) if count >= times]
                row.unless = (*unless, *self._unless(node.point, row, enough, node.item))
            after.append(self._row(node.item, after[-1], row))
            kept.append(row.kept)
        row.unless = unless
        if node.point is None:
            return after[-1]
        row.kept = self._joined(node.point, [kept[count] for count in node.counts], row)
        return self._of_choice(node.point, [after[count] for count in node.counts], row)

    def _unless(self, point: Point, row: _Row, options: list[int], node: Node) -> list[bool | Open]:
        """Return whether a choice takes none of the alternatives that have the layers ``node``, if they have taps."""
        if node not in self._with_taps:
            nodes = reachable(self.grammar.rules, [node])
            self._with_taps[node] = any(isinstance(each, TapItem) and each.kind == "tap" for each in nodes)
        if not self._with_taps[node]:
            return []
        others = [number for number in range(len(point.options)) if number not in options]
        return [self.truths.among(self.choice(point, row.unit), others)]

    def _of_choice(self, point: Point, found: list[Sum], row: _Row) -> Sum:
        return found[0] if len(set(found)) == 1 else self.picked(self.choice(point, row.unit), found)

    def _joined(self, point: Point, several: list[dict[str, Sum]], row: _Row) -> dict[str, Sum]:
        """Return the tensors that taps keep after a choice, given those after each alternative."""
        names = dict.fromkeys(name for kept in several for name in kept)
        nothing = self.numbers.uncomputable
        return {name: self._of_choice(point, [kept.get(name, nothing) for kept in several], row) for name in names}

    def _fork(self, node: ForkItem, x: Sum, row: _Row) -> Sum:
        numbers, outer, found = self.numbers, row.arriving, list[Sum]()
        shares = numbers.constant(len(node.paths))
        for number, path in enumerate(node.paths, 1):
            start = self._share(x, number, shares) if node.join == "split" else x
            row.arriving = start
            found.append(self._row(path, start, row))
        row.arriving = outer
        if node.join in ("cat", "split"):
            total = found[0]
            for each in found[1:]:
                total = numbers.added(total, each, 1)
            return total
        widest = found[0]
        for each in found[1:]:  # a path of one channel is repeated
            widest = widest if each is widest else numbers.apply("max", widest, each)
        return widest

    def _share(self, x: Sum, number: int, shares: Sum) -> Sum:
        """Return the channels of a share; the first one has the remainder."""
        numbers = self.numbers
        each = numbers.apply("//", x, shares)
        if number > 1:
            return each
        others = numbers.apply("*", each, numbers.added(shares, numbers.constant(1), -1))
        return numbers.added(x, others, -1)

    def _op(self, node: OpItem, x: Sum, row: _Row) -> Sum:
        """Return the output channels of an op. Ops without the argument ``out`` keep the channels, but for a few."""
        numbers, op = self.numbers, node.op
        given = {argument.name: value for argument, value in node.arguments}

        def number(name: str) -> Sum:
            return self.number(given[name], row.unit, row.arriving)

        if "out" in given:
            return number("out")
        if op is Part:
            shares = number("n")
            return self.cases(number("k"), lambda k: self._share(x, k, shares))
        if op is Slice:
            return numbers.added(number("b") if "b" in given else x, number("a"), -1)
        if op in (SpaceToDepth, DepthToSpace):
            side = number("r") if "r" in given else numbers.constant(2)
            return numbers.apply("*" if op is SpaceToDepth else "/", x, numbers.apply("*", side, side))
        if op is DepthwiseConv or all(argument.name != "out" for argument in op.arguments):
            return x
        return numbers.constant(self.grammar.classes) if op is Linear else self.of_stage("width", row.unit)

    def _shortcut(self, row: _Row) -> Sum:
        """Return the channels of the shortcut at a ``cat``. Raises UnknownNumber."""
        k, j = stage_of(row.unit), block_of(row.unit)
        rule = self.grammar.stages[k - 1]
        strides = constants(rule.stride, self.grammar.rules, k)
        keeps = j > 1 or strides == {1} or (k > 1 and self._takes_stride(self.grammar.transition))
        changes = j == 1 and bool(strides) and min(strides) > 1 and (k == 1 or self.grammar.transition is None)
        found = set()
        for shortcut in rule.shortcuts.values():
            for part, is_used in ((shortcut.same, not changes), (shortcut.changed, not keeps)):
                if part is not None and is_used:
                    found.add(self._row(part, row.entered, _Row(row.unit, row.entered, row.entered)))
        if len(found) != 1:
            raise UnknownNumber(f"the channels after 'cat' in stage {k} depend on which shortcut a block has")
        return found.pop()

    def _takes_stride(self, node: Node | None) -> bool:
        """Whether a layer takes the stride, whatever the choices are."""
        if isinstance(node, Reference):
            return self._takes_stride(self.grammar.rules[node.name])
        if isinstance(node, (Alternatives, ByPlace)):
            return all(map(self._takes_stride, node.options))
        if isinstance(node, Repeat):
            return node.counts[0] > 0 and self._takes_stride(node.item)
        if isinstance(node, (Group, ForkItem)):
            return any(map(self._takes_stride, node.children))
        return isinstance(node, OpItem) and (
            bool(node.op.takes_stride) or any(argument.field == "stride" for argument, _ in node.arguments)
        )

"""Conditions at each place where they hold: names of the file become names of choices.

A condition over bare names that vary by stage or block holds in every stage or block that can use all of its names, or
in every one if none can. The blocks of a stage share one truth, in which ``stage2.*`` stands for the block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from explorer.networks.architecture import MAX_BLOCKS
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
from explorer.space.conditions.channels import Channels, Tapped
from explorer.space.conditions.names import TAPPED, Meaning, Meanings
from explorer.space.conditions.numbers import Sum
from explorer.space.conditions.place_numbers import block_of
from explorer.space.conditions.truths import Open, Truths
from explorer.space.grammar import SCOPES, Grammar, Point

ANY_BLOCK = "*"


class _Absent(Exception):
    """A unit cannot have the choice."""


class Instances:
    """The truths of the conditions of one space.

    Args:
        grammar: The space.
        truths: Makes the truths.
    """

    def __init__(self, grammar: Grammar, truths: Truths):
        self._grammar, self._truths = grammar, truths
        self._meanings = Meanings(grammar)
        self._places = Channels(grammar, truths)

    @property
    def points(self) -> dict[str, Point]:
        """Name of a choice in a truth -> its choice point."""
        return self._places.points

    @property
    def stages(self) -> dict[str, int]:
        """Name of a choice in a truth -> its stage, as in ``PlaceNumbers``."""
        return self._places.stages

    def of(self, truth: Tree) -> Iterator[bool | Open]:
        """Yield what must hold, for every place; what is joined by ``and`` one by one."""
        if isinstance(truth, Joined) and truth.every:
            for part in truth.parts:
                yield from self.of(part)
            return
        for unit in self._units(truth):
            made = self._truth(truth, unit)
            names = made.names if isinstance(made, Open) else ()
            own = f"@{unit}" if ".block" in unit else f".{ANY_BLOCK}"
            of_block = sorted(name for name in names if name.endswith(own))
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
        if any(means.is_numbered for _, means in names):
            inside = [f"stage{k}{part}" for k in stages for part in (".transition", *self._blocks(k))]
        elif scope == "block":
            inside = [f"stage{k}{part}" for k in stages for part in ("", ".transition", f".{ANY_BLOCK}")]
        outside = [] if any(means.kind in ("stage", "block") for _, means in bare) else ["stem", "head"]
        within = {named.at for named, _ in bare if named.at}
        units = [unit for unit in [*inside, *outside] if within <= {unit.split(".")[0]}]
        return [unit for unit in units if all(self._can_use(means, unit) for _, means in bare)] or units

    def _blocks(self, k: int) -> list[str]:
        """Return the ends of the names of all blocks that stage ``k`` can have."""
        bounds = self._places.of_stage("blocks", f"stage{k}").bounds
        most = MAX_BLOCKS if bounds is None else min(int(bounds[1]), MAX_BLOCKS)
        return [f".block{j}" for j in range(1, most + 1)]

    def _can_use(self, means: Meaning, unit: str) -> bool:
        if means.kind in ("stage", "block", "blocks"):
            return not means.is_numbered or ".block" in unit
        if means.kind == "tap":
            return f"{means.name}{TAPPED}" in self._meanings.reached(unit)
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
                return self._compared(tree, unit)
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

    def _compared(self, tree: Compared, unit: str) -> bool | Open:
        """Return whether a relation holds, for each tensor that a tap of the unit keeps; true without the block.

        Raises:
            _Absent: If the unit cannot have a name.
        """
        truths, places = self._truths, self._places
        names = names_in(tree)
        units = {self._unit(named, unit) for named in names if self._meaning(named).is_numbered}
        without = [
            truths.compared("<", places.of_stage("blocks", each), places.numbers.constant(j))
            for each in units
            if ".block" in each and (j := block_of(each))
        ]
        taps = [named for named in names if self._meaning(named).kind == "tap"]
        found = [places.tapped(self._meaning(named).name, self._unit(named, unit)) for named in taps]
        made = []
        for tensors in product(*found):
            values = dict(zip(taps, tensors))
            left, right = self._value(tree.left, unit, values), self._value(tree.right, unit, values)
            unless = [truth for each in tensors for truth in each.unless]
            made.append(truths.joined(False, [truths.compared(tree.relation, left, right), *unless, *without]))
        return truths.joined(True, made)

    def _point(self, named: Named, unit: str) -> tuple[str, Point]:
        """Return the choice of a name, and its point. Raises _Absent."""
        place = self._unit(named, unit)
        point = self._meanings.point(named.name, place)
        if point is None:
            raise _Absent
        return self._places.choice(point, place), point

    def _value(self, value: Value, unit: str, taps: Mapping[Named, Tapped]) -> Sum:
        places, numbers = self._places, self._places.numbers
        if isinstance(value, Constant):
            return numbers.constant(value.value)
        if isinstance(value, Computed):
            return numbers.apply(
                value.operator, self._value(value.left, unit, taps), self._value(value.right, unit, taps)
            )
        if value in taps:
            return taps[value].channels
        means, place = self._meaning(value), self._unit(value, unit)
        if means.kind == "blocks":
            return places.total()
        if means.kind == "stage":
            return places.of_stage(means.name, place)
        if means.kind == "block":
            return places.variable(means.name, place)
        if means.name in self._grammar.rules:
            return places.number(self._grammar.rules[means.name], place)
        point = self._meanings.point(means.name, place)
        if point is None:
            raise _Absent
        return places.number(self._meanings.node(point), place)

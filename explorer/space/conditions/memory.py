"""What a walk through a space remembers for its conditions: those that the choices so far do not decide.

Known choices are put into the conditions, so that a sum over stages is one number, and walks whose open conditions are
equal have equal memories. Choices that cannot be made any more leave the conditions satisfied that are about them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from explorer.space.choices import choice_name
from explorer.space.conditions.instances import ANY_BLOCK, Instances
from explorer.space.conditions.numbers import NOTHING, Names
from explorer.space.conditions.place_numbers import UnknownNumber
from explorer.space.conditions.tied_choices import TiedChoices
from explorer.space.conditions.truths import Open, Truths
from explorer.space.grammar import Grammar, Point

Opened = frozenset[tuple[int, Open]]  # the number of the condition in the space, and what is left of it
Known = tuple[int, bool | Open]
NONE: Opened = frozenset()


class Memory(NamedTuple):
    """The open conditions.

    Attributes:
        whole: Those of the network, and those of the blocks of later units.
        here: Those of the current block.
    """

    whole: Opened
    here: Opened


NOTHING_OPEN = Memory(NONE, NONE)


class Violated(NamedTuple):
    """The number of a condition that the choices violate."""

    number: int


class Conditions:
    """The conditions of one space.

    Args:
        grammar: The space.

    Attributes:
        names_blocks: Whether a condition names the number of a block.
        start: What a walk remembers before its first choice, or the condition that no network satisfies.
    """

    def __init__(self, grammar: Grammar):
        self._truths = Truths()
        self._instances = Instances(grammar, self._truths)
        self._last = len(grammar.stages) + 1
        found: list[tuple[int, bool | Open]] = []
        for number, each in enumerate(grammar.where):
            try:
                found += [(number, truth) for truth in self._instances.of(each.truth)]
            except UnknownNumber as error:
                raise grammar.error(f"{each.text}: {error}", each.place) from None
        names = NOTHING.union(*(truth.names for _, truth in found if isinstance(truth, Open)))
        self._any_block = frozenset(name for name in names if name.endswith(f".{ANY_BLOCK}"))
        self.names_blocks = any(re.search(r"\.block[0-9]", name) for name in names)
        self.start: Memory | Violated = _with(NOTHING_OPEN, found, [])

    def tied_choices(self, is_free: Callable[[Point, int], bool]) -> TiedChoices:
        """Return the choices that can be drawn within their conditions, before a walk.

        Args:
            is_free: Whether as many walks follow each option of a choice, given its point and its stage from 1: 0 in
                the stem, -1 for a choice of the network.
        """
        opened = () if isinstance(self.start, Violated) else {truth for _, truth in self.start.whole}
        points, stages, sure = self._instances.points, self._instances.stages, self._truths.sure
        return TiedChoices(opened, self._truths, lambda name: name in sure and is_free(points[name], stages[name]))

    @property
    def work(self) -> int:
        """How many conditions were evaluated so far."""
        return self._truths.work

    def answered(self, memory: Memory, unit: str, name: str, point: Point) -> list[Memory | Violated]:
        """Return what is remembered after each alternative of a choice. Arguments: as in ``after``."""
        if not self._are_about(memory, unit, name, point):
            return [memory] * len(point.options)
        return [self.after(memory, unit, name, point, option) for option in range(len(point.options))]

    def after(self, memory: Memory, unit: str, name: str, point: Point, option: int) -> Memory | Violated:
        """Return what is remembered after an alternative of a choice.

        Args:
            memory: What was remembered before.
            unit: The unit, as in the names of choices.
            name: The name of the choice.
            point: Its choice point.
            option: The alternative, from 0.
        """
        own, put = self._own_name(unit, name, point), self._truths.put
        whole = [each for each in memory.whole if name in each[1].names]
        here = [each for each in memory.here if name in each[1].names or own in each[1].names]
        if not whole and not here:
            return memory
        rest = Memory(memory.whole.difference(whole), memory.here.difference(here))
        known = [(number, put(truth, name, option)) for number, truth in whole]
        known_here = [(number, put(put(truth, name, option), own, option)) for number, truth in here]
        return _with(rest, known, known_here)

    def _own_name(self, unit: str, name: str, point: Point) -> str:
        """Return the name of a choice in conditions of its block."""
        if point.scope == "block" and ".block" in unit:
            return choice_name(point, f"{unit.split('.')[0]}.{ANY_BLOCK}")
        return name

    def _are_about(self, memory: Memory, unit: str, name: str, point: Point) -> bool:
        """Whether a choice changes what is remembered."""
        names = {name, self._own_name(unit, name, point)}
        return any(name in truth.names for _, truth in memory.whole) or any(
            not names.isdisjoint(truth.names) for _, truth in memory.here
        )

    def forget(self) -> None:
        """Drop what was computed for earlier walks."""
        self._truths.forget()

    def entered(self, memory: Memory, unit: str) -> Memory:
        """Return what is remembered at the beginning of another unit."""
        if not self._any_block:
            return memory
        whole = memory.whole | self._without(memory.here, self._any_block)
        own = f"@{unit.split('.')[0]}.{ANY_BLOCK}"
        if ".block" not in unit:
            return Memory(whole, NONE)
        return Memory(whole, frozenset(each for each in whole if any(name.endswith(own) for name in each[1].names)))

    def closed(self, unit: str, askable: frozenset[Point]) -> Names:
        """Return the choices that cannot be made any more.

        Args:
            unit: The current unit.
            askable: The choice points that can follow.
        """
        stage = self.stage(unit)
        instances = self._instances
        return frozenset(
            name
            for name, own in instances.stages.items()
            if (own < stage if own >= 0 else instances.points[name] not in askable)
        )

    def close(self, memory: Memory, names: Names) -> Memory:
        """Return what is remembered if the network does not have these choices, as far as they are not made."""
        return Memory(self._without(memory.whole, names), self._without(memory.here, names))

    def stage(self, unit: str) -> int:
        """Return the stage of a unit, from 1: 0 for the stem, the number of stages + 1 for the head and the end."""
        number = unit.split(".")[0].removeprefix("stage")
        return int(number) if number.isdigit() else 0 if unit == "stem" else self._last

    def _without(self, opened: Opened, names: Names) -> Opened:
        if all(names.isdisjoint(truth.names) for _, truth in opened):
            return opened
        closed = [(number, self._truths.close(truth, names)) for number, truth in opened]
        return frozenset((number, truth) for number, truth in closed if isinstance(truth, Open))


def _with(memory: Memory, whole: list[Known], here: list[Known]) -> Memory | Violated:
    """Return what is remembered with further conditions."""
    violated = [number for number, truth in (*whole, *here) if truth is False]
    if violated:
        return Violated(min(violated))
    return Memory(
        memory.whole.union([(number, truth) for number, truth in whole if isinstance(truth, Open)]),
        memory.here.union([(number, truth) for number, truth in here if isinstance(truth, Open)]),
    )

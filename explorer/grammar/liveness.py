"""Which answers of a walk are live, that is, may still matter: all others are forgotten, so that states merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.grammar.asks import Asks, reach
from explorer.grammar.states import Answers, State
from explorer.grammar.tree import Point

if TYPE_CHECKING:
    from explorer.grammar.space import SearchSpace

Points = frozenset[Point]
Unit = tuple[str, int]  # kind and stage of a state


class Liveness:
    """``later``, ``here`` and ``exact``: for each unit the points that later units may ask, those that its own end
    needs answered, and those of which it or a later unit needs the very option.

    ``shaping``: the points that can change a shape, where states carry shapes; None where they do not.
    """

    def __init__(self, space: SearchSpace, asks: Asks, shaping: Points | None):
        self._points = space.points
        self._asks = asks
        self._passing = asks.answered_once()
        self._shortcuts = [frozenset().union(*map(reach, parts.values())) for parts in asks.shortcuts]
        self.later: dict[Unit, Points] = {("head", 0): frozenset()}
        here: dict[Unit, Points] = {("head", 0): reach(asks.head), ("stem", 0): reach(asks.stem)}
        stages = len(space.stages)
        after = reach(asks.head)
        for k in range(stages, 0, -1):
            here["block", k] = here["block's shortcut", k] = reach(asks.blocks[k - 1]) | self._shortcuts[k - 1]
            here["first", k] = here["first's shortcut", k] = reach(asks.firsts[k - 1]) | self._shortcuts[k - 1]
            here["transition", k] = reach(asks.transition) if k > 1 else frozenset()
            here["numbers", k] = reach(asks.numbers[k - 1])
            in_stage = here["block", k]  # a block may be followed by its like
            for kind in ("block", "first", "transition", "numbers"):
                network = {point for point in after | in_stage if point.scope == "network"}
                self.later[kind, k] = frozenset(network | {point for point in in_stage if point.scope == "stage"})
                in_stage |= here[kind, k]
            for kind in ("block", "first"):
                self.later[f"{kind}'s shortcut", k] = self.later[kind, k]
            after |= in_stage
        self.later["stem", 0] = frozenset(point for point in after if point.scope == "network")
        here["numbers", 1] |= here["stem", 0]  # the stem's shape is known once the first stage's width is
        if shaping is None:  # then only a stage's numbers are needed at their unit's end: how many blocks follow
            here, shaping = dict.fromkeys(here, frozenset()), frozenset()
        numbers = {("numbers", k): reach(of_stage) for k, of_stage in enumerate(asks.numbers, 1)}
        shaping = shaping.union(*numbers.values())
        self.here = {unit: (points & shaping) | numbers.get(unit, frozenset()) for unit, points in here.items()}
        after = self.here["head", 0]
        self.exact: dict[Unit, Points] = {("head", 0): after}
        for k in range(stages, 0, -1):
            for kind in ("block's shortcut", "block", "first's shortcut", "first", "transition", "numbers"):
                self.exact[kind, k] = after = after | self.here[kind, k]
        self.exact["stem", 0] = after | self.here["stem", 0]

    def kept(self, state: State, asked: Points) -> Answers:
        """The answers that may still matter: to what is ``asked`` in this unit, at its end, or in a later one."""
        unit = state.kind, state.stage
        here, later, exact = self.here[unit], self.later[unit], self.exact[unit]
        within = self._shortcuts[state.stage - 1] if state.kind in ("first", "block") else ()
        kept = []
        for number, occurrence, option in state.answers:
            point = self._points[number]
            if point not in exact:
                if point in self._passing:
                    continue
                option = self._asks[point].like[option]
            reached = point.scope != "use" and (point in asked or point in within)
            if reached or point in here or point in later or occurrence < 0:
                kept.append((number, occurrence, option))
        return tuple(kept)

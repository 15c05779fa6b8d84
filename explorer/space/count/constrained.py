"""The derivations of a space with conditions: walks that no condition excludes.

A decision also has what is left of the conditions after the choices so far (``Memory``). An option that violates one
leads to a dead end, from which no walk starts; an option that leads to dead ends only is not offered.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Hashable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from explorer.space.choices import Choice, Derivation, NarrowedChoice
from explorer.space.conditions.memory import NOTHING_OPEN, Conditions, Memory, Violated
from explorer.space.conditions.numbers import Names
from explorer.space.conditions.tied_choices import TiedChoices
from explorer.space.count.decision import Decision, Uses, unit_of, uses_after
from explorer.space.count.decisions import (
    MAX_COUNTED,
    MAX_KEPT,
    QUICK_WORK,
    Decisions,
    Fixed,
    Progress,
    TooMuchWork,
)
from explorer.space.count.questions import BLOCK_KINDS, END, State
from explorer.space.count.walks import Found
from explorer.space.grammar import Grammar, Point

MAX_WORK = 600_000  # options followed and conditions evaluated, some five seconds
# Spaces are not counted slowly if so many of some random walks satisfy the conditions.
ENOUGH_WALKS, TRIED_WALKS = 3, 1_500
MAX_TRIED = 50_000  # decisions of a search for a network with some options
_log = logging.getLogger(__name__)


class _Place(NamedTuple):
    """The decisions of one state.

    Attributes:
        state: The state.
        blocks: As in ``Decision``.
        uses: As in ``Decision``.
        unit: The unit, as in the names of choices.
        closed: The choices that cannot follow.
        decisions: Open conditions -> the decision.
    """

    state: State
    blocks: int
    uses: Uses
    unit: str
    closed: Names
    decisions: dict[Memory, Decision]


class ConstrainedDecisions(Decisions):
    """The derivations of one space with conditions.

    Args:
        grammar: The space.

    Attributes:
        counted: Decisions of networks, one of all that differ only in the number of a block.
    """

    def __init__(self, grammar: Grammar):
        super().__init__(grammar)
        self.counted: list[Decision] = []
        self._conditions = Conditions(grammar)
        self._sizes: dict[Hashable, int] = {}  # the number of walks from a decision
        self._places: dict[tuple[State, int, Uses], _Place] = {}
        self._dead_ends: dict[int, Decision] = {}
        self._options = 0  # followed so far
        self._kept = 0  # decisions
        self._tying = 0  # work of tied choices, which is no work of a walk

    @cached_property
    def first(self) -> Decision:
        start = self._conditions.start
        if isinstance(start, Violated):
            return self._dead_end(start)
        return self._at(self._place(*self.automaton.start, ()), "", start)

    @cached_property
    def is_counted(self) -> bool:
        if not self.has_many_units:
            try:
                self.count(QUICK_WORK)
            except TooMuchWork:
                pass
            else:
                return True
        return not self._are_drawn_quickly() and self._is_counted_slowly()

    def _are_drawn_quickly(self) -> bool:
        """Whether random walks without regard for the conditions often satisfy them."""
        return len(self.random_walks.up_to(ENOUGH_WALKS, math.inf, tried=TRIED_WALKS)) == ENOUGH_WALKS

    def _is_counted_slowly(self) -> bool:
        source = self.grammar.source
        _log.warning("%s: few random networks satisfy the conditions, so they are counted; this takes seconds", source)
        try:
            self.count(MAX_WORK)
        except TooMuchWork:
            raise self.grammar.error(
                "the conditions tie too many choices together to count the networks: more than"
                f" {MAX_WORK:,} steps; write conditions over fewer choices or alternatives",
                self.grammar.places["where"],
            ) from None
        return True

    @cached_property
    def _tied(self) -> TiedChoices:
        """The choices that are drawn within their conditions."""
        before = self._conditions.work
        made = self._conditions.tied_choices(self.bounds.is_free)
        self._tying = self._conditions.work - before
        return made

    @property
    def walks(self) -> int:
        return int(self.bound * self._tied.share)  # a whole number: as many walks follow each option of tied choices

    @property
    def walks_are_derivations(self) -> bool:
        return super().walks_are_derivations and self._tied.are_all

    def random_walk(self, source: random.Random) -> Found | None:
        index = source.randrange(self.bound)
        return self._find_in_bounds(index, self._tied.draw(source)) if self._tied.share else None

    @property
    def walk_work(self) -> int:
        return super().walk_work + self._conditions.work - self._tying

    def count(self, most: float = math.inf, progress: Progress = lambda states: None) -> int:
        return self._count(self.first, most, progress)

    def size(self, decision: Decision) -> int:
        if decision.violated is not None:
            return 0
        return self._count(decision) if self.is_counted else self.bounds.of(decision.state)

    def _count(self, goal: Decision, most: float = math.inf, progress: Progress = lambda states: None) -> int:
        walks, stack = self._sizes, [goal]
        while stack:
            top = stack[-1]
            key = self._key(top)
            if key in walks:
                stack.pop()
                continue
            following = self.follow(top)
            missing = [each for each in following if self._key(each) not in walks]
            if missing:
                stack.extend(missing)
                continue
            own = sum(walks[self._key(each)] for each in following) if top.choice else int(top.violated is None)
            walks[key] = own
            stack.pop()
            progress(len(walks))
            if own and top.choice:
                self.counted.append(top)
            self._options += len(following)
            if self._options + self._conditions.work > most:
                raise TooMuchWork
            if len(walks) > MAX_COUNTED:
                raise self.grammar.error(
                    f"counting needs more than {MAX_COUNTED:,} states: the conditions tie too many choices together",
                    self.grammar.places["where"],
                )
        return walks[self._key(goal)]

    def _key(self, decision: Decision) -> Hashable:
        """Return what the number of walks from a decision depends on: not the number of a block, if no condition
        names one."""
        if decision.choice is None or self._conditions.names_blocks:
            return decision
        return decision.state, decision.memory

    def follow(self, decision: Decision) -> tuple[Decision, ...]:
        if decision.following is None:
            assert decision.point is not None and decision.choice is not None
            uses = uses_after(decision)
            alike = self.automaton.alike(decision.state)
            memories = self._conditions.answered(decision.memory, decision.unit, decision.choice.name, decision.point)
            places: dict[int, _Place] = {}
            made = []
            for like, memory in zip(alike, memories):
                if isinstance(memory, Violated):  # the network need not be one that can be built
                    made.append(self._dead_end(memory))
                    continue
                if like not in places:
                    state, blocks = self.automaton.answered(decision.state, like)
                    places[like] = self._place(state, blocks or decision.blocks, uses(state))
                made.append(self._at(places[like], decision.unit, memory))
            decision.following = tuple(made)
        return decision.following

    def _step(self, decision: Decision, option: int) -> Decision:
        assert decision.point is not None and decision.choice is not None
        memory = self._conditions.after(decision.memory, decision.unit, decision.choice.name, decision.point, option)
        if isinstance(memory, Violated):
            return self._dead_end(memory)
        if self._kept > MAX_KEPT:
            self._forget()
        state, blocks = self.automaton.answered(decision.state, self.automaton.alike(decision.state)[option])
        return self._at(
            self._place(state, blocks or decision.blocks, uses_after(decision)(state)), decision.unit, memory
        )

    def _forget(self) -> None:
        super()._forget()
        self._places = {}
        self._kept = 0
        self._conditions.forget()

    def offered(self, decision: Decision) -> Choice | None:
        if decision.choice is None:
            return None
        return NarrowedChoice.of(decision.choice, lambda: self._open(decision))

    def _open(self, decision: Decision) -> list[bool]:
        """Return for each option whether a network has it; without counts, whether it violates no condition at once."""
        if self.is_counted:
            self.measure(decision)
            return [start < end for start, end in pairwise(decision.starts)]
        assert decision.point is not None and decision.choice is not None
        memories = self._conditions.answered(decision.memory, decision.unit, decision.choice.name, decision.point)
        return [not isinstance(memory, Violated) for memory in memories]

    def decisions(self) -> Iterator[Decision]:
        """Return all decisions of networks, each before its successors."""
        return (decision for decision in super().decisions() if self._count(decision))

    @property
    def excluding(self) -> frozenset[int]:
        """The numbers of the conditions that exclude networks, of several that exclude the same the first."""
        self.count()
        return frozenset(self._dead_ends)

    def first_with(self, fixed: Fixed) -> Derivation:
        """Return the derivation of the lowest rank with some options.

        Raises:
            SpaceError: If the conditions leave none.
        """
        tried: set[Decision] = set()
        path: list[tuple[str, str, Iterator[tuple[str, Decision]]]] = []  # choice, option, further options
        decision = self.first
        while (choice := decision.choice) is not None and len(tried) < MAX_TRIED:
            path.append((choice.name, "", self._options_with(decision, fixed(choice))))
            while path:
                name, _, rest = path.pop()
                found = next(((o, then) for o, then in rest if then not in tried and self._may_end(then)), None)
                if found is not None:
                    path.append((name, found[0], rest))
                    decision = found[1]
                    tried.add(decision)
                    break
            else:
                break
        if decision.choice is None and path:
            return Derivation({name: option for name, option, _ in path})
        return self.walk(lambda choice: fixed(choice) or choice.allowed[0])  # raises the error

    def _options_with(self, decision: Decision, wanted: str | None) -> Iterator[tuple[str, Decision]]:
        """Yield the options of a choice, or only the wanted one, each with the next decision."""
        assert decision.choice is not None
        for number, option in enumerate(decision.choice.options):
            if wanted in (None, option):
                yield option, self.then(decision, number)

    def _may_end(self, decision: Decision) -> bool:
        """Whether a network has this decision; without counts, whether no condition is violated yet."""
        return self.size(decision) > 0 if self.is_counted else decision.violated is None

    def _place(self, state: State, blocks: int, uses: Uses) -> _Place:
        """Return the decisions of a state."""
        key = state, blocks if state.kind in ("transition", *BLOCK_KINDS) else 0, uses
        if key not in self._places:
            unit = unit_of(state, key[1])
            closed = self._conditions.closed(unit, self._askable(state)) if state.kind != "end" else frozenset()
            self._places[key] = _Place(*key, unit, closed, {})
        return self._places[key]

    def _at(self, place: _Place, before: str, memory: Memory) -> Decision:
        """Return the decision of a state with open conditions; ``before``: the unit of the decision before it."""
        if place.state.kind == "end":
            memory = NOTHING_OPEN
        else:
            if place.unit != before:
                memory = self._conditions.entered(memory, place.unit)
            memory = self._conditions.close(memory, place.closed)
        if memory not in place.decisions:
            self._kept += 1
            place.decisions[memory] = Decision(place.state, place.blocks, place.uses, memory)
        return place.decisions[memory]

    def _dead_end(self, violated: Violated) -> Decision:
        number = violated.number
        if number not in self._dead_ends:
            self._dead_ends[number] = Decision(END, 0, (), NOTHING_OPEN, number)
        return self._dead_ends[number]

    def _askable(self, state: State) -> frozenset[Point]:
        """Return the choice points that can follow."""
        points = self.automaton.reachability.later[state.kind, state.stage]
        if state.pending is not None:
            points |= state.pending.reach
        if state.kind in BLOCK_KINDS:
            parts = self.automaton.questions.shortcuts[state.stage - 1].values()
            points = points.union(*(question.reach for part in parts for question in part))
        return points

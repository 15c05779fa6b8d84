"""The derivations of a space with conditions: walks that no condition excludes.

A decision also has what is left of the conditions after the choices so far (``Memory``). An option that violates one
leads to a dead end, from which no walk starts; an option that leads to dead ends only is not offered.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import cached_property
from typing import NamedTuple

from explorer.space.choices import Choice, Derivation, NarrowedChoice
from explorer.space.conditions.memory import NOTHING_OPEN, Conditions, Memory, Violated
from explorer.space.conditions.numbers import Names
from explorer.space.count.decisions import Decision, Decisions, Fixed, Uses, unit_of, uses_after
from explorer.space.count.questions import BLOCK_KINDS, END, State
from explorer.space.grammar import Grammar, Point

MAX_WORK = 600_000  # options followed and conditions evaluated, some five seconds


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
        self._walks: dict[Hashable, int] = {}  # the number of walks from a decision
        self._places: dict[tuple[State, int, Uses], _Place] = {}
        self._dead_ends: dict[int, Decision] = {}
        self._options = 0  # followed so far

    @cached_property
    def first(self) -> Decision:
        start = self._conditions.start
        if isinstance(start, Violated):
            return self._dead_end(start)
        return self._at(self._place(*self.automaton.start, ()), "", start)

    def count(self, state: State | None = None) -> int:
        """Return the number of derivations.

        Raises:
            SpaceError: If counting needs too many decisions, or a state makes no network.
        """
        assert state is None
        return self._count(self.first)

    def _count(self, goal: Decision) -> int:
        walks, stack = self._walks, [goal]
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
            if own and top.choice:
                self.counted.append(top)
            self._options += len(following)
            if self._options + self._conditions.work > MAX_WORK:
                raise self.grammar.error(
                    "the conditions tie too many choices together to count the networks: more than"
                    f" {MAX_WORK:,} steps; write conditions over fewer choices or alternatives",
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

    def measure(self, decision: Decision) -> None:
        decision.sizes = tuple(map(self._count, self.follow(decision)))

    def offered(self, decision: Decision) -> Choice | None:
        choice = decision.choice
        if choice is None:
            return None
        if not decision.sizes:
            self.measure(decision)
        if all(decision.sizes) or not any(decision.sizes):
            return choice
        closed = (option for option, size in zip(choice.options, decision.sizes) if not size)
        return NarrowedChoice.of(choice, frozenset(closed))

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
        while (choice := decision.choice) is not None:
            wanted = fixed(choice)
            options = zip(choice.options, self.follow(decision))
            path.append((choice.name, "", iter([each for each in options if wanted in (None, each[0])])))
            while path:
                name, _, rest = path.pop()
                found = next(((o, then) for o, then in rest if then not in tried and self._count(then)), None)
                if found is not None:
                    path.append((name, found[0], rest))
                    decision = found[1]
                    tried.add(decision)
                    break
            else:
                return self.walk(lambda choice: fixed(choice) or choice.allowed[0])  # raises the error
        return Derivation({name: option for name, option, _ in path})

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

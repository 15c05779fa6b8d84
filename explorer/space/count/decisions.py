"""The derivations of a space: counting, ranking, unranking and walking them.

A derivation is a walk through the space's automaton. Counting is dynamic programming over its states in Python
integers: answers that no longer affect anything are dropped, so that states merge. If this takes many steps, indices
are numbers below an upper bound of the count (``Bounds``), and some of them belong to no derivation.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import accumulate

from explorer.errors import SpaceError
from explorer.space.choices import Choice, Chooser, Derivation
from explorer.space.count.automaton import Automaton
from explorer.space.count.bounds import Bounds
from explorer.space.count.coverage import Coverage
from explorer.space.count.decision import Decision, Uses, exclusion, uses_after
from explorer.space.count.questions import BLOCK_KINDS, END, State
from explorer.space.count.walks import MAX_DRAWS, Found, RandomWalks
from explorer.space.grammar import Grammar

Progress = Callable[[int], object]
Fixed = Callable[[Choice], str | None]
MAX_COUNTED = 500_000
QUICK_WORK = 12_000  # some 0.15 s
QUICK_COVERAGE = 110_000  # some 0.2 s
NODES_PER_STEP = 2  # nodes that are read for shapes in the time of one step of a walk
MAX_KEPT = 20_000  # decisions that are kept for further walks, if they are not counted
NOTHING_GIVEN: Mapping[str, int] = {}


class TooMuchWork(Exception):
    """Counting takes more work than allowed."""


class Decisions:
    """The derivations of one space.

    Args:
        grammar: The space.

    Attributes:
        steps: The number of decisions of walks at an index so far.
    """

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        self.steps = 0
        self._counts: dict[State, int] = {END: 1}  # by state, filled when needed
        self._decisions: dict[tuple[State, int, Uses], Decision] = {}

    @cached_property
    def automaton(self) -> Automaton:
        """The open questions. Raises SpaceError if the space cannot be walked."""
        return Automaton(self.grammar)

    @cached_property
    def bounds(self) -> Bounds:
        """Upper bounds of the numbers of walks."""
        return Bounds(self.automaton)

    @cached_property
    def coverage(self) -> Coverage:
        """All distinct units of the space. Raises SpaceError if it cannot be walked."""
        return Coverage(Automaton(self.grammar, carries_shapes=True))

    @cached_property
    def has_many_units(self) -> bool:
        """Whether states contain shapes, and the distinct units are more than are derived quickly.

        Counting would follow all of them, so it is not tried.
        """
        return self.automaton.carries_shapes and self.coverage.exceeds(QUICK_COVERAGE)

    @cached_property
    def random_walks(self) -> RandomWalks:
        """Random derivations, if they are not counted."""
        return RandomWalks(self)

    @cached_property
    def first(self) -> Decision:
        """The first decision. Raises SpaceError if the space cannot be walked."""
        return self._decision(*self.automaton.start, ())

    @cached_property
    def is_counted(self) -> bool:
        """Whether the derivations are counted: if that takes at most ``QUICK_WORK``, the same on every machine.

        Raises:
            SpaceError: As ``count``.
        """
        if self.has_many_units:
            return False
        try:
            self.count(QUICK_WORK)
        except TooMuchWork:
            return False
        return True

    def count(self, most: float = math.inf, progress: Progress = lambda states: None) -> int:
        """Return the number of derivations.

        Args:
            most: The largest work.
            progress: Called often with the number of states that are counted.

        Raises:
            TooMuchWork: If it needs more than that.
            SpaceError: If it needs too many states, or a state makes no network.
        """
        return self._walks(self.automaton.start.state, most, progress)

    def _walks(self, goal: State, most: float = math.inf, progress: Progress = lambda states: None) -> int:
        """Return the number of walks from a state to the end. Raises as ``count``."""
        stack = [goal]
        while stack:
            top = stack[-1]
            if top in self._counts:
                stack.pop()
                continue
            steps = self.automaton.step(top)
            missing = [following.state for following in steps if following.state not in self._counts]
            if missing:
                stack.extend(missing)
            else:
                self._counts[top] = sum(self._counts[following.state] for following in steps)
                stack.pop()
                progress(len(self._counts))
                if len(self._counts) > MAX_COUNTED:
                    raise self.grammar.error(
                        f"counting needs more than {MAX_COUNTED:,} states: too many choices depend on each other;"
                        " 'explorer space' without --exact estimates the number, in Python space.size"
                    )
            if self.automaton.work > most:
                raise TooMuchWork
        return self._counts[goal]

    @cached_property
    def indices(self) -> int:
        """The number of indices: that of the derivations if they are counted, else an upper bound of it."""
        return self.size(self.first)

    def size(self, decision: Decision) -> int:
        """Return the number of indices of the walks from a decision."""
        if decision.violated is not None:
            return 0
        return self._walks(decision.state) if self.is_counted else self.bounds.of(decision.state)

    def draw(self, source: random.Random) -> Derivation:
        """Return a derivation, each with the same probability. Raises SpaceError as ``draw_indexed``."""
        return self.draw_indexed(source)[1]

    def draw_indexed(self, source: random.Random) -> tuple[int, Derivation]:
        """Return a derivation with its index, each with the same probability.

        Raises SpaceError if ``MAX_DRAWS`` random walks are no derivation.
        """
        if self.is_counted:
            index = source.randrange(self.indices)
            return index, self._found(index)
        for _ in range(MAX_DRAWS):
            if (found := self.random_walk(source)) is not None:
                return found
        raise self.not_found()

    def not_found(self) -> SpaceError:
        """Return the error of ``MAX_DRAWS`` random walks without a derivation."""
        return self.grammar.error(f"{MAX_DRAWS:,} random walks violate the conditions", self.grammar.places["where"])

    @property
    def bound(self) -> int:
        """An upper bound of the number of derivations, below which indices without exact counts are."""
        return self.bounds.of(self.first.state)

    @property
    def walks(self) -> int:
        """The number of walks of which ``random_walk`` takes one: an upper bound of the number of derivations."""
        return self.bound

    @property
    def walks_are_derivations(self) -> bool:
        """Whether each of these walks is a derivation."""
        return not self.automaton.carries_shapes

    def random_walk(self, source: random.Random) -> Found | None:
        """Return a derivation below the bound, each with the same probability; None if the walk is no derivation."""
        return self._find_in_bounds(source.randrange(self.bound))

    @property
    def walk_work(self) -> int:
        """The work of walks at an index so far: a step for each decision, and the nodes read for shapes."""
        return self.steps + self.automaton.shapes.work // NODES_PER_STEP

    def walk(self, choose: Chooser) -> Derivation:
        """Return the derivation with the options that ``choose`` returns.

        Raises:
            ValueError: If ``choose`` returns a text that is not an option.
        """

        def option(decision: Decision, choice: Choice) -> int:
            text = choose(choice)
            if text not in choice.options:
                raise ValueError(f"{choice.name} was answered {text!r}; its options are {choice.options}")
            return choice.options.index(text)

        return self._walk(option)

    def first_with(self, fixed: Fixed) -> Derivation:
        """Return the derivation of the lowest rank with the options that ``fixed`` returns, None for any."""
        return self.walk(lambda choice: fixed(choice) or choice.options[0])

    def find(self, index: int) -> Derivation | None:
        """Return derivation number ``index`` in [0, indices): in each decision, earlier options come first.

        None if the derivations are not counted and the index belongs to none.
        """
        if self.is_counted:
            return self._found(index)
        return found.derivation if (found := self._find_in_bounds(index)) is not None else None

    def _found(self, index: int) -> Derivation:
        """Return derivation number ``index`` of those that are counted."""
        left = index

        def option(decision: Decision, choice: Choice) -> int:
            nonlocal left
            self.measure(decision)
            chosen = bisect_right(decision.starts, left) - 1
            left -= decision.starts[chosen]
            return chosen

        return self._walk(option)

    def _find_in_bounds(self, index: int, given: Mapping[str, int] = NOTHING_GIVEN) -> Found | None:
        """Return the derivation of an index below the bound of the first decision, None if it belongs to none.

        Args:
            index: The index.
            given: Options of choices in place of those of the index.
        """
        left, rank, decision, choices = index, 0, self.first, dict[str, str]()
        while (choice := decision.choice) is not None:
            starts = decision.bound_starts = decision.bound_starts or self.bounds.starts(decision.state)
            if left >= starts[-1]:  # the bound of the decision
                return None
            self.steps += 1
            chosen = bisect_right(starts, left) - 1
            left -= starts[chosen]
            chosen = given.get(choice.name, chosen)
            rank += starts[chosen]
            choices[choice.name] = choice.options[chosen]
            decision = self.step_to(decision, chosen)
        return Found(rank, Derivation(choices)) if decision.violated is None and left == 0 else None

    def all(self) -> Iterator[Derivation]:
        """Yield all derivations in rank order."""
        if self.is_counted:
            yield from map(self._found, range(self.indices))
            return
        stack = [(self.first, dict[str, str]())]
        while stack:
            decision, choices = stack.pop()
            if (choice := decision.choice) is None:
                yield Derivation(choices)
                continue
            for number in reversed(range(len(choice.options))):
                following = self.step_to(decision, number)
                if following.violated is None:
                    stack.append((following, {**choices, choice.name: choice.options[number]}))

    def rank(self, derivation: Derivation) -> int:
        """Return the index of a derivation: the inverse of ``find``."""
        index = 0

        def option(decision: Decision, choice: Choice) -> int:
            nonlocal index
            self.measure(decision)
            chosen = choice.options.index(derivation.choices[choice.name])
            index += decision.starts[chosen]
            return chosen

        self._walk(option)
        return index

    def replay(self, derivation: Derivation, visit: Callable[[Choice], object]) -> None:
        """Call ``visit`` with each choice of a derivation, in order."""

        def option(decision: Decision, choice: Choice) -> int:
            visit(choice)
            return choice.options.index(derivation.choices[choice.name])

        self._walk(option)

    def _walk(self, option: Callable[[Decision, Choice], int]) -> Derivation:
        choices: dict[str, str] = {}
        decision = self.first
        while (choice := self.offered(decision)) is not None:
            chosen = option(decision, choice)
            choices[choice.name] = choice.options[chosen]
            decision = self.then(decision, chosen)
        if decision.violated is not None:
            raise exclusion(self.grammar, decision.violated, choices)
        return Derivation(choices)

    def offered(self, decision: Decision) -> Choice | None:
        """Return the choice of a decision, with the alternatives that conditions close; None at the end."""
        return decision.choice

    def follow(self, decision: Decision) -> tuple[Decision, ...]:
        """Return the next decision for each option of a decision."""
        if decision.following is None:
            uses = uses_after(decision)
            made = []
            for following, blocks in self.automaton.step(decision.state):
                made.append(self._decision(following, blocks or decision.blocks, uses(following)))
            decision.following = tuple(made)
        return decision.following

    def then(self, decision: Decision, option: int) -> Decision:
        """Return the next decision after one option."""
        return self.follow(decision)[option] if self.is_counted else self.step_to(decision, option)

    def step_to(self, decision: Decision, option: int) -> Decision:
        """Return the next decision after one option, without those after the other options."""
        if decision.following is not None:
            return decision.following[option]
        if option not in decision.steps:
            decision.steps[option] = self._step(decision, option)
        return decision.steps[option]

    def _step(self, decision: Decision, option: int) -> Decision:
        if len(self._decisions) > MAX_KEPT:
            self._forget()
        following, blocks = self.automaton.answered(decision.state, self.automaton.alike(decision.state)[option])
        return self._decision(following, blocks or decision.blocks, uses_after(decision)(following))

    def _forget(self) -> None:
        """Drop the decisions that are known so far."""
        self._decisions = {}
        self.first.steps.clear()
        self.automaton.forget()
        self.bounds.forget()

    def measure(self, decision: Decision) -> None:
        """Fill ``decision.starts``."""
        if decision.starts:
            return
        if self.is_counted:
            decision.starts = tuple(accumulate(map(self.size, self.follow(decision)), initial=0))
        else:
            decision.starts = self.bounds.starts(decision.state)

    def decisions(self) -> Iterator[Decision]:
        """Return all reachable decisions, each before its successors."""
        done: list[Decision] = []
        seen = {self.first}
        stack = [(self.first, iter(self.follow(self.first)))]
        while stack:
            decision, rest = stack[-1]
            following = next((each for each in rest if each not in seen), None)
            if following is None:
                done.append(decision)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(self.follow(following))))
        return reversed(done)

    def decisions_of(self, derivations: Iterable[Derivation]) -> list[Decision]:
        """Return one decision for each name of a choice of some derivations, in the order of the derivations."""
        found: dict[str, Decision] = {}
        order: list[str] = []
        for derivation in derivations:
            place = -1

            def option(decision: Decision, choice: Choice) -> int:
                nonlocal place
                if choice.name in found:
                    place = order.index(choice.name)
                else:
                    place += 1
                    order.insert(place, choice.name)
                    found[choice.name] = decision
                return choice.options.index(derivation.choices[choice.name])  # noqa: B023  # called in this round

            self._walk(option)
        return [found[name] for name in order]

    def _decision(self, state: State, blocks: int, uses: Uses) -> Decision:
        key = state, blocks if state.kind in ("transition", *BLOCK_KINDS) else 0, uses
        if key not in self._decisions:
            self._decisions[key] = Decision(*key)
        return self._decisions[key]

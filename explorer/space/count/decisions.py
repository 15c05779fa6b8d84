"""The derivations of a space: counting, ranking, unranking and walking them.

A derivation is a walk through the space's automaton. Counting is dynamic programming over its states in Python
integers: answers that no longer affect anything are dropped, so that states merge. If this takes many steps, indices
are numbers below an upper bound of the count (``Bounds``), and some of them belong to no derivation.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import accumulate

from explorer.errors import SpaceError
from explorer.space.choices import Choice, Chooser, Derivation, choice_name
from explorer.space.condition import names_in
from explorer.space.conditions.memory import NOTHING_OPEN, Memory
from explorer.space.count.automaton import Automaton
from explorer.space.count.bounds import Bounds
from explorer.space.count.questions import BLOCK_KINDS, END, State
from explorer.space.grammar import Grammar, Point

Progress = Callable[[int], object]
Fixed = Callable[[Choice], str | None]
MAX_COUNTED = 500_000
QUICK_WORK = 12_000  # some 0.15 s
MAX_DRAWS = 100_000  # random indices among which one belongs to a derivation
MAX_KEPT = 20_000  # decisions that are kept for further walks, if they are not counted
MAX_SHOWN = 8  # choices in an error of a condition
Uses = tuple[tuple[Point, int], ...]  # number of uses so far in the unit, of points with the scope "use"


class TooMuchWork(Exception):
    """Counting takes more work than allowed."""


class Decision:
    """A state with the name of its question in the network.

    Attributes:
        state: The state.
        blocks: Number of blocks of its stage.
        uses: Number of uses so far in the unit, of points with the scope ``use``.
        unit: The unit, as in the names of choices: ``stage2.block3``.
        point: The choice point; None at the end.
        choice: The choice; None at the end.
        following: The next decision for each option; None before ``Decisions.follow``, empty at the end.
        starts: For each option the number of indices of the options before it, and that of all; empty before
            ``Decisions.measure`` and at the end.
        memory: The open conditions of the space.
        violated: The number of the condition that the choices violate; None if they violate none.
    """

    __slots__ = ("blocks", "choice", "following", "memory", "point", "starts", "state", "unit", "uses", "violated")

    def __init__(
        self, state: State, blocks: int, uses: Uses, memory: Memory = NOTHING_OPEN, violated: int | None = None
    ):
        self.state, self.blocks, self.uses, self.memory, self.violated = state, blocks, uses, memory, violated
        self.unit = unit_of(state, blocks)
        self.point: Point | None = None
        self.choice: Choice | None = None
        self.following: tuple[Decision, ...] | None = ()
        if state.kind != "end":
            self.following = None
            self.point = point = state.question.point
            self.choice = Choice(choice_name(point, self.unit, 1 + dict(uses).get(point, 0)), point.options)
        self.starts: tuple[int, ...] = ()


class Decisions:
    """The derivations of one space.

    Args:
        grammar: The space.

    Attributes:
        dropped: The number of random indices so far that belong to no derivation.
    """

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        self.dropped = 0
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
    def first(self) -> Decision:
        """The first decision. Raises SpaceError if the space cannot be walked."""
        return self._decision(*self.automaton.start, ())

    # Counting, ranking, walking

    @cached_property
    def is_counted(self) -> bool:
        """Whether the derivations are counted. They are if that takes some 0.2 s at most, on any machine.

        Raises:
            SpaceError: As ``count``.
        """
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
                        f"counting needs more than {MAX_COUNTED:,} states: too many choices depend on each other"
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
        """Return a derivation, each with the same probability.

        Raises:
            SpaceError: If ``MAX_DRAWS`` random indices belong to none.
        """
        for _ in range(MAX_DRAWS):
            derivation = self.find(source.randrange(self.indices))
            if derivation is not None:
                return derivation
            self.dropped += 1
        raise self.grammar.error(f"{MAX_DRAWS:,} random walks violate the conditions", self.grammar.places["where"])

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
        """Return the derivation of the lowest rank with some options.

        Args:
            fixed: Returns the wanted option of a choice, None for any.
        """
        return self.walk(lambda choice: fixed(choice) or choice.options[0])

    def find(self, index: int) -> Derivation | None:
        """Return derivation number ``index`` in [0, indices): in each decision, earlier options come first.

        Returns:
            The derivation; None if the derivations are not counted and the index belongs to none.
        """
        if not self.is_counted:
            return self.find_in_bounds(index)
        left = index

        def option(decision: Decision, choice: Choice) -> int:
            nonlocal left
            self.measure(decision)
            chosen = bisect_right(decision.starts, left) - 1
            left -= decision.starts[chosen]
            return chosen

        return self._walk(option)

    def find_in_bounds(self, index: int) -> Derivation | None:
        """Return the derivation of an index below the bound of the first decision, None if it belongs to none."""
        left, decision, choices = index, self.first, dict[str, str]()
        while (choice := decision.choice) is not None:
            starts = self.bounds.starts(decision.state)
            chosen = bisect_right(starts, left) - 1
            left -= starts[chosen]
            choices[choice.name] = choice.options[chosen]
            decision = self.step_to(decision, chosen)
            if decision.violated is not None or left >= self.bounds.of(decision.state):
                return None
        return Derivation(choices)

    def all(self) -> Iterator[Derivation]:
        """Yield all derivations in rank order."""
        if self.is_counted:
            yield from (self.find(index) for index in range(self.indices))  # type: ignore[misc]  # it has no gaps
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

    def _walk(self, option: Callable[[Decision, Choice], int]) -> Derivation:
        choices: dict[str, str] = {}
        decision = self.first
        while (choice := self.offered(decision)) is not None:
            chosen = option(decision, choice)
            choices[choice.name] = choice.options[chosen]
            decision = self.then(decision, chosen)
        if decision.violated is not None:
            raise self.excluded(decision.violated, choices)
        return Derivation(choices)

    def offered(self, decision: Decision) -> Choice | None:
        """Return the choice of a decision, with the alternatives that conditions close; None at the end."""
        return decision.choice

    def excluded(self, number: int, choices: Mapping[str, str]) -> SpaceError:
        """Return the error of choices that violate a condition.

        Args:
            number: The number of the condition, from 0.
            choices: The choices up to the one that violates it.
        """
        condition = self.grammar.where[number]
        names = {named.name for named in names_in(condition.truth)}
        about = [f"{name}={text}" for name, text in choices.items() if name.split("@")[0] in names]
        shown = ", ".join(about[-MAX_SHOWN:]) or str(Derivation(choices))
        return self.grammar.error(f"the condition '{condition.text}' excludes {shown}", condition.place)

    # Decisions: states by name

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
        if len(self._decisions) > MAX_KEPT:
            self._forget()
        following, blocks = self.automaton.answered(decision.state, self.automaton.alike(decision.state)[option])
        return self._decision(following, blocks or decision.blocks, uses_after(decision)(following))

    def _forget(self) -> None:
        """Drop the decisions that are known so far."""
        self._decisions = {}
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

    def _decision(self, state: State, blocks: int, uses: Uses) -> Decision:
        key = state, blocks if state.kind in ("transition", *BLOCK_KINDS) else 0, uses
        if key not in self._decisions:
            self._decisions[key] = Decision(*key)
        return self._decisions[key]


def uses_after(decision: Decision) -> Callable[[State], Uses]:
    """Return a function from the state after a decision to its number of uses so far."""
    uses = dict(decision.uses)
    if decision.point is not None and decision.point.scope == "use":
        uses[decision.point] = uses.get(decision.point, 0) + 1
    counted, place = tuple(uses.items()), _place(decision.state)
    return lambda following: counted if _place(following) == place else ()


def _place(state: State) -> tuple[str, int, int]:
    """Return the unit of a state. A block's shortcut belongs to the block."""
    return state.kind.removesuffix("'s shortcut"), state.stage, state.left


def unit_of(state: State, blocks: int) -> str:
    """Return the name of a state's unit; ``blocks``: number of blocks of its stage."""
    if state.kind in BLOCK_KINDS:
        return f"stage{state.stage}.block{blocks - state.left + 1}"
    if state.kind == "transition":
        return f"stage{state.stage}.transition"
    return f"stage{state.stage}" if state.kind == "numbers" else state.kind

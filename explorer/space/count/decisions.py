"""The derivations of a space: counting, ranking, unranking and walking them.

A derivation is a walk through the space's automaton. Counting is dynamic programming over its states in Python
integers: answers that no longer affect anything are dropped, so that states merge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from explorer.errors import SpaceError
from explorer.space.choices import Choice, Chooser, Derivation, choice_name
from explorer.space.condition import names_in
from explorer.space.conditions.memory import NOTHING_OPEN, Memory
from explorer.space.count.automaton import Automaton
from explorer.space.count.questions import BLOCK_KINDS, END, State
from explorer.space.grammar import Grammar, Point

Fixed = Callable[[Choice], str | None]
MAX_COUNTED = 500_000
MAX_SHOWN = 8  # choices in an error of a condition
Uses = tuple[tuple[Point, int], ...]  # number of uses so far in the unit, of points with the scope "use"


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
        sizes: The number of walks from each of those; empty before ``Decisions.measure`` and at the end.
        memory: The open conditions of the space.
        violated: The number of the condition that the choices violate; None if they violate none.
    """

    __slots__ = ("blocks", "choice", "following", "memory", "point", "sizes", "state", "unit", "uses", "violated")

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
        self.sizes: tuple[int, ...] = ()


class Decisions:
    """The derivations of one space.

    Args:
        grammar: The space.
    """

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        self._counts: dict[State, int] = {END: 1}  # by state, filled when needed
        self._decisions: dict[tuple[State, int, Uses], Decision] = {}

    @cached_property
    def automaton(self) -> Automaton:
        """The open questions. Raises SpaceError if the space cannot be walked."""
        return Automaton(self.grammar)

    @cached_property
    def first(self) -> Decision:
        """The first decision. Raises SpaceError if the space cannot be walked."""
        return self._decision(*self.automaton.start, ())

    # Counting, ranking, walking

    def count(self, state: State | None = None) -> int:
        """Return the number of walks from a state to the end, by default from the start.

        Raises:
            SpaceError: If counting needs too many states, or a state makes no network.
        """
        goal = self.automaton.start.state if state is None else state
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
                if len(self._counts) > MAX_COUNTED:
                    raise self.grammar.error(
                        f"counting needs more than {MAX_COUNTED:,} states: too many choices depend on each other"
                    )
        return self._counts[goal]

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

    def unrank(self, index: int) -> Derivation:
        """Return derivation number ``index`` in [0, count): in each decision, earlier options come first."""
        left = index

        def option(decision: Decision, choice: Choice) -> int:
            nonlocal left
            if not decision.sizes:
                self.measure(decision)
            for number, size in enumerate(decision.sizes):
                if left < size:
                    return number
                left -= size
            raise AssertionError(index)

        return self._walk(option)

    def rank(self, derivation: Derivation) -> int:
        """Return the index of a derivation: the inverse of ``unrank``."""
        index = 0

        def option(decision: Decision, choice: Choice) -> int:
            nonlocal index
            if not decision.sizes:
                self.measure(decision)
            chosen = choice.options.index(derivation.choices[choice.name])
            index += sum(decision.sizes[:chosen])
            return chosen

        self._walk(option)
        return index

    def _walk(self, option: Callable[[Decision, Choice], int]) -> Derivation:
        choices: dict[str, str] = {}
        decision = self.first
        while (choice := self.offered(decision)) is not None:
            chosen = option(decision, choice)
            choices[choice.name] = choice.options[chosen]
            decision = (decision.following or self.follow(decision))[chosen]
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

    def measure(self, decision: Decision) -> None:
        """Fill ``decision.sizes``."""
        decision.sizes = tuple(self.count(following.state) for following in self.follow(decision))

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

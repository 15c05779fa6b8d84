"""The derivations of a space: counting, ranking, unranking and walking them.

A derivation is a walk through the space's automaton. Counting is dynamic programming over its states
in Python integers: answers that cannot matter any more are forgotten, so states merge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from explorer.grammar.automaton import Automaton
from explorer.grammar.derive import instance
from explorer.grammar.space import Choice, Derivation
from explorer.grammar.states import BLOCK_KINDS, END, State
from explorer.grammar.tree import Point

if TYPE_CHECKING:
    from explorer.grammar.space import Chooser, SearchSpace

MAX_COUNTED = 500_000


class Question:
    """A state's question by its name: which block of how many it stands in, and which use it is.

    ``unit`` is the place that asks, ``choice`` None at the end. ``following``: the questions that the options
    lead to; ``sizes``: the number of walks from each of them. Both are filled when the question is
    first passed, and empty at the end.
    """

    __slots__ = ("blocks", "choice", "following", "point", "sizes", "state", "unit", "uses")

    def __init__(self, state: State, blocks: int, uses: tuple[tuple[Point, int], ...]):
        self.state, self.blocks, self.uses = state, blocks, uses
        self.unit = _unit(state, blocks)
        self.point = self.choice = None
        self.following: tuple[Question, ...] | None = ()
        if state.kind != "end":
            self.following = None
            self.point = state.pending.ask.point
            occurrence = 1 + dict(uses).get(self.point, 0)
            self.choice = Choice(instance(self.point, self.unit, occurrence), self.point.options)
        self.sizes: tuple[int, ...] = ()


class Decisions:
    """The walks of one space."""

    def __init__(self, space: SearchSpace):
        self.space = space
        self.automaton = Automaton(space)
        self._counts: dict[State, int] = {END: 1}  # by state, filled as asked
        self._questions: dict[tuple, Question] = {}
        self.start, blocks = self.automaton.start
        self.first_question = self._question(self.start, blocks, ())

    # Counting, ranking, walking

    def count(self, state: State | None = None) -> int:
        """The number of walks from a state to the end (from the start when left out)."""
        goal = self.start if state is None else state
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
                    raise self.space.error(
                        f"counting needs more than {MAX_COUNTED:,} states: too many choices hang together"
                    )
        return self._counts[goal]

    def walk(self, choose: Chooser) -> Derivation:
        """The derivation that ``choose`` answers."""

        def option(question: Question) -> int:
            choice = question.choice
            text = choose(choice)
            if text not in choice.options:
                raise ValueError(f"{choice.name} was answered {text!r}; its options are {choice.options}")
            return choice.options.index(text)

        return self._walk(option)

    def unrank(self, index: int) -> Derivation:
        """Derivation number ``index`` in [0, count): at each question, earlier options come first."""
        left = index

        def option(question: Question) -> int:
            nonlocal left
            if not question.sizes:
                self.measure(question)
            for number, size in enumerate(question.sizes):
                if left < size:
                    return number
                left -= size
            raise AssertionError(index)

        return self._walk(option)

    def rank(self, derivation: Derivation) -> int:
        """The inverse of ``unrank``."""
        index = 0

        def option(question: Question) -> int:
            nonlocal index
            if not question.sizes:
                self.measure(question)
            chosen = question.choice.options.index(derivation.choices[question.choice.name])
            index += sum(question.sizes[:chosen])
            return chosen

        self._walk(option)
        return index

    def _walk(self, option: Callable[[Question], int]) -> Derivation:
        choices: dict[str, str] = {}
        question = self.first_question
        while question.choice is not None:
            chosen = option(question)
            choices[question.choice.name] = question.choice.options[chosen]
            question = (question.following or self.follow(question))[chosen]
        return Derivation(choices)

    # Questions: states by name

    def follow(self, question: Question) -> tuple[Question, ...]:
        """The questions that the options of a question lead to."""
        if question.following is None:
            state, point = question.state, question.point
            uses = dict(question.uses)
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            made = []
            for following, blocks in self.automaton.step(state):
                same = _place(following) == _place(state)
                kept = tuple(uses.items()) if same else ()
                made.append(self._question(following, blocks or question.blocks, kept))
            question.following = tuple(made)
        return question.following

    def measure(self, question: Question) -> None:
        """Fills ``sizes``."""
        question.sizes = tuple(self.count(following.state) for following in self.follow(question))

    def questions(self) -> Iterator[Question]:
        """Every question that a walk can come to, each before those that may follow it."""
        done: list[Question] = []
        seen = {self.first_question}
        stack = [(self.first_question, iter(self.follow(self.first_question)))]
        while stack:
            question, rest = stack[-1]
            following = next((q for q in rest if q not in seen), None)
            if following is None:
                done.append(question)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(self.follow(following))))
        return reversed(done)

    def _question(self, state: State, blocks: int, uses: tuple) -> Question:
        key = state, blocks if state.kind in ("transition", *BLOCK_KINDS) else 0, uses
        if key not in self._questions:
            self._questions[key] = Question(*key)
        return self._questions[key]


def _place(state: State) -> tuple[str, int, int]:
    """Which unit a state stands in: a block's shortcut belongs to the block."""
    return state.kind.removesuffix("'s shortcut"), state.stage, state.left


def _unit(state: State, blocks: int) -> str:
    """The name of the unit; ``blocks``: how many its stage has."""
    if state.kind in BLOCK_KINDS:
        return f"stage{state.stage}.block{blocks - state.left + 1}"
    if state.kind == "transition":
        return f"stage{state.stage}.transition"
    return f"stage{state.stage}" if state.kind == "numbers" else state.kind

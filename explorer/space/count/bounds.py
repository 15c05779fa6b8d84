"""Upper bounds of the number of walks, for spaces whose walks are too many states to count.

The bound of a state is the number of walks of an automaton without input shapes and without conditions. Where only a
shape would tell which shortcut a block has, it takes the shortcut with the most walks. A number below the bound names a
walk: it chooses an option at each question, and what is left of it must be below the bound of the next state. Numbers
for which it is not are gaps. So random numbers without gaps are walks of which each is equally likely.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import NamedTuple

from explorer.space.count.automaton import Automaton
from explorer.space.count.questions import END, State
from explorer.space.count.shortcut_use import shortcut_questions
from explorer.space.grammar import Grammar, Point

MAX_STATES = 200_000


class _Sum(NamedTuple):
    """A state with an open question: for each option the number of the next state in ``distinct``."""

    distinct: tuple[State, ...]
    options: tuple[int, ...]


class Bounds:
    """The bounds of one space.

    Args:
        automaton: The walks of the space.
    """

    def __init__(self, automaton: Automaton):
        self._grammar: Grammar = automaton.grammar
        self._automaton = Automaton(self._grammar, automaton.questions, ignores_shapes=True)
        self._bounds: dict[State, int] = {}
        self._starts: dict[State, tuple[int, ...]] = {}
        self._projected: dict[State, State] = {}
        self._asked: dict[Point, list[State]] = {}  # the states in which a choice is made, once they are needed
        self._shortcuts = shortcut_questions(self._grammar, automaton.questions)

    def of(self, state: State) -> int:
        """Return the bound of a state of the space's automaton. Raises SpaceError if it needs too many states."""
        return self._bound(self._without_shapes(state))

    def starts(self, state: State) -> tuple[int, ...]:
        """Return for each option of the open question the sum of the bounds of the options before it, and the sum of
        all."""
        own = self._without_shapes(state)
        if own not in self._starts:
            following = self._following(own)
            assert isinstance(following, _Sum)
            bounds = [self._bound(each) for each in following.distinct]
            self._starts[own] = tuple(accumulate((bounds[number] for number in following.options), initial=0))
        return self._starts[own]

    def is_free(self, point: Point, stage: int) -> bool:
        """Whether as many walks follow each option of a choice, whatever the choices before it.

        Args:
            point: The choice point.
            stage: The stage of the choice, 0 in the stem; -1 for a choice of the network.
        """
        if not self._asked:
            self._bound(self._automaton.start.state)  # finds all states
            for state in self._bounds:
                if state.pending is not None:
                    self._asked.setdefault(state.question.point, []).append(state)
        asked = [state for state in self._asked.get(point, ()) if stage in (-1, state.stage)]
        return bool(asked) and all(len({b - a for a, b in pairwise(self.starts(state))}) == 1 for state in asked)

    def _bound(self, goal: State) -> int:
        bounds, stack = self._bounds, [goal]
        while stack:
            top = stack[-1]
            if top in bounds:
                stack.pop()
                continue
            following = self._following(top)
            each = following.distinct if isinstance(following, _Sum) else following
            missing = [state for state in each if state not in bounds]
            if missing:
                stack.extend(missing)
                continue
            found = [bounds[state] for state in each]
            if isinstance(following, _Sum):
                bounds[top] = sum(found[number] for number in following.options)
            else:
                bounds[top] = max(found, default=1)  # the end
            stack.pop()
            if len(bounds) > MAX_STATES:
                raise self._grammar.error(
                    f"counting needs more than {MAX_STATES:,} states: too many choices depend on each other"
                )
        return bounds[goal]

    def _following(self, state: State) -> _Sum | tuple[State, ...]:
        """Return the states after a question, or those of which one follows a finished unit; none at the end."""
        automaton = self._automaton
        if state.pending is not None:
            alike = automaton.alike(state)
            first = {option: number for number, option in enumerate(dict.fromkeys(alike))}
            distinct = tuple(automaton.opened(automaton.with_answer(state, option)) for option in first)
            return _Sum(distinct, tuple(first[option] for option in alike))
        if state.kind == "end":
            return ()
        of_shortcut = self._shortcuts.get((state.kind, state.stage), ())
        if any(of_shortcut):
            kind = f"{state.kind}'s shortcut"
            lists = map(automaton.questions.listed, of_shortcut)
            return tuple(automaton.opened(state._replace(kind=kind, pending=pending)) for pending in lists)
        following = automaton.next_unit(state)
        return (following if following is END else automaton.opened(following),)

    def _without_shapes(self, state: State) -> State:
        """Return the state of the automaton without shapes."""
        found = END if state.kind == "end" else self._projected.get(state)
        if found is None:
            counted = self._automaton.counted_blocks(state.stage) if state.stage else 0
            answers = tuple(answer for answer in state.answers if answer[1] > 0)
            block = min(state.block, counted)
            bare = state._replace(place=0, shape=None, numbers=None, answers=answers, block=block)
            found = self._projected[state] = self._automaton.opened(bare)
        return found

    def forget(self) -> None:
        """Drop what can be computed again for further states."""
        self._projected = {}

"""The open questions of a space as a finite automaton: its states, and where each answer leads.

A walk goes through units (stem; each stage's numbers, transition and blocks; head), and in each unit
through the choice points that its expressions come to. Within its scope a point is asked once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from explorer.grammar.asks import Asks
from explorer.grammar.liveness import Liveness
from explorer.grammar.relevance import Relevance
from explorer.grammar.resolve import Fault
from explorer.grammar.states import END, State
from explorer.grammar.unit_shapes import UnitShapes

if TYPE_CHECKING:
    from explorer.grammar.space import SearchSpace


class Settled(NamedTuple):
    """A state with an open question (or the end). ``blocks``: how many blocks its stage has, where
    that was settled on the way to it, else 0."""

    state: State
    blocks: int


class Automaton:
    """The walks of one space. ``carries_shapes``: its states carry the shapes that arrive, which they must where
    shortcuts have choices. ``follows``: which of the variables ``i`` and ``n`` its shapes follow."""

    def __init__(self, space: SearchSpace, carries_shapes: bool = False):
        self.space = space
        self.asks = asks = Asks(space)
        self.carries_shapes = carries_shapes or asks.of_shortcuts
        roots = [space.stem, space.head, space.transition]
        roots += [part for rule in space.stages for part in (rule.block, rule.first)]
        roots = [root for root in roots if root is not None] + [part for parts in asks.shortcuts for part in parts]
        relevance = Relevance(space.rules, space.program.named)
        self.follows = relevance.follows_place(roots) if self.carries_shapes else set()
        self.live = Liveness(space, asks, relevance.points(roots) if self.carries_shapes else None)
        self.shapes = UnitShapes(space, asks, relevance, self.live.here)
        if asks.of_shortcuts and self.follows_open_total:
            raise space.error(
                "a shortcut with choices cannot stand where shapes follow 'n' and the number of blocks is a choice"
            )
        self._number = {point: index for index, point in enumerate(space.points)}
        self._settled: dict[State, Settled] = {}
        self._steps: dict[State, tuple[Settled, ...]] = {}
        x = space.input if self.carries_shapes else None
        self.start = self._settle(State("stem", 0, 0, 0, x, None, asks.listed(asks.stem), ()))

    @property
    def follows_open_total(self) -> bool:
        """Whether shapes follow the number of blocks though that is a choice."""
        return "n" in self.follows and not self.shapes.total

    def step(self, state: State) -> tuple[Settled, ...]:
        """The states that the options of the asked point lead to."""
        made = self._steps.get(state)
        if made is None:
            alike = self.alike(state)
            following = {option: self.answered(state, option) for option in set(alike)}
            made = self._steps[state] = tuple(following[option] for option in alike)
        return made

    def alike(self, state: State) -> tuple[int, ...]:
        """For each option of the asked point, the first that leads to the same state."""
        ask = state.pending.ask
        if ask.point in self.live.exact[state.kind, state.stage]:
            return tuple(range(len(ask.options)))
        first = {asks: option for option, asks in reversed(list(enumerate(ask.options)))}
        return tuple(first[asks] for asks in ask.options)

    def answered(self, state: State, option: int) -> Settled:
        """The state after one answer. Raises SpaceError where the answers so far make no network."""
        ask, answers = state.pending.ask, state.answers
        number = self._number[ask.point]
        occurrence = 1
        if ask.point.scope == "use":
            occurrence += sum(1 for known, _, _ in answers if known == number)
        answers = tuple(sorted((*answers, (number, occurrence, option))))
        pending = self.asks.listed(ask.options[option], state.pending.next)
        return self._settle(state._replace(pending=pending, answers=answers))

    def _settle(self, state: State) -> Settled:
        """The next state with an open question: answered ones are passed over, finished units left."""
        passed: list[tuple[State, int]] = []
        blocks = 0
        while state.kind != "end":
            if state in self._settled:
                state, blocks = self._settled[state]
                break
            pending = state.pending
            known = {number: option for number, occurrence, option in state.answers if occurrence > 0}
            while pending is not None:
                ask = pending.ask
                option = None if ask.point.scope == "use" else known.get(self._number[ask.point])
                if option is None:
                    break
                pending = self.asks.listed(ask.again[option], pending.next)
            if pending is not None:
                passed.append((state, 0))
                state = state._replace(pending=pending, answers=self.live.kept(state, pending.reach))
                break
            following = self._next_unit(state)
            passed.append((state, following.left if state.kind == "numbers" else 0))
            state = following
        for earlier, counted in reversed(passed):
            blocks = blocks or counted  # of the last stage whose numbers were settled
            self._settled[earlier] = Settled(state, blocks)
        return Settled(state, blocks)

    def _next_unit(self, state: State) -> State:
        """The beginning of the unit that follows a finished one."""
        kind, stage, left, place, shape, numbers, _, answers = state
        asks, listed, shapes = self.asks, self.asks.listed, self.shapes
        try:
            if kind == "numbers":
                numbers = shapes.numbers(stage, answers)
                left = numbers.blocks
                if self.carries_shapes and stage == 1:
                    shape = shapes.after(state._replace(kind="stem", stage=0, numbers=numbers._replace(blocks=0)))
            elif self.carries_shapes and kind != "stem":
                if kind in ("first", "block") and (of_shortcut := shapes.shortcut_asks(state)):
                    return state._replace(kind=f"{kind}'s shortcut", pending=listed(of_shortcut))
                shape = shapes.after(state)
        except Fault as fault:
            raise self.space.error(str(fault), fault.place) from None
        later = self.live.later[kind, stage]
        points = self.space.points
        own = answers
        answers = tuple(a for a in own if a[1] > 0 and points[a[0]] in later)
        if kind == "head":
            return END
        if kind == "stem":
            if self.carries_shapes:  # kept under a sign of their own: the stem is a scope apart from the first stage
                local = [(number, -use, option) for number, use, option in own if not self._is_network(number)]
                network = [a for a in own if self._is_network(a[0])]
                answers = tuple(sorted({*answers, *network, *local}))
            return State("numbers", 1, 0, place, shape, None, listed(asks.numbers[0]), answers)
        carried = numbers._replace(blocks=0) if self.carries_shapes else None  # ``left`` says how many there are
        if kind == "numbers" and stage > 1 and self.space.transition is not None:
            return State("transition", stage, left, place, shape, carried, listed(asks.transition), answers)
        if kind in ("numbers", "transition"):
            return State("first", stage, left, place, shape, carried, listed(asks.firsts[stage - 1]), answers)
        place += bool(self.follows)
        if left > 1:
            return State("block", stage, left - 1, place, shape, carried, listed(asks.blocks[stage - 1]), answers)
        answers = tuple(a for a in answers if self._is_network(a[0]))
        if stage < len(self.space.stages):
            return State("numbers", stage + 1, 0, place, shape, None, listed(asks.numbers[stage]), answers)
        return State("head", 0, 0, place, shape, carried, listed(asks.head), answers)

    def _is_network(self, number: int) -> bool:
        return self.space.points[number].scope == "network"

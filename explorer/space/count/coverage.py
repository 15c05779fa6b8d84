"""All distinct units of a space: every block with each input shape and the choices that its shape depends on.

Walks that arrive at a unit in the same state, but with other numbers of blocks left or of input channels, are followed
together. A unit that does not read its input channels is derived for one or two numbers of them, not for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from explorer.errors import SpaceError
from explorer.networks.ops.base import TensorShape
from explorer.space.count.automaton import Automaton
from explorer.space.count.questions import State

WORK_PER_STATE = 10
KINDS = ("numbers", "transition", "first", "first's shortcut", "block", "block's shortcut")  # of a stage, in order


# The walks that arrive at a unit in one state: the number of blocks left in the stage, including this one, -> the
# numbers of input channels that occur with it. Outside of stages 0 blocks are left. The sets are shared, not changed.
Arrivals = dict[int, Set[int]]


class Coverage:
    """Derives all distinct units of one space.

    Args:
        automaton: The walks of the space, with shapes.

    Attributes:
        faults: The errors so far, of units that cannot be built.
        states: The number of states so far.
    """

    def __init__(self, automaton: Automaton):
        self._automaton = automaton
        self._known: dict[State, Arrivals] = {}
        self._waiting: dict[tuple[str, int], dict[State, Arrivals]] = {}  # by unit: those that are not followed yet
        self._shortcut_of: dict[tuple[State, int], set[State]] = {}  # by shortcut and channels: the blocks
        self.states = 0
        self._rest = self._units()
        self.faults: list[SpaceError] = []

    @property
    def work(self) -> int:
        """The work so far: the nodes read, and a weight for each state."""
        return self._automaton.shapes.work + WORK_PER_STATE * self.states

    def walk(self) -> Iterator[SpaceError | None]:
        """Derive the units that are left, in order, and yield often: the error if a unit cannot be built, else None.

        Errors that were found earlier come first.
        """
        yield from self.faults.copy()
        for fault in self._rest:
            if fault is not None:
                self.faults.append(fault)
            yield fault

    @property
    def depends_on_open_total(self) -> bool:
        """Whether the units cannot be told apart, since shapes depend on a number of blocks that is a choice."""
        return self._automaton.depends_on_open_total

    def exceeds(self, most: int) -> bool:
        """Whether deriving all units takes more than this work, of which no more is spent here."""
        for _ in self.walk():
            if self.work > most:
                break
        return self.work > most

    def _units(self) -> Iterator[SpaceError | None]:
        entry = self._automaton.entry
        assert entry.shape is not None
        self._arrive(entry, {0: {entry.shape.channels}})
        stages = range(1, len(self._automaton.grammar.stages) + 1)
        for unit in (("stem", 0), *((kind, stage) for stage in stages for kind in KINDS), ("head", 0)):
            while waiting := self._waiting.pop(unit, None):
                for state, arrivals in waiting.items():
                    for finished in self._finished(state):
                        try:
                            if finished is not None:
                                self._leave(state, finished, arrivals)
                            yield None
                        except SpaceError as error:
                            yield error

    def _finished(self, state: State) -> Iterator[State | None]:
        """Yield the states at the end of a unit, one for each distinct combination of its choices, and None between."""
        automaton = self._automaton
        seen: set[State] = set()
        pending = [state]
        while pending:
            self.states += 1
            state = automaton.opened(pending.pop())
            if state in seen:
                continue
            seen.add(state)
            if state.pending is not None:
                pending += [automaton.with_answer(state, option) for option in {*automaton.alike(state)}]
                yield None
            else:
                yield state

    def _leave(self, begun: State, finished: State, arrivals: Arrivals) -> None:
        """Derive a unit for all its arrivals, which then arrive at the next unit. Raises SpaceError."""
        following = self._automaton.next_unit
        if finished.kind == "numbers" and finished.stage > 1:  # the input shape is not read
            after = following(finished)
            self._arrive(after, {after.left: arrivals[0]})
            return
        for channels, several in self._inputs(finished, arrivals):
            more = several - {0, 1}
            # The last block, one that others follow, and what is outside of stages.
            for left in [left for left in (0, 1) if left in several] + ([2] if more else []):
                state = _at(finished, left, channels)
                after = following(state)
                assert after.shape is not None or after.kind == "end"
                made = {after.shape.channels} if after.shape is not None else set()
                if after.kind == "block":
                    is_loop = self._is_loop(begun, state, after)
                    fewer = range(1, max(more)) if is_loop else [each - 1 for each in more]
                    self._arrive(after, dict.fromkeys(fewer, made))
                elif finished.kind == "numbers":
                    self._arrive(after, {after.left: made})
                elif after.kind in ("numbers", "head"):
                    self._arrive(after, {0: made})
                elif after.kind != "end":
                    if after.kind == "block's shortcut":
                        self._shortcut_of.setdefault((_merged(after), channels), set()).add(begun)
                    self._arrive(after, dict.fromkeys(more if left == 2 else [left], made))

    def _inputs(self, finished: State, arrivals: Arrivals) -> Iterator[tuple[int, Set[int]]]:
        """Yield numbers of input channels that stand for all arrivals, and the blocks left with each."""
        channels = set().union(*arrivals.values())
        if len(channels) == 1:
            yield from ((each, arrivals.keys()) for each in channels)
            return
        if not self._automaton.forgets_channels(finished.kind, finished.stage):
            for each in sorted(channels):
                yield each, {left for left, several in arrivals.items() if each in several}
            return
        # All that matters is whether the block keeps the number of channels.
        made = self._automaton.output(_at(finished, finished.left, min(channels))).channels
        if made in channels:
            yield made, {left for left, several in arrivals.items() if made in several}
        yield min(channels - {made}), {left for left, several in arrivals.items() if several - {made}}

    def _is_loop(self, begun: State, state: State, after: State) -> bool:
        """Whether a block leads to its own state, so that any smaller number of blocks can be left in it.

        Args:
            begun: The beginning of the block, or of its shortcut.
            state: Its end, with its input channels.
            after: The beginning of the next block.
        """
        assert state.shape is not None and after.shape is not None
        blocks = {begun} if begun.kind == "block" else self._shortcut_of.get((begun, state.shape.channels), set())
        return state.shape.channels == after.shape.channels and _merged(after) in blocks

    def _arrive(self, state: State, arrivals: Arrivals) -> None:
        """Add walks at the beginning of a unit, unless they are known."""
        key = _merged(state)
        known = self._known.setdefault(key, {})
        new: Arrivals = {}
        for left, channels in arrivals.items():
            before = known.get(left)
            if before is None:
                known[left] = new[left] = channels
            elif not channels <= before:
                known[left], new[left] = before | channels, channels - before
        if new:
            of_unit = self._waiting.setdefault((key.kind, key.stage), {})
            waiting = of_unit.setdefault(key, {})
            for left, channels in new.items():
                waiting[left] = waiting[left] | channels if left in waiting else channels


def _merged(state: State) -> State:
    """Return the state without what ``Arrivals`` collects."""
    return _at(state, 0, 0)


def _at(state: State, left: int, channels: int) -> State:
    """Return the state with other numbers of blocks left and of input channels."""
    kind, stage, _, place, shape, numbers, pending, answers, block = state
    assert shape is not None
    return State(kind, stage, left, place, TensorShape(channels, *shape[1:]), numbers, pending, answers, block)

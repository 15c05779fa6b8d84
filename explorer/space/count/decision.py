"""One decision of a walk: a state of the automaton with the name of its question in the network."""

from __future__ import annotations

from collections.abc import Callable

from explorer.space.choices import Choice, choice_name
from explorer.space.conditions.memory import NOTHING_OPEN, Memory
from explorer.space.count.questions import BLOCK_KINDS, State
from explorer.space.grammar import Point

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

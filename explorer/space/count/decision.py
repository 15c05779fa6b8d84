"""One decision of a walk: a state of the automaton with the name of its question in the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from explorer.errors import SpaceError
from explorer.space.choices import Choice, Derivation, choice_name
from explorer.space.condition import names_in
from explorer.space.conditions.memory import NOTHING_OPEN, Memory
from explorer.space.count.questions import BLOCK_KINDS, State
from explorer.space.grammar import Grammar, Point

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
        steps: Option -> the next decision, for those that walks took so far.
        starts: For each option the number of indices of the options before it, and that of all; empty before
            ``Decisions.measure`` and at the end.
        bound_starts: The same with the bounds of a space that is not counted; empty before they are needed.
        memory: The open conditions of the space.
        violated: The number of the condition that the choices violate; None if they violate none.
    """

    __slots__ = (
        *("blocks", "bound_starts", "choice", "following", "memory", "point"),
        *("starts", "state", "steps", "unit", "uses", "violated"),
    )

    def __init__(
        self, state: State, blocks: int, uses: Uses, memory: Memory = NOTHING_OPEN, violated: int | None = None
    ):
        self.state, self.blocks, self.uses, self.memory, self.violated = state, blocks, uses, memory, violated
        self.unit = unit_of(state, blocks)
        self.point: Point | None = None
        self.choice: Choice | None = None
        self.following: tuple[Decision, ...] | None = ()
        self.steps: dict[int, Decision] = {}
        if state.kind != "end":
            self.following = None
            self.point = point = state.question.point
            self.choice = Choice(choice_name(point, self.unit, 1 + dict(uses).get(point, 0)), point.options)
        self.starts: tuple[int, ...] = ()
        self.bound_starts: tuple[int, ...] = ()


def uses_after(decision: Decision) -> Callable[[State], Uses]:
    """Return a function from the state after a decision to its number of uses so far."""
    uses = dict(decision.uses)
    if decision.point is not None and decision.point.scope == "use":
        uses[decision.point] = uses.get(decision.point, 0) + 1
    counted = tuple(uses.items())
    if not counted:
        return _no_uses
    place = _place(decision.state)
    return lambda following: counted if _place(following) == place else ()


def _no_uses(following: State) -> Uses:
    return ()


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


def exclusion(grammar: Grammar, number: int, choices: Mapping[str, str]) -> SpaceError:
    """Return the error of choices that violate a condition.

    Args:
        grammar: The space.
        number: The number of the condition, from 0.
        choices: The choices up to the one that violates it.
    """
    condition = grammar.where[number]
    names = {named.name for named in names_in(condition.truth)}
    about = [f"{name}={text}" for name, text in choices.items() if name.split("@")[0] in names]
    shown = ", ".join(about[-MAX_SHOWN:]) or str(Derivation(choices))
    return grammar.error(f"the condition '{condition.text}' excludes {shown}", condition.place)

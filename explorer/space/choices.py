"""The names of choice points in a network, and ``Derivation``, the choices of one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from explorer.errors import ExplorerError
from explorer.space.grammar import Fault, Grammar, Point, point_of, reachable


class Choice(NamedTuple):
    """A choice point at one place of a network.

    Attributes:
        name: The point and its place, as in ``attn@stage2``.
        options: The texts of the alternatives, as the file spells them.
    """

    name: str
    options: tuple[str, ...]

    @property
    def closed(self) -> frozenset[str]:
        """The alternatives that no network has with the choices before, because of the conditions of the space."""
        return frozenset()

    @property
    def allowed(self) -> tuple[str, ...]:
        """The other alternatives."""
        return self.options


class NarrowedChoice(Choice):
    """A choice of which the conditions of the space may close some alternatives. They are found when they are read."""

    _find: Callable[[], Sequence[bool]]

    @classmethod
    def of(cls, choice: Choice, find: Callable[[], Sequence[bool]]) -> NarrowedChoice:
        """Return a choice.

        Args:
            choice: The choice without conditions.
            find: Returns whether each alternative is open.
        """
        made = cls(*choice)
        made._find = find
        return made

    @cached_property
    def closed(self) -> frozenset[str]:
        closed = frozenset(option for option, is_open in zip(self.options, self._find()) if not is_open)
        return closed if len(closed) < len(self.options) else frozenset()

    @property
    def allowed(self) -> tuple[str, ...]:
        return tuple(option for option in self.options if option not in self.closed)


Chooser = Callable[[Choice], str]  # answers a choice with one of its options
Lookup = Callable[[Point], int]  # the chosen option of a choice point, as a number from 0


@dataclass(frozen=True)
class Derivation:
    """All choices of one network.

    Attributes:
        choices: Name of the choice -> text of the chosen alternative, in the order of the network.
    """

    choices: Mapping[str, str]

    def __hash__(self) -> int:
        return hash(frozenset(self.choices.items()))

    def __str__(self) -> str:
        return ", ".join(f"{name}={text}" for name, text in self.choices.items())


def named_choices(text: str) -> dict[str, str]:
    """Parse choices such as ``order=full_preact,attn=se(r=4)``. Commas inside brackets do not separate.

    Raises:
        ExplorerError: If a part is not NAME=ALTERNATIVE, or a name occurs twice.
    """
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    choices: dict[str, str] = {}
    for part in filter(str.strip, parts):
        name, equals, alternative = (piece.strip() for piece in part.partition("="))
        if not (name and equals and alternative):
            raise ExplorerError(f"{part.strip()[:80]!r} is not a choice; write NAME=ALTERNATIVE, separated by commas")
        if name in choices:
            raise ExplorerError(f"the choice {name!r} is made twice")
        choices[name] = alternative
    return choices


def choice_name(point: Point, unit: str, use: int = 1) -> str:
    """Return the name of a choice point at one place of a network.

    Args:
        point: The choice point.
        unit: ``stem``, ``head``, ``stage2`` (its numbers), ``stage2.transition`` or ``stage2.block3``.
        use: Number of the use within the unit, from 1, for points with the scope ``use``.
    """
    if point.scope == "network":
        return point.name
    if point.scope == "stage":
        return f"{point.name}@{unit.split('.')[0]}"
    if point.scope == "block":
        return f"{point.name}@{unit}"
    return f"{point.name}@{unit}.use{use}"


def point_names(grammar: Grammar) -> dict[Point, str]:
    """Return the names of all choice points for a list: with its stage, ``stages.blocks@stage2``, for one that belongs
    to a single stage of several."""
    whole = {point_of(node) for node in reachable(grammar.rules, [grammar.stem, grammar.head])}
    if grammar.transition is not None:
        whole |= {point_of(node) for node in reachable(grammar.rules, [grammar.transition])}
    found = [{point_of(node) for node in reachable(grammar.rules, stage.roots)} for stage in grammar.stages]
    names = {}
    for point in grammar.points:
        own = [number for number, points in enumerate(found, 1) if point in points]
        is_local = point.scope != "network" and point not in whole and len(own) == 1 < len(grammar.stages)
        names[point] = f"{point.name}@stage{own[0]}" if is_local else point.name
    return names


class WithFirst(dict[str, str]):
    """Choices in which one that is missing has the first alternative of its point, if it is asked for.

    Args:
        choices: Name of the choice -> text of the chosen alternative.
        first: Name of a point -> its first alternative.
    """

    def __init__(self, choices: Mapping[str, str], first: Mapping[str, str]):
        super().__init__(choices)
        self._first = first

    def __missing__(self, name: str) -> str:
        return self._first[name.partition("@")[0]]


def answers_in(choices: Mapping[str, str], unit: str) -> Lookup:
    """Return a function that looks up choice points of ``unit`` in ``choices``; it counts the uses of a point.

    The function raises Fault for a choice that is missing or names no alternative.
    """
    uses: dict[Point, int] = {}

    def lookup(point: Point) -> int:
        if point.scope == "network":
            name = point.name
        else:
            if point.scope == "use":
                uses[point] = uses.get(point, 0) + 1
            name = choice_name(point, unit, uses.get(point, 1))
        try:
            return point.options.index(choices[name])
        except KeyError:
            raise Fault(
                (1, 1), f"the derivation has no choice {name}; it is one of {' | '.join(point.options)}"
            ) from None
        except ValueError:
            raise Fault(
                (1, 1), f"{name} has no alternative {choices[name][:80]!r}; it has: {' | '.join(point.options)}"
            ) from None

    return lookup


def with_choices(choices: Mapping[str, str]) -> str:
    """Return ``with ratio=1/3: ``, the beginning of an error that depends on choices. At most 12 are named."""
    if not choices:
        return ""
    named = [f"{name}={text if len(text) <= 60 else text[:57] + '...'}" for name, text in list(choices.items())[:12]]
    return f"with {', '.join(named)}{', ...' if len(choices) > 12 else ''}: "

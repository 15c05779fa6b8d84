"""Derivations that differ from a derivation in one choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from explorer.errors import SpaceError
from explorer.networks.architecture import Architecture
from explorer.space.choices import Choice, Derivation, WithFirst
from explorer.space.search_space import SearchSpace


class Neighbour(NamedTuple):
    """A derivation that differs in one choice.

    Attributes:
        choice: The name of the choice.
        option: Its alternative in ``derivation``.
        derivation: The other derivation.
    """

    choice: str
    option: str
    derivation: Derivation


def current_choices(space: SearchSpace, derivation: Derivation) -> list[Choice]:
    """Return the choices of a derivation with their alternatives, in order."""
    found: list[Choice] = []

    def choose(choice: Choice) -> str:
        found.append(choice)
        return derivation.choices[choice.name]

    space.derive(choose)
    return found


def change_choice(space: SearchSpace, derivation: Derivation, name: str, option: str) -> Derivation:
    """Return the derivation with one choice changed and all others kept.

    Choices that occur only then take the first alternative that the conditions of the space allow.

    Raises:
        SpaceError: If the conditions exclude it.
    """

    def choose(choice: Choice) -> str:
        if choice.name == name:
            return option
        return derivation.choices.get(choice.name) or (choice.allowed or choice.options)[0]

    return space.derive(choose)


def neighbours(space: SearchSpace, derivation: Derivation) -> Iterator[Neighbour]:
    """Yield one derivation for every other alternative of every choice, in order, as far as conditions allow it."""
    for choice in current_choices(space, derivation):
        for option in choice.allowed:
            if option == derivation.choices[choice.name]:
                continue
            changed = neighbour_at(space, derivation, choice.name, option)
            if changed is not None:
                yield Neighbour(choice.name, option, changed)


def network_at(space: SearchSpace, derivation: Derivation, name: str, option: str) -> Architecture | None:
    """Return the network of the derivation with one choice changed, without a walk if the space has no conditions.

    None if the conditions exclude it.
    """
    if space.where:
        changed = neighbour_at(space, derivation, name, option)
        return None if changed is None else space.architecture(changed)
    named = Counter(point.name for point in space.points)
    first = {point.name: point.options[0] for point in space.points if named[point.name] == 1}
    try:
        return space.deriver.architecture(WithFirst({**derivation.choices, name: option}, first))
    except SpaceError:  # an entry of a list has no name of its own, so its first alternative is not known by name
        return space.architecture(change_choice(space, derivation, name, option))


def neighbour_at(space: SearchSpace, derivation: Derivation, name: str, option: str) -> Derivation | None:
    """Return the derivation with one choice changed; None if the conditions of the space exclude it."""
    try:
        return change_choice(space, derivation, name, option)
    except SpaceError:
        if not space.where:
            raise
        return None

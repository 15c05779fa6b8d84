"""Derivations that differ from a derivation in one choice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from explorer.space.choices import Choice, Derivation
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

    Choices that occur only then take their first alternative.
    """

    def choose(choice: Choice) -> str:
        return option if choice.name == name else derivation.choices.get(choice.name, choice.options[0])

    return space.derive(choose)


def neighbours(space: SearchSpace, derivation: Derivation) -> Iterator[Neighbour]:
    """Yield one derivation for every other alternative of every choice, in order."""
    for choice in current_choices(space, derivation):
        for option in choice.options:
            if option != derivation.choices[choice.name]:
                yield Neighbour(choice.name, option, change_choice(space, derivation, choice.name, option))

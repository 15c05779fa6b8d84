"""What happens to a network if only one choice changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from explorer.grammar.space import Choice, Derivation, SearchSpace


class Neighbour(NamedTuple):
    """A derivation that differs in ``choice``, which takes ``option`` there."""

    choice: str
    option: str
    derivation: Derivation


def asked(space: SearchSpace, derivation: Derivation) -> list[Choice]:
    """The choice points that a derivation answers, with their alternatives, in the order asked."""
    found: list[Choice] = []

    def choose(choice: Choice) -> str:
        found.append(choice)
        return derivation.choices[choice.name]

    space.derive(choose)
    return found


def changed(space: SearchSpace, derivation: Derivation, name: str, option: str) -> Derivation:
    """The derivation with one choice changed and all others kept; choices that arise anew take their first
    alternative."""

    def choose(choice: Choice) -> str:
        return option if choice.name == name else derivation.choices.get(choice.name, choice.options[0])

    return space.derive(choose)


def neighbours(space: SearchSpace, derivation: Derivation) -> Iterator[Neighbour]:
    """Every other alternative of every choice, one at a time, in the order asked."""
    for choice in asked(space, derivation):
        for option in choice.options:
            if option != derivation.choices[choice.name]:
                yield Neighbour(choice.name, option, changed(space, derivation, choice.name, option))

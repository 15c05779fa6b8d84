"""Mutations of a derivation: one choice changes, the others stay."""

from __future__ import annotations

import random
from collections.abc import Iterator

from explorer.errors import SpaceError
from explorer.space.choices import Choice, Derivation
from explorer.space.edits import current_choices
from explorer.space.search_space import SearchSpace


def mutate(space: SearchSpace, derivation: Derivation, draw: random.Random) -> Derivation:
    """Return the derivation with another option at one random choice point.

    Choice points that no longer occur are left out; new ones are drawn at random, and those whose option the conditions
    of the space do not allow any more. A derivation without choices is returned as it is.
    """
    if not derivation.choices:
        return derivation
    changed = draw.choice(list(derivation.choices))

    def choose(choice: Choice) -> str:
        kept = derivation.choices.get(choice.name)
        if choice.name == changed:
            others = [option for option in choice.allowed if option != kept]
            return draw.choice(others or choice.allowed)
        return kept if kept in choice.allowed else draw.choice(choice.allowed)

    try:
        return space.derive(choose)
    except SpaceError:
        if space.is_counted:
            raise
        return derivation  # no network has the change, which is not known before its last choice


def shuffled_neighbours(space: SearchSpace, parents: list[Derivation], draw: random.Random) -> Iterator[Derivation]:
    """Yield, in random order, every derivation that differs from a parent in the option of one choice point.

    Choice points that no longer occur are left out; new ones are drawn at random, and those whose option the conditions
    of the space do not allow any more.
    """
    changes = [
        (parent, choice.name, option)
        for parent in parents
        for choice in current_choices(space, parent)
        for option in choice.allowed
        if option != parent.choices[choice.name]
    ]
    draw.shuffle(changes)
    changed = (_changed(space, *change, draw) for change in changes)
    return (each for each in changed if each is not None)


def _changed(space: SearchSpace, parent: Derivation, name: str, option: str, draw: random.Random) -> Derivation | None:
    def choose(choice: Choice) -> str:
        kept = option if choice.name == name else parent.choices.get(choice.name)
        return kept if kept in choice.allowed else draw.choice(choice.allowed)

    try:
        return space.derive(choose)
    except SpaceError:
        if space.is_counted:
            raise
        return None

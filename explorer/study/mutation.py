"""Small changes of a derivation: a choice or two drawn anew, the rest kept."""

from __future__ import annotations

import random
from collections.abc import Iterator

from explorer.grammar.space import Choice, Derivation, SearchSpace

TWICE = 1 / 3  # of the mutants, with two choices drawn anew


def mutated(space: SearchSpace, derivation: Derivation, draw: random.Random) -> Derivation:
    """The derivation with one live choice point answered otherwise. Points that are dead then are left out,
    points that arise then are drawn; a space with one derivation gives that."""
    if not derivation.choices:
        return derivation
    changed = draw.choice(list(derivation.choices))

    def choose(choice: Choice) -> str:
        kept = derivation.choices.get(choice.name)
        if choice.name == changed:
            others = [option for option in choice.options if option != kept]
            return draw.choice(others or choice.options)
        return draw.choice(choice.options) if kept is None else kept

    return space.derive(choose)


def mutants(space: SearchSpace, parents: list[Derivation], draw: random.Random) -> Iterator[Derivation]:
    """Without end: mutants of the parents in turn."""
    while parents:
        for parent in parents:
            child = mutated(space, parent, draw)
            yield mutated(space, child, draw) if draw.random() < TWICE else child

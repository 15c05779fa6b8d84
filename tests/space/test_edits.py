"""Networks that differ in one choice."""

from __future__ import annotations

from explorer.space.edits import current_choices, neighbours
from explorer.space.search_space import load_space


def test_neighbours_differ_in_exactly_one_choice():
    """Each neighbour is a derivation of the space with exactly one shared choice changed."""
    space = load_space("preact_variants.yaml")
    for derivation in space.sample(20, seed=3):
        found = list(neighbours(space, derivation))
        assert len(found) == sum(len(choice.options) - 1 for choice in current_choices(space, derivation))
        for choice, option, other in found:
            assert space.unrank(space.rank(other)) == other
            assert other.choices[choice] == option != derivation.choices[choice]
            shared = other.choices.keys() & derivation.choices.keys() - {choice}
            assert all(other.choices[name] == derivation.choices[name] for name in shared)


def test_a_newly_active_choice_takes_its_first_alternative():
    """A ratio that only the bottleneck has appears with its first alternative and disappears with it."""
    space = load_space("preact_variants.yaml")
    plain = space.named({"order": "original"})
    narrow = next(n.derivation for n in neighbours(space, plain) if n.option == "preact_bottleneck")
    assert narrow.choices["ratio"] == "1/4"
    back = next(n.derivation for n in neighbours(space, narrow) if n.option == "original")
    assert back == plain

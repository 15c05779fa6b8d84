"""Networks that differ in one choice."""

from __future__ import annotations

import pytest

from explorer.space.edits import current_choices, neighbour_at, neighbours, network_at
from explorer.space.search_space import load_space
from tests.space.spaces import space


def test_neighbours_differ_in_exactly_one_choice():
    """Each neighbour is a derivation of the space with exactly one shared choice changed."""
    shipped = load_space("preact_variants.yaml")
    for derivation in shipped.sample(20, seed=3):
        found = list(neighbours(shipped, derivation))
        assert len(found) == sum(len(choice.options) - 1 for choice in current_choices(shipped, derivation))
        for choice, option, other in found:
            assert shipped.unrank(shipped.rank(other)) == other
            assert other.choices[choice] == option != derivation.choices[choice]
            shared = other.choices.keys() & derivation.choices.keys() - {choice}
            assert all(other.choices[name] == derivation.choices[name] for name in shared)


def test_a_newly_active_choice_takes_its_first_alternative():
    """A ratio that only the bottleneck has appears with its first alternative and disappears with it."""
    shipped = load_space("preact_variants.yaml")
    plain = shipped.named({"order": "original"})
    narrow = next(n.derivation for n in neighbours(shipped, plain) if n.option == "preact_bottleneck")
    assert narrow.choices["ratio"] == "1/4"
    back = next(n.derivation for n in neighbours(shipped, narrow) if n.option == "original")
    assert back == plain


@pytest.mark.parametrize("spread", ["network", "stage", "block"])
def test_a_changed_network_needs_no_walk(spread):
    """``network_at`` returns the network of ``neighbour_at`` for every choice, also if other choices then arise."""
    made = space(
        {"attn": "none | se(r=q)", "q": "2 | 4", "width": "8 | 16", "proj": "conv1x1 | conv1x1 bn"},
        {"attn": spread, "q": spread, "width": "stage", "proj": "block"},
        block="conv3x3 bn attn + relu",
        stages="{blocks: 2, width: [width, width], stride: [1, 2]}",
        shortcut="{changed: proj}",
    )
    for derivation in made.sample(5):
        for choice in current_choices(made, derivation):
            for option in choice.options:
                changed = neighbour_at(made, derivation, choice.name, option)
                network = network_at(made, derivation, choice.name, option)
                assert changed is not None and network == made.architecture(changed)


def test_a_changed_network_keeps_conditions():
    """``network_at`` returns None for a network that a condition excludes."""
    made = space({"a": "relu | silu", "b": "bn | in_"}, block="conv3x3 b a +", where="not (a == silu and b == in_)")
    derivation = made.named({"a": "silu"})
    assert network_at(made, derivation, "b", "in_") is None
    assert network_at(made, derivation, "a", "relu") == made.architecture(0)

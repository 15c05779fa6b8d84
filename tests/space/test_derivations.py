"""Derivations: how a network of a space is named, derived and compared."""

from __future__ import annotations

import numpy
import pytest

from explorer.errors import ExplorerError, SpaceError
from explorer.space.choices import Choice, Derivation
from explorer.space.search_space import load_space
from tests.space.spaces import space


def test_derive_asks_for_each_active_choice_once():
    """derive() asks for the name and alternatives of each active choice once, in the derivation's order."""
    made = space({"attn": "none | se(r=q)", "q": "2 | 4"}, {"attn": "stage"}, block="conv3x3 attn +")
    asked: list[Choice] = []

    def last(choice: Choice) -> str:
        asked.append(choice)
        return choice.options[-1]

    derivation = made.derive(last)
    assert asked == [
        ("attn@stage1", ("none", "se(r=q)")),
        ("q", ("2", "4")),
        ("attn@stage2", ("none", "se(r=q)")),
    ]
    assert derivation == made.unrank(made.count() - 1)


def test_alternatives_are_written_as_in_the_file_with_single_blanks():
    """`choices` maps names to the chosen alternative's text, with single blanks."""
    made = space({"body": "conv3x3   bn   + | conv3x3 se( r = 4 ) +"}, block="body")
    assert [d.choices["body"] for d in made] == ["conv3x3 bn +", "conv3x3 se( r = 4 ) +"]


def test_omitted_choices_take_their_first_alternative():
    """Given choices are set and omitted ones take their first alternative; a name without a scope sets it in each
    scope."""
    made = space(
        {"attn": "none | se(r=4) | se(r=q)", "q": "2 | 8", "act": "relu | silu"},
        {"attn": "stage"},
        block="conv3x3 attn act +",
    )
    everywhere = made.named({"attn": "se( r=4 )"})
    assert everywhere.choices == {"attn@stage1": "se(r=4)", "act": "relu", "attn@stage2": "se(r=4)"}
    one = made.named({"attn@stage2": "se(r=q)", "q": "8", "act": "silu"})
    assert one.choices == {"attn@stage1": "none", "act": "silu", "attn@stage2": "se(r=q)", "q": "8"}
    for wanted, message in [
        ({"atn": "none"}, "no choice 'atn'.*did you mean 'attn'"),
        ({"attn": "se(r=5)"}, r"no alternative 'se\(r=5\)'; it has: none \| se\(r=4\) \| se\(r=q\)"),
        ({"q": "8"}, "'q' does not arise here"),
        ({1: "none"}, "no choice '1'; the choices here: attn@stage1, act, attn@stage2"),
        ({"attn@stage9": "none"}, "'attn@stage9' does not arise here"),
    ]:
        with pytest.raises(SpaceError, match=message):
            made.named(wanted)


def test_a_foreign_derivation_is_rejected():
    """A derivation with a missing, extra or unknown choice has no rank and no network."""
    made = space({"act": "relu | silu"}, block="conv3x3 act +")
    assert made.rank(Derivation({"act": "silu"})) == 1
    for choices, message in [
        ({}, "has no choice act"),
        ({"act": "gelu"}, r"no alternative 'gelu'; it has: relu \| silu$"),
        ({"act": 3}, "no alternative '3'"),
        ({"act": "swish"}, "no alternative 'swish'; .*; did you mean 'silu'?"),
        ({"act": "silu", "norm": "bn"}, "has the choice norm, which does not arise"),
    ]:
        with pytest.raises(SpaceError, match=message):
            made.rank(Derivation(choices))
    for choices in ({}, {"act": "gelu"}):
        with pytest.raises(SpaceError, match="act"):
            made.architecture(Derivation(choices))


def test_a_network_is_named_by_index_choices_or_derivation():
    """An index (also of NumPy), choices as a mapping or text, and a Derivation name the same network."""
    made = load_space("preact_variants.yaml")
    derivation = made.derivation("order=full_preact, depth=3")
    index = made.rank(derivation)
    for name in (index, numpy.int64(index), str(index), {"order": "full_preact", "depth": 3}, derivation.choices,
                 dict(derivation.choices), derivation):  # fmt: skip
        assert made.derivation(name) == derivation and made.rank(name) == index
        assert made.architecture(name) == made.architecture(index)
    for name in (None, 1.5, True, [1]):
        with pytest.raises(TypeError, match="expected an index, choices"):
            made.architecture(name)
    for name in ("order=nothing", "nothing=1", "order", {"order": "nothing"}, -1, made.count(), "99999999"):
        with pytest.raises(ExplorerError):
            made.architecture(name)


def test_derivations_are_hashable():
    """Equal derivations are one element of a set, in any order of their choices."""
    made = load_space("preact_variants.yaml")
    drawn = made.sample(9)
    assert len(set(drawn)) == len({str(each) for each in drawn})
    turned = Derivation(dict(reversed(drawn[0].choices.items())))
    assert turned == drawn[0] and hash(turned) == hash(drawn[0]) and turned in {drawn[0]}

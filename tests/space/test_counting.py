"""Counts, ranks and samples are exact in spaces of any size."""

from __future__ import annotations

import sys
from collections import Counter
from math import comb, prod

import pytest

from explorer.errors import SpaceError
from explorer.space.search_space import load_space
from explorer.space.shipped import shipped_spaces
from tests.space.spaces import agrees_with_trying, random_space, space

THREE_STAGES = "{blocks: 1, width: [4, 8, 16]}"


def test_the_fifteen_derivations():
    """With 3 stages, attn: none | se(r=q) per stage and q per network there are 1 + 7*2 = 15 derivations."""
    made = space(
        {"attn": "none | se(r=q)", "q": "2 | 4"},
        {"attn": "stage"},
        stages=THREE_STAGES,
        block="conv3x3 bn attn + relu",
    )
    assert made.count() == 15
    assert agrees_with_trying(made) == 15
    assert made.unrank(0).choices == {f"attn@stage{k}": "none" for k in (1, 2, 3)}
    assert list(made.unrank(14).choices.items()) == [
        ("attn@stage1", "se(r=q)"),
        ("q", "4"),
        ("attn@stage2", "se(r=q)"),
        ("attn@stage3", "se(r=q)"),
    ]


def test_rank_order():
    """Index 0 has every first alternative, and earlier choices are more significant."""
    made = space({"a": "relu | silu", "b": "bn | in_ | none"}, block="a conv3x3 b +")
    assert [tuple(d.choices.values()) for d in made] == [
        (a, b) for a in ("relu", "silu") for b in ("bn", "in_", "none")
    ]


@pytest.mark.parametrize("seed", range(150))
def test_counting_agrees_with_enumeration(seed):
    """On random small spaces, counting, ranking and iteration agree with an enumeration by deriving, and each network
    can be built."""
    made = random_space(seed, largest=150)
    if made is None:
        pytest.skip("rejected, or too large to enumerate")
    assert agrees_with_trying(made) == made.count()


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_every_shipped_space_ranks_both_ways(name):
    """unrank and rank are inverse over [0, count) in every shipped space."""
    made = load_space(name)
    last = made.count() - 1
    for index in {0, last, last // 2, last // 3, 5 * last // 7}:
        assert made.rank(made.unrank(index)) == index


def test_an_index_out_of_range_is_rejected():
    """An index below 0 or from count on is rejected with the bounds, and the last index is valid."""
    made = space(block="conv3x3 bn? +")
    assert made.rank(made.unrank(1)) == 1
    for index in (-1, 2):
        with pytest.raises(SpaceError, match=r"it has 2 derivations, 0\.\.1"):
            made.unrank(index)


def large(shortcut: str | None = None):
    """Return a space with 54 blocks and many choices each, some per network, one anonymous, and stages of variable
    depth."""
    return space(
        {
            "order": "late | early",
            "late": "conv3x3 norm act conv3x3(d=dil) norm attn? + act",
            "early": "norm act conv3x3 norm act conv3x3(d=dil) attn? (drop(0.1) | drop(0.2))? +",
            "act": "relu | silu | gelu",
            "norm": "bn | gn(g=2)",
            "attn": "se(r=q) | eca",
            "q": "2 | 4",
            "dil": "1 | 2",
            "depth": "range(14, 18, 1)",
        },
        {
            "order": "block",
            "early": "block",
            "late": "block",
            "attn": "block",
            "q": "block",
            "dil": "block",
            "depth": "stage",
        },
        block="order",
        stages="{blocks: depth, width: [16, 32, 64], stride: [1, 2, 2]}",
        **({"shortcut": shortcut} if shortcut else {}),
    )


@pytest.mark.parametrize("shortcut", [None, "{same: none | scale(0.5)}"])
def test_counting_is_exact_far_beyond_enumeration(shortcut):
    """The count of a space with more than 10^50 derivations equals the computed number, and ranks there are exact."""
    made = large(shortcut)
    # A block: attention none, eca, or se with 2 ratios; dilation 2; pre-activation with 3 ways to drop; post with 1.
    a_block = 2 * 4 * (1 + 3)
    depths = range(14, 19)
    expected = 3 * 2 * sum(a_block**n for n in depths) ** 3 * (2 if shortcut else 1)
    assert made.count() == expected > 10**50
    for index in (0, 1, expected // 3, expected - 1):
        derivation = made.unrank(index)
        assert made.rank(derivation) == index
        assert made.architecture(derivation).output == (10, 1, 1)


def test_many_network_choices_are_counted_without_enumeration():
    """Sixty choices of the whole network, half of them with a choice inside, are counted without enumeration."""
    grammar = {f"a{k}": "relu | silu" for k in range(30)}
    grammar |= {f"b{k}": f"none | se(r=q{k})" for k in range(30)} | {f"q{k}": "2 | 4 | 8" for k in range(30)}
    made = space(grammar, block=" ".join([*(f"a{k} b{k}" for k in range(30)), "conv3x3 +"]))
    assert made.count() == 2**30 * 4**30
    index = made.count() // 7
    assert made.rank(made.unrank(index)) == index


def test_very_deep_stages_need_no_recursion():
    """2,000 blocks in a stage, each with a choice, can be counted, ranked and derived."""
    made = space(
        {"act": "relu | silu"},
        {"act": "block"},
        block="conv3x3 act +",
        stages="{blocks: 2000, width: 4}",
        input="3x4x4",
    )
    assert made.count() == 2**2000
    index = 2**2000 // 3
    assert made.rank(made.unrank(index)) == index
    assert len(made.architecture(index).stages[0].blocks) == 2000


def test_sampling_is_uniform_over_derivations():
    """Each derivation is sampled equally often, whatever its number of choices, and a seed reproduces the sample."""
    made = space(
        {"attn": "none | se(r=q)", "q": "2 | 4"}, {"attn": "stage"}, stages=THREE_STAGES, block="conv3x3 bn attn + relu"
    )
    drawn = Counter(made.rank(derivation) for derivation in made.sample(15 * 200, seed=3))
    assert set(drawn) == set(range(15))
    # Chi-square with 14 degrees of freedom: 36.1 is the 99.9th percentile. If each choice were drawn uniformly, index 0
    # would have a probability of one eighth.
    assert sum((drawn[k] - 200) ** 2 / 200 for k in range(15)) < 36.1
    assert made.sample(5, seed=1) == made.sample(5, seed=1) != made.sample(5, seed=2)


def test_sampling_a_space_too_large_to_list():
    """A sample is drawn from 10^100 derivations without listing them."""
    made = large()
    first, second = made.sample(2, seed=0)
    assert first != second
    assert 0 <= made.rank(first) < made.count()


def test_iteration_gives_every_derivation_in_rank_order():
    """iter(space) is unrank(0), unrank(1), ..."""
    made = space({"act": "relu | silu"}, {"act": "stage"}, block="conv3x3 act +")
    assert list(made) == [made.unrank(index) for index in range(made.count())]


def test_limits_do_not_change_counts():
    """Limits never change a count, an index or a sample, and they are kept with the space."""
    free = space(block="conv3x3 bn? +")
    bound = space(block="conv3x3 bn? +", limits="{params: <= 1k, macs: < 2.5M}")
    assert (free.count(), list(free)) == (bound.count(), list(bound))
    assert [str(limit) for limit in bound.limits] == ["params <= 1k", "macs < 2.5M"]


def test_counts_equal_the_combinatorial_formula():
    """With attention in k of 6 stages, each with its own ratio, the count is the sum of comb(6, k) 3^k = 4^6."""
    made = space(
        {"attn": "none | se(r=q)", "q": "2 | 4 | 8"},
        {"attn": "stage", "q": "stage"},
        block="conv3x3 attn +",
        stages="{blocks: 1, width: [4, 4, 4, 4, 4, 4]}",
    )
    assert made.count() == sum(comb(6, k) * 3**k for k in range(7)) == prod([4] * 6)


def test_a_space_too_large_for_len():
    """A space with more derivations than ``len`` can return is true, and can be indexed and searched."""
    made = space({"a": "1 | 2"}, {"a": "use"}, stages="{blocks: 100, width: 8}", block="conv3x3(d=a) bn + relu")
    assert made.count() > sys.maxsize and made and made[-1] in made
    with pytest.raises(OverflowError, match=r"use count\(\)"):
        len(made)

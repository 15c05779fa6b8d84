"""Counting, ranking, sampling and iterating over a space's derivations."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from math import comb, prod

import numpy
import pytest

from explorer.errors import ExplorerError, SpaceError
from explorer.space.choices import Choice, Derivation
from explorer.space.search_space import load_space
from explorer.space.shipped import shipped_spaces
from tests.space.spaces import agrees_with_trying, only, random_space, space

THREE_STAGES = "{blocks: 1, width: [4, 8, 16]}"


def names(derivation: Derivation) -> list[str]:
    return list(derivation.choices)


def test_a_file_without_choices_has_one_derivation():
    """A file without choices has one derivation with an empty text."""
    made = space()
    assert (made.count(), made.unrank(0).choices) == (1, {})


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


@pytest.mark.parametrize(
    ("scope", "count", "some"),
    [
        ("network", 2, ["act"]),
        ("stage", 4, ["act@stage1", "act@stage2"]),
        ("block", 2**4, ["act@stage1.block1", "act@stage1.block2", "act@stage2.block1", "act@stage2.block2"]),
        ("use", 2**8, [f"act@stage{k}.block{j}.use{u}" for k in (1, 2) for j in (1, 2) for u in (1, 2)]),
    ],
)
def test_vary_sets_the_scope_of_a_rule(scope, count, some):
    """A rule is one choice in its scope: network, each stage, each block, or each use."""
    made = space({"act": "relu | silu"}, {"act": scope}, block="conv3x3 bn act conv3x3 bn + act")
    assert made.count() == count
    assert names(made.unrank(count - 1)) == some
    assert agrees_with_trying(made) == count


@pytest.mark.parametrize("scope", ["stage", "block", "use"])
def test_stem_and_head_are_separate_scopes(scope):
    """A rule that varies by stage or below has its own choice in the stem (act@stem) and in the head."""
    made = space(
        {"act": "relu | silu"}, {"act": scope}, stem="conv3x3(8) act", head="act gap fc", stages="{blocks: 1, width: 8}"
    )
    use = ".use1" if scope == "use" else ""
    assert names(made.unrank(0)) == [f"act@stem{use}", f"act@head{use}"]
    assert made.count() == 4


def test_a_transition_belongs_to_the_stage_it_opens():
    """A rule that varies by stage has one choice for a transition and the stage after it."""
    made = space({"act": "relu | silu"}, {"act": "stage"}, transition="act conv1x1", block="conv3x3 act +")
    assert names(made.unrank(0)) == ["act@stage1", "act@stage2"]


def test_a_shortcut_belongs_to_its_block():
    """A rule that varies by block has one choice for a block's branch and its shortcut."""
    made = space(
        {"act": "relu | silu"}, {"act": "block"}, block="conv3x3 act +", shortcut="{same: act, changed: conv1x1 act}"
    )
    assert made.count() == 2**4
    assert agrees_with_trying(made) == 2**4


def test_inactive_choices_are_not_counted():
    """A choice inside an alternative is active only if that alternative is chosen."""
    made = space(
        {"order": "plain | attentive", "plain": "conv3x3 +", "attentive": "conv3x3 se(r=q) +", "q": "2 | 4 | 8"},
        block="order",
    )
    assert made.count() == 1 + 3
    assert names(made.unrank(0)) == ["order"]
    assert names(made.unrank(3)) == ["order", "q"]


def test_an_unused_shortcut_has_no_choices():
    """Choices of `changed` are active only in blocks that change shape, those of `same` only in the others."""
    same_only = space(shortcut="{same: none | scale(0.5), changed: conv1x1}", stages="{blocks: 1, width: [16, 32]}")
    assert same_only.count() == 1
    both = space({"keep": "none | scale(0.5)"}, {"keep": "block"}, shortcut="{same: keep, changed: conv1x1}")
    assert names(both.unrank(0)) == ["keep@stage1.block1", "keep@stage1.block2", "keep@stage2.block2"]


def test_the_shortcut_of_a_block_may_depend_on_a_choice():
    """The active choices follow the shapes: a width that keeps the shape activates `same`, another one `changed`."""
    made = space(
        {"out": "w | 2*w"},
        block="conv3x3 bn conv3x3(out) + relu",
        stages="{blocks: 1, width: 8}",
        shortcut="{same: none | scale(0.5), changed: conv1x1(out) | conv3x3(out) | conv1x1(out) bn}",
    )
    assert made.count() == 2 + 3
    assert agrees_with_trying(made) == 5


def test_the_first_alternative_of_an_optional_layer_is_none():
    """`x?` has the alternatives none and x, in this order."""
    made = space(block="conv3x3 bn? +")
    assert made.count() == 2
    assert [list(d.choices.items()) for d in made] == [[("block.1", "none")], [("block.1", "bn")]]


@pytest.mark.parametrize(
    ("item", "counts"), [("{2}", None), ("{1,3}", ["1", "2", "3"]), ("{0,1}", ["0", "1"]), ("{0,2}", ["0", "1", "2"])]
)
def test_repetitions(item, counts):
    """{n} repeats without a choice, and {n,m} is a choice of n to m repetitions."""
    made = space(block=f"'(conv3x3 bn){item} +'", stages="{blocks: 2, width: 8}")
    if counts is None:
        assert made.count() == 1
        assert str(made.architecture(0).stages[0].blocks[0]).count("conv3x3") == 2
    else:
        assert [d.choices["block.1"] for d in made] == counts
        for number, derivation in enumerate(made):
            assert len(made.architecture(derivation).stages[0].blocks[1].branch) == 2 * int(counts[number])


@pytest.mark.parametrize(("scope", "count"), [("network", 2), ("block", 2), ("use", 8)])
def test_a_repeated_choice_is_made_once_unless_it_varies_by_use(scope, count):
    """(act conv3x3){3} has one choice act, or three if act varies by use."""
    made = space({"act": "relu | silu"}, {"act": scope}, block="(act conv3x3){3} +", stages="{blocks: 1, width: 8}")
    assert made.count() == count
    assert agrees_with_trying(made) == count


def test_repetitions_of_a_rule_that_varies_by_use():
    """(act){0,2} by use has 1 + 2 + 4 derivations."""
    made = space({"act": "relu | silu"}, {"act": "use"}, block="act{0,2} conv3x3 +", stages="{blocks: 1, width: 8}")
    assert made.count() == 1 + 2 + 4
    assert agrees_with_trying(made) == 7


def test_anonymous_choices_are_named_after_rule_and_position():
    """Alternatives in brackets, `?` and `{n,m}` within a rule are rule.1, rule.2, ... in text order."""
    made = space({"body": "(relu | silu) conv3x3 (bn | in_)? conv3x3{1,2} +"}, block="body")
    assert [point.name for point in made.points] == ["body.1", "body.2", "body.3", "body.4"]
    assert dict(made.unrank(made.count() - 1).choices) == {
        "body.1": "silu",
        "body.2": "(bn | in_)",
        "body.3": "in_",
        "body.4": "2",
    }
    assert made.count() == 2 * (1 + 2) * 2


def test_an_anonymous_choice_has_its_rules_scope():
    """`(relu | silu)` in a rule that varies by block is a choice in each block."""
    made = space({"body": "conv3x3 (relu | silu) +"}, {"body": "block"}, block="body")
    assert names(made.unrank(0))[0] == "body.1@stage1.block1"
    assert made.count() == 2**4


def test_a_rule_that_is_one_choice_gives_its_name():
    """If the whole body of a rule is one choice, the choice has the rule's name."""
    made = space(
        {"extra": "(conv3x3)?", "times": "relu{1,2}", "base": "(range(8, 16, 4))"},
        block="conv3x3(base) extra times conv3x3 +",
    )
    assert {point.name for point in made.points} == {"base", "extra", "times"}


def test_block_may_be_a_choice_and_vary():
    """`block` with alternatives is a choice named `block`, and `vary` accepts it."""
    sections = {"block": "a | b"}
    grammar = {"a": "conv3x3 +", "b": "conv3x3 bn + relu"}
    assert names(space(grammar, **sections).unrank(0)) == ["block"]
    by_block = space(grammar, {"block": "block"}, **sections)
    assert by_block.count() == 2**4
    assert names(by_block.unrank(0))[-1] == "block@stage2.block2"


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("range(1, 3, 1)", ["1", "2", "3"]),
        ("range(1, 4, 2)", ["1", "3"]),
        ("range(0.5, 1, 0.25)", ["0.5", "0.75", "1"]),
        ("range(2, 2, 1)", None),
    ],
)
def test_a_range_includes_its_end_if_reached(rule, values):
    """range(lo, hi, step) is a numeric choice that includes `hi` if reached, and a range of one value is no choice."""
    made = space({"some": rule}, block="conv3x3 conv3x3(16*some) conv3x3 +")
    assert [d.choices.get("some") for d in made] == (values or [None])


def test_numeric_rules_are_evaluated():
    """Numeric rules are allowed wherever a number is, with + - * / brackets, unary minus and round."""
    made = only(
        grammar={"base": "6", "twice": "2*base", "odd": "-(1 - twice)/1", "near": "round(odd + 0.5, 8)"},
        block="conv3x3(near) conv3x3(base + twice) conv3x3(odd) conv3x3 +",
        stages="{blocks: 1, width: twice/2}",
        stem="conv3x3(w)",
    )
    assert [op.out for op in made.stages[0].blocks[0].branch] == [8, 18, 11, 6]


def test_round_gives_the_nearest_multiple_and_at_least_one():
    """round(x, m) gives the nearest multiple of m, rounds halves up, and gives at least m."""
    made = only(
        block="conv3x3(round(1, 8)) conv3x3(round(12, 8)) conv3x3(round(11.9, 8)) conv3x3(round(2.5, 1)) conv3x3 +"
    )
    assert [op.out for op in made.stages[0].blocks[0].branch] == [8, 16, 8, 3, 8]


def test_alternatives_in_brackets_are_allowed_in_arithmetic():
    """(1 | 2)*w is a choice of its rule."""
    made = space(block="conv3x3((1 | 2)*w) conv3x3 +")
    assert [d.choices for d in made] == [{"block.1": "1"}, {"block.1": "2"}]


def test_depth_by_stage_and_for_the_network():
    """`blocks: depth` is one depth for all stages, unless depth varies by stage."""
    once = space({"depth": "1 | 2 | 3"}, stages="{blocks: depth, width: [4, 8, 16]}")
    each = space({"depth": "1 | 2 | 3"}, {"depth": "stage"}, stages="{blocks: depth, width: [4, 8, 16]}")
    assert (once.count(), each.count()) == (3, 27)
    assert [len(stage.blocks) for stage in each.architecture(5).stages] == [1, 2, 3]


def test_choices_of_absent_blocks_are_not_counted():
    """With 1 to 3 blocks and an activation by block there are 2 + 4 + 8 derivations."""
    made = space(
        {"depth": "range(1, 3, 1)", "act": "relu | silu"},
        {"act": "block"},
        block="conv3x3 act +",
        stages="{blocks: depth, width: 8}",
    )
    assert made.count() == 14
    assert agrees_with_trying(made) == 14


def test_rank_order():
    """Index 0 has every first alternative, and earlier choices are more significant."""
    made = space({"a": "relu | silu", "b": "bn | in_ | none"}, block="a conv3x3 b +")
    assert [tuple(d.choices.values()) for d in made] == [
        (a, b) for a in ("relu", "silu") for b in ("bn", "in_", "none")
    ]


@pytest.mark.parametrize("seed", range(60))
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
        ({"act": "gelu"}, "no alternative 'gelu'"),
        ({"act": "silu", "norm": "bn"}, "has the choice norm, which does not arise"),
    ]:
        with pytest.raises(SpaceError, match=message):
            made.rank(Derivation(choices))
    for choices in ({}, {"act": "gelu"}):
        with pytest.raises(SpaceError, match="act"):
            made.architecture(Derivation(choices))


def test_limits_do_not_change_counts():
    """Limits never change a count, an index or a sample, and they are kept with the space."""
    free = space(block="conv3x3 bn? +")
    bound = space(block="conv3x3 bn? +", limits="{params: <= 1k, macs: < 2.5M}")
    assert (free.count(), list(free)) == (bound.count(), list(bound))
    assert [str(limit) for limit in bound.limits] == ["params <= 1k", "macs < 2.5M"]


def test_the_digest_of_a_space_depends_on_its_meaning():
    """Blanks, comments, the order of keys and free text do not change a space's digest, and anything else does."""
    one = space({"act": "relu | silu"}, name="one")
    assert one.digest == space({"act": "relu   |  silu   # why"}, name="two").digest
    assert one.digest == space({"act": "relu | silu"}, about="Some words.").digest
    assert one.digest != space({"act": "silu | relu"}).digest
    assert one.digest != one.with_input((3, 8, 8), 10).digest
    assert (
        one.digest
        == one.with_input((3, 16, 16), 10).digest
        == one.with_input((3, 8, 8), 5).with_input((3, 16, 16), 10).digest
    )


def test_another_input_is_checked():
    """with_input keeps the rules and the count, and rejects an input on which a network cannot be built."""
    made = space(stem="conv4x4(8, s=4)")
    assert made.with_input((1, 32, 32), 7).architecture(0).input == (1, 32, 32)
    with pytest.raises(SpaceError, match="does not fit an input of 3x2x2"):
        made.with_input((3, 2, 2), 10)


def test_stages_may_have_their_own_blocks_and_choices():
    """In a list of mappings each stage may have its own block and numbers, with choices of that stage."""
    made = space(
        {"basic": "conv3x3 bn +", "deep": "conv1x1 bn conv3x3 bn +"},
        stages="[{blocks: 1 | 2, width: 4}, {blocks: 2, width: 8, stride: 2, block: basic | deep}]",
        block="basic",
    )
    assert [tuple(d.choices.items()) for d in made][:2] == [
        (("stages.blocks@stage1", "1"), ("block@stage2", "basic")),
        (("stages.blocks@stage1", "1"), ("block@stage2", "deep")),
    ]
    assert made.count() == 4


def test_counts_equal_the_combinatorial_formula():
    """With attention in k of 6 stages, each with its own ratio, the count is the sum of comb(6, k) 3^k = 4^6."""
    made = space(
        {"attn": "none | se(r=q)", "q": "2 | 4 | 8"},
        {"attn": "stage", "q": "stage"},
        block="conv3x3 attn +",
        stages="{blocks: 1, width: [4, 4, 4, 4, 4, 4]}",
    )
    assert made.count() == sum(comb(6, k) * 3**k for k in range(7)) == prod([4] * 6)


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


def test_a_space_is_a_sequence_of_its_derivations():
    """Length, index, negative index, slice and membership equal those of the list of all derivations."""
    made = load_space("he2016_orders.yaml")
    every = list(made)
    assert len(made) == made.count() == len(every)
    assert [made[0], made[-1], made[1:3], made[::-2]] == [every[0], every[-1], every[1:3], every[::-2]]
    assert every[3] in made and Derivation({"order": "nothing"}) not in made and 3 not in made
    for index in (len(every), -len(every) - 1):
        with pytest.raises(IndexError, match="is outside the space: it has 5 derivations"):
            made[index]
    with pytest.raises(TypeError):
        made["order"]
    with pytest.raises(SpaceError, match="at least 0"):
        made.sample(-1)


def test_a_space_too_large_for_len():
    """A space with more derivations than ``len`` can return is true, and can be indexed and searched."""
    made = space({"a": "1 | 2"}, {"a": "use"}, stages="{blocks: 100, width: 8}", block="conv3x3(d=a) bn + relu")
    assert made.count() > sys.maxsize and made and made[-1] in made
    with pytest.raises(OverflowError, match=r"use count\(\)"):
        len(made)


def test_a_space_can_be_pickled_after_counting():
    """A pickled space has the same derivations, and its counts are computed again after unpickling."""
    made = load_space("preact_variants.yaml")
    bare = len(pickle.dumps(made))
    index = made.count() - 1
    again = pickle.loads(pickle.dumps(made))
    assert len(pickle.dumps(made)) == bare
    assert (again.count(), again.digest, again.unrank(index)) == (made.count(), made.digest, made.unrank(index))
    assert again.architecture(index) == made.architecture(index)


def test_program_is_a_deprecated_name():
    """``space.program`` warns and returns the deriver's expressions."""
    space = load_space("he2016_orders.yaml")
    with pytest.warns(DeprecationWarning, match="now SearchSpace.deriver.program"):
        assert space.program is space.deriver.program

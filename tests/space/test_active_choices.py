"""Which choices a space has, in which scope, and when they are active."""

from __future__ import annotations

import pytest

from explorer.space.choices import Derivation
from tests.space.spaces import agrees_with_trying, space


def names(derivation: Derivation) -> list[str]:
    return list(derivation.choices)


def test_a_file_without_choices_has_one_derivation():
    """A file without choices has one derivation with an empty text."""
    made = space()
    assert (made.count(), made.unrank(0).choices) == (1, {})


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

"""The parts of a block: its shortcut, its merge, and the layers that stem and head copy from it."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from explorer.networks.architecture import Architecture
from explorer.networks.ops.base import TensorShape
from tests.space.spaces import first, line, only, space, ways, written

# Shortcuts


def test_the_default_shortcuts():
    """`same` defaults to the identity and `changed` to conv1x1 bn."""
    made = only()
    assert [ways(block) for stage in made.stages for block in stage.blocks] == ["", "", "conv1x1(out=16, s=2) bn", ""]


@pytest.mark.parametrize(
    ("shortcut", "same", "changed"),
    [
        ("{same: identity}", "", "conv1x1(out=16, s=2) bn"),
        ("{same: scale(0.5)}", "scale(x=0.5)", "conv1x1(out=16, s=2) bn"),
        ("{same: drop(0.5), changed: conv1x1}", "drop(p=0.5)", "conv1x1(out=16, s=2)"),
        ("{same: conv1x1(in)}", "conv1x1(out=IN)", "conv1x1(out=16, s=2) bn"),
        ("{same: shortcut_gate(b=-6)}", "shortcut_gate(b=-6)", "conv1x1(out=16, s=2) bn"),
        ("{changed: subsample}", "", "subsample(s=2, out=16)"),
        ("{changed: avgpool conv1x1 bn}", "", "avgpool2x2(s=2) conv1x1(out=16) bn"),
        ("{changed: maxpool3x3(s=s) conv1x1}", "", "maxpool3x3(s=2) conv1x1(out=16)"),
        ("{same: none}", "-", "conv1x1(out=16, s=2) bn"),
        ("{changed: none}", "", "-"),
        ("{same: none, changed: none}", "-", "-"),
        ("{same: 'none '}", "-", "conv1x1(out=16, s=2) bn"),
        ("{same: (none)}", "", "conv1x1(out=16, s=2) bn"),
        ("{same: scale(1)}", "", "conv1x1(out=16, s=2) bn"),
    ],
)
def test_shortcuts(shortcut, same, changed):
    """`same` applies if the block keeps its shape, else `changed`; the expression `none` means no shortcut, and an
    empty one the identity."""
    made = only(shortcut=shortcut)
    found = [ways(block) for stage in made.stages for block in stage.blocks]
    assert found == [same.replace("IN", "8"), same.replace("IN", "8"), changed, same.replace("IN", "16")]


def test_an_alternative_of_none_is_the_identity():
    """Only the whole expression `none` means no shortcut; an alternative `none` is empty."""
    made = space(shortcut="{same: none | scale(0.5)}")
    assert [ways(first(made.architecture(index))) for index in range(2)] == ["", "scale(x=0.5)"]


def test_an_avgpool_shortcut_without_a_stride():
    """avgpool pools by s and vanishes if s is 1, as in ResNet-D's first stage."""
    made = only(shortcut="{changed: avgpool conv1x1 bn}", stages="{blocks: 1, width: [16, 32], stride: [1, 2]}")
    assert ways(first(made, 1)) == "conv1x1(out=16) bn"
    assert ways(first(made, 2)) == "avgpool2x2(s=2) conv1x1(out=32) bn"


@pytest.mark.parametrize(
    ("source", "shared"),
    [("input", [0, 0, 0, 0]), ("preact", [2, 0, 2, 0])],
)
def test_from_preact_shares_the_first_norm_and_activation(source, shared):
    """from: preact takes the shortcut after the branch's pre if the shape changes and in the first block (He et al.
    2016); from: input is the default."""
    made = only(
        block="bn relu conv3x3 bn relu conv3x3 +",
        shortcut=f"{{changed: conv1x1, from: {source}}}",
        stem="conv3x3(8)",
        head="pre gap fc",
    )
    assert [block.shared for stage in made.stages for block in stage.blocks] == shared


def test_from_preact_of_a_branch_without_pre():
    """A branch that starts with a conv has no pre, so its shortcut takes the input."""
    made = only(shortcut="{from: preact}")
    assert {block.shared for stage in made.stages for block in stage.blocks} == {0}


def test_a_key_named_like_a_rule_overrides():
    """Blocks of a rule use the shortcut entry with its name, missing keys come from the general entry, and the
    innermost named rule wins."""
    made = space(
        {
            "order": "post_ | pre_",
            "post_": "conv3x3 bn + relu",
            "pre_": "bn relu conv3x3 inner +",
            "inner": "conv1x1 | se(r=4) conv1x1",
        },
        block="order",
        stem="conv3x3(8)",
        shortcut="{changed: conv1x1 bn, same: scale(0.5), pre_: {changed: conv1x1, from: preact}, "
        "order: {same: drop(0.5)}}",
        stages="{blocks: 1, width: [8, 16], stride: [1, 2]}",
    )
    by_post, by_pre = made.architecture(made.named({})), made.architecture(made.named({"order": "pre_"}))
    assert (ways(first(by_post, 1)), ways(first(by_post, 2))) == ("drop(p=0.5)", "conv1x1(out=16, s=2) bn")
    assert (ways(first(by_pre, 1)), ways(first(by_pre, 2))) == ("scale(x=0.5)", "conv1x1(out=16, s=2)")
    assert (first(by_post, 2).shared, first(by_pre, 2).shared) == (0, 2)


def test_a_stage_may_have_its_own_shortcut_block_and_first_block():
    """A stage may have its own block, first block and shortcut."""
    made = only(
        stages="[{blocks: 2, width: 8}, {blocks: 2, width: 16, block: conv5x5 +, first: conv7x7 +, "
        "shortcut: {same: scale(0.5), changed: conv1x1}}]",
        block="conv3x3 +",
    )
    assert [(line(block), ways(block)) for stage in made.stages for block in stage.blocks] == [
        ("conv3x3(out=8) +", ""),
        ("conv3x3(out=8) +", ""),
        ("conv7x7(out=16) +", "conv1x1(out=16)"),
        ("conv5x5(out=16) +", "scale(x=0.5)"),
    ]


# post and pre


@pytest.mark.parametrize(
    ("block", "stem", "head"),
    [
        ("conv3x3 bn relu conv3x3 bn + relu", "conv3x3(out=8) bn relu", "gap fc(out=10)"),
        ("conv3x3 bn relu conv3x3 + bn relu", "conv3x3(out=8) bn relu", "gap fc(out=10)"),
        ("conv3x3 bn relu conv3x3 bn relu +", "conv3x3(out=8) bn relu", "gap fc(out=10)"),
        ("relu conv3x3 bn relu conv3x3 bn +", "conv3x3(out=8) bn", "relu gap fc(out=10)"),
        ("bn relu conv3x3 bn relu conv3x3 +", "conv3x3(out=8)", "bn relu gap fc(out=10)"),
        (
            "conv3x3 bn se(r=4) silu drop(0.1) conv3x3 in_ se(r=4) drop(0.1) + gelu",
            "conv3x3(out=8) in_ gelu",
            "gap fc(out=10)",
        ),
        ("bn relu drop(0.1) conv3x3 bn +", "conv3x3(out=8) bn", "bn relu gap fc(out=10)"),
    ],
)
def test_one_stem_and_one_head_fit_every_order(block, stem, head):
    """post copies the norms and activations after the first block's last conv, and pre the longest initial run in the
    last block."""
    made = only(block=block, stem="conv3x3(8) post", head="pre gap fc")
    assert (written(made.stem), written(made.head)) == (stem, head)


def test_copies_follow_the_choices_of_the_block_they_copy():
    """post and pre copy resolved layers and add no choice of their own."""
    made = space(
        {"act": "relu | silu"},
        {"act": "block"},
        block="act conv3x3 act +",
        stem="conv3x3(8) post",
        head="pre gap fc",
        stages="{blocks: 2, width: 8}",
    )
    assert made.count() == 4
    arch = made.architecture(made.named({"act@stage1.block1": "silu"}))
    assert (written(arch.stem), written(arch.head)) == ("conv3x3(out=8) silu", "relu gap fc(out=10)")


def test_a_copied_layer_that_does_not_fit_is_an_error_with_a_position():
    """A norm of 4 groups copied to a stem of 6 channels is rejected at the stem's `post`, and 8 channels are
    accepted."""
    sections = {"block": "conv3x3 gn(g=4) +", "stages": "{blocks: 1, width: 8}"}
    assert written(only(**sections, stem="conv3x3(8) post").stem) == "conv3x3(out=8) gn(g=4)"
    with pytest.raises(SpaceError, match=r"<space>:3:18: the stem: 4 groups of gn\(g=4\) do not divide the 6"):
        space(**sections, stem="conv3x3(6) post")


# Merges


def test_concatenation_grows_by_the_width():
    """With cat the output has `in` plus the branch's channels, and w is the growth rate."""
    made = only(
        block="bn relu conv1x1(4*w) bn relu conv3x3 cat",
        stages="{blocks: [3, 2], width: 4}",
        transition="bn conv1x1(in/2) avgpool",
        stem="conv3x3(8)",
    )
    assert [shape.channels for shape in made.stage_shapes()] == [8, 20, 18]


def test_with_cat_channels_do_not_change_the_shape():
    """With cat only height and width decide whether the shape changes."""
    made = only(
        block="conv3x3 cat", stages="{blocks: 2, width: 4, stride: 2}", shortcut="{changed: avgpool}", stem="conv3x3(8)"
    )
    assert [ways(block) for block in made.stages[0].blocks] == ["avgpool2x2(s=2)", ""]
    assert made.stage_shapes()[-1] == TensorShape(16, 8, 8)


def test_concatenation_has_a_limit():
    """cat gives at most 65,536 channels."""
    sections = {"block": "conv1x1 cat", "stem": "conv1x1(w)", "input": "1x1x1"}
    assert only(**sections, stages="{blocks: 3, width: 16384}").stage_shapes()[-1].channels == 65_536
    with pytest.raises(SpaceError, match="'cat' gives 65,540 channels"):
        space(**sections, stages="{blocks: 3, width: 16385}")


def test_a_gate_is_a_sum_if_the_shape_changes():
    """If the shape changes, `gate` is `+` and `changed` applies."""
    made = only(block="conv3x3 bn gate(b=-6) relu")
    assert [line(block) for stage in made.stages for block in stage.blocks] == [
        "conv3x3(out=8) bn gate(b=-6) relu",
        "conv3x3(out=8) bn gate(b=-6) relu",
        "conv3x3(out=16, s=2) bn + relu",
        "conv3x3(out=16) bn gate(b=-6) relu",
    ]
    assert Architecture.from_json(made.to_json()) == made


def test_a_plain_network():
    """A plain block (VGG) has merge + and no shortcut."""
    made = only(block="conv3x3 bn relu +", shortcut="{same: none, changed: none}")
    assert [block.shortcut for stage in made.stages for block in stage.blocks] == [None] * 4

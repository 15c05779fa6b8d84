"""From a space and its answers to the network: strides, widths, shortcuts, copied layers, transitions."""

from __future__ import annotations

import pytest

from explorer.architecture import Architecture
from explorer.costing.analytic import count_cost
from explorer.errors import SpaceError
from explorer.grammar.parse import load_space, parse_space
from explorer.ops.base import TensorShape
from tests.grammar.spaces import PLAIN, line, only, space, text, ways

ONE_BLOCK = "{blocks: 1, width: 16, stride: 2}"


def first(arch: Architecture, stage: int = 1):
    return arch.stages[stage - 1].blocks[0]


def branch(arch: Architecture, stage: int = 1) -> str:
    return " ".join(map(str, first(arch, stage).branch))


def written(ops) -> str:
    return " ".join(map(str, ops))


# Widths


def test_a_conv_without_a_width_gives_the_stages():
    """A conv without an output width gives w, a depthwise conv keeps its input's channels."""
    made = only(block="conv1x1(24) dwconv3x3 conv3x3 + ", stages="{blocks: 1, width: 16}")
    assert branch(made) == "conv1x1(out=24) conv3x3(out=24, g=24) conv3x3(out=16)"


def test_the_stems_width_is_the_first_stages_and_the_heads_the_last():
    """`w` in the stem is the first stage's width, in the head the last stage's."""
    made = only(stem="conv3x3(w/2) conv3x3", head="conv1x1(2*w) conv1x1 gap fc")
    assert written(made.stem) == "conv3x3(out=4) conv3x3(out=8)"
    assert written(made.head) == "conv1x1(out=32) conv1x1(out=16) gap fc(out=10)"


def test_the_variables_say_where_a_block_stands():
    """w the width, in what arrives, d the dilation, i and n the block's place from 1 and the number of blocks."""
    made = only(
        block="conv1x1(in) conv3x3(w, d=d) drop(i/100) droppath(n/100) +",
        stages="{blocks: [1, 2], width: [8, 16], dilation: [1, 2]}",
    )
    assert [line(block) for stage in made.stages for block in stage.blocks] == [
        "conv1x1(out=8) conv3x3(out=8) drop(p=0.01) droppath(p=0.03) +",
        "conv1x1(out=8) conv3x3(out=16, d=2) drop(p=0.02) droppath(p=0.03) +",
        "conv1x1(out=16) conv3x3(out=16, d=2) drop(p=0.03) droppath(p=0.03) +",
    ]


def test_linear_decay_from_nothing():
    """droppath(0.2*(i-1)/(n-1)), as timm spreads it, loads although it has no value for a network of one block."""
    made = only(block="conv3x3 droppath(0.2*(i-1)/(n-1)) +", stages="{blocks: 3, width: 8}")
    assert [written(block.branch) for block in made.stages[0].blocks] == [
        "conv3x3(out=8)",
        "conv3x3(out=8) droppath(p=0.1)",
        "conv3x3(out=8) droppath(p=0.2)",
    ]


def test_widths_may_follow_the_blocks_place():
    """A pyramid (Han et al. 2017): each block is wider than the one before, with zero-padded shortcuts."""
    grown = "round(16 + 48*i/n, 1)"
    made = only(
        block=f"bn conv3x3({grown}) bn relu conv3x3({grown}) bn +",
        shortcut=f"{{changed: 'subsample(out={grown})'}}",
        stages="{blocks: 2, width: [16, 16, 16], stride: [1, 2, 2]}",
        stem="conv3x3(16) bn",
    )
    assert [block.branch[-2].out for stage in made.stages for block in stage.blocks] == [24, 32, 40, 48, 56, 64]
    assert made.stage_shapes()[-1] == (64, 4, 4)


# Strides


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("conv1x1 conv3x3 conv3x3 +", "conv1x1(out=16) conv3x3(out=16, s=2) conv3x3(out=16)"),
        ("conv1x1 conv1x1 +", "conv1x1(out=16, s=2) conv1x1(out=16)"),
        ("conv1x1 dwconv5x5 conv3x3 +", "conv1x1(out=16) conv5x5(out=16, s=2, g=16) conv3x3(out=16)"),
        ("conv1x1(s=s) conv3x3 +", "conv1x1(out=16, s=2) conv3x3(out=16)"),
        ("conv3x3 conv3x3(s=s) +", "conv3x3(out=16) conv3x3(out=16, s=2)"),
        ("conv3x3 conv3x3(16, s=2/1*s/s) +", "conv3x3(out=16) conv3x3(out=16, s=2)"),
        ("conv3x3 avgpool +", "conv3x3(out=16) avgpool2x2(s=2)"),
        ("maxpool3x3(s=s) conv3x3 +", "maxpool3x3(s=2) conv3x3(out=16)"),
        ("conv3x3(w*s/s) conv3x3 +", "conv3x3(out=16, s=2) conv3x3(out=16)"),
        ("conv3x3(s=1) conv3x3 +", "conv3x3(out=16) conv3x3(out=16, s=2)"),
    ],
)
def test_who_takes_the_stride(block, expected):
    """The op whose stride is written with `s`, or a pool without a size; else the first conv with a
    kernel larger than 1; failing that the first conv."""
    assert branch(only(block=f"'{block}'", stages=ONE_BLOCK)) == expected


def test_the_variable_s_is_one_where_there_is_no_stride():
    """In a stage's later blocks s is 1, and an avgpool without a size vanishes."""
    made = only(block="avgpool conv3x3(s=s/s) +", stages="{blocks: 2, width: 16, stride: 2}")
    assert [written(block.branch) for block in made.stages[0].blocks] == [
        "avgpool2x2(s=2) conv3x3(out=16)",
        "conv3x3(out=16)",
    ]


@pytest.mark.parametrize(
    ("block", "stride", "message"),
    [
        ("conv3x3(s=2) conv3x3 +", 1, "the layers shrink by 2, the stride is 1"),
        ("conv3x3(s=2) conv3x3 +", 2, "the layers shrink by 4, the stride is 2"),
        ("avgpool conv3x3(s=s) +", 2, "the layers shrink by 4, the stride is 2"),
        ("conv3x3(s=1) bn +", 2, "the layers shrink by 1, the stride is 2; let one of them take it, as in conv3x3"),
        ("relu +", 2, "the layers shrink by 1, the stride is 2"),
        ("conv3x3(s=4) +", 2, "the layers shrink by 4, the stride is 2"),
    ],
)
@pytest.mark.parametrize("shortcut", ["{same: none, changed: none}", "{changed: conv1x1(s=2)}"])
def test_a_branch_shrinks_by_exactly_the_stride(block, stride, message, shortcut):
    """A constant s=2 is only itself; the branch must shrink by exactly s, shortcut or no shortcut."""
    good = only(block="conv3x3(s=2) conv3x3(s=1) +", stages=ONE_BLOCK, shortcut="{same: none, changed: none}")
    assert good.stage_shapes()[-1] == (16, 8, 8)
    with pytest.raises(SpaceError, match=message):
        space(block=block, stages=f"{{blocks: 1, width: 8, stride: {stride}}}", shortcut=shortcut)


# Padding


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ("conv3x3(8)", (8, 15, 15)),
        ("conv5x5(8, d=3)", (8, 15, 15)),
        ("conv1x1(8, d=3)", (8, 15, 15)),
        ("conv3x3(8, s=2)", (8, 8, 8)),
        ("conv2x2(8)", (8, 14, 14)),
        ("conv4x4(8, s=4)", (8, 3, 3)),
        ("conv2x2(8, d=3)", (8, 12, 12)),
        ("maxpool3x3", (3, 15, 15)),
        ("maxpool3x3(s=2)", (3, 8, 8)),
        ("maxpool2x2(s=2)", (3, 7, 7)),
        ("maxpool4x4", (3, 14, 14)),
        ("avgpool2x2(s=2)", (3, 8, 8)),
        ("avgpool3x3(s=2)", (3, 8, 8)),
        ("avgpool3x3", (3, 15, 15)),
        ("subsample(s=2, out=8)", (8, 8, 8)),
    ],
)
def test_padding(layers, shape):
    """Odd kernels pad d(K-1)/2, even ones nothing; maxpoolKxK pads (K-1)//2, stride 1 unless given;
    avgpool rounds up."""
    made = only(stem=f"'{layers}'", input="3x15x15", stages="{blocks: 1, width: 8}", block="conv1x1 +")
    assert made.stage_shapes()[0] == shape


# Shortcuts


def test_the_default_shortcuts():
    """`same` defaults to the identity, `changed` to conv1x1 bn."""
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
    """`same` is used where the block keeps its shape, `changed` where it does not; the whole expression
    `none` means no shortcut; an expression that comes out empty is the identity."""
    made = only(shortcut=shortcut)
    found = [ways(block) for stage in made.stages for block in stage.blocks]
    assert found == [same.replace("IN", "8"), same.replace("IN", "8"), changed, same.replace("IN", "16")]


def test_an_alternative_of_none_is_the_identity():
    """Only the whole expression `none` means no shortcut: as an alternative it comes out empty."""
    made = space(shortcut="{same: none | scale(0.5)}")
    assert [ways(first(made.architecture(index))) for index in range(2)] == ["", "scale(x=0.5)"]


def test_an_avgpool_shortcut_where_only_the_width_changes():
    """avgpool pools by s and vanishes where s is 1 (ResNet-D's first stage)."""
    made = only(shortcut="{changed: avgpool conv1x1 bn}", stages="{blocks: 1, width: [16, 32], stride: [1, 2]}")
    assert ways(first(made, 1)) == "conv1x1(out=16) bn"
    assert ways(first(made, 2)) == "avgpool2x2(s=2) conv1x1(out=32) bn"


@pytest.mark.parametrize(
    ("source", "shared"),
    [("input", [0, 0, 0, 0]), ("preact", [2, 0, 2, 0])],
)
def test_from_preact_shares_the_first_norm_and_activation(source, shared):
    """from: preact takes the shortcut after the branch's pre in blocks that change shape and in the
    network's first block (He et al. 2016, appendix); from: input is the default."""
    made = only(
        block="bn relu conv3x3 bn relu conv3x3 +",
        shortcut=f"{{changed: conv1x1, from: {source}}}",
        stem="conv3x3(8)",
        head="pre gap fc",
    )
    assert [block.shared for stage in made.stages for block in stage.blocks] == shared


def test_from_preact_of_a_branch_without_pre():
    """A branch that starts with a conv has no pre; its shortcut is taken from the input."""
    made = only(shortcut="{from: preact}")
    assert {block.shared for stage in made.stages for block in stage.blocks} == {0}


def test_a_key_that_is_a_rules_name_overrides():
    """Blocks derived through a rule keep the shortcut that its name says; what it does not say is the
    general entry's; the innermost rule that is named wins."""
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
    """stages gives, for each stage, optionally its block, the block that opens it, and its shortcut."""
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
def test_one_stem_and_one_head_serve_every_order(block, stem, head):
    """post stands for the norms and activations after the last conv of the first block, other ops and
    the merge skipped; pre for the longest initial run of them in the last block."""
    made = only(block=block, stem="conv3x3(8) post", head="pre gap fc")
    assert (written(made.stem), written(made.head)) == (stem, head)


def test_copies_follow_the_choices_of_the_block_they_copy():
    """post and pre copy resolved layers and draw no choice of their own."""
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


def test_a_copied_layer_that_does_not_fit_is_a_located_error():
    """A norm of 4 groups copied to a stem of 6 channels is refused at the stem's `post`; to one of 8 it fits."""
    sections = {"block": "conv3x3 gn(g=4) +", "stages": "{blocks: 1, width: 8}"}
    assert written(only(**sections, stem="conv3x3(8) post").stem) == "conv3x3(out=8) gn(g=4)"
    with pytest.raises(SpaceError, match=r"<space>:3:18: the stem: 4 groups of gn\(g=4\) do not divide the 6"):
        space(**sections, stem="conv3x3(6) post")


# Merges


def test_concatenation_grows_by_the_width():
    """With cat the block gives `in` plus the branch's channels, w is the growth rate."""
    made = only(
        block="bn relu conv1x1(4*w) bn relu conv3x3 cat",
        stages="{blocks: [3, 2], width: 4}",
        transition="bn conv1x1(in/2) avgpool",
        stem="conv3x3(8)",
    )
    assert [shape.channels for shape in made.stage_shapes()] == [8, 20, 18]


def test_concatenation_and_the_shape_that_changes():
    """With cat only height and width decide whether the shape changed."""
    made = only(
        block="conv3x3 cat", stages="{blocks: 2, width: 4, stride: 2}", shortcut="{changed: avgpool}", stem="conv3x3(8)"
    )
    assert [ways(block) for block in made.stages[0].blocks] == ["avgpool2x2(s=2)", ""]
    assert made.stage_shapes()[-1] == TensorShape(16, 8, 8)


def test_concatenation_has_a_bound():
    """What cat comes to is at most 65,536 channels."""
    sections = {"block": "conv1x1 cat", "stem": "conv1x1(w)", "input": "1x1x1"}
    assert only(**sections, stages="{blocks: 3, width: 16384}").stage_shapes()[-1].channels == 65_536
    with pytest.raises(SpaceError, match="'cat' comes to 65,540 channels"):
        space(**sections, stages="{blocks: 3, width: 16385}")


def test_a_gate_where_the_shape_changes_is_a_sum():
    """Where the shape changes `gate` is `+` and `changed` applies."""
    made = only(block="conv3x3 bn gate(b=-6) relu")
    assert [line(block) for stage in made.stages for block in stage.blocks] == [
        "conv3x3(out=8) bn gate(b=-6) relu",
        "conv3x3(out=8) bn gate(b=-6) relu",
        "conv3x3(out=16, s=2) bn + relu",
        "conv3x3(out=16) bn gate(b=-6) relu",
    ]
    assert Architecture.from_json(made.to_json()) == made


def test_a_plain_network():
    """A plain block (VGG) is written with + and no shortcut at all."""
    made = only(block="conv3x3 bn relu +", shortcut="{same: none, changed: none}")
    assert [block.shortcut for stage in made.stages for block in stage.blocks] == [None] * 4


# Transitions


def test_a_transition_opens_each_stage_but_the_first():
    """It stands before each stage but the first, takes its stride, and that stage's blocks have stride 1."""
    made = only(
        transition="ln conv2x2(w, s=s)",
        block="dwconv7x7 ln conv1x1(4*w) gelu conv1x1 +",
        stages="{blocks: 2, width: [8, 16, 24], stride: [1, 2, 2]}",
    )
    assert [written(stage.transition) for stage in made.stages] == [
        "",
        "ln conv2x2(out=16, s=2)",
        "ln conv2x2(out=24, s=2)",
    ]
    assert made.stage_shapes() == [(8, 16, 16), (8, 16, 16), (16, 8, 8), (24, 4, 4)]
    assert {ways(block) for stage in made.stages for block in stage.blocks} == {""}


def test_the_variables_of_a_transition():
    """`in` is what arrives, w and s are those of the stage it opens."""
    made = only(transition="conv1x1(in + w) avgpool conv1x1")
    assert written(made.stages[1].transition) == "conv1x1(out=24) avgpool2x2(s=2) conv1x1(out=16)"


def test_a_transition_shrinks_by_the_stride():
    """A transition that leaves the stride to nobody is refused."""
    assert only(transition="bn avgpool conv1x1")
    with pytest.raises(SpaceError, match="the transition to stage 2: the layers shrink by 1, the stride is 2"):
        space(transition="bn")


# What derivation leaves out, and the errors it finds


def test_layers_that_change_nothing_vanish():
    """droppath(0), scale(1), se? not taken: none of them stands in the network."""
    made = only(block="conv3x3 droppath(0) scale(1) drop(0) shuffle(g=1) maxpool1x1 +")
    assert branch(made) == "conv3x3(out=8)"


def test_errors_name_the_choices_that_cause_them():
    """A fault that hangs on choices names them, its place is the op's in the file."""
    file = text({"ratio": "1/3 | 1/2"}, block="conv1x1(w*ratio) conv3x3 +")
    with pytest.raises(SpaceError) as caught:
        parse_space(file, "narrow.yaml")
    assert str(caught.value) == "narrow.yaml:5:8: with ratio=1/3: out = w*ratio = 8/3 of conv is not a whole number"
    assert space({"ratio": "1/4 | 1/2"}, block="conv1x1(w*ratio) conv3x3 +").count() == 2


def test_a_network_has_at_most_ten_thousand_layers():
    """Ten thousand layers stand; more are refused by arithmetic, before anything is built."""
    sections = {"input": "1x1x1", "stem": "conv1x1(4)", "stages": "{blocks: 1, width: 4}"}
    # The stem's and the block's conv and the classifier are the other three; gap vanishes on a map of 1x1.
    assert only(**sections, block="(relu silu){4998} bn conv1x1 +").layer_count == 10_000
    with pytest.raises(SpaceError, match="the network has 10,001 layers, at most 10,000 may stand"):
        space(**sections, block="(relu silu){4998} bn bn conv1x1 +")
    with pytest.raises(SpaceError, match="a block of stage 1 may come to 19,999 layers; at most 10,000 may stand"):
        space(**sections, block="(relu silu){9999} conv1x1 +")
    with pytest.raises(SpaceError, match="the stages come to at least 128,000 layers"):
        space(stages=f"{{blocks: 2000, width: [{', '.join(['8'] * 64)}]}}", block="conv3x3 +")


def test_resnet_1202_loads():
    """200 blocks a stage: 1,202 weight layers."""
    made = only(
        stages="{blocks: 200, width: [16, 32, 64], stride: [1, 2, 2]}", stem="conv3x3(16) bn relu", input="3x32x32"
    )
    assert count_cost(made).weight_layers == 1202


def test_the_five_orders_as_the_paper_has_them():
    """The shipped preact_variants holds Fig. 4 of He et al. 2016, each order with its own projection,
    stem and head as he2016_structure has them."""
    made = load_space("preact_variants")
    seen = {}
    for order in ("original", "bn_after_add", "relu_before_add", "relu_only_preact", "full_preact"):
        arch = made.architecture(made.named({"order": order}))
        block = arch.stages[1].blocks[0]
        seen[order] = (written(arch.stem), line(block), ways(block), block.shared, written(arch.head))
    strided, conv = "conv3x3(out=32, s=2)", "conv3x3(out=32)"
    project = "conv1x1(out=32, s=2) bn"
    assert seen == {
        "original": ("conv3x3(out=16) bn relu", f"{strided} bn relu {conv} bn + relu", project, 0, "gap fc(out=10)"),
        "bn_after_add": (
            "conv3x3(out=16) bn relu",
            f"{strided} bn relu {conv} + bn relu",
            project,
            0,
            "gap fc(out=10)",
        ),
        "relu_before_add": (
            "conv3x3(out=16) bn relu",
            f"{strided} bn relu {conv} bn relu +",
            project,
            0,
            "gap fc(out=10)",
        ),
        "relu_only_preact": (
            "conv3x3(out=16) bn",
            f"relu {strided} bn relu {conv} bn +",
            project,
            0,
            "relu gap fc(out=10)",
        ),
        "full_preact": (
            "conv3x3(out=16)",
            f"bn relu {strided} bn relu {conv} +",
            "conv1x1(out=32, s=2)",
            2,
            "bn relu gap fc(out=10)",
        ),
    }


def test_the_first_preactivation_stands_before_the_split():
    """In full pre-activation the first unit's BN-ReLU is common to branch and shortcut; in the units that
    keep their shape the shortcut takes the raw input."""
    made = load_space("preact_variants")
    arch = made.architecture(made.named({"order": "full_preact", "depth": "2"}))
    assert [block.shared for stage in arch.stages for block in stage.blocks] == [2, 0, 2, 0, 2, 0]


def test_stages_as_scalars_lists_and_mappings_mean_the_same():
    """stages gives blocks, width, stride and dilation as scalars, as one entry a stage, or as a list of mappings."""
    spellings = [
        "{blocks: 2, width: [8, 16], stride: [1, 2], dilation: 1}",
        "{blocks: [2, 2], width: [8, 16], stride: [1, 2]}",
        "[{blocks: 2, width: 8}, {blocks: 2, width: 16, stride: 2, dilation: 1}]",
    ]
    assert len({only(stages=spelling).digest for spelling in spellings}) == 1
    assert only(stages="{blocks: 2, width: 8}").digest != only(stages=spellings[0]).digest
    assert PLAIN["stages"] in spellings[0].replace(", dilation: 1", "")

"""The network of a derivation: widths, transitions, whole networks."""

from __future__ import annotations

import pytest

from explorer.costs.analytic import count_cost
from explorer.errors import SpaceError
from explorer.space.search_space import load_space, parse_space
from tests.space.spaces import PLAIN, agrees_with_trying, branch, line, only, space, text, ways, written

STRIDED = "{blocks: 2, width: [8, 16, 24], stride: [1, 2, 2]}"

# Widths


def test_a_conv_without_a_width_gets_the_stage_width():
    """A conv without an output width has w channels, and a depthwise conv keeps its input's channels."""
    made = only(block="conv1x1(24) dwconv3x3 conv3x3 + ", stages="{blocks: 1, width: 16}")
    assert branch(made) == "conv1x1(out=24) conv3x3(out=24, g=24) conv3x3(out=16)"


def test_the_stem_has_the_first_and_the_head_the_last_width():
    """`w` is the first stage's width in the stem and the last stage's width in the head."""
    made = only(stem="conv3x3(w/2) conv3x3", head="conv1x1(2*w) conv1x1 gap fc")
    assert written(made.stem) == "conv3x3(out=4) conv3x3(out=8)"
    assert written(made.head) == "conv1x1(out=32) conv1x1(out=16) gap fc(out=10)"


def test_the_variables_describe_the_block():
    """w is the width, in the input channels, d the dilation, i the block's position from 1, and n the number of
    blocks."""
    made = only(
        block="conv1x1(in) conv3x3(w, d=d) drop(i/100) droppath(n/100) +",
        stages="{blocks: [1, 2], width: [8, 16], dilation: [1, 2]}",
    )
    assert [line(block) for stage in made.stages for block in stage.blocks] == [
        "conv1x1(out=8) conv3x3(out=8) drop(p=0.01) droppath(p=0.03) +",
        "conv1x1(out=8) conv3x3(out=16, d=2) drop(p=0.02) droppath(p=0.03) +",
        "conv1x1(out=16) conv3x3(out=16, d=2) drop(p=0.03) droppath(p=0.03) +",
    ]


def test_linear_decay_is_valid_with_one_block():
    """droppath(0.2*(i-1)/(n-1)), as in timm, loads although it has no value in a network with one block."""
    made = only(block="conv3x3 droppath(0.2*(i-1)/(n-1)) +", stages="{blocks: 3, width: 8}")
    assert [written(block.branch) for block in made.stages[0].blocks] == [
        "conv3x3(out=8)",
        "conv3x3(out=8) droppath(p=0.1)",
        "conv3x3(out=8) droppath(p=0.2)",
    ]


def test_widths_may_depend_on_the_block_position():
    """In a pyramid (Han et al. 2017) each block is wider than the previous one, with zero-padded shortcuts."""
    grown = "round(16 + 48*i/n, 1)"
    made = only(
        block=f"bn conv3x3({grown}) bn relu conv3x3({grown}) bn +",
        shortcut=f"{{changed: 'subsample(out={grown})'}}",
        stages="{blocks: 2, width: [16, 16, 16], stride: [1, 2, 2]}",
        stem="conv3x3(16) bn",
    )
    assert [block.branch[-2].out for stage in made.stages for block in stage.blocks] == [24, 32, 40, 48, 56, 64]
    assert made.stage_shapes()[-1] == (64, 4, 4)


# Transitions


def test_a_transition_opens_each_stage_but_the_first():
    """A transition comes before each stage but the first and takes its stride, so its blocks have stride 1."""
    made = only(
        transition="ln conv2x2(w, s=s)",
        block="dwconv7x7 ln conv1x1(4*w) gelu conv1x1 +",
        stages=STRIDED,
    )
    assert [written(stage.transition) for stage in made.stages] == [
        "",
        "ln conv2x2(out=16, s=2)",
        "ln conv2x2(out=24, s=2)",
    ]
    assert made.stage_shapes() == [(8, 16, 16), (8, 16, 16), (16, 8, 8), (24, 4, 4)]
    assert {ways(block) for stage in made.stages for block in stage.blocks} == {""}


def test_the_variables_of_a_transition():
    """`in` is the number of input channels, and w and s are those of the stage it opens."""
    made = only(transition="conv1x1(in + w) avgpool conv1x1")
    assert written(made.stages[1].transition) == "conv1x1(out=24) avgpool2x2(s=2) conv1x1(out=16)"


def test_a_transition_takes_the_stride_or_leaves_it_to_the_first_block():
    """A transition takes the whole stride if one of its layers takes strides; else the stage's first block has it."""
    for layers, stride in (("bn avgpool conv1x1", ""), ("bn", ", s=2"), ("none", ", s=2"), ("maxpool3x3", ", s=2")):
        made = only(transition=layers)
        assert branch(made, stage=2) == f"conv3x3(out=16{stride}) bn relu conv3x3(out=16) bn"
        assert made.stage_shapes()[-1] == (16, 8, 8)
    assert only(transition="maxpool3x3(s=2)").stage_shapes()[-1] == (16, 8, 8)
    with pytest.raises(SpaceError, match="the transition to stage 2: the layers shrink by 2, the stride is 4"):
        space(transition="maxpool3x3(s=2)", stages="{blocks: 2, width: [8, 8], stride: [1, 4]}")


def test_a_transition_may_be_left_out_by_a_choice():
    """With 'none' as an alternative of the transition, the blocks of that network have the stride."""
    made = space({"down": "none | conv2x2"}, {"down": "stage"}, transition="down", stages=STRIDED)
    assert agrees_with_trying(made) == 4
    for derivation in made:
        network = made.architecture(derivation)
        assert network.stage_shapes()[-1] == (24, 4, 4)
        for k in (2, 3):
            is_left_out = derivation.choices[f"down@stage{k}"] == "none"
            assert is_left_out == (not network.stages[k - 1].transition) == ("s=2" in branch(network, k))


# Whole networks, and errors found during derivation


def test_errors_name_their_choices():
    """An error that depends on choices names them, at the position of the op in the file."""
    file = text({"ratio": "1/3 | 1/2"}, block="conv1x1(w*ratio) conv3x3 +")
    with pytest.raises(SpaceError) as caught:
        parse_space(file, "narrow.yaml")
    assert str(caught.value) == "narrow.yaml:5:8: with ratio=1/3: out = w*ratio = 8/3 of conv is not a whole number"
    assert space({"ratio": "1/4 | 1/2"}, block="conv1x1(w*ratio) conv3x3 +").count() == 2


def test_a_network_has_at_most_ten_thousand_layers():
    """Ten thousand layers are allowed, and more are rejected by counting before anything is built."""
    sections = {"input": "1x1x1", "stem": "conv1x1(4)", "stages": "{blocks: 1, width: 4}"}
    # The stem's conv, the block's conv and the classifier are the other three; gap vanishes on a map of 1x1.
    assert only(**sections, block="(relu silu){4998} bn conv1x1 +").layer_count == 10_000
    with pytest.raises(SpaceError, match="the network has 10,001 layers; a network has at most 10,000 layers"):
        space(**sections, block="(relu silu){4998} bn bn conv1x1 +")
    with pytest.raises(SpaceError, match="a block of stage 1 can have 19,999 layers; at most 10,000"):
        space(**sections, block="(relu silu){9999} conv1x1 +")
    with pytest.raises(SpaceError, match="the stages have at least 128,000 layers"):
        space(stages=f"{{blocks: 2000, width: [{', '.join(['8'] * 64)}]}}", block="conv3x3 +")


def test_resnet_1202_loads():
    """A network with 200 blocks per stage has 1,202 weight layers."""
    made = only(
        stages="{blocks: 200, width: [16, 32, 64], stride: [1, 2, 2]}", stem="conv3x3(16) bn relu", input="3x32x32"
    )
    assert count_cost(made).weight_layers == 1202


def test_the_five_orders_equal_the_paper():
    """The shipped preact_variants contains Fig. 4 of He et al. 2016, with projection, stem and head as in
    he2016_structure."""
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


def test_the_first_preactivation_is_shared():
    """In full pre-activation, branch and shortcut share the first unit's BN-ReLU, and later shortcuts take the raw
    input."""
    made = load_space("preact_variants")
    arch = made.architecture(made.named({"order": "full_preact", "depth": "2"}))
    assert [block.shared for stage in arch.stages for block in stage.blocks] == [2, 0, 2, 0, 2, 0]


def test_stages_as_scalars_lists_and_mappings_are_equal():
    """stages accepts blocks, width, stride and dilation as scalars, as lists over stages, or as a list of mappings."""
    spellings = [
        "{blocks: 2, width: [8, 16], stride: [1, 2], dilation: 1}",
        "{blocks: [2, 2], width: [8, 16], stride: [1, 2]}",
        "[{blocks: 2, width: 8}, {blocks: 2, width: 16, stride: 2, dilation: 1}]",
    ]
    assert len({only(stages=spelling).digest for spelling in spellings}) == 1
    assert only(stages="{blocks: 2, width: 8}").digest != only(stages=spellings[0]).digest
    assert PLAIN["stages"] in spellings[0].replace(", dilation: 1", "")

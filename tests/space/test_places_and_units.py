"""Layers and numbers that differ by block or stage, and blocks of several units."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from explorer.costs.analytic import count_cost
from explorer.costs.whole_space.choices import ChoiceColumns
from explorer.costs.whole_space.costs import NetworkCosts
from explorer.errors import SpaceError
from explorer.networks.build import build_network
from tests.space.spaces import agrees_with_trying, line, only, space, ways

DILATED = "conv3x3(d=dil) bn +"


def lines(made, stage: int = 1) -> list[str]:
    return [line(block) for block in made.stages[stage - 1].blocks]


# By block and by stage


def test_numbers_by_block():
    """by_block(1, 2, 4) is 1 in the first block of a stage, 2 in the second, and 4 in the third."""
    made = only(grammar={"dil": "by_block(1, 2, 4)"}, block=DILATED, stages="{blocks: 3, width: 8}")
    assert lines(made) == ["conv3x3(out=8) bn +", "conv3x3(out=8, d=2) bn +", "conv3x3(out=8, d=4) bn +"]


def test_layers_by_block_and_by_stage():
    """by_block and by_stage choose among layers and whole blocks too, also inside each other."""
    made = only(
        block="by_stage(conv3x3 +, by_block(dwconv5x5 +, conv1x1(2*w) se(r=4) conv1x1 +))",
        stages="{blocks: [1, 2], width: [8, 8]}",
    )
    assert [lines(made, 1), lines(made, 2)] == [
        ["conv3x3(out=8) +"],
        ["conv5x5(out=8, g=8) +", "conv1x1(out=16) se(width=4) conv1x1(out=8) +"],
    ]


def test_the_width_and_the_dilation_of_a_stage_may_differ_between_its_blocks():
    """With by_block or `j` in 'stages', w and d are those of the block; the head has the last block's width."""
    made = only(
        stages="{blocks: 3, width: 'by_block(8, 12, 16)', dilation: 2**(j - 1)}", block="conv3x3(d=d) +",
        head="conv1x1 gap fc",
    )  # fmt: skip
    assert lines(made) == ["conv3x3(out=8) +", "conv3x3(out=12, d=2) +", "conv3x3(out=16, d=4) +"]
    assert str(made.head[0]) == "conv1x1(out=16)"


def test_the_variables_j_and_m():
    """j is the number of the block in its stage, and m the number of blocks in the stage."""
    made = only(block="conv3x3 droppath(j/10/m) +", stages="{blocks: [1, 2], width: [8, 8]}")
    assert [lines(made, 1), lines(made, 2)] == [
        ["conv3x3(out=8) droppath(p=0.1) +"],
        ["conv3x3(out=8) droppath(p=0.05) +", "conv3x3(out=8) droppath(p=0.1) +"],
    ]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"block": "by_block(conv3x3, conv5x5, conv7x7) +"}, "by_block has 3 entries, but stage 1 has 2 blocks"),
        ({"block": "by_block(conv3x3) +"}, "by_block has 1 entry, but stage 1 has 2 blocks; write one for each block"),
        ({"block": "conv3x3(d=by_block(1, 2, 4)) +"}, "by_block has 3 entries, but stage 1 has 2 blocks"),
        ({"block": "by_stage(conv3x3) +"}, "by_stage has 1 entry for 2 stages; write one for each stage"),
        ({"stem": "by_stage(conv3x3, conv5x5)"}, "by_stage is not defined in the stem"),
        ({"transition": "by_block(conv1x1, conv3x3)"}, "by_block is not defined in the transition"),
        ({"stem": "conv3x3(8*j)"}, "the variable 'j' is not defined here"),
    ],
)
def test_a_list_of_a_wrong_length_is_an_error_with_its_place(sections, message):
    """A list that is too short or too long, or stands where there is no block or no stage, is a located error."""
    with pytest.raises(SpaceError, match=message) as caught:
        space(**sections)
    assert caught.value.problems[0].line > 1


def test_with_a_choice_of_depth_the_list_has_an_entry_for_the_deepest_stage():
    """If the number of blocks is a choice, by_block has as many entries as the deepest stage has blocks."""
    stages = "{blocks: 1 | 2 | 3, width: 8}"
    made = space({"dil": "by_block(1, 2, 4)"}, block=DILATED, stages=stages)
    assert [lines(made.architecture(index))[-1] for index in range(3)] == [
        "conv3x3(out=8) bn +",
        "conv3x3(out=8, d=2) bn +",
        "conv3x3(out=8, d=4) bn +",
    ]
    with pytest.raises(SpaceError, match="by_block has 2 entries, but stage 1 has 3 blocks at most"):
        space({"dil": "by_block(1, 2)"}, block=DILATED, stages=stages)


def test_an_open_list_repeats_its_last_entry():
    """With '...' at its end the last entry of by_block and by_stage holds for all further places, at any depth."""
    made = only(
        grammar={"exp": "by_block(1, 6, ...)", "kernel": "by_stage(dwconv3x3, dwconv5x5, ...)"},
        block="conv1x1(w*exp) kernel conv1x1 +",
        stages="{blocks: [1, 3, 1], width: [8, 8, 8]}",
    )
    thin = "conv1x1(out=8) conv5x5(out=8, g=8) conv1x1(out=8) +"
    wide = "conv1x1(out=48) conv5x5(out=48, g=48) conv1x1(out=8) +"
    assert [lines(made, 1), lines(made, 3)] == [[thin.replace("5x5", "3x3")], [thin]]
    assert lines(made, 2) == [thin, wide, wide]


def test_an_open_list_of_stages_repeats_its_last_entry():
    """A list of stages that ends in '...' is as long as the others; a choice in it is one for each stage."""
    made = only(stages="{blocks: [1, 2, ...], width: [8, 16, 32, 64], stride: [1, 2, ...]}")
    assert [len(stage.blocks) for stage in made.stages] == [1, 2, 2, 2]
    assert [shape.height for shape in made.stage_shapes()[1:]] == [16, 8, 4, 2]
    made = space(stages="{blocks: [1, 2 | 3, ...], width: [8, 8, 8]}")
    assert [name for name, _ in made.choices()] == ["stages.blocks@stage2", "stages.blocks@stage3"]
    for stages in ("{blocks: [...], width: [8, 8]}", "{blocks: [1, ..., 2], width: [8, 8]}"):
        with pytest.raises(SpaceError):
            space(stages=stages)


@pytest.mark.parametrize("widths", ["[4, 4]", "[4, 8*j]"])
def test_choices_in_an_open_list(widths):
    """Choices in an open list exist in the blocks that have its entries, also if states contain shapes."""
    made = space(
        {"kind": "by_block((relu | silu), (gelu | mish)?, ...)", "deep": "1 | 2 | 3"},
        {"kind": "block", "deep": "stage"},
        stages=f"{{blocks: [deep, 2], width: {widths}}}",
        block="conv3x3 kind conv3x3 by_block(identity, bn | none, ...) +",
        shortcut="{same: 'by_block(none | scale(0.5), identity, ...)'}",
    )
    assert agrees_with_trying(made) == made.count()


@pytest.mark.parametrize("scope", ["network", "stage", "block", "use"])
def test_choices_in_a_list_exist_only_in_their_block(scope):
    """A choice in an entry of by_block exists only if a block has the entry, whatever its scope and the depth are."""
    made = space(
        {"here": "by_block(none, (bn | kind), kind) | gelu", "kind": "silu | elu", "deep": "1 | 2 | 3"},
        {"kind": scope, "here": "stage", "deep": "stage"},
        stages="{blocks: [deep, 2], width: [4, 4]}",
        block="conv3x3 by_stage(here, by_block(kind, relu)) conv3x3 +",
    )
    assert agrees_with_trying(made) == made.count()


# Units


def test_a_block_of_two_units():
    """';' separates units. Each has a merge and a shortcut, and is a block of the network; the first has the stride."""
    made = only(
        block="dwconv3x3 conv1x1 + ; bn conv1x1(4*w) gelu conv1x1 +", stages="{blocks: 2, width: 16, stride: 2}"
    )
    assert lines(made) == [
        "conv3x3(out=8, s=2, g=8) conv1x1(out=16) +",
        "bn conv1x1(out=64) gelu conv1x1(out=16) +",
        "conv3x3(out=16, g=16) conv1x1(out=16) +",
        "bn conv1x1(out=64) gelu conv1x1(out=16) +",
    ]
    assert [ways(block) for block in made.stages[0].blocks] == ["conv1x1(out=16, s=2) bn", "", "", ""]


def test_units_have_the_digest_of_blocks():
    """A block of two units is the network of two blocks."""
    pair = only(block="conv3x3 bn + relu ; conv3x3 bn + relu", stages="{blocks: 1, width: 8}")
    assert pair.digest == only(block="conv3x3 bn + relu", stages="{blocks: 2, width: 8}").digest


def test_i_and_n_count_blocks_and_not_units():
    """i, n, j and m count the blocks of the file, so that both units of a block have one drop rate."""
    made = only(block="conv3x3 droppath(0.2*i/n) + ; conv1x1 droppath(0.2*i/n) +", stages="{blocks: 2, width: 8}")
    assert [str(block.branch[-1]) for block in made.stages[0].blocks] == ["droppath(p=0.1)"] * 2 + [
        "droppath(p=0.2)"
    ] * 2


def test_the_variable_s_is_1_after_the_first_unit():
    """A layer with s=s in each unit takes the stride in the first."""
    made = only(
        grammar={"unit": "dwconv3x3(s=s) conv1x1 +"}, block="unit ; unit", stages="{blocks: 1, width: 16, stride: 2}"
    )
    assert lines(made) == ["conv3x3(out=8, s=2, g=8) conv1x1(out=16) +", "conv3x3(out=16, g=16) conv1x1(out=16) +"]


def test_shortcuts_by_rule_in_units():
    """A rule's own shortcut is that of the units that come from the rule."""
    made = only(
        grammar={"mix": "dwconv3x3 +", "mlp": "conv1x1 +", "both": "mix ; mlp"},
        block="both",
        shortcut="{same: scale(0.5), mlp: {same: identity}}",
        stages="{blocks: 1, width: 8}",
    )
    assert [ways(block) for block in made.stages[0].blocks] == ["scale(x=0.5)", ""]
    made = only(
        grammar={"mix": "dwconv3x3 +", "both": "mix ; conv1x1 +"},
        block="both",
        shortcut="{same: scale(0.5), both: {same: scale(0.25)}, mix: {same: identity}}",
        stages="{blocks: 1, width: 8}",
    )
    assert [ways(block) for block in made.stages[0].blocks] == ["", "scale(x=0.25)"]


def test_choices_in_units_belong_to_the_block():
    """A rule that varies by block is one choice in both units, and shortcuts of both units may have choices."""
    made = space(
        {"act": "relu | silu", "unit": "conv1x1 act +"},
        {"act": "block", "shortcut.same": "use"},
        block="conv3x3 act + ; (unit ;){0,1}",
        shortcut="{same: none | scale(0.5)}",
        stages="{blocks: 2, width: 8}",
    )
    assert "act@stage1.block2" in made.unrank(0).choices
    assert agrees_with_trying(made) == made.count()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"block": "conv3x3 + ; r"}, "'block' gives a block with no merge"),
        ({"block": "conv3x3 + conv3x3 + ; conv3x3 +"}, "'block' gives a block with more than one merge"),
        ({"block": "r + ; r conv3x3 bnn +"}, "unknown name 'bnn'"),  # the semicolon is right
        (
            {"transition": "conv2x2(w, s=s) | none", "block": '"sum(conv3x3, identity) +"'},
            "stage 2 after a transition without a stride, path 2 of sum: the layers shrink by 1",
        ),
        (
            {"stages": '{blocks: 2, width: "8 + 8*i"}'},
            "'i' is not defined here; known here: none.* or j, the number of",
        ),
        ({"stem": "r ; r"}, "';' in the stem; it ends a unit of a block"),
        ({"shortcut": "{same: r ; r}"}, "';' in a shortcut"),
        ({"stem": "conv3x3 ; bn"}, "';' between layers; layers are separated by blanks"),
        ({"block": "[conv3x3 bn +, conv1x1 +]"}, "the units of a block are separated by ';'; write"),
    ],
)
def test_wrong_units_are_errors(sections, message):
    """Each unit has exactly one merge, and units are in blocks only."""
    with pytest.raises(SpaceError, match=message):
        space({"r": "relu"}, **sections)


def test_networks_of_places_and_units_are_built_and_costed():
    """A space of units, by_block, a per-block width and optional transitions builds, and its table of costs is that of
    its networks."""
    made = space(
        {"act": "relu | silu", "t": "none | conv2x2"},
        {"act": "block"},
        block="dwconv3x3 act conv1x1 + ; conv1x1(by_block(2, 4)*w) act conv1x1(m*w) conv1x1 +",
        stages="{blocks: [1 | 2, 2], width: ['by_block(8, 16)', 16], stride: [1, 2]}",
        transition="t",
    )
    indices = range(made.count())
    networks = [made.architecture(index) for index in indices]
    for network in (networks[0], networks[-1]):
        assert build_network(network)(torch.zeros(2, *network.input)).shape == (2, 10)
    columns = ChoiceColumns(made)
    table = NetworkCosts(made, columns)(np.arange(len(made)), columns.codes(np.arange(len(made))))
    for name in ("params", "macs", "activations"):
        assert table[name].tolist() == [getattr(count_cost(network), name) for network in networks]


def test_a_transition_takes_the_stride_of_a_map_of_one_pixel():
    """The stride belongs to a transition with a pool also where the map has one pixel, so that the pool vanishes."""
    made = space({"act": "relu | silu"}, block="conv3x3 act +", transition="avgpool conv1x1", input="3x1x1")
    columns = ChoiceColumns(made)
    table = NetworkCosts(made, columns)(np.arange(2), columns.codes(np.arange(2)))
    assert table["params"].tolist() == [count_cost(made.architecture(index)).params for index in range(2)]


def test_warnings_read_places_and_units():
    """Warnings of a block see the layers of by_block and the merge of each unit."""
    plain = "by_block(conv3x3 bn, conv5x5 bn) conv1x1 + ; conv3x3 conv1x1 +"
    assert not space(block=plain, allow="one-network").warnings
    found = space(block=f"{plain} ; none + bn", shortcut="{same: identity}", allow="one-network").warnings
    assert [warning.name for warning in found] == ["nothing-before-merge"]


def test_a_published_network_with_numbers_of_each_block():
    """MobileNetV3-small in four stages, with a width, an expansion and a kernel for each block, has the parameters of
    Howard et al. 2019 as torchvision counts them."""
    squeeze = "se(r=4, round=8, gate=hardsigmoid)"
    made = only(
        grammar={
            "wide": "conv1x1(exp) bn act",
            "exp": "by_stage(16, by_block(72, 88), by_block(96, 240, 240, 120, 144), by_block(288, 576, 576))",
            "kernel": "by_stage(dwconv3x3, dwconv3x3, dwconv5x5, dwconv5x5)",
            "act": "by_stage(relu, relu, hardswish, hardswish)",
            "attn": f"by_stage({squeeze}, none, {squeeze}, {squeeze})",
        },
        input="3x224x224",
        classes="1000",
        stem="conv3x3(16, s=2) bn hardswish",
        stages='{blocks: [1, 2, 5, 3], width: [16, 24, "by_block(40, 40, 40, 48, 48)", 96], stride: 2}',
        block="by_stage(none, wide, wide, wide) kernel bn act attn conv1x1 bn +",
        shortcut="{changed: none}",
        head="conv1x1(576) bn hardswish gap conv1x1(1024, bias=1) hardswish fc",
    )
    assert count_cost(made).params == 2_542_856

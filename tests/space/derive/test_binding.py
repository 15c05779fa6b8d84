"""Strides, padding, and layers that vanish."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from tests.space.spaces import branch, only, space, written

ONE_BLOCK = "{blocks: 1, width: 16, stride: 2}"


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
def test_which_op_takes_the_stride(block, expected):
    """The stride goes to the op written with `s` or a pool without a size, else to the first conv with a kernel larger
    than 1, else to the first conv."""
    assert branch(only(block=f"'{block}'", stages=ONE_BLOCK)) == expected


def test_the_variable_s_is_one_without_a_stride():
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
        ("conv3x3(s=1) bn +", 2, "the layers shrink by 1, the stride is 2; give it to one of them, as in conv3x3"),
        ("relu +", 2, "the layers shrink by 1, the stride is 2"),
        ("conv3x3(s=4) +", 2, "the layers shrink by 4, the stride is 2"),
    ],
)
@pytest.mark.parametrize("shortcut", ["{same: none, changed: none}", "{changed: conv1x1(s=2)}"])
def test_a_branch_reduces_by_exactly_the_stride(block, stride, message, shortcut):
    """A constant s=2 is not the stage's stride, and a branch must reduce by exactly s with or without a shortcut."""
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
    """Odd kernels pad d(K-1)/2 and even ones nothing; maxpoolKxK pads (K-1)//2 with stride 1 by default; avgpool rounds
    up."""
    made = only(stem=f"'{layers}'", input="3x15x15", stages="{blocks: 1, width: 8}", block="conv1x1 +")
    assert made.stage_shapes()[0] == shape


# Layers that binding leaves out


def test_layers_that_change_nothing_vanish():
    """droppath(0), scale(1) and an optional layer that is not chosen are not in the network."""
    made = only(block="conv3x3 droppath(0) scale(1) drop(0) shuffle(g=1) maxpool1x1 +")
    assert branch(made) == "conv3x3(out=8)"

"""Sizes of height and width: kernels, strides and padding."""

from __future__ import annotations

import pytest

from explorer.errors import SpaceError
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.pool import AvgPool, MaxPool
from tests.space.spaces import only, space


def test_sizes_in_arguments():
    """A kernel, a stride and a padding are one number or height x width; equal sides are one number."""
    stem = only(stem="conv1x7(8, s=2x1) conv5x5(8, pad=0x3) maxpool3x1(s=1x2, pad=1x0) avgpool(s=2x2, pad=same)").stem
    assert stem == (
        Conv((1, 7), 8, (2, 1)),
        Conv(5, 8, padding=(0, 3)),
        MaxPool((3, 1), (1, 2), (1, 0)),
        AvgPool(2, 2, "same"),
    )


def test_sizes_are_choices():
    """A rule of sizes is a choice in arguments and in the strides of stages; ``s`` is that stride."""
    grammar = {"step": "1x2 | 2 | 2x1"}
    made = space(grammar, block="conv3x3(s=s) bn +", stages="{blocks: 1, width: [8, 16], stride: [1, step]}")
    shapes = [made.architecture(k).stage_shapes()[-1] for k in range(made.count())]
    assert shapes == [(16, 16, 8), (16, 8, 8), (16, 8, 16)]
    stem = space(grammar, stem="conv3x3(8, s=step)")
    assert [stem.architecture(k).stem[0].stride for k in range(3)] == [(1, 2), 2, (2, 1)]


def test_a_transition_has_the_stride_of_its_stage():
    """Pools of a transition take a stride of height and width."""
    made = only(transition="avgpool", stages="{blocks: 1, width: [8, 16], stride: [1, 2x1]}")
    assert made.stages[1].transition == (AvgPool((2, 1), (2, 1)),)
    assert [tuple(shape) for shape in made.stage_shapes()] == [(8, 16, 16), (8, 16, 16), (16, 8, 16)]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"stem": "conv3x3(8x4)"}, "'8x4' is a size, expected a number"),
        ({"stem": "conv3x3(8, s=0x1)"}, "s of conv3x3 must be in 1..63, found 0"),
        ({"stem": "conv3x3(8, s=2*2x1)"}, "found the size 2x1, expected a number"),
        ({"stem": "conv3x3(8, pad=valid)"}, "unknown name 'valid'"),
        ({"stem": "maxpool3x3(pad=2)"}, "the padding of maxpool is at most half its window of 3, found 2"),
        ({"stem": "conv3x3(8) space_to_depth(3)"}, r"does not fit an input of 8x16x16: 3 must divide height and width"),
        ({"stages": "{blocks: 1, width: 8, stride: 64x1}"}, "64x1"),
        (
            {"stages": "{blocks: 1, width: [8, 16], stride: [1, 2x1]}", "block": "conv3x3(w/s) +"},
            "s is the size 2x1 here, expected a number",
        ),
        (
            {"stages": "{blocks: 1, width: 8, stride: 2x1}", "block": "conv3x3(s=2) +"},
            "the layers shrink by 2, the stride is 2x1; write strides under 'stages'",
        ),
        ({"block": "conv3x3(pad=0) conv3x3 +"}, "its padding changes the size: write pad=same"),
        (
            {"block": "relu +", "stages": "{blocks: 1, width: 8, stride: 2}", "stem": "conv3x3(8) gap"},
            "the stride is 2, but the map has only 1x1 pixels and keeps its shape; give the stage the stride 1",
        ),
    ],
)
def test_faults(sections, message):
    """An error names the size that was found and what was expected."""
    with pytest.raises(SpaceError, match=message):
        space(**sections)

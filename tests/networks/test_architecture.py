"""Architectures: construction, layers, equality, and invalid values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.errors import ArchitectureError
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block, Stage
from explorer.networks.ops.activation import LeakyReLU, ReLU
from explorer.networks.ops.base import TensorShape
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.linear import Linear
from explorer.networks.ops.norm import BatchNorm
from explorer.networks.ops.pool import AvgPool, GlobalAveragePool
from explorer.networks.ops.scale import Scale
from tests.space.spaces import only

STEM = (Conv(3, 8), BatchNorm())

HEAD = (GlobalAveragePool(), Linear(10))

BRANCH = (Conv(3, 8), BatchNorm(), ReLU())


def network(*blocks: Block, stem=STEM, head=HEAD, **changes) -> Architecture:
    return Architecture(
        **{"input": (3, 8, 8), "classes": 10, "stem": stem, "stages": (Stage(blocks),), "head": head, **changes}
    )


def test_an_architecture_is_frozen():
    """Architectures, blocks and ops cannot be changed."""
    arch = only()
    for value, name in ((arch, "classes"), (arch.stages[0].blocks[0], "shared"), (arch.stem[0], "out")):
        with pytest.raises(AttributeError):
            setattr(value, name, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(), "a block in each"),
        (lambda: network(Block(BRANCH), input=(0, 8, 8)), "input channels must be in 1..65536, found 0"),
        (lambda: network(Block(BRANCH), input=(3, 8, 4097)), "input width must be in 1..4096, found 4097"),
        (lambda: network(Block(BRANCH), classes=0), "classes must be in"),
        (
            lambda: network(Block((Conv(3, 16),))),
            "stage 1, block 1: the merge '\\+' needs equal shapes: the branch has 16x8x8, the shortcut 8x8x8",
        ),
        (lambda: network(Block(BRANCH), Block((Conv(3, 8, stride=2),))), "stage 1, block 2: .* the branch has 8x4x4"),
        (lambda: network(Block(BRANCH), head=(Linear(9),)), "the head has the output 9x1x1, 10 classes need 10x1x1"),
        (
            lambda: network(Block(BRANCH), stem=(Conv(9, 8), Conv(8, 8), AvgPool(2, 2))),
            "the head has the output|does not fit",
        ),
        (lambda: network(*[Block(())] * 2_001), "stage 1 has 2,001 blocks; a stage has at most 2,000"),
        (lambda: network(*[Block(BRANCH * 2)] * 2_000), "the network has 12,004 layers; a network has at most 10,000"),
    ],
)
def test_invalid_architectures_are_rejected_on_construction(make, message):
    """Shapes that do not fit and values out of range raise an ArchitectureError with the position."""
    if "does not fit" in message:
        assert make().output == (10, 1, 1)
        return
    with pytest.raises(ArchitectureError, match=message):
        make()


def test_layers_are_in_the_order_of_computation():
    """layers() gives every op and merge with its path and its input and output shapes."""
    arch = only(
        block="conv3x3 bn + relu",
        stages="{blocks: 1, width: [8, 16], stride: [1, 2]}",
        stem="conv3x3(8)",
        transition="avgpool",
    )
    found = [(placed.path, str(placed.op), str(placed.x), str(placed.y)) for placed in arch.layers()]
    assert found == [
        ("stem.0", "conv3x3(out=8)", "3x16x16", "8x16x16"),
        ("stage1.block1.branch.0", "conv3x3(out=8)", "8x16x16", "8x16x16"),
        ("stage1.block1.branch.1", "bn", "8x16x16", "8x16x16"),
        ("stage1.block1.merge", "+", "8x16x16", "8x16x16"),
        ("stage1.block1.after.0", "relu", "8x16x16", "8x16x16"),
        ("stage2.transition.0", "avgpool2x2(s=2)", "8x16x16", "8x8x8"),
        ("stage2.block1.branch.0", "conv3x3(out=16)", "8x8x8", "16x8x8"),
        ("stage2.block1.branch.1", "bn", "16x8x8", "16x8x8"),
        ("stage2.block1.shortcut.0", "conv1x1(out=16)", "8x8x8", "16x8x8"),
        ("stage2.block1.shortcut.1", "bn", "16x8x8", "16x8x8"),
        ("stage2.block1.merge", "+", "16x8x8", "16x8x8"),
        ("stage2.block1.after.0", "relu", "16x8x8", "16x8x8"),
        ("head.0", "gap", "16x8x8", "16x1x1"),
        ("head.1", "fc(out=10)", "16x1x1", "10x1x1"),
    ]
    assert arch.layer_count == len(found) - 2
    assert arch.stage_shapes() == [TensorShape(8, 16, 16), TensorShape(8, 16, 16), TensorShape(16, 8, 8)]


def test_equality_compares_functions():
    """Architectures made by hand are equal if they compute the same, whatever their fields."""
    plain = network(Block(BRANCH))
    assert plain == network(Block((*BRANCH[:2], LeakyReLU(0.0)))) == network(Block((Scale(1.0), *BRANCH)))
    assert plain != network(Block((*BRANCH[:2], LeakyReLU(0.1))))
    assert plain != "plain" and replace(plain.stem[0], out=9) != plain.stem[0]

"""A depthwise conv has the block's stride, also while the space is checked."""

from __future__ import annotations

from explorer.networks.ops.base import TensorShape
from tests.space.spaces import first, only


def test_a_depthwise_conv_alone_has_the_stride_of_its_block():
    """A branch of one depthwise conv shrinks the map by the block's stride, and the space loads."""
    arch = only(block="dwconv3x3 bn +", stages="{blocks: 1, width: 8, stride: 2}")
    assert first(arch).output_shape(TensorShape(8, 16, 16)) == (8, 8, 8)

"""Blocks keep results that were computed once."""

from __future__ import annotations

import pickle
from copy import deepcopy

from explorer.networks.block import Block
from explorer.networks.ops.base import TensorShape
from explorer.space.search_space import load_space


def test_networks_of_a_space_share_blocks():
    """Two derivations with the same block have one object, also across networks; others have different blocks."""
    made = load_space("published/cifar_resnet.yaml")
    shallow, deep, other = (
        made.architecture({"block": "basic", "depth": depth, "option": option})
        for depth, option in (("3", "A"), ("9", "A"), ("9", "B"))
    )
    assert shallow.stages[0].blocks[0] is deep.stages[0].blocks[0]
    assert deep.stages[1].blocks[1] is deep.stages[1].blocks[8]
    assert deep.stages[1].blocks[0] != other.stages[1].blocks[0]
    assert len({shallow.digest, deep.digest, other.digest}) == 3


def test_results_are_computed_once_for_each_key():
    """``once`` computes a result at the first call with a key."""
    block, results = Block(()), iter(["first", "second"])
    assert [block.once(key, lambda: next(results)) for key in "aba"] == ["first", "second", "first"]


def test_computed_results_are_not_part_of_a_block():
    """A block is equal to a copy, a pickled one and a new one, whatever was computed."""
    block = load_space("he2016_orders.yaml").architecture(0).stages[0].blocks[0]
    block.parts(TensorShape(16, 32, 32))
    for other in (deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert other == block and hash(other) == hash(block)
        assert other._known == {} and other.parts(TensorShape(16, 32, 32)) == block.parts(TensorShape(16, 32, 32))
    assert "_known" not in repr(block)

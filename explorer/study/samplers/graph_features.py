"""What a network computes, as numbers for the model: its live layers by kind, and the paths through its blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from explorer.networks.architecture import Architecture
from explorer.networks.block import Block
from explorer.networks.dead_layers import makes_zeros
from explorer.networks.ops.base import Op
from explorer.networks.ops.nested.nesting import depth_of, fold
from explorer.networks.ops.window import spell_kernel
from explorer.networks.walk import PlacedBlock


class _Flow(NamedTuple):
    """What reaches a place in a block.

    Attributes:
        paths: The number of paths from the block's input that are not zero.
        shortest: Conv and linear layers on the shortest of them.
        layers: The layers on them: number in the block -> kind.
    """

    paths: int
    shortest: int
    layers: Mapping[int, str]


COUNTED = ("conv", "linear", "attention", "pool")  # roles; norms and activations go with convs
NOTHING = _Flow(0, 0, {})


def graph_numbers(architecture: Architecture) -> dict[str, float]:
    """Return the numbers of paths and of layers that connect the input of each block with its output.

    These are ``paths`` and ``shortest_path``, summed over the blocks, ``cut_blocks``, the number of blocks without a
    path, and ``live KIND``, the number of live layers. The output of a network with a cut block does not depend on its
    input.

    A layer of a block is live if the input reaches it and its output reaches the end of the branch or the shortcut. A
    layer on an edge of a cell that leads nowhere is not, though it has its cost.
    """
    totals: Counter[str] = Counter(paths=0, shortest_path=0, cut_blocks=0)
    for segment in architecture.segments:
        if isinstance(segment, PlacedBlock):
            totals.update(block_numbers(segment.block))
    return dict(totals)


def block_numbers(block: Block) -> Mapping[str, int]:
    """Return the numbers of one block without dead layers.

    Networks of a space share blocks, so that each is examined once.
    """
    return block.once(("graph numbers",), lambda: _count(block))


def _count(block: Block) -> Mapping[str, int]:
    flows = [_flow(ops) for ops in (block.branch, block.shortcut) if ops is not None]
    arriving = [flow for flow in flows if flow.paths]
    kinds = Counter(kind for flow in arriving for kind in flow.layers.values())
    return {
        "paths": sum(flow.paths for flow in arriving),
        "shortest_path": min((flow.shortest for flow in arriving), default=0),
        "cut_blocks": int(not arriving),
        **{f"live {kind}": number for kind, number in kinds.items()},
    }


def _flow(ops: Sequence[Op]) -> _Flow:
    """Return what reaches the end of a sequence of ops."""
    places = count()

    def follow(op: Op, before: _Flow) -> _Flow:
        if not before.paths or makes_zeros(op):
            return NOTHING
        own = {next(places): _kind(op)} if op.role in COUNTED else {}
        return _Flow(before.paths, before.shortest + depth_of(op), {**before.layers, **own})

    def join(fork: Any, flows: list[_Flow]) -> _Flow:
        arriving = [flow for flow in flows if flow.paths]
        if not arriving:
            return NOTHING
        layers = {place: kind for flow in arriving for place, kind in flow.layers.items()}
        return _Flow(sum(flow.paths for flow in arriving), min(flow.shortest for flow in arriving), layers)

    return fold(ops, _Flow(1, 0, {}), follow, join)


def _kind(op: Op) -> str:
    """Return the name of the op with its effective kernel, dilation included: ``conv3x3``, ``avgpool3x3``."""
    return op.spelling + spell_kernel(op.receptive()[0])

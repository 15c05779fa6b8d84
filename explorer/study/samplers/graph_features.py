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
        total: Conv and linear layers on each of them, summed.
        identities: The number of those without a counted layer.
        pooled: The number of those with a pooling layer.
        layers: The layers on them: number in the block -> kind.
    """

    paths: int
    shortest: int
    total: int
    identities: int
    pooled: int
    layers: Mapping[int, str]


SUMS = ("paths", "shortest_path", "path_layers", "identity_paths", "pooled_paths", "cut_blocks")
COUNTED = ("conv", "linear", "attention", "pool")  # roles; norms and activations go with convs
INPUT, NOTHING = _Flow(1, 0, 0, 1, 0, {}), _Flow(0, 0, 0, 0, 0, {})


def graph_numbers(architecture: Architecture) -> dict[str, float]:
    """Return the numbers of paths and of layers that connect the input of each block with its output.

    These are sums over the blocks: ``paths``; ``shortest_path``, the weight layers on the shortest path, and
    ``path_layers``, those on each path; ``identity_paths``, paths without layers, and ``pooled_paths``, those with a
    pooling layer; ``cut_blocks``, blocks without a path; ``live KIND``, live layers. The output of a network with a cut
    block does not depend on its input.

    A layer of a block is live if the input reaches it and its output reaches the end of the branch or the shortcut. A
    layer on an edge of a cell that leads nowhere is not, though it has its cost.
    """
    totals: Counter[str] = Counter(dict.fromkeys(SUMS, 0))
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
        "path_layers": sum(flow.total for flow in arriving),
        "identity_paths": sum(flow.identities for flow in arriving),
        "pooled_paths": sum(flow.pooled for flow in arriving),
        "cut_blocks": int(not arriving),
        **{f"live {kind}": number for kind, number in kinds.items()},
    }


def _flow(ops: Sequence[Op]) -> _Flow:
    """Return what reaches the end of a sequence of ops."""
    places = count()

    def follow(op: Op, before: _Flow) -> _Flow:
        if not before.paths or makes_zeros(op):
            return NOTHING
        if op.role not in COUNTED:
            return before
        return _Flow(
            paths=before.paths,
            shortest=before.shortest + depth_of(op),
            total=before.total + before.paths * depth_of(op),
            identities=0,
            pooled=before.paths if op.role == "pool" else before.pooled,
            layers={**before.layers, next(places): _kind(op)},
        )

    def join(fork: Any, flows: list[_Flow]) -> _Flow:
        arriving = [flow for flow in flows if flow.paths]
        if not arriving:
            return NOTHING
        return _Flow(
            paths=sum(flow.paths for flow in arriving),
            shortest=min(flow.shortest for flow in arriving),
            total=sum(flow.total for flow in arriving),
            identities=sum(flow.identities for flow in arriving),
            pooled=sum(flow.pooled for flow in arriving),
            layers={place: kind for flow in arriving for place, kind in flow.layers.items()},
        )

    return fold(ops, INPUT, follow, join)


def _kind(op: Op) -> str:
    """Return the name of the op with its effective kernel, dilation included: ``conv3x3``, ``avgpool3x3``."""
    return op.spelling + spell_kernel(op.receptive()[0])

"""One block: its residual branch, its merge, the shortcut it takes, and the layers that stem and head copy from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from explorer.block import Block
from explorer.errors import ArchitectureError
from explorer.grammar.binding import Bound, bind
from explorer.grammar.resolve import Fault, Layer, Resolver, bound_layer
from explorer.grammar.tree import Copied, Item
from explorer.ops.base import Op, TensorShape
from explorer.ops.conv import Conv
from explorer.ops.merge import Add, Gate, Merge

if TYPE_CHECKING:
    from explorer.grammar.space import SearchSpace, StageRule

RHYTHM = ("norm", "activation")


class Branch(NamedTuple):
    """A block up to its merge: what is settled before the shortcut is read."""

    ops: tuple[Op, ...]
    output: TensorShape
    merge: Merge
    merge_place: tuple[int, int]
    after: list[Layer]
    source: str
    shortcut: Item | None
    changed: bool


def derive_branch(
    space: SearchSpace,
    rule: StageRule,
    item: Item,
    resolver: Resolver,
    x: TensorShape,
    width: int,
    stride: int,
    where: str,
    bound: Bound | None = None,
) -> Branch:
    """The residual branch for an arriving ``x``, and which shortcut the block takes. Raises Fault."""
    layers, merge_layer, after = split_at_merge(resolver.layers(item))
    ops, y = bind(layers, x, width, stride, space.classes, where, resolver, True, merge_layer.place, bound)
    named = [name for name in resolver.through if name in rule.shortcuts]
    spec = rule.shortcuts[named[-1] if named else ""]
    merge = merge_layer.what(**{name: float(value) for name, value in merge_layer.given.items()})
    # With `cat` the channels grow anyway: only height and width decide whether the shape changed.
    changed = x[1:] != y[1:] if merge.spelling == "cat" else x != y
    if changed and isinstance(merge, Gate):
        merge = Add()
    shortcut = spec.changed if changed else spec.same
    return Branch(ops, y, merge, merge_layer.place, after, spec.source, shortcut, changed)


def derive_block(
    space: SearchSpace,
    rule: StageRule,
    item: Item,
    resolver: Resolver,
    x: TensorShape,
    width: int,
    stride: int,
    opens_network: bool,
    where: str,
    bound: Bound | None = None,
) -> tuple[Block, TensorShape]:
    """One block for an arriving ``x``, and the shape it puts out. Raises Fault."""
    branch = derive_branch(space, rule, item, resolver, x, width, stride, where, bound)
    takes_pre = branch.source == "preact" and (branch.changed or opens_network)
    shared = initial_rhythm(branch.ops) if takes_pre else 0
    shortcut, y = None, branch.output
    if branch.shortcut is not None:
        layers = resolver.layers(branch.shortcut)
        shortcut, arriving = bind(
            layers,
            x,
            width,
            stride,
            space.classes,
            f"{where}, shortcut",
            resolver,
            place=branch.merge_place,
            bound=bound,
        )
    try:
        if shortcut is not None:
            y = branch.merge.output_shape(y, arriving)
        elif not isinstance(branch.merge, Add):
            raise ArchitectureError(f"the merge {branch.merge.spelling!r} needs a shortcut, here it is 'none'")
    except ArchitectureError as error:
        raise Fault(branch.merge_place, f"{resolver.with_choices()}{where}: {error}") from None
    after, y = bind(branch.after, y, width, 1, space.classes, where, resolver, bound=bound)
    return Block(branch.ops, branch.merge, after, shortcut, shared), y


def split_at_merge(layers: list[Layer]) -> tuple[list[Layer], Layer, list[Layer]]:
    """What stands before the merge, the merge, and what follows it. The space has checked that there is one."""
    at = [layer.merges for layer in layers].index(True)
    return layers[:at], layers[at], layers[at + 1 :]


def initial_rhythm(ops: tuple[Op, ...]) -> int:
    """The length of the longest initial run of norms and activations."""
    return next((i for i, op in enumerate(ops) if op.role not in RHYTHM), len(ops))


def post_layers(block: Block) -> list[Op]:
    """``post``: all norms and activations that follow the last conv of a block, in order."""
    ops = (*block.branch, *block.after)
    last = max((i for i, op in enumerate(ops) if isinstance(op, Conv)), default=-1)
    return [op for op in ops[last + 1 :] if op.role in RHYTHM]


def pre_layers(block: Block) -> list[Op]:
    """``pre``: the longest initial run of norms and activations of a block."""
    return list(block.branch[: initial_rhythm(block.branch)])


def copied(layers: list[Layer], copies: Sequence[Op]) -> list[Layer]:
    """``layers`` with ``post`` or ``pre`` replaced by the layers they copy."""
    out: list[Layer] = []
    for layer in layers:
        if isinstance(layer.what, Copied):
            out.extend(bound_layer(op, layer.place) for op in copies)
        else:
            out.append(layer)
    return out

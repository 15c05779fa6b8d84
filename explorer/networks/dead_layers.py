"""Removal of dead layers: layers of a block that cannot affect its output, because they are multiplied by zero.

An ``Architecture`` has none, so their parameters are neither counted, built, exported nor drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from explorer.networks.block import Block, steps
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import Add, Concatenate, Gate
from explorer.networks.ops.nested.fork import JOINS, Fork, Sum
from explorer.networks.ops.nested.nesting import Nested, leaves, receptive_of
from explorer.networks.ops.nested.taps import From, Tap, Tapped, with_taps
from explorer.networks.ops.pool import Subsample
from explorer.networks.ops.scale import Scale, ShortcutGate
from explorer.networks.ops.window import Size, product
from explorer.networks.ops.zero import Zero

# The shortcut that is multiplied by 0 in Table 1 of He et al. 2016. It has no dead layers, so it is kept: digests of
# published networks do not change.
NO_SHORTCUT = (Scale(0.0),)
_Bounds = tuple[float, float]
_MAY_MAKE_ZEROS = frozenset((Zero, Scale, Tapped, *JOINS.values()))  # a quick test of most blocks


def makes_zeros(op: Op) -> bool:
    """Return whether the output of ``op`` is zero for every input."""
    if isinstance(op, Nested):
        return op.values(-math.inf, math.inf) == (0, 0)
    return isinstance(op, Zero) or (isinstance(op, Scale) and op.factor == 0)


def without_dead_layers(block: Block, x: TensorShape) -> Block:
    """Return the block without layers that cannot affect its output.

    A block whose branch is zero becomes the plain block of its shortcut's layers, and likewise for a shortcut. With
    ``cat`` the missing channels are zeros, and with ``gate`` the shortcut keeps its gate. Plain blocks change only
    inside forks.

    Args:
        block: The block.
        x: Its input shape.

    Raises:
        ArchitectureError: A shape does not fit.
    """
    ops = block.branch + (block.shortcut or ())
    if _MAY_MAKE_ZEROS.isdisjoint(map(type, ops)) or not any(map(makes_zeros, leaves(ops))):
        return block
    if block.shortcut is None:
        holds_ops = any(isinstance(op, Nested) for op in block.branch) and not any(map(makes_zeros, block.branch))
        return replace(block, branch=live_ops(block.branch, x)) if holds_ops else block
    pre = block.branch[: block.shared]
    if any(map(makes_zeros, pre)):  # the whole block is zero, as in a plain block
        return block
    x = steps(pre, x)[1]
    branch, shortcut = live_ops(block.branch[block.shared :], x), live_ops(block.shortcut, x)
    if is_zero(branch):
        alone = pre + shortcut
        if isinstance(block.merge, Concatenate):
            channels = steps(shortcut, x)[1].channels + steps(branch, x)[1].channels
            alone += (Subsample(1, channels),)
        elif isinstance(block.merge, Gate):
            alone += (ShortcutGate(block.merge.bias),)
        return Block(alone, after=block.after, shortcut=None)
    if is_zero(shortcut) and isinstance(block.merge, Add) and block.shortcut != NO_SHORTCUT:
        return Block(pre + branch, after=block.after, shortcut=None)
    return replace(block, branch=pre + branch, shortcut=NO_SHORTCUT if block.shortcut == NO_SHORTCUT else shortcut)


def live_ops(ops: Iterable[Op], x: TensorShape) -> tuple[Op, ...]:
    """Return the ops that can affect the output of the sequence, after one ``Zero`` if there are others.

    Args:
        ops: The ops in order.
        x: The input shape of the first op.
    """
    live: list[Op] = []
    low, high = -math.inf, math.inf
    stride: Size = 1
    for op in ops:
        own, before = _live_inside(op, x), x
        x, stride = op.output_shape(before), product(stride, op.receptive()[1])
        low, high = op.values(low, high)
        live = [Zero(stride, *x)] if low == high == 0 else [*live, *own]
    return tuple(live)


def _live_inside(op: Op, x: TensorShape) -> tuple[Op, ...]:
    """Return the ops in place of an op without the dead layers that it holds."""
    if isinstance(op, Fork):
        return live_paths(op, [live_ops(path, x) for path in op.paths], op.outputs(x))
    if not isinstance(op, Tapped):
        return (op,)
    live = with_taps(_LiveTaps().row(op.ops, x, (-math.inf, math.inf))[0])
    return live if live == (op,) else live_ops(live, x)  # a tap that nothing reads any more held other dead layers


def live_paths(fork: Fork, paths: list[tuple[Op, ...]], shapes: list[TensorShape]) -> tuple[Op, ...]:
    """Return the ops in place of a fork: a sum without the paths that are zero, which may leave one path.

    A path that is zero stays in ``cat``, and in a sum whose other paths have fewer values.

    Args:
        fork: The fork.
        paths: The live ops of its paths.
        shapes: The output shapes of its paths.
    """
    if isinstance(fork, Sum):
        others = [number for number, path in enumerate(paths) if not is_zero(path)]
        if others and fork.joined([shapes[number] for number in others]) == fork.joined(shapes):
            paths = [paths[number] for number in others]
    return paths[0] if len(paths) == 1 else (replace(fork, paths=tuple(paths)),)


class _LiveTaps:
    """The live ops of a ``Tapped``, row by row.

    Attributes:
        bounds: The number of each tap so far -> the bounds of its tensor.
    """

    def __init__(self) -> None:
        self.bounds: dict[int, _Bounds] = {}

    def row(self, ops: Iterable[Op], x: TensorShape, bounds: _Bounds) -> tuple[tuple[Op, ...], TensorShape, _Bounds]:
        """Return the live ops of a row, their output shape and the bounds of the outputs.

        Args:
            ops: The ops in order.
            x: The input shape.
            bounds: The bounds of the inputs.
        """
        live: list[Op] = []
        for op in ops:
            before = x
            x = op.output_shape(before)
            if isinstance(op, Fork):
                paths, shapes, values = zip(*(self.row(path, before, bounds) for path in op.paths))
                live += live_paths(op, list(paths), list(shapes))
                bounds = op.joined_values(list(values))
            else:
                if isinstance(op, Tap):
                    self.bounds[op.number] = bounds
                bounds = self.bounds[op.number] if isinstance(op, From) else op.values(*bounds)
                live.append(op)
            if bounds == (0, 0):
                live = _zero_after_taps(live, x)
        if not live and bounds == (0, 0):
            live = _zero_after_taps(live, x)
        return tuple(live), x, bounds


def _zero_after_taps(live: list[Op], y: TensorShape) -> list[Op]:
    """Return the ops of a row that puts out zeros with one ``Zero`` in place of those after its last tap."""
    end = len(live)
    while end and not any(isinstance(op, Tap) for op in leaves((live[end - 1],))):
        end -= 1
    ends_with_tap = 0 < end == len(live)
    return live if ends_with_tap else [*live[:end], Zero(receptive_of(live[end:])[1], *y)]


def is_zero(live: tuple[Op, ...]) -> bool:
    """Return whether a sequence of live ops puts out zeros."""
    return len(live) == 1 and isinstance(live[0], Zero)

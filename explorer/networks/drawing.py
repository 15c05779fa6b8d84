"""Text diagrams of blocks: the branch on the left, the shortcut on the right, then the merge and the ops after it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from explorer.networks.block import Step, steps
from explorer.networks.fork_drawing import column, drawn
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.nested.fork import Fork, Part
from explorer.networks.ops.nested.nesting import Nested, inner_of
from explorer.networks.walk import PlacedBlock

GAP = 4  # spaces between branch and shortcut


class Diagram(NamedTuple):
    """A block without its numbers, as a diagram; equal diagrams are one kind of block.

    Each field holds names of ops, such as ``conv3x3``, and for a fork the lines of its drawing.

    Attributes:
        pre: Ops that branch and shortcut share.
        branch: Ops of the residual branch.
        shortcut: Ops of the shortcut, empty for the identity; None without a shortcut.
        merge: The merge of branch and shortcut.
        after: Ops after the merge.
    """

    pre: tuple[str, ...]
    branch: tuple[str, ...]
    shortcut: tuple[str, ...] | None
    merge: str
    after: tuple[str, ...]

    def __str__(self) -> str:
        """Return the diagram, several lines of text."""
        width = _width(("x", *self.pre, *self.branch))
        left = width // 2
        lines = [f"{word:^{width}}" for word in ("x", *self.pre)]
        if self.shortcut is None:
            lines += [f"{word:^{width}}" for word in (*self.branch, *self.after)]
            return "\n".join(line.rstrip() for line in lines)
        shortcut_width = _width(("│", *self.shortcut))
        right = width + GAP + shortcut_width // 2
        lines.append(" " * left + "├" + "─" * (right - left - 1) + "┐")
        height = max(len(self.branch), len(self.shortcut), 1)
        for word, opposite in zip(column(self.branch, height), column(self.shortcut, height)):
            lines.append(f"{word:^{width}}{' ' * GAP}{opposite:^{shortcut_width}}")
        middle = (left + right) // 2
        merge = f" {self.merge} "
        start = middle - len(merge) // 2
        lines.append(" " * left + "└" + f"{'─' * (start - left - 1)}{merge}".ljust(right - left - 1, "─") + "┘")
        lines += [" " * (middle - len(word) // 2) + word for word in self.after]
        return "\n".join(line.rstrip() for line in lines)


def _width(words: tuple[str, ...]) -> int:
    """Return the width of a column: odd if it has a fork, which has a line in its middle."""
    return max(map(len, words)) | any("┌" in word for word in words)


def block_diagram(placed: PlacedBlock) -> Diagram:
    """Return the diagram of a block.

    Args:
        placed: The block in its network.
    """
    pre, branch, shortcut, _, after, _ = placed.parts
    other = None if shortcut is None else _lines(shortcut)
    return Diagram(_lines(pre), _lines(branch), other, placed.block.merge.spelling, _lines(after))


def _lines(given: Iterable[Step]) -> tuple[str, ...]:
    return tuple(drawn(given, lambda step: op_name(step.op, step.x)))


def stage_diagrams(blocks: Iterable[PlacedBlock]) -> list[list[Diagram]]:
    """Return the diagrams of all blocks.

    Args:
        blocks: The blocks of a network, in the order of computation.

    Returns:
        For each stage the diagrams of its blocks.
    """
    return [[block_diagram(placed) for placed in stage] for _, stage in groupby(blocks, attrgetter("stage"))]


def op_names(given: Iterable[Step]) -> list[str]:
    """Return the names of ops in the space language without arguments: ``conv3x3``, ``dwconv5x5``, ``bn``.

    Args:
        given: Ops with their shapes, which determine whether a convolution is depthwise.
    """
    return [op_name(op, x) for op, x, _ in given]


def op_name(op: Op, x: TensorShape | None = None) -> str:
    """Return the name of an op without arguments: ``conv3x3``; for a fork with those of its paths.

    Args:
        op: The op.
        x: Its input shape; without one a depthwise convolution is a ``conv`` too.
    """
    paths = [" ".join(_names_in(path, x)) or "identity" for path in inner_of(op)]
    if isinstance(op, Fork):
        return f"{op.spelling}({', '.join(paths)})"
    if isinstance(op, (Nested, Part)):
        return paths[0] if paths else str(op)
    return ("dw" if x is not None and op.is_depthwise(x) else "") + str(op).split("(")[0]


def _names_in(path: Iterable[Op], x: TensorShape | None) -> list[str]:
    return list(map(op_name, path)) if x is None else op_names(steps(path, x)[0])

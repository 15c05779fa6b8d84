"""Text diagrams of blocks: the branch on the left, the shortcut on the right, then the merge and the ops after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from explorer.networks.block import Step
from explorer.networks.ops.base import Op
from explorer.networks.walk import PlacedBlock

GAP = 4  # spaces between branch and shortcut


class Diagram(NamedTuple):
    """A block without its numbers, as a diagram; equal diagrams are one kind of block.

    Each field holds names of ops, such as ``conv3x3``.

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
        width = max(map(len, ("x", *self.pre, *self.branch)))
        left = width // 2
        lines = [f"{word:^{width}}" for word in ("x", *self.pre)]
        if self.shortcut is None:
            lines += [f"{word:^{width}}" for word in (*self.branch, *self.after)]
            return "\n".join(line.rstrip() for line in lines)
        shortcut_width = max(map(len, ("│", *self.shortcut)))
        right = width + GAP + shortcut_width // 2
        lines.append(" " * left + "├" + "─" * (right - left - 1) + "┐")
        height = max(len(self.branch), len(self.shortcut), 1)
        for word, opposite in zip(_column(self.branch, height), _column(self.shortcut, height)):
            lines.append(f"{word:^{width}}{' ' * GAP}{opposite:^{shortcut_width}}")
        middle = (left + right) // 2
        merge = f" {self.merge} "
        start = middle - len(merge) // 2
        lines.append(" " * left + "└" + f"{'─' * (start - left - 1)}{merge}".ljust(right - left - 1, "─") + "┘")
        lines += [" " * (middle - len(word) // 2) + word for word in self.after]
        return "\n".join(line.rstrip() for line in lines)


def _column(words: Sequence[str], height: int) -> list[str]:
    """Centre the words in a column of ``height`` rows, with a vertical line above and below."""
    above = (height - len(words)) // 2
    return ["│"] * above + list(words) + ["│"] * (height - len(words) - above)


def block_diagram(placed: PlacedBlock) -> Diagram:
    """Return the diagram of a block.

    Args:
        placed: The block in its network.
    """
    pre, branch, shortcut, _, after, _ = placed.parts
    other = None if shortcut is None else tuple(op_names(shortcut))
    merge = placed.block.merge.spelling
    return Diagram(tuple(op_names(pre)), tuple(op_names(branch)), other, merge, tuple(op_names(after)))


def stage_diagrams(blocks: Iterable[PlacedBlock]) -> list[list[Diagram]]:
    """Return the diagrams of all blocks.

    Args:
        blocks: The blocks of a network, in the order of computation.

    Returns:
        For each stage the diagrams of its blocks.
    """
    return [[block_diagram(placed) for placed in stage] for _, stage in groupby(blocks, attrgetter("stage"))]


def op_names(steps: Iterable[Step]) -> list[str]:
    """Return the names of ops in the space language without arguments: ``conv3x3``, ``dwconv5x5``, ``bn``.

    Args:
        steps: Ops with their shapes, which determine whether a convolution is depthwise.
    """
    return [("dw" if op.is_depthwise(x) else "") + op_name(op) for op, x, _ in steps]


def op_name(op: Op) -> str:
    """Return the name of an op without arguments: ``conv3x3``, also for a depthwise convolution.

    Args:
        op: The op.
    """
    return str(op).split("(")[0]

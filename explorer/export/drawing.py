"""A block as a drawing in text: the branch on the left, the shortcut on the right, where they meet, what follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from explorer.architecture import Architecture, Block
from explorer.ops.base import Op, TensorShape
from explorer.ops.conv import Conv

GAP = 4  # blanks between branch and shortcut


class Drawn(NamedTuple):
    """A kind of block without its numbers. ``shortcut`` is None where there is none."""

    pre: tuple[str, ...]
    branch: tuple[str, ...]
    shortcut: tuple[str, ...] | None
    merge: str
    after: tuple[str, ...]

    def __str__(self) -> str:
        width = max(map(len, ("x", *self.pre, *self.branch)))
        left = width // 2
        lines = [f"{word:^{width}}" for word in ("x", *self.pre)]
        if self.shortcut is None:
            lines += [f"{word:^{width}}" for word in (*self.branch, *self.after)]
            return "\n".join(line.rstrip() for line in lines)
        other = max(map(len, ("│", *self.shortcut)))
        right = width + GAP + other // 2
        lines.append(" " * left + "├" + "─" * (right - left - 1) + "┐")
        height = max(len(self.branch), len(self.shortcut), 1)
        for word, opposite in zip(_column(self.branch, height), _column(self.shortcut, height)):
            lines.append(f"{word:^{width}}{' ' * GAP}{opposite:^{other}}")
        middle = (left + right) // 2
        meeting = f" {self.merge} "
        start = middle - len(meeting) // 2
        lines.append(" " * left + "└" + f"{'─' * (start - left - 1)}{meeting}".ljust(right - left - 1, "─") + "┘")
        lines += [" " * (middle - len(word) // 2) + word for word in self.after]
        return "\n".join(line.rstrip() for line in lines)


def _column(words: Sequence[str], height: int) -> list[str]:
    """The words in the middle of a column of so many rows, with the line drawn through above and below."""
    above = (height - len(words)) // 2
    return ["│"] * above + list(words) + ["│"] * (height - len(words) - above)


def draw_block(block: Block, x: TensorShape) -> Drawn:
    """The kind of a block for an arriving ``x``."""
    words = plain_words(block.branch, x)
    shortcut = None if block.shortcut is None else tuple(plain_words(block.shortcut, x))
    after = tuple(plain_words(block.after, block.output_shape(x)))
    return Drawn(tuple(words[: block.shared]), tuple(words[block.shared :]), shortcut, block.merge.spelling, after)


def drawn_stages(architecture: Architecture) -> list[list[Drawn]]:
    """The kind of each block, stage by stage."""
    stages = []
    for stage, x in zip(architecture.stages, architecture.stage_shapes()):
        for op in stage.transition:
            x = op.output_shape(x)
        kinds = []
        for block in stage.blocks:
            kinds.append(draw_block(block, x))
            x = block.output_shape(x)
        stages.append(kinds)
    return stages


def plain_words(ops: Iterable[Op], x: TensorShape) -> list[str]:
    """Ops as the language spells them, without their arguments: ``conv3x3``, ``dwconv5x5``, ``bn``."""
    words = []
    for op in ops:
        depthwise = isinstance(op, Conv) and op.groups == x.channels > 1
        words.append(("dw" if depthwise else "") + str(op).split("(")[0])
        x = op.output_shape(x)
    return words

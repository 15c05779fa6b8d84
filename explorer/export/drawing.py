"""A block as a drawing in text: the branch on the left, the shortcut on the right, where they meet, what follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from explorer.networks.architecture import Architecture
from explorer.networks.block import Step
from explorer.networks.ops.base import Op
from explorer.networks.walk import PlacedBlock

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


def draw_block(placed: PlacedBlock) -> Drawn:
    """The kind of a block."""
    pre, branch, shortcut, _, after, _ = placed.parts
    other = None if shortcut is None else tuple(plain_words(shortcut))
    merge = placed.block.merge.spelling
    return Drawn(tuple(plain_words(pre)), tuple(plain_words(branch)), other, merge, tuple(plain_words(after)))


def drawn_stages(architecture: Architecture) -> list[list[Drawn]]:
    """The kind of each block, stage by stage."""
    stages: list[list[Drawn]] = [[] for _ in architecture.stages]
    for placed in architecture.blocks():
        stages[placed.stage - 1].append(draw_block(placed))
    return stages


def plain_words(steps: Iterable[Step]) -> list[str]:
    """Ops as the language spells them, without their arguments: ``conv3x3``, ``dwconv5x5``, ``bn``."""
    return [("dw" if op.is_depthwise(x) else "") + plain_word(op) for op, x, _ in steps]


def plain_word(op: Op) -> str:
    """An op without its arguments: ``conv3x3``, for a depthwise convolution as well."""
    return str(op).split("(")[0]

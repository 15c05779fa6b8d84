"""The blocks of a network, consecutive equal ones together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from explorer.dashboard.figures.drawing.labels import shortcut_kind
from explorer.networks.architecture import Architecture
from explorer.networks.block import Block
from explorer.networks.ops.base import TensorShape


@dataclass(frozen=True, slots=True)
class BlockGroup:
    """Consecutive equal blocks of a stage.

    Attributes:
        stage: Number of the stage, counted from 1.
        first: Number of the first block in the stage, counted from 1.
        last: Number of the last block.
        block: The block.
        x: Input shape of each block.
        y: Output shape of each block.
    """

    stage: int
    first: int
    last: int
    block: Block
    x: TensorShape
    y: TensorShape

    @property
    def count(self) -> int:
        """The number of blocks."""
        return self.last - self.first + 1

    @property
    def places(self) -> str:
        """``block 1`` or ``blocks 2–3``."""
        return f"block {self.first}" if self.count == 1 else f"blocks {self.first}–{self.last}"

    @property
    def title(self) -> str:
        """Stage, blocks and kind of shortcut."""
        return f"stage {self.stage}, {self.places} ({shortcut_kind(self.block)})"


def block_groups(architecture: Architecture) -> list[BlockGroup]:
    """Return the network's blocks, neighbours that are alike together."""
    groups: list[BlockGroup] = []
    for placed in architecture.blocks():
        last = groups[-1] if placed.number > 1 else None
        if last is not None and last.x == placed.x and last.block == placed.block:
            groups[-1] = replace(last, last=placed.number)
        else:
            groups.append(BlockGroup(placed.stage, placed.number, placed.number, placed.block, placed.x, placed.y))
    return groups


def counterpart(group: BlockGroup, groups: list[BlockGroup]) -> BlockGroup | None:
    """Return the group of another network at the same place: same stage, and the same first block if there is one."""
    own = [each for each in groups if each.stage == group.stage]
    return next((each for each in own if each.first == group.first), own[-1] if own else None)

"""The computation of a network without the ways to spell it: what a digest is taken of.

What does not change the computation does not show:

- the division into stages, a shared pre-activation (written before the block that shares it), where a layer
  stands relative to the merge of a block without a shortcut, which side of a sum is called the shortcut;
- ops that change nothing in their place, or come to a simpler one (each op knows: ``Op.canonical``);
- an activation that leaves all values that can arrive as they are: a ReLU after a ReLU, or after pooling or gating
  of one;
- whether an activation stands before or behind an op that only moves values, or takes the largest;
- constant factors in a row; what branch and shortcut both do first, without weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from explorer.ops.activation import Activation
from explorer.ops.base import Op, TensorShape
from explorer.ops.merge import Add
from explorer.ops.scale import Scale

if TYPE_CHECKING:
    from explorer.architecture import Architecture, Block


def canonical_form(architecture: Architecture) -> dict[str, Any]:
    """Input, classes, and ``net``: a list of ops and of ``{"branch": [...], "shortcut": [...], "merge": ...}``."""
    line = _Line(architecture.input)
    line.extend(architecture.stem)
    for stage in architecture.stages:
        line.extend(stage.transition)
        for block in stage.blocks:
            line.add_block(block)
    line.extend(architecture.head)
    return {"input": list(architecture.input), "classes": architecture.classes, "net": line.to_json()}


class _Line:
    """A run of canonical steps, each an op or a residual block as JSON. ``low`` and ``high`` bound the values at
    its end; ``before`` holds shape and bounds before each step."""

    def __init__(self, shape: TensorShape, low: float = -math.inf, high: float = math.inf):
        self.steps: list[Op | dict[str, Any]] = []
        self.before: list[tuple[TensorShape, float, float]] = []
        self.shape, self.low, self.high = shape, low, high
        self.blocks: dict[tuple, tuple] = {}  # what a block comes to, for those that repeat

    def to_json(self) -> list[dict[str, Any]]:
        return [step if type(step) is dict else step.to_json() for step in self.steps]

    def extend(self, ops: Iterable[Op]) -> None:
        for op in ops:
            self._add(op)

    def _add(self, op: Op) -> None:
        simple = op.canonical(self.shape)
        if simple is None:
            return
        active = isinstance(simple, Activation)
        if active and simple.keeps(self.low, self.high):
            return
        last = self.steps[-1] if self.steps else None
        if isinstance(simple, Scale) and isinstance(last, Scale):
            self._take_back()
            self._add(Scale(simple.factor * last.factor))
        elif (simple.moves or simple.selects) and isinstance(last, Activation) and last.passes(simple, self.shape):
            self._take_back()
            self._add(simple)
            self._add(last)
        else:
            self._append(simple, simple.values(self.low, self.high), simple.output_shape(self.shape))

    def _append(self, step: Op | dict[str, Any], values: tuple[float, float], shape: TensorShape) -> None:
        self.steps.append(step)
        self.before.append((self.shape, self.low, self.high))
        (self.low, self.high), self.shape = values, shape

    def _take_back(self) -> None:
        self.steps.pop()
        self.shape, self.low, self.high = self.before.pop()

    def add_block(self, block: Block) -> None:
        if block.shortcut is None:
            self.extend(block.branch)
        else:
            shared = block.shared
            while _same_start(block.branch[shared:], block.shortcut[shared - block.shared :], self.shape):
                shared += 1
            self.extend(block.branch[:shared])
            key = id(block), self.shape, self.low, self.high
            if key not in self.blocks:
                self.blocks[key] = self._merged(block, shared)
            self._append(*self.blocks[key])
        self.extend(block.after)

    def _merged(self, block: Block, shared: int) -> tuple[dict[str, Any], tuple[float, float], TensorShape]:
        """Both ways of a block from here to their merge, as one step."""
        branch, shortcut = (_Line(self.shape, self.low, self.high) for _ in range(2))
        branch.extend(block.branch[shared:])
        shortcut.extend(block.shortcut[shared - block.shared :])
        values = block.merge.values((branch.low, branch.high), (shortcut.low, shortcut.high))
        shape = block.merge.output_shape(branch.shape, shortcut.shape)
        ways = branch.to_json(), shortcut.to_json()
        if isinstance(block.merge, Add) and _is_shortcut(*ways):
            ways = ways[1], ways[0]
        return {"branch": ways[0], "shortcut": ways[1], "merge": block.merge.to_json()}, values, shape


def _is_shortcut(way: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Which of two ways is called the shortcut where either could be: the one with fewer ops."""
    if len(way) == len(other):
        return json.dumps(way, sort_keys=True) < json.dumps(other, sort_keys=True)
    return len(way) < len(other)


def _same_start(branch: tuple[Op, ...], shortcut: tuple[Op, ...], x: TensorShape) -> bool:
    """True when both begin with the same op without weights or chance: doing it once does the same."""
    if not (branch and shortcut and branch[0] == shortcut[0]) or branch[0].role == "regulariser":
        return False
    return branch[0].cost(x).params == 0

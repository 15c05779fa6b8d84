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
from typing import Any, NamedTuple

from explorer.networks.block import Block
from explorer.networks.ops.activation import Activation
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import Add, Merge
from explorer.networks.ops.scale import Scale
from explorer.networks.walk import PlacedBlock, Segment


def canonical_text(image: TensorShape, classes: int, segments: Iterable[Segment]) -> str:
    """The canonical form of a network as JSON with sorted keys and no blanks: what the digest is of.

    It holds input, classes, and ``net``: a list of ops and of ``{"branch": [...], "shortcut": [...], "merge": ...}``.
    """
    line = _Line(image, {})
    for segment in segments:
        if isinstance(segment, PlacedBlock):
            line.add_block(segment.block)
        else:
            line.extend(step.op for step in segment.steps)
    return f'{{"classes":{classes},"input":[{",".join(map(str, image))}],"net":{line}}}'


class _Canonical(NamedTuple):
    """An op in its place: ``given``, in its simplest form (None when it changes nothing), that form's JSON, the
    shape that leaves."""

    given: Op
    simple: Op | None
    text: str
    output: TensorShape


class _Step(NamedTuple):
    """A step of a line: its JSON, the op (None for a residual block), and the shape and bounds before it."""

    text: str
    op: Op | None
    shape: TensorShape
    low: float
    high: float


class _Line:
    """A run of canonical steps, each an op or a residual block. ``low`` and ``high`` bound the values at its end.
    ``known``: what ops and blocks come to in their places, within one network."""

    __slots__ = ("high", "known", "low", "shape", "steps")

    def __init__(self, shape: TensorShape, known: dict[Any, Any], low: float = -math.inf, high: float = math.inf):
        self.steps: list[_Step] = []
        self.known = known
        self.shape, self.low, self.high = shape, low, high

    def __str__(self) -> str:
        return f"[{','.join([step.text for step in self.steps])}]"

    def extend(self, ops: Iterable[Op]) -> None:
        for op in ops:
            self._add(op)

    def _add(self, op: Op) -> None:
        # What is known is kept, so that no other op can have its id.
        cls = type(op)
        everywhere = cls.canonical is Op.canonical and cls.output_shape is Op.output_shape
        key = id(op) if everywhere else (id(op), self.shape)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = _canonical(op, self.shape)
        _, simple, text, output = found
        if everywhere:
            output = self.shape
        if simple is None or (isinstance(simple, Activation) and simple.keeps(self.low, self.high)):
            return
        last = self.steps[-1].op if self.steps else None
        if last is not None:
            if last.role == "scale" and isinstance(simple, Scale) and isinstance(last, Scale):
                self._take_back()
                self._add(Scale(simple.factor * last.factor))
                return
            if (simple.moves or simple.selects) and isinstance(last, Activation) and last.passes(simple, self.shape):
                self._take_back()
                self._add(simple)
                self._add(last)
                return
        self._append(text, simple, simple.values(self.low, self.high), output)

    def _append(self, text: str, op: Op | None, values: tuple[float, float], shape: TensorShape) -> None:
        self.steps.append(_Step(text, op, self.shape, self.low, self.high))
        (self.low, self.high), self.shape = values, shape

    def _take_back(self) -> None:
        _, _, self.shape, self.low, self.high = self.steps.pop()

    def add_block(self, block: Block) -> None:
        if block.shortcut is None:
            self.extend(block.branch)
        else:
            shared = block.shared
            while _same_start(block.branch[shared:], block.shortcut[shared - block.shared :], self.shape):
                shared += 1
            if shared:
                self.extend(block.branch[:shared])
            key = id(block), self.shape, self.low, self.high
            found = self.known.get(key)
            if found is None:
                found = self.known[key] = self._merged(
                    block.branch[shared:], block.shortcut[shared - block.shared :], block.merge
                )
            self._append(*found)
        self.extend(block.after)

    def _merged(
        self, branch_ops: tuple[Op, ...], shortcut_ops: tuple[Op, ...], merge: Merge
    ) -> tuple[str, None, tuple[float, float], TensorShape]:
        """Both ways of a block from here to their merge, as one step."""
        branch, shortcut = (_Line(self.shape, self.known, self.low, self.high) for _ in range(2))
        branch.extend(branch_ops)
        shortcut.extend(shortcut_ops)
        values = merge.values((branch.low, branch.high), (shortcut.low, shortcut.high))
        shape = merge.output_shape(branch.shape, shortcut.shape)
        if isinstance(merge, Add) and _is_shortcut(branch, shortcut):
            branch, shortcut = shortcut, branch
        text = f'{{"branch":{branch},"merge":{_compact(merge.to_json())},"shortcut":{shortcut}}}'
        return text, None, values, shape


def _is_shortcut(way: _Line, other: _Line) -> bool:
    """Which of two ways is called the shortcut where either could be: the one with fewer ops."""
    if len(way.steps) == len(other.steps):
        return str(way) < str(other)
    return len(way.steps) < len(other.steps)


def _canonical(op: Op, x: TensorShape) -> _Canonical:
    simple = op.canonical(x)
    return _Canonical(op, simple, "" if simple is None else _compact(simple.to_json()), op.output_shape(x))


def _compact(data: dict[str, Any]) -> str:
    """JSON with sorted keys and no blanks. Whole numbers, which ops mostly hold, need no encoder."""
    return "{" + ",".join([f'"{key}":{_text(data[key])}' for key in sorted(data)]) + "}"


def _text(value: Any) -> str:
    return str(value) if type(value) is int else _encode(value)


_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def _same_start(branch: tuple[Op, ...], shortcut: tuple[Op, ...], x: TensorShape) -> bool:
    """True when both begin with the same op without weights or chance: doing it once does the same."""
    if not (branch and shortcut) or branch[0].role in ("conv", "norm", "regulariser") or branch[0] != shortcut[0]:
        return False
    return branch[0].cost(x).params == 0

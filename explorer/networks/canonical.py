"""The canonical form of a network: its computation, independent of how it is written. A digest is its hash.

These differences do not change the computation, so they do not appear in the canonical form:

- the division into stages; a shared pre-activation (written before the block that shares it); whether a layer is
  before or after the merge of a block without a shortcut; which operand of a sum is the shortcut;
- ops that are the identity in their place, or equal to a simpler op (``Op.canonical``);
- an activation that is the identity on all possible inputs, for instance a ReLU after a ReLU, or after pooling or
  gating of a ReLU;
- the order of an activation and an op that only moves values, takes a maximum or adds zeros;
- consecutive ops that are one simpler op, such as constant factors (``Op.then``);
- equal first ops without weights of branch and shortcut;
- a concatenation of all shares of the channels in order; taps that can be written as forks;
- the order of the paths of ``sum`` and ``product``; a fork as the only step of a path of a fork with the same join; and
  whether a sum or a concatenation is that of a fork or of a block.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from explorer.networks.block import Block
from explorer.networks.ops.activation import Activation
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import Merge
from explorer.networks.ops.nested.fork import Fork
from explorer.networks.ops.nested.slices import channels_of
from explorer.networks.ops.nested.taps import Tapped, as_forks
from explorer.networks.walk import PlacedBlock, Segment


def canonical_text(image: TensorShape, classes: int, segments: Iterable[Segment]) -> str:
    """Return the canonical form of a network as JSON with sorted keys and no blanks.

    It has ``input``, ``classes`` and ``net``, a list of ops and of
    ``{"branch": [...], "shortcut": [...], "merge": ...}``.

    Args:
        image: The shape of an image.
        classes: The number of classes.
        segments: The stem, transitions, blocks and head in the order of computation.
    """
    texts: list[str] = []
    end = start_of(image)
    last: tuple[Block, OpenEnd] | None = None
    for segment in segments:
        if isinstance(segment, PlacedBlock):
            if last is None or last[0] is not segment.block or last[1] is not end:  # else it repeats the last one
                last = segment.block, end
                fixed, end = add_block(end, segment.block)
        elif segment.steps:
            fixed, end = add_ops(end, [step.op for step in segment.steps])
        else:
            continue
        texts += fixed
    texts += end.texts()
    return f'{{"classes":{classes},"input":[{",".join(map(str, image))}],"net":[{",".join(texts)}]}}'


# A network is canonicalised segment by segment. What a segment adds depends on earlier ones only by the open end.


class OpenEnd(NamedTuple):
    """The end of a sequence of canonical steps: all that later segments depend on.

    Attributes:
        shape: The output shape.
        low: Lower bound of the outputs.
        high: Upper bound of the outputs.
        steps: The last steps, as far as later ones can still change them (``Op.then``).
    """

    shape: TensorShape
    low: float
    high: float
    steps: tuple[_Step, ...]

    def texts(self) -> list[str]:
        """Return the JSON of the steps, for the end of a network."""
        return [step.text for step in self.steps]


MAX_KNOWN = 1_000  # rows of ops whose canonical form is kept
Extended = tuple[tuple[str, ...], OpenEnd]  # the JSON of the steps that are fixed from now on, and the new end


# By the end before them and the identity of the ops, which are kept so that no others get it.
_known: dict[tuple[OpenEnd, tuple[int, ...]], tuple[tuple[Op, ...], Extended]] = {}


def start_of(image: TensorShape) -> OpenEnd:
    """Return the end of the empty sequence: an image of any values."""
    return OpenEnd(image, -math.inf, math.inf, ())


def add_ops(end: OpenEnd, ops: Iterable[Op]) -> Extended:
    """Return what ``ops`` add to a sequence that ends in ``end``. Networks of a space mostly share stem and head."""
    ops = tuple(ops)
    key = end, tuple(map(id, ops))
    found = _known.get(key)
    if found is None:
        sequence = _Sequence.continuing(end)
        sequence.extend(ops)
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        found = _known[key] = ops, sequence.split()
    return found[1]


def add_block(end: OpenEnd, block: Block) -> Extended:
    """Return what a block adds to a sequence that ends in ``end``."""

    def extended() -> Extended:
        sequence = _Sequence.continuing(end)
        sequence.add_block(block)
        return sequence.split()

    return block.once(end, extended)


class _Canonical(NamedTuple):
    """The canonical form of an op for one input shape.

    Attributes:
        given: The op.
        simple: Its simplest form; None for the identity.
        text: The JSON of that form; empty for the identity.
        output: The output shape.
    """

    given: Op
    simple: Op | None
    text: str
    output: TensorShape


class _Step(NamedTuple):
    """A step of a sequence.

    Attributes:
        text: Its JSON.
        op: The op; None for a residual block.
        shape: The input shape.
        low: Lower bound of the inputs.
        high: Upper bound of the inputs.
        joined: What it joins, if it is a join.
    """

    text: str
    op: Op | None
    shape: TensorShape
    low: float
    high: float
    joined: _Joined | None = None


class _Joined(NamedTuple):
    """Sequences that are joined.

    Attributes:
        join: How: ``+``, ``cat``, ``product`` or a gate, as JSON.
        paths: The number of steps and the JSON of each sequence.
    """

    join: str
    paths: tuple[tuple[int, str], ...]

    def with_inner(self, sequence: _Sequence) -> _Joined:
        """Return this with one more sequence; one that is the same join alone adds its paths."""
        inner = sequence.steps[0].joined if len(sequence.steps) == 1 else None
        if inner is not None and inner.join == self.join and self.join in _JOINS.values():
            return _Joined(self.join, self.paths + inner.paths)
        return _Joined(self.join, (*self.paths, (len(sequence.steps), str(sequence))))

    def ordered(self) -> _Joined:
        """Return this with the paths in a fixed order, if it commutes; the shortcut of a sum has the fewest steps."""
        return _Joined(self.join, tuple(sorted(self.paths))) if self.join in (_SUM, _PRODUCT) else self

    def __str__(self) -> str:
        if len(self.paths) == 2 and self.join != _PRODUCT:
            (_, shortcut), (_, branch) = self.paths
            return f'{{"branch":{branch},"merge":{self.join},"shortcut":{shortcut}}}'
        return f'{{"merge":{self.join},"paths":[{",".join([text for _, text in self.paths])}]}}'


class _Sequence:
    """A sequence of canonical steps, each an op or a residual block.

    Attributes:
        steps: The steps so far.
        shape: The output shape of the last step.
        low: Lower bound of the outputs.
        high: Upper bound of the outputs.
        cache: The canonical forms of ops by id and input shape, for one segment.
    """

    __slots__ = ("cache", "high", "low", "shape", "steps")

    def __init__(self, shape: TensorShape, cache: dict[Any, Any], low: float = -math.inf, high: float = math.inf):
        self.steps: list[_Step] = []
        self.cache = cache
        self.shape, self.low, self.high = shape, low, high

    @classmethod
    def continuing(cls, end: OpenEnd) -> _Sequence:
        sequence = cls(end.shape, {}, end.low, end.high)
        sequence.steps += end.steps
        return sequence

    def split(self) -> Extended:
        fixed = len(self.steps)
        while fixed and (op := self.steps[fixed - 1].op) is not None and type(op).then is not Op.then:
            fixed -= 1
        texts = tuple([step.text for step in self.steps[:fixed]])
        return texts, OpenEnd(self.shape, self.low, self.high, tuple(self.steps[fixed:]))

    def __str__(self) -> str:
        return f"[{','.join([step.text for step in self.steps])}]"

    def extend(self, ops: Iterable[Op]) -> None:
        for op in ops:
            if isinstance(op, (Fork, Tapped)):
                self._add_fork(op) if isinstance(op, Fork) else self._add_tapped(op)
            else:
                self._add(op)

    def _add(self, op: Op) -> None:
        # The cache keeps its ops alive, so that no other op gets the same id.
        cls = type(op)
        everywhere = cls.canonical is Op.canonical and cls.output_shape is Op.output_shape
        key = id(op) if everywhere else (id(op), self.shape)
        found = self.cache.get(key)
        if found is None:
            found = self.cache[key] = _canonical(op, self.shape)
        _, simple, text, output = found
        if everywhere:
            output = self.shape
        if simple is None or (isinstance(simple, Activation) and simple.is_identity_on(self.low, self.high)):
            return
        last = self.steps[-1].op if self.steps else None
        if last is not None:
            made = last.then(simple, self.steps[-1].shape)
            if made is not None:
                self._take_back()
                self.extend(made)
                return
        self._append(text, simple, simple.values(self.low, self.high), output)

    def _append(self, text: str, op: Op | None, values: tuple[float, float], shape: TensorShape) -> None:
        self.steps.append(_Step(text, op, self.shape, self.low, self.high))
        (self.low, self.high), self.shape = values, shape

    def _take_back(self) -> None:
        _, _, self.shape, self.low, self.high, _ = self.steps.pop()

    def add_block(self, block: Block) -> None:
        if block.shortcut is None:
            self.extend(block.branch)
        else:
            shared = block.shared
            while _same_start(block.branch[shared:], block.shortcut[shared - block.shared :], self.shape):
                shared += 1
            if shared:
                self.extend(block.branch[:shared])
            ops = block.branch[shared:], block.shortcut[shared - block.shared :]
            branch, shortcut = map(self._inside, ops)
            self._add_merge(branch, shortcut, block.merge)
        self.extend(block.after)

    def _inside(self, ops: Iterable[Op]) -> _Sequence:
        """Return the sequence of ops of a path that starts here."""
        sequence = _Sequence(self.shape, self.cache, self.low, self.high)
        sequence.extend(ops)
        return sequence

    def _add_merge(self, branch: _Sequence, shortcut: _Sequence, merge: Merge) -> None:
        """Add branch and shortcut, up to and including their merge, as one step."""
        values = merge.values((branch.low, branch.high), (shortcut.low, shortcut.high))
        shape = merge.output_shape(branch.shape, shortcut.shape)
        self._add_join(_compact(merge.to_json()), [shortcut, branch], values, shape)

    def _add_fork(self, fork: Fork) -> None:
        """Add a fork as one step."""
        paths = fork.paths
        while all(_same_start(path, paths[0], self.shape) for path in paths):
            self._add(paths[0][0])
            paths = tuple(path[1:] for path in paths)
        inside = [self._inside(path) for path in paths]
        values = fork.joined_values([(path.low, path.high) for path in inside])
        self._add_join(_JOINS[fork.spelling], inside, values, fork.joined([path.shape for path in inside]))

    def _add_join(self, join: str, paths: list[_Sequence], values: tuple[float, float], shape: TensorShape) -> None:
        """Add paths and their join as one step; all shares of the channels, concatenated in order, are the input."""
        if join == _CAT:
            paths = self._with_whole_inputs(paths)
        if len(paths) == 1:
            self.steps += paths[0].steps
        else:
            joined = _Joined(join, ())
            for path in paths:
                joined = joined.with_inner(path)
            joined = joined.ordered()
            self.steps.append(_Step(str(joined), None, self.shape, self.low, self.high, joined))
        (self.low, self.high), self.shape = values, shape

    def _with_whole_inputs(self, paths: list[_Sequence]) -> list[_Sequence]:
        """Return the paths of a concatenation; those that are all channels in their order become the input."""
        made: list[_Sequence] = []
        taken = [channels_of(path.steps[0].op, self.shape) if len(path.steps) == 1 else None for path in paths]
        place = 0
        while place < len(paths):
            stop, end = 0, place
            while end < len(paths) and (found := taken[end]) is not None and found[0] == stop < self.shape.channels:
                stop, end = found[1], end + 1
            is_whole = stop == self.shape.channels
            made.append(self._inside(()) if is_whole else paths[place])
            place = end if is_whole else place + 1
        return made

    def _add_tapped(self, tapped: Tapped) -> None:
        """Add ops with taps as one step, after taps that can be written as forks have become forks."""
        for op in as_forks(tapped.ops):
            if isinstance(op, Tapped):
                inside = self._inside(op.ops)
                self._append(f'{{"tapped":{inside}}}', None, (inside.low, inside.high), inside.shape)
            else:
                self.extend((op,))


def _canonical(op: Op, x: TensorShape) -> _Canonical:
    simple = op.canonical(x)
    return _Canonical(op, simple, "" if simple is None else _compact(simple.to_json()), op.output_shape(x))


def _compact(data: dict[str, Any]) -> str:
    """Return JSON with sorted keys and no blanks. Whole numbers, the most frequent values, bypass the encoder."""
    return "{" + ",".join([f'"{key}":{_text(data[key])}' for key in sorted(data)]) + "}"


def _text(value: Any) -> str:
    return str(value) if type(value) is int else _encode(value)


_JOINS = {"sum": '{"op":"+"}', "cat": '{"op":"cat"}', "product": '{"op":"product"}'}  # as those of blocks
_SUM, _CAT, _PRODUCT = _JOINS.values()
_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def _same_start(branch: tuple[Op, ...], shortcut: tuple[Op, ...], x: TensorShape) -> bool:
    """Return whether both start with the same deterministic op without weights, so that it can be computed once."""
    if not (branch and shortcut) or branch[0] != shortcut[0]:
        return False
    if branch[0].role in ("conv", "norm", "regulariser", "fork"):
        return False
    return branch[0].cost(x).params == 0

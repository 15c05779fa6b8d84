"""The feature maps in memory while a fork runs, by following its computation step by step."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.nested.fork import Cat, Fork
from explorer.networks.ops.nested.taps import From, Tap, Tapped


def peak_elements(op: Op, x: TensorShape, is_held: bool) -> int:
    """Return the largest number of elements in memory at once while an op with inner ops runs, with those of its input.

    Paths run one after the other; each op writes a new map. ``sum`` and ``product`` join each output with those before
    it; ``cat``, and every fork in ``Tapped``, joins all at the end. A map is freed when nothing reads it any more, a
    tapped one with its ``Tapped``.

    Args:
        op: The op.
        x: The input shape.
        is_held: Whether the input stays in memory afterwards.
    """
    memory = _Memory()
    start = memory.written(x)
    if is_held:
        memory.keep(start)
    memory.run((op,), start, None)
    return memory.peak


class _Map:
    """A feature map in memory."""

    __slots__ = ("readers", "shape")

    def __init__(self, shape: TensorShape):
        self.shape = shape
        self.readers = 1


class _Memory:
    """The maps in memory. Each map counts who still reads it."""

    def __init__(self) -> None:
        self.live = self.peak = 0

    def written(self, shape: TensorShape) -> _Map:
        self.live += shape.elements
        self.peak = max(self.peak, self.live)
        return _Map(shape)

    def keep(self, x: _Map) -> _Map:
        x.readers += 1
        return x

    def free(self, x: _Map) -> None:
        x.readers -= 1
        if not x.readers:
            self.live -= x.shape.elements

    def run(self, ops: Iterable[Op], x: _Map, taps: dict[int, _Map] | None) -> _Map:
        """Run ops, which read ``x`` once; return their output. ``taps``: the tapped maps, None outside ``Tapped``."""
        for op in ops:
            if isinstance(op, Tap) and taps is not None:
                taps[op.number] = self.keep(x)
            elif isinstance(op, From) and taps is not None:
                self.free(x)
                x = self.keep(taps[op.number])
            elif isinstance(op, Tapped):
                inside: dict[int, _Map] = {}
                x = self.run(op.ops, x, inside)
                for kept in inside.values():
                    self.free(kept)
            elif isinstance(op, Fork):
                x = self.fork(op, x, taps)
            else:
                y = self.written(op.output_shape(x.shape))
                self.free(x)
                x = y
        return x

    def fork(self, fork: Fork, x: _Map, taps: dict[int, _Map] | None) -> _Map:
        waiting: list[_Map] = []
        for number, path in enumerate(fork.paths, 1):
            is_last = number == len(fork.paths)
            waiting.append(self.run(path, x if is_last else self.keep(x), taps))
            if is_last or (taps is None and number > 1 and not isinstance(fork, Cat)):
                waiting = [self.joined(fork, waiting)]
        return waiting[0]

    def joined(self, fork: Fork, waiting: list[_Map]) -> _Map:
        """Join the outputs of paths: ``cat`` all at once, others one after the other."""
        y = self.keep(waiting[0])
        numbers = [len(waiting)] if isinstance(fork, Cat) else range(2, len(waiting) + 1)
        for number in numbers:
            new = self.written(fork.joined([each.shape for each in waiting[:number]]))
            self.free(y)
            y = new
        for each in waiting:
            self.free(each)
        return y

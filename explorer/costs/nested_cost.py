"""The cost of an op with inner ops, by following its computation once, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from explorer.costs.op_traits import traits_of
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.nested.fork import Cat, Fork
from explorer.networks.ops.nested.taps import From, Tap, Tapped
from explorer.networks.ops.window import sides

Field = tuple[int, int, int, int]  # height and width of a window, strides of height and width


class FeatureMap:
    """A feature map in memory.

    Attributes:
        shape: Its shape.
        elements: The number of its elements.
        weight_layers: The conv and linear layers on the longest path to it.
        field: Its receptive field; of several paths the largest.
        readers: How many ops still read it.
    """

    __slots__ = ("elements", "field", "readers", "shape", "weight_layers")

    def __init__(self, shape: TensorShape, weight_layers: int, field: Field):
        self.shape, self.weight_layers, self.field = shape, weight_layers, field
        self.elements = shape[0] * shape[1] * shape[2]
        self.readers = 1


class NestedCost:
    """The cost of an op with inner ops.

    Paths run one after the other; each op writes a new map. ``sum`` and ``product`` join each output with those before
    it; ``cat``, and every fork in ``Tapped``, joins all at the end. A map is freed when nothing reads it any more, a
    tapped one with its ``Tapped``.

    Args:
        op: The op.
        x: The input shape.
        is_held: Whether the input stays in memory afterwards.

    Attributes:
        params: Trainable parameters.
        macs: Multiply-accumulates.
        activations: Output elements of conv and linear layers and attention.
        peak: The largest number of elements in memory at once, with those of the input.
        output: The output.
    """

    __slots__ = ("_live", "activations", "macs", "output", "params", "peak")

    def __init__(self, op: Op, x: TensorShape, is_held: bool):
        self.params = self.macs = self.activations = self._live = self.peak = 0
        start = self._written(FeatureMap(x, 0, (1, 1, 1, 1)))
        start.readers += is_held
        self.output = self._run((op,), start, None)

    def _written(self, new: FeatureMap) -> FeatureMap:
        self._live += new.elements
        if self._live > self.peak:
            self.peak = self._live
        return new

    def _free(self, x: FeatureMap) -> None:
        x.readers -= 1
        if not x.readers:
            self._live -= x.elements

    def _run(self, ops: Iterable[Op], x: FeatureMap, taps: dict[int, FeatureMap] | None) -> FeatureMap:
        """Run ops, which read ``x`` once; return their output. ``taps``: the tapped maps, None outside ``Tapped``."""
        for op in ops:
            traits = traits_of(type(op))  # type: ignore[arg-type]  # mypy takes the hash of instances
            if not traits.is_nested:
                shape, field = op.output_shape(x.shape), x.field
                if traits.cost is not None:
                    cost = traits.cost(op, x.shape, shape) if traits.reads_output else traits.cost(op, x.shape)
                    self.params += cost.params
                    self.macs += cost.macs
                    self.activations += cost.activations
                if traits.has_window:
                    field = _after_window(op, field)
                y = self._written(FeatureMap(shape, x.weight_layers + traits.is_weight_layer, field))
                self._free(x)
                x = y
            elif isinstance(op, Tap) and taps is not None:
                taps[op.number] = x
                x.readers += 1
            elif isinstance(op, From) and taps is not None:
                self._free(x)
                x = taps[op.number]
                x.readers += 1
            elif isinstance(op, Tapped):
                inside: dict[int, FeatureMap] = {}
                x = self._run(op.ops, x, inside)
                for kept in inside.values():
                    self._free(kept)
            else:
                assert isinstance(op, Fork)
                x = self._fork(op, x, taps)
        return x

    def _fork(self, fork: Fork, x: FeatureMap, taps: dict[int, FeatureMap] | None) -> FeatureMap:
        waiting: list[FeatureMap] = []
        joins_each = taps is None and not isinstance(fork, Cat)
        x.readers += len(fork.paths) - 1
        for path in fork.paths:
            waiting.append(self._run(path, x, taps))
            if joins_each and len(waiting) > 1:
                waiting = [self._joined(fork, waiting)]
        return waiting[0] if joins_each else self._joined(fork, waiting)

    def _joined(self, fork: Fork, waiting: Sequence[FeatureMap]) -> FeatureMap:
        """Join the outputs of paths: ``cat`` all at once, others one after the other."""
        shapes = [each.shape for each in waiting]
        layers = max([each.weight_layers for each in waiting])
        fields = [each.field for each in waiting]
        high, wide, down, right = fields[0] if fields.count(fields[0]) == len(fields) else map(max, zip(*fields))
        y = waiting[0]
        y.readers += 1
        for number in [len(waiting)] if isinstance(fork, Cat) else range(2, len(waiting) + 1):
            new = self._written(FeatureMap(fork.joined(shapes[:number]), layers, (high, wide, down, right)))
            self._free(y)
            y = new
        for each in waiting:
            self._free(each)
        return y


def _after_window(op: Op, field: Field) -> Field:
    """Return the receptive field after an op with a window."""
    high, wide, down, right = field
    window, stride = op.receptive()
    if type(window) is int and type(stride) is int:
        return high + (window - 1) * down, wide + (window - 1) * right, down * stride, right * stride
    (window_high, window_wide), (own_down, own_right) = sides(window), sides(stride)
    return high + (window_high - 1) * down, wide + (window_wide - 1) * right, down * own_down, right * own_right

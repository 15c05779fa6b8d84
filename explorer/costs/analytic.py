"""The costs of an architecture, summed over its ops without building the network and without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeAlias

from explorer.analysis.quantities import COSTS
from explorer.costs.nested_cost import NestedCost
from explorer.costs.op_traits import traits_of
from explorer.networks.architecture import Architecture, require_architecture
from explorer.networks.block import Block, MergeStep, Parts, Step, steps
from explorer.networks.dead_layers import without_dead_layers
from explorer.networks.ops.base import Op, TensorShape
from explorer.networks.ops.merge import Merge
from explorer.networks.ops.window import sides
from explorer.networks.walk import PlacedBlock
from explorer.system.plain_text import html_table

BYTES_PER_ELEMENT = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}


Count: TypeAlias = Any  # an int for one network, or an integer array for many


class Totals(NamedTuple):
    """The sums and maxima over the ops of a network, from which every cost is computed.

    Attributes:
        params: Trainable parameters.
        macs: Multiply-accumulates, one image.
        activations: Output elements of conv layers, linear layers and attention, one image.
        weight_layers: Conv and linear layers on the longest path.
        receptive_field: Side in input pixels, the larger of height and width.
        live_elements: The largest number of feature map elements in memory at once, whole batch.
        bytes_per_element: Bytes of an element of weights and feature maps.
    """

    params: Count
    macs: Count
    activations: Count
    weight_layers: Count
    receptive_field: Count
    live_elements: Count
    bytes_per_element: int


def _formula(formula: Callable[[Totals], Count]) -> Any:
    """Return a field of ``Cost`` with its formula, whose arithmetic also works on arrays."""
    return field(metadata={"formula": formula})


@dataclass(frozen=True, slots=True)
class Cost:
    """The costs of a network for one image. Each field has a row of the same name in ``explorer.analysis.quantities``.

    Attributes:
        params: Trainable parameters.
        macs: Multiply-accumulates of conv, linear and attention products, without biases, norms, activations, pooling
            and additions.
        flops: 2 * macs.
        activations: Output elements of conv and linear layers (Radosavovic et al. 2020) and of the products of
            attention.
        weight_layers: Conv and linear layers on the longest path, without shortcuts and attention (20 for ResNet-20).
        receptive_field: Side in input pixels, the larger of height and width, without attention and global pooling.
        peak_memory_bytes: The largest size of weights and feature maps in memory at once in inference: float32,
            batch 1, each op writes a new map.
    """

    params: int = _formula(lambda total: total.params)
    macs: int = _formula(lambda total: total.macs)
    flops: int = _formula(lambda total: 2 * total.macs)
    activations: int = _formula(lambda total: total.activations)
    weight_layers: int = _formula(lambda total: total.weight_layers)
    receptive_field: int = _formula(lambda total: total.receptive_field)
    peak_memory_bytes: int = _formula(lambda total: total.bytes_per_element * (total.params + total.live_elements))

    def _repr_html_(self) -> str:
        return html_table("costs for one image", {name: f"{count:,}" for name, count in self.to_dict().items()})

    def to_dict(self) -> dict[str, int]:
        """Return every cost by name."""
        return {name: getattr(self, name) for name in FORMULAS}  # ``asdict`` takes ten times as long


FORMULAS: dict[str, Callable[[Totals], Count]] = {each.name: each.metadata["formula"] for each in fields(Cost)}


def costs_of(totals: Totals) -> dict[str, Count]:
    """Return every cost by name.

    Args:
        totals: Of one network, or with an array per field of many.
    """
    return {name: FORMULAS[name](totals) for name in COSTS}


class SegmentCost(NamedTuple):
    """The cost of a segment of a network: a stem, a transition, a block or a head.

    Attributes:
        shape: The output shape.
        params: Trainable parameters.
        macs: Multiply-accumulates.
        activations: Output elements of conv and linear layers and attention.
        weight_layers: Conv and linear layers on the longest path.
        growth: By how much the height of the receptive field grows, in pixels of the input map.
        jump: The product of the strides along the height.
        wide_growth: By how much its width grows.
        wide_jump: The product of the strides along the width.
        peak: The largest number of elements in memory at once.
    """

    shape: TensorShape
    params: int
    macs: int
    activations: int
    weight_layers: int
    growth: int
    jump: int
    wide_growth: int
    wide_jump: int
    peak: int


def count_cost(architecture: Architecture, batch: int = 1, dtype: str = "float32") -> Cost:
    """Return the cost of a network.

    Args:
        architecture: The network.
        batch: Images per batch; affects only ``peak_memory_bytes``.
        dtype: A key of ``BYTES_PER_ELEMENT``; affects only ``peak_memory_bytes``.

    Returns:
        The cost; except ``peak_memory_bytes``, it is that of one image.
    """
    require_architecture(architecture)
    params = macs = activations = weight_layers = peak = 0
    field = wide_field = jump = wide_jump = 1
    last: Parts | None = None
    for segment in architecture.segments:
        if isinstance(segment, PlacedBlock):
            if segment.parts is not last:  # else it repeats the last one
                last, cost = segment.parts, _live_block_cost(segment.block, segment.x, segment.parts)
        elif segment.steps:
            cost = _segment_cost(segment.x, segment.y, segment.steps)
        else:
            continue
        _, own_params, own_macs, own_activations, layers, growth, stride, wide_growth, wide_stride, high = cost
        params += own_params
        macs += own_macs
        activations += own_activations
        weight_layers += layers
        field += growth * jump
        jump *= stride
        wide_field += wide_growth * wide_jump
        wide_jump *= wide_stride
        if high > peak:
            peak = high
    larger, elements = max(field, wide_field), batch * peak
    totals = Totals(params, macs, activations, weight_layers, larger, elements, BYTES_PER_ELEMENT[dtype])
    return Cost(**costs_of(totals))


def joined_cost(costs: Iterable[SegmentCost]) -> SegmentCost:
    """Return the cost of segments that follow each other, of which there is at least one."""
    first, *others = costs
    for other in others:
        first = SegmentCost(
            other.shape,
            first.params + other.params,
            first.macs + other.macs,
            first.activations + other.activations,
            first.weight_layers + other.weight_layers,
            first.growth + other.growth * first.jump,
            first.jump * other.jump,
            first.wide_growth + other.wide_growth * first.wide_jump,
            first.wide_jump * other.wide_jump,
            max(first.peak, other.peak),
        )
    return first


def ops_cost(ops: tuple[Op, ...], x: TensorShape) -> SegmentCost:
    """Return the cost of a sequence of ops for an input of shape ``x``."""
    made, y = steps(ops, x)
    return _segment_cost(x, y, made)


def block_cost(block: Block, x: TensorShape) -> SegmentCost:
    """Return the cost of a block for an input of shape ``x``, without its dead layers."""
    return block.once(("cost", x), lambda: _parts_cost(without_dead_layers(block, x).parts(x), x))


def _live_block_cost(block: Block, x: TensorShape, parts: Parts) -> SegmentCost:
    """Return the cost of a block without dead layers, whose parts are known."""
    return block.once(("cost", x), lambda: _parts_cost(parts, x))


def _parts_cost(parts: Parts, x: TensorShape) -> SegmentCost:
    pre, branch, shortcut, merge, after, y = parts
    if merge is None or shortcut is None:
        return _segment_cost(x, y, pre + branch + after)
    return _segment_cost(x, y, pre, merge, branch, shortcut, after)


def _segment_cost(
    x: TensorShape,
    y: TensorShape,
    ops: tuple[Step, ...],
    merge: MergeStep | None = None,
    branch: tuple[Step, ...] = (),
    shortcut: tuple[Step, ...] = (),
    after: tuple[Step, ...] = (),
) -> SegmentCost:
    """Return the cost of ``ops`` and, with a merge, of the branch, shortcut, merge and further ops after them."""
    params = macs = activations = weight_layers = held = 0
    growth, wide_growth, jump, wide_jump = fields = 0, 0, 1, 1
    peak = elements = live = x.elements
    for place, part in enumerate((ops,) if merge is None else (ops, branch, shortcut, after)):
        if place == 1:
            # The shortcut's input stays in memory while the branch runs. It is also the input of the first op.
            start_elements, fields = elements, (growth, wide_growth, jump, wide_jump)
            held, live = elements, elements
        elif place == 2:
            branch_elements, branch_layers = elements, weight_layers
            branch_fields, elements = (growth, wide_growth, jump, wide_jump), start_elements
            growth, wide_growth, jump, wide_jump = fields
            held, live = branch_elements, branch_elements + elements
        elif merge is not None and place == 3:
            if type(merge.op).cost is not Merge.cost:
                own = merge.op.cost(merge.x)
                params += own.params
                macs += own.macs
                activations += own.activations
            live = branch_elements + elements  # the inputs of the merge; its output is added below
            elements = merge.y.elements
            peak = max(peak, live + elements)
            growth, wide_growth = max(growth, branch_fields[0]), max(wide_growth, branch_fields[1])
            jump, wide_jump, weight_layers = *branch_fields[2:], branch_layers
            held, live = 0, elements
        for op, op_x, op_y in part:
            cost, reads_output, is_weight_layer, has_window, enlarges, is_nested = traits_of(type(op))  # type: ignore[arg-type]  # of instances
            elements = op_y[0] * op_y[1] * op_y[2]
            if is_nested:
                inner = NestedCost(op, op_x, live == held)
                params += inner.params
                macs += inner.macs
                activations += inner.activations
                weight_layers += inner.output.weight_layers
                high, wide, down, right = inner.output.field
                growth += (high - 1) * jump
                jump *= down
                wide_growth += (wide - 1) * wide_jump
                wide_jump *= right
                live += inner.peak - op_x.elements
                if live > peak:
                    peak = live
                live = held + elements
                continue
            if cost is not None:
                own_params, own_macs, own_activations = cost(op, op_x, op_y) if reads_output else cost(op, op_x)
                params += own_params
                macs += own_macs
                activations += own_activations
            weight_layers += is_weight_layer
            if has_window:
                window, stride = op.receptive()
                if type(window) is int and type(stride) is int:
                    growth += (window - 1) * jump
                    jump *= stride
                    wide_growth += (window - 1) * wide_jump
                    wide_jump *= stride
                else:
                    (high, wide), (down, right) = sides(window), sides(stride)
                    growth += (high - 1) * jump
                    jump *= down
                    wide_growth += (wide - 1) * wide_jump
                    wide_jump *= right
            elif enlarges:  # it enlarges the map, mostly one that the same segment has shrunk
                jump, wide_jump = (max(1, int(n * part)) for n, part in zip((jump, wide_jump), op.shrinks()))
            live += elements
            if live > peak:
                peak = live
            live = held + elements
    return SegmentCost(y, params, macs, activations, weight_layers, growth, jump, wide_growth, wide_jump, peak)

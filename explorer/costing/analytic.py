"""Architecture to Cost, by summing its ops. No torch, no building."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

from explorer.architecture import Architecture, require_architecture
from explorer.block import Block, MergeStep, Parts, Step, steps
from explorer.ops.base import FREE, Op, TensorShape
from explorer.ops.merge import Merge
from explorer.walk import PlacedBlock

WEIGHT_LAYERS = ("conv", "linear")  # by role
BYTES_PER_ELEMENT = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs, one image.

    ``params``: trainable parameters. ``macs``: multiply-accumulates of conv, linear and attention
    products, without biases, norms, activations, pooling and additions; ``flops`` = 2 * macs.
    ``activations``: elements that conv and linear layers put out (Radosavovic et al. 2020), and attention's products.
    ``weight_layers``: conv and linear layers on the longest way through, shortcuts and attention
    left out (the 20 of ResNet-20). ``receptive_field``: side in input pixels, attention and global
    pooling left out. ``peak_memory_bytes``: weights and feature maps live at once in inference,
    float32, batch 1, every op writing a new map.
    """

    params: int
    macs: int
    flops: int
    activations: int
    weight_layers: int
    receptive_field: int
    peak_memory_bytes: int

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


class Passage(NamedTuple):
    """What a feature map meets on its way through a piece of a network.

    ``shape`` leaves the piece. ``growth`` and ``jump``: by how much the receptive field grows, and how many
    times farther apart neighbours of the map lie afterwards, in pixels of the arriving map.
    ``peak``: elements live at once at the worst moment.
    """

    shape: TensorShape
    params: int
    macs: int
    activations: int
    weight_layers: int
    growth: int
    jump: int
    peak: int


def count_cost(architecture: Architecture, batch: int = 1, dtype: str = "float32") -> Cost:
    """The cost of a network; ``batch`` and ``dtype`` matter to ``peak_memory_bytes`` alone."""
    require_architecture(architecture)
    known: Known = {}
    blocks: dict[int, Passage] = {}  # by the id of the parts: a block that repeats is counted once
    passages = []
    for segment in architecture.segments:
        if isinstance(segment, PlacedBlock):
            key = id(segment.parts)
            if key not in blocks:
                blocks[key] = _pass_block(segment.parts, segment.x, known)
            passages.append(blocks[key])
        else:
            passages.append(_pass(segment.x, segment.y, known, segment.steps))
    params = macs = activations = weight_layers = peak = 0
    field = jump = 1
    for _, more_params, more_macs, more_activations, layers, growth, stride, high in passages:
        params += more_params
        macs += more_macs
        activations += more_activations
        weight_layers += layers
        field += growth * jump
        jump *= stride
        if high > peak:
            peak = high
    memory = BYTES_PER_ELEMENT[dtype] * (params + batch * peak)
    return Cost(params, macs, 2 * macs, activations, weight_layers, field, memory)


def pass_ops(ops: tuple[Op, ...], x: TensorShape) -> Passage:
    """Ops one after the other."""
    made, y = steps(ops, x)
    return _pass(x, y, {}, made)


def pass_block(block: Block, x: TensorShape) -> Passage:
    """A block for an arriving ``x``."""
    return _pass_block(block.parts(x), x, {})


# What one op adds for one arriving shape: the elements that leave; params, macs, activations; whether it is a
# weight layer; what it adds to the receptive field, and its stride.
Counts = tuple[int, int, int, int, bool, int, int]

# Counts by op and arriving shape, within one network: an op that repeats is asked once. The ops are kept
# alive by the network, so their ids stay theirs.
Known = dict[tuple[int, TensorShape], Counts]


def _count(op: Op, x: TensorShape, y: TensorShape) -> Counts:
    cls = type(op)
    params, macs, activations = FREE if cls.cost is Op.cost else op.cost(x)
    window, stride = (1, 1) if cls.receptive is Op.receptive else op.receptive()
    return y.elements, params, macs, activations, cls.role in WEIGHT_LAYERS, window - 1, stride


def _pass_block(parts: Parts, x: TensorShape, known: Known) -> Passage:
    pre, branch, shortcut, merge, after, y = parts
    if merge is None or shortcut is None:
        return _pass(x, y, known, pre + branch + after)
    return _pass(x, y, known, pre, merge, branch, shortcut, after)


def _pass(
    x: TensorShape,
    y: TensorShape,
    known: Known,
    ops: tuple[Step, ...],
    merge: MergeStep | None = None,
    branch: tuple[Step, ...] = (),
    shortcut: tuple[Step, ...] = (),
    after: tuple[Step, ...] = (),
) -> Passage:
    """The way through ``ops`` and, where there is a merge, a residual block behind them."""
    params = macs = activations = weight_layers = growth = held = 0
    jump = 1
    peak = elements = live = x.elements
    for place, part in enumerate((ops,) if merge is None else (ops, branch, shortcut, after)):
        if place == 1:
            # The block's input stays live while the branch runs; under its first op it is the arriving map itself.
            start_elements, start_growth, start_jump = elements, growth, jump
            held, live = elements, elements
        elif place == 2:
            branch_elements, branch_growth, branch_jump, branch_layers = elements, growth, jump, weight_layers
            elements, growth, jump = start_elements, start_growth, start_jump
            held, live = branch_elements, branch_elements + elements
        elif merge is not None and place == 3:
            if type(merge.op).cost is not Merge.cost:
                more = merge.op.cost(merge.x)
                params += more.params
                macs += more.macs
                activations += more.activations
            live = branch_elements + elements  # branch and shortcut, and what they come to
            elements = merge.y.elements
            peak = max(peak, live + elements)
            growth, jump, weight_layers = max(growth, branch_growth), branch_jump, branch_layers
            held, live = 0, elements
        for op, arriving, leaving in part:
            key = id(op), arriving
            counts = known.get(key)
            if counts is None:
                counts = known[key] = _count(op, arriving, leaving)
            elements, more_params, more_macs, more_activations, weighs, wider, stride = counts
            params += more_params
            macs += more_macs
            activations += more_activations
            weight_layers += weighs
            growth += wider * jump
            jump *= stride
            live += elements
            if live > peak:
                peak = live
            live = held + elements
    return Passage(y, params, macs, activations, weight_layers, growth, jump, peak)

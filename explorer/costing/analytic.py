"""Architecture to Cost, by summing its ops. No torch, no building."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

from explorer.architecture import Architecture, Block, require_architecture
from explorer.ops.base import FREE, Op, TensorShape
from explorer.ops.merge import Merge

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
    passages = [_pass(architecture.input, known, architecture.stem)]
    blocks: dict[tuple[int, TensorShape], tuple] = {}  # blocks that repeat are counted once
    for stage in architecture.stages:
        if stage.transition:
            passages.append(_pass(passages[-1][0], known, stage.transition))
        for block in stage.blocks:
            x = passages[-1][0]
            key = id(block), x
            passage = blocks.get(key)
            if passage is None:
                passage = blocks[key] = _pass_block(block, x, known)
            passages.append(passage)
    passages.append(_pass(passages[-1][0], known, architecture.head))
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
    return Passage(*_pass(x, {}, ops))


def pass_block(block: Block, x: TensorShape) -> Passage:
    """A block for an arriving ``x``."""
    return Passage(*_pass_block(block, x, {}))


# One op for one arriving shape: the shape that leaves and its elements; params, macs, activations; whether it is a
# weight layer; what it adds to the receptive field, and its stride.
Layer = tuple[TensorShape, int, int, int, int, bool, int, int]

# Layers by op and arriving shape, within one network: an op that repeats is asked once. The ops are kept
# alive by the network, so their ids stay theirs.
Known = dict[tuple[int, TensorShape], Layer]


def _layer(op: Op, x: TensorShape) -> Layer:
    cls = type(op)
    params, macs, activations = FREE if cls.cost is Op.cost else op.cost(x)
    if cls.output_shape is Op.output_shape and cls.receptive is Op.receptive:
        return x, x.elements, params, macs, activations, cls.role in WEIGHT_LAYERS, 0, 1
    y = op.output_shape(x)
    window, stride = op.receptive()
    return y, y.elements, params, macs, activations, cls.role in WEIGHT_LAYERS, window - 1, stride


def _pass_block(block: Block, x: TensorShape, known: Known) -> tuple:
    branch, shared, shortcut = block.branch, block.shared, block.shortcut
    if shortcut is None:
        return _pass(x, known, branch + block.after)
    return _pass(x, known, branch[:shared], block.merge, branch[shared:], shortcut, block.after)


def _pass(
    x: TensorShape,
    known: Known,
    ops: tuple[Op, ...],
    merge: Merge | None = None,
    branch: tuple[Op, ...] = (),
    shortcut: tuple[Op, ...] = (),
    after: tuple[Op, ...] = (),
) -> tuple:
    """The values of a ``Passage`` through ``ops`` and, where there is a merge, a residual block behind them."""
    params = macs = activations = weight_layers = growth = held = 0
    jump = 1
    peak = elements = live = x.elements
    for place, part in enumerate((ops,) if merge is None else (ops, branch, shortcut, after)):
        if place == 1:
            # The block's input stays live while the branch runs; under its first op it is the arriving map itself.
            start, start_elements, start_growth, start_jump = x, elements, growth, jump
            held, live = elements, elements
        elif place == 2:
            y, y_elements, y_growth, y_jump, y_layers = x, elements, growth, jump, weight_layers
            x, elements, growth, jump = start, start_elements, start_growth, start_jump
            held, live = y_elements, y_elements + elements
        elif place == 3:
            if type(merge).cost is not Merge.cost:
                more_params, more_macs, more_activations = merge.cost(x)
                params += more_params
                macs += more_macs
                activations += more_activations
            live = y_elements + elements  # branch and shortcut, and what they come to
            x = merge.output_shape(y, x)
            elements = x.elements
            peak = max(peak, live + elements)
            growth, jump, weight_layers = max(growth, y_growth), y_jump, y_layers
            held, live = 0, elements
        for op in part:
            key = id(op), x
            layer = known.get(key)
            if layer is None:
                layer = known[key] = _layer(op, x)
            x, elements, more_params, more_macs, more_activations, weighs, wider, stride = layer
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
    return x, params, macs, activations, weight_layers, growth, jump, peak

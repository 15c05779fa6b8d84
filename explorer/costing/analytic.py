"""Architecture to Cost, by summing its ops. No torch, no building."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple

from explorer.architecture import Architecture, Block
from explorer.ops.base import Op, TensorShape

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


class _Layer(NamedTuple):
    """One op for one arriving shape."""

    shape: TensorShape
    elements: int
    params: int
    macs: int
    activations: int
    weight_layers: int
    growth: int
    stride: int


# Layers by op and arriving shape, within one network: an op that repeats is asked once. The ops are kept
# alive by the network, so their ids stay theirs.
Known = dict[tuple[int, TensorShape], _Layer]


def count_cost(architecture: Architecture, batch: int = 1, dtype: str = "float32") -> Cost:
    """The cost of a network; ``batch`` and ``dtype`` matter to ``peak_memory_bytes`` alone."""
    known: Known = {}
    blocks: dict[tuple[int, TensorShape], Passage] = {}  # blocks that repeat are counted once
    x = architecture.input
    params = macs = activations = weight_layers = 0
    field = jump = 1
    peak = x.elements

    def add(passage: Passage) -> TensorShape:
        nonlocal params, macs, activations, weight_layers, field, jump, peak
        shape, more_params, more_macs, more_activations, layers, growth, stride, high = passage
        params += more_params
        macs += more_macs
        activations += more_activations
        weight_layers += layers
        field += growth * jump
        jump *= stride
        if high > peak:
            peak = high
        return shape

    x = add(pass_ops(architecture.stem, x, known))
    for stage in architecture.stages:
        if stage.transition:
            x = add(pass_ops(stage.transition, x, known))
        for block in stage.blocks:
            key = id(block), x
            passage = blocks.get(key)
            if passage is None:
                passage = blocks[key] = pass_block(block, x, known)
            x = add(passage)
    add(pass_ops(architecture.head, x, known))
    return Cost(
        params, macs, 2 * macs, activations, weight_layers, field, BYTES_PER_ELEMENT[dtype] * (params + batch * peak)
    )


def pass_ops(ops: Iterable[Op], x: TensorShape, known: Known) -> Passage:
    """Ops one after the other."""
    walk = _Walk(x, known)
    walk.run(ops, 0)
    return walk.passage()


def pass_block(block: Block, x: TensorShape, known: Known) -> Passage:
    """A block for an arriving ``x``."""
    walk = _Walk(x, known)
    branch, shared, shortcut = block.branch, block.shared, block.shortcut
    if shared:
        walk.run(branch[:shared], 0)
    start, growth, jump = walk.shape, walk.growth, walk.jump
    if shortcut is None:
        walk.run(branch[shared:], 0)
    else:
        # The block's input stays live while the branch runs; under the branch's first op it is the
        # arriving map itself.
        walk.run(branch[shared : shared + 1], 0)
        walk.run(branch[shared + 1 :], start.elements)
        way = _Walk(start, known)
        way.growth, way.jump = growth, jump
        if shortcut:
            way.run(shortcut, walk.shape.elements)
        walk.merge(way, block)
    if block.after:
        walk.run(block.after, 0)
    return walk.passage()


class _Walk:
    """Sums along the way of a feature map."""

    __slots__ = (
        "activations", "growth", "jump", "known", "macs", "params", "peak", "shape", "weight_layers"
    )  # fmt: skip

    def __init__(self, shape: TensorShape, known: Known):
        self.shape, self.known = shape, known
        self.params = self.macs = self.activations = self.weight_layers = self.growth = 0
        self.jump = 1
        self.peak = shape.elements

    def run(self, ops: Iterable[Op], held: int) -> None:
        """Ops one after the other while ``held`` elements of other maps stay live."""
        x, known, jump, peak = self.shape, self.known, self.jump, self.peak
        params = macs = activations = layers = growth = 0
        before = held + x.elements
        for op in ops:
            key = id(op), x
            layer = known.get(key)
            if layer is None:
                layer = known[key] = _layer(op, x)
            x, elements, more_params, more_macs, more_activations, weighs, wider, stride = layer
            params += more_params
            macs += more_macs
            activations += more_activations
            layers += weighs
            growth += wider * jump
            jump *= stride
            if before + elements > peak:
                peak = before + elements
            before = held + elements
        self.shape, self.jump, self.peak = x, jump, peak
        self.params += params
        self.macs += macs
        self.activations += activations
        self.weight_layers += layers
        self.growth += growth

    def merge(self, shortcut: _Walk, block: Block) -> None:
        """The meeting with the shortcut, whose layers do not count to the depth."""
        merge, arriving = block.merge, shortcut.shape
        params, macs, activations = merge.cost(arriving)
        self.params += shortcut.params + params
        self.macs += shortcut.macs + macs
        self.activations += shortcut.activations + activations
        self.growth = max(self.growth, shortcut.growth)
        merged = merge.output_shape(self.shape, arriving)
        together = self.shape.elements + arriving.elements + merged.elements
        self.peak = max(self.peak, shortcut.peak, together)
        self.shape = merged

    def passage(self) -> Passage:
        return Passage(
            self.shape, self.params, self.macs, self.activations, self.weight_layers, self.growth, self.jump, self.peak
        )


def _layer(op: Op, x: TensorShape) -> _Layer:
    y = op.output_shape(x)
    params, macs, activations = op.cost(x)
    window, stride = op.receptive()
    return _Layer(
        y, y.elements, params, macs, activations, op.role == "conv" or op.role == "linear", window - 1, stride
    )

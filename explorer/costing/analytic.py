"""Architecture to Cost, by summing its ops. No torch, no building."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from explorer.architecture import Architecture, Block
from explorer.ops.base import FREE, Op, OpCost, TensorShape

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


def count_cost(architecture: Architecture, batch: int = 1, dtype: str = "float32") -> Cost:
    """The cost of a network; ``batch`` and ``dtype`` matter to ``peak_memory_bytes`` alone."""
    walk = _Walk(architecture.input)
    walk.run(architecture.stem)
    known: dict[tuple[int, TensorShape], tuple] = {}
    for stage in architecture.stages:
        walk.run(stage.transition)
        for block in stage.blocks:
            walk.block(block, known)
    walk.run(architecture.head)
    bytes_each = BYTES_PER_ELEMENT[dtype]
    return Cost(
        params=walk.cost.params,
        macs=walk.cost.macs,
        flops=2 * walk.cost.macs,
        activations=walk.cost.activations,
        weight_layers=walk.weight_layers,
        receptive_field=walk.field,
        peak_memory_bytes=bytes_each * (walk.cost.params + batch * walk.peak),
    )


class _Walk:
    """Sums along the way of a feature map. ``field`` and ``jump``: receptive field and the input
    pixels between neighbours of the map; ``peak``: elements live at once at the worst moment."""

    def __init__(self, shape: TensorShape):
        self.shape = shape
        self.cost: OpCost = FREE
        self.weight_layers = 0
        self.field = self.jump = 1
        self.peak = shape.elements

    def run(self, ops: tuple[Op, ...], held: int = 0) -> None:
        """Ops one after the other while ``held`` elements of other maps stay live."""
        for op in ops:
            y = op.output_shape(self.shape)
            self.cost = self.cost.plus(op.cost(self.shape))
            self.weight_layers += op.role in ("conv", "linear")
            window, stride = op.receptive()
            self.field += (window - 1) * self.jump
            self.jump *= stride
            self.peak = max(self.peak, held + self.shape.elements + y.elements)
            self.shape = y

    def block(self, block: Block, known: dict) -> None:
        """One block; blocks that repeat with the same arriving shape are counted once."""
        key = (id(block), self.shape)
        if key not in known:
            inner = _Walk(self.shape)
            inner._block(block)
            # Kept relative: the field grows by a multiple of the jump on arrival.
            known[key] = inner.shape, inner.cost, inner.weight_layers, inner.field - 1, inner.jump, inner.peak
        shape, cost, weight_layers, growth, jump, peak = known[key]
        self.shape, self.cost = shape, self.cost.plus(cost)
        self.weight_layers += weight_layers
        self.field += growth * self.jump
        self.jump *= jump
        self.peak = max(self.peak, peak)

    def _block(self, block: Block) -> None:
        self.run(block.branch[: block.shared])
        start, x = self.shape, self.shape.elements
        shortcut = _Walk(start)
        shortcut.field, shortcut.jump = self.field, self.jump
        # The block's input stays live while the branch runs, unless nothing else reads it;
        # under the branch's first op it is the arriving map itself.
        self.run(block.branch[block.shared : block.shared + 1])
        self.run(block.branch[block.shared + 1 :], held=x if block.shortcut is not None else 0)
        if block.shortcut is not None:
            shortcut.run(block.shortcut, held=self.shape.elements)
            self.cost = self.cost.plus(shortcut.cost).plus(block.merge.cost(shortcut.shape))
            self.field = max(self.field, shortcut.field)
            merged = block.merge.output_shape(self.shape, shortcut.shape)
            together = self.shape.elements + shortcut.shape.elements + merged.elements
            self.peak = max(self.peak, shortcut.peak, together)
            self.shape = merged
        self.run(block.after)

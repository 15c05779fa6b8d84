"""Architecture to Cost, by summing its ops. No torch, no building."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple, TypeAlias

from explorer.analysis.quantities import COSTS
from explorer.networks.architecture import Architecture, require_architecture
from explorer.networks.block import Block, MergeStep, Parts, Step, steps
from explorer.networks.ops.base import FREE, Op, TensorShape
from explorer.networks.ops.merge import Merge
from explorer.networks.walk import PlacedBlock

WEIGHT_LAYERS = ("conv", "linear")  # by role
BYTES_PER_ELEMENT = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}


Count: TypeAlias = Any  # an int, or an array of ints for as many networks


class Totals(NamedTuple):
    """What the walk through a network finds, from which every cost is computed.

    Attributes:
        params: Trainable parameters.
        macs: Multiply-accumulates, one image.
        activations: Elements put out by conv and linear layers and attention, one image.
        weight_layers: Conv and linear layers on the longest path.
        receptive_field: Side in input pixels.
        live_elements: Elements of feature maps live at once at the worst moment, whole batch.
        bytes_per_element: Of weights and feature maps.
    """

    params: Count
    macs: Count
    activations: Count
    weight_layers: Count
    receptive_field: Count
    live_elements: Count
    bytes_per_element: int


def _formula(formula: Callable[[Totals], Count]) -> Any:
    """Return a field of ``Cost`` with its formula, which uses arithmetic that arrays know, too."""
    return field(metadata={"formula": formula})


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs, one image. Each field has a row of the same name in ``explorer.analysis.quantities``.

    ``params``: trainable parameters. ``macs``: multiply-accumulates of conv, linear and attention
    products, without biases, norms, activations, pooling and additions; ``flops`` = 2 * macs.
    ``activations``: elements that conv and linear layers put out (Radosavovic et al. 2020), and attention's products.
    ``weight_layers``: conv and linear layers on the longest way through, shortcuts and attention
    left out (the 20 of ResNet-20). ``receptive_field``: side in input pixels, attention and global
    pooling left out. ``peak_memory_bytes``: weights and feature maps live at once in inference,
    float32, batch 1, every op writing a new map.
    """

    params: int = _formula(lambda total: total.params)
    macs: int = _formula(lambda total: total.macs)
    flops: int = _formula(lambda total: 2 * total.macs)
    activations: int = _formula(lambda total: total.activations)
    weight_layers: int = _formula(lambda total: total.weight_layers)
    receptive_field: int = _formula(lambda total: total.receptive_field)
    peak_memory_bytes: int = _formula(lambda total: total.bytes_per_element * (total.params + total.live_elements))

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


FORMULAS: dict[str, Callable[[Totals], Count]] = {each.name: each.metadata["formula"] for each in fields(Cost)}


def costs_of(totals: Totals) -> dict[str, Count]:
    """Return every cost by name, of one network or of many."""
    return {name: FORMULAS[name](totals) for name in COSTS}


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
    totals = Totals(params, macs, activations, weight_layers, field, batch * peak, BYTES_PER_ELEMENT[dtype])
    return Cost(**costs_of(totals))


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

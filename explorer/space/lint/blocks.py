"""Warnings of blocks and transitions: shortcuts, gates, strides and stochastic depth that other tools write otherwise.

Each check is a function of a grammar and of some of its networks that yields place, message and fix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from explorer.networks.architecture import Architecture
from explorer.networks.block import Step
from explorer.networks.ops.context_attention import CoordinateAttention, SimpleAttention
from explorer.networks.ops.convolutional_attention import ConvolutionalAttention
from explorer.networks.ops.merge import Concatenate
from explorer.networks.ops.nested.fork import Cat, Sum
from explorer.networks.ops.regularisation import DropPath
from explorer.networks.ops.squeeze_excitation import (
    EffectiveSqueezeExcitation,
    EfficientChannelAttention,
    SqueezeExcitation,
)
from explorer.networks.walk import OpRun, PlacedBlock
from explorer.space.constants import constants
from explorer.space.further_nodes import ForkItem
from explorer.space.grammar import Grammar, Group, Node, OpItem, Variable, reachable, walk
from explorer.space.lint.expressions import Found
from explorer.space.lint.sample import Example
from explorer.space.lint.structure import where_found

Examples = Callable[[], Sequence[Example]]

GATES = (  # ops that put out the product of their input and a gate
    SqueezeExcitation,
    EffectiveSqueezeExcitation,
    EfficientChannelAttention,
    CoordinateAttention,
    SimpleAttention,
    ConvolutionalAttention,
)


def doubled_identity(grammar: Grammar, examples: Examples) -> Found:
    """Find ``sum(conv3x3 bn, identity) +``: the path and the shortcut both are the input of the block."""
    forks = [node for node in _nodes(grammar) if isinstance(node, ForkItem) and node.join in ("sum", "cat")]
    if forks and (found := where_found(examples(), lambda network: any(map(_has_doubled_identity, network.blocks())))):
        fork = next((fork for fork in forks if any(map(_is_empty, fork.paths))), forks[0])
        message = f"the path without layers in '{fork.join}(...)' and the shortcut{found[1]} both are the input"
        fix = "remove the path, or write same: none under 'shortcut' if the fork is the whole block"
        yield fork.place, f"{message} of the block: the block has it twice", fix


def _has_doubled_identity(placed: PlacedBlock) -> bool:
    """Return whether the branch of a block is a fork with an empty path, joined to the identity in the same way."""
    block = placed.block
    if block.shortcut != () or len(block.branch) != 1:
        return False
    fork = block.branch[0]
    return isinstance(fork, Cat if isinstance(block.merge, Concatenate) else Sum) and () in fork.paths


def gated_twice(grammar: Grammar, examples: Examples) -> Found:
    """Find ``product(identity, se(4))``: an op with a gate multiplies its input by it already."""
    for node in _nodes(grammar):
        if not isinstance(node, ForkItem) or node.join != "product" or not any(map(_is_empty, node.paths)):
            continue
        rows = (path.items for path in node.paths if isinstance(path, Group))
        for op in (row[0] for row in rows if len(row) == 1):
            if isinstance(op, OpItem) and op.op in GATES:
                name = op.op.spelling
                message = f"{name} multiplies its input by its gate already: the product is x * x * gate"
                yield op.place, message, f"write {name} without product, or the layers of a gate, which end in sigmoid"


def shrinks_by_one(grammar: Grammar, examples: Examples) -> Found:
    """Find ``transition: maxpool2x2(s=s)`` before a stage without a stride: there it takes one row and one column."""
    even = [
        node
        for node in ([] if grammar.transition is None else reachable(grammar.rules, [grammar.transition]))
        if isinstance(node, OpItem) and _is_even(node.kernel) and _has_stage_stride(node)
    ]
    if even and (found := where_found(examples(), lambda network: any(_shrinking(network)))):
        run, step = next(_shrinking(found[0].network))
        before, after = (f"{shape.height}x{shape.width}" for shape in (step.x, step.y))
        message = f"{step.op} before stage {run.stage}{found[1]}, a stage without a stride, shrinks {before} to {after}"
        fix = "write an odd kernel, or by_stage(...) with none for the stages without a stride"
        yield even[0].place, message, fix


def _is_even(kernel: object) -> bool:
    sides = kernel if isinstance(kernel, tuple) else (kernel,)
    return any(isinstance(side, int) and side % 2 == 0 for side in sides)


def _has_stage_stride(item: OpItem) -> bool:
    """Return whether the stride of an op is computed from ``s``, and its padding is the default."""
    values = {argument.field: value for argument, value in item.arguments}
    if "padding" in values or "stride" not in values:
        return False
    return any(isinstance(node, Variable) and node.name == "s" for node in walk(values["stride"]))


def _shrinking(network: Architecture) -> Iterator[tuple[OpRun, Step]]:
    """Yield the ops of transitions whose output is one pixel smaller than their input, with their transition."""
    for segment in network.segments:
        if isinstance(segment, OpRun) and segment.part == "transition":
            for step in segment.steps:
                if max(step.x.height - step.y.height, step.x.width - step.y.width) == 1 < min(step.x[1:]) - 1:
                    yield segment, step


def stride_without_transition(grammar: Grammar, examples: Examples) -> Found:
    """Find a first stage with a stride in a file whose transitions have those of the other stages."""
    first = grammar.stages[0]
    if grammar.transition is None or min(constants(first.stride, grammar.rules), default=1) == 1:
        return
    if found := where_found(examples(), _strides_in_transitions):
        message = f"stage 1 has a stride, but no transition: there the first block has the stride{found[1]}"
        fix = "write the layers of the transition last in the stem and the stride 1 for stage 1"
        yield first.place, f"{message}, in later stages the transition", fix


def _strides_in_transitions(network: Architecture) -> bool:
    """Return whether a transition shrinks the map, and in the first stage the first block does."""
    opening = next(network.blocks())
    transitions = (each for each in network.segments if isinstance(each, OpRun) and each.part == "transition")
    return opening.x[1:] != opening.y[1:] and any(each.x.height > each.y.height > 1 for each in transitions)


def dropped_block(grammar: Grammar, examples: Examples) -> Found:
    """Find stochastic depth after the merge or in a shortcut: it drops more than the branch."""
    places = [node.place for node in _nodes(grammar) if isinstance(node, OpItem) and node.op is DropPath]
    for part, what in (("after", "after the merge"), ("shortcut", "in a shortcut")):

        def drops(network: Architecture, part: str = part) -> bool:
            blocks = [getattr(placed.block, part) or () for placed in network.blocks() if placed.parts.merge]
            return any(isinstance(op, DropPath) for ops in blocks for op in ops)

        if places and (found := where_found(examples(), drops)):
            message = f"droppath is {what}{found[1]}: it drops the input of the block, not only the branch"
            yield places[-1], message, "write it last before the merge, as in 'conv3x3 bn droppath(0.1) +'"


def narrow_shortcut(grammar: Grammar, examples: Examples) -> Found:
    """Find blocks with ``cat`` whose shortcut has fewer channels than their input."""
    if found := where_found(examples(), lambda network: any(map(_is_narrow, network.blocks()))):
        placed = next(filter(_is_narrow, found[0].network.blocks()))
        kept = placed.parts.shortcut[-1].y.channels if placed.parts.shortcut else 0
        message = f"the block that opens stage {placed.stage}{found[1]} concatenates its branch to {kept} channels"
        fix = "write changed: avgpool under 'shortcut' to keep all of them, or a transition"
        place = grammar.stages[placed.stage - 1].place
        yield place, f"{message}, the width of its shortcut: its input has {placed.x.channels}", fix


def _is_narrow(placed: PlacedBlock) -> bool:
    """Return whether the merge of a block is ``cat`` and its shortcut loses channels."""
    shortcut = placed.parts.shortcut
    if not isinstance(placed.block.merge, Concatenate) or not shortcut:
        return False
    return shortcut[-1].y.channels < placed.x.channels


def _nodes(grammar: Grammar) -> Iterator[Node]:
    return reachable(grammar.rules, grammar.roots)


def _is_empty(path: Node) -> bool:
    return isinstance(path, Group) and all(map(_is_empty, path.items))


CHECKS: dict[str, Callable[[Grammar, Examples], Found]] = {
    "doubled-identity": doubled_identity,
    "gated-twice": gated_twice,
    "shrinks-by-one": shrinks_by_one,
    "stride-without-transition": stride_without_transition,
    "dropped-block": dropped_block,
    "narrow-shortcut": narrow_shortcut,
}

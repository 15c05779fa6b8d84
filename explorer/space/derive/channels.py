"""The output channels of expressions, as far as they are the same for all choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from explorer.networks.ops.base import Op
from explorer.networks.ops.conv import Conv, DepthwiseConv
from explorer.networks.ops.zero import Zero
from explorer.space.derive.relevance import depends_on_block
from explorer.space.further_nodes import ByPlace, ForkItem
from explorer.space.grammar import (
    Alternatives,
    Copied,
    Group,
    MergeItem,
    Node,
    OpItem,
    Reference,
    Repeat,
    StageRule,
    Variable,
)

# What an expression can have: the width of the stage, the channels of its input, or something else.
WIDTH, INPUT, OTHER = "width", "input", "other"
Found = frozenset[str]


def later_blocks_keep_shape(rules: Mapping[str, Node], rule: StageRule, stage: int) -> bool:
    """Whether each block of a stage after its first has the stage's width as input and output.

    Then it keeps its shape, since its stride is 1. False if this is not certain.

    Args:
        rules: Rule name -> expression.
        rule: The stage.
        stage: Its number, from 1.
    """
    if depends_on_block(rules, [rule.width], stage):
        return False
    return _channels(rules, rule.first) == {WIDTH} and _channels(rules, rule.block) <= {WIDTH, INPUT}


def _channels(rules: Mapping[str, Node], node: Node) -> Found:
    """Return what the number of output channels of layers can be."""
    if isinstance(node, Reference):
        return _channels(rules, rules[node.name])
    if isinstance(node, Group):
        found: Found = frozenset([INPUT])
        for item in reversed(node.items):
            if INPUT not in found:
                break
            found = (found - {INPUT}) | _channels(rules, item)
        return found
    if isinstance(node, (Alternatives, ByPlace)):
        return _joined(_channels(rules, option) for option in node.options)
    if isinstance(node, Repeat):
        return _channels(rules, node.item) | ({INPUT} if node.counts[0] == 0 else set())
    if isinstance(node, ForkItem) and node.join in ("sum", "product"):  # its paths have equal channels
        paths = [_channels(rules, path) for path in node.paths]
        return frozenset([WIDTH]) if {WIDTH} in paths else _joined(paths)
    if isinstance(node, OpItem):
        return frozenset([_of_op(node)])
    keeps = isinstance(node, Copied) or (isinstance(node, MergeItem) and node.merge.spelling != "cat")
    return frozenset([INPUT if keeps else OTHER])


def _of_op(node: OpItem) -> str:
    given = [value for argument, value in node.arguments if argument.name == "out"]
    if given:
        return WIDTH if isinstance(given[0], Variable) and given[0].name == "w" else OTHER
    if issubclass(node.op, DepthwiseConv) or node.op.output_shape is Op.output_shape:
        return INPUT
    return WIDTH if issubclass(node.op, (Conv, Zero)) else OTHER


def _joined(several: Iterable[Found]) -> Found:
    return frozenset[str]().union(*several)

"""Spellings whose meaning has changed since the first version of the language.

A study of a space with one of them is another study than one that an earlier version created with the same file.
"""

from __future__ import annotations

from collections.abc import Iterator

from explorer.networks.ops.pool import BlurPool
from explorer.networks.ops.scale import Scale
from explorer.space.constants import constants
from explorer.space.grammar import Grammar, Node, OpItem, reachable


def changed_meanings(grammar: Grammar) -> dict[str, str]:
    """Return the spellings of a space that earlier versions read otherwise: spelling -> its meaning now."""
    found = dict(_changed(grammar, grammar.roots))
    blocks = [root for stage in grammar.stages for root in (stage.block, stage.first)]
    # A shortcut that is ``scale(0)`` alone has no layers that are multiplied by 0.
    blocks += [part for stage in grammar.stages for part in stage.shortcut_parts if _layers(grammar, part) > 1]
    if any(_may_be_zero(grammar, node) for node in reachable(grammar.rules, blocks)):
        found["scale(0)"] = "the layers before it are left out"
    return found


def _changed(grammar: Grammar, roots: list[Node]) -> Iterator[tuple[str, str]]:
    for node in reachable(grammar.rules, roots):
        if not isinstance(node, OpItem):
            continue
        for argument, value in node.arguments:
            if argument.kind == "ratio" and any(number < 1 for number in constants(value, grammar.rules)):
                yield node.op.spelling, "a ratio below 1 is the share"
        if node.op is BlurPool and node.kernel is None and not _shrinks(grammar, node):
            yield "blurpool", "the identity at stride 1"


def _shrinks(grammar: Grammar, node: OpItem) -> bool:
    """Return whether an op has a constant stride above 1."""
    strides = [constants(value, grammar.rules) for argument, value in node.arguments if argument.field == "stride"]
    return bool(strides) and min(strides[0], default=0) > 1


def _may_be_zero(grammar: Grammar, node: Node) -> bool:
    if not isinstance(node, OpItem) or node.op is not Scale:
        return False
    return any(0 in constants(value, grammar.rules) for _, value in node.arguments)


def _layers(grammar: Grammar, part: Node) -> int:
    return sum(isinstance(node, OpItem) for node in reachable(grammar.rules, [part]))

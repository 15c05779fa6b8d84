"""The numbers that an expression can be, if it has no variables."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from explorer.space.arithmetic import compute
from explorer.space.further_nodes import ByPlace, Pair
from explorer.space.grammar import Alternatives, Arithmetic, Group, Node, Number, Reference

MAX_NUMBERS = 1_000  # numbers of an expression with many choices; beyond it none are returned


def constants(node: Node, rules: Mapping[str, Node], stage: int = 0) -> frozenset[Fraction]:
    """Return the numbers that a value can be; empty if it has a variable, an error or too many choices.

    Of a size it is the larger side.

    Args:
        node: The value.
        rules: Rule name -> expression.
        stage: The number of a stage, for what ``by_stage`` has there; 0 for any.
    """
    if isinstance(node, ByPlace) and node.of == "stage" and stage and (here := node.at(stage)):
        return constants(here[0], rules, stage)
    if isinstance(node, Number):
        return frozenset([node.value])
    if isinstance(node, Pair):
        return frozenset([Fraction(max(node.value))])
    if isinstance(node, Reference):
        return constants(rules[node.name], rules, stage)
    if isinstance(node, (Alternatives, ByPlace)) or (isinstance(node, Group) and len(node.items) == 1):
        return frozenset[Fraction]().union(*(constants(option, rules, stage) for option in node.children))
    if isinstance(node, Arithmetic):
        left, right = constants(node.left, rules, stage), constants(node.right, rules, stage)
        if len(left) * len(right) > MAX_NUMBERS:
            return frozenset()
        try:
            return frozenset(compute(node.operator, a, b) for a in left for b in right)
        except ArithmeticError:
            return frozenset()
    return frozenset()

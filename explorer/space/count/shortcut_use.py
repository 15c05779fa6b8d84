"""Which shortcut a block has, as far as that is the same for all choices.

A stride of at least 2 changes the shape of a block whose map has several pixels, and a later block of a stage whose
channels are always the stage's width keeps its shape. If this decides each shortcut, or all shortcuts of a block ask
the same, then counting needs no shapes.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from explorer.networks.ops.base import Op
from explorer.networks.ops.conv import Conv, DepthwiseConv
from explorer.networks.ops.pool import AvgPool, MaxPool
from explorer.networks.ops.squeeze_excitation import SqueezeExcitation
from explorer.networks.ops.window import sides
from explorer.space.constants import constants
from explorer.space.count.questions import Question, UnitQuestions, merged
from explorer.space.derive.channels import later_blocks_keep_shape
from explorer.space.further_nodes import ByPlace, ForkItem, UnitEnd
from explorer.space.grammar import Alternatives, Grammar, Group, Node, OpItem, Reference, Repeat, Variable
from explorer.space.grammar import reachable as nodes_of

Asked = tuple[tuple[Question, ...], ...]  # what the shortcut of a block may ask: one entry for each possibility
WINDOWS = (Conv, DepthwiseConv, MaxPool, AvgPool)
SAME_MAP = ("norm", "activation", "regulariser")  # roles of ops that keep the map


def shortcut_questions(grammar: Grammar, questions: UnitQuestions) -> dict[tuple[str, int], Asked]:
    """Return what the shortcuts of blocks may ask: for ``first`` and ``block``, and each number of a stage."""
    known_maps = _KnownMaps(grammar)
    found: dict[tuple[str, int], Asked] = {}
    for k, rule in enumerate(grammar.stages, 1):
        asked = questions.shortcuts[k - 1]
        several = any(isinstance(node, UnitEnd) for node in nodes_of(grammar.rules, (rule.block, rule.first), k))
        keeps = later_blocks_keep_shape(grammar.rules, rule, k)
        for kind in ("first", "block"):
            if several:  # each unit of a block has a shortcut
                found[kind, k] = (merged(asked.values()),)
                continue
            parts = [part for shortcut in rule.shortcuts.values() for part in (shortcut.same, shortcut.changed)]
            if kind == "block" and keeps:
                parts = [shortcut.same for shortcut in rule.shortcuts.values()]
            elif kind == "first" and known_maps.shrink(k):
                parts = [shortcut.changed for shortcut in rule.shortcuts.values()]
            found[kind, k] = tuple(dict.fromkeys(() if part is None else asked[part] for part in parts))
    return found


def decided(grammar: Grammar, asked: dict[tuple[str, int], Asked]) -> bool:
    """Whether no shape is needed to know what each shortcut asks."""
    has_units = any(isinstance(node, UnitEnd) for node in nodes_of(grammar.rules, grammar.roots))
    return not has_units and _KnownMaps(grammar).are_known and all(len(several) == 1 for several in asked.values())


class _KnownMaps:
    """The smallest map before each stage, if each layer divides height and width by its stride, rounded up.

    Attributes:
        are_known: Whether each layer of stem and stages does.
    """

    def __init__(self, grammar: Grammar):
        self._grammar = grammar
        blocks = [part for rule in grammar.stages for part in (rule.block, rule.first)]
        self.are_known = grammar.transition is None and all(
            self._is_regular(node, in_stem=False) for node in nodes_of(grammar.rules, blocks)
        )
        of_stem = nodes_of(grammar.rules, [grammar.stem])
        self.are_known &= all(self._is_regular(node, in_stem=True) for node in of_stem)

    def shrink(self, k: int) -> bool:
        """Whether the first block of stage ``k`` always has a smaller map as its output."""
        grammar = self._grammar
        if not self.are_known or not (by_stem := self._divisor(grammar.stem)):
            return False
        strides = [constants(rule.stride, grammar.rules, number) for number, rule in enumerate(grammar.stages[:k], 1)]
        if not all(strides) or min(strides[-1]) < 2 or self._has_pair(k):
            return False
        sizes: list[Fraction | int] = list(grammar.input[1:])
        for side in grammar.sides:
            sizes += constants(side, grammar.rules) or [0]  # a side that is not known may be small
        before = by_stem
        for each in strides[:-1]:
            before *= max(each)
        return ceil(Fraction(min(sizes)) / before) > 1

    def _has_pair(self, k: int) -> bool:
        """Whether the stride of a stage up to ``k`` may differ between height and width."""
        rules, stages = self._grammar.rules, self._grammar.stages[:k]
        nodes = nodes_of(rules, [rule.stride for rule in stages])
        return not all(isinstance(node, (Group, Alternatives, ByPlace, Reference)) or node.constant() for node in nodes)

    def _is_regular(self, node: Node, in_stem: bool) -> bool:
        """Whether a node is no layer, or divides height and width by its stride, rounded up."""
        if not isinstance(node, OpItem):
            return True
        given = {argument.field: value for argument, value in node.arguments}
        if node.op in WINDOWS:
            stride = given.get("stride")
            is_odd = node.kernel is None or all(side % 2 for side in sides(node.kernel))
            of_block = stride is None or (isinstance(stride, Variable) and stride.name == "s")
            return is_odd and given.keys().isdisjoint(("padding", "ceil")) and (in_stem or of_block)
        keeps = node.op.output_shape is Op.output_shape and not node.op.takes_stride
        return keeps or node.op.role in SAME_MAP or node.op is SqueezeExcitation

    def _divisor(self, node: Node) -> Fraction:
        """Return the largest number by which layers of the stem divide a side; 0 if it is not known."""
        if isinstance(node, Reference):
            return self._divisor(self._grammar.rules[node.name])
        inner = [self._divisor(child) for child in node.children if not isinstance(node, OpItem)]
        if not all(inner):
            return Fraction(0)
        if isinstance(node, Group):
            product = Fraction(1)
            for each in inner:
                product *= each
            return product
        if isinstance(node, (Alternatives, ByPlace, ForkItem)):
            return max(inner)
        if isinstance(node, Repeat):
            return inner[0] ** max(node.counts)
        if isinstance(node, OpItem):
            value = next((value for argument, value in node.arguments if argument.field == "stride"), None)
            return Fraction(1) if value is None else max(constants(value, self._grammar.rules), default=Fraction(0))
        return Fraction(1)

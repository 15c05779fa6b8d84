"""Which choices can change a shape, a stride, a shortcut or whether a network exists at all.

Most cannot: an activation, the ratio of an SE, the dilation of an odd kernel. Walks that carry
shapes (for counting where shortcuts have choices, and for checking a space on loading) leave those
out, so that the number of different blocks they see stays small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from explorer.errors import ArchitectureError
from explorer.grammar.arithmetic import constant
from explorer.grammar.tokens import ExpressionError
from explorer.grammar.tree import (
    Alternatives,
    Arithmetic,
    Broken,
    Copied,
    Group,
    Item,
    MergeItem,
    Number,
    OpItem,
    Point,
    Reference,
    Repeat,
    Value,
    Variable,
    Word,
    children,
)
from explorer.ops.base import Argument, Op, check_argument


class Relevance:
    """What matters to shapes among ``rules``. ``named``: rules whose mere use matters, as a shortcut is theirs."""

    def __init__(self, rules: Mapping[str, Item | Value], named: Iterable[str] = ()):
        self.rules = rules
        self.named = frozenset(named)
        self._neutral: dict[object, bool] = {}
        self._settled: dict[object, bool] = {}
        self._faults: dict[tuple[Argument, str, str], str | None] = {}

    def neutral(self, node: Item) -> bool:
        """Whether layers never change a shape or fail, whatever is chosen in them."""
        if node not in self._neutral:
            if isinstance(node, Reference):
                known = node.name not in self.named and self.neutral(self.rules[node.name])
            elif isinstance(node, OpItem):
                keeps_shape = node.op.output_shape is Op.output_shape
                known = keeps_shape and all(self.settled(argument, value) for argument, value in node.arguments)
            elif isinstance(node, (MergeItem, Broken, Number, Variable, Word, Arithmetic)):
                known = False  # values are none of its business
            else:
                known = isinstance(node, Copied) or all(map(self.neutral, children(node)))
            self._neutral[node] = known
        return self._neutral[node]

    def ignored(self, node: OpItem | MergeItem, argument: Argument, value: Item | Value) -> bool:
        """Whether an argument of an op that matters does not matter itself."""
        free = isinstance(node, MergeItem) or argument.field == "bias" or node.op.output_shape is Op.output_shape
        free = free or (argument.field == "dilation" and node.kernel is not None and node.kernel % 2 == 1)
        return free and self.settled(argument, value)

    def settled(self, argument: Argument, value: Item | Value) -> bool:
        """Whether each value that an argument may take is a constant and allowed. What follows the block's
        place (``droppath(0.2*i/n)``) counts as settled: it is checked when a network is derived."""
        key = argument.field, value
        if key not in self._settled:
            self._settled[key] = self._places(value) or self.fault(argument, value) is None
        return self._settled[key]

    def fault(self, argument: Argument, value: Item | Value, spelling: str = "") -> str | None:
        """What is wrong with the first value that cannot be; "" when one is no constant, None when all are allowed.
        ``spelling``: the op's, as the fault names it."""
        if isinstance(value, Reference):
            key = argument, value.name, spelling
            if key not in self._faults:
                self._faults[key] = self.fault(argument, self.rules[value.name], spelling)
            return self._faults[key]
        if isinstance(value, Word):
            return None
        if argument.kind == "activation" and isinstance(value, OpItem):
            return (
                None if value.op.role == "activation" and all(self.settled(*pair) for pair in value.arguments) else ""
            )
        if isinstance(value, Alternatives) or (isinstance(value, Group) and len(value.items) == 1):
            found = [self.fault(argument, option, spelling) for option in children(value)]
            return next(filter(None, found), "" if "" in found else None)
        if argument.kind == "activation":
            return ""
        try:
            check_argument(spelling, argument, constant(value, 0))
            return None
        except ExpressionError:
            return ""
        except ArchitectureError as error:
            return str(error)

    def _places(self, value: Item | Value) -> bool:
        if isinstance(value, Reference):
            return self._places(self.rules[value.name])
        if isinstance(value, Variable):
            return value.name in ("i", "n")
        return isinstance(value, (Arithmetic, Alternatives)) and any(map(self._places, children(value)))

    def follows_place(self, roots: Iterable[Item]) -> set[str]:
        """Which of the variables ``i`` and ``n`` stand where they matter."""
        found = set()
        for node in self._relevant(roots):
            if isinstance(node, Variable) and node.name in ("i", "n"):
                found.add(node.name)
        return found

    def points(self, roots: Iterable[Item]) -> frozenset[Point]:
        """The choice points that matter among all that ``roots`` can come to."""
        return frozenset(
            node.point
            for node in self._relevant(roots)
            if isinstance(node, (Alternatives, Repeat)) and node.point is not None
        )

    def _relevant(self, roots: Iterable[Item]) -> Iterable[object]:
        pending, seen = list(roots), set()
        while pending:
            node = pending.pop()
            if isinstance(node, Reference):
                if node.name in seen:
                    continue
                seen.add(node.name)
                inner = (self.rules[node.name],)
            elif isinstance(node, (OpItem, MergeItem)):
                inner = tuple(value for argument, value in node.arguments if not self.ignored(node, argument, value))
            else:
                inner = children(node)
            yield node
            pending.extend(child for child in inner if not self.neutral(child))

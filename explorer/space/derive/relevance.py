"""The choices that can change a shape, a stride, a shortcut, or the validity of a network.

Most choices cannot: an activation, the ratio of an SE, the dilation of an odd kernel. Code that computes the shapes of
all derivations (counting if shortcuts have choices, and the check on loading) leaves these out, so that the number of
distinct blocks stays small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import Argument, Op, check_argument
from explorer.networks.ops.conv import Conv
from explorer.networks.ops.pool import AvgPool, BlurPool, MaxPool
from explorer.networks.ops.window import sides, spell_size
from explorer.space.further_nodes import ByPlace, ForkItem, Pair
from explorer.space.grammar import (
    Alternatives,
    Arithmetic,
    Copied,
    Group,
    MergeItem,
    Node,
    OpItem,
    Point,
    Reference,
    Repeat,
    Variable,
    Word,
    point_of,
    reachable,
)

PLACE_VARIABLES = ("i", "n", "j", "m")


def depends_on_block(rules: Mapping[str, Node], roots: Iterable[Node], stage: int = 0) -> bool:
    """Whether expressions read the number of the block in its stage: by ``j`` or ``by_block``."""
    return any(
        (isinstance(node, Variable) and node.name == "j") or (isinstance(node, ByPlace) and node.of == "block")
        for node in reachable(rules, roots, stage)
    )


class Relevance:
    """Finds the choices that affect shapes.

    Args:
        rules: Rule name -> expression.
        named: The rules that have their own shortcuts, so that their use affects shapes.
    """

    def __init__(self, rules: Mapping[str, Node], named: Iterable[str] = ()):
        self.rules = rules
        self.named = frozenset(named)
        self._neutral: dict[Node, bool] = {}
        self._settled: dict[tuple[str, Node], bool] = {}
        self._faults: dict[tuple[Argument, str, str], str | None] = {}

    def is_neutral(self, node: Node) -> bool:
        """Whether layers never change a shape and never fail, for all choices in them."""
        known = self._neutral.get(node)
        if known is None:
            known = self._neutral[node] = self._is_neutral(node)
        return known

    def _is_neutral(self, node: Node) -> bool:
        if isinstance(node, Reference):
            return node.name not in self.named and self.is_neutral(self.rules[node.name])
        if isinstance(node, OpItem):
            return _keeps_shape(node.op) and all(self.is_settled(argument, value) for argument, value in node.arguments)
        keeps_shape = isinstance(node, ForkItem) and node.join in ("sum", "product")
        if keeps_shape or isinstance(node, (Group, Alternatives, ByPlace, Repeat)):
            return all(map(self.is_neutral, node.children))
        return isinstance(node, Copied)

    def is_ignored(self, node: OpItem | MergeItem, argument: Argument, value: Node) -> bool:
        """Whether this argument of an op or merge does not affect shapes, although the op or merge does."""
        free = isinstance(node, MergeItem) or argument.field == "bias" or _keeps_shape(node.op)
        if isinstance(node, OpItem) and argument.field == "dilation":
            free = free or _is_centred(node)
        return free and self.is_settled(argument, value)

    def is_settled(self, argument: Argument, value: Node) -> bool:
        """Whether each possible value of an argument is a valid constant.

        A value that depends on the block's place (``droppath(0.2*i/n)``) counts as settled: it is checked when a
        network is derived.
        """
        key = argument.field, value
        known = self._settled.get(key)
        if known is None:
            known = self._settled[key] = self._uses_place(value) or self.fault(argument, value) is None
        return known

    def fault(self, argument: Argument, value: Node, spelling: str = "") -> str | None:
        """Check the possible values of an argument.

        Args:
            argument: The argument.
            value: Its expression.
            spelling: The name of the op or merge, for the message.

        Returns:
            The error of the first invalid value, "" if a value is not a constant, None if all are valid.
        """
        if isinstance(value, Reference):
            key = argument, value.name, spelling
            if key not in self._faults:
                self._faults[key] = self.fault(argument, self.rules[value.name], spelling)
            return self._faults[key]
        if isinstance(value, Word):
            return None
        if argument.kind == "activation" and isinstance(value, OpItem):
            is_activation = value.op.role == "activation"
            return None if is_activation and all(self.is_settled(*pair) for pair in value.arguments) else ""
        if isinstance(value, (Alternatives, ByPlace)) or (isinstance(value, Group) and len(value.items) == 1):
            found = [self.fault(argument, option, spelling) for option in value.children]
            return next(filter(None, found), "" if "" in found else None)
        if argument.kind == "activation":
            return ""
        if isinstance(value, Pair) and argument.kind != "size":
            return f"{argument.name} of {spelling} must be a number, found {spell_size(value.value)}"
        try:
            number = value.value if isinstance(value, Pair) else value.constant()
            if number is None:
                return ""
            check_argument(spelling, argument, number)
            return None
        except ArithmeticError:
            return ""
        except ArchitectureError as error:
            return str(error)

    def _uses_place(self, value: Node) -> bool:
        if isinstance(value, Reference):
            return self._uses_place(self.rules[value.name])
        if isinstance(value, Variable):
            return value.name in PLACE_VARIABLES
        return isinstance(value, (Arithmetic, Alternatives, ByPlace)) and any(map(self._uses_place, value.children))

    def place_variables(self, roots: Iterable[Node]) -> set[str]:
        """Return those of the variables ``i``, ``n``, ``j``, ``m`` that affect shapes in the expressions ``roots``.

        ``by_block`` reads ``j``.
        """
        found: set[str] = set()
        for node in self._relevant(roots):
            if isinstance(node, Variable) and node.name in PLACE_VARIABLES:
                found.add(node.name)
            elif isinstance(node, ByPlace) and node.of == "block":
                found.add("j")
        return found

    def points(self, roots: Iterable[Node]) -> frozenset[Point]:
        """Return the choice points that affect shapes in the expressions ``roots``."""
        found = (point_of(node) for node in self._relevant(roots))
        return frozenset(point for point in found if point is not None)

    def forgets_channels(self, block: Node, changed: Iterable[Node]) -> bool:
        """Whether a block depends on the number of its input channels only by whether it changes them.

        This is so if the branch and each shortcut of a block that changes its shape start with a dense convolution,
        apart from layers for which any number of channels will do, and nothing reads ``in``.

        Args:
            block: The block.
            changed: The shortcuts if the block changes its shape.
        """
        parts = [block, *changed]
        return all(map(self._starts_dense, parts)) and not any(
            (isinstance(node, Variable) and node.name in ("in", "c"))
            or (isinstance(node, MergeItem) and node.merge.spelling == "cat")
            for node in reachable(self.rules, parts)
        )

    def _starts_dense(self, node: Node) -> bool:
        """Whether the first layer of each choice that is not neutral is a dense convolution; False if none is."""
        if isinstance(node, Reference):
            return self._starts_dense(self.rules[node.name])
        if isinstance(node, (Alternatives, ByPlace)):
            return all(map(self._starts_dense, node.options))
        if isinstance(node, ForkItem):
            return node.join != "split" and all(map(self._starts_dense, node.paths))
        if isinstance(node, Repeat):
            return node.counts[0] > 0 and self._starts_dense(node.item)
        if isinstance(node, Group):
            first = next((item for item in node.items if not self._takes_any_channels(item)), None)
            return first is not None and self._starts_dense(first)
        return (
            isinstance(node, OpItem)
            and issubclass(node.op, Conv)
            and not any(argument.field == "groups" for argument, _ in node.arguments)
        )

    def _takes_any_channels(self, node: Node) -> bool:
        """Whether all choices of layers keep the number of channels, whatever it is."""
        if self.is_neutral(node):
            return True
        if isinstance(node, Reference):
            return self._takes_any_channels(self.rules[node.name])
        if isinstance(node, (Group, Alternatives, ByPlace, Repeat)):
            return all(map(self._takes_any_channels, node.children))
        return isinstance(node, OpItem) and node.op in (AvgPool, BlurPool, MaxPool)

    def _relevant(self, roots: Iterable[Node]) -> Iterator[Node]:
        pending = list(roots)
        seen: set[str] = set()
        while pending:
            node = pending.pop()
            inner = node.children
            if isinstance(node, Reference):
                if node.name in seen:
                    continue
                seen.add(node.name)
                inner = (self.rules[node.name],)
            elif isinstance(node, (OpItem, MergeItem)):
                inner = tuple(value for argument, value in node.arguments if not self.is_ignored(node, argument, value))
            yield node
            pending.extend(child for child in inner if not self.is_neutral(child))


def _is_centred(node: OpItem) -> bool:
    """Whether the dilation of an op does not affect its output shape: odd sides with the default padding."""
    is_odd = node.kernel is not None and all(side % 2 for side in sides(node.kernel))
    return is_odd and not any(argument.field == "padding" for argument, _ in node.arguments)


def _keeps_shape(op: type[Op]) -> bool:
    """Whether the output of an op always has the shape of its input. A depthwise conv becomes a conv when bound."""
    return op.output_shape is Op.output_shape and not op.takes_stride

"""The ways through the expression of a block, as far as warnings need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from explorer.networks.ops.conv import Conv
from explorer.networks.ops.regularisation import Dropout, DropPath
from explorer.networks.ops.scale import Scale
from explorer.space.further_nodes import ByPlace, ForkItem, UnitEnd
from explorer.space.grammar import Alternatives, Group, MergeItem, Node, OpItem, Reference, Repeat, reachable


class Path(NamedTuple):
    """What is known of the layers of a block along one way through its expression.

    Attributes:
        convs: The number of dense convolutions before the merge, 2 for more than one.
        last: The role of the last layer before the merge; empty if there is none that has an effect at stride 1.
        merge: The merge; None before it.
        after: The role of the first layer after the merge; empty if there is none.
        has_conv_after: Whether a convolution follows the merge.
        named: The innermost rule with its own shortcuts; empty for none.
    """

    convs: int = 0
    last: str = ""
    merge: MergeItem | None = None
    after: str = ""
    has_conv_after: bool = False
    named: str = ""


Paths = frozenset[Path]


class PathReader:
    """Finds the paths of blocks.

    Args:
        rules: Rule name -> expression.
        named: The rules that have their own shortcuts.
    """

    def __init__(self, rules: Mapping[str, Node], named: Iterable[str]):
        self.rules = rules
        self.named = frozenset(named)
        self._finished: set[Path] = set()  # of units before the last ';'
        self._inside = ""  # the innermost rule with its own shortcuts that is being read

    def paths(self, block: Node) -> Paths:
        """Return the paths of the units of a block that differ in what a ``Path`` holds."""
        self._finished.clear()
        last = self._extended(frozenset([Path()]), block)
        return frozenset(path for path in (*self._finished, *last) if path.merge is not None)

    def _extended(self, paths: Paths, node: Node) -> Paths:
        if isinstance(node, Group):
            for item in node.items:
                paths = self._extended(paths, item)
            return paths
        if isinstance(node, UnitEnd):
            self._finished |= paths
            return frozenset([Path(named=self._inside)])
        if isinstance(node, (Alternatives, ByPlace)):
            return frozenset[Path]().union(*(self._extended(paths, option) for option in node.options))
        if isinstance(node, Repeat):
            times = [paths, self._extended(paths, node.item)]
            times.append(self._extended(times[1], node.item))  # more often adds nothing to a path
            return frozenset[Path]().union(*(times[min(count, 2)] for count in node.counts))
        if isinstance(node, Reference):
            if node.name in self.named:
                outer, self._inside = self._inside, node.name
                paths = self._extended(
                    frozenset(path._replace(named=node.name) for path in paths), self.rules[node.name]
                )
                self._inside = outer
                return paths
            return self._extended(paths, self.rules[node.name])
        if isinstance(node, MergeItem):
            return frozenset(path if path.merge else path._replace(merge=node) for path in paths)
        if isinstance(node, ForkItem):
            has_conv = any(
                isinstance(inner, OpItem) and inner.op.role == "conv" for inner in reachable(self.rules, [node])
            )
            return frozenset(_followed(path, "fork", has_conv, 2 * has_conv) for path in paths)
        if isinstance(node, OpItem) and not has_no_effect(node):
            role = node.op.role
            return frozenset(_followed(path, role, role == "conv", int(issubclass(node.op, Conv))) for path in paths)
        return paths


def _followed(path: Path, role: str, is_conv: bool, convs: int) -> Path:
    if path.merge is not None:
        return path._replace(after=path.after or role, has_conv_after=path.has_conv_after or is_conv)
    return path._replace(convs=min(2, path.convs + convs), last=role)


def has_no_effect(node: OpItem) -> bool:
    """Return whether an op is the identity at stride 1: a pool without a size, a factor of 1, a probability of 0."""
    if node.op.pools(node.kernel):
        return node.op.spelling != "subsample"
    neutral = {Scale: 1, Dropout: 0, DropPath: 0}.get(node.op)
    return neutral is not None and all(value.constant() == neutral for _, value in node.arguments)

"""What the reading of one space file shares: its faults, its rules, and every expression read so far."""

from __future__ import annotations

from explorer.grammar.expression import parse_expression
from explorer.grammar.names import Names
from explorer.grammar.syntax import Node, Problems, Scalar
from explorer.grammar.tree import Item, Value

SCOPES = ("network", "stage", "block", "use")


class Reading:
    """One file being read. ``rules``: name -> tree; ``scopes``: owner of choices -> how often they are
    drawn; ``trees``: every expression with the text it came from, in the order of reading."""

    def __init__(self, problems: Problems):
        self.problems = problems
        self.names = Names()
        self.rules: dict[str, Item | Value] = {}
        self.scopes: dict[str, str] = {}
        self.trees: list[tuple[Item | Value, Scalar]] = []

    def scalar(self, node: Node, what: str) -> Scalar | None:
        """The text of an entry that must hold some; anything else is a fault, and None."""
        if isinstance(node, Scalar):
            if node.text.strip():
                return node
            self.problems.add(node, f"{what} is empty; write 'none' for no layer at all")
        else:
            self.problems.add(node, f"{what} must be one expression")
        return None

    def expression(
        self, node: Node, owner: str, *, numeric: bool = False, copied: str = "", least: str = "network"
    ) -> Item | Value | None:
        """The tree of an entry, None when it has faults. ``least``: its choices are drawn at least so often."""
        scalar = self.scalar(node, owner)
        if scalar is None:
            return None
        scope = max(self.scopes.get(owner, "network"), least, key=SCOPES.index)
        tree = parse_expression(scalar, self.names, self.problems, owner, scope, numeric=numeric, copied=copied)
        if tree is not None:
            self.trees.append((tree, scalar))
        return tree

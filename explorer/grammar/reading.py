"""What the reading of one space file shares: its faults, its rules, and every expression read so far."""

from __future__ import annotations

from explorer.grammar.expression import parse_expression
from explorer.grammar.names import Names
from explorer.grammar.syntax import Mapping, Node, Problems, Scalar, expect_mapping
from explorer.grammar.tree import Broken, Item, Value

SCOPES = ("network", "stage", "block", "use")


class Reading:
    """One file being read. ``rules``: name -> tree; ``scopes``: owner of choices -> how often they are
    drawn; ``trees``: every expression with the text it came from, in the order of reading. ``gaps``: a
    fault left open what the file means (a misspelt key, a section that is missing): shapes are not checked then."""

    def __init__(self, problems: Problems):
        self.problems = problems
        self.names = Names()
        self.rules: dict[str, Item | Value] = {}
        self.scopes: dict[str, str] = {}
        self.trees: list[tuple[Item | Value, Scalar]] = []
        self.gaps = False

    def mapping(self, node: Node, what: str, known: tuple[str, ...]) -> dict[str, Node]:
        """The entries of a mapping with the given keys; anything else is a fault, and leaves a gap."""
        found = expect_mapping(node, self.problems, what, known)
        self.gaps |= not isinstance(node, Mapping) or len(found) < len(node.items)
        return found

    def gap(self, place: tuple[int, int] | Node, message: str) -> None:
        """A fault that leaves open what the file means."""
        self.problems.add(place, message)
        self.gaps = True

    def scalar(self, node: Node, what: str) -> Scalar | Broken:
        """The text of an entry that must hold some; anything else is a fault."""
        if isinstance(node, Scalar) and node.text.strip():
            return node
        empty = isinstance(node, Scalar)
        message = f"{what} is empty; write 'none' for no layer at all" if empty else f"{what} must be one expression"
        self.problems.add(node, message)
        return Broken((node.line, node.column), message)

    def expression(
        self, node: Node, owner: str, *, numeric: bool = False, copied: str = "", least: str = "network"
    ) -> Item | Value:
        """The tree of an entry. ``least``: its choices are drawn at least so often."""
        scalar = self.scalar(node, owner)
        if isinstance(scalar, Broken):
            return scalar
        scope = max(self.scopes.get(owner, "network"), least, key=SCOPES.index)
        tree = parse_expression(scalar, self.names, self.problems, owner, scope, numeric=numeric, copied=copied)
        self.trees.append((tree, scalar))
        return tree

"""Checks on the expressions of a space before any network is derived.

Rules have no cycles, constants are valid, sizes are within bounds. ``block_checks.py`` has the checks on blocks.
"""

from __future__ import annotations

from typing import NamedTuple

from explorer.space.derive.relevance import Relevance
from explorer.space.further_nodes import ByPlace, ForkItem
from explorer.space.grammar import (
    Alternatives,
    Broken,
    MergeItem,
    Node,
    Number,
    OpItem,
    Reference,
    Repeat,
    StageRule,
    walk,
)
from explorer.space.language.sections import Sections
from explorer.space.language.yaml import Entry, Mapping, Scalar

MAX_DEPTH = 160
MAX_LAYERS = 10_000
MAX_STEPS = 40_000


class Size(NamedTuple):
    """The smallest and largest number of layers of an expression, and the largest number of steps to read it."""

    min_layers: int
    max_layers: int
    steps: int


class Checks:
    """The checks on one file.

    Args:
        sections: The file as read so far; receives the errors.
        root: The whole file.
        entries: Key -> section, for the places of errors.
    """

    def __init__(self, sections: Sections, root: Mapping, entries: dict[str, Entry]):
        self.problems = sections.problems
        self.rules = sections.rules
        self.trees = sections.trees
        self.root = root
        self.entries = entries
        self._heights: dict[str, int] = {}
        self._sizes: dict[str, Size] = {}

    def cycles(self, texts: dict[str, Scalar]) -> None:
        """Report each cycle of rules and break it, because all later checks follow rules.

        Args:
            texts: Rule name -> its text in the file.
        """
        while cycle := self._cycle():
            scalar = texts[cycle[0]]
            message = f"the rules form a cycle: {' -> '.join((*cycle[:12], cycle[0]))}"
            self.problems.add(scalar, message)
            self.rules[cycle[0]] = Broken((scalar.line, scalar.column), message)

    def _cycle(self) -> list[str]:
        """Return the names of rules that form a cycle; empty if there is none. Fills ``_heights``."""
        heights = self._heights
        for start in self.rules:
            path: list[str] = []
            on_path: set[str] = set()
            stack = [(start, True)]
            while stack:
                name, fresh = stack.pop()
                if not fresh:
                    path.pop()
                    on_path.discard(name)
                    heights[name] = self._height(self.rules[name])
                    continue
                if name in heights:
                    continue
                if name in on_path:
                    return path[path.index(name) :]
                path.append(name)
                on_path.add(name)
                stack.append((name, False))
                stack.extend(
                    (reference.name, True)
                    for reference in walk(self.rules[name])
                    if isinstance(reference, Reference) and reference.name not in heights
                )
        return []

    def _height(self, tree: Node) -> int:
        if isinstance(tree, Reference):
            return 1 + self._heights[tree.name]
        return 1 + max(map(self._height, tree.children), default=0)

    def depths(self) -> None:
        """Reject expressions that are nested too deep, including the rules in them: later code recurses on them.

        Raises:
            SpaceError: With all errors so far.
        """
        for tree, scalar in self.trees:
            if (height := self._height(tree)) > MAX_DEPTH:
                self.problems.add(
                    scalar,
                    f"nested {height} levels deep, with the rules that it names; at most {MAX_DEPTH} are allowed",
                )
                self.problems.check()

    def arguments(self) -> None:
        """Report invalid constants of arguments, even if no network uses them."""
        relevance = Relevance(self.rules)
        for tree, scalar in self.trees:
            for node in () if scalar.is_translated else walk(tree):
                if not isinstance(node, (OpItem, MergeItem)):
                    continue
                spelling = node.op.spelled(node.kernel) if isinstance(node, OpItem) else node.merge.spelling
                for argument, value in node.arguments:
                    if fault := relevance.fault(argument, value, spelling):
                        self.problems.add(node.place, fault)

    def sizes(self, stem: Node, head: Node, transition: Node | None, stages: tuple[StageRule, ...]) -> None:
        """Reject spaces whose networks are too large, by arithmetic, before anything is built.

        Raises:
            SpaceError: With all errors so far, if a part or the sum of all stages is too large.
        """
        checked: set[Node] = set()
        before = len(self.problems.found)
        parts = [("the stem", stem), ("the head", head), ("the transition", transition)]
        for k, stage in enumerate(stages, 1):
            parts += [(f"a block of stage {k}", stage.block), (f"the first block of stage {k}", stage.first)]
            names = ("blocks", "width", "stride", "dilation")
            parts += [(f"the {name} of stage {k}", tree) for name, tree in zip(names, stage.numbers)]
            parts += [("a shortcut", part) for part in stage.shortcut_parts]
        for what, tree in parts:
            if tree is None or tree in checked:
                continue
            checked.add(tree)
            size = self._size(tree)
            if size.max_layers > MAX_LAYERS:
                message = f"{what} can have {_large(size.max_layers)} layers; at most {MAX_LAYERS:,} are allowed"
                self.problems.add(self._section_of(what), message)
            elif size.steps > MAX_STEPS:
                message = f"{what} can take {_large(size.steps)} steps to read; at most {MAX_STEPS:,} are allowed"
                self.problems.add(self._section_of(what), message)
        if len(self.problems.found) > before:
            self.problems.check()
        least = sum(
            self._size(stage.first).min_layers + (self._fewest(stage.blocks) - 1) * self._size(stage.block).min_layers
            for stage in stages
        )
        if least > MAX_LAYERS:
            message = f"the stages have at least {_large(least)} layers; at most {MAX_LAYERS:,} are allowed"
            self.problems.add(self._section_of("stages"), message)
            self.problems.check()

    def _size(self, tree: Node) -> Size:
        if isinstance(tree, Reference):
            if tree.name not in self._sizes:
                self._sizes[tree.name] = self._size(self.rules[tree.name])
            return self._sizes[tree.name]
        inner = [self._size(child) for child in tree.children]
        if isinstance(tree, (Alternatives, ByPlace)):
            return Size(
                min(s.min_layers for s in inner), max(s.max_layers for s in inner), 1 + max(s.steps for s in inner)
            )
        least, most, steps = (
            sum(s.min_layers for s in inner),
            sum(s.max_layers for s in inner),
            sum(s.steps for s in inner),
        )
        if isinstance(tree, Repeat):
            return Size(least * tree.counts[0], most * tree.counts[-1], 1 + steps * tree.counts[-1])
        if isinstance(tree, OpItem):
            return Size(1, 1, 1 + steps)
        if isinstance(tree, ForkItem):
            return Size(1 + least, 1 + most, 1 + steps)
        return Size(least, most, 1 + steps)

    def _fewest(self, value: Node) -> int:
        """Return the smallest constant that a value can be; 1 if it is not plain."""
        if isinstance(value, Reference):
            return self._fewest(self.rules[value.name])
        if isinstance(value, (Alternatives, ByPlace)):
            return min(map(self._fewest, value.options))
        return max(1, int(value.value)) if isinstance(value, Number) else 1

    def _section_of(self, what: str) -> Entry:
        """Return the section of the file for ``what`` ("the stem", "a block of stage 2")."""
        words = ("stem", "head", "transition", "shortcut", "block")
        section = next((key for key in words if key in what.split(" of ")[0]), "stages")
        return self.entries.get(section, self.root)


def _large(number: int) -> str:
    return f"{number:,}" if number < 10**18 else "more than 10^18"

"""Checks on the units and the places in blocks, before any network is derived.

Every residual unit has exactly one merge, paths of forks have none, ``;`` is in blocks only, and ``by_block`` and
``by_stage`` have an entry for each place.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from explorer.errors import Edit
from explorer.networks.ops.nested.fork import MAX_NESTED
from explorer.space.constants import constants
from explorer.space.derive.relevance import depends_on_block
from explorer.space.further_nodes import ByPlace, ForkItem, UnitEnd
from explorer.space.grammar import (
    Alternatives,
    Broken,
    Group,
    MergeItem,
    Node,
    Place,
    Reference,
    Repeat,
    StageRule,
    point_of,
    reachable,
    walk,
)
from explorer.space.language.foreign.residual import one_choice, one_end, one_merge
from explorer.space.language.sections import Sections
from explorer.space.language.yaml import Entry, Mapping, Scalar, edit_of

MANY = 3  # a repetition of more units adds no other counts of merges


class Part(NamedTuple):
    """A unit or a part of one. ``merges``: their number, 2 for more than one."""

    merges: int
    is_empty: bool

    def __add__(self, other: tuple[object, ...]) -> Part:
        assert isinstance(other, Part)
        return Part(min(self.merges + other.merges, 2), self.is_empty and other.is_empty)


class Run(NamedTuple):
    """What is known of a sequence of layers.

    Attributes:
        first: The part before the first ``;``.
        between: The numbers of merges of the units between ``;``.
        last: The part after the last ``;``; None without one.
    """

    first: Part
    between: frozenset[int]
    last: Part | None

    def followed_by(self, other: Run) -> Run:
        """Return the run of both sequences."""
        if self.last is None:
            return Run(self.first + other.first, other.between, other.last)
        joint = self.last + other.first
        if other.last is None:
            return Run(self.first, self.between, joint)
        return Run(self.first, self.between | other.between | _counts(joint), other.last)

    @property
    def merges(self) -> frozenset[int]:
        """The numbers of merges of its units, 0 if it has no unit."""
        last = frozenset[int]() if self.last is None else _counts(self.last)
        return (_counts(self.first) | self.between | last) or frozenset([0])


def _counts(unit: Part) -> frozenset[int]:
    return frozenset() if unit.is_empty else frozenset([unit.merges])


NOTHING = Run(Part(0, True), frozenset(), None)
Runs = frozenset[Run]


class BlockChecks:
    """The checks on the blocks of one file.

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
        self._runs: dict[str, Runs] = {}
        self._depths: dict[str, int] = {}  # of forks

    # Merges

    def merges(self, stages: tuple[StageRule, ...]) -> bool:
        """Report units that can have no merge or more than one; return whether there are none."""
        trees = {stage.first: "first" for stage in stages}
        trees.update({stage.block: "block" for stage in stages})
        is_valid = True
        texts = dict(self.trees)
        for tree, what in trees.items():
            for name, option in self._spelled_options(tree):
                counts = frozenset[int]().union(*(run.merges for run in self._runs_of(option)))
                if wrong := counts - {1}:
                    found = "no merge" if 0 in wrong else "more than one merge"
                    one = "a block has exactly one of +, cat, gate(b), or one in each of several units between ';'"
                    hint = "" if 0 in wrong else "; write a block for each sum, or leave one of them"
                    at = f"the rule {name!r}" if name else f"{what!r}"
                    scalar = texts.get(self.rules[name] if name else tree)
                    is_valid = False
                    if scalar is not None and scalar.is_translated:
                        continue  # what the file has is reported
                    edits = [] if scalar is None else self._one_merge(scalar)
                    self.problems.add(
                        self._place_of(name, texts.get(tree, self.root)),
                        f"{at} gives a block with {found}; {one}{hint}",
                        *edits,
                    )
        return is_valid

    def _one_merge(self, scalar: Scalar) -> list[Edit]:
        """Return the edits that make alternatives a choice of one layer, and that give each of them one merge."""
        if ";" in scalar.text:
            return []
        makers = (one_choice, one_end) if one_end(scalar.text, self.rules) else (one_choice, one_merge)
        texts = [make(scalar.text, self.rules) for make in makers]
        return [edit_of(self.problems.text, scalar, text) for text in texts if text and text != scalar.text]

    def _runs_of(self, tree: Node) -> Runs:
        if isinstance(tree, MergeItem):
            return frozenset([NOTHING._replace(first=Part(1, False))])
        if isinstance(tree, UnitEnd):
            return frozenset([NOTHING._replace(last=NOTHING.first)])
        if isinstance(tree, Broken):
            return frozenset()  # unknown
        if isinstance(tree, Reference):
            if tree.name not in self._runs:
                self._runs[tree.name] = self._runs_of(self.rules[tree.name])
            return self._runs[tree.name]
        if isinstance(tree, Group):
            total = frozenset([NOTHING])
            for item in tree.items:
                total = _joined(total, self._runs_of(item))
            return total
        if isinstance(tree, (Alternatives, ByPlace)):
            return frozenset[Run]().union(*map(self._runs_of, tree.options))
        if isinstance(tree, Repeat):
            times: list[Runs] = [frozenset([NOTHING])]
            for _ in range(MANY):
                times.append(_joined(times[-1], self._runs_of(tree.item)))
            return frozenset[Run]().union(*(times[min(count, MANY)] for count in tree.counts))
        return frozenset([NOTHING._replace(first=Part(0, False))])

    def _spelled_options(self, tree: Node) -> Iterator[tuple[str, Node]]:
        """Yield the alternative blocks of a tree, each with the rule that contains it, "" for none."""
        pending, seen = [("", tree)], set()
        while pending:
            name, tree = pending.pop()
            if isinstance(tree, Reference):
                if tree.name not in seen:
                    seen.add(tree.name)
                    pending.append((tree.name, self.rules[tree.name]))
            elif isinstance(tree, (Alternatives, ByPlace)):
                pending.extend((name, option) for option in tree.options)
            elif isinstance(tree, Group) and len(tree.items) == 1:
                pending.append((name, tree.items[0]))
            else:
                yield name, tree

    def _place_of(self, rule: str, default: Entry) -> Place:
        grammar = self.entries.get("grammar")
        node = grammar.get(rule) if isinstance(grammar, Mapping) and rule else default
        node = default if node is None else node
        return node.line, node.column

    # Forks

    def forks(self) -> None:
        """Report merges and ends of units in paths of forks, and forks that are nested too deep."""
        for tree, scalar in self.trees:
            for node in () if scalar.is_translated else walk(tree):
                if not isinstance(node, ForkItem):
                    continue
                for number, path in enumerate(node.paths, 1):
                    runs = self._runs_of(path)
                    if any(run.last is not None for run in runs):
                        message = f"path {number} of {node.join} has a ';'; it ends a unit, write it outside of forks"
                        self.problems.add(node.place, message)
                    elif any(run.merges - {0} for run in runs):
                        message = f"path {number} of {node.join} has a merge; no shortcut is there"
                        self.problems.add(node.place, f"{message}, write sum(..., identity), or cat(identity, ...)")
                if (depth := self._nested(node)) > MAX_NESTED:
                    message = f"forks are nested {depth} levels deep, with the rules in them; at most {MAX_NESTED}"
                    self.problems.add(node.place, f"{message} are allowed")
                    return

    def _nested(self, tree: Node) -> int:
        """Return how many forks are in each other."""
        if isinstance(tree, Reference):
            if tree.name not in self._depths:
                self._depths[tree.name] = self._nested(self.rules[tree.name])
            return self._depths[tree.name]
        return isinstance(tree, ForkItem) + max(map(self._nested, tree.children), default=0)

    # Places

    def places(self, stem: Node, head: Node, transition: Node | None, stages: tuple[StageRule, ...]) -> None:
        """Report ``;`` outside of blocks, and ``by_block`` and ``by_stage`` with a wrong number of entries.

        Raises:
            SpaceError: With all errors so far, if there is one of these.
        """
        found: dict[Place, str] = {}
        parts = [("the stem", stem), ("the head", head)]
        parts += [] if transition is None else [("the transition", transition)]
        for what, tree in parts:
            for node in reachable(self.rules, [tree]):
                if isinstance(node, ByPlace) and (node.of == "block" or tree is not transition):
                    found.setdefault(node.place, f"by_{node.of} is not defined in {what}; it has no {node.of}")
        parts += [("a shortcut", part) for stage in stages for part in stage.shortcut_parts]
        for what, tree in parts:
            for node in reachable(self.rules, [tree]):
                if isinstance(node, UnitEnd):
                    message = f"';' in {what}; it ends a unit of a block, layers are separated by blanks"
                    found.setdefault(node.place, message)
        for k, rule in enumerate(stages, 1):
            sizes = constants(rule.blocks, self.rules, k)
            roots = [rule.block, rule.first, *rule.shortcut_parts, rule.width, rule.dilation, rule.stride]
            roots += [] if transition is None or k == 1 else [transition]
            for node in reachable(self.rules, [*roots, rule.blocks], k):
                if isinstance(node, ByPlace) and (fault := _length_fault(node, k, len(stages), sizes)):
                    found.setdefault(node.place, fault)
            self._check_numbers(rule, k, found)
        for place, message in found.items():
            self.problems.add(place, message)
        if found:
            self.problems.check()

    def _check_numbers(self, rule: StageRule, k: int, found: dict[Place, str]) -> None:
        """Report choices in a width or a dilation that differs between blocks, where they may not be."""
        depth = any(point_of(node) for node in reachable(self.rules, [rule.blocks], k))
        for tree in (rule.width, rule.dilation):
            if not depends_on_block(self.rules, [tree], k):
                continue
            nodes = list(reachable(self.rules, [tree], k))
            points = [point for node in nodes if (point := point_of(node))]
            if any(point.scope == "use" for point in points):
                name = next(point.name for point in points if point.scope == "use")
                message = f"{name!r} varies by use in a number that differs between the blocks of stage {k}"
                found.setdefault(rule.place, message)
            for node in nodes:
                if depth and isinstance(node, ByPlace) and node.of == "block":
                    inner = reachable(self.rules, node.options, k)
                    if any(point_of(each) for each in inner):
                        message = f"by_block has choices in a number of stage {k}, whose number of blocks is a choice"
                        found.setdefault(node.place, message)


def _length_fault(node: ByPlace, k: int, stages: int, sizes: frozenset[Fraction]) -> str:
    """Return what is wrong with the number of entries; "" if nothing is, or the number of blocks is unknown."""
    if node.is_open:
        return ""
    entries = len(node.options)
    rest = ", or '...' at the end to repeat the last one"
    has = f"by_{node.of} has {entries} {'entry' if entries == 1 else 'entries'}"
    if node.of == "stage":
        return "" if entries == stages else f"{has} for {stages} stages; write one for each stage{rest}"
    blocks, has_choice = max(sizes, default=0), len(sizes) > 1
    if not blocks or entries == blocks:
        return ""
    return f"{has}, but stage {k} has {blocks} blocks{' at most' * has_choice}; write one for each block{rest}"


def _joined(before: Runs, after: Runs) -> Runs:
    return frozenset(a.followed_by(b) for a in before for b in after)

"""What must hold of a space before anything is derived: no cycles, no constant that cannot be, bounds kept by
arithmetic, exactly one merge in every block."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.grammar.reading import Reading
from explorer.grammar.relevance import Relevance
from explorer.grammar.space import StageRule
from explorer.grammar.syntax import Mapping, Node, Scalar
from explorer.grammar.tree import (
    Alternatives,
    Broken,
    Group,
    Item,
    MergeItem,
    Number,
    OpItem,
    Reference,
    Repeat,
    children,
    walk,
)

MAX_DEPTH = 160
MAX_LAYERS = 10_000
MAX_STEPS = 40_000


class Checks:
    """The checks of one file that was read. ``root`` and ``sections`` say where a fault stands."""

    def __init__(self, reading: Reading, root: Mapping, sections: dict[str, Node]):
        self.problems = reading.problems
        self.rules = reading.rules
        self.trees = reading.trees
        self.root = root
        self.sections = sections
        self.heights: dict[str, int] = {}

    def cycles(self, grammar: dict[str, Scalar]) -> None:
        """Each cycle of rules is an error that prints it. It is cut there: everything later may follow rules."""
        while cycle := self._cycle():
            scalar = grammar[cycle[0]]
            message = f"the rules run in a circle: {' -> '.join((*cycle[:12], cycle[0]))}"
            self.problems.add(scalar, message)
            self.rules[cycle[0]] = Broken((scalar.line, scalar.column), message)

    def _cycle(self) -> list[str]:
        """The names of rules that lead to each other in a circle; empty when none do. Fills ``heights``."""
        heights = self.heights
        for start in self.rules:
            path, on_path, stack = [], set(), [(start, True)]
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

    def _height(self, tree) -> int:
        if isinstance(tree, Reference):
            return 1 + self.heights[tree.name]
        return 1 + max(map(self._height, children(tree)), default=0)

    def depths(self) -> None:
        """Nesting has a bound, the rules that an expression names read in: everything later may recurse."""
        for tree, scalar in self.trees:
            if (height := self._height(tree)) > MAX_DEPTH:
                self.problems.add(
                    scalar, f"nested {height} deep, the rules it names read in; at most {MAX_DEPTH} may stand"
                )
                self.problems.check()

    def arguments(self) -> None:
        """Constants that an argument cannot take are refused even where no network would meet them."""
        relevance = Relevance(self.rules)
        for tree, _ in self.trees:
            for node in walk(tree):
                if not isinstance(node, (OpItem, MergeItem)):
                    continue
                spelling = node.op.spelled(node.kernel) if isinstance(node, OpItem) else node.merge.spelling
                for argument, value in node.arguments:
                    if fault := relevance.fault(argument, value, spelling):
                        self.problems.add(node.place, fault)

    def sizes(self, stem, head, transition, stages) -> None:
        """Refuse by arithmetic what would come out absurdly large, before anything is built."""
        known: dict[str, tuple[int, int, int]] = {}

        def size(tree) -> tuple[int, int, int]:
            """The fewest and the most layers an expression can come to, and the most steps to read it."""
            if isinstance(tree, Reference):
                if tree.name not in known:
                    known[tree.name] = size(self.rules[tree.name])
                return known[tree.name]
            inner = [size(child) for child in children(tree)]
            if isinstance(tree, Alternatives):
                least, most, steps = (
                    min(a for a, _, _ in inner),
                    max(b for _, b, _ in inner),
                    max(c for _, _, c in inner),
                )
            else:
                least, most, steps = (sum(part[k] for part in inner) for k in range(3))
            if isinstance(tree, Repeat):
                least, most, steps = least * tree.counts[0], most * tree.counts[-1], steps * tree.counts[-1]
            if isinstance(tree, OpItem):
                least = most = 1
            return least, most, 1 + steps

        def fewest(value) -> int:
            """The smallest constant that a value can be; 1 where it is not plain."""
            if isinstance(value, Reference):
                return fewest(self.rules[value.name])
            if isinstance(value, Alternatives):
                return min(map(fewest, value.options))
            return max(1, int(value.value)) if isinstance(value, Number) else 1

        checked: set = set()
        before = len(self.problems.found)
        parts = [("the stem", stem), ("the head", head), ("the transition", transition)]
        for k, stage in enumerate(stages, 1):
            parts += [(f"a block of stage {k}", stage.block), (f"the first block of stage {k}", stage.first)]
            parts += [
                (f"the {key} of stage {k}", getattr(stage, key)) for key in ("blocks", "width", "stride", "dilation")
            ]
            parts += [("a shortcut", part) for spec in stage.shortcuts.values() for part in (spec.same, spec.changed)]
        for what, tree in parts:
            if tree is None or tree in checked:
                continue
            checked.add(tree)
            _, layers, steps = size(tree)
            if layers > MAX_LAYERS:
                self.problems.add(
                    self._section_of(what),
                    f"{what} may come to {_large(layers)} layers; at most {MAX_LAYERS:,} may stand",
                )
            elif steps > MAX_STEPS:
                self.problems.add(
                    self._section_of(what),
                    f"{what} may take {_large(steps)} steps to read; at most {MAX_STEPS:,} may be needed",
                )
        if len(self.problems.found) > before:
            self.problems.check()
        least = sum(size(stage.first)[0] + (fewest(stage.blocks) - 1) * size(stage.block)[0] for stage in stages)
        if least > MAX_LAYERS:
            message = f"the stages come to at least {_large(least)} layers; at most {MAX_LAYERS:,} may stand"
            self.problems.add(self._section_of("stages"), message)
            self.problems.check()

    def merges(self, stages: tuple[StageRule, ...]) -> bool:
        """A block holds exactly one merge, whatever is chosen; False when one does not."""
        known: dict[str, frozenset[int]] = {}

        def merges(tree) -> frozenset[int]:
            """The numbers of merges (2 for more) that an expression can come to."""
            if isinstance(tree, MergeItem):
                return frozenset([1])
            if isinstance(tree, Broken):
                return frozenset()  # nobody knows
            if isinstance(tree, Reference):
                if tree.name not in known:
                    known[tree.name] = merges(self.rules[tree.name])
                return known[tree.name]
            if isinstance(tree, Group):
                total = frozenset([0])
                for item in tree.items:
                    inner = merges(item)
                    total = frozenset(min(a + b, 2) for a in total for b in inner)
                return total
            if isinstance(tree, Alternatives):
                return frozenset().union(*map(merges, tree.options))
            if isinstance(tree, Repeat):
                return frozenset(
                    min(count * m, 2) for count in (tree.counts[0], tree.counts[-1]) for m in merges(tree.item)
                )
            return frozenset([0])

        written = [(tree, what) for what in ("first", "block") for tree in (getattr(stage, what) for stage in stages)]
        before = len(self.problems.found)
        texts = dict(self.trees)
        for tree, what in dict(written).items():
            for name, option in self._spelled_options(tree):
                if wrong := merges(option) - {1}:
                    found = "no merge" if 0 in wrong else "more than one merge"
                    at = f"the rule {name!r}" if name else f"{what!r}"
                    self.problems.add(
                        self._place_of(name, texts.get(tree, self.root)),
                        f"{at} gives a block with {found}; a block holds exactly one of +, cat, gate(b)",
                    )
        return len(self.problems.found) == before

    def _spelled_options(self, tree, name: str = "") -> Iterable[tuple[str, Item]]:
        """The blocks that a tree offers, each with the rule it is written in."""
        pending, seen = [(name, tree)], set()
        while pending:
            name, tree = pending.pop()
            if isinstance(tree, Reference):
                if tree.name not in seen:
                    seen.add(tree.name)
                    pending.append((tree.name, self.rules[tree.name]))
            elif isinstance(tree, Alternatives):
                pending.extend((name, option) for option in tree.options)
            elif isinstance(tree, Group) and len(tree.items) == 1:
                pending.append((name, tree.items[0]))
            else:
                yield name, tree

    def _section_of(self, what: str) -> Node:
        """Where the section stands that ``what`` ("the stem", "a block of stage 2") is about."""
        word = next(
            (key for key in ("stem", "head", "transition", "shortcut", "block") if key in what.split(" of ")[0]),
            "stages",
        )
        return self.sections.get(word, self.root)

    def _place_of(self, rule: str, default: Node) -> tuple[int, int]:
        grammar = self.sections.get("grammar")
        node = grammar.get(rule) if isinstance(grammar, Mapping) and rule else default
        return node.line, node.column


def _large(number: int) -> str:
    return f"{number:,}" if number < 10**18 else "more than 10^18"

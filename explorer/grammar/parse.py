"""Text to a SearchSpace: the sections of a space file, what may stand in each, and all its faults in one pass."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from explorer.errors import ExplorerError, Problem, SpaceError, did_you_mean
from explorer.grammar.expression import (
    KEYWORDS,
    VARIABLES,
    Alternatives,
    Group,
    Item,
    MergeItem,
    Names,
    Number,
    OpItem,
    Point,
    Reference,
    Repeat,
    Value,
    children,
    find_plain,
    numeric_rules,
    parse_expression,
    walk,
)
from explorer.grammar.relevance import Relevance
from explorer.grammar.space import SearchSpace, ShortcutRule, StageRule
from explorer.grammar.syntax import Mapping, Node, Problems, Scalar, Sequence, expect_mapping, read_yaml
from explorer.limits import Limit, parse_bound
from explorer.ops.base import TensorShape

KEYS = (
    "name",
    "about",
    "input",
    "classes",
    "stem",
    "stages",
    "block",
    "shortcut",
    "transition",
    "head",
    "grammar",
    "vary",
    "limits",
)
REQUIRED = ("input", "classes", "stem", "stages", "block", "head")
STAGE_KEYS = ("blocks", "width", "stride", "dilation", "block", "first", "shortcut")
SHORTCUT_KEYS = ("same", "changed", "from")
SCOPES = ("network", "stage", "block", "use")
COSTS = (
    "params",
    "macs",
    "flops",
    "activations",
    "weight_layers",
    "receptive_field",
    "peak_memory_bytes",
    "latency_ms",
)
MAX_STAGES = 64
MAX_RULES = 2_000
MAX_DEPTH = 160
MAX_LAYERS = 10_000
MAX_STEPS = 40_000


def load_space(path: str | os.PathLike[str]) -> SearchSpace:
    """The space of a file, or of a shipped one by its bare name. Raises SpaceError.

    ``preact_variants.yaml`` (or ``preact_variants``) is looked for in the working folder, then
    among the spaces that come with the package.
    """
    file = find_space(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SpaceError([Problem(str(path), 1, 1, f"cannot be read: {error.strerror or error}")]) from None
    return parse_space(data, str(path))


def shipped_spaces() -> dict[str, Path]:
    """The spaces that come with the package: path below ``search_spaces/`` -> file."""
    root = resources.files("search_spaces")
    found = {}
    for folder in getattr(root, "_paths", [root]):
        folder = Path(str(folder))
        found.update({file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*.yaml"))})
    return found


def find_space(path: str | os.PathLike[str]) -> Path:
    """The file that a path or a shipped space's name means. Raises SpaceError when there is none."""
    given = Path(path)
    if given.is_file():
        return given
    shipped = shipped_spaces()
    for name in (given.as_posix(), f"{given.as_posix()}.yaml"):
        if name in shipped:
            return shipped[name]
    near = (
        did_you_mean(given.as_posix(), shipped) if given.suffix else did_you_mean(f"{given.as_posix()}.yaml", shipped)
    )
    message = f"no such file, and no shipped space of that name; shipped: {', '.join(sorted(shipped))}{near}"
    raise SpaceError([Problem(str(path), 1, 1, message)])


def parse_space(text: str | bytes, source: str = "<space>") -> SearchSpace:
    """The space that a file's text describes, checked whole. Raises SpaceError with all faults found."""
    from explorer.grammar.validate import validated

    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise SpaceError([Problem(source, 1, 1, f"not UTF-8: {error.reason}")]) from None
    problems = Problems(source)
    root = read_yaml(data, problems)
    space = _Reader(root, problems, source, data.decode("utf-8-sig")).space()
    return validated(space)


def content(text: str) -> str:
    """What a space file says, without comments, blanks and the free text of ``name`` and ``about``."""

    def plain(node: Node):
        if isinstance(node, Scalar):
            return " ".join(node.text.split())
        if isinstance(node, Sequence):
            return [plain(item) for item in node.items]
        return {key.text: plain(value) for key, value in node.items}

    data = plain(read_yaml(text.encode(), Problems("")))
    # Input and classes are the space's own fields: a data set may have replaced them.
    kept = {key: value for key, value in data.items() if key not in ("name", "about", "input", "classes")}
    return json.dumps(kept, sort_keys=True)  # the order of the keys says nothing


class _Reader:
    """One space file. Faults are collected; what depends on a faulty part is not checked again."""

    def __init__(self, root: Mapping, problems: Problems, source: str, text: str):
        self.problems = problems
        self.source = source
        self.text = text
        self.root = root
        self.sections = expect_mapping(root, problems, "a space", KEYS)
        for key in REQUIRED:
            if key not in self.sections:
                problems.add(root, f"the key {key!r} is missing")
        self.names = Names()
        self.rules: dict[str, Item | Value] = {}
        self.scopes: dict[str, str] = {}
        self.trees: list[tuple[Item | Value, Scalar]] = []
        self.depths: dict[str, int] = {}

    def space(self) -> SearchSpace:
        grammar = self._grammar()
        self._classify(grammar)
        self._vary()
        for name, scalar in grammar.items():
            tree = self._expression(scalar, name, numeric=self.names.rules[name])
            if tree is not None:
                self.rules[name] = tree
        if len(self.rules) == len(self.names.rules):
            self._cycles(grammar)
        shape, classes = self._input(), self._classes()
        stem = self._structure("stem", copied="post")
        head = self._structure("head", copied="pre")
        block = self._structure("block")
        transition = self._structure("transition")
        shortcuts = self._shortcuts(self.sections.get("shortcut"), {}, "shortcut")
        stages = self._stages(block, shortcuts)
        limits = self._limits()
        self.problems.check()
        self._depths()
        self._arguments()
        self._sizes(stem, head, transition, stages)
        self._merges(stages)
        self.problems.check()
        name = self.sections.get("name")
        about = self.sections.get("about")
        return SearchSpace(
            name=name.text if isinstance(name, Scalar) and name.text else Path(self.source).stem,
            about=about.text if isinstance(about, Scalar) else "",
            text=self.text,
            source=self.source,
            input=shape,
            classes=classes,
            stem=stem,
            transition=transition,
            head=head,
            stages=stages,
            rules=self.rules,
            points=self._points(),
            limits=limits,
        )

    # Sections

    def _scalar(self, node: Node, what: str) -> Scalar | None:
        if isinstance(node, Scalar):
            if node.text.strip():
                return node
            self.problems.add(node, f"{what} is empty; write 'none' for no layer at all")
        else:
            self.problems.add(node, f"{what} must be one expression")
        return None

    def _expression(self, node: Node, owner: str, *, numeric: bool, copied: str = "", least: str = "network"):
        scalar = self._scalar(node, owner)
        if scalar is None:
            return None
        scope = self.scopes.get(owner, "network")
        if SCOPES.index(scope) < SCOPES.index(least):
            scope = least
        tree = parse_expression(scalar, self.names, self.problems, owner, scope, numeric=numeric, copied=copied)
        if tree is not None:
            self.trees.append((tree, scalar))
        return tree

    def _structure(self, key: str, copied: str = "") -> Item | None:
        node = self.sections.get(key)
        return None if node is None else self._expression(node, key, numeric=False, copied=copied)

    def _grammar(self) -> dict[str, Scalar]:
        node = self.sections.get("grammar")
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.problems.add(node, "grammar must be a mapping: rule name to expression")
            return {}
        if len(node.items) > MAX_RULES:
            self.problems.add(node, f"{len(node.items):,} rules; at most {MAX_RULES:,} may stand")
            self.problems.check()
        rules = {}
        for key, value in node.items:
            name = key.text
            if not (
                name[:1].isascii()
                and name[:1].isalpha()
                and len(name) <= 64
                and all(c.isascii() and (c.isalnum() or c in "_-") for c in name)
            ):
                self.problems.add(
                    key, f"{name[:80]!r} cannot name a rule: a letter, then at most 63 letters, digits, '_' or '-'"
                )
            elif name in VARIABLES:
                self.problems.add(key, f"{name!r} cannot name a rule: it is a variable, {VARIABLES[name]}")
            elif name in KEYWORDS or find_plain(name):
                self.problems.add(key, f"{name!r} cannot name a rule: the language uses it already")
            else:
                scalar = self._scalar(value, f"the rule {name!r}")
                if scalar is not None:
                    rules[name] = scalar
                else:
                    self.names.rules[name] = False
        return rules

    def _classify(self, grammar: dict[str, Scalar]) -> None:
        """Say of each rule whether it is numeric."""
        self.names.rules.update(numeric_rules({name: scalar.text for name, scalar in grammar.items()}))

    def _vary(self) -> None:
        node = self.sections.get("vary")
        if node is None:
            return
        if not isinstance(node, Mapping):
            self.problems.add(node, "vary must be a mapping: rule name to " + ", ".join(SCOPES))
            return
        owners = [
            *self.names.rules,
            "block",
            "first",
            "stem",
            "head",
            "transition",
            *(f"stages.{k}" for k in STAGE_KEYS[:4]),
        ]
        owners += [f"shortcut.{part}" for part in SHORTCUT_KEYS[:2]]
        owners += [f"shortcut.{rule}.{part}" for rule in self.names.rules for part in SHORTCUT_KEYS[:2]]
        for key, value in node.items:
            scope = value.text if isinstance(value, Scalar) else ""
            if key.text not in owners:
                self.problems.add(key, f"vary names no rule {key.text[:64]!r}{did_you_mean(key.text, owners)}")
            elif scope not in SCOPES:
                self.problems.add(
                    value,
                    f"{key.text!r} varies by one of {', '.join(SCOPES)}, found {scope[:40]!r}"
                    + did_you_mean(scope, SCOPES),
                )
            else:
                self.scopes[key.text] = scope

    def _input(self) -> TensorShape:
        scalar = self._scalar(self.sections["input"], "input") if "input" in self.sections else None
        if scalar is None:
            return TensorShape(3, 32, 32)
        try:
            return parse_shape(scalar.text)
        except ExplorerError as error:
            self.problems.add(scalar, str(error))
            return TensorShape(3, 32, 32)

    def _classes(self) -> int:
        scalar = self._scalar(self.sections["classes"], "classes") if "classes" in self.sections else None
        if scalar is None:
            return 10
        if not (
            scalar.text.isascii() and scalar.text.isdigit() and len(scalar.text) < 6 and 1 <= int(scalar.text) <= 65_536
        ):
            self.problems.add(scalar, f"classes is a whole number from 1 to 65,536, found {scalar.text[:40]!r}")
            return 10
        return int(scalar.text)

    def _shortcuts(
        self, node: Node | None, base: dict[str, ShortcutRule], owner: str, least: str = "network"
    ) -> dict[str, ShortcutRule]:
        """Rule name -> shortcut, the general one under ''. What is not said is taken over from the general one."""
        if not base:
            default = OpItem(*_op("conv1x1"), (), (1, 1)), OpItem(*_op("bn"), (), (1, 1))
            base = {"": ShortcutRule(Group(()), Group(default), "input")}
        if node is None:
            return base
        if not isinstance(node, Mapping):
            self.problems.add(
                node, f"{owner} must be a mapping with the keys {', '.join(SHORTCUT_KEYS)}, or names of rules"
            )
            return base
        out = dict(base)
        own = [(key, value) for key, value in node.items if key.text in SHORTCUT_KEYS]
        out[""] = self._shortcut(own, base[""], owner, least)
        for key, value in node.items:
            if key.text in SHORTCUT_KEYS:
                continue
            if key.text not in self.names.rules:
                known = [*SHORTCUT_KEYS, *self.names.rules]
                message = (
                    f"unknown key {key.text[:64]!r} in {owner}; it takes {', '.join(SHORTCUT_KEYS)} and names of rules"
                )
                self.problems.add(key, message + did_you_mean(key.text, known))
            elif not isinstance(value, Mapping):
                self.problems.add(
                    value, f"{owner} of {key.text!r} must be a mapping with the keys {', '.join(SHORTCUT_KEYS)}"
                )
            else:
                for part, _ in value.items:
                    if part.text not in SHORTCUT_KEYS:
                        takes = ", ".join(SHORTCUT_KEYS)
                        message = f"unknown key {part.text[:64]!r} in {owner} of {key.text!r}; it takes {takes}"
                        self.problems.add(part, message + did_you_mean(part.text, SHORTCUT_KEYS))
                known = [(part, entry) for part, entry in value.items if part.text in SHORTCUT_KEYS]
                out[key.text] = self._shortcut(known, out[""], f"{owner}.{key.text}", least)
        return out

    def _shortcut(self, entries, base: ShortcutRule, owner: str, least: str) -> ShortcutRule:
        parts = {"same": base.same, "changed": base.changed, "from": base.source}
        for key, value in entries:
            if key.text == "from":
                text = value.text if isinstance(value, Scalar) else ""
                if text not in ("input", "preact"):
                    self.problems.add(
                        value,
                        f"'from' is input or preact, found {text[:40]!r}{did_you_mean(text, ('input', 'preact'))}",
                    )
                parts["from"] = text
            elif isinstance(value, Scalar) and value.text.strip() == "none":
                parts[key.text] = None
            else:
                parts[key.text] = self._expression(value, f"{owner}.{key.text}", numeric=False, least=least)
        return ShortcutRule(parts["same"], parts["changed"], parts["from"])

    def _stages(self, block: Item | None, shortcuts: dict[str, ShortcutRule]) -> tuple[StageRule, ...]:
        node = self.sections.get("stages")
        if node is None:
            return ()
        rows = self._stage_rows(node)
        stages = []
        for number, (place, row, shared) in enumerate(rows, 1):

            def value(key: str, default: int | None, row=row, shared=shared, number=number):
                if key not in row:
                    if default is None:
                        self.problems.add(node, f"stage {number} has no {key}")
                    return Number(default) if default is not None else None
                # An entry of one stage alone is a scope of that stage; one for all is read once.
                if key in shared:
                    if key not in common:
                        common[key] = self._expression(row[key], f"stages.{key}", numeric=True)
                    return common[key]
                return self._expression(row[key], f"stages.{key}", numeric=True, least="stage")

            if number == 1:
                common: dict[str, Value | None] = {}
            numbers = [
                value(key, default)
                for key, default in (("blocks", None), ("width", None), ("stride", 1), ("dilation", 1))
            ]
            own = block
            for key in ("block", "first"):
                if key in row:
                    if key in shared:
                        if key not in common:
                            common[key] = self._expression(row[key], key, numeric=False)
                        parsed = common[key]
                    else:
                        parsed = self._expression(row[key], key, numeric=False, least="stage")
                    if key == "block":
                        own = parsed
                    else:
                        first = parsed
            opening = first if "first" in row else own
            of_stage = shortcuts
            if "shortcut" in row:
                of_stage = self._shortcuts(row["shortcut"], shortcuts, "shortcut", least="stage")
            stages.append(StageRule(*numbers, own, opening, of_stage, place))
        if len(stages) > MAX_STAGES:
            self.problems.add(node, f"{len(stages)} stages; at most {MAX_STAGES} may stand")
        return tuple(stages)

    def _stage_rows(self, node: Node) -> list[tuple[tuple[int, int], dict[str, Node], set[str]]]:
        """For each stage: its place, its entries, and which of them stand for all stages."""
        if isinstance(node, Sequence):
            rows = []
            for item in node.items:
                rows.append(
                    ((item.line, item.column), expect_mapping(item, self.problems, "a stage", STAGE_KEYS), set())
                )
            if not rows:
                self.problems.add(node, "stages is empty; a network has at least one stage")
            return rows
        entries = expect_mapping(node, self.problems, "stages", STAGE_KEYS)
        lists = {key: value.items for key, value in entries.items() if isinstance(value, Sequence)}
        count = max((len(items) for items in lists.values()), default=1)
        for key, items in lists.items():
            if not items:
                self.problems.add(entries[key], f"{key!r} lists nothing; a network has at least one stage")
            elif len(items) < count:
                message = f"stage {len(items) + 1} has no {key}: {key!r} lists {len(items)} entries for {count} stages"
                self.problems.add(entries[key], message)
        if any(len(items) < max(1, count) for items in lists.values()):
            return []
        shared = {key for key in entries if key not in lists}
        place = (node.line, node.column)
        return [
            (place, {key: lists[key][k] if key in lists else value for key, value in entries.items()}, shared)
            for k in range(min(count, MAX_STAGES + 1))
        ]

    def _limits(self) -> tuple[Limit, ...]:
        node = self.sections.get("limits")
        if node is None:
            return ()
        limits = []
        for key, value in expect_mapping(node, self.problems, "limits", COSTS).items():
            if not isinstance(value, Scalar):
                self.problems.add(value, f"the limit of {key!r} must be a bound, as in '<= 50M'")
                continue
            try:
                limits.append(parse_bound(key, value.text))
            except ExplorerError as error:
                self.problems.add(value, str(error))
        return tuple(limits)

    # Checks of the whole

    def _references(self, tree) -> Iterable[Reference]:
        return (node for node in walk(tree) if isinstance(node, Reference))

    def _cycles(self, grammar: dict[str, Scalar]) -> None:
        """Each cycle of rules is an error that prints it; so is nesting, through rules, without end in sight."""
        depth = self.depths

        for start in self.rules:
            path, on_path, stack = [], set(), [(start, True)]
            while stack:
                name, fresh = stack.pop()
                if not fresh:
                    path.pop()
                    on_path.discard(name)
                    depth[name] = self._height(self.rules[name])
                    continue
                if name in depth:
                    continue
                if name in on_path:
                    cycle = [*path[path.index(name) :], name]
                    self.problems.add(grammar[name], f"the rules run in a circle: {' -> '.join(cycle[:12])}")
                    self.problems.check()
                path.append(name)
                on_path.add(name)
                stack.append((name, False))
                stack.extend(
                    (reference.name, True)
                    for reference in self._references(self.rules[name])
                    if reference.name not in depth
                )

    def _height(self, tree) -> int:
        if isinstance(tree, Reference):
            return 1 + self.depths[tree.name]
        return 1 + max(map(self._height, children(tree)), default=0)

    def _depths(self) -> None:
        """Nesting has a bound, the rules that an expression names read in: everything later may recurse."""
        for tree, scalar in self.trees:
            if (height := self._height(tree)) > MAX_DEPTH:
                self.problems.add(
                    scalar, f"nested {height} deep, the rules it names read in; at most {MAX_DEPTH} may stand"
                )
                self.problems.check()

    def _arguments(self) -> None:
        """Constants that an argument cannot take are refused even where no network would meet them."""
        relevance = Relevance(self.rules)
        for tree, _ in self.trees:
            for node in walk(tree):
                if not isinstance(node, (OpItem, MergeItem)):
                    continue
                for argument, value in node.arguments:
                    if fault := relevance.fault(argument, value):
                        self.problems.add(node.place, fault)

    def _sizes(self, stem, head, transition, stages) -> None:
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
        self.problems.check()
        least = sum(size(stage.first)[0] + (fewest(stage.blocks) - 1) * size(stage.block)[0] for stage in stages)
        if least > MAX_LAYERS:
            message = f"the stages come to at least {_large(least)} layers; at most {MAX_LAYERS:,} may stand"
            self.problems.add(self._section_of("stages"), message)

    def _merges(self, stages: tuple[StageRule, ...]) -> None:
        """A block holds exactly one merge, whatever is chosen."""
        known: dict[str, frozenset[int]] = {}

        def merges(tree) -> frozenset[int]:
            """The numbers of merges (2 for more) that an expression can come to."""
            if isinstance(tree, MergeItem):
                return frozenset([1])
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

        section = self.sections["block"]
        written = [(tree, what) for what in ("first", "block") for tree in (getattr(stage, what) for stage in stages)]
        for tree, what in dict(written).items():
            for name, option in self._spelled_options(tree):
                counts = merges(option)
                if counts != {1}:
                    found = "no merge" if 0 in counts else "more than one merge"
                    at = f"the rule {name!r}" if name else f"{what!r}"
                    self.problems.add(
                        self._place_of(name, section),
                        f"{at} gives a block with {found}; a block holds exactly one of +, cat, gate(b)",
                    )

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

    def _points(self) -> tuple[Point, ...]:
        seen: dict[Point, None] = {}
        for tree, _ in self.trees:
            for node in walk(tree):
                point = getattr(node, "point", None)
                if point is not None:
                    seen[point] = None
        return tuple(seen)


def parse_shape(text: str) -> TensorShape:
    """``3x32x32`` as channels, height, width. Raises ExplorerError."""
    parts = text.strip().split("x")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ExplorerError(f"an input is channels x height x width, as in 3x32x32; found {text[:40]!r}")
    shape = TensorShape(*map(int, parts))
    if not (1 <= shape.channels <= 65_536 and all(1 <= side <= 4_096 for side in shape[1:])):
        raise ExplorerError(f"an input has 1 to 65,536 channels and sides of 1 to 4,096; found {text[:40]!r}")
    return shape


def _large(number: int) -> str:
    return f"{number:,}" if number < 10**18 else "more than 10^18"


def _op(name: str):
    from explorer.grammar.expression import find_op

    return find_op(name)

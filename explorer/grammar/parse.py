"""Text to a SearchSpace: the sections of a space file, what may stand in each, and all its faults in one pass."""

from __future__ import annotations

import json
import os
from pathlib import Path

from explorer.errors import ExplorerError, Problem, SpaceError, did_you_mean
from explorer.grammar.checks import Checks
from explorer.grammar.names import KEYWORDS, VARIABLES, find_plain
from explorer.grammar.reading import SCOPES, Reading
from explorer.grammar.shipped import find_space, shipped_spaces
from explorer.grammar.space import SearchSpace
from explorer.grammar.stages import SHORTCUT_KEYS, STAGE_NUMBERS, default_shortcuts, read_shortcuts, read_stages
from explorer.grammar.syntax import MAX_BYTES, Mapping, Node, Problems, Scalar, Sequence, expect_mapping, read_yaml
from explorer.grammar.tree import Item, Point, walk
from explorer.grammar.values import numeric_rules
from explorer.limits import Limit, parse_bound
from explorer.ops.base import TensorShape
from explorer.quantities import BEFORE_TRAINING
from explorer.system.files import read_regular

__all__ = ["content", "find_space", "load_space", "parse_shape", "parse_space", "shipped_spaces"]

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
MAX_RULES = 2_000


def load_space(path: str | os.PathLike[str]) -> SearchSpace:
    """The space of a file, or of a shipped one by its bare name. Raises SpaceError.

    ``preact_variants.yaml`` (or ``preact_variants``) is looked for in the working folder, then
    among the spaces that come with the package.
    """
    file = find_space(path)
    try:
        data = read_regular(file, MAX_BYTES)
    except OSError as error:
        raise SpaceError([Problem(str(path), 1, 1, f"cannot be read: {error.strerror or error}")]) from None
    return parse_space(data, str(path))


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
    return validated(space, problems.found)


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
        self.reading = Reading(problems)
        self.sections = self.reading.mapping(root, "a space", KEYS)
        for key in REQUIRED:
            if key not in self.sections:
                self.reading.gap(root, f"the key {key!r} is missing")

    def space(self) -> SearchSpace:
        reading = self.reading
        checks = Checks(reading, self.root, self.sections)
        grammar = self._grammar()
        reading.names.rules.update(numeric_rules({name: scalar.text for name, scalar in grammar.items()}))
        self._vary()
        for name, scalar in grammar.items():
            reading.rules[name] = reading.expression(scalar, name, numeric=reading.names.rules[name])
        checks.cycles(grammar)
        shape, classes = self._input(), self._classes()
        stem = self._structure("stem", copied="post")
        head = self._structure("head", copied="pre")
        block = self._structure("block")
        transition = self._structure("transition")
        shortcuts = read_shortcuts(reading, self.sections.get("shortcut"), default_shortcuts())
        stages = read_stages(reading, self.sections.get("stages"), block, shortcuts)
        limits = self._limits()
        checks.depths()
        checks.arguments()
        if not reading.gaps:
            checks.sizes(stem, head, transition, stages)
        if reading.gaps or not checks.merges(stages):
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
            rules=reading.rules,
            points=self._points(),
            limits=limits,
        )

    # Sections

    def _structure(self, key: str, copied: str = "") -> Item | None:
        node = self.sections.get(key)
        return None if node is None else self.reading.expression(node, key, copied=copied)

    def _grammar(self) -> dict[str, Scalar]:
        node = self.sections.get("grammar")
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            self.reading.gap(node, "grammar must be a mapping: rule name to expression")
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
                scalar = self.reading.scalar(value, f"the rule {name!r}")
                if isinstance(scalar, Scalar):
                    rules[name] = scalar
                else:
                    self.reading.names.rules[name] = False
                    self.reading.rules[name] = scalar
        return rules

    def _vary(self) -> None:
        node = self.sections.get("vary")
        if node is None:
            return
        if not isinstance(node, Mapping):
            self.problems.add(node, "vary must be a mapping: rule name to " + ", ".join(SCOPES))
            return
        owners = [
            *self.reading.names.rules,
            "block",
            "first",
            "stem",
            "head",
            "transition",
            *(f"stages.{k}" for k in STAGE_NUMBERS),
        ]
        owners += [f"shortcut.{part}" for part in SHORTCUT_KEYS[:2]]
        owners += [f"shortcut.{rule}.{part}" for rule in self.reading.names.rules for part in SHORTCUT_KEYS[:2]]
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
                self.reading.scopes[key.text] = scope

    def _input(self) -> TensorShape:
        node = self.sections.get("input")
        try:
            if node is not None:
                return parse_shape(node.text if isinstance(node, Scalar) else "")
        except ExplorerError as error:
            self.reading.gap(node, str(error))
        return TensorShape(3, 32, 32)

    def _classes(self) -> int:
        node = self.sections.get("classes")
        text = node.text if isinstance(node, Scalar) else ""
        if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65_536:
            return int(text)
        if node is not None:
            self.reading.gap(node, f"classes is a whole number from 1 to 65,536, found {text[:40]!r}")
        return 10

    def _limits(self) -> tuple[Limit, ...]:
        node = self.sections.get("limits")
        if node is None:
            return ()
        limits = []
        for key, value in expect_mapping(node, self.problems, "limits", BEFORE_TRAINING).items():
            if not isinstance(value, Scalar):
                self.problems.add(value, f"the limit of {key!r} must be a bound, as in '<= 50M'")
                continue
            try:
                limits.append(parse_bound(key, value.text))
            except ExplorerError as error:
                self.problems.add(value, str(error))
        return tuple(limits)

    def _points(self) -> tuple[Point, ...]:
        seen: dict[Point, None] = {}
        for tree, _ in self.reading.trees:
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

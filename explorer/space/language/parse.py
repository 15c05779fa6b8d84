"""Conversion of a space file to a ``Grammar``: sections, checks, and all errors in one pass."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from explorer.analysis.limits import Limit, parse_bound
from explorer.analysis.quantities import BEFORE_TRAINING
from explorer.errors import Edit, ExplorerError, Problem, did_you_mean, similar_names
from explorer.space.grammar import (
    SCOPES,
    Broken,
    Grammar,
    Node,
    Place,
    Point,
    Reference,
    StageRule,
    point_of,
    reachable,
    walk,
)
from explorer.space.language.block_checks import BlockChecks
from explorer.space.language.checks import Checks
from explorer.space.language.conditions import read_conditions
from explorer.space.language.foreign import keys as foreign_keys
from explorer.space.language.foreign import sections as foreign_sections
from explorer.space.language.input import first_shape, read_input
from explorer.space.language.known_keys import read_keys
from explorer.space.language.misplaced import in_place
from explorer.space.language.names import KEYS, VARIABLES, is_known, is_reserved
from explorer.space.language.sections import Sections
from explorer.space.language.shortcuts import SHORTCUT_KEYS, default_shortcuts, read_shortcuts
from explorer.space.language.stages import STAGE_NUMBERS, read_stages, stages_have_blocks
from explorer.space.language.values import numeric_rules
from explorer.space.language.yaml import Entry, Mapping, Problems, Scalar, Sequence, edit_of, kind_of, read_yaml
from explorer.space.lint.names import LINTS

# Required keys, each with an example; and ``block``, unless each stage has one.
REQUIRED = {
    "input": "3x32x32",
    "classes": "10",
    "stem": "conv3x3(w) post",
    "stages": "{blocks: 2, width: [16, 32], stride: [1, 2]}",
    "head": "pre gap fc",
}
BLOCK = "conv3x3 bn relu conv3x3 bn + relu"
MAX_RULES = 2_000


class Parsed(NamedTuple):
    """A grammar and the errors found while reading it that still let its networks be checked."""

    grammar: Grammar
    problems: list[Problem]


def parse_grammar(data: bytes, source: str) -> Parsed:
    """Parse a space file.

    Args:
        data: The file's bytes, in UTF-8.
        source: The file's name, as errors print it.

    Raises:
        SpaceError: With all errors found, if the networks are not determined despite them.
    """
    problems = Problems(source)
    root = read_yaml(data, problems)
    grammar = _Reader(root, problems, source, data.decode("utf-8-sig")).grammar()
    return Parsed(grammar, problems.found)


def content(text: str) -> str:
    """Return the content of a space file as JSON, without comments and blanks.

    ``name``, ``about`` and ``allow`` are left out, since they change no network, and ``input`` and ``classes``, since a
    data set may have replaced them.
    """

    def plain(node: Entry) -> object:
        if isinstance(node, Scalar):
            return " ".join(node.text.split())
        if isinstance(node, Sequence):
            return [plain(item) for item in node.items]
        return {key.text: plain(value) for key, value in node.items}

    root = read_yaml(text.encode(), Problems(""))
    left_out = ("name", "about", "input", "classes", "allow")
    kept = {key.text: plain(value) for key, value in root.items if key.text not in left_out}
    return json.dumps(kept, sort_keys=True)  # the order of the keys has no meaning


class _Reader:
    """Reader of one space file. It collects errors and skips checks of parts that depend on a part with an error."""

    def __init__(self, root: Mapping, problems: Problems, source: str, text: str):
        self.problems = problems
        self.source = source
        self.text = text
        self.root = root = in_place(root, problems, KEYS, REQUIRED)
        self.sections = Sections(problems)
        self.entries = self.sections.mapping(root, "a space", KEYS, foreign_keys.SPACE)
        needed = REQUIRED if stages_have_blocks(self.entries.get("stages")) else {**REQUIRED, "block": BLOCK}
        if missing := [key for key in needed if key not in self.entries]:
            self.sections.gap(root, self._missing(missing, needed))

    def _missing(self, missing: list[str], needed: dict[str, str]) -> str:
        """Return the message for keys that the file lacks."""
        rules = self.entries.get("grammar")
        among_rules = [key for key in missing if isinstance(rules, Mapping) and rules.get(key)]
        are = "key {} is" if len(missing) == 1 else "keys {} are"
        message = f"the {are.format(', '.join(map(repr, missing)))} missing"
        if among_rules:
            return f"{message}; {among_rules[0]!r} is a rule of the grammar: write it without indentation"
        return f"{message}; write for instance {f'{missing[0]}: {needed[missing[0]]}'!r}"

    def grammar(self) -> Grammar:
        sections = self.sections
        checks = Checks(sections, self.root, self.entries)
        rules = self._rules()
        self._set_numeric(rules)
        translated = {name: sections.in_language(scalar, name, "rule") for name, scalar in rules.items()}
        if translated != rules:
            rules = translated
            self._set_numeric(rules)
        sections.names.broken = {
            name for name, scalar in rules.items() if not sections.can_be_read(scalar, name, "rule")
        }
        self._vary()
        for name, scalar in rules.items():
            sections.rules[name] = sections.tree(scalar, name, numeric=sections.names.rules[name])
        checks.cycles(rules)
        image = read_input(sections, self.entries.get("input"))
        classes = self._classes()
        stem = self._required("stem", copied="post")
        head = self._required("head", copied="pre")
        block = self._required("block")
        transition = self.entries.get("transition")
        between = None if transition is None else sections.expression(transition, "transition")
        shortcuts = read_shortcuts(sections, self.entries.get("shortcut"), default_shortcuts())
        stages = read_stages(sections, self.entries.get("stages"), block, shortcuts)
        limits, allowed = self._limits(), self._allowed()
        checks.depths()
        shape = first_shape(image, sections, self.entries.get("input"))
        checks.arguments()
        blocks = BlockChecks(sections, self.root, self.entries)
        blocks.forks()
        if not sections.has_gaps:
            checks.sizes(stem, head, between, stages)
        if sections.has_gaps or not blocks.merges(stages):
            self.problems.check()
        blocks.places(stem, head, between, stages)
        stages = tuple(map(self._with_used_shortcuts, stages))
        title, about = self.entries.get("name"), self.entries.get("about")
        for entry in (title, about):
            if entry is not None and not isinstance(entry, Scalar):
                self.problems.add(entry, f"'name' and 'about' are texts, found {kind_of(entry)}")
        grammar = Grammar(
            name=title.text if isinstance(title, Scalar) and title.text else Path(self.source).stem,
            about=about.text if isinstance(about, Scalar) else "",
            text=self.text,
            source=self.source,
            input=shape,
            classes=classes,
            stem=stem,
            transition=between,
            head=head,
            stages=stages,
            rules=sections.rules,
            points=self._points(image.sides, stem, head, between, stages),
            limits=limits,
            places=self._places(rules),
            allowed=allowed,
            sides=image.sides,
        )
        where = self.entries.get("where")
        return grammar if where is None else replace(grammar, where=read_conditions(where, grammar, self.problems))

    def _places(self, rules: dict[str, Scalar]) -> dict[str, Place]:
        """Return the places of the sections, of the rules, and of the keys of ``vary`` and ``shortcut``."""
        places = {key.text: (key.line, key.column) for key, _ in self.root.items}
        places |= {f"grammar.{name}": (scalar.line, scalar.column) for name, scalar in rules.items()}
        for section in ("vary", "shortcut"):
            if isinstance(entry := self.entries.get(section), Mapping):
                places |= {f"{section}.{key.text}": (key.line, key.column) for key, _ in entry.items}
        return places

    def _set_numeric(self, rules: dict[str, Scalar]) -> None:
        """Note which rules are numeric."""
        self.sections.names.rules.update(numeric_rules({name: scalar.text for name, scalar in rules.items()}))

    # Sections

    def _required(self, key: str, copied: str = "") -> Node:
        entry = self.entries.get(key)
        if entry is None:
            return Broken((self.root.line, self.root.column), f"the key {key!r} is missing")
        return self.sections.expression(entry, key, copied=copied)

    def _rules(self) -> dict[str, Scalar]:
        node = self.entries.get("grammar")
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            edits = foreign_sections.rules(node, self.problems.text)
            self.sections.gap(node, "grammar must be a mapping: rule name to expression", *edits)
            if edits:
                self.problems.check()  # the rest of the file names these rules
            return {}
        if len(node.items) > MAX_RULES:
            self.problems.add(node, f"{len(node.items):,} rules; at most {MAX_RULES:,} are allowed")
            self.problems.check()
        rules = {}
        self.sections.names.rules.update(dict.fromkeys((key.text for key, _ in node.items), False))
        for key, value in node.items:
            name = key.text
            if fault := self._name_fault(name):
                self.sections.gap(key, f"{name[:80]!r} cannot name a rule: {fault}")
                if not is_known(name):
                    self.problems.faulty_names.append(name)
                del self.sections.names.rules[name]
                continue
            scalar = self.sections.text(value, f"the rule {name!r}", "rule")
            if isinstance(scalar, Scalar):
                rules[name] = scalar
            else:
                self.sections.rules[name] = scalar
        return rules

    @staticmethod
    def _name_fault(name: str) -> str:
        """Return why a rule cannot have this name; "" if it can."""
        characters = all(c.isascii() and (c.isalnum() or c in "_-") for c in name)
        if not (name[:1].isascii() and name[:1].isalpha() and len(name) <= 64 and characters):
            return "write a letter, then at most 63 letters, digits, '_' or '-'"
        if not is_reserved(name):
            return ""
        return f"it is a variable, {VARIABLES[name]}" if name in VARIABLES else "the language uses it already"

    def _vary(self) -> None:
        node = self.entries.get("vary")
        if node is None:
            return
        if not isinstance(node, Mapping):
            message = f"vary must be a mapping: rule name to {', '.join(SCOPES)}"
            texts = foreign_sections.texts_of(node) or []
            named = [name for name in texts if name in self.sections.names.rules]
            scope = texts[0] if len(texts) == 1 and texts[0] in SCOPES else "stage"
            if scope in texts:
                named = [
                    key.text for key, rule in self._grammar_items() if isinstance(rule, Scalar) and "|" in rule.text
                ]
            new = ", ".join(f"{name}: {scope}" for name in named)
            self.problems.add(node, message, *self._written(node, f"{{{new}}}" if new else ""))
            return
        rules = list(self.sections.names.rules)
        parts = SHORTCUT_KEYS[:2]
        owners = [*rules, "block", "first", "stem", "head", "transition", *(f"stages.{k}" for k in STAGE_NUMBERS)]
        owners_of_shortcut = [f"shortcut.{part}" for part in parts]
        owners += owners_of_shortcut
        owners += [f"shortcut.{rule}.{part}" for rule in rules for part in parts]
        for key, value in node.items:
            scope = value.text if isinstance(value, Scalar) else ""
            if key.text in SCOPES and (named := self._rules_of(value)):
                message = f"{key.text!r} is a scope; write the rule first, as in {named[0]}: {key.text}"
                sign = ", " if key.in_flow else "\n" + " " * (key.column - 1)
                new = sign.join(f"{name}: {key.text}" for name in named)
                self.problems.add(key, message, Edit(key.span[0], value.span[1], new))
            elif key.text not in owners:
                near = similar_names(key.text, owners)[:1]
                message = f"unknown rule {key.text[:64]!r} in vary{did_you_mean(key.text, owners)}"
                if is_known(key.text):
                    message = f"{key.text[:64]!r} in vary is a layer; a scope is that of a rule of the grammar"
                if key.text == "shortcut":
                    near = [self._both_shortcuts(node, key, scope)]
                    message = f"unknown rule 'shortcut' in vary; its parts are {' and '.join(owners_of_shortcut)}"
                self.problems.add(key, message, *(Edit(*key.span, name) for name in near))
            elif scope not in SCOPES:
                name = foreign_keys.meant(scope, SCOPES, foreign_keys.SCOPES)
                near_scope = f"; did you mean {name!r}?" if name else ""
                found = repr(scope[:40]) if isinstance(value, Scalar) else kind_of(value)
                message = f"{key.text!r} must vary by one of {', '.join(SCOPES)}, found {found}{near_scope}"
                self.problems.add(value, message, *self._written(value, name))
            else:
                self.sections.scopes[key.text] = scope

    def _grammar_items(self) -> tuple[tuple[Scalar, Entry], ...]:
        grammar = self.entries.get("grammar")
        return grammar.items if isinstance(grammar, Mapping) else ()

    def _rules_of(self, value: Entry) -> list[str]:
        """Return the rules that an entry names, alone or in a list; nothing for any other entry."""
        texts = foreign_sections.texts_of(value) or []
        return texts if all(text in self.sections.names.rules for text in texts) else []

    def _both_shortcuts(self, node: Mapping, key: Scalar, scope: str) -> str:
        """Return the keys of the parts of the shortcut that the file has, in place of the key ``shortcut``."""
        shortcut = self.entries.get("shortcut")
        written = [part for part in SHORTCUT_KEYS[:2] if isinstance(shortcut, Mapping) and shortcut.get(part)]
        sign = ", " if key.in_flow else "\n" + " " * (key.column - 1)
        return f": {scope}{sign}".join(f"shortcut.{part}" for part in written or SHORTCUT_KEYS[:2])

    def _written(self, node: Entry, value: str) -> list[Edit]:
        """Return the edit that writes a value in place of an entry; nothing for the value ""."""
        return [edit_of(self.problems.text, node, value)] if value else []

    def _classes(self) -> int:
        node = self.entries.get("classes")
        text = node.text if isinstance(node, Scalar) else ""
        if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65_536:
            return int(text)
        if node is not None:
            found = repr(text[:40]) if isinstance(node, Scalar) else kind_of(node)
            message = f"classes must be a whole number from 1 to 65,536, found {found}"
            self.sections.gap(node, message, *self._written(node, foreign_sections.classes(node)))
        return 10

    def _limits(self) -> tuple[Limit, ...]:
        node = self.entries.get("limits")
        if node is None:
            return ()
        limits = []
        if not isinstance(node, Mapping):
            message = f"limits must be a mapping with the keys {', '.join(BEFORE_TRAINING)}"
            texts = foreign_sections.texts_of(node) or []
            bounds = [found.groups() for t in texts if (found := re.fullmatch(r"([a-z_]+)\s*([<>=]+.*)", t.strip()))]
            new = ", ".join(f"{cost}: {bound}" for cost, bound in bounds)
            self.problems.add(node, message, *self._written(node, f"{{{new}}}" if new else ""))
            return ()
        known = tuple(BEFORE_TRAINING)
        units = {id(value): key.text[:1].upper() for key, value in node.items} if isinstance(node, Mapping) else {}
        for key, value in read_keys(node, self.problems, "limits", known, foreign_keys.COSTS).entries.items():
            unit = units[id(value)] if key in ("macs", "flops") and units[id(value)] in "GM" else ""
            new = foreign_sections.bound(
                " ".join(foreign_sections.texts_of(value) or []), "" if key == "macs" and unit == "M" else unit
            )
            if not isinstance(value, Scalar):
                message = f"the limit of {key!r} must be a bound, as in '<= 50M'"
                self.problems.add(value, message, *self._written(value, new))
                continue
            try:
                limits.append(parse_bound(key, value.text))
            except ExplorerError as error:
                self.problems.add(value, str(error), *self._written(value, new))
        return tuple(limits)

    def _allowed(self) -> frozenset[str]:
        node = self.entries.get("allow")
        if node is None:
            return frozenset()
        names = node.items if isinstance(node, Sequence) else [node]
        for name in names:
            text = name.text if isinstance(name, Scalar) else ""
            if text not in LINTS:
                known = f"; the names are {', '.join(LINTS)}"
                message = f"unknown warning {text[:64]!r} in allow{did_you_mean(text, LINTS) or known}"
                self.problems.add(name, message, *(Edit(*name.span, near) for near in similar_names(text, LINTS)[:1]))
        return frozenset(name.text for name in names if isinstance(name, Scalar))

    def _with_used_shortcuts(self, stage: StageRule) -> StageRule:
        """Leave out the shortcuts of rules that the stage's blocks do not use."""
        nodes = reachable(self.sections.rules, [stage.block, stage.first])
        used = {"", *(node.name for node in nodes if isinstance(node, Reference))}
        return replace(stage, shortcuts={name: each for name, each in stage.shortcuts.items() if name in used})

    def _points(
        self,
        sides: tuple[Node, ...],
        stem: Node,
        head: Node,
        transition: Node | None,
        stages: tuple[StageRule, ...],
    ) -> tuple[Point, ...]:
        """Return the points that networks can have, in the order of the file."""
        roots = [*sides, stem, head, *([] if transition is None else [transition])]
        roots += [root for stage in stages for root in stage.roots]
        used = {point_of(node) for node in reachable(self.sections.rules, roots)}
        found = (point_of(node) for tree, _ in self.sections.trees for node in walk(tree))
        return tuple(dict.fromkeys(point for point in found if point is not None and point in used))

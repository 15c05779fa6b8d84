"""Reading the sections of a space file: entries to expressions, and the sections ``stages`` and ``shortcut``.

``stages`` has entries for all stages, lists with one entry for each stage, or is a list of mappings.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Table
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from explorer.errors import Edit, did_you_mean
from explorer.networks.ops import registry
from explorer.space.grammar import IDENTITY, SCOPES, Broken, Group, Node, Number, OpItem, Place, ShortcutRule, StageRule
from explorer.space.language.expression import Parser
from explorer.space.language.foreign import keys as foreign_keys
from explorer.space.language.foreign import sections as foreign_sections
from explorer.space.language.foreign.entries import as_expression
from explorer.space.language.foreign.numbers import is_suspicious
from explorer.space.language.foreign.translate import translate
from explorer.space.language.known_keys import read_keys
from explorer.space.language.names import Names
from explorer.space.language.source_text import applied
from explorer.space.language.tokens import ExpressionError, TooManyTokens
from explorer.space.language.yaml import Entry, Mapping, Problems, Scalar, Sequence, edit_of, kind_of

STAGE_KEYS = ("blocks", "width", "stride", "dilation", "block", "first", "shortcut")
STAGE_NUMBERS = {"blocks": None, "width": None, "stride": 1, "dilation": 1}  # key -> default, None if it is required
SHORTCUT_KEYS = ("same", "changed", "from")
SOURCES = ("input", "preact")
MAX_STAGES = 64

Shortcuts = dict[str, ShortcutRule]  # rule name -> shortcuts; the general ones under ""


class Sections:
    """The state of reading one file.

    Attributes:
        problems: The errors so far.
        names: The names of this file.
        rules: Rule name -> its tree.
        scopes: Owner of choice points -> their scope.
        trees: Every expression with its text, in reading order.
        has_gaps: Whether an error, such as a misspelt key, makes the content incomplete; then shapes are not checked.
    """

    def __init__(self, problems: Problems):
        self.problems = problems
        self.names = Names()
        self.rules: dict[str, Node] = {}
        self.scopes: dict[str, str] = {}
        self.trees: list[tuple[Node, Scalar]] = []
        self.has_gaps = False
        self._trial_names = Names()  # counts the tokens of texts that are read to find out whether they can be

    def mapping(
        self, node: Entry, what: str, known: tuple[str, ...], meanings: Table[str, str] | None = None
    ) -> dict[str, Entry]:
        """Return the entries of a mapping with the keys ``known``. Other keys are errors, see ``read_keys``."""
        found = read_keys(node, self.problems, what, known, meanings)
        self.has_gaps |= not found.is_complete
        return found.entries

    def gap(self, place: Place | Entry, message: str, *edits: Edit) -> None:
        """Add an error that makes the content incomplete, with edits of the file that may fix it."""
        self.problems.add(place, message, *edits)
        self.has_gaps = True

    def text(self, node: Entry, what: str, home: str) -> Scalar | Broken:
        """Return an entry that must be a text; report any other.

        Args:
            node: The entry. A list or a mapping is reported and translated to an expression.
            what: What the entry is, for messages.
            home: Where it is: ``layers`` (a section of layers), ``number`` (a number of a stage) or ``rule``.
        """
        if not isinstance(node, Scalar):
            return self._from_entry(node, what, home)
        if not node.text.strip():
            message = f"{what} is empty; write 'none' for no layer at all"
            self.problems.add(node, message, *([] if home == "number" else [edit_of(self.problems.text, node, "none")]))
            return Broken((node.line, node.column), message)
        return node

    def in_language(self, node: Scalar, owner: str, home: str) -> Scalar:
        """Return a text in the language; report what is foreign in it, and translate it.

        Args:
            node: The text.
            owner: The section or the rule.
            home: Where it is, as in ``text``.
        """
        if node.is_translated or self.can_be_read(node, owner, home):
            return node
        findings, text = translate(node.text, home, self.names.rules)
        if not findings:
            return node
        edit = edit_of(self.problems.text, node, text)
        for finding in findings:
            self.problems.add(node.place(finding.offset), finding.message, *([edit] if finding.edits else []))
        return replace(node, text=text, places=(node.place(findings[0].offset),), is_translated=True)

    def _from_entry(self, node: Mapping | Sequence, what: str, home: str) -> Scalar | Broken:
        """Report a list or a mapping in place of an expression, and return the expression that it stands for."""
        message = f"{what} must be one expression"
        expression = as_expression(node, home, self.names.rules)
        if expression is None:
            self.problems.add(node, message)
            return Broken((node.line, node.column), message)
        text = translate(expression, home, self.names.rules).text
        expected = "layers are separated by blanks"
        if "|" in text or text.startswith("range("):
            expected = "alternatives are separated by '|'" if "|" in text else f"a range is written {text}"
        edit = edit_of(self.problems.text, node, text)
        self.problems.add(node, f"{message}, found {kind_of(node)}; {expected}", edit)
        return Scalar(text, node.line, node.column, places=((node.line, node.column),), is_translated=True)

    def can_be_read(self, node: Scalar, owner: str, home: str) -> bool:
        """Whether a text can be read, and is not a number that is meant otherwise.

        Args:
            node: The text.
            owner: The section or the rule.
            home: Where it is, as in ``text``.
        """
        if home != "layers" and is_suspicious(node.text, home):
            return False
        kinds = {"number": ("number",), "layers": ("layers",), "rule": ("number", "layers")}[home]
        copied = {"stem": "post", "head": "pre"}.get(owner, "") if home == "layers" else ""
        self._trial_names.rules = self.names.rules
        return any(_can_be_read(node.text, self._trial_names, kind, copied) for kind in kinds)

    def expression(
        self, node: Entry, owner: str, *, numeric: bool = False, copied: str = "", least: str = "network"
    ) -> Node:
        """Return the tree of an entry, with ``Broken`` in place of parts with an error.

        Args:
            node: The entry.
            owner: The name of its choice points.
            numeric: Whether the entry is a value.
            copied: The keyword, ``post`` or ``pre``, that is allowed here; empty for neither.
            least: The largest scope of the choices.

        Raises:
            SpaceError: If the file's expressions are too long in total.
        """
        home = "number" if numeric else "layers"
        scalar = self.text(node, owner, home)
        if isinstance(scalar, Broken):
            return scalar
        return self.tree(self.in_language(scalar, owner, home), owner, numeric=numeric, copied=copied, least=least)

    def tree(
        self, scalar: Scalar, owner: str, *, numeric: bool = False, copied: str = "", least: str = "network"
    ) -> Node:
        """Return the tree of a text, see ``expression``."""
        scope = max(self.scopes.get(owner, "network"), least, key=SCOPES.index)
        faults: list[Broken] = []
        tree: Node
        try:
            parser = Parser(scalar.text, self.names, owner, scope, scalar.place, faults, copied)
            tree = parser.value_rule() if numeric else parser.structure_rule()
        except ExpressionError as error:
            tree = broken = Broken(scalar.place(error.offset), str(error), error.edits)
            faults.append(broken)
            if isinstance(error, TooManyTokens):
                self.problems.add(broken.place, broken.message)
                self.problems.check()
        if not scalar.is_translated:
            edits = [edit for fault in faults for edit in fault.edits]
            whole = edit_of(self.problems.text, scalar, applied(scalar.text, edits)) if edits else None
            for fault in faults:
                self.problems.add(fault.place, fault.message, *([whole] if whole and fault.edits else []))
        self.trees.append((tree, scalar))
        return tree


def _can_be_read(text: str, names: Names, kind: str, copied: str) -> bool:
    faults: list[Broken] = []
    try:
        parser = Parser(text, names, "", "network", faults=faults, copied=copied)
        _ = parser.value_rule() if kind == "number" else parser.structure_rule()
    except TooManyTokens:
        return True  # the file is refused where it is read
    except ExpressionError:
        return False
    return not faults


def default_shortcuts() -> Shortcuts:
    """Return the identity for blocks that keep their shape, and ``conv1x1 bn`` for the others."""
    conv, norm = registry.by_spelling["conv"], registry.by_spelling["bn"]
    projection = Group((OpItem(conv, 1, (), (1, 1)), OpItem(norm, None, (), (1, 1))))
    return {"": ShortcutRule(IDENTITY, projection, "input")}


def read_shortcuts(
    sections: Sections, node: Entry | None, base: Shortcuts, owner: str = "shortcut", least: str = "network"
) -> Shortcuts:
    """Read an entry ``shortcut``.

    Args:
        sections: The file; receives the errors.
        node: The entry; None gives ``base``.
        base: The shortcuts that the entry does not change.
        owner: The name of the choice points.
        least: The largest scope of the choices.
    """
    if node is None:
        return base
    keys = ", ".join(SHORTCUT_KEYS)
    if not isinstance(node, Mapping):
        edits = []
        if expression := as_expression(node, "layers", sections.names.rules):
            edits = [edit_of(sections.problems.text, node, foreign_sections.shortcut(expression))]
        found = repr(node.text[:40]) if isinstance(node, Scalar) else kind_of(node)
        sections.gap(node, f"{owner} must be a mapping with the keys {keys}, or names of rules; found {found}", *edits)
        return base
    out = dict(base)
    own = [(key, value) for key, value in node.items if key.text in SHORTCUT_KEYS]
    out[""] = _shortcut(sections, own, base[""], owner, least)
    for key, value in node.items:
        if key.text in SHORTCUT_KEYS:
            continue
        if key.text not in sections.names.rules:
            name = foreign_keys.meant(key.text, [*SHORTCUT_KEYS, *sections.names.rules], foreign_keys.SHORTCUT)
            near = f"; did you mean {name!r}?" if name else ""
            message = f"unknown key {key.text[:64]!r} in {owner}; it takes {keys} and names of rules{near}"
            sections.gap(key, message, *([Edit(*key.span, name)] if name else []))
        elif not isinstance(value, Mapping):
            edits = []
            if isinstance(value, Scalar) and value.text:
                edits = [edit_of(sections.problems.text, value, foreign_sections.shortcut(value.text))]
            sections.gap(value, f"{owner} of {key.text!r} must be a mapping with the keys {keys}", *edits)
        else:
            for part, _ in value.items:
                if part.text not in SHORTCUT_KEYS:
                    name = foreign_keys.meant(part.text, SHORTCUT_KEYS, foreign_keys.SHORTCUT)
                    near = f"; did you mean {name!r}?" if name else ""
                    message = f"unknown key {part.text[:64]!r} in {owner} of {key.text!r}; it takes {keys}{near}"
                    sections.gap(part, message, *([Edit(*part.span, name)] if name else []))
            known = [(part, entry) for part, entry in value.items if part.text in SHORTCUT_KEYS]
            out[key.text] = _shortcut(sections, known, out[""], f"{owner}.{key.text}", least)
    return out


def _shortcut(
    sections: Sections, entries: Iterable[tuple[Scalar, Entry]], base: ShortcutRule, owner: str, least: str
) -> ShortcutRule:
    parts, source = {"same": base.same, "changed": base.changed}, base.source
    for key, value in entries:
        if key.text == "from":
            source = value.text if isinstance(value, Scalar) else ""
            if source not in SOURCES:
                message = f"'from' is {' or '.join(SOURCES)}, found {source[:40]!r}{did_you_mean(source, SOURCES)}"
                name = foreign_keys.meant(source, SOURCES, {"x": "input", "preactivation": "preact", "pre": "preact"})
                edits = [edit_of(sections.problems.text, value, name)] if name else []
                sections.gap(value, message, *edits)
        elif isinstance(value, Scalar) and value.text.strip() == "none":
            parts[key.text] = None
        else:
            parts[key.text] = sections.expression(value, f"{owner}.{key.text}", least=least)
    return ShortcutRule(parts["same"], parts["changed"], source)


class _Row(NamedTuple):
    """The entries of one stage. ``lacking``: the keys whose list ends before this stage."""

    place: Place
    entries: dict[str, Entry]
    lacking: dict[str, Broken]


def read_stages(sections: Sections, node: Entry | None, block: Node, shortcuts: Shortcuts) -> tuple[StageRule, ...]:
    """Read the section ``stages``.

    Args:
        sections: The file; receives the errors.
        node: The section; None gives no stages.
        block: The block of stages without their own entry.
        shortcuts: The shortcuts of stages without their own entry.
    """
    return () if node is None else _StagesReader(sections, node, block, shortcuts).stages()


class _StagesReader:
    """Reads the section. Entries for all stages (``shared``) are read once, and their choices are one choice."""

    def __init__(self, sections: Sections, node: Entry, block: Node, shortcuts: Shortcuts):
        self.sections, self.node, self.block, self.shortcuts = sections, node, block, shortcuts
        self.shared: dict[str, Entry] = {}
        self._read: dict[str, Node] = {}
        self._shared_shortcuts: Shortcuts | None = None

    def stages(self) -> tuple[StageRule, ...]:
        rows = enumerate(self._rows(), 1)
        return tuple(self._stage(number, row) for number, row in rows)

    def _stage(self, number: int, row: _Row) -> StageRule:
        numbers = [self._number(number, row, key, default) for key, default in STAGE_NUMBERS.items()]
        block = self._expression(row, "block") if "block" in row.entries else self.block
        first = self._expression(row, "first") if "first" in row.entries else block
        blocks, width, stride, dilation = numbers
        return StageRule(blocks, width, stride, dilation, block, first, self._shortcuts(row), row.place)

    def _number(self, number: int, row: _Row, key: str, default: int | None) -> Node:
        if key in row.entries:
            return self._expression(row, key)
        if key in row.lacking:
            return row.lacking[key]
        if default is not None:
            return Number(Fraction(default))
        missing = Broken(row.place, f"stage {number} has no {key}")
        self.sections.problems.add(row.place, missing.message)
        return missing

    def _expression(self, row: _Row, key: str) -> Node:
        numeric = key in STAGE_NUMBERS
        owner = f"stages.{key}" if numeric else key
        if key not in self.shared:
            return self.sections.expression(row.entries[key], owner, numeric=numeric, least="stage")
        if key not in self._read:
            self._read[key] = self.sections.expression(row.entries[key], owner, numeric=numeric)
        return self._read[key]

    def _shortcuts(self, row: _Row) -> Shortcuts:
        if "shortcut" not in self.shared:
            return read_shortcuts(self.sections, row.entries.get("shortcut"), self.shortcuts, least="stage")
        if self._shared_shortcuts is None:
            self._shared_shortcuts = read_shortcuts(self.sections, row.entries["shortcut"], self.shortcuts)
        return self._shared_shortcuts

    def _rows(self) -> list[_Row]:
        sections, node = self.sections, self.node
        if self._is_other_form(node):
            new = foreign_sections.stages(node, sections.problems.text)
            message = f"stages must be a mapping with the keys {', '.join(STAGE_KEYS)}, or a list of such mappings"
            sections.gap(node, message, *([edit_of(sections.problems.text, node, new)] if new else []))
            return []
        if isinstance(node, Sequence):
            if not node.items:
                sections.gap(node, "stages is empty; a network has at least one stage")
            items = node.items[: self._bounded(len(node.items))]
            return [_Row((item.line, item.column), self._mapping(item, "a stage"), {}) for item in items]
        entries = {key: self._split(value) for key, value in self._mapping(node, "stages").items()}
        lists = {key: value.items for key, value in entries.items() if isinstance(value, Sequence)}
        self.shared = {key: value for key, value in entries.items() if key not in lists}
        count = self._bounded(max((len(items) for items in lists.values()), default=1))
        short: dict[str, Broken] = {}
        for key, items in lists.items():
            if not items:
                sections.gap(entries[key], f"{key!r} is an empty list; a network has at least one stage")
            elif len(items) < count:
                message = f"stage {len(items) + 1} has no {key}: {key!r} has {len(items)} entries for {count} stages"
                entry = entries[key]
                new = ""
                if isinstance(entry, Sequence) and key != "width":
                    new = foreign_sections.completed(entry, count)
                sections.problems.add(entry, message, *([edit_of(sections.problems.text, entry, new)] if new else []))
                if STAGE_NUMBERS.get(key, 1) is None:
                    short[key] = Broken((entries[key].line, entries[key].column), message)
        rows = []
        for k in range(count):
            own = {key: items[k] for key, items in lists.items() if k < len(items)}
            lacking = {key: fault for key, fault in short.items() if key not in own}
            rows.append(_Row((node.line, node.column), self.shared | own, lacking))
        return rows

    def _split(self, entry: Entry) -> Entry:
        """Return an entry; report a list without commas, and return it with them."""
        new = foreign_sections.split_list(entry) if isinstance(entry, Sequence) else ""
        if not new:
            return entry
        message = f"a list without commas; write {new}"
        self.sections.problems.add(entry, message, edit_of(self.sections.problems.text, entry, new))
        place = entry.line, entry.column
        return Sequence(tuple(Scalar(text, *place) for text in new[1:-1].split(", ")), *place)

    def _is_other_form(self, node: Entry) -> bool:
        """Whether the section is a number, a list of anything but mappings, or a mapping of named stages."""
        if isinstance(node, Mapping):
            named = [key for key, value in node.items if key.text not in STAGE_KEYS and isinstance(value, Mapping)]
            return bool(named) and len(named) == len(node.items)
        return isinstance(node, Scalar) or any(not isinstance(item, Mapping) for item in node.items)

    def _mapping(self, node: Entry, what: str) -> dict[str, Entry]:
        return self.sections.mapping(node, what, STAGE_KEYS, foreign_keys.STAGES)

    def _bounded(self, count: int) -> int:
        if count > MAX_STAGES:
            self.sections.gap(self.node, f"{count:,} stages; at most {MAX_STAGES} are allowed")
        return min(count, MAX_STAGES)

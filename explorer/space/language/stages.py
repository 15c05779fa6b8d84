"""Reading the section ``stages`` of a space file.

It has entries for all stages, lists with one entry for each stage, or is a list of mappings. A list that ends in
``...`` repeats its last entry.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from explorer.space.grammar import DEFAULT_STRIDE, Broken, Node, Number, Place, StageRule
from explorer.space.language.foreign import keys as foreign_keys
from explorer.space.language.foreign import sections as foreign_sections
from explorer.space.language.sections import Sections
from explorer.space.language.shortcuts import Shortcuts, read_shortcuts
from explorer.space.language.yaml import Entry, Mapping, Scalar, Sequence, edit_of

STAGE_KEYS = ("blocks", "width", "stride", "dilation", "block", "first", "shortcut")
# Key -> default, None if it is required.
STAGE_NUMBERS = {"blocks": None, "width": None, "stride": DEFAULT_STRIDE, "dilation": Number(Fraction(1))}
_EXAMPLES = {"blocks": "2", "width": "16"}
MAX_STAGES = 64


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


def stages_have_blocks(node: Entry | None) -> bool:
    """Return whether each stage of the section has a block of its own."""
    rows = node.items if isinstance(node, Sequence) else [node]
    return all(isinstance(row, Mapping) and any(key.text == "block" for key, _ in row.items) for row in rows)


def _is_rest(entry: Entry) -> bool:
    return isinstance(entry, Scalar) and entry.text == "..."


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

    def _number(self, number: int, row: _Row, key: str, default: Node | None) -> Node:
        if key in row.entries:
            return self._expression(row, key)
        if key in row.lacking:
            return row.lacking[key]
        if default is not None:
            return default
        missing = Broken(row.place, f"stage {number} has no {key}")
        if isinstance(self.node, Sequence):
            self.sections.problems.add(row.place, f"{missing.message}; write {key}: {_EXAMPLES[key]} in it")
        elif number == 1:
            fix = f"write {key}: {_EXAMPLES[key]}, or a list with one number for each stage"
            self.sections.problems.add(row.place, f"{missing.message}; {fix}")
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
        entries = self._mapping(node, "stages")
        entries |= {key: self._split(value) for key, value in entries.items() if key in STAGE_NUMBERS}
        lists = {key: value.items for key, value in entries.items() if isinstance(value, Sequence)}
        self.shared = {key: value for key, value in entries.items() if key not in lists}
        endless = {key for key, items in lists.items() if len(items) > 1 and _is_rest(items[-1])}
        lists.update({key: lists[key][:-1] for key in endless})
        count = self._bounded(max((len(items) for items in lists.values()), default=1))
        lists.update({key: lists[key] + lists[key][-1:] * (count - len(lists[key])) for key in endless})
        short: dict[str, Broken] = {}
        for key, items in lists.items():
            if not items:
                fault = f"{key!r} is an empty list; a network has at least one stage"
                sections.gap(entries[key], fault)
                short[key] = Broken((entries[key].line, entries[key].column), fault)
            elif len(items) < count:
                found = f"{len(items)} {'entry' if len(items) == 1 else 'entries'}"
                longest = next(name for name, others in lists.items() if len(others) >= count)
                message = f"stage {len(items) + 1} has no {key}: {key!r} has {found}, {longest!r} has {count}"
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
        """Return an entry; report a list of numbers in another form, and return it as a list."""
        found = foreign_sections.split_list(entry)
        if found is None:
            return entry
        message, new = found
        self.sections.problems.add(entry, f"{message}; write {new}", edit_of(self.sections.problems.text, entry, new))
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

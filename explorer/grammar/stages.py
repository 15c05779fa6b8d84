"""``stages`` and ``shortcut``: what each stage draws, from entries for all stages, lists, or a list of mappings."""

from __future__ import annotations

from typing import NamedTuple

from explorer.errors import did_you_mean
from explorer.grammar.names import find_op
from explorer.grammar.reading import Reading
from explorer.grammar.space import ShortcutRule, StageRule
from explorer.grammar.syntax import Mapping, Node, Scalar, Sequence
from explorer.grammar.tree import Broken, Group, Item, Number, OpItem, Value

STAGE_KEYS = ("blocks", "width", "stride", "dilation", "block", "first", "shortcut")
STAGE_NUMBERS = {"blocks": None, "width": None, "stride": 1, "dilation": 1}  # with what they are when left out
SHORTCUT_KEYS = ("same", "changed", "from")
SOURCES = ("input", "preact")
MAX_STAGES = 64

Shortcuts = dict[str, ShortcutRule]


def default_shortcuts() -> Shortcuts:
    """The identity where a block keeps its shape, ``conv1x1 bn`` where it does not."""
    projection = tuple(OpItem(*find_op(name), (), (1, 1)) for name in ("conv1x1", "bn"))
    return {"": ShortcutRule(Group(()), Group(projection), "input")}


def read_shortcuts(
    reading: Reading, node: Node | None, base: Shortcuts, owner: str = "shortcut", least: str = "network"
) -> Shortcuts:
    """Rule name -> shortcut, the general one under ''. What is not said is taken over from the general one."""
    if node is None:
        return base
    keys = ", ".join(SHORTCUT_KEYS)
    if not isinstance(node, Mapping):
        reading.gap(node, f"{owner} must be a mapping with the keys {keys}, or names of rules")
        return base
    out = dict(base)
    own = [(key, value) for key, value in node.items if key.text in SHORTCUT_KEYS]
    out[""] = _shortcut(reading, own, base[""], owner, least)
    for key, value in node.items:
        if key.text in SHORTCUT_KEYS:
            continue
        if key.text not in reading.names.rules:
            near = did_you_mean(key.text, [*SHORTCUT_KEYS, *reading.names.rules])
            message = f"unknown key {key.text[:64]!r} in {owner}; it takes {keys} and names of rules{near}"
            reading.gap(key, message)
        elif not isinstance(value, Mapping):
            reading.gap(value, f"{owner} of {key.text!r} must be a mapping with the keys {keys}")
        else:
            for part, _ in value.items:
                if part.text not in SHORTCUT_KEYS:
                    near = did_you_mean(part.text, SHORTCUT_KEYS)
                    message = f"unknown key {part.text[:64]!r} in {owner} of {key.text!r}; it takes {keys}{near}"
                    reading.gap(part, message)
            known = [(part, entry) for part, entry in value.items if part.text in SHORTCUT_KEYS]
            out[key.text] = _shortcut(reading, known, out[""], f"{owner}.{key.text}", least)
    return out


def _shortcut(reading: Reading, entries, base: ShortcutRule, owner: str, least: str) -> ShortcutRule:
    parts = {"same": base.same, "changed": base.changed, "from": base.source}
    for key, value in entries:
        if key.text == "from":
            text = value.text if isinstance(value, Scalar) else ""
            if text not in SOURCES:
                message = f"'from' is {' or '.join(SOURCES)}, found {text[:40]!r}{did_you_mean(text, SOURCES)}"
                reading.gap(value, message)
            parts["from"] = text
        elif isinstance(value, Scalar) and value.text.strip() == "none":
            parts[key.text] = None
        else:
            parts[key.text] = reading.expression(value, f"{owner}.{key.text}", least=least)
    return ShortcutRule(parts["same"], parts["changed"], parts["from"])


class _Row(NamedTuple):
    """One stage's entries; ``shared`` names those that stand for all stages, ``lacking`` those whose list ends
    before this stage."""

    place: tuple[int, int]
    entries: dict[str, Node]
    shared: frozenset[str] = frozenset()
    lacking: dict[str, Broken] = {}


def read_stages(reading: Reading, node: Node | None, block: Item | None, shortcuts: Shortcuts) -> tuple[StageRule, ...]:
    """The stages, each with what it does not say itself taken over from ``block`` and ``shortcuts``."""
    if node is None:
        return ()
    common: dict[str, Item | Value | Shortcuts | None] = {}
    rows = enumerate(_rows(reading, node), 1)
    return tuple(_stage(reading, number, row, common, block, shortcuts) for number, row in rows)


def _stage(
    reading: Reading, number: int, row: _Row, common: dict, block: Item | None, shortcuts: Shortcuts
) -> StageRule:
    """Stage ``number``. ``common``: the entries for all stages, read once; one of a stage alone is a scope of it."""

    def entry(key: str):
        numeric = key in STAGE_NUMBERS
        owner = f"stages.{key}" if numeric else key
        if key not in row.shared:
            return reading.expression(row.entries[key], owner, numeric=numeric, least="stage")
        if key not in common:
            common[key] = reading.expression(row.entries[key], owner, numeric=numeric)
        return common[key]

    numbers = []
    for key, default in STAGE_NUMBERS.items():
        if key in row.entries:
            numbers.append(entry(key))
        elif key in row.lacking or default is not None:
            numbers.append(row.lacking.get(key) or Number(default))
        else:
            numbers.append(Broken(row.place, f"stage {number} has no {key}"))
            reading.problems.add(row.place, numbers[-1].message)
    own = entry("block") if "block" in row.entries else block
    first = entry("first") if "first" in row.entries else own
    if "shortcut" not in row.shared:
        of_stage = read_shortcuts(reading, row.entries.get("shortcut"), shortcuts, least="stage")
    else:
        if "shortcut" not in common:
            common["shortcut"] = read_shortcuts(reading, row.entries["shortcut"], shortcuts)
        of_stage = common["shortcut"]
    return StageRule(*numbers, own, first, of_stage, row.place)


def _rows(reading: Reading, node: Node) -> list[_Row]:
    problems = reading.problems

    def bounded(count: int) -> int:
        if count > MAX_STAGES:
            reading.gap(node, f"{count:,} stages; at most {MAX_STAGES} may stand")
        return min(count, MAX_STAGES)

    if isinstance(node, Sequence):
        if not node.items:
            reading.gap(node, "stages is empty; a network has at least one stage")
        items = node.items[: bounded(len(node.items))]
        return [_Row((item.line, item.column), reading.mapping(item, "a stage", STAGE_KEYS)) for item in items]
    entries = reading.mapping(node, "stages", STAGE_KEYS)
    lists = {key: value.items for key, value in entries.items() if isinstance(value, Sequence)}
    shared = frozenset(entries) - frozenset(lists)
    count = bounded(max((len(items) for items in lists.values()), default=1))
    short: dict[str, Broken] = {}
    for key, items in lists.items():
        if not items:
            reading.gap(entries[key], f"{key!r} lists nothing; a network has at least one stage")
        elif len(items) < count:
            message = f"stage {len(items) + 1} has no {key}: {key!r} lists {len(items)} entries for {count} stages"
            problems.add(entries[key], message)
            if STAGE_NUMBERS.get(key, 1) is None:
                short[key] = Broken((entries[key].line, entries[key].column), message)
    rows = []
    for k in range(count):
        own = {key: items[k] for key, items in lists.items() if k < len(items)}
        lacking = {key: fault for key, fault in short.items() if key not in own}
        rows.append(_Row((node.line, node.column), {**{key: entries[key] for key in shared}, **own}, shared, lacking))
    return rows

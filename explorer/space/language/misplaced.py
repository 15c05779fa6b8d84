"""Keys in another place of a file: sections under a key around all, rules and numbers without indentation, sections
among the rules, and numbers of stages beside ``stages``.

What is reported is moved to its place, so that it has one error.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from explorer.errors import Edit
from explorer.space.language.foreign import keys as foreign_keys
from explorer.space.language.foreign.words import plain
from explorer.space.language.stages import STAGE_NUMBERS
from explorer.space.language.yaml import Entry, Mapping, Problems, Scalar, Sequence

WITH_KEYS = ("stages", "shortcut", "grammar", "vary", "limits")  # sections that are mappings
OPTIONAL = ("shortcut", "grammar", "vary", "where", "limits", "allow")
Items = list[tuple[Scalar, Entry]]


def in_place(root: Mapping, problems: Problems, sections: Collection[str], required: Collection[str]) -> Mapping:
    """Return the mapping of a file with its keys in their places, and report those that were in another one.

    Args:
        root: The mapping.
        problems: Receives the errors.
        sections: The keys of a space.
        required: The keys that every space has.
    """
    root = _without_wrapper(root, problems, sections, required)
    items = _indented(root, problems, sections)
    items = _out_of_grammar(items, problems, sections)
    return replace(root, items=tuple(_into_stages(items, problems, sections)))


def _without_wrapper(
    root: Mapping, problems: Problems, sections: Collection[str], required: Collection[str]
) -> Mapping:
    """Return the mapping under a key such as ``space`` that is around all sections."""
    for key, value in root.items:
        if key.text in sections or not isinstance(value, Mapping):
            continue
        if sum(inner.text in required for inner, _ in value.items) > 1:
            message = f"the key {key.text[:80]!r} is around the sections; write them without it and without indentation"
            problems.add(key, message)
            return value
    return root


def _indented(root: Mapping, problems: Problems, sections: Collection[str]) -> Items:
    """Return the items with keys that follow an empty section, such as ``grammar:``, in it."""
    found: Items = []
    section: tuple[Scalar, Items] | None = None
    for key, value in root.items:
        if section and key.text not in sections and not root.in_flow:
            message = f"the key {key.text[:80]!r} belongs to {section[0].text!r} above it; indent it"
            problems.add(key, message, Edit(key.span[0], key.span[0], "  "))
            section[1].append((key, value))
            continue
        if section and section[1]:
            found[-1] = section[0], _mapping(section[0], section[1])
        found.append((key, value))
        section = (key, []) if _is_empty(value) and key.text in WITH_KEYS else None
    if section and section[1]:
        found[-1] = section[0], _mapping(section[0], section[1])
    for key, value in found:
        if _is_empty(value) and key.text in OPTIONAL:
            problems.add(key, f"{key.text!r} is empty; remove it, or write its entries below it, indented")
    return [(key, value) for key, value in found if not (_is_empty(value) and key.text in OPTIONAL)]


def _is_empty(value: Entry) -> bool:
    return isinstance(value, Scalar) and not value.text


def _out_of_grammar(items: Items, problems: Problems, sections: Collection[str]) -> Items:
    """Return the items with sections that are among the rules beside them."""
    present = {key.text for key, _ in items}
    found: Items = []
    moved: Items = []
    for key, value in items:
        if key.text == "grammar" and isinstance(value, Mapping):
            rules = [pair for pair in value.items if pair[0].text in present or not _is_section(*pair, sections)]
            moved += [pair for pair in value.items if pair not in rules]
            value = replace(value, items=tuple(rules))
        found.append((key, value))
    for key, _ in moved:
        start = problems.text.rfind("\n", 0, key.span[0]) + 1
        before = problems.text[start : key.span[0]]
        message = f"{key.text!r} is a section, not a rule of the grammar; write it without indentation"
        problems.add(key, message, *([Edit(start, key.span[0], "")] if not before.strip() else []))
    return found + moved


def _is_section(key: Scalar, value: Entry, sections: Collection[str]) -> bool:
    """Whether an entry of the grammar is a section: it has the name of one, and its value is no expression."""
    if key.text not in sections:
        return False
    if key.text == "where":
        return not isinstance(value, Mapping) and re.search(r"[<>=!]=|[<>]", _text(value)) is not None
    return isinstance(value, Mapping) and key.text in WITH_KEYS


def _text(entry: Entry) -> str:
    if isinstance(entry, Sequence):
        return " ".join(map(_text, entry.items))
    return entry.text if isinstance(entry, Scalar) else ""


def _into_stages(items: Items, problems: Problems, sections: Collection[str]) -> Items:
    """Return the items with numbers of stages, such as ``width``, in the section ``stages``."""
    stages = next((value for key, value in items if key.text == "stages"), None)
    if stages is not None and not isinstance(stages, Mapping):
        return items
    inside: Items = [] if stages is None else list(stages.items)
    present = {key.text for key, _ in inside}
    found: Items = []
    for key, value in items:
        name = _number_of_stages(key, value)
        if key.text in sections or not name or name in present:
            found.append((key, value))
            continue
        written = problems.text[slice(*value.span)].strip()
        problems.add(key, f"unknown key {key.text[:80]!r} in a space; write {name}: {written[:60]} under 'stages'")
        inside.append((replace(key, text=name), value))
        present.add(name)
    if len(found) == len(items):
        return items
    if stages is None:
        first = next(key for key, _ in items if key.text not in sections)
        return [*found, (replace(first, text="stages"), _mapping(first, inside))]
    new = replace(stages, items=tuple(inside))
    return [(key, new if key.text == "stages" else value) for key, value in found]


def _number_of_stages(key: Scalar, value: Entry) -> str:
    """Return the number of stages that a key stands for; "" if its value is no number and no list of numbers."""
    name = key.text if key.text in STAGE_NUMBERS else foreign_keys.STAGES.get(plain(key.text), "")
    is_other = plain(key.text) in (foreign_keys.TRAINING | foreign_keys.INPUT_PARTS)
    texts = _text(value).split()
    if name not in STAGE_NUMBERS or is_other or isinstance(value, Mapping) or not texts:
        return ""
    return name if all(re.fullmatch(r"\d+", text) for text in texts) else ""


def _mapping(first: Scalar, items: Items) -> Mapping:
    return Mapping(tuple(items), first.line, first.column, (items[0][0].span[0], items[-1][1].span[1]))

"""Reading the keys of a mapping: unknown keys are reported, and read as the key that they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Table
from typing import NamedTuple

from explorer.errors import Edit, did_you_mean
from explorer.space.language.foreign.keys import INPUT_PARTS, OF_BLOCKS, SHORTCUT_PARTS, TRAINING, meant
from explorer.space.language.foreign.words import plain
from explorer.space.language.source_text import in_yaml
from explorer.space.language.yaml import Entry, Mapping, Problems, Scalar, Sequence


class Keys(NamedTuple):
    """The entries of a mapping.

    Attributes:
        entries: Known key -> its value. A key that is reported counts as the known one that it stands for.
        is_complete: Whether the values of all keys are among them.
    """

    entries: dict[str, Entry]
    is_complete: bool


def read_keys(
    node: Entry, problems: Problems, what: str, known: tuple[str, ...], meanings: Table[str, str] | None = None
) -> Keys:
    """Read a mapping, and report unknown keys and any other entry.

    Args:
        node: The entry that must be a mapping.
        problems: Receives the errors.
        what: What the mapping is, for messages.
        known: The known keys.
        meanings: Keys of other tools -> known key.
    """
    if not isinstance(node, Mapping):
        problems.add(node, f"{what} must be a mapping with the keys {', '.join(known)}")
        return Keys({}, False)
    found: dict[str, Entry] = {key.text: value for key, value in node.items if key.text in known}
    is_complete = True
    lists = dict(_split_lists(node, known))
    for key, value in node.items:
        if key.text in known:
            continue
        if id(key) in lists:
            if (split := lists[id(key)]) is not None:
                message = f"{split.name}: {', '.join(split.texts)}: a list is written {split.name}: {split.written}"
                problems.add(key, message, Edit(*split.span, split.written))
                place = key.line, key.column
                found[split.name] = Sequence(tuple(Scalar(text, *place) for text in split.texts), *place)
            continue
        message = f"unknown key {key.text[:80]!r} in {what}; known keys: {', '.join(known)}"
        if joined := _joined(key, value, known):
            name, text = joined
            message = f"{key.text[:80]!r} in {what}: a key and its value are written {name}: {text}"
            edit = Edit(key.span[0], max(key.span[1], value.span[1]), f"{name}: {in_yaml(text, node.in_flow)}")
            problems.add(key, message, edit)
            found.setdefault(name, Scalar(text, key.line, key.column, places=((key.line, key.column),)))
        elif what == "a space" and plain(key.text) in TRAINING:
            problems.add(key, f"{message}; training and search have options of 'explorer search', not keys of a space")
        elif what in ("stages", "a stage") and (hint := OF_BLOCKS.get(plain(key.text))):
            problems.add(key, f"unknown key {key.text[:80]!r} in {what}; {hint}")
            is_complete = False
        elif what == "a space" and plain(key.text) in INPUT_PARTS:
            has = "'input' has channels, height and width, as in 3x32x32"
            problems.add(key, f"unknown key {key.text[:80]!r} in {what}; {has}")
        elif what == "a space" and (part := SHORTCUT_PARTS.get(plain(key.text))) and "shortcut" not in found:
            text = problems.text[slice(*value.span)].strip()
            edit = Edit(key.span[0], value.span[1], f"shortcut: {{{part}: {text}}}")
            problems.add(key, f"{message}; did you mean 'shortcut'?", edit)
            found["shortcut"] = Mapping(((Scalar(part, key.line, key.column), value),), key.line, key.column)
        elif (name := meant(key.text, known, meanings or {})) and name not in found:
            problems.add(key, f"{message}; did you mean {name!r}?", Edit(*key.span, name))
            found[name] = value
        else:
            problems.add(key, message + did_you_mean(key.text, known))
            is_complete = False
    return Keys(found, is_complete)


class _SplitList(NamedTuple):
    """A list without brackets in braces, ``{width: 16, 32}``, whose later entries YAML reads as keys.

    Attributes:
        name: The key of the list.
        texts: The entries.
        span: Where they are.
    """

    name: str
    texts: list[str]
    span: tuple[int, int]

    @property
    def written(self) -> str:
        """The list in brackets."""
        return f"[{', '.join(self.texts)}]"


def _split_lists(node: Mapping, known: tuple[str, ...]) -> Iterator[tuple[int, _SplitList | None]]:
    """Yield (id of a key that is an entry of a list, the list if the key is its second entry)."""
    first: tuple[str, Scalar] | None = None
    extra: list[Scalar] = []
    for key, value in (*node.items, (Scalar("", 1, 1), Scalar("", 1, 1))):
        if first and key.in_flow and re.fullmatch(r"[0-9][0-9*/.]*", key.text) and _is_empty(value):
            extra.append(key)
            continue
        if first and extra:
            texts = [first[1].text, *(each.text for each in extra)]
            split = _SplitList(first[0], texts, (first[1].span[0], extra[-1].span[1]))
            yield from ((id(each), None if number else split) for number, each in enumerate(extra))
        extra = []
        first = (key.text, value) if key.text in known and isinstance(value, Scalar) else None


def _is_empty(value: Entry) -> bool:
    return isinstance(value, Scalar) and not value.text


def _joined(key: Scalar, value: Entry, known: tuple[str, ...]) -> tuple[str, str] | None:
    """Return key and value of ``key=value`` and ``key:value``, which YAML reads as a key without a value."""
    found = re.fullmatch(r"([A-Za-z_]+)\s*(?:=|:|->)\s*(.+)", key.text)
    if found and found[1] in known and isinstance(value, Scalar) and not value.text:
        return found[1], found[2]
    return None

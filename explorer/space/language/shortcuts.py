"""Reading the section ``shortcut`` of a space file, and that of a stage."""

from __future__ import annotations

from collections.abc import Iterable

from explorer.errors import Edit, did_you_mean
from explorer.networks.ops import registry
from explorer.space.grammar import IDENTITY, Group, OpItem, ShortcutRule
from explorer.space.language.foreign import keys as foreign_keys
from explorer.space.language.foreign import sections as foreign_sections
from explorer.space.language.foreign.entries import as_expression
from explorer.space.language.sections import Sections
from explorer.space.language.yaml import Entry, Mapping, Scalar, edit_of, kind_of

SHORTCUT_KEYS = ("same", "changed", "from")
SOURCES = ("input", "preact")

Shortcuts = dict[str, ShortcutRule]  # rule name -> shortcuts; the general ones under ""


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

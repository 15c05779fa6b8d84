"""The text of a space file: its lines, edits of it, and how a value is written in YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable

from explorer.errors import Edit
from explorer.space.grammar import Place

# A plain scalar cannot begin with these signs, and has neither ": " nor " #".
_NEEDS_QUOTES = re.compile(r"[-?:](?!\S)|[,\[\]{}#&*!|>'\"%@`]|.*(: |:$| #)", re.DOTALL)


def with_plain_line_ends(text: str) -> str:
    """Return a text with the line ends of all systems as ``\\n``, as YAML reads them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def line_column(text: str, offset: int) -> Place:
    """Return line and column, from 1, of the character at an offset."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def line_of(text: str, number: int) -> str:
    """Return a line by its number, from 1; empty if there is none."""
    lines = text.split("\n", number)
    return lines[number - 1] if number <= len(lines) else ""


def offset_of(text: str, place: Place) -> int:
    """Return the offset of a line and a column."""
    line, column = place
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    return start + column - 1


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with edits that do not overlap; of two that do, the first is kept."""
    out, at = [], 0
    for edit in sorted(edits, key=lambda edit: edit[:2]):
        if edit.start >= at:
            out += [text[at : edit.start], edit.text]
            at = edit.end
    return "".join([*out, text[at:]])


def in_yaml(value: str, in_flow: bool) -> str:
    """Return an expression as a YAML scalar, in quotes if it needs them."""
    if _NEEDS_QUOTES.match(value) or (in_flow and any(sign in value for sign in ",[]{}")):
        return f"'{value}'" if "'" not in value else '"' + value.replace('"', "'") + '"'
    return value

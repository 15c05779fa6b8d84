"""The text of a space file: its lines, edits of it, and how a value is written in YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable

from explorer.errors import Edit
from explorer.space.grammar import Place

BRACKETS = {"(": ")", "[": "]", "{": "}"}
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


def quoted_whole(text: str, start: int) -> tuple[Edit, ...]:
    """Return the edit that quotes the expression at ``start``, which YAML split at a comma inside its brackets."""
    depth, at = 0, start
    while at < len(text) and text[at] != "\n":
        if text[at] in BRACKETS:
            depth += 1
        elif text[at] in BRACKETS.values() or text[at] == ",":
            if depth == 0:
                break
            depth -= text[at] != ","
        at += 1
    value = text[start:at].rstrip()
    return (Edit(start, start + len(value), in_yaml(value, True)),) if depth == 0 else ()


def unambiguous(value: str, start: int, text: str) -> tuple[Edit, ...]:
    """Return the edit that writes an ambiguous value of ``text`` otherwise; nothing for a word that has no equal."""
    new = ""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    if number := re.search(r"\d{1,3}(?:,\d{3})*,$", before):
        end = re.compile(r"[\d,]*\d").match(text, start)
        if end is not None and re.fullmatch(r"\d{3}(,\d{3})*", end[0]):
            first = start - len(number[0])
            return (Edit(first, end.end(), re.sub(",", "", text[first : end.end()])),)
    if re.search(r"\b(strides?|downsampl\w*|subsample)\s*:\s*\[?[^\]{}:]*$", before):
        new = {"true": "2", "yes": "2", "on": "2", "false": "1", "no": "1", "off": "1"}.get(value.lower(), "")
    elif re.fullmatch(r"0[0-9]+", value):
        new = value.lstrip("0") or "0"
    elif re.fullmatch(r"[0-9.]+e[0-9]+", value):
        new = f"{float(value):.12g}"
    elif ":" in value:
        new = f"'{value}'"
    elif value.lower() in ("~", "null", "no", "off", "false"):
        new = "none"
    elif value.lower() in ("true", "yes", "on"):
        new = f"'{value}'"
    return (Edit(start, start + len(value), new),) if new else ()

"""A text that may be foreign as lexemes with their brackets, and what detectors find in it."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple

from explorer.errors import Edit
from explorer.networks.ops import registry
from explorer.space.language.foreign.words import LAYERS, plain
from explorer.space.language.names import VARIABLES, find_op, is_known

_LEXEME = re.compile(
    r"(?P<name>\d{1,2}x\d{1,2}(?![\w.])|\d{1,2}x\d{1,2}[_-]?(?=[A-Za-z])[A-Za-z_]\w*|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
    r"|(?P<number>\d+(?:\.(?!\.)\d+)?(?:[eE][+-]?\d{1,2})?(?![\w])|\d+(?:\.(?!\.)\d+)?)"
    r"|(?P<sign>\+=|->|=>|>>|\|>|→|⇒|\|\||&&|//|\*\*|::=|\.\.\.?|…|.)"
)
OPENING = {"(": ")", "[": "]", "{": "}"}


class Finding(NamedTuple):
    """Something foreign in a text.

    Attributes:
        offset: Its offset, in characters from 0.
        message: What was found, and what the language writes.
        edits: Edits that write it in the language; none if it cannot be written.
    """

    offset: int
    message: str
    edits: tuple[Edit, ...] = ()


class Lexeme(NamedTuple):
    """A name, a number or a sign."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Scan:
    """A text as lexemes.

    Attributes:
        text: The text.
        home: Where it is: ``layers`` (a section of layers), ``number`` (a number of a stage) or ``rule``.
        rules: The names of the file's rules.
        lexemes: The lexemes in order.
        partner: Index of a bracket -> index of its partner.
        outer: For each lexeme the index of the bracket around it, -1 for none.
    """

    text: str
    home: str
    rules: Container[str]
    lexemes: tuple[Lexeme, ...] = field(init=False)
    partner: dict[int, int] = field(init=False)
    outer: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        found = [
            Lexeme(match.lastgroup or "", match[0], match.start(), match.end())
            for match in _LEXEME.finditer(self.text)
            if not match[0].isspace()
        ]
        partner: dict[int, int] = {}
        outer: list[int] = []
        pending: list[int] = []
        for index, lexeme in enumerate(found):
            if lexeme.text in OPENING.values() and pending:
                opening = pending.pop()
                partner[opening], partner[index] = index, opening
            outer.append(pending[-1] if pending else -1)
            if lexeme.text in OPENING:
                pending.append(index)
        object.__setattr__(self, "lexemes", tuple(found))
        object.__setattr__(self, "partner", partner)
        object.__setattr__(self, "outer", tuple(outer))

    def at(self, index: int) -> Lexeme:
        """Return a lexeme; an empty one outside of the text."""
        if 0 <= index < len(self.lexemes):
            return self.lexemes[index]
        return Lexeme("end", "", len(self.text), len(self.text))

    def touches(self, index: int) -> bool:
        """Whether a lexeme follows the one before it without a blank."""
        return index > 0 and self.at(index - 1).end == self.at(index).start

    def caller(self, bracket: int) -> Lexeme | None:
        """Return the name whose arguments a bracket opens; None for a group."""
        if bracket >= 0 and self.touches(bracket) and self.at(bracket - 1).kind == "name":
            return self.at(bracket - 1)
        return None

    def in_arguments(self, index: int) -> bool:
        """Whether a lexeme is among the arguments of a name."""
        bracket = self.outer[index]
        while bracket >= 0:
            if self.caller(bracket) is not None:
                return True
            bracket = self.outer[bracket]
        return False

    def is_layer(self, index: int) -> bool:
        """Whether a lexeme is the name of a layer, in the language or elsewhere, or a group that has one."""
        lexeme = self.at(index)
        if lexeme.kind == "name":
            return is_layer_name(lexeme.text, self.rules)
        if index in self.partner:
            first, last = sorted((index, self.partner[index]))
            return any(self.is_layer(k) for k in range(first + 1, last) if self.at(k).kind == "name")
        return False

    def knows(self, name: str) -> bool:
        """Whether a name is a rule or a layer of the language."""
        return name in self.rules or is_known(name)

    def parts(self, first: int, last: int, separators: Container[str]) -> list[str]:
        """Return the texts between separators among the lexemes first..last, outside of brackets in them."""
        parts, start, index = [], self.at(first).start, first
        while index <= last:
            if self.partner.get(index, -1) > index:
                index = self.partner[index]
            elif self.at(index).text in separators:
                parts.append(self.text[start : self.at(index).start])
                start = self.at(index).end
            index += 1
        parts.append(self.text[start : self.at(last).end])
        return [" ".join(part.split()) for part in parts if part.strip()]


def is_layer_name(name: str, rules: Container[str]) -> bool:
    """Whether a name is a layer, in the language or elsewhere. The names of rules are not."""
    if name in rules or name in VARIABLES:
        return False
    return is_known(name) or base_layer(name) is not None


def base_layer(name: str) -> str | None:
    """Return the spelling of the op that a foreign name stands for, without its size; None for none."""
    spelling = LAYERS.get(plain(name))
    if spelling is None:
        spelling = LAYERS.get(re.sub(r"\d{1,2}(x\d{1,2})?", "", plain(name), count=1))
    return spelling


def role(part: str, rules: Container[str]) -> str:
    """Return the role of one layer, such as ``activation``; ``number`` for a number, "" for anything else."""
    if re.fullmatch(r"[-+]?[\d./*% ]+", part):
        return "number"
    name = re.match(r"[A-Za-z_][\w.]*", part)
    if name is None or re.fullmatch(r"[\w.]+(\(.*\))?\??", part) is None:
        return ""
    if name[0] in rules:
        return "rule"
    try:
        found = find_op(name[0])
    except ValueError:
        return ""
    spelling = found[0].spelling if found else base_layer(name[0])
    if spelling in ("none", None):
        return spelling or ""
    op = registry.by_spelling.get(spelling)
    return op.role if op else ""


def joined(parts: list[str], home: str, rules: Container[str]) -> str:
    """Return parts of a list as an expression: alternatives if they can replace each other, else a sequence."""
    return (" | " if are_alternatives(parts, home, rules) else " ").join(parts)


def are_alternatives(parts: list[str], home: str, rules: Container[str]) -> bool:
    """Whether layers or numbers can replace each other: numbers, layers of one role, or the parts of a rule."""
    roles = {role(part, rules) for part in parts} - {"none", "rule"}
    if "" in roles or "+" in parts:
        return home == "rule" and all(len(part.split()) > 1 for part in parts)
    if not roles or home == "rule":
        return len(roles) < 2
    return len(roles) < 2 and (roles != {"conv"} or "none" in {role(part, rules) for part in parts})

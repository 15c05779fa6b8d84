"""The words and signs of the expression language, and the faults that end the reading of one expression."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple


class Token(NamedTuple):
    kind: str  # number, name, end, or the sign itself
    text: str
    offset: int


_TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?(?![\w.]))|(?P<name>[A-Za-z][A-Za-z0-9_]*)|(?P<sign>[-+*/(){}|?=,])",
    re.ASCII,
)
_HYPHENATED = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORD = re.compile(r"[\w.]{1,64}|.")


class ExpressionError(Exception):
    """A fault that ends the reading of one expression; caught by ``parse_expression``."""

    def __init__(self, offset: int, message: str):
        super().__init__(message)
        self.offset = offset


class NumberError(ExpressionError):
    """A number that cannot be, in what reads as a value all the same."""


class TooMuch(ExpressionError):
    """More text than one file may hold; nothing is read after it."""


def tokens(text: str, rules: Container[str] = ()) -> list[Token]:
    """The tokens of ``text`` with an end token. A word with minus signs is one name where a rule is called so."""
    found, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if (word := _HYPHENATED.match(text, at)) and "-" in word[0] and word[0] in rules:
            found.append(Token("name", word[0], at))
            at = word.end()
            continue
        match = _TOKEN.match(text, at)
        if not match:
            word = _WORD.match(text, at)[0]
            raise ExpressionError(
                at, f"{word[:40]!r} is neither a name nor a number nor one of + - * / ( ) {{ }} | ? = ,"
            )
        kind = match.lastgroup
        if kind == "number" and len(match[0]) > 18:
            raise ExpressionError(at, f"a number of {len(match[0])} characters; at most 18 may stand")
        found.append(Token(match[0] if kind == "sign" else kind, match[0], at))
        at = match.end()
    found.append(Token("end", "", len(text)))
    return found

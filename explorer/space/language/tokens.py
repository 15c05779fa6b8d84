"""The tokens of the expression language, and a cursor that reads them and reports errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import NamedTuple

from explorer.errors import Edit
from explorer.space.grammar import Broken, Place
from explorer.space.language.names import Names

MAX_NESTING = 32
MAX_TOKENS = 50_000  # tokens and alternatives in all expressions of a file
MAX_DIGITS = 18

_TOKEN = re.compile(
    r"(?P<size>\d{1,4}x\d{1,4}(?![\w.]))|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?(?![\w.]))|(?P<name>[A-Za-z][A-Za-z0-9_]*)|(?P<sign>\*\*|//|\.\.\.|[-+*/(){}|?=,;])",
    re.ASCII,
)
_HYPHENATED = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORD = re.compile(r"[\w.]{1,64}|.")


class ExpressionError(Exception):
    """An error that ends the parsing of one expression.

    Attributes:
        offset: Offset in the expression, in characters from 0.
        edits: Edits of the expression that may fix it.
    """

    def __init__(self, offset: int, message: str, *edits: Edit):
        super().__init__(message)
        self.offset = offset
        self.edits = edits


class NumberError(ExpressionError):
    """An invalid number. The expression still counts as a value, not as layers."""


class TooManyTokens(ExpressionError):
    """The file has too many tokens. Parsing of the file ends."""


class Token(NamedTuple):
    """One token. ``kind`` is ``number``, ``size`` (``2x1``), ``name``, ``end`` or the sign itself."""

    kind: str
    text: str
    offset: int


def tokens(text: str, rules: Container[str] = ()) -> list[Token]:
    """Split ``text`` into tokens; the last one is an end token.

    Args:
        text: The expression.
        rules: The names of rules. A word with minus signs is one name if a rule has that name.

    Raises:
        ExpressionError: For an invalid character or number.
    """
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
            unknown = _WORD.match(text, at)
            raise ExpressionError(
                at,
                f"{(unknown[0] if unknown else text[at])[:40]!r} is neither a name nor a number nor one of"
                " + - * / ( ) { } | ? = , ;",
            )
        kind, spelled = match.lastgroup or "", match[0]
        if kind == "number" and len(spelled) > MAX_DIGITS:
            raise ExpressionError(at, f"a number of {len(spelled)} characters; at most {MAX_DIGITS} are allowed")
        found.append(Token(spelled if kind == "sign" else kind, spelled, at))
        at = match.end()
    found.append(Token("end", "", len(text)))
    return found


class Cursor:
    """A position among the tokens of one expression.

    Args:
        text: The expression.
        names: The names of this file.
        place: Returns line and column of an offset in the expression.
        faults: Receives the errors after which parsing can continue, so that one pass finds them. Other errors raise
            ExpressionError.
    """

    def __init__(self, text: str, names: Names, place: Callable[[int], Place], faults: list[Broken] | None):
        self.text = text
        self.names = names
        self.place = place
        self.faults: list[Broken] = [] if faults is None else faults
        self.depth = 0
        self.at = 0
        self.count_tokens(0, 0)
        self.tokens = tokens(text, names.rules)
        self.count_tokens(len(self.tokens), 0)

    def count_tokens(self, amount: int, offset: int) -> None:
        """Count tokens and alternatives against the limit of the file. Raises TooManyTokens."""
        self.names.tokens_read += amount
        if self.names.tokens_read > MAX_TOKENS:
            raise TooManyTokens(
                offset, f"the file's expressions have more than {MAX_TOKENS:,} words, signs and alternatives"
            )

    @property
    def now(self) -> Token:
        """The next token."""
        return self.tokens[self.at]

    @property
    def last(self) -> Token:
        """The token that was read last."""
        return self.tokens[self.at - 1]

    def take(self, *kinds: str) -> Token | None:
        """Read the next token if it is of one of these kinds."""
        if self.now.kind in kinds:
            self.at += 1
            return self.last
        return None

    def need(self, kind: str, expected: str) -> Token:
        """Read a token of this kind. Raises ExpressionError with ``expected`` for any other."""
        token = self.take(kind)
        if token is None:
            found = "the end" if self.now.kind == "end" else repr(self.now.text)
            raise ExpressionError(self.now.offset, f"found {found}, expected {expected}")
        return token

    def spelled(self, start: int, end: int) -> str:
        """Return the text between two offsets, with single blanks."""
        return " ".join(self.text[start:end].split())

    def fault(self, offset: int, message: str, *edits: Edit) -> Broken:
        """Record an error, skip the arguments of its part, and return a replacement to continue with."""
        if self.adjacent_bracket():
            self.skip_brackets()
        made = Broken(self.place(offset), message, edits)
        self.faults.append(made)
        return made

    def deeper(self, offset: int) -> None:
        """Count one level of nesting. Raises ExpressionError beyond the limit."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ExpressionError(offset, f"brackets nested deeper than {MAX_NESTING}")

    def context(self, offset: int) -> str:
        """Return `` in conv3x3(d=dill)``: the text around an error, with whole brackets."""
        start, end = self._blank_before(offset), self._blank_after(offset)
        while start > 0 and self.text.count(")", start, end) > self.text.count("(", start, end):
            start = self._blank_before(start - 1)
        while end < len(self.text) and self.text.count("(", start, end) > self.text.count(")", start, end):
            end = self._blank_after(end + 1)
        piece = self.text[start:end].strip()
        return f" in {piece[:60]}" if len(piece) > len(self.last.text) else ""

    def _blank_before(self, offset: int) -> int:
        return max(self.text.rfind(" ", 0, offset), self.text.rfind("|", 0, offset)) + 1

    def _blank_after(self, offset: int) -> int:
        end = self.text.find(" ", offset)
        return end if end >= 0 else len(self.text)

    def adjacent_bracket(self) -> bool:
        """Whether a bracket follows the last token without a blank: the arguments of a name."""
        return self.now.kind == "(" and self.now.offset == self.last.offset + len(self.last.text)

    def skip_brackets(self) -> None:
        """Skip from an opening bracket to the token after the closing one."""
        depth = 0
        while self.now.kind != "end":
            depth += {"(": 1, ")": -1}.get(self.now.kind, 0)
            self.at += 1
            if depth == 0:
                return

    def skip_value(self) -> None:
        """Skip the rest of an argument and the comma after it."""
        depth = 0
        while self.now.kind != "end":
            if depth == 0 and (self.now.kind == ")" or self.take(",")):
                return
            depth += {"(": 1, ")": -1}.get(self.now.kind, 0)
            self.at += 1

"""Reading the tokens of one expression, and saying where it went wrong."""

from __future__ import annotations

from collections.abc import Callable

from explorer.grammar.names import Names
from explorer.grammar.tokens import ExpressionError, Token, TooMuch, tokens
from explorer.grammar.tree import Broken, Place

MAX_NESTING = 32
MAX_SPENT = 50_000


class Cursor:
    """A place among the tokens of one expression. A fault behind which reading can go on is put into ``faults``, so
    that one reading finds them all; any other raises ExpressionError."""

    def __init__(self, text: str, names: Names, place: Callable[[int], Place], faults: list[Broken] | None):
        self.text = text
        self.names = names
        self.place = place
        self.faults: list[Broken] = [] if faults is None else faults
        self.depth = 0
        self.at = 0
        self.spend(0, 0)
        self.tokens = tokens(text, names.rules)
        self.spend(len(self.tokens), 0)

    def spend(self, amount: int, offset: int) -> None:
        self.names.spent += amount
        if self.names.spent > MAX_SPENT:
            raise TooMuch(offset, f"the file's expressions hold more than {MAX_SPENT:,} words, signs and alternatives")

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    def take(self, *kinds: str) -> Token | None:
        if self.now.kind in kinds:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def need(self, kind: str, expected: str) -> Token:
        token = self.take(kind)
        if token is None:
            found = "the end" if self.now.kind == "end" else repr(self.now.text)
            raise ExpressionError(self.now.offset, f"found {found}, expected {expected}")
        return token

    def spelled(self, start: int, end: int) -> str:
        """What stands between two offsets, with single blanks."""
        return " ".join(self.text[start:end].split())

    def fault(self, offset: int, message: str) -> Broken:
        """What stands for a part with a fault that does not end the reading; its arguments are passed over."""
        if self.adjacent_bracket():
            self.skip_brackets()
        made = Broken(self.place(offset), message)
        self.faults.append(made)
        return made

    def deeper(self, offset: int) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ExpressionError(offset, f"brackets nested deeper than {MAX_NESTING}")

    def context(self, offset: int) -> str:
        """`` in conv3x3(d=dill)``: the piece of text around a fault, its brackets whole."""
        start, end = self._blank_before(offset), self._blank_after(offset)
        while start > 0 and self.text.count(")", start, end) > self.text.count("(", start, end):
            start = self._blank_before(start - 1)
        while end < len(self.text) and self.text.count("(", start, end) > self.text.count(")", start, end):
            end = self._blank_after(end + 1)
        piece = self.text[start:end].strip()
        return f" in {piece[:60]}" if len(piece) > len(self.tokens[self.at - 1].text) else ""

    def _blank_before(self, offset: int) -> int:
        return max(self.text.rfind(" ", 0, offset), self.text.rfind("|", 0, offset)) + 1

    def _blank_after(self, offset: int) -> int:
        end = self.text.find(" ", offset)
        return end if end >= 0 else len(self.text)

    def adjacent_bracket(self) -> bool:
        previous = self.tokens[self.at - 1]
        return self.now.kind == "(" and self.now.offset == previous.offset + len(previous.text)

    def skip_brackets(self) -> None:
        depth = 0
        while self.now.kind != "end":
            depth += {"(": 1, ")": -1}.get(self.now.kind, 0)
            self.at += 1
            if depth == 0:
                return

    def skip_value(self) -> None:
        """Pass over the rest of an argument, and the comma behind it."""
        depth = 0
        while self.now.kind != "end":
            if depth == 0 and (self.now.kind == ")" or self.take(",")):
                return
            depth += {"(": 1, ")": -1}.get(self.now.kind, 0)
            self.at += 1

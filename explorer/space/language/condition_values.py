"""Parser of the numbers in conditions, and of their tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from explorer.errors import Edit
from explorer.space.condition import Computed, Constant, Named, Value
from explorer.space.conditions.names import Meaning, Meanings
from explorer.space.language.condition_names import check_place, resolve
from explorer.space.language.tokens import MAX_NESTING, ExpressionError
from explorer.space.language.yaml import Scalar

_FUNCTIONS = {
    "max": 0,
    "min": 0,
    "round": 2,
    "ceil": 1,
    "floor": 1,
    "log2": 1,
    "sqrt": 1,
}  # the number of values; 0: two or more
_WORDS = ("and", "or", "not", "implies", "divides")
# Signs of other languages -> how they are written here.
_FOREIGN = {"=": "==", "≤": "<=", "≥": ">=", "≠": "!=", "&&": "and", "||": "or", "!": "not", "=<": "<=", "=>": ">="}
_FOREIGN |= {"&": "and", "|": "or", "->": "implies"}
_EQUAL = ("is", "equals", "eq")
_COMPARED = re.compile(r"[=!<>]=|[<>]|\b(?:divides|in)\b")
_TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?![\w.]))"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*(?:@[A-Za-z0-9.]*)?)"
    r"|(?P<sign>==|!=|<=|>=|=<|=>|<>|&&|\|\||->|\*\*|//|[-<>+*/(),=≤≥≠!&|])",
    re.ASCII,
)


class ValueParser:
    """Recursive descent parser of one number. Its errors are ExpressionError, with an offset in the text."""

    def __init__(self, entry: Scalar, meanings: Meanings):
        self.entry, self.text, self.meanings = entry, entry.text, meanings
        self.at = 0
        self.depth = 0

    def token(self) -> tuple[str, str, int]:
        """Return kind, text and offset of the next token: ``number``, ``name``, ``sign``, ``word`` or ``end``."""
        start = self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
        if start == len(self.text):
            return "end", "the end", start
        match = _TOKEN.match(self.text, start)
        if match is None:
            found = self.text[start]
            raise self._no_sign(found, start)
        kind, text = match.lastgroup or "", match[0]
        if text in ("|", "or", "<>") and (meant := self._other_sign(text, start)):
            raise meant
        if kind == "sign" and text in _FOREIGN:
            new = "implies" if text == "=>" and self._is_compared(start) else _FOREIGN[text]
            blank = "" if self.text[match.end() : match.end() + 1] == " " else " "
            before = "" if not start or self.text[start - 1] in " (" else " "
            edit = Edit(start, match.end(), f"{before}{new}{blank}" if new.isalpha() else new)
            raise ExpressionError(start, f"found {text!r}; write {new!r}", edit)
        if kind == "name" and text.lower() in _WORDS:
            if text not in _WORDS:
                edit = Edit(start, start + len(text), text.lower())
                raise ExpressionError(start, f"found {text!r}; write {text.lower()!r}", edit)
            kind = "word"
        if text == "is" and (negated := re.match(r"is\s+not\b", self.text[start:])):
            raise ExpressionError(start, "found 'is not'; write '!='", Edit(start, start + negated.end(), "!="))
        if kind == "name" and text in _EQUAL and text not in self.meanings.grammar.rules:
            raise ExpressionError(start, f"found {text!r}; write '=='", Edit(start, match.end(), "=="))
        name = text.split("@")[0]
        if kind == "name" and text in ("if", "then") and text not in self.meanings.grammar.rules:
            raise ExpressionError(start, "'if a then b' is written 'a implies b'", *self._implied(start))
        if kind == "name" and "-" in text and name not in {**self.meanings.points, **self.meanings.grammar.rules}:
            text = text[: text.index("-")]  # a difference, unless it is the name of a rule
        return kind, text, start

    def _other_sign(self, text: str, start: int) -> ExpressionError | None:
        """Return the error for ``a == x | y``, ``a == x or y`` with alternatives, ``16 | w`` and ``a <> b``."""
        if text == "<>":
            return ExpressionError(start, "found '<>'; write '!='", Edit(start, start + 2, "!="))
        if listed := re.search(r"([\w@.-]+)\s*==\s*([\w-]+(?:\s*(?:\||\bor\b)\s*[\w-]+)+)\s*$", self.text):
            options = re.split(r"\s*(?:\||\bor\b)\s*", listed[2])
            names = {**self.meanings.points, **self.meanings.grammar.rules}
            if listed.start(2) < start and not any(option in names for option in options):
                new = f"{listed[1]} in ({', '.join(options)})"
                message = f"found {text!r} between alternatives; write {new!r}"
                return ExpressionError(start, message, Edit(listed.start(), listed.end(), new))
        divides = re.match(r"\s*(\d+)\s*$", self.text[:start])
        if text == "|" and divides:
            return ExpressionError(start, "found '|'; write 'divides'", Edit(start, start + 1, "divides"))
        return None

    def _no_sign(self, found: str, start: int) -> ExpressionError:
        """Return the error for a sign that conditions do not have: ``a % b == 0``, ``width[0]``."""
        message = f"{found!r} is no sign of a condition"
        if found == "%":
            rest = re.search(r"([\w@.]+)\s*%\s*([\w@.]+)\s*==\s*0(?![\w.])", self.text)
            edits = [Edit(rest.start(), rest.end(), f"{rest[2]} divides {rest[1]}")] if rest else []
            return ExpressionError(start, f"{message}; write 'b divides a' for a % b == 0", *edits)
        if found == "[" and (index := re.match(r"\[(\d{1,3})\]", self.text[start:])):
            place = f"@stage{int(index[1]) + 1}"
            return ExpressionError(
                start, f"{message}; write {place} for the number of a stage", Edit(start, start + index.end(), place)
            )
        return ExpressionError(start, message)

    def _is_compared(self, end: int) -> bool:
        """Whether the part of the condition that ends here is compared already, so that no comparison follows."""
        part = re.split(r"\b(?:and|or|not|implies)\b|\(", self.text[:end])[-1]
        return _COMPARED.search(part) is not None

    def _implied(self, start: int) -> list[Edit]:
        """Return the edits that write ``if a then b`` as ``a implies b``; none without a ``then``."""
        found = re.match(r"if\s+(.*?)\s+then\b", self.text[start:])
        if found is None:
            return []
        return [Edit(start, start + found.start(1), ""), Edit(start + found.end(1) + 1, start + found.end(), "implies")]

    def take(self, *texts: str) -> str:
        """Read the next token if it is one of these signs and words; return "" if it is not."""
        kind, text, offset = self.token()
        if kind not in ("sign", "word") or text not in texts:
            return ""
        self.at = offset + len(text)
        return text

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ExpressionError(self.at, f"nested deeper than {MAX_NESTING}")

    def closed(self) -> None:
        kind, text, offset = self.token()
        if not self.take(")"):
            message = "a bracket is not closed" if kind == "end" else f"found {text!r}, expected ')'"
            raise ExpressionError(offset, message)

    def token_start(self) -> int:
        """Return the offset of the next character that is no blank."""
        return self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())

    def sum(self) -> Value:
        return self.chain(("+", "-"), lambda: self.chain(("*", "/", "//"), self.factor))

    def chain(self, operators: tuple[str, ...], read: Callable[[], Value]) -> Value:
        left = read()
        while operator := self.take(*operators):
            left = Computed(operator, left, read())
        return left

    def factor(self) -> Value:
        if self.take("-"):
            return Computed("-", Constant(Fraction(0)), self.factor())
        base = self.value()
        return Computed("**", base, self.factor()) if self.take("**") else base

    def value(self) -> Value:
        if self.take("("):
            self.deeper()
            inner = self.sum()
            self.closed()
            self.depth -= 1
            return inner
        kind, text, offset = self.token()
        if kind not in ("number", "name"):
            found = "the end" if kind == "end" else repr(text)
            raise ExpressionError(offset, f"found {found}, expected a number or a name")
        self.at = offset + len(text)
        if kind == "number":
            return Constant(Fraction(text))
        if text in _FUNCTIONS and self.take("("):
            return self.function(text, offset)
        name, _, at = text.partition("@")
        means = resolve(self.meanings, name, offset)
        check_place(self.meanings, means, text, at, offset)
        return Named(name, at, self.entry.place(offset))

    def function(self, name: str, offset: int) -> Value:
        """Parse the values of a function, whose bracket was read."""
        self.deeper()
        values = [self.sum()]
        while self.take(","):
            values.append(self.sum())
        self.closed()
        self.depth -= 1
        needed = _FUNCTIONS[name]
        if len(values) != needed if needed else len(values) < 2:
            takes = f"{needed} value{'s' * (needed > 1)}" if needed else "two values or more"
            raise ExpressionError(offset, f"{name} takes {takes}, found {len(values)}")
        result, *rest = values
        for other in rest or [Constant(Fraction(1))]:
            result = Computed("//" if name == "floor" else name, result, other)
        return result

    def meaning(self, named: Named) -> Meaning:
        means = self.meanings.meaning(named.name)
        assert means is not None
        return means

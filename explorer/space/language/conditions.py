"""Parser of conditions, the entries of ``where``.

    condition   := disjunction [ "implies" condition ]
    disjunction := conjunction { "or" conjunction }
    conjunction := negation { "and" negation }
    negation    := "not" negation | "(" condition ")" | comparison
    comparison  := sum { ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "divides" ) sum }
                 | choice ( "==" | "!=" ) ( alternative | choice )
    sum         := product { ( "+" | "-" ) product }
    product     := factor { ( "*" | "/" ) factor }
    factor      := "-" factor | number | name [ "@" place ] | "(" sum ")"

An alternative is written as in the file, or as its first word, which stands for all alternatives that begin with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from explorer.errors import Edit, similar_names
from explorer.space.condition import (
    Chosen,
    Compared,
    Computed,
    Condition,
    Constant,
    Joined,
    Named,
    Same,
    Truth,
    Value,
    names_in,
    opposite,
)
from explorer.space.conditions.names import Meaning, Meanings
from explorer.space.grammar import Grammar
from explorer.space.language.condition_names import check_place, resolve
from explorer.space.language.source_text import applied
from explorer.space.language.tokens import MAX_NESTING, ExpressionError
from explorer.space.language.yaml import Entry, Mapping, Problems, Scalar, Sequence, edit_of, kind_of

MAX_CONDITIONS = 200
_RELATIONS = ("==", "!=", "<=", ">=", "<", ">", "divides")
_WORDS = ("and", "or", "not", "implies", "divides")
# Signs of other languages -> how they are written here.
_FOREIGN = {"=": "==", "≤": "<=", "≥": ">=", "≠": "!=", "&&": "and", "||": "or", "!": "not", "=<": "<=", "=>": ">="}
_FOREIGN |= {"&": "and", "|": "or", "**": "*", "->": "implies"}
_TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?![\w.]))"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*(?:@[A-Za-z0-9.]*)?)"
    r"|(?P<sign>==|!=|<=|>=|=<|=>|&&|\|\||->|\*\*|[-<>+*/()=≤≥≠!&|])",
    re.ASCII,
)


def read_conditions(node: Entry, grammar: Grammar, problems: Problems) -> tuple[Condition, ...]:
    """Read the section ``where``, and report its errors.

    Args:
        node: A list of conditions, or one condition.
        grammar: The rest of the file.
        problems: Receives the errors.
    """
    entries = node.items if isinstance(node, Sequence) else (node,)
    if isinstance(node, Mapping) or len(entries) > MAX_CONDITIONS:
        found = kind_of(node) if isinstance(node, Mapping) else f"{len(entries):,}"
        problems.add(node, f"where must be a list of conditions, at most {MAX_CONDITIONS}, found {found}")
        return ()
    meanings, conditions = Meanings(grammar), []
    for entry in entries:
        if not isinstance(entry, Scalar) or not entry.text.strip():
            found = "nothing" if isinstance(entry, Scalar) else kind_of(entry)
            problems.add(entry, f"a condition is a text, as in 'width@stage2 >= width@stage1', found {found}")
            continue
        try:
            truth = _Parser(entry, meanings).whole()
        except ExpressionError as error:
            edits = [edit_of(problems.text, entry, applied(entry.text, error.edits))] if error.edits else []
            problems.add(entry.place(error.offset), str(error), *edits)
            continue
        conditions.append(Condition(" ".join(entry.text.split()), (entry.line, entry.column), truth))
    return tuple(conditions)


class _Parser:
    """Recursive descent parser of one condition. Its errors are ExpressionError, with an offset in the text."""

    def __init__(self, entry: Scalar, meanings: Meanings):
        self.entry, self.text, self.meanings = entry, entry.text, meanings
        self.at = 0
        self.depth = 0

    def whole(self) -> Truth:
        truth = self.condition()
        kind, text, offset = self.token()
        if kind != "end":
            raise ExpressionError(offset, f"found {text!r}, expected 'and', 'or', 'implies' or the end")
        within = {each.at for each in names_in(truth) if self.meaning(each).stands_for_blocks(each.at)}
        if len(within) > 1:
            message = (
                f"blocks of {' and of '.join(sorted(within))} in one condition; name the blocks, as in @stage1.block2"
            )
            raise ExpressionError(0, message)
        return truth

    # Tokens

    def token(self) -> tuple[str, str, int]:
        """Return kind, text and offset of the next token: ``number``, ``name``, ``sign``, ``word`` or ``end``."""
        start = self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
        if start == len(self.text):
            return "end", "the end", start
        match = _TOKEN.match(self.text, start)
        if match is None:
            found = self.text[start]
            hint = "; write 'b divides a' for a % b == 0" if found == "%" else ""
            raise ExpressionError(start, f"{found!r} is no sign of a condition{hint}")
        kind, text = match.lastgroup or "", match[0]
        if kind == "sign" and text in _FOREIGN:
            new = _FOREIGN[text]
            blank = "" if self.text[match.end() : match.end() + 1] == " " else " "
            before = "" if start and self.text[start - 1] == " " else " "
            edit = Edit(start, match.end(), f"{before}{new}{blank}" if new.isalpha() else new)
            raise ExpressionError(start, f"found {text!r}; write {new!r}", edit)
        if kind == "name" and text.lower() in _WORDS:
            if text not in _WORDS:
                edit = Edit(start, start + len(text), text.lower())
                raise ExpressionError(start, f"found {text!r}; write {text.lower()!r}", edit)
            kind = "word"
        name = text.split("@")[0]
        if kind == "name" and "-" in text and name not in {**self.meanings.points, **self.meanings.grammar.rules}:
            text = text[: text.index("-")]  # a difference, unless it is the name of a rule
        return kind, text, start

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

    # Truths

    def condition(self) -> Truth:
        self.deeper()
        left = self.joined(False)
        if self.take("implies"):
            left = Joined(False, (opposite(left), self.condition()))
        self.depth -= 1
        return left

    def joined(self, every: bool) -> Truth:
        """Parse parts joined by ``and`` if ``every``, else by ``or``."""
        parts = []
        while True:
            parts.append(self.negation() if every else self.joined(True))
            if not self.take("and" if every else "or"):
                return parts[0] if len(parts) == 1 else Joined(every, tuple(parts))

    def negation(self) -> Truth:
        if self.take("not"):
            self.deeper()
            inner = self.negation()
            self.depth -= 1
            return opposite(inner)
        start = self.at
        if not self.take("("):
            return self.comparison()
        try:
            truth = self.condition()
            self.closed()
        except ExpressionError as error:  # the bracket of a sum
            return self.again(start, error)
        kind, text, _ = self.token()
        if (kind == "sign" and text != ")") or text == "divides":
            return self.again(start, ExpressionError(self.at, f"found {text!r}, expected 'and', 'or' or the end"))
        return truth

    def again(self, start: int, error: ExpressionError) -> Truth:
        """Parse a comparison that begins with a bracket; of two errors, the later one is raised."""
        self.at, depth = start, self.depth
        try:
            return self.comparison()
        except ExpressionError as other:
            self.depth = depth
            raise (error if error.offset >= other.offset else other) from None

    def closed(self) -> None:
        kind, text, offset = self.token()
        if not self.take(")"):
            message = "a bracket is not closed" if kind == "end" else f"found {text!r}, expected ')'"
            raise ExpressionError(offset, message)

    def comparison(self) -> Truth:
        start = self.token()[2]
        left = self.sum()
        if isinstance(left, Named) and (means := self.meaning(left)).kind == "choice":
            return self.choice(left, means)
        parts: list[Truth] = []
        while relation := self.take(*_RELATIONS):
            begin = self.token()[2]
            right = self.sum()
            for value, offset in ((left, start), (right, begin)):
                self.need_number(value, offset)
            parts.append(_compared(relation, left, right))
            left, start = right, begin
        if not parts:
            kind, text, offset = self.token()
            found = "the end" if kind == "end" else repr(text)
            raise ExpressionError(offset, f"found {found}, expected one of {' '.join(_RELATIONS)}")
        return parts[0] if len(parts) == 1 else Joined(True, tuple(parts))

    def need_number(self, value: Value, offset: int) -> None:
        """Raise ExpressionError for a choice among numbers."""
        if isinstance(value, Named) and self.meaning(value).kind == "choice":
            raise ExpressionError(offset, f"{value} is a choice of layers; compare it by == or != with an alternative")
        if isinstance(value, Computed):
            self.need_number(value.left, offset)
            self.need_number(value.right, offset)

    def choice(self, left: Named, means: Meaning) -> Truth:
        """Parse the comparison of a choice of layers, whose name was read."""
        relation = self.take("==", "!=")
        if not relation:
            _, text, offset = self.token()
            raise ExpressionError(
                offset, f"{left} is a choice of layers; expected == or != and an alternative, found {text!r}"
            )
        options = list(dict.fromkeys(text for point in self.meanings.points[means.name] for text in point.options))
        start = self.token_start()
        for option in sorted(options, key=len, reverse=True):
            if end := self.spelled(option, start):
                self.at = end
                return Chosen(left, frozenset([option]), relation == "!=")
        word = re.compile(r"[\w-]*", re.ASCII).match(self.text, start)
        assert word is not None
        name = word[0]
        begun = frozenset(option for option in options if name and re.match(rf"{re.escape(name)}(?![\w-])", option))
        if begun and self.text[word.end() : word.end() + 1] not in ("(", "@"):
            self.at = word.end()
            return Chosen(left, begun, relation == "!=")
        found = self.text[start:].split(" ")[0][:60]
        if name and self.meanings.meaning(name) is not None and not begun:
            other = self.factor()
            assert isinstance(other, Named)
            if self.meaning(other).kind == "choice":
                return Same(left, other, relation == "!=")
        if not found:
            raise ExpressionError(start, f"found the end, expected an alternative of {left}: {' | '.join(options)}")
        near = similar_names(found, [*options, *dict.fromkeys(re.split(r"[ (]", option)[0] for option in options)])
        edits = [Edit(start, start + len(found), near[0])] if near else []
        message = f"{left} has no alternative {found!r}; it has: {' | '.join(options)[:400]}"
        raise ExpressionError(start, message + (f"; did you mean {near[0]!r}?" if near else ""), *edits)

    def token_start(self) -> int:
        """Return the offset of the next character that is no blank."""
        return self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())

    def spelled(self, option: str, start: int) -> int:
        """Return the offset after an alternative that is written at ``start``, with any blanks; 0 if it is not."""
        pieces = re.findall(r"\w+|[^\w\s]", option)
        match = re.compile(r"\s*".join(map(re.escape, pieces))).match(self.text, start)
        if match is None or re.compile(r"[\w(@]").match(self.text, match.end()):
            return 0
        return match.end()

    # Values

    def sum(self) -> Value:
        return self.chain("+-", lambda: self.chain("*/", self.factor))

    def chain(self, operators: str, read: Callable[[], Value]) -> Value:
        left = read()
        while operator := self.take(*operators):
            left = Computed(operator, left, read())
        return left

    def factor(self) -> Value:
        if self.take("-"):
            return Computed("-", Constant(Fraction(0)), self.factor())
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
        name, _, at = text.partition("@")
        means = resolve(self.meanings, name, offset)
        check_place(self.meanings, means, text, at, offset)
        return Named(name, at, self.entry.place(offset))

    def meaning(self, named: Named) -> Meaning:
        means = self.meanings.meaning(named.name)
        assert means is not None
        return means


def _compared(relation: str, left: Value, right: Value) -> Truth:
    if relation in (">", ">="):
        return Compared(relation.replace(">", "<"), right, left)
    return Compared(relation, left, right)

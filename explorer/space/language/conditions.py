"""Parser of conditions, the entries of ``where``.

    condition   := disjunction [ "implies" condition ]
    disjunction := conjunction { "or" conjunction }
    conjunction := negation { "and" negation }
    negation    := "not" negation | "(" condition ")" | comparison
    comparison  := sum { ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "divides" ) sum }
                 | sum [ "not" ] "in" "(" sum { "," sum } ")"
                 | choice ( "==" | "!=" ) ( alternative | choice )
                 | choice [ "not" ] "in" "(" alternative { "," alternative } ")"
    sum         := product { ( "+" | "-" ) product }
    product     := factor { ( "*" | "/" | "//" ) factor }
    factor      := "-" factor | value [ "**" factor ]
    value       := number | name [ "@" place ] | "(" sum ")" | function "(" sum { "," sum } ")"

The functions are those of values: max, min, round, ceil, floor, log2, sqrt. An alternative is written as in the file,
or as its first word, which stands for all alternatives that begin with it.
"""

from __future__ import annotations

import re

from explorer.errors import Edit, suggestion
from explorer.space.condition import (
    Chosen,
    Compared,
    Computed,
    Condition,
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
from explorer.space.language.condition_values import ValueParser
from explorer.space.language.foreign.alternatives import meant_alternatives
from explorer.space.language.source_text import applied
from explorer.space.language.tokens import ExpressionError
from explorer.space.language.yaml import Entry, Mapping, Problems, Scalar, Sequence, edit_of, kind_of

MAX_CONDITIONS = 200
NAME = re.compile(r"[\w-]*", re.ASCII)
_RELATIONS = ("==", "!=", "<=", ">=", "<", ">", "divides")


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
        new = _from_mapping(node) if isinstance(node, Mapping) else ""
        message = f"where must be a list of conditions, at most {MAX_CONDITIONS}, found {found}"
        problems.add(node, message, *([edit_of(problems.text, node, new)] if new else []))
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


def _from_mapping(node: Mapping) -> str:
    """Return the condition that ``{act: relu, depth: [1, 2]}`` stands for; "" for none."""
    parts = []
    for key, value in node.items:
        if isinstance(value, Mapping):
            return ""
        texts = [value.text] if isinstance(value, Scalar) else [getattr(item, "text", "") for item in value.items]
        if not all(texts):
            return ""
        relation = re.match(r"[<>=!]=?", texts[0])
        right = texts[0] if relation else f"== {texts[0]}" if isinstance(value, Scalar) else f"in ({', '.join(texts)})"
        parts.append(f"{key.text} {right}")
    return " and ".join(parts)


class _Parser(ValueParser):
    """Recursive descent parser of one condition. Its errors are ExpressionError, with an offset in the text."""

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

    def comparison(self) -> Truth:
        start = self.token()[2]
        left = self.sum()
        if isinstance(left, Named) and (means := self.meaning(left)).kind == "choice":
            return self.choice(left, means)
        if (negated := self.membership()) is not None:
            return self.one_of(left, start, negated)
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

    def membership(self) -> bool | None:
        """Read ``in`` or ``not in``; return whether it is negated, None if there is neither."""
        begin = self.at
        negated = bool(self.take("not"))
        kind, text, offset = self.token()
        if kind == "name" and text == "in":
            self.at = offset + len(text)
            return negated
        self.at = begin
        return None

    def one_of(self, left: Value, start: int, negated: bool) -> Truth:
        """Parse the list of numbers after ``in``."""
        self.need_number(left, start)
        parts: list[Truth] = []
        self.opened()
        while True:
            begin = self.token()[2]
            right = self.sum()
            self.need_number(right, begin)
            parts.append(Compared("==", left, right))
            if not self.take(","):
                break
        self.closed()
        truth = Joined(False, tuple(parts)) if len(parts) > 1 else parts[0]
        return opposite(truth) if negated else truth

    def opened(self) -> None:
        _, text, offset = self.token_or_sign()
        if text != "(":
            end = self.text.find("]" if text == "[" else "}", offset)
            edits = [Edit(offset, end + 1, f"({self.text[offset + 1 : end]})")] if end > 0 and text in "[{" else []
            raise ExpressionError(offset, f"found {text!r}, expected '(' and a list, as in 'in (1, 2)'", *edits)
        self.take("(")

    def token_or_sign(self) -> tuple[str, str, int]:
        """Return the next token; brackets of other languages count as signs."""
        start = self.token_start()
        other = self.text[start : start + 1]
        return ("sign", other, start) if other and other in "[{" else self.token()

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
        if not relation and (negated := self.membership()) is not None:
            chosen = frozenset[str]()
            self.opened()
            while True:
                chosen |= self.alternatives(left, means)
                if not self.take(","):
                    break
            self.closed()
            return Chosen(left, chosen, negated)
        if not relation:
            _, text, offset = self.token()
            raise ExpressionError(
                offset, f"{left} is a choice of layers; expected == or != and an alternative, found {text!r}"
            )
        other = self.other_choice(means)
        if other is not None:
            return Same(left, other, relation == "!=")
        return Chosen(left, self.alternatives(left, means), relation == "!=")

    def options(self, means: Meaning) -> list[str]:
        """Return the alternatives of a choice in all stages."""
        return list(dict.fromkeys(text for point in self.meanings.points[means.name] for text in point.options))

    def other_choice(self, means: Meaning) -> Named | None:
        """Read the name of another choice; None if an alternative follows."""
        start, options = self.token_start(), self.options(means)
        name = NAME.match(self.text, start)[0]  # type: ignore[index]  # it matches the empty text
        begins = any(re.match(rf"{re.escape(name)}(?![\w-])", option) for option in options)
        if not name or begins or any(self.spelled(option, start) for option in options):
            return None
        if self.meanings.meaning(name) is None:
            return None
        other = self.factor()
        assert isinstance(other, Named)
        if self.meaning(other).kind == "choice":
            return other
        self.at = start
        return None

    def alternatives(self, left: Named, means: Meaning) -> frozenset[str]:
        """Parse an alternative of a choice, or the first word of several."""
        start, options = self.token_start(), self.options(means)
        for option in sorted(options, key=len, reverse=True):
            if end := self.spelled(option, start):
                self.at = end
                return frozenset([option])
        word = NAME.match(self.text, start)
        assert word is not None
        name = word[0]
        begun = frozenset(option for option in options if name and re.match(rf"{re.escape(name)}(?![\w-])", option))
        if begun and self.text[word.end() : word.end() + 1] not in ("(", "@"):
            self.at = word.end()
            return begun
        found = self.text[start:].split(" ")[0][:60]
        if not found:
            raise ExpressionError(start, f"found the end, expected an alternative of {left}: {' | '.join(options)}")
        words = [re.split(r"[ (]", option)[0] for option in options]
        near = meant_alternatives(found, [*dict.fromkeys([*options, *words])])[:1]
        edits = [Edit(start, start + len(found), name) for name in near]
        message = f"{left} has no alternative {found!r}; it has: {' | '.join(options)[:400]}"
        raise ExpressionError(start, message + suggestion(near), *edits)

    def spelled(self, option: str, start: int) -> int:
        """Return the offset after an alternative that is written at ``start``, with any blanks; 0 if it is not."""
        pieces = re.findall(r"\w+|[^\w\s]", option)
        match = re.compile(r"\s*".join(map(re.escape, pieces))).match(self.text, start)
        if match is None or re.compile(r"[\w(@]").match(self.text, match.end()):
            return 0
        return match.end()


def _compared(relation: str, left: Value, right: Value) -> Truth:
    if relation in (">", ">="):
        return Compared(relation.replace(">", "<"), right, left)
    return Compared(relation, left, right)

"""The numbers of the expression language, and which rules are numbers.

    value   := sum { "|" sum }                            a whole rule, or in brackets
    sum     := product { ( "+" | "-" ) product }
    product := factor { ( "*" | "/" | "//" ) factor }
    factor  := "-" factor | atom [ "**" factor ]
    atom    := number | size | rule | variable | "(" value ")" | range(lo, hi, step) | function "(" sum { "," sum } ")"
             | by_block "(" value { "," value } [ "," "..." ] ")"

Arithmetic is exact, see ``arithmetic.py``. Alternatives become a ``Point``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeVar

from explorer.errors import Edit, did_you_mean, similar_names
from explorer.space.further_nodes import ByPlace, Pair
from explorer.space.grammar import (
    Alternatives,
    Arithmetic,
    Broken,
    Group,
    Node,
    Number,
    Place,
    Point,
    Reference,
    Repeat,
    Variable,
    walk,
)
from explorer.space.language.names import BY_PLACE, FUNCTIONS, VARIABLES, Names, is_known, takes_bracket
from explorer.space.language.tokens import Cursor, ExpressionError, NumberError, Token, tokens

MAX_OPTIONS = 10_000
MAX_OPERATORS = 100
Read = TypeVar("Read")


class ValueParser(Cursor):
    """Recursive descent parser of a value.

    Args:
        text: The expression.
        names: The names of this file.
        owner: The name of the expression's choice points; empty if the names and the suggestions are not used.
        scope: The scope of the choice points.
        place: Returns line and column of an offset in the expression.
        faults: Receives the errors after which parsing can continue.
    """

    def __init__(
        self,
        text: str,
        names: Names,
        owner: str,
        scope: str,
        place: Callable[[int], Place] = lambda offset: (1, 1 + offset),
        faults: list[Broken] | None = None,
    ):
        super().__init__(text, names, place, faults)
        self.owner = owner
        self.scope = scope
        self.points: list[Point] = []
        self.operators = 0

    def value_rule(self) -> Node:
        """Parse the whole text as a value."""
        tree = self.value_alternatives()
        if self.now.kind != "end":
            self.need("end", "an operator, '|' or the end")
        return self.named(tree)

    def value_alternatives(self) -> Node:
        """Parse sums between '|'."""
        start = self.now.offset
        options, labels = self.options(self.sum)
        return options[0] if len(options) == 1 else Alternatives(self.point(start, labels), tuple(options))

    def options(self, read: Callable[[], Read]) -> tuple[list[Read], list[str]]:
        """Parse the parts between '|' with ``read``; return the results and the text of each."""
        options, labels = [], []
        while True:
            begin = self.now.offset
            options.append(read())
            labels.append(self.spelled(begin, self.now.offset))
            if not self.take("|"):
                return options, labels

    def sum(self) -> Node:
        """Parse a sum of products."""
        start = self.now.offset
        left = self.product()
        while token := self.take("+", "-"):
            left = self.arithmetic(token, left, self.product(), start)
        return left

    def product(self) -> Node:
        """Parse a product of factors."""
        start = self.now.offset
        left = self.factor()
        while token := self.take("*", "/", "//"):
            left = self.arithmetic(token, left, self.factor(), start)
        return left

    def arithmetic(self, operator: Token, left: Node, right: Node, start: int) -> Node:
        """Join two operands that began at ``start``."""
        self.operators += 1
        if self.operators > MAX_OPERATORS:
            raise ExpressionError(operator.offset, f"more than {MAX_OPERATORS} operators in one expression")
        text = self.spelled(start, self.now.offset)
        return Arithmetic(operator.kind, left, right, self.place(start), text)

    def factor(self) -> Node:
        """Parse an atom with its sign and its power. As in Python, -2**2 is -(2**2), and 2**3**2 is 2**(3**2)."""
        token = self.now
        place = self.place(token.offset)
        if self.take("-"):
            self.deeper(token.offset)
            inner = self.factor()
            self.depth -= 1
            return Arithmetic("-", Number(Fraction(0)), inner, place, self.spelled(token.offset, self.now.offset))
        base = self.value_atom()
        if power := self.take("**"):
            self.deeper(power.offset)
            base = self.arithmetic(power, base, self.factor(), token.offset)
            self.depth -= 1
        return base

    def value_atom(self) -> Node:
        """Parse a number, a name, a call of a function, or a value in brackets."""
        token = self.now
        place = self.place(token.offset)
        if self.take("number"):
            return Number(Fraction(token.text), place)
        if self.take("size"):
            height, width = map(int, token.text.split("x"))
            return Pair((height, width), place) if height != width else Number(Fraction(height))
        if self.take("("):
            self.deeper(token.offset)
            inner = self.value_alternatives()
            self.depth -= 1
            self.need(")", "')' or an operator")
            return inner
        name = self.need("name", "a number, a rule, a variable or '('").text
        if self.now.kind == "(" and name in (*FUNCTIONS, *BY_PLACE, "range"):
            self.deeper(token.offset)
            if name in BY_PLACE:
                value: Node = self.by_place(name, place, self.value_alternatives)
            else:
                value = self.numeric_range(token) if name == "range" else self.function(token)
            self.depth -= 1
            return value
        is_rule = self.is_rule(name)
        if is_rule and (self.names.rules[name] or name in self.names.broken):
            return Reference(name, place)
        if name in VARIABLES and not is_rule:
            return Variable(name, place)
        if is_rule or is_known(name) or (self.adjacent_bracket() and takes_bracket(name)):
            context = self.context(token.offset)
            raise ExpressionError(token.offset, f"{name!r} is a layer, expected a number{context}")
        known = self.names.numeric() if self.owner else []
        message = f"unknown name {name[:64]!r}{self.context(token.offset)}{did_you_mean(name, known)}"
        near = similar_names(name, known)
        return self.fault(
            token.offset, message, *(Edit(token.offset, token.offset + len(name), best) for best in near[:1])
        )

    def is_rule(self, name: str) -> bool:
        """Whether a name that was read is that of a rule: rules take no arguments."""
        return name in self.names.rules and not (self.adjacent_bracket() and takes_bracket(name))

    def by_place(self, name: str, place: Place, read: Callable[[], Node]) -> Node:
        """Parse the entries of ``by_block`` or ``by_stage``, each with ``read``."""
        self.take("(")
        options = [read()]
        is_open = False
        while not is_open and self.take(","):
            if not (is_open := self.take("...") is not None):
                options.append(read())
        self.count_tokens(len(options), self.last.offset)
        self.need(")", "')'" if is_open else "',' or ')'")
        return ByPlace(BY_PLACE[name], tuple(options), place, is_open)

    def function(self, token: Token) -> Node:
        """Parse the arguments of a function whose name was read."""
        name = token.text
        least, most, form = FUNCTIONS[name]
        self.take("(")
        values = [self.sum()]
        while self.take(","):
            values.append(self.sum())
        if self.now.kind == ")" and not least <= len(values) <= most:
            raise ExpressionError(
                token.offset, f"{name} has {len(values)} argument{'s'[: len(values) > 1]}; write {form}"
            )
        self.need(")", "',' or ')'" if len(values) < most else "')'")
        if len(values) == 1:
            values.append(Number(Fraction(1)))
        operator = token._replace(kind="//" if name == "floor" else name)
        made = values[0]
        for value in values[1:]:
            made = self.arithmetic(operator, made, value, token.offset)
        return made

    def numeric_range(self, token: Token) -> Node:
        """Parse the arguments of ``range(lo, hi, step)``: a choice of numbers."""
        self.take("(")
        bounds = []
        for last in (False, False, True):
            bounds.append(self.bound(token.offset))
            self.need(")" if last else ",", "')'" if last else "',': range(lo, hi, step)")
        low, high, step = bounds
        if step <= 0 or high < low:
            end = self.last.offset + len(self.last.text)
            numbers = min(low, high), max(low, high), abs(step) or Fraction(1)
            turned = f"range({', '.join(map(spell_number, numbers))})"
            message = f"range({low}, {high}, {step}) is empty; it needs lo <= hi and step > 0: write {turned}"
            raise NumberError(token.offset, message, Edit(token.offset, end, turned))
        count = int((high - low) / step) + 1
        if count > MAX_OPTIONS:
            raise NumberError(token.offset, f"a range of {count:,} values; at most {MAX_OPTIONS:,} are allowed")
        values = [low + step * k for k in range(count)]
        if len(values) == 1:
            return Number(values[0])
        return Alternatives(
            self.point(token.offset, [spell_number(v) for v in values]), tuple(Number(v) for v in values)
        )

    def bound(self, offset: int) -> Fraction:
        """Parse a constant."""
        try:
            value = self.sum().constant()
        except ArithmeticError as error:
            raise NumberError(offset, str(error)) from None
        if value is None:
            raise NumberError(offset, "the bounds of a range must be constants")
        return value

    # Choice points

    def point(self, offset: int, options: list[str]) -> Point:
        """Make a choice point without a name."""
        if len(options) > MAX_OPTIONS:
            raise ExpressionError(offset, f"{len(options):,} alternatives; at most {MAX_OPTIONS:,} are allowed")
        self.count_tokens(len(options), offset)
        if len(set(options)) < len(options):
            repeated = next(option for number, option in enumerate(options) if option in options[:number])
            message = f"the alternative {repeated[:60]!r} occurs twice"
            raise ExpressionError(offset, message, *self._without(offset, repeated))
        made = Point("", tuple(options), self.scope, offset)
        self.points.append(made)
        return made

    def _without(self, offset: int, option: str) -> list[Edit]:
        """Return the edit that removes the second of two equal alternatives."""
        pattern = r"\s*\|\s*" + r"\s+".join(map(re.escape, option.split())) + r"(?=\s*(?:[|)]|$))"
        found = re.search(pattern, self.text[offset:])
        return [Edit(offset + found.start(), offset + found.end(), "")] if found else []

    def named(self, tree: Node) -> Node:
        """Name the points of a whole rule: its own after the rule, the others rule.1, rule.2, ..."""
        while isinstance(tree, Group) and len(tree.items) == 1:
            tree = tree.items[0]
        own = tree.point if isinstance(tree, (Alternatives, Repeat)) else None
        number = 0
        for point in sorted(self.points, key=lambda point: point.offset):
            if point is own:
                point.name = self.owner
            else:
                number += 1
                point.name = f"{self.owner}.{number}"
        return tree


def spell_number(value: Fraction) -> str:
    """Return a number as text: 3, 0.25, or 1/3 if no short decimal is exact."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = f"{float(value):.10g}"
    return decimal if Fraction(decimal) == value else str(value)


def numeric_rules(texts: Mapping[str, str]) -> dict[str, bool]:
    """Return rule name -> whether the rule is numeric.

    A rule is numeric if its text parses as a value, all rules that it names are numeric, and a number, a variable or
    an operator occurs in it or in a rule that it names.
    """
    names = Names(dict.fromkeys(texts, True))
    users: dict[str, list[str]] = {}
    structural: list[str] = []
    counting: list[str] = []
    for name, text in texts.items():
        try:
            nodes = list(walk(ValueParser(text, names, "", "network").value_rule()))
        except ExpressionError as error:
            meant = isinstance(error, NumberError) or _begins_as_a_number(text)
            (counting if meant else structural).append(name)
            continue
        if any(isinstance(node, (Number, Pair, Variable, Arithmetic)) for node in nodes):
            counting.append(name)
        for node in nodes:
            if isinstance(node, Reference):
                users.setdefault(node.name, []).append(name)

    def with_users(pending: list[str]) -> set[str]:
        found: set[str] = set()
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending.extend(users.get(name, ()))
        return found

    structural += texts.keys() - with_users(counting)
    others = with_users(structural)
    return {name: name not in others for name in texts}


def _begins_as_a_number(text: str) -> bool:
    """Whether a text with an error is probably a number: it begins with one and names no layer."""
    if not text.lstrip()[:1].isdigit():
        return False
    try:
        return not any(token.kind == "name" and is_known(token.text) for token in tokens(text))
    except ExpressionError:
        return True

"""The numbers of the expression language, as text leaves them open, and which rules are numbers.

    value   := sum { "|" sum }                            a whole rule, or in brackets
    sum     := product { ( "+" | "-" ) product }
    product := factor { ( "*" | "/" ) factor }
    factor  := "-" factor | number | rule | variable | "(" value ")" | round(x, m) | range(lo, hi, step)

Arithmetic is exact (``arithmetic.py``). What is left open becomes a ``Point``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeVar

from explorer.errors import did_you_mean
from explorer.grammar.arithmetic import constant, spell_number
from explorer.grammar.cursor import Cursor
from explorer.grammar.names import VARIABLES, Names, find_plain
from explorer.grammar.tokens import ExpressionError, NumberError, Token, tokens
from explorer.grammar.tree import (
    Alternatives,
    Arithmetic,
    Broken,
    Group,
    Number,
    Place,
    Point,
    Reference,
    Repeat,
    Value,
    Variable,
    walk,
)

MAX_OPTIONS = 10_000
MAX_OPERATORS = 100
Node = TypeVar("Node")


class ValueParser(Cursor):
    """Recursive descent over a value. ``points``: the choice points met, which ``owner`` names and which are drawn as
    often as ``scope`` says."""

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

    def value_rule(self) -> Value:
        tree = self.value_alternatives()
        if self.now.kind != "end":
            self.need("end", "an operator, '|' or the end")
        return self.named(tree)

    def value_alternatives(self) -> Value:
        start = self.now.offset
        options, labels = self.options(self.sum)
        return options[0] if len(options) == 1 else Alternatives(self.point(start, labels), tuple(options))

    def options(self, read: Callable[[], Node]) -> tuple[list[Node], list[str]]:
        """What ``read`` reads between the '|', and how each option is spelled."""
        options, labels = [], []
        while True:
            begin = self.now.offset
            options.append(read())
            labels.append(self.spelled(begin, self.now.offset))
            if not self.take("|"):
                return options, labels

    def sum(self) -> Value:
        start = self.now.offset
        left = self.product()
        while token := self.take("+", "-"):
            left = self.arithmetic(token, left, self.product(), start)
        return left

    def product(self) -> Value:
        start = self.now.offset
        left = self.factor()
        while token := self.take("*", "/"):
            left = self.arithmetic(token, left, self.factor(), start)
        return left

    def arithmetic(self, operator: Token, left: Value, right: Value, start: int) -> Value:
        self.operators += 1
        if self.operators > MAX_OPERATORS:
            raise ExpressionError(operator.offset, f"more than {MAX_OPERATORS} operators in one expression")
        text = self.spelled(start, self.now.offset)
        return Arithmetic(operator.kind, left, right, self.place(start), text)

    def factor(self) -> Value:
        token = self.now
        place = self.place(token.offset)
        if self.take("-"):
            self.deeper(token.offset)
            inner = self.factor()
            self.depth -= 1
            return Arithmetic("-", Number(Fraction(0)), inner, place, self.spelled(token.offset, self.now.offset))
        if self.take("number"):
            return Number(Fraction(token.text))
        if self.take("("):
            self.deeper(token.offset)
            inner = self.value_alternatives()
            self.depth -= 1
            self.need(")", "')' or an operator")
            return inner
        name = self.need("name", "a number, a rule, a variable or '('").text
        if name in ("round", "range") and self.now.kind == "(":
            self.deeper(token.offset)
            value = self.rounded(token, place) if name == "round" else self.numeric_range(token)
            self.depth -= 1
            return value
        if self.names.rules.get(name):
            return Reference(name, place)
        if name in VARIABLES:
            return Variable(name, place)
        if name in self.names.rules or find_plain(name):
            context = self.context(token.offset)
            raise ExpressionError(token.offset, f"{name!r} is layers, here a number must stand{context}")
        near = did_you_mean(name, self.names.numeric()) if self.owner else ""  # without an owner nobody reads it
        return self.fault(token.offset, f"unknown name {name[:64]!r}{self.context(token.offset)}{near}")

    def rounded(self, token: Token, place: Place) -> Value:
        self.take("(")
        value = self.sum()
        self.need(",", "',' and the multiple to round to")
        multiple = self.sum()
        self.need(")", "')'")
        return Arithmetic("round", value, multiple, place, self.spelled(token.offset, self.now.offset))

    def numeric_range(self, token: Token) -> Value:
        self.take("(")
        bounds = []
        for last in (False, False, True):
            bounds.append(constant(self.sum(), token.offset))
            self.need(")" if last else ",", "')'" if last else "',': range(lo, hi, step)")
        low, high, step = bounds
        if step <= 0 or high < low:
            raise NumberError(token.offset, f"range({low}, {high}, {step}) is empty; it needs lo <= hi and step > 0")
        count = int((high - low) / step) + 1
        if count > MAX_OPTIONS:
            raise NumberError(token.offset, f"a range of {count:,} values; at most {MAX_OPTIONS:,} may stand")
        values = [low + step * k for k in range(count)]
        if len(values) == 1:
            return Number(values[0])
        return Alternatives(
            self.point(token.offset, [spell_number(v) for v in values]), tuple(Number(v) for v in values)
        )

    # Choice points

    def point(self, offset: int, options: list[str]) -> Point:
        if len(options) > MAX_OPTIONS:
            raise ExpressionError(offset, f"{len(options):,} alternatives; at most {MAX_OPTIONS:,} may stand")
        self.spend(len(options), offset)
        if len(set(options)) < len(options):
            repeated = next(option for number, option in enumerate(options) if option in options[:number])
            raise ExpressionError(offset, f"the alternative {repeated[:60]!r} stands twice")
        made = Point("", tuple(options), self.scope, offset)
        self.points.append(made)
        return made

    def named(self, tree):
        """``tree`` with its points named: the rule's own after the rule, the others rule.1, rule.2, ..."""
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


def numeric_rules(texts: Mapping[str, str]) -> dict[str, bool]:
    """Rule name -> True when the rule is numeric: its text reads as a value, all rules it names do, and it
    comes to a number somewhere."""
    names = Names(dict.fromkeys(texts, True))
    users: dict[str, list[str]] = {}
    structural, counting = [], []
    for name, text in texts.items():
        try:
            nodes = list(walk(ValueParser(text, names, "", "network").value_rule()))
        except ExpressionError as error:
            meant = isinstance(error, NumberError) or _begins_as_a_number(text)
            (counting if meant else structural).append(name)
            continue
        if any(isinstance(node, (Number, Variable, Arithmetic)) for node in nodes):
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
    """Whether a faulty text was meant as a number: it begins with one, and no layer stands in it."""
    if not text.lstrip()[:1].isdigit():
        return False
    try:
        return not any(token.kind == "name" and find_plain(token.text) for token in tokens(text))
    except ExpressionError:
        return True

"""The expression language: text to a tree whose nodes know where they stand.

    expr    := seq { "|" seq }
    seq     := { item }                                   `none`, or `identity`, is the empty sequence
    item    := atom [ "?" | "{" n [ "," m ] "}" ]
    atom    := name [ "(" arg { "," arg } ")" ] | "(" expr ")" | "+" | "cat" | "gate(b=-6)"
    arg     := [ name "=" ] value
    value   := numbers, rules, variables, - + * / and brackets, round(x, m), range(lo, hi, step), a | b in brackets

Arguments follow their name without a blank (``conv3x3(16)``); a bracket after a blank is a group.
Every place where something is left open becomes a ``Point``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from explorer.errors import did_you_mean
from explorer.grammar.arithmetic import compute, constant, spell_number
from explorer.grammar.names import VARIABLES, Names, find_op, find_plain
from explorer.grammar.syntax import Problems, Scalar
from explorer.grammar.tokens import ExpressionError, NumberError, Token, TooMuch, tokens
from explorer.grammar.tree import (
    Alternatives,
    Arithmetic,
    Broken,
    Copied,
    Group,
    Item,
    MergeItem,
    Number,
    OpItem,
    Place,
    Point,
    Reference,
    Repeat,
    Value,
    Variable,
    Word,
    children,
    walk,
)
from explorer.ops.base import Argument
from explorer.ops.merge import MERGES

# What the rest of the package asks of an expression stands here under one name.
__all__ = [
    "VARIABLES",
    "Alternatives",
    "Arithmetic",
    "Copied",
    "ExpressionError",
    "Group",
    "Item",
    "MergeItem",
    "Names",
    "Number",
    "OpItem",
    "Parser",
    "Place",
    "Point",
    "Reference",
    "Repeat",
    "Value",
    "Variable",
    "Word",
    "children",
    "compute",
    "constant",
    "find_op",
    "find_plain",
    "numeric_rules",
    "parse_expression",
    "walk",
]

MAX_NESTING = 32
MAX_REPEAT = 10_000
MAX_OPTIONS = 10_000
MAX_COUNTS = 256
MAX_SPENT = 50_000
MAX_OPERATORS = 100


def numeric_rules(texts: Mapping[str, str]) -> dict[str, bool]:
    """Rule name -> True when the rule is numeric: its text reads as a value, all rules it names do, and it
    comes to a number somewhere."""
    names = Names(dict.fromkeys(texts, True))
    users: dict[str, list[str]] = {}
    structural, counting = [], []
    for name, text in texts.items():
        try:
            nodes = list(walk(Parser(text, names, "", "network").value_rule()))
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


def parse_expression(
    scalar: Scalar, names: Names, problems: Problems, owner: str, scope: str, *, numeric: bool, copied: str = ""
) -> Item | Value:
    """The tree of one expression; its faults go to ``problems``, and ``Broken`` stands where they are.

    ``owner`` names its choice points, ``scope`` says how often they are drawn; ``copied`` is the
    keyword (``post`` or ``pre``) that may stand here.
    """
    faults: list[Broken] = []
    try:
        parser = Parser(scalar.text, names, owner, scope, scalar.place, copied, faults)
        tree = parser.value_rule() if numeric else parser.structure_rule()
    except ExpressionError as error:
        tree = Broken(scalar.place(error.offset), str(error))
        faults.append(tree)
        if isinstance(error, TooMuch):
            problems.add(tree.place, tree.message)
            problems.check()
    for fault in faults:
        problems.add(fault.place, fault.message)
    return tree


class Parser:
    """Recursive descent over the tokens of one expression. A fault behind which reading can go on is put
    into ``faults``, so that one reading finds them all; any other raises ExpressionError."""

    def __init__(
        self,
        text: str,
        names: Names,
        owner: str,
        scope: str,
        place: Callable[[int], Place] = lambda offset: (1, 1 + offset),
        copied: str = "",
        faults: list[Broken] | None = None,
    ):
        self.text = text
        self.names = names
        self.owner = owner
        self.scope = scope
        self.place = place
        self.copied = copied
        self.faults: list[Broken] = [] if faults is None else faults
        self.points: list[Point] = []
        self.depth = 0
        self.operators = 0
        self.at = 0
        self.spend(0, 0)
        self.tokens = tokens(text, names.rules)
        self.spend(len(self.tokens), 0)

    def spend(self, amount: int, offset: int) -> None:
        self.names.spent += amount
        if self.names.spent > MAX_SPENT:
            raise TooMuch(offset, f"the file's expressions hold more than {MAX_SPENT:,} words, signs and alternatives")

    # Reading tokens

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

    # Structure

    def structure_rule(self) -> Item:
        tree = self.structure()
        if self.now.kind != "end":
            self.need("end", "a layer, '|' or the end")
        return self.named(tree)

    def structure(self) -> Item:
        start = self.now.offset
        options, labels = [], []
        while True:
            begin = self.now.offset
            options.append(self.sequence())
            labels.append(self.spelled(begin, self.now.offset))
            if not self.take("|"):
                break
        if len(options) == 1:
            return options[0]
        for label in labels:
            if not label:
                raise ExpressionError(start, "an empty alternative; write 'none' for no layer at all")
        return Alternatives(self.point(start, labels), tuple(options))

    def sequence(self) -> Group:
        items = []
        while self.now.kind not in ("end", "|", ")"):
            items.append(self.item())
        return Group(tuple(items))

    def item(self) -> Item:
        start = self.now.offset
        atom = self.atom()
        end = self.tokens[self.at - 1].offset + len(self.tokens[self.at - 1].text)
        if self.take("?"):
            return Repeat(atom, (0, 1), self.point(start, ["none", self.spelled(start, end)]))
        if self.take("{"):
            low = self.count()
            high = self.count() if self.take(",") else low
            self.need("}", "'}'")
            if high < low:
                raise ExpressionError(start, f"repeated {low} to {high} times: the second count is the smaller")
            if high - low >= MAX_COUNTS:
                raise ExpressionError(
                    start, f"{high - low + 1:,} counts to choose from; at most {MAX_COUNTS} may stand"
                )
            counts = tuple(range(low, high + 1))
            return Repeat(atom, counts, self.point(start, [str(n) for n in counts]) if len(counts) > 1 else None)
        return atom

    def count(self) -> int:
        token = self.need("number", "a whole number of repetitions")
        if not token.text.isdigit() or int(token.text) > MAX_REPEAT:
            raise ExpressionError(token.offset, f"a repetition is a whole number to {MAX_REPEAT:,}, found {token.text}")
        return int(token.text)

    def atom(self) -> Item:
        token = self.now
        place = self.place(token.offset)
        if self.take("+"):
            return MergeItem(MERGES["+"], (), place)
        if self.take("("):
            self.deeper(token.offset)
            inner = self.structure()
            self.depth -= 1
            self.need(")", "')' or another layer")
            return inner
        if token.kind == "number":
            raise ExpressionError(token.offset, self.mixed(token.text))
        name = self.need("name", "a layer, a rule, '+' or '('").text
        if name in ("none", "identity"):
            return Group(())
        if name in ("cat", "gate"):
            merge = MERGES[name]
            return MergeItem(merge, self.arguments(name, merge.arguments, 1), place)
        if name in ("post", "pre"):
            if name != self.copied:
                home = {"post": "the stem", "pre": "the head"}[name]
                return self.fault(token.offset, f"{name!r} stands only in {home}")
            return Copied(name, place)
        if name in self.names.rules:
            if self.names.rules[name]:
                raise ExpressionError(token.offset, self.mixed(name))
            if self.adjacent_bracket():
                return self.fault(self.now.offset, f"the rule {name!r} takes no arguments")
            return Reference(name, place)
        try:
            found = find_op(name)
        except ValueError as error:
            return self.fault(token.offset, str(error))
        if found is None:
            if name in VARIABLES or name in ("round", "range"):
                raise ExpressionError(token.offset, self.mixed(name))
            near = did_you_mean(name, self.names.structural())
            return self.fault(token.offset, f"unknown name {name[:64]!r}{self.context(token.offset)}{near}")
        op, kernel = found
        faults = len(self.faults)
        arguments = self.arguments(name, op.arguments, op.positional)
        if len(self.faults) > faults:
            return self.faults[faults]
        if lacking := op.lacking([argument.field for argument, _ in arguments]):
            return self.fault(token.offset, f"{name} needs {', '.join(lacking)}, as in {name}({lacking[0]}=...)")
        return OpItem(op, kernel, arguments, place)

    def mixed(self, found: str) -> str:
        return (
            f"the number {found[:40]!r} stands among layers; numbers stand in arguments, or in a rule of numbers alone"
        )

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

    # Arguments

    def arguments(self, name: str, known: tuple[Argument, ...], positional: int) -> tuple[tuple[Argument, Value], ...]:
        if not self.adjacent_bracket():
            return ()
        self.deeper(self.now.offset)
        self.take("(")
        given: dict[str, tuple[Argument, Value]] = {}
        by_name = {argument.name: argument for argument in known}
        while not self.take(")"):
            token = self.now
            named = token.kind == "name" and self.tokens[self.at + 1].kind == "="
            if named:
                self.at += 2
                argument = by_name.get(token.text)
                if argument is None:
                    near = did_you_mean(token.text, by_name)
                    has = ", ".join(by_name) or "none"
                    message = f"{name} has no argument {token.text[:40]!r}; it has: {has}{near}"
                    self.faults.append(Broken(self.place(token.offset), message))
                    self.skip_value()
                    continue
            else:
                if len(given) >= positional or len(given) >= len(known):
                    takes = ", ".join(by_name) or "no arguments"
                    raise ExpressionError(token.offset, f"write the argument's name; {name} takes {takes}")
                argument = known[len(given)]
            if argument.name in given:
                raise ExpressionError(token.offset, f"the argument {argument.name!r} stands twice")
            given[argument.name] = (argument, self.argument_value(argument))
            if self.now.kind == "|":
                mend = "alternatives among numbers stand in brackets, as in (8 | 16), or in a rule"
                raise ExpressionError(self.now.offset, f"found '|', expected ',' or ')'; {mend}")
            if self.now.kind != ")":
                self.need(",", "',' or ')'")
        self.depth -= 1
        return tuple(given.values())

    def argument_value(self, argument: Argument) -> Value:
        if argument.kind == "activation":
            return self.item()
        if argument.kind == "word":
            token = self.need("name", f"one of {', '.join(argument.words)}")
            if token.text not in argument.words:
                raise ExpressionError(
                    token.offset, f"{argument.name} is one of {', '.join(argument.words)}, found {token.text[:40]!r}"
                )
            return Word(token.text)
        return self.sum()

    # Values

    def value_rule(self) -> Value:
        tree = self.value_alternatives()
        if self.now.kind != "end":
            self.need("end", "an operator, '|' or the end")
        return self.named(tree)

    def value_alternatives(self) -> Value:
        start = self.now.offset
        options, labels = [], []
        while True:
            begin = self.now.offset
            options.append(self.sum())
            labels.append(self.spelled(begin, self.now.offset))
            if not self.take("|"):
                break
        return options[0] if len(options) == 1 else Alternatives(self.point(start, labels), tuple(options))

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

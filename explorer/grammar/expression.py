"""The expression language: text to a tree whose nodes know where they stand.

    expr    := seq { "|" seq }
    seq     := { item }                                   `none` (in a shortcut also `identity`) is the empty sequence
    item    := atom [ "?" | "{" n [ "," m ] "}" ]
    atom    := name [ "(" arg { "," arg } ")" ] | "(" expr ")" | "+" | "cat" | "gate(b=-6)"
    arg     := [ name "=" ] value
    value   := numbers, rules, variables, - + * / and brackets, round(x, m), range(lo, hi, step), a | b in brackets

Arguments follow their name without a blank (``conv3x3(16)``); a bracket after a blank is a group.
Every place where something is left open becomes a ``Point``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from explorer.errors import did_you_mean
from explorer.grammar.syntax import Problems, Scalar
from explorer.ops import registry
from explorer.ops.base import MAX_KERNEL, Argument, Op
from explorer.ops.merge import MERGES, Merge

VARIABLES = {
    "w": "the stage's width",
    "in": "the channels that arrive at the block",
    "s": "the block's stride",
    "d": "the stage's dilation",
    "i": "the block's place in the network, from 1",
    "n": "the number of blocks in the network",
}
KEYWORDS = ("none", "cat", "gate", "round", "range", "post", "pre")
MAX_NESTING = 32
MAX_REPEAT = 10_000
MAX_OPTIONS = 10_000
MAX_COUNTS = 256
MAX_SPENT = 50_000
MAX_OPERATORS = 100
LARGEST = 10**30

Place = tuple[int, int]


@dataclass(eq=False, slots=True)
class Point:
    """A choice point: something the file leaves open. ``scope``: network, stage, block or use."""

    name: str
    options: tuple[str, ...]
    scope: str
    offset: int = 0


# Structural nodes. ``Group`` is a sequence; the others are items of one.


@dataclass(eq=False, slots=True)
class Group:
    items: tuple[Item, ...]


@dataclass(eq=False, slots=True)
class Alternatives:
    """One of several, in structure (options are groups) or in a value (options are values)."""

    point: Point
    options: tuple[Item, ...]


@dataclass(eq=False, slots=True)
class Repeat:
    """``item`` written ``counts[option]`` times; one count and no point when nothing is open."""

    item: Item
    counts: tuple[int, ...]
    point: Point | None


@dataclass(eq=False, slots=True)
class Reference:
    """Another rule by its name."""

    name: str
    place: Place


@dataclass(eq=False, slots=True)
class OpItem:
    """An op; ``arguments``: (what it is, the value that is given)."""

    op: type[Op]
    kernel: int | None
    arguments: tuple[tuple[Argument, Value], ...]
    place: Place


@dataclass(eq=False, slots=True)
class MergeItem:
    merge: type[Merge]
    arguments: tuple[tuple[Argument, Value], ...]
    place: Place


@dataclass(eq=False, slots=True)
class Copied:
    """``post`` in a stem or ``pre`` in a head: layers copied from the first or the last block."""

    which: str
    place: Place


# Value nodes.


@dataclass(eq=False, slots=True)
class Number:
    value: Fraction


@dataclass(eq=False, slots=True)
class Variable:
    name: str
    place: Place


@dataclass(eq=False, slots=True)
class Word:
    text: str


@dataclass(eq=False, slots=True)
class Arithmetic:
    """``operator`` is one of + - * / and round (to the nearest multiple of ``right``, at least one)."""

    operator: str
    left: Value
    right: Value
    place: Place
    text: str = ""


Item = Group | Alternatives | Repeat | Reference | OpItem | MergeItem | Copied
Value = Number | Variable | Word | Arithmetic | Alternatives | Reference | Group


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
_SIZED = re.compile(r"([A-Za-z_]+?)(\d{1,4})x(\d{1,4})", re.ASCII)


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


@dataclass(slots=True)
class Names:
    """What names mean in one file: ``rules`` -> True when the rule is numeric. ``spent``: words, signs
    and alternatives that were read in the file so far."""

    rules: dict[str, bool] = field(default_factory=dict)
    spent: int = 0

    def structural(self) -> list[str]:
        sized = [f"{spelling}3x3" for spelling, op in registry.by_spelling.items() if op.sized is not False]
        plain = [spelling for spelling, op in registry.by_spelling.items() if op.sized is not True]
        return [*(name for name, numeric in self.rules.items() if not numeric), *plain, *sized, "none", "cat", "gate"]

    def numeric(self) -> list[str]:
        return [*(name for name, numeric in self.rules.items() if numeric), *VARIABLES, "round", "range"]


def find_op(name: str) -> tuple[type[Op], int | None] | None:
    """(op, kernel) for ``conv3x3`` or ``bn``; None when no op is spelled so. Raises ValueError for a wrong size."""
    plain = registry.by_spelling.get(name)
    if plain is not None:
        if plain.sized is True:
            raise ValueError(f"{name!r} needs a kernel size, as in '{name}3x3'")
        return plain, None
    sized = _SIZED.fullmatch(name)
    op = registry.by_spelling.get(sized[1]) if sized else None
    if op is None:
        return None
    if op.sized is False:
        raise ValueError(f"{sized[1]!r} has no kernel size; write {sized[1]!r}")
    height, width = int(sized[2]), int(sized[3])
    if height != width:
        raise ValueError(f"kernels are square: {height}x{width} in {name!r}")
    if not 1 <= height <= MAX_KERNEL:
        raise ValueError(f"the kernel of {name!r} must lie in 1..{MAX_KERNEL}")
    return op, height


def numeric_rules(texts: Mapping[str, str]) -> dict[str, bool]:
    """Rule name -> True when the rule is numeric: its text reads as a value, and so do all rules it names."""
    names = Names(dict.fromkeys(texts, True))
    users: dict[str, list[str]] = {}
    structural = []
    for name, text in texts.items():
        try:
            tree = Parser(text, names, "", "network").value_rule()
        except NumberError:
            continue
        except ExpressionError:
            structural.append(name)
            continue
        for node in walk(tree):
            if isinstance(node, Reference):
                users.setdefault(node.name, []).append(name)
    numeric = dict.fromkeys(texts, True)
    while structural:
        name = structural.pop()
        if numeric[name]:
            numeric[name] = False
            structural.extend(users.get(name, ()))
    return numeric


def parse_expression(
    scalar: Scalar, names: Names, problems: Problems, owner: str, scope: str, *, numeric: bool, copied: str = ""
) -> Item | Value | None:
    """The tree of one expression; its faults go to ``problems`` (then None).

    ``owner`` names its choice points, ``scope`` says how often they are drawn; ``copied`` is the
    keyword (``post`` or ``pre``) that may stand here.
    """
    try:
        parser = Parser(scalar.text, names, owner, scope, scalar.place, copied)
        tree = parser.value_rule() if numeric else parser.structure_rule()
    except ExpressionError as error:
        problems.add(scalar.place(error.offset), str(error))
        if isinstance(error, TooMuch):
            problems.check()
        return None
    for offset, message in parser.unknown:
        problems.add(scalar.place(offset), message)
    return None if parser.unknown else tree


class Parser:
    """Recursive descent over the tokens of one expression. Faults raise ExpressionError, except
    unknown names, which are collected in ``unknown`` so that one reading finds them all."""

    def __init__(
        self, text: str, names: Names, owner: str, scope: str, place=lambda offset: (1, 1 + offset), copied=""
    ):
        self.text = text
        self.names = names
        self.owner = owner
        self.scope = scope
        self.place = place
        self.copied = copied
        self.unknown: list[tuple[int, str]] = []
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
        if name == "none" or (name == "identity" and name not in self.names.rules):
            return Group(())
        if name in ("cat", "gate"):
            merge = MERGES[name]
            return MergeItem(merge, self.arguments(name, merge.arguments, 1), place)
        if name in ("post", "pre"):
            if name != self.copied:
                home = {"post": "the stem", "pre": "the head"}[name]
                raise ExpressionError(token.offset, f"{name!r} stands only in {home}")
            return Copied(name, place)
        if name in self.names.rules:
            if self.names.rules[name]:
                raise ExpressionError(token.offset, self.mixed(name))
            if self.adjacent_bracket():
                raise ExpressionError(self.now.offset, f"the rule {name!r} takes no arguments")
            return Reference(name, place)
        try:
            found = find_op(name)
        except ValueError as error:
            raise ExpressionError(token.offset, str(error)) from None
        if found is None:
            if name in VARIABLES or name in ("round", "range"):
                raise ExpressionError(token.offset, self.mixed(name))
            near = did_you_mean(name, self.names.structural())
            self.unknown.append((token.offset, f"unknown name {name[:64]!r}{self.context(token.offset)}{near}"))
            if self.adjacent_bracket():
                self.skip_brackets()
            return Group(())
        op, kernel = found
        arguments = self.arguments(name, op.arguments, op.positional)
        if lacking := op.lacking([argument.field for argument, _ in arguments]):
            raise ExpressionError(token.offset, f"{name} needs {', '.join(lacking)}, as in {name}({lacking[0]}=...)")
        return OpItem(op, kernel, arguments, place)

    def mixed(self, found: str) -> str:
        return (
            f"the number {found[:40]!r} stands among layers; numbers stand in arguments, or in a rule of numbers alone"
        )

    def context(self, offset: int) -> str:
        """`` in conv3x3(d=dill)``: the piece of text around a fault."""
        start = max(self.text.rfind(" ", 0, offset), self.text.rfind("|", 0, offset)) + 1
        end = self.text.find(" ", offset)
        piece = self.text[start : end if end > 0 else len(self.text)].strip()
        return f" in {piece[:60]}" if len(piece) > len(self.tokens[self.at - 1].text) else ""

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
                    raise ExpressionError(
                        token.offset,
                        f"{name} has no argument {token.text[:40]!r}; it has: {', '.join(by_name) or 'none'}{near}",
                    )
            else:
                if len(given) >= positional or len(given) >= len(known):
                    takes = ", ".join(by_name) or "no arguments"
                    raise ExpressionError(token.offset, f"write the argument's name; {name} takes {takes}")
                argument = known[len(given)]
            if argument.name in given:
                raise ExpressionError(token.offset, f"the argument {argument.name!r} stands twice")
            given[argument.name] = (argument, self.argument_value(argument))
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
            raise ExpressionError(
                token.offset, f"{name!r} is layers, here a number must stand{self.context(token.offset)}"
            )
        if not self.owner:
            raise ExpressionError(token.offset, "unknown name")
        near = did_you_mean(name, self.names.numeric())
        self.unknown.append((token.offset, f"unknown name {name[:64]!r}{self.context(token.offset)}{near}"))
        return Number(Fraction(1))

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
        return Alternatives(self.point(token.offset, [_plain(v) for v in values]), tuple(Number(v) for v in values))


def find_plain(name: str) -> bool:
    """Whether ``name`` means an op or a merge."""
    try:
        return find_op(name) is not None or name in KEYWORDS
    except ValueError:
        return True


def constant(value: Value, offset: int) -> Fraction:
    """The number that ``value`` is without rules or variables. Raises ExpressionError."""
    if isinstance(value, Number):
        return value.value
    if isinstance(value, Arithmetic) and value.operator != "round":
        try:
            return compute(value.operator, constant(value.left, offset), constant(value.right, offset))
        except ArithmeticError as error:
            raise NumberError(offset, str(error)) from None
    raise NumberError(offset, "the bounds of a range are constants")


def compute(operator: str, left: Fraction, right: Fraction) -> Fraction:
    """One step of arithmetic. Raises ArithmeticError: division by zero, or a number out of all bounds."""
    if operator == "+":
        value = left + right
    elif operator == "-":
        value = left - right
    elif operator == "*":
        value = left * right
    elif right == 0:
        raise ZeroDivisionError("division by zero")
    elif operator == "/":
        value = left / right
    else:
        value = max(right, (left / right + Fraction(1, 2)).__floor__() * right)
    if abs(value.numerator) > LARGEST or value.denominator > LARGEST:
        raise OverflowError("a number beyond all bounds")
    return value


def _plain(value: Fraction) -> str:
    """A number as a person writes it: 3, 0.25, or 1/3 where no short decimal is exact."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = f"{float(value):.10g}"
    return decimal if Fraction(decimal) == value else str(value)


def walk(node) -> Iterator:
    """``node`` and all nodes in it, rules not followed."""
    yield node
    for child in children(node):
        yield from walk(child)


def children(node) -> tuple:
    """The nodes directly in ``node``, in the order they are read."""
    if isinstance(node, Group):
        return node.items
    if isinstance(node, Alternatives):
        return node.options
    if isinstance(node, Repeat):
        return (node.item,)
    if isinstance(node, (OpItem, MergeItem)):
        return tuple(value for _, value in node.arguments)
    if isinstance(node, Arithmetic):
        return node.left, node.right
    return ()

"""The expression language: text to a tree whose nodes know where they stand.

    expr    := seq { "|" seq }
    seq     := { item }                                   `none`, or `identity`, is the empty sequence
    item    := atom [ "?" | "{" n [ "," m ] "}" ]
    atom    := name [ "(" arg { "," arg } ")" ] | "(" expr ")" | "+" | "cat" | "gate(b=-6)"
    arg     := [ name "=" ] ( sum | item | word )         a number (``values.py``), an activation, or one of some words

Arguments follow their name without a blank (``conv3x3(16)``); a bracket after a blank is a group.
Every place where something is left open becomes a ``Point``.
"""

from __future__ import annotations

from collections.abc import Callable

from explorer.errors import did_you_mean
from explorer.grammar.names import VARIABLES, Names, find_op
from explorer.grammar.syntax import Problems, Scalar
from explorer.grammar.tokens import ExpressionError, TooMuch
from explorer.grammar.tree import (
    Alternatives,
    Broken,
    Copied,
    Group,
    Item,
    MergeItem,
    OpItem,
    Place,
    Reference,
    Repeat,
    Value,
    Word,
)
from explorer.grammar.values import ValueParser
from explorer.ops.base import Argument
from explorer.ops.merge import MERGES

MAX_REPEAT = 10_000
MAX_COUNTS = 256


def parse_expression(
    scalar: Scalar, names: Names, problems: Problems, owner: str, scope: str, *, numeric: bool, copied: str = ""
) -> Item | Value:
    """The tree of one expression; its faults go to ``problems``, and ``Broken`` stands where they are.

    ``owner`` names its choice points, ``scope`` says how often they are drawn; ``copied`` is the
    keyword (``post`` or ``pre``) that may stand here.
    """
    faults: list[Broken] = []
    try:
        parser = Parser(scalar.text, names, owner, scope, scalar.place, faults, copied)
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


class Parser(ValueParser):
    """Recursive descent over layers. ``copied``: the keyword (``post`` or ``pre``) that may stand here."""

    def __init__(
        self,
        text: str,
        names: Names,
        owner: str,
        scope: str,
        place: Callable[[int], Place] = lambda offset: (1, 1 + offset),
        faults: list[Broken] | None = None,
        copied: str = "",
    ):
        super().__init__(text, names, owner, scope, place, faults)
        self.copied = copied

    def structure_rule(self) -> Item:
        tree = self.structure()
        if self.now.kind != "end":
            self.need("end", "a layer, '|' or the end")
        return self.named(tree)

    def structure(self) -> Item:
        start = self.now.offset
        options, labels = self.options(self.sequence)
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

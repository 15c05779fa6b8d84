"""Parser of expressions: from text to a tree.

    expr    := seq { "|" seq }
    seq     := { item | ";" }                             `none`, or `identity`, is the empty sequence
    item    := atom [ "?" | "{" n [ "," m ] "}" ]
    atom    := name [ "(" arg { "," arg } ")" ] | "(" expr ")" | fork | tap | "+" | "cat" | "gate(b=-6)"
             | by_block "(" expr { "," expr } [ "," "..." ] ")"
    fork    := ( "sum" | "cat" | "product" | "split" ) "(" expr "," expr { "," expr } ")"
    tap     := ( "tap" | "from" ) "(" name ")"
    arg     := [ name "=" ] ( sum | item | word )         a number (``values.py``), an activation, or one of some words

Arguments follow their name without a blank (``conv3x3(16)``); a bracket after a blank is a group.
Alternatives, ``?`` and ``{n,m}`` become a ``Point``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from explorer.errors import Edit, did_you_mean, similar_names
from explorer.extensions.lookup import own_hint, why_unknown
from explorer.networks.ops.base import Argument
from explorer.networks.ops.merge import MERGES
from explorer.space.further_nodes import ForkItem, TapItem, UnitEnd
from explorer.space.grammar import (
    Alternatives,
    Broken,
    Copied,
    Group,
    MergeItem,
    Node,
    OpItem,
    Place,
    Reference,
    Repeat,
    Word,
)
from explorer.space.language.names import (
    BY_PLACE,
    FORKS,
    FUNCTIONS,
    TAPS,
    USUAL,
    VARIABLES,
    Names,
    find_op,
    nearest_size,
    unsized,
)
from explorer.space.language.tokens import ExpressionError, Token
from explorer.space.language.values import ValueParser

MAX_REPEAT = 10_000
MAX_COUNTS = 256


class Parser(ValueParser):
    """Recursive descent parser of layers.

    Args:
        text: The expression.
        names: The names of this file.
        owner: The name of the expression's choice points.
        scope: The scope of the choice points.
        place: Returns line and column of an offset in the expression.
        faults: Receives the errors after which parsing can continue.
        copied: The keyword, ``post`` or ``pre``, that is allowed here; empty for neither.
    """

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
        self.forks = 0  # around the current token

    def structure_rule(self) -> Node:
        """Parse the whole text as layers."""
        tree = self.structure()
        if self.now.kind != "end":
            self.need("end", "a layer, '|' or the end")
        return self.named(tree)

    def structure(self, ends: tuple[str, ...] = ()) -> Node:
        """Parse sequences between '|'. ``ends``: tokens after which the expression ends, besides ')'."""
        start = self.now.offset
        options, labels = self.options(lambda: self.sequence(ends))
        if len(options) == 1:
            return options[0]
        if not all(labels) and self.owner in ("block", "first"):
            message = (
                "an empty alternative; leave out its '|', or write 'zero +' for a block that is its shortcut alone"
            )
            raise ExpressionError(start, message, *self.without_gaps(start))
        if not all(labels):
            raise ExpressionError(
                start, "an empty alternative; write 'none' for no layer at all", *self.none_in_gaps(start)
            )
        return Alternatives(self.point(start, labels), tuple(options))

    def none_in_gaps(self, start: int) -> list[Edit]:
        """Return the edits that write ``none`` for the empty alternatives from ``start`` to the token read last."""
        gaps = re.finditer(r"(?:(?<=\|)|^)[ ]*(?=\||$)", self.text[start : self.now.offset])
        return [Edit(start + gap.start(), start + gap.end(), " none ") for gap in gaps]

    def without_gaps(self, start: int) -> list[Edit]:
        """Return the edits that leave out the '|' of empty alternatives, as ``none_in_gaps``."""
        gaps = re.finditer(r"\s*\|(?=\s*(?:\||$))", self.text[start : self.now.offset])
        return [Edit(start + gap.start(), start + gap.end(), "") for gap in gaps]

    def sequence(self, ends: tuple[str, ...] = ()) -> Group:
        """Parse items up to '|', ')', one of ``ends`` or the end."""
        items = []
        while self.now.kind not in ("end", "|", ")", *ends):
            items.append(self.unit_end() if self.now.kind == ";" else self.item())
        return Group(tuple(items))

    def unit_end(self) -> Node:
        """Parse ';'."""
        end = self.need(";", "';'")
        if self.forks:
            raise ExpressionError(end.offset, "';' ends a unit of a block; write it outside of forks")
        return UnitEnd(self.place(end.offset))

    def item(self) -> Node:
        """Parse an atom with its '?' or '{n,m}'."""
        start = self.now.offset
        atom = self.atom()
        end = self.last.offset + len(self.last.text)
        if self.now.kind == "?":
            self.bound_to_item(end)
        if self.take("?"):
            return Repeat(atom, (0, 1), self.point(start, ["none", self.spelled(start, end)]))
        if self.take("{"):
            low = self.count()
            high = self.count() if self.take(",") else low
            self.need("}", "'}'")
            if high < low:
                opening = self.text.rindex("{", 0, self.last.offset)
                turned = Edit(opening, self.last.offset + 1, f"{{{high},{low}}}")
                message = f"repeated {low} to {high} times: the second count is the smaller; write {turned.text}"
                raise ExpressionError(start, message, turned)
            if high - low >= MAX_COUNTS:
                raise ExpressionError(
                    start, f"{high - low + 1:,} counts to choose from; at most {MAX_COUNTS} are allowed"
                )
            counts = tuple(range(low, high + 1))
            return Repeat(atom, counts, self.point(start, [str(n) for n in counts]) if len(counts) > 1 else None)
        return atom

    def bound_to_item(self, end: int) -> None:
        """Raise ExpressionError for a '?' after a blank and directly before the next layer, as in ``bn ?relu``."""
        sign, after = self.now.offset, self.tokens[self.at + 1]
        if sign > end and after.kind == "name" and after.offset == sign + 1:
            moved = Edit(sign, after.offset + len(after.text), f"{after.text}?")
            raise ExpressionError(sign, f"'?' follows what is optional; write {after.text}?", moved)

    def count(self) -> int:
        """Parse a number of repetitions."""
        token = self.need("number", "a whole number of repetitions, as in {2} or {1,3}")
        if not token.text.isdigit() or int(token.text) > MAX_REPEAT:
            raise ExpressionError(
                token.offset, f"a repetition is a whole number up to {MAX_REPEAT:,}, found {token.text}"
            )
        return int(token.text)

    def atom(self) -> Node:
        """Parse a merge, a group in brackets, or a name with its arguments."""
        token = self.now
        place = self.place(token.offset)
        if self.take("+"):
            self.no_merge_in_fork(token)
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
        if self.is_rule(name):
            return self.rule(token, place)
        if name in BY_PLACE and self.adjacent_bracket():
            self.deeper(token.offset)
            made = self.by_place(name, place, lambda: self.structure(ends=(",",)))
            self.depth -= 1
            return made
        if name in ("none", "identity"):
            return Group(())
        if name in FORKS and self.adjacent_bracket():
            return self.fork(token, place)
        if name in TAPS and self.adjacent_bracket():
            self.take("(")
            tapped = self.need("name", f"the name of a tensor, as in {name}(a)").text
            self.need(")", f"')': {name} takes one name")
            return TapItem(name, tapped, place)
        if name in ("cat", "gate"):
            self.no_merge_in_fork(token)
            merge = MERGES[name]
            return MergeItem(merge, self.arguments(name, merge.arguments, 1), place)
        if name in ("post", "pre"):
            if name != self.copied or self.forks:
                home = {"post": "the stem", "pre": "the head"}[name] + (", outside of forks" if self.forks else "")
                start, end = token.offset, token.offset + len(name)
                removed = Edit(start - 1, end, "") if start else Edit(start, end + 1, "")
                return self.fault(token.offset, f"{name!r} is allowed only in {home}", removed)
            return Copied(name, place)
        return self.op(name, token.offset, place)

    def rule(self, token: Token, place: Place) -> Node:
        """Return the reference to a rule whose name was read."""
        name = token.text
        if self.names.rules[name] and name not in self.names.broken:
            raise ExpressionError(token.offset, self.mixed(name))
        if self.adjacent_bracket():
            end = self.text.find(")", self.now.offset) + 1
            brackets = [Edit(self.now.offset, end, "")] if end else []
            return self.fault(self.now.offset, f"the rule {name!r} takes no arguments", *brackets)
        return Reference(name, place)

    def op(self, name: str, offset: int, place: Place) -> Node:
        """Parse the arguments of an op whose name was read."""
        try:
            found = find_op(name)
        except ValueError as error:
            near = nearest_size(name)
            return self.fault(offset, str(error), *([Edit(offset, offset + len(name), near)] if near else []))
        if found is None:
            if name in (*FORKS, *TAPS):
                example = f"{name}(conv3x3 bn, identity)" if name in FORKS else f"{name}(a)"
                raise ExpressionError(offset, f"{name!r} needs its brackets directly after it, as in {example}")
            if name in VARIABLES or name in FUNCTIONS or name in BY_PLACE or name == "range":
                raise ExpressionError(offset, self.mixed(name))
            known = self.names.structural()
            hint = why_unknown("op", unsized(name)) or did_you_mean(name, known) or own_hint("op")
            message = f"unknown name {name[:64]!r}{self.context(offset)}{hint}"
            return self.fault(offset, message, *renamed(offset, name, known))
        op, kernel = found
        faults = len(self.faults)
        arguments = self.arguments(name, op.arguments, op.positional)
        if len(self.faults) > faults:
            return self.faults[faults]
        if lacking := op.lacking([argument.field for argument, _ in arguments]):
            written = ", ".join(f"{argument}={USUAL.get(argument, '1')}" for argument in lacking)
            edits = [Edit(offset, offset + len(name), f"{name}({written})")] if self.last.text == name else []
            return self.fault(offset, f"{name} needs {', '.join(lacking)}, as in {name}({lacking[0]}=...)", *edits)
        return OpItem(op, kernel, arguments, place)

    def fork(self, token: Token, place: Place) -> Node:
        """Parse the paths of a fork whose name was read."""
        name, _, start = token.text, self.take("("), self.now.offset
        self.deeper(token.offset)
        self.forks += 1
        paths: list[Node] = []
        while True:
            is_empty = self.now.kind in (",", ")")
            paths.append(self.structure(ends=(",",)))
            if is_empty and (len(paths) > 1 or self.now.kind == ","):
                empty = Edit(self.now.offset, self.now.offset, "identity")
                message = f"path {len(paths)} of {name} is empty; write 'identity' for a path without layers"
                raise ExpressionError(self.now.offset, message, empty)
            if not self.take(","):
                break
        end = self.need(")", "',' before the next path, another layer or ')'").offset
        self.forks -= 1
        self.depth -= 1
        if len(paths) == 1:
            inside = self.text[start:end].strip()
            plain = " or 'cat' without brackets for the merge of a block" if name == "cat" else ""
            message = f"{name} joins at least two paths, as in {name}(conv3x3 bn, identity); found "
            message += f"one: write its layers without {name}{plain}" if inside else f"none: write the paths{plain}"
            new = inside or ("cat" if name == "cat" else "")
            edits = [Edit(token.offset, end + 1, new)] if new else []
            return self.fault(token.offset, message, *edits)
        return ForkItem(name, tuple(paths), place)

    def no_merge_in_fork(self, token: Token) -> None:
        """Raise ExpressionError for a merge in a path of a fork."""
        if self.forks:
            message = f"the merge {token.text!r} is in a path of a fork, where no shortcut is"
            start = len(self.text[: token.offset].rstrip())
            is_between = token.text == "+" and self.now.kind not in (",", ")", "end")
            comma = [Edit(start, token.offset + 1, ",")] if is_between else []
            fix = "separate paths by commas, or write sum(..., identity), or cat(identity, ...) for 'cat'"
            raise ExpressionError(token.offset, f"{message}; {fix}", *comma)

    def mixed(self, found: str) -> str:
        """Return the message for a number among layers."""
        return (
            f"the number {found[:40]!r} is among layers; numbers are allowed in arguments and in rules of numbers only"
        )

    # Arguments

    def arguments(self, name: str, known: tuple[Argument, ...], positional: int) -> tuple[tuple[Argument, Node], ...]:
        """Parse the bracket of arguments after ``name``, if there is one.

        Args:
            name: The op or merge, for messages.
            known: Its arguments.
            positional: Number of arguments that need no name.
        """
        if not self.adjacent_bracket():
            return ()
        self.deeper(self.now.offset)
        self.take("(")
        given: dict[str, tuple[Argument, Node]] = {}
        by_name = {argument.name: argument for argument in known}
        while not self.take(")"):
            token = self.now
            if token.kind == "name" and self.tokens[self.at + 1].kind == "=":
                self.at += 2
                argument = by_name.get(token.text)
                if argument is None:
                    near = did_you_mean(token.text, by_name)
                    has = ", ".join(by_name) or "none"
                    message = f"{name} has no argument {token.text[:40]!r}; it has: {has}{near}"
                    edits = renamed(token.offset, token.text, by_name)
                    self.faults.append(Broken(self.place(token.offset), message, edits))
                    self.skip_value()
                    continue
            else:
                if len(given) >= positional or len(given) >= len(known):
                    takes = ", ".join(by_name) or "no arguments"
                    raise ExpressionError(token.offset, f"write the argument's name; {name} takes {takes}")
                argument = known[len(given)]
            if argument.name in given:
                raise ExpressionError(token.offset, f"the argument {argument.name!r} is given twice")
            given[argument.name] = (argument, self.argument_value(argument))
            if self.now.kind == "|":
                fix = "write alternatives of numbers in brackets, as in (8 | 16), or as a rule"
                raise ExpressionError(
                    self.now.offset, f"found '|', expected ',' or ')'; {fix}", *self.in_brackets(token.offset)
                )
            if self.now.kind != ")":
                self.need(",", "',' or ')'")
        self.depth -= 1
        return tuple(given.values())

    def in_brackets(self, start: int) -> list[Edit]:
        """Return the edits that put the alternatives of an argument in brackets."""
        named = re.match(r"\w+\s*=\s*", self.text[start:])
        end = re.match(r"[^(),]*(?:\([^()]*\)[^(),]*)*", self.text[start:])
        if end is None:
            return []
        first = start + (named.end() if named else 0)
        return [Edit(first, first, "("), Edit(start + end.end(), start + end.end(), ")")]

    def argument_value(self, argument: Argument) -> Node:
        """Parse a value of an argument of this kind."""
        if argument.kind == "activation":
            return self.item()
        if argument.kind == "word":
            token = self.need("name", f"one of {', '.join(argument.words)}")
            if token.text not in argument.words:
                raise ExpressionError(
                    token.offset, f"{argument.name} is one of {', '.join(argument.words)}, found {token.text[:40]!r}"
                )
            return Word(token.text)
        if self.now.kind == "size" and argument.kind != "size":
            raise ExpressionError(self.now.offset, f"{self.now.text!r} is a size, expected a number")
        if self.now.text in argument.words and self.now.text not in self.names.rules:
            return Word(self.need("name", "a word").text)
        return self.sum()


def renamed(offset: int, name: str, known: Iterable[str]) -> tuple[Edit, ...]:
    """Return the edit that writes the known name that is most similar to ``name``; nothing without one."""
    near = similar_names(name, known)
    return (Edit(offset, offset + len(name), near[0]),) if near else ()

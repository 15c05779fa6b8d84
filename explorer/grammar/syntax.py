"""YAML with positions: a space file as mappings, sequences and scalars that know where they stand.

Only the plain core of YAML is read. Limits are kept on the stream of parse events, before any
object is made, so that a hostile file (alias bombs, deep nesting, tags, huge scalars) costs less
than a second and ends in one clear line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from explorer.errors import Problem, SpaceError, did_you_mean

MAX_BYTES = 1 << 20
MAX_EVENTS = 20_000
MAX_DEPTH = 32
MAX_SCALAR = 4_096
MAX_PROBLEMS = 100

# Plain scalars that YAML readers disagree about: booleans, octals, base-60 numbers, nulls.
_AMBIGUOUS = re.compile(r"(?i:yes|no|on|off|true|false|null|~)|0[0-9]+|0[xob][0-9a-f]+|[0-9]+(:[0-9]+)+|[0-9.]+e[0-9]+")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text and where each of its characters stands. ``line`` and ``column`` count from 1."""

    text: str
    line: int
    column: int
    columns: tuple[tuple[int, int], ...] = ()

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of the character at ``offset`` of the text."""
        if not self.columns:
            return self.line, self.column + offset
        return self.columns[min(offset, len(self.columns) - 1)]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys in the order of the file; none is repeated."""

    items: tuple[tuple[Scalar, Node], ...]
    line: int
    column: int

    def get(self, key: str) -> Node | None:
        return next((node for name, node in self.items if name.text == key), None)


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    line: int
    column: int


Node = Scalar | Mapping | Sequence


class Problems:
    """Collects the faults of one file, so that one reading reports them all."""

    def __init__(self, source: str):
        self.source = source
        self.found: list[Problem] = []

    def add(self, place: tuple[int, int] | Node, message: str) -> None:
        line, column = place if isinstance(place, tuple) else (place.line, place.column)
        self.found.append(Problem(self.source, line, column, message))
        if len(self.found) >= MAX_PROBLEMS:
            self.found.append(
                Problem(self.source, line, column, f"more than {MAX_PROBLEMS} faults; the rest is not read")
            )
            raise SpaceError(self.found)

    def check(self) -> None:
        """Raise all that was found, if anything was."""
        if self.found:
            raise SpaceError(self.found)


def read_yaml(data: bytes, problems: Problems) -> Mapping:
    """The one mapping that a file holds. Repeated keys are added to ``problems``; what cannot be read
    at all raises SpaceError with line and column."""

    def refuse(place: tuple[int, int], message: str):
        problems.add(place, message)
        raise SpaceError(problems.found)

    if len(data) > MAX_BYTES:
        refuse((1, 1), f"the file has {len(data):,} bytes, at most {MAX_BYTES:,} are read")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        refuse((data[: error.start].count(b"\n") + 1, 1), f"not UTF-8: {error.reason}")
    text = text.replace("\r\n", "\n")
    if found := _CONTROL.search(text):
        line, column = _line_column(text, found.start())
        refuse((line, column), f"control character U+{ord(found[0]):04X}; only printable text may stand")
    try:
        return _Composer(text, problems).document()
    except SpaceError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = " ".join(str(error.problem or error.context).split())
        hint = "; in {...} commas and colons split: quote an expression that holds one" if "{" in text else ""
        refuse(place, f"not YAML: {message}{hint}")
    except (YAMLError, ValueError, RecursionError, AttributeError, IndexError, TypeError, AssertionError) as error:
        # The YAML reader lets a few of its own slips through on malformed input.
        refuse((1, 1), f"not YAML: {' '.join(str(error).split())[:200] or type(error).__name__}")


def _line_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


class _Composer:
    """Nodes from the reader's events, with the limits kept on each."""

    def __init__(self, text: str, problems: Problems):
        self.text = text
        self.problems = problems
        self.events = self._limited()

    def _refuse(self, event, message: str):
        self.problems.add((event.start_mark.line + 1, event.start_mark.column + 1), message)
        raise SpaceError(self.problems.found)

    def _limited(self) -> Iterator:
        depth = documents = 0
        for count, event in enumerate(YAML(typ="safe", pure=True).parse(self.text)):
            if count > MAX_EVENTS:
                self._refuse(event, f"more than {MAX_EVENTS:,} YAML events")
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second YAML document; a space file holds one")
            if isinstance(event, AliasEvent):
                self._refuse(event, f"alias '*{event.anchor}'; write the text out")
            if getattr(event, "anchor", None):
                self._refuse(event, f"anchor '&{event.anchor}'; write the text out")
            if getattr(event, "ctag", None) is not None and event.ctag.trval:
                tag = str(event.ctag.trval).replace("tag:yaml.org,2002:", "!!")
                self._refuse(event, f"tag {tag[:60]!r}; a space file has no tags")
            if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                depth += 1
                if depth > MAX_DEPTH:
                    self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
            if isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                depth -= 1
            yield event

    def document(self) -> Mapping:
        for event in self.events:
            if isinstance(event, (MappingStartEvent, SequenceStartEvent, ScalarEvent)):
                root = self._node(event)
                if not isinstance(root, Mapping):
                    self._refuse(event, "a space file is a mapping: 'name:', 'stem:', 'stages:', 'block:', ...")
                for _ in self.events:  # reads on to the end, where a second document would show
                    pass
                return root
        self.problems.add((1, 1), "the file is empty; a space file is a mapping: 'name:', 'stem:', 'stages:', ...")
        raise SpaceError(self.problems.found)

    def _node(self, event) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if isinstance(event, SequenceStartEvent):
            items = []
            for child in self.events:
                if isinstance(child, SequenceEndEvent):
                    break
                items.append(self._unsplit(self._node(child), event, child))
            return Sequence(tuple(items), line, column)
        pairs: dict[str, tuple[Scalar, Node]] = {}
        for child in self.events:
            if isinstance(child, MappingEndEvent):
                break
            if not isinstance(child, ScalarEvent):
                self._refuse(child, "a key must be a plain word")
            key = self._scalar(child)
            if key.text == "<<":
                self._refuse(child, "merge key '<<'; write the text out")
            start = next(self.events)
            value = self._unsplit(self._node(start), event, start)
            if key.text in pairs:
                first = pairs[key.text][0]
                self.problems.add(key, f"the key {key.text[:80]!r} stands twice, first in line {first.line}")
                continue
            pairs[key.text] = (key, value)
        return Mapping(tuple(pairs.values()), line, column)

    def _unsplit(self, node: Node, parent, event) -> Node:
        """``node``, unless it is the first half of an expression that YAML split at a comma."""
        plain = isinstance(node, Scalar) and event.style in (None, "")
        if parent.flow_style and plain and any(node.text.count(a) > node.text.count(b) for a, b in ("()", "{}")):
            self._refuse(
                event, f"{node.text[:60]!r} ends at a comma: in {{...}} and [...] commas split; quote the expression"
            )
        return node

    def _scalar(self, event) -> Scalar:
        value, line, column = event.value, event.start_mark.line + 1, event.start_mark.column + 1
        if len(value) > MAX_SCALAR:
            self._refuse(event, f"a text of {len(value):,} characters, at most {MAX_SCALAR:,} may stand in one value")
        if found := _CONTROL.search(value):  # written as an escape, as in "\e[31m"
            self._refuse(event, f"control character U+{ord(found[0]):04X}; only printable text may stand")
        plain = event.style in (None, "")
        if plain and _AMBIGUOUS.fullmatch(value):
            self._refuse(
                event, f"{value[:40]!r} means different things to different YAML readers; quote it, or write it out"
            )
        if plain and event.start_mark.line == event.end_mark.line:
            return Scalar(value, line, column)
        return Scalar(value, line, column, self._columns(event))

    def _columns(self, event) -> tuple[tuple[int, int], ...]:
        """Where each character of a quoted, folded or many-line value stands, by aligning what is not blank."""
        source, at = self.text, event.start_mark.index
        if event.style in ("|", ">"):
            at = source.find("\n", at)
        elif event.style in ("'", '"'):
            at += 1
        line, column = _line_column(source, at)
        places, end = [], min(event.end_mark.index, len(source))
        for character in event.value:
            if not character.isspace():
                while at < end and source[at] != character:
                    line, column = (line + 1, 1) if source[at] == "\n" else (line, column + 1)
                    at += 1
            places.append((line, column))
            if at < end and (character == source[at] or not character.isspace()):
                line, column = (line + 1, 1) if source[at] == "\n" else (line, column + 1)
                at += 1
        return tuple(places) or ((line, column),)


def expect_mapping(node: Node, problems: Problems, what: str, known: tuple[str, ...]) -> dict[str, Node]:
    """The entries of a mapping with the given keys; anything else is added to ``problems``."""
    if not isinstance(node, Mapping):
        problems.add(node, f"{what} must be a mapping with the keys {', '.join(known)}")
        return {}
    found = {}
    for key, value in node.items:
        if key.text in known:
            found[key.text] = value
        else:
            message = f"unknown key {key.text[:80]!r} in {what}; known keys: {', '.join(known)}"
            problems.add(key, message + did_you_mean(key.text, known))
    return found

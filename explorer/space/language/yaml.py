"""YAML with positions: a space file as mappings, sequences and scalars with their line and column.

Only the plain core of YAML is read: no anchors, tags, merge keys or second documents. The limits are checked on the
stream of parse events, before any object is made, so that a malicious file (alias bombs, deep nesting, huge scalars)
is rejected with one error within a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from explorer.errors import Edit, Problem, SpaceError
from explorer.space.grammar import Place
from explorer.space.language.names import is_known
from explorer.space.language.source_text import (
    in_yaml,
    line_column,
    line_of,
    quoted_whole,
    unambiguous,
    with_plain_line_ends,
)
from explorer.space.language.yaml_faults import yaml_fault

MAX_BYTES = 1 << 20
MAX_EVENTS = 20_000
MAX_DEPTH = 32
MAX_SCALAR = 4_096
MAX_PROBLEMS = 100

# Plain scalars that YAML readers disagree about: booleans, octals, base-60 numbers, nulls.
_AMBIGUOUS = re.compile(r"(?i:yes|no|on|off|true|false|null|~)|0[0-9]+|0[xob][0-9a-f]+|[0-9]+(:[0-9]+)+|[0-9.]+e[0-9]+")
Span = tuple[int, int]
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text.

    Attributes:
        text: The value, without quotes.
        line: Its first line, from 1.
        column: Its first column, from 1.
        span: Offsets of its start and its end in the file, with the quotes.
        is_plain: Whether it has no quotes and is not a block of lines.
        in_flow: Whether it is inside {...} or [...].
        places: Line and column of each character; empty if all are in one line.
        is_translated: Whether it is the translation of what the file has, which is reported.
    """

    text: str
    line: int
    column: int
    span: Span = (0, 0)
    is_plain: bool = True
    in_flow: bool = False
    places: tuple[Place, ...] = ()
    is_translated: bool = False

    def place(self, offset: int) -> Place:
        """Return line and column of the character at ``offset``."""
        if not self.places:
            return self.line, self.column + offset
        return self.places[min(offset, len(self.places) - 1)]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with their values, in the order of the file. No key is repeated."""

    items: tuple[tuple[Scalar, Entry], ...]
    line: int
    column: int
    span: Span = (0, 0)
    in_flow: bool = False

    def get(self, key: str) -> Entry | None:
        """Return the value of a key; None without one."""
        return next((node for name, node in self.items if name.text == key), None)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Entries in the order of the file."""

    items: tuple[Entry, ...]
    line: int
    column: int
    span: Span = (0, 0)
    in_flow: bool = False


Entry = Scalar | Mapping | Sequence


def kind_of(entry: Entry) -> str:
    """Return what an entry is, for messages."""
    return {Scalar: "a text", Sequence: "a list", Mapping: "a mapping"}[type(entry)]


def edit_of(text: str, entry: Entry, value: str) -> Edit:
    """Return the edit of a file that writes ``value`` in place of an entry, in its line or in that of its key.

    Args:
        text: The text of the file.
        entry: The entry.
        value: The new value: an expression, or a list or a mapping of YAML in one line.
    """
    start, end = entry.span
    is_list = value[:1] in ("[", "{")
    in_quotes = isinstance(entry, Scalar) and not entry.is_plain and text[start : start + 1] in "'\"" and not is_list
    new = value if is_list else in_yaml(value, entry.in_flow)
    if in_quotes and new == value:
        new = f"{text[start]}{value}{text[start]}"
    before = text[:start]
    if before.rstrip(" ").endswith("\n") and before.rstrip().endswith(":"):
        return Edit(len(before.rstrip()), end, f" {new}")  # the value begins below its key
    return Edit(start, end, f" {new}" if before.endswith(":") else new)


class Problems:
    """The errors of one file, collected so that one pass reports them all.

    Attributes:
        source: The file's name.
        text: The file's text, once it is decoded.
        found: The errors so far.
        faulty_names: Names with an error where they are defined: errors where they are used are left out.
    """

    def __init__(self, source: str):
        self.source = source
        self.text = ""
        self.found: list[Problem] = []
        self.faulty_names: list[str] = []

    def add(self, place: Place | Entry, message: str, *edits: Edit) -> None:
        """Add an error, unless the line has the same one at an earlier place, or a faulty name is there.

        Args:
            place: Its place, or the entry that has it.
            message: What was found, and what was expected.
            edits: Edits of the file that may fix it, the most probable first.

        Raises:
            SpaceError: When there are too many errors.
        """
        line, column = place if isinstance(place, tuple) else (place.line, place.column)
        if any((other.line, other.message) == (line, message) for other in self.found):
            return
        if any(self._is_in(name, line, column) for name in self.faulty_names):
            return
        self.found.append(Problem(self.source, line, column, message, line_of(self.text, line), edits=edits))
        if len(self.found) >= MAX_PROBLEMS:
            message = f"more than {MAX_PROBLEMS} errors; the rest of the file is not read"
            self.found.append(Problem(self.source, line, column, message))
            raise SpaceError(self.found)

    def _is_in(self, name: str, line: int, column: int) -> bool:
        uses = re.finditer(rf"(?<![\w-]){re.escape(name)}(?![\w-])", line_of(self.text, line))
        return any(use.start() < column <= use.end() for use in uses)

    def check(self) -> None:
        """Raise SpaceError if there are errors."""
        if self.found:
            raise SpaceError(self.found)


def read_yaml(data: bytes, problems: Problems) -> Mapping:
    """Return the one mapping of a file.

    Args:
        data: The file's bytes, in UTF-8.
        problems: Receives repeated keys.

    Raises:
        SpaceError: With line and column, if the file cannot be read at all.
    """

    def refuse(place: Place, message: str) -> NoReturn:
        problems.add(place, message)
        raise SpaceError(problems.found)

    if len(data) > MAX_BYTES:
        refuse((1, 1), f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are allowed")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        encoding = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"not UTF-8: {error.reason}"
        refuse((data[: error.start].count(b"\n") + 1, 1), f"{encoding}; save the file as UTF-8")
    text = problems.text = with_plain_line_ends(text)
    if found := _CONTROL.search(text):
        line, column = line_column(text, found.start())
        refuse((line, column), f"control character U+{ord(found[0]):04X}; only printable text is allowed")
    try:
        return _Composer(text, problems).document()
    except SpaceError:
        raise
    except MarkedYAMLError as error:
        fault = yaml_fault(text, error)
        problems.add(fault.place, fault.message, *fault.edits)
        raise SpaceError(problems.found) from None
    except (YAMLError, ValueError, RecursionError, AttributeError, IndexError, TypeError, AssertionError) as error:
        # The YAML parser raises a few internal errors on malformed input.
        refuse((1, 1), f"not YAML: {' '.join(str(error).split())[:200] or type(error).__name__}")


class _Composer:
    """Builds entries from the parser's events and checks the limits on each event."""

    def __init__(self, text: str, problems: Problems):
        self.text = text
        self.problems = problems
        self.events = self._limited()

    def _refuse(self, event: Event, message: str, *edits: Edit) -> NoReturn:
        self.problems.add((event.start_mark.line + 1, event.start_mark.column + 1), message, *edits)
        raise SpaceError(self.problems.found)

    def _limited(self) -> Iterator[Event]:
        depth = documents = 0
        for count, event in enumerate(YAML(typ="safe", pure=True).parse(self.text)):
            if count > MAX_EVENTS:
                self._refuse(event, f"more than {MAX_EVENTS:,} YAML events")
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second YAML document; a space file is one document")
            if isinstance(event, AliasEvent):
                start = event.start_mark.index
                without = [Edit(start, start + 1, "")] if is_known(event.anchor) else []
                self._refuse(event, f"alias '*{event.anchor}'; write the text out", *without)
            if getattr(event, "anchor", None):
                start = event.start_mark.index
                removed = Edit(start, start + 2 + len(event.anchor), "")
                self.problems.add(
                    (event.start_mark.line + 1, event.start_mark.column + 1),
                    f"anchor '&{event.anchor}'; write the text out",
                    removed,
                )
                self._add_aliases(event.anchor, start)
                raise SpaceError(self.problems.found)
            if getattr(event, "ctag", None) is not None and event.ctag.trval:
                tag = str(event.ctag.trval).replace("tag:yaml.org,2002:", "!!")
                start = event.start_mark.index
                written = re.match(r"!\S*\s*", self.text[start:])
                untagged = [Edit(start, start + written.end(), "")] if written else []
                self._refuse(event, f"tag {tag[:60]!r}; a space file has no tags", *untagged)
            if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                depth += 1
                if depth > MAX_DEPTH:
                    self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
            if isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                depth -= 1
            yield event

    def _add_aliases(self, anchor: str, start: int) -> None:
        """Add an error for each alias of the anchor at ``start``, with its text if that is in the anchor's line."""
        text = re.match(r"&\S+\s+([^\n#&]*[^\n#&\s,\]}])", self.text[start:])
        for alias in re.finditer(rf"(?<=[\s,\[{{])\*{re.escape(anchor)}(?![\w-])", self.text):
            written = [Edit(*alias.span(), text[1])] if text else []
            place = line_column(self.text, alias.start())
            self.problems.add(place, f"alias '{alias[0]}'; write the text out", *written)

    def document(self) -> Mapping:
        for event in self.events:
            if isinstance(event, (MappingStartEvent, SequenceStartEvent, ScalarEvent)):
                root = self._entry(event)
                if not isinstance(root, Mapping):
                    self._refuse(event, "a space file is a mapping: 'name:', 'stem:', 'stages:', 'block:', ...")
                for _ in self.events:  # up to the end, which a second document would follow
                    pass
                return root
        self.problems.add((1, 1), "the file is empty; a space file is a mapping: 'name:', 'stem:', 'stages:', ...")
        raise SpaceError(self.problems.found)

    def _entry(self, event: Event, in_flow: bool = False) -> Entry:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, ScalarEvent):
            return self._scalar(event, in_flow)
        assert isinstance(event, CollectionStartEvent)
        start_index = last = event.start_mark.index
        if isinstance(event, SequenceStartEvent):
            items = []
            for child in self.events:
                if isinstance(child, SequenceEndEvent):
                    break
                items.append(self._unsplit(self._entry(child, event.flow_style), event, child))
                last = items[-1].span[1]
            end = child.end_mark.index if event.flow_style else last
            return Sequence(tuple(items), line, column, (start_index, end), in_flow)
        pairs: dict[str, tuple[Scalar, Entry]] = {}
        for child in self.events:
            if isinstance(child, MappingEndEvent):
                break
            if not isinstance(child, ScalarEvent):
                self._refuse(child, "a key must be a plain word")
            key = self._scalar(child, event.flow_style)
            if key.text == "<<":
                self._refuse(child, "merge key '<<'; write the text out")
            start = next(self.events)
            value = self._unsplit(self._entry(start, event.flow_style), event, start)
            if isinstance(value, Scalar) and not value.text and value.is_plain:
                value = replace(value, line=key.line, column=key.column)  # YAML has it at the next word
            last = value.span[1]
            if key.text in pairs:
                first = pairs[key.text][0]
                self.problems.add(key, f"the key {key.text[:80]!r} occurs twice, first in line {first.line}")
                continue
            pairs[key.text] = (key, value)
        end = child.end_mark.index if event.flow_style else last
        return Mapping(tuple(pairs.values()), line, column, (start_index, end), in_flow)

    def _unsplit(self, node: Entry, parent: CollectionStartEvent, event: Event) -> Entry:
        """Return ``node``. Refuse it if it is the first half of an expression that YAML split at a comma."""
        plain = isinstance(event, ScalarEvent) and _is_plain(event)
        if parent.flow_style and plain and isinstance(node, Scalar) and _has_open_bracket(node.text):
            message = f"{node.text[:60]!r} ends at a comma: YAML splits at commas in {{...}} and [...]"
            self._refuse(event, f"{message}; quote the expression", *quoted_whole(self.text, node.span[0]))
        return node

    def _scalar(self, event: ScalarEvent, in_flow: bool) -> Scalar:
        value, line, column = event.value, event.start_mark.line + 1, event.start_mark.column + 1
        if len(value) > MAX_SCALAR:
            self._refuse(event, f"a text of {len(value):,} characters; at most {MAX_SCALAR:,} are allowed")
        if found := _CONTROL.search(value):  # written as an escape, as in "\e[31m"
            self._refuse(event, f"control character U+{ord(found[0]):04X}; only printable text is allowed")
        plain = _is_plain(event)
        if plain and _AMBIGUOUS.fullmatch(value):
            self._refuse(
                event,
                f"{value[:40]!r} means different things to different YAML readers; quote it or write it differently",
                *unambiguous(value, event.start_mark.index, self.text),
            )
        span = event.start_mark.index, event.end_mark.index
        if plain and event.start_mark.line == event.end_mark.line:
            return Scalar(value, line, column, span, plain, in_flow)
        return Scalar(value, line, column, span, plain, in_flow, self._places(event))

    def _places(self, event: ScalarEvent) -> tuple[Place, ...]:
        """Return the place of each character of a quoted, folded or multi-line value.

        The value is aligned with the file by its characters that are not blank.
        """
        source, at = self.text, event.start_mark.index
        if event.style in ("|", ">"):
            at = source.find("\n", at)
        elif event.style in ("'", '"'):
            at += 1
        line, column = line_column(source, at)
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


def _is_plain(event: ScalarEvent) -> bool:
    """Whether a scalar has no quotes and is not a block of lines."""
    return event.style in (None, "")


def _has_open_bracket(text: str) -> bool:
    return any(text.count(opening) > text.count(closing) for opening, closing in ("()", "{}"))

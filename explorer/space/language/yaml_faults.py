"""Find the fault of a text that is not YAML: repairs of one line are tried until the text can be parsed.

A repair is a function of a line. It returns the column of the fault, the repaired line and the message, or None if the
line has no such fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from explorer.errors import Edit, similar_names
from explorer.space.grammar import Place
from explorer.space.language.names import KEYS, is_known
from explorer.space.language.source_text import BRACKETS, applied, in_yaml, line_of

MAX_CHARACTERS = 100_000  # of a text whose repairs are tried
MAX_TRIALS = 60
MAX_BRACKETS = 8
_ENTRY = re.compile(r"(?P<key>\s*(?:- )?[\w.-]+\s*):\s+(?P<value>\S.*?)\s*$")


class YamlFault(NamedTuple):
    """A fault of the YAML, with edits of the text that repair it."""

    place: Place
    message: str
    edits: tuple[Edit, ...] = ()


class Repair(NamedTuple):
    """A repaired line. ``column``: the column of the fault, from 0."""

    column: int
    line: str
    message: str


def yaml_fault(text: str, error: MarkedYAMLError) -> YamlFault:
    """Return the fault that an error of the YAML parser stands for.

    Args:
        text: The text of the file.
        error: The error.
    """
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    trials = 0
    further: YamlFault | None = None  # the first repair after which the error is in a later line
    for number in _suspects(text, error):
        repairs = filter(None, (find(line_of(text, number)) for find in _REPAIRS))
        for repair in chain(repairs, _indented_otherwise(text, number)):
            edit = _line_edit(text, number, repair.line)
            trials += 1
            if trials > MAX_TRIALS or len(text) > MAX_CHARACTERS:
                break
            fault = YamlFault((number, repair.column + 1), f"not YAML: {repair.message}", (edit,))
            remaining = _line_of_error(applied(text, [edit]))
            if remaining is None:
                return fault
            if further is None and remaining > max(place[0], number):
                further = fault
    if further is not None:
        return further
    if line_of(text, place[0]).lstrip().startswith("```"):
        return YamlFault(place, "not YAML: '```' of Markdown; a space file is the text between such lines")
    if re.search(r",\s*,|\[\s*,", line_of(text, place[0])):
        return YamlFault(place, "not YAML: an empty entry of a list; write it, or one comma less")
    message = " ".join(str(error.problem or error.context).split())
    return YamlFault(
        place, f"not YAML: {message}; a section is 'key: expression', a list is [a, b], a comment is # text"
    )


def _suspects(text: str, error: MarkedYAMLError) -> list[int]:
    """Return the numbers of the lines that can have the fault: those of the error, and the ones before them."""
    found = []
    for mark in (error.problem_mark, error.context_mark):
        if mark is not None:
            number = min(mark.line + 1, text.count("\n") + 1)
            before = next((n for n in range(number - 1, 0, -1) if line_of(text, n).strip()), number)
            found += [number, before]
    return [number for number in dict.fromkeys(found) if line_of(text, number).strip()]


def _line_of_error(text: str) -> int | None:
    """Return the line of the first error of the YAML; None without one, a line after the text for an error inside."""
    try:
        for _ in YAML(typ="safe", pure=True).parse(text):
            pass
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return mark.line + 1 if mark else 1
    except (YAMLError, ValueError, RecursionError, AttributeError, IndexError, TypeError, AssertionError):
        return 1
    return None


def _line_edit(text: str, number: int, line: str) -> Edit:
    start = 0
    for _ in range(number - 1):
        start = text.find("\n", start) + 1
    end = text.find("\n", start)
    return Edit(start, len(text) if end < 0 else end, line)


# Repairs, the most specific first


def _in_place_of(found: re.Match[str], new: str, message: str) -> Repair:
    """Return the repair that writes ``new`` in place of a part of a line."""
    line = found.string
    return Repair(found.start(), f"{line[: found.start()]}{new}{line[found.end() :]}", message)


def _with_value(entry: re.Match[str], value: str, message: str) -> Repair:
    """Return the repair that writes another value of an entry."""
    return Repair(entry.start("value"), f"{entry['key']}: {value}", message)


def _tab(line: str) -> Repair | None:
    if "\t" not in line:
        return None
    blank = line[: len(line) - len(line.lstrip())]
    where = "indents with" if "\t" in blank else "separates words by"
    new = blank.replace("\t", "  ") + line.lstrip().replace("\t", " ")
    return Repair(line.index("\t"), new, f"a tab; YAML {where} blanks")


def _other_blank(line: str) -> Repair | None:
    blank = line[: len(line) - len(line.lstrip())]
    other = re.search(r"[^ \t]", blank)
    if other is None:
        return None
    message = f"the blank U+{ord(other[0]):04X}; YAML indents with plain blanks"
    return Repair(other.start(), " " * len(blank) + line.lstrip(), message)


def _comment(line: str) -> Repair | None:
    found = re.match(r"\s*(//|--|%|;|/\*)\s*", line)
    if not found:
        return None
    message = f"{found[1]!r} at the start of a line; a comment is # text"
    return Repair(found.start(1), f"{line[: found.start(1)]}# {line[found.end() :]}", message)


def _repeated_list(line: str) -> Repair | None:
    found = re.search(r"\[([^\[\]]*)\]\s*[*x×]\s*(\d{1,2})\b", line)
    if not found:
        return None
    new = f"[{', '.join([found[1].strip()] * int(found[2]))}]"
    return _in_place_of(found, new, f"{found[0]!r}: a list has all its entries, {new}")


def _wide_signs(line: str) -> Repair | None:
    """Signs of the width of Chinese characters in a list or a mapping; a colon after a key has a repair of its own."""
    found = re.search("[，｛｝［］]|(?<=\\w)：", line) if re.search("[{\\[｛［]", line) else None
    if found is None:
        return None
    new = line
    for wide, sign in (("，", ", "), ("：", ": "), ("｛", "{"), ("｝", "}"), ("［", "["), ("］", "]")):
        new = new.replace(wide, sign)
    message = f"the sign {found[0]!r}; YAML uses {new[found.start()]!r}"
    return Repair(found.start(), re.sub(r"(?<=\S) {2,}", " ", new), message)


def _comparison(line: str) -> Repair | None:
    found = re.search(r"(?<=:)\s+(>=?\s*\d[\w.]*)(?=\s*(?:[,}]|$))", line)
    if not found:
        return None
    new = f"{line[: found.start(1)]}'{found[1]}'{line[found.end(1) :]}"
    return Repair(found.start(1), new, "'>' at the start of a value; YAML uses this sign itself, so quote the value")


def _fork(line: str) -> Repair | None:
    found = re.search(r"\[([^\[\]]*)\]:(sum|cat|product)\b", line)
    if not found:
        return None
    new = f"{found[2]}({', '.join(part.strip() for part in re.split('[|,]', found[1]))})"
    return _in_place_of(found, new, f"':{found[2]}' after a list; parallel paths are written {found[2]}(a, b)")


def _continuation(line: str) -> Repair | None:
    found = re.match(r"([A-Za-z+(][\w.-]*)(?![\w.-]*\s*[:=])", line)
    if not found or similar_names(found[1], KEYS):
        return None
    return Repair(0, f"  {line}", "a line that continues an expression is indented")


def _no_blank_after_colon(line: str) -> Repair | None:
    found = re.match(r"\s*(?:- )?[A-Za-z_][\w-]*:(?=[^\s:/])", line)
    if not found:
        return None
    return Repair(found.end() - 1, f"{found[0]} {line[found.end() :]}", "no blank after ':'; write 'key: expression'")


def _no_blank_in_mapping(line: str) -> Repair | None:
    found = re.search(r"(?<=[{,])\s*[A-Za-z_]+:(?=[\[{'\"\w])", line)
    if not found:
        return None
    new = re.sub(r"(?<=[{,])(\s*[A-Za-z_]+):(?=[\[{'\"\w])", r"\1: ", line)
    return Repair(found.end() - 1, new, "no blank after ':'; write {key: expression, key: expression}")


def _other_sign_for_colon(line: str) -> Repair | None:
    found = re.match(r"(\s*(?:- )?[A-Za-z_][\w-]*)\s*(::?=|=>|->|=|→|：)\s*(?=\S)", line)
    if not found:
        return None
    message = f"{found[2]!r} after a key; write 'key: expression'"
    return Repair(found.start(2), f"{found[1]}: {line[found.end() :]}", message)


def _no_colon(line: str) -> Repair | None:
    found = re.match(r"(\s*[A-Za-z_][\w-]*)(?:\s+(?=\S)|\s*$)", line)
    if not found or re.match(r"\s*[\w-]+\s*:", line):
        return None
    return Repair(
        found.end(1), f"{found[1]}: {line[found.end() :]}".rstrip(), "no ':' after the key; write 'key: expression'"
    )


def _quotes_around_parts(line: str) -> Repair | None:
    entry = _ENTRY.match(line)
    is_part = entry and re.fullmatch(r"\[?(['\"]).*?\1\s*[^\s\]].*", entry["value"])
    if not entry or not is_part:
        return None
    value = entry["value"].replace("'", "").replace('"', "")
    message = "quotes around a part of an expression; write words without quotes, or quote the whole expression"
    return _with_value(entry, in_yaml(value, False), message)


def _open_quote(line: str) -> Repair | None:
    for quote in "'\"":
        if line.count(quote) % 2:
            at = line.rindex(quote)
            tail = re.search(r"\s*[\]}]*\s*$", line)
            end = tail.start() if tail and tail.start() > at else len(line)
            return Repair(at, f"{line[:end]}{quote}{line[end:]}", f"the quote {quote} is not closed")
    return None


def _brackets(line: str) -> Repair | None:
    """Close, remove or exchange the first bracket without a partner, and the others after it."""
    first: Repair | None = None
    for _ in range(MAX_BRACKETS):
        found = _bracket(line)
        if found is None:
            break
        line, first = found.line, first or found
    return first and first._replace(line=line)


def _bracket(line: str) -> Repair | None:
    open_at: list[int] = []
    for at, sign in enumerate(line):
        if sign in BRACKETS:
            open_at.append(at)
        elif sign in BRACKETS.values():
            if not open_at:
                return Repair(at, line[:at] + line[at + 1 :], f"{sign!r} closes nothing")
            opened = open_at.pop()
            expected = BRACKETS[line[opened]]
            if sign != expected:
                # The expected one is missing if one further out fits, else it is another one.
                is_missing = any(BRACKETS[line[outer]] == sign for outer in open_at)
                # A list in braces ends before the next key.
                if is_missing and expected == "]" and (key := re.search(r"\s*,\s*[A-Za-z_]+\s*:\s", line[opened:at])):
                    end = opened + key.start()
                    return Repair(opened, f"{line[:end]}]{line[end:]}", "'[' is not closed")
                rest = line[at:] if is_missing else line[at + 1 :]
                return Repair(at, f"{line[:at]}{expected}{rest}", f"found {sign!r}, expected {expected!r}")
    if not open_at:
        return None
    closing = "".join(BRACKETS[line[at]] for at in reversed(open_at))
    return Repair(open_at[-1], f"{line.rstrip().rstrip(',')}{closing}", f"{line[open_at[-1]]!r} is not closed")


def _dash(line: str) -> Repair | None:
    found = re.match(r"(\s*)- +(?=[\w-]+\s*:)", line)
    message = "'-' before a key; it makes an entry of a list"
    return Repair(found.end(1), found[1] + line[found.end() :], message) if found else None


def _no_comma(line: str) -> Repair | None:
    found = re.search(r"\{[^{}]*?[^\s,{:]( +)[A-Za-z_]+: ", line)
    if not found:
        return None
    new = re.sub(r"(?<=[^\s,{\[:]) +(?=[A-Za-z_]+: )", ", ", line)
    return Repair(found.start(1), new, "no comma between two keys; write {key: expression, key: expression}")


def _two_keys(line: str) -> Repair | None:
    entry = _ENTRY.match(line)
    if not entry or entry["value"][0] in "{['\"" or not (colon := re.search(r":\s", entry["value"])):
        return None
    column = entry.start("value") + colon.start()
    if before_colon := entry["value"][: colon.start()].count("(") - entry["value"][: colon.start()].count(")"):
        value = re.sub(r"(?<=\w):\s+", "=", entry["value"]) if before_colon > 0 else entry["value"]
        return Repair(column, f"{entry['key']}: {value}", "':' after an argument; write name=value")
    if any(map(is_known, entry["value"][: colon.start()].split()[-1:])):
        value = re.sub(r"\s*:\s+", " ", re.sub(r":\s+(\d+),?", r"(\1)", entry["value"]))
        message = "':' in an expression; layers are separated by blanks, and arguments follow in brackets"
        return Repair(column, f"{entry['key']}: {value}", message)
    if entry["key"].strip() in ("name", "about"):
        message = "a second ':' in one line; quote the text"
        return Repair(column, f"{entry['key']}: {in_yaml(entry['value'], True)}", message)
    message = "a second ':' in one line; write several keys as {key: expression, key: expression}"
    value = entry["value"].rstrip(",")
    value = value.removesuffix("}") if value.count("}") > value.count("{") else value
    return Repair(column, f"{entry['key']}: {{{value}}}", message)


def _comma_in_flow(line: str) -> Repair | None:
    found = re.search(r"(?<=: )[^,:{}\[\]]*\{\d+(?:,\s*\d+)?\}(?:[^,:{}\[\]]*[^\s,:{}\[\]])?", line)
    if not found:
        return None
    message = "YAML splits at commas and colons in {...}; quote an expression that has one"
    return _in_place_of(found, f"'{found[0]}'", message)


def _sign_of_yaml(line: str) -> Repair | None:
    entry = _ENTRY.match(line)
    if not entry or entry["value"][0] not in "|>*&!@`%,":
        return None
    value, sign = entry["value"].lstrip("|>*&!@`%, "), entry["value"][0]
    message = f"{sign!r} at the start of an expression; YAML uses this sign itself"
    if sign == "|":
        message += "; an alternative without layers is none"
    return _with_value(entry, value.rstrip("`"), message) if value else None


def _square_group(line: str) -> Repair | None:
    entry = _ENTRY.match(line)
    if not entry or entry["value"][0] not in "[{" or entry["value"][-1] in "]}" or _brackets(line):
        return None
    value = entry["value"].translate(str.maketrans("[]", "()"))
    if value[0] == "{":
        value = re.sub(r"^\{([^{}]*)\}", r"(\1)", value)
    message = f"{entry['value'][0]!r} starts a list of YAML; a group of layers is written (...)"
    return _with_value(entry, in_yaml(value, False), message)


_REPAIRS: tuple[Callable[[str], Repair | None], ...] = (
    _tab,
    _other_blank,
    _comment,
    _repeated_list,
    _wide_signs,
    _comparison,
    _fork,
    _continuation,
    _comma_in_flow,
    _quotes_around_parts,
    _square_group,
    _open_quote,
    _brackets,
    _no_comma,
    _sign_of_yaml,
    _no_blank_after_colon,
    _no_blank_in_mapping,
    _other_sign_for_colon,
    _two_keys,
    _no_colon,
    _dash,
)


def _indented_otherwise(text: str, number: int) -> Iterator[Repair]:
    """Yield a line with the indentation of the lines before it, the nearest first."""
    line = line_of(text, number)
    own = len(line) - len(line.lstrip())
    before = [line_of(text, n) for n in (*range(number - 1, 0, -1), number + 1)]
    depths = [len(other) - len(other.lstrip()) for other in before if other.strip()]
    for depth in dict.fromkeys(depths):
        if "\t" in line[:own]:
            yield Repair(line.index("\t"), " " * depth + line.lstrip(), "a tab; YAML indents with blanks")
        elif depth != own:
            message = f"indented by {own} blanks, keys beside it by {depth}; keys of one mapping have one indentation"
            yield Repair(own, " " * depth + line.lstrip(), message)

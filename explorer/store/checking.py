"""Check what a database holds before anything reckons with it.

A database may be damaged, or come from somebody else. Each column of a row is checked against what the explorer writes
there; the first that differs raises ``DamagedRow``, which says the table, the row, the column, what was found and what
was expected. ``Database.read`` and ``write`` make a StoreError of it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from explorer.system.plain_text import printable

T = TypeVar("T")
DIGEST = re.compile(r"v\d{1,4}-[0-9A-Za-z_-]{1,76}")  # of a network: it becomes part of file names
SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_REASON = 2_000
LAST_MOMENT = 253_402_300_799.0  # the end of the year 9999, in seconds since the epoch
SEEDS = -(2**63), 2**63 - 1


class DamagedRow(Exception):
    """A row that the explorer did not write so."""


class Check(NamedTuple):
    """What a column must hold: whether a value passes, and that in words."""

    passes: Callable[[Any], bool]
    expected: str


def check_row(where: str, row: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Raise DamagedRow unless every column of ``checks`` passes. ``where``: the table and the row, in words."""
    for name, check in checks.items():
        if not check.passes(row[name]):
            raise DamagedRow(f"{where}, column {name}: expected {check.expected}, found {shown(row[name])}")


def read_json(where: str, text: Any, check: Check) -> Any:
    """Return what a column of JSON holds. Raises DamagedRow unless it is JSON that passes ``check``."""
    try:
        value = json.loads(text)
        if "\\u" in text:
            value = _printable(value)
    except (ValueError, TypeError, RecursionError):
        raise DamagedRow(f"{where}: expected JSON, found {shown(text)}") from None
    if not check.passes(value):
        raise DamagedRow(f"{where}: expected JSON of {check.expected}, found {shown(text)}")
    return value


def _printable(value: Any) -> Any:
    if type(value) is str:
        return printable(value)
    if type(value) is list:
        return [_printable(each) for each in value]
    if type(value) is dict:
        return {printable(name): _printable(each) for name, each in value.items()}
    return value


@contextmanager
def damage_at(where: str) -> Iterator[None]:
    """Make a DamagedRow of what is raised when a value of the row is built from its JSON."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DamagedRow(f"{where} does not hold what the explorer writes there ({said})") from error


def shown(value: Any) -> str:
    """A value of a database as part of a message."""
    text = repr(value if not isinstance(value, (str, bytes)) else value[:80])
    return f"{text[:100]} ({type(value).__name__})"


def whole(low: int, high: int = 2**63 - 1) -> Check:
    return Check(lambda value: type(value) is int and low <= value <= high, f"a whole number of at least {low}")


def optional(check: Check) -> Check:
    return Check(lambda value: value is None or check.passes(value), f"{check.expected}, or NULL")


def one_of(*values: str) -> Check:
    return Check(lambda value: type(value) is str and value in values, f"one of {', '.join(values)}")


def matching(pattern: re.Pattern, what: str) -> Check:
    return Check(lambda value: type(value) is str and pattern.fullmatch(value) is not None, what)


def text(longest: int = 1 << 24, shortest: int = 0) -> Check:
    return Check(
        lambda value: type(value) is str and shortest <= len(value) <= longest,
        f"a text of {shortest} to {longest} characters",
    )


def is_number(value: Any) -> bool:
    """Whether it is a finite number. JSON and Python take NaN, infinities and integers beyond all floats, too."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def _is_numbers(value: Any) -> bool:
    return type(value) is dict and all(map(is_number, value.values()))


def _is_texts(value: Any) -> bool:
    return type(value) is dict and all(type(each) is str for each in value.values())


NUMBER = Check(is_number, "a finite number")
MOMENT = Check(lambda value: is_number(value) and 0 <= value <= LAST_MOMENT, "seconds since 1970")
FLAG = Check(lambda value: value is True or value is False, "true or false")
NUMBERS = Check(_is_numbers, "an object of finite numbers")
TEXTS = Check(_is_texts, "an object of texts")
OBJECT = Check(lambda value: type(value) is dict, "an object")
NETWORK = matching(DIGEST, 'the digest of a network, as "v1-0123456789abcdef"')

"""Check what a database holds before it is used.

A database may be damaged, or come from somebody else. Each column of a row is checked against what the explorer writes
there; the first that differs raises ``DamagedRow``, which names the table, the row, the column, the value found and the
value expected. ``Database.read`` and ``write`` turn it into a StoreError.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from explorer.analysis.limits import parse_limit
from explorer.errors import ExplorerError
from explorer.records import Environment, Epoch, TrainingResult, environment_from_json
from explorer.system.plain_text import printable

T = TypeVar("T")
DIGEST = re.compile(r"v\d{1,4}-[0-9A-Za-z_-]{1,76}")  # of a network: it becomes part of file names
SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_REASON = 2_000
LAST_MOMENT = 253_402_300_799.0  # the end of the year 9999, in seconds since the epoch
SEEDS = -(2**63), 2**63 - 1


class DamagedRow(Exception):
    """A row that the explorer did not write in this form."""


class Check(NamedTuple):
    """What a column must hold: whether a value passes, and that in words."""

    passes: Callable[[Any], bool]
    expected: str


class Stored(NamedTuple):
    """How a column keeps a field of a record.

    Attributes:
        check: What a value of the column must be; None where ``load`` checks it.
        load: Returns the field, given the place in words and the value of the column. None: the value itself.
        dump: Returns the value of the column, given the field. None: the field itself.
    """

    check: Check | None = None
    load: Callable[[str, Any], Any] | None = None
    dump: Callable[[Any], Any] | None = None


def json_object(check: Check) -> Stored:
    """A column with the JSON of a dict that passes ``check``."""

    may_be_empty = check.passes({})

    def load(where: str, text: Any) -> Any:
        return {} if text == "{}" and may_be_empty else read_json(where, text, check)

    return Stored(load=load, dump=lambda value: json.dumps(dict(value)))


def json_list(check: Check) -> Stored:
    """A column with the JSON of a list that passes ``check``; the field is a tuple."""

    def load(where: str, text: Any) -> Any:
        return () if text == "[]" else tuple(read_json(where, text, check))

    return Stored(load=load, dump=lambda value: json.dumps(list(value)))


def list_of(check: Callable[[Any], bool], expected: str) -> Check:
    return Check(lambda value: type(value) is list and all(map(check, value)), expected)


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


def matching(pattern: re.Pattern[str], what: str) -> Check:
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
SECONDS = Check(lambda value: is_number(value) and value >= 0, "a number of seconds")
MOMENT = Check(lambda value: is_number(value) and 0 <= value <= LAST_MOMENT, "seconds since 1970")
FLAG = Check(lambda value: value is True or value is False, "true or false")
NUMBERS = Check(_is_numbers, "an object of finite numbers")
TEXTS = Check(_is_texts, "an object of texts")
OBJECT = Check(lambda value: type(value) is dict, "an object")
NETWORK = matching(DIGEST, 'the digest of a network, as "v1-0123456789abcdef"')

_FIGURES = ("val_accuracy", "val_loss", "val_top5", "epochs", "seconds", "images_per_second")


def read_result(where: str, kept: Any) -> TrainingResult | None:
    """Return the training result that a column holds, None for NULL. Raises DamagedRow."""
    if kept is None:
        return None
    with damage_at(where):
        result = TrainingResult.from_json(kept)
        figures = [getattr(result, name) for name in _FIGURES]
        curve = [getattr(epoch, name) for epoch in result.curve for name in Epoch.__dataclass_fields__]
        if not all(type(each) in (int, float) for each in (*figures, *curve)) or not whole(0).passes(result.epochs):
            raise ValueError("a figure that is no number")
        if type(result.precision) is not str:
            raise ValueError("a precision that is no text")
    return result


def _dump_result(result: TrainingResult | None) -> str | None:
    return None if result is None else result.to_json()


def read_environment(digest: Any, kept: Any) -> Environment | None:
    """Return the environment in a row of ``explorer_environments``, None for NULL. Raises DamagedRow."""
    if kept is None:
        return None
    where = f"explorer_environments, row {digest if type(digest) is str else shown(digest)}"
    with damage_at(where):
        found = environment_from_json(json.dumps(read_json(where, kept, OBJECT)))
        texts = (found.device, found.device_name, found.platform, found.python, found.commit)
        if not (all(type(each) is str for each in texts) and TEXTS.passes(found.versions)):
            raise ValueError("a field that is no text")
        if not whole(0).passes(found.threads):
            raise ValueError("a number of threads that is none")
    return found


def _is_latency(found: Any) -> bool:
    """Whether it describes how a latency was measured; empty where none was."""
    if found == {}:
        return True
    if type(found) is not dict or type(found.get("environment")) is not dict:
        return False
    environment, state = found["environment"], found.get("device_state")
    lists = state.values() if type(state) is dict else ()
    return (
        type(environment.get("digest")) is str
        and type(environment.get("device", "")) is str
        and TEXTS.passes(environment.get("versions", {}))
        and NUMBERS.passes(environment.get("limits", {}))
        and (state is None or type(state) is dict)
        and all(type(each) is list and bool(each) and all(map(is_number, each)) for each in lists)
    )


def _are_settings(found: Any) -> bool:
    types = {"data": str, "evaluate": str, "split": dict, "recipe": dict, "costs": list, "objectives": dict}
    return (
        type(found) is dict
        and all(type(found[name]) is kind for name, kind in types.items() if name in found)
        and optional(whole(1)).passes(found.get("epochs"))
    )


def _is_limit(each: Any) -> bool:
    try:
        return type(each) is str and bool(parse_limit(each))
    except ExplorerError:
        return False


def _are_objectives(found: Any) -> bool:
    return type(found) is dict and bool(found) and all(way in ("max", "min") for way in found.values())


RESULT = Stored(load=read_result, dump=_dump_result)
LATENCY = Check(_is_latency, "an object with the environment of a measurement, or an empty object")
SETTINGS = Check(_are_settings, "an object of a study's settings")
OBJECTIVES = Check(_are_objectives, 'an object of objectives, each "max" or "min"')
LIMITS = list_of(_is_limit, "a list of limits")
PLACES = list_of(TEXTS.passes, "a list of objects of texts")

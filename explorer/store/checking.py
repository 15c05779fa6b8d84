"""Validate the values of a database before they are used.

A database may be damaged or come from an untrusted source. Each column of a row is checked against the values that the
explorer writes there. The first invalid value raises ``DamagedRow``, which names the table, the row, the column, the
value found and the value expected. ``Database.read`` and ``write`` turn it into a StoreError.
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
MAX_REASON_LENGTH = 2_000  # accepted when a row is read; ``rows.REASON_LENGTH`` limits what is written
MAX_NOTE_LENGTH = 2_000
MAX_TAG_LENGTH = 60
MAX_TIMESTAMP = 253_402_300_799.0  # the end of the year 9999, the last that ``datetime`` represents
SEED_RANGE = -(2**63), 2**63 - 1  # a signed 64-bit integer, the largest that both kinds of database store


class DamagedRow(Exception):
    """A row with a value that the explorer does not write."""


class Check(NamedTuple):
    """A condition on the values of a column.

    Attributes:
        passes: Returns whether a value is valid.
        expected: The valid values as text, for messages.
    """

    passes: Callable[[Any], bool]
    expected: str


class Stored(NamedTuple):
    """How a column stores a field of a record.

    Attributes:
        check: Validates the value of the column. None if ``load`` validates it.
        load: Returns the field, given the location in words and the value of the column. None if both are equal.
        dump: Returns the value of the column, given the field. None if both are equal.
    """

    check: Check | None = None
    load: Callable[[str, Any], Any] | None = None
    dump: Callable[[Any], Any] | None = None


def json_object(check: Check) -> Stored:
    """Return how a column stores a dict that passes ``check``, as JSON."""

    may_be_empty = check.passes({})

    def load(where: str, text: Any) -> Any:
        return {} if text == "{}" and may_be_empty else read_json(where, text, check)

    return Stored(load=load, dump=lambda value: json.dumps(dict(value)))


def json_list(check: Check) -> Stored:
    """Return how a column stores a tuple, as the JSON of a list that passes ``check``."""

    def load(where: str, text: Any) -> Any:
        return () if text == "[]" else tuple(read_json(where, text, check))

    return Stored(load=load, dump=lambda value: json.dumps(list(value)))


def list_of(check: Callable[[Any], bool], expected: str) -> Check:
    """Return a check for a list whose items all pass ``check``."""
    return Check(lambda value: type(value) is list and all(map(check, value)), expected)


def check_row(where: str, row: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Validate columns of a row.

    Args:
        where: The table and the row as text, for messages.
        row: The values by column.
        checks: The check of each column to validate.

    Raises:
        DamagedRow: A value does not pass.
    """
    for name, check in checks.items():
        if not check.passes(row[name]):
            raise DamagedRow(f"{where}, column {name}: expected {check.expected}, found {describe(row[name])}")


def read_json(where: str, text: Any, check: Check) -> Any:
    """Return the value that a column stores as JSON.

    Args:
        where: The table, the row and the column as text, for messages.
        text: The JSON.
        check: Validates the decoded value.

    Raises:
        DamagedRow: ``text`` is not JSON, or its value does not pass.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:
            value = _printable(value)
    except (ValueError, TypeError, RecursionError):
        raise DamagedRow(f"{where}: expected JSON, found {describe(text)}") from None
    if not check.passes(value):
        raise DamagedRow(f"{where}: expected JSON of {check.expected}, found {describe(text)}")
    return value


def _printable(value: Any) -> Any:
    """Replace control characters in all strings of a JSON value: a terminal would interpret them."""
    if type(value) is str:
        return printable(value)
    if type(value) is list:
        return [_printable(each) for each in value]
    if type(value) is dict:
        return {printable(name): _printable(each) for name, each in value.items()}
    return value


@contextmanager
def damage_at(where: str) -> Iterator[None]:
    """Raise DamagedRow in place of the errors of building a value from a row's JSON.

    Args:
        where: The table, the row and the column as text, for the message.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        message = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DamagedRow(f"{where} is not what the explorer writes there ({message})") from error


def describe(value: Any) -> str:
    """Return a value of a database and its type for a message, shortened to about 100 characters."""
    text = repr(value if not isinstance(value, (str, bytes)) else value[:80])
    return f"{text[:100]} ({type(value).__name__})"


def whole(low: int, high: int = 2**63 - 1) -> Check:
    """Return a check for an integer in [low, high]."""
    return Check(lambda value: type(value) is int and low <= value <= high, f"a whole number of at least {low}")


def optional(check: Check) -> Check:
    """Return a check for None or a value that passes ``check``."""
    return Check(lambda value: value is None or check.passes(value), f"{check.expected}, or NULL")


def one_of(*values: str) -> Check:
    """Return a check for a string that is one of ``values``."""
    return Check(lambda value: type(value) is str and value in values, f"one of {', '.join(values)}")


def matching(pattern: re.Pattern[str], expected: str) -> Check:
    """Return a check for a string that matches ``pattern`` as a whole; ``expected`` describes it in messages."""
    return Check(lambda value: type(value) is str and pattern.fullmatch(value) is not None, expected)


def text(longest: int = 1 << 24, shortest: int = 0) -> Check:
    """Return a check for a string of ``shortest`` to ``longest`` characters."""
    return Check(
        lambda value: type(value) is str and shortest <= len(value) <= longest,
        f"a text of {shortest} to {longest} characters",
    )


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number.

    Python's JSON decoder also accepts NaN, infinities and integers that exceed the range of a float.
    """
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
TIMESTAMP = Check(lambda value: is_number(value) and 0 <= value <= MAX_TIMESTAMP, "seconds since 1970")
FLAG = Check(lambda value: value is True or value is False, "true or false")
NUMBERS = Check(_is_numbers, "an object of finite numbers")
TEXTS = Check(_is_texts, "an object of texts")
OBJECT = Check(lambda value: type(value) is dict, "an object")
NETWORK_DIGEST = matching(DIGEST, 'the digest of a network, as "v1-0123456789abcdef"')

_RESULT_NUMBERS = ("val_accuracy", "val_loss", "val_top5", "epochs", "seconds", "images_per_second")


def read_result(where: str, value: Any) -> TrainingResult | None:
    """Return the training result that a column stores.

    Args:
        where: The table, the row and the column as text, for messages.
        value: The JSON of a training result, or None for NULL.

    Returns:
        The training result, or None for NULL.

    Raises:
        DamagedRow: The value is not the JSON of a training result.
    """
    if value is None:
        return None
    with damage_at(where):
        result = TrainingResult.from_json(value)
        numbers = [getattr(result, name) for name in _RESULT_NUMBERS]
        curve = [getattr(epoch, name) for epoch in result.curve for name in Epoch.__dataclass_fields__]
        if not all(type(each) in (int, float) for each in (*numbers, *curve)) or not whole(0).passes(result.epochs):
            raise ValueError("a value is not a number")
        if type(result.precision) is not str:
            raise ValueError("precision is not a string")
    return result


def _dump_result(result: TrainingResult | None) -> str | None:
    return None if result is None else result.to_json()


def read_environment(digest: Any, value: Any) -> Environment | None:
    """Return the environment that a row of ``explorer_environments`` stores.

    Args:
        digest: The environment's digest.
        value: The JSON of the environment, or None for NULL.

    Returns:
        The environment, or None for NULL.

    Raises:
        DamagedRow: The value is not the JSON of an environment.
    """
    if value is None:
        return None
    where = f"explorer_environments, row {digest if type(digest) is str else describe(digest)}"
    with damage_at(where):
        environment = environment_from_json(json.dumps(read_json(where, value, OBJECT)))
        texts = (
            environment.device,
            environment.device_name,
            environment.platform,
            environment.python,
            environment.commit,
        )
        if not (all(type(each) is str for each in texts) and TEXTS.passes(environment.versions)):
            raise ValueError("a field is not a string")
        if not whole(0).passes(environment.threads):
            raise ValueError("threads is not a whole number of at least 0")
    return environment


def _is_latency(value: Any) -> bool:
    """Return whether a value describes how a latency was measured; an empty dict if none was measured."""
    if value == {}:
        return True
    if type(value) is not dict or type(value.get("environment")) is not dict:
        return False
    environment, state = value["environment"], value.get("device_state")
    lists = state.values() if type(state) is dict else ()
    return (
        type(environment.get("digest")) is str
        and type(environment.get("device", "")) is str
        and TEXTS.passes(environment.get("versions", {}))
        and NUMBERS.passes(environment.get("limits", {}))
        and (state is None or type(state) is dict)
        and all(type(each) is list and bool(each) and all(map(is_number, each)) for each in lists)
    )


def _is_counterpart(value: Any) -> bool:
    """Return whether a value describes of which trial another one is the counterpart; an empty dict if of none."""
    if type(value) is not dict:
        return False
    texts = ("factor", "precision", "objective", "asked")
    return not value or (whole(0).passes(value.get("twin")) and all(type(value.get(each)) is str for each in texts))


def _is_task(value: Any) -> bool:
    """Return whether a value describes a training on another machine."""
    if type(value) is not dict or set(value) != {"number", "host", "device"}:
        return False
    return whole(0).passes(value["number"]) and type(value["host"]) is type(value["device"]) is str


def _are_settings(value: Any) -> bool:
    types = {"data": str, "evaluate": str, "split": dict, "recipe": dict, "costs": list, "objectives": dict}
    return (
        type(value) is dict
        and all(type(value[name]) is kind for name, kind in types.items() if name in value)
        and optional(whole(1)).passes(value.get("epochs"))
    )


def _is_limit(value: Any) -> bool:
    try:
        return type(value) is str and bool(parse_limit(value))
    except ExplorerError:
        return False


def _are_objectives(value: Any) -> bool:
    return type(value) is dict and bool(value) and all(direction in ("max", "min") for direction in value.values())


RESULT = Stored(load=read_result, dump=_dump_result)
LATENCY = Check(_is_latency, "an object with the environment of a measurement, or an empty object")
COUNTERPART = Check(_is_counterpart, "an object with a twin and the question, or an empty object")
SETTINGS = Check(_are_settings, "an object of a study's settings")
OBJECTIVES = Check(_are_objectives, 'an object of objectives, each "max" or "min"')
LIMITS = list_of(_is_limit, "a list of limits")
TAGS = list_of(text(MAX_TAG_LENGTH, 1).passes, "a list of tags")
DATA_PLACES = list_of(TEXTS.passes, "a list of objects of texts")
TASKS = list_of(_is_task, "a list of objects with a number, a host and a device")

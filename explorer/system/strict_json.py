"""A strict JSON reader for files and other programs: input that readers interpret differently is an error.

``json.loads`` takes the last of two equal keys, reads NaN and Infinity, which JSON does not have, guesses UTF-16 and
UTF-32, and returns strings that cannot be encoded.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

MAX_DEPTH = 100  # the explorer's own files have at most 8 levels
MAX_DIGITS = 100  # more than any count or seed of the explorer
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(data: str | bytes) -> Any:
    """Return the value of a JSON text.

    Args:
        data: The text; bytes must be UTF-8, a leading byte order mark is skipped.

    Raises:
        ValueError: It is not JSON, repeats a key, holds a number that is not finite or has more than 100 digits, a
            text that is not valid Unicode, or more than 100 levels. The message is one line.
    """
    try:
        text = (data if isinstance(data, bytes) else data.encode()).decode("utf-8-sig")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise ValueError(f"not UTF-8 text: {error.reason} at position {error.start}") from None
    try:
        parsed = json.loads(text, object_pairs_hook=_checked_object, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    _check_nested(parsed)
    if _SURROGATE_ESCAPE.search(text):
        _check_unicode(parsed)
    return parsed


def _checked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; raise ValueError for a repeated key or a number that is not finite."""
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:80]!r} occurs twice in one object")
    for key, value in pairs:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key[:80]!r} must be a finite number, found {value}")
    return parsed


def _whole(text: str) -> int:
    """Return the integer; raise ValueError for one with too many digits."""
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits; at most {MAX_DIGITS} are read")
    return int(text)


def _check_nested(value: Any) -> None:
    """Raise ValueError for a value with too many levels or with a number that is not finite."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        if any(isinstance(node, float) and not math.isfinite(node) for node in level):
            raise ValueError("a number is not finite")
        inner = (node.values() if isinstance(node, dict) else node for node in level if isinstance(node, (dict, list)))
        level = [child for children in inner for child in children]
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _check_unicode(value: Any) -> None:
    """Raise ValueError for a string that is not valid Unicode."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text with half of a surrogate pair, which is not valid Unicode") from None

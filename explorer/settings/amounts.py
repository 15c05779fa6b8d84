"""Parse whole numbers, times and amounts of memory."""

from __future__ import annotations

import re
from decimal import Decimal

_WHOLE = re.compile(r"([+-]?\d+(?:\.\d*)?(?:e\+?\d{1,2})?)([kM]?)", re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([,_' ])\d{3})(?:\1\d{3})*")
_MAX_CHARACTERS = 30  # no option takes a longer number; the limit keeps the conversion fast
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_UNIT_WORDS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
}
_UNIT_LETTERS = {word: letter for letter, words in _UNIT_WORDS.items() for word in words}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_BYTES = re.compile(r"\s*(\d+(?:\.\d+)?(?:e\+?\d{1,2})?)\s*([kmgt]?)i?b?(?:ytes)?\s*", re.IGNORECASE)


def parse_whole(text: str) -> int:
    """Parse a whole number.

    Args:
        text: A number such as ``1000``, ``1,000``, ``1e3`` or ``1k``; ``k`` is 1,000 and ``M`` is 1,000,000.

    Returns:
        The number.

    Raises:
        ValueError: The text is not a whole number.
    """
    written = text.strip()
    if len(written) <= _MAX_CHARACTERS:
        if _GROUPED.fullmatch(written):
            return int(re.sub(r"[,_' ]", "", written))
        if match := _WHOLE.fullmatch(written):
            number = Decimal(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]
            if number == number.to_integral_value():
                return int(number)
    raise ValueError(f"{text!r} is not a whole number; write one as in 1000")


def parse_seconds(text: str) -> float:
    """Parse a time.

    Args:
        text: A time such as ``90s``, ``30m``, ``2h``, ``1h30m``, ``2 hours``, ``1:30:00`` or a number of seconds.

    Returns:
        The time in seconds.

    Raises:
        ValueError: The text is not a time above 0.
    """
    seconds = _seconds(text.strip().lower())
    if not seconds:
        raise ValueError(f"{text!r} is not a time; write 90s, 30m or 2h, or 1h30m")
    return seconds


def _seconds(text: str) -> float:
    """Return the seconds of a text in lower case; 0 if it is not a time."""
    if re.fullmatch(r"\d+(?:\.\d+)?(?:e[+-]?\d{1,2})?", text):
        return float(text)
    if match := re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", text):
        return 3_600.0 * int(match[1]) + 60 * int(match[2]) + int(match[3])
    parts = _PART.findall(text)
    letters = [_UNIT_LETTERS.get(word, "") for _, word in parts]
    in_order = letters == sorted(set(letters), key="dhms".find) and "" not in letters
    if not in_order or _PART.sub("", text):
        return 0.0
    return float(sum(float(number) * _SECONDS[letter] for (number, _), letter in zip(parts, letters)))


def parse_bytes(text: str) -> int:
    """Parse an amount of memory.

    Args:
        text: An amount such as ``512M``, ``8GB`` or a number of bytes such as ``8.5e9``; the letters K, M, G and T
            stand for powers of 1024.

    Returns:
        The amount in bytes.

    Raises:
        ValueError: The text is not an amount of memory above 0.
    """
    match = _BYTES.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    amount = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if not amount:
        raise ValueError(f"{text!r} is not an amount of memory; write 512M or 8G")
    return amount

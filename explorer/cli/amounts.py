"""Numbers, times and amounts of memory as people write them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import click

_WHOLE = re.compile(r"([+-]?\d+(?:\.\d*)?(?:e\+?\d{1,2})?)([kM]?)", re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([,_' ])\d{3})(?:\1\d{3})*")
_MOST_CHARACTERS = 30  # more digits than any option has a use for
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_UNITS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
}
_LETTERS = {word: letter for letter, words in _UNITS.items() for word in words}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


class Whole(click.IntRange):
    """A whole number within a range: ``1000``, ``1,000``, ``1e3`` or ``1k``.

    Args:
        auto: Whether ``auto`` stands for the default, None.
    """

    name = "whole number"

    def __init__(self, min: int | None = None, max: int | None = None, *, auto: bool = False) -> None:
        super().__init__(min, max)
        self._auto = auto

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if isinstance(value, str):
            if self._auto and value.strip().lower() == "auto":
                return None
            number = _whole(value.strip())
            if number is None:
                self.fail(f"{value!r} is not a whole number; write one as in 1000", param, ctx)
            value = number
        return super().convert(value, param, ctx)


def _whole(text: str) -> int | None:
    if _GROUPED.fullmatch(text) and len(text) <= _MOST_CHARACTERS:
        return int(re.sub(r"[,_' ]", "", text))
    match = _WHOLE.fullmatch(text)
    if match is None or len(text) > _MOST_CHARACTERS:
        return None
    number = Decimal(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]
    return int(number) if number == number.to_integral_value() else None


class Duration(click.ParamType):
    """``90s``, ``30m``, ``2h``, ``1h30m``, ``2 hours``, ``1:30:00`` or a number of seconds; a float of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = _seconds(str(value).strip().lower())
        if not seconds:
            self.fail(f"{value!r} is not a time; write 90s, 30m or 2h, or 1h30m", param, ctx)
        return seconds


def _seconds(text: str) -> float:
    """The seconds that a text means; 0 for what is no time."""
    if re.fullmatch(r"\d+(?:\.\d+)?(?:e\d)?", text):
        return float(text)
    if match := re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", text):
        return 3_600.0 * int(match[1]) + 60 * int(match[2]) + int(match[3])
    parts = _PART.findall(text)
    letters = [_LETTERS.get(word, "") for _, word in parts]
    in_order = letters == sorted(set(letters), key="dhms".find) and "" not in letters
    if not in_order or _PART.sub("", text):
        return 0.0
    return sum(float(number) * _SECONDS[letter] for (number, _), letter in zip(parts, letters))


class Bytes(click.ParamType):
    """``512M``, ``8GB`` or a number of bytes; the letters stand for powers of 1024, as memory is sold."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?(?:ytes)?\s*", str(value), re.IGNORECASE)
        amount = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
        if not amount:
            self.fail(f"{value!r} is not an amount of memory; write 512M or 8G", param, ctx)
        return amount

"""Kinds of settings: each reads a value from text or from a settings file, checks it and writes it."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.errors import SettingError
from explorer.extensions.lookup import names, unknown_hint
from explorer.settings.amounts import parse_bytes, parse_seconds, parse_whole


class Kind:
    """Base class of all kinds: a value of any type, which only Python code can set.

    Attributes:
        repeated: Whether the command-line option may be repeated; ``read`` then takes a list.
    """

    repeated = False

    @property
    def range(self) -> str:
        """The range of values for the help text; empty if the help text of the setting states it."""
        return ""

    def read(self, name: str, value: Any) -> Any:
        """Convert a text of the command line, or a value of a settings file, to the value of the setting.

        Args:
            name: Name of the setting, for messages.
            value: Text, or YAML data: a number, a boolean, a list or a mapping.

        Returns:
            The checked value.

        Raises:
            ValueError: The text cannot be parsed.
            ExplorerError: The value is invalid.
        """
        return self.check(name, self.parse(value) if isinstance(value, str) else value)

    def parse(self, text: str) -> Any:
        """Return the value of a text. Raises ValueError if it cannot be parsed."""
        return text

    def check(self, name: str, value: Any) -> Any:
        """Return the value in its usual type. Raises SettingError if the type is wrong or the value is out of range."""
        return value

    def write(self, value: Any) -> Any:
        """Return the value as plain YAML data that ``read`` converts back to an equal value."""
        return value

    def spell(self, value: Any) -> str:
        """Return the value as a user types it on the command line; empty text for None."""
        return "" if value is None else str(value)


class Text(Kind):
    """Text, or a path."""

    def check(self, name: str, value: Any) -> str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str):
            raise SettingError(f"{name} must be text, found {value!r}")
        return value


class Flag(Kind):
    """True or False; as text ``true`` or ``false``."""

    def parse(self, text: str) -> Any:
        return {"true": True, "false": False}.get(text.strip().lower(), text)

    def check(self, name: str, value: Any) -> bool:
        if value not in (True, False):
            raise SettingError(f"{name} must be true or false, found {value!r}")
        return bool(value)


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number.

    Attributes:
        min: The smallest valid value.
        max: The largest valid value; None for no limit.
        max_typed: The largest value in text or in a settings file, because a larger one is likely a typing error;
            None for no limit.
        auto: Whether the text ``auto`` is valid and means None.
    """

    min: int = 1
    max: int | None = None
    max_typed: int | None = None
    auto: bool = False

    @property
    def range(self) -> str:
        if self.max is not None:
            return ""
        return f"at least {self.min:,}" if self.max_typed is None else f"{self.min:,} to {self.max_typed:,}"

    def read(self, name: str, value: Any) -> int | None:
        if self.auto and isinstance(value, str) and value.strip().lower() == "auto":
            return None
        number = self.check(name, parse_whole(value) if isinstance(value, str) else value)
        if self.max_typed is not None and number > self.max_typed:
            raise SettingError(f"{name} must be at most {self.max_typed:,}, found {number:,}")
        return number

    def check(self, name: str, value: Any) -> int:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if self.max is not None:
            if not whole or not self.min <= value <= self.max:
                raise SettingError(f"{name} must be a whole number from {self.min} to {self.max}, found {value!r}")
        elif not whole:
            raise SettingError(f"{name} must be a whole number, found {value!r}")
        elif value < self.min:
            raise SettingError(f"{name} must be at least {self.min}, found {value}")
        return int(value)


class Seconds(Kind):
    """A time above 0, in seconds; as text ``90s``, ``30m`` or ``2h``."""

    def parse(self, text: str) -> float:
        return parse_seconds(text)

    def check(self, name: str, value: Any) -> Any:
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and value > 0):
            raise SettingError(f"{name} must be a positive number of seconds, found {value!r}")
        return value


class Bytes(Whole):
    """An amount of memory in bytes; as text ``512M`` or ``8G``."""

    @property
    def range(self) -> str:
        return ""

    def read(self, name: str, value: Any) -> int:
        return self.check(name, parse_bytes(value) if isinstance(value, str) else value)


@dataclass(frozen=True)
class Name(Kind):
    """One of the explorer's names, or of those that extensions add.

    Attributes:
        what: What the name denotes, for messages, such as "sampler".
        known: The valid names.
        extensions: The kind of extensions whose names are valid too; empty for none.
    """

    what: str
    known: Sequence[str]
    extensions: str = ""

    def check(self, name: str, value: Any) -> str:
        if value not in self.known:
            known = [*self.known, *(names(self.extensions) if self.extensions else ())]
            if value not in known:
                near = unknown_hint(self.extensions, str(value), known)
                raise SettingError(f"unknown {self.what} {value!r}; known: {', '.join(known)}{near}")
        return str(value)


@dataclass(frozen=True)
class Names(Kind):
    """Several names; as text separated by commas.

    Attributes:
        checked: Returns the names without duplicates. Raises ExplorerError for an unknown name.
    """

    checked: Callable[[Sequence[str]], tuple[str, ...]]

    def parse(self, text: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in text.split(",") if word.strip())

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        words = self.parse(value) if isinstance(value, str) else value
        try:
            return self.checked(tuple(words))
        except TypeError:
            raise SettingError(f"{name} must be a list of names, found {value!r}") from None

    def write(self, value: Any) -> list[str]:
        return list(value)

    def spell(self, value: Any) -> str:
        return ",".join(value)

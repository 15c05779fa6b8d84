"""The ops by their spelling."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from explorer.errors import ArchitectureError, ExtensionError
from explorer.extensions.lookup import load_ops, own_hint, why_unknown
from explorer.networks.ops.base import MAX_CHANNELS, MAX_KERNEL, Argument, Op, check_argument

AnyOp = TypeVar("AnyOp", bound=Op)
_SPELLING = re.compile(r"[a-z][a-z_]*", re.ASCII)  # without digits: a kernel size follows it


def _defines(cls: type[Op], name: str) -> bool:
    """Return whether a class of ops or a base below ``Op`` defines an attribute."""
    return any(name in vars(each) for each in cls.__mro__ if issubclass(each, Op) and each is not Op)


def _set_fields(op: Op, state: list[Any]) -> None:
    """Set the fields of an op from a pickle. Fields that its version did not have get their defaults."""
    for number, field in enumerate(fields(op)):
        object.__setattr__(op, field.name, state[number] if number < len(state) else field.default)


class Registry:
    """The ops by spelling. Importing the package fills it; only extensions (``explorer.register``) are added later.

    Attributes:
        nested: Spelling of an op that holds others -> the function that reads it, given that which reads ops.
    """

    def __init__(self) -> None:
        self._ops: dict[str, type[Op]] = {}
        self.nested: dict[str, Callable[[dict[str, Any], Callable[[Any], Op]], Op]] = {}

    @property
    def by_spelling(self) -> dict[str, type[Op]]:
        """Spelling -> class of the op, with the ops of extensions, which the first call loads."""
        load_ops()
        return self._ops

    def own(self) -> list[str]:
        """Return the spellings of the ops that were added so far, without loading extensions."""
        return list(self._ops)

    def add(self, cls: type[AnyOp]) -> type[AnyOp]:
        """Register a class of ops and return it, for use as a decorator."""
        if cls.spelling in self._ops:
            raise ValueError(f"two ops are spelled {cls.spelling!r}")
        self._ops[cls.spelling] = cls
        if "__setstate__" in vars(cls):  # a dataclass with slots
            cls.__setstate__ = _set_fields  # type: ignore[attr-defined]  # Op itself has none
        return cls

    def add_extension(self, spelling: str, cls: Any) -> None:
        """Register an op of an extension, in place of an earlier version of it.

        Args:
            spelling: Its name in the language.
            cls: The class.

        Raises:
            ExtensionError: It is not a class of ops with a spelling of letters, or lacks a definition.
        """
        where = f"op {spelling!r}"
        if not isinstance(cls, type) or not issubclass(cls, Op) or not is_dataclass(cls):
            raise ExtensionError(f"{where}: an op is a frozen dataclass derived from explorer.Op, found {cls!r}")
        if cls.spelling != spelling or not _SPELLING.fullmatch(spelling):
            raise ExtensionError(
                f"{where}: the spelling of an op is its name, of letters and underscores, found {cls.spelling!r}"
            )
        missing = [name for name in ("role", "module") if not _defines(cls, name)]
        if missing:
            raise ExtensionError(f"{where}: the class lacks {' and '.join(missing)}; see docs/everyday/extending.md")
        self._ops.pop(spelling, None)
        self.add(cls)

    def from_json(self, data: Any) -> Op:
        """Return the op that ``to_json`` wrote.

        Raises:
            ArchitectureError: ``data`` is not a valid op.
        """
        if not isinstance(data, dict) or not isinstance(data.get("op"), str):
            raise ArchitectureError(f'an op is a mapping with "op", found {str(data)[:80]!r}')
        if data["op"] in self.nested:
            return self.nested[data["op"]](data, self.from_json)
        cls = self.by_spelling.get(data["op"])
        if cls is None:
            ops = f"; known ops: {', '.join(sorted(self.by_spelling))}"
            hint = why_unknown("op", data["op"]) or own_hint("op") + ops
            raise ArchitectureError(f"unknown op {data['op'][:80]!r}{hint}")
        values = {}
        known = {field.name: field for field in fields(cls)}
        for key, value in data.items():
            if key == "op":
                continue
            if key not in known:
                raise ArchitectureError(
                    f"op {cls.spelling!r} has no field {str(key)[:80]!r}; it has: {', '.join(known) or 'none'}"
                )
            values[key] = self._checked(cls, key, value)
        missing = [name for name, field in known.items() if field.default is MISSING and name not in values]
        if missing:
            raise ArchitectureError(f"op {cls.spelling!r} lacks {', '.join(missing)}")
        return cls(**values)

    def _checked(self, cls: type[Op], key: str, value: Any) -> Any:
        argument = next((argument for argument in cls.arguments if argument.field == key), None)
        if argument is None:
            kind = "whole" if cls.sized is False else "size"
            bounds = (1, MAX_KERNEL) if key == "kernel" else (0, MAX_CHANNELS)
            argument = Argument(key, key, kind, "", *bounds)
        if argument.kind == "activation":  # only these fields hold an op, and activations have no such field
            value = (
                self.from_json(value) if isinstance(value, dict) and value.get("op") in self.activations() else value
            )
        return check_argument(cls.spelling, argument, value)

    def activations(self) -> tuple[str, ...]:
        """Return the spellings of the activations."""
        return tuple(spelling for spelling, op in self.by_spelling.items() if op.role == "activation")


registry = Registry()

"""The ops by their spelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from explorer.errors import ArchitectureError
from explorer.networks.ops.base import MAX_CHANNELS, MAX_KERNEL, Argument, Op, check_argument

AnyOp = TypeVar("AnyOp", bound=Op)


def _set_fields(op: Op, state: list[Any]) -> None:
    """Set the fields of an op from a pickle. Fields that its version did not have get their defaults."""
    for number, field in enumerate(fields(op)):
        object.__setattr__(op, field.name, state[number] if number < len(state) else field.default)


class Registry:
    """The ops by spelling. Importing the package fills it; it does not change afterwards.

    Attributes:
        by_spelling: Spelling -> class of the op.
        nested: Spelling of an op that holds others -> the function that reads it, given that which reads ops.
    """

    def __init__(self) -> None:
        self.by_spelling: dict[str, type[Op]] = {}
        self.nested: dict[str, Callable[[dict[str, Any], Callable[[Any], Op]], Op]] = {}

    def add(self, cls: type[AnyOp]) -> type[AnyOp]:
        """Register a class of ops and return it, for use as a decorator."""
        if cls.spelling in self.by_spelling:
            raise ValueError(f"two ops are spelled {cls.spelling!r}")
        self.by_spelling[cls.spelling] = cls
        if "__setstate__" in vars(cls):  # a dataclass with slots
            cls.__setstate__ = _set_fields  # type: ignore[attr-defined]  # Op itself has none
        return cls

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
            raise ArchitectureError(f"unknown op {data['op'][:80]!r}; known ops: {', '.join(sorted(self.by_spelling))}")
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

"""Groups of rows with equal values."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

DENSE = 2**21  # up to this many keys a lookup table (16 MiB) is used; sorting otherwise


V = TypeVar("V", bound=Hashable)


class Numbered(Generic[V]):
    """Distinct values, numbered from 0 in the order in which they are added.

    Attributes:
        values: The values by number.
    """

    def __init__(self) -> None:
        self.values: list[V] = []
        self._numbers: dict[V, int] = {}

    def number(self, value: V) -> int:
        """Return the number of ``value``, which is added if it is new."""
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class Part(NamedTuple):
    """One of the keys by which rows are grouped.

    Attributes:
        numbers: (rows,) integers in [0, size).
        size: The number of possible values.
    """

    numbers: np.ndarray
    size: int

    @classmethod
    def of(cls, numbers: np.ndarray) -> Part:
        """Return a key of integers from 0."""
        return cls(numbers, int(numbers.max()) + 1)


def group_rows(parts: Sequence[Part], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Group rows that are equal in all parts.

    Args:
        parts: The keys.
        rows: The number of rows.

    Returns:
        The group of each row, from 0, and one row of each group.
    """
    key, size = np.zeros(rows, dtype=np.int64), 1
    for numbers, count in parts:
        if count == 1:
            continue
        if size * count > DENSE:
            key, first = _without_gaps(key, size)
            size = len(first)
        key = key * count + numbers
        size *= count
    return _without_gaps(key, size)


def _without_gaps(key: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    if size > DENSE:
        _, first, groups = np.unique(key, return_index=True, return_inverse=True)
        return groups, first
    row = np.full(size, -1, dtype=np.int64)
    row[key] = np.arange(len(key))
    present = np.flatnonzero(row >= 0)
    number = np.zeros(size, dtype=np.int64)
    number[present] = np.arange(len(present))
    return number[key], row[present]

"""Rows that agree, found by number."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

DENSE = 2**21  # keys below it are numbered through a table, larger ones by sorting


class Numbered:
    """Values by number, equal ones under one."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def number(self, value: Hashable) -> int:
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class Part(NamedTuple):
    """One of the things that rows may agree in: numbers in [0, size), one a row."""

    numbers: np.ndarray
    size: int


def grouped(parts: Sequence[Part], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that agree in all parts: the number of each row's group, from 0, and one row of each group."""
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

"""Networks as rows of numbers for the Gaussian process."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from explorer.analysis.expected_hypervolume import Array
from explorer.study.samplers.gaussian_process import Features
from explorer.study.samplers.network_table import ABSENT, NetworkTable, Rows

MAX_CORRELATION = 0.99  # of two numbers over the networks; above, one of them is left out


class FeatureMap:
    """Encodes networks as features, standardised over the networks it is made from.

    Numbers (costs of the network and of its stages) become logarithms if none is negative. Numbers that are equal for
    all networks are left out, and those that are nearly a linear function of another one. Often the cost of a stage is
    such a function of the network's cost; a quantity with many copies would dominate the distances of networks.

    Args:
        table: The networks.
        rows: Those that define the scale.
    """

    def __init__(self, table: NetworkTable, rows: Rows):
        self._table = table
        columns = [_Column(name, table.numbers.of(name, rows)) for name in table.numbers.names()]
        self._columns: list[_Column] = []
        kept: list[Array] = []
        for column in columns:  # sorted by name: the cost of a network comes before those of its stages
            if column.spread > 1e-9:
                encoded = column.encode(table.numbers.of(column.name, rows))
                if all(abs(encoded @ other) <= MAX_CORRELATION * len(rows) for other in kept):
                    self._columns.append(column)
                    kept.append(encoded)
        self._codes = []
        for name in table.choices.names():
            if (table.choices.of(name, rows) != ABSENT).any():
                self._codes.append((name, np.array(list(_codes(table.options[name]).values()))))

    def encode(self, rows: Rows) -> Features:
        """Return the features of networks of the table."""
        numbers = np.zeros((len(rows), len(self._columns)))
        for place, column in enumerate(self._columns):
            numbers[:, place] = column.encode(self._table.numbers.of(column.name, rows))
        choices = [codes[self._table.choices.of(name, rows)] for name, codes in self._codes]  # the last code is None's
        joined = np.hstack([np.zeros((len(rows), 0)), *choices]) * math.sqrt(2.0 / max(1, len(choices)))
        return Features(numbers, joined, tuple(codes.shape[1] for _, codes in self._codes))


class _Column:
    def __init__(self, name: str, values: Array):
        self.name = name
        positive = values[values > 0.0]
        self._logarithmic = bool(len(positive)) and values.min() >= 0.0
        self._least = positive.min() if self._logarithmic else 0.0
        self._shift = self._least if len(positive) < len(values) else 0.0
        self._centre, self.spread = 0.0, 1.0
        encoded = self.encode(values)
        self._centre, self.spread = float(encoded.mean()), float(encoded.std())

    def encode(self, values: Array) -> Array:
        if self._logarithmic:
            values = np.log(np.maximum(values + self._shift, self._least / 2))  # other networks may have smaller values
        return (values - self._centre) / self.spread


def _codes(options: tuple[str, ...]) -> dict[str | None, Array]:
    """Return the code of each option, and of None for a choice point that does not occur.

    The squared distance of two codes is 1. Between three or more numeric options it is the difference of their ranks
    as a share of the range.
    """
    ranks = _ranks(options)
    if ranks is None:
        return dict(zip((*options, None), np.eye(len(options) + 1) * math.sqrt(0.5)))
    # Thermometer code. None is halfway between all options, and differs from them in an additional column.
    steps = len(options) - 1
    codes: dict[str | None, Array] = {
        option: np.append((np.arange(steps) < rank) / math.sqrt(steps), 0.0) for option, rank in zip(options, ranks)
    }
    return {**codes, None: np.append(np.full(steps, 0.5) / math.sqrt(steps), math.sqrt(0.75))}


def _ranks(options: tuple[str, ...]) -> list[int] | None:
    """Return the ranks of the options in numeric order, None unless they are three or more different numbers."""
    try:
        values = [Fraction(option.replace(" ", "")) for option in options]
    except (ValueError, ZeroDivisionError):
        return None
    if len(set(values)) != len(values) or len(values) < 3:
        return None
    return [sorted(values).index(value) for value in values]

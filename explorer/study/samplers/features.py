"""Networks as rows of numbers for the Gaussian process."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from explorer.analysis.expected_hypervolume import Array
from explorer.study.samplers.candidate_pool import PoolCandidate
from explorer.study.samplers.gaussian_process import Features


class FeatureMap:
    """Encodes networks as features, standardised over the candidates it is made from.

    Numbers (costs of the network and of its stages) become logarithms if none is negative. Numbers that are equal for
    all candidates are left out.

    Args:
        candidates: The networks that define the scale.
        options: The options of every choice point.
    """

    def __init__(self, candidates: Sequence[PoolCandidate], options: Mapping[str, tuple[str, ...]]):
        self._columns = []
        for name in sorted({name for candidate in candidates for name in candidate.numbers}):
            column = _Column(name, _raw(name, candidates))
            if column.spread > 1e-9:
                self._columns.append(column)
        names = sorted({name for candidate in candidates for name in candidate.derivation.choices})
        self._codes = [_Codes(name, options[name]) for name in names]

    def encode(self, candidates: Sequence[PoolCandidate]) -> Features:
        numbers = [column.encode(_raw(column.name, candidates)) for column in self._columns]
        choices = [codes.encode(candidates) for codes in self._codes]
        empty = np.zeros((len(candidates), 0))
        return Features(
            np.column_stack(numbers) if numbers and len(candidates) else np.zeros((len(candidates), len(numbers))),
            np.hstack([empty, *choices]) * math.sqrt(2.0 / max(1, len(choices))) if len(candidates) else empty,
        )


def _raw(name: str, candidates: Sequence[PoolCandidate]) -> Array:
    return np.array([candidate.numbers.get(name, 0.0) for candidate in candidates], dtype=float)


class _Column:
    def __init__(self, name: str, values: Array):
        self.name = name
        positive = values[values > 0.0]
        self._logarithmic = bool(len(positive)) and values.min() >= 0.0
        self._shift = positive.min() if self._logarithmic and len(positive) < len(values) else 0.0
        self._centre, self.spread = 0.0, 1.0
        encoded = self.encode(values)
        self._centre, self.spread = float(encoded.mean()), float(encoded.std())

    def encode(self, values: Array) -> Array:
        if self._logarithmic:
            values = np.log(np.maximum(values + self._shift, 1e-300))
        return (values - self._centre) / self.spread


class _Codes:
    def __init__(self, name: str, options: tuple[str, ...]):
        self._name = name
        codes = _codes(options)
        self._rows = {option: row for row, option in enumerate(codes)}
        self._table = np.array(list(codes.values()))

    def encode(self, candidates: Sequence[PoolCandidate]) -> Array:
        return self._table[[self._rows[candidate.derivation.choices.get(self._name)] for candidate in candidates]]


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

"""What samplers know of networks, one row each, in arrays that grow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from explorer.analysis.quantities import COSTS
from explorer.networks.ops.base import OpCost
from explorer.space.levels import Level

S = TypeVar("S", bound=np.generic)
V = TypeVar("V")
Rows = NDArray[np.intp]
ABSENT = -1  # the code of a choice point that does not occur
FIRST_ROWS = 256  # for which a column has room at first
REFUSALS = ("", "rejected", "failed")  # states of a trial that would end without training; the first for none

# Costs that are functions of other costs.
REDUNDANT = tuple(name for name in COSTS if name not in OpCost._fields)


class KnownCosts(NamedTuple):
    """Costs of a network, by name.

    Attributes:
        costs: Known ones.
        predicted: Predictions of measured ones.
    """

    costs: Mapping[str, float]
    predicted: Mapping[str, float]


def numeric_features(
    costs: Mapping[str, V], stages: Iterable[Mapping[str, V]], blocks: Mapping[str, V]
) -> dict[str, V]:
    """Return numeric features by name: the costs without redundant ones, and the sums over stages and blocks.

    Args:
        costs: Costs by name, of one network or as arrays of many.
        stages: MACs and activations of each stage.
        blocks: Sums of ``graph_features.block_numbers``.
    """
    of_stages = {f"{name}@stage{stage}": value for stage, own in enumerate(stages, 1) for name, value in own.items()}
    return {**{name: value for name, value in costs.items() if name not in REDUNDANT}, **blocks, **of_stages}


class Columns(Generic[S]):
    """Named columns with one value per row.

    Args:
        empty: The value of rows that were added without the column.
    """

    def __init__(self, empty: S):
        self._empty = empty
        self._columns: dict[str, NDArray[S]] = {}

    def names(self) -> list[str]:
        return sorted(self._columns)

    def put(self, name: str, row: int, value: float) -> None:
        """Set the value of one row."""
        column = self._columns.get(name)
        if column is None or len(column) <= row:
            column = self._grown(column, row)
            self._columns[name] = column
        column[row] = value

    def fill(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Set the values, (N,), of the first N rows."""
        self._columns.update({name: values.astype(self._empty.dtype) for name, values in columns.items()})

    def of(self, name: str, rows: Rows) -> NDArray[S]:
        """Return the values of some rows, (N,)."""
        column = self._columns.get(name)
        if column is None:
            return np.full(len(rows), self._empty, dtype=self._empty.dtype)
        inside = rows < len(column)
        if inside.all():
            return np.asarray(column[rows])
        return np.asarray(np.where(inside, column[np.where(inside, rows, 0)], self._empty))

    def by_row(self, rows: Rows) -> Iterator[dict[str, float]]:
        """Yield the values of some rows by name, without nan."""
        names = self.names()
        values = np.array([self.of(name, rows) for name in names]).reshape(len(names), len(rows))
        return ({name: value for name, value in zip(names, own) if value == value} for own in values.T.tolist())

    def _grown(self, column: NDArray[S] | None, row: int) -> NDArray[S]:
        """Return the column with room for ``row``."""
        grown = np.full(max(FIRST_ROWS, 2 * row), self._empty, dtype=self._empty.dtype)
        if column is not None:
            grown[: len(column)] = column
        return grown


class NetworkTable:
    """Networks as rows.

    Attributes:
        options: The options of every choice point of the networks.
        numbers: Numeric features; 0 for a network without one.
        choices: The number of the chosen option of each choice point; ``ABSENT`` for none.
        costs: The costs that are known before training; nan for one that could not be computed.
        predicted: Predictions of measured costs; nan without a predictor.
        facts: ``network``, a number that is equal for derivations of one network; ``refusal``, the number in
            ``REFUSALS`` of the state in which its trial would end; ``is_cut``, 1 if its output does not depend on its
            input, because a block has no path through it.
    """

    def __init__(self) -> None:
        self.options: dict[str, tuple[str, ...]] = {}
        self.numbers = Columns(np.float64(0.0))
        self.choices = Columns(np.int16(ABSENT))
        self.costs = Columns(np.float64(np.nan))
        self.predicted = Columns(np.float64(np.nan))
        self.facts = Columns(np.int64(0))
        self._rows = 0

    def add(
        self,
        numbers: Mapping[str, float],
        choices: Mapping[str, str],
        costs: Mapping[str, float],
        predicted: Mapping[str, float],
        facts: Mapping[str, int],
    ) -> int:
        """Add a network and return its row. Its choice points have to be among ``options``."""
        row, self._rows = self._rows, self._rows + 1
        codes = {name: self.options[name].index(option) for name, option in choices.items()}
        for columns, values in (
            (self.numbers, numbers),
            (self.choices, codes),
            (self.costs, costs),
            (self.predicted, predicted),
            (self.facts, facts),
        ):
            for name, value in values.items():
                columns.put(name, row, value)
        return row

    def known_costs(self, rows: Rows) -> Iterator[KnownCosts]:
        """Yield the costs and the predictions of networks."""
        return map(KnownCosts, self.costs.by_row(rows), self.predicted.by_row(rows))

    def has_level(self, level: Level, rows: Rows) -> NDArray[np.bool_]:
        """Return whether networks have a level, (N,)."""
        options = self.options.get(level.choice, ())
        code = options.index(level.option) if level.option in options else ABSENT - 1
        return np.asarray(self.choices.of(level.choice, rows) == code)

"""The choices of many derivations at once, as columns of numbers.

What ``Decisions.unrank`` does for one index is done here for an array of them: all rows that have come to
the same question are answered together.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from explorer.space.count.decisions import Decision
from explorer.space.grammar import Point
from explorer.space.search_space import SearchSpace

ABSENT = -1
WHOLE = 2**62  # counts below it are reckoned with in int64, larger ones as Python's integers


class Column(NamedTuple):
    """A choice point in its place, as ``attn@stage2``, and the alternatives' texts."""

    name: str
    options: tuple[str, ...]


class ChoiceColumns:
    """All choice points that a space's derivations can come to, a column each, in the order asked."""

    def __init__(self, space: SearchSpace):
        decisions = space.decisions
        self.total = space.count()
        self.columns: list[Column] = []
        self._questions: list[tuple[Decision, int]] = []
        self._places: dict[tuple[Point, str], list[int]] = defaultdict(list)
        numbers: dict[str, int] = {}
        for question in decisions.decisions():
            if question.choice is None:
                continue
            if not question.sizes:
                decisions.measure(question)
            name = question.choice.name
            if name not in numbers:
                numbers[name] = len(self.columns)
                self.columns.append(Column(*question.choice))
                self._places[question.point, _scope(question.point, question.unit)].append(numbers[name])
            self._questions.append((question, numbers[name]))

    def of(self, point: Point, unit: str) -> list[int]:
        """The columns that say what ``point`` is in a unit: none where it does not arise, several where
        it is drawn at each use."""
        return self._places.get((point, _scope(point, unit)), [])

    def named(self, point: Point) -> list[int]:
        """The columns of a point, wherever it stands."""
        return [column for (known, _), several in self._places.items() if known is point for column in several]

    def codes(self, indices: np.ndarray) -> np.ndarray:
        """The chosen options of the derivations ``indices``, (columns, rows) of int16; -1 where a point is not asked.

        ``indices`` lie in [0, count), in int64 or, where the count passes 2^62, as Python's integers.
        """
        codes = np.full((len(self.columns), len(indices)), ABSENT, dtype=np.int16)
        # What has come to a question: which rows, and their ranks among the walks from there.
        arrived: dict[Decision, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
        if self._questions:
            arrived[self._questions[0][0]].append((np.arange(len(indices)), indices))
        for question, column in self._questions:
            parts = arrived.pop(question, None)
            if parts is None:
                continue
            rows, ranks = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts))
            sizes = question.sizes
            if ranks.dtype == object and sum(sizes) < WHOLE:
                ranks = ranks.astype(np.int64)
            if len(set(sizes)) == 1:
                chosen = ranks // sizes[0]
                ranks = ranks - chosen * sizes[0]
            else:
                starts = np.cumsum(np.array((0, *sizes[:-1]), dtype=ranks.dtype))
                chosen = np.searchsorted(starts, ranks, side="right") - 1
                ranks = ranks - starts[chosen]
            chosen = chosen.astype(np.int16)
            codes[column, rows] = chosen
            _send(question, rows, ranks, chosen, arrived)
        return codes


def _scope(point: Point, unit: str) -> str:
    """Within what a point has one answer, or counts its uses."""
    if point.scope == "network":
        return ""
    return unit.split(".")[0] if point.scope == "stage" else unit


def _send(question: Decision, rows: np.ndarray, ranks: np.ndarray, chosen: np.ndarray, arrived: dict) -> None:
    """Each row to the question that its answer leads to."""
    following = list(dict.fromkeys(question.following))
    if len(following) == 1:
        if following[0].choice is not None:
            arrived[following[0]].append((rows, ranks))
        return
    number = np.array([following.index(q) for q in question.following], dtype=np.int16)[chosen]
    for place, then in enumerate(following):
        if then.choice is not None:
            own = np.flatnonzero(number == place)
            if len(own):
                arrived[then].append((rows[own], ranks[own]))

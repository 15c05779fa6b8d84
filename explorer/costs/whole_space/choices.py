"""The choices of many derivations at once, as columns of integers.

This is ``Decisions.unrank`` for an array of indices: all rows that reach the same question are processed together.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from explorer.space.choices import Derivation
from explorer.space.count.decision import Decision
from explorer.space.derivations import FORMAT
from explorer.space.grammar import Point
from explorer.space.search_space import SearchSpace

ABSENT = -1  # the code of a choice that a derivation does not have
MAX_INT64_COUNT = 2**62  # counts from here on are Python integers, so that sums of int64 do not overflow


# Per question the rows that reach it, with their ranks among the derivations from there on.
Pending = defaultdict[Decision, list[tuple[np.ndarray, np.ndarray]]]


class Column(NamedTuple):
    """A choice point in its place.

    Attributes:
        name: For instance ``attn@stage2``.
        options: The texts of the alternatives.
    """

    name: str
    options: tuple[str, ...]


class ChoiceColumns:
    """All choice points of a space, one column each, in the order of the derivation.

    Attributes:
        total: The number of indices of the space.
        columns: The columns.

    Args:
        space: The space.
        derivations: Those whose choice points are the columns. Default: all.
    """

    def __init__(self, space: SearchSpace, derivations: Sequence[Derivation] | None = None):
        self.total = space.indices
        self.columns: list[Column] = []
        self._questions: list[tuple[Decision, int]] = []
        self._places: dict[tuple[Point, str], list[int]] = defaultdict(list)
        if derivations is None:
            questions = [question for question in space.decisions.decisions() if question.choice is not None]
        else:
            questions = space.decisions.decisions_of(derivations)
        numbers: dict[str, int] = {}
        for question in questions:
            point, choice = question.point, question.choice
            assert point is not None and choice is not None
            name = choice.name
            if name not in numbers:
                numbers[name] = len(self.columns)
                self.columns.append(Column(*choice))
                self._places[point, _scope(point, question.unit)].append(numbers[name])
            if derivations is None:
                space.decisions.measure(question)
                self._questions.append((question, numbers[name]))

    def drawn(self, rows: int, seed: int) -> np.ndarray | None:
        """Return the indices of ``rows`` distinct derivations, drawn uniformly; None for all derivations."""
        return None if rows == self.total else draw(self.total, rows, seed)

    def of(self, point: Point, unit: str) -> list[int]:
        """Return the columns of ``point`` in a unit: none if it does not occur, several if it is chosen at each use."""
        return self._places.get((point, _scope(point, unit)), [])

    def named(self, point: Point) -> list[int]:
        """Return the columns of a point in all its places."""
        return [column for (known, _), several in self._places.items() if known is point for column in several]

    def codes(self, indices: np.ndarray) -> np.ndarray:
        """Return the chosen options of derivations: (columns, rows) of int16, -1 for a choice that does not occur.

        Args:
            indices: The ranks of the derivations, in [0, total): int64, or Python integers if the total is 2^62 or
                more.
        """
        codes = np.full((len(self.columns), len(indices)), ABSENT, dtype=np.int16)
        pending: Pending = defaultdict(list)
        if self._questions:
            pending[self._questions[0][0]].append((np.arange(len(indices)), indices))
        for question, column in self._questions:
            parts = pending.pop(question, None)
            if parts is None:
                continue
            rows, ranks = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts))
            starts = question.starts
            if ranks.dtype == object and starts[-1] < MAX_INT64_COUNT:
                ranks = ranks.astype(np.int64)
            if starts == tuple(starts[1] * number for number in range(len(starts))):  # options of equal size
                chosen = ranks // starts[1]
                ranks = ranks - chosen * starts[1]
            else:
                before = np.array(starts[:-1], dtype=ranks.dtype)
                chosen = np.searchsorted(before, ranks, side="right") - 1
                ranks = ranks - before[chosen]
            chosen = chosen.astype(np.int16)
            codes[column, rows] = chosen
            _send(question, rows, ranks, chosen, pending)
        return codes


def _scope(point: Point, unit: str) -> str:
    """Return the scope in which a point has one value, or in which its uses are counted."""
    if point.scope == "network":
        return ""
    return unit.split(".")[0] if point.scope == "stage" else unit


def _send(question: Decision, rows: np.ndarray, ranks: np.ndarray, chosen: np.ndarray, pending: Pending) -> None:
    """Add each row to the question that follows its option."""
    assert question.following is not None  # ``Decisions.decisions`` yields questions with their successors
    following = list(dict.fromkeys(question.following))
    if len(following) == 1:
        if following[0].choice is not None:
            pending[following[0]].append((rows, ranks))
        return
    number = np.array([following.index(q) for q in question.following], dtype=np.int16)[chosen]
    for place, then in enumerate(following):
        if then.choice is not None:
            own = np.flatnonzero(number == place)
            if len(own):
                pending[then].append((rows[own], ranks[own]))


def draw(total: int, n: int, seed: int) -> np.ndarray:
    """Draw ``n`` distinct integers in [0, total) uniformly; return them in ascending order.

    Args:
        total: The upper bound, exclusive.
        n: The number of integers, at most ``total``.
        seed: The seed of the draw.
    """
    source = random.Random(f"{FORMAT}:atlas:{seed}")
    if total >= MAX_INT64_COUNT:
        found: set[int] = set()
        while len(found) < n:
            found.add(source.randrange(total))
        return np.array(sorted(found), dtype=object)
    numbers = np.random.default_rng(source.getrandbits(128))
    few = min(n, total - n)  # draws the chosen integers, or the excluded ones if these are fewer
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < few:
        drawn = np.unique(np.concatenate([drawn, numbers.integers(0, total, few - len(drawn))]))
    if few == n:
        return drawn
    kept = np.ones(total, dtype=bool)
    kept[drawn] = False
    return np.flatnonzero(kept)

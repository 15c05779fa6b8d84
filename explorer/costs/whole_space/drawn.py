"""The choices of random derivations of a space that is not counted, as columns of integers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np

from explorer.costs.whole_space.choices import ABSENT, MAX_INT64_COUNT, ChoiceColumns
from explorer.space.choices import Derivation
from explorer.space.derivations import FORMAT
from explorer.space.search_space import SearchSpace

MAX_REPEATS = 2_000  # draws in a row without a new derivation, after which all are taken to be known
MIN_DRAWN = 100  # derivations that are drawn even if they take more steps than allowed

Progress = Callable[[int], object]  # receives the number of finished derivations


def columns_of(
    space: SearchSpace, n: int, seed: int, most_steps: float = math.inf, progress: Progress = lambda drawn: None
) -> ChoiceColumns:
    """Return the choice columns of a space; if its derivations are not counted, those of ``n`` random derivations.

    Args:
        space: The space.
        n: The number of derivations that are needed.
        seed: The seed of the draw.
        most_steps: The number of decisions of all walks, after which no more than 100 are drawn.
        progress: Called with the number of derivations drawn so far.
    """
    return ChoiceColumns(space) if space.is_counted else DrawnColumns(space, n, seed, most_steps, progress)


class DrawnColumns(ChoiceColumns):
    """The choice points that occur in distinct random derivations, one column each.

    Attributes:
        ranks: The indices of the derivations, in ascending order.

    Args:
        space: The space.
        n: The number of derivations; fewer if the space has no more.
        seed: The seed of the draw.
        most_steps: As in ``columns_of``.
        progress: As in ``columns_of``.
    """

    def __init__(
        self,
        space: SearchSpace,
        n: int,
        seed: int,
        most_steps: float = math.inf,
        progress: Progress = lambda drawn: None,
    ):
        source, decisions = random.Random(f"{FORMAT}:atlas:{seed}"), space.decisions
        found: dict[int, Derivation] = {}
        repeats, before = 0, decisions.steps
        while len(found) < n and repeats < MAX_REPEATS:
            if decisions.steps - before > most_steps and len(found) >= MIN_DRAWN:
                break
            index, derivation = decisions.draw_indexed(source)
            repeats = repeats + 1 if index in found else 0
            found[index] = derivation
            progress(len(found))
        ranks = sorted(found)
        super().__init__(space, [found[index] for index in ranks])
        is_large = self.total >= MAX_INT64_COUNT
        self.ranks = np.array(ranks, dtype=object if is_large else np.int64)
        self._rows = {index: row for row, index in enumerate(ranks)}
        self._codes = np.full((len(self.columns), len(ranks)), ABSENT, dtype=np.int16)
        numbers = {column.name: number for number, column in enumerate(self.columns)}
        for row, index in enumerate(ranks):
            for name, text in found[index].choices.items():
                number = numbers[name]
                self._codes[number, row] = self.columns[number].options.index(text)

    def drawn(self, rows: int, seed: int) -> np.ndarray | None:
        return self.ranks[:rows]

    def codes(self, indices: np.ndarray) -> np.ndarray:
        return self._codes[:, [self._rows[int(index)] for index in indices]]

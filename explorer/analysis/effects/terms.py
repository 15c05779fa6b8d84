"""The terms of a factorial model as numbers: one group of columns for each choice and for each pair of choices."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np

MAX_PAIR_COLUMNS = 450  # which bounds the time of the model


class Terms:
    """The columns of a factorial model. Over the levels of a choice they sum to zero; a choice not asked has none.

    If the pairs of levels were more than ``MAX_PAIR_COLUMNS``, the rare levels of a choice share their pair terms.

    Attributes:
        groups: The columns of the constant, of each choice, and of each pair of choices.
        pairs: The two choices of each group of columns after those of the choices.
        columns: The number of columns.

    Args:
        counts: The number of levels of each choice; levels are numbered in descending order of frequency.
    """

    def __init__(self, counts: Sequence[int]):
        self._counts = list(counts)
        self.merged = _merged_counts(self._counts)
        self.pairs = list(itertools.combinations(range(len(counts)), 2))
        sizes = [1, *(count - 1 for count in counts)]
        sizes += [(self.merged[a] - 1) * (self.merged[b] - 1) for a, b in self.pairs]
        ends = np.cumsum(sizes)
        self.groups = [slice(int(end) - size, int(end)) for end, size in zip(ends, sizes)]
        self.columns = int(ends[-1])

    def of(self, codes: np.ndarray) -> np.ndarray:
        """Return the (networks, columns) terms of networks.

        Args:
            codes: (networks, choices) the answers; -1 if a choice was not asked.
        """
        alone = [_contrasts(count)[own] for count, own in zip(self._counts, codes.T)]
        merged = [_contrasts(count)[np.minimum(own, count - 1)] for count, own in zip(self.merged, codes.T)]
        blocks = [np.ones((len(codes), 1)), *alone]
        for a, b in self.pairs:
            blocks.append(
                (merged[a][:, :, None] * merged[b][:, None, :]).reshape(
                    len(codes), merged[a].shape[1] * merged[b].shape[1]
                )
            )
        return np.concatenate(blocks, axis=1)

    def of_choice(self, choice: int) -> slice:
        """Return the columns of a choice."""
        return self.groups[1 + choice]

    def of_pair(self, choice: int, other: int) -> slice:
        """Return the columns of a pair of choices."""
        pair = (min(choice, other), max(choice, other))
        return self.groups[1 + len(self._counts) + self.pairs.index(pair)]


def _merged_counts(counts: Sequence[int]) -> list[int]:
    """Return how many levels of each choice have pair terms of their own; the rare ones share the last."""
    sizes = [count - 1 for count in counts]
    for most in range(max(sizes, default=1), 0, -1):
        sizes = [min(count - 1, most) for count in counts]
        if (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2 <= MAX_PAIR_COLUMNS:
            break
    return [size + 1 for size in sizes]


@functools.cache
def _contrasts(count: int) -> np.ndarray:
    """Return (count + 1, count - 1) orthogonal contrasts; the rows of levels have norm 1, the last row is zero."""
    vectors = np.linalg.qr(np.concatenate([np.ones((count, 1)), np.eye(count)[:, 1:]], axis=1))[0][:, 1:]
    rows = vectors * np.sqrt(count / (count - 1))
    return np.concatenate([rows, np.zeros((1, count - 1))])

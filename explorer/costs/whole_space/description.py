"""What the units of many networks add up to, beside their costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from explorer.costs.whole_space.grouping import Numbered
from explorer.networks.block import Block

NumbersOf = Callable[[Block], Mapping[str, int]]


class Description(NamedTuple):
    """Sums over the units of N networks.

    Attributes:
        costs: Cost -> (N,) values.
        hashes: (lanes, N) identities, equal for equal networks.
        stages: For each stage MACs and activations of its transition and blocks: name -> (N,) values.
        blocks: Sums over the blocks of the numbers of each: name -> (N,) values.
    """

    costs: dict[str, np.ndarray]
    hashes: np.ndarray
    stages: list[dict[str, np.ndarray]]
    blocks: dict[str, np.ndarray]


class BlockNumbers:
    """Numbers that depend on a block alone. Blocks with equal numbers are of one kind.

    Args:
        numbers_of: Returns the numbers of a block by name; a number that it lacks is 0.
    """

    def __init__(self, numbers_of: NumbersOf):
        self._numbers_of = numbers_of
        self._kinds: Numbered[tuple[tuple[str, int], ...]] = Numbered()

    def kind(self, blocks: Iterable[Block]) -> int:
        """Return the number of the kind of a unit with these blocks."""
        total: Counter[str] = Counter()
        for block in blocks:
            total.update(self._numbers_of(block))
        return self._kinds.number(tuple(sorted(total.items())))

    def of(self, kinds: np.ndarray) -> dict[str, np.ndarray]:
        """Return the numbers of the units of these kinds, by name."""
        known = [dict(kind) for kind in self._kinds.values]
        names = {name: None for kind in known for name in kind}
        return {name: np.array([kind.get(name, 0) for kind in known])[kinds] for name in names}

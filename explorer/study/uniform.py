"""The sampler ``random``: every derivation of the space that keeps the limits is equally likely."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.pool import Pool
from explorer.study.seeds import seed_for

TRIES = 100  # draws against the limits before one that breaks them is proposed, and refused by name


class UniformSampler:
    """Draws from ``pool``'s space, independently; to draw each choice in turn would favour those with few followers."""

    def __init__(self, pool: Pool, objectives: Mapping[str, str], seed: int):
        self._pool = pool
        self._seed = seed

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        draw = random.Random(seed_for("sampler", self._seed, number))
        space = self._pool.space
        for _ in range(TRIES):
            derivation = space.unrank(draw.randrange(space.count()))
            if not self._pool.breaks_limits(derivation):
                break
        return derivation, {}

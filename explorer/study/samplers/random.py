"""The sampler random: uniform over the derivations of the space that satisfy the limits."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.seeds import seed_for

MAX_DRAWS = 100  # draws that violate the limits, after which the last is proposed and the search rejects it


class UniformSampler:
    """Draws derivations of the pool's space independently and uniformly.

    Drawing each choice in turn would favour options that few other choices follow.

    Args:
        pool: The networks to choose from.
        objectives: Not used.
        seed: Seed of the study.
    """

    def __init__(self, pool: CandidatePool, objectives: Mapping[str, str], seed: int):
        self._pool = pool
        self._seed = seed

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        draw = random.Random(seed_for("sampler", self._seed, number))
        space = self._pool.space
        for _ in range(MAX_DRAWS):
            derivation = space.draw(draw)
            if not self._pool.breaks_limits(derivation):
                break
        return derivation, {}

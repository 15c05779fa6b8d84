"""The sampler evolution: regularised evolution (Real et al. 2019, arXiv:1802.01548).

The population is the last evaluated networks; the oldest is removed first. The winner of a tournament is the parent,
and the child is the parent with one mutated choice. With several objectives the tournament compares non-dominated
rank, then crowding distance (Deb et al. 2002).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from explorer.analysis.crowding import crowding_distances, non_dominated_ranks
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.samplers.mutation import mutate
from explorer.study.seeds import seed_for

POPULATION = 20
TOURNAMENT = 5  # a quarter of the population, as in the paper
MAX_DRAWS = 100  # mutants, then random networks, tried before a known or rejected network is proposed

Point = Sequence[float]


class EvolutionSampler:
    """Proposes mutants of the best of the last evaluated networks.

    Args:
        pool: The networks to choose from.
        objectives: Name to "max" or "min".
        seed: Seed of the study.
    """

    def __init__(self, pool: CandidatePool, objectives: Mapping[str, str], seed: int):
        self._pool = pool
        self._signs = {name: -1.0 if way == "max" else 1.0 for name, way in objectives.items()}
        self._seed = seed

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        """Return the derivation for trial ``number``; the notes name its parent's trial."""
        draw = random.Random(seed_for("sampler", self._seed, number))
        seen = self._pool.networks_of(trials)
        population = [trial for trial in trials if trial.state == "complete"][-POPULATION:]
        if len(population) == POPULATION:
            parent = self._fittest(draw.sample(population, TOURNAMENT))
            for derivation in self._children(Derivation(parent.choices), draw):
                if self._is_new(derivation, seen):
                    return derivation, {"parent": parent.number}
        return next(filter(lambda drawn: self._is_new(drawn, seen), self._draws(draw)), self._draw(draw)), {}

    def _fittest(self, trials: list[TrialRecord]) -> TrialRecord:
        points = [[sign * trial.objectives[name] for name, sign in self._signs.items()] for trial in trials]
        return trials[min(range(len(trials)), key=lambda place: by_rank(points)[place])]

    def _children(self, parent: Derivation, draw: random.Random) -> Iterator[Derivation]:
        """Yield mutants of the parent. Every ten mutants, the number of mutated choices grows by one."""
        for attempt in range(MAX_DRAWS):
            child = parent
            for _ in range(1 + attempt // 10):
                child = mutate(self._pool.space, child, draw)
            yield child

    def _draws(self, draw: random.Random) -> Iterator[Derivation]:
        return (self._draw(draw) for _ in range(MAX_DRAWS))

    def _draw(self, draw: random.Random) -> Derivation:
        return self._pool.space.draw(draw)

    def _is_new(self, derivation: Derivation, seen: set[int]) -> bool:
        rows = self._pool.rows([derivation])
        rows = rows[self._pool.worth_training(rows)]
        return any(network not in seen for network in self._pool.table.facts.of("network", rows).tolist())


def by_rank(points: Sequence[Point]) -> list[tuple[int, float]]:
    """Return a sort key for each point: non-dominated rank from 0, then the negated crowding distance.

    Args:
        points: Objectives, all minimised.
    """
    values = np.array(points, float)
    ranks = non_dominated_ranks(values)
    return list(zip(ranks.tolist(), (-crowding_distances(values, ranks)).tolist()))

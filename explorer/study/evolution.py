"""The sampler ``evolution``: regularised evolution (Real et al. 2019, arXiv:1802.01548) by the grammar's mutations.

The population is the last networks evaluated, whatever their worth: age is what removes. A tournament
among some of them finds the parent, and the child is the parent with one choice drawn anew. With
several objectives the tournament goes by non-dominated rank, then crowding distance (Deb et al. 2002).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from explorer.frontier import non_dominated
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.mutation import mutated
from explorer.study.pool import Pool
from explorer.study.seeds import seed_for

POPULATION = 20
TOURNAMENT = 5  # a quarter of the population, as in the paper
TRIES = 100  # mutants, and then draws, that are looked at before a known network or a refused one is proposed

Point = Sequence[float]


class EvolutionSampler:
    """Proposes networks of ``pool``. ``objectives``: name -> max or min; ``seed``: the study's."""

    def __init__(self, pool: Pool, objectives: Mapping[str, str], seed: int):
        self._pool = pool
        self._signs = {name: -1.0 if way == "max" else 1.0 for name, way in objectives.items()}
        self._seed = seed

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        """The derivation to try as trial ``number``; with it, the trial that it is a mutant of."""
        draw = random.Random(seed_for("sampler", self._seed, number))
        seen = {trial.digest for trial in trials}
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
        """Mutants of the parent; after every ten in vain, with one choice more drawn anew."""
        for attempt in range(TRIES):
            child = parent
            for _ in range(1 + attempt // 10):
                child = mutated(self._pool.space, child, draw)
            yield child

    def _draws(self, draw: random.Random) -> Iterator[Derivation]:
        return (self._draw(draw) for _ in range(TRIES))

    def _draw(self, draw: random.Random) -> Derivation:
        return self._pool.space.unrank(draw.randrange(self._pool.space.count()))

    def _is_new(self, derivation: Derivation, seen: set[str]) -> bool:
        member = self._pool.member(derivation)
        return member is not None and self._pool.hopeful(member) and member.digest not in seen


def by_rank(points: Sequence[Point]) -> list[tuple[int, float]]:
    """For each point, to be minimised, its sort key: non-dominated rank from 0, then crowding distance, negated."""
    keys: dict[int, tuple[int, float]] = {}
    left, rank = list(range(len(points))), 0
    while left:
        front = [left[place] for place in non_dominated([points[other] for other in left])]
        # Of equal points the front holds the first; the others stand beside it, with nothing to tell them apart.
        front += [place for place in left if place not in front and any(points[place] == points[f] for f in front)]
        for place, distance in zip(front, _crowding([points[other] for other in front])):
            keys[place] = (rank, -distance)
        left = [place for place in left if place not in keys]
        rank += 1
    return [keys[place] for place in range(len(points))]


def _crowding(front: Sequence[Point]) -> list[float]:
    """The crowding distance of each point of a front: over the objectives, the gap between its
    neighbours as a share of the range; infinite at the ends."""
    distances = [0.0] * len(front)
    for axis in range(len(front[0])):
        order = sorted(range(len(front)), key=lambda place: front[place][axis])
        span = front[order[-1]][axis] - front[order[0]][axis]
        distances[order[0]] = distances[order[-1]] = float("inf")
        for before, place, after in zip(order, order[1:], order[2:]):
            distances[place] += (front[after][axis] - front[before][axis]) / span if span else 0.0
    return distances

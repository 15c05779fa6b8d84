"""The sampler ``frontier``: the network that is expected to add most to what the frontier dominates.

Costs are exact for every network before it is trained, so the only thing to be believed is what
training tells. Some thousand networks, drawn from the space and from around the frontier, are held against
the frontier with exact costs and what is believed of the rest (``prospects.py``); the one with the
greatest expected gain of hypervolume is proposed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.improvement import Array
from explorer.study.mutation import around
from explorer.study.pool import Member, Pool
from explorer.study.prospects import History, Prospects
from explorer.study.seeds import seed_for

INITIAL = 5  # networks spread over the range of costs, before anything is modelled
DRAWN = 2_000  # networks of the space that are candidates in the end; fewer at first
WORK, LAYERS = 12_000, 20  # ops of the networks that one ask may derive anew; each counts so many more
PARENTS, CLIMBS = 8, 4  # best candidates whose neighbours are looked at, and how many times over


class FrontierSampler:
    """Proposes networks of ``pool``. ``objectives``: name -> max or min; ``seed``: the study's."""

    def __init__(self, pool: Pool, objectives: Mapping[str, str], seed: int):
        self._pool = pool
        self._objectives = objectives
        self._seed = seed
        self._threads = ThreadpoolController()  # small matrices are slower on many threads than on one

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        """The derivation to try as trial ``number``, and what is expected of it."""
        draw = random.Random(seed_for("sampler", self._seed, number))
        seen = {trial.digest for trial in trials}
        begun = [trial for trial in trials if trial.same_as is None and trial.state != "rejected"]
        complete = sum(trial.state == "complete" for trial in begun)
        drawn = self._pool.drawn(self._looks(number))
        if len(begun) < INITIAL or complete < 2:
            chosen, notes = self._spread(drawn, seen, len(begun), draw), {}
        else:
            with self._threads.limit(limits=1, user_api="blas"):
                chosen, notes = self._most_promising(drawn, begun, seen, draw)
        if chosen is None:  # all that was looked at is known: let the loop see to what is left
            return self._pool.space.unrank(draw.randrange(self._pool.space.count())), {}
        return chosen.derivation, notes

    def _looks(self, number: int) -> int:
        """How many networks of the space are candidates: more from trial to trial, since deriving them takes time."""
        return min(DRAWN, (number + 2) * self._affordable())

    def _affordable(self) -> int:
        """How many networks one ask may derive."""
        layers = max((member.layers for member in self._pool.drawn(2)), default=0)
        return max(20, WORK // (layers + LAYERS))

    def _spread(self, drawn: list[Member], seen: set[str], begun: int, draw: random.Random) -> Member | None:
        """A cheap network, a dear one or one between, by turns: strata of equal width in the logarithm of a cost."""
        name = next((name for name in self._objectives if name in self._pool.known_costs), "macs")
        members = [member for member in drawn if self._pool.hopeful(member)]
        fresh = [member for member in members if member.digest not in seen]
        if not fresh:
            return None
        ranks = _as_shares([member.costs[name] for member in members])
        stratum = random.Random(seed_for("strata", self._seed, 0)).sample(range(INITIAL), INITIAL)[begun % INITIAL]
        inside = [
            member
            for member, share in zip(members, ranks)
            if member.digest not in seen and min(int(share * INITIAL), INITIAL - 1) == stratum
        ]
        return draw.choice(inside or fresh)

    def _most_promising(
        self, drawn: list[Member], begun: list[TrialRecord], seen: set[str], draw: random.Random
    ) -> tuple[Member | None, dict[str, Any]]:
        history = History.of(begun, self._pool, self._objectives)
        taken = set(seen)
        candidates = self._fresh(drawn, taken)
        candidates += self._around(history.front(), taken, draw)
        if not candidates:
            return None, {}
        prospects = Prospects(history, candidates, self._pool.options, self._seed)
        gains = prospects.gains(candidates)
        climbed: set[str] = set()
        for _ in range(CLIMBS):
            best = [candidates[place] for place in np.argsort(-gains, kind="stable")[:PARENTS]]
            parents = [member for member in best if member.digest not in climbed]
            climbed.update(member.digest for member in parents)
            others = self._around(parents, taken, draw)
            candidates, gains = candidates + others, np.concatenate([gains, prospects.gains(others)])
        chosen = candidates[int(np.argmax(gains))]
        return chosen, {"expected": prospects.expected(chosen)}

    def _around(self, parents: list[Member], taken: set[str], draw: random.Random) -> list[Member]:
        """Neighbours of the parents that are fresh, as many as can be afforded."""
        derivations = around(self._pool.space, [parent.derivation for parent in parents], draw)
        found = (self._pool.member(derivation) for derivation in islice(derivations, self._affordable() // 2))
        return self._fresh((member for member in found if member is not None), taken)

    def _fresh(self, members: Iterable[Member], taken: set[str]) -> list[Member]:
        """Those hopeful of whose networks none is ``taken``, each network once; they are taken then."""
        fresh = []
        for member in members:
            if self._pool.hopeful(member) and member.digest not in taken:
                taken.add(member.digest)
                fresh.append(member)
        return fresh


def _as_shares(values: Sequence[float]) -> Array:
    """Where each value lies between the least, 0, and the greatest, 1; on a logarithmic axis where all are positive."""
    numbers = np.array(values, dtype=float)
    if numbers.min() > 0.0:
        numbers = np.log(numbers)
    return (numbers - numbers.min()) / (np.ptp(numbers) or 1.0)

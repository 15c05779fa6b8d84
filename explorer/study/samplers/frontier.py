"""The sampler frontier: proposes the network with the largest expected hypervolume improvement.

Costs are exact for every network before it is trained, so that only the metrics of training are modelled. Some
thousand networks, drawn from the space and from the neighbourhood of the Pareto front, are compared by their exact
costs and the posterior of the rest (``acquisition.py``).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it has no annotations

from explorer.analysis.expected_hypervolume import Array
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.samplers.acquisition import Acquisition, History
from explorer.study.samplers.candidate_pool import MAX_LISTED, CandidatePool
from explorer.study.samplers.mutation import shuffled_neighbours
from explorer.study.samplers.network_table import Rows
from explorer.study.seeds import seed_for

STRATA = 5  # of the range of costs; one network of each is trained before a model is fitted
MAX_DRAWN = 5_000  # random networks among the candidates in a space of more than ``MAX_LISTED``
MAX_DRAWN_SLOW = 2_000  # with cost functions of the caller or a latency predictor, which may take long
MANY = 5  # the front's neighbours are candidates up to this multiple of the networks that may be derived
MAX_PARENTS = 8  # best candidates whose neighbours become candidates too
MAX_WITH_LEVEL = 20  # best candidates with a required level that are checked for whether they use it
LOCAL_SEARCH_ROUNDS = 4  # rounds of the local search around them


class FrontierSampler:
    """Proposes the candidate with the largest expected hypervolume improvement.

    Args:
        pool: The networks to choose from.
        objectives: Name to "max" or "min".
        seed: Seed of the study.
    """

    def __init__(self, pool: CandidatePool, objectives: Mapping[str, str], seed: int):
        self._pool = pool
        pool.may_list = True
        self._objectives = objectives
        self._seed = seed
        self._threads = ThreadpoolController()  # small matrices are slower on many threads than on one

    def propose(self, trials: Sequence[TrialRecord], number: int) -> tuple[Derivation, dict[str, Any]]:
        """Return the derivation for trial ``number``; the notes hold its expected objectives."""
        draw = random.Random(seed_for("sampler", self._seed, number))
        seen = self._pool.networks_of(trials)
        begun = [trial for trial in trials if trial.same_as is None and trial.state != "rejected"]
        complete = sum(trial.state == "complete" for trial in begun)
        count = self._drawn_count(number)
        drawn = self._pool.first(count)
        notes: dict[str, Any] = {}
        if len(begun) < STRATA or complete < 2:
            chosen = self._spread(drawn, seen, len(begun), draw)
        else:
            with self._threads.limit(limits=1, user_api="blas"):
                chosen, notes = self._most_promising(drawn, count == self._all_count(), begun, seen, draw)
        if chosen is None:  # no candidate is new: draw from all networks
            return self._pool.space.draw(draw), {}
        return self._pool.derivation(self._pool.least_written(chosen, drawn)), notes

    def _drawn_count(self, number: int) -> int:
        """Return how many random networks are candidates; it grows with each trial, since deriving them takes time."""
        total = self._all_count()
        if not self._pool.candidates.are_analytic:
            most: float = MAX_DRAWN_SLOW
        else:
            most = total if total <= MAX_LISTED else MAX_DRAWN
        return int(min(total, most, (number + 2) * self._pool.derivable))

    def _all_count(self) -> float:
        """Return the number of derivations; infinity if they are not counted."""
        space = self._pool.space
        return space.indices if space.is_counted else math.inf

    def _spread(self, drawn: Rows, seen: set[int], begun: int, draw: random.Random) -> int | None:
        """Return a network of the next cost stratum; strata have equal width in the logarithm of a cost."""
        table = self._pool.table
        name = next((name for name in self._objectives if name in self._pool.known_costs), "macs")
        candidates = drawn[self._pool.worth_training(drawn)]
        is_new = np.array([network not in seen for network in table.facts.of("network", candidates).tolist()], bool)
        if not is_new.any():
            return None
        strata = np.minimum((_as_shares(table.costs.of(name, candidates)) * STRATA).astype(int), STRATA - 1)
        stratum = random.Random(seed_for("strata", self._seed, 0)).sample(range(STRATA), STRATA)[begun % STRATA]
        inside = candidates[is_new & (strata == stratum)]
        return int(draw.choice((inside if len(inside) else candidates[is_new]).tolist()))

    def _most_promising(
        self, drawn: Rows, is_all: bool, begun: list[TrialRecord], seen: set[int], draw: random.Random
    ) -> tuple[int | None, dict[str, Any]]:
        """Return the network of largest improvement and its expected objectives.

        Args:
            drawn: Random networks of the space.
            is_all: Whether they are all networks of the space, so that no others need to be sought.
            begun: The trials.
            seen: Numbers of their networks, and of rejected ones.
            draw: Draws neighbours.
        """
        history = History.of(begun, self._pool, self._objectives)
        taken = set(seen)
        candidates = self._pool.fresh(drawn, taken)
        if not is_all:
            front = history.front().derived(self._pool)[0]
            candidates = np.concatenate([candidates, self._neighbours(front, taken, draw, all_of_few=True)])
        if not len(candidates):
            return None, {}
        acquisition = Acquisition(history, candidates, self._pool, self._seed)
        gains = acquisition.gains(candidates)
        climbed: set[int] = set()
        for _ in range(0 if is_all else LOCAL_SEARCH_ROUNDS):
            best = candidates[np.argsort(-gains, kind="stable")[:MAX_PARENTS]].tolist()
            parents = [row for row in best if row not in climbed]
            climbed.update(parents)
            others = self._neighbours(np.array(parents, dtype=np.intp), taken, draw)
            candidates = np.concatenate([candidates, others])
            gains = np.concatenate([gains, acquisition.gains(others)])
        best = candidates[np.argsort(-gains, kind="stable")[:MAX_WITH_LEVEL]].tolist()
        chosen = next(filter(self._pool.uses_required, best), best[0])
        return chosen, {"expected": acquisition.expected(chosen)}

    def _neighbours(self, parents: Rows, taken: set[int], draw: random.Random, all_of_few: bool = False) -> Rows:
        """Return new neighbours of the parents, as many as may be derived.

        Args:
            parents: The networks.
            taken: Numbers of the networks to leave out; those of the neighbours are added.
            draw: Draws the neighbours if there are too many.
            all_of_few: Whether to return all if there are few. Most neighbours of the front were derived for an earlier
                proposal.
        """
        derivations = shuffled_neighbours(self._pool.space, list(map(self._pool.derivation, parents.tolist())), draw)
        most = self._pool.derivable
        few = list(islice(derivations, MANY * most + 1)) if all_of_few else []
        chosen = few if few and len(few) <= MANY * most else islice(chain(few, derivations), most // 2)
        return self._pool.fresh(self._pool.rows(chosen), taken)


def _as_shares(numbers: Array) -> Array:
    """Return the numbers scaled to 0..1, on a logarithmic axis if all are positive."""
    if numbers.min() > 0.0:
        numbers = np.log(numbers)
    return np.asarray((numbers - numbers.min()) / (np.ptp(numbers) or 1.0))

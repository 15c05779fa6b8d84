"""What the trials so far promise of networks that were not tried."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from explorer.frontier import non_dominated
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.features import FeatureMap
from explorer.study.foretold import usual_error
from explorer.study.improvement import Array, Belief, expected_gain
from explorer.study.pool import Member, Pool
from explorer.study.surrogate import Surrogate

MARGIN = 0.1  # by which the reference point lies beyond the worst values, as a share of their range
CENTRAL = 1.645  # standard deviations on either side that hold 90% of a Gaussian


@dataclass(frozen=True)
class Seen:
    """Trials that stand alike. ``values``: the objectives, to be minimised, (N, K); nan where not known."""

    members: list[Member]
    values: Array


@dataclass(frozen=True)
class History:
    """The trials of a study as the sampler sees them. ``exact``: which objectives are known before training."""

    objectives: Mapping[str, str]
    exact: tuple[bool, ...]
    complete: Seen
    running: Seen
    stopped: Seen
    failed: Seen

    @classmethod
    def of(cls, trials: Iterable[TrialRecord], pool: Pool, objectives: Mapping[str, str]) -> History:
        made = {}
        exact = tuple(name in pool.known_costs for name in objectives)
        trials = list(trials)
        for state in ("complete", "running", "stopped", "failed"):
            members, rows = [], []
            for trial in trials:
                its_state = "running" if trial.state == "interrupted" else trial.state  # it will be resumed
                member = pool.member(Derivation(trial.choices)) if its_state == state else None
                if member is not None:
                    known = {**member.costs, **trial.costs, **trial.objectives}
                    members.append(member)
                    rows.append([_sign(way) * known.get(name, np.nan) for name, way in objectives.items()])
            made[state] = Seen(members, np.array(rows, dtype=float).reshape(len(rows), len(objectives)))
        return cls(objectives, exact, **made)

    def front(self) -> list[Member]:
        """The complete trials that no other beats."""
        return [self.complete.members[place] for place in non_dominated(self.complete.values.tolist())]


class Prospects:
    """What ``history`` lets one believe of ``candidates`` and their like."""

    def __init__(
        self, history: History, candidates: Sequence[Member], options: Mapping[str, tuple[str, ...]], seed: int
    ):
        self._history = history
        complete, running, stopped = history.complete, history.running, history.stopped
        tried = [*complete.members, *running.members, *stopped.members, *history.failed.members]
        self._features = FeatureMap([*tried, *candidates], options)
        seen = [self._features.encode(group.members) for group in (complete, running, stopped)]
        self._surrogates: dict[int, Surrogate] = {}
        self._foretold: dict[str, tuple[float, float]] = {}  # by how much predictions fall short, and their scatter
        believed = running.values.copy()
        for place, (name, way) in enumerate(history.objectives.items()):
            if history.exact[place]:
                continue
            if way == "min" and all(name in member.foretold for member in [*tried, *candidates]):
                self._foretold[name] = usual_error(_errors(name, history))
            else:
                surrogate = Surrogate(seen[0], complete.values[:, place], seed)
                surrogate.believe(seen[1])
                surrogate.believe(seen[2], stopped.values[:, place])
                believed[:, place] = surrogate.predict(seen[1]).quantile(0.0) if len(believed) else believed[:, place]
                self._surrogates[place] = surrogate
        self._front = np.vstack([complete.values, believed])
        worst, best = self._front.max(axis=0), self._front.min(axis=0)
        # A cost may grow as far as the dearest candidate: what a dear network gains in accuracy must count.
        for place, (name, way) in enumerate(history.objectives.items()):
            if history.exact[place]:
                worst[place] = max(worst[place], max(_sign(way) * member.costs[name] for member in candidates))
            elif name in self._foretold:
                scale = math.exp(self._foretold[name][0])
                worst[place] = max(worst[place], scale * max(member.foretold[name] for member in candidates))
        self._reference = worst + MARGIN * np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1e-9))

    def gains(self, candidates: Sequence[Member]) -> Array:
        """The hypervolume that each is expected to add to the front, (N,)."""
        if not candidates:
            return np.zeros(0)
        gains = expected_gain(self._front, self._reference, self._known(candidates))
        return gains * self._chance_to_end_well(candidates) if self._history.failed.members else gains

    def _chance_to_end_well(self, candidates: Sequence[Member]) -> Array:
        """The share of well ended trials among those like each candidate, (N,), weighted by likeness, with one
        more that ended well: where networks do not fit into memory, say, the next one like them is not likely to."""
        surrogate = next(iter(self._surrogates.values()))
        features = self._features.encode(candidates)
        well, failed = (
            surrogate.likeness(features, self._features.encode(group.members)).sum(axis=1)
            for group in (self._history.complete, self._history.failed)
        )
        return (1.0 + well) / (1.0 + well + failed)

    def expected(self, candidate: Member) -> dict[str, list[float]]:
        """Of each objective that training tells: the median and the ends of the central 90% of what one training is
        expected to tell, its noise included."""
        told = {}
        for place, ((name, way), known) in enumerate(zip(self._history.objectives.items(), self._known([candidate]))):
            if isinstance(known, Belief):
                if place in self._surrogates:
                    known = replace(known, sd=np.hypot(known.sd, self._surrogates[place].noise))
                ends = [_sign(way) * float(known.quantile(z)[0]) for z in (-CENTRAL, 0.0, CENTRAL)]
                told[name] = sorted(ends)
        return told

    def _known(self, candidates: Sequence[Member]) -> list[Array | Belief]:
        features = self._features.encode(candidates)
        known: list[Array | Belief] = []
        for place, (name, way) in enumerate(self._history.objectives.items()):
            if place in self._surrogates:
                known.append(self._surrogates[place].predict(features))
            elif name in self._foretold:
                shift, scatter = self._foretold[name]
                logs = np.log([member.foretold[name] for member in candidates]) + shift
                known.append(Belief(0.0, logs, np.full(len(logs), scatter)))
            else:
                known.append(_sign(way) * np.array([member.costs[name] for member in candidates], dtype=float))
        return known


def _errors(name: str, history: History) -> list[float]:
    """log(measured / predicted) of the trials of which ``name`` is known."""
    place = list(history.objectives).index(name)
    known = [
        (member.foretold[name], float(values[place]))
        for seen in (history.complete, history.running)
        for member, values in zip(seen.members, seen.values)
    ]
    return [math.log(value / foretold) for foretold, value in known if value > 0]


def _sign(way: str) -> float:
    return -1.0 if way == "max" else 1.0

"""The acquisition function: expected hypervolume improvement of untried networks, given the trials so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from explorer.analysis.expected_hypervolume import Array, Lognormal, expected_hypervolume_improvement
from explorer.analysis.pareto import non_dominated
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.latency.predicted import error_distribution
from explorer.study.samplers.candidate_pool import CandidatePool, PoolCandidate
from explorer.study.samplers.features import FeatureMap
from explorer.study.samplers.gaussian_process import GaussianProcess

MARGIN = 0.1  # distance of the reference point beyond the worst values, as a share of their range
# Trials that the model is conditioned on; they bound the time of a proposal, which grows with the cube of their number.
MAX_COMPLETE, MAX_OTHERS = 800, 400  # others: stopped trials, and the failed ones for the probability of success
DIRECTIONS = 64  # of the front, in each of which the best trials are kept
Z_90 = 1.645  # standard deviations on both sides of the mean that hold 90% of a normal distribution


@dataclass(frozen=True)
class TrialGroup:
    """N trials of one state.

    Attributes:
        candidates: Their networks.
        values: (N, K) objectives, all minimised; nan where not known.
    """

    candidates: list[PoolCandidate]
    values: Array

    def __len__(self) -> int:
        return len(self.candidates)

    def __getitem__(self, rows: NDArray[np.intp]) -> TrialGroup:
        return TrialGroup([self.candidates[row] for row in rows], self.values[rows])

    def drawn(self, size: int, seed: int) -> TrialGroup:
        """Return at most ``size`` of the trials, drawn at random; most of them stay when the group grows."""
        return self if len(self) <= size else self[np.sort(_random_order(len(self), seed)[:size])]

    def best(self, size: int, seed: int) -> TrialGroup:
        """Return at most ``size`` of the trials: the front, the best beside it, and the others drawn at random.

        The best have the smallest weighted Chebyshev distances from the ideal point, for random weights and the ranks
        of the trials in each objective (Knowles 2006, "ParEGO", eq. 2).
        """
        if len(self) <= size:
            return self
        ranks = np.argsort(np.argsort(self.values, axis=0, kind="stable"), axis=0, kind="stable")
        weights = np.random.default_rng(seed).dirichlet(np.ones(ranks.shape[1]), DIRECTIONS)
        distances = np.stack([(weight * ranks).max(axis=1) for weight in weights], axis=1)
        nearest = np.argsort(distances, axis=0, kind="stable")[: size // (4 * DIRECTIONS) + 1].ravel()
        front = non_dominated(self.values.tolist())[: size // 2]
        order = dict.fromkeys([*front, *nearest.tolist(), *_random_order(len(self), seed).tolist()])
        return self[np.array(sorted(list(order)[:size]))]


@dataclass(frozen=True)
class History:
    """The trials of a study by state.

    Attributes:
        objectives: Name to "max" or "min".
        exact: For each objective, whether it is known before training.
        complete: Trials trained to the end.
        running: Trials under way, and interrupted ones, which will be resumed.
        stopped: Trials stopped early.
        failed: Failed trials.
    """

    objectives: Mapping[str, str]
    exact: tuple[bool, ...]
    complete: TrialGroup
    running: TrialGroup
    stopped: TrialGroup
    failed: TrialGroup

    @classmethod
    def of(cls, trials: Iterable[TrialRecord], pool: CandidatePool, objectives: Mapping[str, str]) -> History:
        made = {}
        exact = tuple(name in pool.known_costs for name in objectives)
        trials = list(trials)
        for state in ("complete", "running", "stopped", "failed"):
            candidates, rows = [], []
            for trial in trials:
                its_state = "running" if trial.state == "interrupted" else trial.state  # it will be resumed
                candidate = pool.candidate(Derivation(trial.choices)) if its_state == state else None
                if candidate is not None:
                    known = {**candidate.costs, **trial.quantities}
                    candidates.append(candidate)
                    rows.append([_sign(way) * known.get(name, np.nan) for name, way in objectives.items()])
            made[state] = TrialGroup(candidates, np.array(rows, dtype=float).reshape(len(rows), len(objectives)))
        return cls(objectives, exact, **made)

    def front(self) -> list[PoolCandidate]:
        """Return the complete trials on the Pareto front."""
        return [self.complete.candidates[place] for place in non_dominated(self.complete.values.tolist())]


class Acquisition:
    """Expected hypervolume improvement, given the trials of ``history``.

    Args:
        history: The trials of the study.
        candidates: Networks that may be proposed; features and the reference point are scaled to them.
        options: The options of every choice point.
        seed: Seed of the study.
    """

    def __init__(
        self, history: History, candidates: Sequence[PoolCandidate], options: Mapping[str, tuple[str, ...]], seed: int
    ):
        self._history = history
        running, stopped = history.running, history.stopped.drawn(MAX_OTHERS, seed)
        complete = history.complete.best(MAX_COMPLETE, seed)
        self._drawn = [group.drawn(MAX_OTHERS, seed) for group in (history.complete, history.failed)]
        groups = history.complete, history.running, history.stopped, history.failed
        tried = [candidate for group in groups for candidate in group.candidates]
        self._features = FeatureMap([*tried, *candidates], options)
        seen = [self._features.encode(group.candidates) for group in (complete, running, stopped)]
        self._processes: dict[int, GaussianProcess] = {}
        self._predicted: dict[str, tuple[float, float]] = {}  # mean and spread of the log errors of predictions
        assumed = running.values.copy()
        for place, (name, way) in enumerate(history.objectives.items()):
            if history.exact[place]:
                continue
            if way == "min" and all(name in candidate.predicted for candidate in [*tried, *candidates]):
                self._predicted[name] = error_distribution(_errors(name, history))
            else:
                process = GaussianProcess(seen[0], complete.values[:, place], seed)
                process.add_unfinished(seen[1])
                process.add_unfinished(seen[2], stopped.values[:, place])
                assumed[:, place] = process.predict(seen[1]).quantile(0.0) if len(assumed) else assumed[:, place]
                self._processes[place] = process
        values = np.vstack([history.complete.values, assumed])
        self._front = values[non_dominated(values.tolist())]
        worst, best = values.max(axis=0), values.min(axis=0)
        # The reference is beyond the most expensive candidate, so that its gain in accuracy counts as well.
        for place, (name, way) in enumerate(history.objectives.items()):
            if history.exact[place]:
                worst[place] = max(worst[place], max(_sign(way) * candidate.costs[name] for candidate in candidates))
            elif name in self._predicted:
                scale = math.exp(self._predicted[name][0])
                worst[place] = max(worst[place], scale * max(candidate.predicted[name] for candidate in candidates))
        self._reference = worst + MARGIN * np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1e-9))

    def gains(self, candidates: Sequence[PoolCandidate]) -> Array:
        """Return the expected hypervolume improvement of each candidate, (N,)."""
        if not candidates:
            return np.zeros(0)
        gains = expected_hypervolume_improvement(self._front, self._reference, self._known(candidates))
        return gains * self._success_probability(candidates) if self._history.failed.candidates else gains

    def _success_probability(self, candidates: Sequence[PoolCandidate]) -> Array:
        """Return the probability, (N,), that the training of each candidate does not fail.

        It is the share of complete trials among complete and failed ones, weighted by their correlation with the
        candidate, with one complete trial added: networks like those that ran out of memory, say, become unlikely.
        """
        process = next(iter(self._processes.values()))
        features = self._features.encode(candidates)
        groups = self._history.complete, self._history.failed
        complete, failed = (
            process.correlation(features, self._features.encode(drawn.candidates)).sum(axis=1) * len(group) / len(drawn)
            for group, drawn in zip(groups, self._drawn)
        )
        return np.asarray((1.0 + complete) / (1.0 + complete + failed))

    def expected(self, candidate: PoolCandidate) -> dict[str, list[float]]:
        """Return a prediction for each objective that training measures.

        Returns:
            Name to [lower, median, upper], with the ends of the central 90% interval of one training, noise included.
        """
        predictions = {}
        for place, ((name, way), known) in enumerate(zip(self._history.objectives.items(), self._known([candidate]))):
            if isinstance(known, Lognormal):
                if place in self._processes:
                    known = replace(known, sd=np.hypot(known.sd, self._processes[place].noise))
                ends = [_sign(way) * float(known.quantile(z)[0]) for z in (-Z_90, 0.0, Z_90)]
                predictions[name] = sorted(ends)
        return predictions

    def _known(self, candidates: Sequence[PoolCandidate]) -> list[Array | Lognormal]:
        features = self._features.encode(candidates)
        known: list[Array | Lognormal] = []
        for place, (name, way) in enumerate(self._history.objectives.items()):
            if place in self._processes:
                known.append(self._processes[place].predict(features))
            elif name in self._predicted:
                shift, scatter = self._predicted[name]
                logs = np.log([candidate.predicted[name] for candidate in candidates]) + shift
                known.append(Lognormal(0.0, logs, np.full(len(logs), scatter)))
            else:
                known.append(_sign(way) * np.array([candidate.costs[name] for candidate in candidates], dtype=float))
        return known


def _random_order(count: int, seed: int) -> NDArray[np.intp]:
    return np.argsort(np.random.default_rng(seed).random(count), kind="stable")


def _errors(name: str, history: History) -> list[float]:
    """Return log(measured / predicted) of the trials for which the cost ``name`` is measured."""
    place = list(history.objectives).index(name)
    known = [
        (candidate.predicted[name], float(values[place]))
        for seen in (history.complete, history.running)
        for candidate, values in zip(seen.candidates, seen.values)
    ]
    return [math.log(value / predicted) for predicted, value in known if value > 0]


def _sign(way: str) -> float:
    return -1.0 if way == "max" else 1.0

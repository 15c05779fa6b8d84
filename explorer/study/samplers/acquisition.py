"""The acquisition function: expected hypervolume improvement of untried networks, given the trials so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from explorer.analysis.expected_hypervolume import (
    Array,
    LogDistance,
    Lognormal,
    Uncertain,
    expected_hypervolume_improvement,
    log_distance,
)
from explorer.analysis.pareto import non_dominated
from explorer.analysis.pareto_pairs import non_dominated_pairs
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.study.latency.predicted import error_distribution
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.samplers.features import FeatureMap
from explorer.study.samplers.gaussian_process import GaussianProcess
from explorer.study.samplers.network_table import Rows

MARGIN = 0.1  # distance of the reference point beyond the worst values, as a share of their range
# Trials that the model is conditioned on; they bound the time of a proposal, which grows with the cube of their number.
MAX_COMPLETE = 800
MAX_OTHERS = 400  # running trials, stopped ones, and the failed ones for the probability of success
MAX_EXACT = 3_000  # candidates whose improvement is computed with all of these trials
DIRECTIONS = 64  # of the front, in each of which the best trials are kept
Z_90 = 1.645  # standard deviations on both sides of the mean that hold 90% of a normal distribution


@dataclass(frozen=True)
class TrialGroup:
    """N trials of one state.

    Attributes:
        trials: The trials.
        values: (N, K) objectives, all minimised; nan where not known.
    """

    trials: list[TrialRecord]
    values: Array

    def __len__(self) -> int:
        return len(self.trials)

    def __getitem__(self, rows: NDArray[np.intp]) -> TrialGroup:
        return TrialGroup([self.trials[row] for row in rows], self.values[rows])

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
        count = size // (4 * DIRECTIONS) + 1
        nearest = [_smallest((weight * ranks).max(axis=1), count) for weight in weights]
        front = front_rows(self.values)[: size // 2]
        order = dict.fromkeys([*front.tolist(), *np.ravel(nearest, "F").tolist()])
        order |= dict.fromkeys(_random_order(len(self), seed)[: 2 * size].tolist())
        return self[np.array(sorted(list(order)[:size]))]

    def derived(self, pool: CandidatePool) -> tuple[Rows, Array]:
        """Return the networks and the values of the trials, without those that cannot be built any more."""
        rows = [pool.row(Derivation(trial.choices)) for trial in self.trials]
        built = [row is not None for row in rows]
        return np.array([row for row in rows if row is not None], dtype=np.intp), self.values[built]


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
        exact = tuple(name in pool.known_costs for name in objectives)
        by_state: dict[str, list[TrialRecord]] = {state: [] for state in ("complete", "running", "stopped", "failed")}
        for trial in trials:
            state: str = "running" if trial.state == "interrupted" else trial.state  # it will be resumed
            if state in by_state:
                by_state[state].append(trial)
        groups = {}
        for state, own in by_state.items():
            values = np.empty((len(own), len(objectives)))
            for place, (name, way) in enumerate(objectives.items()):
                found = [trial.value(name) for trial in own]
                if exact[place] and None in found:
                    found = [_cost(trial, name, pool) if value is None else value for trial, value in zip(own, found)]
                values[:, place] = np.array(found, dtype=float) * _sign(way)
            groups[state] = TrialGroup(own, values)
        return cls(objectives, exact, **groups)

    def front(self) -> TrialGroup:
        """Return the complete trials on the Pareto front."""
        return self.complete[front_rows(self.complete.values)]


class Acquisition:
    """Expected hypervolume improvement, given the trials of ``history``.

    Costs that are known or predicted are measured on their own axis, modelled objectives on a logarithmic one: that of
    log(value - floor + d), with the floor of the model and the distance d of the best value from it. There a few very
    bad networks do not make all cheap ones look like a large gain. Without d, a small gain near the floor, which lies
    as far below the best value as the model likes, would count as much as a large one elsewhere.

    Args:
        history: The trials of the study.
        candidates: Networks that may be proposed; features and the reference point are scaled to them.
        pool: The networks.
        seed: Seed of the study.
    """

    def __init__(self, history: History, candidates: Rows, pool: CandidatePool, seed: int):
        self._history, self._table = history, pool.table
        complete, complete_values = history.complete.best(MAX_COMPLETE, seed).derived(pool)
        running, assumed = history.running.drawn(MAX_OTHERS, seed).derived(pool)
        stopped, stopped_values = history.stopped.drawn(MAX_OTHERS, seed).derived(pool)
        self._drawn = [group.drawn(MAX_OTHERS, seed).derived(pool)[0] for group in (history.complete, history.failed)]
        everything = np.concatenate([complete, running, stopped, self._drawn[1], candidates])
        self._features = FeatureMap(pool.table, everything)
        seen = [self._features.encode(group) for group in (complete, running, stopped)]
        self._processes: dict[int, GaussianProcess] = {}
        self._predicted: dict[str, tuple[float, float]] = {}  # mean and spread of the log errors of predictions
        assumed = assumed.copy()
        for place, (name, way) in enumerate(history.objectives.items()):
            if history.exact[place]:
                continue
            if way == "min" and not np.isnan(pool.table.predicted.of(name, everything)).any():
                predicted = pool.table.predicted.of(name, np.concatenate([complete, running]))
                measured = np.concatenate([complete_values[:, place], assumed[:, place]])
                self._predicted[name] = error_distribution(_errors(predicted.tolist(), measured.tolist()))
            else:
                process = GaussianProcess(seen[0], complete_values[:, place], seed)
                process.add_unfinished(seen[1])
                process.add_unfinished(seen[2], stopped_values[:, place])
                assumed[:, place] = process.predict(seen[1]).quantile(0.0) if len(assumed) else assumed[:, place]
                self._processes[place] = process
        values = np.vstack([history.complete.values, assumed])
        for place, process in self._processes.items():
            values[:, place] = log_distance(values[:, place], process.floor, process.nearest)
        self._front = values[front_rows(values)]
        worst, best = values.max(axis=0), values.min(axis=0)
        # The reference is beyond the most expensive candidate, so that its gain in accuracy counts as well.
        for place, (name, way) in enumerate(history.objectives.items()):
            if history.exact[place]:
                worst[place] = max(worst[place], (_sign(way) * self._table.costs.of(name, candidates)).max())
            elif name in self._predicted:
                scale = math.exp(self._predicted[name][0])
                worst[place] = max(worst[place], scale * self._table.predicted.of(name, candidates).max())
        self._reference = worst + MARGIN * np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1e-9))

    def gains(self, candidates: Rows) -> Array:
        """Return the expected hypervolume improvement of each candidate, (N,).

        In a study of many trials, of more than ``MAX_EXACT`` candidates those with the largest improvement by a coarse
        model, which uses few of the trials, are compared by the full model. The others have 0.
        """
        gains = np.zeros(len(candidates))
        chosen = np.arange(len(candidates))
        if len(candidates) > MAX_EXACT and any(process.has_coarse for process in self._processes.values()):
            chosen = np.argsort(-self._gains(candidates, coarse=True), kind="stable")[:MAX_EXACT]
        if len(chosen):
            gains[chosen] = self._gains(candidates[chosen])
        return gains

    def _gains(self, candidates: Rows, coarse: bool = False) -> Array:
        known: list[Array | Uncertain] = list(self._known(candidates, coarse))
        for place, process in self._processes.items():
            known[place] = LogDistance(cast(Lognormal, known[place]), process.nearest)
        gains = expected_hypervolume_improvement(self._front, self._reference, known)
        return gains if coarse or not len(self._history.failed) else gains * self._success_probability(candidates)

    def _success_probability(self, candidates: Rows) -> Array:
        """Return the probability, (N,), that the training of each candidate does not fail.

        It is the share of complete trials among complete and failed ones, weighted by their correlation with the
        candidate, with one complete trial added: networks like those that ran out of memory, say, become unlikely.
        """
        process = next(iter(self._processes.values()))
        features = self._features.encode(candidates)
        groups = self._history.complete, self._history.failed
        complete, failed = (
            process.correlation(features, self._features.encode(drawn)).sum(axis=1) * (len(group) / max(1, len(drawn)))
            for group, drawn in zip(groups, self._drawn)
        )
        return np.asarray((1.0 + complete) / (1.0 + complete + failed))

    def expected(self, row: int) -> dict[str, list[float]]:
        """Return a prediction for each objective that training measures, for one network.

        Returns:
            Name to [lower, median, upper], with the ends of the central 90% interval of one training, noise included.
        """
        predictions = {}
        known_values = self._known(np.array([row]))
        for place, ((name, way), known) in enumerate(zip(self._history.objectives.items(), known_values)):
            if isinstance(known, Lognormal):
                if place in self._processes:
                    known = replace(known, sd=np.hypot(known.sd, self._processes[place].noise))
                ends = [_sign(way) * float(known.quantile(z)[0]) for z in (-Z_90, 0.0, Z_90)]
                predictions[name] = sorted(ends)
        return predictions

    def _known(self, candidates: Rows, coarse: bool = False) -> list[Array | Lognormal]:
        features = self._features.encode(candidates)
        known: list[Array | Lognormal] = []
        for place, (name, way) in enumerate(self._history.objectives.items()):
            if place in self._processes:
                known.append(self._processes[place].predict(features, coarse))
            elif name in self._predicted:
                shift, scatter = self._predicted[name]
                logs = np.log(self._table.predicted.of(name, candidates)) + shift
                known.append(Lognormal(0.0, logs, np.full(len(logs), scatter)))
            else:
                known.append(_sign(way) * self._table.costs.of(name, candidates))
        return known


def front_rows(values: Array) -> NDArray[np.intp]:
    """Return the rows of the non-dominated points of (N, K), as ``non_dominated`` does, for many points."""
    if values.shape[1] != 2 or len(values) < 2:
        return np.array(non_dominated(values.tolist()), dtype=np.intp)
    return np.flatnonzero(non_dominated_pairs(values[:, 0], values[:, 1]))


def _random_order(count: int, seed: int) -> NDArray[np.intp]:
    return np.argsort(np.random.default_rng(seed).random(count), kind="stable")


def _smallest(values: Array, count: int) -> NDArray[np.intp]:
    """Return the places of the ``count`` smallest values, in their order."""
    if count < len(values):
        within = np.flatnonzero(values <= np.partition(values, count - 1)[count - 1])
    else:
        within = np.arange(len(values))
    return within[np.argsort(values[within], kind="stable")][:count]


def _cost(trial: TrialRecord, name: str, pool: CandidatePool) -> float:
    """Return a cost of a trial that was recorded without it; nan if its network cannot be built any more."""
    row = pool.row(Derivation(trial.choices))
    return math.nan if row is None else float(pool.table.costs.of(name, np.array([row]))[0])


def _errors(predicted: Sequence[float], measured: Sequence[float]) -> list[float]:
    """Return log(measured / predicted) of the networks that have a measured value."""
    return [math.log(value / guess) for guess, value in zip(predicted, measured) if value > 0]


def _sign(way: str) -> float:
    return -1.0 if way == "max" else 1.0

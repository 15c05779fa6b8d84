"""Expected latency of unmeasured networks, so that a search measures few networks that exceed a limit.

A limit on latency can be tight, and each measurement takes seconds. The expected latency is that of a calibrated
predictor (``predicted.py``). Without one, log latency is fitted by least squares on the logarithms of a few costs: a
rough estimate, good enough to rank networks. It rejects no network: every proposed network is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from explorer.analysis.limits import Limit
from explorer.analysis.quantities import LATENCY
from explorer.records import TrialRecord
from explorer.study.latency.predicted import PredictedLatency, error_distribution

PREDICTORS = ("macs", "activations", "params", "weight_layers")
MIN_MEASURED = 8  # measured networks needed for the fit
RIDGE = 1e-3  # keeps the fit defined when costs are proportional to each other


class Network(Protocol):
    """A network with its known ``costs`` and its ``predicted`` ones (empty without a predictor)."""

    @property
    def costs(self) -> Mapping[str, float]: ...

    @property
    def predicted(self) -> Mapping[str, float]: ...


class LatencyFilter:
    """Checks the expected latency of networks against limits.

    Args:
        limits: Limits on ``latency_ms``.
        predicted: A calibrated predictor, if the study has one.
    """

    def __init__(self, limits: Sequence[Limit], predicted: PredictedLatency | None = None):
        self._limits = limits
        self._predicted = predicted
        self._errors: dict[str, float] = {}  # digest -> log(measured / predicted)
        self._rows: dict[str, tuple[list[float], float]] = {}  # digest -> logarithms of its costs and of its latency
        self._weights: Sequence[float] | None = None

    def learn(self, trials: Iterable[TrialRecord]) -> None:
        """Add the measured latencies of trials."""
        if not self._limits:
            return
        measured = [trial for trial in trials if trial.latency and LATENCY in trial.costs]
        if self._predicted is not None:
            self._errors |= self._predicted.log_errors(measured)
        else:
            known = len(self._rows)
            self._rows |= {trial.digest: (_logs(trial.costs), math.log(trial.costs[LATENCY])) for trial in measured}
            if len(self._rows) > known and len(self._rows) >= MIN_MEASURED:
                self._weights = _fit(list(self._rows.values()))

    def expected(self, network: Network) -> float:
        """Return the expected latency in ms; 0 without a predictor before ``MIN_MEASURED`` networks are measured."""
        if LATENCY in network.predicted:
            shift, _ = error_distribution(self._errors.values())
            return network.predicted[LATENCY] * math.exp(shift)
        if self._weights is None:
            return 0.0
        return math.exp(sum(weight * value for weight, value in zip(self._weights, _logs(network.costs))))

    def may_satisfy_limits(self, network: Network) -> bool:
        """Whether a network is expected to keep the limits; True if its latency cannot be estimated yet."""
        if not (expected := self.expected(network)):
            return True
        return all(limit.allows({LATENCY: expected}) for limit in self._limits)


def _logs(costs: Mapping[str, float]) -> list[float]:
    return [1.0, *(math.log1p(costs[name]) for name in PREDICTORS)]


def _fit(rows: Sequence[tuple[list[float], float]]) -> Sequence[float]:
    import numpy as np

    x, y = np.array([row for row, _ in rows]), np.array([ms for _, ms in rows])
    weights: list[float] = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y).tolist()
    return weights

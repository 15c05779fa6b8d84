"""What the latencies measured so far let one expect of other networks, so that few are measured in vain.

A limit on latency can be tight, and each measurement takes seconds. Log latency is fitted by least squares on the
logs of a few costs: rough, yet enough to say who comes first. Nothing is refused by it: who is proposed is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from explorer.limits import Limit
from explorer.records import TrialRecord
from explorer.store.study import LATENCY

PREDICTORS = ("macs", "activations", "params", "weight_layers")
FEWEST = 8  # measured networks before anything is expected
RIDGE = 1e-3


class LatencyScreen:
    """Expects latencies of networks from those of the trials it has learnt, and holds them against ``limits``."""

    def __init__(self, limits: Sequence[Limit]):
        self._limits = limits
        self._rows: dict[str, tuple[list[float], float]] = {}  # digest -> its costs' logs, its latency's
        self._weights: Sequence[float] | None = None

    def learn(self, trials: Iterable[TrialRecord]) -> None:
        """Takes in what was measured of these trials."""
        known = len(self._rows)
        if self._limits:
            measured = (trial for trial in trials if trial.latency)
            self._rows |= {trial.digest: (_logs(trial.costs), math.log(trial.costs[LATENCY])) for trial in measured}
        if len(self._rows) > known and len(self._rows) >= FEWEST:
            self._weights = _fit(list(self._rows.values()))

    def expected(self, costs: Mapping[str, float]) -> float:
        """The latency, in ms, expected of a network of these costs; 0 before there is anything to go by."""
        if self._weights is None:
            return 0.0
        return math.exp(sum(weight * value for weight, value in zip(self._weights, _logs(costs))))

    def hopeful(self, costs: Mapping[str, float]) -> bool:
        """Whether a network of these costs is expected to keep the limits; True before there is anything to go by."""
        if self._weights is None:
            return True
        expected = self.expected(costs)
        return all(limit.allows({LATENCY: expected}) for limit in self._limits)


def _logs(costs: Mapping[str, float]) -> list[float]:
    return [1.0, *(math.log1p(costs[name]) for name in PREDICTORS)]


def _fit(rows: Sequence[tuple[list[float], float]]) -> Sequence[float]:
    import numpy as np

    x, y = np.array([row for row, _ in rows]), np.array([ms for _, ms in rows])
    return np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y).tolist()

"""What the latencies measured so far let one expect of other networks, so that few are measured in vain.

A limit on latency can be tight, and each measurement takes seconds. What is expected is a calibrated predictor's answer
(``foretold.py``); where there is none, log latency is fitted by least squares on the logs of a few costs: rough, yet
enough to say who comes first. Nothing is refused by it: who is proposed is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from explorer.limits import Limit
from explorer.quantities import LATENCY
from explorer.records import TrialRecord
from explorer.study.foretold import Foretold, usual_error

PREDICTORS = ("macs", "activations", "params", "weight_layers")
FEWEST = 8  # measured networks before anything is expected
RIDGE = 1e-3


class Network(Protocol):
    """``costs``: that are known; ``foretold``: what a predictor says of others, empty where there is none."""

    @property
    def costs(self) -> Mapping[str, float]: ...

    @property
    def foretold(self) -> Mapping[str, float]: ...


class LatencyScreen:
    """Expects latencies of networks from what is foretold or from those of the trials it has learnt, and holds them
    against ``limits``."""

    def __init__(self, limits: Sequence[Limit], foretold: Foretold | None = None):
        self._limits = limits
        self._foretold = foretold
        self._errors: dict[str, float] = {}  # digest -> log(measured / foretold)
        self._rows: dict[str, tuple[list[float], float]] = {}  # digest -> its costs' logs, its latency's
        self._weights: Sequence[float] | None = None

    def learn(self, trials: Iterable[TrialRecord]) -> None:
        """Takes in what was measured of these trials."""
        if not self._limits:
            return
        measured = [trial for trial in trials if trial.latency]
        if self._foretold is not None:
            self._errors |= self._foretold.logs_of_errors(measured)
        else:
            known = len(self._rows)
            self._rows |= {trial.digest: (_logs(trial.costs), math.log(trial.costs[LATENCY])) for trial in measured}
            if len(self._rows) > known and len(self._rows) >= FEWEST:
                self._weights = _fit(list(self._rows.values()))

    def expected(self, network: Network) -> float:
        """The latency, in ms, expected of a network; 0 before there is anything to go by."""
        if LATENCY in network.foretold:
            shift, _ = usual_error(self._errors.values())
            return network.foretold[LATENCY] * math.exp(shift)
        if self._weights is None:
            return 0.0
        return math.exp(sum(weight * value for weight, value in zip(self._weights, _logs(network.costs))))

    def hopeful(self, network: Network) -> bool:
        """Whether a network is expected to keep the limits; True before there is anything to go by."""
        if not (expected := self.expected(network)):
            return True
        return all(limit.allows({LATENCY: expected}) for limit in self._limits)


def _logs(costs: Mapping[str, float]) -> list[float]:
    return [1.0, *(math.log1p(costs[name]) for name in PREDICTORS)]


def _fit(rows: Sequence[tuple[list[float], float]]) -> Sequence[float]:
    import numpy as np

    x, y = np.array([row for row, _ in rows]), np.array([ms for _, ms in rows])
    return np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y).tolist()

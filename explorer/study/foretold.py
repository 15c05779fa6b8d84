"""The latency of networks not measured yet, as a calibrated predictor has it, put right by what was measured since."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from explorer.architecture import Architecture
from explorer.errors import MeasurementError
from explorer.measure.predictor import Predictor, find_own_predictor
from explorer.records import LatencyEnvironment, TrialRecord
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace
from explorer.store.study import LATENCY

USUAL_ERROR = 0.05  # of a predictor, on the logarithm, before anything was measured in the study
_log = logging.getLogger(__name__)


class Foretold:
    """What ``predictor`` says of networks of ``space``."""

    def __init__(self, predictor: Predictor, space: SearchSpace):
        self._predictor = predictor
        self._space = space

    def __call__(self, architecture: Architecture) -> Mapping[str, float]:
        """``latency_ms`` of the network."""
        return {LATENCY: self._predictor.predict_one(architecture)}

    def logs_of_errors(self, trials: Iterable[TrialRecord]) -> dict[str, float]:
        """Digest -> log(measured / predicted), of the trials that were measured in the predictor's environment."""
        here = self._predictor.environment.digest
        found = {}
        for trial in trials:
            if trial.latency.get("environment", {}).get("digest") == here:
                predicted = self(self._space.architecture(Derivation(trial.choices)))[LATENCY]
                found[trial.digest] = math.log(trial.costs[LATENCY] / predicted)
        return found


def usual_error(logs: Iterable[float]) -> tuple[float, float]:
    """By how much predictions fall short, and how far they scatter about that, both on the logarithm: of errors
    log(measured / predicted), and of one more that is as expected of a predictor."""
    logs = list(logs)
    shift = sum(logs) / (len(logs) + 1)
    squares = USUAL_ERROR**2 + sum((each - shift) ** 2 for each in logs)
    return shift, math.sqrt(squares / (len(logs) + 1))


def find_foretold(environment: LatencyEnvironment, space: SearchSpace, folder: Path | None = None) -> Foretold | None:
    """By the predictor kept for this very environment and space, None where there is none that can be read."""
    try:
        predictor = find_own_predictor(environment, space.digest, folder)
    except MeasurementError as error:
        _log.warning("%s", error)
        return None
    return None if predictor is None else Foretold(predictor, space)

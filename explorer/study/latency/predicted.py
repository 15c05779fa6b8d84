"""Predicted latency of networks that are not measured yet, corrected by the measurements of the study."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from explorer.analysis.quantities import LATENCY
from explorer.errors import MeasurementError
from explorer.measure.predictor.predictor import Predictor, find_own_predictor
from explorer.measure.result import LatencyEnvironment
from explorer.networks.architecture import Architecture
from explorer.records import TrialRecord
from explorer.space.choices import Derivation
from explorer.space.search_space import SearchSpace

PRIOR_ERROR = 0.05  # standard deviation of a predictor's log error, before the study has measurements
_log = logging.getLogger(__name__)


class PredictedLatency:
    """Predictions by a calibrated predictor.

    Args:
        predictor: The predictor.
        space: The space of the study.
    """

    def __init__(self, predictor: Predictor, space: SearchSpace):
        self._predictor = predictor
        self._space = space

    def __call__(self, architecture: Architecture) -> Mapping[str, float]:
        """Return the predicted ``latency_ms`` of a network, by that name."""
        return {LATENCY: self._predictor.predict_one(architecture)}

    def log_errors(self, trials: Iterable[TrialRecord]) -> dict[str, float]:
        """Return digest -> log(measured / predicted) of the trials measured in the predictor's environment."""
        here = self._predictor.environment.digest
        found = {}
        for trial in trials:
            if trial.latency.get("environment", {}).get("digest") == here:
                predicted = self(self._space.architecture(Derivation(trial.choices)))[LATENCY]
                found[trial.digest] = math.log(trial.costs[LATENCY] / predicted)
        return found


def error_distribution(logs: Iterable[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation of a predictor's log errors.

    Args:
        logs: Measured errors log(measured / predicted). One more error of 0 with standard deviation ``PRIOR_ERROR`` is
            added to them.
    """
    logs = list(logs)
    shift = sum(logs) / (len(logs) + 1)
    squares = PRIOR_ERROR**2 + sum((each - shift) ** 2 for each in logs)
    return shift, math.sqrt(squares / (len(logs) + 1))


def find_predicted_latency(
    environment: LatencyEnvironment, space: SearchSpace, folder: Path | None = None
) -> PredictedLatency | None:
    """Return predictions by the calibrated predictor of this environment and space.

    Args:
        environment: The environment of the measured latencies.
        space: The space that the predictor was calibrated on.
        folder: Folder of the predictors; the user's data folder by default.

    Returns:
        None if no predictor was calibrated, or if its file cannot be read (a warning names it).
    """
    try:
        predictor = find_own_predictor(environment, space.digest, folder)
    except MeasurementError as error:
        _log.warning("%s", error)
        return None
    return None if predictor is None else PredictedLatency(predictor, space)

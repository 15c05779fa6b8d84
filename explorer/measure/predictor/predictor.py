"""Predict a device's latencies from architectures, after some dozens of networks of a space were measured on it.

The model is linear in the features of ``count_features``, fitted by ``fit_levels`` on relative errors. The
coefficients of single operations are a lookup table. Those of kinds of operations, on one map size or on any, of their
families and of the whole network are a cost model for operations that are rare or absent in the measured networks.
Predictions are for screening; a search measures
the networks that it trains.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from explorer.errors import MeasurementError
from explorer.measure.predictor.features import FAMILY, ON, WHOLE, count_features, tabulate
from explorer.measure.predictor.regression import fit_levels
from explorer.measure.result import LatencyEnvironment
from explorer.networks.architecture import Architecture
from explorer.system.files import read_regular, slug, write_atomically
from explorer.system.strict_json import parse_json
from explorer.system.user_folders import user_data

FORMAT = 4  # of predictor files
FOLDS = 5  # of the cross-validation
TOLERANCE = 0.10  # relative error of PredictorError.within_10_percent
MIN_NETWORKS = 20  # with fewer, a fold has less than four networks and the error estimate is unreliable
MAX_BYTES = 1 << 24  # of a predictor file, far above a real one; bounds what is read


@dataclass(frozen=True, slots=True)
class PredictorError:
    """The error of predictions for held-out networks, each predicted once in FOLDS-fold cross-validation.

    The relative error is predicted time over measured time, less 1.

    Attributes:
        within_10_percent: Share of networks with an absolute relative error of at most 10%.
        median: Median absolute relative error.
        p90: 90% quantile of the absolute relative error.
        rmspe: Root mean square of the relative error.
        bias: Mean relative error, with its sign.
    """

    within_10_percent: float
    median: float
    p90: float
    rmspe: float
    bias: float


@dataclass(frozen=True)
class Predictor:
    """A latency predictor, fitted to networks of one space measured in one environment.

    Attributes:
        environment: The environment of the measurements.
        space: Name and digest of the space.
        error: Error on held-out networks.
        kinds: Kinds of operations in the measured networks.
        measured_ms: Digest of a measured network -> its milliseconds at the median speed of the calibration.
        intercept_ms: Constant term, in milliseconds.
        ms: Feature name -> milliseconds per unit.
    """

    environment: LatencyEnvironment
    space: tuple[str, str]
    error: PredictorError
    kinds: tuple[str, ...]
    measured_ms: dict[str, float]
    intercept_ms: float
    ms: dict[str, float]

    @property
    def networks(self) -> int:
        """Number of measured networks that it was fitted to."""
        return len(self.measured_ms)

    def to_json(self) -> str:
        """Return the predictor as a JSON text."""
        return json.dumps(
            {
                "format": FORMAT,
                "environment": self.environment.to_dict(),
                "space": list(self.space),
                "error": asdict(self.error),
                "kinds": list(self.kinds),
                "measured_ms": self.measured_ms,
                "intercept_ms": self.intercept_ms,
                "ms": self.ms,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Predictor:
        """Return the predictor of a text from ``to_json``.

        Args:
            text: The JSON text.

        Raises:
            ValueError: The text is not JSON, has another format, or holds a number that is not finite or not positive.
            KeyError: A field is missing.
            TypeError: A field has another type.
            AttributeError: A field has another type.
        """
        data = parse_json(text)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r} is unknown; this version reads {FORMAT}")
        ms, measured = ({str(name): float(of) for name, of in data[key].items()} for key in ("ms", "measured_ms"))
        intercept = float(data["intercept_ms"])
        if not all(map(math.isfinite, (intercept, *ms.values(), *measured.values()))):
            raise ValueError("a number is not finite")
        if min(measured.values()) <= 0:
            raise ValueError("a measured time is not positive")
        environment = LatencyEnvironment.from_dict(data["environment"])
        name, digest = map(str, data["space"])
        kinds, error = tuple(map(str, data["kinds"])), PredictorError(**data["error"])
        return cls(environment, (name, digest), error, kinds, measured, intercept, ms)

    def covers(self, architecture: Architecture) -> bool:
        """Return whether the measured networks had every kind of operation of the network."""
        return _kinds(count_features(architecture, self.environment.batch)) <= set(self.kinds)

    def predict(self, architectures: Sequence[Architecture]) -> list[float]:
        """Return the predicted milliseconds of each architecture, in the order given."""
        return [self.predict_one(architecture) for architecture in architectures]

    def predict_one(self, architecture: Architecture) -> float:
        """Return the predicted milliseconds of an architecture.

        The prediction is at least half of the lowest measured latency, because a linear model can extrapolate to zero.
        """
        features = count_features(architecture, self.environment.batch)
        ms = self.intercept_ms + sum(self.ms.get(name, 0.0) * amount for name, amount in features.items())
        return max(ms, min(self.measured_ms.values()) / 2)


def fit(
    architectures: Sequence[Architecture],
    latencies_ms: Sequence[float],
    environment: LatencyEnvironment,
    space: tuple[str, str],
) -> Predictor:
    """Fit a predictor and estimate its error by cross-validation.

    Args:
        architectures: The measured networks, at least MIN_NETWORKS.
        latencies_ms: Their latencies in milliseconds, in the same order.
        environment: The environment of the measurements.
        space: Name and digest of the space.

    Raises:
        MeasurementError: There are too few networks.
    """
    if len(architectures) < MIN_NETWORKS:
        raise MeasurementError(
            f"{len(architectures)} networks are too few to fit and test a predictor; at least {MIN_NETWORKS} are needed"
        )
    names, x, levels = tabulate(architectures, environment.batch)
    y = np.array(latencies_ms)
    predicted = np.empty_like(y)
    folds = np.random.default_rng(0).permutation(len(y)) % FOLDS
    for fold in range(FOLDS):
        held_out = folds == fold
        intercept, ms = fit_levels(x[~held_out], y[~held_out], levels)
        predicted[held_out] = intercept + x[held_out] @ ms
    relative_error = predicted / y - 1
    error = PredictorError(
        within_10_percent=float(np.mean(np.abs(relative_error) <= TOLERANCE)),
        median=float(np.median(np.abs(relative_error))),
        p90=float(np.percentile(np.abs(relative_error), 90)),
        rmspe=float(np.sqrt(np.mean(relative_error**2))),
        bias=float(np.mean(relative_error)),
    )
    intercept, ms = fit_levels(x, y, levels)
    known = {name: float(value) for name, value in zip(names, ms) if value}
    measured = {architecture.digest: float(ms) for architecture, ms in zip(architectures, latencies_ms)}
    return Predictor(environment, space, error, tuple(sorted(_kinds(names))), measured, float(intercept), known)


def _kinds(names: Iterable[str]) -> set[str]:
    """Return the kinds of operations in feature names."""
    groups = {group for group, colon, _ in (name.partition(":") for name in names) if colon}
    return {group for group in groups if group != WHOLE and not group.startswith(FAMILY) and ON not in group}


def predictors_folder() -> Path:
    """Return the folder with the user's predictors, which belong to a device and not to a study.

    This is ``EXPLORER_PREDICTORS`` where it is set, else ``explorer/predictors`` in the user's data folder
    (``XDG_DATA_HOME``, by default ``~/.local/share``).
    """
    if named := os.environ.get("EXPLORER_PREDICTORS"):
        return Path(named)
    return user_data("predictors")


def save(predictor: Predictor, folder: Path | None = None) -> Path:
    """Write a predictor; it replaces an earlier one of the same environment and space.

    Args:
        predictor: The predictor.
        folder: Where to write it. Default: ``predictors_folder()``.

    Returns:
        The file.

    Raises:
        MeasurementError: The file cannot be written.
    """
    name = f"{predictor.environment.digest}-{slug(''.join(predictor.space))}.json"
    path = (folder or predictors_folder()) / name
    try:
        write_atomically(path, predictor.to_json().encode())
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def find_own_predictor(
    environment: LatencyEnvironment, space_digest: str, folder: Path | None = None
) -> Predictor | None:
    """Return the predictor of exactly this environment and space; None if there is none.

    Args:
        environment: The environment.
        space_digest: Digest of the space.
        folder: Where predictors are stored. Default: ``predictors_folder()``.

    Raises:
        MeasurementError: A file for this environment is not a predictor.
    """
    return next((found for found in _stored(environment, folder) if found.space[1] == space_digest), None)


def find_predictor(
    environment: LatencyEnvironment, architecture: Architecture, space_digest: str = "", folder: Path | None = None
) -> Predictor:
    """Return a predictor of exactly this environment that can predict the network.

    Args:
        environment: The environment.
        architecture: The network to predict.
        space_digest: Digest of the network's space, whose predictor is preferred. By default, and where there is none,
            the newest predictor that covers the network is returned.
        folder: Where predictors are stored. Default: ``predictors_folder()``.

    Raises:
        MeasurementError: There is no such predictor, or a file for this environment is not a predictor.
    """
    folder = folder or predictors_folder()
    found = _stored(environment, folder)
    own = [predictor for predictor in found if predictor.space[1] == space_digest]
    covering = [predictor for predictor in found if predictor.covers(architecture)]
    if not own + covering:
        others = len(list(folder.glob("*.json")))
        seen = f"only {others} for other settings, devices or versions" if others else "none is stored"
        if found:
            seen = f"those of {', '.join(p.space[0] for p in found)} do not cover some of its operations"
        raise MeasurementError(
            f"no predictor for this network on {environment}, torch {environment.machine.versions.get('torch')}"
            f" ({seen} in {folder});"
            " 'explorer latency --calibrate SPACE' fits one"
        )
    return (own + covering)[0]


def _stored(environment: LatencyEnvironment, folder: Path | None) -> list[Predictor]:
    """Return the stored predictors of the environment, the newest first."""
    folder = folder or predictors_folder()
    paths = sorted(folder.glob(f"{environment.digest}-*.json"), key=lambda path: -path.stat().st_mtime)
    return [_read(path) for path in paths]


def _read(path: Path) -> Predictor:
    """Return the predictor in a file; raise MeasurementError if the file is not one."""
    try:
        return Predictor.from_json(read_regular(path, MAX_BYTES))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeasurementError(
            f"{path}: not a predictor ({error}); remove it, and run 'explorer latency --calibrate SPACE' again"
        ) from None

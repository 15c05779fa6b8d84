"""Predicts a device's latencies from architectures, after some dozens of networks of a space were measured on it.

A linear model of what ``count_features`` counts: with the coefficients of the counts of single operations a lookup
table, with those of kinds, on one size of map or any, and of the whole network a cost model for what it has seldom or
never seen. Fitted by ridge regression on relative errors, which shrinks the particular terms more than the general
ones. It screens; what is kept of a search is measured.
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
from explorer.measure.predictor.features import AT, ON, WHOLE, count_features
from explorer.networks.architecture import Architecture
from explorer.records import LatencyEnvironment
from explorer.system.files import read_regular, slug, write_atomically
from explorer.system.strict_json import parse_json
from explorer.system.user_folders import user_data

FORMAT = 3
FOLDS = 5
TOLERANCE = 0.10
MIN_NETWORKS = 20
MAX_BYTES = 1 << 24
PARTICULAR, LOOKUP = 0.1, 0.05  # tried from 0.05 to 1 on 160 networks of preact_variants; it matters little
ALPHAS = tuple(10.0**power for power in range(-6, 3))


@dataclass(frozen=True, slots=True)
class PredictorError:
    """Of predictions for networks that were held out, each once in FOLDS-fold cross-validation, as shares of the
    measured time: ``within_10_percent`` of them are no further off than a tenth; ``median`` and ``p90`` of the
    absolute error, its root mean square, and ``bias``, the mean error with its sign."""

    within_10_percent: float
    median: float
    p90: float
    rmspe: float
    bias: float


@dataclass(frozen=True)
class Predictor:
    """What ``calibrate`` learnt of one environment and one space. ``space``: its name and digest; ``kinds``: the kinds
    of operations seen; ``measured_ms``: what it was learnt from, by the networks' digests; ``ms``: for a unit of each
    feature."""

    environment: LatencyEnvironment
    space: tuple[str, str]
    error: PredictorError
    kinds: tuple[str, ...]
    measured_ms: dict[str, float]
    intercept_ms: float
    ms: dict[str, float]

    @property
    def networks(self) -> int:
        """How many it was learnt from."""
        return len(self.measured_ms)

    def to_json(self) -> str:
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
        """What ``to_json`` wrote. Raises ValueError, KeyError or TypeError for anything else."""
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

    def knows(self, architecture: Architecture) -> bool:
        """Whether it has seen every kind of operation of the network."""
        return _kinds(count_features(architecture, self.environment.batch)) <= set(self.kinds)

    def predict(self, architectures: Sequence[Architecture]) -> list[float]:
        """Milliseconds, in the order given."""
        return [self.predict_one(architecture) for architecture in architectures]

    def predict_one(self, architecture: Architecture) -> float:
        """Never less than half of the least that was measured: a sum far outside of that may come to nothing."""
        counted = count_features(architecture, self.environment.batch)
        ms = self.intercept_ms + sum(self.ms.get(name, 0.0) * amount for name, amount in counted.items())
        return max(ms, min(self.measured_ms.values()) / 2)


def fit(
    architectures: Sequence[Architecture],
    latencies_ms: Sequence[float],
    environment: LatencyEnvironment,
    space: tuple[str, str],
) -> Predictor:
    """The predictor of measured latencies, with its error on held-out ones. Raises MeasurementError for too few."""
    if len(architectures) < MIN_NETWORKS:
        raise MeasurementError(
            f"{len(architectures)} networks are too few to learn from and to test on; at least {MIN_NETWORKS} are needed"
        )
    counted = [count_features(architecture, environment.batch) for architecture in architectures]
    names = sorted({name for each in counted for name in each})
    x = np.array([[each.get(name, 0.0) for name in names] for each in counted])
    y = np.array(latencies_ms)
    weights = np.array([LOOKUP if AT in name else PARTICULAR if ON in name else 1.0 for name in names])
    predicted = np.empty_like(y)
    folds = np.random.default_rng(0).permutation(len(y)) % FOLDS
    for fold in range(FOLDS):
        held_out = folds == fold
        intercept, ms = _ridge(x[~held_out], y[~held_out], weights)
        predicted[held_out] = intercept + x[held_out] @ ms
    off = predicted / y - 1
    error = PredictorError(
        within_10_percent=float(np.mean(np.abs(off) <= TOLERANCE)),
        median=float(np.median(np.abs(off))),
        p90=float(np.percentile(np.abs(off), 90)),
        rmspe=float(np.sqrt(np.mean(off**2))),
        bias=float(np.mean(off)),
    )
    intercept, ms = _ridge(x, y, weights)
    known = {name: float(value) for name, value in zip(names, ms) if value}
    measured = {architecture.digest: float(ms) for architecture, ms in zip(architectures, latencies_ms)}
    return Predictor(environment, space, error, tuple(sorted(_kinds(names))), measured, float(intercept), known)


def _kinds(names: Iterable[str]) -> set[str]:
    groups = {group for group, colon, _ in (name.partition(":") for name in names) if colon}
    return {group for group in groups if group != WHOLE and ON not in group}


def _ridge(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """(intercept, coefficients). x: (networks, features), y: (networks,) in ms; a feature of small weight (features,)
    is shrunk much. Each network counts by the inverse square of its time: it is relative errors that are made small."""
    from sklearn.linear_model import RidgeCV

    scale = x.std(axis=0)
    used = scale > 0
    unit = scale[used] / weights[used]
    model = RidgeCV(alphas=ALPHAS).fit(x[:, used] / unit, y, sample_weight=(y.mean() / y) ** 2)
    ms = np.zeros(x.shape[1])
    ms[used] = model.coef_ / unit
    return model.intercept_, ms


def predictors_folder() -> Path:
    """Where predictors are kept: ``EXPLORER_PREDICTORS``, or ``explorer/predictors`` in the user's data folder
    (``XDG_DATA_HOME``, ``~/.local/share``). They belong to a device and not to a study."""
    if named := os.environ.get("EXPLORER_PREDICTORS"):
        return Path(named)
    return user_data("predictors")


def save(predictor: Predictor, folder: Path | None = None) -> Path:
    """Writes it in place of an earlier one for the same environment and space; returns the file."""
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
    """The predictor of this very environment and space, None where there is none. Raises MeasurementError for a file
    that is no predictor."""
    return next((found for found in _kept(environment, folder) if found.space[1] == space_digest), None)


def find_predictor(
    environment: LatencyEnvironment, architecture: Architecture, space_digest: str = "", folder: Path | None = None
) -> Predictor:
    """The predictor of this very environment: of this space where there is one, else the newest that has seen every
    kind of operation of the network. Raises MeasurementError when there is none."""
    folder = folder or predictors_folder()
    found = _kept(environment, folder)
    own = [predictor for predictor in found if predictor.space[1] == space_digest]
    able = [predictor for predictor in found if predictor.knows(architecture)]
    if not own + able:
        others = len(list(folder.glob("*.json")))
        seen = f"only {others} for other settings, devices or versions" if others else "none is kept"
        if found:
            seen = f"those of {', '.join(p.space[0] for p in found)} lack some of its operations"
        raise MeasurementError(
            f"no predictor for this network on {environment}, torch {environment.machine.versions.get('torch')}"
            f" ({seen} in {folder});"
            " 'explorer latency --calibrate SPACE' makes one"
        )
    return (own + able)[0]


def _kept(environment: LatencyEnvironment, folder: Path | None) -> list[Predictor]:
    """Those of the environment, the newest first."""
    folder = folder or predictors_folder()
    paths = sorted(folder.glob(f"{environment.digest}-*.json"), key=lambda path: -path.stat().st_mtime)
    return [_read(path) for path in paths]


def _read(path: Path) -> Predictor:
    try:
        return Predictor.from_json(read_regular(path, MAX_BYTES))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeasurementError(
            f"{path}: not a predictor ({error}); remove it, and 'explorer latency --calibrate SPACE' makes it anew"
        ) from None

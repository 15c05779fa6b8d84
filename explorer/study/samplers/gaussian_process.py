"""What the trials so far say about a network that was not evaluated: a Gaussian process on a logarithmic axis.

Two networks are alike when their numbers are (costs: k_1, Matern 5/2 with a length a feature) or when their
choices are (k_2, exponential in the share of choices that differ); the prior covariance is the sum.
The handful of hyperparameters is found by maximum a posteriori, so that it is sane from five trials on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from explorer.analysis.expected_hypervolume import Array, Lognormal

FITTED = 150  # trials that hyperparameters are found from; the prediction rests on all
STEPS = 30  # of the search for hyperparameters
JITTER = 1e-6
STEPS_BELOW = 2  # under the best lies the unreachable value at least, where values come in steps
FLOOR = 0.5  # the unreachable best value lies half as far under the best as the best under the median
# Of the hyperparameters' logarithms, normal priors: mean and standard deviation. Values are standardised.
SCALE, NOISE, LENGTH, DECAY = (math.log(0.5), 1.0), (math.log(0.01), 1.2), (0.7, 0.8), (math.log(1.5), 0.8)


@dataclass(frozen=True)
class Features:
    """Of N networks. ``numbers``: (N, P), standardised; ``choices``: (N, Q), such that half the squared
    distance of two rows is the share of choices in which two networks differ."""

    numbers: Array
    choices: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows) -> Features:
        return Features(self.numbers[rows], self.choices[rows])


class GaussianProcess:
    """The process, fitted to ``values`` (N,) of N networks; lower values are better.

    Values are modelled as floor + exp(X) with X Gaussian: what is left to gain shrinks as one nears
    the best, in errors as in losses, and the axis keeps a few failures of training from swamping the rest.
    """

    def __init__(self, features: Features, values: Array, seed: int):
        best, middle = float(np.min(values)), float(np.median(values))
        spread = middle - best or float(np.ptp(values)) or max(abs(best), 1.0)
        self._step, below = _step(values), FLOOR * spread
        if self._step:  # the next step must be within reach, and the floor on a step as all values are
            below = self._step * max(STEPS_BELOW, math.ceil(below / self._step))
        self._floor = best - below
        logs = np.log(values - self._floor)
        self._centre, self._spread = float(logs.mean()), float(logs.std()) or 1.0
        self._features = features
        self._targets = (logs - self._centre) / self._spread
        rows = np.arange(len(values))
        if len(rows) > FITTED:
            rows = np.sort(np.random.default_rng(seed).choice(rows, FITTED, replace=False))
        self._hyper = _fit(_Distances(features[rows], features[rows]), self._targets[rows])
        self._condition()

    def add_believed(self, features: Features, values: Array | None = None) -> None:
        """Takes networks as evaluated whose values are not known: at what is expected of them, or at
        ``values`` (N,) where those are better (Ginsbourger et al. 2010, the kriging believer)."""
        if len(features):
            belief = self.predict(features)
            expected = (belief.mean - self._centre) / self._spread
            if values is not None:
                bounds = (np.log(np.maximum(values - self._floor, 1e-9)) - self._centre) / self._spread
                expected = np.minimum(expected, bounds)
            self._features = Features(
                np.vstack([self._features.numbers, features.numbers]),
                np.vstack([self._features.choices, features.choices]),
            )
            self._targets = np.concatenate([self._targets, expected])
            self._condition()

    def predict(self, features: Features) -> Lognormal:
        """What is believed of N networks, without the noise of a single evaluation."""
        covariance = _covariance(self._hyper, _Distances(features, self._features)).total
        mean = covariance @ self._weights
        explained = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        prior = math.exp(self._hyper[0]) + math.exp(self._hyper[1])
        variance = np.maximum(prior - np.einsum("ij,ij->j", explained, explained), 1e-12)
        return Lognormal(self._floor, self._centre + self._spread * mean, self._spread * np.sqrt(variance), self._step)

    def likeness(self, a: Features, b: Features) -> Array:
        """The prior correlation of networks ``a`` with networks ``b``, (N, M), in 0..1."""
        total = _covariance(self._hyper, _Distances(a, b)).total
        return total / (math.exp(self._hyper[0]) + math.exp(self._hyper[1]))

    @property
    def noise(self) -> float:
        """Standard deviation of one evaluation on the logarithmic axis."""
        return self._spread * math.exp(self._hyper[2] / 2)

    def _condition(self) -> None:
        covariance = _covariance(self._hyper, _Distances(self._features, self._features)).total
        covariance[np.diag_indices_from(covariance)] += math.exp(self._hyper[2]) + JITTER
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), self._targets, check_finite=False)


def _step(values: Array) -> float:
    """The least gap between two different values where some are equal; 0 where none are."""
    gaps = np.diff(np.sort(values))
    apart = gaps > 1e-9 * np.abs(values).max()
    return float(gaps[apart].min()) if apart.any() and not apart.all() else 0.0


class _Distances:
    """Between the rows of two sets of features: ``share`` of choices that differ, (N, M), and ``numbers``."""

    def __init__(self, a: Features, b: Features):
        self.numbers = a.numbers, b.numbers
        self.share = _squared(a.choices, b.choices) / 2


@dataclass(frozen=True)
class _Covariance:
    alike_numbers: Array
    alike_choices: Array
    distance: Array

    @property
    def total(self) -> Array:
        return self.alike_numbers + self.alike_choices


def _squared(a: Array, b: Array) -> Array:
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * (a @ b.T), 0.0)


def _covariance(hyper: Array, distances: _Distances) -> _Covariance:
    """``hyper``: logarithms of the two scales, the noise's variance, the decay and the lengths."""
    lengths = np.exp(hyper[4:])
    a, b = distances.numbers
    distance = np.sqrt(5.0 * _squared(a / lengths, b / lengths))
    matern = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
    decaying = np.exp(-math.exp(hyper[3]) * distances.share)
    return _Covariance(math.exp(hyper[0]) * matern, math.exp(hyper[1]) * decaying, distance)


def _fit(distances: _Distances, targets: Array) -> Array:
    """The hyperparameters of greatest posterior density (Rasmussen and Williams 2006, eq. 5.8 and 5.9)."""
    numbers = distances.numbers[0]
    features = numbers.shape[1]
    # Lengths grow with the root of the number of features, or all would be far from all (Hvarfner et al. 2024).
    length = (LENGTH[0] + 0.5 * math.log(max(features, 1)), LENGTH[1])
    priors = np.array([SCALE, SCALE, NOISE, DECAY, *([length] * features)])
    centre, width = priors[:, 0], priors[:, 1]
    apart = (numbers[:, None, :] - numbers[None, :, :]) ** 2
    identity = np.eye(len(targets))

    def badness(hyper: Array) -> tuple[float, Array]:
        covariance = _covariance(hyper, distances)
        noise = math.exp(hyper[2])
        factor = cholesky(covariance.total + (noise + JITTER) * identity, lower=True, check_finite=False)
        weights = cho_solve((factor, True), targets, check_finite=False)
        inner = cho_solve((factor, True), identity, check_finite=False) - np.outer(weights, weights)
        off = (hyper - centre) / width
        value = 0.5 * targets @ weights + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        decay = math.exp(hyper[3])
        slope = math.exp(hyper[0]) * 5.0 / 3.0 * (1.0 + covariance.distance) * np.exp(-covariance.distance)
        by_length = np.einsum("ij,ijk->k", inner * slope, apart) / np.exp(2.0 * hyper[4:])
        gradient = [
            (inner * covariance.alike_numbers).sum(),
            (inner * covariance.alike_choices).sum(),
            noise * np.trace(inner),
            -decay * (inner * covariance.alike_choices * distances.share).sum(),
            *by_length,
        ]
        return float(value), 0.5 * np.array(gradient) + off / width

    bounds = list(zip(centre - 4 * width, centre + 4 * width))
    return minimize(badness, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}).x

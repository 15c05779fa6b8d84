"""A Gaussian process on a logarithmic axis: the posterior of a network's objective given the finished trials.

The prior covariance is a sum of two kernels: a Matern 5/2 kernel with one length scale per numeric feature (costs),
and an exponential kernel of the share of choices that differ. Hyperparameters maximise the posterior density, which
is stable from five trials on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from explorer.analysis.expected_hypervolume import Array, Lognormal

MAX_FITTED = 150  # trials from which hyperparameters are fitted; predictions use all trials
MAX_ITERATIONS = 30  # of the hyperparameter fit
JITTER = 1e-6  # added to the diagonal so that the Cholesky factor exists
STEPS_BELOW = 2  # discrete values: the floor is at least this many steps below the best value
FLOOR = 0.5  # distance from the floor to the best value, as a share of that from the best to the median
# Normal priors (mean, standard deviation) of the logarithms of the hyperparameters, for standardised values.
SCALE, NOISE, LENGTH, DECAY = (math.log(0.5), 1.0), (math.log(0.01), 1.2), (0.7, 0.8), (math.log(1.5), 0.8)


@dataclass(frozen=True)
class Features:
    """Features of N networks.

    Attributes:
        numbers: (N, P) numeric features, standardised.
        choices: (N, Q) codes of the choices. Half the squared distance of two rows is the share of choices in which
            two networks differ.
    """

    numbers: Array
    choices: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: NDArray[np.intp]) -> Features:
        return Features(self.numbers[rows], self.choices[rows])


class GaussianProcess:
    """A Gaussian process fitted to one minimised objective of N networks.

    A value is modelled as floor + exp(X) with X Gaussian: improvements become smaller close to the best value, in
    errors as in losses, and a few diverged trainings do not dominate the fit.

    Args:
        features: Features of the N networks.
        values: (N,) objective, lower is better.
        seed: Seed of the subset of trials that hyperparameters are fitted to.
    """

    def __init__(self, features: Features, values: Array, seed: int):
        best, middle = float(np.min(values)), float(np.median(values))
        spread = middle - best or float(np.ptp(values)) or max(abs(best), 1.0)
        self._step, below = _step(values), FLOOR * spread
        if self._step:  # the floor is a whole number of steps away, and at least one better step exists above it
            below = self._step * max(STEPS_BELOW, math.ceil(below / self._step))
        self._floor = best - below
        logs = np.log(values - self._floor)
        self._centre, self._spread = float(logs.mean()), float(logs.std()) or 1.0
        self._features = features
        self._targets = (logs - self._centre) / self._spread
        rows = np.arange(len(values))
        if len(rows) > MAX_FITTED:
            rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_FITTED, replace=False))
        self._hyper = _fit(_Distances(features[rows], features[rows]), self._targets[rows])
        self._condition()

    def add_unfinished(self, features: Features, values: Array | None = None) -> None:
        """Condition on the expected values of networks without final ones.

        This is the kriging believer (Ginsbourger et al. 2010), for trials that run or were stopped early.

        Args:
            features: Features of the networks.
            values: (N,) values measured so far; where one is better than expected, it is used instead.
        """
        if len(features):
            posterior = self.predict(features)
            expected = (posterior.mean - self._centre) / self._spread
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
        """Return the posterior of N networks, without evaluation noise."""
        covariance = _covariance(self._hyper, _Distances(features, self._features)).total
        mean = covariance @ self._weights
        explained = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        prior = math.exp(self._hyper[0]) + math.exp(self._hyper[1])
        variance = np.maximum(prior - np.einsum("ij,ij->j", explained, explained), 1e-12)
        return Lognormal(self._floor, self._centre + self._spread * mean, self._spread * np.sqrt(variance), self._step)

    def correlation(self, a: Features, b: Features) -> Array:
        """Return the prior correlation, (N, M) in 0..1, of N networks with M others."""
        total = _covariance(self._hyper, _Distances(a, b)).total
        return total / (math.exp(self._hyper[0]) + math.exp(self._hyper[1]))

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of one evaluation, on the logarithmic axis."""
        return self._spread * math.exp(self._hyper[2] / 2)

    def _condition(self) -> None:
        covariance = _covariance(self._hyper, _Distances(self._features, self._features)).total
        covariance[np.diag_indices_from(covariance)] += math.exp(self._hyper[2]) + JITTER
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), self._targets, check_finite=False)


def _step(values: Array) -> float:
    """Return the smallest gap between different values if some values are equal, else 0."""
    gaps = np.diff(np.sort(values))
    apart = gaps > 1e-9 * np.abs(values).max()
    return float(gaps[apart].min()) if apart.any() and not apart.all() else 0.0


class _Distances:
    """Distances between N networks and M others: ``share`` (N, M) of choices that differ, and both ``numbers``."""

    def __init__(self, a: Features, b: Features):
        self.numbers = a.numbers, b.numbers
        self.share = _squared(a.choices, b.choices) / 2


@dataclass(frozen=True)
class _Covariance:
    of_numbers: Array
    of_choices: Array
    distance: Array

    @property
    def total(self) -> Array:
        return self.of_numbers + self.of_choices


def _squared(a: Array, b: Array) -> Array:
    return np.asarray(np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * (a @ b.T), 0.0))


def _covariance(hyper: Array, distances: _Distances) -> _Covariance:
    """Return the prior covariance.

    Args:
        hyper: Logarithms of both kernels' scales, the noise variance, the decay and the length scales.
        distances: Between the networks.
    """
    lengths = np.exp(hyper[4:])
    a, b = distances.numbers
    distance = np.sqrt(5.0 * _squared(a / lengths, b / lengths))
    matern = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
    decaying = np.exp(-math.exp(hyper[3]) * distances.share)
    return _Covariance(math.exp(hyper[0]) * matern, math.exp(hyper[1]) * decaying, distance)


def _fit(distances: _Distances, targets: Array) -> Array:
    """Return the hyperparameters of largest posterior density (Rasmussen and Williams 2006, eq. 5.8 and 5.9)."""
    numbers = distances.numbers[0]
    features = numbers.shape[1]
    # Length scales grow with the square root of the number of features, as distances do (Hvarfner et al. 2024).
    length = (LENGTH[0] + 0.5 * math.log(max(features, 1)), LENGTH[1])
    priors = np.array([SCALE, SCALE, NOISE, DECAY, *([length] * features)])
    centre, width = priors[:, 0], priors[:, 1]
    apart = (numbers[:, None, :] - numbers[None, :, :]) ** 2
    identity = np.eye(len(targets))

    def negative_log_posterior(hyper: Array) -> tuple[float, Array]:
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
            (inner * covariance.of_numbers).sum(),
            (inner * covariance.of_choices).sum(),
            noise * np.trace(inner),
            -decay * (inner * covariance.of_choices * distances.share).sum(),
            *by_length,
        ]
        return float(value), 0.5 * np.array(gradient) + off / width

    bounds = list(zip(centre - 4 * width, centre + 4 * width))
    found = minimize(
        negative_log_posterior, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_ITERATIONS}
    )
    return np.asarray(found.x)

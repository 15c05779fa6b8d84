"""What the trials so far say about a network that was not evaluated: a Gaussian process on a logarithmic axis.

The prior covariance of two networks is a sum of three: alike in their numbers (costs; Matern 5/2, a length a feature),
alike in their choices (exponential, a decay a choice), and near, with few choices that differ: what the
choices do together that neither of the others says. Without the last the model would hold that for noise,
of which a prediction is free, and be too sure of networks unlike those tried.
The hyperparameters are found by maximum a posteriori, so that they are sane from five trials on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from explorer.study.improvement import Array, Belief

FITTED = 150  # trials that hyperparameters are found from; the prediction rests on all
STEPS = 30  # of the search for hyperparameters
JITTER = 1e-6
STEPS_BELOW = 2  # under the best lies the unreachable value at least, where values come in steps
FLOOR = 0.5  # the unreachable best value lies half as far under the best as the best under the median
# Of the hyperparameters' logarithms, normal priors: mean and standard deviation. Values are standardised.
SCALE, TOGETHER, NOISE = (math.log(0.5), 1.0), (math.log(0.02), 1.0), (math.log(0.01), 1.2)
DECAY, NEAR, LENGTH = (math.log(1.5), 0.8), (0.0, 0.5), (0.7, 0.8)
NUMBERS, CHOICES, NEARNESS, NOISES, NEAR_DECAY, FIRST_DECAY = range(6)  # their places; lengths follow the decays


@dataclass(frozen=True)
class Features:
    """Of N networks. ``numbers``: (N, P), standardised; ``choices``: (N, K), such that the squared distance of two
    rows is the number of choices in which two networks differ; ``of``: (K,), which choice, from 0, a column is of."""

    numbers: Array
    choices: Array
    of: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows) -> Features:
        return Features(self.numbers[rows], self.choices[rows], self.of)

    def __add__(self, other: Features) -> Features:
        """The networks of both."""
        return Features(np.vstack([self.numbers, other.numbers]), np.vstack([self.choices, other.choices]), self.of)

    @property
    def choice_count(self) -> int:
        return int(self.of[-1]) + 1 if len(self.of) else 0


class Surrogate:
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
        self._hyper = _fit(features[rows], self._targets[rows])
        self._condition()

    def believe(self, features: Features, values: Array | None = None) -> None:
        """Takes networks as evaluated whose values are not known: at what is expected of them, or at
        ``values`` (N,) where those are better (Ginsbourger et al. 2010, the kriging believer)."""
        if len(features):
            belief = self.predict(features)
            expected = (belief.mean - self._centre) / self._spread
            if values is not None:
                bounds = (np.log(np.maximum(values - self._floor, 1e-9)) - self._centre) / self._spread
                expected = np.minimum(expected, bounds)
            self._features += features
            self._targets = np.concatenate([self._targets, expected])
            self._condition()

    def predict(self, features: Features) -> Belief:
        """What is believed of N networks, without the noise of a single evaluation."""
        covariance = _covariance(self._hyper, features, self._features).total
        mean = covariance @ self._weights
        explained = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        variance = np.maximum(self._prior - np.einsum("ij,ij->j", explained, explained), 1e-12)
        return Belief(self._floor, self._centre + self._spread * mean, self._spread * np.sqrt(variance), self._step)

    def likeness(self, a: Features, b: Features) -> Array:
        """The prior correlation of networks ``a`` with networks ``b``, (N, M), in 0..1."""
        return _covariance(self._hyper, a, b).total / self._prior

    @property
    def noise(self) -> float:
        """Standard deviation of one evaluation on the logarithmic axis."""
        return self._spread * math.exp(self._hyper[NOISES] / 2)

    @property
    def _prior(self) -> float:
        """The variance of what nothing is known of."""
        return float(np.exp(self._hyper[[NUMBERS, CHOICES, NEARNESS]]).sum())

    def _condition(self) -> None:
        covariance = _covariance(self._hyper, self._features, self._features).total
        covariance[np.diag_indices_from(covariance)] += math.exp(self._hyper[NOISES]) + JITTER
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), self._targets, check_finite=False)


def _step(values: Array) -> float:
    """The least gap between two different values where some are equal; 0 where none are."""
    gaps = np.diff(np.sort(values))
    apart = gaps > 1e-9 * np.abs(values).max()
    return float(gaps[apart].min()) if apart.any() and not apart.all() else 0.0


@dataclass(frozen=True)
class _Covariance:
    """The three parts, and what their slopes are made of: ``distance`` in numbers, ``changes``: choices that differ."""

    alike_numbers: Array
    alike_choices: Array
    near: Array
    distance: Array
    changes: Array

    @property
    def total(self) -> Array:
        return self.alike_numbers + self.alike_choices + self.near


def _squared(a: Array, b: Array) -> Array:
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * (a @ b.T), 0.0)


def _covariance(hyper: Array, a: Features, b: Features) -> _Covariance:
    """``hyper``: logarithms of the three scales, the noise's variance, the decays and the lengths."""
    count = a.choice_count
    lengths = np.exp(hyper[FIRST_DECAY + count :])
    distance = np.sqrt(5.0 * _squared(a.numbers / lengths, b.numbers / lengths))
    matern = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
    roots = np.sqrt(_decays(hyper, count)[a.of])
    changes = _squared(a.choices, b.choices)
    return _Covariance(
        math.exp(hyper[NUMBERS]) * matern,
        math.exp(hyper[CHOICES]) * np.exp(-_squared(a.choices * roots, b.choices * roots)),
        math.exp(hyper[NEARNESS]) * np.exp(-math.exp(hyper[NEAR_DECAY]) * changes),
        distance,
        changes,
    )


def _decays(hyper: Array, count: int) -> Array:
    """By how much a difference in each choice tells; of more choices each tells less."""
    return np.exp(hyper[FIRST_DECAY : FIRST_DECAY + count]) / max(count, 1)


def _fit(features: Features, targets: Array) -> Array:
    """The hyperparameters of greatest posterior density (Rasmussen and Williams 2006, eq. 5.8 and 5.9)."""
    numbers, count = features.numbers.shape[1], features.choice_count
    # Lengths grow with the root of the number of features, or all would be far from all (Hvarfner et al. 2024).
    length = (LENGTH[0] + 0.5 * math.log(max(numbers, 1)), LENGTH[1])
    priors = np.array([SCALE, SCALE, TOGETHER, NOISE, NEAR, *([DECAY] * count), *([length] * numbers)])
    centre, width = priors[:, 0], priors[:, 1]
    identity = np.eye(len(targets))

    def badness(hyper: Array) -> tuple[float, Array]:
        covariance = _covariance(hyper, features, features)
        noise = math.exp(hyper[NOISES])
        factor = cholesky(covariance.total + (noise + JITTER) * identity, lower=True, check_finite=False)
        weights = cho_solve((factor, True), targets, check_finite=False)
        inner = cho_solve((factor, True), identity, check_finite=False) - np.outer(weights, weights)
        off = (hyper - centre) / width
        value = 0.5 * targets @ weights + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        by_numbers, by_choices = inner * covariance.alike_numbers, inner * covariance.alike_choices
        by_nearness = inner * covariance.near
        slope = math.exp(hyper[NUMBERS]) * 5.0 / 3.0 * (1.0 + covariance.distance) * np.exp(-covariance.distance)
        apart = np.bincount(features.of, _weighted(by_choices, features.choices), count)
        gradient = [
            by_numbers.sum(),
            by_choices.sum(),
            by_nearness.sum(),
            noise * np.trace(inner),
            -math.exp(hyper[NEAR_DECAY]) * (by_nearness * covariance.changes).sum(),
            *(-_decays(hyper, count) * apart),
            *(_weighted(inner * slope, features.numbers) / np.exp(2.0 * hyper[FIRST_DECAY + count :])),
        ]
        return float(value), 0.5 * np.array(gradient) + off / width

    bounds = list(zip(centre - 4 * width, centre + 4 * width))
    return minimize(badness, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}).x


def _weighted(weights: Array, features: Array) -> Array:
    """The sum over pairs of rows of their weight, (N, N) and symmetric, times their squared distance, a column each."""
    return 2.0 * (weights.sum(1) @ features**2 - (features * (weights @ features)).sum(0))

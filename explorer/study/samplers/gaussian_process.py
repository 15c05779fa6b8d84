"""A Gaussian process on a logarithmic axis: the posterior of a network's objective given the finished trials.

The prior covariance is a sum of two kernels: a Matern 5/2 kernel with one length scale per numeric feature (costs),
and an exponential kernel of the choices that differ, which weighs all choices alike or each by itself.
Hyperparameters maximise the posterior density, which is stable from five trials on. Of the two ways to weigh choices,
the one that predicts the trials better from each other is used.
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
TOLERANCE = 1e-5  # relative change of the log density below which the fit ends
MAX_PAIRS = 50_000  # of networks whose covariance is computed at once, so that it stays in a processor's cache
JITTER = 1e-6  # added to the diagonal so that the Cholesky factor exists
STEPS_BELOW = 2  # discrete values: the floor is at least this many steps below the best value
EQUAL = 1e-9  # values this close count as equal, as a share of the best or the median value
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
        widths: The number of columns of each choice in ``choices``; empty if they are not to be told apart.
    """

    numbers: Array
    choices: Array
    widths: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> Features:
        return Features(self.numbers[rows], self.choices[rows], self.widths)

    def and_others(self, others: Features) -> Features:
        """Return the features of these networks and others."""
        return Features(
            np.vstack([self.numbers, others.numbers]), np.vstack([self.choices, others.choices]), self.widths
        )

    def groupings(self) -> list[NDArray[np.intp]]:
        """Return the ways to give decays to the columns of ``choices``: all choices have one, or each has its own."""
        one = np.zeros(self.choices.shape[1], dtype=np.intp)
        return [one, np.repeat(np.arange(len(self.widths)), self.widths)] if len(self.widths) > 1 else [one]


class GaussianProcess:
    """A Gaussian process fitted to one minimised objective of N networks.

    A value is modelled as floor + exp(X) with X Gaussian: improvements become smaller close to the best value, in
    errors as in losses, and a few diverged trainings do not dominate the fit.

    Attributes:
        floor: The lower bound of the values.
        nearest: The distance of the best value from it, above 0.

    Args:
        features: Features of the N networks.
        values: (N,) objective, lower is better.
        seed: Seed of the subset of trials that hyperparameters are fitted to.
    """

    def __init__(self, features: Features, values: Array, seed: int):
        best, middle = float(np.min(values)), float(np.median(values))
        spread = middle - best or float(np.ptp(values)) or max(abs(best), 1.0)
        near = EQUAL * max(abs(best), abs(middle))
        self._step, below = _step(values, near), max(FLOOR * spread, near)
        if self._step:  # the floor is a whole number of steps away, and at least one better step exists above it
            below = self._step * max(STEPS_BELOW, math.ceil(below / self._step))
        self.floor, self.nearest = best - below, below
        logs = np.log(values - self.floor)
        self._centre, self._spread = float(logs.mean()), float(logs.std()) or 1.0
        self._features = features
        self._targets = (logs - self._centre) / self._spread
        rows = np.arange(len(values))
        if len(rows) > MAX_FITTED:
            rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_FITTED, replace=False))
        few = features[rows], self._targets[rows]
        posteriors = [_Posterior(_fit(*few, groups), *few) for groups in features.groupings()]
        self._coarse = max(posteriors, key=_Posterior.leave_one_out)
        self._kernel = self._coarse.kernel
        self._posterior = self._coarse
        if len(rows) < len(values):
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
                bounds = (np.log(np.maximum(values - self.floor, 1e-9)) - self._centre) / self._spread
                expected = np.minimum(expected, bounds)
            self._features = self._features.and_others(features)
            self._targets = np.concatenate([self._targets, expected])
            self._condition()

    def predict(self, features: Features, coarse: bool = False) -> Lognormal:
        """Return the posterior of N networks, without evaluation noise.

        Args:
            features: Features of the networks.
            coarse: Whether to use only the trials that hyperparameters are fitted to, which takes less time.
        """
        mean, variance = (self._coarse if coarse else self._posterior).predict(features)
        return Lognormal(self.floor, self._centre + self._spread * mean, self._spread * np.sqrt(variance), self._step)

    def correlation(self, a: Features, b: Features) -> Array:
        """Return the prior correlation, (N, M) in 0..1, of N networks with M others."""
        return self._kernel.covariance(a, b) / self._kernel.variance

    @property
    def noise(self) -> float:
        """Standard deviation of the noise of one evaluation, on the logarithmic axis."""
        return self._spread * math.sqrt(self._kernel.noise)

    @property
    def has_coarse(self) -> bool:
        """Whether a coarse prediction uses clearly fewer trials than another one."""
        return len(self._targets) > 2 * self._coarse.size

    def _condition(self) -> None:
        self._posterior = _Posterior(self._kernel, self._features, self._targets)


class _Posterior:
    """The posterior given M standardised values.

    Args:
        kernel: The prior covariance.
        features: Features of the M networks.
        targets: (M,) values.
    """

    def __init__(self, kernel: Kernel, features: Features, targets: Array):
        self.kernel, self._features = kernel, features
        covariance = kernel.covariance(features, features)
        covariance[np.diag_indices_from(covariance)] += kernel.noise + JITTER
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), targets, check_finite=False)

    @property
    def size(self) -> int:
        return len(self._weights)

    def predict(self, features: Features) -> tuple[Array, Array]:
        """Return mean and variance of N networks, (N,) each."""
        mean, variance = np.empty((2, len(features)))
        step = max(1, MAX_PAIRS // len(self._features))
        for start in range(0, len(features), step):
            part = slice(start, start + step)
            covariance = self.kernel.covariance(features[part], self._features)
            explained = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
            mean[part] = covariance @ self._weights
            variance[part] = np.maximum(self.kernel.variance - np.einsum("ij,ij->j", explained, explained), 1e-12)
        return mean, variance

    def leave_one_out(self) -> float:
        """Return the log density of each value given the others, summed (Rasmussen and Williams 2006, 5.10-5.12)."""
        inverse = cho_solve((self._factor, True), np.eye(len(self._weights)), check_finite=False)
        precision = np.diag(inverse)
        return float(0.5 * (np.log(precision) - self._weights**2 / precision).sum())


def _step(values: Array, near: float) -> float:
    """Return the smallest gap above ``near`` between two values if some values are equal, else 0."""
    gaps = np.diff(np.sort(values))
    apart = gaps > near
    return float(gaps[apart].min()) if apart.any() and not apart.all() else 0.0


def _squared(a: Array, b: Array) -> Array:
    return np.asarray(np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * (a @ b.T), 0.0))


@dataclass(frozen=True)
class Kernel:
    """The prior covariance of networks.

    Attributes:
        hyper: Logarithms of the scales of both kernels, the noise variance, the decays and the length scales.
        groups: For each column of ``Features.choices`` the number of its decay.
    """

    hyper: Array
    groups: NDArray[np.intp]

    @property
    def variance(self) -> float:
        """The prior variance of a network, without noise."""
        return math.exp(self.hyper[0]) + math.exp(self.hyper[1])

    @property
    def noise(self) -> float:
        """The variance of the noise of one evaluation."""
        return math.exp(self.hyper[2])

    def covariance(self, a: Features, b: Features) -> Array:
        """Return the prior covariance, (N, M), of N networks and M others."""
        decays = int(self.groups.max(initial=0)) + 1
        lengths, weights = np.exp(self.hyper[3 + decays :]), np.exp(self.hyper[3 : 3 + decays] / 2)[self.groups]
        distance = np.sqrt(5.0 * _squared(a.numbers / lengths, b.numbers / lengths))
        total = 1.0 + distance + distance**2 / 3.0
        total *= np.exp(self.hyper[0] - distance)
        total += np.exp(self.hyper[1] - _squared(a.choices * weights, b.choices * weights) / 2)
        return np.asarray(total)


def _fit(features: Features, targets: Array, groups: NDArray[np.intp]) -> Kernel:
    """Return the kernel of largest posterior density (Rasmussen and Williams 2006, eq. 5.8 and 5.9)."""
    numbers, columns, rows = features.numbers, features.numbers.shape[1], len(targets)
    decays = int(groups.max(initial=0)) + 1
    # Length scales grow with the square root of the number of features, as distances do (Hvarfner et al. 2024).
    length = (LENGTH[0] + 0.5 * math.log(max(columns, 1)), LENGTH[1])
    priors = np.array([SCALE, SCALE, NOISE, *([DECAY] * decays), *([length] * columns)])
    centre, width = priors[:, 0], priors[:, 1]
    apart = ((numbers[:, None, :] - numbers[None, :, :]) ** 2).reshape(rows * rows, columns)
    shares = np.zeros((rows * rows, decays))
    for group in range(decays):
        own = features.choices[:, groups == group]
        shares[:, group] = _squared(own, own).ravel() / 2
    identity = np.eye(rows)

    def negative_log_posterior(hyper: Array) -> tuple[float, Array]:
        noise, decay, lengths = math.exp(hyper[2]), np.exp(hyper[3 : 3 + decays]), np.exp(hyper[3 + decays :])
        distance = np.sqrt(5.0 * (apart @ lengths**-2.0)).reshape(rows, rows)
        fading = np.exp(hyper[0] - distance)
        of_numbers = (1.0 + distance + distance**2 / 3.0) * fading
        of_choices = np.exp(hyper[1] - shares @ decay).reshape(rows, rows)
        total = of_numbers + of_choices + (noise + JITTER) * identity
        factor = cholesky(total, lower=True, check_finite=False)
        weights = cho_solve((factor, True), targets, check_finite=False)
        inner = cho_solve((factor, True), identity, check_finite=False) - np.outer(weights, weights)
        off = (hyper - centre) / width
        value = 0.5 * targets @ weights + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        of_choices *= inner
        slope = inner * (1.0 + distance) * fading * (5.0 / 3.0)
        gradient = [
            (inner * of_numbers).sum(),
            of_choices.sum(),
            noise * np.trace(inner),
            *(-decay * (of_choices.ravel() @ shares)),
            *(slope.ravel() @ apart / lengths**2),
        ]
        return float(value), 0.5 * np.array(gradient) + off / width

    bounds = list(zip(centre - 4 * width, centre + 4 * width))
    found = minimize(
        negative_log_posterior,
        centre,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": MAX_ITERATIONS, "ftol": TOLERANCE},
    )
    return Kernel(np.asarray(found.x), groups)

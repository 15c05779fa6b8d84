"""Linear regression of latencies on counts in levels, from general to specific, whose shrinkage the data choose.

The coefficients of a level have a normal prior with one variance (ridge regression is the case of one level). The
variances of the levels and of the noise maximise their posterior (Rasmussen and Williams 2006, sections 2.1 and 5.4.1):
with few networks most of the weight is on general counts, with many the coefficients of single operations are learnt.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

# Prior of the logarithm of each variance: normal. Latencies have mean 1, and the counts of a level variance 1 together.
# The more specific a level is, the less it explains; noise is 4% of a latency. SPREAD is wide: a factor of 12.
LEVEL_MEANS = (-2.0, -3.0, -4.0, -5.0, -6.0)
NOISE_MEAN = -6.5
SPREAD = 2.5
BOUNDS = (-16.0, 5.0)  # of each logarithm: below, the covariance of exact latencies is singular in float64
INTERCEPT_VARIANCE = 100.0  # so large that the intercept is free


def fit_levels(x: np.ndarray, y: np.ndarray, levels: np.ndarray) -> tuple[float, np.ndarray]:
    """Fit latencies as an intercept plus coefficients times counts, by relative errors.

    Args:
        x: Counts, (networks, features).
        y: Latencies, (networks,), positive.
        levels: Level of each feature, 0 for the most general to ``len(LEVEL_MEANS) - 1``, (features,).

    Returns:
        The intercept and the coefficients, (features,), in the unit of ``y``.
    """
    centre, unit = x.mean(axis=0), _units(x, levels)
    scaled = _scaled(x, centre, unit)
    kernels = [scaled[:, levels == level] @ scaled[:, levels == level].T for level in range(len(LEVEL_MEANS))]
    mean = float(y.mean())
    weights = mean / y  # all rows are divided by their latency: errors are relative
    start = (*LEVEL_MEANS, NOISE_MEAN)
    bounds = [BOUNDS] * len(start)
    found = minimize(_loss, start, args=(kernels, weights), jac=True, method="L-BFGS-B", bounds=bounds)
    variances = np.exp(found.x)
    factor = cho_factor(_covariance(variances, kernels, weights), lower=True)
    dual = cho_solve(factor, np.ones(len(y))) * weights
    coefficients = variances[levels] * (scaled.T @ dual)
    ms = mean * np.divide(coefficients, unit, out=np.zeros(x.shape[1]), where=unit > 0)
    return float(mean * INTERCEPT_VARIANCE * dual.sum() - centre @ ms), ms


def most_informative(x: np.ndarray, levels: np.ndarray, wanted: int) -> list[int]:
    """Choose the networks to measure by what is known before any measurement.

    One by one, that network is chosen whose latency would lower the mean posterior variance of the latencies of all
    networks most (Cohn 1996, section 3), with the variances that the prior expects.

    Args:
        x: Counts, (networks, features).
        levels: Level of each feature, as for ``fit_levels``.
        wanted: How many to choose, if there are as many.

    Returns:
        The numbers of their rows, in the order chosen.
    """
    scaled = _scaled(x, x.mean(axis=0), _units(x, levels)) * np.exp(np.array(LEVEL_MEANS) / 2)[levels]
    covariance, noise = INTERCEPT_VARIANCE + scaled @ scaled.T, np.exp(NOISE_MEAN)
    chosen: list[int] = []
    while len(chosen) < min(wanted, len(x)):
        gains = np.square(covariance).sum(axis=0) / (np.diag(covariance) + noise)
        gains[chosen] = -np.inf
        best = int(gains.argmax())
        column = covariance[:, best] / np.sqrt(covariance[best, best] + noise)
        covariance -= np.outer(column, column)
        chosen.append(best)
    return chosen


def _scaled(x: np.ndarray, centre: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return centred counts divided by their units; 0 for counts that do not vary."""
    scaled: np.ndarray = np.divide(x - centre, unit, out=np.zeros(x.shape), where=unit > 0)
    return scaled


def _units(x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return what each count is divided by: its deviation times the root of the level's number of varying counts."""
    deviation = x.std(axis=0)
    varying = np.bincount(levels, deviation > 0, minlength=len(LEVEL_MEANS))
    units: np.ndarray = deviation * np.sqrt(np.maximum(varying, 1))[levels]
    return units


def _covariance(variances: np.ndarray, kernels: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the covariance of the weighted latencies."""
    covariance = np.full_like(kernels[0], INTERCEPT_VARIANCE)
    for variance, kernel in zip(variances, kernels):
        covariance += variance * kernel
    covariance *= np.outer(weights, weights)
    covariance[np.diag_indices_from(covariance)] += variances[-1]
    return covariance


def _loss(theta: np.ndarray, kernels: list[np.ndarray], weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Return minus the logarithm of the posterior of the variances, and its gradient.

    Args:
        theta: Logarithms of the variances: the levels', then the noise's.
        kernels: Kernel of each level.
        weights: Weight of each network.
    """
    variances = np.exp(theta)
    lower = np.linalg.cholesky(_covariance(variances, kernels, weights))
    inverse_lower = solve_triangular(lower, np.eye(len(weights)), lower=True)
    inverse = inverse_lower.T @ inverse_lower
    dual = inverse.sum(axis=1)  # the weighted latencies are all 1
    excess = (inverse - np.outer(dual, dual)) / 2
    outer = np.outer(weights, weights)
    slopes = [variance * float(np.sum(excess * kernel * outer)) for variance, kernel in zip(variances, kernels)]
    slopes.append(variances[-1] * float(np.trace(excess)))
    away = (theta - np.array((*LEVEL_MEANS, NOISE_MEAN))) / SPREAD
    loss = dual.sum() / 2 + np.log(np.diag(lower)).sum() + away @ away / 2
    return float(loss), np.array(slopes) + away / SPREAD

"""A model of learning curves, and what it expects a training to gain.

The idea is freeze-thaw (Swersky et al. 2014, arXiv:1406.3896). The paper models curves by a Gaussian process of
exponential decays. Here a chain of Bayesian linear regressions leads from each decision epoch to the next: it is fitted
in milliseconds, and each regression learns from all runs that reached its second epoch, also from those that were
paused. Everything is an array, so recorded curves can be replayed through it (``benchmarks/freeze_thaw.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from explorer.analysis.expected_hypervolume import MIN_SD, expected_hypervolume_improvement

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
WEIGHT_SD = 0.5  # prior standard deviation of a weight, in standard deviations of its target
NOISE_SD = 0.5  # prior standard deviation of the noise of a step, in standard deviations of its target
RUNS_OF_PRIOR = 3.0  # the priors of noise and of a target's scale weigh as much as this number of runs
CONSTANT_PENALTY = 0.1  # of the regressions' constant, which is nearly free
GROWTH_LIMITS = (0.2, 3.0)  # of the factor by which the spread of the runs changes in a step
FIRST_SD = 0.1  # assumed spread of the values while there is one run
MIN_SCALE = 1e-3  # so that equal values do not divide by zero
MARGIN = 0.1  # of the range of a cost, from the most expensive run to the reference point
MIN_MARGIN = 1e-9  # if all costs are equal


class Scale(NamedTuple):
    """Mean and standard deviation of the runs at one epoch, (K,) each."""

    mean: Array
    sd: Array


@dataclass(frozen=True)
class Step:
    """The regression from one decision epoch to the next, of standardised values.

    Attributes:
        before: The scale of the inputs.
        after: The scale of the targets.
        weights: (1 + K + F, K) for the constant, the values before and the features.
        uncertainty: (1 + K + F, 1 + K + F) covariance of the weights of one target, over its noise variance.
        noise: (K, K) covariance of the noise.
    """

    before: Scale
    after: Scale
    weights: Array
    uncertainty: Array
    noise: Array

    def take(self, mean: Array, covariance: Array, features: Array) -> tuple[Array, Array]:
        """Return mean (N, K) and covariance (N, K, K) after the step, from those before it."""
        known = np.hstack([np.ones((len(mean), 1)), (mean - self.before.mean) / self.before.sd, features])
        slope = self.weights[1 : 1 + mean.shape[1]].T
        spread = 1 + np.einsum("ij,jk,ik->i", known, self.uncertainty, known)
        carried = slope @ (covariance / np.outer(self.before.sd, self.before.sd)) @ slope.T
        after = known @ self.weights * self.after.sd + self.after.mean
        return after, (carried + spread[:, None, None] * self.noise) * np.outer(self.after.sd, self.after.sd)


def predict_last(values: Array, reached: Counts, features: Array) -> tuple[Array, Array]:
    """Predict the values of runs after the last epoch.

    Args:
        values: (N, S, K) values of each run after S decision epochs; those that it has not reached are ignored.
        reached: (N,) number of decision epochs that each run has reached, 0..S; at least one run has reached one.
        features: (N, F) what is known of each run before training.

    Returns:
        Mean and standard deviation, both (N, K). The deviation of a run that has reached all epochs is 0.
    """
    begun = reached > 0
    features = (features - features[begun].mean(0)) / (features[begun].std(0) + MIN_SCALE)
    count, steps, width = values.shape
    mean, covariance = np.zeros((count, width)), np.zeros((count, width, width))
    before = Scale(np.zeros(width), np.ones(width))
    for step in range(steps):
        fitted = _fit(values, reached, features, step, before)
        open_ = reached <= step
        mean[open_], covariance[open_] = fitted.take(mean[open_], covariance[open_], features[open_])
        mean[~open_] = values[~open_, step]
        before = fitted.after
    return mean, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))


def _fit(values: Array, reached: Counts, features: Array, step: int, before: Scale) -> Step:
    """Fit the regression that ends at decision epoch ``step``, counted from 0. The first one has features alone.

    The prior expects that a run keeps its place among the runs.
    """
    there = reached > step
    runs, width = int(there.sum()), values.shape[2]
    targets = values[there, step]
    if step:
        inputs = values[there, step - 1]
        if (reached >= step).sum() > 1:
            before = _scale(values[reached >= step, step - 1])
        growth = (_scale(targets).sd / _scale(inputs).sd).clip(*GROWTH_LIMITS) if runs > 1 else np.ones(width)
        shift = (targets - inputs).mean(0) if runs else np.zeros(width)
        after = Scale(before.mean + shift, before.sd * (RUNS_OF_PRIOR + runs * growth) / (RUNS_OF_PRIOR + runs))
    else:
        inputs, after = np.zeros((runs, width)), _scale(targets)
    known = np.hstack([np.ones((runs, 1)), (inputs - before.mean) / before.sd, features[there]])
    expected = np.zeros((known.shape[1], width))
    expected[1 : 1 + width] = np.eye(width) if step else 0.0
    penalty = np.full(known.shape[1], WEIGHT_SD**-2)
    penalty[0] = CONSTANT_PENALTY
    uncertainty = np.linalg.inv(known.T @ known + np.diag(penalty))
    wanted = (targets - after.mean) / after.sd - known @ expected
    change = uncertainty @ known.T @ wanted
    residuals = wanted - known @ change
    noise_sd = NOISE_SD if step else 1.0
    prior = change.T @ (penalty[:, None] * change) + RUNS_OF_PRIOR * noise_sd**2 * np.eye(width)
    noise = (residuals.T @ residuals + prior) / (RUNS_OF_PRIOR + runs)
    return Step(before, after, expected + change, uncertainty, noise)


def _scale(values: Array) -> Scale:
    """Return the scale of values (N, K); the deviation of a single value is unknown and set to ``FIRST_SD``."""
    sd = values.std(0, ddof=1) if len(values) > 1 else np.full(values.shape[1], FIRST_SD)
    return Scale(values.mean(0), sd + MIN_SCALE)


@dataclass(frozen=True)
class Normal:
    """Normal distribution of one objective of N candidates, with mean and deviation (N,)."""

    mean: Array
    sd: Array

    def shortfall(self, bounds: Array) -> Array:
        """Return E[max(0, bound - value)], (N, B), for ``bounds`` (B,): Jones et al. 1998, eq. 15."""
        sd = np.maximum(self.sd, MIN_SD)[:, None]
        z = (bounds[None, :] - self.mean[:, None]) / sd
        return np.asarray(np.maximum(0.0, sd * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))))


def expected_gains(values: Array, reached: Counts, features: Array, costs: Array, worst: Array) -> tuple[Array, float]:
    """Return by how much each run is expected to enlarge the hypervolume of the complete ones.

    Args:
        values: As of ``predict_last``. The first M of the K values are objectives, all minimised.
        reached: As of ``predict_last``.
        features: As of ``predict_last``.
        costs: (N, C) the objectives that are known before training, all minimised.
        worst: (M,) the reference point of the M objectives.

    Returns:
        The gain of each run, (N,), and that of a new run: the mean over new runs with the features and costs of these.
    """
    count, steps = values.shape[:2]
    twice = np.tile(values, (2, 1, 1)), np.concatenate([reached, np.zeros_like(reached)]), np.tile(features, (2, 1))
    mean, sd = predict_last(*twice)
    complete = reached == steps
    front = np.hstack([values[complete, -1, : len(worst)], costs[complete]])
    reference = np.concatenate([worst, costs.max(0) + MARGIN * np.ptp(costs, 0) + MIN_MARGIN])
    uncertain = [Normal(mean[:, each], sd[:, each]) for each in range(len(worst))]
    gains = expected_hypervolume_improvement(front, reference, [*uncertain, *np.tile(costs, (2, 1)).T])
    return gains[:count], float(gains[count:].mean())

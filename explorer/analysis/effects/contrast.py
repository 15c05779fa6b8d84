"""Differences between means over networks of the design space, from the posterior of the model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from explorer.analysis.effects.answers import Networks
from explorer.analysis.effects.model import ChoiceModel
from explorer.analysis.effects.population import Population

CONFIDENCE = 0.95
RANK_TOLERANCE = 1e-10  # of eigenvalues; one network of 1,000,000 has a share of 1e-6
ROUNDING = 1e-12  # relative; smaller differences of values are errors of rounding
MIN_REPEATS = 5  # degrees of freedom of repeated trainings from which their noise is used


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference of the objective with its uncertainty.

    Attributes:
        effect: The estimate.
        ci95: Its 95% confidence interval.
        p: The probability of so large an estimate if the difference is zero.
    """

    effect: float
    ci95: tuple[float, float]
    p: float


class Contrasts:
    """Estimates of weighted sums of the objective over networks of the design space.

    Attributes:
        networks: The trained networks.
        population: The networks of the design space.
        model: The model of the objective.
        columns: (networks of the population, columns) their terms.

    Args:
        networks: The trained networks.
        population: The networks of the design space.
    """

    def __init__(self, networks: Networks, population: Population):
        self.networks, self.population = networks, population
        self.model = _fit(networks)
        self.columns = self.model.terms.of(population.codes)
        choices = self.model.terms.groups[len(networks.counts)].stop  # columns of the constant and of single choices
        self._separated = _separated(self.model.terms.of(networks.codes)[:, :choices])
        self._spread = float(networks.value.max() - networks.value.min())
        if self._spread <= ROUNDING * np.abs(networks.value).max():
            self._spread = 0.0

    def estimate(self, weights: np.ndarray, group: slice) -> Estimate:
        """Return the estimate of a weighted sum.

        Args:
            weights: (draws of their costs, networks of the population) the weights, or (networks,) if they do not
                depend on the costs.
            group: The terms that are asked about, which are not shrunk towards zero.
        """
        return self.estimate_terms(weights @ self.columns, group)

    def estimate_terms(self, wanted: np.ndarray, group: slice) -> Estimate:
        """Return the estimate of a weighted sum of terms.

        Args:
            wanted: (columns,) the weights, or (draws, columns) if they are uncertain themselves.
            group: The terms that are asked about, which are not shrunk towards zero.
        """
        from scipy.special import stdtr, stdtrit

        drawn = np.atleast_2d(wanted)
        effects, draws = drawn @ self.model.unshrunk_mean(group), len(drawn)
        variance = self.model.unshrunk_variance(drawn.mean(axis=0), group)
        if draws > 1:
            variance += (1 + 1 / draws) * float(np.var(effects, ddof=1))  # Rubin 1987
        effect, error = float(effects.mean()), math.sqrt(variance)
        reach = float(stdtrit(self.model.free, 0.5 + CONFIDENCE / 2)) * error
        p = 2 * float(stdtr(self.model.free, -abs(effect) / error)) if error > 0 else float(effect == 0)
        return self.within_observed(Estimate(effect, (effect - reach, effect + reach), p))

    def within_observed(self, estimate: Estimate) -> Estimate:
        """Return the estimate, limited to the largest difference between two observed values."""
        effect, low, high = (
            min(max(value, -self._spread), self._spread) for value in (estimate.effect, *estimate.ci95)
        )
        return Estimate(effect, (low, high), estimate.p if self._spread > 0 else 1.0)

    def separates(self, column: int, level: int) -> bool:
        """Return whether the trials separate the effect of a level from those of all other choices."""
        terms = self.model.terms
        group = terms.of_choice(column)
        wanted = np.zeros(len(self._separated))
        pair = np.full((2, len(self.networks.counts)), -1)
        pair[:, column] = 0, level
        before, after = terms.of(pair)[:, group]
        wanted[group] = after - before
        return bool(np.abs(self._separated @ wanted - wanted).max() < 1e-6)


def _fit(networks: Networks) -> ChoiceModel:
    """Return the model of the objective. Repeats of a network reduce its noise, but not how far it is off the model."""
    trainings = networks.trainings.astype(float)
    model = ChoiceModel(networks.counts, networks.codes, networks.value, trainings)
    repeats = float((trainings - 1).sum())
    if repeats < MIN_REPEATS:
        return model
    noise = min(networks.noise_squares / repeats / model.noise, 1.0)
    weight = 1 / (1 - noise + noise / trainings)
    return ChoiceModel(networks.counts, networks.codes, networks.value, weight)


def _separated(columns: np.ndarray) -> np.ndarray:
    """Return the projection onto the sums of terms that the networks determine."""
    sizes, vectors = np.linalg.eigh(columns.T @ columns)
    kept = vectors[:, sizes > sizes[-1] * RANK_TOLERANCE]
    projection: np.ndarray = kept @ kept.T
    return projection

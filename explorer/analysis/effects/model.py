"""A model of a quantity of networks, given their answers to the choice points.

    value = mean + a term per level of each choice + a term per pair of levels of two choices + noise

This is a mixed model of a factorial experiment: the terms of a choice and those of a pair of choices are normal with
variances that are estimated by their marginal likelihood (MacKay 1992, Bayesian interpolation). The costs of the
networks are no part of it. Networks whose terms the trials do not determine get a prediction near the mean, with the
uncertainty that belongs to it.

A search chooses networks because of values that it observed before. The posterior does not depend on how they were
chosen (Rubin 1976, Inference and missing data), so it holds for such trials too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.analysis.effects.one_thread import one_thread
from explorer.analysis.effects.terms import Terms

# The prior of the variances: medians, and standard deviations of their logarithms.
USUAL_NOISE = 0.3  # relative to the variance of the value
USUAL_CHOICE, CHOICE_SPREAD = 0.1, 2.0  # relative to the variance of the value
USUAL_PAIR, PAIR_SPREAD = 0.1, 1.0  # relative to the geometric mean of its two choices: choices matter more than pairs
OWN_SPREAD = 1.2  # of one choice or pair about what holds in general
WIDE = 1e3  # prior variance of a term that is not shrunk, relative to the variance of the value
# A squared residual is divided by this power of 1 - leverage: 1 is right for equal noise (HC2), 2 is the cautious
# jackknife (HC3). With 1.5 intervals hold what they promise in benchmarks/effects_coverage.py.
LEVERAGE_POWER = 1.5
LEAST_NOISE = 1e-7  # relative to the variance of the value; it keeps the matrices invertible
ITERATIONS = 40
LEAST_VARIANCE = 1e-200  # of a value; the inverse of a smaller one, times the terms, overflows
TOLERANCE = 1e-6  # relative, of the loss; with less the answers differ in the fifth digit


class ChoiceModel:
    """The posterior of the terms.

    Attributes:
        terms: The terms as columns.
        mean: (columns,) their posterior mean.
        covariance: (columns, columns) their posterior covariance.
        noise: The variance of one observation about the model.
        free: Degrees of freedom of ``noise``.
        left_out: (networks,) the error of predicting each observation from all others.

    Args:
        counts: The number of levels of each choice.
        codes: (networks, choices) the answers; -1 if a choice was not asked.
        value: (networks,) the observed quantity.
        weight: (networks,) the inverse of the relative variance of each observation.
        least_noise: The lowest variance of the noise, relative to that of the value.
    """

    def __init__(
        self,
        counts: Sequence[int],
        codes: np.ndarray,
        value: np.ndarray,
        weight: np.ndarray,
        least_noise: float = LEAST_NOISE,
    ):
        self.terms = Terms(counts)
        columns, centre = self.terms.of(codes), float(value.mean())
        likelihood = _Likelihood(columns, value - centre, weight, self.terms)
        with one_thread():
            logs = likelihood.most_likely(least_noise)
            self.covariance, self.mean = likelihood.posterior(logs)
        self.noise = likelihood.variances(logs)[0]
        self._shrinkage, self._wide = 1 / likelihood.prior, 1 / (WIDE * likelihood.total)
        self._usual_noise = USUAL_NOISE * likelihood.total
        residual = value - centre - columns @ self.mean
        self._influence = columns.T * weight / self.noise
        leverage = np.sum(self.covariance @ columns.T * self._influence, axis=0)
        self.free = max(len(value) - float(leverage.sum()), 1.0)
        rest = np.maximum(1 - leverage, 1e-9)
        self.left_out = residual / rest
        self._excess = residual**2 / rest**LEVERAGE_POWER - self.noise / weight
        self._gains: dict[int, np.ndarray] = {}
        self.mean[0] += centre

    def without_shrinkage(self, group: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and covariance of the terms where those of ``group`` have a wide prior.

        Shrinkage towards zero is right for the terms that are averaged over, not for the one that is asked about.
        """
        return self.unshrunk_mean(group), self.covariance - self._gain(group) @ self.covariance[group]

    def unshrunk_mean(self, group: slice) -> np.ndarray:
        """Return the mean of ``without_shrinkage``."""
        mean: np.ndarray = self.mean - self._gain(group) @ self.mean[group]
        return mean

    def unshrunk_variance(self, wanted: np.ndarray, group: slice) -> float:
        """Return the variance of a weighted sum of terms: that of ``without_shrinkage``, and the lack of fit.

        The posterior takes the deviations from the model for noise of the same size everywhere. If those observed in
        the networks that determine the sum are larger, the difference is added (MacKinnon and White 1985).

        Args:
            wanted: (columns,) the weights.
            group: The terms that are not shrunk.
        """
        ahead = self.covariance @ wanted
        ahead -= self._gain(group) @ ahead[group]
        share = ahead @ self._influence
        return max(float(wanted @ ahead), 0.0) + max(float(share**2 @ self._excess), 0.0)

    @property
    def expected_noise(self) -> float:
        """The variance to expect of a further observation.

        A model may fit few observations almost exactly, and then ``noise`` says little. So the usual noise counts as
        one observation more.
        """
        return (self.free * self.noise + self._usual_noise) / (self.free + 1)

    def covariance_to_expect(self, group: slice) -> np.ndarray:
        """Return the covariance of ``without_shrinkage`` if the noise is ``expected_noise``."""
        shrinkage = np.diag(self._shrinkage)
        known = np.linalg.inv(self.covariance) - shrinkage
        covariance: np.ndarray = np.linalg.inv(known * (self.noise / self.expected_noise) + shrinkage)
        covariance -= self._widening(covariance, group) @ covariance[group]
        return covariance

    def _gain(self, group: slice) -> np.ndarray:
        """Return ``_widening`` of the posterior covariance."""
        if group.start not in self._gains:
            self._gains[group.start] = self._widening(self.covariance, group)
        return self._gains[group.start]

    def _widening(self, covariance: np.ndarray, group: slice) -> np.ndarray:
        """Return (columns, columns of the group) by how much the terms change when the group's prior becomes wide."""
        change = self._wide - self._shrinkage[group]
        gain: np.ndarray = covariance[:, group] @ np.linalg.inv(np.diag(1 / change) + covariance[group, group])
        return gain

    def draws(self, count: int) -> np.ndarray:
        """Return (columns, count) draws of the terms from their posterior; the same at each call."""
        return self._draws(count, np.random.default_rng(0))

    def predictions(self, codes: np.ndarray, count: int) -> np.ndarray:
        """Return (count, networks) draws of the observations of networks, independent of ``draws``.

        Args:
            codes: (networks, choices) the answers; -1 if a choice was not asked.
            count: The number of draws.
        """
        random = np.random.default_rng(1)
        means = self.terms.of(codes) @ self._draws(count, random)
        predicted: np.ndarray = means.T + np.sqrt(self.noise) * random.standard_normal(means.T.shape)
        return predicted

    def _draws(self, count: int, random: np.random.Generator) -> np.ndarray:
        size = np.sqrt(np.diag(self.covariance))
        correlation = self.covariance / size / size[:, None] + 1e-10 * np.eye(len(size))
        normal = random.standard_normal((len(size), count))
        drawn: np.ndarray = self.mean[:, None] + size[:, None] * (np.linalg.cholesky(correlation) @ normal)
        return drawn


class _Likelihood:
    """The marginal likelihood of the variances.

    They are set by logarithms: of the noise and of choices in general, relative to the variance of the value; of pairs
    in general, relative to the geometric mean of those of their two choices; then of each choice and each pair,
    relative to what holds in general.
    """

    def __init__(self, columns: np.ndarray, value: np.ndarray, weight: np.ndarray, terms: Terms):
        self.total = max(float(value.var()), LEAST_VARIANCE)
        self.prior = np.full(columns.shape[1], WIDE * self.total)
        self._groups, choices = terms.groups[1:], len(terms.groups) - 1 - len(terms.pairs)
        self._gram, self._projected = columns.T @ (weight[:, None] * columns), columns.T @ (weight * value)
        self._squares, self._count = float(weight @ value**2), len(value)
        self._made = np.zeros((1 + len(self._groups), 3 + len(self._groups)))  # log variances, from the logarithms
        self._made[0, 0] = 1
        self._made[1:, 1] = 1
        self._made[1:, 3:] = np.eye(len(self._groups))
        for row, pair in enumerate(terms.pairs, 1 + choices):
            self._made[row, 2] = 1
            for choice in pair:
                self._made[row, 3 + choice] += 0.5
        each = np.zeros(len(self._groups))
        self.usual = np.concatenate([np.log([USUAL_NOISE, USUAL_CHOICE, USUAL_PAIR]), each])
        self._spread = np.concatenate([[np.inf, CHOICE_SPREAD, PAIR_SPREAD], each + OWN_SPREAD])

    def variances(self, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the variance of the noise and of the terms of each group."""
        made = self.total * np.exp(self._made @ logs)
        return float(made[0]), made[1:]

    def posterior(self, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the covariance and the mean of the terms."""
        covariance, mean, _ = self._posterior(logs)
        return covariance, mean

    def most_likely(self, least_noise: float) -> np.ndarray:
        """Return the logarithms that maximise the marginal likelihood times their prior."""
        from scipy.optimize import minimize

        bounds = [(value - 14.0, value + 7.0) for value in self.usual]
        bounds[0] = (float(np.log(least_noise)), bounds[0][1])
        found = minimize(
            self._loss,
            self.usual,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": ITERATIONS, "ftol": TOLERANCE},
        )
        best: np.ndarray = found.x
        return best

    def _posterior(self, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        noise, variances = self.variances(logs)
        for group, own in zip(self._groups, variances):
            self.prior[group] = own
        covariance, log_determinant = _inverse(self._gram / noise + np.diag(1 / self.prior))
        return covariance, covariance @ self._projected / noise, log_determinant

    def _loss(self, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the negative logarithm of likelihood and prior, and its gradient."""
        covariance, mean, log_determinant = self._posterior(logs)
        noise = self.variances(logs)[0]
        penalty = mean**2 / self.prior
        known = 1 - np.diag(covariance) / self.prior  # how far the data determine each term, from 0 to 1
        squares = self._squares - 2 * mean @ self._projected + mean @ self._gram @ mean
        far = (logs - self.usual) / self._spread
        loss = self._count * np.log(noise) + log_determinant + np.log(self.prior).sum()
        loss += squares / noise + penalty.sum() + far @ far
        slopes = [self._count - known.sum() - squares / noise]
        slopes += [np.sum(known[group] - penalty[group]) for group in self._groups]
        return float(loss) / 2, (self._made.T @ np.array(slopes) + 2 * far / self._spread) / 2


def _inverse(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the inverse of a positive definite matrix and the logarithm of its determinant."""
    from scipy.linalg import lapack

    scale = 1 / np.sqrt(np.diag(matrix))
    factor, _ = lapack.dpotrf(matrix * scale[:, None] * scale, lower=1)
    inverse, _ = lapack.dpotri(factor, lower=1)
    whole: np.ndarray = np.tril(inverse) + np.tril(inverse, -1).T
    return whole * scale[:, None] * scale, 2 * float(np.log(np.diag(factor) / scale).sum())

"""The probability that a network stays on the Pareto front in another run, as pure functions of numbers and records.

The event: every network of the study is trained once again from a fresh seed. A network stays if, by the new values
alone, no other network of at most its cost is better. The noise of the new trainings is thus part of the answer: two
equally good networks of one cost stay with probability 1/2 each, however often both have been trained.

The model, with y_ik the value of training k of network i, and c_i its cost, which is exact:

    y_ik = theta_i + e_ik,  e_ik ~ N(0, s^2)             noise of one training
    theta_i = trend(c_i) + u_i,  u_i ~ G                 true values

The noise of a fraction p such as accuracy depends on its level: its variance is about proportional to p (1 - p), that
of a binomial share with overdispersion. So y is arcsin(sqrt(p)), whose variance is then the same at every level
(Anscombe 1948); the order of networks, and so the front, is that of p. Other quantities are y themselves.

A network is on the front because its value is good, and in part because that value was lucky. The posterior of theta_i
corrects for this by itself if the prior fits (Efron 2011, "Tweedie's formula and selection bias"), so trend and G are
estimated from all networks of the study: the trend by local linear regression, and G by maximum likelihood among
densities whose logarithm is a polynomial (Efron 2016, "Empirical Bayes deconvolution estimates"). The integrals are
sums over fixed grids: the same input gives the same result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explorer.analysis.noise import frontier_probabilities, pooled_std, repeats_of, validation_value
from explorer.analysis.pareto import non_dominated
from explorer.analysis.quantities import FRACTIONS
from explorer.records import ConfirmationRecord, TrialRecord

Array = NDArray[np.float64]

PRIOR_DEGREE = 4  # of the logarithm of the density of G: it may be skew, and have heavy or light tails
RIDGE = 1e-3  # on its coefficients, for a solution where the data do not determine them
MAX_SCORING_STEPS = 30  # some ten are enough as a rule
ENOUGH_GAIN = 1e-3  # in log likelihood, below which the fit ends
MAX_PRIOR_NETWORKS = 500  # that G is estimated from, evenly spread over all residuals
TREND_POINTS = 50  # of the grid of costs at which the trend is fitted
GRID_POINTS = 200, 1_000  # least and most points of a grid of values
GRID_STEP = 0.5  # of a grid, in the smallest standard deviation on it; wider if there would be too many points
NOISE_QUANTILES = 5  # over which the uncertainty of the noise is averaged
TAIL = 5.0  # standard errors of a residual beyond which its true value is not sought
FEW_DEGREES = 3  # of freedom, below which the noise is too uncertain to choose repeats by


class Trainings(NamedTuple):
    """All trainings of one network.

    Attributes:
        trial: The number of its trial.
        digest: The digest of the network.
        cost: Its cost, minimised.
        values: The value of each training, maximised (negated if less is better): its trial, then its repeats.
    """

    trial: int
    digest: str
    cost: float
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the trainings."""
        return math.fsum(self.values) / len(self.values)


@dataclass(frozen=True, slots=True)
class TrainingNoise:
    """The noise of one training, pooled over all networks that were trained more than once.

    Attributes:
        std: The standard deviation of one training of these networks.
        degrees_of_freedom: Of the estimate: the trainings minus the networks.
        networks: The number of networks.
        stable_std: The standard deviation of y, which is the same at every level.
        is_fraction: Whether the quantity is a fraction, so that y is arcsin(sqrt(p)).
    """

    std: float
    degrees_of_freedom: int
    networks: int
    stable_std: float
    is_fraction: bool


@dataclass(frozen=True, slots=True)
class FrontierCertainty:
    """How certain a front is.

    Attributes:
        noise: The noise of one training.
        probabilities: Trial number -> probability of staying on the front in another run, for every complete trial.
    """

    noise: TrainingNoise
    probabilities: Mapping[int, float]


def all_trainings(
    trials: Iterable[TrialRecord],
    repeats: Iterable[ConfirmationRecord],
    x: str,
    y: str,
    sign: int,
    epochs: int | None,
) -> list[Trainings]:
    """Return the trainings of each complete trial's network that has ``x`` and ``y``.

    Args:
        trials: The trials; others than complete ones are left out.
        repeats: Further trainings of their networks, as ``Study.confirmations`` returns them. One from the seed of the
            trial is the training of the trial, as in a reproduction of a published table, and does not count.
        x: The cost.
        y: The quantity on the validation split.
        sign: 1 if ``y`` is maximised, else -1.
        epochs: The number of epochs of a trial, None for 1; repeats of other lengths do not count.
    """
    fresh: dict[str, list[tuple[int, float]]] = {}
    for repeat in repeats_of(repeats, epochs):
        value = validation_value(repeat, y)
        if repeat.state == "complete" and value is not None:
            fresh.setdefault(repeat.digest, []).append((repeat.seed, sign * value))
    found = []
    for trial in trials:
        cost, value = trial.value(x), trial.value(y)
        if trial.state == "complete" and cost is not None and value is not None:
            others = [other for seed, other in fresh.get(trial.digest, ()) if seed != trial.seed]
            found.append(Trainings(trial.number, trial.digest, cost, (sign * value, *others)))
    return found


def frontier_certainty(networks: Sequence[Trainings], y: str) -> FrontierCertainty | None:
    """Return the probability of each network to stay on the front in another run.

    Args:
        networks: All networks of the study.
        y: The quantity that was measured.

    Returns:
        The noise and the probabilities; None if no network was trained more than once.
    """
    noise = training_noise([network.values for network in networks], y in FRACTIONS)
    if noise is None:
        return None
    found = stay_probabilities([each.cost for each in networks], [each.values for each in networks], noise)
    return FrontierCertainty(noise, {network.trial: p for network, p in zip(networks, found)})


def certainty_text(certainty: FrontierCertainty | None, front: Sequence[int], y: str) -> str:
    """Return in words how many networks of a front stay on it in another run, and how noisy one training is.

    Args:
        certainty: The certainty of the front; None if no network was trained more than once.
        front: The numbers of the trials on the front.
        y: The objective.
    """
    if certainty is None:
        return (
            "How many of these networks stay on the frontier in another run is unknown, since no network was trained"
            " more than once: run the search again with --repeats K."
        )
    noise, known = certainty.noise, [number for number in front if number in certainty.probabilities]
    expected = sum(certainty.probabilities[number] for number in known)
    spread = f"{100 * noise.std:.2g} points of {y}" if y in FRACTIONS else f"{noise.std:.3g} in {y}"
    repeats, networks = noise.degrees_of_freedom, noise.networks
    if len(known) == 1:
        stay = f"this one stays on the frontier with a probability of {expected:.0%}"
    else:
        stay = f"{expected:.1f} of these {len(known)} are expected to stay on the frontier"
    return (
        f"If every network is trained once more, {stay}."
        f" One training has a standard deviation of {spread}, from {repeats} repeat{'s' * (repeats > 1)} of"
        f" {networks} network{'s' * (networks > 1)}."
    )


def training_noise(values: Iterable[Sequence[float]], is_fraction: bool) -> TrainingNoise | None:
    """Return the noise of one training.

    The estimate counts the trial's own value of a network. On a front that value is lucky on average, which biases the
    variance by less than a tenth; to leave it out would halve the degrees of freedom.

    Args:
        values: The values of each network's trainings.
        is_fraction: Whether they are fractions.

    Returns:
        The noise; None if no network was trained more than once.
    """
    repeated = [group for group in values if len(group) > 1]
    std = pooled_std(repeated)
    if std is None:
        return None
    stable = pooled_std(_stable(group, is_fraction) for group in repeated) or 0.0
    degrees = sum(len(group) - 1 for group in repeated)
    return TrainingNoise(std, degrees, len(repeated), stable, is_fraction)


def stay_probabilities(costs: Sequence[float], values: Sequence[Sequence[float]], noise: TrainingNoise) -> list[float]:
    """Return the probability of each network to be non-dominated when all are trained once again.

    The next value of a network is taken as normal with the mean and variance of its posterior predictive distribution;
    ``frontier_probabilities`` gives the probability that none of at most its cost is better.

    The uncertainty of the noise itself is averaged over: its variance is s^2 nu / X with X from the chi-squared
    distribution of nu degrees of freedom, at the middles of ``NOISE_QUANTILES`` parts of equal probability.

    Args:
        costs: (N,) exact costs, minimised.
        values: (N,) the values of each network's trainings, maximised; at least one of each.
        noise: The noise of one training. If it is 0, the result is 1 on the front and 0 elsewhere.
    """
    means = np.array([math.fsum(group) / len(group) for group in (_stable(own, noise.is_fraction) for own in values)])
    if noise.stable_std == 0.0:
        front = set(non_dominated([(cost, -mean) for cost, mean in zip(costs, means)]))
        return [float(place in front) for place in range(len(costs))]
    from scipy.special import chdtri  # the inverse of the survival function; scipy.stats takes a second to import

    counts = np.array([len(group) for group in values])
    degrees, parts = noise.degrees_of_freedom, (np.arange(NOISE_QUANTILES) + 0.5) / NOISE_QUANTILES
    total = np.zeros(len(means))
    for factor in np.sqrt(degrees / chdtri(degrees, parts)):
        predicted = _predicted(np.asarray(costs, float), means, counts, factor * noise.stable_std)
        total += frontier_probabilities(costs, *predicted)
    rounded: list[float] = (total / NOISE_QUANTILES).round(9).tolist()
    return rounded


def expected_values(costs: Sequence[float], values: Sequence[Sequence[float]], noise: TrainingNoise) -> list[float]:
    """Return the value that each network is expected to have in a further training.

    Of a network that was trained once, the value is drawn towards that of all networks of like cost: far if the noise
    is large beside the differences between networks.

    Args:
        costs: As for ``stay_probabilities``.
        values: (N,) the values of each network's trainings; at least one of each.
        noise: The noise of one training. If it is 0, the result is the mean of the values.
    """
    means = [math.fsum(group) / len(group) for group in (_stable(own, noise.is_fraction) for own in values)]
    if noise.stable_std > 0.0:
        counts = np.array([len(group) for group in values])
        means, _ = _predicted(np.asarray(costs, float), np.array(means), counts, noise.stable_std)
    if not noise.is_fraction:
        return means
    return [math.sin(min(max(mean, 0.0), math.pi / 2)) ** 2 for mean in means]


def next_repeats(networks: Sequence[Trainings], y: str, number: int, running: Mapping[str, int]) -> list[int]:
    """Return the networks whose next training is most informative about which ones stay on the front.

    These are the networks of largest p (1 - p) / K with p the probability to stay and K the trainings so far: whether
    they stay is uncertain, and one more training changes what is known of them. Before ``FEW_DEGREES`` degrees of
    freedom the noise is hardly known; then networks of the front come first that gain least over the next cheaper one
    of the front, those with the fewest trainings before the others.

    Args:
        networks: All networks of the study.
        y: The quantity that was measured.
        number: The number of trainings.
        running: Digest -> trainings under way, which count as done.

    Returns:
        Places in ``networks``, the most telling first, at most ``number``.
    """
    counts = np.array([len(each.values) + running.get(each.digest, 0) for each in networks])
    certainty = frontier_certainty(networks, y)
    if certainty is None or certainty.noise.degrees_of_freedom < FEW_DEGREES or not certainty.noise.stable_std:
        gains = _gains([(each.cost, each.mean) for each in networks])
        order = sorted(gains, key=lambda place: (counts[place], gains[place], place))
        return order[:number]
    stays = np.array([certainty.probabilities[each.trial] for each in networks])
    telling = stays * (1 - stays) / counts
    return [int(place) for place in np.argsort(-telling, kind="stable")[:number]]


def _gains(points: Sequence[tuple[float, float]]) -> dict[int, float]:
    """Return for each point of the front its gain over the next cheaper one; infinity for the cheapest."""
    front = sorted(non_dominated([(cost, -value) for cost, value in points]), key=lambda place: points[place])
    return {
        place: points[place][1] - points[cheaper][1] if cheaper is not None else math.inf
        for cheaper, place in zip([None, *front], front)
    }


def _stable(values: Sequence[float], is_fraction: bool) -> list[float]:
    """Return values on a scale on which their variance does not depend on their level."""
    if not is_fraction:
        return list(values)
    return [math.asin(math.sqrt(min(max(value, 0.0), 1.0))) for value in values]


def _predicted(costs: Array, means: Array, counts: NDArray[np.int64], std: float) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation of each network's next value.

    Args:
        costs: (N,) costs.
        means: (N,) means over the trainings.
        counts: (N,) numbers of trainings.
        std: Standard deviation of one training.
    """
    trend = _trend(costs, means)
    grid, weights = _posterior(means - trend, std / np.sqrt(counts))
    centres = weights @ grid
    spreads = np.sqrt(np.maximum(weights @ grid**2 - centres**2, 0.0) + std**2)
    return (trend + centres).tolist(), spreads.tolist()


def _trend(costs: Array, values: Array) -> Array:
    """Return the local linear regression of the values on the logarithm of the cost, at each cost.

    The kernel is Gaussian with Silverman's bandwidth, doubled because a line follows the values. Costs that are not all
    positive are used without a logarithm.
    """
    at = np.log(costs) if costs.min() > 0 else costs
    width = 2 * 0.9 * float(at.std()) * len(at) ** -0.2
    if width == 0.0:
        return np.full_like(values, values.mean())
    grid = np.linspace(at.min(), at.max(), TREND_POINTS)
    apart = at - grid[:, None]
    kernel = np.exp(-0.5 * (apart / width) ** 2) + 1e-9  # far from all others, the line of all values
    first, second = (kernel * apart).sum(1), (kernel * apart**2).sum(1)
    line: Array = kernel * (second[:, None] - first[:, None] * apart)
    return np.asarray(np.interp(at, grid, (line @ values) / line.sum(1)), float)


def _posterior(residuals: Array, errors: Array) -> tuple[Array, Array]:
    """Return the posterior of each network's true residual u_i.

    Args:
        residuals: (N,) means minus the trend.
        errors: (N,) standard errors of the means.

    Returns:
        (M,) grid of residuals, and (N, M) probabilities of each network on it.
    """
    grid = _grid(residuals, errors, errors.min())
    z = (residuals[:, None] - grid) / errors[:, None]
    likelihood = np.exp(-0.5 * z**2) + 1e-300
    thinned = np.argsort(residuals, kind="stable")[:: -(-len(residuals) // MAX_PRIOR_NETWORKS)]
    scale = max(float(residuals.std()), float(errors.min()))
    weights = likelihood * _prior((grid - np.median(residuals)) / scale, likelihood[thinned])
    return grid, weights / weights.sum(1, keepdims=True)


def _prior(grid: Array, likelihood: Array) -> Array:
    """Return the maximum likelihood estimate of G among densities exp(a_1 t + a_2 t^2 + a_3 t^3 + a_4 t^4).

    The coefficients are found by scoring steps (Berndt et al. 1974), which are halved until the likelihood grows.

    Args:
        grid: (M,) values of t.
        likelihood: (N, M) likelihood of each network's residual at each of them.

    Returns:
        (M,) probabilities.
    """
    powers = grid[:, None] ** np.arange(1, PRIOR_DEGREE + 1)

    def density(coefficients: Array) -> Array:
        logs = powers @ coefficients
        found = np.exp(logs - logs.max())
        return np.asarray(found / found.sum())

    best = np.zeros(PRIOR_DEGREE)
    best[1] = -0.5  # the normal distribution with the spread of the residuals
    prior = density(best)
    height = float(np.log(likelihood @ prior).sum())
    for _ in range(MAX_SCORING_STEPS):
        weights = likelihood * prior
        scores = (weights / weights.sum(1, keepdims=True) - prior) @ powers
        information = scores.T @ scores + RIDGE * np.eye(PRIOR_DEGREE)
        step, before = np.linalg.solve(information, scores.sum(0) - RIDGE * best), height
        for length in (1.0, 0.5, 0.25, 0.1, 0.02):
            changed = density(best + length * step)
            reached = float(np.log(likelihood @ changed + 1e-300).sum())
            if reached > height:
                best, prior, height = best + length * step, changed, reached
                break
        if height - before < ENOUGH_GAIN:
            break
    return prior


def _grid(centres: Array, spreads: Array, smallest: float) -> Array:
    """Return evenly spaced values over all centres and ``TAIL`` spreads beyond them."""
    low, high = float((centres - TAIL * spreads).min()), float((centres + TAIL * spreads).max())
    least, most = GRID_POINTS
    return np.linspace(low, high, int(np.clip((high - low) / (GRID_STEP * smallest), least, most)))

"""At equal cost: the mean objective of networks of like cost, the other choices free to make up for the cost.

The answer is the difference between two curves, the mean objective of all networks of the space with the level and with
the reference by cost, averaged over a range of costs with equal weight on a logarithmic scale. The curves are local
linear in the logarithm of the cost, with a Gaussian kernel whose standard deviation is ``CALIPER``. The range is where
both levels have at least ``MIN_LIKE`` trained networks, and ``MIN_SHARE`` of all that they have, within a factor of
``LIKE`` of every cost; and at least one of each within the range. A pair of levels of two choices is compared in the
same way with all networks of the space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from explorer.analysis.effects.contrast import Contrasts, Estimate

CALIPER = math.log10(1.2)  # in decades
LIKE = math.log10(1.5)  # in decades: three networks within it are common where some dozen cover a range of 10
MIN_LIKE = 3
MIN_SHARE = 0.1
STEPS = 40  # costs at which the curves are compared

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PairAtCost:
    """How much better networks with two levels are than all networks of like cost.

    Attributes:
        level: The level of the first choice.
        other_level: The level of the second choice.
        trials: The number of trained networks with both.
        effect: The mean difference of the objective, in its unit; None if the trials cannot tell it.
        ci95: Its 95% confidence interval; None likewise.
        low: The lowest cost compared; None likewise.
        high: The highest cost compared; None likewise.
    """

    level: str
    other_level: str
    trials: int
    effect: float | None = None
    ci95: tuple[float, float] | None = None
    low: float | None = None
    high: float | None = None


def common_range(reference: np.ndarray, level: np.ndarray) -> Span | None:
    """Return the longest range of costs at which both levels have networks of like cost; None if there is none.

    Args:
        reference: Costs of networks with the reference level, in decades.
        level: Costs of networks with the level, in decades.
    """
    if not len(reference) or not len(level):
        return None
    low, high = max(reference.min(), level.min()), min(reference.max(), level.max())
    if low > high:
        return None
    costs = np.concatenate([reference, level])
    at = np.unique([*costs[(costs >= low) & (costs <= high)], *np.linspace(low, high, 5 * STEPS)])
    common = _is_dense(reference, at) & _is_dense(level, at)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], common, [False]]).astype(int)))
    spans = [(float(at[start]), float(at[end - 1])) for start, end in edges.reshape(-1, 2)]
    spans = [span for span in spans if within(reference, span).any() and within(level, span).any()]
    return max(spans, key=lambda span: span[1] - span[0], default=None)


def within(costs: np.ndarray, span: Span) -> np.ndarray:
    """Return which costs, in decades, are in a range."""
    inside: np.ndarray = (costs >= span[0] - 1e-9) & (costs <= span[1] + 1e-9)
    return inside


def _is_dense(costs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return at which costs there are enough networks of like cost."""
    ordered, margin = np.sort(costs), LIKE + 1e-9
    count = np.searchsorted(ordered, at + margin, "right") - np.searchsorted(ordered, at - margin, "left")
    dense: np.ndarray = count >= max(MIN_LIKE, MIN_SHARE * len(costs))
    return dense


def equal_cost_weights(codes: np.ndarray, cost: np.ndarray, column: int, level: int, span: Span) -> np.ndarray:
    """Return the weight of each network in the difference at equal cost, where each level has a network.

    Args:
        codes: (networks, factors) their answers.
        cost: (networks,) their cost in decades.
        column: The factor.
        level: Its level, compared with level 0.
        span: The range of costs, in decades.
    """
    weights = np.zeros(len(codes))
    for sign, own in ((-1, 0), (1, level)):
        rows = np.flatnonzero(codes[:, column] == own)
        weights[rows] = sign * local_linear(cost[rows], np.linspace(*span, STEPS)).mean(axis=0)
    return weights


def local_linear(cost: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return (costs, networks) weights of networks in a local-linear curve; each row sums to 1.

    The slope is ridged by a tenth of the kernel's variance, which matters only where all near networks cost the same.

    Args:
        cost: (networks,) their cost in decades.
        at: (costs,) where the curve is wanted, in decades.
    """
    far = cost - at[:, None]
    power = -0.5 * (far / CALIPER) ** 2
    kernel = np.exp(power - power.max(axis=1, keepdims=True))
    kernel /= kernel.sum(axis=1, keepdims=True)
    centre = (kernel * far).sum(axis=1, keepdims=True)
    variance = (kernel * (far - centre) ** 2).sum(axis=1, keepdims=True)
    weights: np.ndarray = kernel * (1 - centre / (variance + 0.1 * CALIPER**2) * (far - centre))
    return weights


def equal_cost_estimate(contrasts: Contrasts, column: int, level: int, span: Span) -> Estimate | None:
    """Return the difference at equal cost, level minus reference; None if the population lacks one of the levels."""
    population = contrasts.population
    if not {0, level} <= set(population.codes[:, column]):
        return None
    weights = np.stack([equal_cost_weights(population.codes, cost, column, level, span) for cost in population.costs])
    return contrasts.estimate(weights, contrasts.model.terms.of_choice(column))


def pairs_at_cost(contrasts: Contrasts, factor: str, other: str) -> list[PairAtCost]:
    """Return each pair of levels; the most frequent levels first.

    Costs are compared over the range in which networks with both levels are common, with equal weight on a logarithmic
    scale, as in ``equal_cost_estimate``.

    Args:
        contrasts: The fitted model.
        factor: The first choice.
        other: The second choice.
    """
    networks, population = contrasts.networks, contrasts.population
    places = networks.place(factor), networks.place(other)
    group = contrasts.model.terms.of_pair(*places)
    found = []
    for row, level in enumerate(networks.levels[factor]):
        for column, other_level in enumerate(networks.levels[other]):
            trained, every = (
                (codes[:, places[0]] == row) & (codes[:, places[1]] == column)
                for codes in (networks.codes, population.codes)
            )
            trials = int(trained.sum())
            span = common_range(networks.cost, networks.cost[trained])
            if span is None or not every.any() or every.all():
                found.append(PairAtCost(level, other_level, trials))
                continue
            at = np.linspace(*span, STEPS)
            weights = []
            for cost in population.costs:
                own = np.zeros(len(every))
                own[every] = local_linear(cost[every], at).mean(axis=0)
                weights.append(own - local_linear(cost, at).mean(axis=0))
            estimate = contrasts.estimate(np.stack(weights), group)
            ends = float(10 ** span[0]), float(10 ** span[1])
            found.append(PairAtCost(level, other_level, trials, estimate.effect, estimate.ci95, *ends))
    return found

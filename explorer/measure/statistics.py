"""Statistics of repeated timings: quantiles, a confidence interval of the median, and whether a series is steady."""

from __future__ import annotations

import math
from collections.abc import Sequence

STEADY_SHARE = 0.02  # largest relative difference between two running medians that counts as noise
STEADY_WINDOW = 5  # values per running median


def quantile(values: Sequence[float], percent: float) -> float:
    """Return a quantile, interpolated linearly between the neighbouring order statistics.

    Args:
        values: At least one value, in any order.
        percent: Which quantile, in [0, 100].
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median(values: Sequence[float]) -> float:
    """Return the median of at least one value."""
    return quantile(values, 50)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return a confidence interval of the median from order statistics, without an assumption on the distribution.

    The r-th smallest and the r-th largest value enclose the median with probability ``P(r <= B <= n - r)``, B
    binomial(n, 1/2) (David and Nagaraja, Order Statistics, 7.1). The function uses the largest r that gives at least
    ``confidence``. It sums the probabilities from the middle, which takes about ``sqrt(n)`` steps.

    Args:
        values: The values, in any order. Fewer than six do not reach 95% confidence even with their extremes, which
            are returned in that case.
        confidence: Probability with which the interval encloses the median, in (0, 1).

    Returns:
        The lower and upper bound.
    """
    n = len(values)

    def probability(count: int) -> float:
        log = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1) - n * math.log(2)
        return math.exp(log)

    rank = (n + 1) // 2
    enclosed = probability(rank) if n % 2 == 0 else 0.0
    while enclosed < confidence and rank > 1:
        rank -= 1
        enclosed += 2 * probability(rank)
    ordered = sorted(values)
    return ordered[rank - 1], ordered[n - rank]


def is_steady(values: Sequence[float]) -> bool:
    """Return whether the medians of the last two windows of STEADY_WINDOW values differ by at most STEADY_SHARE.

    Args:
        values: The values in the order of measurement. Fewer than two windows are not steady.
    """
    if len(values) < 2 * STEADY_WINDOW:
        return False
    earlier, later = values[-2 * STEADY_WINDOW : -STEADY_WINDOW], values[-STEADY_WINDOW:]
    return abs(median(later) - median(earlier)) <= STEADY_SHARE * median(earlier)

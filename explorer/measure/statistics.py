"""What is said of repeated timings: quantiles, an interval of the median, whether they are steady."""

from __future__ import annotations

import math
from collections.abc import Sequence

LOW = 10.0  # percent: the reported low statistic of a CPU
STEADY_SHARE = 0.02
STEADY_WINDOW = 5


def quantile(values: Sequence[float], percent: float) -> float:
    """The ``percent`` quantile, 0..100, linear between the neighbouring order statistics."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median(values: Sequence[float]) -> float:
    return quantile(values, 50)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """A confidence interval of the median from order statistics, free of any assumption on the distribution.

    The r-th smallest and the r-th largest value enclose the median with probability
    ``1 - 2 P(B < r)``, B binomial(n, 1/2) (David and Nagaraja, Order Statistics, 7.1); r is the largest that gives
    at least ``confidence``. Of fewer than six values even the extremes do not: they are returned all the same.
    """
    n = len(values)
    allowed = 2**n * round((1 - confidence) * 1000) // 2000  # of the 2^n equally likely patterns, on each side
    outside, patterns, rank = 0, 1, 0
    while rank < n // 2 and outside + patterns <= allowed:
        outside += patterns  # now 2^n P(B < rank + 1)
        patterns = patterns * (n - rank) // (rank + 1)
        rank += 1
    ordered = sorted(values)
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[n - rank]


def is_steady(values: Sequence[float]) -> bool:
    """Whether the running median has settled: the medians of the last two windows of STEADY_WINDOW values
    lie within STEADY_SHARE of each other."""
    if len(values) < 2 * STEADY_WINDOW:
        return False
    earlier, later = values[-2 * STEADY_WINDOW : -STEADY_WINDOW], values[-STEADY_WINDOW:]
    return abs(median(later) - median(earlier)) <= STEADY_SHARE * median(earlier)

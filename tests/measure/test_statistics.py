"""Quantiles, the confidence interval of the median, and stability."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from explorer.measure.statistics import is_steady, median, median_interval, quantile


def test_quantiles_equal_numpys():
    """Quantiles are interpolated linearly between order statistics, as in NumPy."""
    draw = random.Random(0)
    for n in (1, 2, 5, 40):
        values = [draw.random() for _ in range(n)]
        for percent in (0, 5, 37.5, 50, 95, 100):
            assert quantile(values, percent) == pytest.approx(np.percentile(values, percent))
        assert median(values) == pytest.approx(np.median(values))


@pytest.mark.parametrize("n", range(1, 15))
def test_interval_of_the_median_by_brute_force(n):
    """Over all ways to fall below or above the median, the interval covers it with at least 95%, and the next narrower
    one does not."""
    values = list(range(1, n + 1))
    low, high = median_interval(values)
    patterns = list(itertools.product((0, 1), repeat=n))

    def coverage(rank):
        return sum(rank <= sum(pattern) <= n - rank for pattern in patterns) / len(patterns)

    assert low + high == n + 1
    if n >= 6:
        assert coverage(low) >= 0.95
    else:
        assert (low, high) == (1, n)
    assert low + 1 > n - low or coverage(low + 1) < 0.95


def test_interval_of_many_values():
    """The ranks equal those of the usual tables, also for very many values."""
    assert median_interval(range(1, 26)) == (8, 18)
    assert median_interval(range(1, 101)) == (40, 61)
    assert median_interval(range(1, 3001)) == (1446, 1555)


def test_stable_if_the_running_median_is_constant():
    """Ten values of one level are stable despite an outlier; a slope, a step and too few values are not."""
    assert is_steady([1.0] * 10)
    assert is_steady([1.0, 1.0, 9.0, 1.0, 1.0, 1.0, 7.0, 1.0, 1.01, 1.0])
    assert not is_steady([1.0] * 9)
    assert not is_steady([2.0 - 0.05 * step for step in range(10)])
    assert not is_steady([1.5] * 5 + [1.0] * 5)
    assert is_steady([5.0] * 20 + [1.0] * 10)

"""Rank correlations with their confidence intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from explorer.analysis.ranking import rank_correlations


def test_equal_and_reversed_orders():
    """The same order gives 1 and the reverse -1, and the interval contains the value and lies within -1..1."""
    trained = [0.1, 0.2, 0.3, 0.35, 0.9]
    numbers = {"same": [1, 10, 100, 1e6, 1e9], "reverse": [5, 4, 3, 2, 1]}
    found = {each.name: each for each in rank_correlations(numbers, trained, [1, 2, 1, 2, 1])}
    assert found["same"].rho == pytest.approx(1.0)
    assert found["reverse"].rho == pytest.approx(-1.0)
    for each in found.values():
        low, high = each.ci95
        assert -1 <= low <= each.rho + 1e-9 and each.rho - 1e-9 <= high <= 1


def test_ties_share_their_mean_rank():
    """The correlation of values with ties is that of scipy."""
    random = np.random.default_rng(3)
    x, y = random.integers(0, 6, 40).astype(float), random.integers(0, 9, 40).astype(float)
    assert rank_correlations({"x": x}, y, y)[0].rho == pytest.approx(spearmanr(x, y).statistic, rel=1e-12)


def test_size_alone_explains_nothing_at_equal_macs():
    """A score that is only noisy MACs has no partial correlation at equal MACs, and a score with more information
    has."""
    random = np.random.default_rng(0)
    macs = random.normal(size=2_000)
    rest = random.normal(size=2_000)
    trained = macs + rest
    numbers = {"size": macs + 0.5 * random.normal(size=2_000), "rest": rest, "macs": macs}
    found = {each.name: each for each in rank_correlations(numbers, trained, macs)}
    assert found["size"].rho > 0.5 and abs(found["size"].at_equal_macs) < 0.1
    assert found["rest"].at_equal_macs > 0.9
    assert found["macs"].at_equal_macs is None


def test_the_interval_has_its_coverage():
    """In 92% to 98% of 400 samples of 20 pairs, the 95% interval contains the true value."""
    random = np.random.default_rng(1)
    truth = 6 / np.pi * np.arcsin(0.7 / 2)  # Spearman's, of normal pairs that correlate by 0.7
    held = 0
    for _ in range(400):
        x, y = random.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 20).T
        low, high = rank_correlations({"x": x}, y, y)[0].ci95
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.98


def test_missing_or_constant_values_have_no_correlation():
    """None values are ignored, and too few or constant values give no correlation."""
    trained = [0.1, 0.2, 0.3, 0.4, 0.5]
    numbers = {"part": [1, None, 2, 3, 4], "few": [1, None, None, None, 2], "alike": [1] * 5}
    found = {each.name: each for each in rank_correlations(numbers, trained, trained)}
    assert (found["part"].networks, found["part"].rho) == (4, pytest.approx(1.0))
    assert found["few"].rho is None and found["alike"].rho is None

"""Error distributions of two spaces at equal cost."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.analysis.distributions import Sample, compare_errors
from explorer.errors import StudyError


def test_weights_bins_and_distance_by_hand():
    """With two bins that both spaces fill, each bin has weight one half, shared equally by its networks."""
    a = Sample("a", [1, 2, 2, 10], [0.4, 0.3, 0.5, 0.1])
    b = Sample("b", [1, 9, 10, 50], [0.5, 0.2, 0.4, 0.0])
    found = compare_errors(a, b)
    assert (found.range, found.bins, found.a.networks, found.b.compared) == ((1, 10), 2, 4, 3)
    assert found.a.mean_error == pytest.approx(0.5 * (0.4 + 0.3 + 0.5) / 3 + 0.5 * 0.1)
    assert found.b.mean_error == pytest.approx(0.5 * 0.5 + 0.5 * (0.2 + 0.4) / 2)
    assert found.a.edf[0] == (0.1, 0.5) and found.a.edf[-1] == (0.5, 1.0)
    assert found.ks == pytest.approx(0.5)  # at 0.1: one half against zero
    assert found.difference == pytest.approx(found.a.mean_error - found.b.mean_error)
    assert found.ci95[0] <= found.difference <= found.ci95[1]


def test_a_more_expensive_space_is_not_better_at_equal_cost():
    """If errors depend only on cost, expensive networks have a lower mean error but no gain at equal cost."""
    random = np.random.default_rng(0)
    cheap, dear = random.uniform(1, 10, 400), random.uniform(1, 10, 400) ** 0.5 * 3
    a = Sample("a", cheap.tolist(), (1 / (1 + cheap)).tolist())
    b = Sample("b", dear.tolist(), (1 / (1 + dear)).tolist())
    found = compare_errors(a, b)
    assert np.mean(a.errors) - np.mean(b.errors) > 0.02 and abs(found.difference) < 0.01
    better = compare_errors(a, Sample("c", a.costs, [error - 0.05 for error in a.errors]))
    assert better.difference == pytest.approx(0.05) and better.ci95[0] > 0


def test_spaces_that_cannot_be_compared():
    """No networks or disjoint costs give an error, and a single cost gives one bin."""
    with pytest.raises(StudyError, match="b has no complete trial"):
        compare_errors(Sample("a", [1], [0.5]), Sample("b", [], []))
    with pytest.raises(StudyError, match="in the range that both share"):
        compare_errors(Sample("a", [1, 2], [0.5, 0.5]), Sample("b", [3, 4], [0.5, 0.5]))
    assert compare_errors(Sample("a", [1, 1], [0.5, 0.6]), Sample("b", [1], [0.5])).bins == 1

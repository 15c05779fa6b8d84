"""The effect of training noise on a Pareto front."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.analysis.noise import frontier_probabilities, pooled_std
from explorer.analysis.pareto import non_dominated


def test_pooled_std_is_that_of_the_formula_and_none_without_repeats():
    """The pooled deviation uses each group's own mean and the sum of K - 1, and needs repeated values."""
    assert pooled_std([[1.0, 3.0], [10.0, 10.0, 13.0]]) == pytest.approx(np.sqrt((2.0 + 6.0) / 3))
    assert pooled_std([[0.1, 0.5]]) == pytest.approx(np.std([0.1, 0.5], ddof=1))
    assert pooled_std([[1.0], [2.0], []]) is None and pooled_std([]) is None
    assert pooled_std([[0.1] * 3, [0.7] * 20, [1 / 3] * 7]) == 0.0  # also where the mean is rounded


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_equal_those_of_sampled_means(seed):
    """The integral equals the share of 200,000 samples of all means in which a network is non-dominated."""
    random = np.random.default_rng(seed)
    costs = random.integers(1, 8, 9).tolist()  # some equal
    values, errors = random.normal(0.8, 0.04, 9), random.uniform(0.02, 0.05, 9)
    found = frontier_probabilities(costs, values.tolist(), errors.tolist())
    drawn = random.normal(values, errors, (200_000, 9))
    for i in range(9):
        rivals = [j for j in range(9) if j != i and costs[j] <= costs[i]]
        share = (drawn[:, [i]] > drawn[:, rivals]).all(axis=1).mean()
        assert found[i] == pytest.approx(share, abs=0.005)


def test_bounds_of_the_probabilities():
    """The cheapest network has probability 1, networks of equal cost share the rest, and one far behind has 0."""
    found = frontier_probabilities([1, 2, 2, 3], [0.5, 0.8, 0.8, 0.1], [0.01] * 4)
    assert found == pytest.approx([1.0, 0.5, 0.5, 0.0], abs=1e-9)
    assert frontier_probabilities([], [], []) == []


@pytest.mark.parametrize("error", [1e-17, 1e-9, 1e-5])
def test_noise_that_is_tiny_beside_the_differences_decides_nothing(error):
    """Trainings that differ in the last bits leave the front as it is, without a grid that fills the memory."""
    assert frontier_probabilities([1, 2, 3, 4], [0.5, 0.8, 0.7, 0.9], [error] * 4) == pytest.approx([1, 1, 0, 1])
    assert frontier_probabilities([1, 2], [0.5, 0.5], [error] * 2) == pytest.approx([1, 0.5])


def test_without_noise_the_front_is_unchanged():
    """Zero or small errors give the non-dominated points, and of equal points the first."""
    random = np.random.default_rng(5)
    costs, values = random.uniform(size=60).tolist(), random.uniform(size=60).tolist()
    front = set(non_dominated([(cost, -value) for cost, value in zip(costs, values)]))
    for error in (0.0, 1e-7):
        found = frontier_probabilities(costs, values, [error] * 60)
        assert {place for place, probability in enumerate(found) if probability > 0.5} == front
    assert frontier_probabilities([1, 1], [0.5, 0.5], [0, 0]) == [1.0, 0.0]
    with pytest.raises(ValueError, match="all positive or all 0"):
        frontier_probabilities([1, 2], [0.5, 0.6], [0.1, 0.0])

"""Regression on counts in levels: general counts carry few networks, specific ones are learnt from many."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.measure.predictor.regression import LEVEL_MEANS, NOISE_MEAN, _loss, fit_levels, most_informative


def counts(networks: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of six operations, their sum in front, and the levels."""
    single = np.random.default_rng(seed).integers(0, 6, (networks, 6)).astype(float)
    return np.column_stack([single.sum(axis=1), single]), np.array([0] + [4] * 6)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 250.0])
def test_single_operations_are_learnt_from_many_networks(unit):
    """Times of the single operations are found to a per cent, in any unit."""
    x, levels = counts(80)
    times = unit * np.array([0.5, 1.0, 2.0, 4.0, 1.5, 3.0])
    y = 5 * unit + x[:, 1:] @ times
    intercept, found = fit_levels(x, y, levels)
    assert intercept == pytest.approx(5 * unit, rel=0.05)
    assert found[0] + found[1:] == pytest.approx(times, rel=0.02)


def test_few_networks_are_carried_by_the_general_count():
    """An operation that no network has still costs as much as the others, by the count of all operations."""
    x, levels = counts(12)
    y = 1 + 2.0 * x[:, 0]
    x[:, 6] = 0.0  # this operation is counted in the sum alone
    intercept, found = fit_levels(x, y, levels)
    assert found[6] == 0.0 and found[0] > 1.5
    assert intercept + x @ found == pytest.approx(y, rel=0.01)


def test_the_slope_of_the_loss_is_that_of_differences():
    """The gradient by which the variances are chosen is the derivative of the loss."""
    random = np.random.default_rng(3)
    factors = [random.normal(size=(9, 4)) for _ in LEVEL_MEANS]
    kernels, weights = [each @ each.T / 4 for each in factors], random.uniform(0.5, 2, 9)
    theta = np.array([*LEVEL_MEANS, NOISE_MEAN]) + random.normal(size=len(LEVEL_MEANS) + 1)
    _, slopes = _loss(theta, kernels, weights)
    for place, slope in enumerate(slopes):
        step = np.zeros_like(theta)
        step[place] = 1e-5
        rise = _loss(theta + step, kernels, weights)[0] - _loss(theta - step, kernels, weights)[0]
        assert slope == pytest.approx(rise / 2e-5, rel=1e-3, abs=1e-6)


def test_the_networks_chosen_differ():
    """Of groups of equal networks one each is chosen before any is chosen twice; then all, if as many are wanted."""
    x, levels = counts(6)
    copies = np.repeat(x, 5, axis=0)
    assert sorted(row // 5 for row in most_informative(copies, levels, 6)) == list(range(6))
    assert sorted(most_informative(x, levels, 50)) == list(range(6))


def test_chosen_networks_predict_the_others_better():
    """Twenty networks chosen for it teach all twelve operations, also rare ones; the first twenty networks do not."""
    random = np.random.default_rng(5)
    single = random.integers(1, 4, (200, 12)) * (random.random((200, 12)) < np.linspace(0.05, 0.9, 12))
    x, levels = np.column_stack([single.sum(axis=1), single]).astype(float), np.array([0] + [4] * 12)
    y = 1 + single @ np.linspace(3, 0.5, 12)

    def error(rows):
        intercept, found = fit_levels(x[rows], y[rows], levels)
        return float(np.mean(np.abs((intercept + x @ found) / y - 1)))

    assert error(most_informative(x, levels, 20)) < 1e-4 < error(list(range(20)))

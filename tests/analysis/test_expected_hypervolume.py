"""Expected hypervolume improvement, compared with brute force and with sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from explorer.analysis.expected_hypervolume import (
    LogDistance,
    Lognormal,
    expected_hypervolume_improvement,
    log_distance,
    open_boxes,
)
from explorer.analysis.pareto import hypervolume


@pytest.mark.parametrize("objectives, points", [(1, 3), (2, 8), (3, 10), (4, 8)])
def test_boxes_and_the_dominated_part_fill_the_space(objectives, points):
    """The boxes of the non-dominated region and the dominated region fill the whole."""
    front = np.random.default_rng(objectives).random((points, objectives)).tolist()
    lower, upper = open_boxes(front, [1.1] * objectives)
    volume = np.prod(upper - np.maximum(lower, 0.0), axis=1).sum()
    assert volume + hypervolume(front, [1.1] * objectives) == pytest.approx(1.1**objectives)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_gain_of_a_certain_candidate(objectives):
    """If all objectives are known, the gain is the difference of two hypervolumes."""
    draw = np.random.default_rng(objectives)
    front, candidates = draw.random((6, objectives)).tolist(), draw.random((20, objectives)) * 0.8
    reference = [1.0] * objectives
    added = [hypervolume([*front, list(c)], reference) - hypervolume(front, reference) for c in candidates]
    assert expected_hypervolume_improvement(front, reference, list(candidates.T)) == pytest.approx(
        np.array(added), abs=1e-12
    )


@pytest.mark.parametrize("uncertain", [1, 2])
def test_the_gain_of_an_uncertain_candidate_is_the_mean_over_samples(uncertain):
    """With a posterior, the gain is the mean over its samples within four standard errors."""
    draw = np.random.default_rng(uncertain)
    front, reference = [[0.2, 0.8], [0.5, 0.5], [0.8, 0.2]], [1.0, 1.0]
    believed = [Lognormal(-0.1, np.array([math.log(0.5)]), np.array([0.5])) for _ in range(uncertain)]
    gain = expected_hypervolume_improvement(front, reference, [*[np.array([0.4])] * (2 - uncertain), *believed])[0]
    values = [-0.1 + np.exp(math.log(0.5) + 0.5 * draw.standard_normal(4_000)) for _ in range(uncertain)]
    columns = [*[np.full(4_000, 0.4)] * (2 - uncertain), *values]
    added = [hypervolume([*front, list(p)], reference) - hypervolume(front, reference) for p in zip(*columns)]
    assert gain == pytest.approx(np.mean(added), abs=4 * np.std(added) / math.sqrt(len(added)))


def test_the_lognormal_shortfall_by_hand():
    """With median 1 and unit deviation, E[max(0, 1 - value)] = 1/2 - sqrt(e) * Phi(-1), and 0 at the floor."""
    belief = Lognormal(0.0, np.zeros(1), np.ones(1))
    expected = 0.5 - math.exp(0.5) * 0.15865525393145707
    assert belief.shortfall(np.array([1.0, 0.0]))[0] == pytest.approx([expected, 0.0])


def test_the_shortfall_of_discrete_values_is_the_mean_over_rounded_samples():
    """For discrete values, E[max(0, bound - value)] is the mean over rounded samples at any bound, within four standard
    errors."""
    belief = Lognormal(-0.2, np.array([math.log(0.3), math.log(0.5)]), np.array([0.4, 0.05]), step=0.1)
    draws = np.exp(belief.mean + belief.sd * np.random.default_rng(0).standard_normal((20_000, 2)))
    values = -0.2 + 0.1 * np.round(draws / 0.1)
    bounds = np.array([0.3, 0.13, -0.2])
    missed = np.maximum(0.0, bounds - values[:, :, None])
    error = 4 * missed.std(axis=0) / math.sqrt(len(draws)) + 1e-9
    assert np.all(np.abs(belief.shortfall(bounds) - missed.mean(axis=0)) < error)


@pytest.mark.parametrize("offset", [0.02, 0.3])
def test_the_shortfall_of_logarithms_in_steps_is_the_mean_over_rounded_samples(offset):
    """On the logarithmic axis, for values in steps, E[max(0, bound - x)] is the mean over rounded samples, within four
    standard errors."""
    belief = Lognormal(-0.2, np.array([math.log(0.3), math.log(0.5)]), np.array([0.4, 0.05]), step=0.1)
    draws = np.exp(belief.mean + belief.sd * np.random.default_rng(0).standard_normal((20_000, 2)))
    values = -0.2 + 0.1 * np.round(draws / 0.1)
    bounds = log_distance(np.array([0.3, 0.13, 0.0, -0.2]), belief.floor, offset)
    missed = np.maximum(0.0, bounds - log_distance(values, belief.floor, offset)[:, :, None])
    error = 4 * missed.std(axis=0) / math.sqrt(len(draws)) + 1e-9
    assert np.all(np.abs(LogDistance(belief, offset).shortfall(bounds) - missed.mean(axis=0)) < error)


@pytest.mark.parametrize("offset", [1e-9, 0.02, 0.3])
def test_the_shortfall_of_logarithms_is_nearly_the_mean_over_samples(offset):
    """On the logarithmic axis, E[max(0, bound - x)] differs from the mean over samples by little beside the spread of
    x, and with a vanishing offset, where x is normal, by sampling errors only."""
    belief = Lognormal(-0.2, np.array([math.log(0.3), math.log(0.5)]), np.array([0.4, 0.05]))
    draws = np.exp(belief.mean + belief.sd * np.random.default_rng(0).standard_normal((20_000, 2)))
    x = log_distance(belief.floor + draws, belief.floor, offset)
    bounds = log_distance(np.array([0.4, 0.3, 0.13, 0.0]), belief.floor, offset)
    missed = np.maximum(0.0, bounds - x[:, :, None])
    error = 4 * missed.std(axis=0) / math.sqrt(len(draws)) + (1e-9 if offset < 1e-6 else 0.15 * x.std(axis=0)[:, None])
    assert np.all(np.abs(LogDistance(belief, offset).shortfall(bounds) - missed.mean(axis=0)) < error)

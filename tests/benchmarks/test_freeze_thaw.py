"""``benchmarks/freeze_thaw.py``: its model of learning curves and its replay, on synthetic curves."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("freeze_thaw")


def made_up(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values (count, 4, 2) of runs after four epochs and one feature (count, 1) that decides much of them."""
    draw = np.random.default_rng(seed)
    feature = draw.normal(size=(count, 1))
    level = 0.7 * feature + 0.5 * draw.normal(size=(count, 1))
    steps = [level * (0.6 + 0.2 * epoch) + epoch + 0.3 * draw.normal(size=(count, 2)) for epoch in range(4)]
    return np.stack(steps, axis=1), feature


def test_intervals_contain_the_final_values(script):
    """About nine in ten runs end within 1.645 predicted standard deviations, whatever they have reached."""
    inside: list[bool] = []
    for seed in range(30):
        values, features = made_up(30, seed)
        reached = np.arange(30) % 5
        mean, sd = script.predict_last(values, reached, features)
        open_ = reached < 4
        inside += list((abs(values[open_, -1] - mean[open_]) < 1.645 * sd[open_]).ravel())
    assert 0.85 <= np.mean(inside) <= 0.96


def test_values_that_were_not_reached_are_ignored(script):
    """A prediction depends only on the epochs that a run has reached; a complete run keeps its values."""
    values, features = made_up(12, 2)
    reached = np.arange(12) % 5
    hidden = np.where(np.arange(4)[None, :, None] < reached[:, None, None], values, 1e6)
    mean, sd = script.predict_last(hidden, reached, features)
    for found, expected in zip((mean, sd), script.predict_last(values, reached, features)):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(mean[reached == 4], values[reached == 4, -1])
    assert (sd[reached == 4] == 0).all() and (sd[reached < 4] > 0).all()


def test_stopped_runs_improve_the_predictions(script):
    """Beside three complete runs, 37 that were stopped at the third of four epochs reduce the error of runs with one
    epoch."""
    errors = {0: 0.0, 37: 0.0}
    for stopped in errors:
        for seed in range(30):
            values, features = made_up(60, seed)
            chosen = [*range(3 + stopped), *range(40, 60)]
            reached = np.array([4] * 3 + [3] * stopped + [1] * 20)
            mean, _ = script.predict_last(values[chosen], reached, features[chosen])
            errors[stopped] += abs(mean[-20:] - values[-20:, -1]).mean()
    assert errors[37] < 0.9 * errors[0]


def test_freeze_thaw_trains_the_best_within_a_third(script):
    """At most a third of the epochs is spent, and the best of thirty networks of equal cost is trained to the end."""
    draw = np.random.default_rng(0)
    final = draw.uniform(0.3, 0.7, 30)
    growth = np.linspace(0.4, 1.0, 9)
    accuracy = final[:, None] * growth + 0.01 * draw.normal(size=(30, 9))
    states = np.stack([accuracy, -accuracy, -accuracy], axis=2)
    gains = script.Gains(states, np.ones((30, 2)), (1, 2, 3, 4, 6, 9))
    for seed in range(3):
        order = list(np.random.default_rng(seed).permutation(30))
        spent, ended = script.freeze_thaw(gains, order)
        assert spent <= 30 * 9 / 3 and ended[-1][0] <= spent
        assert accuracy[:, -1].argmax() in [number for _, number in ended]

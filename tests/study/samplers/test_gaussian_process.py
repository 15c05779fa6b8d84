"""The Gaussian process agrees with scikit-learn's on the same kernel."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from explorer.study.samplers.gaussian_process import JITTER, Features, GaussianProcess, _Posterior

TRIALS, UNTRIED, COLUMNS = 25, 10, 3


def networks(rows: int, numbers: int, choices: int, seed: int) -> Features:
    draw = np.random.default_rng(seed)
    return Features(
        draw.standard_normal((rows, numbers)), draw.integers(0, 2, (rows, choices)) / np.sqrt(max(1, choices))
    )


@pytest.mark.parametrize("kind", ["numbers", "choices"])
def test_the_posterior_equals_that_of_scikit_learn(kind):
    """With the fitted hyperparameters, mean and standard deviation on the log axis equal those of scikit-learn, for
    numeric features and for choices."""
    shape = (COLUMNS, 0) if kind == "numbers" else (0, COLUMNS)
    known, untried = networks(TRIALS, *shape, seed=0), networks(UNTRIED, *shape, seed=1)
    values = np.exp(np.random.default_rng(2).standard_normal(TRIALS))
    process = GaussianProcess(known, values, seed=0)
    found = process.predict(untried)

    hyper = process._kernel.hyper
    of_numbers, of_choices, noise, decay = np.exp(hyper[:4])
    if kind == "numbers":
        lengths = np.exp(hyper[4:])
        kernel = ConstantKernel(of_numbers) * Matern(lengths, nu=2.5) + ConstantKernel(of_choices)
        rows, asked = known.numbers, untried.numbers
    else:
        kernel = ConstantKernel(of_choices) * RBF(np.sqrt(1 / decay)) + ConstantKernel(of_numbers)
        rows, asked = known.choices, untried.choices
    logs = np.log(values - found.floor)
    targets = (logs - logs.mean()) / logs.std()
    expected = GaussianProcessRegressor(kernel, alpha=noise + JITTER, optimizer=None).fit(rows, targets)
    mean, deviation = expected.predict(asked, return_std=True)
    assert found.mean == pytest.approx(logs.mean() + logs.std() * mean, rel=1e-6)
    assert found.sd == pytest.approx(logs.std() * deviation, rel=1e-6)


def test_leaving_one_out_equals_a_fit_without_it():
    """The log density of each value given the others is that of a process conditioned on the others."""
    known, values = networks(8, 2, 2, seed=0), np.random.default_rng(2).standard_normal(8)
    kernel = GaussianProcess(known, np.exp(values), seed=0)._kernel
    expected = 0.0
    for row in range(8):
        others = np.delete(np.arange(8), row)
        mean, variance = _Posterior(kernel, known[others], values[others]).predict(known[np.array([row])])
        spread = variance[0] + kernel.noise + JITTER
        expected -= 0.5 * (np.log(spread) + (values[row] - mean[0]) ** 2 / spread)
    assert _Posterior(kernel, known, values).leave_one_out() == pytest.approx(expected)


def test_choices_have_their_own_decays_where_that_predicts_better():
    """If one of six choices determines the values, each choice has a decay, and that choice the largest."""
    draw = np.random.default_rng(0)
    choices = draw.integers(0, 2, (60, 6)).astype(float)
    features = Features(np.zeros((60, 0)), choices * np.sqrt(2 / 6), (1,) * 6)
    process = GaussianProcess(features, np.exp(choices[:, 2] + 0.01 * draw.standard_normal(60)), seed=0)
    assert process._kernel.groups.tolist() == list(range(6))
    assert np.argmax(process._kernel.hyper[3:9]) == 2

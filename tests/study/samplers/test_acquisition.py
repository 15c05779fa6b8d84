"""The prediction that the frontier sampler stores for each network it proposes."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from explorer.analysis.pareto import non_dominated
from explorer.records import TrialRecord
from explorer.space.search_space import load_space
from explorer.store.trials import read_sampler_notes
from explorer.study.candidates import Candidates
from explorer.study.samplers import acquisition
from explorer.study.samplers.acquisition import Z_90, Acquisition, History, TrialGroup, front_rows
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.search import run_search
from tests.study.evaluations import score

OBJECTIVES = {"accuracy": "max", "macs": "min"}


def test_the_prediction_is_of_one_training_with_its_noise(space):
    """The predicted interval of accuracy has the posterior variance of the network plus the noise of one training."""
    pool = CandidatePool(Candidates(space, {}, ()), 0)
    draw, complete = random.Random(0), TrialRecord(0, "complete")
    trials = [
        replace(complete, number=number, choices=derivation.choices, objectives={"accuracy": score(derivation.choices)})
        for number, derivation in enumerate(draw.sample(list(space), 15))
    ]
    trials = [replace(t, objectives={"accuracy": t.objectives["accuracy"] + draw.gauss(0, 0.02)}) for t in trials]
    candidates = pool.rows(space)
    acquisition = Acquisition(History.of(trials, pool, OBJECTIVES), candidates, pool, 0)
    process, beliefs = acquisition._processes[0], acquisition._known(candidates)[0]
    assert process.noise > 0
    for place, candidate in enumerate(candidates.tolist()):
        expected = acquisition.expected(candidate)
        low, middle, high = expected["accuracy"]
        assert list(expected) == ["accuracy"] and low < middle < high
        ends = np.log(np.array([-low, -middle, -high]) - beliefs.floor)
        assert ends[1] == pytest.approx(beliefs.mean[place])
        deviation = (ends[0] - ends[2]) / (2 * Z_90)
        assert deviation**2 == pytest.approx(beliefs.sd[place] ** 2 + process.noise**2)


def group(count: int) -> TrialGroup:
    """Return trials of two objectives, the same first ones for any count."""
    values = np.random.default_rng(0).random((count, 2))
    return TrialGroup([TrialRecord(number, "complete") for number in range(count)], values)


def numbers(trials: TrialGroup) -> list[int]:
    return [trial.number for trial in trials.trials]


def test_a_large_study_is_represented_by_its_best_and_by_random_trials():
    """Above its size limit a group keeps the front and random others, and most random ones stay as it grows;
    below the limit it is unchanged."""
    few, many, more = group(90), group(2_000), group(2_100)
    assert few.best(100, 0) is few and few.drawn(100, 0) is few
    kept = many.best(1_000, 0)
    assert len(kept) == len(set(numbers(kept))) == 1_000 and numbers(kept) == sorted(numbers(kept))
    assert np.array_equal(kept.values, many.values[numbers(kept)])
    assert set(non_dominated(many.values.tolist())) <= set(numbers(kept))
    drawn = numbers(many.drawn(1_000, 0))
    assert len(drawn) == 1_000 and len(set(drawn) & set(numbers(more.drawn(1_000, 0)))) > 900
    assert not set(drawn) <= set(numbers(kept))


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_front_of_many_trials_equals_that_of_few_at_a_time(objectives):
    """``front_rows`` returns the rows of ``non_dominated``, also where values are equal."""
    values = np.random.default_rng(0).integers(0, 12, (200, objectives)).astype(float)
    assert front_rows(values).tolist() == non_dominated(values.tolist())


def test_a_proposal_takes_the_model_of_at_most_the_limits(space, monkeypatch):
    """The model is conditioned on a bounded number of trials, while the front has all of them."""
    pool = CandidatePool(Candidates(space, {}, ()), 0)
    draw, complete = random.Random(0), TrialRecord(0, "complete")
    trials = [
        replace(complete, number=number, choices=derivation.choices, objectives={"accuracy": draw.random()})
        for number, derivation in enumerate(space)
    ]
    candidates = pool.rows(space)
    whole = Acquisition(History.of(trials, pool, OBJECTIVES), candidates, pool, 0)
    monkeypatch.setattr(acquisition, "MAX_COMPLETE", 12)
    bounded = Acquisition(History.of(trials, pool, OBJECTIVES), candidates, pool, 0)
    assert len(whole._processes[0]._targets) == len(trials) > len(bounded._processes[0]._targets) == 12
    assert np.array_equal(whole._front[:, 1], bounded._front[:, 1]) and whole._reference[1] == bounded._reference[1]
    monkeypatch.setattr(acquisition, "MAX_OTHERS", 3)
    for state in ("running", "stopped"):
        begun = [replace(trial, state=state, objectives={}) for trial in trials[12:]]
        bounded = Acquisition(History.of([*trials[:12], *begun], pool, OBJECTIVES), candidates, pool, 0)
        assert len(bounded._processes[0]._targets) == 12 + 3


@pytest.mark.slow
def test_results_lie_in_the_predicted_interval():
    """After the first ten trials, most results lie in the stored 90% interval, which is about as wide as the noise."""
    noise = 0.02

    def evaluate(architecture, *, choices, epochs, seed):
        return {"accuracy": 0.6 + random.Random(seed).gauss(0, noise)}

    space, told = load_space("preact_variants"), []
    for seed in range(1, 5):  # the share in one search varies by a tenth
        study = run_search(space, evaluate=evaluate, storage=None, sampler="frontier", trials=28, seed=seed).study
        noted = read_sampler_notes(study, range(28))
        told += [(noted[r.number]["expected"]["accuracy"], r.objectives["accuracy"]) for r in study.trials()[10:]]
    assert np.mean([low <= value <= high for (low, _, high), value in told]) >= 0.7
    assert 0.5 < np.median([high - low for (low, _, high), _ in told]) / (2 * Z_90 * noise) < 2

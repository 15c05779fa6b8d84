"""A calibrated predictor in a search: which networks it lets the search measure, and what it predicts for the
sampler."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from explorer.costs.analytic import count_cost
from explorer.measure.predictor.predictor import fit, save
from explorer.records import TrialRecord
from explorer.space.search_space import load_space
from explorer.study.candidates import Candidates
from explorer.study.latency.predicted import PRIOR_ERROR, error_distribution, find_predicted_latency
from explorer.study.samplers.candidate_pool import CandidatePool
from explorer.study.samplers.frontier import STRATA, FrontierSampler
from tests.study.fake_clock import HERE, search

SPACE = load_space("preact_variants.yaml")
SLOWER = 1.3  # the device today is slower than when it was calibrated


def better_with_size(architecture, *, choices, epochs, seed):
    return {"accuracy": 1 - 1 / count_cost(architecture).params}


@pytest.fixture
def calibrated(clock, monkeypatch, tmp_path):
    """Return a predictor of the fake clock's device, which has become slower since calibration."""
    monkeypatch.setenv("EXPLORER_PREDICTORS", str(tmp_path / "predictors"))
    networks = [SPACE.architecture(derivation) for derivation in SPACE.sample(60, seed=3)]
    times = [count_cost(network).macs / 1e6 / SLOWER for network in networks]
    save(fit(networks, times, HERE, (SPACE.name, SPACE.digest)))
    return clock


def test_the_predictor_error_is_learnt_from_measurements():
    """Without measurements the prediction is used unchanged; with many, its bias is corrected and its spread
    estimated."""
    assert error_distribution([]) == (0.0, PRIOR_ERROR)
    shift, scatter = error_distribution([math.log(1.3)] * 50)
    assert shift == pytest.approx(math.log(1.3), rel=0.03) and scatter < 0.05
    assert error_distribution([0.2, -0.2] * 20)[1] == pytest.approx(0.2, rel=0.05)


def test_a_predictor_applies_only_to_its_space_and_environment(calibrated):
    """A predictor of another space or environment gives no prediction."""
    assert find_predicted_latency(HERE, SPACE)(SPACE.architecture(7)).keys() == {"latency_ms"}
    assert find_predicted_latency(HERE, SPACE.with_input((1, 8, 8), 10)) is None
    assert find_predicted_latency(replace(HERE, batch=32), SPACE) is None


@pytest.mark.slow
def test_a_tight_limit_wastes_hardly_a_measurement(calibrated):
    """If one network in twenty keeps the limit, a calibrated search measures few more networks than it evaluates."""
    times = sorted(count_cost(SPACE.architecture(index)).macs / 1e6 for index in range(0, SPACE.count(), 37))
    bound = f"latency_ms<={times[len(times) // 20]:.3f}"
    for sampler, most in (("frontier", 2), ("evolution", 2)):
        calibrated.asked.clear()
        study = search(SPACE, bound, evaluate=better_with_size, sampler=sampler, trials=10).study
        assert study.counts()["complete"] == 10 and len(calibrated.asked) <= 10 * most


def test_the_frontier_sampler_predicts_latencies(calibrated):
    """With a predictor the sampler predicts latencies within 10% from its first modelled proposal; without one it does
    not."""
    objectives = {"accuracy": "max", "latency_ms": "min"}
    worst = {}
    for known, predict in {"calibrated": find_predicted_latency(HERE, SPACE), "not": lambda architecture: {}}.items():
        pool = CandidatePool(Candidates(SPACE, {}, (), predict=predict), 0)
        sampler, trials, off = FrontierSampler(pool, objectives, 0), [], []
        for number in range(STRATA + 2):
            derivation, notes = sampler.propose(trials, number)
            architecture = SPACE.architecture(derivation)
            costs = {**count_cost(architecture).to_dict(), "latency_ms": count_cost(architecture).macs / 1e6}
            if number >= STRATA:
                off.append(abs(notes["expected"]["latency_ms"][1] / costs["latency_ms"] - 1))
            accuracy = better_with_size(architecture, choices={}, epochs=1, seed=0)
            trials.append(
                TrialRecord(
                    number,
                    "complete",
                    digest=architecture.digest,
                    choices=derivation.choices,
                    costs=costs,
                    objectives={**accuracy, "latency_ms": costs["latency_ms"]},
                )
            )
        worst[known] = max(off)
    assert worst["calibrated"] < 0.1 < worst["not"]


def test_a_damaged_predictor_is_reported_and_ignored(calibrated, tmp_path, caplog):
    """The search reports a damaged predictor and continues without it."""
    (file,) = (tmp_path / "predictors").iterdir()
    file.write_text("{}")
    assert find_predicted_latency(HERE, SPACE) is None
    assert str(file) in caplog.text

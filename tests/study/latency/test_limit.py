"""Predicted latencies of networks that were not measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from explorer.analysis.limits import parse_limit
from explorer.costs.analytic import count_cost
from explorer.records import TrialRecord
from explorer.space.search_space import load_space
from explorer.study.latency.limit import MIN_MEASURED, LatencyFilter
from tests.study.fake_clock import search


def measured(space, indices):
    """Yield trials of a space at 1 ms per million MACs plus one microsecond per output element."""
    for number, index in enumerate(indices):
        cost = count_cost(space.architecture(index)).to_dict()
        costs = {**cost, "latency_ms": cost["macs"] / 1e6 + cost["activations"] / 1e3}
        yield TrialRecord(number, "rejected", digest=str(index), costs=costs, latency={"environment": {"digest": "d"}})


def network(trial):
    """Return the trial's network without a predictor's estimate."""
    return SimpleNamespace(costs=trial.costs, predicted={})


def test_predicted_latencies_are_close_to_measured_ones():
    """After thirty measured networks, nine of ten latencies of other networks are predicted within 20%."""
    space = load_space("preact_variants.yaml")
    latency_filter = LatencyFilter([parse_limit("latency_ms<=40")])
    latency_filter.learn(measured(space, range(0, space.count(), space.count() // 30)))
    others = list(measured(space, range(7, space.count(), space.count() // 50)))
    near = [abs(latency_filter.expected(network(trial)) / trial.costs["latency_ms"] - 1) < 0.2 for trial in others]
    assert sum(near) > 0.9 * len(near)
    for trial in others:
        assert latency_filter.may_satisfy_limits(network(trial)) == (latency_filter.expected(network(trial)) <= 40)


def test_no_prediction_from_too_few_measurements(space):
    """Without enough measured networks or without a latency limit, every network may keep the limits."""
    latency_filter, free = LatencyFilter([parse_limit("latency_ms<=0.000001")]), LatencyFilter([])
    trials = list(measured(space, range(MIN_MEASURED)))
    latency_filter.learn(trials[:-1])
    free.learn(trials)
    assert latency_filter.may_satisfy_limits(network(trials[0])) and free.may_satisfy_limits(network(trials[0]))
    latency_filter.learn(trials)
    assert not latency_filter.may_satisfy_limits(network(trials[0]))


@pytest.mark.slow
def test_a_tight_limit_wastes_few_measurements(clock):
    """If one network in twenty keeps the limit, far fewer than twenty are measured per evaluated network."""
    space = load_space("preact_variants.yaml")
    times = sorted(count_cost(space.architecture(index)).macs / 1e6 for index in range(0, space.count(), 37))
    bound = f"latency_ms<={times[len(times) // 20]:.3f}"
    for sampler, most in (("frontier", 4), ("evolution", 4), ("random", 8)):
        clock.asked.clear()
        study = search(space, bound, evaluate=good_enough, sampler=sampler, trials=15).study
        assert study.counts()["complete"] == 15 and len(clock.asked) <= 15 * most


def good_enough(architecture, *, choices, epochs, seed):
    return {"accuracy": 1 - 1 / count_cost(architecture).params}

"""Searches with a latency objective or limit: when latency is measured, how often, and how it is stored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from explorer.analysis.limits import parse_limit
from explorer.costs.analytic import count_cost
from explorer.errors import StoreError, StudyError
from explorer.measure.child import measure_in_child
from explorer.measure.protocol import MeasurementFailed
from explorer.space.search_space import parse_space
from explorer.store.rows import Proposal
from explorer.store.studies import open_study
from explorer.store.writer import open_writer
from explorer.study import proposer
from explorer.study.joining import join_search
from explorer.study.latency import objective as stopwatch
from explorer.study.latency.objective import MAX_MEASUREMENTS, make_latency_objective
from tests.study.evaluations import SPACE_TEXT, good
from tests.study.fake_clock import HERE, search


@pytest.mark.parametrize("sampler", ["random", "frontier", "evolution", "tpe"])
def test_each_allowed_network_is_measured_once_before_it_is_evaluated(space, clock, sampler):
    """The search checks analytic limits first, then measures each network once, checks the latency limit, and stores
    latency and environment."""
    result = search(space, "macs<=400k", "latency_ms<=0.2", sampler=sampler, trials=1_000)
    networks = [space.architecture(index) for index in range(space.count())]
    macs = {network.digest: count_cost(network).macs for network in networks}
    assert sorted(clock.asked) == sorted(digest for digest, count in macs.items() if count <= 400_000)
    assert 0 < sum(count <= 200_000 for count in macs.values()) < len(clock.asked) < len(networks)
    for record in result.study.trials():
        if macs[record.digest] > 400_000:
            assert record.state == "rejected" and record.reason.startswith("limit macs <= 400k")
            assert "latency_ms" not in record.costs and not record.latency
            continue
        assert record.costs["latency_ms"] == macs[record.digest] / 1e6
        assert record.latency == {"environment": HERE.to_dict(), "contended": False, "notes": []}
        if macs[record.digest] > 200_000:
            assert (record.state, record.reason.partition(", found")[0]) == ("rejected", "limit latency_ms <= 0.2")
        else:
            assert record.state in ("complete", "cached")
    assert result.ended == "no network of the space within its limits is left to try"


def test_a_space_file_may_limit_the_latency(clock):
    """A latency bound in the space file acts like a limit given to the search."""
    limited = parse_space(SPACE_TEXT + "limits: {latency_ms: <= 0.2}\n", "limited.yaml")
    study = search(limited, trials=1_000).study
    assert study.counts()["complete"] == 9 and len(clock.asked) == 27


def test_a_contended_measurement_is_repeated_a_bounded_number_of_times(space, clock):
    """A contended measurement is repeated: a quiet second one is used, otherwise the lower of the two, marked as
    contended."""
    clock.contended = [True, False]
    assert not make_latency_objective("cpu").measure(space.architecture(0)).contended
    clock.contended = [True] * 5
    found = make_latency_objective("cpu").measure(space.architecture(0))
    assert MAX_MEASUREMENTS == 2 and len(clock.asked) == 4
    assert found.contended and found.reported_ms == count_cost(space.architecture(0)).macs / 1e6 + 1.5


@pytest.mark.slow
def test_unsynchronised_computation_makes_a_measurement_contended(space, monkeypatch, tmp_path):
    """Computation beside a measurement is detected: the network is measured again, and the result names the cause."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured = []

    def measure(*asked):
        measured.extend(measure_in_child(*asked, time_scale=0.03))
        return measured[-1:]

    monkeypatch.setattr(stopwatch, "measure_in_child", measure)
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        found = make_latency_objective("cpu").measure(space.architecture(0))
    finally:
        for process in others:
            process.kill()
            process.wait()
    assert len(measured) == MAX_MEASUREMENTS and all(latency.contended for latency in measured)
    assert found.reported_ms == min(latency.reported_ms for latency in measured)
    assert any("of the pinned cores' time" in note or "other cores were busy" in note for note in found.notes)


def test_one_measures_at_a_time(space, clock):
    """Two latency objectives on one device wait for each other."""
    inside, most = [], []

    def enter(architecture):
        inside.append(architecture)
        most.append(len(inside))
        time.sleep(0.1)
        inside.pop()

    clock.before = enter
    both = [
        threading.Thread(target=make_latency_objective("cpu").measure, args=(space.architecture(0),)) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert most == [1, 1]


def test_a_network_that_cannot_be_measured_fails_and_says_why(space, clock):
    """A network that cannot be measured fails with a reason and does not end the search, unless most networks fail."""
    evil = space.architecture(0).digest

    def refuse(architecture):
        if architecture.digest == evil:
            raise MeasurementFailed("the device changed")

    clock.before = refuse
    study = search(space, "latency_ms<=9", sampler="random", trials=26).study
    assert study.counts()["complete"] == 26
    assert {record.reason for record in study.trials() if record.digest == evil and record.same_as is None} == {
        "its latency: the device changed"
    }

    def fail(architecture):
        raise MeasurementFailed("the device changed")

    clock.before = fail
    result = search(space, "latency_ms<=9", trials=26)
    assert result.failed and "failed, the last with: its latency: the device changed" in result.ended


def test_a_search_ends_when_nothing_keeps_the_limit(space, clock, monkeypatch):
    """The search ends after a fixed number of consecutive networks that are too slow, with a message."""
    monkeypatch.setattr(proposer, "MAX_TOO_SLOW", 7)
    result = search(space, "latency_ms<=0.0001", trials=5)
    assert result.ended == "each of the last 7 networks measured exceeds a limit on latency"
    assert len(clock.asked) == 7 and result.study.counts()["complete"] == 0


def test_ctrl_c_while_it_measures_leaves_no_failed_trial(space, clock):
    """Ctrl-C ends the measuring process too, and the trial, which has not started, is not marked as failed."""

    def interrupt(architecture):
        if len(clock.asked) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            raise MeasurementFailed("the measuring process ended")

    clock.before = interrupt
    result = search(space, "latency_ms<=9", sampler="random", trials=20)
    assert result.interrupted and [record.state for record in result.study.trials()] == ["complete", "complete"]


def test_a_measurement_survives_a_trial_number_taken_by_another_worker(space, clock, url):
    """A measured network gets the next trial number without a second measurement."""

    def overtake(architecture):
        clock.before = lambda architecture: None
        other = open_writer(url, "one", "elsewhere:1:1:a")
        other.begin(
            0,
            Proposal(
                space.architecture(26).digest,
                space.architecture(26).to_json(),
                space.unrank(26).choices,
                {"macs": 1},
                5,
            ),
        )

    clock.before = overtake
    study = search(space, "latency_ms<=9", sampler="random", storage=url, trials=3).study
    measured = [record.digest for record in study.trials() if record.latency and record.same_as is None]
    assert sorted(clock.asked) == sorted(measured) and study.trials()[1].digest == clock.asked[0]


def test_latency_is_an_objective_of_trainings(space, clock, url):
    """Latency appears in costs, objectives and front, and a worker in another environment is refused with the
    difference."""
    settings = {"data": "digits", "subset": 300, "epochs": 1, "workers": 1, "stopping": "none"}
    objectives = {"accuracy": "max", "latency_ms": "min"}
    search(space, "macs<=400k", evaluate=None, storage=url, objectives=objectives, trials=2, **settings)
    study = open_study(url, "one")
    for record in study.trials():
        assert record.state in ("complete", "rejected")
        if record.state == "complete":
            assert record.objectives["latency_ms"] == record.costs["latency_ms"] == record.costs["macs"] / 1e6
    front = study.frontier("latency_ms", "accuracy")
    assert front and study.best_under([parse_limit("latency_ms<=9")]).number in {record.number for record in front}
    clock.environment = replace(HERE, machine=replace(HERE.machine, device_name="another"))
    with pytest.raises(
        StoreError, match=r'created with other settings \(latency.device_name: "a test\'s", now "another"\)'
    ):
        join_search(url, "one", trials=3)
    clock.environment = replace(HERE, machine=replace(HERE.machine, commit="later"))
    assert join_search(url, "one", trials=3, workers=1, stopping="none").study.counts()["complete"] == 3


def test_latency_limits_of_two_environments_are_not_compared(space, clock, url):
    """A study with a latency limit may resume in another environment, but its latencies are compared only on
    request."""
    search(space, "latency_ms<=9", sampler="random", storage=url, trials=3)
    clock.environment = replace(HERE, machine=replace(HERE.machine, versions={"torch": "3"}))
    search(space, "latency_ms<=9", sampler="random", storage=url, trials=6)
    study = open_study(url, "one")
    assert study.frontier() and study.best_under([parse_limit("macs<=9G")])
    for ask in (
        lambda **how: study.frontier("latency_ms", **how),
        lambda **how: [study.best_under([parse_limit("latency_ms<=9")], **how)],
    ):
        with pytest.raises(StoreError, match=r"latency_ms was measured in 2 environments \(torch 2 or 3\)"):
            ask()
        assert ask(mix_environments=True)
    assert study.mixed_environments() == "2 environments (torch 2 or 3)"


def test_latencies_at_different_clock_rates_are_not_compared(space, clock, url):
    """Latencies measured at very different GPU clock rates are compared only on request; normal clock variation is
    accepted."""
    for trials, mhz in ((2, 1980.0), (4, 1905.0)):
        clock.state = {"sm_mhz": [mhz - 300, mhz], "celsius": [40, 41]}
        search(space, "latency_ms<=9", sampler="random", storage=url, trials=trials)
    study = open_study(url, "one")
    assert study.frontier("latency_ms") and study.mixed_environments() == ""
    clock.state = {"sm_mhz": [1410.0, 1410.0]}
    search(space, "latency_ms<=9", sampler="random", storage=url, trials=6)
    assert study.mixed_environments() == "one environment at clocks from 1410 to 1980 MHz"
    with pytest.raises(StoreError, match="latency_ms was measured in one environment at clocks from 1410 to 1980 MHz"):
        study.frontier("latency_ms")
    assert study.frontier("latency_ms", mix_environments=True) and study.frontier()


def test_the_callers_own_latency_is_not_measured(space, clock):
    """A latency that ``evaluate`` or ``costs`` returns is not measured; with a limit on it, it is measured before."""
    brought = {"accuracy": "max", "latency_ms": "min"}

    def both(architecture, **settings):
        return {**good(architecture, **settings), "latency_ms": 3.0}

    study = search(space, evaluate=both, objectives=brought, trials=2).study
    assert [record.objectives["latency_ms"] for record in study.trials()] == [3.0, 3.0]
    own = {"latency_ms": lambda architecture, choices: 4.0}
    study = search(space, "latency_ms<=4", costs=own, objectives=brought, trials=2).study
    assert [record.costs["latency_ms"] for record in study.trials()] == [4.0, 4.0]
    assert not clock.asked and not study.trials()[0].latency
    study = search(space, "latency_ms<=4", evaluate=both, objectives=brought, trials=2).study
    assert len(clock.asked) == 2 and all(record.objectives["latency_ms"] < 3.0 for record in study.trials())
    with pytest.raises(StudyError, match="are known without training"):
        search(space, evaluate=None, objectives={"latency_ms": "min", "macs": "min"})

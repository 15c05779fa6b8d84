"""The measurement protocol on a simulated clock: order, length and drift."""

from __future__ import annotations

import pytest
from torch import nn

from explorer.measure.latency import Subject, measure_on
from explorer.measure.protocol import (
    MeasurementFailed,
    Run,
    StoppingRule,
    correct_drift,
    drift,
    round_slowdowns,
    time_interleaved,
    warm_up,
)
from explorer.measure.settings import Setting
from explorer.measure.statistics import median
from explorer.networks.ops.base import TensorShape
from tests.measure.machines import Clock, Machine, Timed


def middle(runs) -> float:
    return median([run.ms for run in runs])


def stopping_rule(**changes) -> StoppingRule:
    usual = {"has_converged": lambda runs: True, "turn_ms": 4, "min_runs": 12, "max_ms": 1e6, "max_warm_up_ms": 1e6}
    return StoppingRule(**{**usual, **changes})


def constant(ms: float):
    return lambda moment: ms


def test_workloads_take_turns_with_the_reference_between():
    """After the warm-ups the order is R A B C, R A B C, ..., R, so no workload runs in one block."""
    clock = Clock()
    workloads = [Timed(name, clock, constant(1)) for name in "ABC"]
    timings, kept = time_interleaved(workloads, Timed("R", clock, constant(1)), stopping_rule())
    turns = clock.log[-13:]
    assert "".join(turns) == "RABC" * 3 + "R"
    assert [len(timing.runs) for timing in timings] == [12, 12, 12]
    assert [timing.rounds for timing in timings] == [[0, 1, 2]] * 3
    assert kept.rounds == [0, 1, 2, 3]


def test_a_turn_has_a_fixed_length():
    """In a turn a fast workload runs several times and a slow one once."""
    clock = Clock()
    quick, slow = Timed("A", clock, constant(0.5)), Timed("B", clock, constant(100))
    (quick, slow), _ = time_interleaved([quick, slow], Timed("R", clock, constant(1)), stopping_rule(min_runs=8))
    assert {len(turn) for turn in quick.turns} == {8}
    assert {len(turn) for turn in slow.turns} == {1}


def test_each_workload_stops_by_itself():
    """Each workload runs until its times are stable or its time is used up, with a minimum number of runs."""
    clock = Clock()
    rules = stopping_rule(
        turn_ms=1, min_runs=6, has_converged=lambda runs: runs[0].ms == 1 and len(runs) >= 20, max_ms=60
    )
    workloads = [Timed("A", clock, constant(1)), Timed("B", clock, constant(2)), Timed("C", clock, constant(50))]
    timings, _ = time_interleaved(workloads, Timed("R", clock, constant(1)), rules)
    assert [len(timing.runs) for timing in timings] == [20, 30, 6]


def test_a_short_network_has_a_limited_number_of_runs():
    """A network of some microseconds whose times do not converge ends long before its time is used up."""
    clock = Clock()
    rule = stopping_rule(has_converged=lambda runs: False, max_runs=1_000)
    (timing,), _ = time_interleaved([Timed("A", clock, constant(0.01))], Timed("R", clock, constant(1)), rule)
    assert len(timing.runs) == 1_200  # three turns of 400 runs


def test_warm_up_until_the_running_median_is_stable():
    """A device that speeds up is warmed up longer, a stable one takes ten runs, and an unstable one stops at the time
    limit."""
    clock = Clock()
    assert len(warm_up(Timed("A", clock, constant(1)), max_ms=1e6)) == 10
    speeding = iter([*[3.0 - 0.1 * step for step in range(20)], *[1.0] * 100])
    runs = warm_up(Timed("A", clock, lambda moment: next(speeding)), max_ms=1e6)
    assert 25 <= len(runs) <= 35 and {run.ms for run in runs[-5:]} == {1.0}
    growing = iter(range(1, 1000))
    runs = warm_up(Timed("A", clock, lambda moment: float(next(growing))), max_ms=500)
    assert 500 <= sum(run.ms for run in runs) < 540


def slope(moment: float) -> float:
    """A device that becomes 6% slower within 1,000 ms."""
    return 1 + 0.06 * min(moment, 1000) / 1000


def test_drift_is_detected_and_corrected():
    """On a device that slows down by some per cent, corrected times agree within 0.5%, and uncorrected ones do not."""
    clock = Clock()
    workload = Timed("A", clock, lambda moment: 2 * slope(moment))
    reference = Timed("R", clock, slope)
    (timing,), kept = time_interleaved([workload], reference, stopping_rule(min_runs=300))
    slowdowns = round_slowdowns(kept, middle)
    runs = correct_drift(timing, slowdowns)
    raw = [run.ms for run in timing.runs]
    assert 0.04 < drift(slowdowns) < 0.07
    assert max(raw) / min(raw) > 1.04
    assert max(run.ms for run in runs) / min(run.ms for run in runs) < 1.005
    assert runs[0].parts == pytest.approx((runs[0].ms,))


def test_too_much_drift_is_an_error():
    """Drift above 10% is not corrected, and the error gives its size."""
    clock = Clock()
    half_way = Timed("A", clock, lambda moment: 1.0 if moment < 100 else 1.5)
    reference = Timed("R", clock, lambda moment: 1.0 if moment < 100 else 1.5)
    (timing,), kept = time_interleaved([half_way], reference, stopping_rule(min_runs=200))
    with pytest.raises(MeasurementFailed, match=r"speed changed by 50% during the measurement, at most 10%"):
        correct_drift(timing, round_slowdowns(kept, middle))


class TestWholeMeasurement:
    subjects = [Subject(nn.Identity(), TensorShape(3, 8, 8), name) for name in "ab"]

    def measured(self, machine):
        return measure_on(machine, self.subjects, [Setting(batch=4)])

    def test_corrected_by_the_reference(self):
        """Two networks on a drifting device keep their ratio, and both report the drift."""
        a, b = self.measured(Machine(slope, costs=[2.0, 3.0]))
        assert (a.digest, b.digest) == ("a", "b")
        assert b.reported_ms / a.reported_ms == pytest.approx(1.5, rel=0.003)
        assert a.drift == b.drift > 0.005
        assert a.throughput == pytest.approx(4000 / a.reported_ms)
        assert a.p05_ms <= a.ci95_ms[0] <= a.median_ms <= a.ci95_ms[1] <= a.p95_ms
        assert not a.contended

    def test_an_unstable_attempt_is_repeated(self):
        """A disturbance in the first attempt causes a second one."""
        machine = Machine(lambda moment: 2.0 if 150 < moment < 250 else 1.0, costs=[2.0, 3.0])
        a, b = self.measured(machine)
        assert (a.reported_ms, b.reported_ms) == (2.0, 3.0)
        assert a.drift == 0

    def test_an_unstable_device_is_an_error(self):
        """A device that keeps changing gives an error and no number."""
        machine = Machine(lambda moment: 2.0 if moment % 200 < 100 else 1.0, costs=[2.0, 3.0])
        with pytest.raises(MeasurementFailed, match="measure again when it is idle"):
            self.measured(machine)

    def test_contention_is_reported(self):
        """Every result includes the device's notes about other load and is marked as contended."""
        for latency in self.measured(Machine(lambda moment: 1.0, costs=[2.0, 3.0], notes=["other processes used it"])):
            assert latency.contended and latency.notes == ("other processes used it",)


def test_runs_are_distributed_evenly():
    """The CPU statistic adds the shortest times of the parts, so each part needs only one undisturbed run."""
    from explorer.measure.cpu import has_converged, low_statistic

    runs = [Run(5, (1.0, 4.0)), Run(5, (3.0, 2.0)), Run(9, (5.0, 4.0))]
    assert low_statistic(runs) == 3.0
    assert low_statistic([*runs, Run(0.0, (0.0,) * len(runs[0].parts))]) == 3.0  # a clock that had not moved on
    assert not has_converged([*runs, Run(9, (5.0, 4.0))] * 2)  # a twentieth of the time that it needs
    assert has_converged([*runs, Run(9, (5.0, 4.0))] * 50)
    assert not has_converged([*[*runs, Run(9, (5.0, 4.0))] * 50, Run(3, (1.0, 1.0))])

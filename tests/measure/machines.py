"""Simulated devices: the duration of a run is a function of its start time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

from explorer.measure.protocol import Run, StoppingRule
from explorer.measure.statistics import median


class Clock:
    """A clock in milliseconds that advances only while something runs. ``log`` lists who ran, in order."""

    def __init__(self):
        self.now = 0.0
        self.log: list[str] = []


class Timed:
    """A workload whose runs each take ``took(moment)`` ms."""

    def __init__(self, name: str, clock: Clock, took: Callable[[float], float]):
        self.name, self._clock, self._took = name, clock, took

    def run(self, times: int) -> list[Run]:
        runs = []
        for _ in range(times):
            ms = self._took(self._clock.now)
            self._clock.now += ms
            runs.append(Run(ms, (ms,)))
        self._clock.log.append(self.name)
        return runs


class Machine:
    """A device with the interface of ``Cpu`` and ``Cuda``. ``pace(moment)`` is its slowdown, and ``costs`` maps a
    network's digest to its milliseconds."""

    name = "cpu"
    threads = 1
    corrects_drift = True

    def __init__(self, pace: Callable[[float], float], costs: list[float], notes: list[str] | None = None):
        self.clock = Clock()
        self.stopping_rule = StoppingRule(
            has_converged=lambda runs: True, turn_ms=5, min_runs=50, max_ms=1e6, max_warm_up_ms=50
        )
        self._pace, self._costs, self._notes = pace, [*costs, 1.0], notes or []

    @contextmanager
    def session(self):
        yield

    def workload(self, form, setting, shape):
        cost = self._costs.pop(0)
        return Timed(f"{cost:g}", self.clock, lambda moment: cost * self._pace(moment))

    def statistic(self, runs):
        return median([run.ms for run in runs])

    def method(self):
        return "by a clock of the test's"

    def limits(self):
        return {"sm_mhz": 1000.0}

    def observe(self):
        return None

    def disturbance(self, before, after):
        return self._notes

    def readings(self, before, after):
        return None

    def peak_memory(self, workload):
        return None

    def joules_per_image(self, workload):
        return None

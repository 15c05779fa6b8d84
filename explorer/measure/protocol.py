"""The measurement protocol of every device: networks are timed in turn (A B A B) with a fixed reference network.

A device provides a *workload* for each network and setting, which runs the network and returns the time of each run.
This module decides how often and in which order workloads run. It reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Protocol

from explorer.errors import MeasurementError
from explorer.measure.statistics import is_steady, median

VERSION = 1  # of this protocol; part of every latency's environment
MIN_WARM_UP_RUNS = 5
MAX_DRIFT = 0.10  # of the reference's time; larger drifts cannot be corrected reliably


class MeasurementFailed(MeasurementError):
    """A measurement with valid arguments failed: the device changed during it, or the measuring process died."""


class Run(NamedTuple):
    """One pass of one batch through a network.

    Attributes:
        ms: Wall time in milliseconds.
        parts: The network's own time in milliseconds, one number for each consecutive part of the network; a single
            number where the network cannot be divided.
    """

    ms: float
    parts: tuple[float, ...]


class Workload(Protocol):
    """A network on a device, ready to run with its input."""

    def run(self, times: int) -> list[Run]:
        """Run the network ``times`` times in a row."""
        ...


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When the measurement of a workload ends.

    A workload is done after ``max_ms`` or ``max_runs``, or earlier once it has ``min_runs`` runs that have converged.
    It always gets at least ``required_runs``.

    Attributes:
        has_converged: Returns whether the runs so far are enough for the reported statistic.
        turn_ms: Length of one turn, in milliseconds. A turn has at least one run.
        min_runs: Fewest runs before ``has_converged`` is called.
        max_ms: Most wall time for the runs of one workload, in milliseconds.
        max_warm_up_ms: Most wall time for the warm-up of one workload, in milliseconds.
        required_runs: Fewest runs, whatever their time. The extremes of six values are the smallest sample that
            encloses the median with 95% confidence.
        max_runs: Most runs. All of them are kept and are read after each round, so that a million runs of a network of
            some microseconds would take minutes to evaluate.
    """

    has_converged: Callable[[Sequence[Run]], bool]
    turn_ms: float
    min_runs: int
    max_ms: float
    max_warm_up_ms: float
    required_runs: int = 6
    max_runs: int = 100_000


@dataclass(slots=True)
class Timings:
    """The runs of one workload.

    Attributes:
        turns: The runs, one list for each turn.
        rounds: The number of the round of each turn.
    """

    turns: list[list[Run]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        """All runs, in the order in which they were made."""
        return [run for turn in self.turns for run in turn]


def warm_up(workload: Workload, max_ms: float) -> list[Run]:
    """Run a workload until its running median is steady.

    Args:
        workload: The workload.
        max_ms: Time after which the warm-up ends in any case, in milliseconds.

    Returns:
        The runs, at least MIN_WARM_UP_RUNS.
    """
    runs = workload.run(MIN_WARM_UP_RUNS)
    while not is_steady([run.ms for run in runs]) and sum(run.ms for run in runs) < max_ms:
        runs += workload.run(1)
    return runs


def time_interleaved(
    workloads: Sequence[Workload],
    reference: Workload,
    stopping_rule: StoppingRule,
    on_warm: Callable[[], object] = lambda: None,
) -> tuple[list[Timings], Timings]:
    """Time workloads in rounds: in each, the reference takes one turn, then each workload that is not done yet.

    A change of the device therefore affects all workloads alike and is visible in the reference. The last turn is the
    reference's.

    Args:
        workloads: The workloads to time.
        reference: The workload of the reference network.
        stopping_rule: When a workload is done.
        on_warm: Called after the warm-up of all workloads, before the first round.

    Returns:
        The timings of each workload, in the order given, and those of the reference.
    """
    all_workloads = [reference, *workloads]
    runs_per_turn = []
    for workload in all_workloads:
        typical_ms = median([run.ms for run in warm_up(workload, stopping_rule.max_warm_up_ms)[-5:]])
        runs_per_turn.append(max(1, round(stopping_rule.turn_ms / typical_ms)) if typical_ms > 0 else 1)
    on_warm()
    timings = [Timings() for _ in all_workloads]

    def take_turn(index: int) -> None:
        timings[index].turns.append(all_workloads[index].run(runs_per_turn[index]))
        timings[index].rounds.append(number)

    number, unfinished = 0, list(range(1, len(all_workloads)))
    while unfinished:
        take_turn(0)
        for index in unfinished:
            take_turn(index)
        unfinished = [index for index in unfinished if not _is_done(timings[index].runs, stopping_rule)]
        number += 1
    take_turn(0)
    return timings[1:], timings[0]


def _is_done(runs: Sequence[Run], rule: StoppingRule) -> bool:
    """Return whether the workload needs no more runs."""
    if len(runs) < rule.required_runs:
        return False
    if len(runs) >= rule.max_runs or sum(run.ms for run in runs) >= rule.max_ms:
        return True
    return len(runs) >= rule.min_runs and rule.has_converged(runs)


def round_slowdowns(reference: Timings, statistic: Callable[[Sequence[Run]], float]) -> list[float]:
    """Return how slow the device was in each round, relative to the whole measurement.

    Args:
        reference: Timings of the reference network: a turn before and after each round.
        statistic: The reported time of some runs, in milliseconds.

    Returns:
        For each round, the mean reference time of the turns before and after it over the median reference time. All
        are 1.0 on a device that does not drift.
    """
    turn_ms = [statistic(turn) for turn in reference.turns]
    typical_ms = median(turn_ms)
    return [(before + after) / 2 / typical_ms for before, after in pairwise(turn_ms)]


def drift(slowdowns: Sequence[float]) -> float:
    """Return the relative slowdown of the slowest round against the fastest."""
    return max(slowdowns) / min(slowdowns) - 1


def correct_drift(timings: Timings, slowdowns: Sequence[float]) -> list[Run]:
    """Return the runs, each divided by the slowdown of its round.

    Args:
        timings: The timings of one workload.
        slowdowns: The slowdown of each round, from ``round_slowdowns``.

    Raises:
        MeasurementFailed: The drift is above MAX_DRIFT.
    """
    change = drift(slowdowns)
    if change > MAX_DRIFT:
        raise MeasurementFailed(
            f"the device's speed changed by {change:.0%} during the measurement, at most {MAX_DRIFT:.0%} can be"
            " corrected; measure again when it is idle and its clocks are steady"
        )
    return [
        Run(run.ms / slowdowns[number], tuple(part / slowdowns[number] for part in run.parts))
        for turn, number in zip(timings.turns, timings.rounds)
        for run in turn
    ]

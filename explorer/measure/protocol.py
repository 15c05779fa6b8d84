"""The order in which networks are timed, on any device: A B A B, a fixed reference between them.

A device brings a *contestant* for each network and setting: something that can be run some times in a row and
says how long each run took. What is decided here is how often and in which order; no clock is read but the
contestants' own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Protocol

from explorer.errors import MeasurementError
from explorer.measure.statistics import is_steady, median

VERSION = 1  # of the way of measuring; part of every latency's environment
LEAST_WARM_UPS = 5
MOST_DRIFT = 0.10  # of the reference, beyond which there is no telling what else it did to the networks


class MeasurementFailed(MeasurementError):
    """What was asked for can be measured, and this time it could not: the device changed under way, a process died."""


class Run(NamedTuple):
    """One pass of one batch. ``ms``: as a waiting user sees it; ``parts``: the network's own share of that, in
    stretches of its way, in ms; one stretch where it cannot be divided."""

    ms: float
    parts: tuple[float, ...]


class Contestant(Protocol):
    def run(self, times: int) -> list[Run]:
        """Runs it ``times`` times in a row."""
        ...


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to go on. A turn is as many runs as fill ``turn_ms``, at least one; a contestant is done when it has
    ``least_runs`` and ``settled`` says so of its runs, or ``most_ms`` have gone into it; never with fewer than
    ``fewest_runs``. ``warm_up_ms`` is the most that goes into its warming up."""

    settled: Callable[[Sequence[Run]], bool]
    turn_ms: float
    least_runs: int
    most_ms: float
    warm_up_ms: float
    fewest_runs: int = 6  # the fewest whose extremes are a 95% interval of the median


@dataclass(slots=True)
class Timings:
    """A contestant's runs, turn by turn; ``rounds``: in which round each turn was."""

    turns: list[list[Run]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        return [run for turn in self.turns for run in turn]


def warm_up(contestant: Contestant, most_ms: float) -> list[Run]:
    """Runs it until the running median is steady, at least LEAST_WARM_UPS times, and no longer than ``most_ms``."""
    runs = contestant.run(LEAST_WARM_UPS)
    while not is_steady([run.ms for run in runs]) and sum(run.ms for run in runs) < most_ms:
        runs += contestant.run(1)
    return runs


def take_turns(
    contestants: Sequence[Contestant],
    reference: Contestant,
    effort: Effort,
    on_warm: Callable[[], object] = lambda: None,
) -> tuple[list[Timings], Timings]:
    """Times all of them in rounds: the reference, then each contestant that is not done, then the next round.

    So what changes on the device meets all of them alike, and shows in the reference. Ends with the reference.
    ``on_warm`` is called before the first round, when all are warm. Returns each one's timings, and the reference's.
    """
    everyone = [reference, *contestants]
    times = []
    for contestant in everyone:
        typical = median([run.ms for run in warm_up(contestant, effort.warm_up_ms)[-5:]])
        times.append(max(1, round(effort.turn_ms / typical)) if typical > 0 else 1)
    on_warm()
    timings = [Timings() for _ in everyone]

    def turn(place: int) -> None:
        timings[place].turns.append(everyone[place].run(times[place]))
        timings[place].rounds.append(number)

    number, waiting = 0, list(range(1, len(everyone)))
    while waiting:
        turn(0)
        for place in waiting:
            turn(place)
        waiting = [place for place in waiting if not _is_done(timings[place].runs, effort)]
        number += 1
    turn(0)
    return timings[1:], timings[0]


def _is_done(runs: Sequence[Run], effort: Effort) -> bool:
    if len(runs) < effort.fewest_runs:
        return False
    if sum(run.ms for run in runs) >= effort.most_ms:
        return True
    return len(runs) >= effort.least_runs and effort.settled(runs)


def pace(reference: Timings, statistic: Callable[[Sequence[Run]], float]) -> list[float]:
    """For each round, how slow the device was in it: the ``statistic`` of the reference before and after the round,
    over its median of the whole measurement. 1.0 throughout on a device that does not drift."""
    each = [statistic(turn) for turn in reference.turns]
    usual = median(each)
    return [(before + after) / 2 / usual for before, after in pairwise(each)]


def drift(paces: Sequence[float]) -> float:
    """The share by which the slowest round was slower than the fastest."""
    return max(paces) / min(paces) - 1


def corrected(timings: Timings, paces: Sequence[float]) -> list[Run]:
    """The runs, each over its round's pace. Raises MeasurementFailed when the pace changed by more than MOST_DRIFT, for
    then the correction would be a guess."""
    moved = drift(paces)
    if moved > MOST_DRIFT:
        raise MeasurementFailed(
            f"the device's pace changed by {moved:.0%} during the measurement, at most {MOST_DRIFT:.0%} can be"
            " corrected; measure again when it is idle and its clocks are steady"
        )
    return [
        Run(run.ms / paces[number], tuple(part / paces[number] for part in run.parts))
        for turn, number in zip(timings.turns, timings.rounds)
        for run in turn
    ]

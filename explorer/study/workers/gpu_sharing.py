"""The number of trainings that share one GPU.

A probe runs 1, 2, 4, ... trainings in parallel for some seconds each, until more of them gain little throughput.
"""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from explorer.costs.analytic import count_cost
from explorer.networks.architecture import Architecture
from explorer.records import Epoch
from explorer.space.search_space import SearchSpace
from explorer.study.workers.jobs import Job, Outcome, ThroughputProbe
from explorer.study.workers.pool import ProcessPool
from explorer.system.cores import usable_cores
from explorer.training.recipe import Recipe

MAX_TRAININGS = 16  # largest number of trainings in the probe
SAMPLED_NETWORKS = 9  # random networks, of which the median is tried; odd, so that it is one of them
WINDOW_SECONDS = 2.0  # for which the throughput of each number of trainings is measured
START_SECONDS = 60.0  # that the trainings have to finish their first round
MIN_SPEEDUP = 1.15  # of the total throughput for which it is worth to double the number of trainings
MEMORY_SHARE = 0.5  # of the free memory that trainings of the median network may use: other networks are larger
_log = logging.getLogger(__name__)


class MemoryUse(NamedTuple):
    """The memory of a device, in bytes.

    Attributes:
        used: Memory that one training uses; 0 on a CPU.
        free: Memory that is free for all trainings; 0 on a CPU.
    """

    used: float
    free: float


class Sharing(NamedTuple):
    """What the probe measured.

    Attributes:
        memory: Memory of one training alone.
        rates: Number of parallel trainings to their total throughput in rounds a second, up to the number after which
            more gain little.
    """

    memory: MemoryUse
    rates: dict[int, float]

    @property
    def chosen(self) -> int:
        """The number of parallel trainings after which more of them gain little throughput."""
        return choose_count(self.rates)


def median_network(space: SearchSpace) -> Architecture:
    """Return the network of median MACs among some random networks of the space."""
    drawn = [space.architecture(derivation) for derivation in space.sample(SAMPLED_NETWORKS, seed=0)]
    return sorted(drawn, key=lambda architecture: count_cost(architecture).macs)[SAMPLED_NETWORKS // 2]


def probe_side_by_side(
    architecture: Architecture, recipe: Recipe, device: str, precision: str, most: int | None = None
) -> int:
    """Return the number of parallel trainings after which more of them gain little throughput.

    Args:
        architecture: The network to train.
        recipe: Its recipe.
        device: "cpu", "cuda" or "cuda:N".
        precision: Its precision, or "auto".
        most: Largest number; twice the usable cores by default, since each training needs a process that feeds it.

    Returns:
        1, 2, 4, ...; 1 if not even one training could be tried: the first trial of the search reports the cause.
    """
    measured = measure_sharing(architecture, recipe, device, precision, most)
    if measured is None:
        return 1
    rates = ", ".join(f"{count}: {rate:.3g} rounds/s" for count, rate in measured.rates.items())
    _log.info("%d parallel trainings on %s (%s)", measured.chosen, device, rates)
    return measured.chosen


def measure_sharing(
    architecture: Architecture, recipe: Recipe, device: str, precision: str, most: int | None = None
) -> Sharing | None:
    """Measure the throughput of 1, 2, 4, ... parallel trainings until more of them gain little.

    Args:
        architecture: As for ``probe_side_by_side``, like all further arguments.
        recipe: The recipe.
        device: The device.
        precision: The precision.
        most: Largest number.

    Returns:
        Memory and throughput; None if not even one training could be tried.
    """
    most = min(MAX_TRAININGS, 2 * usable_cores()) if most is None else most
    memory = _try_alone(architecture, ThroughputProbe(recipe, device, precision, rounds=3))
    if memory is None:
        return None
    fitting = int(MEMORY_SHARE * memory.free / memory.used) if memory.used else most
    pool = ProcessPool(ThroughputProbe(recipe, device, precision, rounds=None), most)
    rates: dict[int, float] = {}
    try:
        count = 1
        while count <= min(most, max(1, fitting)):
            for number in range(most - pool.room, count):
                pool.start(_job(architecture, number))
            rate = _throughput(pool, count)
            if rate is None:
                break
            rates[count] = rate
            if count > 1 and rate < MIN_SPEEDUP * rates[count // 2]:
                break
            count *= 2
    finally:
        pool.stop()
    return Sharing(memory, rates)


def choose_count(rates: dict[int, float]) -> int:
    """Return the largest number of trainings up to which each doubling increased the throughput by ``MIN_SPEEDUP``.

    Args:
        rates: Number of parallel trainings to their total throughput.
    """
    chosen = 1
    for count in sorted(rates)[1:]:
        if rates[count] < MIN_SPEEDUP * rates[chosen]:
            break
        chosen = count
    return chosen


def _job(architecture: Architecture, number: int) -> Job:
    return Job(number, architecture.digest, architecture.to_json(), {}, seed=number)


def _try_alone(architecture: Architecture, probe: ThroughputProbe) -> MemoryUse | None:
    """Train a network alone and return the memory that it used; None if it failed or took too long."""
    pool = ProcessPool(probe, 1)
    pool.start(_job(architecture, 0))
    until = time.monotonic() + START_SECONDS
    try:
        while time.monotonic() < until:
            for _, message in pool.messages(0.2):
                if not isinstance(message, Epoch):
                    return MemoryUse(**message.measured) if isinstance(message, Outcome) else None
    finally:
        pool.stop()
    return None


def _throughput(pool: ProcessPool, count: int) -> float | None:
    """Return the rounds per second of all ``count`` trainings together; None if one ends."""
    started: set[int] = set()
    until = time.monotonic() + START_SECONDS
    while len(started) < count and time.monotonic() < until:
        for number, message in pool.messages(0.2):
            if not isinstance(message, Epoch):
                return None
            started.add(number)
    if len(started) < count:
        return None
    for _ in pool.messages(0):  # rounds that ended before the window
        pass
    rounds, began = 0, time.monotonic()
    while time.monotonic() < began + WINDOW_SECONDS:
        for _, message in pool.messages(0.1):
            if not isinstance(message, Epoch):
                return None
            rounds += 1
    return rounds / (time.monotonic() - began)

"""How many trainings share one GPU: found by letting more and more of them train side by side for some seconds."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from explorer.costs.analytic import count_cost
from explorer.networks.architecture import Architecture
from explorer.records import Epoch
from explorer.space.search_space import SearchSpace
from explorer.study.workers.jobs import Job, Outcome, Rehearsal
from explorer.study.workers.pool import Children
from explorer.system.cores import usable_cores
from explorer.training.recipe import Recipe

MOST = 16
DRAWS = 9
WINDOW = 2.0  # seconds for which each number of trainings is watched
PATIENCE = 60.0  # seconds that they may take to begin
GAIN = 1.15  # by how much twice as many must train faster together
MEMORY_SHARE = 0.5  # of what is free: other networks of the space are larger than the typical one
_log = logging.getLogger(__name__)


class Footprint(NamedTuple):
    """What one training takes of its device's memory, and what is free for all, in bytes."""

    used: float
    free: float


def typical(space: SearchSpace) -> Architecture:
    """The network of median MACs among some draws."""
    drawn = [space.architecture(derivation) for derivation in space.sample(DRAWS, seed=0)]
    return sorted(drawn, key=lambda architecture: count_cost(architecture).macs)[DRAWS // 2]


def probe_side_by_side(
    architecture: Architecture, recipe: Recipe, device: str, precision: str, most: int | None = None
) -> int:
    """The number of trainings of ``architecture`` at once, 1, 2, 4, ... up to ``most``, after which more gain little.

    ``most``: twice the CPU's cores when left out, for each training needs a process that feeds it. Where even one
    cannot be tried the answer is 1: a search's first trial will say why.
    """
    most = min(MOST, 2 * usable_cores()) if most is None else most
    footprint = _try_alone(architecture, Rehearsal(recipe, device, precision, rounds=3))
    if footprint is None:
        return 1
    fitting = int(MEMORY_SHARE * footprint.free / footprint.used) if footprint.used else most
    children = Children(Rehearsal(recipe, device, precision, rounds=None), most)
    rates: dict[int, float] = {}
    try:
        count = 1
        while count <= min(most, max(1, fitting)):
            for number in range(most - children.room, count):
                children.start(_job(architecture, number))
            rate = _rate(children, count)
            if rate is None:
                break
            rates[count] = rate
            if count > 1 and rate < GAIN * rates[count // 2]:
                break
            count *= 2
    finally:
        children.stop()
    chosen = choose(rates)
    told = ", ".join(f"{count}: {rate:.3g} rounds/s" for count, rate in rates.items())
    _log.info("%d trainings side by side on %s (%s)", chosen, device, told)
    return chosen


def choose(rates: dict[int, float]) -> int:
    """Of numbers of trainings with what they do together a second, the last that was worth doubling to."""
    chosen = 1
    for count in sorted(rates)[1:]:
        if rates[count] < GAIN * rates[chosen]:
            break
        chosen = count
    return chosen


def _job(architecture: Architecture, number: int) -> Job:
    return Job(number, architecture.digest, architecture.to_json(), {}, seed=number)


def _try_alone(architecture: Architecture, rehearsal: Rehearsal) -> Footprint | None:
    children = Children(rehearsal, 1)
    children.start(_job(architecture, 0))
    until = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < until:
            for _, message in children.messages(0.2):
                if not isinstance(message, Epoch):
                    return Footprint(**message.measured) if isinstance(message, Outcome) else None
    finally:
        children.stop()
    return None


def _rate(children: Children, count: int) -> float | None:
    """Rounds a second of all ``count`` trainings together, once all have begun; None when one ends."""
    begun: set[int] = set()
    until = time.monotonic() + PATIENCE
    while len(begun) < count and time.monotonic() < until:
        for number, message in children.messages(0.2):
            if not isinstance(message, Epoch):
                return None
            begun.add(number)
    if len(begun) < count:
        return None
    for _ in children.messages(0):  # what came in before the window
        pass
    rounds, began = 0, time.monotonic()
    while time.monotonic() < began + WINDOW:
        for _, message in children.messages(0.1):
            if not isinstance(message, Epoch):
                return None
            rounds += 1
    return rounds / (time.monotonic() - began)

"""Searches whose latencies come from a formula instead of a measurement."""

from __future__ import annotations

from explorer.analysis.limits import parse_limit
from explorer.costs.analytic import count_cost
from explorer.measure.result import Latency, LatencyEnvironment
from explorer.records import Environment
from explorer.study.search import run_search
from tests.study.evaluations import good

HERE = LatencyEnvironment(
    Environment("cpu", "a test's", 1, "here", "3", {"torch": "2"}), 1, "float32", "nchw", "eager", 1
)


class Clock:
    """A fake measuring process: 1 ms per million MACs. ``asked`` lists the digests measured."""

    def __init__(self):
        self.asked: list[str] = []
        self.contended: list[bool] = []  # of the next measurements; an empty list means False
        self.environment = HERE
        self.state: dict | None = None
        self.before = lambda architecture: None

    def __call__(self, architectures, settings, device):
        (architecture,) = architectures
        self.asked.append(architecture.digest)
        self.before(architecture)
        ms = count_cost(architecture).macs / 1e6
        contended = self.contended.pop(0) if self.contended else False
        notes = ("a neighbour",) if contended else ()
        ms += 0.5 * len(self.contended) if contended else 0.0
        numbers = (ms, ms, ms, ms, (ms, ms), 9, 1e3 / ms)
        measured = (*numbers, "", self.environment, 1.0, 0.0, contended, notes, self.state)
        return [Latency(architecture.digest, *measured)]


def search(space, *limits, **settings):
    """Run a search, in memory by default."""
    bounds = tuple(map(parse_limit, limits))
    return run_search(space, **{"evaluate": good, "storage": None, "study": "one", "limits": bounds, **settings})

"""Simulation of many loose workers that share one study: trainings are replaced by their times, all else is real.

Each worker has its own writer. Its transactions run for real, one after another, and their measured time passes in the
simulation as time in which the database is busy, for all workers: so the simulated database has no two transactions at
the same time, unlike a real one. What a worker computes on its own machine passes only for itself: a proposal, and
making records of the rows that it has read. Renewals of leases, reads of the other workers' trials and observations of
their leases are included.
"""

from __future__ import annotations

import heapq
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from many_machines.table import OBJECTIVES, Trials
from sqlalchemy import Engine, event

from explorer.records import TrialRecord
from explorer.store import lease
from explorer.store.database import open_for_writing
from explorer.store.studies import create_study, find_study
from explorer.store.writer import StudyWriter

START_SECONDS = 10.0  # within which the workers start, as the processes of a job array do


@dataclass
class Worker:
    """A simulated worker.

    Attributes:
        writer: Its writer.
        revision: The revision up to which it has read the study.
        read: The number of trials that it has read.
        number: The trial that it runs.
        network: What it proposed.
        trained: Time of its trainings in seconds.
        began: When it started.
        ended: When its last trial ended.
    """

    writer: StudyWriter
    revision: int = 0
    read: int = 0
    number: int = 0
    network: int = 0
    trained: float = 0.0
    began: float = 0.0
    ended: float = 0.0

    def learn(self) -> None:
        """Read the trials that changed since the last read."""
        for record in self.writer.study.trials(self.revision, full=False):
            self.revision = max(self.revision, record.revision)
            self.read = max(self.read, record.number + 1)
        self.writer.known.revision, self.writer.known.count = self.revision, self.read

    def begin(self, trials: Trials, total: int) -> TrialRecord:
        """Begin a trial of its network with the next number."""
        numbered = partial(trials.proposal, of=self.network)
        return self.writer.begin(self.read, numbered(self.read), total, numbered)


@dataclass
class Busy:
    """The database, which does one thing at a time.

    Attributes:
        free: When it is free, in simulated seconds.
        seconds: In which it was busy.
        each: Measured seconds of each kind of operation.
        queries: Measured seconds of the queries and the commit of the operation that runs.
    """

    free: float = 0.0
    seconds: float = 0.0
    each: dict[str, list[float]] = field(default_factory=dict)
    queries: float = 0.0

    def listen(self, engine: Engine) -> None:
        """Measure the queries and commits of an engine, from sending each until the answer has arrived."""

        @event.listens_for(engine, "before_cursor_execute")
        def begin(*_: object) -> None:
            self.queries -= time.perf_counter()

        @event.listens_for(engine, "after_cursor_execute")
        def end(*_: object) -> None:
            self.queries += time.perf_counter()

        do_commit = engine.dialect.do_commit

        def commit(connection: Any) -> None:
            began = time.perf_counter()
            do_commit(connection)
            self.queries += time.perf_counter() - began

        engine.dialect.do_commit = commit  # type: ignore[method-assign]  # SQLAlchemy has no event after a commit

    def do(
        self, kind: str, now: float, work: Callable[..., Any], *arguments: Any, locks: bool = False
    ) -> tuple[float, Any]:
        """Run an operation; return when it ends in the simulation, and its result.

        Args:
            kind: The kind of operation.
            now: When it begins.
            work: The operation.
            *arguments: Its arguments.
            locks: Whether it locks the study. Else the database is busy only with its queries and its commit.
        """
        self.queries, began = 0.0, time.perf_counter()
        result = work(*arguments)
        took = time.perf_counter() - began
        server = took if locks else self.queries
        self.each.setdefault(kind, []).append(took)
        self.seconds += server
        self.free = max(now, self.free) + server
        return self.free + took - server, result


def simulate(storage: str, workers: int, trials: Trials, each: int, ask_seconds: float) -> dict[str, Any]:
    """Simulate workers that run ``each`` trials; return the measurements.

    Args:
        storage: Database.
        workers: Number of workers.
        trials: The trials.
        each: Trials of each worker.
        ask_seconds: Time of a proposal on the worker's machine.
    """
    database, name = open_for_writing(storage), f"simulation-{workers}-{time.time_ns()}"
    create_study(database, name, space_name="macro", space_text="", fingerprint={}, objectives=OBJECTIVES, seed=0)
    busy, following, renew = Busy(), count(), lease.renew_seconds()
    busy.listen(database.engine)
    place = [
        Worker(StudyWriter(find_study(database, name), f"host{number}:space:1:1:{number:08x}"))
        for number in range(workers)
    ]
    # (time, order, worker, kind)
    events: list[tuple[float, int, int, str]] = []
    order = count()

    def plan(when: float, worker: int, kind: str) -> None:
        heapq.heappush(events, (when, next(order), worker, kind))

    for number, worker in enumerate(place):
        worker.began = START_SECONDS * number / workers
        plan(worker.began, number, "ask")
        plan(worker.began + renew, number, "renew")
    left, active, first_cpu = [each] * workers, workers, time.process_time()
    while active:
        now, _, index, kind = heapq.heappop(events)
        worker = place[index]
        writer = worker.writer
        if kind == "renew":
            if left[index]:
                done, _ = busy.do("renew", now, writer.renew)
                done, _ = busy.do("reap", done, writer.reap)
                plan(now + renew, index, "renew")
            continue
        if kind == "end":
            now, _ = busy.do("finish", now, writer.finish, worker.number, trials.ending(worker.network), locks=True)
            left[index] -= 1
            worker.ended = now
            if not left[index]:
                active -= 1
                continue
        if kind in ("ask", "end"):
            now, _ = busy.do("read", now, worker.learn)
            plan(now + ask_seconds, index, "begin")  # the database is free while the worker computes
            continue
        worker.network = next(following)
        now, record = busy.do("begin", now, worker.begin, trials, len(place) * each, locks=True)
        worker.number = record.number
        took = trials.duration(worker.network)
        worker.trained += took
        plan(now + took, index, "end")
    counts = find_study(database, name).counts()
    database.close()
    assert counts["complete"] == workers * each, counts
    ended = max(worker.ended for worker in place)
    return {
        "workers": workers,
        "trials": workers * each,
        "simulated_seconds": ended,
        "of_ideal": sum(worker.trained for worker in place) / sum(worker.ended - worker.began for worker in place),
        "database_busy": busy.seconds / ended,
        "lives_per_second": workers * each / busy.seconds,
        "ms": {kind: 1000 * statistics.median(times) for kind, times in sorted(busy.each.items())},
        "cpu_seconds": time.process_time() - first_cpu,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }

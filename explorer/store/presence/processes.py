"""The processes that work on a study: each has a row, whose time it renews together with its leases.

A process that ends in order removes its row, or marks it as ended if the row names a log. The row of a process that was
killed stays for ``KEEP_SECONDS``, so that ``explorer status`` shows the loss.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from explorer.store.checking import describe
from explorer.store.database import StudyIdentity
from explorer.store.presence.stops import StopRequest, last_number, newer_than
from explorer.store.rows import lock_study, now, read_row, to_row
from explorer.store.schema import workers

KEEP_SECONDS = 24 * 3600.0  # after the last sign of life of a process, until its row is removed
# Set by the engine that starts a worker: ``Role.log`` and ``Role.stop_seen``.
LOG_VARIABLE, STOP_SEEN_VARIABLE = "EXPLORER_WORKER_LOG", "EXPLORER_STOP_SEEN"
SHORT_SECONDS = 5.0  # for which writing the row at the beginning, and removing it at the end, are retried


class Task(NamedTuple):
    """A training on another machine than that of its process.

    Attributes:
        number: Number of its trial.
        host: The machine; empty while it waits in the queue of its engine.
        device: The GPU or "cpu"; empty if unknown.
    """

    number: int
    host: str
    device: str


@dataclass(slots=True)
class Role:
    """What this process does for a study.

    Attributes:
        command: The command or function that it runs, such as "search".
        log: Path of its log; empty if it has none of its own.
        stop_seen: Number of the last request to stop that it knows; it obeys later ones. None: it has not begun, and
            knows those that there are when it begins.
    """

    command: str
    log: str = ""
    stop_seen: int | None = None

    @classmethod
    def of_worker(cls) -> Role:
        """Return the role of ``explorer worker``, with what the engine that started it says in the environment."""
        seen = os.environ.get(STOP_SEEN_VARIABLE, "")
        return cls("worker", os.environ.get(LOG_VARIABLE, ""), int(seen) if seen.isdecimal() else None)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that works on a study.

    Attributes:
        worker: Its name, from ``new_worker``.
        command: The command or function that it runs.
        engine: Where its trainings run, such as "local" or "ray".
        device: Its device with its name, such as "cuda:0 NVIDIA H200"; empty if unknown.
        cores: The CPU cores that it may use.
        slots: The trainings that it can run in parallel.
        tasks: Its trainings on other machines.
        target: The number of complete and stopped trials at which it ends, or None.
        started: When it began, in seconds since the epoch by the database's clock.
        beat: Its last sign of life.
        ended: When it ended; None if it has not, or was killed.
        stop_seen: Number of the last request to stop that it knows.
        log: Path of its log; empty if it has none of its own.
    """

    worker: str
    command: str
    engine: str = "local"
    device: str = ""
    cores: int = 1
    slots: int = 1
    tasks: tuple[Task, ...] = ()
    target: int | None = None
    started: float = 0.0
    beat: float = 0.0
    ended: float | None = None
    stop_seen: int = 0
    log: str = ""

    @property
    def host(self) -> str:
        """The machine that it runs on."""
        return self.worker.partition(":")[0]


def read_processes(connection: Connection, study_id: int) -> list[Process]:
    """Return all processes of a study in the order of their start. Raises DamagedRow."""
    query = select(workers).where(workers.c.study_id == study_id).order_by(workers.c.started, workers.c.worker)
    return [_to_process(row._asdict()) for row in connection.execute(query)]


def read_logs(study: StudyIdentity) -> dict[str, str]:
    """Return the path of the log of each worker that has one. Raises StoreError."""
    found = study.database.read(lambda connection: read_processes(connection, study.id))
    return {process.worker: process.log for process in found if process.log}


def _to_process(row: dict[str, Any]) -> Process:
    values = read_row(f"explorer_workers, worker {describe(row['worker'])}", workers, row)
    del values["study_id"]
    tasks = tuple(Task(each["number"], each["host"], each["device"]) for each in values["tasks"])
    return Process(**{**values, "tasks": tasks})


@dataclass
class Presence:
    """The row of this process in a study.

    Attributes:
        study: The study.
        process: This process, as its row shows it.
        role: What it does.
        stop: The request to stop that this process obeys, the strictest so far; None if there is none.
    """

    study: StudyIdentity
    process: Process
    role: Role
    stop: StopRequest | None = None

    def join(self) -> None:
        """Write the row, and remove rows of processes that ended long ago.

        Raises:
            StoreError: The database cannot be written to.
        """

        def work(connection: Connection) -> None:
            lock_study(connection, self.study.id)
            oldest = now(connection) - KEEP_SECONDS
            gone = (workers.c.study_id == self.study.id, workers.c.beat < oldest, workers.c.log == "")
            if connection.scalar(select(func.count()).select_from(workers).where(*gone)):
                connection.execute(workers.delete().where(*gone))
            self.beat(connection)

        self.study.database.write(work, retry_seconds=SHORT_SECONDS)

    def show(self, slots: int, tasks: Iterable[Task]) -> None:
        """Change what the row shows from the next beat on."""
        self.process = replace(self.process, slots=slots, tasks=tuple(tasks))

    def beat(self, connection: Connection) -> None:
        """Renew the row, and read the requests to stop, in a transaction of the study.

        The first call notes which requests are older than this process.
        """
        moment = now(connection)
        if not self.process.started:
            seen = self.role.stop_seen
            seen = last_number(connection, self.study.id) if seen is None else seen
            self.process = replace(self.process, started=moment, log=self.role.log, stop_seen=seen)
        for request in newer_than(connection, self.study.id, self.process.stop_seen):
            at_once = request.at_once or (self.stop is not None and self.stop.at_once)
            self.stop = replace(request, at_once=at_once)
            self.process = replace(self.process, stop_seen=request.number)
        self.process, self.role.stop_seen = replace(self.process, beat=moment), self.process.stop_seen
        values = to_row(workers, {**asdict(self.process), "tasks": [each._asdict() for each in self.process.tasks]})
        if connection.execute(workers.update().where(*self._own).values(**values)).rowcount == 0:
            connection.execute(workers.insert().values(study_id=self.study.id, **values))

    def leave(self) -> None:
        """Remove the row, or mark it as ended if it names a log.

        Raises:
            StoreError: The database cannot be written to.
        """

        def work(connection: Connection) -> None:
            if self.process.log:
                connection.execute(workers.update().where(*self._own).values(ended=now(connection), tasks="[]"))
            else:
                connection.execute(workers.delete().where(*self._own))

        self.study.database.write(work, retry_seconds=SHORT_SECONDS)

    @property
    def _own(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return workers.c.study_id == self.study.id, workers.c.worker == self.process.worker

"""Requests that all processes stop working on a study.

The requests of a study are numbered. A process obeys those with a larger number than the last one when it began, so
that no clock decides which processes a request concerns.
"""

from __future__ import annotations

import getpass
import platform
import signal
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, func, select

from explorer.store.checking import describe
from explorer.store.managing.changes import writable
from explorer.store.rows import lock_study, now, read_row, to_row
from explorer.store.schema import stops
from explorer.store.study import Study


class Ended(Protocol):
    """A loop that has ended.

    Attributes:
        interrupted: Whether it was interrupted.
        signal: Number of the signal that interrupted it, or 0.
    """

    interrupted: bool
    signal: int


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A request that all processes of a study stop.

    Attributes:
        number: Its number among the requests of its study, from 1.
        requested: When it was made, in seconds since the epoch by the database's clock.
        at_once: Whether trainings are interrupted; else the running ones are finished.
        requester: Who made it, as ``user@host``.
    """

    number: int
    requested: float
    at_once: bool
    requester: str

    @property
    def reason(self) -> str:
        """Why a process that obeys it ended."""
        how = "explorer stop --now" if self.at_once else "explorer stop"
        return f"stopped by {how!r} of {self.requester}; the same command resumes"

    def explains(self, loop: Ended, why: str) -> bool:
        """Return whether a loop ended because of this request, and not because of a signal of the user or an error.

        Args:
            loop: The loop.
            why: Why it ended.
        """
        # A process that computes interrupts itself with SIGTERM to obey at once.
        is_own = loop.signal == 0 or (self.at_once and loop.signal == signal.SIGTERM)
        return is_own and (loop.interrupted or why.startswith(self.reason))


def stop_study(study: Study, at_once: bool = False) -> StopRequest:
    """Ask all processes that work on a study to stop. They notice it when they next renew their leases.

    Args:
        study: The study.
        at_once: Whether they interrupt their trainings, which are resumed from their checkpoints later; else they
            finish the running ones.

    Returns:
        The request, which is stored.

    Raises:
        StoreError: The database cannot be written to.
    """
    requester = f"{_user()}@{platform.node() or 'localhost'}"
    with writable(study) as opened:

        def work(connection: Connection) -> StopRequest:
            lock_study(connection, opened.id)
            made = StopRequest(last_number(connection, opened.id) + 1, now(connection), at_once, requester)
            fields = ("number", "requested", "at_once", "requester")
            values = to_row(stops, {name: getattr(made, name) for name in fields})
            connection.execute(stops.insert().values(study_id=opened.id, **values))
            return made

        return opened.database.write(work)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user without a name
        return "unknown"


def last_number(connection: Connection, study_id: int) -> int:
    """Return the number of the last request of a study, 0 if there is none."""
    found = connection.scalar(select(func.max(stops.c.number)).where(stops.c.study_id == study_id))
    return found or 0


def newer_than(connection: Connection, study_id: int, number: int) -> list[StopRequest]:
    """Return the requests of a study with a larger number, in their order. Raises DamagedRow."""
    query = select(stops).where(stops.c.study_id == study_id, stops.c.number > number).order_by(stops.c.number)
    found = []
    for row in (row._asdict() for row in connection.execute(query)):
        del row["study_id"]
        found.append(StopRequest(**read_row(f"explorer_stops, request {describe(row['number'])}", stops, row)))
    return found

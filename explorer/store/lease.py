"""Who runs a trial, and when that worker is lost.

A running trial has a worker and a lease that the worker renews every ``RENEW_SHARE`` of ``LEASE_SECONDS``. Clocks of
several machines may differ and machines may sleep, so that nobody trusts the time written in a lease: a worker is lost
when its process has ended on this very machine, or when this process has itself watched the lease for
``LEASE_SECONDS`` without a renewal.
"""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from explorer.system.processes import UNKNOWN, has_ended, pid_space, process_start

LEASE_SECONDS = 60.0
RENEW_SHARE = 0.25  # of a lease, between two renewals and between two looks at the leases of others
RETRIES = 3  # times that a trial whose worker was lost is taken up again: it may be what kills the workers


def renew_seconds() -> float:
    """Return the seconds between two renewals, and between two looks at the leases of others."""
    return LEASE_SECONDS * RENEW_SHARE


def new_worker() -> str:
    """Return a new name for a worker in this process: host:pid space:pid:start of the process:random."""
    pid = os.getpid()
    return f"{platform.node() or 'localhost'}:{pid_space()}:{pid}:{process_start(pid)}:{secrets.token_hex(4)}"


def is_gone(worker: str) -> bool:
    """Return whether the worker's process ran on this machine, in this container, and has ended.

    False where that cannot be known: then only its lease says whether it lives. This is so for the names that earlier
    versions gave, host:pid:start:random.
    """
    _, space, pid, start, _ = _parts(worker)
    return pid.isdecimal() and has_ended(space, int(pid), start)


def is_here(worker: str) -> bool:
    """Return whether the worker's process can be seen from this one and runs."""
    _, space, pid, start, _ = _parts(worker)
    return space == pid_space() != UNKNOWN and pid.isdecimal() and not has_ended(space, int(pid), start)


def _parts(worker: str) -> list[str]:
    parts = worker.rsplit(":", 4)
    return parts if len(parts) == 5 else ["", UNKNOWN, "", "", ""]


class Held(NamedTuple):
    """A running trial or training: its key, who holds it, and what changes with every renewal."""

    key: Hashable
    worker: str
    mark: Any


@dataclass(slots=True)
class _Seen:
    held: Held
    seconds: float = 0.0  # watched since the last renewal
    renewed: bool = False  # while it was watched


class LeaseWatch:
    """What this process has seen of the leases of others.

    ``look`` is called within a writing transaction of the database, so that a database that is locked for everybody
    adds nothing; neither do the seconds in which this process did not run.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._last: float | None = None
        self._seen: dict[Hashable, _Seen] = {}

    def look(self, held: Iterable[Held]) -> set[Hashable]:
        """Note the leases as they are now; return the keys of those whose worker is lost."""
        moment = self._clock()
        # Time that passed without a look counts as one interval: the machine may have slept, holders with it.
        step = 0.0 if self._last is None else min(max(moment - self._last, 0.0), renew_seconds())
        self._last = moment
        self._seen = {each.key: self._watched(each, step) for each in held}
        return {
            key
            for key, seen in self._seen.items()
            if seen.held.mark is None or seen.seconds >= LEASE_SECONDS or is_gone(seen.held.worker)
        }

    def undecided(self) -> list[Hashable]:
        """Return the keys of the last look whose worker is neither known to live nor known to be lost."""
        return [
            key
            for key, seen in self._seen.items()
            if not is_here(seen.held.worker) and not (seen.renewed and seen.seconds < 2 * renew_seconds())
        ]

    def _watched(self, held: Held, step: float) -> _Seen:
        earlier = self._seen.get(held.key)
        if earlier is None or earlier.held.worker != held.worker:
            return _Seen(held)
        if earlier.held == held:
            return _Seen(held, earlier.seconds + step, earlier.renewed)
        return _Seen(held, renewed=True)

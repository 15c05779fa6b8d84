"""Leases on running trials, and the detection of lost workers.

A running trial has a worker and a lease that the worker renews every ``RENEW_SHARE`` of ``LEASE_SECONDS``. The clocks
of several machines may differ and machines may sleep, so no process trusts the time written in a lease. A worker is
lost if its process has ended on this machine, or if this process has itself watched the lease for ``LEASE_SECONDS``
without a renewal.
"""

from __future__ import annotations

import math
import os
import platform
import secrets
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from explorer.system.processes import UNKNOWN, has_ended, is_suspended, pid_space, process_start

LEASE_SECONDS = 60.0  # without a renewal, after which other workers may resume the trial
RENEW_SHARE = 0.25  # of a lease, between two renewals: three may fail before the lease expires
MANY = 100  # leases of other workers, above which each worker reads them once in ``LEASE_SECONDS``
RETRIES = 3  # resumptions of a trial after a lost worker: the trial may be the cause of the loss


def renew_seconds() -> float:
    """Return the interval in seconds at which a worker renews its leases and checks those of other workers."""
    return LEASE_SECONDS * RENEW_SHARE


def new_worker() -> str:
    """Return a new worker name, ``host:pid namespace:pid:start of the process:random``, for this process."""
    pid = os.getpid()
    return f"{platform.node() or 'localhost'}:{pid_space()}:{pid}:{process_start(pid)}:{secrets.token_hex(4)}"


def is_gone(worker: str) -> bool:
    """Return whether the worker's process ran on this machine, in this container, and has ended.

    Args:
        worker: The worker's name.

    Returns:
        False if this is unknown; then only the worker's lease shows whether it runs. Names of earlier versions
        (``host:pid:start:random``) are always unknown.
    """
    _, space, pid, start, _ = _parts(worker)
    return pid.isdecimal() and has_ended(space, int(pid), start)


def _runs(worker: str) -> bool | None:
    """Return whether the worker's process has neither ended nor is suspended; None if it cannot be seen from here."""
    _, space, pid, start, _ = _parts(worker)
    if space != pid_space() or space == UNKNOWN or not pid.isdecimal():
        return None
    return not has_ended(space, int(pid), start) and not is_suspended(int(pid))


def _parts(worker: str) -> list[str]:
    parts = worker.rsplit(":", 4)
    return parts if len(parts) == 5 else ["", UNKNOWN, "", "", ""]


class HeldLease(NamedTuple):
    """A worker's lease on a running trial or training.

    Attributes:
        key: Identifies the trial or training.
        worker: The name of the worker.
        renewal: A value that changes with every renewal; None if the worker has released the lease.
    """

    key: Hashable
    worker: str
    renewal: Any


@dataclass(slots=True)
class _Observation:
    lease: HeldLease
    seconds: float = 0.0  # watched since the last renewal
    renewed: bool = False  # whether it was renewed while this process watched

    def is_known_to_run(self) -> bool:
        """Return whether the worker renews the lease, or its process is seen to run and may renew it soon."""
        runs = _runs(self.lease.worker)
        return self.seconds < 2 * renew_seconds() and (self.renewed if runs is None else runs)


class LeaseWatch:
    """The leases of other workers as this process has observed them.

    ``observe`` is called within a writing transaction. So the time in which the database is locked for all workers does
    not count as time without a renewal. Nor does time in which this process did not run.

    Args:
        clock: Returns a monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._last: float | None = None
        self._elapsed = 0.0  # in which this process ran since the last observation
        self._ticks, self._observed = 0, -math.inf  # since then, and when it was
        self._lost: set[Hashable] = set()
        self._observations: dict[Hashable, _Observation] = {}

    def observe(self, leases: Iterable[HeldLease]) -> set[Hashable]:
        """Record the current leases.

        Args:
            leases: All leases of other workers.

        Returns:
            The keys of the leases whose worker is lost.
        """
        self._tick()
        elapsed, self._elapsed, self._ticks, self._observed = self._elapsed, 0.0, 0, self._last or 0.0
        self._observations = {each.key: self._updated(each, elapsed) for each in leases}
        self._lost = {
            key
            for key, seen in self._observations.items()
            if seen.lease.renewal is None or seen.seconds >= LEASE_SECONDS or is_gone(seen.lease.worker)
        }
        return self._lost

    def _tick(self) -> None:
        """Add the time since the last call, in which this process ran."""
        current = self._clock()
        # A longer pause counts as one interval: the machine may have slept, and the other workers on it too.
        self._elapsed += 0.0 if self._last is None else min(max(current - self._last, 0.0), renew_seconds())
        self._last, self._ticks = current, self._ticks + 1

    def is_due(self) -> bool:
        """Return whether the leases should be read at this renewal: always, unless there are many."""
        due = len(self._observations) <= MANY or self._ticks + 1 >= LEASE_SECONDS / renew_seconds()
        if not due:
            self._tick()
        return due

    @property
    def has_no_loss(self) -> bool:
        """Whether another thread of this process has observed many leases lately, and no worker was lost."""
        return len(self._observations) > MANY and not self._lost and self._clock() < self._observed + LEASE_SECONDS

    def uncertain(self) -> list[Hashable]:
        """Return the keys of the observed leases whose worker is neither known to run nor known to be lost."""
        return [key for key, seen in self._observations.items() if not seen.is_known_to_run()]

    def _updated(self, lease: HeldLease, elapsed: float) -> _Observation:
        """Return the observation of a lease after ``elapsed`` more seconds."""
        earlier = self._observations.get(lease.key)
        if earlier is None or earlier.lease.worker != lease.worker:
            return _Observation(lease)
        if earlier.lease == lease:
            return _Observation(lease, earlier.seconds + elapsed, earlier.renewed)
        return _Observation(lease, renewed=True)

"""Limits on one trial's process and all that it starts: how long it may take, how much memory it may hold."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from explorer.system.memory import total_memory
from explorer.system.process_tree import end_tree, resident_memory

LOOK_SECONDS = 0.25  # between two looks at a process's memory
LAST_SECONDS = 1.0  # between asking a process to end and ending it
LONG_SECONDS, LONG_TIMES = 600.0, 20.0  # no trial is ended before ten minutes, nor before 20 times the median
LEAST_MEMORY, MEMORY_SHARE = (
    2 << 30,
    0.9,
)  # all trials may hold a share of the usable memory, each at least 2 GiB


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """``seconds``: wall time; ``memory``: resident bytes of all its processes. None is no bound."""

    seconds: float | None = None
    memory: int | None = None


UNLIMITED = TrialLimits()


def usual_limits(workers: int, median_seconds: float | None) -> TrialLimits:
    """Limits that only a trial gone wrong meets: of time, once it is known how long one takes, and of memory."""
    seconds = None if median_seconds is None else max(LONG_SECONDS, LONG_TIMES * median_seconds)
    return TrialLimits(seconds, max(LEAST_MEMORY, int(MEMORY_SHARE * total_memory() / workers)))


class Watchdog:
    """Watches over one job of process ``group``, the leader of its group, and of all that it starts. ``exceeded``: the
    limit it broke, once it has."""

    def __init__(self, group: int, limits: TrialLimits):
        self.exceeded = ""
        self._group = group
        self._limits = limits
        self._began = self._looked = time.monotonic()
        self._asked = 0.0

    def look(self) -> None:
        """Asks the group to end when a limit is broken (SIGTERM), and ends it a second later with all its descendants
        (SIGKILL)."""
        moment = time.monotonic()
        if self.exceeded:
            if moment > self._asked + LAST_SECONDS:
                end_tree(self._group)
            return
        self.exceeded = self._broken(moment)
        if self.exceeded:
            self._asked = moment
            _signal(self._group, signal.SIGTERM)

    def _broken(self, moment: float) -> str:
        limits = self._limits
        if limits.seconds is not None and moment > self._began + limits.seconds:
            return f"it took longer than the {limits.seconds:g} s that a trial may take"
        if limits.memory is not None and moment > self._looked + LOOK_SECONDS:
            self._looked = moment
            held = resident_memory(self._group)
            if held > limits.memory:
                return (
                    f"it held {held / 2**30:.1f} GiB of memory, "
                    f"more than the {limits.memory / 2**30:.1f} GiB that a trial may hold"
                )
        return ""


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # it has ended, or has not yet made itself a group
        pass

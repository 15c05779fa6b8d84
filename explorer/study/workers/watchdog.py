"""Limits on the time and memory of a trial's process and all processes that it starts."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from explorer.system.memory import total_memory
from explorer.system.process_tree import SUPERVISOR_SECONDS, end_descendants, end_tree, resident_memory

MEMORY_CHECK_SECONDS = 0.25  # between two readings of memory, which go through /proc
TERM_SECONDS = 1.0  # that a process has to end after SIGTERM, before SIGKILL
# Only a trial that hangs exceeds ten minutes and 20 times the median.
MIN_LIMIT_SECONDS, LIMIT_MEDIANS = 600.0, 20.0
# Share of the usable memory for all trials together; the rest is for other processes.
MIN_LIMIT_BYTES, MEMORY_SHARE = 2 << 30, 0.9


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """Limits on one trial.

    Attributes:
        seconds: Wall time; None for no limit.
        memory: Resident bytes of all its processes; None for no limit.
    """

    seconds: float | None = None
    memory: int | None = None


UNLIMITED = TrialLimits()


def usual_limits(workers: int, median_seconds: float | None, epochs: int = 1) -> TrialLimits:
    """Return the default limits.

    Args:
        workers: Number of parallel trials, which share the memory.
        median_seconds: Usual time of a trial; None if it is not known yet, for no limit on time.
        epochs: How many times that a whole trial may take: its epochs, if most trials may be stopped after one.
    """
    seconds = None if median_seconds is None else max(MIN_LIMIT_SECONDS, LIMIT_MEDIANS * median_seconds * epochs)
    return TrialLimits(seconds, max(MIN_LIMIT_BYTES, int(MEMORY_SHARE * total_memory() / workers)))


class Watchdog:
    """Ends a job that exceeds its limits.

    Attributes:
        exceeded: The limit that the job has exceeded, as text; empty if none.
    """

    def __init__(self, group: int, limits: TrialLimits):
        """Start the clock of a job.

        Args:
            group: Id of the job's process, the leader of its process group.
            limits: Limits on this process and all its descendants.
        """
        self.exceeded = ""
        self._group = group
        self._limits = limits
        self._began = self._checked = time.monotonic()
        self._terminated = 0.0  # when SIGTERM was sent

    def check(self) -> None:
        """Send SIGTERM to the group if a limit is exceeded, and SIGKILL to all its descendants a second later."""
        moment = time.monotonic()
        if self.exceeded:
            if moment > self._terminated + TERM_SECONDS + SUPERVISOR_SECONDS:
                end_tree(self._group)
            elif moment > self._terminated + TERM_SECONDS:
                end_descendants(self._group)  # its supervisor ends what is started meanwhile, and itself
            return
        self.exceeded = self._exceeded_limit(moment)
        if self.exceeded:
            self._terminated = moment
            _signal(self._group, signal.SIGTERM)

    def _exceeded_limit(self, moment: float) -> str:
        """Return the limit that is exceeded now, as text; empty if none."""
        limits = self._limits
        if limits.seconds is not None and moment > self._began + limits.seconds:
            return f"it took longer than the {limits.seconds:g} s that a trial may take"
        if limits.memory is not None and moment > self._checked + MEMORY_CHECK_SECONDS:
            self._checked = moment
            held = resident_memory(self._group)
            if held > limits.memory:
                return (
                    f"it held {held / 2**30:.1f} GiB of memory, "
                    f"more than the {limits.memory / 2**30:.1f} GiB that a trial may hold"
                )
        return ""


def _signal(group: int, number: int) -> None:
    """Send signal ``number`` to a process group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # it has ended, or is not yet the leader of a group
        pass

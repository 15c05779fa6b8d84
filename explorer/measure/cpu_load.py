"""The load of other processes on a CPU, while a latency is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

CONTENDED_SHARE = 0.05  # share of the pinned cores' time used by other processes above which a run is contended
BUSY_SHARE = 0.5  # the same for the other cores, which share caches with the pinned ones, or even the physical core


class CpuTimes(NamedTuple):
    """Processor time used up to one moment.

    Attributes:
        cores: Number of a core -> seconds that it has worked since the machine started, without idle time.
        own: Processor seconds of this process.
        moment: Seconds of the monotonic clock.
    """

    cores: dict[int, float]
    own: float
    moment: float


def cpu_times(stat: Path = Path("/proc/stat")) -> CpuTimes:
    """Return the processor times that Linux counts; without cores on other systems.

    Args:
        stat: The kernel's statistics file.
    """
    cores = {}
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        word, *numbers = line.split()
        if word.startswith("cpu") and word != "cpu":
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (
                int(number) for number in [*numbers, *["0"] * 8]
            )
            cores[int(word[3:])] = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return CpuTimes(cores, time.process_time(), time.monotonic())


def least_busy(cores: Sequence[int], moment: float = 0.1) -> list[int]:
    """Return the cores, the least busy first.

    Args:
        cores: Numbers of the cores.
        moment: Seconds over which their load is observed; the call takes as long.
    """
    if len(cores) < 2:
        return list(cores)
    before = cpu_times()
    time.sleep(moment)
    after = cpu_times()
    return sorted(cores, key=lambda core: (after.cores.get(core, 0.0) - before.cores.get(core, 0.0), -core))


def other_load(before: CpuTimes, after: CpuTimes, pinned: Collection[int]) -> list[str]:
    """Describe the load of other processes between two observations.

    Args:
        before: The processor times at the start.
        after: The processor times at the end.
        pinned: Numbers of the cores that this process is pinned to.

    Returns:
        A note if other processes took more than CONTENDED_SHARE of the pinned cores' time, and one if the other cores
        were busy for more than BUSY_SHARE of the time.
    """
    elapsed = after.moment - before.moment
    worked = {core: after.cores[core] - before.cores.get(core, 0.0) for core in after.cores}
    others = [core for core in worked if core not in pinned]
    notes = []
    if pinned and elapsed > 0 and worked:
        others_on_pinned = sum(worked.get(core, 0.0) for core in pinned) - (after.own - before.own)
        if (share := others_on_pinned / elapsed / len(pinned)) > CONTENDED_SHARE:
            notes.append(f"other processes took {min(share, 1):.0%} of the pinned cores' time")
    if others and elapsed > 0 and (share := sum(worked[core] for core in others) / elapsed / len(others)) > BUSY_SHARE:
        notes.append(f"the other cores were busy {min(share, 1):.0%} of the time")
    return notes

"""The cores that this process may use: those it is bound to, limited by the quota of its control groups."""

from __future__ import annotations

import os
from pathlib import Path

from explorer.system.control_groups import GROUPS, OWN, group_folders


def allowed_cores() -> list[int]:
    """Return the numbers of the cores that this process is bound to; empty on systems without affinity (macOS)."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def usable_cores(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Return how many cores this process may use, at least 1.

    This is the number of cores that it is bound to, or the processor quota of its control groups (version 1 or 2) if
    that is lower. In a container with a quota of two cores on a machine of 64 the result is 2.

    Args:
        groups: The folder that the control groups are mounted on.
        own: The file that states the process's own groups.
    """
    bound = len(allowed_cores()) or os.cpu_count() or 1
    quotas = [quota for folder in group_folders("cpu", groups, own) if (quota := _quota(folder)) is not None]
    return max(1, min([bound, *map(round, quotas)]))


def _quota(folder: Path) -> float | None:
    """Return the processor quota of one group, in cores; None where it has none."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return cores if cores > 0 else None  # -1: no limit, in version 1

"""How many cores this process may use: those it is bound to, and no more than its control group has time for."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """At least 1. In a container with the time of two cores on a host of 64 it is 2, though all 64 are seen.

    ``groups``, ``own``: where Linux shows control groups (versions 1 and 2), and the process's places in them.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *(round(share) for share in _shares(groups, own))]))


def _shares(groups: Path, own: Path) -> list[float]:
    """The bounds on processor time, in cores, of the process's group and those around it."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return []
    shares = []
    for _, controllers, place in (line for line in lines if len(line) == 3):
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / "cpu" if controllers else groups
        folder = root / place.lstrip("/")
        for inner in (folder, *folder.parents):
            shares += _share(inner)
            if inner == root:
                break
    return shares


def _share(folder: Path) -> list[float]:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        except OSError:
            return []
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no bound
        return []
    return [share] if share > 0 else []

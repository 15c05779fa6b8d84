"""Identify a process across machines, reboots and containers, and detect whether it has ended.

A process id has a meaning only within one PID namespace of one running kernel. Containers with the same host name,
and machines with the same host name, have different namespaces or boot ids; whether their processes ended is unknown.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"  # where /proc is missing or shows the processes of another PID namespace
_PROC = Path("/proc")


def pid_space() -> str:
    """Return 12 hexadecimal digits that identify the boot and the namespaces in which this process has its id.

    Two processes with the same value see each other's ids. ``UNKNOWN`` where this cannot be read.
    """
    return _pid_space(os.getpid())


@cache  # a search compares it with that of each running trial
def _pid_space(own: int) -> str:
    """Return ``pid_space`` of this process, whose id is ``own``."""
    try:
        if int(os.readlink(_PROC / "self")) != own:  # /proc belongs to another namespace
            return UNKNOWN
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()
        spaces = [os.readlink(place) for name in ("pid", "time") if (place := _PROC / "self/ns" / name).exists()]
    except (OSError, ValueError):
        return UNKNOWN
    return hashlib.sha256("\n".join([boot, *spaces]).encode()).hexdigest()[:12]


def process_start(pid: int) -> str:
    """Return the start time of a process in kernel ticks, empty for a process that has ended.

    ``UNKNOWN`` for a process that exists but may not be read.
    """
    try:
        state, *rest = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return UNKNOWN if _exists(pid) else ""  # /proc may hide the processes of other users
    except (OSError, ValueError):
        return UNKNOWN
    return "" if state == "Z" else rest[18]


def is_suspended(pid: int) -> bool:
    """Return whether a process is stopped, as by Ctrl-Z, SIGSTOP or a debugger. False if this is unknown."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def has_ended(space: str, pid: int, start: str = UNKNOWN) -> bool:
    """Return whether the process ran where this one runs and has ended. False if this is unknown.

    Args:
        space: ``pid_space()`` of that process.
        pid: Its process id.
        start: Its ``process_start``, to distinguish it from a later process with the same id; ``UNKNOWN``: any.
    """
    if space == UNKNOWN or space != pid_space():
        return False
    found = process_start(pid)
    return not found or (UNKNOWN not in (found, start) and found != start)


def _exists(pid: int) -> bool:
    """Return whether a process has this id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True

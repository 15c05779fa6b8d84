"""Who runs a trial, and for how long that may be believed.

A running trial bears its worker and a time until which it is the worker's. The worker renews it; when
it passes, or the worker's process is gone from this very machine, the trial is anyone's again.
"""

from __future__ import annotations

import os
import platform
import secrets
from pathlib import Path

LEASE_SECONDS = 60.0
RETRIES = 3  # times that a trial whose worker was lost is taken up again: it may be what kills the workers


def new_worker() -> str:
    """A name for a worker in this process, never given twice: host:pid:start of the process:random."""
    return f"{_host()}:{os.getpid()}:{_process_start(os.getpid())}:{secrets.token_hex(4)}"


def is_gone(worker: str) -> bool:
    """True when the worker's process ran on this machine and runs no more. Elsewhere only its lease tells."""
    host, pid, start, _ = worker.rsplit(":", 3)
    return host == _host() and _process_start(int(pid)) != start


def _host() -> str:
    return platform.node() or "localhost"


def _process_start(pid: int) -> str:
    """When the process began, in the kernel's ticks, so that a number given anew is told apart; "gone" when it is."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            state, *rest = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return "gone"
        return "gone" if state == "Z" else rest[18]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    return "unknown"

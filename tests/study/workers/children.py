"""What the children of a pool answer, and which of their processes run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from explorer.study.workers.jobs import Failure, Outcome
from tests.polling import PATIENCE


def answers(workplace, count: int) -> dict[int, Outcome | Failure]:
    """Wait for ``count`` jobs to end, at most a minute, and return what each one gave by its number."""
    found = {}
    end = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < end:
        found |= {number: each for number, each in workplace.messages(0.2) if isinstance(each, Outcome | Failure)}
    return found


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def members(groups: set[int]) -> list[int]:
    """Return the running processes of these process groups."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) in groups:
                found += [int(entry.name)] if is_running(int(entry.name)) else []
        except OSError:
            continue
    return found

"""The processes that a trial starts: found through ``/proc``, counted, and ended with the trial.

A trial runs in a process whose parent is a supervisor. The supervisor is a subreaper (Linux): a descendant that opens a
session of its own, or whose parent exits, stays below it. So the supervisor can end every process of the trial after
the trial ended, crashed or was killed, and after the search died. Without ``/proc`` (macOS) only the trial's process
group is ended, and memory is not counted.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_CHILD_SUBREAPER = 36
_KILLED_SECONDS = 0.005  # that a killed process is given to vanish before the next look
_IGNORED = (signal.SIGTERM, signal.SIGHUP)  # by the supervisor, which outlives the trial to clean up after it


def resident_memory(root: int) -> int:
    """Return the resident bytes of all descendants of process ``root``. Pages they share count for each."""
    return sum(_descendants(root).values()) * _PAGE


def end_descendants(root: int) -> None:
    """End every descendant of process ``root`` with SIGKILL, those in sessions of their own too, but not ``root``."""
    while sum(_kill(pid) for pid in _descendants(root)):
        time.sleep(_KILLED_SECONDS)


def end_tree(root: int) -> None:
    """End process ``root``, its process group and all its descendants with SIGKILL."""
    end_descendants(root)
    with suppress(ProcessLookupError, PermissionError):  # it ended, or is not yet the leader of a group
        os.killpg(root, signal.SIGKILL)


def supervise(orders: Connection) -> None:
    """Fork: return in the child, which does the work; its parent becomes the supervisor and never returns.

    The supervisor ends all processes below it when the child ends, and then ends as the child did. It does the same
    when the writing end of ``orders`` is closed, which happens when the search dies.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _IGNORED}
    worker = os.fork()
    if worker == 0:
        for number, handler in before.items():
            signal.signal(number, handler)
        return
    threading.Thread(target=_end_with_search, args=(orders,), daemon=True).start()
    ended, status = os.wait()
    while ended != worker:  # an orphan of the trial's
        ended, status = os.wait()
    end_descendants(os.getpid())
    _end_alike(os.waitstatus_to_exitcode(status))


def _end_with_search(orders: Connection) -> None:
    hung_up = select.poll()
    hung_up.register(orders, 0)  # no data is read: they are the worker's
    hung_up.poll()
    end_tree(os.getpid())


def _end_alike(exitcode: int) -> None:
    if exitcode < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has left its own core file
        with suppress(OSError):  # the action of SIGKILL cannot be set
            signal.signal(-exitcode, signal.SIG_DFL)
        os.kill(os.getpid(), -exitcode)
    os._exit(exitcode)


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it ended, or runs as another user
        return False
    return True


def _descendants(root: int) -> dict[int, int]:
    """Process id -> resident pages of the living descendants of ``root``; empty without ``/proc``.

    psutil's ``children`` answers nothing at all where one process of another user may not be read (hidepid=1), and
    compares start times, which a change of the clock moves.
    """
    children: dict[int, list[int]] = {}
    pages = {}
    for name in os.listdir(_PROC) if _PROC.exists() else ():
        if name.isdigit():
            try:
                state, parent, *rest = (_PROC / name / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            children.setdefault(int(parent), []).append(int(name))
            if state not in "ZX":
                pages[int(name)] = int(rest[19])
    below, found = [root], {}
    while below:
        for pid in children.get(below.pop(), ()):
            below.append(pid)
            if pid in pages:
                found[pid] = pages[pid]
    return found

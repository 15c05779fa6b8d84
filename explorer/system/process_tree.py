"""The processes that a trial starts: found through ``/proc``, measured, and killed when the trial ends.

A trial runs in a process whose parent is a supervisor. The supervisor is a subreaper (Linux): a descendant that opens a
new session, or whose parent exits, remains its descendant. So the supervisor can kill every process of the trial
after the trial ended, crashed or was killed, and after the search died. Without ``/proc`` (macOS) only the trial's
process group is killed, and its memory is not measured.
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
_KILLED_SECONDS = 0.005  # between two checks whether killed processes have ended
_UNKILLABLE_SCANS = 200  # after which a supervisor leaves children that it may not kill: they run as another user
# That a supervisor has to end the processes of its trial and itself, before it is killed.
SUPERVISOR_SECONDS = 5.0
_IGNORED = (signal.SIGTERM, signal.SIGHUP)  # by the supervisor, which must outlive the trial to kill its processes


def resident_memory(root: int) -> int:
    """Return the resident bytes of all descendants of process ``root``. Shared pages count once for each process."""
    return sum(_descendants(root).values()) * _PAGE


def end_descendants(root: int) -> None:
    """End every descendant of process ``root`` with SIGKILL, also in other sessions, but not ``root``."""
    while sum(_kill(pid) for pid in _descendants(root)):
        time.sleep(_KILLED_SECONDS)


def is_supervisor(pid: int) -> bool:
    """Return whether a process that is to call ``supervise`` leads a process group, which it does just before."""
    with suppress(ProcessLookupError, PermissionError):
        return os.getpgid(pid) == pid
    return False


def end_tree(root: int) -> None:
    """End process ``root``, its process group and all its descendants with SIGKILL.

    A process that a descendant starts meanwhile can escape. A supervisor itself lets none escape, so it is asked first.
    """
    end_descendants(root)
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or does not lead a group yet
        os.killpg(root, signal.SIGKILL)


def supervise(orders: Connection) -> None:
    """Fork: return in the child, which does the work; its parent becomes the supervisor and never returns.

    When the child ends, the supervisor kills all its descendants and exits with the child's status. When the writing
    end of ``orders`` is closed, which also happens when the search dies, it kills the child.

    Args:
        orders: The connection on which the child receives its work.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _IGNORED}
    worker = os.fork()
    if worker == 0:
        for number, handler in before.items():
            signal.signal(number, handler)
        return
    threading.Thread(target=_end_with_search, args=(orders, worker), daemon=True).start()
    ended, status = os.wait()
    while ended != worker:  # it was an orphan of the trial
        ended, status = os.wait()
    _end_children()
    _exit_like(os.waitstatus_to_exitcode(status))


def _end_with_search(orders: Connection, worker: int) -> None:
    """Wait until the search has died or ended the trial, and kill the worker, whose end the supervisor awaits."""
    hung_up = select.poll()
    hung_up.register(orders, 0)  # only hang-ups: the data is for the worker
    hung_up.poll()
    _kill(worker)
    if not _PROC.exists():
        os.killpg(os.getpid(), signal.SIGKILL)


def _end_children() -> None:
    """Kill all descendants of this process, a subreaper, until it has no child.

    A scan of ``/proc`` is not enough: it misses a process that was started during the scan by a parent that has ended.
    The kernel hands such a process to the subreaper, and ``waitpid`` knows it.
    """
    idle_scans = 0
    while idle_scans < _UNKILLABLE_SCANS:
        idle_scans = 0 if sum(_kill(pid) for pid in _descendants(os.getpid())) else idle_scans + 1
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_KILLED_SECONDS)


def _exit_like(exitcode: int) -> None:
    """End this process with an exit code, or with the signal of a negative one."""
    if exitcode < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has left its own core file
        with suppress(OSError):  # the action of SIGKILL cannot be set
            signal.signal(-exitcode, signal.SIG_DFL)
        os.kill(os.getpid(), -exitcode)
    os._exit(exitcode)


def _kill(pid: int) -> bool:
    """Send SIGKILL; return False if the process has ended or may not be killed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it ended, or runs as another user
        return False
    return True


def _descendants(root: int) -> dict[int, int]:
    """Return process id -> resident pages of the living descendants of ``root``; empty without ``/proc``.

    psutil's ``children`` is not used: it returns nothing where a process of another user may not be read (hidepid=1),
    and it compares start times, which change with the clock.
    """
    children: dict[int, list[int]] = {}
    pages = {}
    for name in os.listdir(_PROC) if _PROC.exists() else ():
        if name.isdigit():
            try:
                state, parent, *rest = (_PROC / name / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:  # it has ended since
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

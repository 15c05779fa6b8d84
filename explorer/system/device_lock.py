"""A lock for each device: one process measures at a time, and trainings wait between two steps until it ends.

It is a lock of the operating system on a file (flock), which is released when its holder ends in any way. Where the
file cannot be created, measurements and trainings run side by side, and the measurements are marked as contended.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from explorer.system.environment import device_identity
from explorer.system.files import slug
from explorer.system.user_folders import user_cache

BASE_WAIT_SECONDS = 30.0  # that a training may wait in total, in addition to the time that it has computed
POLL_SECONDS = 0.02  # between two checks of the lock; much shorter than a measurement
_log = logging.getLogger(__name__)


@contextmanager
def measuring(device: str, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the measurement lock of a device within the ``with`` block, after waiting for other holders.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N".
        on_wait: Called before a wait, if another process holds the lock.

    Raises:
        MeasurementError: There is no such device.
    """
    file = _open(_lock_file(device))
    try:
        if file is None:
            _log.warning("%s cannot be written: other work will not wait for this measurement", _lock_file(device))
        elif not _locked(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            on_wait()
            _locked(file, fcntl.LOCK_EX)
        yield
    finally:
        if file is not None:
            _locked(file, fcntl.LOCK_UN)  # closing is not enough: a child process may have inherited the file
            os.close(file)


class Pause:
    """Lets work on a device wait while a latency is measured there. This project's trainings use it.

    Call it between two steps of the work:

        with explorer.Pause("cpu") as pause:
            for batch in batches:
                pause()
                step(batch)

    All waits together are at most the time that the work has computed, plus BASE_WAIT_SECONDS.

    Args:
        device: "auto" (the first GPU, else the CPU), "cpu" or "cuda:N".

    Raises:
        MeasurementError: There is no such device.
    """

    def __init__(self, device: str = "auto"):
        self._began, self._waited = time.monotonic(), 0.0
        self._file = _open(_lock_file(device))

    def __call__(self) -> float:
        """Wait while another process measures on the device.

        Returns:
            The seconds waited.
        """
        if self._free():
            return 0.0
        began = time.monotonic()
        longest = BASE_WAIT_SECONDS + began - self._began - 2 * self._waited
        while (waited := time.monotonic() - began) < longest and not self._free():
            time.sleep(POLL_SECONDS)
        self._waited += waited
        return waited

    def __enter__(self) -> Pause:
        return self

    def __exit__(self, *of: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the lock file. Later calls do not wait."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _free(self) -> bool:
        """Return whether no process measures on the device."""
        if self._file is None or not _locked(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return self._file is None
        _locked(self._file, fcntl.LOCK_UN)
        return True


def _locked(file: int, how: int) -> bool:
    """Apply a lock operation; return False if another process holds the lock, True on a file system without locks."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _open(path: Path) -> int | None:
    """Open the lock file, and create it first if needed; None where it cannot be created."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None


def _lock_file(device: str) -> Path:
    """Return the lock file of a device. Its name has the machine's name, since machines may share the user's cache."""
    return user_cache("measuring") / f"{slug(platform.node())}-{slug(device_identity(device))}.lock"

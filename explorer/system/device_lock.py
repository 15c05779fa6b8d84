"""Whose turn it is on a device: one process measures at a time, and trainings wait between two steps meanwhile.

The lock is the system's on a file (flock), which is free again when its holder dies, however it dies. Where none can be
kept, measurements and trainings go on side by side, and what is measured so is found to be contended.
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

GRACE = 30.0  # seconds that a training waits in any case, beside as long as it has computed
LOOK = 0.02  # seconds between two looks at the lock
_log = logging.getLogger(__name__)


@contextmanager
def measuring(device: str, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Alone among those who measure on ``device``; ``on_wait`` is called where another has to be waited for."""
    file = _open(_lock_file(device))
    try:
        if file is None:
            _log.warning("%s cannot be written: nobody waits for this measurement", _lock_file(device))
        elif not _locked(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            on_wait()
            _locked(file, fcntl.LOCK_EX)
        yield
    finally:
        if file is not None:
            _locked(file, fcntl.LOCK_UN)  # before it is closed here: a child may hold it open
            os.close(file)


class Pause:
    """Called between two steps of work on ``device`` ("auto", "cpu", "cuda:0"): waits while somebody measures a latency
    there, and answers how many seconds that took. This project's trainings do; so may a function of the caller's:

        with explorer.Pause("cpu") as pause:
            for batch in batches:
                pause()
                step(batch)

    Whoever measures without end, or is stopped within, costs the work half its time and GRACE seconds. Raises
    MeasurementError when there is no such device.
    """

    def __init__(self, device: str = "auto"):
        self._began, self._waited = time.monotonic(), 0.0
        self._file = _open(_lock_file(device))

    def __call__(self) -> float:
        if self._free():
            return 0.0
        began = time.monotonic()
        most = GRACE + began - self._began - 2 * self._waited
        while (waited := time.monotonic() - began) < most and not self._free():
            time.sleep(LOOK)
        self._waited += waited
        return waited

    def __enter__(self) -> Pause:
        return self

    def __exit__(self, *of: object) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _free(self) -> bool:
        if self._file is None or not _locked(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return self._file is None
        _locked(self._file, fcntl.LOCK_UN)
        return True


def _locked(file: int, how: int) -> bool:
    """False where another's lock is in the way. A file system without locks has none in the way."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _open(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None


def _lock_file(device: str) -> Path:
    """In the user's cache, by the machine's name, since several machines may share that folder."""
    return user_cache("measuring") / f"{slug(platform.node())}-{slug(device_identity(device))}.lock"

"""Whose turn it is on a device: one process measures at a time, and trainings wait between two steps meanwhile.

The lock is the system's on a file (flock), which is free again when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from explorer.errors import StudyError
from explorer.files import slug
from explorer.measure.environment import device_identity

GRACE = 30.0  # seconds that a training waits in any case, beside as long as it has computed
LOOK = 0.02  # seconds between two looks at the lock


@contextmanager
def measuring(device: str) -> Iterator[None]:
    """Alone among those who measure on ``device``. Raises StudyError when the lock cannot be kept."""
    path = _lock_file(device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{path.parent}: the lock of the device cannot be kept there: {error.strerror}") from None
    with FileLock(path):
        yield


class Pause:
    """Called between two steps of a training on ``device``: waits while somebody measures there, and answers how many
    seconds that took. Whoever measures without end, or is stopped within, costs a training half its time and GRACE."""

    def __init__(self, device: str):
        self._began, self._waited = time.monotonic(), 0.0
        path = _lock_file(device)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:  # where no lock can be kept nobody measures under one
            self._file = None

    def __call__(self) -> float:
        if self._free():
            return 0.0
        began = time.monotonic()
        most = GRACE + began - self._began - 2 * self._waited
        while (waited := time.monotonic() - began) < most and not self._free():
            time.sleep(LOOK)
        self._waited += waited
        return waited

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _free(self) -> bool:
        if self._file is None:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(self._file, fcntl.LOCK_UN)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
        return True


def _lock_file(device: str) -> Path:
    """In the user's cache, by the machine's name, since several machines may share that folder."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "explorer" / "measuring"
    return folder / f"{slug(platform.node())}-{slug(device_identity(device))}.lock"

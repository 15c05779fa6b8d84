"""The share of the cores that each process which trains networks may use, among all such processes of a machine.

Each process has a file in a folder of the machine, which it keeps locked (flock). The operating system releases the
lock when the process ends in any way, so a file without a lock is that of an ended process. All processes see the same
files, so they agree on whose each core is, without a message between them: the cores that several processes may use are
dealt out in turn, in the order in which the processes started.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from explorer.system.control_groups import OWN
from explorer.system.cores import allowed_cores, usable_cores

# In memory, of this machine, and shared by its users; containers see each other's only if they share it.
_SHARED = Path("/dev/shm")
MAX_BYTES = 1 << 16  # of an entry that is read
_files: set[int] = set()  # the locked files of this process


class Entry(NamedTuple):
    """A live process that trains.

    Attributes:
        name: The name of its file, which sorts by its start.
        quota: The control group whose quota limits its cores; empty if it may use all the cores that it is bound to.
        cores: The numbers of the cores that it may use.
        device: The device on which it trains.
    """

    name: str
    quota: str
    cores: list[int]
    device: str


class CoreShare:
    """The share of this process. Several in one process count as several processes.

    Args:
        device: The device on which the process trains.
        folder: The folder of the files.
    """

    def __init__(self, device: str, folder: Path | None = None):
        self._device = device
        self._folder = folder or _folder()
        self._name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        self._file: int | None = None

    def cores(self) -> int:
        """Return the number of cores that this process may use now, at least 1."""
        quota, cores = _usable()
        peers = [entry for entry in self._entries(quota, cores) if entry.quota == quota]
        known = sorted({core for entry in peers for core in entry.cores})
        mine = 0
        for place, core in enumerate(known):
            sharing = [entry.name for entry in peers if core in entry.cores]
            mine += sharing[place % len(sharing)] == self._name
        return max(1, mine)

    def processes(self) -> int:
        """Return the number of processes that train on this process's device, at least 1."""
        return max(1, sum(entry.device == self._device for entry in self._entries(*_usable())))

    def leave(self) -> None:
        """Leave the cores to the other processes. The next call of ``cores`` takes part again, as the last one."""
        if self._file is not None:
            with suppress(OSError):
                (self._folder / self._name).unlink()
            _files.discard(self._file)
            os.close(self._file)
            self._file = None
            self._name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"

    def _entries(self, quota: str, cores: list[int]) -> list[Entry]:
        """Return the live processes in the order of their start, this one among them."""
        own = Entry(self._name, quota, cores, self._device)
        try:
            self._join(own)
            return sorted({entry.name: entry for entry in (*_live(self._folder), own)}.values())
        except OSError:  # the folder cannot be used: the processes of this machine do not know of each other
            return [own]

    def _join(self, own: Entry) -> None:
        """Write and lock the file of this process, unless this is done."""
        if self._file is not None:
            return
        # The file gets its name when it is locked, so that no other process takes it for that of an ended one.
        unlocked = self._folder / f".{self._name}"
        file = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.write(file, json.dumps({"quota": own.quota, "cores": own.cores, "device": own.device}).encode())
            fcntl.flock(file, fcntl.LOCK_EX)
            os.rename(unlocked, self._folder / self._name)
        except OSError:
            os.close(file)
            with suppress(OSError):
                unlocked.unlink()
            raise
        self._file = file
        _files.add(file)


def _live(folder: Path) -> Iterator[Entry]:
    """Yield the entries of live processes, and remove the files of ended ones."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # it has just ended
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            with suppress(OSError):  # of another user, who removes it
                path.unlink()
        except BlockingIOError:
            with suppress(ValueError, LookupError, TypeError, RecursionError):  # not written by the explorer
                content = json.loads(os.read(file, MAX_BYTES))
                cores = [int(core) for core in content["cores"]]
                yield Entry(path.name, str(content["quota"]), cores, str(content["device"]))
        finally:
            os.close(file)


def _usable() -> tuple[str, list[int]]:
    """Return the control group whose quota limits the cores of this process, or "", and the cores that it may use."""
    bound = allowed_cores() or list(range(os.cpu_count() or 1))
    count = usable_cores()
    if count >= len(bound):
        return "", bound
    try:
        group = OWN.read_bytes()
    except OSError:
        group = b"unknown"
    return hashlib.sha256(group).hexdigest()[:16], bound[:count]


def _folder() -> Path:
    """Return the folder of the files, which all users of the machine may write to."""
    base = _SHARED if _SHARED.is_dir() and os.access(_SHARED, os.W_OK) else Path(tempfile.gettempdir())
    folder = base / "explorer-processes"
    with suppress(OSError):
        folder.mkdir()
        folder.chmod(stat.S_ISVTX | 0o777)  # as /tmp: nobody removes the files of another user
    return folder


def _close_files() -> None:
    """In a forked process, close the files: their locks belong to the parent and end with it."""
    while _files:
        os.close(_files.pop())


os.register_at_fork(after_in_child=_close_files)

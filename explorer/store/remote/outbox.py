"""Sends the files of a study to an object store while its trainings run.

Trainings write their files to a folder of their machine. A thread sends them from there: weights once, checkpoints as
long as their training runs. A file stays in the folder until it is sent. So a store that is away for a while, or for
longer than the search runs, loses nothing: the next search on this machine sends what is left.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Protocol

from explorer.errors import StoreError
from explorer.store.remote.files import MAX_PAUSE, ObjectStore, failure_message
from explorer.store.remote.progress import epochs_of_checkpoint
from explorer.system.files import remove, write_atomically

LOOK_SECONDS = 2.0  # between two looks for new checkpoints
COPY_SECONDS = 30.0  # between two copies of a checkpoint: less work is cheap to repeat
CLOSE_SECONDS = 30.0  # for which the end of a search waits until its files are sent
_log = logging.getLogger(__name__)


class Transfers(Protocol):
    """Brings the files of trainings to the machine that needs them."""

    def bring(self, name: str) -> None:
        """Get a checkpoint that a training on another machine has left, unless the one here has more epochs."""
        ...

    def watch(self, name: str) -> None:
        """Send a checkpoint each time that it changes, until ``send`` or ``remove``."""
        ...

    def send(self, name: str) -> None:
        """Send a file. It is removed here when it has arrived."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file here and there."""
        ...

    def close(self) -> None:
        """Send what is left. A file that cannot be sent stays in the folder."""
        ...


class NoTransfers:
    """The files of a study whose place is a folder: they are there already.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def bring(self, name: str) -> None: ...

    def watch(self, name: str) -> None: ...

    def send(self, name: str) -> None: ...

    def remove(self, name: str) -> None:
        remove(self._folder / name)

    def close(self) -> None: ...


class Outbox:
    """Sends the files of a folder to an object store.

    Args:
        store: The object store.
        folder: The folder of this machine.
    """

    def __init__(self, store: ObjectStore, folder: Path):
        self._store, self._folder = store, folder
        self._changed = threading.Condition()
        self._pending: dict[str, str] = {}  # file -> "send", "copy" or "remove", in the order of the requests
        self._watched: dict[str, tuple[int, float]] = {}  # checkpoint -> its version when last sent, and when
        self._is_closing, self._failed = False, False
        self._thread = threading.Thread(target=self._run, name="explorer-outbox", daemon=True)
        self._thread.start()

    def bring(self, name: str) -> None:
        try:
            content = self._store.read(name)
        except StoreError as error:
            _log.warning("%s; the training starts from the checkpoint of this machine, if there is one", error)
            return
        file = self._folder / name
        if content is not None and epochs_of_checkpoint(content) > epochs_of_checkpoint(file):
            try:
                write_atomically(file, content)
            except OSError as error:
                _log.warning("a checkpoint of %s could not be saved: %s", self._store.url, error)

    def watch(self, name: str) -> None:
        with self._changed:
            self._watched[name] = (_version(self._folder / name), time.monotonic())
            if self._pending.get(name) == "send":  # a paused training continues: the file is still needed here
                self._pending[name] = "copy"

    def send(self, name: str) -> None:
        with self._changed:
            self._watched.pop(name, None)
        self._request(name, "send")

    def remove(self, name: str) -> None:
        with self._changed:
            self._watched.pop(name, None)
        remove(self._folder / name)
        self._request(name, "remove")

    def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._look()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._pending, CLOSE_SECONDS)
            left = [name for name, action in self._pending.items() if action != "remove"]
        if left:
            _log.warning(
                "%s: %d files could not be sent yet; they stay in %s, and the next search of the study on this machine"
                " sends them",
                self._store.url,
                len(left),
                self._folder,
            )

    def _request(self, name: str, action: str) -> None:
        with self._changed:
            self._pending.pop(name, None)
            self._pending[name] = action
            self._changed.notify_all()

    def _look(self) -> None:
        """Request copies of the watched checkpoints that have changed; the caller holds the lock."""
        for name, (sent, when) in self._watched.items():
            version = _version(self._folder / name)
            if version != sent and (self._is_closing or time.monotonic() >= when + COPY_SECONDS):
                self._watched[name] = (version, time.monotonic())
                self._pending.setdefault(name, "copy")

    def _run(self) -> None:
        pause = 1.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending, LOOK_SECONDS)
                self._look()
                if self._is_closing and not self._pending:
                    return
                name, action = next(iter(self._pending.items()), ("", ""))
            if not name:
                continue
            if self._done(name, action):
                pause = 1.0
                continue
            with self._changed:
                self._changed.wait(pause)
            pause = min(2 * pause, MAX_PAUSE)

    def _done(self, name: str, action: str) -> bool:
        """Do what was requested for a file; return whether it was done."""
        file = self._folder / name
        try:
            if action == "remove":
                self._store.remove_once(name)
            elif file.is_file():
                self._store.write_once(name, file.read_bytes())
        except FileNotFoundError:  # another process of this machine has sent it
            pass
        except Exception as error:  # each store has exceptions of its own
            if not self._failed:  # once per outage
                _log.warning("%s: %s; trying again", self._store.url, failure_message(error))
            self._failed = True
            return False
        self._failed = False
        with self._changed:
            if self._pending.get(name) == action:
                del self._pending[name]
                if action == "send":
                    remove(file)
            self._changed.notify_all()
        return True


def _version(file: Path) -> int:
    """Return a number that changes when a file is replaced; 0 if there is none."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0

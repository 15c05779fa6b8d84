"""The files of one study, in a folder or in an object store: read, write, list and remove them by name."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from explorer.errors import StoreError
from explorer.store.passwords import driver_message
from explorer.system.files import open_regular, write_atomically, write_in
from explorer.system.installation import install_command

T = TypeVar("T")
RETRY_SECONDS = 90.0  # for which a read is retried: an object store may be away for a minute
MAX_PAUSE = 15.0  # seconds between two attempts
MAX_BYTES = 1 << 36  # of a file in a folder that is read: no weights are larger
# Errors that another attempt does not change: no such bucket, no permission, an operation that the store does not have.
_LASTING = (FileNotFoundError, PermissionError, NotImplementedError, ValueError)
# Stores that show a file only once it is whole. Elsewhere a file is written under another name and then renamed.
_ATOMIC = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "hf", "memory")
_log = logging.getLogger(__name__)


class Files(Protocol):
    """The files of one study."""

    @property
    def shown(self) -> str:
        """Where they are, for messages."""
        ...

    def names(self) -> dict[str, int]:
        """Return the size in bytes of each file, by its name."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a file in one step."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        ...

    def remove_all(self) -> None:
        """Remove all files, and what processes have left behind."""
        ...

    def require_writable(self) -> None:
        """Raise StoreError if a file cannot be written and removed again now. Nothing else changes."""
        ...


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """Files in a folder. Its methods raise OSError.

    Attributes:
        folder: The folder, which may not exist.
    """

    folder: Path

    @property
    def shown(self) -> str:
        return str(self.folder)

    def names(self) -> dict[str, int]:
        files = (path for path in self.folder.glob("*") if path.is_file() and not path.is_symlink())
        return {path.name: path.stat().st_size for path in files}

    def read(self, name: str) -> bytes | None:
        try:
            with open_regular(self.folder / name, MAX_BYTES, follow_links=False) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        write_atomically(self.folder / name, content)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def remove_all(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def require_writable(self) -> None:
        """Write and remove a file in the folder; if it does not exist, in the folder in which it would be created."""
        found = self.folder.absolute()
        try:
            while not _exists(found):
                found = found.parent
            if not found.is_dir():
                raise StoreError(f"{self.folder}: files cannot be written there: {found} is not a folder")
            write_in(found)
        except OSError as error:
            raise StoreError(f"{self.folder}: files cannot be written there: {error.strerror or error}") from None


@dataclass(frozen=True)
class ObjectStore:
    """Files below a URL. Its methods raise StoreError after ``retry_seconds``, with one line and no credentials.

    Attributes:
        url: The URL of the study's files.
        retry_seconds: For how long an operation is retried.
    """

    url: str
    retry_seconds: float = RETRY_SECONDS

    @property
    def shown(self) -> str:
        return self.url

    def names(self) -> dict[str, int]:
        def work() -> dict[str, int]:
            try:
                found = self._system.ls(self.url, detail=True, refresh=True)
            except FileNotFoundError:
                return {}
            return {each["name"].rpartition("/")[2]: each["size"] or 0 for each in found if each["type"] == "file"}

        return self._tried("list", work)

    def read(self, name: str) -> bytes | None:
        def work() -> bytes | None:
            try:
                content: bytes = self._system.cat_file(f"{self.url}/{name}")
                return content
            except FileNotFoundError:
                return None

        return self._tried("read", work, name)

    def write(self, name: str, content: bytes) -> None:
        self._tried("write", lambda: self._write(name, content), name)

    def write_once(self, name: str, content: bytes) -> None:
        """Write a file in one step, without a further attempt. Raises what the library of the store raises."""
        self._write(name, content)

    def remove(self, name: str) -> None:
        self._tried("remove", lambda: self.remove_once(name), name)

    def remove_once(self, name: str) -> None:
        """Remove a file, if there is one, without a further attempt. Raises what the library of the store raises."""
        try:
            self._system.rm_file(f"{self.url}/{name}")
        except FileNotFoundError:
            pass

    def remove_all(self) -> None:
        def work() -> None:
            try:
                self._system.rm(self.url, recursive=True)
            except FileNotFoundError:
                pass

        self._tried("remove", work)

    def require_writable(self) -> None:
        """Write, read and remove a file, without further attempts."""
        name, content = f".check-{secrets.token_hex(4)}", secrets.token_bytes(8)
        at_once = ObjectStore(self.url, retry_seconds=0.0)
        at_once.write(name, content)
        found = at_once.read(name)
        at_once.remove(name)
        if found != content:
            raise StoreError(f"{self.url}: a file that was written there is not the same when it is read")

    def _write(self, name: str, content: bytes) -> None:
        path = f"{self.url}/{name}"
        if self.url.partition(":")[0] in _ATOMIC:
            self._system.pipe_file(path, content)
            return
        self._system.makedirs(self.url, exist_ok=True)
        temporary = f"{self.url}/.writing-{secrets.token_hex(4)}-{name}"
        self._system.pipe_file(temporary, content)
        self._system.mv(temporary, path)

    @cached_property
    def _system(self) -> Any:
        """fsspec's file system. Nothing is cached, because other processes write to it."""
        try:
            import fsspec

            protocol, timeouts = self.url.partition(":")[0], {}
            if protocol in ("s3", "s3a"):
                timeouts = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60}}
            return fsspec.filesystem(protocol, use_listings_cache=False, **timeouts)
        except ImportError as error:
            raise StoreError(f"{self.url}: {error}; s3:// needs: {install_command('artifacts')}") from None

    def _tried(self, verb: str, work: Callable[[], T], name: str = "") -> T:
        """Run an operation, again after errors that may pass, with growing pauses. Each cause is logged once."""
        end, pause, system = time.monotonic() + self.retry_seconds, 0.5, self._system
        assert system is not None
        logged = set[str]()
        while True:
            try:
                return work()
            except Exception as error:  # each store has exceptions of its own
                message = f"{self.url}: cannot {verb} {name or 'the files there'}: {failure_message(error)}"
                if time.monotonic() + pause > end or isinstance(error, _LASTING):
                    raise StoreError(message) from None
                if message not in logged:
                    _log.warning("%s; trying again for up to %.0f s", message, end - time.monotonic())
                logged.add(message)
            time.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)


def _exists(path: Path) -> bool:
    """Return whether there is a file, a folder or a link of this name. Raises OSError if the name is not possible."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def failure_message(error: Exception) -> str:
    """Return the message of an object store's exception on one line, without credentials."""
    return driver_message(error) or type(error).__name__

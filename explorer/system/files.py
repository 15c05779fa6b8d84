"""Files that users name, read within bounds; files and folders that are written whole or not at all; file names made
from a user's text.

What is written lies first beside its place under a name that begins with ``.writing-`` and says who writes, is
flushed to the disk, and takes its place by one rename. A crash leaves the old content or the new, never a part.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.system.processes import has_ended, pid_space

ABANDONED_SECONDS = 24 * 3600  # an age at which no writer is still at work: clocks of two machines may be hours apart
_WRITING = ".writing-"
_EARLIER = ".earlier-"
_log = logging.getLogger(__name__)


def slug(name: str, apart: str = "") -> str:
    """A file name for any text: what is plain of it, and eight hexadecimal digits of its SHA-256. ``apart``: what else
    tells it from others of its name."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "unnamed"
    return f"{plain}-{hashlib.sha256((name + apart).encode()).hexdigest()[:8]}"


def require_writable(path: Path) -> None:
    """Raises ExplorerError unless a file of this name can be written, as far as can be told without writing it: asked
    before long work."""
    folder = path.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if path.is_dir():
        raise ExplorerError(f"{path}: there is a folder of that name; name a file")
    if not folder.is_dir():
        raise ExplorerError(f"{path}: cannot be written: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ExplorerError(f"{path}: cannot be written: no permission to write to {folder}")


def open_regular(path: str | os.PathLike[str], most: int, *, follow_links: bool = True) -> BufferedReader:
    """Open a regular file of at most ``most`` bytes for reading.

    A pipe without a writer does not block, and a device is not read.

    Raises:
        OSError: There is no such file, it cannot be opened, or it is larger, a folder, a pipe or a device.
            ``strerror`` is one line.
    """
    try:
        # O_NONBLOCK: a pipe would wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW))
    except ValueError:
        raise OSError(errno.EINVAL, "a file name holds no NUL and no half of a surrogate pair") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
            kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
            raise OSError(errno.EINVAL, f"it is {kind}, expected a regular file")
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, at most {most:,} are read")
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str], most: int, *, follow_links: bool = True) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes.

    Raises:
        OSError: As ``open_regular``.
    """
    with open_regular(path, most, follow_links=follow_links) as stream:
        data = stream.read(most + 1)
        if len(data) > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes, at most these are read")
        return data


def write_atomically(path: Path, data: bytes) -> str:
    """Writes ``data`` to the file ``path``; returns its SHA-256."""
    return write_whole(path, lambda temporary: temporary.write_bytes(data))


def write_whole(path: Path, write: Callable[[Path], object]) -> str:
    """Has ``write`` fill a temporary file that then takes the place of ``path``; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        write(temporary)
        with open(temporary, "rb+") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return digest


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new empty folder to write into, which takes the place of ``path`` when the ``with`` block ends well.

    A folder that stands there already is replaced. No system call swaps two folders, so the earlier one
    steps aside for a moment; a crash in that moment is mended by the next call, which puts it back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    earlier = path.with_name(f"{_EARLIER}{path.name}")
    _put_back(earlier, path)
    shutil.rmtree(temporary, ignore_errors=True)
    os.mkdir(temporary)
    try:
        yield temporary
        sync_folder(temporary)
        if path.exists():
            os.rename(path, earlier)
        os.rename(temporary, path)
        sync_folder(path.parent)
    finally:
        _put_back(earlier, path)
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{_WRITING}{pid_space()}-{os.getpid()}-{path.name}")


def _put_back(earlier: Path, path: Path) -> None:
    """Ends a replacement: the earlier folder goes when a new one is in place, and returns when none is."""
    if path.exists():
        shutil.rmtree(earlier, ignore_errors=True)
    elif earlier.exists():
        os.rename(earlier, path)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's entries to the disk: without it a rename may be forgotten in a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file that is no longer needed, if it is there. Where the disk refuses it stays, with a warning."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s is no longer needed and cannot be removed: %s", path, error.strerror or error)


def sweep(folder: Path, older_than: float) -> None:
    """Removes what killed writers left in ``folder``, as ``abandoned`` finds it."""
    for stale in abandoned(folder, older_than):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            remove(stale)


def abandoned(folder: Path, older_than: float) -> list[Path]:
    """What killed writers left in ``folder``: all that a process wrote that is seen from here and has ended, and of
    other machines and containers what was left before the time ``older_than``, seconds since the epoch."""
    found = []
    for stale in folder.glob(f"{_WRITING}*"):
        try:
            if _orphaned(stale) or stale.stat().st_mtime < older_than:
                found.append(stale)
        except FileNotFoundError:  # another process swept it
            pass
    return found


def _orphaned(temporary: Path) -> bool:
    """Whether its writer can be seen from here and has ended."""
    match = re.match(rf"{re.escape(_WRITING)}(\w+)-([1-9]\d{{0,9}})-", temporary.name)
    return match is not None and has_ended(match[1], int(match[2]))

"""Files that users name, read within bounds; files and folders that are written whole or not at all; file names made
from a user's text.

What is written lies first beside its place under a name that begins with ``.writing-`` and says who writes, is
flushed to the disk, and takes its place by one rename. A crash leaves the old content or the new, never a part.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_WRITING = ".writing-"
_EARLIER = ".earlier-"


def slug(name: str, apart: str = "") -> str:
    """A file name for any text: what is plain of it, and eight hexadecimal digits of its SHA-256. ``apart``: what else
    tells it from others of its name."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "unnamed"
    return f"{plain}-{hashlib.sha256((name + apart).encode()).hexdigest()[:8]}"


def open_regular(path: str | os.PathLike[str], most: int, *, follow_links: bool = True) -> BinaryIO:
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
    return path.with_name(f"{_WRITING}{_machine()}-{os.getpid()}-{path.name}")


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", platform.node())[:20] or "unnamed"


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


def sweep(folder: Path, older_than: float) -> None:
    """Removes what killed writers left in ``folder``, as ``abandoned`` finds it."""
    for stale in abandoned(folder, older_than):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)  # another process may have swept it


def abandoned(folder: Path, older_than: float) -> list[Path]:
    """What killed writers left in ``folder``: all that a process of this machine wrote which is no more, and of other
    machines' what was left before the time ``older_than``, seconds since the epoch."""
    found = []
    for stale in folder.glob(f"{_WRITING}*"):
        try:
            if _orphaned(stale) or stale.stat().st_mtime < older_than:
                found.append(stale)
        except FileNotFoundError:  # another process swept it
            pass
    return found


def _orphaned(temporary: Path) -> bool:
    """Whether its writer was a process of this machine that has ended."""
    match = re.match(rf"{re.escape(_WRITING)}{_machine()}-([1-9]\d{{0,9}})-", temporary.name)
    if match is None:
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):  # somebody else's process, or none that can be
        pass
    return False

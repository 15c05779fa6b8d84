"""Bounded reads of files that users name, atomic writes of files and folders, and file names for any text.

A new file or folder is written next to its target under a name that begins with ``.writing-`` and identifies the
writer, flushed to the disk, and renamed. After a crash the target has its old or its new content, never a part.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.system.processes import has_ended, pid_space

ABANDONED_SECONDS = 24 * 3600  # age at which a writer on another machine has ended; clocks may differ by hours
_WRITING = ".writing-"
_EARLIER = ".earlier-"
_log = logging.getLogger(__name__)


def slug(name: str, salt: str = "") -> str:
    """Return a file name for any text: its plain characters, and eight hexadecimal digits of its SHA-256.

    Args:
        name: The text.
        salt: Further text that distinguishes it from others of the same name; only its hash is in the file name.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "unnamed"
    return f"{plain}-{hashlib.sha256((name + salt).encode()).hexdigest()[:8]}"


def require_writable(path: Path) -> None:
    """Check before long work that a file can be written, as far as this is possible without writing it.

    Args:
        path: The file.

    Raises:
        ExplorerError: There is a folder of that name, its parent is not a folder, or writing is not permitted.
    """
    folder = path.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if path.is_dir():
        raise ExplorerError(f"{path}: there is a folder of that name; name a file")
    if not folder.is_dir():
        raise ExplorerError(f"{path}: cannot be written: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ExplorerError(f"{path}: cannot be written: no permission to write to {folder}")


def write_in(folder: Path) -> None:
    """Write a temporary file in a folder and remove it. Raises OSError if that fails."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())


def check_output(path: Path, suffixes: Sequence[str], is_earlier: Callable[[Path], bool], option: str = "") -> None:
    """Check that an output file can be written.

    Args:
        path: Path of the file.
        suffixes: Valid suffixes of the file name; the first is suggested.
        is_earlier: Returns whether an existing file is an earlier output of the command, which may be replaced.
        option: Option that names the file, for messages; empty in Python.

    Raises:
        ExplorerError: The name has another suffix, the file cannot be written, or a file exists
            there that the command did not write.
    """
    named = f"{option} {path}".strip()
    if path.suffix.lower() not in suffixes:
        kind = suffixes[0][1:]
        raise ExplorerError(f"{named}: the file is written as {kind}; give it a name that ends in {suffixes[0]}")
    try:
        require_writable(path)
        if path.exists() and not path.is_file():
            raise ExplorerError(f"{path}: it is not a regular file")
        foreign = path.is_file() and path.stat().st_size and not is_earlier(path)
    except ExplorerError as error:
        raise ExplorerError(f"{option} {error}".strip()) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExplorerError(f"{named[:200]!r}: cannot be written: {reason}") from None
    if foreign:
        raise ExplorerError(
            f"{named}: the file there was not written by this command; remove it or choose another name"
        )


def begins_with(path: Path, start: str) -> bool:
    """Return whether the text of a file begins with ``start``."""
    with path.open("rb") as stream:
        return stream.read(len(start.encode())) == start.encode()


def open_regular(path: str | os.PathLike[str], max_bytes: int, *, follow_links: bool = True) -> BufferedReader:
    """Open a regular file of at most ``max_bytes`` bytes for reading.

    A pipe without a writer does not block, and a device is not read.

    Args:
        path: The file.
        max_bytes: Largest size in bytes.
        follow_links: Whether ``path`` may be a symbolic link.

    Raises:
        OSError: There is no such file, it cannot be opened, or it is larger, a folder, a pipe or a device.
            ``strerror`` is one line.
    """
    try:
        # O_NONBLOCK: opening a pipe would wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW))
    except ValueError:
        raise OSError(errno.EINVAL, "a file name cannot contain NUL or half of a surrogate pair") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
            kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
            raise OSError(errno.EINVAL, f"it is {kind}, expected a regular file")
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, at most {max_bytes:,} are read")
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str], max_bytes: int, *, follow_links: bool = True) -> bytes:
    """Return the content of a regular file of at most ``max_bytes`` bytes.

    Args:
        path: The file.
        max_bytes: Largest size in bytes.
        follow_links: Whether ``path`` may be a symbolic link.

    Raises:
        OSError: As ``open_regular``.
    """
    with open_regular(path, max_bytes, follow_links=follow_links) as stream:
        data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes, at most these are read")
        return data


def write_atomically(path: Path, data: bytes) -> str:
    """Write a file in one step.

    Args:
        path: The file; missing parent folders are created.
        data: Its content.

    Returns:
        The SHA-256 of the content, in hexadecimal.
    """
    return write_whole(path, lambda temporary: temporary.write_bytes(data))


def write_whole(path: Path, write: Callable[[Path], object]) -> str:
    """Write a file in one step: ``write`` fills a temporary file, which then replaces ``path``.

    Args:
        path: The file; missing parent folders are created.
        write: Called with the path of the temporary file, which it must create.

    Returns:
        The SHA-256 of the content, in hexadecimal.
    """
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
    """Provide a new empty folder, which replaces ``path`` when the ``with`` block ends without an exception.

    No system call swaps two folders, so an existing folder is renamed before the new one takes its place. After a crash
    between the two renames the next call restores it.

    Args:
        path: The folder; missing parent folders are created.
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
    """Return the name under which this process writes ``path``."""
    return path.with_name(f"{_WRITING}{pid_space()}-{os.getpid()}-{path.name}")


def _put_back(earlier: Path, path: Path) -> None:
    """Finish a replacement: remove the earlier folder if the new one is in place, else restore it."""
    if path.exists():
        shutil.rmtree(earlier, ignore_errors=True)
    elif earlier.exists():
        os.rename(earlier, path)


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to the disk; otherwise a rename can be lost in a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file that is no longer needed, if it exists. Log a warning if it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s is no longer needed and cannot be removed: %s", path, error.strerror or error)


def sweep(folder: Path, older_than: float) -> None:
    """Remove the files and folders that ``abandoned`` finds.

    Args:
        folder: Where to look.
        older_than: Seconds since the epoch, as for ``abandoned``.
    """
    for stale in abandoned(folder, older_than):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            remove(stale)


def abandoned(folder: Path, older_than: float) -> list[Path]:
    """Return the temporary files and folders that killed writers left.

    Args:
        folder: Where to look.
        older_than: Seconds since the epoch. A file is abandoned if its writer ran on this machine, in this container,
            and has ended, or if the file is older than this, whichever process wrote it.
    """
    found = []
    for stale in folder.glob(f"{_WRITING}*"):
        try:
            if _orphaned(stale) or stale.stat().st_mtime < older_than:
                found.append(stale)
        except FileNotFoundError:  # another process has removed it
            pass
    return found


def _orphaned(temporary: Path) -> bool:
    """Return whether the writer ran on this machine, in this container, and has ended."""
    match = re.match(rf"{re.escape(_WRITING)}(\w+)-([1-9]\d{{0,9}})-", temporary.name)
    return match is not None and has_ended(match[1], int(match[2]))

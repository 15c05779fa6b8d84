"""Check, open and copy the file of an SQLite database.

For writing, the file is opened in WAL mode with ``synchronous=FULL`` and a busy timeout of one minute. So a committed
write survives a crash, readers never wait for a writer, and sixteen concurrent writers lose nothing. For reading, the
file is opened read-only: no table is created or altered.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from explorer.errors import StoreError
from explorer.store.passwords import driver_message
from explorer.system.files import write_whole

BUSY_SECONDS = 60  # that SQLite waits for another program's lock before it raises an error
LOCK_WARNING_SECONDS = 3  # of waiting for a lock before a warning is logged
_SQLITE_MAGIC = b"SQLite format 3\0"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SYSTEM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL)  # the file system refused a request
_PROBE_BYTES = 1 << 16  # more than SQLite's shared-memory file, which it writes before it can read: 32 KiB
NO_LOCKS = (
    "the file system of {folder} does not support file locks, which SQLite needs; "
    "put the database in a folder on a local disk, or use PostgreSQL (postgresql+psycopg://...)"
)
_log = logging.getLogger(__name__)


def check_file(file: Path, storage: str) -> None:
    """Raise StoreError unless the file is readable and an SQLite database.

    Args:
        file: The file.
        storage: The database in messages.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise StoreError(f"{storage}: {file} cannot be read: {error.strerror}") from None
    if head != _SQLITE_MAGIC:
        found = "is empty" if not head else "is not an SQLite database"
        raise StoreError(f"{storage}: {file} {found}; give the file that 'explorer search' wrote")


def check_writable(file: Path, storage: str) -> None:
    """Raise StoreError if an SQLite database cannot be written to, as far as this can be checked without opening it.

    The folder must be writable too: SQLite creates two more files next to the database.
    """
    if not file.parent.is_dir():
        raise StoreError(f"{storage}: there is no folder {file.parent}; create it, or give another --storage")
    for place in (file.resolve().parent, file):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreError(f"{storage}: {place} cannot be written to; copy the database, or give another --storage")
    if not has_locks(file.resolve().parent):
        raise StoreError(f"{storage}: {NO_LOCKS.format(folder=file.resolve().parent)}")
    if file.exists() and file.stat().st_size:
        check_file(file, storage)


def check_pages(file: Path, storage: str) -> None:
    """Raise StoreError if a page of the database is damaged, since writing could destroy the remaining data.

    An error of the system, such as a full disk, and a lock of another program raise a StoreError with that reason.
    """
    engine = reading_engine(file)
    try:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except SQLAlchemyError as error:
        if _code(error) not in _DAMAGED:
            raise StoreError(f"{storage}: {file} cannot be opened: {explain(error, file)}") from error
        found = driver_message(error)
    finally:
        engine.dispose()
    if found != "ok":
        result = " ".join(str(found).split())[:200]
        raise StoreError(
            f"{storage}: {file} is damaged (quick_check: {result}); restore a backup, "
            "or recover what is left with sqlite3's .recover"
        )


def explain(error: SQLAlchemyError, file: Path | None) -> str:
    """Return a driver's message, with the system's reason if the file system refused a request of SQLite.

    SQLite itself reports "disk I/O error" or "unable to open database file" when the disk is full.

    Args:
        error: The error.
        file: The database's file; None for a server or a database in memory.
    """
    message = driver_message(error)
    if file is None or _code(error) not in _SYSTEM:
        return message
    try:
        with tempfile.TemporaryFile(dir=file.resolve().parent) as probe:
            probe.write(bytes(_PROBE_BYTES))
    except OSError as refusal:
        if refusal.errno in (errno.ENOSPC, errno.EDQUOT):
            return (
                f"the disk is full ({refusal.strerror}), and SQLite writes a file beside the database even to read it;"
                " free some space and run the same command again"
            )
        return f"{message} ({refusal.strerror})"
    return f"{message} ({getattr(error.__cause__, 'sqlite_errorname', 'no further reason')})"


def _code(error: SQLAlchemyError) -> int:
    """Return SQLite's primary error code, or 0."""
    return getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF


def has_locks(folder: Path) -> bool:
    """Return whether files of a folder can be locked as SQLite locks them; True if this cannot be tested.

    The test locks a new file, because closing a second handle of the database's file would release SQLite's locks.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix=".explorer-lock-", dir=folder) as probe:
            try:
                fcntl.lockf(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # no other process uses this file, so the file system does not support locks
                return False
    except OSError:
        pass
    return True


def without_locks(file: Path, storage: str) -> bool:
    """Return whether the file must be read without locks, because its file system does not support them.

    Logs a warning if another program holds a lock on the file.

    Args:
        file: The database's file.
        storage: The database in messages.

    Raises:
        StoreError: Its file system does not support locks, and it has a write-ahead log, which SQLite cannot
            read without locks.
    """
    engine = reading_engine(file, timeout=LOCK_WARNING_SECONDS)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
        return False
    except OperationalError as error:
        folder = file.resolve().parent
        if not has_locks(folder):
            log = file.resolve().with_name(f"{file.resolve().name}-wal")
            if log.exists() and log.stat().st_size:
                raise StoreError(f"{storage}: {NO_LOCKS.format(folder=folder)}") from None
            return True
        if "locked" in driver_message(error):
            _log.warning("%s: locked by another program; waiting for it up to %d s", storage, BUSY_SECONDS)
        return False
    except SQLAlchemyError:  # a damaged file: the first read raises the error
        return False
    finally:
        engine.dispose()


@contextmanager
def warning_while_locked(storage: str) -> Iterator[None]:
    """Log a warning if SQLite waits for another program's lock for more than LOCK_WARNING_SECONDS.

    Args:
        storage: The database in messages.
    """
    message = "%s: still waiting after %d s to write; another program may hold a lock on it; waiting up to %d s"
    arguments = [message, storage, LOCK_WARNING_SECONDS, BUSY_SECONDS]
    timer = threading.Timer(LOCK_WARNING_SECONDS, _log.warning, arguments)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def reading_engine(file: Path, without_locks: bool = False, timeout: float = BUSY_SECONDS) -> Engine:
    """Return an engine that opens the file read-only. Each transaction reads one consistent state.

    A reader of a database in WAL mode creates a file next to it. If the folder is read-only and there is no write-ahead
    log, the connection is opened as immutable instead, since no process can write.

    Args:
        file: The database's file.
        without_locks: Whether to open the file as immutable in any case.
        timeout: How long SQLite waits for another program's lock, in seconds.
    """
    path, log = file.resolve(), file.resolve().with_name(f"{file.resolve().name}-wal")

    def connect() -> sqlite3.Connection:
        unchanging = not os.access(path.parent, os.W_OK) and not log.exists()
        uri = f"file:{quote(os.fsencode(path))}?mode=ro{'&immutable=1' if unchanging or without_locks else ''}"
        connection = sqlite3.connect(uri, uri=True, timeout=timeout)
        connection.execute("PRAGMA temp_store=MEMORY").close()  # for temporary views: no folder may be writable
        return connection

    engine = sqlalchemy.create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool, creator=connect)
    use_explicit_transactions(engine)
    return engine


def make_durable(connection: Any, _record: Any) -> None:
    """Set a new connection to WAL mode and ``synchronous=FULL``, and enforce foreign keys.

    The change to WAL mode needs an exclusive lock and ignores the busy timeout, so it is retried in a loop.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous=FULL").close()
    connection.execute("PRAGMA foreign_keys=ON").close()


def use_explicit_transactions(engine: Engine) -> None:
    """Begin transactions explicitly, so that all reads of a transaction see the same state.

    A writing transaction acquires the write lock at its start. If it read first, SQLite would not wait for the lock.
    """

    @event.listens_for(engine, "connect", insert=True)
    def disable_implicit_begin(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def identity(file: Path) -> tuple[int, int] | None:
    """Return device and inode, which identify a file independently of its name; None if there is no such file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def back_up(file: Path, found: int, shown: str) -> Path:
    """Copy a database file, including the content of its write-ahead log.

    The copy is named ``NAME.v1.bak`` for tables of version 1, or ``NAME.v1-2.bak`` and so on: no file is overwritten.
    It has the mode of the original and is flushed to the disk. The caller holds the database's write lock, so that no
    process writes during the copy.

    Args:
        file: The database's file.
        found: The schema version of its tables.
        shown: The database in messages.

    Returns:
        The path of the copy.

    Raises:
        StoreError: The disk has not twice the file's size free, or the copy cannot be written.
    """
    needed, free = 2 * file.stat().st_size, shutil.disk_usage(file.parent).free
    path = next(path for path in _backup_names(file, found) if not os.path.lexists(path))
    if free < needed:
        raise StoreError(
            f"{shown}: its tables are of version {found}; before they change it is copied to {path.name}, for which "
            f"{needed / 2**20:.1f} MiB are needed on its disk and {free / 2**20:.1f} are free; free some and run the "
            "same command again"
        )

    def write(temporary: Path) -> None:
        temporary.touch(0o600)
        shutil.copymode(file, temporary)
        source = sqlite3.connect(f"file:{quote(os.fsencode(file))}?mode=ro", uri=True)
        with closing(source), closing(sqlite3.connect(temporary)) as copy:
            source.backup(copy)

    try:
        write_whole(path, write)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{shown}: its tables are of version {found}; the copy {path} that is made before they change cannot be "
            f"written: {error}"
        ) from error
    return path


def _backup_names(file: Path, found: int) -> Iterator[Path]:
    """Yield the possible paths of a backup in order of preference."""
    yield file.with_name(f"{file.name}.v{found}.bak")
    for number in count(2):
        yield file.with_name(f"{file.name}.v{found}-{number}.bak")

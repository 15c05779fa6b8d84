"""An SQLite database as a file: whether it can be read, written and locked, how it is opened, how it is copied.

To write, the file is opened in WAL mode with ``synchronous=FULL`` and a busy timeout of a minute: an acknowledged write
survives a crash, readers never wait for a writer, and sixteen writers lose nothing. To read, it is opened read only:
nothing is created, and no table is altered.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
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

BUSY_SECONDS = 60
TOLD_SECONDS = 3  # of waiting for a lock, after which the log says so
_SQLITE_MAGIC = b"SQLite format 3\0"
NO_LOCKS = (
    "the file system of {folder} does not support file locks, which SQLite needs; "
    "put the database into a folder on a local disk, or use PostgreSQL (postgresql+psycopg://...)"
)
_log = logging.getLogger(__name__)


def check_file(file: Path, storage: str) -> None:
    try:
        with file.open("rb") as stream:
            head = stream.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise StoreError(f"{storage}: {file} cannot be read: {error.strerror}") from None
    if head != _SQLITE_MAGIC:
        found = "is empty" if not head else "is not an SQLite database"
        raise StoreError(f"{storage}: {file} {found}; give the file that 'explorer search' wrote")


def check_writable(file: Path, storage: str) -> None:
    """SQLite writes to the file and to two more beside it."""
    for place in (file.resolve().parent, file):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreError(f"{storage}: {place} cannot be written to; copy the database, or give another --storage")


def check_pages(file: Path, storage: str) -> None:
    """Refuses to write to a database with a damaged page, which would bury what is left of it."""
    engine = reading_engine(file)
    try:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except SQLAlchemyError as error:
        found = driver_message(error)
    finally:
        engine.dispose()
    if found != "ok":
        said = " ".join(str(found).split())[:200]
        raise StoreError(
            f"{storage}: {file} is damaged (quick_check: {said}); put back a copy, "
            "or save what is left with sqlite3's .recover"
        )


def has_locks(folder: Path) -> bool:
    """Whether files of the folder can be locked, as SQLite locks its own. True where that cannot be tried.

    The file that is tried is a new one: to close another handle of the database's file would release SQLite's locks.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix=".explorer-lock-", dir=folder) as probe:
            try:
                fcntl.lockf(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # nobody else knows this file: it is the file system that refuses
                return False
    except OSError:
        pass
    return True


def without_locks(file: Path, storage: str) -> bool:
    """Whether the file must be read without locks, since its file system has none. Raises StoreError where that would
    not read all of it. Says so when another program holds a lock that has to be waited for."""
    engine = reading_engine(file, timeout=TOLD_SECONDS)
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
    except SQLAlchemyError:  # a damaged file: the first reading will say so
        return False
    finally:
        engine.dispose()


def reading_engine(file: Path, without_locks: bool = False, timeout: float = BUSY_SECONDS) -> Engine:
    """Return an engine that decides at each connection how to open the file.

    A reader of a database in WAL mode makes a file beside it; where that cannot be, and nobody writes, SQLite must be
    told that the file does not change. Each transaction reads one state of the database.
    """
    path, log = file.resolve(), file.resolve().with_name(f"{file.resolve().name}-wal")

    def connect() -> sqlite3.Connection:
        at_rest = not os.access(path.parent, os.W_OK) and not log.exists()
        uri = f"file:{quote(os.fsencode(path))}?mode=ro{'&immutable=1' if at_rest or without_locks else ''}"
        connection = sqlite3.connect(uri, uri=True, timeout=timeout)
        connection.execute("PRAGMA temp_store=MEMORY").close()  # of views; no folder need be writable
        return connection

    engine = sqlalchemy.create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool, creator=connect)
    begin_as_asked(engine)
    return engine


def make_durable(connection: Any, _record: Any) -> None:
    """WAL needs the file alone for a moment, and that switch does not honour the busy timeout: hence the loop."""
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


def begin_as_asked(engine: Engine) -> None:
    """Begin transactions explicitly, so that all reads of one see the same state. A writing transaction takes the write
    lock at its start: one that began by reading could not wait for it."""

    @event.listens_for(engine, "connect", insert=True)
    def leave_beginning_to_us(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def identity(file: Path) -> tuple[int, int] | None:
    """What tells a file from another of its name; None when there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def back_up(file: Path, found: int, shown: str) -> Path:
    """Copy the database ``file`` with what its write-ahead log holds; return the path of the copy.

    The copy is ``NAME.v1.bak`` for tables of version 1, or ``NAME.v1-2.bak`` and so on: no file is overwritten. It
    has the mode of the original and is complete on the disk when this returns. The caller holds the database's
    write lock, so that nothing is written meanwhile.

    Args:
        file: The database's file.
        found: The version of its tables.
        shown: The database in messages.

    Raises:
        StoreError: The disk lacks room for the copy and as much again, or the copy cannot be written.
    """
    needed, free = 2 * file.stat().st_size, shutil.disk_usage(file.parent).free
    path = next(path for path in _names(file, found) if not os.path.lexists(path))
    if free < needed:
        raise StoreError(
            f"{shown}: its tables are of version {found}; before they change it is copied to {path.name}, for which "
            f"{needed / 2**20:.1f} MiB are needed on its disk and {free / 2**20:.1f} are free; free some and run the "
            "same line again"
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


def _names(file: Path, found: int) -> Iterator[Path]:
    yield file.with_name(f"{file.name}.v{found}.bak")
    for number in count(2):
        yield file.with_name(f"{file.name}.v{found}-{number}.bak")

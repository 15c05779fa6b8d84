"""A database: where it lies, how it is opened for reading or writing, and what its errors mean.

SQLite is opened in WAL mode with ``synchronous=FULL`` and a busy timeout of a minute: an acknowledged
write survives a crash, readers never wait for a writer, and sixteen writers lose nothing. To read is
to open read only: nothing is created, and no table is altered.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool, StaticPool

from explorer.errors import StoreError
from explorer.store import schema
from explorer.store.checking import DamagedRow
from explorer.store.passwords import hide_passwords
from explorer.store.storage_url import DEFAULT_STORAGE as DEFAULT_STORAGE
from explorer.store.storage_url import parse_storage, shown_storage, sqlite_file

BUSY_SECONDS = 60
TOLD_SECONDS = 3  # of waiting for a lock, after which it is said
PATIENCE_SECONDS = 600
FIRST_PAUSE = 0.1
FREE_BYTES = 256 << 20  # without which no search is begun
_SQLITE_MAGIC = b"SQLite format 3\0"
_NO_LOCKS = (
    "the file system of {folder} does not support file locks, which SQLite needs; "
    "put the database into a folder on a local disk, or use PostgreSQL (postgresql+psycopg://...)"
)
_UNSTORABLE = (DataError, InterfaceError, ProgrammingError)  # what drivers raise for a value that they do not take
_log = logging.getLogger(__name__)
T = TypeVar("T")


class UnstorableValue(StoreError):
    """A value that the database does not take; no waiting helps."""


@dataclass(frozen=True)
class Database:
    """An opened database. ``shown``: its URL without the password; ``file``: an SQLite database's path;
    ``opened``: which file that was, where it is written to; ``hurry``: set from outside to wait no longer for a
    database that cannot be written to."""

    engine: Engine = field(repr=False)  # it may show a password that stands in the URL's query
    shown: str
    file: Path | None
    opened: tuple[int, int] | None = field(default=None, compare=False, repr=False)
    hurry: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    def __reduce__(self):
        """A copy sent to another process opens the same database for reading."""
        if self.in_memory:
            raise TypeError(
                "a study in memory cannot be sent to another process or written to a file;"
                " search with storage='sqlite:///FILE'"
            )
        url = self.engine.url if self.file is None else URL.create("sqlite", database=str(self.file.resolve()))
        return open_for_reading, (url.render_as_string(hide_password=False),)

    def __deepcopy__(self, memo: dict) -> Database:
        return self  # it is a handle: a copy would be of the same database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read from, one consistent snapshot. Raises StoreError."""
        with self._explained("read"), self.engine.connect() as connection:
            yield connection

    def write(
        self,
        work: Callable[[Connection], T],
        patience: float = PATIENCE_SECONDS,
        on_trouble: Callable[[], None] = lambda: None,
    ) -> T:
        """What ``work`` returns, run in one transaction.

        A database that is locked, full or away is tried again, ever more slowly, for ``patience``
        seconds: the result of an hour's training is worth the wait. Before the first wait ``on_trouble``
        is called. Raises StoreError when the patience is at its end.
        """
        end, pause = time.monotonic() + patience, FIRST_PAUSE
        with self._explained("write to"):
            while True:
                try:
                    with self._told_when_locked(), self._writing() as connection:
                        done = work(connection)
                    self._require_its_file()
                    return done
                except OperationalError as error:
                    if pause == FIRST_PAUSE:
                        on_trouble()
                    if time.monotonic() + pause > end or self.hurry.is_set():
                        raise
                    _log.warning("%s: %s; trying again in %.1f s", self.shown, _said(error), pause)
                self.hurry.wait(pause)
                pause = min(2 * pause, 10.0)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def _told_when_locked(self) -> Iterator[None]:
        """Says in the log, while SQLite waits for another program's lock without a word, that it does."""
        if self.file is None:
            yield
            return
        said = "%s: still waiting after %d s to write; another program may hold a lock on it, up to %d s are waited for"
        timer = threading.Timer(TOLD_SECONDS, _log.warning, [said, self.shown, TOLD_SECONDS, BUSY_SECONDS])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _require_its_file(self) -> None:
        """Raises StoreError when the file that is open is no longer the one of its name: what is written to a removed
        file is gone with its last reader."""
        if self.file is None or self.opened is None:
            return
        if _identity(self.file) != self.opened:
            raise StoreError(
                f"{self.shown}: the file {self.file} was removed or replaced while in use;"
                " what is written now is lost; put it back and run the same line again"
            )

    def require_space(self) -> None:
        """Raises StoreError when the disk of an SQLite database is nearly full: better now than after an hour."""
        if self.file is None:
            return
        free = shutil.disk_usage(self.file.resolve().parent).free
        if free < FREE_BYTES:
            raise StoreError(
                f"{self.shown}: only {free / 2**20:.0f} MiB are free on its disk, a search wants "
                f"{FREE_BYTES / 2**20:.0f}; free some, or give another --storage"
            )

    @property
    def in_memory(self) -> bool:
        """True for a database that nobody else can open."""
        return self.file is None and self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (UnicodeError, OverflowError) as error:
            raise UnstorableValue(f"{self.shown}: cannot {verb} this database: {error}") from error
        except SQLAlchemyError as error:
            kind = UnstorableValue if isinstance(error, _UNSTORABLE) else StoreError
            raise kind(f"{self.shown}: cannot {verb} this database: {_said(error)}") from error
        except DamagedRow as error:
            raise StoreError(f"{self.shown}: {error}; the row is damaged, put back a copy of the database") from error


def open_for_reading(storage: str | os.PathLike[str]) -> Database:
    """The database at ``storage``, read only. Raises StoreError when it is absent, unreadable or not an explorer's."""
    url = parse_storage(storage)
    shown, file = shown_storage(url), sqlite_file(url)
    if file is None:
        database = Database(_engine(url, poolclass=NullPool), shown, None)
    else:
        if not file.exists():
            raise StoreError(f"{shown}: there is no file {file}; 'explorer search' makes it, or give another --storage")
        _check_file(file, shown)
        database = Database(_reading_engine(file, _without_locks(file, shown)), shown, file)
    with database.read() as connection:
        schema.check(connection, database.shown)
    return database


def open_for_writing(storage: str | os.PathLike[str] | None) -> Database:
    """The database at ``storage``, its tables made where they are missing; None: one in memory, gone with it.

    Raises StoreError, before anything is written, for what is no database or is another version's.
    """
    check_storage(storage)
    if storage is None:
        engine = _engine(URL.create("sqlite"), poolclass=StaticPool, connect_args={"check_same_thread": False})
        database = Database(engine, "memory", None)
    else:
        check_storage(storage)
        url = parse_storage(storage)
        shown, file = shown_storage(url), sqlite_file(url)
        if file is None:
            database = Database(_engine(url, pool_pre_ping=True), shown, None)
        else:
            if file.exists() and file.stat().st_size:
                _check_pages(file, shown)
            url = URL.create("sqlite", database=str(file))
            database = Database(_engine(url, connect_args={"timeout": BUSY_SECONDS}), shown, file)
            event.listen(database.engine, "connect", _make_durable)
    if database.engine.dialect.name == "sqlite":
        _begin_as_asked(database.engine)
    database.write(lambda connection: schema.create(connection, database.shown), patience=0)
    return replace(database, opened=_identity(database.file)) if database.file else database


def check_storage(storage: str | os.PathLike[str] | None) -> None:
    """Raises StoreError for a storage that cannot be written to, as far as can be told without opening it: asked before
    long work."""
    if storage is None:
        return
    url = parse_storage(storage)
    shown, file = shown_storage(url), sqlite_file(url)
    if file is not None:
        if not file.parent.is_dir():
            raise StoreError(f"{shown}: there is no folder {file.parent}; make it, or give another --storage")
        _check_writable(file, shown)
        if not has_locks(file.resolve().parent):
            raise StoreError(f"{shown}: {_NO_LOCKS.format(folder=file.resolve().parent)}")
        if file.exists() and file.stat().st_size:
            _check_file(file, shown)


def database_file(storage: str | os.PathLike[str]) -> Path | None:
    """The file of the database at ``storage``, which need not exist; None for a server's. Raises StoreError."""
    return sqlite_file(parse_storage(storage))


def _identity(file: Path) -> tuple[int, int] | None:
    """What tells a file from another of its name; None when there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _engine(url: URL, **options) -> Engine:
    try:
        return sqlalchemy.create_engine(url, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"{shown_storage(url)}: its driver is not installed ({error}); install the extra 'postgres', which brings"
            " psycopg, and write postgresql://..."
        ) from None


def _check_file(file: Path, storage: str) -> None:
    try:
        with file.open("rb") as stream:
            head = stream.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise StoreError(f"{storage}: {file} cannot be read: {error.strerror}") from None
    if head != _SQLITE_MAGIC:
        found = "is empty" if not head else "is not an SQLite database"
        raise StoreError(f"{storage}: {file} {found}; give the file that 'explorer search' wrote")


def _check_writable(file: Path, storage: str) -> None:
    """SQLite writes to the file and to two more beside it."""
    for place in (file.resolve().parent, file):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreError(f"{storage}: {place} cannot be written to; copy the database, or give another --storage")


def _check_pages(file: Path, storage: str) -> None:
    """Refuses to write to a database with a damaged page, which would bury what is left of it."""
    engine = _reading_engine(file)
    try:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except SQLAlchemyError as error:
        found = _said(error)
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


def _without_locks(file: Path, storage: str) -> bool:
    """Whether the file must be read without locks, since its file system has none. Raises StoreError where that would
    not read all of it. Says so when another program holds a lock that has to be waited for."""
    engine = _reading_engine(file, timeout=TOLD_SECONDS)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
        return False
    except OperationalError as error:
        folder = file.resolve().parent
        if not has_locks(folder):
            log = file.resolve().with_name(f"{file.resolve().name}-wal")
            if log.exists() and log.stat().st_size:
                raise StoreError(f"{storage}: {_NO_LOCKS.format(folder=folder)}") from None
            return True
        if "locked" in _said(error):
            _log.warning("%s: locked by another program; waiting for it up to %d s", storage, BUSY_SECONDS)
        return False
    except SQLAlchemyError:  # a damaged file: the first reading will say so
        return False
    finally:
        engine.dispose()


def _reading_engine(file: Path, without_locks: bool = False, timeout: float = BUSY_SECONDS) -> Engine:
    """Looks anew at each connection how to open the file. A reader of a database in WAL mode makes a file beside it;
    where that cannot be, and nobody writes, SQLite must be told that the file does not change."""
    path, log = file.resolve(), file.resolve().with_name(f"{file.resolve().name}-wal")

    def connect() -> sqlite3.Connection:
        at_rest = not os.access(path.parent, os.W_OK) and not log.exists()
        uri = f"file:{quote(os.fsencode(path))}?mode=ro{'&immutable=1' if at_rest or without_locks else ''}"
        return sqlite3.connect(uri, uri=True, timeout=timeout)

    return _engine(URL.create("sqlite", database=str(path)), poolclass=NullPool, creator=connect)


def _make_durable(connection, _record) -> None:
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


def _begin_as_asked(engine: Engine) -> None:
    """A writing transaction takes the write lock at its start: one that began by reading could not wait for it."""

    @event.listens_for(engine, "connect", insert=True)
    def leave_beginning_to_us(connection, _record) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _said(error: SQLAlchemyError) -> str:
    """The driver's own words, on one line: SQLAlchemy's add the statement and its parameters."""
    words = str(error.orig) if isinstance(error, DBAPIError) and error.orig is not None else str(error)
    return hide_passwords(" ".join(words.split()))[:300]

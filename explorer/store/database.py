"""A database: where it lies, how it is opened for reading or writing, and what its errors mean.

Opened for writing, a database of an earlier version is migrated, after a copy of an SQLite file was made beside it.
Opened for reading, it stays as it is, and each read sees its tables as those of today (``migrations``).
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, func, inspect, select
from sqlalchemy.exc import (
    DataError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool, StaticPool

from explorer.errors import StoreError
from explorer.store import migrations
from explorer.store.checking import DamagedRow
from explorer.store.passwords import driver_message
from explorer.store.schema import check_no_triggers, check_no_views, check_tables, metadata, version
from explorer.store.sqlite_file import (
    BUSY_SECONDS,
    NO_LOCKS,
    TOLD_SECONDS,
    back_up,
    begin_as_asked,
    check_file,
    check_pages,
    check_writable,
    has_locks,
    identity,
    make_durable,
    reading_engine,
    without_locks,
)
from explorer.store.storage_url import DEFAULT_STORAGE as DEFAULT_STORAGE
from explorer.store.storage_url import parse_storage, shown_storage, sqlite_file
from explorer.system.files import remove

PATIENCE_SECONDS = 600
FIRST_PAUSE = 0.1
FREE_BYTES = 256 << 20  # without which no search is begun
_CREATION_LOCK = 0x6578706C  # the number of this project's advisory lock on PostgreSQL
_UNSTORABLE = (DataError, InterfaceError, ProgrammingError)  # what drivers raise for a value that they do not take
_log = logging.getLogger(__name__)
T = TypeVar("T")


class UnstorableValue(StoreError):
    """A value that the database does not take; no waiting helps."""


@dataclass(frozen=True)
class Database:
    """An opened database. ``shown``: its URL without the password; ``file``: an SQLite database's path;
    ``opened``: which file that was, where it is written to; ``hurry``: set from outside to wait no longer for a
    database that cannot be written to; ``earlier``: its tables were of an earlier version when it was opened to be
    read."""

    engine: Engine = field(repr=False)  # it may show a password that stands in the URL's query
    shown: str
    file: Path | None
    opened: tuple[int, int] | None = field(default=None, compare=False, repr=False)
    hurry: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)
    earlier: bool = field(default=False, compare=False, repr=False)

    def __reduce__(self) -> tuple[Callable[[str], Database], tuple[str]]:
        """A copy sent to another process opens the same database for reading."""
        if self.in_memory:
            raise TypeError(
                "a study in memory cannot be sent to another process or written to a file;"
                " search with storage='sqlite:///FILE'"
            )
        url = self.engine.url if self.file is None else URL.create("sqlite", database=str(self.file.resolve()))
        return open_for_reading, (url.render_as_string(hide_password=False),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Database:
        return self  # it is a handle: a copy would be of the same database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read from, one consistent snapshot. Raises StoreError."""
        with self._explained("read"), self.engine.connect() as connection:
            if self.earlier:
                found = migrations.found_version(connection, self.shown)
                if found < migrations.SCHEMA_VERSION:  # nobody has migrated it in the meantime
                    migrations.show_as_current(connection, found)
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
                    with self._writing() as connection:
                        done = work(connection)
                    self._require_its_file()
                    return done
                except OperationalError as error:
                    if pause == FIRST_PAUSE:
                        on_trouble()
                    if time.monotonic() + pause > end or self.hurry.is_set():
                        raise
                    _log.warning("%s: %s; trying again in %.1f s", self.shown, driver_message(error), pause)
                self.hurry.wait(pause)
                pause = min(2 * pause, 10.0)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with ExitStack() as opened:
            with self._told_when_locked():
                connection = opened.enter_context(self.engine.connect()).execution_options(writes=True)
                opened.enter_context(connection.begin())
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
        if identity(self.file) != self.opened:
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
            raise kind(f"{self.shown}: cannot {verb} this database: {driver_message(error)}") from error
        except DamagedRow as error:
            raise StoreError(f"{self.shown}: {error}; the row is damaged, put back a copy of the database") from error


@dataclass(frozen=True)
class StudyIdentity:
    """Which study of which database: ``id`` is its row."""

    database: Database = field(repr=False, compare=False)
    id: int = field(repr=False)
    name: str


def open_for_reading(storage: str | os.PathLike[str]) -> Database:
    """The database at ``storage``, read only. Raises StoreError when it is absent, unreadable or not an explorer's."""
    url = parse_storage(storage)
    shown, file = shown_storage(url), sqlite_file(url)
    if file is None:
        database = Database(_engine(url, poolclass=NullPool), shown, None)
    else:
        if not file.exists():
            raise StoreError(f"{shown}: there is no file {file}; 'explorer search' makes it, or give another --storage")
        check_file(file, shown)
        database = Database(reading_engine(file, without_locks(file, shown)), shown, file)
    with database.read() as connection:
        check_no_views(connection, shown)
        earlier = migrations.found_version(connection, shown) < migrations.SCHEMA_VERSION
    database = replace(database, earlier=earlier)
    with database.read() as connection:
        check_tables(connection, shown)
    return database


def open_for_writing(storage: str | os.PathLike[str] | None) -> Database:
    """The database at ``storage``, its tables made where they are missing and migrated where they are of an earlier
    version; None: one in memory, gone with it.

    Raises StoreError, before anything is written, for a file that is no database, for tables of a later version, and
    for an earlier one while a worker of that version runs.
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
                check_pages(file, shown)
            url = URL.create("sqlite", database=str(file))
            database = Database(_engine(url, connect_args={"timeout": BUSY_SECONDS}), shown, file)
            event.listen(database.engine, "connect", make_durable)
    if database.engine.dialect.name == "sqlite":
        begin_as_asked(database.engine)
    _make_tables(database)
    return replace(database, opened=identity(database.file)) if database.file else database


def _make_tables(database: Database) -> None:
    """Make the missing tables, or migrate those of an earlier version, in one transaction: of several processes that
    open the database at once, one does, and the others wait."""
    copies: list[Path] = []

    def work(connection: Connection) -> int:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
        if not inspect(connection).has_table(version.name):
            metadata.create_all(connection)
            connection.execute(version.insert().values(version=migrations.SCHEMA_VERSION))
        check_no_views(connection, database.shown)
        found = migrations.found_version(connection, database.shown)
        check_no_triggers(connection, database.shown)
        if found < migrations.SCHEMA_VERSION:
            migrations.require_no_workers(connection, database.shown)
            if database.file is not None:
                copies.append(back_up(database.file, found, database.shown))
            migrations.migrate(connection, found)
        check_tables(connection, database.shown)
        return found

    try:
        found = database.write(work, patience=0)
    except BaseException:
        database.close()
        for copy in copies:  # the database is as it was
            remove(copy)
        raise
    if found < migrations.SCHEMA_VERSION:
        kept = f"a copy as it was is {copies[0]}" if copies else "no copy of a server's database is made"
        changed = "%s: its tables were of version %d and now are of version %d; %s"
        _log.warning(changed, database.shown, found, migrations.SCHEMA_VERSION, kept)


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
        check_writable(file, shown)
        if not has_locks(file.resolve().parent):
            raise StoreError(f"{shown}: {NO_LOCKS.format(folder=file.resolve().parent)}")
        if file.exists() and file.stat().st_size:
            check_file(file, shown)


def database_file(storage: str | os.PathLike[str]) -> Path | None:
    """The file of the database at ``storage``, which need not exist; None for a server's. Raises StoreError."""
    return sqlite_file(parse_storage(storage))


def _engine(url: URL, **options: Any) -> Engine:
    try:
        return sqlalchemy.create_engine(url, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"{shown_storage(url)}: its driver is not installed ({error}); install the extra 'postgres', which brings"
            " psycopg, and write postgresql://..."
        ) from None

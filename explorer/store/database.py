"""Open a database for reading or writing, retry failed transactions, and convert driver errors to StoreErrors.

A database of an earlier schema version is migrated when it is opened for writing; an SQLite file is copied before. When
it is opened for reading, it does not change, and each read sees its tables as the current ones (``migrations``).
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from explorer.errors import StoreError
from explorer.store import migrations
from explorer.store.checking import DamagedRow
from explorer.store.passwords import driver_message
from explorer.store.schema import check_no_triggers, check_no_views, check_tables, metadata, version
from explorer.store.server.durability import begin_reading, end_reading
from explorer.store.server.engine import portable_storage, server_engine, was_reached, with_password
from explorer.store.server.outages import is_unstorable, passes
from explorer.store.server.privileges import advice, check_creation, check_privileges
from explorer.store.sqlite_file import (
    BUSY_SECONDS,
    back_up,
    check_file,
    check_pages,
    check_writable,
    explain,
    identity,
    make_durable,
    reading_engine,
    use_explicit_transactions,
    warning_while_locked,
    without_locks,
)
from explorer.store.storage_url import DEFAULT_STORAGE as DEFAULT_STORAGE
from explorer.store.storage_url import parse_storage, shown_storage, sqlite_file
from explorer.system.files import remove

RETRY_SECONDS = 600  # for which a process that writes retries: a training may have taken hours
ONCE_SECONDS = 10  # for which a command that writes once retries: its user waits, and can call it again
READ_RETRY_SECONDS = 30  # for which a process that only reads retries: a server restarts in this time
OPEN_RETRY_SECONDS = 60  # for which a server that answers, but cannot serve yet, is asked again
FIRST_PAUSE = 0.1  # seconds before the first retry; each later pause is twice as long
MAX_PAUSE = 10.0  # seconds between two retries at most
FREE_BYTES = 256 << 20  # free disk space without which no search begins
_CREATION_LOCK = 0x6578706C  # the key of this project's advisory lock on PostgreSQL ("expl" in ASCII)
_log = logging.getLogger(__name__)
T = TypeVar("T")


class UnstorableValue(StoreError):
    """A value that the database cannot store; a retry is useless."""


@dataclass(frozen=True)
class Database:
    """An open database.

    Attributes:
        engine: SQLAlchemy's engine.
        shown: The database in messages, its URL without the password.
        file: The path of an SQLite database; None for a server or a database in memory.
        opened: The identity of the file when it was opened for writing, to detect that it was replaced.
        stop_retrying: An event that is set to stop the retries, when the user interrupts the search.
        earlier: Whether the tables were of an earlier schema version when the database was opened for reading.
        reached: Whether this process has used it before, so that its address is valid.
        granted: Whether its user was found to have all privileges that a search needs.
        retry_seconds: For how long a failed operation is retried by default.
    """

    engine: Engine = field(repr=False)  # its representation may contain a password in the URL's query
    shown: str
    file: Path | None
    opened: tuple[int, int] | None = field(default=None, compare=False, repr=False)
    stop_retrying: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)
    earlier: bool = field(default=False, compare=False, repr=False)
    reached: bool = field(default=False, compare=False, repr=False)
    granted: bool = field(default=False, compare=False, repr=False)
    retry_seconds: float = field(default=OPEN_RETRY_SECONDS, compare=False, repr=False)

    def __reduce__(self) -> tuple[Callable[[str], Database], tuple[str]]:
        """Pickle the database, without its password, so that another process opens it for reading."""
        if self.in_memory:
            raise TypeError(
                "a study in memory cannot be sent to another process or written to a file;"
                " explorer.copy_study(study, 'kept.db') keeps it in a file"
            )
        return _reopen, (self.url if self.file is not None else portable_storage(self.engine.url),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Database:
        return self  # a handle: a copy would refer to the same database

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run a function that only reads; what it has read is durable.

        If the database is locked or unavailable, the function runs again, with growing pauses.

        Args:
            work: Reads the database with the given connection, and returns plain values. It may run several times.

        Returns:
            The value that ``work`` returns.

        Raises:
            StoreError: The database still cannot be read after ``retry_seconds``, or a row is damaged.
        """

        def transaction() -> T:
            with self.engine.connect() as connection:
                if not self.earlier:
                    begin_reading(connection)
                elif (found := migrations.found_version(connection, self.shown)) < migrations.SCHEMA_VERSION:
                    migrations.show_as_current(connection, found)  # no other process has migrated it in the meantime
                result = work(connection)
                end_reading(connection)
                return result

        return self._retried("read", transaction, self.retry_seconds, lambda: None)

    def write(
        self,
        work: Callable[[Connection], T],
        retry_seconds: float | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> T:
        """Run a function in one writing transaction.

        If the database is locked, full or unavailable, the transaction is retried with growing pauses. If the
        connection is lost during the commit, the transaction may have been applied before it runs again.

        Args:
            work: Writes to the database with the given connection. It may run several times, also after it was applied.
            retry_seconds: For how long a failed transaction is retried; that of the database by default.
            on_failure: Called once, after the first failure, unless a value cannot be stored.

        Returns:
            The value that ``work`` returns.

        Raises:
            StoreError: The database still cannot be written to after ``retry_seconds``.
        """

        def transaction() -> T:
            with self._writing() as connection:
                result = work(connection)
            self._require_same_file()
            return result

        seconds = self.retry_seconds if retry_seconds is None else retry_seconds
        return self._retried("write to", transaction, seconds, on_failure)

    def _retried(
        self, verb: str, transaction: Callable[[], T], retry_seconds: float, on_failure: Callable[[], None]
    ) -> T:
        """Run a transaction, again after errors that pass, until ``retry_seconds`` have gone by."""
        end, pause = time.monotonic() + retry_seconds, FIRST_PAUSE
        with self._store_errors(verb):
            while True:
                try:
                    return transaction()
                except SQLAlchemyError as error:
                    if pause == FIRST_PAUSE and not is_unstorable(error):
                        on_failure()
                    over = time.monotonic() + pause > end or self.stop_retrying.is_set()
                    if over or not passes(error, self.reached, verb != "read", self.granted):
                        raise
                    _log.warning("%s: %s; trying again in %.1f s", self.shown, driver_message(error), pause)
                self.stop_retrying.wait(pause)
                pause = min(2 * pause, MAX_PAUSE)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Yield a connection in a writing transaction, which is committed at the end."""
        with ExitStack() as opened:
            with warning_while_locked(self.shown) if self.file else nullcontext():
                connection = opened.enter_context(self.engine.connect()).execution_options(writes=True)
                opened.enter_context(connection.begin())
            yield connection

    def _require_same_file(self) -> None:
        """Raise StoreError if the open file was removed or replaced: data written to it would be lost on closing."""
        if self.file is None or self.opened is None:
            return
        if identity(self.file) != self.opened:
            raise StoreError(
                f"{self.shown}: the file {self.file} was removed or replaced while in use;"
                " data written now is lost; put the file back and run the same command again"
            )

    @property
    def url(self) -> str:
        """The URL with the password, and the absolute path of an SQLite file. Not for messages."""
        url = self.engine.url if self.file is None else URL.create("sqlite", database=str(self.file.resolve()))
        return url.render_as_string(hide_password=False)

    @property
    def in_memory(self) -> bool:
        """Whether the database is in memory, so that no other process can open it."""
        return self.file is None and self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _store_errors(self, verb: str) -> Iterator[None]:
        """Raise StoreErrors in place of the errors of the driver and of damaged rows."""
        try:
            yield
        except (UnicodeError, OverflowError) as error:
            raise UnstorableValue(f"{self.shown}: cannot {verb} this database: {error}") from error
        except SQLAlchemyError as error:
            kind = UnstorableValue if is_unstorable(error) else StoreError
            reason = f"{explain(error, self.file)}{advice(error, self.engine.url.username)}"
            raise kind(f"{self.shown}: cannot {verb} this database: {reason}") from error
        except DamagedRow as error:
            raise StoreError(f"{self.shown}: {error}; the row is damaged, restore a backup of the database") from error


@dataclass(frozen=True)
class StudyIdentity:
    """The database, row and name of a study.

    Attributes:
        database: The database.
        id: The study's row in ``explorer_studies``.
        name: The study's name.
    """

    database: Database = field(repr=False, compare=False)
    id: int = field(repr=False)
    name: str


def open_for_reading(storage: str | os.PathLike[str]) -> Database:
    """Open a database for reading.

    Args:
        storage: A URL (``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE``) or the path of an SQLite file.

    Raises:
        StoreError: The database does not exist or cannot be read, or it has no tables of the explorer.
    """
    url = parse_storage(storage)
    shown, file = shown_storage(url), sqlite_file(url)
    if file is not None and not file.exists():
        raise StoreError(f"{shown}: there is no file {file}; 'explorer search' creates it, or give another --storage")
    database = _unchecked(url)

    def is_earlier(connection: Connection) -> bool:
        check_no_views(connection, shown)
        return migrations.found_version(connection, shown) < migrations.SCHEMA_VERSION

    database = replace(database, earlier=database.read(is_earlier), reached=True, retry_seconds=READ_RETRY_SECONDS)
    database.read(lambda connection: check_tables(connection, shown))
    return database


def _reopen(storage: str) -> Database:
    """Open an unpickled database for reading."""
    return open_for_reading(with_password(storage))


def open_if_present(storage: str | os.PathLike[str] | None) -> Database | None:
    """Open a database for reading if it exists and has tables of the explorer; return None otherwise.

    Args:
        storage: A URL or a path, as for ``open_for_reading``. None: a new database in memory, which has no tables.

    Raises:
        StoreError: The database cannot be read.
    """
    if storage is None:
        return None
    url = parse_storage(storage)
    if (file := sqlite_file(url)) and not (file.exists() and file.stat().st_size):
        return None
    present = _unchecked(url).read(lambda connection: inspect(connection).has_table(version.name))
    return open_for_reading(storage) if present else None


def _unchecked(url: URL) -> Database:
    """Return a database for reading, whose tables have not been checked."""
    shown, file = shown_storage(url), sqlite_file(url)
    if file is None:
        return Database(server_engine(url, poolclass=NullPool), shown, None, reached=was_reached(url))
    check_file(file, shown)
    return Database(reading_engine(file, without_locks(file, shown)), shown, file)


def open_for_writing(storage: str | os.PathLike[str] | None, retry_seconds: float = RETRY_SECONDS) -> Database:
    """Open a database for writing. Missing tables are created, tables of an earlier schema version are migrated.

    A command makes its checks before this call, so that a refused command does not change the database.

    Args:
        storage: A URL or a path, as for ``open_for_reading``. None: a new database in memory.
        retry_seconds: For how long a failed operation is retried by default.

    Raises:
        StoreError: The file is not a database, the tables are of a later version, or a worker of the tables' earlier
            version runs. Nothing is written.
    """
    if storage is None:
        engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        database = Database(engine, "memory", None)
    else:
        url = parse_storage(storage)
        shown, file = shown_storage(url), sqlite_file(url)
        if file is None:
            one = {"pool_size": 1, "max_overflow": 0}  # a server has few connections for many processes
            engine = server_engine(url, **one)
            database = Database(engine, shown, None, reached=was_reached(url))
        else:
            check_writable(file, shown)
            if file.exists() and file.stat().st_size:
                check_pages(file, shown)
            url = URL.create("sqlite", database=str(file))
            engine = sqlalchemy.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
            database = Database(engine, shown, file)
            event.listen(database.engine, "connect", make_durable)
    if database.engine.dialect.name == "sqlite":
        use_explicit_transactions(database.engine)
    _make_tables(database)
    opened = identity(database.file) if database.file else None
    return replace(database, opened=opened, reached=True, granted=True, retry_seconds=retry_seconds)


def _make_tables(database: Database) -> None:
    """Create missing tables, or migrate tables of an earlier schema version, in one transaction.

    If several processes open the database at the same time, one does this and the others wait.
    """
    copies: list[Path] = []

    def work(connection: Connection) -> int:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
        if not inspect(connection).has_table(version.name):
            check_creation(connection, database.shown)
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
        check_privileges(connection, database.shown)
        return found

    try:
        found = database.write(work, retry_seconds=0 if database.file else OPEN_RETRY_SECONDS)
    except BaseException:
        database.close()
        for copy in copies:  # the database has not changed
            remove(copy)
        raise
    if found < migrations.SCHEMA_VERSION:
        backup = f"a copy as it was is {copies[0]}" if copies else "no copy of a server's database is made"
        message = "%s: its tables were of version %d and now are of version %d; %s"
        _log.warning(message, database.shown, found, migrations.SCHEMA_VERSION, backup)


def check_storage(storage: str | os.PathLike[str] | None) -> None:
    """Raise StoreError if a storage cannot be written to, as far as this can be checked without writing.

    Called before long work whose result is stored, such as reading a large data set. It connects to a server, and the
    disk of an SQLite database must have FREE_BYTES free.

    Args:
        storage: A URL or a path, as for ``open_for_reading``. None: a database in memory, which can be written to.
    """
    if storage is None:
        return
    url = parse_storage(storage)
    shown, file = shown_storage(url), sqlite_file(url)
    if file is None:
        return _unchecked(url).read(lambda connection: None)  # the server answers
    check_writable(file, shown)
    if (free := shutil.disk_usage(file.resolve().parent).free) < FREE_BYTES:
        found = f"only {free / 2**20:.0f} MiB are free on its disk, a search needs {FREE_BYTES / 2**20:.0f}"
        raise StoreError(f"{shown}: {found}; free some, or give another --storage")

"""Commits that release their locks before PostgreSQL waits for the disk, and reads that wait for it.

A transaction that changes a study locks the study's row until its commit. A usual commit keeps its locks while the
write-ahead log goes to the disk, so the workers of a study would wait for the disk one after another. Here a commit is
one message with two transactions. The first has all changes and commits without waiting, which releases its locks. The
second writes one record to the log and commits as the server is configured: when the record is on the disk, and on its
synchronous standbys. The log is written in order, so the changes are then durable too. Workers that wait at the same
time share one write of the disk.

A change is visible before it is durable, and a server that crashes in between loses it. Its writer has no answer yet
and repeats the transaction. A reader would remember it, so each read ends by waiting until all that it has seen is
durable. No wait is needed if the log is on the disk already.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

_DURABLE = "durable"  # the key in a connection's ``info`` of whether its user can call the server's functions
_FUNCTIONS = ("pg_logical_emit_message", "pg_current_wal_insert_lsn", "pg_current_wal_flush_lsn")
_ALLOWED = (
    f"SELECT count(DISTINCT proname) = {len(_FUNCTIONS)} FROM pg_proc"
    f" WHERE proname IN {_FUNCTIONS} AND has_function_privilege(oid, 'EXECUTE')"
)
# A transaction of its own. It writes to the log, and so waits, only if something may not be durable. A log on the disk
# may still be on its way to a synchronous standby.
_WAIT = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN NULL WHEN pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()"
    " OR current_setting('synchronous_standby_names') <> '' THEN pg_logical_emit_message(true, 'explorer', '') END"
)
_COMMIT = f"SET LOCAL synchronous_commit = off; COMMIT; {_WAIT}"


def note_functions(dbapi_connection: Any, record: Any) -> None:
    """Note whether the user of a new connection may call the functions that this module needs, as by default."""
    cursor = dbapi_connection.cursor()
    cursor.execute(_ALLOWED)
    record.info[_DURABLE] = cursor.fetchone()[0]
    cursor.close()
    dbapi_connection.rollback()


def commit_durably(connection: Connection) -> None:
    """Commit a transaction; the commit of SQLAlchemy, which follows, has nothing left to do.

    The driver must be psycopg, which sends several statements as one message. If the user may not call the functions,
    nothing is done, and the usual commit follows.
    """
    if connection.info.get(_DURABLE):
        connection.exec_driver_sql(_COMMIT)


def begin_reading(connection: Connection) -> None:
    """Make each statement of a connection to a server a transaction: BEGIN and ROLLBACK cost a round trip each.

    At the isolation level READ COMMITTED each statement sees the latest changes in any case.
    """
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="AUTOCOMMIT")


def end_reading(connection: Connection) -> None:
    """Wait until all changes that a connection has seen are durable. SQLite shows no others."""
    connection.rollback()
    if connection.info.get(_DURABLE):
        begin_reading(connection)
        connection.exec_driver_sql(_WAIT)

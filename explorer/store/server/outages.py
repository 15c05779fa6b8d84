"""Decide which errors of a database pass by themselves, so that the operation is retried.

A server that restarts, an outage of its network, a full table of connections, a statement timeout, a deadlock or a role
that cannot write for a moment pass. A wrong password or a database that does not exist does not.
"""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
    TimeoutError,
)

from explorer.store.passwords import driver_message

# SQLSTATE classes: connection, transaction rollback (serialization, deadlock), resources (connections, disk, memory),
# intervention (restart, statement timeout, idle session), system error.
_PASSING_CLASSES = ("08", "40", "53", "57", "58")
# An aborted transaction, idle or too long in a transaction, a lock timeout.
_PASSING_STATES = ("25P02", "25P03", "25P04", "55P03")
_DENIED = ("25006", "42501")  # read-only transaction, missing privilege: an administrator may change this for a moment
_DROPPED = "57P04"  # the database was dropped
_TOO_LARGE = "54"  # the class of values that exceed a limit of the server, such as the size of an index entry
_INVALID_DATA = "22"
# The server's answers to a connection that do not change by waiting. libpq gives no SQLSTATE for a failed connection.
_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|is not permitted to log in"
    r'|(database|role|user) "[^"]*" does not exist|no such (database|user)|permission denied for database',
    re.IGNORECASE,
)
_STATEMENT_POOLING = "statement pooling mode"  # pgbouncer's refusal of transactions, which only its settings change
# The answers of a server, or of pgbouncer, that can serve later.
_LATER = re.compile(
    r"starting up|shutting down|in recovery|not yet accepting|too many (clients|connections)|connection slots"
    r"|no more connections allowed|server conn|server_login|query_wait|closed the connection",
    re.IGNORECASE,
)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def passes(error: SQLAlchemyError, reached: bool = True, writing: bool = True, granted: bool = True) -> bool:
    """Return whether an operation that failed with this error may succeed later.

    Args:
        error: The error.
        reached: Whether the database was used before. Otherwise an address at which no server answers may be wrong.
        writing: Whether the operation writes. A full disk, for example, keeps only writes from SQLite's files.
        granted: Whether the user had all privileges before. Otherwise a missing one was never granted.
    """
    if isinstance(error, TimeoutError):  # another thread of this process uses the only connection
        return True
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        busy = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _BUSY
        return isinstance(error, OperationalError) and (writing or busy)
    if is_statement_pooling(error):
        return False
    if state := sqlstate(error):
        passing = state[:2] in _PASSING_CLASSES or state in _PASSING_STATES
        return (passing and state != _DROPPED) or (granted and state in _DENIED)
    if error.connection_invalidated:
        return True
    message = driver_message(error)
    if not isinstance(error, OperationalError) or _REFUSED.search(message):
        return False
    return reached or _LATER.search(message) is not None


def is_statement_pooling(error: SQLAlchemyError) -> bool:
    """Return whether a pgbouncer in statement mode refused a transaction."""
    return isinstance(error, DBAPIError) and _STATEMENT_POOLING in driver_message(error)


def is_unstorable(error: SQLAlchemyError) -> bool:
    """Return whether the driver or the server raised the error for a value that it cannot store."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return False
    state = sqlstate(error)[:2]
    return state in (_INVALID_DATA, _TOO_LARGE) or (
        not state and isinstance(error, (DataError, InterfaceError, ProgrammingError))
    )


def sqlstate(error: SQLAlchemyError) -> str:
    """Return the SQLSTATE of a PostgreSQL driver's error; empty if it has none."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""

"""Engines for PostgreSQL servers, and their URLs without passwords."""

from __future__ import annotations

import os
import time
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import DisconnectionError, NoSuchModuleError

from explorer.errors import StoreError
from explorer.store.server.durability import commit_durably, note_functions
from explorer.store.storage_url import parse_storage, shown_storage

# Parameters of libpq, so that a connection to a host that vanished fails after half a minute, not after hours.
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
PING_SECONDS = 5.0  # without use, after which a connection is tried before it is used
_reached: dict[str, URL] = {}  # the servers that this process has connected to, by their URL without password


def server_engine(url: URL, **options: Any) -> Engine:
    """Create an engine for a PostgreSQL server, also behind a pooler that keeps no state of a session.

    Args:
        url: The URL.
        **options: Options of SQLAlchemy's engine.

    Raises:
        StoreError: The driver is not installed.
    """
    connect_args = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    if url.get_driver_name() == "psycopg":
        connect_args["prepare_threshold"] = None  # a prepared statement belongs to a session
    try:
        # In other isolation levels a transaction that has waited for a lock would not see what it waited for.
        engine = sqlalchemy.create_engine(url, connect_args=connect_args, isolation_level="READ COMMITTED", **options)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", _require_alive)
        event.listen(engine, "connect", lambda *_: _reached.setdefault(portable_storage(url), url))
        event.listen(engine, "connect", note_functions)
        if engine.driver == "psycopg":
            event.listen(engine, "commit", commit_durably)
        return engine
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"{shown_storage(url)}: its driver is not installed ({error}); install the extra 'postgres', which installs"
            " psycopg, and write postgresql://..."
        ) from None


def _note_use(dbapi_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _require_alive(dbapi_connection: Any, record: Any, proxy: Any) -> None:
    """Replace a connection that the server has closed, without a round trip if it was used a moment ago."""
    used = record.info.get("used")
    if used is None or time.monotonic() - used < PING_SECONDS:
        return
    try:
        with dbapi_connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        dbapi_connection.rollback()
    except Exception as error:
        raise DisconnectionError(str(error)) from error


def was_reached(url: URL) -> bool:
    """Return whether this process has connected to the server with this URL."""
    return portable_storage(url) in _reached


def portable_storage(url: URL) -> str:
    """Return the URL of a server as text without passwords, for another process."""
    secret = [name for name in url.query if "pass" in name.lower() and name.lower() != "passfile"]
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, url.query)
    return bare.difference_update_query(secret).render_as_string(hide_password=False)


def with_password(storage: str) -> str:
    """Return the URL of a server with its password, if this process knows it.

    Args:
        storage: The URL, from ``portable_storage``.

    Returns:
        The URL with which this process has connected to the server, else that of ``EXPLORER_STORAGE`` if it is the same
        apart from the password, else ``storage``: then libpq takes the password from ``PGPASSWORD`` or a file.
    """
    if storage in _reached:
        return _reached[storage].render_as_string(hide_password=False)
    try:
        url = parse_storage(os.environ.get("EXPLORER_STORAGE", ""))
    except StoreError:
        return storage
    return url.render_as_string(hide_password=False) if portable_storage(url) == storage else storage

"""What the user of a PostgreSQL connection may do, and the statement that grants what is missing."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from explorer.errors import StoreError
from explorer.store.schema import metadata, studies, workers
from explorer.store.server.outages import sqlstate

_DENIED = "42501"  # the SQLSTATE of a missing privilege
_NEEDED = [(table, privilege) for table in metadata.tables for privilege in ("SELECT", "INSERT", "UPDATE")]


def check_creation(connection: Connection, shown: str) -> None:
    """Raise StoreError if the user of a PostgreSQL connection may not create tables.

    Args:
        connection: A connection.
        shown: The database in messages.
    """
    if connection.dialect.name != "postgresql":
        return
    if not connection.scalar(select(func.has_schema_privilege(func.current_schema(), "CREATE"))):
        raise StoreError(
            f"{shown}: the database has no tables yet, and its user may not create them; run the first search as the "
            "owner of the database"
        )


def check_privileges(connection: Connection, shown: str) -> None:
    """Raise StoreError if the user of a PostgreSQL connection may not do what a search does with the tables.

    Args:
        connection: A connection.
        shown: The database in messages.
    """
    if connection.dialect.name != "postgresql":
        return
    if connection.scalar(select(func.current_setting("transaction_read_only"))) == "on":
        raise StoreError(
            f"{shown}: this database, or its user, is read-only; give the URL of one that can be written to"
        )
    _require(connection, [*_NEEDED, (workers.name, "DELETE")], shown)
    sequence = func.pg_get_serial_sequence(studies.name, studies.c.id.name)
    if not connection.scalar(select(func.has_sequence_privilege(sequence, "USAGE"))):
        grant = f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {_user(connection)}"
        raise StoreError(f"{shown}: the user may not use the sequence of the table {studies.name}; {_granting(grant)}")


def check_deletion(connection: Connection, tables: Iterable[str], shown: str) -> None:
    """Raise StoreError if the user of a PostgreSQL connection may not delete rows of all of the tables.

    Args:
        connection: A connection.
        tables: Their names.
        shown: The database in messages.
    """
    if connection.dialect.name == "postgresql":
        _require(connection, [(table, "DELETE") for table in tables], shown)


def advice(error: SQLAlchemyError, user: str | None) -> str:
    """Return what to do about an error of the driver, if a privilege is missing; else an empty text.

    Args:
        error: The error.
        user: The name of the database's user, if the URL has one.
    """
    if sqlstate(error) != _DENIED:
        return ""
    if "must be owner" in str(error):
        return "; run this command once as the user that created the tables"
    return f"; {_granting(_grant(user or 'the user'))} (SELECT alone is enough to read studies)"


def _require(connection: Connection, needed: list[tuple[str, str]], shown: str) -> None:
    """Raise StoreError that names the first missing privilege on a table, and all that are to be granted."""
    allowed = connection.execute(select(*(func.has_table_privilege(*each) for each in needed))).one()
    missing = [each for each, is_allowed in zip(needed, allowed) if not is_allowed]
    if not missing:
        return
    (table, privilege), user = missing[0], _user(connection)
    deletable = [table for table, privilege in missing if privilege == "DELETE"]
    grants = [_grant(user)] if len(deletable) < len(missing) else []
    grants += [f"GRANT DELETE ON {', '.join(deletable)} TO {user}"] if deletable else []
    raise StoreError(f"{shown}: the user may not {privilege} rows of the table {table}; {_granting('; '.join(grants))}")


def _grant(user: str) -> str:
    return f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {user}"


def _granting(grant: str) -> str:
    return f"its owner grants this: {grant}"


def _user(connection: Connection) -> str:
    """Return the user's name as SQL writes it."""
    return connection.dialect.identifier_preparer.quote(str(connection.scalar(select(func.current_user()))))

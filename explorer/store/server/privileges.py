"""The privileges of a PostgreSQL user, and the statements that grant missing ones."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from explorer.errors import StoreError
from explorer.store.schema import metadata, studies, version, workers
from explorer.store.server.outages import is_statement_pooling, sqlstate

_DENIED = "42501"  # the SQLSTATE of a missing privilege
_NEEDED = [(table, privilege) for table in metadata.tables for privilege in ("SELECT", "INSERT", "UPDATE")]


def check_search(connection: Connection, shown: str) -> None:
    """Raise StoreError if a search cannot run as the user of a PostgreSQL connection.

    Args:
        connection: A connection.
        shown: The database in messages.
    """
    if inspect(connection).has_table(version.name):
        check_privileges(connection, shown)
    else:
        check_creation(connection, shown)


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
    sequence = func.pg_get_serial_sequence(studies.name, studies.c.id.name)
    has_sequences = bool(connection.scalar(select(func.has_sequence_privilege(sequence, "USAGE"))))
    _require(connection, [*_NEEDED, (workers.name, "DELETE")], shown, has_sequences)


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
    """Return what to do about an error of the driver that no waiting changes; an empty text for others.

    Args:
        error: The error.
        user: The name of the database's user, if the URL has one.
    """
    if is_statement_pooling(error):
        return "; set pool_mode = transaction in pgbouncer's settings, since a study is written in transactions"
    if sqlstate(error) != _DENIED:
        return ""
    if "must be owner" in str(error):
        return "; run this command once as the user that created the tables"
    user = user or "the user"
    grants = [_grant(user), _grant_deletion([workers.name], user), _grant_sequences(user)]
    return f"; {_granting(grants)} (SELECT alone is enough to read studies)"


def _require(connection: Connection, needed: list[tuple[str, str]], shown: str, has_sequences: bool = True) -> None:
    """Raise StoreError that names the first missing privilege, and all that are to be granted."""
    allowed = connection.execute(select(*(func.has_table_privilege(*each) for each in needed))).one()
    missing = [each for each, is_allowed in zip(needed, allowed) if not is_allowed]
    if not missing and has_sequences:
        return
    user, kinds = _user(connection), {privilege for _, privilege in missing}
    lacks = f"the user may not use the sequence of the table {studies.name}"
    if missing:
        only = ", only read studies" if "INSERT" in kinds and "SELECT" not in kinds else ""
        table, privilege = missing[0]
        lacks = f"the user may not {privilege} rows of the table {table}{only}"
    grants = [_grant(user)] if kinds - {"DELETE"} else []
    if deletable := [table for table, privilege in missing if privilege == "DELETE"]:
        grants.append(_grant_deletion(deletable, user))
    if not has_sequences:
        grants.append(_grant_sequences(user))
    raise StoreError(f"{shown}: {lacks}; {_granting(grants)}")


def _grant(user: str) -> str:
    return f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {user}"


def _grant_deletion(tables: Iterable[str], user: str) -> str:
    return f"GRANT DELETE ON {', '.join(tables)} TO {user}"


def _grant_sequences(user: str) -> str:
    return f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}"


def _granting(grants: Iterable[str]) -> str:
    return f"its owner grants this: {'; '.join(grants)}"


def _user(connection: Connection) -> str:
    """Return the user's name as SQL writes it."""
    return connection.dialect.identifier_preparer.quote(str(connection.scalar(select(func.current_user()))))
